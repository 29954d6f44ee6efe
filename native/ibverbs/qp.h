/* SPDX-License-Identifier: BSD-3-Clause */
/* Queue pairs. */
#ifndef SHIM_QP_H
#define SHIM_QP_H

#include "core/rvt.h"
#include "ibverbs/cq.h"
#include "ibverbs/event_source.h"
#include "ibverbs/inline_data.h"
#include "ibverbs/pd.h"
#include "ibverbs/public_api.h"
#include "ibverbs/srq.h"
#include "ibverbs/wr_list.h"

struct shim_qp {
    struct ibv_qp_ex ibv; /* begins as a struct ibv_qp */
    struct shim_pd *pd;
    struct rvt_qp_handle core;
    struct shim_event_source events;
    struct ibv_qp_cap cap;
    bool signal_all;
    bool has_send_ops; /* it was created for ibv_wr_*() */
    uint64_t send_ops; /* IBV_QP_EX_WITH_* */
    /* Makes the work requests of one call follow each other, and protects the inline slots. */
    pthread_mutex_t posting;
    struct shim_inline_slots inline_slots;
    struct shim_session building; /* between ibv_wr_start() and ibv_wr_complete() or ibv_wr_abort() */
    struct shim_wr_list built;    /* of the session */
    /* What the core does not keep of the attributes. Protected by `posting`. */
    struct ibv_ah_attr path, alternate_path;
    uint8_t alt_port_num, alt_timeout;
};

static inline struct shim_qp *shim_qp_of(struct ibv_qp *qp) {
    return (struct shim_qp *)(void *)qp;
}

/* Creates a queue pair, and stores its sizes in attr->cap. Returns NULL and sets errno:
 *   EOPNOTSUPP  unknown attributes, creation flags, a type other than RC, UC and UD, or send operations that
 *               the type does not have
 *   EINVAL      no domain or completion queue, one of another context, or sizes above the device's limits
 *   ENOMEM      max_qp queue pairs exist, or no memory
 *   EBADF       the context is closed */
struct ibv_qp *shim_create_qp_ex(struct ibv_context *context, struct ibv_qp_init_attr_ex *attr);

#endif
