/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared receive queues. */
#include "traffic.h"

/* A shared receive queue, and two pairs of connected queue pairs whose second ends take from it. */
struct shared {
    struct world w;
    struct ibv_srq *srq;
    struct end a[2], b[2];
    struct memory local, remote;
};

static bool shared_open(struct shared *s) {
    if (!world_open(&s->w) || !make_memory(&s->w, s->w.pd, SCENE_BYTES, LOCAL_FILL, ALL_RIGHTS, &s->local) ||
        !make_memory(&s->w, s->w.pd, SCENE_BYTES, REMOTE_FILL, ALL_RIGHTS, &s->remote))
        return false;
    if (!make_srq(&s->w, s->w.pd, 8, 2, &s->srq))
        return false;
    for (int i = 0; i < 2; i++)
        if (!make_end(&s->w, s->w.pd, (struct qp_options){0}, &s->a[i]) ||
            !make_end(&s->w, s->w.pd, (struct qp_options){.srq = s->srq}, &s->b[i]) ||
            !connect_ends(&s->a[i], &s->b[i]))
            return false;
    return true;
}

static void queue_pairs_take_from_it_in_order(void) {
    struct shared s;
    REQUIRE(shared_open(&s));
    for (uint64_t id = 1; id <= 4; id++)
        CHECK_EQ(receive_shared(s.srq, id, part(&s.remote, (int64_t)id * 8, 8)), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(post(&s.a[i % 2], send_of(9, part(&s.local, 0, 8))), 0);
        SENT(&s.a[i % 2], 9, IBV_WC_SUCCESS);
        RECEIVED(&s.b[i % 2], (uint64_t)i + 1, IBV_WC_SUCCESS);
        CHECK(all_bytes_are(s.remote.bytes + (i + 1) * 8, 8, LOCAL_FILL));
    }
    world_close(&s.w);
}

static void a_queue_pair_with_it_has_no_receive_queue_of_its_own(void) {
    struct shared s;
    REQUIRE(shared_open(&s));
    CHECK_EQ(receive(&s.b[0], 1, part(&s.remote, 0, 8)), EINVAL);
    struct ibv_qp_attr attr;
    struct ibv_qp_init_attr init;
    CHECK_EQ(ibv_query_qp(s.b[0].qp, &attr, IBV_QP_CAP, &init), 0);
    CHECK_EQ(attr.cap.max_recv_wr, 0);
    CHECK_EQ(attr.cap.max_recv_sge, 0);
    CHECK_PTR_EQ(init.srq, s.srq);
    CHECK_PTR_EQ(s.b[0].qp->srq, s.srq);
    world_close(&s.w);
}

