/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine of a device: opening, modes, timers, regions and objects that end while work requests use them, and
 * what reports show. */
#include "core/engine/engine.h"

#include "core/engine/engine_state.h"
#include "verbs.h"

static alignas(4096) unsigned char bytes[4 * PAGE];

static void limits_are_reported_and_element_limits_bounded(void) {
    struct rvt_dev_info *device;
    const long live = rvt_test_alloc_live();
    struct rvt_limits limits = usual_limits(), read;
    const struct rvt_device_options options = {.lkey_table_bits = 4};
    static const enum rvt_limit elements[] = {RVT_LIMIT_MAX_SEND_SGE, RVT_LIMIT_MAX_RECV_SGE,
                                              RVT_LIMIT_MAX_SRQ_SGE};
    for (int i = 0; i < 3; i++) {
        struct rvt_engine_options engine = {.limits = limits};
        engine.limits.of[elements[i]] = 256;
        FAILS_WITH(rvt_register_device(&options, &engine, &device), RVT_EINVAL, RVT_CAUSE_LIMIT, 256, 255,
                   elements[i]);
        limits.of[elements[i]] = 255;
    }
    struct rvt_engine_options engine = {.limits = limits};
    const struct rvt_device_options no_bits = {.lkey_table_bits = 0};
    CHECK_EQ(rvt_register_device(&no_bits, &engine, &device), -RVT_EINVAL);
    CHECK_EQ(rvt_test_alloc_live(), live);
    CHECK_EQ(rvt_register_device(&options, &engine, &device), 0);
    CHECK_EQ(rvt_query_device(device, &read), 0);
    CHECK_BYTES_EQ(&read, &limits, sizeof(read));
    struct rvt_pd_handle pd;
    for (int i = 0; i < 16; i++)
        CHECK_EQ(rvt_alloc_pd(device, NULL, false, &pd), 0);
    struct rvt_pd_handle more;
    FAILS_WITH(rvt_alloc_pd(device, NULL, false, &more), RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS,
               RVT_RESOURCE_PD, 16, 0);
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    CHECK_EQ(rvt_alloc_pd(device, NULL, false, &more), 0);
    CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
    rvt_dev_put(device);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

static void opening_fails_cleanly_without_memory(void) {
    const long live = rvt_test_alloc_live();
    const struct rvt_device_options options = {.lkey_table_bits = 4};
    const struct rvt_engine_options engine = {.limits = usual_limits()};
    int failures = 0;
    for (long n = 0; n < 100; n++) {
        struct rvt_dev_info *device = NULL;
        rvt_test_alloc_fail_after(n);
        int answer = rvt_register_device(&options, &engine, &device);
        const bool failed = rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        if (!failed) {
            CHECK_EQ(answer, 0);
            CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
            rvt_dev_put(device);
            break;
        }
        failures++;
        CHECK_EQ(answer, -RVT_ENOMEM);
        CHECK_EQ(rvt_test_alloc_live(), live);
    }
    CHECK(failures >= 3);
    CHECK_EQ(rvt_test_alloc_live(), live);
}

/* --- modes --- */

static void work_is_carried_out_at_once_or_by_run(void) {
    for (int manual = 0; manual < 2; manual++) {
        struct verbs v;
        struct vqp a, b;
        REQUIRE(verbs_open(&v, manual));
        make_pair(&v, RVT_QPT_RC, &a, &b);
        CHECK_EQ(post(&a, SEND_WR(.wr_id = 1, .opcode = RVT_WR_RDMA_WRITE)), 0);
        if (manual) {
            NO_WC(a.scq);
            CHECK_EQ(rvt_kick_qp(b.handle), 0);
            NO_WC(a.scq);
            CHECK_EQ(rvt_fire_timers(v.device, NULL, NULL), 0);
            NO_WC(a.scq);
            run_engine(&v);
        }
        WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
        CHECK_EQ(post(&a, SEND_WR(.wr_id = 2, .opcode = RVT_WR_RDMA_WRITE)), 0);
        CHECK_EQ(rvt_progress(v.device, 5), UINT64_MAX); /* works in both modes */
        WC(a.scq, .wr_id = 2, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
        verbs_close(&v);
    }
}

/* Ready queue pairs are worked on in the order in which they became ready, each until its queue is empty. */
static void ready_queue_pairs_are_first_in_first_out(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct rvt_cq_handle cq = make_cq(&v, 32);
    struct vqp qp[4];
    for (int i = 0; i < 4; i++) {
        qp[i] = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = cq});
        connect_qp(&qp[i], qp[i].qpn);
    }
    static const int order[] = {2, 0, 3, 0, 1, 2};
    for (uint64_t i = 0; i < 6; i++)
        CHECK_EQ(post(&qp[order[i]], SEND_WR(.wr_id = i, .opcode = RVT_WR_RDMA_WRITE)), 0);
    CHECK_EQ(move_qp(&qp[3], usual_attr(0), RVT_QPS_RESET), 0); /* takes it off the list */
    run_engine(&v);
    static const uint64_t done[] = {0, 5, 1, 3, 4};
    for (int i = 0; i < 5; i++)
        WC(cq, .wr_id = done[i], .qp_num = qp[order[done[i]]].qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
    NO_WC(cq);
    verbs_close(&v);
}

/* The engine's failures do not overwrite the record of the verb that ran it. */
static void a_verbs_failure_survives_the_engine(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp a = make_qp(&v, RVT_QPT_RC);
    connect_qp(&a, a.qpn);
    const struct rvt_send_wr wrs[] = {
        PLAIN_WR(.opcode = RVT_WR_LOCAL_INV, .flags = RVT_SEND_FENCE, .invalidate_rkey = 0x1234),
        PLAIN_WR(.opcode = RVT_WR_LSO)};
    uint32_t bad;
    FAILS_WITH(rvt_post_send(a.handle, wrs, 2, &bad), RVT_EINVAL, RVT_CAUSE_WR_OPCODE, RVT_WR_LSO, RVT_QPT_RC,
               1);
    WC(a.scq, .qp_num = a.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR, .opcode = RVT_WC_OPCODE_LOCAL_INV,
       .cause = RVT_WHY_INVALIDATE_REFUSED);
    verbs_close(&v);
}

/* --- timers --- */

static void progress_fires_timers_when_they_are_due(void) {
    struct verbs v;
    struct vqp a, b, c;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    c = make_qp(&v, RVT_QPT_RC);
    connect_qp(&c, b.qpn);
    CHECK_EQ(rvt_progress(v.device, 1000), UINT64_MAX);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 1, .opcode = RVT_WR_SEND)), 0);
    EVENT(&v, RVT_EVENT_TIMER, a.serial);
    CHECK_PTR_EQ(v.events[0].user, &v);
    /* The timer counts from the first call after it was started: 640 microseconds. */
    CHECK_EQ(rvt_progress(v.device, 2000), 2640);
    CHECK_EQ(rvt_progress(v.device, 2100), 2640);
    CHECK_EQ(post(&c, SEND_WR(.wr_id = 2, .opcode = RVT_WR_SEND)), 0);
    EVENT(&v, RVT_EVENT_TIMER, c.serial);
    CHECK_EQ(rvt_progress(v.device, 2200), 2640);
    CHECK_EQ(rvt_progress(v.device, 2639), 2640);
    NO_EVENT(&v);
    CHECK_EQ(post_receive(&b, 9, NULL, 0), 0);
    NO_WC(a.scq);
    CHECK_EQ(rvt_progress(v.device, 2640), 2840); /* c's */
    WC(a.scq, .wr_id = 1, .qp_num = a.qpn);
    NO_EVENT(&v);
    /* c finds no receive: a new timer, which counts from now. */
    CHECK_EQ(rvt_progress(v.device, 5000), 5640);
    EVENT(&v, RVT_EVENT_TIMER, c.serial);
    CHECK_EQ(post_receive(&b, 9, NULL, 0), 0);
    CHECK_EQ(rvt_progress(v.device, 5640), UINT64_MAX);
    WC(c.scq, .wr_id = 2, .qp_num = c.qpn);
    verbs_close(&v);
}

