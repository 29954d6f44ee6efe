/* SPDX-License-Identifier: BSD-3-Clause */
/* Posting of work requests. docs/semantics.md, V8. */
#include <string.h>

#include "core/base/failure.h"
#include "core/base/rvt_errno.h"
#include "core/engine/engine_qp.h"
#include "core/engine/engine_state.h"
#include "core/engine/qp_state.h"
#include "core/objects/mr.h"

enum { UD_MTU = 4096, ATOMIC_BYTES = 8, PSN_MASK = 0xffffff, SMALLEST_MTU = 256 };
static const uint64_t MAX_MESSAGE = UINT64_C(1) << 31;

/* The caller must hold the engine lock. */
static int post_one_receive(struct rvt_engine_qp *qp, const struct rvt_recv_wr *wr, uint32_t index) {
    int error = rvt_recv_queue_post(&qp->rq, wr, index);
    if (error || qp->attr.state != RVT_QPS_ERR)
        return error;
    /* In ERR the queue is empty, so this takes the receive that was just posted. */
    const struct rvt_why flushed = rvt_because(RVT_WHY_FLUSHED);
    struct rvt_rwqe wqe;
    const struct rvt_ib_sge *sges;
    if (rvt_recv_queue_take(&qp->rq, &wqe, &sges))
        (void)rvt_complete_failed_receive(qp, wqe.wr_id, RVT_WC_STATUS_WR_FLUSH_ERR, &flushed);
    return 0;
}

int rvt_post_recv(struct rvt_qp_handle handle, const struct rvt_recv_wr *wrs, uint32_t count, uint32_t *bad) {
    uint32_t index = 0;
    int error;
    if (bad)
        *bad = 0;
    struct rvt_engine_qp *qp = rvt_lock_engine_qp(handle, &error);
    if (!qp)
        return error;
    if (qp->attr.state == RVT_QPS_RESET)
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_QP_STATE, qp->attr.state, 0);
    else if (qp->srq)
        error = rvt_fail(RVT_EINVAL, RVT_CAUSE_QP_HAS_SRQ);
    while (!error && index < count) {
        error = post_one_receive(qp, &wrs[index], index);
        if (!error)
            index++;
    }
    if (error && bad)
        *bad = index;
    rvt_show_queues(qp);
    rvt_engine_finish(qp->engine);
    return error;
}

/* What posting must know of an opcode. */
struct opcode_rules {
    uint8_t types; /* the types of queue pairs that may post it: a bit each (ON_*) */
    bool local;    /* carried out on the queue pair's own domain, without a peer */
    bool atomic;
    bool takes_rd_atomic; /* uses up one of the queue pair's max_rd_atomic */
    uint8_t local_access; /* access bits that its elements must have */
};

enum { ON_RC = 1 << RVT_QPT_RC, ON_UC = 1 << RVT_QPT_UC, ON_UD = 1 << RVT_QPT_UD };

static const struct opcode_rules opcode_rules[] = {
    [RVT_WR_RDMA_WRITE] = {.types = ON_RC | ON_UC},
    [RVT_WR_RDMA_WRITE_WITH_IMM] = {.types = ON_RC | ON_UC},
    [RVT_WR_SEND] = {.types = ON_RC | ON_UC | ON_UD},
    [RVT_WR_SEND_WITH_IMM] = {.types = ON_RC | ON_UC | ON_UD},
    [RVT_WR_SEND_WITH_INV] = {.types = ON_RC, .local_access = RVT_ACCESS_LOCAL_WRITE},
    [RVT_WR_RDMA_READ] = {.types = ON_RC, .takes_rd_atomic = true, .local_access = RVT_ACCESS_LOCAL_WRITE},
    [RVT_WR_ATOMIC_CMP_AND_SWP] = {.types = ON_RC,
                                   .atomic = true,
                                   .takes_rd_atomic = true,
                                   .local_access = RVT_ACCESS_LOCAL_WRITE},
    [RVT_WR_ATOMIC_FETCH_AND_ADD] = {.types = ON_RC,
                                     .atomic = true,
                                     .takes_rd_atomic = true,
                                     .local_access = RVT_ACCESS_LOCAL_WRITE},
    [RVT_WR_REG_MR] = {.types = ON_RC | ON_UC, .local = true, .local_access = RVT_ACCESS_LOCAL_WRITE},
    [RVT_WR_LOCAL_INV] = {.types = ON_RC | ON_UC, .local = true, .local_access = RVT_ACCESS_LOCAL_WRITE},
    [RVT_WR_BIND_MW] = {.types = ON_RC | ON_UC, .local = true},
};

