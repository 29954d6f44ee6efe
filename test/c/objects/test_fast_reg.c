/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests rvt_fast_reg_mr and rvt_invalidate_rkey (mr.h). */
#include "core/objects/mr.h"

#include "fixture.h"

static alignas(4096) unsigned char bytes[8 * PAGE];

static struct rvt_mr_handle mapped(struct fixture *f) {
    struct rvt_sg_outcome outcome;
    struct rvt_mr_handle mr = fixture_mem_reg(f, 4);
    struct rvt_sg_element list[] = {{0x10000, PAGE}, {0x12000, PAGE}};
    CHECK_EQ(rvt_map_mr_sg(mr, list, 2, 0x10, PAGE, &outcome), 2);
    return mr;
}

static bool open_with_dma(struct fixture *f) {
    if (!fixture_open(f, 4))
        return false;
    fixture_dma(f, bytes, sizeof(bytes), 0x10000);
    return true;
}

static void fast_reg_sets_key_access_and_iova(void) {
    struct fixture f;
    struct rvt_place place;
    uint64_t iova = 0x7777000;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle mr = mapped(&f);
    uint32_t key = fixture_key(mr);
    /* Before fast registration, the region can be used locally, but not remotely: it has no access rights
     * yet. */
    CHECK_EQ(local_check(&f, &place, 0x10010, 16, key, 0), 1);
    CHECK_EQ(local_check(&f, &place, 0x10010, 16, key, LOCAL_WRITE), 0);
    CHECK_EQ(f.reason, RVT_ACCESS_DENIED);
    CHECK_EQ(remote_check(&f, &place, 0x10010, 16, key, REMOTE_READ), 0);
    CHECK_EQ(f.reason, RVT_ACCESS_DENIED);

    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key | 0xab, LOCAL_WRITE | REMOTE_READ, &iova), 0);
    struct rvt_mr_attributes a = fixture_query(mr);
    CHECK_EQ(a.keys.lkey, key | 0xab);
    CHECK_EQ(a.keys.rkey, key | 0xab);
    CHECK_EQ(a.access, LOCAL_WRITE | REMOTE_READ);
    CHECK_EQ(a.iova, iova);
    CHECK_EQ(a.start, 0x10010);
    CHECK_EQ(a.length, 2 * PAGE - 0x10);
    CHECK_EQ(a.refs, 2);
    /* The old key is stale. The new key works locally with the mapped address, and remotely with the new
     * iova. */
    CHECK_EQ(local_check(&f, &place, 0x10010, 16, key, 0), 0);
    CHECK_EQ(f.reason, RVT_STALE_KEY);
    CHECK_EQ(local_check(&f, &place, 0x10010, 2 * PAGE - 0x10, key | 0xab, LOCAL_WRITE), 1);
    CHECK_EQ(place.at, 0x10010);
    CHECK_EQ(local_check(&f, &place, iova, 16, key | 0xab, 0), 0);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    CHECK_EQ(remote_check(&f, &place, iova, 2 * PAGE - 0x10, key | 0xab, REMOTE_READ), 1);
    CHECK_EQ(place.at, 0x10010);
    CHECK_EQ(remote_check(&f, &place, iova + PAGE, 1, key | 0xab, REMOTE_READ), 1);
    CHECK_EQ(place.at, 0x12010);
    CHECK_EQ(remote_check(&f, &place, 0x10010, 1, key | 0xab, REMOTE_READ), 0);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    /* The key takes no new slot. */
    CHECK_EQ(fixture_head(f.device).generation, 1);

    /* Without an address the iova stays. The low byte may be one that was used before. */
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, REMOTE_WRITE, NULL), 0);
    CHECK_EQ(fixture_query(mr).iova, iova);
    CHECK_EQ(remote_check(&f, &place, iova, 1, key, REMOTE_WRITE), 1);
    CHECK_EQ(remote_check(&f, &place, iova, 1, key | 0xab, REMOTE_WRITE), 0);
    CHECK_EQ(f.reason, RVT_STALE_KEY);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, REMOTE_WRITE, NULL), 0); /* the same key and rights again */

    /* The next mapping sets both addresses. */
    struct rvt_sg_outcome outcome;
    CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){0x13000, PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(remote_check(&f, &place, iova, 1, key, REMOTE_WRITE), 0);
    CHECK_EQ(remote_check(&f, &place, 0x13000, 1, key, REMOTE_WRITE), 1);
    fixture_close(&f);
}

