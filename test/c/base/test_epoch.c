/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/epoch.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "core/base/alloc.h"
#include "waiting.h"

/* Two devices, as far as readers are concerned. */
static struct rvt_retirement here, there;

static void open_devices(void) {
    rvt_retirement_init(&here, 1);
    rvt_retirement_init(&there, 2);
}

static void close_devices(void) {
    CHECK(!rvt_reclaim_pending(&here) && !rvt_reclaim_pending(&there));
    rvt_retirement_destroy(&here);
    rvt_retirement_destroy(&there);
}

struct item {
    struct rvt_retired retired; /* first */
    atomic_int released;        /* in which place; 0: not yet */
    struct item *then;          /* retired by the release of this one */
};

static atomic_int releases;

static void release_item(struct rvt_retired *retired) {
    struct item *item = (struct item *)retired;
    struct item *then = item->then;
    CHECK_EQ(atomic_load(&item->released), 0); /* once */
    atomic_store(&item->released, atomic_fetch_add(&releases, 1) + 1);
    if (then)
        rvt_retire(&here, &then->retired, release_item);
}

#define RELEASED(item) (atomic_load(&(item).released) != 0)

/* --- retirement --- */

static void freed_at_once_without_readers(void) {
    struct item item = {.then = NULL};
    open_devices();
    CHECK(!rvt_reclaim_pending(&here));
    rvt_retire(&here, &item.retired, release_item);
    CHECK(rvt_reclaim_pending(&here));
    CHECK(!rvt_reclaim_pending(&there));
    CHECK(!RELEASED(item)); /* rvt_retire itself frees nothing: a lock may be held */
    rvt_reclaim(&there);
    CHECK(!RELEASED(item));
    rvt_reclaim(&here);
    CHECK(RELEASED(item));
    CHECK(!rvt_reclaim_pending(&here));
    rvt_reclaim(&here);
    close_devices();
}

static void a_section_that_ends_frees_what_waited_for_it(void) {
    struct item item = {.then = NULL};
    open_devices();
    struct rvt_reader *a = rvt_reader_register(), *b = rvt_reader_register();
    REQUIRE(a && b);
    rvt_read_enter(a, &here);
    rvt_read_enter(b, &here);
    rvt_retire(&here, &item.retired, release_item);
    rvt_reclaim(&here);
    CHECK(!RELEASED(item));
    rvt_read_leave(a, &here);
    CHECK(!RELEASED(item)); /* b is inside */
    rvt_reclaim(&here);
    CHECK(!RELEASED(item));
    rvt_read_leave(b, &here); /* no verb has to come for that */
    CHECK(RELEASED(item));
    rvt_reader_unregister(a);
    rvt_reader_unregister(b);
    close_devices();
}

static void does_not_wait_for_who_came_later(void) {
    struct item item = {.then = NULL};
    open_devices();
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_retire(&here, &item.retired, release_item);
    rvt_read_enter(reader, &here);
    rvt_reclaim(&here);
    CHECK(RELEASED(item));
    rvt_read_leave(reader, &here);
    rvt_reader_unregister(reader);
    close_devices();
}

static void does_not_wait_for_readers_of_another_device(void) {
    struct item items[2] = {{.then = NULL}, {.then = NULL}};
    open_devices();
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_read_enter(reader, &there);
    rvt_retire(&here, &items[0].retired, release_item);
    rvt_reclaim(&here);
    CHECK(RELEASED(items[0]));
    rvt_read_leave(reader, &there);
    /* But for those of all devices. */
    rvt_read_enter(reader, &rvt_every_device);
    rvt_retire(&here, &items[1].retired, release_item);
    rvt_reclaim(&here);
    CHECK(!RELEASED(items[1]));
    rvt_read_leave(reader, &rvt_every_device); /* it does not know whose things waited */
    CHECK(!RELEASED(items[1]));
    rvt_reclaim(&here);
    CHECK(RELEASED(items[1]));
    rvt_reader_unregister(reader);
    close_devices();
}

