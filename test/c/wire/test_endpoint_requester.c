/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a requester: timers and retries, the end of requests for reasons of this end, states, local operations. */
#include "requester_rig.h"

/* --- the transport timer --- */

static void the_timer_is_due_at_its_microsecond(void) {
    for (uint32_t timeout = 0; timeout < 32; timeout++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.timeout = timeout;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        /* 4.096 microseconds times 2^timeout, not early. */
        const uint64_t usec = ((UINT64_C(4096) << timeout) + 999) / 1000;
        write_it(&rig, &mr, 1, 8);
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now), UINT64_MAX); /* nothing was sent yet */
        rig.now += 17;
        WRITE_PACKET(&rig, 0, 8);
        if (!timeout) {
            CHECK_EQ(tick_at(&rig, rig.now + UINT64_C(1000000000000)), UINT64_MAX);
            NO_PACKET(&rig);
            rig_close(&rig);
            continue;
        }
        const uint64_t due = rig.now + usec;
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now), due);
        CHECK_EQ(tick_at(&rig, due - 1), due);
        NO_PACKET(&rig);
        CHECK_EQ(tick_at(&rig, due), UINT64_MAX); /* it runs again from the next packet on */
        rig.now += 1000;
        WRITE_PACKET(&rig, 0, 8);
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now), due + 1000 + usec);
        answer_ack(&rig, psn(0));
        CHECK_EQ(tick_at(&rig, due + 1000 + usec), UINT64_MAX);
        NO_PACKET(&rig);
        rig_close(&rig);
    }
}

static void progress_restarts_the_timer(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 1, 8);
    read_it(&rig, &mr, 2, 3 * rig.mtu);
    CHECK_EQ(take_all(&rig), 2);
    uint64_t due = rig.now + TIMEOUT_14;
    rig.now += 100;
    write_it(&rig, &mr, 3, 8); /* another packet does not restart it */
    CHECK_EQ(take_all(&rig), 1);
    tick_at(&rig, due - 1);
    NO_PACKET(&rig);
    tick_at(&rig, due);
    CHECK_EQ(take_all(&rig), 3);
    CHECK_EQ(rig_counters(&rig).timeouts, 1);
    answer_ack(&rig, psn(0));
    for (uint32_t i = 0; i < 3; i++) {
        due = rig.now + TIMEOUT_14;
        answer_ack(&rig, psn(0)); /* not progress */
        tick_at(&rig, due - 1);
        NO_PACKET(&rig);
        answer_responses(&rig, 1, 3 * rig.mtu, 0, i, 1);
    }
    tick_at(&rig, rig.now + TIMEOUT_14 - 1);
    NO_PACKET(&rig);
    tick_at(&rig, rig.now + 1);
    WRITE_PACKET(&rig, 4, 8);
    CHECK_EQ(rig_counters(&rig).timeouts, 2);
    /* A NAK that goes back stops it: it runs from the next packet on. */
    rig.now += 1000;
    answer_nak(&rig, psn(4), 0x60);
    rig.now += 1000;
    WRITE_PACKET(&rig, 4, 8);
    tick_at(&rig, rig.now + TIMEOUT_14 - 1);
    NO_PACKET(&rig);
    tick_at(&rig, rig.now + 1);
    WRITE_PACKET(&rig, 4, 8);
    rig_close(&rig);
}

static void retries_end(void) {
    for (uint32_t retries = 0; retries < 8; retries++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.retry_cnt = retries;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        for (uint64_t i = 0; i < 3; i++)
            write_it(&rig, &mr, i, 8);
        CHECK_EQ(take_all(&rig), 3);
        for (uint32_t request = 0; request < 2; request++) {
            for (uint32_t i = 0; i < retries; i++) {
                tick_at(&rig, rig.now + TIMEOUT_14);
                NO_WC(rig.qp.scq);
                for (uint32_t k = request; k < 3; k++)
                    WRITE_PACKET(&rig, k, 8);
                NO_PACKET(&rig);
            }
            if (request)
                break;
            answer_ack(&rig, psn(0)); /* progress: the retries begin again */
            SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
        }
        tick_at(&rig, rig.now + TIMEOUT_14);
        ENDS(&rig, 1, RDMA_WRITE, 8, RETRY_EXC_ERR, NO_ANSWER, 0);
        FLUSHED(&rig, 2, RDMA_WRITE, 8);
        NO_PACKET(&rig);
        CHECK_EQ(rig_counters(&rig).timeouts, 2 * retries + 1);
        CHECK_EQ(rig_counters(&rig).retransmitted, 5 * retries);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        answer_ack(&rig, psn(2)); /* too late */
        CHECK_EQ(tick_at(&rig, rig.now + 100 * TIMEOUT_14), UINT64_MAX);
        rig_close(&rig);
    }
}

