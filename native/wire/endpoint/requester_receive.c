/* SPDX-License-Identifier: BSD-3-Clause */
/* The answers to a requester. Nothing of a packet is believed that this end cannot know to be possible: answers to what
 * was not sent, or was completed, are dropped. An answer that is in its turn and breaks the rules ends the work request
 * with BAD_RESP_ERR (InfiniBand specification, 9.9.2); one that is not in its turn is dropped.
 *
 * The MSN is not looked at: the PSN says the same, and Linux's soft-RoCE does not count every message. */
#include "wire/endpoint/requester_queue.h"

enum {
    SYNDROME_CLASS = 0xe0, /* bits that say what kind of acknowledgement it is */
    CLASS_ACK = 0x00,
    CLASS_RNR_NAK = 0x20,
    RNR_TIMER = 0x1f,
    NAK_SEQUENCE = 0x60,
    NAK_INVALID = 0x61,
    NAK_ACCESS = 0x62,
    NAK_OPERATION = 0x63,
    RNR_FOREVER = 7,
};

/* A response is missing that the peer must have sent: asks for it again, once until there is progress or the timer is
 * due. Answers that were on their way meanwhile would otherwise each ask again. */
static void ask_again(struct rvt_connection *connection) {
    struct rvt_wire_requester *requester = &connection->requester;
    if (requester->asked_again)
        return;
    requester->asked_again = true;
    rvt_go_back(connection);
}

/* A response has come out of turn, because one in front of it was lost. The peer is at work: it may send the rest of a
 * long READ before it looks at the request for what is missing, and retries must not run out meanwhile. So the timer
 * begins again, but only for responses behind all that have come since going back: a peer cannot let this go on for
 * ever. */
static void hear(struct rvt_connection *connection, uint32_t psn, uint64_t now) {
    struct rvt_wire_requester *requester = &connection->requester;
    if (requester->waiting ||
        rvt_psn_offset(requester, psn) < rvt_psn_offset(requester, requester->heard_psn))
        return;
    requester->heard_psn = rvt_psn_after(psn, 1);
    rvt_connection_set_deadline(connection, UINT64_MAX);
    rvt_start_transport_timer(connection, now);
}

/* Returns the index of the begun work request to which a PSN in flight belongs; or UINT32_MAX if one in front of it
 * still needs a response. What it goes past is completed next, if the peer keeps to the rules. */
static uint32_t find_request(const struct rvt_wire_requester *requester, uint32_t psn) {
    const uint32_t offset = rvt_psn_offset(requester, psn);
    for (uint32_t i = 0; i < requester->begun; i++) {
        const struct rvt_wire_request *request = rvt_begun(requester, i);
        if (offset < rvt_psn_offset(requester, rvt_psn_after(request->psn, request->psns)))
            return i;
        if (rvt_needs_response(request))
            break;
    }
    return UINT32_MAX;
}

/* Judges the opcode and the length of a READ's response. `position`: of the response in the message. */
static bool response_fits(const struct rvt_connection *connection, const struct rvt_incoming *packet,
                          const struct rvt_wire_request *request, uint32_t position, uint32_t length) {
    const uint32_t mtu = connection->mtu, opcode = packet->transport.opcode;
    const bool first = !position, last = position + 1 == request->psns;
    const uint32_t expected = last ? length - position * mtu : mtu;
    if (packet->transport.payload_length != expected)
        return false;
    if ((packet->transport.syndrome & SYNDROME_CLASS) != CLASS_ACK) /* 0 if the packet has none */
        return false;
    /* When a READ is asked for again from its middle on, some responders begin again with FIRST, others go on with
     * MIDDLE; and a last response is LAST or ONLY. */
    if (opcode == RVT_BTH_RC_READ_RESPONSE_FIRST)
        return !last && (first || request->resumed);
    if (opcode == RVT_BTH_RC_READ_RESPONSE_MIDDLE)
        return !last && !first;
    if (opcode == RVT_BTH_RC_READ_RESPONSE_LAST)
        return last && !first;
    return last && (first || request->resumed);
}

/* An answer that breaks the rules. */
static void refuse_answer(struct rvt_connection *connection, uint32_t index, uint32_t psn) {
    if (!index && psn == connection->requester.oldest_psn)
        rvt_fail_oldest(connection, RVT_WC_STATUS_BAD_RESP_ERR, RVT_WHY_BAD_PACKET, 0);
}

static void take_read_response(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    struct rvt_wire_requester *requester = &connection->requester;
    const uint32_t psn = packet->transport.psn, bytes = packet->transport.payload_length;
    const uint32_t index = find_request(requester, psn);
    if (index == UINT32_MAX) {
        ask_again(connection);
        return;
    }
    const struct rvt_wire_request *request = rvt_begun(requester, index);
    const uint32_t position = (psn - request->psn) & RVT_PSN_MASK;
    struct rvt_carried_send send;
    rvt_carrier_send(connection->qp, index, &send);
    if (request->kind != RVT_WIRE_READ ||
        !response_fits(connection, packet, request, position, send.length)) {
        refuse_answer(connection, index, psn);
        return;
    }
    /* A response says that everything in front of the READ was carried out. */
    if (index && !rvt_acknowledge(connection, request->psn, packet->now))
        return;
    if (psn != requester->oldest_psn) {
        ask_again(connection);
        hear(connection, psn, packet->now);
        return;
    }
    request = rvt_begun(requester, 0);
    struct rvt_why why;
    const uint64_t offset = (uint64_t)position * connection->mtu;
    if (bytes && !rvt_carrier_scatter(connection->qp, 0, offset, packet->payload, bytes, &why)) {
        rvt_carrier_fail(connection->qp, RVT_WC_STATUS_LOC_PROT_ERR, &why);
        return;
    }
    rvt_take_response(connection, position + 1 == request->psns, packet->now);
}

