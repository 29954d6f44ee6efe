// SPDX-License-Identifier: BSD-3-Clause
#ifndef RDMAVT_BINDING_MEMORY_REGION_H
#define RDMAVT_BINDING_MEMORY_REGION_H

#include "binding/values/arguments.h"
#include "binding/values/wrapper.h"
#include "core/rvt.h"

struct MemoryRegionPayload {
    std::shared_ptr<OpenDevice> device;
    rvt_mr_handle handle;
};

// Every kind of region, FMRs too. The region outlives its wrapper: what a peer was given a key for stays
// registered.
class MemoryRegion : public Wrapper<MemoryRegion, MemoryRegionPayload, kMemoryRegion> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);
    // unmapFmr(fmrs)
    static Napi::Value UnmapFmr(const Napi::CallbackInfo &info);

private:
    Napi::Value Query(const Napi::CallbackInfo &info);
    Napi::Value Count(const Napi::CallbackInfo &info);
    Napi::Value Release(const Napi::CallbackInfo &info);
    Napi::Value MapSg(const Napi::CallbackInfo &info);
    Napi::Value MapPhys(const Napi::CallbackInfo &info);
};

// The regions of an array that a call was given.
struct RegionList {
    std::unique_ptr<rvt_mr_handle[]> handles; // nullptr: no memory
    uint32_t count = 0;

    // False: it is not an array of regions, and an exception is pending.
    bool Read(const Napi::CallbackInfo &info, Arguments &arguments, size_t at);
};

#endif
