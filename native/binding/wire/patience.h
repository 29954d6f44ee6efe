// SPDX-License-Identifier: BSD-3-Clause
// Whether it pays to look for a packet instead of sleeping until it comes.
#ifndef RDMAVT_BINDING_WIRE_PATIENCE_H
#define RDMAVT_BINDING_WIRE_PATIENCE_H

#include <cstdint>

// A peer that asks for one thing after the other asks again some microseconds after an answer. To look for that packet so
// long is cheaper for both ends than to sleep and be woken, which takes 5 to 50 us. But only while it pays: a success
// allows further attempts, failures end them but for one of many.
class Patience {
public:
    static constexpr uint64_t kMicroseconds = 20;

    // Returns whether to look for a packet now. Then Learn() must be told.
    bool Waits() {
        return left_ > 0 || ++refused_ % kRefusedBetweenTries == 0;
    }
    void Learn(bool arrived) {
        if (arrived && left_ < kMost)
            left_++;
        else if (!arrived && left_ > 0)
            left_--;
    }

private:
    static constexpr int kMost = 8;
    static constexpr uint32_t kRefusedBetweenTries = 64;

    int left_ = 1;
    uint32_t refused_ = 0;
};

#endif
