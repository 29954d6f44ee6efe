/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests rvt_map_mr_sg (mr.h). */
#include "core/objects/mr.h"

#include "fixture.h"

enum { MAX_PAGES = 16 };

static alignas(4096) unsigned char bytes[32 * PAGE];

#define LIST(...) ((struct rvt_sg_element[]){__VA_ARGS__})

/* Checks the attributes of a mapped region, and where each of its bytes lies. */
static void check_mapping(struct fixture *f, struct rvt_mr_handle mr, uint64_t base, uint64_t length,
                          const uint64_t *pages, uint32_t segments) {
    struct rvt_mr_attributes a = fixture_query(mr);
    struct rvt_place place;
    uint32_t key = a.keys.lkey;
    CHECK_EQ(a.start, base);
    CHECK_EQ(a.iova, base);
    CHECK_EQ(a.length, length);
    CHECK_EQ(a.segments, segments);
    /* One byte below and one byte above the region are out of bounds. */
    if (base)
        CHECK_EQ(local_check(f, &place, base - 1, 1, key, 0), 0);
    CHECK_EQ(local_check(f, &place, base + length, 1, key, 0), 0);
    CHECK_EQ(f->reason, RVT_OUT_OF_BOUNDS);
    if (!length)
        return;
    struct rvt_sge sge;
    struct fragments got;
    REQUIRE(local(f, &sge, base, (uint32_t)length, key, 0) == 1);
    CHECK_EQ(walk_whole(f, &sge, &got), 0);
    rvt_put_sge(&sge);
    /* Each segment is a whole page, except the first and the last. */
    uint64_t offset = base % PAGE, left = length;
    for (uint32_t i = 0; i < got.count; i++) {
        uint64_t part = PAGE - offset < left ? PAGE - offset : left;
        CHECK_EQ(got.part[i].at, pages[i] + offset);
        CHECK_EQ(got.part[i].length, part);
        left -= part;
        offset = 0;
    }
    CHECK_EQ(left, 0);
}

struct row {
    uint32_t capacity;
    uint64_t offset;
    uint32_t count;
    struct rvt_sg_element list[5];
    int answer;
    uint64_t base, length;
    uint32_t segments;
    uint64_t pages[6];
};

