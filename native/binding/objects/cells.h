// SPDX-License-Identifier: BSD-3-Clause
// Stores accepted elements in cells of native memory. JavaScript names an element by its cell and the cell's
// generation, without a native object: a wrapper with a finalizer would cost more than twenty times as much
// as the check, and finalizers do not run before the current job ends.
//
// A cell belongs to a JavaScript object, its holder. When the holder is collected, the element in the cell is
// put (by the last walk over it, if there is one) and the cell becomes free. Holders are reused for one
// element after another, so each is registered with the engine only once. Native code creates the
// FinalizationRegistry in the environment's own context. A registry that lib created would die with the realm
// that lib was loaded into (Jest loads it into one per test file), and then the references of that realm's
// elements would never be put.
#ifndef RDMAVT_CELLS_H
#define RDMAVT_CELLS_H

#include <napi.h>

#include <memory>
#include <set>
#include <vector>

#include "binding/environment/environment.h"
#include "binding/environment/open_device.h"
#include "core/rvt.h"

// An element that walks share. It stays in place until the last walk releases it, whatever JavaScript does
// with the cell it came from.
struct SharedSge {
    std::shared_ptr<OpenDevice> device; // keeps the structures that a put accesses
    rvt_sge sge;

    SharedSge(std::shared_ptr<OpenDevice> of, const rvt_sge &moved) : device(std::move(of)), sge(moved) {}
    ~SharedSge() {
        rvt_put_sge(&sge);
    }
    SharedSge(const SharedSge &) = delete;
    SharedSge &operator=(const SharedSge &) = delete;
};

struct Cell {
    rvt_sge own; // the element, unless walks share it
    // The element if walks share it. A pointer to a shared_ptr keeps cells small, because few are shared.
    std::unique_ptr<std::shared_ptr<SharedSge>> shared;
    OpenDevice *device;  // nullptr if empty; HoldForElement() keeps it open
    uint32_t generation; // of the current element; of the next one if the cell is empty
    bool bound;          // the cell has a holder

    // Returns the element. It has no region (`mr` is nullptr) if a walk has put it.
    rvt_sge *element() {
        return shared ? &(*shared)->sge : &own;
    }
};

// The cells of an environment. Used only on its own thread.
class Cells : public EnvironmentPart {
public:
    // Exports the function bindCell (see lib/internal/native.ts). Returns false if JavaScript has no working
    // FinalizationRegistry.
    static bool Start(Environment &environment, Napi::Env env, Napi::Object exports);
    static Cells &Of(const Environment &environment) {
        return static_cast<Cells &>(environment.part(kCellsPart));
    }

    // Returns the cell of an element, or nullptr if the element was put or never existed. JavaScript may pass
    // any numbers.
    Cell *Find(uint32_t number, uint32_t generation) {
        Cell *cell = At(number);
        return cell && cell->device && cell->generation == generation ? cell : nullptr;
    }
    // Returns the cell if it is empty and has a holder, otherwise nullptr.
    Cell *FindEmpty(uint32_t number) {
        Cell *cell = At(number);
        return cell && cell->bound && !cell->device ? cell : nullptr;
    }
    // Marks the cell as filled. The caller must have stored an accepted element of the device in `own`.
    static void Fill(Cell &cell, OpenDevice &device) {
        device.HoldForElement();
        cell.device = &device;
    }
    // Puts the element and empties its cell. May close the device.
    static void Put(Cell &cell);
    // Moves the element to shared storage for a walk, and returns it.
    static std::shared_ptr<SharedSge> Share(Cell &cell);

    // Calls `tell` with the number of each filled cell, and the cell.
    template <class Tell> void ForEachFilled(const Tell &tell) {
        for (size_t which = 0; which < chunks_.size(); which++)
            for (uint32_t i = 0; chunks_[which].cells && i < kCells; i++)
                if (chunks_[which].cells[i].device)
                    tell(static_cast<uint32_t>(which * kCells + i + 1), chunks_[which].cells[i]);
    }

    // Puts all elements when the environment is about to end.
    void End() override;

private:
    // Empties the cell. Puts the element unless walks share it; then the last walk puts it. May close the
    // device.
    static void LetGo(Cell &cell);
    // Cell numbers are (chunk * kCells + place) + 1, so 0 names no cell.
    static constexpr uint32_t kCells = 256;
    struct Chunk {
        std::unique_ptr<Cell[]> cells; // nullptr: no cell of the chunk is bound
        uint32_t bound = 0;
        uint32_t first_free = 0;       // all cells before this one are bound
        uint32_t first_generation = 1; // generation of new cells, so that old names do not match them
    };

    explicit Cells(Environment &environment) : environment_(environment) {}
    static napi_value Bind(napi_env env, napi_callback_info info);
    static napi_value HolderCollected(napi_env env, napi_callback_info info);

    Cell *At(uint32_t number) {
        uint32_t at = number - 1;
        return at / kCells < chunks_.size() && chunks_[at / kCells].cells
                   ? &chunks_[at / kCells].cells[at % kCells]
                   : nullptr;
    }
    // Returns a cell for a new holder, or 0 if memory is short.
    uint32_t BindCell();
    void Unbind(uint32_t number);

    Environment &environment_;
    std::vector<Chunk> chunks_;
    std::set<uint32_t> with_room_; // chunks that have a cell without a holder
    napi_ref registry_ = nullptr, register_ = nullptr;
};

#endif
