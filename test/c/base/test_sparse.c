/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/sparse.h"

#include <pthread.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "check.h"
#include "core/base/alloc.h"
#include "core/base/platform.h"

static _Atomic(uint64_t) held;

static uint64_t held_pages(void) {
    return atomic_load(&held) / rvt_page_bytes();
}

static bool open_sparse(struct rvt_sparse *sparse, size_t bytes) {
    atomic_store(&held, 0);
    return rvt_sparse_init(sparse, bytes, &held);
}

static void write_byte(const struct rvt_sparse *sparse, size_t offset, unsigned char value) {
    rvt_sparse_touch(sparse, &sparse->data[offset]);
    sparse->data[offset] = value;
}

/* Returns how many pages of the range are resident, or UINT64_MAX where the system cannot tell. */
static uint64_t resident_pages(const struct rvt_sparse *sparse) {
#ifdef __linux__
    size_t pages = (sparse->reserved + rvt_page_bytes() - 1) / rvt_page_bytes();
    unsigned char *in_memory = malloc(pages);
    uint64_t resident = UINT64_MAX;
    if (in_memory && mincore(sparse->base, sparse->reserved, in_memory) == 0) {
        resident = 0;
        for (size_t i = 0; i < pages; i++)
            resident += in_memory[i] & 1;
    }
    free(in_memory);
    return resident;
#else
    (void)sparse;
    return UINT64_MAX;
#endif
}

static bool held_matches_resident(const struct rvt_sparse *sparse) {
    uint64_t resident = resident_pages(sparse);
    if (resident == UINT64_MAX)
        return true;
    CHECK_EQ(resident, held_pages());
    return resident == held_pages();
}

static void a_new_range_is_zero_and_holds_no_memory(void) {
    static const size_t sizes[] = {1, 64, 4096, 4097, (size_t)5 << 20, (size_t)1 << 30};
    long live = rvt_test_alloc_live();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct rvt_sparse sparse;
        REQUIRE(open_sparse(&sparse, sizes[i]));
        CHECK_EQ((uintptr_t)sparse.data % rvt_page_bytes(), 0);
        CHECK_EQ(atomic_load(&held), 0);
        CHECK(held_matches_resident(&sparse));
        CHECK_EQ(sparse.data[0], 0);
        CHECK_EQ(sparse.data[sizes[i] - 1], 0);
        write_byte(&sparse, 0, 1);
        write_byte(&sparse, sizes[i] - 1, 2); /* the last byte is writable */
        CHECK(sparse.data + sizes[i] <= (unsigned char *)sparse.base + sparse.reserved);
        rvt_sparse_destroy(&sparse);
        CHECK_EQ(rvt_test_alloc_live(), live);
    }
}

static void each_touched_page_counts_once(void) {
    const size_t page = rvt_page_bytes();
    struct rvt_sparse sparse;
    REQUIRE(open_sparse(&sparse, 3 * page));
    write_byte(&sparse, 0, 1);
    CHECK_EQ(held_pages(), 2); /* the touched page and the page of the bitmap */
    write_byte(&sparse, page - 1, 1);
    CHECK_EQ(held_pages(), 2);
    write_byte(&sparse, page, 1);
    CHECK_EQ(held_pages(), 3);
    write_byte(&sparse, 2 * page + 17, 1);
    write_byte(&sparse, 1, 1);
    CHECK_EQ(held_pages(), 4);
    CHECK(held_matches_resident(&sparse));
    rvt_sparse_destroy(&sparse);
}

static void randomly_touched_pages_are_counted(void) {
    const size_t bytes = (size_t)1 << 30; /* so many pages that their bitmap spans several pages */
    struct rvt_sparse sparse;
    REQUIRE(open_sparse(&sparse, bytes));
    uint64_t seed = 1;
    for (int i = 0; i < 3000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        write_byte(&sparse, (size_t)(seed >> 20) % bytes, 1);
    }
    CHECK(held_pages() > 2900);
    CHECK(held_matches_resident(&sparse));
    rvt_sparse_destroy(&sparse);
}

static void pages_given_back_read_as_zeros(void) {
    const size_t bytes = 300 * rvt_page_bytes();
    struct rvt_sparse sparse;
    REQUIRE(open_sparse(&sparse, bytes));
    for (size_t at = 0; at < bytes; at += rvt_page_bytes() / 2)
        write_byte(&sparse, at, 0xa5);
    CHECK_EQ(held_pages(), 301);
    rvt_sparse_give_back(&sparse);
#ifndef _WIN32
    CHECK_EQ(held_pages(), 0);
    CHECK(held_matches_resident(&sparse));
    for (size_t at = 0; at < bytes; at++)
        CHECK_EQ(sparse.data[at], 0);
#endif
    rvt_sparse_destroy(&sparse);
}

static void giving_back_an_untouched_or_destroyed_range_does_nothing(void) {
    struct rvt_sparse sparse;
    REQUIRE(open_sparse(&sparse, 100));
    rvt_sparse_give_back(&sparse);
    CHECK_EQ(atomic_load(&held), 0);
    rvt_sparse_destroy(&sparse);
    rvt_sparse_give_back(&sparse); /* on a destroyed range the call does nothing */
    rvt_sparse_touch(&sparse, &sparse);
    rvt_sparse_destroy(&sparse);
    CHECK_EQ(atomic_load(&held), 0);
}

