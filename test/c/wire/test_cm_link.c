/* SPDX-License-Identifier: BSD-3-Clause */
/* Connection managers of two endpoints over a simulated link with faults. Each seed is a program of connections in both
 * directions, which are accepted or rejected, and ended by either side. Whatever the link does: what one end thinks to be
 * established the other end has accepted, private data arrive as they were sent, everything ends, and the queue pairs and
 * numbers fit together.
 *
 * Arguments: SEED plays this seed and prints its packets. */
#include <stdlib.h>

#include "../engine/verbs.h"
#include "link.h"
#include "wire/cm/cm.h"

enum { PAIRS = 6, SECOND = 1000000, SEEDS = 300 };

/* A connection, as its active end sees it, and as its passive end does. */
struct pair {
    struct vqp active_qp, passive_qp;
    uint32_t active_id, passive_id;
    bool asked, told, accepted, rejected, confirmed, established, failed, over[2], ends;
    uint32_t psn[2]; /* that the active and the passive end expects first */
};

struct end {
    struct verbs v;
    struct link_endpoint link;
    uint32_t listener;
    struct rvt_wire_peer place;
};

struct play {
    struct link link;
    struct end ends[2]; /* 0 is active */
    struct pair pairs[PAIRS];
    uint64_t seed;
    long live; /* allocations before it was opened */
};

static void note_event_of_cm(void *data) {
    ++*(unsigned *)data;
}

static struct rvt_cm *enter(struct end *end) {
    struct rvt_cm *cm = NULL;
    CHECK_EQ(rvt_endpoint_enter_cm(end->link.endpoint, &cm), 0);
    return cm;
}

static void leave(struct end *end) {
    rvt_endpoint_leave_cm(end->link.endpoint);
}

static bool open_end(struct play *play, unsigned index) {
    struct end *end = &play->ends[index];
    static const uint8_t prefix[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 2, 0};
    if (!verbs_open(&end->v, AT_ONCE))
        return false;
    memcpy(end->place.address, prefix, sizeof(prefix));
    end->place.address[15] = (uint8_t)(15 + index);
    end->place.port = LINK_PORT;
    if (!link_open_endpoint(&end->link, end->v.device, &end->place, 0))
        return false;
    play->link.ends[index] = link_end_of(&end->link, &end->place);
    struct rvt_cm *cm = enter(end);
    CHECK_EQ(rvt_cm_listen(cm, rvt_tcp_services + 4000, PAIRS, &end->listener), 0);
    leave(end);
    return true;
}

static bool open_play(struct play *play, uint64_t seed) {
    memset(play, 0, sizeof(*play));
    play->live = rvt_test_alloc_live();
    play->seed = seed;
    play->link.seed = seed * 977;
    play->link.now = SECOND;
    if (!open_end(play, 0) || !open_end(play, 1))
        return false;
    for (unsigned i = 0; i < 2; i++)
        play->ends[i].link.other = play->ends[!i].place;
    play->link.faults = (struct link_faults){
        .loss = (uint32_t)roll(&play->seed, 400000),
        .duplication = (uint32_t)roll(&play->seed, 300000),
        .reordering = (uint32_t)roll(&play->seed, 300000),
        .damage = (uint32_t)roll(&play->seed, 50000),
        .unknown_id = 500000,
        .delay = 20 + (uint32_t)roll(&play->seed, 200000),
        .jitter = (uint32_t)roll(&play->seed, 100000),
        /* Packets live shorter than a connection waits for them. */
        .late = SECOND / 5,
    };
    for (unsigned i = 0; i < PAIRS; i++) {
        struct pair *pair = &play->pairs[i];
        pair->active_qp = make_qp(&play->ends[0].v, RVT_QPT_RC);
        pair->passive_qp = make_qp(&play->ends[1].v, RVT_QPT_RC);
        pair->psn[0] = (uint32_t)roll(&play->seed, 1 << 24);
        pair->psn[1] = (uint32_t)roll(&play->seed, 1 << 24);
    }
    return true;
}

