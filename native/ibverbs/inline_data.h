/* SPDX-License-Identifier: BSD-3-Clause */
/* Inline data (IBV_SEND_INLINE): the bytes are copied when the work request is posted, and need no region of
 * the program's. The core carries work requests out from regions, so each queue pair has a region of its own,
 * with one slot for each work request that can be queued, and one more: the slot of a work request that is
 * refused must not be the slot of one that is queued. Nobody can reach the region remotely. */
#ifndef SHIM_INLINE_DATA_H
#define SHIM_INLINE_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rvt.h"

struct shim_inline_slots {
    unsigned char *bytes; /* NULL: the queue pair takes no inline data */
    uint32_t slot_bytes, slots;
    uint32_t next; /* slot that the next work request uses; protected by the lock of the send queue */
    uint32_t lkey;
    struct rvt_mr_handle region;
};

/* Allocates room for `max_wr` work requests with up to `bytes` bytes (at least 1) of inline data each.
 * Returns 0 or a positive errno. The caller must be inside the gate. */
int shim_inline_init(struct shim_inline_slots *slots, struct rvt_pd_handle pd, uint32_t max_wr,
                     uint32_t bytes);

/* Frees the room, when the queue pair has ended. The caller must be inside the gate. */
void shim_inline_destroy(struct shim_inline_slots *slots);

/* Returns the present slot. */
unsigned char *shim_inline_slot(const struct shim_inline_slots *slots);

/* The work request that uses the present slot was queued. */
void shim_inline_advance(struct shim_inline_slots *slots);

#endif
