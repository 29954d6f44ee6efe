/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/core_mr.h"

#include <errno.h>

int shim_reg_core_mr(struct rvt_pd_handle pd, void *bytes, uint64_t length, uint64_t address, uint32_t access,
                     struct rvt_mr_handle *region, uint32_t *key) {
    struct rvt_mr_birth birth;
    struct rvt_memory *memory = rvt_fixed_memory(bytes, length);
    if (!memory)
        return ENOMEM;
    int error = rvt_reg_user_mr_at(pd, memory, address, address, access, region, &birth);
    rvt_memory_put(memory); /* the region has a reference of its own */
    if (!error)
        *key = birth.key;
    return -error;
}
