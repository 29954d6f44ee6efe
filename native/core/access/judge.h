/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the access checks: how one access is judged against one consistent reading of its key's
 * record. Inline, because the batch (batch.c) runs it hundreds of times a call. Included by the
 * access files only. */
#ifndef RVT_ACCESS_JUDGE_H
#define RVT_ACCESS_JUDGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/access/check.h"
#include "core/base/counters.h"
#include "core/base/failure.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/dma.h"
#include "core/objects/lkey_table.h"
#include "core/objects/region.h"

/* Inlined whatever its size: then what was found stays in registers where only the verdict is wanted. */
#define RVT_ALWAYS_INLINE static inline __attribute__((always_inline))

/* One access to judge. */
struct access {
    const struct rvt_checker *checker;
    uint64_t addr;
    uint32_t length, key, acc;
};

/* What was found for an access that may be. */
struct found {
    struct rvt_lkey_record *record;
    uint64_t sequence;
    struct rvt_lkey_entry entry;
    uint64_t position;       /* in segment space */
    _Atomic(int64_t) *count; /* that an acquired reference is in; NULL: the region's own */
    /* key 0: */
    struct rvt_mregion *dma_mr;
    struct rvt_dma_map *dma;
};

/* --- judging --- */

/* Why a record under another key refuses. Only here is more than the record's key looked at, so it
 * may be slow. */
static inline enum rvt_reason find_key_mismatch_reason(const struct rvt_lkey_record *record, uint32_t held,
                                                       uint32_t key) {
    if (held)
        return RVT_STALE_KEY;
    uint32_t last = atomic_load_explicit(&record->line0.last_key, memory_order_acquire);
    return last == key ? RVT_REVOKED : RVT_NO_SUCH_KEY;
}

/* Whether a record that says this grants a request that is not empty. All of the rule that the name (key and
 * domain) does not settle. Which part of it has failed is worked out on the refusing path only
 * (find_refusal_reason). */
RVT_ALWAYS_INLINE bool record_grants(uint64_t rights, uint64_t origin, uint64_t length, uint64_t addr,
                                     uint32_t wanted, uint64_t acc_and_valid, bool remote) {
    uint64_t into = addr - origin;
    /* Never the sum of offset and length: it wraps for an address near 2^64 and would pass. An address below
     * the origin makes `into` at least 2^64 - origin, and no region is that long: none passes 2^64. An empty
     * request makes the second difference huge, and is refused here. */
    bool inside = into < length && (uint64_t)wanted - 1 < length - into;
    uint64_t granted = rights & acc_and_valid;
    return inside && (remote ? (uint32_t)granted != 0 && granted >> 32 : granted == acc_and_valid);
}

/* What `record_grants` compares rights with: the access mask, and one flag of the shape. VALID; or PLAIN, for
 * the fast path, which leaves regions with counters to the slow one. */
static inline uint64_t acc_and_valid(uint32_t acc) {
    return rvt_record_rights(acc, RVT_SHAPE_VALID);
}
static inline uint64_t acc_and_plain(uint32_t acc) {
    return rvt_record_rights(acc, RVT_SHAPE_PLAIN);
}

/* The same for a consistent entry, whose key is the right one, and any request; the first test that fails
 * gives the reason. */
static inline enum rvt_reason find_refusal_reason(const struct rvt_lkey_entry *entry,
                                                  const struct access *request) {
    bool remote = request->checker->remote;
    uint64_t origin = remote ? entry->iova : entry->base;
    uint64_t into = request->addr - origin;
    if (!rvt_shape_valid(entry->shape))
        return RVT_INVALIDATED;
    if (entry->pd != request->checker->pd)
        return RVT_WRONG_PD;
    if (request->addr < origin || into > entry->length || request->length > entry->length - into)
        return RVT_OUT_OF_BOUNDS;
    uint32_t granted = entry->access & request->acc;
    if (remote ? !granted : granted != request->acc)
        return RVT_ACCESS_DENIED;
    /* What is inside the length is mapped. Only an empty request can point behind it: at the very end, where
     * no segment may lie. */
    if (!request->length && into == entry->length && (entry->shape & RVT_SHAPE_END_UNMAPPED))
        return RVT_UNMAPPED;
    return RVT_REASON_NONE;
}

