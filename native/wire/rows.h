/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads a capture file and writes its RoCEv2 packets as rows of numbers into a block that JavaScript shares
 * (RVT_WIRE_* in core/layout.h). Other packets are counted. Many packets a call, no allocation. */
#ifndef RVT_WIRE_ROWS_H
#define RVT_WIRE_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "core/layout.h"
#include "wire/capture.h"

struct rvt_row_reader {
    struct rvt_capture capture;
    unsigned char *block; /* RVT_WIRE_ROWS_AT bytes, then `rows` rows of RVT_WIRE_ROW_BYTES; aligned to 8 */
    uint32_t rows;
    uint32_t unread_link_type;
    uint64_t roce, fragments, roce_v1, unread_link;
    unsigned char carry[RVT_CAPTURE_MAX_PACKET];
};

/* The most bytes of a chunk, so that each position in it is a 32-bit number. */
#define RVT_WIRE_MAX_CHUNK 0x7fffffffu

/* Starts a reader that fills at most `rows` rows (1 to RVT_WIRE_MAX_ROWS) a call. The block stays in place as long
 * as the reader is used. The reader never reads from it, so other threads may write to it. */
void rvt_rows_start(struct rvt_row_reader *reader, unsigned char *block, uint32_t rows);

/* Takes bytes of `chunk`, which has `length` of them (at most RVT_WIRE_MAX_CHUNK), from offset `from` (at most `length`)
 * on, until the chunk or the rows are used up, or the reader stops with a status that is not OK. Writes the rows and
 * the header. Nobody may change the chunk meanwhile. */
void rvt_rows_read(struct rvt_row_reader *reader, const unsigned char *chunk, size_t length, size_t from);

/* The file has ended. Writes the header: the status tells whether it ended behind a packet. */
void rvt_rows_end(struct rvt_row_reader *reader);

#endif
