/* SPDX-License-Identifier: BSD-3-Clause */
/* What a queue pair sends through. Loopback is the carrier of every new queue pair: both ends are queue pairs of one
 * device. Another carrier, such as the wire, is set by rvt_set_carrier() and works with the functions of
 * carrier_verbs.h. */
#ifndef RVT_ENGINE_CARRIER_H
#define RVT_ENGINE_CARRIER_H

#include <stdbool.h>
#include <stdint.h>

struct rvt_engine_qp;
struct rvt_faults;
struct rvt_host_address;

/* All functions are called with the engine lock held, by any thread that calls the core. Those that say so may be
 * NULL. */
struct rvt_carrier {
    /* Works on the send queue of a ready queue pair until it is empty or must wait: flushes it in ERR,
     * carries work requests out in RTS. Called with the engine's reader outside any section; may release the
     * lock between steps (rvt_engine_yield). */
    void (*work)(struct rvt_engine_qp *qp);
    /* May be NULL. Called by rvt_set_carrier() before the queue pair gets this carrier, with the data that it will have.
     * Returns false if out of memory: the queue pair then keeps the carrier that it has. May only read the queue pair. */
    bool (*attached)(struct rvt_engine_qp *qp, void *data);
    /* May be NULL. Called after the state or the attributes have changed; the state was `from` (enum rvt_qp_state), which
     * can be the present one. Also when rvt_modify_qp() puts a queue pair into ERR that is in ERR already. In RESET and
     * ERR the core ends the queued work requests, not the carrier. Must call no function of carrier_verbs.h that changes
     * the queue pair. */
    void (*changed)(struct rvt_engine_qp *qp, unsigned from);
    /* May be NULL. Called after the queue pair has ended or got another carrier. The core does not use `data` any more, so
     * it can be freed. Must not call the core. */
    void (*detached)(struct rvt_engine_qp *qp, void *data);
    /* May be NULL: the carrier reaches no host. UD: returns whether a datagram can be sent to the host, which a work request
     * names that is being posted; it is refused otherwise. Called with the device lock held, too. */
    bool (*reaches)(const struct rvt_engine_qp *qp, const struct rvt_host_address *host);
    /* May be NULL: 4096. UD: returns how many bytes a datagram may have, at most 4096. */
    uint32_t (*datagram_bytes)(const struct rvt_engine_qp *qp);
    /* The highest max_dest_rd_atomic of a queue pair with this carrier: how many READs and atomic operations of the peer
     * can be outstanding here. 0: the device's limit is the only one. */
    uint32_t most_dest_rd_atomic;
};

extern const struct rvt_carrier rvt_loopback;

/* Returns the loopback of a device with these faults (NULL: none). It is another carrier, so that the one without faults need
 * not ask for them; rvt_set_carrier() takes rvt_loopback for it. */
const struct rvt_carrier *rvt_loopback_of(const struct rvt_faults *faults);

/* The two halves of rvt_loopback. RC and UC: the kernel's function of this name. UD: the loop of a driver. */
void rvt_ruc_loopback(struct rvt_engine_qp *qp);
void rvt_ud_loopback(struct rvt_engine_qp *qp);
/* The first half, on a device with faults. */
void rvt_ruc_loopback_with_faults(struct rvt_engine_qp *qp);

#endif
