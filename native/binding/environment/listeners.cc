// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/listeners.h"

#include <utility>

void Listeners::Tell() {
    if (!noted_.exchange(false))
        return;
    std::vector<Napi::FunctionReference> callbacks;
    callbacks.swap(callbacks_); // a callback may add others
    for (const Napi::FunctionReference &callback : callbacks) {
        napi_value receiver, result;
        if (napi_get_undefined(env_, &receiver) != napi_ok)
            return; // JavaScript cannot run any more
        // If a callback throws, that is an uncaught exception of the process, as in any callback.
        napi_call_function(env_, receiver, callback.Value(), 0, nullptr, &result);
    }
}

void Listeners::TellFromLoop() {
    if (!noted_.exchange(false))
        return;
    std::vector<Napi::FunctionReference> callbacks;
    callbacks.swap(callbacks_);
    for (const Napi::FunctionReference &callback : callbacks) {
        napi_value receiver, result, error;
        if (napi_get_global(env_, &receiver) != napi_ok)
            return; // JavaScript cannot run any more
        if (napi_make_callback(env_, nullptr, receiver, callback.Value(), 0, nullptr, &result) ==
                napi_pending_exception &&
            napi_get_and_clear_last_exception(env_, &error) == napi_ok)
            napi_fatal_exception(env_, error);
    }
}
