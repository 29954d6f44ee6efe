/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/alloc.h"

#include "check.h"
#include "core/base/platform.h"

/* By default the sanitizers' allocators end the process when a request cannot be met. They look for these two
 * functions, which make the allocation return NULL instead. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

__attribute__((visibility("default"))) const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

__attribute__((visibility("default"))) const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1";
}

/* Volatile, so that the compiler cannot see the overflowing product and warn. */
static volatile size_t huge = SIZE_MAX / 4;

static void zalloc_returns_zeroed_memory(void) {
    unsigned char *a = rvt_zalloc(3, 100);
    REQUIRE(a != NULL);
    for (int i = 0; i < 300; i++)
        CHECK_EQ(a[i], 0);
    rvt_free(a);
}

static void zalloc_aligned_returns_aligned_zeroed_memory(void) {
    /* Dirty the heap first, so that zero bytes do not appear by chance. */
    void *dirt = rvt_malloc(1000);
    REQUIRE(dirt != NULL);
    memset(dirt, 0xff, 1000);
    rvt_free(dirt);
    for (size_t size = 1; size < 200; size += 13) {
        unsigned char *a = rvt_zalloc_aligned(3, size);
        REQUIRE(a != NULL);
        CHECK_EQ((uintptr_t)a % RVT_CACHE_LINE, 0);
        for (size_t i = 0; i < 3 * size; i++)
            CHECK_EQ(a[i], 0);
        memset(a, 1, 3 * size);
        rvt_free_aligned(a);
    }
}

static void a_size_that_overflows_returns_null(void) {
    long live = rvt_test_alloc_live();
    CHECK(rvt_zalloc(huge, 8) == NULL);
    CHECK(rvt_zalloc_aligned(huge, 8) == NULL);
    CHECK(rvt_zalloc_aligned(2 * huge, 2) == NULL);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void freeing_null_does_nothing(void) {
    long live = rvt_test_alloc_live();
    rvt_free(NULL);
    rvt_free_aligned(NULL);
    rvt_free_pages(NULL, 4096);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void the_live_count_covers_every_kind_of_allocation(void) {
    long live = rvt_test_alloc_live();
    void *a = rvt_zalloc(1, 8), *b = rvt_malloc(8), *c = rvt_zalloc_aligned(1, 8), *d = rvt_alloc_pages(4096);
    REQUIRE(a && b && c && d);
    CHECK_EQ(rvt_test_alloc_live(), live + 4);
    rvt_free(a);
    rvt_free(b);
    CHECK_EQ(rvt_test_alloc_live(), live + 2);
    rvt_free_aligned(c);
    rvt_free_pages(d, 4096);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void the_chosen_allocation_fails_once(void) {
    CHECK(!rvt_test_alloc_failed());
    rvt_test_alloc_fail_after(2);
    void *a = rvt_malloc(8), *b = rvt_zalloc(1, 8);
    CHECK(a && b && !rvt_test_alloc_failed());
    CHECK(rvt_zalloc_aligned(1, 8) == NULL);
    CHECK(rvt_test_alloc_failed());
    void *c = rvt_alloc_pages(4096);
    CHECK(c != NULL);
    rvt_free(a);
    rvt_free(b);
    rvt_free_pages(c, 4096);

    rvt_test_alloc_fail_after(0);
    CHECK(!rvt_test_alloc_failed());
    CHECK(rvt_alloc_pages(4096) == NULL);
    rvt_test_alloc_fail_after(0);
    CHECK(rvt_malloc(1) == NULL);
    rvt_test_alloc_fail_after(0);
    CHECK(rvt_zalloc(1, 1) == NULL);

    rvt_test_alloc_fail_after(-1);
    for (int i = 0; i < 10; i++) {
        void *p = rvt_malloc(1);
        CHECK(p != NULL);
        rvt_free(p);
    }
    CHECK(!rvt_test_alloc_failed());
}

static void data_pages_are_counted_and_can_fail(void) {
    long live = rvt_test_alloc_live();
    struct rvt_pages pages;
    for (int large = 0; large < 2; large++) {
        rvt_test_alloc_fail_after(0);
        CHECK(!rvt_alloc_data_pages(4096, large, &pages));
        CHECK(rvt_test_alloc_failed());
        rvt_test_alloc_fail_after(-1);
        CHECK(!rvt_alloc_data_pages(SIZE_MAX / 2, large, &pages));
        CHECK_EQ(rvt_test_alloc_live(), live);
        REQUIRE(rvt_alloc_data_pages(4096, large, &pages));
        CHECK_EQ(rvt_test_alloc_live(), live + 1);
        rvt_free_data_pages(&pages);
        CHECK_EQ(rvt_test_alloc_live(), live);
    }
}

CHECK_MAIN(TEST(zalloc_returns_zeroed_memory), TEST(zalloc_aligned_returns_aligned_zeroed_memory),
           TEST(a_size_that_overflows_returns_null), TEST(freeing_null_does_nothing),
           TEST(the_live_count_covers_every_kind_of_allocation), TEST(the_chosen_allocation_fails_once),
           TEST(data_pages_are_counted_and_can_fail))
