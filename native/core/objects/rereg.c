/* SPDX-License-Identifier: BSD-3-Clause */
/* The steps of a re-registration are those of a deregistration (finish_end in mr.c) with the way back left
 * open: make the key invalid, so that no check is accepted; wait until every reader has left; count the
 * references, which can only fall now; then change the region, or make the key valid again. Nobody can reach
 * the bytes while the extent is changed: no reader is inside with the old record, and no SGE refers to it. But
 * readers that have entered meanwhile may have found the extent by the invalid key, and read whose it is. */
#include "core/objects/rereg.h"

#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/memory.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/lkey_table.h"
#include "core/objects/mw.h"
#include "core/objects/object_kind.h"
#include "core/objects/region.h"
#include "core/objects/resource.h"
#include "core/objects/strict.h"
#include "core/objects/ucontext.h"
#include "core/objects/user_memory.h"

enum { EVERY_FLAG = RVT_REREG_TRANSLATION | RVT_REREG_PD | RVT_REREG_ACCESS };

/* Judges everything that leaves the old registration valid. Called before the wait, and again after it: the
 * lock was released in between. */
static int judge(struct rvt_dev_info *device, struct rvt_mr_handle handle, const struct rvt_rereg *change) {
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (!mr)
        return rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    if (mr->kind != RVT_MR_USER)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_REGION_KIND, (uint64_t)mr->kind, 0);
    if (mr->half_dead)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_HALF_DEAD, rvt_mr_held(mr), 0);
    if (!mr->valid)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_REREG_INVALID, rvt_mr_key(mr), 0);
    if (mr->reregistering)
        return rvt_fail(RVT_EBUSY, RVT_CAUSE_REREG_RUNNING);
    if ((change->flags & RVT_REREG_PD) && !rvt_pd_live(change->pd))
        return rvt_fail_gone(device, change->pd.context, RVT_CAUSE_PD_GONE);
    uint64_t windows = rvt_mr_windows(mr);
    if (windows)
        return rvt_fail_value(RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND, windows, 0);
    int error = 0;
    if (change->flags & RVT_REREG_ACCESS)
        error = rvt_judge_strict_access(device, change->access);
    if (!error && (change->flags & RVT_REREG_TRANSLATION) &&
        change->virt_addr) /* the device's own choice begins a page */
        error = rvt_judge_strict_offset(device, change->start ? *change->start : 0, *change->virt_addr,
                                        RVT_PAGE_SHIFT);
    if (error)
        return error;
    /* Before the wait other threads take and put references meanwhile, so the sum of their counts can miss one
     * that was taken and see its put. */
    int64_t held = (int64_t)rvt_mr_held(mr);
    return held > 0 ? rvt_fail_value(RVT_EBUSY, RVT_CAUSE_REREG_HELD, (uint64_t)held, 0) : 0;
}

/* What a re-registration changes of a region, to put it back if no key can be had. */
struct before {
    struct rvt_memory *memory;
    uint64_t base, virt_addr;
    struct rvt_pd *pd;
    uint32_t access;
};

static struct before remember(const struct rvt_mregion *mr) {
    return (struct before){mr->extent.memory, mr->base, mr->iova, mr->pd, mr->access};
}

static void put_in_domain(struct rvt_mregion *mr, struct rvt_pd *pd) {
    rvt_leave_domain(&mr->owned, RVT_RESOURCE_MR);
    mr->pd = pd;
    rvt_enter_domain(&mr->owned, RVT_RESOURCE_MR);
}

static void put_back(struct rvt_mregion *mr, const struct before *before) {
    rvt_map_user_memory(mr, before->memory, before->base, before->virt_addr);
    mr->access = before->access;
    put_in_domain(mr, before->pd);
}

