/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls every verb that takes memory away between two sections of every long access: after the verb has
 * returned, no byte may move. The copying thread itself calls the verb at the end of a section (sections.h);
 * test_stress_revocation.c calls the verbs in other threads. */
#include "core/access/batch.h"
#include "ends.h"
#include "sections.h"

enum { BYTES = 4 * RVT_SECTION_BYTES + 2 * PAGE, SGE = 16, SECOND = 2 };
/* The byte that the program writes after it took the region back; no source contains it. */
enum { OWN_PATTERN = 0xee };

static alignas(4096) unsigned char arena[BYTES];
static unsigned char buffer[BYTES], source[BYTES];

static const uint64_t ARENA_DMA = 0x100000;

struct scene {
    struct victim v;
    int answer; /* return value of the verb */
    bool called, keeps_pattern;
    uint64_t moved; /* number of bytes copied when the verb was called */
    const unsigned char *target;
};

static bool open_scene(struct scene *s, enum end end) {
    memset(s, 0, sizeof(*s));
    return open_victim(&s->v, end, NULL, arena, BYTES, ARENA_DMA);
}

static void close_scene(struct scene *s) {
    fixture_leave(&s->v.b);
    fixture_leave_last(&s->v.a, &s->v.a);
}

static uint64_t bytes_in_target(const struct scene *s) {
    uint64_t moved = 0;
    while (moved < BYTES && s->target[moved])
        moved++;
    return moved;
}

/* Runs between two sections: calls the verb, and then overwrites the memory as a program might. */
static void take_back(void *context) {
    struct scene *s = context;
    s->called = true;
    s->moved = s->target ? bytes_in_target(s) : 0;
    s->answer = take_victim(&s->v);
    /* An SGE that stays valid continues the copy with the old bytes, so the pattern is written only if the
     * copy must stop. */
    if (s->keeps_pattern)
        memset(arena, OWN_PATTERN, BYTES);
}

static void fill(unsigned char *bytes) {
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (unsigned char)(1 + i * 7 % 199);
}

static void begin_scene(struct scene *s, struct sections *sections, bool writes, bool keeps_pattern) {
    memcpy(writes ? buffer : arena, source, BYTES);
    memset(writes ? arena : buffer, 0, BYTES);
    s->target = writes ? arena : buffer;
    s->keeps_pattern = keeps_pattern;
    *sections = (struct sections){.between = take_back, .context = s, .when = SECOND};
    begin_sections(sections, &s->v.a.device->retirement);
}

/* Checks that nothing was written to the memory after it was taken back, and none of the new bytes was
 * read. */
static void check_nothing_moved_late(const struct scene *s, bool writes) {
    uint64_t late = 0;
    for (size_t i = 0; i < BYTES; i++)
        late += writes ? arena[i] != OWN_PATTERN : buffer[i] == OWN_PATTERN;
    CHECK_EQ(late, 0);
    if (!writes)
        CHECK_EQ(bytes_in_target(s), s->moved);
}

/* --- copies of an SGE that is held --- */

enum held_way { COPY_IN, ORDERED, COPY_OUT, ONE_IN, ONE_ORDERED, ONE_OUT, HELD_WAYS };

static int copy_held_element(struct rvt_data_call *call, struct rvt_sge *sge, enum held_way way,
                             struct rvt_copied *copied) {
    struct rvt_sge_state ss;
    if (way >= ONE_IN)
        return rvt_copy_one(call, sge, 0, buffer, BYTES, way != ONE_OUT, way == ONE_ORDERED, copied);
    CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){sge}, 1), 0);
    return way == COPY_OUT ? rvt_copy_sge_out(call, &ss, buffer, BYTES, false, copied)
                           : rvt_copy_sge(call, &ss, buffer, BYTES, false, way == ORDERED, copied);
}

static void copies_of_a_held_sge_stop_when_the_verb_returns(void) {
    fill(source);
    for (enum end end = 0; end < ENDS; end++) {
        for (enum held_way way = 0; way < HELD_WAYS; way++) {
            struct scene s;
            struct sections sections;
            struct rvt_sge sge;
            struct rvt_data_call call;
            struct rvt_copied copied;
            const bool writes = way != COPY_OUT && way != ONE_OUT,
                       stops = ends[end].held_reason != RVT_REASON_NONE;
            REQUIRE(open_scene(&s, end));
            CHECK_EQ(remote(&s.v.a, &sge, s.v.dma, BYTES, s.v.key, REMOTE_READ | REMOTE_WRITE), 1);
            rvt_data_call_begin(&call, s.v.a.reader, NULL);
            begin_scene(&s, &sections, writes, stops);
            int answer = copy_held_element(&call, &sge, way, &copied);
            end_sections(&sections);
            CHECK(s.called);
            CHECK_EQ(s.answer, ends[end].held_answer);
            CHECK_EQ(answer, stops ? -RVT_EACCES : 0);
            CHECK_EQ(copied.reason, ends[end].held_reason);
            CHECK_EQ(copied.bytes, stops ? s.moved : BYTES);
            CHECK(s.moved > 0 && s.moved < BYTES);
            if (stops)
                check_nothing_moved_late(&s, writes);
            else
                CHECK_BYTES_EQ(s.target, source, BYTES);
            rvt_put_sge(&sge);
            close_scene(&s);
            if (atomic_load(&check_failures)) {
                printf("# %s, way %d\n", ends[end].name, way);
                return;
            }
        }
    }
}

