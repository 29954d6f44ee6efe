/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking completions. ibv_poll_cq(3), ibv_create_cq_ex(3). */
#include "ibverbs/poll.h"

#include "ibverbs/cq.h"
#include "ibverbs/serve.h"

/* Opcodes, statuses and QP types have the same numbers in the core and in the public header. */
_Static_assert((int)RVT_WC_OPCODE_FETCH_ADD == (int)IBV_WC_FETCH_ADD, "opcodes of completions");
_Static_assert((int)RVT_WC_OPCODE_BIND_MW == (int)IBV_WC_BIND_MW, "opcodes of completions");
_Static_assert((int)RVT_WC_OPCODE_LOCAL_INV == (int)IBV_WC_LOCAL_INV, "opcodes of completions");
_Static_assert((int)RVT_WC_OPCODE_RECV_RDMA_WITH_IMM == (int)IBV_WC_RECV_RDMA_WITH_IMM,
               "opcodes of completions");
_Static_assert((int)RVT_WC_STATUS_RNR_RETRY_EXC_ERR == (int)IBV_WC_RNR_RETRY_EXC_ERR, "statuses");
_Static_assert((int)RVT_WC_STATUS_MW_BIND_ERR == (int)IBV_WC_MW_BIND_ERR, "statuses");
_Static_assert((int)RVT_WC_STATUS_REM_ACCESS_ERR == (int)IBV_WC_REM_ACCESS_ERR, "statuses");
_Static_assert((int)RVT_WC_WITH_IMM == (int)IBV_WC_WITH_IMM, "flags of completions");

static unsigned int flags_of(const struct rvt_wc *from) {
    return (from->flags & RVT_WC_WITH_GRH ? IBV_WC_GRH : 0u) |
           (from->flags & RVT_WC_WITH_IMM ? IBV_WC_WITH_IMM : 0u) |
           (from->flags & RVT_WC_WITH_INVALIDATE ? IBV_WC_WITH_INV : 0u);
}

static void convert(const struct rvt_wc *from, struct ibv_wc *to) {
    *to = (struct ibv_wc){
        .wr_id = from->wr_id,
        .status = (enum ibv_wc_status)from->status,
        .opcode = (enum ibv_wc_opcode)from->opcode,
        .vendor_err = from->cause, /* why it failed: enum rvt_wc_cause */
        .byte_len = from->byte_len,
        .imm_data = from->imm_or_inv, /* the sender's bytes, in the order in which it gave them */
        .qp_num = from->qp_num,
        .src_qp = from->src_qp,
        .wc_flags = flags_of(from),
        .slid = from->slid,
        .sl = from->sl,
    };
}

/* Takes up to `count` completions, which the caller converts. If there is none, receives packets that have arrived, as a
 * program that polls should not have to wait until another thread gets the processor. Returns how many, or a negative
 * errno. The caller must be inside the gate. */
static int take(struct shim_cq *cq, uint32_t count, struct rvt_wc *taken) {
    int got = rvt_poll_cq(cq->core, count, taken);
    if (!got && shim_wire_progress(&cq->context->file->core->wire))
        got = rvt_poll_cq(cq->core, count, taken);
    return got;
}

int shim_poll_cq(struct ibv_cq *cq, int num_entries, struct ibv_wc *wc) {
    enum { AT_A_TIME = 16 };
    struct rvt_wc taken[AT_A_TIME];
    if (num_entries < 0 || (num_entries && !wc))
        return -EINVAL;
    int total = 0, got = AT_A_TIME;
    shim_enter_to_serve();
    while (total < num_entries && got == AT_A_TIME) {
        int wanted = num_entries - total < AT_A_TIME ? num_entries - total : AT_A_TIME;
        got = take(shim_cq_of(cq), (uint32_t)wanted, taken);
        for (int i = 0; i < got; i++)
            convert(&taken[i], &wc[total++]);
    }
    shim_leave_and_serve(shim_cq_of(cq)->context);
    return got < 0 && !total ? got : total;
}

/* --- one by one --- */

static struct shim_cq *cq_of(struct ibv_cq_ex *cq) {
    return shim_cq_of(ibv_cq_ex_to_cq(cq));
}

