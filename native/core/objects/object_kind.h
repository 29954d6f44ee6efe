/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of the kinds of objects that live on a device. Operations on objects of every kind (report them,
 * count them, end them in the right order) go through this table. It is filled when the device is opened, by
 * the core and by upper layers. The core must not include upper layers, so each of them passes its kinds and
 * hooks in a struct rvt_extension.
 *
 * The caller of every function here must hold the device lock, unless stated otherwise. */
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
    /* Limit of kind numbers. A number is an enum rvt_resource_kind or larger, and below this limit. */
    RVT_MOST_OBJECT_KINDS = 16,
    /* Limit of kinds with `domain_of`. A domain stores one list of children per such kind. */
    RVT_MOST_CHILD_KINDS = 6,
};

/* The order in which objects end with their context or device: all objects of a smaller number before those
 * of a larger one. An object ends before the objects it refers to. Upper layers choose numbers in between. */
enum rvt_end_order {
    RVT_END_QPS = 100,
    RVT_END_MWS = 150,
    RVT_END_MRS = 200,
    RVT_END_PDS = 300,
    RVT_END_DMA_MAPS = 400,
};

/* A kind of objects. Constant, and outlives every device that uses it. */
struct rvt_object_kind {
    uint32_t number;     /* rows are reported under this number, in ascending order */
    uint32_t row_fields; /* fields per row: 1..RVT_RESOURCE_MOST_FIELDS */
    /* Fills the row of one object. `object` comes from the pool or from `next`. */
    void (*fill_row)(const void *object, uint64_t *fields);

    /* Size in bytes of an object in the kind's pool, which begins with struct rvt_owned; 0 if the kind has no
     * pool. Objects in a pool block a close without `cascade`, and end with their context and device. */
    size_t object_size;
    int end_order; /* position in the order of ending: see rvt_end_order */
    /* Ends one live object by force: calls the release hooks (rvt_tell_release), makes its handles stale
     * (rvt_owned_death), and returns it to the pool now or when all readers have left. */
    void (*end)(struct rvt_owned *object);
    /* Instead of `end`, for objects that must end together: ends all that `context` owns (NULL: all). */
    void (*end_all)(struct rvt_dev_info *device, struct rvt_ucontext *context);
    /* Returns the object's parent domain; constant from rvt_owned_birth to rvt_owned_death, unless the object
     * moves to another domain (rvt_leave_domain). The object
     * counts in the domain's `children`, and ends with the domain if that cascades. NULL for kinds without
     * a domain. */
    struct rvt_pd *(*domain_of)(const struct rvt_owned *object);

    /* For kinds without a pool (object_size is 0): returns the object after `previous`, or the first one
     * (NULL). The table only reports such objects; other code ends them. */
    const void *(*next)(const struct rvt_dev_info *device, const void *previous);
};

/* Lets an upper layer act before objects of a lower kind end; for example, a queue pair must stop before its
 * region ends. */
struct rvt_release_hook {
    uint32_t kind; /* number of the watched kind */
    /* Called once for each object of the kind, when its end is certain and its handles are still valid. A
     * region still has its key at that point; held references may keep it half-dead for a while afterwards.
     * The device lock is held, so the hook must not call a function that takes it. It may change and end
     * objects of its own layer's kinds, and no others. */
    void (*releasing)(struct rvt_owned *object);
    /* Called, under the same conditions but without a key, each time a verb releases a region that is already
     * half-dead: whatever still holds it must let go of it. NULL: nothing to do. */
    void (*releasing_again)(struct rvt_owned *object);
};

/* The kinds and hooks that one upper layer adds to a device. Constant, and outlives the device. */
struct rvt_extension {
    const struct rvt_object_kind *const *kinds;
    uint32_t kind_count;
    const struct rvt_release_hook *hooks;
    uint32_t hook_count;
    /* Called by every verb that has ended objects, with no lock held, before the verb waits for readers. What
     * a hook could only mark under the device lock is carried out here. NULL: nothing to do. */
    void (*drain)(struct rvt_dev_info *device);
    /* Called when the device structure is freed. NULL: nothing to do. */
    void (*destroy)(struct rvt_dev_info *device);
};

struct rvt_object_kind_slot {
    const struct rvt_object_kind *kind; /* constant; NULL: the number is unused */
    uint64_t made;                      /* the last serial number used */
    uint32_t child_number;              /* constant; index of its list in a domain, if it has domain_of */
    size_t membership_at;               /* constant; offset of an object's membership */
    struct rvt_pool pool;
};

/* The live objects that a context, or the device itself, owns: one list per kind number. */
struct rvt_owner {
    struct rvt_link *first[RVT_MOST_OBJECT_KINDS];
};

struct rvt_object_kinds {
    struct rvt_object_kind_slot slots[RVT_MOST_OBJECT_KINDS]; /* by kind number */
    /* Constant: the numbers of the kinds in pools, in the order in which their objects end. */
    uint32_t end_order[RVT_MOST_OBJECT_KINDS], end_count;
    uint32_t child_kinds;                          /* number of kinds with `domain_of` */
    const struct rvt_extension *const *extensions; /* constant */
    uint32_t extension_count;
};

