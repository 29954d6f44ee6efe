/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/sge.h"

#include <sys/mman.h>

#include "fixture.h"

static alignas(4096) unsigned char bytes[16 * PAGE];

/* Checks that the state has not changed. Compares members, because the struct has padding. */
static void same_state(const struct rvt_sge_state *a, const struct rvt_sge_state *b) {
    CHECK_EQ(a->num_sge, b->num_sge);
    CHECK_PTR_EQ(a->list, b->list);
    CHECK_PTR_EQ(a->owner, b->owner);
    CHECK_PTR_EQ(a->sge.mr, b->sge.mr);
    CHECK_EQ(a->sge.position, b->sge.position);
    CHECK_EQ(a->sge.length, b->sge.length);
    CHECK_EQ(a->sge.sge_length, b->sge.sge_length);
}

static bool open_with_dma(struct fixture *f) {
    if (!fixture_open(f, 6))
        return false;
    fixture_dma(f, bytes, sizeof(bytes), 0x10000);
    return true;
}

static struct rvt_sge take(struct fixture *f, uint64_t addr, uint32_t length, uint32_t key) {
    struct rvt_sge sge = {0};
    CHECK_EQ(local(f, &sge, addr, length, key, 0), 1);
    return sge;
}

/* Three SGEs: 100 bytes of user memory across a page boundary, 10000 bytes with key 0, and 300 bytes of an
 * FMR with 128-byte segments. */
struct three {
    struct rvt_mr_handle user, dma, fmr;
    struct rvt_sge sge[3], *list[3];
};

static void three_elements(struct fixture *f, struct three *three) {
    static const uint64_t pages[] = {0x14000, 0x10040, 0x12000};
    three->user = fixture_reg(f, bytes, 4 * PAGE, 0x5000, 0x5000, 0);
    three->fmr = fixture_fmr(f, 0, 3, 7);
    CHECK_EQ(rvt_get_dma_mr(f->pd, 0, &three->dma), 0);
    CHECK_EQ(rvt_map_phys_fmr(three->fmr, pages, 3, 0x9000), 0);
    three->sge[0] = take(f, 0x5fc0, 100, fixture_key(three->user));
    three->sge[1] = take(f, 0x10010, 10000, 0);
    three->sge[2] = take(f, 0x9000, 300, fixture_key(three->fmr));
    for (int i = 0; i < 3; i++)
        three->list[i] = &three->sge[i];
}

static void put_three(struct three *three) {
    for (int i = 0; i < 3; i++)
        rvt_put_sge(&three->sge[i]);
}

static void an_sge_state_needs_1_to_255_held_sges(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss;
    struct rvt_sge *many[256];
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    for (int i = 0; i < 256; i++)
        many[i] = &three.sge[i % 3];
    CHECK_EQ(rvt_ss_init(&ss, many, 0), -RVT_EINVAL);
    CHECK_EQ(rvt_ss_init(&ss, many, 256), -RVT_EINVAL);
    CHECK_EQ(rvt_ss_init(&ss, many, UINT32_MAX), -RVT_EINVAL);
    CHECK_EQ(rvt_ss_init(&ss, many, 255), 0);
    CHECK_EQ(rvt_ss_total_len(&ss), 85 * (100 + 10000 + 300));
    CHECK_EQ(rvt_ss_init(&ss, three.list, 1), 0);
    CHECK_EQ(rvt_ss_total_len(&ss), 100);
    rvt_put_sge(&three.sge[1]);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), -RVT_EBADF);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 1), 0);
    put_three(&three);
    fixture_close(&f);
}

static void a_walk_reports_its_fragments(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    /* The end of a step always splits a fragment, an empty step gives no fragment, and fragments are never
     * joined. */
    const uint32_t steps[] = {0, 60, 8, 0, 32 + 5000, 5000 + 130, 170};
    const struct {
        uint64_t at;
        uint32_t length, step;
        int element;
    } want[] = {
        {0xfc0, 60, 1, 0},     {0xffc, 4, 2, 0},      {0x1000, 4, 2, 0},    {0x1004, 32, 4, 0},
        {0x10010, 5000, 4, 1}, {0x11398, 5000, 5, 1}, {0x14000, 128, 5, 2}, {0x10040, 2, 5, 2},
        {0x10042, 126, 6, 2},  {0x12000, 44, 6, 2},
    };
    CHECK_EQ(walk(&f, &ss, steps, 7, false, &got), 0);
    CHECK_EQ(got.count, sizeof(want) / sizeof(want[0]));
    for (uint32_t i = 0; i < got.count && i < sizeof(want) / sizeof(want[0]); i++) {
        CHECK_EQ(got.part[i].at, want[i].at);
        CHECK_EQ(got.part[i].length, want[i].length);
        CHECK_EQ(got.part[i].step, want[i].step);
        CHECK_EQ(got.part[i].user, want[i].element == 0);
        CHECK_EQ(got.part[i].region, rvt_mr_id(three.sge[want[i].element].mr));
    }
    CHECK_EQ(rvt_ss_total_len(&ss), 0);
    CHECK_EQ(fixture_refs(three.user), 3); /* without release, the references stay */
    put_three(&three);
    fixture_close(&f);
}

