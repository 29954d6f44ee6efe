/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer whose requests are written by hand, and one connected queue pair of an endpoint that answers them. No code of
 * the codec: headers and ICRCs are written and read here, by the InfiniBand specification. */
#ifndef RVT_TEST_REQUESTS_H
#define RVT_TEST_REQUESTS_H

#include "core/engine/engine_qp.h"
#include "core/rvt.h"
#include "engine/verbs.h"
#include "wire/endpoint/connection.h"
#include "wire/endpoint/endpoint.h"
#include "wire/packets.h"

enum {
    PEER_QPN = 0x456,
    FIRST_PSN = 0x200, /* of the peer's requests */
    MTU = 256,
    DEPTH = 4, /* max_dest_rd_atomic */
    RNR_CODE = 12,
    MEMORY_BYTES = 8192,
    MOST_REFUSALS = 8,
    /* AETH syndromes */
    ACK = 0x1f,
    RNR_NAK = 0x20 | RNR_CODE,
    NAK_SEQUENCE = 0x60,
    NAK_INVALID = 0x61,
    NAK_ACCESS = 0x62,
    NAK_OPERATION = 0x63,
};

/* A request packet. */
struct request {
    uint8_t opcode; /* enum rvt_bth_opcode */
    bool ack, solicited;
    uint32_t psn;
    uint64_t addr; /* RETH, AtomicETH */
    uint32_t rkey, length;
    uint64_t swap_add, compare;
    uint32_t imm, inv;
    uint32_t bytes;    /* of payload */
    unsigned seed;     /* of the payload: count_up(bytes, seed) */
    uint32_t other_qp; /* destination instead of the queue pair; 0: none */
    bool bad_icrc, no_ip_id;
    uint8_t other_source; /* last byte of the source address instead of the peer's; 0: none */
};

/* What the endpoint sent. */
struct answer {
    uint8_t opcode, syndrome;
    uint32_t psn, msn;
    uint64_t original; /* of an atomic operation */
    uint32_t bytes;    /* of payload */
    unsigned char payload[4096];
    unsigned char packet[RVT_MOST_PACKET_BYTES]; /* from the BTH on, without the ICRC */
    uint32_t length;
};

struct responding {
    struct verbs v;
    struct rvt_endpoint *endpoint;
    struct vqp qp;
    struct rvt_srq_handle srq; /* NULL in it: none */
    unsigned char *memory;     /* MEMORY_BYTES between two pages that stay 0xee */
    struct vmr mr;
    uint64_t now;
    uint32_t wakes;
    uint32_t refusals;
    struct rvt_wire_refusal refused[MOST_REFUSALS];
    unsigned char block[MEMORY_BYTES + 2 * 4096];
};

/* --- opening --- */

static inline void note_wake(void *data) {
    ((struct responding *)data)->wakes++;
}

static inline void note_refusal(void *data, const struct rvt_wire_refusal *refusal) {
    struct responding *r = data;
    if (r->refusals < MOST_REFUSALS)
        r->refused[r->refusals] = *refusal;
    r->refusals++;
}