static void retransmissions_read_the_memory_again(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    memory[0] = 1;
    write_it(&rig, &mr, 1, 1);
    CHECK_EQ(WRITE_PACKET(&rig, 0, 1)[0], 1);
    memory[0] = 2;
    tick_at(&rig, rig.now + TIMEOUT_14);
    CHECK_EQ(WRITE_PACKET(&rig, 0, 1)[0], 2);
    rig_close(&rig);
}

/* An acknowledgement of the first transmission that comes while the second is under way. */
static void an_acknowledgement_overtakes_the_retransmission(void) {
    struct rig rig;
    struct sent sent;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint64_t i = 0; i < 5; i++)
        write_it(&rig, &mr, i, 2 * rig.mtu);
    CHECK_EQ(take_all(&rig), 10);
    tick_at(&rig, rig.now + TIMEOUT_14);
    for (int i = 0; i < 3; i++)
        CHECK(take_packet(&rig, &sent) != NULL);
    CHECK_EQ(sent.psn, psn(2));
    answer_ack(&rig, psn(6));
    for (uint64_t i = 0; i < 3; i++)
        SUCCEEDS(&rig, i, RDMA_WRITE, 2 * rig.mtu);
    PACKET(&rig, .opcode = 0x08, .psn = psn(7), .bytes = rig.mtu, .ask = true);
    CHECK_EQ(take_all(&rig), 2);
    answer_ack(&rig, psn(9));
    SUCCEEDS(&rig, 3, RDMA_WRITE, 2 * rig.mtu);
    SUCCEEDS(&rig, 4, RDMA_WRITE, 2 * rig.mtu);
    NO_PACKET(&rig);
    rig_close(&rig);
}

/* --- bytes of this end that cannot be used --- */

static struct vmr fickle_mr(struct rig *rig, struct fickle *fickle) {
    struct vmr mr = {.data = memory, .addr = 0x100000, .length = PAGE};
    *fickle = (struct fickle){.reason = RVT_REASON_NONE, .data = memory};
    rvt_memory_init(&fickle->memory, &fickle_ops, PAGE);
    CHECK_EQ(rvt_reg_user_mr(rig->v.pd, &fickle->memory, mr.addr, mr.addr, ALL_ACCESS, &mr.mr), 0);
    mr.key = fixture_key(mr.mr);
    return mr;
}

#define LOCAL_REFUSED(rig, id, op, bytes)                                                                    \
    WC((rig)->qp.scq, .wr_id = (id), .qp_num = (rig)->qp.qpn, .opcode = RVT_WC_OPCODE_##op,                  \
       .byte_len = (bytes), .status = RVT_WC_STATUS_LOC_PROT_ERR, .cause = RVT_WHY_LOCAL_REFUSED,            \
       .refused.reason = RVT_OTHER_ENVIRONMENT)

static void bytes_that_cannot_be_read_fail_the_request_in_its_turn(void) {
    struct rig rig;
    struct fickle fickle;
    struct sent sent;
    /* The oldest request; in the middle of a message; behind others; when it is sent again. */
    for (int way = 0; way < 4; way++) {
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, BIG), gone = fickle_mr(&rig, &fickle);
        const uint32_t length = 3 * rig.mtu;
        if (way == 2) {
            write_it(&rig, &mr, 0, 8);
            read_it(&rig, &mr, 1, 8);
        }
        write_it(&rig, &gone, 2, length);
        write_it(&rig, &mr, 3, 8);
        if (way == 1)
            CHECK(take_packet(&rig, &sent) != NULL);
        if (way == 3) {
            CHECK_EQ(take_all(&rig), 4);
            answer_ack(&rig, psn(0));
            tick_at(&rig, rig.now + TIMEOUT_14);
        }
        fickle.reason = RVT_OTHER_ENVIRONMENT;
        if (way == 2) {
            WRITE_PACKET(&rig, 0, 8);
            READ_PACKET(&rig, 1, 0, 8);
            NO_PACKET(&rig);
            NO_WC(rig.qp.scq);
            answer_ack(&rig, psn(0));
            SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
            NO_PACKET(&rig);
            NO_WC(rig.qp.scq);
            answer_read(&rig, 0x10, psn(1), answers, 8);
            SUCCEEDS(&rig, 1, RDMA_READ, 8);
        }
        NO_PACKET(&rig);
        LOCAL_REFUSED(&rig, 2, RDMA_WRITE, length);
        FLUSHED(&rig, 3, RDMA_WRITE, 8);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        AT_REST(mr);
        AT_REST(gone);
        rig_close(&rig);
    }
}

