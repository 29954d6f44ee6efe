/* SPDX-License-Identifier: BSD-3-Clause */
/* Every request with every refusal of the responder, on RC and UC queue pairs: completions at both ends, states,
 * bytes, references and events. */
#include "verbs.h"

enum { LENGTH = 64, OFFSET = 16 };

enum request { SEND, SEND_IMM, SEND_INV, WRITE, WRITE_IMM, READ, CMP_SWP, FETCH_ADD, REQUESTS };

static const struct {
    uint32_t opcode, wc_opcode, right; /* right: that the responder's access flags need */
    bool uses_receive, fills_receive, uc;
    uint32_t length;
} requests[REQUESTS] = {
    [SEND] = {RVT_WR_SEND, RVT_WC_OPCODE_SEND, 0, true, true, true, LENGTH},
    [SEND_IMM] = {RVT_WR_SEND_WITH_IMM, RVT_WC_OPCODE_SEND, 0, true, true, true, LENGTH},
    [SEND_INV] = {RVT_WR_SEND_WITH_INV, RVT_WC_OPCODE_SEND, 0, true, true, false, LENGTH},
    [WRITE] = {RVT_WR_RDMA_WRITE, RVT_WC_OPCODE_RDMA_WRITE, REMOTE_WRITE, false, false, true, LENGTH},
    [WRITE_IMM] = {RVT_WR_RDMA_WRITE_WITH_IMM, RVT_WC_OPCODE_RDMA_WRITE, REMOTE_WRITE, true, false, true,
                   LENGTH},
    [READ] = {RVT_WR_RDMA_READ, RVT_WC_OPCODE_RDMA_READ, REMOTE_READ, false, false, false, LENGTH},
    [CMP_SWP] = {RVT_WR_ATOMIC_CMP_AND_SWP, RVT_WC_OPCODE_COMP_SWAP, REMOTE_ATOMIC, false, false, false, 8},
    [FETCH_ADD] = {RVT_WR_ATOMIC_FETCH_AND_ADD, RVT_WC_OPCODE_FETCH_ADD, REMOTE_ATOMIC, false, false, false,
                   8},
};

/* One connection for one request: a's memory, b's memory, and b's receive. */
struct world {
    struct verbs v;
    enum rvt_qp_type type;
    struct vqp a, b;
    struct rvt_srq_handle srq; /* of b, if shared */
    bool shared;
    struct vmr local, remote, receive, victim; /* victim: what SEND_WITH_INV invalidates */
    uint32_t psn;
};

static alignas(4096) unsigned char local_bytes[PAGE], remote_bytes[PAGE], receive_bytes[PAGE],
    victim_bytes[8], before[PAGE];

static bool open_world(struct world *w, enum rvt_qp_type type, bool shared, uint32_t access) {
    memset(w, 0, sizeof(*w));
    if (!verbs_open(&w->v, AT_ONCE))
        return false;
    w->type = type;
    w->shared = shared;
    w->a = make_qp(&w->v, type);
    if (shared)
        w->srq = make_srq(&w->v, 4, 4, 0);
    w->b = make_qp_with(&w->v, w->v.pd, (struct rvt_qp_init){.type = type, .srq = shared ? &w->srq : NULL});
    struct rvt_qp_attr attr = usual_attr(w->a.qpn);
    attr.access = access;
    connect_qp(&w->a, w->b.qpn);
    bring_to(&w->b, attr, RVT_QPS_RTS);
    count_up(local_bytes, PAGE, 1);
    count_up(remote_bytes, PAGE, 101);
    count_up(receive_bytes, PAGE, 201);
    w->local = make_mr(&w->v, local_bytes, PAGE);
    w->remote = make_mr(&w->v, remote_bytes, PAGE);
    w->receive = make_mr(&w->v, receive_bytes, PAGE);
    w->victim = make_mr(&w->v, victim_bytes, 8);
    return true;
}

static void close_world(struct world *w) {
    AT_REST(w->local);
    AT_REST(w->remote);
    AT_REST(w->receive);
    AT_REST(w->victim);
    NO_EVENT(&w->v);
    NO_WC(w->a.scq);
    NO_WC(w->a.rcq);
    NO_WC(w->b.scq);
    NO_WC(w->b.rcq);
    verbs_close(&w->v);
}

