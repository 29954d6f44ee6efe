/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies between overlapping ranges. One SGE in contiguous memory must be copied as memmove would, across any
 * number of sections. */
#include <stdlib.h>

#include "core/access/batch.h"
#include "fixture.h"
#include "sections.h"

enum { SECTION = RVT_SECTION_BYTES, LONGEST = 3 * SECTION + 17, ROOM = 2 * LONGEST + PAGE, SGE = 16 };

static alignas(4096) unsigned char arena[ROOM], expected[ROOM], elsewhere[2][SECTION];

static const uint64_t ARENA_DMA = 0x100000;

enum shape { EXTENT, KEY_ZERO, SHAPES };
enum way { COPY_IN, ORDERED, COPY_OUT, ONE_IN, ONE_ORDERED, ONE_OUT, GATHER, SCATTER, LIST_TO_LIST, WAYS };

/* Returns whether the SGE is the source of the copy. */
static bool is_out(enum way way) {
    return way == COPY_OUT || way == ONE_OUT;
}

struct world {
    struct fixture f;
    struct rvt_checker checker;
    uint64_t base;
    uint32_t key, from_key, to_key; /* key of the arena; keys of the two separate buffers */
};

static void fill(void) {
    uint64_t seed = 4;
    for (size_t i = 0; i < ROOM; i++)
        arena[i] = expected[i] = (unsigned char)dice(&seed);
}

static bool open_world(struct world *w, enum shape shape) {
    struct rvt_mr_handle mr;
    if (!fixture_open(&w->f, 4))
        return false;
    if (shape == EXTENT) {
        w->base = 0x5001;
        mr = fixture_reg(&w->f, arena, ROOM, w->base, w->base, ALL_ACCESS);
    } else {
        w->base = ARENA_DMA;
        fixture_dma(&w->f, arena, ROOM, ARENA_DMA);
        CHECK_EQ(rvt_get_dma_mr(w->f.pd, 0, &mr), 0);
    }
    w->key = fixture_key(mr);
    w->from_key = fixture_key(fixture_reg(&w->f, elsewhere[0], SECTION, 0, 0, ALL_ACCESS));
    w->to_key = fixture_key(fixture_reg(&w->f, elsewhere[1], SECTION, 0, 0, ALL_ACCESS));
    CHECK(rvt_checker_of_pd(w->f.pd, &w->checker));
    return true;
}

static void pack(unsigned char *at, uint64_t addr, uint32_t length, uint32_t key) {
    memcpy(at, &addr, 8);
    memcpy(at + 8, &length, 4);
    memcpy(at + 12, &key, 4);
}

static void copy_held(struct world *w, enum way way, uint32_t from, uint32_t to, uint32_t length,
                      bool release) {
    struct rvt_sge sge;
    struct rvt_sge_state ss;
    struct rvt_data_call call;
    struct rvt_copied copied;
    const bool out = is_out(way);
    CHECK_EQ(local(&w->f, &sge, w->base + (out ? from : to), length, w->key, LOCAL_WRITE), 1);
    CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
    rvt_data_call_begin(&call, w->f.reader, NULL);
    if (way >= ONE_IN) {
        CHECK_EQ(rvt_copy_one(&call, &sge, 0, arena + (out ? to : from), length, !out, way == ONE_ORDERED,
                              &copied),
                 0);
        CHECK_EQ(copied.bytes, length);
        rvt_put_sge(&sge);
        return;
    }
    CHECK_EQ(out ? rvt_copy_sge_out(&call, &ss, arena + to, length, release, &copied)
                 : rvt_copy_sge(&call, &ss, arena + from, length, release, way == ORDERED, &copied),
             0);
    CHECK_EQ(copied.bytes, length);
    CHECK_EQ(rvt_ss_total_len(&ss), 0);
    CHECK_EQ(sge.mr == NULL, release);
    rvt_put_sge(&sge);
}

/* Copies a list of two SGEs. The first has `before` bytes and lies in a separate buffer, so the second,
 * overlapping one does not start its section. */
