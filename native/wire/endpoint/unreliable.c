/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a UC or UD queue pair, and what it sends. */
#include "wire/endpoint/unreliable.h"

#include <string.h>

#include "wire/endpoint/connection.h"

/* --- states --- */

void rvt_unreliable_start_receiving(struct rvt_connection *connection) {
    memset(&connection->responder, 0, sizeof(connection->responder));
    connection->responder.expected_psn = rvt_carrier_attr(connection->qp)->rq_psn;
}

void rvt_unreliable_start_sending(struct rvt_connection *connection) {
    connection->unreliable = (struct rvt_unreliable){.psn = rvt_carrier_attr(connection->qp)->sq_psn};
}

void rvt_unreliable_stop(struct rvt_connection *connection) {
    connection->responder.message.kind = 0;
    connection->unreliable.packet = 0;
}

void rvt_unreliable_work(struct rvt_connection *connection) {
    if (rvt_carrier_sends(connection->qp))
        rvt_connection_wake(connection);
}

/* --- packets out --- */

/* Returns the opcode of a packet of a UC message. */
static uint8_t uc_opcode(const struct rvt_carried_send *send, bool first, bool last) {
    const bool write = send->opcode == RVT_WR_RDMA_WRITE || send->opcode == RVT_WR_RDMA_WRITE_WITH_IMM;
    const bool imm = send->opcode == RVT_WR_RDMA_WRITE_WITH_IMM || send->opcode == RVT_WR_SEND_WITH_IMM;
    if (!last && write)
        return first ? RVT_BTH_UC_WRITE_FIRST : RVT_BTH_UC_WRITE_MIDDLE;
    if (!last)
        return first ? RVT_BTH_UC_SEND_FIRST : RVT_BTH_UC_SEND_MIDDLE;
    if (write && first)
        return imm ? RVT_BTH_UC_WRITE_ONLY_WITH_IMM : RVT_BTH_UC_WRITE_ONLY;
    if (write)
        return imm ? RVT_BTH_UC_WRITE_LAST_WITH_IMM : RVT_BTH_UC_WRITE_LAST;
    if (first)
        return imm ? RVT_BTH_UC_SEND_ONLY_WITH_IMM : RVT_BTH_UC_SEND_ONLY;
    return imm ? RVT_BTH_UC_SEND_LAST_WITH_IMM : RVT_BTH_UC_SEND_LAST;
}

/* Begins the next packet of a UC message. Returns where the payload goes. */
static unsigned char *begin_uc(struct rvt_connection *connection, const struct rvt_carried_send *send,
                               bool last, struct rvt_packet *packet) {
    unsigned char *payload =
        rvt_packet_begin(connection, packet, uc_opcode(send, !connection->unreliable.packet, last));
    packet->transport.address = send->remote_addr;
    packet->transport.rkey = send->rkey;
    packet->transport.length = send->length;
    packet->transport.solicited =
        last && (send->flags & RVT_SEND_SOLICITED) && send->opcode != RVT_WR_RDMA_WRITE;
    return payload;
}

/* Begins a datagram, and stores to whom it goes. Returns where the payload goes. */
static unsigned char *begin_datagram(struct rvt_connection *connection, const struct rvt_carried_send *send,
                                     struct rvt_packet *packet, struct rvt_wire_peer *to) {
    struct rvt_carried_destination destination;
    rvt_carrier_destination(connection->qp, 0, &destination);
    memcpy(to->address, destination.host.ip, sizeof(to->address));
    to->port = destination.host.udp_port;
    const bool imm = send->opcode == RVT_WR_SEND_WITH_IMM;
    unsigned char *payload =
        rvt_packet_begin(connection, packet, imm ? RVT_BTH_UD_SEND_ONLY_WITH_IMM : RVT_BTH_UD_SEND_ONLY);
    packet->transport.dest_qp = destination.qpn;
    packet->transport.qkey = destination.qkey;
    packet->transport.source_qp = rvt_carrier_qpn(connection->qp);
    packet->transport.solicited = send->flags & RVT_SEND_SOLICITED;
    return payload;
}

/* Returns whether the oldest work request may be carried out: in RTS, and in SQD if it has begun. */
static bool may_send(const struct rvt_connection *connection) {
    const uint32_t state = rvt_carrier_attr(connection->qp)->state;
    return state == RVT_QPS_RTS || (state == RVT_QPS_SQD && connection->unreliable.packet);
}

bool rvt_unreliable_send(struct rvt_connection *connection, struct rvt_packet *packet,
                         struct rvt_wire_peer *to) {
    struct rvt_engine_qp *qp = connection->qp;
    struct rvt_unreliable *unreliable = &connection->unreliable;
    struct rvt_carried_send send;
    struct rvt_why why;
    /* Completing a work request can put the queue pair into ERR, if its completion queue is full. */
    while (may_send(connection) && rvt_carrier_sends(qp)) {
        rvt_carrier_send(qp, 0, &send);
        if (send.local) {
            rvt_carrier_local(qp);
            continue;
        }
        const uint32_t offset = unreliable->packet * connection->mtu;
        const bool last = send.length - offset <= connection->mtu;
        const uint32_t bytes = last ? send.length - offset : connection->mtu;
        unsigned char *payload;
        if (connection->type == RVT_QPT_UD)
            payload = begin_datagram(connection, &send, packet, to);
        else
            payload = begin_uc(connection, &send, last, packet);
        packet->transport.immediate = send.imm;
        packet->transport.psn = unreliable->psn;
        packet->payload_length = bytes;
        rvt_carrier_started(qp, 0);
        if (bytes && !rvt_carrier_gather(qp, 0, offset, payload, bytes, &why)) {
            /* The peer drops what it has of the message when the next one begins. */
            unreliable->packet = 0;
            rvt_carrier_fail(qp, RVT_WC_STATUS_LOC_PROT_ERR, &why);
            continue;
        }
        unreliable->psn = rvt_psn_after(unreliable->psn, 1);
        unreliable->packet = last ? 0 : unreliable->packet + 1;
        if (last)
            rvt_carrier_complete(qp);
        return true;
    }
    return false;
}
