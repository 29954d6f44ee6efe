/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of the reasons why an access is refused, shared by the checks and the data path. */
#ifndef RVT_REASON_H
#define RVT_REASON_H

#include "core/layout.h" /* enum rvt_reason: reasons are passed to JavaScript as numbers */

/* Returns the name of a reason as users see it ("OutOfBounds"). Returns "None" for RVT_REASON_NONE and for
 * numbers out of range; never NULL. */
const char *rvt_reason_name(enum rvt_reason reason);

#endif
