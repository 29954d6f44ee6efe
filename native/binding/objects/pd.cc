// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/pd.h"

#include <cstring>

#include "binding/environment/engine_call.h"
#include "binding/objects/ah.h"
#include "binding/objects/cq.h"
#include "binding/objects/qp.h"
#include "binding/objects/regions.h"
#include "binding/objects/srq.h"
#include "binding/values/arguments.h"
#include "binding/values/command_block.h"

void ProtectionDomain::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeProtectionDomain",
                                      {
                                          InstanceMethod("serial", &ProtectionDomain::Serial),
                                          InstanceMethod("number", &ProtectionDomain::Number),
                                          InstanceMethod("dealloc", &ProtectionDomain::Dealloc),
                                          InstanceMethod("createCheckQp", &ProtectionDomain::CreateCheckQp),
                                          InstanceMethod("createQp", &ProtectionDomain::CreateQp),
                                          InstanceMethod("createSrq", &ProtectionDomain::CreateSrq),
                                          InstanceMethod("createAh", &ProtectionDomain::CreateAh),
                                          InstanceMethod("regUserMrTest", &ProtectionDomain::RegUserMrTest),
                                          InstanceMethod("getDmaMr", &ProtectionDomain::GetDmaMr),
                                          InstanceMethod("allocMr", &ProtectionDomain::AllocMr),
                                          InstanceMethod("allocFmr", &ProtectionDomain::AllocFmr),
                                          InstanceMethod("deregMany", &ProtectionDomain::DeregMany),
                                      }));
}

Napi::Value ProtectionDomain::Serial(const Napi::CallbackInfo &info) {
    uint64_t serial = rvt_pd_serial(payload_.handle);
    return Napi::Number::New(info.Env(), serial
                                             ? static_cast<double>(serial)
                                             : rvt_fail_gone(payload_.device->get(),
                                                             payload_.device->context(), RVT_CAUSE_PD_GONE));
}

Napi::Value ProtectionDomain::Number(const Napi::CallbackInfo &info) {
    return Napi::Number::New(info.Env(), payload_.checker->number());
}

Napi::Value ProtectionDomain::Dealloc(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool cascade = arguments.Bool(0);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(*payload_.device);
    int error = rvt_dealloc_pd(payload_.handle, cascade);
    return Napi::Number::New(info.Env(), error);
}

Napi::Value ProtectionDomain::CreateCheckQp(const Napi::CallbackInfo &info) {
    rvt_qp_handle handle;
    int error = rvt_create_check_qp(payload_.handle, &handle);
    payload_.device->Settle();
    if (error)
        return Napi::Number::New(info.Env(), error);
    Napi::Value object = QueuePair::Wrap(payload_.device, handle);
    if (object.IsEmpty())
        rvt_destroy_qp(handle); // undo: an exception is pending, so the call must have no effect
    return object;
}

