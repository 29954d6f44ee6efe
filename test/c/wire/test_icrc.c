/* SPDX-License-Identifier: BSD-3-Clause */
/* The ICRC against its definition, and the IP identification solved out of it. test_captures.c compares it with what
 * Linux sent. */
#include "wire/icrc.h"

#include "packets.h"

static uint32_t icrc_of(const struct packet *p) {
    const unsigned char *body = p->bytes + p->bth_at + 12;
    return rvt_icrc(p->bytes + p->ip_at, p->udp_at - p->ip_at, body,
                    (size_t)(p->bytes + p->length - 4 - body));
}

static void make_ipv6_send(struct packet *p, size_t extension, size_t payload) {
    memset(p, 0, sizeof(*p));
    put_ipv6(p, extension ? 60 : 17);
    for (size_t i = 0; i < extension; i++)
        put_8(p, i == 0 ? 17 : i == 1 ? (unsigned)extension / 8 - 1 : 0);
    put_udp(p);
    put_bth(p, 0x04, 0);
    put_payload(p, payload);
    finish_packet(p);
}

static void all_lengths_agree_with_the_definition(void) {
    struct packet p;
    for (size_t payload = 0; payload <= 4096; payload += payload < 200 ? 1 : 97) {
        make_send(&p, payload);
        CHECK_EQ(icrc_of(&p), slow_icrc(&p, p.length - 4));
    }
    for (size_t payload = 0; payload <= 4096; payload += 4 + payload) {
        make_ipv6_send(&p, 0, payload);
        CHECK_EQ(icrc_of(&p), slow_icrc(&p, p.length - 4));
        make_ipv6_send(&p, 16, payload);
        CHECK_EQ(icrc_of(&p), slow_icrc(&p, p.length - 4));
    }
}

static void options_count_as_they_are(void) {
    struct packet p;
    for (size_t options = 0; options <= 40; options += 4) {
        memset(&p, 0, sizeof(p));
        put_ipv4(&p, options);
        put_udp(&p);
        put_bth(&p, 0x04, 0);
        put_payload(&p, 64);
        finish_packet(&p);
        CHECK_EQ(icrc_of(&p), slow_icrc(&p, p.length - 4));
    }
}

/* Which of these bits of the packet do not count, by the definition. */
static bool is_masked(const struct packet *p, size_t at, unsigned bit) {
    const size_t ip = at - p->ip_at;
    if (p->bytes[p->ip_at] >> 4 == 4) {
        if (ip == 1 || ip == 8 || ip == 10 || ip == 11)
            return true;
    } else if (ip == 1 || ip == 2 || ip == 3 || ip == 7 || (ip == 0 && bit < 4)) {
        return true;
    }
    return at == p->udp_at + 6 || at == p->udp_at + 7 || at == p->bth_at + 4;
}

static void check_every_bit(struct packet *p) {
    const uint32_t icrc = icrc_of(p);
    for (size_t at = p->ip_at; at < p->length - 4; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            if (at == p->ip_at && bit >= 4)
                continue; /* the version says which header it is */
            p->bytes[at] ^= (unsigned char)(1 << bit);
            CHECK_EQ(icrc_of(p) == icrc, is_masked(p, at, bit));
            p->bytes[at] ^= (unsigned char)(1 << bit);
        }
    }
}

static void every_bit_counts_but_those_that_routers_change(void) {
    struct packet p;
    make_send(&p, 20);
    check_every_bit(&p);
    make_ipv6_send(&p, 0, 20);
    check_every_bit(&p);
}

static void every_identification_is_solved(void) {
    struct packet p;
    make_send(&p, 100);
    const uint32_t behind = (uint32_t)(p.length - 4 - p.ip_at - 6);
    for (unsigned id = 0; id < 0x10000; id++) {
        set_16(&p, p.ip_at + 4, id);
        const uint32_t found = icrc_of(&p);
        const uint16_t assumed = (uint16_t)(id * 31 + 7);
        set_16(&p, p.ip_at + 4, assumed);
        uint16_t solved = 0;
        REQUIRE(rvt_icrc_solve_ip_id(icrc_of(&p), found, behind, assumed, &solved));
        REQUIRE(solved == id);
    }
}

static void identifications_are_solved_at_all_lengths(void) {
    struct packet p;
    for (size_t payload = 0; payload <= 4096; payload += 4) {
        make_send(&p, payload);
        const uint32_t found = icrc_of(&p);
        set_16(&p, p.ip_at + 4, 0);
        uint16_t solved = 0;
        REQUIRE(rvt_icrc_solve_ip_id(icrc_of(&p), found, (uint32_t)(p.length - 4 - p.ip_at - 6), 0, &solved));
        REQUIRE(solved == 0x1234);
    }
}

static void other_damage_is_not_explained_by_an_identification(void) {
    struct packet p;
    make_send(&p, 100);
    const uint32_t good = icrc_of(&p), behind = (uint32_t)(p.length - 4 - p.ip_at - 6);
    int solved_bits = 0;
    for (size_t at = p.bth_at + 12; at < p.length - 4; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint16_t solved;
            p.bytes[at] ^= (unsigned char)(1 << bit);
            solved_bits += rvt_icrc_solve_ip_id(icrc_of(&p), good, behind, 0x1234, &solved);
            p.bytes[at] ^= (unsigned char)(1 << bit);
        }
    }
    CHECK_EQ(solved_bits, 0);
    /* Of random errors, one in 65,536 is. */
    uint64_t seed = 1;
    for (int i = 0; i < 100000; i++) {
        uint16_t solved;
        solved_bits += rvt_icrc_solve_ip_id(next_random(&seed), good, behind, 0x1234, &solved);
    }
    CHECK(solved_bits < 20);
}

CHECK_MAIN(TEST(all_lengths_agree_with_the_definition), TEST(options_count_as_they_are),
           TEST(every_bit_counts_but_those_that_routers_change), TEST(every_identification_is_solved),
           TEST(identifications_are_solved_at_all_lengths),
           TEST(other_damage_is_not_explained_by_an_identification))
