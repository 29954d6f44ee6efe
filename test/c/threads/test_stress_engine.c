/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads on the engine of one device. Each has a context with queue pairs, a completion queue and regions, and
 * posts to queue pairs of its own and of the others, polls, changes states, destroys queue pairs, deregisters and
 * re-registers regions and ends its context. Checked all the time:
 *
 * - an accepted work request completes exactly once, unless its queue pair was reset or destroyed, after which
 *   it never completes; receives survive a reset, except one in hand;
 * - after a region has ended, or has moved to other memory, no byte of what it had changes;
 * - in the end no element is held. */
#include "core/rvt.h"
#include "stress.h"

enum {
    PEERS = 4,
    QPS = 3,
    REGIONS = 2,
    REGION_BYTES = 3 * RVT_SECTION_BYTES, /* long requests take several steps */
    SIDES = 2,                            /* a region moves from one memory to the other and back */
    SLOTS = 64,                           /* work requests of a queue pair that have not completed */
    MOST_WR = 24,
    CQE = QPS * SLOTS,
    QKEY = 0x77,
    RUN_SECONDS = 2,
};

enum slot_state { FREE, POSTED };

/* A work request's wr_id names its slot, and how often the slot was used. */
struct slot {
    atomic_uint state, uses;
    atomic_bool receive; /* receives survive a reset */
};

/* Queue pairs by index: an RC one, a UC one that takes from a shared receive queue, a UD one. */
enum { RC_PLACE, SHARED_PLACE, UD_PLACE };

/* A queue pair. Verbs on it hold `lock` shared; whatever drops its work requests, or changes the handle, holds it
 * alone. */
struct place {
    pthread_rwlock_t lock;
    struct rvt_qp_handle handle;
    bool there;
    atomic_uint qpn, peer; /* peer: owner of the queue pair that it is connected to */
    unsigned owner, index;
    unsigned lost; /* receives that a reset or an end found in hand: they vanish with the request */
    struct slot slots[SLOTS];
};

struct shown_region {
    atomic_uint key;
    _Atomic(uint64_t) addr;
};

struct peer {
    struct worker w;
    struct rvt_reader *reader;
    struct rvt_ucontext *context;
    struct rvt_pd_handle pd;
    struct rvt_cq_handle cq;
    struct rvt_srq_handle srq;
    struct rvt_ah_handle ah;
    struct rvt_mr_handle mr[REGIONS];
    bool ended[REGIONS]; /* the region has ended, and its bytes must stay as they are */
    unsigned
        side[REGIONS]; /* which memory the region has; the bytes of the other one must stay as they are */
    struct rvt_pd_handle other_pd;
    unsigned char tag;
    struct place places[QPS];
    struct shown_region shown[REGIONS];
    uint64_t posted, completed, dropped, resets, deregs, reregs, busy, contexts;
};

static struct peer peers[PEERS];
static struct rvt_dev_info *device;
static unsigned char memory_of[PEERS][REGIONS][SIDES][REGION_BYTES];
static atomic_ulong unknown_completions, changed_bytes;

static uint64_t id_of(const struct place *place, unsigned slot, unsigned uses) {
    return (uint64_t)uses << 32 | place->owner << 16 | place->index << 8 | slot;
}

/* Takes a slot. Other threads may take one at the same time. Returns false if all are in use. */
static bool take_slot(struct place *place, uint64_t *seed, bool receive, uint64_t *id, struct slot **taken) {
    for (unsigned i = (unsigned)roll(seed, SLOTS), tries = 0; tries < 8; i = (i + 1) % SLOTS, tries++) {
        struct slot *slot = &place->slots[i];
        unsigned expected = FREE;
        if (!atomic_compare_exchange_strong(&slot->state, &expected, POSTED))
            continue;
        atomic_store(&slot->receive, receive);
        *id = id_of(place, i, atomic_fetch_add(&slot->uses, 1) + 1);
        *taken = slot;
        return true;
    }
    return false;
}

