/* SPDX-License-Identifier: BSD-3-Clause */
/* The core's public header: the layers above, such as the Node-API binding, include this and no other header
 * of the core. Usable from C and C++. */
#ifndef RVT_H
#define RVT_H

#ifdef __cplusplus
#include <atomic> /* the core's atomics in C++; templates are not allowed inside extern "C" */
extern "C" {
#endif

#include "core/access/batch.h"
#include "core/access/check.h"
#include "core/access/sge.h"
#include "core/access/sge_atomic.h"
#include "core/access/sge_copy.h"
#include "core/base/epoch.h"
#include "core/base/failure.h"
#include "core/base/faults.h"
#include "core/base/memory.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/engine/ah.h"
#include "core/engine/carrier_verbs.h"
#include "core/engine/cq.h"
#include "core/engine/engine.h"
#include "core/engine/qp_verbs.h"
#include "core/engine/srq.h"
#include "core/engine/wr.h"
#include "core/layout_hash.h"
#include "core/objects/device.h"
#include "core/objects/device_memory.h"
#include "core/objects/dma.h"
#include "core/objects/key_report.h"
#include "core/objects/mr.h"
#include "core/objects/mw.h"
#include "core/objects/pd.h"
#include "core/objects/qp.h"
#include "core/objects/region.h"
#include "core/objects/rereg.h"
#include "core/objects/resource.h"
#include "core/objects/share.h"
#include "core/objects/ucontext.h"

#ifdef __cplusplus
}
#endif

#endif
