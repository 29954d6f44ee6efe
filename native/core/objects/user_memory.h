/* SPDX-License-Identifier: BSD-3-Clause */
/* User memory as a region sees it: the rules for its addresses, and the one extent that maps it. Shared by
 * registration (mr.c) and re-registration (rereg.c). The caller of every function must hold the device
 * lock. */
#ifndef RVT_USER_MEMORY_H
#define RVT_USER_MEMORY_H

#include <stdint.h>

struct rvt_memory;
struct rvt_mregion;

/* Checks the address range of user memory, in the kernel's order of tests. `length` is in bytes.
 *   0        the range is allowed
 *   -EINVAL  as rvt_reg_user_mr */
int rvt_judge_user_range(uint64_t start, uint64_t length, uint64_t virt_addr);

/* Maps all of `memory` in the region, whose bytes no reader can reach now: `base` is the address of its first byte
 * in local checks, `virt_addr` in remote checks. The range must be allowed. Takes no reference. */
void rvt_map_user_memory(struct rvt_mregion *mr, struct rvt_memory *memory, uint64_t base,
                         uint64_t virt_addr);

#endif
