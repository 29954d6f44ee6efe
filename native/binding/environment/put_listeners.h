// SPDX-License-Identifier: BSD-3-Clause
// Who waits in this environment for the put of a reference on one of its regions, by whatever thread.
#ifndef RDMAVT_PUT_LISTENERS_H
#define RDMAVT_PUT_LISTENERS_H

#include <napi.h>

#include <atomic>
#include <vector>

// For its environment's thread, but for Note().
class PutListeners {
public:
    explicit PutListeners(napi_env env) : env_(env) {}

    // `callback` is called once, after the next put that is noted.
    void Add(const Napi::Function &callback) {
        callbacks_.push_back(Napi::Persistent(callback));
    }
    // From any thread: a reference was put.
    void Note() {
        noted_ = true;
    }
    // Calls everybody, if something was noted since the last time. Runs JavaScript.
    void Tell();
    // Nobody is told any more.
    void End() {
        callbacks_.clear();
    }

private:
    napi_env env_;
    std::vector<Napi::FunctionReference> callbacks_;
    std::atomic<bool> noted_{false};
};

#endif
