/* SPDX-License-Identifier: BSD-3-Clause */
/* UC queue pairs of endpoints: messages in packets, what becomes of them when packets are lost, and programs by seed over
 * a network that loses, doubles and swaps packets.
 *
 * Arguments: SEED plays one program; SEED COUNT plays COUNT programs from SEED on (otherwise RVT_LINK_SEEDS of the
 * environment). */
#include <stdlib.h>

#include "net.h"

enum { SOURCE = 8192, DEFAULT_SEEDS = 2000 };

static struct net net;
static struct node *a, *b;
static struct vqp qa, qb;

static bool open_pair(uint32_t refusals_a_minute) {
    if (!net_open(&net, false, refusals_a_minute))
        return false;
    a = &net.nodes[0];
    b = &net.nodes[1];
    net_connect(&net, a, b, &qa, &qb);
    count_up(a->memory + SOURCE, 4096, 5);
    return true;
}

/* Sends `length` bytes of the source. */
static int send_bytes(uint64_t wr_id, uint32_t opcode, uint32_t length, uint64_t remote, uint32_t rkey) {
    const struct rvt_ib_sge sge = sge_at(&a->mr, SOURCE, length);
    return post(&qa, SEND_WR(.wr_id = wr_id, .sges = &sge, .num_sge = length != 0, .opcode = opcode,
                             .imm = 0x55667788, .remote_addr = remote, .rkey = rkey));
}
static int send_message(uint64_t wr_id, uint32_t length) {
    return send_bytes(wr_id, RVT_WR_SEND, length, 0, 0);
}
static int write_message(uint32_t opcode, uint32_t length, uint64_t offset) {
    return send_bytes(1, opcode, length, b->mr.addr + offset, b->mr.key);
}

#define RECEIVED(id, length, ...)                                                                            \
    WC(qb.rcq, .wr_id = (id), .qp_num = qb.qpn, .src_qp = qa.qpn, .opcode = RVT_WC_OPCODE_RECV,              \
       .byte_len = (length), .port = 1, .sl = 5, __VA_ARGS__)

static void messages_of_any_length_arrive(void) {
    static const uint32_t lengths[] = {0, 1, 3, 255, 256, 257, 511, 512, 513, 2000};
    REQUIRE(open_pair(0));
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint32_t length = lengths[i], packets = length ? (length + 255) / 256 : 1;
        memset(b->memory, 0xcc, 4096);
        CHECK_EQ(net_receive(b, &qb, i, 0, 4096), 0);
        CHECK_EQ(send_message(i, length), 0);
        net_collect(&net);
        CHECK_EQ(net.count, packets);
        CHECK_EQ(net.waiting[0].bytes[0], packets == 1 ? 0x24 : 0x20); /* UC SEND ONLY, FIRST */
        CHECK_EQ(net.waiting[packets - 1].bytes[0], packets == 1 ? 0x24 : 0x22);
        CHECK_EQ(net.waiting[0].bytes[8], 0);
        WC(qa.scq, .wr_id = i, .qp_num = qa.qpn, .byte_len = length); /* complete when sent */
        net_deliver(&net);
        RECEIVED(i, length, );
        CHECK_BYTES_EQ(b->memory, a->memory + SOURCE, length);
        CHECK_EQ(b->memory[length], 0xcc);
    }
    CHECK_EQ(net_counters(b).sent, 0);
    CHECK_EQ(net_counters(b).out_of_order, 0); /* although the numbers have wrapped */
    net_close(&net);
}

