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
    Napi::Value LkeyOk(const Napi::CallbackInfo &info);
    Napi::Value LkeyCheck(const Napi::CallbackInfo &info);
};

// What a check without a reference stores: at, length, m, n, user.
constexpr size_t kPlaceFields = 5;
inline void StorePlace(const rvt_place &place, void *fields) {
    uint64_t *out = static_cast<uint64_t *>(fields);
    out[0] = place.at;
    out[1] = place.length;
    out[2] = place.m;
    out[3] = place.n;
    out[4] = place.user;
}

#endif
