/* SPDX-License-Identifier: BSD-3-Clause */
/* The RoCEv2 packets of all captures of test/wire/captures, from the BTH to the ICRC. The test runs in the root of the
 * repository. */
#ifndef RVT_TEST_ROCE_PACKETS_H
#define RVT_TEST_ROCE_PACKETS_H

#include <dirent.h>

#include "packets.h"
#include "wire/capture.h"
#include "wire/frame.h"

struct roce_packet {
    uint32_t length;
    unsigned char *bytes;
};

static struct roce_packet roce_packets[4096];
static uint32_t roce_packet_count;

static inline void read_roce_packets_of(const char *name) {
    static struct rvt_capture capture;
    static unsigned char carry[RVT_CAPTURE_MAX_PACKET], bytes[1 << 17];
    struct rvt_captured_packet packet;
    FILE *stream = fopen(name, "rb");
    if (!stream)
        abort();
    const size_t length = fread(bytes, 1, sizeof(bytes), stream);
    fclose(stream);
    rvt_capture_start(&capture, carry);
    rvt_capture_give(&capture, bytes, length);
    while (rvt_capture_next(&capture, &packet)) {
        struct rvt_frame frame;
        if (rvt_decode_frame(packet.link_type, packet.bytes, packet.captured, packet.original, &frame) !=
                RVT_FRAME_ROCE ||
            frame.fault != RVT_WIRE_FAULT_NONE || roce_packet_count == 4096)
            continue;
        struct roce_packet *p = &roce_packets[roce_packet_count++];
        p->length = frame.ip_at + frame.ip_bytes - frame.transport_at;
        p->bytes = copy_exactly(packet.bytes + frame.transport_at, p->length);
    }
}

static inline void read_roce_packets(void) {
    static const char *const folders[] = {"test/wire/captures/rxe-rxe", "test/wire/captures/rxe-endpoint",
                                          "test/wire/captures/programs"};
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
            read_roce_packets_of(name);
        }
        closedir(folder);
    }
}

static inline void free_roce_packets(void) {
    while (roce_packet_count)
        free(roce_packets[--roce_packet_count].bytes);
}

#endif
