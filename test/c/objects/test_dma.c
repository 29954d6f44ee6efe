/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/dma.h"

#include "fixture.h"
#include "waiting.h"

static alignas(4096) unsigned char bytes[16 * PAGE];

/* Maps memory that is never accessed, so it can have any length. */
static int map_at(struct fixture *f, uint64_t address, uint64_t length, struct rvt_dma_handle *dma) {
    struct rvt_memory *memory = rvt_fixed_memory(bytes, length);
    uint64_t at = address;
    int error = rvt_dma_map(f->device, NULL, memory, true, &at, dma);
    CHECK_EQ(at, address);
    CHECK_EQ(atomic_load(&memory->references), error ? 1 : 2);
    rvt_memory_put(memory);
    return error;
}

static int unmap(void *handle) {
    return rvt_dma_unmap(*(struct rvt_dma_handle *)handle);
}

static struct rvt_dma_map *find(struct fixture *f, uint64_t address, uint64_t length) {
    read_enter(f);
    struct rvt_dma_map *map = rvt_dma_find(&f->device->dma, address, length, NULL);
    read_leave(f);
    return map;
}

static void map_refuses_unaligned_empty_and_wrapping_ranges(void) {
    const uint64_t top = UINT64_C(0) - PAGE; /* the last page below 2^64 */
    struct fixture f;
    struct rvt_dma_handle dma;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(map_at(&f, 0, 0, &dma), -RVT_EINVAL);
    CHECK_EQ(map_at(&f, 1, PAGE, &dma), -RVT_EINVAL);
    CHECK_EQ(map_at(&f, 0x800, PAGE, &dma), -RVT_EINVAL);
    CHECK_EQ(map_at(&f, PAGE + 8, PAGE, &dma), -RVT_EINVAL);
    CHECK_EQ(map_at(&f, top, PAGE + 1, &dma), -RVT_EINVAL);
    CHECK_EQ(map_at(&f, PAGE, UINT64_MAX, &dma), -RVT_EINVAL);
    CHECK_EQ(map_at(&f, top - PAGE, 3 * PAGE, &dma), -RVT_EINVAL);
    CHECK(find(&f, 0, 1) == NULL);

    CHECK_EQ(map_at(&f, 0, PAGE, &dma), 0);   /* address 0 is valid */
    CHECK_EQ(map_at(&f, top, PAGE, &dma), 0); /* a mapping may end at 2^64 */
    CHECK_PTR_EQ(find(&f, top, PAGE), dma.map);
    CHECK_PTR_EQ(find(&f, UINT64_MAX, 1), dma.map);
    CHECK_PTR_EQ(find(&f, UINT64_MAX, 0), dma.map);
    CHECK(find(&f, UINT64_MAX, 2) == NULL); /* would wrap around to the mapping at address 0 */
    CHECK(find(&f, top, PAGE + 1) == NULL);
    CHECK(find(&f, UINT64_MAX, UINT64_MAX) == NULL);
    fixture_close(&f);
}

