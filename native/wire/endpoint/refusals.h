/* SPDX-License-Identifier: BSD-3-Clause */
/* How often each source address was refused of late. A peer that guesses keys loses its connection with each wrong
 * guess; this limits how often it gets a new one. Of a fixed size: an attacker with many addresses pushes out the
 * oldest entries, and gets no memory. */
#ifndef RVT_WIRE_REFUSALS_H
#define RVT_WIRE_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

enum { RVT_REFUSAL_SOURCES = 64 };

struct rvt_refusals {
    struct {
        uint8_t address[16];
        uint64_t since; /* microseconds: when the minute began */
        uint32_t count; /* 0: the entry is free */
    } sources[RVT_REFUSAL_SOURCES];
};

/* Counts a refusal of this address. */
void rvt_count_refusal(struct rvt_refusals *refusals, const uint8_t address[16], uint64_t now);

/* Returns how many refusals the address had in its present minute. */
uint32_t rvt_refusals_of(const struct rvt_refusals *refusals, const uint8_t address[16], uint64_t now);

#endif
