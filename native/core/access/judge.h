/* SPDX-License-Identifier: BSD-3-Clause */
/* Judges one access against one consistent snapshot of its key's record in the key table. Shared by the
 * single checks (check.c) and the batches. The functions are inline because a batch runs them once per
 * element. Only files in core/access include this header. */
#ifndef RVT_ACCESS_JUDGE_H
#define RVT_ACCESS_JUDGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/access/check.h"
#include "core/base/counters.h"
#include "core/base/failure.h"
#include "core/base/faults.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/dma.h"
#include "core/objects/lkey_table.h"
#include "core/objects/region.h"

/* Forces inlining regardless of size, so that a caller that needs only the verdict keeps the intermediate
 * results in registers. */
#define RVT_ALWAYS_INLINE static inline __attribute__((always_inline))

/* An access request, and the checker (protection domain or queue pair) on whose behalf it is judged. */
struct access {
    const struct rvt_checker *checker;
    uint64_t addr;
    uint32_t length, key, acc;
};

/* The key table's data for an accepted access. */
struct found {
    struct rvt_lkey_record *record;
    uint64_t sequence;
    uint32_t
        key; /* by which the record was found: the request's key, or on a strict device the lkey of its rkey */
    struct rvt_lkey_entry entry;
    uint64_t position;       /* offset from the start of segment 0 */
    _Atomic(int64_t) *count; /* per-context count that holds the reference; NULL: counted in the region */
    /* For key 0 only: */
    struct rvt_mregion *dma_mr;
    struct rvt_dma_map *dma;
};

/* --- judging --- */

/* Returns why a record that does not hold the requested key refuses the access: its slot holds another key
 * (stale), the slot is empty and last held the requested key (revoked), or neither (no such key). Runs only
 * on the refusing path, so it may read further fields of the record. */
static inline enum rvt_reason find_key_mismatch_reason(const struct rvt_lkey_record *record, uint32_t held,
                                                       uint32_t key) {
    if (held)
        return RVT_STALE_KEY;
    uint32_t last = atomic_load_explicit(&record->line0.last_key, memory_order_acquire);
    return last == key ? RVT_REVOKED : RVT_NO_SUCH_KEY;
}

/* Returns whether a record with this origin and length (bytes) contains a non-empty access and permits it.
 * The caller must have compared the record's key and domain. `rights` is the record's rvt_record_rights();
 * `acc_and_valid` comes from acc_and_valid() or acc_and_plain(). find_refusal_reason() works out which test
 * failed. */
RVT_ALWAYS_INLINE bool record_grants(uint64_t rights, uint64_t origin, uint64_t length, uint64_t addr,
                                     uint32_t wanted, uint64_t acc_and_valid, bool remote) {
    uint64_t into = addr - origin;
    /* Never adds offset and length: the sum can wrap for an address near 2^64 and would then pass. For an
     * address below the origin, `into` wraps to at least 2^64 - origin, and no region is longer than that,
     * because none extends past 2^64. For an empty access, wanted - 1 is huge, so the second comparison
     * refuses it. */
    bool inside = into < length && (uint64_t)wanted - 1 < length - into;
    uint64_t granted = rights & acc_and_valid;
    return inside && (remote ? (uint32_t)granted != 0 && granted >> 32 : granted == acc_and_valid);
}

/* The `acc_and_valid` argument of record_grants(): the requested access bits and one required shape flag.
 * VALID accepts every region that is not invalidated. PLAIN is for the fast path: regions with counters lack
 * it, so the slow path judges and counts them. */
static inline uint64_t acc_and_valid(uint32_t acc) {
    return rvt_record_rights(acc, RVT_SHAPE_VALID);
}
static inline uint64_t acc_and_plain(uint32_t acc) {
    return rvt_record_rights(acc, RVT_SHAPE_PLAIN);
}

/* Returns the first reason that refuses the access, or RVT_REASON_NONE. `entry` must be a consistent snapshot
 * and hold the requested key. Unlike record_grants(), it also handles empty accesses. */
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
    /* Every byte inside the length is mapped. Only an empty access at the very end of the region can point
     * past the last segment. */
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
    /* A mapping is marked closed before it leaves the table, and must be refused from that moment on. Going
     * by the table alone, a check that runs between the two steps would have to wait for the writer. */
    if (atomic_load_explicit(&found->dma->users, memory_order_acquire) & RVT_DMA_CLOSED)
        return RVT_UNMAPPED;
    return RVT_REASON_NONE;
}

/* Judges an access by the key of a memory window, found->key. Fills *found, whose entry's `base` is then the acceptance
 * (rvt_mw_acceptance). Defined in window.c. */
enum rvt_reason rvt_judge_window(const struct access *access, struct found *found);

/* Judges an access whose record was a window's. With copies: passing the addresses of the caller's structures to
 * a function that is not inlined would force them into memory. */
static inline enum rvt_reason judge_by_window(struct access access, struct found *found) {
    struct found window = {.key = found->key};
    enum rvt_reason reason = rvt_judge_window(&access, &window);
    *found = window;
    return reason;
}

RVT_ALWAYS_INLINE enum rvt_reason judge_by_key(const struct access *access, struct found *found) {
    found->dma = NULL;
    found->dma_mr = NULL;
    const struct rvt_lkey_table *table = &access->checker->device->lkey_table;
    const uint32_t mask = access->checker->remote ? access->checker->device->rkey_mask : 0;
    const uint32_t key = found->key = access->key ^ mask;
    found->record = rvt_lkey_record(table, key);
    found->sequence = rvt_record_read(table, found->record, key, &found->entry);
    const struct rvt_lkey_entry *entry = &found->entry;
    if (entry->key != key)
        return find_key_mismatch_reason(found->record, entry->key, key);
    uint64_t origin = access->checker->remote ? entry->iova : entry->base;
    found->position = access->addr - origin + rvt_shape_offset(entry->shape);
    if (entry->pd == access->checker->pd &&
        record_grants(rvt_record_rights(entry->access, entry->shape), origin, entry->length, access->addr,
                      access->length, acc_and_valid(access->acc), access->checker->remote))
        return RVT_REASON_NONE;
    /* A window's record has no VALID, so every access by it comes here. */
    return entry->shape & RVT_SHAPE_WINDOW ? judge_by_window(*access, found)
                                           : find_refusal_reason(entry, access);
}

