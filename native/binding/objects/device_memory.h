// SPDX-License-Identifier: BSD-3-Clause
// The device's own memory as JavaScript sees it: an ArrayBuffer over the core's pages, in every environment
// that wants one.
#ifndef RDMAVT_BINDING_DEVICE_MEMORY_H
#define RDMAVT_BINDING_DEVICE_MEMORY_H

#include "binding/values/js_memory.h"
#include "binding/values/wrapper.h"

// A buffer over the memory. JavaScript can detach it and move its pages to another buffer, also to one in
// another thread (ArrayBuffer.prototype.transfer). While the environment runs, the engine tells when the last
// of them is gone, and the pages are given back. When the environment ends, it tells whether or not the pages
// are somewhere else by then, having detached the buffer itself; they are given back only if the buffer was
// whole just before, since then they were nowhere else. That is looked at when the engine ends another
// buffer, the sentinel, which was made after this one and which JavaScript never sees. Should the engine end
// them in another order, nothing is known, and the pages are kept for good, as they are when the buffer was
// not whole: memory lost, and never memory that somebody still sees.
struct MemoryView {
    rvt_device_memory *memory;   // one reference
    napi_ref buffer = nullptr;   // weak
    napi_ref sentinel = nullptr; // strong
    unsigned char sentinel_byte = 0;
    bool making = true;      // the buffer is not there yet
    bool whole = false;      // the environment is going away, and the buffer was whole at that moment
    unsigned finalizers = 1; // calls that the engine has still to make: for the buffer and for the sentinel
};

// What objects of the memory hold on to. Lets go when it is freed or its device closed in this environment,
// so that the pages need not wait for the objects to be collected.
struct MemoryHold {
    std::weak_ptr<OpenDevice> device;
    rvt_device_memory *memory;           // one reference; nullptr: let go
    std::shared_ptr<JsBuffer> js_buffer; // of the buffer there is, if there is one

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
    // A memory's object. Consumes the reference.
    static Napi::Value Wrap(const std::shared_ptr<OpenDevice> &device, rvt_device_memory *memory);
    // Let go of the device's memory (of `only`, unless that is nullptr). Buffers over it are left as they
    // are: the system may be writing into one at this moment (an asynchronous read), so the pages stay until
    // nobody has it any more.
    static void LetGo(OpenDevice &device, const rvt_device_memory *only);

private:
    int FailFreed() const; // -EBADF, and why
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Length(const Napi::CallbackInfo &info);
    Napi::Value Buffer(const Napi::CallbackInfo &info);
    Napi::Value Handle(const Napi::CallbackInfo &info);
    Napi::Value Live(const Napi::CallbackInfo &info);
    Napi::Value Free(const Napi::CallbackInfo &info);
};

#endif
