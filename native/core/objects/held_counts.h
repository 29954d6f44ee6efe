/* SPDX-License-Identifier: BSD-3-Clause */
/* References on regions. Each context has one count for each region. Only the context's own thread writes it,
 * by plain loads and stores. A count that all threads shared would cost two locked instructions an element,
 * and its cache line would move between the processors.
 *
 * A reference may be put through another context than it was taken through. So a single count can be negative
 * and means nothing alone: the number of references is the sum over all contexts. References are taken and
 * put inside sections. So after a region was revoked and a wait (rvt_synchronize) is over, nobody can add a
 * reference any more, every addition is visible, and the sum can only fall.
 *
 * FMRs are not counted here. Mapping an FMR must check that nobody holds it and refuse new references in one
 * atomic step, so an FMR's references are counted in its word (region.h). So are those of key-0 elements.
 * What a caller without a context takes is counted in the region (rvt_mregion.elsewhere). */
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

/* By the owner only, who is the only writer, so a load and a store are enough. release: all uses of a
 * reference happen before another thread sees that it was put. */
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
