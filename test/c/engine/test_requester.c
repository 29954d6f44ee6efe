/* SPDX-License-Identifier: BSD-3-Clause */
/* The requester's side: which peers it finds, what completes, retries when the peer has no receive, and its own
 * failures. */
#include "verbs.h"

static alignas(4096) unsigned char bytes[4 * PAGE];

static const struct {
    uint32_t opcode, wc_opcode;
    bool uc;
} all[] = {
    {RVT_WR_SEND, RVT_WC_OPCODE_SEND, true},
    {RVT_WR_SEND_WITH_IMM, RVT_WC_OPCODE_SEND, true},
    {RVT_WR_SEND_WITH_INV, RVT_WC_OPCODE_SEND, false},
    {RVT_WR_RDMA_WRITE, RVT_WC_OPCODE_RDMA_WRITE, true},
    {RVT_WR_RDMA_WRITE_WITH_IMM, RVT_WC_OPCODE_RDMA_WRITE, true},
    {RVT_WR_RDMA_READ, RVT_WC_OPCODE_RDMA_READ, false},
    {RVT_WR_ATOMIC_CMP_AND_SWP, RVT_WC_OPCODE_COMP_SWAP, false},
    {RVT_WR_ATOMIC_FETCH_AND_ADD, RVT_WC_OPCODE_FETCH_ADD, false},
    {RVT_WR_REG_MR, RVT_WC_OPCODE_REG_MR, true},
    {RVT_WR_LOCAL_INV, RVT_WC_OPCODE_LOCAL_INV, true},
};
enum { ALL = sizeof(all) / sizeof(all[0]) };

/* A work request of each opcode that is valid for the requester. */
static struct rvt_send_wr request_of(unsigned i, const struct rvt_ib_sge *sge, struct rvt_mr_handle list) {
    return SEND_WR(.wr_id = i, .opcode = all[i].opcode, .sges = sge, .num_sge = 1, .mr = list,
                   .key = fixture_key(list), .invalidate_rkey = fixture_key(list));
}

/* A peer that is missing, in the wrong state or of another type fails everything, local operations too: RC with
 * RETRY_EXC_ERR, UC with SUCCESS. */
