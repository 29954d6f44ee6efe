/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults that an endpoint makes of packets, and those that the engine makes of requests on the wire. Node a makes them; each
 * message is one packet, so the order of packets shows in the messages. */
#include "core/base/faults.h"
#include "net.h"
#include "wire/endpoint/packet_faults.h"

enum { LATE = 700, MESSAGE = 16 };

static struct net net;
static struct node *a, *b;
static struct vqp qa, qb;

static bool open_with(enum rvt_fault_kind kind, struct rvt_fault_rule rule) {
    struct rvt_fault_options faults = {.seed = 8};
    rule.value = LATE;
    faults.rules[kind] = rule;
    if (!net_open_faulty(&net, false, 0, &faults))
        return false;
    a = &net.nodes[0];
    b = &net.nodes[1];
    qa = net_datagrams(a, 0x11);
    qb = net_datagrams(b, 0x11);
    return true;
}

static void made(enum rvt_fault_kind kind, uint64_t seen, uint64_t count) {
    struct rvt_fault_counts counts;
    rvt_count_faults(a->v.device->faults, &counts);
    CHECK_EQ(counts.seen[kind], seen);
    CHECK_EQ(counts.made[kind], count);
}

/* Sends datagrams 0, 1, ... `count` - 1, each by its own call, from one node to the other. */
static void send_some(struct node *from, const struct vqp *qp, struct node *to, const struct vqp *peer,
                      uint32_t count) {
    struct rvt_ah_handle ah = net_ah(from, to);
    for (uint32_t i = 0; i < count; i++) {
        from->memory[i * MESSAGE] = (unsigned char)i;
        const struct rvt_ib_sge sge = sge_at(&from->mr, i * MESSAGE, MESSAGE);
        CHECK_EQ(net_receive(to, peer, i, 8192 + i * 64, 64), 0);
        CHECK_EQ(post(qp, SEND_WR(.wr_id = i, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1, .ah = &ah,
                                  .remote_qpn = peer->qpn, .remote_qkey = 0x11)),
                 0);
    }
    CHECK_EQ(rvt_destroy_ah(ah), 0);
}

/* The first bytes of the messages that have arrived, in order, are these digits. */
static void arrived(struct node *at, const struct vqp *qp, const char *digits, const char *file, int line) {
    char found[32] = "";
    struct rvt_wc wc;
    for (unsigned n = 0; n < sizeof(found) - 1 && rvt_poll_cq(qp->rcq, 1, &wc) == 1; n++)
        found[n] = (char)('0' + at->memory[8192 + wc.wr_id * 64 + 40]);
    check_true(!strcmp(found, digits), digits, file, line);
}
#define ARRIVED(node, qp, digits) arrived((node), &(qp), (digits), __FILE__, __LINE__)

static void lost_packets(void) {
    REQUIRE(open_with(RVT_FAULT_LOST, (struct rvt_fault_rule){.every = 3, .directions = RVT_FAULT_TO_OUT}));
    send_some(a, &qa, b, &qb, 8);
    net_run(&net);
    ARRIVED(b, qb, "013467");
    made(RVT_FAULT_LOST, 8, 2);
    send_some(b, &qb, a, &qa, 3); /* the other direction is untouched */
    net_run(&net);
    ARRIVED(a, qa, "012");
    made(RVT_FAULT_LOST, 8, 2);
    net_close(&net);
    REQUIRE(open_with(RVT_FAULT_LOST, (struct rvt_fault_rule){.at = 2, .directions = RVT_FAULT_TO_IN}));
    send_some(b, &qb, a, &qa, 4);
    net_run(&net);
    ARRIVED(a, qa, "023");
    send_some(a, &qa, b, &qb, 2);
    net_run(&net);
    ARRIVED(b, qb, "01");
    made(RVT_FAULT_LOST, 4, 1);
    net_close(&net);
    REQUIRE(open_with(RVT_FAULT_LOST, (struct rvt_fault_rule){.probability = 1, .directions = 3}));
    send_some(a, &qa, b, &qb, 16); /* a batch of which nothing is left is not the end */
    net_run(&net);
    ARRIVED(b, qb, "");
    made(RVT_FAULT_LOST, 16, 16);
    CHECK_EQ(net_counters(a).sent, 16);
    net_close(&net);
}

