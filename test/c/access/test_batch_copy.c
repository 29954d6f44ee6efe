/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>

#include "core/access/batch.h"
#include "fixture.h"

enum { SGE = 16, ARENA = 24 * PAGE, MAX = 10, DATA = MAX * 3 * PAGE, GUARD = 64 };

static alignas(4096) unsigned char arena[ARENA], shadow[ARENA];

static void fill_arena(uint64_t seed) {
    for (size_t i = 0; i < ARENA; i++)
        arena[i] = shadow[i] = (unsigned char)dice(&seed);
}

static void pack(unsigned char *at, uint64_t addr, uint32_t length, uint32_t key) {
    memcpy(at, &addr, 8);
    memcpy(at + 8, &length, 4);
    memcpy(at + 12, &key, 4);
}

/* A region, with the arena index of each of its bytes. */
struct known {
    uint32_t key, length;
    uint64_t base;
    uint32_t place[4 * PAGE];
};
static struct known regions[4];

/* A region in another domain than the checkers', over the bytes of region 3. */
static struct known foreign;

static void add_bytes(struct known *known, uint32_t place, uint32_t length) {
    for (uint32_t i = 0; i < length; i++)
        known->place[known->length++] = place + i;
}

static void know_regions(struct fixture *f) {
    memset(regions, 0, sizeof(regions));
    struct rvt_mr_handle mr;
    regions[0].base = 0x7123;
    regions[0].key = fixture_key(fixture_reg(f, arena + 17, 2 * PAGE + 5, 0x7123, 0x7123, ALL_ACCESS));
    add_bytes(&regions[0], 17, 2 * PAGE + 5);
    fixture_dma(f, arena + 4 * PAGE, 4 * PAGE, 0x10000);
    fixture_dma(f, arena + 12 * PAGE, 4 * PAGE, 0x40000);
    CHECK_EQ(rvt_get_dma_mr(f->pd, 0, &mr), 0);
    regions[1].base = 0x10000; /* the DMA region of key 0 */
    add_bytes(&regions[1], 4 * PAGE, 4 * PAGE);
    mr = fixture_fmr(f, ALL_ACCESS, 3, 12);
    CHECK_EQ(rvt_map_phys_fmr(mr, (uint64_t[]){0x41000, 0x12000, 0x40000}, 3, 0x5555), 0);
    regions[2].base = 0x5555;
    regions[2].key = fixture_key(mr);
    add_bytes(&regions[2], 13 * PAGE, PAGE);
    add_bytes(&regions[2], 6 * PAGE, PAGE);
    add_bytes(&regions[2], 12 * PAGE, PAGE);
    regions[3].base = 0xfff;
    regions[3].key = fixture_key(fixture_reg(f, arena + 20 * PAGE + 1, 300, 0xfff, 0xfff, ALL_ACCESS));
    add_bytes(&regions[3], 20 * PAGE + 1, 300);
    memset(&foreign, 0, sizeof(foreign));
    foreign.base = 0x9000;
    mr = fixture_reg_in(f->other_pd, arena + 20 * PAGE + 1, 300, 0x9000, 0x9000, ALL_ACCESS);
    foreign.key = fixture_key(mr);
}

/* A packed list of SGEs, and the arena index of each of its bytes up to the first refusal. */
struct list {
    unsigned char packed[MAX * SGE + 16], *sges;
    uint32_t count, length[MAX], refused; /* index of the refused SGE; `count` if there is none */
    uint32_t total, place[DATA];
};

static void any_list(struct list *list, uint64_t *seed, uint32_t first_region, uint32_t some) {
    list->sges = list->packed + roll(seed, 16);
    list->count = list->refused = (uint32_t)roll(seed, MAX + 1);
    list->total = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct known *region = &regions[first_region + roll(seed, some)];
        const uint32_t off = (uint32_t)roll(seed, region->length);
        uint32_t length = roll(seed, 2) ? (uint32_t)roll(seed, 70) : (uint32_t)roll(seed, 3 * PAGE);
        if (length > region->length - off)
            length = region->length - off;
        pack(list->sges + i * SGE, region->base + off, length, region->key);
        list->length[i] = length;
        if (!roll(seed, 20)) {
            if (roll(seed, 2))
                pack(list->sges + i * SGE, region->base + region->length, 1, region->key);
            else
                pack(list->sges + i * SGE, foreign.base, 1, foreign.key);
            if (list->refused == list->count)
                list->refused = i;
        }
        for (uint32_t b = 0; list->refused == list->count && b < length; b++)
            list->place[list->total++] = region->place[off + b];
    }
}

