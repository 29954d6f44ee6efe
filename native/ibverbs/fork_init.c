/* SPDX-License-Identifier: BSD-3-Clause */
/* The calls by which programs prepare for fork(). ibv_fork_init(3). The trouble that they cure, pages that
 * hardware writes while a child shares them, cannot happen: the engine copies bytes by the addresses of the
 * process. What this library does for fork() is in gate.c, and needs no call. */
#include "ibverbs/public_api.h"

SHIM_PUBLIC int ibv_fork_init(void) {
    return 0;
}

SHIM_PUBLIC enum ibv_fork_status ibv_is_fork_initialized(void) {
    return IBV_FORK_UNNEEDED;
}

SHIM_PUBLIC int ibv_dontfork_range(void *base, size_t size) {
    (void)base, (void)size;
    return 0;
}

SHIM_PUBLIC int ibv_dofork_range(void *base, size_t size) {
    (void)base, (void)size;
    return 0;
}
