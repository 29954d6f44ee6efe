/* SPDX-License-Identifier: BSD-3-Clause */
/* The device, opened by rvt_driver_mr_init and closed by rvt_mr_exit. It owns the key table, the DMA address
 * space and the pools of all objects. */
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

struct rvt_engine;
struct rvt_mregion;

struct rvt_device_options {
    uint32_t lkey_table_bits; /* 1..23; larger values are clamped to 23 */
    bool random_keys;         /* draw slot and generation from the CSPRNG, not from the kernel's sequence */
    bool remote_key_zero;     /* let rvt_rkey_ok accept key 0, as the kernel does */
    /* Refuse what fails on a NIC (objects/strict.h): the lkey and the rkey of a region differ, ... The table has at most
     * 2^22 slots then. */
    bool strict;
    const struct rvt_fault_options *faults; /* NULL: none; copied */
    /* Object kinds and hooks of upper layers. The array and everything it points to must outlive the
     * device. */
    const struct rvt_extension *const *extensions;
    uint32_t extension_count;
};

/* `lock` serializes every change (allocation, mapping, invalidation, revocation) and protects every field
 * that is neither atomic nor constant. Checks take no lock. */
struct rvt_dev_info {
    _Atomic(uint32_t) references;
    struct rvt_mutex lock;
    uint64_t number;      /* constant; greater than 0, never reused in a process */
    bool remote_key_zero; /* constant */
    /* Protected by the lock: domains that may exist (UINT32_MAX unless the device has an engine), and that exist. */
    uint32_t max_pd, pds;
    _Atomic(bool) closed;
    struct rvt_lkey_table lkey_table;
    struct rvt_dma_space dma;
    /* The published DMA region. Written under the lock; key-0 checks read it inside a reader's section. */
    _Atomic(struct rvt_mregion *) dma_mr;
    struct rvt_object_kinds kinds; /* the pools of all objects */
    struct rvt_engine *engine;     /* constant once set: the engine, if the device has one */
    /* Counts references that the engine takes; not in the list of contexts. NULL until the engine has queue
     * pairs. Written once, under the lock. */
    struct rvt_ucontext *engine_context;
    struct rvt_owner owns;                 /* objects created without a context */
    uint64_t map_generation;               /* generation of the next mapping; never 0, never repeats */
    uint64_t next_user_start;              /* next local address for memory registered without a `start` */
    uint64_t mw_bindings, leases;          /* the last binding of a window; leases that have not ended */
    uint64_t contexts_made, memories_made; /* last serial numbers used */
    struct rvt_link *contexts;             /* contexts that have not ended */
    struct rvt_counts past_counts;         /* totals of the contexts that have ended */
    struct rvt_link *memories;             /* list of struct rvt_device_memory */
    /* Objects that other contexts can attach to, by serial number. */
    struct rvt_serial_index pds_by_serial, memories_by_serial;
    struct rvt_shared shared;            /* the device's share token */
    _Atomic(uint64_t) held;              /* bytes; see rvt_held_bytes */
    struct rvt_held_counts *held_counts; /* list of the contexts' counts; under the lock */
    /* How many regions have RVT_MR_WATCHED set. Written under the lock. A put that reads 0 here skips the
     * region's word. */
    _Atomic(uint32_t) watched;
    struct rvt_retirement retirement;
    struct rvt_faults *faults; /* constant; NULL: the device makes no faults */
    uint32_t rkey_mask;        /* constant; 0: the device is not strict */
};

/* Returns the rkey of a region with this lkey, or the lkey that this rkey stands for. They are equal unless the device is strict.
 * Key 0 is neither. */
static inline uint32_t rvt_other_key(const struct rvt_dev_info *device, uint32_t key) {
    return key ? key ^ device->rkey_mask : 0;
}

/* Opens a device, like the kernel's rvt_driver_mr_init().
 *   0        *device is open; the caller owns one reference
 *   -EINVAL  lkey_table_bits is 0; an extension cannot be entered (rvt_enter_extensions)
 *   -ENOMEM  no memory; nothing was created
 * More than 23 table bits are clamped to 23. To warn about that, compare device->lkey_table.bits with the
 * requested value. */
int rvt_driver_mr_init(const struct rvt_device_options *options, struct rvt_dev_info **device);

