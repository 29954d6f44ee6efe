// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/waker.h"

#include <utility>

bool Waker::Start() {
    napi_value name;
    napi_threadsafe_function function;
    // A queue of one call is enough: two requests to wake are the same as one.
    if (napi_create_string_utf8(env_, "rdmavt", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_threadsafe_function(env_, nullptr, nullptr, name, 1, 1, nullptr, nullptr, this, OnCall,
                                        &function) != napi_ok)
        return false;
    napi_unref_threadsafe_function(env_, function); // does not keep the process alive
    std::lock_guard<std::mutex> guard(mutex_);
    function_ = function;
    return true;
}

void Waker::Close() {
    napi_threadsafe_function function;
    {
        std::lock_guard<std::mutex> guard(mutex_);
        open_ = false;
        function = std::exchange(function_, nullptr); // other threads read it under the mutex
    }
    // Node 26 keeps the function until every thread has released it. Older versions end it next in any case.
    if (function)
        napi_release_threadsafe_function(function, napi_tsfn_release);
}

void Waker::Leave(std::shared_ptr<Used> used) {
    std::lock_guard<std::mutex> guard(mutex_);
    if (!open_)
        return;
    used_.push_back(std::move(used));
    any_left_ = true;
    WakeLocked();
}

void Waker::Leave(napi_ref reference) {
    std::lock_guard<std::mutex> guard(mutex_);
    if (!open_)
        return;
    references_.push_back(reference);
    any_left_ = true;
    WakeLocked();
}

void Waker::Wake() {
    std::lock_guard<std::mutex> guard(mutex_);
    WakeLocked();
}

void Waker::WakeLocked() {
    if (function_ && open_)
        napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void Waker::OnCall(napi_env env, napi_value, void *self, void *) {
    if (!env)
        return; // the environment is ending
    auto *waker = static_cast<Waker *>(self);
    waker->woken_(waker->data_);
}

void Waker::LetGo() {
    std::vector<napi_ref> references;
    std::vector<std::shared_ptr<Used>> used;
    {
        std::lock_guard<std::mutex> guard(mutex_);
        references.swap(references_);
        used.swap(used_);
        any_left_ = false;
    }
    for (const std::shared_ptr<Used> &one : used)
        one->Unuse();
    for (napi_ref reference : references)
        napi_delete_reference(env_, reference);
}
