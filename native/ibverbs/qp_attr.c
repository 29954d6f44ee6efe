/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of queue pairs. ibv_modify_qp(3), ibv_query_qp(3). The bits of the mask and the values of
 * states, MTUs and access rights have the same numbers in the core and in the public header. */
#include <string.h>

#include "ibverbs/ah.h"
#include "ibverbs/qp.h"
#include "ibverbs/serve.h"

_Static_assert((int)RVT_QPA_DEST_QPN == (int)IBV_QP_DEST_QPN && (int)RVT_QPA_AV == (int)IBV_QP_AV &&
                   (int)RVT_QPA_MAX_RD_ATOMIC == (int)IBV_QP_MAX_QP_RD_ATOMIC,
               "bits of attributes");
_Static_assert((int)RVT_QPS_ERR == (int)IBV_QPS_ERR && (int)RVT_MIG_ARMED == (int)IBV_MIG_ARMED, "states");
_Static_assert((int)RVT_ACCESS_REMOTE_ATOMIC == (int)IBV_ACCESS_REMOTE_ATOMIC, "access rights");

static struct rvt_qp_attr core_attributes(const struct ibv_qp_attr *attr) {
    return (struct rvt_qp_attr){
        .state = (uint32_t)attr->qp_state,
        .cur_state = (uint32_t)attr->cur_qp_state,
        .access = attr->qp_access_flags,
        .qkey = attr->qkey,
        .dest_qpn = attr->dest_qp_num,
        .sq_psn = attr->sq_psn,
        .rq_psn = attr->rq_psn,
        .pkey_index = attr->pkey_index,
        .port = attr->port_num,
        .path_mtu = (uint32_t)attr->path_mtu,
        .path_mig_state = (uint32_t)attr->path_mig_state,
        .timeout = attr->timeout,
        .retry_cnt = attr->retry_cnt,
        .rnr_retry = attr->rnr_retry,
        .min_rnr_timer = attr->min_rnr_timer,
        .max_rd_atomic = attr->max_rd_atomic,
        .max_dest_rd_atomic = attr->max_dest_rd_atomic,
        .av = shim_core_address(&attr->ah_attr),
        .alt_av = shim_core_address(&attr->alt_ah_attr),
        .alt_pkey_index = attr->alt_pkey_index,
    };
}

/* Keeps what the core does not. The caller must hold the lock of the queue pair. */
static void keep(struct shim_qp *qp, const struct ibv_qp_attr *attr, int mask) {
    if (mask & IBV_QP_AV)
        qp->path = attr->ah_attr;
    if (mask & IBV_QP_ALT_PATH) {
        qp->alternate_path = attr->alt_ah_attr;
        qp->alt_port_num = attr->alt_port_num;
        qp->alt_timeout = attr->alt_timeout;
    }
    if (mask & IBV_QP_STATE)
        qp->ibv.qp_base.state = attr->qp_state;
}

/* Does for a queue pair of a network what must be done before the change of its attributes. Returns 0 or a positive errno.
 * The caller must hold the lock of the queue pair. */
static int follow_path(struct shim_qp *qp, const struct ibv_qp_attr *attr, int mask) {
    struct shim_wire *wire = &qp->pd->context->file->core->wire;
    if (!wire->used)
        return 0;
    if (qp->ibv.qp_base.qp_type == IBV_QPT_UD && (mask & IBV_QP_STATE) && attr->qp_state == IBV_QPS_INIT)
        return shim_wire_attach(wire, qp->core);
    if ((mask & IBV_QP_STATE) && (attr->qp_state == IBV_QPS_RESET || attr->qp_state == IBV_QPS_ERR))
        shim_wire_settle(wire); /* the peer's requests that were carried out are acknowledged */
    if (!(mask & IBV_QP_AV) || qp->ibv.qp_base.qp_type == IBV_QPT_UD)
        return 0;
    if ((mask & IBV_QP_STATE) && attr->qp_state == IBV_QPS_RTR)
        return shim_wire_connect(wire, qp->core, &attr->ah_attr.grh.dgid);
    /* The endpoint cannot move a connection to another host. */
    return memcmp(&attr->ah_attr.grh.dgid, &qp->path.grh.dgid, sizeof(union ibv_gid)) ? EOPNOTSUPP : 0;
}

/* Drops the completions that a queue pair in RESET has left, as adapters' drivers do: a program that brings it up again
 * must not take them for those of new work. */
static void drop_completions(const struct shim_qp *qp) {
    const struct ibv_qp *base = &qp->ibv.qp_base;
    const uint64_t serial = rvt_qp_serial(qp->core);
    (void)rvt_drop_completions(shim_cq_of(base->send_cq)->core, serial);
    if (base->recv_cq != base->send_cq)
        (void)rvt_drop_completions(shim_cq_of(base->recv_cq)->core, serial);
}

