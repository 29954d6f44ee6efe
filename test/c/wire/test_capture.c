/* SPDX-License-Identifier: BSD-3-Clause */
/* The reader of capture files: both formats, both byte orders, any split of the stream, and what is wrong with
 * hostile files. */
#include "wire/capture.h"

#include "packets.h"

/* A file that is being written. */
struct file {
    unsigned char bytes[1 << 16];
    size_t length;
    bool big_endian;
};

static void add_8(struct file *f, unsigned value) {
    f->bytes[f->length++] = (unsigned char)value;
}

static void add_16(struct file *f, unsigned value) {
    add_8(f, f->big_endian ? value >> 8 : value);
    add_8(f, f->big_endian ? value : value >> 8);
}

static void add_32(struct file *f, uint32_t value) {
    add_16(f, f->big_endian ? value >> 16 : value & 0xffff);
    add_16(f, f->big_endian ? value & 0xffff : value >> 16);
}

static void set_32_at(struct file *f, size_t at, uint32_t value) {
    const size_t length = f->length;
    f->length = at;
    add_32(f, value);
    f->length = length;
}

static void add_bytes(struct file *f, size_t length, unsigned first) {
    for (size_t i = 0; i < length; i++)
        add_8(f, first + (unsigned)i);
}

static void add_pcap_header(struct file *f, uint32_t magic, uint32_t link_type) {
    add_32(f, magic);
    add_16(f, 2);
    add_16(f, 4);
    add_32(f, 0);
    add_32(f, 0);
    add_32(f, 262144);
    add_32(f, link_type);
}

static void add_pcap_packet(struct file *f, uint32_t seconds, uint32_t fraction, uint32_t captured,
                            uint32_t original, unsigned first) {
    add_32(f, seconds);
    add_32(f, fraction);
    add_32(f, captured);
    add_32(f, original);
    add_bytes(f, captured, first);
}

/* Blocks of pcapng: begin_block(), the content, end_block(). */
static size_t begin_block(struct file *f, uint32_t type) {
    add_32(f, type);
    add_32(f, 0);
    return f->length - 8;
}

static void end_block(struct file *f, size_t begin) {
    while (f->length % 4)
        add_8(f, 0);
    const uint32_t length = (uint32_t)(f->length - begin) + 4;
    add_32(f, length);
    set_32_at(f, begin + 4, length);
}

static void add_section(struct file *f) {
    const size_t begin = begin_block(f, 0x0a0d0d0a);
    add_32(f, 0x1a2b3c4d);
    add_16(f, 1);
    add_16(f, 0);
    add_32(f, 0xffffffff);
    add_32(f, 0xffffffff);
    add_16(f, 4); /* shb_userappl */
    add_16(f, 5);
    add_bytes(f, 8, 'a');
    add_32(f, 0);
    end_block(f, begin);
}

/* `resolution` -1 and `offset` 0: without these options. */
static void add_interface(struct file *f, unsigned link_type, uint32_t snap_length, int resolution,
                          int64_t offset) {
    const size_t begin = begin_block(f, 1);
    add_16(f, link_type);
    add_16(f, 0);
    add_32(f, snap_length);
    add_16(f, 2); /* if_name */
    add_16(f, 4);
    add_bytes(f, 4, 'e');
    if (resolution >= 0) {
        add_16(f, 9);
        add_16(f, 1);
        add_8(f, (unsigned)resolution);
        add_bytes(f, 3, 0);
    }
    if (offset) {
        add_16(f, 14);
        add_16(f, 8);
        if (f->big_endian)
            add_32(f, (uint32_t)((uint64_t)offset >> 32));
        add_32(f, (uint32_t)offset);
        if (!f->big_endian)
            add_32(f, (uint32_t)((uint64_t)offset >> 32));
    }
    add_32(f, 0);
    end_block(f, begin);
}

static void add_enhanced(struct file *f, uint32_t interface, uint64_t stamp, uint32_t captured,
                         uint32_t original, unsigned first) {
    const size_t begin = begin_block(f, 6);
    add_32(f, interface);
    add_32(f, (uint32_t)(stamp >> 32));
    add_32(f, (uint32_t)stamp);
    add_32(f, captured);
    add_32(f, original);
    add_bytes(f, captured, first);
    while (f->length % 4)
        add_8(f, 0);
    add_16(f, 2); /* epb_flags */
    add_16(f, 4);
    add_32(f, 1);
    add_32(f, 0);
    end_block(f, begin);
}

