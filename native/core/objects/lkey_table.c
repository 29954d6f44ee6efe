/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/lkey_table.h"

#include <assert.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/region.h"

/* A table of this many slots (4 MiB of records) or more is read at random over more pages than the processor
 * has translations for at hand, if it is full. Large pages help then; but the first region would cost 2 MiB.
 * So they are asked for when the table is no longer sparse: random keys touch nearly every small page by
 * then. */
enum { HUGE_BITS = 16, HUGE_SHARE = 8, HUGE_USED = 1 << 18 };

static uint32_t slots_for_huge_pages(const struct rvt_lkey_table *table) {
    uint32_t share = table->max / HUGE_SHARE;
    return table->bits < HUGE_BITS ? UINT32_MAX : share < HUGE_USED ? share : HUGE_USED;
}

static size_t whole_lines(size_t bytes) {
    return (bytes + RVT_CACHE_LINE - 1) / RVT_CACHE_LINE * RVT_CACHE_LINE;
}

int rvt_lkey_table_init(struct rvt_lkey_table *table, uint32_t bits, bool random, _Atomic(uint64_t) *held) {
    memset(table, 0, sizeof(*table));
    table->bits = bits;
    table->max = UINT32_C(1) << bits;
    table->random = random;
    table->huge_from = slots_for_huge_pages(table);
    /* In one reservation: a process may have only so many mappings, and a small table fits one page. */
    size_t shadows = (size_t)table->max * sizeof(*table->records);
    size_t owner = shadows + (size_t)table->max * sizeof(*table->shadows);
    size_t occupied = owner + whole_lines((size_t)table->max * sizeof(struct rvt_mregion *));
    size_t end = occupied + (table->max + 63) / 64 * sizeof(*table->occupied);
    if (!rvt_sparse_init(&table->memory, end, held))
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    unsigned char *data = table->memory.data;
    table->records = (struct rvt_lkey_record *)(void *)data;
    table->shadows = (struct rvt_lkey_shadow *)(void *)(data + shadows);
    table->owner = (struct rvt_mregion **)(void *)(data + owner);
    table->occupied = (uint64_t *)(void *)(data + occupied);
    return 0;
}

void rvt_lkey_table_destroy(struct rvt_lkey_table *table) {
    rvt_sparse_destroy(&table->memory);
    memset(table, 0, sizeof(*table));
}

void rvt_lkey_table_end(struct rvt_lkey_table *table) {
    assert(!table->used);
    table->random_left = 0;
    memset(table->random_numbers, 0, sizeof(table->random_numbers));
    /* Other threads may be reading records at this moment; no section keeps them out. From some load on such
     * a thread reads zeros. A thread that has read a zero page also sees everything that this thread did
     * before (rvt_pages_give_back), and that includes rvt_free_lkey, which moved the sequence of every record
     * that had a key.
     *
     * A reader loads the sequence first and compares it at the end. At the end it finds the moved sequence,
     * or the zero of the new page. Neither is the number that it loaded first: a record with a key never has
     * sequence 0 (rvt_alloc_lkey). So it starts again, and then reads name 0 in the record and in its shadow.
     * No key and no domain has name 0, so every access is refused.
     *
     * A reader that is about to move the sequence for a writer (rvt_mr_acquire) expects a number that is not
     * 0, so its compare-and-exchange fails and it writes nothing. `owner` and `occupied` are read under the
     * lock only. */
    rvt_sparse_give_back(&table->memory);
}

/* Under more and more regions: from some number on in large pages. Those small pages that are there are made
 * large one large page a region, because copying them takes time and the lock is held. */
static void grow_pages(struct rvt_lkey_table *table) {
    if (table->used >= table->huge_from) {
        table->huge_from = UINT32_MAX;
        rvt_sparse_prefer_huge(&table->memory, (size_t)table->max * sizeof(*table->records));
    } else {
        rvt_sparse_collapse(&table->memory);
    }
}

/* The last key of a slot, without the consumer's bits; 0: it never had one. */
static uint32_t last_name(const struct rvt_lkey_table *table, uint32_t slot) {
    return atomic_load_explicit(&table->records[slot].line0.last_key, memory_order_relaxed) >>
           RVT_KEY_VARIANT_BITS;
}

