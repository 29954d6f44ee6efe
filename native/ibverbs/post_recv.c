/* SPDX-License-Identifier: BSD-3-Clause */
/* Posting receives. ibv_post_recv(3), ibv_post_srq_recv(3). */
#include "ibverbs/implicit_mr.h"
#include "ibverbs/post.h"
#include "ibverbs/qp.h"
#include "ibverbs/serve.h"
#include "ibverbs/srq.h"

/* Where receives are posted: a queue pair, or (qp is NULL) a shared receive queue. */
struct target {
    const struct shim_qp *qp;
    const struct shim_srq *srq;
};

/* Posts one receive. Returns 0 or a positive errno. */
static int post_one(const struct target *target, const struct ibv_recv_wr *wr) {
    struct rvt_ib_sge sges[RVT_MAX_SGE];
    const struct rvt_recv_wr core = {
        .wr_id = wr->wr_id,
        .sges = sges,
        .num_sge = (uint32_t)wr->num_sge, /* a negative number is more than any queue takes */
    };
    if (core.num_sge && !wr->sg_list)
        return EINVAL;
    /* The core refuses more elements than RVT_MAX_SGE without looking at them. */
    for (uint32_t i = 0; i < core.num_sge && core.num_sge <= RVT_MAX_SGE; i++)
        sges[i] = (struct rvt_ib_sge){wr->sg_list[i].addr, wr->sg_list[i].length, wr->sg_list[i].lkey};
    if (core.num_sge <= RVT_MAX_SGE)
        shim_resolve_receive(sges, core.num_sge);
    return -(target->qp ? rvt_post_recv(target->qp->core, &core, 1, NULL)
                        : rvt_post_srq_recv(target->srq->core, &core, 1, NULL));
}

/* Posts a list up to the first receive that is refused. */
static int post_list(const struct target *target, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr) {
    int error = 0;
    for (uint32_t posted = 0; wr && !error; wr = error ? wr : wr->next)
        error = posted++ < SHIM_LONGEST_LIST ? post_one(target, wr) : EINVAL;
    if (error && bad_wr)
        *bad_wr = wr;
    return error;
}

int shim_post_recv(struct ibv_qp *of, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr) {
    struct shim_qp *qp = shim_qp_of(of);
    shim_enter_to_serve();
    int error = post_list(&(struct target){.qp = qp}, wr, bad_wr);
    shim_leave_and_serve(qp->pd->context);
    return error;
}

int shim_post_srq_recv(struct ibv_srq *of, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr) {
    const struct shim_srq *srq = shim_srq_of(of);
    shim_enter_to_serve();
    int error = post_list(&(struct target){.srq = srq}, wr, bad_wr);
    shim_leave_and_serve(srq->pd->context);
    return error;
}
