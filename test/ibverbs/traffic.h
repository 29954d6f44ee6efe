/* SPDX-License-Identifier: BSD-3-Clause */
/* Posts work requests and compares completions and events. */
#ifndef RVT_TEST_IBVERBS_TRAFFIC_H
#define RVT_TEST_IBVERBS_TRAFFIC_H

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "objects.h"

/* How long a test waits for what must happen, and how long it watches that nothing happens. */
enum { PATIENCE_MS = 20000, A_MOMENT_MS = 30 };

static inline uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void sleep_ms(unsigned ms) {
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

/* --- work requests --- */

/* A send work request. Members that the opcode does not use stay 0. */
struct request {
    enum ibv_wr_opcode opcode;
    uint64_t id;
    unsigned flags;       /* IBV_SEND_SIGNALED is added ... */
    bool unsignaled;      /* ... unless this is set */
    struct ibv_sge sge;   /* one element; none if all 0 */
    struct ibv_sge *sges; /* or several, */
    int num_sge;          /* this many */
    uint64_t remote_addr;
    uint32_t rkey;
    uint64_t compare_add, swap;
    uint32_t imm; /* in host order */
    uint32_t invalidate;
    struct ibv_ah *ah;
    uint32_t remote_qpn, remote_qkey;
};

/* Fills the work request; `r` must live as long as it. */
static inline void fill_send_wr(struct request *r, struct ibv_send_wr *wr) {
    bool atomic = r->opcode == IBV_WR_ATOMIC_CMP_AND_SWP || r->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
    *wr = (struct ibv_send_wr){.wr_id = r->id,
                               .opcode = r->opcode,
                               .send_flags = r->flags | (r->unsignaled ? 0 : IBV_SEND_SIGNALED),
                               .sg_list = r->sges ? r->sges : &r->sge,
                               .num_sge = r->sges ? r->num_sge : r->sge.addr || r->sge.length || r->sge.lkey};
    if (r->opcode == IBV_WR_SEND_WITH_INV || r->opcode == IBV_WR_LOCAL_INV)
        wr->invalidate_rkey = r->invalidate;
    else
        wr->imm_data = htobe32(r->imm);
    if (atomic) {
        wr->wr.atomic.remote_addr = r->remote_addr;
        wr->wr.atomic.rkey = r->rkey;
        wr->wr.atomic.compare_add = r->compare_add;
        wr->wr.atomic.swap = r->swap;
    } else if (r->ah) {
        wr->wr.ud.ah = r->ah;
        wr->wr.ud.remote_qpn = r->remote_qpn;
        wr->wr.ud.remote_qkey = r->remote_qkey;
    } else {
        wr->wr.rdma.remote_addr = r->remote_addr;
        wr->wr.rdma.rkey = r->rkey;
    }
}

/* Posts one send work request. Returns the answer. A refused one must be named by bad_wr. */
static inline int post(const struct end *end, struct request r) {
    struct ibv_send_wr wr, *bad = NULL;
    fill_send_wr(&r, &wr);
    int answer = ibv_post_send(end->qp, &wr, &bad);
    if (answer)
        CHECK_PTR_EQ(bad, &wr);
    return answer;
}

/* Posts one receive with one element (none if it is all 0). */
static inline int receive(const struct end *end, uint64_t id, struct ibv_sge sge) {
    struct ibv_recv_wr wr = {.wr_id = id, .sg_list = &sge, .num_sge = sge.addr || sge.length || sge.lkey};
    struct ibv_recv_wr *bad = NULL;
    int answer = ibv_post_recv(end->qp, &wr, &bad);
    if (answer)
        CHECK_PTR_EQ(bad, &wr);
    return answer;
}

static inline int receive_shared(struct ibv_srq *srq, uint64_t id, struct ibv_sge sge) {
    struct ibv_recv_wr wr = {.wr_id = id, .sg_list = &sge, .num_sge = sge.addr || sge.length || sge.lkey};
    struct ibv_recv_wr *bad = NULL;
    int answer = ibv_post_srq_recv(srq, &wr, &bad);
    if (answer)
        CHECK_PTR_EQ(bad, &wr);
    return answer;
}

static inline struct request send_of(uint64_t id, struct ibv_sge sge) {
    return (struct request){.opcode = IBV_WR_SEND, .id = id, .sge = sge};
}

static inline struct request write_of(uint64_t id, struct ibv_sge sge, const struct memory *m,
                                      int64_t offset) {
    return (struct request){.opcode = IBV_WR_RDMA_WRITE,
                            .id = id,
                            .sge = sge,
                            .remote_addr = address(m, offset),
                            .rkey = m->mr->rkey};
}

static inline struct request read_of(uint64_t id, struct ibv_sge sge, const struct memory *m,
                                     int64_t offset) {
    struct request r = write_of(id, sge, m, offset);
    r.opcode = IBV_WR_RDMA_READ;
    return r;
}

static inline struct request fetch_add_of(uint64_t id, struct ibv_sge sge, const struct memory *m,
                                          int64_t offset, uint64_t add) {
    struct request r = write_of(id, sge, m, offset);
    r.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
    r.compare_add = add;
    return r;
}

static inline struct request swap_of(uint64_t id, struct ibv_sge sge, const struct memory *m, int64_t offset,
                                     uint64_t compare, uint64_t swap) {
    struct request r = write_of(id, sge, m, offset);
    r.opcode = IBV_WR_ATOMIC_CMP_AND_SWP;
    r.compare_add = compare;
    r.swap = swap;
    return r;
}

/* --- completions --- */

/* Takes the next completion, which must come soon. Returns whether it came. */
static inline bool next_completion(struct ibv_cq *cq, struct ibv_wc *wc, const char *file, int line) {
    uint64_t deadline = now_ms() + PATIENCE_MS;
    memset(wc, 0xcd, sizeof(*wc)); /* what ibv_poll_cq() does not set shows */
    for (;;) {
        int count = ibv_poll_cq(cq, 1, wc);
        if (count == 1)
            return true;
        if (!check_true(count == 0, "ibv_poll_cq() answers 0 or 1", file, line))
            return false;
        if (!check_true(now_ms() < deadline, "a completion comes in time", file, line))
            return false;
        sleep_ms(1);
    }
}

static inline struct ibv_wc completes(struct ibv_cq *cq, const struct ibv_qp *qp, uint64_t id,
                                      enum ibv_wc_status status, const char *file, int line) {
    struct ibv_wc wc;
    if (next_completion(cq, &wc, file, line)) {
        check_equal(wc.wr_id, id, "the completion's wr_id", "expected", file, line);
        check_equal(wc.status, status, "its status", "expected", file, line);
        check_equal(wc.qp_num, qp->qp_num, "its qp_num", "expected", file, line);
    }
    return wc;
}

/* The next completion of the end's sends or receives is this one. Returns it. */
#define SENT(end, id, status) completes((end)->scq, (end)->qp, (id), (status), __FILE__, __LINE__)
#define RECEIVED(end, id, status) completes((end)->rcq, (end)->qp, (id), (status), __FILE__, __LINE__)

/* The completion queue is empty. */
#define IS_EMPTY(cq) CHECK_EQ(ibv_poll_cq((cq), 1, &(struct ibv_wc){0}), 0)

/* --- descriptors and events --- */

/* Returns whether the descriptor is readable within this time. */
static inline bool is_readable(int fd, int timeout_ms) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, timeout_ms) == 1 && (entry.revents & POLLIN);
}

/* The next event of the device is of this kind. Returns whether it came; the caller acknowledges it. */
static inline bool takes_event(struct ibv_context *context, enum ibv_event_type type,
                               struct ibv_async_event *event, const char *file, int line) {
    if (!check_true(is_readable(context->async_fd, PATIENCE_MS), "an event comes in time", file, line))
        return false;
    if (!check_equal((uint64_t)ibv_get_async_event(context, event), 0, "ibv_get_async_event()", "0", file,
                     line))
        return false;
    check_equal(event->event_type, type, "the event's type", "expected", file, line);
    return true;
}

#define TAKES_EVENT(context, type, event) takes_event((context), (type), (event), __FILE__, __LINE__)
#define NO_EVENT(context) CHECK(!is_readable((context)->async_fd, 0))

#endif
