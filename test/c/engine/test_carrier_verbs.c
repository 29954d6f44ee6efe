/* SPDX-License-Identifier: BSD-3-Clause */
/* What a carrier other than loopback is told and can do, by a carrier that only takes notes: the wire uses the same
 * functions. */
#include "verbs.h"

enum { LENGTH = 3000, PIECE = 700, WR_ID = 77, ONLY_RC = 1 << RVT_QPT_RC };

/* What the carrier was told. */
struct notes {
    uint32_t works, changes, from, to, detached;
    bool no_memory; /* it must refuse to be attached */
    struct rvt_engine_qp *qp;
};

static struct notes *notes_of(struct rvt_engine_qp *qp) {
    return rvt_carrier_data(qp);
}
static void note_work(struct rvt_engine_qp *qp) {
    notes_of(qp)->works++;
    if (rvt_carrier_attr(qp)->state == RVT_QPS_ERR)
        rvt_carrier_flush(qp);
}
static bool note_attached(struct rvt_engine_qp *qp, void *data) {
    struct notes *notes = data;
    notes->qp = qp;
    return !notes->no_memory;
}
static void note_changed(struct rvt_engine_qp *qp, unsigned from) {
    struct notes *notes = notes_of(qp);
    notes->changes++;
    notes->from = from;
    notes->to = rvt_carrier_attr(qp)->state;
}
static void note_detached(struct rvt_engine_qp *qp, void *data) {
    struct notes *notes = data;
    CHECK_PTR_EQ(qp, notes->qp);
    notes->detached++;
}
static const struct rvt_carrier carrier = {
    .work = note_work,
    .attached = note_attached,
    .changed = note_changed,
    .detached = note_detached,
};

/* A queue pair with the carrier, in RTS, and memory of both kinds. */
struct world {
    struct verbs v;
    struct notes notes;
    struct vqp qp;
    struct vmr local, remote;
};

static alignas(4096) unsigned char local_bytes[PAGE], remote_bytes[PAGE], piece[PAGE], expected[PAGE];

static bool open_world(struct world *w, uint32_t access) {
    memset(w, 0, sizeof(*w));
    if (!verbs_open(&w->v, AT_ONCE))
        return false;
    w->qp = make_qp(&w->v, RVT_QPT_RC);
    CHECK_EQ(rvt_set_carrier(w->qp.handle, &carrier, &w->notes, false, ONLY_RC), 0);
    struct rvt_qp_attr attr = usual_attr(99);
    attr.access = access;
    bring_to(&w->qp, attr, RVT_QPS_RTS);
    count_up(local_bytes, PAGE, 1);
    count_up(remote_bytes, PAGE, 101);
    w->local = make_mr(&w->v, local_bytes, PAGE);
    w->remote = make_mr(&w->v, remote_bytes, PAGE);
    rvt_carrier_begin(w->v.device);
    return true;
}

static void close_world(struct world *w) {
    rvt_carrier_end(w->v.device);
    verbs_close(&w->v);
}

/* Calls a verb in the middle of a test, which holds the engine lock otherwise. */
#define VERB(w, call)                                                                                        \
    do {                                                                                                     \
        rvt_carrier_end((w)->v.device);                                                                      \
        call;                                                                                                \
        rvt_carrier_begin((w)->v.device);                                                                    \
    } while (0)

static uint32_t state_now(const struct world *w) {
    return rvt_carrier_attr(w->notes.qp)->state;
}

/* --- setting --- */

static void a_carrier_is_set_in_reset_and_init_only(void) {
    struct verbs v;
    struct notes notes = {0}, later = {0};
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp qp = make_qp(&v, RVT_QPT_RC), uc = make_qp(&v, RVT_QPT_UC), ud = make_qp(&v, RVT_QPT_UD);
    FAILS_WITH(rvt_set_carrier(uc.handle, &carrier, &notes, false, ONLY_RC), RVT_EOPNOTSUPP,
               RVT_CAUSE_QP_TYPE, RVT_QPT_UC, 0, 0);
    FAILS_WITH(rvt_set_carrier(ud.handle, &carrier, &notes, false, ONLY_RC), RVT_EOPNOTSUPP,
               RVT_CAUSE_QP_TYPE, RVT_QPT_UD, 0, 0);
    CHECK_EQ(rvt_set_carrier(qp.handle, &carrier, &notes, false, ONLY_RC), 0);
    CHECK_EQ(move_qp(&qp, usual_attr(5), RVT_QPS_INIT), 0);
    CHECK_EQ(notes.detached, 0);
    CHECK_EQ(rvt_set_carrier(qp.handle, &carrier, &later, false, ONLY_RC), 0);
    CHECK_EQ(notes.detached, 1);
    static const enum rvt_qp_state states[] = {RVT_QPS_RTR, RVT_QPS_RTS, RVT_QPS_SQD, RVT_QPS_ERR};
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(move_qp(&qp, usual_attr(5), states[i]), 0);
        FAILS_WITH(rvt_set_carrier(qp.handle, &carrier, &notes, false, ONLY_RC), RVT_EINVAL,
                   RVT_CAUSE_QP_STATE, states[i], 0, 0);
    }
    CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
    CHECK_EQ(later.detached, 1);
    CHECK_EQ(notes.detached, 1);
    FAILS(rvt_set_carrier(qp.handle, &carrier, &notes, false, ONLY_RC), RVT_EBADF, RVT_CAUSE_QP_GONE);
    verbs_close(&v);
}

