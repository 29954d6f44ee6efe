/* SPDX-License-Identifier: BSD-3-Clause */
/* How requests move bytes: many elements at both ends, regions of pages, long messages, unaligned atomics, and
 * ranges that overlap. */
#include "verbs.h"

enum { ARENA = 64 * PAGE, MANY = 255 };
static alignas(4096) unsigned char arena[ARENA], shadow[ARENA], outside[ARENA];

static struct rvt_limits wide_limits(void) {
    struct rvt_limits limits = usual_limits();
    limits.of[RVT_LIMIT_MAX_SEND_SGE] = limits.of[RVT_LIMIT_MAX_RECV_SGE] = limits.of[RVT_LIMIT_MAX_SRQ_SGE] =
        MANY;
    return limits;
}

static struct vqp make_wide(struct verbs *v) {
    struct vqp qp = make_qp_with(v, v->pd, (struct rvt_qp_init){.max_send_sge = MANY, .max_recv_sge = MANY});
    return qp;
}

static void make_wide_pair(struct verbs *v, struct vqp *a, struct vqp *b) {
    *a = make_wide(v);
    *b = make_wide(v);
    connect_qp(a, b->qpn);
    connect_qp(b, a->qpn);
}

static void fill_arena(uint64_t seed) {
    for (size_t i = 0; i < ARENA; i++)
        arena[i] = shadow[i] = (unsigned char)dice(&seed);
}

/* A region of shuffled pages: byte i of the region is byte place[i / PAGE] + i % PAGE of the arena. */
struct pages {
    struct rvt_mr_handle mr;
    uint32_t key, count;
    uint64_t addr, place[16];
};

enum { PAGES_DMA = 0x40000000 };

/* Maps `count` pages of the arena, from page `from` on, in a shuffled order. */
static struct pages map_pages(struct verbs *v, struct rvt_qp_handle qp, uint32_t from, uint32_t count,
                              uint64_t *seed) {
    struct pages pages = {.count = count};
    struct rvt_sg_element list[16];
    struct rvt_sg_outcome outcome;
    for (uint32_t i = 0; i < count; i++) {
        pages.place[i] = (from + i) * PAGE;
        uint32_t other = (uint32_t)roll(seed, i + 1);
        uint64_t swapped = pages.place[i];
        pages.place[i] = pages.place[other];
        pages.place[other] = swapped;
    }
    for (uint32_t i = 0; i < count; i++)
        list[i] = (struct rvt_sg_element){PAGES_DMA + pages.place[i], PAGE};
    CHECK_EQ(rvt_alloc_mr(v->pd, RVT_MR_TYPE_MEM_REG, count, &pages.mr), 0);
    CHECK_EQ(rvt_map_mr_sg(pages.mr, list, count, 0, PAGE, &outcome), count);
    pages.key = fixture_key(pages.mr);
    CHECK_EQ(rvt_fast_reg_mr(qp, pages.mr, pages.key, ALL_ACCESS, NULL), 0);
    pages.addr = outcome.iova;
    return pages;
}

static void map_arena(struct verbs *v, struct rvt_dma_handle *mapping) {
    struct rvt_memory *memory = rvt_fixed_memory(arena, ARENA);
    uint64_t address = PAGES_DMA;
    CHECK_EQ(rvt_dma_map(v->device, NULL, memory, true, &address, mapping), 0);
    rvt_memory_put(memory);
}

/* Where byte `i` of an element list lies in the arena. */
struct side {
    struct rvt_ib_sge sges[MANY];
    uint32_t count;
    uint32_t place[ARENA];
    uint64_t length;
};

static void add_user(struct side *side, const struct vmr *mr, uint64_t offset, uint32_t length) {
    side->sges[side->count++] = sge_at(mr, offset, length);
    for (uint32_t i = 0; i < length; i++)
        side->place[side->length++] = (uint32_t)(mr->data - arena + offset + i);
}

static void add_pages(struct side *side, const struct pages *pages, uint64_t offset, uint32_t length) {
    side->sges[side->count++] = (struct rvt_ib_sge){pages->addr + offset, length, pages->key};
    for (uint64_t i = offset; i < offset + length; i++)
        side->place[side->length++] = (uint32_t)(pages->place[i / PAGE] + i % PAGE);
}

