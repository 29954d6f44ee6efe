// SPDX-License-Identifier: BSD-3-Clause
// Queues releases from other threads for an environment, and wakes it. A napi_ref may only be deleted on its
// own thread, but a region's memory is freed by whichever thread finds that every reader has left.
#ifndef RDMAVT_WAKER_H
#define RDMAVT_WAKER_H

#include <node_api.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

// An object whose use must be ended on its environment's thread.
class Used {
public:
    virtual ~Used() = default;
    virtual void Unuse() = 0;
};

class Waker {
public:
    // Called on the environment's thread after Wake().
    using Woken = void (*)(void *data);

    Waker(napi_env env, Woken woken, void *data) : env_(env), woken_(woken), data_(data) {}
    Waker(const Waker &) = delete;
    Waker &operator=(const Waker &) = delete;

    // Enables Wake(). Must be called on the environment's thread. Returns false if memory is short.
    bool Start();
    // Returns whether Start() has succeeded. Must be called on the environment's thread.
    bool started() const {
        return function_ != nullptr;
    }
    // From now on nothing can be queued, and Wake() does nothing. Must be called on the environment's thread,
    // while references can still be released.
    void Close();
    // Returns false once Close() was called.
    bool open() const {
        return open_;
    }

    // Queue a use or a reference to be released. Any thread may call these. If the waker is closed, the item
    // is dropped: no thread would release it, and it would keep the environment alive.
    void Leave(std::shared_ptr<Used> used);
    void Leave(napi_ref reference);
    void Wake();

    // Returns whether anything is queued. Any thread may call this.
    bool any_left() const {
        return any_left_;
    }
    // Releases everything in the queue. Must be called on the environment's thread.
    void LetGo();

private:
    static void OnCall(napi_env env, napi_value callback, void *self, void *data);
    void WakeLocked();

    napi_env env_;
    Woken woken_;
    void *data_;
    napi_threadsafe_function function_ = nullptr; // written by the owner only, under the mutex
    std::mutex mutex_;                            // protects the queues and the change of open_ to false
    std::atomic<bool> open_{true};
    std::vector<napi_ref> references_;
    std::vector<std::shared_ptr<Used>> used_;
    std::atomic<bool> any_left_{false};
};

#endif
