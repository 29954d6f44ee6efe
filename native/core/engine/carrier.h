/* SPDX-License-Identifier: BSD-3-Clause */
/* What a queue pair sends through. Loopback is the carrier of every new queue pair: both ends are queue pairs of one
 * device. Another carrier, such as the wire, is set by rvt_set_carrier() and works with the functions of
 * carrier_verbs.h. */
#ifndef RVT_ENGINE_CARRIER_H
#define RVT_ENGINE_CARRIER_H

#include <stdbool.h>
#include <stdint.h>

struct rvt_engine_qp;

/* All functions are called with the engine lock held, by any thread that calls the core. */
struct rvt_carrier {
    /* Works on the send queue of a ready queue pair until it is empty or must wait: flushes it in ERR,
     * carries work requests out in RTS. Called with the engine's reader outside any section; may release the
     * lock between steps (rvt_engine_yield). */
    void (*work)(struct rvt_engine_qp *qp);
    /* NULL: it need not know. The carrier and `data` are about to become the queue pair's. Returns false if out of
     * memory: the queue pair then keeps its carrier. May only read the queue pair. */
    bool (*attached)(struct rvt_engine_qp *qp, void *data);
    /* NULL: it need not know. The queue pair was in state `from` (enum rvt_qp_state) and is in another one, or in the
     * same one with other attributes, or rvt_modify_qp() put it into ERR, where it was already. After a change to RESET
     * or ERR its queued work requests end without the carrier. Must call no function of carrier_verbs.h that changes
     * the queue pair. */
    void (*changed)(struct rvt_engine_qp *qp, unsigned from);
    /* NULL: it need not know. The queue pair has ended, or got another carrier: the carrier's data is not used any
     * more. May call nothing. */
    void (*detached)(struct rvt_engine_qp *qp, void *data);
    /* Most READs and atomic operations of a peer that it can keep open for a queue pair (max_dest_rd_atomic); 0: as many as
     * the device. */
    uint32_t most_dest_rd_atomic;
};

extern const struct rvt_carrier rvt_loopback;

/* The two halves of rvt_loopback. RC and UC: the kernel's function of this name. UD: the loop of a driver. */
void rvt_ruc_loopback(struct rvt_engine_qp *qp);
void rvt_ud_loopback(struct rvt_engine_qp *qp);

#endif
