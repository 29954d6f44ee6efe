/* SPDX-License-Identifier: BSD-3-Clause */
/* The state machine of the connection manager: each message in each state, time, limits, and hostile messages. */
#include "wire/cm/cm.h"

#include "../engine/verbs.h"
#include "cm_rig.h"

enum { SECOND = 1000000 };

/* --- the passive side --- */

static void accepts(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    rig_give(&rig, req_of(PEER_ID, PEER_QPN));
    TELLS(&rig, REQUEST);
    const struct rvt_cm_event event = rig.event;
    CHECK_EQ(event.listener, rig.listener);
    CHECK_BYTES_EQ(&event.peer, &rig_peer, sizeof(rig_peer));
    CHECK_EQ(event.service, cm_service);
    CHECK_EQ(event.source_port, 0x92f6);
    CHECK_EQ(event.offer.qpn, PEER_QPN);
    CHECK_EQ(event.offer.psn, PEER_PSN);
    CHECK_EQ(event.offer.responder_resources, 3);
    CHECK_EQ(event.offer.initiator_depth, 2);
    CHECK_EQ(event.offer.path_mtu, 3);
    CHECK_EQ(event.offer.retry_count, 7);
    CHECK_EQ(event.offer.rnr_retry_count, 6);
    CHECK_EQ(event.offer.ack_timeout, 19);
    CHECK_EQ(event.length, RVT_CM_IP_DATA);
    CHECK_BYTES_EQ(event.data, "hello\0", 6);
    CHECK_EQ(rig_counts(&rig).half_open, 1);
    SENDS_NOTHING(&rig);
    CHECK_EQ(rig_accept(&rig, event.id), 0);
    const struct rvt_cm_message rep = rig_take(&rig);
    CHECK_EQ(rep.attribute, RVT_CM_ATTRIBUTE_REP);
    CHECK_EQ(rep.transaction, 0x200000000 + PEER_ID);
    CHECK_EQ(rep.local_id, event.id);
    CHECK_EQ(rep.remote_id, PEER_ID);
    CHECK_EQ(rep.qpn, OWN_QPN);
    CHECK_EQ(rep.psn, 0xabcdef);
    CHECK_EQ(rep.responder_resources, 2);
    CHECK_EQ(rep.initiator_depth, 3);
    CHECK_EQ(rep.rnr_retry_count, 4);
    CHECK(rep.guid);
    CHECK_BYTES_EQ(rep.data, "yes\0", 4);
    CHECK_EQ(rig_counts(&rig).half_open, 1);
    rig_give(&rig, about(RVT_CM_ATTRIBUTE_RTU, event.id));
    TELLS(&rig, ESTABLISHED);
    CHECK_EQ(rig.event.id, event.id);
    TELLS(&rig, NONE);
    SENDS_NOTHING(&rig);
    CHECK_EQ(rig_counts(&rig).half_open, 0);
    CHECK_EQ(rig_counts(&rig).open, 1);
    CHECK_EQ(rig_counts(&rig).requests, 1);
    /* Established for ever. */
    rig.now += 3600 * (uint64_t)SECOND;
    CHECK_EQ(rvt_cm_tick(rig.cm, rig.now), UINT64_MAX);
    rig_close(&rig);
}

static void rejects(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_request(&rig);
    CHECK_EQ(rvt_cm_reject(rig.cm, id, (const unsigned char *)"no", 2, rig.now), 0);
    for (int i = 0; i < 2; i++) {
        const struct rvt_cm_message rej = rig_take(&rig);
        CHECK_EQ(rej.attribute, RVT_CM_ATTRIBUTE_REJ);
        CHECK_EQ(rej.transaction, 0x200000000 + PEER_ID);
        CHECK_EQ(rej.remote_id, PEER_ID);
        CHECK_EQ(rej.about, RVT_CM_ABOUT_REQ);
        CHECK_EQ(rej.reason, RVT_CM_REJECT_PROGRAM);
        CHECK_BYTES_EQ(rej.data, "no\0", 3);
        SENDS_NOTHING(&rig);
        rig_give(&rig, req_of(PEER_ID, PEER_QPN)); /* the REJ was lost: the same again, and no event */
    }
    SENDS(&rig, REJ);
    TELLS(&rig, NONE);
    CHECK_EQ(rig_counts(&rig).half_open, 0);
    FAILS(rig_accept(&rig, id), RVT_EINVAL, RVT_CAUSE_CONNECTION_STATE);
    FAILS(rvt_cm_reject(rig.cm, id, NULL, 0, rig.now), RVT_EINVAL, RVT_CAUSE_CONNECTION_STATE);
    /* Its queue pair may ask again at once, with another id. */
    rig_give(&rig, req_of(PEER_ID + 1, PEER_QPN));
    TELLS(&rig, REQUEST);
    rvt_cm_reject(rig.cm, rig.event.id, NULL, 0, rig.now);
    SENDS(&rig, REJ);
    rig_pass(&rig, 11 * SECOND);
    CHECK_EQ(rig_counts(&rig).open, 0);
    FAILS(rvt_cm_reject(rig.cm, id, NULL, 0, rig.now), RVT_EBADF, RVT_CAUSE_CONNECTION_GONE);
    rig_close(&rig);
}

