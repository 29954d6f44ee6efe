/* SPDX-License-Identifier: BSD-3-Clause */
/* Chaos on one device: each party is a thread with a context, a completion queue, queue pairs, regions and a
 * window (a region whose key comes and goes). Only the owner of a queue pair posts to it, so the owner knows
 * the exact order in which completions must arrive. Everything else may be done by others: they destroy queue
 * pairs, put them into error, fire RNR timers, end their own contexts, and in half of the rounds the main
 * thread closes the device in the middle. In half of the lives of a party its completion queue has a ring, and the
 * party takes completions in two ways in turn: by HEAD and TAIL of the ring, and by polling.
 *
 * Checked all the time:
 * - completions of a queue pair arrive in the order of posting, each at most once. A signaled work request is
 *   never skipped, unless its queue pair was reset or destroyed;
 * - a queue pair in error gives back everything that was posted to it;
 * - live memory holds no byte of the poison, and memory that was taken back holds nothing else: no byte of it
 *   is written after the verb has returned, and none is read;
 * - an armed completion queue reports exactly one event, and reports it before its completion can be polled;
 * - no byte of a ring is written after the verb that ended its queue has returned;
 * - RNR timers are reported with the requester's user pointer;
 * - atomics are carried out as often as they complete.
 * In the end no region is held, and nothing of the engine is left.
 *
 *     test_chaos_engine [seed [seconds]]
 *
 * The seed decides what each thread does; the order of the threads is up to the machine. */
#include "core/engine/engine_state.h"
#include "core/rvt.h"
#include "stress.h"

enum {
    PARTIES = 4,
    QPS = 3,
    REGIONS = 2,
    REGION_BYTES = 8 * RVT_SECTION_BYTES, /* long requests take several steps */
    WINDOW_BYTES = 4 * RVT_SECTION_BYTES,
    LONG_BYTES = RVT_SECTION_BYTES / 4,
    WORD_BYTES = 64, /* at the start of each region: results of atomics, any bytes */
    DEPTH = 32,      /* posted work requests of one queue that have not completed */
    CQE = QPS * 2 * DEPTH,
    RING_BYTES = RVT_RING_ENTRIES * sizeof(uint32_t) + CQE * sizeof(struct rvt_wc),
    POISON = 0xd7,
    LIVE_BYTES = 0x80,    /* live memory holds bytes below this */
    BUSY_TRIES = 200000,  /* attempts of dereg until a region counts as held for ever */
    FLUSH_TRIES = 200000, /* polls of a queue pair in error until it counts as stuck */
    MANY_KEYS = 256,      /* keys of one slot that differ in their low 8 bits */
};

/* Queue pairs of a party by index. Sinks never send, so no RNR timer may be reported for one. */
enum { ACTIVE, SINK, UNRELIABLE };

/* A work request that was posted. */
struct entry {
    uint64_t id;
    uint32_t opcode, key; /* key: what a LOCAL_INV invalidates */
    bool signaled;
};

/* Work requests of one queue, oldest first. */
struct posted {
    struct entry entries[DEPTH];
    unsigned first, count;
};

struct place {
    unsigned owner, index;
    /* The handle is written by the owner with the lock held. Others hold the lock only to copy it. */
    pthread_mutex_t lock;
    struct rvt_qp_handle handle;
    atomic_uint users; /* threads that use a copy of the handle */
    atomic_uint qpn;
    _Atomic(uint64_t) serial;
    /* The owner's alone: */
    struct posted sends, receives;
    unsigned peer; /* party of the queue pair that it is connected to */
    bool failed;   /* a completion has reported a failure: the queue pair is in error, or will be soon */
};

/* What others need to know to reach memory. */
struct shown {
    _Atomic(uint64_t) addr;
    atomic_uint key;   /* 0: the memory cannot be used now */
    atomic_uint users; /* calls that post a long request to it, and probably carry it out */
};

struct region {
    unsigned char *bytes;
    uint32_t length;
    struct rvt_mr_handle mr;
    bool back; /* the memory was taken back and holds the poison */
    struct shown shown;
};

struct party {
    struct worker w;
    struct rvt_ucontext *context;
    struct rvt_pd_handle pd;
    struct rvt_cq_handle cq;
    _Atomic(uint64_t) cq_serial;
    atomic_uint armed;       /* by the owner; the event disarms */
    bool armed_empty;        /* the queue was empty when it was armed: its next completion must fire */
    _Atomic(uint32_t) *ring; /* NULL: the queue has none */
    uint32_t taken;          /* completions taken, modulo 2^32 */
    uint32_t next;           /* place of the next one in the ring */
    struct place places[QPS];
    struct region regions[REGIONS], window, counter;
    struct rvt_dma_handle dma;
    uint32_t window_key;
    bool window_valid;
    uint64_t next_id;
    uint64_t posted, completed, by_status[RVT_WC_STATUS_COUNT], dropped, deregs, busy, lives, quiets, takes,
        arms, from_rings, packed;
};

static struct party parties[PARTIES];
static struct rvt_dev_info *device;
static alignas(4096) unsigned char memory_of[PARTIES][REGIONS][REGION_BYTES];
static alignas(4096) unsigned char window_of[PARTIES][WINDOW_BYTES];
static alignas(4096) unsigned char ring_of[PARTIES][RING_BYTES];
static alignas(64) _Atomic(uint64_t) counter_of[PARTIES];
static atomic_bool closing; /* the main thread closes the device: EBADF is a right answer */
static atomic_ulong timers, events, fetched, tried, destroyed, errors;
static uint64_t seed_of_run = 1;
#ifdef __SANITIZE_THREAD__
static double seconds_of_run = 6; /* ThreadSanitizer makes the program about ten times slower */
#else
static double seconds_of_run = 2;
#endif

/* Counts a violation, and reports the first few. */
static void wrong(const char *what, uint64_t a, uint64_t b) {
    static atomic_uint reported;
    if (atomic_fetch_add(&reported, 1) < 10)
        printf("# %s (%" PRIu64 ", %" PRIu64 ")\n", what, a, b);
    atomic_fetch_add(&check_failures, 1);
}

