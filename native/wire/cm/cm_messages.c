/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/cm/cm_messages.h"

#include <string.h>

#include "wire/address.h"
#include "wire/bytes.h"

enum {
    BASE_VERSION = 1,
    CM_CLASS = 7,
    CLASS_VERSION = 2,
    METHOD_SEND = 3,
    HEADER = 24, /* bytes of the header of a MAD */
    /* Where parts of the header are. */
    TRANSACTION_AT = 8,
    ATTRIBUTE_AT = 16,
};

/* Where the private data of a message is, from the end of the header on, and its length. */
struct room {
    uint8_t at, bytes;
};

static struct room room_of(uint16_t attribute) {
    switch (attribute) {
    case RVT_CM_ATTRIBUTE_REQ:
        return (struct room){140, RVT_CM_REQ_DATA};
    case RVT_CM_ATTRIBUTE_MRA:
        return (struct room){10, 222};
    case RVT_CM_ATTRIBUTE_REJ:
        return (struct room){84, RVT_CM_REJ_DATA};
    case RVT_CM_ATTRIBUTE_REP:
        return (struct room){36, RVT_CM_REP_DATA};
    case RVT_CM_ATTRIBUTE_RTU:
    case RVT_CM_ATTRIBUTE_DREP:
        return (struct room){8, RVT_CM_MOST_DATA};
    case RVT_CM_ATTRIBUTE_DREQ:
        return (struct room){12, 220};
    case RVT_CM_ATTRIBUTE_SIDR_REQ:
        return (struct room){16, 216};
    case RVT_CM_ATTRIBUTE_SIDR_REP:
        return (struct room){96, 136};
    case RVT_CM_ATTRIBUTE_LAP:
        return (struct room){64, 168};
    case RVT_CM_ATTRIBUTE_APR:
        return (struct room){84, 148};
    default:
        return (struct room){0, 0};
    }
}

uint32_t rvt_cm_data_room(uint16_t attribute) {
    return room_of(attribute).bytes;
}

/* --- decoding --- */

static void decode_req(const unsigned char *at, struct rvt_cm_message *m) {
    m->service = rvt_load_be64(at + 8);
    m->guid = rvt_load_be64(at + 16);
    m->qkey = rvt_load_be32(at + 28);
    m->qpn = rvt_load_be24(at + 32);
    m->responder_resources = at[35];
    m->initiator_depth = at[39];
    m->remote_response_timeout = at[43] >> 3;
    m->transport = at[43] >> 1 & 3;
    m->flow_control = at[43] & 1;
    m->psn = rvt_load_be24(at + 44);
    m->local_response_timeout = at[47] >> 3;
    m->retry_count = at[47] & 7;
    m->pkey = rvt_load_be16(at + 48);
    m->path_mtu = at[50] >> 4;
    m->rnr_retry_count = at[50] & 7;
    m->max_cm_retries = at[51] >> 4;
    m->srq = at[51] >> 3 & 1;
    m->local_lid = rvt_load_be16(at + 52);
    m->remote_lid = rvt_load_be16(at + 54);
    memcpy(m->local_gid, at + 56, 16);
    memcpy(m->remote_gid, at + 72, 16);
    m->flow_label = rvt_load_be24(at + 88) >> 4;
    m->packet_rate = at[91] & 63;
    m->traffic_class = at[92];
    m->hop_limit = at[93];
    m->sl = at[94] >> 4;
    m->subnet_local = at[94] >> 3 & 1;
    m->ack_timeout = at[95] >> 3;
}

static void decode_rep(const unsigned char *at, struct rvt_cm_message *m) {
    m->qkey = rvt_load_be32(at + 8);
    m->qpn = rvt_load_be24(at + 12);
    m->psn = rvt_load_be24(at + 20);
    m->responder_resources = at[24];
    m->initiator_depth = at[25];
    m->ack_delay = at[26] >> 3;
    m->failover = at[26] >> 1 & 3;
    m->flow_control = at[26] & 1;
    m->rnr_retry_count = at[27] >> 5;
    m->srq = at[27] >> 4 & 1;
    m->guid = rvt_load_be64(at + 28);
}

