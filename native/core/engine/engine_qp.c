/* SPDX-License-Identifier: BSD-3-Clause */
/* Creates, queries and ends queue pairs with queues. docs/semantics.md, V5. */
#include "core/engine/engine_qp.h"

#include <string.h>

#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/engine/qp_state.h"
#include "core/objects/resource.h"

enum { FIRST_QPN = 2, LAST_QPN = (1 << RVT_QPN_BITS) - 1, MOST_QPS = LAST_QPN - FIRST_QPN };

/* --- creating --- */

/* Tests the attributes in the kernel's order. */
static int judge_init(const uint32_t *limits, const struct rvt_qp_init *init) {
    const struct {
        uint32_t wanted, most;
        enum rvt_capacity capacity;
    } sizes[] = {
        {init->max_send_sge, limits[RVT_LIMIT_MAX_SEND_SGE], RVT_CAPACITY_SEND_SGE},
        {init->max_send_wr, limits[RVT_LIMIT_MAX_QP_WR], RVT_CAPACITY_SEND_WR},
        {init->max_recv_sge, limits[RVT_LIMIT_MAX_RECV_SGE], RVT_CAPACITY_RECV_SGE},
        {init->max_recv_wr, limits[RVT_LIMIT_MAX_QP_WR], RVT_CAPACITY_RECV_WR},
    };
    bool any = init->srq != NULL; /* sizes of the receive queue are ignored then */
    for (unsigned i = 0; i < (init->srq ? 2 : 4); i++) {
        if (sizes[i].wanted > sizes[i].most)
            return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_CAPACITY, sizes[i].capacity, sizes[i].wanted,
                               sizes[i].most);
        any = any || sizes[i].wanted;
    }
    if (!any)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_NO_CAPACITY);
    if (init->type != RVT_QPT_RC && init->type != RVT_QPT_UC && init->type != RVT_QPT_UD)
        return rvt_fail_value(RVT_EOPNOTSUPP, RVT_CAUSE_QP_TYPE, init->type, 0);
    return 0;
}

/* Tests whether the domain and the queues are live, and the queues on this device and of this context. */
static int judge_handles(const struct rvt_dev_info *device, struct rvt_pd_handle pd,
                         const struct rvt_qp_init *init) {
    const struct rvt_ucontext *context = pd.context;
    const struct rvt_cq_handle cqs[] = {init->send_cq, init->recv_cq};
    if (!rvt_pd_live(pd))
        return rvt_fail_gone(device, context, RVT_CAUSE_PD_GONE);
    for (unsigned i = 0; i < 2; i++)
        if (!rvt_cq_live(cqs[i]))
            return rvt_fail_at(RVT_EBADF, RVT_CAUSE_CQ_GONE, i, 0, 0);
    if (init->srq && !rvt_srq_live(*init->srq))
        return rvt_fail(RVT_EBADF, RVT_CAUSE_SRQ_GONE);
    for (unsigned i = 0; i < 2; i++)
        if (cqs[i].cq->owned.device != device || cqs[i].context != context)
            return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_QUEUE_ELSEWHERE, i, RVT_RESOURCE_CQ, 0);
    if (init->srq && (init->srq->srq->owned.device != device || init->srq->context != context))
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_QUEUE_ELSEWHERE, RVT_RESOURCE_SRQ, 0);
    return 0;
}

/* Chooses the number of a new queue pair: never one in use, and in sequence none that was used before until
 * the numbers wrap. Returns 0 if the system has no random numbers. */
static uint32_t choose_qpn(struct rvt_engine *engine) {
    uint32_t qpn = engine->last_qpn;
    do {
        if (!engine->random_qp_numbers)
            qpn = qpn == LAST_QPN ? FIRST_QPN : qpn + 1;
        else if (!rvt_random_bytes(&qpn, sizeof(qpn)))
            return 0;
        else
            qpn &= LAST_QPN;
    } while (qpn < FIRST_QPN || rvt_qp_table_find(&engine->table, qpn));
    engine->last_qpn = qpn;
    return qpn;
}

static uint64_t bytes_of(const struct rvt_engine_qp *qp) {
    return sizeof(*qp) + (uint64_t)qp->sq.max_wr * qp->sq.slot_size +
           qp->in_hand.room * sizeof(*qp->in_hand.sges);
}

/* Frees the queue pair with its queues. */
static void free_qp(struct rvt_engine_qp *qp) {
    struct rvt_dev_info *device = qp->engine->device;
    atomic_fetch_sub_explicit(&device->held, bytes_of(qp), memory_order_relaxed);
    rvt_recv_queue_free(device, &qp->rq);
    rvt_free(qp->in_hand.sges);
    rvt_free_aligned(qp);
}

