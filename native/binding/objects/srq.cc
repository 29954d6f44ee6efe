// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/srq.h"

#include "binding/objects/work_requests.h"

void SharedReceiveQueue::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeSharedReceiveQueue",
                                      {
                                          InstanceMethod("serial", &SharedReceiveQueue::Serial),
                                          InstanceMethod("destroy", &SharedReceiveQueue::Destroy),
                                          InstanceMethod("modify", &SharedReceiveQueue::Modify),
                                          InstanceMethod("query", &SharedReceiveQueue::Query),
                                          InstanceMethod("postRecv", &SharedReceiveQueue::PostRecv),
                                      }));
}

Napi::Value SharedReceiveQueue::Serial(const Napi::CallbackInfo &info) {
    rvt_srq *srq = rvt_srq_live(payload_.handle);
    return SerialOf(info.Env(), *payload_.device, srq ? &srq->owned : nullptr, payload_.handle.generation,
                    RVT_CAUSE_SRQ_GONE);
}

Napi::Value SharedReceiveQueue::Destroy(const Napi::CallbackInfo &info) {
    EngineCall call(*payload_.device);
    return Napi::Number::New(info.Env(), rvt_destroy_srq(payload_.handle));
}

// modify(mask, maxWr, limit)
Napi::Value SharedReceiveQueue::Modify(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t mask = arguments.U32(0), max_wr = arguments.U32(1), limit = arguments.U32(2);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(*payload_.device);
    return Napi::Number::New(info.Env(), rvt_modify_srq(payload_.handle, mask, max_wr, limit));
}

Napi::Value SharedReceiveQueue::Query(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_uint32_array, RVT_SRQ_ATTR_WORDS);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(*payload_.device);
    rvt_srq_attr attr;
    int error = rvt_query_srq(payload_.handle, &attr);
    if (!error) {
        auto *words = static_cast<uint32_t *>(out.data);
        words[RVT_SRQ_ATTR_MAX_WR] = attr.max_wr;
        words[RVT_SRQ_ATTR_MAX_SGE] = attr.max_sge;
        words[RVT_SRQ_ATTR_LIMIT] = attr.limit;
        words[RVT_SRQ_ATTR_HELD] = attr.held;
    }
    return Napi::Number::New(info.Env(), error);
}

Napi::Value SharedReceiveQueue::PostRecv(const Napi::CallbackInfo &info) {
    return PostRecvArray(info, *payload_.device, payload_.handle);
}
