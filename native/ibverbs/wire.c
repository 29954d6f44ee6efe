/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/wire.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ibverbs/thread.h"
#include "wire/address.h"
#include "wire/endpoint/endpoint.h"
#include "wire/udp/host_address.h"
#include "wire/udp/interface.h"
#include "wire/udp/udp_socket.h"

#define VARIABLE "RDMAVT_ADDRESS"

enum {
    UDP_PORT = 4791, /* of RoCEv2 */
    ROUNDS = 16,     /* batches in and out, before the thread leaves the gate for a moment */
    BATCHES_OF_VERB = 4,
    PACKET_BYTES = (RVT_MOST_PACKET_BYTES + 63) & ~63,
};

struct shim_wire_buffers {
    struct rvt_datagram in[RVT_MOST_PACKETS];
    struct rvt_outgoing out[RVT_MOST_PACKETS];
    unsigned char bytes[RVT_MOST_PACKETS][PACKET_BYTES];
};

_Thread_local unsigned shim_wire_awake;

static int complain(const struct shim_wire *wire, int error) {
    char text[RVT_HOST_ADDRESS_TEXT];
    rvt_host_address_text(wire->address, text);
    fprintf(stderr, "rdmavt: %s=%s: UDP port %d: %s\n", VARIABLE, text, UDP_PORT, strerror(error));
    return error;
}

/* --- waking the thread --- */

static void kick(struct shim_wire *wire) {
    const uint64_t one = 1;
    ssize_t written =
        write(wire->wake, &one, sizeof(one)); /* can only fail because it has counted much already */
    (void)written;
    /* Behind the write: the other way round, the thread could take the mark without the count, and would then be woken by
     * the count for ever. */
    atomic_store_explicit(&wire->kicked, true, memory_order_release);
}

/* Called by the endpoint, with the engine lock held, in any thread. */
static void on_wake(void *data) {
    struct shim_wire *wire = data;
    atomic_store(&wire->output, true);
    if (!shim_wire_awake)
        kick(wire);
}

/* --- receiving and sending; the caller must hold `driving` --- */

static void watch_room(struct shim_wire *wire, bool watch) {
    struct epoll_event event = {.events = watch ? EPOLLIN | EPOLLOUT : EPOLLIN};
    wire->blocked = watch;
    (void)epoll_ctl(wire->poll, EPOLL_CTL_MOD, rvt_udp_descriptor(wire->udp), &event);
}

/* Sends one batch. Returns whether there may be another one. */
static bool send_some(struct shim_wire *wire, uint64_t now) {
    if (wire->first == wire->filled) {
        atomic_store(&wire->output, false);
        wire->first = 0;
        wire->filled = rvt_endpoint_send(wire->endpoint, wire->buffers->out, RVT_MOST_PACKETS, now);
        /* If it has filled all buffers, it may have more, and does not say so again. */
        if (wire->filled == RVT_MOST_PACKETS)
            atomic_store(&wire->output, true);
    }
    wire->first +=
        rvt_udp_send(wire->udp, wire->endpoint, wire->buffers->out + wire->first, wire->filled - wire->first);
    const bool blocked = wire->first < wire->filled;
    if (blocked != wire->blocked)
        watch_room(wire, blocked); /* wakes the thread, which tries again, when there is room */
    return !blocked && atomic_load(&wire->output);
}

static bool has_output(const struct shim_wire *wire) {
    return wire->first < wire->filled || atomic_load(&wire->output);
}

/* Closes the endpoint. Its queue pairs go into ERR. */
static void close_endpoint(struct shim_wire *wire) {
    struct rvt_endpoint *endpoint = wire->endpoint;
    wire->endpoint = NULL;
    rvt_endpoint_close(endpoint);
    rvt_udp_close(wire->udp);
    wire->udp = NULL;
    wire->first = wire->filled = 0;
    wire->blocked = false;
    atomic_store(&wire->output, false);
}

/* Receives and sends, in up to `rounds` batches. Returns whether there may be more; *received: whether packets were
 * received. */
static bool drive(struct shim_wire *wire, int rounds, bool *received) {
    bool more = true;
    *received = false;
    if (!wire->endpoint)
        return false;
    if (!wire->udp) { /* a forked child: the network is its parent's */
        close_endpoint(wire);
        return false;
    }
    shim_wire_awake++;
    for (int round = 0; more && round < rounds; round++) {
        const uint32_t count = rvt_udp_receive(wire->udp, wire->buffers->in, &more);
        const uint64_t now = shim_microseconds();
        *received |= count > 0;
        if (!count && !has_output(wire) && now < wire->due)
            break;
        if (count)
            rvt_endpoint_receive(wire->endpoint, wire->buffers->in, count, now);
        if (now >= wire->due)
            (void)rvt_endpoint_tick(wire->endpoint, now);
        more |= send_some(wire, now);
        wire->due = rvt_endpoint_tick(wire->endpoint, now); /* receiving and sending have set timers */
    }
    if (wire->due < wire->sleeping_until) {
        wire->sleeping_until = wire->due;
        kick(wire);
    }
    shim_wire_awake--;
    return more;
}

