/* SPDX-License-Identifier: BSD-3-Clause */
/* The work requests that a requester has begun: their order, their end, and going back. Used by requester*.c only.
 *
 * A function that completes or fails a work request can put the queue pair into ERR, which calls
 * rvt_requester_stop() before it returns: nothing has begun then any more, and `running` is false. So the requester's
 * state is brought in order before each such call, and `running` is looked at behind it. */
#ifndef RVT_WIRE_REQUESTER_QUEUE_H
#define RVT_WIRE_REQUESTER_QUEUE_H

#include "wire/endpoint/connection.h"

enum { RVT_PSN_MASK = 0xffffff };

/* Returns the begun work request `index`, below `begun`. */
static inline struct rvt_wire_request *rvt_begun(const struct rvt_wire_requester *requester, uint32_t index) {
    const uint32_t slot = requester->first + index;
    return &requester->requests[slot < requester->capacity ? slot : slot - requester->capacity];
}

/* Returns how far a PSN is behind the oldest one that is not complete. Unsigned: a READ of 2^31 bytes alone can have
 * 2^23 PSNs, so that what is in flight does not fit into the signed distance. */
static inline uint32_t rvt_psn_offset(const struct rvt_wire_requester *requester, uint32_t psn) {
    return (psn - requester->oldest_psn) & RVT_PSN_MASK;
}

/* Returns whether the peer may answer to this PSN: it was sent and is not complete. */
static inline bool rvt_in_flight(const struct rvt_wire_requester *requester, uint32_t psn) {
    return rvt_psn_offset(requester, psn) < rvt_psn_offset(requester, requester->sent_psn);
}

/* Returns whether the work request needs a response, not only an acknowledgement. */
static inline bool rvt_needs_response(const struct rvt_wire_request *request) {
    return request->kind == RVT_WIRE_READ || request->kind == RVT_WIRE_ATOMIC;
}

/* Appends a work request to those that have begun, and gives it its PSNs. */
void rvt_append_begun(struct rvt_wire_requester *requester, enum rvt_wire_kind kind, uint32_t psns);

/* The peer has carried out everything in front of `psn`, which is in flight or sent_psn. Completes the work requests
 * that this ends, up to a READ or an atomic operation without its response, and notes the progress. Returns
 * `running`. */
bool rvt_acknowledge(struct rvt_connection *connection, uint32_t psn, uint64_t now);

/* The response `psn`, which is oldest_psn, has come. `last`: it completes the oldest work request. */
void rvt_take_response(struct rvt_connection *connection, bool last, uint64_t now);

/* Completes the oldest work request with an error. */
void rvt_fail_oldest(struct rvt_connection *connection, enum rvt_wc_status status, enum rvt_wc_cause cause,
                     uint32_t value);

/* Sends again from the oldest packet that is not complete on; without the packets that are acknowledged. Stops the
 * timer, which the next packet starts. */
void rvt_go_back(struct rvt_connection *connection);

/* Goes back as a retry: if none is left, fails the oldest work request with RETRY_EXC_ERR and this cause. */
void rvt_retry(struct rvt_connection *connection, enum rvt_wc_cause cause, uint32_t value);

/* Starts the transport timer, unless it runs or the queue pair has none. */
void rvt_start_transport_timer(struct rvt_connection *connection, uint64_t now);

#endif
