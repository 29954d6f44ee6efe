/* SPDX-License-Identifier: BSD-3-Clause */
/* Readers, waits and retirement: how a lookup that takes no lock can follow pointers that a writer is about
 * to free, and how a verb knows that nobody moves a byte any more when it returns.
 *
 * Every environment (thread that checks or copies) owns one reader. A call that looks into a device's shared
 * structures enters the reader before the first look and leaves it after the last one; what lies between is a
 * section. No section does unbounded work: after at most RVT_SECTION_BYTES of bytes, or RVT_SECTION_ELEMENTS
 * elements, it leaves and enters again (rvt_read_renew), and judges again what it goes on with.
 *
 * A writer that has taken something out of reach of new readers either waits until every reader that was
 * inside this device has left (rvt_synchronize; every verb does that), or retires the thing, to be freed when
 * they have (the garbage collector's finalizers do that, since they must not wait).
 *
 * Why that is safe. Reader and waiter meet in one location, the reader's slot. The reader enters by an
 * exchange on it. The waiter looks at it by a fetch_add of 0. One of the two comes first in the slot's
 * modification order:
 * - The entry comes first. Then the waiter sees that the reader is inside, and waits.
 * - The look comes first. Then the entry reads the value that the look, or a later one, has written. So
 *   everything that the waiter's thread did before, the unlinking above all, happens before the reader's
 *   first look, and the reader cannot find what was unlinked.
 *
 * While it waits, the waiter only loads the slot: a fetch_add each time would take the cache line away from
 * the reader. But the reader leaves by a plain store, and a plain load of that value orders nothing for the
 * reader's next section. So before the waiter goes on, it looks by a fetch_add once more.
 *
 * A reader that has left and entered again is recognised by its epoch. The waiter adds 1 to the epoch after
 * the unlinking. A reader whose slot holds a larger number has read the result of that addition, and so sees
 * the unlinking.
 *
 * There is no stand-alone fence, so ThreadSanitizer can follow all of this. test/spin has a model of it. */
#ifndef RVT_EPOCH_H
#define RVT_EPOCH_H

#include "core/base/rvt_atomic.h"
#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/platform.h"

/* The most that one section does: another thread's dereg waits for it. */
enum { RVT_SECTION_BYTES = 64 << 10, RVT_SECTION_ELEMENTS = 4096 };

/* A slot holds the epoch at entry in its low bits, and above them the tag of the device that the reader is
 * in. */
enum { RVT_EPOCH_BITS = 48 };
#define RVT_EVERY_DEVICE_TAG (UINT64_C(0xffff) << RVT_EPOCH_BITS)

struct rvt_reader {
    /* 0 outside. Written by the owner, looked at by waiters. A line of its own: the owner writes it twice a
     * call and no other environment shall pay for that. */
    alignas(RVT_CACHE_LINE) _Atomic(uint64_t) slot;
    uint64_t tag;   /* owner only: of the section that it is in, or was in last */
    unsigned depth; /* owner only: entering twice is entering once */
    /* Constant while it is in the list: */
    alignas(RVT_CACHE_LINE) struct rvt_reader *next;
    _Atomic(uintptr_t) thread; /* its owner's; 0: it has none, and waits for the next one */
};

/* A structure on its way out. Embedded in what is retired; `release` frees it (and may take any lock: it is
 * called with none held). */
struct rvt_retired {
    struct rvt_retired *next;
    uint64_t epoch;
    void (*release)(struct rvt_retired *self);
};

/* What a device has retired, the oldest first. The lock is taken inside a device's lock, and none inside
 * it. */
struct rvt_retirement {
    uint64_t tag; /* constant: the device's part of a slot. Two devices may share one; then one's readers are
                   * waited for by the other as well */
    struct rvt_mutex lock;
    struct rvt_retired *oldest, **newest;
    _Atomic(uint32_t) waiting; /* how many */
};

/* The process's epoch; advanced by every retirement and every wait. Only epoch.c writes it. */
extern _Atomic(uint64_t) rvt_epoch_now;

/* For sections that look into several devices: everybody waits for their readers. Nothing is retired here. */
extern struct rvt_retirement rvt_every_device;

/* A reader for the calling thread, or NULL (no memory). */
struct rvt_reader *rvt_reader_register(void);

/* Give a reader back, from any thread; it must be outside. */
void rvt_reader_unregister(struct rvt_reader *reader);

/* Begin and end a device's retirement. In between the list of readers can be gone through without a lock: it
 * is freed when there is neither a reader nor a device. At the end nobody is inside the device or can enter
 * it any more, and nothing waits. */
