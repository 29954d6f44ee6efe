/* SPDX-License-Identifier: BSD-3-Clause */
/* Posting of work requests: every refusal in the order of the tests, and what is accepted. */
#include "core/engine/engine_qp.h"
#include "verbs.h"

/* Memory of the tests; each test registers what it needs. */
static alignas(4096) unsigned char bytes[4 * PAGE];

static const uint32_t unsupported[] = {RVT_WR_BIND_MW,
                                       RVT_WR_LSO,
                                       RVT_WR_RDMA_READ_WITH_INV,
                                       RVT_WR_MASKED_ATOMIC_CMP_AND_SWP,
                                       RVT_WR_MASKED_ATOMIC_FETCH_AND_ADD,
                                       RVT_WR_REG_MR_INTEGRITY,
                                       14,
                                       31,
                                       34,
                                       UINT32_MAX};
enum { UNSUPPORTED = sizeof(unsupported) / sizeof(unsupported[0]) };

static const uint32_t opcodes[] = {RVT_WR_SEND,
                                   RVT_WR_SEND_WITH_IMM,
                                   RVT_WR_RDMA_WRITE,
                                   RVT_WR_RDMA_WRITE_WITH_IMM,
                                   RVT_WR_REG_MR,
                                   RVT_WR_LOCAL_INV,
                                   RVT_WR_SEND_WITH_INV,
                                   RVT_WR_RDMA_READ,
                                   RVT_WR_ATOMIC_CMP_AND_SWP,
                                   RVT_WR_ATOMIC_FETCH_AND_ADD};
enum { OPCODES = 10, UD_OPCODES = 2, UC_OPCODES = 6 }; /* the first ones of `opcodes` */

static bool is_atomic(uint32_t opcode) {
    return opcode == RVT_WR_ATOMIC_CMP_AND_SWP || opcode == RVT_WR_ATOMIC_FETCH_AND_ADD;
}

/* Posts a work request that must be refused. */
#define REFUSED(qp, wr, error, cause, value, limit)                                                          \
    do {                                                                                                     \
        uint32_t bad_index = 7;                                                                              \
        FAILS_WITH(rvt_post_send((qp).handle, (wr), 1, &bad_index), error, cause, value, limit, 0);          \
        CHECK_EQ(bad_index, 0);                                                                              \
    } while (0)

static void the_state_decides_whether_work_requests_can_be_posted(void) {
    static const enum rvt_qp_state states[] = {RVT_QPS_RESET, RVT_QPS_INIT, RVT_QPS_RTR,
                                               RVT_QPS_RTS,   RVT_QPS_SQD,  RVT_QPS_ERR};
    static const enum rvt_qp_type types[] = {RVT_QPT_RC, RVT_QPT_UC, RVT_QPT_UD};
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct rvt_ah_handle ah;
    CHECK_EQ(rvt_create_ah(v.pd, &(struct rvt_ah_attr){.port = 1}, &ah), 0);
    for (int t = 0; t < 3; t++) {
        for (int s = 0; s < 6; s++) {
            struct vqp qp = make_qp(&v, types[t]);
            if (states[s] != RVT_QPS_RESET)
                bring_to(&qp, usual_attr(2), states[s]);
            const struct rvt_send_wr send = SEND_WR(.opcode = RVT_WR_SEND, .ah = &ah, .remote_qpn = 2);
            uint32_t bad = 7;
            int answer = rvt_post_send(qp.handle, &send, 1, &bad);
            if (states[s] < RVT_QPS_RTS)
                FAILS_WITH(answer, RVT_EINVAL, RVT_CAUSE_QP_STATE, states[s], 0, 0);
            else
                CHECK_EQ(answer, 0);
            CHECK_EQ(bad, RVT_NO_BAD_WR);
            CHECK_EQ(query_qp(&qp).sends, states[s] >= RVT_QPS_RTS);
            bad = 7;
            answer = rvt_post_recv(qp.handle, &(struct rvt_recv_wr){5, NULL, 0}, 1, &bad);
            if (states[s] == RVT_QPS_RESET)
                FAILS_WITH(answer, RVT_EINVAL, RVT_CAUSE_QP_STATE, RVT_QPS_RESET, 0, 0);
            else
                CHECK_EQ(answer, 0);
            CHECK_EQ(bad, 0);
            CHECK_EQ(query_qp(&qp).receives, states[s] != RVT_QPS_RESET && states[s] != RVT_QPS_ERR);
            if (states[s] == RVT_QPS_ERR) {
                WC(qp.rcq, .wr_id = 5, .qp_num = qp.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
                   .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
                run_engine(&v);
                WC(qp.scq, .qp_num = qp.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR, .cause = RVT_WHY_FLUSHED);
            }
            NO_WC(qp.rcq);
            NO_WC(qp.scq);
            CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
            CHECK_EQ(rvt_destroy_cq(qp.scq), 0);
            CHECK_EQ(rvt_destroy_cq(qp.rcq), 0);
        }
    }
    verbs_close(&v);
}

static void receives_are_refused_in_order(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp qp = make_qp_with(&v, v.pd, (struct rvt_qp_init){.max_recv_wr = 3, .max_recv_sge = 2});
    struct rvt_ib_sge sges[3] = {{0}};
    const struct rvt_recv_wr wrs[] = {{1, sges, 2}, {2, sges, 0}, {3, sges, 3}, {4, sges, 1}, {5, sges, 1}};
    uint32_t bad = 7;
    CHECK_EQ(move_qp(&qp, usual_attr(0), RVT_QPS_INIT), 0);
    FAILS_WITH(rvt_post_recv(qp.handle, wrs, 5, &bad), RVT_EINVAL, RVT_CAUSE_WR_SGES, 3, 2, 2);
    CHECK_EQ(bad, 2);
    FAILS_WITH(rvt_post_recv(qp.handle, wrs + 3, 2, &bad), RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 3, 3, 1);
    CHECK_EQ(bad, 1);
    CHECK_EQ(query_qp(&qp).receives, 3);
    CHECK_EQ(rvt_post_recv(qp.handle, wrs, 0, &bad), 0);
    /* In ERR too many elements are refused as well; a full queue cannot be. */
    CHECK_EQ(move_qp(&qp, usual_attr(0), RVT_QPS_ERR), 0);
    FAILS_WITH(rvt_post_recv(qp.handle, wrs, 5, &bad), RVT_EINVAL, RVT_CAUSE_WR_SGES, 3, 2, 2);
    static const uint64_t flushed[] = {1, 2, 4, 1, 2};
    for (int i = 0; i < 5; i++)
        WC(qp.rcq, .wr_id = flushed[i], .qp_num = qp.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
           .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
    NO_WC(qp.rcq);
    struct rvt_srq_handle srq = make_srq(&v, 1, 1, 0);
    struct vqp shared = make_qp_with(&v, v.pd, (struct rvt_qp_init){.srq = &srq});
    FAILS_WITH(rvt_post_recv(shared.handle, wrs, 1, &bad), RVT_EINVAL, RVT_CAUSE_QP_STATE, RVT_QPS_RESET, 0,
               0);
    CHECK_EQ(move_qp(&shared, usual_attr(0), RVT_QPS_INIT), 0);
    FAILS(rvt_post_recv(shared.handle, wrs, 1, &bad), RVT_EINVAL, RVT_CAUSE_QP_HAS_SRQ);
    CHECK_EQ(bad, 0);
    verbs_close(&v);
}

/* Which opcodes a type supports. Too many elements come first. */
static void opcodes_depend_on_the_type(void) {
    static const enum rvt_qp_type types[] = {RVT_QPT_RC, RVT_QPT_UC, RVT_QPT_UD};
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct rvt_ib_sge sges[5] = {{0}};
    for (int t = 0; t < 3; t++) {
        struct vqp qp = make_qp(&v, types[t]);
        connect_qp(&qp, 2);
        const unsigned supported = types[t] == RVT_QPT_RC   ? OPCODES
                                   : types[t] == RVT_QPT_UC ? UC_OPCODES
                                                            : UD_OPCODES;
        for (unsigned i = 0; i < OPCODES + UNSUPPORTED; i++) {
            struct rvt_send_wr wr = {.opcode = i < OPCODES ? opcodes[i] : unsupported[i - OPCODES],
                                     .sges = sges};
            wr.num_sge = 5;
            REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_SGES, 5, 4);
            if (i < supported)
                continue;
            wr.num_sge = 4;
            REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_OPCODE, wr.opcode, types[t]);
        }
        CHECK_EQ(query_qp(&qp).sends, 0);
    }
    verbs_close(&v);
}

