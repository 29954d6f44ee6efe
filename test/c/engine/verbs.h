/* SPDX-License-Identifier: BSD-3-Clause */
/* A device with an engine for the tests of the verbs: queue pairs, memory, work requests, and comparisons of
 * completions, events and failures. */
#ifndef RVT_TEST_VERBS_H
#define RVT_TEST_VERBS_H

#include "core/engine/engine_state.h"
#include "core/rvt.h"
#include "fixture.h"

enum { MOST_EVENTS = 64 };

struct event {
    enum rvt_event_kind kind;
    uint64_t object;
    void *user;
};

struct verbs {
    struct rvt_dev_info *device;
    struct rvt_pd_handle pd, other_pd;
    long live;     /* number of live allocations before the device was opened */
    uint64_t held; /* rvt_held_bytes() of the device when it was opened */
    struct event events[MOST_EVENTS];
    uint32_t event_count, events_seen;
    /* For each_verb_allocation_fails(): objects that the verb needs. */
    struct rvt_cq_handle cq;
    struct rvt_srq_handle srq;
    struct rvt_qp_handle qp;
    struct rvt_ah_handle ah;
};

/* A queue pair with a completion queue for each side. */
struct vqp {
    struct rvt_qp_handle handle;
    uint32_t qpn;
    uint64_t serial;
    struct rvt_cq_handle scq, rcq;
};

/* A registered buffer, whose start and iova are its address. */
struct vmr {
    unsigned char *data;
    uint64_t addr, length;
    struct rvt_mr_handle mr;
    uint32_t key;
};

/* --- events --- */

static inline void note_event(enum rvt_event_kind kind, uint64_t object, void *user, void *data) {
    struct verbs *v = data;
    if (v->event_count < MOST_EVENTS)
        v->events[v->event_count] = (struct event){kind, object, user};
    v->event_count++;
}

static inline void next_event(struct verbs *v, enum rvt_event_kind kind, uint64_t object, const char *file,
                              int line) {
    if (!check_true(v->events_seen < v->event_count, "an event", file, line))
        return;
    const struct event *event = &v->events[v->events_seen++];
    check_equal(event->kind, kind, "the event's kind", "expected", file, line);
    check_equal(event->object, object, "the event's object", "expected", file, line);
}

static inline void no_event(struct verbs *v, const char *file, int line) {
    check_equal(v->event_count, v->events_seen, "number of events", "those expected", file, line);
    v->event_count = v->events_seen = 0;
}

/* The next event is of this kind and object; there is none. */
#define EVENT(v, kind, object) next_event((v), (kind), (object), __FILE__, __LINE__)
#define NO_EVENT(v) no_event((v), __FILE__, __LINE__)

/* --- failures --- */

static inline void check_failed(int answer, int error, enum rvt_cause cause, uint64_t value, uint64_t limit,
                                uint64_t index, const char *file, int line) {
    struct rvt_failure why;
    rvt_take_failure(&why);
    check_equal((uint64_t)(int64_t)answer, (uint64_t)(int64_t)-error, "the answer", "expected", file, line);
    check_equal(why.numbers[RVT_FAILURE_ERROR], (uint64_t)error, "the recorded errno", "expected", file,
                line);
    check_equal(why.numbers[RVT_FAILURE_CAUSE], cause, "the cause", "expected", file, line);
    check_equal(why.numbers[RVT_FAILURE_VALUE], value, "the cause's value", "expected", file, line);
    check_equal(why.numbers[RVT_FAILURE_LIMIT], limit, "the cause's limit", "expected", file, line);
    check_equal(why.numbers[RVT_FAILURE_INDEX], index, "the cause's index", "expected", file, line);
}

/* The call failed with this errno and cause, without numbers or with value, limit and index. */
#define FAILS(answer, error, cause) FAILS_WITH(answer, error, cause, 0, 0, 0)
#define FAILS_WITH(answer, error, cause, value, limit, index)                                                \
    check_failed((answer), (error), (cause), (value), (limit), (index), __FILE__, __LINE__)

/* --- devices --- */

static inline struct rvt_limits usual_limits(void) {
    return (struct rvt_limits){{
        [RVT_LIMIT_MAX_QP] = 64,
        [RVT_LIMIT_MAX_QP_WR] = 64,
        [RVT_LIMIT_MAX_SEND_SGE] = 8,
        [RVT_LIMIT_MAX_RECV_SGE] = 8,
        [RVT_LIMIT_MAX_CQ] = 64,
        [RVT_LIMIT_MAX_CQE] = 64,
        [RVT_LIMIT_MAX_SRQ] = 8,
        [RVT_LIMIT_MAX_SRQ_WR] = 64,
        [RVT_LIMIT_MAX_SRQ_SGE] = 8,
        [RVT_LIMIT_MAX_PD] = 16,
        [RVT_LIMIT_MAX_RDMA_ATOMIC] = 16,
        [RVT_LIMIT_NPKEYS] = 3,
        [RVT_LIMIT_MAX_AH] = 8,
    }};
}

