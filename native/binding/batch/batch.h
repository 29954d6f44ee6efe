// SPDX-License-Identifier: BSD-3-Clause
// The hot path: batches over a shared block. Raw Node-API callbacks without arguments where nothing has to be
// passed, because crossing into native code costs more than what is done there.
#ifndef RDMAVT_HOT_BATCH_H
#define RDMAVT_HOT_BATCH_H

#include <napi.h>

// createBatch(domain or queue pair, block, capacity, places): the functions of a new batch, see
// lib/internal/native.ts.
Napi::Value CreateBatch(const Napi::CallbackInfo &info);

// commandBlock(proposal), checkOne(): see Environment::command.
Napi::Value CommandBlock(const Napi::CallbackInfo &info);
napi_value CheckOne(napi_env env, napi_callback_info info);

// A call that does nothing: what the benchmark compares with.
napi_value Empty(napi_env env, napi_callback_info info);

#endif
