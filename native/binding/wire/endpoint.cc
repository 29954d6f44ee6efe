// SPDX-License-Identifier: BSD-3-Clause
#include "binding/wire/endpoint.h"

#ifndef __linux__
#include "core/rvt.h"

void DefineEndpoint(Environment &, Napi::Env) {}

Napi::Value CreateEndpoint(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), rvt_fail(RVT_EOPNOTSUPP, RVT_CAUSE_NO_SOCKETS));
}

Napi::Value ReadHost(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), rvt_fail(RVT_EOPNOTSUPP, RVT_CAUSE_NO_SOCKETS));
}

#else
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "binding/environment/engine_call.h"
#include "binding/objects/device.h"
#include "binding/objects/qp.h"
#include "binding/values/arguments.h"
#include "binding/values/wrapper.h"
#include "binding/wire/host_address.h"
#include "binding/wire/wire_endpoint.h"

namespace {

struct EndpointPayload {
    std::shared_ptr<WireEndpoint> endpoint;
};

class Endpoint : public Wrapper<Endpoint, EndpointPayload, kEndpoint> {
public:
    using Wrapper::Wrapper;
    static void Define(Environment &environment, Napi::Env env);

private:
    Napi::Value Id(const Napi::CallbackInfo &info);
    Napi::Value Live(const Napi::CallbackInfo &info);
    Napi::Value Address(const Napi::CallbackInfo &info);
    Napi::Value Port(const Napi::CallbackInfo &info);
    Napi::Value Connect(const Napi::CallbackInfo &info);
    Napi::Value Attach(const Napi::CallbackInfo &info);
    Napi::Value Reference(const Napi::CallbackInfo &info);
    Napi::Value Counters(const Napi::CallbackInfo &info);
    Napi::Value TakeRefusal(const Napi::CallbackInfo &info);
    Napi::Value Listen(const Napi::CallbackInfo &info);
    Napi::Value Unlisten(const Napi::CallbackInfo &info);
    Napi::Value CmConnect(const Napi::CallbackInfo &info);
    Napi::Value CmAccept(const Napi::CallbackInfo &info);
    Napi::Value CmReject(const Napi::CallbackInfo &info);
    Napi::Value CmConfirm(const Napi::CallbackInfo &info);
    Napi::Value CmDisconnect(const Napi::CallbackInfo &info);
    Napi::Value TakeCmEvent(const Napi::CallbackInfo &info);
    Napi::Value CmCounters(const Napi::CallbackInfo &info);
    Napi::Value Poll(const Napi::CallbackInfo &info);
    Napi::Value Close(const Napi::CallbackInfo &info);
    Napi::Value Feed(const Napi::CallbackInfo &info);
    Napi::Value Take(const Napi::CallbackInfo &info);
};

// The longest text that can be an address: IPv6 with a zone.
constexpr size_t kMostAddressText = 128;

// Reads a string. Anything longer than an address is none: the text is then empty, which is no address either.
std::string Text(Arguments &arguments, const Napi::CallbackInfo &info, size_t index) {
    char text[kMostAddressText];
    size_t length = 0;
    if (!info[index].IsString() ||
        napi_get_value_string_utf8(info.Env(), info[index], text, sizeof(text), &length) != napi_ok)
        arguments.Wrong(index, "a string");
    return length + 1 < sizeof(text) ? std::string(text, length) : std::string();
}

void Endpoint::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeEndpoint",
                                      {
                                          InstanceMethod("id", &Endpoint::Id),
                                          InstanceMethod("live", &Endpoint::Live),
                                          InstanceMethod("address", &Endpoint::Address),
                                          InstanceMethod("port", &Endpoint::Port),
                                          InstanceMethod("connect", &Endpoint::Connect),
                                          InstanceMethod("attach", &Endpoint::Attach),
                                          InstanceMethod("reference", &Endpoint::Reference),
                                          InstanceMethod("counters", &Endpoint::Counters),
                                          InstanceMethod("takeRefusal", &Endpoint::TakeRefusal),
                                          InstanceMethod("listen", &Endpoint::Listen),
                                          InstanceMethod("unlisten", &Endpoint::Unlisten),
                                          InstanceMethod("cmConnect", &Endpoint::CmConnect),
                                          InstanceMethod("cmAccept", &Endpoint::CmAccept),
                                          InstanceMethod("cmReject", &Endpoint::CmReject),
                                          InstanceMethod("cmConfirm", &Endpoint::CmConfirm),
                                          InstanceMethod("cmDisconnect", &Endpoint::CmDisconnect),
                                          InstanceMethod("takeCmEvent", &Endpoint::TakeCmEvent),
                                          InstanceMethod("cmCounters", &Endpoint::CmCounters),
                                          InstanceMethod("poll", &Endpoint::Poll),
                                          InstanceMethod("close", &Endpoint::Close),
                                          InstanceMethod("feed", &Endpoint::Feed),
                                          InstanceMethod("take", &Endpoint::Take),
                                      }));
}

