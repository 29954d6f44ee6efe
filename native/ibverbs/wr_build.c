/* SPDX-License-Identifier: BSD-3-Clause */
/* Posting send work requests by function calls. ibv_wr_post(3): errors are not reported by the functions that
 * build, but by ibv_wr_complete(), which then posts none of the work requests. */
#include "ibverbs/wr_build.h"

#include <string.h>

#include "ibverbs/ah.h"
#include "ibverbs/implicit_mr.h"
#include "ibverbs/mw.h"
#include "ibverbs/qp.h"
#include "ibverbs/send_wr.h"
#include "ibverbs/serve.h"

static struct shim_qp *qp_of(struct ibv_qp_ex *qp) {
    return shim_qp_of(&qp->qp_base);
}

/* --- the session --- */

static void wr_start(struct ibv_qp_ex *of) {
    struct shim_qp *qp = qp_of(of);
    /* A thread that has a session already begins it anew, instead of waiting for itself. */
    (void)shim_session_begin(&qp->building);
    shim_wr_list_clear(&qp->built);
}

static void wr_abort(struct ibv_qp_ex *of) {
    shim_session_end(&qp_of(of)->building);
}

/* Reads the list while the core posts it. */
struct reader {
    struct shim_qp *qp;
    struct rvt_ib_sge inline_sge;
};

/* Copies inline data to the present slot, and makes the next slot the present one. Returns the elements of the
 * work request. */
static struct rvt_ib_sge *copy_to_slot(struct reader *reader, const struct shim_built_wr *built,
                                       struct rvt_send_wr *wr) {
    struct shim_inline_slots *slots = &reader->qp->inline_slots;
    wr->num_sge = 0;
    if (!built->bytes)
        return NULL;
    unsigned char *slot = shim_inline_slot(slots);
    memcpy(slot, reader->qp->built.bytes + built->first_byte, built->bytes);
    shim_inline_advance(slots);
    reader->inline_sge = (struct rvt_ib_sge){(uintptr_t)slot, built->bytes, slots->lkey};
    wr->num_sge = 1;
    return &reader->inline_sge;
}

static const struct rvt_send_wr *read_built(void *data, uint32_t index) {
    struct reader *reader = data;
    const struct shim_wr_list *list = &reader->qp->built;
    struct shim_built_wr *built = &list->wrs[index];
    struct rvt_send_wr *wr = &built->wr;
    struct rvt_ib_sge *sges = built->is_inline ? copy_to_slot(reader, built, wr)
                              : wr->num_sge    ? &list->sges[built->first_sge]
                                               : NULL;
    wr->sges = sges;
    return shim_resolve_send(wr, sges) ? wr : NULL;
}

/* Posts all work requests of the list or none. Returns 0 or a positive errno. */
static int post_built(struct shim_qp *qp) {
    struct reader reader = {.qp = qp};
    const struct rvt_send_source source = {read_built, &reader};
    shim_enter_to_serve();
    pthread_mutex_lock(&qp->posting);
    const uint32_t first_slot = qp->inline_slots.next;
    int error = -rvt_post_send_whole(qp->core, &source, (uint32_t)qp->built.wr_count, NULL);
    if (error)
        qp->inline_slots.next = first_slot;
    pthread_mutex_unlock(&qp->posting);
    shim_leave_and_serve(qp->pd->context);
    return error;
}

static int wr_complete(struct ibv_qp_ex *of) {
    struct shim_qp *qp = qp_of(of);
    if (!shim_session_is_mine(&qp->building))
        return EINVAL;
    int error = qp->built.error;
    if (!error)
        error = post_built(qp);
    shim_session_end(&qp->building);
    return error;
}

/* --- building --- */

/* Returns the list that the calling thread builds, or NULL: it has not called ibv_wr_start(), or something
 * before was wrong. */
static struct shim_wr_list *list_of(struct shim_qp *qp) {
    return shim_session_is_mine(&qp->building) && !qp->built.error ? &qp->built : NULL;
}

/* Begins a work request. `op` is the IBV_QP_EX_WITH_* flag that the queue pair must have been created with.
 * Returns NULL if the work request is dropped. */
static struct rvt_send_wr *begin(struct ibv_qp_ex *of, uint64_t op, enum ibv_wr_opcode opcode) {
    struct shim_qp *qp = qp_of(of);
    struct shim_wr_list *list = list_of(qp);
    if (!list)
        return NULL;
    if (!(qp->send_ops & op))
        shim_wr_list_fail(list, EOPNOTSUPP);
    else if (of->wr_flags & ~(unsigned int)SHIM_SEND_FLAGS)
        shim_wr_list_fail(list, EINVAL);
    else if (list->wr_count >= qp->cap.max_send_wr)
        shim_wr_list_fail(list, ENOMEM);
    if (list->error)
        return NULL;
    struct shim_built_wr *built = shim_wr_list_add(list);
    if (!built)
        return NULL;
    built->wr = (struct rvt_send_wr){
        .wr_id = of->wr_id,
        .opcode = shim_core_opcode(opcode),
        /* Data is inline if the program calls a function for it, whatever the flags say. */
        .flags = of->wr_flags & ~(unsigned int)IBV_SEND_INLINE,
    };
    return &built->wr;
}

