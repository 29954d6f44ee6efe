/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of the kinds of objects that live on a device. What has to be done for objects of every kind
 * (tell them, count them, end them in the right order) goes through this table. It is filled when the device
 * is opened: by the core itself, and by upper rooms. The core may not include those, so each of them passes
 * its kinds and hooks in a struct rvt_extension.
 *
 * Everything here is called under the device's lock unless it says otherwise. */
#ifndef RVT_OBJECT_KIND_H
#define RVT_OBJECT_KIND_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/failure.h"
#include "core/base/list.h"
#include "core/base/pool.h"
#include "core/objects/owned.h"
#include "core/objects/resource.h"

struct rvt_dev_info;
struct rvt_pd;
struct rvt_ucontext;

enum {
    /* A kind's number is an enum rvt_resource_kind, or a larger number below this. */
    RVT_MOST_OBJECT_KINDS = 16,
    /* Kinds with `domain_of`: a domain has room for a list of each. */
    RVT_MOST_CHILD_KINDS = 6,
};

/* When a context or a device ends, all objects of a kind with a smaller number end before those of the next.
 * Upper rooms choose numbers in between. What refers to other objects ends before them. */
enum rvt_end_order {
    RVT_END_QPS = 100,
    RVT_END_MRS = 200,
    RVT_END_PDS = 300,
    RVT_END_DMA_MAPS = 400,
};

/* A kind of objects. Constant, and outlives every device that has it. */
struct rvt_object_kind {
    uint32_t number;     /* that rows are reported under; in that order */
    uint32_t row_fields; /* of a row: 1..RVT_RESOURCE_MOST_FIELDS */
    /* Fill the row of one object. `object` is what the pool or `next` gave. */
    void (*fill_row)(const void *object, uint64_t *fields);

    /* Objects in a pool of the table: bytes of one, which begins with struct rvt_owned. Such objects block a
     * close that does not cascade, and end with their context and their device. */
    size_t object_size;
    int end_order; /* see rvt_end_order */
    /* End one live object by force: tell the release (rvt_tell_release), let its handles die
     * (rvt_owned_death), and give it back to the pool now or when all readers have passed. */
    void (*end)(struct rvt_owned *object);
    /* Instead of `end`, for objects that must end together: end all that `context` owns (NULL: all). */
    void (*end_all)(struct rvt_dev_info *device, struct rvt_ucontext *context);
    /* The domain that an object is a child of, from rvt_owned_birth until rvt_owned_death: it is counted in
     * the domain's `children`, and ends with the domain if that cascades. NULL for kinds that belong to no
     * domain. */
    struct rvt_pd *(*domain_of)(const struct rvt_owned *object);

    /* Objects that are not in a pool, object_size being 0: the one after `previous`, or the first (NULL).
     * They are told and nothing else: their own files know how they end. */
    const void *(*next)(const struct rvt_dev_info *device, const void *previous);
};

/* Lets an upper room act before objects of a lower kind go: a queue pair that must stop before its region. */
struct rvt_release_hook {
    uint32_t kind; /* number of the kind that is watched */
    /* Called once in the life of each such object, when its end is certain and its handles are still alive. A
     * region still answers to its key then; held references may keep it half-dead for a while afterwards. The
     * device's lock is held: do not call a function that takes it. May change and end objects of the room's
     * own kinds, and no others. */
    void (*releasing)(struct rvt_owned *object);
};

/* What one upper room adds to a device. Constant, and outlives the device. */
struct rvt_extension {
    const struct rvt_object_kind *const *kinds;
    uint32_t kind_count;
    const struct rvt_release_hook *hooks;
    uint32_t hook_count;
};

struct rvt_object_kind_slot {
    const struct rvt_object_kind *kind; /* constant; NULL: there is no such kind */
    uint64_t made;                      /* the last serial number given */
    uint32_t child_number;              /* constant: of its list in a domain, for kinds with domain_of */
    size_t membership_at;               /* constant: where an object's membership is, from its beginning */
    struct rvt_pool pool;
};

/* What one context owns, or the device itself: the live objects, by the number of their kind. */
struct rvt_owner {
    struct rvt_link *first[RVT_MOST_OBJECT_KINDS];
};

struct rvt_object_kinds {
    struct rvt_object_kind_slot slots[RVT_MOST_OBJECT_KINDS]; /* by number */
    /* Constant: numbers of the kinds in pools, in the order in which their objects end. */
    uint32_t end_order[RVT_MOST_OBJECT_KINDS], end_count;
    uint32_t child_kinds;                          /* how many kinds have `domain_of` */
    const struct rvt_extension *const *extensions; /* constant */
    uint32_t extension_count;
};

