// SPDX-License-Identifier: BSD-3-Clause
#include "binding/batch/block.h"

// Each column is as wide as its numbers, and columns of 64-bit numbers come first, so all are aligned.
static_assert(RVT_BLOCK_REGIONS == RVT_BLOCK_ELEMENTS + RVT_PACKED_SGE_BYTES, "the elements");
static_assert(RVT_BLOCK_POSITIONS == RVT_BLOCK_REGIONS + sizeof(double), "regions");
static_assert(RVT_BLOCK_LENGTHS == RVT_BLOCK_POSITIONS + sizeof(uint64_t), "positions");
static_assert(RVT_BLOCK_SEGMENTS == RVT_BLOCK_LENGTHS + sizeof(uint32_t), "lengths");
static_assert(RVT_BLOCK_VERDICTS == RVT_BLOCK_SEGMENTS + sizeof(uint32_t), "segments");
static_assert(RVT_BLOCK_ACCESSES == RVT_BLOCK_VERDICTS + sizeof(uint32_t), "verdicts");
static_assert(RVT_BLOCK_END == RVT_BLOCK_ACCESSES + sizeof(uint32_t), "accesses");
static_assert(RVT_HEADER_DOUBLE_BYTES_MOVED * sizeof(double) > RVT_HEADER_STATUS * sizeof(uint32_t) &&
                  (RVT_HEADER_DOUBLE_OTHER_BYTES + 1) * sizeof(double) <= RVT_BLOCK_HEADER_BYTES,
              "behind the words, in the header");

// Returns how many bytes per element are missing in a block without places.
static size_t LeftOut(bool places) {
    return places ? 0 : RVT_BLOCK_VERDICTS - RVT_BLOCK_REGIONS;
}

size_t Block::Bytes(uint32_t capacity, bool places, bool accesses) {
    return RVT_BLOCK_HEADER_BYTES +
           capacity * ((accesses ? RVT_BLOCK_END : RVT_BLOCK_ACCESSES) - LeftOut(places));
}

Block::Block(void *bytes, uint32_t capacity, bool places, bool accesses)
    : bytes_(static_cast<unsigned char *>(bytes)), capacity_(capacity) {
    if (places) {
        columns_.region = Column<double>(RVT_BLOCK_REGIONS);
        columns_.at = Column<uint64_t>(RVT_BLOCK_POSITIONS);
        columns_.length = Column<uint32_t>(RVT_BLOCK_LENGTHS);
        columns_.segment = Column<uint32_t>(RVT_BLOCK_SEGMENTS);
    }
    columns_.verdict = Column<uint32_t>(RVT_BLOCK_VERDICTS, LeftOut(places));
    if (accesses)
        accesses_ = Column<uint32_t>(RVT_BLOCK_ACCESSES, LeftOut(places));
}
