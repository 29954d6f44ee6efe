/* SPDX-License-Identifier: BSD-3-Clause */
/* rvt_map_mr_sg: maps scatter-gather lists onto a region of rvt_alloc_mr. */
#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/dma.h"
#include "core/objects/mr.h"
#include "core/objects/region.h"

static const uint64_t PAGE_MASK_BITS = RVT_PAGE_SIZE - 1;

/* Adds pages to a map, or only counts them if `map` is NULL. The list is traversed twice with the same
 * arithmetic: first to count the segments, then to store them. */
struct builder {
    const struct rvt_dma_space *space;
    struct rvt_map *map;
    struct rvt_dma_map *mapping; /* holds the whole list; only a guess if several_mappings */
    bool several_mappings;
    bool whole_pages;   /* every element begins and ends at a page boundary */
    uint64_t all_bytes; /* total of the list */
    uint32_t capacity;
    uint32_t segments;
};

/* Adds `count` pages of the element, or as many as fit. Returns how many were added. */
static uint64_t add_pages(struct builder *builder, uint64_t page, uint64_t count,
                          const struct rvt_sg_element *element) {
    uint32_t room = builder->capacity - builder->segments;
    uint32_t added = count < room ? (uint32_t)count : room;
    struct rvt_map *map = builder->map;
    if (map) {
        uint64_t *addresses = &map->addresses[builder->segments];
        for (uint32_t i = 0; i < added; i++, page += RVT_PAGE_SIZE)
            addresses[i] = page;
        if (builder->several_mappings) {
            builder->mapping =
                rvt_dma_find_near(builder->space, builder->mapping, element->address, element->length);
            for (uint32_t i = 0; i < added; i++)
                map->mappings[builder->segments + i] = builder->mapping;
        }
    }
    builder->segments += added;
    return added;
}

struct layout {
    uint32_t used;  /* number of elements */
    uint64_t total; /* bytes */
    bool refused;   /* not even the first page counts, and the kernel returns ENOMEM */
};

/* Lays the list out in pages.
 *
 * An element that does not begin at a page boundary, or whose predecessor does not end at one, can only
 * continue in the same page, because a region must not have a hole inside. If the region becomes full within
 * an element, the kernel counts only up to the start of the last page that fit, so that page's bytes are not
 * included in the length. */
static struct layout lay_out_list(struct builder *builder, const struct rvt_sg_element *list, uint32_t count,
                                  uint64_t sg_offset) {
    struct layout layout = {0};
    uint64_t previous_end = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = list[i].address + (i ? 0 : sg_offset);
        /* Can be 2^64 = 0 for the topmost range of the address space; only differences and the offset in the
         * page are used. */
        uint64_t end = list[i].address + list[i].length;
        uint64_t page = start & ~PAGE_MASK_BITS;
        uint64_t missing = ((((end - 1) & ~PAGE_MASK_BITS) - page) >> RVT_PAGE_SHIFT) + 1;
        layout.used = i;
        if (i && ((previous_end | start) & PAGE_MASK_BITS)) {
            if (previous_end != start)
                return layout;
            page += RVT_PAGE_SIZE; /* the page that holds `start` has been added already */
            missing--;
        }
        uint64_t added = add_pages(builder, page, missing, &list[i]);
        if (added < missing) {
            uint64_t last_added = added ? page + ((added - 1) << RVT_PAGE_SHIFT) : start;
            layout.refused = i == 0 && last_added == list[0].address;
            /* If the first page begins below `start` (offset or unaligned address), nothing counts. */
            if (last_added > start)
                layout.total += last_added - start;
            return layout;
        }
        layout.total += end - start;
        previous_end = end;
    }
    layout.used = count;
    return layout;
}

/* Fails with the reason why the element cannot be mapped. */
static int fail_element(const struct rvt_dma_space *space, const struct rvt_sg_element *element,
                        uint32_t index) {
    if (!element->length)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_SG_ELEMENT_EMPTY, index, element->address, 0);
    const struct rvt_dma_map *mapping = rvt_dma_find(space, element->address, 0, NULL);
    if (!mapping)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_SG_ELEMENT_UNMAPPED, index, element->address, 0);
    return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_SG_ELEMENT_ACROSS_END, index, element->address,
                       mapping->length - (element->address - mapping->address));
}

/* Checks the list and finds its mapping on the way: the mapping that holds all elements, or whether there are
 * several. */