static void gather_and_scatter_match_a_naive_copy(void) {
    static struct list list;
    static unsigned char data[DATA + 2 * GUARD], wanted[DATA + 2 * GUARD];
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    know_regions(&f);
    uint64_t seed = 3;
    for (int round = 0; round < 1500; round++) {
        const bool remote_side = roll(&seed, 2), write = roll(&seed, 2);
        struct rvt_checker checker;
        CHECK(remote_side ? rvt_checker_of_qp(f.qp, &checker) : rvt_checker_of_pd(f.pd, &checker));
        any_list(&list, &seed, 0, 4);
        if (round % 64 == 0)
            fill_arena(dice(&seed));
        const uint32_t room =
            roll(&seed, 3) ? list.total + (uint32_t)roll(&seed, 3) : (uint32_t)roll(&seed, 2 * PAGE);
        REQUIRE(room <= DATA);
        for (uint32_t i = 0; i < room + 2 * GUARD; i++)
            data[i] = wanted[i] = (unsigned char)(i * 7 + (uint32_t)round);
        /* The naive copy moves whole SGEs as long as they fit. */
        uint32_t moved = 0, stopped = 0;
        for (; stopped < list.refused && list.length[stopped] <= room - moved; stopped++) {
            for (uint32_t b = 0; b < list.length[stopped]; b++, moved++) {
                if (write)
                    shadow[list.place[moved]] = data[GUARD + moved];
                else
                    wanted[GUARD + moved] = shadow[list.place[moved]];
            }
        }
        const struct rvt_batch batch = {&checker,   list.sges,
                                        list.count, write ? REMOTE_WRITE : remote_side ? REMOTE_READ : 0,
                                        NULL,       false};
        struct rvt_data_call call;
        struct rvt_batch_result result;
        rvt_data_call_begin(&call, f.reader, NULL);
        CHECK_EQ(write ? rvt_scatter_batch(&call, &batch, data + GUARD, room, &result)
                       : rvt_gather_batch(&call, &batch, data + GUARD, room, &result),
                 0);
        CHECK_EQ(result.bytes, moved);
        CHECK_EQ(result.passed, stopped);
        CHECK_EQ(result.first_refused, stopped);
        CHECK_EQ(result.reason != RVT_REASON_NONE, stopped < list.count && stopped == list.refused);
        CHECK_BYTES_EQ(data, wanted, room + 2 * GUARD);
        CHECK(memcmp(arena, shadow, ARENA) == 0);
    }
    fixture_close(&f);
}

static void copies_between_lists_match_a_naive_copy(void) {
    static struct list from, to;
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    know_regions(&f);
    fill_arena(8);
    uint64_t seed = 4;
    struct rvt_checker local_checker, remote_checker;
    CHECK(rvt_checker_of_pd(f.pd, &local_checker));
    CHECK(rvt_checker_of_qp(f.qp, &remote_checker));
    for (int round = 0; round < 1500; round++) {
        /* Regions 0 and 3 share no byte with regions 1 and 2. */
        const bool swap = roll(&seed, 2);
        any_list(&from, &seed, swap ? 1 : 3, swap ? 2 : 1);
        any_list(&to, &seed, swap ? 3 : 1, swap ? 1 : 2);
        uint32_t moved = 0;
        for (; moved < from.total && moved < to.total; moved++)
            shadow[to.place[moved]] = shadow[from.place[moved]];
        const struct rvt_batch source = {&remote_checker, from.sges, from.count, REMOTE_READ, NULL, false};
        const struct rvt_batch target = {&local_checker, to.sges, to.count, LOCAL_WRITE, NULL, false};
        struct rvt_data_call call;
        struct rvt_batch_result read, written;
        rvt_data_call_begin(&call, f.reader, NULL);
        CHECK_EQ(rvt_copy_batch(&call, &source, &target, &read, &written), 0);
        CHECK_EQ(read.bytes, moved);
        CHECK_EQ(written.bytes, moved);
        CHECK(memcmp(arena, shadow, ARENA) == 0);
        if (from.total < to.total) {
            CHECK_EQ(read.first_refused, from.refused);
            CHECK_EQ(read.passed, from.refused);
        } else if (to.total < from.total) {
            CHECK_EQ(written.first_refused, to.refused);
            CHECK_EQ(written.passed, to.refused);
        }
    }
    fixture_close(&f);
}

