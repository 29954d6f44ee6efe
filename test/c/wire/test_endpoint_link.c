/* SPDX-License-Identifier: BSD-3-Clause */
/* Endpoints over a simulated link with every kind of fault: against an independent peer, and against each other. Each
 * seed is a program of requests in both directions at once, with a model of what memory must hold.
 *
 * Arguments: SEED plays this seed with all kinds of sides; SEED COUNT plays COUNT programs, from SEED on
 * (otherwise RVT_LINK_SEEDS of the environment); SEED 1 KINDS
 * plays one program (KINDS 0 to 3: bit i says whether side i is an endpoint of the package) and prints its packets. */
#include <stdlib.h>

#include "sides.h"

enum {
    DEFAULT_SEEDS = 2000,
    MOST_MESSAGES = 40, /* of one direction */
    MOST_STEPS = 200000,
};

/* What goes wrong in a program, besides the faults of the link. */
enum trouble {
    NO_TROUBLE,
    REVOKE, /* the responder takes the target region back */
    /* The program takes back, by force, the memory of its requests, or of its receives. */
    REVOKE_SLOTS,
    REVOKE_RECEIVES,
    BAD_REQUEST, /* a request that must be refused */
    CUT,         /* the link is cut for good */
    NO_RECEIVES, /* a message finds no receive, ever */
    SHORT_RECEIVE,
    END_RESPONDER, /* the responder's queue pair goes into error */
    END_REQUESTER,
    TROUBLES,
};

struct message {
    struct peer_request request;
    uint32_t slot, at;       /* at: offset in the target memory */
    bool bad;                /* it must be refused */
    uint64_t old, new;       /* of an atomic */
    unsigned char *expected; /* READ: the bytes that it must bring */
};

/* One direction: the requests of one side, and what they do to the other. */
struct flow {
    struct side *from, *to;
    uint32_t planned, posted; /* messages */
    uint32_t oldest;          /* that has not completed */
    struct message messages[MOST_MESSAGES + 1];
    uint32_t incoming[MOST_MESSAGES + 1]; /* messages that need a receive */
    uint32_t expected, arrived;           /* of `incoming` */
    uint64_t received;                    /* completions of receives */
    uint32_t spares_used;
    bool slots_in_use[SLOTS];
    unsigned char ahead[TARGET];     /* when all posted messages are carried out */
    unsigned char confirmed[TARGET]; /* when those that completed are */
    uint32_t failure;                /* status of the first one that failed */
    bool revoked;
    unsigned char frozen[TARGET]; /* the target when it was taken back */
    bool no_slots, no_receives;   /* they were taken back: the memory stays as it is */
    unsigned char frozen_memory[SLOTS][SLOT];
    unsigned char reads[SLOTS][SLOT];
};

struct world {
    uint64_t seed;
    struct side sides[2];
    struct flow flows[2];
    struct link link;
    enum trouble trouble;
    uint32_t trouble_at; /* after so many posted messages of flow 0 */
    bool troubled;       /* it has happened */
    bool few_retries;    /* a receive that comes late may be trouble enough */
    bool short_done;
};

static struct world world;
static struct side_memory memories[2];

static uint64_t pick(uint64_t below) {
    return roll(&world.seed, below);
}

static uint32_t between(uint32_t least, uint32_t most) {
    return least + (uint32_t)pick(most - least + 1);
}

/* --- the model --- */

static void fill(unsigned char *bytes, uint32_t length) {
    for (uint32_t i = 0; i < length; i += 8) {
        const uint64_t eight = dice(&world.seed);
        memcpy(bytes + i, &eight, length - i < 8 ? length - i : 8);
    }
}

static bool is_atomic(const struct message *m) {
    return m->request.opcode == RVT_WR_ATOMIC_CMP_AND_SWP || m->request.opcode == RVT_WR_ATOMIC_FETCH_AND_ADD;
}

