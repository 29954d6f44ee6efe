/* SPDX-License-Identifier: BSD-3-Clause */
/* The operations on devices, domains, queues, queue pairs and regions. Those on work requests are in
 * verbs_post.c. */
#include "verbs_play.h"

#include <inttypes.h>

#include "core/base/alloc.h"
#include "core/engine/engine_qp.h"

/* --- results --- */

void verbs_before_call(struct world *w) {
    rvt_test_alloc_fail_after(w->failing ? w->fail_after : -1);
    w->failing = false;
}

int verbs_after_call(struct world *w, int is, bool strict) {
    w->starved = rvt_test_alloc_failed();
    rvt_test_alloc_fail_after(-1);
    verbs_say(w, " -> %d%s", is, w->starved ? " (allocation failed)" : "");
    verbs_note((uint32_t)w->code * 128 + (uint32_t)(is < 0 ? -is : 0) % 128);
    if (w->starved && is < 0 && is != -RVT_ENOMEM)
        verbs_fail(w, "the result is %d although an allocation failed", is);
    if (w->starved && strict && is >= 0)
        verbs_fail(w, "the result is %d although an allocation failed", is);
    return is;
}

/* --- operands --- */

int verbs_slot(const int *slots, uint8_t operand, int count) {
    return slots[operand % count];
}

#define PD(n) verbs_slot(w->pd_slot, w->operand[n], PD_SLOTS)
#define CQ(n) verbs_slot(w->cq_slot, w->operand[n], CQ_SLOTS)
#define SRQ(n) verbs_slot(w->srq_slot, w->operand[n], SRQ_SLOTS)
#define AH(n) verbs_slot(w->ah_slot, w->operand[n], AH_SLOTS)
#define QP(n) verbs_slot(w->qp_slot, w->operand[n], QP_SLOTS)
#define MR(n) verbs_slot(w->mr_slot, w->operand[n], MR_SLOTS)
#define DMA(n) verbs_slot(w->dma_slot, w->operand[n], DMA_SLOTS)

int verbs_chosen_context(const struct world *w, uint8_t operand, int *device) {
    int context = operand % 4 < 2 ? NONE : w->context_slot[operand % 4 - 2];
    *device = context == NONE ? w->device : w->contexts[context].device;
    return context;
}

static struct rvt_ucontext *core_context(const struct world *w, int context) {
    return context == NONE ? NULL : w->contexts[context].core;
}

void verbs_expect_alive(const struct world *w, int is, bool alive) {
    if (!alive && is != -RVT_EBADF)
        verbs_fail(w, "the result for a stale handle is %d", is);
    if (alive && is == -RVT_EBADF)
        verbs_fail(w, "a live handle is said to be stale");
}

/* --- devices, contexts, domains --- */

static void open_device(struct world *w, uint8_t options, uint8_t limits) {
    static const struct rvt_limits profiles[4] = {
        {{12, 8, 4, 4, 8, 32, 4, 8, 4, 6, 4, 2, 4}},
        {{64, 64, 32, 32, 64, 128, 64, 64, 32, 64, 16, 1, 64}},
        {{4, 2, 1, 1, 2, 3, 1, 2, 1, 2, 1, 1, 1}},
        {{64, 3, 255, 255, 64, 1000, 64, 5, 255, 0, 255, 300, 64}},
    };
    if (w->device_count == MOST_DEVICES)
        return;
    struct rvt_device_options device = {
        .lkey_table_bits = options & 0x20 ? 3 : 6,
        .random_keys = options & 4,
        .remote_key_zero = options & 8,
        .strict = options & 0x80,
    };
    struct rvt_fault_options faults = {.seed = limits};
    if (options & 0x40) {
        static const double odds[RVT_FAULT_KINDS] = {0.1, 0.2, 0.05, 0.03, 0.3};
        for (int kind = 0; kind < RVT_FAULT_KINDS; kind++)
            faults.rules[kind].probability = odds[kind];
        faults.rules[RVT_FAULT_REFUSE].value = RVT_STALE_KEY;
        faults.rules[RVT_FAULT_SLOW].value = 700;
        device.faults = &faults;
    }
    struct rvt_engine_options engine = {
        .limits = profiles[limits % 4],
        .host = {verbs_on_event, w},
        .manual = options & 1,
        .max_inline_data = 64,
        .random_qp_numbers = options & 2,
    };
    if (options & 0x10)
        engine.host = (struct rvt_engine_host){NULL, NULL};
    bool wrong = limits % 16 == 15;
    if (wrong)
        engine.limits.of[RVT_LIMIT_MAX_SRQ_SGE] = RVT_MAX_SGE + 1;
    struct rvt_dev_info *core;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_register_device(&device, &engine, &core), true);
    if (wrong && !w->starved)
        EXPECT(w, "a limit that is too large", answer, -RVT_EINVAL);
    else if (!w->starved)
        EXPECT(w, "the result", answer, 0);
    if (answer)
        return;
    struct rvt_limits limits_are;
    EXPECT(w, "query_device", rvt_query_device(core, &limits_are), 0);
    for (int i = 0; i < RVT_LIMIT_COUNT; i++)
        EXPECT(w, "a limit", limits_are.of[i], engine.limits.of[i]);
    w->devices[w->device_count] = (struct device){
        .core = core,
        .open = true,
        .manual = engine.manual,
        .random = engine.random_qp_numbers,
        .told = engine.host.event != NULL,
    };
    w->device = w->device_count++;
}

static void exit_device(struct world *w) {
    if (w->device == NONE)
        return;
    bool was_open = w->devices[w->device].open;
    w->moves = w->ends = true;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_mr_exit(w->devices[w->device].core, w->operand[1] & 1, NULL), false);
    verbs_expect_alive(w, answer, was_open);
}

