/* SPDX-License-Identifier: BSD-3-Clause */
/* The key table: one flat record per slot. A check reads the record and nothing else.
 *
 * A record fills one cache line and holds a sequence number and everything that judges an access. Its shadow
 * is the second copy of a sequence latch. While a writer changes one copy of a live record, the sequence
 * directs readers to the other. So readers never wait for a writer, even for one that lost its processor. */
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
struct rvt_map;
struct rvt_mregion;
struct rvt_mw;
struct rvt_owned;

enum { RVT_MAX_LKEY_TABLE_BITS = 23 };

/* The low bits of a key, which the consumer owns: see RVT_KEY_VARIANT_MASK. */
enum { RVT_KEY_VARIANT_BITS = 8 };
static_assert((1 << RVT_KEY_VARIANT_BITS) - 1 == RVT_KEY_VARIANT_MASK, "the same bits");

/* The fields of a record as plain values. */
struct rvt_lkey_entry {
    uint32_t key; /* 0: the slot is empty */
    uint32_t pd;
    uint32_t access;
    uint32_t shape;  /* see rvt_shape */
    uint64_t base;   /* address of byte 0 in local checks */
    uint64_t iova;   /* address of byte 0 in remote checks */
    uint64_t length; /* bytes */
    struct rvt_map *map;
    uint32_t region; /* index in the pool of regions; references are counted by it */
};

/* Layout of a record's shape: first-byte offset (16 bits), log2 of the segment size (8 bits), and flags:
 *
 *   VALID         the key has not been invalidated
 *   PLAIN         valid, and a check only has to judge the access: the fast path accepts no other record
 *   COUNTED       checks of this region may have effects: they are counted (rvt_count_mr), or faults refuse them
 *   ONE_WORD      references are counted in the region's word, not by the context that takes them
 *   END_UNMAPPED  no segment lies behind the last byte, so an empty access there is refused
 *   EXTENT        user memory: the mapping is a part of the region
 *   WINDOW        a memory window (mw.h), which is neither VALID nor PLAIN; `base` is the address of the
 *                 struct rvt_mw
 *
 * A counted region is not PLAIN. So it takes the slow path, and counting costs other regions nothing. */
enum {
    RVT_SHAPE_VALID = 1u << 24,
    RVT_SHAPE_PLAIN = 1u << 25,
    RVT_SHAPE_COUNTED = 1u << 26,
    RVT_SHAPE_ONE_WORD = 1u << 27,
    RVT_SHAPE_END_UNMAPPED = 1u << 28,
    RVT_SHAPE_EXTENT = 1u << 29,
    RVT_SHAPE_WINDOW = 1u << 30,
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
    /* Pairs of 32-bit values that a check compares in one step. `name`: key (low half) and domain. `rights`:
     * access bits (low half) and shape. */
    _Atomic(uint64_t) name, rights;
    _Atomic(uint64_t) base, iova, length;
    _Atomic(struct rvt_map *) map;
    _Atomic(uint32_t) region;
    /* Line 0 only: the last key of an empty slot. Written before `name` is cleared. */
    _Atomic(uint32_t) last_key;
};

/* Returns a record's name. An empty slot has name 0; no record in use has it, because domain ids start at
 * 1. */
static inline uint64_t rvt_record_name(uint32_t key, uint32_t pd) {
    return (uint64_t)pd << 32 | key;
}
static inline uint64_t rvt_record_rights(uint32_t access, uint32_t shape) {
    return (uint64_t)shape << 32 | access;
}

/* All record fields are stored with release and loaded with acquire. That is sufficient ordering:
 * - A reader that loads a field of a later change also sees the sequence that the change stored before. So
 *   its second load of the sequence differs, and it starts again.
 * - A slot is filled with the name last, so a reader that sees the key sees the rest. */