static void give_receive(struct world *w, uint64_t wr_id, const struct rvt_ib_sge *sges, uint32_t count) {
    const struct rvt_recv_wr wr = {wr_id, sges, count};
    CHECK_EQ(w->shared ? rvt_post_srq_recv(w->srq, &wr, 1, NULL) : rvt_post_recv(w->b.handle, &wr, 1, NULL),
             0);
}

static struct rvt_send_wr request_of(const struct world *w, enum request request,
                                     const struct rvt_ib_sge *sge) {
    return SEND_WR(.wr_id = 77, .opcode = requests[request].opcode, .sges = sge, .num_sge = sge != NULL,
                   .imm = 0x1234, .remote_addr = w->remote.addr + OFFSET, .rkey = w->remote.key,
                   .invalidate_rkey = w->victim.key, .compare_add = 5, .swap = 6);
}

/* The responder's completion of a receive that was carried out. */
static void received(struct world *w, enum request request, uint64_t wr_id, uint32_t length, uint32_t flags) {
    WC(w->b.rcq, .wr_id = wr_id, .qp_num = w->b.qpn, .src_qp = w->a.qpn,
       .opcode = request == WRITE_IMM ? RVT_WC_OPCODE_RECV_RDMA_WITH_IMM : RVT_WC_OPCODE_RECV,
       .byte_len = length, .flags = flags,
       .imm_or_inv = flags == RVT_WC_WITH_IMM          ? 0x1234
                     : flags == RVT_WC_WITH_INVALIDATE ? w->victim.key
                                                       : 0,
       .slid = 7, .sl = 5, .port = 1);
}

static uint32_t flags_of(enum request request) {
    return request == SEND_IMM || request == WRITE_IMM ? RVT_WC_WITH_IMM
           : request == SEND_INV                       ? RVT_WC_WITH_INVALIDATE
                                                       : 0;
}

static void both_in(const struct world *w, enum rvt_qp_state a, enum rvt_qp_state b) {
    CHECK_EQ(state_of(&w->a), a);
    CHECK_EQ(state_of(&w->b), b);
}

/* For all requests, types of queue pairs that can make them, and kinds of receive queues. */
#define EACH_REQUEST(request, type, shared)                                                                  \
    for (enum request request = 0; request < REQUESTS; request++)                                            \
        for (enum rvt_qp_type type = RVT_QPT_RC; type <= RVT_QPT_UC; type++)                                 \
            for (int shared = 0; shared < 2; shared++)                                                       \
                if (type == RVT_QPT_RC || requests[request].uc)

static void accepted_requests_move_their_bytes(void) {
    EACH_REQUEST(request, type, shared) {
        struct world w;
        REQUIRE(open_world(&w, type, shared, ALL_ACCESS));
        const struct rvt_ib_sge sge = sge_at(&w.local, 8, requests[request].length);
        const struct rvt_ib_sge room[2] = {sge_at(&w.receive, 0, 10), sge_at(&w.receive, 100, 200)};
        uint64_t word, own;
        memcpy(&word, remote_bytes + OFFSET, 8);
        memcpy(before, remote_bytes, PAGE);
        if (requests[request].uses_receive)
            give_receive(&w, 5, room, 2);
        struct rvt_send_wr wr = request_of(&w, request, &sge);
        wr.compare_add = word;
        CHECK_EQ(post(&w.a, wr), 0);
        if (requests[request].uses_receive)
            received(&w, request, 5, LENGTH, flags_of(request));
        WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn, .opcode = requests[request].wc_opcode,
           .byte_len = requests[request].length);
        both_in(&w, RVT_QPS_RTS, RVT_QPS_RTS);
        CHECK_EQ(fixture_query(w.victim.mr).valid, request != SEND_INV);
        switch (request) {
        case SEND:
        case SEND_IMM:
        case SEND_INV:
            CHECK_BYTES_EQ(receive_bytes, local_bytes + 8, 10);
            CHECK_BYTES_EQ(receive_bytes + 100, local_bytes + 18, LENGTH - 10);
            CHECK_EQ(receive_bytes[100 + LENGTH - 10], (unsigned char)(201 + (100 + LENGTH - 10) * 7));
            CHECK_BYTES_EQ(remote_bytes, before, PAGE);
            break;
        case WRITE:
        case WRITE_IMM:
            CHECK_BYTES_EQ(remote_bytes + OFFSET, local_bytes + 8, LENGTH);
            CHECK_BYTES_EQ(remote_bytes, before, OFFSET);
            CHECK_BYTES_EQ(remote_bytes + OFFSET + LENGTH, before + OFFSET + LENGTH, 100);
            CHECK_EQ(receive_bytes[0], 201);
            break;
        case READ:
            CHECK_BYTES_EQ(local_bytes + 8, remote_bytes + OFFSET, LENGTH);
            CHECK_EQ(local_bytes[7], 1 + 7 * 7);
            CHECK_BYTES_EQ(remote_bytes, before, PAGE);
            break;
        default:
            memcpy(&own, local_bytes + 8, 8);
            CHECK_EQ(own, word);
            memcpy(&own, remote_bytes + OFFSET, 8);
            CHECK_EQ(own, request == CMP_SWP ? 6 : 2 * word);
        }
        close_world(&w);
    }
}

