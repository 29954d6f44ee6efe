/* SPDX-License-Identifier: BSD-3-Clause */
/* The headers around a RoCEv2 packet: link layers, IPv4 and IPv6, UDP; what is malformed, and what is not read. */
#include "wire/frame.h"

#include "packets.h"

/* Decodes a copy whose end AddressSanitizer guards. */
static enum rvt_frame_kind decode_as(uint32_t link_type, const struct packet *p, size_t captured,
                                     size_t original, struct rvt_frame *frame) {
    unsigned char *bytes = copy_exactly(p->bytes, captured);
    const enum rvt_frame_kind kind =
        rvt_decode_frame(link_type, bytes, (uint32_t)captured, (uint32_t)original, frame);
    free(bytes);
    return kind;
}

static enum rvt_frame_kind decode(const struct packet *p, struct rvt_frame *frame) {
    return decode_as(RVT_LINK_ETHERNET, p, p->length, p->length, frame);
}

/* Finishes a SEND ONLY of 20 bytes behind the headers so far, which end with the IP header. */
static void put_send(struct packet *p) {
    put_udp(p);
    put_bth(p, 0x04, 0);
    put_payload(p, 20);
    finish_packet(p);
}

static void check_send(const struct packet *p, const struct rvt_frame *frame) {
    CHECK_EQ(frame->fault, RVT_WIRE_FAULT_NONE);
    CHECK_EQ(frame->icrc_verdict, RVT_ICRC_GOOD);
    CHECK_EQ(frame->ip_at, p->ip_at);
    CHECK_EQ(frame->transport_at, p->bth_at);
    CHECK_EQ(frame->payload_at, p->bth_at + 12);
    CHECK_EQ(frame->transport.opcode, 4);
    CHECK_EQ(frame->transport.payload_length, 20);
    CHECK_EQ(frame->payload_there, 20);
    CHECK_EQ(frame->source_port, 0xc012);
    CHECK(!frame->cut && !frame->bad_ip_checksum && !frame->bad_udp_checksum);
}

/* Encodes the frame again; the bytes must be the same. */
static void check_encoded_again(const struct packet *p, const struct rvt_frame *frame) {
    unsigned char again[8192];
    const uint32_t headers = rvt_encode_frame(frame, frame->transport.payload_length, again);
    REQUIRE(headers <= RVT_MAX_FRAME_HEADERS);
    CHECK_EQ(headers, frame->payload_at);
    memcpy(again + headers, p->bytes + frame->payload_at, p->length - frame->payload_at - 4);
    rvt_seal_frame(frame, again, (uint32_t)p->length);
    CHECK_BYTES_EQ(again, p->bytes, p->length);
}

static void ethernet_and_ipv4(void) {
    struct packet p;
    struct rvt_frame frame;
    make_send(&p, 20);
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_ROCE);
    check_send(&p, &frame);
    CHECK(frame.ethernet && !frame.ipv6 && !frame.trailer && !frame.ip_options);
    CHECK_BYTES_EQ(frame.mac_to, p.bytes, 6);
    CHECK_BYTES_EQ(frame.mac_from, p.bytes + 6, 6);
    CHECK_EQ(frame.tags, 0);
    CHECK_EQ(frame.traffic_class, 2);
    CHECK_EQ(frame.ttl, 63);
    CHECK_EQ(frame.id, 0x1234);
    CHECK_EQ(frame.fragment, 0x4000);
    CHECK_BYTES_EQ(frame.source, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x02\x0f", 16);
    CHECK_BYTES_EQ(frame.destination, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x02\x10", 16);
    check_encoded_again(&p, &frame);
}

static void ipv6(void) {
    struct packet p = {.length = 0};
    struct rvt_frame frame;
    put_macs(&p);
    put_16(&p, 0x86dd);
    put_ipv6(&p, 17);
    put_send(&p);
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_ROCE);
    check_send(&p, &frame);
    CHECK(frame.ipv6);
    CHECK_EQ(frame.traffic_class, 0x23);
    CHECK_EQ(frame.flow_label, 0x12345);
    CHECK_EQ(frame.id, 0);
    CHECK_BYTES_EQ(frame.source, p.bytes + p.ip_at + 8, 16);
    CHECK_BYTES_EQ(frame.destination, p.bytes + p.ip_at + 24, 16);
    check_encoded_again(&p, &frame);
}

