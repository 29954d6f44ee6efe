/* SPDX-License-Identifier: BSD-3-Clause */
/* Creating and destroying queue pairs. ibv_create_qp(3), ibv_create_qp_ex(3). */
#include "ibverbs/qp.h"

#include <stdlib.h>

#include "ibverbs/wr_build.h"

/* The core has these types; it refuses others. */
_Static_assert((int)RVT_QPT_RC == (int)IBV_QPT_RC && (int)RVT_QPT_UC == (int)IBV_QPT_UC &&
                   (int)RVT_QPT_UD == (int)IBV_QPT_UD,
               "types of queue pairs");

/* Returns the work requests that ibv_wr_*() can post on a queue pair of the type. */
static uint64_t send_ops_of(enum ibv_qp_type type) {
    const uint64_t sends = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM;
    const uint64_t writes = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM |
                            IBV_QP_EX_WITH_LOCAL_INV | IBV_QP_EX_WITH_BIND_MW;
    const uint64_t reads = IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
                           IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | IBV_QP_EX_WITH_SEND_WITH_INV;
    switch (type) {
    case IBV_QPT_RC:
        return sends | writes | reads;
    case IBV_QPT_UC:
        return sends | writes;
    default:
        return sends;
    }
}

/* Returns 0 or a positive errno. */
static int judge_attributes(const struct ibv_qp_init_attr_ex *attr) {
    const uint32_t known =
        IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_CREATE_FLAGS | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
    if (attr->comp_mask & ~known)
        return EOPNOTSUPP;
    if ((attr->comp_mask & IBV_QP_INIT_ATTR_CREATE_FLAGS) && attr->create_flags)
        return EOPNOTSUPP;
    if (!(attr->comp_mask & IBV_QP_INIT_ATTR_PD) || !attr->pd || !attr->send_cq || !attr->recv_cq)
        return EINVAL;
    if ((attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) &&
        attr->send_ops_flags & ~send_ops_of(attr->qp_type))
        return EOPNOTSUPP;
    return attr->cap.max_inline_data > SHIM_MAX_INLINE ? EINVAL : 0;
}

/* Allocates the structure, without what the core has of it. Returns NULL if out of memory. */
static struct shim_qp *allocate(const struct ibv_qp_init_attr_ex *attr) {
    struct shim_qp *qp = calloc(1, sizeof(*qp));
    if (!qp)
        return NULL;
    struct ibv_qp *base = &qp->ibv.qp_base;
    qp->pd = shim_pd_of(attr->pd);
    base->context = attr->pd->context;
    base->qp_context = attr->qp_context;
    base->pd = attr->pd;
    base->send_cq = attr->send_cq;
    base->recv_cq = attr->recv_cq;
    base->srq = attr->srq;
    base->state = IBV_QPS_RESET;
    base->qp_type = attr->qp_type;
    pthread_mutex_init(&base->mutex, NULL);
    pthread_cond_init(&base->cond, NULL);
    pthread_mutex_init(&qp->posting, NULL);
    shim_session_init(&qp->building);
    qp->cap = attr->cap;
    qp->signal_all = attr->sq_sig_all;
    if (attr->comp_mask & IBV_QP_INIT_ATTR_SEND_OPS_FLAGS) {
        qp->has_send_ops = true;
        qp->send_ops = attr->send_ops_flags;
    }
    shim_fill_qp_ex(&qp->ibv);
    qp->events.async = (struct shim_event){
        .queue = &qp->pd->context->async,
        .element = base,
        .type = IBV_EVENT_QP_LAST_WQE_REACHED,
        .acknowledged = &base->events_completed,
    };
    shim_use_pd(qp->pd);
    return qp;
}

/* Frees the structure. The caller must be outside the gate. */
static void free_qp(struct shim_qp *qp) {
    shim_session_destroy(&qp->building);
    shim_wr_list_free(&qp->built);
    pthread_mutex_destroy(&qp->posting);
    pthread_mutex_destroy(&qp->ibv.qp_base.mutex);
    pthread_cond_destroy(&qp->ibv.qp_base.cond);
    shim_put_pd(qp->pd);
    free(qp);
}

/* Creates the queue pair in the core. Returns 0 or a positive errno. The caller must be inside the gate. */
static int create_in_core(struct shim_qp *qp) {
    struct ibv_qp *base = &qp->ibv.qp_base;
    const struct rvt_qp_init init = {
        .type = (uint32_t)base->qp_type,
        .sig_type = qp->signal_all ? RVT_SIGNAL_ALL_WR : RVT_SIGNAL_REQ_WR,
        .send_cq = shim_cq_of(base->send_cq)->core,
        .recv_cq = shim_cq_of(base->recv_cq)->core,
        .srq = base->srq ? &shim_srq_of(base->srq)->core : NULL,
        .max_send_wr = qp->cap.max_send_wr,
        .max_send_sge = qp->cap.max_send_sge,
        .max_recv_wr = qp->cap.max_recv_wr,
        .max_recv_sge = qp->cap.max_recv_sge,
        .user = &qp->events,
    };
    int error = -rvt_create_qp(qp->pd->core, &init, &qp->core, &base->qp_num);
    /* Only now: max_send_wr is within the limits. */
    if (!error && qp->cap.max_inline_data) {
        error =
            shim_inline_init(&qp->inline_slots, qp->pd->core, qp->cap.max_send_wr, qp->cap.max_inline_data);
        if (error)
            (void)rvt_destroy_qp(qp->core);
    }
    if (!error)
        base->handle = shim_new_handle(qp->pd->context);
    return error;
}

struct ibv_qp *shim_create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr) {
    int error = attr ? judge_attributes(attr) : EINVAL;
    if (!error && attr->pd->context != context)
        error = EINVAL;
    if (error)
        return shim_null(error);
    struct shim_qp *qp = allocate(attr);
    if (!qp)
        return shim_null(ENOMEM);
    shim_enter();
    error = create_in_core(qp);
    shim_leave();
    if (error) {
        free_qp(qp);
        return shim_null(error);
    }
    if (attr->srq) /* the queue pair has no receive queue of its own */
        qp->cap.max_recv_wr = qp->cap.max_recv_sge = 0;
    attr->cap = qp->cap;
    return &qp->ibv.qp_base;
}

SHIM_PUBLIC struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr) {
    if (!pd || !attr)
        return shim_null(EINVAL);
    struct ibv_qp_init_attr_ex extended = {
        .qp_context = attr->qp_context,
        .send_cq = attr->send_cq,
        .recv_cq = attr->recv_cq,
        .srq = attr->srq,
        .cap = attr->cap,
        .qp_type = attr->qp_type,
        .sq_sig_all = attr->sq_sig_all,
        .comp_mask = IBV_QP_INIT_ATTR_PD,
        .pd = pd,
    };
    struct ibv_qp *qp = shim_create_qp_ex(pd->context, &extended);
    if (qp)
        attr->cap = extended.cap;
    return qp;
}

SHIM_PUBLIC int ibv_destroy_qp(struct ibv_qp *of) {
    if (!of)
        return EINVAL;
    struct shim_qp *qp = shim_qp_of(of);
    shim_enter();
    shim_wire_settle(&qp->pd->context->file->core->wire);
    int error = shim_end_error(rvt_destroy_qp(qp->core));
    if (!error)
        shim_inline_destroy(&qp->inline_slots);
    shim_leave();
    if (error)
        return error;
    shim_event_end(&qp->events.async);
    free_qp(qp);
    return 0;
}

SHIM_PUBLIC struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *of) {
    return of && shim_qp_of(of)->has_send_ops ? &shim_qp_of(of)->ibv : NULL;
}
