// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/ah.h"

void AddressHandle::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeAddressHandle",
                                      {
                                          InstanceMethod("serial", &AddressHandle::Serial),
                                          InstanceMethod("destroy", &AddressHandle::Destroy),
                                      }));
}

Napi::Value AddressHandle::Serial(const Napi::CallbackInfo &info) {
    rvt_ah *ah = rvt_ah_live(payload_.handle);
    return SerialOf(info.Env(), *payload_.device, ah ? &ah->owned : nullptr, payload_.handle.generation,
                    RVT_CAUSE_AH_GONE);
}

Napi::Value AddressHandle::Destroy(const Napi::CallbackInfo &info) {
    EngineCall call(*payload_.device);
    return Napi::Number::New(info.Env(), rvt_destroy_ah(payload_.handle));
}
