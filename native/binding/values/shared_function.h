// SPDX-License-Identifier: BSD-3-Clause
// Raw Node-API functions that share one native object, which lives as long as any of them.
#ifndef RDMAVT_SHARED_FUNCTION_H
#define RDMAVT_SHARED_FUNCTION_H

#include <napi.h>

#include <memory>

// Creates a function. Returns nullptr if JavaScript could not create it.
template <typename T>
napi_value NewSharedFunction(napi_env env, const std::shared_ptr<T> &of, const char *name,
                             napi_callback callback) {
    using Shared = std::shared_ptr<T>;
    auto *shared = new Shared(of);
    napi_value value;
    auto free = [](napi_env, void *data, void *) { delete static_cast<Shared *>(data); };
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, shared, &value) != napi_ok ||
        napi_add_finalizer(env, value, shared, free, nullptr, nullptr) != napi_ok) {
        delete shared;
        return nullptr;
    }
    return value;
}

// Adds a function to a JavaScript object. Returns false if JavaScript could not create it.
template <typename T>
bool AddSharedFunction(napi_env env, napi_value object, const std::shared_ptr<T> &of, const char *name,
                       napi_callback callback) {
    napi_value value = NewSharedFunction(env, of, name, callback);
    return value && napi_set_named_property(env, object, name, value) == napi_ok;
}

// Returns the object of a function that was created so, or nullptr if the worker is being terminated.
template <typename T>
T *SharedOf(napi_env env, napi_callback_info info, size_t *argc = nullptr, napi_value *argv = nullptr) {
    void *data = nullptr;
    return napi_get_cb_info(env, info, argc, argv, nullptr, &data) == napi_ok
               ? static_cast<std::shared_ptr<T> *>(data)->get()
               : nullptr;
}

#endif