static const struct row rows[] = {
    /* whole pages */
    {4, 0, 1, {{0x10000, 0x1000}}, 1, 0x10000, 0x1000, 1, {0x10000}},
    {4, 0, 1, {{0x10000, 0x4000}}, 1, 0x10000, 0x4000, 4, {0x10000, 0x11000, 0x12000, 0x13000}},
    {4, 0, 2, {{0x12000, 0x1000}, {0x10000, 0x1000}}, 2, 0x12000, 0x2000, 2, {0x12000, 0x10000}},
    /* a part of a page maps the whole page; the length limits its use */
    {4, 0, 1, {{0x10100, 0x80}}, 1, 0x10100, 0x80, 1, {0x10000}},
    {4, 0, 1, {{0x10f80, 0x100}}, 1, 0x10f80, 0x100, 2, {0x10000, 0x11000}},
    {4, 0, 1, {{0x10001, 0xfff}}, 1, 0x10001, 0xfff, 1, {0x10000}},
    {4, 0, 1, {{0x10001, 0x1000}}, 1, 0x10001, 0x1000, 2, {0x10000, 0x11000}},
    /* an offset into the first element */
    {4, 0x100, 1, {{0x10000, 0x1000}}, 1, 0x10100, 0xf00, 1, {0x10000}},
    {4, 0x1100, 1, {{0x10000, 0x2000}}, 1, 0x11100, 0xf00, 1, {0x11000}},
    {4, 0x1000, 1, {{0x10800, 0x2000}}, 1, 0x11800, 0x1000, 2, {0x11000, 0x12000}},
    {4, 0xfff, 2, {{0x10000, 0x1000}, {0x14000, 0x1000}}, 2, 0x10fff, 0x1001, 2, {0x10000, 0x14000}},
    /* the offset applies to the first element only */
    {4, 0x800, 2, {{0x10000, 0x1000}, {0x12000, 0x1000}}, 2, 0x10800, 0x1800, 2, {0x10000, 0x12000}},
    /* elements that continue in the same page */
    {4, 0, 2, {{0x10000, 0x800}, {0x10800, 0x800}}, 2, 0x10000, 0x1000, 1, {0x10000}},
    {4,
     0,
     3,
     {{0x10000, 0x400}, {0x10400, 0x10}, {0x10410, 0x1000}},
     3,
     0x10000,
     0x1410,
     2,
     {0x10000, 0x11000}},
    {4, 0, 2, {{0x10800, 0x900}, {0x11100, 0x10}}, 2, 0x10800, 0x910, 2, {0x10000, 0x11000}},
    {4,
     0,
     3,
     {{0x10000, 0x800}, {0x10800, 0x800}, {0x13000, 0x10}},
     3,
     0x10000,
     0x1010,
     2,
     {0x10000, 0x13000}},
    /* adjacent elements that meet at a page boundary: each maps its own pages */
    {4, 0, 2, {{0x10000, 0x1000}, {0x11000, 0x1000}}, 2, 0x10000, 0x2000, 2, {0x10000, 0x11000}},
    /* the last element may end anywhere */
    {4, 0, 2, {{0x10800, 0x800}, {0x14000, 0x123}}, 2, 0x10800, 0x923, 2, {0x10000, 0x14000}},
    /* a gap ends the list: before an element that begins inside a page, or after one that ends inside a
     * page */
    {4, 0, 2, {{0x10000, 0x1000}, {0x12100, 0x100}}, 1, 0x10000, 0x1000, 1, {0x10000}},
    {4, 0, 2, {{0x10000, 0x800}, {0x12000, 0x1000}}, 1, 0x10000, 0x800, 1, {0x10000}},
    {4, 0, 3, {{0x10000, 0x800}, {0x10900, 0x100}, {0x12000, 0x1000}}, 1, 0x10000, 0x800, 1, {0x10000}},
    {4,
     0,
     3,
     {{0x10000, 0x1000}, {0x11000, 0x80}, {0x11081, 0x10}},
     2,
     0x10000,
     0x1080,
     2,
     {0x10000, 0x11000}},
    {4, 0, 2, {{0x10000, 0x800}, {0x10800, 0x10}}, 2, 0x10000, 0x810, 1, {0x10000}},
    /* going back is a gap, too */
    {4, 0, 2, {{0x10000, 0x800}, {0x107ff, 0x10}}, 1, 0x10000, 0x800, 1, {0x10000}},
    /* one page too many: the last page that fitted does not count */
    {1, 0, 2, {{0x10000, 0x1000}, {0x12000, 0x1000}}, 1, 0x10000, 0x1000, 1, {0x10000}},
    {2, 0, 2, {{0x10000, 0x1000}, {0x12000, 0x2000}}, 1, 0x10000, 0x1000, 2, {0x10000, 0x12000}},
    {3, 0, 2, {{0x10000, 0x1000}, {0x12000, 0x3000}}, 1, 0x10000, 0x2000, 3, {0x10000, 0x12000, 0x13000}},
    {2, 0, 1, {{0x10000, 0x3000}}, 0, 0x10000, 0x1000, 2, {0x10000, 0x11000}},
    {3, 0, 1, {{0x10000, 0x4000}}, 0, 0x10000, 0x2000, 3, {0x10000, 0x11000, 0x12000}},
    {2, 0, 1, {{0x10800, 0x2000}}, 0, 0x10800, 0x800, 2, {0x10000, 0x11000}},
    {2, 0x1800, 1, {{0x10000, 0x4000}}, 0, 0x11800, 0x800, 2, {0x11000, 0x12000}},
    {1, 0, 2, {{0x10000, 0x800}, {0x10800, 0x1000}}, 1, 0x10000, 0x800, 1, {0x10000}}, /* no page was added */
    {2, 0, 2, {{0x10000, 0x800}, {0x10800, 0x2000}}, 1, 0x10000, 0x1000, 2, {0x10000, 0x11000}},
    /* no page counts: -ENOMEM if the first page was that of the address, otherwise 0; the length is never
     * negative */
    {1, 0, 1, {{0x10000, 0x2000}}, -RVT_ENOMEM, 0x10000, 0, 1, {0x10000}},
    {1, 0x100, 1, {{0x10000, 0x2000}}, -RVT_ENOMEM, 0x10100, 0, 1, {0x10000}},
    {1, 0, 1, {{0x10100, 0x2000}}, 0, 0x10100, 0, 1, {0x10000}},
    {1, 0x1800, 1, {{0x10000, 0x3000}}, 0, 0x11800, 0, 1, {0x11000}},
    /* a region without segments */
    {0, 0, 1, {{0x10000, 0x1000}}, -RVT_ENOMEM, 0x10000, 0, 0, {0}},
    {0, 0x10, 1, {{0x10000, 0x1000}}, -RVT_ENOMEM, 0x10010, 0, 0, {0}},
    {0, 0x1000, 1, {{0x10000, 0x1000}}, -RVT_ENOMEM, 0x11000, 0, 0, {0}},
    /* the same page twice, and overlapping elements */
    {4, 0, 2, {{0x10000, 0x1000}, {0x10000, 0x1000}}, 2, 0x10000, 0x2000, 2, {0x10000, 0x10000}},
    {4, 0, 2, {{0x10000, 0x2000}, {0x11000, 0x1000}}, 2, 0x10000, 0x3000, 3, {0x10000, 0x11000, 0x11000}},
};

