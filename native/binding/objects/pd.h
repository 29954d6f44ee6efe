// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_PROTECTION_DOMAIN_H
#define RDMAVT_BINDING_PROTECTION_DOMAIN_H

#include <memory>

#include "binding/objects/checkers.h"
#include "binding/values/wrapper.h"
#include "core/rvt.h"

struct ProtectionDomainPayload {
    std::shared_ptr<OpenDevice> device;
    rvt_pd_handle handle;
    std::unique_ptr<OwnChecker> checker;
};

class ProtectionDomain : public Wrapper<ProtectionDomain, ProtectionDomainPayload, kProtectionDomain> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);
    static Napi::Value Wrap(const std::shared_ptr<OpenDevice> &device, rvt_pd_handle handle) {
        return Create(device->environment(), {device, handle, std::make_unique<OwnChecker>(*device, handle)});
    }

private:
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Number(const Napi::CallbackInfo &info);
    Napi::Value Dealloc(const Napi::CallbackInfo &info);
    Napi::Value CreateCheckQp(const Napi::CallbackInfo &info);
    Napi::Value CreateQp(const Napi::CallbackInfo &info);
    Napi::Value CreateSrq(const Napi::CallbackInfo &info);
    Napi::Value CreateAh(const Napi::CallbackInfo &info);
    Napi::Value RegUserMrTest(const Napi::CallbackInfo &info);
    Napi::Value GetDmaMr(const Napi::CallbackInfo &info);
    Napi::Value AllocMr(const Napi::CallbackInfo &info);
    Napi::Value AllocFmr(const Napi::CallbackInfo &info);
    Napi::Value DeregMany(const Napi::CallbackInfo &info);
    // Returns the answer of a call that creates a region, and writes the region's name to the command block.
    Napi::Value NewRegion(Napi::Env env, int error, rvt_mr_handle handle);
};

#endif
