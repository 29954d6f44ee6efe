/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls a verb that waits for readers in a thread of its own, while the test's thread is inside a read
 * section. */
#ifndef RVT_TEST_WAITING_H
#define RVT_TEST_WAITING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/epoch.h"
#include "core/base/platform.h"

struct waiting {
    pthread_t thread;
    int (*verb)(void *argument);
    void *argument;
    int answer;
    atomic_bool over;
};

static inline void *call_waiting_verb(void *context) {
    struct waiting *w = context;
    w->answer = w->verb(w->argument);
    atomic_store(&w->over, true);
    return NULL;
}

/* Sleeps long enough for a verb that does not wait to return. On a busy machine this may be too short: a test
 * may then miss a bug, but never fails falsely. */
static inline void a_moment(void) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

/* Starts the verb, and returns once it has done its work under the lock and is waiting for readers. Returns
 * false if the verb has already returned. */
static inline bool begin_waiting(struct waiting *w, int (*verb)(void *argument), void *argument) {
    const uint64_t before = atomic_load(&rvt_epoch_now);
    w->verb = verb;
    w->argument = argument;
    atomic_store(&w->over, false);
    if (pthread_create(&w->thread, NULL, call_waiting_verb, w))
        abort();
    while (atomic_load(&rvt_epoch_now) == before && !atomic_load(&w->over))
        rvt_yield();
    a_moment();
    return !atomic_load(&w->over);
}

static inline bool still_waiting(struct waiting *w) {
    a_moment();
    return !atomic_load(&w->over);
}

/* Waits for the verb to finish and returns its result. The readers must have left. */
static inline int end_waiting(struct waiting *w) {
    if (pthread_join(w->thread, NULL))
        abort();
    return w->answer;
}

#endif
