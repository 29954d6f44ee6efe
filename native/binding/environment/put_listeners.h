// SPDX-License-Identifier: BSD-3-Clause
// Callbacks of this environment that wait until any thread puts a reference on one of its regions.
#ifndef RDMAVT_PUT_LISTENERS_H
#define RDMAVT_PUT_LISTENERS_H

#include <napi.h>

#include <atomic>
#include <vector>

// Used only on its environment's thread, except Note().
class PutListeners {
public:
    explicit PutListeners(napi_env env) : env_(env) {}

    // Calls `callback` once, after the next put.
    void Add(const Napi::Function &callback) {
        callbacks_.push_back(Napi::Persistent(callback));
    }
    // Records that a reference was put. Any thread may call this.
    void Note() {
        noted_ = true;
    }
    // Calls all waiting callbacks, if a put was recorded since the last time. Runs JavaScript.
    void Tell();
    // Drops all callbacks; none is called any more.
    void End() {
        callbacks_.clear();
    }

private:
    napi_env env_;
    std::vector<Napi::FunctionReference> callbacks_;
    std::atomic<bool> noted_{false};
};

#endif