bool rvt_decode_cm(const unsigned char *bytes, uint32_t length, struct rvt_cm_message *m) {
    const unsigned char *at = bytes + HEADER;
    memset(m, 0, sizeof(*m));
    if (length != RVT_MAD_BYTES || bytes[0] != BASE_VERSION || bytes[1] != CM_CLASS ||
        bytes[2] != CLASS_VERSION || bytes[3] != METHOD_SEND)
        return false;
    m->attribute = rvt_load_be16(bytes + ATTRIBUTE_AT);
    const struct room room = room_of(m->attribute);
    if (!room.bytes)
        return false;
    m->transaction = rvt_load_be64(bytes + TRANSACTION_AT);
    m->data = at + room.at;
    m->data_length = room.bytes;
    m->local_id = rvt_load_be32(at);
    switch (m->attribute) {
    case RVT_CM_ATTRIBUTE_REQ:
        decode_req(at, m);
        return true;
    case RVT_CM_ATTRIBUTE_SIDR_REQ:
        m->pkey = rvt_load_be16(at + 4);
        m->service = rvt_load_be64(at + 8);
        return true;
    case RVT_CM_ATTRIBUTE_SIDR_REP:
        m->status = at[4];
        m->qpn = rvt_load_be24(at + 8);
        m->service = rvt_load_be64(at + 12);
        m->qkey = rvt_load_be32(at + 20);
        return true;
    default:
        break;
    }
    m->remote_id = rvt_load_be32(at + 4);
    switch (m->attribute) {
    case RVT_CM_ATTRIBUTE_REP:
        decode_rep(at, m);
        break;
    case RVT_CM_ATTRIBUTE_MRA:
        m->about = at[8] >> 6;
        m->service_timeout = at[9] >> 3;
        break;
    case RVT_CM_ATTRIBUTE_REJ:
        m->about = at[8] >> 6;
        m->reason = rvt_load_be16(at + 10);
        m->guid = at[9] >> 1 >= 8 ? rvt_load_be64(at + 12) : 0;
        break;
    case RVT_CM_ATTRIBUTE_APR:
        m->status = at[9];
        break;
    case RVT_CM_ATTRIBUTE_DREQ:
        m->qpn = rvt_load_be24(at + 8);
        break;
    case RVT_CM_ATTRIBUTE_LAP:
        m->qpn = rvt_load_be24(at + 12);
        break;
    default:
        break;
    }
    return true;
}

/* --- encoding --- */

static void encode_req(const struct rvt_cm_message *m, unsigned char *at) {
    rvt_store_be64(at + 8, m->service);
    rvt_store_be64(at + 16, m->guid);
    rvt_store_be32(at + 28, m->qkey);
    rvt_store_be24(at + 32, m->qpn);
    at[35] = m->responder_resources;
    at[39] = m->initiator_depth;
    at[43] = (unsigned char)(m->remote_response_timeout << 3 | (m->transport & 3) << 1 | m->flow_control);
    rvt_store_be24(at + 44, m->psn);
    at[47] = (unsigned char)(m->local_response_timeout << 3 | (m->retry_count & 7));
    rvt_store_be16(at + 48, m->pkey);
    at[50] = (unsigned char)(m->path_mtu << 4 | (m->rnr_retry_count & 7));
    at[51] = (unsigned char)(m->max_cm_retries << 4 | m->srq << 3);
    rvt_store_be16(at + 52, m->local_lid);
    rvt_store_be16(at + 54, m->remote_lid);
    memcpy(at + 56, m->local_gid, 16);
    memcpy(at + 72, m->remote_gid, 16);
    rvt_store_be24(at + 88, m->flow_label << 4);
    at[91] = m->packet_rate & 63;
    at[92] = m->traffic_class;
    at[93] = m->hop_limit;
    at[94] = (unsigned char)(m->sl << 4 | m->subnet_local << 3);
    at[95] = (unsigned char)(m->ack_timeout << 3);
}

static void encode_rep(const struct rvt_cm_message *m, unsigned char *at) {
    rvt_store_be32(at + 8, m->qkey);
    rvt_store_be24(at + 12, m->qpn);
    rvt_store_be24(at + 20, m->psn);
    at[24] = m->responder_resources;
    at[25] = m->initiator_depth;
    at[26] = (unsigned char)(m->ack_delay << 3 | (m->failover & 3) << 1 | m->flow_control);
    at[27] = (unsigned char)((m->rnr_retry_count & 7) << 5 | m->srq << 4);
    rvt_store_be64(at + 28, m->guid);
}

