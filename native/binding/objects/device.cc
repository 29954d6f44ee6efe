// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/device.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "binding/objects/device_memory.h"
#include "binding/objects/pd.h"
#include "binding/values/arguments.h"
#include "binding/values/js_memory.h"

namespace {

// The largest number that JavaScript holds exactly: lengths, and serial numbers, which count from 1.
constexpr double kMostSerial = 9007199254740991.0;

} // namespace

void Device::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeDevice",
                                      {
                                          InstanceMethod("bits", &Device::Bits),
                                          InstanceMethod("close", &Device::Close),
                                          InstanceMethod("allocPd", &Device::AllocPd),
                                          InstanceMethod("pickUserStart", &Device::PickUserStart),
                                          InstanceMethod("mapDma", &Device::MapDma),
                                          InstanceMethod("table", &Device::Table),
                                          InstanceMethod("number", &Device::Number),
                                          InstanceMethod("live", &Device::Live),
                                          InstanceMethod("context", &Device::Context),
                                          InstanceMethod("detach", &Device::Detach),
                                          InstanceMethod("share", &Device::Share),
                                          InstanceMethod("attachPd", &Device::AttachPd),
                                          InstanceMethod("allocMemory", &Device::AllocMemory),
                                          InstanceMethod("attachMemory", &Device::AttachMemory),
                                          InstanceMethod("counters", &Device::Counters),
                                          InstanceMethod("resources", &Device::Resources),
                                          InstanceMethod("reportLeaks", &Device::ReportLeaks),
                                      }));
}

Napi::Value Device::Open(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    rvt_device_options options = {};
    options.lkey_table_bits = arguments.U32(0);
    options.random_keys = arguments.Bool(1);
    options.remote_key_zero = arguments.Bool(2);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_dev_info *device = nullptr;
    int error = rvt_driver_mr_init(&options, &device);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return Use(info.Env(), device, true);
}

// Make the environment's context of a device, whose reference is consumed.
Napi::Value Device::Use(Napi::Env env, rvt_dev_info *device, bool opened) {
    std::shared_ptr<Environment> environment = Environment::Of(env);
    rvt_ucontext *context = nullptr;
    int error = rvt_alloc_ucontext(device, &context);
    if (error) {
        rvt_dev_put(device);
        return Napi::Number::New(env, error);
    }
    return Create(*environment, {std::make_shared<OpenDevice>(environment, device, context, opened)});
}

Napi::Value Device::Attach(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    rvt_share_token token;
    ArrayView bytes = arguments.Array(0, napi_uint8_array, sizeof(token));
    if (!arguments.ok())
        return arguments.Undefined();
    std::memcpy(&token, bytes.data, sizeof(token));
    if (!Environment::Of(info.Env())->BeWakeable())
        return Napi::Number::New(info.Env(), -RVT_ENOMEM);
    rvt_dev_info *device = nullptr;
    int error = rvt_find_shared(&token, &device);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return Use(info.Env(), device, false);
}

Napi::Value Device::Share(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    rvt_share_token token;
    if (!payload_.device->environment().BeWakeable())
        return Napi::Number::New(env, -RVT_ENOMEM);
    int error = rvt_ucontext_gone(payload_.device->context())
                    ? -RVT_EBADF
                    : rvt_share_device(payload_.device->get(), &token);
    if (error)
        return Napi::Number::New(env, error);
    Napi::Uint8Array bytes = Napi::Uint8Array::New(env, sizeof(token));
    if (bytes.IsEmpty()) // no memory, or a worker that is being terminated
        return Napi::Value();
    std::memcpy(bytes.Data(), &token, sizeof(token));
    return bytes;
}

Napi::Value Device::Number(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), static_cast<double>(payload_.device->get()->number));
}

Napi::Value Device::Live(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), rvt_ucontext_live(payload_.device->context()));
}

Napi::Value Device::Context(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), static_cast<double>(payload_.device->context()->id));
}

