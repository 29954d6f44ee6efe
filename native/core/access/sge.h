/* SPDX-License-Identifier: BSD-3-Clause */
/* Accepted scatter-gather elements, and the state of a walk over a list of them. */
#ifndef RVT_SGE_H
#define RVT_SGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/epoch.h"
#include "core/objects/dma.h"
#include "core/objects/region.h"
#include "core/objects/ucontext.h"

/* A scatter-gather element of a work request: the verbs' struct ib_sge. */
struct rvt_ib_sge {
    uint64_t addr;
    uint32_t length;
    uint32_t lkey;
};

/* An accepted element, which normally holds a reference on its region. Lives in native memory that JavaScript
 * cannot write. Used by one thread at a time. */
struct rvt_sge {
    struct rvt_mregion *mr; /* NULL: the element is released (no reference taken yet, or already put) */
    /* The per-context count that holds the reference, and that context; NULL: counted in the region. */
    _Atomic(int64_t) *count;
    struct rvt_ucontext *by;
    struct rvt_dma_map *dma; /* key 0: the DMA mapping, on which a reference is held; otherwise NULL */
    uint64_t map_generation; /* generation of the mapping it was accepted under; unused for key 0 */
    /* Current position. Key 0: a DMA address. Otherwise an offset from the start of segment 0, so it includes
     * the region's first-byte offset. */
    uint64_t position;
    uint64_t at;         /* location of the first byte: offset in the user buffer, or DMA address */
    uint64_t request;    /* the address that was requested */
    uint32_t length;     /* bytes left in the segment; for key 0, in the element */
    uint32_t sge_length; /* bytes left in the element */
    uint32_t rights;     /* access bits that were both requested and granted */
    uint16_t offset;     /* offset of the region's first byte in segment 0 */
    uint8_t shift;       /* log2 of the segment size */
    bool remote;         /* accepted by a remote check (rvt_rkey_ok) */
    bool user;           /* `at` is an offset in the user buffer */
};

static inline bool rvt_sge_key_zero(const struct rvt_sge *sge) {
    return sge->dma != NULL;
}

/* Returns the index of the segment that contains the position, or 0 for key 0. The kernel stores the index as
 * m * RVT_SEGSZ + n with 16 bits each, and so loses the high part from 2^24 segments on. */
static inline uint64_t rvt_sge_segment(const struct rvt_sge *sge) {
    return rvt_sge_key_zero(sge) ? 0 : sge->position >> sge->shift;
}

/* Puts the element's reference and marks the element as released. Does nothing if it already is. If the
 * reference was taken through a context, only that context's thread may call this. The caller must not hold
 * the device lock, and must hold its own reference on the device. */
void rvt_put_sge(struct rvt_sge *sge);

/* Puts the element's reference like rvt_put_sge(), if `context` has counted it and no thread waits for the put.
 * Otherwise does nothing and returns false. The caller must be in a section of the context's reader. */
static inline bool rvt_put_sge_inside(struct rvt_sge *sge, const struct rvt_ucontext *context) {
    if (!sge->mr || !sge->count || sge->by != context ||
        atomic_load_explicit(&context->device->watched, memory_order_acquire))
        return false;
    sge->mr = NULL;
    rvt_add_held(sge->count, -1);
    return true;
}

/* Transfers the element to `context` after another thread has stopped using it: its reference can then be put
 * by the thread of `context`. Called by the receiving thread; NULL if that thread has no context. */
void rvt_take_over_sge(struct rvt_sge *sge, struct rvt_ucontext *context);

/* Puts the references of all elements of a list that hold one, as rvt_put_sge() does, but in few reader
 * sections. Returns how many were put. */
uint32_t rvt_put_sges(struct rvt_sge *list, uint32_t count);

/* --- the walk --- */

/* A walk over elements that it does not own. It works on a copy of the current element and touches the
 * owner's element only to put its reference (`release`). */
struct rvt_sge_state {
    struct rvt_sge **list; /* the elements after the current one */
    uint32_t num_sge;      /* elements left, including the current one */
    struct rvt_sge *owner; /* the element that `sge` is a copy of */
    struct rvt_sge sge;    /* the current element, at the current position */
};

