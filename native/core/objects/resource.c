/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/resource.h"

#include "core/base/platform.h"
#include "core/objects/device.h"
#include "core/objects/object_kind.h"
#include "core/objects/ucontext.h"

uint32_t rvt_resource_fields(const struct rvt_dev_info *device, enum rvt_resource_kind kind) {
    if ((unsigned)kind >= RVT_MOST_OBJECT_KINDS || !device->kinds.slots[kind].kind)
        return 0;
    return device->kinds.slots[kind].kind->row_fields;
}

void rvt_resource_report(struct rvt_dev_info *device,
                         bool (*emit)(void *context, enum rvt_resource_kind kind, const uint64_t *fields),
                         void *context) {
    uint64_t fields[RVT_RESOURCE_MOST_FIELDS];
    bool more = true;
    rvt_mutex_lock(&device->lock);
    for (uint32_t number = 0; number < RVT_MOST_OBJECT_KINDS; number++) {
        const struct rvt_object_kind *kind = device->kinds.slots[number].kind;
        if (!kind)
            continue;
        const void *object = NULL;
        uint32_t at = 0;
        while (more &&
               (object = kind->next ? kind->next(device, object) : rvt_next_object(device, number, &at))) {
            kind->fill_row(object, fields);
            more = emit(context, (enum rvt_resource_kind)number, fields);
        }
    }
    rvt_mutex_unlock(&device->lock);
}

void rvt_resource_report_owned(const struct rvt_ucontext *owner, enum rvt_resource_kind number,
                               bool (*emit)(void *context, enum rvt_resource_kind kind,
                                            const uint64_t *fields),
                               void *context) {
    struct rvt_dev_info *device = owner->device;
    const struct rvt_object_kind *kind = device->kinds.slots[number].kind;
    uint64_t fields[RVT_RESOURCE_MOST_FIELDS];
    const struct rvt_owned *object = NULL;
    bool more = true;
    rvt_mutex_lock(&device->lock);
    while (more && (object = rvt_next_owned(device, number, owner, object))) {
        kind->fill_row(object, fields);
        more = emit(context, number, fields);
    }
    rvt_mutex_unlock(&device->lock);
}