static void vlan_tags(void) {
    static const unsigned types[] = {0x88a8, 0x9100, 0x8100, 0x8100, 0x8100};
    for (int tags = 0; tags <= 5; tags++) {
        struct packet p = {.length = 0};
        struct rvt_frame frame;
        put_macs(&p);
        for (int i = 5 - tags; i < 5; i++) {
            put_16(&p, types[i]);
            put_16(&p, 0xa000u + (unsigned)i);
        }
        put_16(&p, 0x0800);
        put_ipv4(&p, 0);
        put_send(&p);
        if (tags == 5) { /* more than anybody nests */
            CHECK_EQ(decode(&p, &frame), RVT_FRAME_OTHER);
            break;
        }
        CHECK_EQ(decode(&p, &frame), RVT_FRAME_ROCE);
        check_send(&p, &frame);
        CHECK_EQ(frame.tags, tags);
        for (int i = 0; i < tags; i++)
            CHECK_EQ(frame.tag[i], types[5 - tags + i] << 16 | (0xa000u + (unsigned)(5 - tags + i)));
        check_encoded_again(&p, &frame);
    }
}

static void other_link_layers(void) {
    struct rvt_frame frame;
    static const struct {
        uint32_t type;
        bool v4, v6;
    } raw[] = {{12, true, true}, {14, true, true}, {101, true, true}, {228, true, false}, {229, false, true}};
    for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
        struct packet v4 = {.length = 0}, v6 = {.length = 0};
        put_ipv4(&v4, 0);
        put_send(&v4);
        put_ipv6(&v6, 17);
        put_send(&v6);
        CHECK_EQ(decode_as(raw[i].type, &v4, v4.length, v4.length, &frame),
                 raw[i].v4 ? RVT_FRAME_ROCE : RVT_FRAME_OTHER);
        if (raw[i].v4) {
            check_send(&v4, &frame);
            CHECK(!frame.ethernet);
            check_encoded_again(&v4, &frame);
        }
        CHECK_EQ(decode_as(raw[i].type, &v6, v6.length, v6.length, &frame),
                 raw[i].v6 ? RVT_FRAME_ROCE : RVT_FRAME_OTHER);
        if (raw[i].v6)
            check_send(&v6, &frame);
        CHECK_EQ(decode_as(raw[i].type, &v4, 0, 0, &frame), RVT_FRAME_OTHER);
    }

    struct packet sll = {.length = 0};
    put(&sll, "\0\4\0\1\0\6\2\0\0\0\0\x15\0\0", 14);
    put_16(&sll, 0x0800);
    put_ipv4(&sll, 0);
    put_send(&sll);
    CHECK_EQ(decode_as(RVT_LINK_LINUX_SLL, &sll, sll.length, sll.length, &frame), RVT_FRAME_ROCE);
    check_send(&sll, &frame);
    CHECK_EQ(decode_as(RVT_LINK_LINUX_SLL, &sll, 15, sll.length, &frame), RVT_FRAME_OTHER);

    struct packet sll2 = {.length = 0};
    put_16(&sll2, 0x8100);
    put(&sll2, "\0\0\0\0\0\2\0\1\4\6\2\0\0\0\0\x15\0\0", 18);
    put_16(&sll2, 7); /* a VLAN tag behind the cooked header */
    put_16(&sll2, 0x86dd);
    put_ipv6(&sll2, 17);
    put_send(&sll2);
    CHECK_EQ(decode_as(RVT_LINK_LINUX_SLL2, &sll2, sll2.length, sll2.length, &frame), RVT_FRAME_ROCE);
    check_send(&sll2, &frame);
    CHECK_EQ(frame.tags, 1);
    CHECK_EQ(decode_as(RVT_LINK_LINUX_SLL2, &sll2, 19, sll2.length, &frame), RVT_FRAME_OTHER);

    static const uint32_t unread[] = {0, 2, 105, 127, 147, 247, 275, 277, UINT32_MAX};
    for (size_t i = 0; i < sizeof(unread) / sizeof(unread[0]); i++)
        CHECK_EQ(decode_as(unread[i], &sll, sll.length, sll.length, &frame), RVT_FRAME_UNREAD_LINK);
}

