/* SPDX-License-Identifier: BSD-3-Clause */
/* Compares the table of DMA mappings, used through the verbs, with a plain array. */
#include "core/objects/dma_table.h"

#include <stdlib.h>

#include "fixture.h"

static unsigned char bytes[1];

/* Where chosen addresses begin. Explicit addresses start here, too, so that both kinds meet. */
static const uint64_t BASE = UINT64_C(0x200000000000);
enum { MOST_MAPS = 4000 };

/* --- the model: live mappings in any order, and the next address to choose --- */

struct model_map {
    uint64_t address, length;
    struct rvt_dma_handle handle;
};

static struct {
    struct model_map maps[MOST_MAPS];
    uint32_t count;
    uint64_t next;
} model;

static void model_reset(void) {
    model.count = 0;
    model.next = BASE;
}

/* Returns the mapping with the lowest address that has a byte in [first, last], or NULL. */
static struct model_map *model_first(uint64_t first, uint64_t last) {
    struct model_map *found = NULL;
    for (uint32_t i = 0; i < model.count; i++) {
        struct model_map *map = &model.maps[i];
        if (map->address <= last && map->address + (map->length - 1) >= first &&
            (!found || map->address < found->address))
            found = map;
    }
    return found;
}

static uint64_t model_choose(uint64_t length) {
    uint64_t address = model.next;
    const struct model_map *map;
    while ((map = model_first(address, address + length)))
        address = ((map->address + (map->length - 1)) | (PAGE - 1)) + 1 + PAGE;
    return address;
}

/* --- invariants of the table --- */

static void check_table(struct rvt_dev_info *device) {
    const struct rvt_dma_table *table = atomic_load(&device->dma.table);
    CHECK_EQ(table == NULL, model.count == 0);
    if (!table)
        return;
    uint32_t used = 0, live = 0, entries = 0;
    uint64_t range_first = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        uint64_t range_last = atomic_load(&table->ranges[i].last);
        const struct rvt_dma_leaf *leaf = atomic_load(&table->ranges[i].leaf);
        CHECK(i == 0 || range_last >= range_first - 1);
        uint32_t leaf_live = 0;
        uint64_t last = 0;
        for (uint32_t k = 0; leaf && k < leaf->count; k++) {
            const struct rvt_dma_map *map = atomic_load(&leaf->entries[k].map);
            CHECK(k == 0 || leaf->entries[k].start > leaf->entries[k - 1].start);
            /* No entry of a removed mapping lies inside a live mapping. */
            CHECK(leaf_live == 0 || leaf->entries[k].start > last);
            if (!map)
                continue;
            leaf_live++;
            last = map->address + (map->length - 1);
            CHECK_EQ(map->address, leaf->entries[k].start);
            CHECK(map->address >= range_first && last <= range_last);
        }
        if (leaf) {
            CHECK(leaf->count <= RVT_DMA_LEAF_ENTRIES && leaf_live > 0);
            CHECK_EQ(leaf->live, leaf_live);
            entries += leaf->count;
            used++;
        }
        live += leaf_live;
        range_first = range_last + 1;
    }
    CHECK_EQ(atomic_load(&table->ranges[table->count - 1].last), UINT64_MAX);
    CHECK_EQ(table->used, used);
    CHECK_EQ(live, model.count);
    /* Memory use follows the number of mappings, unless a smaller copy could not be allocated. */
    CHECK(entries <= 2 * live + 8 * used);
}

static struct rvt_dma_map *find(struct fixture *f, uint64_t address, uint64_t length) {
    rvt_read_enter(f->reader, &f->device->retirement);
    struct rvt_dma_map *map = rvt_dma_find(&f->device->dma, address, length, NULL);
    rvt_read_leave(f->reader, &f->device->retirement);
    return map;
}

static void check_finds(struct fixture *f, uint64_t address) {
    const struct model_map *map = model_first(address, address);
    const struct rvt_dma_map *found = find(f, address, 0);
    CHECK_PTR_EQ(found, map ? map->handle.map : NULL);
    if (map) {
        CHECK_PTR_EQ(find(f, map->address, map->length), map->handle.map);
        CHECK_PTR_EQ(find(f, map->address + (map->length - 1), 1), map->handle.map);
        CHECK(find(f, map->address, map->length + 1) == NULL);
    }
}

/* --- verbs that also update the model --- */

static int map_at(struct fixture *f, uint64_t address, uint64_t length) {
    struct rvt_memory *memory = rvt_fixed_memory(bytes, length);
    if (!memory)
        return -RVT_ENOMEM;
    struct rvt_dma_handle handle;
    bool is_free = !model_first(address, address + (length - 1));
    int error = rvt_dma_map(f->device, f->context, memory, true, &address, &handle);
    rvt_memory_put(memory);
    if (error != -RVT_ENOMEM)
        CHECK_EQ(error, is_free ? 0 : -RVT_EINVAL);
    if (!error)
        model.maps[model.count++] = (struct model_map){address, length, handle};
    return error;
}

