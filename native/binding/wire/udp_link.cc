// SPDX-License-Identifier: BSD-3-Clause
#ifdef __linux__
#include "binding/wire/udp_link.h"

#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "binding/wire/host_address.h"

// Options that headers of older systems lack.
#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_NO_CHECK6_RX
#define UDP_NO_CHECK6_RX 102
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace {

constexpr int kSocketBytes = 8 << 20;
// A message that the system put together (UDP_GRO) has up to 64 KiB; a few such messages are as much as the many short
// ones that a call could take.
constexpr uint32_t kMessages = 16;
constexpr size_t kMessageBytes = 64 << 10;
// The most bytes of a message that is cut: an IP packet has 65,535, with its headers.
constexpr uint32_t kMostSegmentedBytes = 65535 - 40 - 8;
constexpr uint32_t kMostSegments = 64;

// Room for one control message with an int. Aligned as the system needs it.
union Control {
    cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

bool Set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

// As much room as the system grants; above its limit only to the privileged.
void SetRoom(int fd, int forced, int plain) {
    if (!Set(fd, SOL_SOCKET, forced, kSocketBytes))
        Set(fd, SOL_SOCKET, plain, kSocketBytes);
}

// Returns whether the system only told something else than the result of the call: ECONNREFUSED is the answer to an
// earlier packet, and told once.
bool IsPassing(int error) {
    return error == EINTR || error == ECONNREFUSED;
}

} // namespace

// The messages of the last call of recvmmsg(), of which `at` and `offset` are taken next.
struct UdpLink::Arrivals {
    mmsghdr messages[kMessages];
    iovec parts[kMessages];
    SocketAddress from[kMessages];
    Control control[kMessages];
    uint32_t count = 0, at = 0;
    uint32_t offset = 0;
    unsigned char bytes[kMessages * kMessageBytes];
};

struct UdpLink::Departures {
    mmsghdr messages[RVT_MOST_PACKETS];
    iovec parts[RVT_MOST_PACKETS];
    SocketAddress to[RVT_MOST_PACKETS];
    Control control[RVT_MOST_PACKETS];
    uint32_t packets[RVT_MOST_PACKETS]; // of each message
};

UdpLink::UdpLink(int fd, bool ipv6, uint32_t scope)
    : fd_(fd), ipv6_(ipv6), scope_(scope), arrivals_(new (std::nothrow) Arrivals),
      departures_(new (std::nothrow) Departures) {}

UdpLink::~UdpLink() {
    close(fd_);
}

std::unique_ptr<UdpLink> UdpLink::Open(const uint8_t address[16], uint32_t scope, uint16_t *port,
                                       int *error) {
    const bool ipv6 = !rvt_is_ipv4(address);
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        *error = errno;
        return nullptr;
    }
    std::unique_ptr<UdpLink> link(new (std::nothrow) UdpLink(fd, ipv6, scope));
    if (!link) {
        close(fd);
        *error = ENOMEM;
        return nullptr;
    }
    *error = link->SetUp(address, port);
    if (*error)
        link.reset();
    return link;
}