static void a_peer_that_cannot_be_reached_fails_every_opcode(void) {
    enum { NOBODY, IN_RESET, IN_INIT, IN_ERR, OTHER_TYPE, UD_TYPE, QPN_0, QPN_1, GONE, WAYS };
    for (int way = 0; way < WAYS; way++) {
        for (enum rvt_qp_type type = RVT_QPT_RC; type <= RVT_QPT_UC; type++) {
            for (unsigned i = 0; i < ALL; i++) {
                struct verbs v;
                if (type == RVT_QPT_UC && !all[i].uc)
                    continue;
                REQUIRE(verbs_open(&v, AT_ONCE));
                struct vmr mr = make_mr(&v, bytes, PAGE);
                struct rvt_mr_handle list = {0};
                CHECK_EQ(rvt_alloc_mr(v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
                const enum rvt_qp_type other = type == RVT_QPT_RC ? RVT_QPT_UC : RVT_QPT_RC;
                struct vqp a = make_qp(&v, type);
                struct vqp b = make_qp(&v, way == OTHER_TYPE ? other : way == UD_TYPE ? RVT_QPT_UD : type);
                connect_qp(&a, way == NOBODY ? 99 : way == QPN_0 ? 0 : way == QPN_1 ? 1 : b.qpn);
                if (way == IN_INIT || way == IN_ERR)
                    bring_to(&b, usual_attr(a.qpn), way == IN_INIT ? RVT_QPS_INIT : RVT_QPS_ERR);
                if (way == OTHER_TYPE || way == UD_TYPE || way == GONE)
                    connect_qp(&b, a.qpn);
                if (way == GONE)
                    CHECK_EQ(rvt_destroy_qp(b.handle), 0);
                const struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
                CHECK_EQ(post(&a, request_of(i, &sge, list)), 0);
                enum rvt_wc_cause cause = RVT_WHY_NO_PEER;
                uint32_t value = 0;
                if (way == IN_INIT || way == IN_ERR) {
                    cause = RVT_WHY_PEER_STATE;
                    value = way == IN_INIT ? RVT_QPS_INIT : RVT_QPS_ERR;
                } else if (way == OTHER_TYPE || way == UD_TYPE) {
                    cause = RVT_WHY_PEER_TYPE;
                    value = way == UD_TYPE ? RVT_QPT_UD : other;
                }
                const bool rc = type == RVT_QPT_RC;
                WC(a.scq, .wr_id = i, .qp_num = a.qpn, .opcode = all[i].wc_opcode, .byte_len = 8,
                   .status = rc ? RVT_WC_STATUS_RETRY_EXC_ERR : RVT_WC_STATUS_SUCCESS, .cause = cause,
                   .cause_value = value);
                NO_WC(a.scq);
                CHECK_EQ(state_of(&a), rc ? RVT_QPS_ERR : RVT_QPS_RTS);
                AT_REST(mr);
                NO_EVENT(&v);
                verbs_close(&v);
            }
        }
    }
}

static void a_peer_in_rtr_rts_or_sqd_is_reached(void) {
    for (enum rvt_qp_state state = RVT_QPS_RTR; state <= RVT_QPS_SQD; state++) {
        struct verbs v;
        REQUIRE(verbs_open(&v, AT_ONCE));
        struct vqp a = make_qp(&v, RVT_QPT_RC), b = make_qp(&v, RVT_QPT_RC);
        connect_qp(&a, b.qpn);
        bring_to(&b, usual_attr(99), state); /* it need not be connected to the requester */
        CHECK_EQ(post_receive(&b, 4, NULL, 0), 0);
        CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
        WC(a.scq, .qp_num = a.qpn);
        WC(b.rcq, .wr_id = 4, .qp_num = b.qpn, .src_qp = 99, .opcode = RVT_WC_OPCODE_RECV, .slid = 7, .sl = 5,
           .port = 1);
        verbs_close(&v);
    }
}

/* Which work requests complete with an entry: ALL, or the signaled and the failed ones. */
static void signaling(void) {
    for (enum rvt_sig_type sig = RVT_SIGNAL_ALL_WR; sig <= RVT_SIGNAL_REQ_WR; sig++) {
        for (uint32_t signaled = 0; signaled < 2; signaled++) {
            for (int fails = 0; fails < 2; fails++) {
                struct verbs v;
                REQUIRE(verbs_open(&v, AT_ONCE));
                struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.sig_type = sig});
                connect_qp(&a, fails ? 99 : a.qpn);
                CHECK_EQ(post(&a, PLAIN_WR(.wr_id = 8, .opcode = RVT_WR_RDMA_WRITE,
                                           .flags = signaled * RVT_SEND_SIGNALED)),
                         0);
                if (fails)
                    WC(a.scq, .wr_id = 8, .qp_num = a.qpn, .status = RVT_WC_STATUS_RETRY_EXC_ERR,
                       .opcode = RVT_WC_OPCODE_RDMA_WRITE, .cause = RVT_WHY_NO_PEER);
                else if (sig == RVT_SIGNAL_ALL_WR || signaled)
                    WC(a.scq, .wr_id = 8, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
                NO_WC(a.scq);
                CHECK_EQ(query_qp(&a).sends, 0);
                verbs_close(&v);
            }
        }
    }
}

/* The order of a failure: the failed request, then the requester's receives, later its other sends. */
static void the_rest_is_flushed_after_a_failure(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 16);
    struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = cq, .recv_cq = cq});
    connect_qp(&a, 99);
    CHECK_EQ(post_receive(&a, 1, NULL, 0), 0);
    CHECK_EQ(post_receive(&a, 2, NULL, 0), 0);
    const struct rvt_send_wr wrs[] = {PLAIN_WR(.wr_id = 3, .opcode = RVT_WR_SEND),
                                      PLAIN_WR(.wr_id = 4, .opcode = RVT_WR_RDMA_READ),
                                      PLAIN_WR(.wr_id = 5, .opcode = RVT_WR_RDMA_WRITE)};
    CHECK_EQ(rvt_post_send(a.handle, wrs, 3, NULL), 0);
    WC(cq, .wr_id = 3, .qp_num = a.qpn, .status = RVT_WC_STATUS_RETRY_EXC_ERR, .cause = RVT_WHY_NO_PEER);
    for (uint64_t i = 1; i < 3; i++)
        WC(cq, .wr_id = i, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
           .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
    WC(cq, .wr_id = 4, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
       .opcode = RVT_WC_OPCODE_RDMA_READ, .cause = RVT_WHY_FLUSHED);
    WC(cq, .wr_id = 5, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
       .opcode = RVT_WC_OPCODE_RDMA_WRITE, .cause = RVT_WHY_FLUSHED);
    NO_WC(cq);
    verbs_close(&v);
}

