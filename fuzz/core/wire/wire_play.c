/* SPDX-License-Identifier: BSD-3-Clause */
/* The fuzzer of the wire. The first byte of a program says what the others are: a frame of a link type, or a capture
 * file and how it is split into pieces. Every input is in a block of its own size, so AddressSanitizer sees each read
 * outside. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../mutate.h"
#include "wire/bytes.h"
#include "wire/wire.h"

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "FINDING %s:%d: %s\n", __FILE__, __LINE__, #condition);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static const uint32_t link_types[] = {
    RVT_LINK_ETHERNET, RVT_LINK_RAW,  RVT_LINK_LINUX_SLL,  RVT_LINK_LINUX_SLL2,
    RVT_LINK_IPV4,     RVT_LINK_IPV6, RVT_LINK_RAW_BSD_12, RVT_LINK_RAW_BSD_14,
};
enum {
    LINK_TYPES = sizeof(link_types) / sizeof(link_types[0]),
    FILE_PROGRAM = 0x80, /* in the first byte: a capture file */
    ROWS = 3,
};

static unsigned char *copy_exactly(const unsigned char *bytes, size_t length) {
    unsigned char *copy = malloc(length + !length);
    if (!copy)
        abort();
    memcpy(copy, bytes, length);
    return copy;
}

/* --- frames --- */

/* Encodes a well-formed packet again. All bytes must be the same, but for those that the encoder does not take from
 * the frame: a wrong header checksum, pad bytes, a wrong ICRC, bytes behind the packet. */
static void encode_again(const struct rvt_frame *frame, const unsigned char *bytes) {
    unsigned char again[RVT_MAX_FRAME_HEADERS + RVT_MAX_PAYLOAD + 3 + 4];
    const struct rvt_transport *transport = &frame->transport;
    uint32_t at = rvt_encode_frame(frame, transport->payload_length, again);
    EXPECT(at == frame->payload_at);
    if (frame->bad_ip_checksum)
        memcpy(again + frame->ip_at + 10, bytes + frame->ip_at + 10, 2);
    /* The checksum 0xffff is right wherever 0 is; the encoder writes 0. */
    if (!frame->ipv6 && rvt_load_be16(bytes + frame->ip_at + 10) == 0xffff)
        memcpy(again + frame->ip_at + 10, bytes + frame->ip_at + 10, 2);
    EXPECT(memcmp(again, bytes, at) == 0);
    memcpy(again + at, bytes + at, transport->payload_length + transport->pad);
    at += transport->payload_length + transport->pad + 4;
    EXPECT(at == frame->ip_at + frame->ip_bytes);
    rvt_seal_frame(frame, again, at);
    EXPECT((memcmp(again + at - 4, bytes + at - 4, 4) == 0) == (frame->icrc_verdict == RVT_ICRC_GOOD));
    if (frame->udp_checksum)
        EXPECT((rvt_frame_udp_checksum(frame, bytes, at) == frame->udp_checksum) == !frame->bad_udp_checksum);
}

static void check_frame(const struct rvt_frame *frame, const unsigned char *bytes, uint32_t captured,
                        bool encodable) {
    const struct rvt_transport *transport = &frame->transport;
    EXPECT(frame->ip_at <= captured);
    if (frame->payload_there) {
        EXPECT(frame->payload_at <= captured && frame->payload_there <= captured - frame->payload_at);
        EXPECT(frame->payload_there <= transport->payload_length);
    }
    if (frame->icrc_verdict != RVT_ICRC_NOT_CHECKED)
        EXPECT((frame->icrc == frame->icrc_computed) == (frame->icrc_verdict == RVT_ICRC_GOOD));
    if (frame->fault != RVT_WIRE_FAULT_NONE)
        return;
    EXPECT(transport->headers == rvt_opcode_headers(transport->opcode) && transport->headers);
    EXPECT(rvt_payload_allowed(transport->opcode, transport->payload_length));
    if (encodable && frame->icrc_verdict != RVT_ICRC_NOT_CHECKED && !frame->ip_options)
        encode_again(frame, bytes);
}

static void play_frame(const uint8_t *program, size_t size, bool print) {
    if (size < 3)
        return;
    const uint32_t link_type = link_types[program[0] % LINK_TYPES];
    const uint32_t captured = (uint32_t)size - 3, missing = program[1] | (uint32_t)program[2] << 8;
    unsigned char *bytes = copy_exactly(program + 3, captured);
    struct rvt_frame frame;
    const enum rvt_frame_kind kind = rvt_decode_frame(link_type, bytes, captured, captured + missing, &frame);
    if (print)
        printf("frame: link type %u, %u of %u bytes: kind %d, fault %d\n", link_type, captured,
               captured + missing, kind, kind == RVT_FRAME_ROCE ? (int)frame.fault : -1);
    EXPECT(kind != RVT_FRAME_UNREAD_LINK);
    const bool cooked = link_type == RVT_LINK_LINUX_SLL || link_type == RVT_LINK_LINUX_SLL2;
    if (kind == RVT_FRAME_ROCE)
        check_frame(&frame, bytes, captured, !cooked);
    uint32_t slicing = rvt_crc32_by(RVT_CRC32_SLICING, missing, bytes, captured);
    EXPECT(rvt_crc32(missing, bytes, captured) == slicing);
    free(bytes);
}

/* --- files --- */

struct summary {
    enum rvt_capture_status status;
    uint64_t packets, unit_at, hash;
};

static void add_to(struct summary *summary, uint64_t value) {
    summary->hash = (summary->hash ^ value) * 0x100000001b3u;
    summary->hash ^= summary->hash >> 29;
}

