/* SPDX-License-Identifier: BSD-3-Clause */
/* User contexts: what one environment has of a device, as a process has it of a kernel's. A context owns the
 * domains, queue pairs, regions and DMA mappings that were made through it, and ends them all when it ends.
 * Several may use one device, each from its own thread. */
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
    /* A line apart from other contexts': the owner writes it at every check. */
    alignas(RVT_CACHE_LINE) struct rvt_counters counters;
    /* True once the context has ended. Written under the device's lock, by its own thread or by nobody;
     * handles that were got through it are dead from then on. */
    _Atomic(bool) gone;
    struct rvt_dev_info *device; /* one reference */
    struct rvt_reader
        *reader; /* constant: of the thread that uses it; NULL: its references are counted in regions */
    struct rvt_held_counts held;
    /* See rvt_on_put. Under the device's lock. */
    void (*wake)(void *data);
    void *wake_data;
    uint64_t id; /* > 0, never given twice on a device */
    /* Constant: serial number of the one domain that it may use, or RVT_WHOLE_DEVICE. A restricted context may
     * import that domain and make queue pairs and regions in it, and is told of what is in it and of what is
     * its own. It may not make or end domains, map DMA memory, name it in page lists (unless the domain is a
     * trusted one, which reaches it by key 0 anyway), use device memory, share, or close the device. */
    uint64_t only_pd;
    /* Under the device's lock: */
    struct rvt_owner owns;
    struct rvt_link in_device; /* of its contexts */
};

/* Whose an object is: the id of its context, or RVT_NO_CONTEXT for what was made without one (it is the
 * device's and ends with it). */
#define RVT_NO_CONTEXT UINT64_C(0)
/* In place of a context's id: whoever owns it. */
#define RVT_EVERY_CONTEXT UINT64_MAX

/* rvt_alloc_ucontext: use the device, by the thread that `reader` belongs to (NULL: several threads use it,
 * or one without a reader; then references cost a locked instruction). The reader must outlive the context.
 *   0        *context is alive, and has a reference on the device
 *   -ENOMEM  no memory
 *   -EBADF   the device is closed */
int rvt_alloc_ucontext(struct rvt_dev_info *device, struct rvt_reader *reader, struct rvt_ucontext **context);

/* The same, restricted to the domain with this serial number, as rvt_find_shared gave it; RVT_WHOLE_DEVICE: not
 * restricted.
 *   -ENODEV  also if the domain has ended */
int rvt_alloc_ucontext_in(struct rvt_dev_info *device, uint64_t only_pd, struct rvt_reader *reader,
                          struct rvt_ucontext **context);

/* rvt_dealloc_ucontext: end the context.
 *   0       everything of it is gone: queue pairs, regions (by force), domains with whatever others have in
 *           them, DMA mappings. Lists of others that named such a mapping map nothing now. The last context
 *           of a device closes it
 *   -EBUSY  not `cascade`, and something of it is alive; nothing changed
 *   -EBADF  it has ended before
 * Afterwards no byte of what it had moves. The structure stays until rvt_free_ucontext. */
int rvt_dealloc_ucontext(struct rvt_ucontext *context, bool cascade);

/* The same with `cascade`, without waiting for readers: for finalizers of a garbage collector. What it had is
 * freed when they have left. Does nothing to a context that has ended. */
void rvt_drop_ucontext(struct rvt_ucontext *context);

/* Free the structure of a context that has ended; nothing that points to it may be used any more, nor any SGE
 * that was taken through it. */
void rvt_free_ucontext(struct rvt_ucontext *context);

/* Whether the context can still be used.
 *   0       it can
 *   -EBADF  it has ended, or its device is closed */
int rvt_ucontext_live(const struct rvt_ucontext *context);

/* What was counted: by one context, or (context NULL) by all that the device ever had. */
void rvt_read_counters(struct rvt_dev_info *device, const struct rvt_ucontext *context,
                       struct rvt_counts *counts);

/* The same for a context that asks: its own, or (not `own`) those of all. A restricted context is told its own
 * in any case. */
void rvt_read_counters_to(const struct rvt_ucontext *to, bool own, struct rvt_counts *counts);

/* From now on `wake` is called when a reference is put on a region of this context that rvt_dereg_mr or
 * rvt_dealloc_fmr with RVT_RELEASE_AWAIT found held, and when such a region ends. From any thread, with the
 * device's lock held: it must not call the core. NULL: nobody is woken. */
void rvt_on_put(struct rvt_ucontext *context, void (*wake)(void *data), void *data);

/* Call it, if the context has not ended. Under the device's lock. */
void rvt_wake_context(const struct rvt_dev_info *device, uint64_t context);

extern const struct rvt_object_kind rvt_ucontext_objects;

/* -EBADF for a dead handle, with the cause: the context (may be NULL) has ended, the device is closed, or what
 * `otherwise` says of the object itself. */
RVT_COLD int rvt_fail_gone(const struct rvt_dev_info *device, const struct rvt_ucontext *context,
                           enum rvt_cause otherwise);

static inline bool rvt_ucontext_gone(const struct rvt_ucontext *context) {
    return context && atomic_load_explicit(&context->gone, memory_order_relaxed);
}

/* Whether it may use one domain only (NULL: no). */
static inline bool rvt_ucontext_restricted(const struct rvt_ucontext *context) {
    return context && context->only_pd != RVT_WHOLE_DEVICE;
}

static inline uint64_t rvt_ucontext_id(const struct rvt_ucontext *context) {
    return context ? context->id : RVT_NO_CONTEXT;
}

#endif
