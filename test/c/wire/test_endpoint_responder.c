/* SPDX-License-Identifier: BSD-3-Clause */
/* The responder of a connection: the order of packets, and messages (SEND and WRITE). test_endpoint_reads has READs and
 * atomic operations, test_endpoint_refusals what a peer learns of refusals. */
#include "requests.h"

enum {
    SEND_FIRST = RVT_BTH_RC_SEND_FIRST,
    SEND_MIDDLE = RVT_BTH_RC_SEND_MIDDLE,
    SEND_LAST = RVT_BTH_RC_SEND_LAST,
    SEND_LAST_IMM = RVT_BTH_RC_SEND_LAST_WITH_IMM,
    SEND_LAST_INV = RVT_BTH_RC_SEND_LAST_WITH_INV,
    SEND_ONLY = RVT_BTH_RC_SEND_ONLY,
    SEND_ONLY_IMM = RVT_BTH_RC_SEND_ONLY_WITH_IMM,
    SEND_ONLY_INV = RVT_BTH_RC_SEND_ONLY_WITH_INV,
    WRITE_FIRST = RVT_BTH_RC_WRITE_FIRST,
    WRITE_MIDDLE = RVT_BTH_RC_WRITE_MIDDLE,
    WRITE_LAST = RVT_BTH_RC_WRITE_LAST,
    WRITE_LAST_IMM = RVT_BTH_RC_WRITE_LAST_WITH_IMM,
    WRITE_ONLY = RVT_BTH_RC_WRITE_ONLY,
    WRITE_ONLY_IMM = RVT_BTH_RC_WRITE_ONLY_WITH_IMM,
    READ = RVT_BTH_RC_READ_REQUEST,
    PSN = FIRST_PSN,
};

/* Bytes [at, at + length) of the memory are those of a payload with this seed; those around them are unchanged. */
static void holds(const struct responding *r, uint32_t at, uint32_t length, unsigned seed, int line) {
    unsigned char expected[MEMORY_BYTES];
    count_up(expected, length, seed);
    check_bytes(r->memory + at, expected, length, "the bytes", __FILE__, line);
    check_equal(r->memory[at + length], 0xee, "the byte behind", "unchanged", __FILE__, line);
}

#define HOLDS(r, at, length, seed) holds((r), (at), (length), (seed), __LINE__)
#define UNTOUCHED(r)                                                                                         \
    for (uint32_t byte_ = 0; byte_ < MEMORY_BYTES; byte_++)                                                  \
        if ((r)->memory[byte_] != 0xee) {                                                                    \
            (void)check_true(false, "memory is untouched", __FILE__, __LINE__);                              \
            break;                                                                                           \
        }

/* A receive into the memory at `at`. */
static void give_receive(struct responding *r, uint64_t wr_id, uint32_t at, uint32_t length) {
    const struct rvt_ib_sge sge = sge_at(&r->mr, at, length);
    CHECK_EQ(post_receive(&r->qp, wr_id, &sge, 1), 0);
}

#define RECEIVED(r, ...)                                                                                     \
    WC((r)->qp.rcq, .qp_num = (r)->qp.qpn, .src_qp = PEER_QPN, .status = RVT_WC_STATUS_SUCCESS, .sl = 5,     \
       .port = 1, __VA_ARGS__)

/* --- WRITE --- */

static void writes_messages_of_one_packet(void) {
    static const uint32_t lengths[] = {1, 2, 3, 4, 5, 255, 256};
    struct responding r;
    REQUIRE(responding_open(&r));
    uint32_t psn = PSN;
    for (unsigned i = 0; i < 7; i++, psn++) {
        const uint32_t at = 8 + i * 512;
        ASK(&r, .opcode = WRITE_ONLY, .ack = true, .psn = psn, .addr = r.mr.addr + at, .rkey = r.mr.key,
            .length = lengths[i], .bytes = lengths[i], .seed = i);
        HOLDS(&r, at, lengths[i], i);
        CHECK_EQ(r.memory[at - 1], 0xee);
        ACKS(&r, psn, ACK, i + 1);
        NO_ANSWER(&r);
    }
    CHECK_EQ(counters_of(&r).received, 7);
    CHECK_EQ(counters_of(&r).sent, 7);
    CHECK_EQ(counters_of(&r).bytes_received, 1 + 2 + 3 + 4 + 5 + 255 + 256);
    NO_WC(r.qp.rcq);
    AT_REST(r.mr);
    responding_close(&r);
}

static void an_empty_write_needs_no_key(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = 12345, .rkey = 0xdeadbeef);
    ACKS(&r, PSN, ACK, 1);
    CHECK_EQ(post_receive(&r.qp, 7, NULL, 0), 0);
    ASK(&r, .opcode = WRITE_ONLY_IMM, .psn = PSN + 1, .rkey = 0xdeadbeef, .imm = 0x01020304);
    ACKS(&r, PSN + 1, ACK, 2);
    RECEIVED(&r, .wr_id = 7, .opcode = RVT_WC_OPCODE_RECV_RDMA_WITH_IMM, .flags = RVT_WC_WITH_IMM,
             .imm_or_inv = 0x01020304);
    UNTOUCHED(&r);
    responding_close(&r);
}

static void an_empty_write_needs_the_right_of_the_queue_pair(void) {
    struct responding_options options = {.attr = responder_attr()};
    struct responding r;
    options.attr.access = REMOTE_READ;
    REQUIRE(responding_open_with(&r, options));
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN);
    ACKS(&r, PSN, NAK_INVALID, 0);
    REFUSED(&r, WRITE_ONLY, PSN, NAK_INVALID, RVT_WHY_QP_ACCESS);
    IS_DEAD(&r);
    responding_close(&r);
}

static void writes_messages_of_several_packets(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = WRITE_FIRST, .psn = PSN, .addr = r.mr.addr + 16, .rkey = r.mr.key,
        .length = 3 * MTU + 5, .bytes = MTU, .seed = 1);
    HOLDS(&r, 16, MTU, 1);
    NO_ANSWER(&r); /* not asked for */
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = PSN + 1, .ack = true, .bytes = MTU, .seed = 2);
    HOLDS(&r, 16 + MTU, MTU, 2);
    ACKS(&r, PSN + 1, ACK, 0);
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = PSN + 2, .bytes = MTU, .seed = 3);
    NO_ANSWER(&r);
    ASK(&r, .opcode = WRITE_LAST, .psn = PSN + 3, .bytes = 5, .seed = 4);
    HOLDS(&r, 16 + 3 * MTU, 5, 4);
    ACKS(&r, PSN + 3, ACK, 1); /* the end of a message is acknowledged unasked */
    NO_ANSWER(&r);
    /* A last packet may be full. */
    ASK(&r, .opcode = WRITE_FIRST, .psn = PSN + 4, .addr = r.mr.addr, .rkey = r.mr.key, .length = 2 * MTU,
        .bytes = MTU);
    ASK(&r, .opcode = WRITE_LAST, .psn = PSN + 5, .ack = true, .bytes = MTU);
    ACKS(&r, PSN + 5, ACK, 2);
    responding_close(&r);
}

