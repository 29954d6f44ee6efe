// SPDX-License-Identifier: BSD-3-Clause
// The functions that read their arguments from the command block and answer in it. All objects of an
// environment share one function of each kind, because the engine optimizes calls that always go to the same
// function. lib/internal/native.ts says which words each of them reads and writes.
#ifndef RDMAVT_COMMANDS_H
#define RDMAVT_COMMANDS_H

#include <napi.h>

#include "binding/environment/environment.h"
#include "binding/objects/cells.h"
#include "binding/objects/checkers.h"
#include "binding/values/command_block.h"

// The callback data of the functions.
struct Commands : EnvironmentPart {
    explicit Commands(Environment &of)
        : environment(of), block(CommandBlock::Of(of)), checkers(Checkers::Of(of)), cells(Cells::Of(of)) {}

    // Gives the module its functions.
    static void Start(Environment &environment, Napi::Env env, Napi::Object exports);
    void End() override {}

    Environment &environment;
    CommandBlock &block;
    Checkers &checkers;
    Cells &cells;
};

// Adds functions to the module: each file of this folder has some.
struct CommandFunction {
    const char *name;
    napi_callback callback;
};
void AddCheckCommands(void (*add)(void *to, const CommandFunction &function), void *to);
void AddElementCommands(void (*add)(void *to, const CommandFunction &function), void *to);
void AddRegionCommands(void (*add)(void *to, const CommandFunction &function), void *to);

// Returns the Commands of a call; nullptr if there is no command block. `argv`: room for *argc arguments.
inline Commands *CommandsOf(napi_env env, napi_callback_info info, size_t *argc = nullptr,
                            napi_value *argv = nullptr) {
    void *data = nullptr;
    if (napi_get_cb_info(env, info, argc, argv, nullptr, &data) != napi_ok)
        return nullptr; // a worker that is being terminated
    auto *commands = static_cast<Commands *>(data);
    return commands->block.ready() ? commands : nullptr;
}

#endif