struct rvt_lkey_record {
    alignas(RVT_CACHE_LINE) _Atomic(uint64_t) sequence; /* even: readers use line 0; odd: the shadow */
    struct rvt_record_copy line0;
};
static_assert(sizeof(struct rvt_lkey_record) == RVT_CACHE_LINE, "a record is a cache line");

/* The second copy of a record. Shadows are in an array of their own: beside its record, a shadow would be
 * fetched with it by processors that fetch cache lines in pairs, which would halve the useful cache
 * capacity. */
struct rvt_lkey_shadow {
    alignas(RVT_CACHE_LINE) struct rvt_record_copy line1;
};

/* Free slots are counted per block, so that finding the k-th free slot is fast. */
enum {
    RVT_LKEY_BLOCK_BITS = 15,
    RVT_LKEY_BLOCK_SLOTS = 1 << RVT_LKEY_BLOCK_BITS,
    RVT_LKEY_BLOCKS = 1 << (RVT_MAX_LKEY_TABLE_BITS - RVT_LKEY_BLOCK_BITS),
};

/* How many random numbers are fetched per system call: 256 bytes, the most that one getentropy() call
 * returns. */
enum { RVT_RANDOM_NUMBERS = 64 };

/* Protected by the device lock, except for the constants and for `records` and `shadows`, which readers
 * read. */
struct rvt_lkey_table {
    struct rvt_lkey_record *records; /* constant; 2^bits records */
    struct rvt_lkey_shadow *shadows; /* constant; 2^bits shadows, touched only when a live record changes */
    uint32_t bits, max;              /* constant */
    bool random;                     /* constant */
    uint32_t next;                   /* where the next search for a free slot starts */
    uint32_t generation;             /* the kernel's raw counter */
    uint32_t used;
    uint16_t used_in[RVT_LKEY_BLOCKS]; /* slots in use, per block */
    uint64_t *occupied;                /* one bit per slot */
    /* The region or memory window of each slot: rvt_slot_region, rvt_slot_window. */
    struct rvt_owned **owner;
    struct rvt_sparse memory; /* the memory of all four arrays, records first */
    /* Number of used slots at which large pages are requested; UINT32_MAX if never, or already requested. */
    uint32_t huge_from;
    /* Constant: upper 24 bits that no key has besides 0, since they would make its rkey 0. 0: none. */
    uint32_t reserved_name;
    /* The first `random_left` numbers from the CSPRNG are unused; used ones are set to 0. */
    uint32_t random_left, random_numbers[RVT_RANDOM_NUMBERS];
};

/* Reserves the memory of a key table with 2^bits slots. Adds its pages to *held as they are touched.
 *   0        the table is empty
 *   -ENOMEM  nothing was allocated */
int rvt_lkey_table_init(struct rvt_lkey_table *table, uint32_t bits, bool random, _Atomic(uint64_t) *held);

/* Releases the table's address space. No reader may be able to reach the table any more. */
void rvt_lkey_table_destroy(struct rvt_lkey_table *table);

/* Empties the table of a closed device, which must have no key in use: wipes the random numbers and
 * returns the memory to the system. Readers may still read it, and find no key. The caller must hold the
 * device lock. */
void rvt_lkey_table_end(struct rvt_lkey_table *table);

/* Returns the record that a key names: its index is the top `bits` bits of the key, so every 32-bit key names
 * one. A multiplication by 2^bits takes two instructions, a shift by a variable four. */
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

/* Gives the region a key and publishes it for checks, like the kernel's rvt_alloc_lkey(). A DMA region gets
 * key 0 and becomes the published DMA region, unless there already is one. The region's fields must be final.
 * The caller must hold the device lock.
 *
 * Sequential keys follow the kernel: slot and generation advance with each registration. Every key can be
 * predicted, and in an otherwise empty table the same key can come back after max(2^bits, 2^(24 - bits))
 * registrations.
 *
 * Random keys take all 32 bits from the CSPRNG. Every free slot is equally likely. The upper 24 bits are
 * never 0 and never equal to those of the slot's last key.
 *   0        published
 *   -ENOMEM  no free slot (`next` and `generation` are unchanged), or no random numbers. With random keys and
 *            23 bits, slot 0 is given out only once, with a key from 0x100 to 0x1ff */
