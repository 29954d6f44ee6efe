/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/region.h"

#include <assert.h>

#include "core/base/faults.h"
#include "core/objects/device.h"
#include "core/objects/held_counts.h"
#include "core/objects/object_kind.h"
#include "core/objects/resource.h"
#include "core/objects/ucontext.h"

/* Taking a reference writes one cache line, and checks that compare generations read only that line. */
static_assert(offsetof(struct rvt_mregion, word) / RVT_CACHE_LINE ==
                  offsetof(struct rvt_mregion, staged) / RVT_CACHE_LINE,
              "the word and both mappings share a line");
static_assert(offsetof(struct rvt_mregion, kind) / RVT_CACHE_LINE == 0 &&
                  offsetof(struct rvt_mregion, counters) / RVT_CACHE_LINE > 1,
              "what never changes, and the counters, are off the word's line");
struct rvt_mregion *rvt_mr_take(struct rvt_pd_handle in, enum rvt_mr_kind kind) {
    struct rvt_pd *pd = in.pd;
    struct rvt_dev_info *device = pd->owned.device;
    struct rvt_mregion *mr = (struct rvt_mregion *)rvt_take_owned(device, RVT_RESOURCE_MR, in.context);
    if (!mr)
        return NULL;
    /* Plain stores suffice: readers cannot reach the object until it is published. Atomic fields still need
     * atomic stores, because a stale handle from an earlier life may read them. */
    atomic_store_explicit(&mr->counters, NULL, memory_order_relaxed);
    mr->pd = pd;
    mr->kind = kind;
    mr->max_segments = 0;
    mr->lkey_published = mr->half_dead = mr->was_published = mr->awaited = mr->lingering = mr->noted =
        mr->reregistering = false;
    mr->valid = true;
    mr->no_dma = rvt_ucontext_restricted(in.context) && atomic_load_explicit(&pd->user, memory_order_relaxed);
    mr->access = 0;
    mr->shift = RVT_PAGE_SHIFT;
    mr->base = mr->iova = mr->length = mr->visible_iova = 0;
    rvt_mr_set_key(mr, 0);
    mr->extent.memory = NULL;
    mr->windows = NULL;
    rvt_map_init(&mr->nothing, mr, 0, 0);
    atomic_store_explicit(&mr->map, &mr->nothing, memory_order_relaxed);
    atomic_store_explicit(&mr->staged, NULL, memory_order_relaxed);
    atomic_store_explicit(&mr->word, rvt_map_bits(&mr->nothing), memory_order_relaxed);
    return mr;
}

void rvt_mr_untake(struct rvt_mregion *mr) {
    rvt_give_owned(&mr->owned, RVT_RESOURCE_MR);
}

void rvt_mr_begin_with(struct rvt_mregion *mr, struct rvt_map *map) {
    atomic_store_explicit(&mr->map, map, memory_order_relaxed);
    atomic_store_explicit(&mr->word, rvt_map_bits(map), memory_order_relaxed);
}

int rvt_mr_publish(struct rvt_mregion *mr, struct rvt_mr_handle *handle) {
    int error = rvt_alloc_lkey(mr);
    if (error)
        return error;
    mr->was_published = mr->lkey_published;
    handle->mr = mr;
    handle->generation = rvt_owned_birth(&mr->owned, RVT_RESOURCE_MR);
    /* The object must stay allocated while the region is alive, so the region holds a reference on the
     * device. */
    rvt_dev_get(mr->owned.device);
    return 0;
}

struct rvt_mr_handle rvt_mr_find(const struct rvt_dev_info *device, uint32_t index, uint64_t generation) {
    struct rvt_object *object = rvt_pool_find(&device->kinds.slots[RVT_RESOURCE_MR].pool, index);
    /* An even generation means that the object is not alive, and no handle has one. An object that was never
     * used (generation 0) has no device pointer yet, so the handle could not be followed. */
    if (!object || !(generation & 1) || !rvt_object_generation(object))
        return (struct rvt_mr_handle){NULL, 0};
    return (struct rvt_mr_handle){(struct rvt_mregion *)object, generation};
}

