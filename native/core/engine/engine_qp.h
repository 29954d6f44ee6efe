/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine's part of a queue pair: its queues, attributes and state. Protected by the engine lock. */
#ifndef RVT_ENGINE_QP_H
#define RVT_ENGINE_QP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/access/check.h"
#include "core/base/list.h"
#include "core/engine/carrier.h"
#include "core/engine/engine_state.h"
#include "core/engine/qp_verbs.h"
#include "core/engine/recv_queue.h"

/* A queued send work request: the head of a slot of the send queue. */
struct rvt_swqe {
    uint64_t wr_id, remote_addr;
    union {
        struct {
            uint64_t compare_add, swap; /* atomic operations */
        };
        uint8_t
            host_ip[16]; /* UD, if udp_port is not 0: copied from the address handle, as udp_port and av */
    };
    uint64_t length; /* sum of its elements, at most 2^31 */
    uint32_t opcode, flags, num_sge, rkey, imm, invalidate_rkey;
    uint32_t remote_qpn, remote_qkey; /* UD */
    union {
        struct rvt_ah_attr av; /* UD */
        struct {
            struct rvt_mw_handle mw; /* a delayed BIND_MW */
            struct rvt_bind bind;
        };
    };
    uint16_t udp_port; /* UD: of the destination; 0: it is on loopback */
    bool done_at_post; /* a local operation that was carried out while it was posted */
    bool started;
    struct rvt_sge sges[]; /* room for max_sge elements, each with a reference */
};

struct rvt_send_queue {
    unsigned char *slots; /* ring of max_wr slots: a struct rvt_swqe with its elements each */
    size_t slot_size;     /* in bytes */
    uint32_t max_wr, max_sge, first, count;
};

/* The receive that a queue pair works on: its checked elements, with a reference each. For RC and UC it
 * exists only while a request is carried out; a UD receive that is too small for a message stays. */
struct rvt_receive_in_hand {
    struct rvt_sge *sges;   /* room for every receive of this queue pair or its shared receive queue */
    uint64_t wr_id, length; /* length: sum of the elements */
    uint32_t num_sge, room; /* room: elements for which `sges` has room */
    bool there;
};

/* The members that every request uses come first, so that a request of a queue pair that was not used for long touches
 * few cache lines. The slots of the send queue follow the structure in the same block. */
struct rvt_engine_qp {
    /* Constant: */
    struct rvt_engine *engine;
    struct rvt_qp_handle handle; /* of the object, which may have ended and become another queue pair */
    uint64_t serial;
    uint32_t qpn;
    enum rvt_qp_type type;
    enum rvt_sig_type sig_type;
    bool random_qpn; /* its number was drawn from the CSPRNG */
    /* Protected by the engine lock: */
    const struct rvt_carrier *carrier;
    void *carrier_data;
    uint32_t pins;  /* steps that work on it; its memory stays until the last one has ended */
    uint64_t epoch; /* increased when queued work is dropped or flushed: work in progress must stop */
    struct rvt_send_queue sq;
    struct rvt_link in_ready; /* in a list of the engine */
    struct rvt_engine_qp *next_in_chain;
    uint32_t rnr_left;     /* running RNR counter */
    uint32_t delayed_invs; /* delayed LOCAL_INVs that were queued and not carried out */
    bool ended;            /* the object has ended; freed when it is not pinned */
    bool waiting_rnr;
    bool sq_draining; /* only reported */
    struct rvt_qp_attr attr;
    /* Constant: */
    struct rvt_checker local, remote; /* count for the engine's context */
    struct rvt_cq *send_cq, *recv_cq;
    struct rvt_srq *srq; /* NULL: it has a receive queue of its own */
    struct rvt_pd *pd;
    void *user;
    /* Checks the elements of its receives: in the domain of the shared receive queue if there is one. */
    struct rvt_checker receives;
    /* Protected by the engine lock: */
    struct rvt_recv_queue rq;
    struct rvt_receive_in_hand in_hand;
    struct rvt_link in_timers; /* in a list of the engine */
    struct rvt_link in_bucket; /* in a list: it is past RESET and can be found as a destination */
    uint64_t timer_deadline;   /* valid if timer_counts */
    uint32_t timer_usec;       /* what the RNR timer was set to, if it runs (in_timers) */
    bool timer_counts;         /* rvt_progress() has been called since the timer was started */
    struct rvt_engine_qp *next_orphan;
};

/* Begins to load the queue pair, with `bytes` bytes from its start, into the cache. The pointer may be stale or NULL:
 * it is a number here, since a prefetch never faults. */
static inline void rvt_prefetch_qp(const struct rvt_engine_qp *qp, size_t bytes) {
    for (size_t at = 0; at < bytes; at += RVT_CACHE_LINE)
        __builtin_prefetch((const void *)((uintptr_t)qp + at), 1);
}

static inline struct rvt_swqe *rvt_sq_at(const struct rvt_send_queue *sq, uint32_t index) {
    uint64_t slot = sq->first + (uint64_t)index;
    if (slot >= sq->max_wr)
        slot -= sq->max_wr;
    return (struct rvt_swqe *)(void *)(sq->slots + slot * sq->slot_size);
}

/* Removes the head of the send queue, whose references have been put. */
void rvt_sq_pop(struct rvt_engine_qp *qp);

/* Stores the numbers that reports show and that change while the queue pair is used. */
void rvt_show_queues(const struct rvt_engine_qp *qp);

/* Sets the state, and stores the state and the peer for reports. */
void rvt_set_qp_state(struct rvt_engine_qp *qp, enum rvt_qp_state state);

/* Returns whether a queue pair in this state accepts a peer's requests. */
static inline bool rvt_qp_receives(const struct rvt_engine_qp *qp) {
    return qp->attr.state == RVT_QPS_RTR || qp->attr.state == RVT_QPS_RTS || qp->attr.state == RVT_QPS_SQD;
}

/* Begins a verb on a queue pair: takes its engine's lock. Returns NULL with the lock not held and *error set
 * if there is none:
 *   -EBADF   the handle is stale
 *   -EINVAL  the queue pair has no queues */
struct rvt_engine_qp *rvt_lock_engine_qp(struct rvt_qp_handle handle, int *error);

/* Pins the queue pair: its memory is not freed before the matching rvt_unpin_qp(). The caller must hold the
 * engine lock. */
void rvt_pin_qp(struct rvt_engine_qp *qp);

/* Ends a pin. Frees the queue pair if this was the last pin and its object has ended. */
void rvt_unpin_qp(struct rvt_engine_qp *qp);

/* Drops all work of a queue pair whose object has ended, and frees it now or when it is not pinned any more. */
void rvt_end_engine_qp(struct rvt_engine_qp *qp);

#endif