/* The refusals of one work request in the order in which they are tested: each step mends one. */
static void atomics_and_reads_are_refused_in_order(void) {
    static const uint32_t remote[] = {RVT_WR_ATOMIC_CMP_AND_SWP, RVT_WR_ATOMIC_FETCH_AND_ADD,
                                      RVT_WR_RDMA_READ};
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct vmr mr = make_mr(&v, bytes, PAGE), read_only = make_mr_in(v.pd, bytes, PAGE, 0);
    for (int i = 0; i < 3; i++) {
        struct vqp qp = make_qp_with(&v, v.pd, (struct rvt_qp_init){.max_send_wr = 1});
        struct rvt_qp_attr attr = usual_attr(2);
        attr.max_rd_atomic = 0;
        bring_to(&qp, attr, RVT_QPS_RTS);
        struct rvt_ib_sge sge = {read_only.addr + 4, 7, read_only.key ^ 1};
        struct rvt_send_wr wr = SEND_WR(.opcode = remote[i], .sges = &sge);
        if (is_atomic(wr.opcode)) {
            REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_ATOMIC_SGE, 0, 8);
            wr.num_sge = 1;
            REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_ATOMIC_SGE, 7, 8);
            sge.length = 8;
            REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_ATOMIC_ADDRESS, sge.addr, 8);
            sge.addr = read_only.addr + 8;
        }
        wr.num_sge = 1;
        REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_NO_RD_ATOMIC, 0, 0);
        attr.max_rd_atomic = 1;
        CHECK_EQ(move_qp(&qp, attr, RVT_QPS_SQD), 0);
        CHECK_EQ(rvt_modify_qp(qp.handle, &attr, RVT_QPA_MAX_RD_ATOMIC), 0);
        const struct rvt_send_wr filler = SEND_WR(.opcode = RVT_WR_SEND);
        CHECK_EQ(post(&qp, filler), 0);
        REFUSED(qp, &wr, RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 1, 1);
        CHECK_EQ(move_qp(&qp, attr, RVT_QPS_RESET), 0);
        attr.max_rd_atomic = 4;
        bring_to(&qp, attr, RVT_QPS_SQD);
        REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_SGE_REFUSED, 0, RVT_STALE_KEY);
        sge.lkey = read_only.key;
        REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_SGE_REFUSED, 0, RVT_ACCESS_DENIED);
        sge = sge_at(&mr, 8, 64); /* more bytes than an atomic needs are fine */
        CHECK_EQ(post(&qp, wr), 0);
        CHECK_EQ(fixture_query(mr.mr).refs, 3);
        CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
        AT_REST(mr);
        AT_REST(read_only);
    }
    verbs_close(&v);
}

