/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads of this library, which run beside those of the program. */
#ifndef SHIM_THREAD_H
#define SHIM_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* Starts a thread, with signals blocked: a program's signal handlers run in the program's threads. Not those for
 * faults: the kernel ends a process whose thread blocks them, and neither the program nor a sanitizer could tell why.
 * Returns 0 or a positive errno. */
int shim_start_thread(pthread_t *thread, void *(*run)(void *data), void *data);

/* Returns the time in microseconds of CLOCK_MONOTONIC. */
uint64_t shim_microseconds(void);

#endif
