/* SPDX-License-Identifier: BSD-3-Clause */
/* Finds live objects by serial number. Numbers are given in ascending order, so a sorted array does: a new
 * one goes to the end, a search halves, and a removed one leaves a gap until the array is compacted. Adding
 * and removing take constant time on average, finding takes log2 of the number of entries.
 *
 * The owner serialises all calls. */
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

/* All zero is an empty index. */
struct rvt_serial_index {
    struct rvt_serial_entry *entries; /* ascending; the last one is not a removed one */
    size_t count, capacity;           /* of entries, with those that were removed */
    size_t live;                      /* without; the array is never more than 8 times this, or 16 entries */
    _Atomic(uint64_t) *held;          /* where the bytes are counted; NULL: nowhere */
};

/* Make room for one object more. False without memory; nothing has changed then. */
bool rvt_serial_index_reserve(struct rvt_serial_index *index);

/* Add an object (not NULL), in room that was reserved. `serial` is larger than every one that was added
 * before. */
void rvt_serial_index_add(struct rvt_serial_index *index, uint64_t serial, void *object);

/* The object of that number, or NULL. */
void *rvt_serial_index_find(const struct rvt_serial_index *index, uint64_t serial);

/* Forget the object of that number, if there is one. Never fails: without memory for a smaller array the
 * large one stays. */
void rvt_serial_index_remove(struct rvt_serial_index *index, uint64_t serial);

/* Forget all, and free the array. */
void rvt_serial_index_clear(struct rvt_serial_index *index);

#endif
