/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults that the engine makes: missing receives, flushes, full completion queues, completions that come late, and refused
 * elements and remote accesses. */
#include "core/base/faults.h"
#include "verbs.h"

static unsigned char bytes[4096];

static struct rvt_fault_options rule_of(enum rvt_fault_kind kind, struct rvt_fault_rule rule) {
    struct rvt_fault_options faults = {.seed = 2};
    faults.rules[kind] = rule;
    return faults;
}

static bool open_with(struct verbs *v, bool manual, enum rvt_fault_kind kind, struct rvt_fault_rule rule) {
    const struct rvt_fault_options faults = rule_of(kind, rule);
    return verbs_open_faulty(v, usual_limits(), manual, &faults);
}

static void made(const struct verbs *v, enum rvt_fault_kind kind, uint64_t seen, uint64_t count) {
    struct rvt_fault_counts counts;
    rvt_count_faults(v->device->faults, &counts);
    CHECK_EQ(counts.seen[kind], seen);
    CHECK_EQ(counts.made[kind], count);
}

static int send_bytes(const struct vqp *qp, const struct vmr *mr, uint64_t wr_id) {
    const struct rvt_ib_sge sge = sge_at(mr, 0, 8);
    return post(qp, SEND_WR(.wr_id = wr_id, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1));
}

static int write_bytes(const struct vqp *qp, const struct vmr *mr, uint64_t wr_id) {
    const struct rvt_ib_sge sge = sge_at(mr, 0, 8);
    return post(qp, SEND_WR(.wr_id = wr_id, .opcode = RVT_WR_RDMA_WRITE, .sges = &sge, .num_sge = 1,
                            .remote_addr = mr->addr + 1024, .rkey = mr->key));
}

static int receive_bytes(const struct vqp *qp, const struct vmr *mr, uint64_t wr_id) {
    const struct rvt_ib_sge sge = sge_at(mr, 2048, 1024);
    return post_receive(qp, wr_id, &sge, 1);
}

#define SENT(qp, id) WC((qp).scq, .wr_id = (id), .qp_num = (qp).qpn, .byte_len = 8)
#define WRITTEN(qp, id)                                                                                      \
    WC((qp).scq, .wr_id = (id), .qp_num = (qp).qpn, .byte_len = 8, .opcode = RVT_WC_OPCODE_RDMA_WRITE)

