/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests rvt_alloc_fmr, rvt_map_phys_fmr, rvt_unmap_fmr and rvt_dealloc_fmr (mr.h). */
#define _GNU_SOURCE /* for MAP_ANONYMOUS and sigaction */
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/objects/mr.h"

#include "fixture.h"

static alignas(4096) unsigned char bytes[8 * PAGE];

static const uint64_t GIB = UINT64_C(1) << 30;

static void alloc_fmr_checks_its_attributes(void) {
    static const struct {
        int64_t max_pages;
        uint32_t shift;
        int answer;
    } rows[] = {
        {0, 12, 0},
        {1, 0, 0},
        {1, 30, 0},
        {0x7fffffff, 12, 0},
        {1, 31, -RVT_EINVAL},
        {1, 32, -RVT_EINVAL},
        {1, 64, -RVT_EINVAL},
        {1, 0xffffffff, -RVT_EINVAL},
        {-1, 12, -RVT_EINVAL},
        {-1000, 12, -RVT_EINVAL},
        {0x80000000, 12, -RVT_EINVAL},
        {INT64_MIN, 12, -RVT_EINVAL},
        {INT64_MAX, 12, -RVT_EINVAL},
    };
    struct fixture f;
    struct rvt_mr_handle mr;
    uint32_t used = 0;
    REQUIRE(fixture_open(&f, 4));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rvt_fmr_attr attr = {rows[i].max_pages, (uint32_t)i, rows[i].shift}; /* max_maps is ignored */
        CHECK_EQ(rvt_alloc_fmr(f.pd, 0x1f, &attr, &mr), rows[i].answer);
        used += !rows[i].answer;
        CHECK_EQ(fixture_head(f.device).generation, used);
        if (rows[i].answer)
            continue;
        struct rvt_mr_attributes a = fixture_query(mr);
        CHECK_EQ(a.kind, RVT_MR_FMR);
        CHECK_EQ(a.access, 0x1f);
        CHECK_EQ(a.refs, 2);
        CHECK_EQ(a.start | a.iova | a.length | a.segments, 0);
        CHECK_EQ(a.max_segments, rows[i].max_pages);
        CHECK(a.valid);
    }
    fixture_close(&f);
}

static void every_page_shift_up_to_30_works(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 5));
    /* Larger than the real memory, which is never accessed. */
    fixture_dma(&f, bytes, 8 * GIB, UINT64_C(1) << 40);
    for (uint32_t shift = 0; shift <= 30; shift++) {
        uint64_t size = UINT64_C(1) << shift, base = UINT64_C(1) << 40;
        uint64_t pages[] = {base + 5 * size, base, base + 3 * size};
        struct rvt_sge sge;
        struct fragments got;
        struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 3, shift);
        uint32_t key = fixture_key(fmr);
        CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 3, 0x123456), 0);
        struct rvt_mr_attributes a = fixture_query(fmr);
        CHECK_EQ(a.start, 0x123456);
        CHECK_EQ(a.iova, 0x123456);
        CHECK_EQ(a.length, 3 * size);
        CHECK_EQ(a.segments, 3);
        CHECK_EQ(local(&f, &sge, 0x123456, (uint32_t)(3 * size), key, LOCAL_WRITE), 1);
        CHECK_EQ(rvt_sge_segment(&sge), 0);
        CHECK_EQ(sge.length, size);
        CHECK_EQ(walk_whole(&f, &sge, &got), 0);
        CHECK_EQ(got.count, 3);
        for (uint32_t i = 0; i < 3; i++) {
            CHECK_EQ(got.part[i].at, pages[i]);
            CHECK_EQ(got.part[i].length, size);
        }
        rvt_put_sge(&sge);
        /* The last byte by its remote address, and one byte too many. */
        CHECK_EQ(remote(&f, &sge, 0x123456 + 3 * size - 1, 1, key, REMOTE_READ), 1);
        CHECK_EQ(sge.at, pages[2] + size - 1);
        CHECK_EQ(rvt_sge_segment(&sge), 2);
        CHECK_EQ(sge.length, 1);
        rvt_put_sge(&sge);
        CHECK_EQ(remote(&f, &sge, 0x123456 + 3 * size - 1, 2, key, REMOTE_READ), 0);
        CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
        CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), 0);
    }
    fixture_close(&f);
}

