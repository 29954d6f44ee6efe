/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion queues. A queue holds exactly as many completions as it was created for. A completion that finds
 * it full is lost, and the queue is broken from then on: every later completion is lost as well. What it
 * holds can still be polled.
 *
 * A queue's completions are in memory of the engine, or in a ring: shared memory of the host, from which the
 * host takes them without a call (enum rvt_ring_word). The ring's HEAD tells the host how many were entered.
 * TAIL, which the host writes, gives places back. The core accepts from TAIL at most the number of completions that
 * the queue holds, keeps its own head and count, and reads nothing else back, except to copy completions to the
 * owner of the ring. So a host that writes wrong values into its ring can only spoil its own completions. */
#ifndef RVT_ENGINE_CQ_H
#define RVT_ENGINE_CQ_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/engine/wr.h"
#include "core/objects/object_kind.h"
#include "core/objects/owned.h"
#include "core/objects/ucontext.h"

struct rvt_dev_info;
struct rvt_engine;

/* What a completion queue is armed for (rvt_req_notify_cq). */
enum rvt_cq_arming {
    RVT_CQ_UNARMED = 0,
    RVT_CQ_FOR_SOLICITED = RVT_NOTIFY_SOLICITED,
    RVT_CQ_FOR_NEXT = RVT_NOTIFY_NEXT,
    RVT_CQ_FOR_BOTH = RVT_NOTIFY_SOLICITED | RVT_NOTIFY_NEXT, /* the same as FOR_NEXT */
};

struct rvt_late_completion {
    struct rvt_late_completion *next;
    struct rvt_wc entry;
    bool solicited;
    bool slow; /* it waits for a time of its own, not only for those before it */
};

/* The completions that a fault keeps from being visible, in order, until the time of the first one is over. They take room in
 * the queue, but are not in it. */
struct rvt_late_completions {
    struct rvt_late_completion *first, *last;
    uint32_t count;
    struct rvt_link in_late; /* in the engine's list while `count` is not 0 */
    uint64_t deadline;       /* valid if `counts` */
    bool counts;             /* rvt_progress() has been called since the time began */
};

struct rvt_cq {
    struct rvt_owned owned;
    /* Constant while the queue exists: */
    void *user;           /* the host's pointer, passed back with events */
    uint32_t comp_vector; /* accepted and ignored */
    /* Protected by the engine lock: */
    struct rvt_wc *entries; /* `capacity` entries, used in turn */
    uint32_t capacity, first, count;
    uint32_t head;  /* completions entered, modulo 2^32; counted only for a ring */
    uint32_t users; /* queue pairs that use it, on either side or both */
    enum rvt_cq_arming arming;
    bool broken;
    bool special;                 /* broken, or the device makes faults: a completion takes the slow way in */
    struct rvt_link in_triggered; /* in a list: its event is due at the end of the operation */
    struct rvt_cq *next_ended;
    /* What reports show, from RVT_CQ_CQE on. Written with the engine lock held, read with the device lock
     * held. */
    _Atomic(uint64_t) shown[RVT_CQ_FIELDS - RVT_CQ_CQE];
    _Atomic(uint32_t) shown_tail; /* of a ring: completions taken when `shown` was written */
    /* The words of the ring (enum rvt_ring_word), NULL if the queue has none, and the memory that they are in.
     * Constant from the object's birth until the engine's part of the queue is freed. */
    _Atomic(uint32_t) *ring;
    struct rvt_memory *memory;
    struct rvt_late_completions late; /* protected by the engine lock */
};

/* A handle belongs to one context and goes stale when that context ends. */
struct rvt_cq_handle {
    struct rvt_cq *cq;
    uint64_t generation;
    struct rvt_ucontext *context;
};

static inline struct rvt_cq *rvt_cq_live(struct rvt_cq_handle handle) {
    return handle.cq && rvt_object_generation(&handle.cq->owned.object) == handle.generation &&
                   !rvt_ucontext_gone(handle.context)
               ? handle.cq
               : NULL;
}

/* Attributes of a new completion queue. */
struct rvt_cq_init {
    uint32_t cqe;         /* completions that it holds */
    uint32_t comp_vector; /* any value */
    uint32_t flags;       /* must be 0 */
    void *user;           /* passed back with the queue's events */
    /* NULL, or memory for a ring: at least rvt_cq_ring_bytes(cqe) bytes that are aligned for 64-bit numbers,
     * never move, and that every thread can use. The queue takes a reference of its own, which it puts when it
     * no longer uses the bytes: at the latest before the verb that ended the queue, or its context, returns. */
    struct rvt_memory *ring;
};

/* Returns how many bytes the ring of a queue of `cqe` completions needs. */
static inline uint64_t rvt_cq_ring_bytes(uint32_t cqe) {
    return RVT_RING_ENTRIES * sizeof(uint32_t) + (uint64_t)cqe * sizeof(struct rvt_wc);
}