/* Takes the completions of a peer. */
static void poll_all(struct peer *p) {
    struct rvt_wc wcs[16];
    int count;
    while ((count = rvt_poll_cq(p->cq, 16, wcs)) > 0) {
        for (int i = 0; i < count; i++) {
            const uint64_t id = wcs[i].wr_id;
            struct place *place = &peers[id >> 16 & 0xff].places[id >> 8 & 0xff];
            struct slot *slot = &place->slots[id & 0xff];
            unsigned expected = POSTED;
            if (place->owner != p->w.index || atomic_load(&slot->uses) != id >> 32 ||
                !atomic_compare_exchange_strong(&slot->state, &expected, FREE))
                atomic_fetch_add(&unknown_completions, 1);
            p->completed++;
        }
    }
}

/* What a verb has dropped: a reset the sends; the end of a queue pair its own receives as well; the end of the
 * context also the receives of its shared queue. */
enum dropped { BY_RESET, BY_DESTROY, BY_CONTEXT };

/* Forgets the work requests that were dropped. The caller must hold the place alone and have polled. */
static void forget(struct peer *p, struct place *place, enum dropped dropped) {
    const bool receives = dropped == BY_CONTEXT || (dropped == BY_DESTROY && place->index != SHARED_PLACE);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &place->slots[i];
        if (atomic_load(&slot->state) == POSTED && (receives || !atomic_load(&slot->receive))) {
            atomic_store(&slot->state, FREE);
            p->dropped++;
        }
    }
}

static struct place *any_place(uint64_t *seed) {
    return &peers[roll(seed, PEERS)].places[roll(seed, QPS)];
}

/* --- life of queue pairs, regions and contexts --- */

/* Takes the queue pair from RESET to RTS, connected to one of its type. The caller must hold the place. */
static void connect_place(struct peer *p, struct place *place) {
    const bool rc = place->index == RC_PLACE, ud = place->index == UD_PLACE;
    const struct place *other = &peers[roll(&p->w.seed, PEERS)].places[place->index];
    struct rvt_qp_attr attr = {
        .state = RVT_QPS_INIT,
        .port = 1,
        .access = ALL_ACCESS,
        .qkey = QKEY,
        .av = {.port = 1},
        .path_mtu = 5,
        .dest_qpn = atomic_load(&other->qpn),
        .rnr_retry = (uint32_t)roll(&p->w.seed, 8),
        .max_rd_atomic = 4,
    };
    CHECK_EQ(rvt_modify_qp(place->handle, &attr,
                           RVT_QPA_STATE | RVT_QPA_PKEY_INDEX | RVT_QPA_PORT |
                               (ud ? (uint32_t)RVT_QPA_QKEY : (uint32_t)RVT_QPA_ACCESS_FLAGS)),
             0);
    atomic_store(&place->peer, other->owner);
    uint32_t rtr = RVT_QPA_STATE, rts = RVT_QPA_STATE | RVT_QPA_SQ_PSN;
    if (!ud)
        rtr |= RVT_QPA_AV | RVT_QPA_PATH_MTU | RVT_QPA_DEST_QPN | RVT_QPA_RQ_PSN;
    if (rc) {
        rtr |= RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER;
        rts |= RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY | RVT_QPA_MAX_RD_ATOMIC;
    }
    attr.state = RVT_QPS_RTR;
    int error = rvt_modify_qp(place->handle, &attr, rtr);
    attr.state = RVT_QPS_RTS;
    /* A peer's bad request may put it into error at any time from here on. */
    if (!error)
        (void)rvt_modify_qp(place->handle, &attr, rts);
}

static void create_place(struct peer *p, struct place *place) {
    static const uint32_t types[QPS] = {RVT_QPT_RC, RVT_QPT_UC, RVT_QPT_UD};
    uint32_t qpn = 0;
    const struct rvt_qp_init init = {
        .type = types[place->index],
        .srq = place->index == SHARED_PLACE ? &p->srq : NULL,
        .sig_type = RVT_SIGNAL_ALL_WR,
        .send_cq = p->cq,
        .recv_cq = p->cq,
        .max_send_wr = MOST_WR,
        .max_send_sge = 2,
        .max_recv_wr = MOST_WR,
        .max_recv_sge = 2,
    };
    CHECK_EQ(rvt_create_qp(p->pd, &init, &place->handle, &qpn), 0);
    place->there = true;
    atomic_store(&place->qpn, qpn);
    connect_place(p, place);
}