/* Returns the rules of a work request's opcode; those of an unknown one allow no type, nor those of BIND_MW without a
 * window, as in the kernel, which has no windows. */
static const struct opcode_rules *rules_of(const struct rvt_send_wr *wr) {
    static const struct opcode_rules none;
    if (wr->opcode >= sizeof(opcode_rules) / sizeof(opcode_rules[0]) ||
        (wr->opcode == RVT_WR_BIND_MW && !wr->mw.mw && !wr->mw.generation))
        return &none;
    return &opcode_rules[wr->opcode];
}

/* Where a datagram goes. */
struct destination {
    struct rvt_ah_attr av;
    struct rvt_host_address host;
};

/* Returns whether the queue pair's carrier reaches the destination: loopback those without a host, a network those with a
 * host to which it can send. */
static bool reaches(const struct rvt_engine_qp *qp, const struct rvt_host_address *host) {
    const struct rvt_carrier *carrier = qp->carrier;
    return carrier->reaches ? host->udp_port && carrier->reaches(qp, host) : !host->udp_port;
}

/* Copies the address of a datagram's destination, since its address handle may be destroyed while the work
 * request is queued. */
static int copy_destination(const struct rvt_engine_qp *qp, const struct rvt_send_wr *wr, uint32_t index,
                            struct destination *to) {
    struct rvt_dev_info *device = qp->engine->device;
    int error = 0;
    memset(to, 0, sizeof(*to));
    rvt_mutex_lock(&device->lock);
    const struct rvt_ah *ah = wr->ah ? rvt_ah_live(*wr->ah) : NULL;
    if (!ah)
        error = rvt_fail_at(RVT_EINVAL, RVT_CAUSE_AH_GONE, index, 0, 0);
    else if (ah->pd != qp->pd)
        error = rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_AH_IN_OTHER_PD, index, 0, 0);
    else if (!reaches(qp, &ah->host))
        error = rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_AH_UNREACHABLE, index, ah->host.udp_port != 0, 0);
    else
        *to = (struct destination){ah->attr, ah->host};
    rvt_mutex_unlock(&device->lock);
    return error;
}

/* Tests that need neither keys nor the queue, in the kernel's order. */
static int judge_send_wr(const struct rvt_engine_qp *qp, const struct rvt_send_wr *wr, uint32_t index,
                         const struct opcode_rules *rules) {
    if (wr->num_sge > qp->sq.max_sge)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_SGES, index, wr->num_sge, qp->sq.max_sge);
    if (!(rules->types >> qp->type & 1))
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_OPCODE, index, wr->opcode, qp->type);
    if (rules->atomic) {
        uint32_t bytes = wr->num_sge ? wr->sges[0].length : 0;
        if (bytes < ATOMIC_BYTES)
            return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_ATOMIC_SGE, index, bytes, ATOMIC_BYTES);
        if (wr->sges[0].addr % ATOMIC_BYTES)
            return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_ATOMIC_ADDRESS, index, wr->sges[0].addr,
                               ATOMIC_BYTES);
    }
    if (rules->takes_rd_atomic && !qp->attr.max_rd_atomic)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_NO_RD_ATOMIC, index, 0, 0);
    return 0;
}

static struct rvt_bind bind_of(const struct rvt_send_wr *wr) {
    return (struct rvt_bind){
        .mr = wr->mr,
        .addr = wr->remote_addr,
        .length = wr->bind_length,
        .access = wr->access,
        .key = wr->key,
    };
}

/* Carries out a local operation, unless it is a LOCAL_INV or a BIND_MW that must be delayed: a window that a delayed
 * LOCAL_INV unbinds can be bound again only after it. Sets *carried_out. Its wait for readers is made with the engine
 * lock held: no reader waits for that lock. With `whole` nothing is carried out, because it could not be taken back:
 * every LOCAL_INV and BIND_MW is delayed, and REG_MR is refused. */
static int do_local(struct rvt_engine_qp *qp, const struct rvt_send_wr *wr, uint32_t index, bool whole,
                    bool *carried_out) {
    *carried_out = true;
    if (whole && wr->opcode == RVT_WR_REG_MR)
        return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_OPCODE, index, wr->opcode, qp->type);
    rvt_engine_leave(qp->engine); /* both verbs wait for readers */
    if (wr->opcode == RVT_WR_REG_MR)
        return rvt_fast_reg_mr(qp->handle, wr->mr, wr->key, wr->access, NULL);
    if (whole || (wr->flags & RVT_SEND_FENCE) || qp->delayed_invs) {
        *carried_out = false;
        return 0;
    }
    if (wr->opcode == RVT_WR_BIND_MW) {
        const struct rvt_bind bind = bind_of(wr);
        return rvt_bind_mw(qp->handle, wr->mw, &bind);
    }
    return rvt_invalidate_rkey(qp->handle, wr->invalidate_rkey);
}

