/* SPDX-License-Identifier: BSD-3-Clause */
/* The codec of the connection manager's messages: against the captures of Linux, and field by field against bytes that are
 * written by hand. */
#include "wire/cm/cm_messages.h"

#include "roce_packets.h"
#include "wire/address.h"

enum { HEADERS = 12 + 8, BODY = 24 };

/* --- captures --- */

/* Returns the MAD of a packet to queue pair 1, or NULL. */
static const unsigned char *mad_of(const struct roce_packet *packet) {
    static const unsigned char to_qp_1[3] = {0, 0, 1};
    const bool is_mad = packet->length == HEADERS + RVT_MAD_BYTES + 4 &&
                        packet->bytes[0] == RVT_BTH_UD_SEND_ONLY &&
                        !memcmp(packet->bytes + 5, to_qp_1, sizeof(to_qp_1));
    return is_mad ? packet->bytes + HEADERS : NULL;
}

static void encodes_what_it_decodes(void) {
    unsigned counts[32] = {0};
    read_roce_packets();
    for (uint32_t i = 0; i < roce_packet_count; i++) {
        const unsigned char *mad = mad_of(&roce_packets[i]);
        struct rvt_cm_message message;
        unsigned char again[RVT_MAD_BYTES];
        if (!mad)
            continue;
        CHECK(rvt_decode_cm(mad, RVT_MAD_BYTES, &message));
        counts[message.attribute & 31]++;
        memset(again, 0xee, sizeof(again));
        rvt_encode_cm(&message, again);
        CHECK_BYTES_EQ(again, mad, RVT_MAD_BYTES);
    }
    free_roce_packets();
    CHECK_EQ(counts[RVT_CM_ATTRIBUTE_REQ], 2);
    CHECK_EQ(counts[RVT_CM_ATTRIBUTE_REP], 1);
    CHECK_EQ(counts[RVT_CM_ATTRIBUTE_RTU], 1);
    CHECK_EQ(counts[RVT_CM_ATTRIBUTE_REJ], 1);
    CHECK_EQ(counts[RVT_CM_ATTRIBUTE_DREQ], 1);
    CHECK_EQ(counts[RVT_CM_ATTRIBUTE_DREP], 1);
}

/* What the capture of `rping -c` holds, as its README and Linux's source say: port 7174, one READ each way. */
static void reads_the_req_of_rping(void) {
    struct rvt_cm_message req = {0};
    struct rvt_cm_ip_header header;
    read_roce_packets_of("test/wire/captures/programs/program-rping.pcap");
    for (uint32_t i = 0; i < roce_packet_count && req.attribute != RVT_CM_ATTRIBUTE_REQ; i++) {
        const unsigned char *mad = mad_of(&roce_packets[i]);
        if (mad)
            CHECK(rvt_decode_cm(mad, RVT_MAD_BYTES, &req));
    }
    REQUIRE(req.attribute == RVT_CM_ATTRIBUTE_REQ);
    CHECK_EQ(req.transaction, 0x00000002bb2e7c8c);
    CHECK_EQ(req.local_id, 0x8c7c2ebb);
    CHECK_EQ(req.service, rvt_tcp_services + 7174);
    CHECK_EQ(req.guid, 0x50540afffe00020f);
    CHECK_EQ(req.qpn, 0x1b);
    CHECK_EQ(req.responder_resources, 1);
    CHECK_EQ(req.initiator_depth, 1);
    CHECK_EQ(req.remote_response_timeout, 20);
    CHECK_EQ(req.local_response_timeout, 20);
    CHECK_EQ(req.transport, RVT_CM_TRANSPORT_RC);
    CHECK_EQ(req.psn, 0x405100);
    CHECK_EQ(req.retry_count, 7);
    CHECK_EQ(req.rnr_retry_count, 7);
    CHECK_EQ(req.pkey, 0xffff);
    CHECK_EQ(req.path_mtu, 3); /* 1024 bytes */
    CHECK_EQ(req.max_cm_retries, 15);
    CHECK_EQ(req.flow_label, 0x1e7d0);
    CHECK_EQ(req.hop_limit, 64);
    CHECK_EQ(req.ack_timeout, 19);
    CHECK_BYTES_EQ(req.local_gid + 12, "\x0a\x00\x02\x0f", 4);
    CHECK_BYTES_EQ(req.remote_gid + 12, "\x0a\x00\x02\x02", 4);
    CHECK_EQ(req.data_length, RVT_CM_REQ_DATA);
    CHECK(rvt_cm_has_ip_header(req.service));
    REQUIRE(rvt_decode_cm_ip_header(req.data, &header));
    CHECK(!header.ipv6);
    CHECK_EQ(header.source_port, 0x92f6);
    CHECK_BYTES_EQ(header.source, req.local_gid, 16);
    CHECK_BYTES_EQ(header.destination, req.remote_gid, 16);
    unsigned char again[RVT_CM_IP_HEADER];
    memset(again, 0, sizeof(again));
    rvt_encode_cm_ip_header(&header, again);
    CHECK_BYTES_EQ(again, req.data, RVT_CM_IP_HEADER);
    free_roce_packets();
}

