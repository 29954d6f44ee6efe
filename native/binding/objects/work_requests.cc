// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/work_requests.h"

#include <cstring>
#include <memory>
#include <new>

#include "binding/environment/engine_call.h"
#include "binding/objects/ah.h"
#include "binding/objects/checkers.h"
#include "binding/objects/regions.h"
#include "binding/values/arguments.h"

namespace {

uint64_t Long(const uint32_t *words) {
    return words[0] | static_cast<uint64_t>(words[1]) << 32;
}

// The words of a call, and room for what they are parsed into, in the environment's scratch buffer.
template <typename Wr> struct Requests {
    uint32_t *words = nullptr; // nullptr: out of memory
    size_t length = 0;
    Wr *wrs = nullptr;
    rvt_ib_sge *sges = nullptr;

    Requests(Environment &environment, const ArrayView &view, uint32_t count) {
        // Each element takes RVT_SGE_WORDS words, so there cannot be more of them.
        const size_t elements = view.length / RVT_SGE_WORDS;
        const size_t at_sges = (count + size_t{1}) * sizeof(Wr);
        const size_t at_words = at_sges + (elements + 1) * sizeof(rvt_ib_sge);
        auto *bytes = static_cast<unsigned char *>(
            environment.Scratch(at_words + (view.length + 1) * sizeof(uint32_t)));
        if (!bytes)
            return;
        wrs = reinterpret_cast<Wr *>(bytes);
        sges = reinterpret_cast<rvt_ib_sge *>(bytes + at_sges);
        words = reinterpret_cast<uint32_t *>(bytes + at_words);
        length = view.length;
        if (length)
            std::memcpy(words, view.data, length * sizeof(uint32_t));
    }

    // Reads `count` elements at words[at], which it advances. Returns nullptr if there are not that many.
    const rvt_ib_sge *ReadElements(size_t *at, uint32_t count) {
        if (count > (length - *at) / RVT_SGE_WORDS)
            return nullptr;
        const rvt_ib_sge *first = sges;
        for (uint32_t i = 0; i < count; i++, *at += RVT_SGE_WORDS)
            *sges++ = {Long(words + *at + RVT_SGE_ADDR), words[*at + RVT_SGE_LENGTH],
                       words[*at + RVT_SGE_LKEY]};
        return first;
    }
};

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

int Unreadable() {
    return rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
}

// Parses the work requests. Returns 0, or -EINVAL if the words do not hold that many.
int ParseSends(Requests<rvt_send_wr> &requests, uint32_t count, const AddressHandles &ahs,
               const Checkers &checkers) {
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (requests.length - at < RVT_SEND_WR_WORDS)
            return Unreadable();
        const uint32_t *words = requests.words + at;
        const uint32_t *region = words + RVT_SEND_WR_REGION;
        at += RVT_SEND_WR_WORDS;
        rvt_send_wr wr = {};
        wr.wr_id = Long(words + RVT_SEND_WR_ID);
        wr.opcode = words[RVT_SEND_WR_OPCODE];
        wr.flags = words[RVT_SEND_WR_FLAGS];
        wr.num_sge = words[RVT_SEND_WR_NUM_SGE];
        wr.imm = words[RVT_SEND_WR_IMM];
        wr.remote_addr = Long(words + RVT_SEND_WR_REMOTE_ADDR);
        wr.rkey = words[RVT_SEND_WR_RKEY];
        wr.invalidate_rkey = words[RVT_SEND_WR_INVALIDATE_RKEY];
        wr.compare_add = Long(words + RVT_SEND_WR_COMPARE_ADD);
        wr.swap = Long(words + RVT_SEND_WR_SWAP);
        if (wr.opcode == RVT_WR_REG_MR)
            wr.mr = FindRegion(checkers, region[RVT_REGION_NAME_CHECKER], region[RVT_REGION_NAME_INDEX],
                               Long(region + RVT_REGION_NAME_GENERATION))
                        .handle;
        wr.key = words[RVT_SEND_WR_KEY];
        wr.access = words[RVT_SEND_WR_ACCESS];
        wr.ah = words[RVT_SEND_WR_AH] < ahs.count ? &ahs.handles[words[RVT_SEND_WR_AH]] : nullptr;
        wr.remote_qpn = words[RVT_SEND_WR_REMOTE_QPN];
        wr.remote_qkey = words[RVT_SEND_WR_REMOTE_QKEY];
        wr.sges = requests.ReadElements(&at, wr.num_sge);
        if (!wr.sges)
            return Unreadable();
        requests.wrs[i] = wr;
    }
    return 0;
}

int ParseReceives(Requests<rvt_recv_wr> &requests, uint32_t count) {
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (requests.length - at < RVT_RECV_WR_WORDS)
            return Unreadable();
        const uint32_t *words = requests.words + at;
        at += RVT_RECV_WR_WORDS;
        rvt_recv_wr wr = {Long(words + RVT_RECV_WR_ID), nullptr, words[RVT_RECV_WR_NUM_SGE]};
        wr.sges = requests.ReadElements(&at, wr.num_sge);
        if (!wr.sges)
            return Unreadable();
        requests.wrs[i] = wr;
    }
    return 0;
}

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

Napi::Value PostSendRequests(const Napi::CallbackInfo &info, OpenDevice &device, const PostSends &post) {
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
    Requests<rvt_send_wr> requests(device.environment(), words, count);
    uint32_t bad = 0;
    int error = requests.words ? ParseSends(requests, count, ahs, Checkers::Of(device.environment()))
                               : rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (!error)
        error = post(requests.wrs, count, &bad);
    static_cast<uint32_t *>(words.data)[0] = bad;
    return Napi::Number::New(info.Env(), error);
}

Napi::Value PostReceives(const Napi::CallbackInfo &info, OpenDevice &device, const PostRecvs &post) {
    Arguments arguments(info);
    uint32_t count;
    ArrayView words = ReadWords(arguments, RVT_RECV_WR_WORDS, &count);
    if (!arguments.ok())
        return arguments.Undefined();
    EngineCall call(device);
    Requests<rvt_recv_wr> requests(device.environment(), words, count);
    uint32_t bad = 0;
    int error = requests.words ? ParseReceives(requests, count) : rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    if (!error)
        error = post(requests.wrs, count, &bad);
    static_cast<uint32_t *>(words.data)[0] = bad;
    return Napi::Number::New(info.Env(), error);
}
