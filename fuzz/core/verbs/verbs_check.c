/* SPDX-License-Identifier: BSD-3-Clause */
/* The invariants, which are checked after each operation. What is compared with the core's own structures is
 * compared with every other place where the same fact is stored or can be counted. */
#include <inttypes.h>
#include <string.h>

#include "core/engine/engine_qp.h"
#include "verbs_world.h"

/* --- liveness: the models still have that of before the operation --- */

static bool cq_lives(const struct cq *cq) {
    return rvt_cq_live(cq->core) != NULL;
}
static bool srq_lives(const struct srq *srq) {
    return rvt_srq_live(srq->core) != NULL;
}
static bool qp_lives(const struct qp *qp) {
    return rvt_qp_live(qp->core) != NULL;
}

static void check_end(const struct world *w, bool was, bool is, const char *kind) {
    if (was && !is && !w->ends)
        verbs_fail(w, "%s ended in an operation that ends nothing", kind);
    if (!was && is)
        verbs_fail(w, "%s that had ended is alive", kind);
}

/* --- completions --- */

static int find_qp(const struct world *w, int device, uint64_t serial) {
    for (int i = 0; i < w->qp_count; i++)
        if (w->qps[i].device == device && w->qps[i].serial == serial)
            return i;
    verbs_fail(w, "there has been no queue pair with serial number %" PRIu64, serial);
}

static uint32_t wc_opcode(uint32_t opcode) {
    switch (opcode) {
    case RVT_WR_RDMA_WRITE:
    case RVT_WR_RDMA_WRITE_WITH_IMM:
        return RVT_WC_OPCODE_RDMA_WRITE;
    case RVT_WR_RDMA_READ:
        return RVT_WC_OPCODE_RDMA_READ;
    case RVT_WR_ATOMIC_CMP_AND_SWP:
        return RVT_WC_OPCODE_COMP_SWAP;
    case RVT_WR_ATOMIC_FETCH_AND_ADD:
        return RVT_WC_OPCODE_FETCH_ADD;
    case RVT_WR_LOCAL_INV:
        return RVT_WC_OPCODE_LOCAL_INV;
    case RVT_WR_REG_MR:
        return RVT_WC_OPCODE_REG_MR;
    case RVT_WR_BIND_MW:
        return RVT_WC_OPCODE_BIND_MW;
    default:
        return RVT_WC_OPCODE_SEND;
    }
}

/* Each accepted work request completes at most once, in the order of its queue, in the queue pair's completion
 * queue. */
static void see_completion(struct world *w, int cq, const struct rvt_wc *wc) {
    int qp = find_qp(w, w->cqs[cq].device, wc->qp);
    struct qp *model = &w->qps[qp];
    uint64_t index = wc->wr_id - WR_ID(0);
    if (index >= (uint64_t)w->work_count)
        verbs_fail(w, "no work request has the id 0x%" PRIx64, wc->wr_id);
    struct work *work = &w->works[index];
    const bool failed = wc->status != RVT_WC_STATUS_SUCCESS;
    verbs_say(w,
              "\n      completion of %" PRIu64 ": status %" PRIu32 ", cause %" PRIu32 ", %" PRIu32 " bytes",
              index, wc->status, wc->cause, wc->byte_len);
    verbs_note(14000 + (wc->opcode % 32 * 16 + wc->status) * 2 + (model->type == RVT_QPT_RC));
    EXPECT(w, "the number of the queue pair", wc->qp_num, model->qpn);
    if (work->dropped)
        verbs_fail(w, "work request %" PRIu64 " completes although it was refused or dropped", index);
    if (work->completions++)
        verbs_fail(w, "work request %" PRIu64 " completes twice", index);
    if (work->receive) {
        if (work->qp != qp && (work->srq == NONE || work->srq != model->srq))
            verbs_fail(w, "the receive was posted to another queue");
        EXPECT(w, "the completion queue", cq, model->recv_cq);
        if (wc->opcode != RVT_WC_OPCODE_RECV && wc->opcode != RVT_WC_OPCODE_RECV_RDMA_WITH_IMM)
            verbs_fail(w, "the opcode of a receive is %" PRIu32, wc->opcode);
        if (failed)
            EXPECT(w, "the length of a receive that failed", wc->byte_len, 0);
        if (work->list <= model->receives_completed)
            verbs_fail(w, "a receive overtook another");
        model->receives_completed = work->list;
    } else {
        EXPECT(w, "the queue pair", work->qp, qp);
        EXPECT(w, "the completion queue", cq, model->send_cq);
        EXPECT(w, "the opcode", wc->opcode, wc_opcode(work->opcode));
        EXPECT(w, "the length", wc->byte_len, work->length);
        if (!failed && !work->must_complete)
            verbs_fail(w, "a work request that is not signaled completed with success");
        if (failed && model->type == RVT_QPT_UD && wc->status != RVT_WC_STATUS_WR_FLUSH_ERR)
            verbs_fail(w, "a datagram failed with status %" PRIu32, wc->status);
        if (work->list <= model->sends_completed)
            verbs_fail(w, "a send overtook another");
        model->sends_completed = work->list;
    }
    if (wc->status >= RVT_WC_STATUS_COUNT ||
        (wc->status == RVT_WC_STATUS_LOC_LEN_ERR && !w->devices[model->device].core->rkey_mask))
        verbs_fail(w, "the status is %" PRIu32, wc->status);
    if (failed && !wc->cause)
        verbs_fail(w, "a completion failed without a cause");
    if (!failed && wc->cause && model->type != RVT_QPT_UC)
        verbs_fail(w, "a completion succeeded with cause %" PRIu32, wc->cause);
    if (wc->refused.reason >= RVT_REASON_COUNT)
        verbs_fail(w, "the reason is %" PRIu32, wc->refused.reason);
    w->devices[model->device].seen[wc->status]++;
}

