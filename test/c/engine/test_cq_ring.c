/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion queues with a ring: consumers that give places back as they should, and consumers that write
 * other values into the ring. Completions come from posting receives to a queue pair in error. */
#include "core/engine/engine_state.h"
#include "verbs.h"

enum { GUARD = 256, MOST = 8 };

/* Memory for a ring of at most MOST completions, between guard bytes. */
struct ring {
    struct rvt_memory memory;
    unsigned char *bytes; /* GUARD bytes, the ring, GUARD bytes */
    size_t size;          /* of the ring */
    _Atomic(uint32_t) *words;
    uint32_t cqe, taken; /* taken: completions that the consumer has taken */
    enum rvt_reason reason;
    int releases;
};

static enum rvt_reason resolve_ring(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment;
    *data = ((struct ring *)memory)->bytes + GUARD;
    return ((struct ring *)memory)->reason;
}

static void release_ring(struct rvt_memory *memory) {
    ((struct ring *)memory)->releases++;
}

static const struct rvt_memory_ops ring_ops = {resolve_ring, release_ring, NULL};

static void prepare_ring(struct ring *ring, uint32_t cqe) {
    *ring = (struct ring){.cqe = cqe, .size = (size_t)rvt_cq_ring_bytes(cqe)};
    rvt_memory_init(&ring->memory, &ring_ops, ring->size);
    ring->bytes = malloc(ring->size + 2 * GUARD);
    if (!check_true(ring->bytes != NULL, "memory", __FILE__, __LINE__))
        abort();
    memset(ring->bytes, 0xa5, ring->size + 2 * GUARD);
    ring->words = (_Atomic(uint32_t) *)(void *)(ring->bytes + GUARD);
}

/* Frees the memory after the queue has released it, and checks the bytes around it. */
static void free_ring(struct ring *ring) {
    CHECK_EQ(ring->releases, 1);
    for (size_t i = 0; i < GUARD; i++) {
        CHECK_EQ(ring->bytes[i], 0xa5);
        CHECK_EQ(ring->bytes[GUARD + ring->size + i], 0xa5);
    }
    free(ring->bytes);
}

static struct rvt_cq_handle make_ring_cq_in(struct verbs *v, struct rvt_ucontext *context, uint32_t cqe,
                                            struct ring *ring) {
    struct rvt_cq_handle cq = {0};
    prepare_ring(ring, cqe);
    const struct rvt_cq_init init = {.cqe = cqe, .user = v, .ring = &ring->memory};
    CHECK_EQ(rvt_create_cq(v->device, context, &init, &cq), 0);
    rvt_memory_put(&ring->memory); /* the queue has a reference of its own */
    CHECK_EQ(ring->releases, 0);
    return cq;
}

static struct rvt_cq_handle make_ring_cq(struct verbs *v, uint32_t cqe, struct ring *ring) {
    return make_ring_cq_in(v, NULL, cqe, ring);
}

static uint32_t load(struct ring *ring, enum rvt_ring_word word) {
    return atomic_load_explicit(&ring->words[word], memory_order_acquire);
}

static void store_tail(struct ring *ring, uint32_t tail) {
    atomic_store_explicit(&ring->words[RVT_RING_TAIL], tail, memory_order_release);
}

/* Takes the next completion as a correct consumer does, and gives its place back. */
static bool take(struct ring *ring, struct rvt_wc *wc) {
    if (load(ring, RVT_RING_HEAD) == ring->taken)
        return false;
    const struct rvt_wc *entries = (const struct rvt_wc *)(const void *)&ring->words[RVT_RING_ENTRIES];
    *wc = entries[ring->taken % ring->cqe];
    store_tail(ring, ++ring->taken);
    return true;
}

