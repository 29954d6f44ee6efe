// SPDX-License-Identifier: BSD-3-Clause
// Exposes the device's own memory to JavaScript: an ArrayBuffer over the core's pages in each environment
// that uses it.
#ifndef RDMAVT_BINDING_DEVICE_MEMORY_H
#define RDMAVT_BINDING_DEVICE_MEMORY_H

#include "binding/values/js_memory.h"
#include "binding/values/wrapper.h"

// A buffer over the memory. JavaScript can detach it and move its pages to another buffer, also in another
// thread (ArrayBuffer.prototype.transfer). While the environment runs, the engine calls the finalizer when
// the last such buffer was collected, and the finalizer releases the pages.
//
// When the environment ends, the engine detaches the buffer itself and calls the finalizer even if the pages
// have moved elsewhere. Then the pages may be released only if the buffer was still whole just before,
// because then no other buffer had them. That is tested when the engine finalizes another buffer, the
// sentinel, which is created after this one and never visible to JavaScript. If an engine finalizes them in
// another order, the state is unknown, and the pages are leaked, as they are if the buffer was not whole.
// Leaking is the safe choice: another buffer may still use the pages.
struct MemoryView {
    rvt_device_memory *memory;   // holds one reference
    napi_ref buffer = nullptr;   // weak reference on the buffer
    napi_ref sentinel = nullptr; // strong reference on the sentinel
    unsigned char sentinel_byte = 0;
    bool making = true; // the buffer is not created yet
    bool whole = false; // the environment is ending, and the buffer was whole at that moment
    // Finalizer calls still to come from the engine: for the buffer and for the sentinel.
    unsigned finalizers = 1;
};

// What the wrapper objects of a device memory hold. It is released when the memory is freed or its device
// closed in this environment, so that the pages do not have to wait until the objects are collected.
struct MemoryHold {
    std::weak_ptr<OpenDevice> device;
    rvt_device_memory *memory;           // holds one reference; nullptr once released
    std::shared_ptr<JsBuffer> js_buffer; // of the current buffer, if there is one

    MemoryHold(const std::shared_ptr<OpenDevice> &of, rvt_device_memory *consumed);
    ~MemoryHold();
    MemoryHold(const MemoryHold &) = delete;
    MemoryHold &operator=(const MemoryHold &) = delete;
    void LetGo();

private:
    void PutMemory();
};

struct DeviceMemoryPayload {
    std::shared_ptr<OpenDevice> device;
    std::shared_ptr<MemoryHold> hold;
};

class DeviceMemory : public Wrapper<DeviceMemory, DeviceMemoryPayload, kDeviceMemory> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);
    // Returns an object that wraps a memory. Takes over the reference.
    static Napi::Value Wrap(const std::shared_ptr<OpenDevice> &device, rvt_device_memory *memory);
    // Releases the holds on the device's memory (on `only`, unless that is nullptr). Existing buffers over it
    // stay valid: the system may be writing into one right now (an asynchronous read), so the pages stay
    // until the last user releases them.
    static void LetGo(OpenDevice &device, const rvt_device_memory *only);

private:
    int FailFreed() const; // returns -EBADF and records the cause
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Length(const Napi::CallbackInfo &info);
    Napi::Value Buffer(const Napi::CallbackInfo &info);
    Napi::Value Handle(const Napi::CallbackInfo &info);
    Napi::Value Live(const Napi::CallbackInfo &info);
    Napi::Value Free(const Napi::CallbackInfo &info);
};

#endif