Napi::Value Endpoint::Id(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), static_cast<double>(payload_.endpoint->id()));
}

Napi::Value Endpoint::Live(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(),
                             payload_.endpoint->open() ? 0 : rvt_fail(RVT_EBADF, RVT_CAUSE_ENDPOINT_CLOSED));
}

Napi::Value Endpoint::Address(const Napi::CallbackInfo &info) {
    return Napi::String::New(info.Env(), payload_.endpoint->address());
}

Napi::Value Endpoint::Port(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), payload_.endpoint->port());
}

// connect(qp, address, port)
Napi::Value Endpoint::Connect(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    auto *qp = arguments.Object<QueuePair>(0);
    std::string address = Text(arguments, info, 1);
    rvt_wire_peer peer;
    uint32_t scope;
    peer.port = static_cast<uint16_t>(arguments.Integer(2, 1, UINT16_MAX));
    if (!arguments.ok())
        return arguments.Undefined();
    WireEndpoint &endpoint = *payload_.endpoint;
    EngineCall call(endpoint.device());
    int error = 0;
    if (!endpoint.open())
        error = rvt_fail(RVT_EBADF, RVT_CAUSE_ENDPOINT_CLOSED);
    else if (!ReadHostAddress(address, peer.address, &scope))
        error = rvt_fail(RVT_EINVAL, RVT_CAUSE_HOST_ADDRESS);
    else if (qp->payload().device->get() != endpoint.device().get())
        error = rvt_fail(RVT_EINVAL, RVT_CAUSE_QP_ON_OTHER_DEVICE);
    else
        error = endpoint.Connect(qp->payload().handle, peer);
    return Napi::Number::New(info.Env(), error);
}

// attach(qp, pathMtu)
Napi::Value Endpoint::Attach(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    auto *qp = arguments.Object<QueuePair>(0);
    const uint32_t path_mtu = arguments.U32(1);
    if (!arguments.ok())
        return arguments.Undefined();
    WireEndpoint &endpoint = *payload_.endpoint;
    EngineCall call(endpoint.device());
    int error = 0;
    if (!endpoint.open())
        error = rvt_fail(RVT_EBADF, RVT_CAUSE_ENDPOINT_CLOSED);
    else if (qp->payload().device->get() != endpoint.device().get())
        error = rvt_fail(RVT_EINVAL, RVT_CAUSE_QP_ON_OTHER_DEVICE);
    else
        error = endpoint.Attach(qp->payload().handle, path_mtu);
    return Napi::Number::New(info.Env(), error);
}

// reference(keepsAlive)
Napi::Value Endpoint::Reference(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool keeps_alive = arguments.Bool(0);
    if (arguments.ok())
        payload_.endpoint->Reference(keeps_alive);
    return arguments.Undefined();
}

// counters(out): fills `out` with enum rvt_endpoint_counter.
Napi::Value Endpoint::Counters(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_biguint64_array, RVT_ENDPOINT_COUNTER_COUNT);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(payload_.endpoint->device());
    std::memcpy(out.data, payload_.endpoint->counters(), RVT_ENDPOINT_COUNTER_COUNT * sizeof(uint64_t));
    return arguments.Undefined();
}

