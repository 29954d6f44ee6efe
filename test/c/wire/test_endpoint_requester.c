/* SPDX-License-Identifier: BSD-3-Clause */
/* The requester: every packet it sends and every answer it gets is written by hand. */
#include "wire/endpoint/requester.h"

#include "endpoint_rig.h"

enum { WINDOW = 128, BIG = 70000, REMOTE = 0x7000, RKEY = 0xfedc0001, TIMEOUT_14 = 67109 };

static alignas(4096) unsigned char memory[2 * PAGE + BIG], answers[BIG];

/* PSNs of the tests wrap at 2^24 soon. */
static uint32_t psn(uint32_t index) {
    return (FIRST_PSN + index) & 0xffffff;
}

/* Posts a signaled work request of `length` bytes of the region, from its beginning on. */
static void post_it(struct rig *rig, const struct vmr *mr, uint64_t wr_id, uint32_t opcode, uint32_t length,
                    uint32_t flags) {
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

static void write_it(struct rig *rig, const struct vmr *mr, uint64_t wr_id, uint32_t length) {
    post_it(rig, mr, wr_id, RVT_WR_RDMA_WRITE, length, 0);
}

static void read_it(struct rig *rig, const struct vmr *mr, uint64_t wr_id, uint32_t length) {
    post_it(rig, mr, wr_id, RVT_WR_RDMA_READ, length, 0);
}

static void add_it(struct rig *rig, const struct vmr *mr, uint64_t wr_id) {
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
static void answer_responses(struct rig *rig, uint32_t first, uint32_t length, uint32_t begin, uint32_t from,
                             uint32_t count) {
    const uint32_t responses = length ? (length + rig->mtu - 1) / rig->mtu : 1;
    for (uint32_t i = from; i < responses && i < from + count; i++) {
        const bool last = i + 1 == responses;
        const unsigned opcode = last ? (i == begin ? 0x10 : 0x0f) : i == begin ? 0x0d : 0x0e;
        const uint32_t bytes = last ? length - i * rig->mtu : rig->mtu;
        answer_read(rig, opcode, psn(first + i), answers + (size_t)i * rig->mtu, bytes);
    }
}

/* --- packets --- */

static const uint32_t lengths[] = {0, 1, 7, 255, 256, 257, 512, 513, 4095, 4096, 4097, 8192, 65536};
enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]) };

/* Every message opcode with lengths around each MTU: opcodes, headers, payload, requests for acknowledgement. */
static void messages_are_cut_into_packets(void) {
    static const struct {
        uint32_t wr, wc;
        unsigned first, middle, last, only;
        bool imm, inv, solicits;
    } kinds[] = {
        {RVT_WR_SEND, RVT_WC_OPCODE_SEND, 0, 1, 2, 4, false, false, true},
        {RVT_WR_SEND_WITH_IMM, RVT_WC_OPCODE_SEND, 0, 1, 3, 5, true, false, true},
        {RVT_WR_SEND_WITH_INV, RVT_WC_OPCODE_SEND, 0, 1, 0x16, 0x17, false, true, true},
        {RVT_WR_RDMA_WRITE, RVT_WC_OPCODE_RDMA_WRITE, 6, 7, 8, 0x0a, false, false, false},
        {RVT_WR_RDMA_WRITE_WITH_IMM, RVT_WC_OPCODE_RDMA_WRITE, 6, 7, 9, 0x0b, true, false, true},
    };
    count_up(memory, BIG, 3);
    for (uint32_t path_mtu = 1; path_mtu <= 5; path_mtu++) {
        struct rig rig;
        uint32_t index = 0;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.path_mtu = path_mtu;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            for (unsigned i = 0; i < LENGTHS; i++) {
                const uint32_t length = lengths[i], half = length / 2;
                const uint32_t packets = length ? (length + rig.mtu - 1) / rig.mtu : 1;
                const bool solicited = i % 2;
                /* Two elements that do not touch, so that packets have bytes of both. */
                const struct rvt_ib_sge sges[] = {sge_at(&mr, 0, half), sge_at(&mr, half + 1, length - half)};
                CHECK_EQ(
                    post(&rig.qp, PLAIN_WR(.wr_id = k, .opcode = kinds[k].wr, .sges = sges, .num_sge = 2,
                                           .flags = RVT_SEND_SIGNALED | (solicited ? RVT_SEND_SOLICITED : 0),
                                           .remote_addr = REMOTE, .rkey = RKEY, .imm = 0x11223344,
                                           .invalidate_rkey = 0x55667788)),
                    0);
                for (uint32_t n = 0; n < packets; n++) {
                    const bool first = !n, last = n + 1 == packets;
                    const bool reth = first && kinds[k].first == 6;
                    const uint32_t bytes = last ? length - n * rig.mtu : rig.mtu;
                    if (n == WINDOW) {
                        NO_PACKET(&rig);
                        answer_ack(&rig, psn(index + n - 1));
                    }
                    const unsigned char *payload =
                        PACKET(&rig,
                               .opcode = first && last ? kinds[k].only
                                         : first       ? kinds[k].first
                                         : last        ? kinds[k].last
                                                       : kinds[k].middle,
                               .psn = psn(index + n), .ask = last || n % 64 == 63, .bytes = bytes,
                               .address = reth ? REMOTE : 0, .rkey = reth ? RKEY : 0,
                               .length = reth ? length : 0, .imm = last && kinds[k].imm ? 0x11223344 : 0,
                               .inv = last && kinds[k].inv ? 0x55667788 : 0,
                               .solicited = last && solicited && kinds[k].solicits);
                    for (uint32_t b = 0; b < bytes; b++) {
                        const uint32_t at = n * rig.mtu + b;
                        if (payload[b] != memory[at < half ? at : at + 1]) {
                            CHECK_EQ(payload[b], memory[at < half ? at : at + 1]);
                            break;
                        }
                    }
                }
                NO_PACKET(&rig);
                NO_WC(rig.qp.scq);
                index += packets;
                answer_ack(&rig, psn(index - 1));
                WC(rig.qp.scq, .wr_id = k, .qp_num = rig.qp.qpn, .opcode = kinds[k].wc, .byte_len = length);
            }
        }
        AT_REST(mr);
        CHECK_EQ(query_qp(&rig.qp).attr.sq_psn, psn(index)); /* the engine counts as the requester does */
        CHECK_EQ(rig_counters(&rig).retransmitted, 0);
        rig_close(&rig);
    }
}

static void an_icrc_is_sealed_over_what_was_sent(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 1, 61);
    struct rvt_outgoing outgoing = {.bytes = rig.buffer};
    CHECK_EQ(rvt_endpoint_send(rig.endpoint, &outgoing, 1, rig.now), 1);
    rvt_endpoint_seal(rig.endpoint, &outgoing, IP_ID);
    /* The IP addresses and UDP ports of put_ipv4() and put_udp(), the other way round. */
    struct packet p = {.length = 0};
    put_ipv4(&p, 0);
    memcpy(p.bytes + 12, "\x0a\x00\x02\x10\x0a\x00\x02\x0f", 8);
    put_udp(&p);
    set_16(&p, p.udp_at, 4791);
    set_16(&p, p.udp_at + 2, PEER_PORT);
    p.bth_at = p.length;
    put(&p, outgoing.bytes, outgoing.length - 4);
    finish_packet(&p);
    CHECK_EQ(p.length, p.bth_at + outgoing.length);
    CHECK_BYTES_EQ(p.bytes + p.length - 4, outgoing.bytes + outgoing.length - 4, 4);
    CHECK_EQ(outgoing.bytes[outgoing.length - 5], 0); /* pad bytes */
    rig_close(&rig);
}

static void reads_reserve_the_psns_of_their_responses(void) {
    for (uint32_t path_mtu = 1; path_mtu <= 5; path_mtu++) {
        struct rig rig;
        uint32_t index = 0;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.path_mtu = path_mtu;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, sizeof(memory));
        for (unsigned i = 0; i < LENGTHS; i++) {
            const uint32_t length = lengths[i];
            const uint32_t responses = length ? (length + rig.mtu - 1) / rig.mtu : 1;
            memset(memory, 0xcc, sizeof(memory));
            count_up(answers, BIG, i);
            const struct rvt_ib_sge sges[] = {sge_at(&mr, 8, length / 2),
                                              sge_at(&mr, 16 + length / 2, length - length / 2)};
            CHECK_EQ(post(&rig.qp, SEND_WR(.wr_id = i, .opcode = RVT_WR_RDMA_READ, .sges = sges, .num_sge = 2,
                                           .remote_addr = REMOTE, .rkey = RKEY)),
                     0);
            READ_PACKET(&rig, index, 0, length);
            NO_PACKET(&rig);
            answer_responses(&rig, index, length, 0, 0, responses);
            SUCCEEDS(&rig, i, RDMA_READ, length);
            CHECK_BYTES_EQ(memory + 8, answers, length / 2);
            CHECK_BYTES_EQ(memory + 16 + length / 2, answers + length / 2, length - length / 2);
            for (uint32_t b = 0; b < 8; b++) {
                CHECK_EQ(memory[b], 0xcc);
                CHECK_EQ(memory[8 + length / 2 + b], 0xcc);
                CHECK_EQ(memory[16 + length + b], 0xcc);
            }
            index += responses;
        }
        AT_REST(mr);
        rig_close(&rig);
    }
}

