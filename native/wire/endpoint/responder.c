/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/endpoint/responder.h"

#include <string.h>

#include "wire/endpoint/connection.h"
#include "wire/endpoint/messages.h"

/* AETH syndromes (InfiniBand specification, volume 1, 9.7.5.2.1). */
enum {
    ACK = 0x1f, /* an ACK without a limit of credits */
    RNR_NAK = 0x20,
    NAK_SEQUENCE = 0x60,
    NAK_INVALID = 0x61,
    NAK_ACCESS = 0x62,
    NAK_OPERATION = 0x63,
};

/* Returns how many READs and atomic operations the peer may have open. */
static uint32_t depth(const struct rvt_connection *connection) {
    const uint32_t agreed = rvt_carrier_attr(connection->qp)->max_dest_rd_atomic;
    if (!agreed)
        return 1;
    return agreed < RVT_MOST_ANSWERS ? agreed : RVT_MOST_ANSWERS;
}

/* --- what is due --- */

/* Makes an ACK due. There is never more than one: it says the newest PSN, and acknowledges everything before it. */
static void want_ack(struct rvt_connection *connection) {
    struct rvt_wire_responder *responder = &connection->responder;
    responder->ack_due = true;
    responder->ack_psn = rvt_psn_after(responder->expected_psn, 0xffffff);
    rvt_connection_wake(connection);
}

/* Makes a NAK due that asks for the expected packet again, and makes the responder silent. */
static void ask_again(struct rvt_connection *connection, uint8_t syndrome) {
    struct rvt_wire_responder *responder = &connection->responder;
    responder->silent = true;
    responder->nak = syndrome;
    responder->nak_psn = responder->expected_psn;
    rvt_connection_wake(connection);
}

static bool is_fatal(uint8_t syndrome) {
    return syndrome > NAK_SEQUENCE;
}

/* A request that is refused. */
struct refused {
    uint8_t opcode;
    uint32_t psn, msn; /* msn: requests in front of it that were carried out */
};

/* Ends the connection because of a request, for which the core has put the queue pair into ERR: makes the NAK due, in
 * place of every answer to this and later requests. Does nothing if the queue pair has ended. */
static void refuse(struct rvt_connection *connection, struct refused request, enum rvt_response response,
                   const struct rvt_why *why, uint64_t now) {
    struct rvt_wire_responder *responder = &connection->responder;
    rvt_answers_cut(&responder->answers, request.psn, responder->expected_psn);
    switch (response) {
    case RVT_RESPONSE_INVALID:
        responder->nak = NAK_INVALID;
        break;
    case RVT_RESPONSE_ACCESS:
        responder->nak = NAK_ACCESS;
        break;
    case RVT_RESPONSE_OPERATION:
        responder->nak = NAK_OPERATION;
        break;
    default:
        return;
    }
    responder->nak_psn = request.psn;
    responder->msn = request.msn;
    rvt_connection_refused(connection, request.opcode, request.psn, responder->nak, why, now);
    rvt_connection_wake(connection);
}

/* --- READs and atomic operations --- */

static struct rvt_answer answer_of_read(const struct rvt_connection *connection,
                                        const struct rvt_transport *transport) {
    return (struct rvt_answer){
        .addr = transport->address,
        .rest = transport->length,
        .rkey = transport->rkey,
        .psn = transport->psn,
        .end = rvt_psn_after(transport->psn, rvt_packets_of(transport->length, connection->mtu)),
    };
}

static struct rvt_answer answer_of_atomic(uint32_t psn, uint64_t value) {
    return (struct rvt_answer){.atomic = true, .value = value, .psn = psn, .end = rvt_psn_after(psn, 1)};
}

static enum rvt_response carry_out_atomic(struct rvt_connection *connection,
                                          const struct rvt_transport *transport, uint64_t *old,
                                          struct rvt_why *why) {
    const bool swap = transport->opcode == RVT_BTH_RC_CMP_SWAP;
    return rvt_carrier_atomic(connection->qp, swap ? RVT_WR_ATOMIC_CMP_AND_SWP : RVT_WR_ATOMIC_FETCH_AND_ADD,
                              transport->address, transport->rkey,
                              swap ? transport->compare : transport->swap_add, transport->swap_add, old, why);
}

