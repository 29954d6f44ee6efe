/* SPDX-License-Identifier: BSD-3-Clause */
/* Finds the device's DMA mappings by address. Readers search without a lock. Writers hold the device lock and
 * take time logarithmic in the number of mappings.
 *
 * The table divides the address space into ranges. Each range has a leaf with the mappings in it, or no leaf:
 *
 *   table   range 0: up to 0x4fff    range 1: up to 0x9fff    range 2: up to 2^64 - 1
 *             |                        (no leaf)                |
 *   leaf    0x0000 -> mapping                                 0xa000 -> mapping
 *           0x3000 -> NULL (unmapped)
 *           0x4000 -> mapping
 *
 * Start addresses in a leaf never change. Three things change in place: an entry becomes NULL (so unmapping
 * needs no memory); a range gets another leaf (a copy with one more mapping, or without the NULL entries) or
 * none; the end of a range rises. The table itself is replaced when a full leaf splits in two and when half
 * of its ranges have no leaf. Replaced leaves and tables are retired.
 *
 * A search looks at one range and one entry of its leaf, never at neighbors, because of two invariants:
 *
 *   (1) No live mapping extends beyond the end of its range. A new mapping ends before the next live one
 *       starts, so if it extends beyond the ends of some ranges, no live mapping lies between these ends and
 *       its own end. These ends are then raised to its end.
 *   (2) No NULL entry starts inside a live mapping of the same leaf. All entries of a leaf were live when the
 *       leaf was created, so none starts inside another.
 *
 * A reader may see these changes partly done and still gets the right answer. An end rises only over
 * addresses where no mapping is live. So for every address of a mapping that is live during the whole search,
 * the test "this range ends before the address" gives the same answer for the old and the new end. */
#ifndef RVT_DMA_TABLE_H
#define RVT_DMA_TABLE_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/base/epoch.h"

struct rvt_dev_info;
struct rvt_dma_map;

enum { RVT_DMA_LEAF_ENTRIES = 128 }; /* at most this many entries per leaf */

struct rvt_dma_entry {
    uint64_t start;                    /* constant */
    _Atomic(struct rvt_dma_map *) map; /* NULL: unmapped, and never set again */
};

struct rvt_dma_leaf {
    struct rvt_retired retired;
    uint32_t count; /* constant */
    uint32_t live;  /* non-NULL entries; greater than 0 while a range has the leaf; under the device lock */
    struct rvt_dma_entry entries[];
};

struct rvt_dma_range {
    _Atomic(uint64_t) last; /* last address of the range; only rises; 2^64 - 1 in the last range */
    _Atomic(struct rvt_dma_leaf *) leaf;
};

struct rvt_dma_table {
    struct rvt_retired retired;
    uint32_t count; /* greater than 0, constant */
    uint32_t used;  /* ranges that have a leaf; greater than 0; under the device lock */
    struct rvt_dma_range ranges[];
};

/* Returns the mapping that contains this address, or NULL. `table` may be NULL. The caller must be in a
 * reader's section or hold the device lock. Takes time logarithmic in the number of mappings, regardless of
 * earlier unmappings. */
struct rvt_dma_map *rvt_dma_table_find(const struct rvt_dma_table *table, uint64_t address);

/* Returns the lowest mapping that overlaps [first, last], or NULL. The caller must hold the device lock. */
struct rvt_dma_map *rvt_dma_table_find_first(const struct rvt_dma_table *table, uint64_t first,
                                             uint64_t last);

/* Everything that adding a mapping allocates. */
struct rvt_dma_addition {
    uint64_t address, last;
    /* These leaves replace the range's leaf; `right` is NULL unless that leaf is full. */
    struct rvt_dma_leaf *left, *right;
    /* Replaces the current table if there is none or the leaf is full; otherwise NULL. */
    struct rvt_dma_table *table;
    struct rvt_dma_entry *entry; /* the new mapping's entry in one of the leaves */
};

/* Allocates what is needed to add a mapping of [address, address + length), which must not overlap an
 * existing mapping. Returns false if memory is short. Changes nothing yet. The caller must hold the device
 * lock until it calls rvt_dma_table_add or rvt_dma_table_abandon. */
bool rvt_dma_table_prepare(const struct rvt_dev_info *device, uint64_t address, uint64_t length,
                           struct rvt_dma_addition *addition);

/* Adds the prepared mapping. Never fails. The caller must hold the device lock. */
void rvt_dma_table_add(struct rvt_dev_info *device, const struct rvt_dma_addition *addition,
                       struct rvt_dma_map *map);

/* Frees what rvt_dma_table_prepare allocated, if the mapping is not added. */
void rvt_dma_table_abandon(const struct rvt_dma_addition *addition);

/* Removes a mapping from the table. Never fails: if memory is short, leaves and tables are not compacted. The
 * caller must hold the device lock. */
void rvt_dma_table_remove(struct rvt_dev_info *device, const struct rvt_dma_map *map);

#endif
