/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/rows.h"

#include <assert.h>
#include <string.h>

#include "wire/bytes.h"
#include "wire/frame.h"

static_assert(RVT_WIRE_ROW_BYTES == RVT_WIRE_ROW_WORDS * sizeof(uint32_t) && RVT_WIRE_ROW_BYTES % 8 == 0 &&
                  RVT_WIRE_ROWS_AT % 8 == 0 && RVT_WIRE_CARRIED_AT % 8 == 0,
              "rows are aligned");
static_assert(RVT_WIRE_CARRIED_AT == RVT_WIRE_HEADER_BYTES &&
                  RVT_WIRE_ROWS_AT == RVT_WIRE_CARRIED_AT + RVT_WIRE_CARRIED_BYTES,
              "the parts of a block follow each other");
static_assert((RVT_WIRE_HEADER_UNREAD_LINK_TYPE + 1) * sizeof(uint32_t) <=
                      RVT_WIRE_HEADER_DOUBLE_TAKEN * sizeof(double) &&
                  (RVT_WIRE_HEADER_DOUBLE_UNREAD_LINK + 1) * sizeof(double) <= RVT_WIRE_HEADER_BYTES,
              "the header has room for its words and doubles");

/* A row is built here and copied as a whole, so nothing is read back from memory that others may write to. */
struct row {
    uint32_t words[RVT_WIRE_ROW_WORDS];
};

static void set_double(struct row *row, enum rvt_wire_row at, double value) {
    memcpy(&row->words[at], &value, sizeof(value));
}

static void set_long(struct row *row, enum rvt_wire_row at, uint64_t value) {
    row->words[at] = (uint32_t)value;
    row->words[at + 1] = (uint32_t)(value >> 32);
}

static void set_address(struct row *row, enum rvt_wire_row at, enum rvt_wire_row hash_at,
                        const uint8_t *address) {
    uint32_t hash = 0;
    for (int i = 0; i < 4; i++) {
        const uint32_t word = rvt_load_be32(address + (size_t)i * 4);
        row->words[at + i] = word;
        hash = (hash ^ word) * 0x9e3779b1u;
        hash ^= hash >> 15;
    }
    row->words[hash_at] = hash;
}

static uint32_t flags_of(const struct rvt_frame *frame, bool carried) {
    const struct rvt_transport *transport = &frame->transport;
    return (transport->solicited ? RVT_WIRE_FLAG_SOLICITED : 0u) |
           (transport->migreq ? RVT_WIRE_FLAG_MIGREQ : 0u) |
           (transport->ack_req ? RVT_WIRE_FLAG_ACK_REQ : 0u) | (transport->fecn ? RVT_WIRE_FLAG_FECN : 0u) |
           (transport->becn ? RVT_WIRE_FLAG_BECN : 0u) | (frame->ipv6 ? RVT_WIRE_FLAG_IPV6 : 0u) |
           (frame->cut ? RVT_WIRE_FLAG_CUT : 0u) | (carried ? RVT_WIRE_FLAG_CARRIED : 0u) |
           (frame->ip_options ? RVT_WIRE_FLAG_IP_OPTIONS : 0u) |
           (frame->bad_ip_checksum ? RVT_WIRE_FLAG_BAD_IP_CHECKSUM : 0u) |
           (frame->bad_udp_checksum ? RVT_WIRE_FLAG_BAD_UDP_CHECKSUM : 0u) |
           (frame->trailer ? RVT_WIRE_FLAG_TRAILER : 0u);
}

