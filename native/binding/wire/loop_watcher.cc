// SPDX-License-Identifier: BSD-3-Clause
#ifdef __linux__
#include "binding/wire/loop_watcher.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <new>

// Functions of libuv, which Node exports to add-ons. Weak: a host may lack them, and the add-on is built without libuv's
// header, so that one binary serves all versions. These functions and numbers are part of libuv's stable interface.
extern "C" {
struct uv_loop_s;
size_t uv_handle_size(int type) __attribute__((weak));
int uv_poll_init(uv_loop_s *loop, void *poll, int fd) __attribute__((weak));
int uv_poll_start(void *poll, int events, void (*callback)(void *poll, int status, int events))
    __attribute__((weak));
void uv_close(void *handle, void (*closed)(void *handle)) __attribute__((weak));
void uv_ref(void *handle) __attribute__((weak));
void uv_unref(void *handle) __attribute__((weak));
void uv_handle_set_data(void *handle, void *data) __attribute__((weak));
void *uv_handle_get_data(const void *handle) __attribute__((weak));
}

// The GNU C library moved these functions from one file to another, and gave them another version with that: the binary would
// need as new a library as that of the machine that builds it.
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.17");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.17");
#endif

namespace {

enum { kUvPoll = 8, kUvReadable = 1 }; // UV_POLL, UV_READABLE

// --- by the event loop ---

class UvWatcher : public LoopWatcher {
public:
    explicit UvWatcher(const Client &client) : client_(client) {}

    static bool Possible() {
        return uv_handle_size && uv_poll_init && uv_poll_start && uv_close && uv_ref && uv_unref &&
               uv_handle_set_data && uv_handle_get_data;
    }

    bool Begin(napi_env env, int descriptor) {
        uv_loop_s *loop;
        if (napi_get_uv_event_loop(env, &loop) != napi_ok)
            return false;
        handle_ = std::calloc(1, uv_handle_size(kUvPoll));
        if (!handle_)
            return false;
        if (uv_poll_init(loop, handle_, descriptor) != 0) {
            std::free(handle_);
            handle_ = nullptr;
            return false;
        }
        uv_handle_set_data(handle_, this);
        // The environment waits for the end of this hook before it ends the loop, so the handle is closed by then.
        return uv_poll_start(handle_, kUvReadable, OnReady) == 0 &&
               napi_add_async_cleanup_hook(env, OnCleanup, this, &hook_) == napi_ok;
    }

    // Deletes the object after a failed Begin().
    void Discard() {
        if (handle_)
            Close();
        else
            delete this;
    }

    void Reference(bool keeps_alive) override {
        if (closing_)
            return;
        if (keeps_alive)
            uv_ref(handle_);
        else
            uv_unref(handle_);
    }

    void Close() override {
        closing_ = true;
        uv_close(handle_, OnClosed);
    }

    ~UvWatcher() override = default;

private:
    static void OnReady(void *handle, int, int) {
        auto *self = static_cast<UvWatcher *>(uv_handle_get_data(handle));
        self->client_.ready(self->client_.data);
    }
    static void OnClosed(void *handle) {
        auto *self = static_cast<UvWatcher *>(uv_handle_get_data(handle));
        if (self->hook_)
            napi_remove_async_cleanup_hook(self->hook_);
        std::free(handle);
        delete self;
    }
    static void OnCleanup(napi_async_cleanup_hook_handle, void *data) {
        auto *self = static_cast<UvWatcher *>(data);
        if (!self->closing_)
            self->client_.ending(self->client_.data);
    }

    const Client client_;
    void *handle_ = nullptr;
    napi_async_cleanup_hook_handle hook_ = nullptr;
    bool closing_ = false;
};

// --- by a thread ---

class ThreadWatcher : public LoopWatcher {
public:
    explicit ThreadWatcher(const Client &client) : client_(client) {}