#define MUST(condition, what, a, b)                                                                          \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            wrong(what, (uint64_t)(a), (uint64_t)(b));                                                       \
    } while (0)

/* Returns whether the verb succeeded. Any failure but EBADF while the device closes is a violation. */
static bool worked(int answer) {
    if (answer == 0)
        return true;
    MUST(answer == -RVT_EBADF && atomic_load(&closing), "a verb failed", -answer, 0);
    return false;
}

/* --- events --- */

static void note(enum rvt_event_kind kind, uint64_t object, void *user, void *data) {
    (void)data;
    if (kind == RVT_EVENT_COMPLETION) {
        struct party *p = user;
        MUST(atomic_load(&p->cq_serial) == object, "event of another completion queue", object, 0);
        MUST(atomic_exchange(&p->armed, 0) == 1, "event of a queue that is not armed", p->w.index, 0);
        atomic_fetch_add(&events, 1);
    } else if (kind == RVT_EVENT_TIMER) {
        const struct place *place = user;
        MUST(atomic_load(&place->serial) == object, "timer of another queue pair", object, place->index);
        MUST(place->index == ACTIVE, "timer of a queue pair that sends nothing", place->index, 0);
        atomic_fetch_add(&timers, 1);
    } else {
        wrong("an event that cannot occur", kind, object);
    }
}

/* --- memory --- */

static void make_live(struct region *r, unsigned char tag) {
    memset(r->bytes, tag % LIVE_BYTES, r->length);
}

/* Looks at eight bytes at a time. Returns whether one of them has a bit of the mask that differs from `expected`. */
static bool differs(const struct region *r, uint32_t from, unsigned char mask, unsigned char expected,
                    uint32_t *at) {
    const uint64_t every = UINT64_C(0x0101010101010101), masks = mask * every, words = expected * every;
    for (uint32_t i = from; i < r->length; i += 8) {
        uint64_t word;
        memcpy(&word, r->bytes + i, sizeof(word));
        if ((word ^ words) & masks) {
            *at = i;
            return true;
        }
    }
    return false;
}

/* Must be called after a verb has ended all access to the memory: reports poison that was written to it, then
 * fills it with poison. */
static void take_back(struct region *r) {
    uint32_t at;
    if (differs(r, WORD_BYTES, LIVE_BYTES, 0, &at))
        wrong("live memory holds a byte that was read from memory taken back", at, r->length);
    memset(r->bytes, POISON, r->length);
    r->back = true;
    atomic_store(&r->shown.key, 0);
}

static void check_back(const struct region *r) {
    uint32_t at;
    if (r->back && differs(r, 0, UINT8_MAX, POISON, &at))
        wrong(r->length == WINDOW_BYTES ? "a window that was taken back was written"
                                        : "a region that was taken back was written",
              at, r->bytes[at]);
}

static bool show(struct party *p, struct region *r) {
    struct rvt_memory *memory = rvt_fixed_memory(r->bytes, r->length);
    struct rvt_mr_birth birth = {0};
    const uint64_t addr = (uint64_t)(uintptr_t)r->bytes;
    check_back(r);
    make_live(r, (unsigned char)roll(&p->w.seed, LIVE_BYTES));
    r->back = false;
    const bool there =
        memory && worked(rvt_reg_user_mr_at(p->pd, memory, addr, addr, ALL_ACCESS, &r->mr, &birth));
    if (memory)
        rvt_memory_put(memory);
    atomic_store(&r->shown.addr, addr);
    atomic_store(&r->shown.key, birth.key);
    return there;
}

/* --- completions --- */

static void forget(struct party *p, struct posted *posted) {
    p->dropped += posted->count;
    posted->count = 0;
}

/* Takes the oldest entries up to the completion's. Only those without a completion may be skipped. */
static bool find_entry(struct posted *posted, const struct rvt_wc *wc, struct entry *found) {
    while (posted->count) {
        *found = posted->entries[posted->first];
        posted->first = (posted->first + 1) % DEPTH;
        posted->count--;
        if (found->id == wc->wr_id)
            return true;
        if (found->signaled) {
            wrong("a completion is missing or out of order", found->id, wc->wr_id);
            return false;
        }
    }
    wrong("a completion of nothing that was posted", wc->wr_id, wc->status);
    return false;
}

/* Waits until the memory is probably in use, so that taking it back is most likely to find a late access. */
static void await_bad_moment(struct party *p, struct shown *shown) {
    for (unsigned i = 0, tries = (unsigned)roll(&p->w.seed, 4) * 300;
         i < tries && !atomic_load(&shown->users); i++)
        if (i % 50 == 49)
            rvt_yield();
}

static void window_is_back(struct party *p) {
    p->window_valid = false;
    take_back(&p->window);
    p->takes++;
}

static void note_completion(struct party *p, const struct rvt_wc *wc) {
    struct place *place = &p->places[wc->wr_id & 3];
    const bool receive = wc->wr_id & 4;
    struct entry entry;
    p->completed++;
    p->by_status[wc->status]++;
    MUST(wc->qp_num == atomic_load(&place->qpn), "a completion of another queue pair", wc->qp_num, wc->wr_id);
    MUST(receive == (wc->opcode >= RVT_WC_OPCODE_RECV), "a completion of the other side", wc->opcode,
         wc->wr_id);
    if (!find_entry(receive ? &place->receives : &place->sends, wc, &entry))
        return;
    MUST(entry.signaled || wc->status, "a completion that was not asked for", wc->wr_id, wc->opcode);
    if (wc->status) {
        place->failed = true;
        return;
    }
    if (wc->opcode == RVT_WC_OPCODE_FETCH_ADD)
        atomic_fetch_add(&fetched, 1);
    const bool invalidated =
        (!receive && entry.opcode == RVT_WR_LOCAL_INV && entry.key == p->window_key) ||
        (receive && (wc->flags & RVT_WC_WITH_INVALIDATE) && wc->imm_or_inv == p->window_key);
    if (invalidated && p->window_valid)
        window_is_back(p);
}

