/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading packed elements out of memory that may change at any moment. */
#ifndef RVT_PACKED_SGE_H
#define RVT_PACKED_SGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/access/batch.h"
#include "core/access/judge.h"
#include "core/layout.h"
#include "core/objects/lkey_table.h"

/* volatile: the compiler must neither read a second time what was judged, nor reorder into a second reading;
 * the caller's array may lie anywhere, so no alignment is promised. */
typedef volatile uint64_t __attribute__((aligned(1), may_alias)) rvt_packed_word;

static inline const rvt_packed_word *rvt_packed(const struct rvt_batch *batch, uint32_t index) {
    return (const rvt_packed_word *)(const void *)(batch->sges + (uint64_t)index * RVT_PACKED_SGE_BYTES);
}

/* The second word: length in the low half, key in the high one, on any machine. */
static inline uint64_t rvt_packed_rest(const rvt_packed_word *words) {
    uint64_t rest = words[1];
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    rest = rest << 32 | rest >> 32;
#endif
    return rest;
}

/* What an element asks for that has an access of its own. For a peer 0, with which nothing passes, unless it
 * is exactly one remote right: with a second bit the rule "any of them" would let a peer write memory that
 * grants local write only. */
static inline uint32_t rvt_own_access(const struct rvt_batch *batch, uint32_t index) {
    uint32_t acc = *(const volatile uint32_t *)&batch->accs[index];
    if (!batch->checker->remote || acc == RVT_ACCESS_REMOTE_READ || acc == RVT_ACCESS_REMOTE_WRITE ||
        acc == RVT_ACCESS_REMOTE_ATOMIC)
        return acc;
    return 0;
}

/* Element `index`, which asks for `acc`. */
static inline struct access rvt_unpack_as(const struct rvt_batch *batch, uint32_t index, uint32_t acc) {
    const rvt_packed_word *words = rvt_packed(batch, index);
    uint64_t addr = words[0], rest = rvt_packed_rest(words);
    return (struct access){batch->checker, addr, (uint32_t)rest, (uint32_t)(rest >> 32), acc};
}

static inline struct access rvt_unpack(const struct rvt_batch *batch, uint32_t index) {
    uint32_t acc = __builtin_expect(batch->accs != NULL, 0) ? rvt_own_access(batch, index) : batch->acc;
    return rvt_unpack_as(batch, index, acc);
}

/* Bring the record of an element that comes later into the cache. The key is read for this alone and not
 * trusted: every key names a record. */
static inline void rvt_prefetch_record(const struct rvt_batch *batch, uint32_t index) {
    uint32_t key = (uint32_t)(rvt_packed_rest(rvt_packed(batch, index)) >> 32);
    __builtin_prefetch(rvt_lkey_record(&batch->checker->device->lkey_table, key));
}

#endif
