/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/responder.h"

#include "core/access/check.h"
#include "core/base/rvt_errno.h"
#include "core/engine/copy.h"
#include "core/engine/engine_state.h"
#include "core/objects/mr.h"

enum { ATOMIC_BYTES = 8, ONLY_PORT = 1 };

enum rvt_response rvt_refuse_invalid(struct rvt_engine_qp *qp, enum rvt_wc_cause cause, uint32_t value,
                                     struct rvt_why *why) {
    *why = rvt_because(cause);
    why->value = value;
    rvt_error_qp_and_report(qp, RVT_WC_STATUS_LOC_QP_OP_ERR, why);
    return RVT_RESPONSE_INVALID;
}

enum rvt_response rvt_refuse_too_long(struct rvt_engine_qp *qp, struct rvt_why *why) {
    *why = rvt_because(RVT_WHY_RECEIVE_TOO_SHORT);
    /* The status of the InfiniBand specification, volume 1, 11.6.2; the reference has another one. */
    rvt_error_qp_and_report(
        qp, qp->engine->device->rkey_mask ? RVT_WC_STATUS_LOC_LEN_ERR : RVT_WC_STATUS_LOC_QP_OP_ERR, why);
    return RVT_RESPONSE_INVALID;
}

/* Answers a request whose responder was ended by another thread that has not told the engine yet. Every check refuses
 * the access as closed then, but the requester must see a queue pair that does not exist. */
static enum rvt_response find_gone(struct rvt_why *why) {
    *why = rvt_because(RVT_WHY_NO_PEER);
    return RVT_RESPONSE_GONE;
}

static bool has_ended(const struct rvt_engine_qp *qp) {
    return !rvt_checker_live(&qp->remote);
}

enum rvt_response rvt_refuse_access(struct rvt_engine_qp *qp, struct rvt_why *why) {
    if (has_ended(qp))
        return find_gone(why);
    why->cause = RVT_WHY_REMOTE_REFUSED;
    why->value = 0;
    rvt_error_qp_and_report(qp, RVT_WC_STATUS_LOC_PROT_ERR, why);
    return RVT_RESPONSE_ACCESS;
}

/* Refuses the request because the queue pair's access flags lack a right. */
enum rvt_response rvt_refuse_by_flags(struct rvt_engine_qp *qp, struct rvt_why *why) {
    return rvt_refuse_invalid(qp, RVT_WHY_QP_ACCESS, qp->attr.access, why);
}

/* --- receives --- */

/* Judges one access and takes a reference. Returns whether it is accepted; fills *refused if not. */
static bool accept_access(const struct rvt_checker *checker, const struct rvt_ib_sge *asked, uint32_t access,
                          uint64_t judge, struct rvt_sge *sge, struct rvt_refused_access *refused) {
    enum rvt_reason reason = RVT_REASON_NONE;
    if (rvt_acquire_one(checker, asked, access, NULL, sge, &reason) == 1)
        return true;
    if (!reason)
        reason = RVT_REGION_REVOKED; /* the region is held 2^32-1 times already, so no reference was taken */
    *refused = (struct rvt_refused_access){
        .judge = judge,
        .addr = asked->addr,
        .length = asked->length,
        .key = asked->lkey,
        .access = access,
        .reason = reason,
    };
    return false;
}

/* Checks the elements of a receive and takes their references into the receive in hand. Returns false and
 * fills *refused if one is refused; no reference is kept then. */
static bool accept_receive(struct rvt_engine_qp *qp, const struct rvt_rwqe *wqe,
                           const struct rvt_ib_sge *sges, struct rvt_refused_access *refused) {
    struct rvt_receive_in_hand *hand = &qp->in_hand;
    bool accepted = true;
    struct rvt_data_call *call = rvt_engine_enter(qp->engine);
    for (uint32_t i = 0; i < wqe->num_sge && accepted; i++) {
        rvt_data_call_spend(call, 0);
        if (!sges[i].length)
            continue;
        accepted = accept_access(&qp->receives, &sges[i], RVT_ACCESS_LOCAL_WRITE, 0,
                                 &hand->sges[hand->num_sge], refused);
        if (accepted) {
            hand->num_sge++;
            hand->length += sges[i].length;
        }
    }
    if (!accepted) {
        rvt_engine_put(qp->engine, hand->sges, hand->num_sge);
        hand->num_sge = 0;
    }
    return accepted;
}

