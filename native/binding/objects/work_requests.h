// SPDX-License-Identifier: BSD-3-Clause
// Reads lists of work requests that JavaScript has packed into arrays of 32-bit words, and posts them.
#ifndef RDMAVT_BINDING_WORK_REQUESTS_H
#define RDMAVT_BINDING_WORK_REQUESTS_H

#include <napi.h>

#include <functional>

#include "binding/environment/open_device.h"
#include "core/rvt.h"

// postSend(words, count, ahs) and postRecv(words, count), see lib/internal/native.ts. The words may be over
// shared memory, so they are copied before they are looked at.
using PostSends = std::function<int(const rvt_send_wr *wrs, uint32_t count, uint32_t *bad)>;
using PostRecvs = std::function<int(const rvt_recv_wr *wrs, uint32_t count, uint32_t *bad)>;
Napi::Value PostSendRequests(const Napi::CallbackInfo &info, OpenDevice &device, const PostSends &post);
Napi::Value PostReceives(const Napi::CallbackInfo &info, OpenDevice &device, const PostRecvs &post);

#endif
