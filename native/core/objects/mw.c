/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/mw.h"

#include <assert.h>

#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/lkey_table.h"
#include "core/objects/resource.h"
#include "core/objects/ucontext.h"

enum { REMOTE_RIGHTS = RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_READ | RVT_ACCESS_REMOTE_ATOMIC };
enum { NEED_LOCAL_WRITE = RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_ATOMIC };
static const uint64_t LAST_BINDING = (UINT64_C(1) << RVT_MW_BINDING_BITS) - 1;

/* The index of a window fits above its binding, because a window in use has a slot of the key table. */
static_assert(RVT_MAX_LKEY_TABLE_BITS + RVT_MW_BINDING_BITS <= 63, "an acceptance has 64 bits");

struct rvt_mw_handle rvt_mw_find_by(const struct rvt_ucontext *context, uint32_t index, uint64_t generation) {
    struct rvt_dev_info *device = context->device;
    struct rvt_object *object = rvt_pool_find(&device->kinds.slots[RVT_RESOURCE_MW].pool, index);
    if (!object || !(generation & 1) || !rvt_object_generation(object))
        return (struct rvt_mw_handle){NULL, 0};
    struct rvt_mw_handle handle = {(struct rvt_mw *)object, generation};
    if (!rvt_ucontext_restricted(context))
        return handle;
    rvt_mutex_lock(&device->lock);
    bool own = rvt_mw_live(handle) && handle.mw->owned.context == context->id;
    rvt_mutex_unlock(&device->lock);
    return own ? handle : (struct rvt_mw_handle){NULL, 0};
}

/* Returns the key that peers use. `key` is that of the record. */
static uint32_t visible_key(const struct rvt_mw *mw) {
    return rvt_other_key(mw->owned.device, mw->key);
}

/* Fills *entry with the content that the window's record must have now. */
static void fill_entry(const struct rvt_mw *mw, struct rvt_lkey_entry *entry) {
    *entry = (struct rvt_lkey_entry){
        .key = mw->key,
        .pd = mw->pd->id,
        .access = mw->access,
        .shape = RVT_SHAPE_WINDOW,
        .base = (uint64_t)(uintptr_t)mw, /* no local check uses a window, so its address has room here */
        .iova = mw->addr,
        .length = mw->length,
        .region = UINT32_MAX, /* no reference can be counted */
    };
    if (!mw->mr)
        return;
    const struct rvt_map *map = &mw->mr->extent;
    /* COUNTED: whether the region has counters is found when a check counts. */
    entry->shape = rvt_shape(map->offset, mw->mr->shift, false) | RVT_SHAPE_WINDOW | RVT_SHAPE_EXTENT |
                   RVT_SHAPE_COUNTED;
    if ((atomic_load_explicit(&mw->position, memory_order_relaxed) + mw->length) >> mw->mr->shift >=
        map->segments)
        entry->shape |= RVT_SHAPE_END_UNMAPPED;
    entry->map = &mw->mr->extent;
    entry->region = mw->mr->owned.object.index;
}

static void write_record(struct rvt_mw *mw) {
    const struct rvt_lkey_table *table = &mw->owned.device->lkey_table;
    struct rvt_lkey_entry entry;
    fill_entry(mw, &entry);
    rvt_record_replace(table, rvt_lkey_record(table, mw->key), &entry);
}

/* Takes a window object and resets all fields; it has no key yet. Returns NULL if memory is short. */
static struct rvt_mw *take(struct rvt_dev_info *device, struct rvt_pd *pd, struct rvt_ucontext *context) {
    struct rvt_mw *mw = (struct rvt_mw *)rvt_take_owned(device, RVT_RESOURCE_MW, context);
    if (!mw)
        return NULL;
    mw->pd = pd;
    mw->key = mw->access = 0;
    mw->mr = NULL;
    mw->in_mr = (struct rvt_link){NULL, NULL};
    mw->addr = mw->length = mw->qp_serial = 0;
    mw->lease = false;
    mw->type = RVT_MW_TYPE_TWO;
    atomic_store_explicit(&mw->binding, 0, memory_order_release);
    return mw;
}