static void map_refuses_overlapping_ranges(void) {
    static const struct {
        uint64_t address, length;
        int answer;
    } rows[] = {
        /* existing mappings: [0x10000, 0x14000) and [0x20000, 0x20800) */
        {0x10000, 0x4000, -RVT_EINVAL}, /* same range as the first mapping */
        {0x10000, 1, -RVT_EINVAL},
        {0x13000, 1, -RVT_EINVAL},
        {0xf000, 0x1001, -RVT_EINVAL},
        {0x8000, 0x100000, -RVT_EINVAL}, /* covers both mappings */
        {0x11000, 0x1000, -RVT_EINVAL},  /* inside the first mapping */
        {0x13000, 0x100000, -RVT_EINVAL},
        {0x14000, 0xc001, -RVT_EINVAL},
        {0x20000, 1, -RVT_EINVAL},
        {0, UINT64_MAX, -RVT_EINVAL},
        {0xf000, 0x1000, 0},  /* ends where the first mapping begins */
        {0x14000, 0xc000, 0}, /* fills the gap between the mappings exactly */
        {0x21000, 1, 0},
    };
    struct fixture f;
    struct rvt_dma_handle dma;
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(map_at(&f, 0x20000, 0x800, &dma), 0);
    CHECK_EQ(map_at(&f, 0x10000, 0x4000, &dma), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CHECK_EQ(map_at(&f, rows[i].address, rows[i].length, &dma), rows[i].answer);
    fixture_close(&f);
}

static void finds_the_mapping_that_contains_the_whole_range(void) {
    struct fixture f;
    struct rvt_dma_handle a, b, c;
    bool straddles;
    REQUIRE(fixture_open(&f, 4));
    CHECK(find(&f, 0x10000, 1) == NULL); /* without mappings there is no table */
    CHECK_EQ(map_at(&f, 0x30000, 0x1000, &c), 0);
    CHECK_EQ(map_at(&f, 0x10000, 0x4000, &a), 0);
    CHECK_EQ(map_at(&f, 0x14000, 0x1800, &b), 0); /* directly behind mapping a */
    static const struct {
        uint64_t address, length;
        int which; /* 1, 2, 3: mapping a, b, c; 0: none */
        bool straddles;
    } rows[] = {
        {0xffff, 1, 0, false},
        {0xffff, 2, 0, false}, /* begins outside any mapping */
        {0x10000, 0, 1, false},
        {0x10000, 0x4000, 1, false},
        {0x13fff, 1, 1, false},
        /* a range must lie in one mapping, even if the next one is adjacent */
        {0x13fff, 0, 1, false},
        {0x13fff, 2, 0, true},
        {0x10000, 0x4001, 0, true},
        {0x14000, 0x1800, 2, false},
        {0x14000, 0x1801, 0, true},
        {0x157ff, 1, 2, false},
        {0x15800, 0, 0, false}, /* the end of a mapping lies outside */
        {0x15800, 1, 0, false},
        {0x30000, 0x1000, 3, false},
        {0x31000, 0, 0, false},
        {UINT64_MAX, 1, 0, false},
        {0x30fff, UINT64_MAX, 0, true},
        {0, 0, 0, false},
    };
    const struct rvt_dma_map *maps[] = {NULL, a.map, b.map, c.map};
    read_enter(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        straddles = !rows[i].straddles;
        CHECK_PTR_EQ(rvt_dma_find(&f.device->dma, rows[i].address, rows[i].length, &straddles),
                     maps[rows[i].which]);
        CHECK_EQ(straddles, rows[i].straddles);
        if (rows[i].which)
            CHECK(rvt_dma_holds(maps[rows[i].which], rows[i].address, rows[i].length));
    }
    read_leave(&f);
    fixture_close(&f);
}

static void lookups_match_a_plain_search(void) {
    struct fixture f;
    struct {
        uint64_t address, length;
        struct rvt_dma_handle dma;
    } live[64];
    uint32_t count = 0;
    uint64_t seed = 5;
    REQUIRE(fixture_open(&f, 4));
    for (int i = 0; i < 4000; i++) {
        uint64_t address = roll(&seed, 256) * PAGE, length = 1 + roll(&seed, 6 * PAGE);
        uint64_t what = roll(&seed, 4);
        if (what == 0 && count < 64) {
            bool overlaps = false;
            for (uint32_t k = 0; k < count; k++)
                overlaps |= address < live[k].address + live[k].length && live[k].address < address + length;
            CHECK_EQ(map_at(&f, address, length, &live[count].dma), overlaps ? -RVT_EINVAL : 0);
            if (!overlaps) {
                live[count].address = address;
                live[count++].length = length;
            }
        } else if (what == 1 && count && roll(&seed, 3) == 0) {
            uint32_t k = (uint32_t)roll(&seed, count);
            CHECK_EQ(rvt_dma_unmap(live[k].dma), 0);
            CHECK_EQ(rvt_dma_unmap(live[k].dma), -RVT_EBADF);
            live[k] = live[--count];
        } else {
            const struct rvt_dma_map *holder = NULL;
            address += roll(&seed, PAGE);
            length = roll(&seed, 2 * PAGE);
            for (uint32_t k = 0; k < count; k++)
                if (address >= live[k].address && address < live[k].address + live[k].length &&
                    address + length <= live[k].address + live[k].length)
                    holder = live[k].dma.map;
            CHECK_PTR_EQ(find(&f, address, length), holder);
        }
    }
    fixture_close(&f);
}

static void chosen_addresses_leave_gaps(void) {
    static const uint64_t lengths[] = {1, 4095, 4096, 4097, 123456, UINT64_C(1) << 35};
    struct fixture f;
    uint64_t end = 0;
    REQUIRE(fixture_open(&f, 4));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct rvt_memory *memory = rvt_fixed_memory(bytes, lengths[i]);
        struct rvt_dma_handle dma;
        uint64_t address = 12345;
        CHECK_EQ(rvt_dma_map(f.device, NULL, memory, false, &address, &dma), 0);
        CHECK_EQ(address % PAGE, 0);
        /* Chosen addresses leave a gap, so that an overrun does not reach the next mapping. */
        CHECK(address > end);
        CHECK_PTR_EQ(find(&f, address, lengths[i]), dma.map);
        end = address + lengths[i];
        rvt_memory_put(memory);
    }
    fixture_close(&f);
}

static void chosen_addresses_avoid_existing_mappings(void) {
    struct fixture f;
    struct rvt_dma_handle dma, in_the_way, at_the_top;
    uint64_t address = 0, next = 0;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_memory *memory = rvt_fixed_memory(bytes, 4 * PAGE);
    CHECK_EQ(rvt_dma_map(f.device, NULL, memory, false, &address, &dma), 0);
    /* Place mappings where the next addresses would be chosen, and at the very end of the address space. */
    CHECK_EQ(map_at(&f, address + 6 * PAGE, 100 * PAGE, &in_the_way), 0);
    CHECK_EQ(map_at(&f, address + (107 + 4) * PAGE, PAGE, &in_the_way),
             0); /* directly behind the next address that would be chosen */
    CHECK_EQ(map_at(&f, UINT64_C(0) - PAGE, PAGE, &at_the_top), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(rvt_dma_map(f.device, NULL, memory, false, &next, &dma), 0);
        CHECK_PTR_EQ(find(&f, next, 4 * PAGE), dma.map);
        CHECK(find(&f, next - 1, 1) == NULL); /* the mapping has a gap on both sides */
        CHECK(find(&f, next + 4 * PAGE, 1) == NULL);
    }
    rvt_memory_put(memory);
    fixture_close(&f);
}

