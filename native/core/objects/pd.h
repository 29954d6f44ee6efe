/* SPDX-License-Identifier: BSD-3-Clause */
/* Protection domains, to which regions and queue pairs belong. */
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
    struct rvt_owned owned; /* other contexts attach to the domain by its serial number */
    /* Greater than 0; records name their domain by it. Set when the pool object is first used, then constant
     * across all its lives. A domain never ends while a record names it. */
    uint32_t id;
    /* Constant while the object is alive. A user domain gets no DMA region and no key 0. Read without the
     * lock, possibly through a handle that has just gone stale. So readers load it with acquire, writers
     * store it with release, and readers check the handle again afterwards. */
    _Atomic(bool) user;
    /* How many children the domain has: regions (also half-dead ones), QPs and objects of other kinds with
     * `domain_of`. Under the device lock, as are the lists. */
    uint32_t children;
    /* Lists of children, indexed by rvt_object_kind_slot.child_number. */
    struct rvt_link *first_child[RVT_MOST_CHILD_KINDS];
    struct rvt_shared shared; /* the domain's share token */
};

/* A handle belongs to one context. That context owns the objects that are created through the handle, and the
 * handle goes stale when the context ends. */
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

/* Returns the domain's serial number, or 0 if the handle is stale. Takes the device lock. */
static inline uint64_t rvt_pd_serial(struct rvt_pd_handle handle) {
    return rvt_pd_live(handle) ? rvt_read_serial(&handle.pd->owned, handle.generation) : 0;
}

/* Creates a protection domain that `context` (may be NULL) owns, like the kernel's rvt_alloc_pd(). `user`
 * selects the domain of an unprivileged process; otherwise it is a trusted (kernel) domain. Takes the device
 * lock.
 *   0        *handle names the domain
 *   -ENOMEM  no memory
 *   -EBADF   the device is closed, or the context has ended
 *   -EPERM   the context is restricted to a domain */
int rvt_alloc_pd(struct rvt_dev_info *device, struct rvt_ucontext *context, bool user,
                 struct rvt_pd_handle *handle);

/* Gives a context of the device a handle to the domain with this serial number. The context that created the
 * domain keeps owning it. Takes the device lock.
 *   0        *handle names the domain
 *   -EINVAL  no domain has this serial number
 *   -EPERM   the context is restricted to another domain; the answer does not tell whether this one exists
 *   -EBADF   the device is closed, or the context has ended */
int rvt_attach_pd(struct rvt_ucontext *context, uint64_t serial, struct rvt_pd_handle *handle);

/* Ends the domain, like the kernel's rvt_dealloc_pd(). With `cascade`, first ends all its children kind by
 * kind: QPs, then regions by force (rvt_end_order). Takes the device lock, then waits for readers.
 *   0       ended; every handle to it is stale
 *   -EBUSY  not `cascade`, and regions (also half-dead ones), QPs or other objects are in it
 *   -EPERM  the handle's context is restricted to the domain, so it must not end it
 *   -EBADF  the handle is stale */
int rvt_dealloc_pd(struct rvt_pd_handle handle, bool cascade);

/* Ends the domain and its children by force, when a context or the device ends. The caller must hold the
 * device lock. */
void rvt_pd_end(struct rvt_pd *pd);

extern const struct rvt_object_kind rvt_pd_objects;

#endif
