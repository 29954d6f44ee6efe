/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/resource.h"

#include "core/base/memory.h"
#include "core/base/platform.h"
#include "core/objects/device.h"
#include "core/objects/object_kind.h"
#include "core/objects/pd.h"
#include "core/objects/ucontext.h"

enum { PLACE_KIND, PLACE_BUFFER, PLACE_OFFSET, PLACE_DETACHED };
_Static_assert(RVT_MR_BUFFER == RVT_MR_MEMORY_KIND + PLACE_BUFFER &&
                   RVT_MR_OFFSET == RVT_MR_MEMORY_KIND + PLACE_OFFSET &&
                   RVT_MR_DETACHED == RVT_MR_MEMORY_KIND + PLACE_DETACHED &&
                   RVT_DMA_BUFFER == RVT_DMA_MEMORY_KIND + PLACE_BUFFER &&
                   RVT_DMA_OFFSET == RVT_DMA_MEMORY_KIND + PLACE_OFFSET &&
                   RVT_DMA_DETACHED == RVT_DMA_MEMORY_KIND + PLACE_DETACHED,
               "regions and mappings tell their memory in the same order");

void rvt_place_fields(const struct rvt_memory *memory, uint64_t *fields) {
    struct rvt_memory_place place = rvt_place_of_memory(memory);
    fields[PLACE_KIND] = (uint64_t)place.kind;
    fields[PLACE_BUFFER] = place.buffer;
    fields[PLACE_OFFSET] = place.offset;
    /* Shared and device memory cannot be detached. For other memory only the owner's thread knows. */
    bool owner_knows = place.kind == RVT_MEMORY_KIND_ARRAY_BUFFER || place.kind == RVT_MEMORY_KIND_OTHER;
    fields[PLACE_DETACHED] = owner_knows ? RVT_DETACHED_UNKNOWN : RVT_DETACHED_NO;
}

uint32_t rvt_resource_fields(const struct rvt_dev_info *device, enum rvt_resource_kind kind) {
    if ((unsigned)kind >= RVT_MOST_OBJECT_KINDS || !device->kinds.slots[kind].kind)
        return 0;
    return device->kinds.slots[kind].kind->row_fields;
}

/* Returns whether a report to the context `to` may show this object. NULL may see everything. */
static bool may_know(const struct rvt_ucontext *to, const struct rvt_object_kind *kind, const void *object) {
    if (!rvt_ucontext_restricted(to))
        return true;
    if (!kind->object_size) /* contexts; and device memory, which no context owns */
        return object == to;
    const struct rvt_owned *owned = object;
    if (owned->context == to->id)
        return true;
    if (kind == &rvt_pd_objects)
        return owned->serial == to->only_pd;
    const struct rvt_pd *pd = kind->domain_of ? kind->domain_of(owned) : NULL;
    return pd && pd->owned.serial == to->only_pd;
}

static void report(struct rvt_dev_info *device, const struct rvt_ucontext *to,
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
            if (!may_know(to, kind, object))
                continue;
            kind->fill_row(object, fields);
            more = emit(context, (enum rvt_resource_kind)number, fields);
        }
    }
    rvt_mutex_unlock(&device->lock);
}

void rvt_resource_report(struct rvt_dev_info *device,
                         bool (*emit)(void *context, enum rvt_resource_kind kind, const uint64_t *fields),
                         void *context) {
    report(device, NULL, emit, context);
}

void rvt_resource_report_to(const struct rvt_ucontext *to,
                            bool (*emit)(void *context, enum rvt_resource_kind kind, const uint64_t *fields),
                            void *context) {
    report(to->device, to, emit, context);
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