static void atomics(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, PAGE);
    const uint64_t old[] = {0x8899aabbccddeeff, UINT64_MAX};
    add_it(&rig, &mr, 1);
    const struct rvt_ib_sge sge = sge_at(&mr, 64, 8);
    CHECK_EQ(
        post(&rig.qp, SEND_WR(.wr_id = 2, .opcode = RVT_WR_ATOMIC_CMP_AND_SWP, .sges = &sge, .num_sge = 1,
                              .remote_addr = REMOTE, .rkey = RKEY, .compare_add = 5, .swap = 6)),
        0);
    ADD_PACKET(&rig, 0);
    PACKET(&rig, .opcode = 0x13, .psn = psn(1), .ask = true, .address = REMOTE, .rkey = RKEY, .swap_add = 6,
           .compare = 5);
    answer_atomic(&rig, psn(0), old[0]);
    SUCCEEDS(&rig, 1, FETCH_ADD, 8);
    NO_WC(rig.qp.scq);
    answer_atomic(&rig, psn(1), old[1]);
    SUCCEEDS(&rig, 2, COMP_SWAP, 8);
    CHECK_BYTES_EQ(memory, &old[0], 8);
    CHECK_BYTES_EQ(memory + 64, &old[1], 8);
    /* A lost answer: the same packet again. Another answer is a duplicate, which changes nothing. */
    add_it(&rig, &mr, 3);
    ADD_PACKET(&rig, 2);
    tick_at(&rig, rig.now + TIMEOUT_14);
    ADD_PACKET(&rig, 2);
    answer_atomic(&rig, psn(2), 77);
    SUCCEEDS(&rig, 3, FETCH_ADD, 8);
    answer_atomic(&rig, psn(2), 78);
    CHECK_EQ(memory[0], 77);
    NO_WC(rig.qp.scq);
    NO_PACKET(&rig);
    CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
    AT_REST(mr);
    rig_close(&rig);
}

/* An element longer than 8 bytes: an atomic operation is one packet nevertheless. */
static void an_atomic_has_one_psn(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    memset(memory, 0xcc, 16);
    post_it(&rig, &mr, 1, RVT_WR_ATOMIC_FETCH_AND_ADD, 4096, 0);
    write_it(&rig, &mr, 2, 1);
    ADD_PACKET(&rig, 0);
    WRITE_PACKET(&rig, 1, 1);
    answer_atomic(&rig, psn(0), 1);
    SUCCEEDS(&rig, 1, FETCH_ADD, 4096);
    CHECK_EQ(memory[8], 0xcc);
    rig_close(&rig);
}

/* --- window, depth, fence --- */

static void at_most_128_psns_are_in_flight(void) {
    struct rig rig;
    struct sent sent;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint64_t i = 0; i < 200; i++)
        write_it(&rig, &mr, i, 64);
    for (uint32_t i = 0; i < WINDOW; i++)
        WRITE_PACKET(&rig, i, 64);
    NO_PACKET(&rig);
    answer_ack(&rig, psn(0));
    WRITE_PACKET(&rig, WINDOW, 64);
    NO_PACKET(&rig);
    answer_ack(&rig, psn(99)); /* one acknowledgement of 99 messages */
    for (uint32_t i = 0; i < 71; i++)
        WRITE_PACKET(&rig, WINDOW + 1 + i, 64);
    NO_PACKET(&rig);
    answer_ack(&rig, psn(199));
    for (uint64_t i = 0; i < 200; i++)
        SUCCEEDS(&rig, i, RDMA_WRITE, 64);
    /* In the middle of a message: whoever fills the window asks for an acknowledgement. */
    rig_close(&rig);
    REQUIRE(rig_open_empty(&rig));
    rig.attr.path_mtu = 1;
    rig_connect(&rig, (struct rvt_qp_init){0});
    mr = make_mr(&rig.v, memory, BIG);
    for (uint64_t i = 0; i < 10; i++)
        write_it(&rig, &mr, i, 1);
    write_it(&rig, &mr, 10, 256 * 200);
    for (uint32_t i = 0; i < WINDOW; i++) {
        CHECK(take_packet(&rig, &sent) != NULL);
        CHECK_EQ(sent.psn, psn(i));
        CHECK_EQ(sent.ask, i < 10 || i == 73 || i == WINDOW - 1);
    }
    NO_PACKET(&rig);
    answer_ack(&rig, psn(WINDOW - 1));
    CHECK_EQ(take_all(&rig), 82);
    rig_close(&rig);
}

static void a_read_longer_than_the_window_goes_alone(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    rig.attr.path_mtu = 1;
    rig_connect(&rig, (struct rvt_qp_init){0});
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 65536);
    write_it(&rig, &mr, 2, 8);
    READ_PACKET(&rig, 0, 0, 65536);
    NO_PACKET(&rig);
    answer_responses(&rig, 0, 65536, 0, 0, 256 - WINDOW);
    NO_PACKET(&rig);
    answer_responses(&rig, 0, 65536, 0, 256 - WINDOW, 1);
    WRITE_PACKET(&rig, 256, 8);
    answer_responses(&rig, 0, 65536, 0, 256 - WINDOW + 1, 256);
    SUCCEEDS(&rig, 1, RDMA_READ, 65536);
    answer_ack(&rig, psn(256));
    SUCCEEDS(&rig, 2, RDMA_WRITE, 8);
    rig_close(&rig);
}

static void max_rd_atomic_limits_reads_and_atomics_together(void) {
    for (uint32_t depth = 1; depth <= 5; depth += 2) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.max_rd_atomic = depth;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        for (uint64_t i = 0; i < 8; i++)
            i % 2 ? add_it(&rig, &mr, i) : read_it(&rig, &mr, i, 8);
        write_it(&rig, &mr, 8, 8);
        for (uint32_t i = 0; i < 8; i++) {
            for (uint32_t n = i ? i + depth - 1 : 0; n < i + depth && n < 8; n++) {
                if (n % 2)
                    ADD_PACKET(&rig, n);
                else
                    READ_PACKET(&rig, n, 0, 8);
            }
            if (i + depth == 8)
                WRITE_PACKET(&rig, 8, 8); /* not limited, but in order */
            NO_PACKET(&rig);
            if (i % 2)
                answer_atomic(&rig, psn(i), i);
            else
                answer_read(&rig, 0x10, psn(i), answers, 8);
            CHECK_EQ(query_qp(&rig.qp).sends, 8 - i);
        }
        answer_ack(&rig, psn(8));
        CHECK_EQ(query_qp(&rig.qp).sends, 0);
        rig_close(&rig);
    }
}

static void a_fence_waits_for_reads_and_atomics(void) {
    for (int atomic = 0; atomic < 2; atomic++) {
        struct rig rig;
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        atomic ? add_it(&rig, &mr, 1) : read_it(&rig, &mr, 1, 8);
        write_it(&rig, &mr, 2, 8);
        post_it(&rig, &mr, 3, RVT_WR_RDMA_WRITE, 16, RVT_SEND_FENCE);
        write_it(&rig, &mr, 4, 24);
        atomic ? ADD_PACKET(&rig, 0) : READ_PACKET(&rig, 0, 0, 8);
        WRITE_PACKET(&rig, 1, 8);
        NO_PACKET(&rig);
        atomic ? answer_atomic(&rig, psn(0), 9) : answer_read(&rig, 0x10, psn(0), answers, 8);
        WRITE_PACKET(&rig, 2, 16); /* it does not wait for the WRITE */
        WRITE_PACKET(&rig, 3, 24);
        rig_close(&rig);
    }
}

/* --- acknowledgements --- */

static void acknowledgements_cover_what_comes_before(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint64_t i = 0; i < 3; i++)
        write_it(&rig, &mr, i, 8);
    write_it(&rig, &mr, 3, rig.mtu * 4); /* PSNs 3 to 6 */
    CHECK_EQ(take_all(&rig), 7);
    answer_ack(&rig, psn(1));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
    NO_WC(rig.qp.scq);
    answer_ack(&rig, psn(4)); /* in the middle of a message */
    SUCCEEDS(&rig, 2, RDMA_WRITE, 8);
    NO_WC(rig.qp.scq);
    /* Stale ones, and those of what was never sent. */
    answer_ack(&rig, psn(0));
    answer_ack(&rig, psn(4));
    answer_ack(&rig, FIRST_PSN - 1);
    answer_ack(&rig, psn(7));
    answer_ack(&rig, psn(8));
    answer_ack(&rig, psn(0x7fffff));
    answer_ack(&rig, psn(0x800000));
    answer_ack(&rig, psn(0x800005));
    NO_WC(rig.qp.scq);
    /* After the timeout it goes on behind what was acknowledged. */
    tick_at(&rig, rig.now + TIMEOUT_14);
    PACKET(&rig, .opcode = 0x07, .psn = psn(5), .bytes = rig.mtu);
    PACKET(&rig, .opcode = 0x08, .psn = psn(6), .bytes = rig.mtu, .ask = true);
    NO_PACKET(&rig);
    CHECK_EQ(rig_counters(&rig).retransmitted, 2);
    answer_ack(&rig, psn(6));
    SUCCEEDS(&rig, 3, RDMA_WRITE, rig.mtu * 4);
    answer_ack(&rig, psn(6));
    NO_WC(rig.qp.scq);
    CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
    rig_close(&rig);
}

static void ghost_answers_complete_nothing(void) {
    struct rig rig;
    struct sent sent;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    /* Nothing was posted; posted and not sent; sent in part. */
    answer_ack(&rig, psn(0));
    write_it(&rig, &mr, 1, 8);
    answer_ack(&rig, psn(0));
    for (unsigned syndrome = 0; syndrome < 256; syndrome++)
        answer_with(&rig, psn(0), syndrome, 1);
    answer_atomic(&rig, psn(0), 1);
    answer_read(&rig, 0x10, psn(0), answers, 8);
    NO_WC(rig.qp.scq);
    WRITE_PACKET(&rig, 0, 8);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
    write_it(&rig, &mr, 2, rig.mtu * 3);
    CHECK(take_packet(&rig, &sent) != NULL);
    answer_ack(&rig, psn(2));
    answer_ack(&rig, psn(3));
    NO_WC(rig.qp.scq);
    PACKET(&rig, .opcode = 0x07, .psn = psn(2), .bytes = rig.mtu);
    /* A READ whose request was not sent has no responses. */
    read_it(&rig, &mr, 3, 8);
    memset(memory, 0xcc, 8);
    answer_read(&rig, 0x10, psn(4), answers, 8);
    CHECK_EQ(memory[0], 0xcc);
    CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
    rig_close(&rig);
}

/* Soft-RoCE does not count a SEND_WITH_INV of an unknown key, so that its MSN cannot be compared. */
static void the_msn_is_not_looked_at(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint32_t i = 0; i < 3; i++) {
        static const uint32_t msns[] = {0, 0x800000, 0xffffff};
        write_it(&rig, &mr, i, 8);
        WRITE_PACKET(&rig, i, 8);
        answer_with(&rig, psn(i), i * 15, msns[i]);
        SUCCEEDS(&rig, i, RDMA_WRITE, 8);
    }
    rig_close(&rig);
}

