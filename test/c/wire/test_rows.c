/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows of RoCEv2 packets: each field, packets that are split between chunks, and blocks that are full. */
#include "wire/rows.h"

#include "packets.h"
#include "wire/bytes.h"

enum { ROWS = 4 };

struct reader {
    struct rvt_row_reader *rows;
    unsigned char *block; /* of its own size, so that AddressSanitizer sees writes behind it */
};

static struct reader new_reader(void) {
    struct reader r = {malloc(sizeof(*r.rows)), malloc(RVT_WIRE_ROWS_AT + ROWS * RVT_WIRE_ROW_BYTES)};
    if (!r.rows || !r.block)
        abort();
    memset(r.block, 0x5a, RVT_WIRE_ROWS_AT + ROWS * RVT_WIRE_ROW_BYTES);
    rvt_rows_start(r.rows, r.block, ROWS);
    return r;
}

static void free_reader(struct reader *r) {
    free(r->block);
    free(r->rows);
}

static uint32_t header(const struct reader *r, enum rvt_wire_header_word word) {
    uint32_t value;
    memcpy(&value, r->block + word * sizeof(value), sizeof(value));
    return value;
}

static uint64_t count(const struct reader *r, enum rvt_wire_header_double which) {
    double value;
    memcpy(&value, r->block + which * sizeof(value), sizeof(value));
    return (uint64_t)value;
}

static uint32_t field(const struct reader *r, uint32_t row, enum rvt_wire_row word) {
    uint32_t value;
    memcpy(&value, r->block + RVT_WIRE_ROWS_AT + row * RVT_WIRE_ROW_BYTES + word * sizeof(value),
           sizeof(value));
    return value;
}

static uint64_t field_64(const struct reader *r, uint32_t row, enum rvt_wire_row word) {
    return field(r, row, word) | (uint64_t)field(r, row, word + 1) << 32;
}

