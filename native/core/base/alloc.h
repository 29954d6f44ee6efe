/* SPDX-License-Identifier: BSD-3-Clause */
/* Every byte the core asks for comes through here, so that a test build (RVT_TEST_ALLOC) can make any single
 * request fail and can count what is still held. */
#ifndef RVT_ALLOC_H
#define RVT_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/platform.h"

/* Zeroed memory for `count` objects of `size` bytes, or NULL (also when the product does not fit size_t). */
void *rvt_zalloc(size_t count, size_t size);

/* As rvt_zalloc, aligned to a cache line; released with rvt_free_aligned. */
void *rvt_zalloc_aligned(size_t count, size_t size);

/* Uninitialised memory of `bytes`, or NULL. */
void *rvt_malloc(size_t bytes);

/* As rvt_malloc, aligned to a cache line; released with rvt_free_aligned. */
void *rvt_malloc_aligned(size_t bytes);

void rvt_free(void *memory);
void rvt_free_aligned(void *memory);

/* rvt_pages_reserve / rvt_pages_release under the same test control. */
void *rvt_alloc_pages(size_t bytes);
void rvt_free_pages(void *pages, size_t bytes);

/* rvt_data_pages_get, and its release, likewise. */
bool rvt_alloc_data_pages(size_t bytes, bool huge, struct rvt_pages *pages);
void rvt_free_data_pages(struct rvt_pages *pages);

#ifdef RVT_TEST_ALLOC
/* Let `successes` further requests through, fail the one after them, and let all later ones through again;
 * a negative number: never fail. */
void rvt_test_alloc_fail_after(long successes);
/* True once the failure asked for has happened. */
int rvt_test_alloc_failed(void);
/* Blocks handed out and not yet released. */
long rvt_test_alloc_live(void);
#endif

#endif