static void reserved_syndromes_are_dropped(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 1, 8);
    WRITE_PACKET(&rig, 0, 8);
    for (unsigned syndrome = 0x40; syndrome < 256; syndrome++)
        if (syndrome < 0x60 || syndrome > 0x63)
            answer_with(&rig, psn(0), syndrome, 1);
    /* An acknowledgement with bytes behind it. */
    struct packet p;
    begin_answer(&rig, &p, 0x11, psn(0), 4);
    put_32(&p, 0x1f000001);
    put_32(&p, 0);
    deliver(&rig, &p);
    NO_WC(rig.qp.scq);
    NO_PACKET(&rig);
    CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
    rig_close(&rig);
}

static void an_acknowledgement_past_a_read_does_not_complete_it(void) {
    for (int atomic = 0; atomic < 2; atomic++) {
        struct rig rig;
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        write_it(&rig, &mr, 0, 8);
        atomic ? add_it(&rig, &mr, 1) : read_it(&rig, &mr, 1, 8);
        for (uint64_t i = 2; i < 6; i++)
            write_it(&rig, &mr, i, 8);
        CHECK_EQ(take_all(&rig), 6);
        answer_ack(&rig, psn(3));
        SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
        NO_WC(rig.qp.scq);
        /* Asks again at once: for the response, and for what was not acknowledged; the WRITEs in between were. */
        for (int again = 0; again < 2; again++) {
            atomic ? ADD_PACKET(&rig, 1) : READ_PACKET(&rig, 1, 0, 8);
            if (!again) {
                WRITE_PACKET(&rig, 4, 8);
                WRITE_PACKET(&rig, 5, 8);
                NO_PACKET(&rig);
                /* Acknowledgements that were on their way do not ask again; the timer does. */
                answer_ack(&rig, psn(4));
                answer_ack(&rig, psn(5));
                answer_ack(&rig, psn(5));
                NO_PACKET(&rig);
                tick_at(&rig, rig.now + TIMEOUT_14);
            }
        }
        NO_PACKET(&rig);
        NO_WC(rig.qp.scq);
        atomic ? answer_atomic(&rig, psn(1), 3) : answer_read(&rig, 0x10, psn(1), answers, 8);
        atomic ? SUCCEEDS(&rig, 1, FETCH_ADD, 8) : SUCCEEDS(&rig, 1, RDMA_READ, 8);
        for (uint64_t i = 2; i < 6; i++)
            SUCCEEDS(&rig, i, RDMA_WRITE, 8);
        NO_PACKET(&rig);
        tick_at(&rig, rig.now + 100 * TIMEOUT_14); /* the timer does not run any more */
        CHECK_EQ(rig_counters(&rig).timeouts, 1);
        rig_close(&rig);
    }
}

/* An acknowledgement with a PSN of a READ, as a responder answers to a duplicate WRITE in front of it. */
static void an_acknowledgement_of_a_read_asks_for_its_responses(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 0, 8);
    read_it(&rig, &mr, 1, rig.mtu * 3);
    CHECK_EQ(take_all(&rig), 2);
    answer_ack(&rig, psn(3));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    READ_PACKET(&rig, 1, 0, rig.mtu * 3);
    NO_PACKET(&rig);
    answer_responses(&rig, 1, rig.mtu * 3, 0, 0, 3);
    SUCCEEDS(&rig, 1, RDMA_READ, rig.mtu * 3);
    rig_close(&rig);
}

static void a_response_acknowledges_what_comes_before_it(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 0, 8);
    write_it(&rig, &mr, 1, rig.mtu * 2);
    read_it(&rig, &mr, 2, 8);
    write_it(&rig, &mr, 3, 8);
    add_it(&rig, &mr, 4);
    CHECK_EQ(take_all(&rig), 6);
    answer_read(&rig, 0x10, psn(3), answers, 8);
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, RDMA_WRITE, rig.mtu * 2);
    SUCCEEDS(&rig, 2, RDMA_READ, 8);
    NO_WC(rig.qp.scq);
    answer_atomic(&rig, psn(5), 1);
    SUCCEEDS(&rig, 3, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 4, FETCH_ADD, 8);
    NO_PACKET(&rig);
    rig_close(&rig);
}

/* --- READs that are resumed --- */

static void a_read_is_resumed_from_the_gap(void) {
    enum { LENGTH = 5 * 1024 + 9 };
    /* Opcodes of the responses after resuming at each gap: as soft-RoCE goes on, or from the beginning. */
    for (uint32_t gap = 0; gap < 6; gap++) {
        for (int goes_on = 0; goes_on < 2; goes_on++) {
            for (int by_timer = 0; by_timer < 2; by_timer++) {
                struct rig rig;
                if (!by_timer && gap == 5)
                    continue; /* no response comes behind the last one */
                REQUIRE(rig_open(&rig));
                CHECK_EQ(rig.mtu, 1024);
                struct vmr mr = make_mr(&rig.v, memory, BIG);
                count_up(answers, BIG, gap);
                memset(memory, 0xcc, BIG);
                read_it(&rig, &mr, 1, LENGTH);
                write_it(&rig, &mr, 2, 8);
                READ_PACKET(&rig, 0, 0, LENGTH);
                WRITE_PACKET(&rig, 6, 8);
                answer_responses(&rig, 0, LENGTH, 0, 0, gap);
                if (by_timer) {
                    tick_at(&rig, rig.now + TIMEOUT_14);
                } else {
                    answer_responses(&rig, 0, LENGTH, 0, gap + 1, 6);
                    answer_ack(&rig, psn(6));
                }
                CHECK_EQ(memory[gap * 1024], 0xcc);
                NO_WC(rig.qp.scq);
                READ_PACKET(&rig, gap, gap * 1024, LENGTH - gap * 1024);
                if (by_timer)
                    WRITE_PACKET(&rig, 6, 8);
                NO_PACKET(&rig);
                answer_responses(&rig, 0, LENGTH, goes_on ? 0 : gap, gap, 6);
                SUCCEEDS(&rig, 1, RDMA_READ, LENGTH);
                CHECK_BYTES_EQ(memory, answers, LENGTH);
                CHECK_EQ(memory[LENGTH], 0xcc);
                if (by_timer)
                    answer_ack(&rig, psn(6));
                SUCCEEDS(&rig, 2, RDMA_WRITE, 8);
                answer_responses(&rig, 0, LENGTH, 0, 0, 6); /* duplicates */
                NO_WC(rig.qp.scq);
                CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
                AT_REST(mr);
                rig_close(&rig);
            }
        }
    }
}

/* The responses of the next READ, and those that were on their way, do not ask again. */
static void a_gap_is_asked_for_once(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 8 * rig.mtu);
    read_it(&rig, &mr, 2, 2 * rig.mtu);
    CHECK_EQ(take_all(&rig), 2);
    answer_responses(&rig, 0, 8 * rig.mtu, 0, 0, 2);
    answer_responses(&rig, 0, 8 * rig.mtu, 0, 3, 2);
    READ_PACKET(&rig, 2, 2 * rig.mtu, 6 * rig.mtu);
    READ_PACKET(&rig, 8, 0, 2 * rig.mtu);
    answer_responses(&rig, 0, 8 * rig.mtu, 0, 5, 3);
    answer_responses(&rig, 8, 2 * rig.mtu, 0, 0, 2);
    NO_PACKET(&rig);
    NO_WC(rig.qp.scq);
    /* The resumed one loses one, too: there was progress, so it is asked for at once. */
    answer_responses(&rig, 0, 8 * rig.mtu, 2, 2, 1);
    answer_responses(&rig, 0, 8 * rig.mtu, 2, 4, 4);
    READ_PACKET(&rig, 3, 3 * rig.mtu, 5 * rig.mtu);
    READ_PACKET(&rig, 8, 0, 2 * rig.mtu);
    NO_PACKET(&rig);
    answer_responses(&rig, 0, 8 * rig.mtu, 3, 3, 5);
    SUCCEEDS(&rig, 1, RDMA_READ, 8 * rig.mtu);
    answer_responses(&rig, 8, 2 * rig.mtu, 0, 0, 2);
    SUCCEEDS(&rig, 2, RDMA_READ, 2 * rig.mtu);
    rig_close(&rig);
}

/* --- answers that break the rules --- */

struct bad_answer {
    unsigned opcode, position;
    uint32_t length;
    unsigned syndrome;
};

/* Lets the response `bad.position` of a READ of 2.5 MTU be another one. */
static void send_bad_response(struct rig *rig, uint32_t first, struct bad_answer bad) {
    struct packet p;
    begin_answer(rig, &p, bad.opcode, psn(first + bad.position), bad.length);
    if (bad.opcode != 0x0e)
        put_32(&p, bad.syndrome << 24);
    if (bad.opcode == 0x12)
        put_64(&p, 1);
    put(&p, answers, bad.length);
    deliver(rig, &p);
}

