/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory windows. */
#ifndef SHIM_MW_H
#define SHIM_MW_H

#include "core/rvt.h"
#include "ibverbs/pd.h"
#include "ibverbs/public_api.h"

struct shim_mw {
    struct ibv_mw ibv;
    struct shim_pd *pd;
    struct rvt_mw_handle core;
};

static inline struct shim_mw *shim_mw_of(struct ibv_mw *mw) {
    return (struct shim_mw *)(void *)mw;
}

/* Makes an unbound window.
 * Returns NULL and sets errno:
 *   EINVAL  no domain, or neither type 1 nor type 2
 *   ENOMEM  no memory, or no free key
 *   EBADF   the context is closed */
struct ibv_mw *shim_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type);

/* Ends a window, bound or not. Returns 0. */
int shim_dealloc_mw(struct ibv_mw *mw);

/* Posts the binding of a window of type 1, or its unbinding if the length is 0. The window has the next key from then
 * on. Returns 0, or a positive errno as shim_post_send(). */
int shim_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw, struct ibv_mw_bind *bind);

/* Fills what a work request that binds needs. Returns false if it cannot be carried out: no window, access flags that are
 * not those of a window, or an implicit region, which has no bytes of its own. */
bool shim_read_bind(struct rvt_send_wr *wr, struct ibv_mw *mw, uint32_t rkey,
                    const struct ibv_mw_bind_info *info);

#endif
