/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/pd.h"

#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/resource.h"

int rvt_alloc_pd(struct rvt_dev_info *device, struct rvt_ucontext *context, bool user,
                 struct rvt_pd_handle *handle) {
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_pd *pd = NULL;
    if (device->closed || rvt_ucontext_gone(context))
        error = rvt_fail_gone(device, context, RVT_CAUSE_DETACHED);
    else if (rvt_ucontext_restricted(context))
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    else if (device->pds >= device->max_pd)
        error = rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_PD, device->max_pd);
    else if (!rvt_serial_index_reserve(&device->pds_by_serial) ||
             !(pd = (struct rvt_pd *)rvt_take_owned(device, RVT_RESOURCE_PD, context)))
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (pd) {
        if (!pd->id) /* set `id` only on first use: a stale handle may be reading it now */
            pd->id = pd->owned.object.index + 1;
        atomic_store_explicit(&pd->user, user, memory_order_release);
        rvt_serial_index_add(&device->pds_by_serial, pd->owned.serial, pd);
        device->pds++;
        *handle = (struct rvt_pd_handle){pd, rvt_owned_birth(&pd->owned, RVT_RESOURCE_PD), context};
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_attach_pd(struct rvt_ucontext *context, uint64_t serial, struct rvt_pd_handle *handle) {
    struct rvt_dev_info *device = context->device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_pd *pd = rvt_serial_index_find(&device->pds_by_serial, serial);
    if (device->closed || rvt_ucontext_gone(context))
        error = rvt_fail_gone(device, context, RVT_CAUSE_DETACHED);
    else if (rvt_ucontext_restricted(context) && context->only_pd != serial)
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    else if (pd)
        *handle = (struct rvt_pd_handle){pd, rvt_object_generation(&pd->owned.object), context};
    else
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_UNKNOWN_PD, serial, 0);
    rvt_mutex_unlock(&device->lock);
    return error;
}

void rvt_pd_end(struct rvt_pd *pd) {
    rvt_tell_release(&pd->owned, RVT_RESOURCE_PD);
    rvt_unshare(&pd->shared);
    rvt_end_children(pd);
    rvt_serial_index_remove(&pd->owned.device->pds_by_serial, pd->owned.serial);
    pd->owned.device->pds--;
    rvt_owned_death(&pd->owned, RVT_RESOURCE_PD);
    rvt_give_owned(&pd->owned, RVT_RESOURCE_PD);
}

int rvt_dealloc_pd(struct rvt_pd_handle handle, bool cascade) {
    struct rvt_pd *pd = handle.pd;
    if (!pd)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    struct rvt_dev_info *device = pd->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    if (!rvt_pd_live(handle))
        error = rvt_fail_gone(device, handle.context, RVT_CAUSE_PD_GONE);
    else if (rvt_ucontext_restricted(handle.context))
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    else if (pd->children && !cascade)
        error = rvt_fail_children(pd);
    else
        rvt_pd_end(pd);
    rvt_mutex_unlock(&device->lock);
    if (!error) {
        rvt_drain_extensions(device);
        rvt_settle(&device->retirement);
    }
    return error;
}

static void end_pd(struct rvt_owned *owned) {
    rvt_pd_end((struct rvt_pd *)owned);
}

static void fill_pd_row(const void *object, uint64_t *out) {
    const struct rvt_pd *pd = object;
    out[RVT_PD_SERIAL] = pd->owned.serial;
    out[RVT_PD_CONTEXT] = pd->owned.context;
    out[RVT_PD_USER] = atomic_load_explicit(&pd->user, memory_order_relaxed);
    out[RVT_PD_CHILDREN] = pd->children;
}

const struct rvt_object_kind rvt_pd_objects = {
    .number = RVT_RESOURCE_PD,
    .row_fields = RVT_PD_FIELDS,
    .fill_row = fill_pd_row,
    .object_size = sizeof(struct rvt_pd),
    .end_order = RVT_END_PDS,
    .end = end_pd,
};