/* The sender waits for the receiver's time although a receive is there, and then goes on. */
static void rnr_on_rc(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(open_with(&v, AT_ONCE, RVT_FAULT_RNR, (struct rvt_fault_rule){.at = 2}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    CHECK_EQ(receive_bytes(&b, &mr, 10), 0);
    CHECK_EQ(receive_bytes(&b, &mr, 11), 0);
    CHECK_EQ(send_bytes(&a, &mr, 1), 0);
    SENT(a, 1);
    CHECK_EQ(write_bytes(&a, &mr, 2), 0); /* takes no receive, so it is no occasion */
    WRITTEN(a, 2);
    CHECK_EQ(send_bytes(&a, &mr, 3), 0);
    NO_WC(a.scq);
    CHECK_EQ(query_qp(&b).receives, 1);
    CHECK_EQ(rvt_fire_timers(v.device, NULL, NULL), 1);
    SENT(a, 3);
    made(&v, RVT_FAULT_RNR, 3, 1);
    verbs_close(&v);
}

static void rnr_until_the_retries_are_used_up(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(open_with(&v, AT_ONCE, RVT_FAULT_RNR, (struct rvt_fault_rule){.probability = 1}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    CHECK_EQ(receive_bytes(&b, &mr, 10), 0);
    CHECK_EQ(send_bytes(&a, &mr, 1), 0);
    CHECK_EQ(rvt_fire_timers(v.device, NULL, NULL), 1);
    CHECK_EQ(rvt_fire_timers(v.device, NULL, NULL), 1);
    WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .byte_len = 8, .status = RVT_WC_STATUS_RNR_RETRY_EXC_ERR,
       .cause = RVT_WHY_INJECTED, .cause_value = RVT_FAULT_RNR);
    CHECK_EQ(state_of(&a), RVT_QPS_ERR);
    CHECK_EQ(state_of(&b), RVT_QPS_RTS);
    CHECK_EQ(query_qp(&b).receives, 1); /* it was not taken */
    made(&v, RVT_FAULT_RNR, 3, 3);
    AT_REST(mr);
    verbs_close(&v);
}

/* A message of UC or UD is dropped, and the sender is not told. */
static void rnr_on_uc_and_ud(void) {
    static const enum rvt_qp_type types[] = {RVT_QPT_UC, RVT_QPT_UD};
    for (unsigned i = 0; i < 2; i++) {
        struct verbs v;
        struct vqp a, b;
        REQUIRE(open_with(&v, AT_ONCE, RVT_FAULT_RNR, (struct rvt_fault_rule){.at = 1}));
        struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
        make_pair(&v, types[i], &a, &b);
        struct rvt_ah_handle ah = {0};
        CHECK_EQ(rvt_create_ah(v.pd, &(struct rvt_ah_attr){.dlid = 1, .port = 1}, &ah), 0);
        CHECK_EQ(receive_bytes(&b, &mr, 10), 0);
        for (uint64_t wr_id = 1; wr_id <= 2; wr_id++) {
            const struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
            CHECK_EQ(post(&a, SEND_WR(.wr_id = wr_id, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1,
                                      .ah = &ah, .remote_qpn = b.qpn, .remote_qkey = 0x11)),
                     0);
            CHECK_EQ(query_qp(&b).receives, wr_id == 1 ? 1 : 0);
        }
        struct rvt_wc wc[3];
        CHECK_EQ(rvt_poll_cq(a.scq, 3, wc), 2);
        CHECK_EQ(wc[0].status | wc[1].status, 0);
        CHECK_EQ(rvt_poll_cq(b.rcq, 3, wc), 1);
        made(&v, RVT_FAULT_RNR, 2, 1);
        verbs_close(&v);
    }
}

/* The work request in hand and those behind it are flushed, and nothing of them is carried out. */
static void flush(void) {
    static const enum rvt_qp_type types[] = {RVT_QPT_RC, RVT_QPT_UC};
    for (unsigned i = 0; i < 2; i++) {
        struct verbs v;
        struct vqp a, b;
        REQUIRE(open_with(&v, MANUAL, RVT_FAULT_FLUSH, (struct rvt_fault_rule){.at = 2}));
        struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
        make_pair(&v, types[i], &a, &b);
        CHECK_EQ(receive_bytes(&a, &mr, 10), 0);
        memset(bytes, 0, sizeof(bytes));
        CHECK_EQ(write_bytes(&a, &mr, 1), 0);
        CHECK_EQ(write_bytes(&a, &mr, 2), 0);
        CHECK_EQ(write_bytes(&a, &mr, 3), 0);
        bytes[0] = 9;
        run_engine(&v);
        WRITTEN(a, 1);
        CHECK_EQ(bytes[1024], 9);
        WC(a.scq, .wr_id = 2, .qp_num = a.qpn, .byte_len = 8, .opcode = RVT_WC_OPCODE_RDMA_WRITE,
           .status = RVT_WC_STATUS_WR_FLUSH_ERR, .cause = RVT_WHY_INJECTED, .cause_value = RVT_FAULT_FLUSH);
        WC(a.scq, .wr_id = 3, .qp_num = a.qpn, .byte_len = 8, .opcode = RVT_WC_OPCODE_RDMA_WRITE,
           .status = RVT_WC_STATUS_WR_FLUSH_ERR, .cause = RVT_WHY_FLUSHED);
        WC(a.rcq, .wr_id = 10, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RECV,
           .status = RVT_WC_STATUS_WR_FLUSH_ERR, .cause = RVT_WHY_FLUSHED);
        CHECK_EQ(state_of(&a), RVT_QPS_ERR);
        CHECK_EQ(state_of(&b), RVT_QPS_RTS);
        made(&v, RVT_FAULT_FLUSH, 2, 1);
        AT_REST(mr);
        verbs_close(&v);
    }
}

static void flush_of_datagrams(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(open_with(&v, AT_ONCE, RVT_FAULT_FLUSH, (struct rvt_fault_rule){.at = 1}));
    make_pair(&v, RVT_QPT_UD, &a, &b);
    struct rvt_ah_handle ah = {0};
    CHECK_EQ(rvt_create_ah(v.pd, &(struct rvt_ah_attr){.dlid = 1, .port = 1}, &ah), 0);
    CHECK_EQ(post_receive(&b, 10, NULL, 0), 0);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 1, .opcode = RVT_WR_SEND, .ah = &ah, .remote_qpn = b.qpn,
                              .remote_qkey = 0x11)),
             0);
    WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR, .cause = RVT_WHY_INJECTED,
       .cause_value = RVT_FAULT_FLUSH);
    CHECK_EQ(state_of(&a), RVT_QPS_ERR);
    CHECK_EQ(query_qp(&b).receives, 1);
    verbs_close(&v);
}

