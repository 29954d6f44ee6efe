/* SPDX-License-Identifier: BSD-3-Clause */
/* What a carrier other than loopback does with a queue pair: it reads queued work requests, completes them, and
 * carries out what a remote peer asks for. Every access to memory is judged here, by the rules that loopback follows;
 * the carrier only moves messages. Functions without an engine or a handle need the engine lock
 * (rvt_carrier_begin). */
#ifndef RVT_ENGINE_CARRIER_VERBS_H
#define RVT_ENGINE_CARRIER_VERBS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/engine/carrier.h"
#include "core/engine/qp_verbs.h"
#include "core/engine/wr.h"

/* Why a request or a receive failed (struct rvt_wc). */
struct rvt_why {
    enum rvt_wc_cause cause;
    uint32_t value;
    struct rvt_refused_access refused;
};

static inline struct rvt_why rvt_because(enum rvt_wc_cause cause) {
    struct rvt_why why = {cause, 0, {0, 0, 0, 0, 0, 0}};
    return why;
}

/* What became of a request at the responder. */
enum rvt_response {
    RVT_RESPONSE_DONE,      /* carried out */
    RVT_RESPONSE_RNR,       /* no receive is there; nothing was changed */
    RVT_RESPONSE_INVALID,   /* refused: the responder's access flags, a bad atomic, a receive too short */
    RVT_RESPONSE_ACCESS,    /* refused: key, bounds or rights */
    RVT_RESPONSE_OPERATION, /* the responder's own receive has a bad element */
    RVT_RESPONSE_LOCAL,     /* loopback: the requester's own bytes cannot be used any more */
    RVT_RESPONSE_GONE,      /* the responder's queue pair has ended, and the engine has not been told yet */
    RVT_RESPONSE_STOPPED,   /* loopback: one of the two was flushed, reset or destroyed between two steps */
};

/* --- lock and binding --- */

/* Takes the engine lock of a device with an engine, and ends the work under it: carries out ready work, reports events,
 * releases the lock. The thread's environment must be set, as for posting (engine.h). Between the two the thread may
 * call the functions below, and no verb. A carrier should not hold the lock for more than about 64 packets. */
void rvt_carrier_begin(struct rvt_dev_info *device);
void rvt_carrier_end(struct rvt_dev_info *device);

/* From now on, new queue pairs of the device get random numbers, as if it had been opened with random_qp_numbers. The
 * caller must hold the engine lock. */
void rvt_carrier_draw_numbers(struct rvt_dev_info *device);

/* Sets the carrier of a queue pair and its data. The former carrier's `detached` is called. Takes the engine lock.
 *   0            set
 *   -EINVAL      the queue pair has no queues; it is not in RESET or INIT; or its number was not drawn at random, and
 *                `random_only`
 *   -EOPNOTSUPP  its type is not one of `types` (bits: 1 << enum rvt_qp_type)
 *   -ENOMEM      the carrier found no memory
 *   -EBADF       the handle is stale */
int rvt_set_carrier(struct rvt_qp_handle handle, const struct rvt_carrier *carrier, void *data,
                    bool random_only, uint32_t types);

/* Gives the queue pair back to loopback: it goes into ERR unless it is in RESET, and its work requests are flushed with
 * the cause ENDPOINT_CLOSED. The former carrier's `detached` is called. */
void rvt_unset_carrier(struct rvt_engine_qp *qp);

/* Returns the data of the carrier of the queue pair with this number that is past RESET, or NULL if there is none or
 * it has another carrier. */
void *rvt_carrier_find(struct rvt_dev_info *device, uint32_t qpn, const struct rvt_carrier *carrier);

/* --- the queue pair --- */

/* Attributes, of which the carrier reads PSNs, MTU, retry counts, timeouts and depths; and constants. */
const struct rvt_qp_attr *rvt_carrier_attr(const struct rvt_engine_qp *qp);
enum rvt_qp_type rvt_carrier_type(const struct rvt_engine_qp *qp);
uint32_t rvt_carrier_qpn(const struct rvt_engine_qp *qp);
uint64_t rvt_carrier_serial(const struct rvt_engine_qp *qp);
uint32_t rvt_carrier_max_sends(const struct rvt_engine_qp *qp); /* slots of the send queue */
void *rvt_carrier_data(const struct rvt_engine_qp *qp);