/* Creates a completion queue that `context` (may be NULL) owns, like the kernel's rvt_create_cq(). Takes the
 * engine lock and the device lock.
 *   0            *handle names the queue
 *   -EOPNOTSUPP  flags are set, or the device has no engine
 *   -EINVAL      `cqe` is 0 or above the device's max_cqe, or the memory of the ring cannot be used
 *   -ENOMEM      max_cq queues exist, or no memory
 *   -EBADF       the device is closed, or the context has ended
 *   -EPERM       the context is restricted to a domain */
int rvt_create_cq(struct rvt_dev_info *device, struct rvt_ucontext *context, const struct rvt_cq_init *init,
                  struct rvt_cq_handle *handle);

/* Destroys the queue with the completions that it holds, like the kernel's rvt_destroy_cq(). Takes the engine
 * lock and the device lock.
 *   0       destroyed; every handle to it is stale
 *   -EBUSY  queue pairs use it
 *   -EBADF  the handle is stale */
int rvt_destroy_cq(struct rvt_cq_handle handle);

/* Changes how many completions the queue holds, like the kernel's rvt_resize_cq(). Its entries and its arming
 * stay. Takes the engine lock.
 *   0        resized
 *   -EINVAL  the queue has a ring; or `cqe` is 0, above the device's max_cqe, or below the number of
 *            completions held
 *   -ENOMEM  no memory; nothing changed
 *   -EBADF   the handle is stale */
int rvt_resize_cq(struct rvt_cq_handle handle, uint32_t cqe);

/* What rvt_query_cq() reports. */
struct rvt_cq_attr {
    uint32_t cqe, held; /* completions that it can hold, and holds */
    bool broken;        /* a completion found it full; every later one is lost */
};

/* Reads the attributes. The kernel has no such verb.
 *   0       *attr is filled
 *   -EBADF  the handle is stale */
int rvt_query_cq(struct rvt_cq_handle handle, struct rvt_cq_attr *attr);

/* Takes up to `count` completions, oldest first, like the kernel's rvt_poll_cq(). Of a queue with a ring, it
 * also sets the ring's TAIL to the number of completions taken, so the host must not take any at the same time.
 * Takes the engine lock.
 *   n       entries[0..n-1] are filled; n is at most INT32_MAX
 *   -EBADF  the handle is stale */
int rvt_poll_cq(struct rvt_cq_handle handle, uint32_t count, struct rvt_wc *entries);

/* As rvt_poll_cq(), and stores in *left how many completions the queue still holds. */
int rvt_poll_cq_left(struct rvt_cq_handle handle, uint32_t count, struct rvt_wc *entries, uint32_t *left);

/* Takes the completions of the queue pair with this serial number out, and drops them. rdmavt does not do this, but
 * drivers of adapters do when a queue pair is reset. Takes the engine lock.
 *   n        completions were dropped; the others keep their order
 *   -EINVAL  the queue has a ring
 *   -EBADF   the handle is stale */
int rvt_drop_completions(struct rvt_cq_handle handle, uint64_t qp);

/* Arms the queue, like the kernel's rvt_req_notify_cq(): the next completion (RVT_NOTIFY_NEXT), or the next
 * one that is solicited or has failed (RVT_NOTIFY_SOLICITED), is reported to the host by RVT_EVENT_COMPLETION
 * and uses up the arming. A queue that is armed for the next completion stays so. Flags 0 end an arming for
 * solicited completions. Completions that the queue holds already are not reported. Takes the engine lock.
 *   0       armed
 *   1       RVT_NOTIFY_REPORT_MISSED was given, and the queue holds completions
 *   -EBADF  the handle is stale */
int rvt_req_notify_cq(struct rvt_cq_handle handle, uint32_t flags);

/* --- for the engine; the caller must hold the engine lock --- */

/* Counts a queue pair that uses the queue (`more` is 1), or one less (-1). */
void rvt_cq_use(struct rvt_cq *cq, int more);

/* Frees the queue whose object has ended and that no queue pair uses. Takes the device lock. */
void rvt_free_ended_cq(struct rvt_engine *engine, struct rvt_cq *cq);

/* Makes late completions visible: the first one and those behind it, up to the next one that is slow itself, whose time then
 * begins; or all of them. */
void rvt_show_late(struct rvt_engine *engine, struct rvt_cq *cq, bool all);

/* Adds a completion. Returns false if it is lost; the host has then been told by RVT_EVENT_CQ_ERR. */
bool rvt_cq_enter(struct rvt_engine *engine, struct rvt_cq *cq, const struct rvt_wc *entry, bool solicited);

extern const struct rvt_object_kind rvt_cq_objects;

#endif
