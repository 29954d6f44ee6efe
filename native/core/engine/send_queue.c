/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of send work requests, whatever carries them: their completions, and local operations in their turn. */
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"
#include "core/engine/qp_state.h"
#include "core/objects/mr.h"

/* Opcodes of completions by opcode of the work request. */
static uint32_t wc_opcode(uint32_t wr_opcode) {
    switch (wr_opcode) {
    case RVT_WR_RDMA_WRITE:
    case RVT_WR_RDMA_WRITE_WITH_IMM:
        return RVT_WC_OPCODE_RDMA_WRITE;
    case RVT_WR_RDMA_READ:
        return RVT_WC_OPCODE_RDMA_READ;
    case RVT_WR_ATOMIC_CMP_AND_SWP:
        return RVT_WC_OPCODE_COMP_SWAP;
    case RVT_WR_ATOMIC_FETCH_AND_ADD:
        return RVT_WC_OPCODE_FETCH_ADD;
    case RVT_WR_LOCAL_INV:
        return RVT_WC_OPCODE_LOCAL_INV;
    case RVT_WR_BIND_MW:
        return RVT_WC_OPCODE_BIND_MW;
    case RVT_WR_REG_MR:
        return RVT_WC_OPCODE_REG_MR;
    default:
        return RVT_WC_OPCODE_SEND;
    }
}

void rvt_complete_swqe(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why) {
    struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, 0);
    rvt_engine_put(qp->engine, wqe->sges, wqe->num_sge);
    rvt_sq_pop(qp);
    if (qp->sig_type != RVT_SIGNAL_ALL_WR && !(wqe->flags & RVT_SEND_SIGNALED) && !status)
        return;
    struct rvt_wc wc = {
        .wr_id = wqe->wr_id,
        .qp = qp->serial,
        .qp_num = qp->qpn,
        .status = status,
        .opcode = wc_opcode(wqe->opcode),
        .byte_len = (uint32_t)wqe->length,
    };
    if (why) {
        wc.cause = why->cause;
        wc.cause_value = why->value;
        wc.refused = why->refused;
    }
    if (rvt_cq_enter(qp->engine, qp->send_cq, &wc, status != RVT_WC_STATUS_SUCCESS))
        return;
    const struct rvt_why full = rvt_because(RVT_WHY_CQ_FULL);
    (void)rvt_error_qp(qp, RVT_WC_STATUS_LOC_QP_OP_ERR, &full);
}

void rvt_fail_swqe(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why) {
    const struct rvt_why flushed = rvt_because(RVT_WHY_FLUSHED);
    rvt_complete_swqe(qp, status, why);
    if (qp->type == RVT_QPT_RC)
        rvt_error_qp_and_report(qp, RVT_WC_STATUS_WR_FLUSH_ERR, &flushed);
}

void rvt_flush_by_fault(struct rvt_engine_qp *qp) {
    struct rvt_why why = rvt_because(RVT_WHY_INJECTED);
    why.value = RVT_FAULT_FLUSH;
    rvt_complete_swqe(qp, RVT_WC_STATUS_WR_FLUSH_ERR, &why);
    rvt_error_qp_and_report(qp, RVT_WC_STATUS_WR_FLUSH_ERR, &why);
}

void rvt_flush_swqes(struct rvt_engine_qp *qp, const struct rvt_why *why) {
    while (qp->sq.count)
        rvt_complete_swqe(qp, RVT_WC_STATUS_WR_FLUSH_ERR, why);
}

/* Carries out a delayed LOCAL_INV. A failure does not put the queue pair into error. */
static void invalidate_delayed(struct rvt_engine_qp *qp, const struct rvt_swqe *wqe) {
    struct rvt_why why = rvt_because(RVT_WHY_INVALIDATE_REFUSED);
    qp->delayed_invs--;
    rvt_engine_leave(qp->engine); /* the verb waits for readers */
    if (rvt_invalidate_rkey(qp->handle, wqe->invalidate_rkey))
        rvt_complete_swqe(qp, RVT_WC_STATUS_LOC_PROT_ERR, &why);
    else
        rvt_complete_swqe(qp, RVT_WC_STATUS_SUCCESS, NULL);
}

/* Carries out a delayed BIND_MW. A failure does not put the queue pair into error, like one of LOCAL_INV. */
static void bind_delayed(struct rvt_engine_qp *qp, const struct rvt_swqe *wqe) {
    struct rvt_why why = rvt_because(RVT_WHY_BIND_REFUSED);
    qp->delayed_invs--;
    rvt_engine_leave(qp->engine);
    if (rvt_bind_mw(qp->handle, wqe->mw, &wqe->bind))
        rvt_complete_swqe(qp, RVT_WC_STATUS_MW_BIND_ERR, &why);
    else
        rvt_complete_swqe(qp, RVT_WC_STATUS_SUCCESS, NULL);
}

void rvt_carry_out_local(struct rvt_engine_qp *qp) {
    const struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, 0);
    if (wqe->done_at_post)
        rvt_complete_swqe(qp, RVT_WC_STATUS_SUCCESS, NULL);
    else if (wqe->opcode == RVT_WR_BIND_MW)
        bind_delayed(qp, wqe);
    else
        invalidate_delayed(qp, wqe);
}
