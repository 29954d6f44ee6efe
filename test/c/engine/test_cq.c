/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion queues. Completions come from posting receives to a queue pair in error: each completes at once as
 * flushed. */
#include "core/engine/engine_state.h"
#include "verbs.h"

/* A queue pair in error whose receives complete in `cq`. */
static struct vqp make_source(struct verbs *v, struct rvt_cq_handle cq) {
    struct vqp qp = make_qp_with(v, v->pd, (struct rvt_qp_init){.send_cq = cq, .recv_cq = cq});
    bring_to(&qp, usual_attr(0), RVT_QPS_ERR);
    return qp;
}

static void complete(struct vqp *qp, uint64_t wr_id) {
    CHECK_EQ(post_receive(qp, wr_id, NULL, 0), 0);
}

#define FLUSHED(cq, qp, id)                                                                                  \
    WC(cq, .wr_id = (id), .qp_num = (qp).qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,                          \
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED)

static void creating_tests_its_arguments_in_order(void) {
    struct verbs v;
    struct rvt_limits limits = usual_limits();
    limits.of[RVT_LIMIT_MAX_CQ] = 1;
    REQUIRE(verbs_open_with(&v, limits, AT_ONCE));
    struct rvt_cq_handle cq, first;
    struct rvt_cq_init init = {.cqe = 0, .comp_vector = UINT32_MAX, .flags = 4};
    FAILS_WITH(rvt_create_cq(v.device, NULL, &init, &cq), RVT_EOPNOTSUPP, RVT_CAUSE_CQ_FLAGS, 4, 0, 0);
    init.flags = 0;
    FAILS_WITH(rvt_create_cq(v.device, NULL, &init, &cq), RVT_EINVAL, RVT_CAUSE_CQE, 0, 64, 0);
    init.cqe = 65;
    FAILS_WITH(rvt_create_cq(v.device, NULL, &init, &cq), RVT_EINVAL, RVT_CAUSE_CQE, 65, 64, 0);
    init.cqe = 64;
    CHECK_EQ(rvt_create_cq(v.device, NULL, &init, &first), 0);
    FAILS_WITH(rvt_create_cq(v.device, NULL, &init, &cq), RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS,
               RVT_RESOURCE_CQ, 1, 0);
    CHECK_EQ(rvt_destroy_cq(first), 0);
    CHECK_EQ(rvt_create_cq(v.device, NULL, &init, &cq), 0);
    CHECK_EQ(rvt_destroy_cq(cq), 0);
    CHECK_EQ(rvt_held_bytes(v.device) - v.held < 64 * sizeof(struct rvt_wc), true);
    CHECK_EQ(rvt_mr_exit(v.device, true, NULL), 0);
    FAILS(rvt_create_cq(v.device, NULL, &init, &cq), RVT_EBADF, RVT_CAUSE_DEVICE_CLOSED);
    FAILS(rvt_poll_cq(first, 1, NULL), RVT_EBADF, RVT_CAUSE_DEVICE_CLOSED);
    verbs_close(&v);
}

