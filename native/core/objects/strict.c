/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/strict.h"

#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"

enum {
    NEED_LOCAL_WRITE = RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_ATOMIC,
    KNOWN = RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_READ |
            RVT_ACCESS_REMOTE_ATOMIC | RVT_ACCESS_MW_BIND,
};

int rvt_choose_rkey_mask(uint32_t bits, bool random, uint32_t *mask) {
    /* The bits between those of the slot and those of the consumer. */
    const uint32_t generations = UINT32_MAX >> bits & ~(uint32_t)RVT_KEY_VARIANT_MASK;
    *mask = random ? 0 : generations;
    while (!*mask) {
        if (!rvt_random_bytes(mask, sizeof(*mask)))
            return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS);
        *mask &= generations;
    }
    return 0;
}

int rvt_judge_strict_offset(const struct rvt_dev_info *device, uint64_t start, uint64_t iova,
                            uint32_t shift) {
    const uint64_t offsets = (UINT64_C(1) << shift) - 1;
    if (!device->rkey_mask || !((start ^ iova) & offsets))
        return 0;
    return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_PAGE_OFFSETS, iova & offsets, start & offsets);
}

int rvt_judge_strict_access(const struct rvt_dev_info *device, uint32_t access) {
    const uint32_t known = access & KNOWN;
    if (!device->rkey_mask)
        return 0;
    if (access & ~(uint32_t)(KNOWN | RVT_ACCESS_OPTIONAL))
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_UNKNOWN_RIGHTS, access, KNOWN | RVT_ACCESS_OPTIONAL);
    if (known & NEED_LOCAL_WRITE && !(known & RVT_ACCESS_LOCAL_WRITE))
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_RIGHTS_NEED_LOCAL_WRITE, known & NEED_LOCAL_WRITE, 0);
    return 0;
}
