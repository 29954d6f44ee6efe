/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection managers of the fuzzer's two endpoints. For each connection that an end knows, a model says which events may
 * still come and which verbs may succeed. After each operation the connection manager is looked at from inside: what it
 * counts is counted again. */
#include <inttypes.h>
#include <string.h>

#include "core/base/rvt_errno.h"
#include "endpoint_fuzz.h"
#include "wire/cm/cm_state.h"
#include "wire/endpoint/endpoint.h"

enum {
    KNOWN = 16, /* connections of an end that the program knows; the oldest is forgotten for a new one */
    SERVICES = 3,
    MOST_EVENTS = 4,
    DATA = 8,
};

enum code {
    CM_LISTEN,
    CM_UNLISTEN,
    CM_CONNECT,
    CM_TAKE_EVENTS,
    CM_ACCEPT,
    CM_REJECT,
    CM_CONFIRM,
    CM_DISCONNECT,
    CM_QUEUE_PAIR_GONE,
    CM_HANG_UP,
    CM_CODES,
};

/* What the program knows of a connection. */
enum phase {
    NOBODY,
    ASKED,    /* by the peer */
    ACCEPTED, /* here */
    ASKING,   /* the peer */
    REPLIED,  /* the peer has */
    UP,
    LEFT, /* the peer has */
    OVER, /* no event comes any more */
};

struct known {
    uint32_t id;
    enum phase phase;
    /* The program has ended it, or its queue pair: what was told before may still be taken, then the end comes, or nothing. */
    bool ending;
};

static struct {
    struct known known[KNOWN];
    uint32_t next;
    uint32_t listeners[SERVICES]; /* 0: none */
    uint32_t last;                /* the connection that something happened to */
    bool opened;
} ends[ENDS];

void cm_begin(void) {
    memset(ends, 0, sizeof(ends));
}

void cm_forget(unsigned end) {
    memset(&ends[end], 0, sizeof(ends[end]));
}

static struct known *find(unsigned end, uint32_t id) {
    for (unsigned i = 0; i < KNOWN; i++)
        if (ends[end].known[i].id == id && id)
            return &ends[end].known[i];
    return NULL;
}

static struct known *learn(unsigned end, uint32_t id, enum phase phase) {
    struct known *known = &ends[end].known[ends[end].next++ % KNOWN];
    EXPECT(id && !find(end, id));
    *known = (struct known){.id = id, .phase = phase};
    ends[end].last = id;
    return known;
}

/* The id of a known connection; of one that is none, sometimes. */
static uint32_t choose(unsigned end, uint8_t which) {
    return which == 0xff ? 0x1234567 : which & 0x80 ? ends[end].known[which % KNOWN].id : ends[end].last;
}

/* Whether an event of this kind may come, and what follows. The end of a connection may be noticed in any phase before it. */
static void note_event(unsigned end, const struct rvt_cm_event *event) {
    struct known *known = find(end, event->id);
    if (event->kind == RVT_CM_EVENT_REQUEST) {
        bool listens = false;
        for (unsigned i = 0; i < SERVICES; i++)
            listens |= ends[end].listeners[i] && ends[end].listeners[i] == event->listener &&
                       event->service == rvt_tcp_services + i;
        EXPECT(listens);
        learn(end, event->id, ASKED);
        return;
    }
    if (!known) /* forgotten for newer ones */
        return;
    EXPECT(known->phase != OVER);
    switch (event->kind) {
    case RVT_CM_EVENT_REPLY:
        EXPECT(known->phase == ASKING);
        known->phase = REPLIED;
        break;
    case RVT_CM_EVENT_ESTABLISHED:
        EXPECT(known->phase == ACCEPTED);
        known->phase = UP;
        break;
    case RVT_CM_EVENT_REJECTED:
        EXPECT(known->phase == ASKED || known->phase == ACCEPTED || known->phase == ASKING ||
               known->phase == REPLIED);
        known->phase = OVER;
        break;
    case RVT_CM_EVENT_TIMEOUT:
        EXPECT(known->phase == ASKED || known->phase == ACCEPTED || known->phase == ASKING ||
               known->phase == REPLIED);
        known->phase = OVER;
        break;
    case RVT_CM_EVENT_DISCONNECT:
        /* A DREQ may overtake the RTU, and the event of a reply. */
        EXPECT(known->phase == UP || known->phase == ACCEPTED || known->phase == ASKING ||
               known->phase == REPLIED);
        known->phase = LEFT;
        break;
    case RVT_CM_EVENT_DISCONNECTED:
        /* Without a call of the program only if its queue pair has ended, or the peer has forgotten the connection. */
        EXPECT(known->phase == UP || known->phase == LEFT || known->phase == ACCEPTED);
        EXPECT(known->ending || known->phase == LEFT);
        known->phase = OVER;
        break;
    case RVT_CM_EVENT_NONE:
    case RVT_CM_EVENT_REQUEST:
    default:
        EXPECT(!"an event of this kind");
    }
}

