// SPDX-License-Identifier: BSD-3-Clause
// Addresses of hosts as text, as the transport has them, and as sockets take them.
#ifndef RDMAVT_HOST_ADDRESS_H
#define RDMAVT_HOST_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "binding/wire/transport.h"

union SocketAddress {
    sockaddr any;
    sockaddr_in ipv4;
    sockaddr_in6 ipv6;
};

// Reads an IPv4 or IPv6 address; the latter may end in %zone, whose interface index goes to *scope. Returns false if it
// is none, or not the address of one host: unspecified, multicast or broadcast.
bool ReadHostAddress(const std::string &text, uint8_t address[16], uint32_t *scope);

// Returns the address as text, without a zone.
std::string HostAddressText(const uint8_t address[16]);

// Fills a socket address and returns its size. `scope` is used for link-local IPv6 addresses only.
socklen_t ToSocketAddress(const rvt_wire_peer &peer, uint32_t scope, SocketAddress *to);
void FromSocketAddress(const SocketAddress &from, rvt_wire_peer *peer);

#endif
