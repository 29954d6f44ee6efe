/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs on regions. Any thread may call any of these functions; each takes the device lock itself. Unless
 * stated otherwise they return 0 or a negative errno (rvt_errno.h), and change nothing on failure. -EBADF
 * means that a handle is stale or the device is closed. They check access bits, lengths and addresses. The
 * verbs core's own rule (remote write needs local write) is checked above this layer, as in the kernel, where
 * it is above mr.c. */
#ifndef RVT_MR_H
#define RVT_MR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/objects/object_kind.h"
#include "core/objects/pd.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"

struct rvt_mr_keys {
    uint32_t lkey, rkey; /* equal, unless the device is strict */
};

/* Returns what rvt_reg_user_mr would return now for these addresses (`length` in bytes), so that a caller can
 * find out before it provides the memory.
 *   0        it would succeed
 *   -EINVAL  as rvt_reg_user_mr
 *   -ENOMEM  no free slot
 *   -EBADF   the domain's handle is stale */
int rvt_reg_user_mr_test(struct rvt_pd_handle pd, uint64_t start, uint64_t length, uint64_t virt_addr);

/* Registers all of `memory` and takes a reference on it, like the kernel's rvt_reg_user_mr(). Its first byte
 * has address `start` in local checks and `virt_addr` in remote checks; the two are independent, even in
 * their page offsets. Takes constant time for any size.
 *   -EINVAL  the memory is empty; start + length, rounded up to a page, does not fit in 64 bits;
 *            virt_addr + length is above 2^64; more than 2^32 - 1 pages
 *   -ENOMEM  no free slot, no random numbers, or no memory
 *   -EBADF   the domain's handle is stale */
int rvt_reg_user_mr(struct rvt_pd_handle pd, struct rvt_memory *memory, uint64_t start, uint64_t virt_addr,
                    uint32_t access, struct rvt_mr_handle *mr);

/* The values a region was registered with. */
struct rvt_mr_birth {
    uint64_t id; /* equal to rvt_mr_attributes.id */
    uint64_t start, iova;
    uint32_t key;
    uint32_t index; /* index in its pool, for rvt_mr_find */
};

/* Like rvt_reg_user_mr, and on success fills *birth (may be NULL). Querying these values after the call would
 * be too late: another thread may already have deregistered the region. */
int rvt_reg_user_mr_at(struct rvt_pd_handle pd, struct rvt_memory *memory, uint64_t start, uint64_t virt_addr,
                       uint32_t access, struct rvt_mr_handle *mr, struct rvt_mr_birth *birth);

/* Like rvt_reg_user_mr_at, at a `start` that the device chooses (rvt_pick_user_start). If `iova` is NULL, the
 * remote address equals `start`. On failure no address is used up.
 *   -EINVAL  also: the address space is exhausted */
int rvt_reg_user_mr_anywhere(struct rvt_pd_handle pd, struct rvt_memory *memory, const uint64_t *iova,
                             uint32_t access, struct rvt_mr_handle *mr, struct rvt_mr_birth *birth);

/* Creates a region over all DMA memory, whose lkey and rkey are 0, like the kernel's rvt_get_dma_mr(). The
 * first one is published: key 0 names it. A region that is created while another is published is inert for
 * its whole life. Checks ignore `access`.
 *   -EPERM   the domain is a user domain
 *   -ENOMEM  no memory
 *   -EBADF   the domain's handle is stale */
int rvt_get_dma_mr(struct rvt_pd_handle pd, uint32_t access, struct rvt_mr_handle *mr);

/* Creates a region for rvt_map_mr_sg, like the kernel's rvt_alloc_mr(): nothing mapped, access 0, and a key
 * that is valid at once. `max_num_sg` is the capacity in 4 KiB segments.
 *   -EINVAL  another type (tested first); max_num_sg above 2^31 - 1
 *   -ENOMEM  no free slot, no random numbers, or no memory
 *   -EBADF   the domain's handle is stale */
int rvt_alloc_mr(struct rvt_pd_handle pd, enum rvt_mr_type type, uint32_t max_num_sg,
                 struct rvt_mr_handle *mr);

