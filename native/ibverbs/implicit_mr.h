/* SPDX-License-Identifier: BSD-3-Clause */
/* Implicit regions: on-demand regions over all memory of the process (ibv_reg_mr(3): address 0, length
 * SIZE_MAX). A region of the core is smaller than the address space, so an implicit region is a list of them,
 * and work requests that name the first one's key get the key of the one that contains their address. An
 * adapter finds out whether there is memory at the address when it reads or writes; here it is found out when
 * the work request is posted. */
#ifndef SHIM_IMPLICIT_MR_H
#define SHIM_IMPLICIT_MR_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rvt.h"

enum {
    SHIM_IMPLICIT_PARTS = 16,
    SHIM_IMPLICIT_PART_SHIFT = 43, /* log2 of bytes: together they cover the 2^47 addresses of a process */
};

struct shim_implicit_mr {
    struct rvt_link in_list;
    struct rvt_pd_handle pd;
    struct rvt_mr_handle parts[SHIM_IMPLICIT_PARTS];
    uint32_t keys[SHIM_IMPLICIT_PARTS]; /* the first one is the key of the region */
};

/* Registers an implicit region with access bits of the core. Returns NULL and sets *error to a positive
 * errno. The caller must be inside the gate. */
struct shim_implicit_mr *shim_reg_implicit_mr(struct rvt_pd_handle pd, uint32_t access, int *error);

/* Deregisters the region, and frees it if that succeeds. Returns 0 or a positive errno. The caller must be
 * inside the gate. */
int shim_dereg_implicit_mr(struct shim_implicit_mr *mr);

/* Replaces the keys of implicit regions in a work request by the keys of their parts, or by 0, which the core
 * refuses, if there is no memory. Returns false for a work request that would invalidate a part. The caller
 * must be inside the gate. */
bool shim_resolve_send(struct rvt_send_wr *wr, struct rvt_ib_sge *sges);
void shim_resolve_receive(struct rvt_ib_sge *sges, uint32_t count);

#endif
