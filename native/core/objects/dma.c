/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/dma.h"

#include <stddef.h>

#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/region.h"
#include "core/objects/resource.h"
#include "core/objects/ucontext.h"

struct rvt_dma_map *rvt_dma_find(const struct rvt_dma_space *space, uint64_t address, uint64_t length,
                                 bool *straddles) {
    /* acquire: a reader that finds a table finds it completely filled. */
    struct rvt_dma_map *map =
        rvt_dma_table_find(atomic_load_explicit(&space->table, memory_order_acquire), address);
    bool whole = map && rvt_dma_holds(map, address, length);
    if (straddles)
        *straddles = map && !whole;
    return whole ? map : NULL;
}

/* Returns a free address for a mapping that names none, or 0 if no room is left. The address follows the last
 * one chosen, with a guard page in between so that an access past the end of one mapping does not hit the
 * next, and skips mappings placed at fixed addresses. */
static uint64_t choose_address(const struct rvt_dma_space *space, uint64_t length) {
    const struct rvt_dma_table *table = atomic_load_explicit(&space->table, memory_order_relaxed);
    const struct rvt_dma_map *map;
    uint64_t address = space->next_address;
    if (length > UINT64_MAX - 2 * RVT_PAGE_SIZE)
        return 0;
    /* Each step skips one mapping that is in the way. If the caller succeeds, next_address moves behind the
     * result, so later calls do not skip the same mappings again. */
    while ((map = rvt_dma_table_find_first(table, address,
                                           length > UINT64_MAX - address ? UINT64_MAX : address + length))) {
        uint64_t last = map->address + (map->length - 1);
        if (last > UINT64_MAX - 2 * RVT_PAGE_SIZE)
            return 0;
        address = ((last | (RVT_PAGE_SIZE - 1)) + 1) + RVT_PAGE_SIZE;
        if (address > UINT64_MAX - length - 2 * RVT_PAGE_SIZE)
            return 0;
    }
    return address;
}

static int judge_range(const struct rvt_dma_space *space, uint64_t address, uint64_t length) {
    if (address % RVT_PAGE_SIZE)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_DMA_ADDRESS_UNALIGNED, address, RVT_PAGE_SIZE);
    /* address + length may be exactly 2^64. */
    if (length - 1 > UINT64_MAX - address)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_DMA_ADDRESS_TOO_HIGH, address,
                              (UINT64_C(0) - length) & ~(uint64_t)(RVT_PAGE_SIZE - 1));
    const struct rvt_dma_map *in_the_way = rvt_dma_table_find_first(
        atomic_load_explicit(&space->table, memory_order_relaxed), address, address + (length - 1));
    return in_the_way ? rvt_fail_value(RVT_EINVAL, RVT_CAUSE_DMA_RANGE_TAKEN, address, in_the_way->address)
                      : 0;
}

int rvt_dma_map(struct rvt_dev_info *device, struct rvt_ucontext *context, struct rvt_memory *memory,
                bool fixed, uint64_t *address, struct rvt_dma_handle *handle) {
    struct rvt_dma_space *space = &device->dma;
    uint64_t length = memory->length;
    int error = 0;
    if (!length)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_EMPTY_MEMORY);
    rvt_mutex_lock(&device->lock);
    if (device->closed || rvt_ucontext_gone(context)) {
        error = rvt_fail_gone(device, context, RVT_CAUSE_DETACHED);
        goto out;
    }
    if (rvt_ucontext_restricted(context)) {
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
        goto out;
    }
    if (!fixed)
        *address = choose_address(space, length);
    error = !fixed && !*address ? rvt_fail_value(RVT_EINVAL, RVT_CAUSE_DMA_ADDRESSES_USED_UP, length, 0)
                                : judge_range(space, *address, length);
    if (error)
        goto out;
    struct rvt_dma_addition addition;
    if (!rvt_dma_table_prepare(device, *address, length, &addition)) {
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
        goto out;
    }
    struct rvt_dma_map *map = (struct rvt_dma_map *)rvt_take_owned(device, RVT_RESOURCE_DMA, context);
    if (!map) {
        rvt_dma_table_abandon(&addition);
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
        goto out;
    }
    map->memory = memory;
    map->address = *address;
    map->length = length;
    atomic_store_explicit(&map->users, 0, memory_order_relaxed);
    rvt_memory_get(memory);
    rvt_dev_get(device);
    handle->map = map;
    handle->generation = rvt_owned_birth(&map->owned, RVT_RESOURCE_DMA);
    rvt_dma_table_add(device, &addition, map);
    if (!fixed)
        space->next_address = ((*address + (length - 1)) | (RVT_PAGE_SIZE - 1)) + 1 + RVT_PAGE_SIZE;
out:
    rvt_mutex_unlock(&device->lock);
    rvt_reclaim(&device->retirement);
    return error;
}

static void free_mapping(struct rvt_retired *retired) {
    struct rvt_dma_map *map =
        (struct rvt_dma_map *)(void *)((char *)retired - offsetof(struct rvt_dma_map, retired));
    struct rvt_dev_info *device = map->owned.device;
    rvt_memory_put(map->memory);
    /* Do not reuse a mapping that was closed while SGEs were held: their puts still decrement `users`. */
    if ((atomic_load_explicit(&map->users, memory_order_acquire) & ~RVT_DMA_CLOSED) == 0) {
        rvt_mutex_lock(&device->lock);
        rvt_give_owned(&map->owned, RVT_RESOURCE_DMA);
        rvt_mutex_unlock(&device->lock);
    }
    rvt_dev_put(device);
}

