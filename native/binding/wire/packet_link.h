// SPDX-License-Identifier: BSD-3-Clause
// What an endpoint sends and receives by: a UDP socket, or memory for tests.
#ifndef RDMAVT_PACKET_LINK_H
#define RDMAVT_PACKET_LINK_H

#include <cstdint>

#include "binding/wire/transport.h"

// Used only on the endpoint's thread.
class PacketLink {
public:
    virtual ~PacketLink() = default;

    // The descriptor to poll for packets; -1: there is none.
    virtual int descriptor() const {
        return -1;
    }
    // Takes packets that have arrived, at most RVT_MOST_PACKETS. Their bytes stay valid until the next call. Returns how
    // many: 0 if none is there. *more: whether others may be there already; without it the descriptor tells of them.
    virtual uint32_t Receive(rvt_datagram *datagrams, bool *more) = 0;
    // Looks whether packets have arrived, for the next Receive(). Does not wait.
    virtual bool Arrived() {
        return false;
    }
    // Seals packets and sends them, in order. Returns how many are done with: sent, or given up, which to the transport
    // are lost packets. Fewer than `count` only if the rest must wait until the descriptor is writable.
    virtual uint32_t Send(const rvt_endpoint *endpoint, const rvt_outgoing *packets, uint32_t count) = 0;

    // The packets that were given up.
    virtual rvt_udp_losses lost() const = 0;
};

#endif
