/* SPDX-License-Identifier: BSD-3-Clause */
/* The requester of a connection: sends the queue pair's work requests to the peer, and acts on the answers. */
#ifndef RVT_WIRE_REQUESTER_H
#define RVT_WIRE_REQUESTER_H

#include <stdbool.h>
#include <stdint.h>

struct rvt_connection;
struct rvt_incoming;
struct rvt_packet;

struct rvt_wire_requester {
    uint32_t next_psn;
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

/* Writes the next request packet, and starts the timer it needs. Returns false if there is none now. */
bool rvt_requester_send(struct rvt_connection *connection, struct rvt_packet *packet, uint64_t now);

/* Acts on the timer, whose deadline has passed and is not set any more. */
void rvt_requester_tick(struct rvt_connection *connection, uint64_t now);

#endif