static enum rvt_response answer_request(struct rvt_connection *connection,
                                        const struct rvt_transport *transport, uint8_t shape,
                                        struct rvt_why *why) {
    struct rvt_wire_responder *responder = &connection->responder;
    struct rvt_asked asked = {.psn = transport->psn, .psns = 1, .atomic = shape & RVT_ATOMICS};
    struct rvt_answer answer;
    enum rvt_response response;
    if (transport->length > RVT_MOST_MESSAGE ||
        !rvt_answers_have_room(&responder->answers, depth(connection)))
        return rvt_carrier_invalid(connection->qp, why);
    if (asked.atomic) {
        response = carry_out_atomic(connection, transport, &asked.value, why);
        answer = answer_of_atomic(transport->psn, asked.value);
    } else {
        const struct rvt_carried_access access = {
            .addr = transport->address, .rest = transport->length, .rkey = transport->rkey};
        response = rvt_carrier_judge(connection->qp, RVT_ACCESS_REMOTE_READ, &access, why);
        answer = answer_of_read(connection, transport);
        asked.addr = transport->address;
        asked.length = transport->length;
        asked.rkey = transport->rkey;
        asked.psns = rvt_packets_of(transport->length, connection->mtu);
    }
    if (response != RVT_RESPONSE_DONE)
        return response;
    answer.msn = rvt_psn_after(responder->msn, 1);
    rvt_answers_append(&responder->answers, &answer);
    rvt_answers_keep(&responder->answers, &asked, depth(connection));
    responder->expected_psn = answer.end;
    rvt_connection_wake(connection);
    return RVT_RESPONSE_DONE;
}

/* --- packets in --- */

static enum rvt_response carry_out(struct rvt_connection *connection, const struct rvt_incoming *packet,
                                   uint8_t shape, struct rvt_why *why) {
    if (!rvt_message_in_order(connection, packet, shape))
        return rvt_carrier_invalid(connection->qp, why);
    if (shape & (RVT_SENDS | RVT_WRITES))
        return rvt_message_packet(connection, packet, shape, why);
    return answer_request(connection, &packet->transport, shape, why);
}

/* The packet was carried out. */
static void proceed(struct rvt_connection *connection, const struct rvt_transport *transport, uint8_t shape) {
    struct rvt_wire_responder *responder = &connection->responder;
    responder->silent = false;
    responder->nak = 0; /* one that was not sent yet asks for a packet that has come now */
    if (shape & RVT_ENDS)
        responder->msn = rvt_psn_after(responder->msn, 1);
    if (shape & (RVT_READS | RVT_ATOMICS))
        return; /* the answer acknowledges it */
    responder->expected_psn = rvt_psn_after(responder->expected_psn, 1);
    /* At the end of a message also unasked, since not every peer asks. Of the packets that come in together, only the
     * last one's ACK is sent. */
    if (transport->ack_req || (shape & RVT_ENDS))
        want_ack(connection);
}

static struct refused request_of(const struct rvt_connection *connection, const struct rvt_incoming *packet) {
    return (struct refused){packet->transport.opcode, packet->transport.psn, connection->responder.msn};
}

static void receive_expected(struct rvt_connection *connection, const struct rvt_incoming *packet,
                             uint8_t shape) {
    struct rvt_why why = rvt_because(RVT_WHY_NONE);
    connection->responder.executing = true;
    const enum rvt_response response = carry_out(connection, packet, shape, &why);
    connection->responder.executing = false;
    if (response == RVT_RESPONSE_DONE)
        proceed(connection, &packet->transport, shape);
    else if (response == RVT_RESPONSE_RNR)
        ask_again(connection, (uint8_t)(RNR_NAK | rvt_carrier_attr(connection->qp)->min_rnr_timer));
    else
        refuse(connection, request_of(connection, packet), response, &why, packet->now);
}

/* Returns whether a READ is one that came before, or the rest of it from a later response on. */
static bool is_repeated_read(const struct rvt_connection *connection, const struct rvt_asked *asked,
                             const struct rvt_transport *transport) {
    const uint64_t offset =
        (uint64_t)(rvt_psn_after(transport->psn, 0x1000000 - asked->psn) & 0xffffff) * connection->mtu;
    return transport->address == asked->addr + offset && transport->rkey == asked->rkey &&
           offset <= asked->length && transport->length == asked->length - offset;
}

