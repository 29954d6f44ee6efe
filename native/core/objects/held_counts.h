/* SPDX-License-Identifier: BSD-3-Clause */
/* References on regions, counted by who takes them: each context has a count for each region, which its
 * thread alone writes, by plain loads and stores. A count that all threads share costs a locked instruction,
 * and the line's way between the processors, twice an element.
 *
 * A reference may be given back through another context than it was taken through, so a single count means
 * nothing, and may be negative; their sum is the number of references. It is exact when nobody can add one: a
 * reference is taken and put inside a section, so after the region was taken out of reach and a wait
 * (rvt_synchronize) all that was added is seen, and the sum can only fall.
 *
 * FMRs are not counted here: mapping one must find that nobody holds it and close the door in one step, so it
 * has one word (region.h). Nor are key-0 elements, and what a caller without a context takes. */
#ifndef RVT_HELD_COUNTS_H
#define RVT_HELD_COUNTS_H

#include "core/base/rvt_atomic.h"
#include <stddef.h>
#include <stdint.h>

struct rvt_dev_info;
struct rvt_ucontext;

/* Of one context. */
struct rvt_held_counts {
    /* By index of the region; reserved when the first reference is taken, committed as it is touched. Written
     * by the owner under the device's lock, once. */
    _Atomic(int64_t) *counts;
    /* How many there are: as many as the key table has slots, or 0. Regions of a larger index (half-dead ones
     * keep their objects but not their slots) are counted in the region itself, rvt_mregion.elsewhere. */
    uint32_t limit;
    struct rvt_held_counts *next; /* of the device's that have counts; under its lock */
};

/* The context's count for the region of this index, or NULL: there is none (yet). By the owner. */
static inline _Atomic(int64_t) *rvt_held_count(const struct rvt_held_counts *held, uint32_t region) {
    return region < held->limit ? &held->counts[region] : NULL;
}

/* Make the context's counts. By the owner, without the device's lock; inside a section or not. Without memory
 * there are none, and references go to the regions; it is tried again with the next one. */
void rvt_make_held_counts(struct rvt_ucontext *context);

/* By the owner only: not one step, but nobody else writes. release: what was done with the reference comes
 * before the look of who finds it given back. */
static inline void rvt_add_held(_Atomic(int64_t) *count, int64_t more) {
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + more,
                          memory_order_release);
}

/* What all contexts have counted for the region of this index. Under the device's lock. */
int64_t rvt_sum_held_counts(const struct rvt_dev_info *device, uint32_t region);

/* The context is about to be freed: add its counts to the regions' own, and free them. Takes the device's
 * lock. */
void rvt_end_held_counts(struct rvt_ucontext *context);

#endif