static double field_double(const struct reader *r, uint32_t row, enum rvt_wire_row word) {
    const uint64_t bits = field_64(r, row, word);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* A pcap file. */
struct pcap {
    unsigned char bytes[1 << 16];
    size_t length;
};

static void put_le(struct pcap *f, uint32_t value) {
    rvt_store_le32(f->bytes + f->length, value);
    f->length += 4;
}

static void start_pcap(struct pcap *f, uint32_t link_type) {
    f->length = 0;
    put_le(f, 0xa1b23c4d);
    put_le(f, 0x00040002);
    for (int i = 0; i < 3; i++)
        put_le(f, 0);
    put_le(f, link_type);
}

static void add(struct pcap *f, uint32_t seconds, const struct packet *p, uint32_t captured) {
    put_le(f, seconds);
    put_le(f, 123456789);
    put_le(f, captured);
    put_le(f, (uint32_t)p->length);
    memcpy(f->bytes + f->length, p->bytes, captured);
    f->length += captured;
}

/* Makes a file with one SEND of `payload` bytes. */
static void make_send_file(struct pcap *f, struct packet *p, size_t payload) {
    make_send(p, payload);
    start_pcap(f, 1);
    add(f, 1, p, (uint32_t)p->length);
}

static void read_all(struct reader *r, const struct pcap *f) {
    rvt_rows_read(r->rows, f->bytes, f->length, 0);
}

/* Begins an Ethernet frame with a VLAN tag and this opcode. The caller puts the rest and calls finish_packet(). */
static void start_packet(struct packet *p, unsigned opcode, unsigned pad) {
    memset(p, 0, sizeof(*p));
    put_macs(p);
    put_16(p, 0x8100);
    put_16(p, 0xe00a);
    put_16(p, 0x0800);
    put_ipv4(p, 0);
    put_udp(p);
    put_bth(p, opcode, pad);
}

static void every_field_of_a_write(void) {
    static struct pcap f;
    struct packet p;
    struct reader r = new_reader();
    start_packet(&p, 0x0b, 3);
    put_64(&p, 0x100000002000);
    put_32(&p, 0xa4f14700);
    put_32(&p, 5);
    put_32(&p, 0xcafe0001);
    put_payload(&p, 8);
    finish_packet(&p);
    start_pcap(&f, 1);
    add(&f, 1700000000, &p, (uint32_t)p.length);
    read_all(&r, &f);

    CHECK_EQ(header(&r, RVT_WIRE_HEADER_ROWS), 1);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_STATUS), RVT_CAPTURE_OK);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_FORMAT), RVT_CAPTURE_FORMAT_PCAP);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_TAKEN), f.length);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_POSITION), f.length);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_PACKETS), 1);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_ROCE), 1);

    CHECK(field_double(&r, 0, RVT_WIRE_ROW_NUMBER) == 1.0);
    CHECK(field_double(&r, 0, RVT_WIRE_ROW_SECONDS) == 1700000000.0);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_NANOSECONDS), 123456789);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_ORIGINAL), p.length);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_CAPTURED), p.length);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_FLAGS), RVT_WIRE_FLAG_SOLICITED | RVT_WIRE_FLAG_MIGREQ |
                                                   RVT_WIRE_FLAG_ACK_REQ | RVT_WIRE_FLAG_FECN |
                                                   RVT_WIRE_FLAG_BECN);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_FAULT), RVT_WIRE_FAULT_NONE);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_HEADERS), RVT_WIRE_HAS_BTH | RVT_WIRE_HAS_RETH | RVT_WIRE_HAS_IMM);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_OPCODE), RVT_BTH_RC_WRITE_ONLY_WITH_IMM);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_DEST_QP), 0x123);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PSN), 0xfffffe);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PKEY), 0xffff);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_SOURCE), 0);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_SOURCE + 1), 0);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_SOURCE + 2), 0xffff);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_SOURCE + 3), 0x0a00020f);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_DESTINATION + 3), 0x0a000210);
    CHECK(field(&r, 0, RVT_WIRE_ROW_SOURCE_HASH) != field(&r, 0, RVT_WIRE_ROW_DESTINATION_HASH));
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_SOURCE_PORT), 0xc012);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_TRAFFIC_CLASS), 2);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_IP_ID), 0x1234);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_VLAN), 10);
    CHECK_EQ(field_64(&r, 0, RVT_WIRE_ROW_ADDRESS), 0x100000002000);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_RKEY), 0xa4f14700);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_LENGTH), 5);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_IMMEDIATE), 0xcafe0001);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PAYLOAD_LENGTH), 5);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PAYLOAD_BYTES), 5);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PAYLOAD_AT), f.length - 12);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PAD), 3);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_ICRC), RVT_ICRC_GOOD);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_ICRC_FOUND), rvt_load_le32(p.bytes + p.length - 4));
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_ICRC_COMPUTED), rvt_load_le32(p.bytes + p.length - 4));
    /* Of headers that the packet does not have. */
    for (int word = RVT_WIRE_ROW_SWAP_ADD; word <= RVT_WIRE_ROW_MSN; word++)
        CHECK_EQ(field(&r, 0, word), 0);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_INVALIDATE), 0);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_QKEY), 0);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_SOURCE_QP), 0);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_ICRC_IP_ID), 0);
    /* The row behind the last one is untouched. */
    CHECK_EQ(field(&r, 1, RVT_WIRE_ROW_NUMBER), 0x5a5a5a5a);
    free_reader(&r);
}

