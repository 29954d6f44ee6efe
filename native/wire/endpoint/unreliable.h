/* SPDX-License-Identifier: BSD-3-Clause */
/* UC and UD queue pairs on the network: nothing is acknowledged or repeated, so what is sent is complete, and what does not
 * fit is dropped without an answer. InfiniBand specification, volume 1, 9.8. */
#ifndef RVT_WIRE_UNRELIABLE_H
#define RVT_WIRE_UNRELIABLE_H

#include <stdbool.h>
#include <stdint.h>

struct rvt_connection;
struct rvt_incoming;
struct rvt_packet;
struct rvt_wire_peer;

/* The requester. Its messages are sent in order, so that only the oldest work request has begun. */
struct rvt_unreliable {
    uint32_t psn;    /* of the next packet */
    uint32_t packet; /* of the oldest work request: how many of its packets were sent */
};

/* Begins with the attributes of the queue pair, which is in RTR, or in RTS, now. */
void rvt_unreliable_start_receiving(struct rvt_connection *connection);
void rvt_unreliable_start_sending(struct rvt_connection *connection);

/* The queue pair went into ERR or RESET: what has begun in either direction ends. */
void rvt_unreliable_stop(struct rvt_connection *connection);

/* Work requests were posted, or the queue pair left SQD. */
void rvt_unreliable_work(struct rvt_connection *connection);

/* Writes the next packet; of a UD queue pair, also to whom it goes. A work request completes with its last packet. Returns false if there is
 * no packet now. */
bool rvt_unreliable_send(struct rvt_connection *connection, struct rvt_packet *packet,
                         struct rvt_wire_peer *to);

/* Acts on a packet: of the peer (UC), or of anybody (UD). The queue pair is in RTR, RTS or SQD. */
void rvt_uc_receive(struct rvt_connection *connection, const struct rvt_incoming *packet);
void rvt_ud_receive(struct rvt_connection *connection, const struct rvt_incoming *packet);

#endif
