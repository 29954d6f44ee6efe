/* SPDX-License-Identifier: BSD-3-Clause */
/* The core's interface to the operating system: a mutex, zeroed pages that are committed when touched and can
 * be returned, ways to wait for another thread, random numbers, and the cache-line size. No other part of the
 * core depends on the platform. */
#ifndef RVT_PLATFORM_H
#define RVT_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX /* do not define the macros min and max */
#endif
#include <windows.h>
#undef IN /* windows.h defines these two as empty macros */
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

/* Reserves `bytes` bytes of zeroed, page-aligned address space. A page uses memory only once it is written;
 * on Windows the commit charge is taken at once. The pages stay small, even where the system would use large
 * ones by default, until rvt_pages_prefer_huge() is called. Returns NULL on failure. Release with the same
 * `bytes`. */
void *rvt_pages_reserve(size_t bytes);
void rvt_pages_release(void *pages, size_t bytes);

/* Returns the size of the system's small page in bytes, a power of two. */
size_t rvt_page_bytes(void);

/* Size of the large page that rvt_pages_prefer_huge() requests. */
#define RVT_HUGE_PAGE_BYTES ((size_t)2 << 20)

/* Requests large pages for `bytes` bytes at `pages`, which must be aligned to a large page. Keeps the
 * content. Memory first written from now on is committed in large pages. Returns false if the system has
 * none. */
bool rvt_pages_prefer_huge(void *pages, size_t bytes);

/* Merges the small pages at `pages`, which must be aligned to a large page, into one large page. Only a hint,
 * for pages for which rvt_pages_prefer_huge() succeeded. Takes as long as copying them. */
void rvt_pages_collapse(void *pages);

/* Returns the memory of reserved pages to the system and keeps the address range, which reads as zeros from
 * now on, even for threads that are reading it at this moment. A thread that reads such a zero sees
 * everything that the caller did before. Returns false, with nothing changed, if the system cannot do
 * this. */
bool rvt_pages_give_back(void *pages, size_t bytes);

/* Page-aligned, zeroed memory for data. `huge` requests large pages (2 MiB) where the system has them, with
 * suitable alignment; only a hint. rvt_data_pages_get() returns false if the memory is not available. */
struct rvt_pages {
    unsigned char *data;
    void *base; /* start of the reserved range, at or before `data` */
    size_t reserved;
};
bool rvt_data_pages_get(size_t bytes, bool huge, struct rvt_pages *pages);

/* Ways for a thread to wait for another one, from the shortest to the longest: rvt_pause() is a hint to the
 * processor, rvt_yield() lets other threads run, rvt_sleep_briefly() sleeps for about 50 microseconds (1 ms
 * on Windows). */
static inline void rvt_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}
void rvt_yield(void);
void rvt_sleep_briefly(void);

/* Returns a number that identifies the calling thread among the running ones; never 0. */
uintptr_t rvt_thread_self(void);

/* Returns the time in milliseconds of a clock that never goes back, and whose origin means nothing. Its steps may
 * be as long as a tick of the system, 4 to 16 ms: it is read without a system call. */
uint64_t rvt_coarse_ms(void);

/* Fills `out` with `bytes` bytes from the system's CSPRNG. Returns false if the CSPRNG cannot provide them;
 * the caller must then fail. */
bool rvt_random_bytes(void *out, size_t bytes);

#endif
