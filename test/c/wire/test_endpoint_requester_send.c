/* SPDX-License-Identifier: BSD-3-Clause */
/* The packets of a requester: how requests are cut into them, and when they are sent. */
#include "requester_rig.h"

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
    /* Nor does a READ begin behind a full window. */
    REQUIRE(rig_open(&rig));
    mr = make_mr(&rig.v, memory, BIG);
    for (uint64_t i = 0; i < WINDOW; i++)
        write_it(&rig, &mr, i, 64);
    read_it(&rig, &mr, WINDOW, 64);
    add_it(&rig, &mr, WINDOW + 1);
    CHECK_EQ(take_all(&rig), WINDOW);
    answer_ack(&rig, psn(0));
    READ_PACKET(&rig, WINDOW, 0, 64);
    NO_PACKET(&rig);
    answer_ack(&rig, psn(1));
    ADD_PACKET(&rig, WINDOW + 1);
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

/* The depth can become 0 when READs are queued already: they are asked for one by one. */
static void a_depth_of_0_counts_as_1(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_SQD), 0);
    read_it(&rig, &mr, 1, 8);
    add_it(&rig, &mr, 2);
    CHECK_EQ(rvt_modify_qp(rig.qp.handle, &(struct rvt_qp_attr){.max_rd_atomic = 0}, RVT_QPA_MAX_RD_ATOMIC),
             0);
    CHECK_EQ(rvt_modify_qp(rig.qp.handle, &(struct rvt_qp_attr){.state = RVT_QPS_RTS}, RVT_QPA_STATE), 0);
    READ_PACKET(&rig, 0, 0, 8);
    NO_PACKET(&rig);
    answer_read(&rig, 0x10, psn(0), answers, 8);
    ADD_PACKET(&rig, 1);
    rig_close(&rig);
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

CHECK_MAIN(TEST(messages_are_cut_into_packets), TEST(an_icrc_is_sealed_over_what_was_sent),
           TEST(reads_reserve_the_psns_of_their_responses), TEST(atomics), TEST(an_atomic_has_one_psn),
           TEST(at_most_128_psns_are_in_flight), TEST(a_read_longer_than_the_window_goes_alone),
           TEST(max_rd_atomic_limits_reads_and_atomics_together), TEST(a_depth_of_0_counts_as_1),
           TEST(a_fence_waits_for_reads_and_atomics))
