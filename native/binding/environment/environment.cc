// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/environment.h"

#include <algorithm>
#include <new>
#include <utility>

#include "binding/environment/device_port.h"
#include "binding/environment/open_device.h"

Environment::Environment(Napi::Env env)
    : env_(env), thread_(std::this_thread::get_id()), waker_(env, OnWake, this), leaks_(env),
      put_listeners_(env), event_listeners_(env) {}

std::shared_ptr<Environment> Environment::Start(Napi::Env env) {
    std::shared_ptr<Environment> environment(new (std::nothrow) Environment(env));
    if (!environment)
        return nullptr;
    environment->reader_ = rvt_reader_register();
    if (!environment->reader_)
        return nullptr;
    // The thread's storage for failure causes is allocated on first use. Do that now, not when memory is
    // short.
    rvt_failure none;
    rvt_take_failure(&none);
    // Callbacks find the state through the instance data. The cleanup hook runs before the instance data is
    // deleted and before any finalizer.
    env.SetInstanceData<std::shared_ptr<Environment>, OnEnd>(new std::shared_ptr<Environment>(environment));
    napi_add_env_cleanup_hook(env, OnCleanup, environment.get());
    return environment;
}

std::shared_ptr<Environment> Environment::Of(Napi::Env env) {
    return *env.GetInstanceData<std::shared_ptr<Environment>>();
}

// Finalizer of the instance data. It runs last, because the data was set first.
void Environment::OnEnd(Napi::Env, std::shared_ptr<Environment> *data) {
    (*data)->over_ = true;
    delete data;
}

Environment::~Environment() {
    rvt_reader_unregister(reader_);
}

void Environment::OnCleanup(void *data) {
    // Keeps this object alive while the last device closes.
    std::shared_ptr<Environment> self = static_cast<Environment *>(data)->shared_from_this();
    self->ClosePorts(true);
    // Shared memory that was registered here is released with this environment, and another environment may
    // be copying from it right now. Each call waits until every reader has left.
    for (OpenDevice *device : self->devices_)
        rvt_dealloc_ucontext(device->context(), true);
    // From here on other threads queue nothing and wake nothing. References that this environment's
    // finalizers release are still deleted (ReleaseReference).
    self->waker_.Close();
    self->waker_.LetGo();
    for (const std::unique_ptr<EnvironmentPart> &part : self->parts_)
        if (part)
            part->End();
    self->leaks_.End();
    self->put_listeners_.End();
    self->event_listeners_.End();
}

bool Environment::BeWakeable() {
    if (waker_.started())
        return true;
    if (!waker_.Start())
        return false;
    // Hooks run in reverse order of registration. Ours must run before the thread-safe function's own hook,
    // which makes the function unusable.
    napi_remove_env_cleanup_hook(env_, OnCleanup, this);
    napi_add_env_cleanup_hook(env_, OnCleanup, this);
    return true;
}

void Environment::OnWake(void *self) {
    auto *environment = static_cast<Environment *>(self);
    environment->DrainReferences();
    environment->leaks_.Tell();
    environment->put_listeners_.Tell();
    environment->event_listeners_.Tell();
}

bool Environment::ListenForPuts(rvt_ucontext *context) {
    if (!BeWakeable())
        return false;
    rvt_on_put(context, OnPut, this);
    return true;
}

// Called on any thread with a device lock held. The context has not ended, so the environment still exists.
void Environment::OnPut(void *self) {
    auto *environment = static_cast<Environment *>(self);
    environment->put_listeners_.Note();
    environment->waker_.Wake();
}

void Environment::RemovePort(DevicePort *port) {
    ports_.erase(std::find(ports_.begin(), ports_.end(), port));
}

void Environment::CallPortsNow() {
    // The causes of the call's own failure must stay.
    rvt_failure failure;
    rvt_take_failure(&failure);
    ports_due_ = false;
    for (size_t i = 0; i < ports_.size(); i++)
        ports_[i]->AfterCall();
    rvt_restore_failure(&failure);
}

void Environment::ClosePorts(bool all) {
    std::vector<DevicePort *> closing;
    for (DevicePort *port : ports_)
        if (all || rvt_device_closed(port->device().get()) || rvt_ucontext_gone(port->device().context()))
            closing.push_back(port);
    for (DevicePort *port : closing)
        port->Close(); // closes no other port
}

void Environment::NoteEvents() {
    event_listeners_.Note();
    // EndLoopCall() tells them; `in_loop_call_` belongs to the environment's own thread.
    if (rvt_thread_environment() != this || !in_loop_call_)
        waker_.Wake();
}

void Environment::EndLoopCall() {
    in_loop_call_ = false;
    event_listeners_.TellFromLoop();
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
    // Also delete while the environment's own finalizers run: the environment frees the references of its
    // objects, but not references that other code holds.
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
        scratch_.reset(); // free the old buffer before allocating a new one
        scratch_bytes_ = bytes > kLeast ? bytes : kLeast;
        scratch_.reset(new (std::nothrow) unsigned char[scratch_bytes_]);
        if (!scratch_)
            scratch_bytes_ = 0;
    }
    return scratch_.get();
}
