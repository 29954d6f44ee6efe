/* SPDX-License-Identifier: BSD-3-Clause */
/* One queue pair that is connected through an endpoint: its two halves, and what they share. Protected by the engine
 * lock. Included by native/wire/endpoint only. */
#ifndef RVT_WIRE_CONNECTION_H
#define RVT_WIRE_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "wire/endpoint/endpoint.h"
#include "wire/endpoint/requester.h"
#include "wire/endpoint/responder.h"
#include "wire/endpoint/unreliable.h"
#include "wire/transport.h"

struct rvt_connection {
    /* In lists of the endpoint: of all connections, of those that may have something to send, of those with a deadline. */
    struct rvt_link in_connections, in_output, in_timed;
    struct rvt_endpoint *endpoint;
    struct rvt_engine_qp *qp;
    enum rvt_qp_type type;
    struct rvt_wire_peer peer; /* of an RC or UC queue pair */
    uint32_t mtu;              /* bytes of the path MTU; of an RC or UC queue pair, since RTR */
    uint64_t deadline;         /* of the requester's timer, microseconds; UINT64_MAX: it does not run */
    struct rvt_wire_responder responder;
    struct rvt_wire_requester requester;
    struct rvt_unreliable unreliable; /* in its place, if the queue pair is not RC */
};

/* A packet that came in, decoded. */
struct rvt_incoming {
    const struct rvt_datagram *datagram;
    struct rvt_transport transport;
    const unsigned char *payload; /* transport.payload_length bytes */
    /* Whether the payload has a length that the opcode may have. If not, the packet is otherwise well-formed. */
    bool payload_fits;
    uint64_t now;
};

/* A packet that goes out, while a half of the connection writes it. */
struct rvt_packet {
    struct rvt_transport transport;
    unsigned char *bytes;    /* room for RVT_MOST_PACKET_BYTES */
    uint32_t payload_length; /* bytes of payload, without pad bytes */
};

/* Begins a packet to the peer: clears *packet->transport and sets the opcode with its headers, the peer's queue pair
 * number, and what is the same in every packet. The caller sets PSN, fields of the headers, ack_req and solicited.
 * Returns where the payload goes, of which the caller sets the length (at most connection->mtu). */
unsigned char *rvt_packet_begin(const struct rvt_connection *connection, struct rvt_packet *packet,
                                uint8_t opcode);

/* Puts the connection into the list of those that may have something to send, and wakes the host. */
void rvt_connection_wake(struct rvt_connection *connection);

/* Sets when rvt_requester_tick() is called; UINT64_MAX: not. */
void rvt_connection_set_deadline(struct rvt_connection *connection, uint64_t deadline);

/* The counters of the endpoint. */
struct rvt_endpoint_counters *rvt_connection_counters(const struct rvt_connection *connection);

/* The address of this end. */
const uint8_t *rvt_connection_address(const struct rvt_connection *connection);

/* Reports a refused request to the host, and counts it against the source address. `syndrome`: of the fatal NAK that is
 * sent; 0: none, because the queue pair is not RC. Returns whether the address may still be refused more requests. */
bool rvt_connection_refused(struct rvt_connection *connection, uint8_t opcode, uint32_t psn,
                            uint32_t syndrome, const struct rvt_why *why, uint64_t now);

/* PSNs count modulo 2^24: how far `a` is ahead of `b`, -2^23 to 2^23 - 1; and the PSN `count` after `psn`. */
static inline int32_t rvt_psn_distance(uint32_t a, uint32_t b) {
    return (int32_t)((a - b) << 8) >> 8;
}
static inline uint32_t rvt_psn_after(uint32_t psn, uint32_t count) {
    return (psn + count) & 0xffffff;
}

/* Returns how many packets a message of `length` bytes has: at least 1. */
static inline uint32_t rvt_packets_of(uint32_t length, uint32_t mtu) {
    return length ? (length - 1) / mtu + 1 : 1;
}

#endif
