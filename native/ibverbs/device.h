/* SPDX-License-Identifier: BSD-3-Clause */
/* The device: what it is called, its limits and tables, and the core's device behind it. There is one. Its
 * only port is connected to itself, so that queue pairs of all contexts of the process can reach each other; or, if the
 * process has an address (wire.h), to a network. */
#ifndef SHIM_DEVICE_H
#define SHIM_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rvt.h"
#include "ibverbs/public_api.h"
#include "ibverbs/timer.h"
#include "ibverbs/wire.h"

enum {
    SHIM_PORT = 1, /* the number of the only port */
    SHIM_LID = 1,  /* of a port that is connected to itself */
    SHIM_GIDS = 8, /* size of the GID table, of which only the first entry is used */
    SHIM_PKEYS = 1,
    SHIM_PKEY = 0xffff, /* the default P_Key, full member */
    SHIM_COMP_VECTORS = 4,
    SHIM_MAX_INLINE = 1024, /* bytes of inline data in a work request */
    SHIM_LKEY_TABLE_BITS = 17,
    SHIM_MAX_DM_BYTES = 1 << 20, /* device memory, of all contexts together */
    SHIM_MAX_MESSAGE_SHIFT = 31,
};

extern const struct rvt_limits shim_limits;

/* Returns the device, which exists as long as the process. */
struct ibv_device *shim_only_device(void);

/* Returns the EUI-64 of the node and of the port. */
__be64 shim_guid(void);

/* The device of the core. It is created with the first context and closed with the last one. */
struct shim_core {
    struct rvt_dev_info *device; /* holds the reference of its creation */
    struct shim_timer timer;
    struct shim_wire wire;
    unsigned users;             /* protected by the lock of device.c */
    _Atomic(uint64_t) dm_bytes; /* allocated device memory */
};

/* Returns the GID of a table entry: all 0 if the entry is unused. `index` must be below SHIM_GIDS. */
union ibv_gid shim_gid(const struct shim_core *core, unsigned index);

/* Returns whether the entry of the GID table is used. */
bool shim_has_gid(unsigned index);

/* Opens a context of the core's device, which is created if there is none. The caller must be inside the
 * gate.
 *   0       *core has one more user, and *context is live
 *   ENOMEM  no memory
 *   EINVAL  RDMAVT_ADDRESS is not the address of a host
 *   others  as shim_wire_open() */
int shim_open_core(struct shim_core **core, struct rvt_ucontext **context);

/* Ends the context with all its objects. The caller must be inside the gate. */
void shim_close_core(struct shim_core *core, struct rvt_ucontext *context);

/* Ends the use of the core's device: no handle of an object of the context is used any more. Frees the
 * context, and with the last user the device. The caller must be outside the gate. */
void shim_put_core(struct shim_core *core, struct rvt_ucontext *context);

#endif
