/* SPDX-License-Identifier: BSD-3-Clause */
/* Strict devices: keys, addresses and rights of regions. test/api/strict.test.ts has the rest. */
#include "core/objects/strict.h"

#include "fixture.h"

enum { START = 0x5000, IOVA = 0x9000 };

static alignas(4096) unsigned char bytes[4 * PAGE];

static bool open_with(struct fixture *f, bool strict, bool random, uint32_t bits) {
    return fixture_open_with(
        f, (struct rvt_device_options){
               .lkey_table_bits = bits, .strict = strict, .random_keys = random, .remote_key_zero = true});
}

static void failed(int answer, enum rvt_cause cause, uint64_t value, uint64_t limit) {
    struct rvt_failure why;
    rvt_take_failure(&why);
    CHECK_EQ((uint64_t)(int64_t)answer, (uint64_t)(int64_t)-RVT_EINVAL);
    CHECK_EQ(why.numbers[RVT_FAILURE_CAUSE], cause);
    CHECK_EQ(why.numbers[RVT_FAILURE_VALUE], value);
    CHECK_EQ(why.numbers[RVT_FAILURE_LIMIT], limit);
}

/* Each table size, both policies: the mask leaves the slot and the consumer's bits alone, and no rkey or lkey of a region
 * has the name of key 0. */
static void keys_differ_in_their_generation(void) {
    for (uint32_t bits = 1; bits <= 23; bits += bits < 20 ? 6 : 1) {
        for (int random = 0; random < 2; random++) {
            struct fixture f;
            REQUIRE(open_with(&f, true, random, bits));
            const uint32_t mask = f.device->rkey_mask, used = f.device->lkey_table.bits;
            CHECK_EQ(used, bits > RVT_MAX_STRICT_TABLE_BITS ? RVT_MAX_STRICT_TABLE_BITS : bits);
            CHECK(mask != 0);
            CHECK_EQ(mask & RVT_KEY_VARIANT_MASK, 0);
            CHECK_EQ((uint64_t)mask >> (32 - used), 0);
            for (int i = 0; i < 600; i++) {
                struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, START, IOVA, ALL_ACCESS);
                const struct rvt_mr_keys keys = fixture_query(mr).keys;
                CHECK_EQ(keys.lkey ^ keys.rkey, mask);
                CHECK(keys.lkey >> RVT_KEY_VARIANT_BITS != 0 && keys.rkey >> RVT_KEY_VARIANT_BITS != 0);
                CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
            }
            fixture_close(&f);
        }
    }
}

static void the_other_key_is_its_own_inverse(void) {
    struct fixture f;
    REQUIRE(open_with(&f, true, true, 8));
    CHECK_EQ(rvt_other_key(f.device, 0), 0);
    CHECK_EQ(rvt_other_key(f.device, rvt_other_key(f.device, 0x12345678)), 0x12345678);
    fixture_close(&f);
    REQUIRE(open_with(&f, false, true, 8));
    CHECK_EQ(rvt_other_key(f.device, 0x12345678), 0x12345678);
    fixture_close(&f);
}

/* Local checks take the lkey, remote ones the rkey, and neither the other's. A region is found through one record only. */
static void checks_take_their_own_key(void) {
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_place place;
    REQUIRE(open_with(&f, true, true, 8));
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, START, IOVA, ALL_ACCESS);
    const struct rvt_mr_keys keys = fixture_query(mr).keys;
    CHECK_EQ(local(&f, &sge, START, 8, keys.lkey, LOCAL_WRITE), 1);
    rvt_put_sge(&sge);
    CHECK_EQ(remote(&f, &sge, IOVA, 8, keys.rkey, REMOTE_READ), 1);
    rvt_put_sge(&sge);
    CHECK_EQ(local_check(&f, &place, START, 8, keys.rkey, LOCAL_WRITE), 0);
    CHECK_EQ(f.reason, RVT_STALE_KEY);
    CHECK_EQ(remote_check(&f, &place, IOVA, 8, keys.lkey, REMOTE_READ), 0);
    CHECK_EQ(f.reason, RVT_STALE_KEY);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(remote_check(&f, &place, IOVA, 8, keys.rkey, REMOTE_READ), 0);
    CHECK_EQ(f.reason, RVT_REVOKED);
    fixture_close(&f);
}

