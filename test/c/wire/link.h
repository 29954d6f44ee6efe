/* SPDX-License-Identifier: BSD-3-Clause */
/* A simulated link between two ends, in virtual time: packets are lost, doubled, delayed, reordered and damaged with
 * probabilities, by one seed. An end is an endpoint of the package (link_endpoint) or anything else that has the
 * functions of struct link_end.
 *
 * The link is a strict host: it calls rvt_endpoint_send() only after packets came in, after a tick, or after wake(),
 * and rvt_endpoint_tick() only after wake() or at the time that the last call returned. An endpoint that forgets to wake
 * its host stands still here. */
#ifndef RVT_TEST_LINK_H
#define RVT_TEST_LINK_H

#include <endian.h>

#include "core/base/alloc.h"
#include "fixture.h"
#include "packets.h"
#include "wire/endpoint/endpoint.h"
#include "wire/icrc.h"

enum {
    LINK_BATCH = 64,         /* packets of one call */
    LINK_MOST_FLYING = 4096, /* packets on the way; further ones are lost */
    LINK_PORT = RVT_ROCE_UDP_PORT,
};

/* A packet on the way: a UDP datagram with what belongs to its IP packet. */
struct link_packet {
    struct link_packet *next; /* in the order of arrival */
    uint64_t at;              /* microseconds: when it arrives */
    unsigned to;              /* the end that it goes to */
    bool damaged;
    bool tells_id; /* the receiver is told the IP identification */
    uint16_t id;
    struct rvt_wire_peer from;
    uint32_t length;
    unsigned char *bytes; /* in a block of their own, so that AddressSanitizer sees reads behind them */
};

/* How often something happens to a packet, in millionths, and how long packets take, in microseconds. */
struct link_faults {
    uint32_t loss, duplication, reordering, damage;
    uint32_t unknown_id;          /* the receiver is not told the IP identification */
    uint32_t delay, jitter, late; /* late: at most so much more for packets that are overtaken */
};

struct link;

struct link_end {
    void *data;
    struct rvt_wire_peer place;
    /* Writes up to `count` packets and returns how many; fewer only if there are no more now. Their `bytes` are
     * buffers of RVT_MOST_PACKET_BYTES bytes; it sets length, id and the ICRC. */
    uint32_t (*send)(void *data, struct link_packet *packets, uint32_t count, uint64_t now);
    void (*receive)(void *data, struct link_packet *const *packets, uint32_t count, uint64_t now);
    /* Acts on time and returns when it must be called again. */
    uint64_t (*tick)(void *data, uint64_t now);
};

struct link {
    struct link_end ends[2];
    struct link_faults faults;
    uint64_t now, seed;
    struct link_packet *first, *last;
    uint32_t flying;
    bool cut;   /* every packet is lost */
    bool trace; /* print every packet */
    uint64_t deadlines[2];
    /* What happened. */
    uint64_t sent, lost, doubled, late, damaged, delivered;
    uint64_t lucky; /* damage that fits another IP identification, and was made worse */
    /* NULL, or called with each packet that an end sends, before anything happens to it. */
    void (*watch)(void *watcher, unsigned from, const struct link_packet *packet);
    void *watcher;
};

/* --- the ICRC by its definition --- */

static inline bool link_is_ipv6(const struct rvt_wire_peer *place) {
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(place->address, mapped, sizeof(mapped)) != 0;
}

