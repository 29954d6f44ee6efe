/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/capture.h"

#include <string.h>

#include "wire/bytes.h"

/* What the reader wants next. */
enum stage {
    MAGIC,       /* 4 bytes: the kind of file */
    PCAP_HEADER, /* the 20 bytes behind the magic */
    PCAP_RECORD, /* 16 bytes in front of a packet */
    PCAP_PACKET,
    BLOCK,           /* pcapng: type and length of a block */
    FIRST_LENGTH,    /* the length of the first block, whose type was the magic */
    SECTION,         /* the 16 bytes of a section header in front of its options */
    INTERFACE,       /* an interface description, as a whole */
    ENHANCED_PACKET, /* the 20 bytes in front of a packet */
    OBSOLETE_PACKET, /* the same */
    SIMPLE_PACKET,   /* the 4 bytes in front of a packet */
    BLOCK_PACKET,    /* the bytes of a packet */
    SKIP,            /* the rest of a block but its second length */
    TRAILER,         /* the second length */
};

enum {
    BLOCK_SECTION = 0x0a0d0d0a,
    BLOCK_INTERFACE = 1,
    BLOCK_OBSOLETE_PACKET = 2,
    BLOCK_SIMPLE_PACKET = 3,
    BLOCK_ENHANCED_PACKET = 6,
    BLOCK_JOURNAL = 9, /* an entry of systemd's journal: Wireshark gives it a packet number */

    BLOCK_OVERHEAD = 12, /* type and both lengths */

    OPTION_END = 0,
    OPTION_TSRESOL = 9,
    OPTION_TSOFFSET = 14,
};

static bool fail(struct rvt_capture *capture, enum rvt_capture_status status) {
    capture->status = status;
    return false;
}

void rvt_capture_start(struct rvt_capture *capture, unsigned char *carry) {
    memset(capture, 0, sizeof(*capture));
    capture->carry = carry;
    rvt_capture_give(capture, NULL, 0);
}

void rvt_capture_give(struct rvt_capture *capture, const unsigned char *bytes, size_t length) {
    static const unsigned char nothing[1];
    /* Never NULL, because a packet of 0 bytes needs an address, too. */
    capture->input = length ? bytes : nothing;
    capture->left = length;
}

/* Returns the next `wanted` bytes in one piece, or NULL if they are not all there yet. `wanted` is at most
 * RVT_CAPTURE_MAX_PACKET, and the same until they are there. */
static const unsigned char *take(struct rvt_capture *capture, size_t wanted) {
    const unsigned char *bytes = capture->input;
    if (capture->carried == 0 && capture->left >= wanted) {
        capture->input += wanted;
        capture->left -= wanted;
        capture->position += wanted;
        return bytes;
    }
    const size_t missing = wanted - capture->carried;
    const size_t now = capture->left < missing ? capture->left : missing;
    if (now) {
        memcpy(capture->carry + capture->carried, bytes, now);
        capture->input += now;
        capture->left -= now;
        capture->position += now;
        capture->carried += now;
    }
    if (now < missing)
        return NULL;
    capture->carried = 0;
    return capture->carry;
}

static uint16_t load_16(const struct rvt_capture *capture, const unsigned char *at) {
    return capture->big_endian ? rvt_load_be16(at) : rvt_load_le16(at);
}

static uint32_t load_32(const struct rvt_capture *capture, const unsigned char *at) {
    return capture->big_endian ? rvt_load_be32(at) : rvt_load_le32(at);
}

static uint64_t load_64(const struct rvt_capture *capture, const unsigned char *at) {
    return capture->big_endian ? rvt_load_be64(at) : rvt_load_le64(at);
}

/* --- pcap --- */

static bool read_magic(struct rvt_capture *capture, const unsigned char *bytes) {
    static const struct {
        uint32_t magic; /* read as little-endian */
        bool big_endian, nanoseconds;
    } magics[] = {
        {0xa1b2c3d4, false, false},
        {0xd4c3b2a1, true, false},
        {0xa1b23c4d, false, true},
        {0x4d3cb2a1, true, true},
    };
    const uint32_t magic = rvt_load_le32(bytes);
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
        if (magic == magics[i].magic) {
            capture->format = RVT_CAPTURE_FORMAT_PCAP;
            capture->big_endian = magics[i].big_endian;
            capture->nanoseconds = magics[i].nanoseconds;
            capture->stage = PCAP_HEADER;
            return true;
        }
    }
    if (magic == BLOCK_SECTION) { /* the same in either byte order */
        capture->format = RVT_CAPTURE_FORMAT_PCAPNG;
        capture->stage = FIRST_LENGTH;
        return true;
    }
    const bool gzip = (magic & 0xffff) == 0x8b1f, zstd = magic == 0xfd2fb528, lz4 = magic == 0x184d2204;
    return fail(capture, gzip || zstd || lz4 ? RVT_CAPTURE_COMPRESSED : RVT_CAPTURE_NOT_A_CAPTURE);
}

