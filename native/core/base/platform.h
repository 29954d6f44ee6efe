/* SPDX-License-Identifier: BSD-3-Clause */
/* What the core needs from an operating system: a mutex, zeroed pages that are committed as they are touched
 * and can be given back, ways to wait for another thread, the system's random numbers, and the size of a
 * cache line. Nothing else in the core names a platform. */
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

/* Reserve `bytes` of zeroed address space, page-aligned; a page costs memory only once it is written (on
 * Windows the commit charge is taken at once). The pages are small, also where the system makes large ones by
 * itself, until rvt_pages_prefer_huge. NULL when it cannot be had. `bytes` must be given again to release. */
void *rvt_pages_reserve(size_t bytes);
void rvt_pages_release(void *pages, size_t bytes);

/* Bytes of the system's small page; a power of two. */
size_t rvt_page_bytes(void);

/* The large page that rvt_pages_prefer_huge asks for. */
#define RVT_HUGE_PAGE_BYTES ((size_t)2 << 20)

/* Ask for large pages in `bytes` bytes at `pages`, which is aligned to one. The content stays. What is
 * written for the first time from now on is committed by the large page. False: the system has none. */
bool rvt_pages_prefer_huge(void *pages, size_t bytes);

/* Make one large page at `pages`, aligned to one, of the small pages that are there. Only a wish, for pages
 * that rvt_pages_prefer_huge was successful on; it takes the time of copying them. */
void rvt_pages_collapse(void *pages);

/* Give the memory of reserved pages back to the system and keep the range: it reads as zeros from now on,
 * also for threads that are reading it at this moment. A thread that meets such a zero sees all that the
 * caller did before. False: the system cannot, nothing has changed. */
bool rvt_pages_give_back(void *pages, size_t bytes);

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
