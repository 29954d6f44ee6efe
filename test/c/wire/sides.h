/* SPDX-License-Identifier: BSD-3-Clause */
/* The two sides of a connection over the simulated link, each of them an endpoint of the package or the independent
 * peer, behind one set of functions: post, receive, take completions, revoke. */
#ifndef RVT_TEST_SIDES_H
#define RVT_TEST_SIDES_H

#include "engine/verbs.h"
#include "peer.h"

enum {
    SLOT = 64 * 1024, /* the longest message */
    SLOTS = 16,       /* outstanding messages; receives */
    TARGET = 96 * 1024,
    SPARES = 3,
    SPARE = 64,
    GUARD = 256,
    GUARD_BYTE = 0xc3,
    RECEIVE_BYTE = 0x5a, /* what receives hold before */
    MOST_PIECES = 4,
};

/* Memory of a side, with guard bytes between the parts. */
struct side_memory {
    unsigned char guard_0[GUARD];
    unsigned char target[TARGET]; /* what the other side writes, reads and changes */
    unsigned char guard_1[GUARD];
    unsigned char slots[SLOTS][SLOT]; /* what this side sends, and where it reads to */
    unsigned char guard_2[GUARD];
    unsigned char receives[SLOTS][SLOT];
    unsigned char guard_3[GUARD];
    unsigned char spares[SPARES][SPARE]; /* regions that the other side invalidates */
    unsigned char guard_4[GUARD];
};

/* What both kinds of sides are set up with. */
struct side_options {
    uint32_t mtu_code, send_psn, receive_psn;
    uint32_t timeout, retries, rnr_retries, rnr_timer, depth;
    uint32_t reads, incoming_reads;
    uint32_t access;        /* of the queue pair */
    uint32_t target_rights; /* of the region */
    bool shared_receives, random_keys;
};

struct side {
    bool ours;
    struct side_options options;
    struct rvt_wire_peer place;
    struct side_memory *memory;
    uint32_t qpn, target_key, spare_keys[SPARES];
    uint64_t target_addr;
    uint64_t next_receive; /* wr_id of the next receive that is posted */
    /* One of the package: */
    struct verbs v;
    struct link_endpoint end;
    struct vqp qp;
    struct rvt_srq_handle srq;
    struct vmr target, slots, receives, spares[SPARES];
    /* The other implementation: */
    struct peer peer;
};

/* --- opening and closing --- */

static inline void side_open_ours(struct side *s) {
    const struct side_options *o = &s->options;
    const struct rvt_device_options options = {.lkey_table_bits = 8, .random_keys = o->random_keys};
    const struct rvt_engine_options engine = {.limits = usual_limits(), .host = {note_event, &s->v}};
    struct side_memory *m = s->memory;
    memset(&s->v, 0, sizeof(s->v));
    CHECK_EQ(rvt_register_device(&options, &engine, &s->v.device), 0);
    CHECK_EQ(rvt_alloc_pd(s->v.device, NULL, false, &s->v.pd), 0);
    CHECK(link_open_endpoint(&s->end, s->v.device, &s->place, 0));
    struct rvt_qp_init init = {
        .send_cq = make_cq(&s->v, 64),
        .recv_cq = make_cq(&s->v, 64),
        .sig_type = RVT_SIGNAL_REQ_WR,
        .max_send_wr = o->depth,
        .max_send_sge = MOST_PIECES,
        .max_recv_sge = MOST_PIECES,
    };
    if (o->shared_receives) {
        s->srq = make_srq(&s->v, SLOTS, MOST_PIECES, 0);
        init.srq = &s->srq;
    }
    s->qp = make_qp_with(&s->v, s->v.pd, init);
    s->qpn = s->qp.qpn;
    s->target = make_mr_in(s->v.pd, m->target, TARGET, o->target_rights | LOCAL_WRITE);
    s->slots = make_mr_in(s->v.pd, m->slots, sizeof(m->slots), LOCAL_WRITE);
    s->receives = make_mr_in(s->v.pd, m->receives, sizeof(m->receives), LOCAL_WRITE);
    s->target_addr = s->target.addr;
    s->target_key = s->target.key;
    for (unsigned i = 0; i < SPARES; i++) {
        s->spares[i] = make_mr(&s->v, m->spares[i], SPARE);
        s->spare_keys[i] = s->spares[i].key;
    }
}