/* --- fields --- */

/* A message with the header of a MAD and a body that counts up. */
static void write_mad(unsigned char *mad, unsigned attribute) {
    static const unsigned char header[BODY] = {1,    7,    2,    3,    0,    0,    0,    0,
                                               0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};
    memcpy(mad, header, sizeof(header));
    mad[17] = (unsigned char)attribute;
    for (unsigned i = BODY; i < RVT_MAD_BYTES; i++)
        mad[i] = (unsigned char)(i - BODY + 1);
}

static struct rvt_cm_message decoded(unsigned attribute) {
    static unsigned char mad[RVT_MAD_BYTES];
    struct rvt_cm_message message;
    write_mad(mad, attribute);
    CHECK(rvt_decode_cm(mad, sizeof(mad), &message));
    CHECK_EQ(message.attribute, attribute);
    CHECK_EQ(message.transaction, 0x1112131415161718);
    CHECK_EQ(message.local_id, 0x01020304);
    CHECK_EQ(message.data_length, rvt_cm_data_room((uint16_t)attribute));
    return message;
}

/* The private data is the end of the message. */
static void finds_the_private_data(void) {
    static const uint16_t bytes[] = {
        [0x10] = 92,  [0x11] = 222, [0x12] = 148, [0x13] = 196, [0x14] = 224, [0x15] = 220,
        [0x16] = 224, [0x17] = 216, [0x18] = 136, [0x19] = 168, [0x1a] = 148};
    for (unsigned a = 0x10; a <= 0x1a; a++) {
        const struct rvt_cm_message message = decoded(a);
        CHECK_EQ(message.data_length, bytes[a]);
        CHECK_EQ(message.data[0], 232 - bytes[a] + 1);
        CHECK_EQ(message.data[bytes[a] - 1], 232);
    }
    CHECK_EQ(rvt_cm_data_room(0x0f), 0);
    CHECK_EQ(rvt_cm_data_room(0x1b), 0);
    CHECK_EQ(rvt_cm_data_room(0xffff), 0);
}

static void reads_each_field(void) {
    struct rvt_cm_message m = decoded(RVT_CM_ATTRIBUTE_REP);
    CHECK_EQ(m.remote_id, 0x05060708);
    CHECK_EQ(m.qkey, 0x090a0b0c);
    CHECK_EQ(m.qpn, 0x0d0e0f);
    CHECK_EQ(m.psn, 0x151617);
    CHECK_EQ(m.responder_resources, 25);
    CHECK_EQ(m.initiator_depth, 26);
    CHECK_EQ(m.ack_delay, 27 >> 3);
    CHECK_EQ(m.failover, 27 >> 1 & 3);
    CHECK_EQ(m.flow_control, 1);
    CHECK_EQ(m.rnr_retry_count, 28 >> 5);
    CHECK_EQ(m.srq, 1);
    CHECK_EQ(m.guid, 0x1d1e1f2021222324);
    m = decoded(RVT_CM_ATTRIBUTE_MRA);
    CHECK_EQ(m.remote_id, 0x05060708);
    CHECK_EQ(m.about, 9 >> 6);
    CHECK_EQ(m.service_timeout, 10 >> 3);
    m = decoded(RVT_CM_ATTRIBUTE_REJ);
    CHECK_EQ(m.about, 9 >> 6);
    CHECK_EQ(m.reason, 0x0b0c);
    CHECK_EQ(m.guid, 0); /* 5 bytes of additional information */
    m = decoded(RVT_CM_ATTRIBUTE_DREQ);
    CHECK_EQ(m.qpn, 0x090a0b);
    m = decoded(RVT_CM_ATTRIBUTE_LAP);
    CHECK_EQ(m.qpn, 0x0d0e0f);
    m = decoded(RVT_CM_ATTRIBUTE_APR);
    CHECK_EQ(m.status, 10);
    m = decoded(RVT_CM_ATTRIBUTE_SIDR_REQ);
    CHECK_EQ(m.remote_id, 0);
    CHECK_EQ(m.pkey, 0x0506);
    CHECK_EQ(m.service, 0x090a0b0c0d0e0f10);
    m = decoded(RVT_CM_ATTRIBUTE_SIDR_REP);
    CHECK_EQ(m.status, 5);
    CHECK_EQ(m.qpn, 0x090a0b);
    CHECK_EQ(m.service, 0x0d0e0f1011121314);
    CHECK_EQ(m.qkey, 0x15161718);
}

