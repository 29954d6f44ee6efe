// SPDX-License-Identifier: BSD-3-Clause
#include "binding/environment/environment.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "binding/values/js_memory.h"

std::shared_ptr<Environment> Environment::Start(Napi::Env env) {
    std::shared_ptr<Environment> environment(new (std::nothrow) Environment(env));
    if (!environment)
        return nullptr;
    environment->reader_ = rvt_reader_register();
    if (!environment->reader_)
        return nullptr;
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
    for (OpenDevice *device : self->devices_)
        rvt_dealloc_ucontext(device->context(), true);
    // Shared memory that was registered here goes with this environment, and another one may be copying from
    // it at this moment: it has judged the region before it was revoked. Wait for the end of that piece.
    rvt_synchronize();
    rvt_reclaim();
    // From here on nobody leaves any more references, nor wakes what is going. Those that finalizers still
    // let go of are released as long as finalizers run (ReleaseReference).
    napi_threadsafe_function wake;
    {
        std::lock_guard<std::mutex> guard(self->mutex_);
        self->running_ = false;
        wake = std::exchange(self->wake_, nullptr); // other threads look at it under the lock
    }
    // Node 26 keeps it until all who may call it have left; older ones end it next, in any case.
    if (wake)
        napi_release_threadsafe_function(wake, napi_tsfn_release);
    self->LetGo();
    for (Napi::FunctionReference &constructor : self->constructors)
        constructor.Reset();
    self->on_leak.Reset();
    if (self->command_reference)
        napi_delete_reference(self->env_, self->command_reference);
    self->command_reference = nullptr;
}

