/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/qp.h"

#include "core/base/rvt_errno.h"
#include "core/objects/device.h"

void rvt_qp_end(struct rvt_qp *qp) {
    rvt_qp_pd(qp)->children--;
    rvt_object_death(&qp->object);
    rvt_pool_give(&qp->device->qps, &qp->object);
}

int rvt_create_qp(struct rvt_pd_handle in, struct rvt_qp_handle *handle) {
    struct rvt_pd *pd = in.pd;
    if (!pd)
        return -RVT_EBADF;
    struct rvt_dev_info *device = pd->device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_qp *qp = NULL;
    if (!rvt_pd_live(in))
        error = -RVT_EBADF;
    else if (!(qp = (struct rvt_qp *)rvt_pool_take(&device->qps)))
        error = -RVT_ENOMEM;
    if (qp) {
        if (!qp->device)
            qp->device = device;
        atomic_store_explicit(&qp->pd, pd, memory_order_relaxed);
        pd->children++;
        qp->serial = ++device->qps_made;
        qp->context = rvt_ucontext_id(in.context);
        *handle = (struct rvt_qp_handle){qp, rvt_object_birth(&qp->object), in.context};
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_destroy_qp(struct rvt_qp_handle handle) {
    struct rvt_qp *qp = handle.qp;
    if (!qp)
        return -RVT_EBADF;
    struct rvt_dev_info *device = qp->device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    if (!rvt_qp_live(handle))
        error = -RVT_EBADF;
    else
        rvt_qp_end(qp);
    rvt_mutex_unlock(&device->lock);
    return error;
}
