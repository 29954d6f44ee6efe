// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_AH_H
#define RDMAVT_BINDING_AH_H

#include "binding/objects/queue_object.h"

class AddressHandle : public Wrapper<AddressHandle, HandlePayload<rvt_ah_handle>, kAddressHandle> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);

private:
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Destroy(const Napi::CallbackInfo &info);
};

#endif
