// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/pd.h"

#include "binding/environment/section.h"
#include "binding/objects/qp.h"
#include "binding/objects/region.h"
#include "binding/objects/sge.h"
#include "binding/values/arguments.h"
#include "binding/values/js_memory.h"

void ProtectionDomain::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeProtectionDomain",
                                      {
                                          InstanceMethod("serial", &ProtectionDomain::Serial),
                                          InstanceMethod("dealloc", &ProtectionDomain::Dealloc),
                                          InstanceMethod("createQp", &ProtectionDomain::CreateQp),
                                          InstanceMethod("regUserMrTest", &ProtectionDomain::RegUserMrTest),
                                          InstanceMethod("regUserMr", &ProtectionDomain::RegUserMr),
                                          InstanceMethod("getDmaMr", &ProtectionDomain::GetDmaMr),
                                          InstanceMethod("allocMr", &ProtectionDomain::AllocMr),
                                          InstanceMethod("allocFmr", &ProtectionDomain::AllocFmr),
                                          InstanceMethod("deregMany", &ProtectionDomain::DeregMany),
                                          InstanceMethod("acquire", &ProtectionDomain::Acquire),
                                          InstanceMethod("check", &ProtectionDomain::Check),
                                      }));
}

Napi::Value ProtectionDomain::Serial(const Napi::CallbackInfo &info) {
    uint64_t serial = rvt_pd_serial(payload_.handle);
    return Napi::Number::New(info.Env(), serial ? static_cast<double>(serial) : -RVT_EBADF);
}

Napi::Value ProtectionDomain::Dealloc(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool cascade = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    int error = rvt_dealloc_pd(payload_.handle, cascade);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

Napi::Value ProtectionDomain::CreateQp(const Napi::CallbackInfo &info) {
    QueuePairPayload payload = {payload_.device, {}};
    int error = rvt_create_qp(payload_.handle, &payload.handle);
    payload_.device->Settle();
    if (error)
        return Napi::Number::New(info.Env(), error);
    return QueuePair::Create(payload_.device->environment(), std::move(payload));
}

Napi::Value ProtectionDomain::RegUserMrTest(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint64_t start = arguments.U64(0), length = arguments.U64(1), iova = arguments.U64(2);
    if (!arguments.ok())
        return arguments.Undefined();
    return Napi::Number::New(info.Env(), rvt_reg_user_mr_test(payload_.handle, start, length, iova));
}

// The answer of the four calls that make a region.
static Napi::Value Region(const Napi::CallbackInfo &info, const ProtectionDomainPayload &pd, int error,
                          rvt_mr_handle handle) {
    if (error)
        return Napi::Number::New(info.Env(), error);
    pd.device->Settle();
    return MemoryRegion::Create(pd.device->environment(), {pd.device, handle});
}

Napi::Value ProtectionDomain::RegUserMr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    arguments.Array(0, napi_uint8_array);
    uint64_t start = arguments.U64(1), iova = arguments.U64(2);
    uint32_t access = arguments.U32(3);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_memory *memory = nullptr;
    int error = NewJsMemory(payload_.device->environment_ptr(), info[0], info[4], &memory);
    if (error)
        return Napi::Number::New(info.Env(), error);
    rvt_mr_handle handle = {};
    error = rvt_reg_user_mr(payload_.handle, memory, start, iova, access, &handle);
    rvt_memory_put(memory); // the region has its own
    return Region(info, payload_, error, handle);
}

Napi::Value ProtectionDomain::GetDmaMr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t access = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_mr_handle handle = {};
    int error = rvt_get_dma_mr(payload_.handle, access, &handle);
    return Region(info, payload_, error, handle);
}

Napi::Value ProtectionDomain::AllocMr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    double type = arguments.Integer(0, RVT_MR_TYPE_MEM_REG, RVT_MR_TYPE_INTEGRITY);
    uint32_t max_num_sg = arguments.U32(1);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_mr_handle handle = {};
    int error = rvt_alloc_mr(payload_.handle, static_cast<rvt_mr_type>(type), max_num_sg, &handle);
    return Region(info, payload_, error, handle);
}

Napi::Value ProtectionDomain::AllocFmr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t access = arguments.U32(0);
    rvt_fmr_attr attr = {};
    // Any integer: that a count is negative is for the core to refuse.
    attr.max_pages = static_cast<int64_t>(arguments.Integer(1, -kMostInteger, kMostInteger));
    attr.max_maps = arguments.U32(2);
    attr.page_shift = arguments.U32(3);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_mr_handle handle = {};
    int error = rvt_alloc_fmr(payload_.handle, access, &attr, &handle);
    return Region(info, payload_, error, handle);
}

Napi::Value ProtectionDomain::DeregMany(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool force = arguments.Bool(1);
    if (!arguments.ok())
        return arguments.Undefined();
    RegionList regions;
    if (!regions.Read(info, arguments, 0))
        return arguments.Undefined();
    if (!regions.handles)
        return Napi::Number::New(info.Env(), -RVT_ENOMEM);
    int error = rvt_dereg_mrs(payload_.handle, regions.handles.get(), regions.count,
                              force ? RVT_RELEASE_FORCE : RVT_RELEASE);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

Napi::Value ProtectionDomain::Acquire(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    rvt_ib_sge sge = {arguments.U64(0), arguments.U32(1), arguments.U32(2)};
    uint32_t acc = arguments.U32(3);
    Sge *last = info[4].IsNull() ? nullptr : arguments.Object<Sge>(4);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_sge accepted;
    rvt_reason reason = RVT_REASON_NONE;
    int answer;
    {
        Section section(*payload_.device);
        answer = rvt_lkey_ok(payload_.handle, &accepted, last ? &last->payload()->sge : nullptr, &sge, acc,
                             &reason);
    }
    if (answer == 1)
        return Sge::Wrap(payload_.device, accepted);
    return Napi::Number::New(info.Env(), answer == -RVT_EINVAL ? reason : answer);
}

Napi::Value ProtectionDomain::Check(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    rvt_ib_sge sge = {arguments.U64(0), arguments.U32(1), arguments.U32(2)};
    uint32_t acc = arguments.U32(3);
    ArrayView fields = arguments.Array(4, napi_biguint64_array, RVT_PLACE_COUNT);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_place place;
    rvt_reason reason = RVT_REASON_NONE;
    int answer;
    {
        Section section(*payload_.device);
        answer = rvt_lkey_check(payload_.handle, &sge, acc, &place, &reason);
    }
    if (answer == 1)
        StorePlace(place, fields.data);
    return Napi::Number::New(info.Env(), answer < 0 ? answer : static_cast<int>(reason));
}
