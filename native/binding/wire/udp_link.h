// SPDX-License-Identifier: BSD-3-Clause
// The socket of native/wire/udp as an endpoint's link.
#ifndef RDMAVT_UDP_LINK_H
#define RDMAVT_UDP_LINK_H

#include <cerrno>
#include <memory>
#include <new>

#include "binding/wire/packet_link.h"

class UdpLink : public PacketLink {
public:
    // Opens a socket at an address and port. Port 0: a free one, which is stored in *port. Returns nullptr, and in *error
    // the system's errno, if there is none.
    static std::unique_ptr<UdpLink> Open(const uint8_t address[16], uint32_t scope, uint16_t *port,
                                         int *error) {
        rvt_udp_socket *udp = nullptr;
        *error = rvt_udp_open(address, scope, port, &udp);
        if (*error)
            return nullptr;
        std::unique_ptr<UdpLink> link(new (std::nothrow) UdpLink(udp));
        if (!link) {
            rvt_udp_close(udp);
            *error = ENOMEM;
        }
        return link;
    }
    ~UdpLink() override {
        rvt_udp_close(udp_);
    }
    UdpLink(const UdpLink &) = delete;
    UdpLink &operator=(const UdpLink &) = delete;

    int descriptor() const override {
        return rvt_udp_descriptor(udp_);
    }
    uint32_t Receive(rvt_datagram *datagrams, bool *more) override {
        return rvt_udp_receive(udp_, datagrams, more);
    }
    bool Arrived() override {
        return rvt_udp_arrived(udp_);
    }
    uint32_t Send(const rvt_endpoint *endpoint, const rvt_outgoing *packets, uint32_t count) override {
        return rvt_udp_send(udp_, endpoint, packets, count);
    }
    rvt_udp_losses lost() const override {
        return rvt_udp_lost(udp_);
    }

private:
    explicit UdpLink(rvt_udp_socket *udp) : udp_(udp) {}

    rvt_udp_socket *const udp_;
};

#endif