static void lists_are_mapped_page_by_page(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 8));
    fixture_dma(&f, bytes, 8 * PAGE, 0x10000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        int failures = atomic_load(&check_failures);
        struct rvt_sg_outcome outcome;
        struct rvt_mr_handle mr = fixture_mem_reg(&f, row->capacity);
        CHECK_EQ(rvt_map_mr_sg(mr, row->list, row->count, row->offset, PAGE, &outcome), row->answer);
        CHECK_EQ(outcome.iova, row->base);
        CHECK_EQ(outcome.length, row->length);
        check_mapping(&f, mr, row->base, row->length, row->pages, row->segments);
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
        if (atomic_load(&check_failures) != failures)
            printf("# row %zu\n", i);
    }
    fixture_close(&f);
}

/* Predicts rvt_map_mr_sg by the rules of docs/semantics.md, 5, step by step, for addresses far below 2^64. */
static int model(uint32_t capacity, const struct rvt_sg_element *list, uint32_t count, uint64_t offset,
                 uint64_t *pages, uint32_t *segments, uint64_t *total) {
    uint64_t previous = 0;
    *segments = 0;
    *total = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t s = list[i].address + (i ? 0 : offset), e = list[i].address + list[i].length, next;
        if (i && (previous % PAGE || s % PAGE)) {
            if (previous != s)
                return (int)i;
            next = s / PAGE * PAGE + PAGE;
        } else {
            next = s / PAGE * PAGE;
        }
        uint64_t p = s;
        for (; next < e; next += PAGE) {
            if (*segments == capacity) {
                if (p > s)
                    *total += p - s;
                return i == 0 && p == list[0].address ? -RVT_ENOMEM : (int)i;
            }
            pages[(*segments)++] = p = next;
        }
        *total += e - s;
        previous = e;
    }
    return (int)count;
}

