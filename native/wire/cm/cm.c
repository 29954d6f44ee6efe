/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection manager: what the host asks for, what is sent, and time. */
#include "wire/cm/cm.h"

#include <string.h>

#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/platform.h"
#include "wire/cm/cm_state.h"

enum { DEFAULT_PKEY = 0xffff, HOP_LIMIT = 64 };

/* --- changing an entry --- */

static bool is_half_open(const struct rvt_cm_entry *entry) {
    return entry->state == RVT_CM_REQ_RECEIVED || entry->state == RVT_CM_REP_SENT;
}

static void set_deadline(struct rvt_cm *cm, struct rvt_cm_entry *entry, uint64_t now, uint64_t after) {
    entry->deadline =
        after == UINT64_MAX ? UINT64_MAX : (now + after + RVT_CM_GRAIN) / RVT_CM_GRAIN * RVT_CM_GRAIN;
    if (entry->deadline >= cm->deadline)
        return;
    cm->deadline = entry->deadline;
    cm->host.changed(cm->host.data);
}

/* A listener that has ended meanwhile does not count. */
static void count_half_open(struct rvt_cm *cm, const struct rvt_cm_entry *entry, int by) {
    struct rvt_cm_listener *listener = rvt_cm_find_listener(cm, entry->listener);
    cm->counters.half_open += (uint64_t)(int64_t)by;
    if (listener)
        listener->half_open += (uint32_t)by;
}

void rvt_cm_enter(struct rvt_cm *cm, struct rvt_cm_entry *entry, enum rvt_cm_state state, uint64_t now,
                  uint64_t after) {
    const bool was_half_open = is_half_open(entry);
    entry->state = (uint8_t)state;
    if (was_half_open != is_half_open(entry))
        count_half_open(cm, entry, was_half_open ? -1 : 1);
    set_deadline(cm, entry, now, after);
    if (state == RVT_CM_TIME_WAIT || state == RVT_CM_REJECTED)
        rvt_fifo_append(&cm->lingering, &entry->in_lingering);
}

void rvt_cm_wait(struct rvt_cm *cm, struct rvt_cm_entry *entry, uint64_t now) {
    /* Packets of either end may be on their way for as long as both think that they can arrive. */
    const uint8_t code = entry->own.ack_timeout > entry->theirs.ack_timeout ? entry->own.ack_timeout
                                                                            : entry->theirs.ack_timeout;
    uint64_t time = 2 * rvt_cm_microseconds(code);
    if (time < RVT_CM_LEAST_TIME_WAIT)
        time = RVT_CM_LEAST_TIME_WAIT;
    if (time > RVT_CM_MOST_TIME_WAIT)
        time = RVT_CM_MOST_TIME_WAIT;
    rvt_cm_enter(cm, entry, RVT_CM_TIME_WAIT, now, time);
}

void rvt_cm_end(struct rvt_cm *cm, struct rvt_cm_entry *entry) {
    rvt_cm_enter(cm, entry, RVT_CM_GONE, 0, UINT64_MAX);
    rvt_cm_forget_queue_pairs(entry);
    if (!entry->events && !entry->due)
        rvt_cm_free_entry(cm, entry);
}

void rvt_cm_tell(struct rvt_cm *cm, struct rvt_cm_entry *entry, enum rvt_cm_event_kind kind) {
    entry->events |= (uint16_t)(1u << kind);
    rvt_fifo_append(&cm->events, &entry->in_events);
    cm->host.changed(cm->host.data);
}

bool rvt_cm_untell(struct rvt_cm *cm, struct rvt_cm_entry *entry, enum rvt_cm_event_kind kind) {
    const bool there = entry->events >> kind & 1;
    entry->events &= (uint16_t) ~(1u << kind);
    if (!entry->events)
        rvt_fifo_remove(&cm->events, &entry->in_events);
    return there;
}

/* --- messages out --- */

void rvt_cm_queue(struct rvt_cm *cm, struct rvt_cm_entry *entry, uint16_t attribute) {
    entry->due = attribute;
    rvt_fifo_append(&cm->output, &entry->in_output);
    cm->host.changed(cm->host.data);
}

