/* SPDX-License-Identifier: BSD-3-Clause */
/* Two processes that reach each other over the network: each has an address of its own in 127.0.0.0/8 and opens the
 * device after the fork. They exchange what a program must know of its peer over a pair of sockets. */
#ifndef RVT_TEST_IBVERBS_PEERS_H
#define RVT_TEST_IBVERBS_PEERS_H

#include <arpa/inet.h>
#include <sys/socket.h>

#include "children.h"

/* Writes address `number` (1..254) of this run, which differs from those of other runs at the same time. */
static inline void network_address(unsigned number, char text[INET_ADDRSTRLEN]) {
    static unsigned run; /* of the process that forks, also in its children */
    if (!run)
        run = (unsigned)getpid();
    snprintf(text, INET_ADDRSTRLEN, "127.%u.%u.%u", 1 + (run >> 8) % 254, run & 255, number);
}

/* From now on, this process opens devices at that address. */
static inline void use_address(unsigned number) {
    char text[INET_ADDRSTRLEN];
    network_address(number, text);
    setenv("RDMAVT_ADDRESS", text, 1);
}

static inline union ibv_gid gid_of_address(unsigned number) {
    char text[INET_ADDRSTRLEN];
    union ibv_gid gid = {.raw = {[10] = 0xff, [11] = 0xff}};
    network_address(number, text);
    CHECK_EQ(inet_pton(AF_INET, text, gid.raw + 12), 1);
    return gid;
}

/* What a process tells its peer. */
struct card {
    uint32_t qpn, rkey;
    uint64_t address;
    union ibv_gid gid;
};

/* One end of the two, in its process. */
struct side {
    int fd;                     /* to the other process */
    uint8_t timeout, retry_cnt; /* of the queue pair; 0: 14 and 7 */
    size_t bytes;               /* of the memory; 0: SIDE_BYTES */
    struct world w;
    struct end end;
    struct memory memory; /* with all rights */
    struct card peer;
};

enum { SIDE_BYTES = 1 << 16, HERE = 1, THERE = 2, HERE_FILL = 0x11, THERE_FILL = 0x22 };

/* Tells the other process something, and waits for what it tells. */
static inline bool tell(int fd, const void *bytes, size_t length) {
    return check_equal((uint64_t)send(fd, bytes, length, MSG_NOSIGNAL), length, "send()", "all", __FILE__,
                       __LINE__);
}
static inline bool hear(int fd, void *bytes, size_t length) {
    return check_true(is_readable(fd, 3 * PATIENCE_MS), "the other process tells something in time", __FILE__,
                      __LINE__) &&
           check_equal((uint64_t)recv(fd, bytes, length, MSG_WAITALL), length, "recv()", "all", __FILE__,
                       __LINE__);
}
static inline bool tell_ready(int fd) {
    return tell(fd, "r", 1);
}
static inline bool hear_ready(int fd) {
    char byte;
    return hear(fd, &byte, 1);
}

static inline int connect_side(struct end *end, const struct side *s, const struct card *peer) {
    struct ibv_qp_attr attr;
    int error = to_init(end);
    int mask = rtr_attributes(end, peer->qpn, &attr);
    attr.ah_attr.grh.dgid = peer->gid;
    if (!error)
        error = ibv_modify_qp(end->qp, &attr, mask);
    mask = rts_attributes(end, &attr);
    attr.timeout = s->timeout ? s->timeout : attr.timeout;
    attr.retry_cnt = s->retry_cnt ? s->retry_cnt : attr.retry_cnt;
    return error ? error : ibv_modify_qp(end->qp, &attr, mask);
}

/* Tells the card of a queue pair, and hears the peer's. */
static inline bool exchange_cards(const struct side *s, const struct end *end, struct card *peer) {
    struct card own = {end->qp->qp_num, s->memory.mr->rkey, address(&s->memory, 0), {.raw = {0}}};
    CHECK_EQ(ibv_query_gid(s->w.context, PORT, 0, &own.gid), 0);
    return tell(s->fd, &own, sizeof(own)) && hear(s->fd, peer, sizeof(*peer));
}

/* Makes another queue pair that is connected to one of the peer, which does the same. */
static inline bool make_connected_end(struct side *s, struct qp_options options, struct end *end,
                                      struct card *peer) {
    return make_end(&s->w, s->w.pd, options, end) && exchange_cards(s, end, peer) &&
           check_equal((uint64_t)connect_side(end, s, peer), 0, "connecting", "0", __FILE__, __LINE__);
}

/* Opens the device and connects a queue pair with one of the other process. `s` has been set up to `bytes`. When it
 * returns, both are in RTS. */
static inline bool side_open(struct side *s, unsigned which, struct qp_options options) {
    use_address(which);
    const size_t bytes = s->bytes ? s->bytes : SIDE_BYTES;
    return world_open(&s->w) &&
           make_memory(&s->w, s->w.pd, bytes, which == HERE ? HERE_FILL : THERE_FILL, ALL_RIGHTS,
                       &s->memory) &&
           make_connected_end(s, options, &s->end, &s->peer) && tell_ready(s->fd) && hear_ready(s->fd);
}

static inline void side_close(struct side *s) {
    world_close(&s->w);
}

/* A request for the peer's memory. */
static inline struct request remote(struct request r, const struct card *peer, uint64_t offset) {
    r.remote_addr = peer->address + offset;
    r.rkey = peer->rkey;
    return r;
}

/* Runs `here` in this process and `there` in a child; both must come to an end without a failed check. */
static inline void two_processes(void (*here)(int fd), void (*there)(int fd)) {
    int fds[2];
    char text[INET_ADDRSTRLEN];
    network_address(HERE, text);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        atomic_store(&check_failures, 0);
        there(fds[1]);
        fflush(stdout);
        _exit(atomic_load(&check_failures) ? 1 : 0);
    }
    close(fds[1]);
    here(fds[0]);
    close(fds[0]);
    unsetenv("RDMAVT_ADDRESS");
    CHECK(child > 0);
    CHECK_EQ(status_of(child), 0);
}

#endif