/* Drives unless another thread does. That one then sees `output` when it has finished. What is left after some batches is
 * the thread's: a long answer to a peer must not keep a verb. Returns whether packets were received. */
static bool try_to_drive(struct shim_wire *wire) {
    bool any = false, left = true;
    for (int batch = 0; left && batch < BATCHES_OF_VERB; batch++) {
        bool received;
        if (pthread_mutex_trylock(&wire->driving) != 0)
            return any;
        const bool more = drive(wire, 1, &received);
        const bool blocked = wire->blocked;
        pthread_mutex_unlock(&wire->driving);
        any |= received;
        left = !blocked && (more || atomic_load(&wire->output));
    }
    if (left)
        kick(wire);
    return any;
}

bool shim_wire_progress(struct shim_wire *wire) {
    return wire->used && try_to_drive(wire);
}

void shim_wire_serve_now(struct shim_wire *wire) {
    (void)try_to_drive(wire);
}

void shim_wire_settle(struct shim_wire *wire) {
    if (!wire->used)
        return;
    shim_wire_awake++;
    pthread_mutex_lock(&wire->driving);
    const uint64_t now = shim_microseconds();
    while (wire->udp && send_some(wire, now))
        ;
    pthread_mutex_unlock(&wire->driving);
    shim_wire_awake--;
}

/* --- the thread --- */

/* Sleeps until there is something to do, or until the time. */
static void sleep_until(struct shim_wire *wire, uint64_t until) {
    struct pollfd ready = {.fd = wire->poll, .events = POLLIN};
    const uint64_t now = shim_microseconds();
    const uint64_t rest = until > now ? until - now : 0;
    const struct timespec timeout = {(time_t)(rest / 1000000), (long)(rest % 1000000 * 1000)};
    (void)ppoll(&ready, 1, until == UINT64_MAX ? NULL : &timeout, NULL);
}

/* One turn of the thread. Returns whether it goes on; *until: how long it may sleep before. */
static bool turn(struct shim_wire *wire, uint64_t *until) {
    bool received, blocked = false;
    shim_enter();
    pthread_mutex_lock(&wire->driving);
    const bool ending = wire->ending;
    if (!ending) {
        if (atomic_exchange_explicit(&wire->kicked, false, memory_order_acquire)) {
            uint64_t count;
            ssize_t got = read(wire->wake, &count, sizeof(count));
            (void)got;
        }
        const uint64_t before = wire->sleeping_until;
        /* No other thread need kick this one now: it looks at everything before it sleeps. */
        wire->sleeping_until = 0;
        *until = drive(wire, ROUNDS, &received) ? 0 : wire->due;
        /* A timer that is stopped and started with each request must not make each request kick the thread: it wakes at
         * the time that it had first. */
        if (*until > before && before > shim_microseconds())
            *until = before;
        wire->sleeping_until = *until;
        blocked = wire->blocked;
    }
    pthread_mutex_unlock(&wire->driving);
    if (!blocked && atomic_load(&wire->output)) /* of a verb that found this thread driving */
        *until = 0;
    shim_leave();
    return !ending;
}

static void *run(void *data) {
    struct shim_wire *wire = data;
    uint64_t until;
    while (turn(wire, &until))
        if (until)
            sleep_until(wire, until);
    return NULL;
}

/* --- opening and closing --- */

/* The socket is the parent's. The thread does not exist in the child. What is not of this process is closed here; the
 * endpoint, which needs locks of the core, when a verb is called next. */
static void leave_network(struct shim_repair *repair) {
    struct shim_wire *wire = RVT_LIST_ENTRY(repair, struct shim_wire, repair);
    if (!wire->udp)
        return;
    rvt_udp_close(wire->udp);
    wire->udp = NULL;
    close(wire->poll);
    close(wire->wake);
    wire->poll = wire->wake = -1;
    wire->has_thread = false;
    atomic_store(&wire->output, true);
}

int shim_wire_init(struct shim_wire *wire, struct rvt_dev_info *device) {
    const char *text = getenv(VARIABLE);
    *wire = (struct shim_wire){.device = device, .poll = -1, .wake = -1};
    atomic_init(&wire->output, false);
    atomic_init(&wire->kicked, false);
    if (!text || !*text)
        return 0;
    if (!rvt_read_host_address(text, wire->address, &wire->scope)) {
        fprintf(stderr, "rdmavt: %s=%s: not the address of a host\n", VARIABLE, text);
        return EINVAL;
    }
    wire->used = true;
    rvt_find_interface(wire->address, &wire->interface, &wire->mtu);
    pthread_mutex_init(&wire->driving, NULL);
    shim_add_repair(&wire->repair, leave_network);
    return 0;
}

void shim_wire_end(struct shim_wire *wire) {
    if (!wire->used)
        return;
    if (wire->has_thread)
        pthread_join(wire->thread, NULL);
    shim_remove_repair(&wire->repair);
    if (wire->poll >= 0)
        close(wire->poll);
    if (wire->wake >= 0)
        close(wire->wake);
    pthread_mutex_destroy(&wire->driving);
    free(wire->buffers);
}

