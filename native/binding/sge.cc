// SPDX-License-Identifier: BSD-3-Clause
#include "sge.h"

#include <cstring>

#include "arguments.h"

void Sge::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeSge",
                                      {
                                          InstanceMethod("describe", &Sge::Describe),
                                          InstanceMethod("put", &Sge::Put),
                                          InstanceMethod("copyTo", &Sge::CopyTo),
                                          InstanceMethod("copyFrom", &Sge::CopyFrom),
                                          InstanceMethod("fetchAdd", &Sge::FetchAdd),
                                          InstanceMethod("compareSwap", &Sge::CompareSwap),
                                      }));
}

Napi::Value Sge::Wrap(const std::shared_ptr<OpenDevice> &device, const rvt_sge &accepted) {
    return Create(device->environment(), std::make_shared<SgeCell>(device, accepted));
}

Napi::Value Sge::Describe(const Napi::CallbackInfo &info) {
    constexpr size_t kFields = 10;
    Arguments arguments(info);
    ArrayView fields = arguments.Array(0, napi_biguint64_array, kFields);
    if (!arguments.ok())
        return arguments.Undefined();
    const rvt_sge &sge = payload_->sge;
    if (!sge.mr)
        return Napi::Number::New(info.Env(), -RVT_EBADF);
    const uint64_t values[kFields] = {
        sge.mr->id,      sge.at,   sge.length, sge.sge_length, rvt_sge_m(&sge),
        rvt_sge_n(&sge), sge.user, sge.rights, sge.remote,     sge.request,
    };
    std::memcpy(fields.data, values, sizeof(values));
    return Napi::Number::New(info.Env(), 0);
}

Napi::Value Sge::Put(const Napi::CallbackInfo &info) {
    if (!payload_->sge.mr)
        return Napi::Number::New(info.Env(), -RVT_EBADF);
    rvt_put_sge(&payload_->sge);
    payload_->device->environment().DrainReferences();
    return Napi::Number::New(info.Env(), 0);
}

// A walk over this element alone, begun at `offset`.
static int StateAt(rvt_sge **list, rvt_sge_state *state, uint32_t offset) {
    int error = rvt_ss_init(state, list, 1);
    return error ? error : rvt_skip_sge(state, offset, false);
}

Napi::Value Sge::CopyTo(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView target = arguments.Array(0, napi_uint8_array);
    uint32_t offset = arguments.U32(1);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_sge *list[] = {&payload_->sge};
    rvt_sge_state state;
    rvt_copied copied = {};
    DataCall call(payload_->device->environment());
    int error = StateAt(list, &state, offset);
    if (!error)
        error = rvt_copy_sge_out(call.get(), &state, target.data, target.length, false, &copied);
    return DataAnswer(info.Env(), error, copied);
}

Napi::Value Sge::CopyFrom(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView source = arguments.Array(0, napi_uint8_array);
    uint32_t offset = arguments.U32(1);
    bool ordered = arguments.Bool(2);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_sge *list[] = {&payload_->sge};
    rvt_sge_state state;
    rvt_copied copied = {};
    DataCall call(payload_->device->environment());
    int error = StateAt(list, &state, offset);
    if (!error)
        error = rvt_copy_sge(call.get(), &state, source.data, source.length, false, ordered, &copied);
    return DataAnswer(info.Env(), error, copied);
}

static Napi::Value AtomicAnswer(Napi::Env env, int error, rvt_reason reason, uint64_t old) {
    if (reason || error)
        return DataAnswer(env, error, {0, reason});
    return Napi::BigInt::New(env, old);
}

Napi::Value Sge::FetchAdd(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint64_t add = arguments.U64(0);
    if (!arguments.ok())
        return arguments.Undefined();
    uint64_t old = 0;
    rvt_reason reason = RVT_REASON_NONE;
    DataCall call(payload_->device->environment());
    int error = rvt_sge_fetch_add(call.get(), &payload_->sge, add, &old, &reason);
    return AtomicAnswer(info.Env(), error, reason, old);
}

Napi::Value Sge::CompareSwap(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint64_t compare = arguments.U64(0), swap = arguments.U64(1);
    if (!arguments.ok())
        return arguments.Undefined();
    uint64_t old = 0;
    rvt_reason reason = RVT_REASON_NONE;
    DataCall call(payload_->device->environment());
    int error = rvt_sge_compare_swap(call.get(), &payload_->sge, compare, swap, &old, &reason);
    return AtomicAnswer(info.Env(), error, reason, old);
}
