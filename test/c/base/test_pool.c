/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/pool.h"

#include <pthread.h>

#include "fixture.h"

struct thing {
    struct rvt_object object;
    uint64_t value;
};

enum { MANY = 2000 };

static void objects_are_distinct_and_do_not_move(void) {
    long live = rvt_test_alloc_live();
    struct rvt_pool pool;
    static struct thing *things[MANY];
    rvt_pool_init(&pool, sizeof(struct thing));
    CHECK_EQ(rvt_test_alloc_live(), live); /* an empty pool allocates nothing */
    for (uint32_t i = 0; i < MANY; i++) {
        things[i] = (struct thing *)rvt_pool_take(&pool);
        REQUIRE(things[i] != NULL);
        /* Objects are cache-line aligned, so the reference counts of two regions never share a line. */
        CHECK_EQ((uintptr_t)things[i] % RVT_CACHE_LINE, 0);
        things[i]->value = UINT64_C(0x1234567800000000) | i;
    }
    CHECK(pool.count >= MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        CHECK_EQ(things[i]->value, UINT64_C(0x1234567800000000) | i);
        CHECK(things[i]->object.index < pool.count);
        CHECK_PTR_EQ(rvt_pool_at(&pool, things[i]->object.index), things[i]);
        CHECK(!rvt_object_alive(&things[i]->object));
    }
    rvt_pool_destroy(&pool);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void every_index_names_an_object(void) {
    struct rvt_pool pool;
    rvt_pool_init(&pool, sizeof(struct thing));
    struct rvt_object *alive = rvt_pool_take(&pool);
    REQUIRE(alive != NULL);
    rvt_object_birth(alive);
    uint32_t found = 0;
    for (uint32_t i = 0; i < pool.count; i++) {
        CHECK_EQ(rvt_pool_at(&pool, i)->index, i);
        found += rvt_object_alive(rvt_pool_at(&pool, i));
    }
    CHECK_EQ(found, 1);
    rvt_pool_destroy(&pool);
}

static void finding_an_unused_index_returns_null(void) {
    struct rvt_pool pool;
    rvt_pool_init(&pool, sizeof(struct thing));
    CHECK(rvt_pool_find(&pool, 0) == NULL); /* the pool has never had an object */
    CHECK(rvt_pool_find(&pool, UINT32_MAX) == NULL);
    for (uint32_t i = 0; i < MANY; i++) {
        struct rvt_object *object = rvt_pool_take(&pool);
        REQUIRE(object != NULL);
        CHECK_PTR_EQ(rvt_pool_find(&pool, object->index), object);
        CHECK_PTR_EQ(rvt_pool_find(&pool, 0), rvt_pool_at(&pool, 0));
        CHECK(rvt_pool_find(&pool, pool.count) == NULL);
        CHECK(rvt_pool_find(&pool, UINT32_MAX) == NULL);
    }
    rvt_pool_destroy(&pool);
    CHECK(rvt_pool_find(&pool, 0) == NULL);
}

/* rvt_pool_find takes no lock. The array of chunks is replaced many times while the pool grows. */
enum { FOUND_WHILE_GROWING = 40000 };

static void *find_all(void *argument) {
    const struct rvt_pool *pool = argument;
    for (uint32_t seen = 0; seen < FOUND_WHILE_GROWING;) {
        struct rvt_object *object = rvt_pool_find(pool, seen);
        if (!object) {
            rvt_yield();
            continue;
        }
        if (!check_true(object->index == seen, "found under its own index", __FILE__, __LINE__))
            return NULL;
        if (seen > 1)
            CHECK_EQ(rvt_pool_find(pool, seen / 2)->index, seen / 2);
        seen++;
    }
    return NULL;
}

static void objects_are_found_while_the_pool_grows(void) {
    struct rvt_pool pool;
    pthread_t finder;
    rvt_pool_init(&pool, sizeof(struct thing));
    REQUIRE(pthread_create(&finder, NULL, find_all, &pool) == 0);
    for (uint32_t i = 0; i < FOUND_WHILE_GROWING; i++)
        CHECK(rvt_pool_take(&pool) != NULL);
    pthread_join(finder, NULL);
    rvt_pool_destroy(&pool);
}

static void generations_never_repeat(void) {
    struct rvt_pool pool;
    rvt_pool_init(&pool, sizeof(struct thing));
    uint64_t last = 0;
    struct rvt_object *first = NULL;
    for (int life = 0; life < 1000; life++) {
        struct rvt_object *object = rvt_pool_take(&pool);
        REQUIRE(object != NULL);
        CHECK(!rvt_object_alive(object));
        if (!first)
            first = object;
        CHECK_PTR_EQ(object, first); /* the object that was given back is reused; the pool does not grow */
        uint64_t generation = rvt_object_birth(object);
        CHECK(generation & 1);
        CHECK(generation > last);
        CHECK(rvt_object_alive(object));
        CHECK_EQ(rvt_object_generation(object), generation);
        rvt_object_death(object);
        CHECK(!rvt_object_alive(object));
        CHECK(rvt_object_generation(object) > generation);
        last = generation;
        rvt_pool_give(&pool, object);
    }
    rvt_pool_destroy(&pool);
}

static void a_failed_allocation_changes_nothing(void) {
    long live = rvt_test_alloc_live();
    int failures = 0;
    for (long n = 0;; n++) {
        struct rvt_pool pool;
        rvt_pool_init(&pool, sizeof(struct thing));
        /* Enough objects that the array of chunks must grow. */
        uint32_t taken = 0;
        bool failed = false;
        rvt_test_alloc_fail_after(n);
        while (taken < MANY) {
            uint32_t count = pool.count;
            struct rvt_object *object = rvt_pool_take(&pool);
            if (!object) {
                CHECK(!failed);
                failed = true;
                failures++;
                CHECK_EQ(pool.count, count);
                continue;
            }
            CHECK_EQ(object->index, taken); /* no object was lost when the allocation failed */
            taken++;
        }
        rvt_test_alloc_fail_after(-1);
        rvt_pool_destroy(&pool);
        CHECK_EQ(rvt_test_alloc_live(), live);
        if (!failed)
            break;
    }
    CHECK(failures > 2);
}

static void live_objects_are_found_in_index_order(void) {
    struct rvt_pool pool;
    static struct rvt_object *objects[MANY];
    uint64_t seed = 1;
    uint32_t at = 0, alive[MANY], count = 0;
    rvt_pool_init(&pool, sizeof(struct thing));
    CHECK(rvt_pool_next_alive(&pool, &at) == NULL); /* the pool has never had an object */
    CHECK_EQ(at, 0);
    for (uint32_t i = 0; i < MANY; i++) {
        objects[i] = rvt_pool_take(&pool);
        REQUIRE(objects[i] != NULL);
        if (dice(&seed) % 3 == 0 || i == MANY - 1)
            rvt_object_birth(objects[i]);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        if (rvt_object_alive(objects[i]) && dice(&seed) % 4 == 0 && i != MANY - 1)
            rvt_object_death(objects[i]);
        if (rvt_object_alive(objects[i]))
            alive[count++] = objects[i]->index;
    }
    uint32_t found = 0;
    struct rvt_object *object;
    for (at = 0; (object = rvt_pool_next_alive(&pool, &at)); found++) {
        REQUIRE(found < count);
        CHECK_EQ(object->index, alive[found]);
        CHECK_EQ(at, object->index + 1);
        if (found % 2)
            rvt_object_death(object); /* end the object, as when its domain closes */
    }
    CHECK_EQ(found, count);
    CHECK_EQ(at, pool.count);
    CHECK(rvt_pool_next_alive(&pool, &at) == NULL); /* at the end rvt_pool_next_alive keeps returning NULL */
    /* Start in the middle. An index beyond the end finds nothing. */
    at = alive[2] + 1;
    object = rvt_pool_next_alive(&pool, &at);
    REQUIRE(object != NULL);
    CHECK_EQ(object->index, alive[4]);
    at = UINT32_MAX;
    CHECK(rvt_pool_next_alive(&pool, &at) == NULL);
    rvt_pool_destroy(&pool);
}

static void chunks_are_added_to_the_held_bytes(void) {
    struct rvt_pool pool;
    _Atomic(uint64_t) held = 5;
    rvt_pool_init(&pool, sizeof(struct thing));
    pool.held = &held;
    CHECK_EQ(atomic_load(&held), 5);
    struct rvt_object *object = rvt_pool_take(&pool);
    REQUIRE(object != NULL);
    const uint64_t chunk = atomic_load(&held) - 5;
    CHECK_EQ(chunk, pool.count * pool.object_size);
    for (uint32_t i = 1; i < pool.count; i++)
        (void)rvt_pool_take(&pool);
    CHECK_EQ(atomic_load(&held), 5 + chunk); /* no new chunk until the first is used up */
    rvt_test_alloc_fail_after(0);
    CHECK(rvt_pool_take(&pool) == NULL);
    rvt_test_alloc_fail_after(-1);
    CHECK_EQ(atomic_load(&held), 5 + chunk);
    CHECK(rvt_pool_take(&pool) != NULL);
    CHECK_EQ(atomic_load(&held), 5 + 3 * chunk); /* the second chunk has twice the size */
    rvt_pool_destroy(&pool);
}

/* A pool of few objects stays small; a large pool grows by 512 objects at a time. */
static void chunks_double_in_size_up_to_a_limit(void) {
    struct rvt_pool pool;
    rvt_pool_init(&pool, sizeof(struct thing));
    uint32_t last = 0, chunk = 0;
    for (uint32_t i = 0; i < 4 * MANY; i++) {
        struct rvt_object *object = rvt_pool_take(&pool);
        REQUIRE(object != NULL);
        CHECK_EQ(object->index, i);
        CHECK_PTR_EQ(rvt_pool_at(&pool, i), object);
        if (pool.count == last)
            continue;
        uint32_t grown = pool.count - last;
        CHECK_EQ(last, i); /* a new chunk only when the old ones are used up */
        if (chunk)
            CHECK(grown == 2 * chunk || (grown == chunk && grown == 512));
        else
            CHECK_EQ(grown, 2);
        last = pool.count;
        chunk = grown;
    }
    CHECK_EQ(chunk, 512);
    rvt_pool_destroy(&pool);
}

CHECK_MAIN(TEST(objects_are_distinct_and_do_not_move), TEST(every_index_names_an_object),
           TEST(generations_never_repeat), TEST(a_failed_allocation_changes_nothing),
           TEST(finding_an_unused_index_returns_null), TEST(objects_are_found_while_the_pool_grows),
           TEST(live_objects_are_found_in_index_order), TEST(chunks_are_added_to_the_held_bytes),
           TEST(chunks_double_in_size_up_to_a_limit))
