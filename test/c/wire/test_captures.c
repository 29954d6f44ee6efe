/* SPDX-License-Identifier: BSD-3-Clause */
/* The codec against what Linux's soft-RoCE and another implementation sent: all captures of test/wire/captures, which
 * the test finds from the root of the repository. */
#include <dirent.h>

#include "packets.h"
#include "wire/capture.h"
#include "wire/frame.h"

enum { MOST_FILES = 200, MOST_BYTES = 1 << 17 };

struct capture_file {
    char name[300];
    unsigned char *bytes;
    size_t length;
};

static struct capture_file files[MOST_FILES];
static size_t file_count;
static unsigned char carry[RVT_CAPTURE_MAX_PACKET];

static void read_file(const char *name) {
    struct capture_file *file = &files[file_count++];
    FILE *stream = fopen(name, "rb");
    if (!stream || file_count == MOST_FILES)
        abort();
    file->bytes = malloc(MOST_BYTES);
    if (!file->bytes)
        abort();
    snprintf(file->name, sizeof(file->name), "%s", name);
    file->length = fread(file->bytes, 1, MOST_BYTES, stream);
    if (file->length == MOST_BYTES)
        abort();
    fclose(stream);
}

/* Reads all files once. */
static void read_files(void) {
    static const char *const folders[] = {
        "test/wire/captures",
        "test/wire/captures/rxe-rxe",
        "test/wire/captures/rxe-endpoint",
        "test/wire/captures/programs",
    };
    if (file_count)
        return;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        DIR *folder = opendir(folders[i]);
        if (!folder)
            abort();
        for (const struct dirent *entry; (entry = readdir(folder));) {
            const size_t length = strlen(entry->d_name);
            char name[300];
            if (length < 5 || strcmp(entry->d_name + length - 5, ".pcap") != 0)
                continue;
            snprintf(name, sizeof(name), "%s/%.200s", folders[i], entry->d_name);
            read_file(name);
        }
        closedir(folder);
    }
}

/* Calls `visit` for each packet of each file. */
static void for_each_packet(void (*visit)(const struct capture_file *, const struct rvt_captured_packet *)) {
    static struct rvt_capture capture;
    read_files();
    for (size_t i = 0; i < file_count; i++) {
        struct rvt_captured_packet packet;
        rvt_capture_start(&capture, carry);
        rvt_capture_give(&capture, files[i].bytes, files[i].length);
        while (rvt_capture_next(&capture, &packet))
            visit(&files[i], &packet);
        CHECK_EQ(rvt_capture_end(&capture), RVT_CAPTURE_OK);
        CHECK_EQ(capture.position, files[i].length);
    }
}

static size_t packets, roce, bad_icrc, bad_udp_checksum, with_pad, over_ipv6;

static bool is_named(const struct capture_file *file, const char *part) {
    return strstr(file->name, part) != NULL;
}

/* Decodes a frame, encodes it again from the decoded fields and the payload, and compares all bytes. */
static void encode_again(const struct capture_file *file, const struct rvt_captured_packet *packet) {
    struct rvt_frame frame;
    packets++;
    CHECK_EQ(packet->captured, packet->original);
    if (rvt_decode_frame(packet->link_type, packet->bytes, packet->captured, packet->original, &frame) !=
        RVT_FRAME_ROCE)
        return;
    roce++;
    if (is_named(file, "udp-socket-variants")) {
        /* Not RoCE: text to its port. */
        CHECK(frame.fault != RVT_WIRE_FAULT_NONE);
        CHECK_EQ(frame.icrc_verdict == RVT_ICRC_GOOD, false);
        return;
    }
    CHECK_EQ(frame.fault, RVT_WIRE_FAULT_NONE);
    CHECK(!frame.bad_ip_checksum && !frame.cut && !frame.trailer && !frame.ip_options);
    CHECK_EQ(frame.icrc_verdict, is_named(file, "wrong-icrc") ? RVT_ICRC_BAD : RVT_ICRC_GOOD);
    bad_icrc += frame.icrc_verdict != RVT_ICRC_GOOD;
    bad_udp_checksum += frame.bad_udp_checksum;
    with_pad += frame.transport.pad != 0;
    over_ipv6 += frame.ipv6;

    unsigned char again[8192];
    const struct rvt_transport *transport = &frame.transport;
    uint32_t at = rvt_encode_frame(&frame, transport->payload_length, again);
    CHECK_EQ(at, frame.payload_at);
    memcpy(again + at, packet->bytes + frame.payload_at, transport->payload_length);
    at += transport->payload_length;
    memset(again + at, 0, transport->pad); /* all senders pad with zeros */
    at += transport->pad + 4;
    rvt_seal_frame(&frame, again, at);
    if (frame.icrc_verdict == RVT_ICRC_BAD) /* the one that was damaged on purpose */
        memcpy(again + at - 4, packet->bytes + at - 4, 4);
    CHECK_EQ(at, packet->captured);
    if (!frame.bad_udp_checksum && frame.udp_checksum)
        CHECK_EQ(rvt_frame_udp_checksum(&frame, again, at), frame.udp_checksum);
    CHECK_BYTES_EQ(again, packet->bytes, packet->captured);
}

