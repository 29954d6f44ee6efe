// SPDX-License-Identifier: BSD-3-Clause
#include "device.h"

#include <new>

#include "arguments.h"
#include "js_memory.h"
#include "protection_domain.h"

void Device::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeDevice",
                                      {
                                          InstanceMethod("bits", &Device::Bits),
                                          InstanceMethod("close", &Device::Close),
                                          InstanceMethod("allocPd", &Device::AllocPd),
                                          InstanceMethod("pickUserStart", &Device::PickUserStart),
                                          InstanceMethod("mapDma", &Device::MapDma),
                                          InstanceMethod("table", &Device::Table),
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
    std::shared_ptr<Environment> environment = Environment::Of(info.Env());
    rvt_dev_info *device = nullptr;
    int error = rvt_driver_mr_init(&options, &device);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return Create(*environment, {std::make_shared<OpenDevice>(environment, device)});
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
    int error = rvt_mr_exit(payload_.device->get(), cascade, &leaked);
    payload_.device->environment().DrainReferences();
    return Napi::Number::New(info.Env(), error ? error : leaked);
}

Napi::Value Device::AllocPd(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool user = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    ProtectionDomainPayload payload = {payload_.device, {}};
    int error = rvt_alloc_pd(payload_.device->get(), user, &payload.handle);
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
    rvt_memory *memory = NewJsMemory(payload_.device->environment_ptr(), info[0], info[2]);
    if (!memory)
        return Napi::Number::New(info.Env(), -RVT_ENOMEM);
    payload.length = memory->length;
    int error = rvt_dma_map(payload_.device->get(), memory, fixed, &payload.address, &payload.handle);
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
    at[2] = static_cast<double>(row->mr->id);
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

void DmaMapping::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeDmaMapping",
                                      {
                                          InstanceMethod("address", &DmaMapping::Address),
                                          InstanceMethod("length", &DmaMapping::Length),
                                          InstanceMethod("unmap", &DmaMapping::Unmap),
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
    payload_.device->environment().DrainReferences();
    return Napi::Number::New(info.Env(), error);
}