static void a_compare_that_fails_stores_nothing(void) {
    struct world w;
    REQUIRE(open_world(&w, RVT_QPT_RC, false, ALL_ACCESS));
    const struct rvt_ib_sge sge = sge_at(&w.local, 8, 16);
    memcpy(before, remote_bytes, PAGE);
    CHECK_EQ(post(&w.a, request_of(&w, CMP_SWP, &sge)), 0);
    WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn, .opcode = RVT_WC_OPCODE_COMP_SWAP, .byte_len = 16);
    CHECK_BYTES_EQ(remote_bytes, before, PAGE);
    CHECK_BYTES_EQ(local_bytes + 8, remote_bytes + OFFSET, 8);
    CHECK_EQ(local_bytes[16], (unsigned char)(1 + 16 * 7));
    close_world(&w);
}

/* INV: the responder goes into error first, completely, then the requester: RC with REM_INV_REQ_ERR, UC with
 * SUCCESS, staying in RTS. */
static void refused_as_invalid(struct world *w, enum request request, enum rvt_wc_cause cause, uint32_t value,
                               bool in_hand) {
    const bool rc = w->type == RVT_QPT_RC;
    if (in_hand)
        WC(w->b.rcq, .wr_id = 5, .qp_num = w->b.qpn, .status = RVT_WC_STATUS_LOC_QP_OP_ERR,
           .opcode = RVT_WC_OPCODE_RECV, .cause = cause, .cause_value = value);
    if (w->shared)
        EVENT(&w->v, RVT_EVENT_LAST_WQE, w->b.serial);
    WC(w->a.scq, .wr_id = 77, .qp_num = w->a.qpn, .opcode = requests[request].wc_opcode,
       .status = rc ? RVT_WC_STATUS_REM_INV_REQ_ERR : RVT_WC_STATUS_SUCCESS,
       .byte_len = requests[request].length, .cause = cause, .cause_value = value);
    both_in(w, rc ? RVT_QPS_ERR : RVT_QPS_RTS, RVT_QPS_ERR);
}

static void access_flags_are_tested_before_all_else(void) {
    EACH_REQUEST(request, type, shared) {
        struct world w;
        const uint32_t access = ALL_ACCESS & ~requests[request].right;
        if (!requests[request].right)
            continue;
        REQUIRE(open_world(&w, type, shared, access));
        memcpy(before, remote_bytes, PAGE);
        const struct rvt_ib_sge sge = sge_at(&w.local, 8, requests[request].length);
        struct rvt_send_wr wr = request_of(&w, request, &sge);
        wr.rkey ^= 1;
        wr.remote_addr++;
        CHECK_EQ(post(&w.a, wr), 0); /* nor is a receive taken */
        refused_as_invalid(&w, request, RVT_WHY_QP_ACCESS, access, false);
        CHECK_BYTES_EQ(remote_bytes, before, PAGE);
        close_world(&w);
    }
}

