/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory region: its fields, its record and its references. Shared by mr.c, mr_sg.c, fast_reg.c and
 * fmr.c, which contain the verbs that create and change regions. */
#ifndef RVT_REGION_H
#define RVT_REGION_H

#include "core/base/rvt_atomic.h"
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/base/epoch.h"
#include "core/base/list.h"
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

/* The word of a region. At the top are the low bits of the current mapping's generation, below them the
 * flags. If the region's references are counted in the word (rvt_mr_has_one_word), the low half is the count
 * of references beyond the region's own, one per held SGE. So "no references under this mapping" is one
 * comparison. A reference that would carry into the flags is refused (RVT_FULL). */
#define RVT_MR_HELD_MASK UINT64_C(0xffffffff)
#define RVT_MR_REVOKED (UINT64_C(1) << 32) /* accepts no more references */
#define RVT_MR_WATCHED (UINT64_C(1) << 33) /* a put must call rvt_mr_note_put */
#define RVT_MR_FORCED (UINT64_C(1) << 34)  /* held SGEs are refused */
#define RVT_MR_MAP_SHIFT 35
#define RVT_MR_MAP_MASK (~UINT64_C(0) << RVT_MR_MAP_SHIFT)

struct rvt_mregion {
    struct rvt_owned owned;
    /* Written under the device lock: constant, unless the region is re-registered (rvt_rereg_mr) while no
     * SGE holds it. */
    struct rvt_pd *pd;
    /* Constant from creation until the object is recycled: */
    enum rvt_mr_kind kind;
    uint32_t max_segments;

    /* The cache line that taking a reference writes. Fields that change with neither a reference nor the
     * mapping are kept off it, so other environments that take references do not slow down reads of the
     * fields above. */
    alignas(RVT_CACHE_LINE) _Atomic(uint64_t) word;
    /* The current mapping. Written under the device lock and read inside a section: SGEs compare their
     * generation with it. */
    _Atomic(struct rvt_map *) map;
    _Atomic(struct rvt_map *) staged; /* the next mapping, while rvt_mr_set_map runs */
    _Atomic(uint32_t) lkey;           /* the current or last key */
    /* References that are counted neither in the word nor by a context: those taken without a context, and
     * the counts of contexts that have been freed. */
    _Atomic(int64_t) elsewhere;

    /* Protected by the device lock: */
    uint32_t access;
    uint64_t base, iova, length;
    /* The iova that the consumer sees and fast_reg uses. An override makes it differ from `iova`. */
    uint64_t visible_iova;
    uint8_t shift;
    bool lkey_published;
    bool half_dead; /* deregistered, but references are still held */
    bool awaited;   /* puts wake the context that owns it */
    bool lingering; /* ended by force while held; the last put recycles the object */
    bool noted;     /* already counted as held; used only within one list verb */
    bool valid;
    bool reregistering; /* rvt_rereg_mr waits for readers: no check is accepted meanwhile */
    bool was_published; /* DMA: it was the published region, so it has 3 own references, not 2 */
    /* Must not name DMA memory: it was created by a context that is restricted to a user domain. */
    bool no_dma;

    struct rvt_link *windows; /* windows and leases that are bound to it; under the device lock */
    /* NULL: not counted. Set under the device lock, freed when every reader has left after the region
     * ended. */
    _Atomic(struct rvt_mr_counters *) counters;
    struct rvt_map nothing; /* the mapping of a region without segments */
    /* The only mapping of user memory. Constant while a reader or an SGE can refer to it: rvt_rereg_mr changes
     * it when none can. */
    struct rvt_map extent;
    /* The block of a dropped mapping, kept for the next one: allocating a large list costs as much as filling
     * it. Protected by the device lock. */
    struct rvt_map *spare;
    struct rvt_retired retired;
};

/* Returns the low bits of a mapping's generation, shifted to their place in the word. */
static inline uint64_t rvt_map_bits(const struct rvt_map *map) {
    return map->generation << RVT_MR_MAP_SHIFT;
}