static void alloc_context(struct world *w) {
    if (w->device == NONE || w->context_count == MOST_CONTEXTS)
        return;
    struct rvt_ucontext *context;
    verbs_before_call(w);
    int answer = verbs_after_call(
        w, rvt_alloc_ucontext(w->devices[w->device].core, w->operand[2] & 1 ? NULL : w->reader, &context),
        false);
    if (!w->starved)
        verbs_expect_alive(w, answer, w->devices[w->device].open);
    if (answer)
        return;
    w->contexts[w->context_count] = (struct context){context, w->device};
    w->context_slot[w->operand[1] % CONTEXT_SLOTS] = w->context_count++;
}

static void dealloc_context(struct world *w) {
    int context = w->context_slot[w->operand[1] % CONTEXT_SLOTS];
    if (context == NONE)
        return;
    struct rvt_ucontext *core = w->contexts[context].core;
    w->moves = w->ends = true;
    verbs_before_call(w);
    if (w->operand[3] & 1) {
        rvt_drop_ucontext(core);
        (void)verbs_after_call(w, 0, false);
    } else {
        bool gone = rvt_ucontext_gone(core);
        int answer = verbs_after_call(w, rvt_dealloc_ucontext(core, w->operand[2] & 1), false);
        verbs_expect_alive(w, answer, !gone);
    }
}

static void add_pd(struct world *w, struct pd pd) {
    if (w->pd_count == MOST_OBJECTS)
        verbs_fail(w, "too many domains");
    pd.alive = true;
    pd.serial = pd.core.pd->owned.serial;
    w->pds[w->pd_count] = pd;
    w->pd_slot[w->operand[1] % PD_SLOTS] = w->pd_count++;
}

static void alloc_pd(struct world *w) {
    struct pd pd = {.user = w->operand[3] % 4 == 1};
    pd.context = verbs_chosen_context(w, w->operand[2], &pd.device);
    if (pd.device == NONE || w->pd_count == MOST_OBJECTS)
        return;
    verbs_before_call(w);
    int answer = verbs_after_call(
        w, rvt_alloc_pd(w->devices[pd.device].core, core_context(w, pd.context), pd.user, &pd.core), true);
    if (!answer)
        add_pd(w, pd);
}

static void attach_pd(struct world *w) {
    int from = PD(3), device, context = verbs_chosen_context(w, w->operand[2] | 2, &device);
    if (from == NONE || context == NONE || w->pd_count == MOST_OBJECTS)
        return;
    struct pd pd = {.device = device, .context = context, .attached = true, .user = w->pds[from].user};
    verbs_before_call(w);
    int answer =
        verbs_after_call(w, rvt_attach_pd(w->contexts[context].core, w->pds[from].serial, &pd.core), false);
    if (!answer)
        add_pd(w, pd);
}

static void dealloc_pd(struct world *w) {
    int pd = PD(1);
    if (pd == NONE)
        return;
    w->moves = w->ends = true;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_dealloc_pd(w->pds[pd].core, w->operand[2] & 1), false);
    verbs_expect_alive(w, answer, w->pds[pd].alive);
}

/* --- completion queues --- */

static void create_cq(struct world *w) {
    struct cq cq = {.alive = true};
    cq.context = verbs_chosen_context(w, w->operand[2], &cq.device);
    if (cq.device == NONE || w->cq_count == MOST_OBJECTS)
        return;
    struct rvt_cq_init init = {
        .cqe = w->operand[3],
        .comp_vector = w->operand[5],
        .flags = w->operand[4] == 1,
        .user = &w->cqs[w->cq_count],
    };
    if (w->operand[6] % 4 == 1) {
        cq.ring = verbs_new_ring(init.cqe);
        init.ring = &cq.ring->memory;
    }
    w->rest = REST_GROWS;
    verbs_before_call(w);
    int answer = verbs_after_call(
        w, rvt_create_cq(w->devices[cq.device].core, core_context(w, cq.context), &init, &cq.core), true);
    if (cq.ring) {
        rvt_memory_put(&cq.ring->memory);
        verbs_check_ring(w, cq.ring, answer != 0);
    }
    if (answer) {
        verbs_free_ring(cq.ring);
        return;
    }
    cq.serial = cq.core.cq->owned.serial;
    w->cqs[w->cq_count] = cq;
    w->cq_slot[w->operand[1] % CQ_SLOTS] = w->cq_count++;
}

static void resize_cq(struct world *w) {
    int cq = CQ(1);
    if (cq == NONE)
        return;
    w->rest = REST_STAYS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_resize_cq(w->cqs[cq].core, w->operand[2]), true);
    if (!w->starved)
        verbs_expect_alive(w, answer, w->cqs[cq].alive);
    if (w->cqs[cq].ring && w->cqs[cq].alive)
        EXPECT(w, "resizing a ring", answer, -RVT_EINVAL);
    if (!answer && w->operand[2] < w->cqs[cq].held)
        verbs_fail(w, "a queue shrank below the %" PRIu32 " completions that it held", w->cqs[cq].held);
}

static void destroy_cq(struct world *w) {
    int cq = CQ(1);
    if (cq == NONE)
        return;
    w->ends = true;
    w->rest = REST_STAYS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_destroy_cq(w->cqs[cq].core), false);
    verbs_expect_alive(w, answer, w->cqs[cq].alive);
}

static void arm_cq(struct world *w) {
    int cq = CQ(1);
    uint32_t flags = w->operand[2] % 16;
    if (cq == NONE)
        return;
    struct cq *model = &w->cqs[cq];
    const uint32_t held = model->held - verbs_taken(model);
    w->armed = cq;
    w->rest = REST_STAYS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_req_notify_cq(model->core, flags), false);
    verbs_expect_alive(w, answer, model->alive);
    if (answer < 0)
        return;
    if (!(model->arming & RVT_NOTIFY_NEXT))
        model->arming = flags & (RVT_NOTIFY_NEXT | RVT_NOTIFY_SOLICITED);
    EXPECT(w, "whether completions were missed", answer, (flags & RVT_NOTIFY_REPORT_MISSED) && held);
}

