/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/inline_data.h"

#include <errno.h>
#include <stdlib.h>

#include "ibverbs/core_mr.h"

int shim_inline_init(struct shim_inline_slots *slots, struct rvt_pd_handle pd, uint32_t max_wr,
                     uint32_t bytes) {
    const uint64_t total = ((uint64_t)max_wr + 1) * bytes;
    unsigned char *allocated = calloc(1, total);
    if (!allocated)
        return ENOMEM;
    /* Local write access, because the core asks for it in SEND_WITH_INV. */
    int error = shim_reg_core_mr(pd, allocated, total, (uintptr_t)allocated, RVT_ACCESS_LOCAL_WRITE,
                                 &slots->region, &slots->lkey);
    if (error) {
        free(allocated);
        return error;
    }
    slots->bytes = allocated;
    slots->slot_bytes = bytes;
    slots->slots = max_wr + 1;
    slots->next = 0;
    return 0;
}

void shim_inline_destroy(struct shim_inline_slots *slots) {
    if (!slots->bytes)
        return;
    /* By force: no queued work request is left, and the bytes are freed now. */
    (void)rvt_dereg_mr(slots->region, RVT_RELEASE_FORCE);
    free(slots->bytes);
    slots->bytes = NULL;
}

unsigned char *shim_inline_slot(const struct shim_inline_slots *slots) {
    return slots->bytes + (size_t)slots->next * slots->slot_bytes;
}

void shim_inline_advance(struct shim_inline_slots *slots) {
    slots->next = slots->next + 1 == slots->slots ? 0 : slots->next + 1;
}