/* Closes a domain whose id is reused by the next one. */
static void a_closed_domain_copies_nothing(void) {
    struct fixture f;
    struct looked own = {0};
    REQUIRE(fixture_open_joined(&f, 4));
    struct rvt_pd_handle pd, next;
    struct rvt_checker closed, live;
    struct rvt_mr_handle dma;
    CHECK_EQ(rvt_alloc_pd(f.device, f.context, false, &pd), 0);
    CHECK(rvt_checker_of_pd(pd, &closed));
    CHECK_EQ(rvt_dealloc_pd(pd, false), 0);
    CHECK_EQ(rvt_alloc_pd(f.device, f.context, false, &next), 0);
    CHECK(rvt_checker_of_pd(next, &live));
    CHECK_EQ(closed.pd, live.pd); /* the next domain must have the same id */
    fill_arena(1);
    fixture_dma(&f, arena, PAGE, 0);
    CHECK_EQ(rvt_get_dma_mr(next, 0, &dma), 0);
    const uint32_t keys[] = {fixture_key(fixture_reg_in(next, arena, PAGE, 0, 0, ALL_ACCESS)), 0};
    for (int k = 0; k < 2; k++) {
        unsigned char packed[SGE], data[8] = {0}, zero[8] = {0};
        pack(packed, 0, 8, keys[k]);
        const struct rvt_batch batch = {&closed, packed, 1, LOCAL_WRITE, NULL, false},
                               other = {&live, packed, 1, LOCAL_WRITE, NULL, false};
        struct rvt_data_call call;
        struct rvt_batch_result result, result2;
        rvt_data_call_begin(&call, f.reader, NULL);
        for (int way = 0; way < 4; way++) {
            CHECK_EQ(way == 0   ? rvt_gather_batch(&call, &batch, data, 8, &result)
                     : way == 1 ? rvt_scatter_batch(&call, &batch, zero, 8, &result)
                     : way == 2 ? rvt_copy_batch(&call, &batch, &other, &result, &result2)
                                : rvt_copy_batch(&call, &other, &batch, &result2, &result),
                     0);
            CHECK_EQ(result.passed, 0);
            CHECK_EQ(result.first_refused, 0);
            CHECK_EQ(result.reason, RVT_CLOSED);
            CHECK_EQ(result.bytes, 0);
            if (way >= 2) { /* the open side reports nothing */
                CHECK_EQ(result2.bytes + result2.passed, 0);
                CHECK_EQ(result2.reason, RVT_REASON_NONE);
                CHECK_EQ(result2.first_refused, 1);
            }
            CHECK_BYTES_EQ(data, zero, 8);
            CHECK(memcmp(arena, shadow, ARENA) == 0);
            COUNTED(&f, &own, 0, 0, RVT_CLOSED, 1);
        }
        CHECK_EQ(rvt_copy_batch(&call, &batch, &batch, &result, &result2), 0); /* both sides are closed */
        CHECK_EQ(result.reason, RVT_CLOSED);
        CHECK_EQ(result2.reason, RVT_CLOSED);
        COUNTED(&f, &own, 0, 0, RVT_CLOSED, 2);
        const struct rvt_batch nothing = {&closed, packed, 0, LOCAL_WRITE, NULL, false};
        CHECK_EQ(rvt_gather_batch(&call, &nothing, data, 8, &result), 0);
        CHECK_EQ(result.reason, RVT_CLOSED);
        COUNTED(&f, &own, 0, 0, 0, 0);
        CHECK_EQ(rvt_gather_batch(&call, &other, data, 8, &result), 0);
        CHECK_BYTES_EQ(data, arena, 8);
        COUNTED(&f, &own, 1, 8, 0, 0);
    }
    /* If one side is closed, nothing is counted for the open side either. */
    unsigned char packed[2 * SGE];
    pack(packed, 0, 0, keys[0]);
    pack(packed + SGE, 0, 8, keys[0] ^ 0x100);
    const struct rvt_batch mine = {&live, packed, 2, LOCAL_WRITE, NULL, false},
                           theirs = {&closed, packed, 2, LOCAL_WRITE, NULL, false};
    struct rvt_data_call call;
    struct rvt_batch_result result, result2;
    rvt_data_call_begin(&call, f.reader, NULL);
    CHECK_EQ(rvt_copy_batch(&call, &mine, &theirs, &result, &result2), 0);
    CHECK_EQ(rvt_copy_batch(&call, &theirs, &mine, &result, &result2), 0);
    COUNTED(&f, &own, 0, 0, RVT_CLOSED, 2);
    fixture_leave_last(&f, &f);
}