/* What a reader found: the packets with all their fields and bytes, and the end. */
struct found {
    enum rvt_capture_status status;
    enum rvt_capture_format format;
    uint64_t unit_at, position;
    size_t count;
    struct rvt_captured_packet packets[64];
    uint32_t sums[64];
};

/* Reads a file in pieces of `piece` bytes; 0: of random sizes. Each piece is a block of its own that is freed when it
 * has been read. */
static void read_pieces(const unsigned char *bytes, size_t length, size_t piece, struct found *found) {
    struct rvt_capture *capture = malloc(sizeof(*capture));
    unsigned char *carry = malloc(RVT_CAPTURE_MAX_PACKET);
    uint64_t seed = length + 1;
    memset(found, 0, sizeof(*found));
    if (!capture || !carry)
        abort();
    rvt_capture_start(capture, carry);
    for (size_t at = 0; at < length && capture->status == RVT_CAPTURE_OK;) {
        size_t now = piece ? piece : next_random(&seed) % 60;
        if (now > length - at)
            now = length - at;
        unsigned char *copy = copy_exactly(bytes + at, now);
        struct rvt_captured_packet packet;
        rvt_capture_give(capture, copy, now);
        while (rvt_capture_next(capture, &packet)) {
            if (found->count < 64) {
                found->sums[found->count] = slow_crc(0, packet.bytes, packet.captured);
                packet.bytes = NULL; /* not to be compared */
                packet.carried = false;
                found->packets[found->count] = packet;
            }
            found->count++;
        }
        if (capture->status == RVT_CAPTURE_OK)
            CHECK_EQ(rvt_capture_left(capture), 0);
        free(copy);
        at += now;
    }
    found->status = rvt_capture_end(capture);
    CHECK(!rvt_capture_next(capture, &found->packets[63]));
    found->format = capture->format;
    found->unit_at = capture->unit_at;
    found->position = capture->position;
    free(carry);
    free(capture);
}

static void read_file(const struct file *f, struct found *found) {
    read_pieces(f->bytes, f->length, f->length ? f->length : 1, found);
    /* However it is split, it is the same file. */
    static const size_t pieces[] = {0, 1, 2, 3, 4, 7, 8, 16, 23, 64, 100};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct found again;
        read_pieces(f->bytes, f->length, pieces[i], &again);
        CHECK_EQ(again.status, found->status);
        CHECK_EQ(again.format, found->format);
        CHECK_EQ(again.unit_at, found->unit_at);
        REQUIRE(again.count == found->count);
        for (size_t j = 0; j < found->count && j < 64; j++) {
            const struct rvt_captured_packet *a = &again.packets[j], *b = &found->packets[j];
            CHECK_EQ(again.sums[j], found->sums[j]);
            CHECK(a->captured == b->captured && a->original == b->original && a->link_type == b->link_type &&
                  a->number == b->number && a->seconds == b->seconds && a->nanoseconds == b->nanoseconds);
        }
    }
}

static void check_packet(const struct found *found, size_t index, uint64_t number, int64_t seconds,
                         uint32_t nanoseconds, uint32_t link_type, uint32_t captured, uint32_t original,
                         unsigned first) {
    unsigned char bytes[1 << 12];
    const struct rvt_captured_packet *packet = &found->packets[index];
    REQUIRE(index < found->count);
    for (size_t i = 0; i < captured; i++)
        bytes[i] = (unsigned char)(first + i);
    CHECK_EQ(packet->number, number);
    CHECK_EQ(packet->seconds, seconds);
    CHECK_EQ(packet->nanoseconds, nanoseconds);
    CHECK_EQ(packet->link_type, link_type);
    CHECK_EQ(packet->captured, captured);
    CHECK_EQ(packet->original, original);
    CHECK_EQ(found->sums[index], slow_crc(0, bytes, captured));
}

