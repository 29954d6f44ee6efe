/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of work requests that lead back to themselves, by a mistake of the program: posting must come to an
 * end in every state of the queue pair. */
#include "threads.h"

/* What is posted, and the answer. */
struct posting {
    struct end *end;
    struct ibv_srq *srq; /* NULL: the queue pair's own receives */
    bool sends;
    int answer;
    bool names_one; /* bad_wr names the work request */
};

static void post_endlessly(void *argument) {
    struct posting *p = argument;
    struct ibv_send_wr send = {.wr_id = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED},
                       *bad_send = NULL;
    struct ibv_recv_wr receive = {.wr_id = 2}, *bad_receive = NULL;
    send.next = &send;
    receive.next = &receive;
    p->answer = p->sends ? ibv_post_send(p->end->qp, &send, &bad_send)
                : p->srq ? ibv_post_srq_recv(p->srq, &receive, &bad_receive)
                         : ibv_post_recv(p->end->qp, &receive, &bad_receive);
    p->names_one = p->sends ? bad_send == &send : bad_receive == &receive;
}

/* Posts in a thread, so that a call that does not end fails the test. */
static void comes_to_an_end(struct posting *p, int expected) {
    struct task task;
    REQUIRE(start(&task, post_endlessly, p));
    finish(&task);
    CHECK_EQ(p->answer, expected);
    CHECK(p->names_one);
}

static void a_full_queue_ends_them(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 7}));
    struct ibv_srq *srq;
    REQUIRE(make_srq(&s.w, s.w.pd, 4, 1, &srq));
    comes_to_an_end(&(struct posting){.end = &s.a, .sends = true}, ENOMEM);
    comes_to_an_end(&(struct posting){.end = &s.a}, ENOMEM);
    comes_to_an_end(&(struct posting){.srq = srq}, ENOMEM);
    scene_close(&s);
}

/* In the error state each receive completes while it is posted, so the queue does not become full. */
static void they_end_in_the_error_state(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    REQUIRE(to_state(&s.a, IBV_QPS_ERR) == 0);
    comes_to_an_end(&(struct posting){.end = &s.a, .sends = true}, ENOMEM);
    comes_to_an_end(&(struct posting){.end = &s.a}, EINVAL);
    scene_close(&s);
}

CHECK_MAIN(TEST(a_full_queue_ends_them), TEST(they_end_in_the_error_state))