static void fields_of_other_headers(void) {
    static struct pcap f;
    struct packet atomic, answer, send, datagram;
    struct reader r = new_reader();
    start_packet(&atomic, 0x13, 0);
    put_64(&atomic, 0x8000000000000008);
    put_32(&atomic, 7);
    put_64(&atomic, 0x1122334455667788);
    put_64(&atomic, 0x99aabbccddeeff00);
    finish_packet(&atomic);
    start_packet(&answer, 0x12, 0);
    put_8(&answer, 0x1f);
    put_24(&answer, 0xabcdef);
    put_64(&answer, 0xfedcba9876543210);
    finish_packet(&answer);
    start_packet(&send, 0x17, 0);
    put_32(&send, 0x98d16e01);
    finish_packet(&send);
    start_packet(&datagram, 0x64, 0);
    put_32(&datagram, 0x80010000);
    put_32(&datagram, 0x00000001);
    put_payload(&datagram, 256);
    finish_packet(&datagram);
    start_pcap(&f, 1);
    add(&f, 1, &atomic, (uint32_t)atomic.length);
    add(&f, 2, &answer, (uint32_t)answer.length);
    add(&f, 3, &send, (uint32_t)send.length);
    add(&f, 4, &datagram, (uint32_t)datagram.length);
    read_all(&r, &f);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_ROWS), 4);
    CHECK_EQ(field_64(&r, 0, RVT_WIRE_ROW_ADDRESS), 0x8000000000000008);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_RKEY), 7);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_LENGTH), 8);
    CHECK_EQ(field_64(&r, 0, RVT_WIRE_ROW_SWAP_ADD), 0x1122334455667788);
    CHECK_EQ(field_64(&r, 0, RVT_WIRE_ROW_COMPARE), 0x99aabbccddeeff00);
    CHECK_EQ(field(&r, 1, RVT_WIRE_ROW_SYNDROME), 0x1f);
    CHECK_EQ(field(&r, 1, RVT_WIRE_ROW_MSN), 0xabcdef);
    CHECK_EQ(field_64(&r, 1, RVT_WIRE_ROW_ORIGINAL_VALUE), 0xfedcba9876543210);
    CHECK_EQ(field(&r, 1, RVT_WIRE_ROW_LENGTH), 0);
    CHECK_EQ(field(&r, 2, RVT_WIRE_ROW_INVALIDATE), 0x98d16e01);
    CHECK_EQ(field(&r, 3, RVT_WIRE_ROW_QKEY), 0x80010000);
    CHECK_EQ(field(&r, 3, RVT_WIRE_ROW_SOURCE_QP), 1);
    CHECK_BYTES_EQ(f.bytes + field(&r, 3, RVT_WIRE_ROW_PAYLOAD_AT),
                   datagram.bytes + datagram.length - 4 - 256, 256);
    for (uint32_t row = 0; row < 4; row++) {
        CHECK(field_double(&r, row, RVT_WIRE_ROW_NUMBER) == row + 1.0);
        CHECK_EQ(field(&r, row, RVT_WIRE_ROW_ICRC), RVT_ICRC_GOOD);
        CHECK_EQ(field(&r, row, RVT_WIRE_ROW_SOURCE_HASH), field(&r, 0, RVT_WIRE_ROW_SOURCE_HASH));
    }
    free_reader(&r);
}

static void flags_and_faults(void) {
    static struct pcap f;
    struct packet cut, damaged, id, v6 = {.length = 0};
    struct reader r = new_reader();
    make_send(&cut, 100);
    make_send(&damaged, 20);
    damaged.bytes[damaged.length - 6] ^= 1;
    damaged.bytes[damaged.ip_at + 8]--;
    set_16(&damaged, damaged.udp_at + 6, 0x1234);
    make_send(&id, 20);
    set_16(&id, id.ip_at + 4, 7);
    set_ip_checksum(&id);
    put_macs(&v6);
    put_16(&v6, 0x86dd);
    put_ipv6(&v6, 17);
    put_udp(&v6);
    put_bth(&v6, 0x1c, 0);
    finish_packet(&v6);
    v6.length += 2;
    start_pcap(&f, 1);
    add(&f, 1, &cut, 60);
    add(&f, 2, &damaged, (uint32_t)damaged.length);
    add(&f, 3, &id, (uint32_t)id.length);
    add(&f, 4, &v6, (uint32_t)v6.length);
    read_all(&r, &f);
    const uint32_t flags = RVT_WIRE_FLAG_SOLICITED | RVT_WIRE_FLAG_MIGREQ | RVT_WIRE_FLAG_ACK_REQ |
                           RVT_WIRE_FLAG_FECN | RVT_WIRE_FLAG_BECN;
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_FLAGS), flags | RVT_WIRE_FLAG_CUT);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_CAPTURED), 60);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_ORIGINAL), cut.length);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PAYLOAD_LENGTH), 100);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PAYLOAD_BYTES), 60 - 54);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_ICRC), RVT_ICRC_NOT_CHECKED);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_VLAN), RVT_WIRE_NO_VLAN);
    CHECK_EQ(field(&r, 1, RVT_WIRE_ROW_FLAGS),
             flags | RVT_WIRE_FLAG_BAD_IP_CHECKSUM | RVT_WIRE_FLAG_BAD_UDP_CHECKSUM);
    CHECK_EQ(field(&r, 1, RVT_WIRE_ROW_ICRC), RVT_ICRC_BAD);
    CHECK_EQ(field(&r, 2, RVT_WIRE_ROW_ICRC), RVT_ICRC_OTHER_ID);
    CHECK_EQ(field(&r, 2, RVT_WIRE_ROW_ICRC_IP_ID), 0x1234);
    CHECK_EQ(field(&r, 2, RVT_WIRE_ROW_IP_ID), 7);
    CHECK_EQ(field(&r, 3, RVT_WIRE_ROW_FLAGS), flags | RVT_WIRE_FLAG_IPV6 | RVT_WIRE_FLAG_TRAILER);
    CHECK_EQ(field(&r, 3, RVT_WIRE_ROW_FAULT), RVT_WIRE_FAULT_OPCODE);
    CHECK_EQ(field(&r, 3, RVT_WIRE_ROW_OPCODE), 0x1c);
    CHECK_EQ(field(&r, 3, RVT_WIRE_ROW_SOURCE), 0xfe010203);
    free_reader(&r);
}