/* Returns the microseconds that an RNR NAK with this timer code (0..31) asks to wait. */
uint32_t rvt_rnr_microseconds(uint32_t code);

/* --- the requester --- */

/* A queued send work request. */
struct rvt_carried_send {
    uint64_t remote_addr, compare_add, swap;
    uint32_t length; /* bytes, at most 2^31 */
    uint32_t opcode; /* enum rvt_wr_opcode */
    uint32_t flags;  /* RVT_SEND_* */
    uint32_t rkey, imm, invalidate_rkey;
    bool local; /* REG_MR, LOCAL_INV or BIND_MW: nothing is sent; rvt_carrier_local() when it is the oldest */
    bool
        delayed; /* LOCAL_INV that was not carried out at posting: what follows must not begin before it is */
};

/* Returns how many send work requests are queued. */
uint32_t rvt_carrier_sends(const struct rvt_engine_qp *qp);

/* Reads work request `index` of the queue, the oldest is 0; `index` must be below rvt_carrier_sends(). */
void rvt_carrier_send(const struct rvt_engine_qp *qp, uint32_t index, struct rvt_carried_send *send);

/* Where a queued datagram goes (UD). */
struct rvt_carried_destination {
    struct rvt_host_address host;
    uint32_t qpn;
    uint32_t qkey; /* to send; the sender's own if the work request asked for it */
};

/* Reads the destination of work request `index` of a UD queue pair; as rvt_carrier_send(). */
void rvt_carrier_destination(const struct rvt_engine_qp *qp, uint32_t index,
                             struct rvt_carried_destination *destination);

/* Marks a work request as begun: in SQD, those that have begun are carried out. */
void rvt_carrier_started(struct rvt_engine_qp *qp, uint32_t index);

/* Copies `bytes` bytes (at most 4096) of the work request's elements, from `offset` on, to `to`; or from `from` into
 * them. They must be within its length. Returns false and fills *why if the elements cannot be used any more: the
 * carrier must then fail the work request (LOC_PROT_ERR) in its turn. */
bool rvt_carrier_gather(struct rvt_engine_qp *qp, uint32_t index, uint64_t offset, unsigned char *to,
                        uint32_t bytes, struct rvt_why *why);
bool rvt_carrier_scatter(struct rvt_engine_qp *qp, uint32_t index, uint64_t offset, const unsigned char *from,
                         uint32_t bytes, struct rvt_why *why);
/* Stores the old value of an atomic operation in the work request's elements, in the byte order of the processor. */
bool rvt_carrier_scatter_value(struct rvt_engine_qp *qp, uint32_t index, uint64_t value, struct rvt_why *why);

/* Completes the oldest work request with success and removes it. The queue pair may be in ERR afterwards, if its
 * completion queue was full. */
void rvt_carrier_complete(struct rvt_engine_qp *qp);

/* Carries out the oldest work request, which must be `local`, and completes it. */
void rvt_carrier_local(struct rvt_engine_qp *qp);

/* Completes the oldest work request with an error; the queue pair goes into ERR, and the others are flushed. */
void rvt_carrier_fail(struct rvt_engine_qp *qp, enum rvt_wc_status status, const struct rvt_why *why);

/* Completes every queued work request as flushed: what `work` does in ERR. */
void rvt_carrier_flush(struct rvt_engine_qp *qp);

/* --- the responder ---
 * A function that answers INVALID, ACCESS or OPERATION has put the queue pair into ERR, like loopback, unless the access
 * is lenient, and *why says why; the carrier sends the NAK of that class, and nothing of *why.
 *
 * UC and UD have no NAKs: the message is dropped. The receive that it has taken stays in hand, for the next message
 * (hfi1 and soft-RoCE do the same), and the queue pair goes into ERR only because of its own receive (OPERATION). */

/* A peer's access to memory. */
struct rvt_carried_access {
    uint64_t addr;
    uint32_t rest; /* bytes from `addr` to the end of the range that the request names; not 0 */
    uint32_t rkey;
    bool again;   /* not the first packet: the range was accepted, and the rest is judged again */
    bool lenient; /* a refusal is only returned, and the queue pair does not go into ERR */
};

