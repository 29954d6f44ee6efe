/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's DMA address space: ranges of 64-bit bus addresses, each backed by one memory. Page lists,
 * scatter-gather lists and key 0 use these addresses. They are names and never process addresses. */
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
    /* Constant from creation until every reader has left after unmapping: */
    struct rvt_memory *memory;
    uint64_t address; /* multiple of 4096 */
    uint64_t length;  /* greater than 0; address + length <= 2^64 */
    /* How many users the mapping has: page lists that name it (changed under the device lock) and key-0 SGEs
     * on it (changed without a lock). RVT_DMA_CLOSED is set when it accepts no more users. */
    _Atomic(uint64_t) users;
    struct rvt_retired retired;
};

#define RVT_DMA_CLOSED (UINT64_C(1) << 63)

struct rvt_dma_space {
    _Atomic(struct rvt_dma_table *) table; /* written under the device lock; NULL while there is no mapping */
    uint64_t next_address;                 /* next address for mappings that do not name one */
};

struct rvt_dma_handle {
    struct rvt_dma_map *map;
    uint64_t generation;
};

/* Maps `memory` into the DMA address space for `context` (may be NULL): at *address if `fixed`, otherwise at
 * an address that is chosen and stored in *address. Takes a reference on the memory. Takes the device lock.
 *   0        mapped; *handle names the mapping
 *   -EINVAL  the memory is empty (tested first); *address is not a multiple of 4096; the range overlaps a
 *            mapping or exceeds 2^64; no free address is left
 *   -EBADF   the device is closed, or the context has ended
 *   -EPERM   the context is restricted to a domain
 *   -ENOMEM  no memory; nothing changed */
int rvt_dma_map(struct rvt_dev_info *device, struct rvt_ucontext *context, struct rvt_memory *memory,
                bool fixed, uint64_t *address, struct rvt_dma_handle *handle);

/* Ends a mapping. Takes the device lock, then waits until every reader has left. Allocates nothing.
 *   0        unmapped; no byte moves through the mapping any more
 *   -EBUSY   a page list names it, or a key-0 SGE on it is held. The published DMA region alone does not
 *            count
 *   -EBADF   already unmapped */
int rvt_dma_unmap(struct rvt_dma_handle handle);

/* Returns the mapping that contains all of [address, address + length), or NULL. An empty range must start
 * inside a mapping. Sets *straddles (may be NULL) to whether only the beginning of the range is mapped. The
 * caller must be in a reader's section or hold the device lock. */
struct rvt_dma_map *rvt_dma_find(const struct rvt_dma_space *space, uint64_t address, uint64_t length,
                                 bool *straddles);

static inline bool rvt_dma_holds(const struct rvt_dma_map *map, uint64_t address, uint64_t length) {
    /* The subtractions cannot wrap: each is guarded by the comparison before it. */
    return address >= map->address && address - map->address < map->length &&
           length <= map->length - (address - map->address);
}

/* Like rvt_dma_find, but tries `guess` (may be NULL) first. The elements of a list usually lie in one
 * mapping, so only the first element needs a search. */
static inline struct rvt_dma_map *rvt_dma_find_near(const struct rvt_dma_space *space,
                                                    struct rvt_dma_map *guess, uint64_t address,
                                                    uint64_t length) {
    return guess && rvt_dma_holds(guess, address, length) ? guess
                                                          : rvt_dma_find(space, address, length, NULL);
}

/* Counts one key-0 SGE as a user of the mapping, without a lock. Returns false if the mapping is closed.
 * rvt_dma_release removes `count` users. */
bool rvt_dma_acquire(struct rvt_dma_map *map);
void rvt_dma_release(struct rvt_dma_map *map, uint64_t count);

/* Returns the mapping's serial number, or 0 if the handle is stale. Takes the device lock. */
static inline uint64_t rvt_dma_serial(struct rvt_dma_handle handle) {
    return handle.map ? rvt_read_serial(&handle.map->owned, handle.generation) : 0;
}

/* Closes all mappings of a context, or of the device (NULL), even those in use, when the context or device
 * ends. Page lists that name one of them map nothing from then on, and key-0 SGEs on them are refused.
 * Allocates nothing. The caller must hold the device lock. */
void rvt_dma_close_of(struct rvt_dev_info *device, struct rvt_ucontext *context);

extern const struct rvt_object_kind rvt_dma_objects;

#endif
