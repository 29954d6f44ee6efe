/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/region.h"

#include <assert.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/rvt_errno.h"
#include "core/objects/held_counts.h"
#include "core/objects/object_kind.h"
#include "core/objects/resource.h"
#include "core/objects/ucontext.h"

/* Taking a reference writes one line, and checks that compare generations read no other. */
static_assert(offsetof(struct rvt_mregion, word) / RVT_CACHE_LINE ==
                  offsetof(struct rvt_mregion, staged) / RVT_CACHE_LINE,
              "the word and both mappings share a line");
static_assert(offsetof(struct rvt_mregion, kind) / RVT_CACHE_LINE == 0 &&
                  offsetof(struct rvt_mregion, counters) / RVT_CACHE_LINE > 1,
              "what never changes, and the counters, are off the word's line");

static uint64_t map_bits(const struct rvt_map *map) {
    return map->generation << RVT_MR_MAP_SHIFT;
}

static void init_map(struct rvt_map *map, struct rvt_mregion *mr, uint32_t segments, size_t capacity) {
    memset(map, 0, sizeof(*map));
    map->mr = mr;
    map->segments = segments;
    map->capacity = capacity;
    map->shift = mr->shift;
    map->generation = mr->owned.device->map_generation++;
}

struct rvt_mregion *rvt_mr_take(struct rvt_pd_handle in, enum rvt_mr_kind kind) {
    struct rvt_pd *pd = in.pd;
    struct rvt_dev_info *device = pd->owned.device;
    struct rvt_mregion *mr = (struct rvt_mregion *)rvt_take_owned(device, RVT_RESOURCE_MR, in.context);
    if (!mr)
        return NULL;
    /* Plain stores are enough: the object is out of reach of readers until it is published. The atomic fields
     * are stored atomically all the same, since a handle kept from its former life may look at them. */
    atomic_store_explicit(&mr->counters, NULL, memory_order_relaxed);
    mr->pd = pd;
    mr->kind = kind;
    mr->max_segments = 0;
    mr->lkey_published = mr->half_dead = mr->was_published = mr->awaited = mr->lingering = false;
    mr->valid = true;
    mr->access = 0;
    mr->shift = RVT_PAGE_SHIFT;
    mr->base = mr->iova = mr->length = mr->visible_iova = 0;
    rvt_mr_set_key(mr, 0);
    init_map(&mr->nothing, mr, 0, 0);
    atomic_store_explicit(&mr->map, &mr->nothing, memory_order_relaxed);
    atomic_store_explicit(&mr->staged, NULL, memory_order_relaxed);
    atomic_store_explicit(&mr->word, map_bits(&mr->nothing), memory_order_relaxed);
    return mr;
}

void rvt_mr_untake(struct rvt_mregion *mr) {
    rvt_give_owned(&mr->owned, RVT_RESOURCE_MR);
}

void rvt_mr_begin_with(struct rvt_mregion *mr, struct rvt_map *map) {
    atomic_store_explicit(&mr->map, map, memory_order_relaxed);
    atomic_store_explicit(&mr->word, map_bits(map), memory_order_relaxed);
}

int rvt_mr_publish(struct rvt_mregion *mr, struct rvt_mr_handle *handle) {
    int error = rvt_alloc_lkey(mr);
    if (error)
        return error;
    mr->was_published = mr->lkey_published;
    handle->mr = mr;
    handle->generation = rvt_owned_birth(&mr->owned, RVT_RESOURCE_MR);
    /* The object must not be freed while it is alive, whoever closes what. */
    rvt_dev_get(mr->owned.device);
    return 0;
}

uint64_t rvt_mr_held(struct rvt_mregion *mr) {
    uint64_t held = atomic_load_explicit(&mr->word, memory_order_acquire) & RVT_MR_HELD_MASK;
    if (!rvt_mr_has_one_word(mr)) {
        /* A read-modify-write, as every put of one of these: either it finds the put, or the put finds what was flagged
         * in the word before. */
        held += (uint64_t)atomic_fetch_add_explicit(&mr->elsewhere, 0, memory_order_acq_rel);
        held += (uint64_t)rvt_sum_held_counts(mr->owned.device, mr->owned.object.index);
    }
    return held;
}

