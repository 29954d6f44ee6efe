/* SPDX-License-Identifier: BSD-3-Clause */
/* Readers, waits and retirement: the epoch-based scheme that lets a lookup follow pointers without a lock
 * while a writer frees them, and that lets a verb know when it returns that no other thread is still moving
 * bytes.
 *
 * Every environment (a thread that checks or copies) owns one reader. A call that looks into a device's
 * shared structures enters the reader before its first access and leaves it after its last one; the span
 * between is called a section. A section does bounded work: after at most RVT_SECTION_BYTES bytes or
 * RVT_SECTION_ELEMENTS elements it leaves and re-enters (rvt_read_renew), and then judges again whatever it
 * continues with.
 *
 * A writer first unlinks a structure, so that new readers cannot find it. Then it either waits until every
 * reader that was inside the device has left (rvt_synchronize; all verbs do this), or retires the structure,
 * to be freed once they have left (finalizers of the garbage collector do this, because they must not wait).
 *
 * Why this is safe: reader and waiter meet in one location, the reader's slot. The reader enters with an
 * exchange on the slot; the waiter probes it with a fetch_add of 0. One of the two comes first in the slot's
 * modification order:
 * - If the entry comes first, the waiter sees that the reader is inside, and waits.
 * - If the probe comes first, the entry reads the value written by that probe or a later one. Everything
 *   that the waiter's thread did before, in particular the unlinking, then happens before the reader's first
 *   access, so the reader cannot find the unlinked structure.
 *
 * While it waits, the waiter only loads the slot, because repeated fetch_adds would take the cache line away
 * from the reader. But the reader leaves with a plain store, and a load of that value orders nothing for the
 * reader's next section. So before the waiter continues, it probes once more with a fetch_add.
 *
 * A reader that left and re-entered is recognized by its epoch. The waiter increments the epoch after the
 * unlinking. A reader whose slot holds a larger epoch has read the result of that increment, and so sees the
 * unlinking.
 *
 * There is no stand-alone fence, so ThreadSanitizer can follow the whole scheme. test/spin has a model of
 * it. */
#ifndef RVT_EPOCH_H
#define RVT_EPOCH_H

#include "core/base/rvt_atomic.h"
#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/platform.h"

/* The most work that one section may do. Bounds how long a verb such as dereg in another thread waits for
 * it. */
enum { RVT_SECTION_BYTES = 64 << 10, RVT_SECTION_ELEMENTS = 4096 };

/* A slot holds the epoch at entry in its low bits, and the tag of the device that the reader is in above
 * them. */
enum { RVT_EPOCH_BITS = 48 };
#define RVT_EVERY_DEVICE_TAG (UINT64_C(0xffff) << RVT_EPOCH_BITS)

struct rvt_reader {
    /* 0 while outside any section. Written by the owner, probed by waiters. On its own cache line, because
     * the owner writes it twice per call and that must not slow down other environments. */
    alignas(RVT_CACHE_LINE) _Atomic(uint64_t) slot;
    uint64_t tag;   /* owner only: device tag of the current or last section */
    unsigned depth; /* owner only: nesting depth; nested sections count as one */
    /* Constant while the reader is in the list: */
    alignas(RVT_CACHE_LINE) struct rvt_reader *next;
    _Atomic(uintptr_t) thread; /* owning thread; 0: none, the reader can be reused */
};

/* The link embedded in a structure that can be retired. `release` frees the structure and may take any lock:
 * it is called with no lock held. */
struct rvt_retired {
    struct rvt_retired *next;
    uint64_t epoch;
    void (*release)(struct rvt_retired *self);
};

/* Retired structures that one thread has taken from the list and is releasing. On that thread's stack. */
struct rvt_release_batch {
    struct rvt_release_batch *next;
    uint64_t oldest;  /* the smallest epoch among them */
    uintptr_t thread; /* the thread's number */
};

/* A device's retired structures, oldest first. This lock nests inside the device lock; no lock nests inside
 * it. */
struct rvt_retirement {
    /* Constant: the device's tag in reader slots. Two devices may share a tag; then each also waits for the
     * other's readers. */
    uint64_t tag;
    struct rvt_mutex lock;
    struct rvt_retired *oldest, **newest;
    _Atomic(uint32_t) waiting;  /* number of retired structures in the list */
    _Atomic(uint32_t) releases; /* number of batches */
    struct rvt_release_batch *batches;
};

/* The epoch of the process; incremented by every retirement and every wait. Only epoch.c changes its
 * value. */
extern _Atomic(uint64_t) rvt_epoch_now;

/* Used for sections that access several devices: waiters of every device wait for these readers. Nothing is
 * ever retired here. */
extern struct rvt_retirement rvt_every_device;

/* Returns a reader for the calling thread, or NULL if out of memory. */
struct rvt_reader *rvt_reader_register(void);

/* Releases a reader for reuse by another thread. Any thread may call this; the reader must be outside any
 * section. */
void rvt_reader_unregister(struct rvt_reader *reader);

/* Separates a reader from the thread that registered it, for a reader that several threads use in turn under a
 * lock. Such a thread may then wait for this reader while another thread is inside. */
void rvt_reader_disown(struct rvt_reader *reader);

/* Initialize and destroy a device's retirement. Between the two calls, the list of readers can be traversed
 * without a lock: the list is freed only when there are no more readers and no more devices. At destruction
 * no reader may be inside the device or able to enter it, and nothing may be retired. */
