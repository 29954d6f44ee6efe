/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared receive queues. */
#include "verbs.h"

static int post_srq(struct rvt_srq_handle srq, uint64_t wr_id, const struct rvt_ib_sge *sges,
                    uint32_t count) {
    return rvt_post_srq_recv(srq, &(struct rvt_recv_wr){wr_id, sges, count}, 1, NULL);
}

/* A queue pair of the domain that takes its receives from the queue, connected to dest_qpn. */
static struct vqp make_taker(struct verbs *v, struct rvt_pd_handle pd, const struct rvt_srq_handle *srq,
                             enum rvt_qp_type type, uint32_t dest_qpn) {
    struct vqp qp = make_qp_with(v, pd, (struct rvt_qp_init){.type = type, .srq = srq});
    connect_qp(&qp, dest_qpn);
    return qp;
}

static void creating_tests_its_arguments_in_order(void) {
    struct verbs v;
    struct rvt_limits limits = usual_limits();
    limits.of[RVT_LIMIT_MAX_SRQ] = 1;
    REQUIRE(verbs_open_with(&v, limits, AT_ONCE));
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, false), 0);
    struct rvt_srq_handle srq, first;
    struct rvt_srq_init init = {.max_wr = 0, .max_sge = 0, .limit = UINT32_MAX};
    FAILS(rvt_create_srq((struct rvt_pd_handle){0}, &init, &srq), RVT_EBADF, RVT_CAUSE_PD_GONE);
    FAILS(rvt_create_srq(v.other_pd, &init, &srq), RVT_EOPNOTSUPP, RVT_CAUSE_SRQ_TYPE);
    init.basic = true;
    static const uint32_t sges[] = {0, 9, UINT32_MAX}, wrs[] = {0, 65, UINT32_MAX};
    for (int i = 0; i < 3; i++) {
        init.max_sge = sges[i];
        FAILS_WITH(rvt_create_srq(v.other_pd, &init, &srq), RVT_EINVAL, RVT_CAUSE_CAPACITY, sges[i], 8,
                   RVT_CAPACITY_SRQ_SGE);
    }
    init.max_sge = 8;
    for (int i = 0; i < 3; i++) {
        init.max_wr = wrs[i];
        FAILS_WITH(rvt_create_srq(v.other_pd, &init, &srq), RVT_EINVAL, RVT_CAUSE_CAPACITY, wrs[i], 64,
                   RVT_CAPACITY_SRQ_WR);
    }
    init.max_wr = 64;
    FAILS(rvt_create_srq(v.other_pd, &init, &srq), RVT_EBADF, RVT_CAUSE_PD_GONE);
    CHECK_EQ(rvt_create_srq(v.pd, &init, &first), 0);
    CHECK_EQ(query_srq(first).limit, UINT32_MAX); /* not checked */
    FAILS_WITH(rvt_create_srq(v.pd, &init, &srq), RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_SRQ, 1,
               0);
    CHECK_EQ(rvt_destroy_srq(first), 0);
    CHECK_EQ(rvt_create_srq(v.pd, &init, &srq), 0);
    verbs_close(&v);
}

static void a_stale_handle_is_refused(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle handles[] = {make_srq(&v, 1, 1, 0), {0}};
    CHECK_EQ(rvt_destroy_srq(handles[0]), 0);
    for (int i = 0; i < 2; i++) {
        struct rvt_srq_attr attr;
        uint32_t bad = 7;
        FAILS(rvt_query_srq(handles[i], &attr), RVT_EBADF, RVT_CAUSE_SRQ_GONE);
        FAILS(rvt_modify_srq(handles[i], RVT_SRQ_SET_LIMIT, 0, 0), RVT_EBADF, RVT_CAUSE_SRQ_GONE);
        FAILS(rvt_destroy_srq(handles[i]), RVT_EBADF, RVT_CAUSE_SRQ_GONE);
        FAILS(rvt_post_srq_recv(handles[i], &(struct rvt_recv_wr){0}, 1, &bad), RVT_EBADF,
              RVT_CAUSE_SRQ_GONE);
        CHECK_EQ(bad, 0);
    }
    verbs_close(&v);
}

static void posting_stops_at_the_first_bad_receive(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle srq = make_srq(&v, 3, 2, 0);
    struct rvt_ib_sge sges[3] = {{0}};
    struct rvt_recv_wr wrs[] = {{1, sges, 2}, {2, NULL, 0}, {3, sges, 3}, {4, sges, 1}};
    uint32_t bad = 7;
    FAILS_WITH(rvt_post_srq_recv(srq, wrs, 4, &bad), RVT_EINVAL, RVT_CAUSE_WR_SGES, 3, 2, 2);
    CHECK_EQ(bad, 2);
    CHECK_EQ(query_srq(srq).held, 2);
    wrs[2].num_sge = 1;
    FAILS_WITH(rvt_post_srq_recv(srq, wrs + 2, 2, &bad), RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 3, 3, 1);
    CHECK_EQ(bad, 1);
    CHECK_EQ(query_srq(srq).held, 3);
    FAILS_WITH(rvt_post_srq_recv(srq, wrs, 1, NULL), RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 3, 3, 0);
    CHECK_EQ(rvt_post_srq_recv(srq, wrs, 0, &bad), 0);
    verbs_close(&v);
}