static uint32_t count_events(const struct world *w, enum rvt_event_kind kind, const void *user) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->event_count; i++)
        count += w->events[i].kind == kind && w->events[i].user == user;
    return count;
}

static void check_cq(struct world *w, int cq) {
    struct cq *model = &w->cqs[cq];
    const struct rvt_cq *core = model->core.cq;
    const uint32_t events = count_events(w, RVT_EVENT_COMPLETION, model);
    const bool told = w->devices[model->device].told;
    bool failed = false, sends_only = true;
    check_end(w, model->alive, cq_lives(model), "a completion queue");
    if (events && (!model->alive || !model->arming || events > 1))
        verbs_fail(w, "%" PRIu32 " completions were reported, the arming was %" PRIu32, events,
                   model->arming);
    if (model->ring)
        verbs_check_ring(w, model->ring, !cq_lives(model));
    if (!cq_lives(model)) {
        if (model->ring)
            EXPECT(w, "ENDED", atomic_load(verbs_ring_word(model->ring, RVT_RING_ENDED)), 1);
        return;
    }
    if (model->ring) {
        /* Every completion that has left the queue must have been taken. */
        uint32_t left = core->head - core->count - model->tail;
        if (left > model->held)
            verbs_fail(w, "completions left a ring that were not taken");
        model->held -= left;
        model->tail += left;
        EXPECT(w, "HEAD", atomic_load(verbs_ring_word(model->ring, RVT_RING_HEAD)), core->head);
        EXPECT(w, "ENDED", atomic_load(verbs_ring_word(model->ring, RVT_RING_ENDED)), 0);
    }
    if (core->count > core->capacity || !core->capacity)
        verbs_fail(w, "a queue of %" PRIu32 " holds %" PRIu32 " completions", core->capacity, core->count);
    if (core->count < model->held)
        verbs_fail(w, "completions are missing");
    /* What completed before the queue broke becomes visible in its time. */
    const uint32_t shown =
        model->broken && core->late.count < model->late ? model->late - core->late.count : 0;
    if (model->broken &&
        (!core->broken || core->count > model->held + shown || core->late.count > model->late))
        verbs_fail(w, "a broken queue works");
    if (core->count + core->late.count > core->capacity)
        verbs_fail(w, "late completions have no room");
    for (uint32_t i = model->held; i < core->count; i++) {
        const struct rvt_wc *wc = &core->entries[(core->first + (uint64_t)i) % core->capacity];
        failed = failed || wc->status;
        sends_only = sends_only && wc->opcode < RVT_WC_OPCODE_RECV;
        see_completion(w, cq, wc);
    }
    const bool due = core->count > model->held &&
                     (model->arming & RVT_NOTIFY_NEXT || (model->arming == RVT_NOTIFY_SOLICITED && failed));
    if (told && due && !events)
        verbs_fail(w, "a completion was not reported");
    if (events && core->count == model->held)
        verbs_fail(w, "a completion was reported that is not there");
    if (events && model->arming == RVT_NOTIFY_SOLICITED && sends_only && !failed)
        verbs_fail(w, "a completion was reported that is not solicited");
    if (events || due)
        model->arming = 0;
    if (told)
        EXPECT(w, "the arming", core->arming, model->arming);
    model->arming = core->arming;
    if (core->broken && !model->broken && told && !count_events(w, RVT_EVENT_CQ_ERR, model))
        verbs_fail(w, "an overflow was not reported");
    if (count_events(w, RVT_EVENT_CQ_ERR, model) && !core->broken)
        verbs_fail(w, "an overflow was reported, but the queue is not broken");
    if (rvt_list_has(&core->in_triggered))
        verbs_fail(w, "a triggered queue was not reported");
    model->held = core->count;
    model->late = core->late.count;
    model->broken = core->broken;

    struct rvt_cq_attr attr;
    if (!verbs_taken(
            model)) { /* otherwise the query would notice what was taken, and later operations must */
        EXPECT(w, "query_cq", rvt_query_cq(model->core, &attr), 0);
        EXPECT(w, "cqe", attr.cqe, core->capacity);
        EXPECT(w, "held", attr.held, core->count);
        EXPECT(w, "broken", attr.broken, core->broken);
    }
    uint32_t users = 0;
    for (int i = 0; i < w->qp_count; i++)
        users += qp_lives(&w->qps[i]) && (w->qps[i].send_cq == cq || w->qps[i].recv_cq == cq);
    EXPECT(w, "queue pairs that use a completion queue", core->users, users);
}

