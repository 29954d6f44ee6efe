// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/device_memory.h"

#include <new>

#include "binding/values/arguments.h"

namespace {

// Returns the buffer of a view, or nullptr if it was collected.
napi_value BufferOf(napi_env env, const MemoryView &view) {
    napi_value buffer = nullptr;
    if (napi_get_reference_value(env, view.buffer, &buffer) != napi_ok)
        return nullptr;
    return buffer;
}

// Returns false once the environment is ending.
bool CanRun(napi_env env) {
    napi_value undefined;
    bool same;
    // This call fails once JavaScript cannot run any more.
    return napi_get_undefined(env, &undefined) == napi_ok &&
           napi_strict_equals(env, undefined, undefined, &same) == napi_ok;
}

void DeleteReferences(napi_env env, MemoryView &view) {
    if (view.buffer)
        napi_delete_reference(env, view.buffer);
    if (view.sentinel)
        napi_delete_reference(env, view.sentinel);
    view.buffer = view.sentinel = nullptr;
}

void Finalized(napi_env env, MemoryView *view) {
    if (--view->finalizers)
        return;
    DeleteReferences(env, *view); // delete last: at the environment's end, FinalizeSentinel still uses them
    delete view;
}

// Called when the engine has released the pages, or is about to end.
void FinalizeView(napi_env env, void *, void *hint) {
    auto *view = static_cast<MemoryView *>(hint);
    if (view->making) { // the buffer could not be created
        view->finalizers--;
        return;
    }
    bool running = CanRun(env);
    if (running || view->whole)
        rvt_memory_put(&view->memory->memory);
    if (running)
        DeleteReferences(env, *view); // delete the references, so that the sentinel is collected too
    Finalized(env, view);
}

void FinalizeSentinel(napi_env env, void *, void *hint) {
    auto *view = static_cast<MemoryView *>(hint);
    if (view->buffer && !CanRun(env)) {
        napi_value buffer = BufferOf(env, *view);
        bool detached = true;
        view->whole = buffer && napi_is_detached_arraybuffer(env, buffer, &detached) == napi_ok && !detached;
    }
    Finalized(env, view);
}

} // namespace

MemoryHold::MemoryHold(const std::shared_ptr<OpenDevice> &of, rvt_device_memory *consumed)
    : device(of), memory(consumed) {
    of->AddHold(consumed, this);
}

MemoryHold::~MemoryHold() {
    // The buffer may outlive the hold and still be registered, because it holds its own reference on the
    // memory.
    PutMemory();
}

void MemoryHold::PutMemory() {
    if (!memory)
        return;
    if (std::shared_ptr<OpenDevice> of = device.lock())
        of->RemoveHold(memory, this);
    rvt_memory_put(&memory->memory);
    memory = nullptr;
}

void MemoryHold::LetGo() {
    // Handles of the buffer may outlive the hold. From now on, registering the buffer through them fails.
    if (memory && js_buffer)
        js_buffer->ForgetMemory();
    js_buffer.reset();
    PutMemory();
}

void DeviceMemory::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeDeviceMemory",
                                      {
                                          InstanceMethod("serial", &DeviceMemory::Serial),
                                          InstanceMethod("length", &DeviceMemory::Length),
                                          InstanceMethod("buffer", &DeviceMemory::Buffer),
                                          InstanceMethod("handle", &DeviceMemory::Handle),
                                          InstanceMethod("live", &DeviceMemory::Live),
                                          InstanceMethod("free", &DeviceMemory::Free),
                                      }));
}

Napi::Value DeviceMemory::Wrap(const std::shared_ptr<OpenDevice> &device, rvt_device_memory *memory) {
    return Create(device->environment(), {device, std::make_shared<MemoryHold>(device, memory)});
}

int DeviceMemory::FailFreed() const {
    return rvt_fail_gone(payload_.device->get(), payload_.device->context(), RVT_CAUSE_MEMORY_FREED);
}

Napi::Value DeviceMemory::Serial(const Napi::CallbackInfo &info) {
    const rvt_device_memory *memory = payload_.hold->memory;
    return Napi::Number::New(info.Env(), memory ? static_cast<double>(memory->serial) : FailFreed());
}

Napi::Value DeviceMemory::Length(const Napi::CallbackInfo &info) {
    const rvt_device_memory *memory = payload_.hold->memory;
    return Napi::Number::New(info.Env(), memory ? static_cast<double>(memory->memory.length) : FailFreed());
}