/* Gives the completed window its key and its handle. */
static int publish(struct rvt_mw *mw, struct rvt_mw_handle *handle, uint32_t *key) {
    struct rvt_dev_info *device = mw->owned.device;
    int error = rvt_new_key(device, &mw->key);
    if (error)
        return error;
    struct rvt_lkey_entry entry;
    fill_entry(mw, &entry);
    rvt_fill_slot(&device->lkey_table, &entry, &mw->owned);
    *handle = (struct rvt_mw_handle){mw, rvt_owned_birth(&mw->owned, RVT_RESOURCE_MW)};
    if (key)
        *key = visible_key(mw);
    return 0;
}

static void bind_to(struct rvt_mw *mw, struct rvt_mregion *mr, const struct rvt_bind *bind,
                    const struct rvt_qp_handle *qp, uint64_t deadline) {
    struct rvt_dev_info *device = mw->owned.device;
    mw->mr = mr;
    mw->addr = bind->addr;
    mw->length = bind->length;
    mw->access = bind->access;
    mw->qp_serial = qp ? qp->qp->owned.serial : 0;
    rvt_list_add(&mr->windows, &mw->in_mr);
    device->mw_bindings = device->mw_bindings % LAST_BINDING + 1; /* never 0 */
    atomic_store_explicit(&mw->qp, qp ? &qp->qp->owned.object : NULL, memory_order_release);
    atomic_store_explicit(&mw->qp_generation, qp ? qp->generation : 0, memory_order_release);
    atomic_store_explicit(&mw->deadline, deadline, memory_order_release);
    atomic_store_explicit(&mw->position, bind->addr - mr->iova + mr->extent.offset, memory_order_release);
    atomic_store_explicit(&mw->binding, device->mw_bindings, memory_order_release);
}

/* Takes the window out of its region. The caller then writes its record or frees its slot. */
static void unbind(struct rvt_mw *mw) {
    rvt_list_remove(&mw->in_mr);
    mw->mr = NULL;
    mw->addr = mw->length = mw->qp_serial = 0;
    mw->access = 0;
    atomic_store_explicit(&mw->binding, 0, memory_order_release);
}

/* Ends the window. Its object can be reused at once: readers that still look at it find another sequence in the
 * record, and SGEs that name it another binding. */
static void end(struct rvt_mw *mw) {
    struct rvt_dev_info *device = mw->owned.device;
    rvt_tell_release(&mw->owned, RVT_RESOURCE_MW);
    if (mw->lease)
        device->leases--;
    rvt_free_slot(&device->lkey_table, mw->key);
    unbind(mw);
    rvt_owned_death(&mw->owned, RVT_RESOURCE_MW);
    rvt_give_owned(&mw->owned, RVT_RESOURCE_MW);
}

int rvt_alloc_mw(struct rvt_pd_handle in, uint32_t type, struct rvt_mw_handle *handle, uint32_t *key) {
    if (!in.pd)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    if (type != RVT_MW_TYPE_ONE && type != RVT_MW_TYPE_TWO)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_WINDOW_TYPE, type, RVT_MW_TYPE_TWO);
    struct rvt_dev_info *device = in.pd->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mw *mw = NULL;
    if (!rvt_pd_live(in))
        error = rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    else if (!(mw = take(device, in.pd, in.context)))
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (mw) {
        mw->type = type;
        error = publish(mw, handle, key);
        if (error)
            rvt_give_owned(&mw->owned, RVT_RESOURCE_MW);
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_dealloc_mw(struct rvt_mw_handle handle) {
    if (!handle.mw)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_WINDOW_GONE);
    struct rvt_dev_info *device = handle.mw->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mw *mw = rvt_mw_live(handle);
    if (mw)
        end(mw);
    else
        error = rvt_fail_gone(device, NULL, RVT_CAUSE_WINDOW_GONE);
    rvt_mutex_unlock(&device->lock);
    if (!error) {
        rvt_drain_extensions(device);
        rvt_settle(&device->retirement);
    }
    return error;
}

