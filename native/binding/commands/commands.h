// SPDX-License-Identifier: BSD-3-Clause
// Functions that read their arguments from the command block and answer into it. All objects of an
// environment share one function of each kind, because the engine optimizes calls that always have the same
// target. lib/internal/native.ts documents which words each function reads and writes.
#ifndef RDMAVT_COMMANDS_H
#define RDMAVT_COMMANDS_H

#include <napi.h>

#include <vector>

#include "binding/environment/environment.h"
#include "binding/objects/cells.h"
#include "binding/objects/checkers.h"
#include "binding/values/command_block.h"

// The functions' callback data.
struct Commands : EnvironmentPart {
    explicit Commands(Environment &of)
        : environment(of), block(CommandBlock::Of(of)), checkers(Checkers::Of(of)), cells(Cells::Of(of)) {}

    // Exports the functions.
    static void Start(Environment &environment, Napi::Env env, Napi::Object exports);
    void End() override {}

    Environment &environment;
    CommandBlock &block;
    Checkers &checkers;
    Cells &cells;
};

// Each returns the functions that one file of this folder defines.
struct CommandFunction {
    const char *name;
    napi_callback callback;
};
std::vector<CommandFunction> CheckCommands();
std::vector<CommandFunction> ElementCommands();
std::vector<CommandFunction> RegionCommands();
std::vector<CommandFunction> WindowCommands();

// Returns the Commands of a call, or nullptr if there is no command block. `argv` must have room for *argc
// arguments.
inline Commands *CommandsOf(napi_env env, napi_callback_info info, size_t *argc = nullptr,
                            napi_value *argv = nullptr) {
    void *data = nullptr;
    if (napi_get_cb_info(env, info, argc, argv, nullptr, &data) != napi_ok)
        return nullptr; // the worker is being terminated
    auto *commands = static_cast<Commands *>(data);
    return commands->block.ready() ? commands : nullptr;
}

// A function without arguments: `run` reads the command block and returns the answer.
template <int (*run)(Commands &)> napi_value Command(napi_env env, napi_callback_info info) {
    if (Commands *commands = CommandsOf(env, info))
        commands->block.Answer(run(*commands));
    return nullptr;
}

// A function with one argument, which is undefined if the caller omits it.
template <int (*run)(Commands &, napi_env, napi_value)>
napi_value CommandWith(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argument;
    if (Commands *commands = CommandsOf(env, info, &argc, &argument))
        commands->block.Answer(run(*commands, env, argument));
    return nullptr;
}

#endif