/* --- copies longer than a section --- */

enum { LONG = 3 * 1024 * 1024 + 77 };
static unsigned char *long_from, *long_to;

static bool long_memory(void) {
    uint64_t seed = 6;
    long_from = malloc(LONG);
    long_to = calloc(1, LONG);
    for (size_t i = 0; long_from && i < LONG; i++)
        long_from[i] = (unsigned char)dice(&seed);
    return long_from && long_to;
}

static void forget_long_memory(void) {
    free(long_from);
    free(long_to);
}

static void sges_longer_than_a_section_are_copied(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    REQUIRE(long_memory());
    const uint32_t a = fixture_key(fixture_reg(&f, long_from, LONG, 0, 0, ALL_ACCESS));
    const uint32_t b = fixture_key(fixture_reg(&f, long_to, LONG, 0, 0, ALL_ACCESS));
    struct rvt_checker checker;
    CHECK(rvt_checker_of_pd(f.pd, &checker));
    unsigned char source[SGE], targets[3 * SGE];
    pack(source, 0, LONG, a);
    pack(targets, 0, 1 << 20, b);
    pack(targets + SGE, 1 << 20, 0, b);
    pack(targets + 2 * SGE, 1 << 20, LONG - (1 << 20), b);
    const struct rvt_batch from = {&checker, source, 1, 0, NULL, false},
                           to = {&checker, targets, 3, LOCAL_WRITE, NULL, false};
    struct rvt_data_call call;
    struct rvt_batch_result read, written;
    rvt_data_call_begin(&call, f.reader, NULL);
    CHECK_EQ(rvt_copy_batch(&call, &from, &to, &read, &written), 0);
    CHECK_EQ(read.bytes, LONG);
    CHECK_EQ(read.passed, 1);
    CHECK_EQ(written.passed, 3);
    CHECK_EQ(written.first_refused, 3);
    CHECK_BYTES_EQ(long_to, long_from, LONG);
    memset(long_to, 0, LONG);
    CHECK_EQ(rvt_scatter_batch(&call, &to, long_from, LONG, &written), 0);
    CHECK_EQ(written.passed, 3);
    CHECK_BYTES_EQ(long_to, long_from, LONG);
    memset(long_from, 0, LONG);
    CHECK_EQ(rvt_gather_batch(&call, &to, long_from, LONG, &read), 0);
    CHECK_EQ(read.bytes, LONG);
    CHECK_BYTES_EQ(long_to, long_from, LONG);
    fixture_close(&f);
    forget_long_memory();
}

/* --- counters: SGEs copied completely, the refused SGE, and every byte --- */

static enum rvt_reason lost(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)memory;
    (void)environment;
    (void)data;
    return RVT_MEMORY_DETACHED;
}

static void not_mine(struct rvt_memory *memory) {
    (void)memory;
}

static const struct rvt_memory_ops lost_ops = {lost, not_mine, NULL};

