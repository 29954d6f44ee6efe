/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of hosts as text, as the transport has them, and as sockets take them. */
#ifndef RVT_WIRE_UDP_HOST_ADDRESS_H
#define RVT_WIRE_UDP_HOST_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "wire/endpoint/endpoint.h"

union rvt_socket_address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

enum { RVT_HOST_ADDRESS_TEXT = INET6_ADDRSTRLEN };

/* Returns whether this can be the address of one host: it is not unspecified, multicast or broadcast. */
bool rvt_is_one_host(const uint8_t address[16]);

/* Reads an IPv4 or IPv6 address; the latter may end in %zone, whose interface index goes to *scope. Returns false if it
 * is none, or not the address of one host. */
bool rvt_read_host_address(const char *text, uint8_t address[16], uint32_t *scope);

/* Writes the address as text, without a zone. */
void rvt_host_address_text(const uint8_t address[16], char text[RVT_HOST_ADDRESS_TEXT]);

/* Fills a socket address and returns its size. `scope` is used for link-local IPv6 addresses only. */
socklen_t rvt_to_socket_address(const struct rvt_wire_peer *peer, uint32_t scope,
                                union rvt_socket_address *to);
void rvt_from_socket_address(const union rvt_socket_address *from, struct rvt_wire_peer *peer);

#endif
