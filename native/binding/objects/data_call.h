// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_DATA_CALL_H
#define RDMAVT_DATA_CALL_H

#include <napi.h>

#include "binding/environment/open_device.h"
#include "core/rvt.h"

// Scope of one data call of an environment. At its end, it releases what other threads have queued.
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

// Returns the answer of a walk's data call: a number of bytes, a negative errno, or RVT_REFUSED minus the
// reason.
inline Napi::Value DataAnswer(Napi::Env env, int error, const rvt_copied &copied) {
    if (copied.reason)
        return Napi::Number::New(env, RVT_REFUSED - static_cast<int>(copied.reason));
    return Napi::Number::New(env, error ? error : static_cast<double>(copied.bytes));
}

#endif