void rvt_cm_queue_reject(struct rvt_cm *cm, struct rvt_cm_entry *entry, enum rvt_cm_about about,
                         uint16_t reason, const unsigned char *data, uint32_t length) {
    const struct rvt_cm_message message = {
        .attribute = RVT_CM_ATTRIBUTE_REJ,
        .transaction = entry->transaction,
        .local_id = entry->local_id,
        .remote_id = entry->remote_id,
        .guid = reason == RVT_CM_REJECT_TIMEOUT ? cm->guid : 0,
        .about = (uint8_t)about,
        .reason = reason,
        .data = data,
        .data_length = length,
    };
    rvt_encode_cm(&message, entry->out);
    rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_REJ);
}

void rvt_cm_answer(struct rvt_cm *cm, const struct rvt_wire_peer *to, const struct rvt_cm_message *message) {
    if (cm->answer_count == RVT_CM_ANSWERS) {
        cm->counters.overflows++;
        return;
    }
    struct rvt_cm_answer *answer = &cm->answers[(cm->first_answer + cm->answer_count++) % RVT_CM_ANSWERS];
    answer->to = *to;
    answer->message = *message;
    cm->host.changed(cm->host.data);
}

bool rvt_cm_has_output(const struct rvt_cm *cm) {
    return cm->answer_count || cm->output.first;
}

static void write_message(const struct rvt_cm_entry *entry, unsigned char *bytes) {
    struct rvt_cm_message message = {
        .attribute = entry->due,
        .transaction = entry->transaction,
        .local_id = entry->local_id,
        .remote_id = entry->remote_id,
    };
    switch (entry->due) {
    case RVT_CM_ATTRIBUTE_REQ:
    case RVT_CM_ATTRIBUTE_REP:
    case RVT_CM_ATTRIBUTE_REJ:
        memcpy(bytes, entry->out, RVT_MAD_BYTES);
        return;
    case RVT_CM_ATTRIBUTE_MRA:
        message.about = RVT_CM_ABOUT_REQ;
        message.service_timeout = RVT_CM_HOST_TIME_CODE;
        break;
    case RVT_CM_ATTRIBUTE_DREQ:
        message.qpn = entry->theirs.qpn;
        message.transaction = entry->transaction_of_dreq;
        break;
    case RVT_CM_ATTRIBUTE_DREP:
        message.transaction = entry->transaction_of_dreq;
        break;
    default: /* RTU */
        break;
    }
    rvt_encode_cm(&message, bytes);
}

bool rvt_cm_send(struct rvt_cm *cm, struct rvt_wire_peer *to, unsigned char *bytes) {
    if (cm->answer_count) {
        const struct rvt_cm_answer *answer = &cm->answers[cm->first_answer];
        *to = answer->to;
        rvt_encode_cm(&answer->message, bytes);
        cm->first_answer = (cm->first_answer + 1) % RVT_CM_ANSWERS;
        cm->answer_count--;
    } else if (cm->output.first) {
        struct rvt_cm_entry *entry = RVT_LIST_ENTRY(cm->output.first, struct rvt_cm_entry, in_output);
        *to = entry->peer;
        write_message(entry, bytes);
        entry->due = 0;
        rvt_fifo_remove(&cm->output, &entry->in_output);
        if (entry->state == RVT_CM_GONE && !entry->events)
            rvt_cm_free_entry(cm, entry);
    } else {
        return false;
    }
    cm->counters.sent++;
    return true;
}

/* --- opening and closing --- */

int rvt_cm_open(const uint8_t address[16], const struct rvt_cm_host *host, struct rvt_cm **opened) {
    struct rvt_cm *cm = rvt_zalloc(1, sizeof(*cm));
    if (!cm)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (!rvt_random_bytes(&cm->guid, sizeof(cm->guid)) ||
        !rvt_random_bytes(&cm->hash_key, sizeof(cm->hash_key))) {
        rvt_free(cm);
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS);
    }
    cm->guid |= 1; /* not 0, which is no device */
    cm->hash_key |= 1;
    memcpy(cm->address, address, sizeof(cm->address));
    cm->host = *host;
    cm->deadline = UINT64_MAX;
    rvt_fifo_init(&cm->output);
    rvt_fifo_init(&cm->events);
    rvt_fifo_init(&cm->lingering);
    *opened = cm;
    return 0;
}

void rvt_cm_close(struct rvt_cm *cm) {
    rvt_free(cm);
}

/* --- passive side --- */

