// SPDX-License-Identifier: BSD-3-Clause
// How JavaScript identifies regions: by the number of their domain, their index in the device's pool, and
// their generation. They have no wrapper objects; the wrapper of the domain keeps what they need.
#ifndef RDMAVT_BINDING_REGIONS_H
#define RDMAVT_BINDING_REGIONS_H

#include <memory>

#include "binding/objects/checkers.h"
#include "binding/values/arguments.h"
#include "binding/values/command_block.h"
#include "core/rvt.h"

// The region that a name was resolved to.
struct NamedRegion {
    OpenDevice *device = nullptr; // nullptr: the domain's number names nothing
    rvt_mr_handle handle = {};    // {}: the region is gone, or never was. Verbs answer -EBADF then
};

NamedRegion FindRegion(const Checkers &checkers, uint32_t checker, uint32_t index, uint64_t generation);

// The region that is named in the command block.
NamedRegion ReadRegion(const CommandBlock &block, const Checkers &checkers);

// Writes a region that this thread has just made to the command block: its name, and the attributes that
// never change.
void WriteNewRegion(CommandBlock &block, rvt_mr_handle handle, const rvt_mr_birth &birth, uint64_t length);

// The regions of a list that a call was given, as a Uint32Array of names (enum rvt_region_name_word).
struct RegionList {
    std::unique_ptr<rvt_mr_handle[]> handles; // nullptr: no memory
    uint32_t count = 0;
    OpenDevice *device = nullptr; // of the first region; nullptr: there is none

    // False: it is no list of names, and an exception is pending.
    bool Read(Arguments &arguments, const Checkers &checkers, size_t at);
};

#endif