static void a_bad_response_in_its_turn_fails_the_read(void) {
    static const struct bad_answer bad[] = {
        /* lengths */
        {0x0d, 0, 0, 0},
        {0x0d, 0, 512, 0},
        {0x0d, 0, 1023, 0},
        {0x0d, 0, 1025, 0},
        {0x0d, 0, 2048, 0},
        {0x0d, 0, 4096, 0},
        {0x0e, 1, 0, 0},
        {0x0e, 1, 512, 0},
        {0x0e, 1, 2048, 0},
        {0x0f, 2, 0, 0},
        {0x0f, 2, 511, 0},
        {0x0f, 2, 513, 0},
        {0x0f, 2, 1024, 0},
        {0x0f, 2, 4096, 0},
        /* opcodes out of order */
        {0x0e, 0, 1024, 0},
        {0x0f, 0, 1024, 0},
        {0x10, 0, 1024, 0},
        {0x10, 0, 2560, 0},
        {0x0d, 1, 1024, 0},
        {0x0f, 1, 1024, 0},
        {0x10, 1, 1024, 0},
        {0x0d, 2, 512, 0},
        {0x0e, 2, 1024, 0},
        {0x10, 2, 512, 0},
        /* an atomic's answer, and syndromes that a response does not have */
        {0x12, 0, 0, 0},
        {0x12, 1, 0, 0},
        {0x0d, 0, 1024, 0x62},
        {0x0f, 2, 512, 0x20},
        {0x0f, 2, 512, 0x80},
    };
    enum { LENGTH = 2560 };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (int in_turn = 0; in_turn < 2; in_turn++) {
            struct rig rig;
            REQUIRE(rig_open(&rig));
            struct vmr mr = make_mr(&rig.v, memory, BIG);
            count_up(answers, BIG, 1);
            memset(memory, 0xcc, BIG);
            if (!in_turn)
                write_it(&rig, &mr, 0, 0);
            const uint32_t first = in_turn ? 0 : 1;
            read_it(&rig, &mr, 1, LENGTH);
            write_it(&rig, &mr, 2, 8);
            CHECK_EQ(take_all(&rig), 2 + first);
            if (in_turn)
                answer_responses(&rig, 0, LENGTH, 0, 0, bad[i].position);
            send_bad_response(&rig, first, bad[i]);
            for (uint32_t b = in_turn ? bad[i].position * 1024 : 0; b < BIG; b++)
                if (memory[b] != 0xcc) {
                    CHECK_EQ(memory[b], 0xcc);
                    break;
                }
            if (in_turn) {
                ENDS(&rig, 1, RDMA_READ, LENGTH, BAD_RESP_ERR, BAD_PACKET, 0);
                FLUSHED(&rig, 2, RDMA_WRITE, 8);
                CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
            } else {
                /* Not even what is in front of it is completed; the right answers still count. */
                NO_WC(rig.qp.scq);
                answer_responses(&rig, first, LENGTH, 0, 0, 3);
                SUCCEEDS(&rig, 0, RDMA_WRITE, 0);
                SUCCEEDS(&rig, 1, RDMA_READ, LENGTH);
                CHECK_BYTES_EQ(memory, answers, LENGTH);
            }
            rig_close(&rig);
        }
    }
}

static void a_response_to_a_message_or_an_atomic(void) {
    for (int atomic = 0; atomic < 2; atomic++) {
        for (unsigned way = 0; way < 4; way++) {
            struct rig rig;
            REQUIRE(rig_open(&rig));
            struct vmr mr = make_mr(&rig.v, memory, BIG);
            memset(memory, 0xcc, 64);
            atomic ? add_it(&rig, &mr, 1) : write_it(&rig, &mr, 1, 8);
            CHECK_EQ(take_all(&rig), 1);
            if (way == 0)
                answer_read(&rig, 0x10, psn(0), answers, 8);
            else if (way == 1)
                answer_read(&rig, 0x0e, psn(0), answers, 1024);
            else
                send_bad_response(&rig, 0,
                                  (struct bad_answer){0x12, 0, way == 2 ? 4 : 0, way == 3 ? 0x62 : 0});
            if (atomic)
                ENDS(&rig, 1, FETCH_ADD, 8, BAD_RESP_ERR, BAD_PACKET, 0);
            else
                ENDS(&rig, 1, RDMA_WRITE, 8, BAD_RESP_ERR, BAD_PACKET, 0);
            CHECK_EQ(memory[0], 0xcc);
            rig_close(&rig);
        }
    }
}

/* --- negative acknowledgements --- */

static void fatal_naks(void) {
    static const struct {
        unsigned syndrome;
        enum rvt_wc_status status;
    } naks[] = {
        {0x61, RVT_WC_STATUS_REM_INV_REQ_ERR},
        {0x62, RVT_WC_STATUS_REM_ACCESS_ERR},
        {0x63, RVT_WC_STATUS_REM_OP_ERR},
    };
    enum { WRITE, READ, ADD };
    static const uint32_t wc_opcodes[] = {RVT_WC_OPCODE_RDMA_WRITE, RVT_WC_OPCODE_RDMA_READ,
                                          RVT_WC_OPCODE_FETCH_ADD};
    for (int n = 0; n < 3; n++) {
        for (int kind = WRITE; kind <= ADD; kind++) {
            /* The PSN of the NAK within the request. */
            for (uint32_t at = 0; at < (kind == ADD ? 1u : 3u); at++) {
                struct rig rig;
                REQUIRE(rig_open(&rig));
                struct vmr mr = make_mr(&rig.v, memory, BIG);
                const uint32_t length = kind == ADD ? 8 : 3 * rig.mtu;
                write_it(&rig, &mr, 0, 8);
                write_it(&rig, &mr, 1, 8);
                post_it(&rig, &mr, 2,
                        kind == WRITE  ? RVT_WR_RDMA_WRITE
                        : kind == READ ? RVT_WR_RDMA_READ
                                       : RVT_WR_ATOMIC_FETCH_AND_ADD,
                        length, 0);
                write_it(&rig, &mr, 3, 8);
                CHECK(take_all(&rig) >= 4);
                answer_nak(&rig, psn(2 + at), naks[n].syndrome);
                SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
                SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
                WC(rig.qp.scq, .wr_id = 2, .qp_num = rig.qp.qpn, .opcode = wc_opcodes[kind],
                   .byte_len = length, .status = naks[n].status, .cause = RVT_WHY_NAK,
                   .cause_value = naks[n].syndrome);
                FLUSHED(&rig, 3, RDMA_WRITE, 8);
                NO_WC(rig.qp.scq);
                CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
                NO_PACKET(&rig);
                CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now + 1000000000), UINT64_MAX);
                AT_REST(mr);
                rig_close(&rig);
            }
        }
    }
}

/* The READ needs its responses first. If they do not come, it is the READ that fails. */
static void a_fatal_nak_behind_a_read_without_its_responses(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 8);
    write_it(&rig, &mr, 2, 8);
    CHECK_EQ(take_all(&rig), 2);
    answer_nak(&rig, psn(1), 0x62);
    NO_WC(rig.qp.scq);
    READ_PACKET(&rig, 0, 0, 8);
    WRITE_PACKET(&rig, 1, 8);
    answer_read(&rig, 0x10, psn(0), answers, 8);
    SUCCEEDS(&rig, 1, RDMA_READ, 8);
    answer_nak(&rig, psn(1), 0x62);
    ENDS(&rig, 2, RDMA_WRITE, 8, REM_ACCESS_ERR, NAK, 0x62);
    rig_close(&rig);
}

/* A resumed READ can be refused although an acknowledgement behind it has come. */
static void a_resumed_read_is_refused(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 8);
    write_it(&rig, &mr, 2, 8);
    CHECK_EQ(take_all(&rig), 2);
    answer_ack(&rig, psn(1));
    READ_PACKET(&rig, 0, 0, 8);
    answer_nak(&rig, psn(0), 0x62);
    ENDS(&rig, 1, RDMA_READ, 8, REM_ACCESS_ERR, NAK, 0x62);
    FLUSHED(&rig, 2, RDMA_WRITE, 8);
    rig_close(&rig);
}

static void a_sequence_nak_goes_back(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint64_t i = 0; i < 2; i++)
        write_it(&rig, &mr, i, 8);
    write_it(&rig, &mr, 2, rig.mtu * 4);
    CHECK_EQ(take_all(&rig), 6);
    answer_nak(&rig, psn(4), 0x60);
    answer_nak(&rig, psn(4), 0x60); /* a duplicate, and a stale one */
    answer_nak(&rig, psn(1), 0x60);
    answer_nak(&rig, psn(6), 0x60); /* that PSN was not sent */
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
    NO_WC(rig.qp.scq);
    PACKET(&rig, .opcode = 0x07, .psn = psn(4), .bytes = rig.mtu);
    PACKET(&rig, .opcode = 0x08, .psn = psn(5), .bytes = rig.mtu, .ask = true);
    NO_PACKET(&rig);
    CHECK_EQ(rig_counters(&rig).timeouts, 0);
    answer_ack(&rig, psn(5));
    SUCCEEDS(&rig, 2, RDMA_WRITE, rig.mtu * 4);
    rig_close(&rig);
}

static void sequence_naks_are_retries(void) {
    for (uint32_t retries = 0; retries < 8; retries++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.retry_cnt = retries;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        write_it(&rig, &mr, 1, 8);
        write_it(&rig, &mr, 2, 8);
        CHECK_EQ(take_all(&rig), 2);
        for (uint32_t i = 0; i < retries; i++) {
            answer_nak(&rig, psn(0), 0x60);
            NO_WC(rig.qp.scq);
            WRITE_PACKET(&rig, 0, 8);
            WRITE_PACKET(&rig, 1, 8);
            NO_PACKET(&rig);
        }
        answer_nak(&rig, psn(0), 0x60);
        ENDS(&rig, 1, RDMA_WRITE, 8, RETRY_EXC_ERR, NAK, 0x60);
        FLUSHED(&rig, 2, RDMA_WRITE, 8);
        rig_close(&rig);
    }
}

static void rnr_naks_wait_as_long_as_the_peer_says(void) {
    static const uint32_t usec[32] = {
        655360, 10,    20,    30,    40,    60,     80,     120,    160,    240,    320,
        480,    640,   960,   1280,  1920,  2560,   3840,   5120,   7680,   10240,  15360,
        20480,  30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680, 491520,
    };
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint32_t code = 0; code < 32; code++) {
        const uint32_t at = code * 3;
        write_it(&rig, &mr, 1, 8);
        post_it(&rig, &mr, 2, RVT_WR_SEND, 8, 0);
        write_it(&rig, &mr, 3, 8);
        CHECK_EQ(take_all(&rig), 3);
        answer_nak(&rig, psn(at + 1), 0x20 | code);
        SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
        const uint64_t until = rig.now + usec[code];
        NO_PACKET(&rig);
        rig.now += 5;
        answer_nak(&rig, psn(at + 1), 0x20 | code); /* again: does not wait longer */
        answer_nak(&rig, psn(at + 1), 0x60);        /* nor does it go back meanwhile */
        tick_at(&rig, until - 1);
        NO_PACKET(&rig);
        tick_at(&rig, until);
        PACKET(&rig, .opcode = 0x04, .psn = psn(at + 1), .ask = true, .bytes = 8);
        WRITE_PACKET(&rig, at + 2, 8);
        NO_PACKET(&rig);
        answer_ack(&rig, psn(at + 2));
        SUCCEEDS(&rig, 2, SEND, 8);
        SUCCEEDS(&rig, 3, RDMA_WRITE, 8);
    }
    CHECK_EQ(rig_counters(&rig).timeouts, 0);
    rig_close(&rig);
}

