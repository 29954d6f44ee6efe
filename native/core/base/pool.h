/* SPDX-License-Identifier: BSD-3-Clause */
/* Type-stable pools: domains, queue pairs, regions and DMA mappings live in chunks that are freed only with
 * their device, and every object starts with a generation. So a handle (object, generation) that somebody
 * kept for too long can always be looked at, and is recognised as dead. */
#ifndef RVT_POOL_H
#define RVT_POOL_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rvt_object {
    /* Odd while the object is alive, even while it is not; never repeats (64 bits). Written under the
     * device's lock, read by anyone. */
    _Atomic(uint64_t) generation;
    uint32_t index;               /* in the pool, constant */
    struct rvt_object *next_free; /* under the device's lock */
};

/* Protected by the device's lock, but for what is said to be read without it. */
struct rvt_pool {
    size_t object_size; /* constant */
    /* Objects ever made. Read by anyone: the objects below it are there. */
    _Atomic(uint32_t) count;
    uint32_t chunk_count, chunk_capacity;
    /* Read by anyone. When it is full a larger array takes its place, but the old one stays for those who are
     * reading it, until the pool is destroyed: behind its capacity each array has one entry more, for the
     * array before it. All old ones together are smaller than the one in use. */
    _Atomic(void **) chunks;
    struct rvt_object *free;
    _Atomic(uint64_t) *held; /* where the bytes of chunks are counted; NULL: nowhere */
};

void rvt_pool_init(struct rvt_pool *pool, size_t object_size);

/* Free all chunks. Nobody may hold a handle any more. */
void rvt_pool_destroy(struct rvt_pool *pool);

/* A dead object to be filled, or NULL (no memory, nothing changed). Everything but its header may
 * hold old values. */
struct rvt_object *rvt_pool_take(struct rvt_pool *pool);

/* Back to the free list. The object must be dead and out of reach of readers. */
void rvt_pool_give(struct rvt_pool *pool, struct rvt_object *object);

/* Object `index` (< pool->count), dead or alive. */
struct rvt_object *rvt_pool_at(const struct rvt_pool *pool, uint32_t index);

/* The same without the lock, or NULL if the pool has never had that many. By who keeps the pool (a reference
 * on the device). */
struct rvt_object *rvt_pool_find(const struct rvt_pool *pool, uint32_t index);

/* The next live object with an index of at least *at, which moves behind it; NULL when there is none. Under
 * the device's lock. */
struct rvt_object *rvt_pool_next_alive(const struct rvt_pool *pool, uint32_t *at);

/* Make the object alive; returns the generation for its handle. Under the device's lock. */
uint64_t rvt_object_birth(struct rvt_object *object);

/* From now on every handle to it is dead. Under the device's lock. */
void rvt_object_death(struct rvt_object *object);

static inline uint64_t rvt_object_generation(const struct rvt_object *object) {
    return atomic_load_explicit(&object->generation, memory_order_acquire);
}

static inline bool rvt_object_alive(const struct rvt_object *object) {
    return rvt_object_generation(object) & 1;
}

#endif
