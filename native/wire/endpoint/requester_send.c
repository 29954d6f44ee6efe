/* SPDX-License-Identifier: BSD-3-Clause */
/* The packets of a requester: which work request comes next, and its next packet. */
#include "wire/endpoint/requester_queue.h"

enum {
    /* Most PSNs in flight when another packet is sent. As many as Linux's soft-RoCE has. A READ reserves the PSNs of all
     * its responses, and can go beyond. */
    WINDOW = 128,
    ASK_EVERY = 64, /* packets of a message after which an acknowledgement is asked for */
};

static enum rvt_wire_kind kind_of(const struct rvt_carried_send *send) {
    switch (send->opcode) {
    case RVT_WR_RDMA_READ:
        return RVT_WIRE_READ;
    case RVT_WR_ATOMIC_CMP_AND_SWP:
    case RVT_WR_ATOMIC_FETCH_AND_ADD:
        return RVT_WIRE_ATOMIC;
    default:
        return RVT_WIRE_MESSAGE;
    }
}

/* Returns whether the next work request may begin now, after those that have begun. */
static bool may_begin(const struct rvt_connection *connection, const struct rvt_carried_send *send) {
    const struct rvt_wire_requester *requester = &connection->requester;
    const uint32_t depth = rvt_carrier_attr(connection->qp)->max_rd_atomic;
    if (rvt_psn_offset(requester, requester->next_psn) >= WINDOW)
        return false;
    if ((send->flags & RVT_SEND_FENCE) && requester->reads)
        return false;
    /* The depth can have been set to 0 since the work request was posted. It would then never begin. */
    return kind_of(send) == RVT_WIRE_MESSAGE || requester->reads < (depth ? depth : 1);
}

/* Begins the next work request of the send queue. Local operations are carried out if they are the oldest work request,
 * otherwise in their turn. Returns false if there is none that may begin now. */
static bool begin_next(struct rvt_connection *connection, struct rvt_carried_send *send) {
    struct rvt_wire_requester *requester = &connection->requester;
    while (requester->running && requester->begun < rvt_carrier_sends(connection->qp) &&
           rvt_carrier_attr(connection->qp)->state == RVT_QPS_RTS) {
        rvt_carrier_send(connection->qp, requester->begun, send);
        if (send->local && !requester->begun) {
            rvt_carrier_local(connection->qp);
            continue;
        }
        /* What follows an invalidation must not reach the peer before the key has ended. */
        if (send->local ? send->delayed : !may_begin(connection, send))
            return false;
        rvt_carrier_started(connection->qp, requester->begun);
        if (!send->local) {
            const enum rvt_wire_kind kind = kind_of(send);
            rvt_append_begun(requester, kind,
                             kind == RVT_WIRE_ATOMIC ? 1 : rvt_packets_of(send->length, connection->mtu));
            return true;
        }
        rvt_append_begun(requester, RVT_WIRE_LOCAL, 0);
        requester->at++;
    }
    return false;
}

/* Returns how many packets of a message from its first one on are acknowledged. */
static uint32_t acknowledged_packets(const struct rvt_wire_requester *requester,
                                     const struct rvt_wire_request *request) {
    const uint32_t oldest = rvt_begun(requester, 0)->psn;
    const uint32_t end = (requester->acknowledged_psn - oldest) & RVT_PSN_MASK;
    const uint32_t begin = (request->psn - oldest) & RVT_PSN_MASK;
    return end <= begin ? 0 : end - begin < request->psns ? end - begin : request->psns;
}

/* Finds the work request from which a packet is to be sent, and reads it. Goes past what needs no packet. Returns NULL
 * if there is none now. */
static struct rvt_wire_request *next_request(struct rvt_connection *connection,
                                             struct rvt_carried_send *send) {
    struct rvt_wire_requester *requester = &connection->requester;
    for (; requester->at < requester->begun; requester->at++, requester->at_packet = 0) {
        struct rvt_wire_request *request = rvt_begun(requester, requester->at);
        if (request->kind == RVT_WIRE_MESSAGE) {
            const uint32_t acknowledged = acknowledged_packets(requester, request);
            if (requester->at_packet < acknowledged)
                requester->at_packet = acknowledged;
            if (requester->at_packet == request->psns)
                continue;
        }
        if (request->kind == RVT_WIRE_LOCAL)
            continue;
        rvt_carrier_send(connection->qp, requester->at, send);
        return request;
    }
    return begin_next(connection, send) ? rvt_begun(requester, requester->at) : NULL;
}

/* Returns the opcode of a packet of a SEND or a WRITE. */
static uint8_t message_opcode(uint32_t opcode, bool first, bool last) {
    const bool only = first && last;
    const bool write = opcode == RVT_WR_RDMA_WRITE || opcode == RVT_WR_RDMA_WRITE_WITH_IMM;
    const uint8_t begin = write ? RVT_BTH_RC_WRITE_FIRST : RVT_BTH_RC_SEND_FIRST;
    if (!last)
        return first ? begin : begin + (RVT_BTH_RC_SEND_MIDDLE - RVT_BTH_RC_SEND_FIRST);
    switch (opcode) {
    case RVT_WR_RDMA_WRITE:
        return only ? RVT_BTH_RC_WRITE_ONLY : RVT_BTH_RC_WRITE_LAST;
    case RVT_WR_RDMA_WRITE_WITH_IMM:
        return only ? RVT_BTH_RC_WRITE_ONLY_WITH_IMM : RVT_BTH_RC_WRITE_LAST_WITH_IMM;
    case RVT_WR_SEND_WITH_IMM:
        return only ? RVT_BTH_RC_SEND_ONLY_WITH_IMM : RVT_BTH_RC_SEND_LAST_WITH_IMM;
    case RVT_WR_SEND_WITH_INV:
        return only ? RVT_BTH_RC_SEND_ONLY_WITH_INV : RVT_BTH_RC_SEND_LAST_WITH_INV;
    default:
        return only ? RVT_BTH_RC_SEND_ONLY : RVT_BTH_RC_SEND_LAST;
    }
}

