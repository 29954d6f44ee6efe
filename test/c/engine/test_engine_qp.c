/* SPDX-License-Identifier: BSD-3-Clause */
/* Creating, querying and ending queue pairs with queues. */
#include "core/engine/engine_state.h"
#include "verbs.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

static struct rvt_qp_init usual_init(struct rvt_cq_handle cq) {
    return (struct rvt_qp_init){
        .type = RVT_QPT_RC,
        .sig_type = RVT_SIGNAL_ALL_WR,
        .send_cq = cq,
        .recv_cq = cq,
        .max_send_wr = 4,
        .max_send_sge = 2,
        .max_recv_wr = 5,
        .max_recv_sge = 3,
    };
}

static void a_new_queue_pair_is_in_reset_with_empty_queues(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    static const enum rvt_qp_type types[] = {RVT_QPT_RC, RVT_QPT_UC, RVT_QPT_UD};
    for (unsigned i = 0; i < 3; i++) {
        struct rvt_qp_init init = usual_init(make_cq(&v, 4));
        struct vqp qp = {0};
        init.type = types[i];
        CHECK_EQ(rvt_create_qp(v.pd, &init, &qp.handle, &qp.qpn), 0);
        struct rvt_qp_query query, expected = {
                                       .qpn = qp.qpn,
                                       .type = types[i],
                                       .sig_type = RVT_SIGNAL_ALL_WR,
                                       .max_send_wr = 4,
                                       .max_send_sge = 2,
                                       .max_recv_wr = 5,
                                       .max_recv_sge = 3,
                                   };
        memset(&query, 0, sizeof(query)); /* the bytes between the members */
        CHECK_EQ(rvt_query_qp(qp.handle, &query), 0);
        CHECK_EQ(query.qpn, expected.qpn);
        CHECK_EQ(query.type, expected.type);
        CHECK_EQ(query.sig_type, expected.sig_type);
        CHECK_EQ(query.max_send_wr, 4);
        CHECK_EQ(query.max_send_sge, 2);
        CHECK_EQ(query.max_recv_wr, 5);
        CHECK_EQ(query.max_recv_sge, 3);
        CHECK_EQ(query.sends, 0);
        CHECK_EQ(query.receives, 0);
        CHECK_EQ(query.sq_draining, false);
        static const struct rvt_qp_attr nothing = {.state = RVT_QPS_RESET,
                                                   .path_mig_state = RVT_MIG_MIGRATED};
        CHECK_BYTES_EQ(&query.attr, &nothing, sizeof(nothing));
        CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
    }
    verbs_close(&v);
}

static void numbers_begin_at_2_and_are_not_reused(void) {
    struct verbs v;
    struct rvt_limits limits = usual_limits();
    limits.of[RVT_LIMIT_MAX_QP] = 2;
    REQUIRE(verbs_open_with(&v, limits, AT_ONCE));
    struct rvt_qp_init init = usual_init(make_cq(&v, 4));
    struct rvt_qp_handle a, b, c;
    uint32_t qpn = 0;
    CHECK_EQ(rvt_create_qp(v.pd, &init, &a, &qpn), 0);
    CHECK_EQ(qpn, 2);
    CHECK_EQ(rvt_destroy_qp(a), 0);
    CHECK_EQ(rvt_create_qp(v.pd, &init, &a, &qpn), 0);
    CHECK_EQ(qpn, 3);
    CHECK_EQ(rvt_create_qp(v.pd, &init, &b, NULL), 0);
    /* A number is used up even if too many queue pairs exist. */
    FAILS_WITH(rvt_create_qp(v.pd, &init, &c, &qpn), RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_QP,
               2, 0);
    CHECK_EQ(rvt_destroy_qp(a), 0);
    CHECK_EQ(rvt_create_qp(v.pd, &init, &c, &qpn), 0);
    CHECK_EQ(qpn, 6);
    verbs_close(&v);
}

