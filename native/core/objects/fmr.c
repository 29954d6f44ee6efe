/* SPDX-License-Identifier: BSD-3-Clause */
/* Fast memory regions (FMRs): page lists with a chosen page size, mapped and unmapped under one key. */
#include <string.h>

#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/dma.h"
#include "core/objects/mr.h"
#include "core/objects/pd.h"
#include "core/objects/region.h"
#include "core/objects/strict.h"

enum { RVT_MAX_PAGE_SHIFT = 30 };

int rvt_alloc_fmr(struct rvt_pd_handle in, uint32_t access, const struct rvt_fmr_attr *attr,
                  struct rvt_mr_handle *handle) {
    if (!in.pd)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    struct rvt_dev_info *device = in.pd->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = NULL;
    if (!rvt_pd_live(in))
        error = rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    else if (attr->page_shift > RVT_MAX_PAGE_SHIFT)
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_PAGE_SHIFT, attr->page_shift, RVT_MAX_PAGE_SHIFT);
    else if (attr->max_pages < 0 || attr->max_pages > INT32_MAX)
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_MAX_PAGES, (uint64_t)attr->max_pages, INT32_MAX);
    else if ((error = rvt_judge_strict_access(device, access)))
        ;
    else if (!(mr = rvt_mr_take(in, RVT_MR_FMR)))
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
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

/* An entry of the caller's page list, which may be unaligned. volatile: another thread may write the list, so
 * the compiler must not load an entry a second time after its value was checked. */
typedef volatile uint64_t __attribute__((aligned(1), may_alias)) listed_page;

/* The range of valid page addresses in one mapping. A page is inside if `page - first` is at most `last`; for
 * a page below `first` the difference wraps to more than any `last`. */
struct bounds {
    uint64_t first, last;
};

/* Returns a value whose top bit is set if the page is outside: either the first term has the bit, or both
 * operands of the subtraction are below 2^63 and it wraps. In a mapping of 2^63 bytes or more, a page that is
 * inside may set the bit too. */
static inline uint64_t outside_bit(struct bounds bounds, uint64_t page) {
    uint64_t into = page - bounds.first;
    return into | (bounds.last - into);
}

/* Copies the list from page 1 on; the caller has copied page 0. Checks each page by the copied value. Returns
 * true if all pages are inside, false if one may be outside. The loop has no branch per page, so one register
 * holds two pages: gcc does not vectorize at -O2 by itself, and every supported processor has 16-byte
 * vectors. */
static bool copy_pages(uint64_t *copy, const listed_page *pages, uint32_t count, struct bounds bounds) {
    uint64_t outside = outside_bit(bounds, copy[0]);
    uint32_t i = 1;
#if defined(__GNUC__) || defined(__clang__)
    typedef uint64_t pair __attribute__((vector_size(16)));
    typedef const volatile pair __attribute__((aligned(1), may_alias)) listed_pair;
    const pair first = {bounds.first, bounds.first}, last = {bounds.last, bounds.last};
    pair either = {0, 0};
    for (; count - i >= 4; i += 4) {
        const listed_pair *from = (const listed_pair *)(const volatile void *)&pages[i];
        pair one = from[0], other = from[1];
        memcpy(&copy[i], &one, sizeof(one));
        memcpy(&copy[i + 2], &other, sizeof(other));
        one -= first;
        other -= first;
        either |= one | (last - one) | other | (last - other);
    }
    outside |= either[0] | either[1];
#endif
    for (; i < count; i++) {
        copy[i] = pages[i];
        outside |= outside_bit(bounds, copy[i]);
    }
    return !(outside >> 63);
}

/* Checks that each page of a list that no single mapping holds is inside some mapping. Returns 0 or
 * -EINVAL. */
static int judge_pages(const struct rvt_dma_space *space, const struct rvt_map *map) {
    uint64_t page_size = UINT64_C(1) << map->shift;
    struct rvt_dma_map *mapping = NULL;
    for (uint32_t i = 0; i < map->segments; i++) {
        uint64_t page = map->addresses[i];
        mapping = rvt_dma_find_near(space, mapping, page, page_size);
        if (mapping)
            continue;
        mapping = rvt_dma_find(space, page, 0, NULL);
        if (!mapping)
            return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_PAGE_UNMAPPED, i, page, 0);
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_PAGE_ACROSS_END, i, page,
                           mapping->length - (page - mapping->address));
    }
    return 0;
}

/* Returns a copy of the list that stores the mapping of every page. Returns NULL if memory is short. */
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

/* Builds a map from a page list.
 *   0        the caller puts *out in force or discards it
 *   -EINVAL  a page is not inside one DMA mapping
 *   -ENOMEM  no memory */
