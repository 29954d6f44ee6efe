/* SPDX-License-Identifier: BSD-3-Clause */
/* The region itself: what it is, what it maps, who refers to it. The verbs that make and change regions are
 * in mr.c, mr_sg.c, fast_reg.c and fmr.c; this file is what they share. */
#ifndef RVT_REGION_H
#define RVT_REGION_H

#include "core/base/rvt_atomic.h"
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/base/epoch.h"
#include "core/base/memory.h"
#include "core/base/platform.h"
#include "core/base/pool.h"
#include "core/base/reason.h"
#include "core/layout.h" /* access bits, enum rvt_mr_kind, enum rvt_release_mode */
#include "core/objects/device.h"
#include "core/objects/dma.h"
#include "core/objects/lkey_table.h"
#include "core/objects/owned.h"
#include "core/objects/pd.h"
#include "core/objects/region_map.h"

/* The word of a region. Of one that has its references in it (rvt_mr_has_one_word), the count: references
 * beyond the region's own (one per held SGE) in the low half; above them the flags and, at the top, the low
 * bits of the current mapping's generation, so that "no reference, under this mapping" is one comparison. A
 * reference that would carry into the flags is refused (RVT_FULL). */
#define RVT_MR_HELD_MASK UINT64_C(0xffffffff)
#define RVT_MR_REVOKED (UINT64_C(1) << 32) /* takes no more references */
#define RVT_MR_WATCHED (UINT64_C(1) << 33) /* a put must be noted (rvt_mr_note_put) */
#define RVT_MR_FORCED (UINT64_C(1) << 34)  /* held SGEs are dead */
#define RVT_MR_MAP_SHIFT 35
#define RVT_MR_MAP_MASK (~UINT64_C(0) << RVT_MR_MAP_SHIFT)

struct rvt_mregion {
    struct rvt_owned owned;
    /* Constant from birth to recycling: */
    struct rvt_pd *pd;
    enum rvt_mr_kind kind;
    uint32_t max_segments;

    /* The line that taking a reference writes. What does not change with a reference or with the mapping
     * stays off it, so that reading the head above costs nothing while other environments take references. */
    alignas(RVT_CACHE_LINE) _Atomic(uint64_t) word;
    /* The mapping in force. Written under the lock, read inside a section: an SGE compares
     * generations with it. */
    _Atomic(struct rvt_map *) map;
    _Atomic(struct rvt_map *) staged; /* the one about to be, while rvt_mr_set_map runs */
    _Atomic(uint32_t) lkey;           /* the key it answers to, or last answered to */
    /* References that are counted neither in the word nor by a context: those of callers without one, and
     * those of contexts that are gone. */
    _Atomic(int64_t) elsewhere;

    /* Under the device's lock: */
    uint32_t access;
    uint64_t base, iova, length;
    uint64_t
        visible_iova; /* what the consumer sees and fast_reg takes; an override makes it differ from iova */
    uint8_t shift;
    bool lkey_published;
    bool half_dead; /* released, but references are held */
    bool awaited;   /* puts wake the context that made it */
    bool lingering; /* ended by force while held: the object is recycled with the last put */
    bool noted;     /* counted among those that a verb on a list could not end; only inside that verb */
    bool valid;
    bool was_published; /* DMA: was the published one (its own references are 3, not 2) */
    bool no_dma;        /* may not name DMA memory: made by a context that is restricted to a user domain */

    /* NULL: not counted. Set under the lock, freed when every reader has passed the region. */
    _Atomic(struct rvt_mr_counters *) counters;
    struct rvt_map nothing; /* the mapping of a region that maps nothing */
    struct rvt_map extent;  /* the one mapping of user memory, from registration to the end */
    /* The block of a mapping that went, for the next one: a large list is as costly to get from the system as
     * to fill. Under the lock. */
    struct rvt_map *spare;
    struct rvt_retired retired;
};

/* The low bits of a mapping's generation, as they stand in the word. */
static inline uint64_t rvt_map_bits(const struct rvt_map *map) {
    return map->generation << RVT_MR_MAP_SHIFT;
}

struct rvt_mr_handle {
    struct rvt_mregion *mr;
    uint64_t generation;
};

/* The region's number, as its holder sees it. */
static inline uint64_t rvt_mr_id(const struct rvt_mregion *mr) {
    return mr->owned.serial;
}

/* Its place in the device's pool of regions. Another region may have it later. */
static inline uint32_t rvt_mr_index(const struct rvt_mregion *mr) {
    return mr->owned.object.index;
}

/* --- making and ending --- */

/* A region of a live domain, dead, unpublished, with everything at rest; belongs to the handle's context, and
 * is the domain's child once it is published. NULL without memory. Under the device's lock. */
struct rvt_mregion *rvt_mr_take(struct rvt_pd_handle pd, enum rvt_mr_kind kind);

/* Undo rvt_mr_take for a region that was never published. Under the lock. */
void rvt_mr_untake(struct rvt_mregion *mr);

/* The mapping a region is born with, before it is published. Under the lock. */
void rvt_mr_begin_with(struct rvt_mregion *mr, struct rvt_map *map);

/* Give the finished region its key and its handle. Under the lock.
 *   0        published
 *   -ENOMEM  no slot, or no random numbers; it is still as taken */
int rvt_mr_publish(struct rvt_mregion *mr, struct rvt_mr_handle *handle);

/* The region of a live handle, or NULL. Under the device's lock the answer stays true. */
static inline struct rvt_mregion *rvt_mr_live(struct rvt_mr_handle handle) {
    return handle.mr && rvt_object_generation(&handle.mr->owned.object) == handle.generation ? handle.mr
                                                                                             : NULL;
}

