// SPDX-License-Identifier: BSD-3-Clause
#include "binding/values/js_memory.h"

#include <new>

#include "binding/values/arguments.h"

JsBuffer::~JsBuffer() {
    if (reference)
        owner->ReleaseReference(reference);
    ForgetMemory();
}

void JsBuffer::ForgetMemory() {
    if (device_memory)
        rvt_memory_put(&device_memory->memory);
    device_memory = nullptr;
    forgotten = true;
}

void JsBuffer::Use() {
    if (users++ == 0)
        napi_reference_ref(owner->env(), reference, nullptr);
}

void JsBuffer::Unuse() {
    if (--users == 0 && owner->running())
        napi_reference_unref(owner->env(), reference, nullptr);
}

void JsBuffer::Look() {
    if (looked == owner->call())
        return;
    looked = owner->call();
    bytes = nullptr;
    length = 0;
    // The callback's own handle scope holds the handle: one for each buffer that a call meets.
    napi_env env = owner->env();
    napi_value buffer;
    void *data;
    size_t size;
    if (napi_get_reference_value(env, reference, &buffer) == napi_ok && buffer &&
        napi_get_arraybuffer_info(env, buffer, &data, &size) == napi_ok) {
        bytes = static_cast<unsigned char *>(data);
        length = size;
    }
}

namespace {

struct JsMemory {
    rvt_memory memory; // first: the core's pointer is ours
    std::shared_ptr<JsBuffer> buffer;
    uint64_t offset; // of the registered bytes in the buffer
};

JsMemory *Of(rvt_memory *memory) {
    return reinterpret_cast<JsMemory *>(memory);
}

// Why a buffer has too few bytes.
rvt_reason WhyShort(const JsBuffer &buffer) {
    napi_env env = buffer.owner->env();
    Napi::HandleScope scope(env);
    napi_value value;
    bool detached = false;
    if (napi_get_reference_value(env, buffer.reference, &value) != napi_ok || !value ||
        napi_is_detached_arraybuffer(env, value, &detached) != napi_ok)
        return RVT_MEMORY_DETACHED;
    return detached ? RVT_MEMORY_DETACHED : RVT_MEMORY_SHRUNK;
}

rvt_reason Resolve(rvt_memory *memory, void *environment, unsigned char **data) {
    JsMemory *js = Of(memory);
    JsBuffer &buffer = *js->buffer;
    if (buffer.shared_bytes) {
        *data = buffer.shared_bytes + js->offset;
        return RVT_REASON_NONE;
    }
    // An ArrayBuffer belongs to one environment. Elsewhere it cannot even be looked at.
    if (environment != buffer.owner.get())
        return RVT_OTHER_ENVIRONMENT;
    buffer.Look();
    if (buffer.length < js->offset || buffer.length - js->offset < memory->length)
        return WhyShort(buffer);
    *data = buffer.bytes + js->offset;
    return RVT_REASON_NONE;
}

void Release(rvt_memory *memory) {
    JsMemory *js = Of(memory);
    // A copy: the owner of the buffer outlives the hand-over even if this was its last holder.
    std::shared_ptr<Environment> owner = js->buffer->owner;
    owner->ReleaseUse(std::move(js->buffer));
    delete js;
}

const rvt_memory_ops kOps = {Resolve, Release};

// A buffer not used by any memory yet. `array`: a Uint8Array over it.
std::shared_ptr<JsBuffer> NewJsBuffer(const std::shared_ptr<Environment> &environment, napi_value array) {
    napi_env env = environment->env();
    napi_value value;
    void *data;
    size_t offset;
    bool plain = false;
    // A SharedArrayBuffer is not an ArrayBuffer to Node-API.
    if (napi_get_typedarray_info(env, array, nullptr, nullptr, &data, &value, &offset) != napi_ok ||
        napi_is_arraybuffer(env, value, &plain) != napi_ok)
        return nullptr;
    auto buffer = std::make_shared<JsBuffer>();
    buffer->owner = environment;
    if (!plain && data)
        buffer->shared_bytes = static_cast<unsigned char *>(data) - offset;
    if (napi_create_reference(env, value, 0, &buffer->reference) != napi_ok)
        return nullptr;
    return buffer;
}

} // namespace

void BufferHandle::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeBuffer", {}));
}

Napi::Value BufferHandle::Hold(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    arguments.Array(0, napi_uint8_array);
    if (!arguments.ok())
        return arguments.Undefined();
    std::shared_ptr<Environment> environment = Environment::Of(info.Env());
    std::shared_ptr<JsBuffer> buffer = NewJsBuffer(environment, info[0]);
    return buffer ? Create(*environment, {std::move(buffer), nullptr}) : Napi::Value();
}

int NewJsMemory(const std::shared_ptr<Environment> &environment, const Napi::Value &array,
                const Napi::Value &handle, rvt_memory **memory) {
    napi_env env = environment->env();
    napi_typedarray_type type = kUnknownType;
    size_t length, offset;
    napi_value value;
    if (!array.IsTypedArray() ||
        napi_get_typedarray_info(env, array, &type, &length, nullptr, &value, &offset) != napi_ok ||
        type != napi_uint8_array)
        return -RVT_ENOMEM;
    std::shared_ptr<JsBuffer> buffer;
    if (BufferHandle *held = BufferHandle::Get(handle)) {
        // It comes from a map that JavaScript keeps, so it is believed only if it really is this buffer's.
        buffer = held->payload().buffer;
        napi_value own;
        bool same = false;
        if (napi_get_reference_value(env, buffer->reference, &own) != napi_ok || !own ||
            napi_strict_equals(env, own, value, &same) != napi_ok || !same)
            return -RVT_ENOMEM;
    } else {
        buffer = NewJsBuffer(environment, array);
    }
    if (buffer && buffer->forgotten)
        return -RVT_EBADF;
    if (buffer && buffer->device_memory) {
        // The bytes are the core's: what JavaScript does with the buffer does not matter to them.
        if (rvt_device_memory_freed(buffer->device_memory))
            return -RVT_EBADF;
        *memory = rvt_device_memory_slice(buffer->device_memory, offset, length);
        if (*memory)
            return 0;
        return rvt_device_memory_freed(buffer->device_memory) ? -RVT_EBADF : -RVT_ENOMEM;
    }
    JsMemory *js = buffer ? new (std::nothrow) JsMemory() : nullptr;
    if (!js)
        return -RVT_ENOMEM;
    rvt_memory_init(&js->memory, &kOps, length);
    js->offset = offset;
    buffer->Use();
    js->buffer = std::move(buffer);
    *memory = &js->memory;
    return 0;
}
