/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/endpoint/messages.h"

#include "wire/endpoint/connection.h"

/* The opcodes of UC are those of RC with these bits. */
enum { UC_OPCODES = 0x20, UC_REQUESTS = RVT_BTH_UC_WRITE_ONLY_WITH_IMM - UC_OPCODES };

static const uint8_t shapes[] = {
    [RVT_BTH_RC_SEND_FIRST] = RVT_SENDS | RVT_BEGINS,
    [RVT_BTH_RC_SEND_MIDDLE] = RVT_SENDS,
    [RVT_BTH_RC_SEND_LAST] = RVT_SENDS | RVT_ENDS,
    [RVT_BTH_RC_SEND_LAST_WITH_IMM] = RVT_SENDS | RVT_ENDS,
    [RVT_BTH_RC_SEND_LAST_WITH_INV] = RVT_SENDS | RVT_ENDS,
    [RVT_BTH_RC_SEND_ONLY] = RVT_SENDS | RVT_ONLY,
    [RVT_BTH_RC_SEND_ONLY_WITH_IMM] = RVT_SENDS | RVT_ONLY,
    [RVT_BTH_RC_SEND_ONLY_WITH_INV] = RVT_SENDS | RVT_ONLY,
    [RVT_BTH_RC_WRITE_FIRST] = RVT_WRITES | RVT_BEGINS,
    [RVT_BTH_RC_WRITE_MIDDLE] = RVT_WRITES,
    [RVT_BTH_RC_WRITE_LAST] = RVT_WRITES | RVT_ENDS,
    [RVT_BTH_RC_WRITE_LAST_WITH_IMM] = RVT_WRITES | RVT_ENDS,
    [RVT_BTH_RC_WRITE_ONLY] = RVT_WRITES | RVT_ONLY,
    [RVT_BTH_RC_WRITE_ONLY_WITH_IMM] = RVT_WRITES | RVT_ONLY,
    [RVT_BTH_RC_READ_REQUEST] = RVT_READS | RVT_ONLY,
    [RVT_BTH_RC_CMP_SWAP] = RVT_ATOMICS | RVT_ONLY,
    [RVT_BTH_RC_FETCH_ADD] = RVT_ATOMICS | RVT_ONLY,
};

uint8_t rvt_packet_shape(uint8_t opcode) {
    if (opcode >= UC_OPCODES)
        return opcode - UC_OPCODES <= UC_REQUESTS ? shapes[opcode - UC_OPCODES] : 0;
    return opcode < sizeof(shapes) ? shapes[opcode] : 0;
}

bool rvt_message_in_order(const struct rvt_connection *connection, const struct rvt_incoming *packet,
                          uint8_t shape) {
    const uint8_t kind = connection->responder.message.kind;
    const uint32_t bytes = packet->transport.payload_length;
    if (!packet->payload_fits ||
        (shape & RVT_BEGINS ? kind != 0 : kind != (shape & (RVT_SENDS | RVT_WRITES))))
        return false;
    return shape & RVT_ENDS ? bytes <= connection->mtu : bytes == connection->mtu;
}

/* The packet breaks the rules of the transport. */
static enum rvt_response refuse_packet(struct rvt_connection *connection, struct rvt_why *why) {
    if (connection->type == RVT_QPT_RC)
        return rvt_carrier_invalid(connection->qp, why);
    *why = rvt_because(RVT_WHY_BAD_PACKET);
    return RVT_RESPONSE_INVALID;
}

/* Completes the receive of a message. Its completion queue can be full: the program will never learn of the message
 * then, so the peer must not believe that it was received. */