/* A UC queue pair stays in RTS, and its other requests wait for the next post or kick. */
static void a_uc_queue_pair_stalls_after_a_failure(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp a = make_qp(&v, RVT_QPT_UC);
    connect_qp(&a, 99);
    const struct rvt_send_wr wrs[] = {SEND_WR(.wr_id = 1, .opcode = RVT_WR_SEND),
                                      SEND_WR(.wr_id = 2, .opcode = RVT_WR_SEND),
                                      SEND_WR(.wr_id = 3, .opcode = RVT_WR_SEND)};
    CHECK_EQ(rvt_post_send(a.handle, wrs, 3, NULL), 0);
    for (uint64_t i = 1; i < 4; i++) {
        WC(a.scq, .wr_id = i, .qp_num = a.qpn, .cause = RVT_WHY_NO_PEER);
        NO_WC(a.scq);
        CHECK_EQ(query_qp(&a).sends, 3 - i);
        CHECK_EQ(state_of(&a), RVT_QPS_RTS);
        run_engine(&v); /* it is not ready */
        NO_WC(a.scq);
        CHECK_EQ(rvt_kick_qp(a.handle), 0);
    }
    verbs_close(&v);
}

/* A failed UC request is completed only if it is signaled, unless its status is an error. */
static void a_uc_failure_is_silent_without_signaling(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp a = make_qp(&v, RVT_QPT_UC), b = make_qp(&v, RVT_QPT_UC);
    connect_qp(&a, b.qpn);
    CHECK_EQ(post(&a, PLAIN_WR(.wr_id = 1, .opcode = RVT_WR_SEND)), 0);
    NO_WC(a.scq);
    connect_qp(&b, a.qpn);
    struct vmr mr = make_mr(&v, bytes, PAGE);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
    CHECK_EQ(
        post(&a, PLAIN_WR(.wr_id = 2, .opcode = RVT_WR_RDMA_WRITE, .sges = &sge, .num_sge = 1, .rkey = 1)),
        0);
    struct rvt_wc wc;
    CHECK_EQ(rvt_poll_cq(a.scq, 1, &wc), 1);
    CHECK_EQ(wc.status, RVT_WC_STATUS_REM_ACCESS_ERR);
    CHECK_EQ(wc.wr_id, 2);
    verbs_close(&v);
}

/* --- no receive --- */

static void uc_drops_a_message_without_a_receive(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_UC, &a, &b);
    const struct rvt_send_wr wrs[] = {SEND_WR(.wr_id = 1, .opcode = RVT_WR_SEND),
                                      SEND_WR(.wr_id = 2, .opcode = RVT_WR_RDMA_WRITE_WITH_IMM),
                                      SEND_WR(.wr_id = 3, .opcode = RVT_WR_RDMA_WRITE)};
    CHECK_EQ(rvt_post_send(a.handle, wrs, 3, NULL), 0);
    WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .cause = RVT_WHY_NO_RECEIVE);
    WC(a.scq, .wr_id = 2, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .cause = RVT_WHY_NO_RECEIVE);
    WC(a.scq, .wr_id = 3, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
    CHECK_EQ(state_of(&b), RVT_QPS_RTS);
    NO_EVENT(&v);
    verbs_close(&v);
}

