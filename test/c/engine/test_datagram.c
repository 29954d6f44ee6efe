/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams: delivery, everything that drops them, and the receive that stays in hand. */
#include "verbs.h"

enum { GRH = 40, QKEY = 0x11 };

static alignas(4096) unsigned char from_bytes[PAGE], to_bytes[2 * PAGE];

struct net {
    struct verbs v;
    struct vqp a, b;
    struct vmr from, to;
    struct rvt_ah_handle ah;
};

static bool open_net(struct net *n, const struct rvt_qp_init *init_b) {
    memset(n, 0, sizeof(*n));
    if (!verbs_open(&n->v, AT_ONCE))
        return false;
    n->a = make_qp(&n->v, RVT_QPT_UD);
    struct rvt_qp_init init = init_b ? *init_b : (struct rvt_qp_init){0};
    init.type = RVT_QPT_UD;
    n->b = make_qp_with(&n->v, n->v.pd, init);
    connect_qp(&n->a, 0);
    connect_qp(&n->b, 0);
    count_up(from_bytes, PAGE, 1);
    memset(to_bytes, 0xee, sizeof(to_bytes));
    n->from = make_mr(&n->v, from_bytes, PAGE);
    n->to = make_mr(&n->v, to_bytes, 2 * PAGE);
    CHECK_EQ(rvt_create_ah(n->v.pd, &(struct rvt_ah_attr){.dlid = 9, .sl = 6, .port = 1}, &n->ah), 0);
    return true;
}

static void close_net(struct net *n) {
    AT_REST(n->from);
    AT_REST(n->to);
    NO_EVENT(&n->v);
    NO_WC(n->a.scq);
    NO_WC(n->a.rcq);
    NO_WC(n->b.scq);
    NO_WC(n->b.rcq);
    verbs_close(&n->v);
}

static struct rvt_send_wr message(const struct net *n, const struct rvt_ib_sge *sge) {
    return SEND_WR(.wr_id = 7, .opcode = RVT_WR_SEND, .sges = sge, .num_sge = sge != NULL, .ah = &n->ah,
                   .remote_qpn = n->b.qpn, .remote_qkey = QKEY);
}

static void give_receive(const struct net *n, uint64_t wr_id, uint32_t length) {
    const struct rvt_ib_sge room = sge_at(&n->to, 0, length);
    CHECK_EQ(post_receive(&n->b, wr_id, &room, 1), 0);
}

static void sent(const struct net *n, uint32_t length) {
    WC(n->a.scq, .wr_id = 7, .qp_num = n->a.qpn, .byte_len = length);
}

static void received(const struct net *n, uint64_t wr_id, uint32_t length) {
    WC(n->b.rcq, .wr_id = wr_id, .qp_num = n->b.qpn, .src_qp = n->a.qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = length + GRH, .slid = 1, .sl = 6, .port = 1);
}

static void messages_arrive_behind_the_room_for_a_header(void) {
    static const uint32_t lengths[] = {0, 1, 100, 4096};
    for (int i = 0; i < 4; i++) {
        struct net n;
        REQUIRE(open_net(&n, NULL));
        /* Two elements; the header's room ends inside the first or the second. */
        for (uint32_t first = 10; first <= 90; first += 20) {
            const struct rvt_ib_sge room[] = {
                sge_at(&n.to, 0, first),
                sge_at(&n.to, 1000, lengths[i] + GRH < first ? 0 : lengths[i] + GRH - first)};
            const struct rvt_ib_sge sge = sge_at(&n.from, 0, lengths[i]);
            memset(to_bytes, 0xee, sizeof(to_bytes));
            CHECK_EQ(post_receive(&n.b, 3, room, 2), 0);
            CHECK_EQ(post(&n.a, message(&n, &sge)), 0);
            received(&n, 3, lengths[i]);
            sent(&n, lengths[i]);
            for (uint32_t k = 0; k < GRH; k++)
                CHECK_EQ(to_bytes[k < first ? k : 1000 + k - first], 0xee);
            for (uint32_t k = 0; k < lengths[i]; k++) {
                const uint32_t at = GRH + k;
                CHECK_EQ(to_bytes[at < first ? at : 1000 + at - first], from_bytes[k]);
            }
        }
        close_net(&n);
    }
}