static unsigned char *memory_at(const struct peer *p, unsigned i, unsigned side) {
    return memory_of[p->w.index][i][side];
}

static void show_region(struct peer *p, unsigned i) {
    unsigned char *bytes = memory_at(p, i, p->side[i]);
    struct rvt_memory *memory = rvt_fixed_memory(bytes, REGION_BYTES);
    struct rvt_mr_birth birth = {0};
    const uint64_t addr = (uint64_t)(uintptr_t)bytes;
    CHECK(memory != NULL);
    CHECK_EQ(rvt_reg_user_mr_at(p->pd, memory, addr, addr, ALL_ACCESS, &p->mr[i], &birth), 0);
    rvt_memory_put(memory);
    p->ended[i] = false;
    atomic_store(&p->shown[i].addr, addr);
    atomic_store(&p->shown[i].key, birth.key);
}

/* Fills bytes that a region had. Any later write of the engine is found by check_bytes_of(), and by
 * ThreadSanitizer. */
static void own_bytes_of(struct peer *p, unsigned i, unsigned side) {
    memset(memory_at(p, i, side), ++p->tag, REGION_BYTES);
}

static void check_bytes_of(struct peer *p, unsigned i, unsigned side) {
    const unsigned char *bytes = memory_at(p, i, side);
    for (unsigned k = 1; k < REGION_BYTES; k++) {
        if (bytes[k] != bytes[0]) {
            atomic_fetch_add(&changed_bytes, 1);
            return;
        }
    }
}

static void begin_life(struct peer *p) {
    CHECK_EQ(rvt_alloc_ucontext(device, p->reader, &p->context), 0);
    CHECK_EQ(rvt_alloc_pd(device, p->context, false, &p->pd), 0);
    CHECK_EQ(rvt_alloc_pd(device, p->context, false, &p->other_pd), 0);
    CHECK_EQ(rvt_create_cq(device, p->context, &(struct rvt_cq_init){.cqe = CQE}, &p->cq), 0);
    const struct rvt_srq_init srq = {.max_wr = SLOTS, .max_sge = 2, .basic = true};
    CHECK_EQ(rvt_create_srq(p->pd, &srq, &p->srq), 0);
    CHECK_EQ(rvt_create_ah(p->pd, &(struct rvt_ah_attr){.port = 1}, &p->ah), 0);
    for (unsigned i = 0; i < REGIONS; i++)
        show_region(p, i);
    for (unsigned i = 0; i < QPS; i++) {
        pthread_rwlock_wrlock(&p->places[i].lock);
        create_place(p, &p->places[i]);
        pthread_rwlock_unlock(&p->places[i].lock);
    }
}

static void end_life(struct peer *p) {
    for (unsigned i = 0; i < QPS; i++)
        pthread_rwlock_wrlock(&p->places[i].lock);
    CHECK_EQ(rvt_dealloc_ucontext(p->context, true), 0);
    rvt_free_ucontext(p->context);
    for (unsigned i = 0; i < QPS; i++) {
        p->places[i].there = false;
        p->places[i].lost = 0;
        forget(p, &p->places[i], BY_CONTEXT);
        pthread_rwlock_unlock(&p->places[i].lock);
    }
    for (unsigned i = 0; i < REGIONS; i++) {
        own_bytes_of(p, i, p->side[i]);
        for (unsigned side = 0; side < SIDES; side++)
            check_bytes_of(p, i, side);
    }
}

/* --- what a thread does --- */