static void take_atomic_response(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    struct rvt_wire_requester *requester = &connection->requester;
    const uint32_t psn = packet->transport.psn;
    const uint32_t index = find_request(requester, psn);
    if (index == UINT32_MAX) {
        ask_again(connection);
        return;
    }
    const struct rvt_wire_request *request = rvt_begun(requester, index);
    if (request->kind != RVT_WIRE_ATOMIC || !packet->payload_fits ||
        (packet->transport.syndrome & SYNDROME_CLASS) != CLASS_ACK) {
        refuse_answer(connection, index, psn);
        return;
    }
    if (index && !rvt_acknowledge(connection, psn, packet->now))
        return;
    struct rvt_why why;
    if (rvt_carrier_scatter_value(connection->qp, 0, packet->transport.original, &why))
        rvt_take_response(connection, true, packet->now);
    else
        rvt_carrier_fail(connection->qp, RVT_WC_STATUS_LOC_PROT_ERR, &why);
}

/* Asks again if the peer has carried out a READ or an atomic operation whose response is missing. */
static void ask_for_missing_response(struct rvt_connection *connection) {
    const struct rvt_wire_requester *requester = &connection->requester;
    if (requester->acknowledged_psn != requester->oldest_psn)
        ask_again(connection);
}

static void take_acknowledgement(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    if (rvt_acknowledge(connection, rvt_psn_after(packet->transport.psn, 1), packet->now))
        ask_for_missing_response(connection);
}

/* The peer waits for this PSN: packets were lost. */
static void take_sequence_nak(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    if (!rvt_acknowledge(connection, packet->transport.psn, packet->now))
        return;
    /* Nothing was sent since going back: the NAK has come twice, or belongs to what was sent before. */
    if (connection->requester.gone_back)
        return;
    /* Counted as a retry, so that a peer cannot let this go on for ever. */
    rvt_retry(connection, RVT_WHY_NAK, packet->transport.syndrome);
}

/* The peer has no receive for this PSN. */
static void take_rnr_nak(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    struct rvt_wire_requester *requester = &connection->requester;
    const uint32_t psn = packet->transport.psn;
    if (!rvt_acknowledge(connection, psn, packet->now) || requester->waiting)
        return;
    if (requester->oldest_psn != psn) {
        ask_for_missing_response(connection);
        return;
    }
    if (!requester->rnr_left) {
        rvt_fail_oldest(connection, RVT_WC_STATUS_RNR_RETRY_EXC_ERR, RVT_WHY_NO_RECEIVE, 0);
        return;
    }
    if (rvt_carrier_attr(connection->qp)->rnr_retry != RNR_FOREVER)
        requester->rnr_left--;
    rvt_go_back(connection);
    requester->waiting = true;
    rvt_connection_set_deadline(connection,
                                packet->now + rvt_rnr_microseconds(packet->transport.syndrome & RNR_TIMER));
}

/* The peer has refused the work request with this PSN. */
static void take_fatal_nak(struct rvt_connection *connection, const struct rvt_incoming *packet,
                           enum rvt_wc_status status) {
    struct rvt_wire_requester *requester = &connection->requester;
    const uint32_t index = find_request(requester, packet->transport.psn);
    if (index == UINT32_MAX)
        ask_again(connection);
    else if (!index || rvt_acknowledge(connection, rvt_begun(requester, index)->psn, packet->now))
        rvt_fail_oldest(connection, status, RVT_WHY_NAK, packet->transport.syndrome);
}

/* A positive or negative acknowledgement. Reserved syndromes are dropped. */
static void take_acknowledge(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    const struct rvt_wire_requester *requester = &connection->requester;
    const uint32_t psn = packet->transport.psn, syndrome = packet->transport.syndrome;
    /* What the peer has acknowledged, it cannot miss or lack a receive for: an answer that was overtaken. */
    const bool acknowledged =
        rvt_psn_offset(requester, psn) < rvt_psn_offset(requester, requester->acknowledged_psn);
    if (!packet->payload_fits)
        return;
    if ((syndrome & SYNDROME_CLASS) == CLASS_ACK)
        take_acknowledgement(connection, packet);
    else if ((syndrome & SYNDROME_CLASS) == CLASS_RNR_NAK && !acknowledged)
        take_rnr_nak(connection, packet);
    else if (syndrome == NAK_SEQUENCE && !acknowledged)
        take_sequence_nak(connection, packet);
    else if (syndrome == NAK_INVALID)
        take_fatal_nak(connection, packet, RVT_WC_STATUS_REM_INV_REQ_ERR);
    else if (syndrome == NAK_ACCESS)
        take_fatal_nak(connection, packet, RVT_WC_STATUS_REM_ACCESS_ERR);
    else if (syndrome == NAK_OPERATION)
        take_fatal_nak(connection, packet, RVT_WC_STATUS_REM_OP_ERR);
}

void rvt_requester_receive(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    const struct rvt_wire_requester *requester = &connection->requester;
    if (!rvt_in_flight(requester, packet->transport.psn)) /* nothing is, unless it runs */
        return;
    switch (packet->transport.opcode) {
    case RVT_BTH_RC_ACKNOWLEDGE:
        take_acknowledge(connection, packet);
        break;
    case RVT_BTH_RC_ATOMIC_ACKNOWLEDGE:
        take_atomic_response(connection, packet);
        break;
    default:
        take_read_response(connection, packet);
    }
}
