// SPDX-License-Identifier: BSD-3-Clause
// Single checks: one function for all batches of an environment, because calls that always go to the same
// function are what the engine makes short. Which batch is meant stands in the command block (shared memory),
// and so does the answer (enum rvt_command_word).
#ifndef RDMAVT_SINGLE_CHECK_H
#define RDMAVT_SINGLE_CHECK_H

#include <napi.h>

#include <vector>

#include "binding/environment/environment.h"

struct Batch;

// An environment's command block, and its batches by number. Owner thread only.
class SingleChecks : public EnvironmentPart {
public:
    // Gives the module its functions commandBlock, checkOne and empty; see lib/internal/native.ts.
    static void Start(Environment &environment, Napi::Env env, Napi::Object exports);
    static SingleChecks &Of(const Environment &environment);

    // A number for the batch, by which the command block can name it until Remove().
    uint32_t Add(Batch *batch);
    void Remove(uint32_t number);

    void End() override;

private:
    explicit SingleChecks(napi_env env) : env_(env) {}
    static Napi::Value CommandBlock(const Napi::CallbackInfo &info);
    static napi_value CheckOne(napi_env env, napi_callback_info info);

    napi_env env_;
    volatile uint32_t *command_ = nullptr;
    napi_ref command_reference_ = nullptr; // on the array that was proposed first
    std::vector<Batch *> batches_;         // by number; nullptr: gone
    std::vector<uint32_t> free_;           // numbers to be given again
};

#endif
