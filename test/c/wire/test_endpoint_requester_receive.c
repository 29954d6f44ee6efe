/* SPDX-License-Identifier: BSD-3-Clause */
/* The answers to a requester: every one of them is written by hand. */
#include "requester_rig.h"

/* --- acknowledgements --- */

static void acknowledgements_cover_what_comes_before(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint64_t i = 0; i < 3; i++)
        write_it(&rig, &mr, i, 8);
    write_it(&rig, &mr, 3, rig.mtu * 4); /* PSNs 3 to 6 */
    CHECK_EQ(take_all(&rig), 7);
    answer_ack(&rig, psn(1));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
    NO_WC(rig.qp.scq);
    answer_ack(&rig, psn(4)); /* in the middle of a message */
    SUCCEEDS(&rig, 2, RDMA_WRITE, 8);
    NO_WC(rig.qp.scq);
    /* Stale ones, and those of what was never sent. */
    answer_ack(&rig, psn(0));
    answer_ack(&rig, psn(4));
    answer_ack(&rig, FIRST_PSN - 1);
    answer_ack(&rig, psn(7));
    answer_ack(&rig, psn(8));
    answer_ack(&rig, psn(0x7fffff));
    answer_ack(&rig, psn(0x800000));
    answer_ack(&rig, psn(0x800005));
    NO_WC(rig.qp.scq);
    /* After the timeout it goes on behind what was acknowledged. */
    tick_at(&rig, rig.now + TIMEOUT_14);
    PACKET(&rig, .opcode = 0x07, .psn = psn(5), .bytes = rig.mtu);
    PACKET(&rig, .opcode = 0x08, .psn = psn(6), .bytes = rig.mtu, .ask = true);
    NO_PACKET(&rig);
    CHECK_EQ(rig_counters(&rig).retransmitted, 2);
    answer_ack(&rig, psn(6));
    SUCCEEDS(&rig, 3, RDMA_WRITE, rig.mtu * 4);
    answer_ack(&rig, psn(6));
    NO_WC(rig.qp.scq);
    CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
    rig_close(&rig);
}

static void ghost_answers_complete_nothing(void) {
    struct rig rig;
    struct sent sent;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    /* Nothing was posted; posted and not sent; sent in part. */
    answer_ack(&rig, psn(0));
    write_it(&rig, &mr, 1, 8);
    answer_ack(&rig, psn(0));
    for (unsigned syndrome = 0; syndrome < 256; syndrome++)
        answer_with(&rig, psn(0), syndrome, 1);
    answer_atomic(&rig, psn(0), 1);
    answer_read(&rig, 0x10, psn(0), answers, 8);
    NO_WC(rig.qp.scq);
    WRITE_PACKET(&rig, 0, 8);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
    write_it(&rig, &mr, 2, rig.mtu * 3);
    CHECK(take_packet(&rig, &sent) != NULL);
    answer_ack(&rig, psn(2));
    answer_ack(&rig, psn(3));
    NO_WC(rig.qp.scq);
    PACKET(&rig, .opcode = 0x07, .psn = psn(2), .bytes = rig.mtu);
    /* A READ whose request was not sent has no responses. */
    read_it(&rig, &mr, 3, 8);
    memset(memory, 0xcc, 8);
    answer_read(&rig, 0x10, psn(4), answers, 8);
    CHECK_EQ(memory[0], 0xcc);
    CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
    rig_close(&rig);
}

/* Soft-RoCE does not count a SEND_WITH_INV of an unknown key, so that its MSN cannot be compared. */
static void the_msn_is_not_looked_at(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint32_t i = 0; i < 3; i++) {
        static const uint32_t msns[] = {0, 0x800000, 0xffffff};
        write_it(&rig, &mr, i, 8);
        WRITE_PACKET(&rig, i, 8);
        answer_with(&rig, psn(i), i * 15, msns[i]);
        SUCCEEDS(&rig, i, RDMA_WRITE, 8);
    }
    rig_close(&rig);
}

static void reserved_syndromes_are_dropped(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 1, 8);
    WRITE_PACKET(&rig, 0, 8);
    for (unsigned syndrome = 0x40; syndrome < 256; syndrome++)
        if (syndrome < 0x60 || syndrome > 0x63)
            answer_with(&rig, psn(0), syndrome, 1);
    /* An acknowledgement with bytes behind it. */
    struct packet p;
    begin_answer(&rig, &p, 0x11, psn(0), 4);
    put_32(&p, 0x1f000001);
    put_32(&p, 0);
    deliver(&rig, &p);
    NO_WC(rig.qp.scq);
    NO_PACKET(&rig);
    CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
    rig_close(&rig);
}