static void posting_tests_elements_and_room(void) {
    struct shared s;
    struct ibv_srq_attr attr;
    REQUIRE(shared_open(&s));
    REQUIRE(ibv_query_srq(s.srq, &attr) == 0);
    CHECK(attr.max_wr >= 8 && attr.max_sge >= 2);
    CHECK_EQ(attr.srq_limit, 0);
    struct ibv_sge *sges = calloc(attr.max_sge + 1, sizeof(*sges));
    REQUIRE(sges);
    struct ibv_recv_wr wrs[3], *bad = NULL;
    for (int i = 0; i < 3; i++)
        wrs[i] = (struct ibv_recv_wr){.wr_id = (uint64_t)i + 1, .next = i < 2 ? &wrs[i + 1] : NULL};
    wrs[1].sg_list = sges;
    wrs[1].num_sge = (int)attr.max_sge + 1;
    CHECK_EQ(ibv_post_srq_recv(s.srq, wrs, &bad), EINVAL);
    CHECK_PTR_EQ(bad, &wrs[1]);
    wrs[2].num_sge = -1;
    CHECK_EQ(ibv_post_srq_recv(s.srq, &wrs[2], &bad), EINVAL);
    CHECK_PTR_EQ(bad, &wrs[2]);
    for (uint32_t i = 1; i < attr.max_wr; i++) /* one is posted already */
        CHECK_EQ(receive_shared(s.srq, i + 1, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(receive_shared(s.srq, 99, part(&s.remote, 0, 8)), ENOMEM);
    free(sges);
    world_close(&s.w);
}

static void the_limit_event_comes_once(void) {
    struct shared s;
    struct ibv_async_event event;
    struct ibv_srq_attr attr = {.srq_limit = 2};
    REQUIRE(shared_open(&s));
    for (uint64_t id = 1; id <= 4; id++)
        CHECK_EQ(receive_shared(s.srq, id, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(ibv_modify_srq(s.srq, &attr, IBV_SRQ_LIMIT), 0);
    CHECK_EQ(ibv_query_srq(s.srq, &attr), 0);
    CHECK_EQ(attr.srq_limit, 2);
    for (int i = 0; i < 2; i++) { /* leaves 3, then 2: not fewer than the limit */
        CHECK_EQ(post(&s.a[0], send_of(9, part(&s.local, 0, 8))), 0);
        SENT(&s.a[0], 9, IBV_WC_SUCCESS);
        NO_EVENT(s.w.context);
    }
    CHECK_EQ(post(&s.a[0], send_of(9, part(&s.local, 0, 8))), 0);
    SENT(&s.a[0], 9, IBV_WC_SUCCESS);
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_SRQ_LIMIT_REACHED, &event));
    CHECK_PTR_EQ(event.element.srq, s.srq);
    ibv_ack_async_event(&event);
    CHECK_EQ(ibv_query_srq(s.srq, &attr), 0);
    CHECK_EQ(attr.srq_limit, 0); /* disarmed */
    CHECK_EQ(post(&s.a[0], send_of(9, part(&s.local, 0, 8))), 0);
    SENT(&s.a[0], 9, IBV_WC_SUCCESS);
    NO_EVENT(s.w.context);
    world_close(&s.w);
}

static void the_last_wqe_event_comes_with_the_error_state(void) {
    struct shared s;
    struct ibv_async_event event;
    REQUIRE(shared_open(&s));
    CHECK_EQ(receive_shared(s.srq, 1, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(to_state(&s.a[0], IBV_QPS_ERR), 0);
    NO_EVENT(s.w.context); /* it has a receive queue of its own */
    CHECK_EQ(to_state(&s.b[0], IBV_QPS_ERR), 0);
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_QP_LAST_WQE_REACHED, &event));
    CHECK_PTR_EQ(event.element.qp, s.b[0].qp);
    ibv_ack_async_event(&event);
    IS_EMPTY(s.b[0].rcq); /* the receives of a shared queue are not flushed ... */
    CHECK_EQ(to_state(&s.b[0], IBV_QPS_ERR), 0);
    NO_EVENT(s.w.context);
    CHECK_EQ(post(&s.a[1], send_of(9, part(&s.local, 0, 8))), 0); /* ... but stay for the others */
    SENT(&s.a[1], 9, IBV_WC_SUCCESS);
    RECEIVED(&s.b[1], 1, IBV_WC_SUCCESS);
    world_close(&s.w);
}

/* Also when a peer's request brings the queue pair into error. */
static void the_last_wqe_event_comes_with_a_refused_request(void) {
    struct shared s;
    struct ibv_async_event event;
    REQUIRE(shared_open(&s));
    CHECK_EQ(post(&s.a[0], write_of(1, part(&s.local, 0, 8), &s.remote, SCENE_BYTES)), 0);
    SENT(&s.a[0], 1, IBV_WC_REM_ACCESS_ERR);
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_QP_LAST_WQE_REACHED, &event));
    CHECK_PTR_EQ(event.element.qp, s.b[0].qp);
    ibv_ack_async_event(&event);
    NO_EVENT(s.w.context);
    world_close(&s.w);
}

