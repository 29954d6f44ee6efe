/* SPDX-License-Identifier: BSD-3-Clause */
/* The invariant CRC of RoCEv2 (InfiniBand specification, annex A17): a CRC-32 over the IP packet, in which the
 * fields that routers may change count as ones, behind 8 bytes of ones in place of InfiniBand's own header. */
#ifndef RVT_WIRE_ICRC_H
#define RVT_WIRE_ICRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RVT_ICRC_BYTES = 4,
    /* Headers without options and extension headers. */
    RVT_IPV4_BYTES = 20,
    RVT_IPV6_BYTES = 40,
    RVT_UDP_BYTES = 8,
};

/* Returns the ICRC of an IP packet: the number that its last 4 bytes hold in little-endian order.
 *
 * `ip` has at least `ip_header + 8 + 12` bytes: an IPv4 or IPv6 header of `ip_header` bytes, with options or
 * extension headers (at least 20 or 40), a UDP header and a base transport header. `rest` bytes at `body`
 * follow them: extension headers, payload and pad bytes, without the ICRC. */
uint32_t rvt_icrc(const unsigned char *ip, size_t ip_header, const unsigned char *body, size_t rest);

/* Finds the identification of an IPv4 header for which an ICRC is right. Programs that receive through sockets
 * do not see the identification. With any other damage than this field's, a false answer has a probability of
 * 2^-16.
 *
 * `computed`: the ICRC computed with identification `id`. `found`: the ICRC that the packet has. `behind`: bytes
 * between the identification and the ICRC. Returns false if there is none. */
bool rvt_icrc_solve_ip_id(uint32_t computed, uint32_t found, uint32_t behind, uint16_t id, uint16_t *solved);

#endif
