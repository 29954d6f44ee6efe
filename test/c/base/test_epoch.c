/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/epoch.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "core/base/alloc.h"
#include "waiting.h"

/* The retirement lists of two devices. */
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
    struct rvt_retired retired; /* must be the first member */
    atomic_int released;        /* position in the order of releases; 0: not released yet */
    struct item *then;          /* item that the release of this one retires */
};

static atomic_int releases;

static void release_item(struct rvt_retired *retired) {
    struct item *item = (struct item *)retired;
    struct item *then = item->then;
    CHECK_EQ(atomic_load(&item->released), 0); /* an item is released only once */
    atomic_store(&item->released, atomic_fetch_add(&releases, 1) + 1);
    if (then)
        rvt_retire(&here, &then->retired, release_item);
}

/* An item whose release lasts until the test ends it. */
struct slow_item {
    struct rvt_retired retired; /* must be the first member */
    atomic_bool begun, may_end, ended;
};

static void release_slowly(struct rvt_retired *retired) {
    struct slow_item *item = (struct slow_item *)retired;
    atomic_store(&item->begun, true);
    while (!atomic_load(&item->may_end))
        rvt_yield();
    atomic_store(&item->ended, true);
}

#define RELEASED(item) (atomic_load(&(item).released) != 0)

/* --- retirement --- */

static void reclaim_frees_at_once_without_readers(void) {
    struct item item = {.then = NULL};
    open_devices();
    CHECK(!rvt_reclaim_pending(&here));
    rvt_retire(&here, &item.retired, release_item);
    CHECK(rvt_reclaim_pending(&here));
    CHECK(!rvt_reclaim_pending(&there));
    CHECK(!RELEASED(item)); /* rvt_retire frees nothing: its caller may hold a lock */
    rvt_reclaim(&there);
    CHECK(!RELEASED(item));
    rvt_reclaim(&here);
    CHECK(RELEASED(item));
    CHECK(!rvt_reclaim_pending(&here));
    rvt_reclaim(&here);
    close_devices();
}

static void leaving_the_last_section_frees_retired_items(void) {
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
    CHECK(!RELEASED(item)); /* reader b is still inside */
    rvt_reclaim(&here);
    CHECK(!RELEASED(item));
    rvt_read_leave(b, &here); /* leaving frees the item, without a call to rvt_reclaim */
    CHECK(RELEASED(item));
    rvt_reader_unregister(a);
    rvt_reader_unregister(b);
    close_devices();
}

static void does_not_wait_for_readers_that_entered_later(void) {
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
    /* A reader of every device holds up the items of each. */
    rvt_read_enter(reader, &rvt_every_device);
    rvt_retire(&here, &items[1].retired, release_item);
    rvt_reclaim(&here);
    CHECK(!RELEASED(items[1]));
    /* Leaving every device does not reclaim for any single device. */
    rvt_read_leave(reader, &rvt_every_device);
    CHECK(!RELEASED(items[1]));
    rvt_reclaim(&here);
    CHECK(RELEASED(items[1]));
    rvt_reader_unregister(reader);
    close_devices();
}

static void frees_in_order_up_to_the_first_item_a_reader_may_see(void) {
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
    for (int i = 1; i < ITEMS; i++) /* epochs ascend from the oldest item */
        CHECK(items[i].retired.epoch > items[i - 1].retired.epoch);
    CHECK_PTR_EQ(here.oldest, &items[0].retired);
    rvt_reclaim(&here);
    CHECK_PTR_EQ(here.oldest, &items[2].retired);
    CHECK_EQ(atomic_load(&here.waiting), 4);
    CHECK_EQ(atomic_load(&releases), 2);
    rvt_read_leave(b, &here); /* reader b is the younger one; a still holds up items 2 to 5 */
    CHECK_EQ(atomic_load(&releases), 2);
    rvt_read_enter(b, &here);
    rvt_read_leave(a, &here);
    CHECK_EQ(atomic_load(&here.waiting), 0); /* reader b entered again after all items were retired */
    rvt_read_leave(b, &here);
    for (int i = 0; i < ITEMS; i++)
        CHECK_EQ(atomic_load(&items[i].released), i + 1);
    /* An emptied list can be used again. */
    struct item more = {.then = NULL};
    rvt_retire(&here, &more.retired, release_item);
    rvt_reclaim(&here);
    CHECK(RELEASED(more));
    rvt_reader_unregister(a);
    rvt_reader_unregister(b);
    close_devices();
}

