// SPDX-License-Identifier: BSD-3-Clause
// How native things become JavaScript objects: one wrapper class a thing, made by native code only,
// recognised by a type tag before it is unwrapped.
#ifndef RDMAVT_WRAPPER_H
#define RDMAVT_WRAPPER_H

#include <napi.h>

#include "binding/environment/environment.h"

enum WrapperClass {
    kDevice,
    kDmaMapping,
    kProtectionDomain,
    kQueuePair,
    kMemoryRegion,
    kSge,
    kSgeState,
    kBufferHandle,
    kDeviceMemory,
    kBatch
};

// The lower half is the same for all; the upper one tells the class.
inline napi_type_tag WrapperTag(WrapperClass which) {
    return napi_type_tag{0x9a2c5d1e77b04f36ull, 0xb1f0c3e2d4a59600ull + static_cast<uint64_t>(which)};
}

// T derives from Wrapper<T, Payload, which>. Methods reach T only through V8's receiver check; arguments
// through Get().
template <typename T, typename Payload, WrapperClass which> class Wrapper : public Napi::ObjectWrap<T> {
public:
    explicit Wrapper(const Napi::CallbackInfo &info) : Napi::ObjectWrap<T>(info) {
        std::shared_ptr<Environment> environment = Environment::Of(info.Env());
        if (!environment->pending) {
            Napi::TypeError::New(info.Env(), "Illegal constructor").ThrowAsJavaScriptException();
            return;
        }
        // In a worker that is being terminated the base class may have failed to wrap, without an exception.
        // Then nobody would ever destroy this object, so the payload stays with its maker.
        void *wrapped = nullptr;
        if (napi_unwrap(info.Env(), info.This(), &wrapped) != napi_ok || !wrapped)
            return;
        payload_ = std::move(*static_cast<Payload *>(environment->pending));
        environment->pending = nullptr;
        // Without its tag the object is nothing to Get(), so a failure needs no answer.
        napi_type_tag tag = WrapperTag(which);
        napi_type_tag_object(info.Env(), info.This(), &tag);
    }

    // A new JavaScript object around `payload`. Empty if JavaScript could not make it: an exception is
    // pending, or the environment is being terminated. (Not through Napi::FunctionReference::New, which ends
    // the process in both cases.)
    static Napi::Value Create(Environment &environment, Payload payload) {
        napi_env env = environment.env();
        napi_value constructor = environment.constructors[which].Value(), object;
        environment.pending = &payload;
        napi_status status = napi_new_instance(env, constructor, 0, nullptr, &object);
        environment.pending = nullptr;
        return status == napi_ok ? Napi::Value(env, object) : Napi::Value();
    }

    // The T behind an argument, or nullptr if it is anything else.
    static T *Get(const Napi::Value &value) {
        if (!value.IsObject())
            return nullptr;
        napi_type_tag tag = WrapperTag(which);
        bool tagged = false;
        if (napi_check_object_type_tag(value.Env(), value, &tag, &tagged) != napi_ok || !tagged)
            return nullptr;
        return T::Unwrap(value.As<Napi::Object>());
    }

    Payload &payload() {
        return payload_;
    }

protected:
    static void Register(Environment &environment, const Napi::Function &constructor) {
        environment.constructors[which] = Napi::Persistent(constructor);
    }

    Payload payload_;
};

#endif