static void close_play(struct play *play) {
    for (unsigned i = 0; i < 2; i++) {
        rvt_endpoint_close(play->ends[i].link.endpoint);
        CHECK_EQ(rvt_mr_exit(play->ends[i].v.device, true, NULL), 0);
        rvt_dev_put(play->ends[i].v.device);
    }
    link_end_all(&play->link);
    CHECK_EQ(rvt_test_alloc_live(), play->live);
}

static void ask(struct play *play, unsigned index) {
    struct pair *pair = &play->pairs[index];
    struct end *end = &play->ends[0];
    const unsigned char data[2] = {(unsigned char)index, 0x5a};
    const struct rvt_cm_ask asked = {
        .peer = play->ends[1].place,
        .service = rvt_tcp_services + 4000,
        .offer = {.qpn = pair->active_qp.qpn,
                  .psn = pair->psn[0],
                  .responder_resources = 4,
                  .initiator_depth = 4,
                  .path_mtu = 3,
                  .retry_count = 7,
                  .rnr_retry_count = 7,
                  .ack_timeout = 14},
        .data = data,
        .length = sizeof(data),
        .interval = 400000,
        .retries = RVT_CM_MOST_RETRIES,
    };
    struct rvt_cm *cm = enter(end);
    CHECK_EQ(rvt_cm_connect(cm, &asked, play->link.now, &pair->active_id), 0);
    leave(end);
    pair->asked = true;
}

static struct pair *pair_by_id(struct play *play, unsigned side, uint32_t id) {
    for (unsigned i = 0; i < PAIRS; i++)
        if (id && (side ? play->pairs[i].passive_id : play->pairs[i].active_id) == id)
            return &play->pairs[i];
    return NULL;
}

static void answer_request(struct play *play, struct rvt_cm *cm, const struct rvt_cm_event *event) {
    const unsigned index = event->data[0];
    CHECK(index < PAIRS);
    if (index >= PAIRS)
        return;
    struct pair *pair = &play->pairs[index];
    CHECK(!pair->told); /* once, however often the REQ came */
    CHECK_EQ(event->data[1], 0x5a);
    CHECK_EQ(event->offer.qpn, pair->active_qp.qpn);
    CHECK_EQ(event->offer.psn, pair->psn[0]);
    pair->told = true;
    pair->passive_id = event->id;
    const unsigned char data[2] = {(unsigned char)index, 0xa5};
    const struct rvt_cm_offer offer = {.qpn = pair->passive_qp.qpn,
                                       .psn = pair->psn[1],
                                       .responder_resources = 4,
                                       .initiator_depth = 4,
                                       .rnr_retry_count = 7};
    if (roll(&play->seed, 4)) {
        CHECK_EQ(rvt_cm_accept(cm, event->id, &offer, data, sizeof(data), play->link.now), 0);
        pair->accepted = true;
    } else {
        CHECK_EQ(rvt_cm_reject(cm, event->id, data, sizeof(data), play->link.now), 0);
        pair->rejected = true;
    }
}

static void take_reply(struct play *play, struct rvt_cm *cm, struct pair *pair,
                       const struct rvt_cm_event *event) {
    CHECK(pair->accepted && !pair->confirmed && !pair->failed);
    CHECK_EQ(event->offer.qpn, pair->passive_qp.qpn);
    CHECK_EQ(event->offer.psn, pair->psn[1]);
    CHECK_EQ(event->data[0], (unsigned char)(pair - play->pairs));
    CHECK_EQ(event->data[1], 0xa5);
    CHECK_EQ(rvt_cm_confirm(cm, event->id, play->link.now), 0);
    pair->confirmed = true;
}