/* Enters one kind while the device is being opened. The bytes of its pool are counted in *held.
 *   0        entered
 *   -EINVAL  its number is taken or too large; its row has no fields or too many; it has no fill_row; it
 *            has a pool but not exactly one of `end` and `end_all`, an object_size below that of struct
 *            rvt_owned, or a domain but no `end`; it has neither a pool nor `next`; RVT_MOST_CHILD_KINDS
 *            other kinds have a domain */
int rvt_enter_object_kind(struct rvt_object_kinds *kinds, const struct rvt_object_kind *kind,
                          _Atomic(uint64_t) *held);

/* Enters the kinds and hooks of upper layers, after the core's own kinds. Keeps the pointer `extensions`, so
 * the array must outlive the device.
 *   0        entered
 *   -EINVAL  a kind cannot be entered; a hook watches an unknown kind or has no function */
int rvt_enter_extensions(struct rvt_object_kinds *kinds, const struct rvt_extension *const *extensions,
                         uint32_t count, _Atomic(uint64_t) *held);

/* Frees the pools. No handle may be in use any more. */
void rvt_destroy_object_kinds(struct rvt_object_kinds *kinds);

/* Takes an object of the kind from its pool and fills its head: device, next serial number, and owner
 * `context` (NULL: the device). Returns NULL if memory is short, and then uses up no serial number. The
 * object is not alive yet: before the caller releases the lock, it must fill the rest and call
 * rvt_owned_birth, or return the object with rvt_give_owned. */
struct rvt_owned *rvt_take_owned(struct rvt_dev_info *device, uint32_t kind, struct rvt_ucontext *context);

/* Makes the object alive and adds it to its domain's children. Returns the generation for its handle. */
uint64_t rvt_owned_birth(struct rvt_owned *object, uint32_t kind);

/* Move a live object of a kind with domains: rvt_leave_domain removes it from its domain's children, then the
 * caller changes what `domain_of` returns, and rvt_enter_domain adds it to the children of that domain. */
void rvt_leave_domain(struct rvt_owned *object, uint32_t kind);
void rvt_enter_domain(struct rvt_owned *object, uint32_t kind);

/* Makes every handle to the object stale, and removes the object from its owner's and its domain's lists. */
void rvt_owned_death(struct rvt_owned *object, uint32_t kind);

/* Returns the object to its pool. It must not be alive, and no reader may be able to reach it. */
void rvt_give_owned(struct rvt_owned *object, uint32_t kind);

/* Returns the next live object of a kind, whoever owns it, starting at pool index *at, which it advances.
 * Returns NULL at the end. Objects may end between two calls. A full traversal visits the whole pool. */
struct rvt_owned *rvt_next_object(const struct rvt_dev_info *device, uint32_t kind, uint32_t *at);

/* Returns the object after `previous` (NULL: the first) on the list of objects of a kind that `context` owns
 * (NULL: that the device owns, because they were created without a context). Returns NULL at the end. */
struct rvt_owned *rvt_next_owned(const struct rvt_dev_info *device, uint32_t kind,
                                 const struct rvt_ucontext *context, const struct rvt_owned *previous);

/* Returns whether the context owns any live object, or (NULL) whether any object of the device is alive. */
bool rvt_owns_anything(const struct rvt_dev_info *device, const struct rvt_ucontext *context);

/* Fails with -EBUSY because the context owns objects, or (NULL) because objects of the device are alive.
 * Records how many there are of each kind. Takes time proportional to their number. */
RVT_COLD int rvt_fail_owns(const struct rvt_dev_info *device, const struct rvt_ucontext *context);

/* Fails with -EBUSY because the domain has children. Records how many there are of each kind. Does not
 * traverse the children of the most frequent kind. */
RVT_COLD int rvt_fail_children(const struct rvt_pd *pd);

/* Calls `end` for the objects of the kind one by one, until the context owns none (NULL: until none is
 * alive). `end` may end other objects as well. */
void rvt_end_each(struct rvt_dev_info *device, uint32_t kind, struct rvt_ucontext *context,
                  void (*end)(struct rvt_owned *object));

/* Ends all objects that the context owns (NULL: all objects), kind by kind in the order of ending. Takes time
 * proportional to the number of objects that end, not to what other contexts own. */
void rvt_end_owned(struct rvt_dev_info *device, struct rvt_ucontext *context);

/* Ends all children of the domain, in the same order and with the same cost. */
void rvt_end_children(struct rvt_pd *pd);

/* Returns the serial number of a handle's object, or 0 if the handle is stale. Takes the device lock:
 * without it, the object could end and be reused under another number between reading the generation and
 * the number. */
uint64_t rvt_read_serial(struct rvt_owned *object, uint64_t generation);

/* Calls `drain` of every extension. Must be called with no lock held; see struct rvt_extension. */
void rvt_drain_extensions(struct rvt_dev_info *device);

/* Calls the release hooks that watch this kind. Every kind's `end`, and every verb that ends an object, must
 * call this once per object, while the object's handles are still valid. */
void rvt_tell_release(struct rvt_owned *object, uint32_t kind);

/* Calls `releasing_again` of the hooks that watch this kind. */
void rvt_tell_release_again(struct rvt_owned *object, uint32_t kind);

#endif
