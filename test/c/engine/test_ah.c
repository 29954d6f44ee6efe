/* SPDX-License-Identifier: BSD-3-Clause */
/* Address handles. test_datagram.c sends with them. */
#include "verbs.h"

static void port_and_static_rate_are_checked(void) {
    struct verbs v;
    struct rvt_ah_handle ah;
    REQUIRE(verbs_open(&v, AT_ONCE));
    for (uint32_t port = 0; port < 256; port++) {
        const struct rvt_ah_attr attr = {.port = (uint8_t)port};
        if (port == 1)
            continue;
        FAILS_WITH(rvt_create_ah(v.pd, &attr, &ah), RVT_EINVAL, RVT_CAUSE_PATH_PORT, port, 1, 0);
    }
    for (uint32_t rate = 0; rate < 256; rate++) {
        const struct rvt_ah_attr attr = {
            .port = 1, .static_rate = (uint8_t)rate, .dlid = UINT32_MAX, .sl = 255};
        int answer = rvt_create_ah(v.pd, &attr, &ah);
        if (rate == 1 || rate > 22) {
            FAILS_WITH(answer, RVT_EINVAL, RVT_CAUSE_PATH_RATE, rate, 22, 0);
        } else {
            CHECK_EQ(answer, 0);
            CHECK_EQ(ah.ah->attr.dlid, UINT32_MAX);
            CHECK_EQ(ah.ah->attr.sl, 255);
            CHECK_EQ(ah.ah->attr.static_rate, rate);
            CHECK_EQ(rvt_destroy_ah(ah), 0);
        }
    }
    verbs_close(&v);
}

static void a_handle_counts_on_its_domain_and_the_device(void) {
    struct verbs v;
    struct rvt_ah_handle ah[8], more;
    const struct rvt_ah_attr attr = {.port = 1};
    REQUIRE(verbs_open(&v, AT_ONCE));
    for (int i = 0; i < 8; i++)
        CHECK_EQ(rvt_create_ah(v.other_pd, &attr, &ah[i]), 0);
    FAILS_WITH(rvt_create_ah(v.pd, &attr, &more), RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_AH, 8,
               0);
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_destroy_ah(ah[3]), 0);
    FAILS(rvt_destroy_ah(ah[3]), RVT_EBADF, RVT_CAUSE_AH_GONE);
    FAILS(rvt_destroy_ah((struct rvt_ah_handle){0}), RVT_EBADF, RVT_CAUSE_AH_GONE);
    CHECK_EQ(rvt_create_ah(v.pd, &attr, &more), 0);
    CHECK_PTR_EQ(more.ah, ah[3].ah);
    FAILS(rvt_destroy_ah(ah[3]), RVT_EBADF, RVT_CAUSE_AH_GONE);
    /* Cascade ends those of the domain, and only those. */
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, true), 0);
    FAILS(rvt_destroy_ah(ah[0]), RVT_EBADF, RVT_CAUSE_AH_GONE);
    for (int i = 0; i < 7; i++)
        CHECK_EQ(rvt_create_ah(v.pd, &attr, &ah[i]), 0);
    CHECK_EQ(rvt_destroy_ah(more), 0);
    FAILS(rvt_create_ah(v.other_pd, &attr, &more), RVT_EBADF, RVT_CAUSE_PD_GONE);
    FAILS(rvt_create_ah((struct rvt_pd_handle){0}, &attr, &more), RVT_EBADF, RVT_CAUSE_PD_GONE);
    verbs_close(&v);
}

static int create_one(struct verbs *v) {
    return rvt_create_ah(v->pd, &(struct rvt_ah_attr){.port = 1}, &v->ah);
}

static void creating_fails_cleanly_without_memory(void) {
    each_verb_allocation_fails(NULL, create_one, 1);
}

CHECK_MAIN(TEST(port_and_static_rate_are_checked), TEST(a_handle_counts_on_its_domain_and_the_device),
           TEST(creating_fails_cleanly_without_memory))
