/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/cq.h"

#include <string.h>

#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/engine/engine_state.h"
#include "core/engine/extension.h"
#include "core/objects/resource.h"

static void show(struct rvt_cq *cq, enum rvt_cq_row field, uint64_t value) {
    atomic_store_explicit(&cq->shown[field - RVT_CQ_CQE], value, memory_order_relaxed);
}

/* Returns a ring of `capacity` entries, counted in the device's memory, or NULL. */
static struct rvt_wc *allocate_ring(struct rvt_dev_info *device, uint32_t capacity) {
    struct rvt_wc *ring = rvt_zalloc(capacity, sizeof(*ring));
    if (ring)
        atomic_fetch_add_explicit(&device->held, capacity * sizeof(*ring), memory_order_relaxed);
    return ring;
}

static void free_ring(struct rvt_dev_info *device, struct rvt_wc *ring, uint32_t capacity) {
    rvt_free(ring);
    atomic_fetch_sub_explicit(&device->held, capacity * sizeof(*ring), memory_order_relaxed);
}

/* Makes the object alive. The caller must hold both locks. */
static int give_birth(struct rvt_engine *engine, struct rvt_ucontext *context, const struct rvt_cq_init *init,
                      struct rvt_wc *ring, struct rvt_cq_handle *handle) {
    struct rvt_dev_info *device = engine->device;
    if (device->closed || rvt_ucontext_gone(context))
        return rvt_fail_gone(device, context, RVT_CAUSE_DETACHED);
    if (rvt_ucontext_restricted(context))
        return rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    struct rvt_cq *cq = (struct rvt_cq *)rvt_take_owned(device, RVT_RESOURCE_CQ, context);
    if (!cq)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    cq->user = init->user;
    cq->comp_vector = init->comp_vector;
    cq->entries = ring;
    cq->capacity = init->cqe;
    cq->first = cq->count = cq->users = 0;
    cq->arming = RVT_CQ_UNARMED;
    cq->broken = false;
    cq->in_triggered = (struct rvt_link){NULL, NULL};
    show(cq, RVT_CQ_CQE, cq->capacity);
    show(cq, RVT_CQ_HELD, 0);
    show(cq, RVT_CQ_USERS, 0);
    show(cq, RVT_CQ_BROKEN, 0);
    engine->cqs++;
    *handle = (struct rvt_cq_handle){cq, rvt_owned_birth(&cq->owned, RVT_RESOURCE_CQ), context};
    return 0;
}

int rvt_create_cq(struct rvt_dev_info *device, struct rvt_ucontext *context, const struct rvt_cq_init *init,
                  struct rvt_cq_handle *handle) {
    struct rvt_engine *engine = device->engine;
    if (!engine)
        return rvt_fail(RVT_EOPNOTSUPP, RVT_CAUSE_NO_ENGINE);
    const uint32_t *limits = engine->limits.of;
    if (init->flags)
        return rvt_fail_value(RVT_EOPNOTSUPP, RVT_CAUSE_CQ_FLAGS, init->flags, 0);
    if (!init->cqe || init->cqe > limits[RVT_LIMIT_MAX_CQE])
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_CQE, init->cqe, limits[RVT_LIMIT_MAX_CQE]);
    int error = 0;
    struct rvt_wc *ring = NULL;
    rvt_engine_lock(engine);
    if (engine->cqs >= limits[RVT_LIMIT_MAX_CQ])
        error =
            rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_CQ, limits[RVT_LIMIT_MAX_CQ]);
    else if (!(ring = allocate_ring(device, init->cqe)))
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (!error) {
        rvt_mutex_lock(&device->lock);
        error = give_birth(engine, context, init, ring, handle);
        rvt_mutex_unlock(&device->lock);
    }
    rvt_engine_finish(engine);
    if (error && ring)
        free_ring(device, ring, init->cqe);
    return error;
}

/* Takes the engine lock for a verb on a live queue. Returns NULL, without the lock and with *error set, if
 * the handle is stale. */
