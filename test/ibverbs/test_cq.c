/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion queues: sizes, overflow, notification, completion channels, and ibv_start_poll(). */
#include <fcntl.h>

#include "threads.h"

/* A scene whose completion queues report to a channel. */
struct notified {
    struct scene s;
    struct ibv_comp_channel *channel;
};

static bool notified_open(struct notified *n) {
    return scene_open_with_channel(&n->s, &n->channel);
}

/* Takes one event of the channel, which must be there, and acknowledges it. */
static void takes_cq_event(struct notified *n, struct ibv_cq *expected, void *cq_context) {
    struct ibv_cq *cq = NULL;
    void *user = n;
    if (!check_true(is_readable(n->channel->fd, PATIENCE_MS), "a completion event comes", __FILE__, __LINE__))
        return;
    CHECK_EQ(ibv_get_cq_event(n->channel, &cq, &user), 0);
    CHECK_PTR_EQ(cq, expected);
    CHECK_PTR_EQ(user, cq_context);
    if (cq)
        ibv_ack_cq_events(cq, 1);
}

static void write_once(struct scene *s, uint64_t id) {
    CHECK_EQ(post(&s->a, write_of(id, part(&s->local, 0, 8), &s->remote, 0)), 0);
    SENT(&s->a, id, IBV_WC_SUCCESS);
}

/* --- sizes --- */

static void creating_tests_its_arguments(void) {
    struct world w;
    struct ibv_device_attr device;
    REQUIRE(world_open(&w));
    REQUIRE(ibv_query_device(w.context, &device) == 0);
    static const int refused[] = {0, -1, INT32_MIN};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        errno = 0;
        CHECK_PTR_EQ(ibv_create_cq(w.context, refused[i], NULL, NULL, 0), NULL);
        CHECK_EQ(errno, EINVAL);
    }
    errno = 0;
    CHECK_PTR_EQ(ibv_create_cq(w.context, device.max_cqe + 1, NULL, NULL, 0), NULL);
    CHECK_EQ(errno, EINVAL);
    errno = 0;
    CHECK_PTR_EQ(ibv_create_cq(w.context, 1, NULL, NULL, w.context->num_comp_vectors), NULL);
    CHECK_EQ(errno, EINVAL);
    struct ibv_cq *cq = ibv_create_cq(w.context, 5, &w, NULL, 0);
    REQUIRE(world_keep(&w, CQ, cq));
    CHECK(cq->cqe >= 5);
    CHECK_PTR_EQ(cq->cq_context, &w);
    CHECK_PTR_EQ(cq->channel, NULL);
    CHECK_PTR_EQ(cq->context, w.context);
    world_close(&w);
}

static void resizing_keeps_completions(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.cqe = 4}));
    for (uint64_t id = 1; id <= 3; id++)
        CHECK_EQ(post(&s.a, write_of(id, part(&s.local, 0, 8), &s.remote, 0)), 0);
    CHECK_EQ(ibv_resize_cq(s.a.scq, 2), EINVAL); /* it holds 3 */
    CHECK_EQ(ibv_resize_cq(s.a.scq, 0), EINVAL);
    CHECK_EQ(ibv_resize_cq(s.a.scq, -1), EINVAL);
    CHECK_EQ(ibv_resize_cq(s.a.scq, 100), 0);
    CHECK(s.a.scq->cqe >= 100);
    for (uint64_t id = 4; id <= 15; id++)
        CHECK_EQ(post(&s.a, write_of(id, part(&s.local, 0, 8), &s.remote, 0)), 0);
    for (uint64_t id = 1; id <= 15; id++)
        SENT(&s.a, id, IBV_WC_SUCCESS);
    IS_EMPTY(s.a.scq);
    NO_EVENT(s.w.context);
    scene_close(&s);
}