Napi::Value Device::Detach(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool cascade = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    int error = rvt_dealloc_ucontext(payload_.device->context(), cascade);
    if (!error)
        DeviceMemory::LetGo(*payload_.device, nullptr);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

Napi::Value Device::AttachPd(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    double serial = arguments.Integer(0, 0, kMostSerial);
    if (!arguments.ok())
        return arguments.Undefined();
    ProtectionDomainPayload payload = {payload_.device, {}};
    int error = rvt_attach_pd(payload_.device->context(), static_cast<uint64_t>(serial), &payload.handle);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return ProtectionDomain::Create(payload_.device->environment(), std::move(payload));
}

Napi::Value Device::AllocMemory(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    double bytes = arguments.Integer(0, 0, kMostSerial);
    bool huge = arguments.Bool(1);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_device_memory *memory = nullptr;
    int error = rvt_alloc_device_memory(payload_.device->get(), payload_.device->context(),
                                        static_cast<uint64_t>(bytes), huge, &memory);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return DeviceMemory::Wrap(payload_.device, memory);
}

Napi::Value Device::AttachMemory(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    double serial = arguments.Integer(0, 0, kMostSerial);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_device_memory *memory = nullptr;
    int error = rvt_find_device_memory(payload_.device->get(), payload_.device->context(),
                                       static_cast<uint64_t>(serial), &memory);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return DeviceMemory::Wrap(payload_.device, memory);
}

// counters(own, out): accepted, bytes, then refusals by reason.
Napi::Value Device::Counters(const Napi::CallbackInfo &info) {
    constexpr size_t kFields = 2 + RVT_REASON_COUNT;
    Arguments arguments(info);
    bool own = arguments.Bool(0);
    ArrayView out = arguments.Array(1, napi_biguint64_array, kFields);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_counts counts;
    rvt_read_counters(payload_.device->get(), own ? payload_.device->context() : nullptr, &counts);
    static_assert(sizeof(counts) == kFields * sizeof(uint64_t), "told as they are");
    std::memcpy(out.data, &counts, sizeof(counts));
    return arguments.Undefined();
}

Napi::Value Device::ReportLeaks(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool report = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    if (report && !payload_.device->environment().BeWakeable())
        return Napi::Number::New(info.Env(), -RVT_ENOMEM);
    payload_.device->report_leaks = report;
    return Napi::Number::New(info.Env(), 0);
}

Napi::Value Device::Bits(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), payload_.device->get()->lkey_table.bits);
}

Napi::Value Device::Close(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool cascade = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    bool leaked = false;
    int error = rvt_ucontext_gone(payload_.device->context())
                    ? -RVT_EBADF
                    : rvt_mr_exit(payload_.device->get(), cascade, &leaked);
    if (!error)
        DeviceMemory::LetGo(*payload_.device, nullptr);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error ? error : leaked);
}

Napi::Value Device::AllocPd(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool user = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    ProtectionDomainPayload payload = {payload_.device, {}};
    int error = rvt_alloc_pd(payload_.device->get(), payload_.device->context(), user, &payload.handle);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return ProtectionDomain::Create(payload_.device->environment(), std::move(payload));
}

Napi::Value Device::PickUserStart(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint64_t length = arguments.U64(0);
    if (!arguments.ok())
        return arguments.Undefined();
    uint64_t start = 0;
    int error = rvt_pick_user_start(payload_.device->get(), length, &start);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return Napi::BigInt::New(info.Env(), start);
}

Napi::Value Device::MapDma(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    arguments.Array(0, napi_uint8_array);
    DmaMappingPayload payload = {payload_.device, {}, 0, 0};
    bool fixed = arguments.OptionalU64(1, &payload.address);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_memory *memory = nullptr;
    int error = NewJsMemory(payload_.device->environment_ptr(), info[0], info[2], &memory);
    if (error)
        return Napi::Number::New(info.Env(), error);
    payload.length = memory->length;
    error = rvt_dma_map(payload_.device->get(), payload_.device->context(), memory, fixed, &payload.address,
                        &payload.handle);
    rvt_memory_put(memory); // the mapping has its own
    if (error)
        return Napi::Number::New(info.Env(), error);
    return DmaMapping::Create(payload_.device->environment(), std::move(payload));
}

namespace {

// Three numbers a row. `capacity` is what was asked for; rows that came in between are not lost silently: the
// head's `used` tells, and the caller asks again.
struct Rows {
    std::unique_ptr<double[]> numbers;
    size_t capacity = 0, count = 0;
};

void AddRow(void *context, const rvt_table_row *row) {
    Rows *rows = static_cast<Rows *>(context);
    if (rows->count == rows->capacity)
        return;
    double *at = &rows->numbers[rows->count++ * 3];
    at[0] = row->index;
    at[1] = row->lkey;
    at[2] = static_cast<double>(rvt_mr_id(row->mr));
}

} // namespace

