/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/mr.h"

#include "fixture.h"

static alignas(4096) unsigned char bytes[8 * PAGE];

static const uint64_t TOP = UINT64_C(0) - PAGE; /* the last page below 2^64 */

/* Registers `length` bytes, which are never accessed. */
static int reg(struct fixture *f, uint64_t start, uint64_t length, uint64_t virt_addr,
               struct rvt_mr_handle *mr) {
    struct rvt_memory *memory = rvt_fixed_memory(bytes, length);
    int error = rvt_reg_user_mr(f->pd, memory, start, virt_addr, LOCAL_WRITE, mr);
    CHECK_EQ(atomic_load(&memory->references), error ? 1 : 2);
    rvt_memory_put(memory);
    CHECK_EQ(rvt_reg_user_mr_test(f->pd, start, length, virt_addr), error);
    return error;
}

static void reg_user_mr_checks_its_ranges(void) {
    const uint64_t pages_32 = UINT64_C(1) << 44; /* the length of 2^32 pages */
    const struct {
        uint64_t start, length, virt_addr;
        int answer;
    } rows[] = {
        {0x1000, 0, 0x1000, -RVT_EINVAL},
        {0, 0, 0, -RVT_EINVAL},
        {0, 1, 0, 0},
        {0x1234, 1, 0xffff00007, 0}, /* virt_addr need not be related to start */
        /* start + length, rounded up to a page, must fit in 64 bits */
        {TOP - 1, 1, 0, 0},
        {TOP - PAGE, PAGE, 0, 0},
        {TOP, 1, 0, -RVT_EINVAL},
        {TOP - 1, 2, 0, -RVT_EINVAL},
        {TOP, PAGE - 1, 0, -RVT_EINVAL},
        {TOP, PAGE, 0, -RVT_EINVAL},
        {UINT64_MAX, 1, 0, -RVT_EINVAL},
        {UINT64_MAX, 2, 0, -RVT_EINVAL},
        {0x1000, UINT64_MAX, 0, -RVT_EINVAL},
        {1, UINT64_MAX, 0, -RVT_EINVAL},
        {0, UINT64_MAX, 0, -RVT_EINVAL},
        /* virt_addr + length may be exactly 2^64, but not more */
        {0x1000, PAGE, TOP, 0},
        {0x1000, PAGE, TOP + 1, -RVT_EINVAL},
        {0x1000, 1, UINT64_MAX, 0},
        {0x1000, 2, UINT64_MAX, -RVT_EINVAL},
        /* at most 2^32 - 1 pages, counting every page touched */
        {0, pages_32 - PAGE, 0, 0},
        {0, pages_32, 0, -RVT_EINVAL},
        {1, pages_32 - PAGE, 0, -RVT_EINVAL},
        {1, pages_32 - PAGE - 1, 0, 0},
        {PAGE - 1, 2 + pages_32 - 3 * PAGE, 0, 0},
        {PAGE - 1, pages_32 - 2 * PAGE + 1, 0, 0},
        {PAGE - 1, pages_32 - 2 * PAGE + 2, 0, -RVT_EINVAL},
    };
    struct fixture f;
    REQUIRE(fixture_open(&f, 5));
    uint32_t used = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rvt_mr_handle mr;
        int error = reg(&f, rows[i].start, rows[i].length, rows[i].virt_addr, &mr);
        CHECK_EQ(error, rows[i].answer);
        if (error != rows[i].answer)
            printf("# row %zu\n", i);
        used += !error;
        struct rvt_table_head head = fixture_head(f.device);
        CHECK_EQ(head.used, used); /* refused calls change nothing */
        CHECK_EQ(head.next, used);
        CHECK_EQ(head.generation, used);
        if (!error) {
            struct rvt_mr_attributes attributes = fixture_query(mr);
            CHECK_EQ(attributes.start, rows[i].start);
            CHECK_EQ(attributes.iova, rows[i].virt_addr);
            CHECK_EQ(attributes.length, rows[i].length);
            CHECK_EQ(attributes.segments,
                     ((rows[i].start + rows[i].length - 1) / PAGE - rows[i].start / PAGE) + 1);
        }
    }
    fixture_close(&f);
}

static void arguments_are_checked_before_free_slots(void) {
    struct fixture f;
    struct rvt_mr_handle mr;
    REQUIRE(fixture_open(&f, 1));
    CHECK_EQ(reg(&f, 0x1000, 1, 0, &mr), 0);
    struct rvt_memory *memory = rvt_fixed_memory(bytes, 1);
    CHECK_EQ(rvt_reg_user_mr(f.pd, memory, 0x1000, 0, 0, &mr), 0);
    rvt_memory_put(memory);
    CHECK_EQ(reg(&f, 0x1000, 1, 0, &mr), -RVT_ENOMEM);
    CHECK_EQ(reg(&f, UINT64_MAX, 1, 0, &mr), -RVT_EINVAL);
    CHECK_EQ(rvt_alloc_mr(f.pd, RVT_MR_TYPE_SG_GAPS, 1, &mr), -RVT_EINVAL);
    CHECK_EQ(rvt_alloc_mr(f.pd, RVT_MR_TYPE_MEM_REG, 1, &mr), -RVT_ENOMEM);
    fixture_close(&f);
}

static void a_new_user_region_has_its_attributes(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, 5000, 0x1ff8, 0x7777, 0x1f);
    struct rvt_mr_attributes a = fixture_query(mr);
    CHECK(a.id > 0);
    CHECK_EQ(a.keys.lkey, 0x100);
    CHECK_EQ(a.keys.rkey, 0x100);
    CHECK_EQ(a.kind, RVT_MR_USER);
    CHECK_EQ(a.access, 0x1f);
    CHECK_EQ(a.refs, 2);
    CHECK_EQ(a.start, 0x1ff8);
    CHECK_EQ(a.iova, 0x7777);
    CHECK_EQ(a.length, 5000);
    CHECK_EQ(a.segments, 3); /* 8 bytes before 0x2000, then 4096, then the rest */
    CHECK(a.valid);
    CHECK(!a.half_dead);
    fixture_close(&f);
}