static void note_serial(void *data, uint64_t qp, uint32_t usec) {
    uint64_t **next = data;
    CHECK_EQ(usec, 640);
    *(*next)++ = qp;
}

static void timers_fire_in_the_order_in_which_they_were_started(void) {
    struct verbs v;
    struct vqp qp[4], peer;
    uint64_t fired[4] = {0}, *next = fired;
    REQUIRE(verbs_open(&v, MANUAL));
    peer = make_qp(&v, RVT_QPT_RC);
    connect_qp(&peer, 99);
    for (int i = 0; i < 4; i++) {
        qp[i] = make_qp(&v, RVT_QPT_RC);
        connect_qp(&qp[i], peer.qpn);
    }
    static const int order[] = {1, 3, 0, 2};
    for (int i = 0; i < 4; i++)
        CHECK_EQ(post(&qp[order[i]], SEND_WR(.opcode = RVT_WR_SEND)), 0);
    run_engine(&v);
    CHECK_EQ(move_qp(&qp[3], usual_attr(0), RVT_QPS_RESET), 0); /* stops its timer */
    CHECK_EQ(move_qp(&qp[2], usual_attr(0), RVT_QPS_ERR), 0);   /* does not, the last one */
    CHECK_EQ(rvt_fire_timers(v.device, note_serial, &next), 3);
    CHECK_EQ(fired[0], qp[1].serial);
    CHECK_EQ(fired[1], qp[0].serial);
    CHECK_EQ(fired[2], qp[2].serial);
    CHECK_EQ(rvt_fire_timers(v.device, note_serial, &next), 0);
    /* In the manual mode they are only ready now. */
    CHECK_EQ(post_receive(&peer, 1, NULL, 0), 0);
    CHECK_EQ(post_receive(&peer, 2, NULL, 0), 0);
    NO_WC(qp[0].scq);
    run_engine(&v);
    WC(qp[0].scq, .qp_num = qp[0].qpn);
    WC(qp[1].scq, .qp_num = qp[1].qpn);
    verbs_close(&v);
}

