/* SPDX-License-Identifier: BSD-3-Clause */
/* States of queue pairs: which moves and attributes are allowed, what ibv_query_qp() reports after each move,
 * in which states work can be posted, and what the error state and RESET do with posted work. */
#include "traffic.h"

/* A send that waits for a receive: the requester retries for ever, and the first retry comes after 0.49 s. */
static const struct qp_options WAITING = {.rnr_retry = 7, .min_rnr_timer = 31};

/* --- moves --- */

static struct ibv_qp_attr attributes_of(const struct end *end) {
    struct ibv_qp_attr attr = {0};
    struct ibv_qp_init_attr init = {0};
    CHECK_EQ(ibv_query_qp(end->qp, &attr, 0x1ffffff, &init), 0);
    return attr;
}

/* ibv_modify_qp() also updates qp->state. ibv_query_qp() updates it as well, so it is compared before that. */
static void query_reports_the_attributes_of_each_move(void) {
    struct scene s;
    REQUIRE(scene_open_in_reset(
        &s, (struct qp_options){.send_wr = 7, .recv_wr = 5, .send_sge = 3, .recv_sge = 2}));
    struct ibv_qp_attr attr;
    struct ibv_qp_init_attr init = {0};
    CHECK_EQ(ibv_query_qp(s.a.qp, &attr, IBV_QP_STATE | IBV_QP_CAP, &init), 0);
    CHECK_EQ(attr.qp_state, IBV_QPS_RESET);
    CHECK(attr.cap.max_send_wr >= 7 && attr.cap.max_recv_wr >= 5);
    CHECK(attr.cap.max_send_sge >= 3 && attr.cap.max_recv_sge >= 2);
    CHECK_EQ(init.cap.max_send_wr, attr.cap.max_send_wr);
    CHECK_EQ(init.cap.max_recv_wr, attr.cap.max_recv_wr);
    CHECK_EQ(init.qp_type, IBV_QPT_RC);
    CHECK_EQ(init.sq_sig_all, 0);
    CHECK_PTR_EQ(init.send_cq, s.a.scq);
    CHECK_PTR_EQ(init.recv_cq, s.a.rcq);
    CHECK_PTR_EQ(init.srq, NULL);
    CHECK_PTR_EQ(init.qp_context, &s.a);
    CHECK_EQ(s.a.qp->state, IBV_QPS_RESET);
    CHECK_EQ(s.a.qp->qp_type, IBV_QPT_RC);
    CHECK_PTR_EQ(s.a.qp->pd, s.w.pd);

    s.a.options.access = IBV_ACCESS_REMOTE_READ;
    CHECK_EQ(to_init(&s.a), 0);
    CHECK_EQ(s.a.qp->state, IBV_QPS_INIT);
    attr = attributes_of(&s.a);
    CHECK_EQ(attr.qp_state, IBV_QPS_INIT);
    CHECK_EQ(attr.port_num, PORT);
    CHECK_EQ(attr.pkey_index, 0);
    CHECK_EQ(attr.qp_access_flags, IBV_ACCESS_REMOTE_READ);

    struct ibv_qp_attr rtr;
    int mask = rtr_attributes(&s.a, s.b.qp->qp_num, &rtr);
    rtr.path_mtu = IBV_MTU_512;
    rtr.rq_psn = 0x123456;
    rtr.min_rnr_timer = 12;
    CHECK_EQ(ibv_modify_qp(s.a.qp, &rtr, mask), 0);
    CHECK_EQ(s.a.qp->state, IBV_QPS_RTR);
    attr = attributes_of(&s.a);
    CHECK_EQ(attr.qp_state, IBV_QPS_RTR);
    CHECK_EQ(attr.path_mtu, IBV_MTU_512);
    CHECK_EQ(attr.dest_qp_num, s.b.qp->qp_num);
    CHECK_EQ(attr.rq_psn, 0x123456);
    CHECK_EQ(attr.max_dest_rd_atomic, 1);
    CHECK_EQ(attr.min_rnr_timer, 12);
    CHECK_EQ(attr.ah_attr.port_num, PORT);
    CHECK_EQ(attr.ah_attr.dlid, rtr.ah_attr.dlid);
    CHECK_EQ(attr.ah_attr.is_global, 1);
    CHECK_BYTES_EQ(attr.ah_attr.grh.dgid.raw, rtr.ah_attr.grh.dgid.raw, 16);
    CHECK_EQ(attr.qp_access_flags, IBV_ACCESS_REMOTE_READ);

    struct ibv_qp_attr rts;
    mask = rts_attributes(&s.a, &rts);
    rts.sq_psn = 0x654321;
    rts.timeout = 13;
    rts.retry_cnt = 5;
    rts.rnr_retry = 3;
    CHECK_EQ(ibv_modify_qp(s.a.qp, &rts, mask), 0);
    CHECK_EQ(s.a.qp->state, IBV_QPS_RTS);
    attr = attributes_of(&s.a);
    CHECK_EQ(attr.qp_state, IBV_QPS_RTS);
    CHECK_EQ(attr.cur_qp_state, IBV_QPS_RTS);
    CHECK_EQ(attr.sq_psn, 0x654321);
    CHECK_EQ(attr.timeout, 13);
    CHECK_EQ(attr.retry_cnt, 5);
    CHECK_EQ(attr.rnr_retry, 3);
    CHECK_EQ(attr.max_rd_atomic, 1);

    CHECK_EQ(to_state(&s.a, IBV_QPS_SQD), 0);
    CHECK_EQ(attributes_of(&s.a).qp_state, IBV_QPS_SQD);
    CHECK_EQ(attributes_of(&s.a).sq_draining, 0);
    CHECK_EQ(to_state(&s.a, IBV_QPS_RTS), 0);
    CHECK_EQ(attributes_of(&s.a).qp_state, IBV_QPS_RTS);
    CHECK_EQ(to_state(&s.a, IBV_QPS_ERR), 0);
    CHECK_EQ(s.a.qp->state, IBV_QPS_ERR);
    CHECK_EQ(attributes_of(&s.a).qp_state, IBV_QPS_ERR);
    CHECK_EQ(to_state(&s.a, IBV_QPS_RESET), 0);
    CHECK_EQ(s.a.qp->state, IBV_QPS_RESET);
    attr = attributes_of(&s.a);
    CHECK_EQ(attr.qp_state, IBV_QPS_RESET);
    CHECK_EQ(attr.dest_qp_num, 0);
    CHECK_EQ(attr.sq_psn, 0);
    CHECK_EQ(attr.qp_access_flags, 0);
    scene_close(&s);
}