/* Each field of a REQ that is not what this end can use, and the reason that the peer gets. */
static void judges_each_field(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    struct rvt_cm_message bad[16];
    uint16_t reasons[16];
    unsigned count = 0;
    unsigned char data[RVT_CM_REQ_DATA] = {0, 0x40};
#define BAD(member, value, why)                                                                              \
    do {                                                                                                     \
        bad[count] = req_of(PEER_ID, PEER_QPN);                                                              \
        bad[count].member = (value);                                                                         \
        reasons[count++] = RVT_CM_REJECT_##why;                                                              \
    } while (0)
    BAD(transport, 1, INVALID_TRANSPORT);
    BAD(transport, 3, INVALID_TRANSPORT);
    BAD(path_mtu, 0, INVALID_MTU);
    BAD(path_mtu, 6, INVALID_MTU);
    BAD(path_mtu, 15, INVALID_MTU);
    BAD(remote_gid[15], 3, INVALID_GID);
    BAD(local_gid[15], 16, UNSUPPORTED);
    BAD(qpn, 0, UNSUPPORTED);
    BAD(qpn, 1, UNSUPPORTED);
    BAD(qpn, 0xffffff, UNSUPPORTED);
    BAD(pkey, 0x8001, UNSUPPORTED);
    BAD(service, cm_service + 1, INVALID_SERVICE);
    BAD(service, 0x1000000000000000, INVALID_SERVICE);
#undef BAD
    for (unsigned i = 0; i < count; i++) {
        rig_give(&rig, bad[i]);
        const struct rvt_cm_message rej = rig_take(&rig);
        CHECK_EQ(rej.attribute, RVT_CM_ATTRIBUTE_REJ);
        CHECK_EQ(rej.reason, reasons[i]);
        CHECK_EQ(rej.remote_id, PEER_ID);
        CHECK_EQ(rej.local_id, 0);
        CHECK_EQ(rej.about, RVT_CM_ABOUT_REQ);
        CHECK_EQ(rej.transaction, 0x200000000 + PEER_ID);
        SENDS_NOTHING(&rig);
        TELLS(&rig, NONE);
    }
    /* The header of RDMA-CM: another version, no family, another family than the endpoint's. */
    static const unsigned char heads[][2] = {{1, 0x40}, {0, 0x50}, {0, 0x00}, {0, 0x60}};
    for (unsigned i = 0; i < 4; i++) {
        struct rvt_cm_message req = req_of(PEER_ID, PEER_QPN);
        memcpy(data, heads[i], 2);
        req.data = data;
        rig_give(&rig, req);
        CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_UNSUPPORTED);
        TELLS(&rig, NONE);
    }
    CHECK_EQ(rig_counts(&rig).refused, count + 4);
    CHECK_EQ(rig_counts(&rig).open, 0);
    /* A source that has had too many refusals. */
    rig.limited = true;
    rig_give(&rig, req_of(PEER_ID, PEER_QPN));
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_NO_RESOURCES);
    TELLS(&rig, NONE);
    rig_close(&rig);
}

/* A service that is not of RDMA-CM has all of the private data. */
static void listens_for_other_services(void) {
    struct cm_rig rig;
    uint32_t listener;
    unsigned char data[RVT_CM_REQ_DATA];
    REQUIRE(rig_open(&rig));
    CHECK_EQ(rvt_cm_listen(rig.cm, 0x1122334455667788, 1, &listener), 0);
    CHECK(listener != rig.listener);
    struct rvt_cm_message req = req_of(PEER_ID, PEER_QPN);
    req.service = 0x1122334455667788;
    memset(data, 0x77, sizeof(data));
    req.data = data;
    rig_give(&rig, req);
    TELLS(&rig, REQUEST);
    CHECK_EQ(rig.event.listener, listener);
    CHECK_EQ(rig.event.length, RVT_CM_REQ_DATA);
    CHECK_EQ(rig.event.source_port, 0);
    CHECK_BYTES_EQ(rig.event.data, data, sizeof(data));
    rig_close(&rig);
}

static void repeats_what_was_lost(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_request(&rig);
    /* While the program thinks: one MRA for each repetition. */
    rig_give(&rig, req_of(PEER_ID, PEER_QPN));
    struct rvt_cm_message mra = rig_take(&rig);
    CHECK_EQ(mra.attribute, RVT_CM_ATTRIBUTE_MRA);
    CHECK_EQ(mra.about, RVT_CM_ABOUT_REQ);
    CHECK_EQ(mra.service_timeout, 24);
    CHECK_EQ(mra.remote_id, PEER_ID);
    SENDS_NOTHING(&rig);
    TELLS(&rig, NONE);
    CHECK_EQ(rig_accept(&rig, id), 0);
    SENDS(&rig, REP);
    unsigned char first[256];
    memcpy(first, rig.mad, sizeof(first));
    rig_give(&rig, req_of(PEER_ID, PEER_QPN));
    SENDS(&rig, REP);
    CHECK_BYTES_EQ(rig.mad, first, sizeof(first));
    /* Nobody confirms: it is repeated as often as is allowed, at the peer's interval. */
    for (int i = 0; i < RVT_CM_REP_RETRIES; i++) {
        rig_pass(&rig, 4 * SECOND);
        SENDS_NOTHING(&rig);
        rig_pass(&rig, SECOND / 2);
        SENDS(&rig, REP);
        CHECK_BYTES_EQ(rig.mad, first, sizeof(first));
    }
    TELLS(&rig, NONE);
    CHECK_EQ(rig_counts(&rig).half_open, 1);
    rig_pass(&rig, 5 * SECOND);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_TIMEOUT);
    TELLS(&rig, TIMEOUT);
    CHECK_EQ(rig_counts(&rig).half_open, 0);
    CHECK_EQ(rig_counts(&rig).timeouts, 1);
    CHECK_EQ(rig_counts(&rig).repeated, RVT_CM_REP_RETRIES);
    /* An RTU that is too late has no effect. */
    rig_give(&rig, about(RVT_CM_ATTRIBUTE_RTU, id));
    TELLS(&rig, NONE);
    rig_pass(&rig, 10 * SECOND);
    CHECK_EQ(rig_counts(&rig).open, 0);
    rig_close(&rig);
}

static void a_peer_gets_time_by_mra(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_accepted(&rig);
    struct rvt_cm_message mra = about(RVT_CM_ATTRIBUTE_MRA, id);
    mra.about = RVT_CM_ABOUT_REQ; /* not about the REP */
    mra.service_timeout = 22;
    rig_give(&rig, mra);
    rig_pass(&rig, 5 * SECOND);
    SENDS(&rig, REP);
    mra.about = RVT_CM_ABOUT_REP;
    rig_give(&rig, mra);
    rig_pass(&rig, 17 * SECOND);
    SENDS_NOTHING(&rig);
    rig_pass(&rig, SECOND);
    SENDS(&rig, REP);
    /* Not for ever. */
    mra.service_timeout = 31;
    for (int i = 0; i < 20; i++) {
        rig_give(&rig, mra);
        rig_pass(&rig, 121 * SECOND);
        rig_take(&rig);
    }
    TELLS(&rig, TIMEOUT);
    rig_close(&rig);
}

static void a_host_that_does_not_answer(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_request(&rig);
    rig_pass(&rig, 59 * SECOND);
    SENDS_NOTHING(&rig);
    rig_pass(&rig, 2 * SECOND);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_TIMEOUT);
    TELLS(&rig, TIMEOUT);
    FAILS(rig_accept(&rig, id), RVT_EBADF, RVT_CAUSE_CONNECTION_GONE);
    /* One that was never told either learns nothing at all. */
    rig_give(&rig, req_of(PEER_ID + 1, PEER_QPN + 1));
    rig_pass(&rig, 61 * SECOND);
    SENDS(&rig, REJ);
    TELLS(&rig, NONE);
    rig_pass(&rig, 11 * SECOND);
    CHECK_EQ(rig_counts(&rig).open, 0);
    CHECK_EQ(rig_counts(&rig).timeouts, 2);
    rig_close(&rig);
}

