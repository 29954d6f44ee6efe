/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/cq.h"

#include <string.h>

#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/faults.h"
#include "core/base/rvt_errno.h"
#include "core/engine/engine_state.h"
#include "core/engine/extension.h"
#include "core/objects/resource.h"

static void show(struct rvt_cq *cq, enum rvt_cq_row field, uint64_t value) {
    atomic_store_explicit(&cq->shown[field - RVT_CQ_CQE], value, memory_order_relaxed);
}

/* --- where the completions are --- */

_Static_assert(RVT_RING_TAIL * sizeof(uint32_t) >= 64 &&
                   (RVT_RING_ENTRIES - RVT_RING_TAIL) * sizeof(uint32_t) >= 64,
               "TAIL shares no cache line with HEAD or the entries");
_Static_assert(RVT_RING_ENTRIES * sizeof(uint32_t) % _Alignof(struct rvt_wc) == 0, "the entries are aligned");

/* Memory for completions: the engine's own, or a ring with a reference on its memory. */
struct storage {
    struct rvt_wc *entries;
    _Atomic(uint32_t) *ring;
    struct rvt_memory *memory;
};

/* Allocates `capacity` entries, counted in the device's memory. Returns false if out of memory. */
static bool allocate(struct rvt_dev_info *device, uint32_t capacity, struct storage *storage) {
    *storage = (struct storage){rvt_zalloc(capacity, sizeof(struct rvt_wc)), NULL, NULL};
    if (!storage->entries)
        return false;
    atomic_fetch_add_explicit(&device->held, capacity * sizeof(struct rvt_wc), memory_order_relaxed);
    return true;
}

/* Uses `memory` as the ring of a queue of `capacity` completions. Returns false if it is not fit for that. */
static bool use_ring(struct rvt_memory *memory, uint32_t capacity, struct storage *storage) {
    unsigned char *bytes = NULL;
    if (memory->length < rvt_cq_ring_bytes(capacity) ||
        memory->ops->resolve(memory, rvt_thread_environment(), &bytes) != RVT_REASON_NONE ||
        (uintptr_t)bytes % _Alignof(struct rvt_wc))
        return false;
    rvt_memory_get(memory);
    *storage = (struct storage){(struct rvt_wc *)(void *)(bytes + RVT_RING_ENTRIES * sizeof(uint32_t)),
                                (_Atomic(uint32_t) *)(void *)bytes, memory};
    atomic_store_explicit(&storage->ring[RVT_RING_TAIL], 0, memory_order_relaxed);
    atomic_store_explicit(&storage->ring[RVT_RING_ENDED], 0, memory_order_relaxed);
    atomic_store_explicit(&storage->ring[RVT_RING_HEAD], 0, memory_order_release);
    return true;
}

static void free_storage(struct rvt_dev_info *device, const struct storage *storage, uint32_t capacity) {
    if (storage->memory) {
        rvt_memory_put(storage->memory);
    } else if (storage->entries) {
        rvt_free(storage->entries);
        atomic_fetch_sub_explicit(&device->held, capacity * sizeof(struct rvt_wc), memory_order_relaxed);
    }
}

/* Returns the place of the entry `index` behind the first one, at most one round ahead. */
static uint32_t slot_of(const struct rvt_cq *cq, uint32_t index) {
    uint64_t slot = cq->first + (uint64_t)index;
    return (uint32_t)(slot < cq->capacity ? slot : slot - cq->capacity);
}

/* Removes the first `count` completions. */
static void remove_first(struct rvt_cq *cq, uint32_t count) {
    cq->first = slot_of(cq, count);
    cq->count -= count;
    /* An empty queue starts from its first entry again, which is still in the cache. The consumer of a ring does not. */
    if (!cq->count && !cq->ring)
        cq->first = 0;
    show(cq, RVT_CQ_HELD, cq->count);
    atomic_store_explicit(&cq->shown_tail, cq->head - cq->count, memory_order_relaxed);
}

/* Returns how many of `count` completions the consumer of a ring has taken. `tail`: how many were taken before
 * these. TAIL may be any number, so the answer is at most `count`. */
