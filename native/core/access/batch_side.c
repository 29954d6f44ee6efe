/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/batch_side.h"

#include <string.h>

#include "core/access/check.h"
#include "core/access/packed_sge.h"
#include "core/base/counters.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/region.h"

bool rvt_begin_side(struct rvt_copy_side *side, const struct rvt_batch *batch,
                    struct rvt_batch_result *result, bool write) {
    memset(side, 0, sizeof(*side));
    side->batch = batch;
    side->result = result;
    side->write = write;
    *result = (struct rvt_batch_result){.first_refused = batch->count};
    if (!rvt_checker_live(batch->checker)) {
        /* A copy reports and counts only its first refusal. */
        *result =
            (struct rvt_batch_result){.reason = refuse_closed(batch->checker->context, batch->count ? 1 : 0)};
        return false;
    }
    for (uint32_t i = 0; i < RVT_COPY_AHEAD && i < batch->count; i++)
        rvt_prefetch_record(batch, i);
    return true;
}

bool rvt_stop_side(struct rvt_copy_side *side, enum rvt_reason reason) {
    if (reason)
        count_for_context(side->batch->checker, reason, 1);
    side->result->first_refused = side->index;
    side->result->reason = reason;
    return false;
}

/* Counts an element that was moved completely as one accepted check of its region, however often it was
 * judged on the way. The caller must be in the section in which the element was last judged, which keeps its
 * region valid. */
static void count_moved_element(const struct rvt_copy_side *side) {
    struct rvt_mr_counters *counters = rvt_mr_counters_of(side->sge.mr);
    if (counters)
        rvt_count_shared(&counters->accepted, 1);
}

/* Marks the current element as no longer judged, unless all its bytes have been moved: a verdict is valid
 * only in the section in which it was made. */
static void forget_judgement(struct rvt_copy_side *side) {
    side->judged = side->judged && !side->rest.length;
}

void rvt_renew_section(struct rvt_data_call *call, struct rvt_copy_side *a, struct rvt_copy_side *b) {
    rvt_data_call_renew(call);
    forget_judgement(a);
    if (b)
        forget_judgement(b);
}

bool rvt_judge_current_element(struct rvt_copy_side *side, struct rvt_data_call *call,
                               struct rvt_copy_side *other) {
    for (bool first = false;; first = false) {
        if (side->judged && side->rest.length)
            return true;
        if (side->judged) { /* the element was moved completely */
            side->result->passed++;
            side->index++;
            side->begun = side->judged = false;
        }
        if (side->index == side->batch->count)
            return false;
        if (!rvt_data_call_room(call))
            rvt_renew_section(call, side, other);
        if (!side->begun) {
            if (side->index + RVT_COPY_AHEAD < side->batch->count)
                rvt_prefetch_record(side->batch, side->index + RVT_COPY_AHEAD);
            side->rest = rvt_unpack(side->batch, side->index);
            side->begun = true;
            first = !side->batch->all; /* with `all`, rvt_judge_list() has asked for faults */
        }
        struct found found = {0};
        struct access rest = side->rest;
        enum rvt_reason reason = judge_access(&rest, &found);
        if (!reason) {
            fill_sge(&side->sge, &rest, &found);
            side->map = found.dma ? NULL : found.entry.map;
            reason = rvt_judge_rights(side->sge.rights, side->sge.remote, side->write);
        }
        /* Check liveness before a byte moves or anything is counted. If the domain is live now, its id
         * belonged to it when the key's record was compared; the id of a closed domain may already belong to
         * another domain. */
        if (!rvt_checker_live(side->batch->checker))
            return rvt_stop_side(side, RVT_CLOSED);
        if (first)
            reason = refuse_by_fault(&rest, &found, reason);
        if (reason) {
            count_for_region(&rest, &found, reason);
            return rvt_stop_side(side, reason);
        }
        side->judged = true;
        if (!rest.length) {
            count_moved_element(side);
            rvt_data_call_spend(call, 0);
        }
    }
}

bool rvt_find_bytes_of_element(struct rvt_copy_side *side, struct rvt_data_call *call, uint64_t offset,
                               uint64_t want, unsigned char **data, uint64_t *run) {
    if (want > side->rest.length - offset)
        want = side->rest.length - offset;
    struct rvt_sge sge = side->sge;
    sge.position += offset;
    enum rvt_reason reason = rvt_sge_pointer(call, &sge, side->map, want, data, run);
    if (!reason)
        return true;
    struct rvt_mr_counters *counters = rvt_mr_counters_of(side->sge.mr);
    if (counters)
        rvt_count_shared(&counters->refused, 1);
    return rvt_stop_side(side, reason);
}

void rvt_count_bytes(struct rvt_copy_side *side, uint64_t length) {
    side->result->bytes += length;
    rvt_mr_count_bytes(side->sge.mr, length);
}

void rvt_consume_bytes(struct rvt_copy_side *side, uint64_t length) {
    side->rest.addr += length;
    side->rest.length -= (uint32_t)length;
    side->sge.position += length;
    if (!side->rest.length)
        count_moved_element(side);
}

void rvt_count_copy(const struct rvt_batch *batch, const struct rvt_batch_result *result, uint64_t bytes) {
    struct rvt_ucontext *context = batch->checker->context;
    count_for_context(batch->checker, RVT_REASON_NONE, result->passed);
    if (context)
        rvt_count(&context->counters.bytes, bytes);
}