static void map_fails_if_no_address_is_free(void) {
    struct fixture f;
    struct rvt_dma_handle dma;
    uint64_t address = 0;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_memory *vast = rvt_fixed_memory(bytes, UINT64_MAX), *small = rvt_fixed_memory(bytes, PAGE);
    CHECK_EQ(rvt_dma_map(f.device, NULL, vast, false, &address, &dma), -RVT_EINVAL);
    CHECK_EQ(rvt_dma_map(f.device, NULL, small, false, &address, &dma), 0);
    CHECK_EQ(rvt_dma_unmap(dma), 0);
    CHECK_EQ(map_at(&f, PAGE, UINT64_MAX - PAGE, &dma), 0); /* nearly the whole address space */
    CHECK_EQ(rvt_dma_map(f.device, NULL, small, false, &address, &dma), -RVT_EINVAL);
    rvt_memory_put(vast);
    rvt_memory_put(small);
    fixture_close(&f);
}

static void a_mapping_can_be_unmapped_once(void) {
    struct fixture f;
    struct rvt_dma_handle a, b, again, none = {0};
    REQUIRE(fixture_open(&f, 4));
    CHECK_EQ(rvt_dma_unmap(none), -RVT_EBADF);
    CHECK_EQ(map_at(&f, 0x10000, PAGE, &a), 0);
    CHECK_EQ(map_at(&f, 0x20000, PAGE, &b), 0);
    CHECK_EQ(rvt_dma_unmap(a), 0);
    CHECK(find(&f, 0x10000, 1) == NULL);
    CHECK_PTR_EQ(find(&f, 0x20000, 1), b.map);
    CHECK_EQ(rvt_dma_unmap(a), -RVT_EBADF);
    /* The new mapping may reuse the object of the first one. */
    CHECK_EQ(map_at(&f, 0x10000, PAGE, &again), 0);
    CHECK_EQ(rvt_dma_unmap(a), -RVT_EBADF);
    CHECK_PTR_EQ(find(&f, 0x10000, 1), again.map);
    CHECK_EQ(rvt_dma_unmap(again), 0);
    CHECK_EQ(rvt_dma_unmap(b), 0);
    CHECK(find(&f, 0x20000, 1) == NULL);
    fixture_close(&f);
}

static void unmap_is_busy_while_a_page_list_uses_the_mapping(void) {
    struct fixture f;
    struct rvt_sg_outcome outcome;
    uint64_t pages[] = {0x10000, 0x20000, 0x10000};
    REQUIRE(fixture_open(&f, 4));
    struct rvt_dma_handle a = fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    struct rvt_dma_handle b = fixture_dma(&f, bytes + 4 * PAGE, 4 * PAGE, 0x20000);
    struct rvt_mr_handle fmr = fixture_fmr(&f, 0, 4, 12), sg = fixture_mem_reg(&f, 4);

    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 1, 0), 0);
    CHECK_EQ(rvt_dma_unmap(a), -RVT_EBUSY);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages + 1, 1, 0), 0); /* replaces the page in a by one in b */
    CHECK_EQ(rvt_dma_unmap(b), -RVT_EBUSY);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, 3, 0), 0); /* pages of both mappings, one of them twice */
    CHECK_EQ(rvt_dma_unmap(a), -RVT_EBUSY);
    CHECK_EQ(rvt_dma_unmap(b), -RVT_EBUSY);
    CHECK_EQ(rvt_unmap_fmr(&fmr, 1), 0);

    CHECK_EQ(
        rvt_map_mr_sg(sg, (struct rvt_sg_element[]){{0x11000, PAGE}, {0x22000, PAGE}}, 2, 0, PAGE, &outcome),
        2);
    CHECK_EQ(rvt_dma_unmap(a), -RVT_EBUSY);
    CHECK_EQ(rvt_dma_unmap(b), -RVT_EBUSY);
    CHECK_PTR_EQ(find(&f, 0x10000, PAGE), a.map); /* a refused unmap changes nothing */
    CHECK_EQ(rvt_map_mr_sg(sg, &(struct rvt_sg_element){0x11000, PAGE}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_dma_unmap(b), 0);
    CHECK_EQ(rvt_dma_unmap(a), -RVT_EBUSY);
    CHECK_EQ(rvt_dereg_mr(sg, RVT_RELEASE), 0);
    CHECK_EQ(rvt_dma_unmap(a), 0);
    fixture_close(&f);
}

static void unmap_is_busy_while_a_held_page_list_uses_the_mapping(void) {
    struct fixture f;
    struct rvt_sge sge;
    uint64_t page = 0x10000;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_dma_handle dma = fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    struct rvt_mr_handle fmr = fixture_fmr(&f, ALL_ACCESS, 4, 12);
    CHECK_EQ(rvt_map_phys_fmr(fmr, &page, 1, 0), 0);
    CHECK_EQ(local(&f, &sge, 0, 8, fixture_key(fmr), LOCAL_WRITE), 1);
    CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE), -RVT_EBUSY);
    CHECK_EQ(rvt_dma_unmap(dma), -RVT_EBUSY); /* the SGE can still write to the mapping */
    CHECK_EQ(rvt_dealloc_fmr(fmr, RVT_RELEASE_FORCE), 0);
    CHECK_EQ(rvt_dma_unmap(dma), 0); /* the SGE is revoked */
    CHECK_EQ(usable(&f, &sge), RVT_REGION_REVOKED);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static void unmap_is_busy_while_an_sge_of_key_zero_is_held(void) {
    struct fixture f;
    struct rvt_mr_handle mr;
    struct rvt_sge sge, second;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_dma_handle a = fixture_dma(&f, bytes, 4 * PAGE, 0x10000);
    struct rvt_dma_handle b = fixture_dma(&f, bytes, 4 * PAGE, 0x20000);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &mr), 0);
    CHECK_EQ(local(&f, &sge, 0x10000, 8, 0, 0), 1);
    CHECK_EQ(remote(&f, &second, 0x10008, 8, 0, 0), 1);
    CHECK_EQ(rvt_dma_unmap(b),
             0); /* the published DMA region, or an SGE on another mapping, does not keep this one */
    CHECK_EQ(rvt_dma_unmap(a), -RVT_EBUSY);
    rvt_put_sge(&sge);
    CHECK_EQ(rvt_dma_unmap(a), -RVT_EBUSY);
    rvt_put_sge(&second);
    CHECK_EQ(rvt_dma_unmap(a), 0);
    CHECK_EQ(local(&f, &sge, 0x10000, 8, 0, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_UNMAPPED);
    fixture_close(&f);
}

