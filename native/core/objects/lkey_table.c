/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/lkey_table.h"

#include <assert.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/mw.h"
#include "core/objects/region.h"

/* When to request large pages. Random accesses to a full table of 2^HUGE_BITS slots (4 MiB of records) or
 * more touch more small pages than the TLB holds, and large pages help. But then the first region would cost
 * 2 MiB. So large pages are requested only once 1/HUGE_SHARE of the slots, or HUGE_USED slots if that is
 * less, are in use: by then random keys have touched nearly every small page. */
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
    /* Use one reservation for all arrays: the number of mappings per process is limited, and a small table
     * fits in one page. */
    size_t shadows = (size_t)table->max * sizeof(*table->records);
    size_t owner = shadows + (size_t)table->max * sizeof(*table->shadows);
    size_t occupied = owner + whole_lines((size_t)table->max * sizeof(struct rvt_owned *));
    size_t end = occupied + (table->max + 63) / 64 * sizeof(*table->occupied);
    if (!rvt_sparse_init(&table->memory, end, held))
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    unsigned char *data = table->memory.data;
    table->records = (struct rvt_lkey_record *)(void *)data;
    table->shadows = (struct rvt_lkey_shadow *)(void *)(data + shadows);
    table->owner = (struct rvt_owned **)(void *)(data + owner);
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
    /* Other threads may be reading records right now; no section keeps them out. From some load on, such a
     * thread reads zeros. A thread that has read from a zero page also sees everything that this thread did
     * before (rvt_pages_give_back), including rvt_free_lkey, which advanced the sequence of every record that
     * had a key.
     *
     * A reader loads the sequence first and compares it again at the end. At the end it finds the advanced
     * sequence or the zero of the new page. Neither equals the sequence it loaded first, because a record
     * with a key never has sequence 0 (rvt_alloc_lkey). So the reader starts again and reads name 0 in the
     * record and in its shadow. No key and domain have name 0, so every access is refused.
     *
     * A reader that is about to advance the sequence for a writer (rvt_mr_acquire) expects a nonzero
     * sequence, so its compare-and-exchange fails and writes nothing. `owner` and `occupied` are read only
     * under the device lock. */
    rvt_sparse_give_back(&table->memory);
}

/* Switches the table to large pages as it fills. Converts existing small pages at a rate of one large page
 * per registration, because copying takes time and the device lock is held. */
static void grow_pages(struct rvt_lkey_table *table) {
    if (table->used >= table->huge_from) {
        table->huge_from = UINT32_MAX;
        rvt_sparse_prefer_huge(&table->memory, (size_t)table->max * sizeof(*table->records));
    } else {
        rvt_sparse_collapse(&table->memory);
    }
}

/* Returns the last key of a slot without the consumer's bits, or 0 if the slot never had a key. */
static uint32_t last_name(const struct rvt_lkey_table *table, uint32_t slot) {
    return atomic_load_explicit(&table->records[slot].line0.last_key, memory_order_relaxed) >>
           RVT_KEY_VARIANT_BITS;
}

static bool slot_is_free(const struct rvt_lkey_table *table, uint32_t slot) {
    return !(table->occupied[slot / 64] >> (slot % 64) & 1);
}

/* Returns whether slot 0 is free but has no key left. In a table of 2^23 slots, slot 0 has one generation
 * bit, and generation 0 would be key 0. So only one key is possible, and it must not be given out twice in a
 * row. Every other slot always has a different key to give. */
static bool slot_0_is_spent(const struct rvt_lkey_table *table) {
    return table->random && table->bits == RVT_MAX_LKEY_TABLE_BITS && slot_is_free(table, 0) &&
           last_name(table, 0) == 1;
}

/* Returns how many free slots have a key to give. */
static uint32_t usable_slots(const struct rvt_lkey_table *table) {
    return table->max - table->used - slot_0_is_spent(table);
}

