/* SPDX-License-Identifier: BSD-3-Clause */
/* What a region maps: an extent of user memory, or a list of segments in DMA space; how one mapping takes the
 * place of another; and whether an SGE that was proven under one can still be used. */
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

/* What a region maps, immutable once published. Three forms: nothing (segments 0); an extent of one memory
 * (user regions: as cheap at any size); a list of segments in DMA space. */
struct rvt_map {
    /* What taking a reference reads comes first: */
    struct rvt_mregion *mr;
    /* Of the device's map_generation; tells an SGE that its mapping is gone. 0: an extent, which is its
     * region's only mapping. */
    uint64_t generation;
    uint32_t segments;
    uint8_t shift;               /* log2 of the segment size */
    uint16_t offset;             /* of byte 0 in segment 0 */
    struct rvt_memory *memory;   /* extent: byte 0 is the memory's first byte */
    struct rvt_dma_map *mapping; /* list: the one mapping that holds all segments, or NULL */
    struct rvt_retired retired;
    size_t capacity;               /* bytes behind this header */
    struct rvt_dma_map **mappings; /* list over several mappings: one per segment */
    uint64_t *addresses;           /* list: DMA address of each segment */
};

/* A mapping of so many segments with a generation of its own, the rest 0. Under the lock. */
void rvt_map_init(struct rvt_map *map, struct rvt_mregion *mr, uint32_t segments, size_t capacity);

/* The block of a mapping goes (NULL: nothing). */
void rvt_free_map_block(struct rvt_dev_info *device, struct rvt_map *block);

/* The mapping is out of reach: its DMA ranges are free from now on, its memory once every reader has left.
 * `passed`: the list of a caller that has waited for them, or waits next; NULL: it is retired. Under the
 * lock. */
void rvt_drop_map(struct rvt_mregion *mr, struct rvt_map *map, struct rvt_retired **passed);

/* A list of `segments` addresses to be filled; its mapping generation is set. NULL without memory.
 * Under the lock. */
struct rvt_map *rvt_map_list(struct rvt_mregion *mr, uint32_t segments, bool several_mappings);
void rvt_map_discard(struct rvt_map *map);

/* Bytes from `position` (in segment space) to the end of its segment. */
static inline uint32_t rvt_segment_rest(uint64_t position, uint32_t shift) {
    uint64_t size = UINT64_C(1) << shift;
    return (uint32_t)(size - (position & (size - 1)));
}

/* Where `position` lies: byte of the user's memory (extent), or DMA address (list). Its segment
 * must be mapped. */
static inline uint64_t rvt_map_locate(const struct rvt_map *map, uint64_t position) {
    if (map->memory)
        return position - map->offset;
    return map->addresses[position >> map->shift] + (position & ((UINT64_C(1) << map->shift) - 1));
}

/* Put `map` (NULL: nothing) in force together with the new base, iova and length, as one step for every
 * reader. With `only_unheld` the test and the change are one step too, so no check can slip in between.
 * Consumes `map` in any case. Under the lock.
 *   0       in force; the old mapping is dropped, with `passed` (rvt_drop_map)
 *   -EBUSY  (only_unheld) a reference is held; nothing changed, and `map` is retired */
struct rvt_window {
    uint64_t base, iova, length;
};
int rvt_mr_set_map(struct rvt_mregion *mr, struct rvt_map *map, struct rvt_window window, bool only_unheld,
                   struct rvt_retired **passed);

/* How many times the mapping counts among the users of `dma`: for one mapping that holds all its pages, or for
 * each page. Under the lock. */
uint64_t rvt_map_uses_of(const struct rvt_map *map, const struct rvt_dma_map *dma);

/* For rvt_dma_close_of: end the use of every DMA mapping that `context` has made, by lists of whatever
 * region. A live region maps nothing then; a half-dead one, which has no record to say that in, ends by
 * force. Under the lock. */
void rvt_mr_unmap_lists(struct rvt_dev_info *device, uint64_t context);

/* Why an SGE proven under mapping generation `generation` cannot be used now, or RVT_REASON_NONE and *map. */
enum rvt_reason rvt_mr_usable(const struct rvt_mregion *mr, uint64_t generation, struct rvt_map **map);

#endif