static void modifying_is_all_or_nothing(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    enum { WR = RVT_SRQ_SET_MAX_WR, LIMIT = RVT_SRQ_SET_LIMIT, BOTH = WR | LIMIT };
    struct rvt_srq_handle srq = make_srq(&v, 8, 1, 5);
    for (uint64_t i = 0; i < 3; i++)
        CHECK_EQ(post_srq(srq, i, NULL, 0), 0);
    static const struct {
        uint32_t mask, max_wr, limit;
        enum rvt_cause cause; /* NONE: it succeeds */
        uint64_t value, bound, index;
        uint32_t then_wr, then_limit;
    } steps[] = {
        {WR, 65, 0, RVT_CAUSE_CAPACITY, 65, 64, RVT_CAPACITY_SRQ_WR, 8, 5},
        {WR, 4, 0, RVT_CAUSE_SRQ_LIMIT, 5, 4, WR, 8, 5},
        {BOTH, 4, 5, RVT_CAUSE_SRQ_LIMIT, 5, 4, BOTH, 8, 5},
        {BOTH, 2, 1, RVT_CAUSE_SRQ_BELOW_HELD, 2, 3, 0, 8, 5},
        {BOTH, 65, 1, RVT_CAUSE_CAPACITY, 65, 64, RVT_CAPACITY_SRQ_WR, 8, 5},
        {LIMIT, 0, 9, RVT_CAUSE_SRQ_LIMIT, 9, 8, LIMIT, 8, 5},
        {LIMIT, 0, 8, RVT_CAUSE_NONE, 0, 0, 0, 8, 8},
        {BOTH, 3, 3, RVT_CAUSE_NONE, 0, 0, 0, 3, 3},
        {WR, 64, 99, RVT_CAUSE_NONE, 0, 0, 0, 64, 3},
        {0, 65, 99, RVT_CAUSE_NONE, 0, 0, 0, 64, 3},
        {LIMIT, 0, 0, RVT_CAUSE_NONE, 0, 0, 0, 64, 0},
        {WR, 3, 0, RVT_CAUSE_NONE, 0, 0, 0, 3, 0},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int answer = rvt_modify_srq(srq, steps[i].mask, steps[i].max_wr, steps[i].limit);
        if (steps[i].cause)
            FAILS_WITH(answer, RVT_EINVAL, steps[i].cause, steps[i].value, steps[i].bound, steps[i].index);
        else
            CHECK_EQ(answer, 0);
        struct rvt_srq_attr attr = query_srq(srq);
        CHECK_EQ(attr.max_wr, steps[i].then_wr);
        CHECK_EQ(attr.limit, steps[i].then_limit);
        CHECK_EQ(attr.held, 3);
        CHECK_EQ(attr.max_sge, 1);
    }
    NO_EVENT(&v); /* setting the limit never reports */
    verbs_close(&v);
}

static void a_queue_of_zero_receives_is_legal_after_modifying(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle srq = make_srq(&v, 4, 1, 0);
    uint64_t held = rvt_held_bytes(v.device);
    CHECK_EQ(rvt_modify_srq(srq, RVT_SRQ_SET_MAX_WR, 0, 0), 0);
    CHECK(rvt_held_bytes(v.device) < held);
    FAILS_WITH(post_srq(srq, 1, NULL, 0), RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 0, 0, 0);
    CHECK_EQ(rvt_modify_srq(srq, RVT_SRQ_SET_MAX_WR, 4, 0), 0);
    CHECK_EQ(rvt_held_bytes(v.device), held);
    CHECK_EQ(post_srq(srq, 1, NULL, 0), 0);
    verbs_close(&v);
}