/* --- queues of work requests --- */

static bool broken(const struct world *w, int cq) {
    return cq == NONE || w->cqs[cq].broken || !cq_lives(&w->cqs[cq]);
}

/* Returns whether any completion queue of a queue pair with this shared queue may have lost a receive. */
static bool broken_behind(const struct world *w, int srq) {
    for (int i = 0; i < w->qp_count; i++)
        if (w->qps[i].srq == srq && broken(w, w->qps[i].recv_cq))
            return true;
    return false;
}

static int work_of(const struct world *w, uint64_t wr_id) {
    if (wr_id - WR_ID(0) >= (uint64_t)w->work_count)
        verbs_fail(w, "a queue holds the id 0x%" PRIx64, wr_id);
    return (int)(wr_id - WR_ID(0));
}

static void drop_all(struct world *w, struct works *works) {
    for (; works->first != NONE; works->first = w->works[works->first].next)
        w->works[works->first].dropped = true;
}

/* Compares what a core's queue holds, `count` ids, with the end of the model's queue. What has left it has
 * completed, or `left` says whether it may be missing. */
static void compare_queue(struct world *w, struct works *works, const uint64_t *ids, uint32_t count,
                          bool (*may_be_missing)(const struct world *w, int owner, const struct work *work),
                          int owner) {
    int keep = count ? work_of(w, ids[0]) : NONE;
    while (works->first != keep) {
        if (works->first == NONE)
            verbs_fail(w, "work request %d is queued, but not where it was posted", keep);
        struct work *work = &w->works[works->first];
        if (!work->completions && !may_be_missing(w, owner, work))
            verbs_fail(w, "work request %d left its queue without a completion", works->first);
        work->left = true;
        works->first = work->next;
    }
    int at = works->first;
    for (uint32_t i = 0; i < count; i++, at = w->works[at].next)
        if (at == NONE || at != work_of(w, ids[i]))
            verbs_fail(w, "the queue does not hold what was posted to it, in order");
    if (at != NONE)
        verbs_fail(w, "work request %d is not in its queue", at);
}

enum { MOST_QUEUED = 256 };

/* Returns whether the completion of a work request waits to become visible, because of a fault. */
static bool is_late(const struct world *w, int cq, const struct work *work) {
    const struct cq *model = cq == NONE ? NULL : &w->cqs[cq];
    if (!model || !cq_lives(model))
        return false;
    for (const struct rvt_late_completion *late = model->core.cq->late.first; late; late = late->next)
        if (late->entry.wr_id == WR_ID(work - w->works))
            return true;
    return false;
}

/* The same of a receive of a shared queue, whatever queue pair has taken it. */
static bool is_late_anywhere(const struct world *w, const struct work *work) {
    for (int i = 0; i < w->cq_count; i++)
        if (is_late(w, i, work))
            return true;
    return false;
}

static bool send_may_be_missing(const struct world *w, int qp, const struct work *work) {
    return is_late(w, w->qps[qp].send_cq, work) || !work->must_complete || w->reset == qp ||
           broken(w, w->qps[qp].send_cq);
}

static bool in_hand(const struct world *w, const struct work *work) {
    for (int i = 0; i < w->qp_count; i++) {
        const struct rvt_engine_qp *core = verbs_engine_qp(w, i);
        if (core && core->in_hand.there && core->in_hand.wr_id == WR_ID(work - w->works))
            return true;
    }
    return false;
}

static bool receive_may_be_missing(const struct world *w, int qp, const struct work *work) {
    return in_hand(w, work) || is_late(w, w->qps[qp].recv_cq, work) || broken(w, w->qps[qp].recv_cq) ||
           w->reset == qp;
}

static bool shared_may_be_missing(const struct world *w, int srq, const struct work *work) {
    return in_hand(w, work) || is_late_anywhere(w, work) || broken_behind(w, srq) || w->ends ||
           (w->reset != NONE && w->qps[w->reset].srq == srq);
}

static uint32_t list_receives(const struct world *w, const struct rvt_recv_queue *queue, uint64_t *ids) {
    if (queue->count > queue->max_wr || queue->count > MOST_QUEUED)
        verbs_fail(w, "a queue of %" PRIu32 " holds %" PRIu32 " receives", queue->max_wr, queue->count);
    for (uint32_t i = 0; i < queue->count; i++)
        ids[i] = queue->wqes[(queue->first + (uint64_t)i) % queue->max_wr].wr_id;
    return queue->count;
}