/* Returns how many bytes a message of the queue pair may have. */
static uint64_t most_bytes(const struct rvt_engine_qp *qp) {
    if (qp->type != RVT_QPT_UD)
        return MAX_MESSAGE;
    return qp->carrier->datagram_bytes ? qp->carrier->datagram_bytes(qp) : UD_MTU;
}

/* Checks the elements and takes their references, joining each with the one before where they touch. Fills
 * the slot's elements, num_sge and length; on failure no reference is kept. */
static int accept_elements(struct rvt_engine_qp *qp, const struct rvt_send_wr *wr, uint32_t index,
                           uint32_t local_access, struct rvt_swqe *wqe) {
    struct rvt_sge *sges = wqe->sges, *last = NULL;
    int error = 0;
    wqe->num_sge = 0;
    wqe->length = 0;
    struct rvt_data_call *call = rvt_engine_enter(qp->engine);
    if (!wr->num_sge)
        rvt_data_call_spend(call, 0);
    for (uint32_t i = 0; i < wr->num_sge && !error; i++) {
        enum rvt_reason reason;
        rvt_data_call_spend(call, 0);
        if (!wr->sges[i].length)
            continue;
        int answer =
            rvt_acquire_one(&qp->local, &wr->sges[i], local_access, last, &sges[wqe->num_sge], &reason);
        if (answer < 0) {
            error = answer == -RVT_ENOMEM
                        ? rvt_fail_at(RVT_ENOMEM, RVT_CAUSE_HELD_TOO_OFTEN, index, 0, UINT32_MAX)
                        : rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_SGE_REFUSED, index, i, (uint64_t)reason);
            break;
        }
        if (answer == 1)
            last = &sges[wqe->num_sge++];
        wqe->length += wr->sges[i].length;
    }
    const uint64_t most = most_bytes(qp);
    if (!error && wqe->length > most)
        error = rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_LENGTH, index, wqe->length, most);
    if (error)
        rvt_engine_put(qp->engine, sges, wqe->num_sge);
    return error;
}

/* On a NIC, only a SEND or a WRITE can have inline data, and not more than its queue pair was created for
 * (ibv_post_send(3)). If the work request is refused, puts the references of its elements. */
static int judge_inline(struct rvt_engine_qp *qp, uint32_t index, const struct opcode_rules *rules,
                        struct rvt_swqe *wqe) {
    const uint32_t most = qp->engine->max_inline_data;
    if (most == UINT32_MAX || rules->local || (!rules->takes_rd_atomic && wqe->length <= most))
        return 0;
    rvt_engine_put(qp->engine, wqe->sges, wqe->num_sge);
    return rvt_fail_at(RVT_EINVAL, RVT_CAUSE_WR_INLINE, index, wqe->length,
                       rules->takes_rd_atomic ? 0 : most);
}

/* Adds the packets of the message to sq_psn. */
static void count_packets(struct rvt_engine_qp *qp, uint64_t length) {
    uint64_t mtu = ((uint64_t)SMALLEST_MTU / 2) << qp->attr.path_mtu, packets = 1;
    if (qp->type != RVT_QPT_UD && length > mtu)
        packets = (length + mtu - 1) / mtu;
    qp->attr.sq_psn = (uint32_t)(qp->attr.sq_psn + packets) & PSN_MASK;
}

/* Fills the slot except for its elements. Members that the opcode and the type of the queue pair do not use keep
 * what an earlier work request has left. */
static void fill_slot(const struct rvt_engine_qp *qp, const struct rvt_send_wr *wr,
                      const struct opcode_rules *rules, struct rvt_swqe *wqe) {
    wqe->wr_id = wr->wr_id;
    wqe->remote_addr = wr->remote_addr;
    wqe->opcode = wr->opcode;
    wqe->flags = wr->flags;
    wqe->rkey = wr->rkey;
    wqe->imm = wr->imm;
    wqe->invalidate_rkey = wr->invalidate_rkey;
    wqe->done_at_post = wqe->started = false;
    if (rules->atomic) {
        wqe->compare_add = wr->compare_add;
        wqe->swap = wr->swap;
    }
    if (wr->opcode == RVT_WR_BIND_MW) {
        wqe->mw = wr->mw;
        wqe->bind = bind_of(wr);
    }
    if (qp->type == RVT_QPT_UD) {
        wqe->remote_qpn = wr->remote_qpn;
        wqe->remote_qkey = wr->remote_qkey;
    }
}

