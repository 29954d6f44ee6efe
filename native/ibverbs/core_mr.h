/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions of the core over bytes of this process. */
#ifndef SHIM_CORE_MR_H
#define SHIM_CORE_MR_H

#include "core/rvt.h"

/* Registers `length` bytes, which work requests name by addresses from `address` on. `access`: bits of the core.
 * Stores the handle and the key. Returns 0 or a positive errno. The caller must be inside the gate. */
int shim_reg_core_mr(struct rvt_pd_handle pd, void *bytes, uint64_t length, uint64_t address, uint32_t access,
                     struct rvt_mr_handle *region, uint32_t *key);

#endif
