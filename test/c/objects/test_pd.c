/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/pd.h"

#include "fixture.h"

static alignas(4096) unsigned char bytes[2 * PAGE];

static void a_handle_is_invalid_after_its_domain_closes(void) {
    struct fixture f;
    struct rvt_pd_handle pd, again;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, true, &pd), 0);
    CHECK_PTR_EQ(rvt_pd_live(pd), pd.pd);
    CHECK(pd.pd->id > 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    CHECK(rvt_pd_live(pd) == NULL);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBADF);
    CHECK_EQ(rvt_dealloc_pd(pd, true), -RVT_EBADF);

    /* A new domain may reuse the slot; the old handle stays invalid. */
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &again), 0);
    CHECK_PTR_EQ(again.pd, pd.pd);
    CHECK(rvt_pd_live(pd) == NULL);
    CHECK_EQ(rvt_dealloc_pd(pd, true), -RVT_EBADF);
    CHECK_PTR_EQ(rvt_pd_live(again), again.pd);
    fixture_close(&f);
}

static void an_empty_handle_is_refused(void) {
    struct rvt_pd_handle pd = {0};
    struct rvt_mr_handle mr;
    CHECK(rvt_pd_live(pd) == NULL);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBADF);
    CHECK_EQ(rvt_get_dma_mr(pd, 0, &mr), -RVT_EBADF);
}

static void domains_have_distinct_ids(void) {
    struct fixture f;
    struct rvt_pd_handle pd[200];
    REQUIRE(fixture_open(&f, 4));
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(rvt_alloc_pd(f.device, NULL, i & 1, &pd[i]), 0);
        CHECK(pd[i].pd->id > 0);
        for (int j = 0; j < i; j++)
            CHECK(pd[i].pd->id != pd[j].pd->id);
    }
    fixture_close(&f);
}

static void a_domain_is_busy_while_it_has_objects(void) {
    struct fixture f;
    struct rvt_pd_handle pd;
    struct rvt_qp_handle qp;
    struct rvt_mr_handle mr;
    struct rvt_sge sge;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &pd), 0);
    CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_destroy_qp(qp), 0);
    mr = fixture_reg_in(pd, bytes, PAGE, 0x1000, 0x1000, LOCAL_WRITE);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
    CHECK_EQ(local_in(&f, pd, &sge, NULL, 0x1000, 8, fixture_key(mr), 0), 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY); /* a region whose dereg returned -EBUSY still counts */
    CHECK_PTR_EQ(rvt_pd_live(pd), pd.pd);
    rvt_put_sge(&sge);
    /* The reference was put, but the region is not deregistered yet. */
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    fixture_close(&f);
}

static void a_domain_is_busy_with_each_kind_of_region(void) {
    struct fixture f;
    struct rvt_pd_handle pd;
    struct rvt_mr_handle mr;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &pd), 0);
    CHECK_EQ(rvt_get_dma_mr(pd, 0, &mr), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 4, &mr), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_alloc_fmr(pd, 0, &(struct rvt_fmr_attr){1, 1, 12}, &mr), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_fmr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    fixture_close(&f);
}

static void a_domain_is_busy_until_a_held_region_is_deregistered(void) {
    struct fixture f;
    struct rvt_pd_handle pd;
    struct rvt_sge sge;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &pd), 0);
    struct rvt_mr_handle mr = fixture_reg_in(pd, bytes, PAGE, 0x1000, 0x1000, LOCAL_WRITE);
    CHECK_EQ(local_in(&f, pd, &sge, NULL, 0x1000, 8, fixture_key(mr), 0), 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY); /* no SGE holds the region, but it still exists */
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);

    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &pd), 0);
    mr = fixture_reg_in(pd, bytes, PAGE, 0x1000, 0x1000, LOCAL_WRITE);
    CHECK_EQ(local_in(&f, pd, &sge, NULL, 0x1000, 8, fixture_key(mr), 0), 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), 0); /* a forced release while an SGE holds the region */
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    CHECK_EQ(usable(&f, &sge), RVT_REGION_REVOKED);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static void cascade_closes_queue_pairs_and_regions(void) {
    struct fixture f;
    struct rvt_sge held, theirs, sge;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mine = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, ALL_ACCESS);
    struct rvt_mr_handle other = fixture_reg_in(f.other_pd, bytes, PAGE, 0x1000, 0x1000, ALL_ACCESS);
    uint32_t key = fixture_key(mine), other_key = fixture_key(other);
    CHECK_EQ(local(&f, &held, 0x1000, 8, key, 0), 1);
    CHECK_EQ(local_in(&f, f.other_pd, &theirs, NULL, 0x1000, 8, other_key, 0), 1);
    CHECK_EQ(rvt_dealloc_pd(f.pd, true), 0);
    CHECK(rvt_pd_live(f.pd) == NULL);
    CHECK(rvt_qp_live(f.qp) == NULL);
    CHECK(fixture_dead(mine));
    CHECK_EQ(usable(&f, &held), RVT_REGION_REVOKED);
    CHECK_EQ(remote(&f, &sge, 0x1000, 8, key, REMOTE_READ), 0);
    CHECK_EQ(f.reason, RVT_CLOSED);
    CHECK_EQ(local_in(&f, f.other_pd, &sge, NULL, 0x1000, 8, key, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REVOKED);
    /* Objects of other domains are untouched. */
    CHECK(!fixture_dead(other));
    CHECK(rvt_qp_live(f.other_qp) != NULL);
    CHECK_EQ(usable(&f, &theirs), RVT_REASON_NONE);
    rvt_put_sge(&held);
    rvt_put_sge(&theirs);
    /* A new domain in the same slot does not inherit the region. */
    struct rvt_pd_handle fresh;
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &fresh), 0);
    CHECK_EQ(local_in(&f, fresh, &sge, NULL, 0x1000, 8, key, 0), -RVT_EINVAL);
    CHECK_EQ(local_in(&f, f.pd, &sge, NULL, 0x1000, 8, other_key, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_CLOSED);
    fixture_close(&f);
}

