/* SPDX-License-Identifier: BSD-3-Clause */
/* The objects of one program of verbs, and what the fuzzer knows about each of them without the core. A slot keeps its last
 * object even after it ended, so that stale handles are used all the time. */
#ifndef RVT_FUZZ_VERBS_WORLD_H
#define RVT_FUZZ_VERBS_WORLD_H

#include "core/rvt.h"
#include "verbs_program.h"

enum {
    NONE = -1,
    CONTEXT_SLOTS = 2,
    PD_SLOTS = 4,
    CQ_SLOTS = 6,
    SRQ_SLOTS = 4,
    AH_SLOTS = 4,
    QP_SLOTS = 8,
    MR_SLOTS = 16,
    DMA_SLOTS = 4,
    LAND_SLOTS = 4,
    MW_SLOTS = 8,
    ENVIRONMENTS = 3, /* 0: memory that no environment owns */

    /* How many of each a program can create. */
    MOST_DEVICES = 4,
    MOST_CONTEXTS = 16,
    MOST_OBJECTS = 128,
    MOST_WORKS = 4096,
    MOST_EVENTS = 4096,

    BUFFERS = 5,
    LAND_BUFFER = 4, /* of the regions that only windows lead to */
    MOST_WRS = 4,
    MOST_ELEMENTS = 6,
};

/* A posted work request. */
struct work {
    int qp, srq;   /* queue that it was posted to; the other is NONE */
    uint32_t list; /* its number among all work requests of that queue */
    uint32_t opcode, length;
    bool receive;
    bool must_complete;   /* signaled, or a receive */
    bool dropped;         /* it must not complete any more */
    bool left;            /* it has left its queue */
    uint64_t remote_addr; /* of what it writes into memory of the peer, through this key */
    uint32_t rkey;
    uint32_t completions;
    int next; /* in its queue */
};

/* The queue of work requests that were accepted and that have not left the core's queue. */
struct works {
    int first, last;
    uint32_t made;
};

struct device {
    struct rvt_dev_info *core;
    bool open, manual, random;
    bool told;     /* it reports events */
    uint64_t rest; /* held bytes without the engine's */
    uint64_t seen[RVT_WC_STATUS_COUNT], lost;
};
struct context {
    struct rvt_ucontext *core;
    int device;
};
struct pd {
    struct rvt_pd_handle core;
    int device, context;
    bool alive, user, attached; /* attached: one more handle to a domain */
    uint64_t serial;
};
/* Memory for the ring of a completion queue, between guard bytes. */
struct ring {
    struct rvt_memory memory; /* must be the first member */
    unsigned char *bytes;
    size_t size; /* without the guard bytes */
    uint32_t releases;
};
struct cq {
    struct rvt_cq_handle core;
    int device, context;
    uint64_t serial;
    bool alive, broken;
    uint32_t held; /* completions that it held after the last operation */
    uint32_t late; /* and those that a fault kept from being visible */
    uint32_t arming;
    struct ring *ring; /* NULL: it has none */
    uint32_t tail;     /* of a ring: completions that had left the queue after the last operation */
};
struct srq {
    struct rvt_srq_handle core;
    int device;
    uint64_t serial;
    bool alive;
    uint32_t limit; /* after the last operation */
    struct works works;
};
struct ah {
    struct rvt_ah_handle core;
    int device;
    bool alive;
};
struct qp {
    struct rvt_qp_handle core;
    int device, pd;
    uint64_t serial;
    uint32_t qpn, type, sig_type, state; /* state: after the last operation */
    bool alive, has_queues;
    int send_cq, recv_cq, srq, in_hand;
    struct works sends, receives;
    uint32_t sends_completed, receives_completed; /* number of the last one that completed, plus 1 */
};
struct mr {
    struct rvt_mr_handle core;
    int device, window; /* window: NONE if it maps DMA memory */
    bool alive;
    bool left; /* it was deregistered while the engine used it, and the references have gone since */
    struct rvt_mr_attributes last;
};
struct dma {
    struct rvt_dma_handle core;
    int device, window;
    uint64_t address, length;
    bool alive;
};

/* A memory window or a lease. What it is bound to is what the verbs have been told, not what the core says. */
struct mw {
    struct rvt_mw_handle core;
    int device, pd, context; /* context: of a lease, or NONE */
    uint32_t type;
    bool alive, lease;
    uint32_t key, old_key; /* old_key: before it was bound the last time */
    int mr;                /* NONE: unbound */
    int qp;                /* the only one whose peer may use it, or NONE */
    uint64_t addr, length;
    uint32_t access;
    uint64_t deadline;
};

/* Bytes of a buffer that the core knows as one memory. */
struct window {
    struct rvt_memory memory;
    unsigned char *data;
    int buffer;
    uint64_t offset;
    int owner; /* environment */
    bool detached, released;
    bool writable; /* before the running operation: bytes in it can change */
};

struct event {
    enum rvt_event_kind kind;
    uint64_t object;
    void *user;
};

enum rest { REST_ANY, REST_GROWS, REST_STAYS };