enum rvt_response rvt_take_receive(struct rvt_engine_qp *qp, bool with_buffers, struct rvt_why *why) {
    struct rvt_rwqe wqe;
    const struct rvt_ib_sge *sges;
    if (has_ended(qp)) /* it must not take a receive of a shared queue, which would be lost */
        return find_gone(why);
    if (!rvt_recv_queue_take(qp->srq ? &qp->srq->queue : &qp->rq, &wqe, &sges))
        return RVT_RESPONSE_RNR;
    if (qp->srq)
        rvt_show_srq(qp->srq);
    rvt_show_queues(qp);
    qp->in_hand.num_sge = 0;
    qp->in_hand.length = 0;
    qp->in_hand.wr_id = wqe.wr_id;
    if (with_buffers && !accept_receive(qp, &wqe, sges, &why->refused)) {
        if (has_ended(qp))
            return find_gone(why);
        why->cause = RVT_WHY_RECEIVE_REFUSED;
        why->value = 0;
        /* A full completion queue has no further effect. */
        (void)rvt_complete_failed_receive(qp, wqe.wr_id, RVT_WC_STATUS_LOC_PROT_ERR, why);
        rvt_error_qp_and_report(qp, RVT_WC_STATUS_LOC_QP_OP_ERR, why);
        return RVT_RESPONSE_OPERATION;
    }
    qp->in_hand.there = true;
    if (qp->srq)
        rvt_srq_taken(qp->engine, qp->srq);
    return RVT_RESPONSE_DONE;
}

void rvt_complete_receive(struct rvt_engine_qp *qp, struct rvt_wc *wc, bool solicited) {
    const struct rvt_why full = rvt_because(RVT_WHY_CQ_FULL);
    rvt_engine_put(qp->engine, qp->in_hand.sges, qp->in_hand.num_sge);
    qp->in_hand.num_sge = 0;
    qp->in_hand.there = false;
    wc->wr_id = qp->in_hand.wr_id;
    wc->qp = qp->serial;
    wc->qp_num = qp->qpn;
    if (!rvt_cq_enter(qp->engine, qp->recv_cq, wc, solicited))
        (void)rvt_error_qp(qp, RVT_WC_STATUS_LOC_QP_OP_ERR, &full);
}

/* Completes the receive of an RC or UC request. Reports the responder's own dest_qpn as the source, like the
 * kernel, which does not check that the requester has this number. */
static void complete_receive(struct rvt_engine_qp *qp, const struct rvt_swqe *wqe, struct rvt_wc *wc) {
    wc->src_qp = qp->attr.dest_qpn;
    wc->byte_len = (uint32_t)wqe->length;
    wc->slid = (uint16_t)qp->attr.av.dlid;
    wc->sl = qp->attr.av.sl;
    wc->port = ONLY_PORT;
    rvt_complete_receive(qp, wc, wqe->flags & RVT_SEND_SOLICITED);
}

/* --- requests --- */

static struct rvt_elements elements_of(struct rvt_engine_qp *requester, struct rvt_swqe *wqe) {
    return (struct rvt_elements){wqe->sges, wqe->num_sge, requester, NULL};
}

/* The requester's own bytes cannot be used. If the responder has taken a receive for the message, it goes
 * into error: the receive may hold a part of the message. */
static enum rvt_response refuse_local(struct rvt_engine_qp *responder, struct rvt_why *why) {
    const struct rvt_why broken_off = rvt_because(RVT_WHY_BROKEN_OFF);
    why->cause = RVT_WHY_LOCAL_REFUSED;
    why->value = 0;
    if (responder->in_hand.there)
        rvt_error_qp_and_report(responder, RVT_WC_STATUS_LOC_QP_OP_ERR, &broken_off);
    return RVT_RESPONSE_LOCAL;
}

/* The copy was stopped between two steps. A receive that the responder has taken may hold a part of the
 * message, so the responder goes into error as well. */
