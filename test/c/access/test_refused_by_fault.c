/* SPDX-License-Identifier: BSD-3-Clause */
/* A device with faults refuses accesses that its rules accept, on every way to judge one. */
#include <string.h>

#include "core/access/batch.h"
#include "core/base/faults.h"
#include "fixture.h"

enum { SGE = 16, START = 0x5000, IOVA = 0x9000 };

static alignas(4096) unsigned char bytes[8 * PAGE];
static unsigned char packed[64 * SGE], more[64 * SGE], data[64 * 64];

static bool open_with(struct fixture *f, struct rvt_fault_rule rule) {
    struct rvt_fault_options faults = {.seed = 3};
    if (!rule.value)
        rule.value = RVT_OUT_OF_BOUNDS;
    faults.rules[RVT_FAULT_REFUSE] = rule;
    return fixture_open_with(
        f, (struct rvt_device_options){.lkey_table_bits = 6, .remote_key_zero = true, .faults = &faults});
}

static uint64_t seen(const struct fixture *f) {
    struct rvt_fault_counts counts;
    rvt_count_faults(f->device->faults, &counts);
    return counts.seen[RVT_FAULT_REFUSE];
}

static uint32_t reg(struct fixture *f) {
    return fixture_key(fixture_reg(f, bytes, 4 * PAGE, START, IOVA, ALL_ACCESS));
}

static void pack(unsigned char *list, uint32_t i, uint64_t addr, uint32_t length, uint32_t key) {
    memcpy(list + i * SGE, &addr, 8);
    memcpy(list + i * SGE + 8, &length, 4);
    memcpy(list + i * SGE + 12, &key, 4);
}

/* Each way to judge one access: the second accepted one is refused. */
static void single_checks(void) {
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_place place;
    for (int way = 0; way < 4; way++) {
        REQUIRE(open_with(&f, (struct rvt_fault_rule){.at = 2}));
        struct rvt_mr_handle mr = fixture_reg(&f, bytes, 4 * PAGE, START, IOVA, ALL_ACCESS);
        const uint32_t key = fixture_key(mr), refs = fixture_refs(mr);
        const bool references = way < 2;
        for (int i = 1; i <= 3; i++) {
            const int answer = way == 0   ? local(&f, &sge, START, 8, key, LOCAL_WRITE)
                               : way == 1 ? remote(&f, &sge, IOVA, 8, key, REMOTE_READ)
                               : way == 2 ? local_check(&f, &place, START, 8, key, LOCAL_WRITE)
                                          : remote_check(&f, &place, IOVA, 8, key, REMOTE_READ);
            CHECK_EQ((uint64_t)(int64_t)answer, (uint64_t)(int64_t)(i != 2 ? 1 : way == 0 ? -RVT_EINVAL : 0));
            CHECK_EQ(f.reason, i == 2 ? RVT_OUT_OF_BOUNDS : RVT_REASON_NONE);
            if (references && i != 2)
                rvt_put_sge(&sge);
            CHECK_EQ(fixture_refs(mr), refs); /* a refusal holds nothing */
        }
        /* What the rules refuse is no occasion. */
        CHECK_EQ((uint64_t)local_check(&f, &place, START, 5 * PAGE, key, 0), 0);
        CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
        CHECK_EQ((uint64_t)local_check(&f, &place, START, 8, key ^ 0xff00, 0), 0);
        CHECK(f.reason != RVT_OUT_OF_BOUNDS);
        CHECK_EQ(seen(&f), 3);
        fixture_close(&f);
    }
}