/* Which opcodes need local write access for their elements. */
static void local_write_is_needed_by_some_opcodes(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct vmr read_only = make_mr_in(v.pd, bytes, PAGE, 0);
    struct rvt_mr_handle list = {0};
    CHECK_EQ(rvt_alloc_mr(v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    connect_qp(&qp, 2);
    for (unsigned i = 0; i < OPCODES; i++) {
        struct rvt_ib_sge sge = sge_at(&read_only, 0, 8);
        struct rvt_send_wr wr = SEND_WR(.opcode = opcodes[i], .sges = &sge, .num_sge = 1, .mr = list,
                                        .key = fixture_key(list), .invalidate_rkey = fixture_key(list));
        const bool needs = i >= 4; /* REG_MR and all that follow */
        if (needs)
            REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_SGE_REFUSED, 0, RVT_ACCESS_DENIED);
        else
            CHECK_EQ(post(&qp, wr), 0);
        if (opcodes[i] == RVT_WR_LOCAL_INV) /* it was carried out nevertheless */
            CHECK_EQ(fixture_query(list).valid, false);
    }
    CHECK_EQ(fixture_query(read_only.mr).refs, 2 + 4);
    CHECK_EQ(query_qp(&qp).sends, 4);
    verbs_close(&v);
}

static void a_refused_element_puts_the_references_back(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct vmr mr = make_mr(&v, bytes, PAGE), other = make_mr(&v, bytes + PAGE, PAGE),
               elsewhere = make_mr_in(v.other_pd, bytes, PAGE, ALL_ACCESS);
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    connect_qp(&qp, 2);
    const struct rvt_ib_sge good = sge_at(&mr, 0, 8), good2 = sge_at(&other, 0, 8);
    const struct {
        struct rvt_ib_sge sge;
        enum rvt_reason reason;
    } bad[] = {
        {{elsewhere.addr, 8, elsewhere.key}, RVT_WRONG_PD},
        {{mr.addr, PAGE + 1, mr.key}, RVT_OUT_OF_BOUNDS},
        {{mr.addr - 1, 8, mr.key}, RVT_OUT_OF_BOUNDS},
        {{mr.addr, 8, mr.key ^ 1}, RVT_STALE_KEY},
        {{mr.addr, 8, 0}, RVT_NO_DMA_REGION},
        {{mr.addr, 8, 0xf0123400}, RVT_NO_SUCH_KEY},
    };
    for (uint32_t at = 0; at < 3; at++) {
        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            struct rvt_ib_sge sges[3] = {good, good2, good};
            sges[at] = bad[i].sge;
            struct rvt_send_wr wr = SEND_WR(.opcode = RVT_WR_SEND, .sges = sges, .num_sge = 3);
            REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_SGE_REFUSED, at, bad[i].reason);
            /* An empty element is not looked at. */
            sges[at].length = 0;
            CHECK_EQ(post(&qp, wr), 0);
            CHECK_EQ(query_qp(&qp).sends, 1);
            CHECK_EQ(move_qp(&qp, usual_attr(2), RVT_QPS_RESET), 0);
            connect_qp(&qp, 2);
            AT_REST(mr);
            AT_REST(other);
        }
    }
    /* Earlier work requests of the list stay posted. */
    struct rvt_send_wr list[] = {
        SEND_WR(.opcode = RVT_WR_SEND, .sges = &good, .num_sge = 1),
        SEND_WR(.opcode = RVT_WR_SEND, .sges = &good2, .num_sge = 1),
        SEND_WR(.opcode = RVT_WR_LSO),
        SEND_WR(.opcode = RVT_WR_SEND),
    };
    uint32_t index = 7;
    FAILS_WITH(rvt_post_send(qp.handle, list, 4, &index), RVT_EINVAL, RVT_CAUSE_WR_OPCODE, RVT_WR_LSO,
               RVT_QPT_RC, 2);
    CHECK_EQ(index, 2);
    CHECK_EQ(query_qp(&qp).sends, 2);
    CHECK_EQ(fixture_query(mr.mr).refs, 3);
    CHECK_EQ(rvt_post_send(qp.handle, list, 0, NULL), 0);
    verbs_close(&v);
}

/* A list that is read one work request at a time; `end` is the index of the first one that cannot be read. */
struct unread_list {
    const struct rvt_send_wr *wrs;
    uint32_t end, next;
    struct rvt_send_wr read; /* overwritten by the next one, as a source may do */
    bool all_queued;
    const unsigned char *target; /* a byte that the first work request writes */
};

static const struct rvt_send_wr *read_next(void *data, uint32_t index) {
    struct unread_list *list = data;
    CHECK_EQ(index, list->next);
    list->next++;
    /* No work request is carried out before the last one is posted. */
    list->all_queued = list->all_queued && !*list->target;
    if (index == list->end)
        return NULL;
    list->read = list->wrs[index];
    return &list->read;
}

static void work_requests_can_be_read_one_by_one(void) {
    for (int manual = 0; manual < 2; manual++) {
        struct verbs v;
        REQUIRE(verbs_open(&v, manual ? MANUAL : AT_ONCE));
        struct vqp qp = make_qp(&v, RVT_QPT_RC);
        connect_qp(&qp, qp.qpn);
        memset(bytes, 0, 2);
        bytes[1] = 1;
        struct vmr mr = make_mr(&v, bytes, 2);
        const struct rvt_ib_sge from = sge_at(&mr, 1, 1);
        const struct rvt_send_wr wrs[] = {
            SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .wr_id = 1, .sges = &from, .num_sge = 1,
                    .remote_addr = mr.addr, .rkey = mr.key),
            SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .wr_id = 2),
            SEND_WR(.opcode = RVT_WR_LSO),
            SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .wr_id = 4),
        };
        struct unread_list list = {
            .wrs = wrs,
            .end = 2,
            .all_queued = true,
            .target = bytes,
        };
        const struct rvt_send_source source = {read_next, &list};
        uint32_t bad = 7;
        FAILS_WITH(rvt_post_send_from(qp.handle, &source, 4, &bad), RVT_EINVAL, RVT_CAUSE_ARGUMENT, 0, 0, 0);
        CHECK_EQ(bad, 2);
        CHECK(list.all_queued);
        CHECK_EQ(rvt_run_engine(v.device), 0);
        struct rvt_wc wcs[4];
        CHECK_EQ(rvt_poll_cq(qp.scq, 4, wcs), 2);
        CHECK_EQ(wcs[0].wr_id, 1);
        CHECK_EQ(wcs[1].wr_id, 2);
        CHECK_EQ(bytes[0], 1);
        /* Nothing is read behind a refused one, for an empty list, or if the state forbids posting. */
        list.end = 4;
        list.next = 0;
        FAILS_WITH(rvt_post_send_from(qp.handle, &source, 4, &bad), RVT_EINVAL, RVT_CAUSE_WR_OPCODE,
                   RVT_WR_LSO, RVT_QPT_RC, 2);
        CHECK_EQ(list.next, 3);
        CHECK_EQ(rvt_post_send_from(qp.handle, &source, 0, NULL), 0);
        CHECK_EQ(move_qp(&qp, usual_attr(2), RVT_QPS_RESET), 0);
        CHECK_EQ(rvt_post_send_from(qp.handle, &source, 4, &bad), -RVT_EINVAL);
        CHECK_EQ(bad, RVT_NO_BAD_WR);
        CHECK_EQ(list.next, 3);
        verbs_close(&v);
    }
}