static void responses_that_cannot_be_stored_fail_the_request(void) {
    struct rig rig;
    struct fickle fickle;
    for (int way = 0; way < 3; way++) {
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, BIG), gone = fickle_mr(&rig, &fickle);
        const uint32_t length = 2 * rig.mtu;
        memset(memory, 0xcc, BIG);
        write_it(&rig, &mr, 1, 8);
        way == 2 ? add_it(&rig, &gone, 2) : read_it(&rig, &gone, 2, length);
        CHECK_EQ(take_all(&rig), 2);
        if (way == 1)
            answer_responses(&rig, 1, length, 0, 0, 1);
        fickle.reason = RVT_OTHER_ENVIRONMENT;
        way == 2 ? answer_atomic(&rig, psn(1), 1) : answer_responses(&rig, 1, length, 0, way == 1, 1);
        SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
        if (way == 2)
            LOCAL_REFUSED(&rig, 2, FETCH_ADD, 8);
        else
            LOCAL_REFUSED(&rig, 2, RDMA_READ, length);
        CHECK_EQ(memory[way == 1 ? rig.mtu : 0], 0xcc);
        rig_close(&rig);
    }
}

/* A region that is taken away flushes the queue pair; nothing of it is written or sent afterwards. */
static void a_region_that_is_forced_away(void) {
    for (int read = 0; read < 2; read++) {
        struct rig rig;
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, PAGE), other = make_mr(&rig.v, memory + PAGE, BIG);
        memset(memory, 0xcc, PAGE);
        write_it(&rig, &other, 1, 8);
        post_it(&rig, &mr, 2, read ? RVT_WR_RDMA_READ : RVT_WR_RDMA_WRITE, 3 * rig.mtu, 0);
        CHECK_EQ(take_all(&rig), read ? 2 : 4);
        if (read)
            answer_responses(&rig, 1, 3 * rig.mtu, 0, 0, 1);
        CHECK_EQ(rvt_dereg_mr(mr.mr, RVT_RELEASE_FORCE), 0);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        if (read)
            SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
        else
            FLUSHED(&rig, 1, RDMA_WRITE, 8);
        WC(rig.qp.scq, .wr_id = 2, .qp_num = rig.qp.qpn, .byte_len = 3 * rig.mtu,
           .opcode = read ? RVT_WC_OPCODE_RDMA_READ : RVT_WC_OPCODE_RDMA_WRITE,
           .status = RVT_WC_STATUS_WR_FLUSH_ERR, .cause = RVT_WHY_FLUSHED);
        answer_responses(&rig, 1, 3 * rig.mtu, 0, 1, 2);
        if (read)
            CHECK_EQ(memory[rig.mtu], 0xcc);
        NO_PACKET(&rig);
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now + 1000000), UINT64_MAX);
        rig_close(&rig);
    }
}

/* --- states --- */

static void in_sqd_what_has_begun_is_carried_on_with(void) {
    struct rig rig;
    struct sent sent;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 0, 8);
    read_it(&rig, &mr, 1, 2 * rig.mtu);
    write_it(&rig, &mr, 2, 3 * rig.mtu);
    write_it(&rig, &mr, 3, 8);
    for (int i = 0; i < 3; i++)
        CHECK(take_packet(&rig, &sent) != NULL);
    CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_SQD), 0);
    CHECK(query_qp(&rig.qp).sq_draining);
    PACKET(&rig, .opcode = 0x07, .psn = psn(4), .bytes = rig.mtu);
    PACKET(&rig, .opcode = 0x08, .psn = psn(5), .bytes = rig.mtu, .ask = true);
    NO_PACKET(&rig);
    write_it(&rig, &mr, 4, 8);
    NO_PACKET(&rig);
    /* Answers, gaps and timers count as in RTS. */
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    answer_responses(&rig, 1, 2 * rig.mtu, 0, 0, 1);
    tick_at(&rig, rig.now + TIMEOUT_14);
    READ_PACKET(&rig, 2, rig.mtu, rig.mtu);
    CHECK_EQ(take_all(&rig), 3);
    answer_responses(&rig, 1, 2 * rig.mtu, 1, 1, 1);
    SUCCEEDS(&rig, 1, RDMA_READ, 2 * rig.mtu);
    answer_ack(&rig, psn(5));
    SUCCEEDS(&rig, 2, RDMA_WRITE, 3 * rig.mtu);
    NO_PACKET(&rig);
    CHECK_EQ(query_qp(&rig.qp).sends, 2);
    rig.woken = 0;
    CHECK_EQ(rvt_modify_qp(rig.qp.handle, &(struct rvt_qp_attr){.state = RVT_QPS_RTS}, RVT_QPA_STATE), 0);
    CHECK_EQ(rig.woken, 1);
    WRITE_PACKET(&rig, 6, 8);
    WRITE_PACKET(&rig, 7, 8);
    answer_ack(&rig, psn(7));
    SUCCEEDS(&rig, 3, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 4, RDMA_WRITE, 8);
    rig_close(&rig);
}