static bool is_write(const struct message *m) {
    return m->request.opcode == RVT_WR_RDMA_WRITE || m->request.opcode == RVT_WR_RDMA_WRITE_WITH_IMM;
}

static bool needs_receive(const struct message *m) {
    return m->request.opcode == RVT_WR_RDMA_WRITE_WITH_IMM || m->request.opcode == RVT_WR_SEND ||
           m->request.opcode == RVT_WR_SEND_WITH_IMM || m->request.opcode == RVT_WR_SEND_WITH_INV;
}

static uint32_t extent(const struct message *m) {
    return is_atomic(m) ? 8 : m->request.length;
}

/* Applies a message to a model of the target memory. */
static void apply(const struct message *m, unsigned char *target) {
    if (is_write(m))
        memcpy(target + m->at, m->request.data, m->request.length);
    else if (is_atomic(m))
        memcpy(target + m->at, &m->new, 8);
}

/* A READ that has to be asked for again is carried out again, so that it may see a later WRITE, unless that one is
 * fenced (InfiniBand specification, 9.4.4). */
static bool must_fence(const struct flow *f, const struct message *m) {
    if (!is_write(m) && !is_atomic(m))
        return false;
    for (uint32_t i = f->oldest; i < f->posted; i++) {
        const struct message *o = &f->messages[i];
        if (o->request.opcode == RVT_WR_RDMA_READ && o->at < m->at + extent(m) && m->at < o->at + extent(o))
            return true;
    }
    return false;
}

/* --- choosing --- */

static uint32_t choose_length(uint32_t mtu) {
    static const int32_t near[] = {-4, -1, 0, 1, 2, 3};
    const uint64_t kind = pick(60);
    uint32_t length;
    if (kind < 15)
        length = between(0, 9);
    else if (kind < 44)
        length = (uint32_t)((int32_t)(between(1, 4) * mtu) + near[pick(6)]);
    else if (kind < 57)
        length = between(0, 3000);
    else if (kind == 57)
        length = (uint32_t)((int32_t)(between(1, SLOT / mtu) * mtu) + near[pick(3)]);
    else
        length = kind == 58 ? SLOT : between(0, SLOT);
    return length <= SLOT ? length : SLOT;
}

static uint32_t choose_opcode(void) {
    static const uint32_t opcodes[] = {
        RVT_WR_RDMA_WRITE, RVT_WR_RDMA_WRITE,    RVT_WR_RDMA_WRITE_WITH_IMM, RVT_WR_SEND,
        RVT_WR_SEND,       RVT_WR_SEND_WITH_IMM, RVT_WR_SEND_WITH_INV,       RVT_WR_RDMA_READ,
        RVT_WR_RDMA_READ,  RVT_WR_RDMA_READ,     RVT_WR_ATOMIC_CMP_AND_SWP,  RVT_WR_ATOMIC_FETCH_AND_ADD,
    };
    return opcodes[pick(sizeof(opcodes) / sizeof(opcodes[0]))];
}

/* Makes the request one that the responder must refuse. */
static void spoil(const struct flow *f, struct message *m) {
    struct peer_request *r = &m->request;
    m->bad = true;
    r->flags |= RVT_SEND_SIGNALED;
    if (!is_write(m) && !is_atomic(m) && r->opcode != RVT_WR_RDMA_READ)
        r->opcode = RVT_WR_RDMA_WRITE;
    if (!is_atomic(m) && !r->length)
        r->length = 1; /* an empty one needs no key */
    switch (pick(4)) {
    case 0:
        r->rkey ^= 1u << pick(32);
        break;
    case 1:
        r->remote = f->to->target_addr + TARGET - extent(m) / 2;
        if (is_atomic(m))
            r->remote = f->to->target_addr + TARGET;
        break;
    case 2:
        r->remote = f->to->target_addr - 8;
        break;
    default:
        r->rkey = f->to->spare_keys[0]; /* another region's */
        r->remote = f->to->target_addr + 4096;
        break;
    }
}

