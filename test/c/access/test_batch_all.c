/* SPDX-License-Identifier: BSD-3-Clause */
/* All-or-nothing copies of SGE lists, and lists with a separate access for each SGE. */
#include "core/access/batch.h"
#include "fixture.h"

enum { SGE = 16, MOST = 9000 };

static alignas(4096) unsigned char arena[8 * PAGE], data[8 * PAGE];
static unsigned char packed[MOST * SGE], other[MOST * SGE];
static uint32_t accs[MOST];

static void pack(unsigned char *list, uint32_t i, uint64_t addr, uint32_t length, uint32_t key) {
    memcpy(list + i * SGE, &addr, 8);
    memcpy(list + i * SGE + 8, &length, 4);
    memcpy(list + i * SGE + 12, &key, 4);
}

static void fill(unsigned char *bytes, unsigned char value) {
    memset(bytes, value, 8 * PAGE);
}

static bool is_all(const unsigned char *bytes, size_t count, unsigned char value) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

/* Gathers (or scatters) `count` SGEs with `all` set. */
static struct rvt_batch_result copy_all(struct fixture *f, const struct rvt_checker *checker, uint32_t count,
                                        uint32_t acc, uint64_t length, bool write) {
    const struct rvt_batch batch = {checker, packed, count, acc, NULL, true};
    struct rvt_data_call call;
    struct rvt_batch_result result;
    rvt_data_call_begin(&call, f->reader, NULL);
    CHECK_EQ(write ? rvt_scatter_batch(&call, &batch, data, length, &result)
                   : rvt_gather_batch(&call, &batch, data, length, &result),
             0);
    return result;
}

static void an_all_or_nothing_copy_moves_nothing_if_one_sge_is_refused(void) {
    struct fixture f;
    struct rvt_checker checker;
    REQUIRE(fixture_open(&f, 4) && rvt_checker_of_pd(f.pd, &checker));
    uint32_t key = fixture_key(fixture_reg(&f, arena, 2 * PAGE, 0, 0, ALL_ACCESS));
    /* The index of the refused SGE among MOST SGEs, which take several sections; MOST: none is refused. */
    static const uint32_t refused[] = {0, 1, 4095, 4096, 5000, MOST - 1, MOST};
    for (size_t c = 0; c < sizeof(refused) / sizeof(refused[0]); c++) {
        for (int write = 0; write < 2; write++) {
            fill(arena, 1);
            fill(data, 2);
            for (uint32_t i = 0; i < MOST; i++)
                pack(packed, i, i == refused[c] ? 2 * PAGE : i % PAGE, 1, key);
            struct rvt_batch_result result = copy_all(&f, &checker, MOST, LOCAL_WRITE, MOST, write);
            bool all = refused[c] == MOST;
            CHECK_EQ(result.first_refused, refused[c]);
            CHECK_EQ(result.reason, all ? RVT_REASON_NONE : RVT_OUT_OF_BOUNDS);
            CHECK_EQ(result.bytes, all ? MOST : 0);
            CHECK_EQ(result.passed, all ? MOST : 0);
            CHECK_EQ(result.list_bytes, all ? MOST : 0);
            CHECK(is_all(data, MOST, write ? 2 : all ? 1 : 2));
            CHECK(is_all(arena, PAGE, write && all ? 2 : 1));
        }
    }
    fixture_close(&f);
}

static void an_all_or_nothing_copy_moves_nothing_that_does_not_fit(void) {
    struct fixture f;
    struct rvt_checker checker;
    REQUIRE(fixture_open(&f, 4) && rvt_checker_of_qp(f.qp, &checker));
    uint32_t key = fixture_key(fixture_reg(&f, arena, PAGE, 0, 0, ALL_ACCESS));
    for (uint32_t i = 0; i < 4; i++)
        pack(packed, i, i * 100, 25, key);
    static const struct {
        uint64_t length;
        bool write;
        uint64_t moved;
    } cases[] = {{99, false, 0}, {100, false, 100}, {101, false, 100}, {0, false, 0},
                 {99, true, 0},  {100, true, 100},  {101, true, 0},    {0, true, 0}};
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct rvt_batch_result result = copy_all(
            &f, &checker, 4, cases[c].write ? REMOTE_WRITE : REMOTE_READ, cases[c].length, cases[c].write);
        CHECK_EQ(result.bytes, cases[c].moved);
        CHECK_EQ(result.list_bytes, 100);
        CHECK_EQ(result.other_bytes, cases[c].length);
        CHECK_EQ(result.first_refused, 4);
        CHECK_EQ(result.reason, RVT_REASON_NONE);
    }
    fixture_close(&f);
}