void Store64(uint32_t *words, int at, uint64_t value) {
    words[at] = static_cast<uint32_t>(value);
    words[at + 1] = static_cast<uint32_t>(value >> 32);
}

// takeRefusal(words): takes the oldest refusal into `words` (enum rvt_wire_refusal_word). Returns the peer's address, or
// undefined if there is none.
Napi::Value Endpoint::TakeRefusal(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_uint32_array, RVT_WIRE_REFUSAL_WORDS);
    rvt_wire_refusal refusal;
    if (!arguments.ok() || !payload_.endpoint->TakeRefusal(&refusal))
        return arguments.Undefined();
    uint32_t words[RVT_WIRE_REFUSAL_WORDS];
    words[RVT_WIRE_REFUSAL_PORT] = refusal.peer.port;
    Store64(words, RVT_WIRE_REFUSAL_QP, refusal.qp);
    words[RVT_WIRE_REFUSAL_QPN] = refusal.qp_num;
    words[RVT_WIRE_REFUSAL_OPCODE] = refusal.opcode;
    words[RVT_WIRE_REFUSAL_PSN] = refusal.psn;
    words[RVT_WIRE_REFUSAL_SYNDROME] = refusal.syndrome;
    words[RVT_WIRE_REFUSAL_CAUSE] = refusal.why.cause;
    words[RVT_WIRE_REFUSAL_VALUE] = refusal.why.value;
    Store64(words, RVT_WIRE_REFUSAL_ADDR, refusal.why.refused.addr);
    words[RVT_WIRE_REFUSAL_LENGTH] = refusal.why.refused.length;
    words[RVT_WIRE_REFUSAL_KEY] = refusal.why.refused.key;
    words[RVT_WIRE_REFUSAL_ACCESS] = refusal.why.refused.access;
    words[RVT_WIRE_REFUSAL_REASON] = refusal.why.refused.reason;
    std::memcpy(out.data, words, sizeof(words));
    return Napi::String::New(info.Env(), HostAddressText(refusal.peer.address));
}

// --- the connection manager ---

// What a program may ask for: repetitions of a REQ for a minute each.
constexpr double kMostInterval = 60000000;

// Reads the words of enum rvt_cm_offer_word, each of which is cut to its field.
rvt_cm_offer ReadOffer(const ArrayView &view) {
    uint32_t words[RVT_CM_OFFER_WORDS];
    std::memcpy(words, view.data, sizeof(words)); // once: it may be shared memory
    rvt_cm_offer offer = {};
    offer.qpn = words[RVT_CM_OFFER_QPN] & 0xffffff;
    offer.psn = words[RVT_CM_OFFER_PSN] & 0xffffff;
    offer.responder_resources = static_cast<uint8_t>(words[RVT_CM_OFFER_RESPONDER_RESOURCES]);
    offer.initiator_depth = static_cast<uint8_t>(words[RVT_CM_OFFER_INITIATOR_DEPTH]);
    offer.path_mtu = words[RVT_CM_OFFER_PATH_MTU] & 15;
    offer.retry_count = words[RVT_CM_OFFER_RETRY_CNT] & 7;
    offer.rnr_retry_count = words[RVT_CM_OFFER_RNR_RETRY] & 7;
    offer.ack_timeout = words[RVT_CM_OFFER_ACK_TIMEOUT] & 31;
    offer.srq = words[RVT_CM_OFFER_SRQ] != 0;
    return offer;
}

// Private data, of which the connection manager judges the length. More than any message has is not looked at.
uint32_t DataLength(const ArrayView &data) {
    return data.length < UINT32_MAX ? static_cast<uint32_t>(data.length) : UINT32_MAX;
}

// listen(service, backlog): the listener's number, or an errno.
Napi::Value Endpoint::Listen(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint64_t service = arguments.U64(0);
    const uint32_t backlog = arguments.U32(1);
    uint32_t listener = 0;
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(payload_.endpoint->device());
    const int error = payload_.endpoint->WithCm(
        [&](rvt_cm *cm, uint64_t) { return rvt_cm_listen(cm, service, backlog, &listener); });
    return Napi::Number::New(info.Env(), error ? error : static_cast<double>(listener));
}