static void begin_remote(struct ibv_qp_ex *of, uint64_t op, enum ibv_wr_opcode opcode, uint32_t rkey,
                         uint64_t remote_addr, __be32 imm) {
    struct rvt_send_wr *wr = begin(of, op, opcode);
    if (!wr)
        return;
    wr->rkey = rkey;
    wr->remote_addr = remote_addr;
    wr->imm = imm;
}

static void begin_atomic(struct ibv_qp_ex *of, uint64_t op, enum ibv_wr_opcode opcode, uint32_t rkey,
                         uint64_t remote_addr, uint64_t compare_add, uint64_t swap) {
    struct rvt_send_wr *wr = begin(of, op, opcode);
    if (!wr)
        return;
    wr->rkey = rkey;
    wr->remote_addr = remote_addr;
    wr->compare_add = compare_add;
    wr->swap = swap;
}

static void wr_atomic_cmp_swp(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, uint64_t compare,
                              uint64_t swap) {
    begin_atomic(qp, IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_CMP_AND_SWP, rkey, remote_addr, compare,
                 swap);
}

static void wr_atomic_fetch_add(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, uint64_t add) {
    begin_atomic(qp, IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD, IBV_WR_ATOMIC_FETCH_AND_ADD, rkey, remote_addr, add,
                 0);
}

static void wr_rdma_read(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr) {
    begin_remote(qp, IBV_QP_EX_WITH_RDMA_READ, IBV_WR_RDMA_READ, rkey, remote_addr, 0);
}

static void wr_rdma_write(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr) {
    begin_remote(qp, IBV_QP_EX_WITH_RDMA_WRITE, IBV_WR_RDMA_WRITE, rkey, remote_addr, 0);
}

static void wr_rdma_write_imm(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, __be32 imm_data) {
    begin_remote(qp, IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM, IBV_WR_RDMA_WRITE_WITH_IMM, rkey, remote_addr,
                 imm_data);
}

static void wr_send(struct ibv_qp_ex *qp) {
    (void)begin(qp, IBV_QP_EX_WITH_SEND, IBV_WR_SEND);
}

static void wr_send_imm(struct ibv_qp_ex *qp, __be32 imm_data) {
    struct rvt_send_wr *wr = begin(qp, IBV_QP_EX_WITH_SEND_WITH_IMM, IBV_WR_SEND_WITH_IMM);
    if (wr)
        wr->imm = imm_data;
}

static void wr_send_inv(struct ibv_qp_ex *qp, uint32_t invalidate_rkey) {
    struct rvt_send_wr *wr = begin(qp, IBV_QP_EX_WITH_SEND_WITH_INV, IBV_WR_SEND_WITH_INV);
    if (wr)
        wr->invalidate_rkey = invalidate_rkey;
}

static void wr_local_inv(struct ibv_qp_ex *qp, uint32_t invalidate_rkey) {
    struct rvt_send_wr *wr = begin(qp, IBV_QP_EX_WITH_LOCAL_INV, IBV_WR_LOCAL_INV);
    if (wr)
        wr->invalidate_rkey = invalidate_rkey;
}

static void wr_bind_mw(struct ibv_qp_ex *qp, struct ibv_mw *mw, uint32_t rkey,
                       const struct ibv_mw_bind_info *info) {
    struct rvt_send_wr *wr = begin(qp, IBV_QP_EX_WITH_BIND_MW, IBV_WR_BIND_MW);
    if (wr && (!info || !shim_read_bind(wr, mw, rkey, info)))
        shim_wr_list_fail(list_of(qp_of(qp)), EINVAL);
}

/* --- what the core does not have --- */

static void refuse(struct ibv_qp_ex *of) {
    struct shim_wr_list *list = list_of(qp_of(of));
    if (list)
        shim_wr_list_fail(list, EOPNOTSUPP);
}

static void wr_send_tso(struct ibv_qp_ex *qp, void *hdr, uint16_t hdr_sz, uint16_t mss) {
    (void)hdr, (void)hdr_sz, (void)mss;
    refuse(qp);
}

static void wr_atomic_write(struct ibv_qp_ex *qp, uint32_t rkey, uint64_t remote_addr, const void *data) {
    (void)rkey, (void)remote_addr, (void)data;
    refuse(qp);
}

static void wr_set_xrc_srqn(struct ibv_qp_ex *qp, uint32_t remote_srqn) {
    (void)remote_srqn;
    refuse(qp);
}

/* --- what the last work request sends, and where --- */

