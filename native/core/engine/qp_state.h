/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of a queue pair that requests and failures cause. The caller must hold the engine lock. */
#ifndef RVT_ENGINE_QP_STATE_H
#define RVT_ENGINE_QP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/engine/carrier_verbs.h"
#include "core/engine/engine_qp.h"

/* Puts the queue pair into error, like the kernel's rvt_error_qp(): completes the receive in hand with
 * `status` and the posted receives as flushed; queued sends are flushed when the engine comes to them. Does
 * nothing in RESET and ERR. Returns whether the caller, if it is one that reports RVT_EVENT_LAST_WQE, must do
 * so: the queue pair has a shared receive queue. */
bool rvt_error_qp(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why);

/* Puts the queue pair into error, and reports RVT_EVENT_LAST_WQE if it is due. */
void rvt_error_qp_and_report(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why);

/* Completes the work request at the head of the send queue: puts its references, removes it, and enters a
 * completion if it is signaled or has failed. If the completion queue does not take it, the queue pair goes
 * into error. `why` may be NULL. */
void rvt_complete_swqe(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why);

/* Completes the head work request with a status that is not necessarily an error (UC fails with SUCCESS), and
 * puts an RC queue pair into error. */
void rvt_fail_swqe(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why);

/* What RVT_FAULT_FLUSH does: completes the head work request as flushed, and puts the queue pair into error. */
void rvt_flush_by_fault(struct rvt_engine_qp *qp);

/* Completes every queued send work request as flushed, with this cause. Never releases the engine lock. */
void rvt_flush_swqes(struct rvt_engine_qp *qp, const struct rvt_why *why);

/* Returns whether the work request is an operation of this end alone: nothing is sent for it. */
static inline bool rvt_is_local(const struct rvt_swqe *wqe) {
    return wqe->done_at_post || wqe->opcode == RVT_WR_LOCAL_INV || wqe->opcode == RVT_WR_BIND_MW;
}

/* Carries out the local operation at the head of the send queue and completes it. One that fails does not put
 * the queue pair into error. The engine's reader may be in a section, which is left. */
void rvt_carry_out_local(struct rvt_engine_qp *qp);

/* Returns the Q_Key that a datagram carries. A remote_qkey with the highest bit set stands for the sender's own. */
static inline uint32_t rvt_message_qkey(const struct rvt_engine_qp *qp, const struct rvt_swqe *wqe) {
    return wqe->remote_qkey >> 31 ? qp->attr.qkey : wqe->remote_qkey;
}

/* Replaces the carrier and its data, and tells the former one. */
void rvt_use_carrier(struct rvt_engine_qp *qp, const struct rvt_carrier *carrier, void *data);

/* Enters the completion of a receive that is not carried out. Returns false if its queue does not take it. */
bool rvt_complete_failed_receive(struct rvt_engine_qp *qp, uint64_t wr_id, enum rvt_wc_status status,
                                 const struct rvt_why *why);

/* Starts the RNR timer with the peer's min_rnr_timer (0..31); the queue pair waits until it fires. */
void rvt_wait_for_receiver(struct rvt_engine_qp *qp, uint32_t min_rnr_timer);

/* Returns the queue pair with this number if it can be a destination: it is past RESET; or NULL. */
struct rvt_engine_qp *rvt_find_destination(struct rvt_engine *engine, uint32_t qpn);

/* Resets the queue pair (docs/semantics.md, V7): drops queued sends without completions and keeps posted
 * receives. Late completions of its completion queues become visible. */
void rvt_reset_qp(struct rvt_engine_qp *qp);

#endif
