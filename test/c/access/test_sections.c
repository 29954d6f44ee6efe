/* SPDX-License-Identifier: BSD-3-Clause */
/* Each section of a call does a bounded amount of work, because dereg in another thread waits until it
 * ends. */
#include <stdlib.h>

#include "core/access/batch.h"
#include "fixture.h"
#include "sections.h"

enum { BYTES = 5 * RVT_SECTION_BYTES + 123, SGE = 16, MANY = 10000 };

/* The source and the target of copies; regions lie in the arena. No source byte is 0. */
static alignas(4096) unsigned char arena[BYTES + PAGE];
static unsigned char buffer[BYTES], source[BYTES];

static void fill_source(void) {
    for (size_t i = 0; i < BYTES; i++)
        source[i] = (unsigned char)(1 + i * 7 % 255);
}

static void pack(unsigned char *at, uint64_t addr, uint32_t length, uint32_t key) {
    memcpy(at, &addr, 8);
    memcpy(at + 8, &length, 4);
    memcpy(at + 12, &key, 4);
}

/* --- regions that cover the arena --- */

enum shape { EXTENT, PAGES, TWO_MAPPINGS, KEY_ZERO, BYTE_SEGMENTS, SHAPES };

static const uint64_t ARENA_DMA = 0x100000;

/* Creates a region of the given shape. Returns its key and sets *base to the address of byte 0. */
static uint32_t make_region(struct fixture *f, enum shape shape, uint64_t *base) {
    static uint64_t pages[BYTES];
    struct rvt_mr_handle mr;
    /* The first two pages have a DMA mapping of their own. */
    fixture_dma(f, arena, 2 * PAGE, ARENA_DMA);
    fixture_dma(f, arena + 2 * PAGE, BYTES - PAGE, ARENA_DMA + 2 * PAGE);
    *base = 0;
    switch (shape) {
    case EXTENT:
        mr = fixture_reg(f, arena, BYTES, 0, 0, ALL_ACCESS);
        break;
    case PAGES:
    case TWO_MAPPINGS: {
        const uint64_t first = shape == PAGES ? 2 : 0, count = (BYTES + PAGE - 1) / PAGE - first;
        for (uint64_t i = 0; i < count; i++)
            pages[i] = ARENA_DMA + (first + i) * PAGE;
        mr = fixture_fmr(f, ALL_ACCESS, (int64_t)count, 12);
        CHECK_EQ(rvt_map_phys_fmr(mr, pages, count, first * PAGE), 0);
        break;
    }
    case KEY_ZERO:
        CHECK_EQ(rvt_get_dma_mr(f->pd, 0, &mr), 0);
        *base = ARENA_DMA;
        return 0;
    default:
        for (uint64_t i = 0; i < BYTES; i++)
            pages[i] = ARENA_DMA + i;
        mr = fixture_fmr(f, ALL_ACCESS, BYTES, 0);
        CHECK_EQ(rvt_map_phys_fmr(mr, pages, BYTES, 0), 0);
    }
    return fixture_key(mr);
}

/* Returns how many bytes at the start of the arena the region does not cover. */
static uint32_t skipped(enum shape shape) {
    return shape == PAGES || shape == KEY_ZERO ? 2 * PAGE : 0;
}

/* --- copies of one large SGE --- */

enum way { COPY_IN, ORDERED, COPY_OUT, GATHER, SCATTER, FROM_LIST, TO_LIST, WAYS };

struct copy {
    const unsigned char *target;
    uint64_t moved, length;
};

/* Returns how many bytes of the target were written, that is, are no longer 0. */
static uint64_t bytes_so_far(void *context) {
    struct copy *copy = context;
    while (copy->moved < copy->length && copy->target[copy->moved])
        copy->moved++;
    return copy->moved;
}

static bool writes_region(enum way way) {
    return way == COPY_IN || way == ORDERED || way == SCATTER || way == TO_LIST;
}

