// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/post_block.h"

#include <memory>

#include "binding/environment/engine_call.h"
#include "binding/objects/wr_reader.h"
#include "binding/values/arguments.h"
#include "binding/values/shared_function.h"

namespace {

// A block. Its functions own it and keep its memory alive.
struct PostBlock {
    PostBlock(std::shared_ptr<Environment> of, void *block, size_t words)
        : environment(std::move(of)), checkers(Checkers::Of(*environment)),
          header(static_cast<uint32_t *>(block)), length(words) {}
    ~PostBlock() {
        if (reference)
            environment->ReleaseReference(reference);
    }
    PostBlock(const PostBlock &) = delete;
    PostBlock &operator=(const PostBlock &) = delete;

    PackedRequests packed() const {
        return {const_cast<const uint32_t *>(header + RVT_WR_HEADER_WORDS), length - RVT_WR_HEADER_WORDS, 0};
    }

    std::shared_ptr<Environment> environment;
    const Checkers &checkers;
    volatile uint32_t *const header; // JavaScript on any thread may write to it at any time
    const size_t length;             // words, with the header
    napi_ref reference = nullptr;
};

// A function of the block: posts to the queue pair that the header names.
template <int (*post)(PostBlock &, rvt_qp_handle, uint32_t, uint32_t *)>
napi_value Post(napi_env env, napi_callback_info info) {
    auto *block = SharedOf<PostBlock>(env, info);
    if (!block)
        return nullptr;
    const uint32_t count = block->header[RVT_WR_HEADER_COUNT];
    const NumberedQp *of = block->checkers.FindQp(block->header[RVT_WR_HEADER_QP]);
    uint32_t bad = RVT_NO_BAD_WR;
    int error;
    if (!of) {
        error = rvt_fail(RVT_EBADF, RVT_CAUSE_ARGUMENT);
    } else {
        EngineCall call(*of->device);
        error = post(*block, of->qp, count, &bad);
    }
    block->header[RVT_WR_HEADER_BAD] = bad;
    block->header[RVT_WR_HEADER_STATUS] = static_cast<uint32_t>(error);
    return nullptr;
}

int PostSends(PostBlock &block, rvt_qp_handle qp, uint32_t count, uint32_t *bad) {
    SendReader reader(block.packed(), nullptr, 0, block.checkers);
    const rvt_send_source source = reader.source();
    return rvt_post_send_from(qp, &source, count, bad);
}

int PostReceives(PostBlock &block, rvt_qp_handle qp, uint32_t count, uint32_t *bad) {
    RecvReader reader(block.packed());
    return PostChunks(reader, count, bad, [qp](const rvt_recv_wr *wrs, uint32_t some, uint32_t *at) {
        return rvt_post_recv(qp, wrs, some, at);
    });
}

} // namespace

Napi::Value CreatePostBlock(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    Arguments arguments(info);
    napi_value buffer, object;
    ArrayView view = arguments.SharedBytes(0, RVT_WR_HEADER_WORDS * sizeof(uint32_t), &buffer);
    if (!arguments.ok())
        return arguments.Undefined();
    auto block = std::make_shared<PostBlock>(Environment::Of(env), view.data, view.length / sizeof(uint32_t));
    if (napi_create_reference(env, buffer, 1, &block->reference) != napi_ok ||
        napi_create_object(env, &object) != napi_ok ||
        !AddSharedFunction(env, object, block, "postSend", Post<PostSends>) ||
        !AddSharedFunction(env, object, block, "postRecv", Post<PostReceives>))
        return Napi::Value();
    return Napi::Value(env, object);
}
