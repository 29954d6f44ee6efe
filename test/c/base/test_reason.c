/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/reason.h"

#include "check.h"

static void reason_numbers_and_names_are_fixed(void) {
    /* JavaScript uses the same numbers, so a number must never change its meaning. */
    static const struct {
        int number;
        const char *name;
    } rows[] = {
        {0, "None"},          {1, "KeyZeroDenied"},  {2, "NoDmaRegion"},    {3, "NoSuchKey"},
        {4, "Revoked"},       {5, "StaleKey"},       {6, "Invalidated"},    {7, "WrongPd"},
        {8, "OutOfBounds"},   {9, "AccessDenied"},   {10, "Unmapped"},      {11, "MemoryDetached"},
        {12, "MemoryShrunk"}, {13, "Remapped"},      {14, "RegionRevoked"}, {15, "OtherEnvironment"},
        {16, "Closed"},       {17, "WindowUnbound"}, {18, "WindowLocal"},   {19, "WindowOtherQp"},
        {20, "LeaseExpired"}, {21, "WindowEnded"},
    };
    CHECK_EQ(sizeof(rows) / sizeof(rows[0]), RVT_REASON_COUNT);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CHECK(strcmp(rvt_reason_name((enum rvt_reason)rows[i].number), rows[i].name) == 0);
    CHECK_EQ(RVT_KEY_ZERO_DENIED, 1);
    CHECK_EQ(RVT_UNMAPPED, 10);
    CHECK_EQ(RVT_MEMORY_DETACHED, 11);
    CHECK_EQ(RVT_OTHER_ENVIRONMENT, 15);
    CHECK_EQ(RVT_CLOSED, 16);
    CHECK_EQ(RVT_WINDOW_ENDED, 21);
}

static void an_unknown_reason_is_named_none(void) {
    CHECK(strcmp(rvt_reason_name(RVT_REASON_COUNT), "None") == 0);
    CHECK(strcmp(rvt_reason_name((enum rvt_reason)1000000), "None") == 0);
    CHECK(strcmp(rvt_reason_name((enum rvt_reason) - 1), "None") == 0);
}

CHECK_MAIN(TEST(reason_numbers_and_names_are_fixed), TEST(an_unknown_reason_is_named_none))
