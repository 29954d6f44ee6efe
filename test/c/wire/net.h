/* SPDX-License-Identifier: BSD-3-Clause */
/* A network of some endpoints, each on a device of its own, for tests of UC and UD: packets wait in the order in which
 * they were sent until the test delivers them; it can drop, double and swap them before. */
#ifndef RVT_TEST_NET_H
#define RVT_TEST_NET_H

#include "engine/verbs.h"
#include "packets.h"
#include "wire/endpoint/endpoint.h"

enum {
    NODES = 3,
    MOST_WAITING = 512,
    NET_PORT = RVT_ROCE_UDP_PORT,
    NODE_BYTES = 16384,
    NET_MTU = 256,
    NET_MTU_CODE = 1
};

struct waiting {
    struct rvt_wire_peer from, to;
    uint32_t length;
    unsigned char bytes[RVT_MOST_PACKET_BYTES];
};

struct node {
    struct verbs v;
    struct rvt_endpoint *endpoint;
    struct rvt_wire_peer place;
    uint32_t refusals, wakes;
    struct rvt_wire_refusal refused; /* the last one */
    unsigned char memory[NODE_BYTES];
    struct vmr mr;
};

struct net {
    struct node nodes[NODES];
    uint64_t now;
    uint32_t count;
    struct waiting waiting[MOST_WAITING];
};

static inline void net_wake(void *data) {
    ((struct node *)data)->wakes++;
}

static inline void net_refused(void *data, const struct rvt_wire_refusal *refusal) {
    struct node *node = data;
    node->refusals++;
    node->refused = *refusal;
}

/* Node i is 10.0.2.(16 + i), or fd00::(16 + i). */
/* `faults`: NULL, or those of node 0. */
static inline bool net_open_faulty(struct net *n, bool ipv6, uint32_t refusals_a_minute,
                                   const struct rvt_fault_options *faults) {
    memset(n, 0, sizeof(*n));
    for (unsigned i = 0; i < NODES; i++) {
        struct node *node = &n->nodes[i];
        struct rvt_wire_peer *place = &node->place;
        memcpy(place->address,
               ipv6 ? "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0" : "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\x02", 15);
        place->address[15] = (uint8_t)(16 + i);
        place->port = NET_PORT;
        if (!verbs_open_faulty(&node->v, usual_limits(), AT_ONCE, i ? NULL : faults))
            return false;
        struct rvt_endpoint_options options = {
            .device = node->v.device,
            .port = NET_PORT,
            .refusals_a_minute = refusals_a_minute,
            .host = {.wake = net_wake, .refused = net_refused, .data = node}};
        memcpy(options.address, place->address, sizeof(place->address));
        if (!check_equal((uint64_t)rvt_endpoint_open(&options, &node->endpoint), 0, "opening", "0", __FILE__,
                         __LINE__))
            return false;
        node->mr = make_mr(&node->v, node->memory, NODE_BYTES);
    }
    return true;
}

static inline bool net_open(struct net *n, bool ipv6, uint32_t refusals_a_minute) {
    return net_open_faulty(n, ipv6, refusals_a_minute, NULL);
}

static inline void net_close(struct net *n) {
    for (unsigned i = 0; i < NODES; i++) {
        rvt_endpoint_close(n->nodes[i].endpoint);
        CHECK_EQ(rvt_mr_exit(n->nodes[i].v.device, true, NULL), 0);
        rvt_dev_put(n->nodes[i].v.device);
    }
    CHECK_EQ(rvt_test_alloc_live(), n->nodes[0].v.live); /* nothing of the three devices is left */
}

static inline struct rvt_endpoint_counters net_counters(struct node *node) {
    struct rvt_endpoint_counters counters;
    rvt_endpoint_count(node->endpoint, &counters);
    return counters;
}

/* Lets a node send what it has, `batch` packets a call, up to `most` packets. */
static inline void net_collect_some(struct net *n, struct node *node, uint32_t batch, uint32_t most) {
    struct rvt_outgoing out[RVT_MOST_PACKETS];
    uint32_t sent;
    do {
        if (batch > most)
            batch = most;
        if (n->count + batch > MOST_WAITING)
            abort(); /* too small for the test */
        if (!batch)
            return;
        for (uint32_t i = 0; i < batch; i++)
            out[i].bytes = n->waiting[n->count + i].bytes;
        sent = rvt_endpoint_send(node->endpoint, out, batch, n->now);
        for (uint32_t i = 0; i < sent; i++) {
            struct waiting *w = &n->waiting[n->count++];
            rvt_endpoint_seal(node->endpoint, &out[i], 0);
            w->length = out[i].length;
            w->to = out[i].to;
            w->from = node->place;
        }
        most -= sent;
    } while (sent == batch);
}