static void a_closed_mapping_accepts_no_users(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_dma_handle dma = fixture_dma(&f, bytes, PAGE, 0x10000);
    CHECK(rvt_dma_acquire(dma.map));
    CHECK(rvt_dma_acquire(dma.map));
    CHECK_EQ(rvt_dma_unmap(dma), -RVT_EBUSY);
    rvt_dma_release(dma.map, 2);
    struct waiting w;
    read_enter(&f); /* the section keeps the mapping's object from being reused */
    struct rvt_dma_map *seen = rvt_dma_find(&f.device->dma, 0x10000, 1, NULL);
    CHECK_PTR_EQ(seen, dma.map);
    CHECK(begin_waiting(&w, unmap, &dma));
    CHECK(!rvt_dma_acquire(seen));
    CHECK_EQ(seen->address, 0x10000); /* the mapping's address and length stay readable */
    CHECK_EQ(seen->length, PAGE);
    read_leave(&f);
    CHECK_EQ(end_waiting(&w), 0);
    fixture_close(&f);
}

/* A writer is interrupted between closing a mapping and removing it from the table. Checks must not wait for
 * the writer. */
static void checks_do_not_wait_for_an_unmap(void) {
    struct fixture f;
    struct rvt_mr_handle mr;
    struct rvt_sge sge;
    struct rvt_place place;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_dma_handle dma = fixture_dma(&f, bytes, PAGE, 0x10000);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &mr), 0);
    atomic_fetch_or(&dma.map->users, RVT_DMA_CLOSED);
    CHECK_EQ(local(&f, &sge, 0x10000, 8, 0, 0), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_UNMAPPED);
    CHECK_EQ(remote(&f, &sge, 0x10000, 8, 0, 0), 0);
    CHECK_EQ(f.reason, RVT_UNMAPPED);
    CHECK_EQ(local_check(&f, &place, 0x10000, 8, 0, 0), 0);
    CHECK_EQ(f.reason, RVT_UNMAPPED);
    atomic_fetch_and(&dma.map->users, ~RVT_DMA_CLOSED);
    CHECK_EQ(local(&f, &sge, 0x10000, 8, 0, 0), 1);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

struct watched {
    struct rvt_memory memory;
    atomic_int released;
};

static enum rvt_reason watched_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)memory, (void)environment;
    *data = bytes;
    return RVT_REASON_NONE;
}

static void watched_release(struct rvt_memory *memory) {
    ((struct watched *)memory)->released++;
}

static const struct rvt_memory_ops watched_ops = {watched_resolve, watched_release, NULL};

static void unmap_releases_the_memory_after_the_last_reader(void) {
    struct fixture f;
    struct watched watched = {.released = 0};
    struct rvt_dma_handle dma;
    uint64_t address = 0x10000;
    REQUIRE(fixture_open(&f, 4));
    rvt_memory_init(&watched.memory, &watched_ops, PAGE);
    CHECK_EQ(rvt_dma_map(f.device, NULL, &watched.memory, true, &address, &dma), 0);
    rvt_memory_put(&watched.memory);
    CHECK_EQ(watched.released, 0);
    struct waiting w;
    read_enter(&f);
    CHECK(begin_waiting(&w, unmap, &dma));
    CHECK(find(&f, 0x10000, 1) == NULL); /* new lookups do not find the mapping */
    CHECK_EQ(atomic_load(&watched.released), 0);
    read_leave(&f);
    CHECK_EQ(end_waiting(&w), 0);
    /* The memory is released when the call returns, and not later. */
    CHECK_EQ(atomic_load(&watched.released), 1);
    fixture_close(&f);
}

static void make_memory(struct fixture *f) {
    f->memory = rvt_fixed_memory(bytes, PAGE);
}

static int map_chosen(struct fixture *f) {
    for (int i = 0; i < 70; i++) { /* enough mappings that the pool grows */
        uint64_t address = 0;
        uint32_t references = atomic_load(&f->memory->references);
        int error = rvt_dma_map(f->device, NULL, f->memory, false, &address, &f->dma);
        CHECK_EQ(atomic_load(&f->memory->references), references + !error);
        if (error)
            return error;
    }
    return 0;
}

static void map_fails_cleanly_without_memory(void) {
    each_allocation_fails(make_memory, map_chosen, 70);
}

/* --- mappings of a context that is deallocated --- */

static bool mapping_closed(struct rvt_dma_handle dma) {
    return rvt_object_generation(&dma.map->owned.object) != dma.generation;
}

