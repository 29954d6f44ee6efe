// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/region.h"

#include <cstddef>
#include <cstring>
#include <new>

#include "binding/values/arguments.h"

void MemoryRegion::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeMemoryRegion",
                                      {
                                          InstanceMethod("query", &MemoryRegion::Query),
                                          InstanceMethod("count", &MemoryRegion::Count),
                                          InstanceMethod("release", &MemoryRegion::Release),
                                          InstanceMethod("mapSg", &MemoryRegion::MapSg),
                                          InstanceMethod("mapPhys", &MemoryRegion::MapPhys),
                                      }));
}

Napi::Value MemoryRegion::Query(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView fields = arguments.Array(0, napi_biguint64_array, RVT_REGION_FIELD_COUNT);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_mr_attributes attributes;
    int error = rvt_query_mr(payload_.handle, &attributes);
    if (!error) {
        uint64_t values[RVT_REGION_FIELD_COUNT];
        values[RVT_REGION_FIELD_ID] = attributes.id;
        values[RVT_REGION_FIELD_LKEY] = attributes.keys.lkey;
        values[RVT_REGION_FIELD_KIND] = static_cast<uint64_t>(attributes.kind);
        values[RVT_REGION_FIELD_ACCESS] = attributes.access;
        values[RVT_REGION_FIELD_REFS] = attributes.refs;
        values[RVT_REGION_FIELD_START] = attributes.start;
        values[RVT_REGION_FIELD_IOVA] = attributes.iova;
        values[RVT_REGION_FIELD_LENGTH] = attributes.length;
        values[RVT_REGION_FIELD_SEGMENTS] = attributes.segments;
        values[RVT_REGION_FIELD_MAX_SEGMENTS] = attributes.max_segments;
        values[RVT_REGION_FIELD_VALID] = attributes.valid;
        values[RVT_REGION_FIELD_HALF_DEAD] = attributes.half_dead;
        values[RVT_REGION_FIELD_COUNTED] = attributes.counted;
        values[RVT_REGION_FIELD_ACCEPTED] = attributes.accepted;
        values[RVT_REGION_FIELD_REFUSED] = attributes.refused;
        values[RVT_REGION_FIELD_BYTES] = attributes.bytes;
        std::memcpy(fields.data, values, sizeof(values));
    }
    return Napi::Number::New(info.Env(), error);
}

Napi::Value MemoryRegion::Count(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), rvt_count_mr(payload_.handle));
}

Napi::Value MemoryRegion::Release(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    auto mode = static_cast<rvt_release_mode>(arguments.Integer(0, RVT_RELEASE, RVT_RELEASE_FORCE));
    if (!arguments.ok())
        return arguments.Undefined();
    if (mode == RVT_RELEASE_AWAIT &&
        !payload_.device->environment().ListenForPuts(payload_.device->context()))
        return Napi::Number::New(info.Env(), -RVT_ENOMEM);
    // The kind is constant while the handle is alive, and a dead handle answers -EBADF either way.
    bool fmr = payload_.handle.mr->kind == RVT_MR_FMR;
    int error = fmr ? rvt_dealloc_fmr(payload_.handle, mode) : rvt_dereg_mr(payload_.handle, mode);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

Napi::Value MemoryRegion::MapSg(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView numbers = arguments.Array(0, napi_biguint64_array);
    uint64_t offset = arguments.U64(1);
    uint32_t page_size = arguments.U32(2);
    ArrayView out = arguments.Array(3, napi_biguint64_array, RVT_SG_OUTCOME_COUNT);
    if (!arguments.ok())
        return arguments.Undefined();
    size_t count = numbers.length / RVT_SG_ELEMENT_COUNT;
    if (count > RVT_MAX_SG_ELEMENTS)
        return Napi::Number::New(info.Env(), -RVT_EINVAL);
    // The list may lie in shared memory that another thread is writing; the core wants one that holds still.
    static_assert(offsetof(rvt_sg_element, address) == RVT_SG_ELEMENT_ADDRESS * sizeof(uint64_t) &&
                      offsetof(rvt_sg_element, length) == RVT_SG_ELEMENT_LENGTH * sizeof(uint64_t) &&
                      sizeof(rvt_sg_element) == RVT_SG_ELEMENT_COUNT * sizeof(uint64_t),
                  "elements are copied as they are");
    auto *list =
        static_cast<rvt_sg_element *>(payload_.device->environment().Scratch(count * sizeof(rvt_sg_element)));
    if (!list)
        return Napi::Number::New(info.Env(), -RVT_ENOMEM);
    if (count)
        std::memcpy(list, numbers.data, count * sizeof(*list));
    rvt_sg_outcome outcome = {};
    int answer =
        rvt_map_mr_sg(payload_.handle, list, static_cast<uint32_t>(count), offset, page_size, &outcome);
    payload_.device->Settle();
    if (answer != -RVT_EBADF) {
        const uint64_t values[RVT_SG_OUTCOME_COUNT] = {outcome.iova, outcome.length};
        static_assert(RVT_SG_OUTCOME_IOVA == 0 && RVT_SG_OUTCOME_LENGTH == 1, "in this order");
        std::memcpy(out.data, values, sizeof(values));
    }
    return Napi::Number::New(info.Env(), answer);
}

Napi::Value MemoryRegion::MapPhys(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView pages = arguments.Array(0, napi_biguint64_array);
    uint64_t iova = arguments.U64(1);
    if (!arguments.ok())
        return arguments.Undefined();
    int error =
        rvt_map_phys_fmr(payload_.handle, static_cast<const uint64_t *>(pages.data), pages.length, iova);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

bool RegionList::Read(const Napi::CallbackInfo &info, Arguments &arguments, size_t at) {
    Napi::Env env = info.Env();
    if (!info[at].IsArray()) {
        arguments.Wrong(at, "an array");
        return false;
    }
    Napi::Array array = info[at].As<Napi::Array>();
    count = array.Length();
    handles.reset(new (std::nothrow) rvt_mr_handle[count ? count : 1]);
    for (uint32_t i = 0; handles && i < count; i++) {
        Napi::Value element = array.Get(i); // may run a getter: nothing native has been looked at yet
        MemoryRegion *region = env.IsExceptionPending() ? nullptr : MemoryRegion::Get(element);
        if (!region) {
            if (!env.IsExceptionPending())
                arguments.Wrong(at, "an array of regions");
            return false;
        }
        // The wrapper may be collected while later elements are fetched. Its handle can be looked at all the
        // same, as long as the device's structures live; they do while the element stands in the caller's
        // array or is held by this scope, which keeps every element until the call ends.
        handles[i] = region->payload().handle;
    }
    return true;
}

Napi::Value MemoryRegion::UnmapFmr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    RegionList fmrs;
    if (!fmrs.Read(info, arguments, 0))
        return arguments.Undefined();
    return Napi::Number::New(info.Env(),
                             fmrs.handles ? rvt_unmap_fmr(fmrs.handles.get(), fmrs.count) : -RVT_ENOMEM);
}