static int map_anywhere(struct fixture *f, uint64_t length) {
    struct rvt_memory *memory = rvt_fixed_memory(bytes, length);
    if (!memory)
        return -RVT_ENOMEM;
    struct rvt_dma_handle handle;
    uint64_t address = 1, wanted = model_choose(length);
    int error = rvt_dma_map(f->device, f->context, memory, false, &address, &handle);
    rvt_memory_put(memory);
    if (error)
        return error;
    CHECK_EQ(address, wanted);
    model.next = ((address + (length - 1)) | (PAGE - 1)) + 1 + PAGE;
    model.maps[model.count++] = (struct model_map){address, length, handle};
    return 0;
}

static void unmap(uint32_t index) {
    CHECK_EQ(rvt_dma_unmap(model.maps[index].handle), 0);
    model.maps[index] = model.maps[--model.count];
}

static void unmap_page(uint64_t address) {
    const struct model_map *map = model_first(address, address);
    if (check_true(map != NULL, "a mapping", __FILE__, __LINE__))
        unmap((uint32_t)(map - model.maps));
}

static uint64_t page(uint64_t number) {
    return BASE + number * PAGE;
}

/* --- tests --- */

enum { PAGES = 6000 };

static void do_something(struct fixture *f, uint64_t *state, unsigned map_weight) {
    uint64_t what = roll(state, 100);
    if (what >= map_weight || model.count == MOST_MAPS) {
        if (model.count)
            unmap((uint32_t)roll(state, model.count));
        return;
    }
    uint64_t length = roll(state, 8) ? 1 + roll(state, PAGE) : 1 + roll(state, 64 * PAGE);
    if (what % 8 == 0)
        CHECK(map_anywhere(f, length) == 0 || rvt_test_alloc_failed());
    else
        map_at(f, page(roll(state, PAGES)), length);
}

