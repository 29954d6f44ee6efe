// SPDX-License-Identifier: BSD-3-Clause
// Functions on one accepted element, which the command block names: query, put, copies, atomics.
#include "binding/commands/commands.h"
#include "binding/objects/data_call.h"
#include "binding/values/arguments.h"

namespace {

// Returns the cell that the command block names. nullptr: its element was put, and -EBADF was answered.
Cell *FindCell(Commands &commands) {
    CommandBlock &block = commands.block;
    Cell *cell = commands.cells.Find(block.Read(RVT_COMMAND_CELL), block.Read(RVT_COMMAND_CELL_GENERATION));
    if (!cell)
        block.Answer(-RVT_EBADF);
    return cell;
}

// Answers a data call: the reason of a refusal if there is one, else 0 or a negative errno.
void AnswerMoved(CommandBlock &block, int error, const rvt_copied &copied) {
    block.Write(RVT_COMMAND_BYTES_MOVED, static_cast<uint32_t>(copied.bytes));
    block.Answer(copied.reason ? static_cast<int>(copied.reason) : error);
}

// describeSge(): fills the fields (enum rvt_sge_field).
napi_value DescribeSge(napi_env env, napi_callback_info info) {
    Commands *commands = CommandsOf(env, info);
    Cell *cell = commands ? FindCell(*commands) : nullptr;
    if (!cell)
        return nullptr;
    CommandBlock &block = commands->block;
    const rvt_sge &sge = *cell->element();
    if (!sge.mr) {
        block.Answer(-RVT_EBADF); // a walk has put it
        return nullptr;
    }
    block.WriteField(RVT_SGE_FIELD_REGION, rvt_mr_id(sge.mr));
    block.WriteField(RVT_SGE_FIELD_AT, sge.at);
    block.WriteField(RVT_SGE_FIELD_LENGTH, sge.length);
    block.WriteField(RVT_SGE_FIELD_SGE_LENGTH, sge.sge_length);
    block.WriteField(RVT_SGE_FIELD_SEGMENT, rvt_sge_segment(&sge));
    block.WriteField(RVT_SGE_FIELD_USER, sge.user);
    block.WriteField(RVT_SGE_FIELD_RIGHTS, sge.rights);
    block.WriteField(RVT_SGE_FIELD_REMOTE, sge.remote);
    block.WriteField(RVT_SGE_FIELD_REQUEST, sge.request);
    block.WriteField(RVT_SGE_FIELD_INDEX, rvt_mr_index(sge.mr));
    block.Answer(0);
    return nullptr;
}

// putOne(): puts the element; its cell is empty from then on.
napi_value PutOne(napi_env env, napi_callback_info info) {
    Commands *commands = CommandsOf(env, info);
    Cell *cell = commands ? FindCell(*commands) : nullptr;
    if (!cell)
        return nullptr;
    bool dead = !cell->element()->mr;
    Cells::Put(*cell);
    commands->environment.DrainReferences();
    commands->block.Answer(dead ? -RVT_EBADF : 0);
    return nullptr;
}

// Gets the bytes of a Uint8Array. False: `value` is not a Uint8Array.
bool BytesOf(napi_env env, napi_value value, void **data, size_t *length) {
    napi_typedarray_type type = kUnknownType;
    return napi_get_typedarray_info(env, value, &type, length, data, nullptr, nullptr) == napi_ok &&
           type == napi_uint8_array;
}

// copyOut(target): copies bytes of the element, from the offset in ADDRESS's low word on, into the target: as
// many as both have. copyIn(source): copies all of the source into the element; -EINVAL if the element is too
// short. -EINVAL also for an argument that is not a Uint8Array: lib reports what is wrong with it.
template <bool in> napi_value Copy(napi_env env, napi_callback_info info) {
    size_t argc = 1, length = 0;
    napi_value argv[1];
    void *data = nullptr;
    Commands *commands = CommandsOf(env, info, &argc, argv);
    Cell *cell = commands ? FindCell(*commands) : nullptr;
    if (!cell)
        return nullptr;
    CommandBlock &block = commands->block;
    rvt_copied copied = {};
    if (!BytesOf(env, argv[0], &data, &length)) {
        AnswerMoved(block, -RVT_EINVAL, copied);
        return nullptr;
    }
    rvt_sge *sge = cell->element();
    uint32_t offset = block.Read(RVT_COMMAND_ADDRESS);
    bool ordered = in && (block.Read(RVT_COMMAND_FLAGS) & RVT_COMMAND_FLAG_ORDERED);
    uint64_t left = offset < sge->sge_length ? sge->sge_length - offset : 0;
    uint64_t bytes = in || length < left ? length : left;
    DataCall call(*cell->device);
    int error = rvt_copy_one(call.get(), sge, offset, data, bytes, in, ordered, &copied);
    AnswerMoved(block, error, copied);
    return nullptr;
}

// fetchAdd(), compareSwap(): by OPERAND and COMPARE; RESULT is what was there before.
template <bool swap> napi_value Atomic(napi_env env, napi_callback_info info) {
    Commands *commands = CommandsOf(env, info);
    Cell *cell = commands ? FindCell(*commands) : nullptr;
    if (!cell)
        return nullptr;
    CommandBlock &block = commands->block;
    uint64_t operand = block.ReadLong(RVT_COMMAND_OPERAND), found = 0;
    rvt_reason reason = RVT_REASON_NONE;
    int error;
    {
        DataCall call(*cell->device);
        error = swap ? rvt_sge_compare_swap(call.get(), cell->element(), block.ReadLong(RVT_COMMAND_COMPARE),
                                            operand, &found, &reason)
                     : rvt_sge_fetch_add(call.get(), cell->element(), operand, &found, &reason);
    }
    block.WriteLong(RVT_COMMAND_RESULT, found);
    block.Answer(reason ? static_cast<int>(reason) : error);
    return nullptr;
}

} // namespace

void AddElementCommands(void (*add)(void *to, const CommandFunction &function), void *to) {
    for (const CommandFunction &function : {CommandFunction{"describeSge", DescribeSge},
                                            {"putOne", PutOne},
                                            {"copyOut", Copy<false>},
                                            {"copyIn", Copy<true>},
                                            {"fetchAdd", Atomic<false>},
                                            {"compareSwap", Atomic<true>}})
        add(to, function);
}
