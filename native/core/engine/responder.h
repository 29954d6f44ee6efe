/* SPDX-License-Identifier: BSD-3-Clause */
/* The responder's side of a request: what a queue pair does with a peer's work request. The requester's bytes
 * and the responder's lie in one process, so it also moves them. docs/semantics.md, V11. The caller must hold
 * the engine lock. */
#ifndef RVT_ENGINE_RESPONDER_H
#define RVT_ENGINE_RESPONDER_H

#include <stdbool.h>

#include "core/engine/carrier_verbs.h"
#include "core/engine/qp_state.h"

/* Carries out the request at the responder. Unless it is DONE, RNR or STOPPED, *why
 * says why. If it is refused as INVALID, ACCESS or OPERATION, the responder is in error already and its events are reported: the
 * responder fails before the requester. The two may be the same queue pair. Releases the engine lock between
 * steps if another thread waits for it; the caller must have pinned both. */
enum rvt_response rvt_respond(struct rvt_engine_qp *responder, struct rvt_engine_qp *requester,
                              struct rvt_swqe *wqe, struct rvt_why *why);

/* Refuses a request: puts the queue pair into ERR and reports it. INVALID: *why gets the cause and the value.
 * TOO_LONG: INVALID because the message does not fit into the receive.
 * BY_FLAGS: INVALID because the access flags lack a right. ACCESS: because of why->refused; GONE if the refusal only
 * says that the queue pair has ended. */
enum rvt_response rvt_refuse_invalid(struct rvt_engine_qp *qp, enum rvt_wc_cause cause, uint32_t value,
                                     struct rvt_why *why);
enum rvt_response rvt_refuse_too_long(struct rvt_engine_qp *qp, struct rvt_why *why);
enum rvt_response rvt_refuse_by_flags(struct rvt_engine_qp *qp, struct rvt_why *why);
enum rvt_response rvt_refuse_access(struct rvt_engine_qp *qp, struct rvt_why *why);

/* Takes a receive. `with_buffers`: its elements are checked and become the receive in hand; otherwise they
 * are not looked at. Returns DONE, RNR, GONE or OPERATION; after OPERATION the responder is in error. */
enum rvt_response rvt_take_receive(struct rvt_engine_qp *qp, bool with_buffers, struct rvt_why *why);

/* Completes the receive in hand with success, filling wr_id and the queue pair of *wc. If the completion
 * queue does not take it, the queue pair goes into error without an event. */
void rvt_complete_receive(struct rvt_engine_qp *qp, struct rvt_wc *wc, bool solicited);

#endif