static void pcap_in_both_orders_and_units(void) {
    for (int order = 0; order < 2; order++) {
        for (int nano = 0; nano < 2; nano++) {
            static struct file f;
            struct found found;
            f = (struct file){.big_endian = order};
            add_pcap_header(&f, nano ? 0xa1b23c4d : 0xa1b2c3d4, 1);
            add_pcap_packet(&f, 1700000000, 999999, 60, 60, 3);
            add_pcap_packet(&f, 0xffffffff, 1, 0, 0, 0);
            add_pcap_packet(&f, 5, nano ? 3000000007 : 3000007, 100, 1514, 9);
            read_file(&f, &found);
            CHECK_EQ(found.status, RVT_CAPTURE_OK);
            CHECK_EQ(found.format, RVT_CAPTURE_FORMAT_PCAP);
            CHECK_EQ(found.count, 3);
            CHECK_EQ(found.position, f.length);
            check_packet(&found, 0, 1, 1700000000, nano ? 999999 : 999999000, 1, 60, 60, 3);
            check_packet(&found, 1, 2, 0xffffffff, nano ? 1 : 1000, 1, 0, 0, 0);
            /* Whole seconds in the fraction. */
            check_packet(&found, 2, 3, 8, nano ? 7 : 7000, 1, 100, 1514, 9);
        }
    }
}

static void pcap_link_types_are_16_bits(void) {
    static struct file f;
    struct found found;
    f = (struct file){.length = 0};
    add_pcap_header(&f, 0xa1b2c3d4, 0x44000000 | 276); /* with 4 bytes of frame check sequence */
    add_pcap_packet(&f, 0, 0, 1, 1, 0);
    read_file(&f, &found);
    check_packet(&found, 0, 1, 0, 0, 276, 1, 1, 0);
}

static void pcap_faults_have_a_status_and_a_position(void) {
    static struct file f;
    struct found found;
    f = (struct file){.length = 0};
    read_pieces(f.bytes, 0, 1, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_EMPTY);
    add_pcap_header(&f, 0xa1b2c3d4, 1);
    add_pcap_packet(&f, 0, 0, 30, 30, 0);
    add_pcap_packet(&f, 0, 0, 30, 30, 0);
    for (size_t length = 0; length <= f.length; length++) {
        read_pieces(f.bytes, length, 13, &found);
        const bool whole = length == 24 || length == 24 + 46 || length == 24 + 92;
        CHECK_EQ(found.status, whole         ? RVT_CAPTURE_OK
                               : length == 0 ? RVT_CAPTURE_EMPTY
                               : length < 4  ? RVT_CAPTURE_NOT_A_CAPTURE
                                             : RVT_CAPTURE_TRUNCATED);
        CHECK_EQ(found.count, length < 24 + 46 ? 0 : length < 24 + 92 ? 1 : 2);
        if (found.status == RVT_CAPTURE_TRUNCATED)
            CHECK_EQ(found.unit_at, length < 24 ? 0 : length < 24 + 46 ? 24 : 24 + 46);
    }
    set_32_at(&f, 24 + 46 + 8, 262145);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_TOO_LARGE);
    CHECK_EQ(found.unit_at, 24 + 46);
    CHECK_EQ(found.count, 1);
    set_32_at(&f, 24 + 8, UINT32_MAX);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_TOO_LARGE);
    f.bytes[4] = 3;
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_VERSION);
    CHECK_EQ(found.unit_at, 0);
}

static void the_largest_packet_fits(void) {
    unsigned char *bytes = calloc(1, 24 + 2 * (16 + RVT_CAPTURE_MAX_PACKET));
    static struct file f;
    struct found found;
    REQUIRE(bytes);
    f = (struct file){.length = 0};
    add_pcap_header(&f, 0xa1b2c3d4, 1);
    add_pcap_packet(&f, 0, 0, 0, RVT_CAPTURE_MAX_PACKET, 0);
    set_32_at(&f, 24 + 8, RVT_CAPTURE_MAX_PACKET);
    memcpy(bytes, f.bytes, 40);
    memcpy(bytes + 40 + RVT_CAPTURE_MAX_PACKET, f.bytes + 24, 16);
    const size_t pieces[] = {SIZE_MAX, 1000, 65536, 262144, 262143};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        read_pieces(bytes, 24 + 2 * (16 + RVT_CAPTURE_MAX_PACKET), pieces[i], &found);
        CHECK_EQ(found.status, RVT_CAPTURE_OK);
        CHECK_EQ(found.count, 2);
        CHECK_EQ(found.packets[1].captured, RVT_CAPTURE_MAX_PACKET);
    }
    free(bytes);
}