struct fired {
    uint32_t count;
    uint64_t qp[8];
    uint32_t usec[8];
};

static void note_fired(void *data, uint64_t qp, uint32_t usec) {
    struct fired *fired = data;
    if (fired->count < 8) {
        fired->qp[fired->count] = qp;
        fired->usec[fired->count] = usec;
    }
    fired->count++;
}

/* Fires the timers, and checks that exactly this one ran. */
static void fires(struct verbs *v, const struct vqp *qp, uint32_t usec) {
    struct fired fired = {0};
    CHECK_EQ(rvt_fire_timers(v->device, note_fired, &fired), qp ? 1 : 0);
    CHECK_EQ(fired.count, qp ? 1 : 0);
    if (qp) {
        CHECK_EQ(fired.qp[0], qp->serial);
        CHECK_EQ(fired.usec[0], usec);
    }
}

static const uint32_t rnr_times[32] = {655360, 10,    20,    30,     40,     60,     80,     120,
                                       160,    240,   320,   480,    640,    960,    1280,   1920,
                                       2560,   3840,  5120,  7680,   10240,  15360,  20480,  30720,
                                       40960,  61440, 81920, 122880, 163840, 245760, 327680, 491520};

static void the_peers_min_rnr_timer_decides_the_time(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp a = make_qp(&v, RVT_QPT_RC), b = make_qp(&v, RVT_QPT_RC);
    struct rvt_qp_attr attr = usual_attr(b.qpn);
    attr.rnr_retry = 7;
    bring_to(&a, attr, RVT_QPS_RTS);
    bring_to(&b, usual_attr(a.qpn), RVT_QPS_SQD);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    fires(&v, &a, rnr_times[12]);
    for (uint32_t i = 0; i < 32; i++) {
        attr.min_rnr_timer = i;
        CHECK_EQ(rvt_modify_qp(b.handle, &attr, RVT_QPA_MIN_RNR_TIMER), 0);
        fires(&v, &a, i ? rnr_times[i - 1] : rnr_times[12]);
    }
    verbs_close(&v);
}

/* rnr_retry n: n retries, then the error; 7: for ever. The counter is reloaded by a completion and by modifying
 * rnr_retry. */
static void retries_are_counted(void) {
    for (uint32_t retries = 0; retries < 8; retries++) {
        struct verbs v;
        REQUIRE(verbs_open(&v, AT_ONCE));
        struct vqp a = make_qp(&v, RVT_QPT_RC), b = make_qp(&v, RVT_QPT_RC);
        struct rvt_qp_attr attr = usual_attr(b.qpn);
        attr.rnr_retry = retries;
        bring_to(&a, attr, RVT_QPS_RTS);
        connect_qp(&b, a.qpn);
        CHECK_EQ(post(&a, SEND_WR(.wr_id = 1, .opcode = RVT_WR_SEND)), 0);
        for (uint32_t round = 0; round < retries; round++) {
            EVENT(&v, RVT_EVENT_TIMER, a.serial);
            NO_EVENT(&v);
            NO_WC(a.scq);
            run_engine(&v); /* nothing of the queue pair is carried out while it waits */
            CHECK_EQ(rvt_kick_qp(a.handle), 0);
            NO_WC(a.scq);
            fires(&v, &a, rnr_times[12]);
        }
        if (retries == 7) {
            /* The peer gets a receive: the message arrives after the timer. */
            CHECK_EQ(post_receive(&b, 9, NULL, 0), 0);
            NO_WC(a.scq);
            fires(&v, &a, rnr_times[12]);
            WC(a.scq, .wr_id = 1, .qp_num = a.qpn);
            CHECK_EQ(state_of(&b), RVT_QPS_RTS);
        } else {
            WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .status = RVT_WC_STATUS_RNR_RETRY_EXC_ERR,
               .cause = RVT_WHY_NO_RECEIVE);
            CHECK_EQ(state_of(&a), RVT_QPS_ERR);
            CHECK_EQ(state_of(&b), RVT_QPS_RTS); /* the peer is not touched */
        }
        fires(&v, NULL, 0);
        verbs_close(&v);
    }
}

