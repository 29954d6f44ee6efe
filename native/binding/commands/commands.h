// SPDX-License-Identifier: BSD-3-Clause
// The functions that read what they are asked for from the command block and answer into it: one of each for
// all objects of an environment, because calls that always go to the same function are what the engine makes
// short. lib/internal/native.ts says which words each of them reads and writes.
#ifndef RDMAVT_COMMANDS_H
#define RDMAVT_COMMANDS_H

#include <napi.h>

#include "binding/environment/environment.h"
#include "binding/objects/cells.h"
#include "binding/objects/checkers.h"
#include "binding/values/command_block.h"

// What the functions are given as their data.
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

// The commands of the call; nullptr: there is no block to read from. `argv`: room for *argc arguments.
inline Commands *CommandsOf(napi_env env, napi_callback_info info, size_t *argc = nullptr,
                            napi_value *argv = nullptr) {
    void *data = nullptr;
    if (napi_get_cb_info(env, info, argc, argv, nullptr, &data) != napi_ok)
        return nullptr; // a worker that is being terminated
    auto *commands = static_cast<Commands *>(data);
    return commands->block.ready() ? commands : nullptr;
}

#endif
