/* SPDX-License-Identifier: BSD-3-Clause */
/* The endpoint: opening and closing, connecting, and which packets it accepts. What requests and answers do is tested
 * in test_endpoint_responder and test_endpoint_requester. Packets are written by packets.h: from 10.0.2.15 to 10.0.2.16, or
 * between the addresses of put_ipv6(). */
#include "wire/endpoint/endpoint.h"

#include "core/base/alloc.h"
#include "engine/verbs.h"
#include "packets.h"

enum { PEER_PORT = 0xc012 };

struct world {
    struct verbs v;
    struct rvt_endpoint *endpoint;
    struct vqp qp;
    bool ipv6;
    uint32_t wakes, refusals;
};

static void note_wake(void *data) {
    ((struct world *)data)->wakes++;
}

static void set_ipv4(uint8_t address[16], unsigned last) {
    static const uint8_t prefix[15] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 2};
    memcpy(address, prefix, sizeof(prefix));
    address[15] = (uint8_t)last;
}

/* The addresses that put_ipv6() writes. */
static void set_ipv6(uint8_t address[16], int first) {
    for (int i = 0; i < 16; i++)
        address[i] = i == 0 ? 0xfe : (uint8_t)(first + i);
}

static struct rvt_endpoint_options options_of(struct world *w) {
    struct rvt_endpoint_options options = {
        .device = w->v.device,
        .port = RVT_ROCE_UDP_PORT,
        .refusals_a_minute = 16,
        .host = {.wake = note_wake, .data = w},
    };
    if (w->ipv6)
        set_ipv6(options.address, 16);
    else
        set_ipv4(options.address, 16);
    return options;
}

static struct rvt_wire_peer peer_of(const struct world *w) {
    struct rvt_wire_peer peer = {.port = PEER_PORT};
    if (w->ipv6)
        set_ipv6(peer.address, 0);
    else
        set_ipv4(peer.address, 15);
    return peer;
}

static bool open_world(struct world *w, bool ipv6) {
    memset(w, 0, sizeof(*w));
    if (!verbs_open(&w->v, AT_ONCE))
        return false;
    w->ipv6 = ipv6;
    const struct rvt_endpoint_options options = options_of(w);
    CHECK_EQ(rvt_endpoint_open(&options, &w->endpoint), 0);
    w->qp = make_qp(&w->v, RVT_QPT_RC);
    const struct rvt_wire_peer peer = peer_of(w);
    CHECK_EQ(rvt_endpoint_connect(w->endpoint, w->qp.handle, &peer, 0), 0);
    return true;
}

static void close_world(struct world *w) {
    rvt_endpoint_close(w->endpoint);
    verbs_close(&w->v);
}

static struct rvt_endpoint_counters counters_of(const struct world *w) {
    struct rvt_endpoint_counters counters;
    rvt_endpoint_count(w->endpoint, &counters);
    return counters;
}

/* A SEND ONLY of 5 bytes to the queue pair. `opcode`: another opcode without headers beside the BTH. */
static void write_packet(const struct world *w, struct packet *p, unsigned opcode, uint32_t qpn) {
    memset(p, 0, sizeof(*p));
    if (w->ipv6)
        put_ipv6(p, 17);
    else
        put_ipv4(p, 0);
    put_udp(p);
    put_bth(p, opcode, 3);
    p->bytes[p->bth_at + 5] = (unsigned char)(qpn >> 16);
    p->bytes[p->bth_at + 6] = (unsigned char)(qpn >> 8);
    p->bytes[p->bth_at + 7] = (unsigned char)qpn;
    put_payload(p, 5);
    put(p, "\0\0\0", 3);
    finish_packet(p);
}

static struct rvt_datagram datagram_of(const struct world *w, const struct packet *p) {
    return (struct rvt_datagram){
        .bytes = p->bytes + p->bth_at, .length = (uint32_t)(p->length - p->bth_at), .from = peer_of(w)};
}

static void receive(const struct world *w, const struct rvt_datagram *datagram) {
    rvt_endpoint_receive(w->endpoint, datagram, 1, 0);
}

/* --- opening and connecting --- */