Napi::Value Device::Table(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    rvt_table_head head = {};
    Rows rows;
    // The first round only counts.
    for (;;) {
        rows.count = 0;
        rvt_table_report(payload_.device->get(), &head, AddRow, &rows);
        if (rows.count == head.used)
            break;
        rows.capacity = head.used;
        rows.numbers.reset(new (std::nothrow) double[rows.capacity * 3]);
        if (!rows.numbers)
            return Napi::Number::New(env, -RVT_ENOMEM);
    }
    Napi::Float64Array used = Napi::Float64Array::New(env, rows.count * 3);
    if (used.IsEmpty()) // no memory, or a worker that is being terminated
        return Napi::Value();
    for (size_t i = 0; i < rows.count * 3; i++)
        used[i] = rows.numbers[i];
    Napi::Object table = Napi::Object::New(env);
    table.Set("max", Napi::Number::New(env, head.max));
    table.Set("next", Napi::Number::New(env, head.next));
    table.Set("generation", Napi::Number::New(env, head.generation));
    table.Set("used", used);
    return table;
}

namespace {

// Rows of all kinds, as they come, each kind in a list of its own. The lists grow while the device's lock is
// held, so without exceptions; out of memory gives up.
struct Report {
    const rvt_dev_info *device = nullptr;
    struct List {
        uint64_t *numbers = nullptr;
        size_t count = 0, capacity = 0;
    } lists[RVT_RESOURCE_KINDS];
    bool complete = true;

    ~Report() {
        for (List &list : lists)
            std::free(list.numbers);
    }
};

bool AddResource(void *context, rvt_resource_kind kind, const uint64_t *fields) {
    auto *report = static_cast<Report *>(context);
    Report::List &list = report->lists[kind];
    size_t more = rvt_resource_fields(report->device, kind);
    if (list.count + more > list.capacity) {
        size_t capacity = list.capacity ? list.capacity * 2 : 64 * more;
        void *numbers = std::realloc(list.numbers, capacity * sizeof(uint64_t));
        if (!numbers)
            return report->complete = false;
        list.numbers = static_cast<uint64_t *>(numbers);
        list.capacity = capacity;
    }
    std::memcpy(&list.numbers[list.count], fields, more * sizeof(uint64_t));
    list.count += more;
    return true;
}

} // namespace

// An array by kind, each of flat rows.
Napi::Value Device::Resources(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Report report;
    report.device = payload_.device->get();
    rvt_resource_report(payload_.device->get(), AddResource, &report);
    if (!report.complete)
        return Napi::Number::New(env, -RVT_ENOMEM);
    Napi::Array all = Napi::Array::New(env, RVT_RESOURCE_KINDS);
    for (uint32_t kind = 0; kind < RVT_RESOURCE_KINDS; kind++) {
        const Report::List &list = report.lists[kind];
        Napi::BigUint64Array rows = Napi::BigUint64Array::New(env, list.count);
        if (rows.IsEmpty()) // no memory, or a worker that is being terminated
            return Napi::Value();
        if (list.count)
            std::memcpy(rows.Data(), list.numbers, list.count * sizeof(uint64_t));
        all.Set(kind, rows);
    }
    return all;
}

void DmaMapping::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeDmaMapping",
                                      {
                                          InstanceMethod("address", &DmaMapping::Address),
                                          InstanceMethod("length", &DmaMapping::Length),
                                          InstanceMethod("unmap", &DmaMapping::Unmap),
                                          InstanceMethod("serial", &DmaMapping::Serial),
                                      }));
}

Napi::Value DmaMapping::Address(const Napi::CallbackInfo &info) {
    return Napi::BigInt::New(info.Env(), payload_.address);
}

Napi::Value DmaMapping::Length(const Napi::CallbackInfo &info) {
    return Napi::BigInt::New(info.Env(), payload_.length);
}

Napi::Value DmaMapping::Unmap(const Napi::CallbackInfo &info) {
    int error = rvt_dma_unmap(payload_.handle);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

Napi::Value DmaMapping::Serial(const Napi::CallbackInfo &info) {
    uint64_t serial = rvt_dma_serial(payload_.handle);
    return Napi::Number::New(info.Env(), serial ? static_cast<double>(serial) : -RVT_EBADF);
}