static void files_of_other_kinds_are_named(void) {
    static const struct {
        const char *magic;
        enum rvt_capture_status status;
    } kinds[] = {
        {"\x1f\x8b\x08\x00", RVT_CAPTURE_COMPRESSED},
        {"\x28\xb5\x2f\xfd", RVT_CAPTURE_COMPRESSED},
        {"\x04\x22\x4d\x18", RVT_CAPTURE_COMPRESSED},
        {"\x7f"
         "ELF",
         RVT_CAPTURE_NOT_A_CAPTURE},
        {"snoo", RVT_CAPTURE_NOT_A_CAPTURE},
        {"\0\0\0\0", RVT_CAPTURE_NOT_A_CAPTURE},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        static struct file f;
        struct found found;
        f = (struct file){.length = 100};
        memcpy(f.bytes, kinds[i].magic, 4);
        read_file(&f, &found);
        CHECK_EQ(found.status, kinds[i].status);
        CHECK_EQ(found.unit_at, 0);
        CHECK_EQ(found.format, RVT_CAPTURE_FORMAT_UNKNOWN);
    }
}

static void pcapng_in_both_orders(void) {
    for (int order = 0; order < 2; order++) {
        static struct file f;
        struct found found;
        f = (struct file){.big_endian = order};
        add_section(&f);
        add_interface(&f, 1, 0, -1, 0);
        add_interface(&f, 101, 200, 9, 0);
        add_enhanced(&f, 0, 1700000000123456, 61, 61, 1);
        add_enhanced(&f, 1, 1700000000123456789, 62, 1500, 2);
        size_t block = begin_block(&f, 5); /* statistics: skipped */
        add_bytes(&f, 40, 0);
        end_block(&f, block);
        block = begin_block(&f, 2); /* obsolete packet */
        add_16(&f, 1);
        add_16(&f, 77);
        add_32(&f, 0);
        add_32(&f, 5);
        add_32(&f, 3);
        add_32(&f, 4);
        add_bytes(&f, 3, 50);
        end_block(&f, block);
        block = begin_block(&f, 9); /* journal: skipped, with a number of its own */
        add_bytes(&f, 8, 0);
        end_block(&f, block);
        block = begin_block(&f, 3); /* simple packet */
        add_32(&f, 5);
        add_bytes(&f, 5, 90);
        end_block(&f, block);
        read_file(&f, &found);
        CHECK_EQ(found.status, RVT_CAPTURE_OK);
        CHECK_EQ(found.format, RVT_CAPTURE_FORMAT_PCAPNG);
        CHECK_EQ(found.count, 4);
        check_packet(&found, 0, 1, 1700000000, 123456000, 1, 61, 61, 1);
        check_packet(&found, 1, 2, 1700000000, 123456789, 101, 62, 1500, 2);
        check_packet(&found, 2, 3, 0, 5, 101, 3, 4, 50);
        check_packet(&found, 3, 5, 0, 0, 1, 5, 5, 90);
    }
}

static void sections_have_their_own_order_and_interfaces(void) {
    static struct file f;
    struct found found;
    f = (struct file){.length = 0};
    add_section(&f);
    add_interface(&f, 1, 0, -1, 0);
    add_enhanced(&f, 0, 1000000, 4, 4, 1);
    f.big_endian = true;
    add_section(&f);
    add_interface(&f, 113, 0, 3, 0);
    add_enhanced(&f, 0, 1001, 5, 5, 2);
    f.big_endian = false;
    const size_t third = f.length;
    add_section(&f);
    const size_t packet = f.length;
    add_enhanced(&f, 0, 0, 4, 4, 1);
    read_file(&f, &found);
    check_packet(&found, 0, 1, 1, 0, 1, 4, 4, 1);
    check_packet(&found, 1, 2, 1, 1000000, 113, 5, 5, 2);
    CHECK_EQ(found.status, RVT_CAPTURE_INTERFACE);
    CHECK_EQ(found.unit_at, packet);
    f.length = third;
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_OK);
}