static void random_numbers_differ_and_are_24_bits(void) {
    struct rvt_dev_info *device;
    struct rvt_pd_handle pd;
    struct rvt_cq_handle cq;
    const long live = rvt_test_alloc_live();
    const struct rvt_device_options options = {.lkey_table_bits = 4};
    const struct rvt_engine_options engine = {.limits = usual_limits(), .random_qp_numbers = true};
    CHECK_EQ(rvt_register_device(&options, &engine, &device), 0);
    CHECK_EQ(rvt_alloc_pd(device, NULL, false, &pd), 0);
    CHECK_EQ(rvt_create_cq(device, NULL, &(struct rvt_cq_init){.cqe = 4}, &cq), 0);
    struct rvt_qp_init init = usual_init(cq);
    uint32_t qpns[64], high = 0;
    for (unsigned i = 0; i < 64; i++) {
        struct rvt_qp_handle qp;
        CHECK_EQ(rvt_create_qp(pd, &init, &qp, &qpns[i]), 0);
        CHECK(qpns[i] >= 2 && qpns[i] <= 0xffffff);
        high |= qpns[i];
        for (unsigned k = 0; k < i; k++)
            CHECK(qpns[i] != qpns[k]);
    }
    CHECK(high > 0xffff); /* fails once in 2^512 */
    struct rvt_qp_handle more;
    FAILS_WITH(rvt_create_qp(pd, &init, &more, NULL), RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_QP,
               64, 0);
    CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
    rvt_dev_put(device);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

#ifdef __linux__
/* Replaces the C library's function with the system call, unless it must fail. */
static bool random_fails;

int getentropy(void *buffer, size_t length) {
    return !random_fails && syscall(SYS_getrandom, buffer, length, 0) == (long)length ? 0 : -1;
}

static void creating_fails_without_random_numbers(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    v.device->engine->random_qp_numbers = true;
    struct rvt_qp_init init = usual_init(make_cq(&v, 4));
    struct rvt_qp_handle qp;
    random_fails = true;
    FAILS(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS);
    random_fails = false;
    CHECK_EQ(rvt_create_qp(v.pd, &init, &qp, NULL), 0);
    verbs_close(&v);
}
#else
/* A function of the C library cannot be replaced on every system. */
static void creating_fails_without_random_numbers(void) {}
#endif

/* The order of the tests: each step mends what the step before was refused for. */
static void creating_tests_its_arguments_in_order(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_ucontext *context;
    struct rvt_reader *reader = rvt_reader_register();
    CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &context), 0);
    struct rvt_cq_handle cq = make_cq(&v, 4), gone = make_cq(&v, 4), elsewhere = make_cq_in(&v, context, 4);
    CHECK_EQ(rvt_destroy_cq(gone), 0);
    struct rvt_qp_handle qp;
    struct rvt_qp_init init = {
        .type = RVT_QPT_RAW_PACKET,
        .send_cq = gone,
        .recv_cq = gone,
        .max_send_sge = 9,
        .max_send_wr = 65,
        .max_recv_sge = 9,
        .max_recv_wr = 65,
    };
    FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EINVAL, RVT_CAUSE_CAPACITY, 9, 8,
               RVT_CAPACITY_SEND_SGE);
    init.max_send_sge = 0;
    FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EINVAL, RVT_CAUSE_CAPACITY, 65, 64,
               RVT_CAPACITY_SEND_WR);
    init.max_send_wr = 0;
    FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EINVAL, RVT_CAUSE_CAPACITY, 9, 8,
               RVT_CAPACITY_RECV_SGE);
    init.max_recv_sge = 0;
    FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EINVAL, RVT_CAUSE_CAPACITY, 65, 64,
               RVT_CAPACITY_RECV_WR);
    init.max_recv_wr = 0;
    FAILS(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EINVAL, RVT_CAUSE_NO_CAPACITY);
    init.max_recv_wr = 1;
    FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EOPNOTSUPP, RVT_CAUSE_QP_TYPE, RVT_QPT_RAW_PACKET,
               0, 0);
    static const uint32_t types[] = {0, 1, 5, RVT_QPT_XRC_INI, UINT32_MAX};
    for (unsigned i = 0; i < 5; i++) {
        init.type = types[i];
        FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EOPNOTSUPP, RVT_CAUSE_QP_TYPE, types[i], 0, 0);
    }
    init.type = RVT_QPT_RC;
    FAILS(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EBADF, RVT_CAUSE_CQ_GONE);
    init.send_cq = cq;
    FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EBADF, RVT_CAUSE_CQ_GONE, 0, 0, 1);
    init.recv_cq = elsewhere;
    FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EINVAL, RVT_CAUSE_QUEUE_ELSEWHERE, RVT_RESOURCE_CQ,
               0, 1);
    init.recv_cq = cq;
    init.send_cq = elsewhere;
    FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EINVAL, RVT_CAUSE_QUEUE_ELSEWHERE, RVT_RESOURCE_CQ,
               0, 0);
    init.send_cq = cq;
    CHECK_EQ(query_cq(cq).held, 0);
    CHECK_EQ(rvt_create_qp(v.pd, &init, &qp, NULL), 0);
    CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
    rvt_free_ucontext(context);
    rvt_reader_unregister(reader);
    verbs_close(&v);
}