/* The elements of a shared receive are judged by the domain of the shared queue, not of the queue pair. */
static void its_own_domain_judges_its_receives(void) {
    struct world w;
    struct memory of_srq, of_qp;
    struct end a, b;
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.other_pd, 64, 1, ALL_RIGHTS, &of_srq));
    REQUIRE(make_memory(&w, w.pd, 64, 2, ALL_RIGHTS, &of_qp));
    struct ibv_srq *srq;
    REQUIRE(make_srq(&w, w.other_pd, 4, 1, &srq));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){0}, &a));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){.srq = srq}, &b));
    REQUIRE(connect_ends(&a, &b));
    CHECK_EQ(receive_shared(srq, 1, part(&of_srq, 0, 8)), 0);
    CHECK_EQ(receive_shared(srq, 2, part(&of_qp, 0, 8)), 0);
    CHECK_EQ(post(&a, send_of(3, part(&of_qp, 8, 8))), 0);
    SENT(&a, 3, IBV_WC_SUCCESS);
    RECEIVED(&b, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(of_srq.bytes, 8, 2));
    CHECK_EQ(post(&a, send_of(4, part(&of_qp, 8, 8))), 0);
    SENT(&a, 4, IBV_WC_REM_OP_ERR);
    RECEIVED(&b, 2, IBV_WC_LOC_PROT_ERR);
    struct ibv_async_event event;
    REQUIRE(TAKES_EVENT(w.context, IBV_EVENT_QP_LAST_WQE_REACHED, &event));
    ibv_ack_async_event(&event);
    world_close(&w);
}

static void creating_and_modifying_test_their_arguments(void) {
    struct world w;
    struct ibv_device_attr device;
    REQUIRE(world_open(&w));
    REQUIRE(ibv_query_device(w.context, &device) == 0);
    const struct ibv_srq_attr refused[] = {
        {.max_wr = 0, .max_sge = 1},
        {.max_wr = 4, .max_sge = 0},
        {.max_wr = (uint32_t)device.max_srq_wr + 1, .max_sge = 1},
        {.max_wr = 4, .max_sge = (uint32_t)device.max_srq_sge + 1},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct ibv_srq_init_attr init = {.attr = refused[i]};
        errno = 0;
        CHECK_PTR_EQ(ibv_create_srq(w.pd, &init), NULL);
        CHECK_EQ(errno, EINVAL);
    }
    struct ibv_srq *srq;
    REQUIRE(make_srq(&w, w.pd, 4, 1, &srq));
    CHECK_PTR_EQ(srq->srq_context, &w);
    CHECK_PTR_EQ(srq->pd, w.pd);
    CHECK_PTR_EQ(srq->context, w.context);
    struct ibv_srq_attr attr;
    CHECK_EQ(ibv_query_srq(srq, &attr), 0);
    const uint32_t room = attr.max_wr;
    attr.srq_limit = room + 1;
    CHECK_EQ(ibv_modify_srq(srq, &attr, IBV_SRQ_LIMIT), EINVAL);
    attr = (struct ibv_srq_attr){.max_wr = (uint32_t)device.max_srq_wr + 1};
    CHECK_EQ(ibv_modify_srq(srq, &attr, IBV_SRQ_MAX_WR), EINVAL);
    CHECK_EQ(ibv_query_srq(srq, &attr), 0);
    CHECK_EQ(attr.max_wr, room);
    CHECK_EQ(attr.srq_limit, 0);
    attr = (struct ibv_srq_attr){.max_wr = 2 * room, .srq_limit = room + 1};
    CHECK_EQ(ibv_modify_srq(srq, &attr, IBV_SRQ_MAX_WR | IBV_SRQ_LIMIT), 0);
    CHECK_EQ(ibv_query_srq(srq, &attr), 0);
    CHECK_EQ(attr.max_wr, 2 * room);
    CHECK_EQ(attr.srq_limit, room + 1);
    world_close(&w);
}

CHECK_MAIN(TEST(queue_pairs_take_from_it_in_order),
           TEST(a_queue_pair_with_it_has_no_receive_queue_of_its_own), TEST(posting_tests_elements_and_room),
           TEST(the_limit_event_comes_once), TEST(the_last_wqe_event_comes_with_the_error_state),
           TEST(the_last_wqe_event_comes_with_a_refused_request), TEST(its_own_domain_judges_its_receives),
           TEST(creating_and_modifying_test_their_arguments))