static void frees_in_order_up_to_the_first_that_waits(void) {
    enum { ITEMS = 6 };
    struct item items[ITEMS];
    memset(items, 0, sizeof(items));
    open_devices();
    struct rvt_reader *a = rvt_reader_register(), *b = rvt_reader_register();
    REQUIRE(a && b);
    atomic_store(&releases, 0);
    for (int i = 0; i < ITEMS; i++) {
        if (i == 2)
            rvt_read_enter(a, &here);
        if (i == 4)
            rvt_read_enter(b, &here);
        rvt_retire(&here, &items[i].retired, release_item);
    }
    for (int i = 1; i < ITEMS; i++) /* the oldest first */
        CHECK(items[i].retired.epoch > items[i - 1].retired.epoch);
    CHECK_PTR_EQ(here.oldest, &items[0].retired);
    rvt_reclaim(&here);
    CHECK_PTR_EQ(here.oldest, &items[2].retired);
    CHECK_EQ(atomic_load(&here.waiting), 4);
    CHECK_EQ(atomic_load(&releases), 2);
    rvt_read_leave(b, &here); /* the younger one: a is in the way of all the others */
    CHECK_EQ(atomic_load(&releases), 2);
    rvt_read_enter(b, &here);
    rvt_read_leave(a, &here);
    CHECK_EQ(atomic_load(&here.waiting), 0); /* b has come back after all of them */
    rvt_read_leave(b, &here);
    for (int i = 0; i < ITEMS; i++)
        CHECK_EQ(atomic_load(&items[i].released), i + 1);
    /* A list that was emptied begins anew. */
    struct item more = {.then = NULL};
    rvt_retire(&here, &more.retired, release_item);
    rvt_reclaim(&here);
    CHECK(RELEASED(more));
    rvt_reader_unregister(a);
    rvt_reader_unregister(b);
    close_devices();
}

static void frees_what_is_older_than_an_epoch(void) {
    struct item items[3];
    memset(items, 0, sizeof(items));
    open_devices();
    for (int i = 0; i < 3; i++)
        rvt_retire(&here, &items[i].retired, release_item);
    rvt_free_retired(&here, items[0].retired.epoch);
    CHECK(!RELEASED(items[0]));
    rvt_free_retired(&there, UINT64_MAX);
    CHECK(!RELEASED(items[0]));
    rvt_free_retired(&here, items[2].retired.epoch);
    CHECK(RELEASED(items[0]) && RELEASED(items[1]) && !RELEASED(items[2]));
    CHECK(rvt_reclaim_pending(&here));
    rvt_free_retired(&here, UINT64_MAX);
    CHECK(RELEASED(items[2]));
    close_devices();
}

static void what_has_passed_is_released_without_retirement(void) {
    struct item items[3];
    struct rvt_retired *passed = NULL;
    memset(items, 0, sizeof(items));
    rvt_release_passed(NULL);
    for (int i = 0; i < 3; i++)
        rvt_add_passed(&passed, &items[i].retired, release_item);
    for (int i = 0; i < 3; i++)
        CHECK(!RELEASED(items[i]));
    rvt_release_passed(passed);
    for (int i = 0; i < 3; i++)
        CHECK(RELEASED(items[i]));
}

static void on_a_list_or_retired(void) {
    struct item listed = {.then = NULL}, retired = {.then = NULL};
    struct rvt_retired *passed = NULL;
    open_devices();
    rvt_add_or_retire(&here, &passed, &listed.retired, release_item);
    CHECK(!rvt_reclaim_pending(&here));
    rvt_add_or_retire(&here, NULL, &retired.retired, release_item);
    CHECK(rvt_reclaim_pending(&here));
    rvt_reclaim(&here);
    CHECK(RELEASED(retired));
    CHECK(!RELEASED(listed));
    rvt_release_passed(passed);
    CHECK(RELEASED(listed));
    close_devices();
}

static void entering_twice_is_entering_once(void) {
    struct item item = {.then = NULL};
    open_devices();
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_read_enter(reader, &here);
    rvt_read_enter(reader, &here);
    rvt_retire(&here, &item.retired, release_item);
    rvt_read_leave(reader, &here);
    rvt_reclaim(&here);
    CHECK(!RELEASED(item)); /* still inside */
    rvt_read_renew(reader, &here);
    CHECK(RELEASED(item));
    rvt_read_leave(reader, &here);
    rvt_reader_unregister(reader);
    close_devices();
}

