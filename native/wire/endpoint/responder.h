/* SPDX-License-Identifier: BSD-3-Clause */
/* The responder of a connection: what the peer's requests do here, and the answers to them. */
#ifndef RVT_WIRE_RESPONDER_H
#define RVT_WIRE_RESPONDER_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/endpoint/answers.h"

struct rvt_connection;
struct rvt_incoming;
struct rvt_packet;

/* A SEND or WRITE of which a first packet has come, and the last has not. */
struct rvt_message {
    uint8_t kind;        /* of responder.c; 0: there is none */
    uint32_t done;       /* bytes that have come */
    uint64_t addr;       /* WRITE: of the next byte */
    uint32_t rest, rkey; /* WRITE: bytes from `addr` on */
};

struct rvt_wire_responder {
    uint32_t expected_psn;
    uint32_t msn; /* requests that were carried out, modulo 2^24 */
    struct rvt_message message;
    bool ack_due;
    /* A packet did not come in its turn, or found no receive, and a NAK says so: nothing more is said to packets that
     * are ahead, until the expected one comes. */
    bool silent;
    bool executing;   /* inside a function that judges a request */
    uint8_t nak;      /* AETH syndrome of the NAK that is due; 0: none */
    uint32_t ack_psn; /* of the newest packet that wants the ACK */
    uint32_t nak_psn;
    struct rvt_answers answers;
};

/* Begins with the attributes of the queue pair, which is in RTR now: expects the PSN rq_psn. */
void rvt_responder_start(struct rvt_connection *connection);

/* The queue pair went into ERR or RESET, or was put into ERR once more: no memory is touched any more, and what the
 * peer had begun ends. If it went into ERR because a request was refused, the answers to earlier requests and then the
 * NAK are still sent, as the order of PSNs demands. In any other case only a fatal NAK that is due already, and in
 * RESET nothing. */
void rvt_responder_stop(struct rvt_connection *connection, bool reset);

/* Acts on a request packet (any RC opcode but responses and acknowledgements). The queue pair is in RTR, RTS or SQD. */
void rvt_responder_receive(struct rvt_connection *connection, const struct rvt_incoming *packet);

/* Writes the next answer. Returns false if there is none now. */
bool rvt_responder_send(struct rvt_connection *connection, struct rvt_packet *packet, uint64_t now);

#endif