    bool Begin(napi_env env, int descriptor) {
        napi_value name;
        env_ = env;
        descriptor_ = descriptor;
        stop_ = eventfd(0, EFD_CLOEXEC);
        handled_ = eventfd(0, EFD_CLOEXEC);
        if (stop_ < 0 || handled_ < 0)
            return false;
        if (napi_create_string_utf8(env, "rdmavt endpoint", NAPI_AUTO_LENGTH, &name) != napi_ok ||
            napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, OnCall,
                                            &function_) != napi_ok)
            return false;
        if (napi_add_env_cleanup_hook(env, OnCleanup, this) != napi_ok ||
            pthread_create(&thread_, nullptr, Wait, this) != 0) {
            napi_remove_env_cleanup_hook(env, OnCleanup, this);
            napi_release_threadsafe_function(function_, napi_tsfn_abort);
            return false;
        }
        return true;
    }

    void Reference(bool keeps_alive) override {
        if (keeps_alive)
            napi_ref_threadsafe_function(env_, function_);
        else
            napi_unref_threadsafe_function(env_, function_);
    }

    // Deletes the object after a failed Begin().
    void Discard() {
        delete this;
    }

    void Close() override {
        if (gone_)
            *gone_ = true;
        Add(stop_);
        pthread_join(thread_, nullptr); // it only waits for what was just done
        napi_remove_env_cleanup_hook(env_, OnCleanup, this);
        // Calls that are queued would find a deleted object: abort drops them, and OnCall is called without one.
        napi_release_threadsafe_function(function_, napi_tsfn_abort);
        delete this;
    }

    ~ThreadWatcher() override {
        for (int fd : {stop_, handled_})
            if (fd >= 0)
                close(fd);
    }

private:
    static void Add(int event) {
        const uint64_t one = 1;
        while (write(event, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    }

    // Waits until the descriptor is readable. Returns false if the watcher has been stopped.
    bool IsReadable(int descriptor) const {
        pollfd fds[2] = {{descriptor, POLLIN, 0}, {stop_, POLLIN, 0}};
        do {
            fds[0].revents = fds[1].revents = 0;
            if (poll(fds, 2, -1) < 0 && errno != EINTR)
                return false;
        } while (!fds[0].revents && !fds[1].revents);
        return !fds[1].revents;
    }

    // Calls the environment's thread when the descriptor is readable, and goes on when that has acted on it.
    static void *Wait(void *data) {
        auto *self = static_cast<ThreadWatcher *>(data);
        uint64_t count;
        while (self->IsReadable(self->descriptor_)) {
            if (napi_call_threadsafe_function(self->function_, nullptr, napi_tsfn_nonblocking) != napi_ok)
                break; // the environment is ending
            if (!self->IsReadable(self->handled_) || read(self->handled_, &count, sizeof(count)) < 0)
                break;
        }
        return nullptr;
    }

    static void OnCall(napi_env env, napi_value, void *context, void *) {
        auto *self = static_cast<ThreadWatcher *>(context);
        if (!env)
            return; // ended, and `self` may be deleted
        bool gone = false;
        self->gone_ = &gone;
        self->client_.ready(self->client_.data);
        if (gone)
            return;
        self->gone_ = nullptr;
        Add(self->handled_);
    }
    static void OnCleanup(void *data) {
        auto *self = static_cast<ThreadWatcher *>(data);
        self->client_.ending(self->client_.data);
    }

    const Client client_;
    napi_env env_ = nullptr;
    int descriptor_ = -1, stop_ = -1, handled_ = -1;
    bool *gone_ = nullptr; // set while the client is called: whether it has closed the watcher
    pthread_t thread_;
    napi_threadsafe_function function_ = nullptr;
};

template <class Watcher>
LoopWatcher *StartOne(napi_env env, int descriptor, const LoopWatcher::Client &client) {
    auto *watcher = new (std::nothrow) Watcher(client);
    if (watcher && !watcher->Begin(env, descriptor)) {
        watcher->Discard();
        return nullptr;
    }
    return watcher;
}

} // namespace

LoopWatcher *LoopWatcher::Start(napi_env env, int descriptor, bool by_thread, const Client &client) {
    if (!by_thread && UvWatcher::Possible())
        return StartOne<UvWatcher>(env, descriptor, client);
    return StartOne<ThreadWatcher>(env, descriptor, client);
}
#endif