static void take_events(const struct cm_place *place, struct rvt_cm *cm) {
    struct rvt_cm_event event;
    for (unsigned i = 0; i < MOST_EVENTS; i++) {
        const bool has = rvt_cm_has_event(cm);
        EXPECT(rvt_cm_take_event(cm, &event) == has);
        if (!has)
            return;
        if (place->print)
            printf("  event %u of %08" PRIx32 "\n", (unsigned)event.kind, event.id);
        EXPECT(event.length <= sizeof(event.data));
        EXPECT(event.offer.qpn <= 0xffffff && event.offer.psn <= 0xffffff);
        EXPECT(!memcmp(event.peer.address, place->peer.address, sizeof(event.peer.address)));
        note_event(place->end, &event);
        ends[place->end].last = event.id;
    }
}

static const unsigned char data[DATA] = {PUBLIC, PUBLIC, PUBLIC, PUBLIC, PUBLIC, PUBLIC, PUBLIC, PUBLIC};

static struct rvt_cm_offer offer_of(uint32_t qpn, const uint8_t *a) {
    return (struct rvt_cm_offer){
        .qpn = qpn,
        .psn = 0x100,
        .responder_resources = a[0] & 15,
        .initiator_depth = a[0] >> 4,
        .path_mtu = 1,
        .retry_count = 7,
        .rnr_retry_count = 7,
        .ack_timeout = a[1] & 31,
    };
}

/* The verb must fail for a connection that is over, and leave every other one as it was if it fails. */
static void answer(struct rvt_cm *cm, const struct cm_place *place, uint32_t qpn, const uint8_t *a) {
    const uint32_t id = choose(place->end, a[1]);
    struct known *known = find(place->end, id);
    const struct rvt_cm_offer offer = offer_of(qpn, a + 2);
    const uint32_t length = a[4] & 0x80 ? RVT_CM_REP_DATA + 1 : a[4] % (DATA + 1);
    int error;
    /* A host confirms what it was told. */
    if (a[0] % CM_CODES == CM_CONFIRM && known && known->phase == ASKING)
        return;
    if (a[0] % CM_CODES == CM_ACCEPT)
        error = rvt_cm_accept(cm, id, &offer, data, length, place->now);
    else if (a[0] % CM_CODES == CM_REJECT)
        error = rvt_cm_reject(cm, id, data, length, place->now);
    else
        error = rvt_cm_confirm(cm, id, place->now);
    EXPECT(error == 0 || error == -RVT_EBADF || error == -RVT_EINVAL || error == -RVT_EBUSY);
    if (place->print)
        printf("  answer to %08" PRIx32 ": %d\n", id, error);
    if (!known) {
        EXPECT(error == -RVT_EBADF || id != 0x1234567);
        return;
    }
    if (error)
        return;
    switch (a[0] % CM_CODES) {
    case CM_ACCEPT:
        EXPECT(known->phase == ASKED && !known->ending);
        known->phase = ACCEPTED;
        break;
    case CM_REJECT:
        EXPECT(known->phase == ASKED && !known->ending);
        known->phase = OVER;
        break;
    default:
        EXPECT(known->phase == REPLIED && !known->ending);
        known->phase = UP;
    }
}

static void ask(struct rvt_cm *cm, const struct cm_place *place, uint32_t qpn, const uint8_t *a) {
    const struct rvt_cm_ask asked = {
        .peer = place->peer,
        .service = rvt_tcp_services + a[1] % (SERVICES + 1),
        .offer = offer_of(qpn, a + 2),
        .data = data,
        .length = a[4] & 0x80 ? RVT_CM_IP_DATA + 1 : a[4] % (DATA + 1),
        .interval = 1000 + 1000 * (uint64_t)a[5],
        .retries = a[6] % (RVT_CM_MOST_RETRIES + 1),
    };
    uint32_t id = 0;
    const int error = rvt_cm_connect(cm, &asked, place->now, &id);
    EXPECT(error == 0 || error == -RVT_EINVAL || error == -RVT_EBUSY);
    EXPECT((error == -RVT_EINVAL) == (asked.length > RVT_CM_IP_DATA));
    if (!error)
        learn(place->end, id, ASKING);
}

