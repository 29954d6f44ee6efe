/* SPDX-License-Identifier: BSD-3-Clause */
/* The structures of a connection manager, and what its files share. Included by native/wire/cm only. */
#ifndef RVT_WIRE_CM_STATE_H
#define RVT_WIRE_CM_STATE_H

#include "core/base/list.h"
#include "wire/cm/cm.h"

enum rvt_cm_state {
    RVT_CM_FREE,
    /* passive */
    RVT_CM_REQ_RECEIVED, /* the host must answer */
    RVT_CM_REP_SENT,
    /* active */
    RVT_CM_REQ_SENT,
    RVT_CM_REP_RECEIVED, /* the host must confirm */
    /* both */
    RVT_CM_ESTABLISHED,
    RVT_CM_DREQ_SENT,
    RVT_CM_DREQ_RECEIVED, /* the host must answer */
    /* Nothing is to be done any more. A late or repeated message is answered, if it needs an answer, and the queue pair
     * numbers are not taken by another connection yet. */
    RVT_CM_TIME_WAIT,
    RVT_CM_REJECTED, /* by this end: a repeated REQ gets the same REJ */
    RVT_CM_GONE,     /* over, but the host has not taken its last events */
};

enum {
    RVT_CM_INDEX_BITS = 12, /* of a local id: the index of the entry; the other bits are drawn */
    RVT_CM_BUCKETS = 1024,
    RVT_CM_ANSWERS = 64,
};

/* Times in microseconds. */
enum {
    RVT_CM_HOST_TIME = 60000000,      /* until the host must have answered */
    RVT_CM_HOST_TIME_CODE = 24,       /* of an MRA that says so: 68 s */
    RVT_CM_MOST_MRA_TIME = 120000000, /* the longest time that a peer gets by an MRA */
    RVT_CM_MOST_MRAS = 3,             /* and how often */
    RVT_CM_LEAST_INTERVAL = 100000,   /* between repetitions that a peer asks for */
    RVT_CM_MOST_INTERVAL = 4400000,
    RVT_CM_DREQ_INTERVAL = 1000000,
    RVT_CM_DREQ_RETRIES = 4,
    RVT_CM_REJECTED_TIME = 10000000, /* a peer of Linux repeats its REQ after 4.3 s */
    RVT_CM_LEAST_TIME_WAIT = 500000,
    RVT_CM_MOST_TIME_WAIT = 4400000,
    /* Deadlines are rounded up to this, so that one look at all connections serves many. */
    RVT_CM_GRAIN = 16384,
};

struct rvt_cm_listener {
    uint32_t id; /* 0: free */
    uint32_t backlog, half_open;
    uint64_t service;
};

struct rvt_cm_entry {
    /* Lists: by (address, remote id), (address, remote queue pair) and local queue pair; with a message to send; with
     * events; in TIME_WAIT or REJECTED, the oldest first; free. */
    struct rvt_link by_remote_id, by_remote_qp, by_local_qp, in_output, in_events, in_lingering, in_free;
    uint32_t local_id; /* 0: free */
    uint32_t remote_id;
    uint8_t state; /* enum rvt_cm_state */
    bool active, knows_remote_id;
    uint8_t retries, mras; /* left; taken */
    uint16_t events;       /* bits 1 << enum rvt_cm_event_kind, to be taken */
    uint16_t due;          /* enum rvt_cm_attribute of the message to send; 0: none */
    uint16_t reason;       /* of the REJECTED event */
    uint32_t listener;     /* 0: none */
    struct rvt_wire_peer peer;
    uint64_t service, transaction;
    uint64_t transaction_of_dreq; /* of the peer's DREQ, for the DREP; or of the own one */
    uint64_t interval, deadline;  /* UINT64_MAX: none */
    struct rvt_cm_offer own, theirs;
    uint16_t source_port;
    uint8_t length;                      /* of `data` */
    unsigned char data[RVT_CM_REP_DATA]; /* private data of the event */
    unsigned char out[RVT_MAD_BYTES];    /* the REQ, REP or REJ, to be repeated */
};

/* An answer about no connection. */
struct rvt_cm_answer {
    struct rvt_wire_peer to;
    struct rvt_cm_message message; /* without private data */
};

