/* SPDX-License-Identifier: BSD-3-Clause */
/* Why the last verb that failed in this thread did so: as errno is kept, with the cause and its numbers. Whoever
 * answers a negative errno answers what one of these functions returns (scripts/check-causes.mjs looks). They
 * cost nothing where nothing fails; they need no memory and take no lock, and may be called under any.
 *
 * To be read at once, before the thread calls anything else of the core. */
#ifndef RVT_FAILURE_H
#define RVT_FAILURE_H

#include <stdint.h>

#include "core/layout.h" /* enum rvt_cause, enum rvt_failure_number */

struct rvt_failure {
    uint64_t numbers[RVT_FAILURE_NUMBERS]; /* by enum rvt_failure_number */
};

#if defined(__GNUC__) || defined(__clang__)
#define RVT_COLD __attribute__((cold, noinline))
#else
#define RVT_COLD
#endif

/* Keep the cause. `error`: the errno, positive. Each returns -error. Which numbers a cause has, and what they
 * are, stands in layout.h. */
RVT_COLD int rvt_fail(int error, enum rvt_cause cause);
RVT_COLD int rvt_fail_value(int error, enum rvt_cause cause, uint64_t value, uint64_t limit);
RVT_COLD int rvt_fail_at(int error, enum rvt_cause cause, uint64_t index, uint64_t value, uint64_t limit);
/* `counts`: RVT_FAILURE_NUMBERS - RVT_FAILURE_COUNTS numbers. */
RVT_COLD int rvt_fail_counts(int error, enum rvt_cause cause, uint64_t value, const uint64_t *counts);

/* Copy what is kept, and keep nothing any more: a cause is told once. A thread that calls this early has the
 * memory for its causes from then on. */
void rvt_take_failure(struct rvt_failure *failure);

/* Put back what was taken: for a call that nobody asked for, such as a finalizer's. */
void rvt_restore_failure(const struct rvt_failure *failure);

#endif
