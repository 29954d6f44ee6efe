// SPDX-License-Identifier: BSD-3-Clause
// The block of a batch: shared memory with a header, packed elements, and one column for each kind of answer.
// core/layout.h defines the layout (RVT_HEADER_*, RVT_BLOCK_*).
//
// JavaScript on any thread may write to the block at any time. So each word is read once, the count is
// limited by the capacity stored here, and nothing that was written is read back.
#ifndef RDMAVT_BATCH_BLOCK_H
#define RDMAVT_BATCH_BLOCK_H

#include <cstring>

#include "core/rvt.h"

class Block {
public:
    // Returns the size of a block in bytes. `places`: it has the columns for places. `accesses`: each element
    // has its own access.
    static size_t Bytes(uint32_t capacity, bool places, bool accesses);

    // Uses the bytes at `bytes`, which must stay in place and be aligned for 64-bit numbers.
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
    // Returns the accesses of the elements, or nullptr if all use the header's access.
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
    // Writes the answer of a copy.
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
    // Returns the beginning of a column.
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
