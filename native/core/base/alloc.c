/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef RVT_TEST_ALLOC
#include <stdatomic.h>

static atomic_long countdown = -1;
static atomic_int failed;
static atomic_long live;

void rvt_test_alloc_fail_after(long successes) {
    atomic_store(&failed, 0);
    atomic_store(&countdown, successes);
}

int rvt_test_alloc_failed(void) {
    return atomic_load(&failed);
}

long rvt_test_alloc_live(void) {
    return atomic_load(&live);
}

static int must_fail_request(void) {
    if (atomic_load(&countdown) < 0)
        return 0;
    if (atomic_fetch_sub(&countdown, 1) > 0)
        return 0;
    atomic_store(&failed, 1);
    return 1;
}

static void *count_block(void *memory) {
    if (memory)
        atomic_fetch_add(&live, 1);
    return memory;
}

static void uncount_block(const void *memory) {
    if (memory)
        atomic_fetch_sub(&live, 1);
}
#else
static inline int must_fail_request(void) {
    return 0;
}

static inline void *count_block(void *memory) {
    return memory;
}

static inline void uncount_block(const void *memory) {
    (void)memory;
}
#endif

void *rvt_zalloc(size_t count, size_t size) {
    if (must_fail_request())
        return NULL;
    return count_block(calloc(count, size));
}

void *rvt_malloc(size_t bytes) {
    if (must_fail_request())
        return NULL;
    return count_block(malloc(bytes));
}

void *rvt_malloc_many(size_t count, size_t size) {
    return size && count > SIZE_MAX / size ? NULL : rvt_malloc(count * size);
}

void rvt_free(void *memory) {
    uncount_block(memory);
    free(memory);
}

void *rvt_malloc_aligned(size_t bytes) {
    if (must_fail_request() || bytes > SIZE_MAX - RVT_CACHE_LINE)
        return NULL;
    /* aligned_alloc requires a multiple of the alignment. Windows has its own function instead. */
    size_t whole = (bytes + RVT_CACHE_LINE - 1) / RVT_CACHE_LINE * RVT_CACHE_LINE;
#ifdef _WIN32
    void *memory = _aligned_malloc(whole, RVT_CACHE_LINE);
#else
    void *memory = aligned_alloc(RVT_CACHE_LINE, whole);
#endif
    return count_block(memory);
}

void *rvt_zalloc_aligned(size_t count, size_t size) {
    if (size && count > SIZE_MAX / size)
        return NULL;
    void *memory = rvt_malloc_aligned(count * size);
    if (memory)
        memset(memory, 0, count * size);
    return memory;
}

void rvt_free_aligned(void *memory) {
    uncount_block(memory);
#ifdef _WIN32
    _aligned_free(memory);
#else
    free(memory);
#endif
}

void *rvt_alloc_pages(size_t bytes) {
    if (must_fail_request())
        return NULL;
    return count_block(rvt_pages_reserve(bytes));
}

void rvt_free_pages(void *pages, size_t bytes) {
    uncount_block(pages);
    rvt_pages_release(pages, bytes);
}

bool rvt_alloc_data_pages(size_t bytes, bool huge, struct rvt_pages *pages) {
    return !must_fail_request() && rvt_data_pages_get(bytes, huge, pages) && count_block(pages->base);
}

void rvt_free_data_pages(struct rvt_pages *pages) {
    rvt_free_pages(pages->base, pages->reserved);
}
