/* SPDX-License-Identifier: BSD-3-Clause */
/* An endpoint on a RoCEv2 network: the carrier that connects queue pairs of a device with queue pairs of other
 * machines. A pure transport: packets come in by rvt_endpoint_receive(), packets go out by rvt_endpoint_send(), time
 * comes in as a number. It has no socket, no thread and no clock, and allocates nothing for a packet. The transport
 * services RC, UC and UD of the InfiniBand specification, volume 1, chapter 9, over UDP as in annex A17.
 *
 * Every access to memory is judged by the core (core/engine/carrier_verbs.h). A peer learns a class of error, never
 * the reason.
 *
 * Everything of an endpoint is protected by its device's engine lock, which the functions take. They may be called by
 * several threads, but one thread should receive, send and tick: the memory of other environments than the calling
 * thread's is refused. */
#ifndef RVT_WIRE_ENDPOINT_H
#define RVT_WIRE_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rvt.h"
#include "wire/address.h"

struct rvt_endpoint;
struct rvt_cm;

enum {
    /* The longest packet, from the BTH to the ICRC: a WRITE ONLY with RETH, immediate data and 4096 bytes. */
    RVT_MOST_PACKET_BYTES = 12 + 16 + 4 + 4096 + 4,
    /* Most packets of one call of rvt_endpoint_receive() or rvt_endpoint_send(): the engine lock is held meanwhile. */
    RVT_MOST_PACKETS = 64,
};

/* A request of a peer that was refused, or a failure of a connection: what the host may log. Nothing of it goes to the
 * peer. */
struct rvt_wire_refusal {
    struct rvt_wire_peer peer;
    uint64_t qp;     /* serial number of the queue pair */
    uint32_t qp_num; /* its number */
    uint32_t opcode; /* enum rvt_bth_opcode of the packet */
    uint32_t psn;    /* of the packet */
    uint32_t
        syndrome; /* AETH syndrome of the NAK that is sent; 0: none, for a WRITE of UC, which is dropped */
    struct rvt_why why;
};

struct rvt_endpoint_host {
    /* There is something to send, or an earlier deadline: the host should soon call rvt_endpoint_send() and
     * rvt_endpoint_tick(). Called with the engine lock held, by any thread; must not call the core. Not called again
     * before the next call of rvt_endpoint_send(). */
    void (*wake)(void *data);
    /* NULL: not wanted. Called with the engine lock held; must not call the core. */
    void (*refused)(void *data, const struct rvt_wire_refusal *refusal);
    /* NULL: not wanted. The connection manager may have an event: rvt_cm_take_event(). Called with the engine lock held, by
     * any thread; must not call the core. */
    void (*cm_event)(void *data);
    void *data;
};

struct rvt_endpoint_options {
    struct rvt_dev_info *device; /* with an engine */
    uint8_t address[16];         /* of this end; IPv4 as ::ffff:a.b.c.d */
    uint16_t port;               /* UDP port of this end */
    /* After so many refusals of one source address within a minute, it gets no new connection, and a UC queue pair to
     * which it sends another WRITE that is refused goes into ERR. 0: no limit. */
    uint32_t refusals_a_minute;
    struct rvt_endpoint_host host;
};

/* What an endpoint counted since it was opened. */
struct rvt_endpoint_counters {
    uint64_t received, sent;             /* packets */
    uint64_t bytes_received, bytes_sent; /* payload of packets that were accepted, or sent */
    uint64_t malformed;    /* dropped: not a packet for this type of queue pair, or its lengths do not fit */
    uint64_t bad_icrc;     /* dropped */
    uint64_t unknown_qp;   /* dropped: no connected queue pair has the number */
    uint64_t wrong_source; /* dropped: the source address is not the peer's */
    uint64_t congestion;   /* congestion notifications, which are ignored */
    uint64_t duplicates;   /* requests that came again */
    uint64_t out_of_order; /* requests ahead of the expected PSN: dropped. UC: not the expected PSN */
    uint64_t rnr_naks, sequence_naks, fatal_naks; /* sent */
    uint64_t retransmitted;                       /* request packets that were sent again */
    uint64_t timeouts;                            /* of the transport timer */
    uint64_t limited; /* connections that were denied to a source with too many refusals */
    /* UC and UD: nothing tells the peer. */
    uint64_t wrong_qkey;     /* datagrams with another Q_Key: dropped */
    uint64_t no_receive;     /* messages that found no receive: dropped */
    uint64_t short_receives; /* messages that were longer than the receive: dropped */
    uint64_t refused_writes; /* WRITEs of UC that were refused: dropped */
    /* UC: messages that were cut off, and packets that did not continue a message, because one before them did not come or
     * was dropped */
    uint64_t incomplete;
};

/* Opens an endpoint. From now on the device draws queue pair numbers from the CSPRNG.
 *   0            *endpoint is open; it must be closed before the device
 *   -EOPNOTSUPP  the device has no engine
 *   -ENOMEM      no memory, or no random numbers */
