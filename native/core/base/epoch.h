/* SPDX-License-Identifier: BSD-3-Clause */
/* Readers and retirement: how a lookup that takes no lock can follow pointers that a writer is about to free.
 *
 * Every environment (thread that checks or copies) owns one reader. A call that looks into shared structures
 * enters it before the first look and leaves it after the last one. Whoever takes a structure out of reach of
 * new readers retires it; it is freed only when every reader that was inside at that moment has left.
 *
 * The argument for safety uses one location, the reader's slot, and read-modify-write on both sides: the
 * reader enters by an exchange, the reclaimer looks by a fetch_add of 0. Of the two one comes first in the
 * slot's modification order. If the entry is first, the reclaimer sees it and waits with the freeing. If the
 * look is first, the entry reads from it (or from a later one), so everything the reclaimer's thread did
 * before - unlinking above all - happens before the reader's first look, which therefore cannot find the
 * retired structure. No stand-alone fence is needed, and ThreadSanitizer can follow the argument. */
#ifndef RVT_EPOCH_H
#define RVT_EPOCH_H

#include "core/base/rvt_atomic.h"
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/platform.h"

struct rvt_reader {
    /* 0 outside; inside, the epoch at entry. Written by the owner, read (fetch_add 0) by reclaimers. A line
     * of its own: the owner writes it twice a call and no other environment shall pay for that. */
    alignas(RVT_CACHE_LINE) _Atomic(uint64_t) slot;
    unsigned depth;                                  /* owner only: entering twice is entering once */
    alignas(RVT_CACHE_LINE) struct rvt_reader *next; /* under the registry's lock */
};

/* A structure on its way out. Embedded in what is retired; `release` frees it (and may take any lock: it is
 * called with none held). */
struct rvt_retired {
    struct rvt_retired *next;
    uint64_t epoch;
    void (*release)(struct rvt_retired *self);
};

/* The current epoch; advanced by every retirement. Only epoch.c writes it. */
extern _Atomic(uint64_t) rvt_epoch_now;

/* A reader for the calling environment, or NULL (no memory). Registration counts the users of
 * the process state. */
struct rvt_reader *rvt_reader_register(void);

/* Give a reader back; it must be outside. When the last one goes, everything retired is freed. */
void rvt_reader_unregister(struct rvt_reader *reader);

static inline void rvt_read_enter(struct rvt_reader *reader) {
    if (reader->depth++ == 0) {
        /* acquire: a reader that carries number E+1 is not waited for by what was retired as E, so having
         * read E+1 must mean to see that unlinking too (rvt_retire adds with release). A number that is too
         * old only delays freeing. The exchange is the one locked instruction of a check. */
        uint64_t now = atomic_load_explicit(&rvt_epoch_now, memory_order_acquire);
        (void)atomic_exchange_explicit(&reader->slot, now, memory_order_acq_rel);
    }
}

static inline void rvt_read_leave(struct rvt_reader *reader) {
    if (--reader->depth == 0) {
        /* release: every look of this section happens before the reclaimer that reads this
         * 0 frees anything. */
        atomic_store_explicit(&reader->slot, 0, memory_order_release);
    }
}

/* Let waiting reclaimers pass in the middle of a long section (a copy, between two pieces of a MiB).
 * Everything that was looked up before must be looked up again. */
static inline void rvt_read_renew(struct rvt_reader *reader) {
    if (reader->depth == 1) {
        rvt_read_leave(reader);
        rvt_read_enter(reader);
    }
}

/* Hand `item` over to be freed by `release` once every reader that may see it has left. The structure
 * must already be out of reach of new readers. Never blocks, never allocates; may be called with a
 * device's lock held. */
void rvt_retire(struct rvt_retired *item, void (*release)(struct rvt_retired *self));

/* Free what can be freed now. Called by writers after they have dropped their locks; cheap
 * when nothing waits. */
void rvt_reclaim(void);

/* Wait until every reader that is inside now has left: what was out of reach before the call is looked
 * at by nobody after it. The calling thread's own reader must be outside. Readers never wait for
 * anybody, so this ends. */
void rvt_synchronize(void);

/* True while something retired still waits. */
bool rvt_reclaim_pending(void);

#endif