static void a_peer_takes_its_request_back(void) {
    struct cm_rig rig;
    struct rvt_cm_message rej = {
        .attribute = RVT_CM_ATTRIBUTE_REJ, .local_id = PEER_ID, .reason = RVT_CM_REJECT_TIMEOUT};
    REQUIRE(rig_open(&rig));
    /* Before the host was told: it never is. */
    rig_give(&rig, req_of(PEER_ID, PEER_QPN));
    rig_give(&rig, rej);
    TELLS(&rig, NONE);
    CHECK_EQ(rig_counts(&rig).half_open, 0);
    rig_give(&rig, req_of(PEER_ID, PEER_QPN)); /* nor by a repetition that comes late */
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_STALE);
    TELLS(&rig, NONE);
    rig_pass(&rig, 5 * SECOND);
    CHECK_EQ(rig_counts(&rig).open, 0);
    /* Afterwards. */
    uint32_t id = rig_request(&rig);
    rig_give(&rig, rej);
    TELLS(&rig, REJECTED);
    CHECK_EQ(rig.event.reason, RVT_CM_REJECT_TIMEOUT);
    FAILS(rig_accept(&rig, id), RVT_EBADF, RVT_CAUSE_CONNECTION_GONE);
    rig_pass(&rig, 5 * SECOND);
    CHECK_EQ(rig_counts(&rig).open, 0);
    /* After the REP, by its id. */
    id = rig_accepted(&rig);
    rej.remote_id = id;
    rej.about = RVT_CM_ABOUT_REP;
    rej.reason = RVT_CM_REJECT_PROGRAM;
    rej.data = (const unsigned char *)"changed my mind";
    rej.data_length = 15;
    rig_give(&rig, rej);
    TELLS(&rig, REJECTED);
    CHECK_EQ(rig.event.reason, RVT_CM_REJECT_PROGRAM);
    CHECK_EQ(rig.event.length, RVT_CM_REJ_DATA);
    CHECK_BYTES_EQ(rig.event.data, "changed my mind", 15);
    CHECK_EQ(rig_counts(&rig).half_open, 0);
    SENDS_NOTHING(&rig); /* a REJ is never answered */
    rig_close(&rig);
}

/* --- the active side --- */

static void connects(void) {
    struct cm_rig rig;
    struct rvt_cm_ask ask = usual_ask();
    uint32_t id;
    REQUIRE(rig_open(&rig));
    CHECK_EQ(rvt_cm_connect(rig.cm, &ask, rig.now, &id), 0);
    const struct rvt_cm_message req = rig_take(&rig);
    struct rvt_cm_ip_header header;
    CHECK_EQ(req.attribute, RVT_CM_ATTRIBUTE_REQ);
    CHECK_EQ(req.local_id, id);
    CHECK_EQ(req.service, cm_service);
    CHECK(req.guid);
    CHECK_EQ(req.qpn, OWN_QPN);
    CHECK_EQ(req.psn, 0xabcdef);
    CHECK_EQ(req.responder_resources, 2);
    CHECK_EQ(req.initiator_depth, 3);
    CHECK_EQ(req.path_mtu, 5);
    CHECK_EQ(req.retry_count, 5);
    CHECK_EQ(req.rnr_retry_count, 4);
    CHECK_EQ(req.ack_timeout, 14);
    CHECK_EQ(req.transport, RVT_CM_TRANSPORT_RC);
    CHECK_EQ(req.pkey, 0xffff);
    CHECK_EQ(req.max_cm_retries, 3);
    CHECK(rvt_cm_microseconds(req.remote_response_timeout) >= 500000);
    CHECK_BYTES_EQ(req.local_gid, own_address, 16);
    CHECK_BYTES_EQ(req.remote_gid, rig_peer.address, 16);
    REQUIRE(rvt_decode_cm_ip_header(req.data, &header));
    CHECK(!header.ipv6);
    CHECK_BYTES_EQ(header.source, own_address, 16);
    CHECK_BYTES_EQ(header.destination, rig_peer.address, 16);
    CHECK_BYTES_EQ(req.data + RVT_CM_IP_HEADER, "hi\0", 3);
    const uint64_t transaction = req.transaction;
    rig_give(&rig, rep_of(id));
    TELLS(&rig, REPLY);
    CHECK_EQ(rig.event.id, id);
    CHECK_EQ(rig.event.listener, 0);
    CHECK_EQ(rig.event.offer.qpn, PEER_QPN);
    CHECK_EQ(rig.event.offer.psn, PEER_PSN);
    CHECK_EQ(rig.event.offer.responder_resources, 5);
    CHECK_EQ(rig.event.offer.initiator_depth, 4);
    CHECK_EQ(rig.event.offer.rnr_retry_count, 7);
    CHECK_EQ(rig.event.offer.path_mtu, 5);
    CHECK_EQ(rig.event.length, RVT_CM_REP_DATA);
    CHECK_BYTES_EQ(rig.event.data, "welcome\0", 8);
    /* The REP is repeated while the host is at work. */
    rig_give(&rig, rep_of(id));
    TELLS(&rig, NONE);
    SENDS_NOTHING(&rig);
    CHECK_EQ(rvt_cm_confirm(rig.cm, id, rig.now), 0);
    const struct rvt_cm_message rtu = rig_take(&rig);
    CHECK_EQ(rtu.attribute, RVT_CM_ATTRIBUTE_RTU);
    CHECK_EQ(rtu.local_id, id);
    CHECK_EQ(rtu.remote_id, PEER_ID);
    CHECK_EQ(rtu.transaction, transaction);
    FAILS(rvt_cm_confirm(rig.cm, id, rig.now), RVT_EINVAL, RVT_CAUSE_CONNECTION_STATE);
    /* The RTU was lost. */
    rig_give(&rig, rep_of(id));
    SENDS(&rig, RTU);
    TELLS(&rig, NONE);
    /* Another one's REP with the right id. */
    struct rvt_cm_message rep = rep_of(id);
    rep.local_id++;
    rig_give(&rig, rep);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_INVALID_ID);
    rig_close(&rig);
}