static void write_with_immediate_takes_a_receive_at_its_end(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = WRITE_FIRST, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = MTU + 10,
        .bytes = MTU, .seed = 1);
    ASK(&r, .opcode = WRITE_LAST_IMM, .psn = PSN + 1, .bytes = 10, .seed = 2, .imm = 0xcafe);
    ACKS(&r, PSN + 1, RNR_NAK, 0);
    HOLDS(&r, 0, MTU, 1); /* the last packet was not carried out */
    CHECK_EQ(state_of(&r.qp), RVT_QPS_RTS);
    /* Elements of the receive are not looked at. */
    CHECK_EQ(post_receive(&r.qp, 9, &(struct rvt_ib_sge){1, 1, 1}, 1), 0);
    CHECK_EQ(query_qp(&r.qp).receives, 1);
    ASK(&r, .opcode = WRITE_LAST_IMM, .psn = PSN + 1, .bytes = 10, .seed = 2, .imm = 0xcafe,
        .solicited = true);
    ACKS(&r, PSN + 1, ACK, 1);
    HOLDS(&r, MTU, 10, 2);
    RECEIVED(&r, .wr_id = 9, .opcode = RVT_WC_OPCODE_RECV_RDMA_WITH_IMM, .flags = RVT_WC_WITH_IMM,
             .imm_or_inv = 0xcafe, .byte_len = MTU + 10);
    CHECK_EQ(post_receive(&r.qp, 10, NULL, 0), 0);
    ASK(&r, .opcode = WRITE_ONLY_IMM, .psn = PSN + 2, .addr = r.mr.addr + 1024, .rkey = r.mr.key, .length = 3,
        .bytes = 3, .seed = 3, .imm = 1);
    HOLDS(&r, 1024, 3, 3);
    RECEIVED(&r, .wr_id = 10, .opcode = RVT_WC_OPCODE_RECV_RDMA_WITH_IMM, .flags = RVT_WC_WITH_IMM,
             .imm_or_inv = 1, .byte_len = 3);
    ACKS(&r, PSN + 2, ACK, 2);
    CHECK_EQ(counters_of(&r).rnr_naks, 1);
    responding_close(&r);
}

/* The flags of the queue pair come before the receive, the receive before the key: as by loopback. */
static void write_with_immediate_is_judged_in_order(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = WRITE_ONLY_IMM, .psn = PSN, .addr = r.mr.addr, .rkey = 1, .length = 4, .bytes = 4);
    ACKS(&r, PSN, RNR_NAK, 0);
    CHECK_EQ(post_receive(&r.qp, 3, NULL, 0), 0);
    ASK(&r, .opcode = WRITE_ONLY_IMM, .psn = PSN, .addr = r.mr.addr, .rkey = no_such_key(&r), .length = 4,
        .bytes = 4);
    ACKS(&r, PSN, NAK_ACCESS, 0);
    WC(r.qp.rcq, .wr_id = 3, .qp_num = r.qp.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_REMOTE_REFUSED, .refused = {.reason = RVT_NO_SUCH_KEY});
    IS_DEAD(&r);
    responding_close(&r);

    struct responding_options options = {.attr = responder_attr()};
    options.attr.access = REMOTE_READ;
    REQUIRE(responding_open_with(&r, options));
    ASK(&r, .opcode = WRITE_ONLY_IMM, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 4,
        .bytes = 4);
    ACKS(&r, PSN, NAK_INVALID, 0);
    REFUSED(&r, WRITE_ONLY_IMM, PSN, NAK_INVALID, RVT_WHY_QP_ACCESS);
    IS_DEAD(&r);
    responding_close(&r);
}

/* --- SEND --- */

static void receives_messages_of_one_packet(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    give_receive(&r, 1, 0, 100);
    give_receive(&r, 2, 1000, 256);
    give_receive(&r, 3, 2000, 3);
    CHECK_EQ(post_receive(&r.qp, 4, NULL, 0), 0);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN, .ack = true, .bytes = 60, .seed = 1);
    HOLDS(&r, 0, 60, 1);
    RECEIVED(&r, .wr_id = 1, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 60);
    ACKS(&r, PSN, ACK, 1);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 1, .bytes = 256, .seed = 2);
    HOLDS(&r, 1000, 256, 2);
    RECEIVED(&r, .wr_id = 2, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 256);
    ASK(&r, .opcode = SEND_ONLY_IMM, .psn = PSN + 2, .bytes = 3, .seed = 3, .imm = 0xfffffffe);
    HOLDS(&r, 2000, 3, 3);
    RECEIVED(&r, .wr_id = 3, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 3, .flags = RVT_WC_WITH_IMM,
             .imm_or_inv = 0xfffffffe);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 3);
    RECEIVED(&r, .wr_id = 4, .opcode = RVT_WC_OPCODE_RECV);
    ACKS(&r, PSN + 3, ACK, 4); /* one for all three */
    NO_ANSWER(&r);
    AT_REST(r.mr);
    responding_close(&r);
}

static void receives_messages_of_several_packets(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    /* Three elements, with ends in the middle of packets. */
    const struct rvt_ib_sge sges[] = {sge_at(&r.mr, 0, 100), sge_at(&r.mr, 1000, 300),
                                      sge_at(&r.mr, 4000, 1000)};
    unsigned char sent[2 * MTU + 7];
    count_up(sent, MTU, 1);
    count_up(sent + MTU, MTU, 2);
    count_up(sent + 2 * MTU, 7, 3);
    CHECK_EQ(post_receive(&r.qp, 5, sges, 3), 0);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 1);
    NO_ANSWER(&r);
    NO_WC(r.qp.rcq);
    ASK(&r, .opcode = SEND_MIDDLE, .psn = PSN + 1, .bytes = MTU, .seed = 2);
    ASK(&r, .opcode = SEND_LAST_IMM, .psn = PSN + 2, .bytes = 7, .seed = 3, .imm = 77);
    RECEIVED(&r, .wr_id = 5, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 2 * MTU + 7, .flags = RVT_WC_WITH_IMM,
             .imm_or_inv = 77);
    ACKS(&r, PSN + 2, ACK, 1);
    CHECK_BYTES_EQ(r.memory, sent, 100);
    CHECK_EQ(r.memory[100], 0xee);
    CHECK_BYTES_EQ(r.memory + 1000, sent + 100, 300);
    CHECK_EQ(r.memory[1300], 0xee);
    CHECK_BYTES_EQ(r.memory + 4000, sent + 400, 2 * MTU + 7 - 400);
    CHECK_EQ(r.memory[4000 + 2 * MTU + 7 - 400], 0xee);
    AT_REST(r.mr);
    give_receive(&r, 6, 0, 2 * MTU);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN + 3, .bytes = MTU, .seed = 8);
    ASK(&r, .opcode = SEND_LAST, .psn = PSN + 4, .bytes = MTU, .seed = 9);
    RECEIVED(&r, .wr_id = 6, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 2 * MTU);
    ACKS(&r, PSN + 4, ACK, 2);
    responding_close(&r);
}

