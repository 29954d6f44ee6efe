// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/qp.h"

#include "binding/environment/section.h"
#include "binding/objects/pd.h"
#include "binding/objects/region.h"
#include "binding/objects/sge.h"
#include "binding/values/arguments.h"

void QueuePair::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeQueuePair",
                                      {
                                          InstanceMethod("serial", &QueuePair::Serial),
                                          InstanceMethod("destroy", &QueuePair::Destroy),
                                          InstanceMethod("acquire", &QueuePair::Acquire),
                                          InstanceMethod("check", &QueuePair::Check),
                                          InstanceMethod("fastRegMr", &QueuePair::FastRegMr),
                                          InstanceMethod("invalidateRkey", &QueuePair::InvalidateRkey),
                                      }));
}

Napi::Value QueuePair::Serial(const Napi::CallbackInfo &info) {
    uint64_t serial = rvt_qp_serial(payload_.handle);
    return Napi::Number::New(info.Env(), serial ? static_cast<double>(serial) : -RVT_EBADF);
}

Napi::Value QueuePair::Destroy(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), rvt_destroy_qp(payload_.handle));
}

Napi::Value QueuePair::Acquire(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint64_t vaddr = arguments.U64(0);
    uint32_t length = arguments.U32(1), rkey = arguments.U32(2), acc = arguments.U32(3);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_sge accepted;
    rvt_reason reason = RVT_REASON_NONE;
    int answer;
    {
        Section section(*payload_.device);
        answer = rvt_rkey_ok(payload_.handle, &accepted, length, vaddr, rkey, acc, &reason);
    }
    if (answer == 1)
        return Sge::Wrap(payload_.device, accepted);
    return Napi::Number::New(info.Env(), answer < 0 ? answer : static_cast<int>(reason));
}

Napi::Value QueuePair::Check(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint64_t vaddr = arguments.U64(0);
    uint32_t length = arguments.U32(1), rkey = arguments.U32(2), acc = arguments.U32(3);
    ArrayView fields = arguments.Array(4, napi_biguint64_array, RVT_PLACE_COUNT);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_place place;
    rvt_reason reason = RVT_REASON_NONE;
    int answer;
    {
        Section section(*payload_.device);
        answer = rvt_rkey_check(payload_.handle, length, vaddr, rkey, acc, &place, &reason);
    }
    if (answer == 1)
        StorePlace(place, fields.data);
    return Napi::Number::New(info.Env(), answer < 0 ? answer : static_cast<int>(reason));
}

Napi::Value QueuePair::FastRegMr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    MemoryRegion *mr = arguments.Object<MemoryRegion>(0);
    uint32_t key = arguments.U32(1), access = arguments.U32(2);
    uint64_t iova = 0;
    bool given = arguments.OptionalU64(3, &iova);
    if (!arguments.ok())
        return arguments.Undefined();
    int error = rvt_fast_reg_mr(payload_.handle, mr->payload().handle, key, access, given ? &iova : nullptr);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

Napi::Value QueuePair::InvalidateRkey(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t rkey = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    int error = rvt_invalidate_rkey(payload_.handle, rkey);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}
