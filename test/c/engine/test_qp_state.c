/* SPDX-License-Identifier: BSD-3-Clause */
/* Errors and resets of queue pairs: what completes in which order, what stays, and what they do to a request that
 * another thread is carrying out. */
#include "core/engine/qp_state.h"

#include <pthread.h>

#include "core/engine/engine_state.h"
#include "verbs.h"

static alignas(4096) unsigned char bytes[PAGE];

#define FLUSHED(cq, qp, id, wc_opcode)                                                                       \
    WC(cq, .wr_id = (id), .qp_num = (qp).qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR, .opcode = (wc_opcode),   \
       .cause = RVT_WHY_FLUSHED)

static void an_error_flushes_receives_then_sends(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct vmr mr = make_mr(&v, bytes, PAGE);
    struct rvt_cq_handle cq = make_cq(&v, 32);
    struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = cq, .recv_cq = cq});
    connect_qp(&a, a.qpn);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
    CHECK_EQ(post_receive(&a, 1, &sge, 1), 0);
    CHECK_EQ(post_receive(&a, 2, &sge, 1), 0);
    AT_REST(mr); /* posted receives hold nothing */
    static const uint32_t opcodes[] = {RVT_WR_SEND, RVT_WR_RDMA_WRITE, RVT_WR_RDMA_READ,
                                       RVT_WR_ATOMIC_CMP_AND_SWP, RVT_WR_ATOMIC_FETCH_AND_ADD};
    for (uint64_t i = 0; i < 5; i++) /* unsignaled: flushed ones complete nevertheless */
        CHECK_EQ(post(&a, PLAIN_WR(.wr_id = 10 + i, .opcode = opcodes[i], .sges = &sge, .num_sge = 1)), 0);
    CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_ERR), 0);
    FLUSHED(cq, a, 1, RVT_WC_OPCODE_RECV);
    FLUSHED(cq, a, 2, RVT_WC_OPCODE_RECV);
    NO_WC(cq); /* the sends when the engine comes to them */
    CHECK_EQ(fixture_query(mr.mr).refs, 2 + 5);
    CHECK_EQ(post_receive(&a, 3, NULL, 0), 0);
    FLUSHED(cq, a, 3, RVT_WC_OPCODE_RECV);
    run_engine(&v);
    AT_REST(mr);
    static const uint32_t wc_opcodes[] = {RVT_WC_OPCODE_SEND, RVT_WC_OPCODE_RDMA_WRITE,
                                          RVT_WC_OPCODE_RDMA_READ, RVT_WC_OPCODE_COMP_SWAP,
                                          RVT_WC_OPCODE_FETCH_ADD};
    for (uint64_t i = 0; i < 5; i++)
        WC(cq, .wr_id = 10 + i, .qp_num = a.qpn, .status = RVT_WC_STATUS_WR_FLUSH_ERR,
           .opcode = wc_opcodes[i], .byte_len = 8, .cause = RVT_WHY_FLUSHED);
    NO_WC(cq);
    /* ERR -> ERR does nothing. */
    CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_ERR), 0);
    NO_WC(cq);
    NO_EVENT(&v);
    verbs_close(&v);
}

static void an_error_with_a_shared_receive_queue_reports_last_wqe(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, MANUAL));
    struct rvt_srq_handle srq = make_srq(&v, 4, 1, 0);
    CHECK_EQ(rvt_post_srq_recv(srq, &(struct rvt_recv_wr){1, NULL, 0}, 1, NULL), 0);
    struct vqp a = make_qp_with(&v, v.pd, (struct rvt_qp_init){.srq = &srq});
    connect_qp(&a, a.qpn);
    CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_ERR), 0);
    EVENT(&v, RVT_EVENT_LAST_WQE, a.serial);
    CHECK_PTR_EQ(v.events[0].user, &v);
    CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_ERR), 0);
    NO_EVENT(&v);
    CHECK_EQ(query_srq(srq).held, 1);
    NO_WC(a.rcq);
    verbs_close(&v);
}

