/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes that somebody else owns. The core never keeps a pointer into them: it asks the owner, once per memory
 * and reader's section, where they are now and whether all of them are still there. */
#ifndef RVT_MEMORY_H
#define RVT_MEMORY_H

#include "core/base/rvt_atomic.h"
#include <stdint.h>

#include "core/base/reason.h"
#include "core/layout.h" /* enum rvt_memory_kind */

struct rvt_memory;

/* Which bytes a memory is, for those who list what lives on a device. Constant for each memory. */
struct rvt_memory_place {
    enum rvt_memory_kind kind;
    uint64_t buffer; /* of rvt_new_buffer_number(); 0: it has none */
    uint64_t offset; /* of the memory's first byte in that buffer */
};

struct rvt_memory_ops {
    /* Where the memory's `length` bytes lie at this moment, for the environment `environment` (the value that
     * stands in the call's rvt_data_call). Answers RVT_REASON_NONE and sets *data, or the reason why they
     * cannot be used. What it answers must hold until the current native call ends. */
    enum rvt_reason (*resolve)(struct rvt_memory *memory, void *environment, unsigned char **data);
    /* The last reference is gone. May come from any thread; called with no lock of the core held. */
    void (*release)(struct rvt_memory *memory);
    /* Tell which bytes it is. NULL: of a kind that does not tell. Called with the device's lock held, by any
     * thread that has found a reference on the memory there: must read nothing that changes. */
    void (*place)(const struct rvt_memory *memory, struct rvt_memory_place *place);
};

struct rvt_memory {
    const struct rvt_memory_ops *ops;
    uint64_t length; /* bytes, constant */
    _Atomic(uint32_t) references;
};

/* Start a memory with one reference, its maker's. */
void rvt_memory_init(struct rvt_memory *memory, const struct rvt_memory_ops *ops, uint64_t length);
void rvt_memory_get(struct rvt_memory *memory);
void rvt_memory_put(struct rvt_memory *memory);

/* A number for a buffer that memories are parts of: > 0, never given twice in the process. */
uint64_t rvt_new_buffer_number(void);

/* Which bytes a memory is; RVT_MEMORY_KIND_NONE for NULL. */
struct rvt_memory_place rvt_place_of_memory(const struct rvt_memory *memory);

/* Memory at a fixed address which outlives the region (what the core's own tests use).
 * NULL without memory. */
struct rvt_memory *rvt_fixed_memory(void *data, uint64_t length);

#endif