/* --- copies of SGE lists, which hold no references --- */

enum list_way { GATHER, SCATTER, FROM_LIST, TO_LIST, LIST_WAYS };

/* Packs one large SGE, or enough small ones that each section has several. */
static uint32_t pack_list(unsigned char *packed, uint64_t base, uint32_t key, bool small) {
    const uint32_t each = small ? PAGE / 2 : BYTES, count = BYTES / each;
    for (uint32_t i = 0; i < count; i++)
        pack_sge(packed + i * SGE, base + (uint64_t)i * each, each, key);
    return count;
}

static void copies_of_a_list_stop_when_the_verb_returns(void) {
    static unsigned char packed[2 * BYTES / PAGE * SGE], packed_buffer[2 * BYTES / PAGE * SGE];
    fill(source);
    for (enum end end = 0; end < ENDS; end++) {
        for (enum list_way way = 0; way < LIST_WAYS; way++) {
            for (int small = 0; small < 2; small++) {
                struct scene s;
                struct sections sections;
                struct rvt_checker checker, own;
                struct rvt_data_call call;
                struct rvt_batch_result result, other;
                const bool writes = way == SCATTER || way == TO_LIST;
                const bool dead = ends[end].list_reason == RVT_REASON_NONE;
                REQUIRE(open_scene(&s, end));
                /* The other list is in a domain that the verb does not close (except rvt_mr_exit). */
                const bool b_ends = end == END_CONTEXT || end == END_CONTEXT_OF_MAPPING;
                struct rvt_pd_handle others = b_ends ? s.v.a.pd : s.v.b.pd;
                struct rvt_mr_handle mr = fixture_reg_in(others, buffer, BYTES, 0, 0, ALL_ACCESS);
                CHECK(rvt_checker_of_qp(s.v.a.qp, &checker) && rvt_checker_of_pd(others, &own));
                const uint32_t count = pack_list(packed, s.v.dma, s.v.key, small);
                pack_list(packed_buffer, 0, fixture_key(mr), small);
                const struct rvt_batch batch = {&checker, packed, count, writes ? REMOTE_WRITE : REMOTE_READ,
                                                NULL,     false},
                                       list = {&own, packed_buffer, count, LOCAL_WRITE, NULL, false};
                rvt_data_call_begin(&call, s.v.a.reader, NULL);
                begin_scene(&s, &sections, writes, true);
                int answer = way == GATHER      ? rvt_gather_batch(&call, &batch, buffer, BYTES, &result)
                             : way == SCATTER   ? rvt_scatter_batch(&call, &batch, buffer, BYTES, &result)
                             : way == FROM_LIST ? rvt_copy_batch(&call, &batch, &list, &result, &other)
                                                : rvt_copy_batch(&call, &list, &batch, &other, &result);
                end_sections(&sections);
                CHECK(s.called);
                CHECK_EQ(s.answer, 0); /* no SGE is held, so no verb returns -EBUSY */
                CHECK_EQ(answer, 0);
                CHECK_EQ(result.bytes, s.moved);
                /* If both checkers are closed, the one checked first reports it. */
                if (way == TO_LIST && other.reason == RVT_CLOSED)
                    result = other;
                CHECK_EQ(result.passed, small ? s.moved / (PAGE / 2) : 0);
                CHECK_EQ(result.first_refused, result.passed);
                CHECK_EQ(result.reason, dead ? RVT_CLOSED : ends[end].list_reason);
                if (way >= FROM_LIST)
                    CHECK_EQ(other.bytes, s.moved);
                CHECK(s.moved > 0 && s.moved < BYTES);
                check_nothing_moved_late(&s, writes);
                close_scene(&s);
                if (atomic_load(&check_failures)) {
                    printf("# %s, way %d, small %d\n", ends[end].name, way, small);
                    return;
                }
            }
        }
    }
}

/* --- references taken while the verb runs --- */

enum { ELEMENTS = 3 * RVT_SECTION_ELEMENTS };