/* Takes up to `count` completions from the ring, without a call. */
static int take_from_ring(struct party *p, uint32_t count, struct rvt_wc *wcs) {
    const struct rvt_wc *entries = (const struct rvt_wc *)(const void *)&p->ring[RVT_RING_ENTRIES];
    const uint32_t waiting = atomic_load_explicit(&p->ring[RVT_RING_HEAD], memory_order_acquire) - p->taken;
    MUST(waiting <= CQE, "a ring holds more completions than fit", waiting, p->taken);
    if (count > waiting)
        count = waiting;
    for (uint32_t i = 0; i < count; i++)
        wcs[i] = entries[(p->next + i) % CQE];
    atomic_store_explicit(&p->ring[RVT_RING_TAIL], p->taken + count, memory_order_release);
    p->from_rings += count;
    return (int)count;
}

/* Takes up to `count` completions in one of the two ways. Returns how many, or an error. */
static int take(struct party *p, uint32_t count, struct rvt_wc *wcs) {
    const bool by_ring = p->ring && roll(&p->w.seed, 4);
    struct rvt_cq_attr attr;
    const int answer = by_ring ? take_from_ring(p, count, wcs) : rvt_poll_cq(p->cq, count, wcs);
    if (answer <= 0)
        return answer;
    p->taken += (uint32_t)answer;
    p->next = (p->next + (uint32_t)answer) % CQE;
    /* The ring shows a completion before its event is reported, but the event is reported before the engine
     * lock is released. */
    if (by_ring && p->armed_empty && rvt_query_cq(p->cq, &attr))
        p->armed_empty = false; /* the queue has ended */
    return answer;
}

/* Takes completions until the queue is empty. */
static void poll_all(struct party *p) {
    struct rvt_wc wcs[16];
    for (int count = 16; count == 16;) {
        const bool was_armed = atomic_load(&p->armed);
        count = take(p, 16, wcs);
        if (count < 0) {
            (void)worked(count);
            return;
        }
        if (count) {
            MUST(!p->armed_empty || !was_armed || !atomic_load(&p->armed),
                 "a completion without the event that was armed", p->w.index, count);
            p->armed_empty = false;
        }
        for (int i = 0; i < count; i++)
            note_completion(p, &wcs[i]);
    }
}

static void arm(struct party *p) {
    if (atomic_load(&p->armed))
        return;
    atomic_store(&p->armed, 1);
    const int answer = rvt_req_notify_cq(p->cq, RVT_NOTIFY_NEXT | RVT_NOTIFY_REPORT_MISSED);
    p->armed_empty = answer == 0;
    p->arms++;
    if (answer < 0)
        (void)worked(answer);
}

/* --- queue pairs --- */

/* Returns a copy of the handle, for a thread that does not own the queue pair. Its context is not freed before the
 * matching release(). */
static struct rvt_qp_handle borrow(struct place *place) {
    pthread_mutex_lock(&place->lock);
    struct rvt_qp_handle handle = place->handle;
    atomic_fetch_add(&place->users, 1);
    pthread_mutex_unlock(&place->lock);
    return handle;
}

static void release(struct place *place) {
    atomic_fetch_sub(&place->users, 1);
}

/* Sets the handle, and waits until nobody uses a copy of the old one. */
static void set_handle(struct place *place, struct rvt_qp_handle handle) {
    pthread_mutex_lock(&place->lock);
    place->handle = handle;
    pthread_mutex_unlock(&place->lock);
    while (atomic_load(&place->users))
        rvt_yield();
}

/* Takes the queue pair from RESET to RTS. Others may put it into error or destroy it at any time. */
static void connect_place(struct party *p, struct place *place) {
    const bool rc = place->index != UNRELIABLE;
    place->peer = (unsigned)roll(&p->w.seed, PARTIES);
    place->failed = false;
    const struct party *other = &parties[place->peer];
    const unsigned index = !rc                   ? (unsigned)UNRELIABLE
                           : roll(&p->w.seed, 3) ? (unsigned)SINK
                                                 : (unsigned)ACTIVE;
    struct rvt_qp_attr attr = {
        .state = RVT_QPS_INIT,
        .port = 1,
        .access = ALL_ACCESS,
        .av = {.port = 1},
        .path_mtu = 5,
        .dest_qpn = atomic_load(&other->places[index].qpn),
        .rnr_retry = (uint32_t)roll(&p->w.seed, 8),
        .min_rnr_timer = (uint32_t)roll(&p->w.seed, 32),
        .max_rd_atomic = 4,
    };
    uint32_t rtr = RVT_QPA_STATE | RVT_QPA_AV | RVT_QPA_PATH_MTU | RVT_QPA_DEST_QPN | RVT_QPA_RQ_PSN;
    uint32_t rts = RVT_QPA_STATE | RVT_QPA_SQ_PSN;
    if (rc) {
        rtr |= RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER;
        rts |= RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY | RVT_QPA_MAX_RD_ATOMIC;
    }
    int error = rvt_modify_qp(place->handle, &attr,
                              RVT_QPA_STATE | RVT_QPA_PKEY_INDEX | RVT_QPA_PORT | RVT_QPA_ACCESS_FLAGS);
    attr.state = RVT_QPS_RTR;
    error = error ? error : rvt_modify_qp(place->handle, &attr, rtr);
    attr.state = RVT_QPS_RTS;
    error = error ? error : rvt_modify_qp(place->handle, &attr, rts);
    MUST(!error || error == -RVT_EBADF || error == -RVT_EINVAL, "connecting failed", -error, place->index);
}

