/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle: a second, simple implementation of the rules, which predicts the result of every operation
 * and the position of every byte. It shares the core's vocabulary (reasons, errno values, kinds) but none
 * of its code: tables are arrays searched linearly, arithmetic uses 128 bits, and page lists are built
 * page by page. */
#ifndef RVT_FUZZ_ORACLE_H
#define RVT_FUZZ_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/mr.h"

__extension__ typedef __int128 exact;

/* Limits that no program reaches. An operation beyond them does nothing. */
enum {
    MAX_DEVICES = 4,
    MAX_CONTEXTS = 600,
    MAX_DEVICE_MEMORIES = 600,
    MAX_PDS = 600,
    MAX_QPS = 600,
    MAX_MEMORIES = 600,
    MAX_MAPPINGS = 600,
    MAX_REGIONS = 600,
    MAX_SGES = 4096,
    MAX_WALK = 256, /* SGEs requested for a walk; at most 255 are allowed */
};

enum { NONE = -1, EVERY = -2 };

struct model_device {
    bool open, random, remote_key_zero, shared;
    uint32_t bits, next, generation;
    int published; /* the DMA region that key 0 uses, or NONE */
    uint64_t last_start;
};

struct model_context {
    int device;
    bool gone;
    uint64_t id;
    struct rvt_counts counts;
    uint32_t wakes_due; /* number of puts in the running operation that must wake the context */
};

/* A handle of a domain. */
struct model_pd {
    int device;
    /* Index of the handle that created the domain, which stands for the domain itself; attached handles refer
     * to it. */
    int root;
    int context; /* context of the handle, or NONE */
    bool alive;  /* for a root handle: whether the domain is open */
    bool user;
    uint64_t serial;
};

struct model_qp {
    int pd; /* root handle of its domain */
    int context;
    bool alive;
    uint64_t serial;
};

enum memory_state { MEMORY_WHOLE, MEMORY_DETACHED, MEMORY_SHRUNK };

struct model_memory {
    uint64_t length;
    bool real; /* has bytes; a memory without bytes is never whole */
    enum memory_state state;
    int owner; /* the environment that may use it, or 0 for any */
    unsigned char *shadow;
    int device_memory; /* the device memory that this slice is part of, or NONE */
    bool held;         /* for a slice: the program holds a reference of its own */
    bool limbo;        /* the memory's uses have ended, but a lingering reader may still see them */
};

/* Memory of a device. It exists as long as there is any reference to it. */
struct model_device_memory {
    int device;
    uint64_t serial, length;
    bool huge, freed;
    uint32_t views; /* number of references held by the program */
    unsigned char *shadow;
};

struct model_mapping {
    int device, memory;
    uint64_t address, length;
    bool alive;
    int context;
    uint64_t serial;
};

/* The mapping of a region. */
struct model_map {
    uint64_t id; /* changes whenever the region is mapped or unmapped */
    uint64_t segments;
    uint32_t shift, offset;
    int memory; /* memory of a user region, or NONE */
    uint64_t *address;
    int *mapping;
};

struct model_region {
    int device, pd /* root handle of its domain */, context;
    enum rvt_mr_kind kind;
    bool alive;     /* the handle is live */
    bool published; /* the region is in the key table, or key 0 uses it */
    bool was_published, half_dead, awaited, forced, valid;
    uint32_t key, access, held, max_segments;
    uint64_t base, iova, length, visible, id;
    bool counted;
    uint64_t accepted, refused, bytes;
    struct model_map map;
};

struct model_sge {
    bool alive;
    int region;
    int mapping; /* DMA mapping of an SGE of key 0, or NONE */
    uint64_t map_id, position, at, request;
    uint32_t length, sge_length, rights, offset, shift;
    bool remote, user;
};

struct model_walk {
    bool begun;
    int list[MAX_WALK]; /* indexes of the SGEs in the walk */
    uint32_t count, next, left;
    int owner;
    struct model_sge sge;
};