static struct summary read_pieces(const uint8_t *file, size_t size, size_t piece) {
    static struct rvt_capture capture;
    static unsigned char carry[RVT_CAPTURE_MAX_PACKET];
    struct summary summary = {0};
    rvt_capture_start(&capture, carry);
    for (size_t at = 0; at < size && capture.status == RVT_CAPTURE_OK; at += piece) {
        const size_t now = piece < size - at ? piece : size - at;
        unsigned char *bytes = copy_exactly(file + at, now);
        struct rvt_captured_packet packet;
        rvt_capture_give(&capture, bytes, now);
        while (rvt_capture_next(&capture, &packet)) {
            struct rvt_frame frame;
            EXPECT(packet.captured <= RVT_CAPTURE_MAX_PACKET && packet.nanoseconds < 1000000000);
            EXPECT(packet.carried ? packet.bytes == carry
                                  : packet.bytes >= bytes && packet.bytes + packet.captured <= bytes + now);
            if (rvt_decode_frame(packet.link_type, packet.bytes, packet.captured, packet.original, &frame) ==
                RVT_FRAME_ROCE)
                check_frame(&frame, packet.bytes, packet.captured, false);
            add_to(&summary, packet.number);
            add_to(&summary, (uint64_t)packet.seconds);
            add_to(&summary, packet.nanoseconds);
            add_to(&summary, packet.original);
            add_to(&summary, packet.link_type);
            add_to(&summary, rvt_crc32(packet.captured, packet.bytes, packet.captured));
        }
        EXPECT(capture.status != RVT_CAPTURE_OK || rvt_capture_left(&capture) == 0);
        free(bytes);
    }
    summary.status = rvt_capture_end(&capture);
    summary.packets = capture.packets;
    summary.unit_at = capture.unit_at;
    EXPECT(capture.unit_at <= capture.position && capture.position <= size);
    return summary;
}

/* Reads rows in pieces, in calls that a full block ends. */
static uint64_t read_rows(const uint8_t *file, size_t size, size_t piece, uint64_t *packets) {
    static struct rvt_row_reader reader;
    unsigned char *block = malloc(RVT_WIRE_ROWS_AT + ROWS * RVT_WIRE_ROW_BYTES);
    uint64_t total = 0;
    if (!block)
        abort();
    rvt_rows_start(&reader, block, ROWS);
    for (size_t at = 0; at < size; at += piece) {
        const size_t now = piece < size - at ? piece : size - at;
        unsigned char *chunk = copy_exactly(file + at, now);
        for (size_t from = 0; from < now;) {
            double taken;
            uint32_t rows;
            rvt_rows_read(&reader, chunk, now, from);
            memcpy(&rows, block + RVT_WIRE_HEADER_ROWS * sizeof(rows), sizeof(rows));
            memcpy(&taken, block + RVT_WIRE_HEADER_DOUBLE_TAKEN * sizeof(taken), sizeof(taken));
            EXPECT(rows <= ROWS && taken >= 0 && taken <= (double)(now - from));
            EXPECT(taken > 0 || reader.capture.status != RVT_CAPTURE_OK);
            for (uint32_t row = 0; row < rows; row++) {
                uint32_t words[RVT_WIRE_ROW_WORDS];
                memcpy(words, block + RVT_WIRE_ROWS_AT + row * RVT_WIRE_ROW_BYTES, sizeof(words));
                const uint64_t end =
                    (uint64_t)words[RVT_WIRE_ROW_PAYLOAD_AT] + words[RVT_WIRE_ROW_PAYLOAD_BYTES];
                EXPECT(words[RVT_WIRE_ROW_PAYLOAD_BYTES] <= words[RVT_WIRE_ROW_PAYLOAD_LENGTH]);
                EXPECT(end <= (words[RVT_WIRE_ROW_FLAGS] & RVT_WIRE_FLAG_CARRIED ? RVT_WIRE_CARRIED_BYTES
                                                                                 : (uint64_t)now));
            }
            total += rows;
            from += (size_t)taken;
            if (reader.capture.status != RVT_CAPTURE_OK)
                break;
        }
        free(chunk);
    }
    rvt_rows_end(&reader);
    EXPECT(total == reader.roce);
    *packets = reader.capture.packets;
    free(block);
    return total;
}

static void play_file(const uint8_t *program, size_t size, bool print) {
    if (size < 2)
        return;
    const uint8_t *file = program + 2;
    const size_t length = size - 2, piece = 1 + program[1] % 128u;
    const struct summary whole = read_pieces(file, length, length ? length : 1);
    const struct summary split = read_pieces(file, length, piece);
    uint64_t packets, packets_split;
    const uint64_t rows = read_rows(file, length, length ? length : 1, &packets);
    if (print)
        printf("file: %zu bytes, in pieces of %zu: %" PRIu64 " packets, %" PRIu64
               " of RoCEv2, status %d at %" PRIu64 "\n",
               length, piece, whole.packets, rows, whole.status, whole.unit_at);
    EXPECT(whole.status == split.status && whole.packets == split.packets);
    EXPECT(whole.unit_at == split.unit_at && whole.hash == split.hash);
    EXPECT(read_rows(file, length, piece, &packets_split) == rows);
    EXPECT(packets == whole.packets && packets_split == packets);
}

static void play(const uint8_t *bytes, size_t size, bool print) {
    if (size && bytes[0] & FILE_PROGRAM)
        play_file(bytes, size, print);
    else
        play_frame(bytes, size, print);
    if (print)
        printf("end\n");
}

const struct program_kind program_kind = {.operation_bytes = 1, .play = play};
