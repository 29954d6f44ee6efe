/* SPDX-License-Identifier: BSD-3-Clause */
/* Fast registration and invalidation: the two verbs by which work requests change a region's key. */
#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/mr.h"
#include "core/objects/mw.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"
#include "core/objects/strict.h"

static int change_key(const struct rvt_pd *pd, struct rvt_mregion *mr, uint32_t key, uint32_t access) {
    if (mr->pd != pd)
        return rvt_fail(RVT_EACCES, RVT_CAUSE_REGION_IN_OTHER_PD);
    if (mr->kind != RVT_MR_MEM_REG)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_REGION_KIND, (uint64_t)mr->kind, 0);
    if (mr->half_dead)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_HALF_DEAD, rvt_mr_held(mr), 0);
    key = rvt_other_key(mr->owned.device, key); /* consumers name the rkey */
    /* The consumer owns only the low 8 bits of a key. So the slot stays the same, and the key cannot become
     * 0. */
    if ((key ^ rvt_mr_key(mr)) & ~(uint32_t)RVT_KEY_VARIANT_MASK)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_KEY_SLOT, rvt_other_key(mr->owned.device, key),
                              rvt_other_key(mr->owned.device, rvt_mr_key(mr)));
    if (mr->length && mr->visible_iova > UINT64_C(0) - mr->length)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_IOVA_TOO_HIGH, mr->visible_iova,
                              UINT64_C(0) - mr->length);
    int error = rvt_judge_strict_access(mr->owned.device, access);
    if (!error && mr->length) /* where rvt_map_mr_sg() has put the first byte */
        error = rvt_judge_strict_offset(mr->owned.device, mr->base, mr->visible_iova, RVT_PAGE_SHIFT);
    if (error)
        return error;
    rvt_mr_set_key(mr, key);
    mr->access = access;
    mr->iova = mr->visible_iova; /* base is unchanged: local checks keep using the address of map_mr_sg */
    mr->valid = true;
    rvt_mr_rewrite(mr);
    return 0;
}

int rvt_fast_reg_mr(struct rvt_qp_handle qp, struct rvt_mr_handle handle, uint32_t key, uint32_t access,
                    const uint64_t *iova) {
    if (!qp.qp || !handle.mr)
        return rvt_fail(RVT_EBADF, qp.qp ? RVT_CAUSE_REGION_GONE : RVT_CAUSE_QP_GONE);
    struct rvt_dev_info *device = handle.mr->owned.device;
    if (qp.qp->owned.device != device)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_REGION_ON_OTHER_DEVICE);
    int error;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (!rvt_qp_live(qp)) {
        error = rvt_fail_gone(device, qp.context, RVT_CAUSE_QP_GONE);
    } else if (!mr) {
        error = rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    } else {
        if (iova)
            mr->visible_iova = *iova;
        error = change_key(rvt_qp_pd(qp.qp), mr, key, access);
    }
    rvt_mutex_unlock(&device->lock);
    if (!error) /* wait until copies under the old key are over */
        rvt_settle(&device->retirement);
    return error;
}

/* Invalidates the key of a region or of a window. The caller must hold the device lock. */
static int invalidate(const struct rvt_dev_info *device, const struct rvt_qp *qp, uint32_t rkey) {
    const struct rvt_lkey_table *table = &device->lkey_table;
    const uint32_t key = rvt_other_key(device, rkey);
    struct rvt_mregion *mr = key ? rvt_slot_region(table, key) : NULL;
    struct rvt_mw *mw = key ? rvt_slot_window(table, key) : NULL;
    if (mw && mw->key == key)
        return rvt_invalidate_mw(mw, qp);
    if (!mr || rvt_mr_key(mr) != key)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_UNKNOWN_KEY, rkey, 0);
    if (mr->pd != rvt_qp_pd(qp))
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_KEY_IN_OTHER_PD, rkey, 0);
    uint64_t windows = rvt_mr_windows(mr);
    if (windows)
        return rvt_fail_value(RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND, windows, 0);
    if (mr->valid) {
        mr->valid = false;
        rvt_mr_rewrite(mr);
    }
    return 0;
}

int rvt_invalidate_rkey(struct rvt_qp_handle qp, uint32_t rkey) {
    if (!qp.qp)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_QP_GONE);
    struct rvt_dev_info *device = qp.qp->owned.device;
    int error;
    rvt_mutex_lock(&device->lock);
    if (!rvt_qp_live(qp))
        error = rvt_fail_gone(device, qp.context, RVT_CAUSE_QP_GONE);
    else if (!rkey)
        error = rvt_fail(RVT_EINVAL, RVT_CAUSE_KEY_ZERO);
    else
        error = invalidate(device, qp.qp, rkey);
    rvt_mutex_unlock(&device->lock);
    /* Wait even if the key was already invalid: copies that another thread's invalidation waits for may still
     * run. */
    if (!error)
        rvt_settle(&device->retirement);
    return error;
}
