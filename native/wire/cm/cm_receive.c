/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection manager: messages that come in. */
#include <string.h>

#include "wire/cm/cm_state.h"

enum { PARTITION = 0x7fff, LEAST_MTU = 1, MOST_MTU = 5 };

/* --- answers about no connection --- */

static void answer_reject(struct rvt_cm *cm, const struct rvt_wire_peer *from,
                          const struct rvt_cm_message *question, enum rvt_cm_about about, uint16_t reason) {
    const struct rvt_cm_message answer = {
        .attribute = RVT_CM_ATTRIBUTE_REJ,
        .transaction = question->transaction,
        .local_id = question->remote_id, /* 0 for a REQ */
        .remote_id = question->local_id,
        .about = (uint8_t)about,
        .reason = reason,
    };
    rvt_cm_answer(cm, from, &answer);
}

static void refuse(struct rvt_cm *cm, const struct rvt_wire_peer *from, const struct rvt_cm_message *req,
                   uint16_t reason) {
    cm->counters.refused++;
    answer_reject(cm, from, req, RVT_CM_ABOUT_REQ, reason);
}

/* --- finding the connection --- */

/* Finds the connection that a message other than REQ is about: by the id that this end gave it. The source address must be
 * the peer's, and the peer's id the one that is known, if it is. Returns NULL if there is none. */
static struct rvt_cm_entry *find(struct rvt_cm *cm, const struct rvt_wire_peer *from,
                                 const struct rvt_cm_message *message) {
    struct rvt_cm_entry *entry = rvt_cm_find(cm, message->remote_id);
    if (!entry || entry->state == RVT_CM_GONE ||
        memcmp(entry->peer.address, from->address, sizeof(from->address)) ||
        (entry->knows_remote_id && entry->remote_id != message->local_id)) {
        cm->counters.unknown++;
        return NULL;
    }
    return entry;
}

static void store_data(struct rvt_cm_entry *entry, const unsigned char *data, uint32_t length) {
    entry->length = (uint8_t)length;
    memcpy(entry->data, data, length);
}

/* Whether a number can be that of a queue pair that is connected: 0 and 1 are special, 0xffffff is multicast. */
static bool is_queue_pair(uint32_t qpn) {
    return qpn > RVT_GSI_QP && qpn != 0xffffff;
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most) {
    return value < least ? least : value > most ? most : value;
}

/* --- REQ --- */

/* Judges the fields of a REQ. Returns 0 or the reason to refuse it. */
static uint16_t judge_req(const struct rvt_cm *cm, const struct rvt_wire_peer *from,
                          const struct rvt_cm_message *req, struct rvt_cm_ip_header *header) {
    if (req->transport != RVT_CM_TRANSPORT_RC)
        return RVT_CM_REJECT_INVALID_TRANSPORT;
    if (req->path_mtu < LEAST_MTU || req->path_mtu > MOST_MTU)
        return RVT_CM_REJECT_INVALID_MTU;
    if (memcmp(req->remote_gid, cm->address, sizeof(cm->address)))
        return RVT_CM_REJECT_INVALID_GID;
    /* Packets of the connection would come from another address than this one, to which the connection belongs. */
    if (memcmp(req->local_gid, from->address, sizeof(from->address)))
        return RVT_CM_REJECT_UNSUPPORTED;
    if (!is_queue_pair(req->qpn) || (req->pkey & PARTITION) != PARTITION)
        return RVT_CM_REJECT_UNSUPPORTED;
    if (rvt_cm_has_ip_header(req->service) &&
        (!rvt_decode_cm_ip_header(req->data, header) || header->ipv6 == rvt_is_ipv4(cm->address)))
        return RVT_CM_REJECT_UNSUPPORTED;
    return 0;
}

