/* SPDX-License-Identifier: BSD-3-Clause */
/* The base transport header and the extension headers: every opcode, every length. */
#include "wire/transport.h"

#include "packets.h"

enum payload_rule { NONE, MTU, SOME, ANY, CNP };

/* The opcodes as the specification lists them: headers in their order (D DETH, R RETH, A AtomicETH, K AETH, O
 * AtomicAckETH, I ImmDt, V IETH), and the rule for the payload. */
static const struct expected {
    unsigned opcode;
    const char *headers;
    enum payload_rule payload;
} expected[] = {
    {0x00, "", MTU},   {0x01, "", MTU},   {0x02, "", SOME},  {0x03, "I", SOME},  {0x04, "", ANY},
    {0x05, "I", ANY},  {0x06, "R", MTU},  {0x07, "", MTU},   {0x08, "", SOME},   {0x09, "I", SOME},
    {0x0a, "R", ANY},  {0x0b, "RI", ANY}, {0x0c, "R", NONE}, {0x0d, "K", MTU},   {0x0e, "", MTU},
    {0x0f, "K", SOME}, {0x10, "K", ANY},  {0x11, "K", NONE}, {0x12, "KO", NONE}, {0x13, "A", NONE},
    {0x14, "A", NONE}, {0x16, "V", SOME}, {0x17, "V", ANY},  {0x20, "", MTU},    {0x21, "", MTU},
    {0x22, "", SOME},  {0x23, "I", SOME}, {0x24, "", ANY},   {0x25, "I", ANY},   {0x26, "R", MTU},
    {0x27, "", MTU},   {0x28, "", SOME},  {0x29, "I", SOME}, {0x2a, "R", ANY},   {0x2b, "RI", ANY},
    {0x64, "D", ANY},  {0x65, "DI", ANY}, {0x81, "", CNP},
};
enum { OPCODES = sizeof(expected) / sizeof(expected[0]) };

static const struct expected *find_expected(unsigned opcode) {
    for (int i = 0; i < OPCODES; i++)
        if (expected[i].opcode == opcode)
            return &expected[i];
    return NULL;
}

/* Puts the extension headers, with numbers that have all bits. */
static void put_extensions(struct packet *p, const char *headers) {
    for (; *headers; headers++) {
        switch (*headers) {
        case 'D':
            put_32(p, 0x80010000);
            put_8(p, 0x5a);
            put_24(p, 0xabcdef);
            break;
        case 'R':
            put_64(p, 0x8877665544332211);
            put_32(p, 0xf14700a4);
            put_32(p, 0x80000001);
            break;
        case 'A':
            put_64(p, 0x0123456789abcdef);
            put_32(p, 0x11223344);
            put_64(p, 0xfedcba9876543210);
            put_64(p, 0x8000000000000001);
            break;
        case 'K':
            put_8(p, 0x62);
            put_24(p, 0xfffffe);
            break;
        case 'O':
            put_64(p, 0xffffffff00000001);
            break;
        case 'I':
            put_32(p, 0xcafe0001);
            break;
        case 'V':
            put_32(p, 0x98d16e01);
            break;
        default:
            break;
        }
    }
}

static uint32_t bits_of(const char *headers) {
    uint32_t bits = RVT_WIRE_HAS_BTH;
    for (; *headers; headers++)
        bits |= *headers == 'D'   ? RVT_WIRE_HAS_DETH
                : *headers == 'R' ? RVT_WIRE_HAS_RETH
                : *headers == 'A' ? RVT_WIRE_HAS_ATOMIC_ETH
                : *headers == 'K' ? RVT_WIRE_HAS_AETH
                : *headers == 'O' ? RVT_WIRE_HAS_ATOMIC_ACK_ETH
                : *headers == 'I' ? RVT_WIRE_HAS_IMM
                                  : RVT_WIRE_HAS_IETH;
    return bits;
}