/* Polled completions must be those that the queue held, oldest first. */
static void poll_cq(struct world *w) {
    enum { MOST_POLLED = 64 };
    static struct rvt_wc is[MOST_POLLED], should[MOST_POLLED];
    int cq = CQ(1);
    uint32_t want = w->operand[2] % (MOST_POLLED + 1), held = 0;
    if (cq == NONE)
        return;
    struct cq *model = &w->cqs[cq];
    const struct rvt_cq *core = model->alive ? model->core.cq : NULL;
    const uint32_t taken = verbs_taken(model);
    for (; core && held < core->count - taken && held < want; held++)
        should[held] = core->entries[(core->first + (uint64_t)taken + held) % core->capacity];
    w->rest = REST_STAYS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_poll_cq(model->core, want, want ? is : NULL), false);
    verbs_expect_alive(w, answer, model->alive);
    if (answer < 0)
        return;
    EXPECT(w, "the number of completions", answer, held);
    if (memcmp(is, should, held * sizeof(*is)) != 0)
        verbs_fail(w, "the completions are not those that the queue held");
    model->held -= held;
    model->tail += held;
    if (model->ring && held)
        EXPECT(w, "TAIL", atomic_load(verbs_ring_word(model->ring, RVT_RING_TAIL)), core->head - core->count);
}

/* Does what JavaScript can do to a ring. A correct consumer takes completions, which the engine notices later. A
 * hostile one writes any TAIL, HEAD and ENDED and calls a verb: the queue may lose the completions that it holds,
 * but no more. Then the words are restored, because the model does not predict what later operations would lose. */
static void write_tail(struct world *w) {
    int cq = CQ(1);
    if (cq == NONE || !w->cqs[cq].ring || !w->cqs[cq].alive)
        return;
    struct cq *model = &w->cqs[cq];
    const struct rvt_cq *core = model->core.cq;
    _Atomic(uint32_t) *tail = verbs_ring_word(model->ring, RVT_RING_TAIL);
    const uint32_t left = core->head - core->count, held = core->count;
    uint32_t number = (uint32_t)w->operand[3] | (uint32_t)w->operand[4] << 8 | (uint32_t)w->operand[5] << 16 |
                      (uint32_t)w->operand[6] << 24;
    if (w->operand[2] % 4 == 0) {
        uint32_t taken = verbs_taken(model);
        atomic_store(tail, left + taken + number % (held - taken + 1));
        return;
    }
    if (w->operand[2] & 4)
        number += left;
    atomic_store(tail, number);
    atomic_store(verbs_ring_word(model->ring, RVT_RING_HEAD), number * 7);
    atomic_store(verbs_ring_word(model->ring, RVT_RING_ENDED), number);
    const uint32_t lost = number - left < held ? number - left : held;
    struct rvt_cq_attr attr = {0};
    w->rest = REST_STAYS;
    verbs_before_call(w);
    if (w->operand[2] % 4 == 1) {
        EXPECT(w, "query_cq", verbs_after_call(w, rvt_query_cq(model->core, &attr), false), 0);
        EXPECT(w, "held", attr.held, held - lost);
    } else {
        EXPECT(w, "poll_cq", verbs_after_call(w, rvt_poll_cq(model->core, 0, NULL), false), 0);
    }
    EXPECT(w, "completions after a lie", core->count, held - lost);
    atomic_store(tail, core->head - core->count);
    atomic_store(verbs_ring_word(model->ring, RVT_RING_HEAD), core->head);
    atomic_store(verbs_ring_word(model->ring, RVT_RING_ENDED), 0);
}

/* --- shared receive queues, address handles --- */

static void create_srq(struct world *w) {
    int pd = PD(2);
    if (pd == NONE || w->srq_count == MOST_OBJECTS)
        return;
    struct srq srq = {.alive = true, .device = w->pds[pd].device, .works = {NONE, NONE, 0}};
    struct rvt_srq_init init = {
        .max_wr = w->operand[3] % 16,
        .max_sge = w->operand[4] % 16,
        .limit = w->operand[5],
        .basic = w->operand[6] != 1,
        .user = &w->srqs[w->srq_count],
    };
    w->rest = REST_GROWS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_create_srq(w->pds[pd].core, &init, &srq.core), false);
    if (!answer && !w->pds[pd].alive)
        verbs_fail(w, "an object was created in a domain that has ended");
    if (answer)
        return;
    srq.serial = srq.core.srq->owned.serial;
    w->srqs[w->srq_count] = srq;
    w->srq_slot[w->operand[1] % SRQ_SLOTS] = w->srq_count++;
}

static void modify_srq(struct world *w) {
    int srq = SRQ(1);
    if (srq == NONE)
        return;
    w->rest = REST_STAYS;
    verbs_before_call(w);
    int answer = verbs_after_call(
        w, rvt_modify_srq(w->srqs[srq].core, w->operand[2] % 4, w->operand[3] % 16, w->operand[4] % 16),
        w->operand[2] & RVT_SRQ_SET_MAX_WR);
    if (!w->starved)
        verbs_expect_alive(w, answer, w->srqs[srq].alive);
}

static void destroy_srq(struct world *w) {
    int srq = SRQ(1);
    if (srq == NONE)
        return;
    w->ends = true;
    w->rest = REST_STAYS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_destroy_srq(w->srqs[srq].core), false);
    verbs_expect_alive(w, answer, w->srqs[srq].alive);
}

static void create_ah(struct world *w) {
    int pd = PD(2);
    if (pd == NONE || w->ah_count == MOST_OBJECTS)
        return;
    struct ah ah = {.alive = true, .device = w->pds[pd].device};
    struct rvt_ah_attr attr = {w->operand[6], w->operand[5], w->operand[4] % 32, 1};
    if (w->operand[3] & 0x80)
        attr.port = w->operand[3];
    w->rest = REST_GROWS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_create_ah(w->pds[pd].core, &attr, &ah.core), true);
    if (!answer && !w->pds[pd].alive)
        verbs_fail(w, "an object was created in a domain that has ended");
    if (answer)
        return;
    w->ahs[w->ah_count] = ah;
    w->ah_slot[w->operand[1] % AH_SLOTS] = w->ah_count++;
}

static void destroy_ah(struct world *w) {
    int ah = AH(1);
    if (ah == NONE)
        return;
    w->ends = true;
    w->rest = REST_STAYS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_destroy_ah(w->ahs[ah].core), false);
    verbs_expect_alive(w, answer, w->ahs[ah].alive);
}

