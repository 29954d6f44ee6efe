/* SPDX-License-Identifier: BSD-3-Clause */
/* UD queue pairs: hands messages to the queue pair that the work request names. docs/semantics.md, V14. */
#include "core/engine/carrier.h"
#include "core/engine/copy.h"
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"
#include "core/engine/qp_state.h"
#include "core/engine/responder.h"

enum {
    GRH_BYTES = 40, /* a receive begins with room for the global route header */
    PORT_LID = 1,
};

/* A remote_qkey with the highest bit set stands for the sender's own Q_Key. */
static uint32_t message_qkey(const struct rvt_engine_qp *qp, const struct rvt_swqe *wqe) {
    return wqe->remote_qkey >> 31 ? qp->attr.qkey : wqe->remote_qkey;
}

/* Delivers the message to a peer, or drops it: the sender is not told which. The caller must have pinned the
 * peer. Returns false if the sender was flushed, reset or destroyed between two steps of the copy: it then has
 * lost the work request, or the request waits to be flushed. */
static bool deliver_to(struct rvt_engine_qp *peer, struct rvt_engine_qp *qp, struct rvt_swqe *wqe) {
    const struct rvt_elements from = {wqe->sges, wqe->num_sge, qp, NULL};
    struct rvt_why why = rvt_because(RVT_WHY_NONE);
    if (!rvt_can_read_bytes(&from, &why.refused))
        return true;
    if (!peer->in_hand.there && rvt_take_receive(peer, true, &why) != RVT_RESPONSE_DONE)
        return true;
    /* A receive that is too small stays in hand for the next message. */
    if (wqe->length + GRH_BYTES > peer->in_hand.length)
        return true;
    const struct rvt_elements to = {peer->in_hand.sges, peer->in_hand.num_sge, peer, NULL};
    struct rvt_wc wc = {
        .opcode = RVT_WC_OPCODE_RECV,
        .byte_len = (uint32_t)wqe->length + GRH_BYTES,
        .src_qp = qp->qpn,
        .slid = PORT_LID,
        .sl = wqe->av.sl,
        .port = (uint8_t)peer->attr.port,
    };
    if (wqe->opcode == RVT_WR_SEND_WITH_IMM) {
        wc.flags = RVT_WC_WITH_IMM;
        wc.imm_or_inv = wqe->imm;
    }
    const bool solicited = wqe->flags & RVT_SEND_SOLICITED;
    const uint64_t epoch = qp->epoch;
    switch (rvt_move_bytes(&from, &to, GRH_BYTES, wqe->length, &why.refused)) {
    case RVT_MOVED:
        rvt_complete_receive(peer, &wc, solicited);
        return true;
    case RVT_MOVE_REFUSED_TO: /* as a receive with a bad key */
        why.cause = RVT_WHY_RECEIVE_REFUSED;
        rvt_error_qp_and_report(peer, RVT_WC_STATUS_LOC_PROT_ERR, &why);
        return true;
    case RVT_MOVE_STOPPED:
        /* Even a short message needs two sections if requests before it have used up most of the first one. */
        return qp->epoch == epoch;
    default:
        return true;
    }
}

/* Returns as deliver_to(). */
static bool deliver(struct rvt_engine_qp *qp, struct rvt_swqe *wqe) {
    struct rvt_engine_qp *peer = rvt_find_destination(qp->engine, wqe->remote_qpn);
    if (!peer || peer->type != RVT_QPT_UD || !rvt_qp_receives(peer) ||
        message_qkey(qp, wqe) != peer->attr.qkey)
        return true;
    rvt_pin_qp(peer);
    bool present = deliver_to(peer, qp, wqe);
    rvt_unpin_qp(peer);
    return present;
}

void rvt_ud_loopback(struct rvt_engine_qp *qp) {
    const struct rvt_why flushed = rvt_because(RVT_WHY_FLUSHED);
    while (qp->sq.count) {
        if (qp->attr.state == RVT_QPS_ERR) {
            rvt_complete_swqe(qp, RVT_WC_STATUS_WR_FLUSH_ERR, &flushed);
        } else if (qp->attr.state == RVT_QPS_RTS) {
            struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, 0);
            wqe->started = true;
            if (deliver(qp, wqe))
                rvt_complete_swqe(qp, RVT_WC_STATUS_SUCCESS, NULL);
        } else {
            return;
        }
        (void)rvt_engine_yield(qp->engine);
    }
}

static void work(struct rvt_engine_qp *qp) {
    if (qp->type == RVT_QPT_UD)
        rvt_ud_loopback(qp);
    else
        rvt_ruc_loopback(qp);
}

const struct rvt_carrier rvt_loopback = {.work = work};
