// SPDX-License-Identifier: BSD-3-Clause
// The block of a batch: shared memory with a header, packed elements, and a column for each kind of answer.
// core/layout.h says where what lies (RVT_HEADER_*, RVT_BLOCK_*).
//
// JavaScript (of any thread) may write anything into the block at any time. So each word is read once, the
// count is held against the capacity that stands here, and nothing that was written out is read back.
#ifndef RDMAVT_BATCH_BLOCK_H
#define RDMAVT_BATCH_BLOCK_H

#include <cstring>

#include "core/rvt.h"

class Block {
public:
    // How long a block is. `places`: with the columns that tell them; `accesses`: each element has its own.
    static size_t Bytes(uint32_t capacity, bool places, bool accesses);

    // Over so many bytes that stay where they are, aligned for 64-bit numbers.
    Block(void *bytes, uint32_t capacity, bool places, bool accesses);

    uint32_t capacity() const {
        return capacity_;
    }
    const unsigned char *elements() const {
        return bytes_ + RVT_BLOCK_HEADER_BYTES;
    }
    const rvt_batch_columns &columns() const {
        return columns_;
    }
    // nullptr: the header's access is that of all elements.
    const uint32_t *accesses() const {
        return accesses_;
    }

    uint32_t ReadCount() const {
        uint32_t count = *Word(RVT_HEADER_COUNT);
        return count < capacity_ ? count : capacity_;
    }
    uint32_t ReadAccess() const {
        return *Word(RVT_HEADER_ACCESS);
    }
    uint32_t ReadFlags() const {
        return *Word(RVT_HEADER_FLAGS);
    }

    void WriteAnswer(int status, const rvt_batch_result &result) {
        *Word(RVT_HEADER_PASSED) = result.passed;
        *Word(RVT_HEADER_FIRST_REFUSED) = result.first_refused;
        *Word(RVT_HEADER_REASON) = result.reason;
        *Word(RVT_HEADER_STATUS) = static_cast<uint32_t>(status);
    }
    // The same for a copy.
    void WriteMoved(int status, const rvt_batch_result &result) {
        WriteAnswer(status, result);
        WriteDouble(RVT_HEADER_DOUBLE_BYTES_MOVED, result.bytes);
        WriteDouble(RVT_HEADER_DOUBLE_LIST_BYTES, result.list_bytes);
        WriteDouble(RVT_HEADER_DOUBLE_OTHER_BYTES, result.other_bytes);
    }

private:
    void WriteDouble(rvt_header_double which, uint64_t value) {
        double number = static_cast<double>(value);
        std::memcpy(bytes_ + which * sizeof(double), &number, sizeof(number));
    }
    volatile uint32_t *Word(rvt_header_word which) const {
        return reinterpret_cast<volatile uint32_t *>(bytes_) + which;
    }
    // Where the numbers of a column begin.
    template <typename Number> Number *Column(rvt_block_column which, size_t left_out = 0) const {
        return reinterpret_cast<Number *>(bytes_ + RVT_BLOCK_HEADER_BYTES +
                                          capacity_ * (static_cast<size_t>(which) - left_out));
    }

    unsigned char *bytes_;
    uint32_t capacity_;
    rvt_batch_columns columns_ = {};
    const uint32_t *accesses_ = nullptr;
};

#endif