static void a_new_mem_reg_region_is_unmapped(void) {
    static const uint32_t sizes[] = {0, 1, 256, 0x7fffffff};
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    for (size_t i = 0; i < 4; i++) {
        struct rvt_mr_handle mr;
        CHECK_EQ(rvt_alloc_mr(f.pd, RVT_MR_TYPE_MEM_REG, sizes[i], &mr), 0);
        struct rvt_mr_attributes a = fixture_query(mr);
        CHECK_EQ(a.kind, RVT_MR_MEM_REG);
        CHECK_EQ(a.access, 0);
        CHECK_EQ(a.refs, 2);
        CHECK_EQ(a.start | a.iova | a.length | a.segments, 0);
        CHECK_EQ(a.max_segments, sizes[i]);
        CHECK(a.valid);
    }
    fixture_close(&f);
}

static void alloc_mr_refuses_other_types_and_large_sizes(void) {
    static const uint32_t sizes[] = {0x80000000, 0x80000001, 0xffffff00, 0xffffff01, 0xffffffff};
    static const enum rvt_mr_type types[] = {RVT_MR_TYPE_SG_GAPS, RVT_MR_TYPE_DM, RVT_MR_TYPE_USER,
                                             RVT_MR_TYPE_DMA, RVT_MR_TYPE_INTEGRITY};
    struct fixture f;
    struct rvt_mr_handle mr;
    REQUIRE(fixture_open(&f, 4));
    for (size_t i = 0; i < 5; i++) {
        CHECK_EQ(rvt_alloc_mr(f.pd, types[i], 1, &mr), -RVT_EINVAL);
        CHECK_EQ(rvt_alloc_mr(f.pd, RVT_MR_TYPE_MEM_REG, sizes[i], &mr), -RVT_EINVAL);
    }
    CHECK_EQ(fixture_head(f.device).generation, 0);
    fixture_close(&f);
}

static void dma_regions_take_no_slot_and_need_a_kernel_domain(void) {
    struct fixture f;
    struct rvt_mr_handle mr, second;
    REQUIRE(fixture_open(&f, 1));
    CHECK_EQ(rvt_get_dma_mr(f.user_pd, 0, &mr), -RVT_EPERM);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &mr), 0);
    CHECK_EQ(rvt_get_dma_mr(f.other_pd, ALL_ACCESS, &second), 0);
    struct rvt_mr_attributes a = fixture_query(mr), b = fixture_query(second);
    CHECK_EQ(a.kind, RVT_MR_DMA);
    CHECK_EQ(a.keys.lkey, 0);
    CHECK_EQ(a.keys.rkey, 0);
    CHECK_EQ(a.refs, 3); /* published: key 0 uses this region */
    CHECK_EQ(b.keys.lkey, 0);
    CHECK_EQ(b.refs, 2); /* not published: key 0 does not use this region */
    CHECK(a.id != b.id);
    CHECK_EQ(fixture_head(f.device).used, 0); /* DMA regions take no slots */
    CHECK_EQ(fixture_head(f.device).generation, 0);
    fixture_close(&f);
}

static void region_ids_are_unique(void) {
    struct fixture f;
    uint64_t last = 0;
    REQUIRE(fixture_open(&f, 4));
    for (int i = 0; i < 300; i++) {
        struct rvt_mr_handle mr = fixture_mem_reg(&f, 0);
        uint64_t id = fixture_query(mr).id;
        CHECK(id > last);
        last = id;
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    fixture_close(&f);
}

static void handles_of_closed_objects_are_refused(void) {
    struct fixture f;
    struct rvt_mr_handle mr, none = {0};
    struct rvt_mr_attributes attributes;
    struct rvt_pd_handle dead, no_pd = {0};
    struct rvt_sg_outcome outcome = {1, 2};
    struct rvt_sg_element element = {0x10000, PAGE};
    struct rvt_fmr_attr attr = {1, 1, 12};
    uint64_t page = 0x10000;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_memory *memory = rvt_fixed_memory(bytes, 1);
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &dead), 0);
    CHECK_EQ(rvt_dealloc_pd(dead, false), 0);
    struct rvt_pd_handle pds[] = {dead, no_pd};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rvt_reg_user_mr(pds[i], memory, 0x1000, 0, 0, &mr), -RVT_EBADF);
        CHECK_EQ(rvt_reg_user_mr_test(pds[i], 0x1000, 1, 0), -RVT_EBADF);
        CHECK_EQ(rvt_get_dma_mr(pds[i], 0, &mr), -RVT_EBADF);
        CHECK_EQ(rvt_alloc_mr(pds[i], RVT_MR_TYPE_MEM_REG, 1, &mr), -RVT_EBADF);
        CHECK_EQ(rvt_alloc_fmr(pds[i], 0, &attr, &mr), -RVT_EBADF);
    }
    struct rvt_mr_handle sg = fixture_mem_reg(&f, 1), fmr = fixture_fmr(&f, 0, 1, 12);
    CHECK_EQ(rvt_dereg_mr(sg, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), 0);
    struct rvt_mr_handle mrs[] = {sg, fmr, none};
    fixture_mem_reg(&f, 1); /* reuses the object of one of the deregistered regions */
    fixture_fmr(&f, 0, 1, 12);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rvt_query_mr(mrs[i], &attributes), -RVT_EBADF);
        CHECK_EQ(rvt_dereg_mr(mrs[i], RVT_RELEASE), -RVT_EBADF);
        CHECK_EQ(rvt_dereg_mr(mrs[i], RVT_RELEASE_AWAIT), -RVT_EBADF);
        CHECK_EQ(rvt_dereg_mr(mrs[i], RVT_RELEASE_FORCE), -RVT_EBADF);
        CHECK_EQ(rvt_dealloc_fmr(mrs[i], RVT_RELEASE), -RVT_EBADF);
        CHECK_EQ(rvt_release_mr(mrs[i], RVT_RELEASE), -RVT_EBADF);
        CHECK_EQ(rvt_map_mr_sg(mrs[i], &element, 1, 0, PAGE, &outcome), -RVT_EBADF);
        CHECK_EQ(rvt_map_phys_fmr(mrs[i], &page, 1, 0), -RVT_EBADF);
        CHECK_EQ(rvt_unmap_fmr(&mrs[i], 1), -RVT_EBADF);
        CHECK_EQ(rvt_fast_reg_mr(f.qp, mrs[i], 0x100, 0, NULL), -RVT_EBADF);
    }
    CHECK_EQ(outcome.iova, 1); /* the outcome is not written if the handle is refused with -EBADF */
    CHECK_EQ(outcome.length, 2);
    CHECK_EQ(atomic_load(&memory->references), 1);
    rvt_memory_put(memory);
    fixture_close(&f);
}

