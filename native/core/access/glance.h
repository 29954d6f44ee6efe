/* SPDX-License-Identifier: BSD-3-Clause */
/* The fast path of a check, which reads one cache line: a non-empty access by key, permitted, to a region
 * without counters whose record no writer is changing. Everything else goes to judge.h, which also finds the
 * reason of a refusal. Included by the access files only. */
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

/* The fields of a record that a verdict needs, and the sequence that was read before them. */
struct glance {
    uint64_t sequence, rights, origin, bytes;
};

/* Read a record. False: a writer is changing it, or its name (key and domain) is not `name`. The caller must
 * load the sequence again after all other fields; what was read is valid only if the sequence is the same. */
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

/* Whether the access is accepted on the fast path. False is no verdict: call judge_access(). `wanted`:
 * acc_and_plain. */
RVT_ALWAYS_INLINE bool accept_at_a_glance(const struct rvt_lkey_record *record, uint64_t name, uint64_t addr,
                                          uint32_t length, uint64_t wanted, bool remote) {
    struct glance glance;
    if (!glance_at(record, name, remote, &glance))
        return false;
    return atomic_load_explicit(&record->sequence, memory_order_relaxed) == glance.sequence &&
           record_grants(glance.rights, glance.origin, glance.bytes, addr, length, wanted, remote);
}

/* Accept an access on the fast path and take its reference, if the region's references are counted by
 * context. False is no verdict, and no reference was taken: call rvt_accept_access(). The count is
 * incremented before the sequence is loaded again, so that this one load validates both the fields that were
 * read and the reference. */
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
    /* User memory is one extent: the position is computed from the record, without a load of the mapping. */
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
