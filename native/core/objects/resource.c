/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/resource.h"

#include "core/objects/device.h"
#include "core/objects/pd.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"
#include "core/objects/ucontext.h"

uint32_t rvt_resource_fields(enum rvt_resource_kind kind) {
    static const uint32_t fields[RVT_RESOURCE_KINDS] = {
        [RVT_RESOURCE_CONTEXT] = RVT_CONTEXT_FIELDS, [RVT_RESOURCE_PD] = RVT_PD_FIELDS,
        [RVT_RESOURCE_QP] = RVT_QP_FIELDS,           [RVT_RESOURCE_MR] = RVT_MR_FIELDS,
        [RVT_RESOURCE_DMA] = RVT_DMA_FIELDS,         [RVT_RESOURCE_MEMORY] = RVT_MEMORY_FIELDS,
    };
    return (unsigned)kind < RVT_RESOURCE_KINDS ? fields[kind] : 0;
}

static void pd_fields(const struct rvt_object *object, uint64_t *out) {
    const struct rvt_pd *pd = (const struct rvt_pd *)object;
    out[RVT_PD_SERIAL] = pd->serial;
    out[RVT_PD_CONTEXT] = pd->context;
    out[RVT_PD_USER] = atomic_load_explicit(&pd->user, memory_order_relaxed);
    out[RVT_PD_CHILDREN] = pd->children;
}

static void qp_fields(const struct rvt_object *object, uint64_t *out) {
    const struct rvt_qp *qp = (const struct rvt_qp *)object;
    out[RVT_QP_SERIAL] = qp->serial;
    out[RVT_QP_CONTEXT] = qp->context;
    out[RVT_QP_PD] = rvt_qp_pd(qp)->serial;
}

static void mr_fields(const struct rvt_object *object, uint64_t *out) {
    const struct rvt_mregion *mr = (const struct rvt_mregion *)object;
    out[RVT_MR_ID] = mr->id;
    out[RVT_MR_CONTEXT] = mr->context;
    out[RVT_MR_PD] = mr->pd->serial;
    out[RVT_MR_KEY] = rvt_mr_key(mr);
    out[RVT_MR_KIND] = (uint64_t)mr->kind;
    out[RVT_MR_ACCESS] = mr->access;
    out[RVT_MR_REFS] = rvt_mr_refs(mr);
    out[RVT_MR_START] = mr->base;
    out[RVT_MR_IOVA] = mr->visible_iova;
    out[RVT_MR_LENGTH] = mr->length;
    out[RVT_MR_SEGMENTS] = rvt_mr_map(mr)->segments;
    out[RVT_MR_MAX_SEGMENTS] = mr->max_segments;
    out[RVT_MR_VALID] = mr->valid;
    out[RVT_MR_HALF_DEAD] = mr->half_dead;
}

static void dma_fields(const struct rvt_object *object, uint64_t *out) {
    const struct rvt_dma_map *map = (const struct rvt_dma_map *)object;
    out[RVT_DMA_SERIAL] = map->serial;
    out[RVT_DMA_CONTEXT] = map->context;
    out[RVT_DMA_ADDRESS] = map->address;
    out[RVT_DMA_LENGTH] = map->length;
    out[RVT_DMA_USERS] = atomic_load_explicit(&map->users, memory_order_relaxed);
}

void rvt_resource_report(struct rvt_dev_info *device,
                         bool (*emit)(void *context, enum rvt_resource_kind kind, const uint64_t *fields),
                         void *context) {
    const struct {
        enum rvt_resource_kind kind;
        const struct rvt_pool *pool;
        void (*fields)(const struct rvt_object *object, uint64_t *out);
    } pools[] = {
        {RVT_RESOURCE_PD, &device->pds, pd_fields},
        {RVT_RESOURCE_QP, &device->qps, qp_fields},
        {RVT_RESOURCE_MR, &device->mrs, mr_fields},
        {RVT_RESOURCE_DMA, &device->dma.maps, dma_fields},
    };
    uint64_t fields[RVT_RESOURCE_MOST_FIELDS];
    bool more = true;
    rvt_mutex_lock(&device->lock);
    for (const struct rvt_ucontext *user = device->contexts; user && more; user = user->next) {
        fields[RVT_CONTEXT_ID] = user->id;
        more = emit(context, RVT_RESOURCE_CONTEXT, fields);
    }
    for (unsigned i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
        const struct rvt_object *object;
        for (uint32_t at = 0; more && (object = rvt_pool_next_alive(pools[i].pool, &at));) {
            pools[i].fields(object, fields);
            more = emit(context, pools[i].kind, fields);
        }
    }
    for (const struct rvt_device_memory *memory = device->memories; memory && more; memory = memory->next) {
        fields[RVT_MEMORY_SERIAL] = memory->serial;
        fields[RVT_MEMORY_BYTES] = memory->memory.length;
        fields[RVT_MEMORY_USES] = atomic_load_explicit(&memory->uses, memory_order_relaxed);
        fields[RVT_MEMORY_HUGE] = memory->huge;
        more = emit(context, RVT_RESOURCE_MEMORY, fields);
    }
    rvt_mutex_unlock(&device->lock);
}