static void a_user_domain_has_no_key_zero(void) {
    struct fixture f;
    struct rvt_mr_handle mr;
    struct rvt_sge sge;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, sizeof(bytes), 0x10000);
    CHECK_EQ(rvt_get_dma_mr(f.user_pd, 0, &mr), -RVT_EPERM);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &mr), 0);
    CHECK_EQ(local_in(&f, f.user_pd, &sge, NULL, 0x10000, 8, 0, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_KEY_ZERO_DENIED);
    CHECK_EQ(remote_in(&f, f.user_qp, &sge, 0x10000, 8, 0, 0), 0);
    CHECK_EQ(f.reason, RVT_KEY_ZERO_DENIED);
    /* Every kernel domain can use key 0, whichever of them created the DMA region. */
    CHECK_EQ(local_in(&f, f.other_pd, &sge, NULL, 0x10000, 8, 0, 0), 1);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static int alloc_pd(struct fixture *f) {
    /* Enough domains that the pool must grow. */
    for (int i = 0; i < 100; i++) {
        int error = rvt_alloc_pd(f->device, NULL, false, &f->new_pd);
        if (error)
            return error;
    }
    return 0;
}

static void alloc_pd_fails_cleanly_without_memory(void) {
    each_allocation_fails(NULL, alloc_pd, 4); /* two pools and the growing index of serial numbers */
}

/* A domain is found by its serial number, whatever other domains come and go. */
static void attaching_finds_one_domain_among_many(void) {
    enum { DOMAINS = 1000 };
    static struct rvt_pd_handle pds[DOMAINS];
    struct rvt_pd_handle attached;
    struct fixture f;
    REQUIRE(fixture_open_joined(&f, 4));
    uint64_t first = rvt_pd_serial(f.pd) + 1;
    for (int i = 0; i < DOMAINS; i++) {
        REQUIRE(rvt_alloc_pd(f.device, f.context, i % 2, &pds[i]) == 0);
        CHECK_EQ(rvt_pd_serial(pds[i]), first + (uint64_t)i);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < DOMAINS; i++) {
            bool there = i % 4 > round;
            if (i % 4 == round)
                CHECK_EQ(rvt_dealloc_pd(pds[i], false), 0);
            CHECK_EQ(rvt_attach_pd(f.context, first + (uint64_t)i, &attached), there ? 0 : -RVT_EINVAL);
            if (there) {
                CHECK_PTR_EQ(attached.pd, pds[i].pd);
                CHECK_EQ(attached.generation, pds[i].generation);
            }
        }
    }
    /* The slot is reused, the serial number is not. */
    struct rvt_pd_handle next;
    CHECK_EQ(rvt_alloc_pd(f.device, f.context, false, &next), 0);
    CHECK_EQ(rvt_pd_serial(next), first + DOMAINS);
    CHECK_EQ(rvt_attach_pd(f.context, first + DOMAINS, &attached), 0);
    CHECK_PTR_EQ(attached.pd, next.pd);
    static const uint64_t wrong[] = {0, UINT64_MAX};
    for (int i = 0; i < 2; i++)
        CHECK_EQ(rvt_attach_pd(f.context, wrong[i], &attached), -RVT_EINVAL);
    CHECK_EQ(rvt_attach_pd(f.context, first + DOMAINS + 1, &attached), -RVT_EINVAL);
    fixture_leave_last(&f, &f);
}

CHECK_MAIN(TEST(a_handle_is_invalid_after_its_domain_closes), TEST(an_empty_handle_is_refused),
           TEST(domains_have_distinct_ids), TEST(a_domain_is_busy_while_it_has_objects),
           TEST(a_domain_is_busy_with_each_kind_of_region),
           TEST(a_domain_is_busy_until_a_held_region_is_deregistered),
           TEST(cascade_closes_queue_pairs_and_regions), TEST(a_user_domain_has_no_key_zero),
           TEST(alloc_pd_fails_cleanly_without_memory), TEST(attaching_finds_one_domain_among_many))
