/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls that wait for events: interrupted by signals, cancelled, and in several threads. */
#include <signal.h>

#include "threads.h"

static atomic_int signals_handled;

static void count_signal(int number) {
    (void)number;
    atomic_fetch_add(&signals_handled, 1);
}

/* Handles SIGUSR1. Returns whether that could be arranged. */
static bool handle_signals(int flags) {
    struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGUSR1, &action, NULL) == 0;
}

/* A thread that waits for a completion event, and what it got. */
struct waiter {
    struct ibv_comp_channel *channel;
    struct task task;
    int answer, error;
};

static void wait_for_event(void *argument) {
    struct waiter *waiter = argument;
    struct ibv_cq *cq;
    void *context;
    waiter->answer = ibv_get_cq_event(waiter->channel, &cq, &context);
    waiter->error = errno;
    if (!waiter->answer)
        ibv_ack_cq_events(cq, 1);
}

/* A queue pair that is connected to itself and whose completions send events. */
struct source {
    struct world w;
    struct ibv_comp_channel *channel;
    struct end end;
};

static bool source_open(struct source *s) {
    return world_open(&s->w) && make_channel(&s->w, &s->channel) &&
           make_end(&s->w, s->w.pd, (struct qp_options){.channel = s->channel}, &s->end) &&
           bring_up(&s->end, s->end.qp->qp_num);
}

static void send_event(struct source *s) {
    struct ibv_recv_wr wr = {.wr_id = 1}, *bad;
    CHECK_EQ(ibv_req_notify_cq(s->end.rcq, 0), 0);
    CHECK_EQ(ibv_post_recv(s->end.qp, &wr, &bad), 0);
    CHECK_EQ(post(&s->end, send_of(2, (struct ibv_sge){0})), 0);
}

/* ThreadSanitizer of gcc 12 calls a handler only after a read() that the signal does not end. */
#ifdef __SANITIZE_THREAD__
static const bool runs_handlers_at_once = false;
#else
static const bool runs_handlers_at_once = true;
#endif

/* Interrupts the thread this often. */
static void interrupt(struct waiter *waiter, int times) {
    atomic_store(&signals_handled, 0);
    const uint64_t deadline = now_ms() + PATIENCE_MS;
    for (int i = 0; i < times && !atomic_load(&waiter->task.over); i++) {
        sleep_ms(A_MOMENT_MS); /* the thread waits again */
        CHECK_EQ(pthread_kill(waiter->task.thread, SIGUSR1), 0);
        while (runs_handlers_at_once && atomic_load(&signals_handled) <= i && now_ms() < deadline)
            sleep_ms(1);
    }
}

/* As a read() of the kernel's descriptor: a program with a profiler, or one that handles SIGCHLD by signal(),
 * does not expect its calls to fail. */
static void a_wait_goes_on_after_a_handler_with_sa_restart(void) {
    struct source s;
    REQUIRE(handle_signals(SA_RESTART));
    REQUIRE(source_open(&s));
    struct waiter waiter = {.channel = s.channel};
    REQUIRE(start(&waiter.task, wait_for_event, &waiter));
    interrupt(&waiter, 3);
    if (runs_handlers_at_once)
        CHECK_EQ(atomic_load(&signals_handled), 3);
    CHECK(!is_over_within(&waiter.task, A_MOMENT_MS));
    send_event(&s);
    finish(&waiter.task);
    CHECK_EQ(waiter.answer, 0);
    CHECK(!is_readable(s.channel->fd, 0));
    world_close(&s.w);
}

static void a_wait_ends_after_another_handler(void) {
    struct source s;
    REQUIRE(handle_signals(0));
    REQUIRE(source_open(&s));
    struct waiter waiter = {.channel = s.channel};
    REQUIRE(start(&waiter.task, wait_for_event, &waiter));
    interrupt(&waiter, 1);
    finish(&waiter.task);
    CHECK_EQ(waiter.answer, -1);
    CHECK_EQ(waiter.error, EINTR);
    send_event(&s);
    CHECK(is_readable(s.channel->fd, PATIENCE_MS));
    wait_for_event(&waiter);
    CHECK_EQ(waiter.answer, 0);
    CHECK(!is_readable(s.channel->fd, 0));
    world_close(&s.w);
}

/* AddressSanitizer of gcc 12 does not survive pthread_cancel(). */
#ifndef __SANITIZE_ADDRESS__
static void a_thread_that_waits_can_be_cancelled(void) {
    struct source s;
    REQUIRE(source_open(&s));
    struct waiter waiters[2] = {{.channel = s.channel}, {.channel = s.channel}};
    for (int i = 0; i < 2; i++)
        REQUIRE(start(&waiters[i].task, wait_for_event, &waiters[i]));
    sleep_ms(A_MOMENT_MS); /* both wait */
    void *result = NULL;
    CHECK_EQ(pthread_cancel(waiters[0].task.thread), 0);
    CHECK_EQ(pthread_join(waiters[0].task.thread, &result), 0);
    CHECK_PTR_EQ(result, PTHREAD_CANCELED);
    send_event(&s);
    finish(&waiters[1].task);
    CHECK_EQ(waiters[1].answer, 0);
    CHECK(!is_readable(s.channel->fd, 0));
    world_close(&s.w);
}
#define CANCELLED TEST(a_thread_that_waits_can_be_cancelled),
#else
#define CANCELLED
#endif

/* Events of which there are as many as threads that wait: each thread gets one, and the descriptor is not
 * readable in the end. */
static void several_threads_wait_for_one_channel(void) {
    enum { THREADS = 4, ROUNDS = 50 };
    struct source s;
    REQUIRE(source_open(&s));
    for (int round = 0; round < ROUNDS; round++) {
        struct waiter waiters[THREADS];
        for (int i = 0; i < THREADS; i++) {
            waiters[i] = (struct waiter){.channel = s.channel};
            REQUIRE(start(&waiters[i].task, wait_for_event, &waiters[i]));
        }
        for (int i = 0; i < THREADS; i++) {
            send_event(&s);
            SENT(&s.end, 2, IBV_WC_SUCCESS);
            RECEIVED(&s.end, 1, IBV_WC_SUCCESS);
        }
        for (int i = 0; i < THREADS; i++) {
            finish(&waiters[i].task);
            CHECK_EQ(waiters[i].answer, 0);
        }
        CHECK(!is_readable(s.channel->fd, 0));
    }
    world_close(&s.w);
}

CHECK_MAIN(TEST(a_wait_goes_on_after_a_handler_with_sa_restart), TEST(a_wait_ends_after_another_handler),
           CANCELLED TEST(several_threads_wait_for_one_channel))