static void immediate_data_and_writes(void) {
    REQUIRE(open_pair(0));
    CHECK_EQ(net_receive(b, &qb, 1, 0, 1024), 0);
    CHECK_EQ(net_receive(b, &qb, 2, 0, 0), 0);
    CHECK_EQ(net_receive(b, &qb, 3, 0, 0), 0);
    CHECK_EQ(send_bytes(1, RVT_WR_SEND_WITH_IMM, 300, 0, 0), 0);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE, 700, 2048), 0);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE_WITH_IMM, 100, 4096), 0);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE_WITH_IMM, 600, 5120), 0);
    net_collect(&net);
    static const uint8_t opcodes[] = {0x20, 0x23, 0x26, 0x27, 0x28, 0x2b, 0x26, 0x27, 0x29};
    CHECK_EQ(net.count, sizeof(opcodes));
    for (unsigned i = 0; i < sizeof(opcodes); i++)
        CHECK_EQ(net.waiting[i].bytes[0], opcodes[i]);
    net_deliver(&net);
    RECEIVED(1, 300, .flags = RVT_WC_WITH_IMM, .imm_or_inv = 0x55667788);
    for (unsigned i = 0; i < 2; i++)
        WC(qb.rcq, .wr_id = 2 + i, .qp_num = qb.qpn, .src_qp = qa.qpn,
           .opcode = RVT_WC_OPCODE_RECV_RDMA_WITH_IMM, .byte_len = i ? 600 : 100, .port = 1, .sl = 5,
           .flags = RVT_WC_WITH_IMM, .imm_or_inv = 0x55667788);
    CHECK_BYTES_EQ(b->memory + 2048, a->memory + SOURCE, 700);
    CHECK_BYTES_EQ(b->memory + 4096, a->memory + SOURCE, 100);
    CHECK_BYTES_EQ(b->memory + 5120, a->memory + SOURCE, 600);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE, 0, 0), 0); /* needs no key */
    net_run(&net);
    CHECK_EQ(net_counters(b).refused_writes, 0);
    net_close(&net);
}

/* A message of three packets of which one is lost, then one that arrives. */
static void lose(uint32_t index, uint32_t out_of_order, uint32_t incomplete) {
    REQUIRE(open_pair(0));
    CHECK_EQ(net_receive(b, &qb, 1, 0, 1024), 0);
    CHECK_EQ(send_message(1, 700), 0);
    CHECK_EQ(send_message(2, 20), 0);
    net_collect(&net);
    net_drop(&net, index);
    net_deliver(&net);
    RECEIVED(1, 20, ); /* the receive of the lost message is used for the next one */
    NO_WC(qb.rcq);
    CHECK_BYTES_EQ(b->memory, a->memory + SOURCE, 20);
    CHECK_EQ(net_counters(b).out_of_order, out_of_order);
    CHECK_EQ(net_counters(b).incomplete, incomplete);
    CHECK_EQ(net_counters(b).sent, 0);
    CHECK_EQ(net_counters(a).sent, 4); /* nothing is repeated */
    CHECK_EQ(state_of(&qb), RVT_QPS_RTS);
    net_close(&net);
}

static void a_lost_packet_loses_its_message_only(void) {
    lose(0, 1, 2); /* the two others do not continue anything */
    lose(1, 1, 2); /* the message is cut off, and its last packet is left */
    lose(2, 1, 1);
}

static void packets_out_of_order_begin_again(void) {
    REQUIRE(open_pair(0));
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(net_receive(b, &qb, i, 1024 * i, 1024), 0);
    CHECK_EQ(send_message(1, 10), 0);
    CHECK_EQ(send_message(2, 20), 0);
    net_collect(&net);
    net_swap(&net, 0); /* both are messages of their own, and are carried out as they come */
    net_double(&net, 1);
    net_deliver(&net);
    RECEIVED(0, 20, );
    RECEIVED(1, 10, );
    RECEIVED(2, 10, );
    CHECK_EQ(net_counters(b).out_of_order, 3);
    net_close(&net);
}

