/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads on two devices whose endpoints are connected. One thread of each device receives, sends and ticks, over a link
 * that loses, doubles and damages packets. The other threads post to queue pairs of their own and of the others, poll,
 * change states, destroy queue pairs, connect them again and deregister regions, meanwhile; now and then an endpoint is
 * closed and another one opened. Checked all the time:
 *
 * - an accepted work request completes exactly once, unless its queue pair was reset or destroyed, after which it never
 *   completes; receives survive a reset, except one in hand;
 * - after a region has ended no byte of it changes, whatever packets are under way;
 * - in the end no element is held and no memory is left. */
#include <time.h>

#include "core/rvt.h"
#include "stress.h"
#include "wire/endpoint/endpoint.h"

enum {
    SIDES = 2,  /* devices */
    OWNERS = 3, /* threads that use the verbs */
    PAIRS = 2,  /* connections of each */
    REGIONS = 2,
    REGION_BYTES = 64 * 1024,
    SLOTS = 32, /* work requests of a queue pair that have not completed */
    MOST_WR = 12,
    CQE = PAIRS * SLOTS,
    MTU_CODE = 1, /* 256 bytes, so that messages have many packets */
    RING = 512,   /* packets on the way to a side; further ones are lost */
    BATCH = 32,
    RUN_SECONDS = 3,
    REOPEN_AFTER = 400000, /* microseconds */
};

/* --- the link --- */

struct flying {
    uint32_t length;
    unsigned char bytes[RVT_MOST_PACKET_BYTES];
};

/* A device with its endpoint, and the packets that have arrived for it. */
struct side {
    struct worker w;
    struct rvt_dev_info *device;
    struct rvt_wire_peer place;
    pthread_rwlock_t opening; /* held alone by the host while it replaces the endpoint */
    struct rvt_endpoint *endpoint;
    atomic_bool woken;
    atomic_ulong refused;
    pthread_mutex_t lock; /* of the packets */
    uint32_t first, count;
    struct flying ring[RING];
    unsigned char out[BATCH][RVT_MOST_PACKET_BYTES];
    struct flying in[BATCH];
    uint64_t received, lost, reopened;
    struct rvt_endpoint_counters counters; /* of the endpoints that were closed */
};

static struct side sides[SIDES];

static uint64_t microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void put_packet(struct side *to, const struct rvt_outgoing *packet) {
    pthread_mutex_lock(&to->lock);
    if (to->count < RING) {
        struct flying *flying = &to->ring[(to->first + to->count++) % RING];
        flying->length = packet->length;
        memcpy(flying->bytes, packet->bytes, packet->length);
    }
    pthread_mutex_unlock(&to->lock);
}

/* Takes what has arrived into `in`. */
static uint32_t take_packets(struct side *s) {
    uint32_t count = 0;
    pthread_mutex_lock(&s->lock);
    while (s->count && count < BATCH) {
        s->in[count++] = s->ring[s->first];
        s->first = (s->first + 1) % RING;
        s->count--;
    }
    pthread_mutex_unlock(&s->lock);
    return count;
}

/* --- the thread of an endpoint --- */

static void on_wake(void *data) {
    struct side *s = data;
    atomic_store(&s->woken, true);
}

static void on_refused(void *data, const struct rvt_wire_refusal *refusal) {
    struct side *s = data;
    CHECK(refusal->why.cause != RVT_WHY_NONE || refusal->why.refused.reason != RVT_REASON_NONE);
    atomic_fetch_add(&s->refused, 1);
}

static void open_endpoint(struct side *s) {
    struct rvt_endpoint_options options = {
        .device = s->device,
        .port = s->place.port,
        .host = {.wake = on_wake, .refused = on_refused, .data = s},
    };
    memcpy(options.address, s->place.address, sizeof(options.address));
    CHECK_EQ(rvt_endpoint_open(&options, &s->endpoint), 0);
}

static void close_endpoint(struct side *s) {
    uint64_t *sum = (uint64_t *)&s->counters;
    struct rvt_endpoint_counters counters;
    rvt_endpoint_count(s->endpoint, &counters);
    for (unsigned i = 0; i < sizeof(counters) / sizeof(uint64_t); i++)
        sum[i] += ((const uint64_t *)&counters)[i];
    rvt_endpoint_close(s->endpoint);
}

