/* SPDX-License-Identifier: BSD-3-Clause */
/* Posting work requests as linked lists. */
#ifndef SHIM_POST_H
#define SHIM_POST_H

#include "ibverbs/public_api.h"

/* The longest list that one call posts: far more than any queue holds. A list without an end is cut here. */
enum { SHIM_LONGEST_LIST = 1 << 20 };

/* Post a list in order. Those before a bad one stay posted, and *bad_wr (may be NULL) points to it.
 *   0       all posted
 *   EINVAL  the state of the queue pair forbids it, or a work request is invalid: docs/semantics.md, V8. Also
 *           an unknown flag, elements without a list, inline data that is too long or of an opcode that sends
 *           none, or a list that is longer than SHIM_LONGEST_LIST
 *   ENOMEM  the queue is full
 *   EBADF   the context is closed */
int shim_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad_wr);
int shim_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr);
int shim_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad_wr);

#endif
