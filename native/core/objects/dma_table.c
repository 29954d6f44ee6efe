/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/dma_table.h"

#include <assert.h>
#include <stddef.h>

#include "core/base/alloc.h"
#include "core/objects/device.h"
#include "core/objects/dma.h"

/* Do not compact leaves and tables with no more entries than this. */
enum { LEAST_WORTH_COMPACTING = 8 };

/* --- used by readers and writers --- */

/* Returns the index of the range that contains the address. */
static uint32_t find_range(const struct rvt_dma_table *table, uint64_t address) {
    uint32_t low = 0, high = table->count - 1; /* the last range ends at 2^64 - 1 */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        /* relaxed: an end may rise during the search (see the argument in the header). The ends are raised
         * before the mapping is added, and a reader that must find the mapping starts after that. */
        if (atomic_load_explicit(&table->ranges[middle].last, memory_order_relaxed) < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Returns the leaf of a range. acquire: makes its entries and the fields of their mappings visible. */
static struct rvt_dma_leaf *leaf_of(const struct rvt_dma_table *table, uint32_t range) {
    return atomic_load_explicit(&table->ranges[range].leaf, memory_order_acquire);
}

/* Returns the mapping of an entry. relaxed: the mapping's fields became visible with the leaf, and NULL needs
 * no ordering. A reader that must not find an unmapped mapping entered its section after the entry became
 * NULL (epoch.h), so it reads NULL. */
static struct rvt_dma_map *map_of(const struct rvt_dma_entry *entry) {
    return atomic_load_explicit(&entry->map, memory_order_relaxed);
}

/* Returns how many entries start at or below the address. */
static uint32_t count_starts_up_to(const struct rvt_dma_leaf *leaf, uint64_t address) {
    uint32_t low = 0, high = leaf->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (leaf->entries[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct rvt_dma_map *rvt_dma_table_find(const struct rvt_dma_table *table, uint64_t address) {
    if (!table)
        return NULL;
    const struct rvt_dma_leaf *leaf = leaf_of(table, find_range(table, address));
    uint32_t before = leaf ? count_starts_up_to(leaf, address) : 0;
    struct rvt_dma_map *map = before ? map_of(&leaf->entries[before - 1]) : NULL;
    return map && rvt_dma_holds(map, address, 0) ? map : NULL;
}

/* --- used by writers only --- */

struct rvt_dma_map *rvt_dma_table_find_first(const struct rvt_dma_table *table, uint64_t first,
                                             uint64_t last) {
    struct rvt_dma_map *map = rvt_dma_table_find(table, first);
    if (map || !table)
        return map;
    for (uint32_t range = find_range(table, first); range < table->count; range++) {
        const struct rvt_dma_leaf *leaf = leaf_of(table, range);
        for (uint32_t i = leaf ? count_starts_up_to(leaf, first) : 0; leaf && i < leaf->count; i++) {
            if (leaf->entries[i].start > last)
                return NULL;
            map = map_of(&leaf->entries[i]);
            if (map)
                return map;
        }
        if (atomic_load_explicit(&table->ranges[range].last, memory_order_relaxed) >= last)
            return NULL;
    }
    return NULL;
}

static size_t leaf_bytes(uint32_t count) {
    return sizeof(struct rvt_dma_leaf) + count * sizeof(struct rvt_dma_entry);
}

static size_t table_bytes(uint32_t count) {
    return sizeof(struct rvt_dma_table) + count * sizeof(struct rvt_dma_range);
}

/* Allocates an empty leaf with room for `capacity` entries. */
static struct rvt_dma_leaf *make_leaf(uint32_t capacity) {
    struct rvt_dma_leaf *leaf = rvt_malloc(leaf_bytes(capacity));
    if (leaf)
        leaf->count = leaf->live = 0;
    return leaf;
}

static struct rvt_dma_entry *append_entry(struct rvt_dma_leaf *leaf, uint64_t start,
                                          struct rvt_dma_map *map) {
    struct rvt_dma_entry *entry = &leaf->entries[leaf->count++];
    leaf->live++;
    entry->start = start;
    atomic_init(&entry->map, map);
    return entry;
}

static void append_range(struct rvt_dma_table *table, uint64_t last, struct rvt_dma_leaf *leaf) {
    struct rvt_dma_range *range = &table->ranges[table->count++];
    table->used++;
    atomic_init(&range->last, last);
    atomic_init(&range->leaf, leaf);
}

/* Returns a copy of the table `old` (may be NULL) in which the leaves `left` and `right` (each may be NULL)
 * replace the leaf of range `replaced`. Ranges without a leaf are merged into the range behind them. Returns
 * NULL if memory is short. */
static struct rvt_dma_table *copy_table(const struct rvt_dma_table *old, uint32_t replaced,
                                        struct rvt_dma_leaf *left, struct rvt_dma_leaf *right) {
    struct rvt_dma_table *table = rvt_malloc(table_bytes((old ? old->used : 0) + 2));
    if (!table)
        return NULL;
    table->count = table->used = 0;
    for (uint32_t i = 0; i < (old ? old->count : 1); i++) {
        uint64_t last = old ? atomic_load_explicit(&old->ranges[i].last, memory_order_relaxed) : UINT64_MAX;
        struct rvt_dma_leaf *leaf = i == replaced ? left : leaf_of(old, i);
        if (i == replaced && right) {
            append_range(table, right->entries[0].start - 1, left);
            leaf = right;
        }
        if (leaf)
            append_range(table, last, leaf);
    }
    atomic_init(&table->ranges[table->count - 1].last, UINT64_MAX);
    return table;
}

static void count_bytes(struct rvt_dev_info *device, size_t bytes) {
    atomic_fetch_add_explicit(&device->held, bytes, memory_order_relaxed);
}

static void free_node(struct rvt_retired *retired) {
    rvt_free(retired); /* `retired` is the first member of leaves and tables */
}

static void retire_node(struct rvt_dev_info *device, struct rvt_retired *node, size_t bytes) {
    atomic_fetch_sub_explicit(&device->held, bytes, memory_order_relaxed);
    rvt_retire(&device->retirement, node, free_node);
}

static struct rvt_dma_table *current_table(const struct rvt_dev_info *device) {
    return atomic_load_explicit(&device->dma.table,
                                memory_order_relaxed); /* relaxed: only the lock's holder writes the table */
}

/* Replaces the current table with `table` (may be NULL). release: a reader that finds the new table finds it
 * completely filled. */
static void replace_table(struct rvt_dev_info *device, struct rvt_dma_table *table) {
    struct rvt_dma_table *old = current_table(device);
    if (table)
        count_bytes(device, table_bytes(table->count));
    atomic_store_explicit(&device->dma.table, table, memory_order_release);
    if (old)
        retire_node(device, &old->retired, table_bytes(old->count));
}

/* Replaces the leaf of a range of the current table with `leaf` (may be NULL). */
static void replace_leaf(struct rvt_dev_info *device, struct rvt_dma_range *range,
                         struct rvt_dma_leaf *leaf) {
    struct rvt_dma_leaf *old = atomic_load_explicit(&range->leaf, memory_order_relaxed);
    if (leaf)
        count_bytes(device, leaf_bytes(leaf->count));
    atomic_store_explicit(&range->leaf, leaf, memory_order_release);
    if (old)
        retire_node(device, &old->retired, leaf_bytes(old->count));
}

/* --- adding --- */

/* Copies the live entries of `old` (may be NULL) and the new entry in address order: the first `left_count`
 * entries to the left leaf, the rest to the right leaf. */
static void fill_leaves(struct rvt_dma_addition *addition, const struct rvt_dma_leaf *old,
                        uint32_t left_count) {
    struct rvt_dma_leaf *leaf = addition->left;
    addition->entry = NULL;
    for (uint32_t i = 0; i < (old ? old->count : 0); i++) {
        struct rvt_dma_map *map = map_of(&old->entries[i]);
        if (!map)
            continue;
        if (!addition->entry && old->entries[i].start > addition->address) {
            addition->entry = append_entry(leaf, addition->address, NULL);
            if (leaf->count == left_count)
                leaf = addition->right;
        }
        append_entry(leaf, old->entries[i].start, map);
        if (leaf->count == left_count)
            leaf = addition->right;
    }
    if (!addition->entry)
        addition->entry = append_entry(leaf, addition->address, NULL);
}

/* Returns how many of a full leaf's live entries and the new entry go to the left half. Mappings often arrive
 * in ascending or descending order; then the half that gets no more mappings stays full. */
static uint32_t choose_left_count(const struct rvt_dma_leaf *full, uint64_t address) {
    uint32_t below = 0;
    for (uint32_t i = 0; i < full->count && full->entries[i].start < address; i++)
        below += map_of(&full->entries[i]) != NULL;
    return below == full->live ? full->live : below == 0 ? 1 : (full->live + 1) / 2;
}

bool rvt_dma_table_prepare(const struct rvt_dev_info *device, uint64_t address, uint64_t length,
                           struct rvt_dma_addition *addition) {
    const struct rvt_dma_table *old_table = current_table(device);
    uint32_t range = old_table ? find_range(old_table, address) : 0;
    const struct rvt_dma_leaf *old = old_table ? leaf_of(old_table, range) : NULL;
    uint32_t total = (old ? old->live : 0) + 1;
    bool split = total > RVT_DMA_LEAF_ENTRIES;
    uint32_t left_count = split ? choose_left_count(old, address) : total;
    *addition = (struct rvt_dma_addition){.address = address, .last = address + (length - 1)};
    addition->left = make_leaf(left_count);
    addition->right = split ? make_leaf(total - left_count) : NULL;
    if (!addition->left || (split && !addition->right))
        goto no_memory;
    fill_leaves(addition, old, left_count);
    if (!split && old_table)
        return true;
    addition->table = copy_table(old_table, range, addition->left, addition->right);
    if (addition->table)
        return true;
no_memory:
    rvt_dma_table_abandon(addition);
    return false;
}

void rvt_dma_table_abandon(const struct rvt_dma_addition *addition) {
    rvt_free(addition->left);
    rvt_free(addition->right);
    rvt_free(addition->table);
}

/* Raises the end of this address's range, and of all ranges that end before `last`, to `last`. The later
 * of these ranges are empty from then on and have no leaf. Goes from the last range to the first, so that
 * the ends are sorted at all times. relaxed: a reader that must find the new mapping starts after it was
 * added. */
static void raise_ends(struct rvt_dma_table *table, uint64_t address, uint64_t last) {
    uint32_t first = find_range(table, address), end = find_range(table, last);
    for (uint32_t i = end; i-- > first;) {
        assert(i == first || !leaf_of(table, i));
        atomic_store_explicit(&table->ranges[i].last, last, memory_order_relaxed);
    }
}

void rvt_dma_table_add(struct rvt_dev_info *device, const struct rvt_dma_addition *addition,
                       struct rvt_dma_map *map) {
    struct rvt_dma_table *table = current_table(device);
    /* relaxed: the entry is published with its leaf */
    atomic_store_explicit(&addition->entry->map, map, memory_order_relaxed);
    if (!addition->table) {
        struct rvt_dma_range *range = &table->ranges[find_range(table, addition->address)];
        raise_ends(table, addition->address, addition->last);
        table->used += !atomic_load_explicit(&range->leaf, memory_order_relaxed);
        replace_leaf(device, range, addition->left);
        return;
    }
    struct rvt_dma_leaf *old = table ? leaf_of(table, find_range(table, addition->address)) : NULL;
    raise_ends(addition->table, addition->address, addition->last);
    count_bytes(device, leaf_bytes(addition->left->count));
    if (addition->right)
        count_bytes(device, leaf_bytes(addition->right->count));
    replace_table(device, addition->table);
    if (old) /* retire the old leaf only when the table that leads to it is replaced */
        retire_node(device, &old->retired, leaf_bytes(old->count));
}

/* --- removing --- */

static void compact_leaf(struct rvt_dev_info *device, struct rvt_dma_range *range,
                         const struct rvt_dma_leaf *old) {
    struct rvt_dma_leaf *leaf = make_leaf(old->live);
    if (!leaf)
        return; /* no memory: the next removal tries again */
    for (uint32_t i = 0; i < old->count; i++) {
        struct rvt_dma_map *map = map_of(&old->entries[i]);
        if (map)
            append_entry(leaf, old->entries[i].start, map);
    }
    replace_leaf(device, range, leaf);
}

static void compact_table(struct rvt_dev_info *device, const struct rvt_dma_table *old) {
    struct rvt_dma_table *table = copy_table(old, UINT32_MAX, NULL, NULL);
    if (table)
        replace_table(device, table);
}

static bool is_worth_compacting(uint32_t used, uint32_t count) {
    return count > LEAST_WORTH_COMPACTING && used <= count / 2;
}

void rvt_dma_table_remove(struct rvt_dev_info *device, const struct rvt_dma_map *map) {
    struct rvt_dma_table *table = current_table(device);
    struct rvt_dma_range *range = &table->ranges[find_range(table, map->address)];
    struct rvt_dma_leaf *leaf = atomic_load_explicit(&range->leaf, memory_order_relaxed);
    struct rvt_dma_entry *entry = &leaf->entries[count_starts_up_to(leaf, map->address) - 1];
    assert(map_of(entry) == map);
    atomic_store_explicit(&entry->map, NULL, memory_order_relaxed);
    if (--leaf->live) {
        if (is_worth_compacting(leaf->live, leaf->count))
            compact_leaf(device, range, leaf);
        return;
    }
    replace_leaf(device, range, NULL);
    if (!--table->used)
        replace_table(device, NULL);
    else if (is_worth_compacting(table->used, table->count))
        compact_table(device, table);
}
