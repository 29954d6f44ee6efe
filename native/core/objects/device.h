/* SPDX-License-Identifier: BSD-3-Clause */
/* The device: what rvt_driver_mr_init makes and rvt_mr_exit ends. Owns the key table, the DMA address space
 * and the pools of every object. */
#ifndef RVT_DEVICE_H
#define RVT_DEVICE_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stdint.h>

#include "core/base/epoch.h"
#include "core/base/list.h"
#include "core/base/platform.h"
#include "core/base/serial_index.h"
#include "core/objects/device_memory.h"
#include "core/objects/dma.h"
#include "core/objects/held_counts.h"
#include "core/objects/lkey_table.h"
#include "core/objects/object_kind.h"
#include "core/objects/share.h"
#include "core/objects/ucontext.h"

struct rvt_mregion;

struct rvt_device_options {
    uint32_t lkey_table_bits; /* 1..23; more is clamped to 23 */
    bool random_keys;         /* slot and generation from the CSPRNG instead of the reference's sequence */
    bool remote_key_zero;     /* let rvt_rkey_ok accept key 0, as the reference does */
    /* What upper rooms add; the array and what it points to must outlive the device. */
    const struct rvt_extension *const *extensions;
    uint32_t extension_count;
};

/* Locking: `lock` serialises every change (allocation, mapping, invalidation, revocation) and protects
 * everything here that is not atomic or constant. Lookups take no lock. */
struct rvt_dev_info {
    _Atomic(uint32_t) references;
    struct rvt_mutex lock;
    uint64_t number;      /* constant: > 0, never given twice in a process */
    bool remote_key_zero; /* constant */
    _Atomic(bool) closed;
    struct rvt_lkey_table lkey_table;
    struct rvt_dma_space dma;
    /* The published DMA region. Written under the lock, read by key-0 checks inside a reader's section. */
    _Atomic(struct rvt_mregion *) dma_mr;
    struct rvt_object_kinds kinds;         /* pools of all objects */
    struct rvt_owner owns;                 /* what was made without a context */
    uint64_t map_generation;               /* of the next mapping; never repeats, never 0 */
    uint64_t next_user_start;              /* local addresses given to memory that names none */
    uint64_t contexts_made, memories_made; /* serial numbers */
    struct rvt_link *contexts;             /* that have not ended */
    struct rvt_counts past_counts;         /* of those that have */
    struct rvt_link *memories;             /* of struct rvt_device_memory */
    /* What other contexts attach: */
    struct rvt_serial_index pds_by_serial, memories_by_serial;
    struct rvt_shared shared;            /* its token */
    _Atomic(uint64_t) held;              /* bytes, see rvt_held_bytes */
    struct rvt_held_counts *held_counts; /* of contexts, under the lock */
    /* How many regions have RVT_MR_WATCHED set. Written under the lock. A put that reads 0 here does not look
     * at its region's word. */
    _Atomic(uint32_t) watched;
    struct rvt_retirement retirement;
};

/* rvt_driver_mr_init: open a device.
 *   0        *device is open and has one reference, the caller's
 *   -EINVAL  lkey_table_bits is 0; an extension cannot be entered (rvt_enter_extensions)
 *   -ENOMEM  nothing was made
 * More than 23 bits are clamped to 23: compare device->lkey_table.bits with what was asked for to warn. */
int rvt_driver_mr_init(const struct rvt_device_options *options, struct rvt_dev_info **device);

/* rvt_mr_exit: close the device. *dma_mr_leaked (may be NULL) tells whether a DMA region was still published.
 *   0       closed; every handle of it is dead. With `cascade` all objects ended first, kind by kind: QPs,
 *           regions, domains, mappings (see rvt_end_order); held SGEs are dead (RegionRevoked)
 *   -EBUSY  not `cascade`, and an object (a domain or a DMA mapping at least) is alive; nothing changed
 *   -EBADF  closed already
 * Afterwards no byte of any of its regions moves. The device itself is freed when its last reference goes
 * (rvt_dev_put). */
int rvt_mr_exit(struct rvt_dev_info *device, bool cascade, bool *dma_mr_leaked);

/* The same in the name of a context.
 *   -EBADF  also if it has ended
 *   -EPERM  it is restricted to a domain */
int rvt_mr_exit_by(const struct rvt_ucontext *context, bool cascade, bool *dma_mr_leaked);

/* The same under the lock, for the last context: everything ends. The device's own references on its memories
 * are the caller's to put, when the lock is dropped (rvt_let_go_of_device_memories). */
struct rvt_link *rvt_device_end(struct rvt_dev_info *device);

/* Nearly how many bytes of memory the device has for its table (pages that are touched), objects and page
 * lists (not what regions and mappings refer to, and not device memory). For accounting; from any thread. */
static inline uint64_t rvt_held_bytes(const struct rvt_dev_info *device) {
    return sizeof(*device) + atomic_load_explicit(&device->held, memory_order_relaxed);
}

/* Whether the device is closed: from any thread, and without the lock it may become so at once. */
static inline bool rvt_device_closed(const struct rvt_dev_info *device) {
    return atomic_load_explicit(&device->closed, memory_order_relaxed);
}

/* References on the device as a structure, not as an open device. A handle may be looked at while its holder
 * has one. */
void rvt_dev_get(struct rvt_dev_info *device);
void rvt_dev_put(struct rvt_dev_info *device);

/* A range of local addresses of at least `length` bytes, 4 KiB aligned, never given before. For memory that
 * is registered without a `start`.
 *   0        *start is its first address
 *   -EINVAL  the address space is used up: addresses never wrap */
int rvt_pick_user_start(struct rvt_dev_info *device, uint64_t length, uint64_t *start);

/* The same in two steps, for a verb that may fail in between. Under the device's lock.
 *   0        *start is what rvt_pick_user_start would give; nothing is given yet
 *   -EINVAL  as rvt_pick_user_start */
int rvt_next_user_start(const struct rvt_dev_info *device, uint64_t length, uint64_t *start);
void rvt_take_user_start(struct rvt_dev_info *device, uint64_t length);

/* What `table` shows: one call per occupied slot, ascending, under the device's lock (`emit` must
 * not call back). */
struct rvt_table_row {
    uint32_t index, lkey;
    const struct rvt_mregion *mr;
};
struct rvt_table_head {
    uint32_t max, next, generation, used;
};
void rvt_table_report(struct rvt_dev_info *device, struct rvt_table_head *head,
                      void (*emit)(void *context, const struct rvt_table_row *row), void *context);

/* The same for a context that asks.
 *   0       told
 *   -EPERM  it is restricted to a domain: the table names other domains' regions */
int rvt_table_report_to(const struct rvt_ucontext *to, struct rvt_table_head *head,
                        void (*emit)(void *context, const struct rvt_table_row *row), void *context);

#endif
