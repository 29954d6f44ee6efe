/* SPDX-License-Identifier: BSD-3-Clause */
/* The clock of a device. The core waits for a receiver that is not ready (RNR) by a timer that its host must
 * drive: a thread that calls rvt_progress(). The thread is started when the first such timer is, so most
 * programs never have it. */
#ifndef SHIM_TIMER_H
#define SHIM_TIMER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/rvt.h"
#include "ibverbs/gate.h"

struct shim_timer {
    struct rvt_dev_info *device; /* constant */
    pthread_t thread;            /* valid while `running`; used by whoever ends the timer */
    pthread_cond_t wake;
    /* Protected by the short lock: */
    bool due;     /* a timer was started since the last rvt_progress() */
    bool running; /* the thread exists */
    bool ending;  /* the thread must end */
    /* A timer was started and there is no thread: it could not be created, or this is a forked child. Written
     * with the short lock held. */
    _Atomic(bool) unserved;
    struct shim_repair repair;
};

void shim_timer_init(struct shim_timer *timer, struct rvt_dev_info *device);

/* Ends the thread. No timer may be started any more. The caller must be outside the gate. */
void shim_timer_end(struct shim_timer *timer);

/* Notes that the core has started a timer, and starts the thread if it does not run. Any thread may call
 * this, also with locks of the core held. */
void shim_timer_due(struct shim_timer *timer);

/* Tries again to start the thread that timers need. If that fails, fires what is due now. Called by verbs
 * that a program calls while it waits. The caller must be outside the gate. */
void shim_timer_serve_now(struct shim_timer *timer);
static inline void shim_timer_serve(struct shim_timer *timer) {
    if (atomic_load_explicit(&timer->unserved, memory_order_relaxed))
        shim_timer_serve_now(timer);
}

#endif