static void random_lists_match_the_model(void) {
    struct fixture f;
    uint64_t seed = 11;
    REQUIRE(fixture_open(&f, 4));
    /* Three mappings: two are adjacent, one ends inside a page. */
    fixture_dma(&f, bytes, 8 * PAGE, 0x10000);
    fixture_dma(&f, bytes + 8 * PAGE, 8 * PAGE, 0x18000);
    fixture_dma(&f, bytes + 16 * PAGE, 7 * PAGE + 0x800, 0x30000);
    struct rvt_mr_handle mr[MAX_PAGES + 1];
    for (uint32_t i = 0; i <= MAX_PAGES; i++) {
        if (i % 2 == 0)
            mr[i] = fixture_mem_reg(&f, i);
    }
    for (int round = 0; round < 20000; round++) {
        struct rvt_sg_element list[6];
        uint32_t count = 1 + (uint32_t)roll(&seed, 6),
                 capacity = 2 + 2 * (uint32_t)roll(&seed, MAX_PAGES / 2);
        uint64_t end = 0;
        for (uint32_t i = 0; i < count; i++) {
            static const uint64_t starts[] = {0x10000, 0x18000, 0x30000}, sizes[] = {0x8000, 0x8000, 0x7800};
            uint64_t which = roll(&seed, 3), at, length;
            if (i && roll(&seed, 2) && end % PAGE) {
                /* Continue where the previous element ended. */
                which = end < 0x18000 ? 0 : end < 0x20000 ? 1 : 2;
                at = end - starts[which];
            } else {
                at = roll(&seed, 8) * PAGE + (roll(&seed, 3) ? 0 : roll(&seed, PAGE));
            }
            if (at >= sizes[which])
                at = 0;
            length = roll(&seed, 2) ? PAGE * (1 + roll(&seed, 3)) : 1 + roll(&seed, 2 * PAGE);
            if (length > sizes[which] - at)
                length = sizes[which] - at;
            list[i] = (struct rvt_sg_element){starts[which] + at, length};
            end = starts[which] + at + length;
        }
        uint64_t offset = roll(&seed, 3) ? 0 : roll(&seed, list[0].length);
        uint64_t pages[MAX_PAGES], total;
        uint32_t segments;
        struct rvt_sg_outcome outcome;
        int want = model(capacity, list, count, offset, pages, &segments, &total);
        CHECK_EQ(rvt_map_mr_sg(mr[capacity], list, count, offset, PAGE, &outcome), want);
        CHECK_EQ(outcome.iova, list[0].address + offset);
        CHECK_EQ(outcome.length, total);
        check_mapping(&f, mr[capacity], list[0].address + offset, total, pages, segments);
        if (atomic_load(&check_failures)) {
            printf("# round %d\n", round);
            break;
        }
    }
    fixture_close(&f);
}

