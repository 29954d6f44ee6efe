/* SPDX-License-Identifier: BSD-3-Clause */
/* Revokes and ends regions. finish_end() in mr.c describes the steps in which a verb ends them. */
#include "core/base/alloc.h"
#include "core/base/epoch.h"
#include "core/base/platform.h"
#include "core/objects/device.h"
#include "core/objects/lkey_table.h"
#include "core/objects/mw.h"
#include "core/objects/object_kind.h"
#include "core/objects/region.h"
#include "core/objects/resource.h"
#include "core/objects/ucontext.h"

/* Returns the object to the pool. Every reader must have left, and no SGE may refer to it. The caller must
 * hold the device lock. */
static void give_back(struct rvt_mregion *mr) {
    struct rvt_dev_info *device = mr->owned.device;
    rvt_free_map_block(device, mr->spare);
    mr->spare = NULL;
    rvt_free(rvt_mr_counters_of(mr));
    atomic_store_explicit(&mr->counters, NULL, memory_order_relaxed);
    if (atomic_load_explicit(&mr->word, memory_order_relaxed) & RVT_MR_WATCHED)
        atomic_fetch_sub_explicit(&device->watched, 1, memory_order_relaxed);
    mr->lingering = false;
    rvt_give_owned(&mr->owned, RVT_RESOURCE_MR);
}

/* Recycles a region that was ended by force, after every reader has left. If an SGE still refers to it, the
 * last put returns it to the pool. */
static void recycle_region(struct rvt_retired *retired) {
    struct rvt_mregion *mr =
        (struct rvt_mregion *)(void *)((char *)retired - offsetof(struct rvt_mregion, retired));
    struct rvt_dev_info *device = mr->owned.device;
    if (mr->extent.memory)
        rvt_memory_put(mr->extent.memory);
    rvt_mutex_lock(&device->lock);
    mr->lingering = rvt_mr_held(mr) != 0;
    if (!mr->lingering)
        give_back(mr);
    rvt_mutex_unlock(&device->lock);
    rvt_dev_put(device);
}

/* Makes the region's handles stale and drops its mapping. `passed`: as for rvt_drop_map. The caller must hold
 * the device lock. */
static void kill_region(struct rvt_mregion *mr, struct rvt_retired **passed) {
    struct rvt_map *map = atomic_load_explicit(&mr->map, memory_order_relaxed);
    /* Make the mapping unreachable before dropping it. */
    atomic_store_explicit(&mr->map, &mr->nothing, memory_order_release);
    rvt_drop_map(mr, map, passed);
    mr->half_dead = false;
    rvt_owned_death(&mr->owned, RVT_RESOURCE_MR);
    if (mr->awaited)
        rvt_wake_context(mr->owned.device, mr->owned.context);
    mr->awaited = false;
}

static void revoke_with(struct rvt_mregion *mr, uint64_t flags) {
    if (!mr->half_dead) {
        rvt_tell_release(&mr->owned, RVT_RESOURCE_MR);
        rvt_free_lkey(mr);
        mr->half_dead = true;
    } else {
        rvt_tell_release_again(&mr->owned, RVT_RESOURCE_MR);
    }
    /* Increment first: a thread that sees the flag must not read 0 in `watched`. */
    if (flags & RVT_MR_WATCHED & ~atomic_load_explicit(&mr->word, memory_order_relaxed))
        atomic_fetch_add_explicit(&mr->owned.device->watched, 1, memory_order_relaxed);
    atomic_fetch_or_explicit(&mr->word, flags | RVT_MR_REVOKED, memory_order_acq_rel);
}

void rvt_mr_revoke(struct rvt_mregion *mr, bool awaited) {
    revoke_with(mr, awaited ? RVT_MR_WATCHED : 0);
    mr->awaited |= awaited;
}

uint64_t rvt_mr_end_unheld(struct rvt_mregion *mr, struct rvt_retired **passed, struct rvt_memory **memory) {
    uint64_t held = rvt_mr_held(mr);
    if (held)
        return held;
    kill_region(mr, passed);
    *memory = mr->extent.memory;
    give_back(mr);
    return 0;
}

void rvt_mr_end_by_force(struct rvt_mregion *mr, struct rvt_retired **passed) {
    rvt_mr_drop_windows(mr);
    /* Set WATCHED because the last put must recycle the object. */
    revoke_with(mr, RVT_MR_FORCED | RVT_MR_WATCHED);
    kill_region(mr, passed);
    rvt_add_or_retire(&mr->owned.device->retirement, passed, &mr->retired, recycle_region);
}

void rvt_mr_note_put(struct rvt_mregion *mr) {
    /* Since the put, the object may have been recycled and be another region by now. Then this does
     * nothing, or wakes a context once without need. The caller's reference on the device keeps the object
     * allocated. */
    struct rvt_dev_info *device = mr->owned.device;
    rvt_mutex_lock(&device->lock);
    if (mr->lingering && !rvt_mr_held(mr))
        give_back(mr);
    else if (mr->awaited)
        rvt_wake_context(device, mr->owned.context);
    rvt_mutex_unlock(&device->lock);
}