static bool slot_is_free(const struct rvt_lkey_table *table, uint32_t slot) {
    return !(table->occupied[slot / 64] >> (slot % 64) & 1);
}

/* Slot 0 of a table of 2^23 slots has one generation bit, and generation 0 would be key 0. So it has one key,
 * and after that none that differs from its last. Every other slot always has one. */
static bool slot_0_is_spent(const struct rvt_lkey_table *table) {
    return table->random && table->bits == RVT_MAX_LKEY_TABLE_BITS && slot_is_free(table, 0) &&
           last_name(table, 0) == 1;
}

/* Free slots that have a key to give. */
static uint32_t usable_slots(const struct rvt_lkey_table *table) {
    return table->max - table->used - slot_0_is_spent(table);
}

bool rvt_lkey_available(const struct rvt_lkey_table *table) {
    return usable_slots(table) > 0;
}

/* The first free slot at or after `from`, cyclically. There is one. 64 slots a look: a full table of 2^23
 * would otherwise cost 8 million looks, as it does in the reference. */
static uint32_t find_free_slot(const struct rvt_lkey_table *table, uint32_t from) {
    uint32_t words = (table->max + 63) / 64;
    /* A table of less than 64 slots fills a part of one word; the rest is never free. */
    uint64_t beyond = table->max < 64 ? ~UINT64_C(0) << table->max : 0;
    uint64_t below = ~(~UINT64_C(0) << (from % 64)); /* slots before `from`: looked at last */
    uint64_t taken = table->occupied[from / 64] | beyond | below;
    for (uint32_t word = from / 64;;) {
        if (~taken)
            return word * 64 + (uint32_t)__builtin_ctzll(~taken);
        word = word + 1 == words ? 0 : word + 1;
        taken = table->occupied[word] | beyond;
    }
}

/* Next-fit slot and generation, as the reference numbers them. */
static uint32_t make_next_key(struct rvt_lkey_table *table) {
    uint32_t slot = find_free_slot(table, table->next);
    table->next = (slot + 1) & (table->max - 1);
    uint32_t generation_mask = (UINT32_C(1) << (24 - table->bits)) - 1;
    table->generation++;
    uint32_t key = slot << (32 - table->bits) | (table->generation & generation_mask) << 8;
    if (key == 0) {
        /* Key 0 is the DMA key. With one generation bit (bits = 23) 0x100 still names slot 0. */
        table->generation++;
        key = 1u << 8;
    }
    return key;
}

/* The next random number from the CSPRNG; false when there is none to be had. A number is used once, and
 * wiped, so that memory does not tell which keys there were. */
static bool take_random_number(struct rvt_lkey_table *table, uint32_t *number) {
    if (!table->random_left) {
        if (!rvt_random_bytes(table->random_numbers, sizeof(table->random_numbers)))
            return false;
        table->random_left = RVT_RANDOM_NUMBERS;
    }
    uint32_t *next = &table->random_numbers[--table->random_left];
    *number = *next;
    *next = 0;
    if (table->random_left) {
        /* The next registration writes these two lines. In a large table both are far from any cache. */
        uint32_t slot = next[-1] >> (32 - table->bits);
        __builtin_prefetch(&table->records[slot], 1);
        __builtin_prefetch(&table->owner[slot], 1);
    }
    return true;
}

/* A random number below `limit`, all with the same chance. */
static bool take_random_below(struct rvt_lkey_table *table, uint32_t limit, uint32_t *number) {
    uint64_t product;
    do {
        uint32_t random;
        if (!take_random_number(table, &random))
            return false;
        product = (uint64_t)random * limit;
        /* The upper half is the number. Some numbers would come up once more often than others: the lowest
         * 2^32 % limit lower halves are drawn again. */
    } while ((uint32_t)product < (0u - limit) % limit);
    *number = (uint32_t)(product >> 32);
    return true;
}

