/* SPDX-License-Identifier: BSD-3-Clause */
/* What a peer that is not to be trusted can learn and cause: a refusal says its class and nothing else, garbage costs
 * no memory, and no answer is larger than what was asked for. */
#include "engine/verbs.h"
#include "link.h"
#include "wire/transport.h"

enum { PART = 4096, MTU_CODE = 3, MTU = 1024, PSN = 0x200, PEER_QPN = 0xabcde, TAKEN = 80000 };

struct bench {
    struct verbs v;
    struct link_endpoint end;
    struct rvt_wire_peer here, there, other;
    struct vqp qp;
    unsigned char readable[PART], writable[PART], counters[PART];
    struct vmr read, write, atomic;
    uint64_t now;
    /* Everything that was sent since the last take(): lengths and bytes one behind the other. */
    unsigned char taken[TAKEN];
    uint32_t taken_bytes, taken_packets, taken_payload;
};

static struct bench b;

static struct rvt_wire_peer place(unsigned last) {
    return (struct rvt_wire_peer){.address = {[10] = 0xff, 0xff, 10, 0, 0, (uint8_t)last}, .port = LINK_PORT};
}

static struct rvt_qp_attr attributes(void) {
    struct rvt_qp_attr attr = usual_attr(PEER_QPN);
    attr.access = REMOTE_READ | REMOTE_WRITE | REMOTE_ATOMIC;
    attr.path_mtu = MTU_CODE;
    attr.rq_psn = PSN;
    attr.max_dest_rd_atomic = 16;
    return attr;
}

static void connect_again(uint32_t access) {
    struct rvt_qp_attr attr = attributes();
    attr.access = access;
    CHECK_EQ(move_qp(&b.qp, attr, RVT_QPS_RESET), 0);
    bring_to(&b.qp, attr, RVT_QPS_RTS);
}

static void open_bench(uint32_t refusals_a_minute) {
    memset(&b, 0, sizeof(b));
    if (!verbs_open(&b.v, AT_ONCE))
        abort();
    b.here = place(1);
    b.there = place(2);
    b.other = place(3);
    CHECK(link_open_endpoint(&b.end, b.v.device, &b.here, refusals_a_minute));
    b.qp = make_qp(&b.v, RVT_QPT_RC);
    count_up(b.readable, PART, 1);
    b.read = make_mr_in(b.v.pd, b.readable, PART, REMOTE_READ);
    b.write = make_mr_in(b.v.pd, b.writable, PART, LOCAL_WRITE | REMOTE_WRITE);
    b.atomic = make_mr_in(b.v.pd, b.counters, PART, LOCAL_WRITE | REMOTE_ATOMIC);
    CHECK_EQ(rvt_endpoint_connect(b.end.endpoint, b.qp.handle, &b.there, 0), 0);
    connect_again(attributes().access);
}

static void close_bench(void) {
    rvt_endpoint_close(b.end.endpoint);
    verbs_close(&b.v);
}

/* --- packets --- */

struct asks {
    unsigned opcode;
    uint32_t psn;
    uint64_t addr;
    uint32_t key, length; /* of the RETH */
    uint32_t payload;
};

static void make(struct packet *p, const struct rvt_wire_peer *from, const struct asks *a) {
    const bool atomic = a->opcode == RVT_BTH_RC_FETCH_ADD || a->opcode == RVT_BTH_RC_CMP_SWAP;
    const bool reth = a->opcode == RVT_BTH_RC_WRITE_FIRST || a->opcode == RVT_BTH_RC_WRITE_ONLY ||
                      a->opcode == RVT_BTH_RC_READ_REQUEST;
    p->length = 0;
    put_8(p, a->opcode);
    put_8(p, 0x40 | (-a->payload & 3) << 4);
    put_16(p, 0xffff);
    put_8(p, 0);
    put_24(p, b.qp.qpn);
    put_8(p, 0x80);
    put_24(p, a->psn);
    if (reth || atomic) {
        put_64(p, a->addr);
        put_32(p, a->key);
    }
    if (reth)
        put_32(p, a->length);
    if (atomic) {
        put_64(p, 1);
        put_64(p, 0);
    }
    for (uint32_t i = 0; i < a->payload; i++)
        put_8(p, 0x77);
    for (uint32_t i = -a->payload & 3; i; i--)
        put_8(p, 0);
    p->length += 4;
    const uint32_t icrc = htole32(datagram_icrc(from, &b.here, 0, p->bytes, (uint32_t)p->length));
    memcpy(p->bytes + p->length - 4, &icrc, 4);
}

