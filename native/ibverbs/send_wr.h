/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of send work requests that both ways of posting follow. */
#ifndef SHIM_SEND_WR_H
#define SHIM_SEND_WR_H

#include "core/rvt.h"
#include "ibverbs/public_api.h"

/* Flags and opcodes have the same numbers in the core and in the public header. */
_Static_assert((int)RVT_SEND_FENCE == (int)IBV_SEND_FENCE &&
                   (int)RVT_SEND_SIGNALED == (int)IBV_SEND_SIGNALED &&
                   (int)RVT_SEND_SOLICITED == (int)IBV_SEND_SOLICITED &&
                   (int)RVT_SEND_INLINE == (int)IBV_SEND_INLINE,
               "flags of work requests");
_Static_assert((int)RVT_WR_RDMA_WRITE == (int)IBV_WR_RDMA_WRITE &&
                   (int)RVT_WR_ATOMIC_FETCH_AND_ADD == (int)IBV_WR_ATOMIC_FETCH_AND_ADD &&
                   (int)RVT_WR_BIND_MW == (int)IBV_WR_BIND_MW &&
                   (int)RVT_WR_LOCAL_INV == (int)IBV_WR_LOCAL_INV &&
                   (int)RVT_WR_SEND_WITH_INV == (int)IBV_WR_SEND_WITH_INV,
               "opcodes of work requests");

/* IBV_SEND_IP_CSUM needs an adapter that computes checksums. */
enum { SHIM_SEND_FLAGS = IBV_SEND_FENCE | IBV_SEND_SIGNALED | IBV_SEND_SOLICITED | IBV_SEND_INLINE };

/* Returns the core's opcode, or one that it refuses: the core has opcodes of the kernel that programs may not
 * use. */
static inline uint32_t shim_core_opcode(enum ibv_wr_opcode opcode) {
    return (uint32_t)opcode <= IBV_WR_SEND_WITH_INV ? (uint32_t)opcode : RVT_WR_UNFILLED;
}

/* Returns whether work requests with this opcode send the bytes of their elements. */
static inline bool shim_can_be_inline(uint32_t opcode) {
    switch (opcode) {
    case RVT_WR_RDMA_WRITE:
    case RVT_WR_RDMA_WRITE_WITH_IMM:
    case RVT_WR_SEND:
    case RVT_WR_SEND_WITH_IMM:
    case RVT_WR_SEND_WITH_INV:
        return true;
    default:
        return false;
    }
}

#endif
