/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory of the process as the kernel describes it. */
#ifndef SHIM_MEMORY_MAP_H
#define SHIM_MEMORY_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Checks whether the process may read, and with `write` also write, all bytes of a range. An adapter's driver
 * finds this out when it pins the pages; here a region of other memory would make the engine crash.
 *   0       it may, or the system does not tell
 *   EFAULT  it may not, or the range wraps around */
int shim_judge_range(uint64_t start, uint64_t length, bool write);

#endif