static inline void side_open_peer(struct side *s, uint64_t *seed) {
    const struct side_options *o = &s->options;
    struct peer *p = &s->peer;
    memset(p, 0, sizeof(*p));
    s->qpn = p->qpn = (uint32_t)roll(seed, 0xfffffe) + 2;
    s->target_addr = roll(seed, 2) ? 0 : dice(seed) & 0xfffffffffff8;
    p->place = s->place;
    p->mtu = 128u << o->mtu_code;
    p->access = o->access;
    p->send_psn = o->send_psn;
    p->receive_psn = o->receive_psn;
    p->timeout = o->timeout ? UINT64_C(4096) * (UINT64_C(1) << o->timeout) / 1000 : 0;
    p->retries = o->retries;
    p->rnr_retries = o->rnr_retries;
    p->rnr_timer = o->rnr_timer;
    p->window = 1 + (uint32_t)roll(seed, 128);
    p->most_reads = o->reads;
    p->most_incoming_reads = o->incoming_reads;
    p->ack_every = 1 + (uint32_t)roll(seed, 64);
    p->seldom_ack_req = !roll(seed, 3);
    p->lazy_acks = !roll(seed, 3);
    p->middle_when_resumed = roll(seed, 2);
    p->regions[0] = (struct peer_region){.key = (uint32_t)dice(seed),
                                         .rights = o->target_rights,
                                         .addr = s->target_addr,
                                         .length = TARGET,
                                         .data = s->memory->target,
                                         .valid = true};
    s->target_key = p->regions[0].key;
    for (unsigned i = 0; i < SPARES; i++) {
        p->regions[1 + i] =
            (struct peer_region){.key = s->target_key + 1 + i,
                                 .rights = ALL_ACCESS,
                                 .addr = UINT64_C(0xffff000000000000), /* far from the target */
                                 .length = SPARE,
                                 .data = s->memory->spares[i],
                                 .valid = true};
        s->spare_keys[i] = p->regions[1 + i].key;
    }
}

/* Both sides exist: connects this one. */
static inline void side_connect(struct side *s, const struct side *other) {
    const struct side_options *o = &s->options;
    if (!s->ours) {
        s->peer.other = other->place;
        s->peer.other_qpn = other->qpn;
        peer_start(&s->peer);
        return;
    }
    struct rvt_qp_attr attr = usual_attr(other->qpn);
    attr.access = o->access;
    attr.sq_psn = o->send_psn;
    attr.rq_psn = o->receive_psn;
    attr.path_mtu = o->mtu_code;
    attr.timeout = o->timeout;
    attr.retry_cnt = o->retries;
    attr.rnr_retry = o->rnr_retries;
    attr.min_rnr_timer = o->rnr_timer;
    attr.max_rd_atomic = o->reads;
    attr.max_dest_rd_atomic = o->incoming_reads;
    s->end.other = other->place;
    CHECK_EQ(rvt_endpoint_connect(s->end.endpoint, s->qp.handle, &other->place, 0), 0);
    bring_to(&s->qp, attr, RVT_QPS_RTS);
}

static inline struct link_end side_end(struct side *s) {
    return s->ours ? link_end_of(&s->end, &s->place) : peer_end(&s->peer);
}

static inline void side_close(struct side *s) {
    if (!s->ours)
        return;
    rvt_endpoint_close(s->end.endpoint);
    CHECK_EQ(rvt_mr_exit(s->v.device, true, NULL), 0);
    rvt_dev_put(s->v.device);
}

/* --- verbs --- */

/* Splits `length` bytes from `addr` on into 1 to MOST_PIECES elements, some of them empty. */
static inline uint32_t side_pieces(const struct vmr *mr, uint64_t addr, uint32_t length, uint64_t *seed,
                                   struct rvt_ib_sge *sges) {
    const uint32_t count = roll(seed, 2) ? 1 : 1 + (uint32_t)roll(seed, MOST_PIECES);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t piece = i + 1 == count ? length : (uint32_t)roll(seed, length + 1);
        sges[i] = (struct rvt_ib_sge){addr, piece, mr->key};
        addr += piece;
        length -= piece;
    }
    return count;
}

