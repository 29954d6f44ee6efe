/* SPDX-License-Identifier: BSD-3-Clause */
/* Queue pairs, on whose behalf remote checks are made. Each belongs to one protection domain. */
#ifndef RVT_QP_H
#define RVT_QP_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/layout.h" /* enum rvt_qp_row */
#include "core/objects/object_kind.h"
#include "core/objects/owned.h"
#include "core/objects/pd.h"
#include "core/objects/ucontext.h"

struct rvt_engine_qp;

struct rvt_qp {
    struct rvt_owned owned;
    /* Constant while the object is alive. Read without the lock, possibly through a handle that has just gone
     * stale. So readers load it with acquire, writers store it with release, and readers check the handle
     * again afterwards. */
    _Atomic(struct rvt_pd *) pd;
    /* The engine's part, NULL for a queue pair that only judges accesses. Written under the device lock. A
     * reader without it must hold the engine lock, and must check the handle again afterwards. */
    _Atomic(struct rvt_engine_qp *) engine;
    /* What reports show of the engine's part, from RVT_QP_TYPE on; all 0 without one. The engine writes these
     * while it holds its own lock, and a report reads them while it holds the device lock. */
    _Atomic(uint64_t) shown[RVT_QP_FIELDS - RVT_QP_TYPE];
};

/* Stores a field of the queue pair's row, from RVT_QP_TYPE on. */
static inline void rvt_show_qp(struct rvt_qp *qp, enum rvt_qp_row field, uint64_t value) {
    atomic_store_explicit(&qp->shown[field - RVT_QP_TYPE], value, memory_order_relaxed);
}

/* A handle belongs to one context and goes stale when that context ends, like a domain's handle. */
struct rvt_qp_handle {
    struct rvt_qp *qp;
    uint64_t generation;
    struct rvt_ucontext *context;
};

static inline struct rvt_qp *rvt_qp_live(struct rvt_qp_handle handle) {
    return handle.qp && rvt_object_generation(&handle.qp->owned.object) == handle.generation &&
                   !rvt_ucontext_gone(handle.context)
               ? handle.qp
               : NULL;
}

/* Returns the queue pair's serial number, or 0 if the handle is stale. Takes the device lock. */
static inline uint64_t rvt_qp_serial(struct rvt_qp_handle handle) {
    return rvt_qp_live(handle) ? rvt_read_serial(&handle.qp->owned, handle.generation) : 0;
}

/* Returns the queue pair's domain, which is constant while the queue pair is alive. */
static inline struct rvt_pd *rvt_qp_pd(const struct rvt_qp *qp) {
    return atomic_load_explicit(&qp->pd, memory_order_acquire);
}

/* Creates a queue pair without queues in the domain, which only judges accesses. The context of the domain's
 * handle owns it. Takes the device lock.
 *   0        *handle names the queue pair, and the domain has one more child
 *   -ENOMEM  no memory; nothing changed
 *   -EBADF   the domain's handle is stale */
int rvt_create_check_qp(struct rvt_pd_handle pd, struct rvt_qp_handle *handle);

/* The same for the engine, which passes its own part (not NULL). The caller must hold the device lock. */
int rvt_birth_qp(struct rvt_pd_handle pd, struct rvt_engine_qp *engine, struct rvt_qp_handle *handle);

/* Ends the queue pair, like the kernel's rvt_destroy_qp(). Takes the device lock, then waits for readers.
 *   0       ended; every handle to it is stale
 *   -EBADF  the handle is stale */
int rvt_destroy_qp(struct rvt_qp_handle handle);

/* Ends the queue pair. The caller must hold the device lock. */
void rvt_qp_end(struct rvt_qp *qp);

extern const struct rvt_object_kind rvt_qp_objects;

#endif
