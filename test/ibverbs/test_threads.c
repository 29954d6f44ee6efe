/* SPDX-License-Identifier: BSD-3-Clause */
/* Several threads use one device at once. Under ThreadSanitizer these programs also prove that the calls
 * which the man pages declare to be thread-safe are. */
#include "threads.h"

enum { POSTERS = 4, ROUNDS = 1000 };

/* --- several threads post, one polls --- */

struct poster {
    struct end end; /* is its own peer; completes into the common queue */
    struct memory memory;
    struct task task;
    atomic_uint in_flight;
};

static void post_writes(void *argument) {
    struct poster *p = argument;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        while (atomic_load(&p->in_flight) == 8)
            sched_yield();
        atomic_fetch_add(&p->in_flight, 1);
        CHECK_EQ(post(&p->end, write_of(i, part(&p->memory, 0, 8), &p->memory, 64)), 0);
    }
}

static void one_thread_polls_what_several_post(void) {
    struct world w;
    struct ibv_cq *cq;
    static struct poster posters[POSTERS];
    uint64_t next[POSTERS] = {0}, seen = 0;
    REQUIRE(world_open(&w));
    REQUIRE(make_cq(&w, 64, NULL, &cq));
    for (int i = 0; i < POSTERS; i++) {
        struct poster *p = &posters[i];
        p->end = (struct end){.scq = cq, .rcq = cq};
        atomic_store(&p->in_flight, 0);
        REQUIRE(make_memory(&w, w.pd, 128, 1, ALL_RIGHTS, &p->memory));
        REQUIRE(make_qp(&w, w.pd, (struct qp_options){0}, &p->end));
        REQUIRE(bring_up(&p->end, p->end.qp->qp_num));
    }
    for (int i = 0; i < POSTERS; i++)
        REQUIRE(start(&posters[i].task, post_writes, &posters[i]));
    uint64_t deadline = now_ms() + 3 * PATIENCE_MS;
    while (seen < POSTERS * ROUNDS && now_ms() < deadline) {
        struct ibv_wc wcs[16];
        int count = ibv_poll_cq(cq, 16, wcs);
        if (count < 0)
            break;
        for (int c = 0; c < count; c++, seen++)
            for (int i = 0; i < POSTERS; i++)
                if (wcs[c].qp_num == posters[i].end.qp->qp_num) {
                    CHECK_EQ(wcs[c].wr_id, next[i]++); /* in the order of its thread */
                    CHECK_EQ(wcs[c].status, IBV_WC_SUCCESS);
                    atomic_fetch_sub(&posters[i].in_flight, 1);
                }
        if (!count)
            sched_yield();
    }
    CHECK_EQ(seen, POSTERS * ROUNDS);
    for (int i = 0; i < POSTERS; i++)
        finish(&posters[i].task);
    for (int i = 0; i < POSTERS; i++)
        CHECK_EQ(next[i], ROUNDS);
    IS_EMPTY(cq);
    NO_EVENT(w.context);
    world_close(&w);
}

/* --- several threads build lists for one queue pair --- */

enum { LISTS = 300 };

struct builder {
    struct ibv_qp_ex *ex;
    const struct memory *memory;
    uint64_t first_id;
    atomic_uint *in_flight;
    struct task task;
};

/* Posts pairs of writes. The two of a pair must not be separated. */
static void build_pairs(void *argument) {
    struct builder *b = argument;
    for (uint64_t i = 0; i < LISTS; i++) {
        while (atomic_load(b->in_flight) > 8)
            sched_yield();
        atomic_fetch_add(b->in_flight, 2);
        ibv_wr_start(b->ex);
        for (uint64_t half = 0; half < 2; half++) {
            b->ex->wr_id = b->first_id + 2 * i + half;
            b->ex->wr_flags = IBV_SEND_SIGNALED;
            ibv_wr_rdma_write(b->ex, b->memory->mr->rkey, address(b->memory, 64));
            ibv_wr_set_sge(b->ex, b->memory->mr->lkey, address(b->memory, 0), 8);
        }
        CHECK_EQ(ibv_wr_complete(b->ex), 0);
    }
}