static void time_stamps_of_any_resolution(void) {
    static const struct {
        int resolution;
        int64_t offset;
        uint64_t stamp;
        int64_t seconds;
        uint32_t nanoseconds;
    } cases[] = {
        {-1, 0, 1500000, 1, 500000000},
        {0, 0, UINT64_MAX, -1, 0}, /* more seconds than 63 bits wrap */
        {0, 0, 1700000000, 1700000000, 0},
        {3, 0, 1999, 1, 999000000},
        {9, 0, 1999999999, 1, 999999999},
        {10, 0, 19999999999, 1, 999999999},
        {12, 0, 1500000000001, 1, 500000000},
        {18, 0, UINT64_MAX, 18, 446744073},
        {19, 0, UINT64_MAX, 1, 844674407},
        {0x80, 0, 7, 7, 0},
        {0x80 + 1, 0, 7, 3, 500000000},
        {0x80 + 32, 0, ((uint64_t)1700000000 << 32) + 0x80000000, 1700000000, 500000000},
        {0x80 + 32, 0, 0xffffffff, 0, 999999999},
        {0x80 + 34, 0, 0x3ffffffff, 0, 999999999},
        {0x80 + 35, 0, 0x7ffffffff, 0, 999999999},
        {0x80 + 63, 0, UINT64_MAX, 1, 999999999},
        {6, 1600000000, 1500000, 1600000001, 500000000},
        {6, -3600, 1500000, -3599, 500000000},
        {6, INT64_MIN, 0, INT64_MIN, 0},
        {6, INT64_MAX, 1000000, INT64_MIN, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static struct file f;
        struct found found;
        f = (struct file){.big_endian = i % 2};
        add_section(&f);
        add_interface(&f, 1, 0, cases[i].resolution, cases[i].offset);
        add_enhanced(&f, 0, cases[i].stamp, 0, 0, 0);
        read_file(&f, &found);
        CHECK_EQ(found.status, RVT_CAPTURE_OK);
        check_packet(&found, 0, 1, cases[i].seconds, cases[i].nanoseconds, 1, 0, 0, 0);
    }
    for (int resolution = 0; resolution < 256; resolution++) {
        static struct file f;
        struct found found;
        f = (struct file){.length = 0};
        add_section(&f);
        const size_t interface = f.length;
        add_interface(&f, 1, 0, resolution, 0);
        read_file(&f, &found);
        const bool fine = resolution & 128 ? resolution <= 128 + 63 : resolution <= 19;
        CHECK_EQ(found.status, fine ? RVT_CAPTURE_OK : RVT_CAPTURE_RESOLUTION);
        CHECK_EQ(found.unit_at, fine ? f.length : interface);
    }
}

/* A file with a section, an interface and a packet; the blocks begin at these positions. */
static void make_pcapng(struct file *f, size_t *interface, size_t *packet) {
    *f = (struct file){.length = 0};
    add_section(f);
    *interface = f->length;
    add_interface(f, 1, 0, -1, 0);
    *packet = f->length;
    add_enhanced(f, 0, 0, 21, 21, 1);
}

static void pcapng_faults_have_a_status_and_a_position(void) {
    static struct file f;
    struct found found;
    size_t interface, packet;
    make_pcapng(&f, &interface, &packet);
    const size_t length = f.length;
    for (f.length = 0; f.length <= length; f.length++) {
        read_pieces(f.bytes, f.length, 5, &found);
        const bool whole = f.length == interface || f.length == packet || f.length == length;
        CHECK_EQ(found.status, whole           ? RVT_CAPTURE_OK
                               : f.length == 0 ? RVT_CAPTURE_EMPTY
                               : f.length < 4  ? RVT_CAPTURE_NOT_A_CAPTURE
                                               : RVT_CAPTURE_TRUNCATED);
    }

    /* Any other length of the packet's block. */
    for (uint32_t wrong = 0; wrong < 200; wrong++) {
        make_pcapng(&f, &interface, &packet);
        if (wrong == f.length - packet)
            continue;
        set_32_at(&f, packet + 4, wrong);
        add_bytes(&f, 200, 0);
        read_file(&f, &found);
        CHECK_EQ(found.status, RVT_CAPTURE_BLOCK_LENGTH);
        CHECK_EQ(found.unit_at, packet);
    }
    make_pcapng(&f, &interface, &packet);
    set_32_at(&f, packet + 4, 0xfffffffc);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_TRUNCATED);
    make_pcapng(&f, &interface, &packet);
    set_32_at(&f, f.length - 4, 0);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_BLOCK_LENGTH);
    CHECK_EQ(found.unit_at, packet);
    CHECK_EQ(found.count, 1);

    /* More bytes than the block has, or than a packet may have. */
    make_pcapng(&f, &interface, &packet);
    set_32_at(&f, packet + 20, (uint32_t)(f.length - packet - 32 + 1));
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_BLOCK_LENGTH);
    set_32_at(&f, packet + 20, 262145);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_TOO_LARGE);
    make_pcapng(&f, &interface, &packet);
    set_32_at(&f, packet + 8, 1);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_INTERFACE);
    CHECK_EQ(found.unit_at, packet);

    /* Interfaces. */
    make_pcapng(&f, &interface, &packet);
    set_32_at(&f, interface + 4, 262144 + 16);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_BLOCK_LENGTH);
    CHECK_EQ(found.unit_at, interface);
    make_pcapng(&f, &interface, &packet);
    f.bytes[interface + 18] = 200; /* the option's length */
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_OPTION);
    CHECK_EQ(found.unit_at, interface);
    static const unsigned char options[] = {9, 14};
    for (size_t i = 0; i < sizeof(options); i++) {
        make_pcapng(&f, &interface, &packet);
        f.bytes[interface + 16] = options[i]; /* with 4 bytes */
        read_file(&f, &found);
        CHECK_EQ(found.status, RVT_CAPTURE_OPTION);
    }

    /* Sections. */
    make_pcapng(&f, &interface, &packet);
    f.bytes[8] ^= 1;
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_BYTE_ORDER);
    make_pcapng(&f, &interface, &packet);
    f.bytes[12] = 2;
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_VERSION);
    for (uint32_t wrong = 0; wrong < 28; wrong++) {
        make_pcapng(&f, &interface, &packet);
        set_32_at(&f, 4, wrong);
        read_file(&f, &found);
        CHECK_EQ(found.status, RVT_CAPTURE_BLOCK_LENGTH);
        CHECK_EQ(found.unit_at, 0);
    }
}

