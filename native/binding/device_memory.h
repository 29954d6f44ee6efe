// SPDX-License-Identifier: BSD-3-Clause
// The device's own memory as JavaScript sees it: an ArrayBuffer over the core's pages, in every environment
// that wants one.
#ifndef RDMAVT_BINDING_DEVICE_MEMORY_H
#define RDMAVT_BINDING_DEVICE_MEMORY_H

#include "js_memory.h"
#include "wrapper.h"

// A buffer over the memory. JavaScript can detach it and move its pages to another buffer, also to one in
// another thread (ArrayBuffer.prototype.transfer), and the engine tells only in some cases when the last of
// them is gone. So the pages are given back when the engine says so while the environment runs; when the
// environment ends, only if the buffer is still there and whole, since then they are nowhere else. Otherwise
// they are kept for good: memory lost by a program that plays tricks, and never memory that somebody still
// sees.
struct MemoryView {
    std::shared_ptr<Environment> environment;
    std::weak_ptr<OpenDevice> device;
    rvt_device_memory *memory; // one reference
    napi_ref buffer = nullptr; // weak
    bool ending = false;       // the environment is going away,
    bool whole = false;        // and the buffer was whole at that moment
};

struct DeviceMemoryPayload {
    std::shared_ptr<OpenDevice> device;
    rvt_device_memory *memory = nullptr;           // one reference
    std::shared_ptr<JsBuffer> js_buffer = nullptr; // of the buffer there is, if there is one

    DeviceMemoryPayload() = default;
    DeviceMemoryPayload(std::shared_ptr<OpenDevice> of, rvt_device_memory *consumed)
        : device(std::move(of)), memory(consumed) {}
    DeviceMemoryPayload(DeviceMemoryPayload &&other) noexcept {
        *this = std::move(other);
    }
    DeviceMemoryPayload &operator=(DeviceMemoryPayload &&other) noexcept {
        std::swap(device, other.device);
        std::swap(memory, other.memory);
        std::swap(js_buffer, other.js_buffer);
        return *this;
    }
    ~DeviceMemoryPayload() {
        if (memory)
            rvt_memory_put(&memory->memory);
    }
};

class DeviceMemory : public Wrapper<DeviceMemory, DeviceMemoryPayload, kDeviceMemory> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);
    // A memory's object. Consumes the reference.
    static Napi::Value Wrap(const std::shared_ptr<OpenDevice> &device, rvt_device_memory *memory);
    // Detach the buffers that this environment has over the device's memory: the device is closed.
    static void DetachViews(OpenDevice &device);

private:
    Napi::Value Serial(const Napi::CallbackInfo &info);
    Napi::Value Length(const Napi::CallbackInfo &info);
    Napi::Value Buffer(const Napi::CallbackInfo &info);
    Napi::Value Handle(const Napi::CallbackInfo &info);
    Napi::Value Free(const Napi::CallbackInfo &info);
};

#endif
