/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults that a device makes on purpose, so that programs can be tested against them. Which occasions get a fault follows
 * from a seed and from counting alone: the n-th occasion of a kind has the same answer in every run. Each kind has numbers
 * of its own, so what happens of one kind does not shift the faults of another. If several threads use a device, the order
 * in which their occasions are counted is the order of their calls.
 *
 * A device without faults has no struct rvt_faults, and its hot paths no test for one: the regions of a device that refuses
 * accesses are not PLAIN (objects/lkey_table.h), its queue pairs have a carrier of their own (engine/carrier.h), and its
 * completion queues are marked (rvt_cq.special). */
#ifndef RVT_FAULTS_H
#define RVT_FAULTS_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h" /* enum rvt_fault_kind, enum rvt_fault_direction */

/* When a kind of fault is made: if one of the first three says so. All 0: never. */
struct rvt_fault_rule {
    double probability; /* 0 to 1: of each occasion */
    uint64_t at;        /* at this occasion, the first is 1; 0: no such */
    uint64_t every;     /* at each occasion whose number is a multiple of this; 0: no such */
    /* What the kind needs: REFUSE: the reason. SLOW, LATE: microseconds. */
    uint32_t value;
    uint32_t directions; /* kinds of packets: RVT_FAULT_TO_* bits */
};

struct rvt_fault_options {
    uint64_t seed;
    struct rvt_fault_rule rules[RVT_FAULT_KINDS];
};

/* Read and written by any thread. */
struct rvt_faults {
    struct rvt_fault_options options; /* constant */
    /* Occasions so far, and how many of them got a fault. */
    _Atomic(uint64_t) seen[RVT_FAULT_KINDS], made[RVT_FAULT_KINDS];
};

/* Returns whether the options can make faults of this kind. */
bool rvt_fault_possible(const struct rvt_fault_options *options, enum rvt_fault_kind kind);

/* Creates the faults of a device. Returns NULL if out of memory. */
struct rvt_faults *rvt_make_faults(const struct rvt_fault_options *options);
void rvt_free_faults(struct rvt_faults *faults);

/* Counts an occasion, and returns whether it gets a fault. `faults` may be NULL: never. Lock-free. If the fault is made, it
 * must be counted with rvt_note_fault(). */
bool rvt_ask_fault(struct rvt_faults *faults, enum rvt_fault_kind kind);
void rvt_note_fault(struct rvt_faults *faults, enum rvt_fault_kind kind);

/* Both: for a fault that is always made if it is due. */
bool rvt_make_fault(struct rvt_faults *faults, enum rvt_fault_kind kind);

/* What a device has done, by enum rvt_fault_kind. */
struct rvt_fault_counts {
    uint64_t seed;
    uint64_t seen[RVT_FAULT_KINDS], made[RVT_FAULT_KINDS];
};

/* Reads the counts. */
void rvt_count_faults(const struct rvt_faults *faults, struct rvt_fault_counts *counts);

/* Returns whether there are faults (NULL: none) of this kind. */
static inline bool rvt_faults_of(const struct rvt_faults *faults, enum rvt_fault_kind kind) {
    return faults && rvt_fault_possible(&faults->options, kind);
}

#endif