static void take_events(struct play *play, unsigned side) {
    struct rvt_cm *cm = enter(&play->ends[side]);
    struct rvt_cm_event event;
    while (rvt_cm_take_event(cm, &event)) {
        struct pair *pair = pair_by_id(play, side, event.id);
        CHECK_BYTES_EQ(&event.peer, &play->ends[!side].place, sizeof(event.peer));
        if (event.kind == RVT_CM_EVENT_REQUEST) {
            CHECK_EQ(side, 1);
            answer_request(play, cm, &event);
            continue;
        }
        CHECK(pair);
        if (!pair)
            continue;
        CHECK(!pair->over[side]);
        switch (event.kind) {
        case RVT_CM_EVENT_REPLY:
            take_reply(play, cm, pair, &event);
            break;
        case RVT_CM_EVENT_ESTABLISHED:
            CHECK(pair->accepted && pair->confirmed && !pair->established);
            pair->established = true;
            break;
        case RVT_CM_EVENT_REJECTED:
            /* By the program, or because the other end has waited in vain. */
            if (event.reason == RVT_CM_REJECT_PROGRAM) {
                CHECK(pair->rejected);
                CHECK_EQ(event.data[1], 0xa5);
            } else {
                CHECK(event.reason == RVT_CM_REJECT_TIMEOUT || event.reason == RVT_CM_REJECT_STALE);
            }
            pair->failed = pair->over[side] = true;
            break;
        case RVT_CM_EVENT_TIMEOUT:
            CHECK(!(side ? pair->established : pair->confirmed));
            pair->failed = pair->over[side] = true;
            break;
        case RVT_CM_EVENT_DISCONNECT:
            rvt_cm_disconnect(cm, event.id, play->link.now);
            pair->over[side] = true;
            break;
        case RVT_CM_EVENT_DISCONNECTED:
            CHECK(pair->ends);
            pair->over[side] = true;
            break;
        default:
            CHECK(false);
        }
    }
    leave(&play->ends[side]);
}

static void run(struct play *play, uint64_t microseconds) {
    const uint64_t until = play->link.now + microseconds;
    while (link_step(&play->link, until))
        for (unsigned side = 0; side < 2; side++)
            take_events(play, side);
    for (unsigned side = 0; side < 2; side++)
        take_events(play, side);
}

static void hang_up_one(struct play *play, struct pair *pair) {
    const unsigned side = (unsigned)roll(&play->seed, 2);
    const uint32_t id = side ? pair->passive_id : pair->active_id;
    if (pair->over[side] || !(side ? pair->established : pair->confirmed))
        return;
    pair->ends = true;
    struct rvt_cm *cm = enter(&play->ends[side]);
    rvt_cm_disconnect(cm, id, play->link.now);
    leave(&play->ends[side]);
}

static void count(struct end *end, struct rvt_cm_counters *counters) {
    struct rvt_cm *cm = enter(end);
    rvt_cm_count(cm, counters);
    leave(end);
}