static void copies_count_sges_bytes_and_refusals(void) {
    struct fixture f;
    struct looked own = {.accepted = 0};
    static struct rvt_memory lost_memory;
    static unsigned char data[LONG + 100];
    REQUIRE(fixture_open_joined(&f, 4));
    REQUIRE(long_memory());
    fixture_dma(&f, arena, 2 * PAGE, 0x10000);
    enum { USER, TARGET, FMR, READ_ONLY, LOST, REGIONS };
    struct rvt_mr_handle mr[2][REGIONS];
    rvt_memory_init(&lost_memory, &lost_ops, PAGE);
    for (int counted = 0; counted < 2; counted++) {
        struct rvt_mr_handle *of = mr[counted];
        of[USER] = fixture_reg(&f, long_from, LONG, 0, 0, ALL_ACCESS);
        of[TARGET] = fixture_reg(&f, long_to, LONG, 0, 0, ALL_ACCESS);
        of[FMR] = fixture_fmr(&f, ALL_ACCESS, 2, 12);
        CHECK_EQ(rvt_map_phys_fmr(of[FMR], (uint64_t[]){0x11000, 0x10000}, 2, 0), 0);
        of[READ_ONLY] = fixture_reg(&f, arena + 4 * PAGE, PAGE, 0, 0, REMOTE_READ | RVT_ACCESS_MW_BIND);
        CHECK_EQ(rvt_reg_user_mr(f.pd, &lost_memory, 0, 0, ALL_ACCESS, &of[LOST]), 0);
        for (int i = 0; counted && i < REGIONS; i++)
            CHECK_EQ(rvt_count_mr(of[i]), 0);
    }
    struct rvt_checker checker;
    CHECK(rvt_checker_of_qp(f.qp, &checker));
    struct rvt_data_call call;
    rvt_data_call_begin(&call, f.reader, NULL);
    static const struct {
        uint32_t count, acc;
        struct {
            int region;
            uint32_t addr, length;
        } list[3];
        uint64_t room;
        /* Number of SGEs and bytes copied, and the index of the refused SGE (3: none). */
        uint32_t whole, bytes, refused;
        enum rvt_reason reason;
        bool write_only;
    } rows[] = {
        {3, ALL_ACCESS, {{USER, 5, 100}, {FMR, 4090, 12}, {USER, 0, 7}}, DATA, 3, 119, 3, 0, false},
        {2, ALL_ACCESS, {{USER, 5, 0}, {FMR, 8000, 0}}, DATA, 2, 0, 3, 0, false},
        /* checked again in each section, but counted once */
        {1, ALL_ACCESS, {{USER, 0, LONG}}, LONG, 1, LONG, 3, 0, false},
        {3, ALL_ACCESS, {{FMR, 0, 8}, {USER, LONG, 1}, {FMR, 0, 8}}, DATA, 1, 8, 1, RVT_OUT_OF_BOUNDS, false},
        /* A check with any of these rights passes, but a copy is refused: this counts one refusal and no
         * accepted check. */
        {2,
         REMOTE_WRITE | RVT_ACCESS_MW_BIND,
         {{FMR, 0, 8}, {READ_ONLY, 0, 8}},
         DATA,
         1,
         8,
         1,
         RVT_ACCESS_DENIED,
         true},
        {2, ALL_ACCESS, {{USER, 0, 8}, {LOST, 0, 8}}, DATA, 1, 8, 1, RVT_MEMORY_DETACHED, false},
        /* the second SGE does not fit, so it is not checked */
        {2, ALL_ACCESS, {{USER, 0, 8}, {USER, 0, 9}}, 16, 1, 8, 3, 0, false},
        {2, ALL_ACCESS, {{FMR, 0, 8}, {FMR, 0, 9}}, 16, 1, 8, 3, 0, false},
    };
    for (int counted = 0; counted < 2; counted++) {
        struct looked at[REGIONS] = {{.accepted = 0}};
        for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
            unsigned char packed[3 * SGE];
            for (uint32_t i = 0; i < rows[r].count; i++)
                pack(packed + SGE * i, rows[r].list[i].addr, rows[r].list[i].length,
                     fixture_key(mr[counted][rows[r].list[i].region]));
            const struct rvt_batch batch = {&checker, packed, rows[r].count, rows[r].acc, NULL, false};
            /* The second list of a copy between lists: one SGE with room for everything. */
            unsigned char other[SGE];
            pack(other, 0, rows[r].room == 16 ? 16 : LONG, fixture_key(mr[counted][TARGET]));
            const struct rvt_batch target = {&checker, other, 1, ALL_ACCESS, NULL, false};
            for (int way = rows[r].write_only; way < 4; way++) {
                struct rvt_batch_result result, second;
                const bool to_list = way >= 2;
                if (to_list && (rows[r].room == 16 || (rows[r].write_only && way == 2)))
                    continue; /* between lists, an SGE that does not fit is copied in part */
                CHECK_EQ(way == 0   ? rvt_gather_batch(&call, &batch, data, rows[r].room, &result)
                         : way == 1 ? rvt_scatter_batch(&call, &batch, data, rows[r].room, &result)
                         : way == 2 ? rvt_copy_batch(&call, &batch, &target, &result, &second)
                                    : rvt_copy_batch(&call, &target, &batch, &second, &result),
                         0);
                CHECK_EQ(result.passed, rows[r].whole);
                CHECK_EQ(result.bytes, rows[r].bytes);
                CHECK_EQ(result.reason, rows[r].reason);
                const bool whole_target = to_list && rows[r].bytes == LONG;
                COUNTED(&f, &own, rows[r].whole + whole_target, rows[r].bytes, rows[r].reason,
                        rows[r].refused < 3);
                for (int i = 0; counted && i < REGIONS; i++) {
                    uint64_t accepted = 0, refused = 0, moved = 0;
                    for (uint32_t k = 0; k < rows[r].count; k++) {
                        if (rows[r].list[k].region != i)
                            continue;
                        accepted += k < rows[r].whole;
                        moved += k < rows[r].whole ? rows[r].list[k].length : 0;
                        refused += k == rows[r].refused;
                    }
                    if (i == TARGET && to_list) {
                        accepted += whole_target;
                        moved += rows[r].bytes;
                    }
                    MR_COUNTED(mr[1][i], &at[i], accepted, refused, moved);
                }
            }
        }
    }
    for (int i = 0; i < REGIONS; i++)
        CHECK(!fixture_query(mr[0][i]).counted);
    fixture_leave_last(&f, &f);
    forget_long_memory();
}

