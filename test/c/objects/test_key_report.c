/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/key_report.h"

#include "fixture.h"

static alignas(4096) unsigned char bytes[8 * PAGE];

static struct rvt_asker asker_of(struct rvt_pd_handle pd, bool remote) {
    return (struct rvt_asker){pd.pd, pd.context, remote};
}

static const uint64_t *report(struct fixture *f, uint32_t key) {
    static uint64_t row[RVT_SLOT_FIELDS];
    struct rvt_asker asker = asker_of(f->pd, false);
    memset(row, 0xee, sizeof(row));
    rvt_report_key(f->device, &asker, key, row);
    return row;
}

static uint64_t region_field(const uint64_t *row, enum rvt_mr_row field) {
    return row[RVT_SLOT_REGION + (int)field];
}

static void a_key_report_shows_the_region_or_the_last_key(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    const uint64_t *row = report(&f, 0x30000000);
    CHECK_EQ(row[RVT_SLOT_LIVE], 0);
    CHECK_EQ(row[RVT_SLOT_KEY], 0);
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, 100, 0x1000, 0x9000, REMOTE_READ);
    uint32_t key = fixture_key(mr);
    for (uint32_t variant = 0; variant < 2; variant++) { /* any key of the slot gives the same report */
        row = report(&f, key ^ variant);
        CHECK_EQ(row[RVT_SLOT_LIVE], 1);
        CHECK_EQ(row[RVT_SLOT_HIDDEN], 0);
        CHECK_EQ(row[RVT_SLOT_KEY], key);
        CHECK_EQ(row[RVT_SLOT_IOVA], 0x9000);
        CHECK_EQ(region_field(row, RVT_MR_ID), 1);
        CHECK_EQ(region_field(row, RVT_MR_PD), rvt_pd_serial(f.pd));
        CHECK_EQ(region_field(row, RVT_MR_START), 0x1000);
        CHECK_EQ(region_field(row, RVT_MR_LENGTH), 100);
        CHECK_EQ(region_field(row, RVT_MR_ACCESS), REMOTE_READ);
    }
    uint64_t sequence = row[RVT_SLOT_SEQUENCE];
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    row = report(&f, key);
    CHECK_EQ(row[RVT_SLOT_LIVE], 0);
    CHECK_EQ(row[RVT_SLOT_KEY], key);
    CHECK(row[RVT_SLOT_SEQUENCE] != sequence);
    fixture_close(&f);
}

static void the_sequence_changes_with_every_change_of_the_record(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 4, 12);
    uint32_t key = fixture_key(fmr);
    struct rvt_checker checker;
    REQUIRE(rvt_checker_of_pd(f.pd, &checker));
    uint64_t before = report(&f, key)[RVT_SLOT_SEQUENCE];
    CHECK_EQ(rvt_record_sequence(&checker, key), before);
    CHECK_EQ(rvt_record_sequence(&checker, 0), 0);
    CHECK_EQ(report(&f, key)[RVT_SLOT_SEQUENCE], before);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000}, 1, 0x5000), 0);
    uint64_t mapped = report(&f, key)[RVT_SLOT_SEQUENCE];
    CHECK(mapped != before);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, key), 0);
    CHECK(report(&f, key)[RVT_SLOT_SEQUENCE] != mapped);
    CHECK_EQ(region_field(report(&f, key), RVT_MR_VALID), 0);
    fixture_close(&f);
}

static void key_zero_reports_the_published_dma_region(void) {
    struct fixture f;
    struct rvt_mr_handle mr;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(report(&f, 0)[RVT_SLOT_LIVE], 0);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &mr), 0);
    const uint64_t *row = report(&f, 0);
    CHECK_EQ(row[RVT_SLOT_LIVE], 1);
    CHECK_EQ(row[RVT_SLOT_SEQUENCE], 0);
    CHECK_EQ(region_field(row, RVT_MR_KIND), RVT_MR_DMA);
    fixture_close(&f);
}

