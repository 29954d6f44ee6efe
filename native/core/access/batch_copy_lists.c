/* SPDX-License-Identifier: BSD-3-Clause */
/* rvt_copy_batch: copies from the elements of one batch into those of another. */
#include <string.h>

#include "core/access/batch.h"
#include "core/access/batch_side.h"
#include "core/access/check.h"
#include "core/access/sge_copy.h"
#include "core/base/epoch.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"

/* Advances both sides to an element with bytes left that was judged in the current section. Returns false at
 * the end of either list, or if an element is refused. */
static bool judge_both(struct rvt_data_call *call, struct rvt_copy_side *from, struct rvt_copy_side *to) {
    do {
        if (!rvt_judge_current_element(from, call, to) || !rvt_judge_current_element(to, call, from))
            return false;
    } while (!from->judged); /* judging `to` may have begun a new section */
    return true;
}

/* Moves the first `length` bytes of the current source element to the current target element, last bytes
 * first; see move_backwards() in batch_copy.c. Returns false if refused. */
static bool move_both_backwards(struct rvt_data_call *call, struct rvt_copy_side *from,
                                struct rvt_copy_side *to, uint64_t length) {
    for (uint64_t left = length; left;) {
        uint64_t step = left < RVT_SECTION_BYTES ? left : RVT_SECTION_BYTES, run, room;
        unsigned char *source, *target;
        rvt_renew_section(call, from, to);
        if (!judge_both(call, from, to))
            return false;
        if (!rvt_find_bytes_of_element(from, call, left - step, step, &source, &run) ||
            !rvt_find_bytes_of_element(to, call, left - step, step, &target, &room))
            return false;
        if (run < step || room < step) /* a range that was contiguous at the start no longer is: remapped */
            return rvt_stop_side(run < step ? from : to, RVT_REMAPPED);
        memmove(target, source, step);
        rvt_count_bytes(from, step);
        rvt_count_bytes(to, step);
        left -= step;
    }
    rvt_consume_bytes(from, length);
    rvt_consume_bytes(to, length);
    return true;
}

/* Moves the next bytes from the current source element to the current target element, at most what one
 * section may move. Returns false if refused. */
static bool move_both(struct rvt_data_call *call, struct rvt_copy_side *from, struct rvt_copy_side *to) {
    unsigned char *source, *target;
    uint64_t run, other;
    if (!rvt_find_bytes_of_element(from, call, 0, UINT64_MAX, &source, &run) ||
        !rvt_find_bytes_of_element(to, call, 0, run, &target, &other))
        return false;
    if (run > other)
        run = other;
    uint64_t room = rvt_data_call_room(call);
    /* Go backwards even if the bytes would fit into a new section: this section's room splits the copy into
     * two steps, and copying forwards in two steps would overwrite source bytes. */
    if (run > room && rvt_overlaps_forwards(source, target, run))
        return move_both_backwards(call, from, to, run);
    if (run > room)
        run = room;
    memmove(target, source, run);
    rvt_count_bytes(from, run);
    rvt_count_bytes(to, run);
    rvt_consume_bytes(from, run);
    rvt_consume_bytes(to, run);
    rvt_data_call_spend(call, run);
    return true;
}

/* For a copy with `all`: judges both lists and returns whether the copy may begin. rvt_begin_side() must have
 * been called for both sides. */
static bool judge_both_lists(struct rvt_data_call *call, struct rvt_copy_side *from,
                             struct rvt_copy_side *to) {
    uint64_t source, target;
    if (!rvt_judge_list(from, call, &source) || !rvt_judge_list(to, call, &target))
        return false;
    from->result->list_bytes = source;
    from->result->other_bytes = target;
    rvt_data_call_renew(call); /* start in a new section: judging may have used up this one */
    return source <= target;
}

int rvt_copy_batch(struct rvt_data_call *call, const struct rvt_batch *from_batch,
                   const struct rvt_batch *to_batch, struct rvt_batch_result *from_result,
                   struct rvt_batch_result *to_result) {
    struct rvt_copy_side from, to;
    struct rvt_dev_info *device = from_batch->checker->device;
    bool one_device = device == to_batch->checker->device;
    rvt_data_call_enter(call, one_device ? &device->retirement : &rvt_every_device);
    /* Begin both sides even if the first is closed, so that each result reports its own state. */
    bool from_live = rvt_begin_side(&from, from_batch, from_result, false);
    bool live = rvt_begin_side(&to, to_batch, to_result, true) && from_live;
    bool may_begin = live && (!from_batch->all || judge_both_lists(call, &from, &to));
    while (may_begin && judge_both(call, &from, &to) && move_both(call, &from, &to))
        if (!rvt_data_call_room(call))
            rvt_renew_section(call, &from, &to);
    /* An element that the last byte completed counts as moved, even if the other side ended the copy. The
     * element after it is not judged, because there is nothing left to move. */
    if (to.judged && !to.rest.length)
        to_result->passed++;
    rvt_count_copy(from_batch, from_result, from_result->bytes);
    rvt_count_copy(to_batch, to_result, 0); /* the bytes are counted once, on the source side */
    rvt_data_call_leave(call);
    if (!one_device) { /* a section of all devices frees no retired objects */
        rvt_reclaim(&device->retirement);
        rvt_reclaim(&to_batch->checker->device->retirement);
    }
    return 0;
}