static void the_moves_that_do_not_exist_are_refused(void) {
    static const struct {
        enum ibv_qp_state from, to;
    } none[] = {
        {IBV_QPS_RESET, IBV_QPS_RTR}, {IBV_QPS_RESET, IBV_QPS_RTS}, {IBV_QPS_RESET, IBV_QPS_SQD},
        {IBV_QPS_RESET, IBV_QPS_ERR}, {IBV_QPS_INIT, IBV_QPS_RTS},  {IBV_QPS_INIT, IBV_QPS_SQD},
        {IBV_QPS_RTR, IBV_QPS_INIT},  {IBV_QPS_RTR, IBV_QPS_SQD},   {IBV_QPS_RTS, IBV_QPS_INIT},
        {IBV_QPS_RTS, IBV_QPS_RTR},   {IBV_QPS_SQD, IBV_QPS_INIT},  {IBV_QPS_SQD, IBV_QPS_RTR},
        {IBV_QPS_ERR, IBV_QPS_INIT},  {IBV_QPS_ERR, IBV_QPS_RTR},   {IBV_QPS_ERR, IBV_QPS_RTS},
        {IBV_QPS_ERR, IBV_QPS_SQD},   {IBV_QPS_RTS, IBV_QPS_SQE},
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct scene s;
        REQUIRE(scene_open_in_reset(&s, (struct qp_options){0}));
        enum ibv_qp_state from = none[i].from;
        if (from != IBV_QPS_RESET)
            CHECK_EQ(to_init(&s.a), 0);
        if (from != IBV_QPS_RESET && from != IBV_QPS_INIT)
            CHECK_EQ(to_rtr(&s.a, s.b.qp->qp_num), 0);
        if (from == IBV_QPS_RTS || from == IBV_QPS_SQD || from == IBV_QPS_ERR)
            CHECK_EQ(to_rts(&s.a), 0);
        if (from == IBV_QPS_SQD || from == IBV_QPS_ERR)
            CHECK_EQ(to_state(&s.a, from), 0);
        CHECK_EQ(state_of(&s.a), from);

        /* All attributes that the new state needs are given, so that only the move is wrong. */
        struct ibv_qp_attr attr = {.qp_state = none[i].to};
        int mask = IBV_QP_STATE;
        if (none[i].to == IBV_QPS_RTR) {
            mask = rtr_attributes(&s.a, s.b.qp->qp_num, &attr);
        } else if (none[i].to == IBV_QPS_RTS) {
            mask = rts_attributes(&s.a, &attr);
        } else if (none[i].to == IBV_QPS_INIT) {
            mask |= IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
            attr.port_num = PORT;
        }
        CHECK_EQ(ibv_modify_qp(s.a.qp, &attr, mask), EINVAL);
        CHECK_EQ(s.a.qp->state, from);
        CHECK_EQ(state_of(&s.a), from);
        scene_close(&s);
    }
}

