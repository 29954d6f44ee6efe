/* SPDX-License-Identifier: BSD-3-Clause */
/* Records on standard input and output, as the programs of this folder exchange them with the test: 4 bytes
 * of length, big-endian, and so many bytes. QEMU frames Ethernet on a stream in the same way. */
#ifndef RXE_RECORDS_H
#define RXE_RECORDS_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_ROOM = 1 << 16 };

/* A reader of standard input. Records arrive in pieces. */
struct records {
    unsigned char bytes[4 + RECORD_ROOM];
    size_t have;
};

/* Reads what is there. Returns false if the input has ended. */
static inline bool records_read(struct records *in) {
    ssize_t got = read(STDIN_FILENO, in->bytes + in->have, sizeof(in->bytes) - in->have);
    if (got > 0)
        in->have += (size_t)got;
    return got > 0 || (got < 0 && errno == EINTR);
}

/* Calls `take` for each record that is whole. One that is too long ends the process: the test is wrong. */
static inline void records_each(struct records *in,
                                void (*take)(const unsigned char *record, size_t length)) {
    size_t at = 0;
    while (in->have - at >= 4) {
        uint32_t length;
        memcpy(&length, in->bytes + at, sizeof(length));
        length = ntohl(length);
        if (length > RECORD_ROOM) {
            fprintf(stderr, "a record of %u bytes\n", length);
            exit(2);
        }
        if (in->have - at - 4 < length)
            break;
        take(in->bytes + at + 4, length);
        at += 4 + length;
    }
    memmove(in->bytes, in->bytes + at, in->have - at);
    in->have -= at;
}

/* Writes a record of two parts. The process ends if nobody reads it any more. */
static inline void records_write(const void *first, size_t first_length, const void *second,
                                 size_t second_length) {
    static unsigned char bytes[4 + RECORD_ROOM];
    size_t length = first_length + second_length, written = 0;
    if (length > RECORD_ROOM)
        return;
    uint32_t header = htonl((uint32_t)length);
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + 4, first, first_length);
    memcpy(bytes + 4 + first_length, second, second_length);
    while (written < 4 + length) {
        ssize_t put = write(STDOUT_FILENO, bytes + written, 4 + length - written);
        if (put < 0 && errno != EINTR)
            exit(1);
        written += put > 0 ? (size_t)put : 0;
    }
}

#endif