/* The k-th free slot, from 0 on. There is one. At most 256 blocks and 512 words are looked at. */
static uint32_t nth_free_slot(const struct rvt_lkey_table *table, uint32_t k) {
    uint32_t block = 0;
    for (uint32_t free;; k -= free, block++) {
        uint32_t first = block << RVT_LKEY_BLOCK_BITS;
        uint32_t slots = table->max - first;
        if (slots > RVT_LKEY_BLOCK_SLOTS)
            slots = RVT_LKEY_BLOCK_SLOTS;
        free = slots - table->used_in[block];
        if (k < free)
            break;
    }
    for (uint32_t word = (block << RVT_LKEY_BLOCK_BITS) / 64;; word++) {
        /* The unused part of a table of less than 64 slots comes last, so it is not reached. */
        uint64_t free_bits = ~table->occupied[word];
        uint32_t free = (uint32_t)__builtin_popcountll(free_bits);
        if (k >= free) {
            k -= free;
            continue;
        }
        while (k--)
            free_bits &= free_bits - 1;
        return word * 64 + (uint32_t)__builtin_ctzll(free_bits);
    }
}

/* May the free slot that the key names have it? Not key 0, whatever the consumer's bits are: it is the DMA
 * key. Not the slot's last one: who still holds that would be let in again. The low bits do not count:
 * consumers change them (rvt_fast_reg_mr). */
static bool may_be_given(const struct rvt_lkey_table *table, uint32_t key) {
    uint32_t name = key >> RVT_KEY_VARIANT_BITS;
    return name && name != last_name(table, key >> (32 - table->bits));
}

enum { RANDOM_DRAWS = 64 };

/* All 32 bits from the CSPRNG; 0 when there are no random numbers to be had. Each free slot has the same
 * chance, and so has each key that it may have. One has a key to give (usable_slots). */
static uint32_t make_random_key(struct rvt_lkey_table *table) {
    uint32_t random;
    for (unsigned draw = 0; draw < RANDOM_DRAWS; draw++) {
        if (!take_random_number(table, &random))
            return 0;
        if (slot_is_free(table, random >> (32 - table->bits)) && may_be_given(table, random))
            return random;
    }
    /* Few slots are free. */
    uint32_t k;
    if (!take_random_below(table, usable_slots(table), &k))
        return 0;
    uint32_t slot = nth_free_slot(table, k + slot_0_is_spent(table));
    uint32_t key;
    do { /* half of them may be given, or more */
        if (!take_random_number(table, &random))
            return 0;
        key = slot << (32 - table->bits) | random << table->bits >> table->bits;
    } while (!may_be_given(table, key));
    return key;
}

static void fill_record_copy(struct rvt_record_copy *copy, const struct rvt_lkey_entry *entry) {
    atomic_store_explicit(&copy->rights, rvt_record_rights(entry->access, entry->shape),
                          memory_order_release);
    atomic_store_explicit(&copy->base, entry->base, memory_order_release);
    atomic_store_explicit(&copy->iova, entry->iova, memory_order_release);
    atomic_store_explicit(&copy->length, entry->length, memory_order_release);
    atomic_store_explicit(&copy->map, entry->map, memory_order_release);
    atomic_store_explicit(&copy->region, entry->region, memory_order_release);
    atomic_store_explicit(&copy->name, rvt_record_name(entry->key, entry->pd), memory_order_release);
}