/* Every member, at its largest, comes back. */
static void keeps_each_field(void) {
    unsigned char data[RVT_CM_MOST_DATA], mad[RVT_MAD_BYTES];
    memset(data, 0xa5, sizeof(data));
    for (unsigned a = 0x10; a <= 0x1a; a++) {
        struct rvt_cm_message m, back;
        memset(&m, 0, sizeof(m)); /* the bytes between members are compared, too */
        m.attribute = (uint16_t)a;
        m.transaction = UINT64_MAX;
        m.local_id = UINT32_MAX;
        m.data = data;
        m.data_length = rvt_cm_data_room((uint16_t)a);
        const bool is_req = a == RVT_CM_ATTRIBUTE_REQ, is_rep = a == RVT_CM_ATTRIBUTE_REP;
        const bool is_sidr = a == RVT_CM_ATTRIBUTE_SIDR_REQ || a == RVT_CM_ATTRIBUTE_SIDR_REP;
        if (!is_req && !is_sidr)
            m.remote_id = UINT32_MAX;
        if (is_req || is_rep) {
            m.guid = UINT64_MAX;
            m.qkey = UINT32_MAX;
            m.qpn = m.psn = 0xffffff;
            m.responder_resources = m.initiator_depth = 255;
            m.rnr_retry_count = 7;
            m.srq = m.flow_control = true;
        }
        if (is_req) {
            m.service = UINT64_MAX;
            m.remote_response_timeout = m.local_response_timeout = m.ack_timeout = 31;
            m.transport = 3;
            m.retry_count = 7;
            m.pkey = m.local_lid = m.remote_lid = 0xffff;
            m.path_mtu = m.max_cm_retries = m.sl = 15;
            memset(m.local_gid, 0xff, 16);
            memset(m.remote_gid, 0xff, 16);
            m.flow_label = 0xfffff;
            m.packet_rate = 63;
            m.traffic_class = m.hop_limit = 255;
            m.subnet_local = true;
        }
        if (is_rep) {
            m.ack_delay = 31;
            m.failover = 3;
        }
        if (a == RVT_CM_ATTRIBUTE_REJ) {
            m.about = 3;
            m.reason = 0xffff;
            m.guid = UINT64_MAX;
        }
        if (a == RVT_CM_ATTRIBUTE_MRA) {
            m.about = 3;
            m.service_timeout = 31;
        }
        if (a == RVT_CM_ATTRIBUTE_DREQ || a == RVT_CM_ATTRIBUTE_LAP || a == RVT_CM_ATTRIBUTE_SIDR_REP)
            m.qpn = 0xffffff;
        if (a == RVT_CM_ATTRIBUTE_APR || a == RVT_CM_ATTRIBUTE_SIDR_REP)
            m.status = 255;
        if (is_sidr)
            m.service = UINT64_MAX;
        if (a == RVT_CM_ATTRIBUTE_SIDR_REQ)
            m.pkey = 0xffff;
        if (a == RVT_CM_ATTRIBUTE_SIDR_REP)
            m.qkey = UINT32_MAX;
        memset(mad, 0, sizeof(mad));
        rvt_encode_cm(&m, mad);
        CHECK(rvt_decode_cm(mad, sizeof(mad), &back));
        CHECK_BYTES_EQ(back.data, data, m.data_length);
        back.data = data;
        CHECK_BYTES_EQ(&back, &m, sizeof(m));
    }
}

static void fills_up_with_zeros(void) {
    unsigned char mad[RVT_MAD_BYTES];
    const struct rvt_cm_message m = {
        .attribute = RVT_CM_ATTRIBUTE_RTU, .data = (const unsigned char *)"abc", .data_length = 3};
    memset(mad, 0xee, sizeof(mad));
    rvt_encode_cm(&m, mad);
    CHECK_BYTES_EQ(mad + BODY + 8, "abc\0\0", 5);
    CHECK_EQ(mad[RVT_MAD_BYTES - 1], 0);
}

