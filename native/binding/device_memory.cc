// SPDX-License-Identifier: BSD-3-Clause
#include "device_memory.h"

#include <new>

#include "arguments.h"

namespace {

// The buffer of a view, or nullptr if it was collected.
napi_value BufferOf(napi_env env, const MemoryView &view) {
    napi_value buffer = nullptr;
    if (napi_get_reference_value(env, view.buffer, &buffer) != napi_ok)
        return nullptr;
    return buffer;
}

// Runs before the engine's own hook for the buffer, because it was added after that.
void BeforeEnd(void *data) {
    auto *view = static_cast<MemoryView *>(data);
    Napi::Env env(view->environment->env());
    Napi::HandleScope scope(env);
    napi_value buffer = BufferOf(env, *view);
    bool detached = true;
    view->ending = true;
    view->whole = buffer && napi_is_detached_arraybuffer(env, buffer, &detached) == napi_ok && !detached;
}

// The engine has given the pages back, or is about to end.
void FinalizeView(napi_env env, void *, void *hint) {
    auto *view = static_cast<MemoryView *>(hint);
    if (std::shared_ptr<OpenDevice> device = view->device.lock())
        device->views.erase(view);
    if (!view->ending)
        napi_remove_env_cleanup_hook(env, BeforeEnd, view);
    if (view->buffer)
        napi_delete_reference(env, view->buffer);
    if (!view->ending || view->whole)
        rvt_memory_put(&view->memory->memory);
    delete view;
}

// Linux's number for "not supported": only here, so it is not among the core's.
constexpr int kNotSupported = 95;

} // namespace

void DeviceMemory::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeDeviceMemory",
                                      {
                                          InstanceMethod("serial", &DeviceMemory::Serial),
                                          InstanceMethod("length", &DeviceMemory::Length),
                                          InstanceMethod("buffer", &DeviceMemory::Buffer),
                                          InstanceMethod("handle", &DeviceMemory::Handle),
                                          InstanceMethod("free", &DeviceMemory::Free),
                                      }));
}

Napi::Value DeviceMemory::Wrap(const std::shared_ptr<OpenDevice> &device, rvt_device_memory *memory) {
    return Create(device->environment(), DeviceMemoryPayload(device, memory));
}

Napi::Value DeviceMemory::Serial(const Napi::CallbackInfo &info) {
    if (!payload_.memory)
        return Napi::Number::New(info.Env(), -RVT_EBADF);
    return Napi::Number::New(info.Env(), static_cast<double>(payload_.memory->serial));
}

Napi::Value DeviceMemory::Length(const Napi::CallbackInfo &info) {
    if (!payload_.memory)
        return Napi::Number::New(info.Env(), -RVT_EBADF);
    return Napi::Number::New(info.Env(), static_cast<double>(payload_.memory->memory.length));
}

// The buffer over all of it: the one that there is, or a new one.
Napi::Value DeviceMemory::Buffer(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    rvt_device_memory *memory = payload_.memory;
    if (!memory || rvt_device_memory_freed(memory))
        return Napi::Number::New(env, -RVT_EBADF);
    napi_value buffer = nullptr;
    bool detached = true;
    if (payload_.js_buffer &&
        napi_get_reference_value(env, payload_.js_buffer->reference, &buffer) == napi_ok && buffer &&
        napi_is_detached_arraybuffer(env, buffer, &detached) == napi_ok && !detached)
        return Napi::Value(env, buffer);

    auto *view = new (std::nothrow) MemoryView();
    auto js_buffer = std::make_shared<JsBuffer>();
    if (!view)
        return Napi::Number::New(env, -RVT_ENOMEM);
    view->environment = Environment::Of(env);
    view->device = payload_.device;
    view->memory = memory;
    rvt_memory_get(&memory->memory);
    napi_status status = napi_create_external_arraybuffer(
        env, memory->pages.data, static_cast<size_t>(memory->memory.length), FinalizeView, view, &buffer);
    if (status != napi_ok) {
        // Where the engine keeps all buffers in a cage it has not looked at the view. With any other failure
        // (a buffer longer than it allows) it calls FinalizeView, now or later.
        if (status == napi_no_external_buffers_allowed)
            FinalizeView(env, nullptr, view);
        bool pending = false;
        if (napi_is_exception_pending(env, &pending) == napi_ok && pending)
            napi_get_and_clear_last_exception(env, &buffer);
        return Napi::Number::New(env, -kNotSupported);
    }
    // Whatever fails from here on: the engine has the view now, and calls FinalizeView when it is through
    // with it.
    if (napi_create_reference(env, buffer, 0, &view->buffer) != napi_ok ||
        napi_create_reference(env, buffer, 0, &js_buffer->reference) != napi_ok) {
        view->ending = true; // and not whole: kept for good
        return Napi::Number::New(env, -RVT_ENOMEM);
    }
    napi_add_env_cleanup_hook(env, BeforeEnd, view);
    payload_.device->views.insert(view);
    js_buffer->owner = view->environment;
    js_buffer->device_memory = memory;
    rvt_memory_get(&memory->memory);
    payload_.js_buffer = std::move(js_buffer);
    return Napi::Value(env, buffer);
}

// What registrations of the buffer are given: it keeps the device, which owns the bytes, as long as
// JavaScript keeps it with the buffer.
Napi::Value DeviceMemory::Handle(const Napi::CallbackInfo &info) {
    if (!payload_.js_buffer)
        return info.Env().Undefined();
    return BufferHandle::Wrap(payload_.device->environment(), {payload_.js_buffer, payload_.device});
}

namespace {

void Detach(napi_env env, const MemoryView &view) {
    napi_value buffer = BufferOf(env, view);
    if (buffer)
        napi_detach_arraybuffer(env, buffer); // fails if JavaScript has done it before
}

} // namespace

Napi::Value DeviceMemory::Free(const Napi::CallbackInfo &info) {
    if (!payload_.memory)
        return Napi::Number::New(info.Env(), -RVT_EBADF);
    payload_.device->environment().DrainReferences();
    int error = rvt_free_device_memory(payload_.device->get(), payload_.device->context(), payload_.memory);
    if (!error) {
        // A copy: detaching may end views.
        std::vector<MemoryView *> views(payload_.device->views.begin(), payload_.device->views.end());
        for (MemoryView *view : views)
            if (view->memory == payload_.memory)
                Detach(info.Env(), *view);
    }
    return Napi::Number::New(info.Env(), error);
}

void DeviceMemory::DetachViews(OpenDevice &device) {
    std::vector<MemoryView *> views(device.views.begin(), device.views.end());
    for (MemoryView *view : views)
        Detach(device.environment().env(), *view);
}
