/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/qp.h"

#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/resource.h"

void rvt_qp_end(struct rvt_qp *qp) {
    rvt_tell_release(&qp->owned, RVT_RESOURCE_QP);
    rvt_owned_death(&qp->owned, RVT_RESOURCE_QP);
    rvt_give_owned(&qp->owned, RVT_RESOURCE_QP);
}

int rvt_birth_qp(struct rvt_pd_handle in, struct rvt_engine_qp *engine, struct rvt_qp_handle *handle) {
    struct rvt_dev_info *device = in.pd->owned.device;
    if (!rvt_pd_live(in))
        return rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    struct rvt_qp *qp = (struct rvt_qp *)rvt_take_owned(device, RVT_RESOURCE_QP, in.context);
    if (!qp)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    atomic_store_explicit(&qp->pd, in.pd, memory_order_release);
    atomic_store_explicit(&qp->engine, engine, memory_order_release);
    for (int field = RVT_QP_TYPE; field < RVT_QP_FIELDS; field++)
        rvt_show_qp(qp, (enum rvt_qp_row)field, 0);
    *handle = (struct rvt_qp_handle){qp, rvt_owned_birth(&qp->owned, RVT_RESOURCE_QP), in.context};
    return 0;
}

int rvt_create_check_qp(struct rvt_pd_handle in, struct rvt_qp_handle *handle) {
    if (!in.pd)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    struct rvt_dev_info *device = in.pd->owned.device;
    rvt_mutex_lock(&device->lock);
    int error = rvt_birth_qp(in, NULL, handle);
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_destroy_qp(struct rvt_qp_handle handle) {
    struct rvt_qp *qp = handle.qp;
    if (!qp)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_QP_GONE);
    struct rvt_dev_info *device = qp->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    if (!rvt_qp_live(handle))
        error = rvt_fail_gone(device, handle.context, RVT_CAUSE_QP_GONE);
    else
        rvt_qp_end(qp);
    rvt_mutex_unlock(&device->lock);
    if (!error) { /* wait until copies that were judged for the queue pair are over */
        rvt_drain_extensions(device);
        rvt_settle(&device->retirement);
    }
    return error;
}

static void end_qp(struct rvt_owned *owned) {
    rvt_qp_end((struct rvt_qp *)owned);
}

static struct rvt_pd *domain_of_qp(const struct rvt_owned *owned) {
    return rvt_qp_pd((const struct rvt_qp *)owned);
}

static void fill_qp_row(const void *object, uint64_t *out) {
    const struct rvt_qp *qp = object;
    out[RVT_QP_SERIAL] = qp->owned.serial;
    out[RVT_QP_CONTEXT] = qp->owned.context;
    out[RVT_QP_PD] = rvt_qp_pd(qp)->owned.serial;
    for (int field = RVT_QP_TYPE; field < RVT_QP_FIELDS; field++)
        out[field] = atomic_load_explicit(&qp->shown[field - RVT_QP_TYPE], memory_order_relaxed);
}

const struct rvt_object_kind rvt_qp_objects = {
    .number = RVT_RESOURCE_QP,
    .row_fields = RVT_QP_FIELDS,
    .fill_row = fill_qp_row,
    .object_size = sizeof(struct rvt_qp),
    .end_order = RVT_END_QPS,
    .end = end_qp,
    .domain_of = domain_of_qp,
};