/* Follows the receive that a datagram queue pair has in hand between two messages. */
static void check_in_hand(struct world *w, int qp, const struct rvt_engine_qp *core) {
    struct qp *model = &w->qps[qp];
    int now = core && core->in_hand.there ? work_of(w, core->in_hand.wr_id) : NONE;
    if (now != NONE && model->type != RVT_QPT_UD)
        verbs_fail(w, "a connected queue pair has a receive in hand");
    if (now != NONE && w->works[now].completions)
        verbs_fail(w, "the receive in hand has completed");
    if (model->in_hand != NONE && model->in_hand != now) {
        struct work *work = &w->works[model->in_hand];
        if (!work->completions && core && w->reset != qp && !broken(w, model->recv_cq) &&
            !is_late(w, model->recv_cq, work))
            verbs_fail(w, "the receive in hand is gone without a completion");
        work->dropped = true;
    }
    model->in_hand = now;
}

static void check_qp(struct world *w, int qp) {
    struct qp *model = &w->qps[qp];
    const struct rvt_engine_qp *core = verbs_engine_qp(w, qp);
    const uint32_t last_wqes = count_events(w, RVT_EVENT_LAST_WQE, model),
                   timers = count_events(w, RVT_EVENT_TIMER, model);
    uint64_t ids[MOST_QUEUED];
    check_end(w, model->alive, qp_lives(model), "a queue pair");
    if (last_wqes && (!model->alive || model->srq == NONE || last_wqes > 1 ||
                      (core && core->attr.state != RVT_QPS_ERR && w->reset != qp)))
        verbs_fail(w, "the last WQE was reported %" PRIu32 " times", last_wqes);
    if (timers && (!model->alive || model->type != RVT_QPT_RC || timers > 1u + w->interrupt.done))
        verbs_fail(w, "%" PRIu32 " timers were reported", timers);
    check_in_hand(w, qp, core);
    if (!core) {
        if (qp_lives(model) && model->has_queues)
            verbs_fail(w, "a queue pair has lost its queues");
        drop_all(w, &model->sends);
        drop_all(w, &model->receives);
        return;
    }
    const uint32_t state = core->attr.state;
    if (core->sq.count > core->sq.max_wr || core->sq.count > MOST_QUEUED)
        verbs_fail(w, "a queue of %" PRIu32 " holds %" PRIu32 " sends", core->sq.max_wr, core->sq.count);
    for (uint32_t i = 0; i < core->sq.count; i++)
        ids[i] = rvt_sq_at(&core->sq, i)->wr_id;
    if (w->reset == qp)
        drop_all(w, &model->sends);
    compare_queue(w, &model->sends, ids, core->sq.count, send_may_be_missing, qp);
    uint32_t receives = list_receives(w, &core->rq, ids);
    compare_queue(w, &model->receives, ids, receives, receive_may_be_missing, qp);

    const bool was_up = model->state != RVT_QPS_RESET && model->state != RVT_QPS_ERR;
    if (state != model->state && state != RVT_QPS_ERR && w->modified != qp && w->code != VERB_CONNECT &&
        w->code != VERB_SCENE)
        verbs_fail(w, "the state changed from %" PRIu32 " to %" PRIu32, model->state, state);
    if (state == RVT_QPS_ERR && was_up && model->srq != NONE && !last_wqes &&
        w->devices[model->device].told && !broken(w, model->send_cq) && !broken(w, model->recv_cq))
        verbs_fail(w, "the last WQE was not reported");
    /* A queue pair that is kicked in RESET is ready as well. */
    if (state == RVT_QPS_RESET && (core->sq.count || rvt_list_has(&core->in_timers) || core->waiting_rnr ||
                                   (w->reset == qp && rvt_list_has(&core->in_ready))))
        verbs_fail(w, "a queue pair in RESET has work");
    if (state == RVT_QPS_ERR && (receives || core->in_hand.there || core->waiting_rnr))
        verbs_fail(w, "a queue pair in ERR has receives or waits");
    if (state == RVT_QPS_ERR && core->sq.count && !rvt_list_has(&core->in_ready))
        verbs_fail(w, "a queue pair in ERR has sends and is not ready");
    if (state < RVT_QPS_RTS && core->sq.count)
        verbs_fail(w, "a queue pair below RTS has sends");
    if (rvt_list_has(&core->in_bucket) != (state != RVT_QPS_RESET))
        verbs_fail(w, "whether a queue pair in state %" PRIu32 " can be found is wrong", state);
    if (core->waiting_rnr && !rvt_list_has(&core->in_timers))
        verbs_fail(w, "a queue pair waits without a timer");
    if (core->pins || core->ended)
        verbs_fail(w, "a queue pair is pinned");
    if (core->rnr_left > 7)
        verbs_fail(w, "%" PRIu32 " retries are left", core->rnr_left);
    model->state = state;

    struct rvt_qp_query query;
    EXPECT(w, "query_qp", rvt_query_qp(model->core, &query), 0);
    EXPECT(w, "sends", query.sends, core->sq.count);
    EXPECT(w, "receives", query.receives, core->rq.count);
    EXPECT(w, "state", query.attr.state, state);
    EXPECT(w, "qpn", query.qpn, model->qpn);
    EXPECT(w, "type", query.type, model->type);
}