static void a_device_without_an_engine_has_no_endpoint(void) {
    const struct rvt_device_options device = {.lkey_table_bits = 8};
    struct rvt_endpoint_options options = {.port = RVT_ROCE_UDP_PORT};
    struct rvt_endpoint *endpoint;
    REQUIRE(!rvt_driver_mr_init(&device, &options.device));
    FAILS(rvt_endpoint_open(&options, &endpoint), RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    CHECK_EQ(rvt_mr_exit(options.device, true, NULL), 0);
    rvt_dev_put(options.device);
}

static void opening_and_connecting_find_no_memory(void) {
    struct world w;
    struct rvt_endpoint *endpoint;
    REQUIRE(open_world(&w, false));
    const struct rvt_endpoint_options options = options_of(&w);
    const struct rvt_wire_peer peer = peer_of(&w);
    struct vqp qp = make_qp(&w.v, RVT_QPT_RC);
    rvt_test_alloc_fail_after(0);
    FAILS(rvt_endpoint_open(&options, &endpoint), RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    int answer = -RVT_ENOMEM, failures = 0;
    for (long n = 0; answer == -RVT_ENOMEM && n < 10; n++) {
        rvt_test_alloc_fail_after(n);
        answer = rvt_endpoint_connect(w.endpoint, qp.handle, &peer, 0);
        failures += answer == -RVT_ENOMEM;
        rvt_test_alloc_fail_after(-1);
    }
    CHECK_EQ(answer, 0);
    CHECK(failures >= 1);
    close_world(&w);
}

static void connecting_tests_the_queue_pair_and_the_peer(void) {
    struct world w;
    REQUIRE(verbs_open(&w.v, AT_ONCE));
    struct vqp early = make_qp(&w.v, RVT_QPT_RC);
    w.ipv6 = false;
    const struct rvt_endpoint_options options = options_of(&w);
    CHECK_EQ(rvt_endpoint_open(&options, &w.endpoint), 0);
    struct rvt_wire_peer peer = peer_of(&w);
    struct vqp ud = make_qp(&w.v, RVT_QPT_UD), gone = make_qp(&w.v, RVT_QPT_RC),
               busy = make_qp(&w.v, RVT_QPT_RC);
    FAILS(rvt_endpoint_connect(w.endpoint, early.handle, &peer, 0), RVT_EINVAL, RVT_CAUSE_QP_NUMBER_FORESEEN);
    FAILS_WITH(rvt_endpoint_connect(w.endpoint, ud.handle, &peer, 0), RVT_EOPNOTSUPP, RVT_CAUSE_QP_TYPE,
               RVT_QPT_UD, 0, 0);
    connect_qp(&busy, 5);
    FAILS_WITH(rvt_endpoint_connect(w.endpoint, busy.handle, &peer, 0), RVT_EINVAL, RVT_CAUSE_QP_STATE,
               RVT_QPS_RTS, 0, 0);
    CHECK_EQ(rvt_destroy_qp(gone.handle), 0);
    FAILS(rvt_endpoint_connect(w.endpoint, gone.handle, &peer, 0), RVT_EBADF, RVT_CAUSE_QP_GONE);
    struct vqp qp = make_qp(&w.v, RVT_QPT_RC);
    set_ipv6(peer.address, 0);
    FAILS(rvt_endpoint_connect(w.endpoint, qp.handle, &peer, 0), RVT_EINVAL, RVT_CAUSE_ADDRESS_FAMILY);
    peer = peer_of(&w);
    CHECK_EQ(rvt_endpoint_connect(w.endpoint, qp.handle, &peer, 0), 0);
    CHECK_EQ(rvt_endpoint_connect(w.endpoint, qp.handle, &peer, 0),
             0); /* again: the former connection is freed */
    close_world(&w);
}

static void numbers_are_random_once_an_endpoint_is_open(void) {
    struct world w;
    REQUIRE(open_world(&w, false));
    struct vqp next = make_qp(&w.v, RVT_QPT_RC);
    CHECK(next.qpn != w.qp.qpn + 1);
    CHECK(w.qp.qpn > 64 || next.qpn > 64); /* both at most 64 by chance: 1 in 2^36 */
    close_world(&w);
}

static void closing_ends_what_is_connected(void) {
    for (enum rvt_qp_state state = RVT_QPS_INIT; state <= RVT_QPS_SQD; state++) {
        struct world w;
        REQUIRE(open_world(&w, false));
        bring_to(&w.qp, usual_attr(5), state);
        rvt_endpoint_close(w.endpoint);
        CHECK_EQ(state_of(&w.qp), RVT_QPS_ERR);
        CHECK_EQ(move_qp(&w.qp, usual_attr(5), RVT_QPS_RESET), 0);
        connect_qp(&w.qp, w.qp.qpn); /* it is a queue pair of loopback again */
        CHECK_EQ(post(&w.qp, SEND_WR(.wr_id = 1, .opcode = RVT_WR_RDMA_WRITE)), 0);
        WC(w.qp.scq, .wr_id = 1, .qp_num = w.qp.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
        verbs_close(&w.v);
    }
}

static void a_queue_pair_that_ends_leaves_the_endpoint(void) {
    struct world w;
    REQUIRE(open_world(&w, false));
    struct packet p;
    bring_to(&w.qp, usual_attr(5), RVT_QPS_RTS);
    write_packet(&w, &p, RVT_BTH_RC_SEND_ONLY, w.qp.qpn);
    CHECK_EQ(rvt_destroy_qp(w.qp.handle), 0);
    const struct rvt_datagram datagram = datagram_of(&w, &p);
    receive(&w, &datagram);
    CHECK_EQ(counters_of(&w).unknown_qp, 1);
    close_world(&w);
}

/* --- which packets are accepted --- */

static void a_packet_to_a_connected_queue_pair_is_accepted(void) {
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        struct world w;
        struct packet p;
        REQUIRE(open_world(&w, ipv6));
        bring_to(&w.qp, usual_attr(5), RVT_QPS_RTS);
        write_packet(&w, &p, RVT_BTH_RC_SEND_ONLY, w.qp.qpn);
        struct rvt_datagram datagram = datagram_of(&w, &p);
        receive(&w, &datagram); /* without the identification, which is solved */
        datagram.has_ip_id = true;
        datagram.ip_id = 0x1234;
        receive(&w, &datagram);
        const struct rvt_endpoint_counters counters = counters_of(&w);
        CHECK_EQ(counters.received, 2);
        CHECK_EQ(counters.bytes_received, 10);
        CHECK_EQ(counters.malformed + counters.bad_icrc + counters.unknown_qp + counters.wrong_source, 0);
        close_world(&w);
    }
}

static void damage_of_any_bit_is_noticed(void) {
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        struct world w;
        struct packet p;
        REQUIRE(open_world(&w, ipv6));
        bring_to(&w.qp, usual_attr(5), RVT_QPS_RTS);
        write_packet(&w, &p, RVT_BTH_RC_SEND_ONLY, w.qp.qpn);
        struct rvt_datagram datagram = datagram_of(&w, &p);
        datagram.has_ip_id = true;
        datagram.ip_id = 0x1234;
        for (size_t bit = 8 * p.bth_at; bit < 8 * p.length; bit++) {
            if (bit / 8 == p.bth_at + 4)
                continue; /* FECN and BECN, which routers set: not covered */
            p.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            receive(&w, &datagram);
            p.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
        CHECK_EQ(counters_of(&w).bytes_received, 0);
        CHECK(counters_of(&w).bad_icrc > 0);
        datagram.ip_id ^= 1;
        receive(&w, &datagram);
        CHECK_EQ(counters_of(&w).bytes_received, ipv6 ? 5 : 0); /* IPv6 has no identification */
        close_world(&w);
    }
}

static void unknown_numbers_and_sources_are_dropped_without_an_answer(void) {
    struct world w;
    struct packet p;
    unsigned char bytes[RVT_MOST_PACKET_BYTES];
    struct rvt_outgoing out = {.bytes = bytes};
    REQUIRE(open_world(&w, false));
    write_packet(&w, &p, RVT_BTH_RC_SEND_ONLY, w.qp.qpn);
    struct rvt_datagram datagram = datagram_of(&w, &p);
    receive(&w, &datagram); /* it is still in RESET */
    CHECK_EQ(counters_of(&w).unknown_qp, 1);
    bring_to(&w.qp, usual_attr(5), RVT_QPS_RTS);
    datagram.from.address[15] ^= 1;
    receive(&w, &datagram);
    CHECK_EQ(counters_of(&w).wrong_source, 1);
    write_packet(&w, &p, RVT_BTH_RC_SEND_ONLY, w.qp.qpn ^ 1);
    datagram = datagram_of(&w, &p);
    receive(&w, &datagram);
    CHECK_EQ(counters_of(&w).unknown_qp, 2);
    CHECK_EQ(counters_of(&w).bytes_received, 0);
    CHECK_EQ(rvt_endpoint_send(w.endpoint, &out, 1, 0), 0);
    close_world(&w);
}

static void what_is_no_packet_of_rc_is_dropped(void) {
    struct world w;
    struct packet p;
    REQUIRE(open_world(&w, false));
    bring_to(&w.qp, usual_attr(5), RVT_QPS_RTS);
    uint64_t dropped = 0;
    static const unsigned opcodes[] = {RVT_BTH_UC_SEND_ONLY, RVT_BTH_UD_SEND_ONLY, 0x15, 0x18, 0xff};
    for (unsigned i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
        write_packet(&w, &p, opcodes[i], w.qp.qpn);
        const struct rvt_datagram datagram = datagram_of(&w, &p);
        receive(&w, &datagram);
        CHECK_EQ(counters_of(&w).malformed, ++dropped);
    }
    write_packet(&w, &p, RVT_BTH_RC_SEND_ONLY, w.qp.qpn);
    struct rvt_datagram datagram = datagram_of(&w, &p);
    const uint32_t whole = datagram.length;
    for (datagram.length = 0; datagram.length < whole; datagram.length++) { /* cut off anywhere */
        unsigned char *copy = copy_exactly(p.bytes + p.bth_at, datagram.length);
        datagram.bytes = copy;
        receive(&w, &datagram);
        free(copy);
    }
    CHECK_EQ(counters_of(&w).bytes_received, 0);
    datagram.bytes = p.bytes + p.bth_at;
    p.bytes[p.bth_at + 2] = 0x12; /* another partition */
    const uint64_t malformed = counters_of(&w).malformed;
    receive(&w, &datagram);
    CHECK_EQ(counters_of(&w).malformed, malformed + 1);
    datagram.length = RVT_MOST_PACKET_BYTES + 1;
    unsigned char *long_copy = calloc(1, datagram.length);
    datagram.bytes = long_copy;
    receive(&w, &datagram);
    CHECK_EQ(counters_of(&w).malformed, malformed + 2);
    free(long_copy);
    close_world(&w);
}

static void a_congestion_notification_is_counted(void) {
    struct world w;
    struct packet p;
    REQUIRE(open_world(&w, false));
    bring_to(&w.qp, usual_attr(5), RVT_QPS_RTS);
    memset(&p, 0, sizeof(p));
    put_ipv4(&p, 0);
    put_udp(&p);
    put_bth(&p, RVT_BTH_CNP, 0);
    for (int i = 0; i < 16; i++)
        put_8(&p, 0);
    finish_packet(&p);
    const struct rvt_datagram datagram = datagram_of(&w, &p);
    receive(&w, &datagram);
    CHECK_EQ(counters_of(&w).congestion, 1);
    close_world(&w);
}

static void nothing_is_due_without_work(void) {
    struct world w;
    REQUIRE(open_world(&w, false));
    bring_to(&w.qp, usual_attr(5), RVT_QPS_RTS);
    CHECK_EQ(rvt_endpoint_tick(w.endpoint, 1), UINT64_MAX);
    CHECK_EQ(rvt_endpoint_send(w.endpoint, NULL, 0, 1), 0);
    close_world(&w);
}

CHECK_MAIN(TEST(a_device_without_an_engine_has_no_endpoint), TEST(opening_and_connecting_find_no_memory),
           TEST(connecting_tests_the_queue_pair_and_the_peer),
           TEST(numbers_are_random_once_an_endpoint_is_open), TEST(closing_ends_what_is_connected),
           TEST(a_queue_pair_that_ends_leaves_the_endpoint),
           TEST(a_packet_to_a_connected_queue_pair_is_accepted), TEST(damage_of_any_bit_is_noticed),
           TEST(unknown_numbers_and_sources_are_dropped_without_an_answer),
           TEST(what_is_no_packet_of_rc_is_dropped), TEST(a_congestion_notification_is_counted),
           TEST(nothing_is_due_without_work))
