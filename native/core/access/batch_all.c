/* SPDX-License-Identifier: BSD-3-Clause */
/* All or nothing: a list is judged as a whole before the first byte of a copy moves. */
#include "core/access/batch_side.h"

#include "core/access/check.h"
#include "core/access/packed_sge.h"

/* Whether all memory of what is left of the element can be reached, as the copy will reach it: piece by piece.
 * False at a refusal, and when the section is full: then *rest is what is to be judged anew. */
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
        /* All segments of one mapping lie in one memory: one look is enough. */
        if (!side->map || side->map->memory || side->map->mapping)
            run = rest->length;
        side->sge.position += run;
        rest->addr += run;
        rest->length -= (uint32_t)run;
    }
    return true;
}

/* One element. Each section judges anew what is left of it. */
static enum rvt_reason judge_element(struct rvt_copy_side *side, struct rvt_data_call *call,
                                     struct access rest) {
    for (;;) {
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
            /* What is told about a domain that has ended meanwhile is not its verdict. */
            return rvt_stop_side(side, rvt_checker_live(batch->checker) ? reason : RVT_CLOSED);
        }
        *bytes += access.length;
    }
    return true;
}