/* --- queue pairs --- */

static void create_qp(struct world *w) {
    static const uint32_t types[16] = {
        RVT_QPT_RC, RVT_QPT_RC, RVT_QPT_RC, RVT_QPT_RC, RVT_QPT_RC, RVT_QPT_RC, RVT_QPT_UC, RVT_QPT_UC,
        RVT_QPT_UC, RVT_QPT_UD, RVT_QPT_UD, RVT_QPT_UD, RVT_QPT_UD, RVT_QPT_UC, 8,          0,
    };
    int pd = PD(2), send_cq = CQ(4), recv_cq = CQ(5);
    int srq = w->operand[6] & 0x80 ? SRQ(6) : NONE;
    if (pd == NONE || send_cq == NONE || recv_cq == NONE || w->qp_count == MOST_OBJECTS)
        return;
    struct qp qp = {
        .device = w->pds[pd].device,
        .pd = pd,
        .type = types[w->operand[3] % 16],
        .sig_type = w->operand[11] & 1 ? RVT_SIGNAL_ALL_WR : RVT_SIGNAL_REQ_WR,
        .alive = true,
        .has_queues = true,
        .send_cq = send_cq,
        .recv_cq = recv_cq,
        .srq = srq,
        .in_hand = NONE,
        .sends = {NONE, NONE, 0},
        .receives = {NONE, NONE, 0},
    };
    struct rvt_qp_init init = {
        .type = qp.type,
        .sig_type = qp.sig_type,
        .send_cq = w->cqs[send_cq].core,
        .recv_cq = w->cqs[recv_cq].core,
        .srq = srq == NONE ? NULL : &w->srqs[srq].core,
        .max_send_wr = w->operand[7] % 16,
        .max_recv_wr = w->operand[8] % 16,
        .max_send_sge = w->operand[9] % 8,
        .max_recv_sge = w->operand[10] % 8,
        .user = &w->qps[w->qp_count],
    };
    bool stale = !w->pds[pd].alive || !w->cqs[send_cq].alive || !w->cqs[recv_cq].alive ||
                 (srq != NONE && !w->srqs[srq].alive);
    w->rest = REST_GROWS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_create_qp(w->pds[pd].core, &init, &qp.core, &qp.qpn), false);
    if (!answer && stale)
        verbs_fail(w, "a queue pair was created with a stale handle");
    if (answer)
        return;
    if (qp.qpn < 2 || qp.qpn > 0xffffff)
        verbs_fail(w, "the number of the queue pair is 0x%" PRIx32, qp.qpn);
    for (int i = 0; i < w->qp_count; i++)
        if (w->qps[i].alive && w->qps[i].device == qp.device && w->qps[i].qpn == qp.qpn)
            verbs_fail(w, "two queue pairs have the number 0x%" PRIx32, qp.qpn);
        else if (!w->devices[qp.device].random && w->qps[i].device == qp.device && w->qps[i].qpn >= qp.qpn)
            verbs_fail(w, "the number 0x%" PRIx32 " was used before", qp.qpn);
    qp.serial = qp.core.qp->owned.serial;
    w->qps[w->qp_count] = qp;
    w->qp_slot[w->operand[1] % QP_SLOTS] = w->qp_count++;
}

static void create_check_qp(struct world *w) {
    int pd = PD(2);
    if (pd == NONE || w->qp_count == MOST_OBJECTS)
        return;
    struct qp qp = {.device = w->pds[pd].device, .pd = pd, .alive = true, .in_hand = NONE};
    qp.send_cq = qp.recv_cq = qp.srq = NONE;
    qp.sends = qp.receives = (struct works){NONE, NONE, 0};
    verbs_before_call(w);
    if (verbs_after_call(w, rvt_create_check_qp(w->pds[pd].core, &qp.core), true))
        return;
    qp.serial = qp.core.qp->owned.serial;
    w->qps[w->qp_count] = qp;
    w->qp_slot[w->operand[1] % QP_SLOTS] = w->qp_count++;
}

static void destroy_qp(struct world *w) {
    int qp = QP(1);
    if (qp == NONE)
        return;
    w->ends = true;
    w->rest = REST_STAYS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_destroy_qp(w->qps[qp].core), false);
    verbs_expect_alive(w, answer, w->qps[qp].alive);
}

/* Attributes that every move to RTS accepts. */
static struct rvt_qp_attr good_attributes(const struct world *w, uint32_t dest_qpn) {
    return (struct rvt_qp_attr){
        .access = w->operand[3],
        .qkey = 0x11,
        .dest_qpn = dest_qpn,
        .port = 1,
        .path_mtu = 1 + w->operand[6] % 5,
        .rnr_retry = w->operand[4] % 8,
        .min_rnr_timer = w->operand[5] % 32,
        .max_rd_atomic = 1,
        .max_dest_rd_atomic = 1,
        .av = {.dlid = 7, .sl = 3, .port = 1},
    };
}

/* Attributes that each move to RTS needs, by type (RC, UC, UD) and move. */
static const uint32_t needed[3][3] = {
    {RVT_QPA_PKEY_INDEX | RVT_QPA_PORT | RVT_QPA_ACCESS_FLAGS,
     RVT_QPA_AV | RVT_QPA_PATH_MTU | RVT_QPA_DEST_QPN | RVT_QPA_RQ_PSN | RVT_QPA_MAX_DEST_RD_ATOMIC |
         RVT_QPA_MIN_RNR_TIMER,
     RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY | RVT_QPA_SQ_PSN | RVT_QPA_MAX_RD_ATOMIC},
    {RVT_QPA_PKEY_INDEX | RVT_QPA_PORT | RVT_QPA_ACCESS_FLAGS,
     RVT_QPA_AV | RVT_QPA_PATH_MTU | RVT_QPA_DEST_QPN | RVT_QPA_RQ_PSN, RVT_QPA_SQ_PSN},
    {RVT_QPA_PKEY_INDEX | RVT_QPA_PORT | RVT_QPA_QKEY, 0, RVT_QPA_SQ_PSN},
};