static void an_acknowledgement_past_a_read_does_not_complete_it(void) {
    for (int atomic = 0; atomic < 2; atomic++) {
        struct rig rig;
        REQUIRE(rig_open(&rig));
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        write_it(&rig, &mr, 0, 8);
        atomic ? add_it(&rig, &mr, 1) : read_it(&rig, &mr, 1, 8);
        for (uint64_t i = 2; i < 6; i++)
            write_it(&rig, &mr, i, 8);
        CHECK_EQ(take_all(&rig), 6);
        answer_ack(&rig, psn(3));
        SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
        NO_WC(rig.qp.scq);
        /* Asks again at once: for the response, and for what was not acknowledged; the WRITEs in between were. */
        for (int again = 0; again < 2; again++) {
            atomic ? ADD_PACKET(&rig, 1) : READ_PACKET(&rig, 1, 0, 8);
            if (!again) {
                WRITE_PACKET(&rig, 4, 8);
                WRITE_PACKET(&rig, 5, 8);
                NO_PACKET(&rig);
                /* Acknowledgements that were on their way do not ask again; the timer does. */
                answer_ack(&rig, psn(4));
                answer_ack(&rig, psn(5));
                answer_ack(&rig, psn(5));
                answer_ack(&rig, psn(3)); /* overtaken: does not take the later ones back */
                NO_PACKET(&rig);
                tick_at(&rig, rig.now + TIMEOUT_14);
            }
        }
        NO_PACKET(&rig);
        NO_WC(rig.qp.scq);
        answer_ack(&rig, psn(5)); /* after the timer, once more */
        atomic ? ADD_PACKET(&rig, 1) : READ_PACKET(&rig, 1, 0, 8);
        NO_PACKET(&rig);
        atomic ? answer_atomic(&rig, psn(1), 3) : answer_read(&rig, 0x10, psn(1), answers, 8);
        atomic ? SUCCEEDS(&rig, 1, FETCH_ADD, 8) : SUCCEEDS(&rig, 1, RDMA_READ, 8);
        for (uint64_t i = 2; i < 6; i++)
            SUCCEEDS(&rig, i, RDMA_WRITE, 8);
        NO_PACKET(&rig);
        tick_at(&rig, rig.now + 100 * TIMEOUT_14); /* the timer does not run any more */
        CHECK_EQ(rig_counters(&rig).timeouts, 1);
        rig_close(&rig);
    }
}

/* What was acknowledged cannot be missing, or lack a receive: NAKs that say so were overtaken. */
static void naks_of_what_was_acknowledged_are_dropped(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 8);
    post_it(&rig, &mr, 2, RVT_WR_SEND, 8, 0);
    CHECK_EQ(take_all(&rig), 2);
    answer_ack(&rig, psn(1));
    READ_PACKET(&rig, 0, 0, 8);
    for (uint32_t i = 0; i < 2; i++) {
        answer_nak(&rig, psn(i), 0x60);
        NO_PACKET(&rig);
        answer_nak(&rig, psn(i), 0x3f);
        NO_PACKET(&rig);
    }
    tick_at(&rig, rig.now + TIMEOUT_14); /* it does not wait for a receive */
    READ_PACKET(&rig, 0, 0, 8);
    answer_read(&rig, 0x10, psn(0), answers, 8);
    SUCCEEDS(&rig, 1, RDMA_READ, 8);
    SUCCEEDS(&rig, 2, SEND, 8);
    rig_close(&rig);
}

/* An acknowledgement with a PSN of a READ, as a responder answers to a duplicate WRITE in front of it. */
static void an_acknowledgement_of_a_read_asks_for_its_responses(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 0, 8);
    read_it(&rig, &mr, 1, rig.mtu * 3);
    CHECK_EQ(take_all(&rig), 2);
    answer_ack(&rig, psn(3));
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    READ_PACKET(&rig, 1, 0, rig.mtu * 3);
    NO_PACKET(&rig);
    answer_responses(&rig, 1, rig.mtu * 3, 0, 0, 3);
    SUCCEEDS(&rig, 1, RDMA_READ, rig.mtu * 3);
    rig_close(&rig);
}

static void a_response_acknowledges_what_comes_before_it(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 0, 8);
    write_it(&rig, &mr, 1, rig.mtu * 2);
    read_it(&rig, &mr, 2, 8);
    write_it(&rig, &mr, 3, 8);
    add_it(&rig, &mr, 4);
    CHECK_EQ(take_all(&rig), 6);
    answer_read(&rig, 0x10, psn(3), answers, 8);
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, RDMA_WRITE, rig.mtu * 2);
    SUCCEEDS(&rig, 2, RDMA_READ, 8);
    NO_WC(rig.qp.scq);
    answer_atomic(&rig, psn(5), 1);
    SUCCEEDS(&rig, 3, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 4, FETCH_ADD, 8);
    NO_PACKET(&rig);
    rig_close(&rig);
}

/* --- READs that are resumed --- */