static void post_message(struct flow *f) {
    struct message *m = &f->messages[f->posted];
    struct peer_request *r = &m->request;
    const bool closing = f->posted == f->planned; /* the last one of all, signaled */
    const bool bad = world.trouble == BAD_REQUEST && f == &world.flows[0] && f->posted == world.trouble_at;
    uint32_t slot = (uint32_t)pick(SLOTS);
    if (f->posted - f->oldest >= f->from->options.depth || f->no_slots)
        return;
    while (f->slots_in_use[slot])
        slot = (slot + 1) % SLOTS;
    memset(m, 0, sizeof(*m));
    *r = (struct peer_request){
        .id = f->posted,
        .opcode = closing ? (uint32_t)RVT_WR_RDMA_WRITE : choose_opcode(),
        .data = f->from->memory->slots[slot],
        .length = closing ? 0 : choose_length(128u << f->from->options.mtu_code),
        .rkey = f->to->target_key,
        .imm = (uint32_t)dice(&world.seed),
    };
    /* The one that fills the queue must say when there is room again. */
    if (closing || pick(3) || f->posted - f->oldest + 1 == f->from->options.depth)
        r->flags = RVT_SEND_SIGNALED;
    if (r->opcode == RVT_WR_SEND_WITH_INV) {
        if (f->spares_used == SPARES)
            r->opcode = RVT_WR_SEND;
        else
            r->invalidate = f->to->spare_keys[f->spares_used];
    }
    m->slot = slot;
    if (is_atomic(m)) {
        r->length = 8;
        m->at = (uint32_t)pick(4) * 8; /* few places, so that they meet */
        memcpy(&m->old, f->ahead + m->at, 8);
        r->compare_add = r->opcode == RVT_WR_ATOMIC_FETCH_AND_ADD || pick(3) ? dice(&world.seed) : m->old;
        r->swap = dice(&world.seed);
        m->new = r->opcode == RVT_WR_ATOMIC_FETCH_AND_ADD ? m->old + r->compare_add
                 : m->old == r->compare_add               ? r->swap
                                                          : m->old;
    } else {
        m->at = (uint32_t)pick(TARGET - r->length + 1);
    }
    r->remote = f->to->target_addr + m->at;
    if (pick(2))
        r->flags |= RVT_SEND_SOLICITED;
    if (bad)
        spoil(f, m);
    if (must_fence(f, m) || !pick(10))
        r->flags |= RVT_SEND_FENCE;
    if (r->opcode == RVT_WR_RDMA_READ || is_atomic(m))
        memset(r->data, RECEIVE_BYTE, r->length);
    else
        fill(r->data, r->length);
    if (!side_post(f->from, r, &world.seed)) {
        CHECK(world.troubled ||
              world.few_retries); /* the queue is not full: the model counts less than the side itself */
        f->planned = f->posted;
        return;
    }
    if (bad)
        world.troubled = true;
    f->spares_used += r->opcode == RVT_WR_SEND_WITH_INV;
    f->slots_in_use[slot] = true;
    if (r->opcode == RVT_WR_RDMA_READ && !m->bad) {
        m->expected = f->reads[slot];
        memcpy(m->expected, f->ahead + m->at, r->length);
    }
    if (!m->bad)
        apply(m, f->ahead);
    if (needs_receive(m))
        f->incoming[f->expected++] = f->posted;
    f->posted++;
}

static void post_receives(struct flow *f, uint32_t count) {
    struct side *s = f->to;
    if (f->no_receives)
        return;
    if (world.trouble == NO_RECEIVES && f == &world.flows[0] && f->posted >= world.trouble_at)
        return;
    for (; count && s->next_receive - f->received < SLOTS; count--) {
        uint32_t length = SLOT;
        if (world.trouble == SHORT_RECEIVE && f == &world.flows[0] && f->posted >= world.trouble_at) {
            length = (uint32_t)pick(300);
            world.troubled = true;
        }
        if (!side_post_receive(s, length, &world.seed))
            return;
    }
}

