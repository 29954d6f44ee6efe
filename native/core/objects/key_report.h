/* SPDX-License-Identifier: BSD-3-Clause */
/* What the key table and the regions say about one access: for those who explain a refusal. Everything here
 * takes the device's lock and answers what is there now, which may have changed since the refusal. */
#ifndef RVT_KEY_REPORT_H
#define RVT_KEY_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h" /* rows: enum rvt_slot_row, enum rvt_asked_row, enum rvt_found_region */

struct rvt_dev_info;
struct rvt_pd;
struct rvt_ucontext;

/* In whose name is asked. What somebody may be told of others is decided by this alone (may_be_told). */
struct rvt_asker {
    const struct rvt_pd *pd;            /* the domain, or that of the queue pair; alive when this was made */
    const struct rvt_ucontext *context; /* may be NULL */
    bool remote;
};

/* Fill a row of RVT_SLOT_FIELDS: what the slot of this key holds, whether under this key or another one, or
 * what an empty slot last held. Key 0: the published DMA region. Takes time for one slot, however many regions
 * there are. */
void rvt_report_key(struct rvt_dev_info *device, const struct rvt_asker *asker, uint32_t key, uint64_t *row);

/* Fill the fields of enum rvt_asked_row from RVT_ASKED_PD to RVT_ASKED_DMA_LENGTH. */
void rvt_report_asker(struct rvt_dev_info *device, const struct rvt_asker *asker, uint64_t addr,
                      uint64_t *row);

/* A search looks at so many places for regions at most, and lets others have the lock after each part of
 * them: it takes some milliseconds at the worst. */
enum { RVT_SEARCH_MOST = 1 << 17, RVT_SEARCH_STEP = 1 << 10 };

/* Fill RVT_FOUND_KINDS rows of RVT_SLOT_FIELDS: the first region of each kind that has the byte at `addr`, or
 * better one that has all `length` bytes; RVT_SLOT_LIVE of a row is 0 if there is none. The region that answers
 * to `key` is left out. Returns whether every region was looked at. */
bool rvt_search_regions(struct rvt_dev_info *device, const struct rvt_asker *asker, uint64_t addr,
                        uint32_t length, uint32_t key, uint64_t *rows);

#endif
