/* SPDX-License-Identifier: BSD-3-Clause */
/* Signal handlers that fork, as crash reporters and profilers do. POSIX allows it at any moment, so also in
 * the middle of a verb. Such a child may only call what a handler may, and ends or runs another program. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "threads.h"

enum { FORKS = 400 };

static atomic_int forks, failures;

static void fork_in_handler(int number) {
    const int error = errno;
    int status;
    (void)number;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        atomic_fetch_add(&failures, 1);
    atomic_fetch_add(&forks, 1);
    errno = error;
}

/* Uses each lock of a thread often: calls that enter the core, and calls about events. */
static void use_events(void *argument) {
    struct scene *s = argument;
    struct ibv_wc wc;
    struct ibv_cq *cq;
    void *context;
    (void)fcntl(s->a.scq->channel->fd, F_SETFL, O_NONBLOCK);
    while (atomic_load(&forks) < FORKS) {
        CHECK_EQ(ibv_poll_cq(s->a.scq, 1, &wc), 0);
        CHECK_EQ(ibv_get_cq_event(s->a.scq->channel, &cq, &context), -1);
        ibv_ack_cq_events(s->a.scq, 0);
    }
}

static void a_handler_forks_in_the_middle_of_verbs(void) {
    struct scene s;
    struct world w;
    REQUIRE(world_open(&w));
    struct ibv_comp_channel *channel;
    REQUIRE(make_channel(&w, &channel));
    s = (struct scene){.w = w};
    REQUIRE(make_end(&s.w, s.w.pd, (struct qp_options){.channel = channel}, &s.a));
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    struct task task;
    REQUIRE(start(&task, use_events, &s));
    for (int sent = 0; sent < FORKS; sent++) {
        const uint64_t deadline = now_ms() + PATIENCE_MS;
        CHECK_EQ(pthread_kill(task.thread, SIGUSR1), 0);
        while (atomic_load(&forks) <= sent && now_ms() < deadline)
            sched_yield();
        REQUIRE(atomic_load(&forks) > sent);
    }
    finish(&task);
    CHECK_EQ(atomic_load(&failures), 0);
    world_close(&s.w);
}

CHECK_MAIN(TEST(a_handler_forks_in_the_middle_of_verbs))
