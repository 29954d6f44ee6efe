// SPDX-License-Identifier: BSD-3-Clause
// One check per call: the verdict alone; the verdict and the place; or an element that holds a reference.
#include "binding/commands/commands.h"
#include "binding/environment/section.h"

namespace {

// The checker that the command block names; nullptr: it names none, and -EBADF was answered.
const NumberedChecker *FindChecker(Commands &commands) {
    const NumberedChecker *checker = commands.checkers.Find(commands.block.Read(RVT_COMMAND_CHECKER));
    if (!checker)
        commands.block.Answer(-RVT_EBADF);
    return checker;
}

// checkOne(): the verdict.
napi_value CheckOne(napi_env env, napi_callback_info info) {
    Commands *commands = CommandsOf(env, info);
    const NumberedChecker *asker = commands ? FindChecker(*commands) : nullptr;
    if (!asker)
        return nullptr;
    CommandBlock &block = commands->block;
    rvt_batch one = {&asker->checker, block.request(), 1, block.Read(RVT_COMMAND_ACCESS)};
    block.Answer(rvt_check_one(commands->environment.reader(), &one));
    return nullptr;
}

// placeOne(): the verdict, and where the bytes are.
napi_value PlaceOne(napi_env env, napi_callback_info info) {
    Commands *commands = CommandsOf(env, info);
    const NumberedChecker *asker = commands ? FindChecker(*commands) : nullptr;
    if (!asker)
        return nullptr;
    CommandBlock &block = commands->block;
    rvt_ib_sge asked = block.ReadRequest();
    uint32_t access = block.Read(RVT_COMMAND_ACCESS);
    rvt_place place;
    rvt_reason reason = RVT_REASON_NONE;
    int answer;
    {
        Section section(*asker->device);
        answer = rvt_place_one(&asker->checker, &asked, access, &place, &reason);
    }
    if (answer == 1) {
        block.WriteField(RVT_PLACE_AT, place.at);
        block.WriteField(RVT_PLACE_LENGTH, place.length);
        block.WriteField(RVT_PLACE_SEGMENT, place.segment);
    }
    block.Answer(answer < 0 ? answer : static_cast<int>(reason));
    return nullptr;
}

int Acquire(Commands &commands) {
    CommandBlock &block = commands.block;
    const NumberedChecker *asker = commands.checkers.Find(block.Read(RVT_COMMAND_CHECKER));
    Cell *cell = commands.cells.FindEmpty(block.Read(RVT_COMMAND_CELL));
    if (!asker)
        return -RVT_EBADF;
    if (!cell)
        return -RVT_EINVAL;
    rvt_sge *last = nullptr;
    uint32_t last_cell = asker->checker.remote ? 0 : block.Read(RVT_COMMAND_LAST_CELL);
    // An element that was put counts as none.
    if (Cell *found = commands.cells.Find(last_cell, block.Read(RVT_COMMAND_LAST_GENERATION))) {
        if (found->device->get() != asker->device->get())
            return -RVT_EINVAL;
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
    return answer == -RVT_EINVAL ? static_cast<int>(reason) : answer;
}

// acquireOne(): an accepted element goes into the cell.
napi_value AcquireOne(napi_env env, napi_callback_info info) {
    if (Commands *commands = CommandsOf(env, info))
        commands->block.Answer(Acquire(*commands));
    return nullptr;
}

} // namespace

void AddCheckCommands(void (*add)(void *to, const CommandFunction &function), void *to) {
    for (const CommandFunction &function :
         {CommandFunction{"checkOne", CheckOne}, {"placeOne", PlaceOne}, {"acquireOne", AcquireOne}})
        add(to, function);
}
