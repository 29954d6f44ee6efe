/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/key_report.h"

#include <assert.h>
#include <string.h>

#include "core/base/faults.h"
#include "core/base/platform.h"
#include "core/base/pool.h"
#include "core/objects/device.h"
#include "core/objects/dma.h"
#include "core/objects/lkey_table.h"
#include "core/objects/mr.h"
#include "core/objects/mw.h"
#include "core/objects/region.h"
#include "core/objects/ucontext.h"

static_assert((int)RVT_SLOT_REGION + (int)RVT_MR_FIELDS == (int)RVT_SLOT_WINDOW, "a region's row fits");
static_assert((int)RVT_EXPLAINED_SLOT == (int)RVT_ASKED_FIELDS &&
                  (int)RVT_EXPLAINED_SWAPPED == (int)RVT_EXPLAINED_SLOT + (int)RVT_SLOT_FIELDS &&
                  (int)RVT_EXPLAINED_FOUND == (int)RVT_EXPLAINED_SWAPPED + (int)RVT_SLOT_FIELDS &&
                  (int)RVT_EXPLAINED_COUNT ==
                      (int)RVT_EXPLAINED_FOUND + (int)RVT_FOUND_KINDS * (int)RVT_SLOT_FIELDS,
              "one row behind the other");

/* Returns whether a report for this asker may show the region. A context that is restricted to one domain may
 * see only that domain's regions. Every other context may see everything, as in rvt_resource_report. */
static bool may_be_told(const struct rvt_asker *asker, const struct rvt_mregion *mr) {
    return !rvt_ucontext_restricted(asker->context) ||
           (mr->pd && mr->pd->owned.serial == asker->context->only_pd);
}

static void fill_slot(const struct rvt_asker *asker, const struct rvt_mregion *mr, uint64_t *row) {
    if (!may_be_told(asker, mr)) {
        row[RVT_SLOT_KEY] = 0;
        row[RVT_SLOT_HIDDEN] = 1;
        return;
    }
    row[RVT_SLOT_LIVE] = 1;
    row[RVT_SLOT_KEY] = rvt_mr_key(mr);
    row[RVT_SLOT_IOVA] = mr->iova;
    rvt_mr_objects.fill_row(mr, row + RVT_SLOT_REGION);
    /* A peer knows rkeys, and a report to its queue pair names them. */
    if (asker->remote)
        row[RVT_SLOT_KEY] = row[RVT_SLOT_REGION + RVT_MR_KEY] =
            rvt_other_key(mr->owned.device, (uint32_t)row[RVT_SLOT_KEY]);
}

static void fill_window(const struct rvt_asker *asker, const struct rvt_mw *mw, uint64_t *row) {
    uint64_t fields[RVT_MW_FIELDS];
    if (rvt_ucontext_restricted(asker->context) && mw->pd->owned.serial != asker->context->only_pd) {
        row[RVT_SLOT_KEY] = 0;
        row[RVT_SLOT_HIDDEN] = 1;
        return;
    }
    if (mw->mr)
        fill_slot(asker, mw->mr, row);
    rvt_mw_objects.fill_row(mw, fields);
    row[RVT_SLOT_KEY] = asker->remote ? fields[RVT_MW_KEY] : mw->key;
    row[RVT_SLOT_WINDOW] = mw->lease ? 2 : 1;
    row[RVT_SLOT_WINDOW_ADDRESS] = mw->addr;
    row[RVT_SLOT_WINDOW_LENGTH] = mw->length;
    row[RVT_SLOT_WINDOW_ACCESS] = mw->access;
    row[RVT_SLOT_WINDOW_QP] = mw->qp_serial;
    row[RVT_SLOT_WINDOW_MS_LEFT] = fields[RVT_MW_MS_LEFT];
    row[RVT_SLOT_WINDOW_PD] = mw->pd->owned.serial;
}

void rvt_report_key(struct rvt_dev_info *device, const struct rvt_asker *asker, uint32_t key, uint64_t *row) {
    memset(row, 0, RVT_SLOT_FIELDS * sizeof(*row));
    rvt_mutex_lock(&device->lock);
    const struct rvt_mregion *mr = NULL;
    const struct rvt_mw *mw = NULL;
    if (!key) {
        mr = atomic_load_explicit(&device->dma_mr, memory_order_relaxed);
    } else {
        const struct rvt_lkey_table *table = &device->lkey_table;
        const struct rvt_lkey_record *record = rvt_lkey_record(table, key);
        row[RVT_SLOT_SEQUENCE] = atomic_load_explicit(&record->sequence, memory_order_relaxed);
        /* No writer runs while the lock is held, so line 0 is complete. The name is 0 only in an empty
         * slot. */
        if (atomic_load_explicit(&record->line0.name, memory_order_relaxed))
            mr = (mw = rvt_slot_window(table, key)) ? NULL : rvt_slot_region(table, key);
        else
            row[RVT_SLOT_KEY] = atomic_load_explicit(&record->line0.last_key, memory_order_relaxed);
        if (!mr && !mw && asker->remote)
            row[RVT_SLOT_KEY] = rvt_other_key(device, (uint32_t)row[RVT_SLOT_KEY]);
        /* The domain of a slot's last key is unknown, so do not show it to a restricted context, nor whether
         * there was one. */
        if (!mr && !mw && rvt_ucontext_restricted(asker->context) && row[RVT_SLOT_KEY] != key) {
            row[RVT_SLOT_KEY] = 0;
            row[RVT_SLOT_HIDDEN] = 1;
        }
    }
    if (mr)
        fill_slot(asker, mr, row);
    else if (mw)
        fill_window(asker, mw, row);
    rvt_mutex_unlock(&device->lock);
}

