/* SPDX-License-Identifier: BSD-3-Clause */
/* Type-stable object pools for domains, queue pairs, regions and DMA mappings. Objects live in chunks that
 * are freed only with their device, and each begins with a generation number. So a stale handle (object,
 * generation) can always be checked safely, and is recognized as stale. */
#ifndef RVT_POOL_H
#define RVT_POOL_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rvt_object {
    /* Odd while the object is live, even otherwise; never repeats (64 bits). Written under the device lock,
     * read by any thread. */
    _Atomic(uint64_t) generation;
    uint32_t index;               /* constant; index in the pool */
    struct rvt_object *next_free; /* protected by the device lock */
};

/* Protected by the device lock, except for the fields that any thread may read. */
struct rvt_pool {
    size_t object_size; /* constant */
    /* Number of objects ever created. Read by any thread: all objects below this index exist. */
    _Atomic(uint32_t) count;
    uint32_t chunk_count, chunk_capacity;
    /* Read by any thread. When the array is full, a larger one replaces it, but the old one is kept for
     * threads still reading it until the pool is destroyed: each array has one extra entry, after its
     * capacity, that points to the array before it. All old arrays together are smaller than the current
     * one. */
    _Atomic(void **) chunks;
    struct rvt_object *free;
    _Atomic(uint64_t) *held; /* counter of the chunks' bytes; NULL: not counted */
};

/* Initializes an empty pool of objects of `object_size` bytes. */
void rvt_pool_init(struct rvt_pool *pool, size_t object_size);

/* Frees all chunks. No handle may be in use any more. */
void rvt_pool_destroy(struct rvt_pool *pool);

/* Takes an unused object to be initialized, or returns NULL (out of memory, nothing changed). All fields
 * except the header may hold old values. The caller must hold the device lock. */
struct rvt_object *rvt_pool_take(struct rvt_pool *pool);

/* Puts the object back on the free list. It must have ended (rvt_object_death) and be unreachable for
 * readers. The caller must hold the device lock. */
void rvt_pool_give(struct rvt_pool *pool, struct rvt_object *object);

/* Returns the object at `index` (< pool->count), live or not. */
struct rvt_object *rvt_pool_at(const struct rvt_pool *pool, uint32_t index);

/* Returns the object at `index`, live or not, or NULL if the pool never had that many objects. Needs no lock.
 * The caller must hold a reference on the device, which keeps the pool. */
struct rvt_object *rvt_pool_find(const struct rvt_pool *pool, uint32_t index);

/* Returns the next live object with an index of at least *at and sets *at to the index after it, or returns
 * NULL if there is none. The caller must hold the device lock. */
struct rvt_object *rvt_pool_next_alive(const struct rvt_pool *pool, uint32_t *at);

/* Makes the object live and returns the generation for its handle. The caller must hold the device lock. */
uint64_t rvt_object_birth(struct rvt_object *object);

/* Ends the object: every handle to it is stale from now on. The caller must hold the device lock. */
void rvt_object_death(struct rvt_object *object);

static inline uint64_t rvt_object_generation(const struct rvt_object *object) {
    return atomic_load_explicit(&object->generation, memory_order_acquire);
}

static inline bool rvt_object_alive(const struct rvt_object *object) {
    return rvt_object_generation(object) & 1;
}

#endif