/* Returns the last work request of the list, or NULL if there is nothing to set. */
static struct shim_built_wr *last_of(struct ibv_qp_ex *of, struct shim_wr_list **list) {
    *list = list_of(qp_of(of));
    if (!*list)
        return NULL;
    if (!(*list)->wr_count) {
        shim_wr_list_fail(*list, EINVAL);
        return NULL;
    }
    return &(*list)->wrs[(*list)->wr_count - 1];
}

static void wr_set_ud_addr(struct ibv_qp_ex *qp, struct ibv_ah *of, uint32_t remote_qpn,
                           uint32_t remote_qkey) {
    struct shim_wr_list *list;
    struct shim_built_wr *last = last_of(qp, &list);
    const struct shim_ah *ah = (const struct shim_ah *)(const void *)of;
    if (!last)
        return;
    last->wr.ah = ah ? &ah->core : NULL;
    last->wr.remote_qpn = remote_qpn;
    last->wr.remote_qkey = remote_qkey;
}

/* Makes the elements those of the last work request, instead of what was set before. */
static void wr_set_sge_list(struct ibv_qp_ex *qp, size_t num_sge, const struct ibv_sge *sg_list) {
    struct shim_wr_list *list;
    struct shim_built_wr *last = last_of(qp, &list);
    if (!last)
        return;
    if (num_sge > qp_of(qp)->cap.max_send_sge || (num_sge && !sg_list)) {
        shim_wr_list_fail(list, EINVAL);
        return;
    }
    struct rvt_ib_sge *to = shim_wr_list_add_sges(list, num_sge);
    if (!to)
        return;
    for (size_t i = 0; i < num_sge; i++)
        to[i] = (struct rvt_ib_sge){sg_list[i].addr, sg_list[i].length, sg_list[i].lkey};
    last->is_inline = false;
    last->first_sge = (uint32_t)(list->sge_count - num_sge);
    last->wr.num_sge = (uint32_t)num_sge;
}

static void wr_set_sge(struct ibv_qp_ex *qp, uint32_t lkey, uint64_t addr, uint32_t length) {
    const struct ibv_sge sge = {addr, length, lkey};
    wr_set_sge_list(qp, 1, &sge);
}

static void wr_set_inline_data_list(struct ibv_qp_ex *qp, size_t num_buf,
                                    const struct ibv_data_buf *buf_list) {
    struct shim_wr_list *list;
    struct shim_built_wr *last = last_of(qp, &list);
    const size_t most = qp_of(qp)->cap.max_inline_data;
    size_t total = 0;
    bool fits = last && shim_can_be_inline(last->wr.opcode) && (buf_list || !num_buf);
    for (size_t i = 0; fits && i < num_buf; i++) {
        fits = buf_list[i].length <= most - total;
        total += buf_list[i].length;
    }
    if (last && !fits)
        shim_wr_list_fail(list, EINVAL);
    unsigned char *to = fits ? shim_wr_list_add_bytes(list, total) : NULL;
    if (!to)
        return;
    last->is_inline = true;
    last->first_byte = list->byte_count - total;
    last->bytes = (uint32_t)total;
    for (size_t i = 0; i < num_buf; i++) {
        if (buf_list[i].length)
            memcpy(to, buf_list[i].addr, buf_list[i].length);
        to += buf_list[i].length;
    }
}

static void wr_set_inline_data(struct ibv_qp_ex *qp, void *addr, size_t length) {
    const struct ibv_data_buf buffer = {addr, length};
    wr_set_inline_data_list(qp, 1, &buffer);
}

void shim_fill_qp_ex(struct ibv_qp_ex *qp) {
    qp->wr_atomic_cmp_swp = wr_atomic_cmp_swp;
    qp->wr_atomic_fetch_add = wr_atomic_fetch_add;
    qp->wr_bind_mw = wr_bind_mw;
    qp->wr_local_inv = wr_local_inv;
    qp->wr_rdma_read = wr_rdma_read;
    qp->wr_rdma_write = wr_rdma_write;
    qp->wr_rdma_write_imm = wr_rdma_write_imm;
    qp->wr_send = wr_send;
    qp->wr_send_imm = wr_send_imm;
    qp->wr_send_inv = wr_send_inv;
    qp->wr_send_tso = wr_send_tso;
    qp->wr_set_ud_addr = wr_set_ud_addr;
    qp->wr_set_xrc_srqn = wr_set_xrc_srqn;
    qp->wr_set_inline_data = wr_set_inline_data;
    qp->wr_set_inline_data_list = wr_set_inline_data_list;
    qp->wr_set_sge = wr_set_sge;
    qp->wr_set_sge_list = wr_set_sge_list;
    qp->wr_start = wr_start;
    qp->wr_complete = wr_complete;
    qp->wr_abort = wr_abort;
    qp->wr_atomic_write = wr_atomic_write;
}