static void a_number_that_could_be_foretold_is_refused_where_that_matters(void) {
    struct verbs v;
    struct notes notes = {0};
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp before = make_qp(&v, RVT_QPT_RC);
    rvt_carrier_begin(v.device);
    rvt_carrier_draw_numbers(v.device);
    rvt_carrier_end(v.device);
    struct vqp after = make_qp(&v, RVT_QPT_RC);
    FAILS(rvt_set_carrier(before.handle, &carrier, &notes, true, ONLY_RC), RVT_EINVAL,
          RVT_CAUSE_QP_NUMBER_FORESEEN);
    CHECK_EQ(rvt_set_carrier(after.handle, &carrier, &notes, true, ONLY_RC), 0);
    verbs_close(&v);
    CHECK_EQ(notes.detached, 1);
}

static void a_carrier_without_memory_leaves_the_queue_pair_to_loopback(void) {
    struct verbs v;
    struct notes notes = {.no_memory = true};
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    a = make_qp(&v, RVT_QPT_RC);
    b = make_qp(&v, RVT_QPT_RC);
    FAILS(rvt_set_carrier(a.handle, &carrier, &notes, false, ONLY_RC), RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    connect_qp(&a, b.qpn);
    connect_qp(&b, a.qpn);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = WR_ID, .opcode = RVT_WR_RDMA_WRITE)), 0);
    WC(a.scq, .wr_id = WR_ID, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE);
    CHECK_EQ(notes.works + notes.changes + notes.detached, 0);
    verbs_close(&v);
}

static void loopback_does_not_reach_a_queue_pair_of_another_carrier(void) {
    struct verbs v;
    struct notes notes = {0};
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    a = make_qp(&v, RVT_QPT_RC);
    b = make_qp(&v, RVT_QPT_RC);
    CHECK_EQ(rvt_set_carrier(b.handle, &carrier, &notes, false, ONLY_RC), 0);
    connect_qp(&a, b.qpn);
    connect_qp(&b, a.qpn);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = WR_ID, .opcode = RVT_WR_RDMA_WRITE)), 0);
    WC(a.scq, .wr_id = WR_ID, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE,
       .status = RVT_WC_STATUS_RETRY_EXC_ERR, .cause = RVT_WHY_NO_PEER);
    verbs_close(&v);
}

static void a_carrier_finds_its_own_queue_pairs_past_reset(void) {
    struct verbs v;
    struct notes notes = {0};
    static const struct rvt_carrier other = {.work = note_work};
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp qp = make_qp(&v, RVT_QPT_RC), plain = make_qp(&v, RVT_QPT_RC);
    CHECK_EQ(rvt_set_carrier(qp.handle, &carrier, &notes, false, ONLY_RC), 0);
    for (int past = 0; past < 2; past++) {
        rvt_carrier_begin(v.device);
        CHECK_PTR_EQ(rvt_carrier_find(v.device, qp.qpn, &carrier), past ? &notes : NULL);
        CHECK_PTR_EQ(rvt_carrier_find(v.device, qp.qpn, &other), NULL);
        CHECK_PTR_EQ(rvt_carrier_find(v.device, plain.qpn, &carrier), NULL);
        CHECK_PTR_EQ(rvt_carrier_find(v.device, 0xffffff, &carrier), NULL);
        rvt_carrier_end(v.device);
        CHECK_EQ(move_qp(&qp, usual_attr(5), RVT_QPS_INIT), 0);
        CHECK_EQ(move_qp(&plain, usual_attr(5), RVT_QPS_INIT), 0);
    }
    verbs_close(&v);
}