/* If the other list ends first, the last SGE is copied in part: its bytes are counted, its check is not. */
static void bytes_of_partly_copied_sges_are_counted(void) {
    struct fixture f;
    struct looked own = {.accepted = 0}, a = {.accepted = 0}, b = {.accepted = 0};
    REQUIRE(fixture_open_joined(&f, 4));
    struct rvt_mr_handle mr[2] = {fixture_reg(&f, arena, PAGE, 0, 0, ALL_ACCESS),
                                  fixture_reg(&f, arena + PAGE, PAGE, 0, 0, ALL_ACCESS)};
    CHECK_EQ(rvt_count_mr(mr[0]), 0);
    CHECK_EQ(rvt_count_mr(mr[1]), 0);
    struct rvt_checker checker;
    CHECK(rvt_checker_of_pd(f.pd, &checker));
    unsigned char from[2 * SGE], to[3 * SGE];
    pack(from, 0, 100, fixture_key(mr[0]));
    pack(from + SGE, 0, 50, fixture_key(mr[0]));
    pack(to, 0, 30, fixture_key(mr[1]));
    pack(to + SGE, 0, 70, fixture_key(mr[1]));
    pack(to + 2 * SGE, 0, 25, fixture_key(mr[1]));
    struct rvt_batch source = {&checker, from, 2, 0, NULL, false},
                     target = {&checker, to, 3, LOCAL_WRITE, NULL, false};
    struct rvt_data_call call;
    struct rvt_batch_result read, written;
    rvt_data_call_begin(&call, f.reader, NULL);
    CHECK_EQ(rvt_copy_batch(&call, &source, &target, &read, &written), 0);
    CHECK_EQ(read.passed, 1);
    CHECK_EQ(written.passed, 3);
    COUNTED(&f, &own, 4, 125, 0, 0);
    MR_COUNTED(mr[0], &a, 1, 0, 125);
    MR_COUNTED(mr[1], &b, 3, 0, 125);
    target.count = 2; /* both lists end at the same byte */
    CHECK_EQ(rvt_copy_batch(&call, &source, &target, &read, &written), 0);
    CHECK_EQ(read.passed, 1);
    CHECK_EQ(written.passed, 2);
    COUNTED(&f, &own, 3, 100, 0, 0);
    MR_COUNTED(mr[0], &a, 1, 0, 100);
    MR_COUNTED(mr[1], &b, 2, 0, 100);
    fixture_leave_last(&f, &f);
}

/* --- regions deregistered by another thread --- */

/* Memory that is overwritten and freed as soon as no reader can be inside. */
struct owned {
    struct rvt_memory memory; /* must be the first member */
    unsigned char *data;
};

static enum rvt_reason resolve_owned(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment;
    *data = ((struct owned *)(void *)memory)->data;
    return RVT_REASON_NONE;
}

static void release_owned(struct rvt_memory *memory) {
    struct owned *owned = (struct owned *)(void *)memory;
    memset(owned->data, 0xee, LONG);
    free(owned->data);
    free(owned);
}

static const struct rvt_memory_ops owned_ops = {resolve_owned, release_owned, NULL};

