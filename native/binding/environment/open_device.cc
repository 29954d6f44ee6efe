// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/open_device.h"

#include <utility>

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
    rvt_drop_ucontext(context_); // the garbage collector must not wait for other threads
    rvt_free_ucontext(context_);
    rvt_dev_put(device_);
    Account(0);
}

void OpenDevice::Settle() {
    environment_->DrainReferences();
    // Not for every page list: telling the engine costs more than many of them.
    constexpr int64_t kStep = 64 << 10;
    if (opened_) {
        auto held = static_cast<int64_t>(rvt_held_bytes(device_));
        if (held - accounted_ >= kStep || accounted_ - held >= kStep)
            Account(held);
    }
}

void OpenDevice::Account(int64_t bytes) {
    int64_t now;
    if (bytes != accounted_ && environment_->running())
        napi_adjust_external_memory(environment_->env(), bytes - accounted_, &now);
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
