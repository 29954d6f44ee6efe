/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/batch.h"

#include <pthread.h>
#include <sched.h>

#include "fixture.h"

enum { MAX = 300, SGE = 16 };

static alignas(4096) unsigned char arena[16 * PAGE];

/* Regions of every kind and state, with their keys, and a base address near which requests are likely to hit
 * each. */
struct world {
    uint32_t key[9];
    uint64_t base[9];
    struct rvt_mr_handle user, pages;
};

static struct world build_world(struct fixture *f) {
    struct world w = {{0}, {0}, {0}, {0}};
    struct rvt_mr_handle mr;
    struct rvt_sg_outcome outcome;
    fixture_dma(f, arena, 8 * PAGE, 0x10000);
    fixture_dma(f, arena + 8 * PAGE, PAGE - 5, 0x40000);
    CHECK_EQ(rvt_get_dma_mr(f->pd, 0, &mr), 0);
    w.base[0] = 0x10000; /* the DMA region of key 0 */
    w.user = fixture_reg(f, arena + 10 * PAGE, 2 * PAGE + 9, 0x5000, 0x9000, ALL_ACCESS);
    w.key[1] = fixture_key(w.user);
    w.base[1] = 0x5000;
    w.key[2] = fixture_key(fixture_reg(f, arena + 9 * PAGE, 100, 0x700, 0x700, REMOTE_READ));
    w.base[2] = 0x700;
    w.key[3] = fixture_key(fixture_reg_in(f->other_pd, arena, PAGE, 0x5000, 0x5000, ALL_ACCESS));
    w.base[3] = 0x5000;
    mr = fixture_reg(f, arena, PAGE, 0x3000, 0x3000, ALL_ACCESS);
    w.key[4] = fixture_key(mr);
    w.base[4] = 0x3000;
    CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE), 0);
    w.pages = fixture_fmr(f, ALL_ACCESS, 4, 12);
    CHECK_EQ(rvt_map_phys_fmr(w.pages, (uint64_t[]){0x10000, 0x11000, 0x13000}, 3, 0x10000), 0);
    w.key[5] = fixture_key(w.pages);
    w.base[5] = 0x10000;
    mr = fixture_fmr(f, ALL_ACCESS, 4, 12);
    CHECK_EQ(rvt_map_phys_fmr(mr, (uint64_t[]){0x10000}, 1, 0x8000), 0);
    CHECK_EQ(rvt_unmap_fmr(&mr, 1), 0);
    w.key[6] = fixture_key(mr);
    w.base[6] = 0x8000;
    mr = fixture_mem_reg(f, 4);
    CHECK_EQ(rvt_map_mr_sg(mr, (struct rvt_sg_element[]){{0x10000, 2 * PAGE}}, 1, 0, PAGE, &outcome), 1);
    w.key[7] = fixture_key(mr);
    CHECK_EQ(rvt_fast_reg_mr(f->qp, mr, w.key[7], ALL_ACCESS, NULL), 0);
    w.base[7] = 0x10000;
    mr = fixture_mem_reg(f, 4);
    w.key[8] = fixture_key(mr);
    CHECK_EQ(rvt_map_mr_sg(mr, (struct rvt_sg_element[]){{0x10000, PAGE}}, 1, 0, PAGE, &outcome), 1);
    CHECK_EQ(rvt_fast_reg_mr(f->qp, mr, w.key[8], ALL_ACCESS, NULL), 0);
    CHECK_EQ(rvt_invalidate_rkey(f->qp, w.key[8]), 0);
    w.base[8] = 0x10000;
    return w;
}

static struct rvt_ib_sge any_request(const struct world *w, uint64_t *seed) {
    static const uint32_t lengths[] = {0, 1, 8, PAGE, 2 * PAGE + 9, UINT32_MAX};
    uint64_t which = roll(seed, 9);
    struct rvt_ib_sge sge = {w->base[which], 0, w->key[which]};
    if (which == 1 && roll(seed, 2))
        sge.addr = 0x9000;
    sge.addr += roll(seed, 3) ? roll(seed, 80) : roll(seed, 4 * PAGE) - 50;
    sge.length = roll(seed, 2) ? lengths[roll(seed, 6)] : (uint32_t)roll(seed, 2 * PAGE);
    if (!roll(seed, 16))
        sge.lkey += 1 + (uint32_t)roll(seed, 300);
    if (!roll(seed, 16))
        sge.addr = dice(seed);
    return sge;
}