static void post_send(struct peer *p, struct place *place) {
    static const uint32_t opcodes[] = {
        RVT_WR_SEND,      RVT_WR_SEND_WITH_IMM,       RVT_WR_RDMA_WRITE,
        RVT_WR_RDMA_READ, RVT_WR_RDMA_WRITE_WITH_IMM, RVT_WR_ATOMIC_FETCH_AND_ADD};
    uint64_t *seed = &p->w.seed;
    struct slot *slot;
    struct rvt_send_wr wr = {.opcode = opcodes[roll(seed, 6)]};
    const struct shown_region *own = &peers[place->owner].shown[roll(seed, REGIONS)],
                              *other = &peers[atomic_load(&place->peer)].shown[roll(seed, REGIONS)];
    if (place->index == UD_PLACE)
        wr.opcode = roll(seed, 2) ? RVT_WR_SEND : RVT_WR_SEND_WITH_IMM;
    const bool atomic = wr.opcode == RVT_WR_ATOMIC_FETCH_AND_ADD;
    const uint32_t most = roll(seed, 4) ? 256 : place->index == UD_PLACE ? 4097 : REGION_BYTES / 2;
    const uint32_t length = atomic ? 8 : (uint32_t)roll(seed, most);
    const uint64_t offset = roll(seed, REGION_BYTES / 4) / 8 * 8;
    const struct rvt_ib_sge sge = {atomic_load(&own->addr) + offset, length, atomic_load(&own->key)};
    wr.sges = &sge;
    wr.num_sge = 1;
    wr.remote_addr = atomic_load(&other->addr) + REGION_BYTES / 2 + offset;
    wr.rkey = atomic_load(&other->key);
    pthread_rwlock_rdlock(&place->lock);
    wr.ah = &peers[place->owner].ah;
    wr.remote_qpn = atomic_load(&peers[roll(seed, PEERS)].places[UD_PLACE].qpn);
    wr.remote_qkey = QKEY;
    if (place->there && take_slot(place, seed, false, &wr.wr_id, &slot)) {
        if (rvt_post_send(place->handle, &wr, 1, NULL))
            atomic_store(&slot->state, FREE);
        else
            p->posted++;
    }
    pthread_rwlock_unlock(&place->lock);
}

static void post_receive(struct peer *p, struct place *place) {
    const struct shown_region *own = &peers[place->owner].shown[roll(&p->w.seed, REGIONS)];
    /* Some are too small for most messages. */
    const uint32_t length = roll(&p->w.seed, 5) ? REGION_BYTES : 100;
    const struct rvt_ib_sge sge = {atomic_load(&own->addr), length, atomic_load(&own->key)};
    struct rvt_recv_wr wr = {.sges = &sge, .num_sge = 1};
    struct slot *slot;
    pthread_rwlock_rdlock(&place->lock);
    if (place->there && take_slot(place, &p->w.seed, true, &wr.wr_id, &slot)) {
        if (place->index == SHARED_PLACE ? rvt_post_srq_recv(peers[place->owner].srq, &wr, 1, NULL)
                                         : rvt_post_recv(place->handle, &wr, 1, NULL))
            atomic_store(&slot->state, FREE);
        else
            p->posted++;
    }
    pthread_rwlock_unlock(&place->lock);
}

static void error_place(struct place *place) {
    const struct rvt_qp_attr attr = {.state = RVT_QPS_ERR};
    pthread_rwlock_rdlock(&place->lock);
    if (place->there)
        (void)rvt_modify_qp(place->handle, &attr, RVT_QPA_STATE);
    pthread_rwlock_unlock(&place->lock);
}

/* Counts the receives in hand that have vanished: those that were posted and are neither completed nor queued. */
static void count_lost(struct place *place, uint32_t queued) {
    unsigned posted = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        posted += atomic_load(&place->slots[i].state) == POSTED && atomic_load(&place->slots[i].receive);
    CHECK(posted >= queued + place->lost && posted <= queued + place->lost + 1);
    place->lost = posted - queued;
}

