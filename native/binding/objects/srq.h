// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_SRQ_H
#define RDMAVT_BINDING_SRQ_H

#include "binding/objects/queue_object.h"

class SharedReceiveQueue
    : public Wrapper<SharedReceiveQueue, HandlePayload<rvt_srq_handle>, kSharedReceiveQueue> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);

private:
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Destroy(const Napi::CallbackInfo &info);
    Napi::Value Modify(const Napi::CallbackInfo &info);
    Napi::Value Query(const Napi::CallbackInfo &info);
    Napi::Value PostRecv(const Napi::CallbackInfo &info);
};

#endif
