/* SPDX-License-Identifier: BSD-3-Clause */
/* The requester of a connection: sends the queue pair's work requests to the peer, and acts on the answers. */
#ifndef RVT_WIRE_REQUESTER_H
#define RVT_WIRE_REQUESTER_H

#include <stdbool.h>
#include <stdint.h>

struct rvt_connection;
struct rvt_incoming;
struct rvt_packet;

/* What completes a work request. */
enum rvt_wire_kind {
    RVT_WIRE_MESSAGE, /* a SEND or a WRITE: an acknowledgement of its last packet */
    RVT_WIRE_READ,    /* all of its responses */
    RVT_WIRE_ATOMIC,  /* its atomic acknowledgement */
    RVT_WIRE_LOCAL,   /* an operation of this end: completed in its turn, has no PSN */
};

/* A work request that has begun: it has its PSNs. */
struct rvt_wire_request {
    uint32_t psn;  /* the first */
    uint32_t psns; /* how many; of a READ, as many as it has responses */
    uint8_t kind;  /* enum rvt_wire_kind */
    bool resumed;  /* a READ that was asked for again from its middle on */
};

/* PSNs in the order of the queue: oldest_psn <= acknowledged_psn <= sent_psn <= next_psn. Everything in front of
 * oldest_psn is complete. From there to acknowledged_psn the peer has carried out everything, but a READ or an atomic
 * operation at oldest_psn still needs its response. What is at sent_psn or behind was never sent, so that no answer to
 * it is believed. */
struct rvt_wire_requester {
    struct rvt_wire_request *requests; /* ring: those that have begun, in the order of the send queue */
    uint32_t capacity, first;          /* of the ring */
    uint32_t begun;                    /* how many have begun: the first ones of the send queue */
    uint32_t oldest_psn, acknowledged_psn, sent_psn, next_psn;
    uint32_t
        heard_psn; /* behind the newest response that came out of turn; oldest_psn: none since the last progress */
    uint32_t at;        /* index of the work request that is sent from next, at most `begun` */
    uint32_t at_packet; /* how many of its packets were sent since the last going back */
    uint32_t reads;     /* READs and atomic operations that have begun and are not complete */
    uint32_t unasked;   /* packets since the last one that asked for an acknowledgement */
    uint8_t retries_left, rnr_left;
    bool running;     /* started and not stopped: set from RTS to ERR or RESET */
    bool waiting;     /* after an RNR NAK, until the deadline: nothing is sent */
    bool gone_back;   /* to oldest_psn, and nothing was sent since */
    bool asked_again; /* for a response that is missing, and there was no progress since */
};

/* Allocates what the requester needs for the queue pair's send queue; or frees it. Returns false if out of memory. */
bool rvt_requester_init(struct rvt_connection *connection);
void rvt_requester_free(struct rvt_connection *connection);

/* Begins with the attributes of the queue pair, which is in RTS now: the first PSN is sq_psn. */
void rvt_requester_start(struct rvt_connection *connection);

/* The queue pair went into ERR or RESET: its work requests end without the requester. */
void rvt_requester_stop(struct rvt_connection *connection);

/* Work requests were posted, or the queue pair left SQD. */
void rvt_requester_work(struct rvt_connection *connection);

/* Acts on a response or an acknowledgement. The queue pair is in RTS or SQD. */
void rvt_requester_receive(struct rvt_connection *connection, const struct rvt_incoming *packet);

/* Writes the next request packet, and starts the timer it needs. Returns false if there is none now. Local operations
 * that are the oldest work request are carried out here. */
bool rvt_requester_send(struct rvt_connection *connection, struct rvt_packet *packet, uint64_t now);

/* Acts on the timer, whose deadline has passed and is not set any more. */
void rvt_requester_tick(struct rvt_connection *connection, uint64_t now);

#endif
