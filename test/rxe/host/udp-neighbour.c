/* SPDX-License-Identifier: BSD-3-Clause */
/* udp-neighbour IPV4 IPV6: a program with plain UDP sockets on port 4791 of two addresses, that passes
 * datagrams to the test and from it. It has what any program has that receives through sockets: the payload
 * and the addresses, not the IP header. It writes an empty record when the sockets are bound.
 *
 * A record is a datagram: 16 bytes of the other's address (IPv4 as ::ffff:a.b.c.d), 2 bytes of its port, and
 * the payload. */
#include "records.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#ifndef UDP_NO_CHECK6_RX
#define UDP_NO_CHECK6_RX 102
#endif

enum { ROCE_PORT = 4791, HEAD = 18, BUFFER_BYTES = 4 << 20 };

static int ipv4, ipv6;
static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static void to_guest(const unsigned char *record, size_t length) {
    if (length < HEAD)
        return;
    ssize_t sent;
    if (memcmp(record, mapped, sizeof(mapped)) == 0) {
        struct sockaddr_in to = {.sin_family = AF_INET};
        memcpy(&to.sin_addr, record + 12, 4);
        memcpy(&to.sin_port, record + 16, 2);
        sent = sendto(ipv4, record + HEAD, length - HEAD, 0, (struct sockaddr *)&to, sizeof(to));
    } else {
        struct sockaddr_in6 to = {.sin6_family = AF_INET6};
        memcpy(&to.sin6_addr, record, 16);
        memcpy(&to.sin6_port, record + 16, 2);
        sent = sendto(ipv6, record + HEAD, length - HEAD, 0, (struct sockaddr *)&to, sizeof(to));
    }
    if (sent < 0)
        perror("udp-neighbour: sendto");
}

/* Receives what is there, and passes it on. */
static void from_guest(int file) {
    static unsigned char payload[RECORD_ROOM];
    for (;;) {
        struct sockaddr_storage from;
        socklen_t size = sizeof(from);
        ssize_t length =
            recvfrom(file, payload, sizeof(payload) - HEAD, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (length < 0)
            return;
        unsigned char head[HEAD];
        if (from.ss_family == AF_INET) {
            const struct sockaddr_in *address = (const struct sockaddr_in *)&from;
            memcpy(head, mapped, sizeof(mapped));
            memcpy(head + 12, &address->sin_addr, 4);
            memcpy(head + 16, &address->sin_port, 2);
        } else {
            const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)&from;
            memcpy(head, &address->sin6_addr, 16);
            memcpy(head + 16, &address->sin6_port, 2);
        }
        records_write(head, sizeof(head), payload, (size_t)length);
    }
}

static bool set(int file, int level, int option, int value) {
    return setsockopt(file, level, option, &value, sizeof(value)) == 0;
}

/* The sockets stay unconnected: a connected one counts the IP identification up, and so does one with the
 * default of path MTU discovery. The ICRC is over the identification, so the sender must know it: with
 * IP_PMTUDISC_PROBE it is 0. */
static bool open_ipv4(const char *address) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(ROCE_PORT)};
    ipv4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return ipv4 >= 0 && inet_pton(AF_INET, address, &at.sin_addr) == 1 &&
           set(ipv4, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) &&
           set(ipv4, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES) &&
           bind(ipv4, (struct sockaddr *)&at, sizeof(at)) == 0;
}

/* Soft-RoCE sends the UDP checksum 0 also over IPv6, where a socket drops it unless it is told otherwise. */
static bool open_ipv6(const char *address) {
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(ROCE_PORT)};
    ipv6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return ipv6 >= 0 && inet_pton(AF_INET6, address, &at.sin6_addr) == 1 &&
           set(ipv6, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1) && set(ipv6, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES) &&
           bind(ipv6, (struct sockaddr *)&at, sizeof(at)) == 0;
}

int main(int count, char **values) {
    static struct records input;
    if (count != 3) {
        fprintf(stderr, "udp-neighbour IPV4 IPV6\n");
        return 2;
    }
    if (!open_ipv4(values[1]) || !open_ipv6(values[2])) {
        perror("udp-neighbour: sockets on port 4791");
        return 1;
    }
    records_write("", 0, "", 0);
    struct pollfd files[] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = ipv4, .events = POLLIN},
        {.fd = ipv6, .events = POLLIN},
    };
    for (;;) {
        if (poll(files, 3, -1) < 0 && errno != EINTR)
            return 1;
        if (files[0].revents != 0) {
            if (!records_read(&input))
                return 0;
            records_each(&input, to_guest);
        }
        if (files[1].revents != 0)
            from_guest(ipv4);
        if (files[2].revents != 0)
            from_guest(ipv6);
    }
}