static void the_report_shows_the_domain_and_the_dma_mapping(void) {
    struct fixture f;
    uint64_t row[RVT_ASKED_FIELDS] = {0};
    REQUIRE(fixture_open(&f, 4));
    struct rvt_asker user = asker_of(f.user_pd, true), trusted = asker_of(f.pd, false);
    rvt_report_asker(f.device, &user, 0x10, row);
    CHECK_EQ(row[RVT_ASKED_PD], rvt_pd_serial(f.user_pd));
    CHECK_EQ(row[RVT_ASKED_USER], 1);
    CHECK_EQ(row[RVT_ASKED_REMOTE_KEY_ZERO], 1);
    CHECK_EQ(row[RVT_ASKED_DMA], 0);
    fixture_dma(&f, bytes, 2 * PAGE, 0x10000);
    static const struct {
        uint64_t addr;
        bool told;
    } cases[] = {{0, true}, {0x10000, true}, {0x11fff, true}, {0x12000, false}, {UINT64_MAX, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rvt_report_asker(f.device, &trusted, cases[i].addr, row);
        CHECK_EQ(row[RVT_ASKED_USER], 0);
        CHECK_EQ(row[RVT_ASKED_DMA], cases[i].told);
        CHECK_EQ(row[RVT_ASKED_DMA_ADDRESS], cases[i].told ? 0x10000 : 0);
        CHECK_EQ(row[RVT_ASKED_DMA_LENGTH], cases[i].told ? 2 * PAGE : 0);
    }
    fixture_close(&f);
}

static uint64_t rows[RVT_FOUND_KINDS * RVT_SLOT_FIELDS];

/* Checks the id of the region that a search finds for each kind of match; 0: none. */
static void search_is(struct fixture *f, bool remote, uint64_t addr, uint32_t length, uint32_t key,
                      const uint64_t *wanted) {
    struct rvt_asker asker = asker_of(f->pd, remote);
    CHECK(rvt_search_regions(f->device, &asker, addr, length, key, rows));
    for (int kind = 0; kind < RVT_FOUND_KINDS; kind++) {
        const uint64_t *row = rows + kind * RVT_SLOT_FIELDS;
        CHECK_EQ(row[RVT_SLOT_LIVE] ? region_field(row, RVT_MR_ID) : 0, wanted[kind]);
    }
}

static void a_search_finds_one_region_for_each_kind_of_match(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 6));
    struct rvt_mr_handle own = fixture_reg(&f, bytes, 100, 0x1000, 0x9000, 0); /* region 1 */
    /* Region 2: longer than region 1. */
    fixture_reg(&f, bytes, 200, 0x1000, 0x20000, 0);
    /* Region 3: in another domain. */
    fixture_reg_in(f.other_pd, bytes, 100, 0x1000, 0x9000, 0);
    fixture_reg(&f, bytes, 100, UINT64_MAX - 2 * PAGE + 1, UINT64_MAX - 99, 0); /* region 4: ends at 2^64 */
    struct rvt_mr_handle dma;
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0); /* region 5: the DMA region, which has no addresses */
    search_is(&f, false, 0x1000, 8, 0, (uint64_t[]){1, 0, 3, 0, 0});
    search_is(&f, false, 0x1000, 101, 0, (uint64_t[]){2, 0, 3, 0, 0});
    search_is(&f, true, 0x1000, 8, 0, (uint64_t[]){0, 1, 0, 3, 0});
    search_is(&f, true, 0x9063, 8, 0, (uint64_t[]){1, 0, 3, 0, 0});
    search_is(&f, true, 0x9064, 0, 0, (uint64_t[]){0, 0, 0, 0, 0});
    search_is(&f, true, UINT64_MAX, 2, 0, (uint64_t[]){4, 0, 0, 0, 0});
    search_is(&f, false, 0x1000, 8, fixture_key(own), (uint64_t[]){2, 0, 3, 0, 0});
    struct rvt_sge held;
    uint32_t key = fixture_key(own);
    CHECK_EQ(rvt_lkey_ok(f.pd, &held, NULL, &(struct rvt_ib_sge){0x1000, 8, key}, 0, &f.reason), 1);
    CHECK_EQ(rvt_dereg_mr(own, RVT_RELEASE), -RVT_EBUSY);
    search_is(&f, false, 7, 8, key, (uint64_t[]){0, 0, 0, 0, 1});
    /* A deregistered region that is still held is not found by address. */
    search_is(&f, true, 0x9000, 8, 1, (uint64_t[]){0, 0, 3, 0, 0});
    rvt_put_sge(&held);
    CHECK_EQ(rvt_dereg_mr(own, RVT_RELEASE), 0);
    search_is(&f, false, 7, 8, key, (uint64_t[]){0, 0, 0, 0, 0});
    fixture_close(&f);
}

