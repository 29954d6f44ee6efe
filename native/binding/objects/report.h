// SPDX-License-Identifier: BSD-3-Clause
// What a device tells of itself: its key table, and what lives on it.
#ifndef RDMAVT_BINDING_REPORT_H
#define RDMAVT_BINDING_REPORT_H

#include <napi.h>

#include "binding/environment/open_device.h"
#include "core/rvt.h"

// An object { max, next, generation, used }; `used`: a Float64Array of rows (enum rvt_table_field). -ENOMEM.
Napi::Value ReportKeyTable(Napi::Env env, const rvt_ucontext *to);

// An object { used, max }: the key table's slots, without a look at them.
Napi::Value ReportKeySlots(Napi::Env env, rvt_dev_info *device);

// An array by enum rvt_resource_kind, of BigUint64Arrays of rows. -ENOMEM.
Napi::Value ReportResources(Napi::Env env, OpenDevice &device);

#endif