bool rvt_lkey_available(struct rvt_dev_info *device) {
    const struct rvt_lkey_table *table = &device->lkey_table;
    if (!usable_slots(table))
        rvt_end_expired_leases(device);
    return usable_slots(table) > 0;
}

/* Returns the first free slot at or after `from`, cyclically. At least one slot must be free. Tests 64 slots
 * at a time: a full table of 2^23 slots would otherwise take 8 million steps, as in the kernel. */
static uint32_t find_free_slot(const struct rvt_lkey_table *table, uint32_t from) {
    uint32_t words = (table->max + 63) / 64;
    /* A table of fewer than 64 slots uses only a part of one word; treat the rest as taken. */
    uint64_t beyond = table->max < 64 ? ~UINT64_C(0) << table->max : 0;
    uint64_t below = ~(~UINT64_C(0) << (from % 64)); /* slots before `from`, examined last */
    uint64_t taken = table->occupied[from / 64] | beyond | below;
    for (uint32_t word = from / 64;;) {
        if (~taken)
            return word * 64 + (uint32_t)__builtin_ctzll(~taken);
        word = word + 1 == words ? 0 : word + 1;
        taken = table->occupied[word] | beyond;
    }
}

/* Returns the next key in the kernel's order: next-fit slot and generation. */
static uint32_t make_next_key(struct rvt_lkey_table *table) {
    uint32_t slot = find_free_slot(table, table->next);
    table->next = (slot + 1) & (table->max - 1);
    uint32_t generation_mask = (UINT32_C(1) << (24 - table->bits)) - 1;
    table->generation++;
    uint32_t key = slot << (32 - table->bits) | (table->generation & generation_mask) << 8;
    if (key == 0) {
        /* Key 0 is reserved for DMA regions. With one generation bit (bits = 23), 0x100 still names slot
         * 0. */
        table->generation++;
        key = 1u << 8;
    }
    /* A reserved name is in slot 0, too, where a strict device has at least three other generations. */
    while (table->reserved_name && (key >> RVT_KEY_VARIANT_BITS == table->reserved_name || !key)) {
        table->generation++;
        key = (table->generation & generation_mask) << 8;
    }
    return key;
}

void rvt_lkey_avoid(struct rvt_lkey_table *table, uint32_t key) {
    const uint32_t slot = key >> (32 - table->bits),
                   generation_mask = (UINT32_C(1) << (24 - table->bits)) - 1;
    if (table->random || find_free_slot(table, table->next) != slot)
        return;
    if (table->max - table->used > 1)
        table->next = (slot + 1) & (table->max - 1); /* any key of another slot is another one */
    else if (((table->generation + 1) & generation_mask) == (key >> RVT_KEY_VARIANT_BITS & generation_mask))
        table->generation++;
}

/* Draws a random number from the CSPRNG. Returns false if the CSPRNG fails. Wipes each number after use, so
 * that memory does not reveal earlier keys. */
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
        /* Prefetch the two cache lines that the next registration writes; in a large table neither is likely
         * to be cached. */
        uint32_t slot = next[-1] >> (32 - table->bits);
        __builtin_prefetch(&table->records[slot], 1);
        __builtin_prefetch(&table->owner[slot], 1);
    }
    return true;
}

/* Draws a uniformly distributed random number below `limit`. Returns false if the CSPRNG fails. */
static bool take_random_below(struct rvt_lkey_table *table, uint32_t limit, uint32_t *number) {
    uint64_t product;
    do {
        uint32_t random;
        if (!take_random_number(table, &random))
            return false;
        product = (uint64_t)random * limit;
        /* The upper half of the product is the result. To keep it uniform, redraw if the lower half is below
         * 2^32 % limit. */
    } while ((uint32_t)product < (0u - limit) % limit);
    *number = (uint32_t)(product >> 32);
    return true;
}

/* Returns the k-th free slot, counted from 0. It must exist. Visits at most 256 blocks and 512 words. */
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
        /* In a table of fewer than 64 slots the unused bits come last, so the search never reaches them. */
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

