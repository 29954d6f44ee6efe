/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a requester, and its timers. */
#include "wire/endpoint/requester.h"

#include "core/base/alloc.h"
#include "wire/endpoint/requester_queue.h"

bool rvt_requester_init(struct rvt_connection *connection) {
    struct rvt_wire_requester *requester = &connection->requester;
    requester->capacity = rvt_carrier_max_sends(connection->qp);
    if (!requester->capacity)
        return true; /* nothing can be posted */
    requester->requests = rvt_zalloc(requester->capacity, sizeof(*requester->requests));
    return requester->requests != NULL;
}

void rvt_requester_free(struct rvt_connection *connection) {
    rvt_free(connection->requester.requests);
}

/* Sets everything but the ring's memory to the beginning, with `psn` as the first PSN. */
static void begin_again(struct rvt_connection *connection, uint32_t psn, bool running) {
    struct rvt_wire_requester *requester = &connection->requester;
    const struct rvt_qp_attr *attr = rvt_carrier_attr(connection->qp);
    *requester = (struct rvt_wire_requester){
        .requests = requester->requests,
        .capacity = requester->capacity,
        .oldest_psn = psn,
        .acknowledged_psn = psn,
        .sent_psn = psn,
        .next_psn = psn,
        .heard_psn = psn,
        .retries_left = (uint8_t)attr->retry_cnt,
        .rnr_left = (uint8_t)attr->rnr_retry,
        .running = running,
    };
    rvt_connection_set_deadline(connection, UINT64_MAX);
}

void rvt_requester_start(struct rvt_connection *connection) {
    begin_again(connection, rvt_carrier_attr(connection->qp)->sq_psn, true);
}

void rvt_requester_stop(struct rvt_connection *connection) {
    begin_again(connection, 0, false);
}

void rvt_requester_work(struct rvt_connection *connection) {
    const struct rvt_wire_requester *requester = &connection->requester;
    if (requester->running && !requester->waiting && requester->at < rvt_carrier_sends(connection->qp))
        rvt_connection_wake(connection);
}

void rvt_requester_tick(struct rvt_connection *connection, uint64_t now) {
    struct rvt_wire_requester *requester = &connection->requester;
    (void)now;
    if (!requester->running)
        return;
    if (requester->waiting) {
        requester->waiting = false;
        rvt_connection_wake(connection);
        return;
    }
    rvt_connection_counters(connection)->timeouts++;
    requester->asked_again = false;
    rvt_retry(connection, RVT_WHY_NO_ANSWER, 0);
}