static void interfaces_are_limited(void) {
    static struct file f;
    struct found found;
    f = (struct file){.length = 0};
    add_section(&f);
    for (int i = 0; i < RVT_CAPTURE_MAX_INTERFACES; i++) {
        const size_t block = begin_block(&f, 1);
        add_16(&f, 1);
        add_16(&f, 0);
        add_32(&f, 0);
        end_block(&f, block);
    }
    add_enhanced(&f, RVT_CAPTURE_MAX_INTERFACES - 1, 0, 4, 4, 1);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_OK);
    CHECK_EQ(found.count, 1);
    add_interface(&f, 1, 0, -1, 0);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_INTERFACES);
}

static void simple_packets_are_as_long_as_their_interface_captures(void) {
    static struct file f;
    struct found found;
    f = (struct file){.length = 0};
    add_section(&f);
    const size_t before = f.length;
    size_t block = begin_block(&f, 3);
    add_32(&f, 4);
    add_bytes(&f, 4, 0);
    end_block(&f, block);
    read_file(&f, &found);
    CHECK_EQ(found.status, RVT_CAPTURE_INTERFACE);
    f.length = before;
    add_interface(&f, 1, 10, -1, 0);
    block = begin_block(&f, 3);
    add_32(&f, 1500);
    add_bytes(&f, 10, 40);
    end_block(&f, block);
    block = begin_block(&f, 3);
    add_32(&f, 9);
    add_bytes(&f, 4, 0); /* 9 are too many */
    end_block(&f, block);
    read_file(&f, &found);
    check_packet(&found, 0, 1, 0, 0, 1, 10, 1500, 40);
    CHECK_EQ(found.status, RVT_CAPTURE_BLOCK_LENGTH);
}