int rvt_alloc_lkey(struct rvt_mregion *mr);

/* Makes the next key another one than `key`, whose slot was just freed. Sequential keys come back after max(2^bits,
 * 2^(24-bits)) of them, so without this a region that gets a new key may get the key that it had. (In a table of 2^23 slots
 * that is otherwise full, slot 0 has only one key.) Random keys need it not. The caller must hold the device lock. */
void rvt_lkey_avoid(struct rvt_lkey_table *table, uint32_t key);

/* Returns whether rvt_alloc_lkey would find a free slot that has a key to give. Ends expired leases if there is
 * none without. The caller must hold the device lock. */
bool rvt_lkey_available(struct rvt_dev_info *device);

/* The steps of rvt_alloc_lkey and rvt_free_lkey, for owners of slots of any kind. rvt_new_key chooses a key, with
 * the answers of rvt_alloc_lkey, and rvt_fill_slot publishes the complete record under it. The caller must hold
 * the device lock. */
int rvt_new_key(struct rvt_dev_info *device, uint32_t *key);
void rvt_fill_slot(struct rvt_lkey_table *table, const struct rvt_lkey_entry *entry, struct rvt_owned *owner);
void rvt_free_slot(struct rvt_lkey_table *table, uint32_t key);

/* Return the region or the memory window that owns the slot of this key, whatever its key is; NULL if the slot is
 * free or its owner is of the other kind. The caller must hold the device lock. */
struct rvt_mregion *rvt_slot_region(const struct rvt_lkey_table *table, uint32_t key);
struct rvt_mw *rvt_slot_window(const struct rvt_lkey_table *table, uint32_t key);

/* Removes the region's key from the table, like the kernel's rvt_free_lkey(). No check that starts afterwards
 * finds the region. Does nothing if the key is not published. The caller must hold the device lock. */
void rvt_free_lkey(struct rvt_mregion *mr);

/* Replace the content of a live record in three steps: stage fills the shadow, flip directs readers to the
 * shadow, settle fills line 0 and directs readers back. Readers see the old or the new content, never a
 * mixture, and never wait. The steps are separate because rvt_mr_set_map must stop new references between the
 * first and the second. The caller must hold the device lock. */
void rvt_record_stage(const struct rvt_lkey_table *table, struct rvt_lkey_record *record,
                      const struct rvt_lkey_entry *entry);
void rvt_record_flip(struct rvt_lkey_record *record);
void rvt_record_settle(struct rvt_lkey_record *record, const struct rvt_lkey_entry *entry);

/* Does all three steps. */
void rvt_record_replace(const struct rvt_lkey_table *table, struct rvt_lkey_record *record,
                        const struct rvt_lkey_entry *entry);

/* Reads a consistent copy of the record into *entry and returns its sequence number. If `entry->key` differs
 * from `key`, the other fields are not set. Lock-free. To follow `entry->map`, the caller must be in a
 * reader's section. */
static inline uint64_t rvt_record_read(const struct rvt_lkey_table *table,
                                       const struct rvt_lkey_record *record, uint32_t key,
                                       struct rvt_lkey_entry *entry) {
    for (;;) {
        uint64_t sequence = atomic_load_explicit(&record->sequence, memory_order_acquire);
        const struct rvt_record_copy *copy = sequence & 1 ? rvt_record_shadow(table, record) : &record->line0;
        /* Load the name first: a slot is filled with the name last, so if the key matches, the rest is
         * there. */
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
            /* The acquire loads above keep this load of the sequence behind them. */
            if (atomic_load_explicit(&record->sequence, memory_order_relaxed) == sequence)
                return sequence;
        } else if (atomic_load_explicit(&record->sequence, memory_order_relaxed) == sequence) {
            entry->key = held;
            return sequence;
        }
    }
}

#endif
