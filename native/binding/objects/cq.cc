// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/cq.h"

#include <cstddef>
#include <cstring>

#include "binding/values/command_block.h"
#include "binding/values/shared_function.h"

void CompletionQueue::Define(Environment &environment, Napi::Env env) {
    Register(environment, DefineClass(env, "NativeCompletionQueue",
                                      {
                                          InstanceMethod("serial", &CompletionQueue::Serial),
                                          InstanceMethod("destroy", &CompletionQueue::Destroy),
                                          InstanceMethod("resize", &CompletionQueue::Resize),
                                          InstanceMethod("poller", &CompletionQueue::Poller),
                                          InstanceMethod("poll", &CompletionQueue::Poll),
                                          InstanceMethod("arm", &CompletionQueue::Arm),
                                          InstanceMethod("query", &CompletionQueue::Query),
                                      }));
}

Napi::Value CompletionQueue::Serial(const Napi::CallbackInfo &info) {
    rvt_cq *cq = rvt_cq_live(payload_.handle);
    return SerialOf(info.Env(), *payload_.device, cq ? &cq->owned : nullptr, payload_.handle.generation,
                    RVT_CAUSE_CQ_GONE);
}

Napi::Value CompletionQueue::Destroy(const Napi::CallbackInfo &info) {
    EngineCall call(*payload_.device);
    return Napi::Number::New(info.Env(), rvt_destroy_cq(payload_.handle));
}

Napi::Value CompletionQueue::Resize(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t cqe = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(*payload_.device);
    return Napi::Number::New(info.Env(), rvt_resize_cq(payload_.handle, cqe));
}

// The completions are copied as they are.
#define RVT_WC_AT(member, word)                                                                              \
    static_assert(offsetof(rvt_wc, member) == (word) * sizeof(uint32_t), "as lib reads it: " #member)
RVT_WC_AT(wr_id, RVT_WC_WORD_WR_ID);
RVT_WC_AT(qp, RVT_WC_WORD_QP);
RVT_WC_AT(qp_num, RVT_WC_WORD_QP_NUM);
RVT_WC_AT(src_qp, RVT_WC_WORD_SRC_QP);
RVT_WC_AT(status, RVT_WC_WORD_STATUS);
RVT_WC_AT(opcode, RVT_WC_WORD_OPCODE);
RVT_WC_AT(byte_len, RVT_WC_WORD_BYTE_LEN);
RVT_WC_AT(flags, RVT_WC_WORD_FLAGS);
RVT_WC_AT(imm_or_inv, RVT_WC_WORD_IMM_OR_INV);
RVT_WC_AT(slid, RVT_WC_WORD_PATH);
RVT_WC_AT(cause, RVT_WC_WORD_CAUSE);
RVT_WC_AT(cause_value, RVT_WC_WORD_CAUSE_VALUE);
RVT_WC_AT(refused.judge, RVT_WC_WORD_REFUSED_JUDGE);
RVT_WC_AT(refused.addr, RVT_WC_WORD_REFUSED_ADDR);
RVT_WC_AT(refused.length, RVT_WC_WORD_REFUSED_LENGTH);
RVT_WC_AT(refused.key, RVT_WC_WORD_REFUSED_KEY);
RVT_WC_AT(refused.access, RVT_WC_WORD_REFUSED_ACCESS);
RVT_WC_AT(refused.reason, RVT_WC_WORD_REFUSED_REASON);
static_assert(sizeof(rvt_wc) == RVT_WC_WORD_COUNT * sizeof(uint32_t), "as lib reads it");

Napi::Value CompletionQueue::Poll(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_uint32_array);
    uint32_t count = arguments.U32(1);
    if (!arguments.ok())
        return arguments.Undefined();
    if (count > out.length / RVT_WC_WORD_COUNT)
        count = static_cast<uint32_t>(out.length / RVT_WC_WORD_COUNT);
    // The array need not be aligned for 64-bit numbers, so the completions are taken to a place that is.
    auto *entries =
        static_cast<rvt_wc *>(payload_.device->environment().Scratch((count + 1) * sizeof(rvt_wc)));
    if (!entries)
        return Napi::Number::New(info.Env(), rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY));
    EngineCall call(*payload_.device);
    int polled = rvt_poll_cq(payload_.handle, count, entries);
    if (polled > 0)
        std::memcpy(out.data, entries, static_cast<size_t>(polled) * sizeof(rvt_wc));
    return Napi::Number::New(info.Env(), polled);
}

// What the function of Poller() needs.
struct PollerOf {
    std::shared_ptr<OpenDevice> device;
    CommandBlock &block;
    rvt_cq_handle handle;
};

// Takes one completion into FIELDS of the command block. Stores in ANSWER how many it took, or a negative errno, and
// in OPERAND how many the queue still holds.
static napi_value PollOne(napi_env env, napi_callback_info info) {
    static_assert(RVT_COMMAND_FIELDS + RVT_WC_WORD_COUNT <= RVT_COMMAND_OPERAND, "there is room");
    auto *of = SharedOf<PollerOf>(env, info);
    if (!of || !of->block.ready())
        return nullptr;
    EngineCall call(*of->device);
    rvt_wc entry;
    uint32_t left;
    int polled = rvt_poll_cq_left(of->handle, 1, &entry, &left);
    if (polled > 0) {
        uint32_t words[RVT_WC_WORD_COUNT];
        std::memcpy(words, &entry, sizeof(words));
        for (int i = 0; i < RVT_WC_WORD_COUNT; i++)
            of->block.Write(static_cast<rvt_command_word>(RVT_COMMAND_FIELDS + i), words[i]);
    }
    of->block.Write(RVT_COMMAND_OPERAND, left);
    of->block.Answer(polled);
    return nullptr;
}

// poller(): returns the function that polls one completion. Most polls find one or none, and a receiver, arguments,
// a typed array and a result would cost more than taking it.
Napi::Value CompletionQueue::Poller(const Napi::CallbackInfo &info) {
    auto of = std::make_shared<PollerOf>(
        PollerOf{payload_.device, CommandBlock::Of(payload_.device->environment()), payload_.handle});
    return Napi::Value(info.Env(), NewSharedFunction(info.Env(), of, "pollOne", PollOne));
}

Napi::Value CompletionQueue::Arm(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    uint32_t flags = arguments.U32(0);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(*payload_.device);
    return Napi::Number::New(info.Env(), rvt_req_notify_cq(payload_.handle, flags));
}

Napi::Value CompletionQueue::Query(const Napi::CallbackInfo &info) {
    Arguments arguments(info);
    ArrayView out = arguments.Array(0, napi_uint32_array, RVT_CQ_ATTR_WORDS);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(*payload_.device);
    rvt_cq_attr attr;
    int error = rvt_query_cq(payload_.handle, &attr);
    if (!error) {
        auto *words = static_cast<uint32_t *>(out.data);
        words[RVT_CQ_ATTR_CQE] = attr.cqe;
        words[RVT_CQ_ATTR_HELD] = attr.held;
        words[RVT_CQ_ATTR_BROKEN] = attr.broken;
    }
    return Napi::Number::New(info.Env(), error);
}
