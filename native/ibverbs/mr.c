/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory regions. ibv_reg_mr(3), ibv_reg_mr_iova(3), ibv_import_mr(3). rereg_mr.c changes them. */
#include "ibverbs/mr.h"

#include <stdlib.h>

#include "ibverbs/core_mr.h"
#include "ibverbs/dm.h"
#include "ibverbs/implicit_mr.h"
#include "ibverbs/memory_map.h"

/* ZERO_BASED changes the address and was used by the caller. No memory is ever pinned, so ON_DEMAND is nothing
 * special. HUGETLB and the optional flags are hints. */
enum {
    WITHOUT_EFFECT =
        IBV_ACCESS_ZERO_BASED | IBV_ACCESS_ON_DEMAND | IBV_ACCESS_HUGETLB | IBV_ACCESS_OPTIONAL_RANGE,
};

int shim_judge_access(unsigned int access) {
    const unsigned int remote = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC;
    if (access & ~(unsigned int)(SHIM_CORE_ACCESS | WITHOUT_EFFECT))
        return EINVAL;
    /* In the kernel this is a rule of ib_core, which calls rdmavt. The core of this project follows rdmavt. */
    return (access & remote) && !(access & IBV_ACCESS_LOCAL_WRITE) ? EINVAL : 0;
}

static bool is_implicit(const struct shim_mr_init *init) {
    return (init->access & IBV_ACCESS_ON_DEMAND) && !init->bytes && init->length == SIZE_MAX;
}

/* Registers the region in the core, and stores its key. Returns 0 or a positive errno. The caller must be
 * inside the gate. */
static int register_bytes(struct shim_mr *mr, const struct shim_mr_init *init) {
    int error = shim_reg_core_mr(mr->pd->core, init->bytes, init->length, init->address,
                                 init->access & SHIM_CORE_ACCESS, &mr->core, &mr->ibv.lkey);
    mr->ibv.rkey = mr->ibv.lkey;
    return error;
}

/* The same for a region without bytes: one of the core's into which nothing is mapped. No work request can
 * name a byte of it. */
static int register_nothing(struct shim_mr *mr) {
    struct rvt_mr_attributes attributes;
    int error = rvt_alloc_mr(mr->pd->core, RVT_MR_TYPE_MEM_REG, 0, &mr->core);
    if (!error)
        error = rvt_query_mr(mr->core, &attributes);
    mr->ibv.lkey = mr->ibv.rkey = error ? 0 : attributes.keys.lkey;
    return -error;
}

/* The same for a region over all memory of the process. */
static int register_everything(struct shim_mr *mr, const struct shim_mr_init *init) {
    int error;
    mr->implicit = shim_reg_implicit_mr(mr->pd->core, init->access & SHIM_CORE_ACCESS, &error);
    mr->ibv.lkey = mr->ibv.rkey = mr->implicit ? mr->implicit->keys[0] : 0;
    return error;
}

/* Registers the region. Returns 0 or a positive errno. The caller must be inside the gate. */
static int register_region(struct shim_mr *mr, const struct shim_mr_init *init) {
    int error = !init->length       ? register_nothing(mr)
                : is_implicit(init) ? register_everything(mr, init)
                                    : register_bytes(mr, init);
    if (error)
        return error;
    shim_list_importable(mr->pd->context, SHIM_MRS, &mr->importable);
    mr->ibv.handle = mr->importable.handle;
    return 0;
}

/* Allocates the structure of a region in the domain. Returns NULL if out of memory. */
static struct shim_mr *new_mr(struct ibv_pd *pd) {
    struct shim_mr *mr = calloc(1, sizeof(*mr));
    if (!mr)
        return NULL;
    mr->ibv.context = pd->context;
    mr->ibv.pd = pd;
    mr->pd = shim_pd_of(pd);
    shim_use_pd(mr->pd);
    return mr;
}

/* The caller must be outside the gate. */
static void free_mr(struct shim_mr *mr) {
    if (mr->dm)
        shim_put_dm_region(mr->dm);
    shim_put_pd(mr->pd);
    free(mr);
}