/* Judges what a window may be bound to; `mr` is live. The compliance statements are of the specification. */
static int judge_bind(struct rvt_mregion *mr, const struct rvt_bind *bind) {
    if (mr->kind != RVT_MR_USER)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_REGION_KIND, (uint64_t)mr->kind, 0);
    if (mr->half_dead)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_HALF_DEAD, rvt_mr_held(mr), 0);
    if (mr->reregistering)
        return rvt_fail(RVT_EBUSY, RVT_CAUSE_REREG_RUNNING);
    if (!mr->valid)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_BIND_INVALID, rvt_mr_key(mr), 0);
    if (bind->access & ~(uint32_t)REMOTE_RIGHTS)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_BIND_RIGHTS, bind->access, REMOTE_RIGHTS);
    if ((bind->access & NEED_LOCAL_WRITE) && !(mr->access & RVT_ACCESS_LOCAL_WRITE)) /* C10-74 */
        return rvt_fail_value(RVT_EACCES, RVT_CAUSE_BIND_NEEDS_LOCAL_WRITE, bind->access & NEED_LOCAL_WRITE,
                              mr->access);
    if (!bind->length) /* o10-37.2.40: a window of type 2 is unbound by invalidation, not by binding nothing */
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_BIND_EMPTY);
    uint64_t into = bind->addr - mr->iova; /* C10-75 */
    if (bind->addr < mr->iova || into > mr->length || bind->length > mr->length - into)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_BIND_OUTSIDE, 0, bind->addr, bind->length);
    return 0;
}

static int judge_window(const struct rvt_mw *mw, const struct rvt_pd *pd, const struct rvt_bind *bind) {
    if (mw->pd != pd) /* C10-72 */
        return rvt_fail(RVT_EACCES, RVT_CAUSE_WINDOW_IN_OTHER_PD);
    if (mw->lease)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_WINDOW_IS_LEASE);
    if (mw->mr && mw->type == RVT_MW_TYPE_TWO) /* o10-37.2.30 */
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_WINDOW_BOUND, visible_key(mw), rvt_mr_id(mw->mr));
    if ((bind->key ^ visible_key(mw)) & ~(uint32_t)RVT_KEY_VARIANT_MASK)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_WINDOW_KEY_SLOT, bind->key, visible_key(mw));
    return 0;
}

/* Judges the region of a bind, which may be NULL if its handle is stale. */
static int judge_region(struct rvt_mregion *mr, struct rvt_dev_info *device, const struct rvt_pd *pd,
                        const struct rvt_bind *bind) {
    if (!mr)
        return rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    if (mr->pd != pd)
        return rvt_fail(RVT_EACCES, RVT_CAUSE_REGION_IN_OTHER_PD);
    if (mr->kind == RVT_MR_USER && !(mr->access & RVT_ACCESS_MW_BIND)) /* C10-73 */
        return rvt_fail_value(RVT_EACCES, RVT_CAUSE_BIND_NOT_ALLOWED, mr->access, RVT_ACCESS_MW_BIND);
    return judge_bind(mr, bind);
}

/* *unbound: the window was bound before, so the caller must wait for readers. */
static int bind_window(struct rvt_dev_info *device, struct rvt_qp_handle qp, struct rvt_mw_handle handle,
                       const struct rvt_bind *bind, bool *unbound) {
    struct rvt_mw *mw = rvt_mw_live(handle);
    if (!rvt_qp_live(qp))
        return rvt_fail_gone(device, qp.context, RVT_CAUSE_QP_GONE);
    if (!mw)
        return rvt_fail_gone(device, NULL, RVT_CAUSE_WINDOW_GONE);
    const struct rvt_pd *pd = rvt_qp_pd(qp.qp);
    const bool nothing = mw->type == RVT_MW_TYPE_ONE && !bind->length;
    struct rvt_mregion *mr = rvt_mr_live(bind->mr);
    int error = judge_window(mw, pd, bind);
    if (!error && !nothing)
        error = judge_region(mr, device, pd, bind);
    if (error)
        return error;
    *unbound = mw->mr != NULL;
    if (mw->mr)
        unbind(mw);
    if (!nothing)
        bind_to(mw, mr, bind, mw->type == RVT_MW_TYPE_TWO ? &qp : NULL, UINT64_MAX);
    mw->key = rvt_other_key(device, bind->key);
    write_record(mw);
    return 0;
}

int rvt_bind_mw(struct rvt_qp_handle qp, struct rvt_mw_handle mw, const struct rvt_bind *bind) {
    if (!qp.qp)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_QP_GONE);
    if (!mw.mw)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_WINDOW_GONE);
    struct rvt_dev_info *device = qp.qp->owned.device;
    if (mw.mw->owned.device != device)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_WINDOW_ON_OTHER_DEVICE);
    if (bind->mr.mr && bind->mr.mr->owned.device != device)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_REGION_ON_OTHER_DEVICE);
    bool unbound = false;
    rvt_mutex_lock(&device->lock);
    int error = bind_window(device, qp, mw, bind, &unbound);
    rvt_mutex_unlock(&device->lock);
    if (unbound)
        rvt_settle(&device->retirement);
    return error;
}