static bool has(const struct expected *e, char header) {
    return strchr(e->headers, header) != NULL;
}

static void check_fields(const struct expected *e, const struct rvt_transport *t) {
    CHECK_EQ(t->opcode, e->opcode);
    CHECK(t->solicited && t->migreq && t->ack_req && t->fecn && t->becn);
    CHECK_EQ(t->version, 0);
    CHECK_EQ(t->pkey, 0xffff);
    CHECK_EQ(t->reserved_6, 5);
    CHECK_EQ(t->reserved_7, 0);
    CHECK_EQ(t->dest_qp, 0x123);
    CHECK_EQ(t->psn, 0xfffffe);
    CHECK_EQ(t->qkey, has(e, 'D') ? 0x80010000 : 0);
    CHECK_EQ(t->deth_reserved, has(e, 'D') ? 0x5a : 0);
    CHECK_EQ(t->source_qp, has(e, 'D') ? 0xabcdef : 0);
    CHECK_EQ(t->address, has(e, 'R') ? 0x8877665544332211 : has(e, 'A') ? 0x0123456789abcdef : 0);
    CHECK_EQ(t->rkey, has(e, 'R') ? 0xf14700a4 : has(e, 'A') ? 0x11223344 : 0);
    CHECK_EQ(t->length, has(e, 'R') ? 0x80000001 : 0);
    CHECK_EQ(t->swap_add, has(e, 'A') ? 0xfedcba9876543210 : 0);
    CHECK_EQ(t->compare, has(e, 'A') ? 0x8000000000000001 : 0);
    CHECK_EQ(t->syndrome, has(e, 'K') ? 0x62 : 0);
    CHECK_EQ(t->msn, has(e, 'K') ? 0xfffffe : 0);
    CHECK_EQ(t->original, has(e, 'O') ? 0xffffffff00000001 : 0);
    CHECK_EQ(t->immediate, has(e, 'I') ? 0xcafe0001 : 0);
    CHECK_EQ(t->invalidate, has(e, 'V') ? 0x98d16e01 : 0);
}

static bool may_have(enum payload_rule rule, size_t length) {
    switch (rule) {
    case NONE:
        return length == 0;
    case MTU:
        return length == 256 || length == 512 || length == 1024 || length == 2048 || length == 4096;
    case SOME:
        return length >= 1 && length <= 4096;
    case ANY:
        return length <= 4096;
    case CNP:
        return length == 16;
    }
    return false;
}

static void every_opcode_is_decoded_and_encoded_again(void) {
    for (int i = 0; i < OPCODES; i++) {
        const struct expected *e = &expected[i];
        struct packet p = {.length = 0};
        put_bth(&p, e->opcode, 0);
        put_extensions(&p, e->headers);
        const size_t headers = p.length;
        put_payload(&p, e->payload == CNP ? 16 : e->payload == NONE ? 0 : 256);

        struct rvt_transport t;
        CHECK_EQ(rvt_opcode_headers((uint8_t)e->opcode), bits_of(e->headers));
        CHECK_EQ(rvt_headers_bytes(bits_of(e->headers)), headers);
        CHECK_EQ(rvt_decode_transport(p.bytes, (uint32_t)p.length, (uint32_t)p.length, &t),
                 RVT_WIRE_FAULT_NONE);
        CHECK_EQ(t.headers, bits_of(e->headers));
        CHECK_EQ(t.payload_at, headers);
        CHECK_EQ(t.payload_length, p.length - headers);
        check_fields(e, &t);

        unsigned char again[RVT_MAX_TRANSPORT_HEADERS];
        CHECK_EQ(rvt_encode_transport(&t, again), headers);
        CHECK_BYTES_EQ(again, p.bytes, headers);
    }
}