static void an_all_or_nothing_copy_checks_both_lists(void) {
    struct fixture f;
    struct rvt_checker checker;
    REQUIRE(fixture_open(&f, 4) && rvt_checker_of_pd(f.pd, &checker));
    uint32_t key = fixture_key(fixture_reg(&f, arena, PAGE, 0, 0, ALL_ACCESS));
    /* Length of the last SGE of each list, the bytes copied, and which list is refused. */
    static const struct {
        uint32_t from_last, to_last;
        uint64_t moved;
        bool from_refused, to_refused;
    } cases[] = {
        {10, 10, 20, false, false}, {10, 11, 20, false, false}, {10, 9, 0, false, false},
        {5000, 10, 0, true, false}, {10, 5000, 0, false, true}, {5000, 5000, 0, true, false},
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        fill(arena, 1);
        memset(arena, 3, 100);
        pack(packed, 0, 0, 10, key);
        pack(packed, 1, 10, cases[c].from_last, key);
        pack(other, 0, 200, 10, key);
        pack(other, 1, 300, cases[c].to_last, key);
        const struct rvt_batch from = {&checker, packed, 2, 0, NULL, true},
                               to = {&checker, other, 2, LOCAL_WRITE, NULL, false};
        struct rvt_data_call call;
        struct rvt_batch_result from_result, to_result;
        rvt_data_call_begin(&call, f.reader, NULL);
        CHECK_EQ(rvt_copy_batch(&call, &from, &to, &from_result, &to_result), 0);
        CHECK_EQ(from_result.bytes, cases[c].moved);
        CHECK_EQ(from_result.first_refused, cases[c].from_refused ? 1 : 2);
        CHECK_EQ(to_result.first_refused == 1 && to_result.reason, cases[c].to_refused);
        CHECK(is_all(arena + 200, 10, cases[c].moved ? 3 : 1));
    }
    fixture_close(&f);
}

static void a_closed_queue_pair_refuses_an_all_or_nothing_copy(void) {
    struct fixture f;
    struct rvt_checker checker;
    REQUIRE(fixture_open(&f, 4) && rvt_checker_of_qp(f.qp, &checker));
    uint32_t key = fixture_key(fixture_reg(&f, arena, PAGE, 0, 0, ALL_ACCESS));
    pack(packed, 0, 0, 8, key);
    CHECK_EQ(rvt_destroy_qp(f.qp), 0);
    for (uint32_t acc = REMOTE_READ; acc <= LOCAL_WRITE + REMOTE_READ; acc++) {
        const struct rvt_batch batch = {&checker, packed, 1, acc, NULL, true};
        struct rvt_data_call call;
        struct rvt_batch_result result;
        rvt_data_call_begin(&call, f.reader, NULL);
        CHECK_EQ(rvt_gather_batch(&call, &batch, data, 8, &result), 0);
        CHECK_EQ(result.reason, RVT_CLOSED);
        CHECK_EQ(result.first_refused, 0);
        CHECK_EQ(result.bytes, 0);
    }
    fixture_close(&f);
}

/* Compares lists that have an access for each SGE with single checks. A remote check refuses an access that
 * is not exactly one right. */
static void each_sge_is_checked_against_its_own_access(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    static const uint32_t granted[] = {0, LOCAL_WRITE, REMOTE_READ, LOCAL_WRITE | REMOTE_WRITE, ALL_ACCESS};
    uint32_t keys[5];
    for (uint32_t r = 0; r < 5; r++)
        keys[r] = fixture_key(fixture_reg(&f, arena, PAGE, 0, 0, granted[r]));
    for (int remote = 0; remote < 2; remote++) {
        struct rvt_checker checker;
        REQUIRE(remote ? rvt_checker_of_qp(f.qp, &checker) : rvt_checker_of_pd(f.pd, &checker));
        uint32_t count = 0, wanted[5 * 33], verdict[5 * 33], passed = 0;
        for (uint32_t r = 0; r < 5; r++) {
            for (uint32_t acc = 0; acc < 33; acc++, count++) {
                bool one = acc == REMOTE_READ || acc == REMOTE_WRITE || acc == REMOTE_ATOMIC;
                bool accepted = remote ? one && (granted[r] & acc) : (granted[r] & acc) == acc;
                accs[count] = acc;
                pack(packed, count, 8, 8, keys[r]);
                wanted[count] = accepted ? 0 : RVT_ACCESS_DENIED;
                passed += accepted;
            }
        }
        const struct rvt_batch batch = {&checker, packed, count, 0, accs, false};
        static struct rvt_sge held[5 * 33];
        struct rvt_batch_columns columns = {.verdict = verdict};
        struct rvt_batch_result result;
        uint64_t at[5 * 33];
        for (int way = 0; way < 4; way++) {
            memset(held, 0, sizeof(held));
            memset(verdict, 0xee, sizeof(verdict));
            columns.at = way & 1 ? at : NULL;
            CHECK_EQ(way < 2 ? rvt_check_batch(f.reader, &batch, &columns, &result)
                             : rvt_acquire_batch(f.reader, &batch, false, NULL, held, &columns, &result),
                     0);
            CHECK_EQ(result.passed, passed);
            CHECK_BYTES_EQ(verdict, wanted, sizeof(wanted));
            rvt_put_sges(held, count);
        }
    }
    fixture_close(&f);
}

CHECK_MAIN(TEST(an_all_or_nothing_copy_moves_nothing_if_one_sge_is_refused),
           TEST(an_all_or_nothing_copy_moves_nothing_that_does_not_fit),
           TEST(an_all_or_nothing_copy_checks_both_lists),
           TEST(a_closed_queue_pair_refuses_an_all_or_nothing_copy),
           TEST(each_sge_is_checked_against_its_own_access))