static void move(struct fixture *f, enum way way, uint64_t addr, uint32_t length, uint32_t key,
                 uint32_t buffer_key) {
    struct rvt_sge sge;
    struct rvt_copied copied = {0};
    struct rvt_checker checker;
    struct rvt_data_call call;
    struct rvt_sge_state ss;
    struct rvt_batch_result result = {0}, other;
    unsigned char packed[SGE], packed_buffer[SGE];
    CHECK(rvt_checker_of_pd(f->pd, &checker));
    pack(packed, addr, length, key);
    pack(packed_buffer, 0, length, buffer_key);
    const struct rvt_batch batch = {&checker, packed, 1, LOCAL_WRITE, NULL, false},
                           list = {&checker, packed_buffer, 1, LOCAL_WRITE, NULL, false};
    rvt_data_call_begin(&call, f->reader, NULL);
    switch (way) {
    case COPY_IN:
    case ORDERED:
    case COPY_OUT:
        CHECK_EQ(local(f, &sge, addr, length, key, LOCAL_WRITE), 1);
        CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
        CHECK_EQ(way == COPY_OUT ? rvt_copy_sge_out(&call, &ss, buffer, length, true, &copied)
                                 : rvt_copy_sge(&call, &ss, buffer, length, true, way == ORDERED, &copied),
                 0);
        CHECK_EQ(copied.bytes, length);
        return;
    case GATHER:
        CHECK_EQ(rvt_gather_batch(&call, &batch, buffer, length, &result), 0);
        break;
    case SCATTER:
        CHECK_EQ(rvt_scatter_batch(&call, &batch, buffer, length, &result), 0);
        break;
    case FROM_LIST:
        CHECK_EQ(rvt_copy_batch(&call, &batch, &list, &result, &other), 0);
        break;
    default:
        CHECK_EQ(rvt_copy_batch(&call, &list, &batch, &other, &result), 0);
    }
    CHECK_EQ(result.bytes, length);
    CHECK_EQ(result.passed, 1);
}

static void a_large_sge_is_copied_in_many_sections(void) {
    fill_source();
    for (enum shape shape = 0; shape < SHAPES; shape++) {
        for (enum way way = 0; way < WAYS; way++) {
            struct fixture f;
            uint64_t base;
            REQUIRE(fixture_open(&f, 4));
            const uint32_t key = make_region(&f, shape, &base), skip = skipped(shape),
                           buffer_key = fixture_key(fixture_reg(&f, buffer, BYTES, 0, 0, ALL_ACCESS)),
                           length = shape == BYTE_SEGMENTS ? 3 * RVT_SECTION_ELEMENTS + 5 : BYTES - skip;
            const uint64_t most = shape == BYTE_SEGMENTS ? RVT_SECTION_ELEMENTS : RVT_SECTION_BYTES;
            unsigned char *region = arena + skip;
            memcpy(writes_region(way) ? buffer : region, source, length);
            memset(writes_region(way) ? region : buffer, 0, length);
            struct copy copy = {writes_region(way) ? region : buffer, 0, length};
            struct sections s = {.progress = bytes_so_far, .context = &copy};
            begin_sections(&s, &f.device->retirement);
            move(&f, way, base + skip, length, key, buffer_key);
            end_sections(&s);
            CHECK(s.most > 0 && s.most <= most);
            CHECK(s.ends >= length / most);
            CHECK_BYTES_EQ(copy.target, source, length);
            fixture_close(&f);
            if (atomic_load(&check_failures)) {
                printf("# shape %d way %d: %u sections, at most %" PRIu64 " bytes\n", shape, way, s.ends,
                       s.most);
                return;
            }
        }
    }
}

/* --- many small SGEs --- */

static unsigned char packed_many[MANY * SGE], packed_others[MANY * SGE];