static void what_is_not_rocev2_is_something_else(void) {
    struct packet p;
    struct rvt_frame frame;
    make_send(&p, 20);
    p.bytes[p.ip_at + 9] = 6; /* TCP */
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_OTHER);
    make_send(&p, 20);
    set_16(&p, p.udp_at + 2, 4790);
    set_16(&p, p.udp_at, 4791); /* the source port does not count */
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_OTHER);
    make_send(&p, 20);
    set_16(&p, 12, 0x0806); /* ARP */
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_OTHER);
    set_16(&p, 12, 0x8915);
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_ROCE_V1);
    set_16(&p, 12, 0x86dd); /* IPv4 behind the type of IPv6 */
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_OTHER);
    for (unsigned words = 0; words < 5; words++) { /* a header of fewer than 20 bytes */
        make_send(&p, 20);
        p.bytes[p.ip_at] = (unsigned char)(0x40 + words);
        CHECK_EQ(decode(&p, &frame), RVT_FRAME_OTHER);
    }
    struct packet v6 = {.length = 0};
    put_ipv6(&v6, 59); /* nothing follows */
    put_send(&v6);
    CHECK_EQ(decode_as(RVT_LINK_RAW, &v6, v6.length, v6.length, &frame), RVT_FRAME_OTHER);
}

static void ipv4_options_are_stepped_over(void) {
    for (size_t options = 4; options <= 40; options += 4) {
        struct packet p = {.length = 0};
        struct rvt_frame frame;
        put_ipv4(&p, options);
        put_send(&p);
        CHECK_EQ(decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame), RVT_FRAME_ROCE);
        check_send(&p, &frame);
        CHECK(frame.ip_options);
        for (size_t captured = 20; captured < 20 + options + 4; captured++)
            CHECK_EQ(decode_as(RVT_LINK_RAW, &p, captured, p.length, &frame), RVT_FRAME_OTHER);
    }
}

/* Puts an IPv6 packet with extension headers of these types, each of 8 * (1 + its index) bytes. */
static void make_extended(struct packet *p, const unsigned char *types, size_t count) {
    memset(p, 0, sizeof(*p));
    put_ipv6(p, count ? types[0] : 17);
    for (size_t i = 0; i < count; i++) {
        put_8(p, i + 1 < count ? types[i + 1] : 17);
        put_8(p, types[i] == 44 ? 0 : (unsigned)i);
        for (size_t j = 2; j < (types[i] == 44 ? 8 : 8 * (i + 1)); j++)
            put_8(p, 0);
    }
    put_send(p);
}

static void ipv6_extension_headers_are_stepped_over(void) {
    struct packet p;
    struct rvt_frame frame;
    make_extended(&p, (const unsigned char *)"\x00\x2b\x3c", 3);
    CHECK_EQ(decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame), RVT_FRAME_ROCE);
    check_send(&p, &frame);
    CHECK(frame.ip_options);
    for (size_t captured = 0; captured < p.udp_at + 4; captured++)
        CHECK_EQ(decode_as(RVT_LINK_RAW, &p, captured, p.length, &frame), RVT_FRAME_OTHER);
    make_extended(&p, (const unsigned char *)"\x3c\x3c\x3c\x3c\x3c\x3c\x3c\x3c", 8);
    CHECK_EQ(decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame), RVT_FRAME_ROCE);
    make_extended(&p, (const unsigned char *)"\x3c\x3c\x3c\x3c\x3c\x3c\x3c\x3c\x3c", 9);
    CHECK_EQ(decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame), RVT_FRAME_OTHER);
    make_extended(&p, (const unsigned char *)"\x33", 1); /* authentication */
    CHECK_EQ(decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame), RVT_FRAME_OTHER);
}