static void contexts_own_their_queues(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_ucontext *context, *restricted, *keeper;
    struct rvt_reader *reader = rvt_reader_register();
    struct rvt_pd_handle user;
    CHECK_EQ(rvt_alloc_pd(v.device, NULL, true, &user), 0);
    CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &keeper), 0);
    CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &context), 0);
    CHECK_EQ(rvt_alloc_ucontext_in(v.device, rvt_pd_serial(user), reader, &restricted), 0);
    struct rvt_cq_handle cq = make_cq_in(&v, context, 4), other = make_cq(&v, 4), refused;
    FAILS(rvt_create_cq(v.device, restricted, &(struct rvt_cq_init){.cqe = 4}, &refused), RVT_EPERM,
          RVT_CAUSE_RESTRICTED);
    uint64_t held = rvt_held_bytes(v.device);
    CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
    CHECK_EQ(held - rvt_held_bytes(v.device), 4 * sizeof(struct rvt_wc));
    FAILS(rvt_poll_cq(cq, 1, NULL), RVT_EBADF, RVT_CAUSE_DETACHED);
    FAILS(rvt_destroy_cq(cq), RVT_EBADF, RVT_CAUSE_DETACHED);
    FAILS(rvt_create_cq(v.device, context, &(struct rvt_cq_init){.cqe = 4}, &cq), RVT_EBADF,
          RVT_CAUSE_DETACHED);
    CHECK_EQ(rvt_poll_cq(other, 1, NULL), 0);
    CHECK_EQ(rvt_dealloc_ucontext(restricted, true), 0);
    CHECK_EQ(rvt_dealloc_ucontext(keeper, true), 0);
    rvt_free_ucontext(context);
    rvt_free_ucontext(restricted);
    rvt_free_ucontext(keeper);
    rvt_reader_unregister(reader);
    verbs_close(&v);
}

static void a_stale_handle_is_refused(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle handles[] = {make_cq(&v, 1), {0}};
    CHECK_EQ(rvt_destroy_cq(handles[0]), 0);
    struct rvt_cq_handle successor = make_cq(&v, 1);
    CHECK_PTR_EQ(successor.cq, handles[0].cq);
    for (int i = 0; i < 2; i++) {
        struct rvt_cq_attr attr;
        struct rvt_wc wc;
        FAILS(rvt_query_cq(handles[i], &attr), RVT_EBADF, RVT_CAUSE_CQ_GONE);
        FAILS(rvt_resize_cq(handles[i], 2), RVT_EBADF, RVT_CAUSE_CQ_GONE);
        FAILS(rvt_poll_cq(handles[i], 1, &wc), RVT_EBADF, RVT_CAUSE_CQ_GONE);
        FAILS(rvt_req_notify_cq(handles[i], RVT_NOTIFY_NEXT), RVT_EBADF, RVT_CAUSE_CQ_GONE);
        FAILS(rvt_destroy_cq(handles[i]), RVT_EBADF, RVT_CAUSE_CQ_GONE);
    }
    verbs_close(&v);
}

static void completions_leave_in_order_also_over_the_end_of_the_ring(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 5);
    struct vqp qp = make_source(&v, cq);
    struct rvt_wc wcs[8];
    uint64_t entered = 0, left = 0;
    CHECK_EQ(rvt_poll_cq(cq, 0, NULL), 0);
    CHECK_EQ(rvt_poll_cq(cq, UINT32_MAX, wcs), 0);
    uint32_t still = 7;
    CHECK_EQ(rvt_poll_cq_left(cq, 1, wcs, &still), 0);
    CHECK_EQ(still, 0);
    for (uint32_t round = 0; round < 40; round++) {
        while (query_cq(cq).held < 5)
            complete(&qp, entered++);
        CHECK_EQ(rvt_poll_cq(cq, 0, NULL), 0);
        uint32_t wanted = round % 7 + 1, most = wanted < 5 ? wanted : 5;
        memset(wcs, 0xee, sizeof(wcs));
        REQUIRE(rvt_poll_cq_left(cq, wanted == 7 ? UINT32_MAX : wanted, wcs, &still) == (int)most);
        CHECK_EQ(still, 5 - most);
        for (uint32_t i = 0; i < most; i++)
            CHECK_EQ(wcs[i].wr_id, left++);
        CHECK_EQ(wcs[most].wr_id, UINT64_C(0xeeeeeeeeeeeeeeee));
        CHECK_EQ(query_cq(cq).held, 5 - most);
    }
    verbs_close(&v);
}