enum refusal { UNKNOWN_OPCODE, BAD_KEY, UNREADABLE, NO_REG_MR, REFUSALS };

/* Makes work request `at` of the list one that is refused. */
static void spoil(struct unread_list *list, struct rvt_send_wr *wrs, uint32_t at, enum refusal refusal) {
    static const struct rvt_ib_sge bad_key = {0x1000, 8, 0x123400};
    if (refusal == UNREADABLE)
        list->end = at;
    wrs[at] = SEND_WR(.opcode = refusal == UNKNOWN_OPCODE ? RVT_WR_LSO
                                : refusal == NO_REG_MR    ? RVT_WR_REG_MR
                                                          : RVT_WR_RDMA_WRITE);
    if (refusal == BAD_KEY) {
        wrs[at].sges = &bad_key;
        wrs[at].num_sge = 1;
    }
}

/* Stores what reports show of the only queue pair. */
static bool note_qp(void *data, enum rvt_resource_kind kind, const uint64_t *fields) {
    if (kind == RVT_RESOURCE_QP)
        memcpy(data, fields, RVT_QP_FIELDS * sizeof(*fields));
    return true;
}

/* Posts `count` work requests whole, of which work request `at` is refused with `error`: nothing changes. */
static void nothing_is_posted(struct verbs *v, const struct vqp *qp, struct unread_list *list, uint32_t count,
                              uint32_t at, int error) {
    const struct rvt_send_source source = {read_next, list};
    const struct rvt_qp_query before = query_qp(qp);
    const uint32_t delayed = atomic_load(&qp->handle.qp->engine)->delayed_invs;
    uint64_t shown[RVT_QP_FIELDS] = {0}, shown_after[RVT_QP_FIELDS] = {0};
    rvt_resource_report(v->device, note_qp, shown);
    uint32_t bad = 77;
    CHECK_EQ(rvt_post_send_whole(qp->handle, &source, count, &bad), -error);
    CHECK_EQ(bad, at);
    CHECK_EQ(list->next, at + 1); /* the list is not read further */
    const struct rvt_qp_query after = query_qp(qp);
    CHECK_EQ(after.sends, before.sends);
    CHECK_EQ(after.attr.sq_psn, before.attr.sq_psn);
    CHECK_EQ(atomic_load(&qp->handle.qp->engine)->delayed_invs, delayed);
    rvt_resource_report(v->device, note_qp, shown_after);
    CHECK_EQ(shown[RVT_QP_NUMBER], qp->qpn);
    CHECK_EQ(memcmp(shown, shown_after, sizeof(shown)), 0);
}

/* In each state in which work requests are accepted, with two work requests in the queue, one of them a
 * delayed LOCAL_INV: lists of three that are refused at the first, the middle or the last one, in each way.
 */
static void a_whole_list_is_posted_or_nothing_of_it(void) {
    static const enum rvt_qp_state states[] = {RVT_QPS_RTS, RVT_QPS_SQD, RVT_QPS_ERR};
    for (int s = 0; s < 3; s++) {
        struct verbs v;
        REQUIRE(verbs_open(&v, MANUAL));
        struct vqp qp = make_qp_with(&v, v.pd, (struct rvt_qp_init){.max_send_wr = 8});
        connect_qp(&qp, qp.qpn);
        struct vmr mr = make_mr(&v, bytes, PAGE), target = make_mr(&v, bytes + PAGE, PAGE),
                   queued = make_mr(&v, bytes + 2 * PAGE, PAGE);
        const struct rvt_ib_sge two[] = {sge_at(&mr, 0, 8), sge_at(&target, 0, 8)};
        CHECK_EQ(post(&qp, SEND_WR(.wr_id = 1, .opcode = RVT_WR_RDMA_WRITE)), 0);
        CHECK_EQ(
            post(&qp, PLAIN_WR(.wr_id = 2, .opcode = RVT_WR_LOCAL_INV,
                               .flags = RVT_SEND_SIGNALED | RVT_SEND_FENCE, .invalidate_rkey = queued.key)),
            0);
        if (states[s] != RVT_QPS_RTS)
            CHECK_EQ(move_qp(&qp, usual_attr(qp.qpn), states[s]), 0);
        for (int refusal = 0; refusal < REFUSALS; refusal++) {
            for (uint32_t at = 0; at < 3; at++) {
                struct rvt_send_wr wrs[] = {
                    SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .sges = two, .num_sge = 2,
                            .remote_addr = target.addr, .rkey = target.key),
                    SEND_WR(.opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = mr.key),
                    SEND_WR(.opcode = RVT_WR_RDMA_WRITE),
                };
                struct unread_list list = {.wrs = wrs, .end = 3, .target = bytes};
                spoil(&list, wrs, at, (enum refusal)refusal);
                nothing_is_posted(&v, &qp, &list, 3, at, RVT_EINVAL);
                AT_REST(mr);
                AT_REST(target);
                CHECK_EQ(fixture_query(mr.mr).valid, true);
            }
        }
        /* What was posted before is carried out, or flushed in ERR, and so is what is posted now. */
        CHECK_EQ(post(&qp, SEND_WR(.wr_id = 3, .opcode = RVT_WR_RDMA_WRITE)), 0);
        run_engine(&v);
        const bool flushed = states[s] == RVT_QPS_ERR;
        for (uint64_t i = 1; i <= 3 && states[s] != RVT_QPS_SQD; i++)
            WC(qp.scq, .wr_id = i, .qp_num = qp.qpn,
               .opcode = i == 2 ? RVT_WC_OPCODE_LOCAL_INV : RVT_WC_OPCODE_RDMA_WRITE,
               .status = flushed ? RVT_WC_STATUS_WR_FLUSH_ERR : RVT_WC_STATUS_SUCCESS,
               .cause = flushed ? RVT_WHY_FLUSHED : RVT_WHY_NONE);
        NO_WC(qp.scq);
        CHECK_EQ(fixture_query(queued.mr).valid, states[s] != RVT_QPS_RTS);
        verbs_close(&v);
    }
}