static void invalidates_keys(void) {
    static unsigned char other[64];
    struct responding r;
    REQUIRE(responding_open(&r));
    const struct vmr mine = make_mr(&r.v, other, sizeof(other));
    for (uint64_t i = 0; i < 4; i++)
        give_receive(&r, i, 0, 1024);
    ASK(&r, .opcode = SEND_ONLY_INV, .psn = PSN, .bytes = 5, .seed = 1, .inv = mine.key);
    RECEIVED(&r, .wr_id = 0, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 5, .flags = RVT_WC_WITH_INVALIDATE,
             .imm_or_inv = mine.key);
    ACKS(&r, PSN, ACK, 1);
    /* A key that cannot be invalidated: the message arrives nevertheless. */
    ASK(&r, .opcode = SEND_ONLY_INV, .psn = PSN + 1, .bytes = 5, .inv = 0x123456);
    RECEIVED(&r, .wr_id = 1, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 5);
    ACKS(&r, PSN + 1, ACK, 2);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN + 2, .bytes = MTU);
    ASK(&r, .opcode = SEND_LAST_INV, .psn = PSN + 3, .bytes = 1, .inv = r.mr.key);
    RECEIVED(&r, .wr_id = 2, .opcode = RVT_WC_OPCODE_RECV, .byte_len = MTU + 1,
             .flags = RVT_WC_WITH_INVALIDATE, .imm_or_inv = r.mr.key);
    ACKS(&r, PSN + 3, ACK, 3);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN + 4, .addr = mine.addr, .rkey = mine.key, .length = 1,
        .bytes = 1, .seed = 9);
    ACKS(&r, PSN + 4, NAK_ACCESS, 3);
    CHECK_EQ(r.refused[0].why.refused.reason, RVT_INVALIDATED);
    CHECK_EQ(other[0], 0);
    responding_close(&r);
}

static void solicited_messages_wake_the_completion_queue(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    for (uint64_t i = 0; i < 2; i++)
        give_receive(&r, i, 0, 1024);
    CHECK_EQ(rvt_req_notify_cq(r.qp.rcq, RVT_NOTIFY_SOLICITED), 0);
    r.v.events_seen = r.v.event_count;
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN, .bytes = 5);
    CHECK_EQ(r.v.event_count, r.v.events_seen);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 1, .bytes = 5, .solicited = true);
    EVENT(&r.v, RVT_EVENT_COMPLETION, cq_serial(r.qp.rcq));
    NO_EVENT(&r.v);
    responding_close(&r);
}

static void receives_from_a_shared_queue(void) {
    struct responding r;
    REQUIRE(responding_open_with(&r, (struct responding_options){.with_srq = true}));
    struct rvt_ib_sge sge = sge_at(&r.mr, 0, 1000);
    CHECK_EQ(rvt_post_srq_recv(r.srq, &(struct rvt_recv_wr){11, &sge, 1}, 1, NULL), 0);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN, .bytes = 8, .seed = 4);
    RECEIVED(&r, .wr_id = 11, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 8);
    HOLDS(&r, 0, 8, 4);
    ACKS(&r, PSN, ACK, 1);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 1, .bytes = 8, .seed = 4);
    ACKS(&r, PSN + 1, RNR_NAK, 1);
    CHECK_EQ(rvt_post_srq_recv(r.srq, &(struct rvt_recv_wr){12, &sge, 1}, 1, NULL), 0);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN + 1, .bytes = MTU, .seed = 5);
    NO_ANSWER(&r);
    /* The receive in hand ends with the queue pair, the others stay. */
    CHECK_EQ(rvt_post_srq_recv(r.srq, &(struct rvt_recv_wr){13, &sge, 1}, 1, NULL), 0);
    r.v.events_seen = r.v.event_count;
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN + 2, .bytes = MTU, .seed = 5);
    ACKS(&r, PSN + 2, NAK_INVALID, 1);
    EVENT(&r.v, RVT_EVENT_LAST_WQE, r.qp.serial);
    WC(r.qp.rcq, .wr_id = 12, .qp_num = r.qp.qpn, .status = RVT_WC_STATUS_LOC_QP_OP_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_BAD_PACKET);
    NO_WC(r.qp.rcq);
    IS_DEAD(&r);
    responding_close(&r);
}

/* --- order of packets --- */

static void acknowledges_with_the_newest_psn(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    for (uint32_t i = 0; i < 5; i++)
        ASK(&r, .opcode = WRITE_ONLY, .ack = true, .psn = PSN + i, .addr = r.mr.addr, .rkey = r.mr.key,
            .length = 1, .bytes = 1);
    ASK(&r, .opcode = WRITE_FIRST, .psn = PSN + 5, .addr = r.mr.addr, .rkey = r.mr.key, .length = MTU + 1,
        .bytes = MTU);
    ACKS(&r, PSN + 5, ACK, 5);
    NO_ANSWER(&r);
    responding_close(&r);
}

static void repeated_messages_are_acknowledged_and_not_carried_out(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    give_receive(&r, 1, 4096, 1024);
    give_receive(&r, 2, 4096, 1024);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 9, .bytes = 9,
        .seed = 1);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 1, .bytes = 9);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN + 2, .addr = r.mr.addr + 512, .rkey = r.mr.key, .length = 9,
        .bytes = 9, .seed = 3);
    ACKS(&r, PSN + 2, ACK, 3);
    /* Each again, with other bytes, also with what would be refused now. Without AckReq, too. */
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = 1, .length = 8, .bytes = 9,
        .seed = 5);
    ACKS(&r, PSN + 2, ACK, 3);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 1, .bytes = 9, .ack = true);
    ACKS(&r, PSN + 2, ACK, 3);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN - 1, .bytes = 9); /* before the first of all */
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = PSN + 1, .bytes = MTU);
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = PSN + 2, .bytes = 1);
    ACKS(&r, PSN + 2, ACK, 3);
    NO_ANSWER(&r);
    HOLDS(&r, 0, 9, 1);
    HOLDS(&r, 512, 9, 3);
    RECEIVED(&r, .wr_id = 1, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 9);
    NO_WC(r.qp.rcq);
    CHECK_EQ(query_qp(&r.qp).receives, 1);
    CHECK_EQ(counters_of(&r).duplicates, 5);
    CHECK_EQ(r.refusals, 0);
    /* The next one goes on. */
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 3, .bytes = 1);
    ACKS(&r, PSN + 3, ACK, 4);
    RECEIVED(&r, .wr_id = 2, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 1);
    responding_close(&r);
}