static void a_carrier_limits_the_reads_of_a_peer(void) {
    struct verbs v;
    static const struct rvt_carrier limited = {.work = note_work, .most_dest_rd_atomic = 5},
                                    wider = {.work = note_work, .most_dest_rd_atomic = 100};
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    struct rvt_qp_attr attr = usual_attr(5);
    CHECK_EQ(rvt_set_carrier(qp.handle, &limited, NULL, false, ONLY_RC), 0);
    CHECK_EQ(move_qp(&qp, attr, RVT_QPS_INIT), 0);
    attr.max_dest_rd_atomic = 6;
    FAILS_WITH(move_qp(&qp, attr, RVT_QPS_RTR), RVT_EINVAL, RVT_CAUSE_QP_ATTRIBUTE, 6, 5,
               RVT_QPA_MAX_DEST_RD_ATOMIC);
    attr.max_dest_rd_atomic = 5;
    CHECK_EQ(move_qp(&qp, attr, RVT_QPS_RTR), 0);
    CHECK_EQ(move_qp(&qp, attr, RVT_QPS_RESET), 0);
    CHECK_EQ(rvt_set_carrier(qp.handle, &wider, NULL, false, ONLY_RC), 0);
    CHECK_EQ(move_qp(&qp, attr, RVT_QPS_INIT), 0);
    attr.max_dest_rd_atomic = 17; /* above the device's */
    FAILS_WITH(move_qp(&qp, attr, RVT_QPS_RTR), RVT_EINVAL, RVT_CAUSE_QP_ATTRIBUTE, 17, 16,
               RVT_QPA_MAX_DEST_RD_ATOMIC);
    verbs_close(&v);
}

static void a_carrier_is_told_of_every_change_of_state(void) {
    struct verbs v;
    struct notes notes = {0};
    static const enum rvt_qp_state way[] = {
        RVT_QPS_INIT,  RVT_QPS_RTR, RVT_QPS_RTS, RVT_QPS_SQD, RVT_QPS_ERR, RVT_QPS_ERR, /* also once more */
        RVT_QPS_RESET,
    };
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp qp = make_qp(&v, RVT_QPT_RC);
    CHECK_EQ(rvt_set_carrier(qp.handle, &carrier, &notes, false, ONLY_RC), 0);
    for (unsigned i = 0; i < sizeof(way) / sizeof(way[0]); i++) {
        CHECK_EQ(move_qp(&qp, usual_attr(5), way[i]), 0);
        CHECK_EQ(notes.changes, i + 1);
        CHECK_EQ(notes.from, i ? way[i - 1] : RVT_QPS_RESET);
        CHECK_EQ(notes.to, way[i]);
    }
    verbs_close(&v);
}

static void unsetting_returns_the_queue_pair_to_loopback_in_error(void) {
    struct world w;
    REQUIRE(open_world(&w, ALL_ACCESS));
    const struct rvt_ib_sge sge = sge_at(&w.local, 0, 8);
    VERB(&w, CHECK_EQ(post(&w.qp, SEND_WR(.wr_id = WR_ID, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)),
                      0));
    CHECK_EQ(w.notes.works, 1);
    const uint32_t changes = w.notes.changes;
    rvt_unset_carrier(w.notes.qp);
    CHECK_EQ(w.notes.detached, 1);
    CHECK_EQ(w.notes.changes, changes); /* it is not told of ERR: the queue pair is loopback's by then */
    VERB(&w, WC(w.qp.scq, .wr_id = WR_ID, .qp_num = w.qp.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
                .opcode = RVT_WC_OPCODE_SEND, .byte_len = 8, .cause = RVT_WHY_ENDPOINT_CLOSED));
    VERB(&w, CHECK_EQ(state_of(&w.qp), RVT_QPS_ERR));
    AT_REST(w.local);
    close_world(&w);
}

/* --- the requester --- */

