/* SPDX-License-Identifier: BSD-3-Clause */
/* rvt_modify_qp(): the state machine of queue pairs. docs/semantics.md, V6 and V14. */
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"
#include "core/engine/qp_state.h"

enum {
    MAX_QPN = 0xffffff,
    PSN_MASK = 0xffffff,
    MAX_RETRY = 7,
    MAX_MIN_RNR_TIMER = 31,
    MULTICAST_LID = 0xc000,
    MTU_256 = 1,
    MTU_4096 = 5,
};

/* An allowed move: the attributes that it needs and those that it also takes, by type of queue pair. */
struct move {
    enum rvt_qp_state from, to;
    uint32_t rc_needs, rc_takes, uc_needs, uc_takes, ud_needs, ud_takes;
};

#define COMMON_INIT (RVT_QPA_PKEY_INDEX | RVT_QPA_PORT | RVT_QPA_ACCESS_FLAGS)
#define UD_INIT (RVT_QPA_PKEY_INDEX | RVT_QPA_PORT | RVT_QPA_QKEY)
#define UC_RTR (RVT_QPA_AV | RVT_QPA_PATH_MTU | RVT_QPA_DEST_QPN | RVT_QPA_RQ_PSN)
#define RC_RTR (UC_RTR | RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER)
#define RTR_TAKES (RVT_QPA_ALT_PATH | RVT_QPA_ACCESS_FLAGS | RVT_QPA_PKEY_INDEX)
#define RC_RTS                                                                                               \
    (RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY | RVT_QPA_SQ_PSN | RVT_QPA_MAX_RD_ATOMIC)
#define UC_RTS_TAKES (RVT_QPA_CUR_STATE | RVT_QPA_ALT_PATH | RVT_QPA_ACCESS_FLAGS | RVT_QPA_PATH_MIG_STATE)
#define RC_RTS_TAKES (UC_RTS_TAKES | RVT_QPA_MIN_RNR_TIMER)
#define UD_RTS_TAKES (RVT_QPA_CUR_STATE | RVT_QPA_QKEY)
#define UC_SQD_TAKES                                                                                         \
    (RVT_QPA_AV | RVT_QPA_ALT_PATH | RVT_QPA_ACCESS_FLAGS | RVT_QPA_PKEY_INDEX | RVT_QPA_PATH_MIG_STATE)
#define RC_SQD_TAKES                                                                                         \
    (UC_SQD_TAKES | RVT_QPA_PORT | RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY |                 \
     RVT_QPA_MAX_RD_ATOMIC | RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER)

/* Moves to RESET and ERR are not listed: judge_move() allows them from every state, to ERR not from RESET.
 * They take no attribute but `state`, which every move takes. */
static const struct move moves[] = {
    {RVT_QPS_RESET, RVT_QPS_INIT, COMMON_INIT, 0, COMMON_INIT, 0, UD_INIT, 0},
    {RVT_QPS_INIT, RVT_QPS_INIT, 0, COMMON_INIT, 0, COMMON_INIT, 0, UD_INIT},
    {RVT_QPS_INIT, RVT_QPS_RTR, RC_RTR, RTR_TAKES, UC_RTR, RTR_TAKES, 0, RVT_QPA_PKEY_INDEX | RVT_QPA_QKEY},
    {RVT_QPS_RTR, RVT_QPS_RTS, RC_RTS, RC_RTS_TAKES, RVT_QPA_SQ_PSN, UC_RTS_TAKES, RVT_QPA_SQ_PSN,
     UD_RTS_TAKES},
    {RVT_QPS_RTS, RVT_QPS_RTS, 0, RC_RTS_TAKES, 0, UC_RTS_TAKES, 0, UD_RTS_TAKES},
    {RVT_QPS_SQD, RVT_QPS_RTS, 0, RC_RTS_TAKES, 0, UC_RTS_TAKES, 0, UD_RTS_TAKES},
    {RVT_QPS_RTS, RVT_QPS_SQD, 0, RVT_QPA_EN_SQD_ASYNC_NOTIFY, 0, RVT_QPA_EN_SQD_ASYNC_NOTIFY, 0,
     RVT_QPA_EN_SQD_ASYNC_NOTIFY},
    {RVT_QPS_SQD, RVT_QPS_SQD, 0, RC_SQD_TAKES, 0, UC_SQD_TAKES, 0, RVT_QPA_PKEY_INDEX | RVT_QPA_QKEY},
};

/* Tests whether the move is allowed with these attributes.
 *   0        allowed
 *   -EINVAL  no such move; or an attribute is missing, or given that the move does not take */