static void lists_of_several_threads_are_not_mixed(void) {
    struct world w;
    struct memory m;
    struct end end = {0};
    static struct builder builders[2];
    atomic_uint in_flight = 0;
    uint64_t next[2] = {0};
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.pd, 128, 1, ALL_RIGHTS, &m));
    REQUIRE(make_cq(&w, 64, NULL, &end.scq));
    end.rcq = end.scq;
    REQUIRE(make_qp(&w, w.pd, (struct qp_options){.send_ops = IBV_QP_EX_WITH_RDMA_WRITE}, &end));
    REQUIRE(bring_up(&end, end.qp->qp_num));
    for (uint64_t i = 0; i < 2; i++) {
        builders[i] = (struct builder){
            .ex = ibv_qp_to_qp_ex(end.qp), .memory = &m, .first_id = i << 32, .in_flight = &in_flight};
        REQUIRE(start(&builders[i].task, build_pairs, &builders[i]));
    }
    for (int pair = 0; pair < 2 * LISTS; pair++) {
        struct ibv_wc first, second;
        REQUIRE(next_completion(end.scq, &first, __FILE__, __LINE__));
        REQUIRE(next_completion(end.scq, &second, __FILE__, __LINE__));
        atomic_fetch_sub(&in_flight, 2);
        CHECK_EQ(first.status, IBV_WC_SUCCESS);
        CHECK_EQ(second.wr_id, first.wr_id + 1);
        CHECK_EQ(first.wr_id & 0xffffffff, next[first.wr_id >> 32 & 1]);
        next[first.wr_id >> 32 & 1] += 2;
    }
    for (int i = 0; i < 2; i++)
        finish(&builders[i].task);
    IS_EMPTY(end.scq);
    world_close(&w);
}

/* --- several threads post inline data to one queue pair --- */

struct inline_poster {
    struct scene *s;
    int64_t slot; /* where its writes go */
    atomic_uint *in_flight;
    struct task task;
};

static void post_inline(void *argument) {
    struct inline_poster *p = argument;
    for (uint64_t value = 1; value <= ROUNDS; value++) {
        while (atomic_load(p->in_flight) > 8)
            sched_yield();
        atomic_fetch_add(p->in_flight, 1);
        uint64_t copied = value;
        struct ibv_sge sge = {.addr = (uintptr_t)&copied, .length = sizeof(copied)};
        struct request r = write_of((uint64_t)p->slot, sge, &p->s->remote, p->slot * 8);
        r.flags = IBV_SEND_INLINE;
        CHECK_EQ(post(&p->s->a, r), 0);
        copied = 0; /* it was copied */
    }
}

/* The last value of each thread must stand in its place, and no value of another thread. */
static void inline_data_of_several_threads_is_not_mixed(void) {
    struct scene s;
    static struct inline_poster posters[2];
    atomic_uint in_flight = 0;
    REQUIRE(scene_open_with(&s, (struct qp_options){.inline_data = 8}));
    for (int i = 0; i < 2; i++) {
        posters[i] = (struct inline_poster){.s = &s, .slot = i, .in_flight = &in_flight};
        REQUIRE(start(&posters[i].task, post_inline, &posters[i]));
    }
    uint64_t last[2] = {0};
    for (int taken = 0; taken < 2 * ROUNDS; taken++) {
        struct ibv_wc wc;
        REQUIRE(next_completion(s.a.scq, &wc, __FILE__, __LINE__));
        CHECK_EQ(wc.status, IBV_WC_SUCCESS);
        REQUIRE(wc.wr_id < 2);
        last[wc.wr_id]++;
        atomic_fetch_sub(&in_flight, 1);
    }
    for (int i = 0; i < 2; i++) {
        finish(&posters[i].task);
        uint64_t value;
        memcpy(&value, s.remote.bytes + i * 8, 8);
        CHECK_EQ(value, ROUNDS);
        CHECK_EQ(last[i], ROUNDS);
    }
    scene_close(&s);
}

/* --- several threads poll one queue --- */

struct poller {
    struct ibv_cq *cq;
    atomic_uint *taken; /* of each wr_id */
    atomic_uint *sum;
    struct task task;
};