static void a_read_is_resumed_from_the_gap(void) {
    enum { LENGTH = 5 * 1024 + 9 };
    /* Opcodes of the responses after resuming at each gap: as soft-RoCE goes on, or from the beginning. */
    for (uint32_t gap = 0; gap < 6; gap++) {
        for (int goes_on = 0; goes_on < 2; goes_on++) {
            for (int by_timer = 0; by_timer < 2; by_timer++) {
                struct rig rig;
                if (!by_timer && gap == 5)
                    continue; /* no response comes behind the last one */
                REQUIRE(rig_open(&rig));
                CHECK_EQ(rig.mtu, 1024);
                struct vmr mr = make_mr(&rig.v, memory, BIG);
                count_up(answers, BIG, gap);
                memset(memory, 0xcc, BIG);
                read_it(&rig, &mr, 1, LENGTH);
                write_it(&rig, &mr, 2, 8);
                READ_PACKET(&rig, 0, 0, LENGTH);
                WRITE_PACKET(&rig, 6, 8);
                answer_responses(&rig, 0, LENGTH, 0, 0, gap);
                if (by_timer) {
                    tick_at(&rig, rig.now + TIMEOUT_14);
                } else {
                    answer_responses(&rig, 0, LENGTH, 0, gap + 1, 6);
                    answer_ack(&rig, psn(6));
                }
                CHECK_EQ(memory[gap * 1024], 0xcc);
                NO_WC(rig.qp.scq);
                READ_PACKET(&rig, gap, gap * 1024, LENGTH - gap * 1024);
                if (by_timer)
                    WRITE_PACKET(&rig, 6, 8);
                NO_PACKET(&rig);
                answer_responses(&rig, 0, LENGTH, goes_on ? 0 : gap, gap, 6);
                SUCCEEDS(&rig, 1, RDMA_READ, LENGTH);
                CHECK_BYTES_EQ(memory, answers, LENGTH);
                CHECK_EQ(memory[LENGTH], 0xcc);
                if (by_timer)
                    answer_ack(&rig, psn(6));
                SUCCEEDS(&rig, 2, RDMA_WRITE, 8);
                answer_responses(&rig, 0, LENGTH, 0, 0, 6); /* duplicates */
                NO_WC(rig.qp.scq);
                CHECK_EQ(state_of(&rig.qp), RVT_QPS_RTS);
                AT_REST(mr);
                rig_close(&rig);
            }
        }
    }
}

/* The responses of the next READ, and those that were on their way, do not ask again. */
static void a_gap_is_asked_for_once(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 8 * rig.mtu);
    read_it(&rig, &mr, 2, 2 * rig.mtu);
    CHECK_EQ(take_all(&rig), 2);
    answer_responses(&rig, 0, 8 * rig.mtu, 0, 0, 2);
    answer_responses(&rig, 0, 8 * rig.mtu, 0, 3, 2);
    READ_PACKET(&rig, 2, 2 * rig.mtu, 6 * rig.mtu);
    READ_PACKET(&rig, 8, 0, 2 * rig.mtu);
    answer_responses(&rig, 0, 8 * rig.mtu, 0, 5, 3);
    answer_responses(&rig, 8, 2 * rig.mtu, 0, 0, 2);
    NO_PACKET(&rig);
    NO_WC(rig.qp.scq);
    /* The resumed one loses one, too: there was progress, so it is asked for at once. */
    answer_responses(&rig, 0, 8 * rig.mtu, 2, 2, 1);
    answer_responses(&rig, 0, 8 * rig.mtu, 2, 4, 4);
    READ_PACKET(&rig, 3, 3 * rig.mtu, 5 * rig.mtu);
    READ_PACKET(&rig, 8, 0, 2 * rig.mtu);
    NO_PACKET(&rig);
    answer_responses(&rig, 0, 8 * rig.mtu, 3, 3, 5);
    SUCCEEDS(&rig, 1, RDMA_READ, 8 * rig.mtu);
    answer_responses(&rig, 8, 2 * rig.mtu, 0, 0, 2);
    SUCCEEDS(&rig, 2, RDMA_READ, 2 * rig.mtu);
    rig_close(&rig);
}

/* Linux's soft-RoCE sends the rest of a READ before it looks at the request for what is missing: that can take longer
 * than all retries. The peer is not silent meanwhile. */
static void the_rest_of_a_read_is_no_silence(void) {
    enum { RESPONSES = 40, GAP = 2 };
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    rig.attr.retry_cnt = 1;
    rig_connect(&rig, (struct rvt_qp_init){0});
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    const uint32_t length = RESPONSES * rig.mtu;
    count_up(answers, BIG, 7);
    read_it(&rig, &mr, 1, length);
    READ_PACKET(&rig, 0, 0, length);
    answer_responses(&rig, 0, length, 0, 0, GAP);
    for (uint32_t i = GAP + 1; i < RESPONSES; i++) {
        answer_responses(&rig, 0, length, 0, i, 1);
        if (i == GAP + 1)
            READ_PACKET(&rig, GAP, GAP * rig.mtu, length - GAP * rig.mtu);
        tick_at(&rig, rig.now + TIMEOUT_14 / 2);
        NO_PACKET(&rig);
    }
    CHECK_EQ(rig_counters(&rig).timeouts, 0);
    NO_WC(rig.qp.scq);
    answer_responses(&rig, 0, length, 0, GAP, RESPONSES);
    SUCCEEDS(&rig, 1, RDMA_READ, length);
    CHECK_BYTES_EQ(memory, answers, length);
    rig_close(&rig);
}

/* Responses that have come already do not count: a peer that repeats one could keep the READ waiting for ever. */
static void a_response_that_is_repeated_is_silence(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    rig.attr.retry_cnt = 3;
    rig_connect(&rig, (struct rvt_qp_init){0});
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    const uint32_t length = 8 * rig.mtu;
    read_it(&rig, &mr, 1, length);
    CHECK_EQ(take_all(&rig), 1);
    const uint64_t begin = rig.now;
    while (state_of(&rig.qp) == RVT_QPS_RTS && rig.now < begin + 100 * TIMEOUT_14) {
        answer_responses(&rig, 0, length, 0, 5, 1);
        tick_at(&rig, rig.now + TIMEOUT_14 / 4);
        take_all(&rig);
    }
    ENDS(&rig, 1, RDMA_READ, length, RETRY_EXC_ERR, NO_ANSWER, 0);
    CHECK_EQ(rig_counters(&rig).timeouts, 4);
    /* Each time, the first one began the timer again, and the others did not. */
    CHECK(rig.now <= begin + 4 * 2 * TIMEOUT_14);
    rig_close(&rig);
}

