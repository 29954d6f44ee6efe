// SPDX-License-Identifier: BSD-3-Clause
// Memory that JavaScript owns, as the core's rvt_memory: kept alive by a strong reference, looked up anew in
// every call because it can be detached, moved or shrunk at any time in between.
#ifndef RDMAVT_JS_MEMORY_H
#define RDMAVT_JS_MEMORY_H

#include <napi.h>

#include "binding/environment/environment.h"
#include "binding/values/wrapper.h"

// An ArrayBuffer or SharedArrayBuffer that memory was registered of. All registrations of one buffer can
// share one of these, so that a call which meets many of them looks the buffer up once. Belongs to its
// environment's thread, but for the shared_ptr itself.
struct JsBuffer : Used {
    std::shared_ptr<Environment> owner;
    napi_ref reference = nullptr;          // strong while `users` is not 0, else weak
    uint32_t users = 0;                    // memories
    unsigned char *shared_bytes = nullptr; // shared memory, which is never detached and never moves
    rvt_device_memory *device_memory =
        nullptr; // the device's own, which the buffer only shows: one reference

    // The last look: in which call, and what was found.
    uint64_t looked = 0;
    unsigned char *bytes = nullptr;
    size_t length = 0;

    ~JsBuffer() override;
    // The device memory is gone for this environment: the buffer cannot be registered any more.
    void ForgetMemory();
    bool forgotten = false;
    void Use();
    void Unuse() override;
    // Find out where the buffer's bytes are now, unless that was done in this call already.
    void Look();
};

// A buffer's handle, so that lib can keep it with the buffer: holdBuffer(bytes).
struct BufferHandlePayload {
    std::shared_ptr<JsBuffer> buffer;
    std::shared_ptr<OpenDevice> device; // device memory's: its bytes live as long as it is open
};

class BufferHandle : public Wrapper<BufferHandle, BufferHandlePayload, kBufferHandle> {
public:
    using Wrapper::Wrapper;
    static Napi::Value Wrap(Environment &environment, BufferHandlePayload payload) {
        return Create(environment, std::move(payload));
    }
    static void Define(Environment &environment, Napi::Env env);
    static Napi::Value Hold(const Napi::CallbackInfo &info);
};

// The bytes of a Uint8Array as memory, with one reference for the caller to put. `handle`: what holdBuffer
// gave for its buffer, or undefined. 0, -ENOMEM (also for what is not a Uint8Array, or not its buffer's
// handle), or -EBADF: device memory that was freed.
int NewJsMemory(const std::shared_ptr<Environment> &environment, const Napi::Value &array,
                const Napi::Value &handle, rvt_memory **memory);

#endif