static int judge_sg_list(struct rvt_mregion *mr, const struct rvt_sg_element *list, uint32_t count,
                         uint64_t sg_offset, uint32_t page_size, struct builder *builder) {
    if (mr->kind != RVT_MR_MEM_REG)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_REGION_KIND, (uint64_t)mr->kind, 0);
    if (mr->half_dead)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_HALF_DEAD, rvt_mr_held(mr), 0);
    if (page_size != RVT_PAGE_SIZE)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_PAGE_SIZE, page_size, RVT_PAGE_SIZE);
    if (!count)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_EMPTY_LIST);
    if (sg_offset > list[0].length)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_OFFSET_OUTSIDE, sg_offset, list[0].length);
    /* Check all elements, even those that will not be reached: the verdict must not depend on the region's
     * capacity. */
    struct rvt_dma_map *mapping = NULL;
    uint64_t odd = sg_offset ? 1 : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct rvt_dma_map *found =
            rvt_dma_find_near(builder->space, mapping, list[i].address, list[i].length);
        if (!list[i].length || !found)
            return fail_element(builder->space, &list[i], i);
        if (i && found != mapping)
            builder->several_mappings = true;
        mapping = found;
        odd |= list[i].address | list[i].length;
        /* Saturate: a sum that wrapped would seem to fit. */
        builder->all_bytes = builder->all_bytes <= UINT64_MAX - list[i].length
                                 ? builder->all_bytes + list[i].length
                                 : UINT64_MAX;
    }
    builder->whole_pages = !(odd & PAGE_MASK_BITS);
    builder->mapping = mapping;
    /* The kernel would map the page behind the element. For a region without segments it returns ENOMEM
     * whatever the offset, so leave that case to map_list. */
    if (sg_offset == list[0].length && mr->max_segments)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_OFFSET_OUTSIDE, sg_offset, list[0].length);
    return 0;
}

static uint64_t count_pages(const struct rvt_sg_element *element, uint64_t offset) {
    uint64_t first = (element->address + offset) & ~PAGE_MASK_BITS;
    uint64_t last = (element->address + element->length - 1) & ~PAGE_MASK_BITS;
    return last < first ? 0 : ((last - first) >> RVT_PAGE_SHIFT) + 1;
}

static int map_list(struct rvt_mregion *mr, const struct rvt_sg_element *list, uint32_t count,
                    uint64_t sg_offset, struct builder builder, struct rvt_retired **passed) {
    uint64_t base = list[0].address + sg_offset;
    /* For a region without segments the kernel crashes; here it is handled as "nothing fits". */
    struct layout layout = {.refused = true};
    struct builder counted = builder;
    /* The common case needs no counting: everything fits, and there is no hole. */
    bool plain = builder.whole_pages && builder.all_bytes >> RVT_PAGE_SHIFT <= builder.capacity;
    if (plain) {
        layout = (struct layout){.used = count, .total = builder.all_bytes};
        counted.segments = (uint32_t)(builder.all_bytes >> RVT_PAGE_SHIFT);
    } else if (mr->max_segments) {
        layout = lay_out_list(&counted, list, count, sg_offset);
    }
    if (layout.total && base > UINT64_C(0) - layout.total)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_SG_END_TOO_HIGH, base, UINT64_C(0) - layout.total);
    struct rvt_map *map = NULL;
    if (counted.segments) {
        map = rvt_map_list(mr, counted.segments, builder.several_mappings);
        if (!map)
            return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
        if (!builder.several_mappings)
            map->mapping = builder.mapping;
        map->offset = (uint16_t)(base & PAGE_MASK_BITS);
        builder.map = map;
        if (plain && counted.segments == count && !builder.several_mappings) {
            for (uint32_t i = 0; i < count; i++) /* each element is exactly one page */
                map->addresses[i] = list[i].address;
        } else {
            lay_out_list(&builder, list, count, sg_offset);
        }
    }
    rvt_mr_set_map(mr, map, (struct rvt_window){base, base, layout.total}, false, passed);
    if (layout.refused)
        return rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_NOTHING_FITS, count_pages(&list[0], sg_offset),
                              mr->max_segments);
    return (int)layout.used;
}

int rvt_map_mr_sg(struct rvt_mr_handle handle, const struct rvt_sg_element *list, uint32_t count,
                  uint64_t sg_offset, uint32_t page_size, struct rvt_sg_outcome *outcome) {
    if (!handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    struct rvt_dev_info *device = handle.mr->owned.device;
    int answer;
    struct rvt_retired *passed = NULL;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (!mr) {
        answer = rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    } else {
        struct builder builder = {.space = &device->dma, .capacity = mr->max_segments};
        answer = mr->no_dma ? rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED_DMA)
                 : count > RVT_MAX_SG_ELEMENTS
                     ? rvt_fail_value(RVT_EINVAL, RVT_CAUSE_LIST_TOO_LONG, count, RVT_MAX_SG_ELEMENTS)
                     : judge_sg_list(mr, list, count, sg_offset, page_size, &builder);
        if (!answer)
            answer = map_list(mr, list, count, sg_offset, builder, &passed);
        *outcome = (struct rvt_sg_outcome){mr->visible_iova, mr->length};
    }
    rvt_mutex_unlock(&device->lock);
    if (answer >= 0 || answer == -RVT_ENOMEM) /* with ENOMEM, too, the old mapping may have been dropped */
        rvt_settle(&device->retirement);
    rvt_release_passed(passed);
    return answer;
}
