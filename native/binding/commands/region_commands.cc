// SPDX-License-Identifier: BSD-3-Clause
// Functions that register memory, and functions on one region, which the command block names, or on a list of
// regions.
#include <cstddef>
#include <cstring>

#include "binding/commands/commands.h"
#include "binding/environment/engine_call.h"
#include "binding/objects/regions.h"
#include "binding/values/arguments.h"
#include "binding/values/js_memory.h"

namespace {

// regUserMr(memory): registers all bytes of a Uint8Array.
int RegUserMr(Commands &commands, napi_env env, napi_value array) {
    CommandBlock &block = commands.block;
    const NumberedChecker *in = commands.checkers.Find(block.Read(RVT_COMMAND_CHECKER));
    if (!in)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
    uint32_t access = block.Read(RVT_COMMAND_ACCESS), flags = block.Read(RVT_COMMAND_FLAGS);
    uint64_t start = block.ReadLong(RVT_COMMAND_START), iova = block.ReadLong(RVT_COMMAND_IOVA);
    rvt_memory *memory = nullptr;
    Keeping keeping = flags & RVT_COMMAND_FLAG_WEAK ? Keeping::kWeak : Keeping::kStrong;
    int error = NewJsMemory(in->device->environment_ptr(), env, array, keeping, &memory);
    if (error)
        return error;
    rvt_mr_handle handle = {};
    rvt_mr_birth birth;
    const uint64_t *given_iova = flags & RVT_COMMAND_FLAG_IOVA_GIVEN ? &iova : nullptr;
    if (flags & RVT_COMMAND_FLAG_START_GIVEN)
        error = rvt_reg_user_mr_at(in->pd, memory, start, given_iova ? iova : start, access, &handle, &birth);
    else
        error = rvt_reg_user_mr_anywhere(in->pd, memory, given_iova, access, &handle, &birth);
    uint64_t length = memory->length;
    rvt_memory_put(memory); // the region holds its own reference
    if (error)
        return error;
    in->device->Settle();
    WriteNewRegion(block, handle, birth, length);
    return 0;
}

// reregMr(memory): calls rvt_rereg_mr on the region that the command block names. FLAGS has what to change, and
// NEW_CHECKER names the new domain. `memory` is a Uint8Array, and counts only if the translation changes.
int ReregMr(Commands &commands, napi_env env, napi_value array) {
    CommandBlock &block = commands.block;
    uint32_t flags = block.Read(RVT_COMMAND_FLAGS), domain = block.Read(RVT_COMMAND_NEW_CHECKER);
    uint64_t start = block.ReadLong(RVT_COMMAND_START), iova = block.ReadLong(RVT_COMMAND_IOVA);
    rvt_rereg change = {};
    change.access = block.Read(RVT_COMMAND_ACCESS);
    NamedRegion region = ReadRegion(block, commands.checkers);
    if (!region.handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    if (flags & RVT_COMMAND_FLAG_REREG_ACCESS)
        change.flags |= RVT_REREG_ACCESS;
    if (flags & RVT_COMMAND_FLAG_REREG_PD) {
        const NumberedChecker *in = commands.checkers.Find(domain);
        if (!in)
            return rvt_fail(RVT_EBADF, RVT_CAUSE_PD_GONE);
        change.flags |= RVT_REREG_PD;
        change.pd = in->pd;
    }
    if (flags & RVT_COMMAND_FLAG_REREG_TRANSLATION) {
        int error =
            NewJsMemory(region.device->environment_ptr(), env, array, Keeping::kStrong, &change.memory);
        if (error)
            return error;
        change.flags |= RVT_REREG_TRANSLATION;
        change.start = flags & RVT_COMMAND_FLAG_START_GIVEN ? &start : nullptr;
        change.virt_addr = flags & RVT_COMMAND_FLAG_IOVA_GIVEN ? &iova : nullptr;
    }
    rvt_mr_birth birth;
    bool lost;
    EngineCall call(*region.device);
    int error = rvt_rereg_mr(region.handle, &change, &birth, &lost);
    uint64_t length = change.memory ? change.memory->length : 0;
    if (change.memory)
        rvt_memory_put(change.memory); // the region holds its own reference
    if (!error)
        WriteNewRegion(block, region.handle, birth, length);
    return error;
}

// queryMr(): fills the fields (enum rvt_region_field).
int QueryMr(Commands &commands) {
    rvt_mr_attributes attributes;
    NamedRegion region = ReadRegion(commands.block, commands.checkers);
    int error = rvt_query_mr(region.handle, &attributes);
    if (error)
        return error;
    CommandBlock &block = commands.block;
    block.WriteField(RVT_REGION_FIELD_ID, attributes.id);
    block.WriteField(RVT_REGION_FIELD_LKEY, attributes.keys.lkey);
    block.WriteField(RVT_REGION_FIELD_KIND, static_cast<uint64_t>(attributes.kind));
    block.WriteField(RVT_REGION_FIELD_ACCESS, attributes.access);
    block.WriteField(RVT_REGION_FIELD_REFS, attributes.refs);
    block.WriteField(RVT_REGION_FIELD_START, attributes.start);
    block.WriteField(RVT_REGION_FIELD_IOVA, attributes.iova);
    block.WriteField(RVT_REGION_FIELD_LENGTH, attributes.length);
    block.WriteField(RVT_REGION_FIELD_SEGMENTS, attributes.segments);
    block.WriteField(RVT_REGION_FIELD_MAX_SEGMENTS, attributes.max_segments);
    block.WriteField(RVT_REGION_FIELD_VALID, attributes.valid);
    block.WriteField(RVT_REGION_FIELD_HALF_DEAD, attributes.half_dead);
    block.WriteField(RVT_REGION_FIELD_COUNTED, attributes.counted);
    block.WriteField(RVT_REGION_FIELD_ACCEPTED, attributes.accepted);
    block.WriteField(RVT_REGION_FIELD_REFUSED, attributes.refused);
    block.WriteField(RVT_REGION_FIELD_BYTES, attributes.bytes);
    return 0;
}

// releaseMr(): calls rvt_release_mr.
int ReleaseMr(Commands &commands) {
    uint32_t mode = commands.block.Read(RVT_COMMAND_MODE);
    NamedRegion region = ReadRegion(commands.block, commands.checkers);
    if (mode > RVT_RELEASE_FORCE)
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    if (!region.handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    if (mode == RVT_RELEASE_AWAIT && !commands.environment.ListenForPuts(region.device->context()))
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    EngineCall call(*region.device);
    return rvt_release_mr(region.handle, static_cast<rvt_release_mode>(mode));
}

// placeOfMr(): fills the fields (enum rvt_region_place_field).
int PlaceOfMr(Commands &commands) {
    rvt_mr_place place;
    int error = rvt_find_mr_place(ReadRegion(commands.block, commands.checkers).handle, &place);
    if (error)
        return error;
    CommandBlock &block = commands.block;
    block.WriteField(RVT_PLACE_OF_MR_PD, place.pd);
    block.WriteField(RVT_PLACE_OF_MR_MEMORY_KIND, static_cast<uint64_t>(place.memory.kind));
    block.WriteField(RVT_PLACE_OF_MR_BUFFER, place.memory.buffer);
    block.WriteField(RVT_PLACE_OF_MR_OFFSET, place.memory.offset);
    block.WriteField(RVT_PLACE_OF_MR_LENGTH, place.length);
    block.WriteField(RVT_PLACE_OF_MR_ACCESS, place.access);
    block.WriteField(RVT_PLACE_OF_MR_REMOTE_ADDRESS, place.remote_address);
    block.WriteField(RVT_PLACE_OF_MR_KEY, place.key);
    block.WriteField(RVT_PLACE_OF_MR_KIND, static_cast<uint64_t>(place.kind));
    block.WriteField(RVT_PLACE_OF_MR_WORKS, place.works);
    return 0;
}

// stampOfKey(): answers the stamp of KEY for the checker, see rvt_key_stamp.
int StampOfKey(Commands &commands) {
    const NumberedChecker *asker = commands.checkers.Find(commands.block.Read(RVT_COMMAND_CHECKER));
    if (!asker)
        return 0;
    return static_cast<int>(rvt_key_stamp(&asker->checker, commands.block.Read(RVT_COMMAND_KEY)));
}

// placeOfView(bytes): fills the fields (enum rvt_view_field).
int PlaceOfView(Commands &commands, napi_env env, napi_value array) {
    ViewPlace place;
    if (!FindView(commands.environment, env, array, &place))
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    commands.block.WriteField(RVT_VIEW_BUFFER, place.buffer);
    commands.block.WriteField(RVT_VIEW_OFFSET, place.offset);
    commands.block.WriteField(RVT_VIEW_LENGTH, place.length);
    return 0;
}

// countMr(): starts counting the region's checks.
int CountMr(Commands &commands) {
    return rvt_count_mr(ReadRegion(commands.block, commands.checkers).handle);
}

// mapPhys(pages): calls rvt_map_phys_fmr at IOVA.
int MapPhys(Commands &commands, napi_env env, napi_value list) {
    ArrayView pages;
    uint64_t iova = commands.block.ReadLong(RVT_COMMAND_IOVA);
    NamedRegion region = ReadRegion(commands.block, commands.checkers);
    if (!region.handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    if (!ViewOf(env, list, napi_biguint64_array, &pages))
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    int error =
        rvt_map_phys_fmr(region.handle, static_cast<const uint64_t *>(pages.data), pages.length, iova);
    region.device->Settle();
    return error;
}

// mapSg(list): calls rvt_map_mr_sg, starting at byte ADDRESS of the first element, with pages of LENGTH
// bytes.
int MapSg(Commands &commands, napi_env env, napi_value elements) {
    CommandBlock &block = commands.block;
    ArrayView numbers;
    uint64_t offset = block.ReadLong(RVT_COMMAND_ADDRESS);
    uint32_t page_size = block.Read(RVT_COMMAND_LENGTH);
    NamedRegion region = ReadRegion(block, commands.checkers);
    // Clear the outcome of an earlier call.
    block.WriteField(RVT_SG_OUTCOME_IOVA, 0);
    block.WriteField(RVT_SG_OUTCOME_LENGTH, 0);
    if (!region.handle.mr)
        return rvt_fail(RVT_EBADF, RVT_CAUSE_REGION_GONE);
    if (!ViewOf(env, elements, napi_biguint64_array, &numbers))
        return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
    size_t count = numbers.length / RVT_SG_ELEMENT_COUNT;
    if (count > RVT_MAX_SG_ELEMENTS)
        return rvt_fail_value(RVT_EINVAL, RVT_CAUSE_LIST_TOO_LONG, count, RVT_MAX_SG_ELEMENTS);
    // Copy the list, because it may be in shared memory that another thread writes, and the core needs a list
    // that does not change.
    static_assert(offsetof(rvt_sg_element, address) == RVT_SG_ELEMENT_ADDRESS * sizeof(uint64_t) &&
                      offsetof(rvt_sg_element, length) == RVT_SG_ELEMENT_LENGTH * sizeof(uint64_t) &&
                      sizeof(rvt_sg_element) == RVT_SG_ELEMENT_COUNT * sizeof(uint64_t),
                  "elements are copied as they are");
    auto *list = static_cast<rvt_sg_element *>(commands.environment.Scratch(count * sizeof(rvt_sg_element)));
    if (!list)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (count)
        std::memcpy(list, numbers.data, count * sizeof(*list));
    rvt_sg_outcome outcome = {};
    int answer =
        rvt_map_mr_sg(region.handle, list, static_cast<uint32_t>(count), offset, page_size, &outcome);
    region.device->Settle();
    block.WriteField(RVT_SG_OUTCOME_IOVA, outcome.iova);
    block.WriteField(RVT_SG_OUTCOME_LENGTH, outcome.length);
    return answer;
}

// unmapFmr(names): calls rvt_unmap_fmr.
napi_value UnmapFmr(napi_env env, napi_callback_info info) {
    Napi::CallbackInfo call(env, info);
    auto *commands = static_cast<Commands *>(call.Data());
    Arguments arguments(call);
    RegionList fmrs;
    if (!fmrs.Read(arguments, commands->checkers, 0))
        return arguments.Undefined();
    int error = fmrs.handles ? rvt_unmap_fmr(fmrs.handles.get(), fmrs.count)
                             : rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (fmrs.device)
        fmrs.device->Settle();
    return Napi::Number::New(env, error);
}

} // namespace

std::vector<CommandFunction> RegionCommands() {
    return {{"regUserMr", CommandWith<RegUserMr>},
            {"reregMr", CommandWith<ReregMr>},
            {"queryMr", Command<QueryMr>},
            {"releaseMr", Command<ReleaseMr>},
            {"placeOfMr", Command<PlaceOfMr>},
            {"stampOfKey", Command<StampOfKey>},
            {"placeOfView", CommandWith<PlaceOfView>},
            {"countMr", Command<CountMr>},
            {"mapPhys", CommandWith<MapPhys>},
            {"mapSg", CommandWith<MapSg>},
            {"unmapFmr", UnmapFmr}};
}