static void fragments(void) {
    struct packet p;
    struct rvt_frame frame;
    make_send(&p, 20);
    set_16(&p, p.ip_at + 6, 0x2000);
    set_ip_checksum(&p);
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_ROCE);
    CHECK_EQ(frame.fault, RVT_WIRE_FAULT_FRAGMENT);
    CHECK_EQ(frame.transport.headers, 0);
    CHECK_EQ(frame.icrc_verdict, RVT_ICRC_NOT_CHECKED);
    set_16(&p, p.ip_at + 6, 0x2001);
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_FRAGMENT);
    set_16(&p, p.ip_at + 6, 0x1fff);
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_FRAGMENT);

    make_extended(&p, (const unsigned char *)"\x2c", 1);
    CHECK_EQ(decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame), RVT_FRAME_ROCE);
    check_send(&p, &frame); /* a fragment that is the whole packet */
    set_16(&p, 42, 0x0001);
    CHECK_EQ(decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame), RVT_FRAME_ROCE);
    CHECK_EQ(frame.fault, RVT_WIRE_FAULT_FRAGMENT);
    set_16(&p, 42, 0x0008);
    CHECK_EQ(decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame), RVT_FRAME_FRAGMENT);
}

static void each_ip_length(void) {
    struct packet p;
    struct rvt_frame frame;
    make_send(&p, 20);
    const unsigned right = (unsigned)(p.length - p.ip_at);
    for (unsigned length = 0; length < 0x10000; length++) {
        set_16(&p, p.ip_at + 2, length);
        REQUIRE(rvt_decode_frame(RVT_LINK_ETHERNET, p.bytes, (uint32_t)p.length, (uint32_t)p.length,
                                 &frame) == RVT_FRAME_ROCE);
        REQUIRE(frame.fault == (length == right                 ? RVT_WIRE_FAULT_NONE
                                : length < 28 || length > right ? RVT_WIRE_FAULT_IP_LENGTH
                                                                : RVT_WIRE_FAULT_UDP_LENGTH));
        REQUIRE((frame.icrc_verdict == RVT_ICRC_NOT_CHECKED) == (length != right));
    }
}

static void each_udp_length(void) {
    struct packet p;
    struct rvt_frame frame;
    make_send(&p, 20);
    const unsigned right = (unsigned)(p.length - p.udp_at);
    for (unsigned length = 0; length < 0x10000; length++) {
        set_16(&p, p.udp_at + 4, length);
        rvt_decode_frame(RVT_LINK_ETHERNET, p.bytes, (uint32_t)p.length, (uint32_t)p.length, &frame);
        REQUIRE(frame.fault == (length == right ? RVT_WIRE_FAULT_NONE : RVT_WIRE_FAULT_UDP_LENGTH));
    }
}

static void datagrams_that_are_too_short(void) {
    for (size_t bytes = 0; bytes < 24; bytes++) {
        struct packet p = {.length = 0};
        struct rvt_frame frame;
        put_ipv4(&p, 0);
        put_udp(&p);
        put_bth(&p, 0x04, 0);
        p.length = p.bth_at + bytes;
        set_16(&p, 2, (unsigned)p.length);
        set_16(&p, p.udp_at + 4, (unsigned)(8 + bytes));
        CHECK_EQ(decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame), RVT_FRAME_ROCE);
        CHECK_EQ(frame.fault, bytes < 16  ? RVT_WIRE_FAULT_SHORT
                              : bytes % 4 ? RVT_WIRE_FAULT_PAD
                                          : RVT_WIRE_FAULT_NONE);
        CHECK_EQ(frame.icrc_verdict == RVT_ICRC_NOT_CHECKED, bytes < 16);
    }
}