/* Packets of a message that come again in the middle of it do not disturb it. */
static void repeated_packets_do_not_disturb_a_message(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    give_receive(&r, 1, 0, 1024);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 1);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 2);
    ACKS(&r, PSN, ACK, 0);
    ASK(&r, .opcode = SEND_MIDDLE, .psn = PSN + 1, .bytes = MTU, .seed = 3);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 2);
    ASK(&r, .opcode = SEND_LAST, .psn = PSN + 2, .bytes = 4, .seed = 4);
    ACKS(&r, PSN + 2, ACK, 1);
    RECEIVED(&r, .wr_id = 1, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 2 * MTU + 4);
    unsigned char sent[MTU];
    count_up(sent, MTU, 1);
    CHECK_BYTES_EQ(r.memory, sent, MTU);
    HOLDS(&r, 2 * MTU, 4, 4);
    responding_close(&r);
}

static void asks_once_for_a_lost_packet(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1, .bytes = 1);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN + 2, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1,
        .bytes = 1, .seed = 50);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN + 3, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1,
        .bytes = 1, .seed = 50);
    ACKS(&r, PSN + 1, NAK_SEQUENCE, 1); /* acknowledges the first as well */
    NO_ANSWER(&r);
    for (uint32_t i = 0; i < 5; i++)
        ASK(&r, .opcode = WRITE_ONLY, .psn = PSN + 2 + i, .ack = true, .addr = r.mr.addr, .rkey = r.mr.key,
            .length = 1, .bytes = 1, .seed = 50);
    NO_ANSWER(&r);
    CHECK_EQ(r.memory[0], 0);
    CHECK_EQ(counters_of(&r).out_of_order, 7);
    CHECK_EQ(counters_of(&r).sequence_naks, 1);
    /* What came before is acknowledged again meanwhile. */
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1, .bytes = 1);
    ACKS(&r, PSN, ACK, 1);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN + 1, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1,
        .bytes = 1, .seed = 7);
    ACKS(&r, PSN + 1, ACK, 2);
    CHECK_EQ(r.memory[0], 7);
    /* The next gap is another one. */
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN + 9, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1,
        .bytes = 1);
    ACKS(&r, PSN + 2, NAK_SEQUENCE, 2);
    responding_close(&r);
}

/* A NAK that was not sent before the packet came is not sent. */
static void a_packet_that_was_only_late_is_not_asked_for(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN + 1, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1,
        .bytes = 1);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1, .bytes = 1);
    ACKS(&r, PSN, ACK, 1);
    NO_ANSWER(&r);
    responding_close(&r);
}

static void waits_for_a_receive(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1, .bytes = 1);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN + 1, .bytes = MTU, .seed = 1);
    ASK(&r, .opcode = SEND_MIDDLE, .psn = PSN + 2, .bytes = MTU, .seed = 2);
    ASK(&r, .opcode = SEND_LAST, .psn = PSN + 3, .bytes = 2, .seed = 3, .ack = true);
    ACKS(&r, PSN + 1, RNR_NAK, 1);
    NO_ANSWER(&r);
    ASK(&r, .opcode = SEND_MIDDLE, .psn = PSN + 2, .bytes = MTU, .seed = 2, .ack = true);
    NO_ANSWER(&r);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN + 1, .bytes = MTU, .seed = 1);
    ACKS(&r, PSN + 1, RNR_NAK, 1);
    CHECK_EQ(counters_of(&r).rnr_naks, 2);
    CHECK_EQ(counters_of(&r).sequence_naks, 0);
    /* The code of the timer is read when it is sent. */
    struct rvt_qp_attr attr = {.min_rnr_timer = 0};
    CHECK_EQ(rvt_modify_qp(r.qp.handle, &attr, RVT_QPA_MIN_RNR_TIMER), 0);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN + 1, .bytes = MTU, .seed = 1);
    ACKS(&r, PSN + 1, 0x20, 1);
    attr.min_rnr_timer = 31;
    CHECK_EQ(rvt_modify_qp(r.qp.handle, &attr, RVT_QPA_MIN_RNR_TIMER), 0);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN + 1, .bytes = MTU, .seed = 1);
    ACKS(&r, PSN + 1, 0x3f, 1);
    give_receive(&r, 8, 1024, 1024);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN + 1, .bytes = MTU, .seed = 1);
    ASK(&r, .opcode = SEND_MIDDLE, .psn = PSN + 2, .bytes = MTU, .seed = 2);
    ASK(&r, .opcode = SEND_LAST, .psn = PSN + 3, .bytes = 2, .seed = 3, .ack = true);
    ACKS(&r, PSN + 3, ACK, 2);
    RECEIVED(&r, .wr_id = 8, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 2 * MTU + 2);
    HOLDS(&r, 1024 + 2 * MTU, 2, 3);
    /* A receive that comes before the NAK was sent makes it needless. */
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 4, .bytes = 1);
    give_receive(&r, 9, 1024, 1024);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 4, .bytes = 1);
    ACKS(&r, PSN + 4, ACK, 3);
    NO_ANSWER(&r);
    responding_close(&r);
}

static void psns_wrap_around(void) {
    struct responding_options options = {.attr = responder_attr()};
    struct responding r;
    options.attr.rq_psn = 0xfffffe;
    REQUIRE(responding_open_with(&r, options));
    ASK(&r, .opcode = WRITE_ONLY, .psn = 1, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1, .bytes = 1);
    ACKS(&r, 0xfffffe, NAK_SEQUENCE, 0);
    ASK(&r, .opcode = WRITE_FIRST, .psn = 0xfffffe, .addr = r.mr.addr, .rkey = r.mr.key,
        .length = 3 * MTU + 1, .bytes = MTU, .seed = 1);
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = 0xffffff, .ack = true, .bytes = MTU, .seed = 2);
    ACKS(&r, 0xffffff, ACK, 0);
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = 0, .ack = true, .bytes = MTU, .seed = 3);
    ACKS(&r, 0, ACK, 0);
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = 0xffffff, .bytes = MTU, .seed = 9);
    ACKS(&r, 0, ACK, 0);
    ASK(&r, .opcode = WRITE_LAST, .psn = 1, .bytes = 1, .seed = 4);
    ACKS(&r, 1, ACK, 1);
    HOLDS(&r, 3 * MTU, 1, 4);
    /* Half of all PSNs are behind, half ahead. */
    ASK(&r, .opcode = WRITE_ONLY, .psn = 0x800002, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1,
        .bytes = 1);
    ACKS(&r, 1, ACK, 1);
    ASK(&r, .opcode = WRITE_ONLY, .psn = 0x800001, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1,
        .bytes = 1);
    ACKS(&r, 2, NAK_SEQUENCE, 1);
    responding_close(&r);
}