static void queues_must_be_of_the_same_device_and_context(void) {
    struct verbs v, w;
    REQUIRE(verbs_open(&v, AT_ONCE));
    REQUIRE(verbs_open(&w, AT_ONCE));
    w.live = v.live;
    struct rvt_ucontext *context;
    struct rvt_pd_handle pd;
    struct rvt_reader *reader = rvt_reader_register();
    CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &context), 0);
    CHECK_EQ(rvt_alloc_pd(v.device, context, false, &pd), 0);
    struct rvt_qp_handle qp;
    struct rvt_qp_init init = usual_init(make_cq(&w, 4));
    FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EINVAL, RVT_CAUSE_QUEUE_ELSEWHERE, RVT_RESOURCE_CQ,
               0, 0);
    init = usual_init(make_cq(&v, 4));
    struct rvt_srq_handle srqs[] = {make_srq(&w, 1, 1, 0), make_srq_in(&v, pd, 1, 1, 0),
                                    make_srq(&v, 1, 1, 0)};
    for (unsigned i = 0; i < 2; i++) {
        init.srq = &srqs[i];
        FAILS_WITH(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EINVAL, RVT_CAUSE_QUEUE_ELSEWHERE,
                   RVT_RESOURCE_SRQ, 0, 0);
    }
    init.srq = &srqs[2];
    CHECK_EQ(rvt_create_qp(v.pd, &init, &qp, NULL), 0);
    CHECK_EQ(rvt_destroy_qp(qp), 0);
    CHECK_EQ(rvt_destroy_srq(srqs[2]), 0);
    FAILS(rvt_create_qp(v.pd, &init, &qp, NULL), RVT_EBADF, RVT_CAUSE_SRQ_GONE);
    CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
    FAILS(rvt_create_qp(pd, &init, &qp, NULL), RVT_EBADF, RVT_CAUSE_DETACHED);
    rvt_free_ucontext(context);
    rvt_reader_unregister(reader);
    CHECK_EQ(rvt_mr_exit(w.device, true, NULL), 0);
    rvt_dev_put(w.device);
    verbs_close(&v);
}

