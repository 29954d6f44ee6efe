// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/qp.h"

#include "binding/objects/regions.h"
#include "binding/values/arguments.h"

void QueuePair::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeQueuePair",
                                      {
                                          InstanceMethod("serial", &QueuePair::Serial),
                                          InstanceMethod("number", &QueuePair::Number),
                                          InstanceMethod("destroy", &QueuePair::Destroy),
                                          InstanceMethod("fastRegMr", &QueuePair::FastRegMr),
                                          InstanceMethod("invalidateRkey", &QueuePair::InvalidateRkey),
                                      }));
}

Napi::Value QueuePair::Serial(const Napi::CallbackInfo &info) {
    uint64_t serial = rvt_qp_serial(payload_.handle);
    return Napi::Number::New(info.Env(), serial
                                             ? static_cast<double>(serial)
                                             : rvt_fail_gone(payload_.device->get(),
                                                             payload_.device->context(), RVT_CAUSE_QP_GONE));
}

Napi::Value QueuePair::Number(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), payload_.checker->number());
}

Napi::Value QueuePair::Destroy(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), rvt_destroy_qp(payload_.handle));
}

// fastRegMr(key, access, iova): works on the region that the command block names.
Napi::Value QueuePair::FastRegMr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t key = arguments.U32(0), access = arguments.U32(1);
    uint64_t iova = 0;
    bool given = arguments.OptionalU64(2, &iova);
    if (!arguments.ok())
        return arguments.Undefined();
    Environment &environment = payload_.device->environment();
    CommandBlock &block = CommandBlock::Of(environment);
    NamedRegion region = block.ready() ? ReadRegion(block, Checkers::Of(environment)) : NamedRegion();
    int error = rvt_fast_reg_mr(payload_.handle, region.handle, key, access, given ? &iova : nullptr);
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