static struct rvt_cq *lock_live(struct rvt_cq_handle handle, struct rvt_engine **engine, int *error) {
    *engine = handle.cq ? handle.cq->owned.device->engine : NULL;
    *error = 0;
    if (*engine) {
        rvt_engine_lock(*engine);
        struct rvt_cq *cq = rvt_cq_live(handle);
        if (cq)
            return cq;
        rvt_engine_finish(*engine);
    }
    *error = *engine ? rvt_fail_gone((*engine)->device, handle.context, RVT_CAUSE_CQ_GONE)
                     : rvt_fail(RVT_EBADF, RVT_CAUSE_CQ_GONE);
    return NULL;
}

void rvt_cq_use(struct rvt_cq *cq, int more) {
    cq->users += (uint32_t)more;
    show(cq, RVT_CQ_USERS, cq->users);
}

int rvt_destroy_cq(struct rvt_cq_handle handle) {
    struct rvt_engine *engine;
    int error;
    struct rvt_cq *cq = lock_live(handle, &engine, &error);
    if (!cq)
        return error;
    if (cq->users) {
        error = rvt_fail_value(RVT_EBUSY, RVT_CAUSE_CQ_IN_USE, cq->users, 0);
    } else {
        rvt_mutex_lock(&engine->device->lock);
        /* The context may have ended it since. */
        if (rvt_cq_live(handle))
            rvt_cq_objects.end(&cq->owned);
        else
            error = rvt_fail_gone(engine->device, handle.context, RVT_CAUSE_CQ_GONE);
        rvt_mutex_unlock(&engine->device->lock);
    }
    rvt_engine_finish(engine);
    rvt_drain_engine(engine->device);
    return error;
}

static void end_cq(struct rvt_owned *owned) {
    struct rvt_cq *cq = (struct rvt_cq *)owned;
    struct rvt_engine *engine = owned->device->engine;
    rvt_tell_release(owned, RVT_RESOURCE_CQ);
    rvt_owned_death(owned, RVT_RESOURCE_CQ);
    /* Queue pairs that have just ended may still point to it, so rvt_drain_engine() frees it after them. */
    cq->next_ended = engine->ended_cqs;
    engine->ended_cqs = cq;
    rvt_mark_engine(engine);
}

void rvt_free_ended_cq(struct rvt_engine *engine, struct rvt_cq *cq) {
    rvt_fifo_remove(&engine->triggered, &cq->in_triggered);
    free_ring(engine->device, cq->entries, cq->capacity);
    cq->entries = NULL;
    engine->cqs--;
    rvt_mutex_lock(&engine->device->lock);
    rvt_give_owned(&cq->owned, RVT_RESOURCE_CQ);
    rvt_mutex_unlock(&engine->device->lock);
}

static uint32_t slot_of(const struct rvt_cq *cq, uint32_t index) {
    uint64_t slot = cq->first + (uint64_t)index;
    return (uint32_t)(slot < cq->capacity ? slot : slot - cq->capacity);
}

static int resize(struct rvt_engine *engine, struct rvt_cq *cq, uint32_t cqe) {
    const uint32_t most = engine->limits.of[RVT_LIMIT_MAX_CQE];
    if (!cqe || cqe > most)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_CQE, cqe, most);
    if (cqe < cq->count)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_CQE_BELOW_HELD, cqe, cq->count);
    struct rvt_wc *ring = allocate_ring(engine->device, cqe);
    if (!ring)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    for (uint32_t i = 0; i < cq->count; i++)
        ring[i] = cq->entries[slot_of(cq, i)];
    free_ring(engine->device, cq->entries, cq->capacity);
    cq->entries = ring;
    cq->capacity = cqe;
    cq->first = 0;
    show(cq, RVT_CQ_CQE, cqe);
    return 0;
}

