// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/device.h"

#include <chrono>
#include <cstddef>
#include <cstring>
#include <new>
#include <vector>

#include "binding/environment/device_port.h"
#include "binding/environment/engine_call.h"
#include "binding/objects/cq.h"
#include "binding/objects/device_memory.h"
#include "binding/objects/dma_mapping.h"
#include "binding/objects/pd.h"
#include "binding/objects/qp.h"
#include "binding/objects/report.h"
#include "binding/values/arguments.h"
#include "binding/values/js_memory.h"

void Device::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeDevice",
                                      {
                                          InstanceMethod("bits", &Device::Bits),
                                          InstanceMethod("close", &Device::Close),
                                          InstanceMethod("allocPd", &Device::AllocPd),
                                          InstanceMethod("mapDma", &Device::MapDma),
                                          InstanceMethod("keyTable", &Device::KeyTable),
                                          InstanceMethod("keySlots", &Device::KeySlots),
                                          InstanceMethod("number", &Device::Number),
                                          InstanceMethod("live", &Device::Live),
                                          InstanceMethod("context", &Device::Context),
                                          InstanceMethod("onlyPd", &Device::OnlyPd),
                                          InstanceMethod("detach", &Device::Detach),
                                          InstanceMethod("share", &Device::Share),
                                          InstanceMethod("importPd", &Device::ImportPd),
                                          InstanceMethod("allocDm", &Device::AllocDm),
                                          InstanceMethod("importDm", &Device::ImportDm),
                                          InstanceMethod("counters", &Device::Counters),
                                          InstanceMethod("resources", &Device::Resources),
                                          InstanceMethod("reportLeaks", &Device::ReportLeaks),
                                          InstanceMethod("isManual", &Device::IsManual),
                                          InstanceMethod("limits", &Device::Limits),
                                          InstanceMethod("createCq", &Device::CreateCq),
                                          InstanceMethod("run", &Device::Run),
                                          InstanceMethod("fireTimers", &Device::FireTimers),
                                          InstanceMethod("progress", &Device::Progress),
                                          InstanceMethod("takeEvents", &Device::TakeEvents),
                                          InstanceMethod("completionCounts", &Device::CompletionCounts),
                                          InstanceMethod("faults", &Device::Faults),
                                          InstanceMethod("rkeyMask", &Device::RkeyMask),
                                      }));
}

// Reads rules of faults. A number that TypeScript does not pass counts as 0, or as the largest one.
static void ReadFaultRules(const ArrayView &view, rvt_fault_rule rules[RVT_FAULT_KINDS]) {
    double words[RVT_FAULT_KINDS * RVT_FAULT_WORD_COUNT];
    std::memcpy(words, view.data, sizeof(words)); // once: it may be shared memory
    const auto whole = [](double word, double most) {
        return !(word > 0) ? 0 : static_cast<uint64_t>(word < most ? word : most);
    };
    constexpr double kMostCount = 9007199254740991, kMostValue = UINT32_MAX;
    for (int kind = 0; kind < RVT_FAULT_KINDS; kind++) {
        const double *word = words + kind * RVT_FAULT_WORD_COUNT;
        rules[kind].probability = word[RVT_FAULT_WORD_PROBABILITY] > 0 ? word[RVT_FAULT_WORD_PROBABILITY] : 0;
        rules[kind].at = whole(word[RVT_FAULT_WORD_AT], kMostCount);
        rules[kind].every = whole(word[RVT_FAULT_WORD_EVERY], kMostCount);
        rules[kind].value = static_cast<uint32_t>(whole(word[RVT_FAULT_WORD_VALUE], kMostValue));
        rules[kind].directions = static_cast<uint32_t>(whole(word[RVT_FAULT_WORD_DIRECTIONS], kMostValue));
    }
    // The reason indexes counters.
    if (rules[RVT_FAULT_REFUSE].value == RVT_REASON_NONE || rules[RVT_FAULT_REFUSE].value >= RVT_REASON_COUNT)
        rules[RVT_FAULT_REFUSE].value = RVT_REVOKED;
}

