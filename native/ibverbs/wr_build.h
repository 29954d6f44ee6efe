/* SPDX-License-Identifier: BSD-3-Clause */
/* Posting send work requests by function calls: ibv_wr_start(), ibv_wr_send(), ..., ibv_wr_complete(). */
#ifndef SHIM_WR_BUILD_H
#define SHIM_WR_BUILD_H

#include "ibverbs/public_api.h"

/* Stores the functions that a program calls through the structure. */
void shim_fill_qp_ex(struct ibv_qp_ex *qp);

#endif