static void work_requests_are_read_and_completed_in_order(void) {
    struct world w;
    struct rvt_carried_send send;
    REQUIRE(open_world(&w, ALL_ACCESS));
    const struct rvt_ib_sge sge = sge_at(&w.local, 0, 100);
    VERB(&w, CHECK_EQ(post(&w.qp, SEND_WR(.wr_id = 1, .opcode = RVT_WR_RDMA_WRITE_WITH_IMM, .sges = &sge,
                                          .num_sge = 1, .remote_addr = 0x1234, .rkey = 5, .imm = 6)),
                      0));
    VERB(&w, CHECK_EQ(post(&w.qp, PLAIN_WR(.wr_id = 2, .opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = 0x7700,
                                           .flags = RVT_SEND_SIGNALED | RVT_SEND_FENCE)),
                      0));
    CHECK_EQ(rvt_carrier_sends(w.notes.qp), 2);
    rvt_carrier_send(w.notes.qp, 0, &send);
    CHECK_EQ(send.opcode, RVT_WR_RDMA_WRITE_WITH_IMM);
    CHECK_EQ(send.length, 100);
    CHECK_EQ(send.remote_addr, 0x1234);
    CHECK_EQ(send.rkey, 5);
    CHECK_EQ(send.imm, 6);
    CHECK(!send.local);
    rvt_carrier_send(w.notes.qp, 1, &send);
    CHECK(send.local);
    CHECK_EQ(send.invalidate_rkey, 0x7700);
    rvt_carrier_complete(w.notes.qp);
    rvt_carrier_local(
        w.notes.qp); /* no region has the key: a failure that does not put the queue pair into error */
    CHECK_EQ(rvt_carrier_sends(w.notes.qp), 0);
    CHECK_EQ(state_now(&w), RVT_QPS_RTS);
    VERB(&w,
         WC(w.qp.scq, .wr_id = 1, .qp_num = w.qp.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 100));
    VERB(&w, WC(w.qp.scq, .wr_id = 2, .qp_num = w.qp.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV,
                .status = RVT_WC_STATUS_LOC_PROT_ERR, .cause = RVT_WHY_INVALIDATE_REFUSED));
    AT_REST(w.local);
    close_world(&w);
}

static void a_failed_work_request_flushes_the_others(void) {
    struct world w;
    const struct rvt_why why = {.cause = RVT_WHY_NAK, .value = 0x62};
    REQUIRE(open_world(&w, ALL_ACCESS));
    for (uint64_t i = 0; i < 3; i++)
        VERB(&w, CHECK_EQ(post(&w.qp, PLAIN_WR(.wr_id = i, .opcode = RVT_WR_SEND)), 0));
    rvt_carrier_fail(w.notes.qp, RVT_WC_STATUS_REM_ACCESS_ERR, &why);
    CHECK_EQ(w.notes.to, RVT_QPS_ERR);
    VERB(&w, WC(w.qp.scq, .wr_id = 0, .qp_num = w.qp.qpn, .opcode = RVT_WC_OPCODE_SEND,
                .status = RVT_WC_STATUS_REM_ACCESS_ERR, .cause = RVT_WHY_NAK, .cause_value = 0x62));
    for (uint64_t i = 1; i < 3; i++)
        VERB(&w, WC(w.qp.scq, .wr_id = i, .qp_num = w.qp.qpn, .opcode = RVT_WC_OPCODE_SEND,
                    .status = RVT_WC_STATUS_WR_FLUSH_ERR, .cause = RVT_WHY_FLUSHED));
    close_world(&w);
}

/* Elements of 1, 999 and 2000 bytes, read and written in pieces that cross their ends. */
static void pieces_of_a_message_cross_elements(void) {
    struct world w;
    struct rvt_why why;
    REQUIRE(open_world(&w, ALL_ACCESS));
    const struct rvt_ib_sge sges[] = {sge_at(&w.local, 4000, 1), sge_at(&w.local, 10, 999),
                                      sge_at(&w.local, 1500, 2000)};
    VERB(&w, CHECK_EQ(post(&w.qp, SEND_WR(.opcode = RVT_WR_SEND, .sges = sges, .num_sge = 3)), 0));
    memcpy(expected, local_bytes + 4000, 1);
    memcpy(expected + 1, local_bytes + 10, 999);
    memcpy(expected + 1000, local_bytes + 1500, 2000);
    for (uint32_t at = 0; at < LENGTH; at += PIECE) {
        const uint32_t bytes = LENGTH - at < PIECE ? LENGTH - at : PIECE;
        CHECK(rvt_carrier_gather(w.notes.qp, 0, at, piece, bytes, &why));
        CHECK_BYTES_EQ(piece, expected + at, bytes);
    }
    count_up(expected, LENGTH, 55);
    for (uint32_t at = 0; at < LENGTH; at += PIECE)
        CHECK(rvt_carrier_scatter(w.notes.qp, 0, at, expected + at, LENGTH - at < PIECE ? LENGTH - at : PIECE,
                                  &why));
    CHECK_BYTES_EQ(local_bytes + 4000, expected, 1);
    CHECK_BYTES_EQ(local_bytes + 10, expected + 1, 999);
    CHECK_BYTES_EQ(local_bytes + 1500, expected + 1000, 2000);
    CHECK(rvt_carrier_gather(w.notes.qp, 0, LENGTH, piece, 0, &why));
    close_world(&w);
}

