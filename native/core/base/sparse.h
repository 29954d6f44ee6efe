/* SPDX-License-Identifier: BSD-3-Clause */
/* Sparse memory: a reserved range of zeros in which only written pages use memory, with a count of those
 * bytes. */
#ifndef RVT_SPARSE_H
#define RVT_SPARSE_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writers must be serialized by a lock (the device lock); readers of the data need none. */
struct rvt_sparse {
    unsigned char *data; /* constant; page-aligned, or aligned to a large page if the range is large */
    void *base;          /* start of the reserved range, at or before `data` */
    size_t reserved;
    unsigned page_shift;
    _Atomic(uint64_t) *held; /* counter of the bytes in touched pages */
    /* One bit per page that has been written. The bits are stored after the data, in pages that are counted
     * too. */
    uint64_t *touched;
    size_t words;
    size_t huge_bytes;    /* bytes of `data`, from its start, that are in large pages */
    size_t collapse_from; /* offset in `data` from which on small pages may be left */
};

/* Reserves `bytes` bytes of zeros. Each page that is touched later is added to *held.
 *   true   reserved; nothing is committed yet
 *   false  no address space; *sparse is zeroed */
bool rvt_sparse_init(struct rvt_sparse *sparse, size_t bytes, _Atomic(uint64_t) *held);

/* Releases the range, which no thread may access any more. Does nothing for a zeroed *sparse. */
void rvt_sparse_destroy(struct rvt_sparse *sparse);

/* Counts the page that contains `at`, which the caller is about to write. Does nothing for a zeroed
 * *sparse. */
void rvt_sparse_touch(const struct rvt_sparse *sparse, const void *at);

/* Requests that the first `bytes` bytes of the data, a multiple of RVT_HUGE_PAGE_BYTES, be committed in large
 * pages from now on. A large page is counted completely as soon as any byte of it has been touched, now or
 * before. Does nothing if the system has no large pages. Call at most once. */
void rvt_sparse_prefer_huge(struct rvt_sparse *sparse, size_t bytes);

/* Merges the next group of small pages, written before rvt_sparse_prefer_huge(), into a large page. One per
 * call, because it takes as long as copying 2 MiB. Returns whether it did so; false means that all are large
 * now. */
bool rvt_sparse_collapse(struct rvt_sparse *sparse);

/* Returns all memory to the system, if the system can do that (rvt_pages_give_back), and subtracts it from
 * the count. The data stays readable, as zeros; if the system cannot, everything stays as it is. Nothing may
 * be written afterwards. */
void rvt_sparse_give_back(struct rvt_sparse *sparse);

#endif