static void pack(unsigned char *at, struct rvt_ib_sge sge) {
    memcpy(at, &sge.addr, 8);
    memcpy(at + 8, &sge.length, 4);
    memcpy(at + 12, &sge.lkey, 4);
}

static struct rvt_checker checker_of(struct fixture *f, bool remote_side) {
    struct rvt_checker checker;
    CHECK(remote_side ? rvt_checker_of_qp(f->qp, &checker) : rvt_checker_of_pd(f->pd, &checker));
    return checker;
}

/* Returns the result of a single check. */
static enum rvt_reason alone(struct fixture *f, bool remote_side, struct rvt_ib_sge wanted, uint32_t acc,
                             struct rvt_sge *sge) {
    int answer = remote_side ? remote(f, sge, wanted.addr, wanted.length, wanted.lkey, acc)
                             : local(f, sge, wanted.addr, wanted.length, wanted.lkey, acc);
    CHECK_EQ(answer == 1, f->reason == RVT_REASON_NONE);
    return f->reason;
}

static void a_batch_gives_the_verdicts_of_single_checks(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct world w = build_world(&f);
    uint64_t seed = 5;
    bool seen[32] = {false};
    for (int round = 0; round < 2000; round++) {
        static unsigned char packed[MAX * SGE + 16];
        static struct rvt_ib_sge wanted[MAX];
        static uint32_t verdict[MAX], length[MAX], segment[MAX];
        static uint64_t at[MAX];
        static double region[MAX];
        static struct rvt_sge held[MAX];
        const bool remote_side = roll(&seed, 2);
        const struct rvt_checker checker = checker_of(&f, remote_side);
        const uint32_t count = (uint32_t)roll(&seed, roll(&seed, 8) ? 40 : MAX);
        const uint32_t acc = roll(&seed, 3) ? 1u << roll(&seed, 4) : (uint32_t)roll(&seed, 16);
        unsigned char *sges = packed + roll(&seed, 16); /* packed SGEs may have any alignment */
        for (uint32_t i = 0; i < count; i++) {
            wanted[i] = any_request(&w, &seed);
            pack(sges + i * SGE, wanted[i]);
        }
        const struct rvt_batch batch = {&checker, sges, count, acc, NULL, false};
        struct rvt_batch_columns columns = {.verdict = verdict};
        const bool places = roll(&seed, 2), acquire = roll(&seed, 2);
        if (places)
            columns = (struct rvt_batch_columns){verdict, region, at, length, segment};
        struct rvt_batch_result result;
        if (acquire)
            CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &columns, &result), 0);
        else
            CHECK_EQ(rvt_check_batch(f.reader, &batch, &columns, &result), 0);
        uint32_t passed = 0, first = count;
        for (uint32_t i = 0; i < count; i++) {
            struct rvt_sge sge;
            const enum rvt_reason reason = alone(&f, remote_side, wanted[i], acc, &sge);
            seen[reason] = true;
            CHECK_EQ(verdict[i], reason);
            if (i == 0)
                CHECK_EQ(rvt_check_one(f.reader, &batch), reason);
            if (reason) {
                if (first == count)
                    first = i;
                CHECK(!acquire || !held[i].mr);
                continue;
            }
            passed++;
            if (places) {
                CHECK_EQ(region[i], rvt_mr_id(sge.mr));
                CHECK_EQ(at[i], sge.at);
                CHECK_EQ(length[i], sge.length);
                CHECK_EQ(segment[i], rvt_sge_segment(&sge));
            }
            if (acquire) {
                CHECK_PTR_EQ(held[i].mr, sge.mr);
                CHECK_EQ(held[i].position, sge.position);
                CHECK_EQ(held[i].rights, sge.rights);
                CHECK_EQ(held[i].sge_length, wanted[i].length);
            }
            rvt_put_sge(&sge);
        }
        CHECK_EQ(result.passed, passed);
        CHECK_EQ(result.first_refused, first);
        if (first < count)
            CHECK_EQ(result.reason, verdict[first]);
        else
            CHECK_EQ(result.reason, RVT_REASON_NONE);
        if (acquire) {
            CHECK_EQ(rvt_put_sges(held, count), passed);
            CHECK_EQ(rvt_put_sges(held, count), 0);
        }
    }
    for (int reason = RVT_REASON_NONE; reason <= RVT_UNMAPPED; reason++)
        CHECK(seen[reason] || reason == RVT_KEY_ZERO_DENIED || reason == RVT_NO_DMA_REGION);
    fixture_close(&f);
}