static void a_walk_in_pieces_visits_the_same_bytes(void) {
    /* However the walk is split into calls and steps, it must visit the same bytes. */
    struct fixture f;
    struct three three;
    struct fragments got;
    uint64_t seed = 9;
    static uint64_t whole[100 + 10000 + 300], pieces[100 + 10000 + 300];
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    for (int round = 0; round < 60; round++) {
        struct rvt_sge_state ss;
        uint32_t at = 0, total = 100 + 10000 + 300;
        CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
        while (at < total) {
            uint32_t steps[3], count = round ? 1 + (uint32_t)roll(&seed, 3) : 1, sum = 0;
            for (uint32_t i = 0; i < count; i++) {
                steps[i] = round ? (uint32_t)roll(&seed, 700) : total;
                if (steps[i] > total - at - sum)
                    steps[i] = total - at - sum;
                sum += steps[i];
            }
            CHECK_EQ(rvt_ss_total_len(&ss), total - at);
            CHECK_EQ(walk(&f, &ss, steps, count, false, &got), 0);
            for (uint32_t i = 0; i < got.count; i++)
                for (uint32_t k = 0; k < got.part[i].length; k++)
                    (round ? pieces : whole)[at++] = got.part[i].at + k;
        }
        if (round)
            CHECK_BYTES_EQ(pieces, whole, sizeof(whole));
    }
    put_three(&three);
    fixture_close(&f);
}

static void a_walk_releases_the_sges_it_consumes(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){99}, 1, true, &got), 0);
    CHECK_EQ(fixture_refs(three.user), 3);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){1}, 1, true, &got), 0);
    CHECK_EQ(fixture_refs(three.user), 2);
    CHECK(three.sge[0].mr == NULL);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){10000 + 299}, 1, true, &got), 0);
    CHECK_EQ(fixture_refs(three.dma), 3);
    CHECK_EQ(fixture_refs(three.fmr), 3);
    rvt_put_ss(&ss); /* puts the SGEs that were not consumed */
    CHECK_EQ(fixture_refs(three.fmr), 2);
    CHECK_EQ(rvt_ss_total_len(&ss), 0);
    rvt_put_ss(&ss);
    CHECK_EQ(fixture_refs(three.fmr), 2);
    put_three(&three); /* all SGEs were put before: no effect */
    CHECK_EQ(fixture_refs(three.user), 2);
    fixture_close(&f);
}

static void a_walk_past_the_end_or_with_a_repeated_release_is_refused(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss, before;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){50}, 1, true, &got), 0);
    before = ss;
    /* Steps past the end are refused, even if their sum overflows 32 bits. */
    const uint32_t sums[][3] = {{10351, 0, 0},
                                {UINT32_MAX, 0, 0},
                                {10000, 350, 1},
                                {UINT32_MAX, 2, 0},
                                {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(walk(&f, &ss, sums[i], 3, true, &got), -RVT_EINVAL);
        CHECK_EQ(f.reason, RVT_REASON_NONE);
        CHECK_EQ(got.count, 0);
        same_state(&ss, &before);
    }
    CHECK_EQ(fixture_refs(three.user), 3);
    /* The same SGE twice, with release: it has only one reference. */
    struct rvt_sge *twice[] = {&three.sge[0], &three.sge[1], &three.sge[0]};
    CHECK_EQ(rvt_ss_init(&ss, twice, 3), 0);
    before = ss;
    CHECK_EQ(walk(&f, &ss, &(uint32_t){1}, 1, true, &got), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REASON_NONE);
    CHECK_EQ(got.count, 0);
    same_state(&ss, &before);
    CHECK_EQ(fixture_refs(three.user), 3);
    /* Without release an SGE may be listed twice. */
    CHECK_EQ(walk(&f, &ss, &(uint32_t){10200}, 1, false, &got), 0);
    CHECK_EQ(fixture_refs(three.user), 3);
    struct rvt_sge *later[] = {&three.sge[0], &three.sge[1], &three.sge[1]};
    CHECK_EQ(rvt_ss_init(&ss, later, 3), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){1}, 1, true, &got), -RVT_EINVAL);
    /* Two SGEs of the same region have a reference each. */
    struct rvt_sge other = take(&f, 0x5000, 10, fixture_key(three.user));
    struct rvt_sge *both[] = {&three.sge[0], &other};
    CHECK_EQ(rvt_ss_init(&ss, both, 2), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){110}, 1, true, &got), 0);
    CHECK_EQ(fixture_refs(three.user), 2);
    put_three(&three);
    fixture_close(&f);
}

