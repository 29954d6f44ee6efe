/* SPDX-License-Identifier: BSD-3-Clause */
/* Which accesses count for which context and region. test_batch.c, test_batch_copy.c and test_sge_copy.c test
 * the counters of batches and copies. */
#include "core/base/counters.h"

#include <pthread.h>

#include "core/access/batch.h"
#include "fixture.h"

enum { SGE = 16 };

static alignas(4096) unsigned char bytes[8 * PAGE];

static void counters_add_up(void) {
    static struct rvt_counters counters;
    struct rvt_counts sum = {.accepted = 100, .bytes = 7};
    rvt_count(&counters.accepted, 3);
    rvt_count(&counters.accepted, 0);
    rvt_count(&counters.bytes, UINT64_C(1) << 40);
    for (unsigned reason = 0; reason < RVT_REASON_COUNT; reason++)
        rvt_count(&counters.refused[reason], reason);
    rvt_counters_add(&sum, &counters);
    rvt_counters_add(&sum, &counters);
    CHECK_EQ(sum.accepted, 106);
    CHECK_EQ(sum.bytes, (UINT64_C(1) << 41) + 7);
    for (unsigned reason = 0; reason < RVT_REASON_COUNT; reason++)
        CHECK_EQ(sum.refused[reason], 2 * reason);
    struct rvt_mr_counters shared = {0};
    rvt_count_shared(&shared.accepted, 5);
    rvt_count_shared(&shared.accepted, 6);
    CHECK_EQ(atomic_load(&shared.accepted), 11);
    /* The binding copies the struct as a plain row of numbers. */
    CHECK_EQ(sizeof(struct rvt_counts), (2 + RVT_REASON_COUNT) * sizeof(uint64_t));
    CHECK_EQ(offsetof(struct rvt_counts, refused), 2 * sizeof(uint64_t));
    CHECK_EQ(alignof(struct rvt_ucontext), RVT_CACHE_LINE);
}

static void each_single_check_is_counted_once(void) {
    struct fixture f;
    struct rvt_sge sge, more;
    struct rvt_place place;
    struct looked own = {0};
    REQUIRE(fixture_open_joined(&f, 4));
    uint32_t key = fixture_key(fixture_reg(&f, bytes, PAGE, 0x5000, 0x9000, LOCAL_WRITE | REMOTE_READ));
    COUNTED(&f, &own, 0, 0, 0, 0);
    CHECK_EQ(local(&f, &sge, 0x5000, 8, key, LOCAL_WRITE), 1);
    COUNTED(&f, &own, 1, 0, 0, 0);
    CHECK_EQ(local(&f, &more, 0x5000, 8, key, REMOTE_WRITE), -RVT_EINVAL);
    COUNTED(&f, &own, 0, 0, RVT_ACCESS_DENIED, 1);
    CHECK_EQ(remote(&f, &more, 0x9000, 8, key, REMOTE_READ), 1);
    COUNTED(&f, &own, 1, 0, 0, 0);
    rvt_put_sge(&more);
    COUNTED(&f, &own, 0, 0, 0, 0);
    CHECK_EQ(remote(&f, &more, 0x9000, 8, key, REMOTE_ATOMIC), 0);
    COUNTED(&f, &own, 0, 0, RVT_ACCESS_DENIED, 1);
    CHECK_EQ(local_check(&f, &place, 0x5000, 0, key, 0), 1); /* an empty request counts, too */
    COUNTED(&f, &own, 1, 0, 0, 0);
    CHECK_EQ(local_check(&f, &place, 0x5000, PAGE + 1, key, 0), 0);
    COUNTED(&f, &own, 0, 0, RVT_OUT_OF_BOUNDS, 1);
    CHECK_EQ(remote_check(&f, &place, 0x9000, PAGE, key, REMOTE_READ | REMOTE_WRITE), 1);
    COUNTED(&f, &own, 1, 0, 0, 0);
    CHECK_EQ(remote_check(&f, &place, 0x9000, 8, key + 1, REMOTE_READ), 0);
    COUNTED(&f, &own, 0, 0, RVT_STALE_KEY, 1);
    /* A check with a `last` SGE that the access does not continue still counts as one check. */
    CHECK_EQ(local_in(&f, f.pd, &more, &sge, 0x5008, 8, key, 0), 1);
    COUNTED(&f, &own, 1, 0, 0, 0);
    rvt_put_sge(&more);
    CHECK_EQ(local_in(&f, f.pd, &more, &sge, 0x9008, 8, key, 0), -RVT_EINVAL);
    COUNTED(&f, &own, 0, 0, RVT_OUT_OF_BOUNDS, 1);
    rvt_put_sge(&sge);
    /* A check that is coalesced into its `last` SGE also counts as one check. */
    struct rvt_mr_handle fmr = fixture_fmr(&f, 0, 2, 12);
    fixture_dma(&f, bytes, 2 * PAGE, 0x40000);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x40000, 0x41000}, 2, 0x40000), 0);
    CHECK_EQ(local(&f, &sge, 0x40ff0, 16, fixture_key(fmr), 0), 1);
    CHECK_EQ(local_in(&f, f.pd, &more, &sge, 0x41000, 16, fixture_key(fmr), 0), 0);
    COUNTED(&f, &own, 2, 0, 0, 0);
    rvt_put_sge(&sge);
    /* This is the only context, so the device's totals equal its numbers. */
    struct rvt_counts counts = fixture_counts(f.device, f.context), all = fixture_counts(f.device, NULL);
    CHECK_EQ(counts.accepted, 7);
    CHECK_BYTES_EQ(&all, &counts, sizeof(counts));
    fixture_leave_last(&f, &f);
}

