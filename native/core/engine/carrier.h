/* SPDX-License-Identifier: BSD-3-Clause */
/* What a queue pair sends through. Loopback is the only carrier: both ends are queue pairs of one device. */
#ifndef RVT_ENGINE_CARRIER_H
#define RVT_ENGINE_CARRIER_H

struct rvt_engine_qp;

struct rvt_carrier {
    /* Works on the send queue of a ready queue pair until it is empty or must wait: flushes it in ERR,
     * carries work requests out in RTS. Called with the engine lock held and the engine's reader outside any
     * section; may release the lock between steps (rvt_engine_yield). */
    void (*work)(struct rvt_engine_qp *qp);
};

extern const struct rvt_carrier rvt_loopback;

/* The two halves of rvt_loopback. RC and UC: the kernel's function of this name. UD: the loop of a driver. */
void rvt_ruc_loopback(struct rvt_engine_qp *qp);
void rvt_ud_loopback(struct rvt_engine_qp *qp);

#endif