static void rnr_retries_end(void) {
    for (uint32_t retries = 0; retries < 8; retries++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.rnr_retry = retries;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        post_it(&rig, &mr, 1, RVT_WR_SEND, 8, 0);
        post_it(&rig, &mr, 2, RVT_WR_SEND, 8, 0);
        CHECK_EQ(take_all(&rig), 2);
        /* The second one has its own retries: the first one's success is progress. */
        for (uint32_t request = 0; request < 2; request++) {
            for (uint32_t i = 0; i < (retries == 7 ? 100 : retries); i++) {
                answer_nak(&rig, psn(request), 0x21);
                NO_PACKET(&rig);
                NO_WC(rig.qp.scq);
                tick_at(&rig, rig.now + 10);
                CHECK_EQ(take_all(&rig), 2 - request);
            }
            if (request)
                break;
            answer_ack(&rig, psn(0));
            SUCCEEDS(&rig, 1, SEND, 8);
        }
        if (retries == 7) {
            answer_ack(&rig, psn(1));
            SUCCEEDS(&rig, 2, SEND, 8);
        } else {
            answer_nak(&rig, psn(1), 0x21);
            ENDS(&rig, 2, SEND, 8, RNR_RETRY_EXC_ERR, NO_RECEIVE, 0);
            CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        }
        rig_close(&rig);
    }
}

/* A peer that acknowledges what it had no receive for ends the wait. */
static void an_acknowledgement_ends_the_wait_for_a_receive(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    post_it(&rig, &mr, 1, RVT_WR_SEND, 8, 0);
    CHECK_EQ(take_all(&rig), 1);
    answer_nak(&rig, psn(0), 0x3f);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 1, SEND, 8);
    write_it(&rig, &mr, 2, 8);
    WRITE_PACKET(&rig, 1, 8);
    tick_at(&rig, rig.now + TIMEOUT_14);
    WRITE_PACKET(&rig, 1, 8);
    rig_close(&rig);
}

/* --- the transport timer --- */

static void the_timer_is_due_at_its_microsecond(void) {
    for (uint32_t timeout = 0; timeout < 32; timeout++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.timeout = timeout;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        /* 4.096 microseconds times 2^timeout, not early. */
        const uint64_t usec = ((UINT64_C(4096) << timeout) + 999) / 1000;
        write_it(&rig, &mr, 1, 8);
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now), UINT64_MAX); /* nothing was sent yet */
        rig.now += 17;
        WRITE_PACKET(&rig, 0, 8);
        if (!timeout) {
            CHECK_EQ(tick_at(&rig, rig.now + UINT64_C(1000000000000)), UINT64_MAX);
            NO_PACKET(&rig);
            rig_close(&rig);
            continue;
        }
        const uint64_t due = rig.now + usec;
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now), due);
        CHECK_EQ(tick_at(&rig, due - 1), due);
        NO_PACKET(&rig);
        CHECK_EQ(tick_at(&rig, due), UINT64_MAX); /* it runs again from the next packet on */
        rig.now += 1000;
        WRITE_PACKET(&rig, 0, 8);
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now), due + 1000 + usec);
        answer_ack(&rig, psn(0));
        CHECK_EQ(tick_at(&rig, due + 1000 + usec), UINT64_MAX);
        NO_PACKET(&rig);
        rig_close(&rig);
    }
}

static void progress_restarts_the_timer(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 1, 8);
    read_it(&rig, &mr, 2, 3 * rig.mtu);
    CHECK_EQ(take_all(&rig), 2);
    uint64_t due = rig.now + TIMEOUT_14;
    rig.now += 100;
    write_it(&rig, &mr, 3, 8); /* another packet does not restart it */
    CHECK_EQ(take_all(&rig), 1);
    tick_at(&rig, due - 1);
    NO_PACKET(&rig);
    answer_ack(&rig, psn(0));
    for (uint32_t i = 0; i < 3; i++) {
        due = rig.now + TIMEOUT_14;
        answer_ack(&rig, psn(0)); /* not progress */
        tick_at(&rig, due - 1);
        NO_PACKET(&rig);
        answer_responses(&rig, 1, 3 * rig.mtu, 0, i, 1);
    }
    tick_at(&rig, rig.now + TIMEOUT_14 - 1);
    NO_PACKET(&rig);
    tick_at(&rig, rig.now + 1);
    WRITE_PACKET(&rig, 4, 8);
    CHECK_EQ(rig_counters(&rig).timeouts, 1);
    rig_close(&rig);
}

static void retries_end(void) {
    for (uint32_t retries = 0; retries < 8; retries++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.retry_cnt = retries;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        for (uint64_t i = 0; i < 3; i++)
            write_it(&rig, &mr, i, 8);
        CHECK_EQ(take_all(&rig), 3);
        for (uint32_t request = 0; request < 2; request++) {
            for (uint32_t i = 0; i < retries; i++) {
                tick_at(&rig, rig.now + TIMEOUT_14);
                NO_WC(rig.qp.scq);
                for (uint32_t k = request; k < 3; k++)
                    WRITE_PACKET(&rig, k, 8);
                NO_PACKET(&rig);
            }
            if (request)
                break;
            answer_ack(&rig, psn(0)); /* progress: the retries begin again */
            SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
        }
        tick_at(&rig, rig.now + TIMEOUT_14);
        ENDS(&rig, 1, RDMA_WRITE, 8, RETRY_EXC_ERR, NO_ANSWER, 0);
        FLUSHED(&rig, 2, RDMA_WRITE, 8);
        NO_PACKET(&rig);
        CHECK_EQ(rig_counters(&rig).timeouts, 2 * retries + 1);
        CHECK_EQ(rig_counters(&rig).retransmitted, 5 * retries);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        answer_ack(&rig, psn(2)); /* too late */
        CHECK_EQ(tick_at(&rig, rig.now + 100 * TIMEOUT_14), UINT64_MAX);
        rig_close(&rig);
    }
}

static void retransmissions_read_the_memory_again(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    memory[0] = 1;
    write_it(&rig, &mr, 1, 1);
    CHECK_EQ(WRITE_PACKET(&rig, 0, 1)[0], 1);
    memory[0] = 2;
    tick_at(&rig, rig.now + TIMEOUT_14);
    CHECK_EQ(WRITE_PACKET(&rig, 0, 1)[0], 2);
    rig_close(&rig);
}

/* An acknowledgement of the first transmission that comes while the second is under way. */
static void an_acknowledgement_overtakes_the_retransmission(void) {
    struct rig rig;
    struct sent sent;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint64_t i = 0; i < 5; i++)
        write_it(&rig, &mr, i, 2 * rig.mtu);
    CHECK_EQ(take_all(&rig), 10);
    tick_at(&rig, rig.now + TIMEOUT_14);
    for (int i = 0; i < 3; i++)
        CHECK(take_packet(&rig, &sent) != NULL);
    CHECK_EQ(sent.psn, psn(2));
    answer_ack(&rig, psn(6));
    for (uint64_t i = 0; i < 3; i++)
        SUCCEEDS(&rig, i, RDMA_WRITE, 2 * rig.mtu);
    PACKET(&rig, .opcode = 0x08, .psn = psn(7), .bytes = rig.mtu, .ask = true);
    CHECK_EQ(take_all(&rig), 2);
    answer_ack(&rig, psn(9));
    SUCCEEDS(&rig, 3, RDMA_WRITE, 2 * rig.mtu);
    SUCCEEDS(&rig, 4, RDMA_WRITE, 2 * rig.mtu);
    NO_PACKET(&rig);
    rig_close(&rig);
}

/* --- bytes of this end that cannot be used --- */

/* Memory whose bytes may not be there. */
struct fickle {
    struct rvt_memory memory;
    enum rvt_reason reason; /* NONE: the bytes are there */
};

static enum rvt_reason resolve_fickle(struct rvt_memory *at, void *environment, unsigned char **data) {
    struct fickle *fickle = (struct fickle *)at;
    (void)environment;
    *data = memory;
    return fickle->reason;
}

static void release_fickle(struct rvt_memory *at) {
    (void)at;
}

static struct vmr fickle_mr(struct rig *rig, struct fickle *fickle) {
    static const struct rvt_memory_ops ops = {.resolve = resolve_fickle, .release = release_fickle};
    struct vmr mr = {.data = memory, .addr = 0x100000, .length = PAGE};
    fickle->reason = RVT_REASON_NONE;
    rvt_memory_init(&fickle->memory, &ops, PAGE);
    CHECK_EQ(rvt_reg_user_mr(rig->v.pd, &fickle->memory, mr.addr, mr.addr, ALL_ACCESS, &mr.mr), 0);
    mr.key = fixture_key(mr.mr);
    return mr;
}

#define LOCAL_REFUSED(rig, id, op, bytes)                                                                    \
    WC((rig)->qp.scq, .wr_id = (id), .qp_num = (rig)->qp.qpn, .opcode = RVT_WC_OPCODE_##op,                  \
       .byte_len = (bytes), .status = RVT_WC_STATUS_LOC_PROT_ERR, .cause = RVT_WHY_LOCAL_REFUSED,            \
       .refused.reason = RVT_OTHER_ENVIRONMENT)

static void bytes_that_cannot_be_read_fail_the_request_in_its_turn(void) {
    struct rig rig;
    struct fickle fickle;
    struct sent sent;
    /* The oldest request; in the middle of a message; behind others; when it is sent again. */
    for (int way = 0; way < 4; way++) {
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, BIG), gone = fickle_mr(&rig, &fickle);
        const uint32_t length = 3 * rig.mtu;
        if (way == 2) {
            write_it(&rig, &mr, 0, 8);
            read_it(&rig, &mr, 1, 8);
        }
        write_it(&rig, &gone, 2, length);
        write_it(&rig, &mr, 3, 8);
        if (way == 1)
            CHECK(take_packet(&rig, &sent) != NULL);
        if (way == 3) {
            CHECK_EQ(take_all(&rig), 4);
            answer_ack(&rig, psn(0));
            tick_at(&rig, rig.now + TIMEOUT_14);
        }
        fickle.reason = RVT_OTHER_ENVIRONMENT;
        if (way == 2) {
            WRITE_PACKET(&rig, 0, 8);
            READ_PACKET(&rig, 1, 0, 8);
            NO_PACKET(&rig);
            NO_WC(rig.qp.scq);
            answer_ack(&rig, psn(0));
            SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
            NO_PACKET(&rig);
            NO_WC(rig.qp.scq);
            answer_read(&rig, 0x10, psn(1), answers, 8);
            SUCCEEDS(&rig, 1, RDMA_READ, 8);
        }
        NO_PACKET(&rig);
        LOCAL_REFUSED(&rig, 2, RDMA_WRITE, length);
        FLUSHED(&rig, 3, RDMA_WRITE, 8);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        AT_REST(mr);
        AT_REST(gone);
        rig_close(&rig);
    }
}