static void check_srq(struct world *w, int srq) {
    struct srq *model = &w->srqs[srq];
    const struct rvt_srq *core = model->core.srq;
    const uint32_t limits = count_events(w, RVT_EVENT_SRQ_LIMIT, model);
    uint64_t ids[MOST_QUEUED];
    check_end(w, model->alive, srq_lives(model), "a shared receive queue");
    if (limits && (!model->alive || !model->limit || limits > 1))
        verbs_fail(w, "the limit %" PRIu32 " was reported %" PRIu32 " times", model->limit, limits);
    if (!srq_lives(model)) {
        /* Receives that a queue pair has taken can still complete. */
        for (int i = model->works.first; i != NONE; i = w->works[i].next)
            w->works[i].dropped = !in_hand(w, &w->works[i]);
        model->works.first = NONE;
        return;
    }
    compare_queue(w, &model->works, ids, list_receives(w, &core->queue, ids), shared_may_be_missing, srq);
    if (limits && core->limit)
        verbs_fail(w, "the limit was reported, but is still there");
    if (model->limit && !core->limit && !limits && w->code != VERB_MODIFY_SRQ &&
        w->devices[model->device].told)
        verbs_fail(w, "the limit went without an event");
    model->limit = core->limit;
    uint32_t users = 0;
    for (int i = 0; i < w->qp_count; i++)
        users += qp_lives(&w->qps[i]) && w->qps[i].srq == srq;
    EXPECT(w, "queue pairs that use a shared queue", core->users, users);
    struct rvt_srq_attr attr;
    EXPECT(w, "query_srq", rvt_query_srq(model->core, &attr), 0);
    EXPECT(w, "max_wr", attr.max_wr, core->queue.max_wr);
    EXPECT(w, "held", attr.held, core->queue.count);
    EXPECT(w, "limit", attr.limit, core->limit);
}

/* --- events --- */

#define IS_ONE_OF(pointer, array, count)                                                                     \
    ((const char *)(pointer) >= (const char *)(array) &&                                                     \
     (const char *)(pointer) < (const char *)&(array)[count])

static void check_events(const struct world *w) {
    bool completed = false;
    for (uint32_t i = 0; i < w->event_count; i++) {
        const struct event *event = &w->events[i];
        uint64_t serial = 0;
        verbs_note(13000 + (uint32_t)event->kind * 64 + w->code);
        if (event->kind == RVT_EVENT_COMPLETION)
            completed = true;
        else if (completed && w->code != VERB_SCENE && !w->interrupt.done)
            verbs_fail(w, "an event follows a completion event");
        /* A timer is a queue pair's, or that of late completions. */
        const bool late = event->kind == RVT_EVENT_TIMER && IS_ONE_OF(event->user, w->cqs, w->cq_count);
        if (event->kind == RVT_EVENT_COMPLETION || event->kind == RVT_EVENT_CQ_ERR || late) {
            if (IS_ONE_OF(event->user, w->cqs, w->cq_count))
                serial = ((const struct cq *)event->user)->serial;
        } else if (event->kind == RVT_EVENT_SRQ_LIMIT) {
            if (IS_ONE_OF(event->user, w->srqs, w->srq_count))
                serial = ((const struct srq *)event->user)->serial;
        } else if (IS_ONE_OF(event->user, w->qps, w->qp_count)) {
            serial = ((const struct qp *)event->user)->serial;
        }
        EXPECT(w, "the object of an event", event->object, serial);
    }
}

/* --- the engine --- */

static uint64_t bytes_of_receives(const struct rvt_recv_queue *queue) {
    return (uint64_t)queue->max_wr *
           (sizeof(struct rvt_rwqe) + (uint64_t)queue->max_sge * sizeof(struct rvt_ib_sge));
}

static uint64_t bytes_of_qp(const struct rvt_engine_qp *qp) {
    return sizeof(*qp) + qp->sq.max_wr * (sizeof(struct rvt_swqe) + qp->sq.max_sge * sizeof(struct rvt_sge)) +
           qp->in_hand.room * sizeof(struct rvt_sge) + bytes_of_receives(&qp->rq);
}

/* Counts references of a queue pair's elements by region. A region that was deregistered is held only by queue pairs in
 * error, by those of other domains, and through key 0. */
