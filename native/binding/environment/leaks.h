// SPDX-License-Identifier: BSD-3-Clause
// Regions that were alive when nothing of their device was reachable any more: gathered when a device is
// collected, told when JavaScript may run.
#ifndef RDMAVT_LEAKS_H
#define RDMAVT_LEAKS_H

#include <napi.h>

#include <vector>

#include "core/rvt.h"

struct Leak {
    double device, context;        // numbers
    std::vector<uint64_t> regions; // rows of enum rvt_mr_row
};

// The regions that a context has on its device now.
Leak GatherLeak(rvt_dev_info *device, const rvt_ucontext *context);

// Belongs to its environment's thread.
class Leaks {
public:
    explicit Leaks(napi_env env) : env_(env) {}

    // Who is told: (device number, context number, rows).
    void Listen(const Napi::Function &callback) {
        callback_ = Napi::Persistent(callback);
    }
    void Add(Leak leak) {
        leaks_.push_back(std::move(leak));
    }
    // By device and context, for those that are added at once in whatever order.
    void Sort();
    // Tell what was added. Runs JavaScript.
    void Tell();
    // Nobody is told any more.
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
