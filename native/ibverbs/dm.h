/* SPDX-License-Identifier: BSD-3-Clause */
/* Device memory. There is no device, so it is memory of this library, which programs reach by copies and
 * regions only. */
#ifndef SHIM_DM_H
#define SHIM_DM_H

#include "ibverbs/public_api.h"

struct shim_dm;

/* Allocates device memory of `length` bytes, cleared.
 * Returns NULL and sets errno:
 *   EINVAL      attr is NULL, no bytes, or an alignment of more than a page
 *   EOPNOTSUPP  unknown attributes
 *   ENOMEM      more bytes than the device has left, or no memory */
struct ibv_dm *shim_alloc_dm(struct ibv_context *context, struct ibv_alloc_dm_attr *attr);
/* Frees the memory. Returns 0, or EBUSY: regions are in it. */
int shim_free_dm(struct ibv_dm *dm);
/* Registers a range of it, from address 0 on. Returns NULL and sets errno: EINVAL if IBV_ACCESS_ZERO_BASED is
 * missing, or the range is not inside the memory, or the memory is of another context; otherwise as
 * shim_reg_mr(). */
struct ibv_mr *shim_reg_dm_mr(struct ibv_pd *pd, struct ibv_dm *dm, uint64_t offset, size_t length,
                              unsigned int access);

/* A region of the device memory has ended. The caller must be outside the gate. */
void shim_put_dm_region(struct shim_dm *dm);

#endif