static enum rvt_reason judge_key_zero(const struct access *access, struct found *found) {
    const struct rvt_checker *checker = access->checker;
    found->dma = NULL;
    found->dma_mr = NULL;
    if (checker->user || (checker->remote && !checker->device->remote_key_zero))
        return RVT_KEY_ZERO_DENIED;
    found->dma_mr = atomic_load_explicit(&checker->device->dma_mr, memory_order_acquire);
    if (!found->dma_mr)
        return RVT_NO_DMA_REGION;
    bool straddles;
    found->dma = rvt_dma_find(&checker->device->dma, access->addr, access->length, &straddles);
    if (!found->dma)
        return straddles ? RVT_OUT_OF_BOUNDS : RVT_UNMAPPED;
    /* A mapping is closed before it leaves the table. From then on it is no more: a check that went by the
     * table alone would have to wait for the writer in between. */
    if (atomic_load_explicit(&found->dma->users, memory_order_acquire) & RVT_DMA_CLOSED)
        return RVT_UNMAPPED;
    return RVT_REASON_NONE;
}

RVT_ALWAYS_INLINE enum rvt_reason judge_by_key(const struct access *access, struct found *found) {
    found->dma = NULL;
    found->dma_mr = NULL;
    const struct rvt_lkey_table *table = &access->checker->device->lkey_table;
    found->record = rvt_lkey_record(table, access->key);
    found->sequence = rvt_record_read(table, found->record, access->key, &found->entry);
    const struct rvt_lkey_entry *entry = &found->entry;
    if (entry->key != access->key)
        return find_key_mismatch_reason(found->record, entry->key, access->key);
    uint64_t origin = access->checker->remote ? entry->iova : entry->base;
    found->position = access->addr - origin + rvt_shape_offset(entry->shape);
    if (entry->pd == access->checker->pd &&
        record_grants(rvt_record_rights(entry->access, entry->shape), origin, entry->length, access->addr,
                      access->length, acc_and_valid(access->acc), access->checker->remote))
        return RVT_REASON_NONE;
    return find_refusal_reason(entry, access);
}

/* Two variables: one that a call is given the address of would have to stay in memory. */
RVT_ALWAYS_INLINE enum rvt_reason judge_access(const struct access *access, struct found *found) {
    if (access->key)
        return judge_by_key(access, found);
    struct found zero;
    enum rvt_reason reason = judge_key_zero(access, &zero);
    found->dma = zero.dma;
    found->dma_mr = zero.dma_mr;
    return reason;
}

/* --- counting --- */

static inline void count_for_context(const struct rvt_checker *checker, enum rvt_reason reason,
                                     uint64_t more) {
    struct rvt_ucontext *context = checker->context;
    if (context)
        rvt_count(reason ? &context->counters.refused[reason] : &context->counters.accepted, more);
}

/* The region that was judged, if it is counted. What was found under another key is not its matter. */
static inline bool is_region_counted(const struct access *access, const struct found *found) {
    return access->key ? found->entry.key == access->key && (found->entry.shape & RVT_SHAPE_COUNTED)
                       : found->dma_mr != NULL;
}

/* Inside the section in which it was judged. */
static inline void count_for_region(const struct access *access, const struct found *found,
                                    enum rvt_reason reason) {
    if (!is_region_counted(access, found))
        return;
    struct rvt_mr_counters *counters = rvt_mr_counters_of(access->key ? found->entry.map->mr : found->dma_mr);
    if (counters)
        rvt_count_shared(reason ? &counters->refused : &counters->accepted, 1);
}

static inline void count_verdict(const struct access *access, const struct found *found,
                                 enum rvt_reason reason) {
    count_for_context(access->checker, reason, 1);
    count_for_region(access, found, reason);
}

/* Refuse `accesses` because who asks is closed. No region counts them, as none was looked at; the context does,
 * unless it has ended. */
static inline enum rvt_reason refuse_closed(struct rvt_ucontext *context, uint64_t accesses) {
    if (context && !rvt_ucontext_gone(context))
        rvt_count(&context->counters.refused[RVT_CLOSED], accesses);
    return RVT_CLOSED;
}

/* --- the accepted element --- */

static inline void fill_sge(struct rvt_sge *sge, const struct access *access, const struct found *found) {
    memset(sge, 0, sizeof(*sge));
    sge->request = access->addr;
    sge->sge_length = access->length;
    sge->remote = access->checker->remote;
    if (found->dma) {
        sge->mr = found->dma_mr;
        sge->dma = found->dma;
        sge->position = sge->at = access->addr;
        sge->length = access->length;
        sge->rights = access->acc; /* a DMA region's own access is never looked at */
        return;
    }
    const struct rvt_map *map = found->entry.map;
    sge->mr = map->mr;
    sge->count = found->count;
    sge->by = found->count ? access->checker->context : NULL;
    sge->map_generation = map->generation;
    sge->position = found->position;
    sge->shift = map->shift;
    sge->offset = map->offset;
    sge->user = map->memory != NULL;
    sge->at = rvt_map_locate(map, found->position);
    sge->length = rvt_segment_rest(found->position, map->shift);
    /* A remote check passes on any one bit: only those that were found are proven. */
    sge->rights = found->entry.access & access->acc;
}