static int make_page_map(struct rvt_mregion *mr, const uint64_t *pages, uint32_t count,
                         struct rvt_map **out) {
    const struct rvt_dma_space *space = &mr->owned.device->dma;
    struct rvt_map *map = rvt_map_list(mr, count, false);
    if (!map)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    /* Load each entry only once. The first page's mapping probably holds all others. */
    const listed_page *list = (const listed_page *)(const void *)pages;
    map->addresses[0] = list[0];
    uint64_t page_size = UINT64_C(1) << mr->shift;
    struct rvt_dma_map *mapping = rvt_dma_find(space, map->addresses[0], page_size, NULL);
    struct bounds bounds = {0, 0};
    if (mapping)
        bounds = (struct bounds){mapping->address, mapping->length - page_size};
    int error = 0;
    if (copy_pages(map->addresses, list, count, bounds) && mapping) {
        map->mapping = mapping;
    } else {
        struct rvt_map *copied = map;
        map = NULL;
        error = judge_pages(space, copied);
        if (!error && !(map = copy_with_mappings(space, mr, copied)))
            error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
        rvt_map_discard(copied);
    }
    *out = map;
    return error;
}

static int map_pages(struct rvt_mregion *mr, const uint64_t *pages, uint32_t count, uint64_t iova,
                     struct rvt_retired **passed) {
    uint64_t length = (uint64_t)count << mr->shift;
    /* The kernel multiplies in 32 bits and would wrap. */
    if (length > UINT32_MAX)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_MAPPED_LENGTH, length, UINT32_MAX);
    if (length && iova > UINT64_C(0) - length)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_IOVA_TOO_HIGH, iova, UINT64_C(0) - length);
    struct rvt_map *map = NULL;
    int error = rvt_judge_strict_offset(mr->owned.device, 0, iova, mr->shift); /* pages begin at offset 0 */
    if (error)
        return error;
    error = count ? make_page_map(mr, pages, count, &map) : 0;
    if (error)
        return error;
    return rvt_mr_set_map(mr, map, (struct rvt_window){iova, iova, length}, true, passed);
}

int rvt_map_phys_fmr(struct rvt_mr_handle handle, const uint64_t *pages, uint64_t count, uint64_t iova) {
    if (!handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    struct rvt_dev_info *device = handle.mr->owned.device;
    int error;
    uint64_t held;
    struct rvt_retired *passed = NULL;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (!mr)
        error = rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    else if (mr->kind != RVT_MR_FMR)
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_REGION_KIND, (uint64_t)mr->kind, 0);
    else if (mr->half_dead)
        error = rvt_fail_value(RVT_EBUSY, RVT_CAUSE_HALF_DEAD, rvt_mr_held(mr), 0);
    else if ((held = rvt_mr_held(mr)))
        /* rvt_mr_set_map tests for references again, in one step with the change */
        error = rvt_fail_value(RVT_EBUSY, RVT_CAUSE_FMR_HELD, held, 0);
    else if (mr->no_dma)
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED_DMA);
    else if (count > mr->max_segments)
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_PAGE_COUNT, count, mr->max_segments);
    else
        error = map_pages(mr, pages, (uint32_t)count, iova, &passed);
    rvt_mutex_unlock(&device->lock);
    if (!error)
        rvt_settle(&device->retirement);
    else /* if a check took a reference in between, rvt_mr_set_map failed and retired the new mapping */
        rvt_reclaim(&device->retirement);
    rvt_release_passed(passed);
    return error;
}

int rvt_unmap_fmr(const struct rvt_mr_handle *fmrs, uint32_t count) {
    if (!count)
        return 0;
    if (!fmrs[0].mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    struct rvt_dev_info *device = fmrs[0].mr->owned.device;
    int error = 0;
    struct rvt_retired *passed = NULL;
    rvt_mutex_lock(&device->lock);
    /* Check the whole list before changing any FMR, so a failure changes nothing. */
    for (uint32_t i = 0; i < count && !error; i++) {
        struct rvt_mregion *mr = rvt_mr_live(fmrs[i]);
        if (!mr)
            error = rvt_fail_at(RVT_EBADF, RVT_CAUSE_REGION_GONE, i, 0, 0);
        else if (mr->owned.device != device)
            error = rvt_fail_at(RVT_EINVAL, RVT_CAUSE_LISTED_ON_OTHER_DEVICE, i, 0, 0);
        else if (mr->kind != RVT_MR_FMR)
            error = rvt_fail_at(RVT_EINVAL, RVT_CAUSE_REGION_KIND, i, (uint64_t)mr->kind, 0);
        else if (mr->half_dead)
            error = rvt_fail_at(RVT_EBUSY, RVT_CAUSE_HALF_DEAD, i, rvt_mr_held(mr), 0);
    }
    for (uint32_t i = 0; i < count && !error; i++)
        rvt_mr_set_map(fmrs[i].mr, NULL, (struct rvt_window){0, 0, 0}, false, &passed);
    rvt_mutex_unlock(&device->lock);
    if (!error)
        rvt_settle(&device->retirement);
    rvt_release_passed(passed);
    return error;
}
