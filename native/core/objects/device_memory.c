/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/device_memory.h"

#include "core/base/alloc.h"
#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/dma.h"
#include "core/objects/region.h"
#include "core/objects/resource.h"
#include "core/objects/ucontext.h"

static enum rvt_reason resolve_whole(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment; /* every environment may access it */
    *data = ((struct rvt_device_memory *)memory)->pages.data;
    return RVT_REASON_NONE;
}

static void release_whole(struct rvt_memory *memory) {
    struct rvt_device_memory *device_memory = (struct rvt_device_memory *)memory;
    rvt_free_data_pages(&device_memory->pages);
    rvt_free(device_memory);
}

static const struct rvt_memory_ops whole_ops = {resolve_whole, release_whole, NULL};

int rvt_alloc_device_memory(struct rvt_dev_info *device, const struct rvt_ucontext *context, uint64_t bytes,
                            bool huge, struct rvt_device_memory **out) {
    if (!bytes)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_NO_BYTES);
    if (bytes > SIZE_MAX)
        return rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_NO_DEVICE_MEMORY, bytes, 0);
    struct rvt_device_memory *memory = rvt_zalloc(1, sizeof(*memory));
    if (!memory || !rvt_alloc_data_pages((size_t)bytes, huge, &memory->pages)) {
        rvt_free(memory);
        return rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_NO_DEVICE_MEMORY, bytes, 0);
    }
    rvt_memory_init(&memory->memory, &whole_ops, bytes); /* the device's own reference */
    memory->huge = huge;
    memory->buffer = rvt_new_buffer_number();
    int error = 0;
    rvt_mutex_lock(&device->lock);
    if (device->closed || rvt_ucontext_gone(context)) {
        error = rvt_fail_gone(device, context, RVT_CAUSE_DETACHED);
    } else if (rvt_ucontext_restricted(context)) {
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    } else if (!rvt_serial_index_reserve(&device->memories_by_serial)) {
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    } else {
        memory->serial = ++device->memories_made;
        rvt_list_add(&device->memories, &memory->in_device);
        rvt_serial_index_add(&device->memories_by_serial, memory->serial, memory);
        rvt_memory_get(&memory->memory);
        *out = memory;
    }
    rvt_mutex_unlock(&device->lock);
    if (error)
        rvt_memory_put(&memory->memory);
    return error;
}

