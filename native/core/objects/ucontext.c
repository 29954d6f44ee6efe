/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/ucontext.h"

#include "core/base/alloc.h"
#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/device_memory.h"
#include "core/objects/resource.h"

int rvt_alloc_ucontext_in(struct rvt_dev_info *device, uint64_t only_pd, struct rvt_reader *reader,
                          struct rvt_ucontext **out) {
    struct rvt_ucontext *context = rvt_zalloc_aligned(1, sizeof(*context));
    if (!context)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    rvt_mutex_lock(&device->lock);
    int error = device->closed ? rvt_fail(RVT_EBADF, RVT_CAUSE_DEVICE_CLOSED) : 0;
    /* The domain may have ended since its token was looked up. */
    if (!error && only_pd != RVT_WHOLE_DEVICE && !rvt_serial_index_find(&device->pds_by_serial, only_pd))
        error = rvt_fail(RVT_ENODEV, RVT_CAUSE_UNKNOWN_TOKEN);
    if (!error) {
        rvt_dev_get(device);
        context->only_pd = only_pd;
        context->device = device;
        context->reader = reader;
        context->id = ++device->contexts_made;
        rvt_list_add(&device->contexts, &context->in_device);
        *out = context;
    }
    rvt_mutex_unlock(&device->lock);
    if (error)
        rvt_free_aligned(context);
    return error;
}

int rvt_alloc_ucontext(struct rvt_dev_info *device, struct rvt_reader *reader, struct rvt_ucontext **out) {
    return rvt_alloc_ucontext_in(device, RVT_WHOLE_DEVICE, reader, out);
}

static int end_context(struct rvt_ucontext *context, bool cascade, bool wait) {
    struct rvt_dev_info *device = context->device;
    struct rvt_link *memories = NULL;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    if (context->gone)
        error = rvt_fail_gone(device, context, RVT_CAUSE_DETACHED);
    else if (!cascade && rvt_owns_anything(device, context))
        error = rvt_fail_owns(device, context);
    if (!error) {
        rvt_end_owned(device, context);
        atomic_store_explicit(&context->gone, true, memory_order_relaxed);
        rvt_counters_add(&device->past_counts, &context->counters);
        rvt_list_remove(&context->in_device);
        if (!device->contexts && !device->closed)
            memories = rvt_device_end(device);
    }
    rvt_mutex_unlock(&device->lock);
    if (!error)
        rvt_drain_extensions(device);
    if (!error && wait)
        rvt_settle(&device->retirement);
    else
        rvt_reclaim(&device->retirement);
    rvt_let_go_of_device_memories(memories);
    return error;
}

int rvt_dealloc_ucontext(struct rvt_ucontext *context, bool cascade) {
    return end_context(context, cascade, true);
}

void rvt_drop_ucontext(struct rvt_ucontext *context) {
    /* A finalizer may run between a failed verb and rvt_take_failure, so keep the verb's cause. */
    struct rvt_failure kept;
    rvt_take_failure(&kept);
    (void)end_context(context, true, false);
    rvt_restore_failure(&kept);
}

void rvt_free_ucontext(struct rvt_ucontext *context) {
    if (!context)
        return;
    struct rvt_dev_info *device = context->device;
    rvt_end_held_counts(context);
    rvt_free_aligned(context);
    rvt_dev_put(device);
}

int rvt_make_engine_context(struct rvt_dev_info *device) {
    if (device->engine_context)
        return 0;
    struct rvt_ucontext *context = rvt_zalloc_aligned(1, sizeof(*context));
    struct rvt_reader *reader = context ? rvt_reader_register() : NULL;
    if (reader) {
        rvt_reader_disown(reader);
        context->device = device;
        context->reader = reader;
        context->only_pd = RVT_WHOLE_DEVICE;
        /* Now, because later the engine would have to take the device lock in a section. */
        rvt_make_held_counts(context);
    }
    if (!reader || !context->held.limit) {
        if (reader)
            rvt_reader_unregister(reader);
        rvt_free_aligned(context);
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    }
    rvt_mutex_lock(&device->lock);
    device->engine_context = context;
    rvt_mutex_unlock(&device->lock);
    return 0;
}

void rvt_free_engine_context(struct rvt_dev_info *device) {
    struct rvt_ucontext *context = device->engine_context;
    if (!context)
        return;
    rvt_end_held_counts(context);
    rvt_reader_unregister(context->reader);
    rvt_free_aligned(context);
    device->engine_context = NULL;
}

void rvt_on_put(struct rvt_ucontext *context, void (*wake)(void *data), void *data) {
    rvt_mutex_lock(&context->device->lock);
    context->wake = wake;
    context->wake_data = data;
    rvt_mutex_unlock(&context->device->lock);
}

void rvt_wake_context(const struct rvt_dev_info *device, uint64_t id) {
    for (const struct rvt_link *link = device->contexts; link; link = link->next) {
        const struct rvt_ucontext *context = RVT_LIST_ENTRY(link, struct rvt_ucontext, in_device);
        if (context->id == id && context->wake)
            context->wake(context->wake_data);
    }
}

int rvt_ucontext_live(const struct rvt_ucontext *context) {
    struct rvt_dev_info *device = context->device;
    rvt_mutex_lock(&device->lock);
    int error =
        device->closed || rvt_ucontext_gone(context) ? rvt_fail_gone(device, context, RVT_CAUSE_DETACHED) : 0;
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_fail_gone(const struct rvt_dev_info *device, const struct rvt_ucontext *context,
                  enum rvt_cause otherwise) {
    enum rvt_cause cause = otherwise;
    if (rvt_ucontext_gone(context)) /* tested first: the last context also closes the device */
        cause = RVT_CAUSE_DETACHED;
    else if (atomic_load_explicit(&device->closed, memory_order_relaxed))
        cause = RVT_CAUSE_DEVICE_CLOSED;
    return rvt_fail(RVT_EBADF, cause);
}

void rvt_read_counters(struct rvt_dev_info *device, const struct rvt_ucontext *only,
                       struct rvt_counts *counts) {
    *counts = (struct rvt_counts){0};
    if (only) {
        rvt_counters_add(counts, &only->counters);
        return;
    }
    rvt_mutex_lock(&device->lock);
    *counts = device->past_counts;
    for (const struct rvt_link *link = device->contexts; link; link = link->next)
        rvt_counters_add(counts, &RVT_LIST_ENTRY(link, struct rvt_ucontext, in_device)->counters);
    if (device->engine_context)
        rvt_counters_add(counts, &device->engine_context->counters);
    rvt_mutex_unlock(&device->lock);
}

void rvt_read_counters_to(const struct rvt_ucontext *to, bool own, struct rvt_counts *counts) {
    rvt_read_counters(to->device, own || rvt_ucontext_restricted(to) ? to : NULL, counts);
}

/* Contexts are on a list, not in a pool: each is allocated with its environment, and the objects it owns end
 * before it. */
static const void *next_context(const struct rvt_dev_info *device, const void *previous) {
    const struct rvt_link *link =
        previous ? ((const struct rvt_ucontext *)previous)->in_device.next : device->contexts;
    return link ? RVT_LIST_ENTRY(link, struct rvt_ucontext, in_device) : NULL;
}

static void fill_context_row(const void *object, uint64_t *out) {
    const struct rvt_ucontext *context = object;
    out[RVT_CONTEXT_ID] = context->id;
}

const struct rvt_object_kind rvt_ucontext_objects = {
    .number = RVT_RESOURCE_CONTEXT,
    .row_fields = RVT_CONTEXT_FIELDS,
    .fill_row = fill_context_row,
    .next = next_context,
};