/* Random elements of both kinds of regions. */
static void roll_side(struct side *side, const struct vmr *mr, const struct pages *pages, uint32_t most,
                      uint64_t *seed) {
    side->count = 0;
    side->length = 0;
    for (uint32_t n = (uint32_t)roll(seed, most) + 1; n; n--) {
        const uint64_t room = roll(seed, 2) ? mr->length : pages->count * (uint64_t)PAGE;
        uint32_t length = (uint32_t)roll(seed, roll(seed, 3) ? 60 : 3 * PAGE);
        if (side->length + length > 10 * PAGE)
            length = 0;
        if (room == mr->length)
            add_user(side, mr, roll(seed, room - length), length);
        else
            add_pages(side, pages, roll(seed, room - length), length);
    }
}

static void random_elements_move_like_a_naive_copy(void) {
    static struct side from, to;
    struct verbs v;
    struct vqp a, b;
    struct rvt_dma_handle mapping;
    uint64_t seed = 20;
    REQUIRE(verbs_open_with(&v, wide_limits(), AT_ONCE));
    make_wide_pair(&v, &a, &b);
    map_arena(&v, &mapping);
    struct vmr source = make_mr(&v, arena, 12 * PAGE), target = make_mr(&v, arena + 12 * PAGE, 12 * PAGE);
    struct pages source_pages = map_pages(&v, a.handle, 24, 12, &seed),
                 target_pages = map_pages(&v, a.handle, 36, 12, &seed);
    for (int round = 0; round < 600; round++) {
        fill_arena((uint64_t)round);
        const uint32_t most = round % 3 ? 6 : MANY;
        roll_side(&from, &source, &source_pages, most, &seed);
        roll_side(&to, &target, &target_pages, most, &seed);
        struct rvt_send_wr wr = SEND_WR(.sges = from.sges, .num_sge = from.count);
        uint64_t length = from.length;
        struct rvt_wc wc;
        if (round % 3 == 2) { /* a read of one remote range into many elements */
            length = to.length;
            from.count = 0;
            from.length = 0;
            uint64_t offset = roll(&seed, 12 * PAGE - length);
            if (roll(&seed, 2))
                add_user(&from, &source, offset, (uint32_t)length);
            else
                add_pages(&from, &source_pages, offset, (uint32_t)length);
            wr.opcode = RVT_WR_RDMA_READ;
            wr.remote_addr = from.sges[0].addr;
            wr.rkey = from.sges[0].lkey;
            wr.sges = to.sges;
            wr.num_sge = to.count;
        } else if (round % 3 == 1) { /* a write of many elements into one remote range */
            to.count = 0;
            to.length = 0;
            uint64_t offset = roll(&seed, 12 * PAGE - length);
            if (roll(&seed, 2))
                add_user(&to, &target, offset, (uint32_t)length);
            else
                add_pages(&to, &target_pages, offset, (uint32_t)length);
            wr.opcode = RVT_WR_RDMA_WRITE;
            wr.remote_addr = to.sges[0].addr;
            wr.rkey = to.sges[0].lkey;
        } else {
            if (to.length < length)
                continue;
            wr.opcode = RVT_WR_SEND;
            CHECK_EQ(post_receive(&b, 1, to.sges, to.count), 0);
        }
        CHECK_EQ(post(&a, wr), 0);
        REQUIRE(rvt_poll_cq(a.scq, 1, &wc) == 1);
        REQUIRE(wc.status == RVT_WC_STATUS_SUCCESS);
        CHECK_EQ(wc.byte_len, length);
        (void)rvt_poll_cq(b.rcq, 1, &wc);
        for (uint64_t i = 0; i < length; i++)
            shadow[to.place[i]] = arena[from.place[i]];
        CHECK_BYTES_EQ(arena, shadow, ARENA);
    }
    AT_REST(source);
    AT_REST(target);
    CHECK_EQ(fixture_query(source_pages.mr).refs, 2);
    CHECK_EQ(fixture_query(target_pages.mr).refs, 2);
    verbs_close(&v);
}

/* Messages of many steps, so that the engine may let other threads in between. */
static void long_messages_arrive_whole(void) {
    static const uint32_t lengths[] = {RVT_SECTION_BYTES - 1, RVT_SECTION_BYTES, RVT_SECTION_BYTES + 1,
                                       3 * RVT_SECTION_BYTES + 5};
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct vmr source = make_mr(&v, arena, ARENA), target = make_mr(&v, outside, ARENA);
    for (int i = 0; i < 4; i++) {
        fill_arena((uint64_t)i);
        memset(outside, 0, ARENA);
        const struct rvt_ib_sge sge = sge_at(&source, 1, lengths[i]), room = sge_at(&target, 3, ARENA - 3);
        CHECK_EQ(post_receive(&b, 1, &room, 1), 0);
        CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1)), 0);
        WC(a.scq, .qp_num = a.qpn, .byte_len = lengths[i]);
        CHECK_BYTES_EQ(outside + 3, arena + 1, lengths[i]);
        CHECK_EQ(outside[2], 0);
        CHECK_EQ(outside[3 + lengths[i]], 0);
    }
    AT_REST(source);
    AT_REST(target);
    verbs_close(&v);
}