static void immediate_data_and_solicited_events(void) {
    struct net n;
    REQUIRE(open_net(&n, NULL));
    for (uint32_t solicited = 0; solicited < 2; solicited++) {
        struct rvt_send_wr wr = message(&n, NULL);
        wr.opcode = RVT_WR_SEND_WITH_IMM;
        wr.imm = 0xabcd;
        wr.flags |= solicited * RVT_SEND_SOLICITED;
        CHECK_EQ(rvt_req_notify_cq(n.b.rcq, RVT_NOTIFY_SOLICITED), 0);
        give_receive(&n, 1, GRH);
        CHECK_EQ(post(&n.a, wr), 0);
        WC(n.b.rcq, .wr_id = 1, .qp_num = n.b.qpn, .src_qp = n.a.qpn, .opcode = RVT_WC_OPCODE_RECV,
           .byte_len = GRH, .flags = RVT_WC_WITH_IMM, .imm_or_inv = 0xabcd, .slid = 1, .sl = 6, .port = 1);
        sent(&n, 0);
        if (solicited)
            EVENT(&n.v, RVT_EVENT_COMPLETION, cq_serial(n.b.rcq));
        NO_EVENT(&n.v);
    }
    close_net(&n);
}

/* Whatever becomes of a message, the sender sees success. */
static void dropped_messages_succeed(void) {
    enum {
        NOBODY,
        OWN_NUMBER_0,
        RC_PEER,
        IN_INIT,
        IN_ERR,
        IN_RESET,
        QKEY_DIFFERS,
        OWN_QKEY_DIFFERS,
        NO_RECEIVE,
        WAYS
    };
    for (int way = 0; way < WAYS; way++) {
        struct net n;
        REQUIRE(open_net(&n, NULL));
        struct vqp rc = make_qp(&n.v, RVT_QPT_RC);
        connect_qp(&rc, 2);
        if (way != NO_RECEIVE)
            give_receive(&n, 1, PAGE);
        struct rvt_send_wr wr = message(&n, NULL);
        if (way == NOBODY)
            wr.remote_qpn = 999;
        if (way == OWN_NUMBER_0)
            wr.remote_qpn = 0;
        if (way == RC_PEER)
            wr.remote_qpn = rc.qpn;
        if (way == IN_ERR)
            CHECK_EQ(move_qp(&n.b, usual_attr(0), RVT_QPS_ERR), 0);
        if (way == IN_INIT || way == IN_RESET)
            CHECK_EQ(move_qp(&n.b, usual_attr(0), RVT_QPS_RESET), 0);
        if (way == IN_INIT)
            CHECK_EQ(move_qp(&n.b, usual_attr(0), RVT_QPS_INIT), 0);
        if (way == QKEY_DIFFERS)
            wr.remote_qkey = QKEY + 1;
        if (way == OWN_QKEY_DIFFERS) { /* the highest bit stands for the sender's own Q_Key */
            struct rvt_qp_attr attr = {.qkey = QKEY + 1};
            CHECK_EQ(rvt_modify_qp(n.a.handle, &attr, RVT_QPA_QKEY), 0);
            wr.remote_qkey = 0x80000000 | QKEY;
        }
        CHECK_EQ(post(&n.a, wr), 0);
        sent(&n, 0);
        if (way == IN_ERR)
            WC(n.b.rcq, .wr_id = 1, .qp_num = n.b.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
               .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
        else
            CHECK_EQ(query_qp(&n.b).receives, way != NO_RECEIVE);
        close_net(&n);
    }
}

static void the_senders_own_qkey_is_used_for_high_qkeys(void) {
    struct net n;
    REQUIRE(open_net(&n, NULL));
    struct rvt_send_wr wr = message(&n, NULL);
    wr.remote_qkey = 0x80000000;
    give_receive(&n, 1, GRH);
    CHECK_EQ(post(&n.a, wr), 0);
    received(&n, 1, 0);
    sent(&n, 0);
    close_net(&n);
}

static void the_states_of_a_receiver(void) {
    for (enum rvt_qp_state state = RVT_QPS_RTR; state <= RVT_QPS_SQD; state++) {
        struct net n;
        REQUIRE(open_net(&n, NULL));
        CHECK_EQ(move_qp(&n.b, usual_attr(0), RVT_QPS_RESET), 0);
        bring_to(&n.b, usual_attr(0), state);
        give_receive(&n, 1, GRH);
        CHECK_EQ(post(&n.a, message(&n, NULL)), 0);
        received(&n, 1, 0);
        sent(&n, 0);
        close_net(&n);
    }
}

/* A sender in SQD waits; in ERR its messages are flushed. */
static void the_states_of_a_sender(void) {
    struct net n;
    REQUIRE(open_net(&n, NULL));
    give_receive(&n, 1, GRH);
    CHECK_EQ(move_qp(&n.a, usual_attr(0), RVT_QPS_SQD), 0);
    CHECK_EQ(post(&n.a, message(&n, NULL)), 0);
    NO_WC(n.a.scq);
    struct rvt_qp_attr attr = {.state = RVT_QPS_RTS};
    CHECK_EQ(rvt_modify_qp(n.a.handle, &attr, RVT_QPA_STATE), 0);
    NO_WC(n.a.scq);
    CHECK_EQ(rvt_kick_qp(n.a.handle), 0);
    received(&n, 1, 0);
    sent(&n, 0);
    CHECK_EQ(move_qp(&n.a, attr, RVT_QPS_ERR), 0);
    CHECK_EQ(post(&n.a, message(&n, NULL)), 0);
    WC(n.a.scq, .wr_id = 7, .qp_num = n.a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
       .cause = RVT_WHY_FLUSHED);
    close_net(&n);
}

/* The address handle may be destroyed while the message is queued. */
static void the_address_is_copied_while_posting(void) {
    struct net n;
    REQUIRE(open_net(&n, NULL));
    give_receive(&n, 1, GRH);
    CHECK_EQ(move_qp(&n.a, usual_attr(0), RVT_QPS_SQD), 0);
    CHECK_EQ(post(&n.a, message(&n, NULL)), 0);
    CHECK_EQ(rvt_destroy_ah(n.ah), 0);
    struct rvt_qp_attr attr = {.state = RVT_QPS_RTS};
    CHECK_EQ(rvt_modify_qp(n.a.handle, &attr, RVT_QPA_STATE), 0);
    CHECK_EQ(rvt_kick_qp(n.a.handle), 0);
    received(&n, 1, 0);
    sent(&n, 0);
    close_net(&n);
}

/* A receive that is too small stays in hand, with its references, and blocks all messages that do not fit. */
static void a_receive_that_is_too_small_stays_in_hand(void) {
    struct net n;
    REQUIRE(open_net(&n, NULL));
    const struct rvt_ib_sge big = sge_at(&n.from, 0, 11), fits = sge_at(&n.from, 0, 10);
    give_receive(&n, 1, GRH + 10);
    give_receive(&n, 2, PAGE);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(post(&n.a, message(&n, &big)), 0);
        sent(&n, 11);
        NO_WC(n.b.rcq);
        CHECK_EQ(query_qp(&n.b).receives, 1);
        CHECK_EQ(fixture_query(n.to.mr).refs, 3);
    }
    CHECK_EQ(post(&n.a, message(&n, &fits)), 0);
    received(&n, 1, 10);
    sent(&n, 10);
    AT_REST(n.to);
    CHECK_EQ(post(&n.a, message(&n, &big)), 0);
    received(&n, 2, 11);
    sent(&n, 11);
    close_net(&n);
}