static void receive(struct side *s, const struct side *from, uint32_t count) {
    struct rvt_datagram datagrams[BATCH];
    for (uint32_t i = 0; i < count; i++) {
        struct flying *packet = &s->in[i];
        if (!roll(&s->w.seed, 200))
            packet->bytes[roll(&s->w.seed, packet->length)] ^= 1;
        datagrams[i] = (struct rvt_datagram){
            .bytes = packet->bytes,
            .length = packet->length,
            .from = from->place,
            .has_ip_id = true, /* otherwise every 2^16th damaged packet would fit another identification */
            .ip_id = 7,
        };
    }
    rvt_endpoint_receive(s->endpoint, datagrams, count, microseconds());
    s->received += count;
}

static void send_all(struct side *s, struct side *to) {
    struct rvt_outgoing packets[BATCH];
    uint32_t count;
    do {
        for (uint32_t i = 0; i < BATCH; i++)
            packets[i].bytes = s->out[i];
        count = rvt_endpoint_send(s->endpoint, packets, BATCH, microseconds());
        for (uint32_t i = 0; i < count; i++) {
            rvt_endpoint_seal(s->endpoint, &packets[i], 7);
            const uint64_t die = roll(&s->w.seed, 100);
            s->lost += die == 0;
            if (die > 0)
                put_packet(to, &packets[i]);
            if (die == 1)
                put_packet(to, &packets[i]);
        }
    } while (count == BATCH && going());
}

static void host(struct worker *w) {
    struct side *s = (struct side *)w, *other = &sides[!w->index];
    uint64_t deadline = 0, reopen = microseconds() + REOPEN_AFTER * (w->index + 1);
    while (going()) {
        const uint32_t count = take_packets(s);
        if (count)
            receive(s, other, count);
        const bool woken = atomic_exchange(&s->woken, false);
        if (count || woken || deadline <= microseconds()) {
            (void)rvt_endpoint_tick(s->endpoint, microseconds());
            send_all(s, other);
            deadline = rvt_endpoint_tick(s->endpoint, microseconds());
        } else {
            nanosleep(&(struct timespec){0, 20000}, NULL);
        }
        if (reopen <= microseconds()) {
            reopen += SIDES * REOPEN_AFTER;
            pthread_rwlock_wrlock(&s->opening);
            close_endpoint(s);
            open_endpoint(s);
            pthread_rwlock_unlock(&s->opening);
            s->reopened++;
        }
    }
}

/* --- the threads that use the verbs --- */

enum slot_state { FREE, POSTED };

/* A work request's wr_id names its slot, and how often the slot was used. */
struct slot {
    atomic_uint state, uses;
    atomic_bool receive; /* receives survive a reset */
};

/* One end of a connection. Verbs on it hold the pair's lock shared; whatever drops its work requests, or changes the
 * handle, holds it alone. */
struct end {
    struct rvt_qp_handle handle;
    uint32_t qpn, psn;
    bool there;
    unsigned lost; /* receives that a reset found in hand: they vanish with the request */
    struct slot slots[SLOTS];
};

struct pair {
    pthread_rwlock_t lock;
    unsigned owner, index;
    struct end ends[SIDES];
};

struct shown_region {
    atomic_uint key;
    _Atomic(uint64_t) addr;
};

/* What a thread has on one device. */
struct estate {
    struct rvt_pd_handle pd;
    struct rvt_cq_handle cq;
    struct rvt_mr_handle mr[REGIONS];
    bool ended[REGIONS]; /* the region has ended, and its bytes must stay as they are */
    struct shown_region shown[REGIONS];
};

struct owner {
    struct worker w;
    unsigned char tag;
    struct pair pairs[PAIRS];
    struct estate estates[SIDES];
    uint64_t posted, completed, dropped, resets, deregs, failed_connects;
};

static struct owner owners[OWNERS];
static unsigned char memory_of[OWNERS][SIDES][REGIONS][REGION_BYTES];
static atomic_ulong unknown_completions, changed_bytes;

static struct end *end_of_id(const struct owner *o, uint64_t id) {
    return (id >> 16 & 0xff) == o->w.index ? &owners[o->w.index].pairs[id >> 12 & 0xf].ends[id >> 8 & 0xf]
                                           : NULL;
}

