/* SPDX-License-Identifier: BSD-3-Clause */
/* Asynchronous events of the device: the descriptor, taking and acknowledging events, and objects that end
 * while events about them are open. Which actions send which event is tested in test_srq.c and test_cq.c. */
#include <fcntl.h>

#include "threads.h"

/* A queue pair with a shared receive queue in error sends IBV_EVENT_QP_LAST_WQE_REACHED. */
struct source {
    struct world w;
    struct ibv_srq *srq;
    struct end end;
};

static bool source_open(struct source *s) {
    if (!world_open(&s->w))
        return false;
    return make_srq(&s->w, s->w.pd, 4, 1, &s->srq) &&
           make_end(&s->w, s->w.pd, (struct qp_options){.srq = s->srq}, &s->end) &&
           bring_up(&s->end, s->end.qp->qp_num);
}

static void send_event(struct end *end) {
    CHECK_EQ(to_state(end, IBV_QPS_ERR), 0);
    CHECK_EQ(to_state(end, IBV_QPS_RESET), 0);
    CHECK(bring_up(end, end->qp->qp_num));
}

static void the_descriptor_becomes_readable(void) {
    struct source s;
    struct ibv_async_event event;
    REQUIRE(source_open(&s));
    NO_EVENT(s.w.context);
    send_event(&s.end);
    CHECK(is_readable(s.w.context->async_fd, PATIENCE_MS));
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_QP_LAST_WQE_REACHED, &event));
    CHECK_PTR_EQ(event.element.qp, s.end.qp);
    ibv_ack_async_event(&event);
    NO_EVENT(s.w.context);
    world_close(&s.w);
}

static void events_queue_up(void) {
    struct source s;
    struct ibv_async_event event;
    REQUIRE(source_open(&s));
    for (int i = 0; i < 5; i++)
        send_event(&s.end);
    for (int i = 0; i < 5; i++) {
        REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_QP_LAST_WQE_REACHED, &event));
        ibv_ack_async_event(&event);
    }
    NO_EVENT(s.w.context);
    world_close(&s.w);
}

static void a_nonblocking_descriptor_answers_eagain(void) {
    struct source s;
    struct ibv_async_event event;
    REQUIRE(source_open(&s));
    int flags = fcntl(s.w.context->async_fd, F_GETFL);
    CHECK_EQ(fcntl(s.w.context->async_fd, F_SETFL, flags | O_NONBLOCK), 0);
    errno = 0;
    CHECK_EQ(ibv_get_async_event(s.w.context, &event), -1);
    CHECK_EQ(errno, EAGAIN);
    send_event(&s.end);
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_QP_LAST_WQE_REACHED, &event));
    ibv_ack_async_event(&event);
    CHECK_EQ(ibv_get_async_event(s.w.context, &event), -1);
    world_close(&s.w);
}

struct taking {
    struct ibv_context *context;
    struct ibv_async_event event;
    int answer;
};

static void take_event(void *argument) {
    struct taking *taking = argument;
    taking->answer = ibv_get_async_event(taking->context, &taking->event);
}

static void a_blocked_thread_wakes_up(void) {
    struct source s;
    struct task task;
    REQUIRE(source_open(&s));
    struct taking taking = {.context = s.w.context, .answer = -2};
    REQUIRE(start(&task, take_event, &taking));
    CHECK(!is_over_within(&task, A_MOMENT_MS));
    send_event(&s.end);
    finish(&task);
    CHECK_EQ(taking.answer, 0);
    CHECK_EQ(taking.event.event_type, IBV_EVENT_QP_LAST_WQE_REACHED);
    CHECK_PTR_EQ(taking.event.element.qp, s.end.qp);
    ibv_ack_async_event(&taking.event);
    world_close(&s.w);
}

struct ending {
    struct ibv_qp *qp;
    int answer;
};

static void destroy_qp(void *argument) {
    struct ending *ending = argument;
    ending->answer = ibv_destroy_qp(ending->qp);
}

static void destroying_waits_for_the_acknowledgement(void) {
    struct source s;
    struct task task;
    struct ibv_async_event event;
    REQUIRE(source_open(&s));
    send_event(&s.end);
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_QP_LAST_WQE_REACHED, &event));
    struct ending ending = {.qp = s.end.qp, .answer = -2};
    world_forget(&s.w, s.end.qp);
    REQUIRE(start(&task, destroy_qp, &ending));
    CHECK(!is_over_within(&task, A_MOMENT_MS));
    ibv_ack_async_event(&event);
    finish(&task);
    CHECK_EQ(ending.answer, 0);
    world_close(&s.w);
}

/* An event that nobody took goes with its object, and does not name it later. */
static void events_of_a_destroyed_object_are_gone(void) {
    struct source s;
    struct ibv_async_event event;
    struct end other;
    REQUIRE(source_open(&s));
    REQUIRE(make_end(&s.w, s.w.pd, (struct qp_options){.srq = s.srq}, &other));
    REQUIRE(bring_up(&other, other.qp->qp_num));
    send_event(&s.end);
    send_event(&other);
    send_event(&s.end);
    CHECK_EQ(world_destroy(&s.w, s.end.qp), 0);
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_QP_LAST_WQE_REACHED, &event));
    CHECK_PTR_EQ(event.element.qp, other.qp);
    ibv_ack_async_event(&event);
    NO_EVENT(s.w.context);
    world_close(&s.w);
}

/* Each open context has its own events. */
static void another_context_gets_none_of_them(void) {
    struct source s;
    struct ibv_async_event event;
    REQUIRE(source_open(&s));
    struct ibv_context *other = open_first_device();
    REQUIRE(world_keep(&s.w, CONTEXT, other));
    CHECK(other != s.w.context);
    CHECK(other->async_fd != s.w.context->async_fd);
    send_event(&s.end);
    REQUIRE(TAKES_EVENT(s.w.context, IBV_EVENT_QP_LAST_WQE_REACHED, &event));
    ibv_ack_async_event(&event);
    NO_EVENT(other);
    world_close(&s.w);
}

CHECK_MAIN(TEST(the_descriptor_becomes_readable), TEST(events_queue_up),
           TEST(a_nonblocking_descriptor_answers_eagain), TEST(a_blocked_thread_wakes_up),
           TEST(destroying_waits_for_the_acknowledgement), TEST(events_of_a_destroyed_object_are_gone),
           TEST(another_context_gets_none_of_them))