static int judge_move(enum rvt_qp_type type, uint32_t from, uint32_t to, uint32_t mask) {
    uint32_t needs = 0, takes = 0;
    bool exists = to == RVT_QPS_RESET || (to == RVT_QPS_ERR && from != RVT_QPS_RESET);
    for (size_t i = 0; !exists && i < sizeof(moves) / sizeof(moves[0]); i++) {
        const struct move *move = &moves[i];
        if (move->from != from || move->to != to)
            continue;
        exists = true;
        needs = type == RVT_QPT_RC ? move->rc_needs : type == RVT_QPT_UC ? move->uc_needs : move->ud_needs;
        takes = type == RVT_QPT_RC ? move->rc_takes : type == RVT_QPT_UC ? move->uc_takes : move->ud_takes;
    }
    if (!exists)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_QP_MOVE, to, from);
    uint32_t forbidden = mask & ~(needs | takes | RVT_QPA_STATE), missing = needs & ~mask;
    if (forbidden)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_QP_FORBIDS, from, forbidden, to);
    if (missing)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_QP_NEEDS, from, missing, to);
    return 0;
}

static int refuse_value(uint32_t attribute, uint64_t value, uint64_t limit) {
    return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_QP_ATTRIBUTE, attribute, value, limit);
}

/* `attribute` is the bit of the attribute that has the path. */
static int judge_path(const struct rvt_ah_attr *av, uint32_t attribute) {
    if (av->dlid >= MULTICAST_LID)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_PATH_DLID, attribute, av->dlid, MULTICAST_LID - 1);
    return rvt_judge_ah_attr(av, attribute);
}

