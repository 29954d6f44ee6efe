/* SPDX-License-Identifier: BSD-3-Clause */
/* One side of a batch copy: judges, resolves and moves one element after the other, without taking
 * references. That is safe inside a reader section: nothing judged there is freed before the section ends,
 * and a verb that revokes it waits for the section before it returns. When a long copy renews its section, it
 * judges the rest of the element again. */
#ifndef RVT_BATCH_SIDE_H
#define RVT_BATCH_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/batch.h"
#include "core/access/judge.h"
#include "core/access/sge_copy.h"

enum { RVT_COPY_AHEAD = 8 }; /* prefetch distance of records, in elements */

/* One list of a copy and the position in it. */
struct rvt_copy_side {
    const struct rvt_batch *batch;
    struct rvt_batch_result *result;
    bool write;
    bool judged; /* `sge` and `map` are valid in the current section */
    bool begun;  /* `rest` belongs to element `index` */
    uint32_t index;
    struct access rest; /* the part of the element that is still to be moved */
    struct rvt_sge sge;
    struct rvt_map *map;
};

/* Initializes a side at its first element and resets *result. `write` means that bytes are copied into the
 * elements. The caller must be in a reader section. Returns false if the domain or queue pair is closed;
 * *result then says so. */
bool rvt_begin_side(struct rvt_copy_side *side, const struct rvt_batch *batch,
                    struct rvt_batch_result *result, bool write);

/* Ends the copy at the current element with `reason`, or with RVT_REASON_NONE if the element does not fit.
 * Returns false. */
bool rvt_stop_side(struct rvt_copy_side *side, enum rvt_reason reason);

/* Begins a new section. Both sides must judge their current elements again. `b` may be NULL. */
void rvt_renew_section(struct rvt_data_call *call, struct rvt_copy_side *a, struct rvt_copy_side *b);

/* Advances to an element with bytes left and judges it, unless it was already judged in this section. Returns
 * false at the end of the list or if the element is refused. After many empty elements it begins a new
 * section and then also invalidates the verdict of `other`, the other side of the copy (may be NULL). */
bool rvt_judge_current_element(struct rvt_copy_side *side, struct rvt_data_call *call,
                               struct rvt_copy_side *other);

/* Finds the memory of up to `want` bytes that begin `offset` bytes into the rest of the current element:
 * *data points to them and *run is how many are contiguous. Returns false if refused. */
bool rvt_find_bytes_of_element(struct rvt_copy_side *side, struct rvt_data_call *call, uint64_t offset,
                               uint64_t want, unsigned char **data, uint64_t *run);

/* Counts `length` moved bytes of the current element, wherever in the element they are. */
void rvt_count_bytes(struct rvt_copy_side *side, uint64_t length);

/* Removes the first `length` bytes from the rest of the current element. The caller must be in the section in
 * which the element was judged. */
void rvt_consume_bytes(struct rvt_copy_side *side, uint64_t length);

/* Judges the whole list as the copy will, including the memory behind its elements, and counts only a
 * refusal. Called inside a section and may renew it, so all earlier verdicts become invalid. `side` must have
 * been initialized by rvt_begin_side(); its result reports a refusal. Returns whether all elements may be
 * moved now; *bytes is the length of the list. Defined in batch_all.c. */
bool rvt_judge_list(struct rvt_copy_side *side, struct rvt_data_call *call, uint64_t *bytes);

/* Counts the outcome of a copy for the batch's context: each element moved completely as one accepted check,
 * and `bytes` bytes. */
void rvt_count_copy(const struct rvt_batch *batch, const struct rvt_batch_result *result, uint64_t bytes);

#endif