static void a_reset_drops_sends_and_keeps_receives(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, MANUAL));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct vmr mr = make_mr(&v, bytes, PAGE);
    count_up(bytes, PAGE, 3);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, 8), room = sge_at(&mr, 100, 8);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 1, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    CHECK_EQ(post_receive(&a, 2, &room, 1), 0);
    CHECK_EQ(move_qp(&a, usual_attr(0), RVT_QPS_RESET), 0);
    AT_REST(mr);
    struct rvt_qp_query query = query_qp(&a);
    CHECK_EQ(query.sends, 0);
    CHECK_EQ(query.receives, 1);
    run_engine(&v); /* it is not ready any more */
    NO_WC(a.scq);
    NO_WC(a.rcq);
    /* It is no destination. */
    CHECK_EQ(post(&b, SEND_WR(.wr_id = 3, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    run_engine(&v);
    WC(b.scq, .wr_id = 3, .qp_num = b.qpn, .status = RVT_WC_STATUS_RETRY_EXC_ERR, .byte_len = 8,
       .cause = RVT_WHY_NO_PEER);
    /* Up again, the receive is used. */
    connect_qp(&a, b.qpn);
    CHECK_EQ(move_qp(&b, usual_attr(0), RVT_QPS_RESET), 0);
    connect_qp(&b, a.qpn);
    CHECK_EQ(post(&b, SEND_WR(.wr_id = 4, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    run_engine(&v);
    WC(a.rcq, .wr_id = 2, .qp_num = a.qpn, .src_qp = b.qpn, .opcode = RVT_WC_OPCODE_RECV, .byte_len = 8,
       .slid = 7, .sl = 5, .port = 1);
    CHECK_BYTES_EQ(bytes + 100, bytes, 8);
    AT_REST(mr);
    verbs_close(&v);
}

/* 17 receives, one taken, an error, a reset, up again: no receive is left (the kernel trusts an old count). */
static void no_flushed_receive_comes_back(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct vqp a = make_qp(&v, RVT_QPT_UC);
    struct vqp b = make_qp_with(&v, v.pd, (struct rvt_qp_init){.type = RVT_QPT_UC, .max_recv_wr = 20});
    connect_qp(&a, b.qpn);
    connect_qp(&b, a.qpn);
    for (uint64_t i = 0; i < 17; i++)
        CHECK_EQ(post_receive(&b, i, NULL, 0), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(move_qp(&b, usual_attr(0), RVT_QPS_ERR), 0);
    struct rvt_wc wcs[20];
    CHECK_EQ(rvt_poll_cq(b.rcq, 20, wcs), 17);
    for (uint64_t i = 0; i < 17; i++)
        CHECK_EQ(wcs[i].wr_id, i);
    CHECK_EQ(move_qp(&b, usual_attr(0), RVT_QPS_RESET), 0);
    connect_qp(&b, a.qpn);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 5, .opcode = RVT_WR_SEND)), 0);
    NO_WC(b.rcq);
    WC(a.scq, .qp_num = a.qpn);
    WC(a.scq, .wr_id = 5, .qp_num = a.qpn, .cause = RVT_WHY_NO_RECEIVE);
    verbs_close(&v);
}

/* sq_draining is a snapshot: 1 if the head of the send queue had been started when SQD was set. */
static void sq_draining_tells_whether_the_head_was_started(void) {
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct rvt_qp_attr attr = usual_attr(0);
    CHECK_EQ(move_qp(&a, attr, RVT_QPS_SQD), 0);
    CHECK_EQ(query_qp(&a).sq_draining, false);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0); /* queued, not started */
    CHECK_EQ(move_qp(&a, attr, RVT_QPS_SQD), 0);
    CHECK_EQ(query_qp(&a).sq_draining, false);
    attr.state = RVT_QPS_RTS;
    CHECK_EQ(rvt_modify_qp(a.handle, &attr, RVT_QPA_STATE), 0);
    CHECK_EQ(rvt_kick_qp(a.handle), 0); /* started: it waits for a receive */
    CHECK_EQ(query_qp(&a).sq_draining, false);
    CHECK_EQ(move_qp(&a, attr, RVT_QPS_SQD), 0);
    CHECK_EQ(query_qp(&a).sq_draining, true);
    attr.state = RVT_QPS_RTS;
    CHECK_EQ(rvt_modify_qp(a.handle, &attr, RVT_QPA_STATE), 0);
    CHECK_EQ(query_qp(&a).sq_draining, true); /* changes nowhere else */
    CHECK_EQ(post_receive(&b, 1, NULL, 0), 0);
    CHECK_EQ(rvt_fire_timers(v.device, NULL, NULL), 1);
    WC(a.scq, .qp_num = a.qpn);
    CHECK_EQ(query_qp(&a).sq_draining, true);
    CHECK_EQ(move_qp(&a, attr, RVT_QPS_SQD), 0);
    CHECK_EQ(query_qp(&a).sq_draining, false);
    attr.state = RVT_QPS_RTS;
    CHECK_EQ(rvt_modify_qp(a.handle, &attr, RVT_QPA_STATE), 0);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND)), 0);
    CHECK_EQ(move_qp(&a, attr, RVT_QPS_SQD), 0);
    CHECK_EQ(rvt_modify_qp(a.handle, &attr, 0), 0); /* SQD -> SQD computes it anew */
    CHECK_EQ(query_qp(&a).sq_draining, true);
    CHECK_EQ(move_qp(&a, attr, RVT_QPS_RESET), 0);
    CHECK_EQ(query_qp(&a).sq_draining, false);
    verbs_close(&v);
}