static void give_from(const struct rvt_wire_peer *from, const struct asks *a, uint32_t copies) {
    struct packet p;
    struct rvt_datagram datagrams[RVT_MOST_PACKETS];
    make(&p, from, a);
    for (uint32_t i = 0; i < copies; i++)
        datagrams[i] = (struct rvt_datagram){p.bytes, (uint32_t)p.length, *from, true, 0};
    rvt_endpoint_receive(b.end.endpoint, datagrams, copies, b.now);
}

static void give(const struct asks *a) {
    give_from(&b.there, a, 1);
}

/* Takes and keeps everything that is sent. */
static void take(void) {
    static unsigned char buffers[LINK_BATCH][RVT_MOST_PACKET_BYTES];
    struct rvt_outgoing packets[LINK_BATCH];
    uint32_t sent;
    memset(b.taken, 0, b.taken_bytes);
    b.taken_bytes = b.taken_packets = b.taken_payload = 0;
    do {
        for (uint32_t i = 0; i < LINK_BATCH; i++)
            packets[i].bytes = buffers[i];
        sent = rvt_endpoint_send(b.end.endpoint, packets, LINK_BATCH, b.now);
        for (uint32_t i = 0; i < sent; i++) {
            struct rvt_transport t;
            const uint32_t length = packets[i].length;
            CHECK_BYTES_EQ(&packets[i].to, &b.there, sizeof(b.there));
            CHECK_EQ(rvt_decode_transport(packets[i].bytes, length - 4, length - 4, &t), RVT_WIRE_FAULT_NONE);
            b.taken_packets++;
            b.taken_payload += t.payload_length;
            rvt_endpoint_seal(b.end.endpoint, &packets[i], 0);
            if (b.taken_bytes + 4 + length > TAKEN)
                continue;
            memcpy(b.taken + b.taken_bytes, &length, 4);
            memcpy(b.taken + b.taken_bytes + 4, packets[i].bytes, length);
            b.taken_bytes += 4 + length;
        }
    } while (sent);
    b.end.woken = false;
}

/* --- refusals --- */

/* What all refusals of a class have sent. */
static unsigned char sent[TAKEN];
static uint32_t sent_bytes, refusals_seen;

/* The request is refused here for this reason, and what was sent is what every other refusal sent. */
static void refused(const struct asks *a, uint32_t cause, uint32_t reason, unsigned syndrome) {
    const uint32_t before = b.end.refusals;
    give(a);
    take();
    CHECK_EQ(b.end.refusals, before + 1);
    CHECK_EQ(b.end.refusal.why.cause, cause);
    CHECK_EQ(b.end.refusal.why.refused.reason, reason);
    CHECK_EQ(b.end.refusal.syndrome, syndrome);
    CHECK_EQ(b.taken_packets, 1);
    CHECK_EQ(b.taken[4 + RVT_BTH_BYTES], syndrome);
    if (refusals_seen++) {
        CHECK_EQ(b.taken_bytes, sent_bytes);
        CHECK_BYTES_EQ(b.taken, sent, sent_bytes);
    }
    memcpy(sent, b.taken, b.taken_bytes);
    sent_bytes = b.taken_bytes;
    /* And silence, whatever comes. */
    give(a);
    give(&(struct asks){.opcode = RVT_BTH_RC_SEND_ONLY, .psn = PSN + 1});
    take();
    CHECK_EQ(b.taken_packets, 0);
    connect_again(attributes().access);
}

