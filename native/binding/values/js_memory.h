// SPDX-License-Identifier: BSD-3-Clause
// Memory that JavaScript owns, as the core's rvt_memory. A strong reference keeps it alive. Each call looks
// it up anew, because between calls JavaScript can detach, move or shrink it.
#ifndef RDMAVT_JS_MEMORY_H
#define RDMAVT_JS_MEMORY_H

#include <napi.h>

#include <unordered_map>

#include "binding/environment/environment.h"
#include "binding/values/wrapper.h"

// An ArrayBuffer or SharedArrayBuffer with registered bytes. All registrations of one buffer share
// one JsBuffer, so a call that uses many of them looks the buffer up once. Only its environment's thread may
// use it; the shared_ptr itself may be held by any thread.
struct JsBuffer : Used, std::enable_shared_from_this<JsBuffer> {
    std::shared_ptr<Environment> owner;
    const uint64_t number;        // from rvt_new_buffer_number(), or the number of its device memory
    napi_ref reference = nullptr; // strong while `users` is not 0
    uint32_t users = 0;           // number of memories that use the buffer
    // The address of the buffer's first byte at registration, by which KnownBuffers finds it. nullptr if it
    // is not found by its address (any more).
    const unsigned char *known_by = nullptr;
    bool apart = false;                    // known to KnownBuffers, but not by its address
    bool resting = false;                  // among the unused buffers that KnownBuffers keeps
    unsigned char *shared_bytes = nullptr; // shared memory, which is never detached and never moves
    // The device memory that the buffer is over, with one reference; nullptr for other buffers.
    rvt_device_memory *device_memory = nullptr;

    // The last lookup: the call that made it, and its result.
    uint64_t looked = 0;
    unsigned char *bytes = nullptr;
    size_t length = 0;

    explicit JsBuffer(uint64_t numbered) : number(numbered) {}
    ~JsBuffer() override;
    // Returns whether JavaScript's buffer was detached or collected.
    bool IsDetached() const;
    bool of_device = false; // the buffer was created over device memory
    // Drops the device memory when it ends for this environment. The buffer can then not be registered any
    // more.
    void ForgetMemory();
    void Use();
    void Unuse() override;
    // Looks up where the buffer's bytes are, unless this call has already done that.
    void Look();
};

// The buffers of an environment that have registrations, or had some recently, and those of device memory,
// indexed by the address of their first byte. An address only yields a candidate: memory can move from one
// buffer to another (ArrayBuffer.prototype.transfer), so the lookup compares the buffers.
class KnownBuffers : public EnvironmentPart {
public:
    static void Start(Environment &environment) {
        environment.Keep(kBuffersPart, std::make_unique<KnownBuffers>());
    }
    static KnownBuffers &Of(const Environment &environment) {
        return static_cast<KnownBuffers &>(environment.part(kBuffersPart));
    }

    // Makes the buffer the one that is found by this address, in place of an earlier one. Exception: a buffer
    // of device memory keeps its place when a buffer that received its pages by transfer is registered,
    // because it must still be recognized as device memory.
    void Add(const unsigned char *address, JsBuffer &buffer);
    void Remove(JsBuffer &buffer);
    // Call when the buffer has no users any more. Keeps the JsBuffer for a while, because programs register
    // the same memory repeatedly; JavaScript's buffer may be collected.
    void Rest(JsBuffer &buffer);
    // Returns the JsBuffer of a JavaScript buffer whose bytes begin at `address`, or nullptr if there is
    // none. Shared memory has only one JsBuffer for all its buffer objects: each message creates another
    // object.
    JsBuffer *Find(napi_env env, const unsigned char *address, napi_value buffer) const;

    // Calls `tell` with each known buffer.
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
    std::unordered_map<uint64_t, JsBuffer *> apart_; // by number: buffers whose address yields another buffer
    std::shared_ptr<JsBuffer> resting_[kResting];    // the oldest is at next_ and is dropped next
    unsigned next_ = 0;
};

// Kept by lib together with a buffer of device memory. It keeps the device, which owns the bytes, open as
// long as JavaScript has the buffer, and has no methods.
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

// Whether registered bytes keep their ArrayBuffer alive.
enum class Keeping {
    kStrong,
    // Once the ArrayBuffer was collected, its bytes are refused like those of a detached one. Possible because
    // an ArrayBuffer is looked up for every use of its bytes, by its own thread. Shared memory is kept all the
    // same: other threads reach its bytes without a lookup. Device memory belongs to the core.
    kWeak,
};

// Returns the bytes of a Uint8Array as memory, with one reference for the caller.
//   0        *memory is set
//   -EINVAL  `array` is not a Uint8Array
//   -ENOMEM  no memory
//   -EBADF   it is over device memory that was freed
int NewJsMemory(const std::shared_ptr<Environment> &environment, napi_env env, napi_value array,
                Keeping keeping, rvt_memory **memory);

// Finds where the bytes of a Uint8Array are. The buffer's number is 0 if none of it was registered or mapped.
// Returns false if `array` is not a Uint8Array.
struct ViewPlace {
    uint64_t buffer, offset, length;
};
bool FindView(const Environment &environment, napi_env env, napi_value array, ViewPlace *place);

#endif
