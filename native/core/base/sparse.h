/* SPDX-License-Identifier: BSD-3-Clause */
/* Sparse memory: a range of zeros of which only what is written costs memory, with a count of what that
 * is. */
#ifndef RVT_SPARSE_H
#define RVT_SPARSE_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writers need a lock of their own (the device's); readers of the data need none. */
struct rvt_sparse {
    unsigned char *data; /* constant; at a page, and where the range is large, at a large page */
    void *base;          /* what was reserved: data may lie behind its start */
    size_t reserved;
    unsigned page_shift;
    _Atomic(uint64_t) *held; /* where the bytes of touched pages are counted */
    /* One bit a page, for pages that have been written. Lies behind the data, in pages that are counted
     * alike. */
    uint64_t *touched;
    size_t words;
    size_t huge_bytes;    /* how much of data, from its start, is in large pages */
    size_t collapse_from; /* behind these bytes of it, small pages may be left */
};

/* Reserve `bytes` of zeros. `held` is added to with each page that is touched.
 *   true   nothing is committed yet
 *   false  no address space; *sparse is zeroed */
bool rvt_sparse_init(struct rvt_sparse *sparse, size_t bytes, _Atomic(uint64_t) *held);

/* Release the range. Nobody may look at it any more. For a zeroed *sparse: nothing. */
void rvt_sparse_destroy(struct rvt_sparse *sparse);

/* Count the page of `at`, which is about to be written. Without a range (zeroed *sparse): nothing. */
void rvt_sparse_touch(const struct rvt_sparse *sparse, const void *at);

/* Let the first `bytes` of the data, a multiple of RVT_HUGE_PAGE_BYTES, be committed in large pages from now
 * on. A large page counts in full as soon as any byte of it was touched, those of before included. Nothing
 * happens where the system has no large pages. Once. */
void rvt_sparse_prefer_huge(struct rvt_sparse *sparse, size_t bytes);

/* Make the next large page of small ones that were there when rvt_sparse_prefer_huge was called: one a call,
 * since it takes as long as copying 2 MiB. Returns whether it did, so false: all are large now. */
bool rvt_sparse_collapse(struct rvt_sparse *sparse);

/* Give everything back to the system, where it can be (rvt_pages_give_back), and take it off the count. The
 * data stays readable, as zeros; where the system cannot, everything stays as it is. Nothing may be written
 * any more. */
void rvt_sparse_give_back(struct rvt_sparse *sparse);

#endif