static bool read_pcap_header(struct rvt_capture *capture, const unsigned char *bytes) {
    if (load_16(capture, bytes) != 2)
        return fail(capture, RVT_CAPTURE_VERSION);
    /* The upper bits tell whether frames end with a check sequence; the IP length leaves it out anyway. */
    capture->interfaces[0].link_type = load_32(capture, bytes + 16) & 0xffff;
    capture->interface_count = 1;
    capture->stage = PCAP_RECORD;
    return true;
}

static bool read_pcap_record(struct rvt_capture *capture, const unsigned char *bytes) {
    struct rvt_captured_packet *next = &capture->next;
    const uint32_t fraction = load_32(capture, bytes + 4),
                   units = capture->nanoseconds ? 1000000000 : 1000000;
    /* Some writers leave whole seconds in the fraction. */
    next->seconds = (int64_t)load_32(capture, bytes) + fraction / units;
    next->nanoseconds = fraction % units * (capture->nanoseconds ? 1 : 1000);
    next->captured = load_32(capture, bytes + 8);
    next->original = load_32(capture, bytes + 12);
    next->link_type = capture->interfaces[0].link_type;
    if (next->captured > RVT_CAPTURE_MAX_PACKET)
        return fail(capture, RVT_CAPTURE_TOO_LARGE);
    capture->stage = PCAP_PACKET;
    return true;
}

/* --- pcapng --- */

/* Starts a block with its length. The bytes so far are its type and length. */
static bool start_block(struct rvt_capture *capture, uint32_t length, uint32_t least) {
    if (length < BLOCK_OVERHEAD + least || length % 4 != 0)
        return fail(capture, RVT_CAPTURE_BLOCK_LENGTH);
    capture->block_length = length;
    capture->block_left = length - BLOCK_OVERHEAD;
    return true;
}

static bool read_block(struct rvt_capture *capture, const unsigned char *bytes) {
    const uint32_t type = load_32(capture, bytes);
    uint32_t least = 0;
    switch (type) {
    case BLOCK_SECTION:
        memcpy(capture->first_length, bytes + 4, 4);
        capture->stage = SECTION;
        return true;
    case BLOCK_INTERFACE:
        capture->stage = INTERFACE;
        least = 8;
        break;
    case BLOCK_ENHANCED_PACKET:
        capture->stage = ENHANCED_PACKET;
        least = 20;
        break;
    case BLOCK_OBSOLETE_PACKET:
        capture->stage = OBSOLETE_PACKET;
        least = 20;
        break;
    case BLOCK_SIMPLE_PACKET:
        capture->stage = SIMPLE_PACKET;
        least = 4;
        break;
    default:
        capture->stage = SKIP;
        break;
    }
    if (!start_block(capture, load_32(capture, bytes + 4), least))
        return false;
    /* An interface description is read as a whole, so it must fit. */
    if (capture->stage == INTERFACE && capture->block_left > RVT_CAPTURE_MAX_PACKET)
        return fail(capture, RVT_CAPTURE_BLOCK_LENGTH);
    if (type == BLOCK_JOURNAL)
        capture->packets++;
    return true;
}

static bool read_section(struct rvt_capture *capture, const unsigned char *bytes) {
    const uint32_t order = rvt_load_le32(bytes);
    if (order != 0x1a2b3c4d && order != 0x4d3c2b1a)
        return fail(capture, RVT_CAPTURE_BYTE_ORDER);
    capture->big_endian = order == 0x4d3c2b1a;
    if (load_16(capture, bytes + 4) != 1)
        return fail(capture, RVT_CAPTURE_VERSION);
    if (!start_block(capture, load_32(capture, capture->first_length), 16))
        return false;
    capture->interface_count = 0; /* those of the last section are unknown in this one */
    capture->block_left -= 16;
    capture->stage = SKIP;
    return true;
}

/* Reads the value of an option of an interface. */
static bool read_interface_option(struct rvt_capture *capture, uint32_t code, const unsigned char *value,
                                  uint32_t length, struct rvt_capture_interface *interface) {
    if (code == OPTION_TSRESOL) {
        if (length != 1)
            return fail(capture, RVT_CAPTURE_OPTION);
        interface->binary = value[0] >> 7;
        interface->digits = value[0] & 127;
        /* The unit must divide a second into no more parts than 64 bits can count. */
        if (interface->digits > (interface->binary ? 63 : 19))
            return fail(capture, RVT_CAPTURE_RESOLUTION);
    }
    if (code == OPTION_TSOFFSET) {
        if (length != 8)
            return fail(capture, RVT_CAPTURE_OPTION);
        interface->offset_seconds = (int64_t)load_64(capture, value);
    }
    return true;
}

