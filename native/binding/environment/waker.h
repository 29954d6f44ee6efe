// SPDX-License-Identifier: BSD-3-Clause
// What other threads leave for an environment to let go of, and how they wake it. A napi_ref may only be
// touched on its own thread, and region memory is freed by whoever finds that every reader has passed.
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

    // From now on Wake() works. On the environment's thread. False: no memory.
    bool Start();
    // Whether Start() has succeeded. On the environment's thread.
    bool started() const {
        return function_ != nullptr;
    }
    // From now on nobody leaves anything, and Wake() does nothing. On the environment's thread, while
    // references can still be released.
    void Close();
    // False once Close() was called.
    bool open() const {
        return open_;
    }

    // From any thread. Dropped if the waker is closed: nobody would come for it, and it would keep the
    // environment alive.
    void Leave(std::shared_ptr<Used> used);
    void Leave(napi_ref reference);
    void Wake();

    // Whether something was left. From any thread.
    bool any_left() const {
        return any_left_;
    }
    // Let go of what was left. On the environment's thread.
    void LetGo();

private:
    static void OnCall(napi_env env, napi_value callback, void *self, void *data);
    void WakeLocked();

    napi_env env_;
    Woken woken_;
    void *data_;
    napi_threadsafe_function function_ = nullptr; // set by the owner, before others can know of it
    std::mutex mutex_;                            // what was left, and open_ becoming false
    std::atomic<bool> open_{true};
    std::vector<napi_ref> references_;
    std::vector<std::shared_ptr<Used>> used_;
    std::atomic<bool> any_left_{false};
};

#endif