/* What ends a receive in hand: an error completes it first, with the error's status; a reset drops it. */
static void a_receive_in_hand_ends(void) {
    enum { ERROR, DEREG, RESET, DESTROY, SEND_CQ_FULL, DEREG_BY_FORCE, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct net n;
        REQUIRE(open_net(&n, NULL));
        static unsigned char other[64];
        struct vmr room = make_mr(&n.v, other, sizeof(other));
        const struct rvt_ib_sge small = sge_at(&room, 0, GRH);
        CHECK_EQ(post_receive(&n.b, 1, &small, 1), 0);
        give_receive(&n, 2, PAGE);
        const struct rvt_ib_sge sge = sge_at(&n.from, 0, 8);
        CHECK_EQ(post(&n.a, message(&n, &sge)), 0);
        sent(&n, 8);
        CHECK_EQ(fixture_query(room.mr).refs, 3);
        uint32_t status = RVT_WC_STATUS_WR_FLUSH_ERR, cause = RVT_WHY_FLUSHED;
        switch (way) {
        case ERROR:
            CHECK_EQ(move_qp(&n.b, usual_attr(0), RVT_QPS_ERR), 0);
            break;
        case DEREG:
        case DEREG_BY_FORCE:
            CHECK_EQ(rvt_dereg_mr(room.mr, way == DEREG ? RVT_RELEASE : RVT_RELEASE_FORCE), 0);
            status = RVT_WC_STATUS_LOC_PROT_ERR;
            cause = RVT_WHY_REGION_RELEASED;
            break;
        case RESET:
            CHECK_EQ(move_qp(&n.b, usual_attr(0), RVT_QPS_RESET), 0);
            CHECK_EQ(query_qp(&n.b).receives, 1); /* posted ones stay */
            break;
        case DESTROY:
            CHECK_EQ(rvt_destroy_qp(n.b.handle), 0);
            break;
        default:
            CHECK_EQ(rvt_resize_cq(n.b.scq, 1), 0);
            for (int i = 0; i < 2; i++) {
                struct rvt_send_wr wr = message(&n, NULL);
                wr.remote_qpn = 999;
                CHECK_EQ(post(&n.b, wr), 0);
            }
            EVENT(&n.v, RVT_EVENT_CQ_ERR, cq_serial(n.b.scq));
            WC(n.b.scq, .wr_id = 7, .qp_num = n.b.qpn);
            status = RVT_WC_STATUS_LOC_QP_OP_ERR;
            cause = RVT_WHY_CQ_FULL;
        }
        if (way != RESET && way != DESTROY) {
            WC(n.b.rcq, .wr_id = 1, .qp_num = n.b.qpn, .status = status, .opcode = RVT_WC_OPCODE_RECV,
               .cause = cause);
            WC(n.b.rcq, .wr_id = 2, .qp_num = n.b.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
               .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_FLUSHED);
            CHECK_EQ(state_of(&n.b), RVT_QPS_ERR);
        }
        if (way == DEREG || way == DEREG_BY_FORCE)
            CHECK(fixture_dead(room.mr));
        else
            AT_REST(room);
        if (way == RESET) { /* the next receive is used */
            connect_qp(&n.b, 0);
            CHECK_EQ(post(&n.a, message(&n, &sge)), 0);
            received(&n, 2, 8);
            sent(&n, 8);
        }
        close_net(&n);
    }
}

