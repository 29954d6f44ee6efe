/* SPDX-License-Identifier: BSD-3-Clause */
/* A program in C that uses the verbs without Node. It connects two queue pairs of one device, sends a message,
 * writes and reads remote memory, and shows how a refused write fails. rvt.h is all that it includes of the
 * core. test_example.c runs it. */
#include <stdio.h>
#include <string.h>

#include "core/rvt.h"

enum { BYTES = 4096 };
static const uint32_t ACCESS = RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_READ;

/* One end of the connection. Both are in this process: requests travel over loopback. */
struct end {
    struct rvt_cq_handle cq;
    struct rvt_qp_handle qp;
    uint32_t qpn; /* number of the queue pair, by which the peer addresses it */
    struct rvt_mr_handle mr;
    uint32_t key;               /* of the region: both lkey and rkey */
    unsigned char bytes[BYTES]; /* the registered memory */
};

/* Returns the address by which work requests name a byte: the region is registered at its own address. */
static uint64_t address_of(const unsigned char *byte) {
    return (uint64_t)(uintptr_t)byte;
}

/* Creates the queues, and registers the memory. All functions of the core return 0 or a negative errno. */
static int open_end(struct rvt_dev_info *device, struct rvt_pd_handle pd, struct end *end) {
    struct rvt_memory *memory = rvt_fixed_memory(end->bytes, BYTES);
    struct rvt_mr_birth birth;
    int error = memory ? 0 : -RVT_ENOMEM;
    if (!error)
        error = rvt_reg_user_mr_at(pd, memory, address_of(end->bytes), address_of(end->bytes), ACCESS,
                                   &end->mr, &birth);
    if (memory)
        rvt_memory_put(memory); /* the region has a reference of its own */
    if (!error)
        error = rvt_create_cq(device, NULL, &(struct rvt_cq_init){.cqe = 16}, &end->cq);
    if (error)
        return error;
    end->key = birth.key;
    const struct rvt_qp_init init = {
        .type = RVT_QPT_RC,
        .sig_type = RVT_SIGNAL_REQ_WR, /* only requests with RVT_SEND_SIGNALED complete with an entry */
        .send_cq = end->cq,
        .recv_cq = end->cq,
        .max_send_wr = 4,
        .max_send_sge = 1,
        .max_recv_wr = 4,
        .max_recv_sge = 1,
    };
    return rvt_create_qp(pd, &init, &end->qp, &end->qpn);
}

/* Takes the queue pair from RESET over INIT and RTR to RTS. */
static int connect_to(const struct end *end, uint32_t peer_qpn) {
    struct rvt_qp_attr attr = {
        .port = 1,
        .access = ACCESS, /* what the peer's requests may do */
        .av = {.dlid = 1, .port = 1},
        .path_mtu = 5, /* 4096 bytes */
        .dest_qpn = peer_qpn,
        .timeout = 14,
        .retry_cnt = 7,
        .rnr_retry = 7,
        .min_rnr_timer = 12,
        .max_rd_atomic = 1,
        .max_dest_rd_atomic = 1,
    };
    attr.state = RVT_QPS_INIT;
    int error = rvt_modify_qp(end->qp, &attr,
                              RVT_QPA_STATE | RVT_QPA_PKEY_INDEX | RVT_QPA_PORT | RVT_QPA_ACCESS_FLAGS);
    attr.state = RVT_QPS_RTR;
    if (!error)
        error = rvt_modify_qp(end->qp, &attr,
                              RVT_QPA_STATE | RVT_QPA_AV | RVT_QPA_PATH_MTU | RVT_QPA_DEST_QPN |
                                  RVT_QPA_RQ_PSN | RVT_QPA_MAX_DEST_RD_ATOMIC | RVT_QPA_MIN_RNR_TIMER);
    attr.state = RVT_QPS_RTS;
    if (!error)
        error = rvt_modify_qp(end->qp, &attr,
                              RVT_QPA_STATE | RVT_QPA_TIMEOUT | RVT_QPA_RETRY_CNT | RVT_QPA_RNR_RETRY |
                                  RVT_QPA_SQ_PSN | RVT_QPA_MAX_RD_ATOMIC);
    return error;
}

/* Takes the oldest completion. Returns its status, or -1: the queue has none. */
static int poll_one(const struct end *end, struct rvt_wc *wc) {
    return rvt_poll_cq(end->cq, 1, wc) == 1 ? (int)wc->status : -1;
}

/* Sends "hello" from a to b. */
static bool send_message(struct end *a, struct end *b) {
    const struct rvt_ib_sge room = {address_of(b->bytes), BYTES, b->key};
    const struct rvt_ib_sge message = {address_of(a->bytes), 5, a->key};
    struct rvt_wc sent, received;
    memcpy(a->bytes, "hello", 5);
    return !rvt_post_recv(b->qp, &(struct rvt_recv_wr){.wr_id = 1, .sges = &room, .num_sge = 1}, 1, NULL) &&
           !rvt_post_send(a->qp,
                          &(struct rvt_send_wr){.wr_id = 2,
                                                .opcode = RVT_WR_SEND,
                                                .flags = RVT_SEND_SIGNALED,
                                                .sges = &message,
                                                .num_sge = 1},
                          1, NULL) &&
           /* The engine carries the request out before rvt_post_send() returns. */
           poll_one(b, &received) == RVT_WC_STATUS_SUCCESS && received.wr_id == 1 && received.byte_len == 5 &&
           received.src_qp == a->qpn && poll_one(a, &sent) == RVT_WC_STATUS_SUCCESS && sent.wr_id == 2 &&
           !memcmp(b->bytes, "hello", 5);
}