static void pages_need_no_alignment(void) {
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_copied copied;
    unsigned char out[4 * 256];
    REQUIRE(fixture_open(&f, 4));
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 7 + i / 256);
    fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    fixture_dma(&f, bytes + 4 * PAGE, 4 * PAGE - 3, 0x40000); /* a second mapping, with an odd length */
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 4, 8);
    /* Unaligned pages, the same page twice, and a page that ends with the last byte of a mapping. */
    uint64_t pages[] = {0x10001, 0x10001, 0x40000 + 4 * PAGE - 3 - 256, 0x100ff};
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 4, 0x777),
             0); /* an unaligned iova names byte 0 of the first page */
    CHECK_EQ(local(&f, &sge, 0x777, 4 * 256, fixture_key(fmr), LOCAL_WRITE), 1);
    CHECK_EQ(sge.at, 0x10001);
    CHECK_EQ(sge.length, 256);
    CHECK_EQ(sge.offset, 0);
    CHECK_EQ(get_bytes(&f, &sge, out, sizeof(out), &copied), 0);
    CHECK_BYTES_EQ(out, bytes + 1, 256);
    CHECK_BYTES_EQ(out + 256, bytes + 1, 256);
    CHECK_BYTES_EQ(out + 512, bytes + 8 * PAGE - 3 - 256, 256);
    CHECK_BYTES_EQ(out + 768, bytes + 0xff, 256);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static void a_refused_mapping_changes_nothing(void) {
    struct fixture f;
    struct rvt_place place;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 2 * PAGE, 0x10000);
    fixture_dma(&f, bytes, 2 * PAGE, 0x12000); /* directly behind the first mapping */
    fixture_dma(&f, bytes, PAGE, UINT64_C(0) - PAGE);
    fixture_dma(&f, bytes, 8 * GIB, UINT64_C(1) << 40);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 3, 12), big = fixture_fmr(&f, ALL_ACCESS, 10, 30);
    uint32_t key = fixture_key(fmr);
    const uint64_t good[] = {0x11000, 0x10000};
    CHECK_EQ(rvt_map_phys_fmr(fmr, good, 2, 0x5000), 0);
    static const struct {
        uint64_t pages[4], count, iova;
    } bad[] = {
        {{0x10000, 0x11000, 0x12000, 0x13000}, 4, 0x5000}, /* more than max_pages */
        {{0x10000}, UINT64_C(1) << 32, 0x5000},            /* the count is not truncated to 32 bits */
        {{0x10000}, (UINT64_C(1) << 32) + 1, 0x5000},
        {{0x10000}, UINT64_MAX, 0x5000},
        {{0x10000, 0x20000}, 2, 0x5000}, /* a page in no mapping */
        {{0x20000, 0x10000}, 2, 0x5000},
        {{0x11001}, 1, 0x5000},            /* a page across two adjacent mappings */
        {{0xf001}, 1, 0x5000},             /* a page that begins before the mapping */
        {{0x13001}, 1, 0x5000},            /* a page that ends one byte beyond the mapping */
        {{0xfffffffffffff001}, 1, 0x5000}, /* page address + size exceeds 2^64 */
        {{0xffffffffffffffff}, 1, 0x5000},
        {{0x10000}, 1, 0xfffffffffffff001}, /* iova + length exceeds 2^64 */
        {{0x10000, 0x11000}, 2, 0xfffffffffffff000},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(rvt_map_phys_fmr(fmr, bad[i].pages, bad[i].count, bad[i].iova), -RVT_EINVAL);
        CHECK_EQ(local_check(&f, &place, 0x5000, 2 * PAGE, key, 0), 1);
        CHECK_EQ(place.at, 0x11000);
        CHECK_EQ(local_check(&f, &place, 0x6000, 1, key, 0), 1);
        CHECK_EQ(place.at, 0x10000);
        CHECK_EQ(fixture_query(fmr).length, 2 * PAGE);
    }
    /* Lengths of 2^32 or more are refused. The kernel truncates 4 GiB to 0 and 5 GiB to 1 GiB. */
    const uint64_t gib = UINT64_C(1) << 40;
    uint64_t pages[] = {gib, gib, gib, gib, gib};
    CHECK_EQ(rvt_map_phys_fmr(big, pages, 3, 0), 0);
    CHECK_EQ(rvt_map_phys_fmr(big, pages, 4, 0), -RVT_EINVAL);
    CHECK_EQ(rvt_map_phys_fmr(big, pages, 5, 0), -RVT_EINVAL);
    CHECK_EQ(fixture_query(big).length, 3 * GIB);
    /* A range or a page may end exactly at 2^64. */
    CHECK_EQ(rvt_map_phys_fmr(fmr, &(uint64_t){UINT64_C(0) - PAGE}, 1, UINT64_C(0) - PAGE), 0);
    CHECK_EQ(local_check(&f, &place, UINT64_MAX, 1, key, 0), 1);
    CHECK_EQ(place.at, UINT64_MAX);
    CHECK_EQ(local_check(&f, &place, UINT64_MAX, 2, key, 0), 0);
    fixture_close(&f);
}

