/* SPDX-License-Identifier: BSD-3-Clause */
/* Advice on on-demand regions: reads pages in before they are needed. ibv_advise_mr(3). */
#include <sys/mman.h>

#include "ibverbs/memory_map.h"
#include "ibverbs/mr.h"

/* Missing in the C library's headers of Debian 12's age; since Linux 5.14. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* The region with this key. */
struct wanted {
    uint32_t key;
    const struct shim_pd *pd;
    unsigned int access;
    uint64_t address, length;
    unsigned char *bytes;
    bool same_pd;
};

static bool find_region(struct shim_importable *object, void *data) {
    const struct shim_mr *mr = RVT_LIST_ENTRY(object, struct shim_mr, importable);
    struct wanted *wanted = data;
    if (mr->ibv.lkey != wanted->key)
        return false;
    wanted->access = mr->access;
    wanted->address = mr->address;
    wanted->length = mr->ibv.length;
    wanted->bytes = mr->bytes;
    wanted->same_pd = mr->pd->core.pd == wanted->pd->core.pd;
    return true;
}

/* Finds the bytes of an element. Returns 0 or the errno that the manual page names. */
static int judge_element(struct shim_pd *pd, const struct ibv_sge *sge, bool write, unsigned char **bytes) {
    struct wanted wanted = {.key = sge->lkey, .pd = pd};
    shim_enter();
    bool found = shim_visit_importables(pd->context, SHIM_MRS, find_region, &wanted);
    shim_leave();
    if (!found)
        return EFAULT;
    if (!wanted.same_pd || (write && !(wanted.access & IBV_ACCESS_LOCAL_WRITE)))
        return EPERM;
    if (!(wanted.access & IBV_ACCESS_ON_DEMAND))
        return EINVAL;
    if (sge->addr < wanted.address || sge->addr - wanted.address > wanted.length ||
        sge->length > wanted.length - (sge->addr - wanted.address))
        return EFAULT;
    const uint64_t start = (uintptr_t)wanted.bytes + (sge->addr - wanted.address);
    *bytes = (unsigned char *)(uintptr_t)start;
    return shim_judge_range(start, sge->length, write);
}

/* Reads the pages of the bytes in. It is only advice, so an older kernel may do nothing. */
static void populate(unsigned char *bytes, uint64_t length, bool write) {
    const uintptr_t first = (uintptr_t)bytes & ~(uintptr_t)(RVT_PAGE_SIZE - 1);
    const uintptr_t end = (uintptr_t)bytes + length;
    (void)madvise((void *)first, end - first, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

int shim_advise_mr(struct ibv_pd *pd, enum ibv_advise_mr_advice advice, uint32_t flags,
                   struct ibv_sge *sg_list, uint32_t num_sges) {
    const bool write = advice == IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE;
    const bool faults = write || advice == IBV_ADVISE_MR_ADVICE_PREFETCH;
    if (!faults && advice != IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT)
        return EOPNOTSUPP;
    if (flags & ~(uint32_t)IBV_ADVISE_MR_FLAG_FLUSH || !num_sges || !sg_list)
        return EINVAL;
    for (uint32_t i = 0; i < num_sges; i++) {
        unsigned char *bytes;
        int error = judge_element(shim_pd_of(pd), &sg_list[i], write, &bytes);
        if (error)
            return error;
        if (faults && sg_list[i].length)
            populate(bytes, sg_list[i].length, write);
    }
    return 0;
}
