/* SPDX-License-Identifier: BSD-3-Clause */
/* Linux errno values by name. The answers of this layer are Linux's on every platform, so the host's own
 * <errno.h> (whose numbers differ on Windows and macOS) is never consulted. Functions return them negated. */
#ifndef RVT_ERRNO_H
#define RVT_ERRNO_H

#include "core/layout.h" /* the numbers: JavaScript is told them */

#endif