static inline void store_ipv4(uint8_t address[16], unsigned last) {
    memcpy(address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\x02", 15);
    address[15] = (uint8_t)last;
}

struct responding_options {
    struct rvt_qp_init init;
    struct rvt_qp_attr attr; /* path_mtu 0: usual */
    bool with_srq;
    uint32_t refusals_a_minute;
};

static inline struct rvt_qp_attr responder_attr(void) {
    struct rvt_qp_attr attr = usual_attr(PEER_QPN);
    attr.path_mtu = 1;
    attr.rq_psn = FIRST_PSN;
    attr.min_rnr_timer = RNR_CODE;
    attr.max_dest_rd_atomic = DEPTH;
    return attr;
}

static inline int connect_to_peer(struct responding *r, const struct vqp *qp) {
    struct rvt_wire_peer peer = {.port = 0xc012};
    store_ipv4(peer.address, 15);
    return rvt_endpoint_connect(r->endpoint, qp->handle, &peer, r->now);
}

static inline bool responding_open_with(struct responding *r, struct responding_options options) {
    memset(r, 0, sizeof(*r));
    if (!verbs_open(&r->v, AT_ONCE))
        return false;
    struct rvt_endpoint_options endpoint = {.device = r->v.device,
                                            .port = RVT_ROCE_UDP_PORT,
                                            .refusals_a_minute = options.refusals_a_minute,
                                            .host = {.wake = note_wake, .refused = note_refusal, .data = r}};
    store_ipv4(endpoint.address, 16);
    if (!check_equal((uint64_t)rvt_endpoint_open(&endpoint, &r->endpoint), 0, "opening", "0", __FILE__,
                     __LINE__))
        return false;
    if (options.with_srq)
        r->srq = make_srq(&r->v, 16, 4, 0);
    options.init.type = RVT_QPT_RC;
    options.init.srq = options.with_srq ? &r->srq : NULL;
    r->qp = make_qp_with(&r->v, r->v.pd, options.init);
    CHECK_EQ(connect_to_peer(r, &r->qp), 0);
    bring_to(&r->qp, options.attr.path_mtu ? options.attr : responder_attr(), RVT_QPS_RTS);
    memset(r->block, 0xee, sizeof(r->block));
    r->memory = r->block + 4096;
    r->mr = make_mr(&r->v, r->memory, MEMORY_BYTES);
    return true;
}

static inline bool responding_open(struct responding *r) {
    return responding_open_with(r, (struct responding_options){0});
}

static inline void responding_close(struct responding *r) {
    for (uint32_t i = 0; i < 4096; i++) /* around the region */
        if (r->block[i] != 0xee || r->block[4096 + MEMORY_BYTES + i] != 0xee) {
            (void)check_true(false, "bytes outside of the region are unchanged", __FILE__, __LINE__);
            break;
        }
    rvt_endpoint_close(r->endpoint);
    verbs_close(&r->v);
}

/* The connection of a queue pair, for numbers that a test cannot wait for. */
static inline struct rvt_connection *connection_of(const struct vqp *qp) {
    return atomic_load(&qp->handle.qp->engine)->carrier_data;
}

/* A key whose place in the key table was never used. */
static inline uint32_t no_such_key(const struct responding *r) {
    return r->mr.key ^ 0x40000000;
}

/* --- requests --- */

enum { WITH_RETH = 1, WITH_ATOMIC = 2, WITH_IMM = 4, WITH_INV = 8 };

static inline unsigned headers_of(uint8_t opcode) {
    switch (opcode) {
    case RVT_BTH_RC_WRITE_FIRST:
    case RVT_BTH_RC_WRITE_ONLY:
    case RVT_BTH_RC_READ_REQUEST:
        return WITH_RETH;
    case RVT_BTH_RC_WRITE_ONLY_WITH_IMM:
        return WITH_RETH | WITH_IMM;
    case RVT_BTH_RC_CMP_SWAP:
    case RVT_BTH_RC_FETCH_ADD:
        return WITH_ATOMIC;
    case RVT_BTH_RC_SEND_LAST_WITH_IMM:
    case RVT_BTH_RC_SEND_ONLY_WITH_IMM:
    case RVT_BTH_RC_WRITE_LAST_WITH_IMM:
        return WITH_IMM;
    case RVT_BTH_RC_SEND_LAST_WITH_INV:
    case RVT_BTH_RC_SEND_ONLY_WITH_INV:
        return WITH_INV;
    default:
        return 0;
    }
}

/* Writes the packet with IPv4 and UDP headers; the datagram is everything behind the UDP header. */
static inline void make_request(const struct responding *r, const struct request *request, struct packet *p) {
    const unsigned headers = headers_of(request->opcode), pad = -request->bytes & 3;
    unsigned char payload[8192] = {0};
    p->length = 0;
    put_ipv4(p, 0);
    if (request->other_source)
        p->bytes[p->ip_at + 15] = request->other_source;
    put_udp(p);
    p->bth_at = p->length;
    put_8(p, request->opcode);
    put_8(p, (request->solicited ? 0x80u : 0u) | 0x40 | pad << 4);
    put_16(p, 0xffff);
    put_8(p, 0);
    put_24(p, request->other_qp ? request->other_qp : r->qp.qpn);
    put_8(p, request->ack ? 0x80 : 0);
    put_24(p, request->psn & 0xffffff);
    if (headers & (WITH_RETH | WITH_ATOMIC)) {
        put_64(p, request->addr);
        put_32(p, request->rkey);
    }
    if (headers & WITH_RETH)
        put_32(p, request->length);
    if (headers & WITH_ATOMIC) {
        put_64(p, request->swap_add);
        put_64(p, request->compare);
    }
    if (headers & WITH_IMM)
        put_32(p, request->imm);
    if (headers & WITH_INV)
        put_32(p, request->inv);
    count_up(payload, request->bytes, request->seed);
    put(p, payload, request->bytes + pad);
    finish_packet(p);
    p->bytes[p->length - 1] ^= request->bad_icrc;
}

static inline void ask(struct responding *r, struct request request) {
    struct packet p;
    make_request(r, &request, &p);
    const size_t length = p.length - p.bth_at;
    unsigned char *bytes = copy_exactly(p.bytes + p.bth_at, length);
    struct rvt_datagram datagram = {
        .bytes = bytes, .length = (uint32_t)length, .has_ip_id = !request.no_ip_id, .ip_id = 0x1234};
    datagram.from.port = 0xc012;
    store_ipv4(datagram.from.address, request.other_source ? request.other_source : 15);
    rvt_endpoint_receive(r->endpoint, &datagram, 1, r->now);
    free(bytes);
}

/* A request packet comes in: members of struct request. */
#define ASK(r, ...) ask((r), (struct request){__VA_ARGS__})

/* --- answers --- */

static inline bool answer_has_aeth(uint8_t opcode) {
    return opcode != RVT_BTH_RC_READ_RESPONSE_MIDDLE;
}

/* Checks a packet of the endpoint byte by byte, and its ICRC, and takes it apart. */
static inline void take_apart(struct responding *r, const struct rvt_outgoing *out, struct answer *answer) {
    struct packet p = {.length = 0};
    uint8_t expected[16];
    const unsigned char *bytes = out->bytes;
    store_ipv4(expected, 15);
    CHECK_BYTES_EQ(out->to.address, expected, 16);
    CHECK_EQ(out->to.port, 0xc012);
    rvt_endpoint_seal(r->endpoint, out, 0x1234);
    put_ipv4(&p, 0);
    p.bytes[p.ip_at + 15] = 16;
    p.bytes[p.ip_at + 19] = 15;
    put_udp(&p);
    set_16(&p, p.udp_at, 4791);
    set_16(&p, p.udp_at + 2, 0xc012);
    put(&p, bytes, out->length - 4);
    const size_t end = p.length;
    finish_packet(&p);
    CHECK_BYTES_EQ(bytes + out->length - 4, p.bytes + end, 4);
    memset(answer, 0, sizeof(*answer));
    answer->length = out->length - 4;
    memcpy(answer->packet, bytes, answer->length);
    answer->opcode = bytes[0];
    const uint32_t pad = bytes[1] >> 4 & 3;
    CHECK_EQ(bytes[1] & 0xcf, 0x40);
    CHECK_EQ(bytes[2] << 8 | bytes[3], 0xffff);
    CHECK_EQ(bytes[4], 0);
    CHECK_EQ(bytes[5] << 16 | bytes[6] << 8 | bytes[7], PEER_QPN);
    CHECK_EQ(bytes[8], 0);
    answer->psn = (uint32_t)(bytes[9] << 16 | bytes[10] << 8 | bytes[11]);
    uint32_t at = 12;
    if (answer_has_aeth(answer->opcode)) {
        answer->syndrome = bytes[at];
        answer->msn = (uint32_t)(bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]);
        at += 4;
    }
    for (; answer->opcode == RVT_BTH_RC_ATOMIC_ACKNOWLEDGE && at < 24; at++)
        answer->original = answer->original << 8 | bytes[at];
    CHECK(at + pad <= answer->length);
    answer->bytes = answer->length - at - pad;
    CHECK(answer->bytes <= sizeof(answer->payload));
    memcpy(answer->payload, bytes + at, answer->bytes);
}

