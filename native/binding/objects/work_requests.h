// SPDX-License-Identifier: BSD-3-Clause
// Posts lists of work requests that JavaScript passes as arrays of 32-bit words: postSend(words, count, ahs) and
// postRecv(words, count), see lib/internal/native.ts.
#ifndef RDMAVT_BINDING_WORK_REQUESTS_H
#define RDMAVT_BINDING_WORK_REQUESTS_H

#include <napi.h>

#include "binding/environment/open_device.h"
#include "core/rvt.h"

Napi::Value PostSendArray(const Napi::CallbackInfo &info, OpenDevice &device, rvt_qp_handle qp);
Napi::Value PostRecvArray(const Napi::CallbackInfo &info, OpenDevice &device, rvt_qp_handle qp);
Napi::Value PostRecvArray(const Napi::CallbackInfo &info, OpenDevice &device, rvt_srq_handle srq);

#endif
