// SPDX-License-Identifier: BSD-3-Clause
// Reads work requests that JavaScript has packed into 32-bit words (enum rvt_send_wr_word, rvt_recv_wr_word),
// one after the other, while they are posted.
//
// Other threads may write to the words at any time. So each word is read once, into a structure of this
// thread, and checked there. A word names a region or an address handle, but grants no right to it.
#ifndef RDMAVT_BINDING_WR_READER_H
#define RDMAVT_BINDING_WR_READER_H

#include <cstddef>
#include <cstdint>

#include "binding/objects/checkers.h"
#include "core/rvt.h"

// Packed work requests, each followed by its elements.
struct PackedRequests {
    const uint32_t *words;
    size_t length; // number of words
    // Words from one work request to the next; 0: each begins where the elements of the one before end.
    size_t stride;
};

// The work requests of a posting to a send queue.
class SendReader {
public:
    SendReader(const PackedRequests &packed, const rvt_ah_handle *ahs, uint32_t ah_count,
               const Checkers &checkers)
        : at_(packed.words), left_(packed.length), stride_(packed.stride), ahs_(ahs), ah_count_(ah_count),
          checkers_(checkers) {
        wr_.sges = sges_;
    }
    SendReader(const SendReader &) = delete;
    SendReader &operator=(const SendReader &) = delete;

    // Returns the source for rvt_post_send_from(). It is valid as long as this object.
    rvt_send_source source() {
        return {Read, this};
    }

private:
    static const rvt_send_wr *Read(void *self, uint32_t index);
    const rvt_send_wr *Next();
    void ReadRegion(const volatile uint32_t *words);
    void ReadBind(const volatile uint32_t *words);

    const volatile uint32_t *at_;
    size_t left_;
    const size_t stride_;
    const rvt_ah_handle *ahs_;
    const uint32_t ah_count_;
    const Checkers &checkers_;
    rvt_send_wr wr_ = {};
    rvt_ib_sge sges_[RVT_MAX_SGE]; // not initialized: only the elements of one work request are used
};

// The work requests of a posting to a receive queue, in chunks.
class RecvReader {
public:
    explicit RecvReader(const PackedRequests &packed)
        : at_(packed.words), left_(packed.length), stride_(packed.stride) {}
    RecvReader(const RecvReader &) = delete;
    RecvReader &operator=(const RecvReader &) = delete;

    // Reads at least one and at most `most` (> 0) work requests. Returns how many; 0: the next one cannot be
    // read. They are valid until the next call.
    uint32_t Read(uint32_t most);
    const rvt_recv_wr *wrs() const {
        return wrs_;
    }

private:
    static constexpr uint32_t kChunk = 64;

    const volatile uint32_t *at_;
    size_t left_;
    const size_t stride_;
    rvt_recv_wr wrs_[kChunk];
    rvt_ib_sge sges_[RVT_MAX_SGE + 1];
};

// Posts `count` receives in chunks with `post`, which has the parameters and results of rvt_post_recv().
template <typename Post> int PostChunks(RecvReader &reader, uint32_t count, uint32_t *bad, const Post &post) {
    uint32_t done = 0;
    int error = 0;
    do {
        // Posts an empty list too, because the call fails if the queue does not exist.
        uint32_t chunk = count ? reader.Read(count - done) : 0;
        uint32_t index = 0;
        if (count && !chunk)
            error = rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
        else
            error = post(reader.wrs(), chunk, &index);
        if (error)
            *bad = done + index;
        done += chunk;
    } while (!error && done < count);
    return error;
}

#endif
