// SPDX-License-Identifier: BSD-3-Clause
#include "binding/values/js_memory.h"

#include <new>

#include "binding/values/arguments.h"

JsBuffer::~JsBuffer() {
    // Known buffers are destroyed only on their environment's thread, so the map can be changed here.
    if ((known_by || apart) && owner->running())
        KnownBuffers::Of(*owner).Remove(*this);
    if (reference)
        owner->ReleaseReference(reference);
    ForgetMemory();
}

void JsBuffer::ForgetMemory() {
    if (device_memory)
        rvt_memory_put(&device_memory->memory);
    device_memory = nullptr;
}

void JsBuffer::Use() {
    if (users++ == 0)
        napi_reference_ref(owner->env(), reference, nullptr);
}

bool JsBuffer::IsDetached() const {
    Napi::HandleScope scope(owner->env());
    napi_value value;
    bool detached = false;
    return napi_get_reference_value(owner->env(), reference, &value) != napi_ok || !value ||
           napi_is_detached_arraybuffer(owner->env(), value, &detached) != napi_ok || detached;
}

void KnownBuffers::Add(const unsigned char *address, JsBuffer &buffer) {
    JsBuffer *&known = buffers_[address];
    if (known && known->of_device && !buffer.of_device)
        return SetApart(buffer);
    if (known)
        SetApart(*known);
    known = &buffer;
    buffer.known_by = address;
}

void KnownBuffers::SetApart(JsBuffer &buffer) {
    buffer.known_by = nullptr;
    buffer.apart = true;
    apart_[buffer.number] = &buffer;
}

void KnownBuffers::Remove(JsBuffer &buffer) {
    if (buffer.known_by)
        buffers_.erase(buffer.known_by);
    if (buffer.apart)
        apart_.erase(buffer.number);
    buffer.known_by = nullptr;
    buffer.apart = false;
}

void KnownBuffers::Rest(JsBuffer &buffer) {
    if (buffer.resting)
        return;
    buffer.resting = true;
    std::shared_ptr<JsBuffer> &place = resting_[next_++ % kResting];
    if (place)
        place->resting = false;
    place = buffer.shared_from_this(); // drops the oldest one, which is freed unless it is in use again
}

void KnownBuffers::End() {
    buffers_.clear();
    apart_.clear();
    for (std::shared_ptr<JsBuffer> &buffer : resting_)
        buffer.reset();
}

JsBuffer *KnownBuffers::Find(napi_env env, const unsigned char *address, napi_value buffer) const {
    auto found = buffers_.find(address);
    napi_value own;
    bool same = false;
    if (found == buffers_.end() || napi_get_reference_value(env, found->second->reference, &own) != napi_ok ||
        !own)
        return nullptr;
    // Shared bytes stay in place as long as any of their buffer objects is alive, and this one is.
    if (found->second->shared_bytes)
        return found->second;
    return napi_strict_equals(env, own, buffer, &same) == napi_ok && same ? found->second : nullptr;
}

void JsBuffer::Unuse() {
    if (--users || !owner->running())
        return;
    napi_reference_unref(owner->env(), reference, nullptr);
    if (known_by)
        KnownBuffers::Of(*owner).Rest(*this);
}

