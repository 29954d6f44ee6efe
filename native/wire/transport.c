/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/transport.h"

#include <string.h>

#include "wire/bytes.h"

enum {
    BTH = RVT_WIRE_HAS_BTH,
    RETH = RVT_WIRE_HAS_RETH,
    ATOMIC = RVT_WIRE_HAS_ATOMIC_ETH,
    AETH = RVT_WIRE_HAS_AETH,
    ATOMIC_ACK = RVT_WIRE_HAS_ATOMIC_ACK_ETH,
    IMM = RVT_WIRE_HAS_IMM,
    IETH = RVT_WIRE_HAS_IETH,
    DETH = RVT_WIRE_HAS_DETH,

    RETH_BYTES = 16,
    ATOMIC_BYTES = 28,
    AETH_BYTES = 4,
    ATOMIC_ACK_BYTES = 8,
    IMM_BYTES = 4,
    IETH_BYTES = 4,
    DETH_BYTES = 8,
};

/* Which payload a packet has. */
enum payload {
    NO_PAYLOAD,
    WHOLE_MTU,    /* a first or middle packet: exactly a path MTU, without pad bytes */
    SOME_PAYLOAD, /* a last packet: at least one byte */
    ANY_PAYLOAD,  /* the only packet of a message */
    RESERVED_16,  /* CNP: 16 reserved bytes */
};

struct opcode {
    uint8_t headers, payload;
};