static uint32_t count_taken(const struct rvt_cq *cq, uint32_t tail, uint32_t count) {
    /* acquire: the consumer has read the completions before another one is written in their places. */
    uint32_t taken = atomic_load_explicit(&cq->ring[RVT_RING_TAIL], memory_order_acquire) - tail;
    return taken < count ? taken : count;
}

/* Removes what the consumer of the ring has taken. Does nothing if the queue has no ring. */
static void take_back(struct rvt_cq *cq) {
    uint32_t taken = cq->ring ? count_taken(cq, cq->head - cq->count, cq->count) : 0;
    if (taken)
        remove_first(cq, taken);
}

/* --- late completions --- */

/* Removes the first late completion, which the caller must free. */
static struct rvt_late_completion *take_late(struct rvt_cq *cq) {
    struct rvt_late_completion *first = cq->late.first;
    cq->late.first = first->next;
    if (!cq->late.first)
        cq->late.last = NULL;
    cq->late.count--;
    return first;
}

/* --- creating and ending --- */

/* Makes the object alive. The caller must hold both locks. */
static int give_birth(struct rvt_engine *engine, struct rvt_ucontext *context, const struct rvt_cq_init *init,
                      const struct storage *storage, struct rvt_cq_handle *handle) {
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
    cq->entries = storage->entries;
    cq->ring = storage->ring;
    cq->memory = storage->memory;
    cq->capacity = init->cqe;
    cq->first = cq->count = cq->head = cq->users = 0;
    cq->arming = RVT_CQ_UNARMED;
    cq->broken = false;
    cq->special =
        rvt_faults_of(device->faults, RVT_FAULT_OVERFLOW) || rvt_faults_of(device->faults, RVT_FAULT_SLOW);
    cq->late = (struct rvt_late_completions){0};
    cq->in_triggered = (struct rvt_link){NULL, NULL};
    show(cq, RVT_CQ_CQE, cq->capacity);
    show(cq, RVT_CQ_HELD, 0);
    show(cq, RVT_CQ_USERS, 0);
    show(cq, RVT_CQ_BROKEN, 0);
    atomic_store_explicit(&cq->shown_tail, 0, memory_order_relaxed);
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
    struct storage storage = {NULL, NULL, NULL};
    if (init->ring && !use_ring(init->ring, init->cqe, &storage))
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    rvt_engine_lock(engine);
    if (engine->cqs >= limits[RVT_LIMIT_MAX_CQ])
        error =
            rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_TOO_MANY_OBJECTS, RVT_RESOURCE_CQ, limits[RVT_LIMIT_MAX_CQ]);
    else if (!storage.entries && !allocate(device, init->cqe, &storage))
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (!error) {
        rvt_mutex_lock(&device->lock);
        error = give_birth(engine, context, init, &storage, handle);
        rvt_mutex_unlock(&device->lock);
    }
    rvt_engine_finish(engine);
    if (error)
        free_storage(device, &storage, init->cqe);
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
    if (cq->ring)
        atomic_store_explicit(&cq->ring[RVT_RING_ENDED], 1, memory_order_release);
    /* Queue pairs that have just ended may still point to it, so rvt_drain_engine() frees it after them. */
    cq->next_ended = engine->ended_cqs;
    engine->ended_cqs = cq;
    rvt_mark_engine(engine);
}

void rvt_free_ended_cq(struct rvt_engine *engine, struct rvt_cq *cq) {
    rvt_fifo_remove(&engine->triggered, &cq->in_triggered);
    rvt_fifo_remove(&engine->late, &cq->late.in_late);
    while (cq->late.first)
        rvt_free(take_late(cq));
    free_storage(engine->device, &(struct storage){cq->entries, cq->ring, cq->memory}, cq->capacity);
    cq->entries = NULL;
    cq->ring = NULL;
    cq->memory = NULL;
    engine->cqs--;
    rvt_mutex_lock(&engine->device->lock);
    rvt_give_owned(&cq->owned, RVT_RESOURCE_CQ);
    rvt_mutex_unlock(&engine->device->lock);
}

/* --- the verbs --- */

