/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue of receive work requests: a queue pair's own, or a shared one. Elements are stored unchecked; they
 * are checked when the receive is used. The caller must hold the engine lock. */
#ifndef RVT_ENGINE_RECV_QUEUE_H
#define RVT_ENGINE_RECV_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/engine/wr.h"

struct rvt_dev_info;

struct rvt_rwqe {
    uint64_t wr_id;
    uint32_t num_sge;
};

struct rvt_recv_queue {
    struct rvt_rwqe *wqes;   /* ring of max_wr */
    struct rvt_ib_sge *sges; /* max_sge for each */
    uint32_t max_wr, max_sge, first, count;
};

/* Allocates a queue of max_wr receives with up to max_sge elements each; both may be 0.
 *   true   empty
 *   false  out of memory */
bool rvt_recv_queue_init(struct rvt_dev_info *device, struct rvt_recv_queue *queue, uint32_t max_wr,
                         uint32_t max_sge);

/* Gives the queue room for `max_wr` receives, which must not be fewer than it holds. Returns false, with
 * nothing changed, if out of memory. */
bool rvt_recv_queue_resize(struct rvt_dev_info *device, struct rvt_recv_queue *queue, uint32_t max_wr);

void rvt_recv_queue_free(struct rvt_dev_info *device, struct rvt_recv_queue *queue);

/* Appends a receive. `index` is its index in the caller's list, for the cause of a failure.
 *   0        queued
 *   -EINVAL  more elements than max_sge
 *   -ENOMEM  the queue is full */
int rvt_recv_queue_post(struct rvt_recv_queue *queue, const struct rvt_recv_wr *wr, uint32_t index);

/* Takes the oldest receive: *wqe is its head and *sges its elements, valid until the next post. Returns false
 * if there is none. */
bool rvt_recv_queue_take(struct rvt_recv_queue *queue, struct rvt_rwqe *wqe, const struct rvt_ib_sge **sges);

#endif
