/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiver not ready: a SEND finds no posted receive. The requester retries as often as rnr_retry says, after
 * the time that the responder's min_rnr_timer says. */
#include "traffic.h"

/* The shortest wait would be 0.49 s; the completion is there when ibv_post_send() returns. */
static void without_retries_the_send_fails_at_once(void) {
    struct scene s;
    struct ibv_wc wc;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 0, .min_rnr_timer = 31}));
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    REQUIRE(ibv_poll_cq(s.a.scq, 1, &wc) == 1);
    CHECK_EQ(wc.wr_id, 1);
    CHECK_EQ(wc.status, IBV_WC_RNR_RETRY_EXC_ERR);
    CHECK_EQ(state_of(&s.a), IBV_QPS_ERR);
    CHECK_EQ(state_of(&s.b), IBV_QPS_RTS); /* the responder is not touched */
    IS_EMPTY(s.b.rcq);
    scene_close(&s);
}

static void a_counted_number_of_retries_runs_out(void) {
    struct scene s;
    /* 3 retries after 40.96 ms each */
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 3, .min_rnr_timer = 24}));
    uint64_t begin = now_ms();
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    CHECK_EQ(post(&s.a, send_of(2, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 1, IBV_WC_RNR_RETRY_EXC_ERR);
    CHECK(now_ms() - begin >= 3 * 40);
    SENT(&s.a, 2, IBV_WC_WR_FLUSH_ERR);
    scene_close(&s);
}

/* 7 is not a number of retries. The timer is the shortest, so that more than 7 retries happen. */
static void retries_without_end_wait_for_a_receive(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 7, .min_rnr_timer = 1}));
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    for (int i = 0; i < 10; i++) {
        sleep_ms(10);
        IS_EMPTY(s.a.scq);
    }
    CHECK_EQ(state_of(&s.a), IBV_QPS_RTS);
    CHECK_EQ(receive(&s.b, 2, part(&s.remote, 0, 8)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 2, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    scene_close(&s);
}

static void a_receive_within_the_retries_is_in_time(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 6, .min_rnr_timer = 31}));
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    IS_EMPTY(s.a.scq);
    CHECK_EQ(receive(&s.b, 2, part(&s.remote, 0, 8)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 2, IBV_WC_SUCCESS);
    scene_close(&s);
}

/* While a request waits, those behind it wait too, even if they need no receive. */
static void requests_behind_a_waiting_one_keep_their_order(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 7, .min_rnr_timer = 16}));
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    CHECK_EQ(post(&s.a, write_of(2, part(&s.local, 0, 8), &s.remote, 64)), 0);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(s.a.scq);
    CHECK(all_bytes_are(s.remote.bytes + 64, 8, REMOTE_FILL));
    CHECK_EQ(receive(&s.b, 3, part(&s.remote, 0, 8)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes + 64, 8, LOCAL_FILL));
    RECEIVED(&s.b, 3, IBV_WC_SUCCESS);
    scene_close(&s);
}

/* After a success the retries start anew: three messages that each need one of two retries get through. */
static void a_success_restores_the_retries(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 2, .min_rnr_timer = 31}));
    for (uint64_t id = 1; id <= 3; id++) {
        CHECK_EQ(post(&s.a, send_of(id, part(&s.local, 0, 8))), 0);
        IS_EMPTY(s.a.scq);
        CHECK_EQ(receive(&s.b, id, part(&s.remote, 0, 8)), 0);
        SENT(&s.a, id, IBV_WC_SUCCESS);
        RECEIVED(&s.b, id, IBV_WC_SUCCESS);
    }
    scene_close(&s);
}

static void a_write_without_immediate_needs_no_receive(void) {
    struct scene s;
    REQUIRE(scene_open(&s)); /* no retries */
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(post(&s.a, read_of(2, part(&s.local, 8, 8), &s.remote, 8)), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    struct request r = write_of(3, part(&s.local, 0, 8), &s.remote, 0);
    r.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 3, IBV_WC_RNR_RETRY_EXC_ERR);
    scene_close(&s);
}

/* The same with a shared receive queue that is empty. */
static void an_empty_shared_queue_is_not_ready_either(void) {
    struct world w;
    REQUIRE(world_open(&w));
    struct ibv_srq *srq;
    REQUIRE(make_srq(&w, w.pd, 4, 1, &srq));
    struct memory m;
    struct end a, b;
    REQUIRE(make_memory(&w, w.pd, 64, 1, ALL_RIGHTS, &m));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){.rnr_retry = 7}, &a));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){.srq = srq}, &b));
    REQUIRE(connect_ends(&a, &b));
    CHECK_EQ(post(&a, send_of(1, part(&m, 0, 8))), 0);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(a.scq);
    CHECK_EQ(receive_shared(srq, 2, part(&m, 32, 8)), 0);
    SENT(&a, 1, IBV_WC_SUCCESS);
    RECEIVED(&b, 2, IBV_WC_SUCCESS);
    world_close(&w);
}

CHECK_MAIN(TEST(without_retries_the_send_fails_at_once), TEST(a_counted_number_of_retries_runs_out),
           TEST(retries_without_end_wait_for_a_receive), TEST(a_receive_within_the_retries_is_in_time),
           TEST(requests_behind_a_waiting_one_keep_their_order), TEST(a_success_restores_the_retries),
           TEST(a_write_without_immediate_needs_no_receive), TEST(an_empty_shared_queue_is_not_ready_either))
