/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "wire/udp/udp_socket.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "wire/address.h"
#include "wire/udp/host_address.h"

/* Options that headers of older systems lack. */
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

enum {
    SOCKET_BYTES = 8 << 20,
    /* A message that the system put together (UDP_GRO) has up to 64 KiB; a few such messages are as much as the many
     * short ones that a call could take. */
    MESSAGES = 16,
    MESSAGE_BYTES = 64 << 10,
    /* The most bytes of a message that is cut: an IP packet has 65,535, with its headers. */
    MOST_SEGMENTED_BYTES = 65535 - 40 - 8,
    MOST_SEGMENTS = 64,
};

/* Room for one control message with an int. Aligned as the system needs it. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* The messages of the last call of recvmmsg(), of which `at` and `offset` are taken next. */
struct arrivals {
    struct mmsghdr messages[MESSAGES];
    struct iovec parts[MESSAGES];
    union rvt_socket_address from[MESSAGES];
    union control control[MESSAGES];
    uint32_t count, at;
    uint32_t offset;
    unsigned char bytes[MESSAGES][MESSAGE_BYTES];
};

struct departures {
    struct mmsghdr messages[RVT_MOST_PACKETS];
    struct iovec parts[RVT_MOST_PACKETS];
    union rvt_socket_address to[RVT_MOST_PACKETS];
    union control control[RVT_MOST_PACKETS];
    uint32_t packets[RVT_MOST_PACKETS]; /* of each message */
};

struct rvt_udp_socket {
    int fd;
    uint32_t scope;
    bool segments; /* the system cuts one message into packets of equal length (UDP_SEGMENT) */
    struct rvt_udp_losses lost;
    struct departures out;
    struct arrivals in;
};

/* --- opening and closing --- */

static bool set(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

/* As much room as the system grants; above its limit only to the privileged. */
static void set_room(int fd, int forced, int plain) {
    if (!set(fd, SOL_SOCKET, forced, SOCKET_BYTES))
        (void)set(fd, SOL_SOCKET, plain, SOCKET_BYTES);
}

/* Path MTU discovery by probes: "don't fragment" is set and the identification is 0, and no message of a router can
 * shrink the packets. */
static bool set_options(int fd, bool ipv6) {
    if (!ipv6)
        return set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    return set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE) &&
           set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
           /* NICs and Linux's soft-RoCE send no UDP checksum; the ICRC is the checksum. */
           set(fd, SOL_UDP, UDP_NO_CHECK6_RX, 1);
}