enum { LONGEST_LIST = 40 };

/* Checks that a list of `count` valid pages is mapped as given, and that it is refused with `bad` in place of
 * any page. The list is 16-byte aligned or not, depending on `count`. */
static void one_bad_page(struct fixture *f, struct rvt_mr_handle fmr, uint32_t count, const uint64_t *good,
                         uint64_t bad) {
    uint64_t memory[LONGEST_LIST + 1], *list = &memory[count % 2];
    struct rvt_place place;
    for (uint32_t i = 0; i < count; i++)
        list[i] = good[i % 3];
    CHECK_EQ(rvt_map_phys_fmr(fmr, list, count, 0), 0);
    uint32_t key = fixture_key(fmr), size = (uint32_t)(fixture_query(fmr).length / (count ? count : 1));
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(local_check(f, &place, (uint64_t)i * size, 1, key, 0), 1);
        CHECK_EQ(place.at, good[i % 3]);
    }
    for (uint32_t at = 0; at < count; at++) {
        list[at] = bad;
        CHECK_EQ(rvt_map_phys_fmr(fmr, list, count, 0), -RVT_EINVAL);
        list[at] = good[at % 3];
    }
}

static void an_invalid_page_is_refused_at_every_position(void) {
    static const struct {
        uint64_t address, length;
        uint32_t shift;
    } mappings[] = {
        {0x10000, 8 * PAGE, 12},
        {0x10000, 8 * PAGE - 1, 12},
        {0x10000, PAGE, 12}, /* exactly one page fits */
        {0x10000, 77, 0},
        {0, 4 * PAGE, 12},
        {UINT64_C(0) - 4 * PAGE, 4 * PAGE, 12},
        {UINT64_C(0) - 4 * PAGE, 4 * PAGE - 1, 3},
        /* The last page begins just below, exactly at, and just above 2^63 bytes into the mapping. */
        {0x10000, (UINT64_C(1) << 63) + PAGE - 1, 12},
        {0x10000, (UINT64_C(1) << 63) + PAGE, 12},
        {0x10000, (UINT64_C(1) << 63) + PAGE + 1, 12},
        {0x10000, UINT64_C(1) << 63, 0},
        {UINT64_C(1) << 63, UINT64_C(1) << 63, 12},
        {0x10000, UINT64_C(0) - 0x20000, 12},
        {0, UINT64_C(0) - PAGE, 12},
    };
    for (size_t i = 0; i < sizeof(mappings) / sizeof(mappings[0]); i++) {
        struct fixture f;
        uint64_t size = UINT64_C(1) << mappings[i].shift;
        uint64_t first = mappings[i].address, last = first + (mappings[i].length - size);
        const uint64_t good[] = {first + (last - first) / 2, last, first};
        const uint64_t bad[] = {first - 1,
                                last + 1,
                                first - size,
                                last + size,
                                first - 2,
                                first - (UINT64_C(1) << 63),
                                last + PAGE,
                                0,
                                1,
                                UINT64_MAX,
                                UINT64_MAX - PAGE + 1,
                                UINT64_C(1) << 63,
                                (UINT64_C(1) << 63) - 1};
        REQUIRE(fixture_open(&f, 4));
        fixture_dma(&f, bytes, mappings[i].length, first);
        struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, LONGEST_LIST, mappings[i].shift);
        for (size_t b = 0; b < sizeof(bad) / sizeof(bad[0]); b++)
            for (uint32_t count = 0; count <= LONGEST_LIST && bad[b] - first > last - first; count++)
                one_bad_page(&f, fmr, count, good, bad[b]);
        fixture_close(&f);
    }
}

static void a_page_larger_than_its_dma_mapping_is_refused(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, PAGE, 0x10000);
    fixture_dma(&f, bytes, 1, 0x20000);
    for (uint32_t shift = 0; shift <= 30; shift++) {
        struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 3, shift);
        const uint64_t one[] = {0x10000, 0x10000, 0x10000}, other[] = {0x20000, 0x20000, 0x20000};
        CHECK_EQ(rvt_map_phys_fmr(fmr, one, 3, 0), shift <= 12 ? 0 : -RVT_EINVAL);
        CHECK_EQ(rvt_map_phys_fmr(fmr, other, 3, 0), shift == 0 ? 0 : -RVT_EINVAL);
        CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), 0);
    }
    fixture_close(&f);
}

