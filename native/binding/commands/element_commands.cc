// SPDX-License-Identifier: BSD-3-Clause
// Functions on one accepted element, which the command block names: query, put, copies, atomics.
#include "binding/commands/commands.h"
#include "binding/objects/data_call.h"
#include "binding/values/arguments.h"

namespace {

// Returns the cell that the command block names, or nullptr if its element was put.
Cell *FindCell(Commands &commands) {
    return commands.cells.Find(commands.block.Read(RVT_COMMAND_CELL),
                               commands.block.Read(RVT_COMMAND_CELL_GENERATION));
}

// describeSge(): fills the fields (enum rvt_sge_field).
int DescribeSge(Commands &commands) {
    CommandBlock &block = commands.block;
    Cell *cell = FindCell(commands);
    if (!cell || !cell->element()->mr) // no region: a walk has put the element
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT);
    const rvt_sge &sge = *cell->element();
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
    return 0;
}

// putOne(): puts the element and empties its cell.
int PutOne(Commands &commands) {
    Cell *cell = FindCell(commands);
    if (!cell)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT);
    bool dead = !cell->element()->mr;
    Cells::Put(*cell);
    commands.environment.DrainReferences();
    return dead ? rvt_fail(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT) : 0;
}

// copyOut(target): copies bytes out of the element, starting at the offset in ADDRESS's low word, as many as
// both the element and the target have. copyIn(source): copies all of the source into the element; answers
// -EINVAL if the element is too short. Both answer -EINVAL if the argument is not a Uint8Array; lib reports
// what is wrong with it.
template <bool in> int Copy(Commands &commands, napi_env env, napi_value array) {
    CommandBlock &block = commands.block;
    ArrayView view;
    Cell *cell = FindCell(commands);
    if (!cell)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT);
    if (!ViewOf(env, array, napi_uint8_array, &view))
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    rvt_sge *sge = cell->element();
    uint32_t offset = block.Read(RVT_COMMAND_ADDRESS);
    bool ordered = in && (block.Read(RVT_COMMAND_FLAGS) & RVT_COMMAND_FLAG_ORDERED);
    uint64_t left = offset < sge->sge_length ? sge->sge_length - offset : 0;
    uint64_t bytes = in || view.length < left ? view.length : left;
    rvt_copied copied;
    DataCall call(*cell->device);
    int error = rvt_copy_one(call.get(), sge, offset, view.data, bytes, in, ordered, &copied);
    block.Write(RVT_COMMAND_BYTES_MOVED, static_cast<uint32_t>(copied.bytes));
    return copied.reason ? static_cast<int>(copied.reason) : error;
}

// fetchAdd(), compareSwap(): use OPERAND and COMPARE, and write the previous value to RESULT.
template <bool swap> int Atomic(Commands &commands) {
    CommandBlock &block = commands.block;
    Cell *cell = FindCell(commands);
    if (!cell)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT);
    uint64_t operand = block.ReadLong(RVT_COMMAND_OPERAND), found = 0;
    rvt_reason reason = RVT_REASON_NONE;
    DataCall call(*cell->device);
    int error = swap ? rvt_sge_compare_swap(call.get(), cell->element(), block.ReadLong(RVT_COMMAND_COMPARE),
                                            operand, &found, &reason)
                     : rvt_sge_fetch_add(call.get(), cell->element(), operand, &found, &reason);
    block.WriteLong(RVT_COMMAND_RESULT, found);
    return reason ? static_cast<int>(reason) : error;
}

} // namespace

std::vector<CommandFunction> ElementCommands() {
    return {{"describeSge", Command<DescribeSge>}, {"putOne", Command<PutOne>},
            {"copyOut", CommandWith<Copy<false>>}, {"copyIn", CommandWith<Copy<true>>},
            {"fetchAdd", Command<Atomic<false>>},  {"compareSwap", Command<Atomic<true>>}};
}
