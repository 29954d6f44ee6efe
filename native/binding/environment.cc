// SPDX-License-Identifier: BSD-3-Clause
#include "environment.h"

#include <new>

#include "js_memory.h"

std::shared_ptr<Environment> Environment::Start(Napi::Env env) {
    std::shared_ptr<Environment> environment(new (std::nothrow) Environment(env));
    if (!environment)
        return nullptr;
    environment->reader_ = rvt_reader_register();
    if (!environment->reader_)
        return nullptr;
    // The instance data is what callbacks find the state by; the hook runs before it and before any
    // finalizer.
    env.SetInstanceData(new std::shared_ptr<Environment>(environment));
    napi_add_env_cleanup_hook(env, OnCleanup, environment.get());
    return environment;
}

std::shared_ptr<Environment> Environment::Of(Napi::Env env) {
    return *env.GetInstanceData<std::shared_ptr<Environment>>();
}

Environment::~Environment() {
    rvt_reader_unregister(reader_);
}

void Environment::OnCleanup(void *data) {
    // Keeps itself alive over the closing of the last device.
    std::shared_ptr<Environment> self = static_cast<Environment *>(data)->shared_from_this();
    for (OpenDevice *device : self->devices_)
        rvt_mr_exit(device->get(), true, nullptr);
    self->DrainReferences();
    for (Napi::FunctionReference &constructor : self->constructors)
        constructor.Reset();
    // From here on references are not ours to release: the environment takes its own down with it.
    self->running_ = false;
}

void Environment::ReleaseBuffer(std::shared_ptr<JsBuffer> buffer) {
    if (std::this_thread::get_id() == thread_) {
        buffer->Unuse();
        return;
    }
    if (!running_)
        return; // nobody would come for it, and it would keep this alive
    std::lock_guard<std::mutex> guard(mutex_);
    left_buffers_.push_back(std::move(buffer));
    any_left_ = true;
}

void Environment::ReleaseReference(napi_ref reference) {
    if (std::this_thread::get_id() == thread_) {
        if (running_)
            napi_delete_reference(env_, reference);
        return;
    }
    std::lock_guard<std::mutex> guard(mutex_);
    left_.push_back(reference);
    any_left_ = true;
}

void Environment::DrainReferences() {
    if (!any_left_)
        return;
    std::vector<napi_ref> references;
    std::vector<std::shared_ptr<JsBuffer>> buffers;
    {
        std::lock_guard<std::mutex> guard(mutex_);
        references.swap(left_);
        buffers.swap(left_buffers_);
        any_left_ = false;
    }
    for (const std::shared_ptr<JsBuffer> &buffer : buffers)
        buffer->Unuse();
    for (napi_ref reference : references)
        napi_delete_reference(env_, reference);
}

void *Environment::Scratch(size_t bytes) {
    constexpr size_t kKept = size_t{4} << 20;
    if (bytes > scratch_bytes_ || scratch_bytes_ > kKept) {
        scratch_.reset(); // before the new one is asked for
        scratch_bytes_ = bytes > 4096 ? bytes : 4096;
        scratch_.reset(new (std::nothrow) unsigned char[scratch_bytes_]);
        if (!scratch_)
            scratch_bytes_ = 0;
    }
    return scratch_.get();
}

OpenDevice::OpenDevice(std::shared_ptr<Environment> environment, rvt_dev_info *device)
    : environment_(std::move(environment)), device_(device) {
    environment_->Add(this);
}

OpenDevice::~OpenDevice() {
    environment_->Remove(this);
    rvt_mr_exit(device_, true, nullptr); // -EBADF if it was closed in the regular way
    rvt_dev_put(device_);
}