/* --- completions --- */

static void confirm(struct flow *f, struct message *m) {
    const struct peer_request *r = &m->request;
    if (m->bad) {
        CHECK(!m->bad);
        return;
    }
    apply(m, f->confirmed);
    if (r->opcode == RVT_WR_RDMA_READ)
        CHECK_BYTES_EQ(r->data, m->expected, r->length);
    if (is_atomic(m))
        CHECK_BYTES_EQ(r->data, &m->old, 8);
    f->slots_in_use[m->slot] = false;
}

static uint32_t completion_opcode(const struct message *m) {
    return peer_wc_opcode(&m->request);
}

static void check_sent(struct flow *f, const struct peer_completion *c) {
    const bool success = c->status == RVT_WC_STATUS_SUCCESS;
    while (f->oldest < f->posted && f->messages[f->oldest].request.id != c->id) {
        /* An unsignaled one before it succeeded. */
        struct message *m = &f->messages[f->oldest++];
        CHECK(!(m->request.flags & RVT_SEND_SIGNALED));
        CHECK(!f->failure);
        confirm(f, m);
    }
    CHECK(f->oldest < f->posted); /* otherwise it is one too many, or out of order */
    if (f->oldest == f->posted)
        return;
    struct message *m = &f->messages[f->oldest++];
    if (success) {
        CHECK(m->request.flags & RVT_SEND_SIGNALED);
        CHECK(!f->failure);
        CHECK_EQ(c->opcode, completion_opcode(m));
        confirm(f, m);
    } else if (f->failure) {
        CHECK_EQ(c->status, RVT_WC_STATUS_WR_FLUSH_ERR);
    } else {
        f->failure = c->status;
    }
    if (m->bad)
        CHECK(c->status == RVT_WC_STATUS_REM_ACCESS_ERR || c->status == RVT_WC_STATUS_RETRY_EXC_ERR ||
              c->status == RVT_WC_STATUS_WR_FLUSH_ERR);
}

static void check_received(struct flow *f, const struct peer_completion *c) {
    const uint64_t number = f->received++;
    const unsigned char *data = f->to->memory->receives[number % SLOTS];
    CHECK_EQ(c->id, number);
    if (c->status != RVT_WC_STATUS_SUCCESS) {
        CHECK(world.troubled || world.few_retries);
        return;
    }
    CHECK(f->arrived < f->expected);
    if (f->arrived == f->expected)
        return;
    const struct message *m = &f->messages[f->incoming[f->arrived++]];
    const struct peer_request *r = &m->request;
    uint32_t touched = r->length, flags = 0, word = 0;
    if (r->opcode == RVT_WR_SEND_WITH_IMM || r->opcode == RVT_WR_RDMA_WRITE_WITH_IMM) {
        flags = RVT_WC_WITH_IMM;
        word = r->imm;
    } else if (r->opcode == RVT_WR_SEND_WITH_INV) {
        flags = RVT_WC_WITH_INVALIDATE;
        word = r->invalidate;
    }
    CHECK_EQ(c->flags, flags);
    CHECK_EQ(c->imm_or_inv, word);
    CHECK_EQ(c->length, r->length);
    if (!f->to->ours)
        CHECK_EQ(c->solicited, (r->flags & RVT_SEND_SOLICITED) != 0);
    if (is_write(m)) {
        CHECK_EQ(c->opcode, RVT_WC_OPCODE_RECV_RDMA_WITH_IMM);
        touched = 0;
    } else {
        CHECK_EQ(c->opcode, RVT_WC_OPCODE_RECV);
        CHECK_BYTES_EQ(data, r->data, r->length);
    }
    for (uint32_t i = touched; i < SLOT && i < touched + 5000; i++)
        if (data[i] != RECEIVE_BYTE) {
            CHECK_EQ(data[i], RECEIVE_BYTE);
            break;
        }
}

