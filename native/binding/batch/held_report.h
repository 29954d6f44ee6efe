// SPDX-License-Identifier: BSD-3-Clause
// Who holds elements: what this thread has acquired of a device and not put.
#ifndef RDMAVT_HELD_REPORT_H
#define RDMAVT_HELD_REPORT_H

#include <napi.h>

// heldElements(device): a BigUint64Array of rows (enum rvt_held_row). Elements of a walk whose
// cell is free again have no row.
Napi::Value HeldElements(const Napi::CallbackInfo &info);

#endif