uint32_t rvt_mr_refs(struct rvt_mregion *mr) {
    uint32_t own = mr->half_dead ? 1 : mr->kind == RVT_MR_DMA && mr->was_published ? 3 : 2;
    uint64_t held = rvt_mr_held(mr);
    return held < UINT32_MAX - own ? own + (uint32_t)held : UINT32_MAX;
}

static uint32_t shape_of(const struct rvt_mregion *mr, const struct rvt_map *map, uint64_t length) {
    uint32_t shape = rvt_shape(map->offset, mr->shift, mr->valid);
    if (rvt_mr_has_one_word(mr))
        shape |= RVT_SHAPE_ONE_WORD;
    if ((length + map->offset) >> mr->shift >= map->segments)
        shape |= RVT_SHAPE_END_UNMAPPED;
    return rvt_mr_counters_of(mr) ? rvt_shape_counted(shape) : shape;
}

void rvt_mr_entry(const struct rvt_mregion *mr, struct rvt_lkey_entry *entry) {
    struct rvt_map *map = atomic_load_explicit(&mr->map, memory_order_relaxed);
    entry->key = rvt_mr_key(mr);
    entry->pd = mr->pd->id;
    entry->access = mr->access;
    entry->shape = shape_of(mr, map, mr->length);
    entry->base = mr->base;
    entry->iova = mr->iova;
    entry->length = mr->length;
    entry->map = map;
    entry->region = mr->owned.object.index;
}

void rvt_mr_rewrite(struct rvt_mregion *mr) {
    struct rvt_lkey_entry entry;
    rvt_mr_entry(mr, &entry);
    const struct rvt_lkey_table *table = &mr->owned.device->lkey_table;
    rvt_record_replace(table, rvt_lkey_record(table, entry.key), &entry);
}

/* --- mappings --- */

/* A block for a mapping with `bytes` behind its header: the spare one if it is large enough and not
 * much too large. */
static struct rvt_map *take_block(struct rvt_mregion *mr, size_t bytes, size_t *capacity) {
    struct rvt_map *spare = mr->spare;
    if (spare && spare->capacity >= bytes && spare->capacity / 4 <= bytes) {
        mr->spare = NULL;
        *capacity = spare->capacity;
        return spare;
    }
    *capacity = bytes;
    struct rvt_map *block = rvt_malloc(sizeof(struct rvt_map) + bytes);
    if (block)
        atomic_fetch_add_explicit(&mr->owned.device->held, sizeof(struct rvt_map) + bytes,
                                  memory_order_relaxed);
    return block;
}

static void free_block(struct rvt_dev_info *device, struct rvt_map *block) {
    if (block)
        atomic_fetch_sub_explicit(&device->held, sizeof(struct rvt_map) + block->capacity,
                                  memory_order_relaxed);
    rvt_free(block);
}

struct rvt_map *rvt_map_list(struct rvt_mregion *mr, uint32_t segments, bool several_mappings) {
    size_t each = sizeof(uint64_t) + (several_mappings ? sizeof(struct rvt_dma_map *) : 0);
    if (segments > (SIZE_MAX - sizeof(struct rvt_map)) / each)
        return NULL;
    size_t capacity;
    struct rvt_map *map = take_block(mr, segments * each, &capacity);
    if (!map)
        return NULL;
    init_map(map, mr, segments, capacity);
    /* The arrays lie behind the header in the same block. */
    map->addresses = (uint64_t *)(void *)(map + 1);
    if (several_mappings)
        map->mappings = (struct rvt_dma_map **)(void *)&map->addresses[segments];
    return map;
}

void rvt_map_discard(struct rvt_map *map) {
    if (map)
        free_block(map->mr->owned.device, map);
}

