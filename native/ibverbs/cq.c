/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion queues. ibv_create_cq(3), ibv_create_cq_ex(3), ibv_req_notify_cq(3), ibv_resize_cq(3). */
#include "ibverbs/cq.h"

#include <stdlib.h>

#include "ibverbs/poll.h"
#include "ibverbs/serve.h"

/* Returns 0 or a positive errno. */
static int judge_attributes(struct ibv_context *context, const struct ibv_cq_init_attr_ex *attr) {
    if (attr->comp_mask & ~(uint32_t)(IBV_CQ_INIT_ATTR_MASK_FLAGS | IBV_CQ_INIT_ATTR_MASK_PD))
        return EOPNOTSUPP;
    /* The core keeps no time of a completion, and has neither VLANs, flow tags nor tag matching. */
    if (attr->wc_flags & ~(uint64_t)IBV_WC_STANDARD_FLAGS)
        return EOPNOTSUPP;
    /* A queue of the core is broken once a completion has found it full, so an overrun cannot be ignored. */
    if ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS) &&
        attr->flags & ~(uint32_t)IBV_CREATE_CQ_ATTR_SINGLE_THREADED)
        return EOPNOTSUPP;
    if (attr->comp_vector >= SHIM_COMP_VECTORS)
        return EINVAL;
    if (attr->channel && attr->channel->context != context)
        return EINVAL;
    if ((attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD) &&
        (!attr->parent_domain || attr->parent_domain->context != context))
        return EINVAL;
    return 0;
}

static void init_events(struct shim_cq *cq) {
    cq->events.completion = (struct shim_event){
        .queue = cq->ibv.channel ? &shim_channel_of(cq->ibv.channel)->events : NULL,
        .element = &cq->ibv,
        .acknowledged = &cq->ibv.comp_events_completed,
    };
    cq->events.async = (struct shim_event){
        .queue = &cq->context->async,
        .element = &cq->ibv,
        .type = IBV_EVENT_CQ_ERR,
        .acknowledged = &cq->ibv.async_events_completed,
    };
}

/* Counts what the queue uses. */
static void use(struct shim_cq *cq) {
    shim_get_context(cq->context);
    if (cq->ibv.channel)
        shim_use_channel(shim_channel_of(cq->ibv.channel), 1);
    if (cq->parent_domain)
        shim_use_pd(cq->parent_domain);
}

/* Frees the structure. The caller must be outside the gate. */
static void free_cq(struct shim_cq *cq) {
    if (cq->ibv.channel)
        shim_use_channel(shim_channel_of(cq->ibv.channel), -1);
    if (cq->parent_domain)
        shim_put_pd(cq->parent_domain);
    shim_session_destroy(&cq->polling);
    pthread_mutex_destroy(&cq->ibv.mutex);
    pthread_cond_destroy(&cq->ibv.cond);
    shim_put_context(cq->context);
    free(cq);
}

struct ibv_cq_ex *shim_create_cq_ex(struct ibv_context *of, struct ibv_cq_init_attr_ex *attr) {
    int error = attr ? judge_attributes(of, attr) : EINVAL;
    if (error)
        return shim_null(error);
    struct shim_cq *cq = calloc(1, sizeof(*cq));
    if (!cq)
        return shim_null(ENOMEM);
    cq->context = shim_context_of(of);
    cq->ibv.context = of;
    cq->ibv.channel = attr->channel;
    cq->ibv.cq_context = attr->cq_context;
    if (attr->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD)
        cq->parent_domain = shim_pd_of(attr->parent_domain);
    pthread_mutex_init(&cq->ibv.mutex, NULL);
    pthread_cond_init(&cq->ibv.cond, NULL);
    shim_session_init(&cq->polling);
    shim_fill_cq_ex(&cq->ibv);
    init_events(cq);
    use(cq);
    const struct rvt_cq_init init = {
        .cqe = attr->cqe,
        .comp_vector = attr->comp_vector,
        .user = &cq->events,
    };
    shim_enter();
    error = rvt_create_cq(cq->context->file->core->device, cq->context->file->ucontext, &init, &cq->core);
    if (!error)
        cq->ibv.handle = shim_new_handle(cq->context);
    shim_leave();
    if (error) {
        free_cq(cq);
        return shim_null(-error);
    }
    cq->ibv.cqe = (int)attr->cqe; /* at most max_cqe, which is an int */
    return &cq->ibv;
}

SHIM_PUBLIC struct ibv_cq *ibv_create_cq(struct ibv_context *context, int cqe, void *cq_context,
                                         struct ibv_comp_channel *channel, int comp_vector) {
    if (!context || cqe < 0 || comp_vector < 0)
        return shim_null(EINVAL);
    struct ibv_cq_init_attr_ex attr = {
        .cqe = (uint32_t)cqe,
        .cq_context = cq_context,
        .channel = channel,
        .comp_vector = (uint32_t)comp_vector,
        .wc_flags = IBV_WC_STANDARD_FLAGS,
    };
    struct ibv_cq_ex *cq = shim_create_cq_ex(context, &attr);
    return cq ? ibv_cq_ex_to_cq(cq) : NULL;
}

SHIM_PUBLIC int ibv_destroy_cq(struct ibv_cq *of) {
    if (!of)
        return EINVAL;
    struct shim_cq *cq = shim_cq_of(of);
    shim_enter();
    int error = shim_end_error(rvt_destroy_cq(cq->core));
    shim_leave();
    if (error)
        return error;
    shim_event_end(&cq->events.completion);
    shim_event_end(&cq->events.async);
    free_cq(cq);
    return 0;
}

SHIM_PUBLIC int ibv_resize_cq(struct ibv_cq *of, int cqe) {
    if (!of || cqe < 0)
        return EINVAL;
    shim_enter();
    int error = rvt_resize_cq(shim_cq_of(of)->core, (uint32_t)cqe);
    if (!error)
        of->cqe = cqe;
    shim_leave();
    return -error;
}

int shim_req_notify_cq(struct ibv_cq *of, int solicited_only) {
    shim_enter_to_serve();
    int error =
        rvt_req_notify_cq(shim_cq_of(of)->core, solicited_only ? RVT_NOTIFY_SOLICITED : RVT_NOTIFY_NEXT);
    shim_leave_and_serve(shim_cq_of(of)->context);
    return -error;
}
