/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/epoch.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "core/base/alloc.h"

struct item {
    struct rvt_retired retired; /* first */
    atomic_int released;
    struct item *then; /* retired by the release of this one */
};

static void release_item(struct rvt_retired *retired) {
    struct item *item = (struct item *)retired;
    struct item *then = item->then;
    atomic_fetch_add(&item->released, 1);
    if (then)
        rvt_retire(&then->retired, release_item);
}

#define RELEASED(item) atomic_load(&(item).released)

static void freed_at_once_without_readers(void) {
    struct item item = {.then = NULL};
    CHECK(!rvt_reclaim_pending());
    rvt_retire(&item.retired, release_item);
    CHECK(rvt_reclaim_pending());
    CHECK_EQ(RELEASED(item), 0); /* rvt_retire itself frees nothing: a lock may be held */
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 1);
    CHECK(!rvt_reclaim_pending());
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 1);
}

static void waits_for_who_was_inside(void) {
    struct item item = {.then = NULL};
    struct rvt_reader *a = rvt_reader_register(), *b = rvt_reader_register();
    REQUIRE(a && b);
    rvt_read_enter(a);
    rvt_read_enter(b);
    rvt_retire(&item.retired, release_item);
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 0);
    rvt_read_leave(a);
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 0);
    rvt_read_leave(b);
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 1);
    rvt_reader_unregister(a);
    rvt_reader_unregister(b);
}

static void does_not_wait_for_who_came_later(void) {
    struct item item = {.then = NULL};
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_retire(&item.retired, release_item);
    rvt_read_enter(reader);
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 1);
    rvt_read_leave(reader);
    rvt_reader_unregister(reader);
}

static void frees_the_old_and_keeps_the_new(void) {
    struct item old = {.then = NULL}, young = {.then = NULL};
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_retire(&old.retired, release_item);
    rvt_read_enter(reader);
    rvt_retire(&young.retired, release_item);
    rvt_reclaim();
    CHECK_EQ(RELEASED(old), 1);
    CHECK_EQ(RELEASED(young), 0);
    CHECK(rvt_reclaim_pending());
    rvt_read_leave(reader);
    rvt_reclaim();
    CHECK_EQ(RELEASED(young), 1);
    rvt_reader_unregister(reader);
}

static void entering_twice_is_entering_once(void) {
    struct item item = {.then = NULL};
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_read_enter(reader);
    rvt_read_enter(reader);
    rvt_retire(&item.retired, release_item);
    rvt_read_leave(reader);
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 0); /* still inside */
    rvt_read_renew(reader);
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 1);
    rvt_read_leave(reader);
    rvt_reader_unregister(reader);
}

static void renewing_inside_another_section_lets_nobody_pass(void) {
    struct item item = {.then = NULL};
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_read_enter(reader);
    rvt_read_enter(reader);
    rvt_retire(&item.retired, release_item);
    rvt_read_renew(reader); /* the outer section has pointers of its own */
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 0);
    rvt_read_leave(reader);
    rvt_read_leave(reader);
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 1);
    rvt_reader_unregister(reader);
}

static void renewing_goes_on_protecting(void) {
    struct item before = {.then = NULL}, after = {.then = NULL};
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_read_enter(reader);
    rvt_retire(&before.retired, release_item);
    rvt_read_renew(reader);
    rvt_retire(&after.retired, release_item);
    rvt_reclaim();
    CHECK_EQ(RELEASED(before), 1);
    CHECK_EQ(RELEASED(after), 0);
    rvt_read_leave(reader);
    rvt_reclaim();
    CHECK_EQ(RELEASED(after), 1);
    rvt_reader_unregister(reader);
}

static void a_release_may_retire_more(void) {
    struct item third = {.then = NULL}, second = {.then = &third}, first = {.then = &second};
    rvt_retire(&first.retired, release_item);
    rvt_reclaim();
    CHECK_EQ(RELEASED(first) + RELEASED(second) + RELEASED(third), 3);
    CHECK(!rvt_reclaim_pending());
}

static void the_last_reader_takes_everything_along(void) {
    struct item item = {.then = NULL};
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_read_enter(reader);
    rvt_retire(&item.retired, release_item);
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 0);
    rvt_read_leave(reader);
    rvt_reader_unregister(reader);
    CHECK_EQ(RELEASED(item), 1);
    rvt_reader_unregister(NULL);
}

