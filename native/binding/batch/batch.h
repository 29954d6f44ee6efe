// SPDX-License-Identifier: BSD-3-Clause
// The hot path: batches over a shared block. Uses raw Node-API callbacks, without arguments where possible,
// because crossing into native code costs more than the work done there.
#ifndef RDMAVT_BATCH_H
#define RDMAVT_BATCH_H

#include <napi.h>

#include <memory>

#include <unordered_set>

#include "binding/batch/block.h"
#include "binding/batch/held_sges.h"
#include "binding/environment/open_device.h"
#include "core/rvt.h"

// A batch. Its functions own it, and lib keeps them together with the block.
struct Batch {
    Batch(std::shared_ptr<OpenDevice> of, const rvt_checker &by, const Block &over);
    ~Batch();
    Batch(const Batch &) = delete;
    Batch &operator=(const Batch &) = delete;

    // Returns the request to check `count` packed elements at `sges` with the access in the block's header.
    rvt_batch Ask(const unsigned char *sges, uint32_t count) const {
        return {&checker, sges, count, block.ReadAccess(), nullptr, false};
    }
    // Returns the request to check the block's own elements: as many as the header says, with the header's
    // access or each with its own.
    rvt_batch Ask() const {
        return {&checker,           block.elements(), block.ReadCount(),
                block.ReadAccess(), block.accesses(), (block.ReadFlags() & RVT_HEADER_FLAG_ALL) != 0};
    }

    std::shared_ptr<OpenDevice> device;
    rvt_checker checker;
    rvt_reader *reader; // the environment's reader
    Block block;
    HeldSges held;
    napi_ref block_reference = nullptr; // keeps the block's memory alive
    const uint32_t number;              // greater than 0, unique in the environment
};

// The batches of an environment. Used only on its own thread.
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

// createBatch(domain or queue pair, block, capacity, places, own accesses): returns the functions of a new
// batch (see lib/internal/native.ts).
Napi::Value CreateBatch(const Napi::CallbackInfo &info);

#endif