static void a_batch_coalesces_as_single_checks_do(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct world w = build_world(&f);
    const struct rvt_checker checker = checker_of(&f, false);
    const uint32_t refs = fixture_refs(w.pages);
    uint64_t seed = 9, merged = 0;
    for (int round = 0; round < 2000; round++) {
        unsigned char packed[40 * SGE];
        struct rvt_ib_sge wanted[40];
        struct rvt_sge held[40] = {{0}}, single[40] = {{0}}, seeds[2];
        uint32_t verdict[40], length[40];
        uint64_t at[40];
        const uint32_t count = (uint32_t)roll(&seed, 40);
        uint64_t end = 0x10000;
        for (uint32_t i = 0; i < count; i++) {
            static const uint32_t lengths[] = {0, 16, 100, PAGE, 2 * PAGE};
            const uint32_t keys[] = {0, 0, 0, 0, w.key[5], w.key[7], w.key[1]};
            wanted[i] = (struct rvt_ib_sge){end, lengths[roll(&seed, 5)], keys[roll(&seed, 7)]};
            if (!roll(&seed, 4))
                wanted[i].addr = 0x10000 + roll(&seed, 3) * PAGE;
            end = wanted[i].addr + wanted[i].length;
            pack(packed + i * SGE, wanted[i]);
        }
        const bool seeded = roll(&seed, 2);
        for (int s = 0; s < 2; s++)
            CHECK_EQ(local(&f, &seeds[s], 0x10000, 0, 0, 0), 1);
        const struct rvt_batch batch = {&checker, packed, count, 0, NULL, false};
        const struct rvt_batch_columns columns = {.verdict = verdict, .at = at, .length = length};
        struct rvt_batch_result result;
        CHECK_EQ(
            rvt_acquire_batch(f.reader, &batch, true, seeded ? &seeds[0] : NULL, held, &columns, &result), 0);
        struct rvt_sge *last = seeded ? &seeds[1] : NULL;
        for (uint32_t i = 0; i < count; i++) {
            const int answer =
                local_in(&f, f.pd, &single[i], last, wanted[i].addr, wanted[i].length, wanted[i].lkey, 0);
            CHECK_EQ(verdict[i], answer == 0 ? (enum rvt_reason)RVT_BATCH_COALESCED : f.reason);
            merged += answer == 0;
            if (answer == 1)
                last = &single[i];
            if (answer >= 0) {
                CHECK_EQ(at[i], last->at);
                CHECK_EQ(length[i], last->length);
            }
        }
        for (uint32_t i = 0; i < count; i++) {
            CHECK_PTR_EQ(held[i].mr, single[i].mr);
            if (!single[i].mr)
                continue;
            CHECK_EQ(held[i].sge_length, single[i].sge_length);
            CHECK_EQ(held[i].length, single[i].length);
            CHECK_EQ(held[i].rights, single[i].rights);
        }
        CHECK_EQ(seeds[0].sge_length, seeds[1].sge_length);
        CHECK_EQ(rvt_put_sges(held, count), rvt_put_sges(single, count));
        for (int s = 0; s < 2; s++)
            rvt_put_sge(&seeds[s]);
    }
    CHECK(merged > 2000);
    CHECK_EQ(fixture_refs(w.pages), refs);
    fixture_close(&f);
}

static void acquiring_into_held_sges_is_refused(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct world w = build_world(&f);
    const struct rvt_checker checker = checker_of(&f, false);
    unsigned char packed[2 * SGE];
    struct rvt_sge held[2] = {{0}};
    struct rvt_batch_result result;
    pack(packed, (struct rvt_ib_sge){0x5000, 8, w.key[1]});
    pack(packed + SGE, (struct rvt_ib_sge){0x5000, 8, w.key[1]});
    struct rvt_batch batch = {&checker, packed, 2, 0, NULL, false};
    const struct rvt_batch_columns none = {0};
    const uint32_t refs = fixture_refs(w.user);
    CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &none, &result), 0);
    CHECK_EQ(fixture_refs(w.user), refs + 2);
    rvt_put_sge(&held[0]);
    CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &none, &result), -RVT_EBUSY);
    batch.count = 1;
    CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &none, &result), 0);
    CHECK_EQ(fixture_refs(w.user), refs + 2);
    CHECK_EQ(rvt_put_sges(held, 2), 2);
    CHECK_EQ(fixture_refs(w.user), refs);
    fixture_close(&f);
}

