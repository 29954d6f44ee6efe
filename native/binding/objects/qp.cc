// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/qp.h"

#include <cstring>

#include "binding/environment/engine_call.h"
#include "binding/objects/regions.h"
#include "binding/objects/work_requests.h"
#include "binding/values/arguments.h"

void QueuePair::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeQueuePair",
                                      {
                                          InstanceMethod("serial", &QueuePair::Serial),
                                          InstanceMethod("number", &QueuePair::Number),
                                          InstanceMethod("destroy", &QueuePair::Destroy),
                                          InstanceMethod("fastRegMr", &QueuePair::FastRegMr),
                                          InstanceMethod("invalidateRkey", &QueuePair::InvalidateRkey),
                                          InstanceMethod("qpn", &QueuePair::Qpn),
                                          InstanceMethod("unwire", &QueuePair::Unwire),
                                          InstanceMethod("modify", &QueuePair::Modify),
                                          InstanceMethod("query", &QueuePair::Query),
                                          InstanceMethod("postSend", &QueuePair::PostSend),
                                          InstanceMethod("postRecv", &QueuePair::PostRecv),
                                      }));
}

Napi::Value QueuePair::Serial(const Napi::CallbackInfo &info) {
    uint64_t serial = rvt_qp_serial(payload_.handle);
    return Napi::Number::New(info.Env(), serial
                                             ? static_cast<double>(serial)
                                             : rvt_fail_gone(payload_.device->get(),
                                                             payload_.device->context(), RVT_CAUSE_QP_GONE));
}

Napi::Value QueuePair::Number(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), payload_.checker->number());
}

Napi::Value QueuePair::Destroy(const Napi::CallbackInfo &info) {
    EngineCall call(*payload_.device);
    return Napi::Number::New(info.Env(), rvt_destroy_qp(payload_.handle));
}

// fastRegMr(key, access, iova): works on the region that the command block names.
Napi::Value QueuePair::FastRegMr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t key = arguments.U32(0), access = arguments.U32(1);
    uint64_t iova = 0;
    bool given = arguments.OptionalU64(2, &iova);
    if (!arguments.ok())
        return arguments.Undefined();
    Environment &environment = payload_.device->environment();
    CommandBlock &block = CommandBlock::Of(environment);
    NamedRegion region = block.ready() ? ReadRegion(block, Checkers::Of(environment)) : NamedRegion();
    int error = rvt_fast_reg_mr(payload_.handle, region.handle, key, access, given ? &iova : nullptr);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

Napi::Value QueuePair::InvalidateRkey(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t rkey = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    int error = rvt_invalidate_rkey(payload_.handle, rkey);
    payload_.device->Settle();
    return Napi::Number::New(info.Env(), error);
}

Napi::Value QueuePair::Unwire(const Napi::CallbackInfo &info) {
    EngineCall call(*payload_.device);
    return Napi::Number::New(info.Env(),
                             rvt_set_carrier(payload_.handle, &rvt_loopback, nullptr, false, UINT32_MAX));
}

// The words of a call in the order of struct rvt_ah_attr.
static rvt_ah_attr ReadAddress(const uint32_t *words) {
    rvt_ah_attr av = {};
    av.dlid = words[RVT_AV_DLID];
    av.sl = static_cast<uint8_t>(words[RVT_AV_SL]);
    // Values above 255 are refused by the core like any other that is not allowed.
    av.static_rate =
        static_cast<uint8_t>(words[RVT_AV_STATIC_RATE] > UINT8_MAX ? UINT8_MAX : words[RVT_AV_STATIC_RATE]);
    av.port = static_cast<uint8_t>(words[RVT_AV_PORT] > UINT8_MAX ? UINT8_MAX : words[RVT_AV_PORT]);
    return av;
}

static void WriteAddress(const rvt_ah_attr &av, uint32_t *words) {
    words[RVT_AV_DLID] = av.dlid;
    words[RVT_AV_SL] = av.sl;
    words[RVT_AV_STATIC_RATE] = av.static_rate;
    words[RVT_AV_PORT] = av.port;
}