static void without_a_receive_or_with_a_short_one_it_is_dropped(void) {
    REQUIRE(open_pair(0));
    CHECK_EQ(send_message(1, 600), 0);
    net_run(&net);
    CHECK_EQ(net_counters(b).no_receive, 1);
    CHECK_EQ(net_counters(b).incomplete, 2);
    CHECK_EQ(net_receive(b, &qb, 5, 0, 300), 0);
    CHECK_EQ(send_message(1, 400), 0); /* is too long with its second packet */
    CHECK_EQ(send_message(1, 256), 0); /* fits */
    net_run(&net);
    CHECK_EQ(net_counters(b).short_receives, 1);
    RECEIVED(5, 256, );
    NO_WC(qb.rcq);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE_WITH_IMM, 10, 0), 0);
    net_run(&net);
    CHECK_EQ(net_counters(b).no_receive, 2);
    CHECK_EQ(state_of(&qb), RVT_QPS_RTS);
    CHECK_EQ(net_counters(b).sent, 0);
    net_close(&net);
}

static void a_receive_in_hand_serves_a_write_with_immediate(void) {
    REQUIRE(open_pair(0));
    CHECK_EQ(net_receive(b, &qb, 5, 0, 1024), 0);
    CHECK_EQ(send_message(1, 600), 0);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE_WITH_IMM, 10, 4096), 0);
    net_collect(&net);
    net_drop(&net, 2);
    net_deliver(&net);
    WC(qb.rcq, .wr_id = 5, .qp_num = qb.qpn, .src_qp = qa.qpn, .opcode = RVT_WC_OPCODE_RECV_RDMA_WITH_IMM,
       .byte_len = 10, .port = 1, .sl = 5, .flags = RVT_WC_WITH_IMM, .imm_or_inv = 0x55667788);
    net_close(&net);
}

static void a_refused_write_is_dropped_and_reported(void) {
    REQUIRE(open_pair(0));
    CHECK_EQ(send_bytes(1, RVT_WR_RDMA_WRITE, 700, b->mr.addr, b->mr.key ^ 0x40000000), 0);
    CHECK_EQ(send_bytes(1, RVT_WR_RDMA_WRITE, 700, b->mr.addr + NODE_BYTES - 600, b->mr.key), 0);
    memset(b->memory, 0, NODE_BYTES);
    net_run(&net);
    CHECK_EQ(net_counters(b).refused_writes, 2);
    CHECK_EQ(net_counters(b).fatal_naks, 0);
    CHECK_EQ(net_counters(b).incomplete, 4);
    CHECK_EQ(b->refusals, 2);
    CHECK_EQ(b->refused.syndrome, 0);
    CHECK_EQ(b->refused.opcode, 0x26);
    CHECK_EQ(b->refused.why.cause, RVT_WHY_REMOTE_REFUSED);
    CHECK_EQ(b->refused.why.refused.reason, RVT_OUT_OF_BOUNDS);
    CHECK_EQ(b->memory[NODE_BYTES - 600], 0); /* not even its first packet, which would fit */
    CHECK_EQ(state_of(&qb), RVT_QPS_RTS);
    CHECK_EQ(net_counters(b).sent, 0);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE, 700, 0), 0);
    net_run(&net);
    CHECK_BYTES_EQ(b->memory, a->memory + SOURCE, 700);
    net_close(&net);
}

static void a_region_that_ends_cuts_a_write_off(void) {
    REQUIRE(open_pair(0));
    static unsigned char sink[1024];
    struct vmr mr = make_mr(&b->v, sink, sizeof(sink));
    CHECK_EQ(send_bytes(1, RVT_WR_RDMA_WRITE, 700, mr.addr, mr.key), 0);
    net_collect(&net);
    net_give(&net, b, &net.waiting[0]);
    CHECK_EQ(rvt_dereg_mr(mr.mr, RVT_RELEASE), 0); /* no reference is held between the packets */
    memset(sink, 0, sizeof(sink));
    net_give(&net, b, &net.waiting[1]);
    net_give(&net, b, &net.waiting[2]);
    CHECK_EQ(sink[256], 0);
    CHECK_EQ(net_counters(b).refused_writes, 1);
    net.count = 0;
    net_close(&net);
}

