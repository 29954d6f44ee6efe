// SPDX-License-Identifier: BSD-3-Clause
// One check per call: the verdict only; the verdict and the place; or an element that holds a reference.
#include <cstring>

#include "binding/commands/commands.h"
#include "binding/environment/section.h"
#include "binding/values/arguments.h"

namespace {

// Returns the domain or queue pair that the command block names, or nullptr if it names none.
const NumberedChecker *FindAsker(const Commands &commands) {
    return commands.checkers.Find(commands.block.Read(RVT_COMMAND_CHECKER));
}

// Writes the sequence of the key's record. A later explainAccess compares it with the current one, to tell
// whether the record has changed since the refusal.
void WriteSequence(Commands &commands, const NumberedChecker &asker) {
    commands.block.WriteLong(RVT_COMMAND_RECORD_SEQUENCE,
                             rvt_record_sequence(&asker.checker, commands.block.Read(RVT_COMMAND_KEY)));
}

// checkOne(): answers the verdict.
int CheckOne(Commands &commands) {
    const NumberedChecker *asker = FindAsker(commands);
    if (!asker)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ARGUMENT);
    rvt_batch one = {&asker->checker,
                     commands.block.request(),
                     1,
                     commands.block.Read(RVT_COMMAND_ACCESS),
                     nullptr,
                     false};
    int answer = rvt_check_one(commands.environment.reader(), &one);
    if (answer > 0)
        WriteSequence(commands, *asker);
    return answer;
}

// placeOne(): answers the verdict and where the bytes are.
int PlaceOne(Commands &commands) {
    CommandBlock &block = commands.block;
    const NumberedChecker *asker = FindAsker(commands);
    if (!asker)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ARGUMENT);
    rvt_ib_sge asked = block.ReadRequest();
    uint32_t access = block.Read(RVT_COMMAND_ACCESS);
    rvt_place place;
    rvt_reason reason;
    int accepted;
    {
        Section section(*asker->device);
        accepted = rvt_place_one(&asker->checker, &asked, access, &place, &reason);
    }
    if (accepted) {
        block.WriteField(RVT_PLACE_AT, place.at);
        block.WriteField(RVT_PLACE_LENGTH, place.length);
        block.WriteField(RVT_PLACE_SEGMENT, place.segment);
    } else {
        WriteSequence(commands, *asker);
    }
    return static_cast<int>(reason);
}

// acquireOne(): checks one access like lkeyOk or rkeyOk. CELL names an empty cell, which receives the
// accepted element. LAST_CELL names an element that may grow instead.
int AcquireOne(Commands &commands) {
    CommandBlock &block = commands.block;
    const NumberedChecker *asker = FindAsker(commands);
    Cell *cell = commands.cells.FindEmpty(block.Read(RVT_COMMAND_CELL));
    if (!asker)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ARGUMENT);
    if (!cell)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    rvt_sge *last = nullptr;
    uint32_t last_cell = asker->checker.remote ? 0 : block.Read(RVT_COMMAND_LAST_CELL);
    // An element that was already put is ignored.
    if (Cell *found = commands.cells.Find(last_cell, block.Read(RVT_COMMAND_LAST_GENERATION))) {
        if (found->device->get() != asker->device->get())
            return rvt_fail(RVT_EINVAL, RVT_CAUSE_ELEMENT_ON_OTHER_DEVICE);
        last = found->element();
    }
    rvt_ib_sge asked = block.ReadRequest();
    uint32_t access = block.Read(RVT_COMMAND_ACCESS);
    rvt_reason reason = RVT_REASON_NONE;
    int answer;
    {
        Section section(*asker->device);
        answer = rvt_acquire_one(&asker->checker, &asked, access, last, &cell->own, &reason);
    }
    if (answer == 1) {
        Cells::Fill(*cell, *asker->device);
        block.Write(RVT_COMMAND_CELL_GENERATION, cell->generation);
        return 0;
    }
    if (answer == 0)
        return RVT_BATCH_COALESCED;
    if (answer != -RVT_EINVAL)
        return answer;
    WriteSequence(commands, *asker);
    return static_cast<int>(reason);
}

// explainAccess(out): reports what is known now about the access in the block. `out` must be a BigUint64Array
// of at least RVT_EXPLAINED_COUNT numbers, otherwise the answer is -EINVAL.
int ExplainAccess(Commands &commands, napi_env env, napi_value array) {
    const NumberedChecker *asker = FindAsker(commands);
    ArrayView out;
    if (!asker)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_ARGUMENT);
    if (!ViewOf(env, array, napi_biguint64_array, &out) || out.length < RVT_EXPLAINED_COUNT)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    const rvt_checker &checker = asker->checker;
    rvt_ib_sge asked = commands.block.ReadRequest();
    uint32_t access = commands.block.Read(RVT_COMMAND_ACCESS);
    uint64_t rows[RVT_EXPLAINED_COUNT] = {};
    {
        Section section(*asker->device);
        rows[RVT_ASKED_NOW] = rvt_judge_again(&checker, &asked, access);
    }
    const rvt_asker by = {rvt_checker_pd(&checker), checker.context, checker.remote};
    rvt_report_asker(checker.device, &by, asked.addr, rows + RVT_EXPLAINED_ASKED);
    rvt_report_key(checker.device, &by, asked.lkey, rows + RVT_EXPLAINED_SLOT);
    rvt_report_key(checker.device, &by, __builtin_bswap32(asked.lkey), rows + RVT_EXPLAINED_SWAPPED);
    rows[RVT_ASKED_SEARCHED_ALL] = rvt_search_regions(checker.device, &by, asked.addr, asked.length,
                                                      asked.lkey, rows + RVT_EXPLAINED_FOUND);
    // Check liveness last: live now means live throughout. Otherwise the object may have been reused, and the
    // facts above would describe another domain.
    if (!rvt_checker_live(&checker))
        return rvt_fail_gone(checker.device, checker.context,
                             checker.remote ? RVT_CAUSE_QP_GONE : RVT_CAUSE_PD_GONE);
    std::memcpy(out.data, rows, sizeof(rows));
    return 0;
}

} // namespace

std::vector<CommandFunction> CheckCommands() {
    return {{"checkOne", Command<CheckOne>},
            {"placeOne", Command<PlaceOne>},
            {"acquireOne", Command<AcquireOne>},
            {"explainAccess", CommandWith<ExplainAccess>}};
}