Napi::Value Device::Open(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    rvt_device_options options = {};
    options.lkey_table_bits = arguments.U32(0);
    options.random_keys = arguments.Bool(1);
    options.remote_key_zero = arguments.Bool(2);
    rvt_engine_options engine = {};
    engine.manual = arguments.Bool(3);
    engine.random_qp_numbers = options.random_keys;
    engine.host.event = EventQueue::Report;
    ArrayView limits = arguments.Array(4, napi_uint32_array, RVT_LIMIT_COUNT);
    engine.max_inline_data = UINT32_MAX;
    if (!info[7].IsUndefined()) {
        options.strict = true;
        engine.max_inline_data = arguments.U32(7);
    }
    const bool with_faults = !info[5].IsUndefined();
    ArrayView seed, rules;
    if (with_faults) {
        seed = arguments.Array(5, napi_biguint64_array, 1);
        rules = arguments.Array(6, napi_float64_array, RVT_FAULT_KINDS * RVT_FAULT_WORD_COUNT);
    }
    if (!arguments.ok())
        return arguments.Undefined();
    std::memcpy(engine.limits.of, limits.data, sizeof(engine.limits.of));
    rvt_fault_options faults = {};
    if (with_faults) {
        std::memcpy(&faults.seed, seed.data, sizeof(faults.seed));
        ReadFaultRules(rules, faults.rules);
        options.faults = &faults;
    }
    rvt_dev_info *device = nullptr;
    int error = rvt_register_device(&options, &engine, &device);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return Use(info.Env(), device, RVT_WHOLE_DEVICE, true);
}