struct oracle {
    struct model_device devices[MAX_DEVICES];
    struct model_context contexts[MAX_CONTEXTS];
    struct model_device_memory device_memories[MAX_DEVICE_MEMORIES];
    struct model_pd pds[MAX_PDS];
    struct model_qp qps[MAX_QPS];
    struct model_memory memories[MAX_MEMORIES];
    struct model_mapping mappings[MAX_MAPPINGS];
    struct model_region regions[MAX_REGIONS];
    struct model_sge sges[MAX_SGES];
    int device_count, context_count, device_memory_count, pd_count, qp_count, memory_count, mapping_count,
        region_count, sge_count;
    int lingering; /* device in which a reader stays inside, EVERY or NONE */
    /* The last key of each slot that became empty. */
    struct {
        int device;
        uint32_t index, key;
    } emptied[MAX_REGIONS];
    int emptied_count;
    uint64_t maps_made;
};

void oracle_begin(struct oracle *o);
void oracle_end(struct oracle *o);

/* --- creating and releasing --- */

/* Returns the next sequential key of the device, or 0 if the table is full. */
uint32_t oracle_next_key(struct oracle *o, int device);
bool oracle_slot_free(const struct oracle *o, int device, uint32_t key);
uint32_t oracle_slots_used(const struct oracle *o, int device);

/* Adds a region created through a domain handle. The caller sets its key, if it has one. Returns NONE if the
 * model is full. */
int oracle_new_region(struct oracle *o, int pd, enum rvt_mr_kind kind);
uint32_t oracle_refs(const struct model_region *region);
int oracle_release(struct oracle *o, int region, enum rvt_release_mode mode);
void oracle_put(struct oracle *o, int sge);
/* Returns the number of regions and queue pairs in the domain (a root). */
uint32_t oracle_children(const struct oracle *o, int pd);
void oracle_end_pd(struct oracle *o, int pd);
bool oracle_mapping_used(const struct oracle *o, int mapping);
void oracle_end_mapping(struct oracle *o, int mapping);
/* Records that an object of the device dropped its reference to the memory (or NONE). */
void oracle_let_go(struct oracle *o, int device, int memory);
int oracle_judge_user(uint64_t start, uint64_t length, uint64_t virt_addr);

/* Sets the map of a region; NULL: nothing is mapped. */
void oracle_set_map(struct oracle *o, int region, const struct model_map *map);
void oracle_drop_map(struct model_map *map);

/* Predict the result of rvt_map_mr_sg and rvt_map_phys_fmr and, unless the call changes nothing (-EINVAL),
 * the map and the length. */
int oracle_lay_out(const struct oracle *o, int region, const struct rvt_sg_element *list, uint32_t count,
                   uint64_t sg_offset, uint32_t page_size, struct model_map *map, uint64_t *length);
int oracle_map_pages(const struct oracle *o, int region, const uint64_t *pages, uint32_t count, uint64_t iova,
                     struct model_map *map, uint64_t *length);

/* Returns the mapping that contains the range, or NONE. *begins: the first byte lies in a mapping. */
int oracle_mapping_at(const struct oracle *o, int device, uint64_t address, uint64_t length, bool *begins);

/* --- oracle_context.c: contexts, and the objects that close with them or with their device --- */

bool oracle_gone(const struct oracle *o, int context);
/* Returns whether the handle can be used. */
bool oracle_pd_alive(const struct oracle *o, int pd);
/* Returns the root of the device's domain with that serial number, or NONE. */
int oracle_find_pd(const struct oracle *o, int device, uint64_t serial);
bool oracle_owns(const struct oracle *o, int context);
void oracle_end_context(struct oracle *o, int context);
void oracle_close(struct oracle *o, int device);

