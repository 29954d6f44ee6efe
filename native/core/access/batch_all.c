/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies with `all`: judges a whole list before the first byte of a copy moves. */
#include "core/access/batch_side.h"

#include "core/access/check.h"
#include "core/access/packed_sge.h"

/* Returns whether all memory of the rest of the element is usable, piece by piece, as the copy will access
 * it. Returns false if a piece is refused (*reason) and also if the section is full (*reason stays
 * RVT_REASON_NONE); *rest is then the part that remains to be judged. */
static bool reach_memory(struct rvt_copy_side *side, struct rvt_data_call *call, struct access *rest,
                         enum rvt_reason *reason) {
    while (rest->length) {
        unsigned char *data;
        uint64_t run;
        if (!rvt_data_call_room(call))
            return false;
        *reason = rvt_sge_pointer(call, &side->sge, side->map, rest->length, &data, &run);
        if (*reason)
            return false;
        rvt_data_call_spend(call, 0);
        /* All segments of one DMA mapping lie in one memory, so one lookup is enough. */
        if (!side->map || side->map->memory || side->map->mapping)
            run = rest->length;
        side->sge.position += run;
        rest->addr += run;
        rest->length -= (uint32_t)run;
    }
    return true;
}

/* Judges one element, with its memory. Each new section judges the rest of the element again. Returns
 * RVT_REASON_NONE or the reason of the refusal. */
static enum rvt_reason judge_element(struct rvt_copy_side *side, struct rvt_data_call *call,
                                     struct access rest) {
    for (bool first = true;; first = false) {
        if (!rvt_data_call_room(call))
            rvt_data_call_renew(call);
        struct found found = {0};
        enum rvt_reason reason = judge_access(&rest, &found);
        rvt_data_call_spend(call, 0);
        if (!reason) {
            fill_sge(&side->sge, &rest, &found);
            side->map = found.dma ? NULL : found.entry.map;
            reason = rvt_judge_rights(side->sge.rights, side->sge.remote, side->write);
        }
        if (first)
            reason = refuse_by_fault(&rest, &found, reason);
        if (!reason && reach_memory(side, call, &rest, &reason))
            return RVT_REASON_NONE;
        if (reason) {
            count_for_region(&rest, &found, reason);
            return reason;
        }
    }
}

bool rvt_judge_list(struct rvt_copy_side *side, struct rvt_data_call *call, uint64_t *bytes) {
    const struct rvt_batch *batch = side->batch;
    *bytes = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (i + RVT_COPY_AHEAD < batch->count)
            rvt_prefetch_record(batch, i + RVT_COPY_AHEAD);
        struct access access = rvt_unpack(batch, i);
        enum rvt_reason reason = judge_element(side, call, access);
        if (reason) {
            side->index = i;
            /* If the domain or queue pair was closed meanwhile, `reason` may concern its successor: report
             * RVT_CLOSED. */
            return rvt_stop_side(side, rvt_checker_live(batch->checker) ? reason : RVT_CLOSED);
        }
        *bytes += access.length;
    }
    return true;
}