static enum rvt_response stop(struct rvt_engine_qp *responder) {
    const struct rvt_why broken_off = rvt_because(RVT_WHY_BROKEN_OFF);
    if (responder->in_hand.there)
        rvt_error_qp_and_report(responder, RVT_WC_STATUS_LOC_QP_OP_ERR, &broken_off);
    return RVT_RESPONSE_STOPPED;
}

static enum rvt_response respond_to_send(struct rvt_engine_qp *qp, struct rvt_engine_qp *requester,
                                         struct rvt_swqe *wqe, struct rvt_why *why) {
    const struct rvt_elements from = elements_of(requester, wqe);
    uint32_t flags = 0, imm_or_inv = 0;
    if (!rvt_can_read_bytes(&from, &why->refused)) /* before the receive is taken */
        return refuse_local(qp, why);
    enum rvt_response taken = rvt_take_receive(qp, true, why);
    if (taken != RVT_RESPONSE_DONE)
        return taken;
    if (wqe->length > qp->in_hand.length)
        return rvt_refuse_too_long(qp, why);
    if (wqe->opcode == RVT_WR_SEND_WITH_INV) {
        rvt_engine_leave(qp->engine); /* the verb waits for readers */
        if (!rvt_invalidate_rkey(qp->handle, wqe->invalidate_rkey)) {
            flags = RVT_WC_WITH_INVALIDATE;
            imm_or_inv = wqe->invalidate_rkey;
        }
    }
    if (wqe->opcode == RVT_WR_SEND_WITH_IMM) {
        flags = RVT_WC_WITH_IMM;
        imm_or_inv = wqe->imm;
    }
    const struct rvt_elements to = {qp->in_hand.sges, qp->in_hand.num_sge, qp, NULL};
    switch (rvt_move_bytes(&from, &to, 0, wqe->length, &why->refused)) {
    case RVT_MOVED:
        break;
    case RVT_MOVE_REFUSED_FROM:
        return refuse_local(qp, why);
    case RVT_MOVE_REFUSED_TO:
        why->cause = RVT_WHY_RECEIVE_REFUSED;
        why->value = 0;
        rvt_error_qp_and_report(qp, RVT_WC_STATUS_LOC_PROT_ERR, why);
        return RVT_RESPONSE_OPERATION;
    case RVT_MOVE_STOPPED:
        return stop(qp);
    }
    struct rvt_wc wc = {.opcode = RVT_WC_OPCODE_RECV, .flags = flags, .imm_or_inv = imm_or_inv};
    complete_receive(qp, wqe, &wc);
    return RVT_RESPONSE_DONE;
}

/* Stores the range and the right that the request asks for. rvt_accept_remote() fills the rest of *access. */
static void ask(struct rvt_remote_access *access, const struct rvt_swqe *wqe, uint32_t length,
                uint32_t right) {
    access->asked = (struct rvt_ib_sge){wqe->remote_addr, length, wqe->rkey};
    access->right = right;
}

/* Copies the bytes of a write. An empty one needs no key. */
static enum rvt_response write_bytes(struct rvt_engine_qp *qp, struct rvt_engine_qp *requester,
                                     struct rvt_swqe *wqe, struct rvt_why *why) {
    const struct rvt_elements from = elements_of(requester, wqe);
    struct rvt_remote_access access;
    ask(&access, wqe, (uint32_t)wqe->length, RVT_ACCESS_REMOTE_WRITE);
    if (!wqe->length)
        return RVT_RESPONSE_DONE;
    if (!rvt_accept_remote(qp, &access, &why->refused))
        return rvt_refuse_access(qp, why);
    const struct rvt_elements to = {&access.sge, 1, qp, &access};
    switch (rvt_move_bytes(&from, &to, 0, wqe->length, &why->refused)) {
    case RVT_MOVED:
        break;
    case RVT_MOVE_REFUSED_FROM:
        return refuse_local(qp, why);
    case RVT_MOVE_REFUSED_TO:
        return rvt_refuse_access(qp, why);
    case RVT_MOVE_STOPPED:
        return stop(qp);
    }
    return RVT_RESPONSE_DONE;
}

