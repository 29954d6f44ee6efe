/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes that fork while the device is in use. A child has a time limit, so a deadlock fails the test. */
#include "children.h"
#include "threads.h"

static void do_nothing(void *argument) {
    (void)argument;
}

/* A whole program: opens the device, moves a message, closes. */
static void use_a_device_of_its_own(void *argument) {
    struct scene s;
    (void)argument;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 7, .min_rnr_timer = 10}));
    /* It waits for a receive: the timer runs in a child too. */
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    sleep_ms(5);
    CHECK_EQ(receive(&s.b, 2, part(&s.remote, 0, 8)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 2, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    scene_close(&s);
}

static void a_child_can_exit(void) {
    struct scene s;
    REQUIRE(ibv_fork_init() == 0);
    REQUIRE(scene_open(&s));
    CHECK_EQ(in_child(do_nothing, NULL), 0);
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    scene_close(&s);
}

/* exit() runs the handlers of every library in the child. */
static void a_child_can_run_its_exit_handlers(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        fclose(stdout);
        exit(0);
    }
    REQUIRE(child > 0);
    CHECK_EQ(status_of(child), 0);
    scene_close(&s);
}

static void a_child_can_open_the_device(void) {
    CHECK_EQ(in_child(use_a_device_of_its_own, NULL), 0);
}

static void a_child_of_a_process_with_an_open_device_can_open_its_own(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(in_child(use_a_device_of_its_own, NULL), 0);
    /* The child's work is its own: the parent sees nothing of it. */
    IS_EMPTY(s.a.scq);
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    scene_close(&s);
}

/* Calls on inherited objects in a child are errors of the program, but they must not hang or crash. */
static void close_inherited_objects(void *argument) {
    struct scene *s = argument;
    struct ibv_wc wc;
    (void)ibv_poll_cq(s->a.scq, 1, &wc);
    while (s->w.count) {
        s->w.count--;
        (void)destroy_object(s->w.made[s->w.count].kind, s->w.made[s->w.count].object);
    }
}