int rvt_cm_listen(struct rvt_cm *cm, uint64_t service, uint32_t backlog, uint32_t *listener) {
    struct rvt_cm_listener *slot = NULL;
    if (rvt_cm_find_service(cm, service))
        return rvt_fail(RVT_EADDRINUSE, RVT_CAUSE_SERVICE_IN_USE);
    for (uint32_t i = 0; i < RVT_CM_MOST_LISTENERS; i++)
        if (!cm->listeners[i].id)
            slot = &cm->listeners[i];
    if (!slot)
        return rvt_fail_value(RVT_EMFILE, RVT_CAUSE_TOO_MANY_CONNECTIONS, RVT_CM_MOST_LISTENERS,
                              RVT_CM_MOST_LISTENERS);
    do
        cm->last_listener++;
    while (!cm->last_listener || rvt_cm_find_listener(cm, cm->last_listener));
    *slot = (struct rvt_cm_listener){.id = cm->last_listener, .backlog = backlog, .service = service};
    *listener = slot->id;
    return 0;
}

void rvt_cm_unlisten(struct rvt_cm *cm, uint32_t id) {
    struct rvt_cm_listener *listener = rvt_cm_find_listener(cm, id);
    if (!listener)
        return;
    for (uint32_t i = 0; i < cm->used; i++) {
        struct rvt_cm_entry *entry = &cm->entries[i];
        if (entry->state != RVT_CM_REQ_RECEIVED || entry->listener != id ||
            !rvt_cm_untell(cm, entry, RVT_CM_EVENT_REQUEST))
            continue;
        rvt_cm_queue_reject(cm, entry, RVT_CM_ABOUT_REQ, RVT_CM_REJECT_INVALID_SERVICE, NULL, 0);
        rvt_cm_end(cm, entry);
    }
    listener->id = 0;
}

/* Finds a connection for a verb. Returns NULL and fills *error if it is over or in another state. */
static struct rvt_cm_entry *find_for_verb(struct rvt_cm *cm, uint32_t id, enum rvt_cm_state state,
                                          int *error) {
    struct rvt_cm_entry *entry = rvt_cm_find(cm, id);
    if (!entry || entry->state == RVT_CM_GONE || entry->state == RVT_CM_TIME_WAIT ||
        (entry->state == RVT_CM_REJECTED && entry->reason != RVT_CM_REJECT_PROGRAM)) {
        *error = rvt_fail(RVT_EBADF, RVT_CAUSE_CONNECTION_GONE);
        return NULL;
    }
    if (entry->state != state) {
        *error = rvt_fail(RVT_EINVAL, RVT_CAUSE_CONNECTION_STATE);
        return NULL;
    }
    return entry;
}

static int check_data(uint32_t length, uint32_t room) {
    return length <= room ? 0 : rvt_fail_value(RVT_EINVAL, RVT_CAUSE_PRIVATE_DATA, length, room);
}

int rvt_cm_accept(struct rvt_cm *cm, uint32_t id, const struct rvt_cm_offer *offer, const unsigned char *data,
                  uint32_t length, uint64_t now) {
    int error = 0;
    struct rvt_cm_entry *entry = find_for_verb(cm, id, RVT_CM_REQ_RECEIVED, &error);
    if (!entry)
        return error;
    if ((error = check_data(length, RVT_CM_REP_DATA)))
        return error;
    if (rvt_cm_find_local_qp(cm, offer->qpn))
        return rvt_fail(RVT_EBUSY, RVT_CAUSE_QP_CONNECTED);
    entry->own = *offer;
    entry->own.ack_timeout = 0; /* that of the REQ counts */
    rvt_cm_add_local_qp(cm, entry);
    const struct rvt_cm_message message = {
        .attribute = RVT_CM_ATTRIBUTE_REP,
        .transaction = entry->transaction,
        .local_id = entry->local_id,
        .remote_id = entry->remote_id,
        .guid = cm->guid,
        .qpn = offer->qpn,
        .psn = offer->psn,
        .responder_resources = offer->responder_resources,
        .initiator_depth = offer->initiator_depth,
        .rnr_retry_count = offer->rnr_retry_count,
        .srq = offer->srq,
        .data = data,
        .data_length = length,
    };
    rvt_encode_cm(&message, entry->out);
    rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_REP);
    rvt_cm_enter(cm, entry, RVT_CM_REP_SENT, now, entry->interval);
    return 0;
}

int rvt_cm_reject(struct rvt_cm *cm, uint32_t id, const unsigned char *data, uint32_t length, uint64_t now) {
    int error = 0;
    struct rvt_cm_entry *entry = find_for_verb(cm, id, RVT_CM_REQ_RECEIVED, &error);
    if (!entry)
        return error;
    if ((error = check_data(length, RVT_CM_REJ_DATA)))
        return error;
    entry->reason = RVT_CM_REJECT_PROGRAM;
    rvt_cm_queue_reject(cm, entry, RVT_CM_ABOUT_REQ, RVT_CM_REJECT_PROGRAM, data, length);
    rvt_cm_forget_queue_pairs(entry);
    rvt_cm_enter(cm, entry, RVT_CM_REJECTED, now, RVT_CM_REJECTED_TIME);
    return 0;
}