static void many_small_sges_are_copied_in_many_sections(void) {
    static const uint32_t lengths[] = {1, 16, 17, 40, 3000};
    fill_source();
    for (enum shape shape = 0; shape < BYTE_SEGMENTS; shape++) {
        for (enum way way = GATHER; way < WAYS; way++) {
            for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
                struct fixture f;
                uint64_t base;
                REQUIRE(fixture_open(&f, 4));
                const uint32_t key = make_region(&f, shape, &base), skip = skipped(shape), each = lengths[l],
                               buffer_key = fixture_key(fixture_reg(&f, buffer, BYTES, 0, 0, ALL_ACCESS));
                const uint32_t count = (BYTES - skip) / each < MANY ? (BYTES - skip) / each : MANY;
                const uint64_t length = (uint64_t)count * each;
                unsigned char *region = arena + skip;
                memcpy(writes_region(way) ? buffer : region, source, length);
                memset(writes_region(way) ? region : buffer, 0, length);
                for (uint32_t i = 0; i < count; i++) {
                    pack(packed_many + i * SGE, base + skip + (uint64_t)i * each, each, key);
                    pack(packed_others + i * SGE, (uint64_t)i * each, each, buffer_key);
                }
                struct rvt_checker checker;
                CHECK(rvt_checker_of_pd(f.pd, &checker));
                const struct rvt_batch batch = {&checker, packed_many, count, LOCAL_WRITE, NULL, false},
                                       list = {&checker, packed_others, count, LOCAL_WRITE, NULL, false};
                struct rvt_data_call call;
                struct rvt_batch_result result, other;
                struct copy copy = {writes_region(way) ? region : buffer, 0, length};
                struct sections s = {.progress = bytes_so_far, .context = &copy};
                rvt_data_call_begin(&call, f.reader, NULL);
                begin_sections(&s, &f.device->retirement);
                CHECK_EQ(way == GATHER      ? rvt_gather_batch(&call, &batch, buffer, length, &result)
                         : way == SCATTER   ? rvt_scatter_batch(&call, &batch, buffer, length, &result)
                         : way == FROM_LIST ? rvt_copy_batch(&call, &batch, &list, &result, &other)
                                            : rvt_copy_batch(&call, &list, &batch, &other, &result),
                         0);
                end_sections(&s);
                CHECK_EQ(result.passed, count);
                CHECK(s.most <= RVT_SECTION_BYTES);
                CHECK(s.most / each <= RVT_SECTION_ELEMENTS);
                CHECK(s.ends >= length / RVT_SECTION_BYTES && s.ends >= count / RVT_SECTION_ELEMENTS);
                CHECK_BYTES_EQ(copy.target, source, length);
                fixture_close(&f);
                if (atomic_load(&check_failures)) {
                    printf("# shape %d way %d elements of %" PRIu32 ": %u sections, at most %" PRIu64
                           " bytes\n",
                           shape, way, each, s.ends, s.most);
                    return;
                }
            }
        }
    }
}

static uint64_t accepted_so_far(void *mr) {
    return fixture_query(*(struct rvt_mr_handle *)mr).accepted;
}

/* Checks of empty SGEs are bounded per section, too, although no byte moves. */
static void empty_sges_are_checked_in_many_sections(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = fixture_reg(&f, arena, BYTES, 0, 0, ALL_ACCESS);
    const uint32_t key = fixture_key(mr),
                   buffer_key = fixture_key(fixture_reg(&f, buffer, BYTES, 0, 0, ALL_ACCESS));
    CHECK_EQ(rvt_count_mr(mr), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        pack(packed_many + i * SGE, i, i == MANY - 1, key); /* one byte in the last SGE */
        pack(packed_others + i * SGE, i, 1, buffer_key);
    }
    struct rvt_checker checker;
    CHECK(rvt_checker_of_pd(f.pd, &checker));
    const struct rvt_batch batch = {&checker, packed_many, MANY, LOCAL_WRITE, NULL, false},
                           list = {&checker, packed_others, MANY, LOCAL_WRITE, NULL, false};
    for (enum way way = GATHER; way < WAYS; way++) {
        struct rvt_data_call call;
        struct rvt_batch_result result, other;
        struct sections s = {.progress = accepted_so_far, .context = &mr};
        const uint64_t before = accepted_so_far(&mr);
        rvt_data_call_begin(&call, f.reader, NULL);
        begin_sections(&s, &f.device->retirement);
        s.last = before;
        CHECK_EQ(way == GATHER      ? rvt_gather_batch(&call, &batch, buffer, BYTES, &result)
                 : way == SCATTER   ? rvt_scatter_batch(&call, &batch, buffer, BYTES, &result)
                 : way == FROM_LIST ? rvt_copy_batch(&call, &batch, &list, &result, &other)
                                    : rvt_copy_batch(&call, &list, &batch, &other, &result),
                 0);
        end_sections(&s);
        CHECK_EQ(result.passed, MANY);
        CHECK_EQ(accepted_so_far(&mr) - before, MANY);
        CHECK(s.most <= RVT_SECTION_ELEMENTS);
        CHECK(s.ends >= MANY / RVT_SECTION_ELEMENTS);
    }
    fixture_close(&f);
}

