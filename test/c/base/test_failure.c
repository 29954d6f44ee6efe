/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/failure.h"

#include <pthread.h>

#include "check.h"

static uint64_t number(const struct rvt_failure *failure, enum rvt_failure_number which) {
    return failure->numbers[which];
}

static void a_failure_is_reported_once(void) {
    struct rvt_failure failure;
    rvt_take_failure(&failure);
    CHECK_EQ(rvt_fail_at(RVT_EINVAL, RVT_CAUSE_PAGE_UNMAPPED, 3, UINT64_MAX, 5), -RVT_EINVAL);
    rvt_take_failure(&failure);
    CHECK_EQ(number(&failure, RVT_FAILURE_ERROR), RVT_EINVAL);
    CHECK_EQ(number(&failure, RVT_FAILURE_CAUSE), RVT_CAUSE_PAGE_UNMAPPED);
    CHECK_EQ(number(&failure, RVT_FAILURE_INDEX), 3);
    CHECK_EQ(number(&failure, RVT_FAILURE_VALUE), UINT64_MAX);
    CHECK_EQ(number(&failure, RVT_FAILURE_LIMIT), 5);
    rvt_take_failure(&failure);
    for (int i = 0; i < RVT_FAILURE_NUMBERS; i++)
        CHECK_EQ(failure.numbers[i], 0);
}

static void a_new_failure_clears_the_numbers_of_the_old_one(void) {
    uint64_t counts[RVT_FAILURE_NUMBERS - RVT_FAILURE_COUNTS];
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        counts[i] = i + 1;
    struct rvt_failure failure;
    CHECK_EQ(rvt_fail_counts(RVT_EBUSY, RVT_CAUSE_PD_IN_USE, 9, counts), -RVT_EBUSY);
    rvt_take_failure(&failure);
    CHECK_BYTES_EQ(&failure.numbers[RVT_FAILURE_COUNTS], counts, sizeof(counts));
    CHECK_EQ(number(&failure, RVT_FAILURE_VALUE), 9);
    rvt_fail_counts(RVT_EBUSY, RVT_CAUSE_PD_IN_USE, 9, counts);
    CHECK_EQ(rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY), -RVT_ENOMEM);
    rvt_take_failure(&failure);
    for (int i = RVT_FAILURE_VALUE; i < RVT_FAILURE_NUMBERS; i++)
        CHECK_EQ(failure.numbers[i], 0);
}

static void a_taken_failure_can_be_restored(void) {
    struct rvt_failure kept, failure;
    rvt_fail_value(RVT_EINVAL, RVT_CAUSE_UNKNOWN_KEY, 7, 0);
    rvt_take_failure(&kept);
    rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    rvt_restore_failure(&kept);
    rvt_take_failure(&failure);
    CHECK_BYTES_EQ(&failure, &kept, sizeof(kept));
}

static void *fail_elsewhere(void *unused) {
    (void)unused;
    struct rvt_failure failure;
    rvt_take_failure(&failure);
    CHECK_EQ(number(&failure, RVT_FAILURE_ERROR), 0);
    rvt_fail(RVT_EBADF, RVT_CAUSE_QP_GONE);
    return NULL;
}

static void each_thread_has_its_own_failure(void) {
    rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, fail_elsewhere, NULL) == 0);
    pthread_join(thread, NULL);
    struct rvt_failure failure;
    rvt_take_failure(&failure);
    CHECK_EQ(number(&failure, RVT_FAILURE_CAUSE), RVT_CAUSE_PD_GONE);
}

CHECK_MAIN(TEST(a_failure_is_reported_once), TEST(a_new_failure_clears_the_numbers_of_the_old_one),
           TEST(a_taken_failure_can_be_restored), TEST(each_thread_has_its_own_failure))