static int type_index(const struct qp *qp) {
    return qp->type == RVT_QPT_RC ? 0 : qp->type == RVT_QPT_UC ? 1 : 2;
}

/* Returns a mask that the move to this state accepts if it exists. */
static uint32_t legal_mask(const struct qp *qp, uint32_t to, uint32_t optional) {
    uint32_t mask = RVT_QPA_STATE;
    const bool connected = qp->type != RVT_QPT_UD;
    if (qp->state < RVT_QPS_RTS && to == qp->state + 1)
        mask |= needed[type_index(qp)][qp->state];
    if (to == RVT_QPS_RTS)
        mask |= optional & (connected ? RVT_QPA_CUR_STATE | RVT_QPA_ALT_PATH | RVT_QPA_ACCESS_FLAGS |
                                            RVT_QPA_PATH_MIG_STATE
                                      : RVT_QPA_CUR_STATE | RVT_QPA_QKEY);
    if (to == RVT_QPS_SQD && qp->state == RVT_QPS_SQD)
        mask |= optional & (connected ? RVT_QPA_AV | RVT_QPA_ALT_PATH | RVT_QPA_ACCESS_FLAGS |
                                            RVT_QPA_PKEY_INDEX | RVT_QPA_PATH_MIG_STATE
                                      : RVT_QPA_PKEY_INDEX | RVT_QPA_QKEY);
    if (to == RVT_QPS_SQD && qp->state == RVT_QPS_SQD && qp->type == RVT_QPT_RC)
        mask |= optional & (RVT_QPA_PORT | RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY |
                            RVT_QPA_MAX_RD_ATOMIC | RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER);
    return mask;
}

static void move_to_rts(struct world *w, int qp, uint32_t dest_qpn) {
    struct qp *model = &w->qps[qp];
    if (!model->alive || !model->has_queues || model->state != RVT_QPS_RESET)
        return;
    struct rvt_qp_attr attr = good_attributes(w, dest_qpn);
    const uint32_t *mask = needed[type_index(model)];
    for (int i = 0; i < 3; i++) {
        attr.state = RVT_QPS_INIT + (uint32_t)i;
        int answer = rvt_modify_qp(model->core, &attr, mask[i] | RVT_QPA_STATE);
        if (answer)
            verbs_fail(w, "the move to state %" PRIu32 " fails with %d", attr.state, answer);
    }
    model->state = RVT_QPS_RTS;
}

static void connect(struct world *w) {
    int qp = QP(1), peer = QP(2);
    if (qp == NONE || peer == NONE)
        return;
    move_to_rts(w, qp, w->qps[peer].qpn);
    if (w->operand[6] < 0xc0)
        move_to_rts(w, peer, w->qps[qp].qpn);
}

static void modify_qp(struct world *w) {
    int qp = QP(1);
    if (qp == NONE)
        return;
    struct qp *model = &w->qps[qp];
    uint32_t mask = w->operand[3] | (uint32_t)w->operand[4] << 8 | (uint32_t)w->operand[5] << 16;
    struct rvt_qp_attr attr = good_attributes(w, w->operand[7] & 1 ? model->qpn : w->operand[7] % 16);
    uint8_t wrong = w->operand[6];
    attr.state = w->operand[2] % 8;
    attr.cur_state = wrong & 1 ? w->operand[8] % 8 : model->state;
    if (wrong & 2)
        attr.rnr_retry = attr.retry_cnt = w->operand[8];
    if (wrong & 4)
        attr.port = attr.pkey_index = w->operand[8];
    if (wrong & 8)
        attr.path_mtu = attr.min_rnr_timer = w->operand[8];
    if (wrong & 16)
        attr.av.dlid = attr.alt_av.dlid = (uint32_t)w->operand[8] << 8;
    if (wrong & 32)
        attr.max_dest_rd_atomic = attr.max_rd_atomic = w->operand[8];
    if (wrong & 64)
        attr.dest_qpn = UINT32_MAX / 256 + w->operand[8];
    attr.alt_av.port = 1;
    attr.alt_pkey_index = wrong & 4 ? w->operand[8] : 0;
    attr.path_mig_state = w->operand[9] % 4;
    if (w->operand[2] & 0x80) { /* the plain moves, which are rare among random masks */
        mask = RVT_QPA_STATE;
    } else if (w->operand[2] & 0x20) { /* what the move accepts, perhaps with one attribute more or less */
        mask = legal_mask(model, attr.state, mask) ^
               (w->operand[10] & 1 ? UINT32_C(1) << w->operand[10] / 2 % 21 : 0);
    } else if (w->operand[2] & 0x40) {
        mask |= RVT_QPA_STATE;
    }
    w->modified = qp;
    w->rest = REST_STAYS;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_modify_qp(model->core, &attr, mask), false);
    verbs_expect_alive(w, answer, model->alive);
    /* From RESET to RESET nothing changes: a queue pair that was kicked stays ready. */
    if (!answer && mask & RVT_QPA_STATE && attr.state == RVT_QPS_RESET && model->state != RVT_QPS_RESET)
        w->reset = qp;
    verbs_note(10000 + model->state * 16 + attr.state * 2 + (answer != 0));
    if (answer || !(mask & RVT_QPA_STATE))
        return;
    struct rvt_qp_query query;
    EXPECT(w, "query_qp", rvt_query_qp(model->core, &query), 0);
    EXPECT(w, "the state", query.attr.state, attr.state);
}

/* --- regions and mappings --- */

static void add_mr(struct world *w, struct mr mr) {
    mr.alive = true;
    EXPECT(w, "query_mr", rvt_query_mr(mr.core, &mr.last), 0);
    w->mrs[w->mr_count] = mr;
    w->mr_slot[w->operand[1] % MR_SLOTS] = w->mr_count++;
}