/* Starts a walk at the first byte of `count` elements (1..255). The array and the elements must outlive the
 * state.
 *   0        *ss is at the first byte
 *   -EINVAL  `count` is out of range
 *   -EBADF   an element is released */
int rvt_ss_init(struct rvt_sge_state *ss, struct rvt_sge **elements, uint32_t count);

/* Returns the number of bytes left in the walk: total_len of the kernel's rvt_sge_state. */
uint64_t rvt_ss_total_len(const struct rvt_sge_state *ss);

/* Returns the length in bytes of the next fragment if `length` bytes are wanted: the minimum of `length`, the
 * rest of the segment and the rest of the element. Skips empty elements. Returns 0 at the end of the walk. */
uint32_t rvt_get_sge_length(const struct rvt_sge_state *ss, uint32_t length);

/* Advances the walk by `length` bytes, like the kernel's rvt_update_sge(): at most to the end of the current
 * element, over segment boundaries as needed. At the end of an element, begins the next one and, if
 * `release`, puts the finished element's reference.
 *   0        *ss has moved
 *   -EINVAL  fewer bytes are left in the element; nothing changed */
int rvt_update_sge(struct rvt_sge_state *ss, uint32_t length, bool release);

/* Skips empty elements, except the last element of the list. Puts their references if `release`. */
void rvt_pass_empty_sges(struct rvt_sge_state *ss, bool release);

/* Advances the walk by `length` bytes over any number of elements, like the kernel's rvt_skip_sge().
 *   0        *ss has moved
 *   -EINVAL  fewer bytes are left; nothing changed */
int rvt_skip_sge(struct rvt_sge_state *ss, uint64_t length, bool release);

/* Puts the references of all elements that are left, and moves the state to its end. */
void rvt_put_ss(struct rvt_sge_state *ss);

/* Returns whether the region of any remaining element has this key, or had it last if the region is half-dead
 * (deregistered while elements still hold references on it). */
bool rvt_ss_has_lkey(const struct rvt_sge_state *ss, uint32_t lkey);

/* Returns the first index (the current element has index 0) whose element already appears earlier in the
 * list: it holds one reference, which cannot be put twice. Returns 0 if there is none. */
uint32_t rvt_ss_find_twice(const struct rvt_sge_state *ss);

/* Checks whether the walk can advance by `length` bytes.
 *   0        it can
 *   -EINVAL  fewer bytes are left; or, with `release`, an element is in the list twice */
int rvt_ss_judge(const struct rvt_sge_state *ss, uint64_t length, bool release);

/* Returns why the element cannot be used now, or RVT_REASON_NONE and its mapping in *map (NULL for key 0).
 * The caller must be in a reader section; *map is valid until the section ends. */
enum rvt_reason rvt_sge_usable(const struct rvt_sge *sge, struct rvt_map **map);

/* Returns the device whose reader sections the walk must enter: the one that all remaining elements are on,
 * or rvt_every_device if they are on several devices or none is left. */
struct rvt_retirement *rvt_ss_device(const struct rvt_sge_state *ss);

/* One contiguous fragment of a walk. */
struct rvt_fragment {
    uint64_t region; /* id of the region */
    uint64_t at;     /* as in struct rvt_sge */
    uint32_t length;
    uint32_t step;  /* index of the step that contains it */
    uint32_t index; /* the region's index in its pool */
    bool user;
};

/* Walks `count` steps of steps[i] bytes and reports every fragment to `emit`. A fragment never spans two
 * steps. Enters sections of `reader`, which must be outside any section; `emit` is called between sections
 * and may take long.
 *   0        walked and reported
 *   -EINVAL  the steps exceed the bytes left; or, with `release`, an element is in the list twice (it has
 *            only one reference to put); or an element cannot be used now: *reason then says why, and is
 *            RVT_REASON_NONE otherwise. Nothing was reported, changed or released, unless another thread
 *            revoked an element during the walk
 *   -ENOMEM  `emit` returned false to abort; the state is undefined */
int rvt_walk(struct rvt_reader *reader, struct rvt_sge_state *ss, const uint32_t *steps, uint32_t count,
             bool release, enum rvt_reason *reason,
             bool (*emit)(void *context, const struct rvt_fragment *fragments, uint32_t count),
             void *context);

#endif
