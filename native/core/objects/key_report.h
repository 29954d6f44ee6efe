/* SPDX-License-Identifier: BSD-3-Clause */
/* Reports what the key table and the regions know about one access, to explain why it was refused. Every
 * function takes the device lock and reports the current state, which may differ from the state at the
 * refusal. */
#ifndef RVT_KEY_REPORT_H
#define RVT_KEY_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h" /* rows: enum rvt_slot_row, enum rvt_asked_row, enum rvt_found_region */

struct rvt_dev_info;
struct rvt_pd;
struct rvt_ucontext;

/* The domain and the context on whose behalf a report is made. Only may_be_told (key_report.c) decides which
 * regions a report to them may show. */
struct rvt_asker {
    const struct rvt_pd *pd; /* the checked domain, or the queue pair's; live when this struct was filled */
    const struct rvt_ucontext *context; /* may be NULL */
    bool remote;
};

/* Fills a row of RVT_SLOT_FIELDS with the content of this key's slot: the region that owns it, under this
 * or another key, or the last key of an empty slot. Key 0 reports the published DMA region. Takes constant
 * time. */
void rvt_report_key(struct rvt_dev_info *device, const struct rvt_asker *asker, uint32_t key, uint64_t *row);

/* Fills the fields of enum rvt_asked_row from RVT_ASKED_PD to RVT_ASKED_DMA_LENGTH. */
void rvt_report_asker(struct rvt_dev_info *device, const struct rvt_asker *asker, uint64_t addr,
                      uint64_t *row);

/* Limits of a search: it visits at most RVT_SEARCH_MOST pool entries, and releases the lock after every
 * RVT_SEARCH_STEP of them. So it takes a few milliseconds at most. */
enum { RVT_SEARCH_MOST = 1 << 17, RVT_SEARCH_STEP = 1 << 10 };

/* Fills RVT_FOUND_KINDS rows of RVT_SLOT_FIELDS: for each kind, the first region that has all `length` bytes
 * at `addr`, or else the first one that has the byte at `addr`. RVT_SLOT_LIVE of a row is 0 if there is no
 * such region. Skips the region that `key` names. Returns whether every region was visited. */
bool rvt_search_regions(struct rvt_dev_info *device, const struct rvt_asker *asker, uint64_t addr,
                        uint32_t length, uint32_t key, uint64_t *rows);

#endif