static void responses_that_cannot_be_stored_fail_the_request(void) {
    struct rig rig;
    struct fickle fickle;
    for (int way = 0; way < 3; way++) {
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, BIG), gone = fickle_mr(&rig, &fickle);
        const uint32_t length = 2 * rig.mtu;
        memset(memory, 0xcc, BIG);
        write_it(&rig, &mr, 1, 8);
        way == 2 ? add_it(&rig, &gone, 2) : read_it(&rig, &gone, 2, length);
        CHECK_EQ(take_all(&rig), 2);
        if (way == 1)
            answer_responses(&rig, 1, length, 0, 0, 1);
        fickle.reason = RVT_OTHER_ENVIRONMENT;
        way == 2 ? answer_atomic(&rig, psn(1), 1) : answer_responses(&rig, 1, length, 0, way == 1, 1);
        SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
        if (way == 2)
            LOCAL_REFUSED(&rig, 2, FETCH_ADD, 8);
        else
            LOCAL_REFUSED(&rig, 2, RDMA_READ, length);
        CHECK_EQ(memory[way == 1 ? rig.mtu : 0], 0xcc);
        rig_close(&rig);
    }
}

/* A region that is taken away flushes the queue pair; nothing of it is written or sent afterwards. */
static void a_region_that_is_forced_away(void) {
    for (int read = 0; read < 2; read++) {
        struct rig rig;
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, PAGE), other = make_mr(&rig.v, memory + PAGE, BIG);
        memset(memory, 0xcc, PAGE);
        write_it(&rig, &other, 1, 8);
        post_it(&rig, &mr, 2, read ? RVT_WR_RDMA_READ : RVT_WR_RDMA_WRITE, 3 * rig.mtu, 0);
        CHECK_EQ(take_all(&rig), read ? 2 : 4);
        if (read)
            answer_responses(&rig, 1, 3 * rig.mtu, 0, 0, 1);
        CHECK_EQ(rvt_dereg_mr(mr.mr, RVT_RELEASE_FORCE), 0);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        if (read)
            SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
        else
            FLUSHED(&rig, 1, RDMA_WRITE, 8);
        WC(rig.qp.scq, .wr_id = 2, .qp_num = rig.qp.qpn, .byte_len = 3 * rig.mtu,
           .opcode = read ? RVT_WC_OPCODE_RDMA_READ : RVT_WC_OPCODE_RDMA_WRITE,
           .status = RVT_WC_STATUS_WR_FLUSH_ERR, .cause = RVT_WHY_FLUSHED);
        answer_responses(&rig, 1, 3 * rig.mtu, 0, 1, 2);
        if (read)
            CHECK_EQ(memory[rig.mtu], 0xcc);
        NO_PACKET(&rig);
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now + 1000000), UINT64_MAX);
        rig_close(&rig);
    }
}

/* --- states --- */

static void in_sqd_what_has_begun_is_carried_on_with(void) {
    struct rig rig;
    struct sent sent;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 0, 8);
    read_it(&rig, &mr, 1, 2 * rig.mtu);
    write_it(&rig, &mr, 2, 3 * rig.mtu);
    write_it(&rig, &mr, 3, 8);
    for (int i = 0; i < 3; i++)
        CHECK(take_packet(&rig, &sent) != NULL);
    CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_SQD), 0);
    PACKET(&rig, .opcode = 0x07, .psn = psn(4), .bytes = rig.mtu);
    PACKET(&rig, .opcode = 0x08, .psn = psn(5), .bytes = rig.mtu, .ask = true);
    NO_PACKET(&rig);
    write_it(&rig, &mr, 4, 8);
    NO_PACKET(&rig);
    /* Answers, gaps and timers count as in RTS. */
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    answer_responses(&rig, 1, 2 * rig.mtu, 0, 0, 1);
    tick_at(&rig, rig.now + TIMEOUT_14);
    READ_PACKET(&rig, 2, rig.mtu, rig.mtu);
    CHECK_EQ(take_all(&rig), 3);
    answer_responses(&rig, 1, 2 * rig.mtu, 1, 1, 1);
    SUCCEEDS(&rig, 1, RDMA_READ, 2 * rig.mtu);
    answer_ack(&rig, psn(5));
    SUCCEEDS(&rig, 2, RDMA_WRITE, 3 * rig.mtu);
    NO_PACKET(&rig);
    CHECK_EQ(query_qp(&rig.qp).sends, 2);
    rig.woken = 0;
    CHECK_EQ(rvt_modify_qp(rig.qp.handle, &(struct rvt_qp_attr){.state = RVT_QPS_RTS}, RVT_QPA_STATE), 0);
    CHECK_EQ(rig.woken, 1);
    WRITE_PACKET(&rig, 6, 8);
    WRITE_PACKET(&rig, 7, 8);
    answer_ack(&rig, psn(7));
    SUCCEEDS(&rig, 3, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 4, RDMA_WRITE, 8);
    rig_close(&rig);
}

static void a_wait_for_a_receive_ends_in_sqd_too(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    post_it(&rig, &mr, 1, RVT_WR_SEND, 8, 0);
    CHECK_EQ(take_all(&rig), 1);
    answer_nak(&rig, psn(0), 0x21);
    CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_SQD), 0);
    NO_PACKET(&rig);
    tick_at(&rig, rig.now + 10);
    PACKET(&rig, .opcode = 0x04, .psn = psn(0), .ask = true, .bytes = 8);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 1, SEND, 8);
    rig_close(&rig);
}

/* In each phase of a request; to ERR, RESET, or destroyed. */
static void a_queue_pair_that_ends_in_the_middle(void) {
    enum { TO_ERR, TO_RESET, DESTROYED, WAYS };
    enum { NOT_SENT, SENT_IN_PART, SENT, ANSWERED_IN_PART, TIMED_OUT, WAITING, PHASES };
    for (int way = 0; way < WAYS; way++) {
        for (int phase = 0; phase < PHASES; phase++) {
            struct rig rig;
            struct sent sent;
            REQUIRE(rig_open(&rig));
            struct vmr mr = make_mr(&rig.v, memory, BIG);
            memset(memory, 0xcc, BIG);
            read_it(&rig, &mr, 1, 2 * rig.mtu);
            post_it(&rig, &mr, 2, RVT_WR_SEND, 3 * rig.mtu, 0);
            bool one_done = false;
            if (phase == SENT_IN_PART) {
                CHECK(take_packet(&rig, &sent) != NULL);
                CHECK(take_packet(&rig, &sent) != NULL);
            } else if (phase > SENT_IN_PART) {
                CHECK_EQ(take_all(&rig), 4);
            }
            if (phase == ANSWERED_IN_PART)
                answer_responses(&rig, 0, 2 * rig.mtu, 0, 0, 1);
            if (phase == TIMED_OUT)
                tick_at(&rig, rig.now + TIMEOUT_14);
            if (phase == WAITING) {
                answer_responses(&rig, 0, 2 * rig.mtu, 0, 0, 2);
                SUCCEEDS(&rig, 1, RDMA_READ, 2 * rig.mtu);
                answer_nak(&rig, psn(2), 0x21);
                one_done = true;
            }
            if (way == DESTROYED)
                CHECK_EQ(rvt_destroy_qp(rig.qp.handle), 0);
            else
                CHECK_EQ(move_qp(&rig.qp, rig.attr, way == TO_ERR ? RVT_QPS_ERR : RVT_QPS_RESET), 0);
            if (way == TO_ERR) {
                if (!one_done)
                    FLUSHED(&rig, 1, RDMA_READ, 2 * rig.mtu);
                FLUSHED(&rig, 2, SEND, 3 * rig.mtu);
            }
            NO_WC(rig.qp.scq);
            AT_REST(mr);
            memset(memory, 0xcc, BIG);
            answer_responses(&rig, 0, 2 * rig.mtu, 0, 0, 2);
            answer_ack(&rig, psn(4));
            CHECK_EQ(memory[0], 0xcc);
            NO_PACKET(&rig);
            CHECK_EQ(tick_at(&rig, rig.now + 1000000000), UINT64_MAX);
            NO_PACKET(&rig);
            if (way != DESTROYED) {
                /* It begins again, with nothing left of before. */
                CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_RESET), 0);
                rig.attr.sq_psn = psn(1000);
                bring_to(&rig.qp, rig.attr, RVT_QPS_RTS);
                NO_PACKET(&rig);
                write_it(&rig, &mr, 7, 8);
                answer_ack(&rig, psn(4));
                WRITE_PACKET(&rig, 1000, 8);
                answer_ack(&rig, psn(4));
                NO_WC(rig.qp.scq);
                answer_ack(&rig, psn(1000));
                SUCCEEDS(&rig, 7, RDMA_WRITE, 8);
            }
            rig_close(&rig);
        }
    }
}

static void the_endpoint_closes_in_the_middle(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 1, 3 * rig.mtu);
    read_it(&rig, &mr, 2, 8);
    CHECK_EQ(take_all(&rig), 4);
    rvt_endpoint_close(rig.endpoint);
    FLUSHED(&rig, 1, RDMA_WRITE, 3 * rig.mtu);
    FLUSHED(&rig, 2, RDMA_READ, 8);
    AT_REST(mr);
    verbs_close(&rig.v);
}

/* --- completions --- */