/* Returns whether the free slot that the key names may get this key. Key 0 is reserved for DMA regions,
 * whatever its consumer bits are. The slot's last key is excluded, because holders of the old key would get
 * access again. The comparison ignores the low bits, because consumers change them (rvt_fast_reg_mr). */
static bool may_be_given(const struct rvt_lkey_table *table, uint32_t key) {
    uint32_t name = key >> RVT_KEY_VARIANT_BITS;
    return name && name != table->reserved_name && name != last_name(table, key >> (32 - table->bits));
}

enum { RANDOM_DRAWS = 64 };

/* Draws all 32 bits of a key from the CSPRNG. Returns 0 if the CSPRNG fails. Each free slot is equally
 * likely, and so is each key that the slot may get. At least one slot must have a key to give
 * (usable_slots). */
static uint32_t make_random_key(struct rvt_lkey_table *table) {
    uint32_t random;
    for (unsigned draw = 0; draw < RANDOM_DRAWS; draw++) {
        if (!take_random_number(table, &random))
            return 0;
        if (slot_is_free(table, random >> (32 - table->bits)) && may_be_given(table, random))
            return random;
    }
    /* All draws hit taken slots, so few slots are free: choose the k-th free slot directly. */
    uint32_t k;
    if (!take_random_below(table, usable_slots(table), &k))
        return 0;
    uint32_t slot = nth_free_slot(table, k + slot_0_is_spent(table));
    uint32_t key;
    do { /* at least half of the candidates pass, so this takes few draws */
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

int rvt_new_key(struct rvt_dev_info *device, uint32_t *key) {
    struct rvt_lkey_table *table = &device->lkey_table;
    if (!rvt_lkey_available(device))
        return rvt_fail_value(RVT_ENOMEM, RVT_CAUSE_TABLE_FULL, table->used, table->max);
    *key = table->random ? make_random_key(table) : make_next_key(table);
    if (!*key) /* better no region than a predictable key */
        return rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS);
    return 0;
}

void rvt_fill_slot(struct rvt_lkey_table *table, const struct rvt_lkey_entry *entry,
                   struct rvt_owned *owner) {
    uint32_t slot = entry->key >> (32 - table->bits);
    struct rvt_lkey_record *record = &table->records[slot];
    grow_pages(table);
    rvt_sparse_touch(&table->memory, record);
    rvt_sparse_touch(&table->memory, &table->owner[slot]);
    rvt_sparse_touch(&table->memory, &table->occupied[slot / 64]);
    table->occupied[slot / 64] |= UINT64_C(1) << (slot % 64);
    table->owner[slot] = owner;
    table->used++;
    table->used_in[slot >> RVT_LKEY_BLOCK_BITS]++;
    /* Sequence 0 is reserved for memory that was given back (rvt_lkey_table_end), so a record with a key
     * starts at 2. No reader is confused: the following fields are stored with release, so a reader that
     * loads any of them also sees the new sequence. */
    if (!atomic_load_explicit(&record->sequence, memory_order_relaxed))
        atomic_store_explicit(&record->sequence, 2, memory_order_relaxed);
    /* Publish only the complete record. The slot is empty, so no reader uses these fields before the name,
     * which is stored last. */
    fill_record_copy(&record->line0, entry);
}

int rvt_alloc_lkey(struct rvt_mregion *mr) {
    struct rvt_dev_info *device = mr->owned.device;
    if (mr->kind == RVT_MR_DMA) {
        mr->lkey_published = atomic_load_explicit(&device->dma_mr, memory_order_relaxed) == NULL;
        if (mr->lkey_published)
            atomic_store_explicit(&device->dma_mr, mr, memory_order_release);
        return 0;
    }
    uint32_t key;
    int error = rvt_new_key(device, &key);
    if (error)
        return error;
    struct rvt_lkey_entry entry;
    rvt_mr_set_key(mr, key);
    mr->lkey_published = true;
    rvt_mr_entry(mr, &entry);
    rvt_fill_slot(&device->lkey_table, &entry, &mr->owned);
    return 0;
}

void rvt_free_slot(struct rvt_lkey_table *table, uint32_t key) {
    uint32_t slot = key >> (32 - table->bits);
    struct rvt_lkey_record *record = &table->records[slot];
    atomic_store_explicit(&record->line0.last_key, key, memory_order_release);
    atomic_store_explicit(&record->line0.name, 0, memory_order_release);
    /* Advance the sequence after the name is cleared and before the slot can be filled again. A reader that
     * still saw the key holds an older sequence, and the first field of the next region that it loads makes
     * the new sequence visible. A reader that starts with the new sequence finds the key cleared. In neither
     * case can it combine fields of the two regions. */
    uint64_t sequence = atomic_load_explicit(&record->sequence, memory_order_relaxed);
    atomic_store_explicit(&record->sequence, sequence + 2, memory_order_release);
    table->owner[slot] = NULL;
    table->occupied[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    table->used--;
    table->used_in[slot >> RVT_LKEY_BLOCK_BITS]--;
}

void rvt_free_lkey(struct rvt_mregion *mr) {
    struct rvt_dev_info *device = mr->owned.device;
    if (!mr->lkey_published)
        return;
    mr->lkey_published = false;
    if (mr->kind == RVT_MR_DMA)
        atomic_store_explicit(&device->dma_mr, NULL, memory_order_release);
    else
        rvt_free_slot(&device->lkey_table, rvt_mr_key(mr));
}

/* Returns the owner of the key's slot, if the slot is in use and its owner is a window or not as asked. No writer
 * runs while the lock is held, so line 0 is complete. */
static struct rvt_owned *slot_owner(const struct rvt_lkey_table *table, uint32_t key, bool window) {
    const struct rvt_lkey_record *record = rvt_lkey_record(table, key);
    if (!atomic_load_explicit(&record->line0.name, memory_order_relaxed))
        return NULL;
    uint64_t rights = atomic_load_explicit(&record->line0.rights, memory_order_relaxed);
    bool is_window = rights & rvt_record_rights(0, RVT_SHAPE_WINDOW);
    return is_window == window ? table->owner[record - table->records] : NULL;
}

struct rvt_mregion *rvt_slot_region(const struct rvt_lkey_table *table, uint32_t key) {
    return (struct rvt_mregion *)slot_owner(table, key, false);
}

struct rvt_mw *rvt_slot_window(const struct rvt_lkey_table *table, uint32_t key) {
    return (struct rvt_mw *)slot_owner(table, key, true);
}

void rvt_record_stage(const struct rvt_lkey_table *table, struct rvt_lkey_record *record,
                      const struct rvt_lkey_entry *entry) {
    /* The sequence is even, so no reader is directed to the shadow. A reader left over from the last change
     * notices that the sequence has moved since. */
    struct rvt_record_copy *shadow = rvt_record_shadow(table, record);
    rvt_sparse_touch(&table->memory, shadow);
    fill_record_copy(shadow, entry);
}

void rvt_record_flip(struct rvt_lkey_record *record) {
    /* A reader may have done this step already (rvt_mr_acquire); then the exchange fails harmlessly. release:
     * a reader that is directed to the shadow finds it complete. */
    uint64_t even = atomic_load_explicit(&record->sequence, memory_order_relaxed) & ~UINT64_C(1);
    atomic_compare_exchange_strong_explicit(&record->sequence, &even, even + 1, memory_order_acq_rel,
                                            memory_order_acquire);
}

void rvt_record_settle(struct rvt_lkey_record *record, const struct rvt_lkey_entry *entry) {
    /* Every release store in fill_record_copy() makes the odd sequence visible, so a reader still in line 0
     * starts again. */
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