static bool create_place(struct party *p, struct place *place) {
    uint32_t qpn = 0;
    struct rvt_qp_handle handle;
    const struct rvt_qp_init init = {
        .type = place->index == UNRELIABLE ? RVT_QPT_UC : RVT_QPT_RC,
        .sig_type = RVT_SIGNAL_REQ_WR,
        .send_cq = p->cq,
        .recv_cq = p->cq,
        .max_send_wr = DEPTH,
        .max_send_sge = 2,
        .max_recv_wr = DEPTH,
        .max_recv_sge = 2,
        .user = place,
    };
    if (!worked(rvt_create_qp(p->pd, &init, &handle, &qpn)))
        return false;
    atomic_store(&place->serial, handle.qp->owned.serial);
    atomic_store(&place->qpn, qpn);
    set_handle(place, handle);
    connect_place(p, place);
    return true;
}

/* Replaces a queue pair that another thread has destroyed or is destroying. */
static void replace_place(struct party *p, struct place *place) {
    set_handle(place, (struct rvt_qp_handle){0});
    poll_all(p);
    forget(p, &place->sends);
    forget(p, &place->receives);
    (void)create_place(p, place);
}

/* If the answer says that the queue pair was destroyed, replaces it and returns true. */
static bool replaced(struct party *p, struct place *place, int answer) {
    if (answer != -RVT_EBADF)
        return false;
    if (!atomic_load(&closing))
        replace_place(p, place);
    return true;
}

static void reset_place(struct party *p, struct place *place) {
    const struct rvt_qp_attr attr = {.state = RVT_QPS_RESET};
    struct rvt_qp_query query;
    int answer = rvt_modify_qp(place->handle, &attr, RVT_QPA_STATE);
    answer = answer ? answer : rvt_query_qp(place->handle, &query);
    if (replaced(p, place, answer) || !worked(answer))
        return;
    poll_all(p);
    forget(p, &place->sends);
    /* Posted receives survive. The one in hand, which is the oldest, is dropped. */
    struct posted *receives = &place->receives;
    MUST(receives->count == query.receives || receives->count == query.receives + 1,
         "receives are lost or doubled by a reset", receives->count, query.receives);
    if (receives->count > query.receives) {
        receives->first = (receives->first + 1) % DEPTH;
        receives->count--;
        p->dropped++;
    }
    connect_place(p, place);
}

/* Puts the queue pair into error and waits until it has given back all that was posted. */
static void quiet_place(struct party *p, struct place *place, bool bring_back) {
    const struct rvt_qp_attr attr = {.state = RVT_QPS_ERR};
    struct rvt_qp_query query = {0};
    int answer = rvt_modify_qp(place->handle, &attr, RVT_QPA_STATE);
    if (answer == -RVT_EINVAL) /* in RESET, where nothing was sent */
        answer = 0;
    for (unsigned tries = 0; !answer; tries++) {
        answer = rvt_query_qp(place->handle, &query);
        if (!query.sends || answer)
            break;
        if (tries == FLUSH_TRIES) {
            wrong("a queue pair in error is not flushed", query.sends, query.attr.state);
            break;
        }
        (void)rvt_run_engine(device);
        rvt_yield();
    }
    if (replaced(p, place, answer) || !worked(answer))
        return;
    poll_all(p);
    struct posted *sends = &place->sends, *receives = &place->receives;
    for (unsigned i = 0; i < sends->count; i++)
        MUST(!sends->entries[(sends->first + i) % DEPTH].signaled, "a send never completed",
             sends->entries[(sends->first + i) % DEPTH].id, place->index);
    if (query.attr.state == RVT_QPS_ERR)
        MUST(!receives->count, "receives never completed", receives->count, place->index);
    sends->count = 0;
    p->quiets++;
    if (bring_back)
        reset_place(p, place);
}

static void destroy_place(struct party *p, struct place *place) {
    const int answer = rvt_destroy_qp(place->handle);
    atomic_fetch_add(&destroyed, 1);
    if (replaced(p, place, answer) || !worked(answer))
        return;
    replace_place(p, place);
}

/* --- posting --- */

static uint64_t new_id(struct party *p, const struct place *place, bool receive) {
    return ++p->next_id << 3 | (receive ? 4u : 0u) | place->index;
}

static void push(struct posted *posted, struct entry entry) {
    posted->entries[(posted->first + posted->count++) % DEPTH] = entry;
}

static void pop_newest(struct posted *posted, unsigned count) {
    posted->count -= count;
}

static struct region *any_region(struct party *p, struct party *of) {
    return &of->regions[roll(&p->w.seed, REGIONS)];
}

/* Fills a work request that moves bytes. Returns the memory that it names. */
static struct shown *fill_request(struct party *p, const struct place *place, struct rvt_send_wr *wr,
                                  struct rvt_ib_sge *sge) {
    static const uint32_t opcodes[] = {
        RVT_WR_SEND,
        RVT_WR_SEND_WITH_IMM,
        RVT_WR_SEND_WITH_INV,
        RVT_WR_RDMA_WRITE,
        RVT_WR_RDMA_WRITE,
        RVT_WR_RDMA_READ,
        RVT_WR_RDMA_READ,
        RVT_WR_ATOMIC_FETCH_AND_ADD,
        RVT_WR_ATOMIC_CMP_AND_SWP,
        RVT_WR_RDMA_WRITE_WITH_IMM,
    };
    uint64_t *seed = &p->w.seed;
    struct party *other = &parties[place->peer];
    wr->opcode = opcodes[roll(seed, sizeof(opcodes) / sizeof(opcodes[0]))];
    if (wr->opcode == RVT_WR_SEND_WITH_INV && roll(seed, 4))
        wr->opcode = RVT_WR_SEND;
    if (place->index == UNRELIABLE)
        wr->opcode = roll(seed, 2) ? RVT_WR_RDMA_WRITE : RVT_WR_SEND;
    const struct region *own = any_region(p, p);
    /* Mostly memory that can be used now: a refused request puts the queue pairs into error. */
    bool window = roll(seed, 2);
    struct shown *there = NULL;
    for (unsigned tries = 0; tries < 4 && !(there && atomic_load(&there->key)); tries++, window = !window)
        there = window ? &other->window.shown : &any_region(p, other)->shown;
    window = there == &other->window.shown;
    for (unsigned tries = 0; tries < 4 && !atomic_load(&own->shown.key); tries++)
        own = any_region(p, p);
    const uint32_t whole = (window ? WINDOW_BYTES : REGION_BYTES) - WORD_BYTES;
    *sge = (struct rvt_ib_sge){
        .addr = (uint64_t)(uintptr_t)own->bytes + WORD_BYTES,
        .length = (uint32_t)(roll(seed, 3) ? roll(seed, 256) : whole / 2 + roll(seed, whole / 2)),
        .lkey = atomic_load(&own->shown.key),
    };
    wr->remote_addr = atomic_load(&there->addr) + WORD_BYTES + roll(seed, whole - sge->length);
    wr->rkey = atomic_load(&there->key);
    wr->invalidate_rkey = atomic_load(&other->window.shown.key);
    if (wr->opcode == RVT_WR_ATOMIC_FETCH_AND_ADD || wr->opcode == RVT_WR_ATOMIC_CMP_AND_SWP) {
        sge->addr -= WORD_BYTES;
        sge->length = 8;
        wr->remote_addr = (uint64_t)(uintptr_t)&counter_of[place->peer];
        wr->rkey = atomic_load(&other->counter.shown.key);
        wr->compare_add = wr->opcode == RVT_WR_ATOMIC_FETCH_AND_ADD ? 1 : UINT64_MAX; /* never swaps */
        if (wr->opcode == RVT_WR_ATOMIC_FETCH_AND_ADD)
            atomic_fetch_add(&tried, 1);
    }
    wr->sges = sge;
    wr->num_sge = 1;
    return there;
}

