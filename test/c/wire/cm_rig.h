/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection manager whose peers are the test: it gives messages and takes them one by one. */
#ifndef RVT_TEST_CM_RIG_H
#define RVT_TEST_CM_RIG_H

#include "core/base/alloc.h"
#include "packets.h"
#include "wire/cm/cm.h"

enum { SERVICE_PORT = 7174, PEER_ID = 0x12345678, PEER_QPN = 0x1b, OWN_QPN = 0x1234, PEER_PSN = 0x405100 };

static const uint64_t cm_service = 0x0000000001060000 + SERVICE_PORT;
static const uint8_t own_address[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 2, 2};
static const struct rvt_wire_peer rig_peer = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 2, 15}, 4791};

struct cm_rig {
    struct rvt_cm *cm;
    uint32_t listener;
    uint64_t now;
    unsigned changes;
    bool limited;
    long live;
    struct rvt_wire_peer to;   /* of the last message taken */
    unsigned char mad[256];    /* the last message taken */
    struct rvt_cm_event event; /* the last event taken */
};

static inline void rig_changed(void *data) {
    ((struct cm_rig *)data)->changes++;
}

static inline bool rig_limited(void *data, const uint8_t address[16], uint64_t now) {
    const struct cm_rig *rig = data;
    CHECK_BYTES_EQ(address, rig_peer.address, 15);
    CHECK_EQ(now, rig->now);
    return rig->limited;
}

/* Opens a connection manager with a listener for cm_service. */
static inline bool rig_open(struct cm_rig *rig) {
    memset(rig, 0, sizeof(*rig));
    rig->live = rvt_test_alloc_live();
    rig->now = 1000000;
    const struct rvt_cm_host host = {rig_changed, rig_limited, rig};
    const int error = rvt_cm_open(own_address, &host, &rig->cm);
    return check_equal((uint64_t)error, 0, "opening", "0", __FILE__, __LINE__) &&
           check_equal((uint64_t)rvt_cm_listen(rig->cm, cm_service, 8, &rig->listener), 0, "listening", "0",
                       __FILE__, __LINE__);
}

static inline void rig_close(struct cm_rig *rig) {
    rvt_cm_close(rig->cm);
    CHECK_EQ(rvt_test_alloc_live(), rig->live);
}

static inline struct rvt_cm_counters rig_counts(const struct cm_rig *rig) {
    struct rvt_cm_counters counters;
    rvt_cm_count(rig->cm, &counters);
    return counters;
}

/* --- messages to the connection manager --- */

static inline void rig_give_from(struct cm_rig *rig, const struct rvt_wire_peer *from,
                                 const struct rvt_cm_message *message) {
    unsigned char mad[256];
    rvt_encode_cm(message, mad);
    unsigned char *bytes = copy_exactly(mad, sizeof(mad));
    rvt_cm_receive(rig->cm, from, bytes, sizeof(mad), rig->now);
    free(bytes);
}

static inline void rig_give(struct cm_rig *rig, struct rvt_cm_message message) {
    rig_give_from(rig, &rig_peer, &message);
}

/* A REQ of the peer, as Linux's rdma_cm writes it. */
static inline struct rvt_cm_message req_of(uint32_t id, uint32_t qpn) {
    static unsigned char data[RVT_CM_REQ_DATA];
    const struct rvt_cm_ip_header header = {.source_port = 0x92f6};
    struct rvt_cm_message req = {
        .attribute = RVT_CM_ATTRIBUTE_REQ,
        .transaction = 0x200000000 + id,
        .local_id = id,
        .service = cm_service,
        .guid = 0x50540afffe00020f,
        .qpn = qpn,
        .psn = PEER_PSN,
        .responder_resources = 3,
        .initiator_depth = 2,
        .remote_response_timeout = 20,
        .local_response_timeout = 20,
        .retry_count = 7,
        .rnr_retry_count = 6,
        .pkey = 0xffff,
        .path_mtu = 3,
        .max_cm_retries = 15,
        .ack_timeout = 19,
        .data = data,
        .data_length = sizeof(data),
    };
    memset(data, 0, sizeof(data));
    rvt_encode_cm_ip_header(&header, data);
    memcpy(data + RVT_CM_IP_HEADER, "hello", 5);
    memcpy(req.local_gid, rig_peer.address, 16);
    memcpy(req.remote_gid, own_address, 16);
    return req;
}

/* A message about a connection: the peer's id is PEER_ID. */
static inline struct rvt_cm_message about(unsigned attribute, uint32_t own_id) {
    return (struct rvt_cm_message){
        .attribute = (uint16_t)attribute, .transaction = 77, .local_id = PEER_ID, .remote_id = own_id};
}