static void reg_mr(struct world *w) {
    static const uint64_t lengths[8] = {0, 8, 40, 100, 4096, 1000, 64, 0};
    int pd = PD(2);
    if (pd == NONE || w->mr_count == MOST_OBJECTS)
        return;
    int window =
        verbs_new_window(w, w->operand[3] % LAND_BUFFER, w->operand[4] * UINT64_C(8),
                         lengths[w->operand[5] % 8] + w->operand[5] / 8, w->operand[8] % ENVIRONMENTS);
    if (window == NONE)
        return;
    struct mr mr = {.device = w->pds[pd].device, .window = window};
    uint64_t start = UINT64_C(0x100000) * (1 + w->operand[1] % MR_SLOTS) + w->operand[4] * UINT64_C(8);
    uint64_t iova = start + (uint64_t)(w->operand[7] & 0x7f) * 0x1000 + (w->operand[7] >> 7) * 4;
    verbs_before_call(w);
    int answer = verbs_after_call(
        w, rvt_reg_user_mr(w->pds[pd].core, &w->windows[window].memory, start, iova, w->operand[6], &mr.core),
        false);
    if (!answer && !w->pds[pd].alive)
        verbs_fail(w, "a region was registered in a domain that has ended");
    if (!answer)
        add_mr(w, mr);
}

static void alloc_mr(struct world *w) {
    int pd = PD(2);
    if (pd == NONE || w->mr_count == MOST_OBJECTS)
        return;
    struct mr mr = {.device = w->pds[pd].device, .window = NONE};
    verbs_before_call(w);
    if (!verbs_after_call(w, rvt_alloc_mr(w->pds[pd].core, RVT_MR_TYPE_MEM_REG, w->operand[3] % 32, &mr.core),
                          false))
        add_mr(w, mr);
}

static void get_dma_mr(struct world *w) {
    int pd = PD(2);
    if (pd == NONE || w->mr_count == MOST_OBJECTS)
        return;
    struct mr mr = {.device = w->pds[pd].device, .window = NONE};
    verbs_before_call(w);
    if (!verbs_after_call(w, rvt_get_dma_mr(w->pds[pd].core, 1, &mr.core), false))
        add_mr(w, mr);
}

void verbs_dereg(struct world *w, int mr, enum rvt_release_mode mode) {
    const bool windows = rvt_mr_live(w->mrs[mr].core) && verbs_windows_of(w, mr);
    w->moves = w->ends = true;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_dereg_mr(w->mrs[mr].core, mode), false);
    verbs_expect_alive(w, answer, w->mrs[mr].alive);
    if (mode == RVT_RELEASE_FORCE && w->mrs[mr].alive)
        EXPECT(w, "the result", answer, 0);
    struct rvt_mr_attributes attributes;
    int query = rvt_query_mr(w->mrs[mr].core, &attributes);
    EXPECT(w, "query_mr after dereg_mr", query, answer == -RVT_EBUSY ? 0 : -RVT_EBADF);
    if (!query && !(attributes.half_dead && attributes.refs > 1) && !verbs_windows_of(w, mr))
        verbs_fail(w, "a region is busy without references");
    if (windows && mode != RVT_RELEASE_FORCE) {
        EXPECT(w, "the result with windows", answer, -RVT_EBUSY);
        EXPECT(w, "whether a region with windows is half-dead", attributes.half_dead, false);
    }
}

static void dereg_mr(struct world *w) {
    int mr = MR(1);
    if (mr != NONE)
        verbs_dereg(w, mr, (enum rvt_release_mode)(w->operand[2] % 3));
}

static void dereg_mrs(struct world *w) {
    struct rvt_mr_handle list[8];
    int pd = PD(1);
    uint32_t count = 0;
    if (pd == NONE)
        return;
    for (uint32_t i = 0; i <= w->operand[3] % 8u; i++) {
        int mr = w->mr_slot[(w->operand[2] + i) % MR_SLOTS];
        if (mr != NONE)
            list[count++] = w->mrs[mr].core;
    }
    w->moves = w->ends = true;
    verbs_before_call(w);
    int answer = verbs_after_call(
        w, rvt_dereg_mrs(w->pds[pd].core, list, count, (enum rvt_release_mode)(w->operand[4] % 3)), false);
    verbs_expect_alive(w, answer, w->pds[pd].alive);
}

static void map_mr_sg(struct world *w) {
    struct rvt_sg_element list[8];
    int mr = MR(1), dma = DMA(2);
    if (mr == NONE || dma == NONE || w->mrs[mr].device != w->dmas[dma].device)
        return;
    uint32_t count = w->operand[4] % 8u;
    uint64_t offset = w->operand[5] < 0xc0 ? 0 : w->operand[5] * UINT64_C(16);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t page = (w->operand[3] + (uint64_t)i) % 18;
        list[i] = (struct rvt_sg_element){w->dmas[dma].address + page * RVT_PAGE_SIZE, RVT_PAGE_SIZE};
    }
    if (count && w->operand[6])
        list[count - 1].length = w->operand[6] * UINT64_C(16);
    struct rvt_sg_outcome outcome;
    verbs_before_call(w);
    (void)verbs_after_call(w, rvt_map_mr_sg(w->mrs[mr].core, list, count, offset, RVT_PAGE_SIZE, &outcome),
                           false);
}

static void fast_reg(struct world *w) {
    int qp = QP(1), mr = MR(2);
    if (qp == NONE || mr == NONE)
        return;
    uint32_t key = (w->mrs[mr].last.keys.rkey & ~(uint32_t)RVT_KEY_VARIANT_MASK) | w->operand[3];
    verbs_before_call(w);
    (void)verbs_after_call(w, rvt_fast_reg_mr(w->qps[qp].core, w->mrs[mr].core, key, w->operand[4], NULL),
                           false);
}

static void invalidate(struct world *w) {
    int qp = QP(1), mr = MR(2);
    if (qp == NONE || mr == NONE)
        return;
    uint32_t key = w->mrs[mr].last.keys.rkey ^ (w->operand[3] & 1);
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_invalidate_rkey(w->qps[qp].core, key), false);
    verbs_expect_alive(w, answer, w->qps[qp].alive);
}

