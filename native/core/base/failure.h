/* SPDX-License-Identifier: BSD-3-Clause */
/* Records why the last failed verb of a thread failed: like errno, with a cause and its numbers. Every
 * function that returns a negative errno returns the result of one of these functions (enforced by
 * scripts/check-causes.mjs). They cost nothing when nothing fails, allocate no memory, take no lock, and may
 * be called with any lock held.
 *
 * The caller must read the record (rvt_take_failure) before the thread calls anything else in the core. */
#ifndef RVT_FAILURE_H
#define RVT_FAILURE_H

#include <stdint.h>

#include "core/layout.h" /* enum rvt_cause, enum rvt_failure_number */

struct rvt_failure {
    uint64_t numbers[RVT_FAILURE_NUMBERS]; /* indexed by enum rvt_failure_number */
};

#if defined(__GNUC__) || defined(__clang__)
#define RVT_COLD __attribute__((cold, noinline))
#else
#define RVT_COLD
#endif

/* Record a cause and return -error. `error` is a positive errno. layout.h lists which numbers each cause has
 * and what they mean. */
RVT_COLD int rvt_fail(int error, enum rvt_cause cause);
RVT_COLD int rvt_fail_value(int error, enum rvt_cause cause, uint64_t value, uint64_t limit);
RVT_COLD int rvt_fail_at(int error, enum rvt_cause cause, uint64_t index, uint64_t value, uint64_t limit);
/* `counts` has RVT_FAILURE_NUMBERS - RVT_FAILURE_COUNTS entries. */
RVT_COLD int rvt_fail_counts(int error, enum rvt_cause cause, uint64_t value, const uint64_t *counts);

/* Copies the record to *failure and clears it, so that each cause is reported once. The first call in a
 * thread also allocates its thread-local storage, so a thread that calls this early cannot run out of memory
 * later. */
void rvt_take_failure(struct rvt_failure *failure);

/* Restores a record taken before. Used around calls that the program did not make, such as a finalizer's. */
void rvt_restore_failure(const struct rvt_failure *failure);

#endif