static void a_receive_that_is_too_short_is_invalid(void) {
    EACH_REQUEST(request, type, shared) {
        struct world w;
        if (!requests[request].fills_receive)
            continue;
        REQUIRE(open_world(&w, type, shared, ALL_ACCESS));
        memcpy(before, receive_bytes, PAGE);
        const struct rvt_ib_sge sge = sge_at(&w.local, 8, LENGTH);
        const struct rvt_ib_sge room[2] = {sge_at(&w.receive, 0, 10), sge_at(&w.receive, 100, LENGTH - 11)};
        give_receive(&w, 5, room, 2);
        give_receive(&w, 6, room, 2);
        CHECK_EQ(post(&w.a, request_of(&w, request, &sge)), 0);
        refused_as_invalid(&w, request, RVT_WHY_RECEIVE_TOO_SHORT, 0, true);
        CHECK_BYTES_EQ(receive_bytes, before, PAGE);
        CHECK_EQ(fixture_query(w.victim.mr).valid, true);
        if (!shared)
            WC(w.b.rcq, .wr_id = 6, .qp_num = w.b.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
               .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
        close_world(&w);
    }
}

static void an_atomic_needs_an_aligned_remote_address(void) {
    for (enum request request = CMP_SWP; request <= FETCH_ADD; request++) {
        for (uint64_t off = 1; off < 8; off++) {
            struct world w;
            REQUIRE(open_world(&w, RVT_QPT_RC, off & 1, ALL_ACCESS));
            const struct rvt_ib_sge sge = sge_at(&w.local, 8, 8);
            struct rvt_send_wr wr = request_of(&w, request, &sge);
            wr.remote_addr += off;
            wr.rkey ^= 1; /* the key is looked at later */
            CHECK_EQ(post(&w.a, wr), 0);
            refused_as_invalid(&w, request, RVT_WHY_ATOMIC_ADDRESS, 0, false);
            close_world(&w);
        }
    }
}

/* ACC: both types of requester fail with REM_ACCESS_ERR. */
static void remote_accesses_are_judged(void) {
    enum { STALE, NO_KEY, BOUNDS, BELOW, OTHER_PD, RIGHTS, KEY_ZERO, INVALIDATED, BADS };
    static const enum rvt_reason reasons[BADS] = {RVT_STALE_KEY,     RVT_NO_SUCH_KEY, RVT_OUT_OF_BOUNDS,
                                                  RVT_OUT_OF_BOUNDS, RVT_WRONG_PD,    RVT_ACCESS_DENIED,
                                                  RVT_NO_DMA_REGION, RVT_INVALIDATED};
    EACH_REQUEST(request, type, shared) {
        for (int bad = 0; bad < BADS && requests[request].right; bad++) {
            struct world w;
            REQUIRE(open_world(&w, type, shared, ALL_ACCESS));
            memcpy(before, remote_bytes, PAGE);
            const uint32_t length = requests[request].length, right = requests[request].right;
            struct vmr elsewhere = make_mr_in(w.v.other_pd, remote_bytes, PAGE, ALL_ACCESS),
                       without = make_mr_in(w.v.pd, remote_bytes, PAGE, ALL_ACCESS & ~right),
                       invalid = make_mr(&w.v, remote_bytes, PAGE);
            CHECK_EQ(rvt_invalidate_rkey(w.b.handle, invalid.key), 0);
            const struct rvt_ib_sge sge = sge_at(&w.local, 8, length);
            struct rvt_send_wr wr = request_of(&w, request, &sge);
            const uint32_t keys[BADS] = {
                w.remote.key ^ 1, 0xf0000000, w.remote.key, w.remote.key, elsewhere.key,
                without.key,      0,          invalid.key};
            wr.rkey = keys[bad];
            if (bad == BOUNDS)
                wr.remote_addr = w.remote.addr + PAGE - length + 8;
            if (bad == BELOW)
                wr.remote_addr = w.remote.addr - 8;
            if (requests[request].uses_receive)
                give_receive(&w, 5, NULL, 0);
            CHECK_EQ(post(&w.a, wr), 0);
            if (requests[request].uses_receive)
                WC(w.b.rcq, .wr_id = 5, .qp_num = w.b.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR,
                   .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_REMOTE_REFUSED,
                   .refused.reason = reasons[bad]);
            if (shared)
                EVENT(&w.v, RVT_EVENT_LAST_WQE, w.b.serial);
            struct rvt_wc wc =
                WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn, .opcode = requests[request].wc_opcode,
                   .status = RVT_WC_STATUS_REM_ACCESS_ERR, .byte_len = length,
                   .cause = RVT_WHY_REMOTE_REFUSED, .refused.reason = reasons[bad]);
            CHECK_EQ(wc.refused.judge, w.b.serial);
            CHECK_EQ(wc.refused.addr, wr.remote_addr);
            CHECK_EQ(wc.refused.length, length);
            CHECK_EQ(wc.refused.key, wr.rkey);
            CHECK_EQ(wc.refused.access, right);
            both_in(&w, type == RVT_QPT_RC ? RVT_QPS_ERR : RVT_QPS_RTS, RVT_QPS_ERR);
            CHECK_BYTES_EQ(remote_bytes, before, PAGE);
            AT_REST(elsewhere);
            AT_REST(without);
            AT_REST(invalid);
            close_world(&w);
        }
    }
}

