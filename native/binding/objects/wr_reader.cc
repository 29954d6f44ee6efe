// SPDX-License-Identifier: BSD-3-Clause
#include "binding/objects/wr_reader.h"

#include "binding/objects/regions.h"

namespace {

uint64_t Long(const volatile uint32_t *words) {
    uint64_t low = words[0];
    return low | static_cast<uint64_t>(words[1]) << 32;
}

void ReadElements(const volatile uint32_t *words, uint32_t count, rvt_ib_sge *sges) {
    for (uint32_t i = 0; i < count; i++, words += RVT_SGE_WORDS)
        sges[i] = {Long(words + RVT_SGE_ADDR), words[RVT_SGE_LENGTH], words[RVT_SGE_LKEY]};
}

// The words of one work request and its elements.
struct Extent {
    bool readable;    // false: there are not enough words
    uint32_t present; // elements to read; 0 if there are more than any queue takes, or than a slot has
    size_t length;    // words up to the next work request
};

// Returns the extent of a work request of `words` words that says it has `num_sge` elements. `left`: words from
// its start to the end of the list or slots. `stride`: words of a slot, or 0.
Extent ExtentOf(size_t words, uint32_t num_sge, size_t left, size_t stride) {
    if (left < words)
        return {false, 0, 0};
    const size_t room = ((stride ? stride : left) - words) / RVT_SGE_WORDS;
    if (num_sge > room && !stride)
        return {false, 0, 0};
    // A slot has room for as many elements as the queue takes, at most RVT_MAX_SGE. The queue refuses a work
    // request with more of them, so these need not be read.
    const uint32_t present = num_sge <= room && num_sge <= RVT_MAX_SGE ? num_sge : 0;
    return {true, present, stride ? stride : words + size_t{num_sge} * RVT_SGE_WORDS};
}

} // namespace

const rvt_send_wr *SendReader::Read(void *self, uint32_t) {
    return static_cast<SendReader *>(self)->Next();
}

inline const rvt_send_wr *SendReader::Next() {
    const volatile uint32_t *words = at_;
    if (left_ < RVT_SEND_WR_WORDS)
        return nullptr;
    rvt_send_wr &wr = wr_;
    wr.num_sge = words[RVT_SEND_WR_NUM_SGE];
    const Extent extent = ExtentOf(RVT_SEND_WR_WORDS, wr.num_sge, left_, stride_);
    if (!extent.readable)
        return nullptr;
    at_ += extent.length;
    left_ -= extent.length;
    wr.wr_id = Long(words + RVT_SEND_WR_ID);
    wr.opcode = words[RVT_SEND_WR_OPCODE];
    wr.flags = words[RVT_SEND_WR_FLAGS];
    wr.imm = words[RVT_SEND_WR_IMM];
    wr.remote_addr = Long(words + RVT_SEND_WR_REMOTE_ADDR);
    wr.rkey = words[RVT_SEND_WR_RKEY];
    wr.invalidate_rkey = words[RVT_SEND_WR_INVALIDATE_RKEY];
    // Other opcodes and types of queue pairs do not use the members below.
    if (wr.opcode == RVT_WR_ATOMIC_CMP_AND_SWP || wr.opcode == RVT_WR_ATOMIC_FETCH_AND_ADD) {
        wr.compare_add = Long(words + RVT_SEND_WR_COMPARE_ADD);
        wr.swap = Long(words + RVT_SEND_WR_SWAP);
    } else if (wr.opcode == RVT_WR_REG_MR) {
        ReadRegion(words);
    } else if (wr.opcode == RVT_WR_BIND_MW) {
        ReadBind(words);
    }
    if (ah_count_) {
        const uint32_t ah = words[RVT_SEND_WR_AH];
        wr.ah = ah < ah_count_ ? &ahs_[ah] : nullptr;
        wr.remote_qpn = words[RVT_SEND_WR_REMOTE_QPN];
        wr.remote_qkey = words[RVT_SEND_WR_REMOTE_QKEY];
    }
    ReadElements(words + RVT_SEND_WR_WORDS, extent.present, sges_);
    return &wr;
}

void SendReader::ReadRegion(const volatile uint32_t *words) {
    const volatile uint32_t *region = words + RVT_SEND_WR_REGION;
    wr_.mr = FindRegion(checkers_, region[RVT_REGION_NAME_CHECKER], region[RVT_REGION_NAME_INDEX],
                        Long(region + RVT_REGION_NAME_GENERATION))
                 .handle;
    wr_.key = words[RVT_SEND_WR_KEY];
    wr_.access = words[RVT_SEND_WR_ACCESS];
}

void SendReader::ReadBind(const volatile uint32_t *words) {
    const uint32_t checker = words[RVT_BIND_WR_CHECKER]; // 0: the work request has no window
    const uint64_t generation = Long(words + RVT_BIND_WR_GENERATION);
    wr_.mw = {};
    if (checker) {
        wr_.mw = FindWindow(checkers_, checker, words[RVT_BIND_WR_WINDOW], generation).handle;
        wr_.mw.generation = generation | 1; // not 0, so that the core tells a window that is gone from none
    }
    wr_.bind_length = Long(words + RVT_BIND_WR_LENGTH);
    ReadRegion(words);
}

uint32_t RecvReader::Read(uint32_t most) {
    uint32_t count = 0, elements = 0;
    while (count < most && count < kChunk) {
        if (left_ < RVT_RECV_WR_WORDS)
            break;
        const volatile uint32_t *words = at_;
        const uint32_t num_sge = words[RVT_RECV_WR_NUM_SGE];
        const Extent extent = ExtentOf(RVT_RECV_WR_WORDS, num_sge, left_, stride_);
        if (!extent.readable)
            break;
        // If this chunk has no room for the elements, the work request begins the next chunk, which has room for
        // RVT_MAX_SGE. Its words are read again then.
        if (extent.present > RVT_MAX_SGE - elements)
            break;
        wrs_[count++] = {Long(words + RVT_RECV_WR_ID), &sges_[elements], num_sge};
        ReadElements(words + RVT_RECV_WR_WORDS, extent.present, &sges_[elements]);
        elements += extent.present;
        at_ += extent.length;
        left_ -= extent.length;
    }
    return count;
}
