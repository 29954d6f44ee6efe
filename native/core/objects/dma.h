/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's DMA address space: ranges of 64-bit bus addresses, each backed by one memory. Page lists,
 * scatter-gather lists and key 0 speak of these addresses. They are names: no process address is ever one. */
#ifndef RVT_DMA_H
#define RVT_DMA_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/base/epoch.h"
#include "core/base/memory.h"
#include "core/base/pool.h"
#include "core/layout.h"
#include "core/objects/dma_table.h"
#include "core/objects/object_kind.h"
#include "core/objects/owned.h"

struct rvt_dev_info;
struct rvt_ucontext;

struct rvt_dma_map {
    struct rvt_owned owned;
    /* Constant from birth until every reader has passed its death: */
    struct rvt_memory *memory;
    uint64_t address; /* multiple of 4096 */
    uint64_t length;  /* > 0; address + length <= 2^64 */
    /* Page lists that name it (changed under the device's lock) and key-0 SGEs on it (no lock);
     * RVT_DMA_CLOSED once it takes no more. */
    _Atomic(uint64_t) users;
    struct rvt_retired retired;
};

#define RVT_DMA_CLOSED (UINT64_C(1) << 63)

struct rvt_dma_space {
    _Atomic(struct rvt_dma_table *) table; /* written under the lock; NULL while there is no mapping */
    uint64_t next_address;                 /* where mappings that name no address go */
};

struct rvt_dma_handle {
    struct rvt_dma_map *map;
    uint64_t generation;
};

/* rvt_dma_map: give `memory` a range of the DMA address space, in the name of `context` (may be NULL).
 * With `fixed`, at *address; otherwise an address is chosen and stored in *address. Takes a reference
 * on the memory.
 *   0        mapped; *handle is live
 *   -EINVAL  the memory is empty (tested first); *address is not a multiple of 4096; the range overlaps a
 *            mapping or passes 2^64; no address is left to choose
 *   -EBADF   the device is closed, or the context has ended
 *   -EPERM   the context is restricted to a domain
 *   -ENOMEM  no memory; nothing changed */
int rvt_dma_map(struct rvt_dev_info *device, struct rvt_ucontext *context, struct rvt_memory *memory,
                bool fixed, uint64_t *address, struct rvt_dma_handle *handle);

/* rvt_dma_unmap: end a mapping.
 *   0        unmapped; its memory is let go of when every reader has passed
 *   -EBUSY   a page list names it, or a key-0 SGE on it is held. The published DMA region alone does not
 *            count
 *   -EBADF   ended already
 * Needs no memory. */
int rvt_dma_unmap(struct rvt_dma_handle handle);

/* The mapping that wholly holds [address, address + length), or NULL; an empty range must start inside one.
 * *straddles (may be NULL) tells that the first byte was inside and the rest was not. Inside a reader's
 * section, or under the device's lock. */
struct rvt_dma_map *rvt_dma_find(const struct rvt_dma_space *space, uint64_t address, uint64_t length,
                                 bool *straddles);

static inline bool rvt_dma_holds(const struct rvt_dma_map *map, uint64_t address, uint64_t length) {
    /* The subtractions cannot wrap: each is guarded by the comparison before it. */
    return address >= map->address && address - map->address < map->length &&
           length <= map->length - (address - map->address);
}

/* Like rvt_dma_find, but tries `guess` first (may be NULL). The elements of a list usually lie in one
 * mapping, so only the first one needs a search. */
static inline struct rvt_dma_map *rvt_dma_find_near(const struct rvt_dma_space *space,
                                                    struct rvt_dma_map *guess, uint64_t address,
                                                    uint64_t length) {
    return guess && rvt_dma_holds(guess, address, length) ? guess
                                                          : rvt_dma_find(space, address, length, NULL);
}

/* Count a key-0 SGE on the mapping, without a lock; false when the mapping is closed. */
bool rvt_dma_acquire(struct rvt_dma_map *map);
void rvt_dma_release(struct rvt_dma_map *map, uint64_t count);

/* The mapping's serial number, or 0 when the handle is dead. Takes the device's lock. */
static inline uint64_t rvt_dma_serial(struct rvt_dma_handle handle) {
    return handle.map ? rvt_read_serial(&handle.map->owned, handle.generation) : 0;
}

/* For the end of a context, or (NULL) of the device: close its mappings whoever uses them. Lists that name
 * one map nothing from now on, key-0 SGEs on them are dead. Needs no memory. Under the device's lock. */
void rvt_dma_close_of(struct rvt_dev_info *device, struct rvt_ucontext *context);

extern const struct rvt_object_kind rvt_dma_objects;

#endif
