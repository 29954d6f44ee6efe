/* SPDX-License-Identifier: BSD-3-Clause */
/* Device memory. ibv_alloc_dm(3), ibv_reg_dm_mr(3), ibv_import_dm(3). */
#include "ibverbs/dm.h"

#include <stdlib.h>
#include <string.h>

#include "ibverbs/mr.h"

enum {
    UNIT = 4,            /* copies start at a multiple of it and are a multiple of it long, in bytes */
    LEAST_ALIGNMENT = 6, /* log2 of bytes */
    MOST_ALIGNMENT = 12,
};

/* The bytes, which an allocation and its imports share. */
struct storage {
    struct shim_core *core;
    uint64_t length;
    unsigned char *bytes;
    _Atomic(unsigned) users;
};

struct shim_dm {
    struct ibv_dm ibv;
    struct shim_context *context;
    struct storage *storage;
    struct shim_importable importable; /* listed only if the program has allocated the memory */
    _Atomic(unsigned) users;           /* the program and the regions in it */
};

static struct shim_dm *dm_of(struct ibv_dm *dm) {
    return (struct shim_dm *)(void *)dm;
}

/* --- the bytes --- */

/* Takes `length` bytes of what the device has. Returns false if it has not so many. */
static bool take_bytes(struct shim_core *core, uint64_t length) {
    uint64_t taken = atomic_load_explicit(&core->dm_bytes, memory_order_relaxed);
    do {
        if (length > SHIM_MAX_DM_BYTES - taken)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&core->dm_bytes, &taken, taken + length,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static struct storage *new_storage(struct shim_core *core, uint64_t length, uint32_t log_align) {
    if (!take_bytes(core, length))
        return NULL;
    struct storage *storage = calloc(1, sizeof(*storage));
    void *bytes = NULL;
    if (!storage || posix_memalign(&bytes, (size_t)1 << log_align, length)) {
        free(storage);
        atomic_fetch_sub_explicit(&core->dm_bytes, length, memory_order_relaxed);
        return NULL;
    }
    memset(bytes, 0, length);
    storage->core = core;
    storage->length = length;
    storage->bytes = bytes;
    atomic_init(&storage->users, 1);
    return storage;
}

static void put_storage(struct storage *storage) {
    if (atomic_fetch_sub_explicit(&storage->users, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub_explicit(&storage->core->dm_bytes, storage->length, memory_order_relaxed);
    free(storage->bytes);
    free(storage);
}

/* Returns 0 or a positive errno. */
static int judge_copy(const struct shim_dm *dm, uint64_t offset, uint64_t length) {
    const uint64_t size = dm->storage->length;
    if (offset % UNIT || length % UNIT)
        return EINVAL;
    return offset > size || length > size - offset ? EINVAL : 0;
}

static int copy_to(struct ibv_dm *to, uint64_t offset, const void *from, size_t length) {
    const struct shim_dm *dm = dm_of(to);
    int error = judge_copy(dm, offset, length);
    if (!error && length)
        memcpy(dm->storage->bytes + offset, from, length);
    return error;
}

static int copy_from(void *to, struct ibv_dm *from, uint64_t offset, size_t length) {
    const struct shim_dm *dm = dm_of(from);
    int error = judge_copy(dm, offset, length);
    if (!error && length)
        memcpy(to, dm->storage->bytes + offset, length);
    return error;
}

/* --- allocating and importing --- */

/* Returns a structure for the bytes, without a reference on them; NULL if out of memory. */
static struct shim_dm *new_dm(struct shim_context *context) {
    struct shim_dm *dm = calloc(1, sizeof(*dm));
    if (!dm)
        return NULL;
    shim_get_context(context);
    dm->context = context;
    dm->ibv.context = &context->verbs.context;
    dm->ibv.memcpy_to_dm = copy_to;
    dm->ibv.memcpy_from_dm = copy_from;
    dm->ibv.comp_mask = IBV_DM_MASK_HANDLE;
    atomic_init(&dm->users, 1);
    return dm;
}

/* Ends a use. The caller must be outside the gate. */
static void put(struct shim_dm *dm) {
    if (atomic_fetch_sub_explicit(&dm->users, 1, memory_order_acq_rel) != 1)
        return;
    if (dm->storage)
        put_storage(dm->storage);
    shim_put_context(dm->context);
    free(dm);
}

struct ibv_dm *shim_alloc_dm(struct ibv_context *of, struct ibv_alloc_dm_attr *attr) {
    if (!attr || !attr->length)
        return shim_null(EINVAL);
    if (attr->comp_mask)
        return shim_null(EOPNOTSUPP);
    if (attr->log_align_req > MOST_ALIGNMENT)
        return shim_null(EINVAL);
    if (attr->length > SHIM_MAX_DM_BYTES)
        return shim_null(ENOMEM);
    struct shim_context *context = shim_context_of(of);
    struct shim_dm *dm = new_dm(context);
    if (!dm)
        return shim_null(ENOMEM);
    uint32_t log_align = attr->log_align_req > LEAST_ALIGNMENT ? attr->log_align_req : LEAST_ALIGNMENT;
    dm->storage = new_storage(context->file->core, attr->length, log_align);
    if (!dm->storage) {
        put(dm);
        return shim_null(ENOMEM);
    }
    shim_enter();
    shim_list_importable(context, SHIM_DMS, &dm->importable);
    shim_leave();
    dm->ibv.handle = dm->importable.handle;
    return &dm->ibv;
}

int shim_free_dm(struct ibv_dm *of) {
    struct shim_dm *dm = dm_of(of);
    if (atomic_load_explicit(&dm->users, memory_order_acquire) > 1)
        return EBUSY;
    shim_enter();
    shim_unlist_importable(&dm->importable);
    shim_leave();
    put(dm);
    return 0;
}

/* `data` is the structure of the import, in which the wanted handle is. */
static bool share_storage(struct shim_importable *object, void *data) {
    const struct shim_dm *original = RVT_LIST_ENTRY(object, struct shim_dm, importable);
    struct shim_dm *dm = data;
    if (object->handle != dm->ibv.handle)
        return false;
    atomic_fetch_add_explicit(&original->storage->users, 1, memory_order_relaxed);
    dm->storage = original->storage;
    return true;
}

SHIM_PUBLIC struct ibv_dm *ibv_import_dm(struct ibv_context *into, uint32_t handle) {
    if (!into)
        return shim_null(EINVAL);
    struct shim_dm *dm = new_dm(shim_context_of(into));
    if (!dm)
        return shim_null(ENOMEM);
    dm->ibv.handle = handle;
    shim_enter();
    bool found = shim_visit_importables(dm->context, SHIM_DMS, share_storage, dm);
    shim_leave();
    if (!found) {
        put(dm);
        return shim_null(ENOENT);
    }
    return &dm->ibv;
}

SHIM_PUBLIC void ibv_unimport_dm(struct ibv_dm *of) {
    if (of)
        put(dm_of(of)); /* the last region that was registered with the import frees it */
}

/* --- regions --- */

struct ibv_mr *shim_reg_dm_mr(struct ibv_pd *pd, struct ibv_dm *of, uint64_t offset, size_t length,
                              unsigned int access) {
    if (!of || of->context != pd->context)
        return shim_null(EINVAL);
    struct shim_dm *dm = dm_of(of);
    const uint64_t size = dm->storage->length;
    /* ibv_alloc_dm(3): such a region is addressed from 0. */
    if (!(access & IBV_ACCESS_ZERO_BASED) || offset > size || length > size - offset)
        return shim_null(EINVAL);
    const struct shim_mr_init init = {
        .bytes = dm->storage->bytes + offset,
        .length = length,
        .address = 0,
        .access = access,
        .dm = dm,
    };
    atomic_fetch_add_explicit(&dm->users, 1, memory_order_relaxed);
    struct ibv_mr *mr = shim_reg_mr(pd, &init);
    if (!mr)
        atomic_fetch_sub_explicit(&dm->users, 1, memory_order_relaxed); /* not the last one: the program's */
    return mr;
}

void shim_put_dm_region(struct shim_dm *dm) {
    put(dm);
}