/* Every reason of a refused check, in every form of check. */
static void each_refused_check_is_counted_with_its_reason(void) {
    static const struct {
        enum rvt_reason reason;
        bool remote; /* whether remote instead of local checks are used */
    } rows[] = {{RVT_KEY_ZERO_DENIED, false}, {RVT_NO_DMA_REGION, false}, {RVT_NO_SUCH_KEY, false},
                {RVT_REVOKED, true},          {RVT_STALE_KEY, false},     {RVT_INVALIDATED, true},
                {RVT_WRONG_PD, false},        {RVT_OUT_OF_BOUNDS, true},  {RVT_ACCESS_DENIED, false},
                {RVT_UNMAPPED, true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct looked own = {0}, region = {0};
        struct rvt_place place;
        struct rvt_sge sge, held[1] = {{0}};
        uint64_t addr = 0x5000;
        uint32_t length = 8, acc = rows[i].remote ? REMOTE_READ : LOCAL_WRITE;
        const enum rvt_reason reason = rows[i].reason;
        REQUIRE(fixture_open_joined(&f, 4));
        struct rvt_pd_handle asks_in = f.pd;
        struct rvt_mr_handle mr = fixture_mem_reg(&f, 4);
        fixture_dma(&f, bytes, 4 * PAGE, 0x5000);
        struct rvt_sg_outcome outcome;
        CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){0x5000, PAGE}, 1, 0, PAGE, &outcome), 1);
        uint32_t key = fixture_key(mr);
        CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, ALL_ACCESS, NULL), 0);
        CHECK_EQ(rvt_count_mr(mr), 0);
        switch (reason) {
        case RVT_KEY_ZERO_DENIED:
            CHECK_EQ(rvt_alloc_pd(f.device, f.context, true, &asks_in), 0);
            key = 0;
            break;
        case RVT_NO_DMA_REGION:
            key = 0;
            break;
        case RVT_NO_SUCH_KEY:
            key = UINT32_C(0x70000500);
            break;
        case RVT_REVOKED:
            CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
            break;
        case RVT_STALE_KEY:
            key += 0x42;
            break;
        case RVT_INVALIDATED:
            CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
            break;
        case RVT_WRONG_PD:
            CHECK_EQ(rvt_alloc_pd(f.device, f.context, false, &asks_in), 0);
            break;
        case RVT_OUT_OF_BOUNDS:
            addr += PAGE - 4;
            break;
        case RVT_ACCESS_DENIED:
            acc |= RVT_ACCESS_MW_BIND;
            break;
        default: /* RVT_UNMAPPED: an empty request at the very end of the region */
            addr += PAGE;
            length = 0;
        }
        /* A refusal counts for the region only if its own current key was used. */
        const bool its = reason >= RVT_INVALIDATED;
        struct rvt_checker checker;
        CHECK(rows[i].remote ? rvt_checker_of_qp(f.qp, &checker) : rvt_checker_of_pd(asks_in, &checker));
        unsigned char packed[SGE];
        uint32_t verdict;
        uint64_t at;
        memcpy(packed, &addr, 8);
        memcpy(packed + 8, &length, 4);
        memcpy(packed + 12, &key, 4);
        const struct rvt_batch batch = {&checker, packed, 1, acc, NULL, false};
        const struct rvt_batch_columns verdicts = {.verdict = &verdict}, none = {0}, places = {.at = &at};
        struct rvt_batch_result result;
        struct rvt_data_call call;
        unsigned char data[8] = {0};
        rvt_data_call_begin(&call, f.reader, NULL);
        for (int form = 0; form < 9; form++) {
            f.reason = reason;
            switch (form) {
            case 0:
                if (rows[i].remote)
                    CHECK_EQ(remote(&f, &sge, addr, length, key, acc), 0);
                else
                    CHECK_EQ(local_in(&f, asks_in, &sge, NULL, addr, length, key, acc), -RVT_EINVAL);
                break;
            case 1:
                if (rows[i].remote || asks_in.pd != f.pd.pd)
                    continue;
                CHECK_EQ(local_check(&f, &place, addr, length, key, acc), 0);
                break;
            case 2:
                if (!rows[i].remote)
                    continue;
                CHECK_EQ(remote_check(&f, &place, addr, length, key, acc), 0);
                break;
            case 3:
                CHECK_EQ(rvt_check_one(f.reader, &batch), reason);
                break;
            case 4:
            case 5:
                CHECK_EQ(rvt_check_batch(f.reader, &batch, form == 4 ? &verdicts : &none, &result), 0);
                CHECK_EQ(result.reason, reason);
                break;
            case 6:
                CHECK_EQ(rvt_check_batch(f.reader, &batch, &places, &result), 0);
                CHECK_EQ(result.reason, reason);
                break;
            case 7:
                CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &none, &result), 0);
                CHECK_EQ(result.reason, reason);
                break;
            default:
                CHECK_EQ(rvt_gather_batch(&call, &batch, data, 8, &result), 0);
                CHECK_EQ(result.reason, reason);
            }
            CHECK_EQ(f.reason, reason);
            COUNTED(&f, &own, 0, 0, reason, 1);
            if (reason != RVT_REVOKED)
                MR_COUNTED(mr, &region, 0, its, 0);
        }
        fixture_leave_last(&f, &f);
    }
}