static bool play_seed(uint64_t seed, bool trace) {
    struct play play;
    unsigned asked = 0;
    if (!open_play(&play, seed))
        return false;
    play.link.trace = trace;
    for (int step = 0; step < 40; step++) {
        if (asked < PAIRS && roll(&play.seed, 2))
            ask(&play, asked++);
        else
            hang_up_one(&play, &play.pairs[roll(&play.seed, PAIRS)]);
        run(&play, roll(&play.seed, SECOND));
    }
    /* Time for every repetition. */
    run(&play, 60 * SECOND);
    for (unsigned i = 0; i < PAIRS; i++) {
        struct pair *pair = &play.pairs[i];
        /* An end that thinks that it is connected is; the other may have given up before the last message came. */
        if (pair->confirmed && !pair->over[0] && !pair->over[1])
            CHECK(pair->accepted);
        if (pair->established)
            CHECK(pair->confirmed);
        if (pair->asked)
            CHECK(pair->confirmed || pair->failed || pair->over[0]);
    }
    /* What is left is ended, over a link without faults. */
    play.link.faults = (struct link_faults){.delay = 10};
    for (unsigned side = 0; side < 2; side++) {
        struct rvt_cm *cm = enter(&play.ends[side]);
        for (unsigned i = 0; i < PAIRS; i++) {
            play.pairs[i].ends = true;
            rvt_cm_disconnect(cm, side ? play.pairs[i].passive_id : play.pairs[i].active_id, play.link.now);
        }
        leave(&play.ends[side]);
        run(&play, 90 * SECOND);
    }
    for (unsigned side = 0; side < 2; side++) {
        struct rvt_cm_counters counters;
        struct rvt_endpoint_counters packets;
        count(&play.ends[side], &counters);
        rvt_endpoint_count(play.ends[side].link.endpoint, &packets);
        CHECK_EQ(counters.open, 0);
        CHECK_EQ(counters.half_open, 0);
        CHECK_EQ(counters.malformed, 0);
        CHECK_EQ(packets.sent, counters.sent);
        /* Damaged packets do not come so far. */
        const uint64_t dropped =
            packets.bad_icrc + packets.malformed + packets.unknown_qp + packets.congestion;
        CHECK_EQ(packets.received, counters.received + dropped);
        CHECK(dropped <= play.link.damaged);
    }
    close_play(&play);
    return true;
}

static uint64_t only_seed;

static void connections_over_a_bad_link(void) {
    if (only_seed) {
        CHECK(play_seed(only_seed, true));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const int before = atomic_load(&check_failures);
        CHECK(play_seed(seed, false));
        if (atomic_load(&check_failures) != before) {
            printf("# seed %" PRIu64 "\n", seed);
            return;
        }
    }
}

/* Data packets flow between the queue pairs with the numbers that the messages carried: "starting PSN" is where the one who
 * reads it begins to send. */
static void the_numbers_fit(void) {
    struct play play;
    REQUIRE(open_play(&play, 1));
    play.link.faults = (struct link_faults){.delay = 10};
    for (unsigned i = 0; i < PAIRS; i++)
        ask(&play, i);
    run(&play, 2 * SECOND);
    unsigned connected = 0;
    for (unsigned i = 0; i < PAIRS; i++) {
        struct pair *pair = &play.pairs[i];
        CHECK(pair->rejected ? pair->failed : pair->established);
        if (!pair->established)
            continue;
        connected++;
        struct vqp *qps[2] = {&pair->active_qp, &pair->passive_qp};
        for (unsigned side = 0; side < 2; side++) {
            struct rvt_qp_attr attr = usual_attr(qps[!side]->qpn);
            attr.rq_psn = pair->psn[side];
            attr.sq_psn = pair->psn[!side];
            CHECK_EQ(rvt_endpoint_connect(play.ends[side].link.endpoint, qps[side]->handle,
                                          &play.ends[!side].place, play.link.now),
                     0);
            bring_to(qps[side], attr, RVT_QPS_RTS);
        }
        const struct rvt_send_wr wr = {.opcode = RVT_WR_RDMA_WRITE, .flags = RVT_SEND_SIGNALED, .wr_id = i};
        CHECK_EQ(rvt_post_send(qps[0]->handle, &wr, 1, NULL), 0);
        CHECK_EQ(rvt_post_send(qps[1]->handle, &wr, 1, NULL), 0);
    }
    CHECK(connected > 0);
    run(&play, SECOND);
    for (unsigned i = 0; i < PAIRS; i++) {
        struct rvt_wc wc;
        if (!play.pairs[i].established)
            continue;
        CHECK_EQ(rvt_poll_cq(play.pairs[i].active_qp.scq, 1, &wc), 1);
        CHECK_EQ(wc.status, RVT_WC_STATUS_SUCCESS);
        CHECK_EQ(rvt_poll_cq(play.pairs[i].passive_qp.scq, 1, &wc), 1);
        CHECK_EQ(wc.status, RVT_WC_STATUS_SUCCESS);
        /* A queue pair that ends disconnects. */
        play.pairs[i].ends = true;
        CHECK_EQ(rvt_destroy_qp(play.pairs[i].active_qp.handle), 0);
    }
    run(&play, 10 * SECOND);
    for (unsigned i = 0; i < PAIRS; i++)
        if (play.pairs[i].established)
            CHECK(play.pairs[i].over[0] && play.pairs[i].over[1]);
    close_play(&play);
}