/* --- stopped between two steps --- */

enum { STEPS = 64, LONG = STEPS * RVT_SECTION_BYTES };
static unsigned char source_bytes[LONG], target_bytes[LONG];

enum verb {
    REQUESTER_ERR,
    REQUESTER_RESET,
    REQUESTER_DESTROYED,
    RESPONDER_ERR,
    RESPONDER_RESET,
    RESPONDER_DESTROYED,
    SOURCE_DEREG,
    SOURCE_FORCED,
    TARGET_DEREG,
    TARGET_FORCED,
    VERBS
};

/* Memory that lets another thread call a verb once its first bytes were resolved. */
struct gate {
    struct rvt_memory memory;
    struct verbs *v;
    const struct vqp *a, *b;
    const struct vmr *source, *target;
    enum verb verb;
    pthread_t thread;
    int calls, begin_at; /* the thread begins at this call, which is that of the copy */
    atomic_bool over;
    int answer;
};

static void *call_verb(void *argument) {
    struct gate *gate = argument;
    const struct rvt_qp_attr err = {.state = RVT_QPS_ERR}, reset = {.state = RVT_QPS_RESET};
    switch (gate->verb) {
    case REQUESTER_ERR:
    case REQUESTER_RESET:
        gate->answer =
            rvt_modify_qp(gate->a->handle, gate->verb == REQUESTER_ERR ? &err : &reset, RVT_QPA_STATE);
        break;
    case RESPONDER_ERR:
    case RESPONDER_RESET:
        gate->answer =
            rvt_modify_qp(gate->b->handle, gate->verb == RESPONDER_ERR ? &err : &reset, RVT_QPA_STATE);
        break;
    case REQUESTER_DESTROYED:
        gate->answer = rvt_destroy_qp(gate->a->handle);
        break;
    case RESPONDER_DESTROYED:
        gate->answer = rvt_destroy_qp(gate->b->handle);
        break;
    case TARGET_DEREG:
    case TARGET_FORCED:
        gate->answer =
            rvt_dereg_mr(gate->target->mr, gate->verb == TARGET_DEREG ? RVT_RELEASE : RVT_RELEASE_FORCE);
        break;
    default:
        gate->answer =
            rvt_dereg_mr(gate->source->mr, gate->verb == SOURCE_DEREG ? RVT_RELEASE : RVT_RELEASE_FORCE);
    }
    atomic_store(&gate->over, true);
    return NULL;
}

/* Returns whether the verb has revoked the region that it ends. If no reference is held on that region, the verb then
 * waits for the engine's step. */
static bool is_revoked(const struct gate *gate) {
    const bool of_source = gate->verb == SOURCE_DEREG || gate->verb == SOURCE_FORCED;
    const bool of_target = gate->verb == TARGET_DEREG || gate->verb == TARGET_FORCED;
    const struct vmr *ended = of_source ? gate->source : of_target ? gate->target : NULL;
    return ended && atomic_load(&ended->mr.mr->word) & (RVT_MR_REVOKED | RVT_MR_FORCED);
}