static bool take_slot(struct pair *pair, unsigned side, uint64_t *seed, bool receives, uint64_t *id,
                      struct slot **taken) {
    for (unsigned i = (unsigned)roll(seed, SLOTS), tries = 0; tries < 8; i = (i + 1) % SLOTS, tries++) {
        struct slot *slot = &pair->ends[side].slots[i];
        unsigned expected = FREE;
        if (!atomic_compare_exchange_strong(&slot->state, &expected, POSTED))
            continue;
        atomic_store(&slot->receive, receives);
        const uint64_t uses = atomic_fetch_add(&slot->uses, 1) + 1;
        *id = uses << 32 | pair->owner << 16 | pair->index << 12 | side << 8 | i;
        *taken = slot;
        return true;
    }
    return false;
}

static void poll_all(struct owner *o) {
    struct rvt_wc wcs[16];
    for (unsigned side = 0; side < SIDES; side++) {
        int count;
        while ((count = rvt_poll_cq(o->estates[side].cq, 16, wcs)) > 0) {
            for (int i = 0; i < count; i++) {
                const uint64_t id = wcs[i].wr_id;
                struct end *end = end_of_id(o, id);
                unsigned expected = POSTED;
                if (!end || atomic_load(&end->slots[id & 0xff].uses) != id >> 32 ||
                    !atomic_compare_exchange_strong(&end->slots[id & 0xff].state, &expected, FREE))
                    atomic_fetch_add(&unknown_completions, 1);
                o->completed++;
            }
        }
    }
}

/* Forgets the work requests that a reset (the sends) or the end of the queue pair (all) has dropped. The caller must
 * hold the pair alone and have polled. */
static void forget(struct owner *o, struct end *end, bool destroyed) {
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &end->slots[i];
        if (atomic_load(&slot->state) == POSTED && (destroyed || !atomic_load(&slot->receive))) {
            atomic_store(&slot->state, FREE);
            o->dropped++;
        }
    }
}

static struct pair *any_pair(uint64_t *seed) {
    return &owners[roll(seed, OWNERS)].pairs[roll(seed, PAIRS)];
}

/* --- life of queue pairs and regions --- */

static struct rvt_qp_attr attr_for(const struct pair *pair, unsigned side, uint64_t *seed) {
    return (struct rvt_qp_attr){
        .port = 1,
        .access = roll(seed, 32) ? ALL_ACCESS : RVT_ACCESS_REMOTE_READ,
        .av = {.port = 1},
        .path_mtu = MTU_CODE,
        .dest_qpn = pair->ends[!side].qpn,
        .rq_psn = pair->ends[!side].psn,
        .sq_psn = pair->ends[side].psn,
        .rnr_retry = (uint32_t)roll(seed, 8),
        .min_rnr_timer = 1,
        .retry_cnt = (uint32_t)roll(seed, 8),
        .timeout = 10, /* 4 ms */
        .max_rd_atomic = 4,
        .max_dest_rd_atomic = 4,
    };
}

/* Brings an end in RESET to RTS. The peer's requests, or the end of the endpoint, may put it into error meanwhile. */
static void connect_end(struct owner *o, struct pair *pair, unsigned side) {
    static const uint32_t masks[] = {
        RVT_QPA_STATE | RVT_QPA_PKEY_INDEX | RVT_QPA_PORT | RVT_QPA_ACCESS_FLAGS,
        RVT_QPA_STATE | RVT_QPA_AV | RVT_QPA_PATH_MTU | RVT_QPA_DEST_QPN | RVT_QPA_RQ_PSN |
            RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER,
        RVT_QPA_STATE | RVT_QPA_SQ_PSN | RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY |
            RVT_QPA_MAX_RD_ATOMIC,
    };
    static const uint32_t states[] = {RVT_QPS_INIT, RVT_QPS_RTR, RVT_QPS_RTS};
    struct end *end = &pair->ends[side];
    struct rvt_qp_attr attr = attr_for(pair, side, &o->w.seed);
    pthread_rwlock_rdlock(&sides[side].opening);
    int error = rvt_endpoint_connect(sides[side].endpoint, end->handle, &sides[!side].place, microseconds());
    pthread_rwlock_unlock(&sides[side].opening);
    CHECK_EQ(error, 0);
    for (unsigned i = 0; i < 3 && !error; i++) {
        attr.state = states[i];
        error = rvt_modify_qp(end->handle, &attr, masks[i]);
    }
    o->failed_connects += error != 0;
}