static void checks_without_a_context_count_only_for_the_region(void) {
    struct fixture f;
    struct rvt_ucontext *other;
    struct rvt_sge sge;
    struct rvt_place place;
    struct rvt_copied copied;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_alloc_ucontext(f.device, f.reader, &other), 0);
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_count_mr(mr), 0);
    CHECK_EQ(local(&f, &sge, 0x5000, 8, key, LOCAL_WRITE), 1);
    CHECK_EQ(put_bytes(&f, &sge, "8 bytes", 8, &copied), 0);
    rvt_put_sge(&sge);
    CHECK_EQ(local_check(&f, &place, 0x4000, 8, key, 0), 0);
    unsigned char packed[SGE] = {0}, data[8];
    struct rvt_checker checker;
    struct rvt_batch_result result, second;
    CHECK(rvt_checker_of_pd(f.pd, &checker));
    CHECK(checker.context == NULL);
    memcpy(packed, &(uint64_t){0x5000}, 8);
    memcpy(packed + 8, &(uint32_t){8}, 4);
    memcpy(packed + 12, &key, 4);
    struct rvt_batch batch = {&checker, packed, 1, LOCAL_WRITE, NULL, false};
    struct rvt_batch_columns none = {0};
    struct rvt_data_call call;
    rvt_data_call_begin(&call, f.reader, NULL);
    CHECK(call.context == NULL);
    CHECK_EQ(rvt_check_batch(f.reader, &batch, &none, &result), 0);
    CHECK_EQ(rvt_check_one(f.reader, &batch), 0);
    CHECK_EQ(rvt_gather_batch(&call, &batch, data, 8, &result), 0);
    CHECK_EQ(rvt_scatter_batch(&call, &batch, data, 8, &result), 0);
    CHECK_EQ(rvt_copy_batch(&call, &batch, &batch, &result, &second), 0);
    struct rvt_counts nothing = {0}, counts = fixture_counts(f.device, NULL);
    CHECK_BYTES_EQ(&counts, &nothing, sizeof(nothing));
    counts = fixture_counts(f.device, other);
    CHECK_BYTES_EQ(&counts, &nothing, sizeof(nothing));
    /* The counters of a region include checks without a context. */
    struct looked region = {0};
    MR_COUNTED(mr, &region, 7, 1, 8 + 8 + 8 + 16);
    CHECK_EQ(rvt_dealloc_ucontext(other, false), 0); /* deallocating the last context closes the device */
    rvt_free_ucontext(other);
    rvt_dev_put(f.device);
    rvt_reader_unregister(f.reader);
    CHECK_EQ(rvt_test_alloc_live(), f.live);
}

