// SPDX-License-Identifier: BSD-3-Clause
// The module's entry point: creates the state of an environment and exports the functions that
// lib/internal/native.ts declares.
#include <napi.h>

#include <cstring>

#include "binding/batch/batch.h"
#include "binding/batch/held_report.h"
#include "binding/commands/commands.h"
#include "binding/environment/environment.h"
#include "binding/objects/ah.h"
#include "binding/objects/cells.h"
#include "binding/objects/checkers.h"
#include "binding/objects/cq.h"
#include "binding/objects/device.h"
#include "binding/objects/device_memory.h"
#include "binding/objects/dma_mapping.h"
#include "binding/objects/pd.h"
#include "binding/objects/post_block.h"
#include "binding/objects/qp.h"
#include "binding/objects/sge_state.h"
#include "binding/objects/srq.h"
#include "binding/objects/wr_slots.h"
#include "binding/values/arguments.h"
#include "binding/values/command_block.h"
#include "binding/values/js_memory.h"
#include "binding/wire/endpoint.h"
#include "binding/wire/packet_reader.h"

// onLeak(callback): sets the function that is called with the regions that were still registered when their
// device was collected (see Leak).
static Napi::Value OnLeak(const Napi::CallbackInfo &info) {
    if (info[0].IsFunction())
        Environment::Of(info.Env())->leaks().Listen(info[0].As<Napi::Function>());
    return info.Env().Undefined();
}

// tellLeaks(): reports the regions of all devices that are still open, when the environment is about to end.
static Napi::Value TellLeaks(const Napi::CallbackInfo &info) {
    Environment::Of(info.Env())->TellAllLeaks();
    return info.Env().Undefined();
}

// awaitPut(callback): calls the callback once, after the next put of a reference on a region that was
// released with RVT_RELEASE_AWAIT.
static Napi::Value AwaitPut(const Napi::CallbackInfo &info) {
    if (info[0].IsFunction())
        Environment::Of(info.Env())->put_listeners().Add(info[0].As<Napi::Function>());
    return info.Env().Undefined();
}

// awaitEvents(callback): calls the callback once, after the engine has reported events for this environment.
static Napi::Value AwaitEvents(const Napi::CallbackInfo &info) {
    if (info[0].IsFunction())
        Environment::Of(info.Env())->event_listeners().Add(info[0].As<Napi::Function>());
    return info.Env().Undefined();
}

// takeFailure(numbers): stores why the last call of this thread failed (enum rvt_failure_number), and clears
// that record.
static Napi::Value TakeFailure(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView numbers = arguments.Array(0, napi_biguint64_array, RVT_FAILURE_NUMBERS);
    if (arguments.ok()) {
        rvt_failure failure;
        rvt_take_failure(&failure);
        std::memcpy(numbers.data, failure.numbers, sizeof(failure.numbers));
    }
    return info.Env().Undefined();
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
    std::shared_ptr<Environment> environment = Environment::Start(env);
    if (!environment) {
        Napi::Error::New(env, "rdmavt: no memory to start with").ThrowAsJavaScriptException();
        return exports;
    }
    if (!rvt_core_id()) { // the type tags of native objects contain it
        Napi::Error::New(env, "rdmavt: the system has no random numbers to give")
            .ThrowAsJavaScriptException();
        return exports;
    }
    Wrappers::Start(*environment);
    KnownBuffers::Start(*environment);
    CommandBlock::Start(*environment, env, exports);
    Checkers::Start(*environment);
    Batches::Start(*environment);
    if (!Cells::Start(*environment, env, exports)) {
        // If JavaScript threw, its exception is pending already.
        if (!env.IsExceptionPending())
            Napi::Error::New(env, "rdmavt: this engine has no FinalizationRegistry")
                .ThrowAsJavaScriptException();
        return exports;
    }
    Commands::Start(*environment, env, exports);
    Device::Define(*environment, env);
    DmaMapping::Define(*environment, env);
    ProtectionDomain::Define(*environment, env);
    QueuePair::Define(*environment, env);
    SgeState::Define(*environment, env);
    BufferHandle::Define(*environment, env);
    DeviceMemory::Define(*environment, env);
    CompletionQueue::Define(*environment, env);
    SharedReceiveQueue::Define(*environment, env);
    AddressHandle::Define(*environment, env);
    DefineEndpoint(*environment, env);

    Napi::Array names = Napi::Array::New(env, RVT_REASON_COUNT);
    for (uint32_t i = 0; i < RVT_REASON_COUNT; i++)
        names.Set(i, rvt_reason_name(static_cast<rvt_reason>(i)));
    exports.Set("reasonNames", names);
    exports.Set("openDevice", Napi::Function::New<Device::Open>(env, "openDevice"));
    exports.Set("attachDevice", Napi::Function::New<Device::Attach>(env, "attachDevice"));
    exports.Set("onLeak", Napi::Function::New<OnLeak>(env, "onLeak"));
    exports.Set("tellLeaks", Napi::Function::New<TellLeaks>(env, "tellLeaks"));
    exports.Set("awaitPut", Napi::Function::New<AwaitPut>(env, "awaitPut"));
    exports.Set("awaitEvents", Napi::Function::New<AwaitEvents>(env, "awaitEvents"));
    exports.Set("takeFailure", Napi::Function::New<TakeFailure>(env, "takeFailure"));
    exports.Set("createSgeState", Napi::Function::New<SgeState::New>(env, "createSgeState"));
    exports.Set("createPostBlock", Napi::Function::New<CreatePostBlock>(env, "createPostBlock"));
    exports.Set("createSendQueue", Napi::Function::New<CreateSendQueue>(env, "createSendQueue"));
    exports.Set("createRecvQueue", Napi::Function::New<CreateRecvQueue>(env, "createRecvQueue"));
    exports.Set("createBatch", Napi::Function::New<CreateBatch>(env, "createBatch"));
    exports.Set("createPacketReader", Napi::Function::New<CreatePacketReader>(env, "createPacketReader"));
    exports.Set("readHostAddress", Napi::Function::New<ReadHost>(env, "readHostAddress"));
    exports.Set("createEndpoint", Napi::Function::New<CreateEndpoint>(env, "createEndpoint"));
    exports.Set("heldElements", Napi::Function::New<HeldElements>(env, "heldElements"));
    // The loader compares this with the hash in lib/internal/layout.ts before it uses any other export.
    exports.Set("layoutHash", RVT_LAYOUT_HASH);
    return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
