// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_CQ_H
#define RDMAVT_BINDING_CQ_H

#include "binding/objects/queue_object.h"

class CompletionQueue : public Wrapper<CompletionQueue, HandlePayload<rvt_cq_handle>, kCompletionQueue> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);

private:
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Destroy(const Napi::CallbackInfo &info);
    Napi::Value Resize(const Napi::CallbackInfo &info);
    Napi::Value Poller(const Napi::CallbackInfo &info);
    Napi::Value Poll(const Napi::CallbackInfo &info);
    Napi::Value Arm(const Napi::CallbackInfo &info);
    Napi::Value Query(const Napi::CallbackInfo &info);
};

#endif