#define TAKEN(ring, id)                                                                                      \
    do {                                                                                                     \
        struct rvt_wc wc_ = {0};                                                                             \
        CHECK(take((ring), &wc_));                                                                           \
        CHECK_EQ(wc_.wr_id, (id));                                                                           \
        CHECK_EQ(wc_.status, RVT_WC_STATUS_WR_FLUSH_ERR);                                                    \
    } while (0)

/* A queue pair in error whose receives complete in `cq`. */
static struct vqp make_source(struct verbs *v, struct rvt_cq_handle cq) {
    struct vqp qp = make_qp_with(v, v->pd, (struct rvt_qp_init){.send_cq = cq, .recv_cq = cq});
    bring_to(&qp, usual_attr(0), RVT_QPS_ERR);
    return qp;
}

static void complete(struct vqp *qp, uint64_t wr_id) {
    CHECK_EQ(post_receive(qp, wr_id, NULL, 0), 0);
}

/* --- correct consumers --- */

static void creating_tests_the_memory_and_prepares_the_words(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct ring ring;
    struct rvt_cq_handle cq;
    prepare_ring(&ring, 4);
    struct rvt_cq_init init = {.cqe = 5, .ring = &ring.memory};
    FAILS(rvt_create_cq(v.device, NULL, &init, &cq), RVT_EINVAL, RVT_CAUSE_ARGUMENT); /* too short */
    init.cqe = 4;
    ring.reason = RVT_OTHER_ENVIRONMENT;
    FAILS(rvt_create_cq(v.device, NULL, &init, &cq), RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    ring.reason = RVT_REASON_NONE;
    ring.bytes += 4;
    FAILS(rvt_create_cq(v.device, NULL, &init, &cq), RVT_EINVAL, RVT_CAUSE_ARGUMENT); /* not aligned */
    ring.bytes -= 4;
    init.cqe = 0;
    FAILS_WITH(rvt_create_cq(v.device, NULL, &init, &cq), RVT_EINVAL, RVT_CAUSE_CQE, 0, 64, 0);
    init.cqe = 4;
    CHECK_EQ(load(&ring, RVT_RING_HEAD), 0xa5a5a5a5); /* a refused queue has written nothing */
    make_cq(&v, 1);                                   /* allocates the pool of the objects */
    const uint64_t held = rvt_held_bytes(v.device);
    CHECK_EQ(rvt_create_cq(v.device, NULL, &init, &cq), 0);
    CHECK_EQ(rvt_held_bytes(v.device), held); /* the device does not count the memory of a ring */
    CHECK_EQ(load(&ring, RVT_RING_HEAD), 0);
    CHECK_EQ(load(&ring, RVT_RING_TAIL), 0);
    CHECK_EQ(load(&ring, RVT_RING_ENDED), 0);
    rvt_memory_put(&ring.memory);
    CHECK_EQ(ring.releases, 0);
    CHECK_EQ(rvt_destroy_cq(cq), 0);
    CHECK_EQ(load(&ring, RVT_RING_ENDED), 1);
    free_ring(&ring);
    verbs_close(&v);
}

static void a_queue_that_cannot_be_created_keeps_no_reference(void) {
    struct verbs v;
    struct rvt_limits limits = usual_limits();
    limits.of[RVT_LIMIT_MAX_CQ] = 1;
    REQUIRE(verbs_open_with(&v, limits, AT_ONCE));
    struct rvt_cq_handle first = make_cq(&v, 4), cq;
    struct ring ring;
    prepare_ring(&ring, 4);
    FAILS_WITH(rvt_create_cq(v.device, NULL, &(struct rvt_cq_init){.cqe = 4, .ring = &ring.memory}, &cq),
               RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_CQ, 1, 0);
    CHECK_EQ(ring.releases, 0);
    rvt_memory_put(&ring.memory);
    free_ring(&ring);
    CHECK_EQ(rvt_destroy_cq(first), 0);
    verbs_close(&v);
}

static void the_consumer_takes_completions_in_order_and_gives_places_back(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct ring ring;
    struct rvt_cq_handle cq = make_ring_cq(&v, 5, &ring);
    struct vqp qp = make_source(&v, cq);
    struct rvt_wc wc;
    uint64_t entered = 0, left = 0;
    CHECK(!take(&ring, &wc));
    for (uint32_t round = 0; round < 60; round++) {
        /* Without a query in between: the engine itself finds that places were given back. */
        while (entered - left < 5)
            complete(&qp, entered++);
        if (round % 3 == 0)
            CHECK_EQ(query_cq(cq).held, 5);
        for (uint32_t i = 0; i <= round % 5; i++)
            TAKEN(&ring, left++);
        if (round % 2)
            CHECK_EQ(query_cq(cq).held, entered - left);
    }
    while (left < entered)
        TAKEN(&ring, left++);
    CHECK(!take(&ring, &wc));
    CHECK_EQ(query_cq(cq).held, 0);
    CHECK_EQ(query_cq(cq).broken, false);
    verbs_close(&v);
    free_ring(&ring);
}

static void the_counts_wrap(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct ring ring;
    struct rvt_cq_handle cq = make_ring_cq(&v, 3, &ring);
    struct vqp qp = make_source(&v, cq);
    /* As if 2^32 - 4 completions had passed: a multiple of 3, so the next one is in the first place. */
    cq.cq->head = ring.taken = UINT32_MAX - 3;
    atomic_store(&ring.words[RVT_RING_HEAD], ring.taken);
    store_tail(&ring, ring.taken);
    CHECK_EQ(query_cq(cq).held, 0);
    const struct rvt_wc *entries = (const struct rvt_wc *)(const void *)&ring.words[RVT_RING_ENTRIES];
    for (uint32_t i = 0; i < 12; i++) {
        for (uint32_t k = 0; k < 3; k++)
            complete(&qp, i * 3 + k);
        CHECK_EQ(load(&ring, RVT_RING_HEAD), (uint32_t)(UINT32_MAX - 3 + i * 3 + 3));
        for (uint32_t k = 0; k < 3; k++)
            CHECK_EQ(entries[k].wr_id, i * 3 + k);
        ring.taken += 3;
        store_tail(&ring, ring.taken);
    }
    CHECK_EQ(query_cq(cq).held, 0);
    CHECK_EQ(query_cq(cq).broken, false);
    verbs_close(&v);
    free_ring(&ring);
}

static void a_full_ring_breaks_like_any_queue(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct ring ring;
    struct rvt_cq_handle cq = make_ring_cq(&v, 2, &ring);
    struct vqp qp = make_source(&v, cq);
    complete(&qp, 1);
    complete(&qp, 2);
    TAKEN(&ring, 1);
    complete(&qp, 3); /* in the place that was given back */
    NO_EVENT(&v);
    complete(&qp, 4);
    EVENT(&v, RVT_EVENT_CQ_ERR, cq_serial(cq));
    NO_EVENT(&v);
    CHECK_EQ(query_cq(cq).broken, true);
    CHECK_EQ(load(&ring, RVT_RING_HEAD), 3);
    TAKEN(&ring, 2);
    complete(&qp, 5); /* lost, although there is room */
    EVENT(&v, RVT_EVENT_CQ_ERR, cq_serial(cq));
    TAKEN(&ring, 3);
    CHECK_EQ(load(&ring, RVT_RING_HEAD), ring.taken);
    CHECK_EQ(query_cq(cq).held, 0);
    struct rvt_completion_counts counts;
    rvt_count_completions(v.device, &counts);
    CHECK_EQ(counts.lost, 2);
    verbs_close(&v);
    free_ring(&ring);
}

static void arming_counts_only_what_was_not_taken(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct ring ring;
    struct rvt_cq_handle cq = make_ring_cq(&v, 4, &ring);
    struct vqp qp = make_source(&v, cq);
    const uint32_t flags = RVT_NOTIFY_NEXT | RVT_NOTIFY_REPORT_MISSED;
    complete(&qp, 1);
    complete(&qp, 2);
    CHECK_EQ(rvt_req_notify_cq(cq, RVT_NOTIFY_REPORT_MISSED), 1);
    TAKEN(&ring, 1);
    CHECK_EQ(rvt_req_notify_cq(cq, RVT_NOTIFY_REPORT_MISSED), 1);
    TAKEN(&ring, 2);
    CHECK_EQ(rvt_req_notify_cq(cq, flags), 0);
    NO_EVENT(&v);
    complete(&qp, 3);
    EVENT(&v, RVT_EVENT_COMPLETION, cq_serial(cq));
    complete(&qp, 4);
    NO_EVENT(&v);
    verbs_close(&v);
    free_ring(&ring);
}

static void polling_copies_out_of_the_ring_and_moves_its_tail(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct ring ring;
    struct rvt_cq_handle cq = make_ring_cq(&v, 3, &ring);
    struct vqp qp = make_source(&v, cq);
    struct rvt_wc wcs[4];
    uint64_t next = 0;
    for (uint64_t i = 0; i < 30; i += 3) {
        for (uint64_t k = 0; k < 3; k++)
            complete(&qp, i + k);
        if (i % 2)
            TAKEN(&ring, next++);
        uint32_t most = (uint32_t)(i % 4);
        int count = rvt_poll_cq(cq, most, wcs);
        for (int k = 0; k < count; k++)
            CHECK_EQ(wcs[k].wr_id, next++);
        ring.taken += (uint32_t)count;
        CHECK_EQ(load(&ring, RVT_RING_TAIL), ring.taken);
        while (next < i + 3)
            TAKEN(&ring, next++);
    }
    CHECK_EQ(rvt_poll_cq(cq, 4, wcs), 0);
    CHECK_EQ(query_cq(cq).broken, false);
    verbs_close(&v);
    free_ring(&ring);
}

static void a_ring_cannot_be_resized(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct ring ring;
    struct rvt_cq_handle cq = make_ring_cq(&v, 4, &ring);
    FAILS(rvt_drop_completions(cq, 1), RVT_EINVAL, RVT_CAUSE_CQ_RING);
    FAILS(rvt_resize_cq(cq, 8), RVT_EINVAL, RVT_CAUSE_CQ_RING);
    FAILS(rvt_resize_cq(cq, 0), RVT_EINVAL, RVT_CAUSE_CQ_RING);
    CHECK_EQ(query_cq(cq).cqe, 4);
    CHECK_EQ(rvt_destroy_cq(cq), 0);
    FAILS(rvt_resize_cq(cq, 8), RVT_EBADF, RVT_CAUSE_CQ_GONE);
    free_ring(&ring);
    verbs_close(&v);
}

static uint64_t reported_held(struct rvt_cq_handle cq) {
    uint64_t row[RVT_CQ_FIELDS];
    rvt_cq_objects.fill_row(cq.cq, row);
    return row[RVT_CQ_HELD];
}

static void reports_count_what_was_not_taken(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct ring ring;
    struct rvt_cq_handle cq = make_ring_cq(&v, 4, &ring);
    struct vqp qp = make_source(&v, cq);
    for (uint64_t i = 0; i < 20; i++) {
        complete(&qp, i * 2);
        complete(&qp, i * 2 + 1);
        CHECK_EQ(reported_held(cq), 2);
        TAKEN(&ring, i * 2);
        CHECK_EQ(reported_held(cq), 1);
        TAKEN(&ring, i * 2 + 1);
        CHECK_EQ(reported_held(cq), 0);
    }
    store_tail(&ring, ring.taken + 1000);
    CHECK_EQ(reported_held(cq), 0);
    verbs_close(&v);
    free_ring(&ring);
}

/* --- how the queue ends --- */

static void the_memory_is_released_when_the_queue_ends_however_it_ends(void) {
    for (int way = 0; way < 3; way++) {
        struct verbs v;
        struct ring ring;
        REQUIRE(verbs_open(&v, AT_ONCE));
        struct rvt_ucontext *context, *keeper;
        struct rvt_reader *reader = rvt_reader_register();
        CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &keeper), 0);
        CHECK_EQ(rvt_alloc_ucontext(v.device, reader, &context), 0);
        struct rvt_cq_handle cq = make_ring_cq_in(&v, context, 4, &ring);
        struct rvt_pd_handle pd;
        CHECK_EQ(rvt_alloc_pd(v.device, context, false, &pd), 0);
        struct vqp qp = make_qp_with(&v, pd, (struct rvt_qp_init){.send_cq = cq, .recv_cq = cq});
        bring_to(&qp, usual_attr(0), RVT_QPS_ERR);
        complete(&qp, 1);
        FAILS_WITH(rvt_destroy_cq(cq), RVT_EBUSY, RVT_CAUSE_CQ_IN_USE, 1, 0, 0);
        CHECK_EQ(load(&ring, RVT_RING_ENDED), 0);
        if (way == 0) {
            CHECK_EQ(rvt_destroy_qp(qp.handle), 0);
            CHECK_EQ(ring.releases, 0);
            CHECK_EQ(rvt_destroy_cq(cq), 0);
        } else if (way == 1) {
            CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
        } else {
            CHECK_EQ(rvt_mr_exit(v.device, true, NULL), 0);
        }
        CHECK_EQ(load(&ring, RVT_RING_ENDED), 1);
        free_ring(&ring);
        if (way == 0)
            CHECK_EQ(rvt_dealloc_pd(pd, true), 0);
        if (way != 1)
            CHECK_EQ(rvt_dealloc_ucontext(context, true), 0);
        CHECK_EQ(rvt_dealloc_ucontext(keeper, true), 0);
        rvt_free_ucontext(context);
        rvt_free_ucontext(keeper);
        rvt_reader_unregister(reader);
        verbs_close(&v);
    }
}