/* --- regions that end --- */

enum { HOLDERS = 40 };

/* The kernel's order: ascending bucket of the number, the latest first. Events of shared receive queues show it. */
static void deregistering_puts_holders_into_error_in_the_kernels_order(void) {
    struct verbs v;
    static struct vqp qp[HOLDERS];
    struct rvt_limits limits = usual_limits();
    REQUIRE(verbs_open_with(&v, limits, MANUAL));
    struct vmr mr = make_mr(&v, bytes, PAGE), other = make_mr(&v, bytes, PAGE);
    struct rvt_srq_handle srq = make_srq(&v, 1, 1, 0);
    struct rvt_cq_handle cq = make_cq(&v, 64);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, 8), other_sge = sge_at(&other, 0, 8);
    for (int i = 0; i < HOLDERS; i++)
        qp[i] = make_qp_with(
            &v, v.pd,
            (struct rvt_qp_init){.sig_type = RVT_SIGNAL_REQ_WR, .srq = &srq, .send_cq = cq, .recv_cq = cq});
    int rank[HOLDERS]; /* the order in which they left RESET */
    for (int i = 0; i < HOLDERS; i++) {
        const int k = (i * 7) % HOLDERS;
        connect_qp(&qp[k], qp[k].qpn);
        rank[k] = i;
    }
    for (int i = 0; i < HOLDERS; i++) {
        const struct rvt_ib_sge both[2] = {other_sge, sge};
        /* Every fifth holds another region, every fifth + 1 is in error, with the region in its queue. */
        CHECK_EQ(post(&qp[i],
                      PLAIN_WR(.wr_id = (uint64_t)i, .opcode = RVT_WR_RDMA_WRITE, .sges = both,
                               .num_sge = i % 5 ? 2 : 1, .remote_addr = other.addr + 64, .rkey = other.key)),
                 0);
        if (i % 5 == 1) {
            CHECK_EQ(move_qp(&qp[i], usual_attr(0), RVT_QPS_ERR), 0);
            EVENT(&v, RVT_EVENT_LAST_WQE, qp[i].serial);
        }
    }
    CHECK_EQ(rvt_dereg_mr(mr.mr, RVT_RELEASE), 0);
    int seen = 0;
    for (uint32_t bucket = 0; bucket < 256; bucket++) {
        for (int latest = HOLDERS; latest--;) {
            for (int i = 0; i < HOLDERS; i++) {
                if (rank[i] == latest && (qp[i].qpn * UINT32_C(0x61c88647)) >> 24 == bucket && i % 5 > 1) {
                    EVENT(&v, RVT_EVENT_LAST_WQE, qp[i].serial);
                    seen++;
                }
            }
        }
    }
    CHECK_EQ(seen, HOLDERS * 3 / 5);
    NO_EVENT(&v);
    /* The engine ran, for every ready queue pair. */
    struct rvt_wc wc;
    int flushed = 0;
    while (rvt_poll_cq(cq, 1, &wc) == 1) {
        CHECK_EQ(wc.status, RVT_WC_STATUS_WR_FLUSH_ERR);
        CHECK_EQ(wc.cause, RVT_WHY_FLUSHED);
        flushed++;
    }
    CHECK_EQ(flushed, HOLDERS * 4 / 5);
    for (int i = 0; i < HOLDERS; i++)
        CHECK_EQ(state_of(&qp[i]), i % 5 ? RVT_QPS_ERR : RVT_QPS_RTS);
    AT_REST(other);
    verbs_close(&v);
}

/* What does not hold a region: receives that were posted with it, and requests that name it as their target. */
static void receives_and_targets_do_not_hold_a_region(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, MANUAL));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct vmr source = make_mr(&v, bytes, PAGE), target = make_mr(&v, bytes + PAGE, PAGE);
    const struct rvt_ib_sge sge = sge_at(&source, 0, 8), room = sge_at(&target, 0, 8);
    CHECK_EQ(post_receive(&b, 1, &room, 1), 0);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 2, .opcode = RVT_WR_RDMA_WRITE, .sges = &sge, .num_sge = 1,
                              .remote_addr = room.addr, .rkey = room.lkey)),
             0);
    CHECK_EQ(rvt_dereg_mr(target.mr, RVT_RELEASE), 0);
    NO_WC(a.scq); /* nothing held it, so the engine did not run */
    run_engine(&v);
    WC(a.scq, .wr_id = 2, .qp_num = a.qpn, .status = RVT_WC_STATUS_REM_ACCESS_ERR, .byte_len = 8,
       .opcode = RVT_WC_OPCODE_RDMA_WRITE, .cause = RVT_WHY_REMOTE_REFUSED, .refused.reason = RVT_REVOKED);
    AT_REST(source);
    verbs_close(&v);
}

