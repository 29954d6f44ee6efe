// SPDX-License-Identifier: BSD-3-Clause
// What brings work to a device, and takes it away, from outside of the process: an endpoint. It must act at the end of
// calls into the device, and close with it.
#ifndef RDMAVT_DEVICE_PORT_H
#define RDMAVT_DEVICE_PORT_H

#include <memory>

#include "core/rvt.h"

class Environment;
class OpenDevice;

class DevicePort {
public:
    virtual ~DevicePort() = default;

    // Called at the end of a call into the engine, with its thread environment still set, if the port has asked for it
    // (Environment::CallPorts). May run no JavaScript.
    virtual void AfterCall() = 0;
    // Closes the port. Called on its environment's thread.
    virtual void Close() = 0;
    // Makes the port close soon, because another thread has closed the device. Called by any thread, with a lock held: it
    // may only wake its own thread.
    virtual void DeviceClosed() = 0;

    OpenDevice &device() const {
        return *device_;
    }

    // Tells the ports of other environments that the device is closed.
    static void TellClosed(const rvt_dev_info *device, const Environment &but);

protected:
    explicit DevicePort(std::shared_ptr<OpenDevice> device);
    DevicePort(const DevicePort &) = delete;
    DevicePort &operator=(const DevicePort &) = delete;

    // Enters the port into the lists of its environment and of the process, or takes it out of them. On its
    // environment's thread.
    void Enter();
    void Leave();

private:
    const std::shared_ptr<OpenDevice> device_;
    DevicePort *next_ = nullptr, *previous_ = nullptr; // of the process's list, under its lock
};

#endif
