/* SPDX-License-Identifier: BSD-3-Clause */
/* A second, plain implementation of the rules: what every operation must answer, and which bytes must lie
 * where. It knows the core's vocabulary (reasons, errno values, kinds) and none of its code: tables are
 * arrays that are searched, arithmetic is 128 bits wide, page lists are made page by page. */
#ifndef RVT_FUZZ_ORACLE_H
#define RVT_FUZZ_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/counters.h"
#include "core/base/reason.h"
#include "core/base/rvt_errno.h"
#include "core/objects/mr.h"

__extension__ typedef __int128 exact;

/* More of a kind than a program can make: operations that would make more do nothing. */
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
    MAX_WALK = 256, /* elements a walk may be asked for; 255 it may have */
};

enum { NONE = -1, EVERY = -2 };

struct model_device {
    bool open, random, remote_key_zero, shared;
    uint32_t bits, next, generation;
    int published; /* DMA region, or NONE */
    uint64_t last_start;
};

struct model_context {
    int device;
    bool gone;
    uint64_t id;
    struct rvt_counts counts;
    uint32_t wakes_due; /* in the running operation: puts that had to wake it */
};

/* A handle of a domain. */
struct model_pd {
    int device;
    int root; /* the handle that it was made with: the domain, wherever one is named. Attached ones have it */
    int context; /* the handle's, or NONE */
    bool alive;  /* of a root: the domain is */
    bool user;
    uint64_t serial;
};

struct model_qp {
    int pd; /* root */
    int context;
    bool alive;
    uint64_t serial;
};

enum memory_state { MEMORY_WHOLE, MEMORY_DETACHED, MEMORY_SHRUNK };

struct model_memory {
    uint64_t length;
    bool real; /* has bytes; one that has none is never whole */
    enum memory_state state;
    int owner; /* environment, or 0: anyone's */
    unsigned char *shadow;
    int device_memory; /* that it is a slice of, or NONE */
    bool held;         /* a slice: by the program, too */
    bool limbo;        /* ended uses, which a reader that lingers has not passed */
};

/* Memory of a device. It is there as long as anybody has a part in it. */
struct model_device_memory {
    int device;
    uint64_t serial, length;
    bool huge, freed;
    uint32_t views; /* references that the program has */
    unsigned char *shadow;
};

struct model_mapping {
    int device, memory;
    uint64_t address, length;
    bool alive;
    int context;
    uint64_t serial;
};

/* What a region maps. */
struct model_map {
    uint64_t id; /* changes with every mapping and unmapping */
    uint64_t segments;
    uint32_t shift, offset;
    int memory; /* user memory, or NONE */
    uint64_t *address;
    int *mapping;
};

struct model_region {
    int device, pd /* root */, context;
    enum rvt_mr_kind kind;
    bool alive;     /* its handle */
    bool published; /* in the table, or the DMA region of key 0 */
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
    int mapping; /* key 0, or NONE */
    uint64_t map_id, position, at, request;
    uint32_t length, sge_length, rights, offset, shift;
    bool remote, user;
};

struct model_walk {
    bool begun;
    int list[MAX_WALK]; /* elements */
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
    int lingering; /* the device that a reader stays inside of, EVERY or NONE */
    /* What a slot of a key table last held when it became empty. */
    struct {
        int device;
        uint32_t index, key;
    } emptied[MAX_REGIONS];
    int emptied_count;
    uint64_t maps_made;
};

void oracle_begin(struct oracle *o);
void oracle_end(struct oracle *o);

/* --- life --- */

/* The key the next region of the device gets; 0: the table is full. */
uint32_t oracle_next_key(struct oracle *o, int device);
bool oracle_slot_free(const struct oracle *o, int device, uint32_t key);
uint32_t oracle_slots_used(const struct oracle *o, int device);

/* A fresh region, made through a handle of a domain (its key, if it has one, is the caller's to set); NONE:
 * no room in the model. */
int oracle_new_region(struct oracle *o, int pd, enum rvt_mr_kind kind);
uint32_t oracle_refs(const struct model_region *region);
int oracle_release(struct oracle *o, int region, enum rvt_release_mode mode);
void oracle_put(struct oracle *o, int sge);
/* Regions and queue pairs in the domain (a root). */
uint32_t oracle_children(const struct oracle *o, int pd);
void oracle_end_pd(struct oracle *o, int pd);
bool oracle_mapping_used(const struct oracle *o, int mapping);
void oracle_end_mapping(struct oracle *o, int mapping);
/* Something of the device that had the memory (or NONE) has it no longer. */
void oracle_let_go(struct oracle *o, int device, int memory);
int oracle_judge_user(uint64_t start, uint64_t length, uint64_t virt_addr);