static void releases_refuse_the_other_kinds_of_region(void) {
    struct fixture f;
    struct rvt_mr_handle dma;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle user = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, 0), sg = fixture_mem_reg(&f, 1),
                         fmr = fixture_fmr(&f, 0, 1, 12);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    struct rvt_mr_handle not_fmrs[] = {user, sg, dma};
    for (int mode = RVT_RELEASE; mode <= RVT_RELEASE_FORCE; mode++) {
        CHECK_EQ(rvt_dereg_mr(fmr, (enum rvt_release_mode)mode), -RVT_EINVAL);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(rvt_dealloc_fmr(not_fmrs[i], (enum rvt_release_mode)mode), -RVT_EINVAL);
    }
    CHECK(!fixture_dead(user) && !fixture_dead(sg) && !fixture_dead(dma) && !fixture_dead(fmr));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(rvt_dereg_mr(not_fmrs[i], RVT_RELEASE), 0);
    CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void release_mr_ends_regions_of_every_kind(void) {
    struct fixture f;
    struct rvt_sge sge;
    REQUIRE(fixture_open(&f, 4));
    for (int mode = RVT_RELEASE; mode <= RVT_RELEASE_FORCE; mode++) {
        struct rvt_mr_handle dma, user = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, 0);
        CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
        struct rvt_mr_handle all[] = {user, fixture_mem_reg(&f, 1), dma, fixture_fmr(&f, 0, 1, 12)};
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(rvt_release_mr(all[i], (enum rvt_release_mode)mode), 0);
            CHECK_EQ(rvt_release_mr(all[i], (enum rvt_release_mode)mode), -RVT_EBADF);
        }
    }
    struct rvt_mr_handle held = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, 0);
    CHECK_EQ(local(&f, &sge, 0x1000, 8, fixture_key(held), 0), 1);
    CHECK_EQ(rvt_release_mr(held, RVT_RELEASE), -RVT_EBUSY);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_release_mr(held, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void a_large_user_region_allocates_no_more_than_a_small_one(void) {
    /* A user region is an extent: registering a terabyte allocates no more than registering a byte. */
    struct fixture f;
    struct rvt_mr_handle mr;
    REQUIRE(fixture_open(&f, 4));
    long before = rvt_test_alloc_live();
    CHECK_EQ(reg(&f, 0x1000, 1, 0, &mr), 0);
    long small = rvt_test_alloc_live() - before;
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    before = rvt_test_alloc_live();
    CHECK_EQ(reg(&f, 0x1000, UINT64_C(1) << 40, 0, &mr), 0);
    CHECK(rvt_test_alloc_live() - before <= small);
    fixture_close(&f);
}

static void prepare_memory(struct fixture *f) {
    f->memory = rvt_fixed_memory(bytes, PAGE);
}

static int verb_reg_user_mr(struct fixture *f) {
    uint32_t references = atomic_load(&f->memory->references);
    int error = rvt_reg_user_mr(f->pd, f->memory, 0x1000, 0x1000, 0, &f->mr2);
    CHECK_EQ(atomic_load(&f->memory->references), references + !error);
    return error;
}

static int verb_get_dma_mr(struct fixture *f) {
    int error = rvt_get_dma_mr(f->pd, 0, &f->mr2);
    if (error) { /* a failed call publishes no region */
        struct rvt_sge sge;
        CHECK_EQ(local(f, &sge, 0x1000, 1, 0, 0), -RVT_EINVAL);
        CHECK_EQ(f->reason, RVT_NO_DMA_REGION);
    }
    return error;
}

static int verb_alloc_mr(struct fixture *f) {
    return rvt_alloc_mr(f->pd, RVT_MR_TYPE_MEM_REG, 5, &f->mr2);
}

static int verb_alloc_fmr(struct fixture *f) {
    return rvt_alloc_fmr(f->pd, 0, &(struct rvt_fmr_attr){5, 1, 12}, &f->mr2);
}

static int verb_on_an_empty_domain(struct fixture *f) {
    /* A failed registration must not stay as a child of the domain. */
    struct rvt_pd_handle pd;
    struct rvt_mr_handle mr;
    CHECK_EQ(rvt_alloc_pd(f->device, NULL, false, &pd), 0);
    int error = rvt_reg_user_mr(pd, f->memory, 0x1000, 0x1000, 0, &mr);
    CHECK_EQ(rvt_dealloc_pd(pd, false), error ? 0 : -RVT_EBUSY);
    return error;
}

static void registrations_fail_cleanly_without_memory(void) {
    each_allocation_fails(prepare_memory, verb_reg_user_mr, 2);
    each_allocation_fails(NULL, verb_get_dma_mr, 1);
    each_allocation_fails(NULL, verb_alloc_mr, 1);
    each_allocation_fails(NULL, verb_alloc_fmr, 1);
    each_allocation_fails(prepare_memory, verb_on_an_empty_domain, 2);
}

static void a_failed_registration_leaves_no_child(void) {
    struct fixture f;
    struct rvt_pd_handle pd;
    struct rvt_mr_handle mr;
    REQUIRE(fixture_open(&f, 1));
    prepare_memory(&f);
    fixture_mem_reg(&f, 0);
    fixture_mem_reg(&f, 0);
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &pd), 0);
    CHECK_EQ(rvt_reg_user_mr(pd, f.memory, 0x1000, 0x1000, 0, &mr), -RVT_ENOMEM);
    CHECK_EQ(rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 1, &mr), -RVT_ENOMEM);
    CHECK_EQ(rvt_alloc_fmr(pd, 0, &(struct rvt_fmr_attr){1, 1, 12}, &mr), -RVT_ENOMEM);
    CHECK_EQ(atomic_load(&f.memory->references), 1);
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    rvt_memory_put(f.memory);
    fixture_close(&f);
}