static void a_walk_over_an_unusable_sge_is_refused(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    /* The FMR was unmapped. A walk that reaches its SGE reports nothing of the valid SGEs before it; a walk
     * that ends before it succeeds. */
    CHECK_EQ(rvt_unmap_fmr(&three.fmr, 1), 0);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){10101}, 1, true, &got), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REMAPPED);
    CHECK_EQ(got.count, 0);
    CHECK_EQ(fixture_refs(three.user), 3);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){10100}, 1, false, &got), 0);
    CHECK_EQ(rvt_dereg_mr(three.user, RVT_RELEASE_FORCE), 0);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){1}, 1, false, &got), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REGION_REVOKED);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){0}, 1, false, &got), 0); /* a walk of no bytes uses no SGE */
    CHECK_EQ(rvt_dereg_mr(three.dma, RVT_RELEASE_FORCE), 0);
    CHECK_EQ(rvt_ss_init(&ss, three.list + 1, 1), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){1}, 1, false, &got), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REGION_REVOKED);
    put_three(&three);
    /* An SGE is put by the program while the state refers to it. */
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, PAGE, 0x5000, 0x5000, 0);
    struct rvt_sge a = take(&f, 0x5000, 10, fixture_key(mr)), b = take(&f, 0x5000, 10, fixture_key(mr));
    struct rvt_sge *list[] = {&a, &b};
    CHECK_EQ(rvt_ss_init(&ss, list, 2), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){5}, 1, false, &got), 0);
    rvt_put_sge(&b);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){6}, 1, false, &got), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REGION_REVOKED);
    rvt_put_sge(&a);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){5}, 1, false, &got), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REGION_REVOKED);
    fixture_close(&f);
}

static bool give_up(void *context, const struct rvt_fragment *fragments, uint32_t count) {
    (void)fragments, (void)count;
    return --*(int *)context > 0;
}

static void a_walk_ends_when_its_callback_returns_false(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss;
    int patience = 1;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    CHECK_EQ(rvt_walk(f.reader, &ss, &(uint32_t){10400}, 1, false, &f.reason, give_up, &patience),
             -RVT_ENOMEM);
    CHECK_EQ(f.reader->depth, 0);
    put_three(&three);
    fixture_close(&f);
}

static void a_walk_passes_over_empty_sges(void) {
    struct fixture f;
    struct rvt_sge_state ss;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    struct rvt_mr_handle mr = fixture_reg(&f, bytes, 2 * PAGE, 0x5000, 0x5000, 0), dma;
    uint32_t key = fixture_key(mr);
    CHECK_EQ(rvt_get_dma_mr(f.pd, 0, &dma), 0);
    struct rvt_sge sge[] = {take(&f, 0x5000, 0, key), take(&f, 0x10000, 0, 0),   take(&f, 0x5010, 16, key),
                            take(&f, 0x5020, 0, key), take(&f, 0x5030, 16, key), take(&f, 0x5040, 0, key)};
    struct rvt_sge *list[6];
    for (int i = 0; i < 6; i++)
        list[i] = &sge[i];
    CHECK_EQ(rvt_ss_init(&ss, list, 6), 0);
    CHECK_EQ(rvt_ss_total_len(&ss), 32);
    CHECK_EQ(rvt_get_sge_length(&ss, 100), 16);
    CHECK_EQ(rvt_get_sge_length(&ss, 5), 5);
    CHECK_EQ(walk(&f, &ss, (uint32_t[]){20, 12}, 2, true, &got), 0);
    CHECK_EQ(got.count, 3); /* the walk reports no empty fragment */
    CHECK_EQ(got.part[0].at, 0x10);
    CHECK_EQ(got.part[0].length, 16);
    CHECK_EQ(got.part[1].at, 0x30);
    CHECK_EQ(got.part[1].length, 4);
    CHECK_EQ(got.part[2].at, 0x34);
    /* Empty SGEs that were passed are released. The walk did not reach the one at the end. */
    CHECK_EQ(fixture_refs(dma), 3);
    CHECK_EQ(fixture_refs(mr), 3);
    CHECK_EQ(rvt_get_sge_length(&ss, 100), 0);
    rvt_put_ss(&ss);
    CHECK_EQ(fixture_refs(mr), 2);

    /* A list of empty SGEs only. */
    struct rvt_sge none[] = {take(&f, 0x5000, 0, key), take(&f, 0x5000, 0, key)};
    struct rvt_sge *empties[] = {&none[0], &none[1]};
    CHECK_EQ(rvt_ss_init(&ss, empties, 2), 0);
    CHECK_EQ(rvt_ss_total_len(&ss), 0);
    CHECK_EQ(rvt_get_sge_length(&ss, 100), 0);
    CHECK_EQ(walk(&f, &ss, (uint32_t[]){0, 0}, 2, true, &got), 0);
    CHECK_EQ(got.count, 0);
    CHECK_EQ(walk(&f, &ss, (uint32_t[]){1}, 1, true, &got), -RVT_EINVAL);
    rvt_put_ss(&ss);
    CHECK_EQ(fixture_refs(mr), 2);
    fixture_close(&f);
}