/* Takes the next completion. Returns 0, ENOENT (there is none) or another positive errno. */
static int take_next(struct shim_cq *cq) {
    shim_enter_to_serve();
    int got = take(cq, 1, &cq->current);
    shim_leave_and_serve(cq->context);
    if (got <= 0)
        return got ? -got : ENOENT;
    cq->ibv.status = (enum ibv_wc_status)cq->current.status;
    cq->ibv.wr_id = cq->current.wr_id;
    return 0;
}

static int start_poll(struct ibv_cq_ex *of, struct ibv_poll_cq_attr *attr) {
    struct shim_cq *cq = cq_of(of);
    if (!attr || attr->comp_mask)
        return EINVAL;
    if (!shim_session_begin(&cq->polling))
        return EBUSY; /* this thread has not called ibv_end_poll() */
    int error = take_next(cq);
    if (error)
        shim_session_end(&cq->polling);
    return error;
}

static int next_poll(struct ibv_cq_ex *of) {
    struct shim_cq *cq = cq_of(of);
    return shim_session_is_mine(&cq->polling) ? take_next(cq) : EINVAL;
}

/* Programs also call this after an ibv_start_poll() that has failed. */
static void end_poll(struct ibv_cq_ex *of) {
    shim_session_end(&cq_of(of)->polling);
}

static enum ibv_wc_opcode read_opcode(struct ibv_cq_ex *of) {
    return (enum ibv_wc_opcode)cq_of(of)->current.opcode;
}

static uint32_t read_vendor_err(struct ibv_cq_ex *of) {
    return cq_of(of)->current.cause;
}

static uint32_t read_byte_len(struct ibv_cq_ex *of) {
    return cq_of(of)->current.byte_len;
}

static __be32 read_imm_data(struct ibv_cq_ex *of) {
    return cq_of(of)->current.imm_or_inv;
}

static uint32_t read_qp_num(struct ibv_cq_ex *of) {
    return cq_of(of)->current.qp_num;
}

static uint32_t read_src_qp(struct ibv_cq_ex *of) {
    return cq_of(of)->current.src_qp;
}

static unsigned int read_wc_flags(struct ibv_cq_ex *of) {
    return flags_of(&cq_of(of)->current);
}

static uint32_t read_slid(struct ibv_cq_ex *of) {
    return cq_of(of)->current.slid;
}

static uint8_t read_sl(struct ibv_cq_ex *of) {
    return cq_of(of)->current.sl;
}

static uint8_t read_dlid_path_bits(struct ibv_cq_ex *of) {
    (void)of; /* the port has one LID */
    return 0;
}

/* The rest belongs to flags that ibv_create_cq_ex() refuses. A program that calls it all the same gets 0. */
static uint64_t read_no_time(struct ibv_cq_ex *of) {
    (void)of;
    return 0;
}

static uint16_t read_no_vlan(struct ibv_cq_ex *of) {
    (void)of;
    return 0;
}

static uint32_t read_no_tag(struct ibv_cq_ex *of) {
    (void)of;
    return 0;
}

static void read_no_tm_info(struct ibv_cq_ex *of, struct ibv_wc_tm_info *info) {
    (void)of;
    *info = (struct ibv_wc_tm_info){0};
}

void shim_fill_cq_ex(struct ibv_cq_ex *cq) {
    cq->start_poll = start_poll;
    cq->next_poll = next_poll;
    cq->end_poll = end_poll;
    cq->read_opcode = read_opcode;
    cq->read_vendor_err = read_vendor_err;
    cq->read_byte_len = read_byte_len;
    cq->read_imm_data = read_imm_data;
    cq->read_qp_num = read_qp_num;
    cq->read_src_qp = read_src_qp;
    cq->read_wc_flags = read_wc_flags;
    cq->read_slid = read_slid;
    cq->read_sl = read_sl;
    cq->read_dlid_path_bits = read_dlid_path_bits;
    cq->read_completion_ts = read_no_time;
    cq->read_completion_wallclock_ns = read_no_time;
    cq->read_cvlan = read_no_vlan;
    cq->read_flow_tag = read_no_tag;
    cq->read_tm_info = read_no_tm_info;
}
