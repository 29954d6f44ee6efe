/* SPDX-License-Identifier: BSD-3-Clause */
/* User contexts: one environment's use of a device, like a process's context of a kernel device. A context
 * owns the domains, queue pairs, regions and DMA mappings that were created through it, and ends them all
 * when it ends. A device can have several contexts, each used by its own thread. */
#ifndef RVT_UCONTEXT_H
#define RVT_UCONTEXT_H

#include "core/base/rvt_atomic.h"
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/base/epoch.h"
#include "core/base/platform.h"
#include "core/objects/held_counts.h"
#include "core/objects/object_kind.h"
#include "core/objects/share.h"

struct rvt_dev_info;

struct rvt_ucontext {
    /* On a cache line of its own: the owner's thread writes it at every check. */
    alignas(RVT_CACHE_LINE) struct rvt_counters counters;
    /* True once the context has ended. Written under the device lock, and only by the context's own thread.
     * Handles that belong to the context are stale from then on. */
    _Atomic(bool) gone;
    struct rvt_dev_info *device; /* holds one reference */
    /* Constant: the reader of the thread that uses the context. NULL: its references are counted in the
     * regions. */
    struct rvt_reader *reader;
    struct rvt_held_counts held;
    /* See rvt_on_put. Protected by the device lock. */
    void (*wake)(void *data);
    void *wake_data;
    uint64_t id; /* greater than 0, never reused on a device */
    /* Constant: the serial number of the only domain the context may use, or RVT_WHOLE_DEVICE. A restricted
     * context may attach to that domain, create queue pairs and regions in it, and see what is in it and what
     * it owns. It must not create or end domains, map DMA memory, name it in page lists (unless the domain is
     * trusted and so reaches it by key 0 anyway), use device memory, share, or close the device. */
    uint64_t only_pd;
    /* Protected by the device lock: */
    struct rvt_owner owns;
    struct rvt_link in_device; /* the device's list of contexts */
};

/* The owner of objects that were created without a context. The device owns them, and they end with it. Used
 * in place of a context's id. */
#define RVT_NO_CONTEXT UINT64_C(0)
/* Matches every context. Used in place of a context's id. */
#define RVT_EVERY_CONTEXT UINT64_MAX

/* Creates a context for the thread that `reader` belongs to, like opening a device file in the kernel.
 * `reader` may be NULL if several threads use the context, or one without a reader; then each reference costs
 * a locked instruction. The reader must outlive the context. Takes the device lock.
 *   0        *context is live and holds a reference on the device
 *   -ENOMEM  no memory
 *   -EBADF   the device is closed */
int rvt_alloc_ucontext(struct rvt_dev_info *device, struct rvt_reader *reader, struct rvt_ucontext **context);

/* Creates a context that is restricted to the domain with serial number `only_pd`, as returned by
 * rvt_find_shared, or unrestricted if that is RVT_WHOLE_DEVICE. Fails like rvt_alloc_ucontext, and with:
 *   -ENODEV  the domain has ended */
int rvt_alloc_ucontext_in(struct rvt_dev_info *device, uint64_t only_pd, struct rvt_reader *reader,
                          struct rvt_ucontext **context);

/* Ends the context. Takes the device lock, then waits for readers, so that no byte moves through its objects
 * any more. The structure stays allocated until rvt_free_ucontext.
 *   0       all its objects have ended: queue pairs, regions (by force), domains with all children, also
 *           other contexts', and DMA mappings. Other contexts' page lists that named such a mapping now map
 *           nothing. If this was the device's last context, the device is closed
 *   -EBUSY  not `cascade`, and the context owns a live object; nothing changed
 *   -EBADF  already ended */
int rvt_dealloc_ucontext(struct rvt_ucontext *context, bool cascade);

/* Ends the context as with `cascade`, but does not wait for readers, for finalizers of a garbage collector.
 * Its objects are freed when the readers have left. Does nothing if the context has already ended. */
void rvt_drop_ucontext(struct rvt_ucontext *context);

/* Frees the structure of a context that has ended. Pointers to it, and SGEs that were acquired through it,
 * must not be used afterwards. */
void rvt_free_ucontext(struct rvt_ucontext *context);

/* Returns whether the context can still be used. Takes the device lock.
 *   0       it can
 *   -EBADF  it has ended, or its device is closed */
int rvt_ucontext_live(const struct rvt_ucontext *context);

/* Creates device->engine_context, in which the engine counts the references of queued work requests. No
 * thread owns it: whoever holds the engine lock uses it and its reader. It is not in the device's list of
 * contexts and holds no reference on the device. Does nothing if it exists. Takes the device lock.
 *   0        device->engine_context is set
 *   -ENOMEM  no memory */
int rvt_make_engine_context(struct rvt_dev_info *device);

/* Frees it with its reader, when the device structure is freed. */
void rvt_free_engine_context(struct rvt_dev_info *device);

/* Reads the counters of one context, or (context is NULL) the totals of all contexts that the device ever
 * had. */
void rvt_read_counters(struct rvt_dev_info *device, const struct rvt_ucontext *context,
                       struct rvt_counts *counts);

/* Reads counters on behalf of a context: its own if `own`, otherwise the totals. A restricted context always
 * gets its own. */
void rvt_read_counters_to(const struct rvt_ucontext *to, bool own, struct rvt_counts *counts);

/* Sets the function that is called when a reference is put on a region of this context that a release with
 * RVT_RELEASE_AWAIT found held, and when such a region ends. It may be called on any thread, with the device
 * lock held, so it must not call the core. NULL removes it. */
void rvt_on_put(struct rvt_ucontext *context, void (*wake)(void *data), void *data);

/* Calls the context's wake function, if the context with this id has not ended. The caller must hold the
 * device lock. */
void rvt_wake_context(const struct rvt_dev_info *device, uint64_t context);

extern const struct rvt_object_kind rvt_ucontext_objects;

/* Fails with -EBADF for a stale handle and records the cause: the context (may be NULL) has ended, the device
 * is closed, or else `otherwise`. */
RVT_COLD int rvt_fail_gone(const struct rvt_dev_info *device, const struct rvt_ucontext *context,
                           enum rvt_cause otherwise);

static inline bool rvt_ucontext_gone(const struct rvt_ucontext *context) {
    return context && atomic_load_explicit(&context->gone, memory_order_relaxed);
}

/* Returns whether the context may use only one domain; false for NULL. */
static inline bool rvt_ucontext_restricted(const struct rvt_ucontext *context) {
    return context && context->only_pd != RVT_WHOLE_DEVICE;
}

static inline uint64_t rvt_ucontext_id(const struct rvt_ucontext *context) {
    return context ? context->id : RVT_NO_CONTEXT;
}

#endif