static void a_wait_for_a_receive_ends_in_sqd_too(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    post_it(&rig, &mr, 1, RVT_WR_SEND, 8, 0);
    CHECK_EQ(take_all(&rig), 1);
    answer_nak(&rig, psn(0), 0x21);
    CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_SQD), 0);
    NO_PACKET(&rig);
    tick_at(&rig, rig.now + 10);
    PACKET(&rig, .opcode = 0x04, .psn = psn(0), .ask = true, .bytes = 8);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 1, SEND, 8);
    rig_close(&rig);
}

/* In each phase of a request; to ERR, RESET, or destroyed. */
static void a_queue_pair_that_ends_in_the_middle(void) {
    enum { TO_ERR, TO_RESET, DESTROYED, WAYS };
    enum { NOT_SENT, SENT_IN_PART, SENT, ANSWERED_IN_PART, TIMED_OUT, WAITING, PHASES };
    for (int way = 0; way < WAYS; way++) {
        for (int phase = 0; phase < PHASES; phase++) {
            struct rig rig;
            struct sent sent;
            REQUIRE(rig_open(&rig));
            struct vmr mr = make_mr(&rig.v, memory, BIG);
            memset(memory, 0xcc, BIG);
            read_it(&rig, &mr, 1, 2 * rig.mtu);
            post_it(&rig, &mr, 2, RVT_WR_SEND, 3 * rig.mtu, 0);
            bool one_done = false;
            if (phase == SENT_IN_PART) {
                CHECK(take_packet(&rig, &sent) != NULL);
                CHECK(take_packet(&rig, &sent) != NULL);
            } else if (phase > SENT_IN_PART) {
                CHECK_EQ(take_all(&rig), 4);
            }
            if (phase == ANSWERED_IN_PART)
                answer_responses(&rig, 0, 2 * rig.mtu, 0, 0, 1);
            if (phase == TIMED_OUT)
                tick_at(&rig, rig.now + TIMEOUT_14);
            if (phase == WAITING) {
                answer_responses(&rig, 0, 2 * rig.mtu, 0, 0, 2);
                SUCCEEDS(&rig, 1, RDMA_READ, 2 * rig.mtu);
                answer_nak(&rig, psn(2), 0x21);
                one_done = true;
            }
            if (way == DESTROYED)
                CHECK_EQ(rvt_destroy_qp(rig.qp.handle), 0);
            else
                CHECK_EQ(move_qp(&rig.qp, rig.attr, way == TO_ERR ? RVT_QPS_ERR : RVT_QPS_RESET), 0);
            if (way == TO_ERR) {
                if (!one_done)
                    FLUSHED(&rig, 1, RDMA_READ, 2 * rig.mtu);
                FLUSHED(&rig, 2, SEND, 3 * rig.mtu);
            }
            NO_WC(rig.qp.scq);
            AT_REST(mr);
            memset(memory, 0xcc, BIG);
            answer_responses(&rig, 0, 2 * rig.mtu, 0, 0, 2);
            answer_ack(&rig, psn(4));
            CHECK_EQ(memory[0], 0xcc);
            NO_PACKET(&rig);
            /* Also if it was not due yet, the timer does not live on. */
            if (phase % 2)
                CHECK_EQ(tick_at(&rig, rig.now + 1000000000), UINT64_MAX);
            NO_PACKET(&rig);
            if (way != DESTROYED) {
                /* It begins again, with nothing left of before. */
                CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_RESET), 0);
                rig.attr.sq_psn = psn(1000);
                bring_to(&rig.qp, rig.attr, RVT_QPS_RTS);
                NO_PACKET(&rig);
                write_it(&rig, &mr, 7, 8);
                answer_ack(&rig, psn(4));
                rig.now += TIMEOUT_14 / 2;
                WRITE_PACKET(&rig, 1000, 8);
                answer_ack(&rig, psn(4));
                tick_at(&rig, rig.now + TIMEOUT_14 - 1);
                NO_PACKET(&rig);
                NO_WC(rig.qp.scq);
                answer_ack(&rig, psn(1000));
                SUCCEEDS(&rig, 7, RDMA_WRITE, 8);
            }
            rig_close(&rig);
        }
    }
}

