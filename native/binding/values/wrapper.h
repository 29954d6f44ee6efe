// SPDX-License-Identifier: BSD-3-Clause
// Wraps native objects in JavaScript objects: one wrapper class per kind, created by native code only, and
// recognized by a type tag before it is unwrapped.
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
    kCompletionQueue,
    kSharedReceiveQueue,
    kAddressHandle,
    kEndpoint,
    kBatch, // has a tag, but no constructor
    kWrapperClasses
};

// Returns the type tag of a class. The lower half is the random number of this loaded copy of the addon
// (rvt_core_id), which all its environments share. Objects of another copy, of any version, have pools,
// readers and epochs of their own and must not be accepted here. The upper half identifies the class.
inline napi_type_tag WrapperTag(WrapperClass which) {
    return napi_type_tag{rvt_core_id(), 0xb1f0c3e2d4a59600ull + static_cast<uint64_t>(which)};
}

// The constructors of an environment's wrapper classes, and the payload under construction. Only native code
// creates wrappers: if JavaScript gets hold of a constructor and calls it, no payload is pending and the
// constructor throws.
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

    // Creates an object of the class; its constructor takes the payload. Returns an empty value if JavaScript
    // could not create it, because an exception is pending or the environment is being terminated.
    // (Napi::FunctionReference::New would abort the process in both cases.)
    Napi::Value Construct(napi_env env, WrapperClass which, void *payload) {
        napi_value object;
        pending_ = payload;
        pending_class_ = which;
        napi_status status = napi_new_instance(env, constructors_[which].Value(), 0, nullptr, &object);
        pending_ = nullptr;
        return status == napi_ok ? Napi::Value(env, object) : Napi::Value();
    }

    // Returns the payload that is pending for a constructor of this class, or nullptr.
    void *pending(WrapperClass which) const {
        return pending_class_ == which ? pending_ : nullptr;
    }
    // Call when a constructor has taken the payload.
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

// T derives from Wrapper<T, Payload, which>. Methods reach T only through V8's receiver check, arguments only
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
        // In a worker that is being terminated, the base class may have failed to wrap, without an exception.
        // Then this object would never be destroyed, so leave the payload with the caller of Create().
        void *wrapped = nullptr;
        if (napi_unwrap(info.Env(), info.This(), &wrapped) != napi_ok || !wrapped)
            return;
        payload_ = std::move(*payload);
        wrappers.Taken();
        // Get() rejects an object without a tag, so a failure here can be ignored.
        napi_type_tag tag = WrapperTag(which);
        napi_type_tag_object(info.Env(), info.This(), &tag);
    }

    // Creates a JavaScript object around `payload`. Returns an empty value if JavaScript could not create it.
    static Napi::Value Create(Environment &environment, Payload payload) {
        return Wrappers::Of(environment).Construct(environment.env(), which, &payload);
    }

    // Returns the T behind an argument, or nullptr if the argument is anything else.
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