/* A refused access is not merged into the element before it. */
static void coalescing(void) {
    struct fixture f;
    struct rvt_sge sge, more_sge;
    REQUIRE(open_with(&f, (struct rvt_fault_rule){.at = 2}));
    struct rvt_dma_handle dma = fixture_dma(&f, bytes, PAGE, 0x100000);
    struct rvt_mr_handle mr;
    CHECK_EQ(rvt_get_dma_mr(f.pd, LOCAL_WRITE, &mr), 0);
    CHECK_EQ(local(&f, &sge, 0x100000, 8, 0, LOCAL_WRITE), 1);
    CHECK_EQ((uint64_t)(int64_t)local_in(&f, f.pd, &more_sge, &sge, 0x100008, 8, 0, LOCAL_WRITE),
             (uint64_t)(int64_t)-RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    CHECK_EQ(sge.sge_length, 8);
    CHECK_EQ(local_in(&f, f.pd, &more_sge, &sge, 0x100008, 8, 0, LOCAL_WRITE), 0);
    CHECK_EQ(sge.sge_length, 16);
    CHECK_EQ(seen(&f), 3);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dma_unmap(dma), 0);
    fixture_close(&f);
}

/* Batches: of verdicts, of verdicts with places, with rights of their own, with references. */
static void batches(void) {
    struct fixture f;
    struct rvt_checker checker;
    static uint32_t verdicts[8], accs[8], segments[8];
    static uint64_t starts[8];
    static struct rvt_sge held[8];
    for (int way = 0; way < 4; way++) {
        REQUIRE(open_with(&f, (struct rvt_fault_rule){.every = 3}));
        const uint32_t key = reg(&f);
        CHECK(rvt_checker_of_pd(f.pd, &checker));
        for (uint32_t i = 0; i < 8; i++) {
            pack(packed, i, START + 64 * i, 8, key);
            accs[i] = LOCAL_WRITE;
        }
        const struct rvt_batch batch = {&checker, packed, 8, LOCAL_WRITE, way == 2 ? accs : NULL, false};
        struct rvt_batch_columns columns = {.verdict = verdicts};
        if (way == 1) {
            columns.at = starts;
            columns.segment = segments;
        }
        struct rvt_batch_result result;
        if (way < 3)
            CHECK_EQ(rvt_check_batch(f.reader, &batch, &columns, &result), 0);
        else
            CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &columns, &result), 0);
        CHECK_EQ(result.passed, 6);
        CHECK_EQ(result.first_refused, 2);
        CHECK_EQ(result.reason, RVT_OUT_OF_BOUNDS);
        for (uint32_t i = 0; i < 8; i++)
            CHECK_EQ(verdicts[i], i == 2 || i == 5 ? RVT_OUT_OF_BOUNDS : 0);
        CHECK_EQ(seen(&f), 8);
        if (way == 3)
            for (uint32_t i = 0; i < 8; i++)
                if (i != 2 && i != 5)
                    rvt_put_sge(&held[i]);
        fixture_close(&f);
    }
}

/* Copies stop at the element that is refused; with `all`, before the first byte. Each element is asked about once, however
 * many sections its bytes take. */
static void copies(void) {
    struct fixture f;
    struct rvt_checker checker;
    struct rvt_data_call call;
    struct rvt_batch_result result;
    for (int all = 0; all < 2; all++) {
        REQUIRE(open_with(&f, (struct rvt_fault_rule){.at = 6}));
        const uint32_t key = reg(&f);
        CHECK(rvt_checker_of_pd(f.pd, &checker));
        for (uint32_t i = 0; i < 4; i++)
            pack(packed, i, START + 64 * i, 64, key);
        const struct rvt_batch batch = {&checker, packed, 4, LOCAL_WRITE, NULL, all};
        rvt_data_call_begin(&call, f.reader, NULL);
        memset(bytes, 0, sizeof(bytes));
        memset(data, 7, sizeof(data));
        CHECK_EQ(rvt_scatter_batch(&call, &batch, data, 256, &result), 0);
        CHECK_EQ(result.bytes, 256);
        CHECK_EQ(seen(&f), 4);
        memset(bytes, 0, sizeof(bytes));
        CHECK_EQ(rvt_scatter_batch(&call, &batch, data, 256, &result), 0);
        CHECK_EQ(result.first_refused, 1);
        CHECK_EQ(result.reason, RVT_OUT_OF_BOUNDS);
        CHECK_EQ(result.bytes, all ? 0 : 64);
        CHECK_EQ(bytes[63], all ? 0 : 7);
        CHECK_EQ(bytes[64], 0);
        CHECK_EQ(seen(&f), 6);
        fixture_close(&f);
    }
}

