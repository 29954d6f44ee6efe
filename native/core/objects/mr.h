/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs on regions. Every function may be called by any thread, takes the device's lock itself and,
 * unless said otherwise, answers 0 or a negative errno (rvt_errno.h); -EBADF: a handle is dead. On failure
 * nothing has changed. Access bits, lengths and addresses are judged here; the verbs core's own rule (remote
 * write needs local write) is above this layer, as it is above mr.c in the kernel. */
#ifndef RVT_MR_H
#define RVT_MR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/objects/object_kind.h"
#include "core/objects/pd.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"

struct rvt_mr_keys {
    uint32_t lkey, rkey; /* always equal */
};

/* What rvt_reg_user_mr would answer for these addresses now. Lets a caller find out before it provides the
 * memory.
 *   0        it would succeed
 *   -EINVAL  as rvt_reg_user_mr
 *   -ENOMEM  no slot is free
 *   -EBADF   the domain's handle is dead */
int rvt_reg_user_mr_test(struct rvt_pd_handle pd, uint64_t start, uint64_t length, uint64_t virt_addr);

/* rvt_reg_user_mr: register all of `memory` (a reference is taken). Its first byte answers to `start` in
 * local checks and to `virt_addr` in remote ones; the two are free of each other, page offsets included.
 * Costs the same at any size.
 *   -EINVAL  the memory is empty; start + length, rounded up to a page, does not fit 64 bits;
 *            virt_addr + length is above 2^64; more than 2^32 - 1 pages
 *   -ENOMEM  no slot is free, or no memory */
int rvt_reg_user_mr(struct rvt_pd_handle pd, struct rvt_memory *memory, uint64_t start, uint64_t virt_addr,
                    uint32_t access, struct rvt_mr_handle *mr);

/* What a region got at its registration. */
struct rvt_mr_birth {
    uint64_t id; /* as rvt_mr_attributes.id */
    uint64_t start, iova;
    uint32_t key;
    uint32_t index; /* in its pool: rvt_mr_find */
};

/* rvt_reg_user_mr, and *birth (may be NULL) if it succeeds. A caller that asked for these afterwards might
 * find that another thread has ended the region already. */
int rvt_reg_user_mr_at(struct rvt_pd_handle pd, struct rvt_memory *memory, uint64_t start, uint64_t virt_addr,
                       uint32_t access, struct rvt_mr_handle *mr, struct rvt_mr_birth *birth);

/* The same at a `start` of the device's choice (rvt_pick_user_start). `iova` NULL: equal to `start`. On
 * failure no address is used up.
 *   -EINVAL  also: the address space is used up */
int rvt_reg_user_mr_anywhere(struct rvt_pd_handle pd, struct rvt_memory *memory, const uint64_t *iova,
                             uint32_t access, struct rvt_mr_handle *mr, struct rvt_mr_birth *birth);

/* rvt_get_dma_mr: a region over all DMA memory, with both keys 0. The first one is what key 0 names; one that
 * is made while another is published is inert, and stays so. `access` is never looked at.
 *   -EPERM   the domain is a user's
 *   -ENOMEM  no memory */
int rvt_get_dma_mr(struct rvt_pd_handle pd, uint32_t access, struct rvt_mr_handle *mr);

/* rvt_alloc_mr: a region for rvt_map_mr_sg, with nothing mapped, access 0 and a key that works at once.
 *   -EINVAL  another type (tested first); max_num_sg above 2^31 - 1
 *   -ENOMEM  no slot, or no memory */
int rvt_alloc_mr(struct rvt_pd_handle pd, enum rvt_mr_type type, uint32_t max_num_sg,
                 struct rvt_mr_handle *mr);

/* rvt_dereg_mr: the key is dead at once and for good; the region goes if nobody holds a reference.
 *   -EBUSY   (not RVT_RELEASE_FORCE) SGEs are held: the region is half-dead, call again when they are put
 *   -EINVAL  it is an FMR
 * When it has returned 0 no byte of the region moves any more: it waits until readers that are inside the
 * device have left. So the calling thread's own reader must be outside, and it may hold no lock that a reader
 * waits for. The same goes for every verb that takes something away. */
int rvt_dereg_mr(struct rvt_mr_handle mr, enum rvt_release_mode mode);

/* Several at once, with one wait: rvt_dereg_mr or rvt_dealloc_fmr for each region of the list. Handles that
 * are dead are passed over, and the list may name one twice.
 *   -EBUSY   (not RVT_RELEASE_FORCE) at least one is held, and half-dead; the others have ended
 *   -EINVAL  one is not in this domain; nothing changed
 *   -EBADF   the domain is closed; nothing changed */
int rvt_dereg_mrs(struct rvt_pd_handle pd, const struct rvt_mr_handle *mrs, uint32_t count,
                  enum rvt_release_mode mode);

/* rvt_dealloc_fmr: as rvt_dereg_mr, for FMRs.
 *   -EBUSY   as rvt_dereg_mr
 *   -EINVAL  it is not an FMR */
int rvt_dealloc_fmr(struct rvt_mr_handle fmr, enum rvt_release_mode mode);