static void a_region_can_end_before_there_are_queue_pairs(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct vmr mr = make_mr(&v, bytes, PAGE);
    CHECK_EQ(rvt_dereg_mr(mr.mr, RVT_RELEASE), 0);
    verbs_close(&v);
}

static void by_force_or_by_a_list_the_holders_go_into_error_too(void) {
    for (int way = 0; way < 3; way++) {
        struct verbs v;
        struct vqp a, b;
        REQUIRE(verbs_open(&v, MANUAL));
        make_pair(&v, RVT_QPT_UC, &a, &b);
        struct vmr one = make_mr(&v, bytes, PAGE), two = make_mr(&v, bytes, PAGE);
        const struct rvt_ib_sge sges[] = {sge_at(&one, 0, 8), sge_at(&two, 0, 8)};
        CHECK_EQ(post(&a, PLAIN_WR(.wr_id = 1, .opcode = RVT_WR_SEND, .sges = sges, .num_sge = 2)), 0);
        CHECK_EQ(post(&a, PLAIN_WR(.wr_id = 2, .opcode = RVT_WR_SEND)), 0);
        if (way == 0)
            CHECK_EQ(rvt_dereg_mr(one.mr, RVT_RELEASE_FORCE), 0);
        else
            CHECK_EQ(rvt_dereg_mrs(v.pd, (struct rvt_mr_handle[]){one.mr, two.mr}, 2,
                                   way == 1 ? RVT_RELEASE : RVT_RELEASE_FORCE),
                     0);
        WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR, .byte_len = 16,
           .cause = RVT_WHY_FLUSHED);
        WC(a.scq, .wr_id = 2, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
           .cause = RVT_WHY_FLUSHED);
        CHECK(fixture_dead(one.mr));
        if (way)
            CHECK(fixture_dead(two.mr));
        else
            AT_REST(two);
        verbs_close(&v);
    }
}

/* Queue pairs that hold a DMA region do not go into error: the engine runs, and the region may stay held. */
static void a_dma_region_is_busy_while_its_holders_wait(void) {
    enum { READY, IN_SQD, WAITING_RNR, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct verbs v;
        struct vqp a, b;
        struct rvt_mr_handle dma;
        struct rvt_dma_handle mapping;
        uint64_t address = 0x100000;
        REQUIRE(verbs_open(&v, MANUAL));
        make_pair(&v, RVT_QPT_RC, &a, &b);
        CHECK_EQ(rvt_get_dma_mr(v.pd, 0, &dma), 0);
        struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE);
        CHECK_EQ(rvt_dma_map(v.device, NULL, memory, true, &address, &mapping), 0);
        rvt_memory_put(memory);
        const struct rvt_ib_sge sge = {address, 8, 0};
        if (way == READY)
            CHECK_EQ(post_receive(&b, 1, NULL, 0), 0);
        if (way == IN_SQD)
            CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_SQD), 0);
        CHECK_EQ(post(&a, SEND_WR(.wr_id = 5, .opcode = way == READY ? RVT_WR_RDMA_READ : RVT_WR_SEND,
                                  .sges = &sge, .num_sge = 1)),
                 0);
        int answer = rvt_dereg_mr(dma, RVT_RELEASE);
        if (way == READY) {
            CHECK_EQ(answer, 0);
            struct rvt_wc wc = {0};
            CHECK_EQ(rvt_poll_cq(a.scq, 1, &wc), 1);
            CHECK_EQ(wc.status, RVT_WC_STATUS_REM_ACCESS_ERR);
        } else {
            FAILS_WITH(answer, RVT_EBUSY, RVT_CAUSE_REGION_HELD, 1, 0, 0);
            CHECK_EQ(state_of(&a), way == IN_SQD ? RVT_QPS_SQD : RVT_QPS_RTS);
            NO_WC(a.scq);
            CHECK_EQ(rvt_dma_unmap(mapping), -RVT_EBUSY);
            CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_ERR), 0);
            CHECK_EQ(rvt_dereg_mr(dma, RVT_RELEASE), 0); /* flushes */
            WC(a.scq, .wr_id = 5, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR, .byte_len = 8,
               .cause = RVT_WHY_FLUSHED);
        }
        CHECK_EQ(rvt_dma_unmap(mapping), 0);
        verbs_close(&v);
    }
}

/* Timers do not fire while a region ends; a queue pair that waits is flushed all the same. */
static void a_waiting_holder_is_flushed(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct vmr mr = make_mr(&v, bytes, PAGE);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 5, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    NO_WC(a.scq);
    CHECK_EQ(rvt_dereg_mr(mr.mr, RVT_RELEASE), 0);
    WC(a.scq, .wr_id = 5, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR, .byte_len = 8,
       .cause = RVT_WHY_FLUSHED);
    CHECK_EQ(rvt_fire_timers(v.device, NULL, NULL), 1);
    verbs_close(&v);
}

/* --- objects that end --- */

