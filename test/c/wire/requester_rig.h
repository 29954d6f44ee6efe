/* SPDX-License-Identifier: BSD-3-Clause */
/* An endpoint with one connected queue pair, whose peer is the test: it takes the endpoint's packets one by one, and
 * writes answers byte by byte. No code of the codec. */
#ifndef RVT_TEST_REQUESTER_RIG_H
#define RVT_TEST_REQUESTER_RIG_H

#include "../engine/verbs.h"
#include "packets.h"
#include "wire/endpoint/endpoint.h"

enum { PEER_QPN = 0xabcdef, IP_ID = 0x1234, PEER_PORT = 0xc012, FIRST_PSN = 0xfffffa };

struct rig {
    struct verbs v;
    struct rvt_endpoint *endpoint;
    struct vqp qp;
    struct rvt_qp_attr attr;
    uint32_t mtu;
    uint64_t now;
    unsigned woken;
    unsigned char buffer[RVT_MOST_PACKET_BYTES];
};

/* A packet that the endpoint has sent. Members of headers that it does not have are 0. */
struct sent {
    uint32_t opcode, psn;
    bool ask, solicited;
    uint64_t address;
    uint32_t rkey, length, imm, inv;
    uint64_t swap_add, compare;
    uint32_t bytes; /* of payload */
};

static inline void note_woken(void *data) {
    ((struct rig *)data)->woken++;
}

static const struct rvt_wire_peer rig_peer = {
    .address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 2, 15}, .port = PEER_PORT};

static inline struct rvt_limits rig_limits(void) {
    struct rvt_limits limits = usual_limits();
    limits.of[RVT_LIMIT_MAX_QP_WR] = limits.of[RVT_LIMIT_MAX_CQE] = 1024;
    return limits;
}

/* Opens the device and the endpoint, without a queue pair. */
static inline bool rig_open_empty(struct rig *rig) {
    memset(rig, 0, sizeof(*rig));
    if (!verbs_open_with(&rig->v, rig_limits(), AT_ONCE))
        return false;
    const struct rvt_endpoint_options options = {
        .device = rig->v.device,
        .address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 2, 16},
        .port = RVT_ROCE_UDP_PORT,
        .host = {.wake = note_woken, .data = rig},
    };
    rig->now = 1000000;
    rig->attr = usual_attr(PEER_QPN);
    rig->attr.sq_psn = FIRST_PSN;
    return check_equal((uint64_t)rvt_endpoint_open(&options, &rig->endpoint), 0, "opening the endpoint", "0",
                       __FILE__, __LINE__);
}

/* Makes a queue pair, connects it, and takes it to RTS with rig->attr. */
static inline void rig_connect(struct rig *rig, struct rvt_qp_init init) {
    init.max_send_wr = init.max_send_wr ? init.max_send_wr : 256;
    init.send_cq = init.send_cq.cq ? init.send_cq : make_cq(&rig->v, 1024);
    init.sig_type = init.sig_type ? init.sig_type : RVT_SIGNAL_REQ_WR;
    rig->mtu = 128u << rig->attr.path_mtu;
    rig->qp = make_qp_with(&rig->v, rig->v.pd, init);
    CHECK_EQ(rvt_endpoint_connect(rig->endpoint, rig->qp.handle, &rig_peer, rig->now), 0);
    bring_to(&rig->qp, rig->attr, RVT_QPS_RTS);
}

static inline bool rig_open(struct rig *rig) {
    if (!rig_open_empty(rig))
        return false;
    rig_connect(rig, (struct rvt_qp_init){0});
    return true;
}

static inline void rig_close(struct rig *rig) {
    rvt_endpoint_close(rig->endpoint);
    verbs_close(&rig->v);
}

static inline struct rvt_endpoint_counters rig_counters(struct rig *rig) {
    struct rvt_endpoint_counters counters;
    rvt_endpoint_count(rig->endpoint, &counters);
    return counters;
}

/* --- packets of the endpoint --- */

