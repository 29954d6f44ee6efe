/* SPDX-License-Identifier: BSD-3-Clause */
/* ibv_query_device_ex(): what it has in common with ibv_query_device(). */
#include "objects.h"

static void both_queries_agree(void) {
    struct world w;
    struct ibv_device_attr attr;
    struct ibv_device_attr_ex extended;
    REQUIRE(world_open(&w));
    memset(&attr, 0xcd, sizeof(attr));
    memset(&extended, 0xcd, sizeof(extended));
    REQUIRE(ibv_query_device(w.context, &attr) == 0);
    REQUIRE(ibv_query_device_ex(w.context, NULL, &extended) == 0);
    CHECK(strcmp(extended.orig_attr.fw_ver, attr.fw_ver) == 0);
    CHECK_EQ(extended.orig_attr.node_guid, attr.node_guid);
    CHECK_EQ(extended.orig_attr.max_qp, attr.max_qp);
    CHECK_EQ(extended.orig_attr.device_cap_flags, attr.device_cap_flags);
    CHECK_EQ(extended.phys_port_cnt_ex, attr.phys_port_cnt);
    world_close(&w);
}

/* The kernel's flags of 64 bits: programs test the old ones there, too. */
static void the_extended_flags_contain_the_others(void) {
    struct world w;
    struct ibv_device_attr_ex attr;
    REQUIRE(world_open(&w));
    REQUIRE(ibv_query_device_ex(w.context, NULL, &attr) == 0);
    CHECK(attr.orig_attr.device_cap_flags & IBV_DEVICE_RC_RNR_NAK_GEN);
    CHECK_EQ(attr.device_cap_flags_ex & UINT32_MAX, attr.orig_attr.device_cap_flags);
    world_close(&w);
}

CHECK_MAIN(TEST(both_queries_agree), TEST(the_extended_flags_contain_the_others))