static uint32_t rows_of[RVT_RESOURCE_KINDS];

static bool count_row(void *context, enum rvt_resource_kind kind, const uint64_t *fields) {
    (void)context;
    (void)fields;
    rows_of[kind]++;
    return true;
}

static void count_rows(struct verbs *v) {
    memset(rows_of, 0, sizeof(rows_of));
    rvt_resource_report(v->device, count_row, NULL);
}

/* Everything alive, with work queued, posted, waiting and in hand. Returns the queue pair that waits. */
static struct vqp make_everything(struct verbs *v, struct rvt_ucontext *context, struct rvt_pd_handle pd,
                                  struct vmr *mr) {
    struct rvt_ah_handle ah;
    struct rvt_srq_handle srq = make_srq_in(v, pd, 8, 2, 1);
    *mr = make_mr_in(pd, bytes, PAGE, ALL_ACCESS);
    const struct rvt_ib_sge sge = sge_at(mr, 0, 8);
    CHECK_EQ(rvt_create_ah(pd, &(struct rvt_ah_attr){.port = 1}, &ah), 0);
    struct vqp rc = make_qp_with(v, pd, (struct rvt_qp_init){.srq = &srq});
    struct vqp waiting = make_qp_with(v, pd, (struct rvt_qp_init){.type = RVT_QPT_RC});
    struct vqp sqd = make_qp_with(v, pd, (struct rvt_qp_init){.type = RVT_QPT_UC});
    struct vqp ud = make_qp_with(v, pd, (struct rvt_qp_init){.type = RVT_QPT_UD});
    (void)make_cq_in(v, context, 3);
    connect_qp(&rc, waiting.qpn);
    connect_qp(&waiting, rc.qpn);
    bring_to(&sqd, usual_attr(2), RVT_QPS_SQD);
    connect_qp(&ud, 0);
    CHECK_EQ(post(&waiting, SEND_WR(.opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    CHECK_EQ(rvt_post_srq_recv(srq, &(struct rvt_recv_wr){1, &sge, 1}, 1, NULL), 0);
    CHECK_EQ(post(&sqd, SEND_WR(.opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    CHECK_EQ(post_receive(&ud, 2, &sge, 1), 0);
    CHECK_EQ(post(&ud, SEND_WR(.opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1, .ah = &ah,
                               .remote_qpn = ud.qpn, .remote_qkey = 0x11)),
             0); /* too small: it stays in hand */
    CHECK_EQ(rvt_req_notify_cq(rc.rcq, RVT_NOTIFY_NEXT), 0);
    CHECK_EQ(fixture_query(mr->mr).refs, 2 + 3);
    return waiting;
}

static void a_device_closes_with_everything_alive(void) {
    for (int ready = 0; ready < 2; ready++) {
        struct verbs v;
        struct vmr mr;
        REQUIRE(verbs_open(&v, AT_ONCE));
        struct vqp waiting = make_everything(&v, NULL, v.pd, &mr);
        (void)make_everything(&v, NULL, v.other_pd, &mr);
        v.device->engine->manual = true;
        if (ready)
            CHECK_EQ(rvt_kick_qp(waiting.handle), 0);
        verbs_close(&v); /* nothing is left */
    }
}

static void a_domain_closes_with_everything_in_it(void) {
    struct verbs v;
    struct vmr mr, kept;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp waiting = make_everything(&v, NULL, v.other_pd, &mr);
    struct vqp peer = make_qp(&v, RVT_QPT_RC);
    connect_qp(&peer, waiting.qpn);
    kept = make_mr(&v, bytes, PAGE);
    count_rows(&v);
    CHECK_EQ(rows_of[RVT_RESOURCE_QP], 5);
    CHECK_EQ(rows_of[RVT_RESOURCE_AH], 1);
    CHECK_EQ(rows_of[RVT_RESOURCE_SRQ], 1);
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, false), -RVT_EBUSY);
    CHECK_EQ(rvt_dealloc_pd(v.other_pd, true), 0);
    count_rows(&v);
    CHECK_EQ(rows_of[RVT_RESOURCE_QP], 1);
    CHECK_EQ(rows_of[RVT_RESOURCE_AH], 0);
    CHECK_EQ(rows_of[RVT_RESOURCE_SRQ], 0);
    CHECK_EQ(rows_of[RVT_RESOURCE_MR], 1);
    CHECK_EQ(rvt_fire_timers(v.device, NULL, NULL), 0);
    /* Peers find nobody. */
    const struct rvt_ib_sge sge = sge_at(&kept, 0, 8);
    CHECK_EQ(post(&peer, SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .sges = &sge, .num_sge = 1)), 0);
    WC(peer.scq, .qp_num = peer.qpn, .status = RVT_WC_STATUS_RETRY_EXC_ERR,
       .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 8, .cause = RVT_WHY_NO_PEER);
    AT_REST(kept);
    verbs_close(&v);
}

static void a_context_ends_with_everything_it_owns(void) {
    struct verbs v;
    struct vmr mr;
    struct rvt_ucontext *context, *keeper;
    struct rvt_pd_handle pd;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_reader *reader = rvt_reader_register();
    CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &keeper), 0);
    struct vqp peer = make_qp(&v, RVT_QPT_RC);
    uint64_t held = 0;
    for (int round = 0; round < 4; round++) {
        CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &context), 0);
        CHECK_EQ(rvt_alloc_pd(v.device, context, false, &pd), 0);
        struct vqp waiting = make_everything(&v, context, pd, &mr);
        connect_qp(&peer, waiting.qpn);
        CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
        FAILS(rvt_kick_qp(waiting.handle), RVT_EBADF, RVT_CAUSE_DETACHED);
        rvt_free_ucontext(context);
        count_rows(&v);
        CHECK_EQ(rows_of[RVT_RESOURCE_QP], 1);
        CHECK_EQ(rows_of[RVT_RESOURCE_CQ], 2);
        CHECK_EQ(rows_of[RVT_RESOURCE_MR], 0);
        CHECK_EQ(post(&peer, SEND_WR(.opcode = RVT_WR_RDMA_WRITE)), 0);
        WC(peer.scq, .qp_num = peer.qpn, .status = RVT_WC_STATUS_RETRY_EXC_ERR,
           .opcode = RVT_WC_OPCODE_RDMA_WRITE, .cause = RVT_WHY_NO_PEER);
        CHECK_EQ(move_qp(&peer, usual_attr(0), RVT_QPS_RESET), 0);
        if (round > 1)
            CHECK_EQ(rvt_held_bytes(v.device), held);
        held = rvt_held_bytes(v.device);
    }
    CHECK_EQ(rvt_dealloc_ucontext(keeper, true), 0);
    rvt_free_ucontext(keeper);
    rvt_reader_unregister(reader);
    verbs_close(&v);
}