/* Posts a send work request whose bytes are in the slot that request->data points to. Returns whether it was taken. */
static inline bool side_post(struct side *s, const struct peer_request *r, uint64_t *seed) {
    struct rvt_ib_sge sges[MOST_PIECES];
    const bool atomic = r->opcode == RVT_WR_ATOMIC_CMP_AND_SWP || r->opcode == RVT_WR_ATOMIC_FETCH_AND_ADD;
    if (!s->ours)
        return peer_post(&s->peer, *r);
    struct rvt_send_wr wr = {
        .wr_id = r->id,
        .sges = sges,
        .opcode = r->opcode,
        .flags = r->flags,
        .imm = r->imm,
        .remote_addr = r->remote,
        .rkey = r->rkey,
        .invalidate_rkey = r->invalidate,
        .compare_add = r->compare_add,
        .swap = r->swap,
    };
    const uint64_t addr = (uint64_t)(uintptr_t)r->data;
    if (atomic) {
        sges[0] = (struct rvt_ib_sge){addr, 8, s->slots.key};
        wr.num_sge = 1;
    } else {
        wr.num_sge = side_pieces(&s->slots, addr, r->length, seed, sges);
    }
    return !post(&s->qp, wr);
}

static inline bool side_post_receive(struct side *s, uint32_t length, uint64_t *seed) {
    unsigned char *data = s->memory->receives[s->next_receive % SLOTS];
    struct rvt_ib_sge sges[MOST_PIECES];
    memset(data, RECEIVE_BYTE, SLOT);
    if (!s->ours) {
        const bool taken = peer_post_receive(&s->peer, (struct peer_receive){s->next_receive, data, length});
        s->next_receive += taken;
        return taken;
    }
    const struct rvt_recv_wr wr = {s->next_receive, sges,
                                   side_pieces(&s->receives, (uint64_t)(uintptr_t)data, length, seed, sges)};
    const int error = s->options.shared_receives ? rvt_post_srq_recv(s->srq, &wr, 1, NULL)
                                                 : rvt_post_recv(s->qp.handle, &wr, 1, NULL);
    s->next_receive += !error;
    return !error;
}

/* Takes a completion of a send (`receives`: of a receive). Returns false if there is none. */
static inline bool side_take(struct side *s, bool receives, struct peer_completion *c) {
    struct rvt_wc wc;
    if (!s->ours)
        return peer_take(receives ? &s->peer.received : &s->peer.sent, c);
    if (rvt_poll_cq(receives ? s->qp.rcq : s->qp.scq, 1, &wc) != 1)
        return false;
    *c =
        (struct peer_completion){wc.wr_id, wc.status, wc.opcode, wc.byte_len, wc.imm_or_inv, wc.flags, false};
    CHECK_EQ(wc.qp_num, s->qpn);
    CHECK_EQ(wc.cause != RVT_WHY_NONE, wc.status != RVT_WC_STATUS_SUCCESS);
    return true;
}

static inline bool side_failed(struct side *s) {
    return s->ours ? state_of(&s->qp) == RVT_QPS_ERR : s->peer.failed;
}

/* Returns how many send work requests it holds. */
static inline uint32_t side_queued(struct side *s) {
    return s->ours ? query_qp(&s->qp).sends : s->peer.count;
}

/* Takes the target region back: no byte of it moves after this has returned. */
static inline void side_revoke(struct side *s) {
    if (s->ours)
        CHECK_EQ(rvt_dereg_mr(s->target.mr, RVT_RELEASE_FORCE), 0);
    else
        s->peer.regions[0].valid = false;
}

/* Takes the queue pair into error. */
static inline void side_end_qp(struct side *s) {
    if (s->ours)
        CHECK_EQ(rvt_modify_qp(s->qp.handle, &(struct rvt_qp_attr){.state = RVT_QPS_ERR}, RVT_QPA_STATE), 0);
    else
        peer_fail(&s->peer, RVT_WC_STATUS_WR_FLUSH_ERR);
}

static inline void side_check_guards(const struct side_memory *m) {
    const unsigned char *guards[] = {m->guard_0, m->guard_1, m->guard_2, m->guard_3, m->guard_4};
    for (unsigned i = 0; i < 5; i++)
        for (unsigned at = 0; at < GUARD; at++)
            if (guards[i][at] != GUARD_BYTE) {
                CHECK_EQ(guards[i][at], GUARD_BYTE);
                return;
            }
}

#endif
