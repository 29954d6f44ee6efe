/* SPDX-License-Identifier: BSD-3-Clause */
/* Every verb that takes something away, called between two sections of every long access: when it has returned, no
 * byte moves any more. Each verb is called by the thread that copies, at the end of a section (sections.h); with
 * threads of their own, test_stress_revocation.c. */
#include "core/access/batch.h"
#include "fixture.h"
#include "sections.h"

enum { BYTES = 4 * RVT_SECTION_BYTES + 2 * PAGE, SGE = 16, SECOND = 2 };
enum { OWN_PATTERN = 0xee }; /* of who has taken the region back; no byte of a source */

static alignas(4096) unsigned char arena[BYTES];
static unsigned char buffer[BYTES], source[BYTES];

static const uint64_t ARENA_DMA = 0x100000, OTHER_DMA = 0x900000;

/* --- what ends --- */

enum end {
    DEREG,
    FORCE,
    DEREGS,
    DEALLOC_PD,
    END_CONTEXT,
    CLOSE,
    INVALIDATE,
    FAST_REG,
    UNMAP_FMR,
    MAP_FMR_OVER,
    MAP_SG_OVER,
    END_CONTEXT_OF_MAPPING,
    DESTROY_QP,
    DMA_UNMAP,
    ENDS
};

/* What is answered while an element is held, and what then stops its copy; and why a list's copy stops (its answer is
 * -EBADF if there is no reason for it). */
static const struct {
    const char *name;
    int held_answer;
    enum rvt_reason held_reason; /* NONE: it goes on to its end */
    enum rvt_reason list_reason; /* NONE: the checker is dead */
} ends[ENDS] = {
    [DEREG] = {"dereg", -RVT_EBUSY, RVT_REASON_NONE, RVT_REVOKED},
    [FORCE] = {"dereg by force", 0, RVT_REGION_REVOKED, RVT_REVOKED},
    [DEREGS] = {"dereg of a list", 0, RVT_REGION_REVOKED, RVT_REVOKED},
    [DEALLOC_PD] = {"dealloc_pd", 0, RVT_REGION_REVOKED, RVT_REASON_NONE},
    [END_CONTEXT] = {"dealloc_ucontext", 0, RVT_REGION_REVOKED, RVT_REVOKED},
    [CLOSE] = {"close", 0, RVT_REGION_REVOKED, RVT_REASON_NONE},
    [INVALIDATE] = {"invalidate_rkey", 0, RVT_REASON_NONE, RVT_INVALIDATED},
    [FAST_REG] = {"fast_reg_mr", 0, RVT_REASON_NONE, RVT_STALE_KEY},
    [UNMAP_FMR] = {"unmap_fmr", 0, RVT_REMAPPED, RVT_OUT_OF_BOUNDS},
    [MAP_FMR_OVER] = {"map_phys_fmr", -RVT_EBUSY, RVT_REASON_NONE, RVT_OUT_OF_BOUNDS},
    [MAP_SG_OVER] = {"map_mr_sg", 0, RVT_REMAPPED, RVT_OUT_OF_BOUNDS},
    [END_CONTEXT_OF_MAPPING] = {"dealloc_ucontext of a mapping", 0, RVT_REMAPPED, RVT_OUT_OF_BOUNDS},
    [DESTROY_QP] = {"destroy_qp", 0, RVT_REASON_NONE, RVT_REASON_NONE},
    [DMA_UNMAP] = {"dma_unmap", -RVT_EBUSY, RVT_REASON_NONE, RVT_UNMAPPED},
};

struct scene {
    enum end end;
    struct fixture a, b;     /* a copies; b has what ends by its context */
    struct rvt_pd_handle pd; /* a's handle of the domain that checks */
    struct rvt_qp_handle qp;
    struct rvt_mr_handle mr, other;
    struct rvt_dma_handle dma;
    uint64_t base;
    uint32_t key;
    int answer; /* of the verb */
    bool called, keeps_pattern;
    uint64_t moved; /* when it was called */
    const unsigned char *target;
};

