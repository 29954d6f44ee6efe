// SPDX-License-Identifier: BSD-3-Clause
// What the wrappers of completion queues, shared receive queues and address handles have in common.
#ifndef RDMAVT_BINDING_QUEUE_OBJECT_H
#define RDMAVT_BINDING_QUEUE_OBJECT_H

#include <memory>

#include "binding/environment/engine_call.h"
#include "binding/values/arguments.h"
#include "binding/values/wrapper.h"

template <typename Handle> struct HandlePayload {
    std::shared_ptr<OpenDevice> device;
    Handle handle;
};

// Returns the serial number of an object, or -EBADF with `cause` if its handle is stale. `live`: the object, or
// nullptr if its handle is stale.
inline Napi::Value SerialOf(Napi::Env env, OpenDevice &device, rvt_owned *live, uint64_t generation,
                            rvt_cause cause) {
    uint64_t serial = live ? rvt_read_serial(live, generation) : 0;
    return Napi::Number::New(env, serial ? static_cast<double>(serial)
                                         : rvt_fail_gone(device.get(), device.context(), cause));
}

// Wraps an object that was just created. Calls `undo` if JavaScript could not create the wrapper: an exception
// is pending then, so the call must have no effect.
template <typename T, typename Handle>
Napi::Value WrapNew(Napi::Env env, const std::shared_ptr<OpenDevice> &device, int error, Handle handle,
                    int (*undo)(Handle)) {
    if (error)
        return Napi::Number::New(env, error);
    Napi::Value object = T::Create(device->environment(), {device, handle});
    if (object.IsEmpty())
        undo(handle);
    return object;
}

#endif