static void held_bytes_return_when_all_is_destroyed(void) {
    struct verbs v;
    uint64_t held = 0;
    REQUIRE(verbs_open(&v, AT_ONCE));
    for (int round = 0; round < 3; round++) {
        struct rvt_srq_handle srq = make_srq(&v, 8, 3, 0);
        struct vqp own, shared;
        own = make_qp(&v, RVT_QPT_RC);
        shared = make_qp_with(&v, v.pd, (struct rvt_qp_init){.srq = &srq});
        CHECK_EQ(rvt_resize_cq(own.scq, 50), 0);
        CHECK_EQ(rvt_modify_srq(srq, RVT_SRQ_SET_MAX_WR, 33, 0), 0);
        CHECK_EQ(rvt_destroy_qp(own.handle), 0);
        CHECK_EQ(rvt_destroy_qp(shared.handle), 0);
        CHECK_EQ(rvt_destroy_srq(srq), 0);
        CHECK_EQ(rvt_destroy_cq(own.scq), 0);
        CHECK_EQ(rvt_destroy_cq(own.rcq), 0);
        CHECK_EQ(rvt_destroy_cq(shared.scq), 0);
        CHECK_EQ(rvt_destroy_cq(shared.rcq), 0);
        if (round)
            CHECK_EQ(rvt_held_bytes(v.device), held);
        held = rvt_held_bytes(v.device);
    }
    verbs_close(&v);
}

/* --- reports --- */

struct wanted_row {
    enum rvt_resource_kind kind;
    uint64_t serial, fields[RVT_RESOURCE_MOST_FIELDS];
    uint32_t count; /* fields of a row of this kind */
    bool found;
};

static bool find_row(void *context, enum rvt_resource_kind kind, const uint64_t *fields) {
    struct wanted_row *row = context;
    if (kind == row->kind && fields[0] == row->serial) {
        memcpy(row->fields, fields, row->count * sizeof(*fields));
        row->found = true;
    }
    return true;
}

/* Reads the row of an object into row->fields. */
static const uint64_t *read_row(struct verbs *v, struct wanted_row *row, enum rvt_resource_kind kind,
                                uint64_t serial) {
    *row = (struct wanted_row){.kind = kind, .serial = serial, .count = rvt_resource_fields(v->device, kind)};
    rvt_resource_report(v->device, find_row, row);
    CHECK(row->found);
    return row->fields;
}