static const struct rvt_send_wr *read_one(void *data, uint32_t index) {
    return (const struct rvt_send_wr *)data + index;
}

static void post_sends(struct party *p, struct place *place) {
    enum { MOST = 4 };
    struct rvt_send_wr wrs[MOST];
    struct rvt_ib_sge sges[MOST];
    struct shown *there[MOST];
    uint32_t count = 1 + (uint32_t)roll(&p->w.seed, MOST), bad = 0;
    if (DEPTH - place->sends.count < count)
        return;
    for (uint32_t i = 0; i < count; i++) {
        wrs[i] = (struct rvt_send_wr){
            .wr_id = new_id(p, place, false),
            .flags = roll(&p->w.seed, 3) ? RVT_SEND_SIGNALED : 0,
        };
        there[i] = fill_request(p, place, &wrs[i], &sges[i]);
        atomic_fetch_add(&there[i]->users, sges[i].length > LONG_BYTES);
        push(&place->sends, (struct entry){wrs[i].wr_id, wrs[i].opcode, 0, wrs[i].flags & RVT_SEND_SIGNALED});
    }
    const struct rvt_send_source source = {read_one, wrs};
    const bool packed = roll(&p->w.seed, 2);
    const int answer = packed ? rvt_post_send_from(place->handle, &source, count, &bad)
                              : rvt_post_send(place->handle, wrs, count, &bad);
    for (uint32_t i = 0; i < count; i++)
        atomic_fetch_sub(&there[i]->users, sges[i].length > LONG_BYTES);
    const uint32_t accepted = !answer ? count : bad == RVT_NO_BAD_WR ? 0 : bad;
    pop_newest(&place->sends, count - accepted);
    p->posted += accepted;
    p->packed += packed ? accepted : 0;
    if (!replaced(p, place, answer))
        MUST(!answer || answer == -RVT_EINVAL || answer == -RVT_ENOMEM, "posting failed", -answer, bad);
}

static void post_receive(struct party *p, struct place *place) {
    const struct region *own = any_region(p, p);
    const struct rvt_ib_sge sge = {
        .addr = (uint64_t)(uintptr_t)own->bytes + WORD_BYTES,
        .length = roll(&p->w.seed, 5) ? REGION_BYTES - WORD_BYTES : 100, /* some are too small */
        .lkey = atomic_load(&own->shown.key),
    };
    const struct rvt_recv_wr wr = {new_id(p, place, true), &sge, 1};
    if (place->receives.count == DEPTH)
        return;
    push(&place->receives, (struct entry){.id = wr.wr_id, .signaled = true});
    const int answer = rvt_post_recv(place->handle, &wr, 1, NULL);
    if (answer)
        pop_newest(&place->receives, 1);
    else
        p->posted++;
    if (!replaced(p, place, answer))
        MUST(!answer || answer == -RVT_EINVAL || answer == -RVT_ENOMEM, "posting a receive failed", -answer,
             0);
}

/* Gives the window a key, or takes the key away in one of three ways. */
static void use_window(struct party *p) {
    struct place *place = &p->places[ACTIVE];
    const bool give = !p->window_valid;
    struct rvt_send_wr wr = {.wr_id = new_id(p, place, false)};
    int answer;
    if (place->sends.count == DEPTH)
        return;
    check_back(&p->window);
    if (give) {
        make_live(&p->window, (unsigned char)roll(&p->w.seed, LIVE_BYTES));
        p->window.back = false;
        wr.opcode = RVT_WR_REG_MR;
        wr.mr = p->window.mr;
        wr.access = ALL_ACCESS;
        wr.key = (p->window_key & ~(MANY_KEYS - 1u)) | ((p->window_key + 1) % MANY_KEYS);
    } else {
        if (roll(&p->w.seed, 3) == 0) {
            await_bad_moment(p, &p->window.shown);
            answer = rvt_invalidate_rkey(place->handle, p->window_key);
            if (!answer)
                window_is_back(p);
            else if (answer ==
                     -RVT_EINVAL) /* a peer has invalidated it, but its receive does not say so yet */
                p->w.stale++;
            else
                (void)replaced(p, place, answer);
            return;
        }
        wr.opcode = RVT_WR_LOCAL_INV;
        wr.invalidate_rkey = p->window_key;
        if (roll(&p->w.seed, 2))
            wr.flags = RVT_SEND_SIGNALED | RVT_SEND_FENCE; /* delayed: its completion says when it is done */
    }
    if (give && roll(&p->w.seed, 2))
        wr.flags = RVT_SEND_SIGNALED;
    const bool signaled = wr.flags & RVT_SEND_SIGNALED;
    /* An unsignaled LOCAL_INV that is not delayed is done when the call returns. A delayed one stays in the list
     * until a later completion arrives. */
    push(&place->sends, (struct entry){wr.wr_id, wr.opcode, wr.invalidate_rkey, signaled});
    answer = rvt_post_send(place->handle, &wr, 1, NULL);
    if (answer) {
        pop_newest(&place->sends, 1);
        if (give && !p->window_valid)
            memset(p->window.bytes, POISON, p->window.length);
        p->window.back = give && !p->window_valid;
        (void)replaced(p, place, answer);
        return;
    }
    p->posted++;
    if (give) {
        p->window_key = wr.key;
        p->window_valid = true;
        atomic_store(&p->window.shown.key, wr.key);
    }
}

