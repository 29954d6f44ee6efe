/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/frame.h"

#include <string.h>

#include "wire/address.h"
#include "wire/bytes.h"
#include "wire/icrc.h"

enum {
    ETHERNET_HEADER = 14,
    VLAN_TAG = 4,
    SLL_HEADER = 16,
    SLL2_HEADER = 20,

    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    TYPE_VLAN = 0x8100,
    TYPE_PROVIDER_VLAN = 0x88a8,
    TYPE_OLD_PROVIDER_VLAN = 0x9100,
    TYPE_ROCE_V1 = 0x8915,
    NO_TYPE = 0,                /* an EtherType that is not known */
    TYPE_UNREAD_LINK = 0x10000, /* no EtherType: the link layer cannot be read */

    PROTOCOL_UDP = 17,
    MORE_FRAGMENTS = 0x2000,
    FRAGMENT_OFFSET = 0x1fff,
    /* IPv6 extension headers that may stand between the IPv6 header and UDP. */
    IPV6_HOP_BY_HOP = 0,
    IPV6_ROUTING = 43,
    IPV6_FRAGMENT = 44,
    IPV6_DESTINATION = 60,
    MAX_IPV6_EXTENSIONS = 8,
};

/* --- checksums of the internet --- */

/* Adds the 16-bit numbers of `length` bytes to a sum that is not folded yet, two of them as one number of 32 bits:
 * folding gives the same. Fewer than 2^16 bytes are added to one sum, so it does not overflow. */
static uint64_t add_words(uint64_t sum, const unsigned char *bytes, size_t length) {
    for (; length >= 4; bytes += 4, length -= 4)
        sum += rvt_load_be32(bytes);
    if (length >= 2) {
        sum += rvt_load_be16(bytes);
        bytes += 2, length -= 2;
    }
    return length ? sum + (uint64_t)(*bytes << 8) : sum;
}