/* --- answers that break the rules --- */

struct bad_answer {
    unsigned opcode, position;
    uint32_t length;
    unsigned syndrome;
};

/* Lets the response `bad.position` of a READ of 2.5 MTU be another one. */
static void send_bad_response(struct rig *rig, uint32_t first, struct bad_answer bad) {
    struct packet p;
    begin_answer(rig, &p, bad.opcode, psn(first + bad.position), bad.length);
    if (bad.opcode != 0x0e)
        put_32(&p, bad.syndrome << 24);
    if (bad.opcode == 0x12)
        put_64(&p, 1);
    put(&p, answers, bad.length);
    deliver(rig, &p);
}

static void a_bad_response_in_its_turn_fails_the_read(void) {
    static const struct bad_answer bad[] = {
        /* lengths */
        {0x0d, 0, 0, 0},
        {0x0d, 0, 512, 0},
        {0x0d, 0, 1023, 0},
        {0x0d, 0, 1025, 0},
        {0x0d, 0, 2048, 0},
        {0x0d, 0, 4096, 0},
        {0x0e, 1, 0, 0},
        {0x0e, 1, 512, 0},
        {0x0e, 1, 2048, 0},
        {0x0f, 2, 0, 0},
        {0x0f, 2, 511, 0},
        {0x0f, 2, 513, 0},
        {0x0f, 2, 1024, 0},
        {0x0f, 2, 4096, 0},
        /* opcodes out of order */
        {0x0e, 0, 1024, 0},
        {0x0f, 0, 1024, 0},
        {0x10, 0, 1024, 0},
        {0x10, 0, 2560, 0},
        {0x0d, 1, 1024, 0},
        {0x0f, 1, 1024, 0},
        {0x10, 1, 1024, 0},
        {0x0d, 2, 512, 0},
        {0x0e, 2, 1024, 0},
        {0x10, 2, 512, 0},
        /* an atomic's answer, and syndromes that a response does not have */
        {0x12, 0, 0, 0},
        {0x12, 1, 0, 0},
        {0x0d, 0, 1024, 0x62},
        {0x0f, 2, 512, 0x20},
        {0x0f, 2, 512, 0x80},
    };
    enum { LENGTH = 2560 };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (int in_turn = 0; in_turn < 2; in_turn++) {
            struct rig rig;
            REQUIRE(rig_open(&rig));
            struct vmr mr = make_mr(&rig.v, memory, BIG);
            count_up(answers, BIG, 1);
            memset(memory, 0xcc, BIG);
            if (!in_turn)
                write_it(&rig, &mr, 0, 0);
            const uint32_t first = in_turn ? 0 : 1;
            read_it(&rig, &mr, 1, LENGTH);
            write_it(&rig, &mr, 2, 8);
            CHECK_EQ(take_all(&rig), 2 + first);
            if (in_turn)
                answer_responses(&rig, 0, LENGTH, 0, 0, bad[i].position);
            send_bad_response(&rig, first, bad[i]);
            for (uint32_t b = in_turn ? bad[i].position * 1024 : 0; b < BIG; b++)
                if (memory[b] != 0xcc) {
                    CHECK_EQ(memory[b], 0xcc);
                    break;
                }
            if (in_turn) {
                ENDS(&rig, 1, RDMA_READ, LENGTH, BAD_RESP_ERR, BAD_PACKET, 0);
                FLUSHED(&rig, 2, RDMA_WRITE, 8);
                CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
            } else {
                /* Not even what is in front of it is completed; the right answers still count. */
                NO_WC(rig.qp.scq);
                answer_responses(&rig, first, LENGTH, 0, 0, 3);
                SUCCEEDS(&rig, 0, RDMA_WRITE, 0);
                SUCCEEDS(&rig, 1, RDMA_READ, LENGTH);
                CHECK_BYTES_EQ(memory, answers, LENGTH);
            }
            rig_close(&rig);
        }
    }
}

/* A READ with a single response, of 0 or more bytes. */
static void a_single_response_is_only(void) {
    for (unsigned opcode = 0x0d; opcode < 0x10; opcode++) {
        for (uint32_t length = 0; length <= 1024; length += 256) {
            struct rig rig;
            REQUIRE(rig_open(&rig));
            struct vmr mr = make_mr(&rig.v, memory, BIG);
            memset(memory, 0xcc, 1024);
            read_it(&rig, &mr, 1, length);
            CHECK_EQ(take_all(&rig), 1);
            answer_read(&rig, opcode, psn(0), answers, length);
            ENDS(&rig, 1, RDMA_READ, length, BAD_RESP_ERR, BAD_PACKET, 0);
            CHECK_EQ(memory[0], 0xcc);
            rig_close(&rig);
        }
    }
}

/* A bad response that is ahead of the expected one is dropped: it may be one that was damaged on its way. */
static void a_bad_response_ahead_is_dropped(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 3 * rig.mtu);
    CHECK_EQ(take_all(&rig), 1);
    answer_read(&rig, 0x0f, psn(2), answers, 8);
    NO_PACKET(&rig);
    answer_responses(&rig, 0, 3 * rig.mtu, 0, 0, 3);
    SUCCEEDS(&rig, 1, RDMA_READ, 3 * rig.mtu);
    rig_close(&rig);
}

