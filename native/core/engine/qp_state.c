/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/qp_state.h"

#include "core/engine/engine_state.h"

/* RNR timer values in microseconds, by min_rnr_timer. */
static const uint32_t rnr_usec[32] = {
    655360, 10,    20,    30,    40,    60,     80,     120,    160,    240,    320,
    480,    640,   960,   1280,  1920,  2560,   3840,   5120,   7680,   10240,  15360,
    20480,  30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680, 491520,
};

uint32_t rvt_rnr_microseconds(uint32_t code) {
    return rnr_usec[code % 32];
}

static void show(const struct rvt_engine_qp *qp, enum rvt_qp_row field, uint64_t value) {
    /* If the object has ended, it may be another queue pair by now. */
    if (rvt_object_generation(&qp->handle.qp->owned.object) == qp->handle.generation)
        rvt_show_qp(qp->handle.qp, field, value);
}

void rvt_show_queues(const struct rvt_engine_qp *qp) {
    show(qp, RVT_QP_SENDS, qp->sq.count);
    show(qp, RVT_QP_RECEIVES, qp->rq.count);
}

void rvt_set_qp_state(struct rvt_engine_qp *qp, enum rvt_qp_state state) {
    const uint32_t from = qp->attr.state;
    qp->attr.state = state;
    show(qp, RVT_QP_STATE, state);
    show(qp, RVT_QP_PEER, qp->attr.dest_qpn);
    if (qp->carrier->changed)
        qp->carrier->changed(qp, from);
}

void rvt_use_carrier(struct rvt_engine_qp *qp, const struct rvt_carrier *carrier, void *data) {
    const struct rvt_carrier *former = qp->carrier;
    void *former_data = qp->carrier_data;
    qp->carrier = carrier;
    qp->carrier_data = data;
    if (former->detached)
        former->detached(qp, former_data);
}

void rvt_sq_pop(struct rvt_engine_qp *qp) {
    struct rvt_send_queue *sq = &qp->sq;
    sq->count--;
    /* An empty queue starts from its first slot again, which is still in the cache. */
    sq->first = !sq->count || sq->first + 1 == sq->max_wr ? 0 : sq->first + 1;
}

void rvt_wait_for_receiver(struct rvt_engine_qp *qp, uint32_t min_rnr_timer) {
    qp->waiting_rnr = true;
    rvt_start_timer(qp, rvt_rnr_microseconds(min_rnr_timer));
}

bool rvt_complete_failed_receive(struct rvt_engine_qp *qp, uint64_t wr_id, enum rvt_wc_status status,
                                 const struct rvt_why *why) {
    const struct rvt_wc wc = {
        .wr_id = wr_id,
        .qp = qp->serial,
        .qp_num = qp->qpn,
        .status = status,
        .opcode = RVT_WC_OPCODE_RECV,
        .cause = why->cause,
        .cause_value = why->value,
        .refused = why->refused,
    };
    return rvt_cq_enter(qp->engine, qp->recv_cq, &wc, true);
}

static void drop_receive_in_hand(struct rvt_engine_qp *qp) {
    rvt_engine_put(qp->engine, qp->in_hand.sges, qp->in_hand.num_sge);
    qp->in_hand.num_sge = 0;
    qp->in_hand.there = false;
}

bool rvt_error_qp(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why) {
    if (qp->attr.state == RVT_QPS_RESET || qp->attr.state == RVT_QPS_ERR)
        return false;
    rvt_set_qp_state(qp, RVT_QPS_ERR);
    qp->epoch++;
    qp->waiting_rnr = false; /* the timer goes on, and fires without effect */
    if (qp->sq.count)
        rvt_make_ready(qp);
    if (qp->in_hand.there) {
        drop_receive_in_hand(qp);
        (void)rvt_complete_failed_receive(qp, qp->in_hand.wr_id, status, why);
    }
    if (qp->srq)
        return true;
    const struct rvt_why flushed = rvt_because(RVT_WHY_FLUSHED);
    struct rvt_rwqe wqe;
    const struct rvt_ib_sge *sges;
    rvt_engine_leave(qp->engine); /* there may be many receives */
    while (rvt_recv_queue_take(&qp->rq, &wqe, &sges))
        (void)rvt_complete_failed_receive(qp, wqe.wr_id, RVT_WC_STATUS_WR_FLUSH_ERR, &flushed);
    rvt_show_queues(qp);
    return false;
}

void rvt_error_qp_and_report(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why) {
    if (rvt_error_qp(qp, status, why))
        rvt_report_event(qp->engine, RVT_EVENT_LAST_WQE, qp->serial, qp->user);
}

/* Makes the completions visible that a fault keeps back. After a reset, a completion that is not in its queue is one that
 * never comes; whoever waits for it gives it up. */
static void show_late_completions(struct rvt_engine_qp *qp) {
    struct rvt_cq *const cqs[] = {qp->send_cq, qp->recv_cq};
    for (unsigned i = 0; i < sizeof(cqs) / sizeof(cqs[0]); i++)
        if (cqs[i]->late.count)
            rvt_show_late(qp->engine, cqs[i], true);
}

void rvt_reset_qp(struct rvt_engine_qp *qp) {
    if (qp->attr.state == RVT_QPS_RESET)
        return;
    show_late_completions(qp);
    qp->epoch++;
    rvt_make_unready(qp);
    qp->waiting_rnr = false;
    rvt_stop_timer(qp);
    rvt_list_remove(&qp->in_bucket);
    while (qp->sq.count) {
        struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, 0);
        rvt_engine_put(qp->engine, wqe->sges, wqe->num_sge);
        rvt_sq_pop(qp);
    }
    drop_receive_in_hand(qp);
    qp->attr.dest_qpn = qp->attr.qkey = qp->attr.access = 0;
    qp->attr.sq_psn = qp->attr.rq_psn = 0;
    qp->sq_draining = false;
    qp->attr.path_mig_state = RVT_MIG_MIGRATED;
    rvt_set_qp_state(qp, RVT_QPS_RESET);
    rvt_show_queues(qp);
}

struct rvt_engine_qp *rvt_find_destination(struct rvt_engine *engine, uint32_t qpn) {
    struct rvt_engine_qp *qp = rvt_qp_table_find(&engine->table, qpn);
    return qp && rvt_list_has(&qp->in_bucket) ? qp : NULL;
}