static void readers_cost_nothing_when_gone(void) {
    long live = rvt_test_alloc_live();
    struct rvt_reader *readers[20];
    for (int i = 0; i < 20; i++) {
        readers[i] = rvt_reader_register();
        REQUIRE(readers[i] != NULL);
    }
    /* In another order than they came. */
    for (int i = 0; i < 20; i++)
        rvt_reader_unregister(readers[(i * 7) % 20]);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void no_memory_for_a_reader(void) {
    long live = rvt_test_alloc_live();
    rvt_test_alloc_fail_after(0);
    CHECK(rvt_reader_register() == NULL);
    rvt_test_alloc_fail_after(-1);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

/* --- threads: a pointer that is replaced and retired, followed by readers --- */

enum { READERS = 3 };

struct box {
    struct rvt_retired retired;
    uint64_t a, b; /* equal while the box lives; not atomic on purpose */
};

static _Atomic(struct box *) shared;
static atomic_bool stop;
static atomic_ulong boxes_freed;

static void free_box(struct rvt_retired *retired) {
    struct box *box = (struct box *)retired;
    box->a = 1; /* who still looks now races, and ThreadSanitizer tells */
    box->b = 2;
    rvt_free(box);
    atomic_fetch_add(&boxes_freed, 1);
}

static struct box *new_box(uint64_t value) {
    struct box *box = rvt_malloc(sizeof(*box));
    if (box)
        box->a = box->b = value;
    return box;
}

static void *follow(void *argument) {
    struct rvt_reader *reader = rvt_reader_register();
    (void)argument;
    for (unsigned i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
        rvt_read_enter(reader);
        struct box *box = atomic_load_explicit(&shared, memory_order_acquire);
        CHECK_EQ(box->a, box->b);
        if (i % 8 == 0) {
            rvt_read_renew(reader);
            box = atomic_load_explicit(&shared, memory_order_acquire);
            CHECK_EQ(box->a, box->b);
        }
        rvt_read_leave(reader);
    }
    rvt_reader_unregister(reader);
    return NULL;
}

static void *replace(void *argument) {
    for (uint64_t i = 0; i < 20000; i++) {
        struct box *box = new_box(i * 2 + (uintptr_t)argument);
        CHECK(box != NULL);
        struct box *old = atomic_exchange_explicit(&shared, box, memory_order_acq_rel);
        rvt_retire(&old->retired, free_box);
        if (i % 4 == 0)
            rvt_reclaim();
    }
    return NULL;
}

static void readers_never_see_what_was_freed(void) {
    long live = rvt_test_alloc_live();
    pthread_t readers[READERS], writers[2];
    atomic_store(&shared, new_box(7));
    atomic_store(&stop, false);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_create(&readers[i], NULL, follow, NULL) == 0);
    for (uintptr_t i = 0; i < 2; i++)
        REQUIRE(pthread_create(&writers[i], NULL, replace, (void *)i) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(writers[i], NULL) == 0);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_join(readers[i], NULL) == 0);
    rvt_reclaim();
    CHECK_EQ(atomic_load(&boxes_freed), 40000);
    rvt_free(atomic_load(&shared));
    CHECK_EQ(rvt_test_alloc_live(), live);
}

/* --- rvt_synchronize --- */

static atomic_int synchronized;

static void *synchronize(void *argument) {
    (void)argument;
    rvt_synchronize();
    atomic_fetch_add(&synchronized, 1);
    return NULL;
}

static void a_moment(void) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

static void synchronizing_waits_for_nobody(void) {
    struct rvt_reader *outside = rvt_reader_register();
    REQUIRE(outside != NULL);
    rvt_read_enter(outside);
    rvt_read_leave(outside);
    rvt_synchronize(); /* ends at once */
    rvt_reader_unregister(outside);
    rvt_synchronize();
    CHECK(!rvt_reclaim_pending()); /* it leaves nothing behind */
}