/* Creates the region of the window over its DMA memory. Its key is valid, but has no rights before a REG_MR. */
static bool make_window(struct party *p) {
    const uint64_t addr = (uint64_t)(uintptr_t)p->window.bytes;
    struct rvt_sg_outcome outcome;
    struct rvt_mr_attributes attributes = {0};
    check_back(&p->window);
    int answer = rvt_alloc_mr(p->pd, RVT_MR_TYPE_MEM_REG, WINDOW_BYTES / PAGE, &p->window.mr);
    if (!worked(answer))
        return false;
    answer = rvt_map_mr_sg(p->window.mr, &(struct rvt_sg_element){addr, WINDOW_BYTES}, 1, 0, PAGE, &outcome);
    if (!worked(answer == 1 ? 0 : answer) || !worked(rvt_query_mr(p->window.mr, &attributes)))
        return false;
    p->window_key = attributes.keys.lkey;
    p->window_valid = true;
    p->window.back = false;
    make_live(&p->window, 1);
    atomic_store(&p->window.shown.addr, outcome.iova);
    atomic_store(&p->window.shown.key, p->window_key);
    return true;
}

static int dereg(struct party *p, struct region *r, bool force) {
    int answer, tries = 0;
    await_bad_moment(p, &r->shown);
    while ((answer = rvt_dereg_mr(r->mr, force ? RVT_RELEASE_FORCE : RVT_RELEASE)) == -RVT_EBUSY) {
        p->busy++;
        MUST(!force, "dereg by force is busy", 0, 0);
        if (++tries == BUSY_TRIES)
            break;
        rvt_yield();
    }
    return answer;
}

/* Makes the window anew, because its key may have ended without a completion that reports it. */
static void recover_window(struct party *p) {
    if (!p->window_valid || !worked(dereg(p, &p->window, roll(&p->w.seed, 2))))
        return;
    window_is_back(p);
    p->deregs++;
    (void)make_window(p);
}

/* --- the life of a party --- */

static void end_region(struct party *p, struct region *r) {
    const bool force = roll(&p->w.seed, 3) == 0;
    if (r->back) {
        check_back(r);
        (void)show(p, r);
        return;
    }
    if (worked(dereg(p, r, force))) {
        take_back(r);
        p->deregs++;
    }
}

/* Creates the completion queue, with a ring or without. */
static int create_cq(struct party *p) {
    unsigned char *bytes = ring_of[p->w.index];
    struct rvt_cq_init init = {.cqe = CQE, .user = p};
    p->ring = NULL;
    p->taken = p->next = 0;
    for (uint32_t i = 0; i < RING_BYTES; i++)
        if (bytes[i] != POISON) {
            wrong("a ring was written after its queue had ended", i, bytes[i]);
            break;
        }
    if (roll(&p->w.seed, 2)) {
        init.ring = rvt_fixed_memory(bytes, RING_BYTES);
        if (!init.ring)
            return -RVT_ENOMEM;
    }
    const int answer = rvt_create_cq(device, p->context, &init, &p->cq);
    if (init.ring)
        rvt_memory_put(init.ring);
    if (init.ring && !answer)
        p->ring = (_Atomic(uint32_t) *)(void *)bytes;
    return answer;
}

static bool begin_life(struct party *p) {
    const unsigned me = p->w.index;
    int answer = rvt_alloc_ucontext(device, p->w.reader, &p->context);
    if (!worked(answer)) {
        p->context = NULL;
        return false;
    }
    atomic_store(&p->armed, 0);
    p->armed_empty = false;
    answer = rvt_alloc_pd(device, p->context, false, &p->pd);
    answer = answer ? answer : create_cq(p);
    if (!worked(answer))
        return false;
    atomic_store(&p->cq_serial, p->cq.cq->owned.serial);
    for (unsigned i = 0; i < REGIONS; i++) {
        p->regions[i].bytes = memory_of[me][i];
        p->regions[i].length = REGION_BYTES;
        if (!show(p, &p->regions[i]))
            return false;
    }
    /* Atomics of others reach the counter, so it is not filled. */
    uint64_t addr = (uint64_t)(uintptr_t)&counter_of[me];
    struct rvt_mr_birth birth = {0};
    struct rvt_memory *memory = rvt_fixed_memory((void *)&counter_of[me], sizeof(counter_of[me]));
    answer = memory ? rvt_reg_user_mr_at(p->pd, memory, addr, addr, ALL_ACCESS, &p->counter.mr, &birth)
                    : -RVT_ENOMEM;
    if (memory)
        rvt_memory_put(memory);
    if (!worked(answer))
        return false;
    atomic_store(&p->counter.shown.key, birth.key);
    /* The window: memory by a page list. */
    p->window.bytes = window_of[me];
    p->window.length = WINDOW_BYTES;
    addr = (uint64_t)(uintptr_t)window_of[me];
    memory = rvt_fixed_memory(window_of[me], WINDOW_BYTES);
    answer = memory ? rvt_dma_map(device, p->context, memory, true, &addr, &p->dma) : -RVT_ENOMEM;
    if (memory)
        rvt_memory_put(memory);
    if (!worked(answer) || !make_window(p))
        return false;
    for (unsigned i = 0; i < QPS; i++)
        if (!create_place(p, &p->places[i]))
            return false;
    return true;
}

