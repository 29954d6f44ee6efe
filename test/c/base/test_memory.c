/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/memory.h"

#include <pthread.h>
#include <stdlib.h>

#include "check.h"
#include "core/base/alloc.h"

struct counted {
    struct rvt_memory memory;
    atomic_int released;
};

static enum rvt_reason counted_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)memory;
    *data = environment;
    return RVT_REASON_NONE;
}

static void counted_release(struct rvt_memory *memory) {
    atomic_fetch_add(&((struct counted *)memory)->released, 1);
}

static const struct rvt_memory_ops counted_ops = {counted_resolve, counted_release, NULL};

static void the_last_put_releases_the_memory_once(void) {
    struct counted counted = {.released = 0};
    rvt_memory_init(&counted.memory, &counted_ops, 123);
    CHECK_EQ(counted.memory.length, 123);
    CHECK_PTR_EQ(counted.memory.ops, &counted_ops);
    rvt_memory_get(&counted.memory);
    rvt_memory_get(&counted.memory);
    rvt_memory_put(&counted.memory);
    rvt_memory_put(&counted.memory);
    CHECK_EQ(atomic_load(&counted.released), 0);
    rvt_memory_put(&counted.memory);
    CHECK_EQ(atomic_load(&counted.released), 1);
}

enum { THREADS = 4, ROUNDS = 20000 };

static void *get_and_put(void *argument) {
    struct rvt_memory *memory = argument;
    for (int i = 0; i < ROUNDS; i++) {
        rvt_memory_get(memory);
        rvt_memory_put(memory);
    }
    rvt_memory_put(memory);
    return NULL;
}

static void several_threads_get_and_put_references(void) {
    struct counted counted = {.released = 0};
    pthread_t threads[THREADS];
    rvt_memory_init(&counted.memory, &counted_ops, 1);
    for (int i = 0; i < THREADS; i++) {
        rvt_memory_get(&counted.memory);
        REQUIRE(pthread_create(&threads[i], NULL, get_and_put, &counted.memory) == 0);
    }
    rvt_memory_put(&counted.memory);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    CHECK_EQ(atomic_load(&counted.released), 1);
}

static void fixed_memory_resolves_to_its_bytes(void) {
    long live = rvt_test_alloc_live();
    unsigned char bytes[10];
    struct rvt_memory *memory = rvt_fixed_memory(bytes, sizeof(bytes));
    REQUIRE(memory != NULL);
    CHECK_EQ(memory->length, sizeof(bytes));
    unsigned char *data = NULL;
    CHECK_EQ(memory->ops->resolve(memory, NULL, &data), RVT_REASON_NONE);
    CHECK_PTR_EQ(data, bytes);
    rvt_memory_put(memory);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void fixed_memory_is_null_when_the_allocation_fails(void) {
    long live = rvt_test_alloc_live();
    rvt_test_alloc_fail_after(0);
    CHECK(rvt_fixed_memory(&live, 1) == NULL);
    rvt_test_alloc_fail_after(-1);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void place_shared(const struct rvt_memory *memory, struct rvt_memory_place *place) {
    (void)memory;
    *place = (struct rvt_memory_place){RVT_MEMORY_KIND_SHARED, 7, 9};
}

static void the_place_comes_from_the_memory_operations(void) {
    static const struct rvt_memory_ops placed_ops = {counted_resolve, counted_release, place_shared};
    struct counted counted = {.released = 0};
    rvt_memory_init(&counted.memory, &placed_ops, 1);
    struct rvt_memory_place place = rvt_place_of_memory(&counted.memory);
    CHECK_EQ(place.kind, RVT_MEMORY_KIND_SHARED);
    CHECK_EQ(place.buffer, 7);
    CHECK_EQ(place.offset, 9);
    rvt_memory_init(&counted.memory, &counted_ops, 1);
    place = rvt_place_of_memory(&counted.memory);
    CHECK_EQ(place.kind, RVT_MEMORY_KIND_OTHER);
    CHECK_EQ(place.buffer, 0);
    CHECK_EQ(rvt_place_of_memory(NULL).kind, RVT_MEMORY_KIND_NONE);
}

enum { NUMBERS = 1000 };

static void *take_numbers(void *argument) {
    uint64_t *numbers = argument;
    for (int i = 0; i < NUMBERS; i++)
        numbers[i] = rvt_new_buffer_number();
    return NULL;
}

static int ascending(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void buffer_numbers_are_unique(void) {
    static uint64_t numbers[THREADS * NUMBERS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, take_numbers, &numbers[i * NUMBERS]) == 0);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    qsort(numbers, THREADS * NUMBERS, sizeof(numbers[0]), ascending);
    CHECK(numbers[0] > 0);
    for (int i = 1; i < THREADS * NUMBERS; i++)
        CHECK(numbers[i] > numbers[i - 1]);
}

CHECK_MAIN(TEST(the_last_put_releases_the_memory_once), TEST(several_threads_get_and_put_references),
           TEST(fixed_memory_resolves_to_its_bytes), TEST(fixed_memory_is_null_when_the_allocation_fails),
           TEST(the_place_comes_from_the_memory_operations), TEST(buffer_numbers_are_unique))
