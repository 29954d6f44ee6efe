/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/endpoint/requester_queue.h"

enum { TIMEOUT_BITS = 31 };

void rvt_append_begun(struct rvt_wire_requester *requester, enum rvt_wire_kind kind, uint32_t psns) {
    struct rvt_wire_request *request = rvt_begun(requester, requester->begun);
    *request = (struct rvt_wire_request){.psn = requester->next_psn, .psns = psns, .kind = (uint8_t)kind};
    requester->begun++;
    requester->next_psn = rvt_psn_after(requester->next_psn, psns);
    requester->reads += rvt_needs_response(request);
}

/* Removes the oldest work request, which is about to leave the send queue: the indices of the others become smaller
 * by one. */
static void remove_oldest(struct rvt_wire_requester *requester) {
    requester->reads -= rvt_needs_response(rvt_begun(requester, 0));
    requester->first = requester->first + 1 == requester->capacity ? 0 : requester->first + 1;
    requester->begun--;
    if (requester->at)
        requester->at--;
    else
        requester->at_packet = 0;
}

static void complete_oldest(struct rvt_connection *connection) {
    const bool local = rvt_begun(&connection->requester, 0)->kind == RVT_WIRE_LOCAL;
    remove_oldest(&connection->requester);
    if (local)
        rvt_carrier_local(connection->qp);
    else
        rvt_carrier_complete(connection->qp);
}

/* Completes what the acknowledged PSN ends. */
static void complete_acknowledged(struct rvt_connection *connection) {
    struct rvt_wire_requester *requester = &connection->requester;
    while (requester->begun) {
        const struct rvt_wire_request *oldest = rvt_begun(requester, 0);
        const uint32_t end = rvt_psn_after(oldest->psn, oldest->psns);
        if (rvt_needs_response(oldest))
            return;
        if (rvt_psn_offset(requester, requester->acknowledged_psn) < rvt_psn_offset(requester, end)) {
            requester->oldest_psn = requester->acknowledged_psn;
            return;
        }
        requester->oldest_psn = end;
        complete_oldest(connection);
    }
}

static uint64_t transport_timeout(const struct rvt_connection *connection) {
    const uint32_t timeout = rvt_carrier_attr(connection->qp)->timeout & TIMEOUT_BITS;
    /* 4.096 microseconds times a power of two, rounded up: never early. */
    return timeout ? ((UINT64_C(4096) << timeout) + 999) / 1000 : 0;
}

void rvt_start_transport_timer(struct rvt_connection *connection, uint64_t now) {
    const uint64_t timeout = transport_timeout(connection);
    if (timeout && connection->deadline == UINT64_MAX)
        rvt_connection_set_deadline(connection, now + timeout);
}

/* The oldest PSN has moved: the counters of retries begin again, and so does the timer. */
static void note_progress(struct rvt_connection *connection, uint64_t now) {
    struct rvt_wire_requester *requester = &connection->requester;
    const struct rvt_qp_attr *attr = rvt_carrier_attr(connection->qp);
    requester->retries_left = (uint8_t)attr->retry_cnt;
    requester->rnr_left = (uint8_t)attr->rnr_retry;
    requester->asked_again = requester->waiting = false;
    requester->heard_psn = requester->oldest_psn;
    rvt_connection_set_deadline(connection, UINT64_MAX);
    if (requester->oldest_psn != requester->sent_psn)
        rvt_start_transport_timer(connection, now);
    if (requester->at < rvt_carrier_sends(connection->qp))
        rvt_connection_wake(connection);
}

bool rvt_acknowledge(struct rvt_connection *connection, uint32_t psn, uint64_t now) {
    struct rvt_wire_requester *requester = &connection->requester;
    const uint32_t before = requester->oldest_psn;
    if (rvt_psn_offset(requester, psn) > rvt_psn_offset(requester, requester->acknowledged_psn))
        requester->acknowledged_psn = psn;
    complete_acknowledged(connection);
    if (requester->running && requester->oldest_psn != before)
        note_progress(connection, now);
    return requester->running;
}

void rvt_take_response(struct rvt_connection *connection, bool last, uint64_t now) {
    struct rvt_wire_requester *requester = &connection->requester;
    const uint32_t next = rvt_psn_after(requester->oldest_psn, 1);
    if (requester->acknowledged_psn == requester->oldest_psn)
        requester->acknowledged_psn = next;
    requester->oldest_psn = next;
    if (last) {
        complete_oldest(connection);
        complete_acknowledged(connection);
    }
    if (requester->running)
        note_progress(connection, now);
}

void rvt_fail_oldest(struct rvt_connection *connection, enum rvt_wc_status status, enum rvt_wc_cause cause,
                     uint32_t value) {
    struct rvt_why why = rvt_because(cause);
    why.value = value;
    rvt_carrier_fail(connection->qp, status, &why);
}

void rvt_go_back(struct rvt_connection *connection) {
    struct rvt_wire_requester *requester = &connection->requester;
    requester->at = requester->at_packet = 0;
    requester->gone_back = true;
    requester->heard_psn = requester->oldest_psn;
    rvt_connection_set_deadline(connection, UINT64_MAX);
    rvt_connection_wake(connection);
}

void rvt_retry(struct rvt_connection *connection, enum rvt_wc_cause cause, uint32_t value) {
    struct rvt_wire_requester *requester = &connection->requester;
    if (!requester->retries_left) {
        rvt_fail_oldest(connection, RVT_WC_STATUS_RETRY_EXC_ERR, cause, value);
        return;
    }
    requester->retries_left--;
    rvt_go_back(connection);
}
