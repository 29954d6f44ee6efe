/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/srq.h"

#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/engine/engine_state.h"
#include "core/engine/extension.h"
#include "core/objects/resource.h"

static void show(struct rvt_srq *srq, enum rvt_srq_row field, uint64_t value) {
    atomic_store_explicit(&srq->shown[field - RVT_SRQ_MAX_WR], value, memory_order_relaxed);
}

void rvt_show_srq(struct rvt_srq *srq) {
    show(srq, RVT_SRQ_MAX_WR, srq->queue.max_wr);
    show(srq, RVT_SRQ_MAX_SGE, srq->queue.max_sge);
    show(srq, RVT_SRQ_LIMIT, srq->limit);
    show(srq, RVT_SRQ_HELD, srq->queue.count);
    show(srq, RVT_SRQ_USERS, srq->users);
}

/* Makes the object alive. The caller must hold both locks. */
static int give_birth(struct rvt_engine *engine, struct rvt_pd_handle in, const struct rvt_srq_init *init,
                      const struct rvt_recv_queue *queue, struct rvt_srq_handle *handle) {
    struct rvt_dev_info *device = engine->device;
    struct rvt_checker checker;
    if (!rvt_checker_of_pd(in, &checker))
        return rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    struct rvt_srq *srq = (struct rvt_srq *)rvt_take_owned(device, RVT_RESOURCE_SRQ, in.context);
    if (!srq)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    srq->pd = in.pd;
    srq->checker = checker;
    srq->checker.context = engine->context;
    srq->user = init->user;
    srq->queue = *queue;
    srq->limit = init->limit;
    srq->users = 0;
    srq->ended = false;
    rvt_show_srq(srq);
    engine->srqs++;
    *handle = (struct rvt_srq_handle){srq, rvt_owned_birth(&srq->owned, RVT_RESOURCE_SRQ), in.context};
    return 0;
}

static int judge_init(const uint32_t *limits, const struct rvt_srq_init *init) {
    if (!init->basic)
        return rvt_fail(RVT_EOPNOTSUPP, RVT_CAUSE_SRQ_TYPE);
    if (!init->max_sge || init->max_sge > limits[RVT_LIMIT_MAX_SRQ_SGE])
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_CAPACITY, RVT_CAPACITY_SRQ_SGE, init->max_sge,
                           limits[RVT_LIMIT_MAX_SRQ_SGE]);
    if (!init->max_wr || init->max_wr > limits[RVT_LIMIT_MAX_SRQ_WR])
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_CAPACITY, RVT_CAPACITY_SRQ_WR, init->max_wr,
                           limits[RVT_LIMIT_MAX_SRQ_WR]);
    return 0;
}

int rvt_create_srq(struct rvt_pd_handle in, const struct rvt_srq_init *init, struct rvt_srq_handle *handle) {
    int error;
    struct rvt_engine *engine = rvt_engine_of_pd(in, &error);
    if (engine)
        error = judge_init(engine->limits.of, init);
    if (error)
        return error;
    const uint32_t *limits = engine->limits.of;
    struct rvt_dev_info *device = engine->device;
    struct rvt_recv_queue queue = {0};
    rvt_engine_lock(engine);
    if (engine->srqs >= limits[RVT_LIMIT_MAX_SRQ])
        error = rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_SRQ,
                               limits[RVT_LIMIT_MAX_SRQ]);
    else
        error = rvt_engine_prepare(engine);
    if (!error && !rvt_recv_queue_init(device, &queue, init->max_wr, init->max_sge))
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (!error) {
        rvt_mutex_lock(&device->lock);
        error = give_birth(engine, in, init, &queue, handle);
        rvt_mutex_unlock(&device->lock);
    }
    if (error)
        rvt_recv_queue_free(device, &queue);
    rvt_engine_finish(engine);
    return error;
}

/* Takes the engine lock for a verb on a live queue. Returns NULL, without the lock and with *error set, if
 * the handle is stale. */
static struct rvt_srq *lock_live(struct rvt_srq_handle handle, struct rvt_engine **engine, int *error) {
    *engine = handle.srq ? handle.srq->owned.device->engine : NULL;
    *error = 0;
    if (*engine) {
        rvt_engine_lock(*engine);
        struct rvt_srq *srq = rvt_srq_live(handle);
        if (srq)
            return srq;
        rvt_engine_finish(*engine);
    }
    *error = *engine ? rvt_fail_gone((*engine)->device, handle.context, RVT_CAUSE_SRQ_GONE)
                     : rvt_fail(RVT_EBADF, RVT_CAUSE_SRQ_GONE);
    return NULL;
}

static int modify(struct rvt_engine *engine, struct rvt_srq *srq, uint32_t mask, uint32_t max_wr,
                  uint32_t limit) {
    const uint32_t most = engine->limits.of[RVT_LIMIT_MAX_SRQ_WR];
    uint32_t new_limit = mask & RVT_SRQ_SET_LIMIT ? limit : srq->limit;
    uint32_t new_wr = mask & RVT_SRQ_SET_MAX_WR ? max_wr : srq->queue.max_wr;
    if (mask & RVT_SRQ_SET_MAX_WR && new_wr > most)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_CAPACITY, RVT_CAPACITY_SRQ_WR, new_wr, most);
    if (mask && new_limit > new_wr)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_SRQ_LIMIT, mask, new_limit, new_wr);
    if (new_wr < srq->queue.count)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_SRQ_BELOW_HELD, new_wr, srq->queue.count);
    if (mask & RVT_SRQ_SET_MAX_WR && !rvt_recv_queue_resize(engine->device, &srq->queue, new_wr))
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    srq->limit = new_limit;
    rvt_show_srq(srq);
    return 0;
}