void rvt_retirement_init(struct rvt_retirement *of, uint64_t device_number);
void rvt_retirement_destroy(struct rvt_retirement *of);

/* Retires `item`: `release` frees it once every reader that may see it has left its section. The structure
 * must already be unlinked. Never waits and never allocates; may be called with a device lock held. */
void rvt_retire(struct rvt_retirement *of, struct rvt_retired *item,
                void (*release)(struct rvt_retired *self));

/* Adds a structure to the caller's list instead of retiring it. It must have been unlinked before a wait
 * (rvt_synchronize) that has finished or that the caller is about to make; after that wait no reader has a
 * pointer to it. After the wait, the caller drops its locks and frees the list with rvt_release_passed(). */
static inline void rvt_add_passed(struct rvt_retired **list, struct rvt_retired *item,
                                  void (*release)(struct rvt_retired *self)) {
    item->release = release;
    item->next = *list;
    *list = item;
}
void rvt_release_passed(struct rvt_retired *list);

/* Adds the structure to the list, or retires it if `list` is NULL. */
static inline void rvt_add_or_retire(struct rvt_retirement *of, struct rvt_retired **list,
                                     struct rvt_retired *item, void (*release)(struct rvt_retired *self)) {
    if (list)
        rvt_add_passed(list, item, release);
    else
        rvt_retire(of, item, release);
}

/* Returns whether any retired structure has not been freed yet. */
static inline bool rvt_reclaim_pending(struct rvt_retirement *of) {
    return atomic_load_explicit(&of->waiting, memory_order_relaxed) != 0;
}

/* Frees all retired structures that no reader can see any more, without waiting. Must be called with no lock
 * held. */
void rvt_reclaim(struct rvt_retirement *of);

/* Waits until every reader that is inside this device now has left: no thread accesses any more what was
 * unlinked before the call. Must be called with no lock held. The calling thread's own reader must be outside
 * any section; otherwise it would wait for itself, and the process aborts. Takes no lock. The wait is
 * bounded, because readers never wait and do bounded work per section: it lasts for one step of another
 * thread, or for that thread's time slice if it is preempted. Returns the epoch of the wait; everything
 * retired before it can be freed with rvt_free_retired() or rvt_finish_retired(). */
uint64_t rvt_synchronize(struct rvt_retirement *of);

/* Frees the structures retired before `epoch`, except those that another thread is freeing now. Must be called
 * with no lock held; the device must outlive the call. */
void rvt_free_retired(struct rvt_retirement *of, uint64_t epoch);

/* As rvt_free_retired, and waits for the other threads: once it returns, every structure retired before `epoch`
 * has been released. The wait is bounded: later structures are not waited for, nor, in a `release`, what its
 * own thread is releasing. */
void rvt_finish_retired(struct rvt_retirement *of, uint64_t epoch);

/* Waits, then frees retired structures. Every verb that revokes or unlinks something ends with this, after it
 * has dropped its locks. */
static inline void rvt_settle(struct rvt_retirement *of) {
    rvt_finish_retired(of, rvt_synchronize(of));
}

static inline void rvt_read_enter(struct rvt_reader *reader, struct rvt_retirement *of) {
    if (reader->depth++ == 0) {
        /* acquire: a waiter whose increment returned epoch E does not wait for a reader whose epoch is above
         * E. So a reader that has read such an epoch must see what that waiter unlinked. Reading an older
         * epoch only makes others wait longer. The exchange below is the only locked instruction of a
         * section. */
        uint64_t now =
            reader->tag == of->tag
                ? atomic_load_explicit(&rvt_epoch_now, memory_order_acquire)
                /* This reader's last section was on another device. A waiter of this device that probed the
                 * slot during that section did not wait. The plain store that ended the section broke the
                 * chain by which the waiter's probe would have ordered this entry after it. So this code adds
                 * 0 to the epoch. If the addition comes after the waiter's increment, this thread sees what
                 * the waiter unlinked. If it comes before, then the waiter probed the slot after that plain
                 * store, so the probe and this entry are ordered by the slot alone. */
                : atomic_fetch_add_explicit(&rvt_epoch_now, 0, memory_order_acq_rel);
        reader->tag = of->tag;
        (void)atomic_exchange_explicit(&reader->slot, of->tag | now, memory_order_acq_rel);
    }
    /* A nested section must be on the same device as the outer one, unless the outer one is on all
     * devices. */
    assert(reader->tag == of->tag || reader->tag == RVT_EVERY_DEVICE_TAG);
}

/* release: every access in this section happens before a waiter that reads this 0 continues. */
static inline void rvt_read_leave(struct rvt_reader *reader, struct rvt_retirement *of) {
    if (--reader->depth == 0) {
        atomic_store_explicit(&reader->slot, 0, memory_order_release);
        /* Structures retired meanwhile may have waited for this section alone, and perhaps no verb follows
         * that would free them. */
        if (rvt_reclaim_pending(of))
            rvt_reclaim(of);
    }
}

/* Leaves and re-enters the section in the middle of long work, so that waiting threads can proceed.
 * Everything looked up before must be looked up again. Does nothing in a nested section, because the outer
 * section still uses its pointers. */
static inline void rvt_read_renew(struct rvt_reader *reader, struct rvt_retirement *of) {
    if (reader->depth == 1) {
        rvt_read_leave(reader, of);
        rvt_read_enter(reader, of);
    }
}

#endif