static void poll_until_all_are_taken(void *argument) {
    struct poller *p = argument;
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (atomic_load(p->sum) < ROUNDS && now_ms() < deadline) {
        struct ibv_wc wcs[3];
        int count = ibv_poll_cq(p->cq, 3, wcs);
        for (int i = 0; i < count; i++) {
            if (wcs[i].wr_id < ROUNDS)
                atomic_fetch_add(&p->taken[wcs[i].wr_id], 1);
            atomic_fetch_add(p->sum, 1);
        }
        if (count <= 0)
            sched_yield();
    }
}

static void each_completion_is_taken_by_one_of_several_pollers(void) {
    struct scene s;
    static struct poller pollers[3];
    static atomic_uint taken[ROUNDS];
    atomic_uint sum = 0;
    REQUIRE(scene_open(&s));
    for (int i = 0; i < 3; i++) {
        pollers[i].cq = s.a.scq;
        pollers[i].taken = taken;
        pollers[i].sum = &sum;
        REQUIRE(start(&pollers[i].task, poll_until_all_are_taken, &pollers[i]));
    }
    for (uint64_t i = 0; i < ROUNDS; i++) {
        while (i - atomic_load(&sum) >= 8)
            sched_yield();
        CHECK_EQ(post(&s.a, write_of(i, part(&s.local, 0, 8), &s.remote, 0)), 0);
    }
    for (int i = 0; i < 3; i++)
        finish(&pollers[i].task);
    CHECK_EQ(atomic_load(&sum), ROUNDS);
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(atomic_load(&taken[i]), 1);
    IS_EMPTY(s.a.scq);
    scene_close(&s);
}

struct extended_poller {
    struct ibv_cq_ex *cq;
    atomic_uint *taken; /* of each wr_id */
    atomic_uint *sum;
    struct task task;
};

static void poll_one_by_one(void *argument) {
    struct extended_poller *p = argument;
    struct ibv_poll_cq_attr attr = {0};
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (atomic_load(p->sum) < ROUNDS && now_ms() < deadline) {
        if (ibv_start_poll(p->cq, &attr)) {
            sched_yield();
            continue;
        }
        do {
            CHECK_EQ(p->cq->status, IBV_WC_SUCCESS);
            CHECK_EQ(ibv_wc_read_opcode(p->cq), IBV_WC_RDMA_WRITE);
            if (p->cq->wr_id < ROUNDS)
                atomic_fetch_add(&p->taken[p->cq->wr_id], 1);
            atomic_fetch_add(p->sum, 1);
        } while (ibv_next_poll(p->cq) == 0);
        ibv_end_poll(p->cq);
    }
}

/* Between ibv_start_poll() and ibv_end_poll() the current completion belongs to one thread. */
static void extended_polls_of_several_threads_are_not_mixed(void) {
    struct world w;
    struct memory m;
    struct end end = {0};
    static struct extended_poller pollers[2];
    static atomic_uint taken[ROUNDS];
    atomic_uint sum = 0;
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.pd, 128, 1, ALL_RIGHTS, &m));
    struct ibv_cq_init_attr_ex init = {.cqe = 64};
    struct ibv_cq_ex *ex = ibv_create_cq_ex(w.context, &init);
    REQUIRE(ex);
    end.scq = end.rcq = ibv_cq_ex_to_cq(ex);
    REQUIRE(world_keep(&w, CQ, end.scq));
    REQUIRE(make_qp(&w, w.pd, (struct qp_options){0}, &end));
    REQUIRE(bring_up(&end, end.qp->qp_num));
    for (int i = 0; i < 2; i++) {
        pollers[i].cq = ex;
        pollers[i].taken = taken;
        pollers[i].sum = &sum;
        REQUIRE(start(&pollers[i].task, poll_one_by_one, &pollers[i]));
    }
    for (uint64_t i = 0; i < ROUNDS; i++) {
        while (i - atomic_load(&sum) >= 8)
            sched_yield();
        CHECK_EQ(post(&end, write_of(i, part(&m, 0, 8), &m, 64)), 0);
    }
    for (int i = 0; i < 2; i++)
        finish(&pollers[i].task);
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(atomic_load(&taken[i]), 1);
    world_close(&w);
}

/* --- a thread that waits for completion events --- */

struct event_loop {
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    uint64_t seen;
    struct task task;
};

