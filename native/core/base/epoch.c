/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/epoch.h"

#include <stdlib.h>

#include "core/base/alloc.h"

_Atomic(uint64_t) rvt_epoch_now = 1;

struct rvt_retirement rvt_every_device = {
    .tag = RVT_EVERY_DEVICE_TAG, .lock = RVT_MUTEX_INITIALIZER, .newest = &rvt_every_device.oldest};

/* The list of readers. It only grows, so that waiters can traverse it without a lock: a reader that is
 * unregistered stays in it for reuse. The whole list is freed when it has no users; owned readers and devices
 * count as users. The mutex is statically initialized and never destroyed: the add-on may be unloaded with
 * the last environment, and static destructors would run at an uncontrolled moment. */
static struct rvt_mutex registry = RVT_MUTEX_INITIALIZER;
static _Atomic(struct rvt_reader *) readers; /* written with `registry` locked */
static uint64_t users;                       /* protected by `registry` */

static void add_user(void) {
    rvt_mutex_lock(&registry);
    users++;
    rvt_mutex_unlock(&registry);
}

static void remove_user(struct rvt_reader *reader) {
    struct rvt_reader *unused = NULL;
    rvt_mutex_lock(&registry);
    if (reader)
        atomic_store_explicit(&reader->thread, 0, memory_order_relaxed);
    if (!--users) {
        unused = atomic_load_explicit(&readers, memory_order_relaxed);
        atomic_store_explicit(&readers, NULL, memory_order_relaxed);
    }
    rvt_mutex_unlock(&registry);
    while (unused) {
        struct rvt_reader *next = unused->next;
        rvt_free_aligned(unused);
        unused = next;
    }
}

struct rvt_reader *rvt_reader_register(void) {
    rvt_mutex_lock(&registry);
    struct rvt_reader *first = atomic_load_explicit(&readers, memory_order_relaxed);
    struct rvt_reader *reader = first;
    while (reader && atomic_load_explicit(&reader->thread, memory_order_relaxed))
        reader = reader->next;
    bool listed = reader != NULL;
    if (!listed)
        reader = rvt_zalloc_aligned(1, sizeof(*reader));
    if (reader) {
        users++;
        atomic_store_explicit(&reader->thread, rvt_thread_self(), memory_order_relaxed);
        if (!listed) {
            reader->next = first;
            atomic_store_explicit(&readers, reader, memory_order_release);
            /* A waiter increments the epoch and then reads the list. Here the list is written first, and then
             * 0 is added to the epoch. If the waiter's increment comes later, it finds this reader in the
             * list. If it comes earlier, this thread sees everything that the waiter unlinked, so it does not
             * matter whether the waiter finds this reader. */
            atomic_fetch_add_explicit(&rvt_epoch_now, 0, memory_order_acq_rel);
        }
    }
    rvt_mutex_unlock(&registry);
    return reader;
}

void rvt_reader_disown(struct rvt_reader *reader) {
    /* An address inside the reader is not the number of any thread. */
    atomic_store_explicit(&reader->thread, (uintptr_t)&reader->thread, memory_order_relaxed);
}

void rvt_reader_unregister(struct rvt_reader *reader) {
    if (reader)
        remove_user(reader);
}

void rvt_retirement_init(struct rvt_retirement *of, uint64_t device_number) {
    /* 0xffff is reserved: RVT_EVERY_DEVICE_TAG. */
    of->tag = device_number % 0xffff << RVT_EPOCH_BITS;
    of->oldest = NULL;
    of->newest = &of->oldest;
    atomic_init(&of->waiting, 0);
    atomic_init(&of->releases, 0);
    of->batches = NULL;
    rvt_mutex_init(&of->lock);
    add_user();
}

void rvt_retirement_destroy(struct rvt_retirement *of) {
    assert(!of->oldest && !of->batches);
    rvt_mutex_destroy(&of->lock);
    remove_user(NULL);
}

void rvt_retire(struct rvt_retirement *of, struct rvt_retired *item,
                void (*release)(struct rvt_retired *self)) {
    item->release = release;
    item->next = NULL;
    rvt_mutex_lock(&of->lock);
    /* A reader that enters with a larger epoch has read the result of this increment or a later one, and so
     * sees the unlinking (release; later increments continue the release sequence). A reader with this epoch
     * or a smaller one may still see the item. The increment is made under the lock, so the list is ordered
     * by epoch. */
    item->epoch = atomic_fetch_add_explicit(&rvt_epoch_now, 1, memory_order_acq_rel);
    *of->newest = item;
    of->newest = &item->next;
    atomic_fetch_add_explicit(&of->waiting, 1, memory_order_relaxed);
    rvt_mutex_unlock(&of->lock);
}

/* Returns whether a slot belongs to a reader that is inside this device (or all devices) and entered at
 * `epoch` or earlier. */
static bool is_inside(uint64_t slot, uint64_t tag, uint64_t epoch) {
    const uint64_t tags = ~UINT64_C(0) << RVT_EPOCH_BITS;
    return slot && ((slot & tags) == tag || (slot & tags) == RVT_EVERY_DEVICE_TAG) && (slot & ~tags) <= epoch;
}

