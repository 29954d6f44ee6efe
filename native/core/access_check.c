/* SPDX-License-Identifier: BSD-3-Clause */
#include "access_check.h"

#include <string.h>

#include "rvt_errno.h"

/* One access to judge. */
struct access {
    struct rvt_dev_info *device;
    uint32_t pd; /* id */
    bool user;   /* of the domain */
    bool remote;
    uint32_t key, length, acc;
    uint64_t addr;
};

/* What was found for an access that may be. */
struct found {
    struct rvt_lkey_record *record;
    uint64_t sequence;
    struct rvt_lkey_entry entry;
    uint64_t position; /* in segment space */
    /* key 0: */
    struct rvt_mregion *dma_mr;
    struct rvt_dma_map *dma;
};

/* --- judging --- */

/* Why a record under another key refuses. Only here is more than the record's key looked at, so it may be
 * slow. */
static enum rvt_reason reason_of_key(const struct rvt_lkey_record *record, const struct rvt_lkey_entry *entry,
                                     uint32_t key) {
    if (entry->key)
        return RVT_STALE_KEY;
    uint32_t last = atomic_load_explicit(&record->line0.last_key, memory_order_acquire);
    return last == key ? RVT_REVOKED : RVT_NO_SUCH_KEY;
}

/* Judge a consistent entry, whose key is the right one. */
static inline enum rvt_reason judge_entry(const struct rvt_lkey_entry *entry, const struct access *access,
                                          uint64_t *position) {
    uint64_t origin = access->remote ? entry->iova : entry->base;
    uint64_t into = access->addr - origin;
    if (!rvt_shape_valid(entry->shape))
        return RVT_INVALIDATED;
    if (entry->pd != access->pd)
        return RVT_WRONG_PD;
    /* Never the sum of offset and length: it wraps for an address near 2^64 and would pass. */
    if (access->addr < origin || into > entry->length || access->length > entry->length - into)
        return RVT_OUT_OF_BOUNDS;
    uint32_t granted = entry->access & access->acc;
    if (access->remote ? !granted : granted != access->acc)
        return RVT_ACCESS_DENIED;
    *position = into + rvt_shape_offset(entry->shape);
    /* An empty request may point at the very end, where no segment lies. */
    if (*position >> rvt_shape_shift(entry->shape) >= entry->segments)
        return RVT_UNMAPPED;
    return RVT_REASON_NONE;
}

static enum rvt_reason judge_key_zero(const struct access *access, struct found *found) {
    if (access->user || (access->remote && !access->device->remote_key_zero))
        return RVT_KEY_ZERO_DENIED;
    found->dma_mr = atomic_load_explicit(&access->device->dma_mr, memory_order_acquire);
    if (!found->dma_mr)
        return RVT_NO_DMA_REGION;
    bool straddles;
    found->dma = rvt_dma_find(&access->device->dma, access->addr, access->length, &straddles);
    if (!found->dma)
        return straddles ? RVT_OUT_OF_BOUNDS : RVT_UNMAPPED;
    /* A mapping is closed before the picture without it is put in force. From then on it is no more: a check
     * that went by the picture alone would have to wait for the writer in between. */
    if (atomic_load_explicit(&found->dma->users, memory_order_acquire) & RVT_DMA_CLOSED)
        return RVT_UNMAPPED;
    return RVT_REASON_NONE;
}

static inline enum rvt_reason judge(const struct access *access, struct found *found) {
    if (access->key == 0)
        return judge_key_zero(access, found);
    found->record = rvt_lkey_record(&access->device->lkey_table, access->key);
    found->sequence = rvt_record_read(found->record, access->key, &found->entry);
    if (found->entry.key != access->key)
        return reason_of_key(found->record, &found->entry, access->key);
    return judge_entry(&found->entry, access, &found->position);
}

/* --- the accepted element --- */