static void each_length_of_each_opcode(void) {
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        const struct expected *e = find_expected(opcode);
        const size_t headers = e ? rvt_headers_bytes(bits_of(e->headers)) : 12;
        struct packet p = {.length = 0};
        put_bth(&p, opcode, 0);
        put_extensions(&p, e ? e->headers : "");
        put_payload(&p, 4200);
        for (size_t length = 0; length <= headers + 4200 && length <= p.length; length++) {
            struct rvt_transport t;
            unsigned char *bytes = copy_exactly(p.bytes, length);
            const enum rvt_wire_fault fault =
                rvt_decode_transport(bytes, (uint32_t)length, (uint32_t)length, &t);
            const enum rvt_wire_fault wanted = length < 12        ? RVT_WIRE_FAULT_SHORT
                                               : !e               ? RVT_WIRE_FAULT_OPCODE
                                               : length < headers ? RVT_WIRE_FAULT_HEADERS
                                               : length % 4       ? RVT_WIRE_FAULT_PAD
                                               : may_have(e->payload, length - headers)
                                                   ? RVT_WIRE_FAULT_NONE
                                                   : RVT_WIRE_FAULT_PAYLOAD;
            free(bytes);
            if (fault != wanted)
                printf("# opcode 0x%02x, length %zu\n", opcode, length);
            REQUIRE(fault == wanted);
            /* What is there is never more than the packet. */
            REQUIRE(t.payload_at + t.payload_length <= length);
            REQUIRE(t.headers == (wanted == RVT_WIRE_FAULT_SHORT           ? 0
                                  : !e || wanted == RVT_WIRE_FAULT_HEADERS ? RVT_WIRE_HAS_BTH
                                                                           : bits_of(e->headers)));
            if (length > headers + 40 && length < headers + 4000)
                length += 59; /* the rules do not change between the path MTUs */
        }
    }
}

static void each_payload_length_of_each_opcode(void) {
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        const struct expected *e = find_expected(opcode);
        for (uint32_t length = 0; length <= 5000; length++)
            REQUIRE(rvt_payload_allowed((uint8_t)opcode, length) == may_have(e ? e->payload : NONE, length));
        CHECK(!rvt_payload_allowed((uint8_t)opcode, UINT32_MAX));
    }
}

static void pad_bytes_are_taken_off(void) {
    for (unsigned pad = 0; pad < 4; pad++) {
        struct packet p = {.length = 0};
        struct rvt_transport t;
        put_bth(&p, 0x04, pad);
        put_payload(&p, 8);
        CHECK_EQ(rvt_decode_transport(p.bytes, 20, 20, &t), RVT_WIRE_FAULT_NONE);
        CHECK_EQ(t.pad, pad);
        CHECK_EQ(t.payload_length, 8 - pad);
        /* More pad bytes than bytes. */
        CHECK_EQ(rvt_decode_transport(p.bytes, 12, 12, &t), pad ? RVT_WIRE_FAULT_PAD : RVT_WIRE_FAULT_NONE);
        /* A middle packet has none; an acknowledge packet has nothing to pad. */
        p.bytes[0] = 0x01;
        put_payload(&p, 248);
        CHECK_EQ(rvt_decode_transport(p.bytes, 268, 268, &t),
                 pad ? RVT_WIRE_FAULT_PAYLOAD : RVT_WIRE_FAULT_NONE);
    }
}

static void another_version_ends_the_decoding(void) {
    for (unsigned version = 1; version < 16; version++) {
        struct packet p = {.length = 0};
        struct rvt_transport t;
        put_bth(&p, 0x0a, 0);
        put_extensions(&p, "R");
        p.bytes[1] |= (unsigned char)version;
        CHECK_EQ(rvt_decode_transport(p.bytes, 28, 28, &t), RVT_WIRE_FAULT_VERSION);
        CHECK_EQ(t.version, version);
        CHECK_EQ(t.headers, RVT_WIRE_HAS_BTH);
        CHECK_EQ(t.rkey, 0);
    }
}