static void completions_of_a_queue_pair_can_be_dropped(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 5);
    struct vqp a = make_source(&v, cq), b = make_source(&v, cq);
    struct rvt_wc wcs[8];
    CHECK_EQ(rvt_drop_completions(cq, a.serial), 0);
    for (uint64_t round = 0; round < 6; round++) {
        complete(&b, 0);
        complete(&a, 1);
        complete(&b, 2);
        CHECK_EQ(rvt_poll_cq(cq, 1, wcs), 1);
        complete(&a, 3);
        complete(&b, 4);
        complete(&a, 5);
        CHECK_EQ(rvt_drop_completions(cq, a.serial), 3);
        CHECK_EQ(query_cq(cq).held, 2);
        REQUIRE(rvt_poll_cq(cq, 1, wcs) == 1);
        CHECK_EQ(wcs[0].wr_id, 2);
        complete(&b, 6);
        REQUIRE(rvt_poll_cq(cq, 8, wcs + 1) == 2);
        CHECK_EQ(wcs[1].wr_id, 4);
        CHECK_EQ(wcs[2].wr_id, 6);
    }
    CHECK_EQ(rvt_drop_completions(cq, UINT64_MAX), 0);
    CHECK_EQ(rvt_drop_completions((struct rvt_cq_handle){0}, 1), -RVT_EBADF);
    verbs_close(&v);
}

static void a_completion_that_finds_the_queue_full_breaks_it_for_good(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 2);
    struct vqp qp = make_source(&v, cq);
    const uint64_t serial = cq_serial(cq);
    complete(&qp, 1);
    complete(&qp, 2);
    CHECK_EQ(query_cq(cq).broken, false);
    NO_EVENT(&v);
    complete(&qp, 3);
    EVENT(&v, RVT_EVENT_CQ_ERR, serial);
    CHECK_PTR_EQ(v.events[0].user, &v);
    NO_EVENT(&v);
    CHECK_EQ(query_cq(cq).broken, true);
    FLUSHED(cq, qp, 1);
    complete(&qp, 4); /* lost, although there is room */
    EVENT(&v, RVT_EVENT_CQ_ERR, serial);
    CHECK_EQ(rvt_resize_cq(cq, 9), 0);
    FLUSHED(cq, qp, 2);
    complete(&qp, 5);
    EVENT(&v, RVT_EVENT_CQ_ERR, serial);
    NO_EVENT(&v);
    NO_WC(cq);
    struct rvt_completion_counts counts;
    rvt_count_completions(v.device, &counts);
    CHECK_EQ(counts.lost, 3);
    CHECK_EQ(counts.by_status[RVT_WC_STATUS_WR_FLUSH_ERR], 2);
    verbs_close(&v);
}

static void resizing_keeps_entries_and_arming(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 4);
    struct vqp qp = make_source(&v, cq);
    struct rvt_wc wc[2];
    for (uint64_t i = 0; i < 4; i++)
        complete(&qp, i);
    CHECK_EQ(rvt_poll_cq(cq, 2, wc), 2);
    complete(&qp, 4); /* at the beginning of the ring */
    CHECK_EQ(rvt_req_notify_cq(cq, RVT_NOTIFY_NEXT), 0);
    uint64_t held = rvt_held_bytes(v.device);
    FAILS_WITH(rvt_resize_cq(cq, 0), RVT_EINVAL, RVT_CAUSE_CQE, 0, 64, 0);
    FAILS_WITH(rvt_resize_cq(cq, 65), RVT_EINVAL, RVT_CAUSE_CQE, 65, 64, 0);
    FAILS_WITH(rvt_resize_cq(cq, 2), RVT_EINVAL, RVT_CAUSE_CQE_BELOW_HELD, 2, 3, 0);
    CHECK_EQ(query_cq(cq).cqe, 4);
    CHECK_EQ(rvt_resize_cq(cq, 3), 0);
    CHECK_EQ(held - rvt_held_bytes(v.device), sizeof(struct rvt_wc));
    CHECK_EQ(rvt_resize_cq(cq, 64), 0);
    CHECK_EQ(rvt_held_bytes(v.device) - held, 60 * sizeof(struct rvt_wc));
    CHECK_EQ(query_cq(cq).cqe, 64);
    NO_EVENT(&v);
    complete(&qp, 5);
    EVENT(&v, RVT_EVENT_COMPLETION, cq_serial(cq));
    for (uint64_t i = 2; i < 6; i++)
        FLUSHED(cq, qp, i);
    NO_WC(cq);
    NO_EVENT(&v);
    verbs_close(&v);
}

