/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/held_counts.h"

#include "core/base/alloc.h"
#include "core/base/platform.h"
#include "core/base/pool.h"
#include "core/objects/device.h"
#include "core/objects/region.h"
#include "core/objects/resource.h"
#include "core/objects/ucontext.h"

static size_t bytes_of(uint32_t limit) {
    return (size_t)limit * sizeof(_Atomic(int64_t));
}

void rvt_make_held_counts(struct rvt_ucontext *context) {
    struct rvt_dev_info *device = context->device;
    struct rvt_held_counts *held = &context->held;
    if (held->limit)
        return;
    uint32_t limit = device->lkey_table.max;
    _Atomic(int64_t) *counts = rvt_alloc_pages(bytes_of(limit));
    if (!counts)
        return;
    /* Taking the lock inside a section is safe: a thread that holds the lock never waits for readers. */
    rvt_mutex_lock(&device->lock);
    held->counts = counts;
    held->limit = limit;
    held->next = device->held_counts;
    device->held_counts = held;
    rvt_mutex_unlock(&device->lock);
}

int64_t rvt_sum_held_counts(const struct rvt_dev_info *device, uint32_t region) {
    int64_t sum = 0;
    /* acquire: pairs with the release store in rvt_add_held. */
    for (const struct rvt_held_counts *held = device->held_counts; held; held = held->next)
        if (region < held->limit)
            sum += atomic_load_explicit(&held->counts[region], memory_order_acquire);
    return sum;
}

void rvt_end_held_counts(struct rvt_ucontext *context) {
    struct rvt_dev_info *device = context->device;
    struct rvt_held_counts *held = &context->held;
    if (!held->limit)
        return;
    const struct rvt_pool *regions = &device->kinds.slots[RVT_RESOURCE_MR].pool;
    rvt_mutex_lock(&device->lock);
    struct rvt_held_counts **link = &device->held_counts;
    while (*link != held)
        link = &(*link)->next;
    *link = held->next;
    const uint32_t made = atomic_load_explicit(&regions->count, memory_order_relaxed);
    for (uint32_t i = 0; i < held->limit && i < made; i++) {
        int64_t count = atomic_load_explicit(&held->counts[i], memory_order_relaxed);
        if (count) {
            struct rvt_mregion *mr = (struct rvt_mregion *)rvt_pool_at(regions, i);
            atomic_fetch_add_explicit(&mr->elsewhere, count, memory_order_acq_rel);
        }
    }
    rvt_mutex_unlock(&device->lock);
    rvt_free_pages(held->counts, bytes_of(held->limit));
}
