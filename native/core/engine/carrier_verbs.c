/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/carrier_verbs.h"

#include <string.h>

#include "core/base/failure.h"
#include "core/base/faults.h"
#include "core/base/rvt_errno.h"
#include "core/engine/copy.h"
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"
#include "core/engine/qp_state.h"
#include "core/engine/responder.h"
#include "core/objects/mr.h"

enum { ATOMIC_BYTES = 8, ONLY_PORT = 1, YIELDS = 64 };

/* --- lock and binding --- */

void rvt_carrier_begin(struct rvt_dev_info *device) {
    rvt_engine_lock(device->engine);
}

/* A carrier under a flood of packets takes the lock again at once, before a thread that waits for it has woken up: a
 * verb could wait for hundreds of batches. So the waiting threads get a moment to come in. */
static void let_others_in(struct rvt_engine *engine) {
    for (int i = 0; i < YIELDS && atomic_load_explicit(&engine->waiting, memory_order_relaxed); i++)
        rvt_yield();
}

void rvt_carrier_end(struct rvt_dev_info *device) {
    rvt_engine_finish(device->engine);
    let_others_in(device->engine);
}

void rvt_carrier_draw_numbers(struct rvt_dev_info *device) {
    device->engine->random_qp_numbers = true;
}

int rvt_set_carrier(struct rvt_qp_handle handle, const struct rvt_carrier *carrier, void *data,
                    bool random_only, uint32_t types) {
    int error;
    struct rvt_engine_qp *qp = rvt_lock_engine_qp(handle, &error);
    if (!qp)
        return error;
    if (carrier == &rvt_loopback)
        carrier = qp->engine->loopback;
    if (!(types >> qp->type & 1))
        error = rvt_fail_value(RVT_EOPNOTSUPP, RVT_CAUSE_QP_TYPE, qp->type, 0);
    else if (qp->attr.state != RVT_QPS_RESET && qp->attr.state != RVT_QPS_INIT)
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_QP_STATE, qp->attr.state, 0);
    else if (random_only && !qp->random_qpn)
        error = rvt_fail(RVT_EINVAL, RVT_CAUSE_QP_NUMBER_FORESEEN);
    else if (carrier->attached && !carrier->attached(qp, data))
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    else
        rvt_use_carrier(qp, carrier, data);
    rvt_engine_finish(qp->engine);
    return error;
}

void rvt_unset_carrier(struct rvt_engine_qp *qp) {
    const struct rvt_why why = rvt_because(RVT_WHY_ENDPOINT_CLOSED);
    const bool had_failed = qp->attr.state == RVT_QPS_ERR;
    rvt_use_carrier(qp, qp->engine->loopback,
                    NULL); /* first, so that the former carrier learns nothing of what follows */
    rvt_error_qp_and_report(qp, RVT_WC_STATUS_WR_FLUSH_ERR, &why);
    if (had_failed)
        return; /* the engine flushes it, because of the earlier failure */
    rvt_flush_swqes(qp, &why);
    rvt_show_queues(qp);
}

void *rvt_carrier_find(struct rvt_dev_info *device, uint32_t qpn, const struct rvt_carrier *carrier) {
    const struct rvt_engine_qp *qp = rvt_find_destination(device->engine, qpn);
    return qp && qp->carrier == carrier ? qp->carrier_data : NULL;
}

/* --- the queue pair --- */

const struct rvt_qp_attr *rvt_carrier_attr(const struct rvt_engine_qp *qp) {
    return &qp->attr;
}

enum rvt_qp_type rvt_carrier_type(const struct rvt_engine_qp *qp) {
    return qp->type;
}

uint32_t rvt_carrier_qpn(const struct rvt_engine_qp *qp) {
    return qp->qpn;
}

uint64_t rvt_carrier_serial(const struct rvt_engine_qp *qp) {
    return qp->serial;
}

uint32_t rvt_carrier_max_sends(const struct rvt_engine_qp *qp) {
    return qp->sq.max_wr;
}

void *rvt_carrier_data(const struct rvt_engine_qp *qp) {
    return qp->carrier_data;
}

/* --- the requester --- */

uint32_t rvt_carrier_sends(const struct rvt_engine_qp *qp) {
    return qp->sq.count;
}

void rvt_carrier_send(const struct rvt_engine_qp *qp, uint32_t index, struct rvt_carried_send *send) {
    const struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, index);
    *send = (struct rvt_carried_send){
        .remote_addr = wqe->remote_addr,
        .compare_add = wqe->compare_add,
        .swap = wqe->swap,
        .length = (uint32_t)wqe->length,
        .opcode = wqe->opcode,
        .flags = wqe->flags,
        .rkey = wqe->rkey,
        .imm = wqe->imm,
        .invalidate_rkey = wqe->invalidate_rkey,
        .local = rvt_is_local(wqe),
        .delayed = rvt_is_local(wqe) && !wqe->done_at_post,
    };
}

