// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_OPEN_DEVICE_H
#define RDMAVT_OPEN_DEVICE_H

#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "binding/environment/environment.h"
#include "core/rvt.h"

struct MemoryHold;

// A device as one environment holds it: its context. Open as long as any object of it is reachable; when the
// last one is collected or the environment ends, the context ends by force, and with the last context the
// device.
class OpenDevice : public std::enable_shared_from_this<OpenDevice> {
public:
    // Both consumed. `opened`: this environment made the device, and accounts for its memory.
    OpenDevice(std::shared_ptr<Environment> environment, rvt_dev_info *device, rvt_ucontext *context,
               bool opened);
    ~OpenDevice();
    OpenDevice(const OpenDevice &) = delete;
    OpenDevice &operator=(const OpenDevice &) = delete;

    rvt_dev_info *get() const {
        return device_;
    }
    rvt_ucontext *context() const {
        return context_;
    }
    Environment &environment() const {
        return *environment_;
    }
    const std::shared_ptr<Environment> &environment_ptr() const {
        return environment_;
    }

    // After every call that changes things: let go of what other threads have left, and tell the engine how
    // much memory the core has for this device, so that its garbage collector can take that into account. 64
    // KiB at least as long as the device is open, and in steps of 64 KiB; when it is closed, what is left
    // then.
    void Settle();

    // A held element keeps the device open, as an object of it does. A plain count, because elements come and
    // go by the million.
    void HoldForElement() {
        if (elements_++ == 0)
            self_ = shared_from_this();
    }
    // May end the device.
    void PutForElement() {
        if (--elements_ == 0)
            std::shared_ptr<OpenDevice>(std::move(self_));
    }

    // Whether to tell about regions that are alive when nothing of the device is reachable any more.
    void ReportLeaks(bool report) {
        reports_leaks_ = report;
    }
    bool reports_leaks() const {
        return reports_leaks_;
    }

    // What the objects of the device's memory hold of it.
    void AddHold(const rvt_device_memory *memory, MemoryHold *hold) {
        holds_[memory].insert(hold);
    }
    void RemoveHold(const rvt_device_memory *memory, MemoryHold *hold);
    // Those on one memory, or on all (nullptr). A copy: they are removed while they let go.
    std::vector<MemoryHold *> HoldsOn(const rvt_device_memory *only) const;

private:
    void Account(int64_t bytes);

    std::shared_ptr<Environment> environment_;
    rvt_dev_info *device_; // one reference
    rvt_ucontext *context_;
    bool opened_;
    bool reports_leaks_ = false;
    bool told_closed_ = false;         // the device's memory was told again when it was closed
    int64_t accounted_ = 0;            // bytes
    uint64_t elements_ = 0;            // held
    std::shared_ptr<OpenDevice> self_; // while `elements_` is not 0
    std::unordered_map<const rvt_device_memory *, std::unordered_set<MemoryHold *>> holds_;
};

#endif