static void every_packet_is_decoded_and_encoded_again(void) {
    for_each_packet(encode_again);
    printf("# %zu files, %zu packets, %zu of them RoCEv2, %zu over IPv6, %zu with pad bytes\n", file_count,
           packets, roce, over_ipv6, with_pad);
    CHECK_EQ(file_count, 82);
    CHECK_EQ(packets, 2926 + 30); /* README.txt has the numbers of each file; 30 are in udp-socket-variants */
    CHECK_EQ(roce, 2901 + 30);
    CHECK_EQ(over_ipv6, 18);
    CHECK(with_pad >= 10);
    /* Those that were damaged on purpose, see README.txt. */
    CHECK_EQ(bad_icrc, 3);
    CHECK_EQ(bad_udp_checksum, 3);
}

static size_t solved, with_id;

/* Forgets the identification, as a socket does, and solves it. */
static void solve_id(const struct capture_file *file, const struct rvt_captured_packet *packet) {
    struct rvt_frame frame;
    static unsigned char bytes[MOST_BYTES];
    if (is_named(file, "udp-socket-variants") || is_named(file, "wrong-icrc"))
        return;
    if (rvt_decode_frame(packet->link_type, packet->bytes, packet->captured, packet->original, &frame) !=
            RVT_FRAME_ROCE ||
        frame.ipv6)
        return;
    const uint16_t id = frame.id, forgotten = (uint16_t)(id ^ 0x5a5a);
    memcpy(bytes, packet->bytes, packet->captured);
    bytes[frame.ip_at + 4] = (unsigned char)(forgotten >> 8);
    bytes[frame.ip_at + 5] = (unsigned char)forgotten;
    rvt_decode_frame(packet->link_type, bytes, packet->captured, packet->original, &frame);
    CHECK_EQ(frame.icrc_verdict, RVT_ICRC_OTHER_ID);
    CHECK_EQ(frame.icrc_ip_id, id);
    solved += frame.icrc_ip_id == id;
    with_id += id != 0;
}

static void every_identification_is_solved_out_of_the_icrc(void) {
    for_each_packet(solve_id);
    printf("# solved %zu identifications, %zu of them not 0\n", solved, with_id);
    CHECK_EQ(solved, 2901 - 18 - 3); /* without IPv6, and those that were damaged on purpose */
    CHECK_EQ(with_id, 1543);
}

/* Decodes each beginning of a frame, from a block of its own size: AddressSanitizer and valgrind see each read behind
 * it. */
static void decode_beginnings(const struct capture_file *file, const struct rvt_captured_packet *packet) {
    (void)file;
    for (uint32_t captured = 0; captured <= packet->captured;
         captured += captured < 150 || packet->captured - captured < 8 ? 1 : 7) {
        struct rvt_frame frame;
        unsigned char *bytes = copy_exactly(packet->bytes, captured);
        const enum rvt_frame_kind kind =
            rvt_decode_frame(packet->link_type, bytes, captured, packet->original, &frame);
        if (kind == RVT_FRAME_ROCE && frame.payload_there)
            CHECK(frame.payload_at + frame.payload_there <= captured);
        /* The whole frame ends there. */
        rvt_decode_frame(packet->link_type, bytes, captured, captured, &frame);
        free(bytes);
    }
}

static void no_truncated_packet_reads_outside(void) {
    for_each_packet(decode_beginnings);
    CHECK(file_count > 0);
}

static void decode_altered(const struct capture_file *file, const struct rvt_captured_packet *packet) {
    static uint64_t seed = 1;
    (void)file;
    unsigned char *bytes = copy_exactly(packet->bytes, packet->captured);
    const uint32_t headers = packet->captured < 120 ? packet->captured : 120;
    for (int i = 0; i < 40; i++) {
        struct rvt_frame frame;
        const uint32_t at = next_random(&seed) % headers;
        const unsigned char before = bytes[at];
        bytes[at] = (unsigned char)next_random(&seed);
        if (rvt_decode_frame(packet->link_type, bytes, packet->captured, packet->original, &frame) ==
                RVT_FRAME_ROCE &&
            frame.payload_there)
            CHECK(frame.payload_at + frame.payload_there <= packet->captured);
        if (i % 4) /* some changes stay */
            bytes[at] = before;
    }
    free(bytes);
}

static void no_altered_packet_reads_outside(void) {
    for_each_packet(decode_altered);
    CHECK(file_count > 0);
}

CHECK_MAIN(TEST(every_packet_is_decoded_and_encoded_again),
           TEST(every_identification_is_solved_out_of_the_icrc), TEST(no_truncated_packet_reads_outside),
           TEST(no_altered_packet_reads_outside))