/* Receives keep their order and their elements when the queue is resized in the middle of its ring. */
static void receives_survive_resizing(void) {
    static unsigned char from[4], to[64];
    struct verbs v;
    struct vqp a = {0}, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle srq = make_srq(&v, 5, 2, 0);
    a = make_qp(&v, RVT_QPT_RC);
    b = make_taker(&v, v.pd, &srq, RVT_QPT_RC, a.qpn);
    connect_qp(&a, b.qpn);
    struct vmr source = make_mr(&v, from, sizeof(from)), target = make_mr(&v, to, sizeof(to));
    uint64_t posted = 0, taken = 0;
    static const uint32_t sizes[] = {5, 9, 4, 64, 5};
    for (int round = 0; round < 5; round++) {
        CHECK_EQ(rvt_modify_srq(srq, RVT_SRQ_SET_MAX_WR, sizes[round], 0), 0);
        while (query_srq(srq).held < 4) {
            /* Two elements of 1 and 3 bytes. */
            struct rvt_ib_sge sges[] = {sge_at(&target, posted % 16 * 4, 1),
                                        sge_at(&target, posted % 16 * 4 + 1, 3)};
            CHECK_EQ(post_srq(srq, posted++, sges, 2), 0);
        }
        for (int i = 0; i < 3; i++, taken++) {
            memset(from, (int)taken + 1, sizeof(from));
            memset(to, 0, sizeof(to));
            struct rvt_ib_sge sge = sge_at(&source, 0, 4);
            CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
            WC(b.rcq, .wr_id = taken, .qp_num = b.qpn, .src_qp = a.qpn, .opcode = RVT_WC_OPCODE_RECV,
               .byte_len = 4, .slid = 7, .sl = 5, .port = 1);
            WC(a.scq, .qp_num = a.qpn, .byte_len = 4);
            CHECK_BYTES_EQ(to + taken % 16 * 4, from, 4);
        }
    }
    AT_REST(source);
    AT_REST(target);
    verbs_close(&v);
}

static void the_limit_event_comes_once_when_fewer_receives_are_left(void) {
    static unsigned char bytes[16];
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle srq = make_srq(&v, 8, 1, 2);
    struct vqp a = make_qp(&v, RVT_QPT_RC);
    struct vqp b = make_taker(&v, v.pd, &srq, RVT_QPT_RC, a.qpn);
    connect_qp(&a, b.qpn);
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    for (uint64_t i = 0; i < 4; i++)
        CHECK_EQ(post_srq(srq, i, NULL, 0), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    NO_EVENT(&v); /* two are left, which is not below the limit */
    /* A receive without buffers counts as well. */
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_RDMA_WRITE_WITH_IMM)), 0);
    EVENT(&v, RVT_EVENT_SRQ_LIMIT, srq.srq->owned.serial);
    CHECK_PTR_EQ(v.events[0].user, &v);
    NO_EVENT(&v);
    CHECK_EQ(query_srq(srq).limit, 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    NO_EVENT(&v);
    /* A receive whose element is refused does not look at the limit. */
    struct rvt_ib_sge bad = {mr.addr, 4, mr.key ^ 1};
    CHECK_EQ(post_srq(srq, 9, &bad, 1), 0);
    CHECK_EQ(rvt_modify_srq(srq, RVT_SRQ_SET_LIMIT, 0, 3), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(query_srq(srq).limit, 3);
    EVENT(&v, RVT_EVENT_LAST_WQE, b.serial);
    NO_EVENT(&v);
    verbs_close(&v);
}

/* The domain of the shared queue judges the elements of its receives, not that of the queue pair. */
static void receives_are_checked_in_the_domain_of_the_queue(void) {
    static unsigned char bytes[32];
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle srq = make_srq_in(&v, v.other_pd, 8, 1, 0);
    struct vqp a = make_qp(&v, RVT_QPT_RC);
    struct vqp b = make_taker(&v, v.pd, &srq, RVT_QPT_RC, a.qpn);
    connect_qp(&a, b.qpn);
    struct vmr source = make_mr_in(v.pd, bytes, 8, 0),
               there = make_mr_in(v.other_pd, bytes + 8, 8, ALL_ACCESS),
               here = make_mr_in(v.pd, bytes + 16, 8, ALL_ACCESS);
    struct rvt_ib_sge from = sge_at(&source, 0, 8), good = sge_at(&there, 0, 8), bad = sge_at(&here, 0, 8);
    memset(bytes, 3, 8);
    CHECK_EQ(post_srq(srq, 1, &good, 1), 0);
    CHECK_EQ(post_srq(srq, 2, &bad, 1), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND, .sges = &from, .num_sge = 1)), 0);
    WC(b.rcq, .wr_id = 1, .qp_num = b.qpn, .src_qp = a.qpn, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 8,
       .slid = 7, .sl = 5, .port = 1);
    CHECK_BYTES_EQ(bytes + 8, bytes, 8);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND, .sges = &from, .num_sge = 1)), 0);
    struct rvt_wc wc =
        WC(b.rcq, .wr_id = 2, .qp_num = b.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR,
           .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_RECEIVE_REFUSED, .refused.reason = RVT_WRONG_PD);
    CHECK_EQ(wc.refused.judge, 0);
    CHECK_EQ(wc.refused.addr, bad.addr);
    CHECK_EQ(wc.refused.length, 8);
    CHECK_EQ(wc.refused.key, bad.lkey);
    CHECK_EQ(wc.refused.access, LOCAL_WRITE);
    AT_REST(source);
    AT_REST(there);
    AT_REST(here);
    verbs_close(&v);
}

