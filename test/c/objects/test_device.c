/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/device.h"

#include <pthread.h>

#include "fixture.h"

static alignas(4096) unsigned char bytes[4 * PAGE];

static void the_table_size_is_checked_and_limited_to_23_bits(void) {
    static const struct {
        uint32_t asked, got;
    } rows[] = {{1, 1}, {16, 16}, {22, 22}, {23, 23}, {24, 23}, {32, 23}, {UINT32_MAX, 23}};
    long live = rvt_test_alloc_live();
    struct rvt_dev_info *device = NULL;
    CHECK_EQ(rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 0}, &device), -RVT_EINVAL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rvt_device_options options = {.lkey_table_bits = rows[i].asked};
        REQUIRE(rvt_driver_mr_init(&options, &device) == 0);
        CHECK_EQ(device->lkey_table.bits, rows[i].got);
        struct rvt_table_head head = fixture_head(device);
        CHECK_EQ(head.max, 1u << rows[i].got);
        CHECK_EQ(head.next, 0);
        CHECK_EQ(head.generation, 0);
        CHECK_EQ(head.used, 0);
        bool leaked = true;
        CHECK_EQ(rvt_mr_exit(device, false, &leaked), 0);
        CHECK(!leaked);
        rvt_dev_put(device);
    }
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void opening_a_device_fails_cleanly_without_memory(void) {
    long live = rvt_test_alloc_live();
    int failures = 0;
    for (long n = 0;; n++) {
        struct rvt_dev_info *device = NULL;
        rvt_test_alloc_fail_after(n);
        int error = rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 7}, &device);
        bool failed = rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        CHECK_EQ(error, failed ? -RVT_ENOMEM : 0);
        if (!error) {
            CHECK_EQ(rvt_mr_exit(device, false, NULL), 0);
            rvt_dev_put(device);
        }
        CHECK_EQ(rvt_test_alloc_live(), live);
        if (!failed)
            break;
        failures++;
    }
    CHECK_EQ(failures, 2); /* two allocations: the device and its key table */
}

/* Uses a device with every kind of object. A call whose allocation fails returns -ENOMEM, and the rest
 * continues. */
static void use_a_device(void) {
    struct rvt_reader *reader = rvt_reader_register();
    struct rvt_dev_info *device = NULL;
    if (!reader || rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 3}, &device)) {
        rvt_reader_unregister(reader);
        return;
    }
    struct rvt_pd_handle pd = {0};
    struct rvt_qp_handle qp = {0};
    struct rvt_mr_handle user = {0}, dma_mr = {0}, sg = {0}, fmr = {0};
    struct rvt_dma_handle dma = {0};
    struct rvt_memory *memory = rvt_fixed_memory(bytes, sizeof(bytes));
    struct rvt_sg_outcome outcome;
    uint64_t address = 0x10000, pages[2] = {0x10000, 0x12000};
    int error;
    error = rvt_alloc_pd(device, NULL, false, &pd);
    CHECK(error == 0 || error == -RVT_ENOMEM);
    error = pd.pd ? rvt_create_check_qp(pd, &qp) : 0;
    CHECK(error == 0 || error == -RVT_ENOMEM);
    if (memory) {
        error = rvt_dma_map(device, NULL, memory, true, &address, &dma);
        CHECK(error == 0 || error == -RVT_ENOMEM);
    }
    if (pd.pd) {
        error = memory ? rvt_reg_user_mr(pd, memory, 0x5000, 0x7000, ALL_ACCESS, &user) : 0;
        CHECK(error == 0 || error == -RVT_ENOMEM);
        error = rvt_get_dma_mr(pd, 0, &dma_mr);
        CHECK(error == 0 || error == -RVT_ENOMEM);
        error = rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 4, &sg);
        CHECK(error == 0 || error == -RVT_ENOMEM);
        error = rvt_alloc_fmr(pd, ALL_ACCESS, &(struct rvt_fmr_attr){4, 1, 12}, &fmr);
        CHECK(error == 0 || error == -RVT_ENOMEM);
    }
    if (sg.mr && dma.map) {
        struct rvt_sg_element list[] = {{0x10000, PAGE}, {0x11000, PAGE}};
        error = rvt_map_mr_sg(sg, list, 2, 0, PAGE, &outcome);
        CHECK(error == 2 || error == -RVT_ENOMEM);
        error = qp.qp ? rvt_fast_reg_mr(qp, sg, fixture_key(sg), ALL_ACCESS, NULL) : 0;
        CHECK_EQ(error, 0);
    }
    if (fmr.mr && dma.map) {
        error = rvt_map_phys_fmr(fmr, pages, 2, 0x9000);
        CHECK(error == 0 || error == -RVT_ENOMEM);
    }
    struct rvt_sge sge = {0};
    enum rvt_reason reason;
    if (user.mr) {
        rvt_read_enter(reader, &device->retirement);
        struct rvt_ib_sge wanted = {0x5000, 100, fixture_key(user)};
        CHECK_EQ(rvt_lkey_ok(pd, &sge, NULL, &wanted, LOCAL_WRITE, &reason), 1);
        rvt_read_leave(reader, &device->retirement);
    }
    /* Closing releases everything that is left. An SGE may still be put afterwards. */
    bool leaked = false;
    CHECK_EQ(rvt_mr_exit(device, true, &leaked), 0);
    CHECK_EQ(leaked, dma_mr.mr != NULL);
    CHECK(!rvt_reclaim_pending(&device->retirement));
    rvt_put_sge(&sge);
    if (memory)
        rvt_memory_put(memory);
    rvt_dev_put(device);
    rvt_reader_unregister(reader);
}