static void a_response_to_a_message_or_an_atomic(void) {
    for (int atomic = 0; atomic < 2; atomic++) {
        for (unsigned way = 0; way < 4; way++) {
            struct rig rig;
            REQUIRE(rig_open(&rig));
            struct vmr mr = make_mr(&rig.v, memory, BIG);
            memset(memory, 0xcc, 64);
            atomic ? add_it(&rig, &mr, 1) : write_it(&rig, &mr, 1, 8);
            CHECK_EQ(take_all(&rig), 1);
            if (way == 0)
                answer_read(&rig, 0x10, psn(0), answers, 8);
            else if (way == 1)
                answer_read(&rig, 0x0e, psn(0), answers, 1024);
            else
                send_bad_response(&rig, 0,
                                  (struct bad_answer){0x12, 0, way == 2 ? 4 : 0, way == 3 ? 0x62 : 0});
            if (atomic)
                ENDS(&rig, 1, FETCH_ADD, 8, BAD_RESP_ERR, BAD_PACKET, 0);
            else
                ENDS(&rig, 1, RDMA_WRITE, 8, BAD_RESP_ERR, BAD_PACKET, 0);
            CHECK_EQ(memory[0], 0xcc);
            rig_close(&rig);
        }
    }
}

/* --- negative acknowledgements --- */

static void fatal_naks(void) {
    static const struct {
        unsigned syndrome;
        enum rvt_wc_status status;
    } naks[] = {
        {0x61, RVT_WC_STATUS_REM_INV_REQ_ERR},
        {0x62, RVT_WC_STATUS_REM_ACCESS_ERR},
        {0x63, RVT_WC_STATUS_REM_OP_ERR},
    };
    enum { WRITE, READ, ADD };
    static const uint32_t wc_opcodes[] = {RVT_WC_OPCODE_RDMA_WRITE, RVT_WC_OPCODE_RDMA_READ,
                                          RVT_WC_OPCODE_FETCH_ADD};
    for (int n = 0; n < 3; n++) {
        for (int kind = WRITE; kind <= ADD; kind++) {
            /* The PSN of the NAK within the request. */
            for (uint32_t at = 0; at < (kind == ADD ? 1u : 3u); at++) {
                struct rig rig;
                REQUIRE(rig_open(&rig));
                struct vmr mr = make_mr(&rig.v, memory, BIG);
                const uint32_t length = kind == ADD ? 8 : 3 * rig.mtu;
                write_it(&rig, &mr, 0, 8);
                write_it(&rig, &mr, 1, 8);
                post_it(&rig, &mr, 2,
                        kind == WRITE  ? RVT_WR_RDMA_WRITE
                        : kind == READ ? RVT_WR_RDMA_READ
                                       : RVT_WR_ATOMIC_FETCH_AND_ADD,
                        length, 0);
                write_it(&rig, &mr, 3, 8);
                CHECK(take_all(&rig) >= 4);
                answer_nak(&rig, psn(2 + at), naks[n].syndrome);
                SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
                SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
                WC(rig.qp.scq, .wr_id = 2, .qp_num = rig.qp.qpn, .opcode = wc_opcodes[kind],
                   .byte_len = length, .status = naks[n].status, .cause = RVT_WHY_NAK,
                   .cause_value = naks[n].syndrome);
                FLUSHED(&rig, 3, RDMA_WRITE, 8);
                NO_WC(rig.qp.scq);
                CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
                NO_PACKET(&rig);
                CHECK_EQ(rvt_endpoint_tick(rig.endpoint, rig.now + 1000000000), UINT64_MAX);
                AT_REST(mr);
                rig_close(&rig);
            }
        }
    }
}

/* The READ needs its responses first. If they do not come, it is the READ that fails. */
static void a_fatal_nak_behind_a_read_without_its_responses(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 8);
    write_it(&rig, &mr, 2, 8);
    CHECK_EQ(take_all(&rig), 2);
    answer_nak(&rig, psn(1), 0x62);
    NO_WC(rig.qp.scq);
    READ_PACKET(&rig, 0, 0, 8);
    WRITE_PACKET(&rig, 1, 8);
    answer_read(&rig, 0x10, psn(0), answers, 8);
    SUCCEEDS(&rig, 1, RDMA_READ, 8);
    answer_nak(&rig, psn(1), 0x62);
    ENDS(&rig, 2, RDMA_WRITE, 8, REM_ACCESS_ERR, NAK, 0x62);
    rig_close(&rig);
}

/* A resumed READ can be refused although an acknowledgement behind it has come. */
static void a_resumed_read_is_refused(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 8);
    write_it(&rig, &mr, 2, 8);
    CHECK_EQ(take_all(&rig), 2);
    answer_ack(&rig, psn(1));
    READ_PACKET(&rig, 0, 0, 8);
    answer_nak(&rig, psn(0), 0x62);
    ENDS(&rig, 1, RDMA_READ, 8, REM_ACCESS_ERR, NAK, 0x62);
    FLUSHED(&rig, 2, RDMA_WRITE, 8);
    rig_close(&rig);
}

