/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads of a test. A thread that hangs fails the test instead of blocking it. */
#ifndef RVT_TEST_IBVERBS_THREADS_H
#define RVT_TEST_IBVERBS_THREADS_H

#include <pthread.h>

#include "traffic.h"

struct task {
    pthread_t thread;
    void (*run)(void *argument);
    void *argument;
    atomic_bool over;
};

static inline void *run_task(void *context) {
    struct task *task = context;
    task->run(task->argument);
    atomic_store(&task->over, true);
    return NULL;
}

static inline bool start(struct task *task, void (*run)(void *argument), void *argument) {
    task->run = run;
    task->argument = argument;
    atomic_store(&task->over, false);
    return check_equal((uint64_t)pthread_create(&task->thread, NULL, run_task, task), 0, "pthread_create()",
                       "0", __FILE__, __LINE__);
}

/* Returns whether the thread has come to its end within this time. */
static inline bool is_over_within(struct task *task, unsigned ms) {
    uint64_t deadline = now_ms() + ms;
    while (!atomic_load(&task->over)) {
        if (now_ms() > deadline)
            return false;
        sleep_ms(1);
    }
    return true;
}

/* Waits for the end of a thread. A thread that hangs cannot be ended safely, so the program ends. */
static inline void finish(struct task *task) {
    if (!is_over_within(task, 3 * PATIENCE_MS)) {
        printf("# a thread of the test hangs\n");
        fflush(stdout);
        _exit(3);
    }
    pthread_join(task->thread, NULL);
}

#endif