static void devices_close_cleanly_when_any_allocation_fails(void) {
    long live = rvt_test_alloc_live();
    int failures = 0;
    for (long n = 0;; n++) {
        rvt_test_alloc_fail_after(n);
        use_a_device();
        bool failed = rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        CHECK_EQ(rvt_test_alloc_live(), live);
        if (!failed)
            break;
        failures++;
    }
    CHECK(failures > 15);
}

static void exit_without_cascade_is_busy_while_objects_exist(void) {
    long live = rvt_test_alloc_live();
    struct rvt_dev_info *device;
    struct rvt_pd_handle pd;
    REQUIRE(rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 4}, &device) == 0);
    REQUIRE(rvt_alloc_pd(device, NULL, false, &pd) == 0);
    CHECK_EQ(rvt_mr_exit(device, false, NULL), -RVT_EBUSY);
    struct rvt_mr_handle mr; /* nothing has changed: the domain still works */
    CHECK_EQ(rvt_alloc_mr(pd, RVT_MR_TYPE_MEM_REG, 0, &mr), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);

    struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE);
    struct rvt_dma_handle dma;
    uint64_t address;
    REQUIRE(memory && rvt_dma_map(device, NULL, memory, false, &address, &dma) == 0);
    CHECK_EQ(rvt_mr_exit(device, false, NULL), -RVT_EBUSY);
    CHECK_EQ(rvt_dma_unmap(dma), 0);
    CHECK_EQ(rvt_mr_exit(device, false, NULL), 0);
    CHECK_EQ(rvt_mr_exit(device, false, NULL), -RVT_EBADF);
    CHECK_EQ(rvt_mr_exit(device, true, NULL), -RVT_EBADF);

    /* The device is closed, but its structure still exists for its holder. */
    struct rvt_pd_handle later;
    CHECK_EQ(rvt_alloc_pd(device, NULL, false, &later), -RVT_EBADF);
    CHECK_EQ(rvt_dma_map(device, NULL, memory, false, &address, &dma), -RVT_EBADF);
    rvt_memory_put(memory);
    rvt_dev_put(device);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void exit_with_cascade_closes_every_object(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_dma_handle dma = fixture_dma(&f, bytes, sizeof(bytes), 0x10000);
    struct rvt_mr_handle user = fixture_reg(&f, bytes, sizeof(bytes), 0x5000, 0x5000, ALL_ACCESS);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 4, 12), sg = fixture_mem_reg(&f, 4), dma_mr, half;
    struct rvt_sg_outcome outcome;
    uint64_t page = 0x10000;
    CHECK_EQ(rvt_get_dma_mr(f.other_pd, 0, &dma_mr), 0);
    CHECK_EQ(rvt_map_phys_fmr(fmr, &page, 1, 0), 0);
    CHECK_EQ(rvt_map_mr_sg(sg, &(struct rvt_sg_element){0x11000, PAGE}, 1, 0, PAGE, &outcome), 1);
    half = fixture_reg(&f, bytes, sizeof(bytes), 0x5000, 0x5000, ALL_ACCESS);
    struct rvt_sge held[5];
    CHECK_EQ(local(&f, &held[0], 0x5000, 16, fixture_key(user), LOCAL_WRITE), 1);
    CHECK_EQ(local(&f, &held[1], 0, 16, fixture_key(fmr), LOCAL_WRITE), 1);
    CHECK_EQ(local(&f, &held[2], 0x11000, 16, fixture_key(sg), 0), 1);
    CHECK_EQ(local(&f, &held[3], 0x12000, 16, 0, LOCAL_WRITE), 1);
    CHECK_EQ(local(&f, &held[4], 0x5000, 16, fixture_key(half), LOCAL_WRITE), 1);
    CHECK_EQ(rvt_dereg_mr(half, RVT_RELEASE), -RVT_EBUSY);

    bool leaked = false;
    CHECK_EQ(rvt_mr_exit(f.device, false, &leaked), -RVT_EBUSY);
    CHECK_EQ(usable(&f, &held[0]), RVT_REASON_NONE);
    CHECK_EQ(rvt_mr_exit(f.device, true, &leaked), 0);
    CHECK(leaked);
    CHECK(fixture_dead(user) && fixture_dead(fmr) && fixture_dead(sg) && fixture_dead(dma_mr) &&
          fixture_dead(half));
    CHECK_EQ(rvt_dma_unmap(dma), -RVT_EBADF);
    CHECK_EQ(rvt_destroy_qp(f.qp), -RVT_EBADF);
    CHECK_EQ(rvt_dealloc_pd(f.pd, true), -RVT_EBADF);
    struct rvt_sge sge;
    CHECK_EQ(local(&f, &sge, 0x5000, 16, 0x100, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_CLOSED);
    CHECK_EQ(remote(&f, &sge, 0x5000, 16, 0x100, 0), 0);
    CHECK_EQ(f.reason, RVT_CLOSED);
    unsigned char out[16];
    struct rvt_copied copied;
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(usable(&f, &held[i]), RVT_REGION_REVOKED);
        CHECK_EQ(get_bytes(&f, &held[i], out, 16, &copied), -RVT_EACCES);
        CHECK_EQ(copied.reason, RVT_REGION_REVOKED);
        CHECK_EQ(copied.bytes, 0);
        rvt_put_sge(&held[i]);
    }
    rvt_dev_put(f.device);
    rvt_reader_unregister(f.reader);
    CHECK_EQ(rvt_test_alloc_live(), f.live);
}