static void frees_items_older_than_an_epoch(void) {
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

static void items_on_a_passed_list_are_released_without_retirement(void) {
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

static void an_item_goes_to_the_list_or_is_retired_without_one(void) {
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

static void nested_sections_end_with_the_outer_one(void) {
    struct item item = {.then = NULL};
    open_devices();
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(reader != NULL);
    rvt_read_enter(reader, &here);
    rvt_read_enter(reader, &here);
    rvt_retire(&here, &item.retired, release_item);
    rvt_read_leave(reader, &here);
    rvt_reclaim(&here);
    CHECK(!RELEASED(item)); /* the outer section is still open */
    rvt_read_renew(reader, &here);
    CHECK(RELEASED(item));
    rvt_read_leave(reader, &here);
    rvt_reader_unregister(reader);
    close_devices();
}

static void renewing_a_nested_section_has_no_effect(void) {
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
        rvt_read_renew(reader, &here); /* no effect: the outer section may hold pointers */
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

static void renewing_starts_a_new_section(void) {
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

static void a_release_may_retire_another_item(void) {
    struct item third = {.then = NULL}, second = {.then = &third}, first = {.then = &second};
    open_devices();
    rvt_retire(&here, &first.retired, release_item);
    rvt_reclaim(&here);
    CHECK(RELEASED(first) && !RELEASED(second)); /* retired after rvt_reclaim scanned the readers */
    rvt_settle(&here);
    CHECK(RELEASED(second) && !RELEASED(third));
    rvt_settle(&here);
    CHECK(RELEASED(third));
    close_devices();
}

/* --- the list of readers --- */

static void reader_records_are_reused_and_freed_with_the_last_user(void) {
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
        /* Unregister in another order than they were registered. */
        for (int i = 0; i < READERS; i++)
            rvt_reader_unregister(readers[(i * 7) % READERS]);
        rvt_reader_unregister(NULL);
        /* Records stay allocated: a device may be walking the list. */
        CHECK_EQ(rvt_test_alloc_live(), live + READERS);
        /* Registering again reuses records and allocates nothing. */
        rvt_test_alloc_fail_after(0);
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
        if (round) { /* The last user of the list is a device in round 1, a reader in round 0. */
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

static void registering_a_reader_fails_without_memory(void) {
    long live = rvt_test_alloc_live();
    rvt_test_alloc_fail_after(0);
    CHECK(rvt_reader_register() == NULL);
    rvt_test_alloc_fail_after(-1);
    CHECK_EQ(rvt_test_alloc_live(), live);
    open_devices(); /* the failed registration left no user count behind */
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

static void synchronizing_returns_at_once_without_readers(void) {
    struct item item = {.then = NULL};
    open_devices();
    struct rvt_reader *outside = rvt_reader_register();
    REQUIRE(outside != NULL);
    rvt_read_enter(outside, &here);
    rvt_read_leave(outside, &here);
    const uint64_t first = rvt_synchronize(&here); /* returns at once, because no reader is inside */
    rvt_retire(&here, &item.retired, release_item);
    CHECK(rvt_synchronize(&here) > item.retired.epoch);
    CHECK(item.retired.epoch > first);
    CHECK(!RELEASED(item)); /* rvt_synchronize frees nothing itself */
    rvt_settle(&here);
    CHECK(RELEASED(item));
    rvt_reader_unregister(outside);
    rvt_synchronize(&here);
    close_devices();
}

static void synchronizing_waits_for_readers_inside(void) {
    struct waiting w;
    open_devices();
    struct rvt_reader *a = rvt_reader_register(), *b = rvt_reader_register(), *c = rvt_reader_register();
    REQUIRE(a && b && c);
    rvt_read_enter(a, &here);
    rvt_read_enter(b, &here);
    CHECK(begin_waiting(&w, synchronize, &here));
    rvt_read_enter(c, &here); /* reader c entered after the wait began, so the wait ignores it */
    rvt_read_leave(a, &here);
    CHECK(still_waiting(&w));
    rvt_read_renew(b, &here); /* reader b leaves and enters again, which ends its old section */
    CHECK_EQ(end_waiting(&w), 0);
    rvt_read_leave(b, &here);
    rvt_read_leave(c, &here);
    rvt_reader_unregister(a);
    rvt_reader_unregister(b);
    rvt_reader_unregister(c);
    close_devices();
}

static void synchronizing_waits_for_readers_of_its_own_device(void) {
    struct waiting w;
    open_devices();
    /* Tags wrap around, so this tag equals that of `here` and waiters treat both as one device. */
    struct rvt_retirement third;
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

/* No device number maps to the tag of every device, nor to a slot value of 0. */
static void device_tags_are_never_zero_or_the_tag_of_every_device(void) {
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

static void items_retired_before_a_wait_can_be_freed_after_it(void) {
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
    /* Clear the slot by hand, because rvt_read_leave would free the item. */
    reader->depth = 0;
    atomic_store_explicit(&reader->slot, 0, memory_order_release);
    CHECK_EQ(end_waiting(&w), 0);
    rvt_read_enter(reader, &here); /* the reader enters again with a later epoch */
    rvt_reclaim(&here);
    CHECK(RELEASED(item));
    rvt_read_leave(reader, &here);
    rvt_reader_unregister(reader);
    close_devices();
}

/* Runs `call` in a child process. Returns the signal that killed it or its exit status; 0 if it succeeded. */
static int end_of(void (*call)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        alarm(20); /* ends a child that waits for itself */
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

static void wait_with_a_reused_reader(void) {
    struct rvt_reader *first = rvt_reader_register();
    rvt_reader_unregister(first);
    /* The same struct rvt_reader, again owned by this thread. */
    struct rvt_reader *second = rvt_reader_register();
    rvt_read_enter(second, own_section);
    rvt_synchronize(&here);
}

/* A thread that waits for its own section would wait forever, so the process aborts. */
static void waiting_for_its_own_section_aborts_the_process(void) {
    open_devices();
    struct {
        struct rvt_retirement *section;
        void (*call)(void);
        int end;
    } rows[] = {{&here, wait_while_inside, SIGABRT},
                {&rvt_every_device, wait_while_inside, SIGABRT},
                {&there, wait_while_inside, 0},
                {&here, wait_after_leaving, 0},
                {&here, wait_with_a_reused_reader, SIGABRT}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        own_section = rows[i].section;
        CHECK_EQ(end_of(rows[i].call), rows[i].end);
    }
    close_devices();
}

/* --- a reader registered while others wait --- */

struct newcomer {
    pthread_t thread;
    struct rvt_retirement *of;
    atomic_int step, told; /* the current step, and the step up to which it may run */
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

static void a_wait_ignores_readers_that_register_later(void) {
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
    CHECK_EQ(end_waiting(&first), 0); /* this wait began before the new reader entered */
    CHECK(still_waiting(&second));    /* this wait began after the new reader entered */
    go_to(&n, 2);
    CHECK_EQ(end_waiting(&second), 0);
    REQUIRE(pthread_join(n.thread, NULL) == 0);
    rvt_reader_unregister(old);
    close_devices();
}

/* --- threads that read a pointer while others replace and retire its target --- */

enum { READERS = 3 };

struct box {
    struct rvt_retired retired;
    uint64_t a, b; /* equal while the box lives; deliberately not atomic */
};

static _Atomic(struct box *) shared;
static atomic_bool stop;
static atomic_ulong boxes_freed;

static void free_box(struct rvt_retired *retired) {
    struct box *box = (struct box *)retired;
    box->a = 1; /* ThreadSanitizer reports a race with any reader that still looks at the box */
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
        if (i % 256 == 0) { /* readers register and unregister all the time */
            rvt_reader_unregister(reader);
            reader = rvt_reader_register();
        }
    }
    rvt_reader_unregister(reader);
    return NULL;
}

static void *reclaim_here(void *unused) {
    rvt_reclaim(&here);
    return unused;
}

static int settle_here(void *item) {
    rvt_settle(&here);
    return atomic_load(&((struct slow_item *)item)->ended);
}

/* A verb's answer may depend on what a release gives back. */
static void settling_waits_for_releases_that_another_thread_has_begun(void) {
    struct slow_item slow = {.begun = false};
    struct item later = {.then = NULL};
    struct waiting w;
    pthread_t other;
    open_devices();
    rvt_retire(&here, &slow.retired, release_slowly);
    REQUIRE(pthread_create(&other, NULL, reclaim_here, NULL) == 0);
    while (!atomic_load(&slow.begun))
        rvt_yield();
    CHECK(begin_waiting(&w, settle_here, &slow));
    CHECK(still_waiting(&w));
    /* What another thread releases does not keep others from freeing what was retired since. */
    rvt_retire(&here, &later.retired, release_item);
    rvt_reclaim(&here);
    CHECK(RELEASED(later));
    rvt_settle(&there);
    atomic_store(&slow.may_end, true);
    CHECK_EQ(end_waiting(&w), true);
    REQUIRE(pthread_join(other, NULL) == 0);
    close_devices();
}

/* Otherwise one thread that retires all the time could keep a verb from returning. */
static void settling_does_not_wait_for_what_is_retired_later(void) {
    struct slow_item slow = {.begun = false};
    pthread_t other;
    open_devices();
    const uint64_t epoch = rvt_synchronize(&here);
    rvt_retire(&here, &slow.retired, release_slowly);
    REQUIRE(pthread_create(&other, NULL, reclaim_here, NULL) == 0);
    while (!atomic_load(&slow.begun))
        rvt_yield();
    rvt_finish_retired(&here, epoch);
    CHECK(!atomic_load(&slow.ended));
    atomic_store(&slow.may_end, true);
    REQUIRE(pthread_join(other, NULL) == 0);
    close_devices();
}

/* Boxes are freed in all three ways: by rvt_reclaim, by rvt_settle, and by readers that leave. */
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

static void readers_never_see_freed_memory(void) {
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

/* An owner that frees its memory directly instead of retiring it: it makes the memory unreachable,
 * synchronizes, and frees. Each owner has its own device. */
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

static void no_reader_sees_memory_after_synchronize(void) {
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

CHECK_MAIN(
    TEST(reclaim_frees_at_once_without_readers), TEST(leaving_the_last_section_frees_retired_items),
    TEST(does_not_wait_for_readers_that_entered_later), TEST(does_not_wait_for_readers_of_another_device),
    TEST(frees_in_order_up_to_the_first_item_a_reader_may_see), TEST(frees_items_older_than_an_epoch),
    TEST(items_on_a_passed_list_are_released_without_retirement),
    TEST(an_item_goes_to_the_list_or_is_retired_without_one), TEST(nested_sections_end_with_the_outer_one),
    TEST(renewing_a_nested_section_has_no_effect), TEST(renewing_starts_a_new_section),
    TEST(a_release_may_retire_another_item), TEST(reader_records_are_reused_and_freed_with_the_last_user),
    TEST(registering_a_reader_fails_without_memory), TEST(synchronizing_returns_at_once_without_readers),
    TEST(synchronizing_waits_for_readers_inside), TEST(synchronizing_waits_for_readers_of_its_own_device),
    TEST(device_tags_are_never_zero_or_the_tag_of_every_device),
    TEST(items_retired_before_a_wait_can_be_freed_after_it),
    TEST(waiting_for_its_own_section_aborts_the_process), TEST(a_wait_ignores_readers_that_register_later),
    TEST(settling_waits_for_releases_that_another_thread_has_begun),
    TEST(settling_does_not_wait_for_what_is_retired_later), TEST(readers_never_see_freed_memory),
    TEST(no_reader_sees_memory_after_synchronize))
