// SPDX-License-Identifier: BSD-3-Clause
// How JavaScript identifies regions: by the number of their domain, their index in the device's pool, and
// their generation. Regions have no wrapper objects; the domain's wrapper keeps what they need.
#ifndef RDMAVT_BINDING_REGIONS_H
#define RDMAVT_BINDING_REGIONS_H

#include <memory>

#include "binding/objects/checkers.h"
#include "binding/values/arguments.h"
#include "binding/values/command_block.h"
#include "core/rvt.h"

// The region that a name resolved to.
struct NamedRegion {
    OpenDevice *device = nullptr; // nullptr: the domain's number is unused
    rvt_mr_handle handle = {};    // {}: no such region any more; verbs return -EBADF
};

NamedRegion FindRegion(const Checkers &checkers, uint32_t checker, uint32_t index, uint64_t generation);

// Returns the region that the command block names.
NamedRegion ReadRegion(const CommandBlock &block, const Checkers &checkers);

// The memory window or lease that a name resolved to.
struct NamedWindow {
    OpenDevice *device = nullptr; // nullptr: the domain's number is unused
    rvt_mw_handle handle = {};    // {}: no such window any more; verbs return -EBADF
};

NamedWindow FindWindow(const Checkers &checkers, uint32_t checker, uint32_t index, uint64_t generation);

// Returns the window that the command block names.
NamedWindow ReadWindow(const CommandBlock &block, const Checkers &checkers);

// Writes a region that this thread has just created to the command block: its name and its constant
// attributes.
void WriteNewRegion(CommandBlock &block, rvt_mr_handle handle, const rvt_mr_birth &birth, uint64_t length);

// A list of regions that a call received as a Uint32Array of names (enum rvt_region_name_word).
struct RegionList {
    std::unique_ptr<rvt_mr_handle[]> handles; // nullptr: out of memory
    uint32_t count = 0;
    OpenDevice *device = nullptr; // of the first region; nullptr if there is none

    // Returns false if the argument is not a list of names; then an exception is pending.
    bool Read(Arguments &arguments, const Checkers &checkers, size_t at);
};

#endif