static void a_refused_list_changes_nothing(void) {
    struct fixture f;
    struct rvt_mr_handle dma;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    /* Directly behind the first mapping, and ends inside a page. */
    fixture_dma(&f, bytes + 4 * PAGE, PAGE + 0x800, 0x14000);
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 4);
    struct rvt_sg_outcome outcome;
    uint64_t pages[] = {0x11000, 0x10000}, iova = 0x77000;
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({0x11000, PAGE}, {0x10000, PAGE}), 2, 0, PAGE, &outcome), 2);
    const struct {
        uint32_t count;
        struct rvt_sg_element list[3];
        uint64_t offset;
        uint32_t page_size;
    } bad[] = {
        {0, {{0x10000, PAGE}}, 0, PAGE},
        {1, {{0x10000, PAGE}}, PAGE + 1, PAGE},
        {1, {{0x10000, PAGE}}, PAGE, PAGE}, /* would map the page behind the element */
        {1, {{0x10000, PAGE}}, UINT64_MAX, PAGE},
        {1, {{0x10000, PAGE}}, 0, 0},
        {1, {{0x10000, PAGE}}, 0, 1},
        {1, {{0x10000, PAGE}}, 0, 4095},
        {1, {{0x10000, PAGE}}, 0, 5000},
        {1, {{0x10000, PAGE}}, 0, 8192},
        {1, {{0x10000, PAGE}}, 0, 65536},
        {1, {{0x10000, 0}}, 0, PAGE},
        {3, {{0x10000, PAGE}, {0x11000, 0}, {0x12000, PAGE}}, 0, PAGE},
        {1, {{0xf000, PAGE}}, 0, PAGE}, /* below the DMA mapping */
        {1, {{0xfff, 2}}, 0, PAGE},
        {1, {{0x20000, PAGE}}, 0, PAGE},   /* in no DMA mapping */
        {1, {{0x13000, 0x1001}}, 0, PAGE}, /* across two adjacent mappings */
        {1, {{0x15000, 0x801}}, 0, PAGE},  /* ends one byte beyond the DMA mapping */
        {1, {{0x15800, 1}}, 0, PAGE},
        {1, {{UINT64_MAX, 2}}, 0, PAGE}, /* address + length exceeds 2^64 */
        {1, {{0x10000, UINT64_MAX}}, 0, PAGE},
        {1, {{UINT64_C(0) - PAGE, 2 * PAGE}}, 0, PAGE},
        /* an element that the mapping would not reach is checked, too */
        {2, {{0x10000, 0x800}, {0x20000, PAGE}}, 0, PAGE},
        {2, {{0x10000, 4 * PAGE}, {0x20000, PAGE}}, 0, PAGE},
        {2, {{0x10000, 0x800}, {0x12000, 0}}, 0, PAGE},
    };
    struct rvt_sge held;
    CHECK_EQ(local(&f, &held, 0x11000, 16, fixture_key(mr), 0), 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int failures = atomic_load(&check_failures);
        outcome = (struct rvt_sg_outcome){0, 0};
        CHECK_EQ(rvt_map_mr_sg(mr, bad[i].list, bad[i].count, bad[i].offset, bad[i].page_size, &outcome),
                 -RVT_EINVAL);
        CHECK_EQ(outcome.iova, 0x11000); /* the outcome describes the mapping that stays */
        CHECK_EQ(outcome.length, 2 * PAGE);
        check_mapping(&f, mr, 0x11000, 2 * PAGE, pages, 2);
        CHECK_EQ(usable(&f, &held), RVT_REASON_NONE);
        if (atomic_load(&check_failures) != failures)
            printf("# row %zu\n", i);
    }
    rvt_put_sge(&held);

    /* In a region without segments an offset at the end gives -ENOMEM, but an empty list or an offset beyond
     * the end gives -EINVAL. */
    struct rvt_mr_handle empty = fixture_mem_reg(&f, 0);
    CHECK_EQ(rvt_map_mr_sg(empty, LIST({0x10000, PAGE}), 0, 0, PAGE, &outcome), -RVT_EINVAL);
    CHECK_EQ(rvt_map_mr_sg(empty, LIST({0x10000, PAGE}), 1, PAGE + 1, PAGE, &outcome), -RVT_EINVAL);
    CHECK_EQ(rvt_map_mr_sg(empty, LIST({0x20000, PAGE}), 1, 0, PAGE, &outcome), -RVT_EINVAL);

    /* Other kinds of regions are refused. */
    struct rvt_mr_handle user = fixture_reg(&f, bytes, PAGE, 0x5000, 0x6000, 0),
                         fmr = fixture_fmr(&f, 0, 4, 12);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    CHECK_EQ(rvt_map_mr_sg(user, LIST({0x10000, PAGE}), 1, 0, PAGE, &outcome), -RVT_EINVAL);
    CHECK_EQ(outcome.iova, 0x6000);
    CHECK_EQ(outcome.length, PAGE);
    CHECK_EQ(fixture_query(user).start, 0x5000);
    CHECK_EQ(rvt_map_mr_sg(fmr, LIST({0x10000, PAGE}), 1, 0, PAGE, &outcome), -RVT_EINVAL);
    CHECK_EQ(outcome.length, 0);
    CHECK_EQ(rvt_map_mr_sg(dma, LIST({0x10000, PAGE}), 1, 0, PAGE, &outcome), -RVT_EINVAL);

    /* With a separate iova, a refused call keeps both addresses. */
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, fixture_key(mr), ALL_ACCESS, &iova), 0);
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({0x10000, PAGE}), 0, 0, PAGE, &outcome), -RVT_EINVAL);
    CHECK_EQ(outcome.iova, 0x77000);
    struct rvt_place place;
    CHECK_EQ(local_check(&f, &place, 0x11000, 2 * PAGE, fixture_key(mr), 0), 1);
    CHECK_EQ(place.at, 0x11000);
    CHECK_EQ(remote_check(&f, &place, 0x77000, 2 * PAGE, fixture_key(mr), REMOTE_READ), 1);
    CHECK_EQ(place.at, 0x11000);
    fixture_close(&f);
}