static void the_next_queue_in_the_place_of_the_object_has_no_ring(void) {
    struct verbs v;
    struct ring ring;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_cq_handle first = make_ring_cq(&v, 4, &ring);
    CHECK_EQ(rvt_destroy_cq(first), 0);
    struct rvt_cq_handle cq = make_cq(&v, 4);
    CHECK_PTR_EQ(first.cq, cq.cq);
    struct vqp qp = make_source(&v, cq);
    for (uint64_t i = 0; i < 4; i++)
        complete(&qp, i);
    CHECK_EQ(load(&ring, RVT_RING_HEAD), 0);
    CHECK_EQ(rvt_resize_cq(cq, 9), 0);
    free_ring(&ring);
    verbs_close(&v);
}

/* --- consumers that write wrong values --- */

/* Writes many values to TAIL while completions arrive in this queue and in another one. Nothing outside the ring
 * may change, the counts must stay within their limits, and the other queue must work. */
static void any_tail_spoils_only_its_own_queue(void) {
    static const uint32_t values[] = {1,
                                      2,
                                      3,
                                      4,
                                      5,
                                      100,
                                      0x7fffffff,
                                      0x80000000,
                                      0x80000001,
                                      0,
                                      UINT32_MAX,
                                      UINT32_MAX - 1,
                                      UINT32_MAX - 4,
                                      17,
                                      64,
                                      1000};
    enum { VALUES = sizeof(values) / sizeof(values[0]) };
    for (uint32_t relative = 0; relative < 2; relative++) {
        struct verbs v;
        REQUIRE(verbs_open(&v, AT_ONCE));
        struct ring ring;
        struct rvt_cq_handle cq = make_ring_cq(&v, 4, &ring), other = make_cq(&v, 4);
        struct vqp qp = make_source(&v, cq), witness = make_source(&v, other);
        struct rvt_wc wcs[8];
        uint32_t random = 12345;
        for (uint32_t i = 0; i < 4000; i++) {
            random = random * 1664525 + 1013904223;
            uint32_t value = values[(random >> 8) % VALUES];
            store_tail(&ring, relative ? load(&ring, RVT_RING_HEAD) + value : value);
            switch ((random >> 16) % 6) {
            case 0: {
                struct rvt_cq_attr attr = query_cq(cq);
                CHECK(attr.held <= 4);
                CHECK_EQ(attr.cqe, 4);
                break;
            }
            case 1:
                CHECK((uint32_t)rvt_poll_cq(cq, 8, wcs) <= 4);
                break;
            case 2: {
                int missed = rvt_req_notify_cq(cq, RVT_NOTIFY_REPORT_MISSED);
                CHECK(missed == 0 || missed == 1);
                break;
            }
            default:
                complete(&qp, i);
            }
            /* The core never takes a count from HEAD or ENDED either. */
            if (i % 3 == 0) {
                atomic_store(&ring.words[RVT_RING_HEAD], random);
                atomic_store(&ring.words[RVT_RING_ENDED], random);
            }
            complete(&witness, i);
            REQUIRE(rvt_poll_cq(other, 1, wcs) == 1);
            CHECK_EQ(wcs[0].wr_id, i);
        }
        CHECK_EQ(query_cq(other).broken, false);
        verbs_close(&v);
        free_ring(&ring);
    }
}