/* Resets or destroys a queue pair of its own, and brings it up again. */
static void reset_place(struct peer *p, struct place *place, bool destroy) {
    const struct rvt_qp_attr attr = {.state = RVT_QPS_RESET};
    if (place->index == UD_PLACE)
        destroy = true; /* a reset would drop a receive in hand, and nothing tells which one that is */
    pthread_rwlock_wrlock(&place->lock);
    if (destroy)
        CHECK_EQ(rvt_destroy_qp(place->handle), 0);
    else
        CHECK_EQ(rvt_modify_qp(place->handle, &attr, RVT_QPA_STATE), 0);
    poll_all(p);
    forget(p, place, destroy ? BY_DESTROY : BY_RESET);
    struct rvt_qp_query query = {0};
    struct rvt_srq_attr srq;
    CHECK_EQ(destroy ? 0 : rvt_query_qp(place->handle, &query), 0);
    CHECK_EQ(rvt_query_srq(p->srq, &srq), 0);
    if (destroy && place->index != SHARED_PLACE)
        place->lost = 0;
    else
        count_lost(place, place->index == SHARED_PLACE ? srq.held : query.receives);
    if (destroy)
        create_place(p, place);
    else
        connect_place(p, place);
    pthread_rwlock_unlock(&place->lock);
    p->resets++;
}

static void end_region(struct peer *p, unsigned i) {
    if (p->ended[i]) {
        check_bytes_of(p, i, p->side[i]);
        show_region(p, i);
        return;
    }
    const bool force = roll(&p->w.seed, 4) == 0;
    int answer, tries = 0;
    while ((answer = rvt_dereg_mr(p->mr[i], force ? RVT_RELEASE_FORCE : RVT_RELEASE)) == -RVT_EBUSY) {
        p->busy++;
        if (++tries == 10000)
            break;
        rvt_yield();
    }
    CHECK_EQ(answer, 0);
    own_bytes_of(p, i, p->side[i]);
    p->ended[i] = true;
    p->deregs++;
}

/* Re-registers a region, trying again while it is held. Returns whether it succeeded. */
static bool rereg_patiently(struct peer *p, unsigned i, const struct rvt_rereg *change,
                            struct rvt_mr_birth *birth) {
    bool lost;
    int answer, tries = 0;
    while ((answer = rvt_rereg_mr(p->mr[i], change, birth, &lost)) == -RVT_EBUSY && ++tries < 10000) {
        p->busy++;
        rvt_yield();
    }
    CHECK(answer == 0 || answer == -RVT_EBUSY);
    CHECK(!lost);
    p->reregs += answer == 0;
    return answer == 0;
}

static uint64_t sum_of(const unsigned char *bytes) {
    uint64_t sum = 0;
    for (unsigned k = 0; k < REGION_BYTES; k++)
        sum = sum * 31 + bytes[k];
    return sum;
}

/* Takes the right to write from a region for a moment. Requests may still read it. */
static void make_read_only(struct peer *p, unsigned i) {
    struct rvt_rereg change = {.flags = RVT_REREG_ACCESS, .access = REMOTE_READ};
    if (!rereg_patiently(p, i, &change, NULL))
        return;
    const uint64_t before = sum_of(memory_at(p, i, p->side[i]));
    rvt_yield();
    if (sum_of(memory_at(p, i, p->side[i])) != before)
        atomic_fetch_add(&changed_bytes, 1);
    /* A send that waits for a receive may hold the region by now. Then it stays as it is until it ends. */
    change.access = ALL_ACCESS;
    (void)rereg_patiently(p, i, &change, NULL);
}

/* Moves a region to its other memory under the other domain's key, or to the other domain alone, where no queue pair is.
 * When that has succeeded, nothing moves in the memory that the region had, as after its end. */
