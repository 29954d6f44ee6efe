/* SPDX-License-Identifier: BSD-3-Clause */
/* Scatter-gather elements that a check has accepted, and the state of a walk over a list of them. */
#ifndef RVT_SGE_H
#define RVT_SGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/epoch.h"
#include "core/objects/dma.h"
#include "core/objects/region.h"
#include "core/objects/ucontext.h"

/* What a work request names: the verbs' struct ib_sge. */
struct rvt_ib_sge {
    uint64_t addr;
    uint32_t length;
    uint32_t lkey;
};

/* An accepted element. Lives in the core's or its holder's native memory, never in memory that JavaScript can
 * write. Belongs to one thread at a time. */
struct rvt_sge {
    struct rvt_mregion *mr; /* NULL: no reference is held (never taken, or put) */
    /* The count that its reference is in, and the context that it belongs to; NULL: the region's own. */
    _Atomic(int64_t) *count;
    struct rvt_ucontext *by;
    struct rvt_dma_map *dma; /* key 0: the mapping it lies in, counted; otherwise NULL */
    uint64_t map_generation; /* the mapping it was proven under (not for key 0) */
    uint64_t position; /* key 0: DMA address; otherwise byte in segment space (first-byte offset included) */
    uint64_t at;       /* where its first byte lies: byte in the user buffer, or DMA address */
    uint64_t request;  /* the address it was asked for by */
    uint32_t length;   /* bytes left in the segment from the position on */
    uint32_t sge_length; /* bytes of the element */
    uint32_t rights;     /* access bits that were asked for and found */
    uint16_t offset;     /* of the region's byte 0 in segment 0 */
    uint8_t shift;       /* log2 of the segment size */
    bool remote;         /* proven by rvt_rkey_ok */
    bool user;           /* `at` is a byte of the user's buffer */
};

static inline bool rvt_sge_key_zero(const struct rvt_sge *sge) {
    return sge->dma != NULL;
}

/* Index of the segment that the position lies in; 0 for key 0. The reference counts it as m * RVT_SEGSZ + n,
 * in 16 bits each, which lose the high part of the index at 2^24 segments. */
static inline uint64_t rvt_sge_segment(const struct rvt_sge *sge) {
    return rvt_sge_key_zero(sge) ? 0 : sge->position >> sge->shift;
}

/* Put the element's reference; the element is dead then. Putting a dead one does nothing. By the thread of
 * the context that it was taken through, if it was taken through one; not with the device's lock held. The
 * caller's own reference on the device keeps the structures. */
void rvt_put_sge(struct rvt_sge *sge);

/* Another thread goes on with the element, and puts it: from now on its reference is one of this context's
 * (NULL: of nobody's, for a thread without one). By that thread, after the one before has let go of the
 * element. */
void rvt_take_over_sge(struct rvt_sge *sge, struct rvt_ucontext *context);

/* Put all elements of a list that are not dead, as rvt_put_sge, but in one section; returns how many there
 * were. */
uint32_t rvt_put_sges(struct rvt_sge *list, uint32_t count);

/* --- the walk --- */

/* A walk over elements that somebody else owns: it works on a copy of the current one, and touches an owner's
 * element only to put its reference (`release`). */
struct rvt_sge_state {
    struct rvt_sge **list; /* the elements not yet begun */
    uint32_t num_sge;      /* elements left, the current one included */
    struct rvt_sge *owner; /* the element that `sge` is a copy of */
    struct rvt_sge sge;    /* the current one, at the current position */
};

/* Begin at the first byte of `count` elements (1..255). The array and the elements must outlive the state.
 *   0        *ss is at the first byte
 *   -EINVAL  count out of range
 *   -EBADF   an element is dead */
int rvt_ss_init(struct rvt_sge_state *ss, struct rvt_sge **elements, uint32_t count);

/* Bytes left: the reference's total_len. */
uint64_t rvt_ss_total_len(const struct rvt_sge_state *ss);

/* Length of the next fragment if `length` bytes are wanted: the smallest of `length`, what is left of the
 * segment and what is left of the element; empty elements are passed over. 0 at the end. */
uint32_t rvt_get_sge_length(const struct rvt_sge_state *ss, uint32_t length);

/* Go `length` bytes on, at most to the end of the current element. Past a segment's end the next one begins;
 * past the element's end its reference is put if `release`, and the next element begins.
 *   0        *ss has moved
 *   -EINVAL  the element has not so many bytes; nothing changed */
int rvt_update_sge(struct rvt_sge_state *ss, uint32_t length, bool release);

/* Pass over empty elements, up to the last one; their references are put if `release`. */
void rvt_pass_empty_sges(struct rvt_sge_state *ss, bool release);

/* Go `length` bytes on over any number of elements.
 *   0        *ss has moved
 *   -EINVAL  there are not so many bytes; nothing changed */
int rvt_skip_sge(struct rvt_sge_state *ss, uint64_t length, bool release);

/* Put every element not yet consumed; the state is at its end then. */
void rvt_put_ss(struct rvt_sge_state *ss);

/* True if the region of any element that is left answers (or, half-dead, last answered) to this key. */
bool rvt_ss_has_lkey(const struct rvt_sge_state *ss, uint32_t lkey);

/* The first place (counted from the current element, 0) whose element stood in the list before: it has one
 * reference, so it cannot be put twice. 0: there is none. */
uint32_t rvt_ss_find_twice(const struct rvt_sge_state *ss);

/* Can the walk go on by `length` bytes?
 *   0        it can
 *   -EINVAL  fewer are left; with `release`, an element is in the list twice */
int rvt_ss_judge(const struct rvt_sge_state *ss, uint64_t length, bool release);

/* Why the element cannot be used now, or RVT_REASON_NONE and the mapping to use (*map is NULL for key 0).
 * Inside a reader's section; *map is good until its end. */
enum rvt_reason rvt_sge_usable(const struct rvt_sge *sge, struct rvt_map **map);

/* The device whose sections a walk needs: that of the elements that are left, or rvt_every_device. */
struct rvt_retirement *rvt_ss_device(const struct rvt_sge_state *ss);

/* Where one fragment lay. */
struct rvt_fragment {
    uint64_t region; /* its id */
    uint64_t at;     /* as rvt_sge.at */
    uint32_t length;
    uint32_t step;  /* index of the step that it belongs to */
    uint32_t index; /* the region's place in its pool */
    bool user;
};

/* Walk on in `count` steps of steps[i] bytes, telling every fragment. A step's end always splits. Enters
 * sections of the reader, which must be outside; `emit` is called between them, and may take its time.
 *   0        walked and told
 *   -EINVAL  the steps add up to more than is left; with `release`, an element is in the list twice (it has
 *            one reference to put); an element cannot be used now: then *reason says why, and is
 *            RVT_REASON_NONE otherwise. Nothing is told, changed or released, unless another thread revoked
 *            an element during the walk
 *   -ENOMEM  `emit` returned false to give up; the state is undefined */
int rvt_walk(struct rvt_reader *reader, struct rvt_sge_state *ss, const uint32_t *steps, uint32_t count,
             bool release, enum rvt_reason *reason,
             bool (*emit)(void *context, const struct rvt_fragment *fragments, uint32_t count),
             void *context);

#endif
