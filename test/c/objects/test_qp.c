/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/qp.h"

#include "fixture.h"

static alignas(4096) unsigned char bytes[PAGE];

static void a_handle_is_invalid_after_its_queue_pair_is_destroyed(void) {
    struct fixture f;
    struct rvt_pd_handle pd, again;
    struct rvt_qp_handle qp, other;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, true, &pd), 0);
    CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
    CHECK_PTR_EQ(rvt_qp_live(qp), qp.qp);
    CHECK_PTR_EQ(rvt_qp_pd(qp.qp), pd.pd);
    CHECK_EQ(rvt_destroy_qp(qp), 0);
    CHECK(rvt_qp_live(qp) == NULL);
    CHECK_EQ(rvt_destroy_qp(qp), -RVT_EBADF);
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);

    /* A new queue pair may reuse the slot; the old handle stays invalid. */
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &again), 0);
    CHECK_EQ(rvt_create_check_qp(again, &other), 0);
    CHECK_PTR_EQ(other.qp, qp.qp);
    CHECK(rvt_qp_live(qp) == NULL);
    CHECK_EQ(rvt_destroy_qp(qp), -RVT_EBADF);
    CHECK_PTR_EQ(rvt_qp_live(other), other.qp);
    CHECK_PTR_EQ(rvt_qp_pd(other.qp), again.pd);
    /* A closed domain creates no queue pair. */
    CHECK_EQ(rvt_create_check_qp(pd, &qp), -RVT_EBADF);
    fixture_close(&f);
}

static void an_empty_handle_is_refused(void) {
    struct rvt_pd_handle pd = {0};
    struct rvt_qp_handle qp = {0};
    CHECK(rvt_qp_live(qp) == NULL);
    CHECK_EQ(rvt_create_check_qp(pd, &qp), -RVT_EBADF);
    CHECK_EQ(rvt_destroy_qp(qp), -RVT_EBADF);
}

static void a_domain_is_busy_while_it_has_queue_pairs(void) {
    struct fixture f;
    struct rvt_pd_handle pd;
    struct rvt_qp_handle qp[2];
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &pd), 0);
    CHECK_EQ(rvt_create_check_qp(pd, &qp[0]), 0);
    CHECK_EQ(rvt_create_check_qp(pd, &qp[1]), 0);
    CHECK_EQ(pd.pd->children, 2);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_destroy_qp(qp[1]), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBUSY);
    CHECK_PTR_EQ(rvt_qp_live(qp[0]), qp[0].qp);
    CHECK_EQ(rvt_destroy_qp(qp[0]), 0);
    CHECK_EQ(pd.pd->children, 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    fixture_close(&f);
}

static void cascade_destroys_the_queue_pairs_of_a_domain(void) {
    struct fixture f;
    struct rvt_sge sge;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, ALL_ACCESS);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_dealloc_pd(f.pd, true), 0);
    CHECK(rvt_qp_live(f.qp) == NULL);
    CHECK_EQ(remote(&f, &sge, 0x1000, 8, key, REMOTE_READ), 0);
    CHECK_EQ(f.reason, RVT_CLOSED);
    CHECK_EQ(rvt_destroy_qp(f.qp), -RVT_EBADF);
    CHECK(rvt_qp_live(f.other_qp) != NULL); /* queue pairs of other domains are untouched */
    CHECK(rvt_qp_live(f.user_qp) != NULL);
    fixture_close(&f);
}

static void a_user_domains_queue_pair_has_no_key_zero(void) {
    struct fixture f;
    struct rvt_mr_handle mr;
    struct rvt_sge sge;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, sizeof(bytes), 0x10000);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &mr), 0);
    CHECK_EQ(remote_in(&f, f.user_qp, &sge, 0x10000, 8, 0, 0), 0);
    CHECK_EQ(f.reason, RVT_KEY_ZERO_DENIED);
    CHECK_EQ(remote(&f, &sge, 0x10000, 8, 0, REMOTE_READ), 1);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static int create_qp(struct fixture *f) {
    /* Enough queue pairs that the pool must grow. */
    for (int i = 0; i < 100; i++) {
        int error = rvt_create_check_qp(f->pd, &f->new_qp);
        if (error)
            return error;
    }
    return 0;
}

static void create_qp_fails_cleanly_without_memory(void) {
    each_allocation_fails(NULL, create_qp, 1);
}

CHECK_MAIN(TEST(a_handle_is_invalid_after_its_queue_pair_is_destroyed), TEST(an_empty_handle_is_refused),
           TEST(a_domain_is_busy_while_it_has_queue_pairs),
           TEST(cascade_destroys_the_queue_pairs_of_a_domain),
           TEST(a_user_domains_queue_pair_has_no_key_zero), TEST(create_qp_fails_cleanly_without_memory))