static void bytes_that_cannot_be_resolved_are_refused(void) {
    struct world w;
    struct fickle fickle = {.reason = RVT_OTHER_ENVIRONMENT, .data = local_bytes};
    struct rvt_mr_handle lost = {0};
    REQUIRE(open_world(&w, ALL_ACCESS));
    rvt_memory_init(&fickle.memory, &fickle_ops, PAGE);
    VERB(&w, CHECK_EQ(rvt_reg_user_mr(w.v.pd, &fickle.memory, 0x10000, 0x10000, ALL_ACCESS, &lost), 0));
    const struct rvt_ib_sge sge = {0x10000, 100, fixture_key(lost)};
    VERB(&w, CHECK_EQ(post(&w.qp, SEND_WR(.wr_id = WR_ID, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)),
                      0));
    for (int verb = 0; verb < 3; verb++) {
        struct rvt_why why = {0};
        CHECK(!(verb == 0   ? rvt_carrier_gather(w.notes.qp, 0, 0, piece, 100, &why)
                : verb == 1 ? rvt_carrier_scatter(w.notes.qp, 0, 50, piece, 50, &why)
                            : rvt_carrier_scatter_value(w.notes.qp, 0, 5, &why)));
        CHECK_EQ(why.cause, RVT_WHY_LOCAL_REFUSED);
        CHECK_EQ(why.refused.reason, RVT_OTHER_ENVIRONMENT);
    }
    /* The same bytes as a peer's target and as a receive. */
    struct rvt_why why;
    VERB(&w, CHECK_EQ(post_receive(&w.qp, 5, &sge, 1), 0));
    CHECK_EQ(rvt_carrier_take_receive(w.notes.qp, true, &why), RVT_RESPONSE_DONE);
    CHECK_EQ(rvt_carrier_fill(w.notes.qp, 0, piece, 10, &why), RVT_RESPONSE_OPERATION);
    CHECK_EQ(why.cause, RVT_WHY_RECEIVE_REFUSED);
    CHECK_EQ(why.refused.reason, RVT_OTHER_ENVIRONMENT);
    CHECK_EQ(state_now(&w), RVT_QPS_ERR);
    close_world(&w);
}

/* --- the responder --- */

static struct rvt_carried_access ask(const struct vmr *mr, uint64_t offset, uint32_t rest, bool again) {
    return (struct rvt_carried_access){
        .addr = mr->addr + offset, .rest = rest, .rkey = mr->key, .again = again};
}

static void accepted_accesses_move_bytes_in_pieces(void) {
    struct world w;
    struct rvt_why why;
    uint64_t old = 0, word = 40;
    REQUIRE(open_world(&w, ALL_ACCESS));
    count_up(expected, LENGTH, 7);
    struct rvt_carried_access access = ask(&w.remote, 5, LENGTH, false);
    CHECK_EQ(rvt_carrier_judge(w.notes.qp, RVT_ACCESS_REMOTE_WRITE, &access, &why), RVT_RESPONSE_DONE);
    for (uint32_t at = 0; at < LENGTH; at += PIECE) {
        const uint32_t bytes = LENGTH - at < PIECE ? LENGTH - at : PIECE;
        access = ask(&w.remote, 5 + at, LENGTH - at, at != 0);
        CHECK_EQ(rvt_carrier_write(w.notes.qp, &access, expected + at, bytes, &why), RVT_RESPONSE_DONE);
        CHECK_EQ(rvt_carrier_read(w.notes.qp, &access, piece, bytes, &why), RVT_RESPONSE_DONE);
        CHECK_BYTES_EQ(piece, expected + at, bytes);
    }
    CHECK_BYTES_EQ(remote_bytes + 5, expected, LENGTH);
    memcpy(remote_bytes + 8, &word, 8);
    CHECK_EQ(rvt_carrier_atomic(w.notes.qp, RVT_WR_ATOMIC_FETCH_AND_ADD, w.remote.addr + 8, w.remote.key, 2,
                                0, &old, &why),
             RVT_RESPONSE_DONE);
    CHECK_EQ(old, 40);
    CHECK_EQ(rvt_carrier_atomic(w.notes.qp, RVT_WR_ATOMIC_CMP_AND_SWP, w.remote.addr + 8, w.remote.key, 42,
                                99, &old, &why),
             RVT_RESPONSE_DONE);
    CHECK_EQ(old, 42);
    memcpy(&word, remote_bytes + 8, 8);
    CHECK_EQ(word, 99);
    AT_REST(w.remote);
    close_world(&w);
}

