/* SPDX-License-Identifier: BSD-3-Clause */
/* UD queue pairs of endpoints: what is sent, what is received, and what is dropped without an answer. */
#include "net.h"

enum { QKEY = 0x1234, GRH = RVT_GRH_BYTES };

static struct net net;
static struct vqp qps[NODES];

static bool open_all(bool ipv6) {
    if (!net_open(&net, ipv6, 0))
        return false;
    for (unsigned i = 0; i < NODES; i++)
        qps[i] = net_datagrams(&net.nodes[i], QKEY);
    return true;
}

/* Sends `length` bytes from `offset` on from node `from` to node `to`. */
static int send_to(unsigned from, unsigned to, const struct rvt_ah_handle *ah, uint64_t offset,
                   uint32_t length, uint32_t qkey, uint32_t imm) {
    struct node *node = &net.nodes[from];
    const struct rvt_ib_sge sge = sge_at(&node->mr, offset, length);
    return post(&qps[from], SEND_WR(.wr_id = 7, .sges = &sge, .num_sge = length != 0,
                                    .opcode = imm ? RVT_WR_SEND_WITH_IMM : RVT_WR_SEND, .imm = imm, .ah = ah,
                                    .remote_qpn = qps[to].qpn, .remote_qkey = qkey));
}

/* What of the counters says that a datagram was dropped. */
static uint64_t dropped(unsigned node) {
    const struct rvt_endpoint_counters c = net_counters(&net.nodes[node]);
    return c.malformed + c.bad_icrc + c.unknown_qp + c.wrong_source + c.wrong_qkey + c.no_receive +
           c.short_receives;
}