/* As in the kernel, a region of another domain, held by a receive of a shared queue, is not looked for. */
static void a_receive_in_hand_of_another_domain_keeps_its_region(void) {
    static unsigned char other[64];
    struct net n;
    struct rvt_srq_handle srq;
    struct rvt_qp_init init = {.srq = &srq};
    REQUIRE(open_net(&n, NULL));
    srq = make_srq_in(&n.v, n.v.other_pd, 4, 1, 0);
    init.type = RVT_QPT_UD;
    struct vqp c = make_qp_with(&n.v, n.v.pd, init);
    connect_qp(&c, 0);
    struct vmr room = make_mr_in(n.v.other_pd, other, sizeof(other), LOCAL_WRITE);
    const struct rvt_ib_sge small = sge_at(&room, 0, GRH), sge = sge_at(&n.from, 0, 8);
    CHECK_EQ(rvt_post_srq_recv(srq, &(struct rvt_recv_wr){1, &small, 1}, 1, NULL), 0);
    struct rvt_send_wr wr = message(&n, &sge);
    wr.remote_qpn = c.qpn;
    CHECK_EQ(post(&n.a, wr), 0);
    sent(&n, 8);
    FAILS_WITH(rvt_dereg_mr(room.mr, RVT_RELEASE), RVT_EBUSY, RVT_CAUSE_REGION_HELD, 1, 0, 0);
    CHECK_EQ(state_of(&c), RVT_QPS_RTS);
    CHECK_EQ(move_qp(&c, usual_attr(0), RVT_QPS_ERR), 0);
    EVENT(&n.v, RVT_EVENT_LAST_WQE, c.serial);
    WC(c.rcq, .wr_id = 1, .qp_num = c.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR, .opcode = RVT_WC_OPCODE_RECV,
       .cause = RVT_WHY_FLUSHED);
    CHECK_EQ(rvt_dereg_mr(room.mr, RVT_RELEASE), 0);
    close_net(&n);
}

