// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_ENGINE_CALL_H
#define RDMAVT_ENGINE_CALL_H

#include <memory>

#include "binding/environment/open_device.h"
#include "core/rvt.h"

// Scope of a call that may make the engine work: it resolves the buffers of this environment. Ends with the ports that
// have something to send (device_port.h), and with OpenDevice::Settle(), which may collect garbage, and with it the object or function that was called. So the scope
// keeps the device.
class EngineCall {
public:
    explicit EngineCall(OpenDevice &device) : device_(device.shared_from_this()) {
        device.environment().NextCall();
        device.environment().BeginEngineCall();
        rvt_set_thread_environment(&device.environment());
    }
    ~EngineCall() {
        device_->environment().EndEngineCall();
        rvt_set_thread_environment(nullptr);
        device_->Settle();
    }
    EngineCall(const EngineCall &) = delete;
    EngineCall &operator=(const EngineCall &) = delete;

private:
    const std::shared_ptr<OpenDevice> device_;
};

#endif
