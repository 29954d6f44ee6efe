/* SPDX-License-Identifier: BSD-3-Clause */
/* UD queue pairs: hands messages to the queue pair that the work request names, and receives those that another carrier
 * brings. docs/semantics.md, V14. */
#include "core/base/faults.h"
#include "core/engine/carrier.h"
#include "core/engine/copy.h"
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"
#include "core/engine/qp_state.h"
#include "core/engine/responder.h"

enum { PORT_LID = 1 };

/* Takes a receive for a message of `length` bytes, in front of which is room for the global route header, unless one is
 * in hand. Returns INVALID if it is too short: it stays in hand for the next message, and that is not an error. */
static enum rvt_response take_receive_for(struct rvt_engine_qp *qp, uint64_t length, struct rvt_why *why) {
    if (!qp->in_hand.there) {
        const enum rvt_response taken = rvt_take_receive(qp, true, why);
        if (taken != RVT_RESPONSE_DONE)
            return taken;
    }
    if (length + RVT_GRH_BYTES <= qp->in_hand.length)
        return RVT_RESPONSE_DONE;
    *why = rvt_because(RVT_WHY_RECEIVE_TOO_SHORT);
    return RVT_RESPONSE_INVALID;
}

/* The bytes of the receive in hand cannot be used any more: as a receive with a bad key. */
static enum rvt_response refuse_receive(struct rvt_engine_qp *qp, struct rvt_why *why) {
    why->cause = RVT_WHY_RECEIVE_REFUSED;
    why->value = 0;
    rvt_error_qp_and_report(qp, RVT_WC_STATUS_LOC_PROT_ERR, why);
    return RVT_RESPONSE_OPERATION;
}

/* Delivers the message to a peer, or drops it: the sender is not told which. The caller must have pinned the
 * peer. Returns false if the sender was flushed, reset or destroyed between two steps of the copy: it then has
 * lost the work request, or the request waits to be flushed. */
static bool deliver_to(struct rvt_engine_qp *peer, struct rvt_engine_qp *qp, struct rvt_swqe *wqe) {
    const struct rvt_elements from = {wqe->sges, wqe->num_sge, qp, NULL};
    struct rvt_why why = rvt_because(RVT_WHY_NONE);
    if (!rvt_can_read_bytes(&from, &why.refused))
        return true;
    if (take_receive_for(peer, wqe->length, &why) != RVT_RESPONSE_DONE)
        return true;
    const struct rvt_elements to = {peer->in_hand.sges, peer->in_hand.num_sge, peer, NULL};
    struct rvt_wc wc = {
        .opcode = RVT_WC_OPCODE_RECV,
        .byte_len = (uint32_t)wqe->length + RVT_GRH_BYTES,
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
    switch (rvt_move_bytes(&from, &to, RVT_GRH_BYTES, wqe->length, &why.refused)) {
    case RVT_MOVED:
        rvt_complete_receive(peer, &wc, solicited);
        return true;
    case RVT_MOVE_REFUSED_TO:
        (void)refuse_receive(peer, &why);
        return true;
    case RVT_MOVE_STOPPED:
        /* Even a short message needs two sections if requests before it have used up most of the first one. */
        return qp->epoch == epoch;
    default:
        return true;
    }
}

/* Returns as deliver_to(). `faulty`: see rvt_loopback_of(). */
static inline bool deliver(struct rvt_engine_qp *qp, struct rvt_swqe *wqe, const bool faulty) {
    struct rvt_engine_qp *peer = rvt_find_destination(qp->engine, wqe->remote_qpn);
    if (!peer || peer->type != RVT_QPT_UD || peer->carrier != qp->carrier || !rvt_qp_receives(peer) ||
        !rvt_carrier_qkey_fits(peer, rvt_message_qkey(qp, wqe)))
        return true;
    if (faulty && rvt_make_fault(qp->engine->device->faults, RVT_FAULT_RNR))
        return true;
    rvt_pin_qp(peer);
    bool present = deliver_to(peer, qp, wqe);
    rvt_unpin_qp(peer);
    return present;
}

static inline __attribute__((always_inline)) void carry_out(struct rvt_engine_qp *qp, const bool faulty) {
    const struct rvt_why flushed = rvt_because(RVT_WHY_FLUSHED);
    while (qp->sq.count) {
        if (qp->attr.state == RVT_QPS_ERR) {
            rvt_complete_swqe(qp, RVT_WC_STATUS_WR_FLUSH_ERR, &flushed);
        } else if (qp->attr.state == RVT_QPS_RTS) {
            struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, 0);
            wqe->started = true;
            if (faulty && rvt_make_fault(qp->engine->device->faults, RVT_FAULT_FLUSH))
                rvt_flush_by_fault(qp);
            else if (deliver(qp, wqe, faulty))
                rvt_complete_swqe(qp, RVT_WC_STATUS_SUCCESS, NULL);
        } else {
            return;
        }
        (void)rvt_engine_yield(qp->engine);
    }
}

void rvt_ud_loopback(struct rvt_engine_qp *qp) {
    carry_out(qp, false);
}

bool rvt_carrier_qkey_fits(const struct rvt_engine_qp *qp, uint32_t qkey) {
    return qkey == qp->attr.qkey;
}

enum rvt_response rvt_carrier_datagram(struct rvt_engine_qp *qp, const struct rvt_carried_datagram *datagram,
                                       struct rvt_why *why) {
    if (rvt_make_fault(qp->engine->device->faults, RVT_FAULT_RNR))
        return RVT_RESPONSE_RNR;
    const enum rvt_response taken = take_receive_for(qp, datagram->length, why);
    if (taken != RVT_RESPONSE_DONE)
        return taken;
    const struct rvt_elements to = {qp->in_hand.sges, qp->in_hand.num_sge, qp, NULL};
    if (!rvt_move_piece(&to, 0, NULL, datagram->grh, RVT_GRH_BYTES, &why->refused) ||
        !rvt_move_piece(&to, RVT_GRH_BYTES, NULL, datagram->payload, datagram->length, &why->refused))
        return refuse_receive(qp, why);
    struct rvt_wc wc = {
        .opcode = RVT_WC_OPCODE_RECV,
        .byte_len = datagram->length + RVT_GRH_BYTES,
        .src_qp = datagram->source_qpn,
        .flags = RVT_WC_WITH_GRH | (datagram->with_imm ? RVT_WC_WITH_IMM : 0),
        .imm_or_inv = datagram->with_imm ? datagram->imm : 0,
        .port = (uint8_t)qp->attr.port,
    };
    rvt_complete_receive(qp, &wc, datagram->solicited);
    return RVT_RESPONSE_DONE;
}

static void work(struct rvt_engine_qp *qp) {
    if (qp->type == RVT_QPT_UD)
        rvt_ud_loopback(qp);
    else
        rvt_ruc_loopback(qp);
}

const struct rvt_carrier rvt_loopback = {.work = work};

static void work_with_faults(struct rvt_engine_qp *qp) {
    if (qp->type == RVT_QPT_UD)
        carry_out(qp, true);
    else
        rvt_ruc_loopback_with_faults(qp);
}

static const struct rvt_carrier faulty_loopback = {.work = work_with_faults};

const struct rvt_carrier *rvt_loopback_of(const struct rvt_faults *faults) {
    return rvt_faults_of(faults, RVT_FAULT_RNR) || rvt_faults_of(faults, RVT_FAULT_FLUSH) ? &faulty_loopback
                                                                                          : &rvt_loopback;
}