static void reports_show_queues_and_queue_pairs(void) {
    struct verbs v;
    struct wanted_row row;
    REQUIRE(verbs_open(&v, MANUAL));
    struct rvt_srq_handle srq = make_srq(&v, 8, 3, 2);
    struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.srq = &srq}), b = make_qp(&v, RVT_QPT_RC);
    struct rvt_ah_handle ah;
    CHECK_EQ(rvt_create_ah(v.other_pd, &(struct rvt_ah_attr){.dlid = 77, .sl = 3, .port = 1}, &ah), 0);
    const uint64_t *f = read_row(&v, &row, RVT_RESOURCE_QP, a.serial);
    CHECK_EQ(f[RVT_QP_CONTEXT], 0);
    CHECK_EQ(f[RVT_QP_PD], rvt_pd_serial(v.pd));
    CHECK_EQ(f[RVT_QP_TYPE], RVT_QPT_RC);
    CHECK_EQ(f[RVT_QP_NUMBER], a.qpn);
    CHECK_EQ(f[RVT_QP_STATE], RVT_QPS_RESET);
    CHECK_EQ(f[RVT_QP_PEER], 0);
    CHECK_EQ(f[RVT_QP_SEND_CQ], cq_serial(a.scq));
    CHECK_EQ(f[RVT_QP_RECV_CQ], cq_serial(a.rcq));
    CHECK_EQ(f[RVT_QP_SRQ], srq.srq->owned.serial);
    connect_qp(&a, b.qpn);
    connect_qp(&b, a.qpn);
    CHECK_EQ(post(&b, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(post_receive(&b, 1, NULL, 0), 0);
    CHECK_EQ(post_receive(&b, 2, NULL, 0), 0);
    f = read_row(&v, &row, RVT_RESOURCE_QP, b.serial);
    CHECK_EQ(f[RVT_QP_STATE], RVT_QPS_RTS);
    CHECK_EQ(f[RVT_QP_PEER], a.qpn);
    CHECK_EQ(f[RVT_QP_SENDS], 1);
    CHECK_EQ(f[RVT_QP_RECEIVES], 2);
    CHECK_EQ(f[RVT_QP_SRQ], 0);
    for (uint64_t i = 0; i < 2; i++)
        CHECK_EQ(rvt_post_srq_recv(srq, &(struct rvt_recv_wr){i, NULL, 0}, 1, NULL), 0);
    f = read_row(&v, &row, RVT_RESOURCE_SRQ, srq.srq->owned.serial);
    CHECK_EQ(f[RVT_SRQ_PD], rvt_pd_serial(v.pd));
    CHECK_EQ(f[RVT_SRQ_MAX_WR], 8);
    CHECK_EQ(f[RVT_SRQ_MAX_SGE], 3);
    CHECK_EQ(f[RVT_SRQ_LIMIT], 2);
    CHECK_EQ(f[RVT_SRQ_HELD], 2);
    CHECK_EQ(f[RVT_SRQ_USERS], 1);
    run_engine(&v);
    f = read_row(&v, &row, RVT_RESOURCE_SRQ, srq.srq->owned.serial);
    CHECK_EQ(f[RVT_SRQ_HELD], 1);
    CHECK_EQ(f[RVT_SRQ_LIMIT], 0); /* used up by its event */
    CHECK_EQ(rvt_modify_srq(srq, RVT_SRQ_SET_LIMIT | RVT_SRQ_SET_MAX_WR, 9, 1), 0);
    f = read_row(&v, &row, RVT_RESOURCE_SRQ, srq.srq->owned.serial);
    CHECK_EQ(f[RVT_SRQ_MAX_WR], 9);
    CHECK_EQ(f[RVT_SRQ_LIMIT], 1);
    f = read_row(&v, &row, RVT_RESOURCE_CQ, cq_serial(b.scq));
    CHECK_EQ(f[RVT_CQ_CQE], 32);
    CHECK_EQ(f[RVT_CQ_HELD], 1);
    CHECK_EQ(f[RVT_CQ_USERS], 1);
    CHECK_EQ(f[RVT_CQ_BROKEN], 0);
    f = read_row(&v, &row, RVT_RESOURCE_AH, ah.ah->owned.serial);
    CHECK_EQ(f[RVT_AH_PD], rvt_pd_serial(v.other_pd));
    CHECK_EQ(f[RVT_AH_DLID], 77);
    CHECK_EQ(f[RVT_AH_SL], 3);
    CHECK_EQ(rvt_resize_cq(b.scq, 1), 0);
    CHECK_EQ(post(&b, SEND_WR(.opcode = RVT_WR_RDMA_WRITE)), 0);
    run_engine(&v);
    f = read_row(&v, &row, RVT_RESOURCE_CQ, cq_serial(b.scq));
    CHECK_EQ(f[RVT_CQ_CQE], 1);
    CHECK_EQ(f[RVT_CQ_BROKEN], 1);
    f = read_row(&v, &row, RVT_RESOURCE_QP, b.serial);
    CHECK_EQ(f[RVT_QP_STATE], RVT_QPS_ERR);
    CHECK_EQ(f[RVT_QP_SENDS], 0);
    CHECK_EQ(f[RVT_QP_RECEIVES], 0);
    CHECK_EQ(move_qp(&b, usual_attr(0), RVT_QPS_RESET), 0);
    f = read_row(&v, &row, RVT_RESOURCE_QP, b.serial);
    CHECK_EQ(f[RVT_QP_STATE], RVT_QPS_RESET);
    CHECK_EQ(f[RVT_QP_PEER], 0);
    /* A queue pair for checks has none of this, also in the place of one that had. */
    CHECK_EQ(rvt_destroy_qp(b.handle), 0);
    struct rvt_qp_handle check;
    CHECK_EQ(rvt_create_check_qp(v.pd, &check), 0);
    CHECK_PTR_EQ(check.qp, b.handle.qp);
    f = read_row(&v, &row, RVT_RESOURCE_QP, check.qp->owned.serial);
    for (int field = RVT_QP_TYPE; field < RVT_QP_FIELDS; field++)
        CHECK_EQ(f[field], 0);
    verbs_close(&v);
}

static void completions_are_counted_by_status(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp a = make_qp(&v, RVT_QPT_RC);
    struct rvt_completion_counts counts;
    connect_qp(&a, a.qpn);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_RDMA_WRITE)), 0);
    CHECK_EQ(post(&a, PLAIN_WR(.opcode = RVT_WR_RDMA_WRITE)), 0); /* no completion */
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_RDMA_READ, .rkey = 1)), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    rvt_count_completions(v.device, &counts);
    for (int i = 0; i < RVT_WC_STATUS_COUNT; i++)
        CHECK_EQ(counts.by_status[i], i == RVT_WC_STATUS_SUCCESS || i == RVT_WC_STATUS_REM_ACCESS_ERR ||
                                          i == RVT_WC_STATUS_WR_FLUSH_ERR);
    CHECK_EQ(counts.lost, 0);
    verbs_close(&v);
}

