/* SPDX-License-Identifier: BSD-3-Clause */
/* UD queue pairs: address handles, Q_Keys, the 40 bytes of the GRH, and messages that are dropped. */
#include "traffic.h"

enum { GRH = 40, CONTROLLED = 0x80000000 };

/* Two UD queue pairs, and an address handle of the device's own port. */
struct datagrams {
    struct scene s;
    struct ibv_ah *ah;
};

static bool datagrams_open(struct datagrams *d, struct qp_options options) {
    options.type = IBV_QPT_UD;
    return scene_open_with(&d->s, options) && make_ah(&d->s.w, d->s.w.pd, &d->ah);
}

static struct request datagram(const struct datagrams *d, uint64_t id, struct ibv_sge sge, uint32_t qkey) {
    return (struct request){.opcode = IBV_WR_SEND,
                            .id = id,
                            .sge = sge,
                            .ah = d->ah,
                            .remote_qpn = d->s.b.qp->qp_num,
                            .remote_qkey = qkey};
}

static void set_qkey(struct end *end, uint32_t qkey) {
    struct ibv_qp_attr attr = {.qkey = qkey};
    CHECK_EQ(ibv_modify_qp(end->qp, &attr, IBV_QP_QKEY), 0);
}

static void a_datagram_arrives_behind_the_grh(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    CHECK_EQ(receive(&d.s.b, 20, part(&d.s.remote, 0, 100)), 0);
    struct request r = datagram(&d, 1, part(&d.s.local, 0, 32), QKEY);
    r.opcode = IBV_WR_SEND_WITH_IMM;
    r.imm = 0x0a0b0c0d;
    CHECK_EQ(post(&d.s.a, r), 0);
    CHECK_EQ(SENT(&d.s.a, 1, IBV_WC_SUCCESS).opcode, IBV_WC_SEND);
    struct ibv_wc wc = RECEIVED(&d.s.b, 20, IBV_WC_SUCCESS);
    CHECK_EQ(wc.opcode, IBV_WC_RECV);
    CHECK_EQ(wc.byte_len, 32 + GRH);
    CHECK_EQ(wc.src_qp, d.s.a.qp->qp_num);
    CHECK_EQ(wc.wc_flags & IBV_WC_WITH_IMM, IBV_WC_WITH_IMM);
    CHECK_EQ(be32toh(wc.imm_data), 0x0a0b0c0d);
    CHECK(all_bytes_are(d.s.remote.bytes + GRH, 32, LOCAL_FILL));
    CHECK(all_bytes_are(d.s.remote.bytes + GRH + 32, 64, REMOTE_FILL));
    scene_close(&d.s);
}

/* Sends one datagram that must not arrive, and one that must. */
static void is_dropped(struct datagrams *d, struct request dropped) {
    CHECK_EQ(receive(&d->s.b, 20, part(&d->s.remote, 0, 100)), 0);
    CHECK_EQ(post(&d->s.a, dropped), 0);
    SENT(&d->s.a, dropped.id, IBV_WC_SUCCESS); /* the sender does not learn it */
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(d->s.b.rcq);
    CHECK(all_bytes_are(d->s.remote.bytes, SCENE_BYTES, REMOTE_FILL));
    CHECK_EQ(post(&d->s.a, datagram(d, 99, part(&d->s.local, 0, 8), QKEY)), 0);
    SENT(&d->s.a, 99, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&d->s.b, 20, IBV_WC_SUCCESS).byte_len, 8 + GRH);
    CHECK(all_bytes_are(d->s.remote.bytes + GRH, 8, LOCAL_FILL));
    memset(d->s.remote.bytes, REMOTE_FILL, SCENE_BYTES);
}

static void a_wrong_qkey_is_dropped(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    is_dropped(&d, datagram(&d, 1, part(&d.s.local, 0, 8), QKEY + 1));
    is_dropped(&d, datagram(&d, 2, part(&d.s.local, 0, 8), 0));
    is_dropped(&d, datagram(&d, 3, part(&d.s.local, 0, 8), QKEY ^ 0x40000000));
    scene_close(&d.s);
}

/* A controlled Q_Key (its highest bit is set) in the work request stands for the sender's own Q_Key, so that
 * a program cannot name the Q_Keys that are reserved for privileged queue pairs. */
