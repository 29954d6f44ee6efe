/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/object_kind.h"

#include <stdalign.h>

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

/* Inserts the kind behind the kinds that end before it or together with it. */
static void insert_into_end_order(struct rvt_object_kinds *kinds, const struct rvt_object_kind *kind) {
    uint32_t at = kinds->end_count++;
    for (; at && kinds->slots[kinds->end_order[at - 1]].kind->end_order > kind->end_order; at--)
        kinds->end_order[at] = kinds->end_order[at - 1];
    kinds->end_order[at] = kind->number;
}

int rvt_enter_object_kind(struct rvt_object_kinds *kinds, const struct rvt_object_kind *kind,
                          _Atomic(uint64_t) *held) {
    if (kind->number >= RVT_MOST_OBJECT_KINDS || kinds->slots[kind->number].kind || !is_well_formed(kind))
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_OBJECT_KIND, kind->number, 0);
    if (kind->domain_of && kinds->child_kinds == RVT_MOST_CHILD_KINDS)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_OBJECT_KIND, kind->number, 0);
    struct rvt_object_kind_slot *slot = &kinds->slots[kind->number];
    slot->kind = kind;
    if (kind->object_size) {
        const size_t align = alignof(struct rvt_membership);
        slot->membership_at = (kind->object_size + align - 1) / align * align;
        rvt_pool_init(&slot->pool, slot->membership_at + (kind->domain_of ? sizeof(struct rvt_membership)
                                                                          : sizeof(struct rvt_link)));
        slot->pool.held = held;
        insert_into_end_order(kinds, kind);
    }
    if (kind->domain_of)
        slot->child_number = kinds->child_kinds++;
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
    /* Check the hooks after all kinds are entered: a hook may watch a kind of another extension, whichever
     * comes first in the list. */
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < extensions[i]->hook_count; k++)
            if (!can_watch(kinds, &extensions[i]->hooks[k]))
                return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_RELEASE_HOOK, extensions[i]->hooks[k].kind, 0);
    kinds->extensions = extensions;
    kinds->extension_count = count;
    return 0;
}

void rvt_destroy_object_kinds(struct rvt_object_kinds *kinds) {
    for (uint32_t i = 0; i < kinds->end_count; i++)
        rvt_pool_destroy(&kinds->slots[kinds->end_order[i]].pool);
}

static struct rvt_object_kind_slot *slot_of(const struct rvt_owned *object, uint32_t kind) {
    return &object->device->kinds.slots[kind];
}

static struct rvt_membership *membership_of(const struct rvt_object_kind_slot *slot,
                                            const struct rvt_owned *object) {
    return (struct rvt_membership *)(void *)((char *)object + slot->membership_at);
}

/* Return the object that a membership or link belongs to; NULL for a NULL link. */
static struct rvt_owned *object_of(const struct rvt_object_kind_slot *slot,
                                   const struct rvt_membership *membership) {
    return (struct rvt_owned *)(void *)((char *)membership - slot->membership_at);
}
static struct rvt_owned *object_in_owner(const struct rvt_object_kind_slot *slot, struct rvt_link *link) {
    return link ? object_of(slot, RVT_LIST_ENTRY(link, struct rvt_membership, in_owner)) : NULL;
}
static struct rvt_owned *object_in_domain(const struct rvt_object_kind_slot *slot, struct rvt_link *link) {
    return link ? object_of(slot, RVT_LIST_ENTRY(link, struct rvt_membership, in_domain)) : NULL;
}

static struct rvt_owner *owner_of(struct rvt_dev_info *device, struct rvt_ucontext *context) {
    return context ? &context->owns : &device->owns;
}

struct rvt_owned *rvt_take_owned(struct rvt_dev_info *device, uint32_t kind, struct rvt_ucontext *context) {
    struct rvt_object_kind_slot *slot = &device->kinds.slots[kind];
    struct rvt_owned *owned = (struct rvt_owned *)rvt_pool_take(&slot->pool);
    if (!owned)
        return NULL;
    /* Set `device` only on first use: a stale handle may be reading it now. */
    if (!owned->device)
        owned->device = device;
    owned->serial = ++slot->made;
    owned->context = rvt_ucontext_id(context);
    /* The object is not alive yet, but no other thread can look at the list before the lock is released. */
    rvt_list_add(&owner_of(device, context)->first[kind], &membership_of(slot, owned)->in_owner);
    return owned;
}