static void a_sequence_nak_goes_back(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint64_t i = 0; i < 2; i++)
        write_it(&rig, &mr, i, 8);
    write_it(&rig, &mr, 2, rig.mtu * 4);
    CHECK_EQ(take_all(&rig), 6);
    answer_nak(&rig, psn(4), 0x60);
    answer_nak(&rig, psn(4), 0x60); /* a duplicate, and a stale one */
    answer_nak(&rig, psn(1), 0x60);
    answer_nak(&rig, psn(6), 0x60); /* that PSN was not sent */
    SUCCEEDS(&rig, 0, RDMA_WRITE, 8);
    SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
    NO_WC(rig.qp.scq);
    PACKET(&rig, .opcode = 0x07, .psn = psn(4), .bytes = rig.mtu);
    PACKET(&rig, .opcode = 0x08, .psn = psn(5), .bytes = rig.mtu, .ask = true);
    NO_PACKET(&rig);
    CHECK_EQ(rig_counters(&rig).timeouts, 0);
    answer_ack(&rig, psn(5));
    SUCCEEDS(&rig, 2, RDMA_WRITE, rig.mtu * 4);
    rig_close(&rig);
}

static void sequence_naks_are_retries(void) {
    for (uint32_t retries = 0; retries < 8; retries++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.retry_cnt = retries;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        write_it(&rig, &mr, 1, 8);
        write_it(&rig, &mr, 2, 8);
        CHECK_EQ(take_all(&rig), 2);
        for (uint32_t i = 0; i < retries; i++) {
            answer_nak(&rig, psn(0), 0x60);
            NO_WC(rig.qp.scq);
            WRITE_PACKET(&rig, 0, 8);
            WRITE_PACKET(&rig, 1, 8);
            NO_PACKET(&rig);
        }
        answer_nak(&rig, psn(0), 0x60);
        ENDS(&rig, 1, RDMA_WRITE, 8, RETRY_EXC_ERR, NAK, 0x60);
        FLUSHED(&rig, 2, RDMA_WRITE, 8);
        rig_close(&rig);
    }
}

/* Nothing was sent again in between. */
static void a_sequence_nak_that_comes_twice_counts_once(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    rig.attr.retry_cnt = 1;
    rig_connect(&rig, (struct rvt_qp_init){0});
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    write_it(&rig, &mr, 1, 8);
    CHECK_EQ(take_all(&rig), 1);
    for (uint32_t i = 0; i < 10; i++)
        answer_nak(&rig, psn(0), 0x60);
    NO_WC(rig.qp.scq);
    WRITE_PACKET(&rig, 0, 8);
    NO_PACKET(&rig);
    answer_nak(&rig, psn(0), 0x60);
    ENDS(&rig, 1, RDMA_WRITE, 8, RETRY_EXC_ERR, NAK, 0x60);
    rig_close(&rig);
}

static void rnr_naks_wait_as_long_as_the_peer_says(void) {
    static const uint32_t usec[32] = {
        655360, 10,    20,    30,    40,    60,     80,     120,    160,    240,    320,
        480,    640,   960,   1280,  1920,  2560,   3840,   5120,   7680,   10240,  15360,
        20480,  30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680, 491520,
    };
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    for (uint32_t code = 0; code < 32; code++) {
        const uint32_t at = code * 4;
        write_it(&rig, &mr, 1, 8);
        post_it(&rig, &mr, 2, RVT_WR_SEND, 8, 0);
        write_it(&rig, &mr, 3, 8);
        CHECK_EQ(take_all(&rig), 3);
        answer_nak(&rig, psn(at + 1), 0x20 | code);
        SUCCEEDS(&rig, 1, RDMA_WRITE, 8);
        const uint64_t until = rig.now + usec[code];
        NO_PACKET(&rig);
        const unsigned woken = rig.woken;
        rig.now += 5;
        answer_nak(&rig, psn(at + 1), 0x20 | code); /* again: does not wait longer */
        answer_nak(&rig, psn(at + 1), 0x60);        /* nor does it go back meanwhile */
        write_it(&rig, &mr, 4, 8);
        CHECK_EQ(rig.woken, woken); /* posting changes nothing */
        tick_at(&rig, until - 1);
        NO_PACKET(&rig);
        tick_at(&rig, until);
        PACKET(&rig, .opcode = 0x04, .psn = psn(at + 1), .ask = true, .bytes = 8);
        WRITE_PACKET(&rig, at + 2, 8);
        WRITE_PACKET(&rig, at + 3, 8);
        NO_PACKET(&rig);
        answer_ack(&rig, psn(at + 3));
        SUCCEEDS(&rig, 2, SEND, 8);
        SUCCEEDS(&rig, 3, RDMA_WRITE, 8);
        SUCCEEDS(&rig, 4, RDMA_WRITE, 8);
    }
    CHECK_EQ(rig_counters(&rig).timeouts, 0);
    rig_close(&rig);
}

