/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/mr.h"

#include "core/base/alloc.h"
#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/memory.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/dma.h"
#include "core/objects/lkey_table.h"
#include "core/objects/mw.h"
#include "core/objects/owned.h"
#include "core/objects/resource.h"
#include "core/objects/strict.h"
#include "core/objects/user_memory.h"

int rvt_reg_user_mr_test(struct rvt_pd_handle in, uint64_t start, uint64_t length, uint64_t virt_addr) {
    if (!in.pd)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    struct rvt_dev_info *device = in.pd->owned.device;
    rvt_mutex_lock(&device->lock);
    const struct rvt_lkey_table *table = &device->lkey_table;
    int error = rvt_pd_live(in) ? rvt_judge_user_range(start, length, virt_addr)
                                : rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    if (!error)
        error = rvt_judge_strict_offset(device, start, virt_addr, RVT_PAGE_SHIFT);
    if (!error && !rvt_lkey_available(device))
        error = rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_TABLE_FULL, table->used, table->max);
    rvt_mutex_unlock(&device->lock);
    return error;
}

/* Registers user memory. If `start` is NULL, the device chooses the address; if `iova` is NULL, it equals the
 * start. */
static int register_memory(struct rvt_pd_handle in, struct rvt_memory *memory, const uint64_t *start,
                           const uint64_t *iova, uint32_t access, struct rvt_mr_handle *handle,
                           struct rvt_mr_birth *birth) {
    if (!in.pd)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    struct rvt_dev_info *device = in.pd->owned.device;
    uint64_t length = memory->length, base = start ? *start : 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = NULL;
    int error = rvt_pd_live(in) ? 0 : rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    if (!error && !start)
        error = rvt_next_user_start(device, length, &base);
    uint64_t virt_addr = iova ? *iova : base;
    if (!error)
        error = rvt_judge_user_range(base, length, virt_addr);
    if (!error)
        error = rvt_judge_strict_offset(device, base, virt_addr, RVT_PAGE_SHIFT);
    if (!error)
        error = rvt_judge_strict_access(device, access);
    if (error)
        goto out;
    mr = rvt_mr_take(in, RVT_MR_USER);
    if (!mr) {
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
        goto out;
    }
    rvt_map_user_memory(mr, memory, base, virt_addr);
    mr->access = access;
    rvt_mr_begin_with(mr, &mr->extent);
    error = rvt_mr_publish(mr, handle);
    if (error) {
        rvt_mr_untake(mr);
        goto out;
    }
    rvt_memory_get(memory);
    if (!start)
        rvt_take_user_start(device, length);
    if (birth)
        *birth =
            (struct rvt_mr_birth){rvt_mr_id(mr), base, virt_addr, rvt_mr_key(mr), mr->owned.object.index};
out:
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_reg_user_mr(struct rvt_pd_handle in, struct rvt_memory *memory, uint64_t start, uint64_t virt_addr,
                    uint32_t access, struct rvt_mr_handle *handle) {
    return register_memory(in, memory, &start, &virt_addr, access, handle, NULL);
}

int rvt_reg_user_mr_at(struct rvt_pd_handle in, struct rvt_memory *memory, uint64_t start, uint64_t virt_addr,
                       uint32_t access, struct rvt_mr_handle *handle, struct rvt_mr_birth *birth) {
    return register_memory(in, memory, &start, &virt_addr, access, handle, birth);
}

int rvt_reg_user_mr_anywhere(struct rvt_pd_handle in, struct rvt_memory *memory, const uint64_t *iova,
                             uint32_t access, struct rvt_mr_handle *handle, struct rvt_mr_birth *birth) {
    return register_memory(in, memory, NULL, iova, access, handle, birth);
}

int rvt_get_dma_mr(struct rvt_pd_handle in, uint32_t access, struct rvt_mr_handle *handle) {
    if (!in.pd)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    struct rvt_dev_info *device = in.pd->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = NULL;
    if (!rvt_pd_live(in))
        error = rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    else if (in.pd->user)
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_USER_PD);
    else if ((error = rvt_judge_strict_access(device, access)))
        ;
    else if (!(mr = rvt_mr_take(in, RVT_MR_DMA)))
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (mr) {
        mr->access = access;
        error = rvt_mr_publish(mr, handle);
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_alloc_mr(struct rvt_pd_handle in, enum rvt_mr_type type, uint32_t max_num_sg,
                 struct rvt_mr_handle *handle) {
    if (!in.pd)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    struct rvt_dev_info *device = in.pd->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = NULL;
    if (!rvt_pd_live(in))
        error = rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    else if (type != RVT_MR_TYPE_MEM_REG)
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_MR_TYPE, (uint64_t)type, RVT_MR_TYPE_MEM_REG);
    else if (max_num_sg > INT32_MAX)
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_MAX_NUM_SG, max_num_sg, INT32_MAX);
    else if (!(mr = rvt_mr_take(in, RVT_MR_MEM_REG)))
        error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (mr) {
        mr->max_segments = max_num_sg;
        error = rvt_mr_publish(mr, handle);
        if (error)
            rvt_mr_untake(mr);
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

/* Revokes the region; with RVT_RELEASE_FORCE also ends it and adds what it releases to *passed. The caller
 * must hold the device lock. */
static void begin_end(struct rvt_mregion *mr, enum rvt_release_mode mode, struct rvt_retired **passed) {
    if (mode == RVT_RELEASE_FORCE)
        rvt_mr_end_by_force(mr, passed);
    else
        rvt_mr_revoke(mr, mode == RVT_RELEASE_AWAIT);
}

/* The regions of a list that did not end, because SGEs hold them. Filled only if there are any. */
struct still_held {
    uint64_t elements, regions;
    uint32_t first; /* list index of the first such region */
};

/* Counts a held region once, even if the list names it twice. */
static RVT_COLD void note_held(struct still_held *held, struct rvt_mregion *mr, uint32_t index,
                               uint64_t elements, bool is_first) {
    if (is_first)
        *held = (struct still_held){.first = index};
    if (mr->noted)
        return;
    mr->noted = true;
    held->regions++;
    held->elements += elements;
}

static RVT_COLD void forget_noted(struct rvt_dev_info *device, const struct rvt_mr_handle *handles,
                                  uint32_t count) {
    rvt_mutex_lock(&device->lock);
    for (uint32_t i = 0; i < count; i++) {
        struct rvt_mregion *mr = rvt_mr_live(handles[i]);
        if (mr)
            mr->noted = false;
    }
    rvt_mutex_unlock(&device->lock);
}

/* Ends those of the revoked regions that are not held, after the wait for readers. Returns true and fills
 * *held if some are held. Takes the device lock for 16 regions at a time, because the memory they owned must
 * be put without the lock. */
static bool end_unheld(struct rvt_dev_info *device, const struct rvt_mr_handle *handles, uint32_t count,
                       struct still_held *held) {
    enum { AT_A_TIME = 16 };
    bool any = false;
    for (uint32_t from = 0; from < count; from += AT_A_TIME) {
        struct rvt_retired *passed = NULL;
        struct rvt_memory *memories[AT_A_TIME];
        uint32_t ended = 0;
        rvt_mutex_lock(&device->lock);
        for (uint32_t i = from; i < count && i - from < AT_A_TIME; i++) {
            struct rvt_mregion *mr = rvt_mr_live(handles[i]);
            if (!mr)
                continue; /* named twice, or ended by another thread since the lock was dropped */
            uint64_t elements = rvt_mr_end_unheld(mr, &passed, &memories[ended]);
            if (elements) {
                note_held(held, mr, i, elements, !any);
                any = true;
            } else {
                ended++;
            }
        }
        rvt_mutex_unlock(&device->lock);
        rvt_release_passed(passed);
        while (ended--) {
            if (memories[ended])
                rvt_memory_put(memories[ended]);
            rvt_dev_put(device); /* never the last reference: the caller holds one */
        }
    }
    if (any)
        forget_noted(device, handles, count);
    return any;
}

/* Second half of a verb that ends regions; call it after begin_end() and without the device lock. Waits until
 * every reader that may have found one of the regions has left. From then on no thread copies their bytes
 * without a reference, none can take a new reference, and every reference taken is visible. So only now can
 * the count decide whether a region ends; RVT_RELEASE_FORCE ignores the count. Returns true and fills *held
 * if some regions have not ended. */
static bool finish_end(struct rvt_dev_info *device, const struct rvt_mr_handle *handles, uint32_t count,
                       enum rvt_release_mode mode, struct rvt_retired *passed, struct still_held *held) {
    rvt_drain_extensions(device); /* before the wait: flushing puts references that the end counts */
    uint64_t epoch = rvt_synchronize(&device->retirement);
    bool any = mode != RVT_RELEASE_FORCE && end_unheld(device, handles, count, held);
    rvt_free_retired(&device->retirement, epoch);
    rvt_release_passed(passed);
    return any;
}

/* Sets of region kinds, as bits. */
enum { FMR_KIND = 1 << RVT_MR_FMR, OTHER_KINDS = 1 << RVT_MR_USER | 1 << RVT_MR_DMA | 1 << RVT_MR_MEM_REG };

/* Ends one region, whose kind must be in the set `kinds`. */
static int release_region(struct rvt_mr_handle handle, enum rvt_release_mode mode, uint32_t kinds) {
    if (!handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    struct rvt_dev_info *device = handle.mr->owned.device;
    int error = 0;
    uint64_t windows = 0;
    struct rvt_retired *passed = NULL;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (!mr)
        error = rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    else if (!(UINT32_C(1) << mr->kind & kinds))
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_REGION_KIND, (uint64_t)mr->kind, 0);
    else if (mode != RVT_RELEASE_FORCE && (windows = rvt_mr_windows(mr)))
        error = rvt_fail_value(RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND, windows, 0);
    else
        begin_end(mr, mode, &passed);
    rvt_mutex_unlock(&device->lock);
    if (error)
        return error;
    struct still_held held;
    if (!finish_end(device, &handle, 1, mode, passed, &held))
        return 0;
    return rvt_fail_value(RVT_EBUSY, RVT_CAUSE_REGION_HELD, held.elements, 0);
}

int rvt_dereg_mr(struct rvt_mr_handle handle, enum rvt_release_mode mode) {
    return release_region(handle, mode, OTHER_KINDS);
}

int rvt_dealloc_fmr(struct rvt_mr_handle handle, enum rvt_release_mode mode) {
    return release_region(handle, mode, FMR_KIND);
}

int rvt_release_mr(struct rvt_mr_handle handle, enum rvt_release_mode mode) {
    return release_region(handle, mode, OTHER_KINDS | FMR_KIND);
}

int rvt_dereg_mrs(struct rvt_pd_handle in, const struct rvt_mr_handle *handles, uint32_t count,
                  enum rvt_release_mode mode) {
    if (!in.pd)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    struct rvt_dev_info *device = in.pd->owned.device;
    int error = 0;
    uint64_t windows;
    struct rvt_retired *passed = NULL;
    rvt_mutex_lock(&device->lock);
    if (!rvt_pd_live(in))
        error = rvt_fail_gone(device, in.context, RVT_CAUSE_PD_GONE);
    /* Check the whole list before changing any region, so a failure changes nothing. Compare the device
     * first: the other fields of another device's region must not be read under this lock. */
    for (uint32_t i = 0; i < count && !error; i++) {
        if (!handles[i].mr)
            error = rvt_fail_at(RVT_EINVAL, RVT_CAUSE_LISTED_NO_REGION, i, 0, 0);
        else if (handles[i].mr->owned.device != device)
            error = rvt_fail_at(RVT_EINVAL, RVT_CAUSE_LISTED_ON_OTHER_DEVICE, i, 0, 0);
        else if (rvt_mr_live(handles[i]) && handles[i].mr->pd != in.pd)
            error = rvt_fail_at(RVT_EINVAL, RVT_CAUSE_LISTED_IN_OTHER_PD, i, 0, 0);
        else if (mode != RVT_RELEASE_FORCE && rvt_mr_live(handles[i]) &&
                 (windows = rvt_mr_windows(handles[i].mr)))
            error = rvt_fail_at(RVT_EBUSY, RVT_CAUSE_WINDOWS_BOUND, i, windows, 0);
    }
    for (uint32_t i = 0; i < count && !error; i++)
        if (rvt_mr_live(handles[i])) /* the list may name a region twice */
            begin_end(handles[i].mr, mode, &passed);
    rvt_mutex_unlock(&device->lock);
    if (error)
        return error;
    struct still_held held;
    if (!finish_end(device, handles, count, mode, passed, &held))
        return 0;
    return rvt_fail_at(RVT_EBUSY, RVT_CAUSE_REGIONS_HELD, held.first, held.elements, held.regions);
}

int rvt_query_mr(struct rvt_mr_handle handle, struct rvt_mr_attributes *attributes) {
    if (!handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    struct rvt_dev_info *device = handle.mr->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (!mr) {
        error = rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    } else {
        uint32_t key = rvt_mr_key(mr);
        *attributes = (struct rvt_mr_attributes){
            .id = rvt_mr_id(mr),
            .keys = {key, rvt_other_key(device, key)},
            .kind = mr->kind,
            .access = mr->access,
            .refs = rvt_mr_refs(mr),
            .start = mr->base,
            .iova = mr->visible_iova,
            .length = mr->length,
            .segments = rvt_mr_map(mr)->segments,
            .max_segments = mr->max_segments,
            .valid = mr->valid,
            .half_dead = mr->half_dead,
        };
        const struct rvt_mr_counters *counters = rvt_mr_counters_of(mr);
        if (counters) {
            attributes->counted = true;
            attributes->accepted = atomic_load_explicit(&counters->accepted, memory_order_relaxed);
            attributes->refused = atomic_load_explicit(&counters->refused, memory_order_relaxed);
            attributes->bytes = atomic_load_explicit(&counters->bytes, memory_order_relaxed);
        }
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_find_mr_place(struct rvt_mr_handle handle, struct rvt_mr_place *place) {
    if (!handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    struct rvt_dev_info *device = handle.mr->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    const struct rvt_mregion *mr = rvt_mr_live(handle);
    if (mr) {
        *place = (struct rvt_mr_place){
            .memory = rvt_place_of_memory(mr->extent.memory),
            .pd = mr->pd->owned.serial,
            .length = mr->length,
            .remote_address = mr->iova,
            .access = mr->access,
            .key = rvt_mr_key(mr),
            .kind = mr->kind,
            .works = mr->valid && !mr->half_dead,
        };
    } else {
        error = rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_count_mr(struct rvt_mr_handle handle) {
    if (!handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    struct rvt_dev_info *device = handle.mr->owned.device;
    int error = 0;
    rvt_mutex_lock(&device->lock);
    struct rvt_mregion *mr = rvt_mr_live(handle);
    if (!mr) {
        error = rvt_fail_gone(device, NULL, RVT_CAUSE_REGION_GONE);
    } else if (!rvt_mr_counters_of(mr)) {
        struct rvt_mr_counters *counters = rvt_zalloc(1, sizeof(*counters));
        atomic_store_explicit(&mr->counters, counters, memory_order_release);
        if (!counters)
            error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
        else if (mr->lkey_published && mr->kind != RVT_MR_DMA)
            rvt_mr_rewrite(mr); /* the record now directs checks to the path that counts */
    }
    rvt_mutex_unlock(&device->lock);
    return error;
}

static void end_mr(struct rvt_owned *owned) {
    rvt_mr_end_by_force((struct rvt_mregion *)owned, NULL);
}

static struct rvt_pd *domain_of_mr(const struct rvt_owned *owned) {
    return ((const struct rvt_mregion *)owned)->pd;
}

static void fill_mr_row(const void *object, uint64_t *out) {
    const struct rvt_mregion *mr = object;
    out[RVT_MR_ID] = rvt_mr_id(mr);
    out[RVT_MR_CONTEXT] = mr->owned.context;
    out[RVT_MR_PD] = mr->pd->owned.serial;
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
    out[RVT_MR_INDEX] = rvt_mr_index(mr);
    rvt_place_fields(mr->extent.memory, &out[RVT_MR_MEMORY_KIND]);
}

const struct rvt_object_kind rvt_mr_objects = {
    .number = RVT_RESOURCE_MR,
    .row_fields = RVT_MR_FIELDS,
    .fill_row = fill_mr_row,
    .object_size = sizeof(struct rvt_mregion),
    .end_order = RVT_END_MRS,
    .end = end_mr,
    .domain_of = domain_of_mr,
};
