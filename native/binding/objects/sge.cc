// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/sge.h"

#include <cstring>

#include "binding/values/arguments.h"

void Sge::Define(Environment &environment, Napi::Env env) {
    Register(environment,
             DefineClass(env, "NativeSge",
                         {
                             InstanceMethod("describe", &Sge::Describe),
                             InstanceMethod("put", &Sge::Put),
                             napi_property_descriptor{"copyTo", nullptr, CopyTo, nullptr, nullptr, nullptr,
                                                      napi_default_method, nullptr},
                             napi_property_descriptor{"copyFrom", nullptr, CopyFrom, nullptr, nullptr,
                                                      nullptr, napi_default_method, nullptr},
                             InstanceMethod("fetchAdd", &Sge::FetchAdd),
                             InstanceMethod("compareSwap", &Sge::CompareSwap),
                         }));
}

Napi::Value Sge::Wrap(const std::shared_ptr<OpenDevice> &device, const rvt_sge &accepted) {
    return Create(device->environment(), std::make_shared<SgeCell>(device, accepted));
}

Napi::Value Sge::Describe(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView fields = arguments.Array(0, napi_biguint64_array, RVT_SGE_FIELD_COUNT);
    if (!arguments.ok())
        return arguments.Undefined();
    const rvt_sge &sge = payload_->sge;
    if (!sge.mr)
        return Napi::Number::New(info.Env(), -RVT_EBADF);
    uint64_t values[RVT_SGE_FIELD_COUNT];
    values[RVT_SGE_FIELD_REGION] = rvt_mr_id(sge.mr);
    values[RVT_SGE_FIELD_AT] = sge.at;
    values[RVT_SGE_FIELD_LENGTH] = sge.length;
    values[RVT_SGE_FIELD_SGE_LENGTH] = sge.sge_length;
    values[RVT_SGE_FIELD_SEGMENT] = rvt_sge_segment(&sge);
    values[RVT_SGE_FIELD_USER] = sge.user;
    values[RVT_SGE_FIELD_RIGHTS] = sge.rights;
    values[RVT_SGE_FIELD_REMOTE] = sge.remote;
    values[RVT_SGE_FIELD_REQUEST] = sge.request;
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

// Raw Node-API, and nothing that is optional: for a copy of a few KiB the call itself is a good part of the
// time. The class's signature has judged the receiver before.
napi_value Sge::CopyTo(napi_env env, napi_callback_info info) {
    size_t argc = 2, length = 0;
    napi_value argv[2], self;
    void *instance = nullptr, *data = nullptr;
    napi_typedarray_type type = kUnknownType;
    if (napi_get_cb_info(env, info, &argc, argv, &self, nullptr) != napi_ok ||
        napi_unwrap(env, self, &instance) != napi_ok || !instance)
        return nullptr; // a worker that is being terminated
    uint32_t offset = 0;
    if (napi_get_typedarray_info(env, argv[0], &type, &length, &data, nullptr, nullptr) != napi_ok ||
        type != napi_uint8_array || (argc > 1 && napi_get_value_uint32(env, argv[1], &offset) != napi_ok))
        return nullptr; // not what this is for: lib takes the long way
    SgeCell &cell = *static_cast<Sge *>(instance)->payload();
    rvt_sge *list[] = {&cell.sge};
    rvt_sge_state state;
    rvt_copied copied = {};
    DataCall call(*cell.device);
    int error = StateAt(list, &state, offset);
    if (!error) {
        uint64_t left = rvt_ss_total_len(&state);
        error = rvt_copy_sge_out(call.get(), &state, data, length < left ? length : left, false, &copied);
    }
    return DataAnswer(env, error, copied);
}

// As CopyTo. More bytes than are left from `offset` on: -EINVAL.
napi_value Sge::CopyFrom(napi_env env, napi_callback_info info) {
    size_t argc = 3, length = 0;
    napi_value argv[3], self;
    void *instance = nullptr, *data = nullptr;
    napi_typedarray_type type = kUnknownType;
    if (napi_get_cb_info(env, info, &argc, argv, &self, nullptr) != napi_ok ||
        napi_unwrap(env, self, &instance) != napi_ok || !instance)
        return nullptr; // a worker that is being terminated
    uint32_t offset = 0;
    bool ordered = false;
    if (napi_get_typedarray_info(env, argv[0], &type, &length, &data, nullptr, nullptr) != napi_ok ||
        type != napi_uint8_array || (argc > 1 && napi_get_value_uint32(env, argv[1], &offset) != napi_ok) ||
        (argc > 2 && napi_get_value_bool(env, argv[2], &ordered) != napi_ok))
        return nullptr; // not what this is for: lib takes the long way
    SgeCell &cell = *static_cast<Sge *>(instance)->payload();
    rvt_sge *list[] = {&cell.sge};
    rvt_sge_state state;
    rvt_copied copied = {};
    DataCall call(*cell.device);
    int error = StateAt(list, &state, offset);
    if (!error)
        error = rvt_copy_sge(call.get(), &state, data, length, false, ordered, &copied);
    return DataAnswer(env, error, copied);
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
    DataCall call(*payload_->device);
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
    DataCall call(*payload_->device);
    int error = rvt_sge_compare_swap(call.get(), &payload_->sge, compare, swap, &old, &reason);
    return AtomicAnswer(info.Env(), error, reason, old);
}