/* The list may have any alignment, and its pages may lie in several mappings. */
static void the_page_list_may_have_any_alignment(void) {
    struct fixture f;
    struct rvt_place place;
    static unsigned char memory[(LONGEST_LIST + 1) * sizeof(uint64_t)];
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    fixture_dma(&f, bytes, 4 * PAGE, 0x40000);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, LONGEST_LIST, 12);
    uint32_t key = fixture_key(fmr);
    for (uint32_t offset = 0; offset < 2 * sizeof(uint64_t); offset++) {
        /* LONGEST_LIST: all pages are in the first mapping */
        for (uint32_t other = 0; other <= LONGEST_LIST; other++) {
            uint32_t count = LONGEST_LIST - offset / sizeof(uint64_t);
            for (uint32_t i = 0; i < count; i++) {
                uint64_t page = (i == other ? 0x40000 : 0x10000) + i % 4 * PAGE;
                memcpy(memory + offset + i * sizeof(page), &page, sizeof(page));
            }
            CHECK_EQ(rvt_map_phys_fmr(fmr, (const uint64_t *)(const void *)(memory + offset), count, 0), 0);
            for (uint32_t i = 0; i < count; i++) {
                CHECK_EQ(local_check(&f, &place, (uint64_t)i * PAGE, 1, key, 0), 1);
                CHECK_EQ(place.at, (i == other ? 0x40000 : 0x10000) + i % 4 * PAGE);
            }
        }
    }
    fixture_close(&f);
}

static void an_fmr_can_be_mapped_to_no_pages(void) {
    struct fixture f;
    struct rvt_place place;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 3, 12), none = fixture_fmr(&f, ALL_ACCESS, 0, 12);
    CHECK_EQ(rvt_map_phys_fmr(fmr, NULL, 0, 0x5000), 0);
    struct rvt_mr_attributes a = fixture_query(fmr);
    CHECK_EQ(a.start, 0x5000);
    CHECK_EQ(a.iova, 0x5000);
    CHECK_EQ(a.length, 0);
    CHECK_EQ(local_check(&f, &place, 0x5000, 0, fixture_key(fmr), 0), 0);
    CHECK_EQ(f.reason, RVT_UNMAPPED);
    CHECK_EQ(rvt_map_phys_fmr(none, NULL, 0, UINT64_MAX), 0);
    CHECK_EQ(rvt_map_phys_fmr(none, &(uint64_t){0}, 1, 0), -RVT_EINVAL);
    fixture_close(&f);
}

static void mapping_a_held_fmr_is_busy_before_other_errors(void) {
    struct fixture f;
    struct rvt_sge sge;
    const uint64_t pages[] = {0x10000, 0x11000};
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 1, 12);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 1, 0x5000), 0);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 1, 0x5000), 0); /* mapping again without unmapping is allowed */
    CHECK_EQ(local(&f, &sge, 0x5000, 8, fixture_key(fmr), 0), 1);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 1, 0x6000), -RVT_EBUSY);
    /* -EBUSY takes precedence over the number of pages */
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 2, 0x6000), -RVT_EBUSY);
    CHECK_EQ(rvt_map_phys_fmr(fmr, &(uint64_t){1}, 1, UINT64_MAX), -RVT_EBUSY);
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    CHECK_EQ(fixture_query(fmr).start, 0x5000);
    /* After unmapping the FMR, mapping it still returns -EBUSY, because an SGE holds it. */
    CHECK_EQ(rvt_unmap_fmr(&fmr, 1), 0);
    CHECK_EQ(fixture_refs(fmr), 3);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 1, 0x6000), -RVT_EBUSY);
    CHECK_EQ(usable(&f, &sge), RVT_REMAPPED);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 1, 0x6000), 0);

    /* After a dealloc that returned -EBUSY, mapping returns -EBUSY too, whether or not the region is still
     * held (docs/deviations.md, 5: one held reference must not be mistaken for none). */
    CHECK_EQ(local(&f, &sge, 0x6000, 8, fixture_key(fmr), 0), 1);
    CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages + 1, 1, 0x6000), -RVT_EBUSY);
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages + 1, 1, 0x6000), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), 0);
    /* The wrong kind of region gives -EINVAL, held or not. */
    struct rvt_mr_handle user = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, 0);
    CHECK_EQ(rvt_map_phys_fmr(user, pages, 1, 0x6000), -RVT_EINVAL);
    CHECK_EQ(local(&f, &sge, 0x5000, 8, fixture_key(user), 0), 1);
    CHECK_EQ(rvt_map_phys_fmr(user, pages, 1, 0x6000), -RVT_EINVAL);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* --- a check in the middle of a mapping --- */

