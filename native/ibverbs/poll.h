/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking completions: as an array (ibv_poll_cq) and one by one (ibv_start_poll). */
#ifndef SHIM_POLL_H
#define SHIM_POLL_H

#include "ibverbs/public_api.h"

/* Takes up to `num_entries` completions, oldest first. Returns how many, or a negative errno:
 *   EINVAL  num_entries is negative, or `wc` is NULL
 *   EBADF   the context is closed */
int shim_poll_cq(struct ibv_cq *cq, int num_entries, struct ibv_wc *wc);

/* Stores the functions of a completion queue that a program calls through the structure. */
void shim_fill_cq_ex(struct ibv_cq_ex *cq);

#endif