static bool open_scene(struct scene *s, enum end end) {
    static uint64_t pages[BYTES / PAGE];
    memset(s, 0, sizeof(*s));
    s->end = end;
    if (!fixture_open_joined(&s->a, 4) || !fixture_join(&s->b, s->a.device))
        return false;
    struct fixture *of_mapping = end == END_CONTEXT_OF_MAPPING ? &s->b : &s->a;
    struct rvt_sg_outcome outcome;
    s->dma = fixture_dma(of_mapping, arena, BYTES, ARENA_DMA);
    fixture_dma(&s->a, buffer, PAGE, OTHER_DMA);
    s->pd = s->a.pd;
    s->qp = s->a.qp;
    s->base = ARENA_DMA;
    switch (end) {
    case UNMAP_FMR:
    case MAP_FMR_OVER:
    case END_CONTEXT_OF_MAPPING:
        for (uint64_t i = 0; i < BYTES / PAGE; i++)
            pages[i] = ARENA_DMA + i * PAGE;
        s->mr = fixture_fmr(&s->a, ALL_ACCESS, BYTES / PAGE, 12);
        CHECK_EQ(rvt_map_phys_fmr(s->mr, pages, BYTES / PAGE, ARENA_DMA), 0);
        break;
    case FAST_REG:
    case MAP_SG_OVER:
        s->mr = fixture_mem_reg(&s->a, BYTES / PAGE);
        CHECK_EQ(rvt_map_mr_sg(s->mr, &(struct rvt_sg_element){ARENA_DMA, BYTES}, 1, 0, PAGE, &outcome), 1);
        CHECK_EQ(rvt_fast_reg_mr(s->qp, s->mr, fixture_key(s->mr), ALL_ACCESS, NULL), 0);
        break;
    case DMA_UNMAP:
        CHECK_EQ(rvt_get_dma_mr(s->pd, 0, &s->mr), 0);
        break;
    case END_CONTEXT: {
        struct rvt_pd_handle attached;
        CHECK_EQ(rvt_attach_pd(s->b.context, rvt_pd_serial(s->pd), &attached), 0);
        s->mr = fixture_reg_in(attached, arena, BYTES, s->base, s->base, ALL_ACCESS);
        break;
    }
    default:
        s->mr = fixture_reg(&s->a, arena, BYTES, s->base, s->base, ALL_ACCESS);
    }
    s->other = fixture_reg(&s->a, buffer, BYTES, 0, 0, ALL_ACCESS);
    s->key = fixture_key(s->mr);
    return true;
}

static void close_scene(struct scene *s) {
    fixture_leave(&s->b);
    fixture_leave_last(&s->a, &s->a);
}

static int call_verb(struct scene *s) {
    struct rvt_sg_outcome outcome;
    const uint64_t elsewhere = OTHER_DMA;
    switch (s->end) {
    case DEREG:
        return rvt_dereg_mr(s->mr, RVT_RELEASE);
    case FORCE:
        return s->mr.mr->kind == RVT_MR_FMR ? rvt_dealloc_fmr(s->mr, RVT_RELEASE_FORCE)
                                            : rvt_dereg_mr(s->mr, RVT_RELEASE_FORCE);
    case DEREGS:
        return rvt_dereg_mrs(s->pd, (struct rvt_mr_handle[]){s->mr, s->mr}, 2, RVT_RELEASE_FORCE);
    case DEALLOC_PD:
        return rvt_dealloc_pd(s->pd, true);
    case END_CONTEXT:
    case END_CONTEXT_OF_MAPPING:
        return rvt_dealloc_ucontext(s->b.context, true);
    case CLOSE:
        return rvt_mr_exit(s->a.device, true, NULL);
    case INVALIDATE:
        return rvt_invalidate_rkey(s->qp, s->key);
    case FAST_REG:
        return rvt_fast_reg_mr(s->qp, s->mr, s->key ^ 1, ALL_ACCESS, NULL);
    case UNMAP_FMR:
        return rvt_unmap_fmr(&s->mr, 1);
    case MAP_FMR_OVER:
        return rvt_map_phys_fmr(s->mr, &elsewhere, 1, elsewhere);
    case MAP_SG_OVER: {
        int used = rvt_map_mr_sg(s->mr, &(struct rvt_sg_element){elsewhere, PAGE}, 1, 0, PAGE, &outcome);
        return used == 1 ? 0 : used;
    }
    case DESTROY_QP:
        return rvt_destroy_qp(s->qp);
    default:
        return rvt_dma_unmap(s->dma);
    }
}