static void copy_list(struct world *w, enum way way, uint32_t from, uint32_t to, uint32_t length,
                      uint32_t before) {
    unsigned char from_packed[2 * SGE], to_packed[2 * SGE];
    struct rvt_data_call call;
    struct rvt_batch_result result, other = {.passed = 2};
    pack(from_packed, 0, before, w->from_key);
    pack(from_packed + SGE, w->base + from, length, w->key);
    pack(to_packed, 0, before, w->to_key);
    pack(to_packed + SGE, w->base + to, length, w->key);
    const struct rvt_batch source = {&w->checker, from_packed, 2, 0, NULL, false},
                           target = {&w->checker, to_packed, 2, LOCAL_WRITE, NULL, false};
    rvt_data_call_begin(&call, w->f.reader, NULL);
    CHECK_EQ(way == GATHER ? rvt_gather_batch(&call, &source, arena + to - before, length + before, &result)
             : way == SCATTER
                 ? rvt_scatter_batch(&call, &target, arena + from - before, length + before, &result)
                 : rvt_copy_batch(&call, &source, &target, &result, &other),
             0);
    CHECK_EQ(result.bytes, (uint64_t)length + before);
    CHECK_EQ(result.passed, 2);
    CHECK_EQ(other.passed, 2);
    CHECK_EQ(result.reason, RVT_REASON_NONE);
}

static const uint32_t lengths[] = {1,           2,           8,           9,
                                   1000,        SECTION - 1, SECTION,     SECTION + 1,
                                   SECTION + 8, SECTION + 9, 2 * SECTION, 2 * SECTION + 1,
                                   LONGEST};

/* Distance between the two ranges. */
static const uint32_t shifts[] = {0,           1,       7,           8,           64,         1000,
                                  SECTION - 1, SECTION, SECTION + 1, 2 * SECTION, LONGEST - 1};

enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]), SHIFTS = sizeof(shifts) / sizeof(shifts[0]) };

static void one_sge_is_copied_as_memmove_would(void) {
    for (enum shape shape = 0; shape < SHAPES; shape++) {
        struct world w;
        REQUIRE(open_world(&w, shape));
        fill();
        for (enum way way = 0; way < WAYS; way++) {
            for (int l = 0; l < LENGTHS; l++) {
                for (int s = 0; s < SHIFTS; s++) {
                    for (int forwards = 0; forwards < 2; forwards++) {
                        const uint32_t low = 3, high = low + shifts[s], length = lengths[l];
                        const uint32_t from = forwards ? low : high, to = forwards ? high : low;
                        if (shifts[s] > length)
                            continue; /* the ranges do not overlap */
                        memmove(expected + to, expected + from, length);
                        if (way < GATHER)
                            copy_held(&w, way, from, to, length, s & 1);
                        else
                            copy_list(&w, way, from, to, length, 0);
                        if (memcmp(arena, expected, ROOM) != 0) {
                            printf("# shape %d way %d: %" PRIu32 " bytes from %" PRIu32 " to %" PRIu32 "\n",
                                   shape, way, length, from, to);
                            CHECK_BYTES_EQ(arena, expected, ROOM);
                            fixture_close(&w.f);
                            return;
                        }
                    }
                }
            }
        }
        fixture_close(&w.f);
    }
}