/* --- checks of a list --- */

struct verdicts {
    uint32_t verdict[MANY];
    double region[MANY];
    struct rvt_sge held[MANY];
    uint64_t done;
    bool acquires, refused;
};

static struct verdicts verdicts;

static uint64_t judged_so_far(void *context) {
    struct verdicts *v = context;
    while (v->done < MANY && (v->refused    ? v->verdict[v->done] != 0
                              : v->acquires ? v->held[v->done].mr != NULL
                                            : v->region[v->done] != 0))
        v->done++;
    return v->done;
}

static void a_list_is_checked_in_many_sections(void) {
    struct fixture f;
    REQUIRE(fixture_open(&f, 4));
    const uint32_t key = fixture_key(fixture_reg(&f, arena, BYTES, 0, 0, ALL_ACCESS));
    struct rvt_checker checker;
    CHECK(rvt_checker_of_pd(f.pd, &checker));
    for (int refused = 0; refused < 2; refused++) {
        for (int acquires = 0; acquires < 2; acquires++) {
            for (uint32_t i = 0; i < MANY; i++)
                pack(packed_many + i * SGE, i, 1, refused ? key ^ 0x100 : key);
            memset(&verdicts, 0, sizeof(verdicts));
            verdicts.acquires = acquires;
            verdicts.refused = refused;
            const struct rvt_batch batch = {&checker, packed_many, MANY, LOCAL_WRITE, NULL, false};
            const struct rvt_batch_columns columns = {.verdict = verdicts.verdict, .region = verdicts.region};
            struct rvt_batch_result result;
            struct sections s = {.progress = judged_so_far, .context = &verdicts};
            begin_sections(&s, &f.device->retirement);
            CHECK_EQ(acquires
                         ? rvt_acquire_batch(f.reader, &batch, false, NULL, verdicts.held, &columns, &result)
                         : rvt_check_batch(f.reader, &batch, &columns, &result),
                     0);
            end_sections(&s);
            CHECK_EQ(result.passed, refused ? 0 : MANY);
            CHECK_EQ(judged_so_far(&verdicts), MANY);
            CHECK(s.most <= RVT_SECTION_ELEMENTS);
            CHECK(s.ends >= MANY / RVT_SECTION_ELEMENTS);
            CHECK_EQ(rvt_put_sges(verdicts.held, MANY), acquires && !refused ? MANY : 0);
        }
    }
    fixture_close(&f);
}

/* --- walks --- */

struct told {
    struct fixture *f;
    uint32_t fragments, calls, most;
    uint32_t give_up_after; /* number of calls after which the callback aborts the walk; 0: never */
};

static bool note_told(void *context, const struct rvt_fragment *fragments, uint32_t count) {
    struct told *told = context;
    CHECK_EQ(told->f->reader->depth, 0); /* the callback runs outside the section, so it may take long */
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(fragments[i].at, ARENA_DMA + told->fragments + i);
        CHECK_EQ(fragments[i].length, 1);
    }
    told->fragments += count;
    if (count > told->most)
        told->most = count;
    return ++told->calls != told->give_up_after;
}