static void unsignaled_requests_complete_silently(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
    for (uint64_t i = 0; i < 6; i++) {
        const uint32_t opcode = i == 1   ? RVT_WR_RDMA_READ
                                : i == 3 ? RVT_WR_ATOMIC_FETCH_AND_ADD
                                         : RVT_WR_RDMA_WRITE;
        CHECK_EQ(post(&rig.qp,
                      PLAIN_WR(.wr_id = i, .opcode = opcode, .sges = &sge, .num_sge = 1,
                               .remote_addr = REMOTE, .rkey = RKEY, .flags = i == 4 ? RVT_SEND_SIGNALED : 0)),
                 0);
    }
    CHECK_EQ(take_all(&rig), 6);
    answer_read(&rig, 0x10, psn(1), answers, 8);
    CHECK_EQ(query_qp(&rig.qp).sends, 4);
    answer_atomic(&rig, psn(3), 1);
    NO_WC(rig.qp.scq);
    answer_ack(&rig, psn(5));
    SUCCEEDS(&rig, 4, RDMA_WRITE, 8);
    NO_WC(rig.qp.scq);
    CHECK_EQ(query_qp(&rig.qp).sends, 0);
    AT_REST(mr);
    /* A failure is reported nevertheless. */
    CHECK_EQ(post(&rig.qp, PLAIN_WR(.wr_id = 9, .opcode = RVT_WR_RDMA_WRITE)), 0);
    CHECK_EQ(take_all(&rig), 1);
    answer_nak(&rig, psn(6), 0x62);
    ENDS(&rig, 9, RDMA_WRITE, 0, REM_ACCESS_ERR, NAK, 0x62);
    rig_close(&rig);
}

/* One answer completes more than the completion queue holds: the queue pair fails in the middle of it. */
static void a_full_completion_queue_fails_the_queue_pair(void) {
    enum { ACK, READ, ADD, NAK, LOCAL, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig_connect(&rig, (struct rvt_qp_init){.send_cq = make_cq(&rig.v, 2)});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        struct rvt_mr_handle list = {0};
        CHECK_EQ(rvt_alloc_mr(rig.v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
        for (uint64_t i = 0; i < 3; i++) {
            if (way == LOCAL && i == 2)
                CHECK_EQ(post(&rig.qp, SEND_WR(.wr_id = i, .opcode = RVT_WR_REG_MR, .mr = list,
                                               .key = fixture_key(list), .access = LOCAL_WRITE)),
                         0);
            else
                write_it(&rig, &mr, i, 8);
        }
        if (way == READ)
            read_it(&rig, &mr, 3, 2 * rig.mtu);
        else if (way == ADD)
            add_it(&rig, &mr, 3);
        else
            write_it(&rig, &mr, 3, 8);
        write_it(&rig, &mr, 4, 8);
        memset(memory, 0xcc, 64);
        CHECK_EQ(take_all(&rig), way == LOCAL ? 4 : 5);
        if (way == ACK || way == LOCAL)
            answer_ack(&rig, psn(3));
        else if (way == READ)
            answer_responses(&rig, 3, 2 * rig.mtu, 0, 0, 1);
        else if (way == ADD)
            answer_atomic(&rig, psn(3), 1);
        else
            answer_nak(&rig, psn(3), 0x62);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        CHECK_EQ(query_qp(&rig.qp).sends, 0);
        SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
        SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
        NO_WC(rig.qp.scq);
        CHECK_EQ(memory[0], 0xcc); /* the READ behind it did not go on */
        NO_PACKET(&rig);
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now + 1000000), UINT64_MAX);
        AT_REST(mr);
        rig_close(&rig);
    }
    /* The completion of a READ itself, and a failure. */
    for (int fails = 0; fails < 2; fails++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig_connect(&rig, (struct rvt_qp_init){.send_cq = make_cq(&rig.v, 1)});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        for (uint64_t i = 0; i < 3; i++)
            read_it(&rig, &mr, i, 8);
        CHECK_EQ(take_all(&rig), 3);
        answer_read(&rig, 0x10, psn(0), answers, 8);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
        if (fails)
            answer_nak(&rig, psn(1), 0x61);
        else
            answer_read(&rig, 0x10, psn(1), answers, 8);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        SUCCEEDS(&rig, 0, RDMA_READ, 8);
        NO_WC(rig.qp.scq);
        NO_PACKET(&rig);
        rig_close(&rig);
    }
}

/* --- local operations --- */

