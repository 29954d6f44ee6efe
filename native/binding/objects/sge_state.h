// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_SGE_STATE_H
#define RDMAVT_BINDING_SGE_STATE_H

#include <vector>

#include "binding/objects/cells.h"
#include "binding/values/wrapper.h"

// A walk and its elements. It shares ownership of each element, so the pointers in `list` stay valid whatever
// JavaScript releases.
struct Walk {
    std::shared_ptr<OpenDevice> device; // the device of the first element
    std::vector<std::shared_ptr<SharedSge>> elements;
    std::vector<rvt_sge *> list;
    rvt_sge_state state;
};

class SgeState : public Wrapper<SgeState, std::unique_ptr<Walk>, kSgeState> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);
    // createSgeState(names): creates a walk over a list of elements, given as a Uint32Array (enum
    // rvt_element_name_word).
    static Napi::Value New(const Napi::CallbackInfo &info);

private:
    Napi::Value TotalLength(const Napi::CallbackInfo &info);
    Napi::Value Remaining(const Napi::CallbackInfo &info);
    Napi::Value NextLength(const Napi::CallbackInfo &info);
    Napi::Value Update(const Napi::CallbackInfo &info);
    Napi::Value Skip(const Napi::CallbackInfo &info);
    Napi::Value Put(const Napi::CallbackInfo &info);
    Napi::Value HasLkey(const Napi::CallbackInfo &info);
    Napi::Value CopyIn(const Napi::CallbackInfo &info);
    Napi::Value CopyOut(const Napi::CallbackInfo &info);
    Napi::Value WalkSteps(const Napi::CallbackInfo &info);
};

#endif