static enum rvt_response complete_receive(struct rvt_connection *connection,
                                          const struct rvt_transport *transport, enum rvt_wc_opcode opcode,
                                          uint32_t length, struct rvt_why *why) {
    uint32_t flags = 0, imm_or_inv = 0;
    if (transport->headers & RVT_WIRE_HAS_IMM) {
        flags = RVT_WC_WITH_IMM;
        imm_or_inv = transport->immediate;
    }
    if ((transport->headers & RVT_WIRE_HAS_IETH) &&
        rvt_carrier_invalidate(connection->qp, transport->invalidate)) {
        flags = RVT_WC_WITH_INVALIDATE;
        imm_or_inv = transport->invalidate;
    }
    rvt_carrier_received(connection->qp, opcode, flags, imm_or_inv, length, transport->solicited);
    if (rvt_carrier_attr(connection->qp)->state != RVT_QPS_ERR)
        return RVT_RESPONSE_DONE;
    *why = rvt_because(RVT_WHY_CQ_FULL);
    return RVT_RESPONSE_OPERATION;
}

static enum rvt_response send_packet(struct rvt_connection *connection, const struct rvt_incoming *packet,
                                     uint8_t shape, struct rvt_why *why) {
    struct rvt_message *message = &connection->responder.message;
    const uint32_t bytes = packet->transport.payload_length;
    enum rvt_response response;
    if (shape & RVT_BEGINS) {
        response = rvt_carrier_take_receive(connection->qp, true, why);
        if (response != RVT_RESPONSE_DONE)
            return response;
        *message = (struct rvt_message){.kind = RVT_SENDS};
    }
    if (bytes > RVT_MOST_MESSAGE - message->done)
        return refuse_packet(connection, why);
    response = rvt_carrier_fill(connection->qp, message->done, packet->payload, bytes, why);
    if (response != RVT_RESPONSE_DONE)
        return response;
    message->done += bytes;
    if (!(shape & RVT_ENDS))
        return RVT_RESPONSE_DONE;
    message->kind = 0;
    return complete_receive(connection, &packet->transport, RVT_WC_OPCODE_RECV, message->done, why);
}

static enum rvt_response write_packet(struct rvt_connection *connection, const struct rvt_incoming *packet,
                                      uint8_t shape, struct rvt_why *why) {
    struct rvt_engine_qp *qp = connection->qp;
    const struct rvt_transport *transport = &packet->transport;
    const uint32_t bytes = transport->payload_length;
    const bool ends = shape & RVT_ENDS, with_imm = transport->headers & RVT_WIRE_HAS_IMM;
    struct rvt_message message = connection->responder.message;
    enum rvt_response response = RVT_RESPONSE_DONE;
    if (shape & RVT_BEGINS)
        message = (struct rvt_message){.kind = RVT_WRITES,
                                       .addr = transport->address,
                                       .rest = transport->length,
                                       .rkey = transport->rkey};
    /* The message must end with its last packet, and not before. */
    if (message.rest > RVT_MOST_MESSAGE || (ends ? message.rest != bytes : message.rest <= bytes))
        return refuse_packet(connection, why);
    struct rvt_carried_access access = {
        .addr = message.addr,
        .rkey = message.rkey,
        .again = !(shape & RVT_BEGINS),
        .lenient = connection->type != RVT_QPT_RC,
    };
    if (with_imm || !bytes) /* without bytes: judges the access flags, before a receive is taken */
        response = rvt_carrier_judge(qp, RVT_ACCESS_REMOTE_WRITE, &access, why);
    if (response == RVT_RESPONSE_DONE && with_imm)
        response = rvt_carrier_take_receive(qp, false, why);
    access.rest = message.rest;
    if (response == RVT_RESPONSE_DONE && bytes)
        response = rvt_carrier_write(qp, &access, packet->payload, bytes, why);
    if (response != RVT_RESPONSE_DONE)
        return response; /* RNR: the message is as it was before this packet */
    message.addr += bytes;
    message.rest -= bytes;
    message.done += bytes;
    if (ends)
        message.kind = 0;
    connection->responder.message = message;
    return with_imm
               ? complete_receive(connection, transport, RVT_WC_OPCODE_RECV_RDMA_WITH_IMM, message.done, why)
               : RVT_RESPONSE_DONE;
}

enum rvt_response rvt_message_packet(struct rvt_connection *connection, const struct rvt_incoming *packet,
                                     uint8_t shape, struct rvt_why *why) {
    return shape & RVT_SENDS ? send_packet(connection, packet, shape, why)
                             : write_packet(connection, packet, shape, why);
}