static void random_maps_and_unmaps_match_the_model(void) {
    uint64_t state = 7;
    struct fixture f;
    long live = rvt_test_alloc_live();
    model_reset();
    REQUIRE(fixture_open_joined(&f, 4));
    uint64_t empty = rvt_held_bytes(f.device);
    /* Phases of growing, constant and shrinking size. */
    static const unsigned weights[] = {95, 60, 20, 90, 50, 5};
    uint32_t most = 0;
    for (size_t phase = 0; phase < sizeof(weights) / sizeof(weights[0]); phase++) {
        for (int i = 0; i < 5000; i++) {
            do_something(&f, &state, weights[phase]);
            most = model.count > most ? model.count : most;
            if (i % 10 == 0)
                check_finds(&f, page(roll(&state, PAGES)) + roll(&state, PAGE));
            if (i % 100 == 0)
                check_table(f.device);
        }
        for (uint64_t i = 0; i < PAGES; i++)
            check_finds(&f, page(i));
    }
    CHECK(most > 10 * RVT_DMA_LEAF_ENTRIES);
    while (model.count)
        unmap((uint32_t)roll(&state, model.count));
    check_table(f.device);
    rvt_reclaim(&f.device->retirement);
    /* Only the pool of mappings remains. */
    CHECK(rvt_held_bytes(f.device) - empty < 256 * (most + 64));
    fixture_leave(&f);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

/* Any allocation may fail at any time. A failed call changes nothing, and later calls work. */
static void failed_allocations_change_nothing(void) {
    uint64_t state = 11;
    uint32_t failures = 0;
    struct fixture f;
    model_reset();
    REQUIRE(fixture_open_joined(&f, 4));
    for (int i = 0; i < 20000; i++) {
        uint32_t before = model.count;
        uint64_t held = rvt_held_bytes(f.device);
        const struct rvt_dma_table *table = atomic_load(&f.device->dma.table);
        rvt_test_alloc_fail_after((long)roll(&state, 4));
        uint64_t address = page(roll(&state, PAGES)), length = 1 + roll(&state, 2 * PAGE);
        bool remove = roll(&state, 100) < (i / 5000 % 2 ? 70 : 20);
        if (remove && model.count) {
            /* Succeeds even if the allocation of a smaller copy fails. */
            unmap((uint32_t)roll(&state, model.count));
        } else if (map_at(&f, address, length) == -RVT_ENOMEM) {
            failures++;
            CHECK_EQ(model.count, before);
            CHECK_EQ(rvt_held_bytes(f.device), held);
            CHECK_PTR_EQ(atomic_load(&f.device->dma.table), table);
        }
        rvt_test_alloc_fail_after(-1);
        check_finds(&f, address);
        check_finds(&f, page(roll(&state, PAGES)));
    }
    CHECK(failures > 1000);
    for (uint64_t i = 0; i < PAGES; i++)
        check_finds(&f, page(i));
    fixture_leave_last(&f, &f);
}

static uint32_t count_ranges(struct fixture *f) {
    const struct rvt_dma_table *table = atomic_load(&f->device->dma.table);
    return table ? table->count : 0;
}

/* Mappings made in order fill their leaves, so the table has the fewest leaves possible. */
static void mappings_made_in_order_fill_their_leaves(void) {
    enum { MAPS = 20 * RVT_DMA_LEAF_ENTRIES };
    for (int order = 0; order < 3; order++) {
        struct fixture f;
        model_reset();
        REQUIRE(fixture_open_joined(&f, 4));
        for (uint64_t i = 0; i < MAPS; i++) {
            if (order == 2)
                CHECK_EQ(map_anywhere(&f, PAGE), 0);
            else
                CHECK_EQ(map_at(&f, page(order ? MAPS - i : i), PAGE), 0);
        }
        check_table(f.device);
        CHECK_EQ(count_ranges(&f), 20);
        fixture_leave_last(&f, &f);
    }
}

/* Entries and ranges of removed mappings are dropped, so that a search never passes over many of them. */
static void entries_of_removed_mappings_are_dropped(void) {
    enum { MAPS = 30 * RVT_DMA_LEAF_ENTRIES };
    struct fixture f;
    model_reset();
    REQUIRE(fixture_open_joined(&f, 4));
    for (uint64_t i = 0; i < MAPS; i++)
        CHECK_EQ(map_at(&f, page(i), PAGE), 0);
    /* Unmap all but the first mapping of each leaf. */
    for (uint64_t i = 0; i < MAPS; i++)
        if (i % RVT_DMA_LEAF_ENTRIES)
            unmap_page(page(i));
    check_table(f.device);
    CHECK_EQ(count_ranges(&f), 30);
    for (uint64_t i = 0; i < MAPS; i++)
        check_finds(&f, page(i));
    /* Empty whole leaves from the front. At least half of the ranges must have a leaf. */
    for (uint64_t i = 0; i < 29; i++) {
        unmap_page(page(i * RVT_DMA_LEAF_ENTRIES));
        CHECK(count_ranges(&f) < 8 || count_ranges(&f) <= 2 * (29 - i));
        check_table(f.device);
    }
    CHECK_PTR_EQ(find(&f, page(29 * RVT_DMA_LEAF_ENTRIES), PAGE), model.maps[0].handle.map);
    unmap(0);
    check_table(f.device);
    fixture_leave_last(&f, &f);
}

/* One large mapping replaces many across several ranges, and many replace it again. */
static void one_mapping_can_replace_many_ranges(void) {
    enum { MAPS = 12 * RVT_DMA_LEAF_ENTRIES };
    static const struct {
        uint32_t first, last; /* first and last page of the large mapping */
    } rows[] = {
        {0, MAPS - 1},                     /* the mapping covers all pages */
        {0, 3 * RVT_DMA_LEAF_ENTRIES - 1}, /* the mapping covers whole leaves, from the front */
        {RVT_DMA_LEAF_ENTRIES, 2 * RVT_DMA_LEAF_ENTRIES - 1}, /* the mapping covers one whole leaf */
        {RVT_DMA_LEAF_ENTRIES - 1, RVT_DMA_LEAF_ENTRIES},     /* the mapping crosses the end of one leaf */
        /* the mapping begins inside one leaf and ends inside another */
        {5, 5 + 4 * RVT_DMA_LEAF_ENTRIES},
        /* the mapping begins inside a leaf and ends with the next leaf */
        {RVT_DMA_LEAF_ENTRIES / 2, 2 * RVT_DMA_LEAF_ENTRIES - 1},
        {11 * RVT_DMA_LEAF_ENTRIES - 3,
         12 * RVT_DMA_LEAF_ENTRIES - 1}, /* the mapping ends with the last page */
    };
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        struct fixture f;
        model_reset();
        REQUIRE(fixture_open_joined(&f, 4));
        for (uint64_t i = 0; i < MAPS; i++)
            CHECK_EQ(map_at(&f, page(i), PAGE), 0);
        for (uint32_t i = rows[row].first; i <= rows[row].last; i++)
            unmap_page(page(i));
        uint64_t length = (uint64_t)(rows[row].last - rows[row].first + 1) * PAGE;
        CHECK_EQ(map_at(&f, page(rows[row].first), length + 1), rows[row].last == MAPS - 1 ? 0 : -RVT_EINVAL);
        if (rows[row].last == MAPS - 1)
            unmap_page(page(rows[row].first));
        CHECK_EQ(map_at(&f, page(rows[row].first), length), 0);
        check_table(f.device);
        for (uint64_t i = 0; i <= MAPS; i++)
            check_finds(&f, page(i));
        CHECK_PTR_EQ(find(&f, page(rows[row].first), length),
                     model_first(page(rows[row].first), page(rows[row].first))->handle.map);
        unmap_page(page(rows[row].first));
        for (uint32_t i = rows[row].last + 1; i-- > rows[row].first;)
            CHECK_EQ(map_at(&f, page(i), PAGE), 0);
        check_table(f.device);
        for (uint64_t i = 0; i <= MAPS; i++)
            check_finds(&f, page(i));
        fixture_leave_last(&f, &f);
    }
}