/* Takes the next packet that the endpoint wants to send. Returns whether there is one. */
static inline bool next_packet(struct responding *r, struct answer *answer) {
    unsigned char buffer[RVT_MOST_PACKET_BYTES];
    struct rvt_outgoing out = {.bytes = buffer};
    if (rvt_endpoint_send(r->endpoint, &out, 1, r->now) != 1)
        return false;
    take_apart(r, &out, answer);
    return true;
}

static inline struct answer next_answer(struct responding *r, const struct answer *expected, const char *file,
                                        int line) {
    struct answer answer = {0};
    if (!check_true(next_packet(r, &answer), "an answer", file, line))
        return answer;
    check_equal(answer.opcode, expected->opcode, "the opcode", "expected", file, line);
    check_equal(answer.psn, expected->psn, "the PSN", "expected", file, line);
    check_equal(answer.syndrome, expected->syndrome, "the syndrome", "expected", file, line);
    check_equal(answer.msn, expected->msn, "the MSN", "expected", file, line);
    check_equal(answer.original, expected->original, "the old value", "expected", file, line);
    check_equal(answer.bytes, expected->bytes, "the payload's bytes", "expected", file, line);
    return answer;
}

/* The next answer has these members; the others are 0. Returns it. */
#define ANSWER(r, ...) next_answer((r), &(struct answer){__VA_ARGS__}, __FILE__, __LINE__)
/* The next answer is an acknowledgement, positive or negative. */
#define ACKS(r, acked, code, count)                                                                          \
    ((void)ANSWER(r, .opcode = RVT_BTH_RC_ACKNOWLEDGE, .psn = (acked), .syndrome = (code), .msn = (count)))