static void moves_need_all_their_attributes(void) {
    static const enum ibv_qp_type types[] = {IBV_QPT_RC, IBV_QPT_UC};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct scene s;
        REQUIRE(scene_open_in_reset(&s, (struct qp_options){.type = types[i]}));
        struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = PORT};
        int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
        refuses_without_each(&s.a, &attr, mask);
        CHECK_EQ(to_init(&s.a), 0);
        mask = rtr_attributes(&s.a, s.b.qp->qp_num, &attr);
        refuses_without_each(&s.a, &attr, mask);
        CHECK_EQ(to_rtr(&s.a, s.b.qp->qp_num), 0);
        mask = rts_attributes(&s.a, &attr);
        refuses_without_each(&s.a, &attr, mask);
        CHECK_EQ(to_rts(&s.a), 0);
        scene_close(&s);
    }
}

static void moves_refuse_attributes_that_do_not_belong_to_them(void) {
    struct scene s;
    REQUIRE(scene_open_in_reset(&s, (struct qp_options){0}));
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = PORT, .qkey = QKEY};
    int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
    refuses(&s.a, &attr, mask | IBV_QP_QKEY);
    refuses(&s.a, &attr, mask | IBV_QP_DEST_QPN);
    refuses(&s.a, &attr, mask | IBV_QP_CAP);
    CHECK_EQ(to_init(&s.a), 0);
    mask = rtr_attributes(&s.a, s.b.qp->qp_num, &attr);
    refuses(&s.a, &attr, mask | IBV_QP_SQ_PSN);
    refuses(&s.a, &attr, mask | IBV_QP_QKEY);
    CHECK_EQ(to_rtr(&s.a, s.b.qp->qp_num), 0);
    mask = rts_attributes(&s.a, &attr);
    refuses(&s.a, &attr, mask | IBV_QP_DEST_QPN);
    refuses(&s.a, &attr, mask | IBV_QP_PORT);
    CHECK_EQ(to_rts(&s.a), 0);
    attr = (struct ibv_qp_attr){.qp_state = IBV_QPS_RTS};
    refuses(&s.a, &attr, IBV_QP_STATE | IBV_QP_SQ_PSN);
    refuses(&s.a, &attr, IBV_QP_STATE | IBV_QP_AV);
    scene_close(&s);
}

