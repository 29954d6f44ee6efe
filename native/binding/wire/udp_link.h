// SPDX-License-Identifier: BSD-3-Clause
// A UDP socket of Linux, as RoCEv2 needs it. The socket stays unconnected and forbids fragments: only then is the IP
// identification of what it sends known, 0, or 0, 1, 2, ... within one segmented message, and so the ICRC.
#ifndef RDMAVT_UDP_LINK_H
#define RDMAVT_UDP_LINK_H

#include <memory>

#include "binding/wire/packet_link.h"

class UdpLink : public PacketLink {
public:
    // Opens a socket at an address and port. Port 0: a free one, which is stored in *port. Returns nullptr, and in *error
    // the system's errno, if there is none.
    static std::unique_ptr<UdpLink> Open(const uint8_t address[16], uint32_t scope, uint16_t *port,
                                         int *error);
    ~UdpLink() override;
    UdpLink(const UdpLink &) = delete;
    UdpLink &operator=(const UdpLink &) = delete;

    int descriptor() const override {
        return fd_;
    }
    uint32_t Receive(rvt_datagram *datagrams, bool *more) override;
    bool Arrived() override {
        return HasTaken() || Refill();
    }
    uint32_t Send(const rvt_endpoint *endpoint, const rvt_outgoing *packets, uint32_t count) override;

private:
    struct Arrivals;
    struct Departures;

    UdpLink(int fd, bool ipv6, uint32_t scope);
    int SetUp(const uint8_t address[16], uint16_t *port);
    bool HasTaken() const;
    bool Refill();
    uint32_t RunLength(const rvt_outgoing *packets, uint32_t count) const;
    uint32_t SendRuns(const rvt_endpoint *endpoint, const rvt_outgoing *packets, uint32_t count,
                      bool *blocked);
    bool SendOne(const rvt_endpoint *endpoint, const rvt_outgoing &packet);
    void GiveUp(int error, uint32_t packets);

    const int fd_;
    const bool ipv6_;
    const uint32_t scope_;
    bool segments_ = true; // the system cuts one message into packets of equal length (UDP_SEGMENT)
    std::unique_ptr<Arrivals> arrivals_;
    std::unique_ptr<Departures> departures_;
};

#endif
