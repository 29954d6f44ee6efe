/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/pool.h"

#include <assert.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/platform.h"

/* Chunks double from FIRST to LARGEST objects: a device with one domain and one region has few objects that
 * nobody wants, and none is long in making. Both are powers of two. */
enum { FIRST = 2, LARGEST = 512, DOUBLINGS = 8 };
static_assert(FIRST << DOUBLINGS == LARGEST, "the chunks that double");

/* Where an object lies. With FIRST added, the indices of chunk k are FIRST << k and the next as many, up to
 * LARGEST. */
struct place {
    uint32_t chunk, at;
};
static struct place locate(uint32_t index) {
    uint32_t number = index + FIRST;
    if (number >= LARGEST)
        return (struct place){DOUBLINGS - 1 + number / LARGEST, number % LARGEST};
    uint32_t doublings = 31 - (uint32_t)__builtin_clz(number / FIRST);
    return (struct place){doublings, number - (FIRST << doublings)};
}

static uint32_t chunk_objects(uint32_t chunk) {
    return chunk < DOUBLINGS ? FIRST << chunk : LARGEST;
}

void rvt_pool_init(struct rvt_pool *pool, size_t object_size) {
    memset(pool, 0, sizeof(*pool));
    /* Whole lines, so that the counts of two regions never share one. */
    pool->object_size = (object_size + RVT_CACHE_LINE - 1) / RVT_CACHE_LINE * RVT_CACHE_LINE;
}

void rvt_pool_destroy(struct rvt_pool *pool) {
    for (uint32_t i = 0; i < pool->chunk_count; i++)
        rvt_free_aligned(pool->chunks[i]);
    rvt_free(pool->chunks);
    rvt_pool_init(pool, pool->object_size);
}

struct rvt_object *rvt_pool_at(const struct rvt_pool *pool, uint32_t index) {
    struct place place = locate(index);
    char *chunk = pool->chunks[place.chunk];
    return (struct rvt_object *)(void *)(chunk + place.at * pool->object_size);
}

struct rvt_object *rvt_pool_next_alive(const struct rvt_pool *pool, uint32_t *at) {
    while (*at < pool->count) {
        struct rvt_object *object = rvt_pool_at(pool, (*at)++);
        if (rvt_object_alive(object))
            return object;
    }
    return NULL;
}

static bool add_chunk(struct rvt_pool *pool) {
    if (pool->chunk_count == pool->chunk_capacity) {
        uint32_t capacity = pool->chunk_capacity ? pool->chunk_capacity * 2 : 8;
        void **chunks = rvt_zalloc(capacity, sizeof(*chunks));
        if (!chunks)
            return false;
        if (pool->chunk_count)
            memcpy(chunks, pool->chunks, pool->chunk_count * sizeof(*chunks));
        rvt_free(pool->chunks);
        pool->chunks = chunks;
        pool->chunk_capacity = capacity;
    }
    uint32_t objects = chunk_objects(pool->chunk_count);
    void *chunk = rvt_zalloc_aligned(objects, pool->object_size);
    if (!chunk)
        return false;
    pool->chunks[pool->chunk_count++] = chunk;
    if (pool->held)
        atomic_fetch_add_explicit(pool->held, objects * pool->object_size, memory_order_relaxed);
    uint32_t first = pool->count;
    pool->count += objects;
    /* Last first, so that objects are taken in ascending order. */
    for (uint32_t i = pool->count; i-- > first;) {
        struct rvt_object *object = rvt_pool_at(pool, i);
        object->index = i;
        rvt_pool_give(pool, object);
    }
    return true;
}

struct rvt_object *rvt_pool_take(struct rvt_pool *pool) {
    if (!pool->free && !add_chunk(pool))
        return NULL;
    struct rvt_object *object = pool->free;
    pool->free = object->next_free;
    object->next_free = NULL;
    return object;
}

void rvt_pool_give(struct rvt_pool *pool, struct rvt_object *object) {
    object->next_free = pool->free;
    pool->free = object;
}

uint64_t rvt_object_birth(struct rvt_object *object) {
    uint64_t generation = atomic_load_explicit(&object->generation, memory_order_relaxed) + 1;
    /* release: whoever finds the handle alive sees the object filled. */
    atomic_store_explicit(&object->generation, generation, memory_order_release);
    return generation;
}

void rvt_object_death(struct rvt_object *object) {
    uint64_t generation = atomic_load_explicit(&object->generation, memory_order_relaxed);
    atomic_store_explicit(&object->generation, generation + 1, memory_order_release);
}
