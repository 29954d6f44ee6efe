/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/dma.h"

#include <stddef.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/region.h"
#include "core/objects/resource.h"
#include "core/objects/ucontext.h"

static struct rvt_dma_table *current_table(const struct rvt_dma_space *space) {
    return atomic_load_explicit(&space->table, memory_order_acquire);
}

/* How many mappings start at or below `address`. */
static uint32_t count_starts_up_to(const struct rvt_dma_table *table, uint64_t address) {
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (table->maps[middle]->address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct rvt_dma_map *rvt_dma_find(const struct rvt_dma_space *space, uint64_t address, uint64_t length,
                                 bool *straddles) {
    const struct rvt_dma_table *table = current_table(space);
    if (straddles)
        *straddles = false;
    if (!table)
        return NULL;
    uint32_t before = count_starts_up_to(table, address);
    if (!before)
        return NULL;
    struct rvt_dma_map *map = table->maps[before - 1];
    if (rvt_dma_holds(map, address, length))
        return map;
    if (straddles)
        *straddles = rvt_dma_holds(map, address, 0);
    return NULL;
}

static void free_table(struct rvt_retired *retired) {
    rvt_free(retired); /* `retired` is the first member */
}

/* Put a new picture in force; the old one goes when no reader looks at it any more. */
static void replace_table(struct rvt_dma_space *space, struct rvt_dma_table *table) {
    struct rvt_dma_table *old = current_table(space);
    atomic_store_explicit(&space->table, table, memory_order_release);
    if (old)
        rvt_retire(&old->retired, free_table);
}

static struct rvt_dma_table *make_table(uint32_t count) {
    struct rvt_dma_table *table = rvt_malloc(sizeof(*table) + count * sizeof(table->maps[0]));
    if (table)
        table->count = count;
    return table;
}

/* An address for a mapping that names none: after the last one given, a page apart so that running past the
 * end of one never lands in the next, and past mappings that somebody placed by hand. 0: there is no room. */
static uint64_t choose_address(const struct rvt_dma_space *space, uint64_t length) {
    const struct rvt_dma_table *table = current_table(space);
    uint64_t address = space->next_address;
    if (length > UINT64_MAX - 2 * RVT_PAGE_SIZE)
        return 0;
    for (uint32_t i = 0; table && i < table->count; i++) {
        const struct rvt_dma_map *map = table->maps[i];
        if (map->length - 1 > UINT64_MAX - map->address)
            return 0;
        uint64_t last = map->address + (map->length - 1);
        if (last < address || map->address > address + length)
            continue;
        if (last > UINT64_MAX - 2 * RVT_PAGE_SIZE)
            return 0;
        address = ((last | (RVT_PAGE_SIZE - 1)) + 1) + RVT_PAGE_SIZE;
        if (address > UINT64_MAX - length - 2 * RVT_PAGE_SIZE)
            return 0;
    }
    return address;
}

int rvt_dma_map(struct rvt_dev_info *device, struct rvt_ucontext *context, struct rvt_memory *memory,
                bool fixed, uint64_t *address, struct rvt_dma_handle *handle) {
    struct rvt_dma_space *space = &device->dma;
    uint64_t length = memory->length;
    int error = 0;
    if (!length)
        return -RVT_EINVAL;
    rvt_mutex_lock(&device->lock);
    const struct rvt_dma_table *old = current_table(space);
    uint32_t count = old ? old->count : 0;
    if (device->closed || rvt_ucontext_gone(context)) {
        error = -RVT_EBADF;
        goto out;
    }
    if (!fixed)
        *address = choose_address(space, length);
    /* address + length may be exactly 2^64. */
    if ((!fixed && !*address) || *address % RVT_PAGE_SIZE || length - 1 > UINT64_MAX - *address) {
        error = -RVT_EINVAL;
        goto out;
    }
    uint32_t at = old ? count_starts_up_to(old, *address) : 0;
    if ((at > 0 && *address - old->maps[at - 1]->address < old->maps[at - 1]->length) ||
        (at < count && old->maps[at]->address - *address < length)) {
        error = -RVT_EINVAL;
        goto out;
    }
    struct rvt_dma_table *table = make_table(count + 1);
    struct rvt_dma_map *map =
        table ? (struct rvt_dma_map *)rvt_take_owned(device, RVT_RESOURCE_DMA, context) : NULL;
    if (!map) {
        rvt_free(table);
        error = -RVT_ENOMEM;
        goto out;
    }
    map->memory = memory;
    map->address = *address;
    map->length = length;
    atomic_store_explicit(&map->users, 0, memory_order_relaxed);
    if (at)
        memcpy(table->maps, old->maps, at * sizeof(table->maps[0]));
    table->maps[at] = map;
    if (at < count)
        memcpy(&table->maps[at + 1], &old->maps[at], (count - at) * sizeof(table->maps[0]));
    rvt_memory_get(memory);
    rvt_dev_get(device);
    handle->map = map;
    handle->generation = rvt_owned_birth(&map->owned, RVT_RESOURCE_DMA);
    replace_table(space, table);
    if (!fixed)
        space->next_address = ((*address + (length - 1)) | (RVT_PAGE_SIZE - 1)) + 1 + RVT_PAGE_SIZE;
out:
    rvt_mutex_unlock(&device->lock);
    rvt_reclaim();
    return error;
}

static void free_mapping(struct rvt_retired *retired) {
    struct rvt_dma_map *map =
        (struct rvt_dma_map *)(void *)((char *)retired - offsetof(struct rvt_dma_map, retired));
    struct rvt_dev_info *device = map->owned.device;
    rvt_memory_put(map->memory);
    /* A mapping that was closed over held SGEs is not used again: their puts still count down in it. */
    if ((atomic_load_explicit(&map->users, memory_order_acquire) & ~RVT_DMA_CLOSED) == 0) {
        rvt_mutex_lock(&device->lock);
        rvt_give_owned(&map->owned, RVT_RESOURCE_DMA);
        rvt_mutex_unlock(&device->lock);
    }
    rvt_dev_put(device);
}

int rvt_dma_unmap(struct rvt_dma_handle handle) {
    struct rvt_dma_map *map = handle.map;
    if (!map || rvt_object_generation(&map->owned.object) != handle.generation)
        return -RVT_EBADF;
    struct rvt_dev_info *device = map->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_dma_table *table = NULL;
    uint64_t unused = 0;
    if (rvt_object_generation(&map->owned.object) != handle.generation) {
        error = -RVT_EBADF;
        goto out;
    }
    const struct rvt_dma_table *old = current_table(&device->dma);
    if (old->count > 1 && !(table = make_table(old->count - 1))) {
        error = -RVT_ENOMEM;
        goto out;
    }
    /* Closing and the test for users are one exchange: a key-0 check cannot slip in between. */
    if (!atomic_compare_exchange_strong_explicit(&map->users, &unused, RVT_DMA_CLOSED, memory_order_acq_rel,
                                                 memory_order_relaxed)) {
        rvt_free(table);
        error = -RVT_EBUSY;
        goto out;
    }
    rvt_tell_release(&map->owned, RVT_RESOURCE_DMA);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < old->count; i++)
        if (old->maps[i] != map)
            table->maps[kept++] = old->maps[i];
    rvt_owned_death(&map->owned, RVT_RESOURCE_DMA);
    replace_table(&device->dma, table);
    rvt_retire(&map->retired, free_mapping);
out:
    rvt_mutex_unlock(&device->lock);
    rvt_reclaim();
    return error;
}

static void close_map(struct rvt_dma_map *map) {
    rvt_tell_release(&map->owned, RVT_RESOURCE_DMA);
    atomic_fetch_or_explicit(&map->users, RVT_DMA_CLOSED, memory_order_acq_rel);
    rvt_owned_death(&map->owned, RVT_RESOURCE_DMA);
    rvt_retire(&map->retired, free_mapping);
}

static void close_every_map(struct rvt_dev_info *device) {
    const struct rvt_dma_table *table = current_table(&device->dma);
    for (uint32_t i = 0; i < table->count; i++)
        close_map(table->maps[i]);
    replace_table(&device->dma, NULL);
}

void rvt_dma_close_of(struct rvt_dev_info *device, struct rvt_ucontext *only) {
    const uint64_t context = only ? only->id : RVT_EVERY_CONTEXT;
    struct rvt_dma_table *old = current_table(&device->dma);
    uint32_t left = 0;
    for (uint32_t i = 0; context != RVT_EVERY_CONTEXT && old && i < old->count; i++)
        left += old->maps[i]->owned.context != context;
    if (!old || left == old->count)
        return;
    struct rvt_dma_table *table = left ? make_table(left) : NULL;
    /* Lists first: nobody may find a page of a mapping that is closed. */
    rvt_mr_unmap_lists(device, left && !table ? RVT_EVERY_CONTEXT : context);
    if (!table) {
        close_every_map(device);
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < old->count; i++) {
        if (old->maps[i]->owned.context == context)
            close_map(old->maps[i]);
        else
            table->maps[kept++] = old->maps[i];
    }
    replace_table(&device->dma, table);
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
}

/* All together: one picture without them replaces the old one, and lists that name them
 * are unmapped first. */
const struct rvt_object_kind rvt_dma_objects = {
    .number = RVT_RESOURCE_DMA,
    .row_fields = RVT_DMA_FIELDS,
    .fill_row = fill_dma_row,
    .object_size = sizeof(struct rvt_dma_map),
    .end_order = RVT_END_DMA_MAPS,
    .end_all = rvt_dma_close_of,
};
