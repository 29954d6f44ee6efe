// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_OPEN_DEVICE_H
#define RDMAVT_OPEN_DEVICE_H

#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "binding/environment/environment.h"
#include "binding/environment/event_queue.h"
#include "core/rvt.h"

struct MemoryHold;

// One environment's use of a device: its context. It stays open as long as any object of the device is
// reachable. When the last one is collected, or the environment ends, the context ends by force; when the
// last context of a device ends, the device closes.
class OpenDevice : public std::enable_shared_from_this<OpenDevice> {
public:
    // Takes over the reference on `device`, and `context`. `opened`: this environment opened the device and
    // so reports its memory to the engine.
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

    // Call after every call that changes objects. Releases what other threads have queued, and tells the
    // garbage collector how much memory the core uses for this device: at least 64 KiB while the device is
    // open, in steps of 64 KiB, and the exact rest when it is closed.
    void Settle();

    // A held element keeps the device open, like an object of the device. A plain count, because elements are
    // acquired and put by the million.
    void HoldForElement() {
        if (elements_++ == 0)
            self_ = shared_from_this();
    }
    // May destroy this object, and so close the device.
    void PutForElement() {
        if (--elements_ == 0)
            std::shared_ptr<OpenDevice>(std::move(self_));
    }

    // Returns the queue of events for the objects that this environment creates. The environment can then be
    // woken. Returns nullptr if memory is short. The queue outlives the context, and so all these objects.
    EventQueue *events();

    // Whether to report regions that are still registered when nothing of the device is reachable any more.
    void ReportLeaks(bool report) {
        reports_leaks_ = report;
    }
    bool reports_leaks() const {
        return reports_leaks_;
    }

    // Tracks the MemoryHold objects of the device's memories.
    void AddHold(const rvt_device_memory *memory, MemoryHold *hold) {
        holds_[memory].insert(hold);
    }
    void RemoveHold(const rvt_device_memory *memory, MemoryHold *hold);
    // Returns the holds on one memory, or on all (nullptr). Returns a copy because holds remove themselves
    // when released.
    std::vector<MemoryHold *> HoldsOn(const rvt_device_memory *only) const;

private:
    void Account(int64_t bytes);

    std::shared_ptr<Environment> environment_;
    rvt_dev_info *device_; // holds one reference
    rvt_ucontext *context_;
    bool opened_;
    bool reports_leaks_ = false;
    bool closed_reported_ = false;     // closing was reported to the garbage collector
    int64_t accounted_ = 0;            // bytes reported to the garbage collector
    uint64_t elements_ = 0;            // number of held elements
    std::shared_ptr<OpenDevice> self_; // set while `elements_` is not 0
    std::unordered_map<const rvt_device_memory *, std::unordered_set<MemoryHold *>> holds_;
    std::unique_ptr<EventQueue> events_;
};

#endif