static void move_region(struct peer *p, unsigned i, bool to_other_memory) {
    const unsigned from = p->side[i], to = (from + 1) % SIDES;
    const uint64_t addr = (uint64_t)(uintptr_t)memory_at(p, i, to);
    struct rvt_memory *memory = rvt_fixed_memory(memory_at(p, i, to), REGION_BYTES);
    struct rvt_mr_birth birth = {0};
    struct rvt_rereg change = {.flags = RVT_REREG_PD, .memory = memory, .start = &addr, .pd = p->other_pd};
    CHECK(memory != NULL);
    if (to_other_memory)
        change.flags |= RVT_REREG_TRANSLATION;
    check_bytes_of(p, i, to);
    if (rereg_patiently(p, i, &change, &birth)) {
        own_bytes_of(p, i, from);
        rvt_yield();
        check_bytes_of(p, i, from);
        p->side[i] = to_other_memory ? to : from;
        change = (struct rvt_rereg){.flags = RVT_REREG_PD, .pd = p->pd};
        CHECK(rereg_patiently(p, i, &change, &birth));
        atomic_store(&p->shown[i].addr, birth.start);
        atomic_store(&p->shown[i].key, birth.key);
    }
    rvt_memory_put(memory);
}

static void rereg_region(struct peer *p, unsigned i) {
    const uint64_t what = roll(&p->w.seed, 3);
    if (p->ended[i])
        return;
    if (what)
        move_region(p, i, what == 1);
    else
        make_read_only(p, i);
}

static void live(struct worker *w) {
    struct peer *p = (struct peer *)w;
    p->reader = w->reader;
    begin_life(p);
    while (going()) {
        struct place *own = &p->places[roll(&w->seed, QPS)];
        const uint64_t die = roll(&w->seed, 1000);
        if (die < 400)
            post_send(p, any_place(&w->seed));
        else if (die < 650)
            post_receive(p, any_place(&w->seed));
        else if (die < 850)
            poll_all(p);
        else if (die < 855)
            error_place(any_place(&w->seed));
        else if (die < 950)
            reset_place(p, own, false);
        else if (die < 960)
            reset_place(p, own, true);
        else if (die < 963)
            end_region(p, (unsigned)roll(&w->seed, REGIONS));
        else if (die < 975)
            rereg_region(p, (unsigned)roll(&w->seed, REGIONS));
        else if (die < 995)
            (void)rvt_fire_timers(device, NULL, NULL);
        else if (die == 999) {
            end_life(p);
            begin_life(p);
            p->contexts++;
        }
    }
}