static int verb_count_mr(struct fixture *f) {
    int error = rvt_count_mr(f->mr);
    CHECK_EQ(fixture_query(f->mr).counted, !error);
    struct rvt_place place;
    CHECK_EQ(local_check(f, &place, 0x1000, 1, fixture_key(f->mr), 0), 1);
    return error;
}

static void prepare_region(struct fixture *f) {
    f->mr = fixture_reg(f, bytes, PAGE, 0x1000, 0x1000, 0);
}

static void counting_begins_with_count_mr(void) {
    struct fixture f;
    struct rvt_mr_handle mr[4], dead;
    struct rvt_sge sge;
    struct rvt_place place;
    struct looked last[4] = {{.accepted = 0}}, half = {.accepted = 0};
    each_allocation_fails(prepare_region, verb_count_mr, 1);

    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, PAGE, 0x5000);
    mr[0] = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &mr[1]), 0);
    mr[2] = fixture_mem_reg(&f, 1);
    struct rvt_sg_outcome outcome;
    CHECK_EQ(rvt_map_mr_sg(mr[2], &(struct rvt_sg_element){0x5000, PAGE}, 1, 0, PAGE, &outcome), 1);
    mr[3] = fixture_fmr(&f, ALL_ACCESS, 1, 12);
    CHECK_EQ(rvt_map_phys_fmr(mr[3], (uint64_t[]){0x5000}, 1, 0x5000), 0);
    for (int i = 0; i < 4; i++) {
        uint32_t key = fixture_key(mr[i]);
        CHECK_EQ(local_check(&f, &place, 0x5000, 8, key, 0), 1);
        struct rvt_mr_attributes is = fixture_query(mr[i]);
        CHECK(!is.counted);
        CHECK_EQ(is.accepted + is.refused + is.bytes, 0);
        CHECK_EQ(rvt_count_mr(mr[i]), 0);
        CHECK_EQ(local_check(&f, &place, 0x5000, 8, key, 0), 1);
        CHECK_EQ(local_check(&f, &place, 0x5000, PAGE + 1, key, 0), 0);
        /* Calling it again allocates nothing and keeps the counts. */
        rvt_test_alloc_fail_after(0);
        CHECK_EQ(rvt_count_mr(mr[i]), 0);
        CHECK(!rvt_test_alloc_failed());
        rvt_test_alloc_fail_after(-1);
        MR_COUNTED(mr[i], &last[i], 1, 1, 0);
        CHECK_EQ(fixture_key(mr[i]), key);
        CHECK_EQ(fixture_refs(mr[i]), i == 1 ? 3 : 2);
    }
    for (int i = 0; i < 4; i++) /* each region has its own counters */
        MR_COUNTED(mr[i], &last[i], 0, 0, 0);

    /* After a dereg that returned -EBUSY, the region has no record any more, but SGEs that hold it can still
     * be used. */
    dead = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    uint32_t key = fixture_key(dead);
    struct rvt_copied copied;
    CHECK_EQ(local(&f, &sge, 0x5000, 8, key, LOCAL_WRITE), 1);
    CHECK_EQ(rvt_dereg_mr(dead, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(rvt_count_mr(dead), 0);
    CHECK_EQ(local_check(&f, &place, 0x5000, 8, key, 0), 0);
    CHECK_EQ(f.reason, RVT_REVOKED); /* rvt_count_mr wrote nothing to the freed slot */
    CHECK_EQ(put_bytes(&f, &sge, "12345678", 8, &copied), 0);
    MR_COUNTED(dead, &half, 0, 0, 8);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dereg_mr(dead, RVT_RELEASE), 0);
    CHECK_EQ(rvt_count_mr(dead), -RVT_EBADF);
    CHECK_EQ(rvt_count_mr((struct rvt_mr_handle){NULL, 1}), -RVT_EBADF);
    /* The next region in the same object starts without counters. */
    struct rvt_mr_handle next = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    CHECK_PTR_EQ(next.mr, dead.mr);
    CHECK(!fixture_query(next).counted);
    CHECK_EQ(local_check(&f, &place, 0x5000, 8, fixture_key(next), 0), 1);
    fixture_close(&f);
}

/* --- what a registration returns, and addresses chosen by the device --- */

static void check_birth(struct rvt_mr_handle mr, const struct rvt_mr_birth *birth) {
    struct rvt_mr_attributes a = fixture_query(mr);
    CHECK_EQ(birth->id, a.id);
    CHECK_EQ(birth->key, a.keys.lkey);
    CHECK_EQ(birth->start, a.start);
    CHECK_EQ(birth->iova, a.iova);
    CHECK_EQ(birth->index, mr.mr->owned.object.index);
}

