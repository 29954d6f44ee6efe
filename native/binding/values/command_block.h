// SPDX-License-Identifier: BSD-3-Clause
// The command block of an environment: shared memory that calls read their numbers from, and answer in (enum
// rvt_command_word). Passing numbers as arguments costs several times what most of these calls do.
//
// JavaScript of any thread may write anything into the block at any time. So each word is read once, nothing
// that was written out is read back, and a number in it names a thing and gives no right to it.
#ifndef RDMAVT_COMMAND_BLOCK_H
#define RDMAVT_COMMAND_BLOCK_H

#include <napi.h>

#include "binding/environment/environment.h"
#include "core/rvt.h"

class CommandBlock : public EnvironmentPart {
public:
    // Gives the module its function commandBlock; see lib/internal/native.ts.
    static void Start(Environment &environment, Napi::Env env, Napi::Object exports);
    static CommandBlock &Of(const Environment &environment) {
        return static_cast<CommandBlock &>(environment.part(kCommandBlockPart));
    }

    // Whether there is a block: from the first call of commandBlock, which provides the memory, until the
    // environment ends.
    bool ready() const {
        return words_ != nullptr;
    }

    uint32_t Read(rvt_command_word word) const {
        return words_[word];
    }
    uint64_t ReadLong(rvt_command_word word) const {
        return *LongAt(word);
    }
    // The access that is asked for.
    rvt_ib_sge ReadRequest() const {
        return {ReadLong(RVT_COMMAND_ADDRESS), Read(RVT_COMMAND_LENGTH), Read(RVT_COMMAND_KEY)};
    }
    // The same as a packed element, to be read by the core.
    const unsigned char *request() const {
        return bytes_ + RVT_COMMAND_ADDRESS * sizeof(uint32_t);
    }

    void Write(rvt_command_word word, uint32_t value) {
        words_[word] = value;
    }
    void WriteLong(rvt_command_word word, uint64_t value) {
        *LongAt(word) = value;
    }
    // Field `index` of those that a call tells.
    void WriteField(int index, uint64_t value) {
        LongAt(RVT_COMMAND_FIELDS)[index] = value;
    }
    // 0, a positive number that the call gives a meaning to, or a negative errno. The last thing a call
    // writes.
    void Answer(int answer) {
        Write(RVT_COMMAND_ANSWER, static_cast<uint32_t>(answer));
    }

    void End() override;

private:
    explicit CommandBlock(napi_env env) : env_(env) {}
    static Napi::Value Propose(const Napi::CallbackInfo &info);

    volatile uint64_t *LongAt(rvt_command_word word) const {
        return reinterpret_cast<volatile uint64_t *>(bytes_ + word * sizeof(uint32_t));
    }

    napi_env env_;
    unsigned char *bytes_ = nullptr;
    volatile uint32_t *words_ = nullptr;
    napi_ref reference_ = nullptr; // on the array that was proposed first
};

#endif
