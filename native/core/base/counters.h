/* SPDX-License-Identifier: BSD-3-Clause */
/* Counters: accepted checks, refusals by reason, bytes copied.
 *
 * Each context (environment) has its own counters, which only its thread writes, with a plain load and store.
 * A shared counter would cost a locked instruction and bounce its cache line between processors. Readers add
 * up the counters of all contexts. A region is counted only on request, by all environments, so its counters
 * are shared. */
#ifndef RVT_COUNTERS_H
#define RVT_COUNTERS_H

#include "core/base/rvt_atomic.h"
#include <stdint.h>

#include "core/base/reason.h"

/* Counters of one context. Written by its thread only, read by any thread. */
struct rvt_counters {
    _Atomic(uint64_t) accepted; /* accepted checks, including coalesced ones */
    _Atomic(uint64_t) bytes;    /* bytes copied, in either direction */
    _Atomic(uint64_t) refused[RVT_REASON_COUNT];
};

/* A snapshot of counters, as plain values. */
struct rvt_counts {
    uint64_t accepted, bytes, refused[RVT_REASON_COUNT];
};

/* Adds to a counter of a context. Only the owning thread may call this: the load and store are not one atomic
 * step. */
static inline void rvt_count(_Atomic(uint64_t) *counter, uint64_t more) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* Adds the current values of `counters` to `sum`. */
static inline void rvt_counters_add(struct rvt_counts *sum, const struct rvt_counters *counters) {
    sum->accepted += atomic_load_explicit(&counters->accepted, memory_order_relaxed);
    sum->bytes += atomic_load_explicit(&counters->bytes, memory_order_relaxed);
    for (unsigned reason = 0; reason < RVT_REASON_COUNT; reason++)
        sum->refused[reason] += atomic_load_explicit(&counters->refused[reason], memory_order_relaxed);
}

/* Counters of one region, created on request by rvt_count_mr(). Written by every environment. */
struct rvt_mr_counters {
    _Atomic(uint64_t) accepted, refused, bytes;
};

static inline void rvt_count_shared(_Atomic(uint64_t) *counter, uint64_t more) {
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

#endif