static void take_completions(void) {
    struct peer_completion c;
    /* The receives first: a message has arrived before its sender is told so. */
    for (unsigned i = 0; i < 2; i++)
        while (side_take(world.flows[i].to, true, &c))
            check_received(&world.flows[i], &c);
    for (unsigned i = 0; i < 2; i++)
        while (side_take(world.flows[i].from, false, &c))
            check_sent(&world.flows[i], &c);
}

/* --- the end --- */

/* Whether one of the messages that did not succeed may have stored this byte. */
static bool may_hold(const struct flow *f, uint32_t at, unsigned char byte) {
    for (uint32_t i = 0; i < f->posted; i++) {
        const struct message *m = &f->messages[i];
        if (!f->slots_in_use[m->slot] || m->bad || at < m->at || at - m->at >= extent(m))
            continue;
        if (is_write(m) && m->request.data[at - m->at] == byte)
            return true;
        if (is_atomic(m) && ((const unsigned char *)&m->new)[at - m->at] == byte)
            return true;
    }
    return false;
}

static void check_target(const struct flow *f) {
    const unsigned char *target = f->to->memory->target;
    if (f->revoked)
        CHECK_BYTES_EQ(target, f->frozen, TARGET);
    if (f->no_slots)
        CHECK_BYTES_EQ(f->from->memory->slots, f->frozen_memory, sizeof(f->frozen_memory));
    if (f->no_receives)
        CHECK_BYTES_EQ(f->to->memory->receives, f->frozen_memory, sizeof(f->frozen_memory));
    if (!f->failure) {
        CHECK_BYTES_EQ(target, f->confirmed, TARGET);
        return;
    }
    for (uint32_t i = 0; i < TARGET; i++)
        if (target[i] != f->confirmed[i] && !may_hold(f, i, target[i])) {
            CHECK_EQ(target[i], f->confirmed[i]);
            printf("# at byte %" PRIu32 " of the target, after a failure\n", i);
            return;
        }
}

/* The status that the trouble must have given the requester of flow 0, if it failed. */
static bool explains(uint32_t status) {
    switch (world.trouble) {
    case REVOKE:
    case BAD_REQUEST: /* the NAK may be lost: the responder says no more */
        return status == RVT_WC_STATUS_REM_ACCESS_ERR || status == RVT_WC_STATUS_RETRY_EXC_ERR;
    case CUT:
        return status == RVT_WC_STATUS_RETRY_EXC_ERR;
    case REVOKE_SLOTS:
        return status == RVT_WC_STATUS_LOC_PROT_ERR || status == RVT_WC_STATUS_WR_FLUSH_ERR;
    case REVOKE_RECEIVES: /* one that is refused, or one in hand that ended, or none */
        return status == RVT_WC_STATUS_REM_OP_ERR || status == RVT_WC_STATUS_RETRY_EXC_ERR ||
               status == RVT_WC_STATUS_RNR_RETRY_EXC_ERR;
    case NO_RECEIVES:
        return status == RVT_WC_STATUS_RNR_RETRY_EXC_ERR || status == RVT_WC_STATUS_RETRY_EXC_ERR;
    case SHORT_RECEIVE:
        return status == RVT_WC_STATUS_REM_INV_REQ_ERR || status == RVT_WC_STATUS_RETRY_EXC_ERR;
    case END_RESPONDER:
        return status == RVT_WC_STATUS_RETRY_EXC_ERR;
    case END_REQUESTER:
        return status == RVT_WC_STATUS_WR_FLUSH_ERR;
    default:
        return false;
    }
}

static void check_end(void) {
    for (unsigned i = 0; i < 2; i++) {
        struct flow *f = &world.flows[i];
        CHECK_EQ(f->oldest, f->posted); /* every work request ended */
        if (!f->failure) {
            CHECK_EQ(f->arrived, f->expected);
        } else {
            CHECK(world.troubled || world.few_retries);
            CHECK(side_failed(f->from));
            if (!i)
                CHECK(explains(f->failure));
        }
        check_target(f);
        side_check_guards(f->to->memory);
        CHECK_EQ(world.sides[i].peer.complaints, 0);
    }
    CHECK(world.link.lucky <= 2 + world.link.damaged / 1000);
}