/* The engine lock is held while packets are written: also those that get lost are limited. */
static void many_lost_packets(void) {
    enum { PACKETS = NODE_BYTES / NET_MTU, MANY = 2 * PACKETS };
    REQUIRE(open_with(RVT_FAULT_LOST, (struct rvt_fault_rule){.probability = 1, .directions = 3}));
    _Static_assert((int)MANY > (int)RVT_MOST_PACKETS, "more than a call writes");
    static unsigned char buffers[RVT_MOST_PACKETS][RVT_MOST_PACKET_BYTES];
    struct rvt_outgoing out[RVT_MOST_PACKETS];
    struct vqp ca, cb;
    net_connect(&net, a, b, &ca, &cb);
    const struct rvt_ib_sge sge = sge_at(&a->mr, 0, NODE_BYTES);
    for (uint32_t i = 0; i < RVT_MOST_PACKETS; i++)
        out[i].bytes = buffers[i];
    for (uint32_t i = 0; i < 2; i++)
        CHECK_EQ(post(&ca, SEND_WR(.wr_id = i, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    uint64_t before = 0;
    for (;;) {
        const uint32_t wakes = a->wakes;
        CHECK_EQ(rvt_endpoint_send(a->endpoint, out, RVT_MOST_PACKETS, net.now), 0);
        const uint64_t sent = net_counters(a).sent;
        CHECK(sent - before <= RVT_MOST_PACKETS);
        before = sent;
        if (a->wakes == wakes) /* nothing is left */
            break;
        REQUIRE(sent < 2 * MANY);
    }
    CHECK_EQ(before, MANY);
    net_close(&net);
}

static void doubled_packets(void) {
    REQUIRE(open_with(RVT_FAULT_DOUBLED, (struct rvt_fault_rule){.at = 2, .directions = RVT_FAULT_TO_OUT}));
    CHECK_EQ(net_receive(b, &qb, 15, 8192 + 15 * 64, 64), 0);
    send_some(a, &qa, b, &qb, 3);
    net_collect(&net);
    CHECK_EQ(net.count, 4);
    CHECK_EQ(net.waiting[1].length, net.waiting[2].length);
    CHECK_BYTES_EQ(net.waiting[1].bytes, net.waiting[2].bytes, net.waiting[1].length);
    net_deliver(&net);
    ARRIVED(b, qb, "0112");
    made(RVT_FAULT_DOUBLED, 3, 1);
    net_close(&net);
    REQUIRE(open_with(RVT_FAULT_DOUBLED, (struct rvt_fault_rule){.every = 1, .directions = RVT_FAULT_TO_IN}));
    for (uint32_t i = 12; i < 15; i++)
        CHECK_EQ(net_receive(a, &qa, i, 8192 + i * 64, 64), 0);
    send_some(b, &qb, a, &qa, 3);
    net_run(&net);
    ARRIVED(a, qa, "001122");
    made(RVT_FAULT_DOUBLED, 3, 3);
    net_close(&net);
}

static void reordered_packets(void) {
    REQUIRE(open_with(RVT_FAULT_REORDERED, (struct rvt_fault_rule){.at = 2, .directions = RVT_FAULT_TO_OUT}));
    send_some(a, &qa, b, &qb, 4);
    net_run(&net);
    ARRIVED(b, qb, "0213");
    net_close(&net);
    REQUIRE(
        open_with(RVT_FAULT_REORDERED, (struct rvt_fault_rule){.every = 2, .directions = RVT_FAULT_TO_IN}));
    send_some(b, &qb, a, &qa, 5);
    net_run(&net);
    ARRIVED(a, qa, "02143");
    made(RVT_FAULT_REORDERED, 5, 2);
    net_close(&net);
    /* Nothing follows: it goes when its time is over, and the host is woken. */
    REQUIRE(open_with(RVT_FAULT_REORDERED, (struct rvt_fault_rule){.at = 1, .directions = RVT_FAULT_TO_OUT}));
    net.now = 5000;
    send_some(a, &qa, b, &qb, 1);
    net_run(&net);
    ARRIVED(b, qb, "");
    CHECK_EQ(rvt_endpoint_tick(a->endpoint, 5000), 5000 + RVT_REORDERED_USEC);
    const uint32_t wakes = a->wakes;
    net.now += RVT_REORDERED_USEC;
    (void)rvt_endpoint_tick(a->endpoint, net.now);
    CHECK_EQ(a->wakes, wakes + 1);
    net_run(&net);
    ARRIVED(b, qb, "0");
    CHECK_EQ(rvt_endpoint_tick(a->endpoint, net.now), UINT64_MAX);
    net_close(&net);
}

static void late_packets(void) {
    REQUIRE(open_with(RVT_FAULT_LATE, (struct rvt_fault_rule){.at = 2, .directions = RVT_FAULT_TO_OUT}));
    net.now = 100;
    send_some(a, &qa, b, &qb, 4);
    net_run(&net);
    ARRIVED(b, qb, "023");
    CHECK_EQ(rvt_endpoint_tick(a->endpoint, 100), 100 + LATE);
    net.now = 100 + LATE - 1;
    net_run(&net);
    ARRIVED(b, qb, "");
    net.now = 100 + LATE;
    (void)rvt_endpoint_tick(a->endpoint, net.now);
    net_run(&net);
    ARRIVED(b, qb, "1");
    made(RVT_FAULT_LATE, 4, 1);
    net_close(&net);
    REQUIRE(open_with(RVT_FAULT_LATE, (struct rvt_fault_rule){.at = 1, .directions = RVT_FAULT_TO_IN}));
    send_some(b, &qb, a, &qa, 2);
    net_run(&net);
    ARRIVED(a, qa, "1");
    CHECK_EQ(rvt_endpoint_tick(a->endpoint, 0), LATE);
    (void)rvt_endpoint_tick(a->endpoint, LATE);
    ARRIVED(a, qa, "0");
    net_close(&net);
}

/* An endpoint closes with packets that it holds back, and does not hold back without end. */
static void packets_that_are_held_back(void) {
    REQUIRE(open_with(RVT_FAULT_LATE, (struct rvt_fault_rule){.probability = 1, .directions = 3}));
    send_some(a, &qa, b, &qb, 16);
    send_some(b, &qb, a, &qa, 16);
    net_run(&net);
    ARRIVED(a, qa, "");
    ARRIVED(b, qb, "");
    net_close(&net);
    struct rvt_packet_faults *faults = NULL;
    struct rvt_fault_options options = {.seed = 1};
    options.rules[RVT_FAULT_LATE] = (struct rvt_fault_rule){1, 0, 0, LATE, 3};
    struct rvt_faults *of_device = rvt_make_faults(&options);
    CHECK_EQ(rvt_make_packet_faults(of_device, &faults), 0);
    unsigned char bytes[64] = {0};
    const struct rvt_outgoing packet = {.bytes = bytes, .length = sizeof(bytes)};
    uint32_t held = 0;
    while (held < 2 * RVT_MOST_HELD_PACKETS && !rvt_packet_goes_out(faults, &packet, 0))
        held++;
    CHECK(held < RVT_MOST_HELD_PACKETS && held > RVT_MOST_HELD_PACKETS - 3);
    struct rvt_fault_counts counts;
    rvt_count_faults(of_device, &counts);
    CHECK_EQ(counts.seen[RVT_FAULT_LATE], held + 1);
    CHECK_EQ(counts.made[RVT_FAULT_LATE], held); /* what was not done is not counted */
    rvt_free_packet_faults(faults);
    rvt_free_faults(of_device);
}

/* One packet can meet faults of several kinds: lost goes before all, late before reordered, doubled goes with both. Each kind is
 * asked about each packet. */
static void several_kinds(void) {
    struct rvt_fault_options options = {.seed = 1};
    struct rvt_packet_faults *faults = NULL;
    options.rules[RVT_FAULT_LOST] = (struct rvt_fault_rule){.at = 1, .directions = 1};
    options.rules[RVT_FAULT_LATE] = (struct rvt_fault_rule){.every = 1, .value = LATE, .directions = 1};
    options.rules[RVT_FAULT_DOUBLED] = (struct rvt_fault_rule){.every = 2, .directions = 1};
    options.rules[RVT_FAULT_REORDERED] = (struct rvt_fault_rule){.every = 1, .directions = 1};
    struct rvt_faults *of_device = rvt_make_faults(&options);
    CHECK_EQ(rvt_make_packet_faults(of_device, &faults), 0);
    unsigned char bytes[64] = {0};
    const struct rvt_outgoing packet = {.bytes = bytes, .length = sizeof(bytes)};
    CHECK(!rvt_packet_goes_out(faults, &packet, 0)); /* lost */
    CHECK_EQ(rvt_packet_faults_due(faults), UINT64_MAX);
    CHECK(!rvt_packet_goes_out(faults, &packet, 10)); /* late, and its double at once */
    CHECK_EQ(rvt_packet_faults_due(faults), 10);
    struct rvt_held_packet *held = rvt_take_held_packet(&faults->out, 10);
    CHECK(held != NULL);
    rvt_free(held);
    CHECK_PTR_EQ(rvt_take_held_packet(&faults->out, 10), NULL);
    CHECK_EQ(rvt_packet_faults_due(faults), 10 + LATE);
    const struct rvt_datagram in = {.bytes = bytes, .length = sizeof(bytes)};
    CHECK(rvt_packet_comes_in(faults, &in, 10)); /* no kind asks about this direction */
    struct rvt_fault_counts counts;
    rvt_count_faults(of_device, &counts);
    for (int kind = RVT_FAULT_LOST; kind <= RVT_FAULT_REORDERED; kind++) {
        CHECK_EQ(counts.seen[kind], 2);
        CHECK_EQ(counts.made[kind], kind == RVT_FAULT_REORDERED ? 0 : 1);
    }
    rvt_free_packet_faults(faults);
    rvt_free_faults(of_device);
}

static void memory_is_short(void) {
    struct rvt_fault_options options = {.seed = 1};
    struct rvt_packet_faults *faults = NULL;
    struct rvt_faults *none = rvt_make_faults(&options);
    CHECK_EQ(rvt_make_packet_faults(none, &faults), 0);
    CHECK_PTR_EQ(faults, NULL);
    CHECK_EQ(rvt_make_packet_faults(NULL, &faults), 0);
    CHECK_PTR_EQ(faults, NULL);
    rvt_free_packet_faults(NULL);
    rvt_free_faults(none);
    options.rules[RVT_FAULT_LATE] = (struct rvt_fault_rule){.every = 1, .value = LATE, .directions = 1};
    struct rvt_faults *of_device = rvt_make_faults(&options);
    rvt_test_alloc_fail_after(0);
    FAILS(rvt_make_packet_faults(of_device, &faults), RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    rvt_test_alloc_fail_after(-1);
    CHECK_EQ(rvt_make_packet_faults(of_device, &faults), 0);
    unsigned char bytes[64] = {0};
    const struct rvt_outgoing packet = {.bytes = bytes, .length = sizeof(bytes)};
    rvt_test_alloc_fail_after(0);
    CHECK(!rvt_packet_goes_out(faults, &packet, 0)); /* lost */
    rvt_test_alloc_fail_after(-1);
    CHECK_EQ(rvt_packet_faults_due(faults), UINT64_MAX);
    rvt_free_packet_faults(faults);
    rvt_free_faults(of_device);
}

/* A message that comes in finds no receive although there is one. */
static void rnr_on_the_wire(void) {
    REQUIRE(open_with(RVT_FAULT_RNR, (struct rvt_fault_rule){.at = 2}));
    send_some(b, &qb, a, &qa, 3);
    net_run(&net);
    ARRIVED(a, qa, "02");
    CHECK_EQ(net_counters(a).no_receive, 1);
    made(RVT_FAULT_RNR, 3, 1);
    struct vqp ca, cb;
    net_connect(&net, a, b, &ca, &cb);
    CHECK_EQ(net_receive(a, &ca, 1, 0, 64), 0);
    const struct rvt_ib_sge sge = sge_at(&b->mr, 0, 8);
    CHECK_EQ(post(&cb, SEND_WR(.wr_id = 9, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    net_run(&net);
    made(RVT_FAULT_RNR, 4, 1);
    CHECK_EQ(query_qp(&ca).receives, 0);
    net_close(&net);
}

static void flush_on_the_wire(void) {
    REQUIRE(open_with(RVT_FAULT_FLUSH, (struct rvt_fault_rule){.at = 2}));
    send_some(a, &qa, b, &qb, 4);
    net_run(&net);
    WC(qa.scq, .wr_id = 0, .qp_num = qa.qpn, .byte_len = MESSAGE);
    WC(qa.scq, .wr_id = 1, .qp_num = qa.qpn, .byte_len = MESSAGE, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
       .cause = RVT_WHY_INJECTED, .cause_value = RVT_FAULT_FLUSH);
    for (uint64_t i = 2; i < 4; i++)
        WC(qa.scq, .wr_id = i, .qp_num = qa.qpn, .byte_len = MESSAGE, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
           .cause = RVT_WHY_FLUSHED);
    CHECK_EQ(state_of(&qa), RVT_QPS_ERR);
    made(RVT_FAULT_FLUSH, 2, 1);
    AT_REST(a->mr);
    net_close(&net);
}

CHECK_MAIN(TEST(lost_packets), TEST(many_lost_packets), TEST(doubled_packets), TEST(reordered_packets),
           TEST(late_packets), TEST(packets_that_are_held_back), TEST(several_kinds), TEST(memory_is_short),
           TEST(rnr_on_the_wire), TEST(flush_on_the_wire))