/* All armings, and both kinds of a second request, against completions that are solicited or not. */
static void arming_fires_once_for_what_it_was_armed_for(void) {
    enum { S = RVT_NOTIFY_SOLICITED, N = RVT_NOTIFY_NEXT, M = RVT_NOTIFY_REPORT_MISSED };
    for (uint32_t first = 0; first < 8; first++) {
        for (uint32_t second = 0; second < 9; second++) { /* 8: no second request */
            for (int kind = 0; kind < 3; kind++) {        /* unsolicited, solicited, failed */
                struct verbs v;
                struct vqp a, b;
                REQUIRE(verbs_open(&v, AT_ONCE));
                make_pair(&v, RVT_QPT_RC, &a, &b);
                for (uint64_t i = 0; i < 3; i++)
                    CHECK_EQ(post_receive(&b, i, NULL, 0), 0);
                /* An entry that is there already does not fire. */
                CHECK_EQ(post(&a, PLAIN_WR(.opcode = RVT_WR_SEND, .flags = RVT_SEND_SOLICITED)), 0);
                CHECK_EQ(rvt_req_notify_cq(b.rcq, first), first & M ? 1 : 0);
                uint32_t arming = first & (S | N);
                if (second < 8) {
                    CHECK_EQ(rvt_req_notify_cq(b.rcq, second), second & M ? 1 : 0);
                    if (!(arming & N))
                        arming = second & (S | N);
                }
                NO_EVENT(&v);
                bool fires = arming & N || (arming == S && kind);
                for (int round = 0; round < 2; round++) {
                    if (kind == 2) {
                        CHECK_EQ(move_qp(&b, usual_attr(0), RVT_QPS_ERR), 0);
                    } else {
                        const uint32_t flags = kind ? RVT_SEND_SOLICITED : 0;
                        CHECK_EQ(post(&a, PLAIN_WR(.opcode = RVT_WR_SEND, .flags = flags)), 0);
                    }
                    if (fires && !round)
                        EVENT(&v, RVT_EVENT_COMPLETION, cq_serial(b.rcq));
                    NO_EVENT(&v);
                }
                struct rvt_wc wcs[4];
                CHECK_EQ(rvt_poll_cq(b.rcq, 4, wcs), 3);
                CHECK_EQ(rvt_req_notify_cq(b.rcq, M | S), 0); /* the queue is empty */
                verbs_close(&v);
            }
        }
    }
}

