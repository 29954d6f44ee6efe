/* SPDX-License-Identifier: BSD-3-Clause */
/* The mapping of a region: an extent of user memory or a list of segments in DMA space. Replaces one mapping
 * by another, and decides whether an SGE that was accepted under a mapping is still usable. */
#ifndef RVT_REGION_MAP_H
#define RVT_REGION_MAP_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/epoch.h"
#include "core/base/memory.h"
#include "core/base/reason.h"

struct rvt_dev_info;
struct rvt_dma_map;
struct rvt_mregion;

/* What a region maps; immutable once published. Three forms: nothing (segments is 0); an extent of one memory
 * (user regions, constant cost at any size); a list of segments in DMA space. */
struct rvt_map {
    /* Fields that taking a reference reads come first: */
    struct rvt_mregion *mr;
    /* Unique on the device (rvt_dev_info.map_generation), so an SGE can tell that its mapping was replaced. 0
     * for an extent, which is its region's only mapping. */
    uint64_t generation;
    uint32_t segments;
    uint8_t shift;               /* log2 of the segment size */
    uint16_t offset;             /* offset of byte 0 in segment 0 */
    struct rvt_memory *memory;   /* extent: byte 0 is the memory's first byte */
    struct rvt_dma_map *mapping; /* list: the one mapping that holds all segments, or NULL */
    struct rvt_retired retired;
    size_t capacity;               /* bytes behind this header */
    struct rvt_dma_map **mappings; /* list over several mappings: one per segment */
    uint64_t *addresses;           /* list: DMA address of each segment */
};

/* Initializes a mapping with `segments` segments of the region's size and a new generation; all other fields
 * are 0. `capacity`: bytes behind the header. The caller must hold the device lock. */
void rvt_map_init(struct rvt_map *map, struct rvt_mregion *mr, uint32_t segments, size_t capacity);

/* Frees a mapping's block (may be NULL). */
void rvt_free_map_block(struct rvt_dev_info *device, struct rvt_map *block);

/* Drops a mapping that readers can no longer reach: releases its DMA ranges now, and its memory once every
 * reader has left. Adds it to the list *passed of a caller that has waited for readers or will wait next; if
 * `passed` is NULL, retires it. The caller must hold the device lock. */
void rvt_drop_map(struct rvt_mregion *mr, struct rvt_map *map, struct rvt_retired **passed);

/* Allocates a list of `segments` addresses, which the caller fills, with a new generation. Returns NULL if
 * memory is short. The caller must hold the device lock. rvt_map_discard frees a map that was never in
 * force. */
struct rvt_map *rvt_map_list(struct rvt_mregion *mr, uint32_t segments, bool several_mappings);
void rvt_map_discard(struct rvt_map *map);

/* Returns the number of bytes from `position` (in segment space) to the end of its segment. */
static inline uint32_t rvt_segment_rest(uint64_t position, uint32_t shift) {
    uint64_t size = UINT64_C(1) << shift;
    return (uint32_t)(size - (position & (size - 1)));
}

/* Returns where `position` lies: the byte offset in the user's memory (extent), or the DMA address (list).
 * The segment must be mapped. */
static inline uint64_t rvt_map_locate(const struct rvt_map *map, uint64_t position) {
    if (map->memory)
        return position - map->offset;
    return map->addresses[position >> map->shift] + (position & ((UINT64_C(1) << map->shift) - 1));
}

/* The address range of a mapping: first address in local and in remote checks, and length in bytes. */
struct rvt_window {
    uint64_t base, iova, length;
};

/* Puts `map` (NULL: nothing) in force together with the base, iova and length of `window`, as one step for every
 * reader. With `only_unheld`, the test for references is part of the same step, so no check can take one in
 * between. Consumes `map` in all cases. The caller must hold the device lock.
 *   0       in force; the old mapping is dropped, with `passed` (rvt_drop_map)
 *   -EBUSY  (only_unheld) a reference is held; nothing changed, and `map` is retired */
int rvt_mr_set_map(struct rvt_mregion *mr, struct rvt_map *map, struct rvt_window window, bool only_unheld,
                   struct rvt_retired **passed);

/* Returns how many times the mapping counts among the users of `dma`: once if `dma` holds all its pages,
 * otherwise once per page in it. The caller must hold the device lock. */
uint64_t rvt_map_uses_of(const struct rvt_map *map, const struct rvt_dma_map *dma);

/* Unmaps every page list, of any region, that names a DMA mapping of `context`, for rvt_dma_close_of. A live
 * region then maps nothing. A half-dead region has no record to update, so it is ended by force. The caller
 * must hold the device lock. */
void rvt_mr_unmap_lists(struct rvt_dev_info *device, uint64_t context);

/* Returns why an SGE that was accepted under this mapping generation cannot be used now, or RVT_REASON_NONE
 * and the mapping in *map. */
enum rvt_reason rvt_mr_usable(const struct rvt_mregion *mr, uint64_t generation, struct rvt_map **map);

#endif