static void a_long_search_stops_and_reports_that_it_is_incomplete(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 18));
    struct rvt_memory *memory = rvt_fixed_memory(bytes, 8);
    REQUIRE(memory != NULL);
    struct rvt_asker asker = asker_of(f.pd, false);
    struct rvt_mr_handle mr;
    for (uint32_t i = 0; i <= RVT_SEARCH_MOST; i++)
        REQUIRE(rvt_reg_user_mr(f.pd, memory, UINT64_C(0x1000) * i, 0, 0, &mr) == 0);
    rvt_memory_put(memory);
    CHECK(!rvt_search_regions(f.device, &asker, 0x1000, 8, 0, rows));
    CHECK_EQ(rows[RVT_SLOT_LIVE], 1);
    CHECK_EQ(region_field(rows, RVT_MR_START), 0x1000);
    CHECK(!rvt_search_regions(f.device, &asker, UINT64_C(0x1000) * RVT_SEARCH_MOST, 8, 0, rows));
    CHECK_EQ(rows[RVT_SLOT_LIVE], 0);
    fixture_close(&f);
}

static void repeating_a_check_for_a_report_counts_nothing(void) {
    struct fixture f;
    struct rvt_checker checker;
    REQUIRE(fixture_open(&f, 4) && rvt_checker_of_qp(f.qp, &checker));
    CHECK(rvt_checker_pd(&checker) == f.pd.pd);
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, 100, 0x1000, 0x9000, REMOTE_READ);
    CHECK_EQ(rvt_count_mr(mr), 0);
    uint32_t key = fixture_key(mr);
    rvt_read_enter(f.reader, &f.device->retirement);
    CHECK_EQ(rvt_judge_again(&checker, &(struct rvt_ib_sge){0x9000, 100, key}, REMOTE_READ), RVT_REASON_NONE);
    CHECK_EQ(rvt_judge_again(&checker, &(struct rvt_ib_sge){0x9000, 101, key}, REMOTE_READ),
             RVT_OUT_OF_BOUNDS);
    rvt_read_leave(f.reader, &f.device->retirement);
    struct rvt_mr_attributes told = fixture_query(mr);
    CHECK_EQ(told.accepted + told.refused, 0);
    CHECK_EQ(fixture_refs(mr), 2);
    CHECK_EQ(rvt_destroy_qp(f.qp), 0);
    CHECK_EQ(rvt_judge_again(&checker, &(struct rvt_ib_sge){0x9000, 100, key}, REMOTE_READ), RVT_CLOSED);
    fixture_close(&f);
}

CHECK_MAIN(TEST(a_key_report_shows_the_region_or_the_last_key),
           TEST(the_sequence_changes_with_every_change_of_the_record),
           TEST(key_zero_reports_the_published_dma_region),
           TEST(the_report_shows_the_domain_and_the_dma_mapping),
           TEST(a_search_finds_one_region_for_each_kind_of_match),
           TEST(a_long_search_stops_and_reports_that_it_is_incomplete),
           TEST(repeating_a_check_for_a_report_counts_nothing))