static void a_closed_domain_or_a_device_without_an_engine_is_refused(void) {
    struct verbs v;
    struct fixture f;
    struct rvt_limits limits = usual_limits();
    limits.of[RVT_LIMIT_MAX_QP] = 1;
    REQUIRE(verbs_open_with(&v, limits, AT_ONCE));
    struct rvt_qp_init init = usual_init(make_cq(&v, 4));
    struct rvt_qp_handle qp;
    uint32_t qpn = 0;
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, false), 0);
    FAILS(rvt_create_qp((struct rvt_pd_handle){0}, &init, &qp, &qpn), RVT_EBADF, RVT_CAUSE_PD_GONE);
    FAILS(rvt_create_qp(v.other_pd, &init, &qp, &qpn), RVT_EBADF, RVT_CAUSE_PD_GONE);
    CHECK_EQ(rvt_create_qp(v.pd, &init, &qp, &qpn), 0);
    CHECK_EQ(qpn, 2);
    /* The handle is tested before the number of queue pairs. */
    FAILS(rvt_create_qp(v.other_pd, &init, &qp, &qpn), RVT_EBADF, RVT_CAUSE_PD_GONE);
    verbs_close(&v);
    REQUIRE(fixture_open(&f, 4));
    FAILS(rvt_create_qp(f.pd, &init, &qp, NULL), RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    struct rvt_limits read;
    FAILS(rvt_query_device(f.device, &read), RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    FAILS(rvt_run_engine(f.device), RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    CHECK_EQ(rvt_progress(f.device, 7), UINT64_MAX);
    CHECK_EQ(rvt_fire_timers(f.device, NULL, NULL), 0);
    struct rvt_completion_counts counts = {.lost = 1};
    rvt_count_completions(f.device, &counts);
    CHECK_EQ(counts.lost, 0);
    struct rvt_cq_handle cq;
    struct rvt_srq_handle srq;
    struct rvt_ah_handle ah;
    FAILS(rvt_create_cq(f.device, NULL, &(struct rvt_cq_init){.cqe = 1}, &cq), RVT_EOPNOTSUPP,
          RVT_CAUSE_NO_ENGINE);
    FAILS(rvt_create_srq(f.pd, &(struct rvt_srq_init){.basic = true, .max_wr = 1, .max_sge = 1}, &srq),
          RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    FAILS(rvt_create_ah(f.pd, &(struct rvt_ah_attr){.port = 1}, &ah), RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    /* A queue pair for checks has no queues, on a device with or without an engine. */
    struct rvt_qp_attr attr = {0};
    struct rvt_qp_query query;
    FAILS(rvt_query_qp(f.qp, &query), RVT_EINVAL, RVT_CAUSE_QP_HAS_NO_QUEUES);
    FAILS(rvt_modify_qp(f.qp, &attr, RVT_QPA_STATE), RVT_EINVAL, RVT_CAUSE_QP_HAS_NO_QUEUES);
    CHECK_EQ(rvt_destroy_qp(f.qp), 0);
    FAILS(rvt_query_qp(f.qp, &query), RVT_EBADF, RVT_CAUSE_QP_GONE);
    fixture_close(&f);
}

static void verbs_refuse_a_queue_pair_without_queues_or_destroyed(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp destroyed = make_qp(&v, RVT_QPT_RC);
    struct rvt_qp_handle check;
    CHECK_EQ(rvt_create_check_qp(v.pd, &check), 0);
    CHECK_EQ(rvt_destroy_qp(destroyed.handle), 0);
    FAILS(rvt_destroy_qp(destroyed.handle), RVT_EBADF, RVT_CAUSE_QP_GONE);
    struct {
        struct rvt_qp_handle handle;
        int error;
        enum rvt_cause cause;
    } bad[] = {
        {check, RVT_EINVAL, RVT_CAUSE_QP_HAS_NO_QUEUES},
        {destroyed.handle, RVT_EBADF, RVT_CAUSE_QP_GONE},
        {{0}, RVT_EBADF, RVT_CAUSE_QP_GONE},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct rvt_qp_attr attr = {0};
        struct rvt_qp_query query;
        uint32_t index = 7;
        FAILS(rvt_query_qp(bad[i].handle, &query), bad[i].error, bad[i].cause);
        FAILS(rvt_modify_qp(bad[i].handle, &attr, RVT_QPA_STATE), bad[i].error, bad[i].cause);
        FAILS(rvt_kick_qp(bad[i].handle), bad[i].error, bad[i].cause);
        FAILS(rvt_post_send(bad[i].handle, &(struct rvt_send_wr){0}, 1, &index), bad[i].error, bad[i].cause);
        CHECK_EQ(index, RVT_NO_BAD_WR);
        FAILS(rvt_post_recv(bad[i].handle, &(struct rvt_recv_wr){0}, 1, &index), bad[i].error, bad[i].cause);
        CHECK_EQ(index, 0);
        FAILS(rvt_post_send(bad[i].handle, &(struct rvt_send_wr){0}, 1, NULL), bad[i].error, bad[i].cause);
        FAILS(rvt_post_recv(bad[i].handle, &(struct rvt_recv_wr){0}, 1, NULL), bad[i].error, bad[i].cause);
    }
    verbs_close(&v);
}

static void a_shared_receive_queue_replaces_the_receive_sizes(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_srq_handle srq = make_srq(&v, 4, 2, 0);
    struct rvt_qp_init init = usual_init(make_cq(&v, 4));
    struct vqp qp = {0};
    init.srq = &srq;
    init.max_recv_wr = init.max_recv_sge = UINT32_MAX; /* ignored */
    CHECK_EQ(rvt_create_qp(v.pd, &init, &qp.handle, NULL), 0);
    CHECK_EQ(query_qp(&qp).max_recv_wr, 0);
    CHECK_EQ(query_qp(&qp).max_recv_sge, 0);
    FAILS_WITH(rvt_destroy_srq(srq), RVT_EBUSY, RVT_CAUSE_SRQ_IN_USE, 1, 0, 0);
    CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
    init.max_send_wr = init.max_send_sge = init.max_recv_wr = init.max_recv_sge = 0;
    CHECK_EQ(rvt_create_qp(v.pd, &init, &qp.handle, NULL), 0);
    CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
    CHECK_EQ(rvt_destroy_srq(srq), 0);
    CHECK_EQ(rvt_destroy_cq(init.send_cq), 0);
    verbs_close(&v);
}

static void each_size_may_be_zero(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    for (unsigned set = 1; set < 16; set++) {
        struct rvt_qp_init init = usual_init(make_cq(&v, 4));
        struct vqp qp = {0};
        init.max_send_wr = set & 1 ? 64 : 0;
        init.max_send_sge = set & 2 ? 8 : 0;
        init.max_recv_wr = set & 4 ? 64 : 0;
        init.max_recv_sge = set & 8 ? 8 : 0;
        CHECK_EQ(rvt_create_qp(v.pd, &init, &qp.handle, NULL), 0);
        connect_qp(&qp, 99);
        const struct rvt_ib_sge sge = {0};
        int answer = rvt_post_recv(qp.handle, &(struct rvt_recv_wr){1, &sge, 0}, 1, NULL);
        CHECK_EQ(answer, set & 4 ? 0 : -RVT_ENOMEM);
        answer = post_receive(&qp, 1, &sge, 1);
        CHECK_EQ(answer, !(set & 8) ? -RVT_EINVAL : set & 4 ? 0 : -RVT_ENOMEM);
        answer = post(&qp, SEND_WR(.opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 0));
        CHECK_EQ(answer, set & 1 ? 0 : -RVT_ENOMEM);
        answer = post(&qp, SEND_WR(.opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1));
        CHECK_EQ(answer, !(set & 2) ? -RVT_EINVAL : set & 1 ? 0 : -RVT_ENOMEM);
        CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
        CHECK_EQ(rvt_destroy_cq(init.send_cq), 0);
    }
    verbs_close(&v);
}

static void held_bytes_return_when_queue_pairs_are_destroyed(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle cq = make_cq(&v, 4);
    struct rvt_srq_handle srq = make_srq(&v, 8, 4, 0);
    struct rvt_qp_init init = usual_init(cq);
    struct rvt_qp_handle qp;
    /* The first queue pair makes the table of queue pairs, and pools take pages, which stay. */
    for (int round = 0; round < 3; round++) {
        uint64_t before = rvt_held_bytes(v.device);
        for (int shared = 0; shared < 2; shared++) {
            init.srq = shared ? &srq : NULL;
            uint64_t empty = rvt_held_bytes(v.device);
            CHECK_EQ(rvt_create_qp(v.pd, &init, &qp, NULL), 0);
            CHECK(rvt_held_bytes(v.device) > empty + 4 * sizeof(struct rvt_sge));
            CHECK_EQ(rvt_destroy_qp(qp), 0);
        }
        if (round)
            CHECK_EQ(rvt_held_bytes(v.device), before);
    }
    uint64_t with_queues = rvt_held_bytes(v.device);
    CHECK_EQ(rvt_destroy_srq(srq), 0);
    CHECK_EQ(rvt_destroy_cq(cq), 0);
    CHECK(rvt_held_bytes(v.device) <
          with_queues - 8 * 4 * sizeof(struct rvt_ib_sge) - 4 * sizeof(struct rvt_wc));
    verbs_close(&v);
}

static void a_ready_queue_pair_in_reset_can_be_destroyed(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, MANUAL));
    a = make_qp(&v, RVT_QPT_RC);
    b = make_qp(&v, RVT_QPT_RC);
    CHECK_EQ(rvt_kick_qp(a.handle), 0);
    CHECK_EQ(rvt_kick_qp(b.handle), 0);
    CHECK_EQ(rvt_kick_qp(b.handle), 0); /* a second time has no effect */
    CHECK_EQ(rvt_destroy_qp(b.handle), 0);
    CHECK_EQ(rvt_destroy_qp(a.handle), 0);
    run_engine(&v);
    a = make_qp(&v, RVT_QPT_RC);
    CHECK_EQ(rvt_kick_qp(a.handle), 0);
    run_engine(&v);
    verbs_close(&v);
}

static void destroying_drops_work_requests_and_keeps_completions(void) {
    static unsigned char bytes[64];
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, MANUAL));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct vmr mr = make_mr(&v, bytes, sizeof(bytes));
    struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 1, .opcode = RVT_WR_RDMA_WRITE, .sges = &sge, .num_sge = 1,
                              .remote_addr = mr.addr + 32, .rkey = mr.key)),
             0);
    run_engine(&v);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 2, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    CHECK_EQ(fixture_query(mr.mr).refs, 3);
    CHECK_EQ(query_qp(&a).sends, 1);
    FAILS_WITH(rvt_destroy_cq(a.scq), RVT_EBUSY, RVT_CAUSE_CQ_IN_USE, 1, 0, 0);
    CHECK_EQ(rvt_destroy_qp(a.handle), 0);
    AT_REST(mr);
    struct rvt_wc wc =
        WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 8);
    CHECK_EQ(wc.qp, a.serial);
    NO_WC(a.scq);
    CHECK_EQ(rvt_destroy_cq(a.scq), 0);
    /* The peer's request finds nobody. */
    CHECK_EQ(post(&b, SEND_WR(.wr_id = 3, .opcode = RVT_WR_SEND)), 0);
    run_engine(&v);
    WC(b.scq, .wr_id = 3, .qp_num = b.qpn, .status = RVT_WC_STATUS_RETRY_EXC_ERR, .cause = RVT_WHY_NO_PEER);
    verbs_close(&v);
}

