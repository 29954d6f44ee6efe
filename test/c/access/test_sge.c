/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/sge.h"

#include <sys/mman.h>

#include "fixture.h"

static alignas(4096) unsigned char bytes[16 * PAGE];

/* Nothing has changed. (Not byte by byte: there is padding.) */
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

/* Three elements: 100 bytes of user memory over a page's edge, 10000 of key 0, 300 of an FMR
 * of 128-byte segments. */
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

static void init_is_judged(void) {
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

static void walks_in_fragments(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    /* A step's end always splits, an empty step gives nothing, fragments are never joined. */
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
    CHECK_EQ(fixture_refs(three.user), 3); /* not released */
    put_three(&three);
    fixture_close(&f);
}

static void state_can_be_walked_in_pieces(void) {
    /* However the way is cut, the bytes come out the same. */
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

static void releases_what_is_used_up(void) {
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
    rvt_put_ss(&ss); /* what is not consumed */
    CHECK_EQ(fixture_refs(three.fmr), 2);
    CHECK_EQ(rvt_ss_total_len(&ss), 0);
    rvt_put_ss(&ss);
    CHECK_EQ(fixture_refs(three.fmr), 2);
    put_three(&three); /* all dead by now: nothing */
    CHECK_EQ(fixture_refs(three.user), 2);
    fixture_close(&f);
}

static void refuses_what_cannot_be_walked_whole(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss, before;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){50}, 1, true, &got), 0);
    before = ss;
    /* Past the end, also by a sum of steps that does not fit 32 bits. */
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
    /* The same element twice, to be released twice: it has one reference. */
    struct rvt_sge *twice[] = {&three.sge[0], &three.sge[1], &three.sge[0]};
    CHECK_EQ(rvt_ss_init(&ss, twice, 3), 0);
    before = ss;
    CHECK_EQ(walk(&f, &ss, &(uint32_t){1}, 1, true, &got), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REASON_NONE);
    CHECK_EQ(got.count, 0);
    same_state(&ss, &before);
    CHECK_EQ(fixture_refs(three.user), 3);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){10200}, 1, false, &got),
             0); /* without release it may stand there twice */
    CHECK_EQ(fixture_refs(three.user), 3);
    struct rvt_sge *later[] = {&three.sge[0], &three.sge[1], &three.sge[1]};
    CHECK_EQ(rvt_ss_init(&ss, later, 3), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){1}, 1, true, &got), -RVT_EINVAL);
    /* Two elements of one region are two. */
    struct rvt_sge other = take(&f, 0x5000, 10, fixture_key(three.user));
    struct rvt_sge *both[] = {&three.sge[0], &other};
    CHECK_EQ(rvt_ss_init(&ss, both, 2), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){110}, 1, true, &got), 0);
    CHECK_EQ(fixture_refs(three.user), 2);
    put_three(&three);
    fixture_close(&f);
}