static uint64_t probe_slot(struct rvt_reader *reader) {
    return atomic_fetch_add_explicit(&reader->slot, 0, memory_order_acq_rel);
}

static struct rvt_reader *first_reader(void) {
    return atomic_load_explicit(&readers, memory_order_acquire);
}

/* Waits before a loop looks again at what another thread changes. The intervals grow: the other thread needs
 * its cache line, and perhaps this processor. */
static void wait_before_look(unsigned look) {
    enum { PAUSES = 128, YIELDS = 1024 };
    if (look < PAUSES)
        rvt_pause();
    else if (look < PAUSES + YIELDS)
        rvt_yield();
    else
        rvt_sleep_briefly();
}

/* Waits until the reader has left. Only loads the slot. */
static void wait_for_reader(struct rvt_reader *reader, uint64_t tag, uint64_t epoch) {
    for (unsigned look = 0; is_inside(atomic_load_explicit(&reader->slot, memory_order_acquire), tag, epoch);
         look++)
        wait_before_look(look);
}

uint64_t rvt_synchronize(struct rvt_retirement *of) {
    uint64_t now = atomic_fetch_add_explicit(&rvt_epoch_now, 1, memory_order_acq_rel);
    for (struct rvt_reader *reader = first_reader(); reader; reader = reader->next) {
        while (is_inside(probe_slot(reader), of->tag, now)) {
            /* The calling thread would wait for itself forever. */
            if (atomic_load_explicit(&reader->thread, memory_order_relaxed) == rvt_thread_self())
                abort();
            wait_for_reader(reader, of->tag, now);
        }
    }
    return now;
}

void rvt_release_passed(struct rvt_retired *list) {
    while (list) {
        struct rvt_retired *item = list;
        list = item->next; /* read before release(), which frees the item */
        item->release(item);
    }
}

/* The caller must hold the lock. */
static void remove_batch(struct rvt_retirement *of, struct rvt_release_batch *batch) {
    struct rvt_release_batch **link = &of->batches;
    while (*link != batch)
        link = &(*link)->next;
    *link = batch->next;
}

void rvt_free_retired(struct rvt_retirement *of, uint64_t epoch) {
    /* acquire: a thread that reads 0 because another one has taken the structures also sees that batch. */
    if (!atomic_load_explicit(&of->waiting, memory_order_acquire))
        return;
    struct rvt_retired *ready = NULL, **last = &ready;
    rvt_mutex_lock(&of->lock);
    if (!of->oldest || of->oldest->epoch >= epoch) {
        rvt_mutex_unlock(&of->lock);
        return;
    }
    struct rvt_release_batch batch = {of->batches, of->oldest->epoch, rvt_thread_self()};
    of->batches = &batch;
    atomic_fetch_add_explicit(&of->releases, 1, memory_order_relaxed);
    while (of->oldest && of->oldest->epoch < epoch) {
        *last = of->oldest;
        last = &of->oldest->next;
        of->oldest = of->oldest->next;
        atomic_fetch_sub_explicit(&of->waiting, 1, memory_order_release);
    }
    *last = NULL;
    if (!of->oldest)
        of->newest = &of->oldest;
    rvt_mutex_unlock(&of->lock);
    rvt_release_passed(ready);
    rvt_mutex_lock(&of->lock);
    remove_batch(of, &batch);
    rvt_mutex_unlock(&of->lock);
    /* release: a thread that reads the new number sees what the releases did. Decremented after the unlock:
     * that thread may then destroy this lock. */
    atomic_fetch_sub_explicit(&of->releases, 1, memory_order_release);
}

static bool others_release(struct rvt_retirement *of, uint64_t epoch) {
    if (!atomic_load_explicit(&of->releases, memory_order_acquire))
        return false;
    rvt_mutex_lock(&of->lock);
    struct rvt_release_batch *batch = of->batches;
    while (batch && (batch->oldest >= epoch || batch->thread == rvt_thread_self()))
        batch = batch->next;
    rvt_mutex_unlock(&of->lock);
    return batch != NULL;
}

void rvt_finish_retired(struct rvt_retirement *of, uint64_t epoch) {
    rvt_free_retired(of, epoch);
    /* A batch that another thread takes from now on has only structures retired at `epoch` or later. */
    for (unsigned look = 0; others_release(of, epoch); look++)
        wait_before_look(look);
}

void rvt_reclaim(struct rvt_retirement *of) {
    if (!rvt_reclaim_pending(of))
        return;
    /* Read the epoch before probing the slots. A structure retired after a slot was probed may be seen by a
     * reader that enters after the probe; its epoch is not below this number, so it is not freed. */
    uint64_t oldest = atomic_load_explicit(&rvt_epoch_now, memory_order_acquire);
    for (struct rvt_reader *reader = first_reader(); reader; reader = reader->next) {
        uint64_t slot = probe_slot(reader);
        if (is_inside(slot, of->tag, oldest)) {
            uint64_t epoch = slot & ~(~UINT64_C(0) << RVT_EPOCH_BITS);
            if (epoch < oldest)
                oldest = epoch;
        }
    }
    rvt_free_retired(of, oldest);
}