static void count_references(const struct world *w, const struct rvt_engine_qp *qp,
                             const struct rvt_sge *sges, uint32_t count, uint32_t *references) {
    for (uint32_t i = 0; i < count; i++) {
        if (!sges[i].mr)
            verbs_fail(w, "a queued element holds no reference");
        if (atomic_load(&sges[i].mr->word) & (RVT_MR_REVOKED | RVT_MR_FORCED) &&
            !rvt_sge_key_zero(&sges[i]) && sges[i].mr->pd == qp->pd && qp->attr.state != RVT_QPS_ERR)
            verbs_fail(w, "a queue pair that holds a deregistered region is in state %d",
                       (int)qp->attr.state);
        for (int k = 0; k < w->mr_count; k++)
            if (w->mrs[k].core.mr == sges[i].mr && rvt_mr_live(w->mrs[k].core))
                references[k]++;
    }
}

/* Counts the links of a list, and checks that they are joined. */
static uint64_t count_links(struct world *w, const struct rvt_fifo *fifo) {
    struct rvt_link *const *end = &fifo->first;
    uint64_t count = 0;
    for (; *end; end = &(*end)->next, count++)
        if ((*end)->at != end)
            verbs_fail(w, "a list of the engine is broken");
    if (fifo->end != end)
        verbs_fail(w, "a list of the engine has a wrong end");
    return count;
}

static void check_engine(struct world *w, int device, uint32_t *references) {
    struct device *model = &w->devices[device];
    struct rvt_engine *engine = model->core->engine;
    uint32_t qps = 0, ready = 0, timers = 0, cqs = 0, srqs = 0, ahs = 0, expected = 0;
    uint64_t bytes = sizeof(*engine) + engine->table.size * sizeof(*engine->table.chains);
    const struct rvt_srq *ended[MOST_OBJECTS];
    for (uint32_t i = 0; i < engine->table.size; i++) {
        for (const struct rvt_engine_qp *qp = engine->table.chains[i]; qp; qp = qp->next_in_chain, qps++) {
            if (verbs_engine_qp(w, find_qp(w, device, qp->serial)) != qp)
                verbs_fail(w, "the engine has a queue pair that has ended");
            ready += rvt_list_has(&qp->in_ready);
            timers += rvt_list_has(&qp->in_timers);
            bytes += bytes_of_qp(qp);
            for (uint32_t k = 0; k < qp->sq.count; k++) {
                const struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, k);
                count_references(w, qp, wqe->sges, wqe->num_sge, references);
            }
            count_references(w, qp, qp->in_hand.sges, qp->in_hand.num_sge, references);
            uint32_t known = 0;
            while (known < srqs && ended[known] != qp->srq)
                known++;
            if (qp->srq && qp->srq->ended && known == srqs) {
                ended[srqs++] = qp->srq;
                bytes += bytes_of_receives(&qp->srq->queue);
            }
        }
    }
    for (int i = 0; i < w->qp_count; i++)
        expected += w->qps[i].device == device && w->qps[i].has_queues && qp_lives(&w->qps[i]);
    for (int i = 0; i < w->cq_count; i++)
        if (w->cqs[i].device == device && cq_lives(&w->cqs[i])) {
            if (!w->cqs[i].ring)
                bytes += w->cqs[i].core.cq->capacity * sizeof(struct rvt_wc);
            cqs++;
        }
    for (int i = 0; i < w->srq_count; i++)
        if (w->srqs[i].device == device && srq_lives(&w->srqs[i])) {
            bytes += bytes_of_receives(&w->srqs[i].core.srq->queue);
            srqs++;
        }
    for (int i = 0; i < w->ah_count; i++)
        ahs += w->ahs[i].device == device && rvt_ah_live(w->ahs[i].core) != NULL;
    EXPECT(w, "queue pairs in the table", qps, expected);
    EXPECT(w, "queue pairs of the engine", engine->qps, expected);
    EXPECT(w, "queue pairs that the table counts", engine->table.count, expected);
    EXPECT(w, "completion queues of the engine", engine->cqs, cqs);
    EXPECT(w, "shared queues of the engine", engine->srqs, srqs);
    EXPECT(w, "address handles of the engine", engine->ahs, ahs);
    EXPECT(w, "queue pairs in the ready list", count_links(w, &engine->ready), ready);
    EXPECT(w, "queue pairs in the list of timers", count_links(w, &engine->timers), timers);
    bool ran = w->device == device && (w->code == VERB_RUN || w->code == VERB_PROGRESS);
    if ((!model->manual || ran) && engine->ready.first)
        verbs_fail(w, "a queue pair is left ready");
    if (engine->running || engine->released || engine->orphans || engine->ended_cqs || engine->ended_srqs ||
        atomic_load(&engine->marked) || engine->triggered.first || atomic_load(&engine->waiting))
        verbs_fail(w, "the engine is not at rest");

    uint64_t rest = atomic_load(&model->core->held) - bytes;
    if ((w->rest == REST_STAYS && rest != model->rest) || (w->rest == REST_GROWS && rest < model->rest))
        verbs_fail(w, "the held bytes without the engine's went from %" PRIu64 " to %" PRIu64, model->rest,
                   rest);
    if (rest > (UINT64_C(1) << 40))
        verbs_fail(w, "the engine has more bytes than are held");
    model->rest = rest;

    struct rvt_completion_counts counts;
    rvt_count_completions(model->core, &counts);
    for (int i = 0; i < RVT_WC_STATUS_COUNT; i++) {
        /* Completions that went with their queue were not seen. */
        if (counts.by_status[i] < model->seen[i] || (counts.by_status[i] > model->seen[i] && !w->ends))
            verbs_fail(w, "%" PRIu64 " completions with status %d are counted, not %" PRIu64,
                       counts.by_status[i], i, model->seen[i]);
        model->seen[i] = counts.by_status[i];
    }
    uint64_t lost = 0;
    for (int i = 0; i < w->cq_count; i++)
        if (w->cqs[i].device == device)
            lost += count_events(w, RVT_EVENT_CQ_ERR, &w->cqs[i]);
    if (model->told && w->event_count < MOST_EVENTS)
        EXPECT(w, "lost completions", counts.lost - model->lost, lost);
    model->lost = counts.lost;
}