/* Overlapping SGEs that are not the first of their section. */
static void later_sges_of_a_list_are_copied_as_memmove_would(void) {
    static const uint32_t befores[] = {1, 100, SECTION / 2, SECTION - 1, SECTION};
    uint64_t seed = 12;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < SECTION; k++)
            elsewhere[i][k] = (unsigned char)dice(&seed);
    for (enum shape shape = 0; shape < SHAPES; shape++) {
        struct world w;
        REQUIRE(open_world(&w, shape));
        fill();
        for (size_t b = 0; b < sizeof(befores) / sizeof(befores[0]); b++) {
            for (enum way way = GATHER; way < WAYS; way++) {
                for (int l = 0; l < LENGTHS; l++) {
                    for (int s = 0; s < SHIFTS; s++) {
                        /* Against a buffer, the bytes of the first SGE lie directly before those of the
                         * second; in the opposite direction they would overlap what the second SGE reads.
                         * Between lists, the first SGE lies in a separate buffer. */
                        const uint32_t before = befores[b], length = lengths[l], low = SECTION,
                                       high = low + shifts[s];
                        if (shifts[s] > length || high + length > ROOM)
                            continue;
                        const bool backwards = way == GATHER || (way == LIST_TO_LIST && s % 2);
                        const uint32_t from = backwards ? high : low, to = backwards ? low : high;
                        /* Reads `before` bytes of the arena and writes them to the separate buffer. */
                        if (way == SCATTER) {
                            memmove(expected + to, expected + from, length);
                        } else if (way == GATHER) {
                            memmove(expected + to - before, elsewhere[0], before);
                            memmove(expected + to, expected + from, length);
                        } else {
                            memmove(expected + to, expected + from, length);
                        }
                        unsigned char *first = malloc(before);
                        REQUIRE(first != NULL);
                        memcpy(first, way == SCATTER ? arena + from - before : elsewhere[0], before);
                        copy_list(&w, way, from, to, length, before);
                        if (way != GATHER)
                            CHECK_BYTES_EQ(elsewhere[1], first, before);
                        free(first);
                        if (memcmp(arena, expected, ROOM) != 0) {
                            printf("# shape %d way %d: %" PRIu32 " bytes from %" PRIu32 " to %" PRIu32
                                   " after %" PRIu32 "\n",
                                   shape, way, length, from, to, before);
                            CHECK_BYTES_EQ(arena, expected, ROOM);
                            fixture_close(&w.f);
                            return;
                        }
                    }
                }
            }
        }
        fixture_close(&w.f);
    }
}

/* Overlapping SGEs with many segments may leave any bytes in the two ranges, but must not change other
 * bytes. */
static void overlapping_segments_change_no_bytes_outside_their_ranges(void) {
    static uint64_t pages[LONGEST / PAGE + 1];
    struct world w;
    REQUIRE(open_world(&w, EXTENT));
    fixture_dma(&w.f, arena, ROOM, ARENA_DMA);
    const uint32_t count = LONGEST / PAGE + 1;
    for (uint32_t i = 0; i < count; i++)
        pages[i] = ARENA_DMA + (count - i) * PAGE; /* pages in descending order */
    struct rvt_mr_handle fmr = fixture_fmr(&w.f, ALL_ACCESS, count, 12);
    CHECK_EQ(rvt_map_phys_fmr(fmr, pages, count, 0), 0);
    w.key = fixture_key(fmr);
    w.base = 0;
    enum { INSIDE = 0x11, OUTSIDE = 0x77 };
    const uint32_t first = PAGE, last = (count + 1) * PAGE; /* range of the arena that the page list covers */
    for (enum way way = 0; way < LIST_TO_LIST; way++) {
        for (uint32_t shift = 0; shift < 3 * PAGE; shift += 1000) {
            const uint32_t length = LONGEST - 4 * PAGE, at = first + shift;
            memset(arena, OUTSIDE, ROOM);
            memset(arena + first, INSIDE, last - first);
            const bool in = way == SCATTER || (way < GATHER && !is_out(way));
            if (way < GATHER) {
                copy_held(&w, way, in ? at : 0, in ? 0 : at, length, false);
            } else {
                unsigned char packed[SGE];
                struct rvt_data_call call;
                struct rvt_batch_result result;
                pack(packed, 0, length, w.key);
                const struct rvt_batch batch = {&w.checker, packed, 1, LOCAL_WRITE, NULL, false};
                rvt_data_call_begin(&call, w.f.reader, NULL);
                CHECK_EQ(in ? rvt_scatter_batch(&call, &batch, arena + at, length, &result)
                            : rvt_gather_batch(&call, &batch, arena + at, length, &result),
                         0);
                CHECK_EQ(result.bytes, length);
            }
            for (uint32_t i = 0; i < ROOM; i++) {
                const bool inside = i >= first && i < last;
                if (arena[i] != (inside ? INSIDE : OUTSIDE)) {
                    CHECK_EQ(i, ROOM);
                    break;
                }
            }
        }
    }
    fixture_close(&w.f);
}

/* --- a region is deregistered while a copy goes backwards --- */

struct midway {
    struct rvt_mr_handle mr;
    unsigned char left[ROOM]; /* the arena right after the verb returned */
};