/* --- a program --- */

static void cause_trouble(void) {
    struct flow *f = &world.flows[0];
    if (world.troubled || f->posted < world.trouble_at)
        return;
    switch (world.trouble) {
    case REVOKE:
        if (pick(40))
            return;
        side_revoke(f->to);
        f->revoked = true;
        memcpy(f->frozen, f->to->memory->target, TARGET);
        break;
    case CUT:
        if (pick(40))
            return;
        world.link.cut = true;
        break;
    case REVOKE_SLOTS: /* while there are requests: otherwise nothing fails */
        if (!f->from->ours || f->oldest == f->posted || pick(20))
            return;
        CHECK_EQ(rvt_dereg_mr(f->from->slots.mr, RVT_RELEASE_FORCE), 0);
        f->no_slots = true;
        memcpy(f->frozen_memory, f->from->memory->slots, sizeof(f->frozen_memory));
        break;
    case REVOKE_RECEIVES:
        if (!f->to->ours || pick(20))
            return;
        CHECK_EQ(rvt_dereg_mr(f->to->receives.mr, RVT_RELEASE_FORCE), 0);
        f->no_receives = true;
        memcpy(f->frozen_memory, f->to->memory->receives, sizeof(f->frozen_memory));
        break;
    case END_RESPONDER:
    case END_REQUESTER:
        if (pick(40))
            return;
        side_end_qp(world.trouble == END_RESPONDER ? f->to : f->from);
        break;
    default:
        return;
    }
    world.troubled = true;
}

static uint32_t fault(uint32_t most) {
    return pick(2) ? 0 : (uint32_t)pick(most);
}

static void choose_link(uint32_t ipv6) {
    struct link *l = &world.link;
    const bool clean = !pick(6);
    memset(l, 0, sizeof(*l));
    l->seed = dice(&world.seed);
    l->faults = (struct link_faults){
        .loss = clean ? 0 : fault(30000),
        .duplication = clean ? 0 : fault(50000),
        .reordering = clean ? 0 : fault(50000),
        .damage = clean ? 0 : fault(30000),
        .unknown_id = pick(2) ? 0 : 500000,
        .delay = 1 + (uint32_t)pick(100),
        .jitter = pick(2) ? 0 : (uint32_t)pick(20),
        .late = 1 + (uint32_t)pick(400),
    };
    if (!pick(3)) { /* a bad link */
        l->faults.loss *= 4;
        l->faults.reordering *= 4;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct rvt_wire_peer *place = &world.sides[i].place;
        memset(place, 0, sizeof(*place));
        if (ipv6) {
            memcpy(place->address, "\xfd\x00", 2);
        } else {
            place->address[10] = place->address[11] = 0xff;
            place->address[12] = 10;
        }
        place->address[15] = (uint8_t)(1 + i);
        place->port = LINK_PORT;
    }
}

