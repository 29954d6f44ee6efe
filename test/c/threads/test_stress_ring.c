/* SPDX-License-Identifier: BSD-3-Clause */
/* A completion queue with a ring between threads: two threads post, a third takes the completions by HEAD and
 * TAIL alone, and a fourth writes wrong values to the TAIL of another ring to which the same threads post. Each
 * completion of the first ring must arrive once, whole and in the order of its queue pair. */
#include <pthread.h>
#include <sched.h>

#include "../engine/verbs.h"

enum { POSTERS = 2, CQE = 24, POSTS = 60000 };

struct ring {
    struct rvt_memory memory;
    unsigned char *bytes;
    _Atomic(uint32_t) *words;
    struct rvt_cq_handle cq;
};

struct poster {
    pthread_t thread;
    struct vqp correct, corrupted;
};

static struct verbs v;
static struct ring correct, corrupted;
static struct poster posters[POSTERS];
static atomic_int posting;

static enum rvt_reason resolve_ring(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment;
    *data = ((struct ring *)memory)->bytes;
    return RVT_REASON_NONE;
}

static void release_ring(struct rvt_memory *memory) {
    free(((struct ring *)memory)->bytes);
}

static const struct rvt_memory_ops ring_ops = {resolve_ring, release_ring, NULL};

static bool make_ring_cq(struct ring *ring) {
    rvt_memory_init(&ring->memory, &ring_ops, rvt_cq_ring_bytes(CQE));
    ring->bytes = calloc(1, (size_t)rvt_cq_ring_bytes(CQE));
    ring->words = (_Atomic(uint32_t) *)(void *)ring->bytes;
    const struct rvt_cq_init init = {.cqe = CQE, .user = &v, .ring = &ring->memory};
    bool made = ring->bytes && rvt_create_cq(v.device, NULL, &init, &ring->cq) == 0;
    rvt_memory_put(&ring->memory);
    return made;
}

static struct vqp make_source(struct rvt_cq_handle cq) {
    struct vqp qp = make_qp_with(&v, v.pd, (struct rvt_qp_init){.send_cq = cq, .recv_cq = cq});
    bring_to(&qp, usual_attr(0), RVT_QPS_ERR);
    return qp;
}

static void *post_all(void *argument) {
    struct poster *self = argument;
    for (uint32_t i = 0; i < POSTS; i++) {
        /* There is room even if the other poster asks at the same time. Nothing but TAIL orders the consumer's reads
         * before the engine's next writes. */
        while (query_cq(correct.cq).held > CQE - POSTERS)
            sched_yield();
        CHECK_EQ(post_receive(&self->correct, i, NULL, 0), 0);
        CHECK_EQ(post_receive(&self->corrupted, i, NULL, 0), 0);
    }
    atomic_fetch_sub(&posting, 1);
    return NULL;
}

static void *write_wrong_tails(void *argument) {
    (void)argument;
    uint64_t random = 1;
    while (atomic_load(&posting)) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint32_t head = atomic_load(&corrupted.words[RVT_RING_HEAD]);
        atomic_store(&corrupted.words[RVT_RING_TAIL],
                     random >> 63 ? (uint32_t)(random >> 20) : head - (random >> 60));
        struct rvt_cq_attr attr = query_cq(corrupted.cq);
        CHECK(attr.held <= CQE);
    }
    return NULL;
}

/* Takes every completion of the first ring without a call, except that it arms the queue now and then. */
static void take_all(void) {
    const struct rvt_wc *entries = (const struct rvt_wc *)(const void *)&correct.words[RVT_RING_ENTRIES];
    uint32_t taken = 0, at = 0, next[POSTERS] = {0};
    while (taken < POSTERS * POSTS) {
        if (atomic_load_explicit(&correct.words[RVT_RING_HEAD], memory_order_acquire) == taken) {
            if (taken % 64 == 0)
                CHECK(rvt_req_notify_cq(correct.cq, RVT_NOTIFY_NEXT | RVT_NOTIFY_REPORT_MISSED) >= 0);
            sched_yield();
            continue;
        }
        const struct rvt_wc wc = entries[at];
        unsigned who = wc.qp == posters[1].correct.serial;
        CHECK_EQ(wc.qp, posters[who].correct.serial);
        CHECK_EQ(wc.wr_id, next[who]);
        CHECK_EQ(wc.status, RVT_WC_STATUS_WR_FLUSH_ERR);
        CHECK_EQ(wc.cause, RVT_WHY_FLUSHED);
        next[who]++;
        at = at + 1 < CQE ? at + 1 : 0;
        atomic_store_explicit(&correct.words[RVT_RING_TAIL], ++taken, memory_order_release);
    }
}

static void every_completion_arrives_once_and_whole(void) {
    struct rvt_limits limits = usual_limits();
    REQUIRE(verbs_open_with(&v, limits, AT_ONCE));
    REQUIRE(make_ring_cq(&correct) && make_ring_cq(&corrupted));
    atomic_store(&posting, POSTERS);
    for (int i = 0; i < POSTERS; i++) {
        posters[i].correct = make_source(correct.cq);
        posters[i].corrupted = make_source(corrupted.cq);
    }
    pthread_t writer;
    REQUIRE(pthread_create(&writer, NULL, write_wrong_tails, NULL) == 0);
    for (int i = 0; i < POSTERS; i++)
        REQUIRE(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]) == 0);
    take_all();
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    pthread_join(writer, NULL);
    CHECK_EQ(query_cq(correct.cq).held, 0);
    CHECK_EQ(query_cq(correct.cq).broken, false);
    verbs_close(&v);
}

CHECK_MAIN(TEST(every_completion_arrives_once_and_whole))