static bool read_interface(struct rvt_capture *capture, const unsigned char *bytes) {
    if (capture->interface_count == RVT_CAPTURE_MAX_INTERFACES)
        return fail(capture, RVT_CAPTURE_INTERFACES);
    struct rvt_capture_interface *interface = &capture->interfaces[capture->interface_count];
    memset(interface, 0, sizeof(*interface));
    interface->link_type = load_16(capture, bytes);
    interface->snap_length = load_32(capture, bytes + 4);
    interface->digits = 6;
    for (uint32_t at = 8; capture->block_left - at >= 4;) {
        const uint32_t code = load_16(capture, bytes + at), length = load_16(capture, bytes + at + 2);
        if (code == OPTION_END)
            break;
        at += 4;
        const uint32_t padded = (length + 3) & ~3u;
        if (padded > capture->block_left - at)
            return fail(capture, RVT_CAPTURE_OPTION);
        if (!read_interface_option(capture, code, bytes + at, length, interface))
            return false;
        at += padded;
    }
    capture->interface_count++;
    capture->block_left = 0;
    capture->stage = SKIP;
    return true;
}

/* Converts a time stamp of an interface. */
static void set_time(struct rvt_captured_packet *packet, const struct rvt_capture_interface *interface,
                     uint64_t stamp) {
    static const uint64_t powers[] = {
        1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
    };
    const uint32_t digits = interface->digits;
    uint64_t seconds, nanoseconds;
    if (interface->binary) {
        seconds = stamp >> digits;
        const uint64_t fraction = stamp - (seconds << digits);
        /* At most 34 bits, so that the product fits into 64. */
        nanoseconds =
            digits <= 34 ? fraction * powers[9] >> digits : (fraction >> (digits - 34)) * powers[9] >> 34;
    } else if (digits <= 9) {
        seconds = stamp / powers[digits];
        nanoseconds = stamp % powers[digits] * powers[9 - digits];
    } else {
        /* Divides by 10^digits in two steps, because the table ends at 10^9. `rest` is at most 10. */
        const uint32_t rest = digits - 9;
        const uint64_t finer = rest <= 9 ? powers[rest] : powers[9] * 10;
        const uint64_t all_nanoseconds = stamp / finer;
        seconds = all_nanoseconds / powers[9];
        nanoseconds = all_nanoseconds % powers[9];
    }
    /* Wraps on overflow, which needs an offset of billions of years. */
    packet->seconds = (int64_t)(seconds + (uint64_t)interface->offset_seconds);
    packet->nanoseconds = (uint32_t)nanoseconds;
}

/* Continues with the bytes of a packet, once capture->next has its lengths. */
static bool start_packet(struct rvt_capture *capture) {
    const uint32_t captured = capture->next.captured;
    if (captured > RVT_CAPTURE_MAX_PACKET)
        return fail(capture, RVT_CAPTURE_TOO_LARGE);
    if (captured > capture->block_left)
        return fail(capture, RVT_CAPTURE_BLOCK_LENGTH);
    capture->stage = BLOCK_PACKET;
    return true;
}

/* Reads the head of an enhanced packet block, or of an obsolete one, which has a shorter interface number and a
 * count of dropped packets behind it. */
static bool read_packet_head(struct rvt_capture *capture, const unsigned char *bytes) {
    struct rvt_captured_packet *next = &capture->next;
    const uint32_t interface =
        capture->stage == ENHANCED_PACKET ? load_32(capture, bytes) : load_16(capture, bytes);
    capture->block_left -= 20;
    if (interface >= capture->interface_count)
        return fail(capture, RVT_CAPTURE_INTERFACE);
    next->link_type = capture->interfaces[interface].link_type;
    next->captured = load_32(capture, bytes + 12);
    next->original = load_32(capture, bytes + 16);
    set_time(next, &capture->interfaces[interface],
             (uint64_t)load_32(capture, bytes + 4) << 32 | load_32(capture, bytes + 8));
    return start_packet(capture);
}