static void renewing_inside_another_section_lets_nobody_pass(void) {
    struct item item = {.then = NULL};
    open_devices();
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    struct rvt_retirement *outer[] = {&here, &rvt_every_device};
    for (int i = 0; i < 2; i++) {
        memset(&item, 0, sizeof(item));
        rvt_read_enter(reader, outer[i]);
        rvt_read_enter(reader, &here);
        rvt_retire(&here, &item.retired, release_item);
        rvt_read_renew(reader, &here); /* the outer section has pointers of its own */
        rvt_reclaim(&here);
        CHECK(!RELEASED(item));
        rvt_read_leave(reader, &here);
        rvt_reclaim(&here);
        CHECK(!RELEASED(item));
        rvt_read_leave(reader, outer[i]);
        rvt_reclaim(&here);
        CHECK(RELEASED(item));
    }
    rvt_reader_unregister(reader);
    close_devices();
}

static void renewing_goes_on_protecting(void) {
    struct item before = {.then = NULL}, after = {.then = NULL};
    open_devices();
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_read_enter(reader, &here);
    rvt_retire(&here, &before.retired, release_item);
    rvt_read_renew(reader, &here);
    CHECK(RELEASED(before));
    rvt_retire(&here, &after.retired, release_item);
    rvt_reclaim(&here);
    CHECK(!RELEASED(after));
    rvt_read_leave(reader, &here);
    CHECK(RELEASED(after));
    rvt_reader_unregister(reader);
    close_devices();
}

static void a_release_may_retire_more(void) {
    struct item third = {.then = NULL}, second = {.then = &third}, first = {.then = &second};
    open_devices();
    rvt_retire(&here, &first.retired, release_item);
    rvt_reclaim(&here);
    CHECK(RELEASED(first) && !RELEASED(second)); /* it is younger than the look */
    rvt_settle(&here);
    CHECK(RELEASED(second) && !RELEASED(third));
    rvt_settle(&here);
    CHECK(RELEASED(third));
    close_devices();
}

/* --- the list of readers --- */

static void readers_are_used_again_and_freed_with_the_last_user(void) {
    enum { READERS = 20 };
    long live = rvt_test_alloc_live();
    struct rvt_reader *readers[READERS], *again[READERS];
    for (int round = 0; round < 2; round++) {
        open_devices();
        for (int i = 0; i < READERS; i++) {
            readers[i] = rvt_reader_register();
            REQUIRE(readers[i] != NULL);
            CHECK_EQ((uintptr_t)readers[i] % RVT_CACHE_LINE, 0);
        }
        CHECK_EQ(rvt_test_alloc_live(), live + READERS);
        /* In another order than they came. */
        for (int i = 0; i < READERS; i++)
            rvt_reader_unregister(readers[(i * 7) % READERS]);
        rvt_reader_unregister(NULL);
        CHECK_EQ(rvt_test_alloc_live(), live + READERS); /* a device may be going through the list */
        rvt_test_alloc_fail_after(0);                    /* no memory is needed for those */
        for (int i = 0; i < READERS; i++) {
            again[i] = rvt_reader_register();
            bool was_there = false;
            for (int k = 0; k < READERS; k++)
                was_there |= again[i] == readers[k];
            CHECK(was_there);
            for (int k = 0; k < i; k++)
                CHECK(again[i] != again[k]);
        }
        CHECK(rvt_reader_register() == NULL);
        rvt_test_alloc_fail_after(-1);
        if (round) { /* the last user is a device, or a reader */
            for (int i = 0; i < READERS; i++)
                rvt_reader_unregister(again[i]);
            close_devices();
        } else {
            close_devices();
            CHECK_EQ(rvt_test_alloc_live(), live + READERS);
            for (int i = 0; i < READERS; i++)
                rvt_reader_unregister(again[i]);
        }
        CHECK_EQ(rvt_test_alloc_live(), live);
    }
}

static void no_memory_for_a_reader(void) {
    long live = rvt_test_alloc_live();
    rvt_test_alloc_fail_after(0);
    CHECK(rvt_reader_register() == NULL);
    rvt_test_alloc_fail_after(-1);
    CHECK_EQ(rvt_test_alloc_live(), live);
    open_devices(); /* it counts as no user */
    struct rvt_reader *reader = rvt_reader_register();
    rvt_reader_unregister(reader);
    close_devices();
    CHECK_EQ(rvt_test_alloc_live(), live);
}

/* --- rvt_synchronize --- */

static int synchronize(void *of) {
    rvt_synchronize(of);
    return 0;
}