int rvt_endpoint_open(const struct rvt_endpoint_options *options, struct rvt_endpoint **endpoint);

/* Closes the endpoint: its queue pairs go into ERR, as after a failure, and return to loopback. After it has returned,
 * no function of the host is called. */
void rvt_endpoint_close(struct rvt_endpoint *endpoint);

/* Connects an RC or UC queue pair through the endpoint: packets of the peer's address are accepted once it is in RTR
 * (rvt_modify_qp, whose attributes also hold PSNs, MTU, timeouts and the peer's number; max_dest_rd_atomic is at most
 * 16). Stays until the queue pair
 * ends, also through RESET, or until it is connected again.
 *   0            connected
 *   -EINVAL      the queue pair has no queues; it is not in RESET or INIT; its number was not drawn at random; or the
 *                peer's address is of another family than the endpoint's
 *   -EOPNOTSUPP  it is a UD queue pair
 *   -EACCES      the address has had too many refusals in the last minute
 *   -EBADF       the handle is stale
 *   -ENOMEM      no memory */
int rvt_endpoint_connect(struct rvt_endpoint *endpoint, struct rvt_qp_handle qp,
                         const struct rvt_wire_peer *peer, uint64_t now);

/* Takes the engine lock and gives the connection manager of the endpoint (wire/cm/cm.h), which the first call opens: until
 * then, messages to queue pair 1 are dropped like those to any unknown queue pair. rvt_endpoint_leave_cm() must follow,
 * also after a failure; it wakes the host if there is something to send. The thread's environment must be set.
 *   0        *cm may be used until then
 *   -ENOMEM  no memory, or no random numbers */
int rvt_endpoint_enter_cm(struct rvt_endpoint *endpoint, struct rvt_cm **cm);
void rvt_endpoint_leave_cm(struct rvt_endpoint *endpoint);

/* Lets a UD queue pair send and receive through the endpoint: to the hosts that its address handles name
 * (rvt_create_host_ah), and from any host that knows its number and Q_Key. `path_mtu`: the most bytes of a datagram, as in
 * struct rvt_qp_attr; longer ones are not posted, and are dropped when they come. Stays as for rvt_endpoint_connect().
 *   0            attached
 *   -EINVAL      the queue pair has no queues; it is not in RESET or INIT; its number was not drawn at random; or there is
 *                no such MTU
 *   -EOPNOTSUPP  it is not a UD queue pair
 *   -EBADF       the handle is stale
 *   -ENOMEM      no memory */
int rvt_endpoint_attach(struct rvt_endpoint *endpoint, struct rvt_qp_handle qp, uint32_t path_mtu);

/* A datagram that came in. */
struct rvt_datagram {
    const unsigned char *bytes; /* the UDP payload: from the BTH to the ICRC */
    uint32_t length;
    struct rvt_wire_peer from; /* source address and source port */
    /* The IP identification, where it is known. Sockets do not tell it: it is then solved out of the ICRC. */
    bool has_ip_id;
    uint16_t ip_id;
};

/* Takes packets in: up to RVT_MOST_PACKETS, in order. The host must call rvt_endpoint_tick() and rvt_endpoint_send()
 * afterwards. `now`: microseconds of a clock that does not go back. Nothing of
 * the bytes is used after the call. */
void rvt_endpoint_receive(struct rvt_endpoint *endpoint, const struct rvt_datagram *datagrams, uint32_t count,
                          uint64_t now);

/* A packet to send. */
struct rvt_outgoing {
    unsigned char *bytes; /* the host's buffer, with room for RVT_MOST_PACKET_BYTES */
    uint32_t length;      /* of the UDP payload, with the ICRC, which rvt_endpoint_seal() fills in */
    struct rvt_wire_peer to;
};

/* Writes the next packets into the host's buffers, up to `count` and RVT_MOST_PACKETS, and returns how many: fewer
 * only if there is nothing more to send now. Bytes of memory are read, and judged, at this moment. Packets that the
 * host then cannot send are lost packets, and repeated by the rules. */
uint32_t rvt_endpoint_send(struct rvt_endpoint *endpoint, struct rvt_outgoing *packets, uint32_t count,
                           uint64_t now);

/* Computes the ICRC of a packet. `ip_id`: the identification with which the IPv4 packet will be sent. Needs no lock. */
void rvt_endpoint_seal(const struct rvt_endpoint *endpoint, const struct rvt_outgoing *packet,
                       uint16_t ip_id);

/* Acts on time: retransmissions, and ends of waits. Returns when to call again (microseconds), or UINT64_MAX. Wakes the
 * host if there is something to send now. */
uint64_t rvt_endpoint_tick(struct rvt_endpoint *endpoint, uint64_t now);

/* Reads the counters. */
void rvt_endpoint_count(struct rvt_endpoint *endpoint, struct rvt_endpoint_counters *counters);

#endif
