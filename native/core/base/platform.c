/* SPDX-License-Identifier: BSD-3-Clause */
#if !defined(_WIN32) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, getentropy */
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
    return false; /* wants a privilege that programs do not have */
}

void rvt_pages_collapse(void *pages) {
    (void)pages;
}

/* Decommitted pages cannot be read, and discarded ones do not read as zeros. */
bool rvt_pages_give_back(void *pages, size_t bytes) {
    (void)pages;
    (void)bytes;
    return false;
}

bool rvt_data_pages_get(size_t bytes, bool huge, struct rvt_pages *pages) {
    (void)huge; /* wants a privilege that programs do not have */
    pages->base = pages->data = rvt_pages_reserve(bytes);
    pages->reserved = bytes;
    return pages->base != NULL;
}

void rvt_yield(void) {
    SwitchToThread();
}

void rvt_sleep_briefly(void) {
    Sleep(1); /* there is nothing shorter */
}

uintptr_t rvt_thread_self(void) {
    return GetCurrentThreadId();
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

/* A mutex operation fails only when the mutex itself is broken (destroyed, overwritten). Going on would mean
 * running the writer's side without mutual exclusion, so the process ends instead. */
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
#define MADV_COLLAPSE 25 /* Linux 6.1; older kernels answer EINVAL */
#endif

enum { RESERVED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };

void *rvt_pages_reserve(size_t bytes) {
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, RESERVED, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
#ifdef MADV_NOHUGEPAGE
    /* Where the system makes large pages by itself, the first byte written would cost 2 MiB. */
    (void)madvise(pages, bytes, MADV_NOHUGEPAGE);
#endif
    return pages;
}

void rvt_pages_release(void *pages, size_t bytes) {
    /* Fails if it would cut a mapping in two and the process has as many as it may have. */
    if (pages && munmap(pages, bytes))
        (void)rvt_pages_give_back(pages, bytes);
}

size_t rvt_page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

bool rvt_pages_prefer_huge(void *pages, size_t bytes) {
#ifdef MADV_HUGEPAGE
    /* With larger small pages a large one is 32 MiB or more. */
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
    /* Both take the old pages out of the page table under its lock, and a thread that meets the new ones has
     * taken the same lock: so it sees what this thread did before. */
#ifdef __linux__
    return madvise(pages, bytes, MADV_DONTNEED) == 0;
#else
    /* Elsewhere MADV_DONTNEED may keep the content. A mapping over the old one replaces it in one step. */
    return mmap(pages, bytes, PROT_READ | PROT_WRITE, RESERVED | MAP_FIXED, -1, 0) != MAP_FAILED;
#endif
}

bool rvt_data_pages_get(size_t bytes, bool huge, struct rvt_pages *pages) {
    size_t spare = huge ? RVT_HUGE_PAGE_BYTES : 0;
    if (bytes > SIZE_MAX - spare)
        return false;
    /* Unlike a table, which is sparse, this may all be written: a system that counts its promises says now
     * that it has not so much, instead of ending the process later. So no MAP_NORESERVE. */
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

bool rvt_random_bytes(void *out, size_t bytes) {
    unsigned char *at = out;
    while (bytes) { /* getentropy answers at most 256 bytes a call */
        size_t step = bytes < 256 ? bytes : 256;
        if (getentropy(at, step))
            return false;
        at += step;
        bytes -= step;
    }
    return true;
}
#endif
