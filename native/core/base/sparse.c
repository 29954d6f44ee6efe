/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/sparse.h"

#include <string.h>

#include "core/base/alloc.h"

enum { WORD_BITS = 64 };

bool rvt_sparse_init(struct rvt_sparse *sparse, size_t bytes, _Atomic(uint64_t) *held) {
    memset(sparse, 0, sizeof(*sparse));
    size_t page = rvt_page_bytes();
    size_t pages = (bytes + page - 1) / page;
    /* A page of bits covers more pages than it has bytes, so this also has room for the bits of the bit
     * pages. */
    size_t words = (pages + pages / page + 2) / WORD_BITS + 1;
    /* Align to a large page only if the range can hold one. */
    size_t spare = bytes >= RVT_HUGE_PAGE_BYTES ? RVT_HUGE_PAGE_BYTES : 0;
    size_t reserved = pages * page + words * sizeof(*sparse->touched) + spare;
    void *base = rvt_alloc_pages(reserved);
    if (!base)
        return false;
    sparse->base = base;
    sparse->reserved = reserved;
    sparse->data = base;
    if (spare)
        sparse->data += (spare - (uintptr_t)base % spare) % spare;
    sparse->page_shift = (unsigned)__builtin_ctzll(page);
    sparse->held = held;
    sparse->touched = (uint64_t *)(void *)(sparse->data + pages * page);
    sparse->words = words;
    return true;
}

void rvt_sparse_destroy(struct rvt_sparse *sparse) {
    rvt_free_pages(sparse->base, sparse->reserved);
    memset(sparse, 0, sizeof(*sparse));
}

static bool is_touched(const struct rvt_sparse *sparse, size_t page) {
    return sparse->touched[page / WORD_BITS] >> (page % WORD_BITS) & 1;
}

static void count_pages(const struct rvt_sparse *sparse, uint64_t pages) {
    atomic_fetch_add_explicit(sparse->held, pages << sparse->page_shift, memory_order_relaxed);
}

/* Returns the words with the bits of large page `number`; the bits of a large page fill whole words. */
enum { HUGE_PAGE_WORDS = 8 };
static uint64_t *huge_page_words(const struct rvt_sparse *sparse, size_t number) {
    return &sparse->touched[number * HUGE_PAGE_WORDS];
}

static uint32_t count_touched(const uint64_t *words, size_t count) {
    uint32_t touched = 0;
    for (size_t i = 0; i < count; i++)
        touched += (uint32_t)__builtin_popcountll(words[i]);
    return touched;
}

static void count_huge_page(const struct rvt_sparse *sparse, size_t number) {
    uint64_t *words = huge_page_words(sparse, number);
    count_pages(sparse, HUGE_PAGE_WORDS * WORD_BITS - count_touched(words, HUGE_PAGE_WORDS));
    memset(words, 0xff, HUGE_PAGE_WORDS * sizeof(*words));
}

void rvt_sparse_touch(const struct rvt_sparse *sparse, const void *at) {
    if (!sparse->data)
        return;
    size_t offset = (size_t)((const unsigned char *)at - sparse->data);
    /* Mark the page, then the page that holds its bit, then the page that holds that page's bit, and so on.
     * The third page at the latest holds its own bit. */
    size_t page;
    while (!is_touched(sparse, page = offset >> sparse->page_shift)) {
        uint64_t *word = &sparse->touched[page / WORD_BITS];
        if (offset < sparse->huge_bytes) {
            count_huge_page(sparse, offset / RVT_HUGE_PAGE_BYTES);
        } else {
            *word |= UINT64_C(1) << (page % WORD_BITS);
            count_pages(sparse, 1);
        }
        offset = (size_t)((const unsigned char *)word - sparse->data);
    }
}

void rvt_sparse_prefer_huge(struct rvt_sparse *sparse, size_t bytes) {
    if (!rvt_pages_prefer_huge(sparse->data, bytes))
        return;
    sparse->huge_bytes = bytes;
    for (size_t number = 0; number < bytes / RVT_HUGE_PAGE_BYTES; number++)
        if (count_touched(huge_page_words(sparse, number), HUGE_PAGE_WORDS))
            count_huge_page(sparse, number);
}

bool rvt_sparse_collapse(struct rvt_sparse *sparse) {
    while (sparse->collapse_from < sparse->huge_bytes) {
        size_t offset = sparse->collapse_from;
        sparse->collapse_from += RVT_HUGE_PAGE_BYTES;
        if (is_touched(sparse, offset >> sparse->page_shift)) {
            rvt_pages_collapse(sparse->data + offset);
            return true;
        }
    }
    return false;
}

void rvt_sparse_give_back(struct rvt_sparse *sparse) {
    if (!sparse->data)
        return;
    uint64_t touched = count_touched(sparse->touched, sparse->words);
    if (rvt_pages_give_back(sparse->base, sparse->reserved))
        atomic_fetch_sub_explicit(sparse->held, touched << sparse->page_shift, memory_order_relaxed);
}
