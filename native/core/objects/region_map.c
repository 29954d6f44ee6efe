/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/region_map.h"

#include <string.h>

#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/dma.h"
#include "core/objects/lkey_table.h"
#include "core/objects/mw.h"
#include "core/objects/object_kind.h"
#include "core/objects/region.h"
#include "core/objects/resource.h"

void rvt_map_init(struct rvt_map *map, struct rvt_mregion *mr, uint32_t segments, size_t capacity) {
    memset(map, 0, sizeof(*map));
    map->mr = mr;
    map->segments = segments;
    map->capacity = capacity;
    map->shift = mr->shift;
    map->generation = mr->owned.device->map_generation++;
}

/* Returns a block for a mapping with `bytes` bytes behind its header: the region's spare block if it is large
 * enough and at most about 4 times too large, otherwise a new one. Returns NULL if memory is short. */
static struct rvt_map *take_block(struct rvt_mregion *mr, size_t bytes, size_t *capacity) {
    struct rvt_map *spare = mr->spare;
    if (spare && spare->capacity >= bytes && spare->capacity / 4 <= bytes) {
        mr->spare = NULL;
        *capacity = spare->capacity;
        return spare;
    }
    *capacity = bytes;
    struct rvt_map *block = rvt_malloc_aligned(sizeof(struct rvt_map) + bytes);
    if (block)
        atomic_fetch_add_explicit(&mr->owned.device->held, sizeof(struct rvt_map) + bytes,
                                  memory_order_relaxed);
    return block;
}

void rvt_free_map_block(struct rvt_dev_info *device, struct rvt_map *block) {
    if (block)
        atomic_fetch_sub_explicit(&device->held, sizeof(struct rvt_map) + block->capacity,
                                  memory_order_relaxed);
    rvt_free_aligned(block);
}

struct rvt_map *rvt_map_list(struct rvt_mregion *mr, uint32_t segments, bool several_mappings) {
    size_t each = sizeof(uint64_t) + (several_mappings ? sizeof(struct rvt_dma_map *) : 0);
    if (segments > (SIZE_MAX - sizeof(struct rvt_map)) / each)
        return NULL;
    size_t capacity;
    struct rvt_map *map = take_block(mr, segments * each, &capacity);
    if (!map)
        return NULL;
    rvt_map_init(map, mr, segments, capacity);
    /* The arrays follow the header in the same block. */
    map->addresses = (uint64_t *)(void *)(map + 1);
    if (several_mappings)
        map->mappings = (struct rvt_dma_map **)(void *)&map->addresses[segments];
    return map;
}

void rvt_map_discard(struct rvt_map *map) {
    if (map)
        rvt_free_map_block(map->mr->owned.device, map);
}

static void free_map(struct rvt_retired *retired) {
    struct rvt_map *map = (struct rvt_map *)(void *)((char *)retired - offsetof(struct rvt_map, retired));
    struct rvt_mregion *mr = map->mr;
    struct rvt_dev_info *device = mr->owned.device;
    rvt_mutex_lock(&device->lock);
    if (rvt_object_alive(&mr->owned.object) && !mr->spare) {
        mr->spare = map;
        map = NULL;
    }
    rvt_mutex_unlock(&device->lock);
    rvt_free_map_block(device, map);
    rvt_dev_put(device);
}

/* Frees a mapping that readers can no longer reach, once every reader has left. `passed`: see rvt_drop_map.
 * The mapping holds its own reference on the device, which keeps the region's object allocated, because
 * another thread may end the region first. */
static void let_go_of_map(struct rvt_map *map, struct rvt_retired **passed) {
    struct rvt_dev_info *device = map->mr->owned.device;
    rvt_dev_get(device);
    rvt_add_or_retire(&device->retirement, passed, &map->retired, free_map);
}

/* Adds the mapping to the users of its DMA mappings, or removes it. */
static void count_users(const struct rvt_map *map, bool add) {
    if (map->mapping) {
        if (add)
            atomic_fetch_add_explicit(&map->mapping->users, 1, memory_order_relaxed);
        else
            rvt_dma_release(map->mapping, 1);
    } else if (map->mappings) {
        for (uint32_t i = 0; i < map->segments; i++) {
            if (add)
                atomic_fetch_add_explicit(&map->mappings[i]->users, 1, memory_order_relaxed);
            else
                rvt_dma_release(map->mappings[i], 1);
        }
    }
}

void rvt_drop_map(struct rvt_mregion *mr, struct rvt_map *map, struct rvt_retired **passed) {
    if (map == &mr->nothing || map == &mr->extent)
        return; /* an extent is a part of the region's object and is not freed by itself */
    count_users(map, false);
    let_go_of_map(map, passed);
}

