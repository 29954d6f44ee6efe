/* SPDX-License-Identifier: BSD-3-Clause */
/* Helpers shared by the loops over batches (batch.c, batch_acquire.c). Inline for speed. */
#ifndef RVT_BATCH_LOOP_H
#define RVT_BATCH_LOOP_H

#include <string.h>

#include "core/access/batch.h"
#include "core/access/judge.h"
#include "core/access/packed_sge.h"
#include "core/access/sge.h"
#include "core/base/epoch.h"
#include "core/base/reason.h"
#include "core/objects/device.h"
#include "core/objects/lkey_table.h"
#include "core/objects/region.h"

/* How many elements ahead records are prefetched: far enough to hide a cache miss behind the judging of other
 * elements, near enough that the lines are still in the first-level cache when used. */
enum { RVT_BATCH_AHEAD = 32 };

static inline void store_place(const struct rvt_batch_columns *columns, uint32_t i,
                               const struct rvt_sge *sge) {
    if (columns->region)
        columns->region[i] = (double)rvt_mr_id(sge->mr);
    if (columns->at)
        columns->at[i] = sge->at;
    if (columns->length)
        columns->length[i] = sge->length;
    if (columns->segment)
        columns->segment[i] = (uint32_t)rvt_sge_segment(sge);
}

static inline bool wants_places(const struct rvt_batch_columns *columns) {
    return columns->region || columns->at || columns->length || columns->segment;
}

static inline void note_refusal(struct rvt_batch_result *result, uint32_t i, enum rvt_reason reason) {
    if (result->reason == RVT_REASON_NONE) {
        result->reason = reason;
        result->first_refused = i;
    }
}

/* Zeroes all verdicts at once (the loops store only the nonzero ones), resets *result, and prefetches the
 * first records. */
static inline void begin_batch(const struct rvt_batch *batch, const struct rvt_batch_columns *columns,
                               struct rvt_batch_result *result) {
    if (columns->verdict)
        memset(columns->verdict, 0, batch->count * sizeof(*columns->verdict));
    *result = (struct rvt_batch_result){.first_refused = batch->count};
    uint32_t ahead = batch->count < RVT_BATCH_AHEAD ? batch->count : RVT_BATCH_AHEAD;
    for (uint32_t i = 0; i < ahead; i++)
        rvt_prefetch_record(batch, i);
}

/* Refuses every element of a batch whose domain or queue pair is closed, replacing verdicts stored so far.
 * `counted` elements have already been counted with another verdict and are not counted again. */
static inline void refuse_batch_closed(const struct rvt_batch *batch, const struct rvt_batch_columns *columns,
                                       struct rvt_batch_result *result, uint32_t counted) {
    if (columns->verdict)
        for (uint32_t i = 0; i < batch->count; i++)
            columns->verdict[i] = RVT_CLOSED;
    *result =
        (struct rvt_batch_result){.reason = refuse_closed(batch->checker->context, batch->count - counted)};
}

/* Values that are the same for all elements, copied into a local struct so that no store in the loop can
 * alias them. */
struct run {
    struct rvt_lkey_record *records;
    uint64_t max;    /* number of records */
    uint64_t domain; /* the domain's part of a record's name */
    uint64_t wanted; /* acc_and_plain() of the batch's access bits */
};

/* Renews the reader section after every RVT_SECTION_ELEMENTS elements, so that a verb in another thread never
 * waits longer for this section. */
static inline void renew_after_elements(struct rvt_reader *reader, const struct rvt_batch *batch,
                                        uint32_t judged) {
    if (judged % RVT_SECTION_ELEMENTS == 0 && judged)
        rvt_read_renew(reader, &batch->checker->device->retirement);
}

#endif