/* --- reports --- */

struct report {
    const struct world *w;
    int device;
    uint32_t rows[RVT_RESOURCE_KINDS];
    const uint32_t *references;
};

static uint32_t children_of(const struct world *w, const struct rvt_pd *pd) {
    uint32_t children = 0;
    for (int i = 0; i < w->mr_count; i++)
        children += rvt_mr_live(w->mrs[i].core) && w->mrs[i].core.mr->pd == pd;
    for (int i = 0; i < w->mw_count; i++)
        children += rvt_mw_live(w->mws[i].core) && w->mws[i].core.mw->pd == pd;
    for (int i = 0; i < w->qp_count; i++)
        children += qp_lives(&w->qps[i]) && rvt_qp_pd(w->qps[i].core.qp) == pd;
    for (int i = 0; i < w->srq_count; i++)
        children += srq_lives(&w->srqs[i]) && w->srqs[i].core.srq->pd == pd;
    for (int i = 0; i < w->ah_count; i++)
        children += rvt_ah_live(w->ahs[i].core) && w->ahs[i].core.ah->pd == pd;
    return children;
}

static void check_qp_row(const struct world *w, int device, const uint64_t *row) {
    int qp = find_qp(w, device, row[RVT_QP_SERIAL]);
    const struct qp *model = &w->qps[qp];
    const struct rvt_engine_qp *core = verbs_engine_qp(w, qp);
    EXPECT(w, "the type in the row", row[RVT_QP_TYPE], model->has_queues ? model->type : 0);
    if (!core)
        return;
    EXPECT(w, "the number in the row", row[RVT_QP_NUMBER], model->qpn);
    EXPECT(w, "the state in the row", row[RVT_QP_STATE], core->attr.state);
    EXPECT(w, "the sends in the row", row[RVT_QP_SENDS], core->sq.count);
    EXPECT(w, "the receives in the row", row[RVT_QP_RECEIVES], core->rq.count);
    EXPECT(w, "the peer in the row", row[RVT_QP_PEER], core->attr.dest_qpn);
    EXPECT(w, "the send queue in the row", row[RVT_QP_SEND_CQ], w->cqs[model->send_cq].serial);
    EXPECT(w, "the receive queue in the row", row[RVT_QP_RECV_CQ], w->cqs[model->recv_cq].serial);
    EXPECT(w, "the shared queue in the row", row[RVT_QP_SRQ],
           model->srq == NONE ? 0 : w->srqs[model->srq].serial);
}

static bool see_row(void *context, enum rvt_resource_kind kind, const uint64_t *row) {
    struct report *report = context;
    const struct world *w = report->w;
    report->rows[kind]++;
    if (kind == RVT_RESOURCE_QP)
        check_qp_row(w, report->device, row);
    for (int i = 0; kind == RVT_RESOURCE_CQ && i < w->cq_count; i++) {
        const struct rvt_cq *core = w->cqs[i].core.cq;
        if (w->cqs[i].device != report->device || w->cqs[i].serial != row[RVT_CQ_SERIAL])
            continue;
        EXPECT(w, "cqe in the row", row[RVT_CQ_CQE], core->capacity);
        EXPECT(w, "held in the row", row[RVT_CQ_HELD], core->count - verbs_taken(&w->cqs[i]));
        EXPECT(w, "users in the row", row[RVT_CQ_USERS], core->users);
        EXPECT(w, "broken in the row", row[RVT_CQ_BROKEN], core->broken);
    }
    for (int i = 0; kind == RVT_RESOURCE_SRQ && i < w->srq_count; i++) {
        const struct rvt_srq *core = w->srqs[i].core.srq;
        if (w->srqs[i].device != report->device || w->srqs[i].serial != row[RVT_SRQ_SERIAL])
            continue;
        EXPECT(w, "max_wr in the row", row[RVT_SRQ_MAX_WR], core->queue.max_wr);
        EXPECT(w, "the limit in the row", row[RVT_SRQ_LIMIT], core->limit);
        EXPECT(w, "held in the row", row[RVT_SRQ_HELD], core->queue.count);
        EXPECT(w, "users in the row", row[RVT_SRQ_USERS], core->users);
    }
    for (int i = 0; kind == RVT_RESOURCE_PD && i < w->pd_count; i++)
        if (w->pds[i].device == report->device && w->pds[i].serial == row[RVT_PD_SERIAL])
            EXPECT(w, "children in the row", row[RVT_PD_CHILDREN], children_of(w, w->pds[i].core.pd));
    return true;
}