/* Take a reference in the context's own count (or, without one, in the region's). Afterwards the record's
 * sequence is compared again: if the region was revoked or mapped anew since the record was read, the
 * reference is given back. This only keeps a dereg from being EBUSY without need. A reference that was added
 * later in the same section would be counted all the same, because the dereg waits for the section before it
 * counts. */
static inline enum rvt_acquired count_reference(const struct access *access, struct found *found) {
    struct rvt_ucontext *context = access->checker->context;
    _Atomic(int64_t) *count = NULL;
    if (context && context->reader) {
        if (__builtin_expect(!context->held.limit, 0))
            rvt_make_held_counts(context);
        count = rvt_held_count(&context->held, found->entry.region);
    }
    found->count = count;
    if (count)
        rvt_add_held(count, 1);
    else
        atomic_fetch_add_explicit(&found->entry.map->mr->elsewhere, 1, memory_order_acq_rel);
    if (atomic_load_explicit(&found->record->sequence, memory_order_acquire) == found->sequence)
        return RVT_ACQUIRED;
    if (count)
        rvt_add_held(count, -1);
    else
        atomic_fetch_sub_explicit(&found->entry.map->mr->elsewhere, 1, memory_order_acq_rel);
    return RVT_RETRY;
}

/* What a check that keeps references answers when it refuses; *reason says why. A refusal is no failure, so no
 * cause is kept (failure.h). */
enum { RVT_NOT_ACCEPTED = -RVT_EINVAL };

/* Judge, and take the reference: 1, RVT_NOT_ACCEPTED, or -ENOMEM (RVT_FULL). The two are not one step, so
 * a reference that could not be taken under what was judged sends both back to the start: whatever a writer
 * did in between, that writer has finished, or this thread has finished its step for it. */
static inline int acquire_access(const struct access *access, struct found *found, enum rvt_reason *reason) {
    for (;;) {
        *reason = judge_access(access, found);
        if (*reason)
            return RVT_NOT_ACCEPTED;
        enum rvt_acquired acquired = RVT_RETRY;
        found->count = NULL;
        if (access->key) {
            acquired = found->entry.shape & RVT_SHAPE_ONE_WORD
                           ? rvt_mr_acquire(found->record, found->sequence, found->entry.map)
                           : count_reference(access, found);
        } else if (rvt_dma_acquire(found->dma)) {
            /* The mapping first: it can be given back without a lock if the region was revoked in between.
             * Whatever was closed or revoked, the next look does not find it. */
            acquired = rvt_mr_acquire_dma(found->dma_mr);
            if (acquired != RVT_ACQUIRED)
                rvt_dma_release(found->dma, 1);
        }
        if (acquired != RVT_RETRY)
            return acquired == RVT_ACQUIRED
                       ? 1
                       : rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_HELD_TOO_OFTEN, 0, UINT32_MAX);
    }
}

/* --- coalescing --- */

/* May the accepted access grow `last` instead of becoming an element of its own? */
static inline bool can_coalesce(const struct rvt_sge *last, const struct access *access,
                                const struct found *found) {
    if (!last || !last->mr || last->remote)
        return false;
    if (last->sge_length > UINT32_MAX - access->length || last->request + last->sge_length != access->addr)
        return false;
    if (access->key == 0) {
        if (last->mr != found->dma_mr || last->dma != found->dma)
            return false;
    } else {
        const struct rvt_map *map = found->entry.map;
        if (last->dma || last->mr != map->mr || last->map_generation != map->generation)
            return false;
        /* User memory has no DMA address, so the reference's condition never holds for it. */
        if (map->memory)
            return false;
    }
    /* The reference's condition: the edge of last's segment, as DMA address, is the address asked for. */
    return last->at + last->length == access->addr;
}

static inline void grow_last_sge(struct rvt_sge *last, const struct access *access) {
    last->sge_length += access->length;
    if (access->key == 0)
        last->length += access->length;
    last->rights &= access->acc;
}

/* Accept with a reference, coalescing with `last` (may be NULL). In check.c.
 *   1        accepted: *sge holds one reference
 *   0        coalesced into *last
 *   -EINVAL  refused, *reason says why
 *   -ENOMEM  the region is held as often as can be counted; nothing is counted */
int rvt_accept_access(const struct access *access, struct rvt_sge *sge, struct rvt_sge *last,
                      enum rvt_reason *reason);

#endif
