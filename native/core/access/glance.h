/* SPDX-License-Identifier: BSD-3-Clause */
/* Accesses in the common case: they are named by a key, not empty, and may be; no writer is at work on the
 * record, and nobody counts the region's accesses. One look at one cache line tells. What is not accepted
 * here, for whatever cause, is judged by judge.h, which works out the reason. Included by the access files
 * only. */
#ifndef RVT_ACCESS_GLANCE_H
#define RVT_ACCESS_GLANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/judge.h"
#include "core/access/sge.h"
#include "core/objects/held_counts.h"
#include "core/objects/lkey_table.h"
#include "core/objects/region.h"
#include "core/objects/ucontext.h"

/* What the verdict needs of a record, and the sequence that was there before. */
struct glance {
    uint64_t sequence, rights, origin, bytes;
};

/* Read a record in the common case: no writer is at work, and the record has this name (the key asked for and
 * the asker's domain). What was read can be used if the sequence is the same when the caller has loaded all
 * that it wants. */
RVT_ALWAYS_INLINE bool glance_at(const struct rvt_lkey_record *record, uint64_t name, bool remote,
                                 struct glance *glance) {
    glance->sequence = atomic_load_explicit(&record->sequence, memory_order_acquire);
    const struct rvt_record_copy *copy = &record->line0;
    /* Name first, the sequence again last: as in rvt_record_read. No record's name has key 0. */
    if ((glance->sequence & 1) || atomic_load_explicit(&copy->name, memory_order_acquire) != name)
        return false;
    glance->rights = atomic_load_explicit(&copy->rights, memory_order_acquire);
    glance->origin = atomic_load_explicit(remote ? &copy->iova : &copy->base, memory_order_acquire);
    glance->bytes = atomic_load_explicit(&copy->length, memory_order_acquire);
    return true;
}

/* The verdict alone, for the common case: the access is named by a key, not empty, and may be. False says
 * nothing: judge_access() then tells. Reads no more of the record than the verdict needs. `wanted`:
 * acc_and_plain. */
RVT_ALWAYS_INLINE bool accept_at_a_glance(const struct rvt_lkey_record *record, uint64_t name, uint64_t addr,
                                          uint32_t length, uint64_t wanted, bool remote) {
    struct glance glance;
    if (!glance_at(record, name, remote, &glance))
        return false;
    return atomic_load_explicit(&record->sequence, memory_order_relaxed) == glance.sequence &&
           record_grants(glance.rights, glance.origin, glance.bytes, addr, length, wanted, remote);
}

/* Take the reference of an element in the common case: it is named by a key, not empty, of a region whose
 * references are counted by who takes them, and it may be. False says nothing, and nothing was taken:
 * rvt_accept_access() then tells. The count goes up before the last look at the sequence, so that one look
 * tells that both the reading and the reference are good. */
RVT_ALWAYS_INLINE bool acquire_at_a_glance(const struct rvt_lkey_record *record, uint64_t name, uint64_t addr,
                                           uint32_t length, uint64_t wanted, bool remote,
                                           struct rvt_ucontext *context, struct rvt_sge *sge) {
    struct glance glance;
    if (!glance_at(record, name, remote, &glance))
        return false;
    const struct rvt_map *map = atomic_load_explicit(&record->line0.map, memory_order_acquire);
    uint32_t region = atomic_load_explicit(&record->line0.region, memory_order_acquire);
    uint64_t rights = glance.rights;
    if (!record_grants(rights, glance.origin, glance.bytes, addr, length, wanted, remote) ||
        (rights & rvt_record_rights(0, RVT_SHAPE_ONE_WORD)))
        return false;
    _Atomic(int64_t) *count = rvt_held_count(&context->held, region);
    if (!count)
        return false;
    rvt_add_held(count, 1);
    if (atomic_load_explicit(&record->sequence, memory_order_acquire) != glance.sequence) {
        rvt_add_held(count, -1);
        return false;
    }
    /* From the record alone: the mapping of user memory, an extent, need not be looked at. */
    uint32_t shape = (uint32_t)(rights >> 32), shift = rvt_shape_shift(shape);
    uint64_t into = addr - glance.origin, position = into + rvt_shape_offset(shape);
    bool extent = shape & RVT_SHAPE_EXTENT;
    sge->mr = extent ? rvt_mr_of_extent(map) : map->mr;
    sge->count = count;
    sge->by = context;
    sge->dma = NULL;
    sge->map_generation = extent ? 0 : map->generation;
    sge->position = position;
    sge->at = extent ? into : rvt_map_locate(map, position);
    sge->request = addr;
    sge->length = rvt_segment_rest(position, shift);
    sge->sge_length = length;
    sge->rights = (uint32_t)(rights & wanted);
    sge->offset = (uint16_t)rvt_shape_offset(shape);
    sge->shift = (uint8_t)shift;
    sge->remote = remote;
    sge->user = extent;
    return true;
}

#endif