static void synchronizing_waits_for_nobody(void) {
    struct item item = {.then = NULL};
    open_devices();
    struct rvt_reader *outside = rvt_reader_register();
    REQUIRE(outside != NULL);
    rvt_read_enter(outside, &here);
    rvt_read_leave(outside, &here);
    const uint64_t first = rvt_synchronize(&here); /* ends at once */
    rvt_retire(&here, &item.retired, release_item);
    CHECK(rvt_synchronize(&here) > item.retired.epoch);
    CHECK(item.retired.epoch > first);
    CHECK(!RELEASED(item)); /* it frees nothing by itself */
    rvt_settle(&here);
    CHECK(RELEASED(item));
    rvt_reader_unregister(outside);
    rvt_synchronize(&here);
    close_devices();
}

static void synchronizing_waits_for_who_is_inside(void) {
    struct waiting w;
    open_devices();
    struct rvt_reader *a = rvt_reader_register(), *b = rvt_reader_register(), *c = rvt_reader_register();
    REQUIRE(a && b && c);
    rvt_read_enter(a, &here);
    rvt_read_enter(b, &here);
    CHECK(begin_waiting(&w, synchronize, &here));
    rvt_read_enter(c, &here); /* came later: not waited for */
    rvt_read_leave(a, &here);
    CHECK(still_waiting(&w));
    rvt_read_renew(b, &here); /* out, and in again: what it saw before is forgotten */
    CHECK_EQ(end_waiting(&w), 0);
    rvt_read_leave(b, &here);
    rvt_read_leave(c, &here);
    rvt_reader_unregister(a);
    rvt_reader_unregister(b);
    rvt_reader_unregister(c);
    close_devices();
}

static void synchronizing_waits_for_its_own_device(void) {
    struct waiting w;
    open_devices();
    struct rvt_retirement third; /* tags come round: it is the same as here, for who waits */
    rvt_retirement_init(&third, 1 + 0xffff);
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    const struct {
        struct rvt_retirement *inside, *waits;
        bool yes;
    } rows[] = {{&here, &here, true},
                {&there, &here, false},
                {&here, &there, false},
                {&rvt_every_device, &here, true},
                {&rvt_every_device, &there, true},
                {&third, &here, true},
                {&here, &third, true},
                {&third, &there, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rvt_read_enter(reader, rows[i].inside);
        CHECK_EQ(begin_waiting(&w, synchronize, rows[i].waits), rows[i].yes);
        rvt_read_leave(reader, rows[i].inside);
        CHECK_EQ(end_waiting(&w), 0);
    }
    rvt_reader_unregister(reader);
    rvt_retirement_destroy(&third);
    close_devices();
}

/* No number is the tag of every device, or of none with an epoch of 0. */
static void tags_are_of_one_device(void) {
    static const uint64_t numbers[] = {0, 1, 0xfffe, 0xffff, 0x10000, UINT64_MAX};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct rvt_retirement of;
        rvt_retirement_init(&of, numbers[i]);
        CHECK(of.tag != RVT_EVERY_DEVICE_TAG);
        CHECK_EQ(of.tag & ~RVT_EVERY_DEVICE_TAG, 0);
        struct rvt_reader *reader = rvt_reader_register();
        REQUIRE(reader != NULL);
        rvt_read_enter(reader, &of);
        CHECK(atomic_load(&reader->slot) != 0);
        rvt_read_leave(reader, &of);
        CHECK_EQ(atomic_load(&reader->slot), 0);
        rvt_reader_unregister(reader);
        rvt_retirement_destroy(&of);
    }
}

static void what_was_retired_before_can_be_freed_after(void) {
    struct item item = {.then = NULL};
    struct waiting w;
    open_devices();
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_read_enter(reader, &here);
    rvt_retire(&here, &item.retired, release_item);
    CHECK(begin_waiting(&w, synchronize, &here));
    rvt_reclaim(&here);
    CHECK(!RELEASED(item));
    /* Out by hand: rvt_read_leave would free it. */
    reader->depth = 0;
    atomic_store_explicit(&reader->slot, 0, memory_order_release);
    CHECK_EQ(end_waiting(&w), 0);
    rvt_read_enter(reader, &here); /* of a later epoch */
    rvt_reclaim(&here);
    CHECK(RELEASED(item));
    rvt_read_leave(reader, &here);
    rvt_reader_unregister(reader);
    close_devices();
}

