/* SPDX-License-Identifier: BSD-3-Clause */
/* Queue pairs: in whose name remote checks are made. Each belongs to one protection domain. */
#ifndef RVT_QP_H
#define RVT_QP_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/objects/object_kind.h"
#include "core/objects/owned.h"
#include "core/objects/pd.h"
#include "core/objects/ucontext.h"

struct rvt_qp {
    struct rvt_owned owned;
    /* Constant from birth to death. Read without the lock, possibly through a handle that has just died: so
     * loaded with acquire and stored with release, and the handle is looked at again afterwards. */
    _Atomic(struct rvt_pd *) pd;
};

/* Belongs to one context and is dead when the context has ended, as a domain's handle. */
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

/* The queue pair's serial number, or 0 when the handle is dead. Takes the device's lock. */
static inline uint64_t rvt_qp_serial(struct rvt_qp_handle handle) {
    return rvt_qp_live(handle) ? rvt_read_serial(&handle.qp->owned, handle.generation) : 0;
}

/* Its domain. Constant while the queue pair lives. */
static inline struct rvt_pd *rvt_qp_pd(const struct rvt_qp *qp) {
    return atomic_load_explicit(&qp->pd, memory_order_acquire);
}

/* rvt_create_qp: make a queue pair in the domain; it belongs to the context of the domain's handle.
 *   0        *handle is live, and the domain has one child more
 *   -ENOMEM  no memory; nothing has changed
 *   -EBADF   the domain's handle is dead */
int rvt_create_qp(struct rvt_pd_handle pd, struct rvt_qp_handle *handle);

/* rvt_destroy_qp: end the queue pair.
 *   0       every handle of it is dead
 *   -EBADF  the handle is dead */
int rvt_destroy_qp(struct rvt_qp_handle handle);

/* The same under the device's lock. */
void rvt_qp_end(struct rvt_qp *qp);

extern const struct rvt_object_kind rvt_qp_objects;

#endif