static void create_one(struct verbs *v) {
    v->cq = make_cq(v, 4);
}

static void create_with_srq(struct verbs *v) {
    v->cq = make_cq(v, 4);
    v->srq = make_srq(v, 4, 2, 0);
}

static int create(struct verbs *v) {
    struct rvt_qp_init init = usual_init(v->cq);
    init.srq = v->srq.srq ? &v->srq : NULL;
    uint64_t held = rvt_held_bytes(v->device);
    int error = rvt_create_qp(v->pd, &init, &v->qp, NULL);
    if (error && v->srq.srq)
        CHECK_EQ(query_srq(v->srq).held, 0);
    if (error) { /* the queue pair holds nothing; the engine's context and table may be there */
        struct rvt_failure why;
        rvt_take_failure(&why);
        CHECK(rvt_held_bytes(v->device) >= held);
        rvt_restore_failure(&why);
        struct rvt_cq_handle cq = v->cq;
        CHECK_EQ(cq.cq->users, 0);
    }
    return error;
}

static void creating_fails_cleanly_without_memory(void) {
    each_verb_allocation_fails(create_one, create, 7);
    each_verb_allocation_fails(create_with_srq, create, 4);
}

CHECK_MAIN(TEST(a_new_queue_pair_is_in_reset_with_empty_queues), TEST(numbers_begin_at_2_and_are_not_reused),
           TEST(random_numbers_differ_and_are_24_bits), TEST(creating_fails_without_random_numbers),
           TEST(creating_tests_its_arguments_in_order), TEST(queues_must_be_of_the_same_device_and_context),
           TEST(a_closed_domain_or_a_device_without_an_engine_is_refused),
           TEST(verbs_refuse_a_queue_pair_without_queues_or_destroyed),
           TEST(a_shared_receive_queue_replaces_the_receive_sizes), TEST(each_size_may_be_zero),
           TEST(held_bytes_return_when_queue_pairs_are_destroyed),
           TEST(a_ready_queue_pair_in_reset_can_be_destroyed),
           TEST(destroying_drops_work_requests_and_keeps_completions),
           TEST(creating_fails_cleanly_without_memory))
