/* SPDX-License-Identifier: BSD-3-Clause */
/* A second implementation of the reliable connection, for one queue pair, written from the InfiniBand specification
 * (volume 1, chapter 9) with headers of its own: what it agrees on with the package's endpoint is not a mistake that
 * both sides of one codec make. It is an end of the simulated link (link.h).
 *
 * It is also a judge: it says so (`complaints`) if the other end sends what no lossy network can explain. */
#ifndef RVT_TEST_PEER_H
#define RVT_TEST_PEER_H

#include "core/engine/wr.h"
#include "link.h"

enum {
    PEER_REGIONS = 8,
    PEER_DEPTH = 64, /* work requests, receives */
    PEER_ANSWERS = 64,
    PEER_REPLAYS = 16,
    PEER_COMPLETIONS = 256,
};

struct peer_region {
    uint32_t key, rights; /* RVT_ACCESS_REMOTE_* */
    uint64_t addr, length;
    unsigned char *data;
    bool valid;
};

struct peer_receive {
    uint64_t id;
    unsigned char *data;
    uint32_t length;
};

/* A send work request. `data`: what it sends, or where a READ or an atomic stores. */
struct peer_request {
    uint64_t id;
    uint32_t opcode; /* enum rvt_wr_opcode */
    uint32_t flags;  /* RVT_SEND_SIGNALED, _FENCE, _SOLICITED */
    unsigned char *data;
    uint32_t length, rkey, imm, invalidate;
    uint64_t remote, compare_add, swap;
    /* Once it has begun: */
    bool placed, answered; /* answered: an atomic, or the last response of a READ */
    uint32_t psn, packets; /* the PSNs that it takes */
    uint32_t arrived;      /* response packets of a READ */
};

struct peer_completion {
    uint64_t id;
    uint32_t status, opcode, length, imm_or_inv, flags; /* as in struct rvt_wc */
    bool solicited;                                     /* receives: what the sender asked for */
};

enum peer_answer_kind { PEER_ACK, PEER_READ, PEER_ATOMIC };

struct peer_answer {
    enum peer_answer_kind kind;
    uint32_t psn, syndrome, msn;
    uint64_t old; /* ATOMIC */
    /* READ: the rest that was asked for. */
    uint64_t addr;
    uint32_t rest, key;
    bool begun;
    bool resumed;   /* asked for again */
    bool rest_only; /* and not from its beginning on */
};

struct peer_completions {
    struct peer_completion entries[PEER_COMPLETIONS];
    uint32_t head, count;
};

struct peer {
    /* Set before peer_start(). */
    struct rvt_wire_peer place, other;
    uint32_t qpn, other_qpn, mtu, access;
    uint32_t send_psn, receive_psn; /* the first ones */
    uint64_t timeout;               /* microseconds */
    uint32_t retries, rnr_retries, rnr_timer;
    uint32_t window; /* packets that are not acknowledged */
    uint32_t most_reads, most_incoming_reads;
    uint32_t ack_every;       /* sets AckReq after so many packets of a message */
    bool seldom_ack_req;      /* not at the end of each message, only when there is nothing more to send */
    bool lazy_acks;           /* acknowledges only packets with AckReq, as some NICs */
    bool middle_when_resumed; /* as soft-RoCE answers the rest of a READ */
    struct peer_region regions[PEER_REGIONS];

    bool failed; /* the queue pair is in error */
    uint32_t complaints;
    struct peer_completions sent, received;

    /* Responder */
    uint32_t expected, msn;
    bool nak_sent;       /* nothing more is said until the expected PSN comes */
    uint32_t message;    /* 0, or the first opcode of the kind of message in progress */
    uint64_t write_addr; /* of a WRITE in progress */
    uint32_t write_rest, write_key, write_length;
    struct peer_receive hand; /* of a SEND in progress */
    uint32_t hand_filled;
    struct peer_receive receives[PEER_DEPTH];
    uint32_t receive_head, receive_count;
    struct peer_answer answers[PEER_ANSWERS];
    uint32_t answer_head, answer_count;
    struct {
        uint32_t psn;
        uint64_t old;
    } replays[PEER_REPLAYS];
    uint32_t replay_count;
    uint32_t read_psns[PEER_REPLAYS], read_count; /* of the newest READs: where they began */

    /* Requester */
    struct peer_request requests[PEER_DEPTH];
    uint32_t head, count, placed; /* placed: of `count`, those that have PSNs */
    /* PSNs: oldest not acknowledged, to send next, behind all that were ever sent, behind all placed ones. */
    uint32_t unacked, next, high, end;
    uint32_t tried, rnr_tried, nak_psn; /* nak_psn: of the last NAK for a gap */
    uint64_t deadline, wait_until;      /* UINT64_MAX: no timer; 0: no wait */
    uint64_t completed_messages;
};

/* --- small things --- */

static inline int32_t peer_ahead(uint32_t a, uint32_t b) {
    const uint32_t d = (a - b) & 0xffffff;
    return d < 0x800000 ? (int32_t)d : (int32_t)d - 0x1000000;
}

static inline uint32_t peer_plus(uint32_t psn, uint32_t count) {
    return (psn + count) & 0xffffff;
}