/* Judges a lease for a live region. */
static int judge_lease(struct rvt_mregion *mr, const struct rvt_bind *bind, const struct rvt_qp_handle *qp) {
    if (qp && !rvt_qp_live(*qp))
        return rvt_fail_gone(mr->owned.device, qp->context, RVT_CAUSE_QP_GONE);
    if (qp && rvt_qp_pd(qp->qp) != mr->pd)
        return rvt_fail(RVT_EACCES, RVT_CAUSE_REGION_IN_OTHER_PD);
    int error = judge_bind(mr, bind);
    if (!error && !bind->access)
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_BIND_RIGHTS, 0, REMOTE_RIGHTS);
    if (!error && (bind->access & ~mr->access))
        error = rvt_fail_value(RVT_EACCES, RVT_CAUSE_LEASE_RIGHTS, bind->access & ~mr->access, mr->access);
    return error;
}

static int lease(struct rvt_dev_info *device, struct rvt_ucontext *context, const struct rvt_bind *bind,
                 const struct rvt_qp_handle *qp, uint64_t ms, struct rvt_mw_handle *handle, uint32_t *key) {
    struct rvt_mregion *mr = rvt_mr_live(bind->mr);
    if (!mr)
        return rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    int error = judge_lease(mr, bind, qp);
    if (error)
        return error;
    (void)rvt_mr_windows(mr); /* ends those of the region that have expired */
    struct rvt_mw *mw = take(device, mr->pd, context);
    if (!mw)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    const uint64_t now = rvt_coarse_ms();
    mw->lease = true;
    bind_to(mw, mr, bind, qp, ms < UINT64_MAX - now ? now + ms : UINT64_MAX);
    error = publish(mw, handle, key);
    if (error) {
        unbind(mw);
        rvt_give_owned(&mw->owned, RVT_RESOURCE_MW);
        return error;
    }
    device->leases++;
    return 0;
}

int rvt_lease_mr(struct rvt_ucontext *context, const struct rvt_bind *bind, const struct rvt_qp_handle *qp,
                 uint64_t ms, struct rvt_mw_handle *mw, uint32_t *key) {
    if (!bind->mr.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    if (qp && !qp->qp)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_QP_GONE);
    struct rvt_dev_info *device = bind->mr.mr->owned.device;
    if (qp && qp->qp->owned.device != device)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_REGION_ON_OTHER_DEVICE);
    rvt_mutex_lock(&device->lock);
    int error = rvt_ucontext_gone(context) ? rvt_fail_gone(device, context, RVT_CAUSE_DETACHED)
                                           : lease(device, context, bind, qp, ms, mw, key);
    rvt_mutex_unlock(&device->lock);
    return error;
}

static bool has_expired(const struct rvt_mw *mw, uint64_t now) {
    return now >= atomic_load_explicit(&mw->deadline, memory_order_acquire);
}

int rvt_query_mw(struct rvt_mw_handle handle, struct rvt_mw_attributes *attributes) {
    if (!handle.mw)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_WINDOW_GONE);
    struct rvt_dev_info *device = handle.mw->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    const struct rvt_mw *mw = rvt_mw_live(handle);
    if (mw)
        *attributes = (struct rvt_mw_attributes){
            .id = mw->owned.serial,
            .key = visible_key(mw),
            .access = mw->access,
            .bound = mw->mr != NULL,
            .lease = mw->lease,
            .type = mw->type,
            .expired = mw->mr && has_expired(mw, rvt_coarse_ms()),
            .region = mw->mr ? rvt_mr_id(mw->mr) : 0,
            .addr = mw->addr,
            .length = mw->length,
            .qp = mw->qp_serial,
            .deadline = atomic_load_explicit(&mw->deadline, memory_order_relaxed),
        };
    else
        error = rvt_fail_gone(device, NULL, RVT_CAUSE_WINDOW_GONE);
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_invalidate_mw(struct rvt_mw *mw, const struct rvt_qp *qp) {
    if (mw->pd != rvt_qp_pd(qp))
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_KEY_IN_OTHER_PD, visible_key(mw), 0);
    if (mw->type == RVT_MW_TYPE_ONE)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_WINDOW_TYPE, RVT_MW_TYPE_ONE, RVT_MW_TYPE_TWO);
    if (!mw->mr)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_WINDOW_UNBOUND, visible_key(mw), 0);
    if (mw->qp_serial && mw->qp_serial != qp->owned.serial)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_WINDOW_OF_OTHER_QP, visible_key(mw), mw->qp_serial);
    if (mw->lease) {
        end(mw);
        return 0;
    }
    unbind(mw);
    write_record(mw);
    return 0;
}

