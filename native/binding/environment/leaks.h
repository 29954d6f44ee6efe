// SPDX-License-Identifier: BSD-3-Clause
// Leak reports: regions that were still registered when nothing of their device was reachable any more.
// Collected when a device is garbage-collected, reported when JavaScript may run.
#ifndef RDMAVT_LEAKS_H
#define RDMAVT_LEAKS_H

#include <napi.h>

#include <vector>

#include "core/rvt.h"

struct Leak {
    double device, context;        // device number and context id
    std::vector<uint64_t> regions; // rows of enum rvt_mr_row
};

// Returns the regions that a context owns on its device now.
Leak GatherLeak(rvt_dev_info *device, const rvt_ucontext *context);

// Used only on its environment's thread.
class Leaks {
public:
    explicit Leaks(napi_env env) : env_(env) {}

    // Sets the callback: (device number, context number, rows).
    void Listen(const Napi::Function &callback) {
        callback_ = Napi::Persistent(callback);
    }
    void Add(Leak leak) {
        leaks_.push_back(std::move(leak));
    }
    // Sorts by device and context, so that leaks added together are reported in a fixed order.
    void Sort();
    // Reports the queued leaks. Runs JavaScript.
    void Tell();
    // Drops the callback; no leak is reported any more.
    void End() {
        callback_.Reset();
    }

private:
    bool TellOne(const Leak &leak);

    napi_env env_;
    Napi::FunctionReference callback_;
    std::vector<Leak> leaks_;
};

#endif
