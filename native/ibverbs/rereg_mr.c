/* SPDX-License-Identifier: BSD-3-Clause */
/* Re-registration. ibv_rereg_mr(3). */
#include "ibverbs/memory_map.h"
#include "ibverbs/mr.h"

_Static_assert((int)IBV_REREG_MR_ERR_INPUT == -1, "what shim_minus_one() returns");
_Static_assert((int)RVT_REREG_TRANSLATION == (int)IBV_REREG_MR_CHANGE_TRANSLATION &&
                   (int)RVT_REREG_PD == (int)IBV_REREG_MR_CHANGE_PD &&
                   (int)RVT_REREG_ACCESS == (int)IBV_REREG_MR_CHANGE_ACCESS,
               "flags of re-registration");

/* What a region will be: the program's arguments, and the present values of what does not change. */
struct change {
    struct shim_mr *mr;
    unsigned int flags; /* IBV_REREG_MR_CHANGE_* */
    struct shim_pd *pd;
    unsigned char *bytes;
    uint64_t length, address;
    unsigned int access;
    uint32_t key;
};

static bool is_region(struct shim_importable *object, void *data) {
    const struct change *change = data;
    return object == &change->mr->importable;
}

/* Makes the structure say what the region is. Threads that look for a region wait meanwhile. */
static bool change_structure(struct shim_importable *object, void *data) {
    const struct change *change = data;
    struct shim_mr *mr = change->mr;
    if (!is_region(object, data))
        return false;
    mr->pd = change->pd;
    mr->access = change->access;
    mr->address = change->address;
    mr->bytes = change->bytes;
    mr->ibv.pd = &change->pd->ibv;
    mr->ibv.addr = change->bytes;
    mr->ibv.length = change->length;
    mr->ibv.lkey = mr->ibv.rkey = change->key;
    return true;
}

/* Returns whether the structure is the one of the program that has registered the region. What an import stands for
 * cannot be changed by it: only the original has all there is to know of the region. */
static bool is_registered(struct change *change) {
    shim_enter();
    bool found = shim_visit_importables(change->mr->pd->context, SHIM_MRS, is_region, change);
    shim_leave();
    return found;
}

/* Reads the arguments. Returns 0 or a positive errno. */
static int read_change(struct change *change, struct ibv_pd *pd, void *addr, size_t length,
                       unsigned int access) {
    const struct shim_mr *mr = change->mr;
    if (!change->flags || change->flags & ~(unsigned int)IBV_REREG_MR_FLAGS_SUPPORTED)
        return EINVAL;
    if (mr->implicit || mr->dm || !mr->ibv.length || !is_registered(change))
        return EOPNOTSUPP;
    change->access = change->flags & IBV_REREG_MR_CHANGE_ACCESS ? access : mr->access;
    change->pd = mr->pd;
    change->bytes = mr->bytes;
    change->length = mr->ibv.length;
    change->address = mr->address;
    change->key = mr->ibv.lkey;
    if (change->flags & IBV_REREG_MR_CHANGE_PD) {
        if (!pd || shim_pd_of(pd)->context->file != mr->pd->context->file)
            return EINVAL;
        change->pd = shim_pd_of(pd);
    }
    if (change->flags & IBV_REREG_MR_CHANGE_TRANSLATION) {
        if (!addr || !length)
            return EINVAL;
        change->bytes = addr;
        change->length = length;
        change->address = change->access & IBV_ACCESS_ZERO_BASED ? 0 : (uintptr_t)addr;
    }
    int error = shim_judge_access(change->access);
    if (error || change->flags == IBV_REREG_MR_CHANGE_PD)
        return error;
    return shim_judge_range((uintptr_t)change->bytes, change->length, change->access & SHIM_ACCESS_CHANGES);
}

/* Changes the region of the core, and stores its key. Returns 0 or a positive errno. The caller must be inside
 * the gate. */
static int change_core(struct change *change, bool *lost) {
    struct rvt_rereg rereg = {
        .flags = change->flags,
        .start = &change->address,
        .virt_addr = &change->address,
        .access = change->access & SHIM_CORE_ACCESS,
        .pd = change->pd->core,
    };
    struct rvt_mr_birth birth;
    *lost = false;
    if (change->flags & IBV_REREG_MR_CHANGE_TRANSLATION) {
        rereg.memory = rvt_fixed_memory(change->bytes, change->length);
        if (!rereg.memory)
            return ENOMEM;
    }
    int error = rvt_rereg_mr(change->mr->core, &rereg, &birth, lost);
    if (rereg.memory)
        rvt_memory_put(rereg.memory); /* the region has a reference of its own */
    if (!error)
        change->key = birth.key;
    return -error;
}

SHIM_PUBLIC int ibv_rereg_mr(struct ibv_mr *of, int flags, struct ibv_pd *pd, void *addr, size_t length,
                             int access) {
    bool lost = false;
    if (!of)
        return shim_minus_one(EINVAL);
    struct change change = {.mr = shim_mr_of(of), .flags = (unsigned int)flags};
    struct shim_pd *old = change.mr->pd;
    int error = read_change(&change, pd, addr, length, (unsigned int)access);
    if (error)
        return shim_minus_one(error);
    shim_use_pd(change.pd);
    shim_enter();
    error = change_core(&change, &lost);
    if (!error)
        (void)shim_visit_importables(old->context, SHIM_MRS, change_structure, &change);
    shim_leave();
    shim_put_pd(error ? change.pd : old);
    if (!error)
        return 0;
    errno = error;
    return lost ? IBV_REREG_MR_ERR_CMD : IBV_REREG_MR_ERR_INPUT;
}
