/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads and the network: several queue pairs of several threads at once, objects that end with packets in flight, and
 * memory that is taken back while a peer writes to it. */
#include "peers.h"
#include "threads.h"

static void serve_until_told(int fd) {
    struct side s = {.fd = fd};
    if (side_open(&s, THERE, (struct qp_options){0}))
        hear_ready(fd);
    side_close(&s);
}

/* --- several threads, each with a queue pair --- */

enum { THREADS = 3, ROUNDS = 60, PART = SIDE_BYTES / THREADS / 64 * 64 };

struct user {
    struct side *side;
    struct end end;
    struct card peer;
    unsigned number;
    struct task task;
};

static void read_and_write(void *argument) {
    struct user *u = argument;
    const int64_t at = (int64_t)u->number * PART;
    struct memory *m = &u->side->memory;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        const unsigned char value = (unsigned char)(i * 7 + u->number);
        memset(m->bytes + at, value, PART);
        CHECK_EQ(post(&u->end, remote(write_of(2 * i, part(m, at, PART), m, 0), &u->peer, (uint64_t)at)), 0);
        SENT(&u->end, 2 * i, IBV_WC_SUCCESS);
        memset(m->bytes + at, 0, PART);
        CHECK_EQ(post(&u->end, remote(read_of(2 * i + 1, part(m, at, PART), m, 0), &u->peer, (uint64_t)at)),
                 0);
        SENT(&u->end, 2 * i + 1, IBV_WC_SUCCESS);
        CHECK(all_bytes_are(m->bytes + at, PART, value));
    }
}

static void use_with_threads(int fd) {
    static struct user users[THREADS];
    struct side s = {.fd = fd};
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    for (unsigned i = 0; i < THREADS; i++) {
        users[i] = (struct user){.side = &s, .number = i};
        REQUIRE(make_connected_end(&s, (struct qp_options){0}, &users[i].end, &users[i].peer));
    }
    REQUIRE(hear_ready(fd));
    for (unsigned i = 0; i < THREADS; i++)
        REQUIRE(start(&users[i].task, read_and_write, &users[i]));
    for (unsigned i = 0; i < THREADS; i++)
        finish(&users[i].task);
    tell_ready(fd);
    side_close(&s);
}

static void serve_threads(int fd) {
    struct side s = {.fd = fd};
    if (side_open(&s, THERE, (struct qp_options){0})) {
        struct end ends[THREADS];
        struct card peer;
        for (unsigned i = 0; i < THREADS; i++)
            REQUIRE(make_connected_end(&s, (struct qp_options){0}, &ends[i], &peer));
        tell_ready(fd);
        hear_ready(fd);
    }
    side_close(&s);
}

static void threads_share_the_network(void) {
    two_processes(use_with_threads, serve_threads);
}

/* --- ends with packets in flight --- */

enum { LIVES = 15, LONG = 1 << 20, POSTED = 8 };

static void end_in_flight(int fd) {
    struct side s = {.fd = fd, .bytes = LONG};
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    for (int i = 0; i < LIVES; i++) {
        struct end end;
        struct card peer;
        REQUIRE(make_connected_end(&s, (struct qp_options){0}, &end, &peer));
        REQUIRE(hear_ready(fd));
        for (uint64_t id = 0; id < POSTED; id++)
            CHECK_EQ(post(&end, remote(id % 2 ? read_of(id, part(&s.memory, 0, LONG), &s.memory, 0)
                                              : write_of(id, part(&s.memory, 0, LONG), &s.memory, 0),
                                       &peer, 0)),
                     0);
        if (i % 3 == 1)
            CHECK_EQ(to_state(&end, IBV_QPS_ERR), 0);
        if (i % 3 == 2)
            CHECK_EQ(to_state(&end, IBV_QPS_RESET), 0);
        if (i % 3 == 1) { /* all that is not complete is flushed, in order */
            struct ibv_wc wc;
            for (uint64_t id = 0; id < POSTED && next_completion(end.scq, &wc, __FILE__, __LINE__); id++) {
                CHECK_EQ(wc.wr_id, id);
                CHECK(wc.status == IBV_WC_SUCCESS || wc.status == IBV_WC_WR_FLUSH_ERR);
            }
        }
        CHECK_EQ(world_destroy(&s.w, end.qp), 0);
        CHECK_EQ(world_destroy(&s.w, end.scq), 0);
        CHECK_EQ(world_destroy(&s.w, end.rcq), 0);
        tell_ready(fd);
    }
    /* The connection of the sides has not suffered. */
    CHECK_EQ(post(&s.end, remote(read_of(1, part(&s.memory, 0, 100), &s.memory, 0), &s.peer, 0)), 0);
    SENT(&s.end, 1, IBV_WC_SUCCESS);
    tell_ready(fd);
    side_close(&s);
}