static void a_new_list_replaces_the_old_mapping(void) {
    struct fixture f;
    struct rvt_sg_outcome outcome;
    struct rvt_sge held;
    struct rvt_copied copied;
    unsigned char out[16];
    uint64_t page = 0x12000;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 8 * PAGE, 0x10000);
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 1);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({0x10000, PAGE}), 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key | 9, REMOTE_READ, NULL), 0);
    CHECK_EQ(rvt_invalidate_rkey(f.qp, key | 9), 0);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key | 9, REMOTE_READ, NULL), 0);
    CHECK_EQ(local(&f, &held, 0x10000, 16, key | 9, 0), 1);
    CHECK_EQ(fixture_refs(mr), 3);
    /* SGEs that hold the region do not prevent mapping it. Key, rights and validity stay. */
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({0x12000, PAGE}), 1, 0, PAGE, &outcome), 1);
    struct rvt_mr_attributes a = fixture_query(mr);
    CHECK_EQ(a.keys.lkey, key | 9);
    CHECK_EQ(a.access, REMOTE_READ);
    CHECK_EQ(a.refs, 3);
    CHECK(a.valid);
    check_mapping(&f, mr, 0x12000, PAGE, &page, 1);
    CHECK_EQ(get_bytes(&f, &held, out, 16, &copied), -RVT_EACCES);
    CHECK_EQ(copied.reason, RVT_REMAPPED);
    rvt_put_sge(&held);

    /* An invalidated region stays invalid. */
    CHECK_EQ(rvt_invalidate_rkey(f.qp, key | 9), 0);
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({0x12000, PAGE}), 1, 0, PAGE, &outcome), 1);
    CHECK(!fixture_query(mr).valid);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, 0, NULL), 0);

    /* -ENOMEM for too few segments removes the old mapping, too. */
    CHECK_EQ(local(&f, &held, 0x12000, 16, key, 0), 1);
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({0x10000, 2 * PAGE}), 1, 0, PAGE, &outcome), -RVT_ENOMEM);
    CHECK_EQ(outcome.iova, 0x10000);
    CHECK_EQ(outcome.length, 0);
    CHECK_EQ(usable(&f, &held), RVT_REMAPPED);
    rvt_put_sge(&held);
    struct rvt_place place;
    CHECK_EQ(local_check(&f, &place, 0x10000, 1, key, 0), 0);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    fixture_close(&f);
}

