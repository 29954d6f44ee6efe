/* SPDX-License-Identifier: BSD-3-Clause */
/* Protection domains: what regions and queue pairs belong to. */
#ifndef RVT_PD_H
#define RVT_PD_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/base/pool.h"
#include "core/objects/object_kind.h"
#include "core/objects/owned.h"
#include "core/objects/share.h"
#include "core/objects/ucontext.h"

struct rvt_dev_info;

struct rvt_pd {
    struct rvt_owned owned; /* other contexts attach the domain by its serial number */
    /* > 0; what records name. Set when the object is first used and constant in all its lives. No domain ends
     * while a record names it. */
    uint32_t id;
    /* Constant from birth to death. Read without the lock, possibly through a handle that has just died: so
     * loaded with acquire and stored with release, and the handle is looked at again afterwards. User domains
     * get no DMA region and no key 0. */
    _Atomic(bool) user;
    /* Regions (half-dead ones too), QPs, and objects of other kinds with `domain_of`, and how many they are;
     * under the device's lock. */
    uint32_t children;
    struct rvt_link *first_child[RVT_MOST_CHILD_KINDS]; /* by rvt_object_kind_slot.child_number */
    struct rvt_shared shared;                           /* its token */
};

/* A handle is one context's: what is made through it belongs to that context, and it is dead when the context
 * has ended. */
struct rvt_pd_handle {
    struct rvt_pd *pd;
    uint64_t generation;
    struct rvt_ucontext *context; /* may be NULL */
};

static inline struct rvt_pd *rvt_pd_live(struct rvt_pd_handle handle) {
    return handle.pd && rvt_object_generation(&handle.pd->owned.object) == handle.generation &&
                   !rvt_ucontext_gone(handle.context)
               ? handle.pd
               : NULL;
}

/* The domain's serial number, or 0 when the handle is dead. Takes the device's lock. */
static inline uint64_t rvt_pd_serial(struct rvt_pd_handle handle) {
    return rvt_pd_live(handle) ? rvt_read_serial(&handle.pd->owned, handle.generation) : 0;
}

/* rvt_alloc_pd: make a domain that belongs to `context` (may be NULL); `user`: as an unprivileged process has
 * it, otherwise a kernel (trusted) one.
 *   0        *handle is live
 *   -ENOMEM  no memory
 *   -EBADF   the device is closed, or the context has ended
 *   -EPERM   the context is restricted to a domain */
int rvt_alloc_pd(struct rvt_dev_info *device, struct rvt_ucontext *context, bool user,
                 struct rvt_pd_handle *handle);

/* rvt_attach_pd: a handle of the device's domain of that serial number, for another context of the same
 * device. The domain stays its maker's.
 *   0        *handle is live
 *   -EINVAL  there is no such domain
 *   -EPERM   the context is restricted to another one, whether there is such a domain or not
 *   -EBADF   the device is closed, or the context has ended */
int rvt_attach_pd(struct rvt_ucontext *context, uint64_t serial, struct rvt_pd_handle *handle);

/* rvt_dealloc_pd: end the domain. With `cascade`, all that is in it ends first, kind by kind: QPs, then
 * regions by force (see rvt_end_order).
 *   0       every handle of it is dead
 *   -EBUSY  not `cascade`, and regions (half-dead ones included), QPs or other objects are in it
 *   -EPERM  the handle is that of a context that is restricted to the domain: it is not its to end
 *   -EBADF  the handle is dead */
int rvt_dealloc_pd(struct rvt_pd_handle handle, bool cascade);

/* The same by force, under the device's lock: for the end of a context or of the device. */
void rvt_pd_end(struct rvt_pd *pd);

extern const struct rvt_object_kind rvt_pd_objects;

#endif