static void tiny_segments_are_walked_in_many_sections(void) {
    struct fixture f;
    uint64_t base;
    REQUIRE(fixture_open(&f, 4));
    const uint32_t key = make_region(&f, BYTE_SEGMENTS, &base);
    struct rvt_sge sge;
    struct rvt_sge_state ss;
    CHECK_EQ(local(&f, &sge, 0, MANY, key, 0), 1);
    for (uint32_t give_up = 0; give_up < 4; give_up++) {
        struct told told = {.f = &f, .give_up_after = give_up};
        struct sections s = {.progress = NULL};
        CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
        begin_sections(&s, &f.device->retirement);
        CHECK_EQ(rvt_walk(f.reader, &ss, &(uint32_t){MANY}, 1, false, &f.reason, note_told, &told),
                 give_up ? -RVT_ENOMEM : 0);
        end_sections(&s);
        CHECK(told.most <= RVT_SECTION_ELEMENTS);
        CHECK(s.ends >= told.calls && told.calls > 0);
        CHECK_EQ(told.calls == give_up, give_up != 0);
        if (!give_up)
            CHECK_EQ(told.fragments, MANY);
    }
    rvt_put_sge(&sge);
    fixture_close(&f);
}

static void empty_steps_are_walked_in_many_sections(void) {
    static uint32_t steps[3 * MANY];
    struct fixture f;
    struct rvt_sge sge;
    struct rvt_sge_state ss;
    struct sections s = {.progress = NULL};
    REQUIRE(fixture_open(&f, 4));
    uint64_t base;
    const uint32_t key = make_region(&f, BYTE_SEGMENTS, &base);
    struct told told = {.f = &f};
    CHECK_EQ(local(&f, &sge, 0, 1, key, 0), 1);
    CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
    steps[3 * MANY - 1] = 1;
    begin_sections(&s, &f.device->retirement);
    CHECK_EQ(rvt_walk(f.reader, &ss, steps, 3 * MANY, false, &f.reason, note_told, &told), 0);
    end_sections(&s);
    CHECK_EQ(told.fragments, 1);
    CHECK(s.ends >= 3 * MANY / RVT_SECTION_ELEMENTS);
    rvt_put_sge(&sge);
    fixture_close(&f);
}

/* --- copies between two devices: verbs of the second device wait, too --- */

/* A copy between lists of two devices runs in sections of rvt_every_device. */
static void copies_between_devices_take_many_sections(void) {
    struct fixture a, b;
    REQUIRE(fixture_open(&a, 4) && fixture_open(&b, 4));
    fill_source();
    memcpy(arena, source, BYTES);
    memset(buffer, 0, BYTES);
    struct rvt_checker from_checker, to_checker;
    CHECK(rvt_checker_of_pd(a.pd, &from_checker) && rvt_checker_of_pd(b.pd, &to_checker));
    unsigned char from_packed[SGE], to_packed[SGE];
    pack(from_packed, 0, BYTES, fixture_key(fixture_reg(&a, arena, BYTES, 0, 0, ALL_ACCESS)));
    pack(to_packed, 0, BYTES, fixture_key(fixture_reg(&b, buffer, BYTES, 0, 0, ALL_ACCESS)));
    const struct rvt_batch from = {&from_checker, from_packed, 1, 0, NULL, false},
                           to = {&to_checker, to_packed, 1, LOCAL_WRITE, NULL, false};
    struct rvt_data_call call;
    struct rvt_batch_result read, written;
    struct copy copy = {buffer, 0, BYTES};
    /* An item retired in rvt_every_device is notified of the end of these sections. */
    struct sections s = {.progress = bytes_so_far, .context = &copy};
    rvt_data_call_begin(&call, a.reader, NULL);
    begin_sections(&s, &rvt_every_device);
    CHECK_EQ(rvt_copy_batch(&call, &from, &to, &read, &written), 0);
    end_sections(&s);
    CHECK_EQ(read.bytes, BYTES);
    CHECK(s.most <= RVT_SECTION_BYTES);
    CHECK(s.ends >= BYTES / RVT_SECTION_BYTES);
    CHECK_BYTES_EQ(buffer, source, BYTES);
    fixture_close_one(&a);
    fixture_close_one(&b);
}

CHECK_MAIN(TEST(a_large_sge_is_copied_in_many_sections), TEST(many_small_sges_are_copied_in_many_sections),
           TEST(empty_sges_are_checked_in_many_sections), TEST(a_list_is_checked_in_many_sections),
           TEST(tiny_segments_are_walked_in_many_sections), TEST(empty_steps_are_walked_in_many_sections),
           TEST(copies_between_devices_take_many_sections))
