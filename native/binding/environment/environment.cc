// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/environment.h"

#include <new>
#include <utility>

#include "binding/environment/open_device.h"

Environment::Environment(Napi::Env env)
    : env_(env), thread_(std::this_thread::get_id()), waker_(env, OnWake, this), leaks_(env),
      put_listeners_(env) {}

std::shared_ptr<Environment> Environment::Start(Napi::Env env) {
    std::shared_ptr<Environment> environment(new (std::nothrow) Environment(env));
    if (!environment)
        return nullptr;
    environment->reader_ = rvt_reader_register();
    if (!environment->reader_)
        return nullptr;
    // The thread's place for causes of failures is made by its first use: now, and not when memory is short.
    rvt_failure none;
    rvt_take_failure(&none);
    // The instance data is what callbacks find the state by; the hook runs before it and before any
    // finalizer.
    env.SetInstanceData<std::shared_ptr<Environment>, OnEnd>(new std::shared_ptr<Environment>(environment));
    napi_add_env_cleanup_hook(env, OnCleanup, environment.get());
    return environment;
}

std::shared_ptr<Environment> Environment::Of(Napi::Env env) {
    return *env.GetInstanceData<std::shared_ptr<Environment>>();
}

// The last of the environment's finalizers: the data that was set first.
void Environment::OnEnd(Napi::Env, std::shared_ptr<Environment> *data) {
    (*data)->over_ = true;
    delete data;
}

Environment::~Environment() {
    rvt_reader_unregister(reader_);
}

void Environment::OnCleanup(void *data) {
    // Keeps itself alive over the closing of the last device.
    std::shared_ptr<Environment> self = static_cast<Environment *>(data)->shared_from_this();
    // Shared memory that was registered here goes with this environment, and another one may be copying from
    // it at this moment: each waits until nobody does.
    for (OpenDevice *device : self->devices_)
        rvt_dealloc_ucontext(device->context(), true);
    // From here on nobody leaves any more references, nor wakes what is going. Those that finalizers still
    // let go of are released as long as finalizers run (ReleaseReference).
    self->waker_.Close();
    self->waker_.LetGo();
    for (const std::unique_ptr<EnvironmentPart> &part : self->parts_)
        if (part)
            part->End();
    self->leaks_.End();
    self->put_listeners_.End();
}

bool Environment::BeWakeable() {
    if (waker_.started())
        return true;
    if (!waker_.Start())
        return false;
    // Hooks run last first: ours must come before the waker's function's own, which makes it unusable.
    napi_remove_env_cleanup_hook(env_, OnCleanup, this);
    napi_add_env_cleanup_hook(env_, OnCleanup, this);
    return true;
}

void Environment::OnWake(void *self) {
    auto *environment = static_cast<Environment *>(self);
    environment->DrainReferences();
    environment->leaks_.Tell();
    environment->put_listeners_.Tell();
}

bool Environment::ListenForPuts(rvt_ucontext *context) {
    if (!BeWakeable())
        return false;
    rvt_on_put(context, OnPut, this);
    return true;
}

// From any thread, under a device's lock. The context has not ended, so the environment is there.
void Environment::OnPut(void *self) {
    auto *environment = static_cast<Environment *>(self);
    environment->put_listeners_.Note();
    environment->waker_.Wake();
}

void Environment::ReportLater(Leak leak) {
    leaks_.Add(std::move(leak));
    waker_.Wake();
}

void Environment::TellAllLeaks() {
    for (OpenDevice *device : devices_) {
        if (device->reports_leaks())
            leaks_.Add(GatherLeak(device->get(), device->context()));
        device->ReportLeaks(false);
    }
    leaks_.Sort();
    leaks_.Tell();
}

void Environment::ReleaseUse(std::shared_ptr<Used> used) {
    if (std::this_thread::get_id() == thread_)
        used->Unuse();
    else
        waker_.Leave(std::move(used));
}

void Environment::ReleaseReference(napi_ref reference) {
    if (std::this_thread::get_id() != thread_)
        waker_.Leave(reference);
    // Also while the environment's own finalizers run: it frees the references of its objects and not those
    // that others hold.
    else if (!over_)
        napi_delete_reference(env_, reference);
}

void Environment::AccountFor(int64_t bytes) {
    int64_t now;
    if (bytes && running())
        napi_adjust_external_memory(env_, bytes, &now);
}

void *Environment::Scratch(size_t bytes) {
    constexpr size_t kLeast = 4 << 10;
    constexpr size_t kMostKept = 4 << 20;
    if (!scratch_ || bytes > scratch_bytes_ || scratch_bytes_ > kMostKept) {
        scratch_.reset(); // before the new one is asked for
        scratch_bytes_ = bytes > kLeast ? bytes : kLeast;
        scratch_.reset(new (std::nothrow) unsigned char[scratch_bytes_]);
        if (!scratch_)
            scratch_bytes_ = 0;
    }
    return scratch_.get();
}