/* A REQ with the id of a connection that exists: the answer was lost, or it is late, or the peer uses an id twice. */
static void repeated_req(struct rvt_cm *cm, struct rvt_cm_entry *entry, const struct rvt_wire_peer *from,
                         const struct rvt_cm_message *req) {
    if (entry->active || entry->service != req->service || entry->theirs.qpn != req->qpn ||
        entry->theirs.psn != req->psn) {
        refuse(cm, from, req, RVT_CM_REJECT_DUPLICATE_ID);
        return;
    }
    cm->counters.duplicates++;
    switch ((enum rvt_cm_state)entry->state) {
    case RVT_CM_REQ_RECEIVED:
        rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_MRA);
        break;
    case RVT_CM_REP_SENT:
        rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_REP);
        break;
    case RVT_CM_REJECTED:
        rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_REJ);
        break;
    case RVT_CM_DREQ_SENT:
    case RVT_CM_DREQ_RECEIVED:
    case RVT_CM_TIME_WAIT:
        answer_reject(cm, from, req, RVT_CM_ABOUT_REQ, RVT_CM_REJECT_STALE);
        break;
    default: /* established: it was overtaken by the RTU */
        break;
    }
}

/* A REQ with a queue pair that has a connection here: the peer has forgotten that connection. */
static void stale_req(struct rvt_cm *cm, struct rvt_cm_entry *entry, const struct rvt_wire_peer *from,
                      const struct rvt_cm_message *req, uint64_t now) {
    cm->counters.stale++;
    refuse(cm, from, req, RVT_CM_REJECT_STALE);
    if (entry->state != RVT_CM_ESTABLISHED)
        return; /* it ends by itself, or has ended */
    rvt_cm_disconnect(cm, entry->local_id, now);
    rvt_cm_tell(cm, entry, RVT_CM_EVENT_DISCONNECT);
}

static void take_req(struct rvt_cm *cm, struct rvt_cm_listener *listener, const struct rvt_wire_peer *from,
                     const struct rvt_cm_message *req, const struct rvt_cm_ip_header *header, uint64_t now) {
    struct rvt_cm_entry *entry;
    if (listener->half_open >= listener->backlog || !(entry = rvt_cm_take_entry(cm))) {
        cm->counters.overflows++;
        return;
    }
    entry->peer = *from;
    entry->remote_id = req->local_id;
    entry->transaction = req->transaction;
    entry->transaction_of_dreq = req->transaction + 1;
    entry->service = req->service;
    entry->listener = listener->id;
    entry->source_port = header->source_port;
    entry->theirs = (struct rvt_cm_offer){
        .qpn = req->qpn,
        .psn = req->psn,
        .responder_resources = req->responder_resources,
        .initiator_depth = req->initiator_depth,
        .path_mtu = req->path_mtu,
        .retry_count = req->retry_count,
        .rnr_retry_count = req->rnr_retry_count,
        .ack_timeout = req->ack_timeout,
        .srq = req->srq,
    };
    /* How long the peer says that it needs for an RTU, within limits. */
    entry->interval =
        clamp(rvt_cm_microseconds(req->local_response_timeout), RVT_CM_LEAST_INTERVAL, RVT_CM_MOST_INTERVAL);
    entry->retries = req->max_cm_retries < RVT_CM_REP_RETRIES ? req->max_cm_retries : RVT_CM_REP_RETRIES;
    const uint32_t skip = rvt_cm_has_ip_header(req->service) ? RVT_CM_IP_HEADER : 0;
    store_data(entry, req->data + skip, RVT_CM_REQ_DATA - skip);
    rvt_cm_add_remote_id(cm, entry);
    rvt_cm_add_remote_qp(cm, entry);
    rvt_cm_enter(cm, entry, RVT_CM_REQ_RECEIVED, now, RVT_CM_HOST_TIME);
    rvt_cm_tell(cm, entry, RVT_CM_EVENT_REQUEST);
    cm->counters.requests++;
}

static void receive_req(struct rvt_cm *cm, const struct rvt_wire_peer *from, const struct rvt_cm_message *req,
                        uint64_t now) {
    struct rvt_cm_ip_header header = {0};
    const uint16_t reason = judge_req(cm, from, req, &header);
    struct rvt_cm_listener *listener;
    struct rvt_cm_entry *entry;
    if (reason)
        refuse(cm, from, req, reason);
    else if ((entry = rvt_cm_find_remote_id(cm, from->address, req->local_id)))
        repeated_req(cm, entry, from, req);
    else if ((entry = rvt_cm_find_remote_qp(cm, from->address, req->qpn)))
        stale_req(cm, entry, from, req, now);
    else if (cm->host.limited && cm->host.limited(cm->host.data, from->address, now))
        refuse(cm, from, req, RVT_CM_REJECT_NO_RESOURCES);
    else if (!(listener = rvt_cm_find_service(cm, req->service)))
        refuse(cm, from, req, RVT_CM_REJECT_INVALID_SERVICE);
    else
        take_req(cm, listener, from, req, &header, now);
}

