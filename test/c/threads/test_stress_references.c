/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads take and put references on regions while other threads end those regions in every way.
 *
 * The following must never happen: a check that began after a verb returned takes a reference on the ended
 * region; a reference is still held when a plain dereg has returned; a put does not wake its waiter; a
 * reference count does not return to its initial value. A reference that one thread took may be put by
 * another. */
#include "core/access/batch.h"
#include "stress.h"

enum { ENDERS = 2, HOLDERS = 3, SLOTS = 2, SGE = 16, BATCH = 8, EXCHANGE = 8, LENGTH = 2 * PAGE };

static alignas(4096) unsigned char bytes[LENGTH];
static struct fixture keeper;
static uint64_t common_domain; /* serial number of the domain that all threads attach */

/* A region that is announced to the holders. Region ids are unique, so an id identifies a region forever. */
struct shown {
    _Atomic(uint64_t) id,
        ended; /* id: the current or last region; ended: the last region whose end has returned */
    _Atomic(uint32_t) key;
    _Atomic(uint64_t) address;
};

static struct shown shown[ENDERS][SLOTS];

/* An SGE with the id of its region. */
struct token {
    struct rvt_sge sge;
    uint64_t id;
};

/* Number of holders of each region, indexed by its id. Holders count up after taking a reference, and down
 * before putting it, so the number is 0 when the core reports that no reference is held. */
enum { NUMBERS = 1 << 20 };
static _Atomic(int32_t) holders[NUMBERS];

/* SGEs on their way from one thread to another. */
static _Atomic(struct token *) exchange[EXCHANGE];

static atomic_uint_fast64_t accepted_after_end, held_at_end, accepted_all, waits_all;

static _Atomic(int32_t) *holders_of(uint64_t id) {
    return &holders[id % NUMBERS];
}

/* --- holders --- */

static void put_token(struct token *token) {
    if (!token)
        return;
    atomic_fetch_sub(holders_of(token->id), 1);
    rvt_put_sge(&token->sge);
    rvt_free(token);
}

/* Leaves an SGE in the exchange and takes over the one that another thread left there. */
static struct token *take_token(struct rvt_ucontext *context, unsigned at, struct token *left) {
    struct token *token = atomic_exchange(&exchange[at], left);
    if (token)
        rvt_take_over_sge(&token->sge, context);
    return token;
}

/* Keeps an accepted SGE. The caller must read `ended` before the check begins. */
static void keep_token(struct worker *w, struct rvt_ucontext *context, const struct rvt_sge *sge,
                       uint64_t ended) {
    const uint64_t id = rvt_mr_id(sge->mr);
    struct token *token = rvt_malloc(sizeof(*token));
    if (!token)
        abort();
    if (id == ended)
        atomic_fetch_add(&accepted_after_end, 1);
    atomic_fetch_add(holders_of(id), 1);
    *token = (struct token){*sge, id};
    w->accepted++;
    /* Pass it to another thread in exchange for one of its SGEs, or put it here. */
    if (roll(&w->seed, 2))
        token = take_token(context, (unsigned)roll(&w->seed, EXCHANGE), token);
    if (roll(&w->seed, 4) == 0)
        sched_yield();
    put_token(token);
}

static void hold_one(struct worker *w, struct rvt_pd_handle pd, struct rvt_qp_handle qp, struct shown *of) {
    struct rvt_sge sge = {0};
    enum rvt_reason reason;
    const uint64_t ended = atomic_load(&of->ended), address = atomic_load(&of->address);
    const uint32_t key = atomic_load(&of->key);
    int answer = roll(&w->seed, 2) ? check_local(w, pd, &sge, NULL, address, 16, key, 0, &reason)
                                   : check_remote(w, qp, &sge, address, 16, key, REMOTE_READ, &reason);
    if (answer == 1)
        keep_token(w, pd.context, &sge, ended);
}

static void hold_many(struct worker *w, const struct rvt_checker *checker, struct shown *of) {
    unsigned char packed[BATCH * SGE];
    struct rvt_sge held[BATCH] = {{0}};
    struct rvt_batch_result result;
    const struct rvt_batch_columns none = {0};
    const uint64_t ended = atomic_load(&of->ended), address = atomic_load(&of->address);
    const uint32_t key = atomic_load(&of->key), length = 8;
    for (uint64_t i = 0; i < BATCH; i++) {
        uint64_t addr = address + i * 8;
        memcpy(packed + i * SGE, &addr, 8);
        memcpy(packed + i * SGE + 8, &length, 4);
        memcpy(packed + i * SGE + 12, &key, 4);
    }
    const struct rvt_batch batch = {checker, packed, BATCH, 0, NULL, false};
    int answer = rvt_acquire_batch(w->reader, &batch, roll(&w->seed, 2), NULL, held, &none, &result);
    CHECK(answer == 0);
    for (int i = 0; i < BATCH; i++)
        if (held[i].mr)
            keep_token(w, checker->context, &held[i], ended);
}