static void create_end(struct owner *o, struct pair *pair, unsigned side) {
    const struct estate *estate = &o->estates[side];
    const struct rvt_qp_init init = {
        .type = RVT_QPT_RC,
        .sig_type = RVT_SIGNAL_ALL_WR,
        .send_cq = estate->cq,
        .recv_cq = estate->cq,
        .max_send_wr = MOST_WR,
        .max_send_sge = 2,
        .max_recv_wr = MOST_WR,
        .max_recv_sge = 2,
    };
    struct end *end = &pair->ends[side];
    CHECK_EQ(rvt_create_qp(estate->pd, &init, &end->handle, &end->qpn), 0);
    end->there = true;
}

static void connect_pair(struct owner *o, struct pair *pair) {
    for (unsigned side = 0; side < SIDES; side++)
        pair->ends[side].psn = (uint32_t)dice(&o->w.seed) & 0xffffff;
    for (unsigned side = 0; side < SIDES; side++)
        connect_end(o, pair, side);
}

/* Counts the receives in hand that have vanished: those that were posted and are neither completed nor queued. */
static void count_lost(struct end *end) {
    struct rvt_qp_query query = {0};
    unsigned posted = 0;
    CHECK_EQ(rvt_query_qp(end->handle, &query), 0);
    for (unsigned i = 0; i < SLOTS; i++)
        posted += atomic_load(&end->slots[i].state) == POSTED && atomic_load(&end->slots[i].receive);
    CHECK(posted >= query.receives + end->lost && posted <= query.receives + end->lost + 1);
    end->lost = posted - query.receives;
}

/* Resets or destroys both ends of a pair, and connects them again. */
static void reset_pair(struct owner *o, struct pair *pair, bool destroys) {
    const struct rvt_qp_attr attr = {.state = RVT_QPS_RESET};
    pthread_rwlock_wrlock(&pair->lock);
    for (unsigned side = 0; side < SIDES; side++) {
        struct end *end = &pair->ends[side];
        if (destroys)
            CHECK_EQ(rvt_destroy_qp(end->handle), 0);
        else
            CHECK_EQ(rvt_modify_qp(end->handle, &attr, RVT_QPA_STATE), 0);
        poll_all(o);
        forget(o, end, destroys);
        if (destroys) {
            end->lost = 0;
            create_end(o, pair, side);
        } else {
            count_lost(end);
        }
    }
    connect_pair(o, pair);
    pthread_rwlock_unlock(&pair->lock);
    o->resets++;
}

/* Connects a pair again of which an end has failed. */
static void mend_pair(struct owner *o, struct pair *pair) {
    bool failed = false;
    for (unsigned side = 0; side < SIDES; side++) {
        struct rvt_qp_query query = {0};
        CHECK_EQ(rvt_query_qp(pair->ends[side].handle, &query), 0); /* only this thread changes the handle */
        failed |= query.attr.state == RVT_QPS_ERR;
    }
    if (failed)
        reset_pair(o, pair, !roll(&o->w.seed, 8));
}

static void show_region(struct owner *o, unsigned side, unsigned i) {
    struct estate *estate = &o->estates[side];
    unsigned char *bytes = memory_of[o->w.index][side][i];
    struct rvt_memory *memory = rvt_fixed_memory(bytes, REGION_BYTES);
    struct rvt_mr_birth birth = {0};
    const uint64_t addr = (uint64_t)(uintptr_t)bytes;
    CHECK(memory != NULL);
    CHECK_EQ(rvt_reg_user_mr_at(estate->pd, memory, addr, addr, ALL_ACCESS, &estate->mr[i], &birth), 0);
    rvt_memory_put(memory);
    estate->ended[i] = false;
    atomic_store(&estate->shown[i].addr, addr);
    atomic_store(&estate->shown[i].key, birth.key);
}

static void check_bytes_of(struct owner *o, unsigned side, unsigned i) {
    const unsigned char *bytes = memory_of[o->w.index][side][i];
    for (unsigned k = 1; k < REGION_BYTES; k++) {
        if (bytes[k] != bytes[0]) {
            atomic_fetch_add(&changed_bytes, 1);
            return;
        }
    }
}