static void refuses_what_cannot_be_used(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss;
    struct fragments got;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    /* Unmapped since: nothing is told of the good elements before it; but who does not come that far
     * is not refused. */
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
    CHECK_EQ(walk(&f, &ss, &(uint32_t){0}, 1, false, &got), 0); /* no bytes, no element to be used */
    CHECK_EQ(rvt_dereg_mr(three.dma, RVT_RELEASE_FORCE), 0);
    CHECK_EQ(rvt_ss_init(&ss, three.list + 1, 1), 0);
    CHECK_EQ(walk(&f, &ss, &(uint32_t){1}, 1, false, &got), -RVT_EINVAL);
    CHECK_EQ(f.reason, RVT_REGION_REVOKED);
    put_three(&three);
    /* Put behind the walk's back. */
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

static void a_listener_may_give_up(void) {
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

static void empty_elements_are_passed_over(void) {
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
    CHECK_EQ(got.count, 3); /* none of 0 bytes */
    CHECK_EQ(got.part[0].at, 0x10);
    CHECK_EQ(got.part[0].length, 16);
    CHECK_EQ(got.part[1].at, 0x30);
    CHECK_EQ(got.part[1].length, 4);
    CHECK_EQ(got.part[2].at, 0x34);
    /* Passed over is released. The empty one at the end was not come to. */
    CHECK_EQ(fixture_refs(dma), 3);
    CHECK_EQ(fixture_refs(mr), 3);
    CHECK_EQ(rvt_get_sge_length(&ss, 100), 0);
    rvt_put_ss(&ss);
    CHECK_EQ(fixture_refs(mr), 2);

    /* Nothing but empty ones. */
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

static void single_steps(void) {
    struct fixture f;
    struct three three;
    struct rvt_sge_state ss, before;
    REQUIRE(open_with_dma(&f));
    three_elements(&f, &three);
    CHECK_EQ(rvt_ss_init(&ss, three.list, 3), 0);
    /* The smallest of what is wanted, what is left of the segment and what is left of the element. */
    CHECK_EQ(rvt_get_sge_length(&ss, 1000), 64);
    CHECK_EQ(rvt_get_sge_length(&ss, 10), 10);
    CHECK_EQ(rvt_get_sge_length(&ss, 0), 0);
    CHECK_EQ(rvt_update_sge(&ss, 0, true), 0);
    before = ss;
    CHECK_EQ(rvt_update_sge(&ss, 101, true), -RVT_EINVAL); /* beyond the element */
    CHECK_EQ(rvt_update_sge(&ss, UINT32_MAX, true), -RVT_EINVAL);
    same_state(&ss, &before);
    CHECK_EQ(rvt_update_sge(&ss, 64, true), 0);
    CHECK_EQ(rvt_get_sge_length(&ss, 1000), 36); /* the next segment: the element ends in it */
    CHECK_EQ(ss.sge.length, PAGE);
    CHECK_EQ(ss.sge.sge_length, 36);
    CHECK_EQ(rvt_update_sge(&ss, 36, true), 0);
    CHECK_EQ(fixture_refs(three.user), 2);
    CHECK_EQ(rvt_get_sge_length(&ss, 100000), 10000);
    CHECK_EQ(rvt_update_sge(&ss, 1, true), 0);
    CHECK_EQ(rvt_get_sge_length(&ss, 100000), 9999); /* key 0: one segment */
    CHECK_EQ(rvt_update_sge(&ss, 9999, true), 0);
    CHECK_EQ(rvt_get_sge_length(&ss, 100000), 128);
    CHECK_EQ(rvt_update_sge(&ss, 299, true), 0); /* over segments inside the element */
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

static void skipping(void) {
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
    /* Exactly to the end. */
    three.sge[0] = take(&f, 0x5fc0, 100, fixture_key(three.user));
    CHECK_EQ(rvt_ss_init(&ss, three.list, 1), 0);
    CHECK_EQ(rvt_skip_sge(&ss, 100, true), 0);
    CHECK_EQ(fixture_refs(three.user), 2);
    fixture_close(&f);
}

static void knows_its_keys(void) {
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
    CHECK(rvt_ss_has_lkey(&ss, user)); /* half-dead: it last answered to it */
    CHECK_EQ(rvt_skip_sge(&ss, 100, true), 0);
    CHECK(!rvt_ss_has_lkey(&ss, user)); /* consumed */
    CHECK_EQ(rvt_skip_sge(&ss, 10300, true), 0);
    CHECK(!rvt_ss_has_lkey(&ss, fmr));
    CHECK(!rvt_ss_has_lkey(&ss, 0));
    CHECK_EQ(rvt_dereg_mr(three.user, RVT_RELEASE), 0);
    fixture_close(&f);
}

static void a_segment_index_beyond_16_bits(void) {
    /* DEVIATIONS 9: the reference stores the upper part of the index in 16 bits. 64 GiB that
     * are never touched. */
    const uint64_t size = (UINT64_C(64) << 30) + 2 * PAGE, far = UINT64_C(64) << 30;
    void *space = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct fixture f;
    struct fragments got;
    struct rvt_sge sge;
    if (space == MAP_FAILED) { /* valgrind has no room for it */
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

CHECK_MAIN(TEST(init_is_judged), TEST(walks_in_fragments), TEST(state_can_be_walked_in_pieces),
           TEST(releases_what_is_used_up), TEST(refuses_what_cannot_be_walked_whole),
           TEST(refuses_what_cannot_be_used), TEST(a_listener_may_give_up),
           TEST(empty_elements_are_passed_over), TEST(single_steps), TEST(skipping), TEST(knows_its_keys),
           TEST(a_segment_index_beyond_16_bits))
