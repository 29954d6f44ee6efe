/* SPDX-License-Identifier: BSD-3-Clause */
/* The key table: one flat record per slot, which a check reads and nothing else.
 *
 * A record is a cache line: a sequence number and everything that judges an access. Its shadow is the second
 * copy of a sequence latch: while a writer changes a live record, readers are sent to the copy that is not
 * being written, so they never wait for a writer, also not for one that lost its processor. */
#ifndef RVT_LKEY_TABLE_H
#define RVT_LKEY_TABLE_H

#include "core/base/rvt_atomic.h"
#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/platform.h"
#include "core/base/sparse.h"
#include "core/layout.h"

struct rvt_dev_info;
struct rvt_mregion;
struct rvt_map;

enum { RVT_MAX_LKEY_TABLE_BITS = 23 };

/* The low bits of a key, which are the consumer's: see RVT_KEY_VARIANT_MASK. */
enum { RVT_KEY_VARIANT_BITS = 8 };
static_assert((1 << RVT_KEY_VARIANT_BITS) - 1 == RVT_KEY_VARIANT_MASK, "the same bits");

/* What a record says, as plain values. */
struct rvt_lkey_entry {
    uint32_t key; /* 0: the slot is empty */
    uint32_t pd;
    uint32_t access;
    uint32_t shape;  /* see rvt_shape */
    uint64_t base;   /* address of byte 0 in local checks */
    uint64_t iova;   /* the same in remote checks */
    uint64_t length; /* bytes */
    struct rvt_map *map;
    uint32_t region; /* index in its pool: what its references are counted by */
};

/* First-byte offset (16 bits), log2 of the segment size (8 bits), and flags: valid; plain (valid, and nothing
 * is to be done but judging); counted (rvt_count_mr); one word (references are counted in the region's word,
 * and not by who takes them); end unmapped (no segment lies behind the last byte, so an empty request there
 * is refused); extent (user memory: the mapping is a part of the region). The checks that are fast want
 * `plain`, so a region that is counted costs the others nothing: it is not accepted at a glance, and goes the
 * way that looks closer. */
enum {
    RVT_SHAPE_VALID = 1u << 24,
    RVT_SHAPE_PLAIN = 1u << 25,
    RVT_SHAPE_COUNTED = 1u << 26,
    RVT_SHAPE_ONE_WORD = 1u << 27,
    RVT_SHAPE_END_UNMAPPED = 1u << 28,
    RVT_SHAPE_EXTENT = 1u << 29,
};
static inline uint32_t rvt_shape(uint32_t offset, uint32_t shift, bool valid) {
    return offset | shift << 16 | (valid ? RVT_SHAPE_VALID | RVT_SHAPE_PLAIN : 0u);
}
static inline uint32_t rvt_shape_counted(uint32_t shape) {
    return (shape & ~(uint32_t)RVT_SHAPE_PLAIN) | RVT_SHAPE_COUNTED;
}
static inline uint32_t rvt_shape_offset(uint32_t shape) {
    return shape & 0xffff;
}
static inline uint32_t rvt_shape_shift(uint32_t shape) {
    return shape >> 16 & 0xff;
}
static inline bool rvt_shape_valid(uint32_t shape) {
    return shape & RVT_SHAPE_VALID;
}

struct rvt_record_copy {
    /* Two fields each, because a check compares them together: the key (low half) and the domain; the access
     * bits (low half) and the shape. */
    _Atomic(uint64_t) name, rights;
    _Atomic(uint64_t) base, iova, length;
    _Atomic(struct rvt_map *) map;
    _Atomic(uint32_t) region;
    /* Line 0 only: the key an empty slot last held. Written before `name` is cleared. */
    _Atomic(uint32_t) last_key;
};