static void single_steps_stay_within_one_sge(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss, before;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    /* Returns the smallest of the requested length, the rest of the segment and the rest of the SGE. */
    CHECK_EQ(rvt_get_sge_length(&ss, 1000), 64);
    CHECK_EQ(rvt_get_sge_length(&ss, 10), 10);
    CHECK_EQ(rvt_get_sge_length(&ss, 0), 0);
    CHECK_EQ(rvt_update_sge(&ss, 0, true), 0);
    before = ss;
    CHECK_EQ(rvt_update_sge(&ss, 101, true), -RVT_EINVAL); /* longer than the rest of the SGE */
    CHECK_EQ(rvt_update_sge(&ss, UINT32_MAX, true), -RVT_EINVAL);
    same_state(&ss, &before);
    CHECK_EQ(rvt_update_sge(&ss, 64, true), 0);
    CHECK_EQ(rvt_get_sge_length(&ss, 1000), 36); /* the SGE ends in the next segment */
    CHECK_EQ(ss.sge.length, PAGE);
    CHECK_EQ(ss.sge.sge_length, 36);
    CHECK_EQ(rvt_update_sge(&ss, 36, true), 0);
    CHECK_EQ(fixture_refs(three.user), 2);
    CHECK_EQ(rvt_get_sge_length(&ss, 100000), 10000);
    CHECK_EQ(rvt_update_sge(&ss, 1, true), 0);
    CHECK_EQ(rvt_get_sge_length(&ss, 100000), 9999); /* with key 0 the whole rest is one segment */
    CHECK_EQ(rvt_update_sge(&ss, 9999, true), 0);
    CHECK_EQ(rvt_get_sge_length(&ss, 100000), 128);
    CHECK_EQ(rvt_update_sge(&ss, 299, true), 0); /* across segments inside the SGE */
    CHECK_EQ(rvt_get_sge_length(&ss, 100000), 1);
    CHECK_EQ(ss.sge.length, 128 - 43);
    CHECK_EQ(rvt_update_sge(&ss, 1, true), 0);
    CHECK_EQ(ss.num_sge, 0);
    CHECK_EQ(rvt_update_sge(&ss, 1, true), -RVT_EINVAL);
    CHECK_EQ(rvt_update_sge(&ss, 0, true), 0);
    CHECK_EQ(rvt_get_sge_length(&ss, 1), 0);
    CHECK_EQ(fixture_refs(three.fmr), 2);
    fixture_close(&f);
}

static void skipping_consumes_and_releases_sges(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss, before;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    before = ss;
    CHECK_EQ(rvt_skip_sge(&ss, 10401, true), -RVT_EINVAL);
    CHECK_EQ(rvt_skip_sge(&ss, UINT64_MAX, true), -RVT_EINVAL);
    CHECK_EQ(rvt_skip_sge(&ss, (UINT64_C(1) << 32) + 1, true), -RVT_EINVAL);
    same_state(&ss, &before);
    CHECK_EQ(rvt_skip_sge(&ss, 0, true), 0);
    CHECK_EQ(rvt_skip_sge(&ss, 10100 + 130, true), 0);
    CHECK_EQ(fixture_refs(three.user), 2);
    CHECK_EQ(fixture_refs(three.dma), 3);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){170}, 1, false, &got), 0);
    CHECK_EQ(got.part[0].at, 0x10042);
    put_three(&three);
    /* Skip exactly to the end. */
    three.sge[0] = take(&f, 0x5fc0, 100, fixture_key(three.user));
    CHECK_EQ(rvt_ss_init(&ss, three.list, 1), 0);
    CHECK_EQ(rvt_skip_sge(&ss, 100, true), 0);
    CHECK_EQ(fixture_refs(three.user), 2);
    fixture_close(&f);
}