static struct rvt_mr_handle map_list(struct rvt_mr_handle mr, const uint64_t *pages, uint32_t count) {
    struct rvt_sg_element list[4];
    struct rvt_sg_outcome outcome;
    if (mr.mr->kind == RVT_MR_FMR) {
        CHECK_EQ(rvt_map_phys_fmr(mr, pages, count, pages[0]), 0);
        return mr;
    }
    for (uint32_t i = 0; i < count; i++)
        list[i] = (struct rvt_sg_element){pages[i], PAGE};
    CHECK_EQ(rvt_map_mr_sg(mr, list, count, 0, PAGE, &outcome), count);
    return mr;
}

/* Page lists of the context that stays, of all forms: with pages of the deallocated context, of its own, and
 * of both. */
static void page_lists_on_removed_mappings_become_empty(void) {
    enum { GOES = 0x10000, GOES_TOO = 0x20000, STAYS = 0x40000 };
    static const struct {
        uint32_t count;
        uint64_t pages[4];
        bool fmr, named;
        enum { LIVE, INVALID, HALF_DEAD, AWAITED } state;
    } rows[] = {
        {2, {GOES, GOES + PAGE}, true, true, LIVE},
        {2, {GOES, GOES + PAGE}, false, true, LIVE},
        {2, {STAYS, GOES}, true, true, LIVE},
        {2, {STAYS, GOES}, false, true, LIVE},
        {3, {GOES, STAYS, STAYS + PAGE}, true, true, LIVE},
        {3, {GOES, STAYS, STAYS}, false, true, LIVE},
        {2, {GOES, GOES_TOO}, true, true, LIVE},
        {3, {STAYS, STAYS, GOES_TOO}, true, true, LIVE},
        {2, {STAYS, STAYS + PAGE}, true, false, LIVE},
        {2, {STAYS, STAYS + PAGE}, false, false, LIVE},
        {2, {STAYS, STAYS + 4 * PAGE}, true, false, LIVE}, /* pages of two mappings that both stay */
        {1, {GOES}, false, true, INVALID},
        {2, {GOES, STAYS}, true, true, INVALID},
        {1, {STAYS}, false, false, INVALID},
        {1, {GOES}, true, true, HALF_DEAD},
        {2, {STAYS, GOES}, false, true, HALF_DEAD},
        {1, {STAYS}, true, false, HALF_DEAD},
        {1, {GOES}, false, true, AWAITED},
        {1, {STAYS}, false, false, AWAITED},
    };
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    struct fixture a, b;
    struct rvt_mr_handle mr[ROWS];
    struct rvt_sge held[ROWS];
    uint32_t key[ROWS];
    REQUIRE(fixture_open_joined(&a, 6) && fixture_join(&b, a.device));
    struct rvt_dma_handle goes = fixture_dma(&a, bytes, 2 * PAGE, GOES);
    struct rvt_dma_handle goes_too = fixture_dma(&a, bytes, PAGE, GOES_TOO);
    struct rvt_dma_handle stays = fixture_dma(&b, bytes + 2 * PAGE, 2 * PAGE, STAYS);
    struct rvt_dma_handle stays_too = fixture_dma(&b, bytes + 6 * PAGE, PAGE, STAYS + 4 * PAGE);
    for (uint32_t i = 0; i < ROWS; i++) {
        mr[i] = map_list(rows[i].fmr ? fixture_fmr(&b, ALL_ACCESS, 4, 12) : fixture_mem_reg(&b, 4),
                         rows[i].pages, rows[i].count);
        key[i] = fixture_key(mr[i]);
        CHECK_EQ(local(&b, &held[i], rows[i].pages[0], 8, key[i], 0), 1);
        if (rows[i].state == INVALID)
            CHECK_EQ(rvt_invalidate_rkey(b.qp, key[i]), 0);
        enum rvt_release_mode mode = rows[i].state == AWAITED ? RVT_RELEASE_AWAIT : RVT_RELEASE;
        if (rows[i].state >= HALF_DEAD)
            CHECK_EQ(rows[i].fmr ? rvt_dealloc_fmr(mr[i], mode) : rvt_dereg_mr(mr[i], mode), -RVT_EBUSY);
    }
    CHECK(atomic_load(&goes.map->users) > 0);
    CHECK_EQ(rvt_dma_unmap(goes), -RVT_EBUSY);
    const uint64_t used = atomic_load(&stays.map->users);

    CHECK_EQ(rvt_dealloc_ucontext(a.context, true), 0);
    CHECK(mapping_closed(goes) && mapping_closed(goes_too) && !mapping_closed(stays) &&
          !mapping_closed(stays_too));
    CHECK_EQ(atomic_load(&goes.map->users), RVT_DMA_CLOSED); /* no page list uses the mapping any more */
    CHECK_EQ(atomic_load(&goes_too.map->users), RVT_DMA_CLOSED);
    CHECK(find(&b, GOES, 1) == NULL && find(&b, GOES_TOO, 1) == NULL);
    CHECK_PTR_EQ(find(&b, STAYS, 2 * PAGE), stays.map);
    CHECK_PTR_EQ(find(&b, STAYS + 4 * PAGE, PAGE), stays_too.map);
    CHECK_EQ(rvt_dma_unmap(goes), -RVT_EBADF);
    /* A list over both contexts' mappings counted as a user of each; it no longer uses the mapping that
     * stays. */
    CHECK(atomic_load(&stays.map->users) < used);

    for (uint32_t i = 0; i < ROWS; i++) {
        struct rvt_place place;
        struct rvt_copied copied;
        unsigned char out[8];
        const bool ended = rows[i].named && rows[i].state >= HALF_DEAD;
        const enum rvt_reason reason = !rows[i].named              ? RVT_REASON_NONE
                                       : rows[i].state < HALF_DEAD ? RVT_REMAPPED
                                                                   : RVT_REGION_REVOKED;
        CHECK_EQ(fixture_dead(mr[i]), ended);
        CHECK_EQ(usable(&b, &held[i]), reason);
        CHECK_EQ(get_bytes(&b, &held[i], out, 8, &copied), reason ? -RVT_EACCES : 0);
        CHECK_EQ(copied.reason, reason);
        if (!ended) {
            struct rvt_mr_attributes is = fixture_query(mr[i]);
            CHECK_EQ(is.length, rows[i].named ? 0 : rows[i].count * PAGE);
            CHECK_EQ(is.segments, rows[i].named ? 0 : rows[i].count);
            CHECK_EQ(is.start, rows[i].named ? 0 : rows[i].pages[0]);
            CHECK_EQ(is.iova, rows[i].named ? 0 : rows[i].pages[0]);
            CHECK_EQ(is.valid, rows[i].state != INVALID);
            CHECK_EQ(is.keys.lkey, key[i]);
        }
        if (rows[i].state <= INVALID) {
            const enum rvt_reason verdict = rows[i].state == INVALID ? RVT_INVALIDATED
                                            : rows[i].named          ? RVT_OUT_OF_BOUNDS
                                                                     : RVT_REASON_NONE;
            CHECK_EQ(local_check(&b, &place, rows[i].pages[0], 8, key[i], 0), !verdict);
            CHECK_EQ(b.reason, verdict);
            if (rows[i].named) { /* the region is also unusable at its new start address, 0 */
                CHECK_EQ(local_check(&b, &place, 0, 1, key[i], 0), 0);
                CHECK_EQ(remote_check(&b, &place, 0, 1, key[i], REMOTE_READ), 0);
            }
        }
        rvt_put_sge(&held[i]);
        if (ended)
            continue;
        if (rows[i].state >= HALF_DEAD) {
            CHECK_EQ(rows[i].fmr ? rvt_dealloc_fmr(mr[i], RVT_RELEASE) : rvt_dereg_mr(mr[i], RVT_RELEASE), 0);
            continue;
        }
        /* The region can be mapped again and used. */
        map_list(mr[i], (uint64_t[]){STAYS + PAGE}, 1);
        if (rows[i].state == INVALID && !rows[i].fmr)
            CHECK_EQ(rvt_fast_reg_mr(b.qp, mr[i], key[i], ALL_ACCESS, NULL), 0);
        if (rows[i].state != INVALID || !rows[i].fmr) {
            CHECK_EQ(local(&b, &held[i], STAYS + PAGE, PAGE, key[i], 0), 1);
            CHECK_EQ(get_bytes(&b, &held[i], out, 8, &copied), 0);
            rvt_put_sge(&held[i]);
        }
    }
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
}

