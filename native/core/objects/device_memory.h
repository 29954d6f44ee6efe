/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that the device itself owns (the verbs' device memory). The core allocates its pages, so no
 * environment can take them away. It exists until it is freed or its device closes; the pages are released
 * with the last region, mapping or view of it. */
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
    struct rvt_memory memory; /* references: one by the device until freed, one per view, one per slice */
    struct rvt_pages pages;   /* constant */
    uint64_t serial;          /* constant; greater than 0, never reused on a device */
    uint64_t buffer;          /* constant; its buffer number (rvt_new_buffer_number) */
    bool huge;                /* constant; large pages were requested */
    /* How many slices regions and DMA mappings hold, plus the flag RVT_DEVICE_MEMORY_FREED, which is set
     * under the device lock. Both share one word, so taking a slice and freeing the memory exclude each
     * other. */
    _Atomic(uint32_t) uses;
    struct rvt_link in_device; /* the device's list of memories; under the device lock */
};

/* Allocates `bytes` bytes of zeroed, page-aligned memory. `huge` requests large pages; the system may ignore
 * that. Takes the device lock.
 *   0        the caller owns one reference on *memory
 *   -EINVAL  `bytes` is 0
 *   -ENOMEM  no memory
 *   -EBADF   the device is closed, or the context has ended
 *   -EPERM   the context is restricted to a domain, and device memory belongs to the whole device */
int rvt_alloc_device_memory(struct rvt_dev_info *device, const struct rvt_ucontext *context, uint64_t bytes,
                            bool huge, struct rvt_device_memory **memory);

/* Finds the device memory with this serial number. Takes the device lock.
 *   0        the caller owns one reference on *memory
 *   -EINVAL  no device memory has this serial number
 *   -EPERM   the context is restricted to a domain; the answer does not tell whether the memory exists
 *   -EBADF   the device is closed, or the context has ended */
int rvt_find_device_memory(struct rvt_dev_info *device, const struct rvt_ucontext *context, uint64_t serial,
                           struct rvt_device_memory **memory);

/* Frees device memory. First waits for readers, because the slices of a deregistered region count until every
 * reader has left. Takes the device lock.
 *   0       freed for new uses; the pages are released with the last reference
 *   -EBUSY  a region or a DMA mapping uses it, or has just ended and a reader may still use its bytes
 *   -EBADF  already freed, or the context has ended */
int rvt_free_device_memory(struct rvt_dev_info *device, const struct rvt_ucontext *context,
                           struct rvt_device_memory *memory);

static inline bool rvt_device_memory_freed(const struct rvt_device_memory *memory) {
    return atomic_load_explicit(&memory->uses, memory_order_relaxed) & RVT_DEVICE_MEMORY_FREED;
}

/* Returns bytes [offset, offset + length) as memory for a region or mapping, with one reference for the
 * caller. Returns NULL if the allocation fails or the memory is freed. The range must lie inside the memory.
 * Takes no lock. */
struct rvt_memory *rvt_device_memory_slice(struct rvt_device_memory *memory, uint64_t offset,
                                           uint64_t length);

/* Drops the device's own reference on each memory of the list that rvt_device_end returned. The caller must
 * hold no lock. */
void rvt_let_go_of_device_memories(struct rvt_link *list);

extern const struct rvt_object_kind rvt_device_memory_objects;

#endif