static void a_long_element_is_asked_about_once(void) {
    static unsigned char big[512 << 10], to[512 << 10];
    struct fixture f;
    struct rvt_checker checker;
    struct rvt_data_call call;
    struct rvt_batch_result result;
    REQUIRE(open_with(&f, (struct rvt_fault_rule){.at = 3}));
    const uint32_t key = fixture_key(fixture_reg(&f, big, sizeof(big), START, IOVA, ALL_ACCESS));
    CHECK(rvt_checker_of_pd(f.pd, &checker));
    for (int all = 0; all < 2; all++) {
        pack(packed, 0, START, sizeof(big), key);
        const struct rvt_batch batch = {&checker, packed, 1, 0, NULL, all};
        rvt_data_call_begin(&call, f.reader, NULL);
        CHECK_EQ(rvt_gather_batch(&call, &batch, to, sizeof(to), &result), 0);
        CHECK_EQ(result.bytes, sizeof(big));
    }
    CHECK_EQ(seen(&f), 2);
    pack(more, 0, START, 64, key);
    const struct rvt_batch from = {&checker, more, 1, 0, NULL, false};
    rvt_data_call_begin(&call, f.reader, NULL);
    CHECK_EQ(rvt_gather_batch(&call, &from, to, 64, &result), 0);
    CHECK_EQ(result.bytes, 0);
    fixture_close(&f);
}

/* Faults of other kinds leave the fast path as it is. */
static void only_refusals_take_the_slow_path(void) {
    struct fixture f;
    struct rvt_place place;
    struct rvt_fault_options faults = {.seed = 1};
    faults.rules[RVT_FAULT_LOST].probability = 1;
    REQUIRE(fixture_open_with(&f, (struct rvt_device_options){.lkey_table_bits = 4, .faults = &faults}));
    const uint32_t key = reg(&f);
    const struct rvt_lkey_record *record = rvt_lkey_record(&f.device->lkey_table, key);
    CHECK(atomic_load(&record->line0.rights) >> 32 & RVT_SHAPE_PLAIN);
    CHECK_EQ(local_check(&f, &place, START, 8, key, 0), 1);
    fixture_close(&f);
    REQUIRE(open_with(&f, (struct rvt_fault_rule){.at = 9}));
    record = rvt_lkey_record(&f.device->lkey_table, reg(&f));
    CHECK(!(atomic_load(&record->line0.rights) >> 32 & RVT_SHAPE_PLAIN));
    fixture_close(&f);
}

static int open_device(struct rvt_dev_info **device) {
    const struct rvt_fault_options faults = {.seed = 1};
    return rvt_driver_mr_init(&(struct rvt_device_options){.lkey_table_bits = 4, .faults = &faults}, device);
}

static void opening_without_memory(void) {
    const long live = rvt_test_alloc_live();
    struct rvt_dev_info *device = NULL;
    int failures = 0;
    for (long n = 0;; n++) {
        rvt_test_alloc_fail_after(n);
        const int error = open_device(&device);
        rvt_test_alloc_fail_after(-1);
        if (!error)
            break;
        CHECK_EQ((uint64_t)(int64_t)error, (uint64_t)(int64_t)-RVT_ENOMEM);
        CHECK_EQ(rvt_test_alloc_live(), live);
        failures++;
    }
    CHECK(failures >= 2);
    CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
    rvt_dev_put(device);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

CHECK_MAIN(TEST(single_checks), TEST(coalescing), TEST(batches), TEST(copies),
           TEST(a_long_element_is_asked_about_once), TEST(only_refusals_take_the_slow_path),
           TEST(opening_without_memory))
