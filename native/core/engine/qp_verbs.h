/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs of queue pairs with queues. rvt_destroy_qp() is in objects/qp.h, as for queue pairs without. */
#ifndef RVT_ENGINE_QP_VERBS_H
#define RVT_ENGINE_QP_VERBS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/engine/ah.h"
#include "core/engine/cq.h"
#include "core/engine/srq.h"
#include "core/engine/wr.h"
#include "core/objects/pd.h"
#include "core/objects/qp.h"

/* Attributes of a new queue pair (struct ib_qp_init_attr). */
struct rvt_qp_init {
    uint32_t type;                         /* enum rvt_qp_type */
    uint32_t sig_type;                     /* enum rvt_sig_type */
    struct rvt_cq_handle send_cq, recv_cq; /* may be the same */
    const struct rvt_srq_handle *srq;      /* NULL: it has a receive queue of its own */
    uint32_t max_send_wr, max_send_sge;
    uint32_t max_recv_wr, max_recv_sge; /* ignored with a shared receive queue */
    void *user;                         /* passed back with the queue pair's events */
};

/* Creates a queue pair in the domain, like the kernel's rvt_create_qp(). It starts in RESET. The context of
 * the domain's handle owns it; the queues must belong to the same context. Takes the engine lock and the
 * device lock. Tested in this order:
 *   -EOPNOTSUPP  the device has no engine
 *   -EINVAL      max_send_sge or max_send_wr is above the device's limit; without a shared receive queue also
 *                max_recv_sge or max_recv_wr, or if all four are 0
 *   -EOPNOTSUPP  its type is not RC, UC or UD
 *   -EBADF       the handle of the domain or of a queue is stale
 *   -EINVAL      a queue is on another device or of another context
 *   -ENOMEM      max_qp queue pairs exist (a queue pair number is used up nevertheless), or no memory
 *   0            *handle names it, and *qpn (may be NULL) is its number */
int rvt_create_qp(struct rvt_pd_handle pd, const struct rvt_qp_init *init, struct rvt_qp_handle *handle,
                  uint32_t *qpn);

/* Attributes that rvt_modify_qp() sets (struct ib_qp_attr). */
struct rvt_qp_attr {
    uint32_t state, cur_state; /* enum rvt_qp_state */
    uint32_t access, qkey, dest_qpn, sq_psn, rq_psn;
    uint32_t pkey_index, port;
    uint32_t path_mtu;       /* 1..5: 256, 512, 1024, 2048, 4096 bytes */
    uint32_t path_mig_state; /* enum rvt_mig_state */
    uint32_t timeout, retry_cnt, rnr_retry, min_rnr_timer;
    uint32_t max_rd_atomic, max_dest_rd_atomic;
    struct rvt_ah_attr av, alt_av;
    uint32_t alt_pkey_index;
};

/* Changes the state and the attributes that the mask (RVT_QPA_*) names, like the kernel's rvt_modify_qp().
 * All or nothing. docs/semantics.md, V6, has the allowed changes. Takes the engine lock.
 *   0        changed; after a change to RESET or ERR no byte of its work requests moves any more
 *   -EINVAL  the change or a value is not allowed; or the queue pair has no queues
 *   -EBADF   the handle is stale */
int rvt_modify_qp(struct rvt_qp_handle handle, const struct rvt_qp_attr *attr, uint32_t mask);

/* What rvt_query_qp() reports beside the attributes. */
struct rvt_qp_query {
    struct rvt_qp_attr attr;
    uint32_t qpn, type, sig_type;
    uint32_t max_send_wr, max_send_sge, max_recv_wr, max_recv_sge; /* of receives: 0 with a shared queue */
    uint32_t sends, receives;                                      /* work requests in its queues */
    bool sq_draining;
};

/* Reads the attributes, like the kernel's rvt_query_qp().
 *   0        *query is filled
 *   -EINVAL  the queue pair has no queues
 *   -EBADF   the handle is stale */
int rvt_query_qp(struct rvt_qp_handle handle, struct rvt_qp_query *query);

/* *bad of a posting that was refused for the state of the queue pair. */
#define RVT_NO_BAD_WR UINT32_MAX

/* Posts send work requests in order, like the kernel's rvt_post_send(). Those before a bad one stay posted,
 * and *bad (may be NULL) is its index. Takes the engine lock. docs/semantics.md, V8, has the order of the
 * tests.
 *   0        all posted
 *   -EINVAL  the queue pair is not in RTS, SQD or ERR, or has no queues: *bad is RVT_NO_BAD_WR. Or a work
 *            request is invalid
 *   -EACCES  REG_MR: the region is in another domain
 *   -ENOMEM  the queue is full
 *   -EBADF   the handle of the queue pair, or of a REG_MR's region, is stale */
int rvt_post_send(struct rvt_qp_handle handle, const struct rvt_send_wr *wrs, uint32_t count, uint32_t *bad);

/* Where rvt_post_send_from() reads its work requests. */
struct rvt_send_source {
    /* Returns work request `index`, or NULL if it cannot be read. Called for 0, 1, 2, ... with the engine lock
     * held, so it must not call verbs. What it returns must stay valid until the next call. An element list
     * need not have the elements of a work request with more than RVT_MAX_SGE, which is refused. */
    const struct rvt_send_wr *(*read)(void *data, uint32_t index);
    void *data;
};

/* Posts send work requests that need not exist all at once, otherwise as rvt_post_send(): the engine starts
 * when all are posted. -EINVAL also if one cannot be read. */
int rvt_post_send_from(struct rvt_qp_handle handle, const struct rvt_send_source *source, uint32_t count,
                       uint32_t *bad);

/* Posts all of the send work requests or none: if one is refused, those before it are taken back, and the
 * queue is as it was. Otherwise as rvt_post_send_from(), except that each LOCAL_INV is carried out in its
 * turn, as with RVT_SEND_FENCE: what a LOCAL_INV does while it is posted could not be taken back. For the
 * same reason a REG_MR is refused with -EINVAL. */
int rvt_post_send_whole(struct rvt_qp_handle handle, const struct rvt_send_source *source, uint32_t count,
                        uint32_t *bad);

/* Posts receives in order, like the kernel's rvt_post_recv(). Those before a bad one stay posted, and *bad
 * (may be NULL) is its index. In ERR they complete at once as flushed. Takes the engine lock.
 *   0        all posted
 *   -EINVAL  the queue pair is in RESET, has a shared receive queue or no queues (*bad is 0), or a receive has
 *            more elements than max_recv_sge
 *   -ENOMEM  the queue is full
 *   -EBADF   the handle is stale */
int rvt_post_recv(struct rvt_qp_handle handle, const struct rvt_recv_wr *wrs, uint32_t count, uint32_t *bad);

#endif