/* Ends a region and fills its bytes: a later write of the endpoint is found by check_bytes_of(), and by ThreadSanitizer.
 * Or shows it again. */
static void turn_region(struct owner *o, unsigned side, unsigned i) {
    struct estate *estate = &o->estates[side];
    if (estate->ended[i]) {
        check_bytes_of(o, side, i);
        show_region(o, side, i);
        return;
    }
    if (roll(&o->w.seed, 16)) /* most regions are there */
        return;
    const bool force = roll(&o->w.seed, 4) == 0;
    int answer, tries = 0;
    while ((answer = rvt_dereg_mr(estate->mr[i], force ? RVT_RELEASE_FORCE : RVT_RELEASE)) == -RVT_EBUSY) {
        if (++tries == 100000)
            break;
        rvt_yield();
    }
    CHECK_EQ(answer, 0);
    memset(memory_of[o->w.index][side][i], ++o->tag, REGION_BYTES);
    estate->ended[i] = true;
    o->deregs++;
}

/* --- what a thread does --- */

static void post_send(struct owner *o, struct pair *pair, unsigned side) {
    static const uint32_t opcodes[] = {RVT_WR_SEND,
                                       RVT_WR_SEND_WITH_IMM,
                                       RVT_WR_RDMA_WRITE,
                                       RVT_WR_RDMA_READ,
                                       RVT_WR_RDMA_WRITE_WITH_IMM,
                                       RVT_WR_ATOMIC_FETCH_AND_ADD,
                                       RVT_WR_ATOMIC_CMP_AND_SWP};
    uint64_t *seed = &o->w.seed;
    const struct owner *of = &owners[pair->owner];
    const struct shown_region *own = &of->estates[side].shown[roll(seed, REGIONS)],
                              *other = &of->estates[!side].shown[roll(seed, REGIONS)];
    struct rvt_send_wr wr = {.opcode = opcodes[roll(seed, 7)]};
    struct slot *slot;
    const bool atomic = wr.opcode == RVT_WR_ATOMIC_FETCH_AND_ADD || wr.opcode == RVT_WR_ATOMIC_CMP_AND_SWP;
    const uint32_t most = roll(seed, 4) ? 512 : REGION_BYTES / 4;
    const uint32_t length = atomic ? 8 : (uint32_t)roll(seed, most);
    const uint64_t offset = roll(seed, REGION_BYTES / 4) / 8 * 8;
    const struct rvt_ib_sge sge = {atomic_load(&own->addr) + offset, length, atomic_load(&own->key)};
    wr.sges = &sge;
    wr.num_sge = 1;
    wr.flags = roll(seed, 8) ? 0 : RVT_SEND_FENCE;
    wr.remote_addr = atomic_load(&other->addr) + REGION_BYTES / 2 + offset;
    wr.rkey = atomic_load(&other->key);
    pthread_rwlock_rdlock(&pair->lock);
    if (pair->ends[side].there && take_slot(pair, side, seed, false, &wr.wr_id, &slot)) {
        if (rvt_post_send(pair->ends[side].handle, &wr, 1, NULL))
            atomic_store(&slot->state, FREE);
        else
            o->posted++;
    }
    pthread_rwlock_unlock(&pair->lock);
}

static void post_receive(struct owner *o, struct pair *pair, unsigned side) {
    const struct shown_region *own = &owners[pair->owner].estates[side].shown[roll(&o->w.seed, REGIONS)];
    const uint32_t length = roll(&o->w.seed, 128) ? REGION_BYTES : 100; /* some are too small */
    const struct rvt_ib_sge sge = {atomic_load(&own->addr), length, atomic_load(&own->key)};
    struct rvt_recv_wr wr = {.sges = &sge, .num_sge = 1};
    struct slot *slot;
    pthread_rwlock_rdlock(&pair->lock);
    if (pair->ends[side].there && take_slot(pair, side, &o->w.seed, true, &wr.wr_id, &slot)) {
        if (rvt_post_recv(pair->ends[side].handle, &wr, 1, NULL))
            atomic_store(&slot->state, FREE);
        else
            o->posted++;
    }
    pthread_rwlock_unlock(&pair->lock);
}

static void move_end(struct pair *pair, unsigned side, uint32_t state) {
    const struct rvt_qp_attr attr = {.state = state};
    pthread_rwlock_rdlock(&pair->lock);
    if (pair->ends[side].there)
        (void)rvt_modify_qp(pair->ends[side].handle, &attr, RVT_QPA_STATE);
    pthread_rwlock_unlock(&pair->lock);
}

