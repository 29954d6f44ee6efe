// SPDX-License-Identifier: BSD-3-Clause
// Reports the elements that this thread has acquired on a device and not put.
#ifndef RDMAVT_HELD_REPORT_H
#define RDMAVT_HELD_REPORT_H

#include <napi.h>

// heldElements(device): returns a BigUint64Array of rows (enum rvt_held_row). Elements that only a walk
// holds, because their cell was emptied, have no row.
Napi::Value HeldElements(const Napi::CallbackInfo &info);

#endif
