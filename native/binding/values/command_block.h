// SPDX-License-Identifier: BSD-3-Clause
// The command block of an environment: shared memory from which calls read their numbers, and into which they
// write their answers (enum rvt_command_word). Passing numbers as arguments costs several times what most of
// these calls do.
//
// JavaScript on any thread may write to the block at any time. So each word is read once, nothing that was
// written is read back, and a number names an object but grants no right to it.
#ifndef RDMAVT_COMMAND_BLOCK_H
#define RDMAVT_COMMAND_BLOCK_H

#include <napi.h>

#include "binding/environment/environment.h"
#include "core/rvt.h"

class CommandBlock : public EnvironmentPart {
public:
    // Exports the function commandBlock (see lib/internal/native.ts).
    static void Start(Environment &environment, Napi::Env env, Napi::Object exports);
    static CommandBlock &Of(const Environment &environment) {
        return static_cast<CommandBlock &>(environment.part(kCommandBlockPart));
    }

    // Returns whether the block exists: from the first call of commandBlock, which provides the memory, until
    // the environment ends.
    bool ready() const {
        return words_ != nullptr;
    }

    uint32_t Read(rvt_command_word word) const {
        return words_[word];
    }
    uint64_t ReadLong(rvt_command_word word) const {
        return *LongAt(word);
    }
    // As ReadLong, for a word that lib stores in halves: a processor that reads both at once would first have to
    // wait until its own stores of the halves are in the cache.
    uint64_t ReadHalves(rvt_command_word word) const {
        uint64_t first = words_[word], second = words_[word + 1];
        return kLittleEndian ? second << 32 | first : first << 32 | second;
    }
    // Returns the requested access.
    rvt_ib_sge ReadRequest() const {
        return {ReadLong(RVT_COMMAND_ADDRESS), Read(RVT_COMMAND_LENGTH), Read(RVT_COMMAND_KEY)};
    }
    // Returns the requested access as a packed element, which the core reads.
    const unsigned char *request() const {
        return bytes_ + RVT_COMMAND_ADDRESS * sizeof(uint32_t);
    }

    void Write(rvt_command_word word, uint32_t value) {
        words_[word] = value;
    }
    void WriteLong(rvt_command_word word, uint64_t value) {
        *LongAt(word) = value;
    }
    // Writes field `index` of the answer.
    void WriteField(int index, uint64_t value) {
        LongAt(RVT_COMMAND_FIELDS)[index] = value;
    }
    // Writes the answer: 0, a positive number whose meaning depends on the call, or a negative errno. Must be
    // a call's last write.
    void Answer(int answer) {
        Write(RVT_COMMAND_ANSWER, static_cast<uint32_t>(answer));
    }

    void End() override;

private:
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    static constexpr bool kLittleEndian = false;
#else
    static constexpr bool kLittleEndian = true;
#endif

    explicit CommandBlock(napi_env env) : env_(env) {}
    static Napi::Value Propose(const Napi::CallbackInfo &info);

    volatile uint64_t *LongAt(rvt_command_word word) const {
        return reinterpret_cast<volatile uint64_t *>(bytes_ + word * sizeof(uint32_t));
    }

    napi_env env_;
    unsigned char *bytes_ = nullptr;
    volatile uint32_t *words_ = nullptr;
    napi_ref reference_ = nullptr; // on the proposed array that became the block
};

#endif
