// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/wr_slots.h"

#include <memory>
#include <new>

#include "binding/environment/engine_call.h"
#include "binding/objects/ah.h"
#include "binding/objects/qp.h"
#include "binding/objects/srq.h"
#include "binding/objects/wr_reader.h"
#include "binding/values/arguments.h"
#include "binding/values/shared_function.h"

namespace {

// The address handles of the slots. `devices` keeps their devices alive: a handle can be of another device, and
// is refused then when the work request is posted.
struct Destinations {
    std::unique_ptr<rvt_ah_handle[]> handles;
    std::unique_ptr<std::shared_ptr<OpenDevice>[]> devices;
};

// A packed queue. Its functions own it and keep its block and its device alive.
struct Slots {
    Slots(std::shared_ptr<OpenDevice> of, void *block, uint32_t slots, size_t words)
        : device(std::move(of)), header(static_cast<uint32_t *>(block)), capacity(slots), stride(words) {}
    ~Slots() {
        if (block_reference)
            device->environment().ReleaseReference(block_reference);
    }
    Slots(const Slots &) = delete;
    Slots &operator=(const Slots &) = delete;

    // Reads which slots to post. Returns false if there are no such slots.
    bool ReadRange(PackedRequests *packed, uint32_t *count) const {
        const uint32_t first = header[RVT_WR_HEADER_FIRST];
        *count = header[RVT_WR_HEADER_COUNT];
        if (first > capacity || *count > capacity - first)
            return false;
        const auto *slots = const_cast<const uint32_t *>(header + RVT_WR_HEADER_WORDS);
        *packed = {slots + first * stride, *count * stride, stride};
        return true;
    }
    void Answer(int error, uint32_t bad, uint32_t count) {
        header[RVT_WR_HEADER_POSTED] = !error ? count : bad == RVT_NO_BAD_WR ? 0 : bad;
        header[RVT_WR_HEADER_BAD] = bad;
        header[RVT_WR_HEADER_STATUS] = static_cast<uint32_t>(error);
    }

    std::shared_ptr<OpenDevice> device;
    volatile uint32_t *const header; // JavaScript on any thread may write to it at any time
    const uint32_t capacity;
    const size_t stride; // words from one slot to the next
    napi_ref block_reference = nullptr;
    rvt_qp_handle qp = {};
    rvt_srq_handle srq = {}; // used instead of `qp` if it names a queue
    Destinations destinations;
};

using Shared = std::shared_ptr<Slots>;

int Unreadable() {
    return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
}

napi_value PostSends(napi_env env, napi_callback_info info) {
    auto *slots = SharedOf<Slots>(env, info);
    if (!slots)
        return nullptr;
    PackedRequests packed;
    uint32_t count, bad = RVT_NO_BAD_WR;
    if (!slots->ReadRange(&packed, &count)) {
        slots->Answer(Unreadable(), bad, 0);
        return nullptr;
    }
    EngineCall call(*slots->device);
    const rvt_ah_handle *ahs = slots->destinations.handles.get();
    SendReader reader(packed, ahs, ahs ? slots->capacity : 0, Checkers::Of(slots->device->environment()));
    const rvt_send_source source = reader.source();
    int error = rvt_post_send_from(slots->qp, &source, count, &bad);
    slots->Answer(error, bad, count);
    return nullptr;
}

napi_value PostReceives(napi_env env, napi_callback_info info) {
    auto *slots = SharedOf<Slots>(env, info);
    if (!slots)
        return nullptr;
    PackedRequests packed;
    uint32_t count, bad = 0;
    if (!slots->ReadRange(&packed, &count)) {
        slots->Answer(Unreadable(), bad, 0);
        return nullptr;
    }
    EngineCall call(*slots->device);
    RecvReader reader(packed);
    int error = PostChunks(reader, count, &bad, [slots](const rvt_recv_wr *wrs, uint32_t some, uint32_t *at) {
        return slots->srq.srq ? rvt_post_srq_recv(slots->srq, wrs, some, at)
                              : rvt_post_recv(slots->qp, wrs, some, at);
    });
    slots->Answer(error, bad, count);
    return nullptr;
}

// setAh(slot, address handle): keeps the handle that the work request of the slot names. Returns 0, -ENOMEM;
// -EINVAL for arguments of another kind.
napi_value SetAh(napi_env env, napi_callback_info info) {
    size_t argc = 2;
    napi_value argv[2];
    auto *slots = SharedOf<Slots>(env, info, &argc, argv);
    if (!slots)
        return nullptr;
    Destinations &to = slots->destinations;
    uint32_t slot;
    AddressHandle *ah = AddressHandle::Get(Napi::Value(env, argv[1]));
    int error = 0;
    if (!ah || napi_get_value_uint32(env, argv[0], &slot) != napi_ok || slot >= slots->capacity)
        error = Unreadable();
    else if (!to.handles) {
        to.handles.reset(new (std::nothrow) rvt_ah_handle[slots->capacity]());
        to.devices.reset(new (std::nothrow) std::shared_ptr<OpenDevice>[slots->capacity]);
        if (!to.handles || !to.devices) {
            to = {};
            error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
        }
    }
    if (!error) {
        to.handles[slot] = ah->payload().handle;
        to.devices[slot] = ah->payload().device;
    }
    napi_value answer = nullptr;
    napi_create_int32(env, error, &answer);
    return answer;
}

// Reads the arguments block and capacity (1 and 2) and creates a queue with slots of `words` words. Returns an empty
// pointer with an exception pending if the block does not have this size.
RVT_COLD Shared NewSlots(Arguments &arguments, const std::shared_ptr<OpenDevice> &device, size_t words,
                         napi_value *buffer) {
    auto capacity = static_cast<uint32_t>(arguments.Integer(2, 1, RVT_MAX_SLOTS));
    ArrayView view = arguments.SharedBytes(1, 0, buffer);
    if (view.length != (RVT_WR_HEADER_WORDS + capacity * words) * sizeof(uint32_t))
        arguments.Wrong(1, "as long as the block of the queue");
    return arguments.ok() ? std::make_shared<Slots>(device, view.data, capacity, words) : nullptr;
}

bool KeepBlock(napi_env env, napi_value buffer, const Shared &slots) {
    return napi_create_reference(env, buffer, 1, &slots->block_reference) == napi_ok;
}

} // namespace

