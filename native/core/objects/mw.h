/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory windows: keys that let peers access a part of a region.
 *
 * Two kinds. A window of type 2B (rvt_alloc_mw) is bound to a part of a region by a work request, for the peers
 * of that queue pair alone, and unbound by invalidating its key. A lease (rvt_lease_mr) is bound from its
 * creation to its end, for one queue pair or all of the domain, and can expire.
 *
 * A window has a key record of its own, with the flag RVT_SHAPE_WINDOW and without VALID and PLAIN. So checks of
 * regions do not test for windows: the record of a window fails their tests, and only the path that finds the
 * reason of a refusal comes to rvt_judge_window (access/window.h).
 *
 * The kernel's rdmavt has no windows. The rules are those of the InfiniBand Architecture Specification, volume
 * 1, 10.6.7 and 11.2.8.10 to 11.2.8.13; docs/guide/windows.md lists them. */
#ifndef RVT_MW_H
#define RVT_MW_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/objects/object_kind.h"
#include "core/objects/owned.h"
#include "core/objects/pd.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"

struct rvt_mw {
    struct rvt_owned owned;
    /* Protected by the device lock: */
    struct rvt_pd *pd;
    uint32_t key; /* of the record; peers use rvt_other_key() of it */
    uint32_t access;
    struct rvt_mregion *mr; /* NULL: unbound */
    struct rvt_link in_mr;  /* the region's list of windows */
    uint64_t addr, length;
    uint64_t qp_serial; /* 0: not restricted to a queue pair */
    bool lease;
    uint32_t type; /* enum rvt_mw_type */
    /* Read by checks without a lock. They change only together with the key record: a check compares the record's
     * sequence after it has read them. Stored with release, loaded with acquire. */
    _Atomic(uint64_t) binding;             /* unique on the device; 0: unbound */
    _Atomic(const struct rvt_object *) qp; /* the only queue pair whose peer may pass; NULL: any */
    _Atomic(uint64_t) qp_generation;       /* of its handle */
    _Atomic(uint64_t) deadline;            /* on the coarse clock, in ms; UINT64_MAX: never */
    _Atomic(uint64_t) position;            /* of the window's first byte in the region's segment space */
};

struct rvt_mw_handle {
    struct rvt_mw *mw;
    uint64_t generation;
};

/* Returns the window that a handle names, or NULL if the handle is stale. The answer stays valid while the
 * caller holds the device lock. */
static inline struct rvt_mw *rvt_mw_live(struct rvt_mw_handle handle) {
    return handle.mw && rvt_object_generation(&handle.mw->owned.object) == handle.generation ? handle.mw
                                                                                             : NULL;
}

/* Like rvt_mr_find_by, for windows. */
struct rvt_mw_handle rvt_mw_find_by(const struct rvt_ucontext *context, uint32_t index, uint64_t generation);

/* Creates an unbound window of this enum rvt_mw_type with a key of its own, like ibv_alloc_mw(3). The context of the domain's
 * handle owns it. *key (may be NULL): its key.
 *   -EINVAL  no such type
 *   -ENOMEM  no free slot, no random numbers, or no memory
 *   -EBADF   the domain's handle is stale */
int rvt_alloc_mw(struct rvt_pd_handle pd, uint32_t type, struct rvt_mw_handle *mw, uint32_t *key);

/* Ends a window, bound or not, and a lease at once, like ibv_dealloc_mw(3). Its key is revoked. SGEs that were
 * accepted through it are refused from then on (RVT_WINDOW_ENDED), and still hold the region. When it returns 0,
 * no byte moves any more through the window: it waits for readers as rvt_dereg_mr does.
 *   -EBADF   the handle is stale */
int rvt_dealloc_mw(struct rvt_mw_handle mw);

/* What a window is bound to. */
struct rvt_bind {
    struct rvt_mr_handle mr;
    uint64_t addr;   /* remote address of its first byte, in the region's iova space, and of the window */
    uint64_t length; /* bytes */
    uint32_t access; /* remote access bits */
    uint32_t key;    /* its key from now on: only the low 8 bits may differ from the present one */
};