static void counts_messages_modulo_2_24(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    connection_of(&r.qp)->responder.msn = 0xfffffe;
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .rkey = 1);
    ACKS(&r, PSN, ACK, 0xffffff);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN + 1, .rkey = 1);
    ACKS(&r, PSN + 1, ACK, 0);
    responding_close(&r);
}

/* --- packets that break the rules --- */

struct broken {
    const char *what;
    struct request before, bad; /* `before`: opcode 0xff: none */
};

/* Each ends the connection with a NAK of the class "invalid request", and moves nothing but what `before` moves. */
static void broken_rules_end_the_connection(void) {
    enum { NONE = 0xff, L = 3 * MTU };
#define BEFORE_WRITE .before = {.opcode = WRITE_FIRST, .bytes = MTU, .length = L }
#define BEFORE_SEND .before = {.opcode = SEND_FIRST, .bytes = MTU}
#define AT_ONCE_ .before = {.opcode = NONE}
    static const struct broken all[] = {
        {"SEND MIDDLE without FIRST", AT_ONCE_, .bad = {.opcode = SEND_MIDDLE, .bytes = MTU}},
        {"SEND LAST without FIRST", AT_ONCE_, .bad = {.opcode = SEND_LAST, .bytes = 4}},
        {"SEND LAST WITH IMM without FIRST", AT_ONCE_, .bad = {.opcode = SEND_LAST_IMM, .bytes = 4}},
        {"SEND LAST WITH INV without FIRST", AT_ONCE_, .bad = {.opcode = SEND_LAST_INV, .bytes = 4}},
        {"WRITE MIDDLE without FIRST", AT_ONCE_, .bad = {.opcode = WRITE_MIDDLE, .bytes = MTU}},
        {"WRITE LAST without FIRST", AT_ONCE_, .bad = {.opcode = WRITE_LAST, .bytes = 4}},
        {"WRITE LAST WITH IMM without FIRST", AT_ONCE_, .bad = {.opcode = WRITE_LAST_IMM, .bytes = 4}},
        {"SEND FIRST in a SEND", BEFORE_SEND, .bad = {.opcode = SEND_FIRST, .bytes = MTU}},
        {"SEND ONLY in a SEND", BEFORE_SEND, .bad = {.opcode = SEND_ONLY, .bytes = 4}},
        {"WRITE FIRST in a SEND", BEFORE_SEND, .bad = {.opcode = WRITE_FIRST, .bytes = MTU, .length = L}},
        {"WRITE MIDDLE in a SEND", BEFORE_SEND, .bad = {.opcode = WRITE_MIDDLE, .bytes = MTU}},
        {"WRITE LAST in a SEND", BEFORE_SEND, .bad = {.opcode = WRITE_LAST, .bytes = 4}},
        {"WRITE ONLY in a SEND", BEFORE_SEND, .bad = {.opcode = WRITE_ONLY, .bytes = 4, .length = 4}},
        {"READ in a SEND", BEFORE_SEND, .bad = {.opcode = READ, .length = 4}},
        {"atomic in a SEND", BEFORE_SEND, .bad = {.opcode = RVT_BTH_RC_FETCH_ADD, .swap_add = 1}},
        {"WRITE FIRST in a WRITE", BEFORE_WRITE, .bad = {.opcode = WRITE_FIRST, .bytes = MTU, .length = L}},
        {"WRITE ONLY in a WRITE", BEFORE_WRITE, .bad = {.opcode = WRITE_ONLY, .bytes = 4, .length = 4}},
        {"WRITE ONLY WITH IMM in a WRITE", BEFORE_WRITE,
         .bad = {.opcode = WRITE_ONLY_IMM, .bytes = 4, .length = 4}},
        {"SEND FIRST in a WRITE", BEFORE_WRITE, .bad = {.opcode = SEND_FIRST, .bytes = MTU}},
        {"SEND MIDDLE in a WRITE", BEFORE_WRITE, .bad = {.opcode = SEND_MIDDLE, .bytes = MTU}},
        {"SEND LAST in a WRITE", BEFORE_WRITE, .bad = {.opcode = SEND_LAST, .bytes = 4}},
        {"SEND ONLY in a WRITE", BEFORE_WRITE, .bad = {.opcode = SEND_ONLY, .bytes = 4}},
        {"READ in a WRITE", BEFORE_WRITE, .bad = {.opcode = READ, .length = 4}},
        {"atomic in a WRITE", BEFORE_WRITE, .bad = {.opcode = RVT_BTH_RC_CMP_SWAP}},
        {"FIRST of no path MTU", AT_ONCE_, .bad = {.opcode = WRITE_FIRST, .bytes = MTU - 4, .length = L}},
        {"FIRST of another path MTU", AT_ONCE_, .bad = {.opcode = WRITE_FIRST, .bytes = 512, .length = L}},
        {"empty FIRST", AT_ONCE_, .bad = {.opcode = SEND_FIRST}},
        {"SEND FIRST of another path MTU", AT_ONCE_, .bad = {.opcode = SEND_FIRST, .bytes = 512}},
        {"MIDDLE of another path MTU", BEFORE_WRITE, .bad = {.opcode = WRITE_MIDDLE, .bytes = 512}},
        {"MIDDLE with pad bytes", BEFORE_WRITE, .bad = {.opcode = WRITE_MIDDLE, .bytes = MTU - 1}},
        {"SEND MIDDLE of no path MTU", BEFORE_SEND, .bad = {.opcode = SEND_MIDDLE, .bytes = 100}},
        {"empty WRITE LAST", BEFORE_WRITE, .bad = {.opcode = WRITE_LAST}},
        {"empty SEND LAST", BEFORE_SEND, .bad = {.opcode = SEND_LAST}},
        {"LAST above the path MTU", BEFORE_WRITE, .bad = {.opcode = WRITE_LAST, .bytes = 2 * MTU}},
        {"SEND LAST above the path MTU", BEFORE_SEND, .bad = {.opcode = SEND_LAST, .bytes = MTU + 1}},
        {"SEND ONLY above the path MTU", AT_ONCE_, .bad = {.opcode = SEND_ONLY, .bytes = MTU + 1}},
        {"WRITE ONLY above the path MTU", AT_ONCE_,
         .bad = {.opcode = WRITE_ONLY, .bytes = MTU + 4, .length = MTU + 4}},
        {"READ with payload", AT_ONCE_, .bad = {.opcode = READ, .bytes = 4, .length = 4}},
        {"atomic with payload", AT_ONCE_, .bad = {.opcode = RVT_BTH_RC_FETCH_ADD, .bytes = 4}},
        {"WRITE ONLY longer than its RETH", AT_ONCE_, .bad = {.opcode = WRITE_ONLY, .bytes = 5, .length = 4}},
        {"WRITE ONLY shorter than its RETH", AT_ONCE_,
         .bad = {.opcode = WRITE_ONLY, .bytes = 4, .length = 5}},
        {"WRITE ONLY without its bytes", AT_ONCE_, .bad = {.opcode = WRITE_ONLY, .length = 5}},
        {"WRITE ONLY with bytes and no length", AT_ONCE_, .bad = {.opcode = WRITE_ONLY, .bytes = 4}},
        {"WRITE ONLY WITH IMM shorter than its RETH", AT_ONCE_,
         .bad = {.opcode = WRITE_ONLY_IMM, .bytes = 4, .length = 5}},
        {"WRITE FIRST of a single packet", AT_ONCE_,
         .bad = {.opcode = WRITE_FIRST, .bytes = MTU, .length = MTU}},
        {"WRITE FIRST longer than its RETH", AT_ONCE_,
         .bad = {.opcode = WRITE_FIRST, .bytes = MTU, .length = MTU - 1}},
        {"WRITE FIRST without length", AT_ONCE_, .bad = {.opcode = WRITE_FIRST, .bytes = MTU}},
        {"WRITE LAST too early", BEFORE_WRITE, .bad = {.opcode = WRITE_LAST, .bytes = MTU}},
        {"WRITE LAST WITH IMM too early", BEFORE_WRITE, .bad = {.opcode = WRITE_LAST_IMM, .bytes = MTU}},
        {"WRITE MIDDLE in place of LAST", .before = {.opcode = WRITE_FIRST, .bytes = MTU, .length = 2 * MTU},
         .bad = {.opcode = WRITE_MIDDLE, .bytes = MTU}},
        {"WRITE MIDDLE past the end", .before = {.opcode = WRITE_FIRST, .bytes = MTU, .length = MTU + 1},
         .bad = {.opcode = WRITE_MIDDLE, .bytes = MTU}},
        {"WRITE LAST past the end", .before = {.opcode = WRITE_FIRST, .bytes = MTU, .length = MTU + 1},
         .bad = {.opcode = WRITE_LAST, .bytes = 2}},
        {"WRITE above 2^31", AT_ONCE_, .bad = {.opcode = WRITE_FIRST, .bytes = MTU, .length = 0x80000001}},
        {"WRITE of 2^32 - 1", AT_ONCE_, .bad = {.opcode = WRITE_FIRST, .bytes = MTU, .length = 0xffffffff}},
        {"READ above 2^31", AT_ONCE_, .bad = {.opcode = READ, .length = 0x80000001}},
        {"READ of 2^32 - 1", AT_ONCE_, .bad = {.opcode = READ, .length = 0xffffffff}},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct responding r;
        REQUIRE(responding_open(&r));
        struct request before = all[i].before, bad = all[i].bad;
        unsigned char memory[MEMORY_BYTES];
        uint32_t psn = PSN;
        const int failures = atomic_load(&check_failures);
        give_receive(&r, 1, 4096, 1024);
        before.addr = bad.addr = r.mr.addr;
        before.rkey = bad.rkey = r.mr.key;
        if (before.opcode != NONE) {
            before.psn = psn++;
            ask(&r, before);
            NO_ANSWER(&r);
        }
        memcpy(memory, r.memory, MEMORY_BYTES);
        bad.psn = psn;
        bad.ack = true;
        ask(&r, bad);
        CHECK_BYTES_EQ(r.memory, memory, MEMORY_BYTES);
        ACKS(&r, psn, NAK_INVALID, 0);
        REFUSED(&r, bad.opcode, psn, NAK_INVALID, RVT_WHY_BAD_PACKET);
        IS_DEAD(&r);
        /* Whatever held the receive, it has ended. */
        struct rvt_wc wc[2];
        CHECK_EQ(rvt_poll_cq(r.qp.rcq, 2, wc), 1);
        CHECK(wc[0].status != RVT_WC_STATUS_SUCCESS);
        AT_REST(r.mr);
        responding_close(&r);
        if (atomic_load(&check_failures) != failures)
            printf("# in: %s\n", all[i].what);
    }
}