static void free_map(struct rvt_retired *retired) {
    struct rvt_map *map = (struct rvt_map *)(void *)((char *)retired - offsetof(struct rvt_map, retired));
    struct rvt_mregion *mr = map->mr;
    struct rvt_dev_info *device = mr->owned.device;
    if (map->memory) {
        rvt_memory_put(map->memory);
    } else {
        rvt_mutex_lock(&device->lock);
        if (rvt_object_alive(&mr->owned.object) && !mr->spare) {
            mr->spare = map;
            map = NULL;
        }
        rvt_mutex_unlock(&device->lock);
    }
    free_block(device, map);
    rvt_dev_put(device);
}

/* Out of reach already; to be freed when every reader has passed. Another thread may free the region before
 * it frees this, so this holds on to the device, and with it to the region's object, by itself. */
static void retire_map(struct rvt_map *map) {
    rvt_dev_get(map->mr->owned.device);
    rvt_retire(&map->mr->owned.device->retirement, &map->retired, free_map);
}

/* Let a mapping's DMA ranges know that it uses them, or does no longer. */
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

/* The mapping is out of reach: its DMA ranges are free from now on, its memory once every reader has left. `passed`:
 * they have, and it goes into that list; or NULL. */
static void drop_map(struct rvt_mregion *mr, struct rvt_map *map, struct rvt_retired **passed) {
    if (map == &mr->nothing)
        return;
    count_users(map, false);
    if (passed) {
        rvt_dev_get(mr->owned.device);
        rvt_add_passed(passed, &map->retired, free_map);
    } else {
        retire_map(map);
    }
}

int rvt_mr_set_map(struct rvt_mregion *mr, struct rvt_map *map, struct rvt_window window, bool only_unheld) {
    struct rvt_lkey_record *record = rvt_lkey_record(&mr->owned.device->lkey_table, rvt_mr_key(mr));
    struct rvt_map *old = atomic_load_explicit(&mr->map, memory_order_relaxed);
    /* No SGE can be proven on no segments, so the generation of `nothing` need not differ from one time to
     * the next. What must change is the word. */
    struct rvt_map *next = map ? map : &mr->nothing;
    uint64_t word = atomic_load_explicit(&mr->word, memory_order_relaxed);
    uint64_t bits = map ? map_bits(map) : mr->owned.device->map_generation++ << RVT_MR_MAP_SHIFT;
    /* The word holds 29 bits of the generation. Should they come round to the very ones in force, the door
     * would not close: the next number then. */
    if (bits == (word & RVT_MR_MAP_MASK)) {
        bits = mr->owned.device->map_generation << RVT_MR_MAP_SHIFT;
        if (map)
            map->generation = mr->owned.device->map_generation;
        mr->owned.device->map_generation++;
    }

    struct rvt_lkey_entry entry;
    rvt_mr_entry(mr, &entry);
    entry.shape = shape_of(mr, next, window.length);
    entry.base = window.base;
    entry.iova = window.iova;
    entry.length = window.length;
    entry.map = next;
    rvt_record_stage(&mr->owned.device->lkey_table, record, &entry);
    /* Before the door: who gets a reference under the new mapping finds it here until it stands in `map`. */
    atomic_store_explicit(&mr->staged, next, memory_order_release);

    /* Close the door: from here on nobody gets a reference under the old mapping. One exchange decides for
     * the whole change, with the count in the same word. Between this and the flip a reader that wants a
     * reference flips for us; that is why line 1 is staged before. release: it finds line 1 complete. */
    do {
        if (only_unheld && (word & RVT_MR_HELD_MASK)) {
            /* Line 1 was written for nothing; no reader is sent there. But one may be looking at `staged`. */
            atomic_store_explicit(&mr->staged, NULL, memory_order_release);
            if (map)
                retire_map(map);
            return -RVT_EBUSY;
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
    drop_map(mr, old, NULL);
    return 0;
}

/* Does the mapping name DMA memory of this context? */
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
            rvt_mr_end_by_force(mr);
        else
            rvt_mr_set_map(mr, NULL, (struct rvt_window){0, 0, 0}, false);
    }
}