static void a_registration_reports_id_key_and_addresses(void) {
    for (int random = 0; random < 2; random++) {
        struct fixture f;
        struct rvt_mr_handle mr[3] = {{0}};
        struct rvt_mr_birth birth, untouched;
        REQUIRE(
            fixture_open_with(&f, (struct rvt_device_options){.lkey_table_bits = 2, .random_keys = random}));
        struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE), *none = rvt_fixed_memory(bytes, 0);
        CHECK_EQ(rvt_reg_user_mr_at(f.pd, memory, 0x5003, 0x7001, ALL_ACCESS, &mr[0], &birth), 0);
        check_birth(mr[0], &birth);
        CHECK_EQ(birth.start, 0x5003);
        CHECK_EQ(birth.iova, 0x7001);
        CHECK_EQ(rvt_reg_user_mr_at(f.pd, memory, 0x5003, 0x7001, ALL_ACCESS, &mr[1], NULL), 0);
        CHECK_EQ(rvt_dereg_mr(mr[0], RVT_RELEASE), 0);
        CHECK_EQ(rvt_reg_user_mr_at(f.pd, memory, 1, 2, 0, &mr[2], &birth), 0);
        CHECK_PTR_EQ(mr[2].mr, mr[0].mr); /* reuses the object of the deregistered region */
        check_birth(mr[2], &birth);
        memset(&birth, 0x5a, sizeof(birth));
        untouched = birth;
        CHECK_EQ(rvt_reg_user_mr_at(f.pd, none, 1, 2, 0, &mr[0], &birth), -RVT_EINVAL);
        CHECK_EQ(rvt_reg_user_mr_at(f.pd, memory, UINT64_MAX, 2, 0, &mr[0], &birth), -RVT_EINVAL);
        CHECK_EQ(rvt_reg_user_mr_at(f.pd, memory, 1, UINT64_MAX, 0, &mr[0], &birth), -RVT_EINVAL);
        CHECK_BYTES_EQ(&birth, &untouched, sizeof(birth));
        rvt_memory_put(memory);
        rvt_memory_put(none);
        fixture_close(&f);
    }
}

static uint64_t next_start(struct fixture *f) {
    uint64_t start = 0;
    rvt_mutex_lock(&f->device->lock);
    CHECK_EQ(rvt_next_user_start(f->device, PAGE, &start), 0);
    rvt_mutex_unlock(&f->device->lock);
    return start;
}

static void reg_user_mr_anywhere_chooses_an_address(void) {
    struct fixture f;
    struct rvt_mr_handle mr;
    struct rvt_mr_birth birth;
    struct rvt_place place;
    const uint64_t iova = 0x1234;
    uint64_t start;
    REQUIRE(fixture_open(&f, 2));
    struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE + 1);
    uint64_t expected = next_start(&f);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, memory, NULL, ALL_ACCESS, &mr, &birth), 0);
    check_birth(mr, &birth);
    CHECK_EQ(birth.start, expected);
    CHECK_EQ(birth.iova, expected);
    CHECK_EQ(local_check(&f, &place, expected + PAGE, 1, birth.key, LOCAL_WRITE), 1);
    CHECK_EQ(place.at, PAGE);
    CHECK_EQ(remote_check(&f, &place, expected, PAGE + 1, birth.key, REMOTE_READ), 1);
    CHECK_EQ(remote_check(&f, &place, expected, PAGE + 2, birth.key, REMOTE_READ), 0);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, memory, &iova, ALL_ACCESS, &mr, &birth), 0);
    check_birth(mr, &birth);
    CHECK_EQ(birth.start, expected + 3 * PAGE); /* two pages, and a gap of one page */
    CHECK_EQ(birth.iova, iova);
    CHECK_EQ(remote_check(&f, &place, iova, PAGE + 1, birth.key, REMOTE_READ), 1);
    /* rvt_pick_user_start uses the same sequence of addresses. */
    CHECK_EQ(rvt_pick_user_start(f.device, 1, &start), 0);
    CHECK_EQ(start, expected + 6 * PAGE);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, memory, NULL, 0, &mr, NULL), 0);
    CHECK_EQ(fixture_query(mr).start, start + 2 * PAGE);
    rvt_memory_put(memory);
    fixture_close(&f);
}

/* A failed call changes nothing, neither in the key table nor the next address. */
static void a_failed_reg_user_mr_anywhere_changes_nothing(void) {
    struct fixture f;
    struct rvt_mr_handle mr;
    struct rvt_mr_birth birth;
    const uint64_t too_high = UINT64_MAX - 10;
    struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE), *none = rvt_fixed_memory(bytes, 0),
                      *many_pages = rvt_fixed_memory(bytes, (UINT64_C(1) << 44) + 1),
                      *all = rvt_fixed_memory(bytes, UINT64_MAX);
    REQUIRE(fixture_open(&f, 1));
    uint64_t start = next_start(&f);
    CHECK_EQ(rvt_reg_user_mr_anywhere((struct rvt_pd_handle){0}, memory, NULL, 0, &mr, &birth), -RVT_EBADF);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, none, NULL, 0, &mr, &birth), -RVT_EINVAL);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, many_pages, NULL, 0, &mr, &birth), -RVT_EINVAL);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, all, NULL, 0, &mr, &birth), -RVT_EINVAL);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, memory, &too_high, 0, &mr, &birth), -RVT_EINVAL);
    CHECK_EQ(next_start(&f), start);
    fixture_reg(&f, bytes, 1, 0, 0, 0);
    fixture_reg(&f, bytes, 1, 0, 0, 0);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, memory, NULL, 0, &mr, &birth), -RVT_ENOMEM); /* no free slot */
    CHECK_EQ(next_start(&f), start);
    CHECK_EQ(atomic_load(&memory->references), 1);
    fixture_close(&f);
    /* No addresses are left. */
    REQUIRE(fixture_open(&f, 1));
    start = next_start(&f);
    CHECK_EQ(rvt_pick_user_start(f.device, UINT64_MAX - 3 * PAGE - start, &start), 0);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.pd, memory, NULL, 0, &mr, &birth), -RVT_EINVAL);
    CHECK_EQ(fixture_head(f.device).used, 0);
    CHECK_EQ(rvt_dealloc_pd(f.other_pd, true), 0);
    CHECK_EQ(rvt_reg_user_mr_anywhere(f.other_pd, memory, NULL, 0, &mr, &birth), -RVT_EBADF);
    fixture_close(&f);
    rvt_memory_put(memory);
    rvt_memory_put(none);
    rvt_memory_put(many_pages);
    rvt_memory_put(all);
}