/* Makes a closed mapping unreachable for new checks, makes its handles stale, and retires it. The caller must
 * hold the device lock. */
static void end_mapping(struct rvt_dma_map *map) {
    rvt_tell_release(&map->owned, RVT_RESOURCE_DMA);
    rvt_dma_table_remove(map->owned.device, map);
    rvt_owned_death(&map->owned, RVT_RESOURCE_DMA);
    rvt_retire(&map->owned.device->retirement, &map->retired, free_mapping);
}

/* Fails with -EBUSY and the number of regions whose page lists name the mapping and of key-0 SGEs on it.
 * Searches the device's regions until all `users` are found. The caller must hold the device lock. */
static int fail_used(const struct rvt_dma_map *map, uint64_t users) {
    uint64_t counts[RVT_MOST_OBJECT_KINDS] = {0}, found = 0;
    const struct rvt_owned *owned;
    for (uint32_t at = 0;
         found < users && (owned = rvt_next_object(map->owned.device, RVT_RESOURCE_MR, &at));) {
        uint64_t uses = rvt_map_uses_of(rvt_mr_map((const struct rvt_mregion *)owned), map);
        counts[RVT_RESOURCE_MR] += uses != 0;
        found += uses;
    }
    return rvt_fail_counts(RVT_EBUSY, RVT_CAUSE_MAPPING_IN_USE, users - found, counts);
}

int rvt_dma_unmap(struct rvt_dma_handle handle) {
    struct rvt_dma_map *map = handle.map;
    if (!map)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_MAPPING_GONE);
    struct rvt_dev_info *device = map->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    uint64_t unused = 0;
    if (rvt_object_generation(&map->owned.object) != handle.generation)
        error = rvt_fail_gone(device, NULL, RVT_CAUSE_MAPPING_GONE);
    /* One exchange tests for users and closes the mapping, so a key-0 check cannot interfere. */
    else if (!atomic_compare_exchange_strong_explicit(&map->users, &unused, RVT_DMA_CLOSED,
                                                      memory_order_acq_rel, memory_order_relaxed))
        error = fail_used(map, unused);
    else
        end_mapping(map);
    rvt_mutex_unlock(&device->lock);
    if (!error)
        rvt_settle(&device->retirement);
    return error;
}

static void close_mapping(struct rvt_owned *owned) {
    struct rvt_dma_map *map = (struct rvt_dma_map *)owned;
    atomic_fetch_or_explicit(&map->users, RVT_DMA_CLOSED, memory_order_acq_rel);
    end_mapping(map);
}

/* Returns whether any mapping of the context (NULL: of the device) is in use. */
static bool is_any_used(const struct rvt_dev_info *device, const struct rvt_ucontext *context) {
    const struct rvt_owned *owned = NULL;
    uint32_t at = 0;
    while ((owned = context ? rvt_next_owned(device, RVT_RESOURCE_DMA, context, owned)
                            : rvt_next_object(device, RVT_RESOURCE_DMA, &at)))
        if (atomic_load_explicit(&((const struct rvt_dma_map *)owned)->users, memory_order_relaxed))
            return true;
    return false;
}

void rvt_dma_close_of(struct rvt_dev_info *device, struct rvt_ucontext *context) {
    /* Unmap page lists first: no reader may reach a closed mapping through one. The search covers all regions
     * of the device, so run it once, and only if a mapping is in use. */
    if (is_any_used(device, context))
        rvt_mr_unmap_lists(device, context ? context->id : RVT_EVERY_CONTEXT);
    rvt_end_each(device, RVT_RESOURCE_DMA, context, close_mapping);
}

bool rvt_dma_acquire(struct rvt_dma_map *map) {
    uint64_t users = atomic_load_explicit(&map->users, memory_order_relaxed);
    do {
        if (users & RVT_DMA_CLOSED)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&map->users, &users, users + 1, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return true;
}

void rvt_dma_release(struct rvt_dma_map *map, uint64_t count) {
    atomic_fetch_sub_explicit(&map->users, count, memory_order_acq_rel);
}

static void fill_dma_row(const void *object, uint64_t *out) {
    const struct rvt_dma_map *map = object;
    out[RVT_DMA_SERIAL] = map->owned.serial;
    out[RVT_DMA_CONTEXT] = map->owned.context;
    out[RVT_DMA_ADDRESS] = map->address;
    out[RVT_DMA_LENGTH] = map->length;
    out[RVT_DMA_USERS] = atomic_load_explicit(&map->users, memory_order_relaxed);
    rvt_place_fields(map->memory, &out[RVT_DMA_MEMORY_KIND]);
}

/* Mappings end together (end_all): one search over all regions finds the page lists that name any of them. */
const struct rvt_object_kind rvt_dma_objects = {
    .number = RVT_RESOURCE_DMA,
    .row_fields = RVT_DMA_FIELDS,
    .fill_row = fill_dma_row,
    .object_size = sizeof(struct rvt_dma_map),
    .end_order = RVT_END_DMA_MAPS,
    .end_all = rvt_dma_close_of,
};
