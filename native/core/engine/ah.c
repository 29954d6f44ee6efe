/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/ah.h"

#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/engine/engine_state.h"
#include "core/engine/extension.h"
#include "core/objects/resource.h"

enum { ONLY_PORT = 1, SLOWEST_RATE = 2, FASTEST_RATE = 22 };

int rvt_judge_ah_attr(const struct rvt_ah_attr *attr, uint32_t attribute) {
    if (attr->port != ONLY_PORT)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_PATH_PORT, attribute, attr->port, ONLY_PORT);
    if (attr->static_rate && (attr->static_rate < SLOWEST_RATE || attr->static_rate > FASTEST_RATE))
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_PATH_RATE, attribute, attr->static_rate, FASTEST_RATE);
    return 0;
}

/* Makes the object alive. The caller must hold both locks. */
static int give_birth(struct rvt_engine *engine, struct rvt_pd_handle in, const struct rvt_ah_attr *attr,
                      const struct rvt_host_address *host, struct rvt_ah_handle *handle) {
    struct rvt_dev_info *device = engine->device;
    if (!rvt_pd_live(in))
        return rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    struct rvt_ah *ah = (struct rvt_ah *)rvt_take_owned(device, RVT_RESOURCE_AH, in.context);
    if (!ah)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    ah->pd = in.pd;
    ah->attr = *attr;
    ah->host = *host;
    engine->ahs++;
    *handle = (struct rvt_ah_handle){ah, rvt_owned_birth(&ah->owned, RVT_RESOURCE_AH), in.context};
    return 0;
}

int rvt_create_host_ah(struct rvt_pd_handle in, const struct rvt_ah_attr *attr,
                       const struct rvt_host_address *host, struct rvt_ah_handle *handle) {
    int error;
    struct rvt_engine *engine = rvt_engine_of_pd(in, &error);
    if (engine)
        error = rvt_judge_ah_attr(attr, 0);
    if (error)
        return error;
    struct rvt_dev_info *device = engine->device;
    const uint32_t most = engine->limits.of[RVT_LIMIT_MAX_AH];
    rvt_engine_lock(engine);
    rvt_mutex_lock(&device->lock);
    if (engine->ahs >= most)
        error = rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_AH, most);
    else
        error = give_birth(engine, in, attr, host, handle);
    rvt_mutex_unlock(&device->lock);
    rvt_engine_finish(engine);
    return error;
}

int rvt_create_ah(struct rvt_pd_handle in, const struct rvt_ah_attr *attr, struct rvt_ah_handle *handle) {
    static const struct rvt_host_address nowhere;
    return rvt_create_host_ah(in, attr, &nowhere, handle);
}

int rvt_destroy_ah(struct rvt_ah_handle handle) {
    struct rvt_engine *engine = handle.ah ? handle.ah->owned.device->engine : NULL;
    if (!engine)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_AH_GONE);
    int error = 0;
    rvt_engine_lock(engine);
    rvt_mutex_lock(&engine->device->lock);
    if (rvt_ah_live(handle))
        rvt_ah_objects.end(&handle.ah->owned);
    else
        error = rvt_fail_gone(engine->device, handle.context, RVT_CAUSE_AH_GONE);
    rvt_mutex_unlock(&engine->device->lock);
    rvt_engine_finish(engine);
    return error;
}

static void end_ah(struct rvt_owned *owned) {
    rvt_tell_release(owned, RVT_RESOURCE_AH);
    rvt_owned_death(owned, RVT_RESOURCE_AH);
    rvt_give_owned(owned, RVT_RESOURCE_AH);
    owned->device->engine->ahs--;
}

static struct rvt_pd *domain_of(const struct rvt_owned *owned) {
    return ((const struct rvt_ah *)owned)->pd;
}

static void fill_row(const void *object, uint64_t *out) {
    const struct rvt_ah *ah = object;
    out[RVT_AH_SERIAL] = ah->owned.serial;
    out[RVT_AH_CONTEXT] = ah->owned.context;
    out[RVT_AH_PD] = ah->pd->owned.serial;
    out[RVT_AH_DLID] = ah->attr.dlid;
    out[RVT_AH_SL] = ah->attr.sl;
}

const struct rvt_object_kind rvt_ah_objects = {
    .number = RVT_RESOURCE_AH,
    .row_fields = RVT_AH_FIELDS,
    .fill_row = fill_row,
    .object_size = sizeof(struct rvt_ah),
    .end_order = RVT_END_AHS,
    .end = end_ah,
    .domain_of = domain_of,
};
