/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/faults.h"

#include "core/base/alloc.h"

bool rvt_fault_possible(const struct rvt_fault_options *options, enum rvt_fault_kind kind) {
    const struct rvt_fault_rule *rule = &options->rules[kind];
    return rule->probability > 0 || rule->at || rule->every;
}

struct rvt_faults *rvt_make_faults(const struct rvt_fault_options *options) {
    struct rvt_faults *faults = rvt_zalloc(1, sizeof(*faults));
    if (faults)
        faults->options = *options;
    return faults;
}

void rvt_free_faults(struct rvt_faults *faults) {
    rvt_free(faults);
}

/* Returns a number that depends on every bit of `x` (the finalizer of SplitMix64). */
static uint64_t scatter(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Returns the number of the n-th occasion of a kind. Computed from n, not from the number before it: threads then share no
 * more than a counter. */
static uint64_t number_of(uint64_t seed, enum rvt_fault_kind kind, uint64_t n) {
    const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
    return scatter(scatter(seed + step * ((uint64_t)kind + 1)) + step * n);
}

/* Compares the upper 53 bits, which a double holds exactly: probability 1 is always, and 0 never. */
static bool falls_below(uint64_t number, double probability) {
    return (double)(number >> 11) < probability * 9007199254740992.0 /* 2^53 */;
}

bool rvt_ask_fault(struct rvt_faults *faults, enum rvt_fault_kind kind) {
    if (!rvt_faults_of(faults, kind))
        return false;
    const struct rvt_fault_rule *rule = &faults->options.rules[kind];
    const uint64_t n = atomic_fetch_add_explicit(&faults->seen[kind], 1, memory_order_relaxed) + 1;
    return n == rule->at || (rule->every && n % rule->every == 0) ||
           falls_below(number_of(faults->options.seed, kind, n), rule->probability);
}

void rvt_note_fault(struct rvt_faults *faults, enum rvt_fault_kind kind) {
    atomic_fetch_add_explicit(&faults->made[kind], 1, memory_order_relaxed);
}

bool rvt_make_fault(struct rvt_faults *faults, enum rvt_fault_kind kind) {
    const bool due = rvt_ask_fault(faults, kind);
    if (due)
        rvt_note_fault(faults, kind);
    return due;
}

void rvt_count_faults(const struct rvt_faults *faults, struct rvt_fault_counts *counts) {
    counts->seed = faults->options.seed;
    for (unsigned kind = 0; kind < RVT_FAULT_KINDS; kind++) {
        counts->seen[kind] = atomic_load_explicit(&faults->seen[kind], memory_order_relaxed);
        counts->made[kind] = atomic_load_explicit(&faults->made[kind], memory_order_relaxed);
    }
}