uint64_t rvt_mr_windows(struct rvt_mregion *mr) {
    uint64_t bound = 0;
    const uint64_t now = mr->windows ? rvt_coarse_ms() : 0;
    struct rvt_link *next;
    for (struct rvt_link *link = mr->windows; link; link = next) {
        struct rvt_mw *mw = RVT_LIST_ENTRY(link, struct rvt_mw, in_mr);
        next = link->next;
        if (mw->lease && has_expired(mw, now))
            end(mw);
        else
            bound++;
    }
    return bound;
}

void rvt_mr_drop_windows(struct rvt_mregion *mr) {
    while (mr->windows) {
        struct rvt_mw *mw = RVT_LIST_ENTRY(mr->windows, struct rvt_mw, in_mr);
        if (mw->lease) {
            end(mw);
        } else {
            unbind(mw);
            write_record(mw);
        }
    }
}

void rvt_end_expired_leases(struct rvt_dev_info *device) {
    struct rvt_owned *owned;
    const uint64_t now = device->leases ? rvt_coarse_ms() : 0;
    for (uint32_t at = 0; device->leases && (owned = rvt_next_object(device, RVT_RESOURCE_MW, &at));) {
        struct rvt_mw *mw = (struct rvt_mw *)owned;
        if (mw->lease && has_expired(mw, now))
            end(mw);
    }
}

enum rvt_reason rvt_mw_usable(const struct rvt_mregion *mr, uint64_t acceptance) {
    const uint32_t index = (uint32_t)((acceptance & ~RVT_MW_ACCEPTED) >> RVT_MW_BINDING_BITS);
    const struct rvt_mw *mw = (const struct rvt_mw *)(const void *)rvt_pool_find(
        &mr->owned.device->kinds.slots[RVT_RESOURCE_MW].pool, index);
    const uint64_t binding = acceptance & LAST_BINDING;
    /* The binding is compared again after the deadline was read: only the two together are of one life of the
     * window. */
    if (!mw || atomic_load_explicit(&mw->binding, memory_order_acquire) != binding)
        return RVT_WINDOW_ENDED;
    const bool expired = has_expired(mw, rvt_coarse_ms());
    if (atomic_load_explicit(&mw->binding, memory_order_acquire) != binding)
        return RVT_WINDOW_ENDED;
    return expired ? RVT_LEASE_EXPIRED : RVT_REASON_NONE;
}

static void end_mw(struct rvt_owned *owned) {
    end((struct rvt_mw *)owned);
}

static struct rvt_pd *domain_of_mw(const struct rvt_owned *owned) {
    return ((const struct rvt_mw *)owned)->pd;
}

static void fill_mw_row(const void *object, uint64_t *out) {
    const struct rvt_mw *mw = object;
    const uint64_t deadline = atomic_load_explicit(&mw->deadline, memory_order_relaxed);
    const uint64_t now = mw->lease ? rvt_coarse_ms() : 0;
    out[RVT_MW_ID] = mw->owned.serial;
    out[RVT_MW_CONTEXT] = mw->owned.context;
    out[RVT_MW_PD] = mw->pd->owned.serial;
    out[RVT_MW_KEY] = visible_key(mw);
    out[RVT_MW_LEASE] = mw->lease;
    out[RVT_MW_REGION] = mw->mr ? rvt_mr_id(mw->mr) : 0;
    out[RVT_MW_ADDRESS] = mw->addr;
    out[RVT_MW_LENGTH] = mw->length;
    out[RVT_MW_ACCESS] = mw->access;
    out[RVT_MW_QP] = mw->qp_serial;
    out[RVT_MW_MS_LEFT] = mw->lease && now < deadline ? deadline - now : 0;
}

const struct rvt_object_kind rvt_mw_objects = {
    .number = RVT_RESOURCE_MW,
    .row_fields = RVT_MW_FIELDS,
    .fill_row = fill_mw_row,
    .object_size = sizeof(struct rvt_mw),
    .end_order = RVT_END_MWS,
    .end = end_mw,
    .domain_of = domain_of_mw,
};