/* Enter one kind, while the device is being made; `held`: where the bytes of its pool are counted.
 *   0        entered
 *   -EINVAL  its number is taken or too large; its row has no fields or too many; it has no fill_row; it
 *            has a pool but not exactly one of `end` and `end_all`, objects without a whole head, or a
 *            domain but no `end`; it has no pool but no `next` either; RVT_MOST_CHILD_KINDS others have a
 *            domain */
int rvt_enter_object_kind(struct rvt_object_kinds *kinds, const struct rvt_object_kind *kind,
                          _Atomic(uint64_t) *held);

/* Enter the kinds and hooks of upper rooms, after the core's own.
 *   0        entered, and kept: `extensions` must outlive the device
 *   -EINVAL  a kind cannot be entered; a hook watches a kind that is not there, or has no function */
int rvt_enter_extensions(struct rvt_object_kinds *kinds, const struct rvt_extension *const *extensions,
                         uint32_t count, _Atomic(uint64_t) *held);

/* Free the pools, when nobody can hold a handle any more. */
void rvt_destroy_object_kinds(struct rvt_object_kinds *kinds);

/* A dead object of the kind, with its head filled: device, the next serial number, and its owner, `context`
 * (NULL: the device). NULL without memory (then no number is used up). The caller fills the rest and lets it
 * be born (rvt_owned_birth), or gives it back, before it drops the lock. */
struct rvt_owned *rvt_take_owned(struct rvt_dev_info *device, uint32_t kind, struct rvt_ucontext *context);

/* Make the object alive, and a child of its domain; returns the generation for its handle. */
uint64_t rvt_owned_birth(struct rvt_owned *object, uint32_t kind);

/* From now on every handle to it is dead, and neither its owner nor its domain has it any more. */
void rvt_owned_death(struct rvt_owned *object, uint32_t kind);

/* Back to its pool. The object must be dead and out of reach of readers. */
void rvt_give_owned(struct rvt_owned *object, uint32_t kind);

/* The next live object of a kind, whoever owns it, from index *at on, which moves behind it; NULL when there
 * is none. Objects may end between two calls. Goes over the whole pool. */
struct rvt_owned *rvt_next_object(const struct rvt_dev_info *device, uint32_t kind, uint32_t *at);

/* The object of a kind that comes after `previous` (NULL: the first one) among those of `context` (NULL: of
 * the device, which owns what was made without a context); NULL when there is none. */
struct rvt_owned *rvt_next_owned(const struct rvt_dev_info *device, uint32_t kind,
                                 const struct rvt_ucontext *context, const struct rvt_owned *previous);

/* Whether the context owns any live object (NULL: whether any is alive). */
bool rvt_owns_anything(const struct rvt_dev_info *device, const struct rvt_ucontext *context);

/* -EBUSY because the context owns something (NULL: because anything is alive), with how many objects of each
 * kind. Takes time for each. */
RVT_COLD int rvt_fail_owns(const struct rvt_dev_info *device, const struct rvt_ucontext *context);

/* -EBUSY because the domain has children, with how many of each kind. Takes no time for those of the kind that
 * it has most of. */
RVT_COLD int rvt_fail_children(const struct rvt_pd *pd);

/* Call `end` for one object of the kind after the other, until the context owns none (NULL: until none is
 * alive). `end` may end others along with it. */
void rvt_end_each(struct rvt_dev_info *device, uint32_t kind, struct rvt_ucontext *context,
                  void (*end)(struct rvt_owned *object));

/* End all objects that the context owns (NULL: all), kind by kind in the order of ending. Takes time for what
 * ends, and not for what others have on the device. */
void rvt_end_owned(struct rvt_dev_info *device, struct rvt_ucontext *context);

/* End all children of the domain, in the same order, and as fast. */
void rvt_end_children(struct rvt_pd *pd);

/* The serial number of the object of a handle, or 0 when the handle is dead. Takes the device's lock: without
 * it the object could die, and live again under another number, between two looks. */
uint64_t rvt_read_serial(struct rvt_owned *object, uint64_t generation);

/* Call the hooks that watch this kind. Every kind's `end`, and every verb that ends an object, calls this
 * once in the object's life, while its handles are still alive. */
void rvt_tell_release(struct rvt_owned *object, uint32_t kind);

#endif
