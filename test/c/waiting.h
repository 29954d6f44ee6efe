/* SPDX-License-Identifier: BSD-3-Clause */
/* A verb that waits for readers. It is called in a thread of its own, while the test's thread is inside a section. */
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

/* Long enough for a verb that does not wait to be over. On a busy machine it may be too short: then a test misses a
 * fault. It never fails by it. */
static inline void a_moment(void) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

/* Call the verb. When this returns the verb has done its work under the lock and waits; false if it is over. */
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

/* The readers have left: the verb's answer. */
static inline int end_waiting(struct waiting *w) {
    if (pthread_join(w->thread, NULL))
        abort();
    return w->answer;
}

#endif
