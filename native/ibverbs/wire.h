/* SPDX-License-Identifier: BSD-3-Clause */
/* The network of a process that has an address there (environment variable RDMAVT_ADDRESS): an endpoint of RoCEv2 with
 * its UDP socket. Packets are received and sent by whichever thread is inside a verb anyway, and by a thread of this
 * library, which sleeps while there is nothing to do. Without an address there is no network, and the functions do
 * nothing.
 *
 * Order of locks: gate, locks of the shim's objects, `driving`, locks of the core. */
#ifndef SHIM_WIRE_H
#define SHIM_WIRE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/rvt.h"
#include "ibverbs/gate.h"
#include "ibverbs/public_api.h"

struct rvt_endpoint;
struct rvt_udp_socket;
struct shim_wire_buffers;

struct shim_wire {
    /* Constant: */
    bool used; /* the process has an address */
    uint8_t address[16];
    uint32_t scope; /* interface of a link-local address */
    uint32_t interface,
        mtu; /* index of the network interface, 0 if not known; bytes that a packet may carry */
    struct rvt_dev_info *device; /* of the core */
    struct shim_repair repair;

    /* Only one thread at a time receives, sends and ticks. Taken inside the gate only. Protects: */
    pthread_mutex_t driving;
    struct rvt_endpoint *endpoint; /* NULL: closed */
    struct rvt_udp_socket
        *udp; /* NULL while there is an endpoint: this is a forked child, whose parent has the socket */
    struct shim_wire_buffers *buffers;
    uint32_t first, filled;  /* packets of the buffers that are not sent yet */
    bool blocked;            /* the socket has no room for them */
    bool ending;             /* the thread must end */
    uint64_t due;            /* when the endpoint wants to act on time */
    uint64_t sleeping_until; /* when the thread wakes by itself, at the latest */

    int poll;        /* epoll of the socket and of `wake`, on which the thread sleeps */
    int wake;        /* eventfd */
    bool has_thread; /* there is one to be joined */
    pthread_t thread;

    _Atomic(bool) output; /* there may be packets to send, or (in a forked child) an endpoint to close */
    _Atomic(bool) kicked; /* `wake` has counted */
};

/* Reads the process's address. Returns 0; or EINVAL and tells why on stderr: the variable is no address of a host. */
int shim_wire_init(struct shim_wire *wire, struct rvt_dev_info *device);

/* Opens the endpoint, if there is an address. The caller must be inside the gate. Returns 0, or a positive errno, and
 * tells why on stderr: EADDRINUSE (another process has the address), EADDRNOTAVAIL (no interface has it), EACCES, EMFILE,
 * EAGAIN (no thread), ENOMEM. */
int shim_wire_open(struct shim_wire *wire);

/* Closes the endpoint, after sending what is ready: the address is free when this returns. The caller must be inside the
 * gate. */
void shim_wire_close(struct shim_wire *wire);

/* Frees the rest. The endpoint must be closed, and the caller outside the gate. */
void shim_wire_end(struct shim_wire *wire);

/* Returns the greatest MTU whose packets, with all headers, the interface carries: IPv6, UDP, and of RoCE those of the
 * longest packet. */
enum ibv_mtu shim_wire_mtu(const struct shim_wire *wire);

/* Connects an RC or UC queue pair, which is about to go from INIT to RTR, to the peer with the GID. The caller must be inside the
 * gate. Returns 0 or a positive errno:
 *   EINVAL      the GID is not the address of a host, or of another family than the process's; or the queue pair is not in
 *               INIT or RESET
 *   EOPNOTSUPP  it is a UD queue pair
 *   EBADF       the context is closed
 *   others      as shim_wire_open(), in a forked child */
int shim_wire_connect(struct shim_wire *wire, struct rvt_qp_handle qp, const union ibv_gid *gid);

/* Lets a UD queue pair, which is about to go from RESET to INIT, use the network. The caller must be inside the gate.
 * Returns 0 or a positive errno, as shim_wire_connect(). */
int shim_wire_attach(struct shim_wire *wire, struct rvt_qp_handle qp);

/* Fills in the host that a GID names. Returns 0, or EINVAL: it is no address of a host, or of another family than the
 * process's. */
int shim_wire_host(const struct shim_wire *wire, const union ibv_gid *gid, struct rvt_host_address *host);

/* Receives and sends once, unless another thread does. Returns whether packets were received. The caller must be inside
 * the gate. */
bool shim_wire_progress(struct shim_wire *wire);

/* Sends what is ready, so that no answer to a peer is lost when a queue pair ends. The caller must be inside the gate. */
void shim_wire_settle(struct shim_wire *wire);

/* How many verbs that see to `output` at their end, or drives, the calling thread is inside: only other threads must be
 * woken when there is something to send. */
extern _Thread_local unsigned shim_wire_awake;

/* Sends what verbs have made ready. The caller must be inside the gate. */
void shim_wire_serve_now(struct shim_wire *wire);
static inline void shim_wire_serve(struct shim_wire *wire) {
    if (atomic_load_explicit(&wire->output, memory_order_relaxed))
        shim_wire_serve_now(wire);
}

#endif