/* Packets that are no request of this peer to this queue pair say nothing about the connection. */
static void foreign_packets_get_no_answer(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    const uint32_t wakes = r.wakes;
#define WRITE_ .psn = PSN, .ack = true, .addr = r.mr.addr, .rkey = r.mr.key, .length = 4, .bytes = 4
    ASK(&r, .opcode = WRITE_ONLY, WRITE_, .other_qp = (r.qp.qpn + 1) & 0xffffff);
    ASK(&r, .opcode = WRITE_ONLY, WRITE_, .other_source = 17);
    ASK(&r, .opcode = WRITE_ONLY, WRITE_, .bad_icrc = true);
    ASK(&r, .opcode = RVT_BTH_UC_WRITE_ONLY, .psn = PSN, .bytes = 4);
    ASK(&r, .opcode = 0x15, .psn = PSN, .bytes = 4);
    NO_ANSWER(&r);
    UNTOUCHED(&r);
    CHECK_EQ(r.wakes, wakes);
    const struct rvt_endpoint_counters counters = counters_of(&r);
    CHECK_EQ(counters.unknown_qp, 1);
    CHECK_EQ(counters.wrong_source, 1);
    CHECK_EQ(counters.bad_icrc, 1);
    CHECK_EQ(counters.malformed, 2);
    CHECK_EQ(counters.received, 5);
    ASK(&r, .opcode = WRITE_ONLY, WRITE_, .no_ip_id = true);
    ACKS(&r, PSN, ACK, 1);
    responding_close(&r);
}

/* --- receives that cannot take a message --- */

static void messages_longer_than_their_receive(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    give_receive(&r, 1, 0, MTU + 3);
    give_receive(&r, 2, 0, MTU + 3);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 1);
    ASK(&r, .opcode = SEND_LAST, .psn = PSN + 1, .bytes = 4, .seed = 2);
    ACKS(&r, PSN + 1, NAK_INVALID, 0);
    REFUSED(&r, SEND_LAST, PSN + 1, NAK_INVALID, RVT_WHY_RECEIVE_TOO_SHORT);
    WC(r.qp.rcq, .wr_id = 1, .qp_num = r.qp.qpn, .status = RVT_WC_STATUS_LOC_QP_OP_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_RECEIVE_TOO_SHORT);
    WC(r.qp.rcq, .wr_id = 2, .qp_num = r.qp.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
    HOLDS(&r, 0, MTU, 1);
    IS_DEAD(&r);
    responding_close(&r);
}

