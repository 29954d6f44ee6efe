// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_PROTECTION_DOMAIN_H
#define RDMAVT_BINDING_PROTECTION_DOMAIN_H

#include "binding/values/wrapper.h"
#include "core/rvt.h"

struct ProtectionDomainPayload {
    std::shared_ptr<OpenDevice> device;
    rvt_pd_handle handle;
};

class ProtectionDomain : public Wrapper<ProtectionDomain, ProtectionDomainPayload, kProtectionDomain> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);

private:
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Dealloc(const Napi::CallbackInfo &info);
    Napi::Value CreateQp(const Napi::CallbackInfo &info);
    Napi::Value RegUserMrTest(const Napi::CallbackInfo &info);
    Napi::Value RegUserMr(const Napi::CallbackInfo &info);
    Napi::Value GetDmaMr(const Napi::CallbackInfo &info);
    Napi::Value AllocMr(const Napi::CallbackInfo &info);
    Napi::Value AllocFmr(const Napi::CallbackInfo &info);
    Napi::Value DeregMany(const Napi::CallbackInfo &info);
    Napi::Value Acquire(const Napi::CallbackInfo &info);
    Napi::Value Check(const Napi::CallbackInfo &info);
};

// What a check without a reference stores: RVT_PLACE_COUNT numbers.
inline void StorePlace(const rvt_place &place, void *fields) {
    uint64_t *out = static_cast<uint64_t *>(fields);
    out[RVT_PLACE_AT] = place.at;
    out[RVT_PLACE_LENGTH] = place.length;
    out[RVT_PLACE_SEGMENT] = place.segment;
    out[RVT_PLACE_USER] = place.user;
}

#endif