/* The lowest and the highest address, with many leaves in between. */
static void both_ends_of_the_address_space_can_be_mapped(void) {
    const uint64_t top = UINT64_C(0) - PAGE;
    struct fixture f;
    model_reset();
    REQUIRE(fixture_open_joined(&f, 4));
    CHECK_EQ(map_at(&f, top, PAGE), 0);
    CHECK_EQ(map_at(&f, 0, PAGE), 0);
    for (uint64_t i = 0; i < 500; i++)
        CHECK_EQ(map_at(&f, page(i), PAGE), 0);
    check_table(f.device);
    check_finds(&f, 0);
    check_finds(&f, PAGE);
    check_finds(&f, top - 1);
    CHECK_PTR_EQ(find(&f, UINT64_MAX, 1), model.maps[0].handle.map);
    /* One mapping from the last page to the end of the address space. */
    unmap_page(top);
    CHECK_EQ(map_at(&f, page(500), UINT64_C(0) - page(500)), 0);
    check_table(f.device);
    CHECK(find(&f, UINT64_MAX, 1) != NULL);
    CHECK_PTR_EQ(find(&f, UINT64_MAX, 1), find(&f, page(500), 1));
    fixture_leave_last(&f, &f);
}

static void unmap_needs_no_memory(void) {
    enum { MAPS = 10 * RVT_DMA_LEAF_ENTRIES };
    struct fixture f;
    uint64_t state = 3;
    model_reset();
    REQUIRE(fixture_open_joined(&f, 4));
    for (uint64_t i = 0; i < MAPS; i++)
        CHECK_EQ(map_at(&f, page(i), PAGE), 0);
    bool wanted_some = false;
    while (model.count) {
        rvt_test_alloc_fail_after(0);
        unmap((uint32_t)roll(&state, model.count));
        wanted_some |= rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        check_finds(&f, page(roll(&state, MAPS)));
    }
    CHECK(wanted_some); /* a smaller copy could not be allocated, and unmap worked without it */
    CHECK(atomic_load(&f.device->dma.table) == NULL);
    fixture_leave_last(&f, &f);
}

/* A reader keeps seeing everything it has seen while the table changes. */
static void a_reader_keeps_the_mappings_it_has_seen(void) {
    enum { MAPS = 5 * RVT_DMA_LEAF_ENTRIES };
    static const struct rvt_dma_map *seen[MAPS];
    struct fixture f, other;
    model_reset();
    REQUIRE(fixture_open_joined(&f, 4) && fixture_join(&other, f.device));
    for (uint64_t i = 0; i < MAPS; i++)
        CHECK_EQ(map_at(i % 100 ? &other : &f, page(i), PAGE), 0);
    rvt_read_enter(f.reader, &f.device->retirement);
    const struct rvt_dma_table *table = atomic_load(&f.device->dma.table);
    for (uint64_t i = 0; i < MAPS; i++)
        seen[i] = rvt_dma_table_find(table, page(i));
    /* Drop the context as a finalizer does, without waiting for this reader. */
    rvt_drop_ucontext(other.context);
    for (uint64_t i = 0; i < MAPS; i++)
        CHECK_EQ(map_at(&f, page(MAPS + i), PAGE), 0);
    /* The old table gains no mapping, and loses none that still exists. */
    for (uint64_t i = 0; i < MAPS; i++) {
        const struct rvt_dma_map *now = rvt_dma_table_find(table, page(i));
        CHECK(now == seen[i] || (!now && i % 100));
        CHECK_EQ(seen[i]->address, page(i));
    }
    CHECK(rvt_reclaim_pending(&f.device->retirement));
    rvt_read_leave(f.reader, &f.device->retirement);
    CHECK(!rvt_reclaim_pending(&f.device->retirement));
    fixture_leave(&other);
    fixture_leave_last(&f, &f);
}

CHECK_MAIN(TEST(random_maps_and_unmaps_match_the_model), TEST(failed_allocations_change_nothing),
           TEST(mappings_made_in_order_fill_their_leaves), TEST(entries_of_removed_mappings_are_dropped),
           TEST(one_mapping_can_replace_many_ranges), TEST(both_ends_of_the_address_space_can_be_mapped),
           TEST(unmap_needs_no_memory), TEST(a_reader_keeps_the_mappings_it_has_seen))
