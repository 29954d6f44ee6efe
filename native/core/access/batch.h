/* SPDX-License-Identifier: BSD-3-Clause */
/* Many accesses in one call: the hot path.
 *
 * The input is the field's own packed form, an array of 16-byte struct ib_sge (address, length, key; host
 * order), at any alignment, in memory that anybody may be writing at the same time: each element is read
 * once, and only that reading is judged and used. They take no lock and wait for nobody, and enter the
 * calling thread's reader themselves: once a call. */
#ifndef RVT_ACCESS_BATCH_H
#define RVT_ACCESS_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/check.h"
#include "core/access/sge_copy.h"
#include "core/layout.h"

/* A batch as it is asked for. */
struct rvt_batch {
    const struct rvt_checker *checker;
    const unsigned char *sges; /* count * RVT_PACKED_SGE_BYTES */
    uint32_t count;
    uint32_t acc;
    /* Not NULL: the access of each element, instead of `acc`. Anybody may write there, too: each is read once.
     * A peer's element wants exactly one of remote read, write and atomic; one that asks for anything else is
     * refused (RVT_ACCESS_DENIED), whatever its region grants. */
    const uint32_t *accs;
    bool all; /* copies only: see rvt_gather_batch */
};

/* Where answers go, a column each; any may be NULL. The memory may be shared: nothing is read back from it.
 * The columns after the verdict are written for accepted elements only; for a coalesced one they tell the
 * state of the element that it went into. */
struct rvt_batch_columns {
    uint32_t *verdict; /* 0, RVT_BATCH_COALESCED or enum rvt_reason */
    double *region;    /* id of the region, see rvt_mr_attributes.id */
    uint64_t *at;      /* as rvt_place */
    uint32_t *length, *segment;
};

struct rvt_batch_result {
    uint32_t passed;        /* accepted elements, coalesced ones included */
    uint32_t first_refused; /* index; `count` if none was */
    enum rvt_reason reason; /* of the first refused */
    uint64_t bytes;         /* moved (copies only) */
    /* Copies with `all` whose list was accepted as a whole: the bytes of the list, and of what they are to be
     * copied to or from. Otherwise 0. */
    uint64_t list_bytes, other_bytes;
};

/* Judge all elements, keeping no reference: *result and the columns tell.
 *
 * If the domain or queue pair is closed, before the call or in the middle of it, all elements are refused
 * with RVT_CLOSED, and `reason` says so also of a batch without elements. Each is counted once: as that, or as what
 * it was answered before the end was noticed.
 *   0       always */
int rvt_check_batch(struct rvt_reader *reader, const struct rvt_batch *batch,
                    const struct rvt_batch_columns *columns, struct rvt_batch_result *result);

/* Judge the batch's first element alone, which must be there.
 *   0       accepted
 *   > 0     refused: enum rvt_reason */
int rvt_check_one(struct rvt_reader *reader, const struct rvt_batch *batch);

/* Judge all elements as rvt_lkey_ok or rvt_rkey_ok does, and keep the references of accepted ones in
 * held[0..count). held[i] of refused and coalesced elements stay dead. With `coalesce`, an element that
 * continues the last accepted one (to begin with: `seed`, may be NULL) goes into it. rvt_put_sges puts them.
 * If the domain or queue pair is closed, before or in the middle, nothing is held, and the answer is as from
 * rvt_check_batch.
 *   0       judged: *result and the columns tell
 *   -EBUSY  an element of held[0..count) is not dead; nothing is judged
 *   -ENOMEM a region is held as often as can be counted; nothing is held */
int rvt_acquire_batch(struct rvt_reader *reader, const struct rvt_batch *batch, bool coalesce,
                      struct rvt_sge *seed, struct rvt_sge *held, const struct rvt_batch_columns *columns,
                      struct rvt_batch_result *result);

/* --- batch_copy.c: judge and move, one element after the other, in order. Each stops at the first element
 * that is refused (result: its index and reason) or that does not fit into what is left of the buffer (its
 * index, RVT_REASON_NONE). passed: elements moved whole. An element refused in its middle, because another
 * thread took it away during a long copy, counts in `bytes` as far as it was moved. One element in one piece
 * of memory that overlaps what it is copied to or from is moved as memmove does; where several pieces lie
 * across each other, their bytes may end as any bytes of the two. *result tells how far it went. The call's
 * reader must be outside any section.
 *
 * With `all` (of the batch that is copied from; of the one batch that there is) every list of the call is
 * judged as a whole before a byte moves, with the memory that its elements reach: if an element is refused,
 * nothing moves. Nothing moves either, and nothing is refused, if the bytes do not fit: a target, or a list
 * that is copied to, must not have fewer bytes than the list, and a source must have as many; list_bytes and
 * other_bytes tell. The copy judges again as it goes on, so what another thread ends meanwhile stops it as it
 * always does, and the bytes moved are reported.
 *
 * If a domain or queue pair is closed, its first element is refused with RVT_CLOSED and nothing is moved;
 * if it is closed in the middle, that is said of the element where it was noticed, and what has moved has moved.
 *   0       always */

/* From the elements into `data`. Remote elements want RVT_ACCESS_REMOTE_READ in `acc`, and found. */
int rvt_gather_batch(struct rvt_data_call *call, const struct rvt_batch *batch, void *data, uint64_t length,
                     struct rvt_batch_result *result);

/* From `data` into the elements, which want local or remote write in `acc`, and found. Stops at the
 * end of data. */
int rvt_scatter_batch(struct rvt_data_call *call, const struct rvt_batch *batch, const void *data,
                      uint64_t length, struct rvt_batch_result *result);

/* From the elements of one list into those of another, byte by byte in order, until one of them is at its end
 * or has an element refused; each side's result tells its own story, and both the bytes moved. */
int rvt_copy_batch(struct rvt_data_call *call, const struct rvt_batch *from, const struct rvt_batch *to,
                   struct rvt_batch_result *from_result, struct rvt_batch_result *to_result);

#endif