/* --- active side --- */

static void write_req(const struct rvt_cm *cm, struct rvt_cm_entry *entry, const struct rvt_cm_ask *ask) {
    unsigned char data[RVT_CM_REQ_DATA];
    uint32_t at = 0;
    if (rvt_cm_has_ip_header(ask->service)) {
        struct rvt_cm_ip_header header = {.ipv6 = !rvt_is_ipv4(ask->peer.address)};
        /* The port of a socket that does not exist: any number of the range of such ports. */
        header.source_port = (uint16_t)(0xc000 | (entry->local_id >> 16 & 0x3fff));
        memcpy(header.source, cm->address, 16);
        memcpy(header.destination, ask->peer.address, 16);
        rvt_encode_cm_ip_header(&header, data);
        at = RVT_CM_IP_HEADER;
    }
    if (ask->length)
        memcpy(data + at, ask->data, ask->length);
    struct rvt_cm_message message = {
        .attribute = RVT_CM_ATTRIBUTE_REQ,
        .transaction = entry->transaction,
        .local_id = entry->local_id,
        .service = ask->service,
        .guid = cm->guid,
        .qpn = ask->offer.qpn,
        .psn = ask->offer.psn,
        .responder_resources = ask->offer.responder_resources,
        .initiator_depth = ask->offer.initiator_depth,
        .remote_response_timeout = rvt_cm_timeout_code(ask->interval),
        .local_response_timeout = rvt_cm_timeout_code(ask->interval),
        .transport = RVT_CM_TRANSPORT_RC,
        .retry_count = ask->offer.retry_count,
        .rnr_retry_count = ask->offer.rnr_retry_count,
        .pkey = DEFAULT_PKEY,
        .path_mtu = ask->offer.path_mtu,
        .max_cm_retries = (uint8_t)ask->retries,
        .srq = ask->offer.srq,
        .local_lid = 0xffff, /* RoCE has none: the permissive LID */
        .remote_lid = 0xffff,
        .hop_limit = HOP_LIMIT,
        .ack_timeout = ask->offer.ack_timeout,
        .data = data,
        .data_length = at + ask->length,
    };
    memcpy(message.local_gid, cm->address, 16);
    memcpy(message.remote_gid, ask->peer.address, 16);
    rvt_encode_cm(&message, entry->out);
}

int rvt_cm_connect(struct rvt_cm *cm, const struct rvt_cm_ask *ask, uint64_t now, uint32_t *id) {
    int error =
        check_data(ask->length, rvt_cm_has_ip_header(ask->service) ? RVT_CM_IP_DATA : RVT_CM_REQ_DATA);
    uint64_t transaction;
    if (error)
        return error;
    if (rvt_cm_find_local_qp(cm, ask->offer.qpn))
        return rvt_fail(RVT_EBUSY, RVT_CAUSE_QP_CONNECTED);
    if (!rvt_random_bytes(&transaction, sizeof(transaction)))
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS);
    struct rvt_cm_entry *entry = rvt_cm_take_entry(cm);
    if (!entry)
        return rvt_fail_value(RVT_EMFILE, RVT_CAUSE_TOO_MANY_CONNECTIONS, cm->counters.open,
                              RVT_CM_MOST_CONNECTIONS);
    entry->active = true;
    entry->peer = ask->peer;
    entry->service = ask->service;
    entry->transaction = transaction;
    entry->transaction_of_dreq = transaction + 1;
    entry->own = ask->offer;
    entry->interval = ask->interval;
    entry->retries = (uint8_t)ask->retries;
    rvt_cm_add_local_qp(cm, entry);
    write_req(cm, entry, ask);
    rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_REQ);
    rvt_cm_enter(cm, entry, RVT_CM_REQ_SENT, now, entry->interval);
    *id = entry->local_id;
    return 0;
}

int rvt_cm_confirm(struct rvt_cm *cm, uint32_t id, uint64_t now) {
    int error = 0;
    struct rvt_cm_entry *entry = find_for_verb(cm, id, RVT_CM_REP_RECEIVED, &error);
    if (!entry)
        return error;
    rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_RTU);
    rvt_cm_enter(cm, entry, RVT_CM_ESTABLISHED, now, UINT64_MAX);
    return 0;
}