static void missing_rights_of_the_queue_pair_refuse_a_write(void) {
    REQUIRE(open_pair(0));
    struct rvt_qp_attr attr = {.access = REMOTE_READ};
    CHECK_EQ(rvt_modify_qp(qb.handle, &attr, RVT_QPA_ACCESS_FLAGS), 0);
    CHECK_EQ(net_receive(b, &qb, 5, 0, 1024), 0);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE, 10, 0), 0);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE_WITH_IMM, 10, 0), 0);
    net_run(&net);
    CHECK_EQ(net_counters(b).refused_writes, 2);
    CHECK_EQ(b->refused.why.cause, RVT_WHY_QP_ACCESS);
    CHECK_EQ(query_qp(&qb).receives, 1); /* no receive was taken */
    CHECK_EQ(state_of(&qb), RVT_QPS_RTS);
    net_close(&net);
}

static void guessing_keys_ends_the_queue_pair(void) {
    REQUIRE(open_pair(3));
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(send_bytes(1, RVT_WR_RDMA_WRITE, 10, b->mr.addr, b->mr.key + 1 + i), 0);
        net_run(&net);
        CHECK_EQ(state_of(&qb), i < 2 ? RVT_QPS_RTS : RVT_QPS_ERR);
    }
    CHECK_EQ(net_counters(b).refused_writes, 3);
    struct vqp next = make_qp(&b->v, RVT_QPT_UC);
    FAILS_WITH(rvt_endpoint_connect(b->endpoint, next.handle, &a->place, net.now), RVT_EACCES,
               RVT_CAUSE_TOO_MANY_REFUSALS, 3, 3, 0);
    CHECK_EQ(net_counters(b).sent, 0);
    net_close(&net);
}

static void what_breaks_the_rules_is_dropped(void) {
    REQUIRE(open_pair(0));
    CHECK_EQ(net_receive(b, &qb, 5, 0, 2048), 0);
    CHECK_EQ(send_message(1, 700), 0);
    CHECK_EQ(write_message(RVT_WR_RDMA_WRITE, 700, 0), 0);
    net_collect(&net);
    struct waiting all[6];
    memcpy(all, net.waiting, sizeof(all));
    net.count = 0;
    /* Every opcode of every service in place of each packet, resealed: nothing but whole messages changes anything. */
    for (unsigned i = 0; i < 6; i++)
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            struct waiting w = all[i];
            const struct rvt_outgoing sealed = {w.bytes, w.length, w.to};
            w.bytes[0] = (uint8_t)opcode;
            rvt_endpoint_seal(a->endpoint, &sealed, 0);
            net_give(&net, b, &w);
        }
    CHECK_EQ(state_of(&qb), RVT_QPS_RTS);
    CHECK_EQ(net_counters(b).sent, 0);
    /* A WRITE that says another length than it has. */
    const uint64_t malformed = net_counters(b).malformed;
    struct waiting w = all[3];
    const struct rvt_outgoing sealed = {w.bytes, w.length, w.to};
    w.bytes[12 + 15] = 0; /* 700 becomes 512: the last packet has too many bytes */
    rvt_endpoint_seal(a->endpoint, &sealed, 0);
    net_give(&net, b, &w);
    net_give(&net, b, &all[4]);
    net_give(&net, b, &all[5]);
    CHECK_EQ(net_counters(b).malformed, malformed + 1);
    CHECK_EQ(state_of(&qb), RVT_QPS_RTS);
    net_close(&net);
}

static void sqd_ends_behind_the_message_that_has_begun(void) {
    REQUIRE(open_pair(0));
    CHECK_EQ(net_receive(b, &qb, 5, 0, 2048), 0);
    CHECK_EQ(net_receive(b, &qb, 6, 0, 2048), 0);
    CHECK_EQ(send_message(1, 700), 0);
    CHECK_EQ(send_message(2, 10), 0);
    net_collect_some(&net, a, 1, 1);
    CHECK_EQ(move_qp(&qa, usual_attr(0), RVT_QPS_SQD), 0);
    net_run(&net);
    RECEIVED(5, 700, );
    NO_WC(qb.rcq);
    CHECK_EQ(rvt_modify_qp(qa.handle, &(struct rvt_qp_attr){.state = RVT_QPS_RTS}, RVT_QPA_STATE), 0);
    net_run(&net);
    RECEIVED(6, 10, );
    /* ERR: what has begun is flushed, and nothing more of it is sent. */
    CHECK_EQ(send_message(3, 700), 0);
    net_collect_some(&net, a, 1, 1);
    net.count = 0;
    for (unsigned i = 1; i <= 2; i++)
        WC(qa.scq, .wr_id = i, .qp_num = qa.qpn, .byte_len = i == 1 ? 700 : 10);
    CHECK_EQ(move_qp(&qa, usual_attr(0), RVT_QPS_ERR), 0);
    WC(qa.scq, .wr_id = 3, .qp_num = qa.qpn, .byte_len = 700, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
       .cause = RVT_WHY_FLUSHED);
    net_collect(&net);
    CHECK_EQ(net.count, 0);
    net_close(&net);
}