static void fast_reg_changes_only_the_low_byte_of_the_key(void) {
    struct fixture f;
    struct rvt_place place;
    REQUIRE(open_with_dma(&f));
    fixture_mem_reg(&f, 0);
    struct rvt_mr_handle mr = mapped(&f);
    uint32_t upper = fixture_key(mr);
    for (uint32_t low = 0; low < 256; low++) {
        CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, upper | low, 0, NULL), 0);
        CHECK_EQ(local_check(&f, &place, 0x10010, 1, upper | low, 0), 1);
        CHECK_EQ(local_check(&f, &place, 0x10010, 1, upper | ((low + 1) & 0xff), 0), 0);
    }
    /* None of the upper 24 bits may change. */
    for (uint32_t bit = 8; bit < 32; bit++)
        CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, upper ^ 1u << bit, 0, NULL), -RVT_EINVAL);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, 0, 0, NULL), -RVT_EINVAL);
    CHECK_EQ(fixture_key(mr), upper | 255);
    fixture_close(&f);
}

static void fast_reg_checks_the_domain_before_kind_and_key(void) {
    struct fixture f;
    struct rvt_mr_handle dma;
    struct rvt_sge sge;
    uint64_t iova = 0x123000, high = UINT64_C(0) - PAGE;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle mr = mapped(&f), user = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, 0),
                         fmr = fixture_fmr(&f, 0, 1, 12);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);

    /* The domain is checked first, before the kind and the key. */
    CHECK_EQ(rvt_fast_reg_mr(f.other_qp, mr, key, 0, NULL), -RVT_EACCES);
    CHECK_EQ(rvt_fast_reg_mr(f.other_qp, mr, ~key, 0, NULL), -RVT_EACCES);
    CHECK_EQ(rvt_fast_reg_mr(f.other_qp, user, fixture_key(user), 0, NULL), -RVT_EACCES);
    CHECK_EQ(rvt_fast_reg_mr(f.other_qp, dma, 0, 0, NULL), -RVT_EACCES);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, user, fixture_key(user), 0, NULL), -RVT_EINVAL);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, fmr, fixture_key(fmr), 0, NULL), -RVT_EINVAL);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, dma, 0, 0, NULL), -RVT_EINVAL);
    CHECK_EQ(fixture_query(user).access, 0);

    /* A failed call stores the iova, and nothing else. */
    CHECK_EQ(rvt_fast_reg_mr(f.other_qp, mr, key, ALL_ACCESS, &iova), -RVT_EACCES);
    struct rvt_mr_attributes a = fixture_query(mr);
    CHECK_EQ(a.iova, iova);
    CHECK_EQ(a.access, 0);
    CHECK_EQ(a.keys.lkey, key);
    CHECK_EQ(local(&f, &sge, 0x10010, 1, key, 0), 1); /* checks still use the old base */
    rvt_put_sge(&sge);
    iova = 0x456000;
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key + 0x100, ALL_ACCESS, &iova), -RVT_EINVAL);
    CHECK_EQ(fixture_query(mr).iova, iova);
    /* The next call without an address uses the stored iova. */
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, REMOTE_READ, NULL), 0);
    CHECK_EQ(remote(&f, &sge, 0x456000, 1, key, REMOTE_READ), 1);
    rvt_put_sge(&sge);

    /* The range, two pages minus 16 bytes, may end at 2^64, but not beyond. */
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, REMOTE_READ, &high), -RVT_EINVAL);
    CHECK_EQ(remote(&f, &sge, 0x456000, 1, key, REMOTE_READ), 1); /* checks still use the old iova */
    rvt_put_sge(&sge);
    high = UINT64_C(0) - (2 * PAGE - 0x10);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, REMOTE_READ, &high), 0);
    CHECK_EQ(remote(&f, &sge, UINT64_MAX, 1, key, REMOTE_READ), 1);
    rvt_put_sge(&sge);
    CHECK_EQ(remote(&f, &sge, UINT64_MAX, 2, key, REMOTE_READ), 0);
    CHECK_EQ(remote(&f, &sge, 0, 1, key, REMOTE_READ), 0);
    high++;
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, REMOTE_READ, &high), -RVT_EINVAL);

    /* A region without a mapping accepts any address. */
    struct rvt_mr_handle empty = fixture_mem_reg(&f, 1);
    high = UINT64_MAX;
    CHECK_EQ(rvt_fast_reg_mr(f.qp, empty, fixture_key(empty), REMOTE_READ, &high), 0);
    fixture_close(&f);
}