// createQp(sendCq, recvCq, srq, words)
Napi::Value ProtectionDomain::CreateQp(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    auto *send_cq = arguments.Object<CompletionQueue>(0);
    auto *recv_cq = arguments.Object<CompletionQueue>(1);
    auto *srq = info[2].IsUndefined() ? nullptr : arguments.Object<SharedReceiveQueue>(2);
    ArrayView view = arguments.Array(3, napi_uint32_array, RVT_QP_INIT_WORDS);
    if (!arguments.ok())
        return arguments.Undefined();
    uint32_t words[RVT_QP_INIT_WORDS];
    std::memcpy(words, view.data, sizeof(words)); // once: the array may be shared
    rvt_qp_init init = {};
    init.type = words[RVT_QP_INIT_TYPE];
    init.sig_type = words[RVT_QP_INIT_SIG_TYPE];
    init.send_cq = send_cq->payload().handle;
    init.recv_cq = recv_cq->payload().handle;
    init.srq = srq ? &srq->payload().handle : nullptr;
    init.max_send_wr = words[RVT_QP_INIT_MAX_SEND_WR];
    init.max_recv_wr = words[RVT_QP_INIT_MAX_RECV_WR];
    init.max_send_sge = words[RVT_QP_INIT_MAX_SEND_SGE];
    init.max_recv_sge = words[RVT_QP_INIT_MAX_RECV_SGE];
    init.user = payload_.device->events();
    if (!init.user)
        return Napi::Number::New(info.Env(), rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    EngineCall call(*payload_.device);
    rvt_qp_handle handle;
    int error = rvt_create_qp(payload_.handle, &init, &handle, nullptr);
    if (error)
        return Napi::Number::New(info.Env(), error);
    Napi::Value object = QueuePair::Wrap(payload_.device, handle);
    if (object.IsEmpty())
        rvt_destroy_qp(handle); // undo: an exception is pending, so the call must have no effect
    return object;
}

// createSrq(maxWr, maxSge, limit, basic)
Napi::Value ProtectionDomain::CreateSrq(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    rvt_srq_init init = {};
    init.max_wr = arguments.U32(0);
    init.max_sge = arguments.U32(1);
    init.limit = arguments.U32(2);
    init.basic = arguments.Bool(3);
    if (!arguments.ok())
        return arguments.Undefined();
    init.user = payload_.device->events();
    if (!init.user)
        return Napi::Number::New(info.Env(), rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    EngineCall call(*payload_.device);
    rvt_srq_handle handle = {};
    int error = rvt_create_srq(payload_.handle, &init, &handle);
    return WrapNew<SharedReceiveQueue>(info.Env(), payload_.device, error, handle, rvt_destroy_srq);
}

// createAh(dlid, sl, staticRate, port[, address, udpPort]): the last two lead to a host; `address` has 16 bytes.
Napi::Value ProtectionDomain::CreateAh(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    rvt_ah_attr attr = {};
    attr.dlid = arguments.U32(0);
    attr.sl = static_cast<uint8_t>(arguments.Integer(1, 0, UINT8_MAX));
    attr.static_rate = static_cast<uint8_t>(arguments.Integer(2, 0, UINT8_MAX));
    attr.port = static_cast<uint8_t>(arguments.Integer(3, 0, UINT8_MAX));
    rvt_host_address host = {};
    const bool to_host = info.Length() > 4;
    ArrayView address = to_host ? arguments.Array(4, napi_uint8_array, sizeof(host.ip)) : ArrayView{};
    host.udp_port = to_host ? static_cast<uint16_t>(arguments.Integer(5, 1, UINT16_MAX)) : 0;
    if (!arguments.ok())
        return arguments.Undefined();
    if (to_host)
        std::memcpy(host.ip, address.data, sizeof(host.ip));
    EngineCall call(*payload_.device);
    rvt_ah_handle handle = {};
    int error = to_host ? rvt_create_host_ah(payload_.handle, &attr, &host, &handle)
                        : rvt_create_ah(payload_.handle, &attr, &handle);
    return WrapNew<AddressHandle>(info.Env(), payload_.device, error, handle, rvt_destroy_ah);
}

Napi::Value ProtectionDomain::RegUserMrTest(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint64_t start = arguments.U64(0), length = arguments.U64(1), iova = arguments.U64(2);
    if (!arguments.ok())
        return arguments.Undefined();
    return Napi::Number::New(info.Env(), rvt_reg_user_mr_test(payload_.handle, start, length, iova));
}

Napi::Value ProtectionDomain::NewRegion(Napi::Env env, int error, rvt_mr_handle handle) {
    CommandBlock &block = CommandBlock::Of(payload_.device->environment());
    rvt_mr_attributes attributes;
    if (!error) {
        payload_.device->Settle();
        error = rvt_query_mr(handle, &attributes); // another thread may already have deregistered the region
    }
    if (!error && block.ready())
        WriteNewRegion(
            block, handle,
            {attributes.id, attributes.start, attributes.iova, attributes.keys.lkey, rvt_mr_index(handle.mr)},
            attributes.length);
    return Napi::Number::New(env, error);
}

Napi::Value ProtectionDomain::GetDmaMr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t access = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_mr_handle handle = {};
    int error = rvt_get_dma_mr(payload_.handle, access, &handle);
    return NewRegion(info.Env(), error, handle);
}

Napi::Value ProtectionDomain::AllocMr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    double type = arguments.Integer(0, RVT_MR_TYPE_MEM_REG, RVT_MR_TYPE_INTEGRITY);
    uint32_t max_num_sg = arguments.U32(1);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_mr_handle handle = {};
    int error = rvt_alloc_mr(payload_.handle, static_cast<rvt_mr_type>(type), max_num_sg, &handle);
    return NewRegion(info.Env(), error, handle);
}

Napi::Value ProtectionDomain::AllocFmr(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t access = arguments.U32(0);
    rvt_fmr_attr attr = {};
    // Accept any integer; the core refuses a negative number of pages.
    attr.max_pages = static_cast<int64_t>(arguments.Integer(1, -kMostInteger, kMostInteger));
    attr.max_maps = arguments.U32(2);
    attr.page_shift = arguments.U32(3);
    if (!arguments.ok())
        return arguments.Undefined();
    rvt_mr_handle handle = {};
    int error = rvt_alloc_fmr(payload_.handle, access, &attr, &handle);
    return NewRegion(info.Env(), error, handle);
}

Napi::Value ProtectionDomain::DeregMany(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    bool force = arguments.Bool(1);
    if (!arguments.ok())
        return arguments.Undefined();
    RegionList regions;
    if (!regions.Read(arguments, Checkers::Of(payload_.device->environment()), 0))
        return arguments.Undefined();
    if (!regions.handles)
        return Napi::Number::New(info.Env(), rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    EngineCall call(*payload_.device);
    int error = rvt_dereg_mrs(payload_.handle, regions.handles.get(), regions.count,
                              force ? RVT_RELEASE_FORCE : RVT_RELEASE);
    return Napi::Number::New(info.Env(), error);
}
