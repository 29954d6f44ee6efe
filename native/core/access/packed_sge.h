/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads packed elements from memory that other threads may be writing. */
#ifndef RVT_PACKED_SGE_H
#define RVT_PACKED_SGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/access/batch.h"
#include "core/access/judge.h"
#include "core/layout.h"
#include "core/objects/lkey_table.h"

/* volatile: each word must be read exactly once; a second read could return a value that was not judged. The
 * caller's array may lie anywhere, so no alignment is assumed. */
typedef volatile uint64_t __attribute__((aligned(1), may_alias)) rvt_packed_word;

static inline const rvt_packed_word *rvt_packed(const struct rvt_batch *batch, uint32_t index) {
    return (const rvt_packed_word *)(const void *)(batch->sges + (uint64_t)index * RVT_PACKED_SGE_BYTES);
}

/* Returns the second word of an element with the length in the low half and the key in the high half, on
 * hosts of either byte order. */
static inline uint64_t rvt_packed_rest(const rvt_packed_word *words) {
    uint64_t rest = words[1];
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    rest = rest << 32 | rest >> 32;
#endif
    return rest;
}

/* Returns the access bits of an element with access bits of its own. For a remote element, returns 0, which
 * is always refused, unless exactly one remote right is requested: a remote check passes on any one bit, so a
 * second bit could let a peer write memory that grants only local write. */
static inline uint32_t rvt_own_access(const struct rvt_batch *batch, uint32_t index) {
    uint32_t acc = *(const volatile uint32_t *)&batch->accs[index];
    if (!batch->checker->remote || acc == RVT_ACCESS_REMOTE_READ || acc == RVT_ACCESS_REMOTE_WRITE ||
        acc == RVT_ACCESS_REMOTE_ATOMIC)
        return acc;
    return 0;
}

/* Reads element `index` as an access request for `acc`. */
static inline struct access rvt_unpack_as(const struct rvt_batch *batch, uint32_t index, uint32_t acc) {
    const rvt_packed_word *words = rvt_packed(batch, index);
    uint64_t addr = words[0], rest = rvt_packed_rest(words);
    return (struct access){batch->checker, addr, (uint32_t)rest, (uint32_t)(rest >> 32), acc};
}

/* Reads element `index` as an access request for its own access bits, or else for those of the batch. */
static inline struct access rvt_unpack(const struct rvt_batch *batch, uint32_t index) {
    uint32_t acc = __builtin_expect(batch->accs != NULL, 0) ? rvt_own_access(batch, index) : batch->acc;
    return rvt_unpack_as(batch, index, acc);
}

/* Prefetches the record of a later element. The key read here is used only for the prefetch and need not be
 * valid: every 32-bit value selects some record. */
static inline void rvt_prefetch_record(const struct rvt_batch *batch, uint32_t index) {
    uint32_t key = (uint32_t)(rvt_packed_rest(rvt_packed(batch, index)) >> 32);
    __builtin_prefetch(rvt_lkey_record(&batch->checker->device->lkey_table, key));
}

#endif