/* The elements of the two ends may overlap: the result is as if all bytes had been read first. */
static void overlapping_elements_are_read_before_they_are_written(void) {
    static const uint32_t lengths[] = {300, 5000, RVT_SECTION_BYTES - 7, RVT_SECTION_BYTES + 1000};
    static const int64_t shifts[] = {-4000, -50, -1, 1, 50, 4000};
    static unsigned char wanted[ARENA];
    struct verbs v;
    struct vqp a;
    REQUIRE(verbs_open(&v, AT_ONCE));
    a = make_qp(&v, RVT_QPT_RC);
    connect_qp(&a, a.qpn);
    struct vmr mr = make_mr(&v, arena, ARENA);
    for (unsigned l = 0; l < 4; l++) {
        for (unsigned k = 0; k < 6; k++) {
            /* Three source elements in another order than their addresses. */
            const uint32_t third = lengths[l] / 3;
            const uint64_t from = 8000, to = (uint64_t)(8000 + shifts[k]);
            const struct rvt_ib_sge parts[] = {sge_at(&mr, from + third, third), sge_at(&mr, from, third),
                                               sge_at(&mr, from + 2 * third, third)};
            REQUIRE(from + 3 * third + 4000 < ARENA);
            fill_arena(l * 6 + k);
            memcpy(wanted, arena, ARENA);
            memcpy(wanted + to, arena + from + third, third);
            memcpy(wanted + to + third, arena + from, third);
            memcpy(wanted + to + 2 * third, arena + from + 2 * third, third);
            CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .sges = parts, .num_sge = 3,
                                      .remote_addr = mr.addr + to, .rkey = mr.key)),
                     0);
            WC(a.scq, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 3 * third);
            CHECK_BYTES_EQ(arena, wanted, ARENA);

            /* One element that is longer than a step, and a read in the other direction. */
            const struct rvt_ib_sge whole = sge_at(&mr, to, lengths[l]);
            fill_arena(l * 6 + k);
            memcpy(wanted, arena, ARENA);
            memcpy(wanted + to, arena + from, lengths[l]);
            CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_RDMA_READ, .sges = &whole, .num_sge = 1,
                                      .remote_addr = mr.addr + from, .rkey = mr.key)),
                     0);
            WC(a.scq, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_READ, .byte_len = lengths[l]);
            CHECK_BYTES_EQ(arena, wanted, ARENA);
        }
    }
    AT_REST(mr);
    verbs_close(&v);
}

/* One element at each end: nothing outside the target changes. */
static void overlapping_ranges_stay_inside_the_target(void) {
    struct verbs v;
    struct vqp a;
    REQUIRE(verbs_open(&v, AT_ONCE));
    a = make_qp(&v, RVT_QPT_RC);
    connect_qp(&a, a.qpn);
    struct vmr mr = make_mr(&v, arena, ARENA);
    for (int shift = -100; shift <= 100; shift += 20) {
        fill_arena(3);
        const uint64_t from = 1000, to = (uint64_t)(1000 + shift), length = 300;
        const struct rvt_ib_sge sge = sge_at(&mr, from, (uint32_t)length);
        CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_RDMA_WRITE, .sges = &sge, .num_sge = 1,
                                  .remote_addr = mr.addr + to, .rkey = mr.key)),
                 0);
        WC(a.scq, .qp_num = a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 300);
        /* One element at both ends and one step: as if the source had been read first. */
        CHECK_BYTES_EQ(arena + to, shadow + from, length);
        CHECK_BYTES_EQ(arena, shadow, to);
        CHECK_BYTES_EQ(arena + to + length, shadow + to + length, 500);
    }
    verbs_close(&v);
}

/* --- atomics --- */

/* The word and the result can be unaligned in memory, or lie in two pieces. Registered so that the remote
 * address is a multiple of 8 all the same. */