static void destroyed_queue_pairs_and_other_devices_are_refused(void) {
    struct fixture f, g;
    struct rvt_qp_handle none = {0}, destroyed;
    REQUIRE(open_with_dma(&f));
    REQUIRE(open_with_dma(&g));
    struct rvt_mr_handle mr = mapped(&f);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_create_check_qp(f.pd, &destroyed), 0);
    CHECK_EQ(rvt_destroy_qp(destroyed), 0);
    CHECK_EQ(rvt_fast_reg_mr(none, mr, key, ALL_ACCESS, NULL), -RVT_EBADF);
    CHECK_EQ(rvt_fast_reg_mr(destroyed, mr, key, ALL_ACCESS, NULL), -RVT_EBADF);
    CHECK_EQ(rvt_invalidate_rkey(none, key), -RVT_EBADF);
    CHECK_EQ(rvt_invalidate_rkey(destroyed, key), -RVT_EBADF);
    CHECK_EQ(rvt_invalidate_rkey(destroyed, 0), -RVT_EBADF);
    CHECK_EQ(rvt_fast_reg_mr(g.qp, mr, key, ALL_ACCESS, NULL), -RVT_EINVAL);
    CHECK_EQ(rvt_invalidate_rkey(g.qp, key), -RVT_EINVAL);
    struct rvt_mr_attributes a = fixture_query(mr);
    CHECK_EQ(a.access, 0);
    CHECK(a.valid);
    fixture_close_one(&g);
    fixture_close(&f);
}

static void invalidating_a_key_refuses_further_checks(void) {
    struct fixture f;
    struct rvt_place place;
    uint64_t page = 0x10000;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle mrs[] = {fixture_reg(&f, bytes, PAGE, 0x10010, 0x10010, ALL_ACCESS),
                                  fixture_fmr(&f, ALL_ACCESS, 1, 12), mapped(&f)};
    CHECK_EQ(rvt_map_phys_fmr(mrs[1], &page, 1, 0x10010), 0);
    for (int i = 0; i < 3; i++) {
        uint32_t key = fixture_key(mrs[i]);
        CHECK_EQ(local_check(&f, &place, 0x10010, 1, key, 0), 1);
        CHECK_EQ(rvt_invalidate_rkey(f.other_qp, key), -RVT_EINVAL); /* region of another domain */
        CHECK_EQ(rvt_invalidate_rkey(f.qp, key | 1), -RVT_EINVAL);   /* all 32 bits of the key must match */
        CHECK_EQ(rvt_invalidate_rkey(f.qp, key ^ 0x100), -RVT_EINVAL);
        CHECK(fixture_query(mrs[i]).valid);
        CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
        CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0); /* repeating it is allowed */
        CHECK(!fixture_query(mrs[i]).valid);
        CHECK_EQ(fixture_refs(mrs[i]), 2);
        CHECK_EQ(local_check(&f, &place, 0x10010, 1, key, 0), 0);
        CHECK_EQ(f.reason, RVT_INVALIDATED);
        CHECK_EQ(remote_check(&f, &place, 0x10010, 1, key, REMOTE_READ), 0);
        CHECK_EQ(f.reason, RVT_INVALIDATED);
    }
    /* After an invalidation, mapping does not make an FMR valid again, and nothing revalidates a user region;
     * rvt_fast_reg_mr revalidates its own kind. */
    CHECK_EQ(rvt_map_phys_fmr(mrs[1], &page, 1, 0x10010), 0);
    CHECK_EQ(rvt_unmap_fmr(&mrs[1], 1), 0);
    CHECK_EQ(rvt_map_phys_fmr(mrs[1], &page, 1, 0x10010), 0);
    CHECK_EQ(local_check(&f, &place, 0x10010, 1, fixture_key(mrs[1]), 0), 0);
    CHECK_EQ(f.reason, RVT_INVALIDATED);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mrs[2], fixture_key(mrs[2]), 0, NULL), 0);
    CHECK_EQ(local_check(&f, &place, 0x10010, 1, fixture_key(mrs[2]), 0), 1);

    CHECK_EQ(rvt_invalidate_rkey(f.qp, 0), -RVT_EINVAL);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, 0xf0000100), -RVT_EINVAL); /* the key of an empty slot */
    CHECK_EQ(rvt_dereg_mr(mrs[0], RVT_RELEASE), 0);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, 0x100), -RVT_EINVAL);
    fixture_close(&f);
}

static int needs_no_memory(struct fixture *f) {
    CHECK_EQ(rvt_fast_reg_mr(f->qp, f->mr, fixture_key(f->mr), ALL_ACCESS, &(uint64_t){0x5000}), 0);
    return rvt_invalidate_rkey(f->qp, fixture_key(f->mr));
}

static void prepare(struct fixture *f) {
    fixture_dma(f, bytes, sizeof(bytes), 0x10000);
    f->mr = mapped(f);
}

static void fast_reg_and_invalidate_need_no_memory(void) {
    each_allocation_fails(prepare, needs_no_memory, 0);
}

CHECK_MAIN(TEST(fast_reg_sets_key_access_and_iova), TEST(fast_reg_changes_only_the_low_byte_of_the_key),
           TEST(fast_reg_checks_the_domain_before_kind_and_key),
           TEST(destroyed_queue_pairs_and_other_devices_are_refused),
           TEST(invalidating_a_key_refuses_further_checks), TEST(fast_reg_and_invalidate_need_no_memory))