/* --- REP, RTU, REJ, MRA --- */

/* The active side gives a reply up that it cannot use. */
static void fail_reply(struct rvt_cm *cm, struct rvt_cm_entry *entry, const struct rvt_wire_peer *from,
                       const struct rvt_cm_message *rep, uint16_t reason) {
    answer_reject(cm, from, rep, RVT_CM_ABOUT_REP, reason);
    entry->reason = reason;
    entry->length = 0;
    rvt_cm_tell(cm, entry, RVT_CM_EVENT_REJECTED);
    rvt_cm_end(cm, entry);
}

static void receive_rep(struct rvt_cm *cm, const struct rvt_wire_peer *from, const struct rvt_cm_message *rep,
                        uint64_t now) {
    struct rvt_cm_entry *entry = find(cm, from, rep);
    if (!entry || !entry->active) {
        answer_reject(cm, from, rep, RVT_CM_ABOUT_REP, RVT_CM_REJECT_INVALID_ID);
        return;
    }
    if (entry->state != RVT_CM_REQ_SENT) {
        cm->counters.duplicates++;
        if (entry->state == RVT_CM_ESTABLISHED) /* the RTU was lost */
            rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_RTU);
        return;
    }
    if (!is_queue_pair(rep->qpn)) {
        fail_reply(cm, entry, from, rep, RVT_CM_REJECT_UNSUPPORTED);
        return;
    }
    const struct rvt_cm_entry *same_qp = rvt_cm_find_remote_qp(cm, from->address, rep->qpn);
    const struct rvt_cm_entry *same_id = rvt_cm_find_remote_id(cm, from->address, rep->local_id);
    if (same_qp || same_id) {
        cm->counters.stale++;
        fail_reply(cm, entry, from, rep, same_qp ? RVT_CM_REJECT_STALE : RVT_CM_REJECT_DUPLICATE_ID);
        return;
    }
    entry->remote_id = rep->local_id;
    entry->theirs = (struct rvt_cm_offer){
        .qpn = rep->qpn,
        .psn = rep->psn,
        .responder_resources = rep->responder_resources,
        .initiator_depth = rep->initiator_depth,
        .path_mtu = entry->own.path_mtu,
        .rnr_retry_count = rep->rnr_retry_count,
        .srq = rep->srq,
    };
    store_data(entry, rep->data, RVT_CM_REP_DATA);
    rvt_cm_add_remote_id(cm, entry);
    rvt_cm_add_remote_qp(cm, entry);
    rvt_cm_enter(cm, entry, RVT_CM_REP_RECEIVED, now, RVT_CM_HOST_TIME);
    rvt_cm_tell(cm, entry, RVT_CM_EVENT_REPLY);
}

static void receive_rtu(struct rvt_cm *cm, const struct rvt_wire_peer *from, const struct rvt_cm_message *rtu,
                        uint64_t now) {
    struct rvt_cm_entry *entry = find(cm, from, rtu);
    if (!entry)
        return;
    if (entry->state != RVT_CM_REP_SENT) {
        cm->counters.duplicates++;
        return;
    }
    rvt_cm_enter(cm, entry, RVT_CM_ESTABLISHED, now, UINT64_MAX);
    rvt_cm_tell(cm, entry, RVT_CM_EVENT_ESTABLISHED);
}

static void tell_rejected(struct rvt_cm *cm, struct rvt_cm_entry *entry, const struct rvt_cm_message *rej) {
    entry->reason = rej->reason;
    store_data(entry, rej->data, RVT_CM_REJ_DATA);
    rvt_cm_tell(cm, entry, RVT_CM_EVENT_REJECTED);
}

