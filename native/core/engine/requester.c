/* SPDX-License-Identifier: BSD-3-Clause */
/* Carries out the queued send work requests of RC and UC queue pairs over loopback. docs/semantics.md, V10 to
 * V12. */
#include "core/base/faults.h"
#include "core/engine/carrier.h"
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"
#include "core/engine/qp_state.h"
#include "core/engine/responder.h"

enum { RNR_RETRY_FOREVER = 7 };

/* Code that is compiled twice: without faults, and with them. */
#define RVT_INLINE inline __attribute__((always_inline))

/* What to do after the work request at the head of the send queue. */
enum outcome {
    NEXT,  /* it is completed: go on with the next one */
    AGAIN, /* it is not: look up the peer again, and go on with it */
    LEAVE, /* the engine leaves the queue pair */
};

static enum outcome fail_head(struct rvt_engine_qp *qp, enum rvt_wc_status status,
                              const struct rvt_why *why) {
    rvt_fail_swqe(qp, status, why);
    return LEAVE;
}

/* Returns the status of a failure that UC does not report. */
static enum rvt_wc_status unless_uc(const struct rvt_engine_qp *qp, enum rvt_wc_status status) {
    return qp->type == RVT_QPT_UC ? RVT_WC_STATUS_SUCCESS : status;
}

/* The peer has no receive. RC tries again after the peer's time, or fails; UC drops the message. */
static enum outcome handle_rnr(struct rvt_engine_qp *qp, const struct rvt_engine_qp *peer,
                               const bool by_fault) {
    struct rvt_why why = rvt_because(by_fault ? RVT_WHY_INJECTED : RVT_WHY_NO_RECEIVE);
    why.value = by_fault ? RVT_FAULT_RNR : 0;
    if (qp->type == RVT_QPT_UC) {
        rvt_complete_swqe(qp, RVT_WC_STATUS_SUCCESS, &why);
        return NEXT;
    }
    if (!qp->rnr_left)
        return fail_head(qp, RVT_WC_STATUS_RNR_RETRY_EXC_ERR, &why);
    if (qp->attr.rnr_retry != RNR_RETRY_FOREVER)
        qp->rnr_left--;
    rvt_wait_for_receiver(qp, peer->attr.min_rnr_timer);
    return LEAVE;
}

/* Returns why a peer that cannot take a request cannot take it. */
static struct rvt_why judge_peer(const struct rvt_engine_qp *peer) {
    struct rvt_why why = rvt_because(RVT_WHY_NO_PEER);
    if (peer && !rvt_qp_receives(peer)) {
        why.cause = RVT_WHY_PEER_STATE;
        why.value = peer->attr.state;
    } else if (peer) {
        why.cause = RVT_WHY_PEER_TYPE;
        why.value = peer->type;
    }
    return why;
}

/* Returns whether the request takes a receive of the peer. */
static bool takes_receive(const struct rvt_swqe *wqe) {
    switch (wqe->opcode) {
    case RVT_WR_SEND:
    case RVT_WR_SEND_WITH_IMM:
    case RVT_WR_SEND_WITH_INV:
    case RVT_WR_RDMA_WRITE_WITH_IMM:
        return true;
    default:
        return false;
    }
}

/* Makes a fault of the head work request, which has a peer. Returns whether there is one; *outcome is what to do then. */
static bool is_faulty(struct rvt_engine_qp *qp, const struct rvt_engine_qp *peer, enum outcome *outcome) {
    struct rvt_faults *faults = qp->engine->device->faults;
    if (rvt_make_fault(faults, RVT_FAULT_FLUSH)) {
        rvt_flush_by_fault(qp);
        *outcome = NEXT;
        return true;
    }
    if (!takes_receive(rvt_sq_at(&qp->sq, 0)) || !rvt_make_fault(faults, RVT_FAULT_RNR))
        return false;
    *outcome = handle_rnr(qp, peer, true);
    return true;
}