/* Posts an RDMA read or write of 5 bytes between a's bytes from 100 on and b's from 200 on. */
static int access_remote(struct end *a, const struct end *b, uint32_t opcode, uint32_t rkey) {
    const struct rvt_ib_sge own = {address_of(a->bytes + 100), 5, a->key};
    return rvt_post_send(a->qp,
                         &(struct rvt_send_wr){.wr_id = opcode,
                                               .opcode = opcode,
                                               .flags = RVT_SEND_SIGNALED,
                                               .sges = &own,
                                               .num_sge = 1,
                                               .remote_addr = address_of(b->bytes + 200),
                                               .rkey = rkey},
                         1, NULL);
}

static bool write_and_read(struct end *a, struct end *b) {
    struct rvt_wc wc;
    memcpy(a->bytes + 100, "write", 5);
    if (access_remote(a, b, RVT_WR_RDMA_WRITE, b->key) || poll_one(a, &wc) != RVT_WC_STATUS_SUCCESS ||
        memcmp(b->bytes + 200, "write", 5))
        return false;
    memcpy(b->bytes + 200, "READ.", 5);
    return !access_remote(a, b, RVT_WR_RDMA_READ, b->key) && poll_one(a, &wc) == RVT_WC_STATUS_SUCCESS &&
           wc.opcode == RVT_WC_OPCODE_RDMA_READ && !memcmp(a->bytes + 100, "READ.", 5);
}

/* Writes with a wrong rkey. Posting succeeds: the completion has the failure. The status is all that a remote
 * peer would learn; both ends are in this process, so `cause` and `refused` say why. */
static bool refused_write(struct end *a, struct end *b) {
    struct rvt_wc wc;
    const uint32_t wrong = b->key ^ 1;
    if (access_remote(a, b, RVT_WR_RDMA_WRITE, wrong) || poll_one(a, &wc) != RVT_WC_STATUS_REM_ACCESS_ERR)
        return false;
    printf("# refused: cause %u, key 0x%x, %u bytes at 0x%llx: %s\n", wc.cause, wc.refused.key,
           wc.refused.length, (unsigned long long)wc.refused.addr,
           rvt_reason_name((enum rvt_reason)wc.refused.reason));
    /* Both queue pairs are in error now: a reset and three moves would bring each back. */
    struct rvt_qp_query query;
    return wc.cause == RVT_WHY_REMOTE_REFUSED && wc.refused.key == wrong &&
           wc.refused.reason == RVT_STALE_KEY && !rvt_query_qp(a->qp, &query) &&
           query.attr.state == RVT_QPS_ERR && !rvt_query_qp(b->qp, &query) && query.attr.state == RVT_QPS_ERR;
}

int main(void) {
    static struct end a, b;
    struct rvt_dev_info *device;
    struct rvt_pd_handle pd;
    /* A host that waits for completions would pass a function in `host.event`. */
    const struct rvt_engine_options engine = {
        .limits.of = {[RVT_LIMIT_MAX_QP] = 8,
                      [RVT_LIMIT_MAX_QP_WR] = 64,
                      [RVT_LIMIT_MAX_SEND_SGE] = 4,
                      [RVT_LIMIT_MAX_RECV_SGE] = 4,
                      [RVT_LIMIT_MAX_CQ] = 8,
                      [RVT_LIMIT_MAX_CQE] = 64,
                      [RVT_LIMIT_MAX_PD] = 8,
                      [RVT_LIMIT_MAX_RDMA_ATOMIC] = 16,
                      [RVT_LIMIT_NPKEYS] = 1},
    };
    const struct rvt_device_options options = {.lkey_table_bits = 8, .random_keys = true};
    if (rvt_register_device(&options, &engine, &device))
        return 1;
    const char *failed = NULL;
    if (rvt_alloc_pd(device, NULL, false, &pd) || open_end(device, pd, &a) || open_end(device, pd, &b))
        failed = "opening";
    else if (connect_to(&a, b.qpn) || connect_to(&b, a.qpn))
        failed = "connecting";
    else if (!send_message(&a, &b))
        failed = "a message";
    else if (!write_and_read(&a, &b))
        failed = "RDMA";
    else if (!refused_write(&a, &b))
        failed = "a refused write";
    /* Once rvt_dereg_mr() has returned 0, no peer can read or change a byte of the region. */
    else if (rvt_dereg_mr(b.mr, RVT_RELEASE))
        failed = "deregistering";
    if (failed)
        printf("# failed: %s\n", failed);
    rvt_mr_exit(device, true, NULL); /* ends everything on the device */
    rvt_dev_put(device);
    return failed != NULL;
}