static enum rvt_reason resolve_gate(struct rvt_memory *memory, void *environment, unsigned char **data) {
    struct gate *gate = (struct gate *)memory;
    struct rvt_engine *engine = gate->v->device->engine;
    (void)environment;
    *data = source_bytes;
    CHECK_EQ(engine->context->reader->depth, 1); /* bytes are found inside a section */
    if (++gate->calls == gate->begin_at) {
        if (pthread_create(&gate->thread, NULL, call_verb, gate))
            abort();
        while (!atomic_load(&engine->waiting) && !atomic_load(&gate->over) && !is_revoked(gate))
            rvt_yield();
    }
    return RVT_REASON_NONE;
}

static void release_gate(struct rvt_memory *memory) {
    (void)memory;
}

/* The first bytes of a request are copied by one thread; then another thread calls the verb, which gets in between two
 * steps. Returns whether it did: the lock is not fair. */
static bool stop_in_the_middle(enum verb verb, uint32_t opcode) {
    const bool send = opcode == RVT_WR_SEND, read = opcode == RVT_WR_RDMA_READ;
    static const struct rvt_memory_ops ops = {.resolve = resolve_gate, .release = release_gate};
    struct verbs v;
    struct vqp a, b;
    /* A send first tests whether its bytes are there. */
    struct gate gate = {.verb = verb, .v = &v, .a = &a, .b = &b, .begin_at = send ? 2 : 1};
    if (!verbs_open(&v, AT_ONCE))
        return true;
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct vmr source = {.data = source_bytes, .length = LONG, .addr = 0x10000},
               target = make_mr(&v, target_bytes, LONG);
    gate.source = &source;
    gate.target = &target;
    rvt_memory_init(&gate.memory, &ops, LONG);
    CHECK_EQ(rvt_reg_user_mr(v.pd, &gate.memory, source.addr, source.addr, ALL_ACCESS, &source.mr), 0);
    source.key = fixture_key(source.mr);
    memset(source_bytes, 0x55, LONG);
    memset(target_bytes, 0, LONG);
    const struct rvt_ib_sge sge = sge_at(&source, 0, LONG), room = sge_at(&target, 0, LONG);
    CHECK_EQ(post_receive(&b, 1, &room, 1), 0);
    const struct rvt_ib_sge *local = read ? &room : &sge, *remote = read ? &sge : &room;
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 2, .opcode = opcode, .sges = local, .num_sge = 1,
                              .remote_addr = remote->addr, .rkey = remote->lkey)),
             0);
    const bool in_the_middle = target_bytes[LONG - 1] == 0;
    if (pthread_join(gate.thread, NULL))
        abort();
    CHECK_EQ(gate.answer, 0);
    if (in_the_middle) {
        struct rvt_wc sent = {0}, received = {0};
        const bool completes = verb != REQUESTER_RESET && verb != REQUESTER_DESTROYED;
        const bool responder =
            verb == RESPONDER_ERR || verb == RESPONDER_RESET || verb == RESPONDER_DESTROYED;
        const bool of_source = verb == SOURCE_DEREG || verb == SOURCE_FORCED;
        const bool of_target = verb == TARGET_DEREG || verb == TARGET_FORCED;
        /* Whose region was ended: the requester's, by force, or the responder's. */
        const bool local_forced = verb == (read ? TARGET_FORCED : SOURCE_FORCED);
        const bool remote_ended = read ? of_source : of_target;
        uint32_t status = RVT_WC_STATUS_WR_FLUSH_ERR, cause = RVT_WHY_FLUSHED;
        CHECK_EQ(rvt_poll_cq(a.scq, 1, &sent), completes);
        if (responder) {
            status = RVT_WC_STATUS_RETRY_EXC_ERR;
            cause = verb == RESPONDER_ERR ? RVT_WHY_PEER_STATE : RVT_WHY_NO_PEER;
        } else if (local_forced && sent.status == RVT_WC_STATUS_LOC_PROT_ERR) {
            /* The next step found the region gone before the verb could flush the queue pair. */
            status = RVT_WC_STATUS_LOC_PROT_ERR;
            cause = RVT_WHY_LOCAL_REFUSED;
        } else if (remote_ended) {
            status = send ? RVT_WC_STATUS_REM_OP_ERR : RVT_WC_STATUS_REM_ACCESS_ERR;
            cause = send ? RVT_WHY_RECEIVE_REFUSED : RVT_WHY_REMOTE_REFUSED;
        }
        if (completes) {
            CHECK_EQ(sent.wr_id, 2);
            CHECK_EQ(sent.status, status);
            CHECK_EQ(sent.cause, cause);
            CHECK_EQ(sent.byte_len, LONG);
        }
        /* The responder's receive: in hand for a send. */
        const bool gone = verb == RESPONDER_RESET || verb == RESPONDER_DESTROYED;
        const bool fails = verb == RESPONDER_ERR || remote_ended || (send && !gone);
        CHECK_EQ(rvt_poll_cq(b.rcq, 1, &received), fails);
        if (fails) {
            CHECK_EQ(received.wr_id, 1);
            if (verb == RESPONDER_ERR || (remote_ended && !send)) {
                CHECK_EQ(received.status, RVT_WC_STATUS_WR_FLUSH_ERR);
            } else if (remote_ended) {
                CHECK_EQ(received.status, RVT_WC_STATUS_LOC_PROT_ERR);
                CHECK_EQ(received.cause, RVT_WHY_RECEIVE_REFUSED);
            } else {
                CHECK_EQ(received.status, RVT_WC_STATUS_LOC_QP_OP_ERR);
                CHECK_EQ(received.cause, RVT_WHY_BROKEN_OFF);
            }
        }
        if (verb != RESPONDER_DESTROYED)
            CHECK_EQ(state_of(&b), verb == RESPONDER_RESET ? RVT_QPS_RESET
                                   : fails                 ? RVT_QPS_ERR
                                                           : RVT_QPS_RTS);
        if (!of_source)
            CHECK_EQ(fixture_query(source.mr).refs, 2);
        if (!of_target)
            AT_REST(target);
    }
    verbs_close(&v);
    return in_the_middle;
}