/* A queue pair with a shared receive queue reports its last work request, as after any error. */
static void a_flush_reports_the_last_wqe(void) {
    struct verbs v;
    REQUIRE(open_with(&v, AT_ONCE, RVT_FAULT_FLUSH, (struct rvt_fault_rule){.at = 1}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    struct rvt_srq_handle srq = make_srq(&v, 4, 1, 0);
    struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.srq = &srq}), b = make_qp(&v, RVT_QPT_RC);
    connect_qp(&a, b.qpn);
    connect_qp(&b, a.qpn);
    CHECK_EQ(write_bytes(&a, &mr, 1), 0);
    EVENT(&v, RVT_EVENT_LAST_WQE, a.serial);
    NO_EVENT(&v);
    verbs_close(&v);
}

static void overflow(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(open_with(&v, AT_ONCE, RVT_FAULT_OVERFLOW, (struct rvt_fault_rule){.at = 2}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    CHECK_EQ(write_bytes(&a, &mr, 1), 0);
    CHECK_EQ(write_bytes(&a, &mr, 2), 0);
    EVENT(&v, RVT_EVENT_CQ_ERR, cq_serial(a.scq));
    CHECK_EQ(state_of(&a), RVT_QPS_ERR);
    CHECK(query_cq(a.scq).broken);
    WRITTEN(a, 1);
    NO_WC(a.scq);
    CHECK(!query_cq(b.scq).broken);
    made(&v, RVT_FAULT_OVERFLOW, 2, 1);
    struct rvt_completion_counts counts;
    rvt_count_completions(v.device, &counts);
    CHECK_EQ(counts.lost, 1);
    /* A broken queue loses what comes: that is no occasion. */
    CHECK_EQ(write_bytes(&a, &mr, 3), 0);
    made(&v, RVT_FAULT_OVERFLOW, 2, 1);
    verbs_close(&v);
}

enum { LATE_USEC = 500 };

static bool open_slow(struct verbs *v, struct rvt_fault_rule rule) {
    rule.value = LATE_USEC;
    return open_with(v, AT_ONCE, RVT_FAULT_SLOW, rule);
}

/* A late completion holds back those behind it, for its time only. */
static void slow(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(open_slow(&v, (struct rvt_fault_rule){.at = 2}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    for (uint64_t i = 1; i <= 4; i++)
        CHECK_EQ(write_bytes(&a, &mr, i), 0);
    EVENT(&v, RVT_EVENT_TIMER, cq_serial(a.scq));
    NO_EVENT(&v);
    CHECK_EQ(query_cq(a.scq).held, 1);
    WRITTEN(a, 1);
    NO_WC(a.scq);
    CHECK_EQ(rvt_req_notify_cq(a.scq, RVT_NOTIFY_NEXT | RVT_NOTIFY_REPORT_MISSED), 0);
    CHECK_EQ(rvt_progress(v.device, 1000), 1000 + LATE_USEC);
    CHECK_EQ(rvt_progress(v.device, 1000 + LATE_USEC - 1), 1000 + LATE_USEC);
    NO_WC(a.scq);
    NO_EVENT(&v);
    CHECK_EQ(rvt_progress(v.device, 1000 + LATE_USEC), UINT64_MAX);
    EVENT(&v, RVT_EVENT_COMPLETION, cq_serial(a.scq));
    for (uint64_t i = 2; i <= 4; i++)
        WRITTEN(a, i);
    made(&v, RVT_FAULT_SLOW, 4, 1);
    verbs_close(&v);
}

/* Each late completion has a time of its own, which begins when those before it are visible. */
static void slow_ones_wait_one_after_the_other(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(open_slow(&v, (struct rvt_fault_rule){.every = 2}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    for (uint64_t i = 1; i <= 5; i++)
        CHECK_EQ(write_bytes(&a, &mr, i), 0);
    WRITTEN(a, 1);
    NO_WC(a.scq);
    CHECK_EQ(rvt_progress(v.device, 0), LATE_USEC);
    CHECK_EQ(rvt_progress(v.device, 700), 700 + LATE_USEC);
    WRITTEN(a, 2);
    WRITTEN(a, 3);
    NO_WC(a.scq);
    CHECK_EQ(rvt_progress(v.device, 5000), UINT64_MAX);
    WRITTEN(a, 4);
    WRITTEN(a, 5);
    NO_WC(a.scq);
    /* rvt_fire_timers() shows all, whatever the time. */
    for (uint64_t i = 6; i <= 9; i++)
        CHECK_EQ(write_bytes(&a, &mr, i), 0);
    CHECK_EQ(query_cq(a.scq).held, 0);
    CHECK_EQ(rvt_fire_timers(v.device, NULL, NULL), 0);
    for (uint64_t i = 6; i <= 9; i++)
        WRITTEN(a, i);
    made(&v, RVT_FAULT_SLOW, 9, 4);
    verbs_close(&v);
}

/* Late completions take room in the queue, so the queue overflows when it would without the fault. They are visible when the
 * host is told that it is broken. */
static void late_completions_take_room(void) {
    struct verbs v;
    REQUIRE(open_slow(&v, (struct rvt_fault_rule){.at = 1}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    struct rvt_cq_handle cq = make_cq(&v, 3);
    struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = cq}), b = make_qp(&v, RVT_QPT_RC);
    connect_qp(&a, b.qpn);
    connect_qp(&b, a.qpn);
    for (uint64_t i = 1; i <= 3; i++)
        CHECK_EQ(write_bytes(&a, &mr, i), 0);
    FAILS_WITH(rvt_resize_cq(cq, 2), RVT_EINVAL, RVT_CAUSE_CQE_BELOW_HELD, 2, 3, 0);
    CHECK(!query_cq(cq).broken);
    NO_WC(cq);
    CHECK_EQ(write_bytes(&a, &mr, 4), 0);
    CHECK(query_cq(cq).broken);
    for (uint64_t i = 1; i <= 3; i++)
        WRITTEN(a, i);
    NO_WC(cq);
    CHECK_EQ(rvt_progress(v.device, 0), UINT64_MAX);
    verbs_close(&v);
}

/* Queues, queue pairs and devices end with completions that are late. verbs_close() finds what leaks. */
static void ending_with_late_completions(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(open_slow(&v, (struct rvt_fault_rule){.probability = 1}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    CHECK_EQ(write_bytes(&a, &mr, 1), 0);
    CHECK_EQ(write_bytes(&b, &mr, 2), 0);
    CHECK_EQ(rvt_destroy_qp(a.handle), 0);
    WRITTEN(a, 1); /* at once: what is not there after the end of a queue pair never comes */
    NO_WC(b.scq);
    CHECK_EQ(rvt_destroy_cq(a.rcq), 0);
    CHECK_EQ(rvt_progress(v.device, 0), LATE_USEC);
    CHECK_EQ(rvt_progress(v.device, LATE_USEC), UINT64_MAX);
    WRITTEN(b, 2);
    CHECK_EQ(write_bytes(&b, &mr, 3), 0); /* its peer is gone: RC fails, and the completion is late */
    CHECK_EQ(rvt_destroy_qp(b.handle), 0);
    CHECK_EQ(rvt_destroy_cq(b.scq), 0);
    CHECK_EQ(rvt_progress(v.device, 2 * LATE_USEC), UINT64_MAX);
    verbs_close(&v);
}

/* A reset drops what has not completed. What has completed is visible then, on both sides, in order; the queue of another
 * queue pair waits. */
static void a_reset_shows_late_completions(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(open_slow(&v, (struct rvt_fault_rule){.probability = 1}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    const struct rvt_ib_sge sge = {mr.addr, 8, mr.key};
    const struct rvt_recv_wr receive = {.wr_id = 10, .sges = &sge, .num_sge = 1};
    const struct rvt_send_wr send = {
        .wr_id = 11, .opcode = RVT_WR_SEND, .flags = RVT_SEND_SIGNALED, .sges = &sge, .num_sge = 1};
    for (uint64_t i = 1; i <= 3; i++)
        CHECK_EQ(write_bytes(&a, &mr, i), 0);
    CHECK_EQ(rvt_post_recv(a.handle, &receive, 1, NULL), 0);
    CHECK_EQ(rvt_post_send(b.handle, &send, 1, NULL), 0);
    NO_WC(a.scq);
    NO_WC(a.rcq);
    CHECK_EQ(rvt_req_notify_cq(a.rcq, RVT_NOTIFY_NEXT), 0);
    CHECK_EQ(move_qp(&a, (struct rvt_qp_attr){0}, RVT_QPS_RESET), 0);
    for (uint64_t i = 1; i <= 3; i++)
        WRITTEN(a, i);
    struct rvt_wc wc;
    CHECK_EQ(rvt_poll_cq(a.rcq, 1, &wc), 1);
    CHECK(wc.wr_id == 10 && wc.status == RVT_WC_STATUS_SUCCESS);
    NO_WC(b.scq);
    (void)rvt_progress(v.device, 0);
    CHECK_EQ(rvt_progress(v.device, LATE_USEC), UINT64_MAX);
    CHECK_EQ(rvt_poll_cq(b.scq, 1, &wc), 1);
    CHECK_EQ(wc.wr_id, 11);
    verbs_close(&v);
}

/* If memory is short, completions are not late, and keep their order. */
static void no_memory_for_late_completions(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(open_slow(&v, (struct rvt_fault_rule){.probability = 1}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    CHECK_EQ(write_bytes(&a, &mr, 1), 0);
    rvt_test_alloc_fail_after(0);
    CHECK_EQ(write_bytes(&a, &mr, 2), 0);
    CHECK(rvt_test_alloc_failed());
    rvt_test_alloc_fail_after(-1);
    WRITTEN(a, 1);
    WRITTEN(a, 2);
    NO_WC(a.scq);
    CHECK_EQ(rvt_progress(v.device, 0), UINT64_MAX);
    verbs_close(&v);
}

/* A ring shows late completions when their time is over, not before. */
static void slow_in_a_ring(void) {
    enum { CQE = 4 };
    static _Alignas(64) unsigned char ring[4096];
    struct verbs v;
    REQUIRE(open_slow(&v, (struct rvt_fault_rule){.at = 2}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    REQUIRE(rvt_cq_ring_bytes(CQE) <= sizeof(ring));
    struct rvt_memory *memory = rvt_fixed_memory(ring, sizeof(ring));
    struct rvt_cq_handle cq = {0};
    CHECK_EQ(
        rvt_create_cq(v.device, NULL, &(struct rvt_cq_init){.cqe = CQE, .user = &v, .ring = memory}, &cq), 0);
    rvt_memory_put(memory);
    _Atomic(uint32_t) *words = (_Atomic(uint32_t) *)(void *)ring;
    struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = cq}), b = make_qp(&v, RVT_QPT_RC);
    connect_qp(&a, b.qpn);
    connect_qp(&b, a.qpn);
    for (uint64_t i = 1; i <= 3; i++)
        CHECK_EQ(write_bytes(&a, &mr, i), 0);
    CHECK_EQ(atomic_load(&words[RVT_RING_HEAD]), 1);
    (void)rvt_progress(v.device, 0);
    (void)rvt_progress(v.device, LATE_USEC);
    CHECK_EQ(atomic_load(&words[RVT_RING_HEAD]), 3);
    atomic_store(&words[RVT_RING_TAIL], 3);
    for (uint64_t i = 4; i <= 8; i++)
        CHECK_EQ(write_bytes(&a, &mr, i), 0);
    CHECK_EQ(atomic_load(&words[RVT_RING_HEAD]), 7);
    CHECK(query_cq(cq).broken);
    verbs_close(&v);
}

/* Elements of a work request, of a receive, and the peer's access. */
static void refusals(void) {
    struct verbs v;
    struct vqp a, b;
    for (uint64_t at = 1; at <= 3; at++) {
        REQUIRE(open_with(&v, AT_ONCE, RVT_FAULT_REFUSE,
                          (struct rvt_fault_rule){.at = at, .value = RVT_ACCESS_DENIED}));
        struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
        make_pair(&v, RVT_QPT_RC, &a, &b);
        CHECK_EQ(receive_bytes(&b, &mr, 10), 0); /* receives are judged when a message comes */
        if (at == 1) {
            FAILS_WITH(send_bytes(&a, &mr, 1), RVT_EINVAL, RVT_CAUSE_WR_SGE_REFUSED, 0, RVT_ACCESS_DENIED, 0);
        } else if (at == 2) {
            CHECK_EQ(send_bytes(&a, &mr, 1), 0);
            WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .byte_len = 8, .status = RVT_WC_STATUS_REM_OP_ERR,
               .cause = RVT_WHY_RECEIVE_REFUSED, .refused.reason = RVT_ACCESS_DENIED);
            CHECK_EQ(state_of(&b), RVT_QPS_ERR);
        } else {
            CHECK_EQ(send_bytes(&a, &mr, 1), 0);
            SENT(a, 1);
            CHECK_EQ(write_bytes(&a, &mr, 2), -RVT_EINVAL); /* its element is the third access */
            CHECK_EQ(write_bytes(&a, &mr, 2), 0);
            WRITTEN(a, 2);
        }
        AT_REST(mr);
        verbs_close(&v);
    }
    REQUIRE(open_with(&v, AT_ONCE, RVT_FAULT_REFUSE,
                      (struct rvt_fault_rule){.at = 2, .value = RVT_ACCESS_DENIED}));
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    memset(bytes, 0, sizeof(bytes));
    bytes[0] = 5;
    CHECK_EQ(write_bytes(&a, &mr, 1), 0);
    WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .byte_len = 8, .opcode = RVT_WC_OPCODE_RDMA_WRITE,
       .status = RVT_WC_STATUS_REM_ACCESS_ERR, .cause = RVT_WHY_REMOTE_REFUSED,
       .refused.reason = RVT_ACCESS_DENIED);
    CHECK_EQ(bytes[1024], 0);
    AT_REST(mr);
    verbs_close(&v);
}

/* The same seed gives the same completions, another seed others. */
static unsigned play(uint64_t seed) {
    struct rvt_fault_options faults = {.seed = seed};
    struct verbs v;
    struct vqp a, b;
    unsigned answers = 0;
    faults.rules[RVT_FAULT_RNR].probability = 0.4;
    if (!verbs_open_faulty(&v, usual_limits(), AT_ONCE, &faults))
        return 0;
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    for (unsigned i = 0; i < 16; i++) {
        struct rvt_wc wc;
        CHECK_EQ(receive_bytes(&b, &mr, i), 0);
        CHECK_EQ(send_bytes(&a, &mr, i), 0);
        answers = answers << 1 | (unsigned)rvt_poll_cq(a.scq, 1, &wc);
        while (rvt_fire_timers(v.device, NULL, NULL))
            ;
        (void)rvt_poll_cq(a.scq, 1, &wc);
    }
    verbs_close(&v);
    return answers;
}

static void the_same_seed_plays_the_same(void) {
    const unsigned first = play(3);
    CHECK(first != 0 && first != 0xffff);
    CHECK_EQ(play(3), first);
    CHECK(play(4) != first);
}

CHECK_MAIN(TEST(rnr_on_rc), TEST(rnr_until_the_retries_are_used_up), TEST(rnr_on_uc_and_ud), TEST(flush),
           TEST(flush_of_datagrams), TEST(a_flush_reports_the_last_wqe), TEST(overflow), TEST(slow),
           TEST(slow_ones_wait_one_after_the_other), TEST(late_completions_take_room),
           TEST(ending_with_late_completions), TEST(a_reset_shows_late_completions),
           TEST(no_memory_for_late_completions), TEST(slow_in_a_ring), TEST(refusals),
           TEST(the_same_seed_plays_the_same))