/* Answers a READ or an atomic operation that came again. A READ is a new access to memory, judged when its responses are
 * sent; an atomic operation is not carried out again. What the peer did not ask for before, or so long ago that it
 * cannot need the answer, gets none: it may come from somebody who knows less than the peer. */
static void repeat_answer(struct rvt_connection *connection, const struct rvt_transport *transport,
                          uint8_t shape) {
    struct rvt_wire_responder *responder = &connection->responder;
    const struct rvt_asked *asked = rvt_answers_find(&responder->answers, transport->psn);
    struct rvt_answer answer;
    if (!asked || asked->atomic != ((shape & RVT_ATOMICS) != 0))
        return;
    if (asked->atomic)
        answer = answer_of_atomic(transport->psn, asked->value);
    else if (is_repeated_read(connection, asked, transport))
        answer = answer_of_read(connection, transport);
    else
        return;
    answer.msn = responder->msn;
    rvt_answers_repeat(&responder->answers, &answer, depth(connection), responder->expected_psn);
    rvt_connection_wake(connection);
}

/* Answers a packet that came before: the answer may have been lost. */
static void receive_again(struct rvt_connection *connection, const struct rvt_incoming *packet,
                          uint8_t shape) {
    rvt_connection_counters(connection)->duplicates++;
    if (shape & (RVT_SENDS | RVT_WRITES))
        want_ack(connection);
    else if (packet->payload_fits)
        repeat_answer(connection, &packet->transport, shape);
}

void rvt_responder_receive(struct rvt_connection *connection, const struct rvt_incoming *packet) {
    struct rvt_wire_responder *responder = &connection->responder;
    const uint8_t shape = rvt_packet_shape(packet->transport.opcode);
    const int32_t ahead = rvt_psn_distance(packet->transport.psn, responder->expected_psn);
    if (!shape)
        return;
    if (ahead > 0) {
        rvt_connection_counters(connection)->out_of_order++;
        if (!responder->silent)
            ask_again(connection, NAK_SEQUENCE);
    } else if (ahead < 0) {
        receive_again(connection, packet, shape);
    } else {
        receive_expected(connection, packet, shape);
    }
}

/* --- packets out --- */

static void begin_answer(const struct rvt_connection *connection, struct rvt_packet *packet, uint8_t opcode,
                         uint32_t psn, uint8_t syndrome, uint32_t msn) {
    (void)rvt_packet_begin(connection, packet, opcode);
    packet->transport.psn = psn;
    packet->transport.syndrome = syndrome;
    packet->transport.msn = msn;
}

/* Returns the opcode of the next response to a READ. One that is resumed begins with FIRST, like any other. */
static uint8_t read_response(const struct rvt_answer *answer, bool ends) {
    if (answer->begun)
        return ends ? RVT_BTH_RC_READ_RESPONSE_LAST : RVT_BTH_RC_READ_RESPONSE_MIDDLE;
    return ends ? RVT_BTH_RC_READ_RESPONSE_ONLY : RVT_BTH_RC_READ_RESPONSE_FIRST;
}

/* Writes the next response to the READ that is due. Returns false if it is refused now. That ends the connection, unless the
 * READ came again: the peer may have had all of it, and this end may have taken the memory back since. */
static bool send_read_response(struct rvt_connection *connection, struct rvt_answer *answer,
                               struct rvt_packet *packet, uint64_t now) {
    const uint32_t bytes = answer->rest < connection->mtu ? answer->rest : connection->mtu;
    const bool ends = bytes == answer->rest;
    const struct rvt_carried_access access = {
        .addr = answer->addr,
        .rest = answer->rest,
        .rkey = answer->rkey,
        .again = !answer->repeated || answer->begun,
        .lenient = answer->repeated,
    };
    struct rvt_why why = rvt_because(RVT_WHY_NONE);
    enum rvt_response response = RVT_RESPONSE_DONE;
    unsigned char *payload = rvt_packet_begin(connection, packet, read_response(answer, ends));
    if (bytes) {
        connection->responder.executing = true;
        response = rvt_carrier_read(connection->qp, &access, payload, bytes, &why);
        connection->responder.executing = false;
    }
    if (response != RVT_RESPONSE_DONE && !answer->repeated) {
        /* It was counted when it was accepted. A peer must not learn from the count that it was. */
        const uint32_t msn = rvt_psn_after(answer->msn, 0xffffff);
        refuse(connection, (struct refused){RVT_BTH_RC_READ_REQUEST, answer->psn, msn}, response, &why, now);
    }
    if (response != RVT_RESPONSE_DONE)
        return false;
    packet->payload_length = bytes;
    packet->transport.psn = answer->psn;
    packet->transport.syndrome = ACK;
    packet->transport.msn = answer->msn;
    answer->addr += bytes;
    answer->rest -= bytes;
    answer->psn = rvt_psn_after(answer->psn, 1);
    answer->begun = true;
    return true;
}