void rvt_report_asker(struct rvt_dev_info *device, const struct rvt_asker *asker, uint64_t addr,
                      uint64_t *row) {
    rvt_mutex_lock(&device->lock);
    row[RVT_ASKED_PD] = asker->pd->owned.serial;
    row[RVT_ASKED_USER] = atomic_load_explicit(&asker->pd->user, memory_order_relaxed);
    row[RVT_ASKED_REMOTE_KEY_ZERO] = device->remote_key_zero;
    row[RVT_ASKED_RKEY_MASK] = device->rkey_mask;
    row[RVT_ASKED_FAULTS] = rvt_faults_of(device->faults, RVT_FAULT_REFUSE);
    const struct rvt_dma_table *table = atomic_load_explicit(&device->dma.table, memory_order_relaxed);
    const struct rvt_dma_map *map = rvt_dma_table_find(table, addr);
    /* A context that is restricted to an untrusted domain has no access to DMA memory, so hide the
     * mappings. */
    if (rvt_ucontext_restricted(asker->context) && row[RVT_ASKED_USER]) {
        map = NULL;
        table = NULL;
    }
    if (!map && table)
        map = rvt_dma_table_find_first(table, addr, UINT64_MAX);
    row[RVT_ASKED_DMA] = map != NULL;
    row[RVT_ASKED_DMA_ADDRESS] = map ? map->address : 0;
    row[RVT_ASKED_DMA_LENGTH] = map ? map->length : 0;
    rvt_mutex_unlock(&device->lock);
}

/* Returns how much of the access is in a region's range: 0 nothing, 1 the first byte, 2 all bytes. */
static int fit_of(uint64_t origin, uint64_t bytes, uint64_t addr, uint32_t length) {
    uint64_t into = addr - origin;
    return into >= bytes ? 0 : length <= bytes - into ? 2 : 1;
}

static void note_region(const struct rvt_asker *asker, const struct rvt_mregion *mr, int fit, int *best,
                        enum rvt_found_region kind, uint64_t *rows) {
    if (fit <= best[kind] || !may_be_told(asker, mr))
        return;
    best[kind] = fit;
    fill_slot(asker, mr, rows + (size_t)kind * RVT_SLOT_FIELDS);
}

static void look_at_region(const struct rvt_asker *asker, const struct rvt_mregion *mr, uint64_t addr,
                           uint32_t length, uint32_t key, int *best, uint64_t *rows) {
    if (mr->kind == RVT_MR_DMA)
        return; /* a DMA region has no address range of its own */
    if (key && rvt_mr_key(mr) == key) {
        if (mr->half_dead)
            note_region(asker, mr, 1, best, RVT_FOUND_HALF_DEAD, rows);
        return;
    }
    if (mr->half_dead)
        return; /* no check can find it */
    bool own = mr->pd == asker->pd;
    int asked = fit_of(asker->remote ? mr->iova : mr->base, mr->length, addr, length);
    int other = fit_of(asker->remote ? mr->base : mr->iova, mr->length, addr, length);
    note_region(asker, mr, asked, best, own ? RVT_FOUND_OWN : RVT_FOUND_OTHERS, rows);
    note_region(asker, mr, other, best, own ? RVT_FOUND_OWN_OTHER_WAY : RVT_FOUND_OTHERS_OTHER_WAY, rows);
}

bool rvt_search_regions(struct rvt_dev_info *device, const struct rvt_asker *asker, uint64_t addr,
                        uint32_t length, uint32_t key, uint64_t *rows) {
    const struct rvt_pool *pool = &device->kinds.slots[RVT_RESOURCE_MR].pool;
    int best[RVT_FOUND_KINDS] = {0};
    uint32_t count = 0, at = 0;
    if (asker->remote)
        key = rvt_other_key(device, key);
    memset(rows, 0, (size_t)RVT_FOUND_KINDS * RVT_SLOT_FIELDS * sizeof(*rows));
    do {
        rvt_mutex_lock(&device->lock);
        count = atomic_load_explicit(&pool->count, memory_order_relaxed);
        for (uint32_t end = at + RVT_SEARCH_STEP; at < end && at < count; at++) {
            const struct rvt_object *object = rvt_pool_at(pool, at);
            if (rvt_object_alive(object))
                look_at_region(asker, (const struct rvt_mregion *)(const void *)object, addr, length, key,
                               best, rows);
        }
        rvt_mutex_unlock(&device->lock);
    } while (at < count && at < RVT_SEARCH_MOST);
    return at >= count;
}