/* All six reasons, for one kind of request. */
static void six_refusals(unsigned opcode) {
    static unsigned char more[PART];
    const bool read = opcode == RVT_BTH_RC_READ_REQUEST, atomic = opcode == RVT_BTH_RC_FETCH_ADD;
    const uint32_t right = read     ? REMOTE_READ
                           : atomic ? REMOTE_ATOMIC | LOCAL_WRITE
                                    : REMOTE_WRITE | LOCAL_WRITE;
    const struct vmr good = make_mr_in(b.v.pd, more, PART, right);
    struct asks a = {opcode, PSN, good.addr, good.key, 64, opcode == RVT_BTH_RC_WRITE_ONLY ? 64 : 0};
    if (opcode == RVT_BTH_RC_WRITE_FIRST) {
        a.payload = MTU;
        a.length = MTU + 1;
    }
    struct asks bad = a;
    refusals_seen = 0;

    bad.key = 0x7fff0000; /* a place in the table that has never held a region */
    refused(&bad, RVT_WHY_REMOTE_REFUSED, RVT_NO_SUCH_KEY, 0x62);

    bad.key = a.key ^ 1;
    refused(&bad, RVT_WHY_REMOTE_REFUSED, RVT_STALE_KEY, 0x62);

    bad = a;
    bad.addr = good.addr + PART;
    refused(&bad, RVT_WHY_REMOTE_REFUSED, RVT_OUT_OF_BOUNDS, 0x62);

    const struct vmr weak = make_mr_in(b.v.pd, more, PART, LOCAL_WRITE);
    bad = a;
    bad.key = weak.key;
    refused(&bad, RVT_WHY_REMOTE_REFUSED, RVT_ACCESS_DENIED, 0x62);

    const struct vmr ended = make_mr_in(b.v.pd, more, PART, right);
    CHECK_EQ(rvt_dereg_mr(ended.mr, RVT_RELEASE), 0);
    bad = a;
    bad.key = ended.key;
    refused(&bad, RVT_WHY_REMOTE_REFUSED, RVT_REVOKED, 0x62);

    const struct vmr invalid = make_mr_in(b.v.pd, more, PART, right);
    CHECK_EQ(rvt_invalidate_rkey(b.qp.handle, invalid.key), 0);
    bad = a;
    bad.key = invalid.key;
    refused(&bad, RVT_WHY_REMOTE_REFUSED, RVT_INVALIDATED, 0x62);

    CHECK_EQ(refusals_seen, 6);
    for (unsigned i = 0; i < PART; i++)
        CHECK(!more[i]);
    CHECK_EQ(rvt_dereg_mr(good.mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dereg_mr(weak.mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dereg_mr(invalid.mr, RVT_RELEASE), 0);
}

static void six_refusals_send_the_same_bytes(void) {
    open_bench(0);
    six_refusals(RVT_BTH_RC_WRITE_ONLY);
    six_refusals(RVT_BTH_RC_WRITE_FIRST);
    six_refusals(RVT_BTH_RC_READ_REQUEST);
    six_refusals(RVT_BTH_RC_FETCH_ADD);
    close_bench();
}

static void invalid_requests_send_the_same_bytes(void) {
    open_bench(0);
    refusals_seen = 0;
    /* A message that has no beginning. */
    refused(&(struct asks){.opcode = RVT_BTH_RC_WRITE_MIDDLE, .psn = PSN, .payload = MTU}, RVT_WHY_BAD_PACKET,
            0, 0x61);
    /* More bytes than the RETH says. */
    refused(&(struct asks){.opcode = RVT_BTH_RC_WRITE_ONLY,
                           .psn = PSN,
                           .addr = b.write.addr,
                           .key = b.write.key,
                           .length = 8,
                           .payload = 12},
            RVT_WHY_BAD_PACKET, 0, 0x61);
    refused(
        &(struct asks){
            .opcode = RVT_BTH_RC_FETCH_ADD, .psn = PSN, .addr = b.atomic.addr + 4, .key = b.atomic.key},
        RVT_WHY_ATOMIC_ADDRESS, 0, 0x61);
    refused(&(struct asks){.opcode = RVT_BTH_RC_READ_REQUEST,
                           .psn = PSN,
                           .addr = b.read.addr,
                           .key = b.read.key,
                           .length = 0x80000001},
            RVT_WHY_BAD_PACKET, 0, 0x61);
    connect_again(0);
    refused(&(struct asks){.opcode = RVT_BTH_RC_WRITE_ONLY,
                           .psn = PSN,
                           .addr = b.write.addr,
                           .key = b.write.key,
                           .length = 8,
                           .payload = 8},
            RVT_WHY_QP_ACCESS, 0, 0x61);
    CHECK_EQ(post_receive(&b.qp, 1, NULL, 0), 0);
    refused(&(struct asks){.opcode = RVT_BTH_RC_SEND_ONLY, .psn = PSN, .payload = 1},
            RVT_WHY_RECEIVE_TOO_SHORT, 0, 0x61);
    CHECK_EQ(refusals_seen, 6);
    close_bench();
}

/* Whether a READ was refused at its first or at a later response does not show either, but for PSN and MSN. */
static void a_later_refusal_is_the_same_but_for_psn_and_msn(void) {
    open_bench(0);
    refusals_seen = 0;
    refused(&(struct asks){.opcode = RVT_BTH_RC_READ_REQUEST,
                           .psn = PSN,
                           .addr = b.read.addr,
                           .key = b.read.key ^ 1,
                           .length = 8},
            RVT_WHY_REMOTE_REFUSED, RVT_STALE_KEY, 0x62);
    give(&(struct asks){.opcode = RVT_BTH_RC_READ_REQUEST,
                        .psn = PSN,
                        .addr = b.read.addr,
                        .key = b.read.key,
                        .length = 3 * MTU});
    unsigned char buffer[RVT_MOST_PACKET_BYTES];
    struct rvt_outgoing one = {.bytes = buffer};
    CHECK_EQ(rvt_endpoint_send(b.end.endpoint, &one, 1, 0), 1);
    CHECK_EQ(buffer[0], RVT_BTH_RC_READ_RESPONSE_FIRST);
    CHECK_EQ(rvt_dereg_mr(b.read.mr, RVT_RELEASE), 0); /* not EBUSY: no reference is held between packets */
    memset(b.readable, 0xee, PART);
    take();
    CHECK_EQ(b.taken_packets, 1);
    CHECK_EQ(b.taken_bytes, sent_bytes);
    CHECK_EQ(b.taken[4 + 11], (PSN + 1) & 0xff);
    b.taken[4 + 11] = sent[4 + 11];
    memcpy(b.taken + 4 + 13, sent + 4 + 13, 3);                 /* the MSN */
    memcpy(b.taken + sent_bytes - 4, sent + sent_bytes - 4, 4); /* the ICRC covers both */
    CHECK_BYTES_EQ(b.taken, sent, sent_bytes);
    close_bench();
}

/* --- garbage --- */

static void garbage_costs_no_memory_and_gets_no_answer(void) {
    static unsigned char bytes[RVT_MOST_PACKET_BYTES + 100];
    uint64_t seed = 5;
    struct rvt_endpoint_counters c;
    open_bench(0);
    take();
    const long live = rvt_test_alloc_live();
    const uint64_t held = rvt_held_bytes(b.v.device);
    for (unsigned i = 0; i < 30000; i++) {
        uint32_t length = (uint32_t)roll(&seed, i % 8 ? 64 : sizeof(bytes));
        for (uint32_t at = 0; at < length && at < 64; at++)
            bytes[at] = (unsigned char)dice(&seed);
        if (i % 2 && length > 16) { /* to the queue pair, from its peer, but for the ICRC */
            bytes[0] = (unsigned char)roll(&seed, 0x18);
            bytes[1] = 0x40;
            bytes[2] = bytes[3] = 0xff;
            length &= ~3u;
            bytes[5] = (unsigned char)(b.qp.qpn >> 16);
            bytes[6] = (unsigned char)(b.qp.qpn >> 8);
            bytes[7] = (unsigned char)b.qp.qpn;
        }
        unsigned char *copy = copy_exactly(bytes, length);
        rvt_endpoint_receive(b.end.endpoint, &(struct rvt_datagram){copy, length, b.there, true, 0}, 1, i);
        free(copy);
    }
    CHECK(!b.end.woken);
    take();
    CHECK_EQ(b.taken_packets, 0);
    CHECK_EQ(rvt_test_alloc_live(), live);
    CHECK_EQ(rvt_held_bytes(b.v.device), held);
    rvt_endpoint_count(b.end.endpoint, &c);
    CHECK_EQ(c.received, 30000);
    CHECK_EQ(c.malformed + c.bad_icrc + c.unknown_qp + c.congestion, 30000);
    CHECK(c.bad_icrc > 5000 && c.malformed > 5000);
    CHECK_EQ(state_of(&b.qp), RVT_QPS_RTS);
    close_bench();
}

/* The number of the queue pair and the PSN are right, and so is the ICRC, but the source is not the peer. */
static void another_source_is_not_answered(void) {
    static const uint8_t opcodes[] = {RVT_BTH_RC_WRITE_ONLY, RVT_BTH_RC_READ_REQUEST, RVT_BTH_RC_FETCH_ADD,
                                      RVT_BTH_RC_SEND_ONLY, RVT_BTH_RC_WRITE_MIDDLE};
    unsigned char zeros[PART] = {0};
    struct rvt_endpoint_counters c;
    open_bench(0);
    const struct vmr *regions[] = {&b.write, &b.read, &b.atomic, &b.write, &b.write};
    for (unsigned i = 0; i < sizeof(opcodes); i++) {
        const struct asks a = {opcodes[i],      PSN, regions[i]->addr,
                               regions[i]->key, 8,   opcodes[i] % 3 == 1 ? 8 : 0};
        give_from(&b.other, &a, 1);
        take();
        CHECK_EQ(b.taken_packets, 0);
    }
    rvt_endpoint_count(b.end.endpoint, &c);
    CHECK_EQ(c.wrong_source, sizeof(opcodes));
    CHECK_EQ(c.fatal_naks, 0);
    CHECK_BYTES_EQ(b.writable, zeros, PART);
    CHECK_BYTES_EQ(b.counters, zeros, PART);
    CHECK_EQ(state_of(&b.qp), RVT_QPS_RTS);
    /* Another port of the peer is the peer: NICs choose source ports as they like. */
    struct rvt_wire_peer port = b.there;
    port.port = 50000;
    give_from(&port, &(struct asks){RVT_BTH_RC_WRITE_ONLY, PSN, b.write.addr, b.write.key, 8, 8}, 1);
    take();
    CHECK_EQ(b.taken_packets, 1);
    CHECK_EQ(b.writable[0], 0x77);
    close_bench();
}

/* --- no amplifier --- */

static void reads_answer_what_was_asked_for(void) {
    static const uint32_t lengths[] = {0, 1, MTU - 1, MTU, MTU + 1, 4 * MTU};
    uint32_t psn = PSN;
    open_bench(0);
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint32_t packets = lengths[i] ? (lengths[i] - 1) / MTU + 1 : 1;
        const struct asks a = {RVT_BTH_RC_READ_REQUEST, psn, b.read.addr, b.read.key, lengths[i], 0};
        give(&a);
        take();
        CHECK_EQ(b.taken_packets, packets);
        CHECK_EQ(b.taken_payload, lengths[i]);
        /* Once more: not more than one answer for each request, and while one is being sent none is added. */
        give(&a);
        take();
        CHECK_EQ(b.taken_payload, lengths[i]);
        give_from(&b.there, &a, RVT_MOST_PACKETS);
        take();
        CHECK_EQ(b.taken_packets, packets);
        CHECK_EQ(b.taken_payload, lengths[i]);
        psn += packets;
    }
    /* Parts of what was asked for, in one batch of many. */
    const struct asks last = {RVT_BTH_RC_READ_REQUEST, psn - 1, b.read.addr + 3 * MTU, b.read.key, MTU, 0};
    for (unsigned i = 0; i < 1000; i++)
        give(&last);
    take();
    CHECK(b.taken_payload <= MTU);
    CHECK_EQ(state_of(&b.qp), RVT_QPS_RTS);
    close_bench();
}

/* A READ of other PSNs than there were, or one that would need more PSNs than came. */
static void a_repeated_read_cannot_grow(void) {
    open_bench(0);
    give(&(struct asks){RVT_BTH_RC_READ_REQUEST, PSN, b.read.addr, b.read.key, 8, 0});
    take();
    give(&(struct asks){RVT_BTH_RC_READ_REQUEST, PSN, b.read.addr, b.read.key, 4 * MTU, 0});
    take();
    CHECK(b.taken_payload <= MTU);
    give(&(struct asks){RVT_BTH_RC_READ_REQUEST, PSN - 1, b.read.addr, b.read.key, 4 * MTU, 0});
    take();
    CHECK(b.taken_payload <= 2 * MTU);
    close_bench();
}

/* Once the queue pair is in error, what was asked for is not sent any more. */
static void answers_end_with_the_queue_pair(void) {
    open_bench(0);
    for (uint32_t i = 0; i < 16; i++)
        give(&(struct asks){RVT_BTH_RC_READ_REQUEST, PSN + 4 * i, b.read.addr, b.read.key, 4 * MTU, 0});
    unsigned char buffer[RVT_MOST_PACKET_BYTES];
    struct rvt_outgoing one = {.bytes = buffer};
    CHECK_EQ(rvt_endpoint_send(b.end.endpoint, &one, 1, 0), 1);
    CHECK_EQ(rvt_modify_qp(b.qp.handle, &(struct rvt_qp_attr){.state = RVT_QPS_ERR}, RVT_QPA_STATE), 0);
    take();
    CHECK_EQ(b.taken_packets, 0);
    close_bench();
}

/* --- guessing keys --- */

/* Each wrong key costs the connection, and a source gets so many a minute. */
static void refusals_of_a_source_are_limited(void) {
    const uint64_t minute = 60 * UINT64_C(1000000);
    struct rvt_endpoint_counters c;
    open_bench(16);
    b.now = 1000;
    for (uint32_t guess = 0; guess < 16; guess++) {
        CHECK_EQ(move_qp(&b.qp, attributes(), RVT_QPS_RESET), 0);
        CHECK_EQ(rvt_endpoint_connect(b.end.endpoint, b.qp.handle, &b.there, b.now), 0);
        bring_to(&b.qp, attributes(), RVT_QPS_RTS);
        give(&(struct asks){RVT_BTH_RC_READ_REQUEST, PSN, b.read.addr, b.read.key ^ (0x100 + guess), 8, 0});
        take();
        CHECK_EQ(b.taken[4 + RVT_BTH_BYTES], 0x62);
        b.now += 1000;
    }
    CHECK_EQ(b.end.refusals, 16);
    CHECK_EQ(move_qp(&b.qp, attributes(), RVT_QPS_RESET), 0);
    FAILS_WITH(rvt_endpoint_connect(b.end.endpoint, b.qp.handle, &b.there, b.now), RVT_EACCES,
               RVT_CAUSE_TOO_MANY_REFUSALS, 16, 16, 0);
    rvt_endpoint_count(b.end.endpoint, &c);
    CHECK_EQ(c.limited, 1);
    /* Others are not hit. */
    CHECK_EQ(rvt_endpoint_connect(b.end.endpoint, b.qp.handle, &b.other, b.now), 0);
    /* A minute after the first refusal. */
    FAILS_WITH(rvt_endpoint_connect(b.end.endpoint, b.qp.handle, &b.there, minute + 999), RVT_EACCES,
               RVT_CAUSE_TOO_MANY_REFUSALS, 16, 16, 0);
    CHECK_EQ(rvt_endpoint_connect(b.end.endpoint, b.qp.handle, &b.there, minute + 1000), 0);
    close_bench();
}

CHECK_MAIN(TEST(six_refusals_send_the_same_bytes), TEST(invalid_requests_send_the_same_bytes),
           TEST(a_later_refusal_is_the_same_but_for_psn_and_msn),
           TEST(garbage_costs_no_memory_and_gets_no_answer), TEST(another_source_is_not_answered),
           TEST(reads_answer_what_was_asked_for), TEST(a_repeated_read_cannot_grow),
           TEST(answers_end_with_the_queue_pair), TEST(refusals_of_a_source_are_limited))
