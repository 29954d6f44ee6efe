// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_QUEUE_PAIR_H
#define RDMAVT_BINDING_QUEUE_PAIR_H

#include "binding/values/wrapper.h"
#include "core/rvt.h"

struct QueuePairPayload {
    std::shared_ptr<OpenDevice> device;
    rvt_qp_handle handle;
};

class QueuePair : public Wrapper<QueuePair, QueuePairPayload, kQueuePair> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);

private:
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Destroy(const Napi::CallbackInfo &info);
    Napi::Value Acquire(const Napi::CallbackInfo &info);
    Napi::Value Check(const Napi::CallbackInfo &info);
    Napi::Value FastRegMr(const Napi::CallbackInfo &info);
    Napi::Value InvalidateRkey(const Napi::CallbackInfo &info);
};

#endif
