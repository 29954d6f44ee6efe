// SPDX-License-Identifier: BSD-3-Clause
#include "binding/values/command_block.h"

#include "binding/values/arguments.h"

static_assert(RVT_COMMAND_FIELDS % 2 == 0 && RVT_COMMAND_ADDRESS % 2 == 0 &&
                  RVT_COMMAND_REGION_GENERATION % 2 == 0 && RVT_COMMAND_START % 2 == 0 &&
                  RVT_COMMAND_IOVA % 2 == 0 && RVT_COMMAND_RESULT % 2 == 0 && RVT_COMMAND_OPERAND % 2 == 0 &&
                  RVT_COMMAND_COMPARE % 2 == 0,
              "64-bit numbers are aligned");
static_assert(RVT_COMMAND_LENGTH == RVT_COMMAND_ADDRESS + 2 && RVT_COMMAND_KEY == RVT_COMMAND_LENGTH + 1,
              "the request is a packed element");
static_assert(RVT_COMMAND_FIELDS + 2 * RVT_REGION_FIELD_COUNT <= RVT_COMMAND_OPERAND &&
                  RVT_COMMAND_FIELDS + 2 * RVT_SGE_FIELD_COUNT <= RVT_COMMAND_OPERAND &&
                  RVT_COMMAND_FIELDS + 2 * RVT_PLACE_COUNT <= RVT_COMMAND_OPERAND &&
                  RVT_COMMAND_FIELDS + 2 * RVT_SG_OUTCOME_COUNT <= RVT_COMMAND_OPERAND &&
                  (RVT_COMMAND_COMPARE + 2) * sizeof(uint32_t) <= RVT_COMMAND_BYTES,
              "there is room for all");

void CommandBlock::Start(Environment &environment, Napi::Env env, Napi::Object exports) {
    environment.Keep(kCommandBlockPart, std::unique_ptr<EnvironmentPart>(new CommandBlock(env)));
    exports.Set("commandBlock", Napi::Function::New<Propose>(env, "commandBlock"));
}

// commandBlock(proposal): returns the environment's command block. The first caller's proposal becomes the
// block. Later callers get the same block, so that several copies of the package's JavaScript in one thread
// agree.
Napi::Value CommandBlock::Propose(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    CommandBlock &block = Of(*Environment::Of(env));
    if (block.ready()) {
        napi_value array = nullptr;
        napi_get_reference_value(env, block.reference_, &array);
        return Napi::Value(env, array);
    }
    Arguments arguments(info);
    napi_value buffer = nullptr;
    ArrayView view = arguments.SharedBytes(0, RVT_COMMAND_BYTES, &buffer);
    if (!arguments.ok())
        return arguments.Undefined();
    if (napi_create_reference(env, info[0], 1, &block.reference_) != napi_ok)
        return Napi::Value();
    block.bytes_ = static_cast<unsigned char *>(view.data);
    block.words_ = static_cast<uint32_t *>(view.data);
    return info[0];
}

void CommandBlock::End() {
    words_ = nullptr;
    if (reference_)
        napi_delete_reference(env_, reference_);
    reference_ = nullptr;
}
