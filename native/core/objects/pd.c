/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/pd.h"

#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"

int rvt_alloc_pd(struct rvt_dev_info *device, struct rvt_ucontext *context, bool user,
                 struct rvt_pd_handle *handle) {
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_pd *pd = NULL;
    if (device->closed || rvt_ucontext_gone(context))
        error = -RVT_EBADF;
    else if (!(pd = (struct rvt_pd *)rvt_pool_take(&device->pds)))
        error = -RVT_ENOMEM;
    if (pd) {
        if (!pd->device) {
            pd->device = device;
            pd->id = pd->object.index + 1;
        }
        atomic_store_explicit(&pd->user, user, memory_order_relaxed);
        pd->children = 0;
        pd->serial = ++device->pds_made;
        pd->context = rvt_ucontext_id(context);
        *handle = (struct rvt_pd_handle){pd, rvt_object_birth(&pd->object), context};
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_attach_pd(struct rvt_ucontext *context, uint64_t serial, struct rvt_pd_handle *handle) {
    struct rvt_dev_info *device = context->device;
    int error = -RVT_EINVAL;
    rvt_mutex_lock(&device->lock);
    if (device->closed || rvt_ucontext_gone(context))
        error = -RVT_EBADF;
    struct rvt_object *object;
    for (uint32_t at = 0; error == -RVT_EINVAL && (object = rvt_pool_next_alive(&device->pds, &at));) {
        struct rvt_pd *pd = (struct rvt_pd *)object;
        if (pd->serial == serial) {
            *handle = (struct rvt_pd_handle){pd, rvt_object_generation(object), context};
            error = 0;
        }
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

void rvt_pd_end(struct rvt_pd *pd) {
    struct rvt_dev_info *device = pd->device;
    for (uint32_t i = 0; pd->children && i < device->qps.count; i++) {
        struct rvt_qp *qp = (struct rvt_qp *)rvt_pool_at(&device->qps, i);
        if (rvt_object_alive(&qp->object) && rvt_qp_pd(qp) == pd)
            rvt_qp_end(qp);
    }
    for (uint32_t i = 0; pd->children && i < device->mrs.count; i++) {
        struct rvt_mregion *mr = (struct rvt_mregion *)rvt_pool_at(&device->mrs, i);
        if (rvt_object_alive(&mr->object) && mr->pd == pd)
            rvt_mr_release(mr, RVT_RELEASE_FORCE);
    }
    rvt_object_death(&pd->object);
    rvt_pool_give(&device->pds, &pd->object);
}

int rvt_dealloc_pd(struct rvt_pd_handle handle, bool cascade) {
    struct rvt_pd *pd = handle.pd;
    if (!pd)
        return -RVT_EBADF;
    struct rvt_dev_info *device = pd->device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    if (!rvt_pd_live(handle))
        error = -RVT_EBADF;
    else if (pd->children && !cascade)
        error = -RVT_EBUSY;
    else
        rvt_pd_end(pd);
    rvt_mutex_unlock(&device->lock);
    rvt_reclaim();
    return error;
}