/* Put a map in force; `map` may be NULL (nothing mapped). */
void oracle_set_map(struct oracle *o, int region, const struct model_map *map);
void oracle_drop_map(struct model_map *map);

/* rvt_map_mr_sg's answer and, unless it changes nothing (-EINVAL), the map and the length. */
int oracle_lay_out(const struct oracle *o, int region, const struct rvt_sg_element *list, uint32_t count,
                   uint64_t sg_offset, uint32_t page_size, struct model_map *map, uint64_t *length);
int oracle_map_pages(const struct oracle *o, int region, const uint64_t *pages, uint32_t count, uint64_t iova,
                     struct model_map *map, uint64_t *length);

/* The mapping that holds the range, or NONE; *begins: the first byte is inside one. */
int oracle_mapping_at(const struct oracle *o, int device, uint64_t address, uint64_t length, bool *begins);

/* --- oracle_context.c: contexts, and what goes with them or with their device --- */

bool oracle_gone(const struct oracle *o, int context);
/* Can the handle be used? */
bool oracle_pd_alive(const struct oracle *o, int pd);
/* The device's domain of that number (its root), or NONE. */
int oracle_find_pd(const struct oracle *o, int device, uint64_t serial);
bool oracle_owns(const struct oracle *o, int context);
void oracle_end_context(struct oracle *o, int context);
void oracle_close(struct oracle *o, int device);

/* The device's memory of that number, not freed, or NONE. */
int oracle_find_memory(const struct oracle *o, int device, uint64_t serial);
/* Is the slice there: had by the program, a region, a mapping, or not yet passed by a reader? Its references
 * but for those that are not yet passed. */
bool oracle_slice_there(const struct oracle *o, int memory);
uint32_t oracle_memory_refs(const struct oracle *o, int memory);
uint32_t oracle_slices(const struct oracle *o, int device_memory);
uint32_t oracle_device_memory_refs(const struct oracle *o, int device_memory);

struct request;
/* What a check is counted as: for who asked, and for the region whose key it was. */
void oracle_count(struct oracle *o, const struct request *request, enum rvt_reason reason);
void oracle_count_for(struct oracle *o, int context, enum rvt_reason reason, uint64_t more);
/* Who asked is closed: counted if its context is not gone. */
void oracle_count_closed(struct oracle *o, int context, uint64_t more);
void oracle_count_region(struct oracle *o, int region, enum rvt_reason reason);
void oracle_count_bytes(struct oracle *o, int region, uint64_t bytes);
/* Over all contexts that the device ever had. */
struct rvt_counts oracle_counts(const struct oracle *o, int device);

/* --- checks --- */

struct request {
    int pd;      /* root */
    int context; /* that asks, or NONE */
    bool remote;
    uint64_t addr;
    uint32_t length, key, acc;
};

/* The verdict; the element (`alive` is left false) if there is none to refuse. */
enum rvt_reason oracle_judge(const struct oracle *o, const struct request *request, struct model_sge *sge);

/* The region whose key is asked for, whatever the verdict, or NONE. */
int oracle_asked(const struct oracle *o, const struct request *request);

/* May the accepted element grow `last`? */
bool oracle_merges(const struct oracle *o, const struct model_sge *last, const struct request *request,
                   const struct model_sge *sge);
void oracle_merge(struct model_sge *last, const struct request *request);

/* --- bytes --- */

/* Why the element (a copy of `owner`, which may be put by now) cannot be used. */
enum rvt_reason oracle_usable(const struct oracle *o, const struct model_sge *sge,
                              const struct model_sge *owner);
enum rvt_reason oracle_rights(const struct model_sge *sge, bool write);
enum rvt_reason oracle_memory(const struct oracle *o, int memory, int environment);

struct run {
    int memory;
    uint64_t into, length;
};
/* Where up to `want` bytes from the element's position on lie. */
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
/* Why the next `length` bytes cannot be walked; with `move`, cannot be read or written either. */
enum rvt_reason oracle_walk_judge(const struct oracle *o, const struct model_walk *w, uint64_t length,
                                  bool move, bool write, int environment);
/* Move them between the shadows and `data`. */
void oracle_walk_move(struct oracle *o, struct model_walk *w, unsigned char *data, uint64_t length,
                      bool write, bool release);

#endif
