/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire/endpoint/refusals.h"

#include <string.h>

static const uint64_t MINUTE = 60 * UINT64_C(1000000);

void rvt_count_refusal(struct rvt_refusals *refusals, const uint8_t address[16], uint64_t now) {
    uint32_t oldest = 0;
    for (uint32_t i = 0; i < RVT_REFUSAL_SOURCES; i++) {
        if (refusals->sources[i].count && !memcmp(refusals->sources[i].address, address, 16)) {
            if (now - refusals->sources[i].since >= MINUTE) {
                refusals->sources[i].since = now;
                refusals->sources[i].count = 0;
            }
            refusals->sources[i].count++;
            return;
        }
        if (!refusals->sources[i].count ||
            (refusals->sources[oldest].count && refusals->sources[i].since < refusals->sources[oldest].since))
            oldest = i;
    }
    memcpy(refusals->sources[oldest].address, address, 16);
    refusals->sources[oldest].since = now;
    refusals->sources[oldest].count = 1;
}

uint32_t rvt_refusals_of(const struct rvt_refusals *refusals, const uint8_t address[16], uint64_t now) {
    for (uint32_t i = 0; i < RVT_REFUSAL_SOURCES; i++)
        if (refusals->sources[i].count && !memcmp(refusals->sources[i].address, address, 16))
            return now - refusals->sources[i].since < MINUTE ? refusals->sources[i].count : 0;
    return 0;
}
