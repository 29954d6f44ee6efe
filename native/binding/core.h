// SPDX-License-Identifier: BSD-3-Clause
// The core's headers, for C++. By path, because a quoted include looks beside the including file first and
// some headers of this folder have the same subject, and so the same name.
#ifndef RDMAVT_BINDING_CORE_H
#define RDMAVT_BINDING_CORE_H

#include <atomic> // what the core's atomics are in C++; not inside extern "C"

extern "C" {
#include "../core/access_check.h"
#include "../core/device.h"
#include "../core/device_memory.h"
#include "../core/dma.h"
#include "../core/epoch.h"
#include "../core/memory.h"
#include "../core/mr.h"
#include "../core/pd.h"
#include "../core/reason.h"
#include "../core/region.h"
#include "../core/resource.h"
#include "../core/rvt_errno.h"
#include "../core/sge.h"
#include "../core/sge_atomic.h"
#include "../core/sge_copy.h"
#include "../core/share.h"
#include "../core/ucontext.h"
}

#endif