static void device_totals_include_closed_contexts(void) {
    struct fixture f[3];
    struct looked all = {0};
    REQUIRE(fixture_open_joined(&f[0], 4) && fixture_join(&f[1], f[0].device) &&
            fixture_join(&f[2], f[0].device));
    struct rvt_place place;
    uint32_t key = fixture_key(fixture_reg(&f[0], bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS));
    CHECK_EQ(rvt_attach_pd(f[1].context, rvt_pd_serial(f[0].pd), &f[1].pd), 0);
    for (int i = 0; i < 3; i++) {
        struct looked own = {0};
        for (int k = 0; k <= i; k++)
            CHECK_EQ(local_check(&f[i], &place, 0x5000, 8, key, 0), i < 2);
        COUNTED(&f[i], &own, i < 2 ? i + 1 : 0, 0, RVT_WRONG_PD, i < 2 ? 0 : 3);
    }
    fixture_counted(f[0].device, NULL, &all, 3, 0, RVT_WRONG_PD, 3, __FILE__, __LINE__);
    fixture_leave(&f[1]);
    fixture_counted(f[0].device, NULL, &all, 0, 0, 0, 0, __FILE__, __LINE__);
    fixture_leave(&f[2]);
    fixture_counted(f[0].device, NULL, &all, 0, 0, 0, 0, __FILE__, __LINE__);
    CHECK_EQ(local_check(&f[0], &place, 0x5000, 8, key, 0), 1);
    fixture_counted(f[0].device, NULL, &all, 1, 0, 0, 0, __FILE__, __LINE__);
    fixture_leave_last(&f[0], &f[0]);
}

/* --- twins: the same accesses on a counted and on an uncounted region --- */

struct twin {
    struct rvt_mr_handle mr;
    uint64_t accepted, refused, copied; /* expected values of the region's counters */
};

/* Twins are two regions with the same addresses and rights, one of them counted. All results must be
 * identical, including the place. */