/* Returns the device's memory with that serial number, unless it was freed, or NONE. */
int oracle_find_memory(const struct oracle *o, int device, uint64_t serial);
/* oracle_slice_there returns whether the slice exists: the program, a region or a mapping refers to it, or a
 * reader may still see it. oracle_memory_refs counts its references, without those only a reader may see. */
bool oracle_slice_there(const struct oracle *o, int memory);
uint32_t oracle_memory_refs(const struct oracle *o, int memory);
uint32_t oracle_slices(const struct oracle *o, int device_memory);
uint32_t oracle_device_memory_refs(const struct oracle *o, int device_memory);

struct request;
/* Counts the result of a check for the requesting context and for the region of the key. */
void oracle_count(struct oracle *o, const struct request *request, enum rvt_reason reason);
void oracle_count_for(struct oracle *o, int context, enum rvt_reason reason, uint64_t more);
/* Counts a refusal with RVT_CLOSED, unless the context itself is closed. */
void oracle_count_closed(struct oracle *o, int context, uint64_t more);
void oracle_count_region(struct oracle *o, int region, enum rvt_reason reason);
void oracle_count_bytes(struct oracle *o, int region, uint64_t bytes);
/* Returns the totals over all contexts that the device ever had. */
struct rvt_counts oracle_counts(const struct oracle *o, int device);

/* --- checks --- */

struct request {
    int pd;      /* root handle of the domain that checks */
    int context; /* requesting context, or NONE */
    bool remote;
    uint64_t addr;
    uint32_t length, key, acc;
};

/* Returns the verdict and, if the request is accepted, fills in the SGE (`alive` stays false). */
enum rvt_reason oracle_judge(const struct oracle *o, const struct request *request, struct model_sge *sge);

/* Returns the region that the key names, whatever the verdict, or NONE. */
int oracle_asked(const struct oracle *o, const struct request *request);

/* Returns whether the accepted request extends the SGE `last`. */
bool oracle_merges(const struct oracle *o, const struct model_sge *last, const struct request *request,
                   const struct model_sge *sge);
void oracle_merge(struct model_sge *last, const struct request *request);

/* --- bytes --- */

/* Returns why an SGE cannot be used. `sge` is a copy of `owner`, which may be put by now. */
enum rvt_reason oracle_usable(const struct oracle *o, const struct model_sge *sge,
                              const struct model_sge *owner);
enum rvt_reason oracle_rights(const struct model_sge *sge, bool write);
enum rvt_reason oracle_memory(const struct oracle *o, int memory, int environment);

struct run {
    int memory;
    uint64_t into, length;
};
/* Returns the memory that contains up to `want` bytes at the SGE's position. */
struct run oracle_run(const struct oracle *o, const struct model_sge *sge, uint64_t want);

void oracle_walk_init(const struct oracle *o, struct model_walk *w, const int *list, uint32_t count);
uint64_t oracle_walk_total(const struct oracle *o, const struct model_walk *w);
uint32_t oracle_walk_length(const struct oracle *o, const struct model_walk *w, uint32_t length);
int oracle_walk_update(struct oracle *o, struct model_walk *w, uint32_t length, bool release);
int oracle_walk_skip(struct oracle *o, struct model_walk *w, uint64_t length, bool release);
void oracle_walk_pass_empty(struct oracle *o, struct model_walk *w, bool release);
void oracle_walk_put(struct oracle *o, struct model_walk *w);
bool oracle_walk_twice(const struct model_walk *w);
bool oracle_walk_has_key(const struct oracle *o, const struct model_walk *w, uint32_t key);
/* Returns why the next `length` bytes cannot be walked or, with `move`, cannot be read or written. */
enum rvt_reason oracle_walk_judge(const struct oracle *o, const struct model_walk *w, uint64_t length,
                                  bool move, bool write, int environment);
/* Copies bytes between the shadows and `data`. */
void oracle_walk_move(struct oracle *o, struct model_walk *w, unsigned char *data, uint64_t length,
                      bool write, bool release);

#endif