static void receive_rej(struct rvt_cm *cm, const struct rvt_wire_peer *from, const struct rvt_cm_message *rej,
                        uint64_t now) {
    /* A peer that gives its REQ up may not know the id here. */
    struct rvt_cm_entry *entry = !rej->remote_id && rej->reason == RVT_CM_REJECT_TIMEOUT
                                     ? rvt_cm_find_remote_id(cm, from->address, rej->local_id)
                                     : find(cm, from, rej);
    if (!entry || entry->state == RVT_CM_GONE)
        return;
    switch ((enum rvt_cm_state)entry->state) {
    case RVT_CM_REQ_SENT:
    case RVT_CM_REP_RECEIVED:
        rvt_cm_untell(cm, entry, RVT_CM_EVENT_REPLY);
        tell_rejected(cm, entry, rej);
        rvt_cm_end(cm, entry);
        break;
    case RVT_CM_REQ_RECEIVED:
    case RVT_CM_REP_SENT:
        /* A request that the host was not told is as if it had never been. But a late REQ must not begin it again. */
        if (!rvt_cm_untell(cm, entry, RVT_CM_EVENT_REQUEST))
            tell_rejected(cm, entry, rej);
        rvt_cm_wait(cm, entry, now);
        rvt_cm_forget_queue_pairs(entry);
        break;
    case RVT_CM_ESTABLISHED: /* the peer has waited for the RTU in vain */
        rvt_cm_tell(cm, entry, RVT_CM_EVENT_DISCONNECT);
        rvt_cm_wait(cm, entry, now);
        break;
    default:
        cm->counters.duplicates++;
        break;
    }
}

static void receive_mra(struct rvt_cm *cm, const struct rvt_wire_peer *from, const struct rvt_cm_message *mra,
                        uint64_t now) {
    struct rvt_cm_entry *entry = find(cm, from, mra);
    if (!entry)
        return;
    const bool fits = entry->state == RVT_CM_REQ_SENT   ? mra->about == RVT_CM_ABOUT_REQ
                      : entry->state == RVT_CM_REP_SENT ? mra->about == RVT_CM_ABOUT_REP
                                                        : false;
    if (!fits || entry->mras == RVT_CM_MOST_MRAS) {
        cm->counters.duplicates++;
        return;
    }
    entry->mras++;
    /* From now on, until the end of that time, and as long as one repetition may take. */
    rvt_cm_enter(cm, entry, (enum rvt_cm_state)entry->state, now,
                 clamp(rvt_cm_microseconds(mra->service_timeout), entry->interval, RVT_CM_MOST_MRA_TIME));
}

/* --- DREQ, DREP, and what is not supported --- */

static void receive_dreq(struct rvt_cm *cm, const struct rvt_wire_peer *from,
                         const struct rvt_cm_message *dreq, uint64_t now) {
    struct rvt_cm_entry *entry = find(cm, from, dreq);
    if (!entry || !entry->knows_remote_id) {
        /* The peer ends a connection that is forgotten here: it need not wait. */
        const struct rvt_cm_message answer = {
            .attribute = RVT_CM_ATTRIBUTE_DREP,
            .transaction = dreq->transaction,
            .local_id = dreq->remote_id,
            .remote_id = dreq->local_id,
        };
        rvt_cm_answer(cm, from, &answer);
        return;
    }
    if (dreq->qpn != entry->own.qpn) {
        cm->counters.unknown++;
        return;
    }
    switch ((enum rvt_cm_state)entry->state) {
    case RVT_CM_ESTABLISHED:
    case RVT_CM_REP_SENT: /* the RTU was lost */
    case RVT_CM_REP_RECEIVED:
        rvt_cm_untell(cm, entry, RVT_CM_EVENT_REPLY);
        entry->transaction_of_dreq = dreq->transaction;
        entry->due = 0; /* an RTU that has not left is not needed any more */
        rvt_fifo_remove(&cm->output, &entry->in_output);
        rvt_cm_enter(cm, entry, RVT_CM_DREQ_RECEIVED, now, RVT_CM_HOST_TIME);
        rvt_cm_tell(cm, entry, RVT_CM_EVENT_DISCONNECT);
        break;
    case RVT_CM_DREQ_SENT: /* both at once */
        entry->transaction_of_dreq = dreq->transaction;
        rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_DREP);
        rvt_cm_tell(cm, entry, RVT_CM_EVENT_DISCONNECTED);
        rvt_cm_wait(cm, entry, now);
        break;
    case RVT_CM_TIME_WAIT: /* the DREP was lost */
        cm->counters.duplicates++;
        entry->transaction_of_dreq = dreq->transaction;
        rvt_cm_queue(cm, entry, RVT_CM_ATTRIBUTE_DREP);
        break;
    default:
        cm->counters.duplicates++;
        break;
    }
}

