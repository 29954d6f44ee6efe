/* SPDX-License-Identifier: BSD-3-Clause */
/* Judges accesses by the keys of memory windows (mw.h). Runs on the slow path only: a window's record fails the
 * tests that a region's record passes. */
#include "core/access/judge.h"
#include "core/base/platform.h"
#include "core/objects/mw.h"

/* What a check needs of a window beside its record. */
struct view {
    uint64_t binding, deadline, position, qp_generation;
    const struct rvt_object *qp;
};

/* Reads the record, and the window if it is one's, as of one moment. Returns false if the record has another key or is
 * not a window's (any more). Windows are never freed while the device exists, so the address in a record can be
 * followed without a section. */
static bool read_window(const struct access *access, struct found *found, struct view *view) {
    const struct rvt_lkey_table *table = &access->checker->device->lkey_table;
    const struct rvt_lkey_entry *entry = &found->entry;
    found->record = rvt_lkey_record(table, found->key);
    do {
        found->sequence = rvt_record_read(table, found->record, found->key, &found->entry);
        if (entry->key != found->key || !(entry->shape & RVT_SHAPE_WINDOW))
            return false;
        const struct rvt_mw *mw = (const struct rvt_mw *)(uintptr_t)entry->base;
        view->binding = atomic_load_explicit(&mw->binding, memory_order_acquire);
        view->qp = atomic_load_explicit(&mw->qp, memory_order_acquire);
        view->qp_generation = atomic_load_explicit(&mw->qp_generation, memory_order_acquire);
        view->deadline = atomic_load_explicit(&mw->deadline, memory_order_acquire);
        view->position = atomic_load_explicit(&mw->position, memory_order_acquire);
    } while (atomic_load_explicit(&found->record->sequence, memory_order_relaxed) != found->sequence);
    return true;
}

/* The tests, in the order in which the first that fails gives the reason. */
static enum rvt_reason judge(const struct access *access, const struct rvt_lkey_entry *entry,
                             const struct view *view) {
    const struct rvt_checker *checker = access->checker;
    if (!entry->map)
        return RVT_WINDOW_UNBOUND;
    if (entry->pd != checker->pd)
        return RVT_WRONG_PD;
    if (!checker->remote)
        return RVT_WINDOW_LOCAL;
    if (view->qp && (view->qp != checker->object || view->qp_generation != checker->generation))
        return RVT_WINDOW_OTHER_QP;
    if (view->deadline != UINT64_MAX && rvt_coarse_ms() >= view->deadline)
        return RVT_LEASE_EXPIRED;
    uint64_t into = access->addr - entry->iova;
    if (access->addr < entry->iova || into > entry->length || access->length > entry->length - into)
        return RVT_OUT_OF_BOUNDS;
    if (!(entry->access & access->acc))
        return RVT_ACCESS_DENIED;
    if (!access->length && into == entry->length && (entry->shape & RVT_SHAPE_END_UNMAPPED))
        return RVT_UNMAPPED;
    return RVT_REASON_NONE;
}

enum rvt_reason rvt_judge_window(const struct access *access, struct found *found) {
    struct view view;
    struct rvt_lkey_entry *entry = &found->entry;
    if (!read_window(access, found, &view)) {
        if (entry->key != found->key)
            return find_key_mismatch_reason(found->record, entry->key, found->key);
        /* The slot has changed hands, and a region has this key now. */
        uint64_t origin = access->checker->remote ? entry->iova : entry->base;
        found->position = access->addr - origin + rvt_shape_offset(entry->shape);
        return find_refusal_reason(entry, access);
    }
    enum rvt_reason reason = judge(access, entry, &view);
    if (!reason) {
        found->position = view.position + (access->addr - entry->iova);
        entry->base = rvt_mw_acceptance((const struct rvt_mw *)(uintptr_t)entry->base, view.binding);
    }
    return reason;
}