static void prepare_anywhere(struct fixture *f) {
    f->memory = rvt_fixed_memory(bytes, PAGE);
}

static int register_anywhere(struct fixture *f) {
    uint64_t start = next_start(f);
    int error = rvt_reg_user_mr_anywhere(f->pd, f->memory, NULL, 0, &f->mr2, NULL);
    CHECK_EQ(next_start(f) != start, !error);
    return error;
}

static void reg_user_mr_anywhere_fails_cleanly_without_memory(void) {
    each_allocation_fails(prepare_anywhere, register_anywhere, 1);
}

/* --- finding handles by index and generation --- */

static void finds(struct fixture *f, uint32_t index, uint64_t generation, struct rvt_mr_handle should) {
    struct rvt_mr_handle found = rvt_mr_find(f->device, index, generation);
    CHECK_PTR_EQ(found.mr, should.mr);
    CHECK_EQ(found.generation, should.generation);
}

static void regions_are_found_by_index_and_generation(void) {
    struct fixture f;
    struct rvt_sge sge;
    const struct rvt_mr_handle none = {NULL, 0};
    REQUIRE(fixture_open(&f, 10));
    finds(&f, 0, 0, none); /* no region was ever made */
    finds(&f, 0, 1, none);
    finds(&f, UINT32_MAX, 1, none);
    static struct rvt_mr_handle mr[300];
    for (uint32_t i = 0; i < 300; i++) {
        mr[i] = i % 2 ? fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, 0) : fixture_fmr(&f, 0, 1, 12);
        for (uint32_t k = 0; k <= i; k += 37)
            finds(&f, mr[k].mr->owned.object.index, mr[k].generation, mr[k]);
    }
    const uint32_t count = atomic_load(&f.device->kinds.slots[RVT_RESOURCE_MR].pool.count);
    CHECK(count > 300);            /* the pool allocates several objects at a time */
    finds(&f, count - 1, 1, none); /* the object exists, but was never used */
    finds(&f, count, 1, none);
    const uint32_t index = mr[1].mr->owned.object.index;
    uint64_t generation = mr[1].generation;
    finds(&f, index, generation + 1, none);
    finds(&f, index, generation - 1, none);
    /* For an earlier or later generation of the object: returns a handle, but it is not live. */
    const struct rvt_mr_handle later = {mr[1].mr, generation + 2};
    finds(&f, index, generation + 2, later);
    CHECK(!rvt_mr_live(later));
    finds(&f, index, 0, none);
    /* A region whose dereg returned -EBUSY is found. A deregistered one is found, too, but is not live. The
     * generation after its end finds nothing. */
    CHECK_EQ(local(&f, &sge, 0x1000, 8, fixture_key(mr[1]), 0), 1);
    CHECK_EQ(rvt_dereg_mr(mr[1], RVT_RELEASE), -RVT_EBUSY);
    finds(&f, index, generation, mr[1]);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dereg_mr(rvt_mr_find(f.device, index, generation), RVT_RELEASE), 0);
    finds(&f, index, generation, mr[1]);
    CHECK(!rvt_mr_live(rvt_mr_find(f.device, index, generation)));
    finds(&f, index, generation + 1, none);
    CHECK_EQ(rvt_dereg_mr(rvt_mr_find(f.device, index, generation), RVT_RELEASE), -RVT_EBADF);
    /* The next region in the same object has its own generation. */
    struct rvt_mr_handle next = fixture_mem_reg(&f, 1);
    CHECK_PTR_EQ(next.mr, mr[1].mr);
    finds(&f, index, generation, mr[1]);
    CHECK(!rvt_mr_live(mr[1]));
    finds(&f, index, next.generation, next);
    /* After the device closed, handles are found but not live, as long as the device is referenced. */
    rvt_dev_get(f.device);
    CHECK_EQ(rvt_mr_exit(f.device, true, NULL), 0);
    finds(&f, index, next.generation, next);
    CHECK(!rvt_mr_live(next));
    CHECK(!rvt_mr_live(rvt_mr_find(f.device, mr[0].mr->owned.object.index, mr[0].generation)));
    rvt_dev_put(f.device);
    rvt_dev_put(f.device);
    rvt_reader_unregister(f.reader);
    CHECK_EQ(rvt_test_alloc_live(), f.live);
}

/* --- deregistering a list with a single wait --- */

static bool half_dead(struct rvt_mr_handle mr) {
    return fixture_query(mr).half_dead;
}