static int resize(struct rvt_engine *engine, struct rvt_cq *cq, uint32_t cqe) {
    const uint32_t most = engine->limits.of[RVT_LIMIT_MAX_CQE];
    if (cq->ring)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_CQ_RING);
    if (!cqe || cqe > most)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_CQE, cqe, most);
    if (cqe < cq->count + cq->late.count)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_CQE_BELOW_HELD, cqe, cq->count + cq->late.count);
    struct storage resized, present = {cq->entries, NULL, NULL};
    if (!allocate(engine->device, cqe, &resized))
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    for (uint32_t i = 0; i < cq->count; i++)
        resized.entries[i] = cq->entries[slot_of(cq, i)];
    free_storage(engine->device, &present, cq->capacity);
    cq->entries = resized.entries;
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
    take_back(cq);
    *attr = (struct rvt_cq_attr){cq->capacity, cq->count, cq->broken};
    rvt_engine_finish(engine);
    return 0;
}

int rvt_poll_cq(struct rvt_cq_handle handle, uint32_t count, struct rvt_wc *entries) {
    uint32_t left;
    return rvt_poll_cq_left(handle, count, entries, &left);
}

int rvt_poll_cq_left(struct rvt_cq_handle handle, uint32_t count, struct rvt_wc *entries, uint32_t *left) {
    *left = 0;
    struct rvt_engine *engine;
    int error;
    struct rvt_cq *cq = lock_live(handle, &engine, &error);
    if (!cq)
        return error;
    take_back(cq);
    if (count > cq->count)
        count = cq->count;
    if (count > INT32_MAX)
        count = INT32_MAX;
    uint32_t before_end = cq->capacity - cq->first, ahead = count < before_end ? count : before_end;
    if (ahead) /* `entries` may be NULL otherwise */
        memcpy(entries, &cq->entries[cq->first], ahead * sizeof(*entries));
    if (count > ahead)
        memcpy(entries + ahead, cq->entries, (count - ahead) * sizeof(*entries));
    remove_first(cq, count);
    if (cq->ring && count)
        atomic_store_explicit(&cq->ring[RVT_RING_TAIL], cq->head - cq->count, memory_order_release);
    *left = cq->count;
    rvt_engine_finish(engine);
    return (int)count;
}

static int drop(struct rvt_cq *cq, uint64_t qp) {
    if (cq->ring)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_CQ_RING);
    uint32_t kept = cq->count;
    for (uint32_t i = cq->count; i-- > 0;) { /* from the newest, as remove_first() removes the oldest */
        const uint32_t from = slot_of(cq, i);
        if (cq->entries[from].qp != qp)
            cq->entries[slot_of(cq, --kept)] = cq->entries[from];
    }
    remove_first(cq, kept);
    return (int)kept;
}

int rvt_drop_completions(struct rvt_cq_handle handle, uint64_t qp) {
    struct rvt_engine *engine;
    int error;
    struct rvt_cq *cq = lock_live(handle, &engine, &error);
    if (!cq)
        return error;
    int dropped = drop(cq, qp);
    rvt_engine_finish(engine);
    return dropped;
}

int rvt_req_notify_cq(struct rvt_cq_handle handle, uint32_t flags) {
    struct rvt_engine *engine;
    int error;
    struct rvt_cq *cq = lock_live(handle, &engine, &error);
    if (!cq)
        return error;
    if (!(cq->arming & RVT_CQ_FOR_NEXT)) /* an arming for the next completion stays */
        cq->arming = (enum rvt_cq_arming)(flags & (RVT_NOTIFY_SOLICITED | RVT_NOTIFY_NEXT));
    take_back(cq);
    int missed = (flags & RVT_NOTIFY_REPORT_MISSED) && cq->count;
    rvt_engine_finish(engine);
    return missed;
}

/* Loses a completion for which there is no room. Late completions become visible first: after RVT_EVENT_CQ_ERR nothing
 * comes any more. */
static bool lose(struct rvt_engine *engine, struct rvt_cq *cq) {
    if (cq->late.count)
        rvt_show_late(engine, cq, true);
    cq->broken = cq->special = true;
    show(cq, RVT_CQ_BROKEN, 1);
    engine->completions.lost++;
    rvt_report_event(engine, RVT_EVENT_CQ_ERR, cq->owned.serial, cq->user);
    return false;
}