/* Folds a sum of 16-bit and 32-bit numbers to its remainder of 16 bits. */
static uint16_t fold_sum(uint64_t sum) {
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* Returns the folded sum of a UDP datagram and its pseudo header: 0xffff if its checksum is right. */
static uint16_t udp_sum(const struct rvt_frame *frame, const unsigned char *udp, uint32_t length) {
    uint64_t sum = add_words(PROTOCOL_UDP + (uint64_t)length, udp, length);
    /* The first 12 bytes of an IPv4 address in 16 bytes are not in the pseudo header. */
    const unsigned skip = frame->ipv6 ? 0 : 12;
    sum = add_words(sum, frame->source + skip, 16 - skip);
    return fold_sum(add_words(sum, frame->destination + skip, 16 - skip));
}

/* --- decoding --- */

/* Steps over the VLAN tags at `at`, behind EtherType *type, and returns the position behind them. Stores the EtherType
 * of what is there in *type; NO_TYPE if the bytes end, or if there are too many tags. */
static uint32_t skip_tags(const unsigned char *bytes, uint32_t captured, uint32_t at, uint32_t *type,
                          struct rvt_frame *frame) {
    while (*type == TYPE_VLAN || *type == TYPE_PROVIDER_VLAN || *type == TYPE_OLD_PROVIDER_VLAN) {
        if (captured - at < VLAN_TAG || frame->tags == RVT_MAX_VLAN_TAGS) {
            *type = NO_TYPE;
            break;
        }
        frame->tag[frame->tags++] = *type << 16 | rvt_load_be16(bytes + at);
        *type = rvt_load_be16(bytes + at + 2);
        at += VLAN_TAG;
    }
    return at;
}

/* Decodes the link layer. Stores the position of the IP header in frame->ip_at. Returns the EtherType of what is
 * there, NO_TYPE or TYPE_UNREAD_LINK. */
static uint32_t decode_link(uint32_t link_type, const unsigned char *bytes, uint32_t captured,
                            struct rvt_frame *frame) {
    uint32_t type = NO_TYPE, at = 0;
    switch (link_type) {
    case RVT_LINK_ETHERNET:
        if (captured < ETHERNET_HEADER)
            return NO_TYPE;
        frame->ethernet = true;
        memcpy(frame->mac_to, bytes, 6);
        memcpy(frame->mac_from, bytes + 6, 6);
        type = rvt_load_be16(bytes + 12);
        at = ETHERNET_HEADER;
        break;
    case RVT_LINK_LINUX_SLL:
        if (captured < SLL_HEADER)
            return NO_TYPE;
        type = rvt_load_be16(bytes + 14);
        at = SLL_HEADER;
        break;
    case RVT_LINK_LINUX_SLL2:
        if (captured < SLL2_HEADER)
            return NO_TYPE;
        type = rvt_load_be16(bytes);
        at = SLL2_HEADER;
        break;
    case RVT_LINK_IPV4:
        type = TYPE_IPV4;
        break;
    case RVT_LINK_IPV6:
        type = TYPE_IPV6;
        break;
    case RVT_LINK_RAW:
    case RVT_LINK_RAW_BSD_12:
    case RVT_LINK_RAW_BSD_14: /* the version in the IP header tells */
        if (captured)
            type = bytes[0] >> 4 == 4 ? TYPE_IPV4 : bytes[0] >> 4 == 6 ? TYPE_IPV6 : NO_TYPE;
        break;
    default:
        return TYPE_UNREAD_LINK;
    }
    frame->ip_at = skip_tags(bytes, captured, at, &type, frame);
    return type;
}

/* Decodes an IPv4 header of which `there` bytes can be read. */
static enum rvt_frame_kind decode_ipv4(const unsigned char *ip, uint32_t there, struct rvt_frame *frame) {
    if (there < RVT_IPV4_BYTES || ip[0] >> 4 != 4 || ip[9] != PROTOCOL_UDP)
        return RVT_FRAME_OTHER;
    frame->ip_header = (ip[0] & 15u) * 4;
    if (frame->ip_header < RVT_IPV4_BYTES)
        return RVT_FRAME_OTHER;
    frame->traffic_class = ip[1];
    frame->ip_bytes = rvt_load_be16(ip + 2);
    frame->id = rvt_load_be16(ip + 4);
    frame->fragment = rvt_load_be16(ip + 6);
    frame->ttl = ip[8];
    if (frame->fragment & FRAGMENT_OFFSET)
        return RVT_FRAME_FRAGMENT;
    rvt_store_ipv4(frame->source, ip + 12);
    rvt_store_ipv4(frame->destination, ip + 16);
    frame->ip_options = frame->ip_header > RVT_IPV4_BYTES;
    if (frame->fragment & MORE_FRAGMENTS)
        frame->fault = RVT_WIRE_FAULT_FRAGMENT;
    if (frame->ip_header <= there)
        frame->bad_ip_checksum = fold_sum(add_words(0, ip, frame->ip_header)) != 0xffff;
    return RVT_FRAME_ROCE;
}

/* Decodes an IPv6 header, and steps over extension headers. */
static enum rvt_frame_kind decode_ipv6(const unsigned char *ip, uint32_t there, struct rvt_frame *frame) {
    if (there < RVT_IPV6_BYTES || ip[0] >> 4 != 6)
        return RVT_FRAME_OTHER;
    frame->ipv6 = true;
    frame->traffic_class = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
    frame->flow_label = rvt_load_be24(ip + 1) & 0xfffff;
    frame->ip_bytes = RVT_IPV6_BYTES + (uint32_t)rvt_load_be16(ip + 4);
    frame->ttl = ip[7];
    memcpy(frame->source, ip + 8, 16);
    memcpy(frame->destination, ip + 24, 16);
    uint32_t next = ip[6], at = RVT_IPV6_BYTES;
    for (int i = 0; next != PROTOCOL_UDP; i++) {
        if (i == MAX_IPV6_EXTENSIONS || there - at < 8)
            return RVT_FRAME_OTHER;
        uint32_t bytes = 8;
        if (next == IPV6_FRAGMENT) {
            const uint32_t fragment = rvt_load_be16(ip + at + 2);
            if (fragment >> 3)
                return RVT_FRAME_FRAGMENT;
            if (fragment & 1)
                frame->fault = RVT_WIRE_FAULT_FRAGMENT;
        } else if (next == IPV6_HOP_BY_HOP || next == IPV6_ROUTING || next == IPV6_DESTINATION) {
            bytes = (ip[at + 1] + 1u) * 8;
        } else {
            return RVT_FRAME_OTHER;
        }
        if (there - at < bytes)
            return RVT_FRAME_OTHER;
        next = ip[at];
        at += bytes;
        frame->ip_options = true;
    }
    frame->ip_header = at;
    return RVT_FRAME_ROCE;
}

/* Checks the ICRC of a packet that is there as a whole. `body`: the UDP payload's bytes without the ICRC. */
static void check_icrc(const unsigned char *ip, uint32_t body, struct rvt_frame *frame) {
    const unsigned char *transport = ip + frame->ip_header + RVT_UDP_BYTES;
    frame->icrc = rvt_load_le32(transport + body);
    frame->icrc_computed = rvt_icrc(ip, frame->ip_header, transport + RVT_BTH_BYTES, body - RVT_BTH_BYTES);
    if (frame->icrc == frame->icrc_computed) {
        frame->icrc_verdict = RVT_ICRC_GOOD;
        return;
    }
    frame->icrc_verdict = RVT_ICRC_BAD;
    const uint32_t behind_id = frame->ip_bytes - RVT_ICRC_BYTES - 6;
    if (!frame->ipv6 &&
        rvt_icrc_solve_ip_id(frame->icrc_computed, frame->icrc, behind_id, frame->id, &frame->icrc_ip_id))
        frame->icrc_verdict = RVT_ICRC_OTHER_ID;
}

/* Decodes what follows the IP header. `there`: bytes from the IP header on that can be read; `frame_bytes`: bytes
 * from there on in the frame. */
static enum rvt_wire_fault decode_udp(const unsigned char *ip, uint32_t there, uint32_t frame_bytes,
                                      struct rvt_frame *frame) {
    const unsigned char *udp = ip + frame->ip_header;
    if (frame->ip_bytes < frame->ip_header + RVT_UDP_BYTES || frame->ip_bytes > frame_bytes)
        return RVT_WIRE_FAULT_IP_LENGTH;
    frame->trailer = frame->ip_bytes < frame_bytes;
    if (there - frame->ip_header < RVT_UDP_BYTES)
        return RVT_WIRE_FAULT_CUT;
    frame->udp_checksum = rvt_load_be16(udp + 6);
    const uint32_t udp_bytes = rvt_load_be16(udp + 4);
    if (udp_bytes != frame->ip_bytes - frame->ip_header)
        return RVT_WIRE_FAULT_UDP_LENGTH;
    const bool whole = there >= frame->ip_bytes;
    if (whole && frame->udp_checksum)
        frame->bad_udp_checksum = udp_sum(frame, udp, udp_bytes) != 0xffff;
    if (udp_bytes < RVT_UDP_BYTES + RVT_BTH_BYTES + RVT_ICRC_BYTES)
        return RVT_WIRE_FAULT_SHORT;
    const uint32_t body = udp_bytes - RVT_UDP_BYTES - RVT_ICRC_BYTES;
    if (whole)
        check_icrc(ip, body, frame);
    const uint32_t readable = there - frame->ip_header - RVT_UDP_BYTES;
    const uint32_t body_there = readable < body ? readable : body;
    struct rvt_transport *transport = &frame->transport;
    const enum rvt_wire_fault fault = rvt_decode_transport(udp + RVT_UDP_BYTES, body, body_there, transport);
    frame->transport_at = frame->ip_at + frame->ip_header + RVT_UDP_BYTES;
    frame->payload_at = frame->transport_at + transport->payload_at;
    const uint32_t payload_there =
        body_there > transport->payload_at ? body_there - transport->payload_at : 0;
    frame->payload_there =
        payload_there < transport->payload_length ? payload_there : transport->payload_length;
    return fault;
}

enum rvt_frame_kind rvt_decode_frame(uint32_t link_type, const unsigned char *bytes, uint32_t captured,
                                     uint32_t original, struct rvt_frame *frame) {
    memset(frame, 0, sizeof(*frame));
    const uint32_t type = decode_link(link_type, bytes, captured, frame);
    if (type == TYPE_UNREAD_LINK)
        return RVT_FRAME_UNREAD_LINK;
    if (type != TYPE_IPV4 && type != TYPE_IPV6)
        return type == TYPE_ROCE_V1 ? RVT_FRAME_ROCE_V1 : RVT_FRAME_OTHER;
    const unsigned char *ip = bytes + frame->ip_at;
    const uint32_t there = captured - frame->ip_at;
    const enum rvt_frame_kind kind =
        type == TYPE_IPV4 ? decode_ipv4(ip, there, frame) : decode_ipv6(ip, there, frame);
    if (kind != RVT_FRAME_ROCE)
        return kind;
    if (there < frame->ip_header || there - frame->ip_header < 4 ||
        rvt_load_be16(ip + frame->ip_header + 2) != RVT_ROCE_UDP_PORT)
        return RVT_FRAME_OTHER;
    frame->source_port = rvt_load_be16(ip + frame->ip_header);
    /* Some files say that the frame was shorter than what they hold of it. */
    const uint32_t length = original > captured ? original : captured;
    frame->cut = length > captured;
    if (frame->fault == RVT_WIRE_FAULT_NONE)
        frame->fault = decode_udp(ip, there, length - frame->ip_at, frame);
    return RVT_FRAME_ROCE;
}

/* --- encoding --- */

static unsigned char *encode_ethernet(const struct rvt_frame *frame, unsigned char *at) {
    memcpy(at, frame->mac_to, 6);
    memcpy(at + 6, frame->mac_from, 6);
    at += 12;
    for (unsigned i = 0; i < frame->tags && i < RVT_MAX_VLAN_TAGS; i++, at += VLAN_TAG)
        rvt_store_be32(at, frame->tag[i]);
    rvt_store_be16(at, frame->ipv6 ? TYPE_IPV6 : TYPE_IPV4);
    return at + 2;
}

static unsigned char *encode_ip(const struct rvt_frame *frame, uint32_t udp_bytes, unsigned char *at) {
    if (frame->ipv6) {
        rvt_store_be32(at, 6u << 28 | (uint32_t)frame->traffic_class << 20 | (frame->flow_label & 0xfffff));
        rvt_store_be16(at + 4, udp_bytes);
        at[6] = PROTOCOL_UDP;
        at[7] = frame->ttl;
        memcpy(at + 8, frame->source, 16);
        memcpy(at + 24, frame->destination, 16);
        return at + RVT_IPV6_BYTES;
    }
    at[0] = 0x45;
    at[1] = frame->traffic_class;
    rvt_store_be16(at + 2, RVT_IPV4_BYTES + udp_bytes);
    rvt_store_be16(at + 4, frame->id);
    rvt_store_be16(at + 6, frame->fragment);
    at[8] = frame->ttl;
    at[9] = PROTOCOL_UDP;
    rvt_store_be16(at + 10, 0);
    memcpy(at + 12, frame->source + 12, 4);
    memcpy(at + 16, frame->destination + 12, 4);
    rvt_store_be16(at + 10, 0xffffu ^ fold_sum(add_words(0, at, RVT_IPV4_BYTES)));
    return at + RVT_IPV4_BYTES;
}

/* Returns the bytes of the link layer's header. */
static uint32_t link_bytes(const struct rvt_frame *frame) {
    const uint32_t tags = frame->tags < RVT_MAX_VLAN_TAGS ? frame->tags : RVT_MAX_VLAN_TAGS;
    return frame->ethernet ? ETHERNET_HEADER + tags * VLAN_TAG : 0;
}

uint32_t rvt_encode_frame(const struct rvt_frame *frame, uint32_t payload, unsigned char *bytes) {
    unsigned char headers[RVT_MAX_TRANSPORT_HEADERS];
    const uint32_t transport = rvt_encode_transport(&frame->transport, headers);
    const uint32_t udp_bytes =
        RVT_UDP_BYTES + transport + payload + (frame->transport.pad & 3) + RVT_ICRC_BYTES;
    unsigned char *at = frame->ethernet ? encode_ethernet(frame, bytes) : bytes;
    at = encode_ip(frame, udp_bytes, at);
    rvt_store_be16(at, frame->source_port);
    rvt_store_be16(at + 2, RVT_ROCE_UDP_PORT);
    rvt_store_be16(at + 4, udp_bytes);
    rvt_store_be16(at + 6, frame->udp_checksum);
    at += RVT_UDP_BYTES;
    memcpy(at, headers, transport);
    return (uint32_t)(at - bytes) + transport;
}

void rvt_seal_frame(const struct rvt_frame *frame, unsigned char *bytes, uint32_t length) {
    const unsigned char *ip = bytes + link_bytes(frame);
    const uint32_t ip_header = frame->ipv6 ? RVT_IPV6_BYTES : RVT_IPV4_BYTES;
    const unsigned char *body = ip + ip_header + RVT_UDP_BYTES + RVT_BTH_BYTES;
    unsigned char *icrc = bytes + length - RVT_ICRC_BYTES;
    rvt_store_le32(icrc, rvt_icrc(ip, ip_header, body, (size_t)(icrc - body)));
}

uint16_t rvt_frame_udp_checksum(const struct rvt_frame *frame, const unsigned char *bytes, uint32_t length) {
    const uint32_t udp_at = link_bytes(frame) + (frame->ipv6 ? RVT_IPV6_BYTES : RVT_IPV4_BYTES);
    const unsigned char *udp = bytes + udp_at;
    /* The checksum field itself does not count. */
    const uint64_t sum = (uint64_t)udp_sum(frame, udp, length - udp_at) + (0xffffu ^ rvt_load_be16(udp + 6));
    const uint16_t checksum = (uint16_t)(0xffffu ^ fold_sum(sum));
    return checksum ? checksum : 0xffff; /* 0 would mean that there is none */
}