static void a_controlled_qkey_means_the_senders_own(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    CHECK_EQ(receive(&d.s.b, 20, part(&d.s.remote, 0, 100)), 0);
    CHECK_EQ(post(&d.s.a, datagram(&d, 1, part(&d.s.local, 0, 8), CONTROLLED | 7)), 0);
    SENT(&d.s.a, 1, IBV_WC_SUCCESS);
    RECEIVED(&d.s.b, 20, IBV_WC_SUCCESS); /* both have QKEY */
    memset(d.s.remote.bytes, REMOTE_FILL, SCENE_BYTES);

    set_qkey(&d.s.a, 5);
    is_dropped(&d, datagram(&d, 2, part(&d.s.local, 0, 8), CONTROLLED | QKEY));
    set_qkey(&d.s.b, CONTROLLED | 7);
    CHECK_EQ(receive(&d.s.b, 21, part(&d.s.remote, 0, 100)), 0);
    CHECK_EQ(post(&d.s.a, datagram(&d, 3, part(&d.s.local, 0, 8), CONTROLLED | 7)), 0);
    SENT(&d.s.a, 3, IBV_WC_SUCCESS);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(d.s.b.rcq); /* the message had the Q_Key 5 */
    scene_close(&d.s);
}

static void a_datagram_without_a_receiver_is_dropped(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    struct request r = datagram(&d, 1, part(&d.s.local, 0, 8), QKEY);
    r.remote_qpn = 0xfffff0;
    is_dropped(&d, r);
    /* no receive is posted */
    CHECK_EQ(post(&d.s.a, datagram(&d, 2, part(&d.s.local, 0, 8), QKEY)), 0);
    SENT(&d.s.a, 2, IBV_WC_SUCCESS);
    CHECK_EQ(receive(&d.s.b, 20, part(&d.s.remote, 0, 100)), 0);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(d.s.b.rcq);
    scene_close(&d.s);
}

static void a_queue_pair_of_another_type_gets_no_datagram(void) {
    struct datagrams d;
    struct end connected;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    REQUIRE(make_end(&d.s.w, d.s.w.pd, (struct qp_options){0}, &connected));
    REQUIRE(bring_up(&connected, d.s.a.qp->qp_num));
    CHECK_EQ(receive(&connected, 20, part(&d.s.remote, 0, 100)), 0);
    static const uint32_t qkeys[] = {QKEY, 0}; /* a connected queue pair has no Q_Key: it reads as 0 */
    for (size_t i = 0; i < sizeof(qkeys) / sizeof(qkeys[0]); i++) {
        struct request r = datagram(&d, 1, part(&d.s.local, 0, 8), qkeys[i]);
        r.remote_qpn = connected.qp->qp_num;
        CHECK_EQ(post(&d.s.a, r), 0);
        SENT(&d.s.a, 1, IBV_WC_SUCCESS);
    }
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(connected.rcq);
    CHECK(all_bytes_are(d.s.remote.bytes, 100, REMOTE_FILL));
    scene_close(&d.s);
}

static void a_receive_needs_room_for_the_grh(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    CHECK_EQ(receive(&d.s.b, 20, part(&d.s.remote, 0, GRH + 7)), 0);
    CHECK_EQ(post(&d.s.a, datagram(&d, 1, part(&d.s.local, 0, 8), QKEY)), 0);
    SENT(&d.s.a, 1, IBV_WC_SUCCESS);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(d.s.b.rcq);
    CHECK(all_bytes_are(d.s.remote.bytes, SCENE_BYTES, REMOTE_FILL));
    CHECK_EQ(state_of(&d.s.b), IBV_QPS_RTS);
    CHECK_EQ(post(&d.s.a, datagram(&d, 2, part(&d.s.local, 0, 7), QKEY)), 0);
    SENT(&d.s.a, 2, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&d.s.b, 20, IBV_WC_SUCCESS).byte_len, GRH + 7);
    CHECK(all_bytes_are(d.s.remote.bytes + GRH, 7, LOCAL_FILL));
    scene_close(&d.s);
}

static void a_receive_with_a_bad_key_brings_the_receiver_into_error(void) {
    struct datagrams d;
    struct memory foreign;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    REQUIRE(make_memory(&d.s.w, d.s.w.other_pd, 128, 1, ALL_RIGHTS, &foreign));
    CHECK_EQ(receive(&d.s.b, 20, part(&foreign, 0, 100)), 0);
    CHECK_EQ(post(&d.s.a, datagram(&d, 1, part(&d.s.local, 0, 8), QKEY)), 0);
    SENT(&d.s.a, 1, IBV_WC_SUCCESS);
    RECEIVED(&d.s.b, 20, IBV_WC_LOC_PROT_ERR);
    CHECK_EQ(state_of(&d.s.b), IBV_QPS_ERR);
    CHECK_EQ(state_of(&d.s.a), IBV_QPS_RTS);
    CHECK(all_bytes_are(foreign.bytes, 128, 1));
    scene_close(&d.s);
}

static void an_address_handle_of_another_domain_is_refused(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    struct ibv_ah *foreign;
    REQUIRE(make_ah(&d.s.w, d.s.w.other_pd, &foreign));
    struct request r = datagram(&d, 1, part(&d.s.local, 0, 8), QKEY);
    r.ah = foreign;
    CHECK_EQ(post(&d.s.a, r), EINVAL);
    IS_EMPTY(d.s.a.scq);
    scene_close(&d.s);
}