static void a_closed_domain_acquires_nothing(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_pd_handle pd;
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &pd), 0);
    struct rvt_checker checker;
    CHECK(rvt_checker_of_pd(pd, &checker));
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    CHECK(!rvt_checker_of_pd(pd, &checker));
    /* Create a new domain with a region. The domain may reuse the slot of the closed one. */
    struct rvt_pd_handle next;
    CHECK_EQ(rvt_alloc_pd(f.device, NULL, false, &next), 0);
    struct rvt_mr_handle mr = fixture_reg_in(next, arena, PAGE, 0, 0, ALL_ACCESS);
    const uint32_t refs = fixture_refs(mr);
    unsigned char packed[SGE];
    pack(packed, (struct rvt_ib_sge){0, 8, fixture_key(mr)});
    const struct rvt_batch batch = {&checker, packed, 1, 0, NULL, false};
    const struct rvt_batch_columns none = {0};
    struct rvt_batch_result result;
    struct rvt_sge held[1] = {{0}};
    CHECK_EQ(rvt_check_batch(f.reader, &batch, &none, &result), 0);
    CHECK_EQ(result.passed, 0);
    CHECK_EQ(result.reason, RVT_CLOSED);
    CHECK_EQ(rvt_check_one(f.reader, &batch), RVT_CLOSED);
    CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &none, &result), 0);
    CHECK_EQ(result.passed, 0);
    CHECK_EQ(result.reason, RVT_CLOSED);
    CHECK(!held[0].mr);
    CHECK_EQ(fixture_refs(mr), refs);
    fixture_close(&f);
}

/* --- each word of a packed SGE is read once --- */

static struct {
    volatile uint64_t words[2 * 8];
    uint64_t good[2], bad[2];
    atomic_bool stop;
    _Atomic(uint64_t) passes; /* of the thread that flips the words */
} flipped;

/* Returns once the other thread has flipped all words again. valgrind runs one thread at a time and schedules
 * unfairly: a thread that never yields may run alone for minutes. */
static void await_pass(void) {
    uint64_t before = atomic_load(&flipped.passes);
    while (atomic_load(&flipped.passes) == before)
        sched_yield();
}

/* JavaScript may write into a packed list while it is checked. ThreadSanitizer must not report this intended
 * race. In about one pass of 64, this thread yields after a random word. Otherwise, where threads take turns (under
 * valgrind, or on one processor), the checks could find the words in the same state at every turn. */
__attribute__((no_sanitize("thread"))) static void *flip(void *unused) {
    (void)unused;
    uint64_t seed = 11;
    for (uint64_t i = 0; !atomic_load(&flipped.stop); i++) {
        const uint64_t *value = i & 1 ? flipped.good : flipped.bad;
        const int yield_behind = roll(&seed, 64) ? -1 : (int)roll(&seed, 16);
        for (int w = 0; w < 16; w++) {
            flipped.words[w] = value[w & 1];
            if (w == yield_behind)
                sched_yield();
        }
        atomic_fetch_add(&flipped.passes, 1);
    }
    return NULL;
}

/* Another thread overwrites the packed SGEs word by word. Each SGE that is held must be exactly the one that
 * was checked. */
