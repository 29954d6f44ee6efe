/* SPDX-License-Identifier: BSD-3-Clause */
/* A UDP socket of Linux, as RoCEv2 needs it. The socket stays unconnected and forbids fragments: only then is the IP
 * identification of what it sends known, 0, or 0, 1, 2, ... within one segmented message, and so the ICRC.
 *
 * A socket is used by one thread at a time. No function waits. */
#ifndef RVT_WIRE_UDP_SOCKET_H
#define RVT_WIRE_UDP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/endpoint/endpoint.h"

struct rvt_udp_socket;

/* Opens a socket at an address and port; `scope` is the interface of a link-local IPv6 address. Port 0: a free one, which
 * is stored in *port. Returns 0, or the system's errno (positive), which no verb has explained. */
int rvt_udp_open(const uint8_t address[16], uint32_t scope, uint16_t *port, struct rvt_udp_socket **opened);

/* Closes the socket and frees it. NULL: does nothing. */
void rvt_udp_close(struct rvt_udp_socket *udp);

/* The descriptor to poll for packets, or, after rvt_udp_send() did not send all, for room. */
int rvt_udp_descriptor(const struct rvt_udp_socket *udp);

/* Takes packets that have arrived, at most RVT_MOST_PACKETS. Their bytes stay valid until the next call. Returns how
 * many: 0 if none is there. *more: whether others may be there already; without it the descriptor tells of them. */
uint32_t rvt_udp_receive(struct rvt_udp_socket *udp, struct rvt_datagram *datagrams, bool *more);

/* Looks whether packets have arrived, for the next rvt_udp_receive(). */
bool rvt_udp_arrived(struct rvt_udp_socket *udp);

/* Seals packets of the endpoint and sends them, in order. Returns how many are done with: sent, or given up, which to the
 * transport are lost packets. Fewer than `count` only if the rest must wait until the descriptor is writable. */
uint32_t rvt_udp_send(struct rvt_udp_socket *udp, const struct rvt_endpoint *endpoint,
                      const struct rvt_outgoing *packets, uint32_t count);

/* Packets that were given up. */
struct rvt_udp_losses {
    uint64_t too_long; /* the network interface cannot carry such long ones */
    uint64_t unsent;   /* the system refused them for another reason */
};
struct rvt_udp_losses rvt_udp_lost(const struct rvt_udp_socket *udp);

#endif
