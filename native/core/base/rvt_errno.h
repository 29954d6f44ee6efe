/* SPDX-License-Identifier: BSD-3-Clause */
/* Linux errno values by name. The answers of this layer are Linux's on every platform, so the host's own
 * <errno.h> (whose numbers differ on Windows and macOS) is never consulted. Functions return them negated. */
#ifndef RVT_ERRNO_H
#define RVT_ERRNO_H

enum {
    RVT_EPERM = 1,
    RVT_EBADF = 9,
    RVT_ENOMEM = 12,
    RVT_EACCES = 13,
    RVT_EBUSY = 16,
    RVT_EXDEV = 18,
    RVT_ENODEV = 19,
    RVT_EINVAL = 22,
};

#endif
