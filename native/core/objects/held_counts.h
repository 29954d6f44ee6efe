/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts the references on regions. Each context has one count for each region. Only the context's own thread
 * writes it, by plain loads and stores. A count shared by all threads would cost two locked instructions per
 * element, and its cache line would move between processors.
 *
 * A reference may be put through another context than the one that took it. So a single count can be negative
 * and means nothing alone; only the sum over all contexts is the number of references. References are taken
 * and put inside sections. So once a region is revoked and a wait (rvt_synchronize) has ended, no reader can
 * add a reference, every addition is visible, and the sum can only fall.
 *
 * References on FMRs are not counted here. Mapping an FMR must check that no reference is held and refuse new
 * ones in one atomic step, so they are counted in the FMR's word (region.h). The same holds for SGEs of key
 * 0. References taken without a context are counted in the region (rvt_mregion.elsewhere). */
#ifndef RVT_HELD_COUNTS_H
#define RVT_HELD_COUNTS_H

#include "core/base/rvt_atomic.h"
#include <stddef.h>
#include <stdint.h>

struct rvt_dev_info;
struct rvt_ucontext;

/* The counts of one context. */
struct rvt_held_counts {
    /* Indexed by region. Reserved when the context takes its first reference, committed as pages are touched.
     * The owner sets the pointer once, under the device lock. */
    _Atomic(int64_t) *counts;
    /* Number of counts: the number of key table slots, or 0 if there are no counts. A region with a larger
     * index is counted in the region itself (rvt_mregion.elsewhere). Such an index occurs because half-dead
     * regions keep their objects but not their slots. */
    uint32_t limit;
    struct rvt_held_counts *next; /* the device's list of contexts with counts; under the device lock */
};

/* Returns the context's count for the region with this index, or NULL if there is none (yet). Only the owning
 * thread may call this. */
static inline _Atomic(int64_t) *rvt_held_count(const struct rvt_held_counts *held, uint32_t region) {
    return region < held->limit ? &held->counts[region] : NULL;
}

/* Allocates the context's counts. If memory is short, references are counted in the regions and the next
 * reference tries again. Only the owning thread may call this, inside or outside a section. Takes the device
 * lock. */
void rvt_make_held_counts(struct rvt_ucontext *context);

/* Adds to a count. Only the owning thread may call this; because no other thread writes, a load and a store
 * suffice. release: all uses of a reference happen before another thread sees that it was put. */
static inline void rvt_add_held(_Atomic(int64_t) *count, int64_t more) {
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + more,
                          memory_order_release);
}

/* Returns the sum of all contexts' counts for the region with this index. The caller must hold the device
 * lock. */
int64_t rvt_sum_held_counts(const struct rvt_dev_info *device, uint32_t region);

/* Adds the context's counts to the regions' own counts and frees them, before the context is freed. Takes the
 * device lock. */
void rvt_end_held_counts(struct rvt_ucontext *context);

#endif