static void moves_refuse_invalid_values(void) {
    struct scene s;
    REQUIRE(scene_open_in_reset(&s, (struct qp_options){0}));
    struct ibv_device_attr device;
    REQUIRE(ibv_query_device(s.w.context, &device) == 0);
    const int init_mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;
    refuses(&s.a, &(struct ibv_qp_attr){.qp_state = IBV_QPS_INIT, .port_num = 0}, init_mask);
    refuses(&s.a, &(struct ibv_qp_attr){.qp_state = IBV_QPS_INIT, .port_num = PORT + 1}, init_mask);
    refuses(&s.a,
            &(struct ibv_qp_attr){.qp_state = IBV_QPS_INIT, .port_num = PORT, .pkey_index = device.max_pkeys},
            init_mask);
    refuses(&s.a, &(struct ibv_qp_attr){.qp_state = (enum ibv_qp_state)17, .port_num = PORT}, init_mask);
    CHECK_EQ(to_init(&s.a), 0);

    struct ibv_qp_attr good, attr;
    int mask = rtr_attributes(&s.a, s.b.qp->qp_num, &good);
    attr = good;
    attr.path_mtu = (enum ibv_mtu)0;
    refuses(&s.a, &attr, mask);
    attr.path_mtu = (enum ibv_mtu)6;
    refuses(&s.a, &attr, mask);
    attr = good;
    attr.dest_qp_num = 0x1000000;
    refuses(&s.a, &attr, mask);
    attr = good;
    attr.min_rnr_timer = 32;
    refuses(&s.a, &attr, mask);
    attr = good;
    attr.ah_attr.port_num = PORT + 1;
    refuses(&s.a, &attr, mask);
    attr = good;
    if (device.max_qp_rd_atom < 255) {
        attr.max_dest_rd_atomic = (uint8_t)(device.max_qp_rd_atom + 1);
        refuses(&s.a, &attr, mask);
    }
    CHECK_EQ(to_rtr(&s.a, s.b.qp->qp_num), 0);

    mask = rts_attributes(&s.a, &good);
    attr = good;
    attr.retry_cnt = 8;
    refuses(&s.a, &attr, mask);
    attr = good;
    attr.rnr_retry = 8;
    refuses(&s.a, &attr, mask);
    CHECK_EQ(to_rts(&s.a), 0);
    scene_close(&s);
}

/* cur_qp_state is the state that the caller expects. If the move were judged by a wrong one, a queue pair could
 * skip a state. */
static void a_wrong_current_state_is_refused(void) {
    struct scene s;
    struct ibv_qp_attr attr;
    REQUIRE(scene_open_in_reset(&s, (struct qp_options){0}));
    CHECK_EQ(to_init(&s.a), 0);
    int mask = rts_attributes(&s.a, &attr);
    attr.cur_qp_state = IBV_QPS_RTR;
    refuses(&s.a, &attr, mask | IBV_QP_CUR_STATE);
    CHECK_EQ(to_rtr(&s.a, s.b.qp->qp_num), 0);
    attr.cur_qp_state = IBV_QPS_RTS;
    refuses(&s.a, &attr, mask | IBV_QP_CUR_STATE);
    attr.cur_qp_state = IBV_QPS_RTR;
    CHECK_EQ(ibv_modify_qp(s.a.qp, &attr, mask | IBV_QP_CUR_STATE), 0);
    scene_close(&s);
}

static void attributes_change_without_a_move(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_qp_attr attr = {.qp_access_flags = 0, .min_rnr_timer = 20};
    CHECK_EQ(ibv_modify_qp(s.b.qp, &attr, IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER), 0);
    CHECK_EQ(state_of(&s.b), IBV_QPS_RTS);
    CHECK_EQ(attributes_of(&s.b).qp_access_flags, 0);
    CHECK_EQ(attributes_of(&s.b).min_rnr_timer, 20);
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_REM_INV_REQ_ERR);
    scene_close(&s);
}

/* sq_psn counts the packets of what was posted: each message has at least one, of path_mtu bytes. */
static void query_counts_packets(void) {
    struct scene s;
    struct ibv_qp_attr attr;
    REQUIRE(scene_open_in_rtr(&s));
    int mask = rts_attributes(&s.a, &attr);
    attr.sq_psn = 0xfffffd;
    CHECK_EQ(ibv_modify_qp(s.a.qp, &attr, mask), 0);
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 2049), &s.remote, 0)), 0); /* 3 packets of 1024 bytes */
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(attributes_of(&s.a).sq_psn, 0); /* modulo 2^24 */
    CHECK_EQ(post(&s.a, (struct request){.opcode = IBV_WR_RDMA_WRITE, .id = 2}), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    CHECK_EQ(attributes_of(&s.a).sq_psn, 1);
    CHECK_EQ(post(&s.a, write_of(3, part(&s.local, 0, SCENE_BYTES + 1), &s.remote, 0)), EINVAL);
    CHECK_EQ(attributes_of(&s.a).sq_psn, 1); /* a refused one has none */
    scene_close(&s);
}

/* --- posting --- */