RVT_COLD Napi::Value CreateSendQueue(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    auto *qp = arguments.Object<QueuePair>(0);
    if (!qp)
        return arguments.Undefined();
    rvt_qp_query query;
    int error;
    {
        EngineCall call(*qp->payload().device);
        error = rvt_query_qp(qp->payload().handle, &query);
    }
    if (error)
        return Napi::Number::New(env, error);
    napi_value buffer, object;
    Shared slots = NewSlots(arguments, qp->payload().device,
                            RVT_SEND_WR_WORDS + size_t{query.max_send_sge} * RVT_SGE_WORDS, &buffer);
    if (!slots)
        return arguments.Undefined();
    slots->qp = qp->payload().handle;
    if (!KeepBlock(env, buffer, slots) || napi_create_object(env, &object) != napi_ok ||
        !AddSharedFunction(env, object, slots, "post", PostSends) ||
        !AddSharedFunction(env, object, slots, "setAh", SetAh))
        return Napi::Value();
    return Napi::Value(env, object);
}

RVT_COLD Napi::Value CreateRecvQueue(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    QueuePair *qp = QueuePair::Get(info[0]);
    SharedReceiveQueue *srq = qp ? nullptr : SharedReceiveQueue::Get(info[0]);
    if (!qp && !srq) {
        arguments.Wrong(0, "a queue pair or a shared receive queue");
        return arguments.Undefined();
    }
    const std::shared_ptr<OpenDevice> &device = qp ? qp->payload().device : srq->payload().device;
    uint32_t max_sge = 0;
    int error;
    {
        EngineCall call(*device);
        rvt_qp_query query;
        rvt_srq_attr attr;
        error = qp ? rvt_query_qp(qp->payload().handle, &query) : rvt_query_srq(srq->payload().handle, &attr);
        if (!error)
            max_sge = qp ? query.max_recv_sge : attr.max_sge;
    }
    if (error)
        return Napi::Number::New(env, error);
    napi_value buffer, object;
    Shared slots = NewSlots(arguments, device, RVT_RECV_WR_WORDS + size_t{max_sge} * RVT_SGE_WORDS, &buffer);
    if (!slots)
        return arguments.Undefined();
    if (qp)
        slots->qp = qp->payload().handle;
    else
        slots->srq = srq->payload().handle;
    if (!KeepBlock(env, buffer, slots) || napi_create_object(env, &object) != napi_ok ||
        !AddSharedFunction(env, object, slots, "post", PostReceives))
        return Napi::Value();
    return Napi::Value(env, object);
}
