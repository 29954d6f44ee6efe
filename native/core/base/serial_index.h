/* SPDX-License-Identifier: BSD-3-Clause */
/* Index of live objects by serial number. Serial numbers are assigned in ascending order, so a sorted array
 * suffices: a new entry is appended, lookup is a binary search, and a removed entry leaves a gap until the
 * array is compacted. Adding and removing take amortized constant time, lookup takes logarithmic time.
 *
 * The caller must serialize all calls. */
#ifndef RVT_SERIAL_INDEX_H
#define RVT_SERIAL_INDEX_H

#include "core/base/rvt_atomic.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rvt_serial_entry {
    uint64_t serial;
    void *object; /* NULL: removed */
};

/* An index. All zeros is an empty one. */
struct rvt_serial_index {
    struct rvt_serial_entry *entries; /* sorted by serial; the last entry is live */
    size_t count, capacity;           /* `count`: entries, including removed ones */
    size_t live;                      /* live entries; capacity is at most 8 times this, or 16 */
    _Atomic(uint64_t) *held;          /* counter of the array's bytes; NULL: not counted */
};

/* Makes room for one more object. Returns false, with nothing changed, if out of memory. */
bool rvt_serial_index_reserve(struct rvt_serial_index *index);

/* Adds an object (not NULL) in reserved space. `serial` must be larger than every serial added before. */
void rvt_serial_index_add(struct rvt_serial_index *index, uint64_t serial, void *object);

/* Returns the live object with this serial number, or NULL. */
void *rvt_serial_index_find(const struct rvt_serial_index *index, uint64_t serial);

/* Removes the object with this serial number, if there is one. Never fails: if there is no memory for a
 * smaller array, the large one stays. */
void rvt_serial_index_remove(struct rvt_serial_index *index, uint64_t serial);

/* Removes all objects and frees the array. */
void rvt_serial_index_clear(struct rvt_serial_index *index);

#endif