static void an_overflow_is_reported_and_loses_nothing_that_was_held(void) {
    struct scene s;
    struct ibv_async_event event;
    REQUIRE(scene_open_with(&s, (struct qp_options){.cqe = 2, .send_wr = 16}));
    const uint64_t room = (uint64_t)s.a.scq->cqe;
    REQUIRE(room <= 16);
    for (uint64_t id = 1; id <= room; id++)
        CHECK_EQ(post(&s.a, write_of(id, part(&s.local, 0, 8), &s.remote, 0)), 0);
    NO_EVENT(s.w.context);
    CHECK_EQ(state_of(&s.a), IBV_QPS_RTS);
    CHECK_EQ(post(&s.a, write_of(room + 1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_CQ_ERR, &event));
    CHECK_PTR_EQ(event.element.cq, s.a.scq);
    ibv_ack_async_event(&event);
    CHECK_EQ(state_of(&s.a), IBV_QPS_ERR);
    for (uint64_t id = 1; id <= room; id++)
        SENT(&s.a, id, IBV_WC_SUCCESS);
    IS_EMPTY(s.a.scq);
    /* The queue stays broken: a later completion is lost too, and reported. */
    CHECK_EQ(post(&s.a, write_of(9, part(&s.local, 0, 8), &s.remote, 0)), 0);
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_CQ_ERR, &event));
    ibv_ack_async_event(&event);
    IS_EMPTY(s.a.scq);
    NO_EVENT(s.w.context);
    scene_close(&s);
}

static void an_overflow_of_receives_stops_the_receiver(void) {
    struct scene s;
    struct ibv_async_event event;
    REQUIRE(scene_open_with(&s, (struct qp_options){.cqe = 2}));
    const uint64_t room = (uint64_t)s.b.rcq->cqe;
    REQUIRE(room < 16);
    for (uint64_t id = 0; id <= room; id++)
        CHECK_EQ(receive(&s.b, id, part(&s.remote, 0, 8)), 0);
    for (uint64_t id = 0; id <= room; id++) {
        CHECK_EQ(post(&s.a, send_of(id, part(&s.local, 0, 8))), 0);
        SENT(&s.a, id, IBV_WC_SUCCESS);
    }
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_CQ_ERR, &event));
    CHECK_PTR_EQ(event.element.cq, s.b.rcq);
    ibv_ack_async_event(&event);
    CHECK_EQ(state_of(&s.b), IBV_QPS_ERR);
    for (uint64_t id = 0; id < room; id++)
        RECEIVED(&s.b, id, IBV_WC_SUCCESS);
    IS_EMPTY(s.b.rcq);
    scene_close(&s);
}

/* --- notification --- */

static void an_unarmed_queue_reports_nothing(void) {
    struct notified n;
    REQUIRE(notified_open(&n));
    write_once(&n.s, 1);
    CHECK(!is_readable(n.channel->fd, A_MOMENT_MS));
    scene_close(&n.s);
}

static void an_armed_queue_reports_one_completion(void) {
    struct notified n;
    REQUIRE(notified_open(&n));
    CHECK_EQ(ibv_req_notify_cq(n.s.a.scq, 0), 0);
    CHECK(!is_readable(n.channel->fd, 0));
    write_once(&n.s, 1);
    takes_cq_event(&n, n.s.a.scq, NULL);
    write_once(&n.s, 2);
    CHECK(!is_readable(n.channel->fd, A_MOMENT_MS)); /* the arming was used up */
    CHECK_EQ(ibv_req_notify_cq(n.s.a.scq, 0), 0);
    CHECK_EQ(ibv_req_notify_cq(n.s.a.scq, 0), 0); /* arming twice reports once */
    write_once(&n.s, 3);
    write_once(&n.s, 4);
    takes_cq_event(&n, n.s.a.scq, NULL);
    CHECK(!is_readable(n.channel->fd, A_MOMENT_MS));
    scene_close(&n.s);
}

/* Arming does not report completions that are in the queue already: the program must poll once more after it
 * has armed the queue. */
static void arming_does_not_report_what_is_there(void) {
    struct notified n;
    REQUIRE(notified_open(&n));
    CHECK_EQ(post(&n.s.a, write_of(1, part(&n.s.local, 0, 8), &n.s.remote, 0)), 0);
    CHECK_EQ(ibv_req_notify_cq(n.s.a.scq, 0), 0);
    CHECK(!is_readable(n.channel->fd, A_MOMENT_MS));
    SENT(&n.s.a, 1, IBV_WC_SUCCESS); /* a poll finds the one that was missed */
    write_once(&n.s, 2);
    takes_cq_event(&n, n.s.a.scq, NULL);
    scene_close(&n.s);
}

