// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/cells.h"

#include <algorithm>
#include <new>

bool Cells::Start(Environment &environment, Napi::Env env, Napi::Object exports) {
    auto *cells = new Cells(environment);
    environment.Keep(kCellsPart, std::unique_ptr<EnvironmentPart>(cells));
    napi_value global, constructor, collected, wrap, callback, registry, add, bind, script;
    // While an environment ends, Node runs the tasks that are left, also the callbacks of registries, when the
    // module's state and `env` are freed already. It runs no JavaScript then, but calls native functions. So
    // the registry gets a JavaScript function, which calls ours. It comes from a script, because programs can
    // replace Function.prototype.bind.
    static constexpr char kWrap[] = "(collected) => (number) => { collected(number); }";
    if (napi_create_string_latin1(env, kWrap, sizeof kWrap - 1, &script) != napi_ok ||
        napi_run_script(env, script, &wrap) != napi_ok || napi_get_global(env, &global) != napi_ok ||
        napi_get_named_property(env, global, "FinalizationRegistry", &constructor) != napi_ok ||
        napi_create_function(env, "holderCollected", NAPI_AUTO_LENGTH, HolderCollected, cells, &collected) !=
            napi_ok ||
        napi_call_function(env, global, wrap, 1, &collected, &callback) != napi_ok ||
        napi_new_instance(env, constructor, 1, &callback, &registry) != napi_ok ||
        napi_get_named_property(env, registry, "register", &add) != napi_ok ||
        napi_create_reference(env, registry, 1, &cells->registry_) != napi_ok ||
        napi_create_reference(env, add, 1, &cells->register_) != napi_ok ||
        napi_create_function(env, "bindCell", NAPI_AUTO_LENGTH, Bind, cells, &bind) != napi_ok)
        return false;
    exports.Set("bindCell", Napi::Value(env, bind));
    return true;
}

// bindCell(holder): gives the object a cell of its own and returns the cell's number, or 0 if memory is
// short. Throws the engine's exception if the engine cannot register the holder.
napi_value Cells::Bind(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[2], registry, add, number;
    void *data = nullptr;
    if (napi_get_cb_info(env, info, &argc, argv, nullptr, &data) != napi_ok)
        return nullptr;
    auto *cells = static_cast<Cells *>(data);
    if (!cells->registry_)
        return nullptr; // the environment is ending
    uint32_t cell = cells->BindCell();
    if (napi_create_uint32(env, cell, &number) == napi_ok) {
        if (!cell)
            return number;
        argv[1] = number;
        // The engine throws a TypeError if the argument is not an object.
        if (napi_get_reference_value(env, cells->registry_, &registry) == napi_ok &&
            napi_get_reference_value(env, cells->register_, &add) == napi_ok &&
            napi_call_function(env, registry, add, 2, argv, nullptr) == napi_ok)
            return number;
    }
    cells->Unbind(cell);
    return nullptr;
}

// Called when a holder was collected, whether its cell has an element or not.
napi_value Cells::HolderCollected(napi_env env, napi_callback_info info) {
    size_t argc = 1;
    napi_value argv[1];
    void *data = nullptr;
    uint32_t number = 0;
    if (napi_get_cb_info(env, info, &argc, argv, nullptr, &data) != napi_ok ||
        napi_get_value_uint32(env, argv[0], &number) != napi_ok)
        return nullptr;
    auto *cells = static_cast<Cells *>(data);
    cells->Unbind(number);
    cells->environment_.DrainReferences();
    return nullptr;
}

uint32_t Cells::BindCell() {
    if (with_room_.empty()) {
        if (chunks_.size() == UINT32_MAX / kCells)
            return 0;
        chunks_.emplace_back();
        with_room_.insert(static_cast<uint32_t>(chunks_.size() - 1));
    }
    // Prefer the lowest chunk, so that higher ones become empty and can be freed.
    uint32_t which = *with_room_.begin();
    Chunk &chunk = chunks_[which];
    if (!chunk.cells) {
        chunk.cells.reset(new (std::nothrow) Cell[kCells]());
        if (!chunk.cells)
            return 0;
        for (uint32_t i = 0; i < kCells; i++)
            chunk.cells[i].generation = chunk.first_generation;
        environment_.AccountFor(static_cast<int64_t>(kCells * sizeof(Cell)));
    }
    uint32_t place = chunk.first_free;
    while (chunk.cells[place].bound)
        place++;
    chunk.cells[place].bound = true;
    chunk.first_free = place + 1;
    if (++chunk.bound == kCells)
        with_room_.erase(which);
    return which * kCells + place + 1;
}

void Cells::Unbind(uint32_t number) {
    Cell *cell = At(number);
    if (!cell || !cell->bound)
        return; // the caller is not lib: no bound cell has this number
    if (cell->device)
        LetGo(*cell);
    cell->bound = false;
    uint32_t which = (number - 1) / kCells;
    Chunk &chunk = chunks_[which];
    with_room_.insert(which);
    chunk.first_free = std::min(chunk.first_free, (number - 1) % kCells);
    if (--chunk.bound)
        return;
    for (uint32_t i = 0; i < kCells; i++)
        if (chunk.cells[i].generation > chunk.first_generation)
            chunk.first_generation = chunk.cells[i].generation;
    chunk.cells.reset();
    environment_.AccountFor(-static_cast<int64_t>(kCells * sizeof(Cell)));
}

void Cells::Put(Cell &cell) {
    rvt_put_sge(cell.element());
    LetGo(cell);
}

void Cells::LetGo(Cell &cell) {
    OpenDevice *device = cell.device;
    rvt_put_sge(&cell.own); // does nothing if a walk shares the element
    cell.shared.reset();
    cell.device = nullptr;
    cell.generation++;
    device->PutForElement(); // last, because it may close the device
}

std::shared_ptr<SharedSge> Cells::Share(Cell &cell) {
    if (!cell.shared) {
        cell.shared = std::make_unique<std::shared_ptr<SharedSge>>(
            std::make_shared<SharedSge>(cell.device->shared_from_this(), cell.own));
        cell.own.mr = nullptr; // the reference now belongs to the shared element
    }
    return *cell.shared;
}

void Cells::End() {
    for (Chunk &chunk : chunks_)
        for (uint32_t i = 0; chunk.cells && i < kCells; i++)
            if (chunk.cells[i].device)
                Put(chunk.cells[i]);
    if (registry_)
        napi_delete_reference(environment_.env(), registry_);
    if (register_)
        napi_delete_reference(environment_.env(), register_);
    registry_ = register_ = nullptr;
}