/* How a child ends that calls this; 0: well. */
static int end_of(void (*call)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        alarm(20); /* a wait for oneself */
        call();
        _exit(0);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static struct rvt_retirement *own_section;

static void wait_while_inside(void) {
    struct rvt_reader *reader = rvt_reader_register();
    rvt_read_enter(reader, own_section);
    rvt_synchronize(&here);
}

static void wait_after_leaving(void) {
    struct rvt_reader *reader = rvt_reader_register();
    rvt_read_enter(reader, own_section);
    rvt_read_enter(reader, own_section);
    rvt_read_leave(reader, own_section);
    rvt_read_leave(reader, own_section);
    rvt_synchronize(&here);
}

static void wait_with_a_reader_of_ones_former_life(void) {
    struct rvt_reader *first = rvt_reader_register();
    rvt_reader_unregister(first);
    struct rvt_reader *second = rvt_reader_register(); /* the same, of this thread again */
    rvt_read_enter(second, own_section);
    rvt_synchronize(&here);
}

/* For itself the thread would wait for ever. */
static void waiting_for_oneself_ends_the_process(void) {
    open_devices();
    struct {
        struct rvt_retirement *section;
        void (*call)(void);
        int end;
    } rows[] = {{&here, wait_while_inside, SIGABRT},
                {&rvt_every_device, wait_while_inside, SIGABRT},
                {&there, wait_while_inside, 0},
                {&here, wait_after_leaving, 0},
                {&here, wait_with_a_reader_of_ones_former_life, SIGABRT}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        own_section = rows[i].section;
        CHECK_EQ(end_of(rows[i].call), rows[i].end);
    }
    close_devices();
}

/* --- a reader that comes while others wait --- */

struct newcomer {
    pthread_t thread;
    struct rvt_retirement *of;
    atomic_int step, told; /* where it is, and how far it may go */
};

static void go_to(struct newcomer *n, int step) {
    atomic_store(&n->told, step);
    while (atomic_load(&n->step) != step)
        rvt_yield();
}

static void stop_at(struct newcomer *n, int step) {
    atomic_store(&n->step, step);
    while (atomic_load(&n->told) == step)
        rvt_yield();
}

static void *come(void *context) {
    struct newcomer *n = context;
    struct rvt_reader *reader = rvt_reader_register();
    rvt_read_enter(reader, n->of);
    stop_at(n, 1);
    rvt_read_leave(reader, n->of);
    rvt_reader_unregister(reader);
    atomic_store(&n->step, 2);
    return NULL;
}

static void a_reader_that_comes_during_a_wait(void) {
    struct waiting first, second;
    struct newcomer n = {.of = &here, .step = 0, .told = 1};
    open_devices();
    struct rvt_reader *old = rvt_reader_register();
    REQUIRE(old != NULL);
    rvt_read_enter(old, &here);
    CHECK(begin_waiting(&first, synchronize, &here));
    REQUIRE(pthread_create(&n.thread, NULL, come, &n) == 0);
    while (atomic_load(&n.step) != 1)
        rvt_yield();
    CHECK(begin_waiting(&second, synchronize, &here));
    rvt_read_leave(old, &here);
    CHECK_EQ(end_waiting(&first), 0); /* it had not come then */
    CHECK(still_waiting(&second));    /* but before this one */
    go_to(&n, 2);
    CHECK_EQ(end_waiting(&second), 0);
    REQUIRE(pthread_join(n.thread, NULL) == 0);
    rvt_reader_unregister(old);
    close_devices();
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
    for (unsigned i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
        struct rvt_retirement *of = (i & 3) == (uintptr_t)argument ? &rvt_every_device : &here;
        rvt_read_enter(reader, of);
        struct box *box = atomic_load_explicit(&shared, memory_order_acquire);
        CHECK_EQ(box->a, box->b);
        if (i % 8 == 0) {
            rvt_read_renew(reader, of);
            box = atomic_load_explicit(&shared, memory_order_acquire);
            CHECK_EQ(box->a, box->b);
        }
        rvt_read_leave(reader, of);
        if (i % 256 == 0) { /* readers come and go */
            rvt_reader_unregister(reader);
            reader = rvt_reader_register();
        }
    }
    rvt_reader_unregister(reader);
    return NULL;
}

/* Freed in each of the ways: by who retires, by a wait, by the readers themselves. */
static void *replace(void *argument) {
    for (uint64_t i = 0; i < 20000; i++) {
        struct box *box = new_box(i * 2 + (uintptr_t)argument);
        CHECK(box != NULL);
        struct box *old = atomic_exchange_explicit(&shared, box, memory_order_acq_rel);
        rvt_retire(&here, &old->retired, free_box);
        if (i % 16 == 0)
            rvt_reclaim(&here);
        if (i % 64 == 0)
            rvt_settle(&here);
    }
    return NULL;
}

static void readers_never_see_what_was_freed(void) {
    long live = rvt_test_alloc_live();
    pthread_t readers[READERS], writers[2];
    open_devices();
    atomic_store(&shared, new_box(7));
    atomic_store(&stop, false);
    for (uintptr_t i = 0; i < READERS; i++)
        REQUIRE(pthread_create(&readers[i], NULL, follow, (void *)i) == 0);
    for (uintptr_t i = 0; i < 2; i++)
        REQUIRE(pthread_create(&writers[i], NULL, replace, (void *)i) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(writers[i], NULL) == 0);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_join(readers[i], NULL) == 0);
    rvt_reclaim(&here);
    CHECK_EQ(atomic_load(&boxes_freed), 40000);
    rvt_free(atomic_load(&shared));
    close_devices();
    CHECK_EQ(rvt_test_alloc_live(), live);
}