static void a_receive_with_a_bad_key_fails_the_receiver_alone(void) {
    for (int shared = 0; shared < 2; shared++) {
        struct net n;
        REQUIRE(open_net(&n, NULL));
        struct rvt_srq_handle srq = make_srq(&n.v, 4, 2, 0);
        struct vqp c =
            make_qp_with(&n.v, n.v.pd, (struct rvt_qp_init){.type = RVT_QPT_UD, .srq = shared ? &srq : NULL});
        connect_qp(&c, 0);
        const struct rvt_ib_sge bad[] = {sge_at(&n.to, 0, 8), {n.to.addr, PAGE, n.to.key ^ 1}};
        const struct rvt_recv_wr wr = {1, bad, 2};
        CHECK_EQ(shared ? rvt_post_srq_recv(srq, &wr, 1, NULL) : rvt_post_recv(c.handle, &wr, 1, NULL), 0);
        struct rvt_send_wr send = message(&n, NULL);
        send.remote_qpn = c.qpn;
        CHECK_EQ(post(&n.a, send), 0);
        sent(&n, 0);
        WC(c.rcq, .wr_id = 1, .qp_num = c.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR,
           .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_RECEIVE_REFUSED, .refused.reason = RVT_STALE_KEY);
        CHECK_EQ(state_of(&c), RVT_QPS_ERR);
        CHECK_EQ(state_of(&n.a), RVT_QPS_RTS);
        if (shared)
            EVENT(&n.v, RVT_EVENT_LAST_WQE, c.serial);
        close_net(&n);
    }
}

static void a_full_receive_queue_fails_the_receiver_alone(void) {
    struct net n;
    REQUIRE(open_net(&n, NULL));
    CHECK_EQ(rvt_resize_cq(n.b.rcq, 1), 0);
    give_receive(&n, 1, GRH);
    give_receive(&n, 2, GRH);
    CHECK_EQ(post(&n.a, message(&n, NULL)), 0);
    CHECK_EQ(post(&n.a, message(&n, NULL)), 0);
    sent(&n, 0);
    sent(&n, 0);
    EVENT(&n.v, RVT_EVENT_CQ_ERR, cq_serial(n.b.rcq));
    CHECK_EQ(state_of(&n.b), RVT_QPS_ERR);
    received(&n, 1, 0);
    close_net(&n);
}