void rvt_encode_cm(const struct rvt_cm_message *m, unsigned char *bytes) {
    unsigned char *at = bytes + HEADER;
    memset(bytes, 0, RVT_MAD_BYTES);
    bytes[0] = BASE_VERSION;
    bytes[1] = CM_CLASS;
    bytes[2] = CLASS_VERSION;
    bytes[3] = METHOD_SEND;
    rvt_store_be64(bytes + TRANSACTION_AT, m->transaction);
    rvt_store_be16(bytes + ATTRIBUTE_AT, m->attribute);
    rvt_store_be32(at, m->local_id);
    if (m->attribute != RVT_CM_ATTRIBUTE_REQ && m->attribute != RVT_CM_ATTRIBUTE_SIDR_REQ &&
        m->attribute != RVT_CM_ATTRIBUTE_SIDR_REP)
        rvt_store_be32(at + 4, m->remote_id);
    switch (m->attribute) {
    case RVT_CM_ATTRIBUTE_REQ:
        encode_req(m, at);
        break;
    case RVT_CM_ATTRIBUTE_REP:
        encode_rep(m, at);
        break;
    case RVT_CM_ATTRIBUTE_MRA:
        at[8] = (unsigned char)(m->about << 6);
        at[9] = (unsigned char)(m->service_timeout << 3);
        break;
    case RVT_CM_ATTRIBUTE_REJ:
        at[8] = (unsigned char)(m->about << 6);
        rvt_store_be16(at + 10, m->reason);
        if (m->guid) {
            at[9] = 8 << 1; /* bytes of additional information */
            rvt_store_be64(at + 12, m->guid);
        }
        break;
    case RVT_CM_ATTRIBUTE_DREQ:
        rvt_store_be24(at + 8, m->qpn);
        break;
    case RVT_CM_ATTRIBUTE_LAP:
        rvt_store_be24(at + 12, m->qpn);
        break;
    case RVT_CM_ATTRIBUTE_APR:
        at[9] = m->status;
        break;
    case RVT_CM_ATTRIBUTE_SIDR_REQ:
        rvt_store_be16(at + 4, m->pkey);
        rvt_store_be64(at + 8, m->service);
        break;
    case RVT_CM_ATTRIBUTE_SIDR_REP:
        at[4] = m->status;
        rvt_store_be24(at + 8, m->qpn);
        rvt_store_be64(at + 12, m->service);
        rvt_store_be32(at + 20, m->qkey);
        break;
    default:
        break;
    }
    if (m->data_length)
        memcpy(at + room_of(m->attribute).at, m->data, m->data_length);
}

/* --- the header of RDMA-CM --- */

enum {
    IP_HEADER_VERSION = 0,
    SOURCE_AT = 4,
    DESTINATION_AT = 20,
};

bool rvt_cm_has_ip_header(uint64_t service) {
    /* The port space, of which there are several, and the port are the low 24 bits. */
    return service >> 24 == rvt_tcp_services >> 24;
}

static void load_address(const unsigned char *at, bool ipv6, uint8_t address[16]) {
    if (ipv6)
        memcpy(address, at, 16);
    else
        rvt_store_ipv4(address, at + RVT_IPV4_AT);
}

bool rvt_decode_cm_ip_header(const unsigned char *bytes, struct rvt_cm_ip_header *header) {
    const unsigned version = bytes[1] >> 4;
    memset(header, 0, sizeof(*header));
    if (bytes[0] != IP_HEADER_VERSION || (version != 4 && version != 6))
        return false;
    header->ipv6 = version == 6;
    header->source_port = rvt_load_be16(bytes + 2);
    load_address(bytes + SOURCE_AT, header->ipv6, header->source);
    load_address(bytes + DESTINATION_AT, header->ipv6, header->destination);
    return true;
}

static void store_address(unsigned char *at, bool ipv6, const uint8_t address[16]) {
    memcpy(at, address, 16);
    if (!ipv6)
        memset(at, 0, RVT_IPV4_AT);
}

void rvt_encode_cm_ip_header(const struct rvt_cm_ip_header *header, unsigned char *bytes) {
    bytes[0] = IP_HEADER_VERSION;
    bytes[1] = (unsigned char)((header->ipv6 ? 6 : 4) << 4);
    rvt_store_be16(bytes + 2, header->source_port);
    store_address(bytes + SOURCE_AT, header->ipv6, header->source);
    store_address(bytes + DESTINATION_AT, header->ipv6, header->destination);
}

/* --- times --- */

uint64_t rvt_cm_microseconds(uint8_t code) {
    return ((uint64_t)4096 << (code & RVT_CM_MOST_TIMEOUT)) / 1000;
}

uint8_t rvt_cm_timeout_code(uint64_t microseconds) {
    uint8_t code = 0;
    while (code < RVT_CM_MOST_TIMEOUT && rvt_cm_microseconds(code) < microseconds)
        code++;
    return code;
}