int rvt_find_device_memory(struct rvt_dev_info *device, const struct rvt_ucontext *context, uint64_t serial,
                           struct rvt_device_memory **out) {
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_device_memory *memory = rvt_serial_index_find(&device->memories_by_serial, serial);
    if (device->closed || rvt_ucontext_gone(context)) {
        error = rvt_fail_gone(device, context, RVT_CAUSE_DETACHED);
    } else if (rvt_ucontext_restricted(context)) {
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    } else if (memory) {
        rvt_memory_get(&memory->memory);
        *out = memory;
    } else {
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_UNKNOWN_MEMORY, serial, 0);
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

struct slice {
    struct rvt_memory memory;
    struct rvt_device_memory *whole; /* the slice holds one reference and one count in `uses` */
    uint64_t offset;
};

static enum rvt_reason resolve_slice(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment;
    const struct slice *slice = (const struct slice *)memory;
    *data = slice->whole->pages.data + slice->offset;
    return RVT_REASON_NONE;
}

static void release_slice(struct rvt_memory *memory) {
    struct slice *slice = (struct slice *)memory;
    /* release: accesses to the bytes happen before rvt_free_device_memory reads the count. */
    atomic_fetch_sub_explicit(&slice->whole->uses, 1, memory_order_release);
    rvt_memory_put(&slice->whole->memory);
    rvt_free(slice);
}

static void place_slice(const struct rvt_memory *memory, struct rvt_memory_place *place) {
    const struct slice *slice = (const struct slice *)memory;
    *place = (struct rvt_memory_place){RVT_MEMORY_KIND_DEVICE, slice->whole->buffer, slice->offset};
}

static const struct rvt_memory_ops slice_ops = {resolve_slice, release_slice, place_slice};

static bool is_slice_of(const struct rvt_memory *memory, const struct rvt_device_memory *whole) {
    return memory && memory->ops == &slice_ops && ((const struct slice *)memory)->whole == whole;
}

/* Fails with -EBUSY and the number of regions and mappings that hold slices. The caller must hold the device
 * lock. */
static int fail_used(const struct rvt_dev_info *device, const struct rvt_device_memory *whole,
                     uint32_t uses) {
    uint64_t counts[RVT_MOST_OBJECT_KINDS] = {0}, found = 0;
    const struct rvt_owned *owned;
    for (uint32_t at = 0; found < uses && (owned = rvt_next_object(device, RVT_RESOURCE_DMA, &at));)
        if (is_slice_of(((const struct rvt_dma_map *)owned)->memory, whole)) {
            counts[RVT_RESOURCE_DMA]++;
            found++;
        }
    for (uint32_t at = 0; found < uses && (owned = rvt_next_object(device, RVT_RESOURCE_MR, &at));)
        if (is_slice_of(((const struct rvt_mregion *)owned)->extent.memory, whole)) {
            counts[RVT_RESOURCE_MR]++;
            found++;
        }
    return rvt_fail_counts(RVT_EBUSY, RVT_CAUSE_MEMORY_IN_USE, uses - found, counts);
}

int rvt_free_device_memory(struct rvt_dev_info *device, const struct rvt_ucontext *context,
                           struct rvt_device_memory *memory) {
    /* A deregistered region or mapping drops its slice after every reader has left. If a finalizer ended the
     * region or mapping, no thread has waited for the readers yet. */
    rvt_settle(&device->retirement);
    int error = 0;
    uint32_t unused = 0;
    rvt_mutex_lock(&device->lock);
    if (rvt_ucontext_gone(context))
        error = rvt_fail_gone(device, context, RVT_CAUSE_DETACHED);
    /* One exchange tests for slices and sets the flag, so rvt_device_memory_slice, which takes no lock,
     * cannot interfere. */
    else if (!atomic_compare_exchange_strong_explicit(&memory->uses, &unused, RVT_DEVICE_MEMORY_FREED,
                                                      memory_order_acq_rel, memory_order_acquire))
        error = unused & RVT_DEVICE_MEMORY_FREED ? rvt_fail_gone(device, NULL, RVT_CAUSE_MEMORY_FREED)
                                                 : fail_used(device, memory, unused);
    if (!error) {
        rvt_list_remove(&memory->in_device);
        rvt_serial_index_remove(&device->memories_by_serial, memory->serial);
    }
    rvt_mutex_unlock(&device->lock);
    if (!error)
        rvt_memory_put(&memory->memory);
    return error;
}

void rvt_let_go_of_device_memories(struct rvt_link *list) {
    while (list) {
        struct rvt_device_memory *memory = RVT_LIST_ENTRY(list, struct rvt_device_memory, in_device);
        list = list->next;
        rvt_memory_put(&memory->memory);
    }
}

struct rvt_memory *rvt_device_memory_slice(struct rvt_device_memory *whole, uint64_t offset,
                                           uint64_t length) {
    struct slice *slice = rvt_malloc(sizeof(*slice));
    if (!slice)
        return NULL;
    uint32_t uses = atomic_load_explicit(&whole->uses, memory_order_relaxed);
    do {
        if (uses & RVT_DEVICE_MEMORY_FREED) {
            rvt_free(slice);
            return NULL;
        }
    } while (!atomic_compare_exchange_weak_explicit(&whole->uses, &uses, uses + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    rvt_memory_init(&slice->memory, &slice_ops, length);
    slice->whole = whole;
    slice->offset = offset;
    rvt_memory_get(&whole->memory);
    return &slice->memory;
}

/* Device memories are on a list, not in a pool: they are reference-counted, belong to the device and not to a
 * context, do not block a close, and a reference may outlive the device. */
static const void *next_device_memory(const struct rvt_dev_info *device, const void *previous) {
    const struct rvt_link *link =
        previous ? ((const struct rvt_device_memory *)previous)->in_device.next : device->memories;
    return link ? RVT_LIST_ENTRY(link, struct rvt_device_memory, in_device) : NULL;
}

static void fill_device_memory_row(const void *object, uint64_t *out) {
    const struct rvt_device_memory *memory = object;
    out[RVT_MEMORY_SERIAL] = memory->serial;
    out[RVT_MEMORY_BYTES] = memory->memory.length;
    out[RVT_MEMORY_USES] = atomic_load_explicit(&memory->uses, memory_order_relaxed);
    out[RVT_MEMORY_HUGE] = memory->huge;
    out[RVT_MEMORY_BUFFER] = memory->buffer;
}

const struct rvt_object_kind rvt_device_memory_objects = {
    .number = RVT_RESOURCE_MEMORY,
    .row_fields = RVT_MEMORY_FIELDS,
    .fill_row = fill_device_memory_row,
    .next = next_device_memory,
};