static void completion_events_follow_all_others_in_the_order_of_the_queues(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct rvt_srq_handle srq = make_srq(&v, 4, 1, 2);
    struct vqp a = make_qp(&v, RVT_QPT_RC);
    struct vqp b = make_qp_with(&v, v.pd, (struct rvt_qp_init){.srq = &srq});
    connect_qp(&a, b.qpn);
    connect_qp(&b, a.qpn);
    CHECK_EQ(rvt_post_srq_recv(srq, (struct rvt_recv_wr[]){{1, NULL, 0}, {2, NULL, 0}}, 2, NULL), 0);
    CHECK_EQ(rvt_req_notify_cq(a.scq, RVT_NOTIFY_NEXT), 0);
    CHECK_EQ(rvt_req_notify_cq(b.rcq, RVT_NOTIFY_NEXT), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    NO_EVENT(&v);
    run_engine(&v);
    EVENT(&v, RVT_EVENT_SRQ_LIMIT, srq.srq->owned.serial);
    EVENT(&v, RVT_EVENT_COMPLETION, cq_serial(b.rcq));
    EVENT(&v, RVT_EVENT_COMPLETION, cq_serial(a.scq));
    NO_EVENT(&v);
    verbs_close(&v);
}

/* A queue that ends, or is triggered twice, while others are triggered before and behind it. Only several threads
 * can bring this about by verbs. */
static void triggered_queues_are_reported_once_and_in_order(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_engine *engine = v.device->engine;
    struct rvt_cq_handle cq[4];
    for (int i = 0; i < 4; i++)
        cq[i] = make_cq(&v, 4);
    for (int gone = 0; gone < 4; gone++) {
        rvt_engine_lock(engine);
        for (int i = 0; i < 4; i++)
            rvt_fifo_append(&engine->triggered, &cq[i].cq->in_triggered);
        for (int i = 0; i < 4; i++)
            rvt_fifo_append(&engine->triggered, &cq[i].cq->in_triggered);
        rvt_fifo_remove(&engine->triggered, &cq[gone].cq->in_triggered);
        rvt_fifo_remove(&engine->triggered, &cq[gone].cq->in_triggered);
        rvt_engine_finish(engine);
        for (int i = 0; i < 4; i++)
            if (i != gone)
                EVENT(&v, RVT_EVENT_COMPLETION, cq_serial(cq[i]));
        NO_EVENT(&v);
    }
    verbs_close(&v);
}

static void a_queue_is_busy_while_queue_pairs_use_it(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle one = make_cq(&v, 4), two = make_cq(&v, 4);
    struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = one, .recv_cq = one});
    struct vqp b = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = one, .recv_cq = two});
    FAILS_WITH(rvt_destroy_cq(one), RVT_EBUSY, RVT_CAUSE_CQ_IN_USE, 2, 0, 0);
    FAILS_WITH(rvt_destroy_cq(two), RVT_EBUSY, RVT_CAUSE_CQ_IN_USE, 1, 0, 0);
    CHECK_EQ(rvt_destroy_qp(a.handle), 0);
    FAILS_WITH(rvt_destroy_cq(one), RVT_EBUSY, RVT_CAUSE_CQ_IN_USE, 1, 0, 0);
    CHECK_EQ(rvt_destroy_qp(b.handle), 0);
    CHECK_EQ(rvt_destroy_cq(one), 0);
    CHECK_EQ(rvt_destroy_cq(two), 0);
    verbs_close(&v);
}

static int create_one(struct verbs *v) {
    return rvt_create_cq(v->device, NULL, &(struct rvt_cq_init){.cqe = 4}, &v->cq);
}

static void prepare_one(struct verbs *v) {
    v->cq = make_cq(v, 4);
    struct vqp qp = make_source(v, v->cq);
    complete(&qp, 5);
}

static int resize_one(struct verbs *v) {
    uint64_t held = rvt_held_bytes(v->device);
    int error = rvt_resize_cq(v->cq, 8);
    struct rvt_cq_attr attr = query_cq(v->cq);
    CHECK_EQ(attr.cqe, error ? 4 : 8);
    CHECK_EQ(attr.held, 1);
    if (error)
        CHECK_EQ(rvt_held_bytes(v->device), held);
    return error;
}

static void verbs_fail_cleanly_without_memory(void) {
    each_verb_allocation_fails(NULL, create_one, 2);
    each_verb_allocation_fails(prepare_one, resize_one, 1);
}

CHECK_MAIN(TEST(creating_tests_its_arguments_in_order), TEST(contexts_own_their_queues),
           TEST(a_stale_handle_is_refused), TEST(completions_leave_in_order_also_over_the_end_of_the_ring),
           TEST(completions_of_a_queue_pair_can_be_dropped),
           TEST(a_completion_that_finds_the_queue_full_breaks_it_for_good),
           TEST(resizing_keeps_entries_and_arming), TEST(arming_fires_once_for_what_it_was_armed_for),
           TEST(completion_events_follow_all_others_in_the_order_of_the_queues),
           TEST(triggered_queues_are_reported_once_and_in_order),
           TEST(a_queue_is_busy_while_queue_pairs_use_it), TEST(verbs_fail_cleanly_without_memory))