// unlisten(listener)
Napi::Value Endpoint::Unlisten(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint32_t listener = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(payload_.endpoint->device());
    return Napi::Number::New(info.Env(), payload_.endpoint->WithCm([&](rvt_cm *cm, uint64_t) {
        rvt_cm_unlisten(cm, listener);
        return 0;
    }));
}

// cmConnect(address, port, service, offer, data, interval, retries): the connection's number, or an errno.
Napi::Value Endpoint::CmConnect(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    std::string address = Text(arguments, info, 0);
    rvt_cm_ask ask = {};
    uint32_t scope, id = 0;
    ask.peer.port = static_cast<uint16_t>(arguments.Integer(1, 1, UINT16_MAX));
    ask.service = arguments.U64(2);
    ArrayView offer = arguments.Array(3, napi_uint32_array, RVT_CM_OFFER_WORDS);
    ArrayView data = arguments.Array(4, napi_uint8_array);
    ask.interval = static_cast<uint64_t>(arguments.Integer(5, 1000, kMostInterval));
    ask.retries = static_cast<uint32_t>(arguments.Integer(6, 0, RVT_CM_MOST_RETRIES));
    if (!arguments.ok())
        return arguments.Undefined();
    ask.offer = ReadOffer(offer);
    ask.data = static_cast<const unsigned char *>(data.data);
    ask.length = DataLength(data);
    WireEndpoint &endpoint = *payload_.endpoint;
    EngineCall call(endpoint.device());
    int error = 0;
    if (!endpoint.open())
        error = rvt_fail(RVT_EBADF, RVT_CAUSE_ENDPOINT_CLOSED);
    else if (!ReadHostAddress(address, ask.peer.address, &scope))
        error = rvt_fail(RVT_EINVAL, RVT_CAUSE_HOST_ADDRESS);
    else if (!endpoint.SameFamily(ask.peer.address))
        error = rvt_fail(RVT_EINVAL, RVT_CAUSE_ADDRESS_FAMILY);
    else
        error = endpoint.WithCm([&](rvt_cm *cm, uint64_t now) { return rvt_cm_connect(cm, &ask, now, &id); });
    return Napi::Number::New(info.Env(), error ? error : static_cast<double>(id));
}

// cmAccept(id, offer, data)
Napi::Value Endpoint::CmAccept(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint32_t id = arguments.U32(0);
    ArrayView words = arguments.Array(1, napi_uint32_array, RVT_CM_OFFER_WORDS);
    ArrayView data = arguments.Array(2, napi_uint8_array);
    if (!arguments.ok())
        return arguments.Undefined();
    const rvt_cm_offer offer = ReadOffer(words);
    EngineCall call(payload_.endpoint->device());
    return Napi::Number::New(info.Env(), payload_.endpoint->WithCm([&](rvt_cm *cm, uint64_t now) {
        return rvt_cm_accept(cm, id, &offer, static_cast<const unsigned char *>(data.data), DataLength(data),
                             now);
    }));
}

// cmReject(id, data)
Napi::Value Endpoint::CmReject(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint32_t id = arguments.U32(0);
    ArrayView data = arguments.Array(1, napi_uint8_array);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(payload_.endpoint->device());
    return Napi::Number::New(info.Env(), payload_.endpoint->WithCm([&](rvt_cm *cm, uint64_t now) {
        return rvt_cm_reject(cm, id, static_cast<const unsigned char *>(data.data), DataLength(data), now);
    }));
}

// cmConfirm(id)
Napi::Value Endpoint::CmConfirm(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint32_t id = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(payload_.endpoint->device());
    return Napi::Number::New(info.Env(), payload_.endpoint->WithCm([&](rvt_cm *cm, uint64_t now) {
        return rvt_cm_confirm(cm, id, now);
    }));
}

// cmDisconnect(id)
Napi::Value Endpoint::CmDisconnect(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const uint32_t id = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(payload_.endpoint->device());
    return Napi::Number::New(info.Env(), payload_.endpoint->WithCm([&](rvt_cm *cm, uint64_t now) {
        rvt_cm_disconnect(cm, id, now);
        return 0;
    }));
}