/* A receive with a bad element: the requester fails with REM_OP_ERR, both types. RDMA_WRITE_WITH_IMM does not look
 * at the elements. */
static void a_receive_with_a_bad_element_fails_both_ends(void) {
    EACH_REQUEST(request, type, shared) {
        for (int at = 0; at < 2 && requests[request].uses_receive; at++) {
            struct world w;
            REQUIRE(open_world(&w, type, shared, ALL_ACCESS));
            struct rvt_ib_sge room[3] = {sge_at(&w.receive, 0, 100), sge_at(&w.receive, 500, 0),
                                         sge_at(&w.receive, 100, 100)};
            room[at * 2].lkey ^= 1;
            room[1].lkey ^= 1; /* empty elements are not looked at */
            const struct rvt_ib_sge sge = sge_at(&w.local, 8, LENGTH);
            give_receive(&w, 5, room, 3);
            give_receive(&w, 6, room, 3);
            CHECK_EQ(post(&w.a, request_of(&w, request, &sge)), 0);
            if (!requests[request].fills_receive) {
                received(&w, request, 5, LENGTH, RVT_WC_WITH_IMM);
                WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn, .opcode = requests[request].wc_opcode,
                   .byte_len = LENGTH);
                both_in(&w, RVT_QPS_RTS, RVT_QPS_RTS);
                close_world(&w);
                continue;
            }
            struct rvt_wc wc = WC(w.b.rcq, .wr_id = 5, .qp_num = w.b.qpn,
                                  .status = RVT_WC_STATUS_LOC_PROT_ERR, .opcode = RVT_WC_OPCODE_RECV,
                                  .cause = RVT_WHY_RECEIVE_REFUSED, .refused.reason = RVT_STALE_KEY);
            CHECK_EQ(wc.refused.addr, room[at * 2].addr);
            if (!shared)
                WC(w.b.rcq, .wr_id = 6, .qp_num = w.b.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
                   .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
            else
                EVENT(&w.v, RVT_EVENT_LAST_WQE, w.b.serial);
            WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn, .opcode = requests[request].wc_opcode,
               .status = RVT_WC_STATUS_REM_OP_ERR, .byte_len = LENGTH, .cause = RVT_WHY_RECEIVE_REFUSED,
               .refused.reason = RVT_STALE_KEY);
            both_in(&w, type == RVT_QPT_RC ? RVT_QPS_ERR : RVT_QPS_RTS, RVT_QPS_ERR);
            CHECK_EQ(fixture_query(w.victim.mr).valid, true);
            close_world(&w);
        }
    }
}

