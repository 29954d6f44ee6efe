/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/object_kind.h"

#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/pd.h"
#include "core/objects/ucontext.h"

static bool is_well_formed(const struct rvt_object_kind *kind) {
    if (!kind->row_fields || kind->row_fields > RVT_RESOURCE_MOST_FIELDS || !kind->fill_row)
        return false;
    if (!kind->object_size)
        return kind->next && !kind->end && !kind->end_all && !kind->domain_of;
    return kind->object_size >= sizeof(struct rvt_owned) && !kind->next && !kind->end != !kind->end_all &&
           (!kind->domain_of || kind->end);
}

/* Insert behind the kinds that end before or together with it. */
static void insert_into_end_order(struct rvt_object_kinds *kinds, const struct rvt_object_kind *kind) {
    uint32_t at = kinds->end_count++;
    for (; at && kinds->slots[kinds->end_order[at - 1]].kind->end_order > kind->end_order; at--)
        kinds->end_order[at] = kinds->end_order[at - 1];
    kinds->end_order[at] = kind->number;
}

int rvt_enter_object_kind(struct rvt_object_kinds *kinds, const struct rvt_object_kind *kind,
                          _Atomic(uint64_t) *held) {
    if (kind->number >= RVT_MOST_OBJECT_KINDS || kinds->slots[kind->number].kind || !is_well_formed(kind))
        return -RVT_EINVAL;
    struct rvt_object_kind_slot *slot = &kinds->slots[kind->number];
    slot->kind = kind;
    if (kind->object_size) {
        rvt_pool_init(&slot->pool, kind->object_size);
        slot->pool.held = held;
        insert_into_end_order(kinds, kind);
    }
    return 0;
}

static bool can_watch(const struct rvt_object_kinds *kinds, const struct rvt_release_hook *hook) {
    return hook->releasing && hook->kind < RVT_MOST_OBJECT_KINDS && kinds->slots[hook->kind].kind &&
           kinds->slots[hook->kind].kind->object_size;
}

int rvt_enter_extensions(struct rvt_object_kinds *kinds, const struct rvt_extension *const *extensions,
                         uint32_t count, _Atomic(uint64_t) *held) {
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < extensions[i]->kind_count; k++) {
            int error = rvt_enter_object_kind(kinds, extensions[i]->kinds[k], held);
            if (error)
                return error;
        }
    }
    /* After all kinds: one room may watch the kind of another, in whatever order they come. */
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < extensions[i]->hook_count; k++)
            if (!can_watch(kinds, &extensions[i]->hooks[k]))
                return -RVT_EINVAL;
    kinds->extensions = extensions;
    kinds->extension_count = count;
    return 0;
}

void rvt_destroy_object_kinds(struct rvt_object_kinds *kinds) {
    for (uint32_t i = 0; i < kinds->end_count; i++)
        rvt_pool_destroy(&kinds->slots[kinds->end_order[i]].pool);
}

struct rvt_owned *rvt_take_owned(struct rvt_dev_info *device, uint32_t kind, uint64_t context) {
    struct rvt_object_kind_slot *slot = &device->kinds.slots[kind];
    struct rvt_owned *owned = (struct rvt_owned *)rvt_pool_take(&slot->pool);
    if (!owned)
        return NULL;
    /* Only when it is first used: a dead handle may be reading it. */
    if (!owned->device)
        owned->device = device;
    owned->serial = ++slot->made;
    owned->context = context;
    return owned;
}

void rvt_give_owned(struct rvt_owned *object, uint32_t kind) {
    rvt_pool_give(&object->device->kinds.slots[kind].pool, &object->object);
}

struct rvt_owned *rvt_next_owned(const struct rvt_dev_info *device, uint32_t kind, uint32_t *at,
                                 uint64_t context) {
    struct rvt_object *object;
    while ((object = rvt_pool_next_alive(&device->kinds.slots[kind].pool, at))) {
        struct rvt_owned *owned = (struct rvt_owned *)object;
        if (context == RVT_EVERY_CONTEXT || owned->context == context)
            return owned;
    }
    return NULL;
}

bool rvt_owns_anything(const struct rvt_dev_info *device, uint64_t context) {
    const struct rvt_object_kinds *kinds = &device->kinds;
    for (uint32_t i = 0; i < kinds->end_count; i++) {
        uint32_t at = 0;
        if (rvt_next_owned(device, kinds->end_order[i], &at, context))
            return true;
    }
    return false;
}

void rvt_end_owned(struct rvt_dev_info *device, uint64_t context) {
    const struct rvt_object_kinds *kinds = &device->kinds;
    for (uint32_t i = 0; i < kinds->end_count; i++) {
        const struct rvt_object_kind *kind = kinds->slots[kinds->end_order[i]].kind;
        if (kind->end_all) {
            kind->end_all(device, context);
            continue;
        }
        struct rvt_owned *owned;
        for (uint32_t at = 0; (owned = rvt_next_owned(device, kind->number, &at, context));)
            kind->end(owned);
    }
}

void rvt_end_children(struct rvt_pd *pd) {
    struct rvt_dev_info *device = pd->owned.device;
    const struct rvt_object_kinds *kinds = &device->kinds;
    for (uint32_t i = 0; i < kinds->end_count; i++) {
        const struct rvt_object_kind *kind = kinds->slots[kinds->end_order[i]].kind;
        if (!kind->domain_of)
            continue;
        struct rvt_owned *owned;
        for (uint32_t at = 0;
             pd->children && (owned = rvt_next_owned(device, kind->number, &at, RVT_EVERY_CONTEXT));)
            if (kind->domain_of(owned) == pd)
                kind->end(owned);
    }
}

uint64_t rvt_read_serial(struct rvt_owned *object, uint64_t generation) {
    struct rvt_dev_info *device = object->device;
    rvt_mutex_lock(&device->lock);
    uint64_t serial = rvt_object_generation(&object->object) == generation ? object->serial : 0;
    rvt_mutex_unlock(&device->lock);
    return serial;
}

void rvt_tell_release(struct rvt_owned *object, uint32_t kind) {
    const struct rvt_object_kinds *kinds = &object->device->kinds;
    for (uint32_t i = 0; i < kinds->extension_count; i++) {
        const struct rvt_extension *extension = kinds->extensions[i];
        for (uint32_t k = 0; k < extension->hook_count; k++)
            if (extension->hooks[k].kind == kind)
                extension->hooks[k].releasing(object);
    }
}