struct rvt_mr_handle {
    struct rvt_mregion *mr;
    uint64_t generation;
};

/* Returns the region's id, which JavaScript sees. */
static inline uint64_t rvt_mr_id(const struct rvt_mregion *mr) {
    return mr->owned.serial;
}

/* Returns the region's index in the device's pool. A later region may get the same index. */
static inline uint32_t rvt_mr_index(const struct rvt_mregion *mr) {
    return mr->owned.object.index;
}

/* --- creating and ending --- */

/* Takes a region object for a live domain and resets all fields. The handle's context owns it. It becomes a
 * child of the domain when it is published. Returns NULL if memory is short. The caller must hold the device
 * lock. */
struct rvt_mregion *rvt_mr_take(struct rvt_pd_handle pd, enum rvt_mr_kind kind);

/* Returns a region that was never published to the pool. The caller must hold the device lock. */
void rvt_mr_untake(struct rvt_mregion *mr);

/* Sets the first mapping of a region that is not published yet. The caller must hold the device lock. */
void rvt_mr_begin_with(struct rvt_mregion *mr, struct rvt_map *map);

/* Gives the completed region its key and its handle. The caller must hold the device lock.
 *   0        published
 *   -ENOMEM  no free slot, or no random numbers; the region is unchanged */
int rvt_mr_publish(struct rvt_mregion *mr, struct rvt_mr_handle *handle);

/* Returns the region that a handle names, or NULL if the handle is stale. The answer stays valid while the
 * caller holds the device lock. */
static inline struct rvt_mregion *rvt_mr_live(struct rvt_mr_handle handle) {
    return handle.mr && rvt_object_generation(&handle.mr->owned.object) == handle.generation ? handle.mr
                                                                                             : NULL;
}

/* Returns the handle for a pool index (rvt_mr_index) and a generation, so a caller can keep two numbers in
 * place of a handle. Returns {NULL, 0} if no region ever had this index, or no handle can have this
 * generation. The handle may be stale, like any handle; the verbs detect that. Takes no lock: objects stay
 * where they are until the device is freed, and rvt_pool_find reaches them without a lock. The caller must
 * hold a reference on the device. */
struct rvt_mr_handle rvt_mr_find(const struct rvt_dev_info *device, uint32_t index, uint64_t generation);

/* Like rvt_mr_find, for a context. A context that is restricted to a domain gets handles only to its own
 * regions, because the numbers can be guessed. Takes the device lock for a restricted context. */
struct rvt_mr_handle rvt_mr_find_by(const struct rvt_ucontext *context, uint32_t index, uint64_t generation);

/* Revokes the region: checks no longer find its key and no new reference is granted. `awaited`: from now on
 * each put wakes the context that owns the region. The caller must hold the device lock, and must wait for
 * readers (rvt_synchronize) before it acts on the number of references. */
void rvt_mr_revoke(struct rvt_mregion *mr, bool awaited);

/* Ends a revoked region if it is not held, and adds its mapping to *passed. The caller must hold the device
 * lock and must have waited (rvt_synchronize) since the region was revoked: only then can the count only
 * fall, and no reader looks at the mapping.
 *   0       ended. The object may be reused once the lock is released. The caller must then put *memory,
 *           unless it is NULL, and one reference on the device (rvt_dev_put)
 *   other   the number of held SGEs: the region stays half-dead */
uint64_t rvt_mr_end_unheld(struct rvt_mregion *mr, struct rvt_retired **passed, struct rvt_memory **memory);

/* Revokes the region and ends it even if it is held; held SGEs are refused from then on. Adds what it
 * releases to *passed; the caller must release the lock, wait for readers and then release that list. If
 * `passed` is NULL, it is retired instead. To guarantee that no byte moves any more, the caller must wait in
 * both cases. The caller must hold the device lock. */
void rvt_mr_end_by_force(struct rvt_mregion *mr, struct rvt_retired **passed);

/* --- state --- */

