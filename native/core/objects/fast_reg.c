/* SPDX-License-Identifier: BSD-3-Clause */
/* Fast registration and invalidation: what work requests do to the key of a region. */
#include "core/base/epoch.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/mr.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"

static int change_key(const struct rvt_pd *pd, struct rvt_mregion *mr, uint32_t key, uint32_t access) {
    if (mr->pd != pd)
        return -RVT_EACCES;
    if (mr->kind != RVT_MR_MEM_REG || mr->half_dead)
        return -RVT_EINVAL;
    /* The consumer owns the low 8 bits, no more; so the slot stays the same and the key can not become 0. */
    if ((key ^ rvt_mr_key(mr)) & ~(uint32_t)RVT_KEY_VARIANT_MASK)
        return -RVT_EINVAL;
    if (mr->length && mr->visible_iova > UINT64_C(0) - mr->length)
        return -RVT_EINVAL;
    rvt_mr_set_key(mr, key);
    mr->access = access;
    mr->iova = mr->visible_iova; /* base stays: local checks go on by the address of map_mr_sg */
    mr->valid = true;
    rvt_mr_rewrite(mr);
    return 0;
}

int rvt_fast_reg_mr(struct rvt_qp_handle qp, struct rvt_mr_handle handle, uint32_t key, uint32_t access,
                    const uint64_t *iova) {
    if (!qp.qp || !handle.mr)
        return -RVT_EBADF;
    struct rvt_dev_info *device = handle.mr->owned.device;
    if (qp.qp->owned.device != device)
        return -RVT_EINVAL;
    int error = -RVT_EBADF;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (mr && rvt_qp_live(qp)) {
        if (iova)
            mr->visible_iova = *iova;
        error = change_key(rvt_qp_pd(qp.qp), mr, key, access);
    }
    rvt_mutex_unlock(&device->lock);
    if (!error) /* copies by the old key are over */
        rvt_settle(&device->retirement);
    return error;
}

int rvt_invalidate_rkey(struct rvt_qp_handle qp, uint32_t rkey) {
    if (!qp.qp)
        return -RVT_EBADF;
    struct rvt_dev_info *device = qp.qp->owned.device;
    struct rvt_lkey_table *table = &device->lkey_table;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rkey ? table->owner[rkey >> (32 - table->bits)] : NULL;
    if (!rvt_qp_live(qp)) {
        error = -RVT_EBADF;
    } else if (!mr || rvt_mr_key(mr) != rkey || mr->pd != rvt_qp_pd(qp.qp)) {
        error = -RVT_EINVAL;
    } else if (mr->valid) {
        mr->valid = false;
        rvt_mr_rewrite(mr);
    }
    rvt_mutex_unlock(&device->lock);
    /* Also if it was invalid before: another thread may be waiting for the same copies. */
    if (!error)
        rvt_settle(&device->retirement);
    return error;
}