/* Adds a completion for which there is room. */
static inline bool enter(struct rvt_engine *engine, struct rvt_cq *cq, const struct rvt_wc *entry,
                         bool solicited) {
    cq->entries[slot_of(cq, cq->count)] = *entry;
    cq->count++;
    if (cq->ring) /* release: whoever sees the new HEAD sees the entry */
        atomic_store_explicit(&cq->ring[RVT_RING_HEAD], ++cq->head, memory_order_release);
    show(cq, RVT_CQ_HELD, cq->count);
    engine->completions.by_status[entry->status]++;
    if (cq->arming & RVT_CQ_FOR_NEXT ||
        (cq->arming == RVT_CQ_FOR_SOLICITED && (solicited || entry->status))) {
        cq->arming = RVT_CQ_UNARMED;
        rvt_fifo_append(&engine->triggered, &cq->in_triggered);
    }
    return true;
}

/* Begins the time after which the first late completion is visible. */
static void start_waiting(struct rvt_engine *engine, struct rvt_cq *cq) {
    cq->late.counts = false;
    rvt_fifo_append(&engine->late, &cq->late.in_late);
    rvt_report_event(engine, RVT_EVENT_TIMER, cq->owned.serial, cq->user);
}

/* Keeps a completion from being visible. Returns false if out of memory. */
static bool hold_back(struct rvt_engine *engine, struct rvt_cq *cq, const struct rvt_wc *entry,
                      bool solicited, bool slow) {
    struct rvt_late_completion *late = rvt_zalloc(1, sizeof(*late));
    if (!late)
        return false;
    *late = (struct rvt_late_completion){NULL, *entry, solicited, slow};
    if (cq->late.last)
        cq->late.last->next = late;
    else
        cq->late.first = late;
    cq->late.last = late;
    if (!cq->late.count++)
        start_waiting(engine, cq);
    return true;
}

void rvt_show_late(struct rvt_engine *engine, struct rvt_cq *cq, bool all) {
    rvt_fifo_remove(&engine->late, &cq->late.in_late);
    do {
        struct rvt_late_completion *late = take_late(cq);
        (void)enter(engine, cq, &late->entry, late->solicited);
        rvt_free(late);
    } while (cq->late.first && (all || !cq->late.first->slow));
    if (cq->late.first)
        start_waiting(engine, cq);
}

/* Adds a completion to a queue that is special or full. */
static __attribute__((noinline)) bool enter_slowly(struct rvt_engine *engine, struct rvt_cq *cq,
                                                   const struct rvt_wc *entry, bool solicited) {
    struct rvt_faults *faults = engine->device->faults;
    take_back(cq);
    if (cq->broken || cq->count + cq->late.count == cq->capacity ||
        rvt_make_fault(faults, RVT_FAULT_OVERFLOW))
        return lose(engine, cq);
    const bool slow = rvt_make_fault(faults, RVT_FAULT_SLOW);
    if (slow || cq->late.count) {
        if (hold_back(engine, cq, entry, solicited, slow))
            return true;
        if (cq->late.count) /* the order of completions stays */
            rvt_show_late(engine, cq, true);
    }
    return enter(engine, cq, entry, solicited);
}

bool rvt_cq_enter(struct rvt_engine *engine, struct rvt_cq *cq, const struct rvt_wc *entry, bool solicited) {
    if (cq->special || cq->count == cq->capacity)
        return enter_slowly(engine, cq, entry, solicited);
    return enter(engine, cq, entry, solicited);
}

static void fill_row(const void *object, uint64_t *out) {
    const struct rvt_cq *cq = object;
    out[RVT_CQ_SERIAL] = cq->owned.serial;
    out[RVT_CQ_CONTEXT] = cq->owned.context;
    for (int field = RVT_CQ_CQE; field < RVT_CQ_FIELDS; field++)
        out[field] = atomic_load_explicit(&cq->shown[field - RVT_CQ_CQE], memory_order_relaxed);
    /* Both numbers may be a moment old, and of different moments. */
    if (cq->ring)
        out[RVT_CQ_HELD] -= count_taken(cq, atomic_load_explicit(&cq->shown_tail, memory_order_relaxed),
                                        (uint32_t)out[RVT_CQ_HELD]);
}

const struct rvt_object_kind rvt_cq_objects = {
    .number = RVT_RESOURCE_CQ,
    .row_fields = RVT_CQ_FIELDS,
    .fill_row = fill_row,
    .object_size = sizeof(struct rvt_cq),
    .end_order = RVT_END_CQS,
    .end = end_cq,
};