static void a_touched_huge_page_counts_in_full(void) {
    enum { LARGE = 4 };
    struct rvt_sparse sparse;
    REQUIRE(open_sparse(&sparse, LARGE * RVT_HUGE_PAGE_BYTES + 1));
    CHECK_EQ((uintptr_t)sparse.data % RVT_HUGE_PAGE_BYTES, 0);
    write_byte(&sparse, 5, 0x11);
    write_byte(&sparse, 2 * RVT_HUGE_PAGE_BYTES + 5, 0x33);
    write_byte(&sparse, LARGE * RVT_HUGE_PAGE_BYTES, 0x55); /* beyond the part that will use huge pages */
    CHECK_EQ(held_pages(), 4);
    CHECK(!rvt_sparse_collapse(&sparse)); /* no part prefers huge pages yet */
    rvt_sparse_prefer_huge(&sparse, LARGE * RVT_HUGE_PAGE_BYTES);
    if (sparse.huge_bytes) {
        const uint64_t each = RVT_HUGE_PAGE_BYTES / rvt_page_bytes();
        CHECK_EQ(held_pages(), 2 * each + 2);
        write_byte(&sparse, 3 * RVT_HUGE_PAGE_BYTES - 1, 0x34);
        CHECK_EQ(held_pages(), 2 * each + 2);
        write_byte(&sparse, 3 * RVT_HUGE_PAGE_BYTES, 0x44);
        CHECK_EQ(held_pages(), 3 * each + 2);
        write_byte(&sparse, 4 * RVT_HUGE_PAGE_BYTES - 1, 0x45);
        CHECK_EQ(held_pages(), 3 * each + 2);
    }
    int collapsed = 0;
    while (rvt_sparse_collapse(&sparse))
        collapsed++;
    CHECK_EQ(collapsed, sparse.huge_bytes ? 3 : 0); /* the untouched huge page is not collapsed */
    CHECK_EQ(sparse.data[5], 0x11);                 /* collapsing keeps the bytes */
    CHECK_EQ(sparse.data[2 * RVT_HUGE_PAGE_BYTES + 5], 0x33);
    CHECK_EQ(sparse.data[LARGE * RVT_HUGE_PAGE_BYTES], 0x55);
    rvt_sparse_give_back(&sparse);
#ifndef _WIN32
    CHECK_EQ(atomic_load(&held), 0);
    CHECK_EQ(sparse.data[2 * RVT_HUGE_PAGE_BYTES + 5], 0);
#endif
    rvt_sparse_destroy(&sparse);
}

static void a_range_that_cannot_be_reserved_is_refused(void) {
    struct rvt_sparse sparse;
    CHECK(!open_sparse(&sparse, SIZE_MAX / 2));
    CHECK(sparse.data == NULL);
    rvt_test_alloc_fail_after(0);
    CHECK(!open_sparse(&sparse, 4096));
    rvt_test_alloc_fail_after(-1);
    CHECK(sparse.data == NULL);
    CHECK_EQ(atomic_load(&held), 0);
}

/* Readers take no lock while pages are given back: a byte keeps its last value or becomes zero for good. */
static struct rvt_sparse shared;
static atomic_bool given_back;

static void *read_until_zero(void *unused) {
    (void)unused;
    for (;;) {
        bool before = atomic_load(&given_back);
        for (size_t at = 0; at < 64 * rvt_page_bytes(); at += rvt_page_bytes()) {
            unsigned char byte =
                atomic_load_explicit((_Atomic(unsigned char) *)&shared.data[at], memory_order_acquire);
            CHECK(byte == 0x77 || byte == 0);
            if (before)
                CHECK_EQ(byte, 0);
        }
        if (before)
            return NULL;
    }
}

static void readers_can_read_while_pages_are_given_back(void) {
#ifndef _WIN32
    for (int round = 0; round < 50; round++) {
        REQUIRE(open_sparse(&shared, 64 * rvt_page_bytes()));
        for (size_t at = 0; at < 64 * rvt_page_bytes(); at += rvt_page_bytes())
            write_byte(&shared, at, 0x77);
        atomic_store(&given_back, false);
        pthread_t threads[2];
        for (int i = 0; i < 2; i++)
            REQUIRE(pthread_create(&threads[i], NULL, read_until_zero, NULL) == 0);
        rvt_sparse_give_back(&shared);
        atomic_store(&given_back, true);
        for (int i = 0; i < 2; i++)
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        rvt_sparse_destroy(&shared);
    }
#endif
}

CHECK_MAIN(TEST(a_new_range_is_zero_and_holds_no_memory), TEST(each_touched_page_counts_once),
           TEST(randomly_touched_pages_are_counted), TEST(pages_given_back_read_as_zeros),
           TEST(giving_back_an_untouched_or_destroyed_range_does_nothing),
           TEST(a_touched_huge_page_counts_in_full), TEST(a_range_that_cannot_be_reserved_is_refused),
           TEST(readers_can_read_while_pages_are_given_back))