// takeCmEvent(words, data): takes the oldest event into `words` (enum rvt_cm_event_word) and its private data into `data`.
// Returns the peer's address, or undefined if there is none.
Napi::Value Endpoint::TakeCmEvent(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_uint32_array, RVT_CM_EVENT_WORD_WORDS);
    ArrayView data = arguments.Array(1, napi_uint8_array, RVT_CM_REP_DATA);
    rvt_cm_event event;
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(payload_.endpoint->device());
    if (!payload_.endpoint->TakeCmEvent(&event))
        return arguments.Undefined();
    uint32_t words[RVT_CM_EVENT_WORD_WORDS] = {};
    words[RVT_CM_EVENT_WORD_KIND] = event.kind;
    words[RVT_CM_EVENT_WORD_ID] = event.id;
    words[RVT_CM_EVENT_WORD_LISTENER] = event.listener;
    words[RVT_CM_EVENT_WORD_PORT] = event.peer.port;
    words[RVT_CM_EVENT_WORD_REASON] = event.reason;
    Store64(words, RVT_CM_EVENT_WORD_SERVICE, event.service);
    words[RVT_CM_EVENT_WORD_SOURCE_PORT] = event.source_port;
    words[RVT_CM_EVENT_WORD_QPN] = event.offer.qpn;
    words[RVT_CM_EVENT_WORD_PSN] = event.offer.psn;
    words[RVT_CM_EVENT_WORD_RESPONDER_RESOURCES] = event.offer.responder_resources;
    words[RVT_CM_EVENT_WORD_INITIATOR_DEPTH] = event.offer.initiator_depth;
    words[RVT_CM_EVENT_WORD_PATH_MTU] = event.offer.path_mtu;
    words[RVT_CM_EVENT_WORD_RETRY_CNT] = event.offer.retry_count;
    words[RVT_CM_EVENT_WORD_RNR_RETRY] = event.offer.rnr_retry_count;
    words[RVT_CM_EVENT_WORD_ACK_TIMEOUT] = event.offer.ack_timeout;
    words[RVT_CM_EVENT_WORD_SRQ] = event.offer.srq;
    words[RVT_CM_EVENT_WORD_DATA_LENGTH] = event.length;
    std::memcpy(out.data, words, sizeof(words));
    std::memcpy(data.data, event.data, event.length);
    return Napi::String::New(info.Env(), HostAddressText(event.peer.address));
}

// cmCounters(out): fills `out` with enum rvt_cm_counter.
Napi::Value Endpoint::CmCounters(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_biguint64_array, RVT_CM_COUNTER_COUNT);
    if (!arguments.ok())
        return arguments.Undefined();
    uint64_t counters[RVT_CM_COUNTER_COUNT];
    EngineCall call(payload_.endpoint->device());
    payload_.endpoint->CountCm(counters);
    std::memcpy(out.data, counters, sizeof(counters));
    return arguments.Undefined();
}

// A second: the thread does nothing else meanwhile.
constexpr double kMostPoll = 1000000;

// poll(microseconds): works on what has arrived, and waits for a packet up to so long first. Returns whether there was one.
Napi::Value Endpoint::Poll(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    const auto microseconds = static_cast<uint32_t>(arguments.Integer(0, 0, kMostPoll));
    if (!arguments.ok())
        return arguments.Undefined();
    std::shared_ptr<WireEndpoint> endpoint = payload_.endpoint;
    EngineCall call(endpoint->device());
    return Napi::Boolean::New(info.Env(), endpoint->Poll(microseconds));
}

Napi::Value Endpoint::Close(const Napi::CallbackInfo &info) {
    EngineCall call(payload_.endpoint->device());
    payload_.endpoint->Close();
    return Napi::Number::New(info.Env(), 0);
}