static void headers_that_are_not_in_the_file_are_cut(void) {
    for (int i = 0; i < OPCODES; i++) {
        const struct expected *e = &expected[i];
        struct packet p = {.length = 0};
        put_bth(&p, e->opcode, 0);
        put_extensions(&p, e->headers);
        const size_t headers = p.length;
        const size_t payload = e->payload == CNP ? 16 : e->payload == NONE ? 0 : 256;
        for (size_t there = 0; there <= headers; there++) {
            struct rvt_transport t;
            unsigned char *bytes = copy_exactly(p.bytes, there);
            CHECK_EQ(rvt_decode_transport(bytes, (uint32_t)(headers + payload), (uint32_t)there, &t),
                     there < headers ? RVT_WIRE_FAULT_CUT : RVT_WIRE_FAULT_NONE);
            CHECK_EQ(t.headers, there < 12 ? 0 : there < headers ? RVT_WIRE_HAS_BTH : bits_of(e->headers));
            free(bytes);
        }
    }
}

static void every_bit_of_the_headers_is_kept(void) {
    for (int i = 0; i < OPCODES; i++) {
        const struct expected *e = &expected[i];
        const size_t headers = rvt_headers_bytes(bits_of(e->headers));
        struct packet p = {.length = 0};
        put_bth(&p, e->opcode, 0);
        put_extensions(&p, e->headers);
        for (size_t bit = 8; bit < headers * 8; bit++) { /* not the opcode */
            struct rvt_transport t;
            unsigned char again[RVT_MAX_TRANSPORT_HEADERS];
            p.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            rvt_decode_transport(p.bytes, (uint32_t)headers + 256, (uint32_t)headers, &t);
            if (t.version == 0) {
                REQUIRE(rvt_encode_transport(&t, again) == headers);
                CHECK_BYTES_EQ(again, p.bytes, headers);
            } else { /* decoding ended with the BTH */
                REQUIRE(rvt_encode_transport(&t, again) == 12);
                CHECK_BYTES_EQ(again, p.bytes, 12);
            }
            p.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
}

static void too_large_numbers_lose_their_upper_bits(void) {
    struct rvt_transport t;
    unsigned char bytes[RVT_MAX_TRANSPORT_HEADERS + 1];
    memset(&t, 0xff, sizeof(t));
    t.solicited = t.migreq = t.ack_req = t.fecn = t.becn = true;
    bytes[RVT_MAX_TRANSPORT_HEADERS] = 0x77;
    /* Even all headers at once fit. */
    CHECK(rvt_encode_transport(&t, bytes) <= RVT_MAX_TRANSPORT_HEADERS);
    CHECK_EQ(bytes[RVT_MAX_TRANSPORT_HEADERS], 0x77);
    for (int i = 0; i < 12; i++)
        CHECK_EQ(bytes[i], 0xff);
    t.headers = RVT_WIRE_HAS_BTH | RVT_WIRE_HAS_ATOMIC_ETH | RVT_WIRE_HAS_DETH | RVT_WIRE_HAS_AETH |
                RVT_WIRE_HAS_ATOMIC_ACK_ETH | RVT_WIRE_HAS_IMM | RVT_WIRE_HAS_IETH;
    CHECK_EQ(rvt_encode_transport(&t, bytes), RVT_MAX_TRANSPORT_HEADERS);
    CHECK_EQ(bytes[RVT_MAX_TRANSPORT_HEADERS], 0x77);
}

CHECK_MAIN(TEST(every_opcode_is_decoded_and_encoded_again), TEST(each_length_of_each_opcode),
           TEST(each_payload_length_of_each_opcode), TEST(pad_bytes_are_taken_off),
           TEST(another_version_ends_the_decoding), TEST(headers_that_are_not_in_the_file_are_cut),
           TEST(every_bit_of_the_headers_is_kept), TEST(too_large_numbers_lose_their_upper_bits))