struct rvt_mr_handle rvt_mr_find_by(const struct rvt_ucontext *context, uint32_t index, uint64_t generation) {
    struct rvt_dev_info *device = context->device;
    struct rvt_mr_handle handle = rvt_mr_find(device, index, generation);
    if (!handle.mr || !rvt_ucontext_restricted(context))
        return handle;
    rvt_mutex_lock(&device->lock);
    bool own = rvt_mr_live(handle) && handle.mr->owned.context == context->id;
    rvt_mutex_unlock(&device->lock);
    return own ? handle : (struct rvt_mr_handle){NULL, 0};
}

/* Returns the number of held SGEs. `elsewhere` is the value read from mr->elsewhere. */
static uint64_t count_held(const struct rvt_mregion *mr, int64_t elsewhere) {
    uint64_t held = atomic_load_explicit(&mr->word, memory_order_acquire) & RVT_MR_HELD_MASK;
    if (!rvt_mr_has_one_word(mr))
        held += (uint64_t)elsewhere + (uint64_t)rvt_sum_held_counts(mr->owned.device, mr->owned.object.index);
    return held;
}

uint64_t rvt_mr_held(struct rvt_mregion *mr) {
    /* A read-modify-write, like every put that is counted here. Either this sees the put, or the put sees the
     * flags that were set in the word before. */
    int64_t elsewhere =
        rvt_mr_has_one_word(mr) ? 0 : atomic_fetch_add_explicit(&mr->elsewhere, 0, memory_order_acq_rel);
    return count_held(mr, elsewhere);
}

uint32_t rvt_mr_refs(const struct rvt_mregion *mr) {
    uint32_t own = mr->half_dead ? 1 : mr->kind == RVT_MR_DMA && mr->was_published ? 3 : 2;
    /* A plain load is enough, because the result is only reported. */
    uint64_t held = count_held(mr, atomic_load_explicit(&mr->elsewhere, memory_order_acquire));
    return held < UINT32_MAX - own ? own + (uint32_t)held : UINT32_MAX;
}

uint32_t rvt_mr_shape(const struct rvt_mregion *mr, const struct rvt_map *map, uint64_t length) {
    uint32_t shape = rvt_shape(map->offset, mr->shift, mr->valid && !mr->reregistering);
    if (rvt_mr_has_one_word(mr))
        shape |= RVT_SHAPE_ONE_WORD;
    if (map == &mr->extent)
        shape |= RVT_SHAPE_EXTENT;
    if ((length + map->offset) >> mr->shift >= map->segments)
        shape |= RVT_SHAPE_END_UNMAPPED;
    const struct rvt_dev_info *device = mr->owned.device;
    /* The slow path refuses by a fault, and finds regions by their rkey. */
    const bool slow =
        rvt_mr_counters_of(mr) || device->rkey_mask || rvt_faults_of(device->faults, RVT_FAULT_REFUSE);
    return slow ? rvt_shape_counted(shape) : shape;
}

void rvt_mr_entry(const struct rvt_mregion *mr, struct rvt_lkey_entry *entry) {
    struct rvt_map *map = atomic_load_explicit(&mr->map, memory_order_relaxed);
    entry->key = rvt_mr_key(mr);
    entry->pd = mr->pd->id;
    entry->access = mr->access;
    entry->shape = rvt_mr_shape(mr, map, mr->length);
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

/* --- references --- */

enum rvt_acquired rvt_mr_acquire(struct rvt_lkey_record *record, uint64_t sequence,
                                 const struct rvt_map *map) {
    struct rvt_mregion *mr = map->mr;
    uint64_t bits = rvt_map_bits(map);
    uint64_t word = atomic_load_explicit(&mr->word, memory_order_acquire);
    do {
        if (word & RVT_MR_REVOKED)
            return RVT_RETRY; /* the record was emptied before the flag was set; the next read finds no key */
        if ((word & RVT_MR_HELD_MASK) == RVT_MR_HELD_MASK)
            return RVT_FULL;
        if ((word & RVT_MR_MAP_MASK) != bits) {
            /* The writer has stopped references under this mapping. It staged the shadow before that (acquire
             * above), so if the sequence has not moved yet, direct readers to the shadow now. If it has
             * moved, the exchange does nothing. */
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