static void local_operations_come_in_their_turn(void) {
    REQUIRE(open_pair(0));
    static unsigned char bytes[64];
    struct vmr mr = make_mr(&a->v, bytes, sizeof(bytes));
    CHECK_EQ(net_receive(b, &qb, 5, 0, 2048), 0);
    CHECK_EQ(send_message(1, 300), 0);
    CHECK_EQ(post(&qa, PLAIN_WR(.wr_id = 2, .opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = mr.key,
                                .flags = RVT_SEND_SIGNALED | RVT_SEND_FENCE)),
             0);
    CHECK_EQ(send_message(3, 0), 0);
    CHECK(fixture_query(mr.mr).valid);
    net_run(&net);
    CHECK(!fixture_query(mr.mr).valid);
    WC(qa.scq, .wr_id = 1, .qp_num = qa.qpn, .byte_len = 300);
    WC(qa.scq, .wr_id = 2, .qp_num = qa.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV);
    WC(qa.scq, .wr_id = 3, .qp_num = qa.qpn);
    net_close(&net);
}

/* --- programs by seed --- */

enum { MESSAGES = 12, MESSAGE_ROOM = 1024 };

static uint64_t program;

static uint64_t pick(uint64_t below) {
    return roll(&program, below);
}

/* Message i has bytes that no other has, and a length of its own. */
static void play(uint64_t seed) {
    uint32_t lengths[MESSAGES], opcodes[MESSAGES], arrived = 0, last = 0;
    program = seed;
    REQUIRE(open_pair(0));
    const bool ordered = pick(2); /* nothing but losses */
    const uint32_t loss = (uint32_t)pick(3) * 5;
    memset(a->memory, 0, NODE_BYTES);
    memset(b->memory, 0xcc, NODE_BYTES);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        static const uint32_t choice[] = {RVT_WR_SEND, RVT_WR_SEND_WITH_IMM, RVT_WR_RDMA_WRITE_WITH_IMM};
        opcodes[i] = choice[pick(3)];
        lengths[i] = (uint32_t)pick(MESSAGE_ROOM + 1);
        memset(a->memory + (uint64_t)i * MESSAGE_ROOM, (int)(i + 1), MESSAGE_ROOM);
        CHECK_EQ(net_receive(b, &qb, i, NODE_BYTES - MESSAGE_ROOM, MESSAGE_ROOM), 0);
        const struct rvt_ib_sge sge = sge_at(&a->mr, (uint64_t)i * MESSAGE_ROOM, lengths[i]);
        CHECK_EQ(
            post(&qa, SEND_WR(.wr_id = i, .sges = &sge, .num_sge = 1, .opcode = opcodes[i], .imm = i,
                              .remote_addr = b->mr.addr + (uint64_t)i * MESSAGE_ROOM, .rkey = b->mr.key)),
            0);
        net_collect_some(&net, a, 1 + (uint32_t)pick(16), MOST_WAITING / 2);
    }
    for (uint32_t i = 0; i < net.count; i++)
        if (pick(100) < loss)
            net_drop(&net, i--);
        else if (!ordered && pick(100) < 10 && net.count < MOST_WAITING)
            net_double(&net, i++);
        else if (!ordered && pick(100) < 10 && i + 1 < net.count)
            net_swap(&net, i);
    for (uint32_t i = 0; i < net.count; i++) {
        struct rvt_wc wc;
        net_give(&net, b, &net.waiting[i]);
        while (rvt_poll_cq(qb.rcq, 1, &wc) == 1) {
            /* It is a whole message of those that were sent. */
            uint32_t m = 0;
            CHECK_EQ(wc.status, RVT_WC_STATUS_SUCCESS);
            CHECK_EQ(wc.wr_id, arrived++); /* receives are used in order, and none is lost */
            if (wc.opcode == RVT_WC_OPCODE_RECV && !wc.byte_len && !(wc.flags & RVT_WC_WITH_IMM))
                continue;
            m = wc.flags & RVT_WC_WITH_IMM ? wc.imm_or_inv
                                           : (uint32_t)b->memory[NODE_BYTES - MESSAGE_ROOM] - 1;
            REQUIRE(m < MESSAGES);
            CHECK_EQ(wc.byte_len, lengths[m]);
            CHECK(!ordered || m >= last);
            last = m;
            const unsigned char *got =
                b->memory + (wc.opcode == RVT_WC_OPCODE_RECV ? NODE_BYTES - MESSAGE_ROOM : m * MESSAGE_ROOM);
            CHECK_BYTES_EQ(got, a->memory + (uint64_t)m * MESSAGE_ROOM, lengths[m]);
        }
    }
    if (ordered && !loss)
        CHECK_EQ(arrived, MESSAGES);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        WC(qa.scq, .wr_id = i, .qp_num = qa.qpn, .byte_len = lengths[i],
           .opcode =
               opcodes[i] == RVT_WR_RDMA_WRITE_WITH_IMM ? RVT_WC_OPCODE_RDMA_WRITE : RVT_WC_OPCODE_SEND);
        /* A WRITE changes its own place only, if at all. */
        for (uint32_t at = 0; at < MESSAGE_ROOM; at++) {
            const unsigned char byte = b->memory[i * MESSAGE_ROOM + at];
            if (byte != 0xcc &&
                (byte != i + 1 || at >= lengths[i] || opcodes[i] != RVT_WR_RDMA_WRITE_WITH_IMM))
                REQUIRE(false);
        }
    }
    CHECK_EQ(net_counters(b).sent, 0);
    CHECK_EQ(state_of(&qb), RVT_QPS_RTS);
    net.count = 0;
    net_close(&net);
}