SHIM_PUBLIC int ibv_modify_qp(struct ibv_qp *of, struct ibv_qp_attr *attr, int mask) {
    if (!of || !attr)
        return EINVAL;
    struct shim_qp *qp = shim_qp_of(of);
    if ((mask & IBV_QP_AV) && shim_judge_address(qp->pd->context, &attr->ah_attr))
        return EINVAL;
    if ((mask & IBV_QP_ALT_PATH) && shim_judge_address(qp->pd->context, &attr->alt_ah_attr))
        return EINVAL;
    const struct rvt_qp_attr core = core_attributes(attr);
    shim_enter_to_serve();
    pthread_mutex_lock(&qp->posting);
    int error = -follow_path(qp, attr, mask);
    if (!error)
        error = rvt_modify_qp(qp->core, &core, (uint32_t)mask);
    if (!error) {
        keep(qp, attr, mask);
        if ((mask & IBV_QP_STATE) && attr->qp_state == IBV_QPS_RESET)
            drop_completions(qp);
    }
    pthread_mutex_unlock(&qp->posting);
    shim_leave_and_serve(qp->pd->context);
    return -error;
}

/* Returns the address as the program gave it. The core has changed none of its parts. */
static struct ibv_ah_attr program_address(const struct rvt_ah_attr *core, const struct ibv_ah_attr *kept) {
    struct ibv_ah_attr attr = *kept;
    attr.dlid = (uint16_t)core->dlid;
    attr.sl = core->sl;
    attr.static_rate = core->static_rate;
    attr.port_num = core->port;
    return attr;
}

static void fill_attributes(const struct shim_qp *qp, const struct rvt_qp_query *core,
                            struct ibv_qp_attr *attr) {
    *attr = (struct ibv_qp_attr){
        .qp_state = (enum ibv_qp_state)core->attr.state,
        .cur_qp_state = (enum ibv_qp_state)core->attr.cur_state,
        .path_mtu = (enum ibv_mtu)core->attr.path_mtu,
        .path_mig_state = (enum ibv_mig_state)core->attr.path_mig_state,
        .qkey = core->attr.qkey,
        .rq_psn = core->attr.rq_psn,
        .sq_psn = core->attr.sq_psn,
        .dest_qp_num = core->attr.dest_qpn,
        .qp_access_flags = core->attr.access,
        .cap = qp->cap,
        .ah_attr = program_address(&core->attr.av, &qp->path),
        .alt_ah_attr = program_address(&core->attr.alt_av, &qp->alternate_path),
        .pkey_index = (uint16_t)core->attr.pkey_index,
        .alt_pkey_index = (uint16_t)core->attr.alt_pkey_index,
        .sq_draining = core->sq_draining,
        .max_rd_atomic = (uint8_t)core->attr.max_rd_atomic,
        .max_dest_rd_atomic = (uint8_t)core->attr.max_dest_rd_atomic,
        .min_rnr_timer = (uint8_t)core->attr.min_rnr_timer,
        .port_num = (uint8_t)core->attr.port,
        .timeout = (uint8_t)core->attr.timeout,
        .retry_cnt = (uint8_t)core->attr.retry_cnt,
        .rnr_retry = (uint8_t)core->attr.rnr_retry,
        .alt_port_num = qp->alt_port_num,
        .alt_timeout = qp->alt_timeout,
    };
}

/* `mask` only says which attributes must be right: all are. */
SHIM_PUBLIC int ibv_query_qp(struct ibv_qp *of, struct ibv_qp_attr *attr, int mask,
                             struct ibv_qp_init_attr *init_attr) {
    struct rvt_qp_query core;
    (void)mask;
    if (!of || !attr || !init_attr)
        return EINVAL;
    struct shim_qp *qp = shim_qp_of(of);
    shim_enter();
    pthread_mutex_lock(&qp->posting);
    int error = rvt_query_qp(qp->core, &core);
    if (!error) {
        fill_attributes(qp, &core, attr);
        of->state = attr->qp_state;
    }
    pthread_mutex_unlock(&qp->posting);
    shim_leave();
    if (error)
        return -error;
    *init_attr = (struct ibv_qp_init_attr){
        .qp_context = of->qp_context,
        .send_cq = of->send_cq,
        .recv_cq = of->recv_cq,
        .srq = of->srq,
        .cap = qp->cap,
        .qp_type = of->qp_type,
        .sq_sig_all = qp->signal_all,
    };
    return 0;
}

/* The engine copies by memmove(), which does not say in which order it writes. */
SHIM_PUBLIC int ibv_query_qp_data_in_order(struct ibv_qp *qp, enum ibv_wr_opcode op, uint32_t flags) {
    (void)qp, (void)op, (void)flags;
    return 0;
}

/* --- enhanced connection establishment: options of an adapter's vendor --- */

SHIM_PUBLIC int ibv_set_ece(struct ibv_qp *qp, struct ibv_ece *ece) {
    return qp && ece ? EOPNOTSUPP : EINVAL;
}

SHIM_PUBLIC int ibv_query_ece(struct ibv_qp *qp, struct ibv_ece *ece) {
    if (!qp || !ece)
        return EINVAL;
    *ece = (struct ibv_ece){0};
    return EOPNOTSUPP;
}

/* --- multicast: the core has no groups --- */

SHIM_PUBLIC int ibv_attach_mcast(struct ibv_qp *qp, const union ibv_gid *gid, uint16_t lid) {
    (void)lid;
    return qp && gid ? EOPNOTSUPP : EINVAL;
}

SHIM_PUBLIC int ibv_detach_mcast(struct ibv_qp *qp, const union ibv_gid *gid, uint16_t lid) {
    (void)lid;
    return qp && gid ? EOPNOTSUPP : EINVAL;
}
