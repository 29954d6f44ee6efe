// SPDX-License-Identifier: BSD-3-Clause
// Callbacks of this environment that wait for something that any thread can cause: a put of a reference on one
// of its regions, or an event of the engine.
#ifndef RDMAVT_LISTENERS_H
#define RDMAVT_LISTENERS_H

#include <napi.h>

#include <atomic>
#include <vector>

// Used only on its environment's thread, except Note().
class Listeners {
public:
    explicit Listeners(napi_env env) : env_(env) {}

    // Calls `callback` once, after the next Note().
    void Add(const Napi::Function &callback) {
        callbacks_.push_back(Napi::Persistent(callback));
    }
    // Records a put or an event, for the next Tell(). Any thread may call this.
    void Note() {
        noted_ = true;
    }
    bool noted() const {
        return noted_;
    }
    // Calls all waiting callbacks, if Note() was called since the last time. Runs JavaScript.
    void Tell();
    // The same, called by the event loop itself and not within a callback of Node-API: what the callbacks have made due,
    // such as promises, follows each.
    void TellFromLoop();
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
