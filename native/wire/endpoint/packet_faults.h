/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults that the endpoints of a device make of packets on purpose (core/base/faults.h): lost, late, doubled, reordered. To
 * the peer they look like those of a network. Protected by the engine lock. */
#ifndef RVT_WIRE_PACKET_FAULTS_H
#define RVT_WIRE_PACKET_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rvt.h"
#include "wire/address.h"
#include "wire/endpoint/endpoint.h"

enum {
    /* A reordered packet that no other one follows goes after so many microseconds. */
    RVT_REORDERED_USEC = 1000,
    /* Most packets that are held back in each direction; a further one is left as it is. */
    RVT_MOST_HELD_PACKETS = 4096,
};

struct rvt_held_packet {
    struct rvt_held_packet *next;
    uint64_t due;
    bool behind; /* due when the next packet has gone */
    struct rvt_wire_peer peer;
    bool has_ip_id; /* of one that came in */
    uint16_t ip_id;
    uint32_t length;
    unsigned char bytes[];
};

/* Packets that are held back, by the time when they are due. */
struct rvt_held_packets {
    struct rvt_held_packet *first;
    uint32_t count;
};

struct rvt_packet_faults {
    struct rvt_faults *faults;
    struct rvt_held_packets out, in;
};

/* Creates the faults of an endpoint. *made is NULL if the device makes none of packets. Returns 0 or -ENOMEM. */
int rvt_make_packet_faults(struct rvt_faults *faults, struct rvt_packet_faults **made);
void rvt_free_packet_faults(struct rvt_packet_faults *faults);

/* Decides what becomes of a packet that is about to be sent, or has come in. Returns whether it goes on now; otherwise it is
 * lost, or held back. */
bool rvt_packet_goes_out(struct rvt_packet_faults *faults, const struct rvt_outgoing *packet, uint64_t now);
bool rvt_packet_comes_in(struct rvt_packet_faults *faults, const struct rvt_datagram *packet, uint64_t now);

/* Takes the next packet of a direction that is due at `now`. Returns NULL if there is none. The caller must free it with
 * rvt_free(). */
struct rvt_held_packet *rvt_take_held_packet(struct rvt_held_packets *held, uint64_t now);

/* Returns when the next packet of either direction is due, or UINT64_MAX. */
uint64_t rvt_packet_faults_due(const struct rvt_packet_faults *faults);

#endif