/* The program ends a connection: it gets no event any more, but for the end of one that was established. */
static void end_connection(struct rvt_cm *cm, const struct cm_place *place, uint32_t id) {
    struct known *known = find(place->end, id);
    rvt_cm_disconnect(cm, id, place->now);
    if (known)
        known->ending = true;
}

static void note_queue_pair_gone(unsigned end, struct rvt_cm *cm, uint32_t qpn) {
    const struct rvt_cm_entry *entry = rvt_cm_find_local_qp(cm, qpn);
    /* One that is not established yet fails when its host brings the queue pair to RTS. */
    struct known *known = entry && (entry->state == RVT_CM_ESTABLISHED || entry->state == RVT_CM_REP_SENT)
                              ? find(end, entry->local_id)
                              : NULL;
    if (known)
        known->ending = true;
}

void cm_note_queue_pair_gone(const struct cm_place *place, uint32_t qpn) {
    struct rvt_cm *cm = NULL;
    if (!place->endpoint || !ends[place->end].opened)
        return;
    EXPECT(rvt_endpoint_enter_cm(place->endpoint, &cm) == 0);
    note_queue_pair_gone(place->end, cm, qpn);
    rvt_endpoint_leave_cm(place->endpoint);
}

void cm_play(const struct cm_place *place, uint32_t qpn, const uint8_t *a) {
    struct rvt_cm *cm = NULL;
    const int error = rvt_endpoint_enter_cm(place->endpoint, &cm);
    if (error) {
        EXPECT(error == -RVT_ENOMEM);
        rvt_endpoint_leave_cm(place->endpoint);
        return;
    }
    ends[place->end].opened = true;
    uint32_t *listener = &ends[place->end].listeners[a[1] % SERVICES];
    uint32_t id = 0;
    switch (a[0] % CM_CODES) {
    case CM_LISTEN:
        if (rvt_cm_listen(cm, rvt_tcp_services + a[1] % SERVICES, 1 + a[2] % 4, &id) == 0) {
            EXPECT(!*listener && id);
            *listener = id;
        } else {
            EXPECT(*listener);
        }
        break;
    case CM_UNLISTEN:
        rvt_cm_unlisten(cm, *listener);
        *listener = 0;
        break;
    case CM_CONNECT:
        ask(cm, place, qpn, a);
        break;
    case CM_TAKE_EVENTS:
        take_events(place, cm);
        break;
    case CM_DISCONNECT:
        end_connection(cm, place, choose(place->end, a[1]));
        break;
    case CM_QUEUE_PAIR_GONE:
        note_queue_pair_gone(place->end, cm, qpn);
        rvt_cm_queue_pair_gone(cm, qpn, place->now);
        break;
    case CM_HANG_UP:
        rvt_cm_hang_up(cm, place->now);
        for (unsigned i = 0; i < KNOWN; i++)
            ends[place->end].known[i].ending = true;
        break;
    default:
        answer(cm, place, qpn, a);
    }
    rvt_endpoint_leave_cm(place->endpoint);
}

/* --- what is stored twice --- */

static bool is_linked(const struct rvt_fifo *fifo, const struct rvt_link *link) {
    for (const struct rvt_link *each = fifo->first; each; each = each->next)
        if (each == link)
            return true;
    return false;
}

static uint32_t length_of(const struct rvt_fifo *fifo) {
    uint32_t length = 0;
    for (const struct rvt_link *each = fifo->first; each; each = each->next)
        EXPECT(++length <= RVT_CM_MOST_CONNECTIONS);
    return length;
}

