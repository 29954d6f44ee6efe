/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared receive queues. ibv_create_srq(3), ibv_create_srq_ex(3), ibv_modify_srq(3), ibv_query_srq(3). */
#include "ibverbs/srq.h"

#include <stdlib.h>

_Static_assert((int)RVT_SRQ_SET_MAX_WR == (int)IBV_SRQ_MAX_WR && (int)RVT_SRQ_SET_LIMIT == (int)IBV_SRQ_LIMIT,
               "attributes of shared receive queues");

SHIM_PUBLIC struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr) {
    if (!pd || !attr)
        return shim_null(EINVAL);
    struct shim_srq *srq = calloc(1, sizeof(*srq));
    if (!srq)
        return shim_null(ENOMEM);
    srq->pd = shim_pd_of(pd);
    srq->ibv.context = pd->context;
    srq->ibv.srq_context = attr->srq_context;
    srq->ibv.pd = pd;
    srq->events.async = (struct shim_event){
        .queue = &srq->pd->context->async,
        .element = &srq->ibv,
        .type = IBV_EVENT_SRQ_LIMIT_REACHED,
        .acknowledged = &srq->ibv.events_completed,
    };
    /* ibv_create_srq(3): srq_limit is ignored. */
    const struct rvt_srq_init init = {
        .max_wr = attr->attr.max_wr,
        .max_sge = attr->attr.max_sge,
        .basic = true,
        .user = &srq->events,
    };
    shim_enter();
    int error = rvt_create_srq(srq->pd->core, &init, &srq->core);
    if (!error)
        srq->ibv.handle = shim_new_handle(srq->pd->context);
    shim_leave();
    if (error) {
        free(srq);
        return shim_null(-error);
    }
    pthread_mutex_init(&srq->ibv.mutex, NULL);
    pthread_cond_init(&srq->ibv.cond, NULL);
    shim_use_pd(srq->pd);
    return &srq->ibv;
}

/* Called for what ibv_create_srq() cannot create: other types than basic, or no domain. */
struct ibv_srq *shim_create_srq_ex(struct ibv_context *context, struct ibv_srq_init_attr_ex *attr) {
    (void)context;
    const uint32_t known = IBV_SRQ_INIT_ATTR_RESERVED - 1;
    return shim_null(attr->comp_mask & ~known || !(attr->comp_mask & IBV_SRQ_INIT_ATTR_PD) ? EINVAL
                                                                                           : EOPNOTSUPP);
}

/* Only shared receive queues of the XRC type have numbers. */
int shim_get_srq_num(struct ibv_srq *srq, uint32_t *number) {
    (void)srq, (void)number;
    return EOPNOTSUPP;
}

SHIM_PUBLIC int ibv_modify_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr, int mask) {
    if (!srq || !attr || mask & ~(IBV_SRQ_MAX_WR | IBV_SRQ_LIMIT))
        return EINVAL;
    shim_enter();
    int error = rvt_modify_srq(shim_srq_of(srq)->core, (uint32_t)mask, attr->max_wr, attr->srq_limit);
    shim_leave();
    return -error;
}

SHIM_PUBLIC int ibv_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr) {
    struct rvt_srq_attr core;
    if (!srq || !attr)
        return EINVAL;
    shim_enter();
    int error = rvt_query_srq(shim_srq_of(srq)->core, &core);
    shim_leave();
    if (!error)
        *attr = (struct ibv_srq_attr){core.max_wr, core.max_sge, core.limit};
    return -error;
}

SHIM_PUBLIC int ibv_destroy_srq(struct ibv_srq *of) {
    if (!of)
        return EINVAL;
    struct shim_srq *srq = shim_srq_of(of);
    shim_enter();
    int error = shim_end_error(rvt_destroy_srq(srq->core));
    shim_leave();
    if (error)
        return error;
    shim_event_end(&srq->events.async);
    shim_put_pd(srq->pd);
    pthread_mutex_destroy(&srq->ibv.mutex);
    pthread_cond_destroy(&srq->ibv.cond);
    free(srq);
    return 0;
}