// buffer(): returns the buffer over the whole memory, an existing one if there is one.
Napi::Value DeviceMemory::Buffer(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    MemoryHold &hold = *payload_.hold;
    rvt_device_memory *memory = hold.memory;
    if (!memory || rvt_device_memory_freed(memory) || rvt_ucontext_gone(payload_.device->context()))
        return Napi::Number::New(env, FailFreed());
    napi_value buffer = nullptr;
    bool detached = true;
    if (hold.js_buffer && napi_get_reference_value(env, hold.js_buffer->reference, &buffer) == napi_ok &&
        buffer && napi_is_detached_arraybuffer(env, buffer, &detached) == napi_ok && !detached)
        return Napi::Value(env, buffer);

    auto *view = new (std::nothrow) MemoryView();
    auto js_buffer = std::make_shared<JsBuffer>(memory->buffer);
    if (!view)
        return Napi::Number::New(env, rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    js_buffer->owner = Environment::Of(env);
    view->memory = memory;
    rvt_memory_get(&memory->memory);
    napi_status status = napi_create_external_arraybuffer(
        env, memory->pages.data, static_cast<size_t>(memory->memory.length), FinalizeView, view, &buffer);
    view->making = false;
    if (status != napi_ok) {
        // The engine keeps all buffers in a memory cage, or the buffer is too long for it. Or the worker is
        // being terminated, and then the finalizer may be called later.
        if (!view->finalizers || status == napi_no_external_buffers_allowed) {
            rvt_memory_put(&memory->memory);
            delete view;
        }
        bool pending = false;
        if (napi_is_exception_pending(env, &pending) == napi_ok && pending)
            napi_get_and_clear_last_exception(env, &buffer);
        return Napi::Number::New(env, rvt_fail(RVT_EOPNOTSUPP, RVT_CAUSE_NO_EXTERNAL_BUFFERS));
    }
    // On any failure from here on, the engine owns the view and calls FinalizeView when it is done with it.
    if (napi_create_reference(env, buffer, 0, &view->buffer) != napi_ok ||
        napi_create_reference(env, buffer, 0, &js_buffer->reference) != napi_ok)
        return Napi::Number::New(env, rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    napi_value sentinel;
    view->finalizers++;
    if (napi_create_external_arraybuffer(env, &view->sentinel_byte, 1, FinalizeSentinel, view, &sentinel) !=
            napi_ok ||
        napi_create_reference(env, sentinel, 1, &view->sentinel) != napi_ok)
        return Napi::Number::New(env, rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    js_buffer->of_device = true;
    js_buffer->device_memory = memory;
    rvt_memory_get(&memory->memory);
    KnownBuffers::Of(*js_buffer->owner).Add(static_cast<unsigned char *>(memory->pages.data), *js_buffer);
    hold.js_buffer = std::move(js_buffer);
    return Napi::Value(env, buffer);
}

// handle(): returns the object that lib keeps together with the buffer.
Napi::Value DeviceMemory::Handle(const Napi::CallbackInfo &info) {
    if (!payload_.hold->js_buffer)
        return info.Env().Undefined();
    return BufferHandle::Wrap(payload_.device->environment(), {payload_.hold->js_buffer, payload_.device});
}

Napi::Value DeviceMemory::Live(const Napi::CallbackInfo &info) {
    const rvt_device_memory *memory = payload_.hold->memory;
    bool gone =
        !memory || rvt_device_memory_freed(memory) || rvt_ucontext_live(payload_.device->context()) < 0;
    return Napi::Number::New(info.Env(), gone ? rvt_fail(RVT_EBADF, RVT_CAUSE_MEMORY_FREED) : 0);
}

Napi::Value DeviceMemory::Free(const Napi::CallbackInfo &info) {
    rvt_device_memory *memory = payload_.hold->memory;
    if (!memory || rvt_ucontext_gone(payload_.device->context()))
        return Napi::Number::New(info.Env(), FailFreed());
    payload_.device->environment().DrainReferences();
    int error = rvt_free_device_memory(payload_.device->get(), payload_.device->context(), memory);
    if (!error)
        LetGo(*payload_.device, memory);
    return Napi::Number::New(info.Env(), error);
}

void DeviceMemory::LetGo(OpenDevice &device, const rvt_device_memory *only) {
    for (MemoryHold *hold : device.HoldsOn(only))
        hold->LetGo();
}
