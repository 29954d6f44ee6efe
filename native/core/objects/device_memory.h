/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that the device itself owns (the verbs' device memory): pages of the core, which no environment can
 * take away. It lives until it is freed or its device closes; its pages go when the last region, mapping and
 * view of it is gone as well. */
#ifndef RVT_DEVICE_MEMORY_H
#define RVT_DEVICE_MEMORY_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/base/memory.h"
#include "core/base/platform.h"
#include "core/objects/object_kind.h"

struct rvt_dev_info;
struct rvt_ucontext;

#define RVT_DEVICE_MEMORY_FREED (UINT32_C(1) << 31)

struct rvt_device_memory {
    struct rvt_memory memory; /* references: the device's, until it is freed; every view; every use */
    struct rvt_pages pages;   /* constant */
    uint64_t serial;          /* constant: > 0, never given twice on a device */
    uint64_t buffer;          /* constant: its number as a buffer (rvt_new_buffer_number) */
    bool huge;                /* constant: large pages were asked for */
    /* Slices: what regions and DMA mappings have of it; and RVT_DEVICE_MEMORY_FREED, which is set under the
     * device's lock. One word, so that a new use and the end exclude each other. */
    _Atomic(uint32_t) uses;
    struct rvt_link in_device; /* of its memories; under the device's lock */
};

/* `bytes` of zeroed, page-aligned memory; `huge`: in large pages where the system has them, a wish.
 *   0        *memory has a reference for the caller
 *   -EINVAL  no bytes
 *   -ENOMEM  no memory
 *   -EBADF   the device is closed, or the context has ended
 *   -EPERM   the context is restricted to a domain: the memory would be the device's */
int rvt_alloc_device_memory(struct rvt_dev_info *device, const struct rvt_ucontext *context, uint64_t bytes,
                            bool huge, struct rvt_device_memory **memory);

/* Find the device's memory of that serial number.
 *   0        *memory has a reference for the caller
 *   -EINVAL  there is none
 *   -EPERM   the context is restricted to a domain, whether there is such memory or not
 *   -EBADF   the device is closed, or the context has ended */
int rvt_find_device_memory(struct rvt_dev_info *device, const struct rvt_ucontext *context, uint64_t serial,
                           struct rvt_device_memory **memory);

/* Free the memory.
 *   0       nothing new can use it; its pages go with the last reference
 *   -EBUSY  a region or a DMA mapping uses bytes of it, or one did a moment ago and a reader that may
 *           still use them has not left
 *   -EBADF  freed before, or the context has ended */
int rvt_free_device_memory(struct rvt_dev_info *device, const struct rvt_ucontext *context,
                           struct rvt_device_memory *memory);

static inline bool rvt_device_memory_freed(const struct rvt_device_memory *memory) {
    return atomic_load_explicit(&memory->uses, memory_order_relaxed) & RVT_DEVICE_MEMORY_FREED;
}

/* Bytes [offset, offset + length) of it as memory for a region or mapping, with one reference for the caller.
 * NULL without memory, and when it is freed. The range must lie inside. */
struct rvt_memory *rvt_device_memory_slice(struct rvt_device_memory *memory, uint64_t offset,
                                           uint64_t length);

/* For the end of a device: put the device's own references of a list. Without any lock. */
void rvt_let_go_of_device_memories(struct rvt_link *list);

extern const struct rvt_object_kind rvt_device_memory_objects;

#endif