static void synchronizing_waits_for_who_is_inside(void) {
    struct rvt_reader *a = rvt_reader_register(), *b = rvt_reader_register(), *c = rvt_reader_register();
    pthread_t thread;
    REQUIRE(a && b && c);
    atomic_store(&synchronized, 0);
    rvt_read_enter(a);
    rvt_read_enter(b);
    const uint64_t before = atomic_load(&rvt_epoch_now);
    REQUIRE(pthread_create(&thread, NULL, synchronize, NULL) == 0);
    while (atomic_load(&rvt_epoch_now) == before) /* it has begun */
        rvt_yield();
    rvt_read_enter(c); /* came later: not waited for */
    a_moment();
    CHECK_EQ(atomic_load(&synchronized), 0);
    rvt_read_leave(a);
    a_moment();
    CHECK_EQ(atomic_load(&synchronized), 0);
    rvt_read_renew(b); /* out, and in again: what it saw before is forgotten */
    REQUIRE(pthread_join(thread, NULL) == 0);
    CHECK_EQ(atomic_load(&synchronized), 1);
    rvt_read_leave(b);
    rvt_read_leave(c);
    rvt_reader_unregister(a);
    rvt_reader_unregister(b);
    rvt_reader_unregister(c);
}

static void what_was_retired_before_can_be_freed_after(void) {
    struct item item = {.then = NULL};
    struct rvt_reader *reader = rvt_reader_register();
    pthread_t thread;
    REQUIRE(reader != NULL);
    atomic_store(&synchronized, 0);
    rvt_read_enter(reader);
    rvt_retire(&item.retired, release_item);
    const uint64_t before = atomic_load(&rvt_epoch_now);
    REQUIRE(pthread_create(&thread, NULL, synchronize, NULL) == 0);
    while (atomic_load(&rvt_epoch_now) == before)
        rvt_yield();
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 0);
    rvt_read_leave(reader);
    REQUIRE(pthread_join(thread, NULL) == 0);
    rvt_read_enter(reader); /* of a later epoch */
    rvt_reclaim();
    CHECK_EQ(RELEASED(item), 1);
    rvt_read_leave(reader);
    rvt_reader_unregister(reader);
}

/* What an owner does who takes its memory down by itself: out of reach, synchronize, gone. Not retired, and
 * freed in the plain way. */
static void *take_down(void *argument) {
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t *memory = malloc(2 * sizeof(*memory));
        CHECK(memory != NULL);
        memory[0] = memory[1] = i + (uintptr_t)argument;
        uint64_t *old =
            atomic_exchange_explicit((_Atomic(uint64_t *) *)argument, memory, memory_order_acq_rel);
        rvt_synchronize();
        if (old) {
            old[0] = 1;
            old[1] = 2;
        }
        free(old);
    }
    return NULL;
}

static _Atomic(uint64_t *) owned[2];

static void *look_in(void *argument) {
    struct rvt_reader *reader = rvt_reader_register();
    (void)argument;
    for (unsigned i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
        rvt_read_enter(reader);
        uint64_t *memory = atomic_load_explicit(&owned[i % 2], memory_order_acquire);
        if (memory)
            CHECK_EQ(memory[0], memory[1]);
        rvt_read_leave(reader);
        if (i % 64 == 0)
            rvt_yield();
    }
    rvt_reader_unregister(reader);
    return NULL;
}

static void nobody_looks_at_it_afterwards(void) {
    pthread_t readers[READERS], writers[2];
    atomic_store(&stop, false);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_create(&readers[i], NULL, look_in, NULL) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&writers[i], NULL, take_down, &owned[i]) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(writers[i], NULL) == 0);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_join(readers[i], NULL) == 0);
    for (int i = 0; i < 2; i++)
        free(atomic_exchange(&owned[i], NULL));
}

CHECK_MAIN(TEST(freed_at_once_without_readers), TEST(waits_for_who_was_inside),
           TEST(does_not_wait_for_who_came_later), TEST(frees_the_old_and_keeps_the_new),
           TEST(entering_twice_is_entering_once), TEST(renewing_inside_another_section_lets_nobody_pass),
           TEST(renewing_goes_on_protecting), TEST(a_release_may_retire_more),
           TEST(the_last_reader_takes_everything_along), TEST(readers_cost_nothing_when_gone),
           TEST(no_memory_for_a_reader), TEST(readers_never_see_what_was_freed),
           TEST(synchronizing_waits_for_nobody), TEST(synchronizing_waits_for_who_is_inside),
           TEST(what_was_retired_before_can_be_freed_after), TEST(nobody_looks_at_it_afterwards))
