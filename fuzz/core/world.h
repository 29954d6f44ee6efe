/* SPDX-License-Identifier: BSD-3-Clause */
/* The core's objects of one program in numbered slots, next to the oracle's. Object i of a kind is the same
 * in both. A slot keeps its last object even after it was closed, so that stale handles are used all the
 * time. */
#ifndef RVT_FUZZ_WORLD_H
#define RVT_FUZZ_WORLD_H

#include "core/access/batch.h"
#include "core/access/sge_atomic.h"
#include "oracle.h"
#include "program.h"

enum {
    DEVICE_SLOTS = 2,
    CONTEXT_SLOTS = 4,
    DEVICE_MEMORY_SLOTS = 4,
    PD_SLOTS = 8,
    QP_SLOTS = 8,
    MEMORY_SLOTS = 16,
    MAPPING_SLOTS = 16,
    REGION_SLOTS = 32,
    SGE_SLOTS = 32,
    WALK_SLOTS = 2,
    NUMBERS = 16,
    MAX_ITEMS = 320,
    ENVIRONMENTS = 2, /* environments 1 and 2, each with its own reader */
};

/* An item of the list from which operations take lists of all kinds. */
struct item {
    uint64_t address, length;
    uint32_t key;
    uint8_t slot;
};

/* A memory with bytes lies at the end of a block of exactly its size, so that AddressSanitizer detects the
 * first byte beyond it. The `before` bytes in front of it are guard bytes. */
struct block {
    struct rvt_memory memory;
    int index; /* index in the oracle */
    unsigned before;
    unsigned char *start; /* NULL while the memory is detached */
    bool released;
};

struct world {
    struct oracle oracle;
    struct rvt_dev_info *devices[MAX_DEVICES];
    struct rvt_share_token tokens[MAX_DEVICES];
    /* Freed at the end of the program, because handles and checkers point to them. */
    struct rvt_ucontext *contexts[MAX_CONTEXTS];
    uint32_t wakes[MAX_CONTEXTS]; /* number of wakes in the running operation */
    struct rvt_device_memory *device_memories[MAX_DEVICE_MEMORIES];
    struct rvt_pd_handle pds[MAX_PDS];
    struct rvt_qp_handle qps[MAX_QPS];
    struct rvt_checker pd_checkers[MAX_PDS], qp_checkers[MAX_QPS];
    struct rvt_dma_handle mappings[MAX_MAPPINGS];
    struct rvt_mr_handle regions[MAX_REGIONS];
    struct rvt_sge sges[MAX_SGES];
    struct block *memories[MAX_MEMORIES];         /* NULL for a slice */
    struct rvt_memory *slices[MAX_MEMORIES];      /* valid while the slice exists */
    struct rvt_reader *readers[ENVIRONMENTS + 1]; /* reader 0 is the lingering one */
    int aside; /* where the lingering reader returns to after this operation, or NONE */
    bool random_refused;
    uint64_t random_state;

    int device_slot[DEVICE_SLOTS], context_slot[CONTEXT_SLOTS], device_memory_slot[DEVICE_MEMORY_SLOTS];
    int pd_slot[PD_SLOTS], qp_slot[QP_SLOTS];
    int memory_slot[MEMORY_SLOTS], mapping_slot[MAPPING_SLOTS], region_slot[REGION_SLOTS],
        sge_slot[SGE_SLOTS];
    struct rvt_sge_state states[WALK_SLOTS];
    struct rvt_sge *state_lists[WALK_SLOTS][MAX_WALK];
    struct model_walk walks[WALK_SLOTS];

    uint64_t numbers[NUMBERS];
    struct item items[MAX_ITEMS];
    uint32_t item_count;

    /* The running operation. */
    uint32_t at;
    struct operation operation;
    bool print; /* print every operation as it is played */
    long live;  /* number of live allocations before the program started */
};

void world_begin(struct world *w, bool print);
/* Closes everything. Any difference from the state before the program is a finding. */
void world_end(struct world *w);

/* --- findings --- */