void rvt_carrier_destination(const struct rvt_engine_qp *qp, uint32_t index,
                             struct rvt_carried_destination *destination) {
    const struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, index);
    memcpy(destination->host.ip, wqe->host_ip, sizeof(wqe->host_ip));
    destination->host.udp_port = wqe->udp_port;
    destination->qpn = wqe->remote_qpn;
    destination->qkey = rvt_message_qkey(qp, wqe);
}

void rvt_carrier_started(struct rvt_engine_qp *qp, uint32_t index) {
    rvt_sq_at(&qp->sq, index)->started = true;
}

/* Moves bytes between the elements of a queued work request and a buffer. */
static bool move_local(struct rvt_engine_qp *qp, uint32_t index, uint64_t offset, unsigned char *to,
                       const unsigned char *from, uint32_t bytes, struct rvt_why *why) {
    struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, index);
    const struct rvt_elements elements = {wqe->sges, wqe->num_sge, qp, NULL};
    if (rvt_move_piece(&elements, offset, to, from, bytes, &why->refused))
        return true;
    why->cause = RVT_WHY_LOCAL_REFUSED;
    why->value = 0;
    return false;
}

bool rvt_carrier_gather(struct rvt_engine_qp *qp, uint32_t index, uint64_t offset, unsigned char *to,
                        uint32_t bytes, struct rvt_why *why) {
    return move_local(qp, index, offset, to, NULL, bytes, why);
}

bool rvt_carrier_scatter(struct rvt_engine_qp *qp, uint32_t index, uint64_t offset, const unsigned char *from,
                         uint32_t bytes, struct rvt_why *why) {
    return move_local(qp, index, offset, NULL, from, bytes, why);
}

bool rvt_carrier_scatter_value(struct rvt_engine_qp *qp, uint32_t index, uint64_t value,
                               struct rvt_why *why) {
    return move_local(qp, index, 0, NULL, (const unsigned char *)&value, sizeof(value), why);
}

void rvt_carrier_complete(struct rvt_engine_qp *qp) {
    if (rvt_make_fault(qp->engine->device->faults, RVT_FAULT_FLUSH))
        rvt_flush_by_fault(qp);
    else
        rvt_complete_swqe(qp, RVT_WC_STATUS_SUCCESS, NULL);
    rvt_show_queues(qp);
}

void rvt_carrier_local(struct rvt_engine_qp *qp) {
    rvt_carry_out_local(qp);
    rvt_show_queues(qp);
}

void rvt_carrier_fail(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why) {
    rvt_fail_swqe(qp, status, why);
    rvt_show_queues(qp);
}

void rvt_carrier_flush(struct rvt_engine_qp *qp) {
    const struct rvt_why flushed = rvt_because(RVT_WHY_FLUSHED);
    rvt_flush_swqes(qp, &flushed);
}

/* --- the responder --- */

/* Returns whether the queue pair's access flags allow what a remote right stands for. */
static bool flags_allow(const struct rvt_engine_qp *qp, uint32_t right) {
    return (qp->attr.access & right) != 0;
}

/* Refuses an access because of its range or its bytes, or because of the access flags. */
static enum rvt_response refuse_range(struct rvt_engine_qp *qp, const struct rvt_carried_access *access,
                                      struct rvt_why *why) {
    if (!access->lenient)
        return rvt_refuse_access(qp, why);
    why->cause = RVT_WHY_REMOTE_REFUSED;
    why->value = 0;
    return RVT_RESPONSE_ACCESS;
}
static enum rvt_response refuse_right(struct rvt_engine_qp *qp, const struct rvt_carried_access *access,
                                      struct rvt_why *why) {
    if (!access->lenient)
        return rvt_refuse_by_flags(qp, why);
    *why = rvt_because(RVT_WHY_QP_ACCESS);
    why->value = qp->attr.access;
    return RVT_RESPONSE_INVALID;
}

/* Judges the range of an access. `again`: it was accepted and counted before. On DONE, *accepted is valid in the
 * engine's present section. */
static enum rvt_response judge_range(struct rvt_engine_qp *qp, uint32_t right,
                                     const struct rvt_carried_access *access,
                                     struct rvt_remote_access *accepted, struct rvt_why *why) {
    accepted->asked = (struct rvt_ib_sge){access->addr, access->rest, access->rkey};
    accepted->right = right;
    const bool done = access->again ? rvt_accept_remote_again(qp, accepted, &why->refused)
                                    : rvt_accept_remote(qp, accepted, &why->refused);
    return done ? RVT_RESPONSE_DONE : refuse_range(qp, access, why);
}

enum rvt_response rvt_carrier_judge(struct rvt_engine_qp *qp, uint32_t right,
                                    const struct rvt_carried_access *access, struct rvt_why *why) {
    struct rvt_remote_access accepted;
    if (!flags_allow(qp, right))
        return refuse_right(qp, access, why);
    return access->rest ? judge_range(qp, right, access, &accepted, why) : RVT_RESPONSE_DONE;
}