static void dereg_mrs_waits_once_for_the_whole_list(void) {
    struct fixture f;
    struct rvt_mr_handle none;
    for (int mode = RVT_RELEASE; mode <= RVT_RELEASE_FORCE; mode++) {
        REQUIRE(fixture_open(&f, 6));
        const enum rvt_release_mode how = (enum rvt_release_mode)mode;
        CHECK_EQ(rvt_dereg_mrs(f.pd, &none, 0, how), 0); /* an empty list succeeds */
        struct rvt_mr_handle dma, gone = fixture_mem_reg(&f, 1);
        CHECK_EQ(rvt_dereg_mr(gone, RVT_RELEASE), 0);
        CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
        struct rvt_mr_handle user = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, 0),
                             sg = fixture_mem_reg(&f, 1), fmr = fixture_fmr(&f, 0, 1, 12),
                             stays = fixture_mem_reg(&f, 1);
        /* Every kind of region, some of them twice, and one that was deregistered before. */
        const struct rvt_mr_handle list[] = {user, fmr, gone, dma, user, sg, gone, fmr};
        const uint64_t before = atomic_load(&rvt_epoch_now);
        CHECK_EQ(rvt_dereg_mrs(f.pd, list, 8, how), 0);
        /* One wait advances the epoch once; retiring would advance it, too. */
        CHECK_EQ(atomic_load(&rvt_epoch_now) - before, 1);
        CHECK(fixture_dead(user) && fixture_dead(fmr) && fixture_dead(dma) && fixture_dead(sg));
        CHECK_EQ(fixture_refs(stays), 2);
        CHECK_EQ(f.pd.pd->children, 2); /* the queue pair and the region `stays` are left */
        CHECK_EQ(fixture_head(f.device).used, 1);
        CHECK(!rvt_reclaim_pending(&f.device->retirement));
        /* Regions that are already deregistered are no error. */
        CHECK_EQ(rvt_dereg_mrs(f.pd, list, 8, how), 0);
        fixture_close(&f);
    }
}

/* Longer than the number of regions released under one lock. Some are held, some listed twice. */
static void dereg_mrs_accepts_long_lists(void) {
    enum { LONG = 100 };
    struct fixture f;
    static struct rvt_mr_handle list[2 * LONG];
    static struct rvt_sge sge[LONG];
    struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE);
    REQUIRE(fixture_open(&f, 8));
    for (int i = 0; i < LONG; i++) {
        CHECK_EQ(rvt_reg_user_mr(f.pd, memory, 0x1000, 0x1000, 0, &list[i]), 0);
        list[LONG + i] = list[i / 2];
        if (i % 7 == 0)
            CHECK_EQ(local(&f, &sge[i], 0x1000, 8, fixture_key(list[i]), 0), 1);
    }
    CHECK_EQ(atomic_load(&memory->references), 1 + LONG);
    CHECK_EQ(rvt_dereg_mrs(f.pd, list, 2 * LONG, RVT_RELEASE), -RVT_EBUSY);
    uint32_t held = 0;
    for (int i = 0; i < LONG; i++) {
        CHECK_EQ(fixture_dead(list[i]), i % 7 != 0);
        held += i % 7 == 0;
        if (i % 7 == 0)
            rvt_put_sge(&sge[i]);
    }
    CHECK_EQ(atomic_load(&memory->references), 1 + held);
    CHECK_EQ(rvt_dereg_mrs(f.pd, list, 2 * LONG, RVT_RELEASE), 0);
    CHECK_EQ(atomic_load(&memory->references), 1);
    CHECK(!rvt_reclaim_pending(&f.device->retirement));
    fixture_close(&f);
    rvt_memory_put(memory);
}

static void dereg_mrs_is_busy_while_listed_regions_are_held(void) {
    struct fixture f;
    struct rvt_sge sge[3];
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, PAGE, 0x10000);
    struct rvt_mr_handle list[4] = {
        fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, 0), fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, 0),
        fixture_fmr(&f, 0, 1, 12), fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, 0)};
    CHECK_EQ(rvt_map_phys_fmr(list[2], (uint64_t[]){0x10000}, 1, 0x1000), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(local(&f, &sge[i], 0x1000, 8, fixture_key(list[i]), 0), 1);
    for (int mode = RVT_RELEASE; mode <= RVT_RELEASE_AWAIT; mode++) {
        CHECK_EQ(rvt_dereg_mrs(f.pd, list, 4, (enum rvt_release_mode)mode), -RVT_EBUSY);
        CHECK(fixture_dead(list[3])); /* the region that no SGE held */
        for (int i = 0; i < 3; i++) {
            CHECK(half_dead(list[i]));
            CHECK_EQ(usable(&f, &sge[i]), RVT_REASON_NONE);
        }
    }
    rvt_put_sge(&sge[0]);
    CHECK_EQ(rvt_dereg_mrs(f.pd, list, 4, RVT_RELEASE), -RVT_EBUSY);
    CHECK(fixture_dead(list[0]) && half_dead(list[1]) && half_dead(list[2]));
    rvt_put_sge(&sge[2]);
    CHECK_EQ(rvt_dereg_mrs(f.pd, list, 4, RVT_RELEASE_FORCE), 0);
    CHECK(fixture_dead(list[1]) && fixture_dead(list[2]));
    CHECK_EQ(usable(&f, &sge[1]), RVT_REGION_REVOKED);
    rvt_put_sge(&sge[1]);
    CHECK_EQ(f.pd.pd->children, 1);
    fixture_close(&f);
}

