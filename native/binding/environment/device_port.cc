// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/device_port.h"

#include <utility>

#include "binding/environment/open_device.h"

// All ports of the process. A plain mutex of the core: it needs no destructor, which would run while other threads
// still use it.
static rvt_mutex list_lock = RVT_MUTEX_INITIALIZER;
static DevicePort *first_port;

DevicePort::DevicePort(std::shared_ptr<OpenDevice> device) : device_(std::move(device)) {}

void DevicePort::Enter() {
    rvt_mutex_lock(&list_lock);
    next_ = first_port;
    if (next_)
        next_->previous_ = this;
    first_port = this;
    rvt_mutex_unlock(&list_lock);
    device_->environment().AddPort(this);
}

void DevicePort::Leave() {
    device_->environment().RemovePort(this);
    rvt_mutex_lock(&list_lock);
    (previous_ ? previous_->next_ : first_port) = next_;
    if (next_)
        next_->previous_ = previous_;
    next_ = previous_ = nullptr;
    rvt_mutex_unlock(&list_lock);
}

void DevicePort::TellClosed(const rvt_dev_info *device, const Environment &but) {
    rvt_mutex_lock(&list_lock);
    for (DevicePort *port = first_port; port; port = port->next_)
        if (port->device_->get() == device && &port->device_->environment() != &but)
            port->DeviceClosed();
    rvt_mutex_unlock(&list_lock);
}