/* Checks and copies of the engine count in the totals of the device, and for counted regions. */
static void checks_and_copies_of_the_engine_are_counted(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp a = make_qp(&v, RVT_QPT_RC);
    struct vmr mr = make_mr(&v, bytes, PAGE);
    CHECK_EQ(rvt_count_mr(mr.mr), 0);
    connect_qp(&a, a.qpn);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .sges = &sge, .num_sge = 1,
                              .remote_addr = mr.addr + 8, .rkey = mr.key)),
             0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .sges = &sge, .num_sge = 1, .remote_addr = mr.addr,
                              .rkey = mr.key ^ 1)),
             0);
    struct rvt_counts counts = fixture_counts(v.device, NULL);
    CHECK_EQ(counts.accepted, 3); /* two elements, one remote range */
    CHECK_EQ(counts.refused[RVT_STALE_KEY], 1);
    CHECK_EQ(counts.bytes, 8);
    CHECK_EQ(fixture_query(mr.mr).bytes, 16); /* read and written */
    CHECK_EQ(fixture_query(mr.mr).accepted, 3);
    verbs_close(&v);
}

/* A host need not take events. */
static void a_host_without_an_event_function(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    v.device->engine->host.event = NULL;
    make_pair(&v, RVT_QPT_RC, &a, &b);
    CHECK_EQ(rvt_req_notify_cq(a.scq, RVT_NOTIFY_NEXT), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(post_receive(&b, 1, NULL, 0), 0);
    CHECK_EQ(rvt_fire_timers(v.device, NULL, NULL), 1);
    WC(a.scq, .qp_num = a.qpn);
    NO_EVENT(&v);
    verbs_close(&v);
}

static void a_limit_of_no_domains_allows_none(void) {
    const struct rvt_device_options options = {.lkey_table_bits = 8};
    struct rvt_engine_options engine = {.limits = usual_limits()};
    struct rvt_dev_info *device;
    struct rvt_pd_handle pd;
    engine.limits.of[RVT_LIMIT_MAX_PD] = 0;
    REQUIRE(rvt_register_device(&options, &engine, &device) == 0);
    FAILS_WITH(rvt_alloc_pd(device, NULL, false, &pd), RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS,
               RVT_RESOURCE_PD, 0, 0);
    CHECK_EQ(rvt_mr_exit(device, false, NULL), 0);
    rvt_dev_put(device);
}

CHECK_MAIN(TEST(a_limit_of_no_domains_allows_none), TEST(limits_are_reported_and_element_limits_bounded),
           TEST(opening_fails_cleanly_without_memory), TEST(work_is_carried_out_at_once_or_by_run),
           TEST(ready_queue_pairs_are_first_in_first_out), TEST(a_verbs_failure_survives_the_engine),
           TEST(progress_fires_timers_when_they_are_due),
           TEST(timers_fire_in_the_order_in_which_they_were_started),
           TEST(deregistering_puts_holders_into_error_in_the_kernels_order),
           TEST(receives_and_targets_do_not_hold_a_region),
           TEST(a_region_can_end_before_there_are_queue_pairs),
           TEST(by_force_or_by_a_list_the_holders_go_into_error_too),
           TEST(a_dma_region_is_busy_while_its_holders_wait), TEST(a_waiting_holder_is_flushed),
           TEST(a_device_closes_with_everything_alive), TEST(a_domain_closes_with_everything_in_it),
           TEST(a_context_ends_with_everything_it_owns), TEST(held_bytes_return_when_all_is_destroyed),
           TEST(reports_show_queues_and_queue_pairs), TEST(completions_are_counted_by_status),
           TEST(checks_and_copies_of_the_engine_are_counted), TEST(a_host_without_an_event_function))