static void hold(struct worker *w) {
    struct rvt_ucontext *context;
    struct rvt_pd_handle pd;
    struct rvt_qp_handle qp;
    struct rvt_checker checker;
    REQUIRE(rvt_alloc_ucontext(keeper.device, w->reader, &context) == 0);
    CHECK_EQ(rvt_attach_pd(context, common_domain, &pd), 0);
    CHECK_EQ(rvt_create_check_qp(pd, &qp), 0);
    CHECK(rvt_checker_of_pd(pd, &checker));
    while (going()) {
        struct shown *of = &shown[roll(&w->seed, ENDERS)][roll(&w->seed, SLOTS)];
        if (roll(&w->seed, 2))
            hold_one(w, pd, qp, of);
        else
            hold_many(w, &checker, of);
    }
    for (int i = 0; i < EXCHANGE; i++)
        put_token(take_token(context, (unsigned)i, NULL));
    CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
    rvt_free_ucontext(context);
}

/* --- enders --- */

struct ender {
    struct worker w;
    struct rvt_ucontext *context;
    struct rvt_pd_handle common;
    struct rvt_dma_handle dma;
    struct rvt_mr_handle mr[SLOTS];
    atomic_bool woken;
};

static struct ender enders[ENDERS];

static void wake(void *data) {
    atomic_store((atomic_bool *)data, true);
}

static uint64_t dma_of(const struct ender *e) {
    return (uint64_t)(e->w.index + 1) << 32;
}

static void show(struct ender *e, int slot) {
    struct shown *s = &shown[e->w.index][slot];
    struct rvt_mr_handle mr;
    struct rvt_sg_outcome outcome;
    const uint64_t address = dma_of(e);
    switch (roll(&e->w.seed, 3)) {
    case 0:
        mr = fixture_reg_in(e->common, bytes, LENGTH, address, address, ALL_ACCESS);
        break;
    case 1:
        CHECK_EQ(rvt_alloc_fmr(e->common, ALL_ACCESS, &(struct rvt_fmr_attr){2, 1, 12}, &mr), 0);
        CHECK_EQ(rvt_map_phys_fmr(mr, (uint64_t[]){address, address + PAGE}, 2, address), 0);
        break;
    default:
        CHECK_EQ(rvt_alloc_mr(e->common, RVT_MR_TYPE_MEM_REG, 2, &mr), 0);
        CHECK_EQ(rvt_map_mr_sg(mr, &(struct rvt_sg_element){address, LENGTH}, 1, 0, PAGE, &outcome), 1);
    }
    e->mr[slot] = mr;
    struct rvt_mr_attributes is = fixture_query(mr);
    atomic_store(&s->address, address);
    atomic_store(&s->key, is.keys.lkey);
    atomic_store(&s->id, is.id);
}

static int release(struct rvt_mr_handle mr, enum rvt_release_mode mode) {
    return mr.mr->kind == RVT_MR_FMR ? rvt_dealloc_fmr(mr, mode) : rvt_dereg_mr(mr, mode);
}

/* An SGE left in the exchange would keep a plain dereg busy forever. */
static void empty_exchange(void) {
    for (int i = 0; i < EXCHANGE; i++)
        put_token(take_token(NULL, (unsigned)i, NULL));
}

static void await_wake(struct ender *e) {
    for (int i = 0; !atomic_load(&e->woken); i++) {
        empty_exchange();
        rvt_sleep_briefly();
        if (i == 200000) { /* after 10 seconds: a put did not wake its waiter */
            CHECK(!"a put wakes its waiter");
            return;
        }
    }
}