int rvt_resize_cq(struct rvt_cq_handle handle, uint32_t cqe) {
    struct rvt_engine *engine;
    int error;
    struct rvt_cq *cq = lock_live(handle, &engine, &error);
    if (!cq)
        return error;
    error = resize(engine, cq, cqe);
    rvt_engine_finish(engine);
    return error;
}

int rvt_query_cq(struct rvt_cq_handle handle, struct rvt_cq_attr *attr) {
    struct rvt_engine *engine;
    int error;
    struct rvt_cq *cq = lock_live(handle, &engine, &error);
    if (!cq)
        return error;
    *attr = (struct rvt_cq_attr){cq->capacity, cq->count, cq->broken};
    rvt_engine_finish(engine);
    return 0;
}

int rvt_poll_cq(struct rvt_cq_handle handle, uint32_t count, struct rvt_wc *entries) {
    struct rvt_engine *engine;
    int error;
    struct rvt_cq *cq = lock_live(handle, &engine, &error);
    if (!cq)
        return error;
    if (count > cq->count)
        count = cq->count;
    if (count > INT32_MAX)
        count = INT32_MAX;
    uint32_t before_end = cq->capacity - cq->first, ahead = count < before_end ? count : before_end;
    if (ahead) /* `entries` may be NULL otherwise */
        memcpy(entries, &cq->entries[cq->first], ahead * sizeof(*entries));
    if (count > ahead)
        memcpy(entries + ahead, cq->entries, (count - ahead) * sizeof(*entries));
    cq->first = slot_of(cq, count);
    cq->count -= count;
    show(cq, RVT_CQ_HELD, cq->count);
    rvt_engine_finish(engine);
    return (int)count;
}

int rvt_req_notify_cq(struct rvt_cq_handle handle, uint32_t flags) {
    struct rvt_engine *engine;
    int error;
    struct rvt_cq *cq = lock_live(handle, &engine, &error);
    if (!cq)
        return error;
    if (!(cq->arming & RVT_CQ_FOR_NEXT)) /* an arming for the next completion stays */
        cq->arming = (enum rvt_cq_arming)(flags & (RVT_NOTIFY_SOLICITED | RVT_NOTIFY_NEXT));
    int missed = (flags & RVT_NOTIFY_REPORT_MISSED) && cq->count;
    rvt_engine_finish(engine);
    return missed;
}

bool rvt_cq_enter(struct rvt_engine *engine, struct rvt_cq *cq, const struct rvt_wc *entry, bool solicited) {
    if (cq->broken || cq->count == cq->capacity) {
        cq->broken = true;
        show(cq, RVT_CQ_BROKEN, 1);
        engine->completions.lost++;
        rvt_report_event(engine, RVT_EVENT_CQ_ERR, cq->owned.serial, cq->user);
        return false;
    }
    cq->entries[slot_of(cq, cq->count)] = *entry;
    cq->count++;
    show(cq, RVT_CQ_HELD, cq->count);
    engine->completions.by_status[entry->status]++;
    if (cq->arming & RVT_CQ_FOR_NEXT ||
        (cq->arming == RVT_CQ_FOR_SOLICITED && (solicited || entry->status))) {
        cq->arming = RVT_CQ_UNARMED;
        rvt_fifo_append(&engine->triggered, &cq->in_triggered);
    }
    return true;
}

static void fill_row(const void *object, uint64_t *out) {
    const struct rvt_cq *cq = object;
    out[RVT_CQ_SERIAL] = cq->owned.serial;
    out[RVT_CQ_CONTEXT] = cq->owned.context;
    for (int field = RVT_CQ_CQE; field < RVT_CQ_FIELDS; field++)
        out[field] = atomic_load_explicit(&cq->shown[field - RVT_CQ_CQE], memory_order_relaxed);
}

const struct rvt_object_kind rvt_cq_objects = {
    .number = RVT_RESOURCE_CQ,
    .row_fields = RVT_CQ_FIELDS,
    .fill_row = fill_row,
    .object_size = sizeof(struct rvt_cq),
    .end_order = RVT_END_CQS,
    .end = end_cq,
};
