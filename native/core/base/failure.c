/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/failure.h"

#include <string.h>

#ifdef _MSC_VER
static __declspec(thread) struct rvt_failure last;
#else
static _Thread_local struct rvt_failure last;
#endif

int rvt_fail_at(int error, enum rvt_cause cause, uint64_t index, uint64_t value, uint64_t limit) {
    struct rvt_failure *failure = &last;
    memset(failure, 0, sizeof(*failure));
    failure->numbers[RVT_FAILURE_ERROR] = (uint64_t)error;
    failure->numbers[RVT_FAILURE_CAUSE] = (uint64_t)cause;
    failure->numbers[RVT_FAILURE_VALUE] = value;
    failure->numbers[RVT_FAILURE_LIMIT] = limit;
    failure->numbers[RVT_FAILURE_INDEX] = index;
    return -error;
}

int rvt_fail(int error, enum rvt_cause cause) {
    return rvt_fail_at(error, cause, 0, 0, 0);
}

int rvt_fail_value(int error, enum rvt_cause cause, uint64_t value, uint64_t limit) {
    return rvt_fail_at(error, cause, 0, value, limit);
}

int rvt_fail_counts(int error, enum rvt_cause cause, uint64_t value, const uint64_t *counts) {
    rvt_fail_at(error, cause, 0, value, 0);
    memcpy(&last.numbers[RVT_FAILURE_COUNTS], counts,
           (RVT_FAILURE_NUMBERS - RVT_FAILURE_COUNTS) * sizeof(*counts));
    return -error;
}

void rvt_take_failure(struct rvt_failure *failure) {
    *failure = last;
    memset(&last, 0, sizeof(last));
}

void rvt_restore_failure(const struct rvt_failure *failure) {
    last = *failure;
}