static void receive_drep(struct rvt_cm *cm, const struct rvt_wire_peer *from,
                         const struct rvt_cm_message *drep, uint64_t now) {
    struct rvt_cm_entry *entry = find(cm, from, drep);
    if (!entry)
        return;
    if (entry->state != RVT_CM_DREQ_SENT) {
        cm->counters.duplicates++;
        return;
    }
    rvt_cm_tell(cm, entry, RVT_CM_EVENT_DISCONNECTED);
    rvt_cm_wait(cm, entry, now);
}

/* Alternate paths are not supported. */
static void receive_lap(struct rvt_cm *cm, const struct rvt_wire_peer *from,
                        const struct rvt_cm_message *lap) {
    const struct rvt_cm_entry *entry = find(cm, from, lap);
    if (!entry || entry->state != RVT_CM_ESTABLISHED)
        return;
    const struct rvt_cm_message answer = {
        .attribute = RVT_CM_ATTRIBUTE_APR,
        .transaction = lap->transaction,
        .local_id = entry->local_id,
        .remote_id = entry->remote_id,
        .status = RVT_CM_APR_UNSUPPORTED,
    };
    rvt_cm_answer(cm, from, &answer);
}

/* Nor are datagram services. */
static void receive_sidr_req(struct rvt_cm *cm, const struct rvt_wire_peer *from,
                             const struct rvt_cm_message *req) {
    const struct rvt_cm_message answer = {
        .attribute = RVT_CM_ATTRIBUTE_SIDR_REP,
        .transaction = req->transaction,
        .local_id = req->local_id,
        .status = RVT_CM_SIDR_SERVICE_UNSUPPORTED,
        .service = req->service,
    };
    rvt_cm_answer(cm, from, &answer);
}

void rvt_cm_receive(struct rvt_cm *cm, const struct rvt_wire_peer *from, const unsigned char *bytes,
                    uint32_t length, uint64_t now) {
    struct rvt_cm_message message;
    cm->counters.received++;
    if (!rvt_decode_cm(bytes, length, &message)) {
        cm->counters.malformed++;
        return;
    }
    switch ((enum rvt_cm_attribute)message.attribute) {
    case RVT_CM_ATTRIBUTE_REQ:
        receive_req(cm, from, &message, now);
        break;
    case RVT_CM_ATTRIBUTE_REP:
        receive_rep(cm, from, &message, now);
        break;
    case RVT_CM_ATTRIBUTE_RTU:
        receive_rtu(cm, from, &message, now);
        break;
    case RVT_CM_ATTRIBUTE_REJ:
        receive_rej(cm, from, &message, now);
        break;
    case RVT_CM_ATTRIBUTE_MRA:
        receive_mra(cm, from, &message, now);
        break;
    case RVT_CM_ATTRIBUTE_DREQ:
        receive_dreq(cm, from, &message, now);
        break;
    case RVT_CM_ATTRIBUTE_DREP:
        receive_drep(cm, from, &message, now);
        break;
    case RVT_CM_ATTRIBUTE_LAP:
        receive_lap(cm, from, &message);
        break;
    case RVT_CM_ATTRIBUTE_SIDR_REQ:
        receive_sidr_req(cm, from, &message);
        break;
    case RVT_CM_ATTRIBUTE_APR: /* answers to what is never asked */
    case RVT_CM_ATTRIBUTE_SIDR_REP:
        cm->counters.unknown++;
        break;
    }
}
