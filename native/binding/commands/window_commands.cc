// SPDX-License-Identifier: BSD-3-Clause
// Functions on memory windows and leases. The command block names a window like a region: by the number of its
// domain, its index in its pool, and its generation.
#include "binding/commands/commands.h"
#include "binding/environment/engine_call.h"
#include "binding/objects/regions.h"

namespace {

void WriteNewWindow(CommandBlock &block, rvt_mw_handle handle, uint32_t key) {
    block.Write(RVT_COMMAND_REGION, handle.mw->owned.object.index);
    block.WriteLong(RVT_COMMAND_REGION_GENERATION, handle.generation);
    block.WriteField(RVT_WINDOW_FIELD_KEY, key);
}

// allocMw(): creates a window in the domain CHECKER.
int AllocMw(Commands &commands) {
    const NumberedChecker *in = commands.checkers.Find(commands.block.Read(RVT_COMMAND_CHECKER));
    if (!in)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    rvt_mw_handle handle = {};
    uint32_t key = 0;
    int error = rvt_alloc_mw(in->pd, RVT_MW_TYPE_TWO, &handle, &key);
    in->device->Settle();
    if (!error)
        WriteNewWindow(commands.block, handle, key);
    return error;
}

// queryMw(): fills the fields (enum rvt_window_field); of a window that is gone, only the time.
int QueryMw(Commands &commands) {
    CommandBlock &block = commands.block;
    block.WriteField(RVT_WINDOW_FIELD_NOW, rvt_coarse_ms());
    rvt_mw_attributes attributes;
    int error = rvt_query_mw(ReadWindow(block, commands.checkers).handle, &attributes);
    if (error)
        return error;
    block.WriteField(RVT_WINDOW_FIELD_ID, attributes.id);
    block.WriteField(RVT_WINDOW_FIELD_KEY, attributes.key);
    block.WriteField(RVT_WINDOW_FIELD_ACCESS, attributes.access);
    block.WriteField(RVT_WINDOW_FIELD_BOUND, attributes.bound);
    block.WriteField(RVT_WINDOW_FIELD_LEASE, attributes.lease);
    block.WriteField(RVT_WINDOW_FIELD_EXPIRED, attributes.expired);
    block.WriteField(RVT_WINDOW_FIELD_REGION, attributes.region);
    block.WriteField(RVT_WINDOW_FIELD_ADDRESS, attributes.addr);
    block.WriteField(RVT_WINDOW_FIELD_LENGTH, attributes.length);
    block.WriteField(RVT_WINDOW_FIELD_QP, attributes.qp);
    block.WriteField(RVT_WINDOW_FIELD_DEADLINE, attributes.deadline);
    return 0;
}

// deallocMw(): calls rvt_dealloc_mw.
int DeallocMw(Commands &commands) {
    NamedWindow window = ReadWindow(commands.block, commands.checkers);
    if (!window.handle.mw)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_WINDOW_GONE);
    EngineCall call(*window.device);
    return rvt_dealloc_mw(window.handle);
}

// leaseMr(): calls rvt_lease_mr on the region that the block names, for OPERAND bytes at ADDRESS, COMPARE
// milliseconds, and the queue pair NEW_CHECKER (0: all of the domain).
int LeaseMr(Commands &commands) {
    CommandBlock &block = commands.block;
    uint32_t number = block.Read(RVT_COMMAND_NEW_CHECKER);
    rvt_bind bind = {};
    bind.addr = block.ReadLong(RVT_COMMAND_ADDRESS);
    bind.length = block.ReadLong(RVT_COMMAND_OPERAND);
    bind.access = block.Read(RVT_COMMAND_ACCESS);
    uint64_t ms = block.ReadLong(RVT_COMMAND_COMPARE);
    NamedRegion region = ReadRegion(block, commands.checkers);
    const NumberedQp *qp = number ? commands.checkers.FindQp(number) : nullptr;
    if (!region.handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    if (number && !qp)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_QP_GONE);
    bind.mr = region.handle;
    rvt_mw_handle handle = {};
    uint32_t key = 0;
    int error = rvt_lease_mr(region.device->context(), &bind, qp ? &qp->qp : nullptr, ms, &handle, &key);
    region.device->Settle();
    if (!error)
        WriteNewWindow(block, handle, key);
    return error;
}

} // namespace

std::vector<CommandFunction> WindowCommands() {
    return {{"allocMw", Command<AllocMw>},
            {"queryMw", Command<QueryMw>},
            {"deallocMw", Command<DeallocMw>},
            {"leaseMr", Command<LeaseMr>}};
}