static void serve_lives(int fd) {
    struct side s = {.fd = fd, .bytes = LONG};
    if (side_open(&s, THERE, (struct qp_options){0})) {
        for (int i = 0; i < LIVES; i++) {
            struct end end;
            struct card peer;
            REQUIRE(make_connected_end(&s, (struct qp_options){0}, &end, &peer));
            tell_ready(fd);
            hear_ready(fd);
            CHECK_EQ(world_destroy(&s.w, end.qp), 0);
            CHECK_EQ(world_destroy(&s.w, end.scq), 0);
            CHECK_EQ(world_destroy(&s.w, end.rcq), 0);
        }
        hear_ready(fd);
    }
    side_close(&s);
}

static void queue_pairs_end_with_packets_in_flight(void) {
    two_processes(end_in_flight, serve_lives);
}

/* The device is closed with packets in flight, and everything else destroyed afterwards. */
static void close_in_flight(int fd) {
    struct side s = {.fd = fd, .bytes = LONG};
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    for (uint64_t id = 0; id < POSTED; id++)
        CHECK_EQ(post(&s.end, remote(write_of(id, part(&s.memory, 0, LONG), &s.memory, 0), &s.peer, 0)), 0);
    CHECK_EQ(world_destroy(&s.w, s.w.context), 0);
    struct ibv_wc wc;
    CHECK(ibv_poll_cq(s.end.scq, 1, &wc) <= 0 || wc.status == IBV_WC_SUCCESS ||
          wc.status == IBV_WC_WR_FLUSH_ERR);
    tell_ready(fd);
    side_close(&s);
}

static void serve_megabyte(int fd) {
    struct side s = {.fd = fd, .bytes = LONG};
    if (side_open(&s, THERE, (struct qp_options){0}))
        hear_ready(fd);
    side_close(&s);
}

static void a_device_is_closed_with_packets_in_flight(void) {
    for (int i = 0; i < 3; i++)
        two_processes(close_in_flight, serve_megabyte);
}

/* --- revocation --- */

/* When ibv_dereg_mr() has returned, the peer writes not one byte more. */
static void take_memory_back(int fd) {
    struct side s = {.fd = fd};
    if (side_open(&s, THERE, (struct qp_options){0})) {
        struct memory m;
        REQUIRE(make_memory(&s.w, s.w.pd, LONG, 0, ALL_RIGHTS, &m));
        struct card card = {.rkey = m.mr->rkey, .address = address(&m, 0)};
        tell(fd, &card, sizeof(card));
        hear_ready(fd); /* the first message is here; others follow it */
        CHECK_EQ(world_destroy(&s.w, m.mr), 0);
        memset(m.bytes, 0xd7, LONG);
        hear_ready(fd); /* the peer has its error */
        CHECK(all_bytes_are(m.bytes, LONG, 0xd7));
        CHECK_EQ(state_of(&s.end), IBV_QPS_ERR);
    }
    side_close(&s);
}

static void write_until_refused(int fd) {
    struct side s = {.fd = fd, .bytes = LONG};
    struct card card;
    struct ibv_wc wc;
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    REQUIRE(hear(fd, &card, sizeof(card)));
    uint64_t posted = 0, done = 0;
    do {
        for (; posted < done + POSTED; posted++)
            CHECK_EQ(post(&s.end, remote(write_of(posted, part(&s.memory, 0, LONG), &s.memory, 0), &card, 0)),
                     0);
        if (!next_completion(s.end.scq, &wc, __FILE__, __LINE__))
            break;
        if (!done++)
            tell_ready(fd);
    } while (wc.status == IBV_WC_SUCCESS && done < 100000);
    CHECK_EQ(wc.status, IBV_WC_REM_ACCESS_ERR);
    tell_ready(fd);
    side_close(&s);
}

static void memory_can_be_taken_back_from_a_peer_that_writes(void) {
    two_processes(write_until_refused, take_memory_back);
}

/* --- threads that wait and poll while others send --- */

struct poller {
    struct ibv_cq *cq;
    atomic_bool ends;
};

/* The queue stays empty: the thread only drives the network. */
static void poll_without_a_pause(void *argument) {
    struct poller *poller = argument;
    while (!atomic_load(&poller->ends))
        IS_EMPTY(poller->cq);
}

static void send_beside_a_poller(int fd) {
    struct side s = {.fd = fd};
    struct task task;
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    struct poller poller = {.cq = s.end.rcq};
    REQUIRE(start(&task, poll_without_a_pause, &poller));
    for (uint64_t i = 0; i < 300; i++) {
        CHECK_EQ(post(&s.end, remote(write_of(i, part(&s.memory, 0, 5000), &s.memory, 0), &s.peer, 0)), 0);
        SENT(&s.end, i, IBV_WC_SUCCESS);
    }
    atomic_store(&poller.ends, true);
    finish(&task);
    tell_ready(fd);
    side_close(&s);
}

static void threads_that_poll_drive_the_network_for_others(void) {
    two_processes(send_beside_a_poller, serve_until_told);
}

CHECK_MAIN(TEST(threads_share_the_network), TEST(queue_pairs_end_with_packets_in_flight),
           TEST(a_device_is_closed_with_packets_in_flight),
           TEST(memory_can_be_taken_back_from_a_peer_that_writes),
           TEST(threads_that_poll_drive_the_network_for_others))