struct ibv_mr *shim_reg_mr(struct ibv_pd *pd, const struct shim_mr_init *init) {
    int error = shim_judge_access(init->access);
    if (error)
        return shim_null(error);
    struct shim_mr *mr = new_mr(pd);
    if (!mr)
        return shim_null(ENOMEM);
    mr->ibv.length = init->length;
    mr->ibv.addr = init->dm ? NULL : init->bytes;
    mr->access = init->access;
    mr->address = init->address;
    mr->bytes = init->bytes;
    shim_enter();
    error = register_region(mr, init);
    shim_leave();
    if (error) {
        free_mr(mr);
        return shim_null(error);
    }
    mr->dm = init->dm;
    return &mr->ibv;
}

/* Registers memory of the program. */
static struct ibv_mr *register_program_memory(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
                                              unsigned int access) {
    if (!pd)
        return shim_null(EINVAL);
    /* Adapters differ in this. The core has such regions only without access rights. */
    if (!length)
        return shim_null(EOPNOTSUPP);
    const struct shim_mr_init init = {
        .bytes = addr,
        .length = length,
        .address = access & IBV_ACCESS_ZERO_BASED ? 0 : iova,
        .access = access,
    };
    if (is_implicit(&init) && init.address)
        return shim_null(EINVAL); /* all addresses are those of the process */
    if (!is_implicit(&init) && shim_judge_range((uintptr_t)addr, length, access & SHIM_ACCESS_CHANGES))
        return shim_null(EFAULT);
    return shim_reg_mr(pd, &init);
}

SHIM_PUBLIC struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access) {
    return register_program_memory(pd, addr, length, (uintptr_t)addr, (unsigned int)access);
}

SHIM_PUBLIC struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
                                           int access) {
    return register_program_memory(pd, addr, length, iova, (unsigned int)access);
}

SHIM_PUBLIC struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
                                            unsigned int access) {
    return register_program_memory(pd, addr, length, iova, access);
}

SHIM_PUBLIC int ibv_dereg_mr(struct ibv_mr *of) {
    if (!of)
        return EINVAL;
    struct shim_mr *mr = shim_mr_of(of);
    shim_enter();
    int error = mr->implicit ? shim_dereg_implicit_mr(mr->implicit)
                             : shim_end_error(rvt_dereg_mr(mr->core, RVT_RELEASE));
    if (!error)
        shim_unlist_importable(&mr->importable);
    shim_leave();
    if (!error)
        free_mr(mr);
    return error;
}

/* --- importing --- */

/* `data` is the structure of the import, in which the wanted handle is. */
static bool copy_region(struct shim_importable *object, void *data) {
    const struct shim_mr *original = RVT_LIST_ENTRY(object, struct shim_mr, importable);
    struct shim_mr *mr = data;
    if (object->handle != mr->ibv.handle || original->implicit)
        return false;
    mr->core = original->core;
    mr->ibv.length = original->ibv.length;
    mr->ibv.lkey = original->ibv.lkey;
    mr->ibv.rkey = original->ibv.rkey;
    return true;
}

SHIM_PUBLIC struct ibv_mr *ibv_import_mr(struct ibv_pd *pd, uint32_t handle) {
    if (!pd)
        return shim_null(EINVAL);
    struct shim_mr *mr = new_mr(pd);
    if (!mr)
        return shim_null(ENOMEM);
    mr->ibv.handle = handle;
    shim_enter();
    bool found = shim_visit_importables(mr->pd->context, SHIM_MRS, copy_region, mr);
    shim_leave();
    if (!found) {
        free_mr(mr);
        return shim_null(ENOENT);
    }
    return &mr->ibv;
}

SHIM_PUBLIC void ibv_unimport_mr(struct ibv_mr *of) {
    if (of)
        free_mr(shim_mr_of(of));
}

/* --- what the core does not have --- */

SHIM_PUBLIC struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova,
                                             int fd, int access) {
    (void)pd, (void)offset, (void)length, (void)iova, (void)fd, (void)access;
    return shim_null(EOPNOTSUPP);
}
