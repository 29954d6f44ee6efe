/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices that other environments of this process may open, whole or one domain of them, by a token that nobody
 * can guess; and the random number of this copy of the core. */
#ifndef RVT_SHARE_H
#define RVT_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/layout.h"

struct rvt_dev_info;
struct rvt_pd_handle;
struct rvt_ucontext;

struct rvt_share_token {
    unsigned char core[RVT_CORE_ID_BYTES]; /* which copy of the core: of this process, and of this library */
    unsigned char bytes[RVT_TOKEN_BYTES];  /* random: knowing them is the right to open what it names */
};

/* What a token names: a part of a device or of a domain. Under the lock of share.c. */
struct rvt_shared {
    bool listed;
    struct rvt_link in_shared;
    unsigned char token[RVT_TOKEN_BYTES];
    struct rvt_dev_info *device;
    uint64_t pd; /* serial number of the domain; RVT_WHOLE_DEVICE */
};

/* In place of a domain's serial number: everything of the device. */
#define RVT_WHOLE_DEVICE UINT64_C(0)

/* The random number of this copy of the core, in this process: the same for all its threads, another one for
 * every other copy that is loaded, of the same file or of another version. From any thread.
 *   0    the system has no random numbers to give */
uint64_t rvt_core_id(void);

/* The token of the whole device, the same each time. Who has it can do what the device's maker can.
 *   0        *token is set
 *   -ENOMEM  the system has no random numbers to give
 *   -EBADF   the device is closed */
int rvt_share_device(struct rvt_dev_info *device, struct rvt_share_token *token);

/* The same in the name of a context. With `pd`: the token of that domain alone, the same each time, and another
 * than the device's. It ends with the domain. Who attaches by it has a context that is restricted to the domain
 * (struct rvt_ucontext.only_pd).
 *   0        *token is set
 *   -EBADF   the device is closed, the context has ended, or the domain's handle is dead
 *   -EINVAL  the domain is of another device
 *   -EPERM   the context is restricted itself
 *   -ENOMEM  the system has no random numbers to give */
int rvt_share_by(const struct rvt_ucontext *context, const struct rvt_pd_handle *pd,
                 struct rvt_share_token *token);

/* What a token names.
 *   0        *device has a reference for the caller, and *pd (may be NULL) is the domain's serial number or
 *            RVT_WHOLE_DEVICE: for rvt_alloc_ucontext_in
 *   -EXDEV   the token is of another copy of the core: another process, or the package loaded from another
 *            place
 *   -ENODEV  no open device, and no domain of one, has it */
int rvt_find_shared(const struct rvt_share_token *token, struct rvt_dev_info **device, uint64_t *pd);

/* The device closes, or the domain ends: nobody finds it any more. Under the device's lock. */
void rvt_unshare(struct rvt_shared *shared);

#endif
