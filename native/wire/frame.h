/* SPDX-License-Identifier: BSD-3-Clause */
/* The headers around a RoCEv2 packet: Ethernet with VLAN tags or another link layer, IPv4 or IPv6, UDP, and the
 * ICRC at the end. Decoding and encoding; no state, no allocation. */
#ifndef RVT_WIRE_FRAME_H
#define RVT_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/layout.h"
#include "wire/icrc.h"
#include "wire/transport.h"

/* Link types that can be read, with the numbers that capture files use (LINKTYPE_*). */
enum rvt_link_type {
    RVT_LINK_ETHERNET = 1,
    RVT_LINK_RAW_BSD_12 = 12, /* raw IP, as some systems number it */
    RVT_LINK_RAW_BSD_14 = 14,
    RVT_LINK_RAW = 101,
    RVT_LINK_LINUX_SLL = 113, /* Linux cooked capture, version 1 */
    RVT_LINK_IPV4 = 228,
    RVT_LINK_IPV6 = 229,
    RVT_LINK_LINUX_SLL2 = 276,
};

enum {
    RVT_MAX_VLAN_TAGS = 4,
    /* The most bytes that rvt_encode_frame() writes in front of the payload: Ethernet with all tags, IPv6, UDP,
     * transport headers. */
    RVT_MAX_FRAME_HEADERS =
        14 + 4 * RVT_MAX_VLAN_TAGS + RVT_IPV6_BYTES + RVT_UDP_BYTES + RVT_MAX_TRANSPORT_HEADERS,
};

/* What a frame holds. */
enum rvt_frame_kind {
    RVT_FRAME_ROCE,        /* the beginning of a UDP datagram to port 4791 */
    RVT_FRAME_OTHER,       /* anything else, also what ends before the UDP ports */
    RVT_FRAME_FRAGMENT,    /* a fragment of an IP packet, not its first one */
    RVT_FRAME_ROCE_V1,     /* RoCEv1 */
    RVT_FRAME_UNREAD_LINK, /* the link type cannot be read */
};

struct rvt_frame {
    /* Ethernet. Other link layers leave this 0. */
    bool ethernet;
    uint8_t mac_to[6], mac_from[6];
    uint8_t tags;                    /* number of VLAN tags */
    uint32_t tag[RVT_MAX_VLAN_TAGS]; /* from the outermost on: EtherType << 16 | tag control information */

    /* IP */
    bool ipv6;
    uint8_t traffic_class;               /* ToS of IPv4 */
    uint8_t ttl;                         /* hop limit of IPv6 */
    uint16_t id;                         /* IPv4 */
    uint16_t fragment;                   /* IPv4: flags and offset; 0x4000 is "don't fragment" */
    uint32_t flow_label;                 /* IPv6 */
    uint8_t source[16], destination[16]; /* IPv4 as ::ffff:a.b.c.d */

    /* UDP */
    uint16_t source_port;
    uint16_t udp_checksum;

    uint32_t icrc; /* as found, if icrc_verdict is not RVT_ICRC_NOT_CHECKED */

    struct rvt_transport transport;

    /* Results of decoding; not read by the encoder. Positions in bytes from the frame's beginning. */
    enum rvt_wire_fault fault;
    uint32_t ip_at, ip_header, ip_bytes; /* ip_bytes: the whole IP packet, by its header */
    uint32_t transport_at;
    uint32_t payload_at;    /* the payload has transport.payload_length bytes */
    uint32_t payload_there; /* bytes of it that can be read */
    bool cut;               /* the frame has more bytes than could be read */
    bool ip_options;        /* IPv4 options or IPv6 extension headers */
    bool bad_ip_checksum, bad_udp_checksum;
    bool trailer; /* bytes follow the IP packet */
    enum rvt_icrc_verdict icrc_verdict;
    uint32_t icrc_computed;
    uint16_t icrc_ip_id; /* with RVT_ICRC_OTHER_ID */
};

/* Decodes a frame of `original` bytes of which the first `captured` are at `bytes`. Fills *frame if it is
 * RVT_FRAME_ROCE. `frame->fault` says whether the packet is well-formed; what comes before the fault is valid. The
 * ICRC is checked if all bytes are there and the lengths of IP and UDP fit. */
enum rvt_frame_kind rvt_decode_frame(uint32_t link_type, const unsigned char *bytes, uint32_t captured,
                                     uint32_t original, struct rvt_frame *frame);

/* Writes the headers of a frame whose payload has `payload` bytes (at most RVT_MAX_PAYLOAD): Ethernet if
 * `frame->ethernet`, IP without options, UDP, and the transport headers, with the checksums and lengths that belong
 * to them. `frame->transport.pad` must be the pad bytes of the payload. The UDP checksum is written as it is in
 * *frame. Returns their length, at most RVT_MAX_FRAME_HEADERS; the payload, the pad bytes and 4 bytes of ICRC
 * follow. */
uint32_t rvt_encode_frame(const struct rvt_frame *frame, uint32_t payload, unsigned char *bytes);

/* Computes the ICRC of a frame of `length` bytes, encoded with *frame, and stores it in the last 4 bytes. */
void rvt_seal_frame(const struct rvt_frame *frame, unsigned char *bytes, uint32_t length);

/* Returns the UDP checksum of such a frame, whose ICRC is in place. Never 0. */
uint16_t rvt_frame_udp_checksum(const struct rvt_frame *frame, const unsigned char *bytes, uint32_t length);

#endif