struct world {
    struct device devices[MOST_DEVICES];
    struct context contexts[MOST_CONTEXTS];
    struct pd pds[MOST_OBJECTS];
    struct cq cqs[MOST_OBJECTS];
    struct srq srqs[MOST_OBJECTS];
    struct ah ahs[MOST_OBJECTS];
    struct qp qps[MOST_OBJECTS];
    struct mr mrs[MOST_OBJECTS];
    struct dma dmas[MOST_OBJECTS];
    struct mw mws[MOST_OBJECTS];
    struct window windows[2 * MOST_OBJECTS];
    struct work works[MOST_WORKS];
    int device_count, context_count, pd_count, cq_count, srq_count, ah_count, qp_count, mr_count, dma_count,
        mw_count, window_count, work_count;

    int device; /* the latest one, or NONE */
    int context_slot[CONTEXT_SLOTS], pd_slot[PD_SLOTS], cq_slot[CQ_SLOTS], srq_slot[SRQ_SLOTS],
        ah_slot[AH_SLOTS], qp_slot[QP_SLOTS], mr_slot[MR_SLOTS], dma_slot[DMA_SLOTS], land_slot[LAND_SLOTS],
        mw_slot[MW_SLOTS];

    unsigned char *buffers[BUFFERS], *shadows[BUFFERS];
    struct rvt_reader *reader;
    int environment;
    uint64_t now;   /* microseconds */
    uint64_t clock; /* milliseconds, the core's coarse clock */

    /* The running operation. */
    uint32_t at;
    uint8_t code;
    uint8_t operand[VERB_OPERANDS + 1]; /* from 1 on */
    bool moves;                         /* it can carry out work, so bytes can change */
    bool ends;                          /* it can end objects */
    bool starved;                       /* an allocation failed in it */
    int reset;                          /* queue pair that it reset, or NONE */
    int modified, armed;                /* queue pair, completion queue that it was for, or NONE */
    enum rest rest;
    struct event events[MOST_EVENTS];
    uint32_t event_count;

    bool print;
    /* An operation that comes between two steps of the engine, as if another thread performed it. */
    struct {
        bool waits, done; /* it waits for its time; it was done in the running operation */
        uint8_t steps, code, operand[VERB_OPERANDS + 1];
    } interrupt;
    bool failing; /* the next verb meets a failing allocation */
    uint8_t fail_after;
    long live;
    uint64_t random_state;
};

/* The world of the running program, for functions that the core calls. */
struct world *verbs_current(void);

/* Plays a program. */
void verbs_play(struct world *w, const uint8_t *bytes, size_t size, bool print);

_Noreturn void verbs_fail(const struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void verbs_say(const struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void verbs_equal(const struct world *w, const char *what, uint64_t is, uint64_t should);
#define EXPECT(w, what, is, should) verbs_equal(w, what, (uint64_t)(is), (uint64_t)(should))

/* Reports an outcome to libFuzzer, which keeps a program with a new outcome. */
void verbs_note(uint32_t outcome);

/* Plays the running operation. */
void verbs_perform(struct world *w);

/* Whether the running operation can be interrupted by its `interrupt`. */
bool verbs_can_interrupt(const struct world *w);

/* Checks every invariant after an operation. */
void verbs_check(struct world *w);
/* Notes which bytes the operation that follows can change. */
void verbs_note_windows(struct world *w);

/* The wr_id of a work request. */
#define WR_ID(work) (UINT64_C(0x5eed0000c0de0000) + (uint64_t)(work))

/* Appends a work request to the model of a queue. */
void verbs_accept(struct world *w, struct works *works, int work);

/* The engine's part of a live queue pair with queues, or NULL. */
struct rvt_engine_qp;
struct rvt_engine_qp *verbs_engine_qp(const struct world *w, int qp);

/* Allocates a ring with one reference. */
enum { RING_GUARD = 64 };
struct ring *verbs_new_ring(uint32_t cqe);
_Atomic(uint32_t) *verbs_ring_word(const struct ring *ring, enum rvt_ring_word word);
/* Checks the guard bytes of a ring and how often it was released. */
void verbs_check_ring(const struct world *w, const struct ring *ring, bool released);
void verbs_free_ring(struct ring *ring);
/* Returns how many completions the consumer has taken that the queue still counts; 0 without a ring. */
uint32_t verbs_taken(const struct cq *cq);

/* Checks that bytes of lands changed only through windows as they are now. Must be called before anything of windows
 * or regions changes. */
void verbs_check_land(struct world *w);
/* Whether any window or lease that has not expired is bound to a region. */
uint32_t verbs_windows_of(const struct world *w, int mr);
/* Takes over which windows ended. */
void verbs_settle_windows(struct world *w);
/* Compares windows with the model, after an operation. */
void verbs_check_windows(struct world *w);
/* Whether a byte of a buffer can be written. */
bool verbs_may_change(const struct world *w, int buffer, size_t at);
size_t verbs_buffer_size(int buffer);

int verbs_new_window(struct world *w, int buffer, uint64_t offset, uint64_t length, int owner);

/* The environment with this number; NULL for 0. */
void *verbs_environment(int number);

void verbs_on_event(enum rvt_event_kind kind, uint64_t object, void *user, void *data);

#endif