static void choose_sides(unsigned kinds) {
    struct side_options o[2];
    const uint32_t mtu_code = between(1, 5);
    uint32_t psns[2];
    for (unsigned i = 0; i < 2; i++)
        psns[i] = (pick(2) ? 0xffffff - (uint32_t)pick(100) : (uint32_t)dice(&world.seed)) & 0xffffff;
    for (unsigned i = 0; i < 2; i++) {
        o[i] = (struct side_options){
            .mtu_code = mtu_code,
            .send_psn = psns[i],
            .receive_psn = psns[1 - i],
            .timeout = between(8, 12), /* 1 to 17 ms */
            .retries = 7,
            .rnr_retries = 7,
            .rnr_timer = between(1, 16),
            .depth = between(1, SLOTS),
            .incoming_reads = between(1, 16),
            .access = REMOTE_WRITE | REMOTE_READ | REMOTE_ATOMIC,
            .target_rights = REMOTE_WRITE | REMOTE_READ | REMOTE_ATOMIC,
            .shared_receives = !pick(3),
            .random_keys = pick(2),
        };
        if ((world.trouble == NO_RECEIVES || world.trouble == REVOKE_RECEIVES) && !i)
            o[i].rnr_retries = between(0, 6);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct side *s = &world.sides[i];
        const struct rvt_wire_peer place = s->place;
        o[i].reads = between(1, o[1 - i].incoming_reads);
        memset(s, 0, sizeof(*s));
        s->place = place;
        s->ours = kinds >> i & 1;
        s->options = o[i];
        s->memory = &memories[i];
        memset(s->memory->guard_0, GUARD_BYTE, GUARD);
        memset(s->memory->guard_1, GUARD_BYTE, GUARD);
        memset(s->memory->guard_2, GUARD_BYTE, GUARD);
        memset(s->memory->guard_3, GUARD_BYTE, GUARD);
        memset(s->memory->guard_4, GUARD_BYTE, GUARD);
        fill(s->memory->target, TARGET);
        if (s->ours)
            side_open_ours(s);
        else
            side_open_peer(s, &world.seed);
    }
}

static void choose_flows(unsigned directions) {
    for (unsigned i = 0; i < 2; i++) {
        struct flow *f = &world.flows[i];
        memset(f, 0, offsetof(struct flow, ahead));
        f->failure = 0;
        f->revoked = f->no_slots = f->no_receives = false;
        f->from = &world.sides[i];
        f->to = &world.sides[1 - i];
        f->planned = directions >> i & 1 ? between(1, MOST_MESSAGES) : 0;
        memcpy(f->ahead, f->to->memory->target, TARGET);
        memcpy(f->confirmed, f->to->memory->target, TARGET);
    }
    world.trouble_at = (uint32_t)pick(world.flows[0].planned + 1);
}

/* The end came when the queue pair had nothing more to do: no completion says that unsignaled ones had succeeded. */
static void end_silent_ones(struct flow *f) {
    while (f->oldest < f->posted) {
        CHECK(!(f->messages[f->oldest].request.flags & RVT_SEND_SIGNALED));
        confirm(f, &f->messages[f->oldest++]);
    }
}

static bool all_ended(void) {
    for (unsigned i = 0; i < 2; i++) {
        struct flow *f = &world.flows[i];
        const bool failed = side_failed(f->from);
        const bool done = failed || f->posted > f->planned || (!f->planned && !f->posted) || f->no_slots ||
                          (f->no_receives && f->oldest == f->posted);
        if ((failed || f->no_slots || f->no_receives) && !f->failure && !side_queued(f->from))
            end_silent_ones(f);
        if (f->oldest < f->posted || !done)
            return false;
    }
    return true;
}

/* Receives that will be needed, but are not posted. */
static bool lacks_receives(const struct flow *f) {
    return f->expected - f->arrived > f->to->next_receive - f->received;
}

static void act(void) {
    struct flow *f = &world.flows[pick(2)];
    switch (pick(3)) {
    case 0:
        if (!f->failure && f->planned && f->posted <= f->planned && !side_failed(f->from))
            post_message(f);
        break;
    case 1:
        post_receives(f, 1 + (uint32_t)pick(4));
        break;
    default:
        cause_trouble();
        break;
    }
}