static void a_queue_pair_can_send_to_itself(void) {
    struct net n;
    REQUIRE(open_net(&n, NULL));
    const struct rvt_ib_sge room = sge_at(&n.to, 0, 100), sge = sge_at(&n.from, 0, 60);
    CHECK_EQ(post_receive(&n.a, 1, &room, 1), 0);
    struct rvt_send_wr wr = message(&n, &sge);
    wr.remote_qpn = n.a.qpn;
    CHECK_EQ(post(&n.a, wr), 0);
    WC(n.a.rcq, .wr_id = 1, .qp_num = n.a.qpn, .src_qp = n.a.qpn, .opcode = RVT_WC_OPCODE_RECV,
       .byte_len = 100, .slid = 1, .sl = 6, .port = 1);
    sent(&n, 60);
    CHECK_BYTES_EQ(to_bytes + GRH, from_bytes, 60);
    close_net(&n);
}

/* Memory whose bytes cannot be resolved drops the message (the sender's), or fails the receiver. */
static enum rvt_reason resolve_nothing(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)memory;
    (void)environment;
    (void)data;
    return RVT_MEMORY_DETACHED;
}

static void release_nothing(struct rvt_memory *memory) {
    (void)memory;
}

static void bytes_that_cannot_be_resolved(void) {
    static const struct rvt_memory_ops ops = {.resolve = resolve_nothing, .release = release_nothing};
    for (int own = 0; own < 2; own++) {
        struct net n;
        struct rvt_memory memory;
        struct rvt_mr_handle lost = {0};
        REQUIRE(open_net(&n, NULL));
        rvt_memory_init(&memory, &ops, PAGE);
        CHECK_EQ(rvt_reg_user_mr(n.v.pd, &memory, 0x10000, 0x10000, ALL_ACCESS, &lost), 0);
        const struct rvt_ib_sge gone = {0x10000, 100, fixture_key(lost)}, there = sge_at(&n.from, 0, 8),
                                room = sge_at(&n.to, 0, 200);
        CHECK_EQ(post_receive(&n.b, 1, own ? &room : &gone, 1), 0);
        CHECK_EQ(post(&n.a, message(&n, own ? &gone : &there)), 0);
        sent(&n, own ? 100 : 8);
        if (own) {
            CHECK_EQ(query_qp(&n.b).receives, 1);
        } else {
            WC(n.b.rcq, .wr_id = 1, .qp_num = n.b.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR,
               .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_RECEIVE_REFUSED,
               .refused.reason = RVT_MEMORY_DETACHED);
            CHECK_EQ(state_of(&n.b), RVT_QPS_ERR);
        }
        CHECK_EQ(fixture_query(lost).refs, 2);
        close_net(&n);
    }
}

/* A receive that stayed in hand, and whose bytes cannot be resolved when a message fits into it. Everything that
 * the completion reports is set: its cause has no value. */
static void a_receive_in_hand_whose_bytes_cannot_be_resolved(void) {
    static const struct rvt_memory_ops ops = {.resolve = resolve_nothing, .release = release_nothing};
    struct net n;
    struct rvt_memory memory;
    struct rvt_mr_handle lost = {0};
    REQUIRE(open_net(&n, NULL));
    rvt_memory_init(&memory, &ops, PAGE);
    CHECK_EQ(rvt_reg_user_mr(n.v.pd, &memory, 0x10000, 0x10000, ALL_ACCESS, &lost), 0);
    const struct rvt_ib_sge gone = {0x10000, 100, fixture_key(lost)}, big = sge_at(&n.from, 0, 200),
                            fits = sge_at(&n.from, 0, 8);
    CHECK_EQ(post_receive(&n.b, 1, &gone, 1), 0);
    CHECK_EQ(post(&n.a, message(&n, &big)), 0);
    sent(&n, 200);
    NO_WC(n.b.rcq);
    CHECK_EQ(post(&n.a, message(&n, &fits)), 0);
    sent(&n, 8);
    WC(n.b.rcq, .wr_id = 1, .qp_num = n.b.qpn, .status = RVT_WC_STATUS_LOC_PROT_ERR,
       .opcode = RVT_WC_OPCODE_RECV, .cause = RVT_WHY_RECEIVE_REFUSED, .refused.reason = RVT_MEMORY_DETACHED);
    CHECK_EQ(state_of(&n.b), RVT_QPS_ERR);
    close_net(&n);
}

