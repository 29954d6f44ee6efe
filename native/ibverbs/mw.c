/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory windows. ibv_alloc_mw(3), ibv_bind_mw(3). */
#include "ibverbs/mw.h"

#include <stdlib.h>

#include "ibverbs/mr.h"
#include "ibverbs/post.h"
#include "ibverbs/qp.h"

_Static_assert((int)RVT_MW_TYPE_ONE == (int)IBV_MW_TYPE_1 && (int)RVT_MW_TYPE_TWO == (int)IBV_MW_TYPE_2,
               "types of windows");

/* The caller must be outside the gate. */
static void free_mw(struct shim_mw *mw) {
    shim_put_pd(mw->pd);
    free(mw);
}

struct ibv_mw *shim_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type) {
    if (!pd)
        return shim_null(EINVAL);
    struct shim_mw *mw = calloc(1, sizeof(*mw));
    if (!mw)
        return shim_null(ENOMEM);
    mw->pd = shim_pd_of(pd);
    mw->ibv = (struct ibv_mw){.context = pd->context, .pd = pd, .type = type};
    shim_use_pd(mw->pd);
    shim_enter();
    int error = -rvt_alloc_mw(mw->pd->core, (uint32_t)type, &mw->core, &mw->ibv.rkey);
    shim_leave();
    if (error) {
        free_mw(mw);
        return shim_null(error);
    }
    mw->ibv.handle = mw->ibv.rkey >> 8;
    return &mw->ibv;
}

int shim_dealloc_mw(struct ibv_mw *of) {
    struct shim_mw *mw = shim_mw_of(of);
    shim_enter();
    int error = shim_end_error(rvt_dealloc_mw(mw->core));
    shim_leave();
    if (!error)
        free_mw(mw);
    return error;
}

int shim_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw, struct ibv_mw_bind *bind) {
    struct ibv_send_wr *bad;
    struct ibv_send_wr wr = {
        .wr_id = bind->wr_id,
        .opcode = IBV_WR_BIND_MW,
        .send_flags = bind->send_flags,
        .bind_mw = {.mw = mw, .rkey = ibv_inc_rkey(mw->rkey), .bind_info = bind->bind_info},
    };
    int error = shim_post_send(qp, &wr, &bad);
    if (!error)
        mw->rkey = wr.bind_mw.rkey;
    return error;
}

bool shim_read_bind(struct rvt_send_wr *wr, struct ibv_mw *mw, uint32_t rkey,
                    const struct ibv_mw_bind_info *info) {
    /* A window never grants local access, but programs pass the flag along with the others. */
    const unsigned int access = info->mw_access_flags & ~(unsigned int)IBV_ACCESS_LOCAL_WRITE;
    const unsigned int remote = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
    const struct shim_mr *mr = info->mr ? shim_mr_of(info->mr) : NULL;
    if (!mw || (mr && mr->implicit) || access & ~remote)
        return false;
    wr->mw = shim_mw_of(mw)->core;
    wr->mr = mr ? mr->core : (struct rvt_mr_handle){0};
    wr->key = rkey;
    wr->access = access;
    wr->remote_addr = info->addr;
    wr->bind_length = info->length;
    return true;
}