/* Allocates a queue pair with queues of their full size. The slots are not cleared, so the system gives them memory when
 * they are used. Returns NULL if out of memory. */
static struct rvt_engine_qp *allocate_qp(struct rvt_engine *engine, const struct rvt_qp_init *init) {
    struct rvt_dev_info *device = engine->device;
    const uint64_t slot_size = sizeof(struct rvt_swqe) + init->max_send_sge * sizeof(struct rvt_sge);
    const uint64_t bytes = sizeof(struct rvt_engine_qp) + init->max_send_wr * slot_size;
    struct rvt_engine_qp *qp = bytes <= SIZE_MAX ? rvt_malloc_aligned((size_t)bytes) : NULL;
    if (!qp)
        return NULL;
    memset(qp, 0, sizeof(*qp));
    qp->engine = engine;
    qp->srq = init->srq ? init->srq->srq : NULL;
    qp->sq.slots = (unsigned char *)(qp + 1);
    qp->sq.slot_size = (size_t)slot_size;
    qp->sq.max_wr = init->max_send_wr;
    qp->sq.max_sge = init->max_send_sge;
    bool ok = rvt_recv_queue_init(device, &qp->rq, qp->srq ? 0 : init->max_recv_wr,
                                  qp->srq ? 0 : init->max_recv_sge);
    qp->in_hand.room = qp->srq ? qp->srq->queue.max_sge : qp->rq.max_sge;
    if (qp->in_hand.room)
        ok = ok && (qp->in_hand.sges = rvt_zalloc(qp->in_hand.room, sizeof(*qp->in_hand.sges)));
    atomic_fetch_add_explicit(&device->held, bytes_of(qp), memory_order_relaxed);
    if (ok)
        return qp;
    free_qp(qp);
    return NULL;
}

/* Makes the object alive and enters the engine's part. The caller must hold both locks. */
static int give_birth(struct rvt_engine_qp *qp, struct rvt_pd_handle pd, struct rvt_qp_handle *handle) {
    struct rvt_engine *engine = qp->engine;
    int error = rvt_birth_qp(pd, qp, handle);
    if (error)
        return error;
    /* Both are live, because the device lock is held. */
    (void)rvt_checker_of_pd(pd, &qp->local);
    (void)rvt_checker_of_qp(*handle, &qp->remote);
    qp->receives = qp->srq ? qp->srq->checker : qp->local;
    qp->local.context = qp->remote.context = qp->receives.context = engine->context;
    qp->handle = *handle;
    qp->serial = handle->qp->owned.serial;
    qp->pd = pd.pd;
    rvt_show_qp(handle->qp, RVT_QP_TYPE, qp->type);
    rvt_show_qp(handle->qp, RVT_QP_NUMBER, qp->qpn);
    rvt_show_qp(handle->qp, RVT_QP_SEND_CQ, qp->send_cq->owned.serial);
    rvt_show_qp(handle->qp, RVT_QP_RECV_CQ, qp->recv_cq->owned.serial);
    rvt_show_qp(handle->qp, RVT_QP_SRQ, qp->srq ? qp->srq->owned.serial : 0);
    return 0;
}

static void use_queues(struct rvt_engine_qp *qp, int more) {
    rvt_cq_use(qp->send_cq, more);
    if (qp->recv_cq != qp->send_cq)
        rvt_cq_use(qp->recv_cq, more);
    if (qp->srq)
        rvt_srq_use(qp->srq, more);
}

/* The caller must hold the engine lock. */
static int create(struct rvt_engine *engine, struct rvt_pd_handle pd, const struct rvt_qp_init *init,
                  struct rvt_qp_handle *handle, uint32_t *qpn) {
    struct rvt_dev_info *device = engine->device;
    int error = judge_handles(device, pd, init);
    if (error)
        return error;
    const uint32_t most = engine->limits.of[RVT_LIMIT_MAX_QP];
    const bool full = engine->qps >= most || engine->qps >= MOST_QPS;
    if (full && !engine->random_qp_numbers && engine->qps < MOST_QPS)
        (void)choose_qpn(engine); /* the kernel uses a number up before it finds that there is no room */
    if (full)
        return rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_QP, most);
    error = rvt_engine_prepare(engine);
    if (error)
        return error;
    const uint32_t number = choose_qpn(engine);
    if (!number)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS);
    if (!rvt_qp_table_reserve(device, &engine->table))
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    struct rvt_engine_qp *qp = allocate_qp(engine, init);
    if (!qp)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    qp->qpn = number;
    qp->random_qpn = engine->random_qp_numbers;
    qp->carrier = engine->loopback;
    qp->type = (enum rvt_qp_type)init->type;
    qp->sig_type = (enum rvt_sig_type)init->sig_type;
    qp->user = init->user;
    qp->send_cq = init->send_cq.cq;
    qp->recv_cq = init->recv_cq.cq;
    qp->attr.state = RVT_QPS_RESET;
    qp->attr.path_mig_state = RVT_MIG_MIGRATED;
    rvt_mutex_lock(&device->lock);
    error = give_birth(qp, pd, handle);
    rvt_mutex_unlock(&device->lock);
    if (error) {
        free_qp(qp);
        return error;
    }
    use_queues(qp, 1);
    rvt_qp_table_add(&engine->table, qp);
    engine->qps++;
    if (qpn)
        *qpn = qp->qpn;
    return 0;
}