static bool read_simple_head(struct rvt_capture *capture, const unsigned char *bytes) {
    struct rvt_captured_packet *next = &capture->next;
    capture->block_left -= 4;
    if (capture->interface_count == 0)
        return fail(capture, RVT_CAPTURE_INTERFACE);
    const struct rvt_capture_interface *interface = &capture->interfaces[0];
    next->link_type = interface->link_type;
    next->original = load_32(capture, bytes);
    next->captured = interface->snap_length && interface->snap_length < next->original
                         ? interface->snap_length
                         : next->original;
    next->seconds = 0;
    next->nanoseconds = 0;
    return start_packet(capture);
}

static bool read_trailer(struct rvt_capture *capture, const unsigned char *bytes) {
    if (load_32(capture, bytes) != capture->block_length)
        return fail(capture, RVT_CAPTURE_BLOCK_LENGTH);
    capture->stage = BLOCK;
    return true;
}

/* Skips the rest of a block in front of its second length. Returns false if some of it has not arrived yet. */
static bool skip_rest(struct rvt_capture *capture) {
    const size_t now = capture->left < capture->block_left ? capture->left : capture->block_left;
    if (now) {
        capture->input += now;
        capture->left -= now;
        capture->position += now;
        capture->block_left -= (uint32_t)now;
    }
    if (capture->block_left == 0)
        capture->stage = TRAILER;
    return capture->block_left == 0;
}

/* --- both --- */

/* Returns how many bytes the present stage reads at once. */
static size_t wanted_bytes(const struct rvt_capture *capture) {
    switch ((enum stage)capture->stage) {
    case MAGIC:
    case FIRST_LENGTH:
    case SIMPLE_PACKET:
    case TRAILER:
        return 4;
    case BLOCK:
        return 8;
    case PCAP_RECORD:
    case SECTION:
        return 16;
    case PCAP_HEADER:
    case ENHANCED_PACKET:
    case OBSOLETE_PACKET:
        return 20;
    case INTERFACE:
        return capture->block_left;
    case PCAP_PACKET:
    case BLOCK_PACKET:
        return capture->next.captured;
    case SKIP:
        break;
    }
    return 0;
}

/* Reads what the present stage wants, and goes on to the next stage. Returns false on failure. */
static bool read_stage(struct rvt_capture *capture, const unsigned char *bytes) {
    switch ((enum stage)capture->stage) {
    case MAGIC:
        return read_magic(capture, bytes);
    case PCAP_HEADER:
        return read_pcap_header(capture, bytes);
    case PCAP_RECORD:
        return read_pcap_record(capture, bytes);
    case PCAP_PACKET:
        capture->stage = PCAP_RECORD;
        return true;
    case BLOCK:
        return read_block(capture, bytes);
    case FIRST_LENGTH:
        memcpy(capture->first_length, bytes, 4);
        capture->stage = SECTION;
        return true;
    case SECTION:
        return read_section(capture, bytes);
    case INTERFACE:
        return read_interface(capture, bytes);
    case ENHANCED_PACKET:
    case OBSOLETE_PACKET:
        return read_packet_head(capture, bytes);
    case SIMPLE_PACKET:
        return read_simple_head(capture, bytes);
    case BLOCK_PACKET:
        capture->block_left -= capture->next.captured;
        capture->stage = SKIP;
        return true;
    case TRAILER:
        return read_trailer(capture, bytes);
    case SKIP:
        break;
    }
    return true;
}

bool rvt_capture_next(struct rvt_capture *capture, struct rvt_captured_packet *packet) {
    while (capture->status == RVT_CAPTURE_OK) {
        if (capture->stage == SKIP) {
            if (!skip_rest(capture))
                return false;
            continue;
        }
        if ((capture->stage == PCAP_RECORD || capture->stage == BLOCK) && capture->carried == 0)
            capture->unit_at = capture->position;
        const bool is_packet = capture->stage == PCAP_PACKET || capture->stage == BLOCK_PACKET;
        const bool carried = capture->carried != 0;
        const unsigned char *bytes = take(capture, wanted_bytes(capture));
        if (!bytes)
            return false;
        if (!read_stage(capture, bytes))
            return false;
        if (is_packet) {
            *packet = capture->next;
            packet->bytes = bytes;
            packet->carried = carried;
            packet->number = ++capture->packets;
            return true;
        }
    }
    return false;
}

enum rvt_capture_status rvt_capture_end(struct rvt_capture *capture) {
    if (capture->status != RVT_CAPTURE_OK)
        return capture->status;
    if (capture->stage == MAGIC)
        capture->status = capture->carried ? RVT_CAPTURE_NOT_A_CAPTURE : RVT_CAPTURE_EMPTY;
    else if ((capture->stage != PCAP_RECORD && capture->stage != BLOCK) || capture->carried)
        capture->status = RVT_CAPTURE_TRUNCATED;
    return capture->status;
}