/* No message is longer than 2^31 bytes, whatever receive there is. */
static void messages_above_the_limit(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    give_receive(&r, 1, 0, 1024);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU);
    connection_of(&r.qp)->responder.message.done = 0x80000000 - 4;
    ASK(&r, .opcode = SEND_LAST, .psn = PSN + 1, .bytes = 5);
    ACKS(&r, PSN + 1, NAK_INVALID, 0);
    REFUSED(&r, SEND_LAST, PSN + 1, NAK_INVALID, RVT_WHY_BAD_PACKET);
    CHECK_EQ(r.memory[MTU], 0xee);
    responding_close(&r);
}

static void receives_with_bad_elements(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    struct rvt_ib_sge sges[2] = {sge_at(&r.mr, 0, 64), sge_at(&r.mr, MEMORY_BYTES - 4, 8)};
    CHECK_EQ(post_receive(&r.qp, 1, sges, 2), 0);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN, .bytes = 4);
    ACKS(&r, PSN, NAK_OPERATION, 0);
    REFUSED(&r, SEND_ONLY, PSN, NAK_OPERATION, RVT_WHY_RECEIVE_REFUSED);
    CHECK_EQ(r.refused[0].why.refused.reason, RVT_OUT_OF_BOUNDS);
    WC(r.qp.rcq, .wr_id = 1, .qp_num = r.qp.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_RECEIVE_REFUSED,
       .refused = {.reason = RVT_OUT_OF_BOUNDS});
    UNTOUCHED(&r);
    IS_DEAD(&r);
    AT_REST(r.mr);
    responding_close(&r);
}

/* The region of the receive in hand is deregistered between two packets. It does not stay busy: the queue pair ends. */
static void deregistering_ends_the_receive_in_hand(void) {
    for (int forced = 0; forced < 2; forced++) {
        struct responding r;
        REQUIRE(responding_open(&r));
        static unsigned char other[1024];
        memset(other, 0, sizeof(other));
        const struct vmr mine = make_mr(&r.v, other, sizeof(other));
        const struct rvt_ib_sge sge = sge_at(&mine, 0, 1024);
        CHECK_EQ(post_receive(&r.qp, 1, &sge, 1), 0);
        ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 1);
        CHECK_EQ(other[1], 8);
        CHECK_EQ(fixture_query(mine.mr).refs, 3);
        CHECK_EQ(rvt_dereg_mr(mine.mr, forced ? RVT_RELEASE_FORCE : RVT_RELEASE), 0);
        CHECK_EQ(state_of(&r.qp), RVT_QPS_ERR);
        WC(r.qp.rcq, .wr_id = 1, .qp_num = r.qp.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR,
           .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_REGION_RELEASED);
        memset(other, 0, sizeof(other));
        ASK(&r, .opcode = SEND_MIDDLE, .psn = PSN + 1, .bytes = MTU, .seed = 2);
        for (size_t i = 0; i < sizeof(other); i++)
            CHECK_EQ(other[i], 0);
        IS_DEAD(&r);
        responding_close(&r);
    }
}

/* The same if it is in the domain of the shared receive queue, which is not the queue pair's: else a peer that stops in the
 * middle of a message could keep it busy. */
static void deregistering_ends_the_shared_receive_in_hand(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    const struct rvt_srq_handle srq = make_srq_in(&r.v, r.v.other_pd, 4, 1, 0);
    struct vqp qp = make_qp_with(&r.v, r.v.pd, (struct rvt_qp_init){.srq = &srq});
    CHECK_EQ(connect_to_peer(&r, &qp), 0);
    bring_to(&qp, responder_attr(), RVT_QPS_RTS);
    static unsigned char other[1024];
    const struct vmr mine = make_mr_in(r.v.other_pd, other, sizeof(other), ALL_ACCESS);
    const struct rvt_ib_sge sge = sge_at(&mine, 0, 1024);
    CHECK_EQ(rvt_post_srq_recv(srq, &(struct rvt_recv_wr){11, &sge, 1}, 1, NULL), 0);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 1, .other_qp = qp.qpn);
    CHECK_EQ(fixture_query(mine.mr).refs, 3);
    CHECK_EQ(rvt_dereg_mr(mine.mr, RVT_RELEASE), 0);
    CHECK_EQ(state_of(&qp), RVT_QPS_ERR);
    WC(qp.rcq, .wr_id = 11, .qp_num = qp.qpn, .qp = qp.serial, .status = RVT_WC_STATUS_LOC_PROT_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_REGION_RELEASED);
    CHECK_EQ(state_of(&r.qp), RVT_QPS_RTS);
    responding_close(&r);
}

/* A message whose completion is lost must not be acknowledged. */
static void a_full_completion_queue_ends_the_connection(void) {
    struct responding r;
    /* A completion queue of one entry, of a second queue pair. */
    REQUIRE(responding_open(&r));
    struct vqp tight = make_qp_with(&r.v, r.v.pd, (struct rvt_qp_init){.recv_cq = make_cq(&r.v, 1)});
    CHECK_EQ(connect_to_peer(&r, &tight), 0);
    bring_to(&tight, responder_attr(), RVT_QPS_RTS);
    const struct rvt_ib_sge sge = sge_at(&r.mr, 0, 64);
    for (uint64_t i = 0; i < 3; i++)
        CHECK_EQ(post_receive(&tight, i, &sge, 1), 0);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN, .bytes = 4, .other_qp = tight.qpn);
    ACKS(&r, PSN, ACK, 1);
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN + 1, .bytes = 4, .other_qp = tight.qpn);
    ACKS(&r, PSN + 1, NAK_OPERATION, 1);
    CHECK_EQ(r.refusals, 1);
    CHECK_EQ(r.refused[0].qp, tight.serial);
    CHECK_EQ(r.refused[0].why.cause, RVT_WHY_CQ_FULL);
    CHECK_EQ(state_of(&tight), RVT_QPS_ERR);
    NO_ANSWER(&r);
    /* The other connection is not concerned. */
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 4, .bytes = 4);
    ACKS(&r, PSN, ACK, 1);
    responding_close(&r);
}

/* --- revocation --- */

static void revocation_in_the_middle_of_a_write(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    static unsigned char other[1024];
    memset(other, 0, sizeof(other));
    const struct vmr mine = make_mr(&r.v, other, sizeof(other));
    ASK(&r, .opcode = WRITE_FIRST, .psn = PSN, .addr = mine.addr, .rkey = mine.key, .length = 1024,
        .bytes = MTU, .seed = 1);
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = PSN + 1, .bytes = MTU, .seed = 2);
    CHECK_EQ(other[MTU], 2);
    CHECK_EQ(rvt_dereg_mr(mine.mr, RVT_RELEASE), 0); /* nothing holds it */
    memset(other, 0, sizeof(other));
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = PSN + 2, .bytes = MTU, .seed = 3);
    ACKS(&r, PSN + 2, NAK_ACCESS, 0);
    REFUSED(&r, WRITE_MIDDLE, PSN + 2, NAK_ACCESS, RVT_WHY_REMOTE_REFUSED);
    CHECK_EQ(r.refused[0].why.refused.addr, mine.addr + 2 * MTU);
    CHECK_EQ(r.refused[0].why.refused.length, 1024 - 2 * MTU);
    ASK(&r, .opcode = WRITE_LAST, .psn = PSN + 3, .bytes = MTU, .seed = 4);
    for (size_t i = 0; i < sizeof(other); i++)
        CHECK_EQ(other[i], 0);
    IS_DEAD(&r);
    responding_close(&r);
}