struct ender {
    struct rvt_pd_handle pd;
    _Atomic(uint32_t) key;
    atomic_int rounds; /* number of copies so far */
    atomic_bool stop;
};

/* All bytes of a region are 0x11 until it is deregistered. */
static void *make_and_end_regions(void *context) {
    struct ender *ender = context;
    bool long_life = true;
    while (!atomic_load(&ender->stop)) {
        struct owned *owned = malloc(sizeof(*owned));
        unsigned char *data = malloc(LONG);
        CHECK(owned && data);
        if (!owned || !data)
            return NULL;
        owned->data = data;
        memset(owned->data, 0x11, LONG);
        rvt_memory_init(&owned->memory, &owned_ops, LONG);
        struct rvt_mr_handle mr;
        CHECK_EQ(rvt_reg_user_mr(ender->pd, &owned->memory, 0, 0, ALL_ACCESS, &mr), 0);
        rvt_memory_put(&owned->memory);
        atomic_store(&ender->key, fixture_key(mr));
        /* Every second region lasts for a whole copy; the others sometimes end in the middle of one. */
        const int since = atomic_load(&ender->rounds), until = since + (long_life ? 2 : 1);
        for (int i = 0; (long_life || i < 20000) && atomic_load(&ender->rounds) < until; i++)
            if (atomic_load(&ender->stop))
                break;
        long_life = !long_life;
        CHECK_EQ(rvt_dereg_mr(mr, RVT_RELEASE_FORCE), 0);
    }
    return NULL;
}

static void long_copies_stop_when_the_region_is_deregistered(void) {
    static unsigned char target[LONG], source[LONG];
    static const unsigned char zero[LONG];
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    memset(source, 0x11, LONG);
    const uint32_t into = fixture_key(fixture_reg(&f, target, LONG, 0, 0, ALL_ACCESS));
    struct rvt_checker checker;
    CHECK(rvt_checker_of_pd(f.pd, &checker));
    struct ender ender = {.pd = f.pd};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, make_and_end_regions, &ender) == 0);
    int whole = 0, cut = 0, none = 0;
    for (int round = 0; round < 300; round++, atomic_fetch_add(&ender.rounds, 1)) {
        unsigned char packed[SGE], other[SGE];
        pack(packed, 0, LONG, atomic_load(&ender.key));
        pack(other, 0, LONG, into);
        const struct rvt_batch batch = {&checker, packed, 1, LOCAL_WRITE, NULL, false},
                               to = {&checker, other, 1, LOCAL_WRITE, NULL, false};
        struct rvt_data_call call;
        struct rvt_batch_result result, written;
        rvt_data_call_begin(&call, f.reader, NULL);
        const int way = round % 3;
        if (way != 1)
            memset(target, 0, LONG);
        CHECK_EQ(way == 0   ? rvt_gather_batch(&call, &batch, target, LONG, &result)
                 : way == 1 ? rvt_scatter_batch(&call, &batch, source, LONG, &result)
                            : rvt_copy_batch(&call, &batch, &to, &result, &written),
                 0);
        CHECK(result.bytes <= LONG);
        CHECK_EQ(result.passed, result.bytes == LONG);
        CHECK_EQ(result.reason == RVT_REASON_NONE, result.bytes == LONG);
        if (way == 2)
            CHECK_EQ(written.bytes, result.bytes);
        /* No byte of freed memory was copied, and no byte beyond the reported count. */
        if (way != 1) {
            CHECK(memcmp(target, source, result.bytes) == 0);
            CHECK(memcmp(target + result.bytes, zero, LONG - result.bytes) == 0);
        }
        whole += result.bytes == LONG;
        cut += result.bytes && result.bytes < LONG;
        none += !result.bytes;
    }
    atomic_store(&ender.stop, true);
    pthread_join(thread, NULL);
    CHECK(whole > 0);
    printf("# copies: %d complete, %d stopped midway, %d refused\n", whole, cut, none);
    fixture_close(&f);
}

CHECK_MAIN(TEST(gather_and_scatter_match_a_naive_copy), TEST(copies_between_lists_match_a_naive_copy),
           TEST(a_closed_domain_copies_nothing), TEST(sges_longer_than_a_section_are_copied),
           TEST(copies_count_sges_bytes_and_refusals), TEST(bytes_of_partly_copied_sges_are_counted),
           TEST(long_copies_stop_when_the_region_is_deregistered))