static void take_away(struct ender *e) {
    const struct rvt_mr_handle mr = e->mr[0];
    const uint64_t how = roll(&e->w.seed, 5);
    bool force = false;
    int answer;
    switch (how) {
    case 0: /* plain release, until it succeeds */
        while ((answer = release(mr, RVT_RELEASE)) == -RVT_EBUSY)
            empty_exchange();
        break;
    case 1: /* awaited release: each put wakes this thread */
        for (;;) {
            atomic_store(&e->woken, false);
            answer = release(mr, RVT_RELEASE_AWAIT);
            if (answer != -RVT_EBUSY)
                break;
            atomic_fetch_add(&waits_all, 1);
            await_wake(e);
        }
        break;
    case 2:
        answer = release(mr, RVT_RELEASE_FORCE);
        force = true;
        break;
    case 3: /* the list names both regions, one of them twice */
        answer = rvt_dereg_mrs(e->common, (struct rvt_mr_handle[]){mr, e->mr[1], mr}, 3, RVT_RELEASE_FORCE);
        force = true;
        break;
    default: /* deallocate the context, which cascades to its regions */
        answer = rvt_dealloc_ucontext(e->context, true);
        force = true;
    }
    CHECK_EQ(answer, 0);
    for (int slot = 0; slot < (how >= 3 ? SLOTS : 1); slot++) {
        struct shown *s = &shown[e->w.index][slot];
        const uint64_t id = atomic_load(&s->id);
        if (!force && atomic_load(holders_of(id)) != 0)
            atomic_fetch_add(&held_at_end, 1);
        atomic_store(&s->ended, id);
    }
}

static void begin_life(struct ender *e) {
    CHECK_EQ(rvt_alloc_ucontext(keeper.device, NULL, &e->context), 0);
    CHECK_EQ(rvt_attach_pd(e->context, common_domain, &e->common), 0);
    rvt_on_put(e->context, wake, &e->woken);
    uint64_t address = dma_of(e);
    struct rvt_memory *memory = rvt_fixed_memory(bytes, LENGTH);
    CHECK_EQ(rvt_dma_map(keeper.device, e->context, memory, true, &address, &e->dma), 0);
    rvt_memory_put(memory);
}

static void end_regions(struct worker *w) {
    struct ender *e = (struct ender *)w;
    begin_life(e);
    show(e, 0);
    show(e, 1);
    while (going()) {
        for (uint64_t moment = roll(&w->seed, 2000); moment; moment--)
            rvt_pause();
        take_away(e);
        if (rvt_ucontext_live(e->context)) {
            rvt_free_ucontext(e->context);
            begin_life(e);
        }
        for (int slot = 0; slot < SLOTS; slot++)
            if (fixture_dead(e->mr[slot]))
                show(e, slot);
        w->accepted++;
    }
    CHECK_EQ(rvt_dealloc_ucontext(e->context, true), 0);
    rvt_free_ucontext(e->context);
}

static void no_reference_is_taken_or_held_after_a_region_ended(void) {
    static struct worker workers[HOLDERS];
    uint64_t ended = 0;
    REQUIRE(fixture_open_joined(&keeper, 10));
    common_domain = rvt_pd_serial(keeper.pd);
    memset(enders, 0, sizeof(enders));
    atomic_store(&stop, false);
    for (unsigned i = 0; i < ENDERS; i++) {
        enders[i].w = (struct worker){.run = end_regions, .seed = i + 50, .index = i};
        REQUIRE(pthread_create(&enders[i].w.thread, NULL, work, &enders[i].w) == 0);
    }
    for (unsigned i = 0; i < HOLDERS; i++) {
        workers[i] = (struct worker){.run = hold, .seed = i, .index = i};
        REQUIRE(pthread_create(&workers[i].thread, NULL, work_as_reader, &workers[i]) == 0);
    }
    nanosleep(&(struct timespec){2, 0}, NULL);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < ENDERS; i++) {
        REQUIRE(pthread_join(enders[i].w.thread, NULL) == 0);
        ended += enders[i].w.accepted;
    }
    for (unsigned i = 0; i < HOLDERS; i++) {
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
        atomic_fetch_add(&accepted_all, workers[i].accepted);
    }
    for (int i = 0; i < EXCHANGE; i++)
        put_token(take_token(NULL, (unsigned)i, NULL));
    printf("# %" PRIu64 " regions ended, %" PRIu64 " references, %" PRIu64
           " waits for a put; taken on ended regions: %" PRIu64 ", held after dereg returned: %" PRIu64 "\n",
           ended, (uint64_t)atomic_load(&accepted_all), (uint64_t)atomic_load(&waits_all),
           (uint64_t)atomic_load(&accepted_after_end), (uint64_t)atomic_load(&held_at_end));
    CHECK(ended > 0 && atomic_load(&accepted_all) > 0);
    CHECK_EQ(atomic_load(&accepted_after_end), 0);
    CHECK_EQ(atomic_load(&held_at_end), 0);
    CHECK_EQ(atomic_load(&keeper.device->watched), 0); /* every object returned to its pool */
    CHECK_EQ(fixture_head(keeper.device).used, 0);
    CHECK_EQ(keeper.pd.pd->children, 1);
    fixture_leave_last(&keeper, &keeper);
}

CHECK_MAIN(TEST(no_reference_is_taken_or_held_after_a_region_ended))
