/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/engine.h"

#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/faults.h"
#include "core/base/rvt_errno.h"
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"
#include "core/engine/extension.h"
#include "core/engine/qp_state.h"

/* --- opening --- */

static const struct rvt_extension *const extensions[] = {&rvt_engine_extension};

/* Limits on elements that the queues' code relies on. */
static int judge_limits(const struct rvt_limits *limits) {
    static const enum rvt_limit element_limits[] = {RVT_LIMIT_MAX_SEND_SGE, RVT_LIMIT_MAX_RECV_SGE,
                                                    RVT_LIMIT_MAX_SRQ_SGE};
    for (unsigned i = 0; i < sizeof(element_limits) / sizeof(element_limits[0]); i++) {
        uint32_t limit = limits->of[element_limits[i]];
        if (limit > RVT_MAX_SGE)
            return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_LIMIT, element_limits[i], limit, RVT_MAX_SGE);
    }
    return 0;
}

int rvt_register_device(const struct rvt_device_options *options, const struct rvt_engine_options *wanted,
                        struct rvt_dev_info **device) {
    struct rvt_device_options with_engine = *options;
    int error = judge_limits(&wanted->limits);
    if (error)
        return error;
    struct rvt_engine *engine = rvt_zalloc(1, sizeof(*engine));
    if (!engine)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    with_engine.extensions = extensions;
    with_engine.extension_count = sizeof(extensions) / sizeof(extensions[0]);
    error = rvt_driver_mr_init(&with_engine, device);
    if (error) {
        rvt_free(engine);
        return error;
    }
    engine->device = *device;
    engine->limits = wanted->limits;
    engine->host = wanted->host;
    engine->manual = wanted->manual;
    engine->random_qp_numbers = wanted->random_qp_numbers;
    engine->max_inline_data = with_engine.strict ? wanted->max_inline_data : UINT32_MAX;
    engine->loopback = rvt_loopback_of((*device)->faults);
    engine->last_qpn = 1; /* 0 and 1 are the subnet management's and the connection manager's */
    rvt_fifo_init(&engine->ready);
    rvt_fifo_init(&engine->timers);
    rvt_fifo_init(&engine->late);
    rvt_fifo_init(&engine->triggered);
    rvt_mutex_init(&engine->lock);
    atomic_fetch_add_explicit(&(*device)->held, sizeof(*engine), memory_order_relaxed);
    (*device)->engine = engine;
    (*device)->max_pd = wanted->limits.of[RVT_LIMIT_MAX_PD];
    return 0;
}

int rvt_engine_prepare(struct rvt_engine *engine) {
    int error = rvt_make_engine_context(engine->device);
    engine->context = engine->device->engine_context;
    return error;
}