bool Environment::BeWakeable() {
    if (wake_)
        return true;
    napi_value name;
    napi_threadsafe_function wake;
    // Room for one: two wishes to wake are one.
    if (napi_create_string_utf8(env_, "rdmavt", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_threadsafe_function(env_, nullptr, nullptr, name, 1, 1, nullptr, nullptr, this, OnWake,
                                        &wake) != napi_ok)
        return false;
    napi_unref_threadsafe_function(env_, wake); // a program may end while others could wake it
    // Hooks run last first: ours must come before the function's own, which makes it unusable.
    napi_remove_env_cleanup_hook(env_, OnCleanup, this);
    napi_add_env_cleanup_hook(env_, OnCleanup, this);
    std::lock_guard<std::mutex> guard(mutex_);
    wake_ = wake;
    return true;
}

void Environment::Wake() {
    if (wake_ && running_)
        napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
}

void Environment::OnWake(napi_env env, napi_value, void *self, void *) {
    if (!env)
        return; // the environment is ending
    auto *environment = static_cast<Environment *>(self);
    environment->DrainReferences();
    environment->TellLeaks();
}

void Environment::ReportLater(Leak leak) {
    leaks_.push_back(std::move(leak));
    std::lock_guard<std::mutex> guard(mutex_);
    Wake();
}

void Environment::TellLeaks() {
    std::vector<Leak> leaks;
    leaks.swap(leaks_);
    Napi::Env env(env_);
    for (const Leak &leak : leaks) {
        napi_value buffer, rows, result;
        void *data = nullptr;
        size_t bytes = leak.regions.size() * sizeof(uint64_t);
        if (on_leak.IsEmpty() || napi_create_arraybuffer(env, bytes, &data, &buffer) != napi_ok)
            return;
        if (bytes)
            std::memcpy(data, leak.regions.data(), bytes);
        napi_value receiver = env.Undefined();
        napi_value arguments[3];
        if (napi_create_typedarray(env, napi_biguint64_array, leak.regions.size(), buffer, 0, &rows) !=
                napi_ok ||
            napi_create_double(env, leak.device, &arguments[0]) != napi_ok ||
            napi_create_double(env, leak.context, &arguments[1]) != napi_ok)
            return;
        arguments[2] = rows;
        // What it throws is the process's uncaught exception, as from any callback.
        napi_call_function(env, receiver, on_leak.Value(), 3, arguments, &result);
    }
}

void Environment::TellAllLeaks() {
    for (OpenDevice *device : devices_) {
        if (device->report_leaks)
            leaks_.push_back(device->LeakNow());
        device->report_leaks = false;
    }
    std::sort(leaks_.begin(), leaks_.end(), [](const Leak &a, const Leak &b) {
        return a.device != b.device ? a.device < b.device : a.context < b.context;
    });
    TellLeaks();
}

void Environment::ReleaseBuffer(std::shared_ptr<JsBuffer> buffer) {
    if (std::this_thread::get_id() == thread_) {
        buffer->Unuse();
        return;
    }
    std::lock_guard<std::mutex> guard(mutex_);
    if (!running_)
        return; // nobody would come for it, and it would keep this alive
    left_buffers_.push_back(std::move(buffer));
    any_left_ = true;
    Wake();
}

void Environment::ReleaseReference(napi_ref reference) {
    if (std::this_thread::get_id() == thread_) {
        // Also while the environment's own finalizers run: it frees the references of its objects and not
        // those that others hold.
        if (!over_)
            napi_delete_reference(env_, reference);
        return;
    }
    std::lock_guard<std::mutex> guard(mutex_);
    if (!running_)
        return;
    left_.push_back(reference);
    any_left_ = true;
    Wake();
}

void Environment::DrainReferences() {
    if (any_left_)
        LetGo();
}

void Environment::LetGo() {
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
    if (!scratch_ || bytes > scratch_bytes_ || scratch_bytes_ > kKept) {
        scratch_.reset(); // before the new one is asked for
        scratch_bytes_ = bytes > 4096 ? bytes : 4096;
        scratch_.reset(new (std::nothrow) unsigned char[scratch_bytes_]);
        if (!scratch_)
            scratch_bytes_ = 0;
    }
    return scratch_.get();
}

OpenDevice::OpenDevice(std::shared_ptr<Environment> environment, rvt_dev_info *device, rvt_ucontext *context,
                       bool opened)
    : environment_(std::move(environment)), device_(device), context_(context), opened_(opened) {
    environment_->Add(this);
    Settle();
}

namespace {

struct Gathered {
    uint64_t context;
    std::vector<uint64_t> *rows;
};

bool Gather(void *data, rvt_resource_kind kind, const uint64_t *fields) {
    auto *gathered = static_cast<Gathered *>(data);
    if (kind == RVT_RESOURCE_MR && fields[RVT_MR_CONTEXT] == gathered->context)
        gathered->rows->insert(gathered->rows->end(), fields, fields + RVT_MR_FIELDS);
    return true;
}

} // namespace

Environment::Leak OpenDevice::LeakNow() const {
    Environment::Leak leak = {static_cast<double>(device_->number), static_cast<double>(context_->id), {}};
    Gathered gathered = {context_->id, &leak.regions};
    rvt_resource_report(device_, Gather, &gathered);
    return leak;
}

OpenDevice::~OpenDevice() {
    environment_->Remove(this);
    if (report_leaks && environment_->running())
        environment_->ReportLater(LeakNow());
    rvt_dealloc_ucontext(context_, true); // -EBADF if it has ended in the regular way
    rvt_free_ucontext(context_);
    rvt_dev_put(device_);
    Account(0);
}

void OpenDevice::Settle() {
    environment_->DrainReferences();
    // Not for every page list: telling the engine costs more than many of them.
    constexpr int64_t kStep = 64 << 10;
    if (opened_) {
        auto held = static_cast<int64_t>(rvt_held_bytes(device_));
        if (held - accounted_ >= kStep || accounted_ - held >= kStep)
            Account(held);
    }
}

void OpenDevice::Account(int64_t bytes) {
    int64_t now;
    if (bytes != accounted_ && environment_->running())
        napi_adjust_external_memory(environment_->env(), bytes - accounted_, &now);
    accounted_ = bytes;
}
