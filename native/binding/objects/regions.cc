// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/regions.h"

#include <cstring>
#include <new>

NamedRegion FindRegion(const Checkers &checkers, uint32_t checker, uint32_t index, uint64_t generation) {
    const NumberedChecker *in = checkers.Find(checker);
    if (!in)
        return {};
    return {in->device, rvt_mr_find_by(in->device->context(), index, generation)};
}

NamedRegion ReadRegion(const CommandBlock &block, const Checkers &checkers) {
    return FindRegion(checkers, block.Read(RVT_COMMAND_CHECKER), block.Read(RVT_COMMAND_REGION),
                      block.ReadHalves(RVT_COMMAND_REGION_GENERATION));
}

NamedWindow FindWindow(const Checkers &checkers, uint32_t checker, uint32_t index, uint64_t generation) {
    const NumberedChecker *in = checkers.Find(checker);
    if (!in)
        return {};
    return {in->device, rvt_mw_find_by(in->device->context(), index, generation)};
}

NamedWindow ReadWindow(const CommandBlock &block, const Checkers &checkers) {
    return FindWindow(checkers, block.Read(RVT_COMMAND_CHECKER), block.Read(RVT_COMMAND_REGION),
                      block.ReadLong(RVT_COMMAND_REGION_GENERATION));
}

void WriteNewRegion(CommandBlock &block, rvt_mr_handle handle, const rvt_mr_birth &birth, uint64_t length) {
    block.Write(RVT_COMMAND_REGION, birth.index);
    block.WriteLong(RVT_COMMAND_REGION_GENERATION, handle.generation);
    block.WriteField(RVT_REGION_FIELD_ID, birth.id);
    block.WriteField(RVT_REGION_FIELD_LKEY, birth.key);
    block.WriteField(RVT_REGION_FIELD_LENGTH, length);
    block.WriteLong(RVT_COMMAND_START, birth.start);
    block.WriteLong(RVT_COMMAND_IOVA, birth.iova);
}

bool RegionList::Read(Arguments &arguments, const Checkers &checkers, size_t at) {
    ArrayView names = arguments.Array(at, napi_uint32_array);
    if (!arguments.ok())
        return false;
    if (names.length % RVT_REGION_NAME_WORDS || names.length / RVT_REGION_NAME_WORDS > UINT32_MAX) {
        arguments.Wrong(at, "a list of names of regions");
        return false;
    }
    count = static_cast<uint32_t>(names.length / RVT_REGION_NAME_WORDS);
    handles.reset(new (std::nothrow) rvt_mr_handle[count ? count : 1]);
    const auto *words = static_cast<const uint32_t *>(names.data);
    for (uint32_t i = 0; handles && i < count; i++, words += RVT_REGION_NAME_WORDS) {
        uint64_t generation;
        std::memcpy(&generation, words + RVT_REGION_NAME_GENERATION, sizeof(generation));
        NamedRegion region =
            FindRegion(checkers, words[RVT_REGION_NAME_CHECKER], words[RVT_REGION_NAME_INDEX], generation);
        if (!i)
            device = region.device;
        handles[i] = region.handle;
    }
    return true;
}