static inline uint32_t be(const unsigned char *at, int bytes) {
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static inline uint64_t be64(const unsigned char *at) {
    return (uint64_t)be(at, 4) << 32 | be(at + 4, 4);
}

/* Takes the next packet of the endpoint. Returns its payload in rig->buffer, or NULL if there is none. */
static inline const unsigned char *take_packet(struct rig *rig, struct sent *sent) {
    struct rvt_outgoing outgoing = {.bytes = rig->buffer};
    memset(sent, 0, sizeof(*sent));
    memset(rig->buffer, 0xee, sizeof(rig->buffer));
    if (!rvt_endpoint_send(rig->endpoint, &outgoing, 1, rig->now))
        return NULL;
    const unsigned char *bth = rig->buffer, *at = bth + 12;
    sent->opcode = bth[0];
    sent->psn = be(bth + 9, 3);
    sent->ask = bth[8] >> 7;
    sent->solicited = bth[1] >> 7;
    const uint32_t pad = bth[1] >> 4 & 3;
    CHECK_EQ(be(bth + 5, 3), PEER_QPN);
    CHECK_EQ(be(bth + 2, 2), 0xffff);
    CHECK_EQ(memcmp(&outgoing.to, &rig_peer, sizeof(rig_peer)), 0);
    const uint32_t op = sent->opcode;
    if (op == 0x06 || op == 0x0a || op == 0x0b || op == 0x0c || op == 0x13 || op == 0x14) {
        sent->address = be64(at);
        sent->rkey = be(at + 8, 4);
        at += 12;
        if (op == 0x13 || op == 0x14) {
            sent->swap_add = be64(at);
            sent->compare = be64(at + 8);
            at += 16;
        } else {
            sent->length = be(at, 4);
            at += 4;
        }
    }
    if (op == 0x03 || op == 0x05 || op == 0x09 || op == 0x0b) {
        sent->imm = be(at, 4);
        at += 4;
    }
    if (op == 0x16 || op == 0x17) {
        sent->inv = be(at, 4);
        at += 4;
    }
    sent->bytes = (uint32_t)(bth + outgoing.length - at) - 4 - pad;
    return at;
}

static inline const unsigned char *next_packet(struct rig *rig, const struct sent *expected, const char *file,
                                               int line) {
    struct sent sent;
    const unsigned char *payload = take_packet(rig, &sent);
    if (!check_true(payload != NULL, "a packet", file, line))
        return rig->buffer;
#define SAME(member) check_equal(sent.member, expected->member, #member, "expected", file, line)
    SAME(opcode);
    SAME(psn);
    SAME(ask);
    SAME(solicited);
    SAME(address);
    SAME(rkey);
    SAME(length);
    SAME(imm);
    SAME(inv);
    SAME(swap_add);
    SAME(compare);
    SAME(bytes);
#undef SAME
    return payload;
}

/* The next packet has exactly these members. Returns its payload. */
#define PACKET(rig, ...) next_packet((rig), &(struct sent){__VA_ARGS__}, __FILE__, __LINE__)

static inline void no_packet(struct rig *rig, const char *file, int line) {
    struct sent sent;
    const bool none = take_packet(rig, &sent) == NULL;
    if (!check_true(none, "no packet", file, line))
        printf("#   opcode 0x%02x, PSN 0x%06x\n", sent.opcode, sent.psn);
}

#define NO_PACKET(rig) no_packet((rig), __FILE__, __LINE__)

/* Takes all packets that the endpoint sends now, and returns how many. */
static inline uint32_t take_all(struct rig *rig) {
    struct sent sent;
    uint32_t count = 0;
    while (take_packet(rig, &sent))
        count++;
    return count;
}

/* --- packets of the peer --- */

/* Begins a packet of the peer for the queue pair. */
static inline void begin_answer(const struct rig *rig, struct packet *p, unsigned opcode, uint32_t psn,
                                size_t payload) {
    p->length = 0;
    put_ipv4(p, 0);
    put_udp(p);
    p->bth_at = p->length;
    put_8(p, opcode);
    put_8(p, 0x40 | (unsigned)(-payload & 3) << 4);
    put_16(p, 0xffff);
    put_8(p, 0);
    put_24(p, rig->qp.qpn);
    put_8(p, 0);
    put_24(p, psn);
}

/* Ends it and lets the endpoint receive it. */
static inline void deliver(struct rig *rig, struct packet *p) {
    while ((p->length - p->bth_at) % 4)
        put_8(p, 0);
    finish_packet(p);
    const size_t length = p->length - p->bth_at;
    unsigned char *copy = copy_exactly(p->bytes + p->bth_at, length);
    const struct rvt_datagram datagram = {copy, (uint32_t)length, rig_peer, true, IP_ID};
    rvt_endpoint_receive(rig->endpoint, &datagram, 1, rig->now);
    free(copy);
}

/* An acknowledgement with any syndrome and MSN. */
static inline void answer_with(struct rig *rig, uint32_t psn, unsigned syndrome, uint32_t msn) {
    struct packet p;
    begin_answer(rig, &p, 0x11, psn, 0);
    put_8(&p, syndrome);
    put_24(&p, msn);
    deliver(rig, &p);
}

static inline void answer_ack(struct rig *rig, uint32_t psn) {
    answer_with(rig, psn & 0xffffff, 0x1f, 0);
}

static inline void answer_nak(struct rig *rig, uint32_t psn, unsigned syndrome) {
    answer_with(rig, psn & 0xffffff, syndrome, 0);
}

static inline void answer_atomic(struct rig *rig, uint32_t psn, uint64_t value) {
    struct packet p;
    begin_answer(rig, &p, 0x12, psn & 0xffffff, 0);
    put_32(&p, 0x1f000000);
    put_64(&p, value);
    deliver(rig, &p);
}

/* A READ's response with any opcode (0x0d to 0x10) and payload. */
static inline void answer_read(struct rig *rig, unsigned opcode, uint32_t psn, const unsigned char *bytes,
                               size_t length) {
    struct packet p;
    begin_answer(rig, &p, opcode, psn & 0xffffff, length);
    if (opcode != 0x0e)
        put_32(&p, 0x1f000000);
    put(&p, bytes, length);
    deliver(rig, &p);
}

static inline uint64_t tick_at(struct rig *rig, uint64_t now) {
    rig->now = now;
    return rvt_endpoint_tick(rig->endpoint, now);
}

/* --- requests --- */

enum { WINDOW = 128, BIG = 70000, REMOTE = 0x7000, RKEY = 0xfedc0001, TIMEOUT_14 = 67109 };

static alignas(4096) unsigned char memory[2 * PAGE + BIG], answers[BIG];

/* PSNs of the tests wrap at 2^24 soon. */
static inline uint32_t psn(uint32_t index) {
    return (FIRST_PSN + index) & 0xffffff;
}

/* Posts a signaled work request of `length` bytes of the region, from its beginning on. */
static inline void post_it(struct rig *rig, const struct vmr *mr, uint64_t wr_id, uint32_t opcode,
                           uint32_t length, uint32_t flags) {
    const struct rvt_ib_sge sge = sge_at(mr, 0, length);
    CHECK_EQ(post(&rig->qp, PLAIN_WR(.wr_id = wr_id, .opcode = opcode, .flags = RVT_SEND_SIGNALED | flags,
                                     .sges = &sge, .num_sge = length != 0, .remote_addr = REMOTE,
                                     .rkey = RKEY, .imm = 0x11223344, .invalidate_rkey = 0x55667788,
                                     .compare_add = 0x0102030405060708, .swap = 0x1112131415161718)),
             0);
}

#define SUCCEEDS(rig, id, op, bytes)                                                                         \
    WC((rig)->qp.scq, .wr_id = (id), .qp_num = (rig)->qp.qpn, .opcode = RVT_WC_OPCODE_##op,                  \
       .byte_len = (bytes))
#define ENDS(rig, id, op, bytes, with, because, number)                                                      \
    WC((rig)->qp.scq, .wr_id = (id), .qp_num = (rig)->qp.qpn, .opcode = RVT_WC_OPCODE_##op,                  \
       .byte_len = (bytes), .status = RVT_WC_STATUS_##with, .cause = RVT_WHY_##because,                      \
       .cause_value = (number))
#define FLUSHED(rig, id, op, bytes) ENDS(rig, id, op, bytes, WR_FLUSH_ERR, FLUSHED, 0)

static inline void write_it(struct rig *rig, const struct vmr *mr, uint64_t wr_id, uint32_t length) {
    post_it(rig, mr, wr_id, RVT_WR_RDMA_WRITE, length, 0);
}

static inline void read_it(struct rig *rig, const struct vmr *mr, uint64_t wr_id, uint32_t length) {
    post_it(rig, mr, wr_id, RVT_WR_RDMA_READ, length, 0);
}

static inline void add_it(struct rig *rig, const struct vmr *mr, uint64_t wr_id) {
    post_it(rig, mr, wr_id, RVT_WR_ATOMIC_FETCH_AND_ADD, 8, 0);
}

/* The next packet is a WRITE ONLY of `length` bytes, without immediate data. */
#define WRITE_PACKET(rig, index, bytes_)                                                                     \
    PACKET(rig, .opcode = 0x0a, .psn = psn(index), .ask = true, .address = REMOTE, .rkey = RKEY,             \
           .length = (bytes_), .bytes = (bytes_))
#define READ_PACKET(rig, index, offset, length_)                                                             \
    PACKET(rig, .opcode = 0x0c, .psn = psn(index), .ask = true, .address = REMOTE + (offset), .rkey = RKEY,  \
           .length = (length_))
#define ADD_PACKET(rig, index)                                                                               \
    PACKET(rig, .opcode = 0x14, .psn = psn(index), .ask = true, .address = REMOTE, .rkey = RKEY,             \
           .swap_add = 0x0102030405060708)

/* Answers a READ of `length` bytes from response `from` on, whose first response has PSN `first`, as if it had been
 * asked for from `begin` on. Up to `count` responses. */
static inline void answer_responses(struct rig *rig, uint32_t first, uint32_t length, uint32_t begin,
                                    uint32_t from, uint32_t count) {
    const uint32_t responses = length ? (length + rig->mtu - 1) / rig->mtu : 1;
    for (uint32_t i = from; i < responses && i < from + count; i++) {
        const bool last = i + 1 == responses;
        const unsigned opcode = last ? (i == begin ? 0x10 : 0x0f) : i == begin ? 0x0d : 0x0e;
        const uint32_t bytes = last ? length - i * rig->mtu : rig->mtu;
        answer_read(rig, opcode, psn(first + i), answers + (size_t)i * rig->mtu, bytes);
    }
}

#endif
