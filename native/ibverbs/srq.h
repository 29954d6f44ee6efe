/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared receive queues. */
#ifndef SHIM_SRQ_H
#define SHIM_SRQ_H

#include "core/rvt.h"
#include "ibverbs/event_source.h"
#include "ibverbs/pd.h"
#include "ibverbs/public_api.h"

struct shim_srq {
    struct ibv_srq ibv;
    struct shim_pd *pd;
    struct rvt_srq_handle core;
    struct shim_event_source events;
};

static inline struct shim_srq *shim_srq_of(struct ibv_srq *srq) {
    return (struct shim_srq *)(void *)srq;
}

/* Answer the calls for what the core does not have: types other than basic, and their numbers. */
struct ibv_srq *shim_create_srq_ex(struct ibv_context *context, struct ibv_srq_init_attr_ex *attr);
int shim_get_srq_num(struct ibv_srq *srq, uint32_t *number);

#endif