void JsBuffer::Look() {
    if (looked == owner->call())
        return;
    looked = owner->call();
    bytes = nullptr;
    length = 0;
    // The callback's own handle scope keeps the handle: one for each buffer that a call uses.
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

// A use of a buffer that does not keep JavaScript's buffer alive. Like a JsBuffer, it is destroyed only on its
// environment's thread, and the JsBuffer with it.
struct WeakUse : Used {
    const std::shared_ptr<JsBuffer> buffer;
    explicit WeakUse(std::shared_ptr<JsBuffer> used) : buffer(std::move(used)) {}
    void Unuse() override {}
};

struct JsMemory {
    rvt_memory memory;         // must be first, because the core passes a pointer to it
    std::shared_ptr<Used> use; // the buffer itself, or a WeakUse of it
    JsBuffer *buffer;          // kept by `use`
    uint64_t offset;           // offset of the registered bytes in the buffer
};

JsMemory *Of(rvt_memory *memory) {
    return reinterpret_cast<JsMemory *>(memory);
}

rvt_reason Resolve(rvt_memory *memory, void *environment, unsigned char **data) {
    JsMemory *js = Of(memory);
    JsBuffer &buffer = *js->buffer;
    if (buffer.shared_bytes) {
        *data = buffer.shared_bytes + js->offset;
        return RVT_REASON_NONE;
    }
    // An ArrayBuffer belongs to one environment. Other environments cannot even look it up.
    if (environment != buffer.owner.get())
        return RVT_OTHER_ENVIRONMENT;
    buffer.Look();
    if (buffer.length < js->offset || buffer.length - js->offset < memory->length)
        return buffer.IsDetached() ? RVT_MEMORY_DETACHED : RVT_MEMORY_SHRUNK;
    *data = buffer.bytes + js->offset;
    return RVT_REASON_NONE;
}

void Release(rvt_memory *memory) {
    JsMemory *js = Of(memory);
    // Copy the pointer: the owner must outlive the call even if this memory was its last holder.
    std::shared_ptr<Environment> owner = js->buffer->owner;
    owner->ReleaseUse(std::move(js->use));
    delete js;
}

// Any thread may call this, because it reads only constants.
void Place(const rvt_memory *memory, rvt_memory_place *place) {
    const auto *js = reinterpret_cast<const JsMemory *>(memory);
    place->kind = js->buffer->shared_bytes ? RVT_MEMORY_KIND_SHARED : RVT_MEMORY_KIND_ARRAY_BUFFER;
    place->buffer = js->buffer->number;
    place->offset = js->offset;
}

const rvt_memory_ops kOps = {Resolve, Release, Place};

// Creates a JsBuffer that no memory uses yet, for the buffer whose bytes begin at `address`.
std::shared_ptr<JsBuffer> NewJsBuffer(const std::shared_ptr<Environment> &environment, napi_value value,
                                      unsigned char *address) {
    napi_env env = environment->env();
    bool plain = false;
    // Node-API does not treat a SharedArrayBuffer as an ArrayBuffer.
    if (napi_is_arraybuffer(env, value, &plain) != napi_ok)
        return nullptr;
    auto buffer = std::make_shared<JsBuffer>(rvt_new_buffer_number());
    buffer->owner = environment;
    if (!plain)
        buffer->shared_bytes = address;
    if (napi_create_reference(env, value, 0, &buffer->reference) != napi_ok)
        return nullptr;
    if (address)
        KnownBuffers::Of(*environment).Add(address, *buffer);
    return buffer;
}

// Creates a slice of device memory. The core owns the bytes, so it does not matter if JavaScript detaches the
// buffer.
int NewSlice(const JsBuffer &buffer, size_t offset, size_t length, rvt_memory **memory) {
    if (!buffer.device_memory || rvt_device_memory_freed(buffer.device_memory))
        return rvt_fail(RVT_EBADF, RVT_CAUSE_MEMORY_FREED);
    *memory = rvt_device_memory_slice(buffer.device_memory, offset, length);
    if (*memory)
        return 0;
    return rvt_device_memory_freed(buffer.device_memory) ? rvt_fail(RVT_EBADF, RVT_CAUSE_MEMORY_FREED)
                                                         : rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
}

} // namespace

void BufferHandle::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeBuffer", {}));
}

int NewJsMemory(const std::shared_ptr<Environment> &environment, napi_env env, napi_value array,
                Keeping keeping, rvt_memory **memory) {
    napi_typedarray_type type = kUnknownType;
    size_t length, offset;
    void *data;
    napi_value value;
    if (napi_get_typedarray_info(env, array, &type, &length, &data, &value, &offset) != napi_ok ||
        type != napi_uint8_array)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    unsigned char *address = data ? static_cast<unsigned char *>(data) - offset : nullptr;
    std::shared_ptr<JsBuffer> buffer;
    if (JsBuffer *known = address ? KnownBuffers::Of(*environment).Find(env, address, value) : nullptr) {
        if (known->of_device)
            return NewSlice(*known, offset, length, memory);
        buffer = known->shared_from_this();
    } else {
        buffer = NewJsBuffer(environment, value, address);
    }
    JsMemory *js = buffer ? new (std::nothrow) JsMemory() : nullptr;
    if (!js)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    rvt_memory_init(&js->memory, &kOps, length);
    js->offset = offset;
    js->buffer = buffer.get();
    if (keeping == Keeping::kWeak && !buffer->shared_bytes) {
        js->use = std::make_shared<WeakUse>(std::move(buffer));
    } else {
        buffer->Use();
        js->use = std::move(buffer);
    }
    *memory = &js->memory;
    return 0;
}

bool FindView(const Environment &environment, napi_env env, napi_value array, ViewPlace *place) {
    napi_typedarray_type type = kUnknownType;
    size_t length, offset;
    void *data;
    napi_value value;
    if (napi_get_typedarray_info(env, array, &type, &length, &data, &value, &offset) != napi_ok ||
        type != napi_uint8_array)
        return false;
    const unsigned char *address = data ? static_cast<unsigned char *>(data) - offset : nullptr;
    const JsBuffer *known = address ? KnownBuffers::Of(environment).Find(env, address, value) : nullptr;
    *place = {known ? known->number : 0, offset, length};
    return true;
}