static void end_region(void *context) {
    struct midway *midway = context;
    CHECK_EQ(rvt_dereg_mr(midway->mr, RVT_RELEASE_FORCE), 0);
    memcpy(midway->left, arena, ROOM);
}

/* A backwards copy moves the last bytes first. The moved bytes are reported, but the SGE does not advance. */
static void a_backwards_copy_stops_when_the_region_is_deregistered(void) {
    static struct midway midway;
    const uint32_t length = LONGEST, shift = 100;
    for (enum way way = 0; way < WAYS; way++) {
        struct world w;
        struct rvt_sge sge = {0};
        struct rvt_sge_state ss;
        struct rvt_data_call call;
        struct rvt_copied copied;
        struct rvt_batch_result result, other;
        unsigned char from_packed[SGE], to_packed[SGE];
        uint64_t moved;
        enum rvt_reason reason;
        REQUIRE(open_world(&w, EXTENT));
        fill();
        midway.mr = fixture_reg(&w.f, arena, ROOM, 0, 0, ALL_ACCESS);
        const uint32_t key = fixture_key(midway.mr);
        /* rvt_copy_one first checks in a section of its own whether it can copy forwards. */
        const bool looks_first = way >= ONE_IN && way < GATHER && way != ONE_ORDERED;
        struct sections s = {.between = end_region, .context = &midway, .when = looks_first ? 3 : 2};
        rvt_data_call_begin(&call, w.f.reader, NULL);
        pack(from_packed, way == GATHER ? 0 : w.base, length, way == GATHER ? key : w.key);
        pack(to_packed, shift, length, key);
        const struct rvt_batch source = {&w.checker, from_packed, 1, 0, NULL, false},
                               target = {&w.checker, to_packed, 1, LOCAL_WRITE, NULL, false};
        const bool out = is_out(way);
        if (way < GATHER) {
            CHECK_EQ(local(&w.f, &sge, out ? 0 : shift, length, key, LOCAL_WRITE), 1);
            CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
        }
        begin_sections(&s, &w.f.device->retirement);
        if (way < GATHER) {
            CHECK_EQ(way >= ONE_IN ? rvt_copy_one(&call, &sge, 0, out ? arena + shift : arena, length, !out,
                                                  way == ONE_ORDERED, &copied)
                     : out         ? rvt_copy_sge_out(&call, &ss, arena + shift, length, true, &copied)
                                   : rvt_copy_sge(&call, &ss, arena, length, true, way == ORDERED, &copied),
                     -RVT_EACCES);
            CHECK_EQ(rvt_ss_total_len(&ss), length);
            moved = copied.bytes;
            reason = copied.reason;
            CHECK_EQ(reason, RVT_REGION_REVOKED);
        } else {
            CHECK_EQ(way == GATHER    ? rvt_gather_batch(&call, &source, arena + shift, length, &result)
                     : way == SCATTER ? rvt_scatter_batch(&call, &target, arena, length, &result)
                                      : rvt_copy_batch(&call, &source, &target, &other, &result),
                     0);
            moved = result.bytes;
            reason = result.reason;
            CHECK_EQ(reason, RVT_REVOKED);
            CHECK_EQ(result.passed, 0);
            CHECK_EQ(result.first_refused, 0);
        }
        end_sections(&s);
        CHECK(s.ends >= 2);
        CHECK(moved > 0 && moved < length);
        CHECK_BYTES_EQ(arena, midway.left, ROOM); /* no byte moved after the verb returned */
        /* Only the last bytes were moved (except those an ordered copy stores separately), and none before
         * them. */
        const uint32_t end = shift + length - (way == ORDERED || way == ONE_ORDERED ? 8 : 0);
        CHECK_BYTES_EQ(arena, expected, end - moved);
        CHECK_BYTES_EQ(arena + end - moved, expected + end - moved - shift, moved);
        rvt_put_sge(&sge);
        fixture_close(&w.f);
        if (atomic_load(&check_failures)) {
            printf("# way %d\n", way);
            return;
        }
    }
}

CHECK_MAIN(TEST(one_sge_is_copied_as_memmove_would), TEST(later_sges_of_a_list_are_copied_as_memmove_would),
           TEST(overlapping_segments_change_no_bytes_outside_their_ranges),
           TEST(a_backwards_copy_stops_when_the_region_is_deregistered))