enum verb { JUDGE_WRITE, JUDGE_READ, WRITE, READ, ATOMIC, VERBS };

static enum rvt_response call(struct rvt_engine_qp *qp, enum verb verb,
                              const struct rvt_carried_access *access, struct rvt_why *why) {
    uint64_t old;
    switch (verb) {
    case JUDGE_WRITE:
        return rvt_carrier_judge(qp, RVT_ACCESS_REMOTE_WRITE, access, why);
    case JUDGE_READ:
        return rvt_carrier_judge(qp, RVT_ACCESS_REMOTE_READ, access, why);
    case WRITE:
        return rvt_carrier_write(qp, access, piece, 8, why);
    case READ:
        return rvt_carrier_read(qp, access, piece, 8, why);
    default:
        return rvt_carrier_atomic(qp, RVT_WR_ATOMIC_FETCH_AND_ADD, access->addr, access->rkey, 1, 0, &old,
                                  why);
    }
}

static void refused_accesses_say_why_and_put_the_queue_pair_into_error(void) {
    static const struct {
        enum rvt_reason reason;
        uint64_t offset;
        uint32_t key_change;
    } bad[] = {
        {RVT_NO_SUCH_KEY, 0, 0x80000000},
        {RVT_STALE_KEY, 0, 1},
        {RVT_OUT_OF_BOUNDS, PAGE, 0},
    };
    for (enum verb verb = 0; verb < VERBS; verb++) {
        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            struct world w;
            struct rvt_why why;
            REQUIRE(open_world(&w, ALL_ACCESS));
            struct rvt_carried_access access = ask(&w.remote, bad[i].offset, 8, false);
            access.rkey ^= bad[i].key_change;
            memcpy(expected, remote_bytes, PAGE);
            CHECK_EQ(call(w.notes.qp, verb, &access, &why), RVT_RESPONSE_ACCESS);
            CHECK_EQ(why.cause, RVT_WHY_REMOTE_REFUSED);
            CHECK_EQ(why.refused.reason, bad[i].reason);
            CHECK_EQ(why.refused.key, access.rkey);
            CHECK_EQ(why.refused.judge, w.qp.serial);
            CHECK_EQ(state_now(&w), RVT_QPS_ERR);
            CHECK_BYTES_EQ(remote_bytes, expected, PAGE);
            close_world(&w);
        }
    }
}

static void missing_flags_of_the_queue_pair_are_invalid_requests(void) {
    static const uint32_t rights[VERBS] = {RVT_ACCESS_REMOTE_WRITE, RVT_ACCESS_REMOTE_READ,
                                           RVT_ACCESS_REMOTE_WRITE, RVT_ACCESS_REMOTE_READ,
                                           RVT_ACCESS_REMOTE_ATOMIC};
    for (enum verb verb = 0; verb < VERBS; verb++) {
        struct world w;
        struct rvt_why why;
        REQUIRE(open_world(&w, ALL_ACCESS & ~rights[verb]));
        struct rvt_carried_access access = ask(&w.remote, 0, 8, false);
        CHECK_EQ(call(w.notes.qp, verb, &access, &why), RVT_RESPONSE_INVALID);
        CHECK_EQ(why.cause, RVT_WHY_QP_ACCESS);
        CHECK_EQ(state_now(&w), RVT_QPS_ERR);
        close_world(&w);
    }
}

static void a_region_that_ends_between_two_packets_is_refused_at_the_second(void) {
    for (enum verb verb = WRITE; verb <= READ; verb++) {
        struct world w;
        struct rvt_why why;
        REQUIRE(open_world(&w, ALL_ACCESS));
        struct rvt_carried_access access = ask(&w.remote, 0, 16, false);
        CHECK_EQ(call(w.notes.qp, verb, &access, &why), RVT_RESPONSE_DONE);
        VERB(&w, CHECK_EQ(rvt_dereg_mr(w.remote.mr, RVT_RELEASE), 0));
        memcpy(expected, remote_bytes, PAGE);
        access = ask(&w.remote, 8, 8, true);
        CHECK_EQ(call(w.notes.qp, verb, &access, &why), RVT_RESPONSE_ACCESS);
        CHECK_EQ(state_now(&w), RVT_QPS_ERR);
        CHECK_BYTES_EQ(remote_bytes, expected, PAGE);
        close_world(&w);
    }
}