static void an_sge_state_finds_the_keys_of_its_remaining_sges(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    uint32_t user = fixture_key(three.user), fmr = fixture_key(three.fmr);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    CHECK(rvt_ss_has_lkey(&ss, user));
    CHECK(rvt_ss_has_lkey(&ss, fmr));
    CHECK(rvt_ss_has_lkey(&ss, 0));
    CHECK(!rvt_ss_has_lkey(&ss, user ^ 1));
    CHECK_EQ(rvt_dereg_mr(three.user, RVT_RELEASE), -RVT_EBUSY);
    /* After a dereg that returned -EBUSY, the region's last key still matches. */
    CHECK(rvt_ss_has_lkey(&ss, user));
    CHECK_EQ(rvt_skip_sge(&ss, 100, true), 0);
    CHECK(!rvt_ss_has_lkey(&ss, user)); /* the SGE was consumed */
    CHECK_EQ(rvt_skip_sge(&ss, 10300, true), 0);
    CHECK(!rvt_ss_has_lkey(&ss, fmr));
    CHECK(!rvt_ss_has_lkey(&ss, 0));
    CHECK_EQ(rvt_dereg_mr(three.user, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void segment_indexes_can_exceed_16_bits(void) {
    /* docs/deviations.md, 9: the kernel stores the upper part of the segment index in 16 bits. This needs 64
     * GiB of address space that is never touched. */
    const uint64_t size = (UINT64_C(64) << 30) + 2 * PAGE, far = UINT64_C(64) << 30;
    void *space = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct fixture f;
    struct fragments got;
    struct rvt_sge sge;
    if (space == MAP_FAILED) { /* valgrind cannot reserve this much */
        printf("# skipped: no 64 GiB of address space\n");
        return;
    }
    REQUIRE(fixture_open(&f, 4));
    struct rvt_mr_handle mr = fixture_reg(&f, space, size, 0x100000, 0x700000, REMOTE_READ);
    uint32_t key = fixture_key(mr);
    CHECK_EQ(fixture_query(mr).segments, (1u << 24) + 2);
    sge = take(&f, 0x100000 + far - 16, PAGE + 32, key);
    CHECK_EQ(rvt_sge_segment(&sge), 65535 * 256 + 255);
    CHECK_EQ(sge.length, 16);
    CHECK_EQ(walk_whole(&f, &sge, &got), 0);
    CHECK_EQ(got.count, 3);
    CHECK_EQ(got.part[0].at, far - 16);
    CHECK_EQ(got.part[1].at, far);
    CHECK_EQ(got.part[1].length, PAGE);
    CHECK_EQ(got.part[2].at, far + PAGE);
    CHECK_EQ(got.part[2].length, 16);
    rvt_put_sge(&sge);
    CHECK_EQ(remote(&f, &sge, 0x700000 + far, 2 * PAGE, key, REMOTE_READ), 1);
    CHECK_EQ(rvt_sge_segment(&sge), 65536 * 256);
    CHECK_EQ(sge.at, far);
    CHECK_EQ(walk_whole(&f, &sge, &got), 0);
    CHECK_EQ(got.count, 2);
    CHECK_EQ(got.part[0].at, far);
    CHECK_EQ(got.part[1].at, far + PAGE);
    rvt_put_sge(&sge);
    fixture_close(&f);
    munmap(space, size);
}

CHECK_MAIN(TEST(an_sge_state_needs_1_to_255_held_sges), TEST(a_walk_reports_its_fragments),
           TEST(a_walk_in_pieces_visits_the_same_bytes), TEST(a_walk_releases_the_sges_it_consumes),
           TEST(a_walk_past_the_end_or_with_a_repeated_release_is_refused),
           TEST(a_walk_over_an_unusable_sge_is_refused), TEST(a_walk_ends_when_its_callback_returns_false),
           TEST(a_walk_passes_over_empty_sges), TEST(single_steps_stay_within_one_sge),
           TEST(skipping_consumes_and_releases_sges), TEST(an_sge_state_finds_the_keys_of_its_remaining_sges),
           TEST(segment_indexes_can_exceed_16_bits))