static uint64_t first_seed = 1, seeds = DEFAULT_SEEDS;

static void programs_by_seed(void) {
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        play(seed);
        if (atomic_load(&check_failures)) {
            printf("# test_endpoint_uc %" PRIu64 " plays this seed again\n", seed);
            return;
        }
    }
}

int main(int argc, char **argv) {
    static const struct check_test tests[] = {TEST(messages_of_any_length_arrive),
                                              TEST(immediate_data_and_writes),
                                              TEST(a_lost_packet_loses_its_message_only),
                                              TEST(packets_out_of_order_begin_again),
                                              TEST(without_a_receive_or_with_a_short_one_it_is_dropped),
                                              TEST(a_receive_in_hand_serves_a_write_with_immediate),
                                              TEST(a_refused_write_is_dropped_and_reported),
                                              TEST(a_region_that_ends_cuts_a_write_off),
                                              TEST(missing_rights_of_the_queue_pair_refuse_a_write),
                                              TEST(guessing_keys_ends_the_queue_pair),
                                              TEST(what_breaks_the_rules_is_dropped),
                                              TEST(sqd_ends_behind_the_message_that_has_begun),
                                              TEST(local_operations_come_in_their_turn),
                                              TEST(programs_by_seed)};
    const char *const given = getenv("RVT_LINK_SEEDS");
    seeds = given ? strtoull(given, NULL, 0) : DEFAULT_SEEDS;
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 0);
    if (argc > 1)
        seeds = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    return check_run(tests, sizeof(tests) / sizeof(tests[0]));
}
