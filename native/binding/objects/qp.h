// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_QUEUE_PAIR_H
#define RDMAVT_BINDING_QUEUE_PAIR_H

#include <memory>

#include "binding/objects/checkers.h"
#include "binding/values/wrapper.h"
#include "core/rvt.h"

struct QueuePairPayload {
    std::shared_ptr<OpenDevice> device;
    rvt_qp_handle handle;
    std::unique_ptr<OwnChecker> checker;
};

class QueuePair : public Wrapper<QueuePair, QueuePairPayload, kQueuePair> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);
    static Napi::Value Wrap(const std::shared_ptr<OpenDevice> &device, rvt_qp_handle handle) {
        return Create(device->environment(), {device, handle, std::make_unique<OwnChecker>(*device, handle)});
    }

private:
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Number(const Napi::CallbackInfo &info);
    Napi::Value Destroy(const Napi::CallbackInfo &info);
    Napi::Value FastRegMr(const Napi::CallbackInfo &info);
    Napi::Value InvalidateRkey(const Napi::CallbackInfo &info);
    Napi::Value Qpn(const Napi::CallbackInfo &info);
    Napi::Value Unwire(const Napi::CallbackInfo &info);
    Napi::Value Modify(const Napi::CallbackInfo &info);
    Napi::Value Query(const Napi::CallbackInfo &info);
    Napi::Value PostSend(const Napi::CallbackInfo &info);
    Napi::Value PostRecv(const Napi::CallbackInfo &info);
};

#endif
