/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/icrc.h"

#include <string.h>

#include "wire/crc32.h"
#include "wire/transport.h"

/* The register after the 8 bytes of ones. */
static const uint32_t after_ones = 0xdebb20e3;

/* Writes the IP header without options, the UDP header and the BTH, with ones in the fields that change. Returns
 * their length. */
static size_t mask_headers(const unsigned char *ip, size_t ip_fixed, const unsigned char *udp,
                           unsigned char *masked) {
    memcpy(masked, ip, ip_fixed);
    memcpy(masked + ip_fixed, udp, RVT_UDP_BYTES + RVT_BTH_BYTES);
    if (ip_fixed == RVT_IPV4_BYTES) {
        masked[1] = 0xff;               /* type of service */
        masked[8] = 0xff;               /* time to live */
        masked[10] = masked[11] = 0xff; /* header checksum */
    } else {
        masked[0] |= 0x0f; /* traffic class */
        masked[1] = 0xff;  /* traffic class, flow label */
        masked[2] = masked[3] = 0xff;
        masked[7] = 0xff; /* hop limit */
    }
    masked[ip_fixed + 6] = masked[ip_fixed + 7] = 0xff; /* UDP checksum */
    masked[ip_fixed + RVT_UDP_BYTES + 4] = 0xff;        /* BTH: FECN, BECN and reserved bits */
    return ip_fixed + RVT_UDP_BYTES + RVT_BTH_BYTES;
}

uint32_t rvt_icrc(const unsigned char *ip, size_t ip_header, const unsigned char *body, size_t rest) {
    unsigned char masked[RVT_IPV6_BYTES + RVT_UDP_BYTES + RVT_BTH_BYTES];
    const size_t ip_fixed = ip[0] >> 4 == 4 ? RVT_IPV4_BYTES : RVT_IPV6_BYTES;
    const size_t length = mask_headers(ip, ip_fixed, ip + ip_header, masked);
    uint32_t crc = after_ones;
    if (ip_header == ip_fixed) {
        crc = rvt_crc32(crc, masked, length);
    } else {
        /* Options have no rule of their own: RoCEv2 packets have none. They count as they are. */
        crc = rvt_crc32(crc, masked, ip_fixed);
        crc = rvt_crc32(crc, ip + ip_fixed, ip_header - ip_fixed);
        crc = rvt_crc32(crc, masked + ip_fixed, RVT_UDP_BYTES + RVT_BTH_BYTES);
    }
    return ~rvt_crc32(crc, body, rest);
}

bool rvt_icrc_solve_ip_id(uint32_t computed, uint32_t found, uint32_t behind, uint16_t id, uint16_t *solved) {
    /* The CRC is linear: the two ICRCs differ by the remainder of (difference of the two identifications) *
     * x^(8 * behind) * x^32. Divided by these powers of x, that is the difference of the identifications, a
     * polynomial of a degree below 16, unless something else differs, too. */
    const uint32_t difference = rvt_crc32_rewind(computed ^ found, behind + 4);
    if (difference & 0xffff)
        return false;
    /* Bit 16 is the coefficient of x^15: the lowest bit of the first byte. */
    const uint32_t first = difference >> 16 & 0xff, second = difference >> 24;
    *solved = (uint16_t)(id ^ (first << 8 | second));
    return true;
}