static void connects_to_other_services(void) {
    struct cm_rig rig;
    struct rvt_cm_ask ask = usual_ask();
    unsigned char data[RVT_CM_REP_DATA + 1];
    uint32_t id;
    REQUIRE(rig_open(&rig));
    memset(data, 0x55, sizeof(data));
    ask.data = data;
    ask.length = RVT_CM_IP_DATA + 1;
    FAILS_WITH(rvt_cm_connect(rig.cm, &ask, rig.now, &id), RVT_EINVAL, RVT_CAUSE_PRIVATE_DATA, 57, 56, 0);
    ask.service = 0x1122334455667788;
    ask.length = RVT_CM_REQ_DATA + 1;
    FAILS_WITH(rvt_cm_connect(rig.cm, &ask, rig.now, &id), RVT_EINVAL, RVT_CAUSE_PRIVATE_DATA, 93, 92, 0);
    ask.length = RVT_CM_REQ_DATA;
    CHECK_EQ(rvt_cm_connect(rig.cm, &ask, rig.now, &id), 0);
    CHECK_BYTES_EQ(rig_take(&rig).data, data, RVT_CM_REQ_DATA);
    /* The other messages have limits, too. */
    const struct rvt_cm_offer offer = own_offer();
    const uint32_t request = rig_request(&rig);
    FAILS_WITH(rvt_cm_accept(rig.cm, request, &offer, data, RVT_CM_REP_DATA + 1, rig.now), RVT_EINVAL,
               RVT_CAUSE_PRIVATE_DATA, 197, 196, 0);
    FAILS_WITH(rvt_cm_reject(rig.cm, request, data, RVT_CM_REJ_DATA + 1, rig.now), RVT_EINVAL,
               RVT_CAUSE_PRIVATE_DATA, 149, 148, 0);
    rig_close(&rig);
}

static void asks_again(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_asked(&rig);
    unsigned char first[256];
    memcpy(first, rig.mad, sizeof(first));
    for (int i = 0; i < 3; i++) {
        rig_pass(&rig, 499000);
        SENDS_NOTHING(&rig);
        rig_pass(&rig, 18000);
        SENDS(&rig, REQ);
        CHECK_BYTES_EQ(rig.mad, first, sizeof(first));
    }
    TELLS(&rig, NONE);
    rig_pass(&rig, SECOND);
    const struct rvt_cm_message rej = rig_take(&rig); /* the peer need not keep the request */
    CHECK_EQ(rej.attribute, RVT_CM_ATTRIBUTE_REJ);
    CHECK_EQ(rej.reason, RVT_CM_REJECT_TIMEOUT);
    CHECK_EQ(rej.local_id, id);
    CHECK_EQ(rej.remote_id, 0);
    CHECK(rej.guid);
    TELLS(&rig, TIMEOUT);
    CHECK_EQ(rig.event.id, id);
    CHECK_EQ(rig_counts(&rig).open, 0);
    FAILS(rvt_cm_confirm(rig.cm, id, rig.now), RVT_EBADF, RVT_CAUSE_CONNECTION_GONE);
    /* A REP that comes now finds nothing. */
    rig_give(&rig, rep_of(id));
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_INVALID_ID);
    rig_close(&rig);
}

static void waits_after_an_mra(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_asked(&rig);
    struct rvt_cm_message mra = about(RVT_CM_ATTRIBUTE_MRA, id);
    mra.service_timeout = 22; /* 17 s */
    rig_give(&rig, mra);
    rig_pass(&rig, 17 * SECOND);
    SENDS_NOTHING(&rig);
    rig_pass(&rig, SECOND);
    SENDS(&rig, REQ);
    rig_give(&rig, rep_of(id));
    TELLS(&rig, REPLY);
    rig_give(&rig, mra); /* too late */
    CHECK_EQ(rig_counts(&rig).duplicates, 1);
    rig_close(&rig);
}

static void is_rejected(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    uint32_t id = rig_asked(&rig);
    struct rvt_cm_message rej = about(RVT_CM_ATTRIBUTE_REJ, id);
    rej.local_id = 0; /* Linux has none for a request that nobody took */
    rej.reason = RVT_CM_REJECT_INVALID_SERVICE;
    rig_give(&rig, rej);
    TELLS(&rig, REJECTED);
    CHECK_EQ(rig.event.reason, RVT_CM_REJECT_INVALID_SERVICE);
    SENDS_NOTHING(&rig);
    CHECK_EQ(rig_counts(&rig).open, 0);
    /* After a reply that the host has not seen yet: it sees the end only. */
    id = rig_asked(&rig);
    rig_give(&rig, rep_of(id));
    rej = about(RVT_CM_ATTRIBUTE_REJ, id);
    rej.reason = RVT_CM_REJECT_TIMEOUT;
    rig_give(&rig, rej);
    TELLS(&rig, REJECTED);
    TELLS(&rig, NONE);
    CHECK_EQ(rig_counts(&rig).open, 0);
    /* A reply with an impossible queue pair. */
    id = rig_asked(&rig);
    struct rvt_cm_message rep = rep_of(id);
    rep.qpn = 0;
    rig_give(&rig, rep);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_UNSUPPORTED);
    TELLS(&rig, REJECTED);
    CHECK_EQ(rig_counts(&rig).open, 0);
    rig_close(&rig);
}

static void a_host_that_does_not_confirm(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_asked(&rig);
    rig_give(&rig, rep_of(id));
    rig_pass(&rig, 61 * SECOND);
    const struct rvt_cm_message rej = rig_take(&rig);
    CHECK_EQ(rej.reason, RVT_CM_REJECT_TIMEOUT);
    CHECK_EQ(rej.about, RVT_CM_ABOUT_REP);
    TELLS(&rig, TIMEOUT);
    TELLS(&rig, NONE);
    FAILS(rvt_cm_confirm(rig.cm, id, rig.now), RVT_EBADF, RVT_CAUSE_CONNECTION_GONE);
    rig_close(&rig);
}

/* --- the end --- */

static void disconnects(void) {
    for (int active = 0; active < 2; active++) {
        struct cm_rig rig;
        REQUIRE(rig_open(&rig));
        const uint32_t id = active ? rig_active(&rig) : rig_passive(&rig);
        rvt_cm_disconnect(rig.cm, id, rig.now);
        const struct rvt_cm_message dreq = rig_take(&rig);
        CHECK_EQ(dreq.attribute, RVT_CM_ATTRIBUTE_DREQ);
        CHECK_EQ(dreq.local_id, id);
        CHECK_EQ(dreq.remote_id, PEER_ID);
        CHECK_EQ(dreq.qpn, PEER_QPN);
        rvt_cm_disconnect(rig.cm, id, rig.now); /* again: nothing */
        SENDS_NOTHING(&rig);
        rig_pass(&rig, SECOND + 20000);
        CHECK_EQ(rig_take(&rig).transaction, dreq.transaction);
        TELLS(&rig, NONE);
        rig_give(&rig, about(RVT_CM_ATTRIBUTE_DREP, id));
        TELLS(&rig, DISCONNECTED);
        CHECK_EQ(rig.event.id, id);
        rig_give(&rig, about(RVT_CM_ATTRIBUTE_DREP, id));
        TELLS(&rig, NONE);
        CHECK_EQ(rig_counts(&rig).open, 1); /* it waits for late packets */
        rig_pass(&rig, 5 * SECOND);
        CHECK_EQ(rig_counts(&rig).open, 0);
        rig_close(&rig);
    }
}

