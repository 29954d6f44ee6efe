/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's DMA mappings by address: searched by readers without a lock, changed under the device's lock
 * in time that grows with the logarithm of their number.
 *
 * The table divides the address space into ranges, and each range has a leaf with the mappings in it, or
 * none:
 *
 *   table   range 0: up to 0x4fff    range 1: up to 0x9fff    range 2: up to 2^64 - 1
 *             |                        (no leaf)                |
 *   leaf    0x0000 -> mapping                                 0xa000 -> mapping
 *           0x3000 -> NULL (unmapped)
 *           0x4000 -> mapping
 *
 * Starts in a leaf never change. What changes in place: an entry becomes NULL (unmap needs no memory), a
 * range gets another leaf (a copy with one mapping more, or without the entries that are NULL) or none, and
 * the end of a range rises. The table is replaced when a leaf is full and becomes two, and when half of its
 * ranges have no leaf. What is replaced is retired.
 *
 * A search looks at one range and at one entry of its leaf, and at no neighbours, because
 *
 *   (1) no live mapping reaches over the end of its range. A mapping that is added ends before the next live
 *       one starts, so if it reaches over the ends of ranges, nothing alive lies between them and its own end:
 *       those ends rise to its end.
 *   (2) no entry that is NULL starts inside a live mapping of the same leaf. All entries of a leaf were alive
 *       together when it was made, so none starts inside another.
 *
 * Readers meet these changes half done, and do not notice: a range's end rises only over addresses at which
 * nothing is alive, so for each address of a mapping that is alive during a whole search, "this range ends
 * before it" has one answer all the time, whichever of the ends the search sees old and which new. */
#ifndef RVT_DMA_TABLE_H
#define RVT_DMA_TABLE_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/base/epoch.h"

struct rvt_dev_info;
struct rvt_dma_map;

enum { RVT_DMA_LEAF_ENTRIES = 128 }; /* at most */

struct rvt_dma_entry {
    uint64_t start;                    /* constant */
    _Atomic(struct rvt_dma_map *) map; /* NULL: unmapped, and never set again */
};

struct rvt_dma_leaf {
    struct rvt_retired retired;
    uint32_t count; /* constant */
    uint32_t live;  /* > 0 while a range has the leaf; under the device's lock */
    struct rvt_dma_entry entries[];
};

struct rvt_dma_range {
    _Atomic(uint64_t) last; /* address; rises only. 2^64 - 1 in the last range */
    _Atomic(struct rvt_dma_leaf *) leaf;
};

struct rvt_dma_table {
    struct rvt_retired retired;
    uint32_t count; /* > 0, constant */
    uint32_t used;  /* ranges that have a leaf, > 0; under the device's lock */
    struct rvt_dma_range ranges[];
};

/* The mapping that holds this address, or NULL; table may be NULL. Inside a reader's section, or under the
 * device's lock. Takes time for the logarithm of the number of mappings, whatever was unmapped before. */
struct rvt_dma_map *rvt_dma_table_find(const struct rvt_dma_table *table, uint64_t address);

/* The lowest mapping of which a byte lies in [first, last], or NULL. Under the device's lock. */
struct rvt_dma_map *rvt_dma_table_find_first(const struct rvt_dma_table *table, uint64_t first,
                                             uint64_t last);

/* All memory that adding a mapping takes. */
struct rvt_dma_addition {
    uint64_t address, last;
    struct rvt_dma_leaf *left, *right; /* instead of the range's leaf; right: NULL unless it is full */
    struct rvt_dma_table *table;       /* instead of the present one, if there is none or a leaf is full */
    struct rvt_dma_entry *entry;       /* the mapping's, in one of the leaves */
};

/* Get ready to add a mapping of [address, address + length), which must not overlap one that is there. False
 * without memory; nothing has changed in any case. Under the device's lock, as all that follows, and it must
 * not be dropped before the addition is made or abandoned. */
bool rvt_dma_table_prepare(const struct rvt_dev_info *device, uint64_t address, uint64_t length,
                           struct rvt_dma_addition *addition);

/* Add the mapping for which it was prepared. Never fails. */
void rvt_dma_table_add(struct rvt_dev_info *device, const struct rvt_dma_addition *addition,
                       struct rvt_dma_map *map);

void rvt_dma_table_abandon(const struct rvt_dma_addition *addition);

/* Remove a mapping that is there. Never fails: without memory, what could be smaller stays as large as it
 * is. */
void rvt_dma_table_remove(struct rvt_dev_info *device, const struct rvt_dma_map *map);

#endif