static void bytes_behind_the_packet_do_not_count(void) {
    struct packet p;
    struct rvt_frame frame;
    make_send(&p, 0);
    p.length += 6;
    CHECK_EQ(decode(&p, &frame), RVT_FRAME_ROCE);
    CHECK_EQ(frame.fault, RVT_WIRE_FAULT_NONE);
    CHECK_EQ(frame.icrc_verdict, RVT_ICRC_GOOD);
    CHECK(frame.trailer && !frame.cut);
    /* Only the trailer is cut off. */
    CHECK_EQ(decode_as(RVT_LINK_ETHERNET, &p, p.length - 6, p.length, &frame), RVT_FRAME_ROCE);
    CHECK_EQ(frame.icrc_verdict, RVT_ICRC_GOOD);
    CHECK(frame.trailer && frame.cut);
}

static void each_length_of_a_file_that_cuts_frames(void) {
    struct packet p = {.length = 0};
    struct rvt_frame frame;
    put_macs(&p);
    put_16(&p, 0x8100);
    put_16(&p, 5);
    put_16(&p, 0x0800);
    put_ipv4(&p, 0);
    put_udp(&p);
    put_bth(&p, 0x0a, 0);
    put_64(&p, 0x1000);
    put_32(&p, 0x22a);
    put_32(&p, 20);
    put_payload(&p, 20);
    finish_packet(&p);
    const size_t payload_at = p.bth_at + 28;
    for (size_t captured = 0; captured <= p.length; captured++) {
        const enum rvt_frame_kind kind = decode_as(RVT_LINK_ETHERNET, &p, captured, p.length, &frame);
        CHECK_EQ(kind, captured < p.udp_at + 4 ? RVT_FRAME_OTHER : RVT_FRAME_ROCE);
        if (kind != RVT_FRAME_ROCE)
            continue;
        CHECK_EQ(frame.fault, captured < payload_at ? RVT_WIRE_FAULT_CUT : RVT_WIRE_FAULT_NONE);
        CHECK_EQ(frame.cut, captured < p.length);
        CHECK_EQ(frame.icrc_verdict, captured < p.length ? RVT_ICRC_NOT_CHECKED : RVT_ICRC_GOOD);
        CHECK_EQ(frame.transport.rkey, captured < payload_at ? 0 : 0x22a);
        if (captured < payload_at)
            continue;
        /* The length on the wire is known all the same. */
        CHECK_EQ(frame.transport.payload_length, 20);
        CHECK_EQ(frame.payload_there, captured - payload_at < 20 ? captured - payload_at : 20);
    }
    /* A file that says the frame was shorter than what it holds. */
    CHECK_EQ(decode_as(RVT_LINK_ETHERNET, &p, p.length, 10, &frame), RVT_FRAME_ROCE);
    CHECK_EQ(frame.fault, RVT_WIRE_FAULT_NONE);
    CHECK(!frame.cut);
}

static void icrc_verdicts(void) {
    struct packet p;
    struct rvt_frame frame;
    make_send(&p, 20);
    p.bytes[p.length - 1] ^= 1;
    decode(&p, &frame);
    CHECK_EQ(frame.icrc_verdict, RVT_ICRC_BAD);
    CHECK(frame.icrc != frame.icrc_computed);
    CHECK_EQ(frame.fault, RVT_WIRE_FAULT_NONE);
    make_send(&p, 20);
    set_16(&p, p.ip_at + 4, 7);
    set_ip_checksum(&p);
    decode(&p, &frame);
    CHECK_EQ(frame.icrc_verdict, RVT_ICRC_OTHER_ID);
    CHECK_EQ(frame.icrc_ip_id, 0x1234);
    CHECK_EQ(frame.id, 7);
    /* What routers change does not matter. */
    make_send(&p, 20);
    p.bytes[p.ip_at + 8]--;
    set_ip_checksum(&p);
    decode(&p, &frame);
    CHECK_EQ(frame.icrc_verdict, RVT_ICRC_GOOD);
}