/* Fills the fields of the transport headers. */
static void set_transport(struct row *row, const struct rvt_transport *transport) {
    row->words[RVT_WIRE_ROW_HEADERS] = transport->headers;
    row->words[RVT_WIRE_ROW_OPCODE] = transport->opcode;
    row->words[RVT_WIRE_ROW_DEST_QP] = transport->dest_qp;
    row->words[RVT_WIRE_ROW_PSN] = transport->psn;
    row->words[RVT_WIRE_ROW_PKEY] = transport->pkey;
    set_long(row, RVT_WIRE_ROW_ADDRESS, transport->address);
    row->words[RVT_WIRE_ROW_RKEY] = transport->rkey;
    row->words[RVT_WIRE_ROW_LENGTH] = transport->headers & RVT_WIRE_HAS_ATOMIC_ETH ? 8 : transport->length;
    set_long(row, RVT_WIRE_ROW_SWAP_ADD, transport->swap_add);
    set_long(row, RVT_WIRE_ROW_COMPARE, transport->compare);
    set_long(row, RVT_WIRE_ROW_ORIGINAL_VALUE, transport->original);
    row->words[RVT_WIRE_ROW_SYNDROME] = transport->syndrome;
    row->words[RVT_WIRE_ROW_MSN] = transport->msn;
    row->words[RVT_WIRE_ROW_IMMEDIATE] = transport->immediate;
    row->words[RVT_WIRE_ROW_INVALIDATE] = transport->invalidate;
    row->words[RVT_WIRE_ROW_QKEY] = transport->qkey;
    row->words[RVT_WIRE_ROW_SOURCE_QP] = transport->source_qp;
    row->words[RVT_WIRE_ROW_PAYLOAD_LENGTH] = transport->payload_length;
    row->words[RVT_WIRE_ROW_PAD] = transport->pad;
}

/* Tells where the payload is: in the chunk, or, for a packet that began in an earlier one, in a copy in the
 * block. */
static void set_payload(struct row *row, struct rvt_row_reader *reader, const unsigned char *chunk,
                        const struct rvt_captured_packet *packet, const struct rvt_frame *frame) {
    uint32_t there = frame->payload_there;
    if (there == 0)
        return;
    const unsigned char *payload = packet->bytes + frame->payload_at;
    if (packet->carried) {
        if (there > RVT_WIRE_CARRIED_BYTES)
            there = RVT_WIRE_CARRIED_BYTES;
        memcpy(reader->block + RVT_WIRE_CARRIED_AT, payload, there);
    } else {
        row->words[RVT_WIRE_ROW_PAYLOAD_AT] = (uint32_t)(payload - chunk);
    }
    row->words[RVT_WIRE_ROW_PAYLOAD_BYTES] = there;
}

static void write_row(struct rvt_row_reader *reader, uint32_t index, const unsigned char *chunk,
                      const struct rvt_captured_packet *packet, const struct rvt_frame *frame) {
    struct row row;
    memset(&row, 0, sizeof(row));
    set_double(&row, RVT_WIRE_ROW_NUMBER, (double)packet->number);
    set_double(&row, RVT_WIRE_ROW_SECONDS, (double)packet->seconds);
    row.words[RVT_WIRE_ROW_NANOSECONDS] = packet->nanoseconds;
    row.words[RVT_WIRE_ROW_ORIGINAL] = packet->original;
    row.words[RVT_WIRE_ROW_CAPTURED] = packet->captured;
    row.words[RVT_WIRE_ROW_FLAGS] = flags_of(frame, packet->carried);
    row.words[RVT_WIRE_ROW_FAULT] = frame->fault;
    set_transport(&row, &frame->transport);
    set_address(&row, RVT_WIRE_ROW_SOURCE, RVT_WIRE_ROW_SOURCE_HASH, frame->source);
    set_address(&row, RVT_WIRE_ROW_DESTINATION, RVT_WIRE_ROW_DESTINATION_HASH, frame->destination);
    row.words[RVT_WIRE_ROW_SOURCE_PORT] = frame->source_port;
    row.words[RVT_WIRE_ROW_TRAFFIC_CLASS] = frame->traffic_class;
    row.words[RVT_WIRE_ROW_IP_ID] = frame->id;
    row.words[RVT_WIRE_ROW_VLAN] =
        frame->tags ? frame->tag[frame->tags - 1] & 0xfff : (uint32_t)RVT_WIRE_NO_VLAN;
    set_payload(&row, reader, chunk, packet, frame);
    row.words[RVT_WIRE_ROW_ICRC] = frame->icrc_verdict;
    row.words[RVT_WIRE_ROW_ICRC_FOUND] = frame->icrc;
    row.words[RVT_WIRE_ROW_ICRC_COMPUTED] = frame->icrc_computed;
    if (frame->icrc_verdict == RVT_ICRC_OTHER_ID)
        row.words[RVT_WIRE_ROW_ICRC_IP_ID] = frame->icrc_ip_id;
    memcpy(reader->block + RVT_WIRE_ROWS_AT + (size_t)index * RVT_WIRE_ROW_BYTES, &row, sizeof(row));
}