static void run_peers(const struct rvt_fault_options *faults) {
    const long live_before = rvt_test_alloc_live();
    struct rvt_limits limits = {{0}};
    for (int i = 0; i < RVT_LIMIT_COUNT; i++)
        limits.of[i] = 255; /* as many elements as there can be, and enough of the rest */
    limits.of[RVT_LIMIT_MAX_CQE] = CQE;
    const struct rvt_device_options options = {.lkey_table_bits = 10, .faults = faults};
    const struct rvt_engine_options engine = {.limits = limits};
    REQUIRE(rvt_register_device(&options, &engine, &device) == 0);
    struct rvt_ucontext *keeper;
    struct rvt_reader *reader = rvt_reader_register();
    REQUIRE(rvt_alloc_ucontext(device, reader, &keeper) == 0);
    atomic_store(&stop, false);
    memset(peers, 0, sizeof(peers));
    memset(memory_of, 0, sizeof(memory_of));
    for (unsigned i = 0; i < PEERS; i++) {
        for (unsigned k = 0; k < QPS; k++) {
            peers[i].places[k].owner = i;
            peers[i].places[k].index = k;
            REQUIRE(pthread_rwlock_init(&peers[i].places[k].lock, NULL) == 0);
        }
    }
    for (unsigned i = 0; i < PEERS; i++) {
        peers[i].w = (struct worker){.run = live, .seed = i + 7, .index = i};
        REQUIRE(pthread_create(&peers[i].w.thread, NULL, work_as_reader, &peers[i].w) == 0);
    }
    nanosleep(&(struct timespec){RUN_SECONDS, 0}, NULL);
    atomic_store(&stop, true);
    uint64_t posted = 0, completed = 0, dropped = 0, resets = 0, deregs = 0, reregs = 0, busy = 0,
             contexts = 0;
    for (unsigned i = 0; i < PEERS; i++)
        REQUIRE(pthread_join(peers[i].w.thread, NULL) == 0);
    /* Flush everything: what was accepted and not dropped must complete now. */
    for (unsigned i = 0; i < PEERS; i++)
        for (unsigned k = 0; k < QPS; k++)
            error_place(&peers[i].places[k]);
    CHECK_EQ(rvt_run_engine(device), 0);
    (void)rvt_fire_timers(device, NULL, NULL); /* shows late completions */
    unsigned left = 0, in_srqs = 0, lost = 0;
    for (unsigned i = 0; i < PEERS; i++) {
        struct peer *p = &peers[i];
        poll_all(p);
        struct rvt_srq_attr srq;
        CHECK_EQ(rvt_query_srq(p->srq, &srq), 0);
        in_srqs += srq.held;
        for (unsigned k = 0; k < QPS; k++)
            lost += p->places[k].lost;
        for (unsigned k = 0; k < QPS * SLOTS; k++)
            left += atomic_load(&p->places[k / SLOTS].slots[k % SLOTS].state) != FREE;
        for (unsigned k = 0; k < REGIONS; k++) {
            check_bytes_of(p, k, (p->side[k] + 1) % SIDES);
            if (p->ended[k])
                check_bytes_of(p, k, p->side[k]);
            else
                CHECK_EQ(fixture_refs(p->mr[k]), 2);
        }
        posted += p->posted;
        completed += p->completed;
        dropped += p->dropped;
        resets += p->resets;
        deregs += p->deregs;
        reregs += p->reregs;
        busy += p->busy;
        contexts += p->contexts;
    }
    struct rvt_completion_counts counts;
    rvt_count_completions(device, &counts);
    printf("# %" PRIu64 " posted, %" PRIu64 " completed, %" PRIu64 " dropped, %" PRIu64 " resets, %" PRIu64
           " regions ended, %" PRIu64 " re-registered (%" PRIu64 " times busy), %" PRIu64
           " contexts; successes: %" PRIu64 "\n",
           posted, completed, dropped, resets, deregs, reregs, busy, contexts,
           counts.by_status[RVT_WC_STATUS_SUCCESS]);
    CHECK_EQ(left, in_srqs + lost); /* receives that nobody took, and that were in hand */
    CHECK_EQ(posted, completed + dropped + in_srqs + lost);
    CHECK_EQ(atomic_load(&unknown_completions), 0);
    CHECK_EQ(atomic_load(&changed_bytes), 0);
    CHECK_EQ(counts.lost, 0);
    CHECK(counts.by_status[RVT_WC_STATUS_SUCCESS] > 0 && resets > 0 && deregs > 0 && reregs > 0);
    for (unsigned i = 0; i < PEERS; i++) {
        CHECK_EQ(rvt_dealloc_ucontext(peers[i].context, true), 0);
        rvt_free_ucontext(peers[i].context);
        for (unsigned k = 0; k < QPS; k++)
            pthread_rwlock_destroy(&peers[i].places[k].lock);
    }
    CHECK_EQ(atomic_load(&device->watched), 0);
    CHECK_EQ(rvt_dealloc_ucontext(keeper, true), 0);
    rvt_free_ucontext(keeper);
    rvt_reader_unregister(reader);
    rvt_dev_put(device);
    CHECK_EQ(rvt_test_alloc_live(), live_before);
}

static void nothing_is_lost_doubled_or_held(void) {
    run_peers(NULL);
}

/* The same holds for completions that are late, and for requests that faults refuse, delay or flush. */
static void nor_with_faults(void) {
    const struct rvt_fault_options faults = {
        .seed = 20,
        .rules = {[RVT_FAULT_REFUSE] = {.probability = 0.02, .value = RVT_REVOKED},
                  [RVT_FAULT_RNR] = {.probability = 0.05},
                  [RVT_FAULT_FLUSH] = {.probability = 0.005},
                  [RVT_FAULT_SLOW] = {.probability = 0.3, .value = 100}},
    };
    run_peers(&faults);
}

CHECK_MAIN(TEST(nothing_is_lost_doubled_or_held), TEST(nor_with_faults))
