/* SPDX-License-Identifier: BSD-3-Clause */
/* What a strict device refuses, although the reference accepts it: programs that do it fail on a NIC. A device
 * that is not strict refuses nothing here. */
#ifndef RVT_STRICT_H
#define RVT_STRICT_H

#include <stdint.h>

#include "core/objects/device.h"

/* A strict device has keys of at least two generations in each slot, so its key table has at most 2^22 slots. */
enum { RVT_MAX_STRICT_TABLE_BITS = RVT_MAX_LKEY_TABLE_BITS - 1 };

/* Chooses in which bits the lkey and the rkey of a region differ: only in those of the generation, so both name the
 * same slot, and consumers change the low 8 bits of both alike.
 *   0        *mask is not 0
 *   -ENOMEM  no random numbers */
int rvt_choose_rkey_mask(uint32_t bits, bool random, uint32_t *mask);

/* The addresses of a region that is about to be registered or mapped: on a NIC, the start (the address of its first
 * byte, of a region of pages their first offset) and the iova lie at the same offset in their pages, of 2^shift
 * bytes (ib_uverbs_reg_mr; InfiniBand specification, volume 1, 10.6.3.2).
 *   0        may be registered
 *   -EINVAL  the device is strict, and they do not */
int rvt_judge_strict_offset(const struct rvt_dev_info *device, uint64_t start, uint64_t iova, uint32_t shift);

/* The access rights of a region: RVT_ACCESS_REMOTE_WRITE and _REMOTE_ATOMIC need RVT_ACCESS_LOCAL_WRITE
 * (ibv_reg_mr(3), ib_check_mr_access), and other bits than the five are not known; but those
 * that a NIC may ignore (RVT_ACCESS_OPTIONAL) are ignored.
 *   0        may be granted
 *   -EINVAL  the device is strict, and they may not */
int rvt_judge_strict_access(const struct rvt_dev_info *device, uint32_t access);

#endif