static void write_header(struct rvt_row_reader *reader, uint32_t rows, size_t taken) {
    const struct rvt_capture *capture = &reader->capture;
    uint32_t words[RVT_WIRE_HEADER_UNREAD_LINK_TYPE + 1] = {0};
    double doubles[RVT_WIRE_HEADER_DOUBLE_UNREAD_LINK + 1] = {0};
    words[RVT_WIRE_HEADER_ROWS] = rows;
    words[RVT_WIRE_HEADER_STATUS] = capture->status;
    words[RVT_WIRE_HEADER_FORMAT] = capture->format;
    words[RVT_WIRE_HEADER_UNREAD_LINK_TYPE] = reader->unread_link_type;
    doubles[RVT_WIRE_HEADER_DOUBLE_TAKEN] = (double)taken;
    doubles[RVT_WIRE_HEADER_DOUBLE_POSITION] =
        (double)(capture->status == RVT_CAPTURE_OK ? capture->position : capture->unit_at);
    doubles[RVT_WIRE_HEADER_DOUBLE_PACKETS] = (double)capture->packets;
    doubles[RVT_WIRE_HEADER_DOUBLE_ROCE] = (double)reader->roce;
    doubles[RVT_WIRE_HEADER_DOUBLE_FRAGMENTS] = (double)reader->fragments;
    doubles[RVT_WIRE_HEADER_DOUBLE_ROCE_V1] = (double)reader->roce_v1;
    doubles[RVT_WIRE_HEADER_DOUBLE_UNREAD_LINK] = (double)reader->unread_link;
    memcpy(doubles, words, sizeof(words)); /* the words are where the first doubles would be */
    memcpy(reader->block, doubles, sizeof(doubles));
}

void rvt_rows_start(struct rvt_row_reader *reader, unsigned char *block, uint32_t rows) {
    rvt_capture_start(&reader->capture, reader->carry);
    reader->block = block;
    reader->rows = rows;
    reader->unread_link_type = 0;
    reader->roce = reader->fragments = reader->roce_v1 = reader->unread_link = 0;
    write_header(reader, 0, 0);
}

void rvt_rows_read(struct rvt_row_reader *reader, const unsigned char *chunk, size_t length, size_t from) {
    struct rvt_captured_packet packet;
    struct rvt_frame frame;
    uint32_t rows = 0;
    rvt_capture_give(&reader->capture, from < length ? chunk + from : NULL, length - from);
    while (rows < reader->rows && rvt_capture_next(&reader->capture, &packet)) {
        switch (rvt_decode_frame(packet.link_type, packet.bytes, packet.captured, packet.original, &frame)) {
        case RVT_FRAME_ROCE:
            write_row(reader, rows++, chunk, &packet, &frame);
            reader->roce++;
            break;
        case RVT_FRAME_FRAGMENT:
            reader->fragments++;
            break;
        case RVT_FRAME_ROCE_V1:
            reader->roce_v1++;
            break;
        case RVT_FRAME_UNREAD_LINK:
            reader->unread_link++;
            reader->unread_link_type = packet.link_type;
            break;
        case RVT_FRAME_OTHER:
            break;
        }
    }
    write_header(reader, rows, length - from - rvt_capture_left(&reader->capture));
    /* The chunk is the caller's again. */
    rvt_capture_give(&reader->capture, NULL, 0);
}

void rvt_rows_end(struct rvt_row_reader *reader) {
    rvt_capture_end(&reader->capture);
    write_header(reader, 0, 0);
}