static enum rvt_response move_remote(struct rvt_engine_qp *qp, uint32_t right,
                                     const struct rvt_carried_access *access, unsigned char *to,
                                     const unsigned char *from, uint32_t bytes, struct rvt_why *why) {
    struct rvt_remote_access accepted;
    if (!flags_allow(qp, right))
        return refuse_right(qp, access, why);
    /* First of all, so that the bytes move in the section in which the access is judged. */
    (void)rvt_engine_enter_for(qp->engine, bytes);
    const enum rvt_response response = judge_range(qp, right, access, &accepted, why);
    if (response != RVT_RESPONSE_DONE)
        return response;
    const struct rvt_elements elements = {&accepted.sge, 1, qp, &accepted};
    return rvt_move_piece(&elements, 0, to, from, bytes, &why->refused) ? RVT_RESPONSE_DONE
                                                                        : refuse_range(qp, access, why);
}

enum rvt_response rvt_carrier_write(struct rvt_engine_qp *qp, const struct rvt_carried_access *access,
                                    const unsigned char *from, uint32_t bytes, struct rvt_why *why) {
    return move_remote(qp, RVT_ACCESS_REMOTE_WRITE, access, NULL, from, bytes, why);
}

enum rvt_response rvt_carrier_read(struct rvt_engine_qp *qp, const struct rvt_carried_access *access,
                                   unsigned char *to, uint32_t bytes, struct rvt_why *why) {
    return move_remote(qp, RVT_ACCESS_REMOTE_READ, access, to, NULL, bytes, why);
}

enum rvt_response rvt_carrier_atomic(struct rvt_engine_qp *qp, uint32_t opcode, uint64_t addr, uint32_t rkey,
                                     uint64_t compare_add, uint64_t swap, uint64_t *old,
                                     struct rvt_why *why) {
    const struct rvt_carried_access access = {.addr = addr, .rest = ATOMIC_BYTES, .rkey = rkey};
    struct rvt_remote_access accepted;
    if (!flags_allow(qp, RVT_ACCESS_REMOTE_ATOMIC))
        return rvt_refuse_by_flags(qp, why);
    if (addr % ATOMIC_BYTES)
        return rvt_refuse_invalid(qp, RVT_WHY_ATOMIC_ADDRESS, 0, why);
    const enum rvt_response response = judge_range(qp, RVT_ACCESS_REMOTE_ATOMIC, &access, &accepted, why);
    if (response != RVT_RESPONSE_DONE)
        return response;
    const struct rvt_elements word = {&accepted.sge, 1, qp, &accepted};
    return rvt_apply_atomic_to(&word, opcode, compare_add, swap, old, &why->refused)
               ? RVT_RESPONSE_DONE
               : rvt_refuse_access(qp, why);
}

enum rvt_response rvt_carrier_take_receive(struct rvt_engine_qp *qp, bool with_buffers, struct rvt_why *why) {
    if (qp->in_hand.there)
        return RVT_RESPONSE_DONE;
    return rvt_make_fault(qp->engine->device->faults, RVT_FAULT_RNR)
               ? RVT_RESPONSE_RNR
               : rvt_take_receive(qp, with_buffers, why);
}

enum rvt_response rvt_carrier_fill(struct rvt_engine_qp *qp, uint64_t offset, const unsigned char *from,
                                   uint32_t bytes, struct rvt_why *why) {
    const struct rvt_elements elements = {qp->in_hand.sges, qp->in_hand.num_sge, qp, NULL};
    if (offset + bytes > qp->in_hand.length && qp->type != RVT_QPT_RC) {
        *why = rvt_because(RVT_WHY_RECEIVE_TOO_SHORT);
        return RVT_RESPONSE_INVALID;
    }
    if (offset + bytes > qp->in_hand.length)
        return rvt_refuse_too_long(qp, why);
    if (rvt_move_piece(&elements, offset, NULL, from, bytes, &why->refused))
        return RVT_RESPONSE_DONE;
    why->cause = RVT_WHY_RECEIVE_REFUSED;
    why->value = 0;
    rvt_error_qp_and_report(qp, RVT_WC_STATUS_LOC_PROT_ERR, why);
    return RVT_RESPONSE_OPERATION;
}

bool rvt_carrier_invalidate(struct rvt_engine_qp *qp, uint32_t rkey) {
    rvt_engine_leave(qp->engine); /* the verb waits for readers */
    return !rvt_invalidate_rkey(qp->handle, rkey);
}

void rvt_carrier_received(struct rvt_engine_qp *qp, enum rvt_wc_opcode opcode, uint32_t flags,
                          uint32_t imm_or_inv, uint32_t length, bool solicited) {
    struct rvt_wc wc = {
        .src_qp = qp->attr.dest_qpn,
        .opcode = opcode,
        .byte_len = length,
        .flags = flags,
        .imm_or_inv = imm_or_inv,
        .sl = qp->attr.av.sl,
        .port = ONLY_PORT,
    };
    rvt_complete_receive(qp, &wc, solicited);
}

enum rvt_response rvt_carrier_invalid(struct rvt_engine_qp *qp, struct rvt_why *why) {
    return rvt_refuse_invalid(qp, RVT_WHY_BAD_PACKET, 0, why);
}
