/* SPDX-License-Identifier: BSD-3-Clause */
/* Remote atomics on 8 bytes in host byte order. They are atomic with respect to every other atomic access to
 * the same memory, including JavaScript's Atomics on a BigInt64Array. */
#ifndef RVT_SGE_ATOMIC_H
#define RVT_SGE_ATOMIC_H

#include <stdint.h>

#include "core/access/sge_copy.h"

/* Adds `add` to the 8 bytes of the element and returns the previous value in *old. Sequentially consistent.
 * Both functions return:
 *   0        done
 *   -EINVAL  the element is not 8 bytes long, or the requested address or the memory is not 8-byte aligned
 *   -EBADF   the element is released
 *   -EACCES  *reason: the element was not accepted for remote atomics, or cannot be used now */
int rvt_sge_fetch_add(struct rvt_data_call *call, const struct rvt_sge *sge, uint64_t add, uint64_t *old,
                      enum rvt_reason *reason);

/* Stores `swap` if the 8 bytes equal `compare`. *old is the previous value in either case. */
int rvt_sge_compare_swap(struct rvt_data_call *call, const struct rvt_sge *sge, uint64_t compare,
                         uint64_t swap, uint64_t *old, enum rvt_reason *reason);

#endif