static bool dma_lives(const struct dma *dma) {
    return rvt_object_generation(&dma->core.map->owned.object) == dma->core.generation;
}

#define COUNT(kind, lives)                                                                                   \
    for (int i = 0; i < w->kind##_count; i++)                                                                \
        if (w->kind##s[i].device == device)                                                                  \
            count += (lives) != 0;

static void check_report(struct world *w, int device) {
    struct report report = {.w = w, .device = device};
    uint32_t count = 0;
    rvt_resource_report(w->devices[device].core, see_row, &report);
    COUNT(qp, qp_lives(&w->qps[i]))
    EXPECT(w, "rows of queue pairs", report.rows[RVT_RESOURCE_QP], count);
    count = 0;
    COUNT(cq, cq_lives(&w->cqs[i]))
    EXPECT(w, "rows of completion queues", report.rows[RVT_RESOURCE_CQ], count);
    count = 0;
    COUNT(srq, srq_lives(&w->srqs[i]))
    EXPECT(w, "rows of shared queues", report.rows[RVT_RESOURCE_SRQ], count);
    count = 0;
    COUNT(ah, rvt_ah_live(w->ahs[i].core))
    EXPECT(w, "rows of address handles", report.rows[RVT_RESOURCE_AH], count);
    count = 0;
    COUNT(mr, rvt_mr_live(w->mrs[i].core))
    EXPECT(w, "rows of regions", report.rows[RVT_RESOURCE_MR], count);
    count = 0;
    COUNT(dma, dma_lives(&w->dmas[i]))
    EXPECT(w, "rows of mappings", report.rows[RVT_RESOURCE_DMA], count);
    count = 0;
    COUNT(mw, rvt_mw_live(w->mws[i].core))
    EXPECT(w, "rows of windows", report.rows[RVT_RESOURCE_MW], count);
}

/* A region has its own references, and one for each element of queued work. */
static void check_mr(struct world *w, int mr, uint32_t references) {
    struct mr *model = &w->mrs[mr];
    struct rvt_mr_attributes now;
    int answer = rvt_query_mr(model->core, &now);
    check_end(w, model->alive, !answer, "a region");
    model->alive = !answer;
    if (answer)
        return;
    uint32_t own = now.half_dead ? 1 : now.kind == RVT_MR_DMA && model->core.mr->was_published ? 3 : 2;
    EXPECT(w, "references of a region", now.refs, own + references);
    model->left = now.half_dead && (model->left || w->interrupt.done);
    if (now.half_dead && !references && !model->left)
        verbs_fail(w, "a region is half-dead without references");
    model->last = now;
}

void verbs_check(struct world *w) {
    uint32_t references[MOST_OBJECTS] = {0};
    check_events(w);
    for (int i = 0; i < w->cq_count; i++)
        check_cq(w, i);
    for (int i = 0; i < w->qp_count; i++)
        check_qp(w, i);
    for (int i = 0; i < w->srq_count; i++)
        check_srq(w, i);
    for (int i = 0; i < w->device_count; i++) {
        check_engine(w, i, references);
        check_report(w, i);
    }
    for (int i = 0; i < w->mr_count; i++)
        check_mr(w, i, references[i]);
    verbs_check_windows(w);
    for (int i = 0; i < w->cq_count; i++)
        w->cqs[i].alive = cq_lives(&w->cqs[i]);
    for (int i = 0; i < w->qp_count; i++)
        w->qps[i].alive = qp_lives(&w->qps[i]);
    for (int i = 0; i < w->srq_count; i++)
        w->srqs[i].alive = srq_lives(&w->srqs[i]);
    for (int i = 0; i < w->ah_count; i++)
        w->ahs[i].alive = rvt_ah_live(w->ahs[i].core) != NULL;
    for (int i = 0; i < w->pd_count; i++)
        w->pds[i].alive = rvt_pd_live(w->pds[i].core) != NULL;
    for (int i = 0; i < w->dma_count; i++)
        w->dmas[i].alive = dma_lives(&w->dmas[i]);
    for (int i = 0; i < w->device_count; i++)
        w->devices[i].open = !rvt_device_closed(w->devices[i].core);
}