/* The handle that had this index in its pool (rvt_mr_index) and this generation: so a caller may keep two
 * numbers in place of a handle. {NULL, 0} if there is no such index, or that is no generation of a handle. As
 * of every handle, its region may have ended since; the verbs find out. Takes no lock: objects stay where
 * they are until the device is freed, and so does the way to them (rvt_pool_find). The caller has a reference
 * on the device. */
struct rvt_mr_handle rvt_mr_find(const struct rvt_dev_info *device, uint32_t index, uint64_t generation);

/* The same for a context that asks. One that is restricted to a domain finds its own regions only: numbers can
 * be guessed. */
struct rvt_mr_handle rvt_mr_find_by(const struct rvt_ucontext *context, uint32_t index, uint64_t generation);

/* Take the region out of reach: its key is dead, nobody gets a new reference. `awaited`: from now on each put
 * wakes the context that made it. Under the lock; after it a wait, before anything is decided by the
 * references. */
void rvt_mr_revoke(struct rvt_mregion *mr, bool awaited);

/* End a revoked region that nobody holds. Under the lock, after a wait (rvt_synchronize) that began after the
 * region was revoked: then the count can only fall, and what it mapped is looked at by nobody. That is added
 * to *passed.
 *   0       ended; the object may be another region when the lock is dropped. The caller then puts *memory,
 *           if it is not NULL, and one reference on the device (rvt_dev_put)
 *   other   so many SGEs are held: it is half-dead */
uint64_t rvt_mr_end_unheld(struct rvt_mregion *mr, struct rvt_retired **passed, struct rvt_memory **memory);

/* Revoke the region and end it, whoever holds it: held SGEs are dead. What goes with it is added to *passed,
 * for a caller that waits when it has unlocked and then releases the list; with NULL it is retired. A caller
 * that promises that no byte moves any more waits in both cases. Under the lock. */
void rvt_mr_end_by_force(struct rvt_mregion *mr, struct rvt_retired **passed);

/* --- what it says --- */

static inline uint32_t rvt_mr_key(const struct rvt_mregion *mr) {
    return atomic_load_explicit(&mr->lkey, memory_order_relaxed);
}
static inline void rvt_mr_set_key(struct rvt_mregion *mr, uint32_t key) {
    atomic_store_explicit(&mr->lkey, key, memory_order_relaxed);
}
static inline struct rvt_map *rvt_mr_map(const struct rvt_mregion *mr) {
    return atomic_load_explicit(&mr->map, memory_order_acquire);
}
/* Whether its references are in the word: mapping it, or ending it, must find that there is none and let no
 * other in, in one step; or key 0 names it, which has no record. */
static inline bool rvt_mr_has_one_word(const struct rvt_mregion *mr) {
    return mr->kind == RVT_MR_FMR || mr->kind == RVT_MR_DMA;
}

/* How many SGEs are held. Exact in a program of one thread, and (see held_counts.h) for a revoked region
 * after a wait. Under the lock. */
uint64_t rvt_mr_held(struct rvt_mregion *mr);

static inline struct rvt_mr_counters *rvt_mr_counters_of(const struct rvt_mregion *mr) {
    return atomic_load_explicit(&mr->counters, memory_order_acquire);
}

/* Bytes of the region were copied. Inside a section. */
static inline void rvt_mr_count_bytes(const struct rvt_mregion *mr, uint64_t bytes) {
    struct rvt_mr_counters *counters = rvt_mr_counters_of(mr);
    if (counters)
        rvt_count_shared(&counters->bytes, bytes);
}

/* The count as the reference shows it: 2 of its own (3 for the published DMA region), or 1 once half-dead,
 * plus one per held SGE. Under the lock. */
uint32_t rvt_mr_refs(const struct rvt_mregion *mr);

/* What the region's record must say now. Under the lock. */
void rvt_mr_entry(const struct rvt_mregion *mr, struct rvt_lkey_entry *entry);

/* What the record says of a mapping of so many bytes: see rvt_shape. Under the lock. */
uint32_t rvt_mr_shape(const struct rvt_mregion *mr, const struct rvt_map *map, uint64_t length);

/* Write the region's present access, key and validity to its record, mapping unchanged. Under the lock. */
void rvt_mr_rewrite(struct rvt_mregion *mr);

/* The region whose extent this is: known without a look at the mapping's own line. */
static inline struct rvt_mregion *rvt_mr_of_extent(const struct rvt_map *extent) {
    return (struct rvt_mregion *)(void *)((char *)(uintptr_t)extent - offsetof(struct rvt_mregion, extent));
}

/* --- references, without the lock, inside a reader's section --- */

enum rvt_acquired {
    RVT_ACQUIRED, /* one reference taken, under exactly the mapping of the entry */
    RVT_RETRY,    /* the record has changed since it was read: read it again */
    RVT_FULL,     /* the region is held as often as its word can count */
};

/* Take a reference in the word, for an SGE on what `entry` (read at `sequence`) maps. Never waits: if a
 * writer has closed the door on the old mapping but was interrupted before it sent readers to the new one,
 * this does that step for it. */
enum rvt_acquired rvt_mr_acquire(struct rvt_lkey_record *record, uint64_t sequence,
                                 const struct rvt_map *map);

/* The same for the published DMA region, which has no record and no mapping: RVT_RETRY if it is revoked. */
enum rvt_acquired rvt_mr_acquire_dma(struct rvt_mregion *mr);

/* Put one reference that no context has counted. Takes the device's lock if somebody watches the region: not
 * to be called with it held. */
void rvt_put_mr(struct rvt_mregion *mr);

/* A reference on a watched region was put: wake who waits for that, and recycle the object if it was the last
 * one. Takes the device's lock. */
void rvt_mr_note_put(struct rvt_mregion *mr);

#endif
