// SPDX-License-Identifier: BSD-3-Clause
// One check per call: the verdict alone; the verdict and the place; or an element that holds a reference.
#include "binding/commands/commands.h"
#include "binding/environment/section.h"

namespace {

// Who asks: the domain or queue pair that the command block names; nullptr: it names none.
const NumberedChecker *FindAsker(const Commands &commands) {
    return commands.checkers.Find(commands.block.Read(RVT_COMMAND_CHECKER));
}

// checkOne(): the verdict.
int CheckOne(Commands &commands) {
    const NumberedChecker *asker = FindAsker(commands);
    if (!asker)
        return -RVT_EBADF;
    rvt_batch one = {&asker->checker, commands.block.request(), 1, commands.block.Read(RVT_COMMAND_ACCESS)};
    return rvt_check_one(commands.environment.reader(), &one);
}

// placeOne(): the verdict, and where the bytes are.
int PlaceOne(Commands &commands) {
    CommandBlock &block = commands.block;
    const NumberedChecker *asker = FindAsker(commands);
    if (!asker)
        return -RVT_EBADF;
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
    return answer < 0 ? answer : static_cast<int>(reason);
}

// acquireOne(): an accepted element goes into the cell.
int AcquireOne(Commands &commands) {
    CommandBlock &block = commands.block;
    const NumberedChecker *asker = FindAsker(commands);
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

} // namespace

std::vector<CommandFunction> CheckCommands() {
    return {{"checkOne", Command<CheckOne>},
            {"placeOne", Command<PlaceOne>},
            {"acquireOne", Command<AcquireOne>}};
}