/* Writes the next packet of a SEND or a WRITE. Returns false if its bytes cannot be read any more. */
static bool write_message_packet(struct rvt_connection *connection, const struct rvt_wire_request *request,
                                 const struct rvt_carried_send *send, struct rvt_packet *packet,
                                 struct rvt_why *why) {
    const struct rvt_wire_requester *requester = &connection->requester;
    struct rvt_transport *transport = &packet->transport;
    const bool first = !requester->at_packet, last = requester->at_packet + 1 == request->psns;
    const uint32_t offset = requester->at_packet * connection->mtu;
    const uint32_t bytes = last ? send->length - offset : connection->mtu;
    unsigned char *payload = rvt_packet_begin(connection, packet, message_opcode(send->opcode, first, last));
    /* The headers say which of these the packet has. */
    transport->address = send->remote_addr;
    transport->rkey = send->rkey;
    transport->length = send->length;
    transport->immediate = send->imm;
    transport->invalidate = send->invalidate_rkey;
    transport->solicited = last && (send->flags & RVT_SEND_SOLICITED) && send->opcode != RVT_WR_RDMA_WRITE;
    packet->payload_length = bytes;
    return !bytes || rvt_carrier_gather(connection->qp, requester->at, offset, payload, bytes, why);
}

/* Writes the request of a READ: of the whole, or of what is left of the oldest one. */
static void write_read_request(struct rvt_connection *connection, struct rvt_wire_request *request,
                               const struct rvt_carried_send *send, uint32_t psn, struct rvt_packet *packet) {
    const uint32_t received = (psn - request->psn) & RVT_PSN_MASK, offset = received * connection->mtu;
    (void)rvt_packet_begin(connection, packet, RVT_BTH_RC_READ_REQUEST);
    packet->transport.address = send->remote_addr + offset;
    packet->transport.rkey = send->rkey;
    packet->transport.length = send->length - offset;
    if (received)
        request->resumed = true;
}

static void write_atomic(struct rvt_connection *connection, const struct rvt_carried_send *send,
                         struct rvt_packet *packet) {
    const bool swap = send->opcode == RVT_WR_ATOMIC_CMP_AND_SWP;
    (void)rvt_packet_begin(connection, packet, swap ? RVT_BTH_RC_CMP_SWAP : RVT_BTH_RC_FETCH_ADD);
    packet->transport.address = send->remote_addr;
    packet->transport.rkey = send->rkey;
    packet->transport.swap_add = swap ? send->swap : send->compare_add;
    packet->transport.compare = swap ? send->compare_add : 0;
}

/* The packet is written: goes past it. `end`: the PSN behind those that it uses. */
static void note_sent(struct rvt_connection *connection, const struct rvt_wire_request *request, uint32_t psn,
                      uint32_t end, uint64_t now) {
    struct rvt_wire_requester *requester = &connection->requester;
    if (rvt_in_flight(requester, psn))
        rvt_connection_counters(connection)->retransmitted++;
    if (rvt_psn_offset(requester, end) > rvt_psn_offset(requester, requester->sent_psn))
        requester->sent_psn = end;
    requester->at_packet++;
    if (request->kind != RVT_WIRE_MESSAGE || requester->at_packet == request->psns) {
        requester->at++;
        requester->at_packet = 0;
    }
    requester->gone_back = false;
    rvt_start_transport_timer(connection, now);
}

bool rvt_requester_send(struct rvt_connection *connection, struct rvt_packet *packet, uint64_t now) {
    struct rvt_wire_requester *requester = &connection->requester;
    struct rvt_carried_send send;
    struct rvt_why why;
    if (!requester->running || requester->waiting)
        return false;
    struct rvt_wire_request *request = next_request(connection, &send);
    if (!request)
        return false;
    uint32_t psn = rvt_psn_after(request->psn, requester->at_packet), end = rvt_psn_after(psn, 1);
    bool ask = true;
    if (request->kind == RVT_WIRE_MESSAGE) {
        const uint32_t offset = rvt_psn_offset(requester, psn);
        if (offset >= WINDOW)
            return false;
        if (!write_message_packet(connection, request, &send, packet, &why)) {
            /* In its turn: those in front of it are completed first. It is tried again then. */
            if (!requester->at)
                rvt_carrier_fail(connection->qp, RVT_WC_STATUS_LOC_PROT_ERR, &why);
            return false;
        }
        ask = requester->at_packet + 1 == request->psns || requester->unasked + 1 == ASK_EVERY ||
              offset == WINDOW - 1;
    } else if (request->kind == RVT_WIRE_READ) {
        if (!requester->at)
            psn = requester->oldest_psn;
        write_read_request(connection, request, &send, psn, packet);
        end = rvt_psn_after(request->psn, request->psns);
    } else {
        write_atomic(connection, &send, packet);
    }
    packet->transport.psn = psn;
    packet->transport.ack_req = ask;
    requester->unasked = ask ? 0 : requester->unasked + 1;
    note_sent(connection, request, psn, end, now);
    return true;
}
