/* SPDX-License-Identifier: BSD-3-Clause */
/* What the core needs from an operating system: a mutex, zeroed pages that are committed as they are touched,
 * ways to wait for another thread, the system's random numbers, and the size of a cache line. Nothing else in
 * the core names a platform. */
#ifndef RVT_PLATFORM_H
#define RVT_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX /* no macros min and max */
#endif
#include <windows.h>
#undef IN /* nor these two, which stand for nothing */
#undef OUT
struct rvt_mutex {
    SRWLOCK lock;
};
#define RVT_MUTEX_INITIALIZER                                                                                \
    { SRWLOCK_INIT }
#else
#include <pthread.h>
struct rvt_mutex {
    pthread_mutex_t lock;
};
#define RVT_MUTEX_INITIALIZER                                                                                \
    { PTHREAD_MUTEX_INITIALIZER }
#endif

enum { RVT_CACHE_LINE = 64 };

void rvt_mutex_init(struct rvt_mutex *mutex);
void rvt_mutex_destroy(struct rvt_mutex *mutex);
void rvt_mutex_lock(struct rvt_mutex *mutex);
void rvt_mutex_unlock(struct rvt_mutex *mutex);

/* Reserve `bytes` of zeroed address space, page-aligned; a page costs memory only once it is touched
 * (on Windows the commit charge is taken at once). NULL when it cannot be had. `bytes` must be given
 * again to release. */
void *rvt_pages_reserve(size_t bytes);
void rvt_pages_release(void *pages, size_t bytes);

/* Memory for data: zeroed pages that begin at a page. `huge`: in large pages (2 MiB) where the system has
 * them, and aligned so that it can; only a wish. False when the memory cannot be had. */
struct rvt_pages {
    unsigned char *data;
    void *base; /* what was reserved: `data` may lie behind its start */
    size_t reserved;
};
bool rvt_data_pages_get(size_t bytes, bool huge, struct rvt_pages *pages);

/* For a thread that waits for another one, from the shortest wait to the longest: a hint to the processor;
 * let other threads run; sleep for some 50 microseconds. */
static inline void rvt_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}
void rvt_yield(void);
void rvt_sleep_briefly(void);

/* A number that is the calling thread's own among those that run now; never 0. */
uintptr_t rvt_thread_self(void);

/* Fill `out` from the system's CSPRNG. False when the system has none to give; the caller
 * must then refuse. */
bool rvt_random_bytes(void *out, size_t bytes);

#endif