static inline struct rvt_cm_message rep_of(uint32_t own_id) {
    struct rvt_cm_message rep = about(RVT_CM_ATTRIBUTE_REP, own_id);
    rep.qpn = PEER_QPN;
    rep.psn = PEER_PSN;
    rep.responder_resources = 5;
    rep.initiator_depth = 4;
    rep.rnr_retry_count = 7;
    rep.data = (const unsigned char *)"welcome";
    rep.data_length = 7;
    return rep;
}

static inline struct rvt_cm_message dreq_of(uint32_t own_id) {
    struct rvt_cm_message dreq = about(RVT_CM_ATTRIBUTE_DREQ, own_id);
    dreq.qpn = OWN_QPN;
    return dreq;
}

/* --- messages and events of the connection manager --- */

/* Takes the next message; .attribute is 0 if there is none. */
static inline struct rvt_cm_message rig_take(struct cm_rig *rig) {
    struct rvt_cm_message message;
    memset(rig->mad, 0xee, sizeof(rig->mad));
    const bool there = rvt_cm_has_output(rig->cm);
    CHECK_EQ(rvt_cm_send(rig->cm, &rig->to, rig->mad), there);
    if (!there)
        return (struct rvt_cm_message){0};
    CHECK(rvt_decode_cm(rig->mad, sizeof(rig->mad), &message));
    CHECK_BYTES_EQ(rig->to.address, rig_peer.address, 16);
    CHECK_EQ(rig->to.port, rig_peer.port);
    return message;
}

#define SENDS(rig, kind) CHECK_EQ(rig_take(rig).attribute, RVT_CM_ATTRIBUTE_##kind)
#define SENDS_NOTHING(rig) CHECK_EQ(rig_take(rig).attribute, 0)

/* Takes the next event; returns its kind, or NONE. */
static inline enum rvt_cm_event_kind rig_event(struct cm_rig *rig) {
    memset(&rig->event, 0xee, sizeof(rig->event));
    const bool there = rvt_cm_has_event(rig->cm);
    CHECK_EQ(rvt_cm_take_event(rig->cm, &rig->event), there);
    return there ? rig->event.kind : RVT_CM_EVENT_NONE;
}

#define TELLS(rig, kind) CHECK_EQ(rig_event(rig), RVT_CM_EVENT_##kind)

/* --- time --- */

static inline void rig_pass(struct cm_rig *rig, uint64_t microseconds) {
    rig->now += microseconds;
    const uint64_t next = rvt_cm_tick(rig->cm, rig->now);
    CHECK(next > rig->now);
    CHECK_EQ(next, rvt_cm_deadline(rig->cm));
}

/* --- usual ways --- */

static inline struct rvt_cm_offer own_offer(void) {
    return (struct rvt_cm_offer){.qpn = OWN_QPN,
                                 .psn = 0xabcdef,
                                 .responder_resources = 2,
                                 .initiator_depth = 3,
                                 .path_mtu = 5,
                                 .retry_count = 5,
                                 .rnr_retry_count = 4,
                                 .ack_timeout = 14};
}

static inline int rig_accept(struct cm_rig *rig, uint32_t id) {
    const struct rvt_cm_offer offer = own_offer();
    return rvt_cm_accept(rig->cm, id, &offer, (const unsigned char *)"yes", 3, rig->now);
}

/* A request that the host was told. Returns its id. */
static inline uint32_t rig_request(struct cm_rig *rig) {
    rig_give(rig, req_of(PEER_ID, PEER_QPN));
    TELLS(rig, REQUEST);
    SENDS_NOTHING(rig);
    return rig->event.id;
}

static inline uint32_t rig_accepted(struct cm_rig *rig) {
    const uint32_t id = rig_request(rig);
    CHECK_EQ(rig_accept(rig, id), 0);
    SENDS(rig, REP);
    return id;
}

/* An established passive connection. */
static inline uint32_t rig_passive(struct cm_rig *rig) {
    const uint32_t id = rig_accepted(rig);
    rig_give(rig, about(RVT_CM_ATTRIBUTE_RTU, id));
    TELLS(rig, ESTABLISHED);
    return id;
}

static inline struct rvt_cm_ask usual_ask(void) {
    return (struct rvt_cm_ask){.peer = rig_peer,
                               .service = cm_service,
                               .offer = own_offer(),
                               .data = (const unsigned char *)"hi",
                               .length = 2,
                               .interval = 500000,
                               .retries = 3};
}

static inline uint32_t rig_asked(struct cm_rig *rig) {
    const struct rvt_cm_ask ask = usual_ask();
    uint32_t id = 0;
    CHECK_EQ(rvt_cm_connect(rig->cm, &ask, rig->now, &id), 0);
    SENDS(rig, REQ);
    return id;
}

/* An established active connection. */
static inline uint32_t rig_active(struct cm_rig *rig) {
    const uint32_t id = rig_asked(rig);
    rig_give(rig, rep_of(id));
    TELLS(rig, REPLY);
    CHECK_EQ(rvt_cm_confirm(rig->cm, id, rig->now), 0);
    SENDS(rig, RTU);
    return id;
}

#endif