void rvt_enter_domain(struct rvt_owned *object, uint32_t kind) {
    struct rvt_object_kind_slot *slot = slot_of(object, kind);
    struct rvt_pd *pd = slot->kind->domain_of(object);
    rvt_list_add(&pd->first_child[slot->child_number], &membership_of(slot, object)->in_domain);
    pd->children++;
}

void rvt_leave_domain(struct rvt_owned *object, uint32_t kind) {
    struct rvt_object_kind_slot *slot = slot_of(object, kind);
    rvt_list_remove(&membership_of(slot, object)->in_domain);
    slot->kind->domain_of(object)->children--;
}

uint64_t rvt_owned_birth(struct rvt_owned *object, uint32_t kind) {
    if (slot_of(object, kind)->kind->domain_of)
        rvt_enter_domain(object, kind);
    return rvt_object_birth(&object->object);
}

void rvt_owned_death(struct rvt_owned *object, uint32_t kind) {
    struct rvt_object_kind_slot *slot = slot_of(object, kind);
    rvt_list_remove(&membership_of(slot, object)->in_owner);
    if (slot->kind->domain_of)
        rvt_leave_domain(object, kind);
    rvt_object_death(&object->object);
}

void rvt_give_owned(struct rvt_owned *object, uint32_t kind) {
    struct rvt_object_kind_slot *slot = slot_of(object, kind);
    rvt_list_remove(&membership_of(slot, object)->in_owner); /* a no-op unless the object was never born */
    rvt_pool_give(&slot->pool, &object->object);
}

struct rvt_owned *rvt_next_object(const struct rvt_dev_info *device, uint32_t kind, uint32_t *at) {
    return (struct rvt_owned *)rvt_pool_next_alive(&device->kinds.slots[kind].pool, at);
}

struct rvt_owned *rvt_next_owned(const struct rvt_dev_info *device, uint32_t kind,
                                 const struct rvt_ucontext *context, const struct rvt_owned *previous) {
    const struct rvt_object_kind_slot *slot = &device->kinds.slots[kind];
    if (previous)
        return object_in_owner(slot, membership_of(slot, previous)->in_owner.next);
    return object_in_owner(slot, (context ? &context->owns : &device->owns)->first[kind]);
}

static bool has_any(const struct rvt_object_kinds *kinds, const struct rvt_owner *owner) {
    for (uint32_t i = 0; i < kinds->end_count; i++)
        if (owner->first[kinds->end_order[i]])
            return true;
    return false;
}

bool rvt_owns_anything(const struct rvt_dev_info *device, const struct rvt_ucontext *only) {
    if (only)
        return has_any(&device->kinds, &only->owns);
    bool any = has_any(&device->kinds, &device->owns);
    for (const struct rvt_link *link = device->contexts; link && !any; link = link->next)
        any = has_any(&device->kinds, &RVT_LIST_ENTRY(link, struct rvt_ucontext, in_device)->owns);
    return any;
}

static_assert(RVT_FAILURE_NUMBERS - RVT_FAILURE_COUNTS == RVT_MOST_OBJECT_KINDS, "a count for each kind");

static void count_owned(const struct rvt_object_kinds *kinds, const struct rvt_owner *owner,
                        uint64_t *counts) {
    for (uint32_t i = 0; i < kinds->end_count; i++) {
        uint32_t number = kinds->end_order[i];
        for (const struct rvt_link *link = owner->first[number]; link; link = link->next)
            counts[number]++;
    }
}

int rvt_fail_owns(const struct rvt_dev_info *device, const struct rvt_ucontext *only) {
    uint64_t counts[RVT_MOST_OBJECT_KINDS] = {0};
    count_owned(&device->kinds, only ? &only->owns : &device->owns, counts);
    if (only)
        return rvt_fail_counts(RVT_EBUSY, RVT_CAUSE_CONTEXT_IN_USE, 0, counts);
    for (const struct rvt_link *link = device->contexts; link; link = link->next)
        count_owned(&device->kinds, &RVT_LIST_ENTRY(link, struct rvt_ucontext, in_device)->owns, counts);
    return rvt_fail_counts(RVT_EBUSY, RVT_CAUSE_DEVICE_IN_USE, 0, counts);
}

