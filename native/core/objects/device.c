/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/device.h"

#include <string.h>

#include "core/base/alloc.h"
#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/faults.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device_memory.h"
#include "core/objects/mr.h"
#include "core/objects/mw.h"
#include "core/objects/pd.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"
#include "core/objects/share.h"
#include "core/objects/strict.h"
#include "core/objects/ucontext.h"

/* First local and DMA addresses that the device chooses itself. They are short enough to read in a dump, and
 * so high that a small number mistaken for an address is refused. */
static const uint64_t FIRST_USER_START = UINT64_C(0x100000000000);
static const uint64_t FIRST_DMA_ADDRESS = UINT64_C(0x200000000000);

static _Atomic(uint64_t) devices_made;

/* The core's own kinds. Upper layers add theirs through extensions. */
static const struct rvt_object_kind *const core_kinds[] = {
    &rvt_ucontext_objects,      &rvt_pd_objects, &rvt_qp_objects, &rvt_mr_objects, &rvt_dma_objects,
    &rvt_device_memory_objects, &rvt_mw_objects,
};

static int enter_object_kinds(struct rvt_dev_info *device, const struct rvt_device_options *options) {
    for (size_t i = 0; i < sizeof(core_kinds) / sizeof(core_kinds[0]); i++) {
        int error = rvt_enter_object_kind(&device->kinds, core_kinds[i], &device->held);
        if (error)
            return error;
    }
    return rvt_enter_extensions(&device->kinds, options->extensions, options->extension_count, &device->held);
}

int rvt_driver_mr_init(const struct rvt_device_options *options, struct rvt_dev_info **out) {
    uint32_t bits = options->lkey_table_bits;
    if (!bits)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_TABLE_BITS, bits, 0);
    const uint32_t most = options->strict ? RVT_MAX_STRICT_TABLE_BITS : RVT_MAX_LKEY_TABLE_BITS;
    if (bits > most)
        bits = most;
    struct rvt_dev_info *device = rvt_zalloc(1, sizeof(*device));
    if (!device)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (options->faults)
        device->faults = rvt_make_faults(options->faults);
    int error = !options->faults || device->faults ? enter_object_kinds(device, options)
                                                   : rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (!error && options->strict)
        error = rvt_choose_rkey_mask(bits, options->random_keys, &device->rkey_mask);
    if (!error)
        error = rvt_lkey_table_init(&device->lkey_table, bits, options->random_keys, &device->held);
    device->lkey_table.reserved_name = device->rkey_mask >> RVT_KEY_VARIANT_BITS;
    if (error) {
        rvt_free_faults(device->faults);
        rvt_free(device); /* the pools have not allocated anything yet */
        return error;
    }
    rvt_mutex_init(&device->lock);
    atomic_init(&device->references, 1);
    device->number = atomic_fetch_add_explicit(&devices_made, 1, memory_order_relaxed) + 1;
    rvt_retirement_init(&device->retirement, device->number);
    device->remote_key_zero = options->remote_key_zero;
    device->max_pd = UINT32_MAX;
    device->map_generation = 1;
    device->pds_by_serial.held = device->memories_by_serial.held = &device->held;
    device->next_user_start = FIRST_USER_START;
    device->dma.next_address = FIRST_DMA_ADDRESS;
    *out = device;
    return 0;
}

void rvt_dev_get(struct rvt_dev_info *device) {
    atomic_fetch_add_explicit(&device->references, 1, memory_order_relaxed);
}

void rvt_dev_put(struct rvt_dev_info *device) {
    if (atomic_fetch_sub_explicit(&device->references, 1, memory_order_acq_rel) != 1)
        return;
    /* No reader is left, because every live region and mapping and every caller holds a reference on the
     * device. Only retired leaves and tables of the DMA space, which hold no reference, can still be waiting
     * here. */
    for (uint32_t i = 0; i < device->kinds.extension_count; i++)
        if (device->kinds.extensions[i]->destroy)
            device->kinds.extensions[i]->destroy(device);
    rvt_free_retired(&device->retirement, UINT64_MAX);
    rvt_retirement_destroy(&device->retirement);
    rvt_serial_index_clear(&device->pds_by_serial);
    rvt_serial_index_clear(&device->memories_by_serial);
    rvt_destroy_object_kinds(&device->kinds);
    rvt_lkey_table_destroy(&device->lkey_table);
    rvt_mutex_destroy(&device->lock);
    rvt_free_faults(device->faults);
    rvt_free(device);
}