/* The last mapping of the device is removed while another context's region uses it. */
static void removing_the_last_mapping_frees_its_address(void) {
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_dma_handle dma = fixture_dma(&a, bytes, PAGE, 0x10000);
    struct rvt_mr_handle fmr = map_list(fixture_fmr(&b, 0, 2, 12), (uint64_t[]){0x10000}, 1);
    CHECK_EQ(rvt_dealloc_ucontext(a.context, true), 0);
    CHECK(mapping_closed(dma));
    CHECK(atomic_load(&b.device->dma.table) == NULL);
    CHECK_EQ(fixture_query(fmr).length, 0);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000}, 1, 0), -RVT_EINVAL);
    /* The address is free again. */
    fixture_dma(&b, bytes, PAGE, 0x10000);
    CHECK_EQ(rvt_map_phys_fmr(fmr, (uint64_t[]){0x10000}, 1, 0), 0);
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
}

/* SGEs of key 0 on a mapping whose context is deallocated, while the DMA region belongs to a context that
 * stays. */
static void sges_of_key_zero_on_a_removed_mapping_are_revoked(void) {
    struct fixture a, b;
    struct rvt_mr_handle dma_mr;
    struct rvt_sge held[2], staying, more, next;
    struct rvt_copied copied;
    unsigned char out[8];
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_dma_handle goes = fixture_dma(&a, bytes, PAGE, 0x10000), unheld;
    struct rvt_dma_handle stays = fixture_dma(&b, bytes + PAGE, PAGE, 0x20000);
    unheld = fixture_dma(&a, bytes, PAGE, 0x30000);
    CHECK_EQ(rvt_get_dma_mr(b.pd, 0, &dma_mr), 0);
    CHECK_EQ(local(&b, &held[0], 0x10000, 8, 0, LOCAL_WRITE), 1);
    CHECK_EQ(local(&b, &held[1], 0x10008, 8, 0, REMOTE_ATOMIC), 1);
    CHECK_EQ(local(&b, &staying, 0x20000, 8, 0, LOCAL_WRITE), 1);
    CHECK_EQ(fixture_refs(dma_mr), 6);
    CHECK_EQ(rvt_dealloc_ucontext(a.context, true), 0);
    CHECK(mapping_closed(goes) && mapping_closed(unheld) && !mapping_closed(stays));

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(usable(&b, &held[i]), RVT_REGION_REVOKED);
        CHECK_EQ(get_bytes(&b, &held[i], out, 8, &copied), -RVT_EACCES);
        CHECK_EQ(copied.reason, RVT_REGION_REVOKED);
    }
    struct rvt_data_call call;
    uint64_t old;
    enum rvt_reason reason;
    rvt_data_call_begin(&call, b.reader, NULL);
    CHECK_EQ(rvt_sge_fetch_add(&call, &held[1], 1, &old, &reason), -RVT_EACCES);
    CHECK_EQ(reason, RVT_REGION_REVOKED);
    struct fragments fragments;
    CHECK_EQ(walk_whole(&b, &held[0], &fragments), -RVT_EINVAL);
    CHECK_EQ(b.reason, RVT_REGION_REVOKED);
    CHECK_EQ(usable(&b, &staying), RVT_REASON_NONE);
    CHECK_EQ(get_bytes(&b, &staying, out, 8, &copied), 0);
    /* No new SGE, and no coalescing into an old one. */
    CHECK_EQ(local(&b, &more, 0x10000, 8, 0, 0), -RVT_EINVAL);
    CHECK_EQ(b.reason, RVT_UNMAPPED);
    CHECK_EQ(local_in(&b, b.pd, &more, &held[0], 0x10008, 8, 0, 0), -RVT_EINVAL);
    CHECK_EQ(held[0].sge_length, 8);

    /* The object of a mapping that is held is not reused, even at the same address; the other mapping's
     * object is. */
    struct rvt_dma_handle again = fixture_dma(&b, bytes + 2 * PAGE, PAGE, 0x10000);
    CHECK_PTR_EQ(again.map, unheld.map);
    for (int i = 0; i < 70; i++)
        CHECK(fixture_dma(&b, bytes, PAGE, 0x100000 + (uint64_t)i * PAGE).map != goes.map);
    CHECK_EQ(local(&b, &next, 0x10008, 8, 0, 0), 1);
    CHECK_EQ(usable(&b, &held[0]), RVT_REGION_REVOKED);
    CHECK_EQ(atomic_load(&again.map->users), 1);
    CHECK_EQ(atomic_load(&goes.map->users), RVT_DMA_CLOSED | 2);
    rvt_put_sge(&held[0]);
    rvt_put_sge(&held[1]);
    CHECK_EQ(atomic_load(&goes.map->users), RVT_DMA_CLOSED);
    CHECK_EQ(atomic_load(&again.map->users), 1);
    CHECK_EQ(fixture_refs(dma_mr), 5);
    rvt_put_sge(&next);
    rvt_put_sge(&staying);
    CHECK_EQ(fixture_refs(dma_mr), 3);
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
}