static void local_operations_are_completed_in_their_turn(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    struct rvt_mr_handle list = {0};
    CHECK_EQ(rvt_alloc_mr(rig.v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
    const uint32_t key = fixture_key(list);
    const struct rvt_send_wr reg =
        SEND_WR(.wr_id = 1, .opcode = RVT_WR_REG_MR, .mr = list, .key = key, .access = ALL_ACCESS);
    write_it(&rig, &mr, 0, 8);
    CHECK_EQ(post(&rig.qp, reg), 0);
    read_it(&rig, &mr, 2, 8);
    CHECK_EQ(post(&rig.qp, reg), 0);
    CHECK_EQ(post(&rig.qp, reg), 0);
    write_it(&rig, &mr, 3, 8);
    /* They were carried out at posting, so that what follows need not wait. */
    WRITE_PACKET(&rig, 0, 8);
    READ_PACKET(&rig, 1, 0, 8);
    WRITE_PACKET(&rig, 2, 8);
    NO_WC(rig.qp.scq);
    tick_at(&rig, rig.now + TIMEOUT_14); /* going back goes past them */
    CHECK_EQ(take_all(&rig), 3);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    NO_WC(rig.qp.scq);
    answer_read(&rig, 0x10, psn(1), answers, 8);
    SUCCEEDS(&rig, 2, RDMA_READ, 8);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    NO_WC(rig.qp.scq);
    answer_ack(&rig, psn(2));
    SUCCEEDS(&rig, 3, RDMA_WRITE, 8);
    /* Alone. */
    CHECK_EQ(post(&rig.qp, reg), 0);
    NO_PACKET(&rig);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    rig_close(&rig);
}

static void an_invalidation_holds_back_what_follows(void) {
    for (int refused = 0; refused < 2; refused++) {
        struct rig rig;
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        struct rvt_mr_handle list = {0};
        CHECK_EQ(rvt_alloc_mr(rig.v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
        const uint32_t key = refused ? 0x12345678 : fixture_key(list);
        read_it(&rig, &mr, 0, 8);
        CHECK_EQ(post(&rig.qp, PLAIN_WR(.wr_id = 1, .opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = key,
                                        .flags = RVT_SEND_FENCE | RVT_SEND_SIGNALED)),
                 0);
        write_it(&rig, &mr, 2, 8);
        READ_PACKET(&rig, 0, 0, 8);
        NO_PACKET(&rig);
        answer_read(&rig, 0x10, psn(0), answers, 8);
        SUCCEEDS(&rig, 0, RDMA_READ, 8);
        WRITE_PACKET(&rig, 1, 8);
        if (refused)
            ENDS(&rig, 1, LOCAL_INV, 0, LOC_PROT_ERR, INVALIDATE_REFUSED, 0);
        else
            SUCCEEDS(&rig, 1, LOCAL_INV, 0);
        NO_WC(rig.qp.scq);
        answer_ack(&rig, psn(1));
        SUCCEEDS(&rig, 2, RDMA_WRITE, 8);
        rig_close(&rig);
    }
}

/* SQD: an operation that was carried out between requests that have begun is completed, another one waits. */
static void local_operations_in_sqd(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    struct rvt_mr_handle list = {0};
    CHECK_EQ(rvt_alloc_mr(rig.v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
    const struct rvt_send_wr reg = SEND_WR(.wr_id = 1, .opcode = RVT_WR_REG_MR, .mr = list,
                                           .key = fixture_key(list), .access = ALL_ACCESS);
    write_it(&rig, &mr, 0, 8);
    CHECK_EQ(post(&rig.qp, reg), 0);
    write_it(&rig, &mr, 2, 8);
    CHECK_EQ(take_all(&rig), 2);
    CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_SQD), 0);
    CHECK_EQ(post(&rig.qp, reg), 0);
    NO_PACKET(&rig);
    answer_ack(&rig, psn(1));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    SUCCEEDS(&rig, 2, RDMA_WRITE, 8);
    NO_PACKET(&rig);
    NO_WC(rig.qp.scq);
    CHECK_EQ(rvt_modify_qp(rig.qp.handle, &(struct rvt_qp_attr){.state = RVT_QPS_RTS}, RVT_QPA_STATE), 0);
    NO_PACKET(&rig);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    rig_close(&rig);
}

/* --- the host --- */

static void the_host_is_woken_when_there_is_work(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    CHECK_EQ(rig.woken, 0);
    write_it(&rig, &mr, 1, 8);
    CHECK_EQ(rig.woken, 1);
    write_it(&rig, &mr, 2, 8); /* not again before it has sent */
    CHECK_EQ(rig.woken, 1);
    CHECK_EQ(take_all(&rig), 2);
    write_it(&rig, &mr, 3, 8);
    CHECK_EQ(rig.woken, 2);
    rig_close(&rig);
}

static void a_queue_pair_without_a_send_queue(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    struct vqp qp = {0};
    const struct rvt_qp_init init = {.type = RVT_QPT_RC,
                                     .sig_type = RVT_SIGNAL_REQ_WR,
                                     .send_cq = make_cq(&rig.v, 8),
                                     .recv_cq = make_cq(&rig.v, 8),
                                     .max_recv_wr = 4,
                                     .max_recv_sge = 1};
    CHECK_EQ(rvt_create_qp(rig.v.pd, &init, &qp.handle, &qp.qpn), 0);
    qp.serial = qp.handle.qp->owned.serial;
    CHECK_EQ(rvt_endpoint_connect(rig.endpoint, qp.handle, &rig_peer, rig.now), 0);
    bring_to(&qp, rig.attr, RVT_QPS_RTS);
    rig.qp = qp;
    answer_ack(&rig, psn(0));
    NO_PACKET(&rig);
    FAILS_WITH(post(&qp, SEND_WR(.opcode = RVT_WR_SEND)), RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 0, 0, 0);
    rig_close(&rig);
}

static void connecting_without_memory_leaves_the_queue_pair(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    rig.qp = make_qp(&rig.v, RVT_QPT_RC);
    int failures = 0;
    for (long n = 0; n < 10; n++) {
        const long live = rvt_test_alloc_live();
        rvt_test_alloc_fail_after(n);
        const int answer = rvt_endpoint_connect(rig.endpoint, rig.qp.handle, &rig_peer, rig.now);
        const bool failed = rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        if (!failed) {
            CHECK_EQ(answer, 0);
            break;
        }
        failures++;
        FAILS(answer, RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
        CHECK_EQ(rvt_test_alloc_live(), live);
    }
    CHECK_EQ(failures, 2); /* the connection, and its ring */
    bring_to(&rig.qp, rig.attr, RVT_QPS_RTS);
    rig_close(&rig);
}

/* The ring of begun work requests turns around many times, at every fill. */
static void long_runs(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    rig_connect(&rig, (struct rvt_qp_init){.max_send_wr = 5});
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    uint32_t index = 0;
    for (uint64_t round = 0; round < 500; round++) {
        const uint32_t count = 1 + round % 5, first = index;
        for (uint64_t i = 0; i < count; i++, index++)
            (round + i) % 3 ? write_it(&rig, &mr, i, 8) : read_it(&rig, &mr, i, 8);
        for (uint32_t i = 0; i < count; i++)
            (round + i) % 3 ? WRITE_PACKET(&rig, first + i, 8) : READ_PACKET(&rig, first + i, 0, 8);
        for (uint32_t i = 0; i < count; i++)
            (round + i) % 3 ? answer_ack(&rig, psn(first + i))
                            : answer_read(&rig, 0x10, psn(first + i), answers, 8);
        for (uint64_t i = 0; i < count; i++)
            (round + i) % 3 ? SUCCEEDS(&rig, i, RDMA_WRITE, 8) : SUCCEEDS(&rig, i, RDMA_READ, 8);
    }
    rig_close(&rig);
}

/* --- a hostile peer --- */

/* Returns whether PSN `a` comes after `b`. */
static bool is_behind(uint32_t a, uint32_t b) {
    return (int32_t)((a - b) << 8) > 0;
}

/* Answers with any opcode, PSN near those in flight, syndrome and length, between posts, timers and time. Whatever the
 * peer says: completions are in order and none is doubled, nothing completes that was not sent in full, and bytes
 * change only where a READ or an atomic operation may store. */
static void any_answers_in_any_order(void) {
    enum { ROUNDS = 400, STEPS = 200, ROOM = 3000 };
    uint64_t random = 7;
    uint64_t completed = 0, failed = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.path_mtu = 1 + next_random(&random) % 3;
        rig.attr.sq_psn = next_random(&random) & 0xffffff;
        rig.attr.max_rd_atomic = 1 + next_random(&random) % 4;
        rig.attr.rnr_retry = next_random(&random) % 8;
        rig.attr.retry_cnt = next_random(&random) % 8;
        rig_connect(&rig, (struct rvt_qp_init){.max_send_wr = 16});
        struct vmr mr = make_mr(&rig.v, memory + PAGE, ROOM);
        memset(memory, 0xcc, PAGE + ROOM + 64);
        uint64_t posted = 0, ended = 0;
        uint32_t newest = rig.attr.sq_psn; /* PSN behind the newest packet that was taken */
        /* PSN behind each work request, by its number, and behind the last one. */
        uint32_t ends[32], kinds[32], lengths_of[32], end = newest;
        bool alive = true;
        for (int step = 0; step < STEPS && alive; step++) {
            const uint32_t what = next_random(&random) % 16;
            bool unsent = false;
            if (what < 3 && query_qp(&rig.qp).sends < 16) {
                static const uint32_t opcodes[] = {RVT_WR_RDMA_WRITE, RVT_WR_RDMA_READ, RVT_WR_SEND,
                                                   RVT_WR_ATOMIC_FETCH_AND_ADD};
                const uint32_t opcode = opcodes[next_random(&random) % 4];
                const uint32_t length =
                    opcode == RVT_WR_ATOMIC_FETCH_AND_ADD ? 8 : next_random(&random) % ROOM;
                end = (end + (length ? (length + rig.mtu - 1) / rig.mtu : 1)) & 0xffffff;
                ends[posted % 32] = end;
                kinds[posted % 32] = opcode;
                lengths_of[posted % 32] = length;
                post_it(&rig, &mr, posted++, opcode, length, 0);
            } else if (what < 6) {
                struct sent sent;
                for (uint32_t i = next_random(&random) % 8; i && take_packet(&rig, &sent); i--) {
                    const uint32_t behind =
                        sent.psn +
                        (sent.opcode == 0x0c && sent.length ? (sent.length + rig.mtu - 1) / rig.mtu : 1);
                    if (is_behind(behind, newest))
                        newest = behind & 0xffffff;
                }
            } else if (what == 6) {
                tick_at(&rig, rig.now + next_random(&random) % 30000);
            } else if (what < 12 && ended < posted && kinds[ended % 32] == RVT_WR_RDMA_READ) {
                /* All responses that it may wait for, in order. */
                const uint32_t length = lengths_of[ended % 32];
                const uint32_t responses = length ? (length + rig.mtu - 1) / rig.mtu : 1;
                for (uint32_t i = 0; i < responses; i++) {
                    const bool last = i + 1 == responses;
                    answer_read(&rig,
                                last ? (i ? 0x0f : 0x10)
                                : i  ? 0x0e
                                     : 0x0d,
                                ends[ended % 32] - responses + i, answers,
                                last ? length - i * rig.mtu : rig.mtu);
                }
            } else if (what < 12 && ended < posted && kinds[ended % 32] == RVT_WR_ATOMIC_FETCH_AND_ADD) {
                answer_atomic(&rig, ends[ended % 32] - 1, 5);
            } else {
                struct packet p;
                const unsigned opcode = next_random(&random) % 8 ? 0x11 : 0x0d + next_random(&random) % 6;
                /* Behind the newest one as well. */
                const uint32_t number = (newest + 2 - next_random(&random) % 16) & 0xffffff;
                static const uint32_t sizes[] = {0, 8, 256, 512, 1024};
                const uint32_t bytes = opcode == 0x11 || opcode == 0x12 ? 0
                                       : next_random(&random) % 2       ? sizes[next_random(&random) % 5]
                                                                        : next_random(&random) % 1100;
                const bool ordinary = next_random(&random) % 16 != 0;
                begin_answer(&rig, &p, opcode, number, bytes);
                if (opcode != 0x0e)
                    put_32(&p, ordinary ? 0x1f000000 : next_random(&random));
                if (opcode == 0x12)
                    put_64(&p, 0x1234);
                put_payload(&p, bytes);
                deliver(&rig, &p);
                /* A PSN that was not sent ends nothing. */
                unsent = !is_behind(newest, number);
            }
            struct rvt_wc wc;
            while (rvt_poll_cq(rig.qp.scq, 1, &wc) == 1) {
                CHECK(!unsent);
                CHECK_EQ(wc.wr_id, ended);
                if (wc.status)
                    alive = false;
                else
                    CHECK(!is_behind(ends[ended % 32], newest)); /* all of it was sent */
                ended++;
                failed += wc.status != 0;
                completed += !wc.status;
            }
            CHECK(ended <= posted);
        }
        struct rvt_wc wc;
        CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_ERR), 0);
        while (rvt_poll_cq(rig.qp.scq, 1, &wc) == 1)
            CHECK_EQ(wc.wr_id, ended++);
        CHECK_EQ(ended, posted);
        for (uint32_t i = 0; i < 64; i++) {
            CHECK_EQ(memory[PAGE - 1 - i], 0xcc);
            CHECK_EQ(memory[PAGE + ROOM + i], 0xcc);
        }
        AT_REST(mr);
        rig_close(&rig);
    }
    /* The peer was not so hostile that nothing worked. */
    CHECK(completed > 4000);
    CHECK(failed > 400);
}

CHECK_MAIN(TEST(messages_are_cut_into_packets), TEST(an_icrc_is_sealed_over_what_was_sent),
           TEST(reads_reserve_the_psns_of_their_responses), TEST(atomics), TEST(an_atomic_has_one_psn),
           TEST(at_most_128_psns_are_in_flight), TEST(a_read_longer_than_the_window_goes_alone),
           TEST(max_rd_atomic_limits_reads_and_atomics_together), TEST(a_fence_waits_for_reads_and_atomics),
           TEST(acknowledgements_cover_what_comes_before), TEST(ghost_answers_complete_nothing),
           TEST(the_msn_is_not_looked_at), TEST(reserved_syndromes_are_dropped),
           TEST(an_acknowledgement_past_a_read_does_not_complete_it),
           TEST(an_acknowledgement_of_a_read_asks_for_its_responses),
           TEST(a_response_acknowledges_what_comes_before_it), TEST(a_read_is_resumed_from_the_gap),
           TEST(a_gap_is_asked_for_once), TEST(a_bad_response_in_its_turn_fails_the_read),
           TEST(a_response_to_a_message_or_an_atomic), TEST(fatal_naks),
           TEST(a_fatal_nak_behind_a_read_without_its_responses), TEST(a_resumed_read_is_refused),
           TEST(a_sequence_nak_goes_back), TEST(sequence_naks_are_retries),
           TEST(rnr_naks_wait_as_long_as_the_peer_says), TEST(rnr_retries_end),
           TEST(an_acknowledgement_ends_the_wait_for_a_receive), TEST(the_timer_is_due_at_its_microsecond),
           TEST(progress_restarts_the_timer), TEST(retries_end), TEST(retransmissions_read_the_memory_again),
           TEST(an_acknowledgement_overtakes_the_retransmission),
           TEST(bytes_that_cannot_be_read_fail_the_request_in_its_turn),
           TEST(responses_that_cannot_be_stored_fail_the_request), TEST(a_region_that_is_forced_away),
           TEST(in_sqd_what_has_begun_is_carried_on_with), TEST(a_wait_for_a_receive_ends_in_sqd_too),
           TEST(a_queue_pair_that_ends_in_the_middle), TEST(the_endpoint_closes_in_the_middle),
           TEST(unsignaled_requests_complete_silently), TEST(a_full_completion_queue_fails_the_queue_pair),
           TEST(local_operations_are_completed_in_their_turn), TEST(an_invalidation_holds_back_what_follows),
           TEST(local_operations_in_sqd), TEST(the_host_is_woken_when_there_is_work),
           TEST(a_queue_pair_without_a_send_queue), TEST(connecting_without_memory_leaves_the_queue_pair),
           TEST(long_runs), TEST(any_answers_in_any_order))
