// SPDX-License-Identifier: BSD-3-Clause
#ifdef __linux__
#include "binding/wire/host_address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <cstring>

static bool IsLinkLocal(const uint8_t address[16]) {
    return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static bool IsOneHost(const uint8_t address[16]) {
    static const uint8_t unspecified[16] = {};
    if (!rvt_is_ipv4(address))
        return address[0] != 0xff && std::memcmp(address, unspecified, sizeof(unspecified)) != 0;
    // 0.0.0.0/8 names no host, 224.0.0.0 and above are multicast, reserved and broadcast.
    return address[12] != 0 && address[12] < 224;
}

bool ReadHostAddress(const std::string &text, uint8_t address[16], uint32_t *scope) {
    *scope = 0;
    if (text.find('\0') != std::string::npos)
        return false; // it would be cut there, and so taken for another address
    in_addr ipv4;
    in6_addr ipv6;
    if (inet_pton(AF_INET, text.c_str(), &ipv4) == 1) {
        rvt_store_ipv4(address, &ipv4);
        return IsOneHost(address);
    }
    const size_t zone = text.find('%');
    if (inet_pton(AF_INET6, text.substr(0, zone).c_str(), &ipv6) != 1)
        return false;
    std::memcpy(address, &ipv6, sizeof(ipv6));
    if (zone != std::string::npos &&
        (!IsLinkLocal(address) || !(*scope = if_nametoindex(text.c_str() + zone + 1))))
        return false;
    return IsOneHost(address);
}

std::string HostAddressText(const uint8_t address[16]) {
    char text[INET6_ADDRSTRLEN] = "";
    const bool ipv4 = rvt_is_ipv4(address);
    inet_ntop(ipv4 ? AF_INET : AF_INET6, ipv4 ? address + RVT_IPV4_AT : address, text, sizeof(text));
    return text;
}

socklen_t ToSocketAddress(const rvt_wire_peer &peer, uint32_t scope, SocketAddress *to) {
    if (rvt_is_ipv4(peer.address)) {
        std::memset(&to->ipv4, 0, sizeof(to->ipv4));
        to->ipv4.sin_family = AF_INET;
        to->ipv4.sin_port = htons(peer.port);
        std::memcpy(&to->ipv4.sin_addr, peer.address + RVT_IPV4_AT, sizeof(in_addr));
        return sizeof(to->ipv4);
    }
    std::memset(&to->ipv6, 0, sizeof(to->ipv6));
    to->ipv6.sin6_family = AF_INET6;
    to->ipv6.sin6_port = htons(peer.port);
    std::memcpy(&to->ipv6.sin6_addr, peer.address, sizeof(in6_addr));
    to->ipv6.sin6_scope_id = IsLinkLocal(peer.address) ? scope : 0;
    return sizeof(to->ipv6);
}

void FromSocketAddress(const SocketAddress &from, rvt_wire_peer *peer) {
    if (from.any.sa_family == AF_INET) {
        rvt_store_ipv4(peer->address, &from.ipv4.sin_addr);
        peer->port = ntohs(from.ipv4.sin_port);
    } else {
        std::memcpy(peer->address, &from.ipv6.sin6_addr, sizeof(in6_addr));
        peer->port = ntohs(from.ipv6.sin6_port);
    }
}
#endif
