/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection manager of an endpoint, by the state machines of the InfiniBand specification, volume 1, chapter 12.9:
 * queue pairs of two hosts learn each other's numbers by messages between their queue pairs 1. Passive (listen, accept,
 * reject) and active (connect, confirm) sides of RC connections, and their end (disconnect).
 *
 * Pure: messages come in by rvt_cm_receive() and go out by rvt_cm_send(), time comes in as a number, and what the host
 * must know is taken by rvt_cm_take_event(). It knows queue pairs by their numbers only: the host brings them to RTS before
 * it accepts or confirms, and stops them before it answers a disconnect. Of constant size: nothing is allocated after
 * rvt_cm_open(). Not thread-safe: the endpoint calls it under its device's engine lock.
 *
 * "Starting PSN" is where the one who reads it begins to send: the number of a REQ is for the send queue of the passive
 * side.
 *
 * What a stranger can cause. Each message that is answered at once gets one answer of the same length; a REJ, DREP, RTU or
 * MRA is never answered. Beyond that, a few messages are repeated without being asked: the REP to a request that the program
 * has accepted (RVT_CM_REP_RETRIES), and the DREQ of an established connection. Requests that are neither established nor ended are limited for each listener, and
 * end by themselves. Connections belong to the source address of the packet that began them. */
#ifndef RVT_WIRE_CM_H
#define RVT_WIRE_CM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h"
#include "wire/address.h"
#include "wire/cm/cm_messages.h"

struct rvt_cm;

enum {
    RVT_CM_MOST_CONNECTIONS = 4096, /* with those that wait for late packets */
    RVT_CM_MOST_LISTENERS = 64,
    RVT_CM_MOST_RETRIES = 15,
    RVT_CM_REP_RETRIES = 4,
};

struct rvt_cm_host {
    /* There is an event to take, a message to send, or an earlier deadline. Must not call the connection manager. */
    void (*changed)(void *data);
    /* Returns whether a source address gets no connection now. NULL: never. Must not call the connection manager. */
    bool (*limited)(void *data, const uint8_t address[16], uint64_t now);
    void *data;
};

/* What a queue pair has, and what its owner offers or asks for. */
struct rvt_cm_offer {
    uint32_t qpn;                /* number of the queue pair */
    uint32_t psn;                /* of the first packet that the one who reads this sends */
    uint8_t responder_resources; /* READs and atomic operations that it can answer at a time */
    uint8_t initiator_depth;     /* that it wants to have outstanding */
    uint8_t path_mtu;            /* code 1..5; only of the active side */
    uint8_t retry_count;         /* of the reader's queue pair; only of the active side */
    uint8_t rnr_retry_count;     /* of the reader's queue pair */
    uint8_t ack_timeout;         /* code; only of the active side */
    bool srq;
};

struct rvt_cm_counters {
    uint64_t received, sent, repeated, malformed, duplicates, unknown, requests, refused, stale, overflows,
        timeouts;             /* enum rvt_cm_counter says what they count */
    uint64_t half_open, open; /* now */
};

/* Opens a connection manager of an endpoint at this address.
 *   0        *cm is open
 *   -ENOMEM  no memory, or no random numbers */
int rvt_cm_open(const uint8_t address[16], const struct rvt_cm_host *host, struct rvt_cm **cm);
void rvt_cm_close(struct rvt_cm *cm);

/* --- passive side --- */

/* Listens for requests for a service. `backlog`: how many of its requests may be half-open at a time; further ones are
 * dropped, and asked again by their peers.
 *   0            *listener names it
 *   -EADDRINUSE  another listener has the service
 *   -EMFILE      RVT_CM_MOST_LISTENERS exist */
int rvt_cm_listen(struct rvt_cm *cm, uint64_t service, uint32_t backlog, uint32_t *listener);

/* Ends listening. Requests of which the host has not taken the event are rejected; the others stay. Does nothing for a
 * number that is none. */
void rvt_cm_unlisten(struct rvt_cm *cm, uint32_t listener);

/* Accepts a request: a REP is sent. ESTABLISHED, REJECTED, TIMEOUT or DISCONNECT follows. The queue pair must be ready for
 * packets.
 *   0        accepted
 *   -EBADF   the request is over
 *   -EINVAL  it was answered before, or there is too much private data
 *   -EBUSY   the queue pair has another connection, or had one for which late packets may come */
int rvt_cm_accept(struct rvt_cm *cm, uint32_t id, const struct rvt_cm_offer *offer, const unsigned char *data,
                  uint32_t length, uint64_t now);

