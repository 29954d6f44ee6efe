/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/user_memory.h"

#include "core/base/failure.h"
#include "core/base/memory.h"
#include "core/base/rvt_errno.h"
#include "core/objects/region.h"

int rvt_judge_user_range(uint64_t start, uint64_t length, uint64_t virt_addr) {
    if (!length)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_EMPTY_MEMORY);
    /* The end, and the end rounded up to a page, must be 64-bit numbers: an end of exactly 2^64 is
     * refused. */
    if (start > UINT64_MAX - length || start + length > UINT64_MAX - (RVT_PAGE_SIZE - 1))
        return rvt_fail_value(
            RVT_EINVAL, RVT_CAUSE_START_TOO_HIGH, start,
            length > UINT64_MAX - (RVT_PAGE_SIZE - 1) ? 0 : UINT64_MAX - (RVT_PAGE_SIZE - 1) - length);
    /* For virt_addr, an end of exactly 2^64 is allowed. (0 - length is 2^64 - length, because length is not
     * 0.) */
    if (virt_addr > UINT64_C(0) - length)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_IOVA_TOO_HIGH, virt_addr, UINT64_C(0) - length);
    uint64_t last_page = (start + length - 1) >> RVT_PAGE_SHIFT;
    uint64_t pages = last_page - (start >> RVT_PAGE_SHIFT) + 1;
    if (pages > UINT32_MAX)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_TOO_MANY_PAGES, pages, UINT32_MAX);
    return 0;
}

static uint32_t count_pages(uint64_t start, uint64_t length) {
    return (uint32_t)(((start + length - 1) >> RVT_PAGE_SHIFT) - (start >> RVT_PAGE_SHIFT) + 1);
}

void rvt_map_user_memory(struct rvt_mregion *mr, struct rvt_memory *memory, uint64_t base,
                         uint64_t virt_addr) {
    /* One extent for any size; the page segments that answers report are computed from it. */
    struct rvt_map *extent = &mr->extent;
    /* Once written it stays, whatever regions the object becomes: while a region is re-registered, a check that is
     * refused by its invalid key still reads whose extent it is, to count the refusal. */
    if (extent->mr != mr)
        rvt_map_init(extent, mr, 0, 0);
    extent->generation = 0;
    extent->segments = count_pages(base, memory->length);
    extent->shift = mr->shift;
    extent->offset = (uint16_t)(base % RVT_PAGE_SIZE);
    extent->memory = memory;
    mr->base = base;
    mr->iova = mr->visible_iova = virt_addr;
    mr->length = memory->length;
}
