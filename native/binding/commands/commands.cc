// SPDX-License-Identifier: BSD-3-Clause
#include "binding/commands/commands.h"

// Does nothing; the benchmark measures the cost of a native call with it.
static napi_value Empty(napi_env, napi_callback_info) {
    return nullptr;
}

void Commands::Start(Environment &environment, Napi::Env env, Napi::Object exports) {
    auto *commands = new Commands(environment);
    environment.Keep(kCommandsPart, std::unique_ptr<EnvironmentPart>(commands));
    for (const std::vector<CommandFunction> &functions :
         {CheckCommands(), ElementCommands(), RegionCommands(), WindowCommands(), {{"empty", Empty}}}) {
        for (const CommandFunction &function : functions) {
            napi_value value;
            if (napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.callback, commands,
                                     &value) == napi_ok)
                exports.Set(function.name, Napi::Value(env, value));
        }
    }
}
