/* SPDX-License-Identifier: BSD-3-Clause */
/* Fast memory regions: page lists of any segment size, mapped and unmapped under one key. */
#include <string.h>

#include "core/base/epoch.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/dma.h"
#include "core/objects/mr.h"
#include "core/objects/pd.h"
#include "core/objects/region.h"

enum { RVT_MAX_PAGE_SHIFT = 30 };

int rvt_alloc_fmr(struct rvt_pd_handle in, uint32_t access, const struct rvt_fmr_attr *attr,
                  struct rvt_mr_handle *handle) {
    if (!in.pd)
        return -RVT_EBADF;
    struct rvt_dev_info *device = in.pd->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = NULL;
    if (!rvt_pd_live(in))
        error = -RVT_EBADF;
    else if (attr->page_shift > RVT_MAX_PAGE_SHIFT || attr->max_pages < 0 || attr->max_pages > INT32_MAX)
        error = -RVT_EINVAL;
    else if (!(mr = rvt_mr_take(in, RVT_MR_FMR)))
        error = -RVT_ENOMEM;
    if (mr) {
        mr->access = access;
        mr->shift = (uint8_t)attr->page_shift;
        mr->max_segments = (uint32_t)attr->max_pages;
        error = rvt_mr_publish(mr, handle);
        if (error)
            rvt_mr_untake(mr);
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

/* Copy the list, and tell whether every page of it is inside `mapping`. In pieces, each copied and then
 * judged while it is near: a comparison and a store a page. What is judged is the copy, since the caller's
 * list may lie in memory that another thread writes. */
static bool copy_pages(struct rvt_map *map, const uint64_t *pages, const struct rvt_dma_map *mapping) {
    enum { PIECE = 256 };
    uint64_t page_size = UINT64_C(1) << map->shift;
    if (page_size > mapping->length)
        return false;
    uint64_t first = mapping->address, last_into = mapping->length - page_size;
    bool outside = false;
    for (uint32_t at = 0; at < map->segments; at += PIECE) {
        uint32_t count = map->segments - at < PIECE ? map->segments - at : PIECE;
        uint64_t *copy = &map->addresses[at];
        memcpy(copy, &pages[at], count * sizeof(*copy));
        for (uint32_t i = 0; i < count; i++)
            outside |=
                copy[i] - first > last_into; /* wraps for a page below: then it is larger than anything */
    }
    return !outside;
}

/* Is every page of a list that one mapping does not hold inside some mapping? */
static bool judge_pages(const struct rvt_dma_space *space, const struct rvt_map *map) {
    uint64_t page_size = UINT64_C(1) << map->shift;
    struct rvt_dma_map *mapping = NULL;
    for (uint32_t i = 0; i < map->segments; i++) {
        mapping = rvt_dma_find_near(space, mapping, map->addresses[i], page_size);
        if (!mapping)
            return false;
    }
    return true;
}

/* The same list with a mapping for every page. NULL without memory. */
static struct rvt_map *copy_with_mappings(const struct rvt_dma_space *space, struct rvt_mregion *mr,
                                          const struct rvt_map *list) {
    struct rvt_map *map = rvt_map_list(mr, list->segments, true);
    if (!map)
        return NULL;
    memcpy(map->addresses, list->addresses, list->segments * sizeof(uint64_t));
    for (uint32_t i = 0; i < map->segments; i++)
        map->mappings[i] = rvt_dma_find(space, map->addresses[i], UINT64_C(1) << map->shift, NULL);
    return map;
}

/* The pages as a map.
 *   0        *out is the map; the caller puts it in force or discards it
 *   -EINVAL  a page is not inside one DMA mapping
 *   -ENOMEM  no memory */
static int make_page_map(struct rvt_mregion *mr, const uint64_t *pages, uint32_t count,
                         struct rvt_map **out) {
    const struct rvt_dma_space *space = &mr->owned.device->dma;
    struct rvt_map *map = rvt_map_list(mr, count, false);
    if (!map)
        return -RVT_ENOMEM;
    /* The first page is a guess at where the list lies, read apart from the copy: a list that changes in
     * between is found outside, and judged page by page. */
    struct rvt_dma_map *mapping = rvt_dma_find(space, pages[0], UINT64_C(1) << mr->shift, NULL);
    int error = 0;
    if (mapping && copy_pages(map, pages, mapping)) {
        map->mapping = mapping;
    } else {
        struct rvt_map *list = map;
        memcpy(list->addresses, pages, count * sizeof(*pages));
        map = NULL;
        if (!judge_pages(space, list))
            error = -RVT_EINVAL;
        else if (!(map = copy_with_mappings(space, mr, list)))
            error = -RVT_ENOMEM;
        rvt_map_discard(list);
    }
    *out = map;
    return error;
}

static int map_pages(struct rvt_mregion *mr, const uint64_t *pages, uint32_t count, uint64_t iova) {
    uint64_t length = (uint64_t)count << mr->shift;
    /* The reference multiplies in 32 bits. */
    if (length > UINT32_MAX || (length && iova > UINT64_C(0) - length))
        return -RVT_EINVAL;
    struct rvt_map *map = NULL;
    int error = count ? make_page_map(mr, pages, count, &map) : 0;
    if (error)
        return error;
    return rvt_mr_set_map(mr, map, (struct rvt_window){iova, iova, length}, true);
}

int rvt_map_phys_fmr(struct rvt_mr_handle handle, const uint64_t *pages, uint64_t count, uint64_t iova) {
    if (!handle.mr)
        return -RVT_EBADF;
    struct rvt_dev_info *device = handle.mr->owned.device;
    int error;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (!mr)
        error = -RVT_EBADF;
    else if (mr->kind != RVT_MR_FMR)
        error = -RVT_EINVAL;
    else if (mr->half_dead || rvt_mr_held(mr))
        error = -RVT_EBUSY; /* decided again, together with the change, in rvt_mr_set_map */
    else if (count > mr->max_segments)
        error = -RVT_EINVAL;
    else
        error = map_pages(mr, pages, (uint32_t)count, iova);
    rvt_mutex_unlock(&device->lock);
    if (!error)
        rvt_settle(&device->retirement);
    return error;
}

int rvt_unmap_fmr(const struct rvt_mr_handle *fmrs, uint32_t count) {
    if (!count)
        return 0;
    if (!fmrs[0].mr)
        return -RVT_EBADF;
    struct rvt_dev_info *device = fmrs[0].mr->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    /* All or none: the whole list is judged before the first is touched. */
    for (uint32_t i = 0; i < count && !error; i++) {
        const struct rvt_mregion *mr = rvt_mr_live(fmrs[i]);
        if (!mr)
            error = -RVT_EBADF;
        else if (mr->kind != RVT_MR_FMR || mr->owned.device != device)
            error = -RVT_EINVAL;
        else if (mr->half_dead)
            error = -RVT_EBUSY;
    }
    for (uint32_t i = 0; i < count && !error; i++)
        rvt_mr_set_map(fmrs[i].mr, NULL, (struct rvt_window){0, 0, 0}, false);
    rvt_mutex_unlock(&device->lock);
    if (!error)
        rvt_settle(&device->retirement);
    return error;
}