/* Deallocating a context needs no memory, and does not affect objects of other contexts. */
static void deallocating_a_context_needs_no_memory(void) {
    struct fixture a, b;
    struct rvt_mr_handle dma_mr, of_a, of_b, of_both, half_dead, user;
    struct rvt_sge held[5], by_key_zero, of_goes;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_dma_handle goes = fixture_dma(&a, bytes, PAGE, 0x10000);
    struct rvt_dma_handle stays = fixture_dma(&b, bytes, PAGE, 0x20000);
    of_a = map_list(fixture_fmr(&b, ALL_ACCESS, 2, 12), (uint64_t[]){0x10000}, 1);
    of_b = map_list(fixture_fmr(&b, ALL_ACCESS, 2, 12), (uint64_t[]){0x20000}, 1);
    of_both = map_list(fixture_mem_reg(&b, 2), (uint64_t[]){0x20000, 0x10000}, 2);
    half_dead = map_list(fixture_fmr(&b, ALL_ACCESS, 2, 12), (uint64_t[]){0x10000}, 1);
    user = fixture_reg(&b, bytes, PAGE, 0x7000, 0x7000, ALL_ACCESS);
    CHECK_EQ(rvt_get_dma_mr(b.pd, 0, &dma_mr), 0);
    CHECK_EQ(local(&b, &held[0], 0x10000, 8, fixture_key(of_a), 0), 1);
    CHECK_EQ(local(&b, &held[1], 0x20000, 8, fixture_key(of_b), 0), 1);
    CHECK_EQ(local(&b, &held[2], 0x20000, 8, fixture_key(of_both), 0), 1);
    CHECK_EQ(local(&b, &held[3], 0x10000, 8, fixture_key(half_dead), 0), 1);
    CHECK_EQ(local(&b, &held[4], 0x7000, 8, fixture_key(user), 0), 1);
    CHECK_EQ(local(&b, &by_key_zero, 0x20000, 8, 0, 0), 1);
    CHECK_EQ(local(&b, &of_goes, 0x10000, 8, 0, 0), 1);
    CHECK_EQ(rvt_dealloc_fmr(half_dead, RVT_RELEASE), -RVT_EBUSY);

    rvt_test_alloc_fail_after(0);
    CHECK_EQ(rvt_dealloc_ucontext(a.context, true), 0);
    CHECK(!rvt_test_alloc_failed());
    rvt_test_alloc_fail_after(-1);
    CHECK(mapping_closed(goes) && !mapping_closed(stays));
    CHECK(find(&b, 0x10000, 1) == NULL);
    CHECK_PTR_EQ(find(&b, 0x20000, PAGE), stays.map);
    CHECK_EQ(fixture_query(of_a).length + fixture_query(of_both).length, 0);
    CHECK_EQ(fixture_query(of_b).length, PAGE);
    CHECK(fixture_dead(half_dead));
    CHECK_EQ(atomic_load(&goes.map->users), RVT_DMA_CLOSED | 1);
    CHECK_EQ(atomic_load(&stays.map->users), 2);
    CHECK_EQ(usable(&b, &held[0]), RVT_REMAPPED);
    CHECK_EQ(usable(&b, &held[1]), RVT_REASON_NONE);
    CHECK_EQ(usable(&b, &held[2]), RVT_REMAPPED);
    CHECK_EQ(usable(&b, &held[3]), RVT_REGION_REVOKED);
    CHECK_EQ(usable(&b, &held[4]), RVT_REASON_NONE); /* a region without DMA memory is not affected */
    CHECK_EQ(usable(&b, &by_key_zero), RVT_REASON_NONE);
    CHECK_EQ(usable(&b, &of_goes), RVT_REGION_REVOKED);
    for (int i = 0; i < 5; i++)
        rvt_put_sge(&held[i]);
    rvt_put_sge(&by_key_zero);
    rvt_put_sge(&of_goes);
    CHECK_EQ(rvt_dma_unmap(stays), -RVT_EBUSY);
    CHECK_EQ(rvt_unmap_fmr(&of_b, 1), 0);
    CHECK_EQ(rvt_dma_unmap(stays), 0);
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
}