static void disconnects_from_a_silent_peer(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_passive(&rig);
    rvt_cm_disconnect(rig.cm, id, rig.now);
    for (int i = 0; i < 5; i++) {
        SENDS(&rig, DREQ);
        TELLS(&rig, NONE);
        rig_pass(&rig, SECOND + 20000);
    }
    SENDS_NOTHING(&rig);
    TELLS(&rig, DISCONNECTED);
    CHECK_EQ(rig_counts(&rig).timeouts, 1);
    rig_close(&rig);
}

static void is_disconnected(void) {
    for (int active = 0; active < 2; active++) {
        struct cm_rig rig;
        REQUIRE(rig_open(&rig));
        const uint32_t id = active ? rig_active(&rig) : rig_passive(&rig);
        struct rvt_cm_message dreq = dreq_of(id);
        dreq.qpn++; /* of another queue pair: an old connection, or a guess */
        rig_give(&rig, dreq);
        TELLS(&rig, NONE);
        SENDS_NOTHING(&rig);
        rig_give(&rig, dreq_of(id));
        TELLS(&rig, DISCONNECT);
        SENDS_NOTHING(&rig); /* before the host has stopped the queue pair */
        rig_give(&rig, dreq_of(id));
        TELLS(&rig, NONE);
        SENDS_NOTHING(&rig);
        rvt_cm_disconnect(rig.cm, id, rig.now);
        const struct rvt_cm_message drep = rig_take(&rig);
        CHECK_EQ(drep.attribute, RVT_CM_ATTRIBUTE_DREP);
        CHECK_EQ(drep.local_id, id);
        CHECK_EQ(drep.remote_id, PEER_ID);
        CHECK_EQ(drep.transaction, 77);
        rig_give(&rig, dreq_of(id)); /* the DREP was lost */
        SENDS(&rig, DREP);
        SENDS_NOTHING(&rig);
        TELLS(&rig, NONE);
        rig_pass(&rig, 5 * SECOND);
        CHECK_EQ(rig_counts(&rig).open, 0);
        /* Now it is forgotten; the peer need not wait nevertheless. */
        rig_give(&rig, dreq_of(id));
        const struct rvt_cm_message late = rig_take(&rig);
        CHECK_EQ(late.attribute, RVT_CM_ATTRIBUTE_DREP);
        CHECK_EQ(late.local_id, id);
        CHECK_EQ(late.remote_id, PEER_ID);
        rig_close(&rig);
    }
}

static void both_disconnect_at_once(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_passive(&rig);
    rvt_cm_disconnect(rig.cm, id, rig.now);
    SENDS(&rig, DREQ);
    rig_give(&rig, dreq_of(id));
    SENDS(&rig, DREP);
    TELLS(&rig, DISCONNECTED);
    rig_give(&rig, about(RVT_CM_ATTRIBUTE_DREP, id));
    TELLS(&rig, NONE);
    rig_close(&rig);
}

/* The RTU was lost, and the active side ends the connection already. */
static void is_disconnected_before_the_rtu(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_accepted(&rig);
    rig_give(&rig, dreq_of(id));
    TELLS(&rig, DISCONNECT);
    rvt_cm_disconnect(rig.cm, id, rig.now);
    SENDS(&rig, DREP);
    CHECK_EQ(rig_counts(&rig).half_open, 0);
    rig_close(&rig);
}

static void a_host_that_does_not_stop(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    rig_give(&rig, dreq_of(rig_passive(&rig)));
    rig_pass(&rig, 61 * SECOND);
    SENDS(&rig, DREP);
    TELLS(&rig, DISCONNECT);
    rig_pass(&rig, 5 * SECOND);
    CHECK_EQ(rig_counts(&rig).open, 0);
    rig_close(&rig);
}

/* The peer has waited in vain for the RTU. */
static void a_reject_ends_an_established_connection(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_active(&rig);
    struct rvt_cm_message rej = about(RVT_CM_ATTRIBUTE_REJ, id);
    rej.reason = RVT_CM_REJECT_TIMEOUT;
    rig_give(&rig, rej);
    TELLS(&rig, DISCONNECT);
    rvt_cm_disconnect(rig.cm, id, rig.now);
    SENDS_NOTHING(&rig);
    rig_close(&rig);
}

/* disconnect() in each state. */
static void ends_what_is_not_established(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    rvt_cm_disconnect(rig.cm, 0, rig.now);
    rvt_cm_disconnect(rig.cm, 0x12345000, rig.now);
    SENDS_NOTHING(&rig);
    rvt_cm_disconnect(rig.cm, rig_request(&rig), rig.now);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_PROGRAM);
    rig_pass(&rig, 11 * SECOND);
    rvt_cm_disconnect(rig.cm, rig_accepted(&rig), rig.now);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_PROGRAM);
    rig_pass(&rig, 11 * SECOND);
    rvt_cm_disconnect(rig.cm, rig_asked(&rig), rig.now);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_TIMEOUT);
    const uint32_t id = rig_asked(&rig);
    rig_give(&rig, rep_of(id));
    rvt_cm_disconnect(rig.cm, id, rig.now);
    const struct rvt_cm_message rej = rig_take(&rig);
    CHECK_EQ(rej.reason, RVT_CM_REJECT_PROGRAM);
    CHECK_EQ(rej.about, RVT_CM_ABOUT_REP);
    rig_pass(&rig, 11 * SECOND);
    TELLS(&rig, NONE);
    CHECK_EQ(rig_counts(&rig).open, 0);
    CHECK_EQ(rig_counts(&rig).half_open, 0);
    rig_close(&rig);
}

static void a_queue_pair_ends(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    rvt_cm_queue_pair_gone(rig.cm, OWN_QPN, rig.now); /* it has no connection */
    SENDS_NOTHING(&rig);
    const uint32_t id = rig_accepted(&rig);
    rvt_cm_queue_pair_gone(rig.cm, OWN_QPN, rig.now);
    SENDS(&rig, REJ);
    TELLS(&rig, DISCONNECTED);
    CHECK_EQ(rig.event.id, id);
    rig_pass(&rig, 11 * SECOND);
    rig_active(&rig);
    rvt_cm_queue_pair_gone(rig.cm, OWN_QPN, rig.now);
    SENDS(&rig, DREQ);
    rig_close(&rig);
}

