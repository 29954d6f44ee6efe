// SPDX-License-Identifier: BSD-3-Clause
#include "binding/batch/single_check.h"

#include "binding/batch/batch.h"
#include "binding/values/arguments.h"

static_assert((RVT_COMMAND_ANSWER + 1) * sizeof(uint32_t) <= RVT_COMMAND_BYTES, "the words are in the block");

// A call that does nothing: what the benchmark compares with.
static napi_value Empty(napi_env, napi_callback_info) {
    return nullptr;
}

static void Export(Napi::Env env, Napi::Object exports, const char *name, napi_callback callback,
                   void *data) {
    napi_value function;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function) == napi_ok)
        exports.Set(name, Napi::Value(env, function));
}

void SingleChecks::Start(Environment &environment, Napi::Env env, Napi::Object exports) {
    auto *checks = new SingleChecks(env);
    environment.Keep(kSingleCheckPart, std::unique_ptr<EnvironmentPart>(checks));
    exports.Set("commandBlock", Napi::Function::New<CommandBlock>(env, "commandBlock"));
    Export(env, exports, "checkOne", CheckOne, checks);
    Export(env, exports, "empty", Empty, nullptr);
}

SingleChecks &SingleChecks::Of(const Environment &environment) {
    return static_cast<SingleChecks &>(environment.part(kSingleCheckPart));
}

uint32_t SingleChecks::Add(Batch *batch) {
    if (free_.empty()) {
        batches_.push_back(batch);
        return static_cast<uint32_t>(batches_.size() - 1);
    }
    uint32_t number = free_.back();
    free_.pop_back();
    batches_[number] = batch;
    return number;
}

void SingleChecks::Remove(uint32_t number) {
    batches_[number] = nullptr;
    free_.push_back(number);
}

void SingleChecks::End() {
    command_ = nullptr;
    if (command_reference_)
        napi_delete_reference(env_, command_reference_);
    command_reference_ = nullptr;
}

// commandBlock(proposal): returns the environment's command block. The first caller's proposal becomes it;
// later callers get that one.
Napi::Value SingleChecks::CommandBlock(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    SingleChecks &checks = Of(*Environment::Of(env));
    if (checks.command_) {
        napi_value block = nullptr;
        napi_get_reference_value(env, checks.command_reference_, &block);
        return Napi::Value(env, block);
    }
    Arguments arguments(info);
    napi_value buffer = nullptr;
    ArrayView view = arguments.SharedBytes(0, RVT_COMMAND_BYTES, &buffer);
    if (!arguments.ok())
        return arguments.Undefined();
    if (napi_create_reference(env, info[0], 1, &checks.command_reference_) != napi_ok)
        return Napi::Value();
    checks.command_ = static_cast<uint32_t *>(view.data);
    return info[0];
}

// checkOne(): judges the first element of the batch whose number is in the command block. JavaScript may have
// written any number there: one that names no batch of this environment is answered with EBADF.
napi_value SingleChecks::CheckOne(napi_env env, napi_callback_info info) {
    void *data = nullptr;
    napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
    auto *checks = static_cast<SingleChecks *>(data);
    volatile uint32_t *command = checks->command_;
    if (!command)
        return nullptr;
    uint32_t number = command[RVT_COMMAND_BATCH];
    Batch *batch = number < checks->batches_.size() ? checks->batches_[number] : nullptr;
    if (!batch) {
        command[RVT_COMMAND_ANSWER] = static_cast<uint32_t>(-RVT_EBADF);
        return nullptr;
    }
    rvt_batch one = batch->Ask(batch->block.elements(), 1);
    command[RVT_COMMAND_ANSWER] = static_cast<uint32_t>(rvt_check_one(batch->reader, &one));
    return nullptr;
}