static void solicited_only_waits_for_a_solicited_message(void) {
    struct notified n;
    REQUIRE(notified_open(&n));
    struct scene *s = &n.s;
    for (uint64_t id = 1; id <= 4; id++)
        CHECK_EQ(receive(&s->b, id, part(&s->remote, 0, 8)), 0);
    CHECK_EQ(ibv_req_notify_cq(s->b.rcq, 1), 0);
    CHECK_EQ(post(&s->a, send_of(10, part(&s->local, 0, 8))), 0);
    SENT(&s->a, 10, IBV_WC_SUCCESS);
    RECEIVED(&s->b, 1, IBV_WC_SUCCESS);
    CHECK(!is_readable(n.channel->fd, A_MOMENT_MS));
    struct request r = send_of(11, part(&s->local, 0, 8));
    r.flags = IBV_SEND_SOLICITED;
    CHECK_EQ(post(&s->a, r), 0);
    takes_cq_event(&n, s->b.rcq, NULL);
    SENT(&s->a, 11, IBV_WC_SUCCESS);
    RECEIVED(&s->b, 2, IBV_WC_SUCCESS);
    /* The flag does not solicit the sender's own completion. */
    CHECK_EQ(ibv_req_notify_cq(s->a.scq, 1), 0);
    r.id = 12;
    CHECK_EQ(post(&s->a, r), 0);
    SENT(&s->a, 12, IBV_WC_SUCCESS);
    RECEIVED(&s->b, 3, IBV_WC_SUCCESS);
    CHECK(!is_readable(n.channel->fd, A_MOMENT_MS));
    scene_close(s);
}

/* A failed completion counts as solicited. */
static void a_failure_is_reported_as_solicited(void) {
    struct notified n;
    REQUIRE(notified_open(&n));
    struct scene *s = &n.s;
    CHECK_EQ(receive(&s->b, 1, part(&s->remote, 0, 8)), 0);
    CHECK_EQ(ibv_req_notify_cq(s->b.rcq, 1), 0);
    CHECK_EQ(to_state(&s->b, IBV_QPS_ERR), 0);
    takes_cq_event(&n, s->b.rcq, NULL);
    RECEIVED(&s->b, 1, IBV_WC_WR_FLUSH_ERR);
    scene_close(s);
}

/* Arming for solicited completions does not weaken an arming for any completion. */
static void arming_for_solicited_does_not_replace_arming_for_next(void) {
    struct notified n;
    REQUIRE(notified_open(&n));
    CHECK_EQ(ibv_req_notify_cq(n.s.a.scq, 0), 0);
    CHECK_EQ(ibv_req_notify_cq(n.s.a.scq, 1), 0);
    write_once(&n.s, 1);
    takes_cq_event(&n, n.s.a.scq, NULL);
    scene_close(&n.s);
}

/* --- channels --- */

static void a_channel_serves_several_queues(void) {
    struct notified n;
    int contexts[2];
    REQUIRE(notified_open(&n));
    struct scene *s = &n.s;
    struct end a = {0};
    a.scq = ibv_create_cq(s->w.context, 8, &contexts[0], n.channel, 0);
    REQUIRE(world_keep(&s->w, CQ, a.scq));
    a.rcq = ibv_create_cq(s->w.context, 8, &contexts[1], n.channel, 0);
    REQUIRE(world_keep(&s->w, CQ, a.rcq));
    REQUIRE(make_qp(&s->w, s->w.pd, (struct qp_options){0}, &a));
    REQUIRE(bring_up(&a, a.qp->qp_num));
    CHECK_EQ(ibv_req_notify_cq(a.scq, 0), 0);
    CHECK_EQ(ibv_req_notify_cq(a.rcq, 0), 0);
    CHECK_EQ(receive(&a, 1, part(&s->local, 0, 8)), 0);
    CHECK_EQ(post(&a, send_of(2, part(&s->local, 8, 8))), 0);
    struct ibv_cq *cq[2];
    void *user[2];
    for (int i = 0; i < 2; i++) {
        REQUIRE(is_readable(n.channel->fd, PATIENCE_MS));
        CHECK_EQ(ibv_get_cq_event(n.channel, &cq[i], &user[i]), 0);
        ibv_ack_cq_events(cq[i], 1);
        CHECK_PTR_EQ(user[i], cq[i] == a.scq ? &contexts[0] : &contexts[1]);
    }
    CHECK(cq[0] != cq[1] && (cq[0] == a.scq || cq[1] == a.scq) && (cq[0] == a.rcq || cq[1] == a.rcq));
    CHECK(!is_readable(n.channel->fd, 0));
    scene_close(s);
}

