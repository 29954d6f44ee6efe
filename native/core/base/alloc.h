/* SPDX-License-Identifier: BSD-3-Clause */
/* The core's allocator. Every allocation goes through it, so that a test build (RVT_TEST_ALLOC) can make any
 * single request fail and count the blocks that are still allocated. */
#ifndef RVT_ALLOC_H
#define RVT_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/platform.h"

/* Returns zeroed memory for `count` objects of `size` bytes, or NULL (also if the product overflows
 * size_t). */
void *rvt_zalloc(size_t count, size_t size);

/* Like rvt_zalloc(), aligned to a cache line. Release with rvt_free_aligned(). */
void *rvt_zalloc_aligned(size_t count, size_t size);

/* Returns `bytes` bytes of uninitialized memory, or NULL. */
void *rvt_malloc(size_t bytes);

/* Returns uninitialized memory for `count` objects of `size` bytes, or NULL (also if the product overflows size_t). */
void *rvt_malloc_many(size_t count, size_t size);

/* Like rvt_malloc(), aligned to a cache line. Release with rvt_free_aligned(). */
void *rvt_malloc_aligned(size_t bytes);

void rvt_free(void *memory);
void rvt_free_aligned(void *memory);

/* rvt_pages_reserve() and rvt_pages_release(), counted and made to fail in test builds like the other
 * allocations. */
void *rvt_alloc_pages(size_t bytes);
void rvt_free_pages(void *pages, size_t bytes);

/* rvt_data_pages_get() and the matching release, counted and made to fail in test builds like the other
 * allocations. */
bool rvt_alloc_data_pages(size_t bytes, bool huge, struct rvt_pages *pages);
void rvt_free_data_pages(struct rvt_pages *pages);

#ifdef RVT_TEST_ALLOC
/* Lets `successes` more requests succeed, fails the next one, and lets all later ones succeed. A negative
 * number never fails a request. */
void rvt_test_alloc_fail_after(long successes);
/* Returns nonzero once the requested failure has happened. */
int rvt_test_alloc_failed(void);
/* Returns the number of blocks allocated and not yet released. */
long rvt_test_alloc_live(void);
#endif

#endif