struct rvt_cm {
    uint8_t address[16];
    struct rvt_cm_host host;
    uint64_t guid;     /* of this end, drawn */
    uint64_t hash_key; /* odd, drawn: peers choose what is hashed */
    uint64_t deadline; /* no entry has an earlier one */
    uint32_t last_listener;
    uint32_t used; /* entries that were ever used */
    struct rvt_cm_counters counters;
    struct rvt_link *free;
    struct rvt_fifo output, events, lingering;
    struct rvt_link *by_remote_id[RVT_CM_BUCKETS], *by_remote_qp[RVT_CM_BUCKETS],
        *by_local_qp[RVT_CM_BUCKETS];
    struct rvt_cm_listener listeners[RVT_CM_MOST_LISTENERS];
    uint32_t first_answer, answer_count;
    struct rvt_cm_answer answers[RVT_CM_ANSWERS];
    struct rvt_cm_entry entries[RVT_CM_MOST_CONNECTIONS];
};

/* --- the table (cm_table.c) --- */

/* Takes an entry, with a local id and without anything else. If all are in use, one that only waits for late packets ends
 * for it. Returns NULL if there is none, or no random number. */
struct rvt_cm_entry *rvt_cm_take_entry(struct rvt_cm *cm);

/* Takes the entry out of all lists, and frees it. */
void rvt_cm_free_entry(struct rvt_cm *cm, struct rvt_cm_entry *entry);

/* Finds an entry: by its local id; NULL if there is none. */
struct rvt_cm_entry *rvt_cm_find(struct rvt_cm *cm, uint32_t local_id);
struct rvt_cm_entry *rvt_cm_find_remote_id(struct rvt_cm *cm, const uint8_t address[16], uint32_t remote_id);
struct rvt_cm_entry *rvt_cm_find_remote_qp(struct rvt_cm *cm, const uint8_t address[16], uint32_t qpn);
struct rvt_cm_entry *rvt_cm_find_local_qp(struct rvt_cm *cm, uint32_t qpn);

/* Makes the entry known by these, which were set in it. */
void rvt_cm_add_remote_id(struct rvt_cm *cm, struct rvt_cm_entry *entry);
void rvt_cm_add_remote_qp(struct rvt_cm *cm, struct rvt_cm_entry *entry);
void rvt_cm_add_local_qp(struct rvt_cm *cm, struct rvt_cm_entry *entry);
void rvt_cm_forget_queue_pairs(struct rvt_cm_entry *entry);

struct rvt_cm_listener *rvt_cm_find_listener(struct rvt_cm *cm, uint32_t id);
struct rvt_cm_listener *rvt_cm_find_service(struct rvt_cm *cm, uint64_t service);

/* --- what changes an entry (cm.c) --- */

/* Changes the state and sets the deadline to `after` microseconds from now; UINT64_MAX: none. Keeps the count of half-open
 * requests. */
void rvt_cm_enter(struct rvt_cm *cm, struct rvt_cm_entry *entry, enum rvt_cm_state state, uint64_t now,
                  uint64_t after);

/* The connection is over but for late packets. */
void rvt_cm_wait(struct rvt_cm *cm, struct rvt_cm_entry *entry, uint64_t now);

/* The connection is over: the entry is freed, as soon as the host has taken its events. */
void rvt_cm_end(struct rvt_cm *cm, struct rvt_cm_entry *entry);

/* Sends a message about the connection: enum rvt_cm_attribute. REQ, REP, and a REJ are taken from `out`. */
void rvt_cm_queue(struct rvt_cm *cm, struct rvt_cm_entry *entry, uint16_t attribute);

/* Writes a REJ into `out` and sends it. */
void rvt_cm_queue_reject(struct rvt_cm *cm, struct rvt_cm_entry *entry, enum rvt_cm_about about,
                         uint16_t reason, const unsigned char *data, uint32_t length);

/* Queues an answer about no connection; `message` is of the sender's view. Dropped if too many wait. */
void rvt_cm_answer(struct rvt_cm *cm, const struct rvt_wire_peer *to, const struct rvt_cm_message *message);

/* Gives the host an event. */
void rvt_cm_tell(struct rvt_cm *cm, struct rvt_cm_entry *entry, enum rvt_cm_event_kind kind);

/* Takes an event back that the host has not taken. Returns whether there was one. */
bool rvt_cm_untell(struct rvt_cm *cm, struct rvt_cm_entry *entry, enum rvt_cm_event_kind kind);

#endif