// The attributes that are one word each.
struct AttributeWord {
    rvt_qp_attr_word word;
    uint32_t rvt_qp_attr::*member;
};
static const AttributeWord kAttributeWords[] = {
    {RVT_QP_ATTR_STATE, &rvt_qp_attr::state},
    {RVT_QP_ATTR_CUR_STATE, &rvt_qp_attr::cur_state},
    {RVT_QP_ATTR_ACCESS, &rvt_qp_attr::access},
    {RVT_QP_ATTR_QKEY, &rvt_qp_attr::qkey},
    {RVT_QP_ATTR_DEST_QPN, &rvt_qp_attr::dest_qpn},
    {RVT_QP_ATTR_SQ_PSN, &rvt_qp_attr::sq_psn},
    {RVT_QP_ATTR_RQ_PSN, &rvt_qp_attr::rq_psn},
    {RVT_QP_ATTR_PKEY_INDEX, &rvt_qp_attr::pkey_index},
    {RVT_QP_ATTR_PORT, &rvt_qp_attr::port},
    {RVT_QP_ATTR_PATH_MTU, &rvt_qp_attr::path_mtu},
    {RVT_QP_ATTR_PATH_MIG_STATE, &rvt_qp_attr::path_mig_state},
    {RVT_QP_ATTR_TIMEOUT, &rvt_qp_attr::timeout},
    {RVT_QP_ATTR_RETRY_CNT, &rvt_qp_attr::retry_cnt},
    {RVT_QP_ATTR_RNR_RETRY, &rvt_qp_attr::rnr_retry},
    {RVT_QP_ATTR_MIN_RNR_TIMER, &rvt_qp_attr::min_rnr_timer},
    {RVT_QP_ATTR_MAX_RD_ATOMIC, &rvt_qp_attr::max_rd_atomic},
    {RVT_QP_ATTR_MAX_DEST_RD_ATOMIC, &rvt_qp_attr::max_dest_rd_atomic},
    {RVT_QP_ATTR_ALT_PKEY_INDEX, &rvt_qp_attr::alt_pkey_index},
};

// Returns the queue pair's number; 0 for one without queues.
Napi::Value QueuePair::Qpn(const Napi::CallbackInfo &info) {
    EngineCall call(*payload_.device);
    rvt_qp_query query;
    int error = rvt_query_qp(payload_.handle, &query);
    if (error == -RVT_EINVAL) {
        rvt_failure none;
        rvt_take_failure(&none); // not a failure of this call
        return Napi::Number::New(info.Env(), 0);
    }
    return Napi::Number::New(info.Env(), error ? error : static_cast<double>(query.qpn));
}

// modify(mask, words)
Napi::Value QueuePair::Modify(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t mask = arguments.U32(0);
    ArrayView view = arguments.Array(1, napi_uint32_array, RVT_QP_ATTR_SET_WORDS);
    if (!arguments.ok())
        return arguments.Undefined();
    uint32_t words[RVT_QP_ATTR_SET_WORDS];
    std::memcpy(words, view.data, sizeof(words)); // once: the array may be shared
    rvt_qp_attr attr = {};
    for (const AttributeWord &attribute : kAttributeWords)
        attr.*attribute.member = words[attribute.word];
    attr.av = ReadAddress(words + RVT_QP_ATTR_AV);
    attr.alt_av = ReadAddress(words + RVT_QP_ATTR_ALT_AV);
    EngineCall call(*payload_.device);
    return Napi::Number::New(info.Env(), rvt_modify_qp(payload_.handle, &attr, mask));
}

Napi::Value QueuePair::Query(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_uint32_array, RVT_QP_ATTR_WORDS);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(*payload_.device);
    rvt_qp_query query;
    int error = rvt_query_qp(payload_.handle, &query);
    if (error)
        return Napi::Number::New(info.Env(), error);
    auto *words = static_cast<uint32_t *>(out.data);
    for (const AttributeWord &attribute : kAttributeWords)
        words[attribute.word] = query.attr.*attribute.member;
    WriteAddress(query.attr.av, words + RVT_QP_ATTR_AV);
    WriteAddress(query.attr.alt_av, words + RVT_QP_ATTR_ALT_AV);
    words[RVT_QP_ATTR_QPN] = query.qpn;
    words[RVT_QP_ATTR_TYPE] = query.type;
    words[RVT_QP_ATTR_SIG_TYPE] = query.sig_type;
    words[RVT_QP_ATTR_MAX_SEND_WR] = query.max_send_wr;
    words[RVT_QP_ATTR_MAX_RECV_WR] = query.max_recv_wr;
    words[RVT_QP_ATTR_MAX_SEND_SGE] = query.max_send_sge;
    words[RVT_QP_ATTR_MAX_RECV_SGE] = query.max_recv_sge;
    words[RVT_QP_ATTR_SENDS] = query.sends;
    words[RVT_QP_ATTR_RECEIVES] = query.receives;
    words[RVT_QP_ATTR_SQ_DRAINING] = query.sq_draining;
    return Napi::Number::New(info.Env(), 0);
}

Napi::Value QueuePair::PostSend(const Napi::CallbackInfo &info) {
    return PostSendArray(info, *payload_.device, payload_.handle);
}

Napi::Value QueuePair::PostRecv(const Napi::CallbackInfo &info) {
    return PostRecvArray(info, *payload_.device, payload_.handle);
}