/* What a user may know of a region. */
struct rvt_mr_attributes {
    uint64_t id; /* > 0, never given twice on a device */
    struct rvt_mr_keys keys;
    enum rvt_mr_kind kind;
    uint32_t access, refs;
    uint64_t start;  /* local address of byte 0 */
    uint64_t iova;   /* the consumer-visible remote address */
    uint64_t length; /* bytes mapped */
    uint32_t segments, max_segments;
    bool valid, half_dead;
    bool counted;
    uint64_t accepted, refused, bytes; /* 0 unless counted */
};
int rvt_query_mr(struct rvt_mr_handle mr, struct rvt_mr_attributes *attributes);

/* Where a region's bytes are, and what a peer would ask for them by. One moment's truth.
 *   0       *place is filled
 *   -EBADF  the region is gone */
struct rvt_mr_place {
    struct rvt_memory_place memory; /* RVT_MEMORY_KIND_NONE for all but user memory */
    uint64_t pd;                    /* serial of its domain */
    uint64_t length;                /* bytes mapped */
    uint64_t remote_address;        /* that remote checks compare with */
    uint32_t access, key;
    enum rvt_mr_kind kind;
    bool works; /* its key works */
};
int rvt_find_mr_place(struct rvt_mr_handle mr, struct rvt_mr_place *place);

/* --- mr_sg.c --- */

struct rvt_sg_element {
    uint64_t address; /* DMA address */
    uint64_t length;  /* bytes */
};

/* What the consumer sees after rvt_map_mr_sg, also after a failure. */
struct rvt_sg_outcome {
    uint64_t iova, length;
};

/* rvt_map_mr_sg: map a scatter-gather list from byte `sg_offset` of its first element on.
 *   >= 0     how many elements were used: fewer than `count` at a hole or when the region is full
 *   -EINVAL  not a region of rvt_alloc_mr, or half-dead; empty list; sg_offset not below the first element's
 *            length; page_size not 4096; an element (any of them) empty or not inside one DMA mapping; the
 *            mapping would pass 2^64. Nothing has changed
 *   -ENOMEM  no segment fits (the old mapping is dropped all the same), or no memory (nothing has changed)
 * The list must not change during the call. *outcome is set but for -EBADF. Held SGEs do not prevent it; they
 * are refused afterwards (RVT_REMAPPED). */
int rvt_map_mr_sg(struct rvt_mr_handle mr, const struct rvt_sg_element *list, uint32_t count,
                  uint64_t sg_offset, uint32_t page_size, struct rvt_sg_outcome *outcome);

/* --- fast_reg.c --- */

/* rvt_fast_reg_mr: give a region of rvt_alloc_mr a new key (same upper 24 bits), new access and the visible
 * address as iova, and make it valid. With `iova`, the visible address is set first, and stays set if the
 * call fails with one of the errors below, but for the first.
 *   -EINVAL  the QP is of another device; nothing changed
 *   -EACCES  the QP's domain is not the region's
 *   -EINVAL  another kind of region, or half-dead; the upper 24 bits differ; the mapping would pass 2^64 */
int rvt_fast_reg_mr(struct rvt_qp_handle qp, struct rvt_mr_handle mr, uint32_t key, uint32_t access,
                    const uint64_t *iova);

/* rvt_invalidate_rkey: every region with a slot can be invalidated, again and again; only rvt_fast_reg_mr
 * revalidates.
 *   -EINVAL  key 0; no region answers to exactly this key; it is in another domain than the QP */
int rvt_invalidate_rkey(struct rvt_qp_handle qp, uint32_t rkey);

/* --- fmr.c --- */

struct rvt_fmr_attr {
    int64_t max_pages;
    uint32_t max_maps; /* never looked at, as in the reference */
    uint32_t page_shift;
};

/* rvt_alloc_fmr: a fast memory region with nothing mapped.
 *   -EINVAL  page_shift above 30; max_pages negative or above 2^31 - 1
 *   -ENOMEM  no slot, or no memory */
int rvt_alloc_fmr(struct rvt_pd_handle pd, uint32_t access, const struct rvt_fmr_attr *attr,
                  struct rvt_mr_handle *fmr);

/* rvt_map_phys_fmr: map a list of DMA pages (of 2^page_shift bytes, any alignment, repeats allowed) at
 * `iova`. The list is read once.
 *   -EINVAL  not an FMR
 *   -EBUSY   an SGE is held, or the region is half-dead
 *   -EINVAL  more pages than max_pages; the length does not fit 32 bits; iova + length above 2^64; a page not
 *            inside one DMA mapping
 *   -ENOMEM  no memory */
int rvt_map_phys_fmr(struct rvt_mr_handle fmr, const uint64_t *pages, uint64_t count, uint64_t iova);

/* rvt_unmap_fmr: unmap each FMR of the list, which may name one twice; all of one device. Held SGEs stay held
 * and are refused from then on.
 *   0        all are unmapped (an empty list too)
 *   -EINVAL  one is not an FMR, or of another device than the first; nothing changed
 *   -EBUSY   one is half-dead; nothing changed
 *   -EBADF   a handle is dead; nothing changed */
int rvt_unmap_fmr(const struct rvt_mr_handle *fmrs, uint32_t count);

/* rvt_count_mr: count from now on what checks of this region answer and how many of its bytes are copied.
 * Costs every check of it a shared counter, and every other check nothing.
 *   0        counted, from now on or from an earlier call on
 *   -ENOMEM  no memory
 *   -EBADF   the handle is dead */
int rvt_count_mr(struct rvt_mr_handle handle);

extern const struct rvt_object_kind rvt_mr_objects;

#endif