/* 0 is the name of an empty slot: ids of domains begin at 1. */
static inline uint64_t rvt_record_name(uint32_t key, uint32_t pd) {
    return (uint64_t)pd << 32 | key;
}
static inline uint64_t rvt_record_rights(uint32_t access, uint32_t shape) {
    return (uint64_t)shape << 32 | access;
}

/* Fields are stored with release and loaded with acquire throughout, and that is all the ordering there is:
 * - a reader that loads a field of a later change also sees the sequence number which that change stored
 * before (release/acquire on the field), so its second look at the sequence differs and it starts again;
 * - a slot is filled name last, so who sees the key sees the rest. */
struct rvt_lkey_record {
    alignas(RVT_CACHE_LINE) _Atomic(uint64_t) sequence; /* even: readers use line 0; odd: the shadow */
    struct rvt_record_copy line0;
};
static_assert(sizeof(struct rvt_lkey_record) == RVT_CACHE_LINE, "a record is a cache line");

/* The second copy of a record, in an array of its own: beside the record it would be fetched with it, by
 * processors that fetch lines in pairs, and would halve what the caches hold. */
struct rvt_lkey_shadow {
    alignas(RVT_CACHE_LINE) struct rvt_record_copy line1;
};

/* Slots are counted by blocks, so that the k-th free one is found in a short time. */
enum {
    RVT_LKEY_BLOCK_BITS = 15,
    RVT_LKEY_BLOCK_SLOTS = 1 << RVT_LKEY_BLOCK_BITS,
    RVT_LKEY_BLOCKS = 1 << (RVT_MAX_LKEY_TABLE_BITS - RVT_LKEY_BLOCK_BITS),
};

/* So many random numbers are had of one request to the system: 256 bytes, the most that one call gives. */
enum { RVT_RANDOM_NUMBERS = 64 };

/* Protected by the device's lock, but for `records` (readers) and the constants. */
struct rvt_lkey_table {
    struct rvt_lkey_record *records; /* constant; 2^bits */
    struct rvt_lkey_shadow *shadows; /* constant; as many, touched only where a live record changes */
    uint32_t bits, max;              /* constant */
    bool random;                     /* constant */
    uint32_t next;                   /* where the next search starts */
    uint32_t generation;             /* the reference's raw counter */
    uint32_t used;
    uint16_t used_in[RVT_LKEY_BLOCKS]; /* of which in each block */
    uint64_t *occupied;                /* one bit a slot */
    struct rvt_mregion **owner;        /* by slot */
    struct rvt_sparse memory;          /* of all four arrays, which begin with the records */
    uint32_t huge_from; /* used slots with which large pages are asked for; UINT32_MAX: never, or asked */
    /* Of the system's random numbers, the first `random_left` are not used yet; the others are zeros. */
    uint32_t random_left, random_numbers[RVT_RANDOM_NUMBERS];
};

/* Reserve the memory of a table. Its pages are added to *held as they are touched.
 *   0        the table is empty
 *   -ENOMEM  nothing was made */
int rvt_lkey_table_init(struct rvt_lkey_table *table, uint32_t bits, bool random, _Atomic(uint64_t) *held);
void rvt_lkey_table_destroy(struct rvt_lkey_table *table);

/* The device is closed and the table empty: no random number is left, its memory goes back to the system,
 * but readers may go on, and find no key. Under the device's lock. */
void rvt_lkey_table_end(struct rvt_lkey_table *table);

/* The record a key names. Every 32-bit key names one: the index is its top `bits` bits. Written as a product
 * with 2^bits, which takes two operations where a shift by a variable takes four. */
static inline struct rvt_lkey_record *rvt_lkey_slot(struct rvt_lkey_record *records, uint64_t max,
                                                    uint32_t key) {
    return &records[key * max >> 32];
}
static inline struct rvt_lkey_record *rvt_lkey_record(const struct rvt_lkey_table *table, uint32_t key) {
    return rvt_lkey_slot(table->records, table->max, key);
}