static void the_leak_report_covers_only_the_region_of_key_zero(void) {
    static const struct {
        bool second_pd;     /* create a second DMA region, which key 0 does not use */
        bool release_first; /* deregister the region that key 0 uses */
        bool hold_first;    /* while an SGE holds the region, so that dereg returns -EBUSY */
        bool leaked;
    } rows[] = {{false, false, false, true},
                {true, false, false, true},
                {true, true, false, false},
                {false, true, false, false},
                {false, true, true, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct rvt_mr_handle first, second;
        struct rvt_sge sge = {0};
        REQUIRE(fixture_open(&f, 4));
        fixture_dma(&f, bytes, PAGE, 0x10000);
        CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &first), 0);
        if (rows[i].second_pd)
            CHECK_EQ(rvt_get_dma_mr(f.other_pd, 0, &second), 0);
        if (rows[i].hold_first)
            CHECK_EQ(local(&f, &sge, 0x10000, 1, 0, 0), 1);
        if (rows[i].release_first)
            CHECK_EQ(rvt_dereg_mr(first, RVT_RELEASE), rows[i].hold_first ? -RVT_EBUSY : 0);
        bool leaked = !rows[i].leaked;
        CHECK_EQ(rvt_mr_exit(f.device, true, &leaked), 0);
        CHECK_EQ(leaked, rows[i].leaked);
        rvt_put_sge(&sge);
        rvt_dev_put(f.device);
        rvt_reader_unregister(f.reader);
        CHECK_EQ(rvt_test_alloc_live(), f.live);
    }
}

