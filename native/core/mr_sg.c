/* SPDX-License-Identifier: BSD-3-Clause */
/* rvt_map_mr_sg: scatter-gather lists onto a region of rvt_alloc_mr. */
#include "mr.h"
#include "rvt_errno.h"

static const uint64_t PAGE_MASK_BITS = RVT_PAGE_SIZE - 1;

/* Adds pages to a map, or only counts them (map NULL): the list is gone through twice with the same
 * arithmetic, once to know how many segments it takes, once to store them. */
struct builder {
    const struct rvt_dma_space *space;
    struct rvt_map *map;
    uint32_t capacity;
    uint32_t segments;
    bool several_mappings;
    struct rvt_dma_map *mapping; /* of the element being added */
    struct rvt_dma_map *first;
};

static bool add_page(struct builder *builder, uint64_t page) {
    if (builder->segments == builder->capacity)
        return false;
    if (!builder->first)
        builder->first = builder->mapping;
    else if (builder->first != builder->mapping)
        builder->several_mappings = true;
    if (builder->map) {
        builder->map->addresses[builder->segments] = page;
        if (builder->map->mappings)
            builder->map->mappings[builder->segments] = builder->mapping;
    }
    builder->segments++;
    return true;
}

struct layout {
    uint32_t used;  /* elements */
    uint64_t total; /* bytes */
    bool refused;   /* not even the first page counts: the reference answers ENOMEM */
};

/* Lay the list out in pages.
 *
 * An element that does not begin where a page begins, or whose predecessor did not end where one ends, can
 * only go on in the same page: there may be no hole inside the region. When the region is full in the middle
 * of an element, the reference counts only up to the last page that did fit, so that page's bytes are not in
 * the length. */
static struct layout lay_out(struct builder *builder, const struct rvt_sg_element *list, uint32_t count,
                             uint64_t sg_offset) {
    struct layout layout = {0};
    uint64_t previous_end = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = list[i].address + (i ? 0 : sg_offset);
        /* May be 2^64 = 0 for the topmost range of the address space; only differences and the page part are
         * used. */
        uint64_t end = list[i].address + list[i].length;
        uint64_t page = start & ~PAGE_MASK_BITS;
        uint64_t missing = ((((end - 1) & ~PAGE_MASK_BITS) - page) >> RVT_PAGE_SHIFT) + 1;
        builder->mapping = rvt_dma_find(builder->space, list[i].address, list[i].length, NULL);
        layout.used = i;
        if (i && ((previous_end | start) & PAGE_MASK_BITS)) {
            if (previous_end != start)
                return layout;
            page += RVT_PAGE_SIZE; /* the page that holds `start` is there already */
            missing--;
        }
        uint64_t last_added = start;
        for (; missing; missing--, page += RVT_PAGE_SIZE) {
            if (!add_page(builder, page)) {
                layout.refused = i == 0 && last_added == list[0].address;
                /* The first page may lie below `start` (offset, unaligned address); then nothing counts. */
                if (last_added > start)
                    layout.total += last_added - start;
                return layout;
            }
            last_added = page;
        }
        layout.total += end - start;
        previous_end = end;
    }
    layout.used = count;
    return layout;
}

/* Everything that can be wrong with the list as such. */
static int judge(const struct rvt_mregion *mr, const struct rvt_sg_element *list, uint32_t count,
                 uint64_t sg_offset, uint32_t page_size) {
    if (mr->kind != RVT_MR_MEM_REG || mr->half_dead || page_size != RVT_PAGE_SIZE)
        return -RVT_EINVAL;
    if (!count || sg_offset > list[0].length)
        return -RVT_EINVAL;
    /* All elements, also those that will not be reached: what is accepted must not depend on the capacity. */
    for (uint32_t i = 0; i < count; i++)
        if (!list[i].length || !rvt_dma_find(&mr->device->dma, list[i].address, list[i].length, NULL))
            return -RVT_EINVAL;
    /* The reference would map the page behind the element. Without any segment it answers ENOMEM whatever the
     * offset, so that answer is left to the caller. */
    if (sg_offset == list[0].length && mr->max_segments)
        return -RVT_EINVAL;
    return 0;
}

static int map_list(struct rvt_mregion *mr, const struct rvt_sg_element *list, uint32_t count,
                    uint64_t sg_offset) {
    uint64_t base = list[0].address + sg_offset;
    struct builder builder = {.space = &mr->device->dma, .capacity = mr->max_segments};
    /* Without any segment the reference crashes; here that is the plainest case of "nothing fits". */
    struct layout layout = {.refused = true};
    if (mr->max_segments)
        layout = lay_out(&builder, list, count, sg_offset);
    if (layout.total && base > UINT64_C(0) - layout.total)
        return -RVT_EINVAL;
    struct rvt_map *map = NULL;
    if (builder.segments) {
        map = rvt_map_list(mr, builder.segments, builder.several_mappings);
        if (!map)
            return -RVT_ENOMEM;
        if (!builder.several_mappings)
            map->mapping = builder.first;
        map->offset = (uint16_t)(base & PAGE_MASK_BITS);
        struct builder store = {.space = builder.space, .map = map, .capacity = builder.segments};
        lay_out(&store, list, count, sg_offset);
    }
    rvt_mr_set_map(mr, map, (struct rvt_window){base, base, layout.total}, false);
    return layout.refused ? -RVT_ENOMEM : (int)layout.used;
}

int rvt_map_mr_sg(struct rvt_mr_handle handle, const struct rvt_sg_element *list, uint32_t count,
                  uint64_t sg_offset, uint32_t page_size, struct rvt_sg_outcome *outcome) {
    if (!handle.mr)
        return -RVT_EBADF;
    struct rvt_dev_info *device = handle.mr->device;
    int answer = -RVT_EBADF;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (mr) {
        answer = count > INT32_MAX ? -RVT_EINVAL : judge(mr, list, count, sg_offset, page_size);
        if (!answer)
            answer = map_list(mr, list, count, sg_offset);
        *outcome = (struct rvt_sg_outcome){mr->visible_iova, mr->length};
    }
    rvt_mutex_unlock(&device->lock);
    rvt_reclaim();
    return answer;
}
