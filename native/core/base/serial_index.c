/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/base/serial_index.h"

#include <assert.h>

#include "core/base/alloc.h"

enum { LEAST_CAPACITY = 16 };

/* Copies the live entries to `to`, which may be the current array, and makes it the current array. */
static void compact_into(struct rvt_serial_index *index, struct rvt_serial_entry *to, size_t capacity) {
    size_t kept = 0;
    for (size_t i = 0; i < index->count; i++)
        if (index->entries[i].object)
            to[kept++] = index->entries[i];
    assert(kept == index->live);
    index->count = kept;
    if (to == index->entries)
        return;
    if (index->held) {
        atomic_fetch_add_explicit(index->held, capacity * sizeof(*to), memory_order_relaxed);
        atomic_fetch_sub_explicit(index->held, index->capacity * sizeof(*to), memory_order_relaxed);
    }
    rvt_free(index->entries);
    index->entries = to;
    index->capacity = capacity;
}

static bool change_capacity(struct rvt_serial_index *index, size_t capacity) {
    struct rvt_serial_entry *entries = rvt_zalloc(capacity, sizeof(*entries));
    if (entries)
        compact_into(index, entries, capacity);
    return entries != NULL;
}

/* Returns the entry with this serial number, live or removed, or NULL. */
static struct rvt_serial_entry *search(const struct rvt_serial_index *index, uint64_t serial) {
    size_t low = 0, high = index->count;
    /* Check the last entry first: objects that end together are removed newest first. */
    if (high && index->entries[high - 1].serial == serial)
        return &index->entries[high - 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->entries[middle].serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->count && index->entries[low].serial == serial ? &index->entries[low] : NULL;
}

bool rvt_serial_index_reserve(struct rvt_serial_index *index) {
    if (index->count < index->capacity)
        return true;
    /* Compacting frees at least half of the array, so its cost is spread over that many later calls. */
    if (index->live < index->capacity / 2) {
        compact_into(index, index->entries, index->capacity);
        return true;
    }
    return change_capacity(index, index->capacity ? 2 * index->capacity : LEAST_CAPACITY);
}

void rvt_serial_index_add(struct rvt_serial_index *index, uint64_t serial, void *object) {
    assert(index->count < index->capacity);
    assert(!index->count || index->entries[index->count - 1].serial < serial);
    index->entries[index->count++] = (struct rvt_serial_entry){serial, object};
    index->live++;
}

void *rvt_serial_index_find(const struct rvt_serial_index *index, uint64_t serial) {
    const struct rvt_serial_entry *entry = search(index, serial);
    return entry ? entry->object : NULL;
}

void rvt_serial_index_remove(struct rvt_serial_index *index, uint64_t serial) {
    struct rvt_serial_entry *entry = search(index, serial);
    if (!entry || !entry->object)
        return;
    entry->object = NULL;
    index->live--;
    while (index->count && !index->entries[index->count - 1].object)
        index->count--;
    if (index->capacity > LEAST_CAPACITY && index->live <= index->capacity / 8)
        change_capacity(index, index->capacity / 4);
}

void rvt_serial_index_clear(struct rvt_serial_index *index) {
    if (index->held)
        atomic_fetch_sub_explicit(index->held, index->capacity * sizeof(*index->entries),
                                  memory_order_relaxed);
    rvt_free(index->entries);
    *index = (struct rvt_serial_index){.held = index->held};
}
