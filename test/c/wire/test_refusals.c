/* SPDX-License-Identifier: BSD-3-Clause */
/* How often a source address was refused within a minute. */
#include "wire/endpoint/refusals.h"

#include "check.h"

static const uint64_t SECOND = 1000000;

static void set_source(uint8_t address[16], uint32_t number) {
    memset(address, 0, 16);
    memcpy(address + 12, &number, sizeof(number));
}

static void refusals_count_for_each_address_and_end_with_the_minute(void) {
    struct rvt_refusals refusals = {0};
    uint8_t a[16], b[16];
    set_source(a, 1);
    set_source(b, 2);
    CHECK_EQ(rvt_refusals_of(&refusals, a, 0), 0);
    for (uint64_t i = 0; i < 16; i++)
        rvt_count_refusal(&refusals, a, i * SECOND);
    rvt_count_refusal(&refusals, b, 20 * SECOND);
    CHECK_EQ(rvt_refusals_of(&refusals, a, 59 * SECOND), 16);
    CHECK_EQ(rvt_refusals_of(&refusals, b, 59 * SECOND), 1);
    CHECK_EQ(rvt_refusals_of(&refusals, a, 60 * SECOND), 0);
    CHECK_EQ(rvt_refusals_of(&refusals, b, 60 * SECOND), 1);
    rvt_count_refusal(&refusals, a, 61 * SECOND); /* a new minute begins */
    CHECK_EQ(rvt_refusals_of(&refusals, a, 120 * SECOND), 1);
    CHECK_EQ(rvt_refusals_of(&refusals, a, 121 * SECOND), 0);
}

static void many_addresses_push_out_the_oldest_only(void) {
    struct rvt_refusals refusals = {0};
    uint8_t address[16];
    for (uint32_t i = 0; i <= RVT_REFUSAL_SOURCES; i++) {
        set_source(address, i);
        rvt_count_refusal(&refusals, address, i);
    }
    for (uint32_t i = 0; i <= RVT_REFUSAL_SOURCES; i++) {
        set_source(address, i);
        CHECK_EQ(rvt_refusals_of(&refusals, address, SECOND), i > 0);
    }
}

CHECK_MAIN(TEST(refusals_count_for_each_address_and_end_with_the_minute),
           TEST(many_addresses_push_out_the_oldest_only))