/* Rejects a request for a reason of the program, with private data. Errors as for rvt_cm_accept(). */
int rvt_cm_reject(struct rvt_cm *cm, uint32_t id, const unsigned char *data, uint32_t length, uint64_t now);

/* --- active side --- */

struct rvt_cm_ask {
    struct rvt_wire_peer peer;
    uint64_t service;
    struct rvt_cm_offer offer;
    /* Private data: with a service of RDMA-CM at most RVT_CM_IP_DATA, otherwise RVT_CM_REQ_DATA. */
    const unsigned char *data;
    uint32_t length;
    uint64_t interval; /* microseconds between repetitions of the REQ, at least 1000 */
    uint32_t retries;  /* repetitions, at most RVT_CM_MOST_RETRIES */
};

/* Asks for a connection. REPLY, REJECTED or TIMEOUT follows.
 *   0        asked; *id names the connection
 *   -EINVAL  there is too much private data
 *   -EBUSY   the queue pair has another connection, or had one for which late packets may come
 *   -EMFILE  RVT_CM_MOST_CONNECTIONS exist
 *   -ENOMEM  no random numbers */
int rvt_cm_connect(struct rvt_cm *cm, const struct rvt_cm_ask *ask, uint64_t now, uint32_t *id);

/* Confirms a reply: an RTU is sent, and the connection is established. The queue pair must be ready.
 *   0        confirmed
 *   -EBADF   the connection is over
 *   -EINVAL  it was confirmed before, or there is no reply yet */
int rvt_cm_confirm(struct rvt_cm *cm, uint32_t id, uint64_t now);

/* --- the end --- */

/* Ends a connection, whatever its state: takes back a request, rejects a reply, disconnects, or answers a disconnect of the
 * peer. DISCONNECTED follows if it was established. Does nothing if it is over.
 * The queue pair must be stopped before the peer's disconnect is answered. */
void rvt_cm_disconnect(struct rvt_cm *cm, uint32_t id, uint64_t now);

/* The queue pair with this number has ended or was reset: its established connection is disconnected. */
void rvt_cm_queue_pair_gone(struct rvt_cm *cm, uint32_t qpn, uint64_t now);

/* Tells all peers that this end is going away, by one message each, which rvt_cm_send() then returns. */
void rvt_cm_hang_up(struct rvt_cm *cm, uint64_t now);

/* --- what the host must know --- */

struct rvt_cm_event {
    enum rvt_cm_event_kind kind;
    uint32_t id;                         /* of the connection */
    uint32_t listener;                   /* of a passive one */
    struct rvt_wire_peer peer;           /* to whom packets are sent */
    uint32_t reason;                     /* REJECTED: of the REJ */
    uint64_t service;                    /* REQUEST */
    uint16_t source_port;                /* REQUEST: of the header of RDMA-CM, or 0 */
    struct rvt_cm_offer offer;           /* REQUEST, REPLY: the peer's */
    uint32_t length;                     /* REQUEST, REPLY, REJECTED: bytes of private data */
    unsigned char data[RVT_CM_REP_DATA]; /* without the header of RDMA-CM */
};

/* Takes the oldest event. Returns false if there is none. */
bool rvt_cm_take_event(struct rvt_cm *cm, struct rvt_cm_event *event);

/* Whether there is one. */
bool rvt_cm_has_event(const struct rvt_cm *cm);

/* --- messages and time --- */

/* Takes in the payload of a datagram to queue pair 1. `from`: where answers go. `now`: microseconds of a clock that does not
 * go back, as everywhere. */
void rvt_cm_receive(struct rvt_cm *cm, const struct rvt_wire_peer *from, const unsigned char *bytes,
                    uint32_t length, uint64_t now);

/* Writes the next message into RVT_MAD_BYTES bytes. Returns false if there is none. */
bool rvt_cm_send(struct rvt_cm *cm, struct rvt_wire_peer *to, unsigned char *bytes);

/* Whether rvt_cm_send() has a message. */
bool rvt_cm_has_output(const struct rvt_cm *cm);

/* Acts on time. Returns when to call again, or UINT64_MAX. */
uint64_t rvt_cm_tick(struct rvt_cm *cm, uint64_t now);

/* Returns when rvt_cm_tick() must be called, or UINT64_MAX. */
uint64_t rvt_cm_deadline(const struct rvt_cm *cm);

void rvt_cm_count(const struct rvt_cm *cm, struct rvt_cm_counters *counters);

#endif