static void dereg_mrs_changes_nothing_if_one_handle_is_invalid(void) {
    struct fixture f, other;
    REQUIRE(fixture_open(&f, 4) && fixture_open(&other, 4));
    struct rvt_mr_handle own = fixture_reg(&f, bytes, PAGE, 0x1000, 0x1000, 0), foreign, none = {0},
                         elsewhere = fixture_reg(&other, bytes, PAGE, 0x1000, 0x1000, 0),
                         elsewhere_gone = fixture_mem_reg(&other, 1);
    CHECK_EQ(rvt_dereg_mr(elsewhere_gone, RVT_RELEASE), 0);
    foreign = fixture_reg_in(f.other_pd, bytes, PAGE, 0x1000, 0x1000, 0);
    const struct rvt_mr_handle wrong[] = {foreign, none, elsewhere, elsewhere_gone};
    for (int mode = RVT_RELEASE; mode <= RVT_RELEASE_FORCE; mode++) {
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
            const enum rvt_release_mode how = (enum rvt_release_mode)mode;
            CHECK_EQ(rvt_dereg_mrs(f.pd, (struct rvt_mr_handle[]){own, wrong[i]}, 2, how), -RVT_EINVAL);
            CHECK_EQ(rvt_dereg_mrs(f.pd, (struct rvt_mr_handle[]){wrong[i], own}, 2, how), -RVT_EINVAL);
            CHECK_EQ(fixture_refs(own), 2);
            CHECK_EQ(fixture_refs(foreign), 2);
            CHECK_EQ(fixture_refs(elsewhere), 2);
            CHECK(!half_dead(own) && !half_dead(foreign) && !half_dead(elsewhere));
        }
    }
    /* A handle of another domain's region is accepted if the region is already deregistered. */
    CHECK_EQ(rvt_dereg_mr(foreign, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dereg_mrs(f.pd, &foreign, 1, RVT_RELEASE), 0);
    /* The handle of a closed domain, and a handle that never named a domain. */
    struct rvt_pd_handle dead, no_pd = {0};
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &dead), 0);
    CHECK_EQ(rvt_dealloc_pd(dead, false), 0);
    CHECK_EQ(rvt_dereg_mrs(dead, &own, 1, RVT_RELEASE_FORCE), -RVT_EBADF);
    CHECK_EQ(rvt_dereg_mrs(dead, &own, 0, RVT_RELEASE_FORCE), -RVT_EBADF);
    CHECK_EQ(rvt_dereg_mrs(no_pd, &own, 1, RVT_RELEASE_FORCE), -RVT_EBADF);
    CHECK_EQ(fixture_refs(own), 2);
    fixture_close_one(&other);
    fixture_close(&f);
}

static void find_mr_place_reports_memory_and_address(void) {
    static unsigned char bytes[3 * PAGE];
    struct fixture f;
    struct rvt_mr_place place;
    struct rvt_mr_handle sg;
    struct rvt_sg_outcome outcome;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, 100, 0x5000, 0x6000, REMOTE_READ);
    CHECK_EQ(rvt_find_mr_place(mr, &place), 0);
    CHECK_EQ(place.memory.kind, RVT_MEMORY_KIND_OTHER);
    CHECK_EQ(place.pd, rvt_pd_serial(f.pd));
    CHECK_EQ(place.length, 100);
    CHECK_EQ(place.remote_address, 0x6000);
    CHECK_EQ(place.access, REMOTE_READ);
    CHECK_EQ(place.key, fixture_key(mr));
    CHECK_EQ(place.kind, RVT_MR_USER);
    CHECK(place.works);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, fixture_key(mr)), 0);
    CHECK_EQ(rvt_find_mr_place(mr, &place), 0);
    CHECK(!place.works);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_find_mr_place(mr, &place), -RVT_EBADF);
    CHECK_EQ(rvt_find_mr_place((struct rvt_mr_handle){NULL, 0}, &place), -RVT_EBADF);

    /* A failed rvt_fast_reg_mr stores its iova; checks continue to use the one before. */
    fixture_dma(&f, bytes, 3 * PAGE, 0x40000);
    CHECK_EQ(rvt_alloc_mr(f.pd, RVT_MR_TYPE_MEM_REG, 9, &sg), 0);
    CHECK_EQ(rvt_map_mr_sg(sg, &(struct rvt_sg_element){0x40000, 2 * PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, sg, fixture_key(sg), REMOTE_WRITE, &(uint64_t){0x9000}), 0);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, sg, fixture_key(sg) ^ 0x100, 0, &(uint64_t){0xb000}), -RVT_EINVAL);
    struct rvt_mr_attributes attributes;
    CHECK_EQ(rvt_query_mr(sg, &attributes), 0);
    CHECK_EQ(rvt_find_mr_place(sg, &place), 0);
    CHECK_EQ(attributes.iova, 0xb000);
    CHECK_EQ(place.remote_address, 0x9000);
    CHECK_EQ(place.length, 2 * PAGE);
    CHECK_EQ(place.memory.kind, RVT_MEMORY_KIND_NONE);
    CHECK(place.works);
    fixture_close(&f);
}

CHECK_MAIN(TEST(reg_user_mr_checks_its_ranges), TEST(arguments_are_checked_before_free_slots),
           TEST(a_new_user_region_has_its_attributes), TEST(a_new_mem_reg_region_is_unmapped),
           TEST(alloc_mr_refuses_other_types_and_large_sizes),
           TEST(dma_regions_take_no_slot_and_need_a_kernel_domain), TEST(region_ids_are_unique),
           TEST(handles_of_closed_objects_are_refused), TEST(releases_refuse_the_other_kinds_of_region),
           TEST(release_mr_ends_regions_of_every_kind),
           TEST(a_large_user_region_allocates_no_more_than_a_small_one),
           TEST(registrations_fail_cleanly_without_memory), TEST(a_failed_registration_leaves_no_child),
           TEST(counting_begins_with_count_mr), TEST(a_registration_reports_id_key_and_addresses),
           TEST(reg_user_mr_anywhere_chooses_an_address), TEST(a_failed_reg_user_mr_anywhere_changes_nothing),
           TEST(reg_user_mr_anywhere_fails_cleanly_without_memory),
           TEST(regions_are_found_by_index_and_generation), TEST(dereg_mrs_waits_once_for_the_whole_list),
           TEST(dereg_mrs_accepts_long_lists), TEST(dereg_mrs_is_busy_while_listed_regions_are_held),
           TEST(dereg_mrs_changes_nothing_if_one_handle_is_invalid),
           TEST(find_mr_place_reports_memory_and_address))