static void hangs_up(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    rig_passive(&rig);
    rig_give(&rig, req_of(PEER_ID + 1, PEER_QPN + 1));
    rvt_cm_hang_up(rig.cm, rig.now);
    SENDS(&rig, DREQ);
    SENDS(&rig, REJ);
    SENDS_NOTHING(&rig);
    rig_close(&rig);
}

/* --- what is forgotten, or comes twice --- */

static void finds_stale_connections(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_passive(&rig);
    /* The peer has restarted, and uses the number of the queue pair again. */
    rig_give(&rig, req_of(PEER_ID + 9, PEER_QPN));
    const struct rvt_cm_message rej = rig_take(&rig);
    CHECK_EQ(rej.attribute, RVT_CM_ATTRIBUTE_REJ);
    CHECK_EQ(rej.reason, RVT_CM_REJECT_STALE);
    CHECK_EQ(rej.remote_id, PEER_ID + 9);
    SENDS(&rig, DREQ);
    TELLS(&rig, DISCONNECT); /* the host stops its queue pair */
    CHECK_EQ(rig.event.id, id);
    CHECK_EQ(rig_counts(&rig).stale, 1);
    rvt_cm_disconnect(rig.cm, id, rig.now);
    SENDS_NOTHING(&rig);
    rig_give(&rig, about(RVT_CM_ATTRIBUTE_DREP, id));
    TELLS(&rig, DISCONNECTED);
    /* Still, as long as late packets may come; then it is taken. */
    rig_give(&rig, req_of(PEER_ID + 10, PEER_QPN));
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_STALE);
    /* A late repetition of the first REQ, too. */
    rig_give(&rig, req_of(PEER_ID, PEER_QPN));
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_STALE);
    rig_pass(&rig, 5 * SECOND);
    rig_give(&rig, req_of(PEER_ID + 11, PEER_QPN));
    TELLS(&rig, REQUEST);
    rig_close(&rig);
}

static void finds_stale_replies(void) {
    struct cm_rig rig;
    struct rvt_cm_ask ask = usual_ask();
    uint32_t id;
    REQUIRE(rig_open(&rig));
    rig_active(&rig);
    ask.offer.qpn++;
    CHECK_EQ(rvt_cm_connect(rig.cm, &ask, rig.now, &id), 0);
    SENDS(&rig, REQ);
    struct rvt_cm_message rep = rep_of(id);
    rep.local_id++;
    rig_give(&rig, rep); /* with the queue pair of the first connection */
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_STALE);
    TELLS(&rig, REJECTED);
    CHECK_EQ(rig.event.reason, RVT_CM_REJECT_STALE);
    CHECK_EQ(rvt_cm_connect(rig.cm, &ask, rig.now, &id), 0);
    SENDS(&rig, REQ);
    rep = rep_of(id);
    rep.qpn++; /* with its communication id */
    rig_give(&rig, rep);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_DUPLICATE_ID);
    TELLS(&rig, REJECTED);
    CHECK_EQ(rig_counts(&rig).open, 1);
    rig_close(&rig);
}

static void a_queue_pair_has_one_connection(void) {
    struct cm_rig rig;
    struct rvt_cm_ask ask = usual_ask();
    uint32_t id;
    REQUIRE(rig_open(&rig));
    const uint32_t first = rig_active(&rig);
    FAILS(rvt_cm_connect(rig.cm, &ask, rig.now, &id), RVT_EBUSY, RVT_CAUSE_QP_CONNECTED);
    rig_give(&rig, req_of(PEER_ID + 1, PEER_QPN + 1));
    TELLS(&rig, REQUEST);
    FAILS(rig_accept(&rig, rig.event.id), RVT_EBUSY, RVT_CAUSE_QP_CONNECTED);
    const uint32_t request = rig.event.id;
    rig_give(&rig, dreq_of(first));
    rvt_cm_disconnect(rig.cm, first, rig.now);
    FAILS(rig_accept(&rig, request), RVT_EBUSY, RVT_CAUSE_QP_CONNECTED); /* late packets may come */
    rig_pass(&rig, 5 * SECOND);
    CHECK_EQ(rig_accept(&rig, request), 0);
    rig_close(&rig);
}

static void ids_are_used_once(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    rig_request(&rig);
    struct rvt_cm_message req = req_of(PEER_ID, PEER_QPN + 1);
    rig_give(&rig, req);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_DUPLICATE_ID);
    req = req_of(PEER_ID, PEER_QPN);
    req.psn++;
    rig_give(&rig, req);
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_DUPLICATE_ID);
    TELLS(&rig, NONE);
    rig_close(&rig);
}

/* --- strangers --- */

/* Whoever does not send from the peer's address, or does not know both ids, changes nothing. */
static void strangers_change_nothing(void) {
    static const unsigned char kinds[] = {RVT_CM_ATTRIBUTE_MRA, RVT_CM_ATTRIBUTE_REJ,  RVT_CM_ATTRIBUTE_REP,
                                          RVT_CM_ATTRIBUTE_RTU, RVT_CM_ATTRIBUTE_DREQ, RVT_CM_ATTRIBUTE_DREP,
                                          RVT_CM_ATTRIBUTE_LAP, RVT_CM_ATTRIBUTE_APR};
    struct rvt_wire_peer stranger = rig_peer;
    stranger.address[15]++;
    for (int active = 0; active < 2; active++) {
        struct cm_rig rig;
        REQUIRE(rig_open(&rig));
        const uint32_t id = active ? rig_active(&rig) : rig_passive(&rig);
        for (unsigned k = 0; k < sizeof(kinds); k++) {
            struct rvt_cm_message message = about(kinds[k], id);
            message.qpn = OWN_QPN;
            unsigned char mad[256];
            struct rvt_wire_peer to;
            rig_give_from(&rig, &stranger, &message);
            message.local_id ^= 1;
            rig_give_from(&rig, &rig_peer, &message);
            message.local_id ^= 1;
            message.remote_id ^= 0x80000000;
            rig_give_from(&rig, &rig_peer, &message);
            message.remote_id = 0;
            rig_give_from(&rig, &rig_peer, &message);
            unsigned answers = 0;
            while (rvt_cm_send(rig.cm, &to, mad))
                answers++;
            const bool answered = kinds[k] == RVT_CM_ATTRIBUTE_REP || kinds[k] == RVT_CM_ATTRIBUTE_DREQ;
            CHECK_EQ(answers, answered ? 4 : 0);
            TELLS(&rig, NONE);
        }
        rig_give(&rig, dreq_of(id));
        TELLS(&rig, DISCONNECT); /* it was established until now */
        rig_close(&rig);
    }
}