int rvt_mr_set_map(struct rvt_mregion *mr, struct rvt_map *map, struct rvt_window window, bool only_unheld,
                   struct rvt_retired **passed) {
    struct rvt_lkey_record *record = rvt_lkey_record(&mr->owned.device->lkey_table, rvt_mr_key(mr));
    struct rvt_map *old = atomic_load_explicit(&mr->map, memory_order_relaxed);
    /* No SGE can be accepted on zero segments, so `nothing` can keep its generation. Only the word must
     * change. */
    struct rvt_map *next = map ? map : &mr->nothing;
    uint64_t word = atomic_load_explicit(&mr->word, memory_order_relaxed);
    uint64_t bits = map ? rvt_map_bits(map) : mr->owned.device->map_generation++ << RVT_MR_MAP_SHIFT;
    /* The word holds 29 bits of the generation. If they wrapped around to the bits in force, the change would
     * not stop references. Use the next generation then. */
    if (bits == (word & RVT_MR_MAP_MASK)) {
        bits = mr->owned.device->map_generation << RVT_MR_MAP_SHIFT;
        if (map)
            map->generation = mr->owned.device->map_generation;
        mr->owned.device->map_generation++;
    }

    struct rvt_lkey_entry entry;
    rvt_mr_entry(mr, &entry);
    entry.shape = rvt_mr_shape(mr, next, window.length);
    entry.base = window.base;
    entry.iova = window.iova;
    entry.length = window.length;
    entry.map = next;
    rvt_record_stage(&mr->owned.device->lkey_table, record, &entry);
    /* Store `staged` before the word changes: a reader that takes a reference under the new mapping finds it
     * there until it is in `map`. */
    atomic_store_explicit(&mr->staged, next, memory_order_release);

    /* Changing the word stops references under the old mapping. One exchange decides the whole change,
     * because the count is in the same word. Between this and the flip, a reader that wants a reference flips
     * the record on behalf of this thread, so the shadow must be staged first. release: that reader finds the
     * shadow complete. */
    do {
        if (only_unheld && (word & RVT_MR_HELD_MASK)) {
            /* The shadow was staged in vain, but no reader is directed to it. A reader may be looking at
             * `staged`, so the map cannot be freed at once. */
            atomic_store_explicit(&mr->staged, NULL, memory_order_release);
            if (map)
                let_go_of_map(map, NULL);
            return rvt_fail_value(RVT_EBUSY, RVT_CAUSE_FMR_HELD, word & RVT_MR_HELD_MASK, 0);
        }
    } while (!atomic_compare_exchange_weak_explicit(&mr->word, &word, (word & ~RVT_MR_MAP_MASK) | bits,
                                                    memory_order_acq_rel, memory_order_relaxed));
    atomic_store_explicit(&mr->map, next, memory_order_release);
    atomic_store_explicit(&mr->staged, NULL, memory_order_release);
    rvt_record_flip(record);
    rvt_record_settle(record, &entry);

    mr->base = window.base;
    mr->iova = mr->visible_iova = window.iova;
    mr->length = window.length;
    if (map)
        count_users(map, true);
    rvt_drop_map(mr, old, passed);
    return 0;
}

uint64_t rvt_map_uses_of(const struct rvt_map *map, const struct rvt_dma_map *dma) {
    if (map->mapping)
        return map->mapping == dma;
    uint64_t uses = 0;
    for (uint32_t i = 0; map->mappings && i < map->segments; i++)
        uses += map->mappings[i] == dma;
    return uses;
}

/* Returns whether the mapping names DMA memory of this context. */
static bool names_memory_of(const struct rvt_map *map, uint64_t context) {
    if (context == RVT_EVERY_CONTEXT)
        return map->mapping || map->mappings;
    if (map->mapping)
        return map->mapping->owned.context == context;
    for (uint32_t i = 0; map->mappings && i < map->segments; i++)
        if (map->mappings[i]->owned.context == context)
            return true;
    return false;
}

void rvt_mr_unmap_lists(struct rvt_dev_info *device, uint64_t context) {
    struct rvt_owned *owned;
    for (uint32_t at = 0; (owned = rvt_next_object(device, RVT_RESOURCE_MR, &at));) {
        struct rvt_mregion *mr = (struct rvt_mregion *)owned;
        if (!names_memory_of(rvt_mr_map(mr), context))
            continue;
        if (mr->half_dead)
            rvt_mr_end_by_force(mr, NULL);
        else
            rvt_mr_set_map(mr, NULL, (struct rvt_window){0, 0, 0}, false, NULL);
    }
}

enum rvt_reason rvt_mr_usable(const struct rvt_mregion *mr, uint64_t generation, struct rvt_map **map) {
    uint64_t word = atomic_load_explicit(&mr->word, memory_order_acquire);
    if (word & RVT_MR_FORCED)
        return RVT_REGION_REVOKED;
    if (!generation) { /* an extent exists until the region ends, and a held region ends only by force */
        *map = atomic_load_explicit(&mr->map, memory_order_acquire);
        return *map == &mr->extent ? RVT_REASON_NONE : RVT_REGION_REVOKED;
    }
    if (generation & RVT_MW_ACCEPTED) { /* through a window; only user memory has windows */
        *map = atomic_load_explicit(&mr->map, memory_order_acquire);
        return *map == &mr->extent ? rvt_mw_usable(mr, generation) : RVT_REGION_REVOKED;
    }
    if ((word & RVT_MR_MAP_MASK) != generation << RVT_MR_MAP_SHIFT)
        return RVT_REMAPPED;
    /* The word has 29 bits of the generation, the mapping all 64, so compare those too. A reference that was
     * taken after the writer changed the word and before it changed `map` finds its mapping in `staged`. If
     * `staged` is empty again, `map` has been changed first, so the third look decides. */
    for (int look = 0; look < 3; look++) {
        *map = atomic_load_explicit(look == 1 ? &mr->staged : &mr->map, memory_order_acquire);
        if (*map && (*map)->generation == generation)
            return RVT_REASON_NONE;
    }
    /* The mapping was replaced or dropped. If a forced end dropped it after the first load of the word, the
     * flag was set before that, so load the word again. */
    return atomic_load_explicit(&mr->word, memory_order_acquire) & RVT_MR_FORCED ? RVT_REGION_REVOKED
                                                                                 : RVT_REMAPPED;
}