static void dma_map(struct world *w) {
    struct dma dma = {.alive = true};
    int context = verbs_chosen_context(w, w->operand[2], &dma.device);
    if (dma.device == NONE || w->dma_count == MOST_OBJECTS)
        return;
    dma.window = verbs_new_window(w, w->operand[3] % LAND_BUFFER, 0,
                                  w->operand[4] ? w->operand[4] * UINT64_C(256) : 0, 0);
    if (dma.window == NONE)
        return;
    dma.address = (w->operand[5] % 8 + UINT64_C(1)) * 0x20000;
    dma.length = w->windows[dma.window].memory.length;
    verbs_before_call(w);
    int answer = verbs_after_call(w,
                                  rvt_dma_map(w->devices[dma.device].core, core_context(w, context),
                                              &w->windows[dma.window].memory, !(w->operand[5] & 0x80),
                                              &dma.address, &dma.core),
                                  false);
    if (answer)
        return;
    w->dmas[w->dma_count] = dma;
    w->dma_slot[w->operand[1] % DMA_SLOTS] = w->dma_count++;
}

static void dma_unmap(struct world *w) {
    int dma = DMA(1);
    if (dma == NONE)
        return;
    w->ends = true;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_dma_unmap(w->dmas[dma].core), false);
    verbs_expect_alive(w, answer, w->dmas[dma].alive);
}

static void detach(struct world *w) {
    int mr = MR(1);
    if (mr != NONE && w->mrs[mr].window != NONE)
        w->windows[w->mrs[mr].window].detached = !(w->operand[2] & 1);
}

static void count_mr(struct world *w) {
    int mr = MR(1);
    if (mr == NONE)
        return;
    verbs_before_call(w);
    int answer = verbs_after_call(w, rvt_count_mr(w->mrs[mr].core), false);
    if (!w->starved)
        verbs_expect_alive(w, answer, w->mrs[mr].alive);
}

/* --- reports --- */

/* Reads everything through every handle of the slots; the results are compared after each operation anyway. */
static void query(struct world *w) {
    struct rvt_qp_query qp;
    struct rvt_cq_attr cq;
    struct rvt_srq_attr srq;
    for (int i = 0; i < QP_SLOTS; i++)
        if (w->qp_slot[i] != NONE) {
            int is = rvt_query_qp(w->qps[w->qp_slot[i]].core, &qp);
            verbs_expect_alive(w, is, w->qps[w->qp_slot[i]].alive);
        }
    for (int i = 0; i < CQ_SLOTS; i++)
        if (w->cq_slot[i] != NONE)
            verbs_expect_alive(w, rvt_query_cq(w->cqs[w->cq_slot[i]].core, &cq), w->cqs[w->cq_slot[i]].alive);
    for (int i = 0; i < SRQ_SLOTS; i++)
        if (w->srq_slot[i] != NONE)
            verbs_expect_alive(w, rvt_query_srq(w->srqs[w->srq_slot[i]].core, &srq),
                               w->srqs[w->srq_slot[i]].alive);
    EXPECT(w, "query_qp of nothing", rvt_query_qp((struct rvt_qp_handle){0}, &qp), -RVT_EBADF);
    EXPECT(w, "query_cq of nothing", rvt_query_cq((struct rvt_cq_handle){0}, &cq), -RVT_EBADF);
    EXPECT(w, "query_srq of nothing", rvt_query_srq((struct rvt_srq_handle){0}, &srq), -RVT_EBADF);
    EXPECT(w, "destroy_ah of nothing", rvt_destroy_ah((struct rvt_ah_handle){0}), -RVT_EBADF);
    EXPECT(w, "kick of nothing", rvt_kick_qp((struct rvt_qp_handle){0}), -RVT_EBADF);
}

/* --- interruptions --- */

static void arm_interrupt(struct world *w) {
    static const uint8_t verbs[16] = {
        VERB_MODIFY_QP, VERB_DESTROY_QP, VERB_DEREG_MR,   VERB_MODIFY_QP,
        VERB_POST_RECV, VERB_POST_SEND,  VERB_DEALLOC_PD, VERB_DEREG_MRS,
        VERB_RESIZE_CQ, VERB_DESTROY_QP, VERB_EXIT,       VERB_DEALLOC_CONTEXT,
        VERB_DEREG_MR,  VERB_MODIFY_QP,  VERB_RUN,        VERB_POST_SRQ_RECV,
    };
    static const uint8_t on_windows[8] = {
        VERB_REREG_MR, VERB_DEALLOC_MW, VERB_INVALIDATE_MW, VERB_DEREG_LAND,
        VERB_CLOCK,    VERB_BIND_MW,    VERB_LEASE_MR,      VERB_POST_WINDOW,
    };
    w->interrupt.waits = true;
    w->interrupt.steps = w->operand[1] % 8;
    w->interrupt.code = w->code == VERB_INTERRUPT ? verbs[w->operand[2] % 16] : on_windows[w->operand[2] % 8];
    memset(w->interrupt.operand, 0, sizeof(w->interrupt.operand));
    memcpy(w->interrupt.operand + 1, w->operand + 3, VERB_OPERANDS - 2);
}

bool verbs_can_interrupt(const struct world *w) {
    switch ((enum verb)w->code) {
    case VERB_RUN:
    case VERB_KICK:
    case VERB_FIRE_TIMERS:
    case VERB_PROGRESS:
        return true;
    case VERB_POST_SEND: /* its own work requests enter the model only when it is over */
    case VERB_POST_WHOLE:
    case VERB_POST_WINDOW:
        return w->interrupt.code != VERB_POST_SEND && w->interrupt.code != VERB_POST_WINDOW;
    case VERB_DEREG_MR: /* which can be interrupted by what does not end its region */
        return w->interrupt.code == VERB_MODIFY_QP || w->interrupt.code == VERB_DESTROY_QP ||
               w->interrupt.code == VERB_POST_RECV || w->interrupt.code == VERB_POST_SEND;
    default:
        return false;
    }
}

/* --- a start --- */

