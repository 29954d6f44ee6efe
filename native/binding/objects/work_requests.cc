// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/work_requests.h"

#include <memory>
#include <new>

#include "binding/environment/engine_call.h"
#include "binding/objects/ah.h"
#include "binding/objects/checkers.h"
#include "binding/objects/wr_reader.h"
#include "binding/values/arguments.h"

namespace {

// The address handles of a call.
struct AddressHandles {
    std::unique_ptr<rvt_ah_handle[]> handles;
    uint32_t count = 0;

    // Reads a list of NativeAddressHandle. Returns false if it is none, with an exception pending.
    bool Read(Arguments &arguments, const Napi::Value &value, size_t index) {
        if (!arguments.ok())
            return false;
        if (!value.IsArray()) {
            arguments.Wrong(index, "a list of address handles");
            return false;
        }
        Napi::Array list = value.As<Napi::Array>();
        count = list.Length();
        if (!count)
            return true;
        handles.reset(new (std::nothrow) rvt_ah_handle[count]);
        for (uint32_t i = 0; handles && i < count; i++) {
            napi_value element;
            AddressHandle *ah = napi_get_element(value.Env(), value, i, &element) == napi_ok
                                    ? AddressHandle::Get(Napi::Value(value.Env(), element))
                                    : nullptr;
            if (!ah) {
                arguments.Wrong(index, "a list of address handles");
                return false;
            }
            handles[i] = ah->payload().handle;
        }
        if (!handles)
            count = 0;
        return true;
    }
};

// Reads (words, count). `words` has at least one word, for the index of a bad work request, and room for
// `count` work requests of `least` words.
ArrayView ReadWords(Arguments &arguments, size_t least, uint32_t *count) {
    ArrayView words = arguments.Array(0, napi_uint32_array, 1);
    *count = arguments.U32(1);
    if (arguments.ok() && *count > words.length / least)
        arguments.Wrong(1, "the number of work requests in the words");
    return words;
}

} // namespace

Napi::Value PostSendArray(const Napi::CallbackInfo &info, OpenDevice &device, rvt_qp_handle qp) {
    Arguments arguments(info);
    uint32_t count;
    AddressHandles ahs;
    // The list is read first: reading it may run JavaScript, which can detach the words.
    if (!ahs.Read(arguments, info[2], 2))
        return arguments.Undefined();
    ArrayView words = ReadWords(arguments, RVT_SEND_WR_WORDS, &count);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(device);
    SendReader reader({static_cast<const uint32_t *>(words.data), words.length, 0}, ahs.handles.get(),
                      ahs.count, Checkers::Of(device.environment()));
    const rvt_send_source source = reader.source();
    uint32_t bad = 0;
    int error = rvt_post_send_from(qp, &source, count, &bad);
    static_cast<uint32_t *>(words.data)[0] = bad;
    return Napi::Number::New(info.Env(), error);
}

// Posts receives with `post`, which has the parameters of rvt_post_recv() behind the handle.
template <typename Post>
static Napi::Value PostReceives(const Napi::CallbackInfo &info, OpenDevice &device, const Post &post) {
    Arguments arguments(info);
    uint32_t count, bad = 0;
    ArrayView words = ReadWords(arguments, RVT_RECV_WR_WORDS, &count);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(device);
    RecvReader reader({static_cast<const uint32_t *>(words.data), words.length, 0});
    int error = PostChunks(reader, count, &bad, post);
    static_cast<uint32_t *>(words.data)[0] = bad;
    return Napi::Number::New(info.Env(), error);
}

Napi::Value PostRecvArray(const Napi::CallbackInfo &info, OpenDevice &device, rvt_qp_handle qp) {
    return PostReceives(info, device, [qp](const rvt_recv_wr *wrs, uint32_t count, uint32_t *bad) {
        return rvt_post_recv(qp, wrs, count, bad);
    });
}

Napi::Value PostRecvArray(const Napi::CallbackInfo &info, OpenDevice &device, rvt_srq_handle srq) {
    return PostReceives(info, device, [srq](const rvt_recv_wr *wrs, uint32_t count, uint32_t *bad) {
        return rvt_post_srq_recv(srq, wrs, count, bad);
    });
}
