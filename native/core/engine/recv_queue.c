/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/recv_queue.h"

#include <string.h>

#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"

static uint64_t bytes_of(uint32_t max_wr, uint32_t max_sge) {
    return (uint64_t)max_wr * (sizeof(struct rvt_rwqe) + (uint64_t)max_sge * sizeof(struct rvt_ib_sge));
}

bool rvt_recv_queue_init(struct rvt_dev_info *device, struct rvt_recv_queue *queue, uint32_t max_wr,
                         uint32_t max_sge) {
    *queue = (struct rvt_recv_queue){.max_wr = max_wr, .max_sge = max_sge};
    if (!max_wr)
        return true;
    queue->wqes = rvt_malloc_many(max_wr, sizeof(*queue->wqes));
    queue->sges = max_sge ? rvt_malloc_many(max_wr, max_sge * sizeof(*queue->sges)) : NULL;
    if (!queue->wqes || (max_sge && !queue->sges)) {
        rvt_free(queue->wqes);
        rvt_free(queue->sges);
        *queue = (struct rvt_recv_queue){0};
        return false;
    }
    atomic_fetch_add_explicit(&device->held, bytes_of(max_wr, max_sge), memory_order_relaxed);
    return true;
}

void rvt_recv_queue_free(struct rvt_dev_info *device, struct rvt_recv_queue *queue) {
    if (queue->wqes)
        atomic_fetch_sub_explicit(&device->held, bytes_of(queue->max_wr, queue->max_sge),
                                  memory_order_relaxed);
    rvt_free(queue->wqes);
    rvt_free(queue->sges);
    *queue = (struct rvt_recv_queue){0};
}

static uint32_t slot_of(const struct rvt_recv_queue *queue, uint32_t index) {
    uint64_t slot = queue->first + (uint64_t)index;
    return (uint32_t)(slot < queue->max_wr ? slot : slot - queue->max_wr);
}

bool rvt_recv_queue_resize(struct rvt_dev_info *device, struct rvt_recv_queue *queue, uint32_t max_wr) {
    struct rvt_recv_queue larger;
    if (!rvt_recv_queue_init(device, &larger, max_wr, queue->max_sge))
        return false;
    for (uint32_t i = 0; i < queue->count; i++) {
        uint32_t from = slot_of(queue, i);
        larger.wqes[i] = queue->wqes[from];
        if (queue->max_sge)
            memcpy(&larger.sges[(size_t)i * queue->max_sge], &queue->sges[(size_t)from * queue->max_sge],
                   queue->max_sge * sizeof(*queue->sges));
    }
    larger.count = queue->count;
    rvt_recv_queue_free(device, queue);
    *queue = larger;
    return true;
}

int rvt_recv_queue_post(struct rvt_recv_queue *queue, const struct rvt_recv_wr *wr, uint32_t index) {
    if (wr->num_sge > queue->max_sge)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_SGES, index, wr->num_sge, queue->max_sge);
    if (queue->count == queue->max_wr)
        return rvt_fail_at(RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, index, queue->count, queue->max_wr);
    uint32_t slot = slot_of(queue, queue->count);
    queue->wqes[slot] = (struct rvt_rwqe){wr->wr_id, wr->num_sge};
    if (wr->num_sge)
        memcpy(&queue->sges[(size_t)slot * queue->max_sge], wr->sges, wr->num_sge * sizeof(*wr->sges));
    queue->count++;
    return 0;
}

bool rvt_recv_queue_take(struct rvt_recv_queue *queue, struct rvt_rwqe *wqe, const struct rvt_ib_sge **sges) {
    if (!queue->count)
        return false;
    *wqe = queue->wqes[queue->first];
    *sges = queue->sges ? &queue->sges[(size_t)queue->first * queue->max_sge] : NULL;
    queue->count--;
    /* An empty queue starts from its first slot again, which is still in the cache. */
    queue->first = queue->count ? slot_of(queue, 1) : 0;
    return true;
}