static void long_blocks_are_skipped_without_memory(void) {
    static struct file f;
    struct found found;
    size_t interface, packet;
    make_pcapng(&f, &interface, &packet);
    const uint32_t content = 3 * RVT_CAPTURE_MAX_PACKET;
    unsigned char *bytes = calloc(1, f.length + content + 12);
    REQUIRE(bytes);
    memcpy(bytes, f.bytes, packet);
    static struct file block;
    block = (struct file){.length = 0};
    add_32(&block, 0x0bad);
    add_32(&block, content + 12);
    memcpy(bytes + packet, block.bytes, 8);
    memcpy(bytes + packet + 8 + content, block.bytes + 4, 4);
    memcpy(bytes + packet + 12 + content, f.bytes + packet, f.length - packet);
    const size_t pieces[] = {SIZE_MAX, 100000, 4096};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        read_pieces(bytes, f.length + content + 12, pieces[i], &found);
        CHECK_EQ(found.status, RVT_CAPTURE_OK);
        check_packet(&found, 0, 1, 0, 0, 1, 21, 21, 1);
    }
    free(bytes);
}

static void carried_packets_are_in_the_readers_memory(void) {
    static struct file f;
    struct rvt_capture *capture = malloc(sizeof(*capture));
    unsigned char *carry = malloc(RVT_CAPTURE_MAX_PACKET);
    struct rvt_captured_packet packet;
    REQUIRE(capture && carry);
    f = (struct file){.length = 0};
    add_pcap_header(&f, 0xa1b2c3d4, 1);
    add_pcap_packet(&f, 0, 0, 30, 30, 5);
    add_pcap_packet(&f, 0, 0, 30, 30, 5);
    rvt_capture_start(capture, carry);
    rvt_capture_give(capture, f.bytes, 50);
    CHECK(!rvt_capture_next(capture, &packet));
    rvt_capture_give(capture, f.bytes + 50, f.length - 50);
    REQUIRE(rvt_capture_next(capture, &packet));
    CHECK(packet.carried);
    CHECK_PTR_EQ(packet.bytes, carry);
    REQUIRE(rvt_capture_next(capture, &packet));
    CHECK(!packet.carried);
    CHECK_PTR_EQ(packet.bytes, f.bytes + f.length - 30);
    free(carry);
    free(capture);
}

static void any_bytes_end_with_a_status(void) {
    uint64_t seed = 17;
    for (int round = 0; round < 3000; round++) {
        static struct file f;
        struct found found;
        size_t interface, packet;
        make_pcapng(&f, &interface, &packet);
        add_enhanced(&f, 0, 5, 40, 40, 9);
        if (round % 3 == 0) {
            f.length = 0;
            f.big_endian = round % 2;
            add_pcap_header(&f, 0xa1b2c3d4, 1);
            for (int i = 0; i < 5; i++)
                add_pcap_packet(&f, 1, 2, next_random(&seed) % 50, 50, 1);
        }
        for (uint32_t changes = 1 + next_random(&seed) % 4; changes; changes--)
            f.bytes[next_random(&seed) % f.length] =
                next_random(&seed) % 2 ? (unsigned char)next_random(&seed) : 0xff;
        f.length -= next_random(&seed) % 8;
        read_file(&f, &found);
        CHECK(found.status <= RVT_CAPTURE_RESOLUTION);
        CHECK(found.unit_at <= found.position && found.position <= f.length);
    }
}

CHECK_MAIN(TEST(pcap_in_both_orders_and_units), TEST(pcap_link_types_are_16_bits),
           TEST(pcap_faults_have_a_status_and_a_position), TEST(the_largest_packet_fits),
           TEST(files_of_other_kinds_are_named), TEST(pcapng_in_both_orders),
           TEST(sections_have_their_own_order_and_interfaces), TEST(time_stamps_of_any_resolution),
           TEST(pcapng_faults_have_a_status_and_a_position), TEST(interfaces_are_limited),
           TEST(simple_packets_are_as_long_as_their_interface_captures),
           TEST(long_blocks_are_skipped_without_memory), TEST(carried_packets_are_in_the_readers_memory),
           TEST(any_bytes_end_with_a_status))
