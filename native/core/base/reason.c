/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/reason.h"

static const char *const names[RVT_REASON_COUNT] = {
    [RVT_REASON_NONE] = "None",
    [RVT_KEY_ZERO_DENIED] = "KeyZeroDenied",
    [RVT_NO_DMA_REGION] = "NoDmaRegion",
    [RVT_NO_SUCH_KEY] = "NoSuchKey",
    [RVT_REVOKED] = "Revoked",
    [RVT_STALE_KEY] = "StaleKey",
    [RVT_INVALIDATED] = "Invalidated",
    [RVT_WRONG_PD] = "WrongPd",
    [RVT_OUT_OF_BOUNDS] = "OutOfBounds",
    [RVT_ACCESS_DENIED] = "AccessDenied",
    [RVT_UNMAPPED] = "Unmapped",
    [RVT_MEMORY_DETACHED] = "MemoryDetached",
    [RVT_MEMORY_SHRUNK] = "MemoryShrunk",
    [RVT_REMAPPED] = "Remapped",
    [RVT_REGION_REVOKED] = "RegionRevoked",
    [RVT_OTHER_ENVIRONMENT] = "OtherEnvironment",
    [RVT_CLOSED] = "Closed",
    [RVT_WINDOW_UNBOUND] = "WindowUnbound",
    [RVT_WINDOW_LOCAL] = "WindowLocal",
    [RVT_WINDOW_OTHER_QP] = "WindowOtherQp",
    [RVT_LEASE_EXPIRED] = "LeaseExpired",
    [RVT_WINDOW_ENDED] = "WindowEnded",
};

const char *rvt_reason_name(enum rvt_reason reason) {
    return (unsigned)reason < RVT_REASON_COUNT ? names[reason] : "None";
}
