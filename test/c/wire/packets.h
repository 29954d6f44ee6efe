/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets for the tests of the wire, written byte by byte, with an ICRC by the definition: no code of the codec. */
#ifndef RVT_TEST_PACKETS_H
#define RVT_TEST_PACKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* The CRC by its definition: a division bit by bit. */
static inline uint32_t slow_crc(uint32_t crc, const unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return crc;
}

/* Reproducible random numbers. */
static inline uint32_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

struct packet {
    unsigned char bytes[8192];
    size_t length;
    size_t ip_at, udp_at, bth_at; /* set by the functions that put them */
};

static inline void put(struct packet *p, const void *bytes, size_t length) {
    memcpy(p->bytes + p->length, bytes, length);
    p->length += length;
}

static inline void put_8(struct packet *p, unsigned value) {
    p->bytes[p->length++] = (unsigned char)value;
}

static inline void put_16(struct packet *p, unsigned value) {
    put_8(p, value >> 8);
    put_8(p, value);
}

static inline void put_24(struct packet *p, uint32_t value) {
    put_8(p, value >> 16);
    put_16(p, value);
}

static inline void put_32(struct packet *p, uint32_t value) {
    put_16(p, value >> 16);
    put_16(p, value);
}

static inline void put_64(struct packet *p, uint64_t value) {
    put_32(p, (uint32_t)(value >> 32));
    put_32(p, (uint32_t)value);
}

/* `length` bytes with a pattern that has no zeros at its ends. */
static inline void put_payload(struct packet *p, size_t length) {
    for (size_t i = 0; i < length; i++)
        put_8(p, (unsigned)(i * 7 + 1));
}

/* Without the EtherType. */
static inline void put_macs(struct packet *p) {
    put(p, "\x02\x00\x00\x00\x00\x16\x02\x00\x00\x00\x00\x15", 12);
}

/* `options`: bytes of options, a multiple of 4. finish_packet() fills in lengths and checksum. */
static inline void put_ipv4(struct packet *p, size_t options) {
    p->ip_at = p->length;
    put_8(p, 0x45 + (unsigned)options / 4);
    put_8(p, 0x02);
    put_16(p, 0);
    put_16(p, 0x1234);
    put_16(p, 0x4000);
    put_8(p, 63);
    put_8(p, 17);
    put_16(p, 0);
    put(p, "\x0a\x00\x02\x0f\x0a\x00\x02\x10", 8);
    for (size_t i = 0; i < options; i++)
        put_8(p, 1);
}

static inline void put_ipv6(struct packet *p, unsigned next_header) {
    p->ip_at = p->length;
    put_32(p, 0x62312345);
    put_16(p, 0);
    put_8(p, next_header);
    put_8(p, 64);
    for (int i = 0; i < 32; i++)
        put_8(p, i == 0 || i == 16 ? 0xfe : (unsigned)i);
}

static inline void put_udp(struct packet *p) {
    p->udp_at = p->length;
    put_16(p, 0xc012);
    put_16(p, 4791);
    put_16(p, 0);
    put_16(p, 0);
}

static inline void put_bth(struct packet *p, unsigned opcode, unsigned pad) {
    p->bth_at = p->length;
    put_8(p, opcode);
    put_8(p, 0xc0 | pad << 4);
    put_16(p, 0xffff);
    put_8(p, 0xc5);
    put_24(p, 0x000123);
    put_8(p, 0x80);
    put_24(p, 0xfffffe);
}

static inline uint32_t internet_sum(const unsigned char *bytes, size_t length) {
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    return sum;
}

static inline unsigned internet_checksum(uint32_t sum) {
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return 0xffff ^ sum;
}

static inline void set_16(struct packet *p, size_t at, unsigned value) {
    p->bytes[at] = (unsigned char)(value >> 8);
    p->bytes[at + 1] = (unsigned char)value;
}

/* Stores the checksum of the IPv4 header. */
static inline void set_ip_checksum(struct packet *p) {
    const size_t header = (p->bytes[p->ip_at] & 15u) * 4;
    set_16(p, p->ip_at + 10, 0);
    set_16(p, p->ip_at + 10, internet_checksum(internet_sum(p->bytes + p->ip_at, header)));
}

/* Returns the ICRC of the packet up to `end`, where the ICRC is or will be. */
static inline uint32_t slow_icrc(const struct packet *p, size_t end) {
    unsigned char masked[sizeof(p->bytes) + 8];
    const size_t length = 8 + end - p->ip_at;
    memset(masked, 0xff, 8);
    memcpy(masked + 8, p->bytes + p->ip_at, end - p->ip_at);
    if (masked[8] >> 4 == 4) {
        masked[8 + 1] = masked[8 + 8] = masked[8 + 10] = masked[8 + 11] = 0xff;
    } else {
        masked[8] |= 15;
        masked[8 + 1] = masked[8 + 2] = masked[8 + 3] = masked[8 + 7] = 0xff;
    }
    const size_t udp = 8 + p->udp_at - p->ip_at;
    masked[udp + 6] = masked[udp + 7] = 0xff;
    masked[udp + 8 + 4] = 0xff;
    return ~slow_crc(0xffffffff, masked, length);
}

/* Fills in the lengths and the checksum of the IP header, and appends the ICRC. */
static inline void finish_packet(struct packet *p) {
    p->length += 4;
    const bool is_v4 = p->bytes[p->ip_at] >> 4 == 4;
    if (is_v4)
        set_16(p, p->ip_at + 2, (unsigned)(p->length - p->ip_at));
    else
        set_16(p, p->ip_at + 4, (unsigned)(p->length - p->ip_at - 40));
    set_16(p, p->udp_at + 4, (unsigned)(p->length - p->udp_at));
    if (is_v4)
        set_ip_checksum(p);
    const uint32_t icrc = slow_icrc(p, p->length - 4);
    for (int i = 0; i < 4; i++)
        p->bytes[p->length - 4 + (size_t)i] = (unsigned char)(icrc >> 8 * i);
}

/* An RC SEND ONLY with `payload` bytes over Ethernet and IPv4. */
static inline void make_send(struct packet *p, size_t payload) {
    memset(p, 0, sizeof(*p));
    put_macs(p);
    put_16(p, 0x0800);
    put_ipv4(p, 0);
    put_udp(p);
    const unsigned pad = (4 - payload % 4) % 4;
    put_bth(p, 0x04, pad);
    put_payload(p, payload);
    for (unsigned i = 0; i < pad; i++)
        put_8(p, 0);
    finish_packet(p);
}

/* Returns a copy in a block of its own size, so that AddressSanitizer sees every read behind it. */
static inline unsigned char *copy_exactly(const unsigned char *bytes, size_t length) {
    unsigned char *copy = malloc(length + !length);
    if (!copy)
        abort();
    memcpy(copy, bytes, length);
    return copy;
}

#endif