static uint64_t bytes_in_target(const struct scene *s) {
    uint64_t moved = 0;
    while (moved < BYTES && s->target[moved])
        moved++;
    return moved;
}

/* Between two sections: the verb, and what the program does on its next line. */
static void take_back(void *context) {
    struct scene *s = context;
    s->called = true;
    s->moved = s->target ? bytes_in_target(s) : 0;
    s->answer = call_verb(s);
    /* Held elements that are as good as before go on with these bytes. */
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
    begin_sections(sections, &s->a.device->retirement);
}

/* Nothing was written where it is somebody else's, and nothing was read of what is. */
static void nothing_was_late(const struct scene *s, bool writes) {
    uint64_t late = 0;
    for (size_t i = 0; i < BYTES; i++)
        late += writes ? arena[i] != OWN_PATTERN : buffer[i] == OWN_PATTERN;
    CHECK_EQ(late, 0);
    if (!writes)
        CHECK_EQ(bytes_in_target(s), s->moved);
}

/* --- copies of an element that is held --- */

enum held_way { COPY_IN, ORDERED, COPY_OUT, HELD_WAYS };

static void copies_of_held_elements(void) {
    fill(source);
    for (enum end end = 0; end < ENDS; end++) {
        for (enum held_way way = 0; way < HELD_WAYS; way++) {
            struct scene s;
            struct sections sections;
            struct rvt_sge sge;
            struct rvt_sge_state ss;
            struct rvt_data_call call;
            struct rvt_copied copied;
            const bool writes = way != COPY_OUT, stops = ends[end].held_reason != RVT_REASON_NONE;
            REQUIRE(open_scene(&s, end));
            CHECK_EQ(remote_in(&s.a, s.qp, &sge, s.base, BYTES, s.key, REMOTE_READ | REMOTE_WRITE), 1);
            CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
            rvt_data_call_begin(&call, s.a.reader, NULL);
            begin_scene(&s, &sections, writes, stops);
            int answer = way == COPY_OUT
                             ? rvt_copy_sge_out(&call, &ss, buffer, BYTES, false, &copied)
                             : rvt_copy_sge(&call, &ss, buffer, BYTES, false, way == ORDERED, &copied);
            end_sections(&sections);
            CHECK(s.called);
            CHECK_EQ(s.answer, ends[end].held_answer);
            CHECK_EQ(answer, stops ? -RVT_EACCES : 0);
            CHECK_EQ(copied.reason, ends[end].held_reason);
            CHECK_EQ(copied.bytes, stops ? s.moved : BYTES);
            CHECK(s.moved > 0 && s.moved < BYTES);
            if (stops)
                nothing_was_late(&s, writes);
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

/* --- copies over lists, which hold nothing --- */

enum list_way { GATHER, SCATTER, FROM_LIST, TO_LIST, LIST_WAYS };

static void pack(unsigned char *at, uint64_t addr, uint32_t length, uint32_t key) {
    memcpy(at, &addr, 8);
    memcpy(at + 8, &length, 4);
    memcpy(at + 12, &key, 4);
}

/* One large element, or so many that each section has some. */
static uint32_t pack_list(unsigned char *packed, uint64_t base, uint32_t key, bool small) {
    const uint32_t each = small ? PAGE / 2 : BYTES, count = BYTES / each;
    for (uint32_t i = 0; i < count; i++)
        pack(packed + i * SGE, base + (uint64_t)i * each, each, key);
    return count;
}

static void copies_over_lists(void) {
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
                /* The other list is of a domain that stays. */
                struct rvt_mr_handle mr = fixture_reg(&s.b, buffer, BYTES, 0, 0, ALL_ACCESS);
                const bool b_ends = end == END_CONTEXT || end == END_CONTEXT_OF_MAPPING;
                CHECK(rvt_checker_of_qp(s.qp, &checker) && rvt_checker_of_pd(b_ends ? s.pd : s.b.pd, &own));
                const uint32_t count = pack_list(packed, s.base, s.key, small);
                pack_list(packed_buffer, 0, fixture_key(b_ends ? s.other : mr), small);
                const struct rvt_batch batch = {&checker, packed, count, writes ? REMOTE_WRITE : REMOTE_READ},
                                       list = {&own, packed_buffer, count, LOCAL_WRITE};
                rvt_data_call_begin(&call, s.a.reader, NULL);
                begin_scene(&s, &sections, writes, true);
                int answer = way == GATHER      ? rvt_gather_batch(&call, &batch, buffer, BYTES, &result)
                             : way == SCATTER   ? rvt_scatter_batch(&call, &batch, buffer, BYTES, &result)
                             : way == FROM_LIST ? rvt_copy_batch(&call, &batch, &list, &result, &other)
                                                : rvt_copy_batch(&call, &list, &batch, &other, &result);
                end_sections(&sections);
                CHECK(s.called);
                CHECK_EQ(s.answer, 0); /* nobody holds anything */
                CHECK_EQ(answer, dead ? -RVT_EBADF : 0);
                CHECK_EQ(result.bytes, s.moved);
                if (!dead) {
                    CHECK_EQ(result.passed, small ? s.moved / (PAGE / 2) : 0);
                    CHECK_EQ(result.first_refused, result.passed);
                    CHECK_EQ(result.reason, ends[end].list_reason);
                }
                if (way >= FROM_LIST)
                    CHECK_EQ(other.bytes, s.moved);
                CHECK(s.moved > 0 && s.moved < BYTES);
                nothing_was_late(&s, writes);
                close_scene(&s);
                if (atomic_load(&check_failures)) {
                    printf("# %s, way %d, small %d\n", ends[end].name, way, small);
                    return;
                }
            }
        }
    }
}