/* Sets the options and binds the socket. Returns 0, or the system's errno. */
static int set_up(int fd, const uint8_t address[16], uint32_t scope, uint16_t *port) {
    struct rvt_wire_peer local;
    union rvt_socket_address bound;
    if (!set_options(fd, !rvt_is_ipv4(address)))
        return errno;
    set_room(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    set_room(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    (void)set(fd, SOL_UDP, UDP_GRO,
              1); /* packets come one by one where the system cannot put them together */
    memcpy(local.address, address, sizeof(local.address));
    local.port = *port;
    socklen_t length = rvt_to_socket_address(&local, scope, &bound);
    if (bind(fd, &bound.any, length) != 0 || getsockname(fd, &bound.any, &length) != 0)
        return errno;
    rvt_from_socket_address(&bound, &local);
    *port = local.port;
    return 0;
}

int rvt_udp_open(const uint8_t address[16], uint32_t scope, uint16_t *port, struct rvt_udp_socket **opened) {
    int fd = socket(rvt_is_ipv4(address) ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int error = set_up(fd, address, scope, port);
    struct rvt_udp_socket *udp = error ? NULL : rvt_zalloc(1, sizeof(*udp));
    if (!udp) {
        close(fd);
        return error ? error : ENOMEM;
    }
    udp->fd = fd;
    udp->scope = scope;
    udp->segments = true;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        udp->in.parts[i] = (struct iovec){udp->in.bytes[i], MESSAGE_BYTES};
        udp->in.messages[i].msg_hdr = (struct msghdr){
            .msg_name = &udp->in.from[i],
            .msg_iov = &udp->in.parts[i],
            .msg_iovlen = 1,
            .msg_control = &udp->in.control[i],
        };
    }
    *opened = udp;
    return 0;
}

void rvt_udp_close(struct rvt_udp_socket *udp) {
    if (!udp)
        return;
    close(udp->fd);
    rvt_free(udp);
}

int rvt_udp_descriptor(const struct rvt_udp_socket *udp) {
    return udp->fd;
}

struct rvt_udp_losses rvt_udp_lost(const struct rvt_udp_socket *udp) {
    return udp->lost;
}

/* Returns whether the system only told something else than the result of the call: ECONNREFUSED is the answer to an
 * earlier packet, and told once. */
static bool is_passing(int error) {
    return error == EINTR || error == ECONNREFUSED;
}

/* --- receiving --- */

/* Returns whether messages were taken from the socket that rvt_udp_receive() has not returned yet. */
static bool has_taken(const struct rvt_udp_socket *udp) {
    return udp->in.at < udp->in.count;
}

/* Takes messages from the socket. Returns whether there is one. */
static bool refill(struct rvt_udp_socket *udp) {
    struct arrivals *in = &udp->in;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        in->messages[i].msg_hdr.msg_namelen = sizeof(in->from[i]);
        in->messages[i].msg_hdr.msg_controllen = sizeof(in->control[i]);
    }
    in->at = in->offset = in->count = 0;
    int taken;
    do {
        taken = recvmmsg(udp->fd, in->messages, MESSAGES, MSG_DONTWAIT, NULL);
    } while (taken < 0 && is_passing(errno));
    if (taken > 0)
        in->count = (uint32_t)taken;
    return in->count > 0;
}

/* Returns the length of the packets that the system put together into one message. There is room for one control
 * message. */
static uint32_t segment_length(struct msghdr *header, uint32_t length) {
    const struct cmsghdr *one = CMSG_FIRSTHDR(header);
    int segment;
    if (!one || one->cmsg_level != SOL_UDP || one->cmsg_type != UDP_GRO)
        return length;
    memcpy(&segment, CMSG_DATA(one), sizeof(segment));
    return segment > 0 && (uint32_t)segment < length ? (uint32_t)segment : length;
}

uint32_t rvt_udp_receive(struct rvt_udp_socket *udp, struct rvt_datagram *datagrams, bool *more) {
    struct arrivals *in = &udp->in;
    uint32_t count = 0;
    *more = false;
    if (!has_taken(udp) && !refill(udp))
        return 0;
    while (in->at < in->count && count < RVT_MOST_PACKETS) {
        struct mmsghdr *message = &in->messages[in->at];
        const uint32_t segment = segment_length(&message->msg_hdr, message->msg_len);
        const uint32_t left = message->msg_len - in->offset;
        struct rvt_datagram *datagram = &datagrams[count++];
        datagram->bytes = in->bytes[in->at] + in->offset;
        datagram->length = left < segment ? left : segment;
        datagram->has_ip_id = false;
        datagram->ip_id = 0;
        rvt_from_socket_address(&in->from[in->at], &datagram->from);
        in->offset += datagram->length;
        if (in->offset >= message->msg_len) {
            in->at++;
            in->offset = 0;
        }
    }
    /* A call that took fewer messages than it could has emptied the socket: looking once more would cost a system
     * call. */
    *more = in->at < in->count || in->count == MESSAGES;
    return count;
}

bool rvt_udp_arrived(struct rvt_udp_socket *udp) {
    return has_taken(udp) || refill(udp);
}

/* --- sending --- */

/* Returns how many packets from the first on can be one segmented message: to one peer, of equal length but for the
 * last, which may be shorter. */
static uint32_t run_length(const struct rvt_udp_socket *udp, const struct rvt_outgoing *packets,
                           uint32_t count) {
    const struct rvt_outgoing *first = &packets[0];
    uint32_t length = 1, bytes = first->length;
    if (!udp->segments)
        return 1;
    while (length < count && length < MOST_SEGMENTS) {
        const struct rvt_outgoing *next = &packets[length];
        if (next->length > first->length || bytes + next->length > MOST_SEGMENTED_BYTES ||
            next->to.port != first->to.port ||
            memcmp(next->to.address, first->to.address, sizeof(first->to.address)) != 0)
            break;
        bytes += next->length;
        length++;
        if (next->length < first->length)
            break;
    }
    return length;
}

/* Counts packets that the system did not take. */
static void give_up(struct rvt_udp_socket *udp, int error, uint32_t packets) {
    *(error == EMSGSIZE ? &udp->lost.too_long : &udp->lost.unsent) += packets;
}

/* Sends one packet as a message of its own. Returns false if it must wait. */
static bool send_one(struct rvt_udp_socket *udp, const struct rvt_endpoint *endpoint,
                     const struct rvt_outgoing *packet) {
    union rvt_socket_address to;
    const socklen_t length = rvt_to_socket_address(&packet->to, udp->scope, &to);
    rvt_endpoint_seal(endpoint, packet, 0);
    ssize_t sent;
    do {
        sent = sendto(udp->fd, packet->bytes, packet->length, MSG_DONTWAIT, &to.any, length);
    } while (sent < 0 && is_passing(errno));
    if (sent >= 0)
        return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return false;
    give_up(udp, errno, 1);
    return true;
}

/* Makes one message of `run` packets. */
static void fill_message(struct rvt_udp_socket *udp, const struct rvt_endpoint *endpoint, uint32_t message,
                         struct iovec *parts, const struct rvt_outgoing *packets, uint32_t run) {
    struct departures *out = &udp->out;
    struct msghdr *header = &out->messages[message].msg_hdr;
    *header = (struct msghdr){
        .msg_name = &out->to[message],
        .msg_namelen = rvt_to_socket_address(&packets[0].to, udp->scope, &out->to[message]),
        .msg_iov = parts,
        .msg_iovlen = run,
    };
    for (uint32_t i = 0; i < run; i++) {
        rvt_endpoint_seal(endpoint, &packets[i], (uint16_t)i);
        parts[i] = (struct iovec){packets[i].bytes, packets[i].length};
    }
    out->packets[message] = run;
    if (run == 1)
        return;
    const uint16_t segment = (uint16_t)packets[0].length;
    header->msg_control = &out->control[message];
    header->msg_controllen = CMSG_SPACE(sizeof(segment));
    struct cmsghdr *one = CMSG_FIRSTHDR(header);
    one->cmsg_level = SOL_UDP;
    one->cmsg_type = UDP_SEGMENT;
    one->cmsg_len = CMSG_LEN(sizeof(segment));
    memcpy(CMSG_DATA(one), &segment, sizeof(segment));
}

/* Sends the packets as few messages. Returns how many packets were sent before the first message that the system did
 * not take; *error is its errno then. */
static uint32_t send_runs(struct rvt_udp_socket *udp, const struct rvt_endpoint *endpoint,
                          const struct rvt_outgoing *packets, uint32_t count, int *error) {
    struct departures *out = &udp->out;
    uint32_t messages = 0, done = 0;
    for (uint32_t at = 0; at < count; messages++) {
        const uint32_t run = run_length(udp, packets + at, count - at);
        fill_message(udp, endpoint, messages, &out->parts[at], packets + at, run);
        at += run;
    }
    for (uint32_t at = 0; at < messages;) {
        int sent = sendmmsg(udp->fd, out->messages + at, messages - at, MSG_DONTWAIT);
        if (sent <= 0) {
            *error = errno;
            if (is_passing(*error))
                continue;
            break;
        }
        for (int i = 0; i < sent; i++)
            done += out->packets[at++];
    }
    return done;
}

uint32_t rvt_udp_send(struct rvt_udp_socket *udp, const struct rvt_endpoint *endpoint,
                      const struct rvt_outgoing *packets, uint32_t count) {
    uint32_t done = 0;
    while (done < count) {
        int error = 0;
        if (count - done == 1)
            return send_one(udp, endpoint, &packets[done]) ? count : done;
        done += send_runs(udp, endpoint, packets + done, count - done, &error);
        if (done == count || error == EAGAIN || error == EWOULDBLOCK)
            return done;
        const uint32_t run = run_length(udp, packets + done, count - done);
        const bool no_segments = error == EIO || error == EOPNOTSUPP || error == ENOPROTOOPT;
        const bool no_such_length = error == EMSGSIZE || error == EINVAL;
        if (run == 1 || (!no_segments && !no_such_length)) {
            give_up(udp, error, run);
            done += run;
            continue;
        }
        /* The interface cannot cut messages at all (EIO: it has no checksums), or some of these packets are too long
         * for it. */
        if (no_segments)
            udp->segments = false;
        for (uint32_t i = 0; i < run; i++) {
            if (!send_one(udp, endpoint, &packets[done]))
                return done;
            done++;
        }
    }
    return done;
}