static void a_datagram_cannot_be_longer_than_the_mtu(void) {
    struct datagrams d;
    struct ibv_port_attr port;
    struct memory large;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    REQUIRE(ibv_query_port(d.s.w.context, PORT, &port) == 0);
    const uint32_t mtu = 128u << port.active_mtu;
    REQUIRE(make_memory(&d.s.w, d.s.w.pd, 2 * mtu + GRH, 1, ALL_RIGHTS, &large));
    CHECK_EQ(post(&d.s.a, datagram(&d, 1, part(&large, 0, mtu + 1), QKEY)), EINVAL);
    CHECK_EQ(receive(&d.s.b, 20, part(&large, mtu, mtu + GRH)), 0);
    CHECK_EQ(post(&d.s.a, datagram(&d, 2, part(&large, 0, mtu), QKEY)), 0);
    SENT(&d.s.a, 2, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&d.s.b, 20, IBV_WC_SUCCESS).byte_len, mtu + GRH);
    scene_close(&d.s);
}

static void only_sends_are_datagrams(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    static const enum ibv_wr_opcode opcodes[] = {IBV_WR_RDMA_WRITE,         IBV_WR_RDMA_WRITE_WITH_IMM,
                                                 IBV_WR_RDMA_READ,          IBV_WR_ATOMIC_FETCH_AND_ADD,
                                                 IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_SEND_WITH_INV};
    for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
        struct request r = datagram(&d, i, part(&d.s.local, 0, 8), QKEY);
        r.opcode = opcodes[i];
        CHECK_EQ(post(&d.s.a, r), EINVAL);
    }
    IS_EMPTY(d.s.a.scq);
    scene_close(&d.s);
}

static void moves_need_and_take_the_attributes_of_datagrams(void) {
    struct scene s;
    struct ibv_qp_init_attr init;
    REQUIRE(scene_open_in_reset(&s, (struct qp_options){.type = IBV_QPT_UD}));
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = PORT, .qkey = 7};
    const int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY;
    refuses_without_each(&s.a, &attr, mask);
    CHECK_EQ(ibv_modify_qp(s.a.qp, &attr, mask | IBV_QP_ACCESS_FLAGS), EINVAL);
    CHECK_EQ(ibv_modify_qp(s.a.qp, &attr, mask), 0);
    CHECK_EQ(ibv_query_qp(s.a.qp, &attr, IBV_QP_STATE | IBV_QP_QKEY, &init), 0);
    CHECK_EQ(attr.qp_state, IBV_QPS_INIT);
    CHECK_EQ(attr.qkey, 7);
    CHECK_EQ(init.qp_type, IBV_QPT_UD);

    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTR, .dest_qp_num = s.b.qp->qp_num};
    CHECK_EQ(ibv_modify_qp(s.a.qp, &attr, IBV_QP_STATE | IBV_QP_DEST_QPN), EINVAL);
    CHECK_EQ(ibv_modify_qp(s.a.qp, &attr, IBV_QP_STATE), 0);
    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS, .sq_psn = 5, .qkey = 9};
    refuses_without_each(&s.a, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN);
    CHECK_EQ(ibv_modify_qp(s.a.qp, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_QKEY), 0);
    CHECK_EQ(ibv_query_qp(s.a.qp, &attr, IBV_QP_STATE | IBV_QP_QKEY | IBV_QP_SQ_PSN, &init), 0);
    CHECK_EQ(attr.qp_state, IBV_QPS_RTS);
    CHECK_EQ(attr.qkey, 9);
    CHECK_EQ(attr.sq_psn, 5);
    scene_close(&s);
}

/* The error state and RESET do with datagrams what they do with other work. */
static void waiting_datagrams_are_flushed_or_dropped(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    for (int kind = 0; kind < 2; kind++) {
        CHECK_EQ(to_state(&d.s.a, IBV_QPS_SQD), 0); /* keeps the datagrams in the queue */
        for (uint64_t id = 1; id <= 3; id++)
            CHECK_EQ(post(&d.s.a, datagram(&d, id, part(&d.s.local, 0, 8), QKEY)), 0);
        IS_EMPTY(d.s.a.scq);
        CHECK_EQ(to_state(&d.s.a, kind ? IBV_QPS_ERR : IBV_QPS_RESET), 0);
        for (uint64_t id = 1; kind && id <= 3; id++)
            SENT(&d.s.a, id, IBV_WC_WR_FLUSH_ERR);
        IS_EMPTY(d.s.a.scq);
        if (!kind)
            CHECK(bring_up(&d.s.a, 0));
    }
    CHECK_EQ(receive(&d.s.b, 20, part(&d.s.remote, 0, 100)), 0);
    CHECK_EQ(to_state(&d.s.b, IBV_QPS_ERR), 0);
    RECEIVED(&d.s.b, 20, IBV_WC_WR_FLUSH_ERR);
    scene_close(&d.s);
}