/* --- references --- */

enum rvt_acquired rvt_mr_acquire(struct rvt_lkey_record *record, uint64_t sequence,
                                 const struct rvt_map *map) {
    struct rvt_mregion *mr = map->mr;
    uint64_t bits = map_bits(map);
    uint64_t word = atomic_load_explicit(&mr->word, memory_order_acquire);
    do {
        if (word & RVT_MR_REVOKED)
            return RVT_RETRY; /* the record was emptied before the flag was set: the next reading sees it */
        if ((word & RVT_MR_HELD_MASK) == RVT_MR_HELD_MASK)
            return RVT_FULL;
        if ((word & RVT_MR_MAP_MASK) != bits) {
            /* The door is closed on this mapping. Line 1 was staged before that (acquire above), so if the
             * sequence has not moved yet, readers can be sent there now; if it has, this does nothing. */
            if (!(sequence & 1))
                atomic_compare_exchange_strong_explicit(&record->sequence, &sequence, sequence + 1,
                                                        memory_order_acq_rel, memory_order_relaxed);
            return RVT_RETRY;
        }
    } while (!atomic_compare_exchange_weak_explicit(&mr->word, &word, word + 1, memory_order_acq_rel,
                                                    memory_order_acquire));
    return RVT_ACQUIRED;
}

enum rvt_acquired rvt_mr_acquire_dma(struct rvt_mregion *mr) {
    uint64_t word = atomic_load_explicit(&mr->word, memory_order_acquire);
    do {
        if (word & RVT_MR_REVOKED)
            return RVT_RETRY;
        if ((word & RVT_MR_HELD_MASK) == RVT_MR_HELD_MASK)
            return RVT_FULL;
    } while (!atomic_compare_exchange_weak_explicit(&mr->word, &word, word + 1, memory_order_acq_rel,
                                                    memory_order_acquire));
    return RVT_ACQUIRED;
}

/* --- the end --- */

/* Back to the pool: every reader has left, and no SGE refers to it. Under the lock. */
static void give_back(struct rvt_mregion *mr) {
    struct rvt_dev_info *device = mr->owned.device;
    free_block(device, mr->spare);
    mr->spare = NULL;
    rvt_free(rvt_mr_counters_of(mr));
    atomic_store_explicit(&mr->counters, NULL, memory_order_relaxed);
    if (atomic_load_explicit(&mr->word, memory_order_relaxed) & RVT_MR_WATCHED)
        atomic_fetch_sub_explicit(&device->watched, 1, memory_order_relaxed);
    mr->lingering = false;
    rvt_give_owned(&mr->owned, RVT_RESOURCE_MR);
}

/* Every reader has left. An SGE may still refer to it, if it ended by force: then the last put gives it back. */
static void recycle_region(struct rvt_retired *retired) {
    struct rvt_mregion *mr =
        (struct rvt_mregion *)(void *)((char *)retired - offsetof(struct rvt_mregion, retired));
    struct rvt_dev_info *device = mr->owned.device;
    rvt_mutex_lock(&device->lock);
    mr->lingering = rvt_mr_held(mr) != 0;
    if (!mr->lingering)
        give_back(mr);
    rvt_mutex_unlock(&device->lock);
    rvt_dev_put(device);
}

/* The region's handle dies, what it maps goes. */
static void finish_region(struct rvt_mregion *mr, struct rvt_retired **passed) {
    struct rvt_map *map = atomic_load_explicit(&mr->map, memory_order_relaxed);
    /* Out of reach first, retired after. */
    atomic_store_explicit(&mr->map, &mr->nothing, memory_order_release);
    drop_map(mr, map, passed);
    mr->half_dead = false;
    rvt_owned_death(&mr->owned, RVT_RESOURCE_MR);
    if (mr->awaited)
        rvt_wake_context(mr->owned.device, mr->owned.context);
    mr->awaited = false;
    if (passed)
        rvt_add_passed(passed, &mr->retired, recycle_region);
    else
        rvt_retire(&mr->owned.device->retirement, &mr->retired, recycle_region);
}