/* The queue has room for a part of the list. */
static void a_whole_list_needs_room_for_all_of_it(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct vqp qp = make_qp_with(&v, v.pd, (struct rvt_qp_init){.max_send_wr = 4});
    connect_qp(&qp, qp.qpn);
    CHECK_EQ(post(&qp, SEND_WR(.wr_id = 1, .opcode = RVT_WR_RDMA_WRITE)), 0);
    struct rvt_send_wr wrs[] = {
        SEND_WR(.wr_id = 2, .opcode = RVT_WR_RDMA_WRITE),
        SEND_WR(.wr_id = 3, .opcode = RVT_WR_LOCAL_INV),
        SEND_WR(.wr_id = 4, .opcode = RVT_WR_RDMA_WRITE),
        SEND_WR(.wr_id = 5, .opcode = RVT_WR_RDMA_WRITE),
    };
    struct unread_list list = {.wrs = wrs, .end = 4, .target = bytes};
    nothing_is_posted(&v, &qp, &list, 4, 3, RVT_ENOMEM);
    /* Behind the refused list there is room for three. A delayed LOCAL_INV fails when it is carried out. */
    list.next = 0;
    const struct rvt_send_source source = {read_next, &list};
    CHECK_EQ(rvt_post_send_whole(qp.handle, &source, 3, NULL), 0);
    run_engine(&v);
    WC(qp.scq, .wr_id = 1, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
    WC(qp.scq, .wr_id = 2, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
    WC(qp.scq, .wr_id = 3, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV,
       .status = RVT_WC_STATUS_LOC_PROT_ERR, .cause = RVT_WHY_INVALIDATE_REFUSED);
    WC(qp.scq, .wr_id = 4, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
    NO_WC(qp.scq);
    verbs_close(&v);
}

static void a_whole_list_is_carried_out_in_order(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    struct vmr mr = make_mr(&v, bytes, PAGE);
    const struct rvt_ib_sge from = sge_at(&mr, 0, 8);
    const struct rvt_send_wr wrs[] = {
        SEND_WR(.wr_id = 1, .opcode = RVT_WR_RDMA_WRITE, .sges = &from, .num_sge = 1, .remote_addr = mr.addr,
                .rkey = mr.key),
        SEND_WR(.wr_id = 2, .opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = mr.key),
        SEND_WR(.wr_id = 3, .opcode = RVT_WR_RDMA_WRITE),
    };
    struct unread_list list = {.wrs = wrs, .end = 3, .target = bytes};
    const struct rvt_send_source source = {read_next, &list};
    uint32_t bad = 7;
    FAILS_WITH(rvt_post_send_whole(qp.handle, &source, 3, &bad), RVT_EINVAL, RVT_CAUSE_QP_STATE,
               RVT_QPS_RESET, 0, 0);
    CHECK_EQ(bad, RVT_NO_BAD_WR);
    connect_qp(&qp, qp.qpn);
    /* The LOCAL_INV comes after the write, whose key it invalidates. */
    CHECK_EQ(rvt_post_send_whole(qp.handle, &source, 3, &bad), 0);
    WC(qp.scq, .wr_id = 1, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 8);
    WC(qp.scq, .wr_id = 2, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV);
    WC(qp.scq, .wr_id = 3, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
    NO_WC(qp.scq);
    CHECK_EQ(fixture_query(mr.mr).valid, false);
    CHECK_EQ(rvt_post_send_whole(qp.handle, &source, 0, &bad), 0);
    verbs_close(&v);
}

/* As in the kernel, only elements of DMA memory are joined. */
static void elements_that_touch_share_a_reference(void) {
    static const uint64_t BASE = 0x100000;
    struct verbs v;
    struct rvt_mr_handle dma;
    struct rvt_dma_handle mapping;
    uint64_t address = BASE;
    REQUIRE(verbs_open(&v, MANUAL));
    struct rvt_memory *memory = rvt_fixed_memory(bytes, sizeof(bytes));
    CHECK_EQ(rvt_get_dma_mr(v.pd, 0, &dma), 0);
    CHECK_EQ(rvt_dma_map(v.device, NULL, memory, true, &address, &mapping), 0);
    rvt_memory_put(memory);
    struct vmr mr = make_mr(&v, bytes, 2 * PAGE);
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    connect_qp(&qp, qp.qpn);
    CHECK_EQ(post_receive(&qp, 1, &(struct rvt_ib_sge){BASE + PAGE, 100, 0}, 1), 0);
    const struct rvt_ib_sge sges[4] = {{BASE, 8, 0}, {BASE + 500, 0, 0}, {BASE + 8, 8, 0}, {BASE + 17, 8, 0}};
    CHECK_EQ(post(&qp, SEND_WR(.opcode = RVT_WR_SEND, .sges = sges, .num_sge = 4)), 0);
    CHECK_EQ(fixture_query(dma).refs, 3 + 2);
    count_up(bytes, 2 * PAGE, 9);
    run_engine(&v);
    CHECK_EQ(fixture_query(dma).refs, 3);
    CHECK_BYTES_EQ(bytes + PAGE, bytes, 16);
    CHECK_BYTES_EQ(bytes + PAGE + 16, bytes + 17, 8);
    const struct rvt_ib_sge apart[2] = {sge_at(&mr, 0, 8), sge_at(&mr, 8, 8)};
    CHECK_EQ(post(&qp, SEND_WR(.opcode = RVT_WR_SEND, .sges = apart, .num_sge = 2)), 0);
    CHECK_EQ(fixture_query(mr.mr).refs, 2 + 2);
    CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
    AT_REST(mr);
    verbs_close(&v);
}

/* 2^31 bytes are the most; the sum is exact. Key 0 is what reaches that many. */
static void a_message_has_at_most_2_to_the_31_bytes(void) {
    static const uint64_t BASE = UINT64_C(0x100000000);
    struct verbs v;
    struct rvt_mr_handle dma;
    struct rvt_dma_handle mapping;
    REQUIRE(verbs_open(&v, MANUAL));
    CHECK_EQ(rvt_get_dma_mr(v.pd, 0, &dma), 0);
    /* Nothing is ever copied, so the memory need not exist: its addresses are only compared. */
    struct rvt_memory *memory = rvt_fixed_memory(bytes, UINT64_C(1) << 32);
    uint64_t address = BASE;
    CHECK_EQ(rvt_dma_map(v.device, NULL, memory, true, &address, &mapping), 0);
    rvt_memory_put(memory);
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    connect_qp(&qp, 2);
    const struct {
        uint32_t lengths[4];
        uint64_t sum;
    } sums[] = {
        {{0x80000000, 0, 0, 0}, 0x80000000},
        {{0x40000000, 0x40000000, 0, 0}, 0x80000000},
        {{0x80000001, 0, 0, 0}, 0x80000001},
        {{0x80000000, 1, 0, 0}, 0x80000001},
        {{0x80000000, 0x80000000, 0, 0}, UINT64_C(0x100000000)},
        {{0x80000000, 0x80000000, 8, 0}, UINT64_C(0x100000008)},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, UINT64_C(0x3fffffffc)},
    };
    for (unsigned i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
        struct rvt_ib_sge sges[4];
        for (int k = 0; k < 4; k++)
            sges[k] = (struct rvt_ib_sge){BASE, sums[i].lengths[k], 0};
        struct rvt_send_wr wr = SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .sges = sges, .num_sge = 4);
        if (sums[i].sum > 0x80000000)
            REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_LENGTH, sums[i].sum, 0x80000000);
        else
            CHECK_EQ(post(&qp, wr), 0);
    }
    CHECK_EQ(fixture_query(dma).refs, 3 + 3);
    CHECK_EQ(query_qp(&qp).sends, 2);
    /* A delayed LOCAL_INV that is refused for its length is not counted: the next one is carried out at once. */
    struct rvt_mr_handle list = {0};
    CHECK_EQ(rvt_alloc_mr(v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
    const struct rvt_ib_sge too_long[] = {{BASE, 0x80000000, 0}, {BASE, 1, 0}};
    struct rvt_send_wr inv = PLAIN_WR(.opcode = RVT_WR_LOCAL_INV, .flags = RVT_SEND_FENCE, .sges = too_long,
                                      .num_sge = 2, .invalidate_rkey = fixture_key(list));
    REFUSED(qp, &inv, RVT_EINVAL, RVT_CAUSE_WR_LENGTH, 0x80000001, 0x80000000);
    inv.flags = 0;
    inv.num_sge = 0;
    CHECK_EQ(post(&qp, inv), 0);
    CHECK_EQ(fixture_query(list).valid, false);
    CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
    CHECK_EQ(fixture_query(dma).refs, 3);
    CHECK_EQ(rvt_dma_unmap(mapping), 0);
    verbs_close(&v);
}

static void a_full_queue_refuses_before_keys_are_looked_at(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct vqp qp = make_qp_with(&v, v.pd, (struct rvt_qp_init){.max_send_wr = 2});
    connect_qp(&qp, 99);
    const struct rvt_ib_sge bad = {0, 8, 0x123400};
    struct rvt_send_wr wr = PLAIN_WR(.opcode = RVT_WR_SEND);
    CHECK_EQ(post(&qp, wr), 0);
    CHECK_EQ(post(&qp, wr), 0);
    wr.sges = &bad;
    wr.num_sge = 1;
    REFUSED(qp, &wr, RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 2, 2);
    verbs_close(&v);
}

/* References of an FMR are counted in its word, which can be full. A receive with such an element fails. */
static void a_region_that_is_held_too_often_is_refused(void) {
    struct verbs v;
    struct vqp a, b;
    struct rvt_dma_handle mapping;
    struct rvt_mr_handle fmr;
    uint64_t address = 0x10000;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct rvt_memory *memory = rvt_fixed_memory(bytes, PAGE);
    CHECK_EQ(rvt_dma_map(v.device, NULL, memory, true, &address, &mapping), 0);
    rvt_memory_put(memory);
    CHECK_EQ(rvt_alloc_fmr(v.pd, ALL_ACCESS, &(struct rvt_fmr_attr){1, 32, RVT_PAGE_SHIFT}, &fmr), 0);
    CHECK_EQ(rvt_map_phys_fmr(fmr, &address, 1, 0x1000), 0);
    struct vmr mr = make_mr(&v, bytes, PAGE);
    const struct rvt_ib_sge sges[] = {sge_at(&mr, 0, 8), {0x1000, 8, fixture_key(fmr)}};
    atomic_fetch_or(&fmr.mr->word, RVT_MR_HELD_MASK);
    struct rvt_send_wr wr = SEND_WR(.wr_id = 1, .opcode = RVT_WR_SEND, .sges = sges, .num_sge = 2);
    REFUSED(a, &wr, RVT_ENOMEM, RVT_CAUSE_HELD_TOO_OFTEN, 0, UINT32_MAX);
    AT_REST(mr);
    CHECK_EQ(post_receive(&b, 2, sges, 2), 0);
    wr.num_sge = 0;
    CHECK_EQ(post(&a, wr), 0);
    WC(b.rcq, .wr_id = 2, .qp_num = b.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR, .opcode = RVT_WC_OPCODE_RECV,
       .cause = RVT_WHY_RECEIVE_REFUSED, .refused.reason = RVT_REGION_REVOKED);
    WC(a.scq, .wr_id = 1, .qp_num = a.qpn, .status = RVT_WC_STATUS_REM_OP_ERR,
       .cause = RVT_WHY_RECEIVE_REFUSED, .refused.reason = RVT_REGION_REVOKED);
    AT_REST(mr);
    atomic_fetch_and(&fmr.mr->word, ~(uint64_t)RVT_MR_HELD_MASK);
    verbs_close(&v);
}

/* --- local operations --- */

static void reg_mr_is_carried_out_while_posting(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct rvt_mr_handle list = {0}, elsewhere = {0};
    CHECK_EQ(rvt_alloc_mr(v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
    CHECK_EQ(rvt_alloc_mr(v.other_pd, RVT_MR_TYPE_MEM_REG, 4, &elsewhere), 0);
    struct vmr user = make_mr(&v, bytes, PAGE);
    struct vqp qp =
        make_qp_with(&v, v.pd, (struct rvt_qp_init){.max_send_wr = 1, .sig_type = RVT_SIGNAL_ALL_WR});
    connect_qp(&qp, qp.qpn);
    const uint32_t key = fixture_key(list), psn = query_qp(&qp).attr.sq_psn;
    struct rvt_send_wr wr = PLAIN_WR(.opcode = RVT_WR_REG_MR, .mr = elsewhere, .key = fixture_key(elsewhere));
    CHECK_EQ(post(&qp, wr), -RVT_EACCES);
    wr.mr = user.mr;
    wr.key = user.key;
    CHECK_EQ(post(&qp, wr), -RVT_EINVAL);
    wr.mr = list;
    wr.key = key ^ 0x100;
    CHECK_EQ(post(&qp, wr), -RVT_EINVAL);
    wr.mr = (struct rvt_mr_handle){0};
    CHECK_EQ(post(&qp, wr), -RVT_EBADF);
    CHECK_EQ(fixture_key(list), key);
    /* Unsignaled: done, and never completed, even if all are signaled. */
    wr = PLAIN_WR(.opcode = RVT_WR_REG_MR, .mr = list, .key = key ^ 1, .access = REMOTE_READ);
    CHECK_EQ(post(&qp, wr), 0);
    CHECK_EQ(fixture_key(list), key ^ 1);
    CHECK_EQ(fixture_query(list).access, REMOTE_READ);
    CHECK_EQ(query_qp(&qp).sends, 0);
    run_engine(&v);
    NO_WC(qp.scq);
    /* Signaled: queued, after it was carried out. */
    wr = SEND_WR(.wr_id = 5, .opcode = RVT_WR_REG_MR, .mr = list, .key = key ^ 2);
    CHECK_EQ(post(&qp, wr), 0);
    CHECK_EQ(fixture_key(list), key ^ 2);
    CHECK_EQ(query_qp(&qp).sends, 1);
    /* The queue is full now: the operation is carried out, with ENOMEM as the answer. */
    wr.key = key ^ 3;
    REFUSED(qp, &wr, RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 1, 1);
    CHECK_EQ(fixture_key(list), key ^ 3);
    /* Unsignaled a full queue does not matter. */
    wr.flags = 0;
    wr.key = key ^ 4;
    CHECK_EQ(post(&qp, wr), 0);
    CHECK_EQ(fixture_key(list), key ^ 4);
    run_engine(&v);
    WC(qp.scq, .wr_id = 5, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_REG_MR);
    NO_WC(qp.scq);
    CHECK_EQ(query_qp(&qp).attr.sq_psn, psn); /* local operations send no packet */
    verbs_close(&v);
}

static void local_inv_is_carried_out_or_delayed(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct vmr mr[6];
    for (int i = 0; i < 6; i++)
        mr[i] = make_mr(&v, bytes, PAGE);
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    connect_qp(&qp, qp.qpn);
    struct rvt_send_wr wr = PLAIN_WR(.opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = mr[0].key);
    CHECK_EQ(post(&qp, wr), 0);
    CHECK_EQ(fixture_query(mr[0].mr).valid, false);
    CHECK_EQ(query_qp(&qp).sends, 0);
    CHECK_EQ(post(&qp, PLAIN_WR(.opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = mr[0].key ^ 1)), -RVT_EINVAL);
    CHECK_EQ(post(&qp, PLAIN_WR(.opcode = RVT_WR_LOCAL_INV)), -RVT_EINVAL); /* key 0 */
    CHECK_EQ(post(&qp, SEND_WR(.wr_id = 1, .opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = mr[1].key)), 0);
    CHECK_EQ(fixture_query(mr[1].mr).valid, false);
    CHECK_EQ(query_qp(&qp).sends, 1);
    /* FENCE delays it, and it delays those that follow. Delayed ones complete only if signaled. */
    CHECK_EQ(post(&qp, PLAIN_WR(.wr_id = 2, .opcode = RVT_WR_LOCAL_INV, .flags = RVT_SEND_FENCE,
                                .invalidate_rkey = mr[2].key)),
             0);
    CHECK_EQ(post(&qp, SEND_WR(.wr_id = 3, .opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = mr[3].key)), 0);
    CHECK_EQ(post(&qp, SEND_WR(.wr_id = 4, .opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = 0x123456)), 0);
    CHECK_EQ(fixture_query(mr[2].mr).valid, true);
    CHECK_EQ(fixture_query(mr[3].mr).valid, true);
    CHECK_EQ(query_qp(&qp).sends, 4);
    run_engine(&v);
    CHECK_EQ(fixture_query(mr[2].mr).valid, false);
    CHECK_EQ(fixture_query(mr[3].mr).valid, false);
    WC(qp.scq, .wr_id = 1, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV);
    WC(qp.scq, .wr_id = 3, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV);
    WC(qp.scq, .wr_id = 4, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV,
       .status = RVT_WC_STATUS_LOC_PROT_ERR, .cause = RVT_WHY_INVALIDATE_REFUSED);
    NO_WC(qp.scq);
    CHECK_EQ(state_of(&qp), RVT_QPS_RTS); /* a failure does not put it into error */
    /* All were carried out, so nothing is delayed any more. */
    CHECK_EQ(post(&qp, PLAIN_WR(.opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = mr[4].key)), 0);
    CHECK_EQ(fixture_query(mr[4].mr).valid, false);
    verbs_close(&v);
}

/* A delayed LOCAL_INV that was never carried out delays all that follow, for the life of the queue pair. */
static void a_dropped_delayed_local_inv_counts_for_ever(void) {
    enum { RESET, FLUSH, NO_PEER, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct verbs v;
        REQUIRE(verbs_open(&v, MANUAL));
        struct vmr mr = make_mr(&v, bytes, PAGE);
        struct vqp qp = make_qp(&v, RVT_QPT_RC);
        connect_qp(&qp, way == NO_PEER ? 99 : qp.qpn);
        CHECK_EQ(post(&qp, PLAIN_WR(.opcode = RVT_WR_LOCAL_INV, .flags = RVT_SEND_FENCE,
                                    .invalidate_rkey = mr.key)),
                 0);
        if (way == FLUSH)
            CHECK_EQ(move_qp(&qp, usual_attr(2), RVT_QPS_ERR), 0);
        if (way != RESET)
            run_engine(&v);
        if (way != RESET)
            WC(qp.scq, .qp_num = qp.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV,
               .status = way == FLUSH ? RVT_WC_STATUS_WR_FLUSH_ERR : RVT_WC_STATUS_RETRY_EXC_ERR,
               .cause = way == FLUSH ? RVT_WHY_FLUSHED : RVT_WHY_NO_PEER);
        CHECK_EQ(move_qp(&qp, usual_attr(2), RVT_QPS_RESET), 0);
        connect_qp(&qp, qp.qpn);
        CHECK_EQ(post(&qp, PLAIN_WR(.opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = mr.key)), 0);
        CHECK_EQ(fixture_query(mr.mr).valid, true);
        CHECK_EQ(query_qp(&qp).sends, 1);
        run_engine(&v);
        CHECK_EQ(fixture_query(mr.mr).valid, false);
        verbs_close(&v);
    }
}

/* --- packet sequence numbers --- */

static void each_request_adds_its_packets_to_sq_psn(void) {
    static const enum rvt_qp_type types[] = {RVT_QPT_RC, RVT_QPT_UC, RVT_QPT_UD};
    static const uint32_t lengths[] = {0, 1, 256, 257, 512, 513, 4095, 4096};
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vmr mr = make_mr(&v, bytes, 3 * PAGE);
    struct rvt_ah_handle ah;
    CHECK_EQ(rvt_create_ah(v.pd, &(struct rvt_ah_attr){.port = 1}, &ah), 0);
    for (int t = 0; t < 3; t++) {
        for (uint32_t mtu = 1; mtu <= 5; mtu++) {
            struct vqp qp = make_qp(&v, types[t]);
            struct rvt_qp_attr attr = usual_attr(qp.qpn);
            attr.path_mtu = mtu;
            attr.sq_psn = 0xffffff - 5; /* it wraps */
            bring_to(&qp, attr, RVT_QPS_SQD);
            uint32_t psn = attr.sq_psn;
            for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
                struct rvt_ib_sge sges[] = {sge_at(&mr, 0, lengths[i] / 2),
                                            sge_at(&mr, PAGE, lengths[i] - lengths[i] / 2)};
                CHECK_EQ(post(&qp, SEND_WR(.opcode = RVT_WR_SEND, .sges = sges, .num_sge = 2, .ah = &ah)), 0);
                const uint32_t bytes_per_packet = UINT32_C(128) << mtu;
                uint32_t packets = (lengths[i] + bytes_per_packet - 1) / bytes_per_packet;
                psn = (psn + (types[t] == RVT_QPT_UD || !packets ? 1 : packets)) & 0xffffff;
                CHECK_EQ(query_qp(&qp).attr.sq_psn, psn);
            }
            CHECK_EQ(post(&qp, SEND_WR(.opcode = RVT_WR_LSO)), -RVT_EINVAL);
            CHECK_EQ(query_qp(&qp).attr.sq_psn, psn);
            CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
            AT_REST(mr);
        }
    }
    verbs_close(&v);
}

/* --- datagrams --- */

static void datagrams_need_a_live_address_handle_of_their_domain(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct vmr mr = make_mr(&v, bytes, 3 * PAGE);
    struct rvt_ah_handle elsewhere, ah, gone;
    CHECK_EQ(rvt_create_ah(v.other_pd, &(struct rvt_ah_attr){.port = 1}, &elsewhere), 0);
    CHECK_EQ(rvt_create_ah(v.pd, &(struct rvt_ah_attr){.port = 1}, &gone), 0);
    CHECK_EQ(rvt_create_ah(v.pd, &(struct rvt_ah_attr){.port = 1}, &ah), 0);
    CHECK_EQ(rvt_destroy_ah(gone), 0);
    struct vqp qp = make_qp_with(&v, v.pd, (struct rvt_qp_init){.type = RVT_QPT_UD, .max_send_wr = 1});
    connect_qp(&qp, 0);
    const struct rvt_ib_sge long_one = sge_at(&mr, 0, 4097), longest = sge_at(&mr, 0, 4096);
    struct rvt_send_wr wr = SEND_WR(.opcode = RVT_WR_SEND_WITH_IMM, .sges = &long_one, .num_sge = 1);
    REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_AH_GONE, 0, 0);
    wr.ah = &gone;
    REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_AH_GONE, 0, 0);
    wr.ah = &elsewhere;
    REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_AH_IN_OTHER_PD, 0, 0);
    wr.ah = &ah;
    REFUSED(qp, &wr, RVT_EINVAL, RVT_CAUSE_WR_LENGTH, 4097, 4096);
    AT_REST(mr);
    wr.sges = &longest;
    CHECK_EQ(post(&qp, wr), 0);
    CHECK_EQ(fixture_query(mr.mr).refs, 3);
    REFUSED(qp, &wr, RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 1, 1);
    verbs_close(&v);
}

CHECK_MAIN(TEST(the_state_decides_whether_work_requests_can_be_posted), TEST(receives_are_refused_in_order),
           TEST(opcodes_depend_on_the_type), TEST(atomics_and_reads_are_refused_in_order),
           TEST(local_write_is_needed_by_some_opcodes), TEST(a_refused_element_puts_the_references_back),
           TEST(work_requests_can_be_read_one_by_one), TEST(a_whole_list_is_posted_or_nothing_of_it),
           TEST(a_whole_list_needs_room_for_all_of_it), TEST(a_whole_list_is_carried_out_in_order),
           TEST(elements_that_touch_share_a_reference), TEST(a_message_has_at_most_2_to_the_31_bytes),
           TEST(a_full_queue_refuses_before_keys_are_looked_at),
           TEST(a_region_that_is_held_too_often_is_refused), TEST(reg_mr_is_carried_out_while_posting),
           TEST(local_inv_is_carried_out_or_delayed), TEST(a_dropped_delayed_local_inv_counts_for_ever),
           TEST(each_request_adds_its_packets_to_sq_psn),
           TEST(datagrams_need_a_live_address_handle_of_their_domain))
