/* SPDX-License-Identifier: BSD-3-Clause */
/* Why an access was refused: the vocabulary that checks and the data path share. */
#ifndef RVT_REASON_H
#define RVT_REASON_H

#include "core/layout.h" /* enum rvt_reason: a reason crosses into JavaScript as its number */

/* The reason's name as users see it ("OutOfBounds"), or "None"; never NULL, also for a number
 * out of range. */
const char *rvt_reason_name(enum rvt_reason reason);

#endif