/* Prints a finding and aborts. */
_Noreturn void world_fail(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Prints a message if `print` is set. */
void world_say(const struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Compares two values as 64 bits, sign-extended if signed. */
void world_equal(const struct world *w, const char *what, uint64_t is, uint64_t should);
#define EXPECT(w, what, is, should) world_equal(w, what, (uint64_t)(is), (uint64_t)(should))

/* Checks the result of a verb that may have allocated memory. Returns true if it succeeded. If an allocation
 * was made to fail, the result must be -ENOMEM whatever else is wrong, and nothing may have changed. */
bool world_answer(struct world *w, int is, int should);

/* Checks the result of a verb that succeeds even if its allocation (for smaller arrays or faster counts)
 * fails. */
bool world_answer_anyway(struct world *w, int is, int should);
/* Checks a result where two values are right. */
bool world_either(struct world *w, int is, int should, int also);

/* Returns whether an allocation failed, and stops further failures. For a verb that continues without the
 * memory. */
bool world_starved(void);

/* Reports an outcome to libFuzzer, which keeps a program with a new outcome. */
void world_note(const struct world *w, uint32_t outcome);

/* --- operands --- */

uint64_t world_address(const struct world *w, uint8_t where, uint8_t delta);
/* Returns a length; some codes are relative to the address's position in the region that `key` names. */
uint64_t world_length(const struct world *w, uint8_t code, uint64_t address, uint8_t key);
uint32_t world_key(const struct world *w, uint8_t key);

/* Return the object in the slot, or NONE. */
int world_device(const struct world *w, uint8_t slot);
int world_pd(const struct world *w, uint8_t slot);
int world_qp(const struct world *w, uint8_t slot);
int world_region(const struct world *w, uint8_t slot);
int world_sge(const struct world *w, uint8_t slot);

/* world_chosen returns the context that an operand selects, or NONE, and sets *device to its device.
 * world_context returns the core's context. */
int world_chosen(const struct world *w, uint8_t operand, int *device);
struct rvt_ucontext *world_context(const struct world *w, int context);

/* Who requests a check: a domain or, with bit 3, the peer of a queue pair. */
struct asker {
    const struct rvt_checker *checker;
    int pd;      /* root handle of the domain */
    int context; /* context of the handle, or NONE */
    bool alive;  /* whether the handle is live */
};
/* Returns false if the slot is empty. */
bool world_who(const struct world *w, uint8_t who, struct asker *asker);

/* --- memory --- */

/* Return the memory that verbs take, and the address of its bytes. */
struct rvt_memory *world_memory(const struct world *w, int memory);
unsigned char *world_bytes(const struct world *w, int memory);
/* Stores `memory` in the slot, after putting the reference on a slice that was in the slot. */
void world_take_memory_slot(struct world *w, uint8_t slot, int memory);
int world_new_memory(struct world *w, uint8_t size, uint8_t before, int owner);
void world_set_memory(struct world *w, int memory, uint8_t state);
void world_check_memory(const struct world *w, int memory);
void world_check_bytes(const struct world *w);
/* Checks the references to all memories. No retired object may be waiting. */
void world_check_references(const struct world *w);

/* --- operations, by subject --- */

void play_ownership(struct world *w); /* devices, domains, queue pairs, memory, DMA mappings */
void play_region(struct world *w);
void play_check(struct world *w);
void play_batch(struct world *w);
void play_data(struct world *w); /* walks, copies, atomics */
void play_context(struct world *w);

/* Adds a handle of a domain that the core created: its model, its checker, its slot. */
void world_add_pd(struct world *w, uint8_t slot, struct model_pd pd);
/* Closes a context, and checks all objects afterwards. */
enum context_end { END_PLAIN, END_CASCADE, END_DROP };
void world_end_context(struct world *w, int context, enum context_end how);
/* Compares everything that a device reports. */
void world_check_device(struct world *w, int device);

/* --- the lingering reader; it belongs to this thread, so no verb may wait for it --- */

void world_start_lingering(struct world *w, int where);
void world_stop_lingering(struct world *w);
/* Must be called before each verb that waits on the device: a reader that lingers there leaves, and returns
 * after the operation. A reader that lingers in another device stays; if the verb waited for it, the process
 * would abort. */
void world_step_aside(struct world *w, int device);
void world_come_back(struct world *w);
/* Must be called after such a verb: it has waited, so nothing retired on the device may be left. */
void world_nothing_waits(const struct world *w, int device);

/* Plays a program. */
void play(struct world *w, const uint8_t *bytes, size_t size, bool print);

/* Compares an SGE with the model. */
void world_check_sge(const struct world *w, const struct rvt_sge *is, const struct model_sge *should);
/* Compares a region's attributes with the model. */
void world_check_region(const struct world *w, int region);

/* Returns operand n, counted from 1 as in program.h. */
static inline uint8_t operand(const struct world *w, int n) {
    return w->operation.operand[n - 1];
}

/* Empties the list after its use, unless it is kept. */
static inline void world_list_used(struct world *w, uint8_t keep) {
    if (!(keep & 1))
        w->item_count = 0;
}

#endif