static void counting_a_region_does_not_change_any_result(void) {
    enum { KINDS = 3, ROUNDS = 4000 };
    static const uint32_t accs[] = {0,
                                    LOCAL_WRITE,
                                    REMOTE_READ,
                                    REMOTE_WRITE,
                                    REMOTE_ATOMIC,
                                    ALL_ACCESS,
                                    RVT_ACCESS_MW_BIND,
                                    LOCAL_WRITE | REMOTE_READ};
    static const uint32_t lengths[] = {0, 1, 8, PAGE, 2 * PAGE, 2 * PAGE + 1, UINT32_MAX};
    struct fixture f;
    struct twin twins[KINDS][2];
    struct rvt_sg_outcome outcome;
    memset(twins, 0, sizeof(twins));
    REQUIRE(fixture_open_joined(&f, 4));
    fixture_dma(&f, bytes, 4 * PAGE, 0x40000);
    for (int t = 0; t < 2; t++) {
        twins[0][t].mr = fixture_reg(&f, bytes, 2 * PAGE, 0x5005, 0x9009, LOCAL_WRITE | REMOTE_READ);
        twins[1][t].mr = fixture_fmr(&f, ALL_ACCESS, 2, 12);
        CHECK_EQ(rvt_map_phys_fmr(twins[1][t].mr, (uint64_t[]){0x42000, 0x40000}, 2, 0x5005), 0);
        twins[2][t].mr = fixture_mem_reg(&f, 4);
        CHECK_EQ(
            rvt_map_mr_sg(twins[2][t].mr, &(struct rvt_sg_element){0x40000, 2 * PAGE}, 1, 0, PAGE, &outcome),
            1);
        CHECK_EQ(rvt_fast_reg_mr(f.qp, twins[2][t].mr, fixture_key(twins[2][t].mr),
                                 REMOTE_READ | REMOTE_WRITE, &(uint64_t){0x9009}),
                 0);
    }
    for (int kind = 0; kind < KINDS; kind++)
        CHECK_EQ(rvt_count_mr(twins[kind][1].mr), 0);
    struct rvt_checker checkers[2];
    CHECK(rvt_checker_of_pd(f.pd, &checkers[0]) && rvt_checker_of_qp(f.qp, &checkers[1]));
    uint64_t seed = 11;
    for (int round = 0; round < ROUNDS; round++) {
        struct twin *pair = twins[roll(&seed, KINDS)];
        const bool by_peer = roll(&seed, 2);
        struct rvt_mr_attributes is = fixture_query(pair[0].mr);
        uint64_t addr = by_peer ? is.iova : is.start;
        addr += roll(&seed, 3) ? roll(&seed, 2 * PAGE) : roll(&seed, 4 * PAGE) - PAGE;
        uint32_t length = roll(&seed, 2) ? lengths[roll(&seed, 7)] : (uint32_t)roll(&seed, 3 * PAGE);
        const uint32_t acc = accs[roll(&seed, 8)], stale = roll(&seed, 10) ? 0 : 1;
        const unsigned form = (unsigned)roll(&seed, 8);
        /* Only a region of rvt_alloc_mr becomes valid again after an invalidation. */
        if (!roll(&seed, 40) && (pair[0].mr.mr->kind == RVT_MR_MEM_REG || round > ROUNDS * 3 / 4)) {
            /* Make the same change to both twins. */
            for (int t = 0; t < 2; t++)
                CHECK_EQ(rvt_invalidate_rkey(f.qp, fixture_key(pair[t].mr)), 0);
        } else if (!roll(&seed, 20) && pair[0].mr.mr->kind == RVT_MR_MEM_REG) {
            uint64_t iova = dice(&seed) >> 1;
            for (int t = 0; t < 2; t++)
                CHECK_EQ(rvt_fast_reg_mr(f.qp, pair[t].mr, fixture_key(pair[t].mr), ALL_ACCESS, &iova), 0);
        } else if (!roll(&seed, 40) && pair[0].mr.mr->kind == RVT_MR_FMR) {
            for (int t = 0; t < 2; t++)
                CHECK_EQ(rvt_map_phys_fmr(pair[t].mr, (uint64_t[]){0x40000, 0x41000}, 2, 0x7777), 0);
        }
        struct {
            int answer;
            enum rvt_reason reason;
            uint32_t passed, verdict[2], length[2], segment[2], rights;
            uint64_t at[2], bytes;
            unsigned char data[64];
        } answers[2];
        memset(answers, 0, sizeof(answers));
        for (int t = 0; t < 2; t++) {
            const uint32_t key = fixture_key(pair[t].mr) ^ stale;
            struct rvt_sge sge = {0}, held[2] = {{0}};
            struct rvt_place place = {0};
            unsigned char packed[2 * SGE];
            memcpy(packed, &addr, 8);
            memcpy(packed + 8, &length, 4);
            memcpy(packed + 12, &key, 4);
            memcpy(packed + SGE, packed, SGE);
            struct rvt_batch batch = {&checkers[by_peer], packed, 2, acc, NULL, false};
            const struct rvt_batch_columns columns = {.verdict = answers[t].verdict,
                                                      .at = answers[t].at,
                                                      .length = answers[t].length,
                                                      .segment = answers[t].segment};
            const struct rvt_batch_columns verdicts = {.verdict = answers[t].verdict};
            struct rvt_batch_result result = {0};
            struct rvt_data_call call;
            uint64_t checks = 2;
            rvt_data_call_begin(&call, f.reader, NULL);
            switch (form) {
            case 0:
                answers[t].answer = by_peer ? remote(&f, &sge, addr, length, key, acc)
                                            : local(&f, &sge, addr, length, key, acc);
                answers[t].reason = f.reason;
                answers[t].rights = sge.rights;
                answers[t].at[0] = sge.at;
                if (answers[t].answer == 1)
                    rvt_put_sge(&sge);
                answers[t].passed = answers[t].answer == 1;
                checks = 1;
                break;
            case 1:
                answers[t].answer = by_peer ? remote_check(&f, &place, addr, length, key, acc)
                                            : local_check(&f, &place, addr, length, key, acc);
                answers[t].reason = f.reason;
                answers[t].at[0] = place.at;
                answers[t].passed = answers[t].answer == 1;
                checks = 1;
                break;
            case 2:
                answers[t].answer = rvt_check_one(f.reader, &batch);
                answers[t].passed = answers[t].answer == 0;
                checks = 1;
                break;
            case 3:
                answers[t].answer = rvt_check_batch(f.reader, &batch, &verdicts, &result);
                break;
            case 4:
                answers[t].answer = rvt_check_batch(f.reader, &batch, &columns, &result);
                break;
            case 5:
                answers[t].answer = rvt_acquire_batch(f.reader, &batch, true, NULL, held, &columns, &result);
                rvt_put_sges(held, 2);
                break;
            default:
                length = length < 32 ? length : 32;
                memcpy(packed + 8, &length, 4);
                memcpy(packed + SGE, packed, SGE);
                answers[t].answer = form == 6
                                        ? rvt_gather_batch(&call, &batch, answers[t].data, 64, &result)
                                        : rvt_scatter_batch(&call, &batch, answers[t].data, 64, &result);
                /* The copy stops at the first refusal, which is the first SGE. */
                checks = result.passed ? 2 : 1;
                answers[t].bytes = result.bytes;
            }
            if (form > 2) {
                answers[t].passed = result.passed;
                answers[t].reason = result.reason;
            }
            if (!stale) {
                pair[t].accepted += answers[t].passed;
                pair[t].refused += checks - answers[t].passed;
                pair[t].copied += answers[t].bytes;
            }
        }
        CHECK_BYTES_EQ(&answers[1], &answers[0], sizeof(answers[0]));
    }
    struct rvt_mr_handle untouched = fixture_fmr(&f, 0, 1, 12);
    CHECK_EQ(rvt_count_mr(untouched), 0);
    for (int kind = 0; kind < KINDS; kind++) {
        struct looked last = {0};
        struct rvt_mr_attributes is = fixture_query(twins[kind][0].mr);
        CHECK(!is.counted);
        CHECK_EQ(is.accepted + is.refused + is.bytes, 0);
        CHECK(twins[kind][1].accepted > 100 && twins[kind][1].refused > 100 && twins[kind][1].copied > 100);
        MR_COUNTED(twins[kind][1].mr, &last, twins[kind][1].accepted, twins[kind][1].refused,
                   twins[kind][1].copied);
    }
    struct looked last = {0};
    MR_COUNTED(untouched, &last, 0, 0, 0);
    fixture_leave_last(&f, &f);
}