/* A message from a region of pages, of which one lost its DMA mapping: it is dropped before a receive is taken. */
static void a_message_from_a_region_that_lost_a_page_is_dropped(void) {
    struct net n;
    struct rvt_ucontext *context, *keeper;
    struct rvt_dma_handle mapping;
    struct rvt_sg_outcome outcome;
    struct rvt_mr_handle pages = {0};
    REQUIRE(open_net(&n, NULL));
    struct rvt_reader *reader = rvt_reader_register();
    CHECK_EQ(rvt_alloc_ucontext(n.v.device, reader, &keeper), 0);
    CHECK_EQ(rvt_alloc_ucontext(n.v.device, reader, &context), 0);
    struct rvt_memory *memory = rvt_fixed_memory(from_bytes, PAGE);
    uint64_t first = 0x100000, second = 0x200000;
    CHECK_EQ(rvt_dma_map(n.v.device, NULL, memory, true, &first, &mapping), 0);
    CHECK_EQ(rvt_dma_map(n.v.device, context, memory, true, &second, &mapping), 0);
    rvt_memory_put(memory);
    CHECK_EQ(rvt_alloc_mr(n.v.pd, RVT_MR_TYPE_MEM_REG, 2, &pages), 0);
    CHECK_EQ(
        rvt_map_mr_sg(pages, (struct rvt_sg_element[]){{first, PAGE}, {second, PAGE}}, 2, 0, PAGE, &outcome),
        2);
    const struct rvt_ib_sge sge = {outcome.iova + PAGE - 10, 20, fixture_key(pages)};
    give_receive(&n, 1, 200);
    CHECK_EQ(move_qp(&n.a, usual_attr(0), RVT_QPS_SQD), 0);
    CHECK_EQ(post(&n.a, message(&n, &sge)), 0);
    CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
    const struct rvt_qp_attr attr = {.state = RVT_QPS_RTS};
    CHECK_EQ(rvt_modify_qp(n.a.handle, &attr, RVT_QPA_STATE), 0);
    CHECK_EQ(rvt_kick_qp(n.a.handle), 0);
    sent(&n, 20);
    NO_WC(n.b.rcq);
    CHECK_EQ(query_qp(&n.b).receives, 1);
    const struct rvt_ib_sge good = sge_at(&n.from, 0, 20);
    CHECK_EQ(post(&n.a, message(&n, &good)), 0);
    received(&n, 1, 20);
    sent(&n, 20);
    CHECK_EQ(fixture_query(pages).refs, 2);
    AT_REST(n.from);
    AT_REST(n.to);
    CHECK_EQ(rvt_dealloc_ucontext(keeper, true), 0);
    rvt_free_ucontext(context);
    rvt_free_ucontext(keeper);
    rvt_reader_unregister(reader);
    verbs_close(&n.v);
}

CHECK_MAIN(TEST(messages_arrive_behind_the_room_for_a_header), TEST(immediate_data_and_solicited_events),
           TEST(dropped_messages_succeed), TEST(the_senders_own_qkey_is_used_for_high_qkeys),
           TEST(the_states_of_a_receiver), TEST(the_states_of_a_sender),
           TEST(the_address_is_copied_while_posting), TEST(a_receive_that_is_too_small_stays_in_hand),
           TEST(a_receive_in_hand_ends), TEST(a_receive_in_hand_of_another_domain_keeps_its_region),
           TEST(a_receive_with_a_bad_key_fails_the_receiver_alone),
           TEST(a_full_receive_queue_fails_the_receiver_alone), TEST(a_queue_pair_can_send_to_itself),
           TEST(bytes_that_cannot_be_resolved), TEST(a_receive_in_hand_whose_bytes_cannot_be_resolved),
           TEST(a_message_from_a_region_that_lost_a_page_is_dropped))