/* Deregisters a region, like the kernel's rvt_dereg_mr(): revokes the key at once and for good, and ends the
 * region if no reference is held.
 *   -EBUSY   (not RVT_RELEASE_FORCE) windows or leases are bound to the region: nothing changed. Or SGEs are
 *            held: the region is half-dead; call again when they are put
 *   -EINVAL  the region is an FMR
 *   -EBADF   the handle is stale
 * Waits until every reader that is inside the device has left, so after it returns 0 no byte of the region
 * moves. The calling thread's own reader must therefore be outside any section, and the thread must not hold
 * a lock that a reader waits for. The same applies to every verb that revokes something. */
int rvt_dereg_mr(struct rvt_mr_handle mr, enum rvt_release_mode mode);

/* Deregisters several regions with a single wait, each as by rvt_dereg_mr or rvt_dealloc_fmr. Skips stale
 * handles. The list may name a region twice.
 *   -EBUSY   (not RVT_RELEASE_FORCE) at least one has windows: nothing changed. Or at least one is held, and now
 *            half-dead; the others have ended
 *   -EINVAL  an entry is {NULL, 0}, or its region is in another domain or device; nothing changed
 *   -EBADF   the domain's handle is stale; nothing changed */
int rvt_dereg_mrs(struct rvt_pd_handle pd, const struct rvt_mr_handle *mrs, uint32_t count,
                  enum rvt_release_mode mode);

/* Ends an FMR, like the kernel's rvt_dealloc_fmr(); otherwise the same as rvt_dereg_mr.
 *   -EBUSY   as rvt_dereg_mr
 *   -EINVAL  the region is not an FMR
 *   -EBADF   the handle is stale */
int rvt_dealloc_fmr(struct rvt_mr_handle fmr, enum rvt_release_mode mode);

/* Ends a region of any kind: rvt_dealloc_fmr for an FMR, rvt_dereg_mr for the others. For callers that do not
 * know the kind, which must be read under the device lock: a stale handle may name an object in reuse.
 *   -EBUSY   as rvt_dereg_mr
 *   -EBADF   the handle is stale */
int rvt_release_mr(struct rvt_mr_handle mr, enum rvt_release_mode mode);

/* The attributes of a region that rvt_query_mr returns. */
struct rvt_mr_attributes {
    uint64_t id; /* greater than 0, never reused on a device */
    struct rvt_mr_keys keys;
    enum rvt_mr_kind kind;
    uint32_t access, refs;
    uint64_t start;  /* local address of byte 0 */
    uint64_t iova;   /* the consumer-visible remote address */
    uint64_t length; /* number of mapped bytes */
    uint32_t segments, max_segments;
    bool valid, half_dead;
    bool counted;
    uint64_t accepted, refused, bytes; /* 0 unless the region is counted */
};

/* Reads a consistent snapshot of a region's attributes.
 *   0       *attributes is filled
 *   -EBADF  the handle is stale */
int rvt_query_mr(struct rvt_mr_handle mr, struct rvt_mr_attributes *attributes);

/* Where a region's bytes are, and what a peer needs to access them. */
struct rvt_mr_place {
    struct rvt_memory_place memory; /* RVT_MEMORY_KIND_NONE for all but user memory */
    uint64_t pd;                    /* serial number of its domain */
    uint64_t length;                /* number of mapped bytes */
    uint64_t remote_address;        /* the address that remote checks compare with */
    uint32_t access, key;
    enum rvt_mr_kind kind;
    bool works; /* the key is valid and not revoked */
};

/* Reports the place of a region. The answer may be out of date as soon as the call returns.
 *   0       *place is filled
 *   -EBADF  the handle is stale */
int rvt_find_mr_place(struct rvt_mr_handle mr, struct rvt_mr_place *place);

/* --- mr_sg.c --- */

struct rvt_sg_element {
    uint64_t address; /* DMA address */
    uint64_t length;  /* bytes */
};

/* What the consumer sees after rvt_map_mr_sg, whether it succeeded or failed. */
struct rvt_sg_outcome {
    uint64_t iova, length;
};

/* Maps a scatter-gather list, starting `sg_offset` bytes into its first element, like the kernel's
 * rvt_map_mr_sg(). `page_size` is in bytes. The list must not change during the call. *outcome is set unless
 * the answer is -EBADF. Held SGEs do not prevent mapping; they are refused afterwards (RVT_REMAPPED).
 *   >= 0     number of elements used: fewer than `count` at a hole or when the region is full
 *   -EINVAL  not a region of rvt_alloc_mr, or half-dead; empty or too long a list; sg_offset not below the
 *            first element's length; page_size not 4096; an element (any of them) empty or not inside one
 *            DMA mapping; the mapping would exceed 2^64. Nothing changed
 *   -EPERM   the region may not name DMA memory (rvt_mregion.no_dma). Nothing changed
 *   -ENOMEM  no segment fits (the old mapping is dropped anyway), or no memory (nothing changed)
 *   -EBADF   the handle is stale */