/* Binds a window: what the work request BIND_MW does. A window of type 2 must be unbound, and is then for the peer of
 * `qp` alone. One of type 1 may be bound, and is then for the peers of all queue pairs of its domain; a length of 0
 * unbinds it, whatever the region is. Access bits may be 0. Waits for readers if it unbinds something.
 *   -EINVAL  a window of type 2 that is bound already (only invalidation unbinds it); a lease; the queue pair is on
 *            another device, or neither RC nor UC (post.c); the region is not user memory; it is half-dead, or
 *            its key is invalid; the upper 24 bits of the key differ; the access bits are not remote ones; the
 *            length is 0, or the range is not inside the region
 *   -EACCES  the window, the region and the queue pair are not in one domain; the region does not grant
 *            MW_BIND; remote write or atomic access without local write access of the region
 *   -EBUSY   another thread is re-registering the region
 *   -EBADF   a handle is stale
 * Nothing changed then. */
int rvt_bind_mw(struct rvt_qp_handle qp, struct rvt_mw_handle mw, const struct rvt_bind *bind);

/* Makes a lease: a window over a part of the region that expires `ms` milliseconds from now, on the coarse clock,
 * whether any thread runs or not. `context` (may be NULL) owns it. `qp` (may be NULL): the only queue pair whose peer may use it. `bind->key` is not
 * read. Leases of the region that have expired are ended first.
 *   -EINVAL, -EACCES, -EBUSY  as rvt_bind_mw; MW_BIND is not needed, but each remote right must be one of the
 *            region's (-EACCES)
 *   -ENOMEM  no free slot, no random numbers, or no memory
 *   -EBADF   a handle is stale */
int rvt_lease_mr(struct rvt_ucontext *context, const struct rvt_bind *bind, const struct rvt_qp_handle *qp,
                 uint64_t ms, struct rvt_mw_handle *mw, uint32_t *key);

/* The attributes of a window. */
struct rvt_mw_attributes {
    uint64_t id; /* greater than 0, never reused on a device */
    uint32_t key, access;
    bool bound, lease, expired;
    uint32_t type;   /* enum rvt_mw_type; 2 for leases */
    uint64_t region; /* id of its region; 0: unbound */
    uint64_t addr, length, qp /* serial number; 0: none */;
    uint64_t deadline; /* of a lease, on the coarse clock, in ms; UINT64_MAX: never */
};

/* Reads a consistent snapshot of a window's attributes.
 *   -EBADF   the handle is stale */
int rvt_query_mw(struct rvt_mw_handle mw, struct rvt_mw_attributes *attributes);

/* --- for the verbs of this folder; the caller must hold the device lock --- */

/* Unbinds the window with this key for a queue pair, for rvt_invalidate_rkey; a lease ends. The caller must wait for
 * readers afterwards.
 *   -EINVAL  the window is unbound, or bound to another queue pair or in another domain */
int rvt_invalidate_mw(struct rvt_mw *mw, const struct rvt_qp *qp);

/* Returns how many windows and leases that have not expired are bound to the region. Ends those that have. */
uint64_t rvt_mr_windows(struct rvt_mregion *mr);

/* Unbinds all windows of a region that ends by force, and ends its leases. */
void rvt_mr_drop_windows(struct rvt_mregion *mr);

/* Ends every lease of the device that has expired, to free its slot. */
void rvt_end_expired_leases(struct rvt_dev_info *device);

/* --- for readers --- */

/* An SGE that was accepted through a window has, in place of a mapping's generation, the window and its
 * binding. The generations of mappings never have the highest bit. */
enum { RVT_MW_BINDING_BITS = 40 };
#define RVT_MW_ACCEPTED (UINT64_C(1) << 63)

static inline uint64_t rvt_mw_acceptance(const struct rvt_mw *mw, uint64_t binding) {
    return RVT_MW_ACCEPTED | (uint64_t)mw->owned.object.index << RVT_MW_BINDING_BITS | binding;
}

/* Returns why an SGE of the region with this acceptance cannot be used now, or RVT_REASON_NONE. */
enum rvt_reason rvt_mw_usable(const struct rvt_mregion *mr, uint64_t acceptance);

extern const struct rvt_object_kind rvt_mw_objects;

#endif