static void step(struct world *w, enum verb verb, const uint8_t *operands, size_t count) {
    uint8_t code = w->code, kept[VERB_OPERANDS + 1];
    memcpy(kept, w->operand, sizeof(kept));
    memset(w->operand, 0, sizeof(w->operand));
    memcpy(w->operand + 1, operands, count);
    w->code = (uint8_t)verb;
    verbs_perform(w);
    w->code = code;
    memcpy(w->operand, kept, sizeof(kept));
}
#define STEP(verb, ...) step(w, verb, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Opens a device with a domain, queues, regions with every right, and four queue pairs that are connected: in
 * pairs, to themselves, or in a ring. */
static void scene(struct world *w) {
    uint8_t type = w->operand[3], topology = w->operand[4], options = w->operand[5];
    uint8_t access = (uint8_t)(options & 1 ? w->operand[6] : 0x0f), retry = w->operand[7];
    STEP(VERB_OPEN, w->operand[1], w->operand[2]);
    if (w->device == NONE)
        return;
    STEP(VERB_ALLOC_PD, 0, 0, 0);
    STEP(VERB_CREATE_CQ, 0, 0, (uint8_t)(options & 2 ? 3 : 30));
    STEP(VERB_CREATE_CQ, 1, 0, 30);
    STEP(VERB_CREATE_SRQ, 0, 0, 4, 2, (uint8_t)(options & 4 ? 2 : 0));
    STEP(VERB_CREATE_AH, 0, 0, 0, 0, 5, 9);
    for (uint8_t i = 0; i < 4; i++) {
        STEP(VERB_CREATE_QP, i, 0, type, 0, (uint8_t)(options & 8 ? 0 : 1),
             (uint8_t)(options & 16 ? 0x80 : 0), 4, 4, 3, 3, (uint8_t)(options >> 5));
        STEP(VERB_REG_MR, i, 0, i, (uint8_t)(i * 5), 0, access, i, 0);
    }
    STEP(VERB_DMA_MAP, 0, 0, 3, 0, 0);
    STEP(VERB_ALLOC_MR, 4, 0, 17);
    STEP(VERB_MAP_MR_SG, 4, 0, 0, 7);
    STEP(VERB_REG_MR, 5, 0, 3, 100, 0, access, 0x85, 0);
    for (uint8_t i = 0; i < 4; i++) {
        uint8_t peer = (uint8_t)(topology % 3 == 0 ? i ^ 1 : topology % 3 == 1 ? i : (i + 1) % 4);
        STEP(VERB_CONNECT, i, peer, access, retry, 1, (uint8_t)(topology % 3 == 2 ? 0xc4 : 0));
        if (options & 16)
            STEP(VERB_POST_SRQ_RECV, 0, 1, i, 0, 0);
        else
            STEP(VERB_POST_RECV, (uint8_t)(i | 0x10), 1, i, 0, 0);
    }
    w->rest = REST_ANY;
    w->moves = true;
}

void verbs_perform(struct world *w) {
    switch ((enum verb)w->code) {
    case VERB_SCENE:
        scene(w);
        break;
    case VERB_OPEN:
        open_device(w, w->operand[1], w->operand[2]);
        break;
    case VERB_EXIT:
        exit_device(w);
        break;
    case VERB_ALLOC_CONTEXT:
        alloc_context(w);
        break;
    case VERB_DEALLOC_CONTEXT:
        dealloc_context(w);
        break;
    case VERB_ALLOC_PD:
        alloc_pd(w);
        break;
    case VERB_ATTACH_PD:
        attach_pd(w);
        break;
    case VERB_DEALLOC_PD:
        dealloc_pd(w);
        break;
    case VERB_CREATE_CQ:
        create_cq(w);
        break;
    case VERB_RESIZE_CQ:
        resize_cq(w);
        break;
    case VERB_DESTROY_CQ:
        destroy_cq(w);
        break;
    case VERB_POLL_CQ:
        poll_cq(w);
        break;
    case VERB_ARM_CQ:
        arm_cq(w);
        break;
    case VERB_CREATE_SRQ:
        create_srq(w);
        break;
    case VERB_MODIFY_SRQ:
        modify_srq(w);
        break;
    case VERB_DESTROY_SRQ:
        destroy_srq(w);
        break;
    case VERB_CREATE_AH:
        create_ah(w);
        break;
    case VERB_DESTROY_AH:
        destroy_ah(w);
        break;
    case VERB_CREATE_QP:
        create_qp(w);
        break;
    case VERB_DESTROY_QP:
        destroy_qp(w);
        break;
    case VERB_CONNECT:
        connect(w);
        break;
    case VERB_MODIFY_QP:
        modify_qp(w);
        break;
    case VERB_REG_MR:
        reg_mr(w);
        break;
    case VERB_DEREG_MR:
        dereg_mr(w);
        break;
    case VERB_DEREG_MRS:
        dereg_mrs(w);
        break;
    case VERB_ALLOC_MR:
        alloc_mr(w);
        break;
    case VERB_MAP_MR_SG:
        map_mr_sg(w);
        break;
    case VERB_FAST_REG:
        fast_reg(w);
        break;
    case VERB_INVALIDATE:
        invalidate(w);
        break;
    case VERB_GET_DMA_MR:
        get_dma_mr(w);
        break;
    case VERB_DMA_MAP:
        dma_map(w);
        break;
    case VERB_DMA_UNMAP:
        dma_unmap(w);
        break;
    case VERB_DETACH:
        detach(w);
        break;
    case VERB_ENVIRONMENT:
        w->environment = w->operand[1] % ENVIRONMENTS;
        rvt_set_thread_environment(verbs_environment(w->environment));
        break;
    case VERB_FAIL:
        w->failing = true;
        w->fail_after = w->operand[1] % 16;
        break;
    case VERB_QUERY:
        query(w);
        break;
    case VERB_COUNT_MR:
        count_mr(w);
        break;
    case VERB_TAIL:
        write_tail(w);
        break;
    case VERB_INTERRUPT:
    case VERB_INTERRUPT_WINDOW:
        arm_interrupt(w);
        break;
    case VERB_CHECK_QP:
        create_check_qp(w);
        break;
    default:
        if (!verbs_perform_window(w))
            verbs_perform_work(w);
        break;
    }
}