static void refuses_what_is_not_supported(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    const uint32_t id = rig_passive(&rig);
    struct rvt_cm_message message = about(RVT_CM_ATTRIBUTE_LAP, id);
    rig_give(&rig, message);
    const struct rvt_cm_message apr = rig_take(&rig);
    CHECK_EQ(apr.attribute, RVT_CM_ATTRIBUTE_APR);
    CHECK_EQ(apr.status, RVT_CM_APR_UNSUPPORTED);
    CHECK_EQ(apr.local_id, id);
    CHECK_EQ(apr.remote_id, PEER_ID);
    message = about(RVT_CM_ATTRIBUTE_SIDR_REQ, 0);
    message.service = cm_service;
    rig_give(&rig, message);
    const struct rvt_cm_message sidr = rig_take(&rig);
    CHECK_EQ(sidr.attribute, RVT_CM_ATTRIBUTE_SIDR_REP);
    CHECK_EQ(sidr.status, RVT_CM_SIDR_SERVICE_UNSUPPORTED);
    CHECK_EQ(sidr.local_id, PEER_ID);
    CHECK_EQ(sidr.service, cm_service);
    rig_give(&rig, about(RVT_CM_ATTRIBUTE_SIDR_REP, id));
    rig_give(&rig, about(RVT_CM_ATTRIBUTE_APR, id));
    SENDS_NOTHING(&rig);
    TELLS(&rig, NONE);
    rig_close(&rig);
}

/* --- limits --- */

static void limits_half_open_requests(void) {
    struct cm_rig rig;
    REQUIRE(rig_open(&rig));
    for (uint32_t i = 0; i < 8; i++)
        rig_give(&rig, req_of(PEER_ID + i, PEER_QPN + i));
    for (uint32_t i = 8; i < 100; i++)
        rig_give(&rig, req_of(PEER_ID + i, PEER_QPN + i));
    SENDS_NOTHING(&rig);
    CHECK_EQ(rig_counts(&rig).half_open, 8);
    CHECK_EQ(rig_counts(&rig).overflows, 92);
    CHECK_EQ(rig_counts(&rig).requests, 8);
    TELLS(&rig, REQUEST);
    CHECK_EQ(rvt_cm_reject(rig.cm, rig.event.id, NULL, 0, rig.now), 0); /* one place is free again */
    SENDS(&rig, REJ);
    rig_give(&rig, req_of(PEER_ID + 50, PEER_QPN + 50));
    rig_give(&rig, req_of(PEER_ID + 51, PEER_QPN + 51));
    CHECK_EQ(rig_counts(&rig).requests, 9);
    CHECK_EQ(rig_counts(&rig).half_open, 8);
    rig_close(&rig);
}

static void listeners_come_and_go(void) {
    struct cm_rig rig;
    uint32_t listener, more;
    REQUIRE(rig_open(&rig));
    FAILS(rvt_cm_listen(rig.cm, cm_service, 1, &listener), RVT_EADDRINUSE, RVT_CAUSE_SERVICE_IN_USE);
    const uint32_t told = rig_request(&rig);
    rig_give(&rig, req_of(PEER_ID + 1, PEER_QPN + 1));
    rvt_cm_unlisten(rig.cm, rig.listener);
    rvt_cm_unlisten(rig.cm, rig.listener);
    rvt_cm_unlisten(rig.cm, 0);
    const struct rvt_cm_message rej = rig_take(&rig); /* the one of which the host knows nothing */
    CHECK_EQ(rej.reason, RVT_CM_REJECT_INVALID_SERVICE);
    CHECK_EQ(rej.remote_id, PEER_ID + 1);
    TELLS(&rig, NONE);
    CHECK_EQ(rig_accept(&rig, told), 0);
    SENDS(&rig, REP);
    rig_give(&rig, req_of(PEER_ID + 2, PEER_QPN + 2));
    CHECK_EQ(rig_take(&rig).reason, RVT_CM_REJECT_INVALID_SERVICE);
    CHECK_EQ(rvt_cm_listen(rig.cm, cm_service, 1, &listener), 0);
    CHECK(listener != rig.listener);
    for (uint64_t i = 1; i < RVT_CM_MOST_LISTENERS; i++)
        CHECK_EQ(rvt_cm_listen(rig.cm, i, 1, &more), 0);
    FAILS_WITH(rvt_cm_listen(rig.cm, 0x7777, 1, &more), RVT_EMFILE, RVT_CAUSE_TOO_MANY_CONNECTIONS, 64, 64,
               0);
    rvt_cm_unlisten(rig.cm, more);
    CHECK_EQ(rvt_cm_listen(rig.cm, 0x7777, 1, &more), 0);
    rig_close(&rig);
}

static void has_room_for_so_many(void) {
    struct cm_rig rig;
    struct rvt_cm_ask ask = usual_ask();
    uint32_t first = 0, id;
    REQUIRE(rig_open(&rig));
    for (uint32_t i = 0; i < RVT_CM_MOST_CONNECTIONS; i++) {
        ask.offer.qpn = 2 + i;
        CHECK_EQ(rvt_cm_connect(rig.cm, &ask, rig.now, &id), 0);
        first = first ? first : id;
    }
    ask.offer.qpn++;
    FAILS_WITH(rvt_cm_connect(rig.cm, &ask, rig.now, &id), RVT_EMFILE, RVT_CAUSE_TOO_MANY_CONNECTIONS, 4096,
               4096, 0);
    rig_give(&rig, req_of(PEER_ID, PEER_QPN));
    TELLS(&rig, NONE);
    CHECK_EQ(rig_counts(&rig).overflows, 1);
    while (rig_take(&rig).attribute)
        ;
    /* One that only waits for late packets makes room. */
    rig_give(&rig, rep_of(first));
    TELLS(&rig, REPLY);
    CHECK_EQ(rvt_cm_confirm(rig.cm, first, rig.now), 0);
    rvt_cm_disconnect(rig.cm, first, rig.now);
    SENDS(&rig, DREQ);
    CHECK_EQ(rvt_cm_connect(rig.cm, &ask, rig.now, &id), -RVT_EMFILE);
    rig_give(&rig, about(RVT_CM_ATTRIBUTE_DREP, first));
    CHECK_EQ(rvt_cm_connect(rig.cm, &ask, rig.now, &id), -RVT_EMFILE); /* the host does not know yet */
    TELLS(&rig, DISCONNECTED);
    CHECK_EQ(rvt_cm_connect(rig.cm, &ask, rig.now, &id), 0);
    CHECK_EQ(id & 0xfff, first & 0xfff);
    CHECK_EQ(rig_counts(&rig).open, RVT_CM_MOST_CONNECTIONS);
    rig_close(&rig);
}

