/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/ucontext.h"

#include "core/base/alloc.h"
#include "core/base/epoch.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/pd.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"

int rvt_alloc_ucontext(struct rvt_dev_info *device, struct rvt_ucontext **out) {
    struct rvt_ucontext *context = rvt_zalloc_aligned(1, sizeof(*context));
    if (!context)
        return -RVT_ENOMEM;
    rvt_mutex_lock(&device->lock);
    int error = device->closed ? -RVT_EBADF : 0;
    if (!error) {
        rvt_dev_get(device);
        context->device = device;
        context->id = ++device->contexts_made;
        context->next = device->contexts;
        device->contexts = context;
        *out = context;
    }
    rvt_mutex_unlock(&device->lock);
    if (error)
        rvt_free_aligned(context);
    return error;
}

/* The next live object of the pool that belongs to context `id`, or NULL. The field lies at another place in
 * each kind, so the caller tells how to find it. */
static struct rvt_object *next_of(const struct rvt_pool *pool, uint32_t *at, uint64_t id,
                                  uint64_t (*owner)(const struct rvt_object *object)) {
    struct rvt_object *object;
    while ((object = rvt_pool_next_alive(pool, at)))
        if (owner(object) == id)
            return object;
    return NULL;
}

static uint64_t pd_owner(const struct rvt_object *object) {
    return ((const struct rvt_pd *)object)->context;
}
static uint64_t qp_owner(const struct rvt_object *object) {
    return ((const struct rvt_qp *)object)->context;
}
static uint64_t mr_owner(const struct rvt_object *object) {
    return ((const struct rvt_mregion *)object)->context;
}
static uint64_t dma_owner(const struct rvt_object *object) {
    return ((const struct rvt_dma_map *)object)->context;
}

static bool owns_anything(struct rvt_dev_info *device, uint64_t id) {
    uint32_t at[4] = {0};
    return next_of(&device->pds, &at[0], id, pd_owner) || next_of(&device->qps, &at[1], id, qp_owner) ||
           next_of(&device->mrs, &at[2], id, mr_owner) || next_of(&device->dma.maps, &at[3], id, dma_owner);
}

/* In the order in which a device closes. Under the lock. */
static void end_all(struct rvt_dev_info *device, uint64_t id) {
    struct rvt_object *object;
    for (uint32_t at = 0; (object = next_of(&device->qps, &at, id, qp_owner));)
        rvt_qp_end((struct rvt_qp *)object);
    for (uint32_t at = 0; (object = next_of(&device->mrs, &at, id, mr_owner));)
        rvt_mr_release((struct rvt_mregion *)object, RVT_RELEASE_FORCE);
    for (uint32_t at = 0; (object = next_of(&device->pds, &at, id, pd_owner));)
        rvt_pd_end((struct rvt_pd *)object);
    rvt_dma_close_of(device, id);
}

int rvt_dealloc_ucontext(struct rvt_ucontext *context, bool cascade) {
    struct rvt_dev_info *device = context->device;
    struct rvt_device_memory *memories = NULL;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    if (context->gone)
        error = -RVT_EBADF;
    else if (!cascade && owns_anything(device, context->id))
        error = -RVT_EBUSY;
    if (!error) {
        end_all(device, context->id);
        atomic_store_explicit(&context->gone, true, memory_order_relaxed);
        rvt_counters_add(&device->past_counts, &context->counters);
        struct rvt_ucontext **link = &device->contexts;
        while (*link != context)
            link = &(*link)->next;
        *link = context->next;
        if (!device->contexts && !device->closed)
            memories = rvt_device_end(device);
    }
    rvt_mutex_unlock(&device->lock);
    rvt_let_go_of_device_memories(memories);
    rvt_reclaim();
    return error;
}

void rvt_free_ucontext(struct rvt_ucontext *context) {
    if (!context)
        return;
    struct rvt_dev_info *device = context->device;
    rvt_free_aligned(context);
    rvt_dev_put(device);
}

int rvt_ucontext_live(const struct rvt_ucontext *context) {
    struct rvt_dev_info *device = context->device;
    rvt_mutex_lock(&device->lock);
    int error = device->closed || rvt_ucontext_gone(context) ? -RVT_EBADF : 0;
    rvt_mutex_unlock(&device->lock);
    return error;
}

void rvt_read_counters(struct rvt_dev_info *device, const struct rvt_ucontext *only,
                       struct rvt_counts *counts) {
    *counts = (struct rvt_counts){0};
    if (only) {
        rvt_counters_add(counts, &only->counters);
        return;
    }
    rvt_mutex_lock(&device->lock);
    *counts = device->past_counts;
    for (const struct rvt_ucontext *context = device->contexts; context; context = context->next)
        rvt_counters_add(counts, &context->counters);
    rvt_mutex_unlock(&device->lock);
}
