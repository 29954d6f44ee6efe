// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/sge_state.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "binding/objects/data_call.h"
#include "binding/values/arguments.h"

void SgeState::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeSgeState",
                                      {
                                          InstanceMethod("totalLength", &SgeState::TotalLength),
                                          InstanceMethod("remaining", &SgeState::Remaining),
                                          InstanceMethod("nextLength", &SgeState::NextLength),
                                          InstanceMethod("update", &SgeState::Update),
                                          InstanceMethod("skip", &SgeState::Skip),
                                          InstanceMethod("put", &SgeState::Put),
                                          InstanceMethod("hasLkey", &SgeState::HasLkey),
                                          InstanceMethod("copyIn", &SgeState::CopyIn),
                                          InstanceMethod("copyOut", &SgeState::CopyOut),
                                          InstanceMethod("walk", &SgeState::WalkSteps),
                                      }));
}

Napi::Value SgeState::New(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    ArrayView names = arguments.Array(0, napi_uint32_array);
    if (!arguments.ok())
        return arguments.Undefined();
    size_t count = names.length / RVT_ELEMENT_NAME_WORDS;
    if (names.length % RVT_ELEMENT_NAME_WORDS || count < 1 || count > RVT_MAX_SGE)
        return Napi::Number::New(env,
                                 rvt_fail_value(RVT_EINVAL, RVT_CAUSE_ELEMENT_COUNT, count, RVT_MAX_SGE));
    Cells &cells = Cells::Of(*Environment::Of(env));
    auto walk = std::make_unique<Walk>();
    const auto *name = static_cast<const uint32_t *>(names.data);
    for (size_t i = 0; i < count; i++, name += RVT_ELEMENT_NAME_WORDS) {
        Cell *cell = cells.Find(name[RVT_ELEMENT_NAME_CELL], name[RVT_ELEMENT_NAME_GENERATION]);
        if (!cell)
            return Napi::Number::New(env, rvt_fail_at(RVT_EBADF, RVT_CAUSE_ELEMENT_PUT, i, 0, 0));
        walk->elements.push_back(Cells::Share(*cell));
        walk->list.push_back(&walk->elements.back()->sge);
    }
    walk->device = walk->elements[0]->device;
    int error = rvt_ss_init(&walk->state, walk->list.data(), static_cast<uint32_t>(count));
    if (error)
        return Napi::Number::New(env, error);
    Environment &environment = walk->device->environment();
    return Create(environment, std::move(walk));
}

Napi::Value SgeState::TotalLength(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), static_cast<double>(rvt_ss_total_len(&payload_->state)));
}

Napi::Value SgeState::Remaining(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), payload_->state.num_sge);
}

Napi::Value SgeState::NextLength(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t wanted = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    return Napi::Number::New(info.Env(), rvt_get_sge_length(&payload_->state, wanted));
}

Napi::Value SgeState::Update(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t length = arguments.U32(0);
    bool release = arguments.Bool(1);
    if (!arguments.ok())
        return arguments.Undefined();
    return Napi::Number::New(info.Env(), rvt_update_sge(&payload_->state, length, release));
}

Napi::Value SgeState::Skip(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    auto length = static_cast<uint64_t>(arguments.Integer(0, 0, kMostInteger));
    bool release = arguments.Bool(1);
    if (!arguments.ok())
        return arguments.Undefined();
    return Napi::Number::New(info.Env(), rvt_skip_sge(&payload_->state, length, release));
}

Napi::Value SgeState::Put(const Napi::CallbackInfo &info) {
    rvt_put_ss(&payload_->state);
    payload_->device->environment().DrainReferences();
    return Napi::Number::New(info.Env(), 0);
}

Napi::Value SgeState::HasLkey(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t key = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    return Napi::Boolean::New(info.Env(), rvt_ss_has_lkey(&payload_->state, key));
}

Napi::Value SgeState::CopyIn(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView source = arguments.Array(0, napi_uint8_array);
    bool release = arguments.Bool(1), ordered = arguments.Bool(2);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_copied copied = {};
    DataCall call(*payload_->device);
    int error =
        rvt_copy_sge(call.get(), &payload_->state, source.data, source.length, release, ordered, &copied);
    return DataAnswer(info.Env(), error, copied);
}

Napi::Value SgeState::CopyOut(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView target = arguments.Array(0, napi_uint8_array);
    bool release = arguments.Bool(1);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_copied copied = {};
    DataCall call(*payload_->device);
    int error = rvt_copy_sge_out(call.get(), &payload_->state, target.data, target.length, release, &copied);
    return DataAnswer(info.Env(), error, copied);
}

namespace {

// Rows of fragments (enum rvt_fragment_field). Their number is not known before the walk, so the memory
// doubles when it is full. AddFragments returns false if memory is short.
struct Fragments {
    uint64_t *numbers = nullptr;
    size_t count = 0, capacity = 0;

    ~Fragments() {
        std::free(numbers);
    }
};

bool AddFragments(void *context, const rvt_fragment *added, uint32_t count) {
    auto *fragments = static_cast<Fragments *>(context);
    if (fragments->capacity - fragments->count < count) {
        size_t capacity = (fragments->count + count) * 2;
        void *numbers = std::realloc(fragments->numbers, capacity * RVT_FRAGMENT_COUNT * sizeof(uint64_t));
        if (!numbers)
            return false;
        fragments->numbers = static_cast<uint64_t *>(numbers);
        fragments->capacity = capacity;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t *at = &fragments->numbers[fragments->count++ * RVT_FRAGMENT_COUNT];
        at[RVT_FRAGMENT_STEP] = added[i].step;
        at[RVT_FRAGMENT_REGION] = added[i].region;
        at[RVT_FRAGMENT_AT] = added[i].at;
        at[RVT_FRAGMENT_LENGTH] = added[i].length;
        at[RVT_FRAGMENT_INDEX] = added[i].index;
    }
    return true;
}

} // namespace

Napi::Value SgeState::WalkSteps(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    ArrayView steps = arguments.Array(0, napi_uint32_array);
    bool release = arguments.Bool(1);
    if (!arguments.ok())
        return arguments.Undefined();
    if (steps.length > UINT32_MAX)
        return Napi::Number::New(env, rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT));
    // Copy the steps, because the array may be in shared memory: the steps that are validated must be those
    // that are walked.
    std::unique_ptr<uint32_t[]> still(new (std::nothrow) uint32_t[steps.length ? steps.length : 1]);
    if (!still)
        return Napi::Number::New(env, rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    if (steps.length)
        std::memcpy(still.get(), steps.data, steps.length * sizeof(uint32_t));
    Fragments fragments;
    rvt_copied outcome = {};
    int error;
    {
        DataCall call(*payload_->device);
        error =
            rvt_walk(call.get()->reader, &payload_->state, still.get(), static_cast<uint32_t>(steps.length),
                     release, &outcome.reason, AddFragments, &fragments);
        rvt_data_call_count(call.get(), 0, outcome.reason);
    }
    if (error)
        return DataAnswer(env, error, outcome);
    size_t numbers = fragments.count * RVT_FRAGMENT_COUNT;
    Napi::BigUint64Array answer = Napi::BigUint64Array::New(env, numbers);
    if (numbers && !answer.IsEmpty()) // empty if the worker is being terminated
        std::memcpy(answer.Data(), fragments.numbers, numbers * sizeof(uint64_t));
    return answer;
}