static void needs_memory(void) {
    struct rvt_cm *cm;
    const struct rvt_cm_host host = {rig_changed, NULL, NULL};
    rvt_test_alloc_fail_after(0);
    FAILS(rvt_cm_open(own_address, &host, &cm), RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
    rvt_test_alloc_fail_after(-1);
}

/* --- hostile messages --- */

/* Messages with fields that are drawn, half of them near to what would fit, from two addresses, while the host does this and
 * that. There are never more answers than questions and repetitions, nothing is allocated, every limit holds, and when the
 * messages end everything ends. */
static void survives_any_messages(void) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct cm_rig rig;
        uint64_t state = seed, answers = 0, asked = 0;
        uint32_t ids[64] = {0};
        unsigned char mad[256];
        struct rvt_wire_peer to;
        REQUIRE(rig_open(&rig));
        const long live = rvt_test_alloc_live();
        for (int step = 0; step < 4000; step++) {
            struct rvt_wire_peer from = rig_peer;
            from.address[15] = (uint8_t)(15 + roll(&state, 2));
            struct rvt_cm_message m = req_of((uint32_t)roll(&state, 24), (uint32_t)(2 + roll(&state, 24)));
            memcpy(m.local_gid, from.address, 16);
            if (roll(&state, 3)) {
                m.attribute = (uint16_t)(0x10 + roll(&state, 11));
                m.local_id = (uint32_t)roll(&state, 24);
                m.remote_id = ids[roll(&state, 64)];
                m.qpn = (uint32_t)roll(&state, 3) ? 100 + (uint32_t)roll(&state, 64) : m.qpn;
                m.about = (uint8_t)roll(&state, 4);
                m.reason = (uint16_t)roll(&state, 40);
                m.service_timeout = (uint8_t)roll(&state, 32);
                m.data_length = 0;
            }
            rvt_encode_cm(&m, mad);
            for (uint64_t flips = roll(&state, 4) ? 0 : roll(&state, 5); flips; flips--)
                mad[roll(&state, 256)] ^= (unsigned char)(1 << roll(&state, 8));
            unsigned char *bytes = copy_exactly(mad, sizeof(mad));
            rvt_cm_receive(rig.cm, &from, bytes, roll(&state, 50) ? 256 : (uint32_t)roll(&state, 257),
                           rig.now);
            free(bytes);
            const uint32_t id = ids[roll(&state, 64)];
            struct rvt_cm_offer offer = own_offer();
            offer.qpn = 100 + (uint32_t)roll(&state, 64);
            switch (roll(&state, 12)) {
            case 0:
                rig.now += roll(&state, 2 * SECOND);
                rvt_cm_tick(rig.cm, rig.now);
                break;
            case 1:
                asked += rvt_cm_accept(rig.cm, id, &offer, NULL, 0, rig.now) == 0;
                break;
            case 2:
                asked += rvt_cm_confirm(rig.cm, id, rig.now) == 0;
                break;
            case 3:
                rvt_cm_disconnect(rig.cm, id, rig.now);
                asked++;
                break;
            case 4: {
                struct rvt_cm_ask ask = usual_ask();
                ask.offer = offer;
                asked += rvt_cm_connect(rig.cm, &ask, rig.now, &ids[roll(&state, 64)]) == 0;
                break;
            }
            case 5:
                rvt_cm_queue_pair_gone(rig.cm, offer.qpn, rig.now);
                asked++;
                break;
            default:
                if (rig_event(&rig) == RVT_CM_EVENT_REQUEST)
                    ids[roll(&state, 64)] = rig.event.id;
                break;
            }
            while (roll(&state, 8) && rvt_cm_send(rig.cm, &to, mad))
                answers++;
            CHECK(rig_counts(&rig).half_open <= 8);
        }
        while (rvt_cm_send(rig.cm, &to, mad))
            answers++;
        const struct rvt_cm_counters counters = rig_counts(&rig);
        CHECK_EQ(counters.received, 4000);
        CHECK_EQ(counters.sent, answers);
        /* Of the time-outs each sends one REJ, and each stale connection a DREQ. */
        CHECK(answers <= counters.received + counters.repeated + counters.timeouts + counters.stale + asked);
        CHECK_EQ(rvt_test_alloc_live(), live);
        /* The host ends everything, and takes what it is told. */
        rvt_cm_hang_up(rig.cm, rig.now);
        for (int i = 0; i < 400; i++) {
            while (rig_event(&rig) != RVT_CM_EVENT_NONE)
                rvt_cm_disconnect(rig.cm, rig.event.id, rig.now);
            while (rvt_cm_send(rig.cm, &to, mad))
                ;
            rig_pass(&rig, SECOND);
        }
        CHECK_EQ(rig_counts(&rig).open, 0);
        CHECK_EQ(rig_counts(&rig).half_open, 0);
        CHECK_EQ(rvt_cm_deadline(rig.cm), UINT64_MAX);
        rig_close(&rig);
    }
}

CHECK_MAIN(TEST(accepts), TEST(rejects), TEST(judges_each_field), TEST(listens_for_other_services),
           TEST(repeats_what_was_lost), TEST(a_peer_gets_time_by_mra), TEST(a_host_that_does_not_answer),
           TEST(a_peer_takes_its_request_back), TEST(connects), TEST(connects_to_other_services),
           TEST(asks_again), TEST(waits_after_an_mra), TEST(is_rejected), TEST(a_host_that_does_not_confirm),
           TEST(disconnects), TEST(disconnects_from_a_silent_peer), TEST(is_disconnected),
           TEST(both_disconnect_at_once), TEST(is_disconnected_before_the_rtu),
           TEST(a_host_that_does_not_stop), TEST(a_reject_ends_an_established_connection),
           TEST(ends_what_is_not_established), TEST(a_queue_pair_ends), TEST(hangs_up),
           TEST(finds_stale_connections), TEST(finds_stale_replies), TEST(a_queue_pair_has_one_connection),
           TEST(ids_are_used_once), TEST(strangers_change_nothing), TEST(refuses_what_is_not_supported),
           TEST(limits_half_open_requests), TEST(listeners_come_and_go), TEST(has_room_for_so_many),
           TEST(needs_memory), TEST(survives_any_messages))