int rvt_query_device(const struct rvt_dev_info *device, struct rvt_limits *limits) {
    if (!device->engine)
        return rvt_fail(RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    *limits = device->engine->limits;
    return 0;
}

bool rvt_engine_is_manual(const struct rvt_dev_info *device) {
    return device->engine && device->engine->manual;
}

struct rvt_engine *rvt_engine_of_pd(struct rvt_pd_handle pd, int *error) {
    struct rvt_engine *engine = pd.pd ? pd.pd->owned.device->engine : NULL;
    *error = 0;
    if (!pd.pd)
        *error = rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    else if (!engine)
        *error = rvt_fail(RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    return engine;
}

/* --- the engine lock --- */

void rvt_engine_lock(struct rvt_engine *engine) {
    atomic_fetch_add_explicit(&engine->waiting, 1, memory_order_relaxed);
    rvt_mutex_lock(&engine->lock);
    atomic_fetch_sub_explicit(&engine->waiting, 1, memory_order_relaxed);
}

void rvt_engine_open_section(struct rvt_engine *engine) {
    rvt_data_call_begin(&engine->call, engine->context->reader, rvt_thread_environment());
    engine->section++;
    rvt_data_call_enter(&engine->call, &engine->device->retirement);
    engine->in_section = true;
}

bool rvt_engine_yield(struct rvt_engine *engine) {
    if (!atomic_load_explicit(&engine->waiting, memory_order_relaxed))
        return false;
    rvt_engine_leave(engine);
    rvt_mutex_unlock(&engine->lock);
    rvt_yield();
    rvt_engine_lock(engine);
    return true;
}

/* --- events --- */

void rvt_report_event(struct rvt_engine *engine, enum rvt_event_kind kind, uint64_t object, void *user) {
    if (engine->host.event)
        engine->host.event(kind, object, user, engine->host.data);
}

/* Reports the completion queues that were triggered, in order: completion handlers run at the end of an
 * operation. */
static void report_triggered(struct rvt_engine *engine) {
    while (engine->triggered.first) {
        struct rvt_cq *cq = RVT_LIST_ENTRY(engine->triggered.first, struct rvt_cq, in_triggered);
        rvt_fifo_remove(&engine->triggered, &cq->in_triggered);
        rvt_report_event(engine, RVT_EVENT_COMPLETION, cq->owned.serial, cq->user);
    }
}

/* --- running --- */

void rvt_make_ready(struct rvt_engine_qp *qp) {
    rvt_fifo_append(&qp->engine->ready, &qp->in_ready);
}

void rvt_make_unready(struct rvt_engine_qp *qp) {
    rvt_fifo_remove(&qp->engine->ready, &qp->in_ready);
}

/* Returns the queue pair of a link in the list of ready queue pairs, or of timers; NULL for NULL. */
static struct rvt_engine_qp *ready_qp(struct rvt_link *link) {
    return link ? RVT_LIST_ENTRY(link, struct rvt_engine_qp, in_ready) : NULL;
}
static struct rvt_engine_qp *timed_qp(struct rvt_link *link) {
    return link ? RVT_LIST_ENTRY(link, struct rvt_engine_qp, in_timers) : NULL;
}

/* Returns the completion queue of a link in the list of those with late completions. */
static struct rvt_cq *late_cq(struct rvt_link *link) {
    return RVT_LIST_ENTRY(link, struct rvt_cq, late.in_late);
}

/* Works on one queue pair. Pins it, because another thread may destroy it during a yield. */
static void work_on(struct rvt_engine_qp *qp) {
    rvt_pin_qp(qp);
    qp->engine->current = qp;
    qp->carrier->work(qp);
    qp->engine->current = NULL;
    rvt_show_queues(qp);
    rvt_unpin_qp(qp);
}

/* Works until no queue pair is ready. Does nothing if another thread already works through the ready queue
 * pairs: that thread continues until none is left. */
static void run(struct rvt_engine *engine) {
    if (engine->running || !engine->ready.first)
        return;
    /* Keep the failure that the caller's verb may have recorded. Completions report what fails here. */
    struct rvt_failure kept;
    rvt_take_failure(&kept);
    engine->running = true;
    struct rvt_engine_qp *qp;
    while ((qp = ready_qp(engine->ready.first))) {
        rvt_make_unready(qp);
        work_on(qp);
        rvt_engine_pass(engine);
        (void)rvt_engine_yield(engine);
    }
    engine->running = false;
    rvt_restore_failure(&kept);
}

void rvt_engine_finish(struct rvt_engine *engine) {
    if (!engine->manual)
        run(engine);
    rvt_engine_leave(engine);
    report_triggered(engine);
    rvt_mutex_unlock(&engine->lock);
}

int rvt_run_engine(struct rvt_dev_info *device) {
    struct rvt_engine *engine = device->engine;
    if (!engine)
        return rvt_fail(RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    rvt_engine_lock(engine);
    run(engine);
    rvt_engine_finish(engine);
    return 0;
}

int rvt_kick_qp(struct rvt_qp_handle handle) {
    int error;
    struct rvt_engine_qp *qp = rvt_lock_engine_qp(handle, &error);
    if (!qp)
        return error;
    rvt_make_ready(qp);
    rvt_engine_finish(qp->engine);
    return 0;
}

/* --- timers --- */

void rvt_start_timer(struct rvt_engine_qp *qp, uint32_t usec) {
    struct rvt_engine *engine = qp->engine;
    rvt_stop_timer(qp); /* one that was started before an error may still run */
    qp->timer_usec = usec;
    qp->timer_counts = false;
    rvt_fifo_append(&engine->timers, &qp->in_timers);
    rvt_report_event(engine, RVT_EVENT_TIMER, qp->serial, qp->user);
}

void rvt_stop_timer(struct rvt_engine_qp *qp) {
    rvt_fifo_remove(&qp->engine->timers, &qp->in_timers);
}

static void fire(struct rvt_engine_qp *qp) {
    rvt_stop_timer(qp);
    if (!qp->waiting_rnr)
        return; /* the queue pair went into error while the timer ran */
    qp->waiting_rnr = false;
    rvt_make_ready(qp);
}

uint32_t rvt_fire_timers(struct rvt_dev_info *device, void (*fired)(void *data, uint64_t qp, uint32_t usec),
                         void *data) {
    struct rvt_engine *engine = device->engine;
    uint32_t count = 0;
    if (!engine)
        return 0;
    rvt_engine_lock(engine);
    /* Firing only makes queue pairs ready, so no timer is started meanwhile and the loop ends. */
    for (struct rvt_engine_qp *qp; (qp = timed_qp(engine->timers.first)); count++) {
        if (fired)
            fired(data, qp->serial, qp->timer_usec);
        fire(qp);
    }
    while (engine->late.first)
        rvt_show_late(engine, late_cq(engine->late.first), true);
    rvt_engine_finish(engine);
    return count;
}

/* Starts counting for timers that were started since the last call, and returns when the next one is due. */
static uint64_t next_deadline(struct rvt_engine *engine, uint64_t now) {
    uint64_t next = UINT64_MAX;
    for (struct rvt_link *link = engine->timers.first; link; link = link->next) {
        struct rvt_engine_qp *qp = timed_qp(link);
        if (!qp->timer_counts) {
            qp->timer_counts = true;
            qp->timer_deadline = now + qp->timer_usec;
        }
        if (qp->timer_deadline < next)
            next = qp->timer_deadline;
    }
    for (struct rvt_link *link = engine->late.first; link; link = link->next) {
        struct rvt_late_completions *late = &late_cq(link)->late;
        if (!late->counts) {
            late->counts = true;
            late->deadline = now + engine->device->faults->options.rules[RVT_FAULT_SLOW].value;
        }
        if (late->deadline < next)
            next = late->deadline;
    }
    return next;
}

/* Shows the late completions whose time is over. Those whose time begins now are at the end of the list. */
static void show_late(struct rvt_engine *engine, uint64_t now) {
    for (struct rvt_link *link = engine->late.first, *next; link; link = next) {
        struct rvt_cq *cq = late_cq(link);
        next = link->next;
        if (cq->late.counts && cq->late.deadline <= now)
            rvt_show_late(engine, cq, false);
    }
}

uint64_t rvt_progress(struct rvt_dev_info *device, uint64_t now) {
    struct rvt_engine *engine = device->engine;
    if (!engine)
        return UINT64_MAX;
    rvt_engine_lock(engine);
    (void)next_deadline(engine, now);
    for (struct rvt_link *link = engine->timers.first, *next; link; link = next) {
        struct rvt_engine_qp *qp = timed_qp(link);
        next = link->next;
        if (qp->timer_deadline <= now)
            fire(qp);
    }
    show_late(engine, now);
    run(engine);
    uint64_t next = next_deadline(engine, now);
    rvt_engine_finish(engine);
    return next;
}

void rvt_count_completions(struct rvt_dev_info *device, struct rvt_completion_counts *counts) {
    *counts = (struct rvt_completion_counts){0};
    if (!device->engine)
        return;
    rvt_engine_lock(device->engine);
    *counts = device->engine->completions;
    rvt_engine_finish(device->engine);
}

/* --- regions and queue pairs that end --- */

void rvt_mark_engine(struct rvt_engine *engine) {
    atomic_store_explicit(&engine->marked, true, memory_order_relaxed);
}

/* Called with the device lock held, so it only leaves a mark. */
static void mark_released_region(struct rvt_owned *owned) {
    struct rvt_engine *engine = owned->device->engine;
    const struct rvt_ucontext *context = owned->device->engine_context;
    if (!context)
        return; /* no queue was ever created, so the engine holds no reference */
    /* Another thread may be taking or putting references. One that is taken after this load was judged before
     * the key ended, so the verb finds it in the count and answers -EBUSY; called again, it flushes it. */
    struct rvt_mregion *mr = (struct rvt_mregion *)owned;
    const _Atomic(int64_t) *count = rvt_held_count(&context->held, owned->object.index);
    if (!count || rvt_mr_has_one_word(mr) ? rvt_mr_held(mr) != 0
                                          : atomic_load_explicit(count, memory_order_acquire) != 0) {
        engine->released++;
        engine->last_released = (struct rvt_mr_handle){mr, rvt_object_generation(&mr->owned.object)};
        rvt_mark_engine(engine);
    }
}

/* Called with the device lock held: the queue pair's handles go stale now, and rvt_drain_engine() does the
 * rest. */
static void mark_ended_qp(struct rvt_owned *owned) {
    struct rvt_qp *object = (struct rvt_qp *)owned;
    struct rvt_engine_qp *qp = atomic_load_explicit(&object->engine, memory_order_relaxed);
    if (!qp)
        return;
    qp->next_orphan = qp->engine->orphans;
    qp->engine->orphans = qp;
    rvt_mark_engine(qp->engine);
}

/* Returns whether the element holds a region of the domain (NULL: of any domain) that was released. Key 0 does not
 * count: the kernel does not look for queue pairs that use a DMA region. Nor does it look at queue pairs of other
 * domains, which can hold the region by a shared receive queue. */
static bool is_released(const struct rvt_sge *sge, const struct rvt_pd *pd) {
    return sge->mr && !rvt_sge_key_zero(sge) && (!pd || sge->mr->pd == pd) &&
           atomic_load_explicit(&sge->mr->word, memory_order_acquire) & (RVT_MR_REVOKED | RVT_MR_FORCED);
}

/* Returns whether a queued send, or the receive in hand of a datagram or of a message that arrives in packets, holds a
 * region that was released. Loopback holds the receive in hand of RC and UC only while it carries a request out. A
 * message in packets can hold it for as long as the peer likes, so there it counts in whatever domain it is. */
static bool holds_released_region(const struct rvt_engine_qp *qp) {
    for (uint32_t i = 0; i < qp->sq.count; i++) {
        const struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, i);
        for (uint32_t k = 0; k < wqe->num_sge; k++)
            if (is_released(&wqe->sges[k], qp->pd))
                return true;
    }
    const bool in_packets = qp->carrier != qp->engine->loopback;
    if (!in_packets && qp->type != RVT_QPT_UD)
        return false;
    for (uint32_t k = 0; k < qp->in_hand.num_sge; k++)
        if (is_released(&qp->in_hand.sges[k], in_packets ? NULL : qp->pd))
            return true;
    return false;
}

/* Puts queue pairs that hold a released region into error, in the kernel's order. */
static void error_holders(struct rvt_engine *engine) {
    const struct rvt_why why = rvt_because(RVT_WHY_REGION_RELEASED);
    for (uint32_t bucket = 0; bucket < RVT_QP_BUCKETS; bucket++) {
        for (struct rvt_link *link = engine->table.buckets[bucket]; link; link = link->next) {
            struct rvt_engine_qp *qp = RVT_LIST_ENTRY(link, struct rvt_engine_qp, in_bucket);
            if (qp->attr.state != RVT_QPS_ERR && holds_released_region(qp))
                rvt_error_qp_and_report(qp, RVT_WC_STATUS_LOC_PROT_ERR, &why);
        }
    }
}

/* Returns whether references on a region that was released are left. One that was ended by force counts. */
static bool is_still_held(struct rvt_dev_info *device, struct rvt_mr_handle handle) {
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    bool held = !mr || rvt_mr_held(mr) != 0;
    rvt_mutex_unlock(&device->lock);
    return held;
}

/* Flushes a queue pair if it is in error. */
static void flush_if_failed(struct rvt_engine_qp *qp) {
    const struct rvt_why flushed = rvt_because(RVT_WHY_FLUSHED);
    if (qp->attr.state != RVT_QPS_ERR)
        return;
    rvt_make_unready(qp);
    rvt_flush_swqes(qp, &flushed);
    qp->rnr_left = qp->attr.rnr_retry;
    rvt_show_queues(qp); /* the thread that runs the engine may never come to this queue pair */
}

/* Flushes the queue pairs in error while another thread runs the engine and may be in the middle of a long
 * request or of flushing a long queue. Never releases the engine lock: only the runner may carry out
 * requests. */
static void flush_failed(struct rvt_engine *engine) {
    if (engine->current)
        flush_if_failed(engine->current);
    for (struct rvt_link *link = engine->ready.first, *next; link; link = next) {
        next = link->next;
        flush_if_failed(ready_qp(link));
    }
}

/* Frees the engine's part of queue pairs, shared receive queues and completion queues whose objects have
 * ended. Never releases the engine lock. */
static void end_marked(struct rvt_engine *engine, struct rvt_engine_qp *qps, struct rvt_srq *srqs,
                       struct rvt_cq *cqs) {
    while (qps) {
        struct rvt_engine_qp *qp = qps;
        qps = qp->next_orphan;
        rvt_end_engine_qp(qp);
    }
    /* Queue pairs end before the queues that they use, so nothing points to these any more; except that a
     * shared receive queue can end with its domain while queue pairs of other domains use it. */
    while (srqs) {
        struct rvt_srq *srq = srqs;
        srqs = srq->next_ended;
        rvt_free_ended_srq(srq);
    }
    while (cqs) {
        struct rvt_cq *cq = cqs;
        cqs = cq->next_ended;
        rvt_free_ended_cq(engine, cq);
    }
}

void rvt_drain_engine(struct rvt_dev_info *device) {
    struct rvt_engine *engine = device->engine;
    if (!engine)
        return;
    /* A verb that left no mark must not wait for a thread that runs the engine. */
    if (!atomic_load_explicit(&engine->marked, memory_order_relaxed))
        return;
    rvt_engine_lock(engine);
    rvt_mutex_lock(&device->lock);
    const uint64_t released = engine->released;
    const struct rvt_mr_handle last = engine->last_released;
    struct rvt_engine_qp *qps = engine->orphans;
    struct rvt_srq *srqs = engine->ended_srqs;
    struct rvt_cq *cqs = engine->ended_cqs;
    engine->released = 0;
    engine->orphans = NULL;
    engine->ended_srqs = NULL;
    engine->ended_cqs = NULL;
    rvt_mutex_unlock(&device->lock);
    end_marked(engine, qps, srqs, cqs);
    rvt_engine_leave(engine); /* what follows looks at every queue pair */
    if (released)
        error_holders(engine);
    /* Also in the manual mode: flushing puts the references that the verb waits for. */
    if (engine->running)
        flush_failed(engine);
    else if (released > 1 || (released && is_still_held(device, last)))
        run(engine);
    /* Only now: a thread that still sees the mark waits for the engine lock, so it does not return before its
     * own marks were acted on, even if this thread found them. If this thread is still in run() then, that
     * thread flushes the queue pairs in error itself. */
    rvt_mutex_lock(&device->lock);
    if (!engine->released && !engine->orphans && !engine->ended_srqs && !engine->ended_cqs)
        atomic_store_explicit(&engine->marked, false, memory_order_relaxed);
    rvt_mutex_unlock(&device->lock);
    rvt_engine_finish(engine);
}

/* The device structure is freed, so no handle and no object is left. */
static void destroy(struct rvt_dev_info *device) {
    struct rvt_engine *engine = device->engine;
    if (!engine)
        return;
    rvt_drain_engine(device);
    rvt_qp_table_free(device, &engine->table);
    rvt_free_engine_context(device);
    rvt_mutex_destroy(&engine->lock);
    rvt_free(engine);
    device->engine = NULL;
}

static const struct rvt_object_kind *const kinds[] = {&rvt_cq_objects, &rvt_srq_objects, &rvt_ah_objects};

static const struct rvt_release_hook hooks[] = {
    {.kind = RVT_RESOURCE_MR, .releasing = mark_released_region, .releasing_again = mark_released_region},
    {.kind = RVT_RESOURCE_QP, .releasing = mark_ended_qp},
};

const struct rvt_extension rvt_engine_extension = {
    .kinds = kinds,
    .kind_count = sizeof(kinds) / sizeof(kinds[0]),
    .hooks = hooks,
    .hook_count = sizeof(hooks) / sizeof(hooks[0]),
    .drain = rvt_drain_engine,
    .destroy = destroy,
};
