/* SPDX-License-Identifier: BSD-3-Clause */
/* Failure causes that JavaScript cannot provoke. test/api/errors.test.ts covers the others. */
#include "core/objects/device_memory.h"
#include "core/objects/dma.h"
#include "core/objects/mr.h"
#include "fixture.h"

static alignas(4096) unsigned char bytes[2 * PAGE];

/* Checks that the verb returned `-error` and reported this cause, value and limit. */
#define FAILS(answer, error, expected, value, limit)                                                         \
    do {                                                                                                     \
        struct rvt_failure why;                                                                              \
        rvt_take_failure(&why);                                                                              \
        CHECK_EQ((answer), -(error));                                                                        \
        rvt_take_failure(&why);                                                                              \
        CHECK_EQ(why.numbers[RVT_FAILURE_ERROR], (error));                                                   \
        CHECK_EQ(why.numbers[RVT_FAILURE_CAUSE], (expected));                                                \
        CHECK_EQ(why.numbers[RVT_FAILURE_VALUE], (value));                                                   \
        CHECK_EQ(why.numbers[RVT_FAILURE_LIMIT], (limit));                                                   \
    } while (0)

static void a_range_larger_than_any_buffer_reports_its_cause(void) {
    struct fixture f;
    if (!fixture_open(&f, 4))
        return;
    uint64_t pages = UINT64_C(1) << 32;
    FAILS(rvt_reg_user_mr_test(f.pd, 0, pages * PAGE, 0), RVT_EINVAL, RVT_CAUSE_TOO_MANY_PAGES, pages,
          UINT32_MAX);
    FAILS(rvt_reg_user_mr_test(f.pd, 0, UINT64_MAX, 0), RVT_EINVAL, RVT_CAUSE_START_TOO_HIGH, 0, 0);
    uint64_t start;
    f.device->next_user_start = UINT64_MAX - PAGE;
    FAILS(rvt_pick_user_start(f.device, 8, &start), RVT_EINVAL, RVT_CAUSE_ADDRESSES_USED_UP, 8, 0);
    struct rvt_memory *memory = rvt_fixed_memory(bytes, sizeof(bytes));
    REQUIRE(memory);
    uint64_t address = (UINT64_MAX - PAGE + 1) & ~(uint64_t)(PAGE - 1);
    struct rvt_dma_handle mapping, none;
    memory->length = PAGE;
    CHECK_EQ(rvt_dma_map(f.device, NULL, memory, true, &address, &mapping), 0);
    f.device->dma.next_address = address;
    FAILS(rvt_dma_map(f.device, NULL, memory, false, &address, &none), RVT_EINVAL,
          RVT_CAUSE_DMA_ADDRESSES_USED_UP, PAGE, 0);
    CHECK_EQ(rvt_dma_unmap(mapping), 0);
    FAILS(rvt_dma_unmap(mapping), RVT_EBADF, RVT_CAUSE_MAPPING_GONE, 0, 0);
    FAILS(rvt_dma_unmap((struct rvt_dma_handle){0}), RVT_EBADF, RVT_CAUSE_MAPPING_GONE, 0, 0);
    rvt_memory_put(memory);
    struct rvt_device_memory *dm;
    FAILS(rvt_alloc_device_memory(f.device, NULL, 0, false, &dm), RVT_EINVAL, RVT_CAUSE_NO_BYTES, 0, 0);
    fixture_close(&f);
}

static void a_handle_of_the_wrong_kind_reports_its_cause(void) {
    struct fixture f;
    if (!fixture_open(&f, 4))
        return;
    struct rvt_mr_handle user = fixture_reg(&f, bytes, 8, 0x1000, 0x1000, 0);
    struct rvt_mr_handle fmr = fixture_fmr(&f, 0, 1, RVT_PAGE_SHIFT);
    FAILS(rvt_dereg_mr(fmr, RVT_RELEASE), RVT_EINVAL, RVT_CAUSE_REGION_KIND, RVT_MR_FMR, 0);
    FAILS(rvt_dealloc_fmr(user, RVT_RELEASE), RVT_EINVAL, RVT_CAUSE_REGION_KIND, RVT_MR_USER, 0);
    FAILS(rvt_map_phys_fmr(user, (uint64_t[]){0}, 1, 0), RVT_EINVAL, RVT_CAUSE_REGION_KIND, RVT_MR_USER, 0);
    FAILS(rvt_unmap_fmr(&user, 1), RVT_EINVAL, RVT_CAUSE_REGION_KIND, RVT_MR_USER, 0);
    FAILS(rvt_dereg_mrs(f.pd, &(struct rvt_mr_handle){0}, 1, RVT_RELEASE), RVT_EINVAL,
          RVT_CAUSE_LISTED_NO_REGION, 0, 0);
    struct rvt_sg_outcome outcome;
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 1);
    FAILS(rvt_map_mr_sg(mr, NULL, UINT32_MAX, 0, PAGE, &outcome), RVT_EINVAL, RVT_CAUSE_LIST_TOO_LONG,
          UINT32_MAX, RVT_MAX_SG_ELEMENTS);
    FAILS(rvt_query_mr((struct rvt_mr_handle){0}, NULL), RVT_EBADF, RVT_CAUSE_REGION_GONE, 0, 0);
    fixture_close(&f);
}

