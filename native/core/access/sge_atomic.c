/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/access/sge_atomic.h"

#include "core/access/sge.h"
#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/region.h"

enum { ATOMIC_BYTES = 8 };

/* Finds the 8-byte word of an element. The caller must be in the call's section. Returns 0, -EINVAL or
 * -EACCES as described in sge_atomic.h. */
static int find_word(struct rvt_data_call *call, const struct rvt_sge *sge, _Atomic(uint64_t) **word,
                     enum rvt_reason *reason) {
    if (!(sge->rights & RVT_ACCESS_REMOTE_ATOMIC)) {
        *reason = RVT_ACCESS_DENIED;
        return rvt_fail_value(RVT_EACCES, RVT_CAUSE_RIGHT_NOT_PROVEN, sge->rights, RVT_ACCESS_REMOTE_ATOMIC);
    }
    if (sge->sge_length != ATOMIC_BYTES)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_WORD_LENGTH, sge->sge_length, ATOMIC_BYTES);
    if (sge->request % ATOMIC_BYTES)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_WORD_ADDRESS, sge->request, ATOMIC_BYTES);
    struct rvt_map *map;
    unsigned char *data;
    uint64_t run;
    *reason = rvt_sge_usable(sge, &map);
    if (!*reason)
        *reason = rvt_sge_pointer(call, sge, map, ATOMIC_BYTES, &data, &run);
    if (*reason)
        return rvt_fail_value(RVT_EACCES, RVT_CAUSE_BYTES_UNUSABLE, 0, ATOMIC_BYTES);
    /* A view may start at any byte, and a segment may be smaller than 8 bytes; then the element's bytes do
     * not form an aligned word. */
    if (run < ATOMIC_BYTES || (uintptr_t)data % ATOMIC_BYTES)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_WORD_MEMORY, 0, ATOMIC_BYTES);
    *word = (_Atomic(uint64_t) *)(void *)data;
    return 0;
}

int rvt_sge_fetch_add(struct rvt_data_call *call, const struct rvt_sge *sge, uint64_t add, uint64_t *old,
                      enum rvt_reason *reason) {
    *reason = RVT_REASON_NONE;
    if (!sge->mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT);
    _Atomic(uint64_t) *word;
    rvt_data_call_enter(call, &sge->mr->owned.device->retirement);
    int error = find_word(call, sge, &word, reason);
    if (!error)
        *old = atomic_fetch_add(word, add); /* sequentially consistent, like Atomics.add */
    rvt_data_call_leave(call);
    rvt_data_call_count(call, 0, *reason);
    return error;
}

int rvt_sge_compare_swap(struct rvt_data_call *call, const struct rvt_sge *sge, uint64_t compare,
                         uint64_t swap, uint64_t *old, enum rvt_reason *reason) {
    *reason = RVT_REASON_NONE;
    if (!sge->mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT);
    _Atomic(uint64_t) *word;
    rvt_data_call_enter(call, &sge->mr->owned.device->retirement);
    int error = find_word(call, sge, &word, reason);
    if (!error) {
        *old = compare; /* unchanged on success, overwritten with the value found on failure */
        atomic_compare_exchange_strong(word, old, swap);
    }
    rvt_data_call_leave(call);
    rvt_data_call_count(call, 0, *reason);
    return error;
}
