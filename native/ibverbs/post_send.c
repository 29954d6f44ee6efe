/* SPDX-License-Identifier: BSD-3-Clause */
/* Posting send work requests as a linked list. ibv_post_send(3). */
#include <string.h>

#include "ibverbs/ah.h"
#include "ibverbs/implicit_mr.h"
#include "ibverbs/mw.h"
#include "ibverbs/post.h"
#include "ibverbs/qp.h"
#include "ibverbs/send_wr.h"
#include "ibverbs/serve.h"

/* Reads the work requests of a list one by one, while the core posts them. */
struct reader {
    struct shim_qp *qp;
    struct ibv_send_wr *next; /* the one that is read next */
    bool used_slot;           /* the last one that was read uses the present inline slot */
    struct rvt_send_wr wr;
    struct rvt_ib_sge sges[RVT_MAX_SGE];
};

/* Copies the elements. Returns false if there are none where the program says that they are. */
static bool read_elements(struct reader *reader, const struct ibv_send_wr *from) {
    if (!reader->wr.num_sge)
        return true;
    if (!from->sg_list)
        return false;
    /* The core refuses more elements than RVT_MAX_SGE without looking at them. */
    for (uint32_t i = 0; i < reader->wr.num_sge && reader->wr.num_sge <= RVT_MAX_SGE; i++)
        reader->sges[i] =
            (struct rvt_ib_sge){from->sg_list[i].addr, from->sg_list[i].length, from->sg_list[i].lkey};
    return true;
}

/* Copies inline data into the slot, and makes the slot the only element. Returns false if the queue pair does
 * not take it. Elements of inline data are addresses of the process; their keys are ignored. */
static bool read_inline_data(struct reader *reader) {
    const struct shim_inline_slots *slots = &reader->qp->inline_slots;
    uint64_t total = 0;
    if (!shim_can_be_inline(reader->wr.opcode) || reader->wr.num_sge > reader->qp->cap.max_send_sge)
        return false;
    for (uint32_t i = 0; i < reader->wr.num_sge; i++)
        total += reader->sges[i].length;
    if (total > reader->qp->cap.max_inline_data)
        return false;
    if (!total) {
        reader->wr.num_sge = 0;
        return true;
    }
    unsigned char *to = shim_inline_slot(slots);
    for (uint32_t i = 0; i < reader->wr.num_sge; i++) {
        if (reader->sges[i].length)
            memcpy(to, (const void *)(uintptr_t)reader->sges[i].addr, reader->sges[i].length);
        to += reader->sges[i].length;
    }
    reader->sges[0] = (struct rvt_ib_sge){(uintptr_t)shim_inline_slot(slots), (uint32_t)total, slots->lkey};
    reader->wr.num_sge = 1;
    reader->used_slot = true;
    return true;
}

/* Fills what depends on the opcode or on the type of the queue pair. Returns false if it cannot be carried out. */
static bool read_operands(struct reader *reader, const struct ibv_send_wr *from) {
    struct rvt_send_wr *wr = &reader->wr;
    if (reader->qp->ibv.qp_base.qp_type == IBV_QPT_UD) {
        const struct shim_ah *ah = (const struct shim_ah *)(const void *)from->wr.ud.ah;
        wr->ah = ah ? &ah->core : NULL;
        wr->remote_qpn = from->wr.ud.remote_qpn;
        wr->remote_qkey = from->wr.ud.remote_qkey;
    } else if (from->opcode == IBV_WR_BIND_MW) {
        return shim_read_bind(wr, from->bind_mw.mw, from->bind_mw.rkey, &from->bind_mw.bind_info);
    } else if (from->opcode == IBV_WR_ATOMIC_CMP_AND_SWP || from->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD) {
        wr->remote_addr = from->wr.atomic.remote_addr;
        wr->rkey = from->wr.atomic.rkey;
        wr->compare_add = from->wr.atomic.compare_add;
        wr->swap = from->wr.atomic.swap;
    } else {
        wr->remote_addr = from->wr.rdma.remote_addr;
        wr->rkey = from->wr.rdma.rkey;
    }
    return true;
}

/* Returns the next work request of the list, or NULL if it cannot be carried out. Called with the lock of the
 * engine held, after the one before it was queued. */
static const struct rvt_send_wr *read_next(void *data, uint32_t index) {
    struct reader *reader = data;
    const struct ibv_send_wr *from = reader->next;
    (void)index;
    if (reader->used_slot)
        shim_inline_advance(&reader->qp->inline_slots);
    reader->used_slot = false;
    if (from->send_flags & ~(unsigned int)SHIM_SEND_FLAGS)
        return NULL;
    reader->wr = (struct rvt_send_wr){
        .wr_id = from->wr_id,
        .sges = reader->sges,
        .num_sge = (uint32_t)from->num_sge, /* a negative number is more than any queue takes */
        .opcode = shim_core_opcode(from->opcode),
        .flags = from->send_flags,
        .imm = from->imm_data,
        .invalidate_rkey = from->invalidate_rkey,
    };
    if (!read_operands(reader, from) || !read_elements(reader, from))
        return NULL;
    if ((from->send_flags & IBV_SEND_INLINE) && !read_inline_data(reader))
        return NULL;
    if (reader->wr.num_sge <= RVT_MAX_SGE && !shim_resolve_send(&reader->wr, reader->sges))
        return NULL;
    reader->next = from->next;
    return &reader->wr;
}

/* Returns the work request with this index. */
static struct ibv_send_wr *at(struct ibv_send_wr *wr, uint32_t index) {
    while (index--)
        wr = wr->next;
    return wr;
}

static uint32_t length_of(const struct ibv_send_wr *wr) {
    uint32_t length = 0;
    for (; wr && length < SHIM_LONGEST_LIST; wr = wr->next)
        length++;
    return length;
}

int shim_post_send(struct ibv_qp *of, struct ibv_send_wr *wr, struct ibv_send_wr **bad_wr) {
    struct shim_qp *qp = shim_qp_of(of);
    struct reader reader;
    const struct rvt_send_source source = {read_next, &reader};
    const uint32_t count = length_of(wr);
    uint32_t bad;
    reader.qp = qp;
    reader.next = wr;
    reader.used_slot = false;
    shim_enter_to_serve();
    pthread_mutex_lock(&qp->posting);
    int error = -rvt_post_send_from(qp->core, &source, count, &bad);
    if (!error && reader.used_slot)
        shim_inline_advance(&qp->inline_slots);
    pthread_mutex_unlock(&qp->posting);
    shim_leave_and_serve(qp->pd->context);
    if (!error && count == SHIM_LONGEST_LIST && reader.next) {
        error = EINVAL;
        bad = count;
    }
    if (error && bad_wr)
        *bad_wr = at(wr, bad == RVT_NO_BAD_WR ? 0 : bad);
    return error;
}
