// SPDX-License-Identifier: BSD-3-Clause
// How native things become JavaScript objects: one wrapper class a thing, made by native code only,
// recognised by a type tag before it is unwrapped.
#ifndef RDMAVT_WRAPPER_H
#define RDMAVT_WRAPPER_H

#include <napi.h>

#include "binding/environment/environment.h"
#include "binding/environment/open_device.h"

enum WrapperClass {
    kDevice,
    kDmaMapping,
    kProtectionDomain,
    kQueuePair,
    kSgeState,
    kBufferHandle,
    kDeviceMemory,
    kBatch, // has a tag, and no constructor
    kWrapperClasses
};

// The lower half is the number of this loaded copy of the add-on (rvt_core_id), which is random: objects of
// another copy, of whatever version, have pools, readers and epochs of their own and are nothing here. All
// environments of a copy share it. The upper half tells the class.
inline napi_type_tag WrapperTag(WrapperClass which) {
    return napi_type_tag{rvt_core_id(), 0xb1f0c3e2d4a59600ull + static_cast<uint64_t>(which)};
}

// The constructors of an environment's wrapper classes, and what is being constructed. Wrappers are made by
// native code only: a constructor that JavaScript got hold of and calls finds nothing pending and throws.
class Wrappers : public EnvironmentPart {
public:
    static void Start(Environment &environment) {
        environment.Keep(kWrapperPart, std::make_unique<Wrappers>());
    }
    static Wrappers &Of(const Environment &environment) {
        return static_cast<Wrappers &>(environment.part(kWrapperPart));
    }

    void Register(WrapperClass which, const Napi::Function &constructor) {
        constructors_[which] = Napi::Persistent(constructor);
    }

    // A new object of the class, whose constructor takes the payload. Empty if JavaScript could not make it:
    // an exception is pending, or the environment is being terminated. (Not through
    // Napi::FunctionReference::New, which ends the process in both cases.)
    Napi::Value Construct(napi_env env, WrapperClass which, void *payload) {
        napi_value object;
        pending_ = payload;
        pending_class_ = which;
        napi_status status = napi_new_instance(env, constructors_[which].Value(), 0, nullptr, &object);
        pending_ = nullptr;
        return status == napi_ok ? Napi::Value(env, object) : Napi::Value();
    }

    // The payload that waits for a constructor of this class; nullptr if there is none.
    void *pending(WrapperClass which) const {
        return pending_class_ == which ? pending_ : nullptr;
    }
    // A constructor has taken it.
    void Taken() {
        pending_ = nullptr;
    }

    void End() override {
        for (Napi::FunctionReference &constructor : constructors_)
            constructor.Reset();
    }

private:
    Napi::FunctionReference constructors_[kWrapperClasses];
    void *pending_ = nullptr;
    WrapperClass pending_class_ = kWrapperClasses;
};

// T derives from Wrapper<T, Payload, which>. Methods reach T only through V8's receiver check; arguments
// through Get().
template <typename T, typename Payload, WrapperClass which> class Wrapper : public Napi::ObjectWrap<T> {
    static_assert(which < kWrapperClasses, "every class has a place among the constructors");

public:
    explicit Wrapper(const Napi::CallbackInfo &info) : Napi::ObjectWrap<T>(info) {
        std::shared_ptr<Environment> environment = Environment::Of(info.Env());
        Wrappers &wrappers = Wrappers::Of(*environment);
        auto *payload = static_cast<Payload *>(wrappers.pending(which));
        if (!payload) {
            Napi::TypeError::New(info.Env(), "Illegal constructor").ThrowAsJavaScriptException();
            return;
        }
        // In a worker that is being terminated the base class may have failed to wrap, without an exception.
        // Then nobody would ever destroy this object, so the payload stays with its maker.
        void *wrapped = nullptr;
        if (napi_unwrap(info.Env(), info.This(), &wrapped) != napi_ok || !wrapped)
            return;
        payload_ = std::move(*payload);
        wrappers.Taken();
        // Without its tag the object is nothing to Get(), so a failure needs no answer.
        napi_type_tag tag = WrapperTag(which);
        napi_type_tag_object(info.Env(), info.This(), &tag);
    }

    // A new JavaScript object around `payload`. Empty if JavaScript could not make it.
    static Napi::Value Create(Environment &environment, Payload payload) {
        return Wrappers::Of(environment).Construct(environment.env(), which, &payload);
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
        Wrappers::Of(environment).Register(which, constructor);
    }

    Payload payload_;
};

#endif
