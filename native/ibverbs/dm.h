/* SPDX-License-Identifier: BSD-3-Clause */
/* Device memory. There is no device, so it is memory of this library, which programs reach by copies and
 * regions only. */
#ifndef SHIM_DM_H
#define SHIM_DM_H

#include "ibverbs/public_api.h"

struct shim_dm;

struct ibv_dm *shim_alloc_dm(struct ibv_context *context, struct ibv_alloc_dm_attr *attr);
int shim_free_dm(struct ibv_dm *dm);
struct ibv_mr *shim_reg_dm_mr(struct ibv_pd *pd, struct ibv_dm *dm, uint64_t offset, size_t length,
                              unsigned int access);

/* A region of the device memory has ended. The caller must be outside the gate. */
void shim_put_dm_region(struct shim_dm *dm);

#endif