/* Closes the device, like the kernel's rvt_mr_exit(). With `cascade`, first ends all objects kind by kind:
 * queue pairs, regions, domains, mappings (rvt_end_order); SGEs that are still held fail with
 * RVT_REGION_REVOKED from then on. Sets *dma_mr_leaked (may be NULL) to whether a DMA region was still
 * published.
 *   0       closed; every handle to an object of the device is stale
 *   -EBUSY  not `cascade`, and an object exists (at least a domain or a DMA mapping); nothing changed
 *   -EBADF  already closed
 * Waits for readers: after it returns 0, no byte of the device's regions moves. Takes the device lock. The
 * structure is freed with its last reference (rvt_dev_put). */
int rvt_mr_exit(struct rvt_dev_info *device, bool cascade, bool *dma_mr_leaked);

/* Closes the device on behalf of a context. Same as rvt_mr_exit, and also fails with:
 *   -EBADF  the context has ended
 *   -EPERM  the context is restricted to a domain */
int rvt_mr_exit_by(const struct rvt_ucontext *context, bool cascade, bool *dma_mr_leaked);

/* Ends the device and all its objects, when its last context ends or it is closed. Returns the list of device
 * memories, on each of which the caller must drop the device's reference after it releases the lock
 * (rvt_let_go_of_device_memories). The caller must hold the device lock. */
struct rvt_link *rvt_device_end(struct rvt_dev_info *device);

/* Returns the approximate number of bytes that the device uses for its key table (touched pages only),
 * objects and page lists. Device memory and the memory of regions and mappings do not count. For memory
 * accounting. Any thread may call this. */
static inline uint64_t rvt_held_bytes(const struct rvt_dev_info *device) {
    return sizeof(*device) + atomic_load_explicit(&device->held, memory_order_relaxed);
}

/* Returns whether the device is closed. Any thread may call this. Without the device lock the device may
 * close right after the call. */
static inline bool rvt_device_closed(const struct rvt_dev_info *device) {
    return atomic_load_explicit(&device->closed, memory_order_relaxed);
}

/* Take and drop a reference on the device structure. A reference does not keep the device open. Holding one
 * makes it safe to examine a handle, even a stale one. */
void rvt_dev_get(struct rvt_dev_info *device);
void rvt_dev_put(struct rvt_dev_info *device);

/* Reserves a range of at least `length` bytes of local addresses, aligned to 4 KiB and never reserved before,
 * for memory that is registered without a `start`. Takes the device lock.
 *   0        *start is its first address
 *   -EINVAL  the address space is exhausted; addresses never wrap */
int rvt_pick_user_start(struct rvt_dev_info *device, uint64_t length, uint64_t *start);

/* The two steps of rvt_pick_user_start, for a verb that can fail in between. rvt_next_user_start finds the
 * address and reserves nothing; rvt_take_user_start reserves `length` bytes there. The caller must hold the
 * device lock.
 *   0        *start is the address that rvt_pick_user_start would reserve
 *   -EINVAL  the address space is exhausted */
int rvt_next_user_start(const struct rvt_dev_info *device, uint64_t length, uint64_t *start);
void rvt_take_user_start(struct rvt_dev_info *device, uint64_t length);

/* An occupied slot of the key table. */
struct rvt_table_row {
    uint32_t index, lkey;
    /* The region, or the one that a memory window is bound to; NULL: an unbound window. */
    const struct rvt_mregion *mr;
    const struct rvt_mw *mw; /* NULL: a region has the slot */
};

/* The key table's number of slots, the slot where the next search begins, the raw generation counter, and the
 * number of occupied slots. */
struct rvt_table_head {
    uint32_t max, next, generation, used;
};

/* Reports the key table: fills *head and calls `emit` (may be NULL) for each occupied slot, in ascending
 * order. Takes the device lock, so `emit` must not call the core. */
void rvt_table_report(struct rvt_dev_info *device, struct rvt_table_head *head,
                      void (*emit)(void *context, const struct rvt_table_row *row), void *context);

/* Reports the key table to a context; see rvt_table_report.
 *   0       reported
 *   -EPERM  the context is restricted to a domain, and the table names regions of other domains */
int rvt_table_report_to(const struct rvt_ucontext *to, struct rvt_table_head *head,
                        void (*emit)(void *context, const struct rvt_table_row *row), void *context);

#endif