static void a_request_is_stopped_between_two_steps(void) {
    static const uint32_t opcodes[] = {RVT_WR_SEND, RVT_WR_RDMA_WRITE, RVT_WR_RDMA_READ};
    for (enum verb verb = 0; verb < VERBS; verb++) {
        for (int i = 0; i < 3; i++) {
            int tries = 0;
            /* A send holds the region of the receive that it fills, so deregistering that one is busy: see below. */
            if (verb == TARGET_DEREG && opcodes[i] == RVT_WR_SEND)
                continue;
            while (tries < 200 && !stop_in_the_middle(verb, opcodes[i]))
                tries++;
            CHECK(tries < 200);
        }
    }
}

/* The region of a receive that a message is being copied into is held until the message has ended: deregistering it is
 * busy, the message arrives, and deregistering the region again ends it. Returns whether the verb was called in the
 * middle. */
static bool deregister_the_target_of_a_send(void) {
    static const struct rvt_memory_ops ops = {.resolve = resolve_gate, .release = release_gate};
    struct verbs v;
    struct vqp a, b;
    struct gate gate = {.verb = TARGET_DEREG, .v = &v, .a = &a, .b = &b, .begin_at = 2};
    if (!verbs_open(&v, AT_ONCE))
        return true;
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct vmr source = {.addr = 0x10000}, target = make_mr(&v, target_bytes, LONG);
    gate.source = &source;
    gate.target = &target;
    rvt_memory_init(&gate.memory, &ops, LONG);
    CHECK_EQ(rvt_reg_user_mr(v.pd, &gate.memory, source.addr, source.addr, ALL_ACCESS, &source.mr), 0);
    memset(source_bytes, 0x55, LONG);
    memset(target_bytes, 0, LONG);
    const struct rvt_ib_sge sge = {source.addr, LONG, fixture_key(source.mr)},
                            room = sge_at(&target, 0, LONG);
    CHECK_EQ(post_receive(&b, 1, &room, 1), 0);
    CHECK_EQ(post(&a, SEND_WR(.wr_id = 2, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
    if (pthread_join(gate.thread, NULL))
        abort();
    WC(a.scq, .wr_id = 2, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_SEND, .byte_len = LONG);
    CHECK_BYTES_EQ(target_bytes, source_bytes, LONG);
    const bool busy = gate.answer == -RVT_EBUSY;
    CHECK_EQ(rvt_dereg_mr(target.mr, RVT_RELEASE), busy ? 0 : -RVT_EBADF);
    CHECK_EQ(fixture_query(source.mr).refs, 2);
    verbs_close(&v);
    return busy;
}

static void the_target_of_a_message_in_progress_is_busy(void) {
    int tries = 0;
    while (tries < 200 && !deregister_the_target_of_a_send())
        tries++;
    CHECK(tries < 200);
}

/* Deregisters a region in another thread while the engine flushes the first of the queue pairs whose sends hold
 * it. */
struct flush {
    struct rvt_engine *engine;
    const struct vmr *source;
    pthread_t thread;
    bool begun;
    atomic_bool over;
    int answer;
};

static void *dereg_source(void *argument) {
    struct flush *flush = argument;
    flush->answer = rvt_dereg_mr(flush->source->mr, RVT_RELEASE);
    atomic_store(&flush->over, true);
    return NULL;
}

/* The first flushed completion that is lost lets the thread begin. The engine lock is held here. */
static void on_lost_completion(enum rvt_event_kind kind, uint64_t object, void *user, void *data) {
    struct flush *flush = data;
    (void)object;
    (void)user;
    if (kind != RVT_EVENT_CQ_ERR || flush->begun)
        return;
    flush->begun = true;
    if (pthread_create(&flush->thread, NULL, dereg_source, flush))
        abort();
    while (!atomic_load(&flush->engine->waiting) && !atomic_load(&flush->over))
        rvt_yield();
}

static bool add_sends(void *sum, enum rvt_resource_kind kind, const uint64_t *row) {
    if (kind == RVT_RESOURCE_QP)
        *(uint64_t *)sum += row[RVT_QP_SENDS];
    return true;
}

/* Returns how many sends the resource report shows in all queue pairs. */
static uint64_t reported_sends(const struct verbs *v) {
    uint64_t sum = 0;
    rvt_resource_report(v->device, add_sends, &sum);
    return sum;
}

static void a_region_can_be_deregistered_while_its_holders_are_flushed(void) {
    for (int round = 0; round < 100; round++) {
        struct verbs v;
        REQUIRE(verbs_open(&v, MANUAL));
        struct vmr source = make_mr(&v, source_bytes, LONG);
        struct rvt_cq_handle cq = make_cq(&v, 1);
        struct flush flush = {.engine = v.device->engine, .source = &source};
        const struct rvt_ib_sge sge = sge_at(&source, 0, 8);
        struct vqp qps[2]; /* the engine works on the first one, and the second one is ready */
        for (int k = 0; k < 2; k++) {
            qps[k] = make_qp_with(
                &v, v.pd,
                (struct rvt_qp_init){
                    .type = RVT_QPT_RC, .send_cq = cq, .recv_cq = cq, .max_send_wr = 64, .max_send_sge = 1});
            connect_qp(&qps[k], qps[k].qpn);
            for (uint64_t i = 0; i < 64; i++)
                CHECK_EQ(
                    post(&qps[k], SEND_WR(.wr_id = i, .opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
            CHECK_EQ(move_qp(&qps[k], (struct rvt_qp_attr){0}, RVT_QPS_ERR), 0);
        }
        CHECK_EQ(reported_sends(&v), 128);
        v.device->engine->host = (struct rvt_engine_host){on_lost_completion, &flush};
        CHECK_EQ(rvt_run_engine(v.device), 0);
        if (pthread_join(flush.thread, NULL))
            abort();
        CHECK_EQ(flush.answer, 0);
        CHECK_EQ(reported_sends(&v), 0); /* whichever of the two threads flushed them */
        v.device->engine->host = (struct rvt_engine_host){0};
        verbs_close(&v);
    }
}

CHECK_MAIN(TEST(an_error_flushes_receives_then_sends),
           TEST(an_error_with_a_shared_receive_queue_reports_last_wqe),
           TEST(a_reset_drops_sends_and_keeps_receives), TEST(no_flushed_receive_comes_back),
           TEST(sq_draining_tells_whether_the_head_was_started), TEST(a_request_is_stopped_between_two_steps),
           TEST(the_target_of_a_message_in_progress_is_busy),
           TEST(a_region_can_be_deregistered_while_its_holders_are_flushed))