/* The program may destroy the address handle once the datagram is posted. */
static void a_posted_datagram_does_not_need_its_address_handle(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    CHECK_EQ(to_state(&d.s.a, IBV_QPS_SQD), 0); /* keeps the datagram in the queue */
    CHECK_EQ(post(&d.s.a, datagram(&d, 1, part(&d.s.local, 0, 8), QKEY)), 0);
    IS_EMPTY(d.s.a.scq);
    CHECK_EQ(world_destroy(&d.s.w, d.ah), 0);
    REQUIRE(make_ah(&d.s.w, d.s.w.pd, &d.ah));
    CHECK_EQ(receive(&d.s.b, 20, part(&d.s.remote, 0, 100)), 0);
    CHECK_EQ(receive(&d.s.b, 21, part(&d.s.remote, 100, 100)), 0);
    CHECK_EQ(to_state(&d.s.a, IBV_QPS_RTS), 0);
    CHECK_EQ(post(&d.s.a, datagram(&d, 2, part(&d.s.local, 0, 8), QKEY)), 0);
    SENT(&d.s.a, 1, IBV_WC_SUCCESS);
    SENT(&d.s.a, 2, IBV_WC_SUCCESS);
    RECEIVED(&d.s.b, 20, IBV_WC_SUCCESS);
    RECEIVED(&d.s.b, 21, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(d.s.remote.bytes + GRH, 8, LOCAL_FILL));
    scene_close(&d.s);
}

static void an_address_handle_needs_a_port_of_the_device(void) {
    struct world w;
    REQUIRE(world_open(&w));
    struct ibv_ah_attr attr = own_port(w.context);
    attr.port_num = PORT + 1;
    errno = 0;
    CHECK_PTR_EQ(ibv_create_ah(w.pd, &attr), NULL);
    CHECK_EQ(errno, EINVAL);
    attr.port_num = 0;
    errno = 0;
    CHECK_PTR_EQ(ibv_create_ah(w.pd, &attr), NULL);
    CHECK_EQ(errno, EINVAL);
    world_close(&w);
}

/* The receiver answers with an address handle that is made from the completion. */
static void an_address_handle_from_a_completion_leads_back(void) {
    struct datagrams d;
    REQUIRE(datagrams_open(&d, (struct qp_options){0}));
    CHECK_EQ(receive(&d.s.b, 20, part(&d.s.remote, 0, 100)), 0);
    CHECK_EQ(post(&d.s.a, datagram(&d, 1, part(&d.s.local, 0, 8), QKEY)), 0);
    SENT(&d.s.a, 1, IBV_WC_SUCCESS);
    struct ibv_wc wc = RECEIVED(&d.s.b, 20, IBV_WC_SUCCESS);
    struct ibv_ah *back = ibv_create_ah_from_wc(d.s.w.pd, &wc, (struct ibv_grh *)d.s.remote.bytes, PORT);
    REQUIRE(world_keep(&d.s.w, AH, back));
    CHECK_EQ(receive(&d.s.a, 21, part(&d.s.local, 0, 100)), 0);
    struct request r = {.opcode = IBV_WR_SEND,
                        .id = 2,
                        .sge = part(&d.s.remote, 200, 8),
                        .ah = back,
                        .remote_qpn = wc.src_qp,
                        .remote_qkey = QKEY};
    CHECK_EQ(post(&d.s.b, r), 0);
    SENT(&d.s.b, 2, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&d.s.a, 21, IBV_WC_SUCCESS).src_qp, d.s.b.qp->qp_num);
    CHECK(all_bytes_are(d.s.local.bytes + GRH, 8, REMOTE_FILL));
    scene_close(&d.s);
}

CHECK_MAIN(TEST(a_datagram_arrives_behind_the_grh), TEST(a_wrong_qkey_is_dropped),
           TEST(a_controlled_qkey_means_the_senders_own), TEST(a_datagram_without_a_receiver_is_dropped),
           TEST(a_queue_pair_of_another_type_gets_no_datagram), TEST(a_receive_needs_room_for_the_grh),
           TEST(a_receive_with_a_bad_key_brings_the_receiver_into_error),
           TEST(an_address_handle_of_another_domain_is_refused),
           TEST(a_datagram_cannot_be_longer_than_the_mtu), TEST(only_sends_are_datagrams),
           TEST(moves_need_and_take_the_attributes_of_datagrams),
           TEST(waiting_datagrams_are_flushed_or_dropped),
           TEST(a_posted_datagram_does_not_need_its_address_handle),
           TEST(an_address_handle_needs_a_port_of_the_device),
           TEST(an_address_handle_from_a_completion_leads_back))