/* `faults`: NULL, or what the device makes on purpose. */
static inline bool verbs_open_faulty(struct verbs *v, struct rvt_limits limits, bool manual,
                                     const struct rvt_fault_options *faults) {
    const struct rvt_device_options options = {
        .lkey_table_bits = 8, .remote_key_zero = true, .faults = faults};
    const struct rvt_engine_options engine = {.limits = limits, .host = {note_event, v}, .manual = manual};
    memset(v, 0, sizeof(*v));
    v->live = rvt_test_alloc_live();
    int error = rvt_register_device(&options, &engine, &v->device);
    error = error ? error : rvt_alloc_pd(v->device, NULL, false, &v->pd);
    error = error ? error : rvt_alloc_pd(v->device, NULL, false, &v->other_pd);
    if (!error)
        v->held = rvt_held_bytes(v->device);
    return check_equal((uint64_t)error, 0, "opening the device", "0", __FILE__, __LINE__);
}

static inline bool verbs_open_with(struct verbs *v, struct rvt_limits limits, bool manual) {
    return verbs_open_faulty(v, limits, manual, NULL);
}

enum { AT_ONCE = false, MANUAL = true };

static inline bool verbs_open(struct verbs *v, bool manual) {
    return verbs_open_with(v, usual_limits(), manual);
}

/* Closes the device with everything in it, and checks that no allocation is left. */
static inline void verbs_close(struct verbs *v) {
    if (!atomic_load(&v->device->closed)) /* otherwise its last context has closed it */
        CHECK_EQ(rvt_mr_exit(v->device, true, NULL), 0);
    CHECK(!rvt_reclaim_pending(&v->device->retirement));
    const struct rvt_engine *engine = v->device->engine;
    if (engine->context) /* every section that the engine entered was left */
        CHECK_EQ(engine->context->reader->depth, 0);
    CHECK_EQ(atomic_load(&engine->waiting), 0);
    rvt_dev_put(v->device);
    CHECK_EQ(rvt_test_alloc_live(), v->live);
}

/* --- queues --- */

static inline struct rvt_cq_handle make_cq_in(struct verbs *v, struct rvt_ucontext *context, uint32_t cqe) {
    struct rvt_cq_handle cq = {0};
    CHECK_EQ(rvt_create_cq(v->device, context, &(struct rvt_cq_init){.cqe = cqe, .user = v}, &cq), 0);
    return cq;
}

static inline struct rvt_cq_handle make_cq(struct verbs *v, uint32_t cqe) {
    return make_cq_in(v, NULL, cqe);
}

static inline struct rvt_srq_handle make_srq_in(struct verbs *v, struct rvt_pd_handle pd, uint32_t max_wr,
                                                uint32_t max_sge, uint32_t limit) {
    struct rvt_srq_handle srq = {0};
    const struct rvt_srq_init init = {
        .max_wr = max_wr, .max_sge = max_sge, .limit = limit, .basic = true, .user = v};
    CHECK_EQ(rvt_create_srq(pd, &init, &srq), 0);
    return srq;
}

static inline struct rvt_srq_handle make_srq(struct verbs *v, uint32_t max_wr, uint32_t max_sge,
                                             uint32_t limit) {
    return make_srq_in(v, v->pd, max_wr, max_sge, limit);
}

static inline uint64_t cq_serial(struct rvt_cq_handle cq) {
    return cq.cq->owned.serial;
}

static inline struct rvt_cq_attr query_cq(struct rvt_cq_handle cq) {
    struct rvt_cq_attr attr = {0};
    CHECK_EQ(rvt_query_cq(cq, &attr), 0);
    return attr;
}

static inline struct rvt_srq_attr query_srq(struct rvt_srq_handle srq) {
    struct rvt_srq_attr attr = {0};
    CHECK_EQ(rvt_query_srq(srq, &attr), 0);
    return attr;
}

/* Creates a queue pair in RESET. Numbers of `init` that are 0 become 16 work requests of 4 elements, and
 * queues without a handle become new ones. */
static inline struct vqp make_qp_with(struct verbs *v, struct rvt_pd_handle pd, struct rvt_qp_init init) {
    struct vqp qp = {0};
    init.type = init.type ? init.type : RVT_QPT_RC;
    init.send_cq = init.send_cq.cq ? init.send_cq : make_cq_in(v, pd.context, 32);
    init.recv_cq = init.recv_cq.cq ? init.recv_cq : make_cq_in(v, pd.context, 32);
    init.max_send_wr = init.max_send_wr ? init.max_send_wr : 16;
    init.max_recv_wr = init.max_recv_wr ? init.max_recv_wr : 16;
    init.max_send_sge = init.max_send_sge ? init.max_send_sge : 4;
    init.max_recv_sge = init.max_recv_sge ? init.max_recv_sge : 4;
    init.user = v;
    CHECK_EQ(rvt_create_qp(pd, &init, &qp.handle, &qp.qpn), 0);
    qp.serial = qp.handle.qp ? qp.handle.qp->owned.serial : 0;
    qp.scq = init.send_cq;
    qp.rcq = init.recv_cq;
    return qp;
}

