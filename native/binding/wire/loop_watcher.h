// SPDX-License-Identifier: BSD-3-Clause
// Calls a function on an environment's thread whenever a descriptor is readable: by its event loop (uv_poll), or, where the
// host has no libuv, by a thread that only waits.
#ifndef RDMAVT_LOOP_WATCHER_H
#define RDMAVT_LOOP_WATCHER_H

#include <node_api.h>

class LoopWatcher {
public:
    struct Client {
        void (*ready)(void *data); // called outside of JavaScript and of any handle scope
        // The environment is ending, and calls LoopWatcher::Close() now.
        void (*ending)(void *data);
        void *data;
    };

    // Starts to watch. `by_thread`: do not use the event loop. Keeps the environment alive (see Reference). Returns nullptr
    // if memory is short or the system refuses.
    static LoopWatcher *Start(napi_env env, int descriptor, bool by_thread, const Client &client);

    // Sets whether the watcher keeps the environment alive.
    virtual void Reference(bool keeps_alive) = 0;
    // Stops: the client is not called any more, and the descriptor may be closed. The object deletes itself.
    virtual void Close() = 0;

protected:
    LoopWatcher() = default;
    virtual ~LoopWatcher() = default;
    LoopWatcher(const LoopWatcher &) = delete;
    LoopWatcher &operator=(const LoopWatcher &) = delete;
};

#endif