static void no_reference_is_taken_after_the_verb_returned(void) {
    static unsigned char packed[ELEMENTS * SGE];
    static struct rvt_sge held[ELEMENTS];
    static uint32_t verdict[ELEMENTS];
    for (enum end end = 0; end < ENDS; end++) {
        struct scene s;
        struct sections sections;
        struct rvt_checker checker;
        struct rvt_batch_result result;
        const bool dead = ends[end].list_reason == RVT_REASON_NONE,
                   busy = ends[end].held_answer == -RVT_EBUSY;
        REQUIRE(open_scene(&s, end));
        CHECK(rvt_checker_of_qp(s.v.a.qp, &checker));
        for (uint32_t i = 0; i < ELEMENTS; i++)
            pack_sge(packed + i * SGE, s.v.dma + i, 8, s.v.key);
        memset(held, 0, sizeof(held));
        const struct rvt_batch batch = {&checker, packed, ELEMENTS, REMOTE_READ, NULL, false};
        const struct rvt_batch_columns columns = {.verdict = verdict};
        sections = (struct sections){.between = take_back, .context = &s, .when = SECOND};
        begin_sections(&sections, &s.v.a.device->retirement);
        int answer = rvt_acquire_batch(s.v.a.reader, &batch, false, NULL, held, &columns, &result);
        end_sections(&sections);
        CHECK_EQ(s.answer, ends[end].held_answer);
        CHECK_EQ(answer, 0);
        /* A dereg that returned -EBUSY has still revoked the key. Mapping over a held FMR, or unmapping
         * memory that an SGE of key 0 holds, changes nothing. */
        const bool unchanged = busy && end != DEREG;
        const uint32_t before = SECOND * RVT_SECTION_ELEMENTS;
        if (!dead) {
            CHECK_EQ(result.passed, unchanged ? ELEMENTS : before);
            CHECK_EQ(result.first_refused, unchanged ? ELEMENTS : before);
            for (uint32_t i = 0; i < ELEMENTS; i++) {
                const bool is_held = unchanged || i < before;
                if ((held[i].mr != NULL) != is_held || verdict[i] != (is_held ? 0 : ends[end].list_reason)) {
                    CHECK_EQ(i, ELEMENTS);
                    break;
                }
            }
            CHECK_EQ(rvt_put_sges(held, ELEMENTS), result.passed);
        } else {
            /* The whole list is refused, including SGEs accepted before, and nothing is held. */
            CHECK_EQ(rvt_put_sges(held, ELEMENTS), 0);
            CHECK_EQ(result.passed + result.first_refused, 0);
            CHECK_EQ(result.reason, RVT_CLOSED);
            uint32_t closed = 0;
            for (uint32_t i = 0; i < ELEMENTS; i++)
                closed += verdict[i] == RVT_CLOSED;
            CHECK_EQ(closed, ELEMENTS);
        }
        close_scene(&s);
        if (atomic_load(&check_failures)) {
            printf("# %s\n", ends[end].name);
            return;
        }
    }
}

/* --- walks --- */

static bool count_fragments(void *context, const struct rvt_fragment *fragments, uint32_t count) {
    (void)fragments;
    *(uint64_t *)context += count;
    return true;
}

/* Fragments are reported only while the SGE is usable. */
static void walks_stop_when_the_verb_returns(void) {
    enum { TINY = 2000 };
    static const enum end walk_ends[] = {UNMAP_FMR, DEALLOC_FMR, DEALLOC_PD, END_CONTEXT_OF_MAPPING, CLOSE};
    static uint64_t single[TINY];
    for (size_t i = 0; i < sizeof(walk_ends) / sizeof(walk_ends[0]); i++) {
        struct scene s;
        struct sections sections;
        struct rvt_sge sge;
        struct rvt_sge_state ss;
        uint64_t told = 0;
        REQUIRE(open_scene(&s, walk_ends[i]));
        for (uint64_t k = 0; k < TINY; k++)
            single[k] = ARENA_DMA + k;
        s.v.mr = fixture_fmr(&s.v.a, ALL_ACCESS, TINY, 0); /* one-byte segments */
        CHECK_EQ(rvt_map_phys_fmr(s.v.mr, single, TINY, 0), 0);
        CHECK_EQ(local(&s.v.a, &sge, 0, TINY, fixture_key(s.v.mr), 0), 1);
        CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
        sections = (struct sections){.between = take_back, .context = &s, .when = SECOND};
        begin_sections(&sections, &s.v.a.device->retirement);
        CHECK_EQ(
            rvt_walk(s.v.a.reader, &ss, &(uint32_t){TINY}, 1, false, &s.v.a.reason, count_fragments, &told),
            -RVT_EINVAL);
        end_sections(&sections);
        CHECK_EQ(s.answer, 0);
        CHECK_EQ(s.v.a.reason, ends[walk_ends[i]].held_reason);
        CHECK(told > 0 && told < TINY);
        rvt_put_sge(&sge);
        close_scene(&s);
    }
}

CHECK_MAIN(TEST(copies_of_a_held_sge_stop_when_the_verb_returns),
           TEST(copies_of_a_list_stop_when_the_verb_returns),
           TEST(no_reference_is_taken_after_the_verb_returned), TEST(walks_stop_when_the_verb_returns))