int rvt_fail_children(const struct rvt_pd *pd) {
    const struct rvt_object_kinds *kinds = &pd->owned.device->kinds;
    uint64_t counts[RVT_MOST_OBJECT_KINDS] = {0}, counted = 0;
    const struct rvt_link *at[RVT_MOST_CHILD_KINDS] = {NULL};
    uint32_t number[RVT_MOST_CHILD_KINDS] = {0}, lists = 0;
    for (uint32_t i = 0; i < kinds->end_count; i++) {
        const struct rvt_object_kind_slot *slot = &kinds->slots[kinds->end_order[i]];
        if (slot->kind->domain_of && pd->first_child[slot->child_number]) {
            number[lists] = slot->kind->number;
            at[lists++] = pd->first_child[slot->child_number];
        }
    }
    /* Step through all lists in parallel until only one is left. Its kind has all children not counted
     * yet. */
    while (lists > 1) {
        for (uint32_t i = 0; i < lists;) {
            counts[number[i]]++;
            counted++;
            at[i] = at[i]->next;
            if (at[i]) {
                i++;
            } else {
                at[i] = at[--lists];
                number[i] = number[lists];
            }
        }
    }
    if (lists)
        counts[number[0]] += pd->children - counted;
    return rvt_fail_counts(RVT_EBUSY, RVT_CAUSE_PD_IN_USE, 0, counts);
}

/* Ends the first object of the list until the list is empty: ending one object may end others on the list. */
static void end_each_of(const struct rvt_object_kind_slot *slot, struct rvt_owner *owner,
                        void (*end)(struct rvt_owned *object)) {
    struct rvt_owned *owned;
    while ((owned = object_in_owner(slot, owner->first[slot->kind->number])))
        end(owned);
}

void rvt_end_each(struct rvt_dev_info *device, uint32_t kind, struct rvt_ucontext *only,
                  void (*end)(struct rvt_owned *object)) {
    const struct rvt_object_kind_slot *slot = &device->kinds.slots[kind];
    if (only) {
        end_each_of(slot, &only->owns, end);
        return;
    }
    end_each_of(slot, &device->owns, end);
    for (struct rvt_link *link = device->contexts; link; link = link->next)
        end_each_of(slot, &RVT_LIST_ENTRY(link, struct rvt_ucontext, in_device)->owns, end);
}

void rvt_end_owned(struct rvt_dev_info *device, struct rvt_ucontext *context) {
    const struct rvt_object_kinds *kinds = &device->kinds;
    for (uint32_t i = 0; i < kinds->end_count; i++) {
        const struct rvt_object_kind *kind = kinds->slots[kinds->end_order[i]].kind;
        if (kind->end_all)
            kind->end_all(device, context);
        else
            rvt_end_each(device, kind->number, context, kind->end);
    }
}

void rvt_end_children(struct rvt_pd *pd) {
    const struct rvt_object_kinds *kinds = &pd->owned.device->kinds;
    for (uint32_t i = 0; pd->children && i < kinds->end_count; i++) {
        const struct rvt_object_kind_slot *slot = &kinds->slots[kinds->end_order[i]];
        struct rvt_owned *child;
        while (slot->kind->domain_of && (child = object_in_domain(slot, pd->first_child[slot->child_number])))
            slot->kind->end(child);
    }
}

uint64_t rvt_read_serial(struct rvt_owned *object, uint64_t generation) {
    struct rvt_dev_info *device = object->device;
    rvt_mutex_lock(&device->lock);
    uint64_t serial = rvt_object_generation(&object->object) == generation ? object->serial : 0;
    rvt_mutex_unlock(&device->lock);
    return serial;
}

void rvt_drain_extensions(struct rvt_dev_info *device) {
    for (uint32_t i = 0; i < device->kinds.extension_count; i++)
        if (device->kinds.extensions[i]->drain)
            device->kinds.extensions[i]->drain(device);
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

void rvt_tell_release_again(struct rvt_owned *object, uint32_t kind) {
    const struct rvt_object_kinds *kinds = &object->device->kinds;
    for (uint32_t i = 0; i < kinds->extension_count; i++) {
        const struct rvt_extension *extension = kinds->extensions[i];
        for (uint32_t k = 0; k < extension->hook_count; k++)
            if (extension->hooks[k].kind == kind && extension->hooks[k].releasing_again)
                extension->hooks[k].releasing_again(object);
    }
}
