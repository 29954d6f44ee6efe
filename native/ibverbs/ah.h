/* SPDX-License-Identifier: BSD-3-Clause */
/* Address handles, and addresses of paths as programs give them. */
#ifndef SHIM_AH_H
#define SHIM_AH_H

#include "core/rvt.h"
#include "ibverbs/pd.h"
#include "ibverbs/public_api.h"

struct shim_ah {
    struct ibv_ah ibv;
    struct shim_pd *pd;
    struct rvt_ah_handle core;
};

/* Returns 0, or EINVAL if a global address names a GID of this port that there is not, or if an address in a network is
 * not global. Everything else is judged by the core. */
int shim_judge_address(const struct shim_context *context, const struct ibv_ah_attr *attr);

/* Returns what the core needs of an address. */
struct rvt_ah_attr shim_core_address(const struct ibv_ah_attr *attr);

#endif