static void the_endpoint_closes_in_the_middle(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 1, 3 * rig.mtu);
    read_it(&rig, &mr, 2, 8);
    CHECK_EQ(take_all(&rig), 4);
    rvt_endpoint_close(rig.endpoint);
    ENDS(&rig, 1, RDMA_WRITE, 3 * rig.mtu, WR_FLUSH_ERR, ENDPOINT_CLOSED, 0);
    ENDS(&rig, 2, RDMA_READ, 8, WR_FLUSH_ERR, ENDPOINT_CLOSED, 0);
    AT_REST(mr);
    verbs_close(&rig.v);
}

/* --- completions --- */

static void unsignaled_requests_complete_silently(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    const struct rvt_ib_sge sge = sge_at(&mr, 0, 8);
    for (uint64_t i = 0; i < 6; i++) {
        const uint32_t opcode = i == 1   ? RVT_WR_RDMA_READ
                                : i == 3 ? RVT_WR_ATOMIC_FETCH_AND_ADD
                                         : RVT_WR_RDMA_WRITE;
        CHECK_EQ(post(&rig.qp,
                      PLAIN_WR(.wr_id = i, .opcode = opcode, .sges = &sge, .num_sge = 1,
                               .remote_addr = REMOTE, .rkey = RKEY, .flags = i == 4 ? RVT_SEND_SIGNALED : 0)),
                 0);
    }
    CHECK_EQ(take_all(&rig), 6);
    answer_read(&rig, 0x10, psn(1), answers, 8);
    CHECK_EQ(query_qp(&rig.qp).sends, 4);
    answer_atomic(&rig, psn(3), 1);
    NO_WC(rig.qp.scq);
    answer_ack(&rig, psn(5));
    SUCCEEDS(&rig, 4, RDMA_WRITE, 8);
    NO_WC(rig.qp.scq);
    CHECK_EQ(query_qp(&rig.qp).sends, 0);
    AT_REST(mr);
    /* A failure is reported nevertheless. */
    CHECK_EQ(post(&rig.qp, PLAIN_WR(.wr_id = 9, .opcode = RVT_WR_RDMA_WRITE)), 0);
    CHECK_EQ(take_all(&rig), 1);
    answer_nak(&rig, psn(6), 0x62);
    ENDS(&rig, 9, RDMA_WRITE, 0, REM_ACCESS_ERR, NAK, 0x62);
    rig_close(&rig);
}

/* One answer completes more than the completion queue holds: the queue pair fails in the middle of it. */
static void a_full_completion_queue_fails_the_queue_pair(void) {
    enum { ACK, READ, ADD, NAK, LOCAL, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.sq_psn = 0xfffffd; /* the fourth request has PSN 0, as a stopped requester */
        rig_connect(&rig, (struct rvt_qp_init){.send_cq = make_cq(&rig.v, 2)});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        struct rvt_mr_handle list = {0};
        CHECK_EQ(rvt_alloc_mr(rig.v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
        for (uint64_t i = 0; i < 3; i++) {
            if (way == LOCAL && i == 2)
                CHECK_EQ(post(&rig.qp, SEND_WR(.wr_id = i, .opcode = RVT_WR_REG_MR, .mr = list,
                                               .key = fixture_key(list), .access = LOCAL_WRITE)),
                         0);
            else
                write_it(&rig, &mr, i, 8);
        }
        if (way == READ)
            read_it(&rig, &mr, 3, 2 * rig.mtu);
        else if (way == ADD)
            add_it(&rig, &mr, 3);
        else
            write_it(&rig, &mr, 3, 8);
        write_it(&rig, &mr, 4, 8);
        memset(memory, 0xcc, 64);
        CHECK_EQ(take_all(&rig), way == LOCAL ? 4 : 5);
        if (way == ACK || way == LOCAL)
            answer_ack(&rig, 0);
        else if (way == READ)
            answer_responses(&rig, 6, 2 * rig.mtu, 0, 0, 1);
        else if (way == ADD)
            answer_atomic(&rig, 0, 1);
        else
            answer_nak(&rig, 0, 0x62);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        CHECK_EQ(query_qp(&rig.qp).sends, 0);
        SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
        SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
        NO_WC(rig.qp.scq);
        CHECK_EQ(memory[0], 0xcc); /* the READ behind it did not go on */
        NO_PACKET(&rig);
        CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now + 1000000), UINT64_MAX);
        AT_REST(mr);
        rig_close(&rig);
    }
    /* The completion of a READ itself, and a failure. */
    for (int fails = 0; fails < 2; fails++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig_connect(&rig, (struct rvt_qp_init){.send_cq = make_cq(&rig.v, 1)});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        for (uint64_t i = 0; i < 3; i++)
            read_it(&rig, &mr, i, 8);
        CHECK_EQ(take_all(&rig), 3);
        answer_read(&rig, 0x10, psn(0), answers, 8);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
        if (fails)
            answer_nak(&rig, psn(1), 0x61);
        else
            answer_read(&rig, 0x10, psn(1), answers, 8);
        CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        SUCCEEDS(&rig, 0, RDMA_READ, 8);
        NO_WC(rig.qp.scq);
        NO_PACKET(&rig);
        rig_close(&rig);
    }
}

