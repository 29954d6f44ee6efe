// SPDX-License-Identifier: BSD-3-Clause
// A link without a socket, for tests: packets come from and go to JavaScript.
#ifndef RDMAVT_MEMORY_LINK_H
#define RDMAVT_MEMORY_LINK_H

#include <deque>
#include <vector>

#include "binding/wire/packet_link.h"

class MemoryLink : public PacketLink {
public:
    struct Packet {
        std::vector<unsigned char> bytes;
        rvt_wire_peer peer; // where it came from, or goes to
        bool has_ip_id;
        uint16_t ip_id;
    };

    uint32_t Receive(rvt_datagram *datagrams, bool *more) override {
        taken_.clear();
        uint32_t count = 0;
        while (count < RVT_MOST_PACKETS && !arrived_.empty()) {
            taken_.push_back(std::move(arrived_.front()));
            arrived_.pop_front();
            count++;
        }
        for (uint32_t i = 0; i < count; i++)
            datagrams[i] = {taken_[i].bytes.data(), static_cast<uint32_t>(taken_[i].bytes.size()),
                            taken_[i].peer, taken_[i].has_ip_id, taken_[i].ip_id};
        *more = !arrived_.empty();
        return count;
    }
    uint32_t Send(const rvt_endpoint *endpoint, const rvt_outgoing *packets, uint32_t count) override {
        for (uint32_t i = 0; i < count; i++) {
            // A test that takes no packets loses them, as a wire without a peer does.
            if (sent.size() >= kMost) {
                lost_.unsent++;
                continue;
            }
            rvt_endpoint_seal(endpoint, &packets[i], 0);
            sent.push_back(
                {std::vector<unsigned char>(packets[i].bytes, packets[i].bytes + packets[i].length),
                 packets[i].to, true, 0});
        }
        return count;
    }

    rvt_udp_losses lost() const override {
        return lost_;
    }

    void Arrive(Packet packet) {
        if (arrived_.size() < kMost)
            arrived_.push_back(std::move(packet));
    }

    std::deque<Packet> sent;

private:
    static constexpr size_t kMost = 1 << 16;
    rvt_udp_losses lost_ = {};
    std::deque<Packet> arrived_;
    std::vector<Packet> taken_;
};

#endif