/* --- what is no message --- */

static void rejects_other_datagrams(void) {
    unsigned char mad[RVT_MAD_BYTES];
    struct rvt_cm_message message;
    for (uint32_t length = 0; length <= 2 * RVT_MAD_BYTES; length++) {
        /* A block of exactly this length, so that AddressSanitizer sees a read behind it. */
        unsigned char *bytes = malloc(length ? length : 1);
        REQUIRE(bytes);
        write_mad(mad, RVT_CM_ATTRIBUTE_REQ);
        for (uint32_t i = 0; i < length; i++)
            bytes[i] = mad[i % RVT_MAD_BYTES];
        CHECK_EQ(rvt_decode_cm(bytes, length, &message), length == RVT_MAD_BYTES);
        free(bytes);
    }
    for (unsigned at = 0; at < 4; at++) { /* versions, class and method */
        write_mad(mad, RVT_CM_ATTRIBUTE_REQ);
        mad[at] ^= 0x80;
        CHECK(!rvt_decode_cm(mad, sizeof(mad), &message));
        mad[at] ^= 0x81;
        CHECK(!rvt_decode_cm(mad, sizeof(mad), &message));
    }
    for (unsigned a = 0; a < 0x10000; a++) {
        write_mad(mad, a);
        mad[16] = (unsigned char)(a >> 8);
        CHECK_EQ(rvt_decode_cm(mad, sizeof(mad), &message), a >= 0x10 && a <= 0x1a);
    }
}

static void rejects_other_headers(void) {
    unsigned char bytes[RVT_CM_IP_HEADER] = {0, 0x60, 0x12, 0x34};
    struct rvt_cm_ip_header header;
    for (unsigned i = 4; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    for (unsigned version = 0; version < 16; version++) {
        bytes[1] = (unsigned char)(version << 4 | 0xf);
        CHECK_EQ(rvt_decode_cm_ip_header(bytes, &header), version == 4 || version == 6);
    }
    bytes[1] = 0x60;
    REQUIRE(rvt_decode_cm_ip_header(bytes, &header));
    CHECK(header.ipv6);
    CHECK_EQ(header.source_port, 0x1234);
    CHECK_BYTES_EQ(header.source, bytes + 4, 16);
    CHECK_BYTES_EQ(header.destination, bytes + 20, 16);
    bytes[1] = 0x40;
    REQUIRE(rvt_decode_cm_ip_header(bytes, &header));
    CHECK(rvt_is_ipv4(header.source));
    CHECK_BYTES_EQ(header.source + 12, bytes + 16, 4);
    bytes[0] = 1;
    CHECK(!rvt_decode_cm_ip_header(bytes, &header));
    CHECK(rvt_cm_has_ip_header(rvt_tcp_services));
    CHECK(rvt_cm_has_ip_header(rvt_tcp_services + 0xffff));
    CHECK(rvt_cm_has_ip_header(0x0000000001110001)); /* another port space */
    CHECK(!rvt_cm_has_ip_header(0x0000000002060001));
    CHECK(!rvt_cm_has_ip_header(0x1000000001060001));
    CHECK(!rvt_cm_has_ip_header(0));
}

static void converts_times(void) {
    CHECK_EQ(rvt_cm_microseconds(0), 4);
    CHECK_EQ(rvt_cm_microseconds(20), 4294967);
    CHECK_EQ(rvt_cm_microseconds(31), UINT64_C(8796093022));
    CHECK_EQ(rvt_cm_timeout_code(0), 0);
    CHECK_EQ(rvt_cm_timeout_code(4), 0);
    CHECK_EQ(rvt_cm_timeout_code(5), 1);
    CHECK_EQ(rvt_cm_timeout_code(4294967), 20);
    CHECK_EQ(rvt_cm_timeout_code(4294968), 21);
    CHECK_EQ(rvt_cm_timeout_code(UINT64_MAX), 31);
}

CHECK_MAIN(TEST(encodes_what_it_decodes), TEST(reads_the_req_of_rping), TEST(finds_the_private_data),
           TEST(reads_each_field), TEST(keeps_each_field), TEST(fills_up_with_zeros),
           TEST(rejects_other_datagrams), TEST(rejects_other_headers), TEST(converts_times))