static void a_completion_and_a_change_reload_the_counter(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b); /* rnr_retry is 2 */
    struct rvt_qp_attr attr = usual_attr(b.qpn);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
        fires(&v, &a, rnr_times[12]);
        if (round == 1) { /* no retry is left; it waits, and gets two more */
            CHECK_EQ(move_qp(&a, attr, RVT_QPS_SQD), 0);
            CHECK_EQ(rvt_modify_qp(a.handle, &attr, RVT_QPA_RNR_RETRY), 0);
            attr.state = RVT_QPS_RTS;
            CHECK_EQ(rvt_modify_qp(a.handle, &attr, RVT_QPA_STATE), 0);
            for (int i = 0; i < 3; i++)
                fires(&v, &a, rnr_times[12]);
        } else {
            CHECK_EQ(post_receive(&b, 1, NULL, 0), 0);
            fires(&v, &a, rnr_times[12]);
            WC(a.scq, .qp_num = a.qpn);
        }
        if (round == 1) {
            WC(a.scq, .qp_num = a.qpn, .status = RVT_WC_STATUS_RNR_RETRY_EXC_ERR,
               .cause = RVT_WHY_NO_RECEIVE);
            break;
        }
    }
    verbs_close(&v);
}

static void reads_writes_and_atomics_need_no_receive(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct vmr mr = make_mr(&v, bytes, PAGE);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
    static const uint32_t without[] = {RVT_WR_RDMA_WRITE, RVT_WR_RDMA_READ, RVT_WR_ATOMIC_CMP_AND_SWP,
                                       RVT_WR_ATOMIC_FETCH_AND_ADD};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(post(&a, SEND_WR(.opcode = without[i], .sges = &sge, .num_sge = 1,
                                  .remote_addr = mr.addr + 64, .rkey = mr.key)),
                 0);
        struct rvt_wc wc = {0};
        CHECK_EQ(rvt_poll_cq(a.scq, 1, &wc), 1);
        CHECK_EQ(wc.status, RVT_WC_STATUS_SUCCESS);
    }
    verbs_close(&v);
}

/* Waiting for the timer ends by ERR at once, and by RESET with the timer, not by SQD. */
static void a_change_of_state_while_waiting(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 1, .opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 2, .opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_SQD), 0);
    CHECK_EQ(query_qp(&a).sq_draining, true); /* the request that waits counts as started */
    fires(&v, &a, rnr_times[12]);
    NO_WC(a.scq);
    fires(&v, NULL, 0); /* SQD stops */
    CHECK_EQ(query_qp(&a).sends, 2);
    struct rvt_qp_attr attr = {.state = RVT_QPS_RTS};
    CHECK_EQ(rvt_modify_qp(a.handle, &attr, RVT_QPA_STATE), 0);
    fires(&v, NULL, 0); /* back in RTS nothing moves before a kick */
    CHECK_EQ(rvt_kick_qp(a.handle), 0);
    CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_ERR), 0);
    for (uint64_t i = 1; i < 3; i++)
        WC(a.scq, .wr_id = i, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
           .cause = RVT_WHY_FLUSHED);
    fires(&v, &a, rnr_times[12]); /* the timer is listed, without effect */
    NO_WC(a.scq);
    CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_RESET), 0);
    connect_qp(&a, b.qpn);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 3, .opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_RESET), 0);
    fires(&v, NULL, 0);
    NO_WC(a.scq);
    /* Destroyed while it waits. */
    connect_qp(&a, b.qpn);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 4, .opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(rvt_destroy_qp(a.handle), 0);
    fires(&v, NULL, 0);
    verbs_close(&v);
}