static inline void no_answer(struct responding *r, const char *file, int line) {
    struct answer answer;
    check_true(!next_packet(r, &answer), "no answer", file, line);
}

#define NO_ANSWER(r) no_answer((r), __FILE__, __LINE__)

static inline struct rvt_endpoint_counters counters_of(struct responding *r) {
    struct rvt_endpoint_counters counters;
    rvt_endpoint_count(r->endpoint, &counters);
    return counters;
}

/* The host was told of exactly this refusal. */
#define REFUSED(r, op, at, code, reason_of)                                                                  \
    do {                                                                                                     \
        CHECK_EQ((r)->refusals, 1);                                                                          \
        CHECK_EQ((r)->refused[0].qp, (r)->qp.serial);                                                        \
        CHECK_EQ((r)->refused[0].qp_num, (r)->qp.qpn);                                                       \
        CHECK_EQ((r)->refused[0].opcode, (op));                                                              \
        CHECK_EQ((r)->refused[0].psn, (at));                                                                 \
        CHECK_EQ((r)->refused[0].syndrome, (code));                                                          \
        CHECK_EQ((r)->refused[0].why.cause, (reason_of));                                                    \
        CHECK_EQ(counters_of(r).fatal_naks, 1);                                                              \
    } while (0)

/* The connection has ended: the queue pair is in ERR, and no request is answered or does anything any more. */
static inline void is_dead(struct responding *r, const char *file, int line) {
    unsigned char before[MEMORY_BYTES];
    struct answer answer;
    check_equal(state_of(&r->qp), RVT_QPS_ERR, "the state", "ERR", file, line);
    check_true(!next_packet(r, &answer), "silence", file, line);
    memcpy(before, r->memory, sizeof(before));
    for (uint32_t psn = FIRST_PSN - 2; psn < FIRST_PSN + 40; psn++)
        ASK(r, .opcode = RVT_BTH_RC_WRITE_ONLY, .ack = true, .psn = psn, .addr = r->mr.addr,
            .rkey = r->mr.key, .length = 64, .bytes = 64, .seed = 99);
    check_bytes(before, r->memory, sizeof(before), "memory is unchanged", file, line);
    check_true(!next_packet(r, &answer), "silence", file, line);
}

#define IS_DEAD(r) is_dead((r), __FILE__, __LINE__)

#endif
