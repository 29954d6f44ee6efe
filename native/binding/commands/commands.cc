// SPDX-License-Identifier: BSD-3-Clause
#include "binding/commands/commands.h"

namespace {

// A call that does nothing: what the benchmark compares with.
napi_value Empty(napi_env, napi_callback_info) {
    return nullptr;
}

struct Exports {
    Napi::Env env;
    Napi::Object exports;
    Commands *commands;
};

void Export(void *to, const CommandFunction &function) {
    auto *into = static_cast<Exports *>(to);
    napi_value value;
    if (napi_create_function(into->env, function.name, NAPI_AUTO_LENGTH, function.callback, into->commands,
                             &value) == napi_ok)
        into->exports.Set(function.name, Napi::Value(into->env, value));
}

} // namespace

void Commands::Start(Environment &environment, Napi::Env env, Napi::Object exports) {
    auto *commands = new Commands(environment);
    environment.Keep(kCommandsPart, std::unique_ptr<EnvironmentPart>(commands));
    Exports into = {env, exports, commands};
    AddCheckCommands(Export, &into);
    AddElementCommands(Export, &into);
    AddRegionCommands(Export, &into);
    Export(&into, {"empty", Empty});
}