static inline uint64_t peer_number(const unsigned char *at, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static inline void peer_complain(struct peer *p, const char *what, uint32_t number) {
    p->complaints++;
    if (p->complaints < 10)
        printf("# the peer complains: %s (0x%" PRIx32 ")\n", what, number);
}

static inline void peer_complete(struct peer_completions *to, struct peer_completion completion) {
    if (to->count == PEER_COMPLETIONS)
        abort(); /* the test takes them often enough */
    to->entries[(to->head + to->count++) % PEER_COMPLETIONS] = completion;
}

static inline bool peer_take(struct peer_completions *from, struct peer_completion *completion) {
    if (!from->count)
        return false;
    *completion = from->entries[from->head];
    from->head = (from->head + 1) % PEER_COMPLETIONS;
    from->count--;
    return true;
}

static inline struct peer_request *peer_request_at(struct peer *p, uint32_t index) {
    return &p->requests[(p->head + index) % PEER_DEPTH];
}

static inline bool peer_awaits_answer(const struct peer_request *r) {
    return r->opcode == RVT_WR_RDMA_READ || r->opcode == RVT_WR_ATOMIC_CMP_AND_SWP ||
           r->opcode == RVT_WR_ATOMIC_FETCH_AND_ADD;
}

static inline uint32_t peer_wc_opcode(const struct peer_request *r) {
    switch (r->opcode) {
    case RVT_WR_RDMA_WRITE:
    case RVT_WR_RDMA_WRITE_WITH_IMM:
        return RVT_WC_OPCODE_RDMA_WRITE;
    case RVT_WR_RDMA_READ:
        return RVT_WC_OPCODE_RDMA_READ;
    case RVT_WR_ATOMIC_CMP_AND_SWP:
        return RVT_WC_OPCODE_COMP_SWAP;
    case RVT_WR_ATOMIC_FETCH_AND_ADD:
        return RVT_WC_OPCODE_FETCH_ADD;
    default:
        return RVT_WC_OPCODE_SEND;
    }
}

/* --- errors --- */

/* Removes the oldest send work request and completes it if it must be. */
static inline void peer_end_request(struct peer *p, enum rvt_wc_status status) {
    const struct peer_request *r = peer_request_at(p, 0);
    if (status != RVT_WC_STATUS_SUCCESS || (r->flags & RVT_SEND_SIGNALED))
        peer_complete(&p->sent, (struct peer_completion){
                                    .id = r->id,
                                    .status = status,
                                    .opcode = peer_wc_opcode(r),
                                    .length = r->length,
                                });
    p->placed -= r->placed;
    p->head = (p->head + 1) % PEER_DEPTH;
    p->count--;
}

/* The queue pair goes into error: everything that waits is flushed. */
static inline void peer_fail(struct peer *p, enum rvt_wc_status of_oldest) {
    p->failed = true;
    p->deadline = UINT64_MAX;
    p->answer_count = 0;
    while (p->count) {
        peer_end_request(p, of_oldest);
        of_oldest = RVT_WC_STATUS_WR_FLUSH_ERR;
    }
    if (p->message == 1)
        peer_complete(&p->received,
                      (struct peer_completion){.id = p->hand.id, .status = RVT_WC_STATUS_WR_FLUSH_ERR});
    p->message = 0;
    for (; p->receive_count; p->receive_count--) {
        peer_complete(&p->received, (struct peer_completion){.id = p->receives[p->receive_head].id,
                                                             .status = RVT_WC_STATUS_WR_FLUSH_ERR});
        p->receive_head = (p->receive_head + 1) % PEER_DEPTH;
    }
}

/* --- verbs --- */

static inline void peer_start(struct peer *p) {
    p->expected = p->receive_psn;
    p->unacked = p->next = p->high = p->end = p->nak_psn = p->send_psn;
    p->deadline = UINT64_MAX;
}

/* Returns false if the queue is full or the queue pair is in error. */
static inline bool peer_post(struct peer *p, struct peer_request request) {
    if (p->count == PEER_DEPTH || p->failed)
        return false;
    request.placed = request.answered = false;
    request.arrived = 0;
    *peer_request_at(p, p->count++) = request;
    return true;
}

static inline bool peer_post_receive(struct peer *p, struct peer_receive receive) {
    if (p->receive_count == PEER_DEPTH || p->failed)
        return false;
    p->receives[(p->receive_head + p->receive_count++) % PEER_DEPTH] = receive;
    return true;
}

/* --- the responder --- */

/* Returns where the bytes of a remote access are, or NULL if it is refused. */
static inline unsigned char *peer_judge(struct peer *p, uint64_t addr, uint32_t length, uint32_t key,
                                        uint32_t right) {
    for (unsigned i = 0; i < PEER_REGIONS; i++) {
        const struct peer_region *r = &p->regions[i];
        if (r->valid && r->key == key && (r->rights & right) && addr >= r->addr && length <= r->length &&
            addr - r->addr <= r->length - length)
            return r->data + (addr - r->addr);
    }
    return NULL;
}

static inline struct peer_answer *peer_answer(struct peer *p, enum peer_answer_kind kind, uint32_t psn) {
    struct peer_answer *a = &p->answers[(p->answer_head + p->answer_count++) % PEER_ANSWERS];
    *a = (struct peer_answer){.kind = kind, .psn = psn, .msn = p->msn, .syndrome = 0x1f};
    return a;
}

/* Acknowledges everything up to the newest request. An acknowledgement that has not left yet is replaced. */
static inline void peer_acknowledge(struct peer *p, uint32_t psn) {
    if (p->answer_count) {
        struct peer_answer *last = &p->answers[(p->answer_head + p->answer_count - 1) % PEER_ANSWERS];
        if (last->kind == PEER_ACK && last->syndrome < 0x20 && peer_ahead(psn, last->psn) >= 0) {
            last->psn = psn;
            last->msn = p->msn;
            return;
        }
    }
    peer_answer(p, PEER_ACK, psn);
}

/* Refuses the request with the expected PSN for good. */
static inline void peer_refuse(struct peer *p, uint32_t syndrome) {
    peer_answer(p, PEER_ACK, p->expected)->syndrome = syndrome;
    const uint32_t answers = p->answer_count; /* what was asked for earlier is still answered */
    peer_fail(p, RVT_WC_STATUS_WR_FLUSH_ERR);
    p->answer_count = answers;
}

struct peer_incoming {
    unsigned opcode;
    bool solicited, ack_req;
    uint32_t psn;
    const unsigned char *headers; /* behind the BTH */
    const unsigned char *payload;
    uint32_t length; /* of the payload */
};

enum { PEER_SENDS = 1, PEER_WRITES = 2 };

/* What the opcodes are: bits. */
enum {
    OP_SEND = 1,
    OP_WRITE = 2,
    OP_FIRST = 4, /* begins a message */
    OP_LAST = 8,  /* ends one */
    OP_IMM = 16,
    OP_INV = 32,
    OP_READ = 64,
    OP_ATOMIC = 128,
    OP_RESPONSE = 256, /* of a READ */
    OP_ACK = 512,
};

static inline unsigned peer_opcode(unsigned opcode) {
    static const uint16_t bits[] = {
        OP_SEND | OP_FIRST,
        OP_SEND,
        OP_SEND | OP_LAST,
        OP_SEND | OP_LAST | OP_IMM,
        OP_SEND | OP_FIRST | OP_LAST,
        OP_SEND | OP_FIRST | OP_LAST | OP_IMM,
        OP_WRITE | OP_FIRST,
        OP_WRITE,
        OP_WRITE | OP_LAST,
        OP_WRITE | OP_LAST | OP_IMM,
        OP_WRITE | OP_FIRST | OP_LAST,
        OP_WRITE | OP_FIRST | OP_LAST | OP_IMM,
        OP_READ | OP_FIRST | OP_LAST,
        OP_RESPONSE | OP_FIRST,
        OP_RESPONSE,
        OP_RESPONSE | OP_LAST,
        OP_RESPONSE | OP_FIRST | OP_LAST,
        OP_ACK,
        OP_ACK | OP_ATOMIC,
        OP_ATOMIC | OP_FIRST | OP_LAST,
        OP_ATOMIC | OP_FIRST | OP_LAST,
        0,
        OP_SEND | OP_LAST | OP_INV,
        OP_SEND | OP_FIRST | OP_LAST | OP_INV,
    };
    return opcode < sizeof(bits) / sizeof(bits[0]) ? bits[opcode] : 0;
}

/* Bytes of the extension headers. */
static inline uint32_t peer_headers(unsigned opcode) {
    const unsigned is = peer_opcode(opcode);
    if (is & OP_READ)
        return 16;
    if (is & OP_RESPONSE)
        return is & (OP_FIRST | OP_LAST) ? 4 : 0;
    if (is & OP_ACK)
        return is & OP_ATOMIC ? 12 : 4;
    if (is & OP_ATOMIC)
        return 28;
    return (is & OP_WRITE && is & OP_FIRST ? 16 : 0) + (is & (OP_IMM | OP_INV) ? 4 : 0);
}

/* Whether the payload has a length that the opcode may have; `most`: the path MTU. */
static inline bool peer_fits(unsigned is, uint32_t length, uint32_t most) {
    if (!(is & OP_LAST))
        return length == most;
    return length <= most && (length || is & OP_FIRST);
}

static inline void peer_take_read(struct peer *p, const struct peer_incoming *in, bool again) {
    const uint64_t addr = peer_number(in->headers, 8);
    const uint32_t key = (uint32_t)peer_number(in->headers + 8, 4);
    const uint32_t length = (uint32_t)peer_number(in->headers + 12, 4);
    if (length && !peer_judge(p, addr, length, key, RVT_ACCESS_REMOTE_READ)) {
        if (!again)
            peer_refuse(p, 0x62);
        return;
    }
    if (!again) {
        p->expected = peer_plus(p->expected, length ? (length - 1) / p->mtu + 1 : 1);
        p->msn++;
        p->read_psns[p->read_count++ % PEER_REPLAYS] = in->psn;
    }
    struct peer_answer *a = peer_answer(p, PEER_READ, in->psn);
    a->addr = addr;
    a->rest = length;
    a->key = key;
    a->resumed = a->rest_only = again;
    for (uint32_t i = 0; i < PEER_REPLAYS; i++)
        a->rest_only &= p->read_psns[i] != in->psn;
}

static inline void peer_take_atomic(struct peer *p, const struct peer_incoming *in) {
    const uint64_t addr = peer_number(in->headers, 8), swap_add = peer_number(in->headers + 12, 8),
                   compare = peer_number(in->headers + 20, 8);
    unsigned char *at =
        peer_judge(p, addr, 8, (uint32_t)peer_number(in->headers + 8, 4), RVT_ACCESS_REMOTE_ATOMIC);
    uint64_t old, value;
    if (addr % 8) {
        peer_refuse(p, 0x61);
        return;
    }
    if (!at) {
        peer_refuse(p, 0x62);
        return;
    }
    memcpy(&old, at, 8);
    value = in->opcode == 0x14 ? old + swap_add : old == compare ? swap_add : old;
    memcpy(at, &value, 8);
    p->msn++;
    p->replays[p->replay_count % PEER_REPLAYS].psn = in->psn;
    p->replays[p->replay_count++ % PEER_REPLAYS].old = old;
    p->expected = peer_plus(p->expected, 1);
    peer_answer(p, PEER_ATOMIC, in->psn)->old = old;
}

/* Takes the packet with the expected PSN, of a SEND or a WRITE. */
static inline void peer_take_message(struct peer *p, const struct peer_incoming *in, unsigned is) {
    const uint32_t kind = is & OP_SEND ? PEER_SENDS : PEER_WRITES;
    const unsigned char *extra = in->headers + (is & OP_WRITE && is & OP_FIRST ? 16 : 0);
    const bool needs_receive = is & OP_WRITE ? is & OP_IMM : is & OP_FIRST;
    if (is & OP_FIRST ? p->message != 0 : p->message != kind) {
        peer_complain(p, "opcodes in a wrong order", in->opcode);
        peer_refuse(p, 0x61);
        return;
    }
    if (needs_receive && !p->receive_count) {
        peer_answer(p, PEER_ACK, p->expected)->syndrome = 0x20 | p->rnr_timer;
        p->nak_sent = true;
        return;
    }
    if (is & OP_WRITE && is & OP_FIRST) {
        p->write_addr = peer_number(in->headers, 8);
        p->write_key = (uint32_t)peer_number(in->headers + 8, 4);
        p->write_rest = p->write_length = (uint32_t)peer_number(in->headers + 12, 4);
    }
    if (is & OP_WRITE) {
        unsigned char *at = NULL;
        if (is & OP_LAST ? in->length != p->write_rest : in->length >= p->write_rest) {
            peer_complain(p, "payload and RETH differ in length", p->write_rest);
            peer_refuse(p, 0x61);
            return;
        }
        if (p->write_rest)
            at = peer_judge(p, p->write_addr, p->write_rest, p->write_key, RVT_ACCESS_REMOTE_WRITE);
        if (p->write_rest && !at) {
            peer_refuse(p, 0x62);
            return;
        }
        if (in->length)
            memcpy(at, in->payload, in->length);
        p->write_addr += in->length;
        p->write_rest -= in->length;
    }
    if (needs_receive) {
        p->hand = p->receives[p->receive_head];
        p->hand_filled = 0;
        p->receive_head = (p->receive_head + 1) % PEER_DEPTH;
        p->receive_count--;
    }
    p->message = kind;
    if (is & OP_SEND) {
        if (in->length > p->hand.length - p->hand_filled) {
            peer_refuse(p, 0x61);
            return;
        }
        if (in->length)
            memcpy(p->hand.data + p->hand_filled, in->payload, in->length);
        p->hand_filled += in->length;
    }
    p->expected = peer_plus(p->expected, 1);
    if (!(is & OP_LAST))
        return;
    p->message = 0;
    p->msn++;
    if (is & OP_INV)
        for (unsigned i = 0; i < PEER_REGIONS; i++)
            if (p->regions[i].key == peer_number(extra, 4))
                p->regions[i].valid = false;
    if (is & (OP_SEND | OP_IMM))
        peer_complete(&p->received,
                      (struct peer_completion){
                          .id = p->hand.id,
                          .opcode = is & OP_SEND ? RVT_WC_OPCODE_RECV : RVT_WC_OPCODE_RECV_RDMA_WITH_IMM,
                          .length = is & OP_SEND ? p->hand_filled : p->write_length,
                          .imm_or_inv = is & (OP_IMM | OP_INV) ? (uint32_t)peer_number(extra, 4) : 0,
                          .flags = is & OP_IMM   ? RVT_WC_WITH_IMM
                                   : is & OP_INV ? RVT_WC_WITH_INVALIDATE
                                                 : 0,
                          .solicited = in->solicited,
                      });
}

static inline void peer_take_request(struct peer *p, const struct peer_incoming *in, unsigned is) {
    const int32_t ahead = peer_ahead(in->psn, p->expected);
    const uint32_t right = is & OP_READ     ? RVT_ACCESS_REMOTE_READ
                           : is & OP_WRITE  ? RVT_ACCESS_REMOTE_WRITE
                           : is & OP_ATOMIC ? RVT_ACCESS_REMOTE_ATOMIC
                                            : 0;
    if (is & (OP_READ | OP_ATOMIC) && in->length)
        peer_complain(p, "a request with a payload that has none", in->opcode);
    if (is & (OP_SEND | OP_WRITE) && !peer_fits(is, in->length, p->mtu))
        peer_complain(p, "a payload of a wrong length", in->length);
    if (in->solicited && !(is & OP_LAST && is & (OP_SEND | OP_IMM)))
        peer_complain(p, "a solicited event of a packet that completes no receive", in->opcode);
    if (p->answer_count > PEER_ANSWERS - 2)
        return; /* as if it had been lost */
    if (ahead > 0) {
        if (!p->nak_sent)
            peer_answer(p, PEER_ACK, p->expected)->syndrome = 0x60;
        p->nak_sent = true;
        return;
    }
    if (ahead < 0) {
        if (is & OP_READ) {
            peer_take_read(p, in, true);
        } else if (is & OP_ATOMIC) {
            for (uint32_t i = 0; i < PEER_REPLAYS && i < p->replay_count; i++)
                if (p->replays[i].psn == in->psn) {
                    struct peer_answer *a = peer_answer(p, PEER_ATOMIC, in->psn);
                    a->old = p->replays[i].old;
                    a->resumed = true;
                    break;
                }
        } else {
            peer_acknowledge(p, peer_plus(p->expected, 0xffffff));
        }
        return;
    }
    p->nak_sent = false;
    if (right && !(p->access & right)) {
        peer_refuse(p, 0x61);
        return;
    }
    if (is & (OP_READ | OP_ATOMIC)) {
        uint32_t waiting = 0;
        bool again = false;
        for (uint32_t i = 0; i < p->answer_count; i++) {
            const struct peer_answer *a = &p->answers[(p->answer_head + i) % PEER_ANSWERS];
            waiting += a->kind != PEER_ACK;
            again |= a->resumed;
        }
        if (p->message)
            peer_complain(p, "a request within a message", in->opcode);
        if (waiting >= p->most_incoming_reads && !again)
            peer_complain(p, "more READs and atomics at a time than agreed", waiting);
        if (is & OP_READ)
            peer_take_read(p, in, false);
        else
            peer_take_atomic(p, in);
        return;
    }
    peer_take_message(p, in, is);
    if (!p->failed && !p->nak_sent && (in->ack_req || (is & OP_LAST && !p->lazy_acks)))
        peer_acknowledge(p, peer_plus(p->expected, 0xffffff));
}

/* --- the requester: answers --- */

/* There was progress: retries count anew, and so does the timer. */
static inline void peer_progress(struct peer *p, uint64_t now) {
    p->tried = p->rnr_tried = 0;
    p->deadline = p->timeout && p->unacked != p->end ? now + p->timeout : UINT64_MAX;
}

/* Everything before `psn` was received. READs and atomics need their answers beside. */
static inline void peer_acknowledged(struct peer *p, uint32_t psn, uint64_t now) {
    const uint32_t before = p->unacked;
    while (p->placed) {
        const struct peer_request *r = peer_request_at(p, 0);
        const uint32_t end = peer_plus(r->psn, r->packets);
        if (peer_awaits_answer(r)) {
            if (!r->answered)
                break;
        } else if (peer_ahead(psn, end) < 0) {
            if (peer_ahead(psn, p->unacked) > 0)
                p->unacked = psn;
            break;
        }
        p->unacked = end;
        p->completed_messages++;
        peer_end_request(p, RVT_WC_STATUS_SUCCESS);
    }
    if (peer_ahead(p->next, p->unacked) < 0)
        p->next = p->unacked;
    if (p->unacked != before)
        peer_progress(p, now);
}

/* Sends again from `psn` on. What is missing of a READ before it comes, or is asked for when the timer says so. */
static inline void peer_go_back(struct peer *p, uint32_t psn) {
    p->next = peer_ahead(psn, p->unacked) > 0 ? psn : p->unacked;
}

/* Looks for the request that has this PSN. Returns NULL if none has. */
static inline struct peer_request *peer_find(struct peer *p, uint32_t psn, uint32_t *index) {
    for (*index = 0; *index < p->placed; ++*index) {
        struct peer_request *r = peer_request_at(p, *index);
        if (peer_ahead(psn, r->psn) >= 0 && peer_ahead(psn, peer_plus(r->psn, r->packets)) < 0)
            return r;
    }
    return NULL;
}

/* The MSN of an acknowledgement of everything before `psn` counts the messages that end before it. A READ counts when it
 * is accepted, and so may those behind it: a refusal of one of its later responses may say more, but not more than
 * there are. */
static inline void peer_check_msn(struct peer *p, const struct peer_incoming *in, uint32_t psn) {
    const uint32_t msn = (uint32_t)peer_number(in->headers + 1, 3);
    uint64_t messages = p->completed_messages;
    for (uint32_t i = 0; i < p->placed; i++) {
        const struct peer_request *r = peer_request_at(p, i);
        messages += peer_ahead(psn, peer_plus(r->psn, r->packets)) >= 0;
    }
    const uint64_t most = in->headers[0] > 0x60 ? p->completed_messages + p->placed : messages;
    if (peer_ahead(psn, p->unacked) >= 0 && (msn < messages || msn > most))
        peer_complain(p, "a wrong MSN", msn);
}

static inline void peer_take_nak(struct peer *p, const struct peer_incoming *in, uint64_t now) {
    static const enum rvt_wc_status statuses[] = {
        [1] = RVT_WC_STATUS_REM_INV_REQ_ERR,
        [2] = RVT_WC_STATUS_REM_ACCESS_ERR,
        [3] = RVT_WC_STATUS_REM_OP_ERR,
    };
    static const uint32_t rnr_times[32] = {
        655360, 10,    20,    30,    40,    60,     80,     120,    160,    240,    320,
        480,    640,   960,   1280,  1920,  2560,   3840,   5120,   7680,   10240,  15360,
        20480,  30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680, 491520,
    };
    const unsigned syndrome = in->headers[0];
    if (peer_ahead(in->psn, p->unacked) < 0)
        return; /* of something that has been acknowledged since */
    peer_check_msn(p, in, in->psn);
    peer_acknowledged(p, in->psn, now);
    if (!p->placed)
        return;
    if (syndrome >> 5 == 1) {
        if (p->rnr_retries < 7 && ++p->rnr_tried > p->rnr_retries) {
            peer_fail(p, RVT_WC_STATUS_RNR_RETRY_EXC_ERR);
            return;
        }
        p->wait_until = now + rnr_times[syndrome & 31];
        p->deadline = UINT64_MAX;
        peer_go_back(p, in->psn);
    } else if (syndrome == 0x60) {
        if (peer_ahead(in->psn, p->nak_psn) > 0) /* the responder went on since the last one */
            p->tried = 0;
        p->nak_psn = in->psn;
        if (++p->tried > p->retries) {
            peer_fail(p, RVT_WC_STATUS_RETRY_EXC_ERR);
            return;
        }
        peer_go_back(p, in->psn);
    } else if (syndrome > 0x60 && syndrome < 0x64) {
        const struct peer_request *r = peer_request_at(p, 0);
        /* If answers of an earlier READ are missing it ends by its timer: the other end says no more. */
        if (peer_ahead(in->psn, peer_plus(r->psn, r->packets)) < 0)
            peer_fail(p, statuses[syndrome & 3]);
    } else {
        peer_complain(p, "an unknown syndrome", syndrome);
    }
}

static inline void peer_take_answer(struct peer *p, const struct peer_incoming *in, unsigned is,
                                    uint64_t now) {
    uint32_t index;
    if (peer_ahead(in->psn, p->high) >= 0) {
        peer_complain(p, "an answer to what was never sent", in->psn);
        return;
    }
    if (is == OP_ACK) {
        if (in->length)
            peer_complain(p, "an acknowledgement with a payload", in->length);
        if (in->headers[0] < 0x20) {
            peer_check_msn(p, in, peer_plus(in->psn, 1));
            peer_acknowledged(p, peer_plus(in->psn, 1), now);
        } else {
            peer_take_nak(p, in, now);
        }
        return;
    }
    struct peer_request *r = peer_find(p, in->psn, &index);
    if (!r)
        return; /* of a request that has ended */
    peer_acknowledged(p, r->psn, now);
    if (r != peer_request_at(p, 0) || !p->placed)
        return; /* answers to an earlier request are missing */
    if (is & OP_ATOMIC) {
        const uint64_t old = peer_number(in->headers + 4, 8);
        if (r->opcode == RVT_WR_RDMA_READ || !peer_awaits_answer(r) || in->length) {
            peer_complain(p, "the answer to an atomic, where none was asked for", in->psn);
            return;
        }
        memcpy(r->data, &old, 8);
        r->answered = true;
        peer_acknowledged(p, peer_plus(in->psn, 1), now);
        return;
    }
    if (r->opcode != RVT_WR_RDMA_READ) {
        peer_complain(p, "a READ response, where none was asked for", in->psn);
        return;
    }
    const uint32_t at = (uint32_t)peer_ahead(in->psn, r->psn);
    const bool last = at + 1 == r->packets;
    const uint32_t length = last ? r->length - at * p->mtu : p->mtu;
    if (in->length != length || last != !!(is & OP_LAST) || (at == 0 && !(is & OP_FIRST)))
        peer_complain(p, "a READ response of a wrong length or opcode", in->opcode);
    else if (at == r->arrived) {
        if (length)
            memcpy(r->data + (size_t)at * p->mtu, in->payload, length);
        r->arrived++;
        r->answered = last;
        p->unacked = peer_plus(in->psn, 1);
        peer_progress(p, now);
        peer_acknowledged(p, p->unacked, now);
    }
}

/* --- packets in --- */

static inline void peer_take_packet(struct peer *p, const struct link_packet *packet, uint64_t now) {
    const unsigned char *b = packet->bytes;
    const uint32_t length = packet->length;
    uint32_t icrc;
    if (length < 16 || length > RVT_MOST_PACKET_BYTES)
        return;
    memcpy(&icrc, b + length - 4, 4);
    if (le32toh(icrc) != datagram_icrc(&packet->from, &p->place, packet->id, b, length)) {
        if (!packet->damaged)
            peer_complain(p, "a wrong ICRC", b[0]);
        return;
    }
    if (packet->damaged)
        peer_complain(p, "damage that no ICRC shows", b[0]);
    const unsigned is = peer_opcode(b[0]);
    const uint32_t headers = 12 + peer_headers(b[0]), pad = b[1] >> 4 & 3;
    if (!is || (b[1] & 0x4f) != 0x40 || b[2] != 0xff || b[3] != 0xff || b[4] || b[8] & 0x7f || length % 4 ||
        peer_number(b + 5, 3) != p->qpn || length < headers + pad + 4) {
        peer_complain(p, "a malformed packet", b[0]);
        return;
    }
    for (uint32_t i = 0; i < pad; i++)
        if (b[length - 5 - i])
            peer_complain(p, "pad bytes that are not 0", b[length - 5 - i]);
    const struct peer_incoming in = {
        .opcode = b[0],
        .solicited = b[1] & 0x80,
        .ack_req = b[8] & 0x80,
        .psn = (uint32_t)peer_number(b + 9, 3),
        .headers = b + 12,
        .payload = b + headers,
        .length = length - headers - pad - 4,
    };
    if (p->failed)
        return;
    if (is & (OP_RESPONSE | OP_ACK))
        peer_take_answer(p, &in, is, now);
    else
        peer_take_request(p, &in, is);
}

/* --- packets out --- */

static inline void peer_put_bth(const struct peer *p, struct packet *out, unsigned opcode, uint32_t psn,
                                uint32_t length) {
    out->length = 0;
    put_8(out, opcode);
    put_8(out, 0x40 | (-length & 3) << 4);
    put_16(out, 0xffff);
    put_8(out, 0);
    put_24(out, p->other_qpn);
    put_8(out, 0);
    put_24(out, psn);
}

static inline bool peer_next_answer(struct peer *p, struct packet *out) {
    while (p->answer_count) {
        struct peer_answer *a = &p->answers[p->answer_head];
        const uint32_t length = a->kind != PEER_READ ? 0 : a->rest < p->mtu ? a->rest : p->mtu;
        unsigned opcode = a->kind == PEER_ACK ? 0x11 : 0x12;
        const unsigned char *bytes = NULL;
        bool done = true;
        if (a->kind == PEER_READ) {
            const bool first = !a->begun && !(a->rest_only && p->middle_when_resumed);
            opcode = a->rest > length ? (first ? 0x0d : 0x0e) : (first ? 0x10 : 0x0f);
            done = a->rest == length;
            bytes = length ? peer_judge(p, a->addr, a->rest, a->key, RVT_ACCESS_REMOTE_READ) : NULL;
            if (length && !bytes) { /* revoked meanwhile */
                a->kind = PEER_ACK;
                a->syndrome = 0x62;
                if (!p->failed)
                    peer_fail(p, RVT_WC_STATUS_WR_FLUSH_ERR);
                p->answer_count = 1;
                continue;
            }
        }
        peer_put_bth(p, out, opcode, a->psn, length);
        if (opcode != 0x0e)
            put_32(out, a->syndrome << 24 | (a->msn & 0xffffff));
        if (a->kind == PEER_ATOMIC)
            put_64(out, a->old);
        put(out, bytes ? bytes : (const unsigned char *)"", length);
        a->psn = peer_plus(a->psn, 1);
        a->addr += length;
        a->rest -= length;
        a->begun = true;
        if (done) {
            p->answer_head = (p->answer_head + 1) % PEER_ANSWERS;
            p->answer_count--;
        }
        return true;
    }
    return false;
}

/* Gives the next work request its PSNs, if it may begin. */
static inline bool peer_place(struct peer *p) {
    struct peer_request *r = peer_request_at(p, p->placed);
    uint32_t reads = 0;
    if (p->placed == p->count)
        return false;
    for (uint32_t i = 0; i < p->placed; i++)
        reads += peer_awaits_answer(peer_request_at(p, i));
    if ((r->flags & RVT_SEND_FENCE && reads) || (peer_awaits_answer(r) && reads >= p->most_reads))
        return false;
    r->psn = p->end;
    r->packets =
        r->length && r->opcode != RVT_WR_ATOMIC_CMP_AND_SWP && r->opcode != RVT_WR_ATOMIC_FETCH_AND_ADD
            ? (r->length - 1) / p->mtu + 1
            : 1;
    r->placed = true;
    p->end = peer_plus(p->end, r->packets);
    p->placed++;
    return true;
}

static inline bool peer_next_request(struct peer *p, struct packet *out, uint64_t now) {
    uint32_t index;
    if (p->failed || (p->wait_until && now < p->wait_until))
        return false;
    p->wait_until = 0;
    if (p->next == p->end && (peer_ahead(p->next, p->unacked) >= (int32_t)p->window || !peer_place(p)))
        return false;
    struct peer_request *r = peer_find(p, p->next, &index);
    if (!r)
        abort();
    const uint32_t at = (uint32_t)peer_ahead(p->next, r->psn);
    const bool first = at == 0, last = at + 1 == r->packets;
    uint32_t length = 0;
    if (peer_ahead(p->next, p->unacked) >= (int32_t)p->window && !peer_awaits_answer(r))
        return false;
    if (r->opcode == RVT_WR_RDMA_READ) {
        /* The rest that is missing. */
        peer_put_bth(p, out, 0x0c, p->next, 0);
        put_64(out, r->remote + (uint64_t)at * p->mtu);
        put_32(out, r->rkey);
        put_32(out, r->length - at * p->mtu);
        out->bytes[8] = 0x80;
        p->next = peer_plus(r->psn, r->packets);
    } else if (peer_awaits_answer(r)) {
        const bool add = r->opcode == RVT_WR_ATOMIC_FETCH_AND_ADD;
        peer_put_bth(p, out, add ? 0x14 : 0x13, p->next, 0);
        put_64(out, r->remote);
        put_32(out, r->rkey);
        put_64(out, add ? r->compare_add : r->swap);
        put_64(out, add ? 0 : r->compare_add);
        out->bytes[8] = 0x80;
        p->next = peer_plus(p->next, 1);
    } else {
        const bool write = r->opcode == RVT_WR_RDMA_WRITE || r->opcode == RVT_WR_RDMA_WRITE_WITH_IMM;
        const bool imm = r->opcode == RVT_WR_RDMA_WRITE_WITH_IMM || r->opcode == RVT_WR_SEND_WITH_IMM;
        const bool inv = r->opcode == RVT_WR_SEND_WITH_INV;
        const unsigned base = write ? 6 : 0;
        unsigned opcode = base + (first ? last ? 4 : 0 : last ? 2 : 1) + (last && imm);
        if (inv && last)
            opcode = first ? 0x17 : 0x16;
        length = last ? r->length - at * p->mtu : p->mtu;
        peer_put_bth(p, out, opcode, p->next, length);
        if (write && first) {
            put_64(out, r->remote);
            put_32(out, r->rkey);
            put_32(out, r->length);
        }
        if (last && (imm || inv))
            put_32(out, imm ? r->imm : r->invalidate);
        put(out, length ? r->data + (size_t)at * p->mtu : (const unsigned char *)"", length);
        if (last && r->flags & RVT_SEND_SOLICITED && (!write || imm))
            out->bytes[1] |= 0x80;
        p->next = peer_plus(p->next, 1);
        const bool nothing_more = p->next == p->end && p->placed == p->count;
        const bool closes = peer_ahead(p->next, p->unacked) >= (int32_t)p->window;
        /* Whatever waits for this one's completion waits for its acknowledgement. */
        const bool blocks = p->next == p->end && p->placed < p->count &&
                            peer_request_at(p, p->placed)->flags & RVT_SEND_FENCE;
        if ((last && !p->seldom_ack_req) || nothing_more || closes || blocks ||
            at % p->ack_every == p->ack_every - 1)
            out->bytes[8] = 0x80;
    }
    if (peer_ahead(p->next, p->high) > 0)
        p->high = p->next;
    if (p->deadline == UINT64_MAX && p->timeout)
        p->deadline = now + p->timeout;
    return true;
}

/* Writes the next packet with its ICRC. */
static inline bool peer_next_packet(struct peer *p, struct link_packet *packet, uint64_t now) {
    struct packet out;
    if (!peer_next_answer(p, &out) && !peer_next_request(p, &out, now))
        return false;
    for (unsigned pad = out.bytes[1] >> 4 & 3; pad; pad--)
        put_8(&out, 0);
    out.length += 4;
    const uint32_t icrc =
        htole32(datagram_icrc(&p->place, &p->other, packet->id, out.bytes, (uint32_t)out.length));
    memcpy(out.bytes + out.length - 4, &icrc, 4);
    memcpy(packet->bytes, out.bytes, out.length);
    packet->length = (uint32_t)out.length;
    return true;
}

/* --- as an end of the link --- */

static inline uint32_t peer_send(void *data, struct link_packet *packets, uint32_t count, uint64_t now) {
    uint32_t sent = 0;
    while (sent < count && peer_next_packet(data, &packets[sent], now))
        sent++;
    return sent;
}

static inline void peer_receive(void *data, struct link_packet *const *packets, uint32_t count,
                                uint64_t now) {
    for (uint32_t i = 0; i < count; i++)
        peer_take_packet(data, packets[i], now);
}

static inline uint64_t peer_tick(void *data, uint64_t now) {
    struct peer *p = data;
    if (!p->failed && p->deadline <= now) {
        p->deadline = UINT64_MAX;
        if (++p->tried > p->retries)
            peer_fail(p, RVT_WC_STATUS_RETRY_EXC_ERR);
        else
            peer_go_back(p, p->unacked);
    }
    return p->wait_until > now && p->wait_until < p->deadline ? p->wait_until : p->deadline;
}

static inline struct link_end peer_end(struct peer *p) {
    return (struct link_end){p, p->place, peer_send, peer_receive, peer_tick};
}

#endif
