// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_SGE_H
#define RDMAVT_BINDING_SGE_H

#include "binding/values/wrapper.h"
#include "core/rvt.h"

// An accepted element: native memory that JavaScript never sees. Put when the last holder (wrapper or walk)
// lets go, if it was not put before.
struct SgeCell {
    std::shared_ptr<OpenDevice> device; // keeps the structures that a put touches
    rvt_sge sge;

    SgeCell(std::shared_ptr<OpenDevice> in, const rvt_sge &accepted) : device(std::move(in)), sge(accepted) {}
    ~SgeCell() {
        rvt_put_sge(&sge);
    }
    SgeCell(const SgeCell &) = delete;
    SgeCell &operator=(const SgeCell &) = delete;
};

class Sge : public Wrapper<Sge, std::shared_ptr<SgeCell>, kSge> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);
    static Napi::Value Wrap(const std::shared_ptr<OpenDevice> &device, const rvt_sge &accepted);

private:
    Napi::Value Describe(const Napi::CallbackInfo &info);
    Napi::Value Put(const Napi::CallbackInfo &info);
    static napi_value CopyTo(napi_env env, napi_callback_info info);
    static napi_value CopyFrom(napi_env env, napi_callback_info info);
    Napi::Value FetchAdd(const Napi::CallbackInfo &info);
    Napi::Value CompareSwap(const Napi::CallbackInfo &info);
};

// What data calls answer: a count of bytes, a negative errno, or RVT_REFUSED minus the reason.
inline Napi::Value DataAnswer(Napi::Env env, int error, const rvt_copied &copied) {
    if (copied.reason)
        return Napi::Number::New(env, RVT_REFUSED - static_cast<int>(copied.reason));
    return Napi::Number::New(env, error ? error : static_cast<double>(copied.bytes));
}

// A data call of one environment; lets go of what other threads have left when it ends.
class DataCall {
public:
    explicit DataCall(OpenDevice &device) : environment_(device.environment()) {
        environment_.NextCall();
        rvt_data_call_begin(&call_, environment_.reader(), &environment_);
        call_.context = device.context();
    }
    ~DataCall() {
        environment_.DrainReferences();
    }
    DataCall(const DataCall &) = delete;
    DataCall &operator=(const DataCall &) = delete;
    rvt_data_call *get() {
        return &call_;
    }

private:
    Environment &environment_;
    rvt_data_call call_;
};

#endif