static void a_full_block_ends_the_call(void) {
    static struct pcap f;
    struct packet p, other;
    struct reader r = new_reader();
    make_send(&p, 40);
    make_send(&other, 40);
    set_16(&other, other.udp_at + 2, 53);
    start_pcap(&f, 1);
    for (uint32_t i = 0; i < 11; i++) {
        add(&f, i, &p, (uint32_t)p.length);
        add(&f, i, &other, (uint32_t)other.length);
    }
    size_t from = 0;
    double number = 1;
    for (int call = 0; call < 3; call++) {
        rvt_rows_read(r.rows, f.bytes, f.length, from);
        const uint32_t rows = header(&r, RVT_WIRE_HEADER_ROWS);
        CHECK_EQ(rows, call < 2 ? 4 : 3);
        for (uint32_t row = 0; row < rows; row++, number += 2) {
            CHECK(field_double(&r, row, RVT_WIRE_ROW_NUMBER) == number);
            /* From the beginning of the chunk, not from where the call began. */
            CHECK_BYTES_EQ(f.bytes + field(&r, row, RVT_WIRE_ROW_PAYLOAD_AT), p.bytes + p.bth_at + 12, 40);
        }
        from += count(&r, RVT_WIRE_HEADER_DOUBLE_TAKEN);
    }
    CHECK_EQ(from, f.length);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_PACKETS), 22);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_ROCE), 11);
    rvt_rows_read(r.rows, f.bytes, f.length, from);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_ROWS), 0);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_TAKEN), 0);
    rvt_rows_end(r.rows);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_STATUS), RVT_CAPTURE_OK);
    free_reader(&r);
}

static void a_packet_between_two_chunks_is_carried(void) {
    static struct pcap f;
    struct packet p;
    make_send_file(&f, &p, 4096);
    add(&f, 2, &p, (uint32_t)p.length);
    for (size_t split = 1; split < f.length; split += 61) {
        struct reader r = new_reader();
        unsigned char *chunks[2] = {copy_exactly(f.bytes, split),
                                    copy_exactly(f.bytes + split, f.length - split)};
        const size_t lengths[2] = {split, f.length - split};
        uint32_t total = 0;
        for (int i = 0; i < 2; i++) {
            rvt_rows_read(r.rows, chunks[i], lengths[i], 0);
            for (uint32_t row = 0; row < header(&r, RVT_WIRE_HEADER_ROWS); row++, total++) {
                const bool carried = field(&r, row, RVT_WIRE_ROW_FLAGS) & RVT_WIRE_FLAG_CARRIED;
                const uint32_t at = field(&r, row, RVT_WIRE_ROW_PAYLOAD_AT);
                CHECK_EQ(field(&r, row, RVT_WIRE_ROW_PAYLOAD_BYTES), 4096);
                CHECK_EQ(field(&r, row, RVT_WIRE_ROW_ICRC), RVT_ICRC_GOOD);
                CHECK_BYTES_EQ(carried ? r.block + RVT_WIRE_CARRIED_AT : chunks[i] + at,
                               p.bytes + p.bth_at + 12, 4096);
                if (carried)
                    CHECK_EQ(at, 0);
                CHECK(!carried || row == 0);
            }
        }
        CHECK_EQ(total, 2);
        free(chunks[0]);
        free(chunks[1]);
        free_reader(&r);
    }
}