/* Checks the values of the given attributes. */
static int judge_values(const struct rvt_engine_qp *qp, const struct rvt_qp_attr *attr, uint32_t mask,
                        uint32_t to) {
    const uint32_t *limits = qp->engine->limits.of;
    /* npkeys may be 0: then no index is valid, and the highest is -1. */
    const uint64_t last_pkey = (uint64_t)limits[RVT_LIMIT_NPKEYS] - 1;
    const uint32_t of_device = limits[RVT_LIMIT_MAX_RDMA_ATOMIC],
                   of_carrier = qp->carrier->most_dest_rd_atomic;
    const uint32_t most_reads = of_carrier && of_carrier < of_device ? of_carrier : of_device;
    const struct {
        uint32_t attribute, value, least, most;
    } ranges[] = {
        {RVT_QPA_PORT, attr->port, 1, 1},
        {RVT_QPA_MIN_RNR_TIMER, attr->min_rnr_timer, 0, MAX_MIN_RNR_TIMER},
        {RVT_QPA_DEST_QPN, attr->dest_qpn, 0, MAX_QPN},
        {RVT_QPA_RETRY_CNT, attr->retry_cnt, 0, MAX_RETRY},
        {RVT_QPA_RNR_RETRY, attr->rnr_retry, 0, MAX_RETRY},
        {RVT_QPA_PATH_MTU, attr->path_mtu, MTU_256, MTU_4096},
        {RVT_QPA_MAX_DEST_RD_ATOMIC, attr->max_dest_rd_atomic, 0, most_reads},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if ((mask & ranges[i].attribute) &&
            (ranges[i].value < ranges[i].least || ranges[i].value > ranges[i].most))
            return refuse_value(ranges[i].attribute, ranges[i].value, ranges[i].most);
    if ((mask & RVT_QPA_PKEY_INDEX) && attr->pkey_index >= limits[RVT_LIMIT_NPKEYS])
        return refuse_value(RVT_QPA_PKEY_INDEX, attr->pkey_index, last_pkey);
    int error = mask & RVT_QPA_AV ? judge_path(&attr->av, RVT_QPA_AV) : 0;
    if (!error && (mask & RVT_QPA_ALT_PATH)) {
        error = judge_path(&attr->alt_av, RVT_QPA_ALT_PATH);
        if (!error && attr->alt_pkey_index >= limits[RVT_LIMIT_NPKEYS])
            error = refuse_value(RVT_QPA_ALT_PATH, attr->alt_pkey_index, last_pkey);
    }
    if (error || !(mask & RVT_QPA_PATH_MIG_STATE))
        return error;
    bool rearm = attr->path_mig_state == RVT_MIG_REARM && to == RVT_QPS_RTS;
    bool migrated = attr->path_mig_state == RVT_MIG_MIGRATED && (to == RVT_QPS_RTS || to == RVT_QPS_SQD) &&
                    qp->attr.path_mig_state != RVT_MIG_REARM;
    return rearm || migrated ? 0 : rvt_fail_value(RVT_EINVAL, RVT_CAUSE_PATH_MIG, attr->path_mig_state, to);
}

/* Stores the given attributes. */
static void store(struct rvt_engine_qp *qp, const struct rvt_qp_attr *attr, uint32_t mask) {
    struct rvt_qp_attr *to = &qp->attr;
#define STORE(bit, member, value)                                                                            \
    if (mask & (bit))                                                                                        \
    to->member = (value)
    STORE(RVT_QPA_ACCESS_FLAGS, access, attr->access & 0xff);
    STORE(RVT_QPA_PKEY_INDEX, pkey_index, attr->pkey_index);
    STORE(RVT_QPA_PORT, port, attr->port);
    STORE(RVT_QPA_QKEY, qkey, attr->qkey);
    STORE(RVT_QPA_AV, av, attr->av);
    STORE(RVT_QPA_PATH_MTU, path_mtu, attr->path_mtu);
    STORE(RVT_QPA_TIMEOUT, timeout, attr->timeout & 0xff);
    STORE(RVT_QPA_RETRY_CNT, retry_cnt, attr->retry_cnt);
    STORE(RVT_QPA_RNR_RETRY, rnr_retry, attr->rnr_retry);
    STORE(RVT_QPA_RQ_PSN, rq_psn, attr->rq_psn & PSN_MASK);
    STORE(RVT_QPA_MAX_RD_ATOMIC, max_rd_atomic, attr->max_rd_atomic & 0xff);
    STORE(RVT_QPA_ALT_PATH, alt_av, attr->alt_av);
    STORE(RVT_QPA_ALT_PATH, alt_pkey_index, attr->alt_pkey_index);
    STORE(RVT_QPA_MIN_RNR_TIMER, min_rnr_timer, attr->min_rnr_timer);
    STORE(RVT_QPA_SQ_PSN, sq_psn, attr->sq_psn & PSN_MASK);
    STORE(RVT_QPA_MAX_DEST_RD_ATOMIC, max_dest_rd_atomic, attr->max_dest_rd_atomic);
    STORE(RVT_QPA_PATH_MIG_STATE, path_mig_state, attr->path_mig_state);
    STORE(RVT_QPA_DEST_QPN, dest_qpn, attr->dest_qpn);
#undef STORE
    if (mask & RVT_QPA_RNR_RETRY)
        qp->rnr_left = attr->rnr_retry;
}

/* The caller must hold the engine lock. */
static int modify(struct rvt_engine_qp *qp, const struct rvt_qp_attr *attr, uint32_t mask) {
    uint32_t from = qp->attr.state, to = mask & RVT_QPA_STATE ? attr->state : from;
    const struct rvt_why flushed = rvt_because(RVT_WHY_FLUSHED);
    /* The kernel believes a `cur_state` that is not the present state, and then crashes. */
    if ((mask & RVT_QPA_CUR_STATE) && attr->cur_state != from)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_CUR_STATE, attr->cur_state, from);
    int error = judge_move(qp->type, from, to, mask);
    if (!error)
        error = judge_values(qp, attr, mask, to);
    if (error)
        return error;
    switch (to) {
    case RVT_QPS_RESET:
        rvt_reset_qp(qp);
        return 0;
    case RVT_QPS_ERR:
        rvt_error_qp_and_report(qp, RVT_WC_STATUS_WR_FLUSH_ERR, &flushed);
        /* A carrier may still answer what its peer asked for before the failure. Not after this call. */
        if (from == RVT_QPS_ERR && qp->carrier->changed)
            qp->carrier->changed(qp, from);
        return 0;
    case RVT_QPS_SQD:
        qp->sq_draining = qp->sq.count && rvt_sq_at(&qp->sq, 0)->started;
        break;
    default:
        break;
    }
    if (from == RVT_QPS_RESET)
        rvt_qp_table_list(&qp->engine->table, qp);
    store(qp, attr, mask);
    rvt_set_qp_state(qp, (enum rvt_qp_state)to);
    return 0;
}

int rvt_modify_qp(struct rvt_qp_handle handle, const struct rvt_qp_attr *attr, uint32_t mask) {
    int error;
    struct rvt_engine_qp *qp = rvt_lock_engine_qp(handle, &error);
    if (!qp)
        return error;
    error = modify(qp, attr, mask);
    rvt_engine_finish(qp->engine);
    return error;
}
