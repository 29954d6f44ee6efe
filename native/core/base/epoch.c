/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/epoch.h"

#include "core/base/alloc.h"

_Atomic(uint64_t) rvt_epoch_now = 1;

/* Protects `readers` and `waiting`. Statically initialised and never destroyed: the addon may be unloaded
 * with the last environment, and static destructors would then run at a moment nobody controls. */
static struct rvt_mutex registry = RVT_MUTEX_INITIALIZER;
static struct rvt_reader *readers;
static struct rvt_retired *waiting;
static _Atomic(unsigned) pending;

struct rvt_reader *rvt_reader_register(void) {
    struct rvt_reader *reader = rvt_zalloc_aligned(1, sizeof(*reader));
    if (!reader)
        return NULL;
    rvt_mutex_lock(&registry);
    reader->next = readers;
    readers = reader;
    rvt_mutex_unlock(&registry);
    return reader;
}

void rvt_reader_unregister(struct rvt_reader *reader) {
    if (!reader)
        return;
    rvt_mutex_lock(&registry);
    struct rvt_reader **link = &readers;
    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    rvt_mutex_unlock(&registry);
    rvt_free_aligned(reader);
    rvt_reclaim();
}

void rvt_retire(struct rvt_retired *item, void (*release)(struct rvt_retired *self)) {
    item->release = release;
    rvt_mutex_lock(&registry);
    /* A reader that reads the new number sees the unlinking that came before this addition (release, and
     * additions by others continue the release sequence); one that carries this number or a smaller one may
     * still see the item. */
    item->epoch = atomic_fetch_add_explicit(&rvt_epoch_now, 1, memory_order_acq_rel);
    item->next = waiting;
    waiting = item;
    atomic_fetch_add_explicit(&pending, 1, memory_order_relaxed);
    rvt_mutex_unlock(&registry);
}

bool rvt_reclaim_pending(void) {
    return atomic_load_explicit(&pending, memory_order_relaxed) != 0;
}

/* The oldest epoch in which a reader is inside now, or UINT64_MAX. Under the registry's lock. */
static uint64_t oldest_inside(void) {
    uint64_t oldest = UINT64_MAX;
    for (struct rvt_reader *reader = readers; reader; reader = reader->next) {
        uint64_t epoch = atomic_fetch_add_explicit(&reader->slot, 0, memory_order_acq_rel);
        if (epoch && epoch < oldest)
            oldest = epoch;
    }
    return oldest;
}

void rvt_synchronize(void) {
    uint64_t now = atomic_fetch_add_explicit(&rvt_epoch_now, 1, memory_order_acq_rel);
    for (;;) {
        rvt_mutex_lock(&registry);
        uint64_t oldest = oldest_inside();
        rvt_mutex_unlock(&registry);
        /* A reader of a later epoch saw the addition, and with it all that came before. */
        if (oldest > now)
            return;
        rvt_yield();
    }
}

void rvt_reclaim(void) {
    /* A release may retire more (the region of a list, the memory of a region): go on until a
     * round frees nothing. */
    while (rvt_reclaim_pending()) {
        struct rvt_retired *ready = NULL;
        rvt_mutex_lock(&registry);
        uint64_t oldest = oldest_inside();
        for (struct rvt_retired **link = &waiting; *link;) {
            struct rvt_retired *item = *link;
            if (item->epoch < oldest) {
                *link = item->next;
                item->next = ready;
                ready = item;
                atomic_fetch_sub_explicit(&pending, 1, memory_order_relaxed);
            } else {
                link = &item->next;
            }
        }
        rvt_mutex_unlock(&registry);
        if (!ready)
            return;
        while (ready) {
            struct rvt_retired *item = ready;
            ready = item->next; /* before release: it frees the link with the item */
            item->release(item);
        }
    }
}
