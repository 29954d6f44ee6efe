// SPDX-License-Identifier: BSD-3-Clause
// The hot path: batches over a shared block. Raw Node-API callbacks without arguments where nothing has to be
// passed, because crossing into native code costs more than what is done there.
#ifndef RDMAVT_BATCH_H
#define RDMAVT_BATCH_H

#include <napi.h>

#include <memory>

#include <unordered_set>

#include "binding/batch/block.h"
#include "binding/batch/held_sges.h"
#include "binding/environment/open_device.h"
#include "core/rvt.h"

// Kept by its functions, which lib keeps together with the block.
struct Batch {
    Batch(std::shared_ptr<OpenDevice> of, const rvt_checker &by, const Block &over);
    ~Batch();
    Batch(const Batch &) = delete;
    Batch &operator=(const Batch &) = delete;

    // The question whether `count` elements at `sges` may be accessed as the block's header says.
    rvt_batch Ask(const unsigned char *sges, uint32_t count) const {
        return {&checker, sges, count, block.ReadAccess(), nullptr, false};
    }
    // The same of the block's own elements, as many as the header says, or each as its own access says.
    rvt_batch Ask() const {
        return {&checker,           block.elements(), block.ReadCount(),
                block.ReadAccess(), block.accesses(), (block.ReadFlags() & RVT_HEADER_FLAG_ALL) != 0};
    }

    std::shared_ptr<OpenDevice> device;
    rvt_checker checker;
    rvt_reader *reader; // the environment's
    Block block;
    HeldSges held;
    napi_ref block_reference = nullptr; // on the block's memory
    const uint32_t number;              // of the environment's batches; > 0
};

// The batches of an environment. For its own thread.
class Batches : public EnvironmentPart {
public:
    static void Start(Environment &environment) {
        environment.Keep(kBatchesPart, std::make_unique<Batches>());
    }
    static Batches &Of(const Environment &environment) {
        return static_cast<Batches &>(environment.part(kBatchesPart));
    }
    uint32_t Add(Batch *batch) {
        batches_.insert(batch);
        return ++made_;
    }
    void Remove(Batch *batch) {
        batches_.erase(batch);
    }
    const std::unordered_set<Batch *> &all() const {
        return batches_;
    }
    void End() override {}

private:
    std::unordered_set<Batch *> batches_;
    uint32_t made_ = 0;
};

// createBatch(domain or queue pair, block, capacity, places, own accesses): the functions of a new batch, see
// lib/internal/native.ts.
Napi::Value CreateBatch(const Napi::CallbackInfo &info);

#endif