/* What an owner does who takes its memory down by itself: out of reach, synchronize, gone. Not retired, and
 * freed in the plain way. Each has a device of its own. */
struct owner {
    struct rvt_retirement *of;
    _Atomic(uint64_t *) memory;
};

static struct owner owners[2] = {{.of = &here}, {.of = &there}};

static void *take_down(void *argument) {
    struct owner *owner = argument;
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t *memory = malloc(2 * sizeof(*memory));
        CHECK(memory != NULL);
        memory[0] = memory[1] = i;
        uint64_t *old = atomic_exchange_explicit(&owner->memory, memory, memory_order_acq_rel);
        rvt_synchronize(owner->of);
        if (old) {
            old[0] = 1;
            old[1] = 2;
        }
        free(old);
    }
    return NULL;
}

static void *look_in(void *argument) {
    struct rvt_reader *reader = rvt_reader_register();
    (void)argument;
    for (unsigned i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
        struct owner *owner = &owners[i % 2];
        struct rvt_retirement *of = i % 5 ? owner->of : &rvt_every_device;
        rvt_read_enter(reader, of);
        uint64_t *memory = atomic_load_explicit(&owner->memory, memory_order_acquire);
        if (memory)
            CHECK_EQ(memory[0], memory[1]);
        rvt_read_leave(reader, of);
        if (i % 64 == 0) {
            rvt_reader_unregister(reader);
            rvt_yield();
            reader = rvt_reader_register();
        }
    }
    rvt_reader_unregister(reader);
    return NULL;
}

static void nobody_looks_at_it_afterwards(void) {
    pthread_t readers[READERS], writers[2];
    open_devices();
    atomic_store(&stop, false);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_create(&readers[i], NULL, look_in, NULL) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&writers[i], NULL, take_down, &owners[i]) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(writers[i], NULL) == 0);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        REQUIRE(pthread_join(readers[i], NULL) == 0);
    for (int i = 0; i < 2; i++)
        free(atomic_exchange(&owners[i].memory, NULL));
    close_devices();
}

CHECK_MAIN(TEST(freed_at_once_without_readers), TEST(a_section_that_ends_frees_what_waited_for_it),
           TEST(does_not_wait_for_who_came_later), TEST(does_not_wait_for_readers_of_another_device),
           TEST(frees_in_order_up_to_the_first_that_waits), TEST(frees_what_is_older_than_an_epoch),
           TEST(what_has_passed_is_released_without_retirement), TEST(on_a_list_or_retired),
           TEST(entering_twice_is_entering_once), TEST(renewing_inside_another_section_lets_nobody_pass),
           TEST(renewing_goes_on_protecting), TEST(a_release_may_retire_more),
           TEST(readers_are_used_again_and_freed_with_the_last_user), TEST(no_memory_for_a_reader),
           TEST(synchronizing_waits_for_nobody), TEST(synchronizing_waits_for_who_is_inside),
           TEST(synchronizing_waits_for_its_own_device), TEST(tags_are_of_one_device),
           TEST(what_was_retired_before_can_be_freed_after), TEST(waiting_for_oneself_ends_the_process),
           TEST(a_reader_that_comes_during_a_wait), TEST(readers_never_see_what_was_freed),
           TEST(nobody_looks_at_it_afterwards))
