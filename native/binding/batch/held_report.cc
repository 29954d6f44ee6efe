// SPDX-License-Identifier: BSD-3-Clause
#include "binding/batch/held_report.h"

#include <cstring>
#include <unordered_map>
#include <vector>

#include "binding/batch/batch.h"
#include "binding/objects/cells.h"
#include "binding/objects/device.h"
#include "binding/values/arguments.h"

namespace {

using Rows = std::vector<uint64_t>;

uint64_t *AddRow(Rows &rows) {
    rows.resize(rows.size() + RVT_HELD_FIELDS);
    return &rows[rows.size() - RVT_HELD_FIELDS];
}

// Returns whether a report to `asking` may show what was acquired through `by`. A context that is restricted
// to a domain sees only what it holds itself, because the thread may have other objects of the device that
// hold elements of other domains.
bool MayKnow(const OpenDevice &asking, const OpenDevice &by) {
    return rvt_ucontext_restricted(asking.context()) ? &by == &asking : by.get() == asking.get();
}

void TellCells(Cells &cells, const OpenDevice &asking, Rows &rows) {
    cells.ForEachFilled([&](uint32_t number, Cell &cell) {
        const rvt_sge *sge = cell.element();
        if (!MayKnow(asking, *cell.device) || !sge->mr)
            return; // must not be shown, or a walk has put it
        uint64_t *row = AddRow(rows);
        row[RVT_HELD_CELL] = number;
        row[RVT_HELD_GENERATION] = cell.generation;
        row[RVT_HELD_COUNT] = 1;
        row[RVT_HELD_REGION] = rvt_mr_id(sge->mr);
        row[RVT_HELD_ADDRESS] = sge->request;
        row[RVT_HELD_LENGTH] = sge->sge_length;
        row[RVT_HELD_ACCESS] = sge->rights;
        row[RVT_HELD_REMOTE] = sge->remote;
    });
}

void TellBatch(const Batch &batch, Rows &rows) {
    struct Sum {
        uint64_t count = 0, bytes = 0;
        bool remote = false;
    };
    std::unordered_map<uint64_t, Sum> regions;
    const rvt_sge *held = batch.held.data();
    for (uint32_t i = 0; i < batch.held.capacity(); i++) {
        if (!held[i].mr)
            continue;
        Sum &sum = regions[rvt_mr_id(held[i].mr)];
        sum.count++;
        sum.bytes += held[i].sge_length;
        sum.remote = held[i].remote;
    }
    for (const auto &region : regions) {
        uint64_t *row = AddRow(rows);
        row[RVT_HELD_BATCH] = batch.number;
        row[RVT_HELD_COUNT] = region.second.count;
        row[RVT_HELD_REGION] = region.first;
        row[RVT_HELD_LENGTH] = region.second.bytes;
        row[RVT_HELD_REMOTE] = region.second.remote;
    }
}

} // namespace

Napi::Value HeldElements(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    Device *device = Device::Get(info[0]);
    if (!device)
        arguments.Wrong(0, "a device");
    if (!arguments.ok())
        return arguments.Undefined();
    const OpenDevice &open = *device->payload().device;
    Rows rows;
    TellCells(Cells::Of(open.environment()), open, rows);
    for (const Batch *batch : Batches::Of(open.environment()).all())
        if (MayKnow(open, *batch->device))
            TellBatch(*batch, rows);
    Napi::BigUint64Array told = Napi::BigUint64Array::New(info.Env(), rows.size());
    if (told.IsEmpty()) // no memory, or the worker is being terminated
        return Napi::Value();
    if (!rows.empty())
        std::memcpy(told.Data(), rows.data(), rows.size() * sizeof(uint64_t));
    return told;
}