static void fill_sge(struct rvt_sge *sge, const struct access *access, const struct found *found) {
    memset(sge, 0, sizeof(*sge));
    sge->request = access->addr;
    sge->sge_length = access->length;
    sge->remote = access->remote;
    if (access->key == 0) {
        sge->mr = found->dma_mr;
        sge->dma = found->dma;
        sge->position = sge->at = access->addr;
        sge->length = access->length;
        sge->rights = access->acc; /* a DMA region's own access is never looked at */
        return;
    }
    const struct rvt_map *map = found->entry.map;
    sge->mr = map->mr;
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

/* Judge, and take the reference. The two are not one step, so a reference that could not be taken under what
 * was judged sends both back to the start: whatever a writer did in between, that writer has finished, or
 * this thread has finished its step for it. */
static enum rvt_reason acquire(const struct access *access, struct found *found) {
    for (;;) {
        enum rvt_reason reason = judge(access, found);
        if (reason)
            return reason;
        if (access->key) {
            if (rvt_mr_acquire(found->record, found->sequence, found->entry.map) == RVT_ACQUIRED)
                return RVT_REASON_NONE;
        } else if (rvt_dma_acquire(found->dma)) {
            /* The mapping first: it can be given back without a lock if the region was revoked in between.
             * Whatever was closed or revoked, the next look does not find it. */
            if (rvt_mr_acquire_dma(found->dma_mr))
                return RVT_REASON_NONE;
            rvt_dma_release(found->dma, 1);
        }
    }
}

/* --- coalescing --- */

/* May the accepted access grow `last` instead of becoming an element of its own? */
static bool coalesces(const struct rvt_sge *last, const struct access *access, const struct found *found) {
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

static void coalesce(struct rvt_sge *last, const struct access *access) {
    last->sge_length += access->length;
    if (access->key == 0)
        last->length += access->length;
    last->rights &= access->acc;
}

/* --- the verbs --- */

static struct access local_access(const struct rvt_pd *pd, const struct rvt_ib_sge *sge, uint32_t acc) {
    return (struct access){
        .device = pd->device,
        .pd = pd->id,
        .user = atomic_load_explicit(&pd->user, memory_order_relaxed),
        .key = sge->lkey,
        .length = sge->length,
        .acc = acc,
        .addr = sge->addr,
    };
}

static struct access remote_access(const struct rvt_qp *qp, uint32_t length, uint64_t vaddr, uint32_t rkey,
                                   uint32_t acc) {
    const struct rvt_pd *pd = atomic_load_explicit(&qp->pd, memory_order_relaxed);
    return (struct access){
        .device = qp->device,
        .pd = pd->id,
        .user = atomic_load_explicit(&pd->user, memory_order_relaxed),
        .remote = true,
        .key = rkey,
        .length = length,
        .acc = acc,
        .addr = vaddr,
    };
}

int rvt_lkey_ok(struct rvt_pd_handle pd, struct rvt_sge *isge, struct rvt_sge *last,
                const struct rvt_ib_sge *sge, uint32_t acc, enum rvt_reason *reason) {
    if (!rvt_pd_live(pd))
        return -RVT_EBADF;
    struct access access = local_access(pd.pd, sge, acc);
    struct found found;
    if (last && last->mr) {
        *reason = judge(&access, &found);
        /* last's own reference keeps its region, and equal generations say that nothing was mapped since; so
         * there is nothing to acquire. */
        if (!*reason && coalesces(last, &access, &found) && rvt_pd_live(pd)) {
            coalesce(last, &access);
            return 0;
        }
    }
    *reason = acquire(&access, &found);
    if (!*reason)
        fill_sge(isge, &access, &found);
    /* Looked at again, at the end: if the domain is alive now it was alive all the time, so the id that was
     * compared was its own and not that of a successor. */
    if (!rvt_pd_live(pd)) {
        if (!*reason)
            rvt_put_sge(isge);
        return -RVT_EBADF;
    }
    return *reason ? -RVT_EINVAL : 1;
}

int rvt_rkey_ok(struct rvt_qp_handle qp, struct rvt_sge *sge, uint32_t length, uint64_t vaddr, uint32_t rkey,
                uint32_t acc, enum rvt_reason *reason) {
    if (!rvt_qp_live(qp))
        return -RVT_EBADF;
    struct access access = remote_access(qp.qp, length, vaddr, rkey, acc);
    struct found found;
    *reason = acquire(&access, &found);
    if (!*reason)
        fill_sge(sge, &access, &found);
    if (!rvt_qp_live(qp)) { /* as in rvt_lkey_ok */
        if (!*reason)
            rvt_put_sge(sge);
        return -RVT_EBADF;
    }
    return *reason ? 0 : 1;
}

static void fill_place(struct rvt_place *place, const struct access *access, const struct found *found) {
    struct rvt_sge sge;
    fill_sge(&sge, access, found);
    *place = (struct rvt_place){
        .at = sge.at,
        .length = sge.length,
        .m = rvt_sge_m(&sge),
        .n = rvt_sge_n(&sge),
        .user = sge.user,
    };
}

int rvt_lkey_check(struct rvt_pd_handle pd, const struct rvt_ib_sge *sge, uint32_t acc,
                   struct rvt_place *place, enum rvt_reason *reason) {
    if (!rvt_pd_live(pd))
        return -RVT_EBADF;
    struct access access = local_access(pd.pd, sge, acc);
    struct found found;
    *reason = judge(&access, &found);
    if (!*reason)
        fill_place(place, &access, &found);
    return !rvt_pd_live(pd) ? -RVT_EBADF : *reason ? 0 : 1;
}

int rvt_rkey_check(struct rvt_qp_handle qp, uint32_t length, uint64_t vaddr, uint32_t rkey, uint32_t acc,
                   struct rvt_place *place, enum rvt_reason *reason) {
    if (!rvt_qp_live(qp))
        return -RVT_EBADF;
    struct access access = remote_access(qp.qp, length, vaddr, rkey, acc);
    struct found found;
    *reason = judge(&access, &found);
    if (!*reason)
        fill_place(place, &access, &found);
    return !rvt_qp_live(qp) ? -RVT_EBADF : *reason ? 0 : 1;
}
