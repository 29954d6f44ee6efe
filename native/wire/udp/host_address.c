/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "wire/udp/host_address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "wire/address.h"

static bool is_link_local(const uint8_t address[16]) {
    return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

bool rvt_is_one_host(const uint8_t address[16]) {
    static const uint8_t unspecified[16] = {0};
    if (!rvt_is_ipv4(address))
        return address[0] != 0xff && memcmp(address, unspecified, sizeof(unspecified)) != 0;
    /* 0.0.0.0/8 names no host, 224.0.0.0 and above are multicast, reserved and broadcast. */
    return address[12] != 0 && address[12] < 224;
}

bool rvt_read_host_address(const char *text, uint8_t address[16], uint32_t *scope) {
    char bare[RVT_HOST_ADDRESS_TEXT];
    struct in_addr ipv4;
    struct in6_addr ipv6;
    *scope = 0;
    if (inet_pton(AF_INET, text, &ipv4) == 1) {
        rvt_store_ipv4(address, &ipv4);
        return rvt_is_one_host(address);
    }
    const size_t length = strcspn(text, "%");
    if (length >= sizeof(bare)) /* longer than any address */
        return false;
    memcpy(bare, text, length);
    bare[length] = '\0';
    if (inet_pton(AF_INET6, bare, &ipv6) != 1)
        return false;
    memcpy(address, &ipv6, sizeof(ipv6));
    if (text[length] && (!is_link_local(address) || !(*scope = if_nametoindex(text + length + 1))))
        return false;
    return rvt_is_one_host(address);
}

void rvt_host_address_text(const uint8_t address[16], char text[RVT_HOST_ADDRESS_TEXT]) {
    const bool ipv4 = rvt_is_ipv4(address);
    text[0] = '\0';
    inet_ntop(ipv4 ? AF_INET : AF_INET6, ipv4 ? address + RVT_IPV4_AT : address, text, RVT_HOST_ADDRESS_TEXT);
}

socklen_t rvt_to_socket_address(const struct rvt_wire_peer *peer, uint32_t scope,
                                union rvt_socket_address *to) {
    memset(to, 0, sizeof(*to));
    if (rvt_is_ipv4(peer->address)) {
        to->ipv4.sin_family = AF_INET;
        to->ipv4.sin_port = htons(peer->port);
        memcpy(&to->ipv4.sin_addr, peer->address + RVT_IPV4_AT, sizeof(to->ipv4.sin_addr));
        return sizeof(to->ipv4);
    }
    to->ipv6.sin6_family = AF_INET6;
    to->ipv6.sin6_port = htons(peer->port);
    memcpy(&to->ipv6.sin6_addr, peer->address, sizeof(to->ipv6.sin6_addr));
    to->ipv6.sin6_scope_id = is_link_local(peer->address) ? scope : 0;
    return sizeof(to->ipv6);
}

void rvt_from_socket_address(const union rvt_socket_address *from, struct rvt_wire_peer *peer) {
    if (from->any.sa_family == AF_INET) {
        rvt_store_ipv4(peer->address, &from->ipv4.sin_addr);
        peer->port = ntohs(from->ipv4.sin_port);
    } else {
        memcpy(peer->address, &from->ipv6.sin6_addr, sizeof(peer->address));
        peer->port = ntohs(from->ipv6.sin6_port);
    }
}