int rvt_modify_srq(struct rvt_srq_handle handle, uint32_t mask, uint32_t max_wr, uint32_t limit) {
    struct rvt_engine *engine;
    int error;
    struct rvt_srq *srq = lock_live(handle, &engine, &error);
    if (!srq)
        return error;
    error = modify(engine, srq, mask, max_wr, limit);
    rvt_engine_finish(engine);
    return error;
}

int rvt_query_srq(struct rvt_srq_handle handle, struct rvt_srq_attr *attr) {
    struct rvt_engine *engine;
    int error;
    struct rvt_srq *srq = lock_live(handle, &engine, &error);
    if (!srq)
        return error;
    *attr = (struct rvt_srq_attr){srq->queue.max_wr, srq->queue.max_sge, srq->limit, srq->queue.count};
    rvt_engine_finish(engine);
    return 0;
}

static void free_srq(struct rvt_srq *srq) {
    struct rvt_dev_info *device = srq->owned.device;
    rvt_recv_queue_free(device, &srq->queue);
    device->engine->srqs--;
    rvt_mutex_lock(&device->lock);
    rvt_give_owned(&srq->owned, RVT_RESOURCE_SRQ);
    rvt_mutex_unlock(&device->lock);
}

void rvt_srq_use(struct rvt_srq *srq, int more) {
    srq->users += (uint32_t)more;
    rvt_show_srq(srq);
    if (srq->ended && !srq->users)
        free_srq(srq);
}

int rvt_destroy_srq(struct rvt_srq_handle handle) {
    struct rvt_engine *engine;
    int error;
    struct rvt_srq *srq = lock_live(handle, &engine, &error);
    if (!srq)
        return error;
    if (srq->users) {
        error = rvt_fail_value(RVT_EBUSY, RVT_CAUSE_SRQ_IN_USE, srq->users, 0);
    } else {
        rvt_mutex_lock(&engine->device->lock);
        /* Its domain or context may have ended it since. */
        if (rvt_srq_live(handle))
            rvt_srq_objects.end(&srq->owned);
        else
            error = rvt_fail_gone(engine->device, handle.context, RVT_CAUSE_SRQ_GONE);
        rvt_mutex_unlock(&engine->device->lock);
    }
    rvt_engine_finish(engine);
    rvt_drain_engine(engine->device);
    return error;
}

static void end_srq(struct rvt_owned *owned) {
    struct rvt_srq *srq = (struct rvt_srq *)owned;
    struct rvt_engine *engine = owned->device->engine;
    rvt_tell_release(owned, RVT_RESOURCE_SRQ);
    rvt_owned_death(owned, RVT_RESOURCE_SRQ);
    /* Queue pairs that have just ended may still point to it, so rvt_drain_engine() frees it after them. */
    srq->next_ended = engine->ended_srqs;
    engine->ended_srqs = srq;
    rvt_mark_engine(engine);
}

void rvt_free_ended_srq(struct rvt_srq *srq) {
    srq->ended = true;
    srq->queue.count = 0;
    if (!srq->users)
        free_srq(srq);
}

int rvt_post_srq_recv(struct rvt_srq_handle handle, const struct rvt_recv_wr *wrs, uint32_t count,
                      uint32_t *bad) {
    struct rvt_engine *engine;
    int error;
    uint32_t index = 0;
    if (bad)
        *bad = 0;
    struct rvt_srq *srq = lock_live(handle, &engine, &error);
    if (!srq)
        return error;
    for (; index < count; index++) {
        error = rvt_recv_queue_post(&srq->queue, &wrs[index], index);
        if (error)
            break;
    }
    rvt_show_srq(srq);
    if (error && bad)
        *bad = index;
    rvt_engine_finish(engine);
    return error;
}

void rvt_srq_taken(struct rvt_engine *engine, struct rvt_srq *srq) {
    if (srq->queue.count >= srq->limit)
        return; /* also if the limit is 0 */
    srq->limit = 0;
    show(srq, RVT_SRQ_LIMIT, 0);
    rvt_report_event(engine, RVT_EVENT_SRQ_LIMIT, srq->owned.serial, srq->user);
}

static struct rvt_pd *domain_of(const struct rvt_owned *owned) {
    return ((const struct rvt_srq *)owned)->pd;
}

static void fill_row(const void *object, uint64_t *out) {
    const struct rvt_srq *srq = object;
    out[RVT_SRQ_SERIAL] = srq->owned.serial;
    out[RVT_SRQ_CONTEXT] = srq->owned.context;
    out[RVT_SRQ_PD] = srq->pd->owned.serial;
    for (int field = RVT_SRQ_MAX_WR; field < RVT_SRQ_FIELDS; field++)
        out[field] = atomic_load_explicit(&srq->shown[field - RVT_SRQ_MAX_WR], memory_order_relaxed);
}

const struct rvt_object_kind rvt_srq_objects = {
    .number = RVT_RESOURCE_SRQ,
    .row_fields = RVT_SRQ_FIELDS,
    .fill_row = fill_row,
    .object_size = sizeof(struct rvt_srq),
    .end_order = RVT_END_SRQS,
    .end = end_srq,
    .domain_of = domain_of,
};