/* `faulty`: see rvt_loopback_of(). */
static RVT_INLINE enum outcome carry_out_head(struct rvt_engine_qp *qp, struct rvt_engine_qp *peer,
                                              const bool faulty) {
    struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, 0);
    struct rvt_why why; /* filled when the request is refused */
    wqe->started = true;
    if (!peer || !rvt_qp_receives(peer) || peer->type != qp->type) {
        why = judge_peer(peer);
        return fail_head(qp, unless_uc(qp, RVT_WC_STATUS_RETRY_EXC_ERR), &why);
    }
    if (rvt_is_local(wqe)) {
        rvt_carry_out_local(qp);
        return NEXT;
    }
    enum outcome outcome = LEAVE;
    if (faulty && is_faulty(qp, peer, &outcome))
        return outcome;
    const uint64_t epoch = qp->epoch;
    rvt_pin_qp(peer);
    enum rvt_response response = rvt_respond(peer, qp, wqe, &why);
    switch (response) {
    case RVT_RESPONSE_DONE:
        rvt_complete_swqe(qp, RVT_WC_STATUS_SUCCESS, NULL);
        outcome = NEXT;
        break;
    case RVT_RESPONSE_RNR:
        outcome = handle_rnr(qp, peer, false);
        break;
    case RVT_RESPONSE_GONE:
        outcome = fail_head(qp, unless_uc(qp, RVT_WC_STATUS_RETRY_EXC_ERR), &why);
        break;
    case RVT_RESPONSE_STOPPED: /* between two steps one end was flushed, reset or destroyed */
        outcome = qp->epoch == epoch ? AGAIN : LEAVE;
        break;
    case RVT_RESPONSE_LOCAL:
        outcome = fail_head(qp, RVT_WC_STATUS_LOC_PROT_ERR, &why);
        break;
    case RVT_RESPONSE_INVALID:
        outcome = fail_head(qp, unless_uc(qp, RVT_WC_STATUS_REM_INV_REQ_ERR), &why);
        break;
    case RVT_RESPONSE_ACCESS:
        outcome = fail_head(qp, RVT_WC_STATUS_REM_ACCESS_ERR, &why);
        break;
    case RVT_RESPONSE_OPERATION:
        outcome = fail_head(qp, RVT_WC_STATUS_REM_OP_ERR, &why);
        break;
    }
    rvt_unpin_qp(peer);
    return outcome;
}

/* Returns the destination, or NULL. A queue pair with another carrier is somewhere else. */
static struct rvt_engine_qp *find_peer(const struct rvt_engine_qp *qp) {
    struct rvt_engine_qp *peer = rvt_find_destination(qp->engine, qp->attr.dest_qpn);
    return peer && peer->carrier == qp->carrier ? peer : NULL;
}

static RVT_INLINE void carry_out(struct rvt_engine_qp *qp, const bool faulty) {
    const struct rvt_why flushed = rvt_because(RVT_WHY_FLUSHED);
    if (qp->waiting_rnr)
        return;
    struct rvt_engine_qp *peer = find_peer(qp);
    while (qp->sq.count) {
        enum outcome outcome = NEXT;
        if (qp->attr.state == RVT_QPS_ERR)
            rvt_complete_swqe(qp, RVT_WC_STATUS_WR_FLUSH_ERR, &flushed);
        else if (qp->attr.state == RVT_QPS_RTS)
            outcome = carry_out_head(qp, peer, faulty);
        else
            return; /* SQD stops even behind a started work request; other states have nothing to do */
        if (outcome == LEAVE)
            return;
        if (outcome == NEXT) {
            qp->rnr_left = qp->attr.rnr_retry;
            if (!rvt_engine_yield(qp->engine))
                continue;
            /* Another thread may have destroyed the peer. */
        }
        if (qp->ended)
            return;
        peer = find_peer(qp);
    }
}

void rvt_ruc_loopback(struct rvt_engine_qp *qp) {
    carry_out(qp, false);
}

void rvt_ruc_loopback_with_faults(struct rvt_engine_qp *qp) {
    carry_out(qp, true);
}