/* `kinds`: bit i says whether side i is an endpoint of the package. */
static bool play(uint64_t seed, unsigned kinds, bool trace) {
    const int failures_before = atomic_load(&check_failures);
    const long live = rvt_test_alloc_live();
    uint32_t steps = 0;
    memset(&world.link, 0, sizeof(world.link));
    world.seed = seed * 8 + kinds;
    world.trouble = pick(2) ? NO_TROUBLE : (enum trouble)pick(TROUBLES);
    world.few_retries = world.trouble == NO_RECEIVES || world.trouble == REVOKE_RECEIVES;
    world.troubled = world.trouble == NO_RECEIVES;
    choose_link(!pick(5));
    choose_sides(kinds);
    choose_flows(pick(4) ? 3 : 1 + (unsigned)pick(2));
    world.link.trace = trace;
    for (unsigned i = 0; i < 2; i++)
        side_connect(&world.sides[i], &world.sides[1 - i]);
    for (unsigned i = 0; i < 2; i++)
        world.link.ends[i] = side_end(&world.sides[i]);
    for (; steps < MOST_STEPS && !all_ended(); steps++) {
        if (!pick(4)) {
            act();
        } else if (!link_step(&world.link, world.link.now + 200)) {
            /* Nothing is on the way and no timer runs soon: what is needed must come. */
            for (unsigned i = 0; i < 2; i++)
                if (lacks_receives(&world.flows[i]))
                    post_receives(&world.flows[i], 1);
            act();
        }
        take_completions();
    }
    take_completions();
    CHECK(all_ended());
    if (atomic_load(&check_failures) == failures_before)
        while (link_step(&world.link, world.link.now + 1000000))
            take_completions();
    take_completions();
    check_end();
    link_end_all(&world.link);
    for (unsigned i = 0; i < 2; i++)
        side_close(&world.sides[i]);
    CHECK_EQ(rvt_test_alloc_live(), live);
    if (atomic_load(&check_failures) == failures_before)
        return true;
    printf("# seed %" PRIu64 " failed: kinds %u, trouble %u, flow 0: %" PRIu32 " of %" PRIu32
           " posted, %" PRIu32 " ended, status %" PRIu32 "; flow 1: %" PRIu32 ", %" PRIu32 ", %" PRIu32
           ", %" PRIu32 "; %" PRIu64 " us, %" PRIu32 " steps\n",
           seed, kinds, world.trouble, world.flows[0].posted, world.flows[0].planned, world.flows[0].oldest,
           world.flows[0].failure, world.flows[1].posted, world.flows[1].planned, world.flows[1].oldest,
           world.flows[1].failure, world.link.now, steps);
    return false;
}

/* --- tests --- */

static uint64_t first_seed = 1, seeds;

/* `share`: how many of a hundred programs are of this kind. */
static void play_seeds(unsigned kinds, uint64_t share) {
    const uint64_t count = seeds * share / 100;
    uint64_t packets = 0, lost = 0, damaged = 0, microseconds = 0, played = 0;
    for (; played < count + !count; played++) {
        if (!play(first_seed + played, kinds, false))
            return;
        packets += world.link.sent;
        lost += world.link.lost;
        damaged += world.link.damaged;
        microseconds += world.link.now;
    }
    printf("# %" PRIu64 " programs, %" PRIu64 " packets, %" PRIu64 " of them lost, %" PRIu64
           " damaged, %" PRIu64 " s of virtual time\n",
           played, packets, lost, damaged, microseconds / 1000000);
}

/* What is wrong here is wrong with the test. */
static void two_peers(void) {
    play_seeds(0, 10);
}

static void endpoint_and_peer(void) {
    play_seeds(1, 30);
}

/* The other one of the two has the troubles. */
static void peer_and_endpoint(void) {
    play_seeds(2, 30);
}

static void two_endpoints(void) {
    play_seeds(3, 30);
}

int main(int argc, char **argv) {
    static const struct check_test tests[] = {TEST(two_peers), TEST(endpoint_and_peer),
                                              TEST(peer_and_endpoint), TEST(two_endpoints)};
    const char *const given = getenv("RVT_LINK_SEEDS");
    seeds = given ? strtoull(given, NULL, 0) : DEFAULT_SEEDS;
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 0);
    if (argc > 1)
        seeds = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    if (argc > 3)
        return !play(first_seed, (unsigned)atoi(argv[3]), true);
    return check_run(tests, sizeof(tests) / sizeof(tests[0]));
}