static void a_tail_that_is_too_far_ahead_or_behind_loses_completions(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct ring ring;
    struct rvt_cq_handle cq = make_ring_cq(&v, 4, &ring);
    struct vqp qp = make_source(&v, cq);
    struct rvt_wc wc;
    for (uint64_t i = 0; i < 3; i++)
        complete(&qp, i);
    store_tail(&ring, 1000);
    CHECK_EQ(query_cq(cq).held, 0); /* the queue removes what it held, not 1000 */
    store_tail(&ring, 3);
    complete(&qp, 3);
    CHECK_EQ(query_cq(cq).held, 1);
    CHECK_EQ(rvt_poll_cq(cq, 1, &wc), 1);
    CHECK_EQ(wc.wr_id, 3);
    CHECK_EQ(load(&ring, RVT_RING_TAIL), 4);
    complete(&qp, 4);
    store_tail(&ring, 2);
    CHECK_EQ(query_cq(cq).held, 0);
    CHECK_EQ(load(&ring, RVT_RING_HEAD), 5);
    /* The engine's own numbers are intact: the queue works again once TAIL is right. */
    ring.taken = 5;
    store_tail(&ring, 5);
    for (uint64_t i = 5; i < 9; i++)
        complete(&qp, i);
    CHECK_EQ(query_cq(cq).held, 4);
    for (uint64_t i = 5; i < 9; i++)
        TAKEN(&ring, i);
    verbs_close(&v);
    free_ring(&ring);
}

CHECK_MAIN(TEST(creating_tests_the_memory_and_prepares_the_words),
           TEST(a_queue_that_cannot_be_created_keeps_no_reference),
           TEST(the_consumer_takes_completions_in_order_and_gives_places_back), TEST(the_counts_wrap),
           TEST(a_full_ring_breaks_like_any_queue), TEST(arming_counts_only_what_was_not_taken),
           TEST(polling_copies_out_of_the_ring_and_moves_its_tail), TEST(a_ring_cannot_be_resized),
           TEST(reports_count_what_was_not_taken),
           TEST(the_memory_is_released_when_the_queue_ends_however_it_ends),
           TEST(the_next_queue_in_the_place_of_the_object_has_no_ring),
           TEST(any_tail_spoils_only_its_own_queue),
           TEST(a_tail_that_is_too_far_ahead_or_behind_loses_completions))
