/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared receive queues: receives that several queue pairs take from. */
#ifndef RVT_ENGINE_SRQ_H
#define RVT_ENGINE_SRQ_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/access/check.h"
#include "core/engine/recv_queue.h"
#include "core/objects/object_kind.h"
#include "core/objects/owned.h"
#include "core/objects/pd.h"

struct rvt_engine;

struct rvt_srq {
    struct rvt_owned owned;
    /* Constant while the object is alive: */
    struct rvt_pd *pd;
    struct rvt_checker checker; /* checks the elements of its receives; counts for the engine's context */
    void *user;                 /* the host's pointer, passed back with events */
    /* Protected by the engine lock: */
    struct rvt_recv_queue queue;
    uint32_t limit; /* 0: no event is due */
    uint32_t users; /* queue pairs that take from it */
    bool ended;     /* the object has ended; freed when the last user has ended too */
    struct rvt_srq *next_ended;
    /* What reports show, from RVT_SRQ_MAX_WR on. Written with the engine lock held, read with the device lock
     * held. */
    _Atomic(uint64_t) shown[RVT_SRQ_FIELDS - RVT_SRQ_MAX_WR];
};

struct rvt_srq_handle {
    struct rvt_srq *srq;
    uint64_t generation;
    struct rvt_ucontext *context;
};

static inline struct rvt_srq *rvt_srq_live(struct rvt_srq_handle handle) {
    return handle.srq && rvt_object_generation(&handle.srq->owned.object) == handle.generation &&
                   !rvt_ucontext_gone(handle.context)
               ? handle.srq
               : NULL;
}

/* Attributes of a new shared receive queue. */
struct rvt_srq_init {
    uint32_t max_wr, max_sge;
    uint32_t limit; /* any value */
    bool basic;     /* the only supported type */
    void *user;     /* passed back with the queue's events */
};

/* Creates a shared receive queue in the domain, like the kernel's rvt_create_srq(). Takes the engine lock and
 * the device lock. Tested in this order:
 *   -EOPNOTSUPP  it is not of the basic type, or the device has no engine
 *   -EINVAL      max_sge or max_wr is 0 or above the device's limit
 *   -ENOMEM      max_srq queues exist, or no memory
 *   -EBADF       the domain's handle is stale
 *   0            *handle names it, and the domain has one more child */
int rvt_create_srq(struct rvt_pd_handle pd, const struct rvt_srq_init *init, struct rvt_srq_handle *handle);

/* Changes the size, the limit or both (`mask`: RVT_SRQ_SET_*), like the kernel's rvt_modify_srq(). All or
 * nothing. Takes the engine lock.
 *   0        changed
 *   -EINVAL  max_wr is above the device's limit, below the queue's limit (the new one if it is given), or below
 *            the number of receives held; or the limit alone is above max_wr
 *   -ENOMEM  no memory
 *   -EBADF   the handle is stale */
int rvt_modify_srq(struct rvt_srq_handle handle, uint32_t mask, uint32_t max_wr, uint32_t limit);

/* What rvt_query_srq() reports. */
struct rvt_srq_attr {
    uint32_t max_wr, max_sge, limit, held; /* held: receives in the queue */
};

/* Reads the attributes, like the kernel's rvt_query_srq(). Takes the engine lock.
 *   0       *attr is filled
 *   -EBADF  the handle is stale */
int rvt_query_srq(struct rvt_srq_handle handle, struct rvt_srq_attr *attr);

/* Destroys the queue with the receives that it holds, like the kernel's rvt_destroy_srq(). Takes the engine
 * lock and the device lock.
 *   0       destroyed
 *   -EBUSY  queue pairs use it
 *   -EBADF  the handle is stale */
int rvt_destroy_srq(struct rvt_srq_handle handle);

/* Posts receives in order, like the kernel's rvt_post_srq_recv(). Takes the engine lock. Earlier ones stay
 * posted if one fails, and *bad (may be NULL) is the index of the one that failed.
 *   0        all posted
 *   -EINVAL  more elements than max_sge
 *   -ENOMEM  the queue is full
 *   -EBADF   the handle is stale; *bad is 0 */
int rvt_post_srq_recv(struct rvt_srq_handle handle, const struct rvt_recv_wr *wrs, uint32_t count,
                      uint32_t *bad);

/* Counts a queue pair that takes from the queue (`more` is 1), or one less (-1). The caller must hold the
 * engine lock. Takes the device lock. */
void rvt_srq_use(struct rvt_srq *srq, int more);

/* Frees the queue whose object has ended. If it ended with its domain while queue pairs of other domains use
 * it, drops its receives and leaves it, empty for good, to the last of them. The caller must hold the engine
 * lock. Takes the device lock. */
void rvt_free_ended_srq(struct rvt_srq *srq);

/* Stores what reports show. */
void rvt_show_srq(struct rvt_srq *srq);

/* Reports RVT_EVENT_SRQ_LIMIT once if fewer receives than the limit are left. The caller must hold the engine
 * lock and have taken a receive whose elements were accepted. */
void rvt_srq_taken(struct rvt_engine *engine, struct rvt_srq *srq);

extern const struct rvt_object_kind rvt_srq_objects;

#endif
