/* SPDX-License-Identifier: BSD-3-Clause */
/* What plain UDP does between two processes, without RDMA: what scripts/two-processes-rates.mjs compares with.
 *
 *   plain_udp serve bw|lat ADDRESS PACKETS
 *   plain_udp ask bw|lat ADDRESS PACKETS SERVER   prints megabytes (2^20) a second, or the median of microseconds of half
 *                                                 a round trip
 *
 * bw: datagrams of 4,096 bytes, 14 in a message that the system cuts, at most 128 that are not acknowledged, an answer for
 * 64: as the endpoint sends RDMA WRITEs. lat: 64 bytes to and fro; both ends spin, as perftest does. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    PORT = 4793,
    SMALL = 64,
    PACKET = 4096,
    BATCH = 14, /* packets of a message: an IP packet has at most 65,535 bytes */
    WINDOW = 128,
    ANSWER_EVERY = 64,
    ROOM = 8 << 20,
    LIMIT_S = 10, /* a lost datagram ends the program */
};

static unsigned char bytes[1 << 16];

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int fail(const char *what) {
    perror(what);
    return 1;
}

static struct sockaddr_in address_of(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
        fprintf(stderr, "plain_udp: %s is no address\n", text);
        exit(2);
    }
    return address;
}

/* Waits for a datagram, by spinning or asleep. Returns its length, or -1. */
static ssize_t take(int fd, bool spins, struct sockaddr_in *from) {
    const double limit = now_us() + LIMIT_S * 1e6;
    do {
        socklen_t length = sizeof(*from);
        ssize_t got = recvfrom(fd, bytes, sizeof(bytes), spins ? MSG_DONTWAIT : 0, (struct sockaddr *)from, &length);
        if (got >= 0 || !spins || errno != EAGAIN)
            return got;
    } while (now_us() < limit);
    return -1;
}

static bool give(int fd, size_t length, const struct sockaddr_in *to) {
    return sendto(fd, bytes, length, 0, (const struct sockaddr *)to, sizeof(*to)) == (ssize_t)length;
}

static int serve(int fd, bool bandwidth, uint32_t packets) {
    struct sockaddr_in from;
    uint32_t answered = 0;
    for (uint32_t got = 0; got < packets;) {
        ssize_t length = take(fd, !bandwidth, &from);
        if (length < 0)
            return fail("recvfrom");
        got += bandwidth ? (uint32_t)((length + PACKET - 1) / PACKET) : 1;
        if (bandwidth && got - answered < ANSWER_EVERY && got < packets)
            continue;
        answered = got;
        memcpy(bytes, &got, sizeof(got));
        if (!give(fd, bandwidth ? sizeof(got) : SMALL, &from))
            return fail("sendto");
    }
    return 0;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int ask_latency(int fd, uint32_t packets, const struct sockaddr_in *server) {
    struct sockaddr_in from;
    double *halves = calloc(packets, sizeof(*halves));
    if (!halves)
        return fail("calloc");
    for (uint32_t i = 0; i < packets; i++) {
        const double begin = now_us();
        if (!give(fd, SMALL, server) || take(fd, true, &from) < 0)
            return fail("round trip");
        halves[i] = (now_us() - begin) / 2;
    }
    qsort(halves, packets, sizeof(*halves), by_size);
    printf("%.2f\n", halves[packets / 2]);
    free(halves);
    return 0;
}

static int ask_bandwidth(int fd, uint32_t packets, const struct sockaddr_in *server) {
    struct sockaddr_in from;
    const int segment = PACKET;
    uint32_t sent = 0, answered = 0;
    if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)))
        return fail("UDP_SEGMENT");
    const double begin = now_us();
    while (answered < packets) {
        const uint32_t left = packets - sent, room = WINDOW - (sent - answered);
        const uint32_t batch = left < BATCH ? left : BATCH;
        if (batch && batch <= room) {
            if (!give(fd, batch * PACKET, server))
                return fail("sendto");
            sent += batch;
            continue;
        }
        if (take(fd, false, &from) < 0)
            return fail("recvfrom");
        memcpy(&answered, bytes, sizeof(answered));
    }
    printf("%.2f\n", (double)packets * PACKET / (1 << 20) / ((now_us() - begin) / 1e6));
    return 0;
}

int main(int argc, char **argv) {
    const bool asks = argc == 6 && !strcmp(argv[1], "ask");
    if (!asks && (argc != 5 || strcmp(argv[1], "serve"))) {
        fprintf(stderr, "usage: plain_udp serve|ask bw|lat ADDRESS PACKETS [SERVER]\n");
        return 2;
    }
    const bool bandwidth = !strcmp(argv[2], "bw");
    const struct sockaddr_in own = address_of(argv[3]);
    const uint32_t packets = (uint32_t)strtoul(argv[4], NULL, 10);
    const int room = ROOM, on = 1;
    const struct timeval limit = {.tv_sec = LIMIT_S};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&own, sizeof(own)))
        return fail("bind");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (!asks && bandwidth)
        (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
    if (!asks) {
        printf("ready\n");
        fflush(stdout);
        return serve(fd, bandwidth, packets);
    }
    const struct sockaddr_in server = address_of(argv[5]);
    return bandwidth ? ask_bandwidth(fd, packets, &server) : ask_latency(fd, packets, &server);
}