static inline uint32_t rvt_mr_key(const struct rvt_mregion *mr) {
    return atomic_load_explicit(&mr->lkey, memory_order_relaxed);
}
static inline void rvt_mr_set_key(struct rvt_mregion *mr, uint32_t key) {
    atomic_store_explicit(&mr->lkey, key, memory_order_relaxed);
}
static inline struct rvt_map *rvt_mr_map(const struct rvt_mregion *mr) {
    return atomic_load_explicit(&mr->map, memory_order_acquire);
}
/* Returns whether the region's references are counted in its word. FMRs need that: mapping one must test for
 * references and refuse new ones in one step. DMA regions do because key 0 has no record. */
static inline bool rvt_mr_has_one_word(const struct rvt_mregion *mr) {
    return mr->kind == RVT_MR_FMR || mr->kind == RVT_MR_DMA;
}

/* Returns how many SGEs are held. Exact in a program of one thread, and for a revoked region after a wait
 * (see held_counts.h). The caller must hold the device lock. */
uint64_t rvt_mr_held(struct rvt_mregion *mr);

static inline struct rvt_mr_counters *rvt_mr_counters_of(const struct rvt_mregion *mr) {
    return atomic_load_explicit(&mr->counters, memory_order_acquire);
}

/* Counts copied bytes if the region is counted (rvt_count_mr). The caller must be in a section. */
static inline void rvt_mr_count_bytes(const struct rvt_mregion *mr, uint64_t bytes) {
    struct rvt_mr_counters *counters = rvt_mr_counters_of(mr);
    if (counters)
        rvt_count_shared(&counters->bytes, bytes);
}

/* Returns the reference count that the kernel would show: 2 own references (3 for the published DMA region, 1
 * if half-dead) plus one per held SGE. The caller must hold the device lock. */
uint32_t rvt_mr_refs(const struct rvt_mregion *mr);

/* Fills *entry with the content that the region's record must have now. The caller must hold the device
 * lock. */
void rvt_mr_entry(const struct rvt_mregion *mr, struct rvt_lkey_entry *entry);

/* Returns the shape (rvt_shape) for the region's record with this mapping of `length` bytes. The caller must
 * hold the device lock. */
uint32_t rvt_mr_shape(const struct rvt_mregion *mr, const struct rvt_map *map, uint64_t length);

/* Writes the region's current access, key and validity to its record. The mapping is unchanged. The caller
 * must hold the device lock. */
void rvt_mr_rewrite(struct rvt_mregion *mr);

/* Returns the region that contains this extent, computed from the extent's address without reading it. */
static inline struct rvt_mregion *rvt_mr_of_extent(const struct rvt_map *extent) {
    return (struct rvt_mregion *)(void *)((char *)(uintptr_t)extent - offsetof(struct rvt_mregion, extent));
}

/* --- references: without the lock, inside a reader's section --- */

enum rvt_acquired {
    RVT_ACQUIRED, /* one reference taken, under exactly the mapping of the entry */
    RVT_RETRY,    /* the record has changed since it was read: read it again */
    RVT_FULL,     /* the reference count in the word is at its maximum */
};

/* Takes a reference in the word for an SGE on `map`, which was read from `record` at `sequence`. Never waits:
 * if a writer has stopped references under the old mapping but was interrupted before it directed readers to
 * the new one, this function completes that step for the writer. */
enum rvt_acquired rvt_mr_acquire(struct rvt_lkey_record *record, uint64_t sequence,
                                 const struct rvt_map *map);

/* Takes a reference on the published DMA region, which has no record and no mapping. Returns RVT_RETRY if it
 * is revoked. */
enum rvt_acquired rvt_mr_acquire_dma(struct rvt_mregion *mr);

/* Puts one reference that no context counts. Takes the device lock if the region is watched, so the caller
 * must not hold it. */
void rvt_put_mr(struct rvt_mregion *mr);

/* Call after a reference on a watched region is put: wakes the context that waits for puts, and recycles the
 * object after the last put. Takes the device lock. */
void rvt_mr_note_put(struct rvt_mregion *mr);

#endif