/* Writes the first answer that is due. Returns false if it is refused now. */
static bool send_answer(struct rvt_connection *connection, struct rvt_packet *packet, uint64_t now) {
    struct rvt_wire_responder *responder = &connection->responder;
    struct rvt_answer *answer = &responder->answers.due[0];
    const uint32_t psn = answer->psn;
    const bool repeated = answer->repeated;
    if (answer->atomic) {
        begin_answer(connection, packet, RVT_BTH_RC_ATOMIC_ACKNOWLEDGE, psn, ACK, answer->msn);
        packet->transport.original = answer->value;
        answer->psn = answer->end;
    } else if (!send_read_response(connection, answer, packet, now)) {
        if (repeated)
            rvt_answers_shift(&responder->answers);
        else
            rvt_answers_clear(&responder->answers); /* those behind the refused one */
        return false;
    }
    if (rvt_psn_distance(responder->ack_psn, psn) <= 0)
        responder->ack_due = false; /* a response acknowledges everything before it */
    if (answer->psn == answer->end)
        rvt_answers_shift(&responder->answers);
    return true;
}

static void send_nak(struct rvt_connection *connection, struct rvt_packet *packet) {
    struct rvt_wire_responder *responder = &connection->responder;
    struct rvt_endpoint_counters *counters = rvt_connection_counters(connection);
    begin_answer(connection, packet, RVT_BTH_RC_ACKNOWLEDGE, responder->nak_psn, responder->nak,
                 responder->msn);
    if (responder->nak == NAK_SEQUENCE)
        counters->sequence_naks++;
    else if (!is_fatal(responder->nak))
        counters->rnr_naks++;
    responder->nak = 0;
    responder->ack_due = false; /* it acknowledges everything before its PSN */
}

/* Acknowledges everything up to the READs and atomic operations that came last, if any did: the ACK is for a SEND or a WRITE
 * that came again. With the PSN of a READ or an atomic operation, soft-RoCE would take it for the response, if that was
 * lost, and complete the request without its bytes. */
static void send_ack(struct rvt_connection *connection, struct rvt_packet *packet) {
    const struct rvt_wire_responder *responder = &connection->responder;
    uint32_t psn = responder->expected_psn;
    const uint32_t last = rvt_answers_at_end(&responder->answers, &psn);
    begin_answer(connection, packet, RVT_BTH_RC_ACKNOWLEDGE, rvt_psn_after(psn, 0xffffff), ACK,
                 rvt_psn_after(responder->msn, 0x1000000 - last));
}

bool rvt_responder_send(struct rvt_connection *connection, struct rvt_packet *packet, uint64_t now) {
    struct rvt_wire_responder *responder = &connection->responder;
    /* In the order of PSNs: an ACK or a NAK would acknowledge the READs in front of it, whose bytes the peer does not
     * have yet. */
    while (responder->answers.count)
        if (send_answer(connection, packet, now))
            return true;
    if (responder->nak) {
        send_nak(connection, packet);
        return true;
    }
    if (!responder->ack_due)
        return false;
    responder->ack_due = false;
    send_ack(connection, packet);
    return true;
}

/* --- states --- */

void rvt_responder_start(struct rvt_connection *connection) {
    memset(&connection->responder, 0, sizeof(connection->responder));
    connection->responder.expected_psn = rvt_carrier_attr(connection->qp)->rq_psn;
}

void rvt_responder_stop(struct rvt_connection *connection, bool reset) {
    struct rvt_wire_responder *responder = &connection->responder;
    responder->message.kind = 0;
    if (reset || !is_fatal(responder->nak))
        responder->nak = 0;
    if (responder->executing && !reset)
        return; /* refuse() follows */
    responder->ack_due = false;
    rvt_answers_clear(&responder->answers);
}