static void a_list_can_span_several_dma_mappings(void) {
    struct fixture f;
    struct rvt_sg_outcome outcome;
    struct rvt_sge sge;
    struct rvt_copied copied;
    unsigned char out[4 * PAGE];
    uint64_t pages[] = {0x30000, 0x10000, 0x51000, 0x10000};
    REQUIRE(fixture_open(&f, 4));
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i / PAGE * 31 + i);
    struct rvt_dma_handle a = fixture_dma(&f, bytes, PAGE, 0x10000),
                          b = fixture_dma(&f, bytes + 4 * PAGE, PAGE, 0x30000),
                          c = fixture_dma(&f, bytes + 8 * PAGE, 2 * PAGE, 0x50000);
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 4);
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({0x30000, PAGE}, {0x10000, PAGE}, {0x51000, PAGE}, {0x10000, 0x100}), 4,
                           0x10, PAGE, &outcome),
             4);
    check_mapping(&f, mr, 0x30010, 3 * PAGE + 0x100 - 0x10, pages, 4);
    CHECK_EQ(local(&f, &sge, 0x30010, 3 * PAGE + 0xf0, fixture_key(mr), 0), 1);
    CHECK_EQ(get_bytes(&f, &sge, out, 3 * PAGE + 0xf0, &copied), 0);
    CHECK_BYTES_EQ(out, bytes + 4 * PAGE + 0x10, PAGE - 0x10);
    CHECK_BYTES_EQ(out + PAGE - 0x10, bytes, PAGE);
    CHECK_BYTES_EQ(out + 2 * PAGE - 0x10, bytes + 9 * PAGE, PAGE);
    CHECK_BYTES_EQ(out + 3 * PAGE - 0x10, bytes, 0x100);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dma_unmap(a), -RVT_EBUSY);
    CHECK_EQ(rvt_dma_unmap(b), -RVT_EBUSY);
    CHECK_EQ(rvt_dma_unmap(c), -RVT_EBUSY);
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dma_unmap(a), 0);
    CHECK_EQ(rvt_dma_unmap(b), 0);
    CHECK_EQ(rvt_dma_unmap(c), 0);
    fixture_close(&f);
}

static void a_list_can_end_at_the_top_of_the_address_space(void) {
    const uint64_t top = UINT64_C(0) - 4 * PAGE;
    struct fixture f;
    struct rvt_sg_outcome outcome;
    struct rvt_sge sge;
    struct rvt_place place;
    struct fragments got;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 4 * PAGE, top);
    fixture_dma(&f, bytes + 8 * PAGE, 4 * PAGE, 0);
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 8);
    uint32_t key = fixture_key(mr);

    /* A mapping may end exactly at 2^64. */
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({top, 4 * PAGE}), 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(outcome.iova, top);
    CHECK_EQ(outcome.length, 4 * PAGE);
    CHECK_EQ(local(&f, &sge, top + 8, 4 * PAGE - 8, key, 0), 1);
    CHECK_EQ(walk_whole(&f, &sge, &got), 0);
    CHECK_EQ(got.count, 4);
    CHECK_EQ(got.part[3].at, UINT64_C(0) - PAGE);
    CHECK_EQ(got.part[3].length, PAGE);
    rvt_put_sge(&sge);
    CHECK_EQ(local_check(&f, &place, UINT64_MAX, 1, key, 0), 1);
    CHECK_EQ(local_check(&f, &place, UINT64_MAX, 2, key, 0), 0);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    CHECK_EQ(local_check(&f, &place, 0, 1, key, 0), 0);
    CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
    CHECK_EQ(rvt_fast_reg_mr(f.qp, mr, key, ALL_ACCESS, NULL), 0); /* an end of 2^64 is valid here, too */

    CHECK_EQ(rvt_map_mr_sg(mr, LIST({UINT64_MAX, 1}), 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(outcome.length, 1);
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({top, 4 * PAGE}), 1, 4 * PAGE - 1, PAGE, &outcome), 1);
    CHECK_EQ(outcome.iova, UINT64_MAX);
    CHECK_EQ(outcome.length, 1);

    /* The list may continue elsewhere, but the region's range starts at the first address and must not exceed
     * 2^64. */
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({top, PAGE}, {0, 3 * PAGE}), 2, 0, PAGE, &outcome), 2);
    CHECK_EQ(local_check(&f, &place, top + PAGE, 1, key, 0), 1);
    CHECK_EQ(place.at, 0);
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({top, PAGE}, {0, 3 * PAGE}, {0, 1}), 3, 0, PAGE, &outcome), -RVT_EINVAL);
    CHECK_EQ(outcome.iova, top);
    CHECK_EQ(outcome.length, 4 * PAGE);
    CHECK_EQ(local_check(&f, &place, top + PAGE, 1, key, 0), 1);
    CHECK_EQ(place.at, 0);
    /* An element that ends at 2^64 ends at a page boundary. */
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({0, PAGE}, {top, 4 * PAGE}, {PAGE, PAGE}), 3, 0, PAGE, &outcome), 3);
    CHECK_EQ(outcome.length, 6 * PAGE);
    CHECK_EQ(local_check(&f, &place, 5 * PAGE, 1, key, 0), 1);
    CHECK_EQ(place.at, PAGE);
    /* Address 0 does not continue a page that ends at 2^64. Only elements that meet at page boundaries may
     * lie anywhere. */
    CHECK_EQ(
        rvt_map_mr_sg(mr, LIST({0, PAGE}, {UINT64_C(0) - 0x800, 0x800}, {0, 0x10}), 3, 0, PAGE, &outcome), 1);
    /* Too few segments at the end of the address space. */
    struct rvt_mr_handle small = fixture_mem_reg(&f, 2);
    CHECK_EQ(rvt_map_mr_sg(small, LIST({top, 4 * PAGE}), 1, 0, PAGE, &outcome), 0);
    CHECK_EQ(outcome.length, PAGE);
    fixture_close(&f);
}