static void a_datagram_arrives_behind_its_header(void) {
    REQUIRE(open_all(false));
    const struct rvt_ah_handle ah = net_ah(&net.nodes[0], &net.nodes[1]);
    unsigned char *got = net.nodes[1].memory;
    count_up(net.nodes[0].memory, 200, 3);
    CHECK_EQ(net_receive(&net.nodes[1], &qps[1], 5, 0, 300), 0);
    CHECK_EQ(send_to(0, 1, &ah, 0, 101, QKEY, 0), 0);
    net_collect(&net);
    CHECK_EQ(net.count, 1);
    const unsigned char *b = net.waiting[0].bytes;
    CHECK_EQ(net.waiting[0].length, 12 + 8 + 104 + 4);
    CHECK_EQ(b[0], 0x64); /* UD SEND ONLY */
    CHECK_EQ(b[1], 0x40 | 3 << 4);
    CHECK_EQ(b[2] << 8 | b[3], 0xffff);
    CHECK_EQ((uint32_t)(b[5] << 16 | b[6] << 8 | b[7]), qps[1].qpn);
    CHECK_EQ(b[8], 0); /* asks for no acknowledgement */
    CHECK_EQ(b[9] << 16 | b[10] << 8 | b[11], 0x100);
    CHECK_EQ(b[12] << 24 | b[13] << 16 | b[14] << 8 | b[15], QKEY);
    CHECK_EQ((uint32_t)(b[17] << 16 | b[18] << 8 | b[19]), qps[0].qpn);
    CHECK_BYTES_EQ(b + 20, net.nodes[0].memory, 101);
    WC(qps[0].scq, .wr_id = 7, .qp_num = qps[0].qpn, .byte_len = 101); /* complete when sent */
    net_deliver(&net);
    WC(qps[1].rcq, .wr_id = 5, .qp_num = qps[1].qpn, .src_qp = qps[0].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 101 + GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    CHECK_BYTES_EQ(got + GRH, net.nodes[0].memory, 101);
    CHECK_EQ(got[GRH + 101], 0);
    /* IPv4 in the last 20 bytes, with a right checksum; 20 zeros in front. */
    const unsigned char zeros[20] = {0};
    CHECK_BYTES_EQ(got, zeros, 20);
    CHECK_EQ(got[20], 0x45);
    CHECK_EQ(got[22] << 8 | got[23], 20 + 8 + 12 + 8 + 104 + 4);
    CHECK_EQ(got[29], 17);
    CHECK_BYTES_EQ(got + 32, "\x0a\0\x02\x10\x0a\0\x02\x11", 8);
    CHECK_EQ(internet_checksum(internet_sum(got + 20, 20)), 0);
    net_close(&net);
}

static void over_ipv6_the_header_fills_the_place(void) {
    REQUIRE(open_all(true));
    const struct rvt_ah_handle ah = net_ah(&net.nodes[2], &net.nodes[1]);
    unsigned char *got = net.nodes[1].memory;
    CHECK_EQ(net_receive(&net.nodes[1], &qps[1], 5, 0, 300), 0);
    CHECK_EQ(send_to(2, 1, &ah, 0, 8, QKEY, 0xabcd1234), 0);
    net_run(&net);
    WC(qps[1].rcq, .wr_id = 5, .qp_num = qps[1].qpn, .src_qp = qps[2].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 8 + GRH, .flags = RVT_WC_WITH_GRH | RVT_WC_WITH_IMM, .imm_or_inv = 0xabcd1234, .port = 1);
    CHECK_EQ(got[0], 0x60);
    CHECK_EQ(got[4] << 8 | got[5], 8 + 12 + 8 + 4 + 8 + 4);
    CHECK_EQ(got[6], 17);
    CHECK_BYTES_EQ(got + 8, net.nodes[2].place.address, 16);
    CHECK_BYTES_EQ(got + 24, net.nodes[1].place.address, 16);
    net_close(&net);
}

static void one_queue_pair_talks_to_many(void) {
    REQUIRE(open_all(false));
    const struct rvt_ah_handle to_1 = net_ah(&net.nodes[0], &net.nodes[1]),
                               to_2 = net_ah(&net.nodes[0], &net.nodes[2]),
                               from_1 = net_ah(&net.nodes[1], &net.nodes[0]),
                               from_2 = net_ah(&net.nodes[2], &net.nodes[0]);
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned k = 0; k < 2; k++)
            CHECK_EQ(net_receive(&net.nodes[i], &qps[i], k, 1024 * k, 1024), 0);
    CHECK_EQ(send_to(0, 1, &to_1, 4096, 10, QKEY, 0), 0);
    CHECK_EQ(send_to(0, 2, &to_2, 4096, 20, QKEY, 0), 0);
    CHECK_EQ(send_to(1, 0, &from_1, 4096, 30, QKEY, 0), 0);
    CHECK_EQ(send_to(2, 0, &from_2, 4096, 40, QKEY, 0), 0);
    net_run(&net);
    WC(qps[1].rcq, .qp_num = qps[1].qpn, .src_qp = qps[0].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 10 + GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    WC(qps[2].rcq, .qp_num = qps[2].qpn, .src_qp = qps[0].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 20 + GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    WC(qps[0].rcq, .qp_num = qps[0].qpn, .src_qp = qps[1].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 30 + GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    WC(qps[0].rcq, .wr_id = 1, .qp_num = qps[0].qpn, .src_qp = qps[2].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 40 + GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    CHECK_EQ(net.nodes[0].memory[35], 17); /* the addresses of the senders */
    CHECK_EQ(net.nodes[0].memory[1024 + 35], 18);
    net_close(&net);
}

static void a_wrong_q_key_is_dropped_and_counted(void) {
    REQUIRE(open_all(false));
    const struct rvt_ah_handle ah = net_ah(&net.nodes[0], &net.nodes[1]);
    CHECK_EQ(net_receive(&net.nodes[1], &qps[1], 5, 0, 300), 0);
    CHECK_EQ(send_to(0, 1, &ah, 0, 8, QKEY + 1, 0), 0);
    net_run(&net);
    NO_WC(qps[1].rcq);
    CHECK_EQ(net_counters(&net.nodes[1]).wrong_qkey, 1);
    CHECK_EQ(net_counters(&net.nodes[1]).sent, 0); /* no answer */
    CHECK_EQ(state_of(&qps[1]), RVT_QPS_RTS);
    CHECK_EQ(send_to(0, 1, &ah, 0, 8, 0x80000000, 0), 0); /* the sender's own, which fits */
    net_run(&net);
    WC(qps[1].rcq, .wr_id = 5, .qp_num = qps[1].qpn, .src_qp = qps[0].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 8 + GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    net_close(&net);
}

static void without_a_receive_or_with_a_short_one_it_is_dropped(void) {
    REQUIRE(open_all(false));
    const struct rvt_ah_handle ah = net_ah(&net.nodes[0], &net.nodes[1]);
    CHECK_EQ(send_to(0, 1, &ah, 0, 8, QKEY, 0), 0);
    net_run(&net);
    CHECK_EQ(net_counters(&net.nodes[1]).no_receive, 1);
    CHECK_EQ(net_receive(&net.nodes[1], &qps[1], 5, 0, GRH + 8), 0);
    memset(net.nodes[1].memory, 0x77, 64);
    CHECK_EQ(send_to(0, 1, &ah, 0, 9, QKEY, 0), 0);
    net_run(&net);
    CHECK_EQ(net_counters(&net.nodes[1]).short_receives, 1);
    CHECK_EQ(net.nodes[1].memory[0], 0x77);
    NO_WC(qps[1].rcq);
    CHECK_EQ(send_to(0, 1, &ah, 0, 8, QKEY, 0), 0); /* the receive is there for the next one */
    net_run(&net);
    WC(qps[1].rcq, .wr_id = 5, .qp_num = qps[1].qpn, .src_qp = qps[0].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 8 + GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    CHECK_EQ(net_counters(&net.nodes[1]).sent, 0);
    CHECK_EQ(dropped(1), 2);
    CHECK_EQ(state_of(&qps[1]), RVT_QPS_RTS);
    net_close(&net);
}

static void an_empty_datagram_brings_the_header(void) {
    REQUIRE(open_all(false));
    const struct rvt_ah_handle ah = net_ah(&net.nodes[0], &net.nodes[1]);
    CHECK_EQ(net_receive(&net.nodes[1], &qps[1], 5, 0, GRH), 0);
    CHECK_EQ(send_to(0, 1, &ah, 0, 0, QKEY, 0), 0);
    net_run(&net);
    WC(qps[1].rcq, .wr_id = 5, .qp_num = qps[1].qpn, .src_qp = qps[0].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    CHECK_EQ(net.nodes[1].memory[20], 0x45);
    CHECK_EQ(net.nodes[1].memory[GRH], 0);
    net_close(&net);
}

static void posting_tests_the_length_and_the_destination(void) {
    REQUIRE(open_all(false));
    const struct rvt_ah_handle ah = net_ah(&net.nodes[0], &net.nodes[1]);
    const struct rvt_ah_attr attr = {.dlid = 1, .port = 1};
    struct rvt_host_address host = {.ip = {[0] = 0xfd, [15] = 1}, .udp_port = NET_PORT};
    struct rvt_ah_handle nowhere, ipv6;
    CHECK_EQ(rvt_create_ah(net.nodes[0].v.pd, &attr, &nowhere), 0);
    CHECK_EQ(rvt_create_host_ah(net.nodes[0].v.pd, &attr, &host, &ipv6), 0);
    CHECK_EQ(send_to(0, 1, &ah, 0, NET_MTU, QKEY, 0), 0);
    FAILS_WITH(send_to(0, 1, &ah, 0, NET_MTU + 1, QKEY, 0), RVT_EINVAL, RVT_CAUSE_WR_LENGTH, NET_MTU + 1,
               NET_MTU, 0);
    FAILS_WITH(send_to(0, 1, &nowhere, 0, 8, QKEY, 0), RVT_EINVAL, RVT_CAUSE_WR_AH_UNREACHABLE, 0, 0, 0);
    FAILS_WITH(send_to(0, 1, &ipv6, 0, 8, QKEY, 0), RVT_EINVAL, RVT_CAUSE_WR_AH_UNREACHABLE, 1, 0, 0);
    /* On loopback it is the other way round. */
    struct vqp local = make_qp(&net.nodes[0].v, RVT_QPT_UD);
    bring_to(&local, usual_attr(0), RVT_QPS_RTS);
    FAILS_WITH(post(&local, SEND_WR(.opcode = RVT_WR_SEND, .ah = &ah, .remote_qpn = local.qpn)), RVT_EINVAL,
               RVT_CAUSE_WR_AH_UNREACHABLE, 1, 0, 0);
    CHECK_EQ(post(&local, SEND_WR(.opcode = RVT_WR_SEND, .ah = &nowhere, .remote_qpn = local.qpn)), 0);
    /* And loopback does not lead to a queue pair on the network. */
    CHECK_EQ(net_receive(&net.nodes[0], &qps[0], 1, 0, 100), 0);
    CHECK_EQ(post(&local, SEND_WR(.opcode = RVT_WR_SEND, .ah = &nowhere, .remote_qpn = qps[0].qpn,
                                  .remote_qkey = QKEY)),
             0);
    NO_WC(qps[0].rcq);
    net_close(&net);
}

static void longer_datagrams_and_other_services_are_dropped(void) {
    REQUIRE(open_all(false));
    const struct rvt_ah_handle ah = net_ah(&net.nodes[0], &net.nodes[1]);
    struct vqp wide = make_qp(&net.nodes[0].v, RVT_QPT_UD);
    const struct rvt_ib_sge sge = sge_at(&net.nodes[0].mr, 0, NET_MTU + 1);
    CHECK_EQ(rvt_endpoint_attach(net.nodes[0].endpoint, wide.handle, 5), 0);
    bring_to(&wide, usual_attr(0), RVT_QPS_RTS);
    CHECK_EQ(net_receive(&net.nodes[1], &qps[1], 5, 0, 1000), 0);
    CHECK_EQ(post(&wide, SEND_WR(.sges = &sge, .num_sge = 1, .opcode = RVT_WR_SEND, .ah = &ah,
                                 .remote_qpn = qps[1].qpn, .remote_qkey = QKEY)),
             0);
    net_run(&net);
    CHECK_EQ(net_counters(&net.nodes[1]).malformed, 1);
    struct vqp a, b;
    net_connect(&net, &net.nodes[0], &net.nodes[1], &a, &b);
    CHECK_EQ(send_to(0, 1, &ah, 0, 8, QKEY, 0), 0);
    net_collect(&net);
    struct waiting *w = &net.waiting[0];
    const struct rvt_outgoing sealed = {w->bytes, w->length, w->to};
    static const uint8_t others[] = {0x04, 0x0c, 0x24, 0x2a, 0x66, 0x70, 0xff}; /* RC, UC and unknown ones */
    for (unsigned i = 0; i < sizeof(others); i++) {
        w->bytes[0] = others[i];
        rvt_endpoint_seal(net.nodes[0].endpoint, &sealed, 0);
        net_give(&net, &net.nodes[1], w);
    }
    CHECK_EQ(net_counters(&net.nodes[1]).malformed, 1 + sizeof(others));
    w->bytes[0] = 0x64; /* and one of UD to a UC queue pair */
    w->bytes[5] = (uint8_t)(b.qpn >> 16);
    w->bytes[6] = (uint8_t)(b.qpn >> 8);
    w->bytes[7] = (uint8_t)b.qpn;
    rvt_endpoint_seal(net.nodes[0].endpoint, &sealed, 0);
    net_give(&net, &net.nodes[1], w);
    CHECK_EQ(net_counters(&net.nodes[1]).malformed, 2 + sizeof(others));
    NO_WC(qps[1].rcq);
    CHECK_EQ(net_counters(&net.nodes[1]).sent, 0);
    net_close(&net);
}

static void memory_that_was_taken_back_fails_its_own_end(void) {
    REQUIRE(open_all(false));
    const struct rvt_ah_handle ah = net_ah(&net.nodes[0], &net.nodes[1]);
    static unsigned char gone[256];
    struct vmr source = make_mr(&net.nodes[0].v, gone, sizeof(gone)),
               sink = make_mr(&net.nodes[1].v, gone, sizeof(gone));
    const struct rvt_ib_sge from = sge_at(&source, 0, 8), to = sge_at(&sink, 0, 100);
    CHECK_EQ(post(&qps[0], SEND_WR(.wr_id = 1, .sges = &from, .num_sge = 1, .opcode = RVT_WR_SEND, .ah = &ah,
                                   .remote_qpn = qps[1].qpn, .remote_qkey = QKEY)),
             0);
    CHECK_EQ(send_to(0, 1, &ah, 0, 8, QKEY, 0), 0);
    CHECK_EQ(rvt_dereg_mr(source.mr, RVT_RELEASE_FORCE), 0);
    net_collect(&net);
    /* What queued work names is a region that ends: its queue pair goes into error with it, as on loopback. */
    CHECK_EQ(state_of(&qps[0]), RVT_QPS_ERR);
    net.count = 0;
    CHECK_EQ(post_receive(&qps[1], 5, &to, 1), 0);
    CHECK_EQ(rvt_dereg_mr(sink.mr, RVT_RELEASE_FORCE), 0);
    const struct rvt_ah_handle from_2 = net_ah(&net.nodes[2], &net.nodes[1]);
    CHECK_EQ(send_to(2, 1, &from_2, 0, 8, QKEY, 0), 0);
    net_run(&net);
    WC(qps[1].rcq, .wr_id = 5, .qp_num = qps[1].qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_RECEIVE_REFUSED, .refused.reason = RVT_REVOKED);
    CHECK_EQ(state_of(&qps[1]), RVT_QPS_ERR);
    CHECK_EQ(net_counters(&net.nodes[1]).sent, 0);
    net_close(&net);
}

static void attaching_tests_the_queue_pair(void) {
    REQUIRE(net_open(&net, false, 0));
    struct node *node = &net.nodes[0];
    struct vqp rc = make_qp(&node->v, RVT_QPT_RC), uc = make_qp(&node->v, RVT_QPT_UC),
               ud = make_qp(&node->v, RVT_QPT_UD);
    FAILS_WITH(rvt_endpoint_attach(node->endpoint, rc.handle, NET_MTU_CODE), RVT_EOPNOTSUPP,
               RVT_CAUSE_QP_TYPE, RVT_QPT_RC, 0, 0);
    FAILS_WITH(rvt_endpoint_attach(node->endpoint, uc.handle, NET_MTU_CODE), RVT_EOPNOTSUPP,
               RVT_CAUSE_QP_TYPE, RVT_QPT_UC, 0, 0);
    for (uint32_t code = 0; code <= 6; code += 6)
        FAILS_WITH(rvt_endpoint_attach(node->endpoint, ud.handle, code), RVT_EINVAL, RVT_CAUSE_QP_ATTRIBUTE,
                   code, 5, RVT_QPA_PATH_MTU);
    bring_to(&ud, usual_attr(0), RVT_QPS_RTR);
    FAILS_WITH(rvt_endpoint_attach(node->endpoint, ud.handle, NET_MTU_CODE), RVT_EINVAL, RVT_CAUSE_QP_STATE,
               RVT_QPS_RTR, 0, 0);
    CHECK_EQ(rvt_destroy_qp(ud.handle), 0);
    FAILS(rvt_endpoint_attach(node->endpoint, ud.handle, NET_MTU_CODE), RVT_EBADF, RVT_CAUSE_QP_GONE);
    net_close(&net);
}

static void states_decide_what_is_sent_and_received(void) {
    REQUIRE(open_all(false));
    const struct rvt_ah_handle ah = net_ah(&net.nodes[0], &net.nodes[1]);
    CHECK_EQ(net_receive(&net.nodes[1], &qps[1], 5, 0, 300), 0);
    CHECK_EQ(move_qp(&qps[0], usual_attr(0), RVT_QPS_SQD), 0);
    CHECK_EQ(send_to(0, 1, &ah, 0, 8, QKEY, 0), 0);
    net_run(&net);
    CHECK_EQ(query_qp(&qps[0]).sends, 1); /* stays */
    NO_WC(qps[1].rcq);
    CHECK_EQ(rvt_modify_qp(qps[0].handle, &(struct rvt_qp_attr){.state = RVT_QPS_RTS}, RVT_QPA_STATE), 0);
    CHECK_EQ(rvt_destroy_ah(ah), 0); /* what is queued does not need it */
    net_run(&net);
    WC(qps[1].rcq, .wr_id = 5, .qp_num = qps[1].qpn, .src_qp = qps[0].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 8 + GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    CHECK_EQ(move_qp(&qps[1], usual_attr(0), RVT_QPS_ERR), 0);
    const struct rvt_ah_handle again = net_ah(&net.nodes[0], &net.nodes[1]);
    CHECK_EQ(send_to(0, 1, &again, 0, 8, QKEY, 0), 0);
    net_run(&net);
    NO_WC(qps[1].rcq);
    CHECK_EQ(move_qp(&qps[1], usual_attr(0), RVT_QPS_RESET), 0);
    bring_to(&qps[1], (struct rvt_qp_attr){.port = 1, .qkey = QKEY},
             RVT_QPS_RTR); /* and again, still attached */
    CHECK_EQ(net_receive(&net.nodes[1], &qps[1], 6, 0, 300), 0);
    CHECK_EQ(send_to(0, 1, &again, 0, 8, QKEY, 0), 0);
    net_run(&net);
    WC(qps[1].rcq, .wr_id = 6, .qp_num = qps[1].qpn, .src_qp = qps[0].qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 8 + GRH, .flags = RVT_WC_WITH_GRH, .port = 1);
    net_close(&net);
}

CHECK_MAIN(TEST(a_datagram_arrives_behind_its_header), TEST(over_ipv6_the_header_fills_the_place),
           TEST(one_queue_pair_talks_to_many), TEST(a_wrong_q_key_is_dropped_and_counted),
           TEST(without_a_receive_or_with_a_short_one_it_is_dropped),
           TEST(an_empty_datagram_brings_the_header), TEST(posting_tests_the_length_and_the_destination),
           TEST(longer_datagrams_and_other_services_are_dropped),
           TEST(memory_that_was_taken_back_fails_its_own_end), TEST(attaching_tests_the_queue_pair),
           TEST(states_decide_what_is_sent_and_received))