static int change_translation(struct rvt_mregion *mr, const struct rvt_rereg *change) {
    struct rvt_dev_info *device = mr->owned.device;
    uint64_t length = change->memory->length, base = change->start ? *change->start : 0;
    int error = change->start ? 0 : rvt_next_user_start(device, length, &base);
    uint64_t virt_addr = change->virt_addr ? *change->virt_addr : base;
    if (!error)
        error = rvt_judge_user_range(base, length, virt_addr);
    if (error)
        return error;
    rvt_map_user_memory(mr, change->memory, base, virt_addr);
    if (!change->start)
        rvt_take_user_start(device, length);
    return 0;
}

/* Changes the region, whose key is invalid and which no reader can reach. On failure only the key differs:
 * the region has an invalid one, or none. */
static int apply(struct rvt_mregion *mr, const struct rvt_rereg *change) {
    const struct before before = remember(mr);
    if (change->flags & RVT_REREG_TRANSLATION) {
        int error = change_translation(mr, change);
        if (error)
            return error;
    }
    if (change->flags & RVT_REREG_ACCESS)
        mr->access = change->access;
    if (change->flags & RVT_REREG_PD)
        put_in_domain(mr, change->pd.pd);
    if (!(change->flags & (RVT_REREG_TRANSLATION | RVT_REREG_PD))) {
        rvt_mr_rewrite(mr);
        return 0;
    }
    rvt_free_lkey(mr);
    rvt_lkey_avoid(&mr->owned.device->lkey_table, rvt_mr_key(mr));
    int error = rvt_alloc_lkey(mr);
    if (error)
        put_back(mr, &before);
    return error;
}

/* Second half, after the wait. Sets *old to the memory whose reference the caller must put, or NULL. */
static int finish(struct rvt_dev_info *device, struct rvt_mr_handle handle, const struct rvt_rereg *change,
                  struct rvt_memory **old, struct rvt_mr_birth *birth, bool *lost) {
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (mr)
        mr->reregistering = false;
    int error = judge(device, handle, change);
    if (error) {
        if (mr && !mr->half_dead)
            rvt_mr_rewrite(mr);
        return error;
    }
    struct rvt_memory *memory = mr->extent.memory;
    error = apply(mr, change);
    if (error) {
        mr->valid = false;
        if (mr->lkey_published)
            rvt_mr_rewrite(mr);
        *lost = true;
        return error;
    }
    if (change->flags & RVT_REREG_TRANSLATION) {
        rvt_memory_get(change->memory);
        *old = memory;
    }
    if (birth)
        *birth = (struct rvt_mr_birth){rvt_mr_id(mr), mr->base, mr->visible_iova, rvt_mr_key(mr),
                                       mr->owned.object.index};
    return 0;
}

int rvt_rereg_mr(struct rvt_mr_handle handle, const struct rvt_rereg *change, struct rvt_mr_birth *birth,
                 bool *lost) {
    *lost = false;
    if (!handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    if (!change->flags || (change->flags & ~(uint32_t)EVERY_FLAG))
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_REREG_NOTHING, change->flags, EVERY_FLAG);
    struct rvt_dev_info *device = handle.mr->owned.device;
    if (change->flags & RVT_REREG_PD) {
        if (!change->pd.pd)
            return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
        if (change->pd.pd->owned.device != device)
            return rvt_fail(RVT_EINVAL, RVT_CAUSE_PD_ON_OTHER_DEVICE);
    }
    rvt_mutex_lock(&device->lock);
    int error = judge(device, handle, change);
    if (!error) {
        handle.mr->reregistering = true;
        rvt_mr_rewrite(handle.mr); /* without VALID: no check is accepted from now on */
    }
    rvt_mutex_unlock(&device->lock);
    if (error)
        return error;
    uint64_t epoch = rvt_synchronize(&device->retirement);
    struct rvt_memory *old = NULL;
    rvt_mutex_lock(&device->lock);
    error = finish(device, handle, change, &old, birth, lost);
    rvt_mutex_unlock(&device->lock);
    if (old)
        rvt_memory_put(old);
    rvt_free_retired(&device->retirement, epoch);
    return error;
}