static void the_structure_outlives_the_closed_device(void) {
    long live = rvt_test_alloc_live();
    struct rvt_dev_info *device;
    struct rvt_pd_handle pd;
    REQUIRE(rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 4}, &device) == 0);
    REQUIRE(rvt_alloc_pd(device, NULL, false, &pd) == 0);
    rvt_dev_get(device);
    CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
    rvt_dev_put(device);
    CHECK(rvt_pd_live(pd) == NULL); /* a handle of a closed device can be checked safely */
    CHECK_EQ(rvt_dealloc_pd(pd, false), -RVT_EBADF);
    rvt_dev_put(device);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void picked_address_ranges_do_not_overlap(void) {
    static const uint64_t lengths[] = {1, 4096, 0, 4097, UINT64_C(1) << 40, 5, 8192};
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    uint64_t end = 0;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint64_t start = 0;
        CHECK_EQ(rvt_pick_user_start(f.device, lengths[i], &start), 0);
        CHECK_EQ(start % PAGE, 0);
        CHECK(start >= end);
        CHECK(start != 0);
        end = start + lengths[i] + !lengths[i];
    }
    fixture_close(&f);
}

static void picked_address_ranges_do_not_wrap_around(void) {
    /* However full the address space is, a successful call returns a range below 2^64 that was never returned
     * before. */
    static const uint64_t leave[] = {
        0,        1,        PAGE - 1,  PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE - 1, 3 * PAGE, 3 * PAGE + 1,
        4 * PAGE, 5 * PAGE, 100 * PAGE};
    for (size_t i = 0; i < sizeof(leave) / sizeof(leave[0]); i++) {
        struct fixture f;
        REQUIRE(fixture_open(&f, 4));
        uint64_t first = 0, start = 0;
        CHECK_EQ(rvt_pick_user_start(f.device, 1, &first), 0);
        uint64_t end = first + 1;
        /* One range takes nearly the whole address space; then small ranges take the rest. */
        bool nearly_full =
            rvt_pick_user_start(f.device, UINT64_MAX - (first + 2 * PAGE) - leave[i], &start) == 0;
        if (nearly_full) {
            CHECK(start >= end);
            end = start + (UINT64_MAX - (first + 2 * PAGE) - leave[i]);
            CHECK(end >= start);
        }
        int error = 0;
        for (int k = 0; k < 200 && !error; k++) {
            error = rvt_pick_user_start(f.device, PAGE, &start);
            if (error)
                break;
            CHECK(start >= end);
            end = start + PAGE;
            if (end < start) {
                CHECK(!"the range wraps");
                break;
            }
        }
        if (nearly_full)
            CHECK_EQ(error, -RVT_EINVAL);
        fixture_close(&f);
    }
    struct fixture f;
    uint64_t start = 0;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_pick_user_start(f.device, UINT64_MAX, &start), -RVT_EINVAL);
    CHECK_EQ(rvt_pick_user_start(f.device, 1, &start), 0); /* the refused call reserved no addresses */
    fixture_close(&f);
}

static void *open_and_close(void *argument) {
    for (int i = 0; i < 100; i++) {
        struct fixture f;
        struct rvt_sge sge;
        (void)argument;
        f.device = NULL;
        if (rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 6}, &f.device)) {
            CHECK(!"no device");
            return NULL;
        }
        f.reader = rvt_reader_register();
        CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &f.pd), 0);
        struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x5000, 0, LOCAL_WRITE);
        CHECK_EQ(local(&f, &sge, 0x5000, 16, fixture_key(mr), 0), 1);
        CHECK_EQ(rvt_mr_exit(f.device, true, NULL), 0);
        rvt_put_sge(&sge);
        rvt_dev_put(f.device);
        rvt_reader_unregister(f.reader);
    }
    return NULL;
}

static void devices_of_different_threads_share_nothing(void) {
    long live = rvt_test_alloc_live();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, open_and_close, NULL) == 0);
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

CHECK_MAIN(TEST(the_table_size_is_checked_and_limited_to_23_bits),
           TEST(opening_a_device_fails_cleanly_without_memory),
           TEST(devices_close_cleanly_when_any_allocation_fails),
           TEST(exit_without_cascade_is_busy_while_objects_exist),
           TEST(exit_with_cascade_closes_every_object),
           TEST(the_leak_report_covers_only_the_region_of_key_zero),
           TEST(the_structure_outlives_the_closed_device), TEST(picked_address_ranges_do_not_overlap),
           TEST(picked_address_ranges_do_not_wrap_around), TEST(devices_of_different_threads_share_nothing))
