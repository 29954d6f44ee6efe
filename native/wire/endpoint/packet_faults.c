/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/endpoint/packet_faults.h"

#include <string.h>

#include "core/base/alloc.h"

static bool any_possible(const struct rvt_faults *faults) {
    static const enum rvt_fault_kind kinds[] = {RVT_FAULT_LOST, RVT_FAULT_LATE, RVT_FAULT_DOUBLED,
                                                RVT_FAULT_REORDERED};
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (rvt_faults_of(faults, kinds[i]))
            return true;
    return false;
}

int rvt_make_packet_faults(struct rvt_faults *faults, struct rvt_packet_faults **made) {
    *made = NULL;
    if (!any_possible(faults))
        return 0;
    *made = rvt_zalloc(1, sizeof(**made));
    if (!*made)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    (*made)->faults = faults;
    return 0;
}

static void drop_all(struct rvt_held_packets *held) {
    for (struct rvt_held_packet *packet; (packet = held->first);) {
        held->first = packet->next;
        rvt_free(packet);
    }
    held->count = 0;
}

void rvt_free_packet_faults(struct rvt_packet_faults *faults) {
    if (!faults)
        return;
    drop_all(&faults->out);
    drop_all(&faults->in);
    rvt_free(faults);
}

/* Puts the packet behind those that are due at the same time or before. */
static void insert(struct rvt_held_packets *held, struct rvt_held_packet *packet) {
    struct rvt_held_packet **at = &held->first;
    while (*at && (*at)->due <= packet->due)
        at = &(*at)->next;
    packet->next = *at;
    *at = packet;
    held->count++;
}

/* Keeps a copy of the packet until `due`. Out of memory, the packet is lost: that can happen to packets. */
static void hold(struct rvt_held_packets *held, const struct rvt_held_packet *head,
                 const unsigned char *bytes, uint64_t due, bool behind) {
    struct rvt_held_packet *packet = rvt_malloc(sizeof(*packet) + head->length);
    if (!packet)
        return;
    *packet = *head;
    packet->due = due;
    packet->behind = behind;
    memcpy(packet->bytes, bytes, head->length);
    insert(held, packet);
}

/* A packet goes on: those that it was to overtake are due. */
static void let_others_follow(struct rvt_held_packets *held, uint64_t now) {
    struct rvt_held_packet *behind = NULL, **last = &behind;
    for (struct rvt_held_packet **at = &held->first; *at;) {
        struct rvt_held_packet *packet = *at;
        if (!packet->behind) {
            at = &packet->next;
            continue;
        }
        *at = packet->next;
        held->count--;
        packet->next = NULL;
        *last = packet;
        last = &packet->next;
    }
    while (behind) {
        struct rvt_held_packet *packet = behind;
        behind = packet->next;
        packet->behind = false;
        packet->due = now;
        insert(held, packet);
    }
}

/* Asks for a fault of this kind, if it is made of packets of this direction. */
static bool asks(const struct rvt_packet_faults *faults, enum rvt_fault_kind kind,
                 enum rvt_fault_direction direction) {
    return faults->faults->options.rules[kind].directions & direction && rvt_ask_fault(faults->faults, kind);
}

/* Returns whether the packet goes on now. `head`: what is known of it besides its bytes. */
static bool passes(struct rvt_packet_faults *faults, enum rvt_fault_direction direction,
                   struct rvt_held_packets *held, const struct rvt_held_packet *head,
                   const unsigned char *bytes, uint64_t now) {
    /* Each kind is asked about each packet, so that the faults of one kind do not shift those of another. */
    const bool lost = asks(faults, RVT_FAULT_LOST, direction), late = asks(faults, RVT_FAULT_LATE, direction),
               doubled = asks(faults, RVT_FAULT_DOUBLED, direction),
               reordered = asks(faults, RVT_FAULT_REORDERED, direction);
    if (lost) {
        rvt_note_fault(faults->faults, RVT_FAULT_LOST);
        return false;
    }
    if (held->count + 2 > RVT_MOST_HELD_PACKETS) {
        let_others_follow(held, now);
        return true;
    }
    bool goes = true;
    if (late) {
        rvt_note_fault(faults->faults, RVT_FAULT_LATE);
        hold(held, head, bytes, now + faults->faults->options.rules[RVT_FAULT_LATE].value, false);
        goes = false;
    } else if (reordered) {
        rvt_note_fault(faults->faults, RVT_FAULT_REORDERED);
        hold(held, head, bytes, now + RVT_REORDERED_USEC, true);
        goes = false;
    } else {
        let_others_follow(held, now);
    }
    if (doubled) {
        rvt_note_fault(faults->faults, RVT_FAULT_DOUBLED);
        hold(held, head, bytes, now, false);
    }
    return goes;
}

bool rvt_packet_goes_out(struct rvt_packet_faults *faults, const struct rvt_outgoing *packet, uint64_t now) {
    const struct rvt_held_packet head = {.peer = packet->to, .length = packet->length};
    return passes(faults, RVT_FAULT_TO_OUT, &faults->out, &head, packet->bytes, now);
}

bool rvt_packet_comes_in(struct rvt_packet_faults *faults, const struct rvt_datagram *packet, uint64_t now) {
    const struct rvt_held_packet head = {
        .peer = packet->from,
        .length = packet->length,
        .has_ip_id = packet->has_ip_id,
        .ip_id = packet->ip_id,
    };
    return passes(faults, RVT_FAULT_TO_IN, &faults->in, &head, packet->bytes, now);
}

struct rvt_held_packet *rvt_take_held_packet(struct rvt_held_packets *held, uint64_t now) {
    struct rvt_held_packet *first = held->first;
    if (!first || first->due > now)
        return NULL;
    held->first = first->next;
    held->count--;
    return first;
}

uint64_t rvt_packet_faults_due(const struct rvt_packet_faults *faults) {
    const uint64_t out = faults->out.first ? faults->out.first->due : UINT64_MAX;
    const uint64_t in = faults->in.first ? faults->in.first->due : UINT64_MAX;
    return out < in ? out : in;
}
