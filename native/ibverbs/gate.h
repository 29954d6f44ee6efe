/* SPDX-License-Identifier: BSD-3-Clause */
/* The two locks that fork() must find free, and what must be repaired in a forked child.
 *
 * fork() copies the memory of the process, but only the thread that calls it. A lock that another thread
 * holds at that moment would stay locked in the child for ever. So every call into the core is made inside
 * the gate, and fork() waits until no thread is inside. All locks that are only taken inside the gate (the
 * core's, and the other ones of this library) are free then. The short lock is also taken by threads that are
 * outside the gate.
 *
 * Order of locks: gate, locks of objects, locks of the core, short lock. */
#ifndef SHIM_GATE_H
#define SHIM_GATE_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "core/rvt.h"

/* Enters the gate. Waits while another thread forks. Calls may be nested. A thread must not wait for another
 * thread's progress (an event, an acknowledgement, a session) while it is inside. It cannot be cancelled
 * while it is inside, or while it holds the short lock. */
void shim_enter(void);
void shim_leave(void);

/* The short lock protects events, timers' flags and the list of repairs. Held for a few instructions; nothing
 * is called with it but system calls that do not block. */
void shim_lock(void);
void shim_unlock(void);

/* Waits on a condition, for which the caller holds the short lock, until `deadline` of CLOCK_MONOTONIC (NULL:
 * for ever). The caller must be outside the gate. */
void shim_wait(pthread_cond_t *condition, const struct timespec *deadline);

/* Initializes a condition for shim_wait(). */
void shim_condition_init(pthread_cond_t *condition);

/* Something that a forked child must repair: embedded in its object. `in_child` is called in the child with
 * both locks held, by its only thread. */
struct shim_repair {
    struct rvt_link in_repairs;
    void (*in_child)(struct shim_repair *self);
};

void shim_add_repair(struct shim_repair *repair, void (*in_child)(struct shim_repair *self));
void shim_remove_repair(struct shim_repair *repair);

/* Returns a number that names the calling thread and is never 0. A thread that forks keeps its number in the
 * child. A thread may get the number of one that has ended. */
uintptr_t shim_thread_number(void);

#endif