/* --- a DMA region is counted although it has no slot in the key table --- */

static void a_dma_region_counts_accesses_with_key_zero(void) {
    struct fixture f;
    struct rvt_mr_handle mr, inert;
    struct looked own = {0}, region = {0}, other = {0};
    struct rvt_sge sge, more, held[1] = {{0}};
    struct rvt_place place;
    struct rvt_copied copied;
    REQUIRE(fixture_open_joined(&f, 4));
    fixture_dma(&f, bytes, PAGE, 0x10000);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &mr), 0);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &inert), 0);
    /* A check before rvt_count_mr is not counted for the region. */
    CHECK_EQ(local_check(&f, &place, 0x10000, 8, 0, 0), 1);
    CHECK_EQ(rvt_count_mr(mr), 0);
    CHECK_EQ(rvt_count_mr(inert), 0);
    COUNTED(&f, &own, 1, 0, 0, 0);
    CHECK_EQ(local_check(&f, &place, 0x10000, 8, 0, 0), 1);
    CHECK_EQ(remote_check(&f, &place, 0x10000, 8, 0, REMOTE_READ), 1);
    MR_COUNTED(mr, &region, 2, 0, 0);
    CHECK_EQ(local_check(&f, &place, 0x10ff9, 8, 0, 0), 0);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    CHECK_EQ(remote_check(&f, &place, 0x20000, 8, 0, REMOTE_READ), 0);
    CHECK_EQ(f.reason, RVT_UNMAPPED);
    MR_COUNTED(mr, &region, 0, 2, 0);
    CHECK_EQ(local(&f, &sge, 0x10000, 8, 0, LOCAL_WRITE | REMOTE_ATOMIC), 1);
    CHECK_EQ(local_in(&f, f.pd, &more, &sge, 0x10008, 8, 0, LOCAL_WRITE), 0);
    MR_COUNTED(mr, &region, 2, 0, 0);
    CHECK_EQ(put_bytes(&f, &sge, "fourteen bytes", 14, &copied), 0);
    MR_COUNTED(mr, &region, 0, 0, 14);
    rvt_put_sge(&sge);
    unsigned char packed[2 * SGE] = {0}, data[24];
    struct rvt_checker checker;
    struct rvt_batch_result result, second;
    struct rvt_batch_columns none = {0};
    uint64_t at[2];
    struct rvt_batch_columns places = {.at = at};
    CHECK(rvt_checker_of_pd(f.pd, &checker));
    memcpy(packed, &(uint64_t){0x10000}, 8);
    memcpy(packed + 8, &(uint32_t){8}, 4);
    memcpy(packed + SGE, &(uint64_t){0x10ff9}, 8);
    memcpy(packed + SGE + 8, &(uint32_t){8}, 4);
    struct rvt_batch batch = {&checker, packed, 2, LOCAL_WRITE, NULL, false},
                     one = {&checker, packed, 1, LOCAL_WRITE, NULL, false};
    struct rvt_data_call call;
    rvt_data_call_begin(&call, f.reader, NULL);
    CHECK_EQ(rvt_check_batch(f.reader, &batch, &none, &result), 0);
    MR_COUNTED(mr, &region, 1, 1, 0);
    CHECK_EQ(rvt_check_batch(f.reader, &batch, &places, &result), 0);
    MR_COUNTED(mr, &region, 1, 1, 0);
    CHECK_EQ(rvt_check_one(f.reader, &one), 0);
    MR_COUNTED(mr, &region, 1, 0, 0);
    CHECK_EQ(rvt_acquire_batch(f.reader, &one, true, NULL, held, &places, &result), 0);
    CHECK_EQ(rvt_put_sges(held, 1), 1);
    MR_COUNTED(mr, &region, 1, 0, 0);
    CHECK_EQ(rvt_gather_batch(&call, &batch, data, 24, &result), 0);
    MR_COUNTED(mr, &region, 1, 1, 8);
    CHECK_EQ(rvt_scatter_batch(&call, &one, data, 24, &result), 0);
    MR_COUNTED(mr, &region, 1, 0, 8);
    CHECK_EQ(rvt_copy_batch(&call, &one, &one, &result, &second), 0);
    MR_COUNTED(mr, &region, 2, 0, 16);
    /* While an SGE holds the region after a dereg returned -EBUSY, copied bytes still count; checks no longer
     * find the region. */
    CHECK_EQ(local(&f, &sge, 0x10000, 8, 0, LOCAL_WRITE), 1);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(local_check(&f, &place, 0x10000, 8, 0, 0), 0);
    CHECK_EQ(f.reason, RVT_NO_DMA_REGION);
    CHECK_EQ(put_bytes(&f, &sge, "8 bytes", 8, &copied), 0);
    MR_COUNTED(mr, &region, 1, 0, 8);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    MR_COUNTED(inert, &other, 0, 0, 0);
    fixture_leave_last(&f, &f);
}

