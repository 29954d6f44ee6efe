/* SPDX-License-Identifier: BSD-3-Clause */
/* The responder of a UC queue pair. A packet that is missing, or comes out of its turn, ends the message that it belongs
 * to, and the next first packet begins another one, whatever its PSN is (InfiniBand specification, volume 1, 9.8.2.2.2;
 * hfi1 and Linux's soft-RoCE do the same). So a packet that the network doubles can be carried out twice: the program
 * must expect that, as it must expect that messages are lost. */
#include "wire/endpoint/connection.h"
#include "wire/endpoint/messages.h"
#include "wire/endpoint/unreliable.h"

/* Drops the message that a packet is of. */
static void drop(struct rvt_connection *connection, const struct rvt_incoming *packet,
                 enum rvt_response response, const struct rvt_why *why) {
    struct rvt_endpoint_counters *counters = rvt_connection_counters(connection);
    connection->responder.message.kind = 0;
    if (response == RVT_RESPONSE_RNR) {
        counters->no_receive++;
    } else if (response == RVT_RESPONSE_INVALID && why->cause == RVT_WHY_RECEIVE_TOO_SHORT) {
        counters->short_receives++;
    } else if (response == RVT_RESPONSE_INVALID && why->cause == RVT_WHY_BAD_PACKET) {
        counters->malformed++;
    } else if (response == RVT_RESPONSE_INVALID || response == RVT_RESPONSE_ACCESS) {
        /* A WRITE. Nothing tells the peer, and it may go on; but it must not find a key by trying all of them. */
        struct rvt_why ended;
        if (!rvt_connection_refused(connection, packet->transport.opcode, packet->transport.psn, 0, why,
                                    packet->now))
            (void)rvt_carrier_invalid(connection->qp, &ended);
    }
}

void rvt_uc_receive(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    struct rvt_wire_responder *responder = &connection->responder;
    struct rvt_endpoint_counters *counters = rvt_connection_counters(connection);
    const uint8_t shape = rvt_packet_shape(packet->transport.opcode);
    const bool expected = packet->transport.psn == responder->expected_psn;
    struct rvt_why why = rvt_because(RVT_WHY_NONE);
    if (!shape) /* RC has further requests */
        return;
    responder->expected_psn = rvt_psn_after(packet->transport.psn, 1);
    counters->out_of_order += !expected;
    if (!expected || !rvt_message_in_order(connection, packet, shape)) {
        counters->incomplete += responder->message.kind != 0;
        responder->message.kind = 0;
        if (!rvt_message_in_order(connection, packet, shape)) {
            counters->incomplete++;
            return;
        }
    }
    const enum rvt_response response = rvt_message_packet(connection, packet, shape, &why);
    if (response != RVT_RESPONSE_DONE)
        drop(connection, packet, response, &why);
}