static void checksums(void) {
    struct packet p;
    struct rvt_frame frame;
    make_send(&p, 21);
    p.bytes[p.ip_at + 8]--; /* without a new checksum */
    decode(&p, &frame);
    CHECK(frame.bad_ip_checksum);
    for (int v6 = 0; v6 < 2; v6++) {
        for (size_t payload = 0; payload < 40; payload++) {
            memset(&p, 0, sizeof(p));
            if (v6)
                put_ipv6(&p, 17);
            else
                put_ipv4(&p, 0);
            put_udp(&p);
            put_bth(&p, 0x04, (4 - payload % 4) % 4);
            put_payload(&p, payload);
            p.length += (4 - payload % 4) % 4;
            finish_packet(&p);
            const size_t udp_bytes = p.length - p.udp_at;
            const size_t addresses = v6 ? 8 : 12;
            const unsigned sum =
                internet_checksum(internet_sum(p.bytes + p.udp_at, udp_bytes) + 17 + (uint32_t)udp_bytes +
                                  internet_sum(p.bytes + addresses, v6 ? 32 : 8));
            decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame);
            CHECK(!frame.bad_udp_checksum); /* there is none */
            CHECK_EQ(rvt_frame_udp_checksum(&frame, p.bytes, (uint32_t)p.length), sum ? sum : 0xffff);
            set_16(&p, p.udp_at + 6, sum);
            decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame);
            CHECK(!frame.bad_udp_checksum);
            CHECK_EQ(frame.udp_checksum, sum);
            CHECK_EQ(frame.icrc_verdict, RVT_ICRC_GOOD);
            /* The present checksum makes no difference. */
            CHECK_EQ(rvt_frame_udp_checksum(&frame, p.bytes, (uint32_t)p.length), sum);
            set_16(&p, p.udp_at + 6, sum ^ 0x100);
            decode_as(RVT_LINK_RAW, &p, p.length, p.length, &frame);
            CHECK(frame.bad_udp_checksum);
        }
    }
}

static void any_bytes_are_decoded_or_not(void) {
    static const uint32_t links[] = {1, 12, 101, 113, 228, 229, 276};
    uint64_t seed = 11;
    for (int round = 0; round < 30000; round++) {
        struct packet p;
        struct rvt_frame frame;
        make_send(&p, next_random(&seed) % 64);
        for (uint32_t changes = next_random(&seed) % 6; changes; changes--)
            p.bytes[next_random(&seed) % p.length] = (unsigned char)next_random(&seed);
        const size_t captured = next_random(&seed) % (p.length + 1);
        const uint32_t link = links[next_random(&seed) % (sizeof(links) / sizeof(links[0]))];
        if (decode_as(link, &p, captured, next_random(&seed) % 300, &frame) == RVT_FRAME_ROCE &&
            frame.payload_there)
            REQUIRE(frame.payload_at + frame.payload_there <= captured);
    }
}

CHECK_MAIN(TEST(ethernet_and_ipv4), TEST(ipv6), TEST(vlan_tags), TEST(other_link_layers),
           TEST(what_is_not_rocev2_is_something_else), TEST(ipv4_options_are_stepped_over),
           TEST(ipv6_extension_headers_are_stepped_over), TEST(fragments), TEST(each_ip_length),
           TEST(each_udp_length), TEST(datagrams_that_are_too_short),
           TEST(bytes_behind_the_packet_do_not_count), TEST(each_length_of_a_file_that_cuts_frames),
           TEST(icrc_verdicts), TEST(checksums), TEST(any_bytes_are_decoded_or_not))
