/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of hosts, in 16 bytes: IPv6, or IPv4 as ::ffff:a.b.c.d. */
#ifndef RVT_WIRE_ADDRESS_H
#define RVT_WIRE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { RVT_IPV4_AT = 12 }; /* where the 4 bytes of an IPv4 address are */

static inline bool rvt_is_ipv4(const uint8_t address[16]) {
    static const uint8_t prefix[RVT_IPV4_AT] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return !memcmp(address, prefix, sizeof(prefix));
}

/* Stores the IPv4 address whose 4 bytes are at `bytes`. */
static inline void rvt_store_ipv4(uint8_t address[16], const void *bytes) {
    memset(address, 0, 10);
    address[10] = address[11] = 0xff;
    memcpy(address + RVT_IPV4_AT, bytes, 4);
}

/* The other end of a path. */
struct rvt_wire_peer {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;       /* UDP port to which packets are sent; 4791 at ordinary peers */
};

#endif
