// SPDX-License-Identifier: BSD-3-Clause
// Accepted elements, in cells of native memory. JavaScript names an element by its cell and the cell's
// generation, and has no native object for it: a wrapper with a finalizer would cost more than twenty times
// the check, and finalizers do not run before the running job is over.
//
// A cell belongs to a JavaScript object, its holder. When the holder is collected, the element in the cell is
// put (with the last walk over it, if there is one), and the cell is free. Holders are used again and again,
// for one element after the other, so each is registered with the engine only once. The FinalizationRegistry
// is made by native code in the environment's own context. A registry that lib had made would die with the
// realm that lib was loaded into (Jest loads it into one for each test file), and nobody would put what that
// realm's elements hold.
#ifndef RDMAVT_CELLS_H
#define RDMAVT_CELLS_H

#include <napi.h>

#include <memory>
#include <set>
#include <vector>

#include "binding/environment/environment.h"
#include "binding/environment/open_device.h"
#include "core/rvt.h"

// An element that walks go over: it stays where it is until the last of them lets go, whatever JavaScript
// does with the cell that it came from.
struct SharedSge {
    std::shared_ptr<OpenDevice> device; // keeps the structures that a put touches
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
    // The element if walks share it. A pointer to a shared_ptr, to keep cells small: few of them are shared.
    std::unique_ptr<std::shared_ptr<SharedSge>> shared;
    OpenDevice *device;  // nullptr: the cell is empty. Held by HoldForElement()
    uint32_t generation; // of the element that is in the cell, or will be next
    bool bound;          // it has a holder

    // The element. Dead (without a region) if a walk has put it.
    rvt_sge *element() {
        return shared ? &(*shared)->sge : &own;
    }
};

// The cells of an environment. For its own thread.
class Cells : public EnvironmentPart {
public:
    // Gives the module its function bindCell; see lib/internal/native.ts. False: JavaScript has no working
    // FinalizationRegistry.
    static bool Start(Environment &environment, Napi::Env env, Napi::Object exports);
    static Cells &Of(const Environment &environment) {
        return static_cast<Cells &>(environment.part(kCellsPart));
    }

    // Returns the cell of an element; nullptr if the element was put or never existed. JavaScript may pass
    // any numbers.
    Cell *Find(uint32_t number, uint32_t generation) {
        Cell *cell = At(number);
        return cell && cell->device && cell->generation == generation ? cell : nullptr;
    }
    // Returns the cell if it is empty and has a holder, else nullptr.
    Cell *FindEmpty(uint32_t number) {
        Cell *cell = At(number);
        return cell && cell->bound && !cell->device ? cell : nullptr;
    }
    // Marks the cell as filled: the caller has stored an accepted element of the device in `own`.
    static void Fill(Cell &cell, OpenDevice &device) {
        device.HoldForElement();
        cell.device = &device;
    }
    // Put the element, and empty its cell. May end the device.
    static void Put(Cell &cell);
    // The element, for a walk.
    static std::shared_ptr<SharedSge> Share(Cell &cell);

    // Calls `tell` with the number of each cell that has an element, and the cell.
    template <class Tell> void ForEachFilled(const Tell &tell) {
        for (size_t which = 0; which < chunks_.size(); which++)
            for (uint32_t i = 0; chunks_[which].cells && i < kCells; i++)
                if (chunks_[which].cells[i].device)
                    tell(static_cast<uint32_t>(which * kCells + i + 1), chunks_[which].cells[i]);
    }

    // The environment is about to end: puts all.
    void End() override;

private:
    // Empty the cell. The element is put, unless walks have it: then the last of them puts it. May end the
    // device.
    static void LetGo(Cell &cell);
    // Numbers are (chunk * kCells + place) + 1: 0 names none.
    static constexpr uint32_t kCells = 256;
    struct Chunk {
        std::unique_ptr<Cell[]> cells; // nullptr: none of them is bound
        uint32_t bound = 0;
        uint32_t first_free = 0;       // all cells before this one are bound
        uint32_t first_generation = 1; // of new cells: no name of old ones fits them
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
    // A cell for a new holder; 0: no memory.
    uint32_t BindCell();
    void Unbind(uint32_t number);

    Environment &environment_;
    std::vector<Chunk> chunks_;
    std::set<uint32_t> with_room_; // chunks that have a cell without a holder
    napi_ref registry_ = nullptr, register_ = nullptr;
};

#endif