static void an_sge_is_held_exactly_as_it_was_checked(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct world w = build_world(&f);
    const struct rvt_checker checker = checker_of(&f, false);
    struct rvt_ib_sge good = {0x5000 + PAGE, PAGE + 9, w.key[1]}, bad = {0x5000, 2 * PAGE + 10, w.key[1]};
    unsigned char bytes[SGE];
    pack(bytes, good);
    memcpy(flipped.good, bytes, SGE);
    pack(bytes, bad);
    memcpy(flipped.bad, bytes, SGE);
    for (int i = 0; i < 16; i++)
        flipped.words[i] = flipped.good[i & 1];
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, flip, NULL) == 0);
    await_pass();
    const struct rvt_batch batch = {&checker, (const unsigned char *)(uintptr_t)flipped.words, 8, 0, NULL,
                                    false};
    uint64_t accepted = 0, refused = 0;
    /* The other thread may not run for long, so repeat until the words were seen in both states. */
    for (long round = 0; round < 20000 || (round < 20000000 && !(accepted && refused)); round++) {
        if (round % 64 == 63)
            await_pass();
        struct rvt_sge held[8] = {{0}};
        uint32_t verdict[8];
        const struct rvt_batch_columns columns = {.verdict = verdict};
        struct rvt_batch_result result;
        CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &columns, &result), 0);
        for (int i = 0; i < 8; i++) {
            if (verdict[i]) {
                CHECK_EQ(verdict[i], RVT_OUT_OF_BOUNDS);
                CHECK(!held[i].mr);
                refused++;
                continue;
            }
            accepted++;
            CHECK(held[i].request == good.addr || held[i].request == bad.addr);
            CHECK_EQ(held[i].sge_length, good.length);
            CHECK_EQ(held[i].position, held[i].request - 0x5000);
        }
        CHECK_EQ(rvt_put_sges(held, 8), result.passed);
    }
    atomic_store(&flipped.stop, true);
    pthread_join(thread, NULL);
    CHECK(accepted > 0);
    CHECK(refused > 0);
    fixture_close(&f);
}

/* Lists with accepted, refused and coalesced SGEs, checked by every call. */
static void every_sge_is_counted_once(void) {
    enum { COUNT = 7 };
    struct fixture f;
    struct looked own = {.accepted = 0}, region = {.accepted = 0}, all = {.accepted = 0};
    REQUIRE(fixture_open_joined(&f, 4));
    fixture_dma(&f, arena, 2 * PAGE, 0x10000);
    struct rvt_mr_handle fmr[2] = {fixture_fmr(&f, ALL_ACCESS, 2, 12), fixture_fmr(&f, ALL_ACCESS, 2, 12)};
    for (int i = 0; i < 2; i++)
        CHECK_EQ(rvt_map_phys_fmr(fmr[i], (uint64_t[]){0x10000, 0x11000}, 2, 0x10000), 0);
    CHECK_EQ(rvt_count_mr(fmr[1]), 0);
    for (int counted = 0; counted < 2; counted++) {
        const uint32_t key = fixture_key(fmr[counted]);
        const struct rvt_ib_sge list[COUNT] = {
            /* continues the previous SGE across the page boundary */
            {0x10ff0, 16, key}, {0x11000, 8, key},
            {0x12000, 1, key},  {0x10000, 8, key + 1},    /* refused: past the end; refused: unknown key */
            {0x11fff, 2, key},  {0x10000, 2 * PAGE, key}, /* refused; accepted */
            {0x10000, 0, key},                            /* accepted, but not by the fast path */
        };
        unsigned char packed[COUNT * 16];
        for (int i = 0; i < COUNT; i++)
            pack(packed + 16 * i, list[i]);
        for (int by_peer = 0; by_peer < 2; by_peer++) {
            const struct rvt_checker checker = checker_of(&f, by_peer);
            const struct rvt_batch batch = {&checker, packed, COUNT, by_peer ? REMOTE_READ : LOCAL_WRITE,
                                            NULL,     false};
            uint32_t verdict[COUNT];
            uint64_t at[COUNT];
            const struct rvt_batch_columns columns[] = {
                {.verdict = NULL}, {.verdict = verdict}, {.at = at}, {.verdict = verdict, .at = at}};
            struct rvt_batch_result result;
            struct rvt_sge held[COUNT];
            memset(held, 0, sizeof(held));
            for (int way = 0; way < 4; way++) {
                CHECK_EQ(rvt_check_batch(f.reader, &batch, &columns[way], &result), 0);
                CHECK_EQ(result.passed, 4);
                struct rvt_counts now = fixture_counts(f.device, f.context);
                CHECK_EQ(now.accepted - own.counts.accepted, 4);
                CHECK_EQ(now.refused[RVT_OUT_OF_BOUNDS] - own.counts.refused[RVT_OUT_OF_BOUNDS], 2);
                CHECK_EQ(now.refused[RVT_STALE_KEY] - own.counts.refused[RVT_STALE_KEY], 1);
                CHECK_EQ(now.bytes, 0);
                own.counts = now;
                MR_COUNTED(fmr[1], &region, counted ? 4 : 0, counted ? 2 : 0, 0);
            }
            for (int i = 0; i < COUNT; i++) {
                const struct rvt_batch one = {&checker, packed + 16 * i, 1, batch.acc, NULL, false};
                const int wanted = i == 2 || i == 4 ? RVT_OUT_OF_BOUNDS : i == 3 ? RVT_STALE_KEY : 0;
                CHECK_EQ(rvt_check_one(f.reader, &one), wanted);
                COUNTED(&f, &own, !wanted, 0, (enum rvt_reason)wanted, !!wanted);
                MR_COUNTED(fmr[1], &region, counted && !wanted, counted && wanted == RVT_OUT_OF_BOUNDS, 0);
            }
            for (int coalesce = 0; coalesce < 2; coalesce++) {
                CHECK_EQ(rvt_acquire_batch(f.reader, &batch, coalesce, NULL, held, &columns[3], &result), 0);
                CHECK_EQ(result.passed, 4);
                CHECK_EQ(verdict[1], coalesce && !by_peer ? RVT_BATCH_COALESCED : 0);
                CHECK_EQ(rvt_put_sges(held, COUNT), coalesce && !by_peer ? 3 : 4);
                MR_COUNTED(fmr[1], &region, counted ? 4 : 0, counted ? 2 : 0, 0);
                struct rvt_counts now = fixture_counts(f.device, f.context);
                CHECK_EQ(now.accepted - own.counts.accepted, 4);
                CHECK_EQ(now.refused[RVT_OUT_OF_BOUNDS] - own.counts.refused[RVT_OUT_OF_BOUNDS], 2);
                own.counts = now;
            }
            /* An empty batch counts nothing; neither does a batch whose slots already hold SGEs. */
            const struct rvt_batch empty = {&checker, packed, 0, batch.acc, NULL, false};
            CHECK_EQ(rvt_check_batch(f.reader, &empty, &columns[1], &result), 0);
            CHECK_EQ(rvt_acquire_batch(f.reader, &empty, true, NULL, held, &columns[1], &result), 0);
            CHECK_EQ(rvt_acquire_batch(f.reader, &batch, true, NULL, held, &columns[1], &result), 0);
            own.counts = fixture_counts(f.device, f.context);
            MR_COUNTED(fmr[1], &region, counted ? 4 : 0, counted ? 2 : 0, 0);
            CHECK_EQ(rvt_acquire_batch(f.reader, &batch, true, NULL, held, &columns[1], &result), -RVT_EBUSY);
            COUNTED(&f, &own, 0, 0, 0, 0);
            rvt_put_sges(held, COUNT);
        }
    }
    all.counts = fixture_counts(f.device, NULL);
    CHECK_BYTES_EQ(&all.counts, &own.counts, sizeof(own.counts));
    fixture_leave_last(&f, &f);
}

