/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/pool.h"

#include <assert.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/platform.h"

/* Chunk sizes double from FIRST to LARGEST objects: a device with one domain and one region wastes few
 * objects, and no chunk takes long to create. Both sizes are powers of two. */
enum { FIRST = 2, LARGEST = 512, DOUBLINGS = 8, FIRST_CAPACITY = 8 };
static_assert(FIRST << DOUBLINGS == LARGEST, "the chunks that double");

/* The position of an object: its chunk and the index in it. Chunk k holds the objects whose index + FIRST is
 * between FIRST << k and twice that; once a chunk has LARGEST objects, so does every later one. */
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
    /* Round up to whole cache lines, so that the reference counts of two regions never share one. */
    pool->object_size = (object_size + RVT_CACHE_LINE - 1) / RVT_CACHE_LINE * RVT_CACHE_LINE;
}

static void **chunks_of(const struct rvt_pool *pool) {
    return atomic_load_explicit(&pool->chunks, memory_order_acquire);
}

static uint32_t count_of(const struct rvt_pool *pool) {
    return atomic_load_explicit(&pool->count, memory_order_acquire);
}

void rvt_pool_destroy(struct rvt_pool *pool) {
    void **chunks = chunks_of(pool);
    for (uint32_t i = 0; i < pool->chunk_count; i++)
        rvt_free_aligned(chunks[i]);
    for (uint32_t capacity = pool->chunk_capacity; chunks; capacity /= 2) {
        void **before = chunks[capacity];
        rvt_free(chunks);
        chunks = before;
    }
    rvt_pool_init(pool, pool->object_size);
}

struct rvt_object *rvt_pool_at(const struct rvt_pool *pool, uint32_t index) {
    struct place place = locate(index);
    char *chunk = chunks_of(pool)[place.chunk];
    return (struct rvt_object *)(void *)(chunk + place.at * pool->object_size);
}

struct rvt_object *rvt_pool_find(const struct rvt_pool *pool, uint32_t index) {
    /* Load the count first. It was stored after the chunk that holds the object and after the array that
     * holds the chunk, so any array loaded now, this one or a later one, contains the chunk. */
    return index < count_of(pool) ? rvt_pool_at(pool, index) : NULL;
}

struct rvt_object *rvt_pool_next_alive(const struct rvt_pool *pool, uint32_t *at) {
    while (*at < count_of(pool)) {
        struct rvt_object *object = rvt_pool_at(pool, (*at)++);
        if (rvt_object_alive(object))
            return object;
    }
    return NULL;
}

/* Ensures that the array of chunks has room for one more. Returns false if out of memory. */
static bool grow_array(struct rvt_pool *pool) {
    if (pool->chunk_count < pool->chunk_capacity)
        return true;
    uint32_t capacity = pool->chunk_capacity ? pool->chunk_capacity * 2 : FIRST_CAPACITY;
    void **before = chunks_of(pool), **chunks = rvt_zalloc((size_t)capacity + 1, sizeof(*chunks));
    if (!chunks)
        return false;
    if (before)
        memcpy(chunks, before, pool->chunk_count * sizeof(*chunks));
    chunks[capacity] = before;
    pool->chunk_capacity = capacity;
    /* release: a thread that reads the new array finds the old array's entries in it. */
    atomic_store_explicit(&pool->chunks, chunks, memory_order_release);
    return true;
}

static bool add_chunk(struct rvt_pool *pool) {
    if (!grow_array(pool))
        return false;
    uint32_t objects = chunk_objects(pool->chunk_count);
    void *chunk = rvt_zalloc_aligned(objects, pool->object_size);
    if (!chunk)
        return false;
    chunks_of(pool)[pool->chunk_count++] = chunk;
    if (pool->held)
        atomic_fetch_add_explicit(pool->held, objects * pool->object_size, memory_order_relaxed);
    uint32_t first = count_of(pool);
    /* Free the last object first, so that objects are taken in ascending order. */
    for (uint32_t i = first + objects; i-- > first;) {
        struct rvt_object *object = rvt_pool_at(pool, i);
        object->index = i;
        rvt_pool_give(pool, object);
    }
    /* release: see rvt_pool_find(). */
    atomic_store_explicit(&pool->count, first + objects, memory_order_release);
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
    /* release: a thread that finds the handle live sees the initialized object. */
    atomic_store_explicit(&object->generation, generation, memory_order_release);
    return generation;
}

void rvt_object_death(struct rvt_object *object) {
    uint64_t generation = atomic_load_explicit(&object->generation, memory_order_relaxed);
    atomic_store_explicit(&object->generation, generation + 1, memory_order_release);
}