static void a_request_without_bytes(void) {
    EACH_REQUEST(request, type, shared) {
        if (requests[request].length == 8)
            continue;
        for (int bad_key = 0; bad_key < 2; bad_key++) {
            struct world w;
            REQUIRE(open_world(&w, type, shared, ALL_ACCESS));
            struct rvt_send_wr wr = request_of(&w, request, NULL);
            wr.rkey ^= (uint32_t)bad_key;
            if (requests[request].uses_receive)
                give_receive(&w, 5, NULL, 0);
            CHECK_EQ(post(&w.a, wr), 0);
            if (requests[request].uses_receive)
                received(&w, request, 5, 0, flags_of(request));
            if (request == READ && bad_key) { /* an empty read needs a key, a write does not */
                if (shared)
                    EVENT(&w.v, RVT_EVENT_LAST_WQE, w.b.serial);
                WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn, .opcode = RVT_WC_OPCODE_RDMA_READ,
                   .status = RVT_WC_STATUS_REM_ACCESS_ERR, .cause = RVT_WHY_REMOTE_REFUSED,
                   .refused.reason = RVT_STALE_KEY);
            } else {
                WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn, .opcode = requests[request].wc_opcode);
                both_in(&w, RVT_QPS_RTS, RVT_QPS_RTS);
            }
            close_world(&w); /* an empty read has put its reference */
        }
    }
}

static void send_with_inv_ignores_a_key_that_it_cannot_invalidate(void) {
    struct world w;
    REQUIRE(open_world(&w, RVT_QPT_RC, false, ALL_ACCESS));
    struct rvt_send_wr wr = request_of(&w, SEND_INV, NULL);
    wr.invalidate_rkey ^= 1;
    give_receive(&w, 5, NULL, 0);
    CHECK_EQ(post(&w.a, wr), 0);
    received(&w, SEND_INV, 5, 0, 0);
    WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn);
    close_world(&w);
}

/* The completion queue of the receive is full: the responder goes into error without an event, the request
 * succeeds. */
static void a_full_receive_queue_does_not_fail_the_request(void) {
    EACH_REQUEST(request, type, shared) {
        struct world w;
        if (!requests[request].uses_receive)
            continue;
        REQUIRE(open_world(&w, type, shared, ALL_ACCESS));
        const struct rvt_ib_sge room = sge_at(&w.receive, 0, 200), sge = sge_at(&w.local, 8, LENGTH);
        CHECK_EQ(rvt_resize_cq(w.b.rcq, 1), 0);
        for (uint64_t i = 0; i < 3; i++)
            give_receive(&w, i, &room, 1);
        struct rvt_send_wr wr = request_of(&w, request, &sge);
        wr.flags = 0;
        CHECK_EQ(post(&w.a, wr), 0);
        wr.flags = RVT_SEND_SIGNALED;
        CHECK_EQ(post(&w.a, wr), 0);
        WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn, .opcode = requests[request].wc_opcode,
           .byte_len = LENGTH);
        both_in(&w, RVT_QPS_RTS, RVT_QPS_ERR);
        EVENT(&w.v, RVT_EVENT_CQ_ERR, cq_serial(w.b.rcq));
        if (!shared) /* the flushed receive finds it broken as well */
            EVENT(&w.v, RVT_EVENT_CQ_ERR, cq_serial(w.b.rcq));
        received(&w, request, 0, LENGTH, flags_of(request));
        close_world(&w);
    }
}

static void solicited_requests_fire_an_arming_for_solicited_completions(void) {
    for (enum request request = 0; request < REQUESTS; request++) {
        for (uint32_t solicited = 0; solicited < 2; solicited++) {
            struct world w;
            if (!requests[request].uses_receive)
                continue;
            REQUIRE(open_world(&w, RVT_QPT_RC, false, ALL_ACCESS));
            CHECK_EQ(rvt_req_notify_cq(w.b.rcq, RVT_NOTIFY_SOLICITED), 0);
            give_receive(&w, 5, NULL, 0);
            struct rvt_send_wr wr = request_of(&w, request, NULL);
            wr.flags = solicited * RVT_SEND_SOLICITED;
            CHECK_EQ(post(&w.a, wr), 0);
            received(&w, request, 5, 0, flags_of(request));
            if (solicited)
                EVENT(&w.v, RVT_EVENT_COMPLETION, cq_serial(w.b.rcq));
            close_world(&w);
        }
    }
}

/* A queue pair connected to itself: if it goes into error as the responder, the request completes with the
 * requester's status. */
