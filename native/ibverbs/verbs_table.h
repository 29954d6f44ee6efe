/* SPDX-License-Identifier: BSD-3-Clause */
/* The functions of a context that the inline functions of the public header call. */
#ifndef SHIM_VERBS_TABLE_H
#define SHIM_VERBS_TABLE_H

#include "ibverbs/public_api.h"

/* Fills the table of a context. Where it has no function, the header's inline function answers EOPNOTSUPP:
 * memory windows, XRC, flows, counters, work queues, tag matching, null regions, moderation, rate limits. */
void shim_fill_verbs(struct verbs_context *verbs);

#endif