static void begin_life(struct owner *o) {
    for (unsigned side = 0; side < SIDES; side++) {
        struct estate *estate = &o->estates[side];
        CHECK_EQ(rvt_alloc_pd(sides[side].device, NULL, false, &estate->pd), 0);
        CHECK_EQ(rvt_create_cq(sides[side].device, NULL, &(struct rvt_cq_init){.cqe = CQE}, &estate->cq), 0);
        for (unsigned i = 0; i < REGIONS; i++)
            show_region(o, side, i);
    }
    for (unsigned i = 0; i < PAIRS; i++) {
        pthread_rwlock_wrlock(&o->pairs[i].lock);
        for (unsigned side = 0; side < SIDES; side++)
            create_end(o, &o->pairs[i], side);
        connect_pair(o, &o->pairs[i]);
        pthread_rwlock_unlock(&o->pairs[i].lock);
    }
}

static void live(struct worker *w) {
    struct owner *o = (struct owner *)w;
    begin_life(o);
    while (going()) {
        const unsigned side = (unsigned)roll(&w->seed, SIDES);
        const uint64_t die = roll(&w->seed, 10000);
        if (die < 2500)
            post_send(o, any_pair(&w->seed), side);
        else if (die < 4500)
            post_receive(o, any_pair(&w->seed), side);
        else if (die < 6500)
            poll_all(o);
        else if (die < 6503)
            move_end(any_pair(&w->seed), side, RVT_QPS_ERR);
        else if (die < 6540)
            move_end(any_pair(&w->seed), side, RVT_QPS_SQD);
        else if (die < 6700)
            move_end(any_pair(&w->seed), side, RVT_QPS_RTS);
        else if (die < 6800)
            mend_pair(o, &o->pairs[roll(&w->seed, PAIRS)]);
        else if (die < 6803)
            reset_pair(o, &o->pairs[roll(&w->seed, PAIRS)], roll(&w->seed, 2));
        else if (die < 6850)
            turn_region(o, side, (unsigned)roll(&w->seed, REGIONS));
        else if (die < 8000)
            nanosleep(&(struct timespec){0, 100000}, NULL); /* let the packets come */
    }
}

/* --- the test --- */

static void open_side(unsigned index) {
    struct side *s = &sides[index];
    struct rvt_limits limits = {{0}};
    for (int i = 0; i < RVT_LIMIT_COUNT; i++)
        limits.of[i] = 255; /* as many elements as there can be, and enough of the rest */
    limits.of[RVT_LIMIT_MAX_CQE] = CQE;
    const struct rvt_device_options options = {.lkey_table_bits = 10, .random_keys = true};
    const struct rvt_engine_options engine = {.limits = limits};
    REQUIRE(rvt_register_device(&options, &engine, &s->device) == 0);
    s->place = (struct rvt_wire_peer){.address = {[10] = 0xff, 0xff, 10, 0, 0, (uint8_t)(index + 1)},
                                      .port = RVT_ROCE_UDP_PORT};
    REQUIRE(pthread_rwlock_init(&s->opening, NULL) == 0 && pthread_mutex_init(&s->lock, NULL) == 0);
    open_endpoint(s);
    s->w = (struct worker){.run = host, .seed = 100 + index, .index = index};
}

static void close_side(struct side *s) {
    struct rvt_completion_counts counts;
    rvt_count_completions(s->device, &counts);
    printf("# %" PRIu64 " packets received, %" PRIu64 " lost, %" PRIu64 " sent again, %" PRIu64
           " timeouts, %" PRIu64 " RNR, %lu refused, %" PRIu64 " times reopened; successes: %" PRIu64 "\n",
           s->received, s->lost, s->counters.retransmitted, s->counters.timeouts, s->counters.rnr_naks,
           atomic_load(&s->refused), s->reopened, counts.by_status[RVT_WC_STATUS_SUCCESS]);
    CHECK_EQ(counts.lost, 0);
    CHECK(counts.by_status[RVT_WC_STATUS_SUCCESS] > 0 && s->counters.retransmitted > 0 && s->reopened > 0);
    CHECK_EQ(s->counters.fatal_naks, atomic_load(&s->refused));
    CHECK_EQ(atomic_load(&s->device->watched), 0);
    CHECK_EQ(rvt_mr_exit(s->device, true, NULL), 0);
    rvt_dev_put(s->device);
    pthread_rwlock_destroy(&s->opening);
    pthread_mutex_destroy(&s->lock);
}

