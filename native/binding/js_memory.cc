// SPDX-License-Identifier: BSD-3-Clause
#include "js_memory.h"

#include <new>

namespace {

struct JsMemory {
    rvt_memory memory; // first: the core's pointer is ours
    std::shared_ptr<Environment> owner;
    napi_ref buffer;             // the ArrayBuffer or SharedArrayBuffer
    uint64_t offset;             // of the registered bytes in it
    unsigned char *shared_bytes; // not NULL: shared memory, which is never detached and never moves
};

JsMemory *Of(rvt_memory *memory) {
    return reinterpret_cast<JsMemory *>(memory);
}

rvt_reason Resolve(rvt_memory *memory, void *environment, unsigned char **data) {
    JsMemory *js = Of(memory);
    if (js->shared_bytes) {
        *data = js->shared_bytes;
        return RVT_REASON_NONE;
    }
    // An ArrayBuffer belongs to one environment. Elsewhere it cannot even be looked at.
    if (environment != js->owner.get())
        return RVT_OTHER_ENVIRONMENT;
    napi_env env = js->owner->env();
    Napi::HandleScope scope(env);
    napi_value buffer;
    void *bytes;
    size_t length;
    if (napi_get_reference_value(env, js->buffer, &buffer) != napi_ok || !buffer ||
        napi_get_arraybuffer_info(env, buffer, &bytes, &length) != napi_ok)
        return RVT_MEMORY_DETACHED;
    if (length < js->offset || length - js->offset < memory->length) {
        bool detached = false;
        napi_is_detached_arraybuffer(env, buffer, &detached);
        return detached ? RVT_MEMORY_DETACHED : RVT_MEMORY_SHRUNK;
    }
    *data = static_cast<unsigned char *>(bytes) + js->offset;
    return RVT_REASON_NONE;
}

void Release(rvt_memory *memory) {
    JsMemory *js = Of(memory);
    js->owner->ReleaseReference(js->buffer);
    delete js;
}

const rvt_memory_ops kOps = {Resolve, Release};

} // namespace

rvt_memory *NewJsMemory(const std::shared_ptr<Environment> &environment, const Napi::Value &array) {
    napi_env env = environment->env();
    napi_typedarray_type type;
    size_t length, offset;
    void *data;
    napi_value buffer;
    if (!array.IsTypedArray() ||
        napi_get_typedarray_info(env, array, &type, &length, &data, &buffer, &offset) != napi_ok ||
        type != napi_uint8_array)
        return nullptr;
    // A SharedArrayBuffer is not an ArrayBuffer to Node-API.
    bool plain = false;
    if (napi_is_arraybuffer(env, buffer, &plain) != napi_ok)
        return nullptr;
    JsMemory *js = new (std::nothrow) JsMemory();
    if (!js)
        return nullptr;
    rvt_memory_init(&js->memory, &kOps, length);
    js->owner = environment;
    js->offset = offset;
    js->shared_bytes = plain ? nullptr : static_cast<unsigned char *>(data);
    if (napi_create_reference(env, buffer, 1, &js->buffer) != napi_ok) {
        delete js;
        return nullptr;
    }
    return &js->memory;
}