static void empty_ranges_need_no_key_but_the_flags(void) {
    struct world w;
    struct rvt_why why;
    const struct rvt_carried_access nothing = {.addr = 0x12345, .rkey = 0xdeadbeef};
    REQUIRE(open_world(&w, RVT_ACCESS_REMOTE_WRITE));
    CHECK_EQ(rvt_carrier_judge(w.notes.qp, RVT_ACCESS_REMOTE_WRITE, &nothing, &why), RVT_RESPONSE_DONE);
    CHECK_EQ(rvt_carrier_judge(w.notes.qp, RVT_ACCESS_REMOTE_READ, &nothing, &why), RVT_RESPONSE_INVALID);
    close_world(&w);
}

static void an_atomic_needs_an_aligned_address(void) {
    struct world w;
    struct rvt_why why;
    uint64_t old;
    REQUIRE(open_world(&w, ALL_ACCESS));
    CHECK_EQ(rvt_carrier_atomic(w.notes.qp, RVT_WR_ATOMIC_FETCH_AND_ADD, w.remote.addr + 4, w.remote.key, 1,
                                0, &old, &why),
             RVT_RESPONSE_INVALID);
    CHECK_EQ(why.cause, RVT_WHY_ATOMIC_ADDRESS);
    close_world(&w);
}

static void a_message_fills_a_receive_piece_by_piece(void) {
    struct world w;
    struct rvt_why why;
    REQUIRE(open_world(&w, ALL_ACCESS));
    const struct rvt_ib_sge sges[] = {sge_at(&w.local, 100, 1000), sge_at(&w.local, 2000, 2000)};
    CHECK_EQ(rvt_carrier_take_receive(w.notes.qp, true, &why), RVT_RESPONSE_RNR);
    VERB(&w, CHECK_EQ(post_receive(&w.qp, WR_ID, sges, 2), 0));
    CHECK_EQ(rvt_carrier_take_receive(w.notes.qp, true, &why), RVT_RESPONSE_DONE);
    count_up(expected, LENGTH, 9);
    for (uint32_t at = 0; at < LENGTH; at += PIECE)
        CHECK_EQ(
            rvt_carrier_fill(w.notes.qp, at, expected + at, LENGTH - at < PIECE ? LENGTH - at : PIECE, &why),
            RVT_RESPONSE_DONE);
    rvt_carrier_received(w.notes.qp, RVT_WC_OPCODE_RECV, RVT_WC_WITH_IMM, 0x1234, LENGTH, true);
    CHECK_BYTES_EQ(local_bytes + 100, expected, 1000);
    CHECK_BYTES_EQ(local_bytes + 2000, expected + 1000, 2000);
    VERB(&w, WC(w.qp.rcq, .wr_id = WR_ID, .qp_num = w.qp.qpn, .src_qp = 99, .opcode = RVT_WC_OPCODE_RECV,
                .byte_len = LENGTH, .flags = RVT_WC_WITH_IMM, .imm_or_inv = 0x1234, .sl = 5, .port = 1));
    AT_REST(w.local);
    close_world(&w);
}

static void a_message_that_is_too_long_for_its_receive_is_invalid(void) {
    struct world w;
    struct rvt_why why;
    REQUIRE(open_world(&w, ALL_ACCESS));
    const struct rvt_ib_sge sge = sge_at(&w.local, 0, 100);
    VERB(&w, CHECK_EQ(post_receive(&w.qp, WR_ID, &sge, 1), 0));
    CHECK_EQ(rvt_carrier_take_receive(w.notes.qp, true, &why), RVT_RESPONSE_DONE);
    CHECK_EQ(rvt_carrier_fill(w.notes.qp, 0, piece, 100, &why), RVT_RESPONSE_DONE);
    memcpy(expected, local_bytes, PAGE);
    CHECK_EQ(rvt_carrier_fill(w.notes.qp, 100, piece, 1, &why), RVT_RESPONSE_INVALID);
    CHECK_EQ(why.cause, RVT_WHY_RECEIVE_TOO_SHORT);
    CHECK_BYTES_EQ(local_bytes, expected, PAGE);
    CHECK_EQ(state_now(&w), RVT_QPS_ERR);
    VERB(&w, WC(w.qp.rcq, .wr_id = WR_ID, .qp_num = w.qp.qpn, .opcode = RVT_WC_OPCODE_RECV,
                .status = RVT_WC_STATUS_LOC_QP_OP_ERR, .cause = RVT_WHY_RECEIVE_TOO_SHORT));
    AT_REST(w.local);
    close_world(&w);
}