/* --- what the endpoint lets through to queue pair 1 --- */

enum { DETH_AT = 12 };

static void gives_only_good_datagrams(void) {
    struct play play;
    REQUIRE(open_play(&play, 1));
    unsigned char good[RVT_MOST_PACKET_BYTES] = {0}, bytes[RVT_MOST_PACKET_BYTES];
    struct rvt_outgoing out = {.bytes = good};
    ask(&play, 0);
    CHECK_EQ(rvt_endpoint_send(play.ends[0].link.endpoint, &out, 1, play.link.now), 1);
    CHECK_BYTES_EQ(&out.to, &play.ends[1].place, sizeof(out.to));
    static const unsigned char headers[20] = {0x64, 0x40, 0xff, 0xff, 0, 0, 0, 1, 0, 0,
                                              0,    0,    0x80, 0x01, 0, 0, 0, 0, 0, 1};
    CHECK_BYTES_EQ(good, headers, sizeof(headers));
    CHECK_EQ(out.length, 20 + 256 + 4);
    struct end *to = &play.ends[1];
    struct rvt_endpoint_counters counters;
    struct rvt_cm_counters messages;
    unsigned malformed = 0;
    /* Where a byte is changed, and to what: the opcode, the partition, the Q_Key, the source, a pad byte; and the length. */
    static const struct {
        unsigned at, value, shorter;
    } changes[] = {
        {0, 0x65, 0}, {0, 0x24, 0}, {0, 0x04, 0}, {2, 0x80, 0},          {12, 0, 0}, {15, 1, 0}, {19, 2, 0},
        {1, 0x50, 0}, {0, 0xff, 0}, {1, 0x41, 0}, {1, 0x40, 4 + 256 + 1}};
    for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct rvt_outgoing changed = {
            .bytes = bytes, .length = out.length - changes[i].shorter, .to = out.to};
        memcpy(bytes, good, out.length);
        bytes[changes[i].at] = (unsigned char)changes[i].value;
        rvt_endpoint_seal(play.ends[0].link.endpoint, &changed, 0);
        const struct rvt_datagram datagram = {
            .bytes = bytes, .length = changed.length, .from = play.ends[0].place, .has_ip_id = true};
        rvt_endpoint_receive(to->link.endpoint, &datagram, 1, play.link.now);
        count(to, &messages);
        /* A pad byte makes the message shorter: the connection manager refuses that. */
        malformed += messages.received == 0;
        rvt_endpoint_count(to->link.endpoint, &counters);
        CHECK_EQ(counters.malformed + messages.malformed, i + 1);
    }
    CHECK(malformed > 0);
    struct rvt_datagram datagram = {.bytes = good, .length = out.length, .has_ip_id = true};
    datagram.from = play.ends[0].place;
    datagram.from.port = 0xc012; /* soft-RoCE sends from any port */
    rvt_endpoint_receive(to->link.endpoint, &datagram, 1, play.link.now);
    rvt_endpoint_count(to->link.endpoint, &counters);
    CHECK_EQ(counters.bad_icrc, 1); /* it was sealed for another port, or not at all */
    struct rvt_endpoint *sender = play.ends[0].link.endpoint;
    rvt_endpoint_seal(sender, &out, 0);
    datagram.from.port = LINK_PORT;
    rvt_endpoint_receive(to->link.endpoint, &datagram, 1, play.link.now);
    count(to, &messages);
    CHECK_EQ(messages.requests, 1);
    close_play(&play);
}