/* The loop of the man page of ibv_get_cq_event(): wait, acknowledge, arm again, then poll until empty. */
static void serve_events(void *argument) {
    struct event_loop *loop = argument;
    while (loop->seen < ROUNDS) {
        struct ibv_cq *cq;
        void *user;
        struct ibv_wc wc;
        if (ibv_get_cq_event(loop->channel, &cq, &user))
            break;
        ibv_ack_cq_events(cq, 1);
        if (ibv_req_notify_cq(cq, 0))
            break;
        while (ibv_poll_cq(cq, 1, &wc) == 1)
            CHECK_EQ(wc.wr_id, loop->seen++);
    }
}

static void an_event_loop_misses_no_completion(void) {
    struct world w;
    struct memory m;
    struct end a = {0};
    REQUIRE(world_open(&w));
    struct ibv_comp_channel *channel;
    REQUIRE(make_channel(&w, &channel));
    REQUIRE(make_memory(&w, w.pd, 128, 1, ALL_RIGHTS, &m));
    REQUIRE(make_cq(&w, ROUNDS, channel, &a.scq));
    REQUIRE(make_cq(&w, 4, NULL, &a.rcq));
    REQUIRE(make_qp(&w, w.pd, (struct qp_options){0}, &a));
    REQUIRE(bring_up(&a, a.qp->qp_num));
    CHECK_EQ(ibv_req_notify_cq(a.scq, 0), 0);
    static struct event_loop loop;
    loop = (struct event_loop){.channel = channel, .cq = a.scq};
    REQUIRE(start(&loop.task, serve_events, &loop));
    for (uint64_t i = 0; i < ROUNDS; i++)
        CHECK_EQ(post(&a, write_of(i, part(&m, 0, 8), &m, 64)), 0);
    finish(&loop.task);
    CHECK_EQ(loop.seen, ROUNDS);
    world_close(&w);
}

/* --- objects end while other threads work --- */

struct coming_and_going {
    struct world *w;
    struct ibv_pd *pd;
    struct task task;
    atomic_bool *stop;
    atomic_uint rounds;
};

static void make_and_destroy(void *argument) {
    struct coming_and_going *c = argument;
    unsigned char bytes[64] = {0};
    while (!atomic_load(c->stop)) {
        struct ibv_mr *mr = ibv_reg_mr(c->pd, bytes, sizeof(bytes), ALL_RIGHTS);
        struct end end = {0};
        end.scq = end.rcq = ibv_create_cq(c->w->context, 8, NULL, NULL, 0);
        struct ibv_qp_init_attr init = {
            .send_cq = end.scq,
            .recv_cq = end.rcq,
            .cap = {.max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1},
            .qp_type = IBV_QPT_RC};
        if (!check_true(mr && end.scq, "a region and a queue are made", __FILE__, __LINE__))
            return;
        end.qp = ibv_create_qp(c->pd, &init);
        if (!check_true(end.qp != NULL, "a queue pair is made", __FILE__, __LINE__))
            return;
        end.options = filled_in((struct qp_options){0});
        end.type = IBV_QPT_RC;
        CHECK(bring_up(&end, end.qp->qp_num));
        struct ibv_sge sge = {.addr = (uintptr_t)bytes, .length = 8, .lkey = mr->lkey};
        CHECK_EQ(post(&end, (struct request){.opcode = IBV_WR_RDMA_WRITE,
                                             .id = 1,
                                             .sge = sge,
                                             .remote_addr = (uintptr_t)bytes + 32,
                                             .rkey = mr->rkey}),
                 0);
        if (atomic_load(&c->rounds) % 2)
            SENT(&end, 1, IBV_WC_SUCCESS);
        CHECK_EQ(ibv_destroy_qp(end.qp), 0);
        CHECK_EQ(ibv_dereg_mr(mr), 0);
        CHECK_EQ(ibv_destroy_cq(end.scq), 0);
        atomic_fetch_add(&c->rounds, 1);
    }
}

