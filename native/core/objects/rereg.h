/* SPDX-License-Identifier: BSD-3-Clause */
/* Re-registration: changes the memory, the domain or the access rights of a region that exists, like
 * ibv_rereg_mr(3). The kernel's rdmavt does not have it; the rules are those of the InfiniBand Architecture
 * Specification, volume 1, 10.6.3 and 11.2.8.7, and of the man page. */
#ifndef RVT_REREG_H
#define RVT_REREG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/objects/mr.h"

/* What to change. */
struct rvt_rereg {
    uint32_t flags; /* RVT_REREG_*: which of the following count */
    /* TRANSLATION: the new memory, all of it, with these addresses of its first byte. `start` NULL: the device
     * chooses it; `virt_addr` NULL: it equals the start. */
    struct rvt_memory *memory;
    const uint64_t *start, *virt_addr;
    uint32_t access;         /* ACCESS */
    struct rvt_pd_handle pd; /* PD */
};

/* Re-registers a region of user memory. It keeps its handle and its id. With ACCESS alone it keeps its key as
 * well; with TRANSLATION or PD it gets a new one, and the old one is revoked for good: whoever has the key of
 * the old memory must not get into the new memory. Both keys may change by the man page as well.
 *
 * When it returns 0, no byte moves any more under what the old registration allowed. It waits for readers as
 * rvt_dereg_mr does, under the same conditions. While it waits, checks by other threads are refused
 * (RVT_INVALIDATED).
 *
 * Which errors leave the old registration valid: those that are found in the arguments and in what is in the
 * way, and those only (IBV_REREG_MR_ERR_INPUT of the man page). After any other error the region exists but
 * its key is invalid, and only deregistration is left (IBV_REREG_MR_ERR_CMD); *lost is then true.
 *   0        done; *birth (may be NULL) has the values that hold from now on
 * Still valid:
 *   -EINVAL  no flag, or an unknown one; not user memory; half-dead; the key is invalid; the domain is on
 *            another device
 *   -EBUSY   windows or leases are bound to the region; SGEs are held, also by queued work requests; another
 *            thread is re-registering the region
 *   -EBADF   a handle is stale
 * Not valid any more:
 *   -EINVAL  the new memory or its addresses are not allowed, as for rvt_reg_user_mr
 *   -ENOMEM  no free slot, or no random numbers */
int rvt_rereg_mr(struct rvt_mr_handle mr, const struct rvt_rereg *change, struct rvt_mr_birth *birth,
                 bool *lost);

#endif
