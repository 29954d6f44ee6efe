// SPDX-License-Identifier: BSD-3-Clause
// Memory that JavaScript owns, as the core's rvt_memory: kept alive by a strong reference, looked up anew in
// every call because it can be detached, moved or shrunk at any time in between.
#ifndef RDMAVT_JS_MEMORY_H
#define RDMAVT_JS_MEMORY_H

#include <napi.h>

#include <unordered_map>

#include "binding/environment/environment.h"
#include "binding/values/wrapper.h"

// An ArrayBuffer or SharedArrayBuffer that memory was registered of. All registrations of one buffer
// share one of these, so that a call which meets many of them looks the buffer up once. Belongs to its
// environment's thread, but for the shared_ptr itself.
struct JsBuffer : Used, std::enable_shared_from_this<JsBuffer> {
    std::shared_ptr<Environment> owner;
    const uint64_t number;        // of rvt_new_buffer_number(), or that of its device memory
    napi_ref reference = nullptr; // strong while `users` is not 0
    uint32_t users = 0;           // memories
    // Where its bytes began when it was registered: what KnownBuffers finds it by; nullptr: not there (any
    // more).
    const unsigned char *known_by = nullptr;
    bool apart = false;                    // KnownBuffers has it, but not by its address
    bool resting = false;                  // among those that KnownBuffers keeps without a user
    unsigned char *shared_bytes = nullptr; // shared memory, which is never detached and never moves
    rvt_device_memory *device_memory =
        nullptr; // the device's own, which the buffer only shows: one reference

    // The last look: in which call, and what was found.
    uint64_t looked = 0;
    unsigned char *bytes = nullptr;
    size_t length = 0;

    explicit JsBuffer(uint64_t numbered) : number(numbered) {}
    ~JsBuffer() override;
    // Whether JavaScript's buffer was detached or collected.
    bool IsDetached() const;
    bool of_device = false; // it was made over device memory
    // The device memory is gone for this environment: the buffer cannot be registered any more.
    void ForgetMemory();
    void Use();
    void Unuse() override;
    // Find out where the buffer's bytes are now, unless that was done in this call already.
    void Look();
};

// The buffers of an environment that have registrations, or had them a short while ago, and those of device
// memory, by the address of their first byte. The address only finds a buffer that may be the one: memory can
// pass from one buffer to another (ArrayBuffer.prototype.transfer), so who finds one compares the buffers.
class KnownBuffers : public EnvironmentPart {
public:
    static void Start(Environment &environment) {
        environment.Keep(kBuffersPart, std::make_unique<KnownBuffers>());
    }
    static KnownBuffers &Of(const Environment &environment) {
        return static_cast<KnownBuffers &>(environment.part(kBuffersPart));
    }

    // From now on the buffer is found by that address; one that was before is not any more. But a buffer of
    // device memory keeps its place when one that its pages were transferred to is registered: it must be
    // found to be known for what it is.
    void Add(const unsigned char *address, JsBuffer &buffer);
    void Remove(JsBuffer &buffer);
    // Nobody uses the buffer any more. It is kept for a while, without keeping JavaScript's buffer: programs
    // register the same memory again and again.
    void Rest(JsBuffer &buffer);
    // The JsBuffer of a JavaScript buffer whose bytes begin there; nullptr: there is none. Of shared memory
    // there is one, whichever of its buffer objects is asked for: each message makes another.
    JsBuffer *Find(napi_env env, const unsigned char *address, napi_value buffer) const;

    // Calls `tell` with each of them.
    template <class Tell> void ForEach(const Tell &tell) const {
        for (const auto &known : buffers_)
            tell(*known.second);
        for (const auto &known : apart_)
            tell(*known.second);
    }

    void End() override;

private:
    static constexpr unsigned kResting = 64;
    void SetApart(JsBuffer &buffer);

    std::unordered_map<const unsigned char *, JsBuffer *> buffers_;
    std::unordered_map<uint64_t, JsBuffer *> apart_; // by number: those whose address finds another one
    std::shared_ptr<JsBuffer> resting_[kResting];    // the oldest at next_, which is the next to go
    unsigned next_ = 0;
};

// What lib keeps with a buffer of device memory: it keeps the device, which owns the bytes, open as long as
// JavaScript has the buffer. Nothing else can be done with it.
struct BufferHandlePayload {
    std::shared_ptr<JsBuffer> buffer;
    std::shared_ptr<OpenDevice> device;
};

class BufferHandle : public Wrapper<BufferHandle, BufferHandlePayload, kBufferHandle> {
public:
    using Wrapper::Wrapper;
    static Napi::Value Wrap(Environment &environment, BufferHandlePayload payload) {
        return Create(environment, std::move(payload));
    }
    static void Define(Environment &environment, Napi::Env env);
};

// The bytes of a Uint8Array as memory, with one reference for the caller to put. 0; -EINVAL: it is no
// Uint8Array; -ENOMEM; -EBADF: device memory that was freed.
int NewJsMemory(const std::shared_ptr<Environment> &environment, napi_env env, napi_value array,
                rvt_memory **memory);

// Where the bytes of a Uint8Array are: the number of its buffer, 0 if none of it was registered or mapped.
// False: it is no Uint8Array.
struct ViewPlace {
    uint64_t buffer, offset, length;
};
bool FindView(const Environment &environment, napi_env env, napi_value array, ViewPlace *place);

#endif