static inline struct vqp make_qp(struct verbs *v, enum rvt_qp_type type) {
    return make_qp_with(v, v->pd, (struct rvt_qp_init){.type = type, .sig_type = RVT_SIGNAL_REQ_WR});
}

static inline struct rvt_qp_query query_qp(const struct vqp *qp) {
    struct rvt_qp_query query = {0};
    CHECK_EQ(rvt_query_qp(qp->handle, &query), 0);
    return query;
}

static inline uint32_t state_of(const struct vqp *qp) {
    return query_qp(qp).attr.state;
}

/* Attributes that take a queue pair to RTS. */
static inline struct rvt_qp_attr usual_attr(uint32_t dest_qpn) {
    return (struct rvt_qp_attr){
        .access = ALL_ACCESS,
        .qkey = 0x11,
        .dest_qpn = dest_qpn,
        .sq_psn = 0x100,
        .rq_psn = 0x200,
        .port = 1,
        .path_mtu = 3,
        .timeout = 14,
        .retry_cnt = 3,
        .rnr_retry = 2,
        .min_rnr_timer = 12,
        .max_rd_atomic = 4,
        .max_dest_rd_atomic = 4,
        .av = {.dlid = 7, .sl = 5, .port = 1},
    };
}

/* Returns the mask of the attributes that the move to `state` needs. */
static inline uint32_t usual_mask(enum rvt_qp_type type, enum rvt_qp_state state) {
    const bool ud = type == RVT_QPT_UD, rc = type == RVT_QPT_RC;
    switch (state) {
    case RVT_QPS_INIT:
        return RVT_QPA_STATE | RVT_QPA_PKEY_INDEX | RVT_QPA_PORT |
               (ud ? (uint32_t)RVT_QPA_QKEY : (uint32_t)RVT_QPA_ACCESS_FLAGS);
    case RVT_QPS_RTR:
        return RVT_QPA_STATE | (ud ? 0 : RVT_QPA_AV | RVT_QPA_PATH_MTU | RVT_QPA_DEST_QPN | RVT_QPA_RQ_PSN) |
               (rc ? RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER : 0);
    case RVT_QPS_RTS:
        return RVT_QPA_STATE | RVT_QPA_SQ_PSN |
               (rc ? RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY | RVT_QPA_MAX_RD_ATOMIC : 0);
    default:
        return RVT_QPA_STATE;
    }
}

static inline int move_qp(const struct vqp *qp, struct rvt_qp_attr attr, enum rvt_qp_state state) {
    attr.state = state;
    return rvt_modify_qp(qp->handle, &attr, usual_mask((enum rvt_qp_type)query_qp(qp).type, state));
}

/* Takes a queue pair from RESET to `state`. */
static inline void bring_to(const struct vqp *qp, struct rvt_qp_attr attr, enum rvt_qp_state state) {
    static const enum rvt_qp_state way[] = {RVT_QPS_INIT, RVT_QPS_RTR, RVT_QPS_RTS, RVT_QPS_SQD};
    if (state == RVT_QPS_ERR) {
        CHECK_EQ(move_qp(qp, attr, RVT_QPS_INIT), 0);
        CHECK_EQ(move_qp(qp, attr, RVT_QPS_ERR), 0);
        return;
    }
    for (unsigned i = 0; i < 4 && way[i] <= state; i++)
        CHECK_EQ(move_qp(qp, attr, way[i]), 0);
}

static inline void connect_qp(const struct vqp *qp, uint32_t dest_qpn) {
    bring_to(qp, usual_attr(dest_qpn), RVT_QPS_RTS);
}

/* Two connected queue pairs in RTS. */
static inline void make_pair(struct verbs *v, enum rvt_qp_type type, struct vqp *a, struct vqp *b) {
    *a = make_qp(v, type);
    *b = make_qp(v, type);
    connect_qp(a, b->qpn);
    connect_qp(b, a->qpn);
}

/* --- memory --- */

static inline struct vmr make_mr_in(struct rvt_pd_handle pd, void *data, uint64_t length, uint32_t access) {
    struct vmr mr = {.data = data, .addr = (uint64_t)(uintptr_t)data, .length = length};
    mr.mr = fixture_reg_in(pd, data, length, mr.addr, mr.addr, access);
    mr.key = mr.mr.mr ? fixture_query(mr.mr).keys.lkey : 0;
    return mr;
}