/* A closed domain refuses everything, in every form. Each refusal counts as RVT_CLOSED for the calling
 * context, and for no region. */
static void a_closed_domain_refuses_every_sge(void) {
    struct fixture f;
    struct rvt_pd_handle pd, next;
    struct looked own = {.accepted = 0}, region = {.accepted = 0};
    REQUIRE(fixture_open_joined(&f, 4));
    CHECK_EQ(rvt_alloc_pd(f.device, f.context, false, &pd), 0);
    struct rvt_checker closed;
    CHECK(rvt_checker_of_pd(pd, &closed));
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    CHECK_EQ(rvt_alloc_pd(f.device, f.context, false, &next), 0);
    CHECK_PTR_EQ(next.pd, pd.pd); /* the domain reuses the slot, so records name both domains alike */
    struct rvt_mr_handle mr = fixture_reg_in(next, arena, PAGE, 0x5000, 0x5000, ALL_ACCESS);
    for (int counted = 0; counted < 2; counted++) {
        const struct rvt_ib_sge list[] = {{0x5000, 8, fixture_key(mr)}, {0x5000, PAGE + 1, fixture_key(mr)}};
        unsigned char packed[32];
        uint64_t at[2];
        uint32_t verdict[3] = {77, 77, 77};
        struct rvt_sge held[2] = {{0}};
        pack(packed, list[0]);
        pack(packed + 16, list[1]);
        struct rvt_batch batch = {&closed, packed, 2, LOCAL_WRITE, NULL, false};
        struct rvt_batch_columns none = {0}, places = {.verdict = verdict, .at = at};
        struct rvt_batch_result result;
        if (counted)
            CHECK_EQ(rvt_count_mr(mr), 0);
        for (int way = 0; way < 4; way++) {
            verdict[0] = verdict[1] = 77;
            CHECK_EQ(way < 2 ? rvt_check_batch(f.reader, &batch, way ? &places : &none, &result)
                             : rvt_acquire_batch(f.reader, &batch, way == 3, NULL, held,
                                                 way == 3 ? &places : &none, &result),
                     0);
            CHECK_EQ(result.passed, 0);
            CHECK_EQ(result.first_refused, 0);
            CHECK_EQ(result.reason, RVT_CLOSED);
            CHECK_EQ(result.bytes, 0);
            CHECK(!held[0].mr && !held[1].mr);
            CHECK_EQ(verdict[0], way % 2 ? RVT_CLOSED : 77);
            CHECK_EQ(verdict[1], verdict[0]);
            CHECK_EQ(verdict[2], 77);
            COUNTED(&f, &own, 0, 0, RVT_CLOSED, 2);
        }
        for (int i = 0; i < 2; i++) {
            struct rvt_batch one = {&closed, packed + 16 * i, 1, LOCAL_WRITE, NULL, false};
            CHECK_EQ(rvt_check_one(f.reader, &one), RVT_CLOSED);
        }
        COUNTED(&f, &own, 0, 0, RVT_CLOSED, 2);
        batch.count = 0; /* an empty batch refuses nothing, but still reports the reason */
        CHECK_EQ(rvt_check_batch(f.reader, &batch, &places, &result), 0);
        CHECK_EQ(result.first_refused, 0);
        CHECK_EQ(result.reason, RVT_CLOSED);
        CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &places, &result), 0);
        CHECK_EQ(result.reason, RVT_CLOSED);
        COUNTED(&f, &own, 0, 0, 0, 0);
        if (counted)
            MR_COUNTED(mr, &region, 0, 0, 0);
    }
    fixture_leave_last(&f, &f);
}