static void unused_capacity_needs_no_memory(void) {
    struct fixture f;
    struct rvt_sg_outcome outcome;
    uint64_t page = 0x10000;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 8 * PAGE, 0x10000);
    struct rvt_mr_handle mr = fixture_mem_reg(&f, 0x7fffffff);
    CHECK_EQ(rvt_map_mr_sg(mr, LIST({0x10000, PAGE}), 1, 0, PAGE, &outcome), 1);
    check_mapping(&f, mr, 0x10000, PAGE, &page, 1);
    fixture_close(&f);
}

static void prepare(struct fixture *f) {
    struct rvt_sg_outcome outcome;
    fixture_dma(f, bytes, 4 * PAGE, 0x10000);
    fixture_dma(f, bytes + 4 * PAGE, 4 * PAGE, 0x20000);
    f->mr = fixture_mem_reg(f, 4);
    CHECK_EQ(rvt_map_mr_sg(f->mr, LIST({0x12000, PAGE}), 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_fast_reg_mr(f->qp, f->mr, fixture_key(f->mr) | 3, ALL_ACCESS, NULL), 0);
}

static int map_one(struct fixture *f) {
    struct rvt_sge held;
    struct rvt_sg_outcome outcome;
    CHECK_EQ(local(f, &held, fixture_query(f->mr).start, 16, fixture_key(f->mr), 0), 1);
    int error = rvt_map_mr_sg(f->mr, LIST({0x10000, 2 * PAGE}), 1, 0x10, PAGE, &outcome);
    CHECK_EQ(usable(f, &held), error < 0 ? RVT_REASON_NONE : RVT_REMAPPED);
    rvt_put_sge(&held);
    CHECK_EQ(outcome.iova, error < 0 ? 0x12000 : 0x10010);
    return error;
}

static int map_several(struct fixture *f) {
    struct rvt_sg_outcome outcome;
    return rvt_map_mr_sg(f->mr, LIST({0x10000, PAGE}, {0x20000, PAGE}), 2, 0, PAGE, &outcome);
}

static void map_mr_sg_fails_cleanly_without_memory(void) {
    each_allocation_fails(prepare, map_one, 1);
    each_allocation_fails(prepare, map_several, 1);
}

CHECK_MAIN(TEST(lists_are_mapped_page_by_page), TEST(random_lists_match_the_model),
           TEST(a_refused_list_changes_nothing), TEST(a_new_list_replaces_the_old_mapping),
           TEST(a_list_can_span_several_dma_mappings), TEST(a_list_can_end_at_the_top_of_the_address_space),
           TEST(unused_capacity_needs_no_memory), TEST(map_mr_sg_fails_cleanly_without_memory))