static inline struct rvt_record_copy *rvt_record_shadow(const struct rvt_lkey_table *table,
                                                        const struct rvt_lkey_record *record) {
    return &table->shadows[record - table->records].line1;
}

/* rvt_alloc_lkey: give the region a key and make it answer to it, complete and at once; a DMA region gets key
 * 0 and becomes the device's published one unless there is one already. Under the device's lock; the region's
 * fields must be final.
 *
 * Sequential keys are the reference's: slot and generation move on with each registration, so every key can be
 * foretold, and the same key comes back after max(2^bits, 2^(24 - bits)) registrations, if not later.
 *
 * Random keys: all 32 bits come from the CSPRNG; every free slot has the same chance; the upper 24 bits are
 * never 0 and never those that the slot last had.
 *   0        it answers to its key
 *   -ENOMEM  no slot is free (neither `next` nor `generation` moved), or no random numbers. With random keys
 *            and 23 bits, slot 0 has one key in all its life: 0x100 to 0x1ff */
int rvt_alloc_lkey(struct rvt_mregion *mr);

/* True when rvt_alloc_lkey would find a slot with a key to give. */
bool rvt_lkey_available(const struct rvt_lkey_table *table);

/* rvt_free_lkey: no check that starts from now on finds the region. Under the device's lock;
 * once per region. */
void rvt_free_lkey(struct rvt_mregion *mr);

/* Replace what a live record says. Readers see the old or the new, never a mixture, and never wait.
 * The change comes in three steps, because a page mapping has to close the door for new references between
 * the first and the second (rvt_mr_set_map). Under the device's lock. */
void rvt_record_stage(const struct rvt_lkey_table *table, struct rvt_lkey_record *record,
                      const struct rvt_lkey_entry *entry);
void rvt_record_flip(struct rvt_lkey_record *record);
void rvt_record_settle(struct rvt_lkey_record *record, const struct rvt_lkey_entry *entry);

/* All three. */
void rvt_record_replace(const struct rvt_lkey_table *table, struct rvt_lkey_record *record,
                        const struct rvt_lkey_entry *entry);

/* A consistent reading of the record; returns the sequence number it belongs to. If `entry->key` is not `key`
 * the other fields mean nothing. Lock-free; inside a reader's section when `entry->map` is to be followed. */
static inline uint64_t rvt_record_read(const struct rvt_lkey_table *table,
                                       const struct rvt_lkey_record *record, uint32_t key,
                                       struct rvt_lkey_entry *entry) {
    for (;;) {
        uint64_t sequence = atomic_load_explicit(&record->sequence, memory_order_acquire);
        const struct rvt_record_copy *copy = sequence & 1 ? rvt_record_shadow(table, record) : &record->line0;
        /* Name first: a slot is filled name last, so a match promises the rest. */
        uint64_t name = atomic_load_explicit(&copy->name, memory_order_acquire);
        uint32_t held = (uint32_t)name;
        if (held == key) {
            uint64_t rights = atomic_load_explicit(&copy->rights, memory_order_acquire);
            entry->key = key;
            entry->pd = (uint32_t)(name >> 32);
            entry->access = (uint32_t)rights;
            entry->shape = (uint32_t)(rights >> 32);
            entry->base = atomic_load_explicit(&copy->base, memory_order_acquire);
            entry->iova = atomic_load_explicit(&copy->iova, memory_order_acquire);
            entry->length = atomic_load_explicit(&copy->length, memory_order_acquire);
            entry->map = atomic_load_explicit(&copy->map, memory_order_acquire);
            entry->region = atomic_load_explicit(&copy->region, memory_order_acquire);
            /* The acquire loads above keep this second look behind them. */
            if (atomic_load_explicit(&record->sequence, memory_order_relaxed) == sequence)
                return sequence;
        } else if (atomic_load_explicit(&record->sequence, memory_order_relaxed) == sequence) {
            entry->key = held;
            return sequence;
        }
    }
}

#endif