/* --- threads --- */

enum { THREADS = 3, CHECKS = 20000 };

static struct fixture user[THREADS];
static struct rvt_mr_handle shared_mr;
static uint32_t shared_key;
static atomic_int running;

static void *check_and_count(void *argument) {
    struct fixture *f = argument;
    struct rvt_place place;
    for (int i = 0; i < CHECKS; i++) {
        CHECK_EQ(local_check(f, &place, 0x5000, i % 4 ? 8 : PAGE + 1, shared_key, 0), i % 4 != 0);
        if (i % 512 == 0)
            rvt_yield();
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

/* Counters that are read during updates never exceed the real number and never decrease. */
static void counters_can_be_read_while_other_threads_count(void) {
    pthread_t threads[THREADS];
    struct rvt_counts before = {0};
    struct rvt_mr_attributes was = {0};
    REQUIRE(fixture_open_joined(&user[0], 4));
    shared_mr = fixture_reg(&user[0], bytes, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    shared_key = fixture_key(shared_mr);
    CHECK_EQ(rvt_count_mr(shared_mr), 0);
    for (int i = 1; i < THREADS; i++) {
        REQUIRE(fixture_join(&user[i], user[0].device));
        CHECK_EQ(rvt_attach_pd(user[i].context, rvt_pd_serial(user[0].pd), &user[i].pd), 0);
    }
    atomic_store(&running, THREADS);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, check_and_count, &user[i]) == 0);
    while (atomic_load(&running)) {
        struct rvt_counts now = fixture_counts(user[0].device, NULL);
        struct rvt_mr_attributes is = fixture_query(shared_mr);
        CHECK(now.accepted >= before.accepted && now.accepted <= THREADS * CHECKS * 3 / 4);
        CHECK(now.refused[RVT_OUT_OF_BOUNDS] >= before.refused[RVT_OUT_OF_BOUNDS]);
        CHECK(is.accepted >= was.accepted && is.refused >= was.refused);
        before = now;
        was = is;
        rvt_yield();
    }
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    struct looked all = {0}, region = {0};
    fixture_counted(user[0].device, NULL, &all, THREADS * CHECKS * 3 / 4, 0, RVT_OUT_OF_BOUNDS,
                    THREADS * CHECKS / 4, __FILE__, __LINE__);
    MR_COUNTED(shared_mr, &region, THREADS * CHECKS * 3 / 4, THREADS * CHECKS / 4, 0);
    for (int i = THREADS - 1; i > 0; i--)
        fixture_leave(&user[i]);
    fixture_leave_last(&user[0], &user[0]);
}

CHECK_MAIN(TEST(counters_add_up), TEST(each_single_check_is_counted_once),
           TEST(each_refused_check_is_counted_with_its_reason),
           TEST(checks_without_a_context_count_only_for_the_region),
           TEST(device_totals_include_closed_contexts), TEST(counting_a_region_does_not_change_any_result),
           TEST(a_dma_region_counts_accesses_with_key_zero),
           TEST(counters_can_be_read_while_other_threads_count))