// feed(bytes, address, port, ipId): gives the endpoint without a socket a packet; `ipId` -1: not known.
Napi::Value Endpoint::Feed(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView bytes = arguments.Array(0, napi_uint8_array);
    std::string address = Text(arguments, info, 1);
    MemoryLink::Packet packet;
    uint32_t scope;
    packet.peer.port = static_cast<uint16_t>(arguments.Integer(2, 0, UINT16_MAX));
    double ip_id = arguments.Integer(3, -1, UINT16_MAX);
    if (!arguments.ok())
        return arguments.Undefined();
    WireEndpoint &endpoint = *payload_.endpoint;
    EngineCall call(endpoint.device());
    if (!endpoint.memory())
        return Napi::Number::New(info.Env(), rvt_fail(RVT_EBADF, RVT_CAUSE_ENDPOINT_CLOSED));
    if (!ReadHostAddress(address, packet.peer.address, &scope))
        return Napi::Number::New(info.Env(), rvt_fail(RVT_EINVAL, RVT_CAUSE_HOST_ADDRESS));
    auto *first = static_cast<unsigned char *>(bytes.data);
    packet.bytes.assign(first, first + bytes.length);
    packet.has_ip_id = ip_id >= 0;
    packet.ip_id = packet.has_ip_id ? static_cast<uint16_t>(ip_id) : 0;
    endpoint.memory()->Arrive(std::move(packet));
    endpoint.Work();
    return Napi::Number::New(info.Env(), 0);
}

// take(): returns the packets that the endpoint without a socket has sent since the last call, as a flat list of bytes,
// address and port.
Napi::Value Endpoint::Take(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    MemoryLink *memory = payload_.endpoint->memory();
    Napi::Array list = Napi::Array::New(env);
    uint32_t at = 0;
    while (memory && !memory->sent.empty()) {
        const MemoryLink::Packet packet = std::move(memory->sent.front());
        memory->sent.pop_front();
        Napi::Uint8Array bytes = Napi::Uint8Array::New(env, packet.bytes.size());
        if (bytes.IsEmpty())
            return Napi::Value(); // an exception is pending
        std::memcpy(bytes.Data(), packet.bytes.data(), packet.bytes.size());
        list.Set(at++, bytes);
        list.Set(at++, HostAddressText(packet.peer.address));
        list.Set(at++, Napi::Number::New(env, packet.peer.port));
    }
    return list;
}

} // namespace

Napi::Value ReadHost(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    std::string text = Text(arguments, info, 0);
    ArrayView out = arguments.Array(1, napi_uint8_array, 16);
    uint8_t address[16];
    uint32_t scope;
    if (!arguments.ok())
        return arguments.Undefined();
    if (!ReadHostAddress(text, address, &scope))
        return Napi::Number::New(info.Env(), rvt_fail(RVT_EINVAL, RVT_CAUSE_HOST_ADDRESS));
    std::memcpy(out.data, address, sizeof(address));
    return Napi::Number::New(info.Env(), 0);
}

void DefineEndpoint(Environment &environment, Napi::Env env) {
    Endpoint::Define(environment, env);
}

Napi::Value CreateEndpoint(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    auto *device = arguments.Object<Device>(0);
    WireEndpoint::Options options;
    options.address = Text(arguments, info, 1);
    options.port = static_cast<uint16_t>(arguments.Integer(2, 0, UINT16_MAX));
    options.refusals = arguments.U32(3);
    const uint32_t flags = arguments.U32(4);
    if (!arguments.ok())
        return arguments.Undefined();
    options.memory = flags & RVT_ENDPOINT_FLAG_MEMORY;
    options.by_thread = flags & RVT_ENDPOINT_FLAG_BY_THREAD;
    options.any_keys = flags & RVT_ENDPOINT_FLAG_ANY_KEYS;
    int error = 0;
    std::shared_ptr<OpenDevice> of = device->payload().device;
    EngineCall call(*of);
    std::shared_ptr<WireEndpoint> endpoint = WireEndpoint::Open(of, options, &error);
    if (!endpoint)
        return Napi::Number::New(env, error);
    Napi::Value object = Endpoint::Create(of->environment(), {endpoint});
    if (object.IsEmpty())
        endpoint->Close(); // undo: an exception is pending
    return object;
}
#endif