static void sends_can_be_posted_only_when_ready(void) {
    struct scene s;
    REQUIRE(scene_open_in_reset(&s, (struct qp_options){0}));
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), EINVAL);
    CHECK_EQ(to_init(&s.a), 0);
    CHECK_EQ(post(&s.a, send_of(2, part(&s.local, 0, 8))), EINVAL);
    CHECK_EQ(to_rtr(&s.a, s.b.qp->qp_num), 0);
    CHECK_EQ(post(&s.a, send_of(3, part(&s.local, 0, 8))), EINVAL);
    IS_EMPTY(s.a.scq);
    CHECK_EQ(to_rts(&s.a), 0);
    IS_EMPTY(s.a.scq);
    CHECK(bring_up(&s.b, s.a.qp->qp_num));
    CHECK_EQ(receive(&s.b, 4, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(post(&s.a, send_of(5, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 5, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 4, IBV_WC_SUCCESS);
    scene_close(&s);
}

static void receives_can_be_posted_from_init_on(void) {
    struct scene s;
    REQUIRE(scene_open_in_reset(&s, (struct qp_options){0}));
    CHECK_EQ(receive(&s.b, 1, part(&s.remote, 0, 8)), EINVAL);
    CHECK_EQ(to_init(&s.b), 0);
    CHECK_EQ(receive(&s.b, 2, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(to_rtr(&s.b, s.a.qp->qp_num), 0);
    CHECK_EQ(receive(&s.b, 3, part(&s.remote, 8, 8)), 0);
    /* A queue pair in RTR receives. */
    CHECK(bring_up(&s.a, s.b.qp->qp_num));
    CHECK_EQ(post(&s.a, send_of(4, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 4, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 2, IBV_WC_SUCCESS);
    IS_EMPTY(s.b.rcq);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    CHECK(all_bytes_are(s.remote.bytes + 8, 8, REMOTE_FILL));
    scene_close(&s);
}

/* Nobody answers a request to a queue pair that is not ready, so the requester's retries run out. */
static void a_peer_that_is_not_ready_does_not_answer(void) {
    struct scene s;
    REQUIRE(scene_open_in_reset(&s, (struct qp_options){0}));
    CHECK_EQ(to_init(&s.b), 0);
    CHECK(bring_up(&s.a, s.b.qp->qp_num));
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_RETRY_EXC_ERR);
    CHECK_EQ(state_of(&s.a), IBV_QPS_ERR);
    CHECK(all_bytes_are(s.remote.bytes, 8, REMOTE_FILL));
    scene_close(&s);
}

static void a_peer_of_another_type_does_not_answer(void) {
    struct scene s;
    struct end unreliable;
    REQUIRE(scene_open_in_reset(&s, (struct qp_options){0}));
    REQUIRE(make_end(&s.w, s.w.pd, (struct qp_options){.type = IBV_QPT_UC}, &unreliable));
    REQUIRE(bring_up(&unreliable, s.a.qp->qp_num));
    REQUIRE(bring_up(&s.a, unreliable.qp->qp_num));
    CHECK_EQ(receive(&unreliable, 1, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(post(&s.a, send_of(2, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 2, IBV_WC_RETRY_EXC_ERR);
    IS_EMPTY(unreliable.rcq);
    CHECK_EQ(state_of(&unreliable), IBV_QPS_RTS);
    CHECK(all_bytes_are(s.remote.bytes, 8, REMOTE_FILL));
    scene_close(&s);
}

static void a_peer_in_error_does_not_answer(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(to_state(&s.b, IBV_QPS_ERR), 0);
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_RETRY_EXC_ERR);
    CHECK(all_bytes_are(s.remote.bytes, 8, REMOTE_FILL));
    scene_close(&s);
}

static void a_peer_that_was_destroyed_does_not_answer(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(world_destroy(&s.w, s.b.qp), 0);
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_RETRY_EXC_ERR);
    scene_close(&s);
}

/* --- the error state --- */

static void error_flushes_receives_in_order(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    for (uint64_t id = 1; id <= 5; id++)
        CHECK_EQ(receive(&s.b, id, part(&s.remote, 0, 8)), 0);
    IS_EMPTY(s.b.rcq);
    CHECK_EQ(to_state(&s.b, IBV_QPS_ERR), 0);
    for (uint64_t id = 1; id <= 5; id++)
        RECEIVED(&s.b, id, IBV_WC_WR_FLUSH_ERR);
    IS_EMPTY(s.b.rcq);
    scene_close(&s);
}

static void error_flushes_sends_in_order(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, WAITING));
    for (uint64_t id = 1; id <= 5; id++) {
        struct request r = send_of(id, part(&s.local, 0, 8));
        r.unsignaled = id % 2 == 0; /* a failed work request always completes */
        CHECK_EQ(post(&s.a, r), 0);
    }
    IS_EMPTY(s.a.scq);
    CHECK_EQ(to_state(&s.a, IBV_QPS_ERR), 0);
    for (uint64_t id = 1; id <= 5; id++)
        SENT(&s.a, id, IBV_WC_WR_FLUSH_ERR);
    IS_EMPTY(s.a.scq);
    CHECK_EQ(state_of(&s.b), IBV_QPS_RTS); /* the peer learns nothing */
    scene_close(&s);
}

/* The requests behind a failed one are flushed; the failed one comes first. */
static void a_failed_request_flushes_those_behind_it(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_send_wr wrs[4], *bad = NULL;
    struct request requests[4] = {write_of(1, part(&s.local, 0, 8), &s.remote, 0),
                                  write_of(2, part(&s.local, 0, 8), &s.remote, SCENE_BYTES),
                                  write_of(3, part(&s.local, 0, 8), &s.remote, 8),
                                  send_of(4, part(&s.local, 0, 8))};
    for (int i = 0; i < 4; i++) {
        fill_send_wr(&requests[i], &wrs[i]);
        wrs[i].next = i < 3 ? &wrs[i + 1] : NULL;
    }
    CHECK_EQ(receive(&s.a, 10, part(&s.local, 64, 8)), 0);
    CHECK_EQ(ibv_post_send(s.a.qp, wrs, &bad), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    SENT(&s.a, 2, IBV_WC_REM_ACCESS_ERR);
    SENT(&s.a, 3, IBV_WC_WR_FLUSH_ERR);
    SENT(&s.a, 4, IBV_WC_WR_FLUSH_ERR);
    IS_EMPTY(s.a.scq);
    RECEIVED(&s.a, 10, IBV_WC_WR_FLUSH_ERR);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    CHECK(all_bytes_are(s.remote.bytes + 8, 8, REMOTE_FILL));
    scene_close(&s);
}

static void work_posted_in_error_is_flushed(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(to_state(&s.a, IBV_QPS_ERR), 0);
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_WR_FLUSH_ERR);
    struct request unsignaled = write_of(2, part(&s.local, 0, 8), &s.remote, 0);
    unsignaled.unsignaled = true;
    CHECK_EQ(post(&s.a, unsignaled), 0);
    SENT(&s.a, 2, IBV_WC_WR_FLUSH_ERR);
    CHECK_EQ(receive(&s.a, 3, part(&s.local, 0, 8)), 0);
    RECEIVED(&s.a, 3, IBV_WC_WR_FLUSH_ERR);
    CHECK(all_bytes_are(s.remote.bytes, 8, REMOTE_FILL));
    CHECK_EQ(state_of(&s.a), IBV_QPS_ERR);
    scene_close(&s);
}

/* --- RESET --- */

static void reset_drops_sends_without_completions(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, WAITING));
    for (uint64_t id = 1; id <= 3; id++)
        CHECK_EQ(post(&s.a, send_of(id, part(&s.local, 0, 8))), 0);
    CHECK_EQ(to_state(&s.a, IBV_QPS_RESET), 0);
    IS_EMPTY(s.a.scq);
    CHECK_EQ(world_destroy(&s.w, s.local.mr), 0); /* no dropped send holds the region */

    /* Nothing of it comes back after the queue pair is up again. */
    struct memory fresh;
    REQUIRE(make_memory(&s.w, s.w.pd, 64, 7, ALL_RIGHTS, &fresh));
    CHECK_EQ(receive(&s.b, 10, part(&s.remote, 0, 64)), 0);
    CHECK(bring_up(&s.a, s.b.qp->qp_num));
    IS_EMPTY(s.a.scq);
    IS_EMPTY(s.b.rcq);
    CHECK_EQ(post(&s.a, send_of(4, part(&fresh, 0, 16))), 0);
    SENT(&s.a, 4, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&s.b, 10, IBV_WC_SUCCESS).byte_len, 16);
    CHECK(all_bytes_are(s.remote.bytes, 16, 7));
    scene_close(&s);
}

static void reset_completes_no_receives(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(receive(&s.b, 1, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(to_state(&s.b, IBV_QPS_RESET), 0);
    IS_EMPTY(s.b.rcq);
    CHECK_EQ(receive(&s.b, 2, part(&s.remote, 0, 8)), EINVAL);
    CHECK_EQ(post(&s.a, send_of(3, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 3, IBV_WC_RETRY_EXC_ERR); /* a queue pair in RESET does not answer */
    scene_close(&s);
}

/* As in the kernel's rdmavt; by the specification they are lost. */
static void receives_stay_over_a_reset(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(receive(&s.b, 1, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(to_state(&s.b, IBV_QPS_RESET), 0);
    REQUIRE(bring_up(&s.b, s.a.qp->qp_num));
    IS_EMPTY(s.b.rcq);
    CHECK_EQ(post(&s.a, send_of(2, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    scene_close(&s);
}

/* A program that connects the queue pair anew does not take them for those of new work. */
static void reset_takes_completions_back(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(receive(&s.a, 1, part(&s.local, 0, 8)), 0);
    CHECK_EQ(receive(&s.b, 2, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(post(&s.a, send_of(3, part(&s.local, 0, 8))), 0);
    CHECK_EQ(to_state(&s.a, IBV_QPS_ERR), 0);
    CHECK_EQ(to_state(&s.a, IBV_QPS_RESET), 0);
    IS_EMPTY(s.a.scq);
    IS_EMPTY(s.a.rcq);
    RECEIVED(&s.b, 2, IBV_WC_SUCCESS); /* the other queue pair keeps its own */
    scene_close(&s);
}

static void a_queue_pair_works_again_after_error_and_reset(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, SCENE_BYTES)), 0);
    SENT(&s.a, 1, IBV_WC_REM_ACCESS_ERR);
    CHECK_EQ(to_state(&s.a, IBV_QPS_RESET), 0);
    CHECK_EQ(to_state(&s.b, IBV_QPS_RESET), 0);
    REQUIRE(connect_ends(&s.a, &s.b));
    CHECK_EQ(post(&s.a, write_of(2, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    scene_close(&s);
}

/* --- SQD --- */

static void sends_wait_in_sqd(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(to_state(&s.a, IBV_QPS_SQD), 0);
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(s.a.scq);
    CHECK(all_bytes_are(s.remote.bytes, 8, REMOTE_FILL));
    CHECK_EQ(to_state(&s.a, IBV_QPS_RTS), 0);
    CHECK_EQ(post(&s.a, write_of(2, part(&s.local, 0, 8), &s.remote, 8)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, 16, LOCAL_FILL));
    scene_close(&s);
}

CHECK_MAIN(TEST(query_reports_the_attributes_of_each_move), TEST(the_moves_that_do_not_exist_are_refused),
           TEST(moves_need_all_their_attributes), TEST(moves_refuse_attributes_that_do_not_belong_to_them),
           TEST(moves_refuse_invalid_values), TEST(a_wrong_current_state_is_refused),
           TEST(attributes_change_without_a_move), TEST(query_counts_packets),
           TEST(sends_can_be_posted_only_when_ready), TEST(receives_can_be_posted_from_init_on),
           TEST(a_peer_that_is_not_ready_does_not_answer), TEST(a_peer_of_another_type_does_not_answer),
           TEST(a_peer_in_error_does_not_answer), TEST(a_peer_that_was_destroyed_does_not_answer),
           TEST(error_flushes_receives_in_order), TEST(error_flushes_sends_in_order),
           TEST(a_failed_request_flushes_those_behind_it), TEST(work_posted_in_error_is_flushed),
           TEST(reset_drops_sends_without_completions), TEST(reset_completes_no_receives),
           TEST(receives_stay_over_a_reset), TEST(reset_takes_completions_back),
           TEST(a_queue_pair_works_again_after_error_and_reset), TEST(sends_wait_in_sqd))