#define REQUESTS_OF(transport)                                                                               \
    [RVT_BTH_##transport##_SEND_FIRST] = {BTH, WHOLE_MTU},                                                   \
    [RVT_BTH_##transport##_SEND_MIDDLE] = {BTH, WHOLE_MTU},                                                  \
    [RVT_BTH_##transport##_SEND_LAST] = {BTH, SOME_PAYLOAD},                                                 \
    [RVT_BTH_##transport##_SEND_LAST_WITH_IMM] = {BTH | IMM, SOME_PAYLOAD},                                  \
    [RVT_BTH_##transport##_SEND_ONLY] = {BTH, ANY_PAYLOAD},                                                  \
    [RVT_BTH_##transport##_SEND_ONLY_WITH_IMM] = {BTH | IMM, ANY_PAYLOAD},                                   \
    [RVT_BTH_##transport##_WRITE_FIRST] = {BTH | RETH, WHOLE_MTU},                                           \
    [RVT_BTH_##transport##_WRITE_MIDDLE] = {BTH, WHOLE_MTU},                                                 \
    [RVT_BTH_##transport##_WRITE_LAST] = {BTH, SOME_PAYLOAD},                                                \
    [RVT_BTH_##transport##_WRITE_LAST_WITH_IMM] = {BTH | IMM, SOME_PAYLOAD},                                 \
    [RVT_BTH_##transport##_WRITE_ONLY] = {BTH | RETH, ANY_PAYLOAD},                                          \
    [RVT_BTH_##transport##_WRITE_ONLY_WITH_IMM] = {BTH | RETH | IMM, ANY_PAYLOAD}

/* Opcodes that are not listed have no headers. */
static const struct opcode opcodes[256] = {
    REQUESTS_OF(RC),
    [RVT_BTH_RC_READ_REQUEST] = {BTH | RETH, NO_PAYLOAD},
    [RVT_BTH_RC_READ_RESPONSE_FIRST] = {BTH | AETH, WHOLE_MTU},
    [RVT_BTH_RC_READ_RESPONSE_MIDDLE] = {BTH, WHOLE_MTU},
    [RVT_BTH_RC_READ_RESPONSE_LAST] = {BTH | AETH, SOME_PAYLOAD},
    [RVT_BTH_RC_READ_RESPONSE_ONLY] = {BTH | AETH, ANY_PAYLOAD},
    [RVT_BTH_RC_ACKNOWLEDGE] = {BTH | AETH, NO_PAYLOAD},
    [RVT_BTH_RC_ATOMIC_ACKNOWLEDGE] = {BTH | AETH | ATOMIC_ACK, NO_PAYLOAD},
    [RVT_BTH_RC_CMP_SWAP] = {BTH | ATOMIC, NO_PAYLOAD},
    [RVT_BTH_RC_FETCH_ADD] = {BTH | ATOMIC, NO_PAYLOAD},
    [RVT_BTH_RC_SEND_LAST_WITH_INV] = {BTH | IETH, SOME_PAYLOAD},
    [RVT_BTH_RC_SEND_ONLY_WITH_INV] = {BTH | IETH, ANY_PAYLOAD},
    REQUESTS_OF(UC),
    [RVT_BTH_UD_SEND_ONLY] = {BTH | DETH, ANY_PAYLOAD},
    [RVT_BTH_UD_SEND_ONLY_WITH_IMM] = {BTH | DETH | IMM, ANY_PAYLOAD},
    [RVT_BTH_CNP] = {BTH, RESERVED_16},
};

uint32_t rvt_opcode_headers(uint8_t opcode) {
    return opcodes[opcode].headers;
}

uint32_t rvt_headers_bytes(uint32_t headers) {
    return (headers & BTH ? RVT_BTH_BYTES : 0u) + (headers & DETH ? DETH_BYTES : 0u) +
           (headers & RETH ? RETH_BYTES : 0u) + (headers & ATOMIC ? ATOMIC_BYTES : 0u) +
           (headers & AETH ? AETH_BYTES : 0u) + (headers & ATOMIC_ACK ? ATOMIC_ACK_BYTES : 0u) +
           (headers & IMM ? IMM_BYTES : 0u) + (headers & IETH ? IETH_BYTES : 0u);
}

bool rvt_payload_allowed(uint8_t opcode, uint32_t length) {
    switch ((enum payload)opcodes[opcode].payload) {
    case NO_PAYLOAD:
        return length == 0;
    case WHOLE_MTU:
        return length >= 256 && length <= RVT_MAX_PAYLOAD && (length & (length - 1)) == 0;
    case SOME_PAYLOAD:
        return length >= 1 && length <= RVT_MAX_PAYLOAD;
    case ANY_PAYLOAD:
        return length <= RVT_MAX_PAYLOAD;
    case RESERVED_16:
        return length == RVT_CNP_RESERVED_BYTES;
    }
    return false;
}

static void decode_bth(const unsigned char *bytes, struct rvt_transport *packet) {
    packet->opcode = bytes[0];
    packet->solicited = bytes[1] >> 7;
    packet->migreq = bytes[1] >> 6 & 1;
    packet->pad = bytes[1] >> 4 & 3;
    packet->version = bytes[1] & 15;
    packet->pkey = rvt_load_be16(bytes + 2);
    packet->fecn = bytes[4] >> 7;
    packet->becn = bytes[4] >> 6 & 1;
    packet->reserved_6 = bytes[4] & 63;
    packet->dest_qp = rvt_load_be24(bytes + 5);
    packet->ack_req = bytes[8] >> 7;
    packet->reserved_7 = bytes[8] & 127;
    packet->psn = rvt_load_be24(bytes + 9);
}

/* Decodes the extension headers, which follow the BTH in this order. */
static void decode_extensions(const unsigned char *bytes, uint32_t headers, struct rvt_transport *packet) {
    if (headers & DETH) {
        packet->qkey = rvt_load_be32(bytes);
        packet->deth_reserved = bytes[4];
        packet->source_qp = rvt_load_be24(bytes + 5);
        bytes += DETH_BYTES;
    }
    if (headers & (RETH | ATOMIC)) {
        packet->address = rvt_load_be64(bytes);
        packet->rkey = rvt_load_be32(bytes + 8);
        if (headers & RETH) {
            packet->length = rvt_load_be32(bytes + 12);
            bytes += RETH_BYTES;
        } else {
            packet->swap_add = rvt_load_be64(bytes + 12);
            packet->compare = rvt_load_be64(bytes + 20);
            bytes += ATOMIC_BYTES;
        }
    }
    if (headers & AETH) {
        packet->syndrome = bytes[0];
        packet->msn = rvt_load_be24(bytes + 1);
        bytes += AETH_BYTES;
    }
    if (headers & ATOMIC_ACK) {
        packet->original = rvt_load_be64(bytes);
        bytes += ATOMIC_ACK_BYTES;
    }
    if (headers & IMM) {
        packet->immediate = rvt_load_be32(bytes);
        bytes += IMM_BYTES;
    }
    if (headers & IETH)
        packet->invalidate = rvt_load_be32(bytes);
}

enum rvt_wire_fault rvt_decode_transport(const unsigned char *bytes, uint32_t length, uint32_t there,
                                         struct rvt_transport *packet) {
    memset(packet, 0, sizeof(*packet));
    packet->payload_length = length;
    if (length < RVT_BTH_BYTES)
        return RVT_WIRE_FAULT_SHORT;
    if (there < RVT_BTH_BYTES)
        return RVT_WIRE_FAULT_CUT;
    decode_bth(bytes, packet);
    packet->headers = BTH;
    packet->payload_at = RVT_BTH_BYTES;
    packet->payload_length = length - RVT_BTH_BYTES;
    if (packet->version != 0)
        return RVT_WIRE_FAULT_VERSION;
    const uint32_t headers = opcodes[packet->opcode].headers, end = rvt_headers_bytes(headers);
    if (!headers)
        return RVT_WIRE_FAULT_OPCODE;
    if (end > length)
        return RVT_WIRE_FAULT_HEADERS;
    if (end > there)
        return RVT_WIRE_FAULT_CUT;
    decode_extensions(bytes + RVT_BTH_BYTES, headers, packet);
    packet->headers = headers;
    packet->payload_at = end;
    packet->payload_length = length - end;
    if (packet->pad > length - end || length % 4 != 0)
        return RVT_WIRE_FAULT_PAD;
    packet->payload_length -= packet->pad;
    return rvt_payload_allowed(packet->opcode, packet->payload_length) ? RVT_WIRE_FAULT_NONE
                                                                       : RVT_WIRE_FAULT_PAYLOAD;
}

uint32_t rvt_encode_transport(const struct rvt_transport *packet, unsigned char *bytes) {
    unsigned char *at = bytes;
    at[0] = packet->opcode;
    at[1] = (unsigned char)(packet->solicited << 7 | packet->migreq << 6 | (packet->pad & 3) << 4 |
                            (packet->version & 15));
    rvt_store_be16(at + 2, packet->pkey);
    at[4] = (unsigned char)(packet->fecn << 7 | packet->becn << 6 | (packet->reserved_6 & 63));
    rvt_store_be24(at + 5, packet->dest_qp);
    at[8] = (unsigned char)(packet->ack_req << 7 | (packet->reserved_7 & 127));
    rvt_store_be24(at + 9, packet->psn);
    at += RVT_BTH_BYTES;
    if (packet->headers & DETH) {
        rvt_store_be32(at, packet->qkey);
        at[4] = packet->deth_reserved;
        rvt_store_be24(at + 5, packet->source_qp);
        at += DETH_BYTES;
    }
    if (packet->headers & RETH) {
        rvt_store_be64(at, packet->address);
        rvt_store_be32(at + 8, packet->rkey);
        rvt_store_be32(at + 12, packet->length);
        at += RETH_BYTES;
    } else if (packet->headers & ATOMIC) {
        rvt_store_be64(at, packet->address);
        rvt_store_be32(at + 8, packet->rkey);
        rvt_store_be64(at + 12, packet->swap_add);
        rvt_store_be64(at + 20, packet->compare);
        at += ATOMIC_BYTES;
    }
    if (packet->headers & AETH) {
        at[0] = packet->syndrome;
        rvt_store_be24(at + 1, packet->msn);
        at += AETH_BYTES;
    }
    if (packet->headers & ATOMIC_ACK) {
        rvt_store_be64(at, packet->original);
        at += ATOMIC_ACK_BYTES;
    }
    if (packet->headers & IMM) {
        rvt_store_be32(at, packet->immediate);
        at += IMM_BYTES;
    }
    if (packet->headers & IETH) {
        rvt_store_be32(at, packet->invalidate);
        at += IETH_BYTES;
    }
    return (uint32_t)(at - bytes);
}