static void a_queue_pair_can_be_its_own_peer(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    count_up(local_bytes, PAGE, 1);
    struct vmr mr = make_mr(&v, local_bytes, PAGE);
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    connect_qp(&qp, qp.qpn);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, LENGTH), room = sge_at(&mr, 1000, LENGTH),
                            small = sge_at(&mr, 2000, LENGTH - 1);
    CHECK_EQ(post_receive(&qp, 1, &room, 1), 0);
    CHECK_EQ(post_receive(&qp, 2, &small, 1), 0);
    CHECK_EQ(post_receive(&qp, 3, &room, 1), 0);
    const struct rvt_send_wr wrs[] = {
        SEND_WR(.wr_id = 11, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1),
        SEND_WR(.wr_id = 12, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1),
        SEND_WR(.wr_id = 13, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1),
    };
    CHECK_EQ(rvt_post_send(qp.handle, wrs, 3, NULL), 0);
    CHECK_BYTES_EQ(local_bytes + 1000, local_bytes, LENGTH);
    WC(qp.rcq, .wr_id = 1, .qp_num = qp.qpn, .src_qp = qp.qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = LENGTH, .slid = 7, .sl = 5, .port = 1);
    WC(qp.rcq, .wr_id = 2, .qp_num = qp.qpn, .status = RVT_WC_STATUS_LOC_QP_OP_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_RECEIVE_TOO_SHORT);
    WC(qp.rcq, .wr_id = 3, .qp_num = qp.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
    WC(qp.scq, .wr_id = 11, .qp_num = qp.qpn, .byte_len = LENGTH);
    WC(qp.scq, .wr_id = 12, .qp_num = qp.qpn, .status = RVT_WC_STATUS_REM_INV_REQ_ERR, .byte_len = LENGTH,
       .cause = RVT_WHY_RECEIVE_TOO_SHORT);
    WC(qp.scq, .wr_id = 13, .qp_num = qp.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR, .byte_len = LENGTH,
       .cause = RVT_WHY_FLUSHED);
    AT_REST(mr);
    verbs_close(&v);
}

static void key_zero_reaches_dma_memory_of_the_peer(void) {
    struct world w;
    struct rvt_mr_handle dma;
    struct rvt_dma_handle mapping;
    uint64_t address = 0x100000;
    REQUIRE(open_world(&w, RVT_QPT_RC, false, ALL_ACCESS));
    CHECK_EQ(rvt_get_dma_mr(w.v.pd, 0, &dma), 0);
    struct rvt_memory *memory = rvt_fixed_memory(remote_bytes, PAGE);
    CHECK_EQ(rvt_dma_map(w.v.device, NULL, memory, true, &address, &mapping), 0);
    rvt_memory_put(memory);
    static const enum request all[] = {WRITE, READ, FETCH_ADD};
    for (int i = 0; i < 3; i++) {
        const struct rvt_ib_sge sge = sge_at(&w.local, 8, requests[all[i]].length);
        struct rvt_send_wr wr = request_of(&w, all[i], &sge);
        wr.remote_addr = address + 64;
        wr.rkey = 0;
        CHECK_EQ(post(&w.a, wr), 0);
        WC(w.a.scq, .wr_id = 77, .qp_num = w.a.qpn, .opcode = requests[all[i]].wc_opcode,
           .byte_len = requests[all[i]].length);
        CHECK_EQ(fixture_query(dma).refs, 3);
    }
    CHECK_EQ(rvt_dma_unmap(mapping), 0);
    close_world(&w);
}

CHECK_MAIN(TEST(accepted_requests_move_their_bytes), TEST(a_compare_that_fails_stores_nothing),
           TEST(access_flags_are_tested_before_all_else), TEST(a_receive_that_is_too_short_is_invalid),
           TEST(an_atomic_needs_an_aligned_remote_address), TEST(remote_accesses_are_judged),
           TEST(a_receive_with_a_bad_element_fails_both_ends), TEST(a_request_without_bytes),
           TEST(send_with_inv_ignores_a_key_that_it_cannot_invalidate),
           TEST(a_full_receive_queue_does_not_fail_the_request),
           TEST(solicited_requests_fire_an_arming_for_solicited_completions),
           TEST(a_queue_pair_can_be_its_own_peer), TEST(key_zero_reaches_dma_memory_of_the_peer))