static void atomics_on_words_in_pieces(void) {
    struct verbs v;
    struct vqp a, b;
    struct rvt_dma_handle mapping;
    uint64_t seed = 3;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    map_arena(&v, &mapping);
    for (uint64_t shift = 0; shift < 8; shift++) {
        for (int swap = 0; swap < 3; swap++) { /* fetch and add; compare and swap that fits, and not */
            struct rvt_mr_handle pages = {0};
            struct rvt_sg_outcome outcome;
            fill_arena(seed++);
            /* Two pages that are not adjacent, at an iova that is `shift` bytes off: the word over the edge of
             * the pages has 8 - shift bytes in the first one. */
            const struct rvt_sg_element list[] = {{PAGES_DMA + 8 * PAGE, PAGE}, {PAGES_DMA + 2 * PAGE, PAGE}};
            CHECK_EQ(rvt_alloc_mr(v.pd, RVT_MR_TYPE_MEM_REG, 2, &pages), 0);
            CHECK_EQ(rvt_map_mr_sg(pages, list, 2, 0, PAGE, &outcome), 2);
            const uint32_t key = fixture_key(pages);
            const uint64_t iova = 0x10000 + shift, edge = PAGE - shift;
            CHECK_EQ(rvt_fast_reg_mr(a.handle, pages, key, ALL_ACCESS, &iova), 0);
            unsigned char *first = arena + 8 * PAGE + edge, *second = arena + 2 * PAGE;
            uint64_t was, sum, own;
            unsigned char word[8];
            for (uint64_t i = 0; i < 8; i++)
                word[i] = i < shift ? first[i] : second[i - shift];
            if (!shift)
                memcpy(word, second, 8);
            memcpy(&was, word, 8);
            /* The result: a word that is unaligned in memory, at an aligned address. */
            struct rvt_mr_handle result = {0};
            struct rvt_memory *memory = rvt_fixed_memory(arena + 30 * PAGE + shift, 64);
            CHECK_EQ(rvt_reg_user_mr(v.pd, memory, 0x8000, 0x8000, LOCAL_WRITE, &result), 0);
            rvt_memory_put(memory);
            const struct rvt_ib_sge sge = {0x8008, 8, fixture_key(result)};
            CHECK_EQ(
                post(&a, SEND_WR(.opcode = swap ? RVT_WR_ATOMIC_CMP_AND_SWP : RVT_WR_ATOMIC_FETCH_AND_ADD,
                                 .sges = &sge, .num_sge = 1, .remote_addr = 0x10000 + PAGE, .rkey = key,
                                 .compare_add = swap == 1   ? was
                                                : swap == 2 ? was + 1
                                                            : 0x123456789abcdef0,
                                 .swap = 42)),
                0);
            WC(a.scq, .qp_num = a.qpn, .opcode = swap ? RVT_WC_OPCODE_COMP_SWAP : RVT_WC_OPCODE_FETCH_ADD,
               .byte_len = 8);
            memcpy(&own, arena + 30 * PAGE + shift + 8, 8);
            CHECK_EQ(own, was);
            for (uint64_t i = 0; i < 8; i++)
                word[i] = i < shift ? first[i] : second[i - shift];
            if (!shift)
                memcpy(word, second, 8);
            memcpy(&sum, word, 8);
            CHECK_EQ(sum, swap == 1 ? 42 : swap == 2 ? was : was + 0x123456789abcdef0);
            CHECK_BYTES_EQ(first - 100, shadow + 8 * PAGE + edge - 100, 100);
            CHECK_BYTES_EQ(second + 8, shadow + 2 * PAGE + 8, 100);
            CHECK_EQ(fixture_query(pages).refs, 2);
            CHECK_EQ(fixture_query(result).refs, 2);
            CHECK_EQ(rvt_dereg_mr(pages, RVT_RELEASE), 0);
            CHECK_EQ(rvt_dereg_mr(result, RVT_RELEASE), 0);
        }
    }
    verbs_close(&v);
}

/* Threads outside the engine that use the same word see an aligned atomic as one access. */
static void an_aligned_atomic_wraps_at_2_to_the_64(void) {
    static _Alignas(8) uint64_t word[2];
    struct verbs v;
    struct vqp a, b;
    REQUIRE(verbs_open(&v, AT_ONCE));
    make_pair(&v, RVT_QPT_RC, &a, &b);
    struct vmr mr = make_mr(&v, word, sizeof(word));
    const struct rvt_ib_sge sge = sge_at(&mr, 8, 8);
    word[0] = UINT64_MAX;
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_ATOMIC_FETCH_AND_ADD, .sges = &sge, .num_sge = 1,
                              .remote_addr = mr.addr, .rkey = mr.key, .compare_add = 3)),
             0);
    CHECK_EQ(word[0], 2);
    CHECK_EQ(word[1], UINT64_MAX);
    /* The result may overwrite the word itself. */
    const struct rvt_ib_sge same = sge_at(&mr, 0, 8);
    CHECK_EQ(post(&a, SEND_WR(.opcode = RVT_WR_ATOMIC_CMP_AND_SWP, .sges = &same, .num_sge = 1,
                              .remote_addr = mr.addr, .rkey = mr.key, .compare_add = 2, .swap = 9)),
             0);
    CHECK_EQ(word[0], 2);
    verbs_close(&v);
}