void rvt_retirement_init(struct rvt_retirement *of, uint64_t device_number);
void rvt_retirement_destroy(struct rvt_retirement *of);

/* Hand `item` over to be freed by `release` once every reader that may see it has left. The structure must
 * already be out of reach of new readers. Never waits, never allocates; may be called with a device's lock
 * held. */
void rvt_retire(struct rvt_retirement *of, struct rvt_retired *item,
                void (*release)(struct rvt_retired *self));

/* For a structure that was unlinked before a wait that is over, or that the caller is about to make. No
 * reader has a pointer to it after that wait, so it need not be retired: it is added to the caller's list.
 * The caller releases the list when the wait is over and it has unlocked. */
static inline void rvt_add_passed(struct rvt_retired **list, struct rvt_retired *item,
                                  void (*release)(struct rvt_retired *self)) {
    item->release = release;
    item->next = *list;
    *list = item;
}
void rvt_release_passed(struct rvt_retired *list);

/* One of the two: added to the list, or retired if `list` is NULL. */
static inline void rvt_add_or_retire(struct rvt_retirement *of, struct rvt_retired **list,
                                     struct rvt_retired *item, void (*release)(struct rvt_retired *self)) {
    if (list)
        rvt_add_passed(list, item, release);
    else
        rvt_retire(of, item, release);
}

/* True while something retired still waits. */
static inline bool rvt_reclaim_pending(struct rvt_retirement *of) {
    return atomic_load_explicit(&of->waiting, memory_order_relaxed) != 0;
}

/* Free what can be freed now, without waiting. With no lock held. */
void rvt_reclaim(struct rvt_retirement *of);

/* Wait until every reader that is inside this device now has left: what was out of reach before the call is
 * looked at by nobody after it. With no lock held, and the calling thread's own reader outside (the process
 * ends otherwise: it would wait for itself). Takes no lock. Readers never wait for anybody and no section
 * does unbounded work, so this ends: after one step of another thread, or its time slice if it has lost its
 * processor. Returns the epoch of the wait: all that was retired before it can be freed
 * (rvt_free_retired). */
uint64_t rvt_synchronize(struct rvt_retirement *of);

/* Free what was retired before this epoch. With no lock held. */
void rvt_free_retired(struct rvt_retirement *of, uint64_t epoch);

/* What every verb that takes something away ends with, after it has unlocked: wait, then free. */
static inline void rvt_settle(struct rvt_retirement *of) {
    rvt_free_retired(of, rvt_synchronize(of));
}

static inline void rvt_read_enter(struct rvt_reader *reader, struct rvt_retirement *of) {
    if (reader->depth++ == 0) {
        /* acquire: a waiter that got number E does not wait for a reader whose number is above E. So a reader
         * that has read such a number must see what that waiter had unlinked. An older number only makes
         * others wait longer. The exchange below is the one locked instruction of a section. */
        uint64_t now =
            reader->tag == of->tag
                ? atomic_load_explicit(&rvt_epoch_now, memory_order_acquire)
                /* This reader's last section was on another device. A waiter of this device that looked at
                 * the slot during that section did not wait. The plain store that ended the section broke the
                 * chain by which the waiter's look would have ordered this entry after it. So this adds 0 to
                 * the epoch. If that comes after the waiter's addition, this thread sees what the waiter had
                 * unlinked. If it comes before, the waiter's look came after that plain store, and the case
                 * does not arise. */
                : atomic_fetch_add_explicit(&rvt_epoch_now, 0, memory_order_acq_rel);
        reader->tag = of->tag;
        (void)atomic_exchange_explicit(&reader->slot, of->tag | now, memory_order_acq_rel);
    }
    /* A section inside another is one of the same device, or of any inside one of all. */
    assert(reader->tag == of->tag || reader->tag == RVT_EVERY_DEVICE_TAG);
}

/* release: every look of this section happens before a waiter that reads this 0 goes on. */
static inline void rvt_read_leave(struct rvt_reader *reader, struct rvt_retirement *of) {
    if (--reader->depth == 0) {
        atomic_store_explicit(&reader->slot, 0, memory_order_release);
        /* What was retired meanwhile may have waited for this section alone, and perhaps no verb comes that
         * would free it. */
        if (rvt_reclaim_pending(of))
            rvt_reclaim(of);
    }
}

/* In the middle of a long piece of work: let those who wait go on. Everything that was looked up before must
 * be looked up again. Does nothing inside another section, whose pointers stay in use. */
static inline void rvt_read_renew(struct rvt_reader *reader, struct rvt_retirement *of) {
    if (reader->depth == 1) {
        rvt_read_leave(reader, of);
        rvt_read_enter(reader, of);
    }
}

#endif