static void a_nonblocking_channel_answers_eagain(void) {
    struct notified n;
    struct ibv_cq *cq;
    void *user;
    REQUIRE(notified_open(&n));
    int flags = fcntl(n.channel->fd, F_GETFL);
    CHECK_EQ(fcntl(n.channel->fd, F_SETFL, flags | O_NONBLOCK), 0);
    errno = 0;
    CHECK_EQ(ibv_get_cq_event(n.channel, &cq, &user), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(ibv_req_notify_cq(n.s.a.scq, 0), 0);
    write_once(&n.s, 1);
    takes_cq_event(&n, n.s.a.scq, NULL);
    errno = 0;
    CHECK_EQ(ibv_get_cq_event(n.channel, &cq, &user), -1);
    CHECK_EQ(errno, EAGAIN);
    scene_close(&n.s);
}

struct waiter {
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    int answer;
};

static void wait_for_event(void *argument) {
    struct waiter *waiter = argument;
    void *user;
    waiter->answer = ibv_get_cq_event(waiter->channel, &waiter->cq, &user);
}

static void a_blocked_thread_wakes_up(void) {
    struct notified n;
    struct task task;
    REQUIRE(notified_open(&n));
    CHECK_EQ(ibv_req_notify_cq(n.s.a.scq, 0), 0);
    struct waiter waiter = {.channel = n.channel, .answer = -2};
    REQUIRE(start(&task, wait_for_event, &waiter));
    CHECK(!is_over_within(&task, A_MOMENT_MS));
    write_once(&n.s, 1);
    finish(&task);
    CHECK_EQ(waiter.answer, 0);
    CHECK_PTR_EQ(waiter.cq, n.s.a.scq);
    ibv_ack_cq_events(n.s.a.scq, 1);
    scene_close(&n.s);
}

static void destroy_cq(void *argument) {
    struct waiter *waiter = argument;
    waiter->answer = ibv_destroy_cq(waiter->cq);
}

/* ibv_destroy_cq() waits until every event that was taken is acknowledged, so that no handler uses a queue
 * that is gone. */
static void destroying_waits_for_acknowledgements(void) {
    struct world w;
    struct task task;
    struct memory m;
    struct end a = {0};
    struct ibv_cq *cq;
    void *user;
    REQUIRE(world_open(&w));
    struct ibv_comp_channel *channel;
    REQUIRE(make_channel(&w, &channel));
    REQUIRE(make_memory(&w, w.pd, 64, 1, ALL_RIGHTS, &m));
    REQUIRE(make_cq(&w, 8, channel, &a.scq));
    a.rcq = a.scq;
    REQUIRE(make_qp(&w, w.pd, (struct qp_options){0}, &a));
    REQUIRE(bring_up(&a, a.qp->qp_num));
    for (uint64_t id = 1; id <= 2; id++) {
        CHECK_EQ(ibv_req_notify_cq(a.scq, 0), 0);
        CHECK_EQ(post(&a, write_of(id, part(&m, 0, 8), &m, 32)), 0);
        SENT(&a, id, IBV_WC_SUCCESS);
        REQUIRE(is_readable(channel->fd, PATIENCE_MS));
        CHECK_EQ(ibv_get_cq_event(channel, &cq, &user), 0);
    }
    CHECK_EQ(world_destroy(&w, a.qp), 0);
    struct waiter waiter = {.cq = a.scq, .answer = -2};
    world_forget(&w, a.scq);
    REQUIRE(start(&task, destroy_cq, &waiter));
    CHECK(!is_over_within(&task, A_MOMENT_MS));
    ibv_ack_cq_events(a.scq, 1);
    CHECK(!is_over_within(&task, A_MOMENT_MS)); /* one of two */
    ibv_ack_cq_events(a.scq, 1);
    finish(&task);
    CHECK_EQ(waiter.answer, 0);
    world_close(&w);
}

/* An event that nobody took goes with its queue, and does not name it later. */
static void events_of_a_destroyed_queue_are_gone(void) {
    struct world w;
    struct memory m;
    struct end a = {0};
    REQUIRE(world_open(&w));
    struct ibv_comp_channel *channel;
    REQUIRE(make_channel(&w, &channel));
    REQUIRE(make_memory(&w, w.pd, 64, 1, ALL_RIGHTS, &m));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){.channel = channel}, &a));
    REQUIRE(bring_up(&a, a.qp->qp_num));
    CHECK_EQ(ibv_req_notify_cq(a.scq, 0), 0);
    CHECK_EQ(post(&a, write_of(1, part(&m, 0, 8), &m, 32)), 0);
    REQUIRE(is_readable(channel->fd, PATIENCE_MS));
    CHECK_EQ(world_destroy(&w, a.qp), 0);
    CHECK_EQ(world_destroy(&w, a.scq), 0);
    CHECK(!is_readable(channel->fd, 0));
    world_close(&w);
}