static void longer_payloads_are_carried_in_part(void) {
    static struct pcap f;
    struct packet p;
    struct reader r = new_reader();
    make_send_file(&f, &p, 6000); /* more than a path MTU: a fault, but it is there */
    rvt_rows_read(r.rows, f.bytes, 100, 0);
    rvt_rows_read(r.rows, f.bytes, f.length, 100);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_ROWS), 1);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_FAULT), RVT_WIRE_FAULT_PAYLOAD);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PAYLOAD_LENGTH), 6000);
    CHECK_EQ(field(&r, 0, RVT_WIRE_ROW_PAYLOAD_BYTES), RVT_WIRE_CARRIED_BYTES);
    CHECK_BYTES_EQ(r.block + RVT_WIRE_CARRIED_AT, p.bytes + p.bth_at + 12, RVT_WIRE_CARRIED_BYTES);
    CHECK(field_double(&r, 0, RVT_WIRE_ROW_NUMBER) == 1.0);
    free_reader(&r);
}

static void other_packets_are_counted(void) {
    static struct pcap f;
    struct packet p;
    struct reader r = new_reader();
    start_pcap(&f, 1);
    make_send(&p, 40);
    set_16(&p, p.ip_at + 6, 0x2010);
    add(&f, 1, &p, (uint32_t)p.length);
    set_16(&p, 12, 0x8915);
    add(&f, 1, &p, (uint32_t)p.length);
    set_16(&p, 12, 0x0806);
    add(&f, 1, &p, (uint32_t)p.length);
    read_all(&r, &f);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_ROWS), 0);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_PACKETS), 3);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_ROCE), 0);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_FRAGMENTS), 1);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_ROCE_V1), 1);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_UNREAD_LINK), 0);
    free_reader(&r);

    r = new_reader();
    start_pcap(&f, 147);
    add(&f, 1, &p, 10);
    add(&f, 1, &p, 10);
    read_all(&r, &f);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_UNREAD_LINK), 2);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_UNREAD_LINK_TYPE), 147);
    free_reader(&r);
}

static void a_fault_of_the_file_comes_after_the_rows_before_it(void) {
    static struct pcap f;
    struct packet p;
    struct reader r = new_reader();
    make_send_file(&f, &p, 40);
    const size_t at = f.length;
    put_le(&f, 0);
    put_le(&f, 0);
    put_le(&f, 0x7fffffff);
    put_le(&f, 0);
    read_all(&r, &f);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_ROWS), 1);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_STATUS), RVT_CAPTURE_TOO_LARGE);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_POSITION), at);
    /* The reader has stopped. */
    read_all(&r, &f);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_ROWS), 0);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_TAKEN), 0);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_STATUS), RVT_CAPTURE_TOO_LARGE);
    rvt_rows_end(r.rows);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_STATUS), RVT_CAPTURE_TOO_LARGE);
    free_reader(&r);

    r = new_reader();
    rvt_rows_read(r.rows, f.bytes, at - 1, 0);
    rvt_rows_end(r.rows);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_STATUS), RVT_CAPTURE_TRUNCATED);
    CHECK_EQ(count(&r, RVT_WIRE_HEADER_DOUBLE_POSITION), 24);
    free_reader(&r);
}

static void empty_chunks_are_taken(void) {
    static struct pcap f;
    struct packet p;
    struct reader r = new_reader();
    make_send_file(&f, &p, 40);
    rvt_rows_read(r.rows, NULL, 0, 0);
    rvt_rows_read(r.rows, f.bytes, 30, 0);
    rvt_rows_read(r.rows, NULL, 0, 0);
    rvt_rows_read(r.rows, f.bytes, 30, 30);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_ROWS), 0);
    rvt_rows_read(r.rows, f.bytes, f.length, 30);
    CHECK_EQ(header(&r, RVT_WIRE_HEADER_ROWS), 1);
    free_reader(&r);
}

CHECK_MAIN(TEST(every_field_of_a_write), TEST(fields_of_other_headers), TEST(flags_and_faults),
           TEST(a_full_block_ends_the_call), TEST(a_packet_between_two_chunks_is_carried),
           TEST(longer_payloads_are_carried_in_part), TEST(other_packets_are_counted),
           TEST(a_fault_of_the_file_comes_after_the_rows_before_it), TEST(empty_chunks_are_taken))
