// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/dma_mapping.h"

void DmaMapping::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeDmaMapping",
                                      {
                                          InstanceMethod("address", &DmaMapping::Address),
                                          InstanceMethod("length", &DmaMapping::Length),
                                          InstanceMethod("unmap", &DmaMapping::Unmap),
                                          InstanceMethod("serial", &DmaMapping::Serial),
                                      }));
}

Napi::Value DmaMapping::Address(const Napi::CallbackInfo &info) {
    return Napi::BigInt::New(info.Env(), payload_.address);
}

Napi::Value DmaMapping::Length(const Napi::CallbackInfo &info) {
    return Napi::BigInt::New(info.Env(), payload_.length);
}

Napi::Value DmaMapping::Unmap(const Napi::CallbackInfo &info) {
    int error = rvt_dma_unmap(payload_.handle);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

Napi::Value DmaMapping::Serial(const Napi::CallbackInfo &info) {
    uint64_t serial = rvt_dma_serial(payload_.handle);
    return Napi::Number::New(
        info.Env(),
        serial ? static_cast<double>(serial)
               : rvt_fail_gone(payload_.device->get(), payload_.device->context(), RVT_CAUSE_MAPPING_GONE));
}
