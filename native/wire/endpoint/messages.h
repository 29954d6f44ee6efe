/* SPDX-License-Identifier: BSD-3-Clause */
/* SENDs and WRITEs that come in, packet by packet: what the responders of RC and UC have in common. A refused packet of an
 * RC queue pair puts it into ERR, and one of a UC queue pair does not, as carrier_verbs.h says. */
#ifndef RVT_WIRE_MESSAGES_H
#define RVT_WIRE_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rvt.h"

struct rvt_connection;
struct rvt_incoming;

#define RVT_MOST_MESSAGE (UINT32_C(1) << 31) /* bytes of a message */

/* What a request packet is: one kind, and whether it is the first and the last of its message. */
enum {
    RVT_SENDS = 1,
    RVT_WRITES = 2,
    RVT_READS = 4,
    RVT_ATOMICS = 8,
    RVT_BEGINS = 16,
    RVT_ENDS = 32,
    RVT_ONLY = RVT_BEGINS | RVT_ENDS,
};

/* Returns what a packet with this opcode of RC or UC is; 0 if it is no request. */
uint8_t rvt_packet_shape(uint8_t opcode);

/* Returns whether the packet may follow what has come before it: the order of opcodes, and the length of the payload
 * (InfiniBand specification, volume 1, 9.7.4.1). */
bool rvt_message_in_order(const struct rvt_connection *connection, const struct rvt_incoming *packet,
                          uint8_t shape);

/* Carries out a packet of a SEND or a WRITE, which must be in order. After the last one the message is over
 * (rvt_message.kind is 0). After RNR it is as it was before the packet. */
enum rvt_response rvt_message_packet(struct rvt_connection *connection, const struct rvt_incoming *packet,
                                     uint8_t shape, struct rvt_why *why);

#endif