/* If one reference of a list cannot be taken, none is. */
static void a_full_reference_count_acquires_nothing(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct world w = build_world(&f);
    const struct rvt_checker checker = checker_of(&f, false);
    unsigned char packed[4 * SGE];
    struct rvt_sge held[4] = {{0}};
    uint32_t verdict[4];
    struct rvt_batch_result result;
    const struct rvt_batch_columns columns = {.verdict = verdict};
    pack(packed, (struct rvt_ib_sge){0x10000, 8, w.key[5]});
    pack(packed + SGE, (struct rvt_ib_sge){0x5000, 8, w.key[4]}); /* refused: the region is deregistered */
    pack(packed + 2 * SGE, (struct rvt_ib_sge){0x5000, 8, w.key[1]});
    pack(packed + 3 * SGE, (struct rvt_ib_sge){0x10000, 8, w.key[5]});
    const struct rvt_batch batch = {&checker, packed, 4, 0, NULL, false};
    const uint32_t refs = fixture_refs(w.user), page_refs = fixture_refs(w.pages);
    const uint64_t full = UINT64_C(0xfffffffe) - (page_refs - 2);
    atomic_fetch_add(&w.pages.mr->word, full); /* leaves room for one more reference, not two */
    const uint64_t word = atomic_load(&w.pages.mr->word);
    CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &columns, &result), -RVT_ENOMEM);
    CHECK_EQ(atomic_load(&w.pages.mr->word), word);
    CHECK_EQ(fixture_refs(w.user), refs);
    for (int i = 0; i < 4; i++)
        CHECK(held[i].mr == NULL);
    CHECK_EQ(rvt_put_sges(held, 4), 0);
    CHECK_EQ(rvt_check_batch(f.reader, &batch, &columns, &result), 0);
    CHECK_EQ(result.passed, 3);
    atomic_fetch_sub(&w.pages.mr->word, full);
    CHECK_EQ(rvt_acquire_batch(f.reader, &batch, false, NULL, held, &columns, &result), 0);
    CHECK_EQ(result.passed, 3);
    CHECK_EQ(rvt_put_sges(held, 4), 3);
    CHECK_EQ(fixture_refs(w.user), refs);
    fixture_close(&f);
}

CHECK_MAIN(TEST(a_batch_gives_the_verdicts_of_single_checks), TEST(a_batch_coalesces_as_single_checks_do),
           TEST(acquiring_into_held_sges_is_refused), TEST(a_closed_domain_acquires_nothing),
           TEST(an_sge_is_held_exactly_as_it_was_checked), TEST(every_sge_is_counted_once),
           TEST(a_closed_domain_refuses_every_sge), TEST(a_full_reference_count_acquires_nothing))