/* --- the end --- */

static void start_dreq(struct rvt_cm *cm, struct rvt_cm_entry *entry, uint64_t now) {
    entry->retries = RVT_CM_DREQ_RETRIES;
    entry->interval = RVT_CM_DREQ_INTERVAL;
    rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_DREQ);
    rvt_cm_enter(cm, entry, RVT_CM_DREQ_SENT, now, entry->interval);
}

void rvt_cm_disconnect(struct rvt_cm *cm, uint32_t id, uint64_t now) {
    struct rvt_cm_entry *entry = rvt_cm_find(cm, id);
    if (!entry)
        return;
    switch ((enum rvt_cm_state)entry->state) {
    case RVT_CM_REQ_RECEIVED:
        rvt_cm_untell(cm, entry, RVT_CM_EVENT_REQUEST);
        rvt_cm_reject(cm, id, NULL, 0, now);
        return;
    case RVT_CM_REP_SENT:
    case RVT_CM_REP_RECEIVED:
        /* The peer, or this end, may have sent packets already. */
        rvt_cm_untell(cm, entry, RVT_CM_EVENT_REPLY);
        rvt_cm_queue_reject(cm, entry, entry->active ? RVT_CM_ABOUT_REP : RVT_CM_ABOUT_OTHER,
                            RVT_CM_REJECT_PROGRAM, NULL, 0);
        rvt_cm_wait(cm, entry, now);
        return;
    case RVT_CM_REQ_SENT:
        rvt_cm_queue_reject(cm, entry, RVT_CM_ABOUT_REQ, RVT_CM_REJECT_TIMEOUT, NULL, 0);
        rvt_cm_end(cm, entry);
        return;
    case RVT_CM_ESTABLISHED:
        start_dreq(cm, entry, now);
        return;
    case RVT_CM_DREQ_RECEIVED:
        rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_DREP);
        rvt_cm_wait(cm, entry, now);
        return;
    case RVT_CM_FREE:
    case RVT_CM_DREQ_SENT:
    case RVT_CM_TIME_WAIT:
    case RVT_CM_REJECTED:
    case RVT_CM_GONE:
        return;
    }
}

void rvt_cm_queue_pair_gone(struct rvt_cm *cm, uint32_t qpn, uint64_t now) {
    struct rvt_cm_entry *entry = rvt_cm_find_local_qp(cm, qpn);
    if (!entry)
        return;
    if (entry->state == RVT_CM_ESTABLISHED) {
        start_dreq(cm, entry, now);
    } else if (entry->state == RVT_CM_REP_SENT) {
        rvt_cm_disconnect(cm, entry->local_id, now);
        rvt_cm_tell(cm, entry, RVT_CM_EVENT_DISCONNECTED);
    }
}

void rvt_cm_hang_up(struct rvt_cm *cm, uint64_t now) {
    for (uint32_t i = 0; i < cm->used; i++)
        rvt_cm_disconnect(cm, cm->entries[i].local_id, now);
}

/* --- events --- */

bool rvt_cm_has_event(const struct rvt_cm *cm) {
    return cm->events.first;
}

bool rvt_cm_take_event(struct rvt_cm *cm, struct rvt_cm_event *event) {
    if (!cm->events.first)
        return false;
    struct rvt_cm_entry *entry = RVT_LIST_ENTRY(cm->events.first, struct rvt_cm_entry, in_events);
    unsigned kind = 0; /* they are numbered in the order in which they can happen */
    while (!(entry->events >> kind & 1))
        kind++;
    memset(event, 0, sizeof(*event));
    event->kind = (enum rvt_cm_event_kind)kind;
    event->id = entry->local_id;
    event->listener = entry->listener;
    event->peer = entry->peer;
    event->service = entry->service;
    if (kind == RVT_CM_EVENT_REQUEST || kind == RVT_CM_EVENT_REPLY) {
        event->source_port = entry->source_port;
        event->offer = entry->theirs;
    }
    if (kind == RVT_CM_EVENT_REQUEST || kind == RVT_CM_EVENT_REPLY || kind == RVT_CM_EVENT_REJECTED) {
        event->length = entry->length;
        memcpy(event->data, entry->data, entry->length);
    }
    event->reason = kind == RVT_CM_EVENT_REJECTED ? entry->reason : 0;
    rvt_cm_untell(cm, entry, event->kind);
    if (entry->state == RVT_CM_GONE && !entry->events && !entry->due)
        rvt_cm_free_entry(cm, entry);
    return true;
}