static inline void net_collect(struct net *n) {
    for (unsigned i = 0; i < NODES; i++)
        net_collect_some(n, &n->nodes[i], 16, MOST_WAITING);
}

static inline void net_give(struct net *n, struct node *to, const struct waiting *w) {
    unsigned char *bytes = copy_exactly(w->bytes, w->length);
    const struct rvt_datagram datagram = {.bytes = bytes, .length = w->length, .from = w->from};
    rvt_endpoint_receive(to->endpoint, &datagram, 1, n->now);
    free(bytes);
}

/* Delivers what waits, each packet to the node with its address, and does so until nothing is sent any more. */
static inline void net_deliver(struct net *n) {
    while (n->count) {
        for (uint32_t i = 0; i < n->count; i++)
            for (unsigned node = 0; node < NODES; node++)
                if (!memcmp(&n->waiting[i].to, &n->nodes[node].place, sizeof(n->waiting[i].to)))
                    net_give(n, &n->nodes[node], &n->waiting[i]);
        n->count = 0;
        net_collect(n);
    }
}

/* All that is sent arrives. */
static inline void net_run(struct net *n) {
    net_collect(n);
    net_deliver(n);
}

/* Drops packet `index` of those that wait; or doubles it; or swaps it with the next one. */
static inline void net_drop(struct net *n, uint32_t index) {
    n->count--;
    memmove(&n->waiting[index], &n->waiting[index + 1], (n->count - index) * sizeof(n->waiting[0]));
}
static inline void net_double(struct net *n, uint32_t index) {
    memmove(&n->waiting[index + 1], &n->waiting[index], (n->count - index) * sizeof(n->waiting[0]));
    n->count++;
}
static inline void net_swap(struct net *n, uint32_t index) {
    struct waiting w = n->waiting[index];
    n->waiting[index] = n->waiting[index + 1];
    n->waiting[index + 1] = w;
}

/* --- queue pairs --- */

/* A UC queue pair of `a` and one of `b`, connected. */
static inline void net_connect(struct net *n, struct node *a, struct node *b, struct vqp *qa,
                               struct vqp *qb) {
    struct node *nodes[] = {a, b};
    struct vqp *qps[] = {qa, qb};
    for (unsigned i = 0; i < 2; i++)
        *qps[i] = make_qp(&nodes[i]->v, RVT_QPT_UC);
    for (unsigned i = 0; i < 2; i++) {
        struct rvt_qp_attr attr = usual_attr(qps[!i]->qpn);
        attr.path_mtu = 1;
        attr.sq_psn = i ? 0x100 : 0xfffffe; /* the numbers wrap */
        attr.rq_psn = i ? 0xfffffe : 0x100;
        CHECK_EQ(rvt_endpoint_connect(nodes[i]->endpoint, qps[i]->handle, &nodes[!i]->place, n->now), 0);
        bring_to(qps[i], attr, RVT_QPS_RTS);
    }
}

/* A UD queue pair of the node, with this Q_Key, in RTS. */
static inline struct vqp net_datagrams(struct node *node, uint32_t qkey) {
    struct vqp qp = make_qp(&node->v, RVT_QPT_UD);
    struct rvt_qp_attr attr = usual_attr(0);
    attr.qkey = qkey;
    CHECK_EQ(rvt_endpoint_attach(node->endpoint, qp.handle, NET_MTU_CODE), 0);
    bring_to(&qp, attr, RVT_QPS_RTS);
    return qp;
}

/* An address handle of `from` that leads to `to`. */
static inline struct rvt_ah_handle net_ah(struct node *from, const struct node *to) {
    const struct rvt_ah_attr attr = {.dlid = 1, .port = 1};
    struct rvt_host_address host = {.udp_port = to->place.port};
    struct rvt_ah_handle ah = {0};
    memcpy(host.ip, to->place.address, sizeof(host.ip));
    CHECK_EQ(rvt_create_host_ah(from->v.pd, &attr, &host, &ah), 0);
    return ah;
}

/* Posts a receive of `length` bytes from `offset` of the node's memory on. */
static inline int net_receive(const struct node *node, const struct vqp *qp, uint64_t wr_id, uint64_t offset,
                              uint32_t length) {
    const struct rvt_ib_sge sge = sge_at(&node->mr, offset, length);
    return post_receive(qp, wr_id, &sge, 1);
}

#endif
