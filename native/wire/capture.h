/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads capture files, pcap and pcapng, from a stream that arrives in pieces of any size. The reader keeps at most
 * one packet, in memory that its owner provides, and never allocates. Any bytes are a valid input: what is not a
 * capture file ends with a status and a position.
 *
 * pcap: draft-ietf-opsawg-pcap (little- and big-endian, microseconds and nanoseconds). pcapng:
 * draft-ietf-opsawg-pcapng (any number of sections of either byte order, and interfaces; if_tsresol and
 * if_tsoffset; enhanced, simple and obsolete packet blocks; other blocks are skipped). */
#ifndef RVT_WIRE_CAPTURE_H
#define RVT_WIRE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/layout.h" /* enum rvt_capture_status, rvt_capture_format */

struct rvt_captured_packet {
    const unsigned char *bytes; /* `captured` bytes, valid until the next call */
    bool carried; /* `bytes` is in the reader's own memory: the packet began in an earlier piece */
    uint32_t captured;
    uint32_t original;    /* length on the wire, as the file has it */
    uint32_t link_type;   /* LINKTYPE_* */
    uint64_t number;      /* from 1, as Wireshark shows it */
    int64_t seconds;      /* since 1970 UTC; 0 for simple packet blocks, which have no time */
    uint32_t nanoseconds; /* below 1,000,000,000 */
};

/* An interface of a pcapng section, or the one of a pcap file. */
struct rvt_capture_interface {
    uint32_t link_type;
    uint32_t snap_length;   /* 0: no limit */
    uint8_t digits;         /* time stamps count 10^-digits or 2^-digits s */
    bool binary;            /* 2^-digits */
    int64_t offset_seconds; /* added to time stamps */
};

/* Only the functions below change the fields. */
struct rvt_capture {
    /* May be read by the owner. */
    enum rvt_capture_status status; /* not OK: the reader has stopped */
    enum rvt_capture_format format;
    uint64_t position; /* bytes of the stream taken so far */
    uint64_t unit_at;  /* position of the present packet or block */
    uint64_t packets;  /* packets so far */

    /* For the reader only. */
    const unsigned char *input; /* the rest of the present piece */
    size_t left;

    unsigned char *carry; /* RVT_CAPTURE_MAX_PACKET bytes */
    size_t carried;       /* bytes in `carry`: the beginning of what is read next */

    int stage;
    bool big_endian;
    bool nanoseconds;      /* pcap */
    uint32_t block_length; /* pcapng: total length of the present block */
    uint32_t block_left;   /* bytes of it in front of the second length field that were not taken yet */
    unsigned char first_length[4]; /* the length of a section header, whose byte order is not known yet */
    struct rvt_captured_packet next;

    uint32_t interface_count;
    struct rvt_capture_interface interfaces[RVT_CAPTURE_MAX_INTERFACES];
};

/* Starts a reader. `carry` has RVT_CAPTURE_MAX_PACKET bytes and belongs to the reader until its last call. */
void rvt_capture_start(struct rvt_capture *capture, unsigned char *carry);

/* Gives the next piece of the stream. If the reader has not taken all of the last one (rvt_capture_left()), the
 * caller gives the rest of it first. `bytes` must not change until the reader has taken them. NULL if `length` is
 * 0. */
void rvt_capture_give(struct rvt_capture *capture, const unsigned char *bytes, size_t length);

/* Reads the next packet into *packet. Returns false if there is none: the piece is used up, or the status is not
 * OK. */
bool rvt_capture_next(struct rvt_capture *capture, struct rvt_captured_packet *packet);

/* Returns the bytes of the present piece that were not taken. */
static inline size_t rvt_capture_left(const struct rvt_capture *capture) {
    return capture->left;
}

/* The stream has ended. Returns the status: OK if it ended behind a packet or a block. */
enum rvt_capture_status rvt_capture_end(struct rvt_capture *capture);

#endif
