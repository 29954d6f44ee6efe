// SPDX-License-Identifier: BSD-3-Clause
// Packed queues: blocks of shared memory with slots for work requests, and the functions that post them (lib's
// SendQueue and RecvQueue). Raw Node-API callbacks without arguments, because passing arguments costs more
// than posting a small list.
#ifndef RDMAVT_BINDING_WR_SLOTS_H
#define RDMAVT_BINDING_WR_SLOTS_H

#include <napi.h>

// createSendQueue(queue pair, block, capacity) and createRecvQueue(queue pair or shared receive queue, block,
// capacity): return the functions of a packed queue (see lib/internal/native.ts), or a negative errno.
Napi::Value CreateSendQueue(const Napi::CallbackInfo &info);
Napi::Value CreateRecvQueue(const Napi::CallbackInfo &info);

#endif
