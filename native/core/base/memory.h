/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that the core does not own, such as JavaScript's buffers. The core keeps no pointer into it: once
 * per memory and reader section, it asks the owner where the bytes are now and whether all of them still
 * exist. */
#ifndef RVT_MEMORY_H
#define RVT_MEMORY_H

#include "core/base/rvt_atomic.h"
#include <stdint.h>

#include "core/base/reason.h"
#include "core/layout.h" /* enum rvt_memory_kind */

struct rvt_memory;

/* Which buffer a memory is part of, and where in it. Shown in the list of a device's resources. Constant for
 * each memory. */
struct rvt_memory_place {
    enum rvt_memory_kind kind;
    uint64_t buffer; /* number from rvt_new_buffer_number(); 0: none */
    uint64_t offset; /* offset in bytes of the memory's first byte in that buffer */
};

struct rvt_memory_ops {
    /* Finds the memory's `length` bytes as seen by `environment` (rvt_data_call.environment). Sets *data and
     * returns RVT_REASON_NONE, or returns why the bytes cannot be used. The result must stay valid until the
     * current native call ends. */
    enum rvt_reason (*resolve)(struct rvt_memory *memory, void *environment, unsigned char **data);
    /* Frees the memory after the last reference was put. Called by any thread, with no lock of the core held
     * but possibly the engine lock: it must not call the verbs of core/engine. */
    void (*release)(struct rvt_memory *memory);
    /* Reports which bytes the memory is. NULL: not reported for this kind of memory. Called with the device
     * lock held, by any thread that found a reference to the memory there, so it must read only constant
     * data. */
    void (*place)(const struct rvt_memory *memory, struct rvt_memory_place *place);
};

struct rvt_memory {
    const struct rvt_memory_ops *ops;
    uint64_t length; /* constant; in bytes */
    _Atomic(uint32_t) references;
};

/* Initializes a memory with one reference, which belongs to the caller. */
void rvt_memory_init(struct rvt_memory *memory, const struct rvt_memory_ops *ops, uint64_t length);

/* Takes a reference. The caller must have one, or hold the lock that keeps one in place. */
void rvt_memory_get(struct rvt_memory *memory);

/* Puts a reference. Putting the last one calls ops->release, which expects that no
 * lock of the core is held. */
void rvt_memory_put(struct rvt_memory *memory);

/* The environment for which the engine resolves memory in the calling thread: whoever calls into the engine
 * sets it first, because a thread may have several environments and the engine works for all. NULL, the
 * initial value, can use only memory that no environment owns. */
void rvt_set_thread_environment(void *environment);
void *rvt_thread_environment(void);

/* Returns a new number for a buffer that memories can be parts of: greater than 0 and unique in the
 * process. */
uint64_t rvt_new_buffer_number(void);

/* Returns which bytes a memory is. The kind is RVT_MEMORY_KIND_NONE for NULL. */
struct rvt_memory_place rvt_place_of_memory(const struct rvt_memory *memory);

/* Returns a memory for `length` bytes at a fixed address, which must outlive the region (used by the core's
 * own tests). Returns NULL if out of memory. */
struct rvt_memory *rvt_fixed_memory(void *data, uint64_t length);

#endif