static void objects_come_and_go_while_others_work(void) {
    struct scene s;
    static struct coming_and_going threads[2];
    atomic_bool stop = false;
    REQUIRE(scene_open(&s));
    for (int i = 0; i < 2; i++) {
        threads[i].w = &s.w;
        threads[i].pd = s.w.pd;
        threads[i].stop = &stop;
        atomic_store(&threads[i].rounds, 0);
        REQUIRE(start(&threads[i].task, make_and_destroy, &threads[i]));
    }
    for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
        CHECK_EQ(post(&s.a, write_of(i, part(&s.local, 0, 8), &s.remote, 0)), 0);
        SENT(&s.a, i, IBV_WC_SUCCESS);
    }
    uint64_t deadline = now_ms() + PATIENCE_MS; /* on a busy machine they may not have begun */
    for (int i = 0; i < 2; i++)
        while (!atomic_load(&threads[i].rounds) && !atomic_load(&threads[i].task.over) && now_ms() < deadline)
            sleep_ms(1);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        finish(&threads[i].task);
        CHECK(atomic_load(&threads[i].rounds) > 0);
    }
    scene_close(&s);
}

struct poll_forever {
    struct ibv_cq *cq;
    struct task task;
    atomic_bool *stop;
    atomic_uint polls;
};

static void poll_until_told(void *argument) {
    struct poll_forever *p = argument;
    struct ibv_wc wc;
    while (!atomic_load(p->stop)) {
        int count = ibv_poll_cq(p->cq, 1, &wc);
        CHECK(count == 0 ||
              (count == 1 && (wc.status == IBV_WC_SUCCESS || wc.status == IBV_WC_WR_FLUSH_ERR)));
        atomic_fetch_add(&p->polls, 1);
    }
}

/* A thread polls a queue while the queue pairs that complete into it are destroyed. */
static void queue_pairs_end_while_their_queue_is_polled(void) {
    struct world w;
    struct memory m;
    struct ibv_cq *cq;
    atomic_bool stop = false;
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.pd, 128, 1, ALL_RIGHTS, &m));
    REQUIRE(make_cq(&w, 1024, NULL, &cq));
    static struct poll_forever poller;
    poller.cq = cq;
    poller.stop = &stop;
    atomic_store(&poller.polls, 0);
    REQUIRE(start(&poller.task, poll_until_told, &poller));
    for (int i = 0; i < 100; i++) {
        struct end end = {.scq = cq, .rcq = cq};
        REQUIRE(make_qp(&w, w.pd, (struct qp_options){0}, &end));
        REQUIRE(bring_up(&end, end.qp->qp_num));
        CHECK_EQ(receive(&end, 1, part(&m, 0, 8)), 0);
        for (uint64_t id = 0; id < 4; id++)
            CHECK_EQ(post(&end, write_of(id, part(&m, 0, 8), &m, 64)), 0);
        if (i % 2)
            CHECK_EQ(to_state(&end, IBV_QPS_ERR), 0);
        CHECK_EQ(world_destroy(&w, end.qp), 0);
    }
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (!atomic_load(&poller.polls) && now_ms() < deadline)
        sleep_ms(1);
    atomic_store(&stop, true);
    finish(&poller.task);
    CHECK(atomic_load(&poller.polls) > 0);
    world_close(&w);
}

/* --- threads that are cancelled --- */

/* AddressSanitizer of gcc 12 does not survive pthread_cancel(). */
#ifndef __SANITIZE_ADDRESS__

static void wait_for_ever(void *argument) {
    struct event_loop *loop = argument;
    struct ibv_cq *cq;
    void *user;
    while (ibv_get_cq_event(loop->channel, &cq, &user) == 0)
        ibv_ack_cq_events(cq, 1);
}

static void poll_and_arm_for_ever(void *argument) {
    struct event_loop *loop = argument;
    struct ibv_wc wc;
    for (;;) {
        (void)ibv_poll_cq(loop->cq, 1, &wc);
        (void)ibv_req_notify_cq(loop->cq, 0);
        pthread_testcancel();
    }
}