static int watch(const struct shim_wire *wire, int fd) {
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(wire->poll, EPOLL_CTL_ADD, fd, &event) ? errno : 0;
}

/* Makes what the thread sleeps on, and the thread. Returns 0 or a positive errno. */
static int start_thread(struct shim_wire *wire) {
    wire->poll = epoll_create1(EPOLL_CLOEXEC);
    wire->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int error = wire->poll < 0 || wire->wake < 0 ? errno : watch(wire, wire->wake);
    if (!error)
        error = watch(wire, rvt_udp_descriptor(wire->udp));
    if (!error)
        error = shim_start_thread(&wire->thread, run, wire);
    wire->has_thread = !error;
    if (!error)
        return 0;
    if (wire->poll >= 0)
        close(wire->poll);
    if (wire->wake >= 0)
        close(wire->wake);
    wire->poll = wire->wake = -1;
    return error;
}

static int make_buffers(struct shim_wire *wire) {
    if (!wire->buffers)
        wire->buffers = malloc(sizeof(*wire->buffers));
    for (uint32_t i = 0; wire->buffers && i < RVT_MOST_PACKETS; i++)
        wire->buffers->out[i].bytes = wire->buffers->bytes[i];
    return wire->buffers ? 0 : ENOMEM;
}

/* Opens the socket, the endpoint and the thread. Returns 0 or a positive errno. The caller must hold `driving`. */
static int open_endpoint(struct shim_wire *wire) {
    uint16_t port = UDP_PORT;
    int error = make_buffers(wire);
    if (!error)
        error = rvt_udp_open(wire->address, wire->scope, &port, &wire->udp);
    if (error)
        return complain(wire, error);
    struct rvt_endpoint_options options = {
        .device = wire->device, .port = UDP_PORT, .host = {.wake = on_wake, .data = wire}};
    memcpy(options.address, wire->address, sizeof(options.address));
    error = -rvt_endpoint_open(&options, &wire->endpoint);
    if (error) {
        rvt_udp_close(wire->udp);
        wire->udp = NULL;
        return complain(wire, error);
    }
    wire->due = wire->sleeping_until = UINT64_MAX;
    error = start_thread(wire);
    if (error) {
        close_endpoint(wire);
        return complain(wire, error);
    }
    return 0;
}

int shim_wire_open(struct shim_wire *wire) {
    if (!wire->used)
        return 0;
    pthread_mutex_lock(&wire->driving);
    int error = open_endpoint(wire);
    pthread_mutex_unlock(&wire->driving);
    return error;
}

void shim_wire_close(struct shim_wire *wire) {
    if (!wire->used)
        return;
    shim_wire_settle(wire);
    pthread_mutex_lock(&wire->driving);
    wire->ending = true;
    if (wire->endpoint)
        close_endpoint(wire);
    if (wire->has_thread)
        kick(wire);
    pthread_mutex_unlock(&wire->driving);
}

enum ibv_mtu shim_wire_mtu(const struct shim_wire *wire) {
    enum { IPV6_AND_UDP_BYTES = 48, MTU_BYTES = 4096, HEADERS = RVT_MOST_PACKET_BYTES - MTU_BYTES };
    enum ibv_mtu mtu = IBV_MTU_4096;
    while (mtu > IBV_MTU_256 && (128u << mtu) + HEADERS + IPV6_AND_UDP_BYTES > wire->mtu)
        mtu--;
    return mtu;
}

/* Opens the endpoint if a fork has closed it. Returns 0 or a positive errno. The caller must hold `driving`. */
static int be_open(struct shim_wire *wire) {
    if (wire->endpoint && !wire->udp)
        close_endpoint(wire);
    if (wire->endpoint)
        return 0;
    return wire->ending ? EBADF : open_endpoint(wire);
}

int shim_wire_connect(struct shim_wire *wire, struct rvt_qp_handle qp, const union ibv_gid *gid) {
    struct rvt_wire_peer peer = {.port = UDP_PORT};
    memcpy(peer.address, gid->raw, sizeof(peer.address));
    if (!rvt_is_one_host(peer.address))
        return EINVAL;
    pthread_mutex_lock(&wire->driving);
    int error = be_open(wire);
    if (!error)
        error = -rvt_endpoint_connect(wire->endpoint, qp, &peer, shim_microseconds());
    pthread_mutex_unlock(&wire->driving);
    return error;
}

int shim_wire_attach(struct shim_wire *wire, struct rvt_qp_handle qp) {
    pthread_mutex_lock(&wire->driving);
    int error = be_open(wire);
    if (!error)
        error = -rvt_endpoint_attach(wire->endpoint, qp, shim_wire_mtu(wire));
    pthread_mutex_unlock(&wire->driving);
    return error;
}

int shim_wire_host(const struct shim_wire *wire, const union ibv_gid *gid, struct rvt_host_address *host) {
    memcpy(host->ip, gid->raw, sizeof(host->ip));
    host->udp_port = UDP_PORT;
    return rvt_is_one_host(host->ip) && rvt_is_ipv4(host->ip) == rvt_is_ipv4(wire->address) ? 0 : EINVAL;
}
