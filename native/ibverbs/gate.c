/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/gate.h"

#include <stdbool.h>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

/* Prefers the writer, which is fork(): otherwise threads that poll without a pause could keep it waiting for
 * ever. */
static pthread_rwlock_t gate = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static pthread_mutex_t short_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rvt_link *repairs; /* protected by the short lock */

/* How often this thread has entered the gate, and taken the short lock. A signal handler that forks reads
 * them, so they count from before a lock is taken until after it is released. */
static _Thread_local volatile unsigned depth, held;

/* Programs cancel threads that wait for events. A thread that is cancelled with a lock would never release
 * it, so it cannot be cancelled meanwhile: these are the states that it had before. */
static _Thread_local int cancel_state_at_gate, cancel_state_at_lock;

void shim_enter(void) {
    depth = depth + 1;
    if (depth > 1)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state_at_gate);
    pthread_rwlock_rdlock(&gate);
}

void shim_leave(void) {
    const int state = cancel_state_at_gate;
    const bool last = depth == 1;
    if (last)
        pthread_rwlock_unlock(&gate);
    depth = depth - 1; /* only now: a handler that runs before must not wait for the gate */
    if (last)
        pthread_setcancelstate(state, NULL);
}

void shim_lock(void) {
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    held = held + 1;
    pthread_mutex_lock(&short_lock);
    cancel_state_at_lock = state;
}

void shim_unlock(void) {
    int state = cancel_state_at_lock;
    pthread_mutex_unlock(&short_lock);
    held = held - 1;
    pthread_setcancelstate(state, NULL);
}

void shim_wait(pthread_cond_t *condition, const struct timespec *deadline) {
    if (deadline)
        pthread_cond_timedwait(condition, &short_lock, deadline);
    else
        pthread_cond_wait(condition, &short_lock);
}

void shim_condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void shim_add_repair(struct shim_repair *repair, void (*in_child)(struct shim_repair *self)) {
    repair->in_child = in_child;
    shim_lock();
    rvt_list_add(&repairs, &repair->in_repairs);
    shim_unlock();
}

void shim_remove_repair(struct shim_repair *repair) {
    shim_lock();
    rvt_list_remove(&repair->in_repairs);
    shim_unlock();
}

uintptr_t shim_thread_number(void) {
    return (uintptr_t)&depth;
}

/* --- fork --- */

/* Forks of this thread, not yet over, for which no lock is taken: they were called by a signal handler that has
 * interrupted a verb or a fork of the same thread, which may have the locks. Waiting for them would never end.
 * The child of such a fork may call only what a signal handler may, so nothing of this library. */
static _Thread_local volatile unsigned skipped;

static void before_fork(void) {
    if (depth || held) {
        skipped = skipped + 1;
        return;
    }
    depth = 1;
    pthread_rwlock_wrlock(&gate);
    shim_lock();
}

/* Returns whether this is the end of a fork that was skipped. */
static bool is_skipped(void) {
    if (!skipped)
        return false;
    skipped = skipped - 1;
    return true;
}

static void after_fork_in_parent(void) {
    if (is_skipped())
        return;
    shim_unlock();
    pthread_rwlock_unlock(&gate);
    depth = 0;
}

static void after_fork_in_child(void) {
    if (is_skipped())
        return;
    for (struct rvt_link *link = repairs; link; link = link->next) {
        struct shim_repair *repair = RVT_LIST_ENTRY(link, struct shim_repair, in_repairs);
        repair->in_child(repair);
    }
    shim_unlock();
#ifdef __SANITIZE_THREAD__
    __tsan_mutex_pre_unlock(&gate, 0);
    __tsan_mutex_post_unlock(&gate, 0);
#endif
    /* Initialized, not unlocked: glibc compares the id of the thread that locked it, which changes in the
     * child. */
    gate = (pthread_rwlock_t)PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
    depth = 0;
}

__attribute__((constructor)) static void handle_forks(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
