/* SPDX-License-Identifier: BSD-3-Clause */
/* The core's objects of one program, in numbered slots, side by side with the oracle's. Object i of a kind is
 * the same in both. A slot keeps what was put there last, dead things included: so handles that were kept for
 * too long are used all the time. */
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
    ENVIRONMENTS = 2, /* 1 and 2; each has its own reader */
};

/* An element of the list that lists of every kind are taken from. */
struct item {
    uint64_t address, length;
    uint32_t key;
    uint8_t slot;
};

/* A memory with bytes lies at the end of a block of exactly its size, so that AddressSanitizer sees the first
 * byte behind it; `before` bytes in front of it are the world's own, and watched. */
struct block {
    struct rvt_memory memory;
    int index; /* the oracle's */
    unsigned before;
    unsigned char *start; /* NULL while detached */
    bool released;
};

struct world {
    struct oracle oracle;
    struct rvt_dev_info *devices[MAX_DEVICES];
    struct rvt_share_token tokens[MAX_DEVICES];
    /* Freed with the program: handles and checkers point to them. */
    struct rvt_ucontext *contexts[MAX_CONTEXTS];
    uint32_t wakes[MAX_CONTEXTS]; /* in the running operation */
    struct rvt_device_memory *device_memories[MAX_DEVICE_MEMORIES];
    struct rvt_pd_handle pds[MAX_PDS];
    struct rvt_qp_handle qps[MAX_QPS];
    struct rvt_checker pd_checkers[MAX_PDS], qp_checkers[MAX_QPS];
    struct rvt_dma_handle mappings[MAX_MAPPINGS];
    struct rvt_mr_handle regions[MAX_REGIONS];
    struct rvt_sge sges[MAX_SGES];
    struct block *memories[MAX_MEMORIES];         /* NULL: a slice */
    struct rvt_memory *slices[MAX_MEMORIES];      /* as long as it is there */
    struct rvt_reader *readers[ENVIRONMENTS + 1]; /* 0: the one that lingers */
    int aside; /* where the reader that lingers comes back to after this operation, or NONE */
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
    bool print; /* every operation, as it is played */
    long live;  /* allocations before the program */
};

void world_begin(struct world *w, bool print);
/* Closes everything; what is not as it was before is a finding. */
void world_end(struct world *w);

/* --- findings --- */

/* Says what is wrong and aborts. */
_Noreturn void world_fail(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Tells what happens, if anybody listens. */
void world_say(const struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Both sides as 64 bits, sign-extended if signed. */
void world_equal(const struct world *w, const char *what, uint64_t is, uint64_t should);
#define EXPECT(w, what, is, should) world_equal(w, what, (uint64_t)(is), (uint64_t)(should))

/* The answer of a verb that may have asked for memory: true if it did what was asked. If an allocation was
 * made to fail, the answer must be -ENOMEM whatever else is wrong, and nothing may have changed. */
bool world_answer(struct world *w, int is, int should);

/* The same for an operation that does without the memory it asks for: for smaller arrays, or for faster counts. */
bool world_answer_anyway(struct world *w, int is, int should);
/* The same where two answers are right. */
bool world_either(struct world *w, int is, int should, int also);

/* Did an allocation fail? Then no other will: for a verb that goes on without. */
bool world_starved(void);

/* For the fuzzer: an outcome that is worth a new corpus entry. */
void world_note(const struct world *w, uint32_t outcome);

/* --- operands --- */

uint64_t world_address(const struct world *w, uint8_t where, uint8_t delta);
/* A length; some are relative to where the address lies in the region whose key `key` names. */
uint64_t world_length(const struct world *w, uint8_t code, uint64_t address, uint8_t key);
uint32_t world_key(const struct world *w, uint8_t key);

/* The named slot's object, or NONE. */
int world_device(const struct world *w, uint8_t slot);
int world_pd(const struct world *w, uint8_t slot);
int world_qp(const struct world *w, uint8_t slot);
int world_region(const struct world *w, uint8_t slot);
int world_sge(const struct world *w, uint8_t slot);

/* The context that an operand chooses, or NONE; of the core. *device becomes its device, if there is one. */
int world_chosen(const struct world *w, uint8_t operand, int *device);
struct rvt_ucontext *world_context(const struct world *w, int context);

/* Who asks: a domain, or (bit 3) a queue pair's peer. */
struct asker {
    const struct rvt_checker *checker;
    int pd;      /* root */
    int context; /* or NONE */
    bool alive;  /* the handle */
};
/* False: the slot is empty. */
bool world_who(const struct world *w, uint8_t who, struct asker *asker);

/* --- memory --- */

/* What verbs take, and where the bytes are. */
struct rvt_memory *world_memory(const struct world *w, int memory);
unsigned char *world_bytes(const struct world *w, int memory);
/* The slot is given to `memory`; a slice that was in it is let go. */
void world_take_memory_slot(struct world *w, uint8_t slot, int memory);
int world_new_memory(struct world *w, uint8_t size, uint8_t before, int owner);
void world_set_memory(struct world *w, int memory, uint8_t state);
void world_check_memory(const struct world *w, int memory);
void world_check_bytes(const struct world *w);
/* References on all memories. Nothing retired may wait. */
void world_check_references(const struct world *w);

/* --- the operations, by subject --- */

void play_ownership(struct world *w); /* devices, domains, queue pairs, memory, DMA mappings */
void play_region(struct world *w);
void play_check(struct world *w);
void play_batch(struct world *w);
void play_data(struct world *w); /* walks, copies, atomics */
void play_context(struct world *w);

/* A handle of a domain is new in the core; its twin, its checker, its slot. */
void world_add_pd(struct world *w, uint8_t slot, struct model_pd pd);
/* End a context, and see that everything else is as it should be then. */
enum context_end { END_PLAIN, END_CASCADE, END_DROP };
void world_end_context(struct world *w, int context, enum context_end how);
/* Everything that a device tells of itself. */
void world_check_device(struct world *w, int device);

/* --- the reader that stays inside; it is of this thread, for which no verb can wait --- */

void world_start_lingering(struct world *w, int where);
void world_stop_lingering(struct world *w);
/* Before each verb that waits on the device: who lingers there leaves, and comes back after the operation. Not if it
 * lingers in another one: then the process ends if the verb waits for it. */
void world_step_aside(struct world *w, int device);
void world_come_back(struct world *w);
/* After such a verb: it has waited, so all that was retired on the device is freed. */
void world_nothing_waits(const struct world *w, int device);

/* All of a program. */
void play(struct world *w, const uint8_t *bytes, size_t size, bool print);

/* What an accepted element must be. */
void world_check_sge(const struct world *w, const struct rvt_sge *is, const struct model_sge *should);
/* A region's attributes, as far as its handle lives. */
void world_check_region(const struct world *w, int region);

/* Operand n, from 1 on as in program.h. */
static inline uint8_t operand(const struct world *w, int n) {
    return w->operation.operand[n - 1];
}

/* The list was used; unless it is kept it is empty now. */
static inline void world_list_used(struct world *w, uint8_t keep) {
    if (!(keep & 1))
        w->item_count = 0;
}

#endif