/* A region of pages, of which one lost its DMA mapping, refuses the whole request, at either end. */
static void a_region_that_lost_a_page_refuses_the_request(void) {
    enum { FROM, TO };
    for (int side = FROM; side <= TO; side++) {
        for (int write = 0; write < 2; write++) {
            struct verbs v;
            struct vqp a, b;
            struct rvt_ucontext *context, *keeper;
            struct rvt_dma_handle mapping;
            struct rvt_sg_outcome outcome;
            REQUIRE(verbs_open(&v, MANUAL));
            struct rvt_reader *reader = rvt_reader_register();
            CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &keeper), 0);
            CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &context), 0);
            make_pair(&v, RVT_QPT_RC, &a, &b);
            fill_arena(9);
            struct rvt_memory *memory = rvt_fixed_memory(arena, PAGE);
            uint64_t first = 0x100000, second = 0x200000;
            CHECK_EQ(rvt_dma_map(v.device, NULL, memory, true, &first, &mapping), 0);
            CHECK_EQ(rvt_dma_map(v.device, context, memory, true, &second, &mapping), 0);
            rvt_memory_put(memory);
            struct rvt_mr_handle pages = {0};
            CHECK_EQ(rvt_alloc_mr(v.pd, RVT_MR_TYPE_MEM_REG, 2, &pages), 0);
            CHECK_EQ(rvt_map_mr_sg(pages, (struct rvt_sg_element[]){{first, PAGE}, {second, PAGE}}, 2, 0,
                                   PAGE, &outcome),
                     2);
            const uint32_t key = fixture_key(pages);
            CHECK_EQ(rvt_fast_reg_mr(a.handle, pages, key, ALL_ACCESS, NULL), 0);
            struct vmr mr = make_mr(&v, outside, ARENA);
            const struct rvt_ib_sge broken = {outcome.iova, 2 * PAGE, key}, whole = sge_at(&mr, 0, 2 * PAGE);
            const bool own = side == FROM;
            CHECK_EQ(post_receive(&b, 5, own ? &whole : &broken, 1), 0);
            memset(outside, 0, ARENA);
            struct rvt_send_wr wr =
                SEND_WR(.opcode = write ? RVT_WR_RDMA_WRITE : RVT_WR_SEND, .sges = own ? &broken : &whole,
                        .num_sge = 1, .remote_addr = own ? whole.addr : broken.addr,
                        .rkey = own ? whole.lkey : broken.lkey);
            CHECK_EQ(post(&a, wr), 0);
            CHECK_EQ(rvt_dealloc_ucontext(context, true), 0); /* the second page goes with its mapping */
            run_engine(&v);
            struct rvt_wc wc = {0};
            CHECK_EQ(rvt_poll_cq(a.scq, 1, &wc), 1);
            if (own) {
                CHECK_EQ(wc.status, RVT_WC_STATUS_LOC_PROT_ERR);
                CHECK_EQ(wc.cause, RVT_WHY_LOCAL_REFUSED);
            } else {
                CHECK(wc.status == (write ? RVT_WC_STATUS_REM_ACCESS_ERR : RVT_WC_STATUS_REM_OP_ERR));
                CHECK(wc.cause == (write ? RVT_WHY_REMOTE_REFUSED : RVT_WHY_RECEIVE_REFUSED));
            }
            CHECK(wc.refused.reason != RVT_REASON_NONE);
            CHECK_EQ(own ? outside[0] : arena[0] ^ shadow[0], 0); /* no byte has moved */
            CHECK_EQ(state_of(&a), RVT_QPS_ERR);
            AT_REST(mr);
            CHECK_EQ(fixture_query(pages).refs, 2);
            CHECK_EQ(rvt_dealloc_ucontext(keeper, true), 0);
            rvt_free_ucontext(context);
            rvt_free_ucontext(keeper);
            rvt_reader_unregister(reader);
            verbs_close(&v);
        }
    }
}

CHECK_MAIN(TEST(random_elements_move_like_a_naive_copy), TEST(long_messages_arrive_whole),
           TEST(overlapping_elements_are_read_before_they_are_written),
           TEST(overlapping_ranges_stay_inside_the_target), TEST(atomics_on_words_in_pieces),
           TEST(an_aligned_atomic_wraps_at_2_to_the_64), TEST(a_region_that_lost_a_page_refuses_the_request))