/* Takes all memory of the party back, after all its objects have ended. */
static void all_is_back(struct party *p) {
    for (unsigned i = 0; i < QPS; i++) {
        set_handle(&p->places[i], (struct rvt_qp_handle){0});
        forget(p, &p->places[i].sends);
        forget(p, &p->places[i].receives);
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        check_back(&p->regions[i]);
        if (!p->regions[i].back && p->regions[i].bytes)
            take_back(&p->regions[i]);
    }
    check_back(&p->window);
    if (!p->window.back && p->window.bytes)
        window_is_back(p);
    p->ring = NULL;
    memset(ring_of[p->w.index], POISON, RING_BYTES);
}

static void end_life(struct party *p) {
    if (!p->context)
        return;
    const int answer = rvt_dealloc_ucontext(p->context, true);
    MUST(!answer || (answer == -RVT_EBADF && atomic_load(&closing)), "a context cannot end", -answer, 0);
    if (answer)
        return; /* the main thread closes the device, and frees the context when that is over */
    all_is_back(p);
    rvt_free_ucontext(p->context);
    p->context = NULL;
}

static void disturb(struct party *p) {
    struct place *place = &parties[roll(&p->w.seed, PARTIES)].places[roll(&p->w.seed, QPS)];
    const struct rvt_qp_attr error = {.state = RVT_QPS_ERR};
    const bool destroy = roll(&p->w.seed, 3) == 0;
    const struct rvt_qp_handle handle = borrow(place);
    const int answer = destroy ? rvt_destroy_qp(handle) : rvt_modify_qp(handle, &error, RVT_QPA_STATE);
    release(place);
    if (!answer)
        atomic_fetch_add(destroy ? &destroyed : &errors, 1);
    MUST(!answer || answer == -RVT_EBADF || answer == -RVT_EINVAL, "disturbing failed", -answer, destroy);
}

static void act(struct party *p) {
    struct place *place = &p->places[roll(&p->w.seed, QPS)];
    struct place *sender = &p->places[roll(&p->w.seed, 2) ? UNRELIABLE : ACTIVE];
    const uint64_t die = roll(&p->w.seed, 1000);
    struct region *region = any_region(p, p);
    if (place->failed && die % 8 == 0)
        quiet_place(p, place, true);
    else if (region->back && die % 8 == 1)
        end_region(p, region);
    else if (die < 400 && (!sender->failed || die % 8 == 2)) /* mostly flushed */
        post_sends(p, sender);
    else if (die < 600 && (!place->failed || die % 8 == 2))
        post_receive(p, place);
    else if (die < 800)
        poll_all(p);
    else if (die < 840)
        arm(p);
    else if (die < 880 || (!p->window_valid && die % 4 == 3))
        use_window(p);
    else if (die < 890)
        recover_window(p);
    else if (die < 898)
        end_region(p, region);
    else if (die < 905)
        reset_place(p, place);
    else if (die < 915)
        quiet_place(p, place, true);
    else if (die < 917)
        destroy_place(p, place);
    else if (die < 920)
        disturb(p);
    else if (die < 970)
        (void)rvt_progress(device, (uint64_t)p->next_id * 1000);
    else if (die < 990)
        (void)rvt_fire_timers(device, NULL, NULL);
    else if (die < 996)
        check_back(region);
    else if (die == 999 && roll(&p->w.seed, 4) == 0) {
        end_life(p);
        p->lives++;
        if (!p->context) /* otherwise the device closes */
            (void)begin_life(p);
    }
}

static void live(struct worker *w) {
    struct party *p = (struct party *)w;
    bool alive = begin_life(p);
    while (alive && going()) {
        act(p);
        alive = p->context && !atomic_load(&closing);
    }
}

/* --- rounds --- */

static void open_device(void) {
    struct rvt_limits limits = {{0}};
    for (int i = 0; i < RVT_LIMIT_COUNT; i++)
        limits.of[i] = 255;
    limits.of[RVT_LIMIT_MAX_CQE] = CQE;
    const struct rvt_device_options options = {.lkey_table_bits = 8};
    const struct rvt_engine_options engine = {.limits = limits, .host = {.event = note}};
    if (rvt_register_device(&options, &engine, &device))
        abort();
}

/* Ends a round without closing: everything completes, and nothing is held. */
static void calm_end(void) {
    for (unsigned i = 0; i < PARTIES; i++) {
        struct party *p = &parties[i];
        if (!p->context)
            continue;
        for (unsigned k = 0; k < QPS; k++)
            quiet_place(p, &p->places[k], false);
    }
    CHECK_EQ(rvt_run_engine(device), 0);
    for (unsigned i = 0; i < PARTIES; i++) {
        struct party *p = &parties[i];
        if (!p->context)
            continue;
        poll_all(p);
        for (unsigned k = 0; k < REGIONS; k++)
            if (!p->regions[k].back)
                MUST(fixture_refs(p->regions[k].mr) == 2, "a region is held in the end",
                     fixture_refs(p->regions[k].mr), k);
        MUST(fixture_refs(p->counter.mr) == 2, "a counter is held in the end", fixture_refs(p->counter.mr),
             0);
        MUST(fixture_refs(p->window.mr) == 2, "a window is held in the end", fixture_refs(p->window.mr), 0);
    }
    for (unsigned i = 0; i < PARTIES; i++)
        end_life(&parties[i]);
    const struct rvt_engine *engine = device->engine;
    CHECK_EQ(engine->qps, 0);
    CHECK_EQ(engine->cqs, 0);
    CHECK_EQ(engine->srqs, 0);
    CHECK(!engine->ready.first && !engine->timers.first && !engine->triggered.first);
    CHECK_EQ(engine->completions.lost, 0);
}

