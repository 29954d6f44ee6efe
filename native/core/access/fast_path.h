/* SPDX-License-Identifier: BSD-3-Clause */
/* The fast path of a check. Reads one cache line and accepts the common case: a non-empty, permitted access
 * by key to a region without counters, while no writer is changing its record. Everything else goes to the
 * slow path in judge.h, which also finds the reason of a refusal. Only files in core/access include this
 * header. */
#ifndef RVT_ACCESS_FAST_PATH_H
#define RVT_ACCESS_FAST_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/judge.h"
#include "core/access/sge.h"
#include "core/objects/held_counts.h"
#include "core/objects/lkey_table.h"
#include "core/objects/region.h"
#include "core/objects/ucontext.h"

/* The fields of a record that a verdict needs, and the sequence number that was read before them. */
struct record_view {
    uint64_t sequence, rights, origin, bytes;
};

/* Reads a record. Returns false if a writer is changing the record, or if the record's name (key and domain)
 * is not `name`. The caller must load the sequence again after all other fields: what was read is valid only
 * if the sequence has not changed. */
RVT_ALWAYS_INLINE bool read_record_fast(const struct rvt_lkey_record *record, uint64_t name, bool remote,
                                        struct record_view *view) {
    view->sequence = atomic_load_explicit(&record->sequence, memory_order_acquire);
    const struct rvt_record_copy *copy = &record->line0;
    /* Load the name first and the sequence again last, as rvt_record_read() does. Key 0 never matches,
     * because no record's name contains it. */
    if ((view->sequence & 1) || atomic_load_explicit(&copy->name, memory_order_acquire) != name)
        return false;
    view->rights = atomic_load_explicit(&copy->rights, memory_order_acquire);
    view->origin = atomic_load_explicit(remote ? &copy->iova : &copy->base, memory_order_acquire);
    view->bytes = atomic_load_explicit(&copy->length, memory_order_acquire);
    return true;
}

/* Returns whether the access is accepted. False is not a verdict: the caller must call judge_access().
 * `wanted` comes from acc_and_plain(). */
RVT_ALWAYS_INLINE bool accept_fast(const struct rvt_lkey_record *record, uint64_t name, uint64_t addr,
                                   uint32_t length, uint64_t wanted, bool remote) {
    struct record_view view;
    if (!read_record_fast(record, name, remote, &view))
        return false;
    return atomic_load_explicit(&record->sequence, memory_order_relaxed) == view.sequence &&
           record_grants(view.rights, view.origin, view.bytes, addr, length, wanted, remote);
}

/* Fills the element of an accepted access, except for its reference. `map` must have been loaded together with
 * the view, and `wanted` is from acc_and_plain(). */
RVT_ALWAYS_INLINE void fill_sge_fast(struct rvt_sge *sge, const struct record_view *view,
                                     const struct rvt_map *map, uint64_t addr, uint32_t length,
                                     uint64_t wanted, bool remote) {
    /* User memory is a single extent, so the position follows from the record without loading the mapping. */
    uint32_t shape = (uint32_t)(view->rights >> 32), shift = rvt_shape_shift(shape);
    uint64_t into = addr - view->origin, position = into + rvt_shape_offset(shape);
    bool extent = shape & RVT_SHAPE_EXTENT;
    sge->mr = extent ? rvt_mr_of_extent(map) : map->mr;
    sge->dma = NULL;
    sge->map_generation = extent ? 0 : map->generation;
    sge->position = position;
    sge->at = extent ? into : rvt_map_locate(map, position);
    sge->request = addr;
    sge->length = rvt_segment_rest(position, shift);
    sge->sge_length = length;
    sge->rights = (uint32_t)(view->rights & wanted);
    sge->offset = (uint16_t)rvt_shape_offset(shape);
    sge->shift = (uint8_t)shift;
    sge->remote = remote;
    sge->user = extent;
}

/* Accepts an access without taking a reference. False is not a verdict: the caller must call judge_access(). */
RVT_ALWAYS_INLINE bool view_fast(const struct rvt_lkey_record *record, uint64_t name, uint64_t addr,
                                 uint32_t length, uint64_t wanted, bool remote, struct rvt_sge *sge) {
    struct record_view view;
    if (!read_record_fast(record, name, remote, &view))
        return false;
    const struct rvt_map *map = atomic_load_explicit(&record->line0.map, memory_order_acquire);
    if (atomic_load_explicit(&record->sequence, memory_order_relaxed) != view.sequence ||
        !record_grants(view.rights, view.origin, view.bytes, addr, length, wanted, remote))
        return false;
    fill_sge_fast(sge, &view, map, addr, length, wanted, remote);
    sge->count = NULL;
    sge->by = NULL;
    return true;
}

/* Accepts an access and takes a reference, if the region's references are counted by context. False is not a
 * verdict and takes no reference: the caller must call rvt_accept_access(). The count is incremented before
 * the sequence is loaded again, so that one load validates both the fields that were read and the
 * reference. */
RVT_ALWAYS_INLINE bool acquire_fast(const struct rvt_lkey_record *record, uint64_t name, uint64_t addr,
                                    uint32_t length, uint64_t wanted, bool remote,
                                    struct rvt_ucontext *context, struct rvt_sge *sge) {
    struct record_view view;
    if (!read_record_fast(record, name, remote, &view))
        return false;
    const struct rvt_map *map = atomic_load_explicit(&record->line0.map, memory_order_acquire);
    uint32_t region = atomic_load_explicit(&record->line0.region, memory_order_acquire);
    uint64_t rights = view.rights;
    if (!record_grants(rights, view.origin, view.bytes, addr, length, wanted, remote) ||
        (rights & rvt_record_rights(0, RVT_SHAPE_ONE_WORD)))
        return false;
    _Atomic(int64_t) *count = rvt_held_count(&context->held, region);
    if (!count)
        return false;
    rvt_add_held(count, 1);
    if (atomic_load_explicit(&record->sequence, memory_order_acquire) != view.sequence) {
        rvt_add_held(count, -1);
        return false;
    }
    fill_sge_fast(sge, &view, map, addr, length, wanted, remote);
    sge->count = count;
    sge->by = context;
    return true;
}

#endif
