// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/open_device.h"

#include <new>
#include <utility>

// The minimum that is reported to the garbage collector for an open device, and the smallest change that is
// reported, in bytes.
static constexpr int64_t kFloor = 64 << 10;
static constexpr int64_t kStep = 64 << 10;

OpenDevice::OpenDevice(std::shared_ptr<Environment> environment, rvt_dev_info *device, rvt_ucontext *context,
                       bool opened)
    : environment_(std::move(environment)), device_(device), context_(context), opened_(opened) {
    environment_->Add(this);
    Settle();
}

OpenDevice::~OpenDevice() {
    environment_->Remove(this);
    if (reports_leaks_ && environment_->running())
        environment_->ReportLater(GatherLeak(device_, context_));
    rvt_drop_ucontext(context_); // must not wait for readers: the garbage collector runs this
    rvt_free_ucontext(context_);
    rvt_dev_put(device_);
    Account(0);
}

EventQueue *OpenDevice::events() {
    if (!events_ && environment_->BeWakeable())
        events_.reset(new (std::nothrow) EventQueue(*environment_));
    return events_.get();
}

void OpenDevice::Settle() {
    environment_->DrainReferences();
    if (!opened_)
        return;
    bool closed = rvt_device_closed(device_);
    int64_t bytes = static_cast<int64_t>(rvt_held_bytes(device_));
    // An open device costs more than the core counts: memory of the binding and the engine, and what its next
    // regions need. And a device that the program does not close ends only when the collector sees memory
    // pressure.
    if (!closed && bytes < kFloor)
        bytes = kFloor;
    // Do not report every page list, because reporting costs more than many of them. But report once when the
    // device is closed.
    int64_t change = bytes - accounted_;
    if (change >= kStep || change <= -kStep || (closed && !closed_reported_))
        Account(bytes);
    closed_reported_ = closed;
}

void OpenDevice::Account(int64_t bytes) {
    environment_->AccountFor(bytes - accounted_);
    accounted_ = bytes;
}

void OpenDevice::RemoveHold(const rvt_device_memory *memory, MemoryHold *hold) {
    auto found = holds_.find(memory);
    if (found == holds_.end())
        return;
    found->second.erase(hold);
    if (found->second.empty())
        holds_.erase(found);
}

std::vector<MemoryHold *> OpenDevice::HoldsOn(const rvt_device_memory *only) const {
    std::vector<MemoryHold *> holds;
    for (auto at = only ? holds_.find(only) : holds_.begin(); at != holds_.end(); ++at) {
        holds.insert(holds.end(), at->second.begin(), at->second.end());
        if (only)
            break;
    }
    return holds;
}