/* Judges a WRITE or a READ without moving bytes: the queue pair's access flags, and the range if it is not empty. An
 * empty one needs no key (InfiniBand specification, 9.4.3 and 9.4.4). `right`: RVT_ACCESS_REMOTE_WRITE or _READ. */
enum rvt_response rvt_carrier_judge(struct rvt_engine_qp *qp, uint32_t right,
                                    const struct rvt_carried_access *access, struct rvt_why *why);

/* Judges the rest of the range, and the access flags, and moves `bytes` bytes (at most 4096, at most `rest`) from its
 * beginning on. After a refusal no byte was moved, unless a page list ends in unusable memory. */
enum rvt_response rvt_carrier_write(struct rvt_engine_qp *qp, const struct rvt_carried_access *access,
                                    const unsigned char *from, uint32_t bytes, struct rvt_why *why);
enum rvt_response rvt_carrier_read(struct rvt_engine_qp *qp, const struct rvt_carried_access *access,
                                   unsigned char *to, uint32_t bytes, struct rvt_why *why);

/* Carries out an atomic operation on 8 bytes and stores the old value in *old. `opcode`: RVT_WR_ATOMIC_*. */
enum rvt_response rvt_carrier_atomic(struct rvt_engine_qp *qp, uint32_t opcode, uint64_t addr, uint32_t rkey,
                                     uint64_t compare_add, uint64_t swap, uint64_t *old, struct rvt_why *why);

/* Takes the oldest receive. `with_buffers`: its elements are checked and become the receive in hand, with references;
 * a verb that ends one of their regions puts the queue pair into ERR. Otherwise they are not looked at (immediate data
 * of a WRITE). One that is in hand still, because its message was dropped, is taken first. Returns DONE, RNR, GONE or
 * OPERATION. */
enum rvt_response rvt_carrier_take_receive(struct rvt_engine_qp *qp, bool with_buffers, struct rvt_why *why);

/* Copies `bytes` bytes into the receive in hand, from `offset` on. Returns DONE, INVALID (the receive is too short; not an
 * error of a UC queue pair) or OPERATION (its bytes cannot be used any more). */
enum rvt_response rvt_carrier_fill(struct rvt_engine_qp *qp, uint64_t offset, const unsigned char *from,
                                   uint32_t bytes, struct rvt_why *why);

/* Invalidates a key for a SEND_WITH_INV. Returns false if it could not be: the message is received nevertheless, as by
 * loopback, without RVT_WC_WITH_INVALIDATE. */
bool rvt_carrier_invalidate(struct rvt_engine_qp *qp, uint32_t rkey);

/* Completes the receive in hand with success: `length` bytes; `flags`: RVT_WC_WITH_*; `opcode`: RVT_WC_OPCODE_RECV or
 * _RECV_RDMA_WITH_IMM. The queue pair may be in ERR afterwards. */
void rvt_carrier_received(struct rvt_engine_qp *qp, enum rvt_wc_opcode opcode, uint32_t flags,
                          uint32_t imm_or_inv, uint32_t length, bool solicited);

enum { RVT_GRH_BYTES = 40 }; /* the global route header in front of a datagram */

/* A datagram that came in for a UD queue pair. */
struct rvt_carried_datagram {
    const unsigned char *payload;
    uint32_t length; /* bytes of payload, at most 4096 */
    uint32_t source_qpn;
    bool solicited, with_imm;
    uint32_t imm;
    unsigned char grh[RVT_GRH_BYTES];
};

/* Returns whether the datagram's Q_Key is the queue pair's. If not, it is dropped without any answer. */
bool rvt_carrier_qkey_fits(const struct rvt_engine_qp *qp, uint32_t qkey);

/* Receives a datagram: the header and the payload go into the receive in hand or the oldest one, which is completed.
 * Returns DONE; RNR; INVALID: the receive is too short, and stays in hand; OPERATION; or GONE. */
enum rvt_response rvt_carrier_datagram(struct rvt_engine_qp *qp, const struct rvt_carried_datagram *datagram,
                                       struct rvt_why *why);

/* Refuses a request whose packets break the rules of the transport: the queue pair goes into ERR. Returns INVALID. */
enum rvt_response rvt_carrier_invalid(struct rvt_engine_qp *qp, struct rvt_why *why);

#endif