void cm_check(const struct cm_place *place) {
    struct rvt_cm *cm = NULL;
    if (!place->endpoint || !ends[place->end].opened)
        return;
    EXPECT(rvt_endpoint_enter_cm(place->endpoint, &cm) == 0);
    uint64_t open = 0, half_open = 0;
    uint32_t of_listeners[RVT_CM_MOST_LISTENERS] = {0}, events = 0, output = 0, lingering = 0;
    for (uint32_t i = 0; i < cm->used; i++) {
        const struct rvt_cm_entry *entry = &cm->entries[i];
        const bool waits = entry->state == RVT_CM_TIME_WAIT || entry->state == RVT_CM_REJECTED;
        if (entry->state == RVT_CM_FREE) {
            EXPECT(!entry->local_id);
            continue;
        }
        open++;
        EXPECT((entry->local_id & ((1u << RVT_CM_INDEX_BITS) - 1)) == i);
        EXPECT(entry->deadline >= cm->deadline);
        EXPECT(is_linked(&cm->events, &entry->in_events) == (entry->events != 0));
        EXPECT(is_linked(&cm->output, &entry->in_output) == (entry->due != 0));
        EXPECT(is_linked(&cm->lingering, &entry->in_lingering) == waits);
        events += entry->events != 0;
        output += entry->due != 0;
        lingering += waits;
        /* One that is over is kept only for what is still to be told or sent; each other one ends by itself. */
        EXPECT(entry->state != RVT_CM_GONE || entry->events || entry->due);
        EXPECT(entry->deadline != UINT64_MAX || entry->state == RVT_CM_ESTABLISHED ||
               entry->state == RVT_CM_GONE);
        if (entry->state != RVT_CM_REQ_RECEIVED && entry->state != RVT_CM_REP_SENT)
            continue;
        half_open++;
        for (uint32_t l = 0; l < RVT_CM_MOST_LISTENERS; l++)
            of_listeners[l] += entry->listener && cm->listeners[l].id == entry->listener;
    }
    EXPECT(cm->counters.open == open && cm->counters.half_open == half_open);
    EXPECT(length_of(&cm->events) == events && length_of(&cm->output) == output &&
           length_of(&cm->lingering) == lingering);
    for (uint32_t l = 0; l < RVT_CM_MOST_LISTENERS; l++) {
        if (!cm->listeners[l].id)
            continue;
        EXPECT(cm->listeners[l].half_open == of_listeners[l]);
        EXPECT(of_listeners[l] <= cm->listeners[l].backlog);
    }
    rvt_endpoint_leave_cm(place->endpoint);
}

/* --- messages --- */

void cm_look_at_message(const unsigned char *bytes, uint32_t length) {
    struct rvt_cm_message message;
    EXPECT(length == RVT_MAD_BYTES);
    EXPECT(rvt_decode_cm(bytes, length, &message));
    uint32_t at = 0;
    if (message.attribute == RVT_CM_ATTRIBUTE_REQ && rvt_cm_has_ip_header(message.service))
        at = RVT_CM_IP_HEADER;
    for (; at < message.data_length; at++)
        EXPECT(message.data[at] == PUBLIC || message.data[at] == 0);
}

void cm_make_message(const struct cm_place *to, uint32_t qpn, const uint8_t *a, unsigned char *bytes) {
    static const uint16_t reasons[] = {RVT_CM_REJECT_TIMEOUT, RVT_CM_REJECT_PROGRAM, RVT_CM_REJECT_STALE,
                                       0xffff};
    const struct known *known = &ends[to->end].known[a[1] % KNOWN];
    const uint32_t theirs = known->id ? known->id : ends[to->end].last;
    struct rvt_cm_message message = {
        .attribute = (uint16_t)(RVT_CM_ATTRIBUTE_REQ + a[0] % 12),
        .transaction = a[2],
        .local_id = 1 + a[2] % 8,
        .remote_id = a[3] & 0x80 ? a[3] : theirs,
        .service = rvt_tcp_services + a[4] % (SERVICES + 1),
        .qpn = a[5] & 0x80 ? a[5] & 7 : qpn,
        .psn = a[6],
        .local_response_timeout = a[6] & 31,
        .max_cm_retries = a[6] & 15,
        .ack_timeout = a[7] & 31,
        .path_mtu = a[7] & 0x80 ? a[7] & 7 : 1,
        .pkey = 0xffff,
        .transport = a[7] & 0x40 ? 3 : RVT_CM_TRANSPORT_RC,
        .about = a[8] & 3,
        .service_timeout = a[8] >> 3,
        .reason = reasons[a[8] % 4],
    };
    /* A REQ is about the addresses of the packet, or it is refused. */
    memcpy(message.local_gid, to->peer.address, 16);
    memcpy(message.remote_gid, to->peer.address, 16);
    message.remote_gid[15] ^= a[8] & 0x80 ? 0 : 3; /* the ends are 1 and 2 */
    unsigned char private[RVT_CM_MOST_DATA];
    memset(private, MADE_UP, sizeof(private));
    if (message.attribute == RVT_CM_ATTRIBUTE_REQ && !(a[4] & 0x80)) {
        struct rvt_cm_ip_header header = {.source_port = a[2]};
        memcpy(header.source, message.local_gid, 16);
        memcpy(header.destination, message.remote_gid, 16);
        rvt_encode_cm_ip_header(&header, private);
    }
    message.data = private;
    message.data_length = rvt_cm_data_room(message.attribute);
    /* A peer may also know the id by which the other end has named itself: it is that of a connection asked for. */
    if (a[3] & 0x40) {
        message.local_id = ends[1 - to->end].last;
        message.transaction = ends[1 - to->end].last;
    }
    rvt_encode_cm(&message, bytes);
}