int rvt_map_mr_sg(struct rvt_mr_handle mr, const struct rvt_sg_element *list, uint32_t count,
                  uint64_t sg_offset, uint32_t page_size, struct rvt_sg_outcome *outcome);

/* --- fast_reg.c --- */

/* Gives a region of rvt_alloc_mr a new key (same upper 24 bits) and new access, sets its iova to the visible
 * address, and makes it valid, like the kernel's rvt_fast_reg_mr(). If `iova` is not NULL, the visible
 * address is set to *iova first, and stays set on the errors that follow the first two.
 *   -EBADF   a handle is stale; nothing changed
 *   -EINVAL  the QP is on another device; nothing changed
 *   -EACCES  the QP and the region are in different domains
 *   -EINVAL  another kind of region, or half-dead; the upper 24 bits differ; the mapping would exceed 2^64 */
int rvt_fast_reg_mr(struct rvt_qp_handle qp, struct rvt_mr_handle mr, uint32_t key, uint32_t access,
                    const uint64_t *iova);

/* Invalidates the key of a region, like the kernel's rvt_invalidate_rkey(). Works on every kind of region
 * with a slot, also on an invalid one; only rvt_fast_reg_mr makes it valid again. The key of a window unbinds the
 * window, and that of a lease ends the lease.
 *   -EINVAL  key 0; no region or window has exactly this key; the QP and its owner are in different domains; the
 *            window is unbound, or bound to another QP
 *   -EBUSY   windows or leases are bound to the region
 *   -EBADF   the QP's handle is stale */
int rvt_invalidate_rkey(struct rvt_qp_handle qp, uint32_t rkey);

/* --- fmr.c --- */

struct rvt_fmr_attr {
    int64_t max_pages;
    uint32_t max_maps; /* ignored, as in the kernel */
    uint32_t page_shift;
};

/* Creates a fast memory region with nothing mapped, like the kernel's rvt_alloc_fmr().
 *   -EINVAL  page_shift above 30; max_pages negative or above 2^31 - 1
 *   -ENOMEM  no free slot, no random numbers, or no memory
 *   -EBADF   the domain's handle is stale */
int rvt_alloc_fmr(struct rvt_pd_handle pd, uint32_t access, const struct rvt_fmr_attr *attr,
                  struct rvt_mr_handle *fmr);

/* Maps a list of DMA pages at `iova`, like the kernel's rvt_map_phys_fmr(). Pages have 2^page_shift bytes,
 * any alignment, and may repeat. Reads the list once.
 *   -EINVAL  not an FMR
 *   -EBUSY   an SGE is held, or the region is half-dead
 *   -EPERM   the region may not name DMA memory (rvt_mregion.no_dma)
 *   -EINVAL  more pages than max_pages; the length does not fit in 32 bits; iova + length above 2^64; a page
 *            not inside one DMA mapping
 *   -ENOMEM  no memory
 *   -EBADF   the handle is stale */
int rvt_map_phys_fmr(struct rvt_mr_handle fmr, const uint64_t *pages, uint64_t count, uint64_t iova);

/* Unmaps each FMR of the list, like the kernel's rvt_unmap_fmr(). The list may name an FMR twice. All must be
 * on one device. Held SGEs stay held and are refused from then on.
 *   0        all are unmapped (also for an empty list)
 *   -EINVAL  one is not an FMR, or is on another device than the first; nothing changed
 *   -EBUSY   one is half-dead; nothing changed
 *   -EBADF   a handle is stale; nothing changed */
int rvt_unmap_fmr(const struct rvt_mr_handle *fmrs, uint32_t count);

/* Starts counting the verdicts of checks of this region and the bytes copied. Every check of a counted region
 * updates a shared counter; checks of other regions cost the same as before.
 *   0        the region is counted, from now on or since an earlier call
 *   -ENOMEM  no memory
 *   -EBADF   the handle is stale */
int rvt_count_mr(struct rvt_mr_handle handle);

extern const struct rvt_object_kind rvt_mr_objects;

#endif
