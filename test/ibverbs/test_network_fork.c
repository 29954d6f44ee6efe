/* SPDX-License-Identifier: BSD-3-Clause */
/* fork() in a process that is connected over the network. The address stays the parent's, as its socket does. */
#include "peers.h"
#include "threads.h"

static void serve_until_told(int fd) {
    struct side s = {.fd = fd};
    if (side_open(&s, THERE, (struct qp_options){0}))
        hear_ready(fd);
    side_close(&s);
}

/* The child's copy of a connected queue pair has left the network: nothing that it posts reaches the peer. */
static void use_inherited_side(void *argument) {
    struct side *s = argument;
    uint64_t deadline = now_ms() + PATIENCE_MS;
    CHECK_EQ(post(&s->end, remote(write_of(1, part(&s->memory, 0, 8), &s->memory, 0), &s->peer, 0)), 0);
    SENT(&s->end, 1, IBV_WC_WR_FLUSH_ERR);
    while (state_of(&s->end) != IBV_QPS_ERR && now_ms() < deadline)
        sleep_ms(1);
    CHECK_EQ(state_of(&s->end), IBV_QPS_ERR);
    /* A new connection needs the address, which the parent has. */
    struct end end;
    struct ibv_qp_attr attr;
    REQUIRE(make_end(&s->w, s->w.pd, (struct qp_options){0}, &end));
    CHECK_EQ(to_init(&end), 0);
    int mask = rtr_attributes(&end, s->peer.qpn, &attr);
    attr.ah_attr.grh.dgid = s->peer.gid;
    CHECK_EQ(ibv_modify_qp(end.qp, &attr, mask), EADDRINUSE);
    CHECK_EQ(state_of(&end), IBV_QPS_INIT);
    side_close(s);
}

static void fork_while_connected(int fd) {
    struct side s = {.fd = fd};
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    CHECK_EQ(in_child(use_inherited_side, &s), 0);
    CHECK_EQ(post(&s.end, remote(read_of(1, part(&s.memory, 0, SIDE_BYTES), &s.memory, 0), &s.peer, 0)), 0);
    SENT(&s.end, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.memory.bytes, SIDE_BYTES, THERE_FILL)); /* the child has written nothing */
    tell_ready(fd);
    side_close(&s);
}

static void a_child_leaves_the_network_and_the_parent_stays(void) {
    two_processes(fork_while_connected, serve_until_told);
}

/* A child that has no use for the device does not keep the address from others. */
static void a_child_does_not_keep_the_address(void) {
    int fds[2];
    struct world w;
    use_address(HERE);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 && world_open(&w));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        _exit(tell_ready(fds[1]) && hear_ready(fds[1]) ? 0 : 1);
    }
    close(fds[1]);
    CHECK(hear_ready(fds[0])); /* until fork() has returned in the child, it has the socket */
    world_close(&w);
    if (world_open(&w))
        world_close(&w);
    tell_ready(fds[0]);
    CHECK_EQ(status_of(child), 0);
    close(fds[0]);
    unsetenv("RDMAVT_ADDRESS");
}

/* As a daemon does: it opens the device, and its child goes on with it when the parent has closed it. ThreadSanitizer
 * refuses threads in the child of a process with threads. */
#ifndef __SANITIZE_THREAD__
static void be_connected_as_daemon(int fd) {
    struct side s = {.fd = fd};
    int fds[2];
    use_address(HERE);
    REQUIRE(pipe(fds) == 0 && world_open(&s.w));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(fds[1]);
        CHECK_EQ(read(fds[0], &byte, 1), 1);
        if (make_memory(&s.w, s.w.pd, SIDE_BYTES, HERE_FILL, ALL_RIGHTS, &s.memory) &&
            make_connected_end(&s, (struct qp_options){0}, &s.end, &s.peer) && tell_ready(fd) &&
            hear_ready(fd)) {
            CHECK_EQ(post(&s.end, remote(read_of(1, part(&s.memory, 0, 100), &s.memory, 0), &s.peer, 0)), 0);
            SENT(&s.end, 1, IBV_WC_SUCCESS);
            CHECK(all_bytes_are(s.memory.bytes, 100, THERE_FILL));
            tell_ready(fd);
        }
        side_close(&s);
        fflush(stdout);
        _exit(atomic_load(&check_failures) ? 1 : 0);
    }
    side_close(&s);
    CHECK_EQ(write(fds[1], "r", 1), 1);
    CHECK_EQ(status_of(child), 0);
    close(fds[0]);
    close(fds[1]);
}

static void a_child_can_take_over_the_network(void) {
    two_processes(be_connected_as_daemon, serve_until_told);
}
#endif

/* Forks while other threads of the process send and receive. */
struct traffic {
    struct side *side;
    atomic_bool ends;
};

static void write_all_the_time(void *argument) {
    struct traffic *t = argument;
    struct side *s = t->side;
    for (uint64_t id = 0; !atomic_load(&t->ends); id++) {
        CHECK_EQ(post(&s->end, remote(write_of(id, part(&s->memory, 0, 9000), &s->memory, 0), &s->peer, 0)),
                 0);
        SENT(&s->end, id, IBV_WC_SUCCESS);
    }
}

static void do_nothing(void *argument) {
    (void)argument;
}

static void fork_under_traffic(int fd) {
    struct side s = {.fd = fd};
    struct traffic traffic = {.side = &s};
    struct task task;
    REQUIRE(side_open(&s, HERE, (struct qp_options){0}));
    REQUIRE(start(&task, write_all_the_time, &traffic));
    for (int i = 0; i < 30; i++)
        CHECK_EQ(in_child(do_nothing, NULL), 0);
    atomic_store(&traffic.ends, true);
    finish(&task);
    tell_ready(fd);
    side_close(&s);
}

static void forking_does_not_disturb_traffic(void) {
    two_processes(fork_under_traffic, serve_until_told);
}

CHECK_MAIN(TEST(a_child_leaves_the_network_and_the_parent_stays), TEST(a_child_does_not_keep_the_address),
#ifndef __SANITIZE_THREAD__
           TEST(a_child_can_take_over_the_network),
#endif
           TEST(forking_does_not_disturb_traffic))