/* --- its own failures --- */

/* The send completion queue is full: the queue pair goes into error without an event, and the engine goes on. */
static void a_full_send_queue_puts_the_queue_pair_into_error(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle srq = make_srq(&v, 4, 1, 0);
    struct rvt_cq_handle one = make_cq(&v, 1), many = make_cq(&v, 8);
    struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = one, .recv_cq = many});
    struct vqp s = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = one, .srq = &srq});
    connect_qp(&a, a.qpn);
    connect_qp(&s, s.qpn);
    CHECK_EQ(post_receive(&a, 9, NULL, 0), 0);
    const struct rvt_send_wr wr = SEND_WR(.wr_id = 1, .opcode = RVT_WR_RDMA_WRITE);
    CHECK_EQ(rvt_post_send(a.handle, (struct rvt_send_wr[]){wr, wr, wr}, 3, NULL), 0);
    EVENT(&v, RVT_EVENT_CQ_ERR, cq_serial(one));
    EVENT(&v, RVT_EVENT_CQ_ERR, cq_serial(one)); /* the third, flushed */
    CHECK_EQ(state_of(&a), RVT_QPS_ERR);
    CHECK_EQ(query_qp(&a).sends, 0);
    WC(many, .wr_id = 9, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR, .opcode = RVT_WC_OPCODE_RECV,
       .cause = RVT_WHY_FLUSHED);
    CHECK_EQ(post(&s, wr), 0);
    EVENT(&v, RVT_EVENT_CQ_ERR, cq_serial(one));
    NO_EVENT(&v);
    CHECK_EQ(state_of(&s), RVT_QPS_ERR);
    verbs_close(&v);
}