static void revoke_with(struct rvt_mregion *mr, uint64_t flags) {
    if (!mr->half_dead) {
        rvt_tell_release(&mr->owned, RVT_RESOURCE_MR);
        rvt_free_lkey(mr);
        mr->half_dead = true;
    }
    /* Before the flag: who finds the region flagged has found the device counted. */
    if (flags & RVT_MR_WATCHED & ~atomic_load_explicit(&mr->word, memory_order_relaxed))
        atomic_fetch_add_explicit(&mr->owned.device->watched, 1, memory_order_relaxed);
    atomic_fetch_or_explicit(&mr->word, flags | RVT_MR_REVOKED, memory_order_acq_rel);
}

void rvt_mr_revoke(struct rvt_mregion *mr, bool awaited) {
    revoke_with(mr, awaited ? RVT_MR_WATCHED : 0);
    mr->awaited |= awaited;
}

int rvt_mr_end_unheld(struct rvt_mregion *mr, struct rvt_retired **passed) {
    if (rvt_mr_held(mr))
        return -RVT_EBUSY;
    finish_region(mr, passed);
    return 0;
}

void rvt_mr_end_by_force(struct rvt_mregion *mr) {
    /* Watched, since the put that comes last must recycle the object. */
    revoke_with(mr, RVT_MR_FORCED | RVT_MR_WATCHED);
    finish_region(mr, NULL);
}

void rvt_put_mr(struct rvt_mregion *mr) {
    uint64_t word;
    if (rvt_mr_has_one_word(mr)) {
        word = atomic_fetch_sub_explicit(&mr->word, 1, memory_order_acq_rel);
        assert(word & RVT_MR_HELD_MASK);
    } else {
        atomic_fetch_sub_explicit(&mr->elsewhere, 1, memory_order_acq_rel);
        word = atomic_load_explicit(&mr->word, memory_order_acquire);
    }
    if (word & RVT_MR_WATCHED)
        rvt_mr_note_put(mr);
}

void rvt_mr_note_put(struct rvt_mregion *mr) {
    /* The region may have been recycled, and be another one by now. Then neither flag is set, or the context is woken
     * once too often. The caller's reference on the device keeps the object. */
    struct rvt_dev_info *device = mr->owned.device;
    rvt_mutex_lock(&device->lock);
    if (mr->lingering && !rvt_mr_held(mr))
        give_back(mr);
    else if (mr->awaited)
        rvt_wake_context(device, mr->owned.context);
    rvt_mutex_unlock(&device->lock);
}

enum rvt_reason rvt_mr_usable(const struct rvt_mregion *mr, uint64_t generation, struct rvt_map **map) {
    uint64_t word = atomic_load_explicit(&mr->word, memory_order_acquire);
    if (word & RVT_MR_FORCED)
        return RVT_REGION_REVOKED;
    if ((word & RVT_MR_MAP_MASK) != generation << RVT_MR_MAP_SHIFT)
        return RVT_REMAPPED;
    /* The word has 29 bits of the generation, the mapping all 64. A reference taken while a writer was
     * between the door and the change of `map` finds its mapping in `staged`; if that is empty again, `map`
     * has been changed (its store comes first), so the third look decides. */
    for (int look = 0; look < 3; look++) {
        *map = atomic_load_explicit(look == 1 ? &mr->staged : &mr->map, memory_order_acquire);
        if (*map && (*map)->generation == generation)
            return RVT_REASON_NONE;
    }
    /* The mapping is gone. If it went by force between the first look and these, the flag was
     * set before it. */
    return atomic_load_explicit(&mr->word, memory_order_acquire) & RVT_MR_FORCED ? RVT_REGION_REVOKED
                                                                                 : RVT_REMAPPED;
}