// Creates the environment's context of a device and its wrapper. Takes over the reference on the device.
Napi::Value Device::Use(Napi::Env env, rvt_dev_info *device, uint64_t only_pd, bool opened) {
    std::shared_ptr<Environment> environment = Environment::Of(env);
    rvt_ucontext *context = nullptr;
    int error = rvt_alloc_ucontext_in(device, only_pd, environment->reader(), &context);
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
        return Napi::Number::New(info.Env(), rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    rvt_dev_info *device = nullptr;
    uint64_t only_pd;
    int error = rvt_find_shared(&token, &device, &only_pd);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return Use(info.Env(), device, only_pd, false);
}

// share(domain): returns the token of that domain, or of the whole device if `domain` is undefined.
Napi::Value Device::Share(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    rvt_share_token token;
    ProtectionDomain *pd = ProtectionDomain::Get(info[0]);
    if (!pd && !info[0].IsUndefined()) // an invalid domain must not share the whole device
        arguments.Wrong(0, "a protection domain or undefined");
    if (!arguments.ok())
        return arguments.Undefined();
    if (!payload_.device->environment().BeWakeable())
        return Napi::Number::New(env, rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    int error = rvt_share_by(payload_.device->context(), pd ? &pd->payload().handle : nullptr, &token);
    if (error)
        return Napi::Number::New(env, error);
    Napi::Uint8Array bytes = Napi::Uint8Array::New(env, sizeof(token));
    if (bytes.IsEmpty()) // no memory, or the worker is being terminated
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

Napi::Value Device::OnlyPd(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), static_cast<double>(payload_.device->context()->only_pd));
}

Napi::Value Device::Detach(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool cascade = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(*payload_.device);
    int error = rvt_dealloc_ucontext(payload_.device->context(), cascade);
    if (!error)
        payload_.device->environment().ClosePorts(false);
    if (!error)
        DeviceMemory::LetGo(*payload_.device, nullptr);
    return Napi::Number::New(info.Env(), error);
}

Napi::Value Device::ImportPd(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    double serial = arguments.Integer(0, 0, kMostInteger);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_pd_handle handle;
    int error = rvt_attach_pd(payload_.device->context(), static_cast<uint64_t>(serial), &handle);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return ProtectionDomain::Wrap(payload_.device, handle);
}

Napi::Value Device::AllocDm(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    double bytes = arguments.Integer(0, 0, kMostInteger);
    bool huge = arguments.Bool(1);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_device_memory *memory = nullptr;
    int error = rvt_alloc_device_memory(payload_.device->get(), payload_.device->context(),
                                        static_cast<uint64_t>(bytes), huge, &memory);
    if (error)
        return Napi::Number::New(info.Env(), error);
    rvt_memory_get(&memory->memory);
    Napi::Value object = DeviceMemory::Wrap(payload_.device, memory);
    if (object.IsEmpty()) // undo, because an exception is pending
        rvt_free_device_memory(payload_.device->get(), payload_.device->context(), memory);
    rvt_memory_put(&memory->memory);
    return object;
}

Napi::Value Device::ImportDm(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    double serial = arguments.Integer(0, 0, kMostInteger);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_device_memory *memory = nullptr;
    int error = rvt_find_device_memory(payload_.device->get(), payload_.device->context(),
                                       static_cast<uint64_t>(serial), &memory);
    if (error)
        return Napi::Number::New(info.Env(), error);
    return DeviceMemory::Wrap(payload_.device, memory);
}

// counters(own, out): fills `out` (see enum rvt_counter_field).
Napi::Value Device::Counters(const Napi::CallbackInfo &info) {
    constexpr size_t kFields = RVT_COUNTER_REFUSED + RVT_REASON_COUNT;
    Arguments arguments(info);
    bool own = arguments.Bool(0);
    ArrayView out = arguments.Array(1, napi_biguint64_array, kFields);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_counts counts;
    rvt_read_counters_to(payload_.device->context(), own, &counts);
    static_assert(offsetof(rvt_counts, accepted) == RVT_COUNTER_ACCEPTED * sizeof(uint64_t) &&
                      offsetof(rvt_counts, bytes) == RVT_COUNTER_BYTES * sizeof(uint64_t) &&
                      offsetof(rvt_counts, refused) == RVT_COUNTER_REFUSED * sizeof(uint64_t) &&
                      sizeof(counts) == kFields * sizeof(uint64_t),
                  "told as they are");
    std::memcpy(out.data, &counts, sizeof(counts));
    return arguments.Undefined();
}

Napi::Value Device::ReportLeaks(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool report = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    if (report && !payload_.device->environment().BeWakeable())
        return Napi::Number::New(info.Env(), rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    payload_.device->ReportLeaks(report);
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
    EngineCall call(*payload_.device);
    int error = rvt_mr_exit_by(payload_.device->context(), cascade, &leaked);
    if (!error) {
        Environment &environment = payload_.device->environment();
        environment.ClosePorts(false);
        DevicePort::TellClosed(payload_.device->get(), environment);
    }
    if (!error)
        DeviceMemory::LetGo(*payload_.device, nullptr);
    return Napi::Number::New(info.Env(), error ? error : leaked);
}

Napi::Value Device::AllocPd(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool user = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_pd_handle handle;
    int error = rvt_alloc_pd(payload_.device->get(), payload_.device->context(), user, &handle);
    payload_.device->Settle();
    if (error)
        return Napi::Number::New(info.Env(), error);
    Napi::Value object = ProtectionDomain::Wrap(payload_.device, handle);
    if (object.IsEmpty())
        rvt_dealloc_pd(handle, true); // undo: an exception is pending, so the call must have no effect
    return object;
}

Napi::Value Device::MapDma(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    arguments.Array(0, napi_uint8_array);
    DmaMappingPayload payload = {payload_.device, {}, 0, 0};
    bool fixed = arguments.OptionalU64(1, &payload.address);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_memory *memory = nullptr;
    int error =
        NewJsMemory(payload_.device->environment_ptr(), info.Env(), info[0], Keeping::kStrong, &memory);
    if (error)
        return Napi::Number::New(info.Env(), error);
    payload.length = memory->length;
    error = rvt_dma_map(payload_.device->get(), payload_.device->context(), memory, fixed, &payload.address,
                        &payload.handle);
    rvt_memory_put(memory); // the mapping holds its own reference
    payload_.device->Settle();
    if (error)
        return Napi::Number::New(info.Env(), error);
    rvt_dma_handle handle = payload.handle;
    Napi::Value object = DmaMapping::Create(payload_.device->environment(), std::move(payload));
    if (object.IsEmpty()) {
        rvt_dma_unmap(handle); // undo, because an exception is pending
        payload_.device->Settle();
    }
    return object;
}

Napi::Value Device::KeyTable(const Napi::CallbackInfo &info) {
    return ReportKeyTable(info.Env(), payload_.device->context());
}

Napi::Value Device::KeySlots(const Napi::CallbackInfo &info) {
    return ReportKeySlots(info.Env(), payload_.device->get());
}

Napi::Value Device::Resources(const Napi::CallbackInfo &info) {
    return ReportResources(info, *payload_.device);
}

Napi::Value Device::IsManual(const Napi::CallbackInfo &info) {
    return Napi::Boolean::New(info.Env(), rvt_engine_is_manual(payload_.device->get()));
}

Napi::Value Device::Limits(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_uint32_array, RVT_LIMIT_COUNT);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_limits limits;
    int error = rvt_query_device(payload_.device->get(), &limits);
    if (!error)
        std::memcpy(out.data, limits.of, sizeof(limits.of));
    return Napi::Number::New(info.Env(), error);
}

// createCq(cqe, compVector, flags, ring): `ring` is undefined, or a Uint8Array over shared memory for the ring.
// The core checks its length.
Napi::Value Device::CreateCq(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    rvt_cq_init init = {};
    init.cqe = arguments.U32(0);
    init.comp_vector = arguments.U32(1);
    init.flags = arguments.U32(2);
    napi_value buffer;
    if (!info[3].IsUndefined())
        arguments.SharedBytes(3, 0, &buffer);
    if (!arguments.ok())
        return arguments.Undefined();
    init.user = payload_.device->events();
    if (!init.user)
        return Napi::Number::New(info.Env(), rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    if (!info[3].IsUndefined()) {
        int error = NewJsMemory(payload_.device->environment_ptr(), info.Env(), info[3], Keeping::kStrong,
                                &init.ring);
        if (error)
            return Napi::Number::New(info.Env(), error);
    }
    EngineCall call(*payload_.device);
    rvt_cq_handle handle = {};
    int error = rvt_create_cq(payload_.device->get(), payload_.device->context(), &init, &handle);
    if (init.ring)
        rvt_memory_put(init.ring); // the queue holds its own reference
    return WrapNew<CompletionQueue>(info.Env(), payload_.device, error, handle, rvt_destroy_cq);
}

// run(kick): makes the listed queue pairs ready, then works until none is ready.
Napi::Value Device::Run(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    if (!info[0].IsArray())
        arguments.Wrong(0, "a list of queue pairs");
    if (!arguments.ok())
        return arguments.Undefined();
    // The list is read first: reading it may run JavaScript, whose calls would end this one's EngineCall.
    std::vector<rvt_qp_handle> handles;
    uint32_t count = info[0].As<Napi::Array>().Length();
    for (uint32_t i = 0; i < count; i++) {
        napi_value element;
        QueuePair *qp = napi_get_element(info.Env(), info[0], i, &element) == napi_ok
                            ? QueuePair::Get(Napi::Value(info.Env(), element))
                            : nullptr;
        if (!qp) {
            arguments.Wrong(0, "a list of queue pairs");
            return arguments.Undefined();
        }
        handles.push_back(qp->payload().handle);
    }
    EngineCall call(*payload_.device);
    int error = rvt_ucontext_live(payload_.device->context());
    for (size_t i = 0; !error && i < handles.size(); i++)
        error = rvt_kick_qp(handles[i]);
    if (!error)
        error = rvt_run_engine(payload_.device->get());
    return Napi::Number::New(info.Env(), error);
}

namespace {

// Timers that fired, gathered with the engine lock held and so without exceptions.
struct FiredTimers {
    std::unique_ptr<double[]> pairs;
    size_t capacity = 0, count = 0; // in pairs

    static void Add(void *data, uint64_t qp, uint32_t usec) {
        auto *fired = static_cast<FiredTimers *>(data);
        if (fired->count == fired->capacity) {
            size_t capacity = fired->capacity ? fired->capacity * 2 : 64;
            std::unique_ptr<double[]> larger(new (std::nothrow) double[capacity * 2]);
            if (!larger)
                return; // fired, but not reported
            if (fired->count)
                std::memcpy(larger.get(), fired->pairs.get(), fired->count * 2 * sizeof(double));
            fired->pairs = std::move(larger);
            fired->capacity = capacity;
        }
        fired->pairs[fired->count * 2] = static_cast<double>(qp);
        fired->pairs[fired->count * 2 + 1] = usec;
        fired->count++;
    }
};

} // namespace

Napi::Value Device::FireTimers(const Napi::CallbackInfo &info) {
    FiredTimers fired;
    {
        EngineCall call(*payload_.device);
        rvt_fire_timers(payload_.device->get(), FiredTimers::Add, &fired);
    }
    Napi::Float64Array pairs = Napi::Float64Array::New(info.Env(), fired.count * 2);
    if (!pairs.IsEmpty() && fired.count)
        std::memcpy(pairs.Data(), fired.pairs.get(), fired.count * 2 * sizeof(double));
    return pairs;
}

// progress(): returns the microseconds until the next RNR timer is due, or -1.
Napi::Value Device::Progress(const Napi::CallbackInfo &info) {
    using std::chrono::duration_cast;
    using std::chrono::microseconds;
    EngineCall call(*payload_.device);
    auto now = static_cast<uint64_t>(
        duration_cast<microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
    uint64_t next = rvt_progress(payload_.device->get(), now);
    return Napi::Number::New(info.Env(), next == UINT64_MAX ? -1 : static_cast<double>(next - now));
}

Napi::Value Device::TakeEvents(const Napi::CallbackInfo &info) {
    std::vector<EventQueue::Event> events;
    if (EventQueue *queue = payload_.device->events())
        events = queue->Take();
    Napi::Float64Array pairs = Napi::Float64Array::New(info.Env(), events.size() * 2);
    for (size_t i = 0; !pairs.IsEmpty() && i < events.size(); i++) {
        pairs[i * 2] = events[i].kind;
        pairs[i * 2 + 1] = static_cast<double>(events[i].object);
    }
    return pairs;
}

// Returns the bits in which the lkey and the rkey of a region differ; 0: the device is not strict.
Napi::Value Device::RkeyMask(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), payload_.device->get()->rkey_mask);
}

// faults(out): fills a BigUint64Array with RVT_FAULT_COUNT_COUNT numbers. Returns 0; 1 if the device makes no faults; -EPERM if
// the context is restricted to a domain, whose holder must not learn what happens in others.
Napi::Value Device::Faults(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_biguint64_array, RVT_FAULT_COUNT_COUNT);
    if (!arguments.ok())
        return arguments.Undefined();
    const rvt_ucontext *context = payload_.device->context();
    int answer = rvt_ucontext_live(context);
    if (!answer && rvt_ucontext_restricted(context))
        answer = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    const rvt_faults *faults = payload_.device->get()->faults;
    if (!answer && !faults)
        answer = 1;
    if (!answer) {
        rvt_fault_counts counts;
        rvt_count_faults(faults, &counts);
        static_assert(sizeof(counts) == RVT_FAULT_COUNT_COUNT * sizeof(uint64_t) &&
                          offsetof(rvt_fault_counts, seen) == RVT_FAULT_COUNT_SEEN * sizeof(uint64_t) &&
                          offsetof(rvt_fault_counts, made) == RVT_FAULT_COUNT_MADE * sizeof(uint64_t),
                      "copied as they are");
        std::memcpy(out.data, &counts, sizeof(counts));
    }
    return Napi::Number::New(info.Env(), answer);
}

Napi::Value Device::CompletionCounts(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_biguint64_array, RVT_WC_STATUS_COUNT + 1);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(*payload_.device);
    rvt_completion_counts counts;
    rvt_count_completions(payload_.device->get(), &counts);
    static_assert(sizeof(counts) == (RVT_WC_STATUS_COUNT + 1) * sizeof(uint64_t) &&
                      offsetof(rvt_completion_counts, lost) == RVT_WC_STATUS_COUNT * sizeof(uint64_t),
                  "copied as they are");
    std::memcpy(out.data, &counts, sizeof(counts));
    return arguments.Undefined();
}