static void rnr_retries_end(void) {
    for (uint32_t retries = 0; retries < 8; retries++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.rnr_retry = retries;
        rig_connect(&rig, (struct rvt_qp_init){0});
        struct vmr mr = make_mr(&rig.v, memory, BIG);
        post_it(&rig, &mr, 1, RVT_WR_SEND, 8, 0);
        post_it(&rig, &mr, 2, RVT_WR_SEND, 8, 0);
        CHECK_EQ(take_all(&rig), 2);
        /* The second one has its own retries: the first one's success is progress. */
        for (uint32_t request = 0; request < 2; request++) {
            for (uint32_t i = 0; i < (retries == 7 ? 100 : retries); i++) {
                answer_nak(&rig, psn(request), 0x21);
                NO_PACKET(&rig);
                NO_WC(rig.qp.scq);
                tick_at(&rig, rig.now + 10);
                CHECK_EQ(take_all(&rig), 2 - request);
            }
            if (request)
                break;
            answer_ack(&rig, psn(0));
            SUCCEEDS(&rig, 1, SEND, 8);
        }
        if (retries == 7) {
            answer_ack(&rig, psn(1));
            SUCCEEDS(&rig, 2, SEND, 8);
        } else {
            answer_nak(&rig, psn(1), 0x21);
            ENDS(&rig, 2, SEND, 8, RNR_RETRY_EXC_ERR, NO_RECEIVE, 0);
            CHECK_EQ(state_of(&rig.qp), RVT_QPS_ERR);
        }
        rig_close(&rig);
    }
}

/* The READ in front of it needs its response first: it does not wait, and its retries are not used up. */
static void an_rnr_nak_behind_a_read_without_its_response(void) {
    struct rig rig;
    REQUIRE(rig_open_empty(&rig));
    rig.attr.rnr_retry = 0;
    rig_connect(&rig, (struct rvt_qp_init){0});
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    read_it(&rig, &mr, 1, 8);
    post_it(&rig, &mr, 2, RVT_WR_SEND, 8, 0);
    CHECK_EQ(take_all(&rig), 2);
    answer_nak(&rig, psn(1), 0x2e);
    NO_WC(rig.qp.scq);
    READ_PACKET(&rig, 0, 0, 8);
    PACKET(&rig, .opcode = 0x04, .psn = psn(1), .ask = true, .bytes = 8);
    NO_PACKET(&rig);
    answer_read(&rig, 0x10, psn(0), answers, 8);
    SUCCEEDS(&rig, 1, RDMA_READ, 8);
    answer_nak(&rig, psn(1), 0x2e);
    ENDS(&rig, 2, SEND, 8, RNR_RETRY_EXC_ERR, NO_RECEIVE, 0);
    rig_close(&rig);
}

/* A peer that acknowledges what it had no receive for ends the wait. */
static void an_acknowledgement_ends_the_wait_for_a_receive(void) {
    struct rig rig;
    REQUIRE(rig_open(&rig));
    struct vmr mr = make_mr(&rig.v, memory, BIG);
    post_it(&rig, &mr, 1, RVT_WR_SEND, 8, 0);
    CHECK_EQ(take_all(&rig), 1);
    answer_nak(&rig, psn(0), 0x3f);
    answer_ack(&rig, psn(0));
    SUCCEEDS(&rig, 1, SEND, 8);
    write_it(&rig, &mr, 2, 8);
    WRITE_PACKET(&rig, 1, 8);
    tick_at(&rig, rig.now + TIMEOUT_14);
    WRITE_PACKET(&rig, 1, 8);
    rig_close(&rig);
}

/* --- a hostile peer --- */

/* Returns whether PSN `a` comes after `b`. */
static bool is_behind(uint32_t a, uint32_t b) {
    return (int32_t)((a - b) << 8) > 0;
}

/* Answers with any opcode, PSN near those in flight, syndrome and length, between posts, timers and time. Whatever the
 * peer says: completions are in order and none is doubled, nothing completes that was not sent in full, and bytes
 * change only where a READ or an atomic operation may store. */
