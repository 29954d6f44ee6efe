/* SPDX-License-Identifier: BSD-3-Clause */
#if !defined(_WIN32) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* makes the headers declare MAP_ANONYMOUS and getentropy */
#endif
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#endif

#include "core/base/platform.h"

#ifdef _WIN32
/* clang-format off: bcrypt.h needs windows.h (platform.h) before it */
#include <bcrypt.h>
/* clang-format on */

void rvt_mutex_init(struct rvt_mutex *mutex) {
    InitializeSRWLock(&mutex->lock);
}

void rvt_mutex_destroy(struct rvt_mutex *mutex) {
    (void)mutex;
}

void rvt_mutex_lock(struct rvt_mutex *mutex) {
    AcquireSRWLockExclusive(&mutex->lock);
}

void rvt_mutex_unlock(struct rvt_mutex *mutex) {
    ReleaseSRWLockExclusive(&mutex->lock);
}

void *rvt_pages_reserve(size_t bytes) {
    return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void rvt_pages_release(void *pages, size_t bytes) {
    (void)bytes;
    if (pages)
        VirtualFree(pages, 0, MEM_RELEASE);
}

size_t rvt_page_bytes(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}

bool rvt_pages_prefer_huge(void *pages, size_t bytes) {
    (void)pages;
    (void)bytes;
    return false; /* large pages need a privilege that programs normally lack */
}

void rvt_pages_collapse(void *pages) {
    (void)pages;
}

/* Not available on Windows: decommitted pages cannot be read, and discarded pages do not read as zeros. */
bool rvt_pages_give_back(void *pages, size_t bytes) {
    (void)pages;
    (void)bytes;
    return false;
}

bool rvt_data_pages_get(size_t bytes, bool huge, struct rvt_pages *pages) {
    (void)huge; /* large pages need a privilege that programs normally lack */
    pages->base = pages->data = rvt_pages_reserve(bytes);
    pages->reserved = bytes;
    return pages->base != NULL;
}

void rvt_yield(void) {
    SwitchToThread();
}

void rvt_sleep_briefly(void) {
    Sleep(1); /* the shortest sleep that Windows has */
}

uintptr_t rvt_thread_self(void) {
    return GetCurrentThreadId();
}

uint64_t rvt_coarse_ms(void) {
    return GetTickCount64();
}

bool rvt_random_bytes(void *out, size_t bytes) {
    return BCryptGenRandom(NULL, out, (ULONG)bytes, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}

#else
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

/* A mutex operation fails only if the mutex itself is corrupt (destroyed, overwritten). Continuing would run
 * writers without mutual exclusion, so the process aborts instead. */
static void abort_on_error(int error) {
    if (error)
        abort();
}

void rvt_mutex_init(struct rvt_mutex *mutex) {
    abort_on_error(pthread_mutex_init(&mutex->lock, NULL));
}

void rvt_mutex_destroy(struct rvt_mutex *mutex) {
    abort_on_error(pthread_mutex_destroy(&mutex->lock));
}

void rvt_mutex_lock(struct rvt_mutex *mutex) {
    abort_on_error(pthread_mutex_lock(&mutex->lock));
}

void rvt_mutex_unlock(struct rvt_mutex *mutex) {
    abort_on_error(pthread_mutex_unlock(&mutex->lock));
}

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#if defined(MADV_HUGEPAGE) && !defined(MADV_COLLAPSE)
#define MADV_COLLAPSE 25 /* Linux 6.1; older kernels return EINVAL */
#endif

enum { RESERVED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };

void *rvt_pages_reserve(size_t bytes) {
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, RESERVED, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
#ifdef MADV_NOHUGEPAGE
    /* With transparent huge pages enabled, the first byte written would otherwise cost 2 MiB. */
    (void)madvise(pages, bytes, MADV_NOHUGEPAGE);
#endif
    return pages;
}

void rvt_pages_release(void *pages, size_t bytes) {
    /* munmap fails if it would split a mapping and the process already has the maximum number of mappings. */
    if (pages && munmap(pages, bytes))
        (void)rvt_pages_give_back(pages, bytes);
}

size_t rvt_page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

bool rvt_pages_prefer_huge(void *pages, size_t bytes) {
#ifdef MADV_HUGEPAGE
    /* With a base page larger than 4 KiB, a large page is 32 MiB or more. */
    return rvt_page_bytes() == 4096 && madvise(pages, bytes, MADV_HUGEPAGE) == 0;
#else
    (void)pages;
    (void)bytes;
    return false;
#endif
}

void rvt_pages_collapse(void *pages) {
#ifdef MADV_HUGEPAGE
    (void)madvise(pages, RVT_HUGE_PAGE_BYTES, MADV_COLLAPSE);
#else
    (void)pages;
#endif
}

bool rvt_pages_give_back(void *pages, size_t bytes) {
    /* Both calls remove the old pages from the page table under its lock, and a thread that faults in the new
     * ones takes the same lock, so it sees what this thread did before. */
#ifdef __linux__
    return madvise(pages, bytes, MADV_DONTNEED) == 0;
#else
    /* Outside Linux, MADV_DONTNEED may keep the content. Mapping over the old pages replaces them in one
     * step. */
    return mmap(pages, bytes, PROT_READ | PROT_WRITE, RESERVED | MAP_FIXED, -1, 0) != MAP_FAILED;
#endif
}

bool rvt_data_pages_get(size_t bytes, bool huge, struct rvt_pages *pages) {
    size_t spare = huge ? RVT_HUGE_PAGE_BYTES : 0;
    if (bytes > SIZE_MAX - spare)
        return false;
    /* Unlike a key table, which is sparse, all of this memory may be written. Without MAP_NORESERVE, a system
     * that does not overcommit reports a shortage now, instead of killing the process later. */
    void *base = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return false;
    pages->base = base;
    pages->reserved = bytes + spare;
    pages->data = base;
    if (huge) {
        pages->data += (RVT_HUGE_PAGE_BYTES - (uintptr_t)base % RVT_HUGE_PAGE_BYTES) % RVT_HUGE_PAGE_BYTES;
#ifdef MADV_HUGEPAGE
        (void)madvise(pages->data, bytes, MADV_HUGEPAGE);
#endif
    }
    return true;
}

void rvt_yield(void) {
    sched_yield();
}

void rvt_sleep_briefly(void) {
    (void)nanosleep(&(struct timespec){0, 50000}, NULL);
}

uintptr_t rvt_thread_self(void) {
    return (uintptr_t)pthread_self();
}

uint64_t rvt_coarse_ms(void) {
    struct timespec now;
#ifdef CLOCK_MONOTONIC_COARSE
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
#else
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool rvt_random_bytes(void *out, size_t bytes) {
    unsigned char *at = out;
    while (bytes) { /* getentropy returns at most 256 bytes per call */
        size_t step = bytes < 256 ? bytes : 256;
        if (getentropy(at, step))
            return false;
        at += step;
        bytes -= step;
    }
    return true;
}
#endif