/* Otherwise a peer that stops in the middle of a message could keep dereg at EBUSY. */
static void a_region_of_the_receive_in_hand_can_be_deregistered(void) {
    struct world w;
    struct rvt_why why;
    REQUIRE(open_world(&w, ALL_ACCESS));
    const struct rvt_ib_sge sge = sge_at(&w.local, 0, 100);
    VERB(&w, CHECK_EQ(post_receive(&w.qp, WR_ID, &sge, 1), 0));
    CHECK_EQ(rvt_carrier_take_receive(w.notes.qp, true, &why), RVT_RESPONSE_DONE);
    CHECK_EQ(rvt_carrier_fill(w.notes.qp, 0, piece, 50, &why), RVT_RESPONSE_DONE);
    VERB(&w, CHECK_EQ(rvt_dereg_mr(w.local.mr, RVT_RELEASE), 0));
    CHECK_EQ(state_now(&w), RVT_QPS_ERR);
    VERB(&w, WC(w.qp.rcq, .wr_id = WR_ID, .qp_num = w.qp.qpn, .opcode = RVT_WC_OPCODE_RECV,
                .status = RVT_WC_STATUS_LOC_PROT_ERR, .cause = RVT_WHY_REGION_RELEASED));
    close_world(&w);
}

static void a_key_is_invalidated_for_the_peer(void) {
    struct world w;
    struct rvt_why why;
    REQUIRE(open_world(&w, ALL_ACCESS));
    CHECK(!rvt_carrier_invalidate(w.notes.qp, w.remote.key ^ 0x100000));
    CHECK(rvt_carrier_invalidate(w.notes.qp, w.remote.key));
    CHECK_EQ(state_now(&w), RVT_QPS_RTS);
    struct rvt_carried_access access = ask(&w.remote, 0, 8, false);
    CHECK_EQ(rvt_carrier_write(w.notes.qp, &access, piece, 8, &why), RVT_RESPONSE_ACCESS);
    CHECK_EQ(why.refused.reason, RVT_INVALIDATED);
    close_world(&w);
}

static void packets_that_do_not_fit_are_invalid(void) {
    struct world w;
    struct rvt_why why;
    REQUIRE(open_world(&w, ALL_ACCESS));
    CHECK_EQ(rvt_carrier_invalid(w.notes.qp, &why), RVT_RESPONSE_INVALID);
    CHECK_EQ(why.cause, RVT_WHY_BAD_PACKET);
    CHECK_EQ(state_now(&w), RVT_QPS_ERR);
    close_world(&w);
}

CHECK_MAIN(TEST(a_carrier_is_set_in_reset_and_init_only),
           TEST(a_number_that_could_be_foretold_is_refused_where_that_matters),
           TEST(a_carrier_without_memory_leaves_the_queue_pair_to_loopback),
           TEST(loopback_does_not_reach_a_queue_pair_of_another_carrier),
           TEST(a_carrier_finds_its_own_queue_pairs_past_reset), TEST(a_carrier_limits_the_reads_of_a_peer),
           TEST(a_carrier_is_told_of_every_change_of_state),
           TEST(unsetting_returns_the_queue_pair_to_loopback_in_error),
           TEST(work_requests_are_read_and_completed_in_order),
           TEST(a_failed_work_request_flushes_the_others), TEST(pieces_of_a_message_cross_elements),
           TEST(bytes_that_cannot_be_resolved_are_refused), TEST(accepted_accesses_move_bytes_in_pieces),
           TEST(refused_accesses_say_why_and_put_the_queue_pair_into_error),
           TEST(missing_flags_of_the_queue_pair_are_invalid_requests),
           TEST(a_region_that_ends_between_two_packets_is_refused_at_the_second),
           TEST(empty_ranges_need_no_key_but_the_flags), TEST(an_atomic_needs_an_aligned_address),
           TEST(a_message_fills_a_receive_piece_by_piece),
           TEST(a_message_that_is_too_long_for_its_receive_is_invalid),
           TEST(a_region_of_the_receive_in_hand_can_be_deregistered), TEST(a_key_is_invalidated_for_the_peer),
           TEST(packets_that_do_not_fit_are_invalid))