static void a_full_reference_count_reports_its_cause(void) {
    struct fixture f;
    if (!fixture_open(&f, 4))
        return;
    struct rvt_dma_handle mapping = fixture_dma(&f, bytes, PAGE, 0x10000);
    struct rvt_mr_handle fmr = fixture_fmr(&f, LOCAL_WRITE, 1, RVT_PAGE_SHIFT);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000}, 1, 0x1000), 0);
    struct rvt_sge sge;
    atomic_fetch_or(&fmr.mr->word, RVT_MR_HELD_MASK);
    FAILS(local(&f, &sge, 0x1000, 8, fixture_key(fmr), 0), RVT_ENOMEM, RVT_CAUSE_HELD_TOO_OFTEN, 0,
          UINT32_MAX);
    FAILS(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000}, 1, 0x1000), RVT_EBUSY, RVT_CAUSE_FMR_HELD,
          RVT_MR_HELD_MASK, 0);
    atomic_fetch_and(&fmr.mr->word, ~(uint64_t)RVT_MR_HELD_MASK);
    CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dma_unmap(mapping), 0);
    fixture_close(&f);
}

static void dropping_a_context_keeps_the_reported_cause(void) {
    struct fixture first, second;
    if (!fixture_open_joined(&first, 4) || !fixture_join(&second, first.device))
        return;
    struct rvt_pd_handle pd;
    rvt_fail_value(RVT_EINVAL, RVT_CAUSE_UNKNOWN_KEY, 7, 0);
    rvt_drop_ucontext(second.context);
    rvt_drop_ucontext(second.context); /* no effect: the context is already closed */
    struct rvt_failure why;
    rvt_take_failure(&why);
    CHECK_EQ(why.numbers[RVT_FAILURE_CAUSE], RVT_CAUSE_UNKNOWN_KEY);
    FAILS(rvt_alloc_pd(first.device, second.context, false, &pd), RVT_EBADF, RVT_CAUSE_DETACHED, 0, 0);
    fixture_leave(&second);
    fixture_leave_last(&first, &first);
}

/* The count includes slices that no region holds any more but a reader may still use. */
static void freeing_device_memory_reports_its_users(void) {
    struct fixture f;
    if (!fixture_open(&f, 4))
        return;
    struct rvt_device_memory *dm;
    CHECK_EQ(rvt_alloc_device_memory(f.device, NULL, PAGE, false, &dm), 0);
    struct rvt_memory *slice = rvt_device_memory_slice(dm, 0, 8);
    struct rvt_mr_handle mr;
    CHECK_EQ(rvt_reg_user_mr(f.pd, slice, 0, 0, 0, &mr), 0);
    struct rvt_memory *other = rvt_device_memory_slice(dm, 8, 8);
    struct rvt_failure why;
    CHECK_EQ(rvt_free_device_memory(f.device, NULL, dm), -RVT_EBUSY);
    rvt_take_failure(&why);
    CHECK_EQ(why.numbers[RVT_FAILURE_CAUSE], RVT_CAUSE_MEMORY_IN_USE);
    CHECK_EQ(why.numbers[RVT_FAILURE_VALUE], 1);
    CHECK_EQ(why.numbers[RVT_FAILURE_COUNTS + RVT_RESOURCE_MR], 1);
    CHECK_EQ(why.numbers[RVT_FAILURE_COUNTS + RVT_RESOURCE_DMA], 0);
    rvt_memory_put(other);
    rvt_memory_put(slice);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_free_device_memory(f.device, NULL, dm), 0);
    FAILS(rvt_free_device_memory(f.device, NULL, dm), RVT_EBADF, RVT_CAUSE_MEMORY_FREED, 0, 0);
    rvt_memory_put(&dm->memory);
    fixture_close(&f);
}

CHECK_MAIN(TEST(a_range_larger_than_any_buffer_reports_its_cause),
           TEST(a_handle_of_the_wrong_kind_reports_its_cause), TEST(a_full_reference_count_reports_its_cause),
           TEST(dropping_a_context_keeps_the_reported_cause), TEST(freeing_device_memory_reports_its_users))