/* Everything was flushed: what was accepted and not dropped has completed, but for receives that nobody took. */
static void check_owner(struct owner *o) {
    uint64_t left = 0, lost = 0;
    poll_all(o);
    for (unsigned i = 0; i < PAIRS; i++) {
        for (unsigned side = 0; side < SIDES; side++) {
            const struct end *end = &o->pairs[i].ends[side];
            lost += end->lost;
            for (unsigned k = 0; k < SLOTS; k++)
                left += atomic_load(&end->slots[k].state) != FREE;
        }
        pthread_rwlock_destroy(&o->pairs[i].lock);
    }
    CHECK_EQ(left, lost);
    for (unsigned side = 0; side < SIDES; side++) {
        for (unsigned i = 0; i < REGIONS; i++) {
            if (o->estates[side].ended[i])
                check_bytes_of(o, side, i);
            else
                CHECK_EQ(fixture_refs(o->estates[side].mr[i]), 2);
        }
    }
}

static void nothing_is_lost_doubled_or_held(void) {
    const long live_before = rvt_test_alloc_live();
    for (unsigned i = 0; i < SIDES; i++)
        open_side(i);
    for (unsigned i = 0; i < OWNERS; i++) {
        owners[i].w = (struct worker){.run = live, .seed = i + 7, .index = i};
        for (unsigned k = 0; k < PAIRS; k++) {
            owners[i].pairs[k].owner = i;
            owners[i].pairs[k].index = k;
            REQUIRE(pthread_rwlock_init(&owners[i].pairs[k].lock, NULL) == 0);
        }
    }
    atomic_store(&stop, false);
    for (unsigned i = 0; i < SIDES; i++)
        REQUIRE(pthread_create(&sides[i].w.thread, NULL, work, &sides[i].w) == 0);
    for (unsigned i = 0; i < OWNERS; i++)
        REQUIRE(pthread_create(&owners[i].w.thread, NULL, work, &owners[i].w) == 0);
    nanosleep(&(struct timespec){RUN_SECONDS, 0}, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < OWNERS; i++)
        REQUIRE(pthread_join(owners[i].w.thread, NULL) == 0);
    for (unsigned i = 0; i < SIDES; i++)
        REQUIRE(pthread_join(sides[i].w.thread, NULL) == 0);
    /* Closing the endpoints flushes what is connected; a failed connect has left some queue pairs in other states. */
    for (unsigned i = 0; i < SIDES; i++)
        close_endpoint(&sides[i]);
    for (unsigned i = 0; i < OWNERS; i++)
        for (unsigned k = 0; k < PAIRS; k++)
            for (unsigned side = 0; side < SIDES; side++)
                move_end(&owners[i].pairs[k], side, RVT_QPS_ERR);
    for (unsigned i = 0; i < SIDES; i++)
        CHECK_EQ(rvt_run_engine(sides[i].device), 0);
    uint64_t posted = 0, completed = 0, dropped = 0, resets = 0, deregs = 0, failed = 0;
    for (unsigned i = 0; i < OWNERS; i++) {
        struct owner *o = &owners[i];
        check_owner(o);
        posted += o->posted;
        completed += o->completed;
        dropped += o->dropped;
        resets += o->resets;
        deregs += o->deregs;
        failed += o->failed_connects;
    }
    printf("# %" PRIu64 " posted, %" PRIu64 " completed, %" PRIu64 " dropped, %" PRIu64 " resets, %" PRIu64
           " regions ended, %" PRIu64 " connects that failed\n",
           posted, completed, dropped, resets, deregs, failed);
    CHECK(resets > 0 && deregs > 0);
    CHECK_EQ(atomic_load(&unknown_completions), 0);
    CHECK_EQ(atomic_load(&changed_bytes), 0);
    for (unsigned i = 0; i < SIDES; i++)
        close_side(&sides[i]);
    CHECK_EQ(rvt_test_alloc_live(), live_before);
}

CHECK_MAIN(TEST(nothing_is_lost_doubled_or_held))