/* A thread may be cancelled in any call that waits or writes. No lock may stay locked then. */
static void a_cancelled_thread_leaves_no_lock(void) {
    struct scene s;
    struct ibv_comp_channel *channel;
    REQUIRE(scene_open_with_channel(&s, &channel));
    for (int round = 0; round < 40; round++) {
        struct event_loop loop = {.channel = channel, .cq = s.b.rcq};
        REQUIRE(start(&loop.task, round % 2 ? wait_for_ever : poll_and_arm_for_ever, &loop));
        for (uint64_t id = 0; id < 8; id++) { /* raises events for the thread */
            CHECK_EQ(receive(&s.b, id, part(&s.remote, 0, 8)), 0);
            CHECK_EQ(ibv_req_notify_cq(s.b.rcq, 0), 0);
            CHECK_EQ(post(&s.a, send_of(id, part(&s.local, 0, 8))), 0);
            SENT(&s.a, id, IBV_WC_SUCCESS);
        }
        CHECK_EQ(pthread_cancel(loop.task.thread), 0);
        CHECK_EQ(pthread_join(loop.task.thread, NULL), 0);
        for (struct ibv_wc wc; ibv_poll_cq(s.b.rcq, 1, &wc) == 1;) {
        }
        /* An event that the thread took and did not acknowledge would block the end of the queue. */
        while (is_readable(channel->fd, 0)) {
            struct ibv_cq *cq;
            void *user;
            CHECK_EQ(ibv_get_cq_event(channel, &cq, &user), 0);
            ibv_ack_cq_events(cq, 1);
        }
    }
    scene_close(&s);
}

#endif

/* --- deregistration against a peer --- */

struct writer {
    struct scene *s;
    uint64_t remote_addr;
    uint32_t rkey;
    struct task task;
    enum ibv_wc_status last;
    bool failed;
};

static void write_until_refused(void *argument) {
    struct writer *w = argument;
    uint64_t deadline = now_ms() + PATIENCE_MS;
    for (uint64_t id = 0; now_ms() < deadline; id++) {
        struct request r = {.opcode = IBV_WR_RDMA_WRITE,
                            .id = id,
                            .sge = part(&w->s->local, 0, SCENE_BYTES),
                            .remote_addr = w->remote_addr,
                            .rkey = w->rkey};
        struct ibv_wc wc;
        if (post(&w->s->a, r) || !next_completion(w->s->a.scq, &wc, __FILE__, __LINE__))
            return;
        w->last = wc.status;
        if (wc.status != IBV_WC_SUCCESS) {
            w->failed = true;
            return;
        }
    }
}

/* After ibv_dereg_mr() has returned, no peer changes the memory any more. */
static void dereg_ends_the_writes_of_another_thread(void) {
    for (int round = 0; round < 20; round++) {
        struct scene s;
        struct memory target;
        static struct writer writer;
        REQUIRE(scene_open(&s));
        REQUIRE(make_memory(&s.w, s.w.pd, SCENE_BYTES, 0, ALL_RIGHTS, &target));
        writer = (struct writer){
            .s = &s, .remote_addr = address(&target, 0), .rkey = target.mr->rkey, .last = IBV_WC_GENERAL_ERR};
        REQUIRE(start(&writer.task, write_until_refused, &writer));
        sleep_ms((unsigned)round % 4);
        CHECK_EQ(ibv_dereg_mr(target.mr), 0);
        memset(target.bytes, 7, SCENE_BYTES);
        finish(&writer.task);
        CHECK(all_bytes_are(target.bytes, SCENE_BYTES, 7));
        CHECK(writer.failed);
        CHECK_EQ(writer.last, IBV_WC_REM_ACCESS_ERR);
        world_forget(&s.w, target.mr);
        scene_close(&s);
    }
}

#ifdef __SANITIZE_ADDRESS__
#define CANCELLATION
#else
#define CANCELLATION TEST(a_cancelled_thread_leaves_no_lock),
#endif

CHECK_MAIN(CANCELLATION TEST(one_thread_polls_what_several_post),
           TEST(each_completion_is_taken_by_one_of_several_pollers),
           TEST(inline_data_of_several_threads_is_not_mixed), TEST(lists_of_several_threads_are_not_mixed),
           TEST(extended_polls_of_several_threads_are_not_mixed), TEST(an_event_loop_misses_no_completion),
           TEST(objects_come_and_go_while_others_work), TEST(queue_pairs_end_while_their_queue_is_polled),
           TEST(dereg_ends_the_writes_of_another_thread))