/* A WRITE that leaves its region in its last packet writes nothing at all. */
static void the_whole_range_is_judged_at_the_first_packet(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = WRITE_FIRST, .psn = PSN, .addr = r.mr.addr + MEMORY_BYTES - 2 * MTU, .rkey = r.mr.key,
        .length = 2 * MTU + 1, .bytes = MTU);
    ACKS(&r, PSN, NAK_ACCESS, 0);
    UNTOUCHED(&r);
    IS_DEAD(&r);
    responding_close(&r);
}

/* --- states --- */

static void a_reset_ends_a_message(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    give_receive(&r, 1, 0, 1024);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 1, .ack = true);
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_RESET), 0);
    NO_ANSWER(&r); /* not even the ACK that was due */
    AT_REST(r.mr);
    ASK(&r, .opcode = SEND_MIDDLE, .psn = PSN + 1, .bytes = MTU, .seed = 2, .ack = true);
    NO_ANSWER(&r);
    CHECK_EQ(r.memory[MTU], 0xee);
    /* It stays connected, and begins anew. */
    struct rvt_qp_attr attr = responder_attr();
    attr.rq_psn = 0x900;
    bring_to(&r.qp, attr, RVT_QPS_RTS);
    ASK(&r, .opcode = WRITE_ONLY, .psn = 0x900, .addr = r.mr.addr, .rkey = r.mr.key, .length = 4, .bytes = 4);
    ACKS(&r, 0x900, ACK, 1);
    responding_close(&r);
}

static void an_error_ends_a_message(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    give_receive(&r, 1, 0, 1024);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 1, .ack = true);
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_ERR), 0);
    WC(r.qp.rcq, .wr_id = 1, .qp_num = r.qp.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
    CHECK_EQ(connection_of(&r.qp)->responder.message.kind, 0);
    IS_DEAD(&r);
    AT_REST(r.mr);
    responding_close(&r);
    /* A WRITE: nothing is in hand. */
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = WRITE_FIRST, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 1024,
        .bytes = MTU);
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_ERR), 0);
    ASK(&r, .opcode = WRITE_MIDDLE, .psn = PSN + 1, .bytes = MTU, .ack = true);
    CHECK_EQ(r.memory[MTU], 0xee);
    IS_DEAD(&r);
    responding_close(&r);
}

/* A fatal NAK that is due survives ERR, and not RESET. */
static void a_fatal_nak_survives_an_error_only(void) {
    for (int reset = 0; reset < 2; reset++) {
        struct responding r;
        REQUIRE(responding_open(&r));
        ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = 5, .length = 4, .bytes = 4);
        CHECK_EQ(move_qp(&r.qp, responder_attr(), reset ? RVT_QPS_RESET : RVT_QPS_ERR), 0);
        if (!reset)
            ACKS(&r, PSN, NAK_ACCESS, 0);
        NO_ANSWER(&r);
        responding_close(&r);
    }
    /* Other NAKs do not. */
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, .opcode = SEND_ONLY, .psn = PSN, .bytes = 4);
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_ERR), 0);
    IS_DEAD(&r);
    responding_close(&r);
}

static void answers_in_rtr_and_in_sqd(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_SQD), 0);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 4, .bytes = 4);
    ACKS(&r, PSN, ACK, 1);
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_RESET), 0);
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_INIT), 0);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 4, .bytes = 4);
    NO_ANSWER(&r);
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_RTR), 0);
    ASK(&r, .opcode = WRITE_ONLY, .psn = PSN, .addr = r.mr.addr, .rkey = r.mr.key, .length = 4, .bytes = 4);
    ACKS(&r, PSN, ACK, 1);
    responding_close(&r);
}

/* The queue pair ends in the middle of a message: its connection goes with it. */
static void destroying_ends_the_connection(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    give_receive(&r, 1, 0, 1024);
    ASK(&r, .opcode = SEND_FIRST, .psn = PSN, .bytes = MTU, .seed = 1, .ack = true);
    CHECK_EQ(rvt_destroy_qp(r.qp.handle), 0);
    NO_ANSWER(&r);
    ASK(&r, .opcode = SEND_MIDDLE, .psn = PSN + 1, .bytes = MTU, .seed = 1, .ack = true);
    CHECK_EQ(counters_of(&r).unknown_qp, 1);
    NO_ANSWER(&r);
    AT_REST(r.mr);
    responding_close(&r);
}

CHECK_MAIN(TEST(writes_messages_of_one_packet), TEST(an_empty_write_needs_no_key),
           TEST(an_empty_write_needs_the_right_of_the_queue_pair), TEST(writes_messages_of_several_packets),
           TEST(write_with_immediate_takes_a_receive_at_its_end),
           TEST(write_with_immediate_is_judged_in_order), TEST(receives_messages_of_one_packet),
           TEST(receives_messages_of_several_packets), TEST(invalidates_keys),
           TEST(solicited_messages_wake_the_completion_queue), TEST(receives_from_a_shared_queue),
           TEST(acknowledges_with_the_newest_psn),
           TEST(repeated_messages_are_acknowledged_and_not_carried_out),
           TEST(repeated_packets_do_not_disturb_a_message), TEST(asks_once_for_a_lost_packet),
           TEST(a_packet_that_was_only_late_is_not_asked_for), TEST(waits_for_a_receive),
           TEST(psns_wrap_around), TEST(counts_messages_modulo_2_24), TEST(broken_rules_end_the_connection),
           TEST(foreign_packets_get_no_answer), TEST(messages_longer_than_their_receive),
           TEST(messages_above_the_limit), TEST(receives_with_bad_elements),
           TEST(deregistering_ends_the_receive_in_hand), TEST(deregistering_ends_the_shared_receive_in_hand),
           TEST(a_full_completion_queue_ends_the_connection), TEST(revocation_in_the_middle_of_a_write),
           TEST(the_whole_range_is_judged_at_the_first_packet), TEST(a_reset_ends_a_message),
           TEST(an_error_ends_a_message), TEST(a_fatal_nak_survives_an_error_only),
           TEST(answers_in_rtr_and_in_sqd), TEST(destroying_ends_the_connection))