/* Before anything listens or connects, queue pair 1 does not exist. */
static void is_opened_when_it_is_needed(void) {
    struct verbs v;
    struct link_endpoint end;
    const struct rvt_wire_peer place = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 2, 16}, LINK_PORT};
    struct rvt_cm *cm;
    REQUIRE(verbs_open(&v, AT_ONCE));
    REQUIRE(link_open_endpoint(&end, v.device, &place, 0));
    rvt_test_alloc_fail_after(0);
    FAILS(rvt_endpoint_enter_cm(end.endpoint, &cm), RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    rvt_endpoint_leave_cm(end.endpoint);
    rvt_test_alloc_fail_after(-1);
    CHECK_EQ(rvt_endpoint_enter_cm(end.endpoint, &cm), 0);
    rvt_endpoint_leave_cm(end.endpoint);
    rvt_endpoint_close(end.endpoint);
    verbs_close(&v);
}

/* The host is told of events, and only of those. */
static void tells_its_host(void) {
    struct verbs v;
    unsigned told = 0, woken = 0;
    struct rvt_endpoint *endpoint;
    struct rvt_cm *cm;
    struct rvt_cm_event event;
    struct rvt_outgoing out[4];
    static unsigned char bytes[4][RVT_MOST_PACKET_BYTES];
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_endpoint_options options = {
        .device = v.device,
        .address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 2, 16},
        .port = 5000,
        .host = {.wake = note_event_of_cm, .data = &told},
    };
    options.host.cm_event = note_event_of_cm;
    CHECK_EQ(rvt_endpoint_open(&options, &endpoint), 0);
    CHECK_EQ(rvt_endpoint_enter_cm(endpoint, &cm), 0);
    struct rvt_cm_ask asked = {.service = 5, .offer = {.qpn = 99, .path_mtu = 3}, .interval = 100000};
    memcpy(asked.peer.address, options.address, 16);
    asked.peer.address[15] = 17;
    asked.peer.port = 5001;
    uint32_t id;
    CHECK_EQ(rvt_cm_connect(cm, &asked, SECOND, &id), 0);
    rvt_endpoint_leave_cm(endpoint);
    CHECK_EQ(told, 1); /* wake() alone: there is a packet and no event */
    for (int i = 0; i < 4; i++)
        out[i].bytes = bytes[i];
    CHECK_EQ(rvt_endpoint_send(endpoint, out, 4, SECOND), 1);
    CHECK_EQ(out[0].to.port, 5001);
    woken = told;
    const uint64_t deadline = rvt_endpoint_tick(endpoint, SECOND);
    CHECK(deadline >= SECOND + 100000 && deadline < SECOND + 120000);
    CHECK_EQ(told, woken);
    rvt_endpoint_tick(endpoint, deadline); /* it gives up */
    CHECK(told >= woken + 2);
    CHECK_EQ(rvt_endpoint_send(endpoint, out, 4, SECOND), 1);
    CHECK_EQ(rvt_endpoint_enter_cm(endpoint, &cm), 0);
    CHECK(rvt_cm_take_event(cm, &event));
    CHECK_EQ(event.kind, RVT_CM_EVENT_TIMEOUT);
    rvt_endpoint_leave_cm(endpoint);
    CHECK_EQ(rvt_endpoint_tick(endpoint, deadline), UINT64_MAX);
    rvt_endpoint_close(endpoint);
    verbs_close(&v);
}

int main(int argc, char **argv) {
    static const struct check_test tests[] = {
        TEST(connections_over_a_bad_link), TEST(the_numbers_fit), TEST(gives_only_good_datagrams),
        TEST(is_opened_when_it_is_needed), TEST(tells_its_host),
    };
    only_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
    return check_run(tests, only_seed ? 1 : sizeof(tests) / sizeof(tests[0]));
}