/* --- local operations --- */

static void local_operations_are_completed_in_their_turn(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    struct rvt_mr_handle list = {0};
    CHECK_EQ(rvt_alloc_mr(rig.v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
    const uint32_t key = fixture_key(list);
    const struct rvt_send_wr reg =
        SEND_WR(.wr_id = 1, .opcode = RVT_WR_REG_MR, .mr = list, .key = key, .access = ALL_ACCESS);
    write_it(&rig, &mr, 0, 8);
    CHECK_EQ(post(&rig.qp, reg), 0);
    read_it(&rig, &mr, 2, 8);
    CHECK_EQ(post(&rig.qp, reg), 0);
    CHECK_EQ(post(&rig.qp, reg), 0);
    write_it(&rig, &mr, 3, 8);
    /* They were carried out at posting, so that what follows need not wait. */
    WRITE_PACKET(&rig, 0, 8);
    READ_PACKET(&rig, 1, 0, 8);
    WRITE_PACKET(&rig, 2, 8);
    NO_WC(rig.qp.scq);
    tick_at(&rig, rig.now + TIMEOUT_14); /* going back goes past them */
    CHECK_EQ(take_all(&rig), 3);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    NO_WC(rig.qp.scq);
    answer_read(&rig, 0x10, psn(1), answers, 8);
    SUCCEEDS(&rig, 2, RDMA_READ, 8);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    NO_WC(rig.qp.scq);
    answer_ack(&rig, psn(2));
    SUCCEEDS(&rig, 3, RDMA_WRITE, 8);
    /* Alone. */
    CHECK_EQ(post(&rig.qp, reg), 0);
    NO_PACKET(&rig);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    rig_close(&rig);
}

static void an_invalidation_holds_back_what_follows(void) {
    for (int refused = 0; refused < 2; refused++) {
        struct rig rig;
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        struct rvt_mr_handle list = {0};
        CHECK_EQ(rvt_alloc_mr(rig.v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
        const uint32_t key = refused ? 0x12345678 : fixture_key(list);
        read_it(&rig, &mr, 0, 8);
        CHECK_EQ(post(&rig.qp, PLAIN_WR(.wr_id = 1, .opcode = RVT_WR_LOCAL_INV, .invalidate_rkey = key,
                                        .flags = RVT_SEND_FENCE | RVT_SEND_SIGNALED)),
                 0);
        write_it(&rig, &mr, 2, 8);
        READ_PACKET(&rig, 0, 0, 8);
        NO_PACKET(&rig);
        answer_read(&rig, 0x10, psn(0), answers, 8);
        SUCCEEDS(&rig, 0, RDMA_READ, 8);
        WRITE_PACKET(&rig, 1, 8);
        if (refused)
            ENDS(&rig, 1, LOCAL_INV, 0, LOC_PROT_ERR, INVALIDATE_REFUSED, 0);
        else
            SUCCEEDS(&rig, 1, LOCAL_INV, 0);
        NO_WC(rig.qp.scq);
        answer_ack(&rig, psn(1));
        SUCCEEDS(&rig, 2, RDMA_WRITE, 8);
        rig_close(&rig);
    }
}

/* SQD: an operation that was carried out between requests that have begun is completed, another one waits. */
static void local_operations_in_sqd(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    struct rvt_mr_handle list = {0};
    CHECK_EQ(rvt_alloc_mr(rig.v.pd, RVT_MR_TYPE_MEM_REG, 4, &list), 0);
    const struct rvt_send_wr reg = SEND_WR(.wr_id = 1, .opcode = RVT_WR_REG_MR, .mr = list,
                                           .key = fixture_key(list), .access = ALL_ACCESS);
    write_it(&rig, &mr, 0, 8);
    CHECK_EQ(post(&rig.qp, reg), 0);
    write_it(&rig, &mr, 2, 8);
    CHECK_EQ(take_all(&rig), 2);
    CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_SQD), 0);
    CHECK_EQ(post(&rig.qp, reg), 0);
    NO_PACKET(&rig);
    answer_ack(&rig, psn(1));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    SUCCEEDS(&rig, 2, RDMA_WRITE, 8);
    NO_PACKET(&rig);
    NO_WC(rig.qp.scq);
    CHECK_EQ(rvt_modify_qp(rig.qp.handle, &(struct rvt_qp_attr){.state = RVT_QPS_RTS}, RVT_QPA_STATE), 0);
    NO_PACKET(&rig);
    SUCCEEDS(&rig, 1, REG_MR, 0);
    rig_close(&rig);
}

/* --- the host --- */

static void the_host_is_woken_when_there_is_work(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    CHECK_EQ(rig.woken, 0);
    write_it(&rig, &mr, 1, 8);
    CHECK_EQ(rig.woken, 1);
    write_it(&rig, &mr, 2, 8); /* not again before it has sent */
    CHECK_EQ(rig.woken, 1);
    CHECK_EQ(take_all(&rig), 2);
    write_it(&rig, &mr, 3, 8);
    CHECK_EQ(rig.woken, 2);
    CHECK_EQ(take_all(&rig), 1);
    /* Also by a timer: the host need not have looked for packets since. */
    tick_at(&rig, rig.now + TIMEOUT_14);
    CHECK_EQ(rig.woken, 3);
    CHECK_EQ(take_all(&rig), 3);
    answer_ack(&rig, psn(2));
    CHECK_EQ(rig.woken, 3);
    post_it(&rig, &mr, 4, RVT_WR_SEND, 8, 0);
    CHECK_EQ(take_all(&rig), 1);
    CHECK_EQ(rig.woken, 4);
    answer_nak(&rig, psn(3), 0x21); /* 10 microseconds */
    NO_PACKET(&rig);
    CHECK_EQ(tick_at(&rig, rig.now), rig.now + 10);
    CHECK_EQ(rig.woken, 4);
    tick_at(&rig, rig.now + 10);
    CHECK_EQ(rig.woken, 5);
    CHECK_EQ(take_all(&rig), 1);
    rig_close(&rig);
}

/* Queue pairs end in every order, while they have something to send and while their timers run. */
static void queue_pairs_end_in_any_order(void) {
    static const uint8_t orders[6][2] = {{0, 1}, {1, 0}, {0, 2}, {2, 0}, {1, 2}, {2, 1}};
    for (unsigned i = 0; i < 12; i++) {
        struct rig rig;
        struct vqp qps[3];
        const bool timers = i >= 6;
        REQUIRE(rig_open_empty(&rig));
        for (unsigned k = 0; k < 3; k++) {
            rig_connect(&rig, (struct rvt_qp_init){0});
            qps[k] = rig.qp;
        }
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        for (unsigned k = 0; k < 3; k++) {
            rig.qp = qps[k];
            write_it(&rig, &mr, k, 8);
        }
        if (timers)
            CHECK_EQ(take_all(&rig), 3);
        for (unsigned k = 0; k < 2; k++)
            CHECK_EQ(rvt_destroy_qp(qps[orders[i % 6][k]].handle), 0);
        if (timers)
            tick_at(&rig, rig.now + TIMEOUT_14);
        CHECK_EQ(take_all(&rig), 1);
        rig.qp = qps[3 - orders[i % 6][0] - orders[i % 6][1]];
        answer_ack(&rig, psn(0));
        SUCCEEDS(&rig, (uint64_t)(3 - orders[i % 6][0] - orders[i % 6][1]), RDMA_WRITE, 8);
        CHECK_EQ(tick_at(&rig, rig.now + 2 * TIMEOUT_14), UINT64_MAX);
        CHECK_EQ(rig_counters(&rig).timeouts, timers);
        rig_close(&rig);
    }
}

static void a_queue_pair_without_a_send_queue(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    struct vqp qp = {0};
    const struct rvt_qp_init init = {.type = RVT_QPT_RC,
                                     .sig_type = RVT_SIGNAL_REQ_WR,
                                     .send_cq = make_cq(&rig.v, 8),
                                     .recv_cq = make_cq(&rig.v, 8),
                                     .max_recv_wr = 4,
                                     .max_recv_sge = 1};
    CHECK_EQ(rvt_create_qp(rig.v.pd, &init, &qp.handle, &qp.qpn), 0);
    qp.serial = qp.handle.qp->owned.serial;
    CHECK_EQ(rvt_endpoint_connect(rig.endpoint, qp.handle, &rig_peer, rig.now), 0);
    bring_to(&qp, rig.attr, RVT_QPS_RTS);
    rig.qp = qp;
    answer_ack(&rig, psn(0));
    NO_PACKET(&rig);
    FAILS_WITH(post(&qp, SEND_WR(.opcode = RVT_WR_SEND)), RVT_ENOMEM, RVT_CAUSE_QUEUE_FULL, 0, 0, 0);
    rig_close(&rig);
}

static void connecting_without_memory_leaves_the_queue_pair(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    rig.qp = make_qp(&rig.v, RVT_QPT_RC);
    int failures = 0;
    for (long n = 0; n < 10; n++) {
        const long live = rvt_test_alloc_live();
        rvt_test_alloc_fail_after(n);
        const int answer = rvt_endpoint_connect(rig.endpoint, rig.qp.handle, &rig_peer, rig.now);
        const bool failed = rvt_test_alloc_failed();
        rvt_test_alloc_fail_after(-1);
        if (!failed) {
            CHECK_EQ(answer, 0);
            break;
        }
        failures++;
        FAILS(answer, RVT_ENOMEM, RVT_CAUSE_NO_MEMORY);
        CHECK_EQ(rvt_test_alloc_live(), live);
    }
    CHECK_EQ(failures, 2); /* the connection, and its ring */
    bring_to(&rig.qp, rig.attr, RVT_QPS_RTS);
    rig_close(&rig);
}

/* The ring of begun work requests turns around many times, at every fill. */
static void long_runs(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    rig_connect(&rig, (struct rvt_qp_init){.max_send_wr = 5});
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    uint32_t index = 0;
    for (uint64_t round = 0; round < 500; round++) {
        const uint32_t count = 1 + round % 5, first = index;
        for (uint64_t i = 0; i < count; i++, index++)
            (round + i) % 3 ? write_it(&rig, &mr, i, 8) : read_it(&rig, &mr, i, 8);
        for (uint32_t i = 0; i < count; i++)
            (round + i) % 3 ? WRITE_PACKET(&rig, first + i, 8) : READ_PACKET(&rig, first + i, 0, 8);
        for (uint32_t i = 0; i < count; i++)
            (round + i) % 3 ? answer_ack(&rig, psn(first + i))
                            : answer_read(&rig, 0x10, psn(first + i), answers, 8);
        for (uint64_t i = 0; i < count; i++)
            (round + i) % 3 ? SUCCEEDS(&rig, i, RDMA_WRITE, 8) : SUCCEEDS(&rig, i, RDMA_READ, 8);
    }
    rig_close(&rig);
}

CHECK_MAIN(TEST(the_timer_is_due_at_its_microsecond), TEST(progress_restarts_the_timer), TEST(retries_end),
           TEST(retransmissions_read_the_memory_again), TEST(an_acknowledgement_overtakes_the_retransmission),
           TEST(bytes_that_cannot_be_read_fail_the_request_in_its_turn),
           TEST(responses_that_cannot_be_stored_fail_the_request), TEST(a_region_that_is_forced_away),
           TEST(in_sqd_what_has_begun_is_carried_on_with), TEST(a_wait_for_a_receive_ends_in_sqd_too),
           TEST(a_queue_pair_that_ends_in_the_middle), TEST(the_endpoint_closes_in_the_middle),
           TEST(unsignaled_requests_complete_silently), TEST(a_full_completion_queue_fails_the_queue_pair),
           TEST(local_operations_are_completed_in_their_turn), TEST(an_invalidation_holds_back_what_follows),
           TEST(local_operations_in_sqd), TEST(the_host_is_woken_when_there_is_work),
           TEST(queue_pairs_end_in_any_order), TEST(a_queue_pair_without_a_send_queue),
           TEST(connecting_without_memory_leaves_the_queue_pair), TEST(long_runs))