/* Posts one work request. `whole`: it is taken back if a later one of its list is refused. */
static int post_one_send(struct rvt_engine_qp *qp, const struct rvt_send_wr *wr, uint32_t index, bool whole) {
    const struct opcode_rules *rules = rules_of(wr);
    bool carried_out = false;
    struct destination to;
    int error = judge_send_wr(qp, wr, index, rules);
    if (!error && qp->type == RVT_QPT_UD)
        error = copy_destination(qp, wr, index, &to);
    if (!error && rules->local) {
        error = do_local(qp, wr, index, whole, &carried_out);
        if (!error && carried_out && !(wr->flags & RVT_SEND_SIGNALED))
            return 0; /* done: nothing is queued, even if every work request is signaled */
    }
    if (error)
        return error;
    if (qp->sq.count == qp->sq.max_wr)
        return rvt_fail_at(RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, index, qp->sq.count, qp->sq.max_wr);
    struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, qp->sq.count);
    fill_slot(qp, wr, rules, wqe);
    wqe->done_at_post = carried_out;
    if (qp->type == RVT_QPT_UD) {
        wqe->av = to.av;
        memcpy(wqe->host_ip, to.host.ip, sizeof(wqe->host_ip));
        wqe->udp_port = to.host.udp_port;
    }
    error = accept_elements(qp, wr, index, rules->local_access, wqe);
    if (!error && (wr->flags & RVT_SEND_INLINE))
        error = judge_inline(qp, index, rules, wqe);
    if (error)
        return error;
    if (rules->local && !carried_out)
        qp->delayed_invs++;
    if (!rules->local)
        count_packets(qp, wqe->length);
    qp->sq.count++;
    return 0;
}

/* Takes back the last `count` work requests, none of which was carried out. `psn`: sq_psn before they were
 * posted. */
static void take_back(struct rvt_engine_qp *qp, uint32_t count, uint32_t psn) {
    while (count--) {
        struct rvt_swqe *wqe = rvt_sq_at(&qp->sq, --qp->sq.count);
        rvt_engine_put(qp->engine, wqe->sges, wqe->num_sge);
        if (wqe->opcode == RVT_WR_LOCAL_INV || wqe->opcode == RVT_WR_BIND_MW)
            qp->delayed_invs--;
    }
    qp->attr.sq_psn = psn;
}

/* Posts work requests up to the first that is refused; with `whole`, all or none. */
static int post_sends(struct rvt_qp_handle handle, const struct rvt_send_source *source, uint32_t count,
                      bool whole, uint32_t *bad) {
    uint32_t index = 0;
    int error;
    if (bad)
        *bad = RVT_NO_BAD_WR;
    struct rvt_engine_qp *qp = rvt_lock_engine_qp(handle, &error);
    if (!qp)
        return error;
    if (qp->attr.state == RVT_QPS_RTS || qp->attr.state == RVT_QPS_SQD || qp->attr.state == RVT_QPS_ERR) {
        const uint32_t psn = qp->attr.sq_psn;
        rvt_qp_table_prefetch(&qp->engine->table, qp->attr.dest_qpn); /* the engine looks for the peer next */
        while (!error && index < count) {
            const struct rvt_send_wr *wr = source->read(source->data, index);
            error = wr ? post_one_send(qp, wr, index, whole) : rvt_fail(RVT_EINVAL, RVT_CAUSE_ARGUMENT);
            if (!error)
                index++;
        }
        if (error && whole)
            take_back(qp, index, psn);
        else if (index)
            rvt_make_ready(qp);
        if (error && bad)
            *bad = index;
        rvt_show_queues(qp);
    } else {
        error = rvt_fail_value(RVT_EINVAL, RVT_CAUSE_QP_STATE, qp->attr.state, 0);
    }
    rvt_engine_finish(qp->engine);
    return error;
}

int rvt_post_send_from(struct rvt_qp_handle handle, const struct rvt_send_source *source, uint32_t count,
                       uint32_t *bad) {
    return post_sends(handle, source, count, false, bad);
}

int rvt_post_send_whole(struct rvt_qp_handle handle, const struct rvt_send_source *source, uint32_t count,
                        uint32_t *bad) {
    return post_sends(handle, source, count, true, bad);
}

static const struct rvt_send_wr *read_array(void *data, uint32_t index) {
    return (const struct rvt_send_wr *)data + index;
}

int rvt_post_send(struct rvt_qp_handle handle, const struct rvt_send_wr *wrs, uint32_t count, uint32_t *bad) {
    const struct rvt_send_source source = {read_array, (void *)wrs};
    return rvt_post_send_from(handle, &source, count, bad);
}