/* --- time --- */

static bool repeats(struct rvt_cm *cm, struct rvt_cm_entry *entry, uint16_t attribute, uint64_t now) {
    if (!entry->retries)
        return false;
    entry->retries--;
    cm->counters.repeated++;
    rvt_cm_queue(cm, entry, attribute);
    set_deadline(cm, entry, now, entry->interval);
    return true;
}

static void time_out(struct rvt_cm *cm, struct rvt_cm_entry *entry, uint64_t now) {
    entry->deadline = UINT64_MAX;
    switch ((enum rvt_cm_state)entry->state) {
    case RVT_CM_REQ_SENT:
        if (repeats(cm, entry, RVT_CM_ATTRIBUTE_REQ, now))
            return;
        /* The request may wait at the peer, whose answers were lost. */
        rvt_cm_queue_reject(cm, entry, RVT_CM_ABOUT_REQ, RVT_CM_REJECT_TIMEOUT, NULL, 0);
        rvt_cm_tell(cm, entry, RVT_CM_EVENT_TIMEOUT);
        rvt_cm_end(cm, entry);
        break;
    case RVT_CM_REP_SENT:
        if (repeats(cm, entry, RVT_CM_ATTRIBUTE_REP, now))
            return;
        rvt_cm_queue_reject(cm, entry, RVT_CM_ABOUT_OTHER, RVT_CM_REJECT_TIMEOUT, NULL, 0);
        rvt_cm_tell(cm, entry, RVT_CM_EVENT_TIMEOUT);
        rvt_cm_wait(cm, entry, now);
        break;
    case RVT_CM_DREQ_SENT:
        if (repeats(cm, entry, RVT_CM_ATTRIBUTE_DREQ, now))
            return;
        rvt_cm_tell(cm, entry, RVT_CM_EVENT_DISCONNECTED);
        rvt_cm_wait(cm, entry, now);
        break;
    case RVT_CM_REQ_RECEIVED: /* from here on it is the host that is silent */
        entry->reason = RVT_CM_REJECT_TIMEOUT;
        rvt_cm_queue_reject(cm, entry, RVT_CM_ABOUT_REQ, RVT_CM_REJECT_TIMEOUT, NULL, 0);
        if (!rvt_cm_untell(cm, entry, RVT_CM_EVENT_REQUEST))
            rvt_cm_tell(cm, entry, RVT_CM_EVENT_TIMEOUT);
        rvt_cm_enter(cm, entry, RVT_CM_REJECTED, now, RVT_CM_REJECTED_TIME);
        rvt_cm_forget_queue_pairs(entry);
        break;
    case RVT_CM_REP_RECEIVED:
        rvt_cm_untell(cm, entry, RVT_CM_EVENT_REPLY);
        rvt_cm_queue_reject(cm, entry, RVT_CM_ABOUT_REP, RVT_CM_REJECT_TIMEOUT, NULL, 0);
        rvt_cm_tell(cm, entry, RVT_CM_EVENT_TIMEOUT);
        rvt_cm_wait(cm, entry, now);
        break;
    case RVT_CM_DREQ_RECEIVED:
        rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_DREP);
        rvt_cm_wait(cm, entry, now);
        return;
    case RVT_CM_TIME_WAIT:
    case RVT_CM_REJECTED:
        rvt_fifo_remove(&cm->lingering, &entry->in_lingering);
        rvt_cm_end(cm, entry);
        return;
    case RVT_CM_FREE:
    case RVT_CM_ESTABLISHED:
    case RVT_CM_GONE:
        return;
    }
    cm->counters.timeouts++;
}

uint64_t rvt_cm_tick(struct rvt_cm *cm, uint64_t now) {
    if (cm->deadline > now)
        return cm->deadline;
    for (uint32_t i = 0; i < cm->used; i++)
        if (cm->entries[i].deadline <= now)
            time_out(cm, &cm->entries[i], now);
    cm->deadline = UINT64_MAX;
    for (uint32_t i = 0; i < cm->used; i++)
        if (cm->entries[i].deadline < cm->deadline)
            cm->deadline = cm->entries[i].deadline;
    return cm->deadline;
}

uint64_t rvt_cm_deadline(const struct rvt_cm *cm) {
    return cm->deadline;
}

void rvt_cm_count(const struct rvt_cm *cm, struct rvt_cm_counters *counters) {
    *counters = cm->counters;
}