static void a_child_can_close_what_it_inherited(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(in_child(close_inherited_objects, &s), 0);
    CHECK_EQ(receive(&s.b, 1, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(post(&s.a, send_of(2, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 1, IBV_WC_SUCCESS);
    scene_close(&s);
}

/* Completes a write of the child's copy of the scene, into a queue that is armed. The event stays pending. */
static void cause_an_event(void *argument) {
    struct scene *s = argument;
    CHECK_EQ(ibv_req_notify_cq(s->a.scq, 0), 0);
    CHECK_EQ(post(&s->a, write_of(1, part(&s->local, 0, 8), &s->remote, 0)), 0);
    SENT(&s->a, 1, IBV_WC_SUCCESS);
    CHECK(is_readable(s->a.scq->channel->fd, PATIENCE_MS));
}

/* Takes the event that was pending when the process forked. */
static void take_an_event(void *argument) {
    struct scene *s = argument;
    struct ibv_cq *cq = NULL;
    void *user;
    REQUIRE(is_readable(s->b.rcq->channel->fd, PATIENCE_MS));
    CHECK_EQ(ibv_get_cq_event(s->b.rcq->channel, &cq, &user), 0);
    CHECK_PTR_EQ(cq, s->b.rcq);
    CHECK(!is_readable(s->b.rcq->channel->fd, 0));
}

/* Parent and child share descriptors, but the engine of the child is a copy: its events are its own. */
static void the_events_of_a_child_are_its_own(void) {
    struct scene s;
    struct ibv_comp_channel *channel;
    REQUIRE(scene_open_with_channel(&s, &channel));
    CHECK_EQ(ibv_req_notify_cq(s.b.rcq, 0), 0);
    CHECK_EQ(receive(&s.b, 1, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(in_child(cause_an_event, &s), 0);
    CHECK(!is_readable(channel->fd, 0));
    CHECK(all_bytes_are(s.remote.bytes, 8, REMOTE_FILL));

    /* A child takes nothing of what is pending in its parent. */
    CHECK_EQ(post(&s.a, send_of(2, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 1, IBV_WC_SUCCESS);
    CHECK(is_readable(channel->fd, PATIENCE_MS));
    CHECK_EQ(in_child(take_an_event, &s), 0);
    CHECK(is_readable(channel->fd, 0));
    struct ibv_cq *cq = NULL;
    void *user;
    CHECK_EQ(ibv_get_cq_event(channel, &cq, &user), 0);
    CHECK_PTR_EQ(cq, s.b.rcq);
    ibv_ack_cq_events(cq, 1);
    CHECK(!is_readable(channel->fd, 0));
    world_close(&s.w);
}

/* ThreadSanitizer of gcc 12 cannot start a thread in the child of a process with threads, if the new thread
 * gets the memory that was one of the parent's threads. */
#ifndef __SANITIZE_THREAD__

struct ending {
    struct ibv_cq *cq;
    int answer;
};

static void destroy_cq(void *argument) {
    struct ending *ending = argument;
    ending->answer = ibv_destroy_cq(ending->cq);
}

/* A queue on a channel, and one event of it that was taken: destroying the queue waits for the
 * acknowledgement. */
struct unacknowledged {
    struct world w;
    struct ibv_comp_channel *channel;
    struct end end;
    struct memory memory;
    struct ending ending;
    struct task task;
};

static bool begin_to_destroy(struct unacknowledged *u) {
    struct ibv_cq *cq;
    void *user;
    if (!world_open(&u->w) || !make_channel(&u->w, &u->channel) ||
        !make_memory(&u->w, u->w.pd, 64, 1, ALL_RIGHTS, &u->memory) ||
        !make_cq(&u->w, 8, u->channel, &u->end.scq))
        return false;
    u->end.rcq = u->end.scq;
    if (!make_qp(&u->w, u->w.pd, (struct qp_options){0}, &u->end) || !bring_up(&u->end, u->end.qp->qp_num))
        return false;
    CHECK_EQ(ibv_req_notify_cq(u->end.scq, 0), 0);
    CHECK_EQ(post(&u->end, write_of(1, part(&u->memory, 0, 8), &u->memory, 32)), 0);
    SENT(&u->end, 1, IBV_WC_SUCCESS);
    CHECK_EQ(ibv_get_cq_event(u->channel, &cq, &user), 0);
    CHECK_EQ(world_destroy(&u->w, u->end.qp), 0);
    world_forget(&u->w, u->end.scq);
    u->ending = (struct ending){.cq = u->end.scq, .answer = -2};
    return start(&u->task, destroy_cq, &u->ending);
}

static void end_of_destroying(struct unacknowledged *u) {
    CHECK(!is_over_within(&u->task, A_MOMENT_MS));
    ibv_ack_cq_events(u->end.scq, 1);
    finish(&u->task);
    CHECK_EQ(u->ending.answer, 0);
    world_close(&u->w);
}

static void wait_for_an_acknowledgement(void *argument) {
    struct unacknowledged u = {0};
    (void)argument;
    REQUIRE(begin_to_destroy(&u));
    end_of_destroying(&u);
}

/* A thread of the parent waits for an acknowledgement while the process forks. The child can wait for its
 * own. */
static void acknowledgements_work_in_a_child_of_a_waiting_process(void) {
    struct unacknowledged u = {0};
    REQUIRE(begin_to_destroy(&u));
    CHECK(!is_over_within(&u.task, A_MOMENT_MS));
    CHECK_EQ(in_child(wait_for_an_acknowledgement, NULL), 0);
    end_of_destroying(&u);
}

#endif

struct busy {
    struct scene *s;
    atomic_bool stop;
    struct task task;
};

static void keep_posting(void *argument) {
    struct busy *busy = argument;
    for (uint64_t id = 0; !atomic_load(&busy->stop); id++) {
        CHECK_EQ(post(&busy->s->a, write_of(id, part(&busy->s->local, 0, SCENE_BYTES), &busy->s->remote, 0)),
                 0);
        SENT(&busy->s->a, id, IBV_WC_SUCCESS);
    }
}

/* Another thread may hold any lock at the moment of the fork. */
static void forking_while_another_thread_posts_does_not_hang_the_child(void) {
    struct scene s;
    static struct busy busy;
    REQUIRE(scene_open(&s));
    busy.s = &s;
    atomic_store(&busy.stop, false);
    REQUIRE(start(&busy.task, keep_posting, &busy));
    for (int i = 0; i < 25; i++)
        CHECK_EQ(in_child(use_a_device_of_its_own, NULL), 0);
    atomic_store(&busy.stop, true);
    finish(&busy.task);
    scene_close(&s);
}

static void the_fork_status_can_be_asked(void) {
    CHECK_EQ(ibv_fork_init(), 0);
    enum ibv_fork_status status = ibv_is_fork_initialized();
    CHECK(status == IBV_FORK_ENABLED || status == IBV_FORK_UNNEEDED);
}

#ifdef __SANITIZE_THREAD__
#define ACKNOWLEDGEMENTS
#else
#define ACKNOWLEDGEMENTS TEST(acknowledgements_work_in_a_child_of_a_waiting_process),
#endif

CHECK_MAIN(ACKNOWLEDGEMENTS TEST(a_child_can_exit), TEST(a_child_can_run_its_exit_handlers),
           TEST(a_child_can_open_the_device), TEST(a_child_of_a_process_with_an_open_device_can_open_its_own),
           TEST(a_child_can_close_what_it_inherited), TEST(the_events_of_a_child_are_its_own),
           TEST(forking_while_another_thread_posts_does_not_hang_the_child),
           TEST(the_fork_status_can_be_asked))