int rvt_create_qp(struct rvt_pd_handle pd, const struct rvt_qp_init *init, struct rvt_qp_handle *handle,
                  uint32_t *qpn) {
    int error;
    struct rvt_engine *engine = rvt_engine_of_pd(pd, &error);
    if (engine)
        error = judge_init(engine->limits.of, init);
    if (error)
        return error;
    rvt_engine_lock(engine);
    error = create(engine, pd, init, handle, qpn);
    rvt_engine_finish(engine);
    return error;
}

/* --- finding --- */

struct rvt_engine_qp *rvt_lock_engine_qp(struct rvt_qp_handle handle, int *error) {
    struct rvt_engine *engine = handle.qp ? handle.qp->owned.device->engine : NULL;
    *error = 0;
    if (engine) {
        /* Loads what one request needs of the queue pair: the start of the block and the first slots. */
        rvt_prefetch_qp(atomic_load_explicit(&handle.qp->engine, memory_order_acquire),
                        sizeof(struct rvt_engine_qp) + 2 * sizeof(struct rvt_swqe));
        __builtin_prefetch(&handle.qp->shown[RVT_QP_SENDS - RVT_QP_TYPE], 1); /* for rvt_show_queues() */
        rvt_engine_lock(engine);
        /* The engine's part stays while the engine lock is held. The handle is checked last: live now means
         * that the part is this queue pair's and not its successor's. */
        struct rvt_engine_qp *qp = atomic_load_explicit(&handle.qp->engine, memory_order_acquire);
        bool live = rvt_qp_live(handle) != NULL;
        if (live && qp)
            return qp;
        rvt_engine_finish(engine);
        if (!live) {
            *error = rvt_fail_gone(engine->device, handle.context, RVT_CAUSE_QP_GONE);
            return NULL;
        }
    }
    *error = rvt_qp_live(handle) ? rvt_fail(RVT_EINVAL, RVT_CAUSE_QP_HAS_NO_QUEUES)
                                 : rvt_fail(RVT_EBADF, RVT_CAUSE_QP_GONE);
    return NULL;
}

int rvt_query_qp(struct rvt_qp_handle handle, struct rvt_qp_query *query) {
    int error;
    struct rvt_engine_qp *qp = rvt_lock_engine_qp(handle, &error);
    if (!qp)
        return error;
    *query = (struct rvt_qp_query){
        .attr = qp->attr,
        .qpn = qp->qpn,
        .type = qp->type,
        .sig_type = qp->sig_type,
        .max_send_wr = qp->sq.max_wr,
        .max_send_sge = qp->sq.max_sge,
        .max_recv_wr = qp->rq.max_wr,
        .max_recv_sge = qp->rq.max_sge,
        .sends = qp->sq.count,
        .receives = qp->rq.count,
        .sq_draining = qp->sq_draining,
    };
    query->attr.cur_state = qp->attr.state;
    rvt_engine_finish(qp->engine);
    return 0;
}

/* --- ending --- */

void rvt_pin_qp(struct rvt_engine_qp *qp) {
    qp->pins++;
}

void rvt_unpin_qp(struct rvt_engine_qp *qp) {
    if (!--qp->pins && qp->ended)
        free_qp(qp);
}

void rvt_end_engine_qp(struct rvt_engine_qp *qp) {
    rvt_make_unready(qp); /* a queue pair in RESET can be ready as well (rvt_kick_qp) */
    rvt_reset_qp(qp);
    rvt_use_carrier(qp, qp->engine->loopback, NULL);
    use_queues(qp, -1);
    qp->srq = NULL; /* it may be freed before the last pin is gone */
    rvt_qp_table_remove(&qp->engine->table, qp);
    qp->engine->qps--;
    qp->ended = true;
    rvt_pin_qp(qp);
    rvt_unpin_qp(qp);
}
