/* SPDX-License-Identifier: BSD-3-Clause */
/* Share tokens: unguessable tokens by which other environments of this process open a device, or one domain
 * of it. Also defines the random number of this copy of the core. */
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
    unsigned char core[RVT_CORE_ID_BYTES]; /* identifies the loaded copy of the core */
    unsigned char bytes[RVT_TOKEN_BYTES];  /* random; grants access to the shared object */
};

/* The share state that a device or domain contains. Protected by the lock in share.c. */
struct rvt_shared {
    bool listed;
    struct rvt_link in_shared;
    unsigned char token[RVT_TOKEN_BYTES];
    struct rvt_dev_info *device;
    uint64_t pd; /* serial number of the domain, or RVT_WHOLE_DEVICE */
};

/* Used instead of a domain's serial number: the whole device. */
#define RVT_WHOLE_DEVICE UINT64_C(0)

/* Returns the random number of this loaded copy of the core. All threads of the process get the same number.
 * Every other loaded copy has another number, even one of the same file. Any thread may call this. Returns 0
 * if the system cannot provide random numbers. */
uint64_t rvt_core_id(void);

/* Returns the token of the whole device, the same one each time. It grants every right that the device's
 * creator has. Takes the device lock.
 *   0        *token is set
 *   -ENOMEM  the system cannot provide random numbers
 *   -EBADF   the device is closed */
int rvt_share_device(struct rvt_dev_info *device, struct rvt_share_token *token);

/* Returns a token on behalf of a context: that of the whole device, or of one domain if `pd` is not NULL. A
 * domain's token is the same each time, differs from the device's, and becomes invalid when the domain ends.
 * A context that attaches with it is restricted to the domain (rvt_ucontext.only_pd). Takes the device lock.
 *   0        *token is set
 *   -EBADF   the device is closed, the context has ended, or the domain's handle is stale
 *   -EINVAL  the domain is on another device
 *   -EPERM   the context is itself restricted
 *   -ENOMEM  the system cannot provide random numbers */
int rvt_share_by(const struct rvt_ucontext *context, const struct rvt_pd_handle *pd,
                 struct rvt_share_token *token);

/* Finds the device and domain that a token names. Takes no device lock.
 *   0        the caller owns one reference on *device; *pd (may be NULL) is the domain's serial number or
 *            RVT_WHOLE_DEVICE, for rvt_alloc_ucontext_in
 *   -EXDEV   the token is from another copy of the core: another process, or a package loaded from another
 *            path
 *   -ENODEV  no open device or domain has this token */
int rvt_find_shared(const struct rvt_share_token *token, struct rvt_dev_info **device, uint64_t *pd);

/* Invalidates the token when the device closes or the domain ends. The caller must hold the device lock. */
void rvt_unshare(struct rvt_shared *shared);

#endif
