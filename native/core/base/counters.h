/* SPDX-License-Identifier: BSD-3-Clause */
/* What is counted: checks accepted, refusals by reason, bytes copied.
 *
 * Each context (environment) has counters of its own, which only its thread writes: by a load and a store,
 * because a shared counter costs a locked instruction and the line's way between the processors. Who wants
 * to know adds them up. A region is counted only on request, and then by every environment, so its
 * counters are shared. */
#ifndef RVT_COUNTERS_H
#define RVT_COUNTERS_H

#include "core/base/rvt_atomic.h"
#include <stdint.h>

#include "core/base/reason.h"

/* Of one context. Written by its thread, read by anyone. */
struct rvt_counters {
    _Atomic(uint64_t) accepted; /* coalesced ones included */
    _Atomic(uint64_t) bytes;    /* copied, in either direction */
    _Atomic(uint64_t) refused[RVT_REASON_COUNT];
};

/* The same as plain values. */
struct rvt_counts {
    uint64_t accepted, bytes, refused[RVT_REASON_COUNT];
};

/* By the owner only: not one step, but nobody else writes. */
static inline void rvt_count(_Atomic(uint64_t) *counter, uint64_t more) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* Add what the counters say now. */
static inline void rvt_counters_add(struct rvt_counts *sum, const struct rvt_counters *counters) {
    sum->accepted += atomic_load_explicit(&counters->accepted, memory_order_relaxed);
    sum->bytes += atomic_load_explicit(&counters->bytes, memory_order_relaxed);
    for (unsigned reason = 0; reason < RVT_REASON_COUNT; reason++)
        sum->refused[reason] += atomic_load_explicit(&counters->refused[reason], memory_order_relaxed);
}

/* Of one region, for those who asked (rvt_count_mr). Written by every environment. */
struct rvt_mr_counters {
    _Atomic(uint64_t) accepted, refused, bytes;
};

static inline void rvt_count_shared(_Atomic(uint64_t) *counter, uint64_t more) {
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

#endif