static void round_of(unsigned number, double seconds) {
    const long live_before = rvt_test_alloc_live();
    const bool close = number % 2;
    struct rvt_reader *reader = rvt_reader_register();
    struct rvt_ucontext *keeper;
    open_device();
    atomic_store(&closing, false);
    atomic_store(&stop, false);
    REQUIRE(reader && rvt_alloc_ucontext(device, reader, &keeper) == 0);
    for (unsigned i = 0; i < PARTIES; i++) {
        struct party *p = &parties[i];
        for (unsigned k = 0; k < QPS; k++) {
            atomic_store(&p->places[k].qpn, 0);
            p->places[k].handle = (struct rvt_qp_handle){0};
        }
        p->w = (struct worker){.run = live, .seed = seed_of_run * 1000003 + number * 101 + i, .index = i};
    }
    for (unsigned i = 0; i < PARTIES; i++) {
        parties[i].w.reader = rvt_reader_register();
        REQUIRE(parties[i].w.reader && pthread_create(&parties[i].w.thread, NULL, work, &parties[i].w) == 0);
    }
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
    if (close) {
        atomic_store(&closing, true);
        CHECK_EQ(rvt_mr_exit(device, true, NULL), 0);
    } else {
        atomic_store(&stop, true);
    }
    for (unsigned i = 0; i < PARTIES; i++)
        REQUIRE(pthread_join(parties[i].w.thread, NULL) == 0);
    if (close) {
        for (unsigned i = 0; i < PARTIES; i++) {
            struct party *p = &parties[i];
            all_is_back(p);
            if (p->context)
                rvt_free_ucontext(p->context);
            p->context = NULL;
        }
        (void)rvt_fire_timers(device, NULL, NULL);
        (void)rvt_run_engine(device);
        for (unsigned i = 0; i < PARTIES; i++)
            all_is_back(&parties[i]);
    } else {
        calm_end();
    }
    for (unsigned i = 0; i < PARTIES; i++)
        rvt_reader_unregister(parties[i].w.reader);
    if (!close)
        CHECK_EQ(rvt_dealloc_ucontext(keeper, true), 0);
    CHECK_EQ(atomic_load(&device->watched), 0);
    CHECK(!rvt_reclaim_pending(&device->retirement));
    rvt_free_ucontext(keeper);
    rvt_dev_put(device);
    rvt_reader_unregister(reader);
    CHECK_EQ(rvt_test_alloc_live(), live_before);
}

static void nothing_breaks(void) {
    enum { ROUNDS = 4 };
    uint64_t posted = 0, completed = 0, dropped = 0, deregs = 0, busy = 0, lives = 0, quiets = 0, takes = 0,
             arms = 0, from_rings = 0, packed = 0;
    uint64_t by_status[RVT_WC_STATUS_COUNT] = {0}, counted = 0;
    memset(ring_of, POISON, sizeof(ring_of));
    for (unsigned i = 0; i < PARTIES; i++) {
        for (unsigned k = 0; k < QPS; k++) {
            parties[i].places[k].owner = i;
            parties[i].places[k].index = k;
            REQUIRE(pthread_mutex_init(&parties[i].places[k].lock, NULL) == 0);
        }
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        round_of(i, seconds_of_run / ROUNDS);
    for (unsigned i = 0; i < PARTIES; i++) {
        const struct party *p = &parties[i];
        posted += p->posted;
        completed += p->completed;
        dropped += p->dropped;
        deregs += p->deregs;
        busy += p->busy;
        lives += p->lives;
        quiets += p->quiets;
        takes += p->takes;
        arms += p->arms;
        from_rings += p->from_rings;
        packed += p->packed;
        counted += atomic_load(&counter_of[i]);
        for (unsigned k = 0; k < RVT_WC_STATUS_COUNT; k++)
            by_status[k] += p->by_status[k];
    }
    printf("# seed %" PRIu64 ": %" PRIu64 " posted, %" PRIu64 " completed, %" PRIu64 " dropped, %" PRIu64
           " deregs (%" PRIu64 " times busy), %" PRIu64 " windows taken back, %" PRIu64
           " flushed queue pairs, %lu destroyed, "
           "%lu put into error, %" PRIu64 " contexts ended, %" PRIu64 " armings, %lu events, %lu timers\n",
           seed_of_run, posted, completed, dropped, deregs, busy, takes, quiets, atomic_load(&destroyed),
           atomic_load(&errors), lives, arms, atomic_load(&events), atomic_load(&timers));
    printf("# %" PRIu64 " posted one by one, %" PRIu64 " completions taken from rings\n", packed, from_rings);
    printf("# completions by status:");
    for (unsigned k = 0; k < RVT_WC_STATUS_COUNT; k++)
        if (by_status[k])
            printf(" %u: %" PRIu64, k, by_status[k]);
    printf("; atomics: %lu tried, %" PRIu64 " carried out, %lu completed\n", atomic_load(&tried), counted,
           atomic_load(&fetched));
    CHECK(counted >= atomic_load(&fetched) && counted <= atomic_load(&tried));
    CHECK(atomic_load(&events) <= arms);
    /* A run in which an event never happened tests nothing of it. On a slow machine, rare events do not happen in a
         * short run. */
    enum { USUAL = 50000 };
    CHECK(by_status[RVT_WC_STATUS_SUCCESS] && by_status[RVT_WC_STATUS_WR_FLUSH_ERR] && deregs && takes);
    CHECK(atomic_load(&events) && atomic_load(&fetched) && packed);
    CHECK(posted < USUAL || (from_rings && lives && atomic_load(&timers) && atomic_load(&destroyed)));
    for (unsigned i = 0; i < PARTIES; i++)
        for (unsigned k = 0; k < QPS; k++)
            pthread_mutex_destroy(&parties[i].places[k].lock);
}

int main(int argc, char **argv) {
    static const struct check_test tests[] = {TEST(nothing_breaks)};
    if (argc > 1)
        seed_of_run = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seconds_of_run = strtod(argv[2], NULL);
    return check_run(tests, 1);
}