// Sets the options and binds the socket. Returns 0, or the system's errno.
int UdpLink::SetUp(const uint8_t address[16], uint16_t *port) {
    if (!arrivals_ || !departures_)
        return ENOMEM;
    // Path MTU discovery by probes: "don't fragment" is set and the identification is 0, and no message of a router
    // can shrink the packets.
    bool set = ipv6_ ? Set(fd_, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE) &&
                           Set(fd_, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
                           // NICs and Linux's soft-RoCE send no UDP checksum; the ICRC is the checksum.
                           Set(fd_, SOL_UDP, UDP_NO_CHECK6_RX, 1)
                     : Set(fd_, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    if (!set)
        return errno;
    SetRoom(fd_, SO_RCVBUFFORCE, SO_RCVBUF);
    SetRoom(fd_, SO_SNDBUFFORCE, SO_SNDBUF);
    Set(fd_, SOL_UDP, UDP_GRO, 1); // packets come one by one where the system cannot put them together
    rvt_wire_peer local;
    std::memcpy(local.address, address, sizeof(local.address));
    local.port = *port;
    SocketAddress to;
    socklen_t length = ToSocketAddress(local, scope_, &to);
    if (bind(fd_, &to.any, length) != 0 || getsockname(fd_, &to.any, &length) != 0)
        return errno;
    FromSocketAddress(to, &local);
    *port = local.port;
    for (uint32_t i = 0; i < kMessages; i++) {
        arrivals_->parts[i] = {arrivals_->bytes + i * kMessageBytes, kMessageBytes};
        msghdr &header = arrivals_->messages[i].msg_hdr;
        std::memset(&header, 0, sizeof(header));
        header.msg_name = &arrivals_->from[i];
        header.msg_iov = &arrivals_->parts[i];
        header.msg_iovlen = 1;
        header.msg_control = &arrivals_->control[i];
    }
    return 0;
}

// --- receiving ---

// Returns whether messages were taken from the socket that Receive() has not returned yet.
bool UdpLink::HasTaken() const {
    return arrivals_->at < arrivals_->count;
}

// Takes messages from the socket. Returns whether there is one.
bool UdpLink::Refill() {
    Arrivals &in = *arrivals_;
    for (mmsghdr &message : in.messages) {
        message.msg_hdr.msg_namelen = sizeof(SocketAddress);
        message.msg_hdr.msg_controllen = sizeof(Control);
    }
    in.at = in.offset = in.count = 0;
    int taken;
    do {
        taken = recvmmsg(fd_, in.messages, kMessages, MSG_DONTWAIT, nullptr);
    } while (taken < 0 && IsPassing(errno));
    if (taken > 0)
        in.count = static_cast<uint32_t>(taken);
    return in.count > 0;
}

// Returns the length of the packets that the system put together into one message. There is room for one control message.
static uint32_t SegmentLength(msghdr &header, uint32_t length) {
    cmsghdr *one = CMSG_FIRSTHDR(&header);
    int segment;
    if (!one || one->cmsg_level != SOL_UDP || one->cmsg_type != UDP_GRO)
        return length;
    std::memcpy(&segment, CMSG_DATA(one), sizeof(segment));
    if (segment > 0 && static_cast<uint32_t>(segment) < length)
        return static_cast<uint32_t>(segment);
    return length;
}

uint32_t UdpLink::Receive(rvt_datagram *datagrams, bool *more) {
    Arrivals &in = *arrivals_;
    *more = false;
    if (!HasTaken() && !Refill())
        return 0;
    uint32_t count = 0;
    while (in.at < in.count && count < RVT_MOST_PACKETS) {
        mmsghdr &message = in.messages[in.at];
        const uint32_t segment = SegmentLength(message.msg_hdr, message.msg_len);
        const uint32_t left = message.msg_len - in.offset;
        rvt_datagram &datagram = datagrams[count++];
        datagram.bytes = arrivals_->bytes + in.at * kMessageBytes + in.offset;
        datagram.length = left < segment ? left : segment;
        datagram.has_ip_id = false;
        datagram.ip_id = 0;
        FromSocketAddress(in.from[in.at], &datagram.from);
        in.offset += datagram.length;
        if (in.offset >= message.msg_len) {
            in.at++;
            in.offset = 0;
        }
    }
    // A call that took fewer messages than it could has emptied the socket: looking once more would cost a system call.
    *more = in.at < in.count || in.count == kMessages;
    return count;
}

// --- sending ---

// Returns how many packets from the first on can be one segmented message: to one peer, of equal length but for the last,
// which may be shorter.
uint32_t UdpLink::RunLength(const rvt_outgoing *packets, uint32_t count) const {
    const rvt_outgoing &first = packets[0];
    uint32_t length = 1, bytes = first.length;
    if (!segments_)
        return 1;
    while (length < count && length < kMostSegments) {
        const rvt_outgoing &next = packets[length];
        if (next.length > first.length || bytes + next.length > kMostSegmentedBytes ||
            next.to.port != first.to.port ||
            std::memcmp(next.to.address, first.to.address, sizeof(first.to.address)) != 0)
            break;
        bytes += next.length;
        length++;
        if (next.length < first.length)
            break;
    }
    return length;
}

// Counts packets that the system did not take.
void UdpLink::GiveUp(int error, uint32_t packets) {
    (error == EMSGSIZE ? too_long : unsent) += packets;
}

// Sends one packet as a message of its own. Returns false if it must wait.
bool UdpLink::SendOne(const rvt_endpoint *endpoint, const rvt_outgoing &packet) {
    SocketAddress to;
    const socklen_t length = ToSocketAddress(packet.to, scope_, &to);
    rvt_endpoint_seal(endpoint, &packet, 0);
    ssize_t sent;
    do {
        sent = sendto(fd_, packet.bytes, packet.length, MSG_DONTWAIT, &to.any, length);
    } while (sent < 0 && IsPassing(errno));
    if (sent >= 0)
        return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return false;
    GiveUp(errno, 1);
    return true;
}

// Sends the packets as few messages. Returns how many packets were sent before the first message that the system did not
// take, with its errno set.
uint32_t UdpLink::SendRuns(const rvt_endpoint *endpoint, const rvt_outgoing *packets, uint32_t count,
                           bool *blocked) {
    Departures &out = *departures_;
    uint32_t messages = 0;
    for (uint32_t at = 0; at < count; messages++) {
        const uint32_t run = RunLength(packets + at, count - at);
        msghdr &header = out.messages[messages].msg_hdr;
        std::memset(&header, 0, sizeof(header));
        header.msg_name = &out.to[messages];
        header.msg_namelen = ToSocketAddress(packets[at].to, scope_, &out.to[messages]);
        header.msg_iov = &out.parts[at];
        header.msg_iovlen = run;
        for (uint32_t i = 0; i < run; i++) {
            rvt_endpoint_seal(endpoint, &packets[at + i], static_cast<uint16_t>(i));
            out.parts[at + i] = {packets[at + i].bytes, packets[at + i].length};
        }
        if (run > 1) {
            const uint16_t segment = static_cast<uint16_t>(packets[at].length);
            header.msg_control = &out.control[messages];
            header.msg_controllen = CMSG_SPACE(sizeof(segment));
            cmsghdr *one = CMSG_FIRSTHDR(&header);
            one->cmsg_level = SOL_UDP;
            one->cmsg_type = UDP_SEGMENT;
            one->cmsg_len = CMSG_LEN(sizeof(segment));
            std::memcpy(CMSG_DATA(one), &segment, sizeof(segment));
        }
        out.packets[messages] = run;
        at += run;
    }
    uint32_t done = 0, at = 0;
    while (at < messages) {
        int sent = sendmmsg(fd_, out.messages + at, messages - at, MSG_DONTWAIT);
        if (sent <= 0) {
            if (IsPassing(errno))
                continue;
            *blocked = errno == EAGAIN || errno == EWOULDBLOCK;
            break;
        }
        for (int i = 0; i < sent; i++)
            done += out.packets[at++];
    }
    return done;
}

uint32_t UdpLink::Send(const rvt_endpoint *endpoint, const rvt_outgoing *packets, uint32_t count) {
    uint32_t done = 0;
    while (done < count) {
        if (count - done == 1)
            return SendOne(endpoint, packets[done]) ? count : done;
        bool blocked = false;
        done += SendRuns(endpoint, packets + done, count - done, &blocked);
        if (done == count || blocked)
            return done;
        const int error = errno;
        const uint32_t run = RunLength(packets + done, count - done);
        const bool no_segments = error == EIO || error == EOPNOTSUPP || error == ENOPROTOOPT;
        const bool no_such_length = error == EMSGSIZE || error == EINVAL;
        if (run == 1 || (!no_segments && !no_such_length)) {
            GiveUp(error, run);
            done += run;
            continue;
        }
        // The interface cannot cut messages at all (EIO: it has no checksums), or some of these packets are too long for
        // it.
        if (no_segments)
            segments_ = false;
        for (uint32_t i = 0; i < run; i++) {
            if (!SendOne(endpoint, packets[done]))
                return done;
            done++;
        }
    }
    return done;
}
#endif
