/* SPDX-License-Identifier: BSD-3-Clause */
/* Posting work requests as linked lists. */
#ifndef SHIM_POST_H
#define SHIM_POST_H

#include "ibverbs/public_api.h"

int shim_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad_wr);
int shim_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr);
int shim_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr);

#endif