/* A page list that cannot be read until the signal handler below has run, which happens at the verb's first
 * read. */
static struct {
    struct fixture *f;
    struct rvt_sge *sge;
    void *list;
    size_t bytes;
    uint32_t key;
    int answer, runs;
} interruption;

static void interrupt(int signal) {
    (void)signal;
    interruption.runs++;
    interruption.answer = local(interruption.f, interruption.sge, 0x5000, 8, interruption.key, 0);
    if (interruption.runs > 1 || mprotect(interruption.list, interruption.bytes, PROT_READ | PROT_WRITE))
        _exit(99); /* a fault elsewhere, in the code under test */
}

/* A reference is taken after the verb has checked for references. The verb notices before it changes the
 * mapping, and frees the new map at once. */
static void a_reference_taken_during_a_mapping_makes_it_busy(void) {
    struct fixture f;
    struct rvt_sge sge;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 2, 12);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x11000}, 1, 0x5000), 0);
    size_t page = rvt_page_bytes();
    uint64_t *list = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(list != MAP_FAILED);
    list[0] = 0x10000;
    list[1] = 0x12000;
    struct sigaction now = {.sa_handler = interrupt}, before_segv, before_bus;
    REQUIRE(!sigaction(SIGSEGV, &now, &before_segv) && !sigaction(SIGBUS, &now, &before_bus));
    interruption.f = &f;
    interruption.sge = &sge;
    interruption.list = list;
    interruption.bytes = page;
    interruption.key = fixture_key(fmr);
    uint64_t held = rvt_held_bytes(f.device);
    REQUIRE(!mprotect(list, page, PROT_NONE));
    int answer = rvt_map_phys_fmr(fmr, list, 2, 0x7000);
    REQUIRE(!sigaction(SIGSEGV, &before_segv, NULL) && !sigaction(SIGBUS, &before_bus, NULL));
    CHECK_EQ(interruption.runs, 1);
    CHECK_EQ(interruption.answer, 1);
    CHECK_EQ(answer, -RVT_EBUSY);
    CHECK(!rvt_reclaim_pending(&f.device->retirement));
    /* Of the map blocks, at most the spare one is left. */
    CHECK(rvt_held_bytes(f.device) - held <= sizeof(struct rvt_map) + 2 * sizeof(uint64_t));
    CHECK_EQ(fixture_query(fmr).start, 0x5000);
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    CHECK_EQ(sge.at, 0x11000);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_map_phys_fmr(fmr, list, 2, 0x7000), 0);
    CHECK_EQ(fixture_query(fmr).start, 0x7000);
    munmap(list, page);
    fixture_close(&f);
}