static void any_answers_in_any_order(void) {
    enum { ROUNDS = 400, STEPS = 200, ROOM = 3000 };
    uint64_t random = 7;
    uint64_t completed = 0, failed = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct rig rig;
        REQUIRE(rig_open_empty(&rig));
        rig.attr.path_mtu = 1 + next_random(&random) % 3;
        rig.attr.sq_psn = next_random(&random) & 0xffffff;
        rig.attr.max_rd_atomic = 1 + next_random(&random) % 4;
        rig.attr.rnr_retry = next_random(&random) % 8;
        rig.attr.retry_cnt = next_random(&random) % 8;
        rig_connect(&rig, (struct rvt_qp_init){.max_send_wr = 16});
        struct vmr mr = make_mr(&rig.v, memory + PAGE, ROOM);
        memset(memory, 0xcc, PAGE + ROOM + 64);
        uint64_t posted = 0, ended = 0;
        uint32_t newest = rig.attr.sq_psn; /* PSN behind the newest packet that was taken */
        /* PSN behind each work request, by its number, and behind the last one. */
        uint32_t ends[32], kinds[32], lengths_of[32], end = newest;
        bool alive = true;
        for (int step = 0; step < STEPS && alive; step++) {
            const uint32_t what = next_random(&random) % 16;
            bool unsent = false;
            if (what < 3 && query_qp(&rig.qp).sends < 16) {
                static const uint32_t opcodes[] = {RVT_WR_RDMA_WRITE, RVT_WR_RDMA_READ, RVT_WR_SEND,
                                                   RVT_WR_ATOMIC_FETCH_AND_ADD};
                const uint32_t opcode = opcodes[next_random(&random) % 4];
                const uint32_t length =
                    opcode == RVT_WR_ATOMIC_FETCH_AND_ADD ? 8 : next_random(&random) % ROOM;
                end = (end + (length ? (length + rig.mtu - 1) / rig.mtu : 1)) & 0xffffff;
                ends[posted % 32] = end;
                kinds[posted % 32] = opcode;
                lengths_of[posted % 32] = length;
                post_it(&rig, &mr, posted++, opcode, length, 0);
            } else if (what < 6) {
                struct sent sent;
                for (uint32_t i = next_random(&random) % 8; i && take_packet(&rig, &sent); i--) {
                    const uint32_t behind =
                        sent.psn +
                        (sent.opcode == 0x0c && sent.length ? (sent.length + rig.mtu - 1) / rig.mtu : 1);
                    if (is_behind(behind, newest))
                        newest = behind & 0xffffff;
                }
            } else if (what == 6) {
                tick_at(&rig, rig.now + next_random(&random) % 30000);
            } else if (what < 12 && ended < posted && kinds[ended % 32] == RVT_WR_RDMA_READ) {
                /* All responses that it may wait for, in order. */
                const uint32_t length = lengths_of[ended % 32];
                const uint32_t responses = length ? (length + rig.mtu - 1) / rig.mtu : 1;
                for (uint32_t i = 0; i < responses; i++) {
                    const bool last = i + 1 == responses;
                    answer_read(&rig,
                                last ? (i ? 0x0f : 0x10)
                                : i  ? 0x0e
                                     : 0x0d,
                                ends[ended % 32] - responses + i, answers,
                                last ? length - i * rig.mtu : rig.mtu);
                }
            } else if (what < 12 && ended < posted && kinds[ended % 32] == RVT_WR_ATOMIC_FETCH_AND_ADD) {
                answer_atomic(&rig, ends[ended % 32] - 1, 5);
            } else {
                struct packet p;
                const unsigned opcode = next_random(&random) % 8 ? 0x11 : 0x0d + next_random(&random) % 6;
                /* Behind the newest one as well. */
                const uint32_t number = (newest + 2 - next_random(&random) % 16) & 0xffffff;
                static const uint32_t sizes[] = {0, 8, 256, 512, 1024};
                const uint32_t bytes = opcode == 0x11 || opcode == 0x12 ? 0
                                       : next_random(&random) % 2       ? sizes[next_random(&random) % 5]
                                                                        : next_random(&random) % 1100;
                const bool ordinary = next_random(&random) % 16 != 0;
                begin_answer(&rig, &p, opcode, number, bytes);
                if (opcode != 0x0e)
                    put_32(&p, ordinary ? 0x1f000000 : next_random(&random));
                if (opcode == 0x12)
                    put_64(&p, 0x1234);
                put_payload(&p, bytes);
                deliver(&rig, &p);
                /* A PSN that was not sent ends nothing. */
                unsent = !is_behind(newest, number);
            }
            struct rvt_wc wc;
            while (rvt_poll_cq(rig.qp.scq, 1, &wc) == 1) {
                CHECK(!unsent);
                CHECK_EQ(wc.wr_id, ended);
                if (wc.status)
                    alive = false;
                else
                    CHECK(!is_behind(ends[ended % 32], newest)); /* all of it was sent */
                ended++;
                failed += wc.status != 0;
                completed += !wc.status;
            }
            CHECK(ended <= posted);
        }
        struct rvt_wc wc;
        CHECK_EQ(move_qp(&rig.qp, rig.attr, RVT_QPS_ERR), 0);
        while (rvt_poll_cq(rig.qp.scq, 1, &wc) == 1)
            CHECK_EQ(wc.wr_id, ended++);
        CHECK_EQ(ended, posted);
        for (uint32_t i = 0; i < 64; i++) {
            CHECK_EQ(memory[PAGE - 1 - i], 0xcc);
            CHECK_EQ(memory[PAGE + ROOM + i], 0xcc);
        }
        AT_REST(mr);
        rig_close(&rig);
    }
    /* The peer was not so hostile that nothing worked. */
    CHECK(completed > 4000);
    CHECK(failed > 400);
}

CHECK_MAIN(TEST(acknowledgements_cover_what_comes_before), TEST(ghost_answers_complete_nothing),
           TEST(the_msn_is_not_looked_at), TEST(reserved_syndromes_are_dropped),
           TEST(an_acknowledgement_past_a_read_does_not_complete_it),
           TEST(naks_of_what_was_acknowledged_are_dropped),
           TEST(an_acknowledgement_of_a_read_asks_for_its_responses),
           TEST(a_response_acknowledges_what_comes_before_it), TEST(a_read_is_resumed_from_the_gap),
           TEST(a_gap_is_asked_for_once), TEST(the_rest_of_a_read_is_no_silence),
           TEST(a_response_that_is_repeated_is_silence), TEST(a_bad_response_in_its_turn_fails_the_read),
           TEST(a_single_response_is_only), TEST(a_bad_response_ahead_is_dropped),
           TEST(a_response_to_a_message_or_an_atomic), TEST(fatal_naks),
           TEST(a_fatal_nak_behind_a_read_without_its_responses), TEST(a_resumed_read_is_refused),
           TEST(a_sequence_nak_goes_back), TEST(sequence_naks_are_retries),
           TEST(a_sequence_nak_that_comes_twice_counts_once), TEST(rnr_naks_wait_as_long_as_the_peer_says),
           TEST(rnr_retries_end), TEST(an_rnr_nak_behind_a_read_without_its_response),
           TEST(an_acknowledgement_ends_the_wait_for_a_receive), TEST(any_answers_in_any_order))