/* --- references that are taken meanwhile --- */

enum { ELEMENTS = 3 * RVT_SECTION_ELEMENTS };

static void references_on_what_has_ended(void) {
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
        CHECK(rvt_checker_of_qp(s.qp, &checker));
        for (uint32_t i = 0; i < ELEMENTS; i++)
            pack(packed + i * SGE, s.base + i, 8, s.key);
        memset(held, 0, sizeof(held));
        const struct rvt_batch batch = {&checker, packed, ELEMENTS, REMOTE_READ};
        const struct rvt_batch_columns columns = {.verdict = verdict};
        sections = (struct sections){.between = take_back, .context = &s, .when = SECOND};
        begin_sections(&sections, &s.a.device->retirement);
        int answer = rvt_acquire_batch(s.a.reader, &batch, false, NULL, held, &columns, &result);
        end_sections(&sections);
        CHECK_EQ(s.answer, ends[end].held_answer);
        CHECK_EQ(answer, dead ? -RVT_EBADF : 0);
        /* A dereg that was busy has taken the key all the same; mapping over a held FMR, and unmapping under a key 0
         * that is held, have changed nothing. */
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
            CHECK_EQ(rvt_put_sges(held, ELEMENTS), 0); /* nothing is held */
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

/* Fragments are told of as long as the element is usable. */
static void walks(void) {
    enum { TINY = 2000 };
    static const enum end walk_ends[] = {UNMAP_FMR, FORCE, DEALLOC_PD, END_CONTEXT_OF_MAPPING, CLOSE};
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
        s.mr = fixture_fmr(&s.a, ALL_ACCESS, TINY, 0); /* segments of a byte */
        CHECK_EQ(rvt_map_phys_fmr(s.mr, single, TINY, 0), 0);
        CHECK_EQ(local(&s.a, &sge, 0, TINY, fixture_key(s.mr), 0), 1);
        CHECK_EQ(rvt_ss_init(&ss, (struct rvt_sge *[]){&sge}, 1), 0);
        sections = (struct sections){.between = take_back, .context = &s, .when = SECOND};
        begin_sections(&sections, &s.a.device->retirement);
        CHECK_EQ(rvt_walk(s.a.reader, &ss, &(uint32_t){TINY}, 1, false, &s.a.reason, count_fragments, &told),
                 -RVT_EINVAL);
        end_sections(&sections);
        CHECK_EQ(s.answer, 0);
        CHECK_EQ(s.a.reason, ends[walk_ends[i]].held_reason);
        CHECK(told > 0 && told < TINY);
        rvt_put_sge(&sge);
        close_scene(&s);
    }
}

CHECK_MAIN(TEST(copies_of_held_elements), TEST(copies_over_lists), TEST(references_on_what_has_ended),
           TEST(walks))
