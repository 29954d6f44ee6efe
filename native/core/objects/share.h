/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices that other environments of this process may open, by a token that nobody can guess. */
#ifndef RVT_SHARE_H
#define RVT_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/layout.h"

struct rvt_dev_info;

struct rvt_share_token {
    unsigned char core[RVT_CORE_ID_BYTES]; /* which copy of the core: of this process, and of this library */
    unsigned char bytes[RVT_TOKEN_BYTES];  /* random: knowing them is the right to open the device */
};

/* The device's token, the same each time.
 *   0        *token is set
 *   -ENOMEM  the system has no random numbers to give
 *   -EBADF   the device is closed */
int rvt_share_device(struct rvt_dev_info *device, struct rvt_share_token *token);

/* The open device of a token.
 *   0        *device has a reference for the caller
 *   -EXDEV   the token is of another copy of the core: another process, or the package loaded from another
 *            place
 *   -ENODEV  no open device has it */
int rvt_find_shared(const struct rvt_share_token *token, struct rvt_dev_info **device);

/* The device closes: nobody finds it any more. Under its lock. */
void rvt_unshare_device(struct rvt_dev_info *device);

#endif
