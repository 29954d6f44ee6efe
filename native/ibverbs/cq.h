/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion queues. */
#ifndef SHIM_CQ_H
#define SHIM_CQ_H

#include "core/rvt.h"
#include "ibverbs/channel.h"
#include "ibverbs/event_source.h"
#include "ibverbs/pd.h"
#include "ibverbs/public_api.h"
#include "ibverbs/session.h"

struct shim_cq {
    struct ibv_cq_ex ibv; /* begins as a struct ibv_cq */
    struct shim_context *context;
    struct rvt_cq_handle core;
    struct shim_event_source events;
    struct shim_pd *parent_domain; /* NULL: none was given */
    struct shim_session polling;   /* between ibv_start_poll() and ibv_end_poll() */
    struct rvt_wc current;         /* of the session: what the read functions return */
};

static inline struct shim_cq *shim_cq_of(struct ibv_cq *cq) {
    return (struct shim_cq *)(void *)cq;
}

/* Creates a completion queue. Returns NULL and sets errno:
 *   EOPNOTSUPP  unknown attributes, wc_flags beside the standard ones, or IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN
 *   EINVAL      cqe is 0 or above max_cqe, no such comp_vector, or a channel or domain of another context
 *   ENOMEM      max_cq queues exist, or no memory
 *   EBADF       the context is closed */
struct ibv_cq_ex *shim_create_cq_ex(struct ibv_context *context, struct ibv_cq_init_attr_ex *attr);
/* Arms the queue, as rvt_req_notify_cq(). Returns 0, or EBADF: the context is closed. */
int shim_req_notify_cq(struct ibv_cq *cq, int solicited_only);

#endif