static inline struct vmr make_mr(struct verbs *v, void *data, uint64_t length) {
    return make_mr_in(v->pd, data, length, ALL_ACCESS);
}

static inline struct rvt_ib_sge sge_at(const struct vmr *mr, uint64_t offset, uint32_t length) {
    return (struct rvt_ib_sge){mr->addr + offset, length, mr->key};
}

/* No element holds the region. */
#define AT_REST(region) CHECK_EQ(fixture_query((region).mr).refs, 2)

static inline void count_up(unsigned char *bytes, size_t length, unsigned from) {
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(from + i * 7 + i / 256);
}

/* Memory whose bytes may not be there when a request is carried out. */
struct fickle {
    struct rvt_memory memory;
    enum rvt_reason reason; /* NONE: the bytes are there */
    unsigned char *data;
};

static inline enum rvt_reason resolve_fickle(struct rvt_memory *memory, void *environment,
                                             unsigned char **data) {
    const struct fickle *fickle = (struct fickle *)memory;
    (void)environment;
    *data = fickle->data;
    return fickle->reason;
}

static inline void release_fickle(struct rvt_memory *memory) {
    (void)memory;
}

static const struct rvt_memory_ops fickle_ops = {.resolve = resolve_fickle, .release = release_fickle};

/* --- work requests --- */

/* Posts one send work request. */
static inline int post(const struct vqp *qp, struct rvt_send_wr wr) {
    uint32_t bad;
    return rvt_post_send(qp->handle, &wr, 1, &bad);
}

/* A work request with the members given; a signaled one. */
#define PLAIN_WR(...)                                                                                        \
    (struct rvt_send_wr) {                                                                                   \
        __VA_ARGS__                                                                                          \
    }
#define SEND_WR(...)                                                                                         \
    (struct rvt_send_wr) {                                                                                   \
        .flags = RVT_SEND_SIGNALED, __VA_ARGS__                                                              \
    }

static inline int post_receive(const struct vqp *qp, uint64_t wr_id, const struct rvt_ib_sge *sges,
                               uint32_t count) {
    return rvt_post_recv(qp->handle, &(struct rvt_recv_wr){wr_id, sges, count}, 1, NULL);
}

static inline void run_engine(struct verbs *v) {
    CHECK_EQ(rvt_run_engine(v->device), 0);
}

/* --- completions --- */

static inline struct rvt_wc next_wc(struct rvt_cq_handle cq, const struct rvt_wc *expected, const char *file,
                                    int line) {
    struct rvt_wc wc = {0};
    if (!check_equal((uint64_t)rvt_poll_cq(cq, 1, &wc), 1, "completions", "1", file, line))
        return wc;
#define SAME(member) check_equal(wc.member, expected->member, #member, "expected", file, line)
    SAME(wr_id);
    SAME(qp_num);
    SAME(src_qp);
    SAME(status);
    SAME(opcode);
    SAME(byte_len);
    SAME(flags);
    SAME(imm_or_inv);
    SAME(slid);
    SAME(sl);
    SAME(port);
    SAME(cause);
    SAME(cause_value);
    SAME(refused.reason);
#undef SAME
    return wc;
}

/* Takes the oldest completion of the queue and compares all members but qp and refused, of which it compares the
 * reason. Returns it. */
#define WC(cq, ...) next_wc((cq), &(struct rvt_wc){__VA_ARGS__}, __FILE__, __LINE__)

static inline void no_wc(struct rvt_cq_handle cq, const char *file, int line) {
    struct rvt_wc wc;
    check_equal((uint64_t)rvt_poll_cq(cq, 1, &wc), 0, "completions", "0", file, line);
}

#define NO_WC(cq) no_wc((cq), __FILE__, __LINE__)

/* --- allocation failures --- */

/* Runs `verb` on a fresh device (set up by `prepare`) with its first allocation failing, then on another with
 * the second failing, and so on until none fails. Each failure must answer -ENOMEM, must not change the bytes
 * that the device holds, and must not leak; the same call must then succeed. */
static inline void each_verb_allocation_fails(void (*prepare)(struct verbs *), int (*verb)(struct verbs *),
                                              int at_least) {
    int failures = 0;
    for (long n = 0; n < 1000; n++) {
        struct verbs v;
        if (!verbs_open(&v, AT_ONCE))
            return;
        if (prepare)
            prepare(&v);
        rvt_test_alloc_fail_after(n);
        int answer = verb(&v);
        bool failed = rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        if (failed && answer < 0) {
            failures++;
            FAILS(answer, RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
            CHECK_EQ(verb(&v), 0);
        } else {
            CHECK_EQ(answer, 0);
        }
        verbs_close(&v);
        if (!failed)
            break;
    }
    CHECK(failures >= at_least);
}

#endif
