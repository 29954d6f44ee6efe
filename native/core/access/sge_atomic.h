/* SPDX-License-Identifier: BSD-3-Clause */
/* Remote atomics: 8 bytes, in host order, in step with every other atomic access to the same memory
 * (JavaScript's Atomics on a BigInt64Array over it included). */
#ifndef RVT_SGE_ATOMIC_H
#define RVT_SGE_ATOMIC_H

#include <stdint.h>

#include "core/access/sge_copy.h"

/* Add `add` to the 8 bytes of the element and give back what was there. Both functions answer
 *   0        done; *old is what was there
 *   -EINVAL  the element is not 8 bytes, or they do not lie on a multiple of 8: the address asked for, and
 *            the memory itself
 *   -EBADF   the element is dead
 *   -EACCES  *reason: not proven for remote atomics, or cannot be used now */
int rvt_sge_fetch_add(struct rvt_data_call *call, const struct rvt_sge *sge, uint64_t add, uint64_t *old,
                      enum rvt_reason *reason);

/* Store `swap` if the 8 bytes equal `compare`; *old is what was there in either case. */
int rvt_sge_compare_swap(struct rvt_data_call *call, const struct rvt_sge *sge, uint64_t compare,
                         uint64_t swap, uint64_t *old, enum rvt_reason *reason);

#endif