struct rvt_link *rvt_device_end(struct rvt_dev_info *device) {
    atomic_store_explicit(&device->closed, true, memory_order_relaxed);
    rvt_unshare(&device->shared);
    rvt_end_owned(device, NULL);
    rvt_serial_index_clear(&device->pds_by_serial);
    rvt_serial_index_clear(&device->memories_by_serial);
    rvt_lkey_table_end(&device->lkey_table);
    struct rvt_link *memories = device->memories;
    device->memories = NULL;
    for (struct rvt_link *link = memories; link; link = link->next)
        atomic_fetch_or_explicit(&RVT_LIST_ENTRY(link, struct rvt_device_memory, in_device)->uses,
                                 RVT_DEVICE_MEMORY_FREED, memory_order_relaxed);
    return memories;
}

static int close_device(struct rvt_dev_info *device, const struct rvt_ucontext *by, bool cascade,
                        bool *dma_mr_leaked) {
    struct rvt_link *memories = NULL;
    rvt_mutex_lock(&device->lock);
    int error = 0;
    if (rvt_ucontext_gone(by))
        error = rvt_fail_gone(device, by, RVT_CAUSE_DETACHED);
    else if (device->closed)
        error = rvt_fail(RVT_EBADF, RVT_CAUSE_DEVICE_CLOSED);
    else if (rvt_ucontext_restricted(by))
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    else if (!cascade && rvt_owns_anything(device, NULL))
        error = rvt_fail_owns(device, NULL);
    if (!error) {
        if (dma_mr_leaked)
            *dma_mr_leaked = atomic_load_explicit(&device->dma_mr, memory_order_relaxed) != NULL;
        memories = rvt_device_end(device);
    }
    rvt_mutex_unlock(&device->lock);
    if (!error) {
        rvt_drain_extensions(device);
        rvt_settle(&device->retirement);
    }
    rvt_let_go_of_device_memories(memories);
    return error;
}

int rvt_mr_exit(struct rvt_dev_info *device, bool cascade, bool *dma_mr_leaked) {
    return close_device(device, NULL, cascade, dma_mr_leaked);
}

int rvt_mr_exit_by(const struct rvt_ucontext *context, bool cascade, bool *dma_mr_leaked) {
    return close_device(context->device, context, cascade, dma_mr_leaked);
}

int rvt_next_user_start(const struct rvt_dev_info *device, uint64_t length, uint64_t *start) {
    uint64_t next = device->next_user_start;
    /* Compare in two steps: fewer than three pages may be left after the last range, and then the subtraction
     * would wrap. */
    if (next > UINT64_MAX - 3 * RVT_PAGE_SIZE || length > UINT64_MAX - 3 * RVT_PAGE_SIZE - next)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_ADDRESSES_USED_UP, length, 0);
    *start = next;
    return 0;
}

void rvt_take_user_start(struct rvt_dev_info *device, uint64_t length) {
    /* Leave a guard page behind each range, so an access past its end does not hit the next range. */
    device->next_user_start = ((device->next_user_start + length) | (RVT_PAGE_SIZE - 1)) + 1 + RVT_PAGE_SIZE;
}

int rvt_pick_user_start(struct rvt_dev_info *device, uint64_t length, uint64_t *start) {
    rvt_mutex_lock(&device->lock);
    int error = rvt_next_user_start(device, length, start);
    if (!error)
        rvt_take_user_start(device, length);
    rvt_mutex_unlock(&device->lock);
    return error;
}

void rvt_table_report(struct rvt_dev_info *device, struct rvt_table_head *head,
                      void (*emit)(void *context, const struct rvt_table_row *row), void *context) {
    struct rvt_lkey_table *table = &device->lkey_table;
    rvt_mutex_lock(&device->lock);
    *head = (struct rvt_table_head){table->max, table->next, table->generation, table->used};
    /* Skip the scan of an empty table. Scanning the table of a closed device would commit its pages again. */
    uint32_t words = emit && table->used ? (table->max + 63) / 64 : 0;
    for (uint32_t word = 0; word < words; word++) {
        for (uint64_t bits = table->occupied[word]; bits; bits &= bits - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);
            const uint32_t key = slot << (32 - table->bits);
            const struct rvt_mw *mw = rvt_slot_window(table, key);
            const struct rvt_mregion *mr = mw ? mw->mr : rvt_slot_region(table, key);
            struct rvt_table_row row = {slot, mw ? mw->key : rvt_mr_key(mr), mr, mw};
            emit(context, &row);
        }
    }
    rvt_mutex_unlock(&device->lock);
}

int rvt_table_report_to(const struct rvt_ucontext *to, struct rvt_table_head *head,
                        void (*emit)(void *context, const struct rvt_table_row *row), void *context) {
    if (rvt_ucontext_restricted(to))
        return rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    rvt_table_report(to->device, head, emit, context);
    return 0;
}
