/* SPDX-License-Identifier: BSD-3-Clause */
/* One side of a copy over batches: an element after the other is judged, resolved and moved, without a
 * reference. That is sound because nothing that was judged inside a section is freed before its end, and no
 * verb that ends it returns; where a long copy renews its section, what is left of the element is judged
 * anew. */
#ifndef RVT_BATCH_SIDE_H
#define RVT_BATCH_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/batch.h"
#include "core/access/judge.h"
#include "core/access/sge_copy.h"

enum { RVT_COPY_AHEAD = 8 }; /* elements: their records are fetched */

/* The rest of its current element. */
struct rvt_copy_side {
    const struct rvt_batch *batch;
    struct rvt_batch_result *result;
    bool write;
    bool judged; /* sge and map are good in this section */
    bool begun;  /* `rest` is of element `index` */
    uint32_t index;
    struct access rest; /* what is left of the element */
    struct rvt_sge sge;
    struct rvt_map *map;
};

/* Begin with the first element. `write`: bytes go into the elements. Inside a section. False: who asks is closed;
 * *result says so. */
bool rvt_begin_side(struct rvt_copy_side *side, const struct rvt_batch *batch,
                    struct rvt_batch_result *result, bool write);

/* End the copy at the current element, for this reason (or none: it does not fit). Returns false. */
bool rvt_stop_side(struct rvt_copy_side *side, enum rvt_reason reason);

/* Begin a section; everything that was judged, on both sides, must be judged again. `b` may be NULL. */
void rvt_renew_section(struct rvt_data_call *call, struct rvt_copy_side *a, struct rvt_copy_side *b);

/* Stand on an element with bytes left, judged in this section. False at the end of the list and at a refusal.
 * Begins a new section after many elements without bytes; `other`, the other side of the copy, is told (may
 * be NULL). */
bool rvt_judge_current_element(struct rvt_copy_side *side, struct rvt_data_call *call,
                               struct rvt_copy_side *other);

/* Where the bytes from `offset` on lie, in what is left of the element; at most `want`. False at a
 * refusal. */
bool rvt_find_bytes_of_element(struct rvt_copy_side *side, struct rvt_data_call *call, uint64_t offset,
                               uint64_t want, unsigned char **data, uint64_t *run);

/* Bytes of the element were moved, whichever. */
void rvt_count_bytes(struct rvt_copy_side *side, uint64_t length);

/* So many of its first bytes are through. Inside the section in which the element was judged. */
void rvt_consume_bytes(struct rvt_copy_side *side, uint64_t length);

/* Judge the whole list as a copy will, with the memory that its elements reach, and count nothing but a
 * refusal. Inside a section, and afterwards in another one: nothing that was judged is good any more. `side`
 * must have been begun; its result tells of a refusal. Returns whether all elements may be moved now; *bytes is
 * how many they have. batch_all.c. */
bool rvt_judge_list(struct rvt_copy_side *side, struct rvt_data_call *call, uint64_t *bytes);

/* Count what a copy between sections did: elements moved whole are checks accepted. */
void rvt_count_copy(const struct rvt_batch *batch, const struct rvt_batch_result *result, uint64_t bytes);

#endif