/* What rvt_judge_strict_access() allows, and that the verbs ask it. */
static void rights(void) {
    static const struct {
        uint32_t access;
        enum rvt_cause cause;
    } cases[] = {
        {0, RVT_CAUSE_NONE},
        {REMOTE_READ, RVT_CAUSE_NONE},
        {LOCAL_WRITE | REMOTE_WRITE | REMOTE_ATOMIC, RVT_CAUSE_NONE},
        {RVT_ACCESS_MW_BIND, RVT_CAUSE_NONE},
        {REMOTE_WRITE, RVT_CAUSE_RIGHTS_NEED_LOCAL_WRITE},
        {REMOTE_ATOMIC | REMOTE_READ, RVT_CAUSE_RIGHTS_NEED_LOCAL_WRITE},
        {1u << 20 | REMOTE_READ, RVT_CAUSE_NONE}, /* a NIC may ignore it */
        {1u << 29, RVT_CAUSE_NONE},
        {1u << 5, RVT_CAUSE_UNKNOWN_RIGHTS},
        {1u << 19, RVT_CAUSE_UNKNOWN_RIGHTS},
        {1u << 30 | LOCAL_WRITE, RVT_CAUSE_UNKNOWN_RIGHTS},
    };
    struct fixture strict, usual;
    REQUIRE(open_with(&strict, true, false, 8));
    struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rvt_mr_handle mr[3] = {{0}};
        const uint32_t access = cases[i].access;
        const int answers[3] = {
            rvt_reg_user_mr(strict.pd, memory, START, IOVA, access, &mr[0]),
            rvt_get_dma_mr(strict.pd, access, &mr[1]),
            rvt_alloc_fmr(strict.pd, access, &(struct rvt_fmr_attr){1, 1, RVT_PAGE_SHIFT}, &mr[2]),
        };
        struct rvt_failure why;
        rvt_take_failure(&why);
        CHECK_EQ(why.numbers[RVT_FAILURE_CAUSE], cases[i].cause);
        for (int k = 0; k < 3; k++) {
            CHECK_EQ((uint64_t)(int64_t)answers[k], (uint64_t)(int64_t)(cases[i].cause ? -RVT_EINVAL : 0));
            if (!answers[k])
                CHECK_EQ(rvt_release_mr(mr[k], RVT_RELEASE), 0);
        }
    }
    rvt_memory_put(memory);
    fixture_close(&strict);
    REQUIRE(open_with(&usual, false, false, 8)); /* the reference takes any mask */
    memory = rvt_fixed_memory(bytes, PAGE);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rvt_mr_handle mr;
        CHECK_EQ(rvt_reg_user_mr(usual.pd, memory, START, IOVA + 1, cases[i].access, &mr), 0);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    }
    rvt_memory_put(memory);
    fixture_close(&usual);
}

static void addresses(void) {
    struct fixture f;
    struct rvt_mr_handle mr;
    REQUIRE(open_with(&f, true, false, 8));
    struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE);
    failed(rvt_reg_user_mr(f.pd, memory, START + 24, IOVA + 8, 0, &mr), RVT_CAUSE_PAGE_OFFSETS, 8, 24);
    failed(rvt_reg_user_mr_test(f.pd, START + 24, PAGE, IOVA + 8), RVT_CAUSE_PAGE_OFFSETS, 8, 24);
    CHECK_EQ(rvt_reg_user_mr_test(f.pd, START + 24, PAGE, IOVA + 24), 0);
    CHECK_EQ(rvt_reg_user_mr(f.pd, memory, START + 24, IOVA + 24, 0, &mr), 0);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    rvt_memory_put(memory);
    struct rvt_dma_handle dma = fixture_dma(&f, bytes, 4 * PAGE, 0x100000);
    /* The pages of an FMR can be larger: 8 KiB. */
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 2, RVT_PAGE_SHIFT + 1);
    const uint64_t page = 0x100000;
    failed(rvt_map_phys_fmr(fmr, &page, 1, 0x3000), RVT_CAUSE_PAGE_OFFSETS, 0x1000, 0);
    CHECK_EQ(rvt_map_phys_fmr(fmr, &page, 1, 0x4000), 0);
    CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dma_unmap(dma), 0);
    fixture_close(&f);
}

CHECK_MAIN(TEST(keys_differ_in_their_generation), TEST(the_other_key_is_its_own_inverse),
           TEST(checks_take_their_own_key), TEST(rights), TEST(addresses))