/* A separate struct for key 0 keeps `*found` in registers: passing its address to a function that is not
 * inlined would force it into memory. */
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

/* Returns whether the judged region may have counters or faults. A region found under a different key is not the region
 * that was requested, so it has no effect. */
static inline bool is_region_counted(const struct access *access, const struct found *found) {
    return access->key ? found->entry.key == found->key && (found->entry.shape & RVT_SHAPE_COUNTED)
                       : found->dma_mr != NULL;
}

/* Counts the verdict in the region's counters, if it has any. The caller must still be in the reader section
 * in which the access was judged. */
static inline void count_for_region(const struct access *access, const struct found *found,
                                    enum rvt_reason reason) {
    if (!is_region_counted(access, found))
        return;
    struct rvt_mr_counters *counters = rvt_mr_counters_of(access->key ? found->entry.map->mr : found->dma_mr);
    if (counters)
        rvt_count_shared(reason ? &counters->refused : &counters->accepted, 1);
}

/* Returns the reason of a refusal that the device makes on purpose, instead of the verdict that accepts the access; or the
 * verdict. Called once for each access, when its verdict is final. */
static inline enum rvt_reason refuse_by_fault(const struct access *access, const struct found *found,
                                              enum rvt_reason reason) {
    if (!reason && is_region_counted(access, found)) {
        struct rvt_faults *faults = access->checker->device->faults;
        if (rvt_make_fault(faults, RVT_FAULT_REFUSE))
            return (enum rvt_reason)faults->options.rules[RVT_FAULT_REFUSE].value;
    }
    return reason;
}

/* Counts the verdict, or the refusal that a fault makes of it, and returns it. */
static inline enum rvt_reason count_verdict(const struct access *access, const struct found *found,
                                            enum rvt_reason reason) {
    reason = refuse_by_fault(access, found, reason);
    count_for_context(access->checker, reason, 1);
    count_for_region(access, found, reason);
    return reason;
}

/* Refuses `accesses` accesses because the domain or queue pair is closed. Counts them for the context unless
 * it has ended; no region counts them, because none was looked up. Returns RVT_CLOSED. */
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
        sge->rights = access->acc; /* the access bits of a DMA region are not checked */
        return;
    }
    const struct rvt_map *map = found->entry.map;
    sge->mr = map->mr;
    sge->count = found->count;
    sge->by = found->count ? access->checker->context : NULL;
    sge->map_generation =
        found->entry.shape & RVT_SHAPE_WINDOW ? found->entry.base /* the acceptance */ : map->generation;
    sge->position = found->position;
    sge->shift = map->shift;
    sge->offset = map->offset;
    sge->user = map->memory != NULL;
    sge->at = rvt_map_locate(map, found->position);
    sge->length = rvt_segment_rest(found->position, map->shift);
    /* A remote check passes if any one requested bit is granted; the element keeps only the granted bits. */
    sge->rights = found->entry.access & access->acc;
}

/* Takes a reference in the context's own count, or in the region's if the context has none. Then compares the
 * record's sequence again: if the region was revoked or remapped since the record was read, gives the
 * reference back and returns RVT_RETRY. That only avoids a needless -EBUSY from dereg. Safety does not depend
 * on it, because dereg waits for this reader section to end before it adds up the counts. */
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

/* Return value of an acquiring check that refuses; *reason says why. A refusal is not a failure, so it
 * records no cause (failure.h). */
enum { RVT_NOT_ACCEPTED = -RVT_EINVAL };

/* Judges the access and takes a reference. These are separate steps: if a writer intervened, so that the
 * reference cannot be taken under the judged mapping, the function starts over. It never waits for a writer:
 * either the writer has finished, or this thread has completed the writer's step itself.
 *   1                 accepted, reference taken
 *   RVT_NOT_ACCEPTED  refused, *reason says why
 *   -ENOMEM           the region is held as often as can be counted (RVT_FULL) */
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
            /* Take the mapping's reference first: it can be released without a lock if the region was revoked
             * in between. The next iteration no longer finds whatever was closed or revoked. */
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

/* Returns whether the accepted access can be merged into the element `last` instead of becoming a new
 * element. */
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
        /* User memory has no DMA address, so the kernel's condition for coalescing, tested below, never holds
         * for it. */
        if (map->memory)
            return false;
    }
    /* The kernel's condition for coalescing: the DMA address where last's segment ends equals the requested
     * address. */
    return last->at + last->length == access->addr;
}

static inline void grow_last_sge(struct rvt_sge *last, const struct access *access) {
    last->sge_length += access->length;
    if (access->key == 0)
        last->length += access->length;
    last->rights &= access->acc;
}

/* Judges the access and, if accepted, takes a reference or merges the access into `last` (may be NULL). The
 * caller must be in a reader section. Defined in check.c.
 *   1        accepted: *sge holds one reference
 *   0        coalesced into *last
 *   -EINVAL  refused, *reason says why
 *   -ENOMEM  the region is held as often as can be counted; the verdict is not counted */
int rvt_accept_access(const struct access *access, struct rvt_sge *sge, struct rvt_sge *last,
                      enum rvt_reason *reason);

#endif