static void a_channel_with_queues_cannot_be_destroyed(void) {
    struct world w;
    struct ibv_cq *cq;
    REQUIRE(world_open(&w));
    struct ibv_comp_channel *channel;
    REQUIRE(make_channel(&w, &channel));
    REQUIRE(make_cq(&w, 4, channel, &cq));
    CHECK_EQ(world_destroy(&w, channel), EBUSY);
    CHECK_EQ(world_destroy(&w, cq), 0);
    CHECK_EQ(world_destroy(&w, channel), 0);
    world_close(&w);
}

/* --- ibv_start_poll --- */

static const uint64_t ALL_FIELDS = IBV_WC_EX_WITH_BYTE_LEN | IBV_WC_EX_WITH_IMM | IBV_WC_EX_WITH_QP_NUM |
                                   IBV_WC_EX_WITH_SRC_QP | IBV_WC_EX_WITH_SLID | IBV_WC_EX_WITH_SL;

static void the_extended_poll_reads_completions_one_by_one(void) {
    struct world w;
    struct memory m;
    struct end a = {0};
    struct ibv_poll_cq_attr attr = {0};
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.pd, 128, 1, ALL_RIGHTS, &m));
    struct ibv_cq_init_attr_ex init = {.cqe = 16, .cq_context = &m, .wc_flags = ALL_FIELDS};
    struct ibv_cq_ex *ex = ibv_create_cq_ex(w.context, &init);
    REQUIRE(ex);
    a.scq = a.rcq = ibv_cq_ex_to_cq(ex);
    REQUIRE(world_keep(&w, CQ, a.scq));
    CHECK_PTR_EQ(ex->cq_context, &m);
    REQUIRE(make_qp(&w, w.pd, (struct qp_options){0}, &a));
    REQUIRE(bring_up(&a, a.qp->qp_num));

    CHECK_EQ(ibv_start_poll(ex, &attr), ENOENT);
    CHECK_EQ(receive(&a, 1, part(&m, 64, 64)), 0);
    struct request r = send_of(2, part(&m, 0, 24));
    r.opcode = IBV_WR_SEND_WITH_IMM;
    r.imm = 0x10203040;
    CHECK_EQ(post(&a, r), 0);
    CHECK_EQ(ibv_start_poll(ex, &attr), 0);
    CHECK_EQ(ex->wr_id, 1);
    CHECK_EQ(ex->status, IBV_WC_SUCCESS);
    CHECK_EQ(ibv_wc_read_opcode(ex), IBV_WC_RECV);
    CHECK_EQ(ibv_wc_read_byte_len(ex), 24);
    CHECK_EQ(be32toh(ibv_wc_read_imm_data(ex)), 0x10203040);
    CHECK_EQ(ibv_wc_read_wc_flags(ex) & IBV_WC_WITH_IMM, IBV_WC_WITH_IMM);
    CHECK_EQ(ibv_wc_read_qp_num(ex), a.qp->qp_num);
    CHECK_EQ(ibv_wc_read_src_qp(ex), a.qp->qp_num);
    CHECK_EQ(ibv_next_poll(ex), 0);
    CHECK_EQ(ex->wr_id, 2);
    CHECK_EQ(ex->status, IBV_WC_SUCCESS);
    CHECK_EQ(ibv_wc_read_opcode(ex), IBV_WC_SEND);
    CHECK_EQ(ibv_next_poll(ex), ENOENT);
    ibv_end_poll(ex);
    CHECK_EQ(ibv_start_poll(ex, &attr), ENOENT);

    /* Both forms may be used in turn; a poll that stops early leaves the rest. */
    for (uint64_t id = 3; id <= 6; id++)
        CHECK_EQ(post(&a, write_of(id, part(&m, 0, 8), &m, 64)), 0);
    CHECK_EQ(ibv_start_poll(ex, &attr), 0);
    CHECK_EQ(ex->wr_id, 3);
    ibv_end_poll(ex);
    SENT(&a, 4, IBV_WC_SUCCESS);
    CHECK_EQ(ibv_start_poll(ex, &attr), 0);
    CHECK_EQ(ex->wr_id, 5);
    CHECK_EQ(ibv_next_poll(ex), 0);
    CHECK_EQ(ex->wr_id, 6);
    ibv_end_poll(ex);

    CHECK_EQ(post(&a, write_of(7, part(&m, 0, 8), &m, 128)), 0);
    CHECK_EQ(ibv_start_poll(ex, &attr), 0);
    CHECK_EQ(ex->wr_id, 7);
    CHECK_EQ(ex->status, IBV_WC_REM_ACCESS_ERR);
    ibv_end_poll(ex);
    world_close(&w);
}

