/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/memory.h"

#include <pthread.h>

#include "check.h"
#include "core/base/alloc.h"

struct own {
    struct rvt_memory memory;
    atomic_int released;
};

static enum rvt_reason own_resolve(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)memory;
    *data = environment;
    return RVT_REASON_NONE;
}

static void own_release(struct rvt_memory *memory) {
    atomic_fetch_add(&((struct own *)memory)->released, 1);
}

static const struct rvt_memory_ops own_ops = {own_resolve, own_release};

static void last_put_releases_once(void) {
    struct own own = {.released = 0};
    rvt_memory_init(&own.memory, &own_ops, 123);
    CHECK_EQ(own.memory.length, 123);
    CHECK_PTR_EQ(own.memory.ops, &own_ops);
    rvt_memory_get(&own.memory);
    rvt_memory_get(&own.memory);
    rvt_memory_put(&own.memory);
    rvt_memory_put(&own.memory);
    CHECK_EQ(atomic_load(&own.released), 0);
    rvt_memory_put(&own.memory);
    CHECK_EQ(atomic_load(&own.released), 1);
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

static void counts_from_several_threads(void) {
    struct own own = {.released = 0};
    pthread_t threads[THREADS];
    rvt_memory_init(&own.memory, &own_ops, 1);
    for (int i = 0; i < THREADS; i++) {
        rvt_memory_get(&own.memory);
        REQUIRE(pthread_create(&threads[i], NULL, get_and_put, &own.memory) == 0);
    }
    rvt_memory_put(&own.memory);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    CHECK_EQ(atomic_load(&own.released), 1);
}

static void fixed_memory_stays_where_it_is(void) {
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

static void fixed_memory_without_memory(void) {
    long live = rvt_test_alloc_live();
    rvt_test_alloc_fail_after(0);
    CHECK(rvt_fixed_memory(&live, 1) == NULL);
    rvt_test_alloc_fail_after(-1);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

CHECK_MAIN(TEST(last_put_releases_once), TEST(counts_from_several_threads),
           TEST(fixed_memory_stays_where_it_is), TEST(fixed_memory_without_memory))