static enum rvt_response respond_to_write(struct rvt_engine_qp *qp, struct rvt_engine_qp *requester,
                                          struct rvt_swqe *wqe, struct rvt_why *why) {
    if (!(qp->attr.access & RVT_ACCESS_REMOTE_WRITE))
        return rvt_refuse_by_flags(qp, why);
    if (wqe->opcode == RVT_WR_RDMA_WRITE)
        return write_bytes(qp, requester, wqe, why);
    enum rvt_response response = rvt_take_receive(qp, false, why);
    if (response == RVT_RESPONSE_DONE)
        response = write_bytes(qp, requester, wqe, why);
    if (response == RVT_RESPONSE_DONE) {
        struct rvt_wc wc = {
            .opcode = RVT_WC_OPCODE_RECV_RDMA_WITH_IMM,
            .flags = RVT_WC_WITH_IMM,
            .imm_or_inv = wqe->imm,
        };
        complete_receive(qp, wqe, &wc);
    }
    return response;
}

static enum rvt_response respond_to_read(struct rvt_engine_qp *qp, struct rvt_engine_qp *requester,
                                         struct rvt_swqe *wqe, struct rvt_why *why) {
    struct rvt_remote_access access;
    ask(&access, wqe, (uint32_t)wqe->length, RVT_ACCESS_REMOTE_READ);
    if (!(qp->attr.access & RVT_ACCESS_REMOTE_READ))
        return rvt_refuse_by_flags(qp, why);
    if (!rvt_accept_remote(qp, &access, &why->refused)) /* also an empty read needs a key */
        return rvt_refuse_access(qp, why);
    const struct rvt_elements from = {&access.sge, 1, qp, &access}, to = elements_of(requester, wqe);
    switch (rvt_move_bytes(&from, &to, 0, wqe->length, &why->refused)) {
    case RVT_MOVED:
        break;
    case RVT_MOVE_REFUSED_FROM:
        return rvt_refuse_access(qp, why);
    case RVT_MOVE_REFUSED_TO:
        return refuse_local(qp, why);
    case RVT_MOVE_STOPPED:
        return stop(qp);
    }
    return RVT_RESPONSE_DONE;
}

static enum rvt_response respond_to_atomic(struct rvt_engine_qp *qp, struct rvt_engine_qp *requester,
                                           struct rvt_swqe *wqe, struct rvt_why *why) {
    struct rvt_remote_access access;
    ask(&access, wqe, ATOMIC_BYTES, RVT_ACCESS_REMOTE_ATOMIC);
    if (!(qp->attr.access & RVT_ACCESS_REMOTE_ATOMIC))
        return rvt_refuse_by_flags(qp, why);
    if (wqe->remote_addr % ATOMIC_BYTES)
        return rvt_refuse_invalid(qp, RVT_WHY_ATOMIC_ADDRESS, 0, why);
    if (!rvt_accept_remote(qp, &access, &why->refused))
        return rvt_refuse_access(qp, why);
    const struct rvt_elements word = {&access.sge, 1, qp, &access}, result = elements_of(requester, wqe);
    enum rvt_moved moved = rvt_apply_atomic(&word, &result, wqe, &why->refused);
    if (moved == RVT_MOVE_REFUSED_FROM)
        return rvt_refuse_access(qp, why);
    return moved == RVT_MOVED ? RVT_RESPONSE_DONE : refuse_local(qp, why);
}

enum rvt_response rvt_respond(struct rvt_engine_qp *qp, struct rvt_engine_qp *requester, struct rvt_swqe *wqe,
                              struct rvt_why *why) {
    switch (wqe->opcode) {
    case RVT_WR_SEND:
    case RVT_WR_SEND_WITH_IMM:
    case RVT_WR_SEND_WITH_INV:
        return respond_to_send(qp, requester, wqe, why);
    case RVT_WR_RDMA_WRITE:
    case RVT_WR_RDMA_WRITE_WITH_IMM:
        return respond_to_write(qp, requester, wqe, why);
    case RVT_WR_RDMA_READ:
        return respond_to_read(qp, requester, wqe, why);
    default: /* posting refuses every other opcode but the atomics */
        return respond_to_atomic(qp, requester, wqe, why);
    }
}
