/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/timer.h"

#include "ibverbs/thread.h"

/* Returns when the next timer is due, in microseconds of CLOCK_MONOTONIC; UINT64_MAX: none runs. */
static uint64_t progress(struct shim_timer *timer) {
    shim_enter();
    uint64_t next = rvt_progress(timer->device, shim_microseconds());
    shim_leave();
    return next;
}

static void *run(void *data) {
    struct shim_timer *timer = data;
    uint64_t next = UINT64_MAX;
    shim_lock();
    while (!timer->ending) {
        if (!timer->due && shim_microseconds() < next) {
            struct timespec at = {(time_t)(next / 1000000), (long)(next % 1000000 * 1000)};
            shim_wait(&timer->wake, next == UINT64_MAX ? NULL : &at);
            continue; /* the condition may wake without a reason */
        }
        timer->due = false;
        shim_unlock();
        next = progress(timer);
        shim_lock();
    }
    shim_unlock();
    return NULL;
}

/* The thread does not exist in the child. A verb starts it again, if the child calls one. */
static void forget_thread(struct shim_repair *repair) {
    struct shim_timer *timer = RVT_LIST_ENTRY(repair, struct shim_timer, repair);
    if (timer->running)
        atomic_store_explicit(&timer->unserved, true, memory_order_relaxed);
    timer->running = timer->ending = false;
    shim_condition_init(&timer->wake);
}

void shim_timer_init(struct shim_timer *timer, struct rvt_dev_info *device) {
    timer->device = device;
    timer->due = timer->running = timer->ending = false;
    atomic_init(&timer->unserved, false);
    shim_condition_init(&timer->wake);
    shim_add_repair(&timer->repair, forget_thread);
}

void shim_timer_end(struct shim_timer *timer) {
    shim_lock();
    bool running = timer->running;
    timer->ending = true;
    pthread_cond_broadcast(&timer->wake);
    shim_unlock();
    if (running)
        pthread_join(timer->thread, NULL);
    shim_remove_repair(&timer->repair);
    pthread_cond_destroy(&timer->wake);
}

/* Starts the thread. The caller must hold the short lock. */
static void start(struct shim_timer *timer) {
    timer->running = shim_start_thread(&timer->thread, run, timer) == 0;
    atomic_store_explicit(&timer->unserved, !timer->running, memory_order_relaxed);
}

void shim_timer_due(struct shim_timer *timer) {
    shim_lock();
    timer->due = true;
    if (!timer->running)
        start(timer);
    pthread_cond_signal(&timer->wake);
    shim_unlock();
}

void shim_timer_serve_now(struct shim_timer *timer) {
    shim_lock();
    if (!timer->running) {
        timer->due = true;
        start(timer);
    }
    bool served = timer->running;
    shim_unlock();
    if (!served)
        (void)progress(timer);
}