int rvt_alloc_lkey(struct rvt_mregion *mr) {
    struct rvt_dev_info *device = mr->owned.device;
    if (mr->kind == RVT_MR_DMA) {
        mr->lkey_published = atomic_load_explicit(&device->dma_mr, memory_order_relaxed) == NULL;
        if (mr->lkey_published)
            atomic_store_explicit(&device->dma_mr, mr, memory_order_release);
        return 0;
    }
    struct rvt_lkey_table *table = &device->lkey_table;
    if (!rvt_lkey_available(table))
        return rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_TABLE_FULL, table->used, table->max);
    uint32_t key = table->random ? make_random_key(table) : make_next_key(table);
    if (!key)
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS); /* rather no region than a guessable key */
    uint32_t slot = key >> (32 - table->bits);
    struct rvt_lkey_record *record = &table->records[slot];
    grow_pages(table);
    rvt_sparse_touch(&table->memory, record);
    rvt_sparse_touch(&table->memory, &table->owner[slot]);
    rvt_sparse_touch(&table->memory, &table->occupied[slot / 64]);
    table->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
    table->owner[slot] = mr;
    table->used++;
    table->used_in[slot >> RVT_LKEY_BLOCK_BITS]++;
    /* Sequence 0 is that of memory that was given back (rvt_lkey_table_end). No reader mixes it up: the
     * fields that follow are stored with release, so who meets one of them sees that the sequence has
     * moved. */
    if (!atomic_load_explicit(&record->sequence, memory_order_relaxed))
        atomic_store_explicit(&record->sequence, 2, memory_order_relaxed);
    rvt_mr_set_key(mr, key);
    mr->lkey_published = true;
    /* Publish last and complete. The slot is empty, so nobody reads these fields; name last. */
    struct rvt_lkey_entry entry;
    rvt_mr_entry(mr, &entry);
    fill_record_copy(&record->line0, &entry);
    return 0;
}

void rvt_free_lkey(struct rvt_mregion *mr) {
    struct rvt_dev_info *device = mr->owned.device;
    if (!mr->lkey_published)
        return;
    mr->lkey_published = false;
    if (mr->kind == RVT_MR_DMA) {
        atomic_store_explicit(&device->dma_mr, NULL, memory_order_release);
        return;
    }
    struct rvt_lkey_table *table = &device->lkey_table;
    uint32_t slot = rvt_mr_key(mr) >> (32 - table->bits);
    struct rvt_lkey_record *record = &table->records[slot];
    atomic_store_explicit(&record->line0.last_key, rvt_mr_key(mr), memory_order_release);
    atomic_store_explicit(&record->line0.name, 0, memory_order_release);
    /* After the key is gone and before the slot can be filled again. A reader that still had the key has an
     * older sequence, and the first field of the next region that it meets brings the new one along; a reader
     * that starts with the new sequence finds the key gone. Either way it cannot take half of the next region
     * for the rest of this one. */
    uint64_t sequence = atomic_load_explicit(&record->sequence, memory_order_relaxed);
    atomic_store_explicit(&record->sequence, sequence + 2, memory_order_release);
    table->owner[slot] = NULL;
    table->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    table->used--;
    table->used_in[slot >> RVT_LKEY_BLOCK_BITS]--;
}

void rvt_record_stage(const struct rvt_lkey_table *table, struct rvt_lkey_record *record,
                      const struct rvt_lkey_entry *entry) {
    /* Even: nobody is sent to line 1. A reader left over from the last change notices by the sequence, which
     * has moved since it was sent there. */
    struct rvt_record_copy *shadow = rvt_record_shadow(table, record);
    rvt_sparse_touch(&table->memory, shadow);
    fill_record_copy(shadow, entry);
}

void rvt_record_flip(struct rvt_lkey_record *record) {
    /* A reader may have done this step for us (rvt_mr_acquire); then the exchange fails and all is well.
     * release: who is sent to line 1 finds it complete. */
    uint64_t even = atomic_load_explicit(&record->sequence, memory_order_relaxed) & ~UINT64_C(1);
    atomic_compare_exchange_strong_explicit(&record->sequence, &even, even + 1, memory_order_acq_rel,
                                            memory_order_acquire);
}

void rvt_record_settle(struct rvt_lkey_record *record, const struct rvt_lkey_entry *entry) {
    /* Every release store of fill_record_copy() carries the odd sequence with it: a reader still in line
     * 0 starts again. */
    fill_record_copy(&record->line0, entry);
    uint64_t odd = atomic_load_explicit(&record->sequence, memory_order_relaxed);
    atomic_store_explicit(&record->sequence, odd + 1, memory_order_release);
}

void rvt_record_replace(const struct rvt_lkey_table *table, struct rvt_lkey_record *record,
                        const struct rvt_lkey_entry *entry) {
    rvt_record_stage(table, record, entry);
    rvt_record_flip(record);
    rvt_record_settle(record, entry);
}