/* slow_crc() of each byte, so that long packets cost less. */
static inline uint32_t byte_crc(uint32_t crc, const unsigned char *bytes, size_t length) {
    static uint32_t table[256];
    if (!table[1])
        for (unsigned i = 0; i < 256; i++)
            table[i] = slow_crc(0, &(const unsigned char){(unsigned char)i}, 1);
    for (size_t i = 0; i < length; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
    return crc;
}

/* Returns the ICRC of a UDP datagram of RoCEv2 (annex A17): the headers with ones in all fields that change on the
 * way, behind 8 bytes of ones. `length`: of the UDP payload, with the ICRC. */
static inline uint32_t datagram_icrc(const struct rvt_wire_peer *from, const struct rvt_wire_peer *to,
                                     uint16_t id, const unsigned char *bytes, uint32_t length) {
    struct packet p;
    p.length = 0;
    put_64(&p, UINT64_MAX);
    if (link_is_ipv6(to)) {
        put_32(&p, 0x6fffffff);
        put_16(&p, 8 + length);
        put_16(&p, 0x11ff);
        put(&p, from->address, 16);
        put(&p, to->address, 16);
    } else {
        put_16(&p, 0x45ff);
        put_16(&p, 28 + length);
        put_16(&p, id);
        put_16(&p, 0x4000);
        put_16(&p, 0xff11);
        put_16(&p, 0xffff);
        put(&p, from->address + 12, 4);
        put(&p, to->address + 12, 4);
    }
    put_16(&p, from->port);
    put_16(&p, to->port);
    put_16(&p, 8 + length);
    put_16(&p, 0xffff);
    put(&p, bytes, 12);
    p.bytes[p.length - 8] = 0xff;
    const uint32_t crc = byte_crc(UINT32_MAX, p.bytes, p.length);
    return ~byte_crc(crc, bytes + 12, length - 4 - 12);
}

static inline bool link_happens(struct link *l, uint32_t millionths) {
    return millionths && roll(&l->seed, 1000000) < millionths;
}

static inline void link_print(const struct link *l, const char *what, unsigned to,
                              const struct link_packet *p) {
    if (!l->trace)
        return;
    const unsigned char *b = p->bytes;
    printf("# %8" PRIu64 " %s %c opcode 0x%02x psn %02x%02x%02x length %" PRIu32 "%s", l->now, what,
           to ? '>' : '<', b[0], b[9], b[10], b[11], p->length, b[8] & 0x80 ? " ack" : "");
    if (b[0] == 0x11)
        printf(" syndrome 0x%02x", b[12]);
    printf("\n");
}

/* Puts a copy of the packet on the way. */
static inline struct link_packet *link_put(struct link *l, const struct link_packet *packet, uint64_t at) {
    if (l->flying == LINK_MOST_FLYING)
        return NULL;
    struct link_packet *copy = malloc(sizeof(*copy)), **before = &l->first;
    if (!copy)
        abort();
    *copy = *packet;
    copy->bytes = copy_exactly(packet->bytes, packet->length);
    copy->at = at;
    if (l->last && l->last->at <= at)
        before = &l->last->next;
    else
        while (*before && (*before)->at <= at)
            before = &(*before)->next;
    copy->next = *before;
    *before = copy;
    if (!copy->next)
        l->last = copy;
    l->flying++;
    return copy;
}

/* Flips bits. The ICRC finds all of them, except with a probability of 2^-16 if the IP identification is not known:
 * then more bits are flipped. The byte of the BTH with FECN and BECN is spared: no ICRC covers it. */
static inline void link_damage(struct link *l, struct link_packet *packet) {
    const uint32_t covered = packet->length - RVT_ICRC_BYTES;
    const struct rvt_wire_peer *to = &l->ends[packet->to].place;
    packet->damaged = true;
    for (;;) {
        for (uint64_t bits = 1 + roll(&l->seed, 12); bits; bits--) {
            const uint64_t at = roll(&l->seed, packet->length);
            if (at != 4)
                packet->bytes[at] ^= (unsigned char)(1u << roll(&l->seed, 8));
        }
        uint32_t found;
        uint16_t solved;
        memcpy(&found, packet->bytes + covered, sizeof(found));
        const uint32_t computed = datagram_icrc(&packet->from, to, packet->id, packet->bytes, packet->length);
        if (computed == le32toh(found)) /* bits were flipped twice */
            continue;
        if (packet->tells_id || link_is_ipv6(to) ||
            !rvt_icrc_solve_ip_id(computed, le32toh(found), RVT_IPV4_BYTES - 6 + RVT_UDP_BYTES + covered,
                                  packet->id, &solved))
            return;
        l->lucky++;
    }
}

static inline void link_send(struct link *l, unsigned from, struct link_packet *packet) {
    const struct link_faults *f = &l->faults;
    packet->to = !from;
    packet->from = l->ends[from].place;
    packet->damaged = false;
    l->sent++;
    if (l->watch)
        l->watch(l->watcher, from, packet);
    if (l->cut || link_happens(l, f->loss)) {
        link_print(l, "lost", packet->to, packet);
        l->lost++;
        return;
    }
    link_print(l, "sent", packet->to, packet);
    for (int copies = link_happens(l, f->duplication) ? 2 : 1; copies; copies--) {
        uint64_t at = l->now + f->delay + (f->jitter ? roll(&l->seed, f->jitter) : 0);
        if (link_happens(l, f->reordering)) {
            at += roll(&l->seed, f->late + 1);
            l->late++;
        }
        l->doubled += copies == 2;
        packet->tells_id = !link_happens(l, f->unknown_id);
        struct link_packet *flying = link_put(l, packet, at);
        if (flying && link_happens(l, f->damage)) {
            link_damage(l, flying);
            l->damaged++;
        }
    }
}

/* --- running --- */

/* Lets both ends send what they have. Returns how many packets they sent. */
static inline uint32_t link_collect(struct link *l) {
    uint32_t all = 0;
    static unsigned char buffers[LINK_BATCH][RVT_MOST_PACKET_BYTES];
    for (unsigned e = 0; e < 2; e++) {
        struct link_packet packets[LINK_BATCH];
        const uint32_t batch = 1 + (uint32_t)roll(&l->seed, LINK_BATCH);
        uint32_t count;
        do {
            for (uint32_t i = 0; i < batch; i++)
                packets[i] = (struct link_packet){.bytes = buffers[i], .id = (uint16_t)dice(&l->seed)};
            count = l->ends[e].send(l->ends[e].data, packets, batch, l->now);
            CHECK(count <= batch);
            for (uint32_t i = 0; i < count; i++)
                link_send(l, e, &packets[i]);
            all += count;
        } while (count == batch);
    }
    return all;
}

static inline void link_free(struct link_packet *packet) {
    free(packet->bytes);
    free(packet);
}

/* Hands over the packets that have arrived, in batches for one end. */
static inline void link_deliver(struct link *l) {
    while (l->first && l->first->at <= l->now) {
        struct link_packet *batch[LINK_BATCH];
        const unsigned to = l->first->to;
        uint32_t count = 0;
        while (l->first && l->first->at <= l->now && l->first->to == to && count < LINK_BATCH) {
            batch[count++] = l->first;
            link_print(l, "  at", to, l->first);
            l->first = l->first->next;
        }
        if (!l->first)
            l->last = NULL;
        l->flying -= count;
        l->delivered += count;
        l->ends[to].receive(l->ends[to].data, batch, count, l->now);
        for (uint32_t i = 0; i < count; i++)
            link_free(batch[i]);
    }
}

/* Goes on to the next time at which something happens, but not beyond `until`. Returns false if nothing will happen
 * before. */
static inline bool link_step(struct link *l, uint64_t until) {
    do {
        for (unsigned e = 0; e < 2; e++)
            l->deadlines[e] = l->ends[e].tick(l->ends[e].data, l->now);
    } while (link_collect(l)); /* sending starts timers */
    uint64_t next = l->first ? l->first->at : UINT64_MAX;
    for (unsigned e = 0; e < 2; e++)
        next = l->deadlines[e] < next ? l->deadlines[e] : next;
    if (next > until) {
        l->now = until == UINT64_MAX || until < l->now ? l->now : until;
        return false;
    }
    l->now = next > l->now ? next : l->now;
    link_deliver(l);
    return true;
}

static inline void link_end_all(struct link *l) {
    while (l->first) {
        struct link_packet *packet = l->first;
        l->first = packet->next;
        link_free(packet);
    }
    l->last = NULL;
    l->flying = 0;
}

/* --- an endpoint of the package as an end --- */

struct link_endpoint {
    struct rvt_endpoint *endpoint;
    struct rvt_wire_peer other;
    bool woken, may_send;
    uint64_t deadline; /* that rvt_endpoint_tick() returned */
    uint32_t refusals;
    struct rvt_wire_refusal refusal; /* the last one */
};

static inline void link_wake(void *data) {
    struct link_endpoint *end = data;
    CHECK(!end->woken); /* the contract: once before each call of rvt_endpoint_send() */
    end->woken = true;
}

static inline void link_refused(void *data, const struct rvt_wire_refusal *refusal) {
    struct link_endpoint *end = data;
    end->refusals++;
    end->refusal = *refusal;
}

static inline uint32_t link_endpoint_send(void *data, struct link_packet *packets, uint32_t count,
                                          uint64_t now) {
    struct link_endpoint *end = data;
    struct rvt_outgoing outgoing[LINK_BATCH];
    if (!end->woken && !end->may_send)
        return 0;
    end->woken = false;
    for (uint32_t i = 0; i < count; i++)
        outgoing[i].bytes = packets[i].bytes;
    const uint32_t sent = rvt_endpoint_send(end->endpoint, outgoing, count, now);
    end->may_send = sent == count;
    if (sent)
        end->deadline = 0; /* a packet may have started a timer, without waking */
    for (uint32_t i = 0; i < sent; i++) {
        packets[i].length = outgoing[i].length;
        CHECK_BYTES_EQ(&outgoing[i].to, &end->other, sizeof(end->other));
        rvt_endpoint_seal(end->endpoint, &outgoing[i], packets[i].id);
    }
    return sent;
}

static inline void link_endpoint_receive(void *data, struct link_packet *const *packets, uint32_t count,
                                         uint64_t now) {
    struct link_endpoint *end = data;
    struct rvt_datagram datagrams[LINK_BATCH];
    for (uint32_t i = 0; i < count; i++)
        datagrams[i] = (struct rvt_datagram){
            .bytes = packets[i]->bytes,
            .length = packets[i]->length,
            .from = packets[i]->from,
            .has_ip_id = packets[i]->tells_id,
            .ip_id = packets[i]->tells_id ? packets[i]->id : 0,
        };
    rvt_endpoint_receive(end->endpoint, datagrams, count, now);
    end->may_send = true;
    end->deadline = 0; /* a packet may have set an earlier deadline, without waking */
}

static inline uint64_t link_endpoint_tick(void *data, uint64_t now) {
    struct link_endpoint *end = data;
    if (end->woken || end->deadline <= now) {
        end->deadline = rvt_endpoint_tick(end->endpoint, now);
        end->may_send = true;
    }
    return end->deadline;
}

static inline bool link_open_endpoint(struct link_endpoint *end, struct rvt_dev_info *device,
                                      const struct rvt_wire_peer *place, uint32_t refusals_a_minute) {
    const struct rvt_endpoint_options options = {
        .device = device,
        .port = place->port,
        .refusals_a_minute = refusals_a_minute,
        .host = {.wake = link_wake, .refused = link_refused, .data = end},
    };
    struct rvt_endpoint_options with_address = options;
    memset(end, 0, sizeof(*end));
    memcpy(with_address.address, place->address, sizeof(place->address));
    end->deadline = UINT64_MAX;
    return check_equal((uint64_t)rvt_endpoint_open(&with_address, &end->endpoint), 0, "opening an endpoint",
                       "0", __FILE__, __LINE__);
}

static inline struct link_end link_end_of(struct link_endpoint *end, const struct rvt_wire_peer *place) {
    return (struct link_end){end, *place, link_endpoint_send, link_endpoint_receive, link_endpoint_tick};
}

#endif
