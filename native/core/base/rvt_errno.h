/* SPDX-License-Identifier: BSD-3-Clause */
/* Linux errno values by name. The core returns Linux's values on every platform, negated, so it never uses
 * the host's <errno.h>, whose numbers differ on Windows and macOS. */
#ifndef RVT_ERRNO_H
#define RVT_ERRNO_H

#include "core/layout.h" /* defines the numbers, which TypeScript shares */

#endif
