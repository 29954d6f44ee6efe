// SPDX-License-Identifier: BSD-3-Clause
// Reports of a device to JavaScript: its key table and the objects on it.
#ifndef RDMAVT_BINDING_REPORT_H
#define RDMAVT_BINDING_REPORT_H

#include <napi.h>

#include "binding/environment/open_device.h"
#include "core/rvt.h"

// Returns { max, next, generation, used }, where `used` is a Float64Array of rows (enum rvt_table_field), or
// a negative errno: -ENOMEM, or -EPERM for a restricted context.
Napi::Value ReportKeyTable(Napi::Env env, const rvt_ucontext *to);

// Returns { used, max }: the number of used key table slots and of all slots, without scanning them.
Napi::Value ReportKeySlots(Napi::Env env, rvt_dev_info *device);

// Returns an array, indexed by enum rvt_resource_kind, of BigUint64Arrays of rows, or -ENOMEM. The arguments may be
// such arrays, one for each kind: if the rows of a kind fit into its array, they are written there. If there is any
// argument, the buffer of a new array is longer than its rows, so that a later report with more rows fits there.
Napi::Value ReportResources(const Napi::CallbackInfo &info, OpenDevice &device);

#endif