/* The queue's domain closes by cascade while a queue pair of another domain uses it. */
static void a_queue_whose_domain_closes_is_empty_for_its_users(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle srq = make_srq_in(&v, v.other_pd, 8, 1, 0);
    struct vqp a = make_qp(&v, RVT_QPT_UC), c = make_qp(&v, RVT_QPT_UC);
    struct vqp b = make_taker(&v, v.pd, &srq, RVT_QPT_UC, a.qpn);
    struct vqp d = make_taker(&v, v.pd, &srq, RVT_QPT_UC, c.qpn);
    connect_qp(&a, b.qpn);
    connect_qp(&c, d.qpn);
    CHECK_EQ(post_srq(srq, 1, NULL, 0), 0);
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, true), 0);
    CHECK_EQ(post_srq(srq, 2, NULL, 0), -RVT_EBADF);
    /* A new queue takes the object of no other, because this one is still in use. */
    struct rvt_srq_handle next = make_srq(&v, 8, 1, 0);
    CHECK(next.srq != srq.srq);
    CHECK_EQ(post_srq(next, 3, NULL, 0), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    WC(a.scq, .qp_num = a.qpn, .cause = RVT_WHY_NO_RECEIVE);
    NO_WC(b.rcq);
    CHECK_EQ(rvt_destroy_qp(b.handle), 0);
    CHECK_EQ(post(&c, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    WC(c.scq, .qp_num = c.qpn, .cause = RVT_WHY_NO_RECEIVE);
    CHECK_EQ(rvt_destroy_qp(d.handle), 0);
    CHECK_EQ(query_srq(next).held, 1);
    /* Its object is free again. */
    struct rvt_srq_handle third = make_srq(&v, 8, 1, 0);
    CHECK_PTR_EQ(third.srq, srq.srq);
    /* Once more, closed by the device. */
    (void)make_taker(&v, v.pd, &third, RVT_QPT_RC, 2);
    verbs_close(&v);
}

static void queue_and_domain_are_busy_while_used(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle srq = make_srq_in(&v, v.other_pd, 1, 1, 0);
    struct vqp b = make_taker(&v, v.pd, &srq, RVT_QPT_RC, 2);
    FAILS_WITH(rvt_destroy_srq(srq), RVT_EBUSY, RVT_CAUSE_SRQ_IN_USE, 1, 0, 0);
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_destroy_qp(b.handle), 0);
    CHECK_EQ(rvt_destroy_srq(srq), 0);
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, false), 0);
    verbs_close(&v);
}

static int create_one(struct verbs *v) {
    return rvt_create_srq(v->pd, &(struct rvt_srq_init){.max_wr = 4, .max_sge = 2, .basic = true}, &v->srq);
}

static void prepare_one(struct verbs *v) {
    v->srq = make_srq(v, 4, 2, 0);
    CHECK_EQ(post_srq(v->srq, 5, NULL, 0), 0);
}

static int resize_one(struct verbs *v) {
    uint64_t held = rvt_held_bytes(v->device);
    int error = rvt_modify_srq(v->srq, RVT_SRQ_SET_MAX_WR | RVT_SRQ_SET_LIMIT, 8, 3);
    struct rvt_srq_attr attr = query_srq(v->srq);
    CHECK_EQ(attr.max_wr, error ? 4 : 8);
    CHECK_EQ(attr.limit, error ? 0 : 3);
    CHECK_EQ(attr.held, 1);
    if (error)
        CHECK_EQ(rvt_held_bytes(v->device), held);
    return error;
}

static void verbs_fail_cleanly_without_memory(void) {
    each_verb_allocation_fails(NULL, create_one, 4);
    each_verb_allocation_fails(prepare_one, resize_one, 2);
}

CHECK_MAIN(TEST(creating_tests_its_arguments_in_order), TEST(a_stale_handle_is_refused),
           TEST(posting_stops_at_the_first_bad_receive), TEST(modifying_is_all_or_nothing),
           TEST(a_queue_of_zero_receives_is_legal_after_modifying), TEST(receives_survive_resizing),
           TEST(the_limit_event_comes_once_when_fewer_receives_are_left),
           TEST(receives_are_checked_in_the_domain_of_the_queue),
           TEST(a_queue_whose_domain_closes_is_empty_for_its_users),
           TEST(queue_and_domain_are_busy_while_used), TEST(verbs_fail_cleanly_without_memory))