static void unmap_fmr_unmaps_all_or_none(void) {
    struct fixture f, g;
    struct rvt_place place;
    struct rvt_sge sge;
    const uint64_t page = 0x10000;
    REQUIRE(fixture_open(&f, 4));
    fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    struct rvt_mr_handle a = fixture_fmr(&f, ALL_ACCESS, 1, 12), b = fixture_fmr(&f, ALL_ACCESS, 1, 12),
                         half = fixture_fmr(&f, ALL_ACCESS, 1, 12), dead = fixture_fmr(&f, 0, 1, 12),
                         user = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, 0), none = {0};
    CHECK_EQ(rvt_map_phys_fmr(a, &page, 1, 0x5000), 0);
    CHECK_EQ(rvt_map_phys_fmr(b, &page, 1, 0x6000), 0);
    CHECK_EQ(rvt_map_phys_fmr(half, &page, 1, 0x7000), 0);
    CHECK_EQ(local(&f, &sge, 0x7000, 8, fixture_key(half), 0), 1);
    CHECK_EQ(rvt_dealloc_fmr(half, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_fmr(dead, RVT_RELEASE), 0);
    REQUIRE(fixture_open(&g, 4));
    struct rvt_mr_handle foreign = fixture_fmr(&g, ALL_ACCESS, 1, 12);

    /* A list of FMRs is unmapped completely or not at all. */
    CHECK_EQ(rvt_unmap_fmr(NULL, 0), 0);
    CHECK_EQ(rvt_unmap_fmr((struct rvt_mr_handle[]){a, user}, 2), -RVT_EINVAL);
    CHECK_EQ(rvt_unmap_fmr((struct rvt_mr_handle[]){a, foreign}, 2), -RVT_EINVAL);
    CHECK_EQ(rvt_unmap_fmr((struct rvt_mr_handle[]){a, half}, 2), -RVT_EBUSY);
    CHECK_EQ(rvt_unmap_fmr((struct rvt_mr_handle[]){a, dead}, 2), -RVT_EBADF);
    CHECK_EQ(rvt_unmap_fmr((struct rvt_mr_handle[]){a, none}, 2), -RVT_EBADF);
    CHECK_EQ(rvt_unmap_fmr((struct rvt_mr_handle[]){none, a}, 2), -RVT_EBADF);
    CHECK_EQ(fixture_query(a).length, PAGE);
    CHECK_EQ(usable(&f, &sge), RVT_REASON_NONE);
    rvt_put_sge(&sge);

    /* A region listed twice, or one that is not mapped, is no error. */
    CHECK_EQ(rvt_unmap_fmr((struct rvt_mr_handle[]){a, b, a}, 3), 0);
    struct rvt_mr_handle both[] = {a, b};
    for (int i = 0; i < 2; i++) {
        struct rvt_mr_attributes q = fixture_query(both[i]);
        CHECK_EQ(q.start | q.iova | q.length | q.segments, 0);
        /* The length is 0, but the key stays valid. */
        CHECK_EQ(local_check(&f, &place, 0x5000, 1, q.keys.lkey, 0), 0);
        CHECK_EQ(f.reason, RVT_OUT_OF_BOUNDS);
        CHECK_EQ(local_check(&f, &place, 0, 0, q.keys.lkey, 0), 0);
        CHECK_EQ(f.reason, RVT_UNMAPPED);
    }
    CHECK_EQ(rvt_unmap_fmr(both, 2), 0);
    CHECK_EQ(rvt_map_phys_fmr(a, &page, 1, 0x5000), 0);
    CHECK_EQ(local_check(&f, &place, 0x5000, 1, fixture_key(a), 0), 1);
    fixture_close_one(&g);
    fixture_close(&f);
}

static void prepare(struct fixture *f) {
    fixture_dma(f, bytes, 4 * PAGE, 0x10000);
    fixture_dma(f, bytes, 4 * PAGE, 0x20000);
    f->mr = fixture_fmr(f, ALL_ACCESS, 4, 12);
    CHECK_EQ(rvt_map_phys_fmr(f->mr, &(uint64_t){0x12000}, 1, 0x5000), 0);
}

static int map_one(struct fixture *f) {
    const uint64_t pages[] = {0x10000, 0x11000};
    struct rvt_place place;
    int error = rvt_map_phys_fmr(f->mr, pages, 2, 0x5000);
    CHECK_EQ(local_check(f, &place, 0x5000, 1, fixture_key(f->mr), 0), 1);
    CHECK_EQ(place.at, error ? 0x12000 : 0x10000);
    return error;
}

static int map_several(struct fixture *f) {
    const uint64_t pages[] = {0x10000, 0x21000, 0x10000};
    return rvt_map_phys_fmr(f->mr, pages, 3, 0x5000);
}

static int unmap(struct fixture *f) {
    return rvt_unmap_fmr(&f->mr, 1);
}

static void mapping_fails_cleanly_and_unmapping_needs_no_memory(void) {
    each_allocation_fails(prepare, map_one, 1);
    each_allocation_fails(prepare, map_several, 1);
    each_allocation_fails(prepare, unmap, 0);
}

CHECK_MAIN(TEST(alloc_fmr_checks_its_attributes), TEST(every_page_shift_up_to_30_works),
           TEST(pages_need_no_alignment), TEST(a_refused_mapping_changes_nothing),
           TEST(an_invalid_page_is_refused_at_every_position),
           TEST(a_page_larger_than_its_dma_mapping_is_refused), TEST(the_page_list_may_have_any_alignment),
           TEST(an_fmr_can_be_mapped_to_no_pages), TEST(mapping_a_held_fmr_is_busy_before_other_errors),
           TEST(a_reference_taken_during_a_mapping_makes_it_busy), TEST(unmap_fmr_unmaps_all_or_none),
           TEST(mapping_fails_cleanly_and_unmapping_needs_no_memory))