/* A context without mappings does not change the table when it is deallocated. */
static void a_context_without_mappings_leaves_the_table_alone(void) {
    struct fixture a, b;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    struct rvt_dma_handle dma = fixture_dma(&b, bytes, PAGE, 0x10000);
    struct rvt_mr_handle fmr = map_list(fixture_fmr(&b, 0, 1, 12), (uint64_t[]){0x10000}, 1);
    const struct rvt_dma_table *table = atomic_load(&b.device->dma.table);
    rvt_test_alloc_fail_after(0);
    CHECK_EQ(rvt_dealloc_ucontext(a.context, true), 0);
    CHECK(!rvt_test_alloc_failed());
    rvt_test_alloc_fail_after(-1);
    CHECK_PTR_EQ(atomic_load(&b.device->dma.table), table);
    CHECK(!mapping_closed(dma));
    CHECK_EQ(fixture_query(fmr).length, PAGE);
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
}

static int end_context(void *context) {
    return rvt_dealloc_ucontext(context, true);
}

/* The memory of a mapping is released when its context is deallocated. */
static void a_removed_mapping_releases_its_memory(void) {
    struct fixture a, b;
    struct watched watched = {.released = 0};
    struct rvt_dma_handle dma;
    uint64_t address = 0x10000;
    REQUIRE(fixture_open_joined(&a, 4) && fixture_join(&b, a.device));
    rvt_memory_init(&watched.memory, &watched_ops, PAGE);
    CHECK_EQ(rvt_dma_map(a.device, a.context, &watched.memory, true, &address, &dma), 0);
    rvt_memory_put(&watched.memory);
    map_list(fixture_fmr(&b, 0, 1, 12), (uint64_t[]){0x10000}, 1);
    struct waiting w;
    read_enter(&b);
    CHECK(begin_waiting(&w, end_context, a.context));
    CHECK_EQ(atomic_load(&watched.released), 0);
    read_leave(&b);
    CHECK_EQ(end_waiting(&w), 0);
    CHECK_EQ(atomic_load(&watched.released), 1);
    fixture_leave(&a);
    fixture_leave_last(&b, &a);
}

/* Serial numbers of mappings are unique, even when objects are reused. */
static void serial_numbers_of_mappings_are_unique(void) {
    struct fixture f;
    uint64_t last = 0;
    REQUIRE(fixture_open(&f, 4));
    for (int i = 0; i < 10; i++) {
        struct rvt_dma_handle dma = fixture_dma(&f, bytes, PAGE, 0x10000);
        CHECK_EQ(dma.map->owned.context, RVT_NO_CONTEXT);
        CHECK_EQ(rvt_dma_serial(dma), last + 1);
        last = rvt_dma_serial(dma);
        CHECK_EQ(rvt_dma_unmap(dma), 0);
    }
    struct rvt_dma_handle refused;
    CHECK_EQ(map_at(&f, 1, PAGE, &refused), -RVT_EINVAL); /* a refused call uses no number */
    CHECK_EQ(fixture_dma(&f, bytes, PAGE, 0x10000).map->owned.serial, last + 1);
    fixture_close(&f);
}

CHECK_MAIN(TEST(map_refuses_unaligned_empty_and_wrapping_ranges), TEST(map_refuses_overlapping_ranges),
           TEST(finds_the_mapping_that_contains_the_whole_range), TEST(lookups_match_a_plain_search),
           TEST(chosen_addresses_leave_gaps), TEST(chosen_addresses_avoid_existing_mappings),
           TEST(map_fails_if_no_address_is_free), TEST(a_mapping_can_be_unmapped_once),
           TEST(unmap_is_busy_while_a_page_list_uses_the_mapping),
           TEST(unmap_is_busy_while_a_held_page_list_uses_the_mapping),
           TEST(unmap_is_busy_while_an_sge_of_key_zero_is_held), TEST(a_closed_mapping_accepts_no_users),
           TEST(checks_do_not_wait_for_an_unmap), TEST(unmap_releases_the_memory_after_the_last_reader),
           TEST(map_fails_cleanly_without_memory), TEST(page_lists_on_removed_mappings_become_empty),
           TEST(removing_the_last_mapping_frees_its_address),
           TEST(sges_of_key_zero_on_a_removed_mapping_are_revoked),
           TEST(deallocating_a_context_needs_no_memory),
           TEST(a_context_without_mappings_leaves_the_table_alone),
           TEST(a_removed_mapping_releases_its_memory), TEST(serial_numbers_of_mappings_are_unique))