static void the_extended_poll_tests_its_arguments(void) {
    struct world w;
    REQUIRE(world_open(&w));
    struct ibv_cq_init_attr_ex init = {.cqe = 16, .wc_flags = ALL_FIELDS};
    struct ibv_cq_ex *ex = ibv_create_cq_ex(w.context, &init);
    REQUIRE(ex);
    REQUIRE(world_keep(&w, CQ, ibv_cq_ex_to_cq(ex)));
    CHECK_EQ(ibv_start_poll(ex, &(struct ibv_poll_cq_attr){.comp_mask = 1}), EINVAL);
    init.cqe = 0;
    errno = 0;
    CHECK_PTR_EQ(ibv_create_cq_ex(w.context, &init), NULL);
    CHECK_EQ(errno, EINVAL);
    init = (struct ibv_cq_init_attr_ex){.cqe = 16, .wc_flags = (uint64_t)1 << 60};
    errno = 0;
    CHECK_PTR_EQ(ibv_create_cq_ex(w.context, &init), NULL);
    CHECK_EQ(errno, EOPNOTSUPP);
    world_close(&w);
}

CHECK_MAIN(TEST(creating_tests_its_arguments), TEST(resizing_keeps_completions),
           TEST(an_overflow_is_reported_and_loses_nothing_that_was_held),
           TEST(an_overflow_of_receives_stops_the_receiver), TEST(an_unarmed_queue_reports_nothing),
           TEST(an_armed_queue_reports_one_completion), TEST(arming_does_not_report_what_is_there),
           TEST(solicited_only_waits_for_a_solicited_message), TEST(a_failure_is_reported_as_solicited),
           TEST(arming_for_solicited_does_not_replace_arming_for_next), TEST(a_channel_serves_several_queues),
           TEST(a_nonblocking_channel_answers_eagain), TEST(a_blocked_thread_wakes_up),
           TEST(destroying_waits_for_acknowledgements), TEST(events_of_a_destroyed_queue_are_gone),
           TEST(a_channel_with_queues_cannot_be_destroyed),
           TEST(the_extended_poll_reads_completions_one_by_one), TEST(the_extended_poll_tests_its_arguments))