static void bytes_that_cannot_be_resolved_fail_the_request(void) {
    static const uint32_t reads_from[] = {RVT_WR_SEND, RVT_WR_RDMA_WRITE, RVT_WR_RDMA_WRITE_WITH_IMM,
                                          RVT_WR_RDMA_READ, RVT_WR_ATOMIC_FETCH_AND_ADD};
    /* The access that the refused bytes were accepted for. */
    static const uint32_t own_access[] = {0, 0, 0, LOCAL_WRITE, LOCAL_WRITE};
    static const uint32_t peer_access[] = {LOCAL_WRITE, REMOTE_WRITE, REMOTE_WRITE, REMOTE_READ,
                                           REMOTE_ATOMIC};
    enum { OWN, PEERS };
    for (int whose = OWN; whose <= PEERS; whose++) {
        for (int i = 0; i < 5; i++) {
            struct verbs v;
            struct vqp a, b;
            struct fickle fickle = {.reason = RVT_OTHER_ENVIRONMENT, .data = bytes};
            REQUIRE(verbs_open(&v, AT_ONCE));
            make_pair(&v, RVT_QPT_RC, &a, &b);
            rvt_memory_init(&fickle.memory, &fickle_ops, PAGE);
            struct rvt_mr_handle lost = {0};
            CHECK_EQ(rvt_reg_user_mr(v.pd, &fickle.memory, 0x10000, 0x10000, ALL_ACCESS, &lost), 0);
            struct vmr mr = make_mr(&v, bytes + PAGE, PAGE);
            const struct rvt_ib_sge gone = {0x10000, 8, fixture_key(lost)}, there = sge_at(&mr, 0, 8);
            const struct rvt_ib_sge room = whose == OWN ? there : gone;
            CHECK_EQ(post_receive(&b, 3, &room, 1), 0);
            struct rvt_send_wr wr =
                SEND_WR(.wr_id = 4, .opcode = reads_from[i], .sges = whose == OWN ? &gone : &there,
                        .num_sge = 1, .remote_addr = whose == OWN ? mr.addr + 64 : 0x10000,
                        .rkey = whose == OWN ? mr.key : gone.lkey);
            CHECK_EQ(post(&a, wr), 0);
            struct rvt_wc wc = {0};
            CHECK_EQ(rvt_poll_cq(a.scq, 1, &wc), 1);
            CHECK_EQ(wc.wr_id, 4);
            const bool send = reads_from[i] == RVT_WR_SEND,
                       with_imm = reads_from[i] == RVT_WR_RDMA_WRITE_WITH_IMM;
            CHECK_EQ(wc.status, whose == OWN ? RVT_WC_STATUS_LOC_PROT_ERR
                                : send       ? RVT_WC_STATUS_REM_OP_ERR
                                             : RVT_WC_STATUS_REM_ACCESS_ERR);
            CHECK_EQ(wc.cause, whose == OWN ? RVT_WHY_LOCAL_REFUSED
                               : send       ? RVT_WHY_RECEIVE_REFUSED
                                            : RVT_WHY_REMOTE_REFUSED);
            CHECK_EQ(wc.refused.reason, RVT_OTHER_ENVIRONMENT);
            CHECK_EQ(wc.refused.addr, 0x10000);
            CHECK_EQ(wc.refused.length, 8);
            CHECK_EQ(wc.refused.key, gone.lkey);
            CHECK_EQ(wc.refused.judge, whose == PEERS && !send ? b.serial : 0);
            CHECK_EQ(wc.refused.access, whose == OWN ? own_access[i] : peer_access[i]);
            CHECK_EQ(state_of(&a), RVT_QPS_ERR);
            /* The responder fails if its own bytes are gone, or if it had taken the receive. A send with bad bytes
             * takes none. */
            const bool took = whose == PEERS || with_imm;
            CHECK_EQ(state_of(&b), took ? RVT_QPS_ERR : RVT_QPS_RTS);
            CHECK_EQ(query_qp(&b).receives, took ? 0 : 1);
            if (took) {
                CHECK_EQ(rvt_poll_cq(b.rcq, 1, &wc), 1);
                CHECK_EQ(wc.wr_id, 3);
                const bool flushed = whose == PEERS && !send && !with_imm;
                CHECK_EQ(wc.status, flushed        ? RVT_WC_STATUS_WR_FLUSH_ERR
                                    : whose == OWN ? RVT_WC_STATUS_LOC_QP_OP_ERR
                                                   : RVT_WC_STATUS_LOC_PROT_ERR);
                CHECK_EQ(wc.cause, flushed        ? RVT_WHY_FLUSHED
                                   : whose == OWN ? RVT_WHY_BROKEN_OFF
                                   : send         ? RVT_WHY_RECEIVE_REFUSED
                                                  : RVT_WHY_REMOTE_REFUSED);
            }
            NO_WC(b.rcq);
            AT_REST(mr);
            CHECK_EQ(fixture_query(lost).refs, 2);
            verbs_close(&v);
        }
    }
}

CHECK_MAIN(TEST(a_peer_that_cannot_be_reached_fails_every_opcode), TEST(a_peer_in_rtr_rts_or_sqd_is_reached),
           TEST(signaling), TEST(the_rest_is_flushed_after_a_failure),
           TEST(a_uc_queue_pair_stalls_after_a_failure), TEST(a_uc_failure_is_silent_without_signaling),
           TEST(uc_drops_a_message_without_a_receive), TEST(the_peers_min_rnr_timer_decides_the_time),
           TEST(retries_are_counted), TEST(a_completion_and_a_change_reload_the_counter),
           TEST(reads_writes_and_atomics_need_no_receive), TEST(a_change_of_state_while_waiting),
           TEST(a_full_send_queue_puts_the_queue_pair_into_error),
           TEST(bytes_that_cannot_be_resolved_fail_the_request))
