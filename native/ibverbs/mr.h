/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory regions. */
#ifndef SHIM_MR_H
#define SHIM_MR_H

#include "core/rvt.h"
#include "ibverbs/pd.h"
#include "ibverbs/public_api.h"

struct shim_dm;
struct shim_implicit_mr;

enum {
    /* IBV_ACCESS_* that the core knows, by the same numbers */
    SHIM_CORE_ACCESS = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
                       IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND,
    /* those with which work requests change bytes */
    SHIM_ACCESS_CHANGES = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC,
};

struct shim_mr {
    struct ibv_mr ibv;
    struct shim_pd *pd;
    struct rvt_mr_handle core;
    struct shim_importable importable; /* listed only if the program has registered the region */
    struct shim_dm *dm;                /* the device memory that it is in, NULL for memory of the program */
    struct shim_implicit_mr *implicit; /* NULL: the region is not implicit */
    unsigned int access;               /* IBV_ACCESS_* */
    uint64_t address;                  /* of the first byte in work requests; `bytes`: of the process */
    unsigned char *bytes;
};

static inline struct shim_mr *shim_mr_of(struct ibv_mr *mr) {
    return (struct shim_mr *)(void *)mr;
}

/* Returns 0, or EINVAL for unknown flags, and for remote write or atomic access without local write access. */
int shim_judge_access(unsigned int access);

/* Where a new region has its bytes, and how work requests address them. */
struct shim_mr_init {
    void *bytes;
    uint64_t length;
    uint64_t address;    /* of the first byte, for lkey and rkey */
    unsigned int access; /* IBV_ACCESS_* */
    struct shim_dm *dm;  /* as in struct shim_mr */
};

/* Registers a region, which may have no bytes. If it succeeds, the region owns the caller's reference on the
 * device memory.
 * Returns NULL and sets errno:
 *   EINVAL  remote write or atomic access without local write access, unknown access flags, or the core's
 *           rvt_reg_user_mr_at() refuses the addresses
 *   ENOMEM  no memory, or no free key
 *   EBADF   the context is closed */
struct ibv_mr *shim_reg_mr(struct ibv_pd *pd, const struct shim_mr_init *init);

/* Reads pages of on-demand regions in. Returns 0, or the errno that ibv_advise_mr(3) names. */
int shim_advise_mr(struct ibv_pd *pd, enum ibv_advise_mr_advice advice, uint32_t flags,
                   struct ibv_sge *sg_list, uint32_t num_sges);

#endif
