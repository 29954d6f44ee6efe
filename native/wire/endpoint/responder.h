/* SPDX-License-Identifier: BSD-3-Clause */
/* The responder of a connection: what the peer's requests do here, and the answers to them. */
#ifndef RVT_WIRE_RESPONDER_H
#define RVT_WIRE_RESPONDER_H

#include <stdbool.h>
#include <stdint.h>

struct rvt_connection;
struct rvt_incoming;
struct rvt_packet;

struct rvt_wire_responder {
    uint32_t expected_psn, msn;
};

/* Begins with the attributes of the queue pair, which is in RTR now: expects the PSN rq_psn. */
void rvt_responder_start(struct rvt_connection *connection);

/* The queue pair went into ERR or RESET. A fatal NAK that is due is still sent; in RESET nothing is. */
void rvt_responder_stop(struct rvt_connection *connection, bool reset);

/* Acts on a request packet (any RC opcode but responses and acknowledgements). The queue pair is in RTR, RTS or SQD. */
void rvt_responder_receive(struct rvt_connection *connection, const struct rvt_incoming *packet);

/* Writes the next answer. Returns false if there is none now. */
bool rvt_responder_send(struct rvt_connection *connection, struct rvt_packet *packet, uint64_t now);

#endif
