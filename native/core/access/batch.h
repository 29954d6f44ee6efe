/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches: judge, acquire or copy many accesses in one call. This is the hot path.
 *
 * The input is an array of packed 16-byte struct ib_sge (address, length, key; host byte order) at any
 * alignment. Other threads may be writing the array during the call, so each element is read exactly once,
 * and only that copy is judged and used. The functions take no lock, never wait, and enter a section of the
 * calling thread's reader themselves. */
#ifndef RVT_ACCESS_BATCH_H
#define RVT_ACCESS_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/check.h"
#include "core/access/sge_copy.h"
#include "core/layout.h"

/* The input of a batch call. */
struct rvt_batch {
    const struct rvt_checker *checker;
    const unsigned char *sges; /* array of count * RVT_PACKED_SGE_BYTES bytes */
    uint32_t count;
    uint32_t acc;
    /* Access bits per element, overriding `acc`; NULL: all elements use `acc`. Other threads may be writing
     * this array too, so each entry is read once. A remote element must request exactly one of remote read,
     * write and atomic; anything else is refused with RVT_ACCESS_DENIED, whatever the region grants. */
    const uint32_t *accs;
    bool all; /* copies only: judge all lists before moving any byte (see below) */
};

/* Output arrays, one entry per element; any pointer may be NULL. The memory may be shared with other threads:
 * nothing is read back from it. All arrays except `verdict` are written for accepted elements only; a
 * coalesced element reports the state of the element that it was merged into. */
struct rvt_batch_columns {
    uint32_t *verdict; /* 0, RVT_BATCH_COALESCED or enum rvt_reason */
    double *region;    /* id of the region: rvt_mr_attributes.id */
    uint64_t *at;      /* as in struct rvt_place */
    uint32_t *length, *segment;
};

struct rvt_batch_result {
    uint32_t passed;        /* accepted elements, including coalesced ones */
    uint32_t first_refused; /* index of the first refused element; `count` if none was refused */
    enum rvt_reason reason; /* why the first refused element was refused */
    uint64_t bytes;         /* bytes moved (copies only) */
    /* For copies with `all` whose list was accepted as a whole: the bytes in the list, and the bytes in the
     * buffer or the other list. Otherwise 0. */
    uint64_t list_bytes, other_bytes;
};

/* Judges all elements without taking references and writes the verdicts to *result and the columns.
 *
 * If the domain or queue pair is closed, before or during the call, all elements are refused with RVT_CLOSED,
 * and result->reason is RVT_CLOSED even if the batch is empty. Each element is counted once: either as
 * closed, or with the verdict that it had received before the closing was noticed.
 *   0       always */
int rvt_check_batch(struct rvt_reader *reader, const struct rvt_batch *batch,
                    const struct rvt_batch_columns *columns, struct rvt_batch_result *result);

/* Judges only the first element of the batch, which must exist.
 *   0       accepted
 *   > 0     refused: enum rvt_reason */
int rvt_check_one(struct rvt_reader *reader, const struct rvt_batch *batch);

/* Judges all elements as rvt_lkey_ok() or rvt_rkey_ok() does, and stores accepted elements with their
 * references in held[0..count). held[i] of refused and coalesced elements stays empty (mr is NULL). With
 * `coalesce`, an element that continues the last accepted one is merged into it; `seed` (may be NULL) stands
 * in for the last accepted element before the first. The caller releases the references with rvt_put_sges().
 * If the domain or queue pair is closed, before or during the call, no reference is kept and the result is
 * the same as that of rvt_check_batch().
 *   0       judged: see *result and the columns
 *   -EBUSY  an element of held[0..count) still holds a reference; nothing was judged
 *   -ENOMEM a region is held as often as can be counted; no reference is kept */
int rvt_acquire_batch(struct rvt_reader *reader, const struct rvt_batch *batch, bool coalesce,
                      struct rvt_sge *seed, struct rvt_sge *held, const struct rvt_batch_columns *columns,
                      struct rvt_batch_result *result);

/* --- copies (batch_copy.c, batch_copy_lists.c): judge and move one element after the other, in order ---
 *
 * A copy stops at the first element that is refused (the result has its index and reason) or that does not
 * fit into the rest of the buffer (its index, with RVT_REASON_NONE). result->passed counts the elements moved
 * completely. If another thread revokes an element in the middle of a long copy, result->bytes includes the
 * bytes of that element moved so far. An element in one piece of memory that overlaps the other side is moved
 * as by memmove. If several pieces overlap each other, the resulting bytes may come from either side. The
 * call's reader must be outside any section.
 *
 * With `all` (for a copy between lists, `all` of the source batch), every list of the call is judged
 * completely before a byte moves, including whether the memory behind its elements is usable. If an element
 * is refused, nothing moves. If the bytes do not fit, nothing moves and nothing is refused: a target buffer
 * or list must be at least as long as the source list, and a source buffer exactly as long as the target
 * list; list_bytes and other_bytes report both lengths. The copy judges each element again as it proceeds, so
 * if another thread revokes one meanwhile, the copy stops there and reports the bytes moved.
 *
 * If a domain or queue pair is closed before the copy, its first element is refused with RVT_CLOSED and
 * nothing is moved. If it is closed during the copy, the element at which that is noticed is refused; bytes
 * already moved stay moved. Every copy function returns:
 *   0       always */

/* Copies from the elements into `data` (`length` bytes). Remote elements must request RVT_ACCESS_REMOTE_READ,
 * and their regions must grant it. */
int rvt_gather_batch(struct rvt_data_call *call, const struct rvt_batch *batch, void *data, uint64_t length,
                     struct rvt_batch_result *result);

/* Copies from `data` (`length` bytes) into the elements and stops at the end of `data`. The elements must
 * request local or remote write access, and their regions must grant it. */
int rvt_scatter_batch(struct rvt_data_call *call, const struct rvt_batch *batch, const void *data,
                      uint64_t length, struct rvt_batch_result *result);

/* Copies from the elements of one list into those of another, in byte order, until either list ends or an
 * element is refused. Each result describes its own list; both report the bytes moved. */
int rvt_copy_batch(struct rvt_data_call *call, const struct rvt_batch *from, const struct rvt_batch *to,
                   struct rvt_batch_result *from_result, struct rvt_batch_result *to_result);

#endif
