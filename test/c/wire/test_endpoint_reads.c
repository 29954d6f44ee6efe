/* SPDX-License-Identifier: BSD-3-Clause */
/* READs and atomic operations of a peer: their answers, in the order of PSNs, and requests that come again. */
#include "requests.h"

enum {
    READ = RVT_BTH_RC_READ_REQUEST,
    CAS = RVT_BTH_RC_CMP_SWAP,
    FAA = RVT_BTH_RC_FETCH_ADD,
    WRITE = RVT_BTH_RC_WRITE_ONLY,
    SEND = RVT_BTH_RC_SEND_ONLY,
    FIRST = RVT_BTH_RC_READ_RESPONSE_FIRST,
    MIDDLE = RVT_BTH_RC_READ_RESPONSE_MIDDLE,
    LAST = RVT_BTH_RC_READ_RESPONSE_LAST,
    ONLY = RVT_BTH_RC_READ_RESPONSE_ONLY,
    ATOMIC_ACK = RVT_BTH_RC_ATOMIC_ACKNOWLEDGE,
    PSN = FIRST_PSN,
};

static bool open_filled(struct responding *r) {
    if (!responding_open(r))
        return false;
    count_up(r->memory, MEMORY_BYTES, 3);
    return true;
}

/* The next answer is a response to a READ with these bytes of the memory. MIDDLE has no AETH. */
static void next_response(struct responding *r, unsigned op, uint32_t psn, uint32_t msn, uint32_t at,
                          uint32_t bytes, int line) {
    const bool aeth = op != MIDDLE;
    const struct answer expected = {
        .opcode = (uint8_t)op, .psn = psn, .syndrome = aeth ? ACK : 0, .msn = aeth ? msn : 0, .bytes = bytes};
    const struct answer answer = next_answer(r, &expected, __FILE__, line);
    check_bytes(answer.payload, r->memory + at, bytes, "the payload", __FILE__, line);
}

#define RESPONSE(r, op, psn, msn, at, bytes) next_response((r), (op), (psn), (msn), (at), (bytes), __LINE__)
#define READ_OF(r, at, bytes)                                                                                \
    .opcode = READ, .addr = (r)->mr.addr + (at), .rkey = (r)->mr.key, .length = (bytes)
#define WRITE_OF(r, at, count)                                                                               \
    .opcode = WRITE, .addr = (r)->mr.addr + (at), .rkey = (r)->mr.key, .length = (count), .bytes = (count)
#define FAA_OF(r, at, value)                                                                                 \
    .opcode = FAA, .addr = (r)->mr.addr + (at), .rkey = (r)->mr.key, .swap_add = (value)
#define OLD(r, at_psn, count, value)                                                                         \
    ((void)ANSWER(r, .opcode = ATOMIC_ACK, .psn = (at_psn), .syndrome = ACK, .msn = (count),                 \
                  .original = (value)))

static void store_word(struct responding *r, uint32_t at, uint64_t value) {
    memcpy(r->memory + at, &value, sizeof(value));
}

static uint64_t load_word(const struct responding *r, uint32_t at) {
    uint64_t value;
    memcpy(&value, r->memory + at, sizeof(value));
    return value;
}

/* --- READ --- */

static void reads_of_every_length(void) {
    static const uint32_t lengths[] = {1,       2,       3,           4,           MTU - 1,     MTU,
                                       MTU + 1, 2 * MTU, 2 * MTU + 1, 3 * MTU - 1, 5 * MTU + 77};
    struct responding r;
    REQUIRE(open_filled(&r));
    uint32_t psn = PSN;
    for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint32_t length = lengths[i], packets = (length + MTU - 1) / MTU;
        ASK(&r, READ_OF(&r, 5 + i, length), .psn = psn, .ack = true);
        for (uint32_t k = 0; k < packets; k++, psn++) {
            const bool ends = k + 1 == packets;
            const unsigned op = packets == 1 ? ONLY : k == 0 ? FIRST : ends ? LAST : MIDDLE;
            RESPONSE(&r, op, psn, i + 1, 5 + i + k * MTU, ends ? length - k * MTU : MTU);
        }
        NO_ANSWER(&r); /* the responses acknowledge it */
    }
    AT_REST(r.mr);
    CHECK_EQ(counters_of(&r).bytes_sent,
             1 + 2 + 3 + 4 + MTU - 1 + MTU + MTU + 1 + 2 * MTU + 2 * MTU + 1 + 3 * MTU - 1 + 5 * MTU + 77);
    responding_close(&r);
}

static void an_empty_read_needs_no_key(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, .opcode = READ, .psn = PSN, .addr = 77, .rkey = 0xdeadbeef);
    RESPONSE(&r, ONLY, PSN, 1, 0, 0);
    ASK(&r, READ_OF(&r, 0, 1), .psn = PSN + 1);
    RESPONSE(&r, ONLY, PSN + 1, 2, 0, 1);
    responding_close(&r);
    /* But the right of the queue pair. */
    struct responding_options options = {.attr = responder_attr()};
    options.attr.access = REMOTE_WRITE;
    REQUIRE(responding_open_with(&r, options));
    ASK(&r, .opcode = READ, .psn = PSN);
    ACKS(&r, PSN, NAK_INVALID, 0);
    REFUSED(&r, READ, PSN, NAK_INVALID, RVT_WHY_QP_ACCESS);
    IS_DEAD(&r);
    responding_close(&r);
}

/* The bytes are those of the moment at which the response is written. */
static void reads_memory_when_it_sends(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 2 * MTU), .psn = PSN);
    RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
    memset(r.memory, 0x55, 2 * MTU);
    RESPONSE(&r, LAST, PSN + 1, 1, MTU, MTU);
    responding_close(&r);
}

static void acknowledgements_do_not_overtake_reads(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN, .ack = true);
    ASK(&r, READ_OF(&r, 0, 2 * MTU), .psn = PSN + 1);
    ASK(&r, READ_OF(&r, 512, 4), .psn = PSN + 3);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 4, .ack = true);
    ASK(&r, FAA_OF(&r, 4104, 0), .psn = PSN + 5);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 6, .ack = true);
    RESPONSE(&r, FIRST, PSN + 1, 2, 0, MTU); /* acknowledges the first WRITE */
    RESPONSE(&r, LAST, PSN + 2, 2, MTU, MTU);
    RESPONSE(&r, ONLY, PSN + 3, 3, 512, 4);
    OLD(&r, PSN + 5, 5, load_word(&r, 4104));
    ACKS(&r, PSN + 6, ACK, 6);
    NO_ANSWER(&r);
    /* An ACK that a response makes needless is not sent. */
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 7, .ack = true);
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + 8);
    RESPONSE(&r, ONLY, PSN + 8, 8, 0, 4);
    NO_ANSWER(&r);
    responding_close(&r);
}

/* NAKs do not, either. */
static void naks_do_not_overtake_reads(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 2 * MTU), .psn = PSN);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 5);
    RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
    RESPONSE(&r, LAST, PSN + 1, 1, MTU, MTU);
    ACKS(&r, PSN + 2, NAK_SEQUENCE, 1);
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + 2);
    ASK(&r, .opcode = SEND, .psn = PSN + 3, .bytes = 4);
    RESPONSE(&r, ONLY, PSN + 2, 2, 0, 4);
    ACKS(&r, PSN + 3, RNR_NAK, 2);
    NO_ANSWER(&r);
    responding_close(&r);
}

/* The READ in front of a refused request was accepted, and the peer needs its bytes in order to find out which of the
 * two was refused. */
static void reads_in_front_of_a_refused_request_are_answered(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 2 * MTU), .psn = PSN);
    ASK(&r, READ_OF(&r, 512, 4), .psn = PSN + 2);
    ASK(&r, .opcode = WRITE, .psn = PSN + 3, .addr = r.mr.addr, .rkey = 5, .length = 4, .bytes = 4);
    REFUSED(&r, WRITE, PSN + 3, NAK_ACCESS, RVT_WHY_REMOTE_REFUSED);
    CHECK_EQ(state_of(&r.qp), RVT_QPS_ERR);
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + 3);
    RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
    RESPONSE(&r, LAST, PSN + 1, 1, MTU, MTU);
    RESPONSE(&r, ONLY, PSN + 2, 2, 512, 4);
    ACKS(&r, PSN + 3, NAK_ACCESS, 2);
    IS_DEAD(&r);
    responding_close(&r);
}

/* But not one byte after the program itself has put the queue pair into ERR, even if it is there already. */
static void an_error_of_the_program_ends_all_reads(void) {
    for (int refused = 0; refused < 2; refused++) {
        struct responding r;
        REQUIRE(open_filled(&r));
        ASK(&r, READ_OF(&r, 0, 3 * MTU), .psn = PSN);
        RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
        if (refused)
            ASK(&r, .opcode = WRITE, .psn = PSN + 3, .addr = r.mr.addr, .rkey = 5, .length = 4, .bytes = 4);
        CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_ERR), 0);
        if (refused)
            ACKS(&r, PSN + 3, NAK_ACCESS, 1);
        IS_DEAD(&r);
        responding_close(&r);
    }
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 3 * MTU), .psn = PSN);
    RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_RESET), 0);
    NO_ANSWER(&r);
    bring_to(&r.qp, responder_attr(), RVT_QPS_RTS);
    NO_ANSWER(&r);
    responding_close(&r);
}

static void revocation_in_the_middle_of_a_read(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    static unsigned char other[1024];
    count_up(other, sizeof(other), 9);
    const struct vmr mine = make_mr(&r.v, other, sizeof(other));
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN);
    ASK(&r, .opcode = READ, .psn = PSN + 1, .addr = mine.addr, .rkey = mine.key, .length = 1024);
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + 5);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 6, .ack = true);
    RESPONSE(&r, ONLY, PSN, 1, 0, 4);
    struct answer first =
        ANSWER(&r, .opcode = FIRST, .psn = PSN + 1, .syndrome = ACK, .msn = 2, .bytes = MTU);
    CHECK_BYTES_EQ(first.payload, other, MTU);
    CHECK_EQ(rvt_dereg_mr(mine.mr, RVT_RELEASE), 0); /* nothing holds it */
    ACKS(&r, PSN + 2, NAK_ACCESS, 1);                /* only what is in front of it */
    REFUSED(&r, READ, PSN + 2, NAK_ACCESS, RVT_WHY_REMOTE_REFUSED);
    CHECK_EQ(r.refused[0].why.refused.addr, mine.addr + MTU);
    CHECK_EQ(r.refused[0].why.refused.length, 1024 - MTU);
    IS_DEAD(&r);
    responding_close(&r);
}

static void a_read_loses_its_right_in_the_middle(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 2 * MTU), .psn = PSN);
    RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
    struct rvt_qp_attr attr = {.access = REMOTE_WRITE};
    CHECK_EQ(rvt_modify_qp(r.qp.handle, &attr, RVT_QPA_ACCESS_FLAGS), 0);
    ACKS(&r, PSN + 1, NAK_INVALID, 0);
    REFUSED(&r, READ, PSN + 1, NAK_INVALID, RVT_WHY_QP_ACCESS);
    IS_DEAD(&r);
    responding_close(&r);
}

static void the_range_of_a_read_is_judged_when_it_comes(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 8, MEMORY_BYTES), .psn = PSN);
    REFUSED(&r, READ, PSN, NAK_ACCESS, RVT_WHY_REMOTE_REFUSED);
    CHECK_EQ(r.refused[0].why.refused.reason, RVT_OUT_OF_BOUNDS);
    ACKS(&r, PSN, NAK_ACCESS, 0);
    IS_DEAD(&r);
    responding_close(&r);
}

static void more_requests_than_agreed(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    for (uint32_t i = 0; i < DEPTH; i++)
        ASK(&r, READ_OF(&r, i, 4), .psn = PSN + i);
    RESPONSE(&r, ONLY, PSN, 1, 0, 4);
    ASK(&r, FAA_OF(&r, 4096, 0), .psn = PSN + DEPTH); /* takes the free place */
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + DEPTH + 1);
    REFUSED(&r, READ, PSN + DEPTH + 1, NAK_INVALID, RVT_WHY_BAD_PACKET);
    for (uint32_t i = 1; i < DEPTH; i++)
        RESPONSE(&r, ONLY, PSN + i, i + 1, i, 4);
    OLD(&r, PSN + DEPTH, DEPTH + 1, load_word(&r, 4096));
    ACKS(&r, PSN + DEPTH + 1, NAK_INVALID, DEPTH + 1);
    IS_DEAD(&r);
    responding_close(&r);
}

static void the_depth_is_at_least_one_and_at_most_sixteen(void) {
    static const uint32_t agreed[] = {0, 1, 16}, allowed[] = {1, 1, 16};
    for (int i = 0; i < 3; i++) {
        struct responding_options options = {.attr = responder_attr()};
        struct responding r;
        options.attr.max_dest_rd_atomic = agreed[i];
        REQUIRE(responding_open_with(&r, options));
        for (uint32_t k = 0; k < allowed[i]; k++)
            ASK(&r, READ_OF(&r, k, 4), .psn = PSN + k);
        CHECK_EQ(r.refusals, 0);
        ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + allowed[i]);
        CHECK_EQ(r.refusals, 1);
        for (uint32_t k = 0; k < allowed[i]; k++)
            RESPONSE(&r, ONLY, PSN + k, k + 1, k, 4);
        ACKS(&r, PSN + allowed[i], NAK_INVALID, allowed[i]);
        responding_close(&r);
    }
}

/* --- READs that come again --- */

static void a_repeated_read_is_carried_out_again(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 3 * MTU), .psn = PSN);
    RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
    RESPONSE(&r, MIDDLE, PSN + 1, 1, MTU, MTU);
    RESPONSE(&r, LAST, PSN + 2, 1, 2 * MTU, MTU);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 3);
    ACKS(&r, PSN + 3, ACK, 2);
    memset(r.memory, 0x77, 3 * MTU);
    /* Once for each time that it comes, with the newest MSN and the present bytes; whole or from the gap on. */
    for (int i = 0; i < 2; i++) {
        ASK(&r, READ_OF(&r, 0, 3 * MTU), .psn = PSN);
        RESPONSE(&r, FIRST, PSN, 2, 0, MTU);
        RESPONSE(&r, MIDDLE, PSN + 1, 2, MTU, MTU);
        RESPONSE(&r, LAST, PSN + 2, 2, 2 * MTU, MTU);
        NO_ANSWER(&r);
    }
    ASK(&r, READ_OF(&r, MTU, 2 * MTU), .psn = PSN + 1);
    RESPONSE(&r, FIRST, PSN + 1, 2, MTU, MTU);
    RESPONSE(&r, LAST, PSN + 2, 2, 2 * MTU, MTU);
    ASK(&r, READ_OF(&r, 2 * MTU, MTU), .psn = PSN + 2);
    RESPONSE(&r, ONLY, PSN + 2, 2, 2 * MTU, MTU);
    NO_ANSWER(&r);
    CHECK_EQ(counters_of(&r).duplicates, 4);
    responding_close(&r);
}

/* A READ that comes again while its responses are being sent begins again in its place: it is not answered twice. */
static void a_repeated_read_that_is_due_begins_again(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 3 * MTU), .psn = PSN);
    ASK(&r, READ_OF(&r, 4000, 4), .psn = PSN + 3);
    RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
    RESPONSE(&r, MIDDLE, PSN + 1, 1, MTU, MTU);
    for (int i = 0; i < 20; i++) /* more often than there are places */
        ASK(&r, READ_OF(&r, MTU, 2 * MTU), .psn = PSN + 1);
    ASK(&r, READ_OF(&r, 4000, 4), .psn = PSN + 3);
    RESPONSE(&r, FIRST, PSN + 1, 2, MTU, MTU);
    RESPONSE(&r, LAST, PSN + 2, 2, 2 * MTU, MTU);
    RESPONSE(&r, ONLY, PSN + 3, 2, 4000, 4);
    NO_ANSWER(&r);
    responding_close(&r);
}

/* Behind what was sent and in front of what is due, as the order of PSNs is. */
static void a_repeated_read_is_answered_in_order(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN);
    RESPONSE(&r, ONLY, PSN, 1, 0, 4);
    ASK(&r, READ_OF(&r, 8, 4), .psn = PSN + 1);
    ASK(&r, READ_OF(&r, 16, 4), .psn = PSN + 2);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 3);
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN);
    RESPONSE(&r, ONLY, PSN, 4, 0, 4);
    RESPONSE(&r, ONLY, PSN + 1, 2, 8, 4);
    RESPONSE(&r, ONLY, PSN + 2, 3, 16, 4);
    ACKS(&r, PSN + 3, ACK, 4);
    NO_ANSWER(&r);
    responding_close(&r);
}

/* The peer may have had all of it, and this end may have taken the memory back since: a request that was under way for
 * long must not end the connection. */
static void a_repeated_read_that_is_refused_has_no_effect(void) {
    for (uint32_t begun = 0; begun < 3; begun++) {
        struct responding r;
        REQUIRE(open_filled(&r));
        static unsigned char other[3 * MTU];
        count_up(other, sizeof(other), 9);
        const struct vmr mine = make_mr(&r.v, other, sizeof(other));
        ASK(&r, .opcode = READ, .psn = PSN, .addr = mine.addr, .rkey = mine.key, .length = 3 * MTU);
        for (uint32_t i = 0; i < 3; i++)
            (void)ANSWER(&r, .opcode = (uint8_t)(FIRST + i), .psn = PSN + i, .syndrome = i == 1 ? 0 : ACK,
                         .msn = i != 1, .bytes = MTU);
        ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + 3);
        RESPONSE(&r, ONLY, PSN + 3, 2, 0, 4);
        ASK(&r, .opcode = READ, .psn = PSN, .addr = mine.addr, .rkey = mine.key, .length = 3 * MTU);
        ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + 3);
        ASK(&r, READ_OF(&r, 8, 4), .psn = PSN + 4);
        ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 5);
        for (uint32_t i = 0; i < begun; i++)
            (void)ANSWER(&r, .opcode = (uint8_t)(FIRST + i), .psn = PSN + i, .syndrome = i == 1 ? 0 : ACK,
                         .msn = i != 1 ? 2 : 0, .bytes = MTU);
        CHECK_EQ(rvt_dereg_mr(mine.mr, RVT_RELEASE), 0);
        if (begun != 1)
            ASK(&r, .opcode = READ, .psn = PSN, .addr = mine.addr, .rkey = mine.key, .length = 3 * MTU);
        RESPONSE(&r, ONLY, PSN + 3, 2, 0, 4);
        RESPONSE(&r, ONLY, PSN + 4, 3, 8, 4);
        ACKS(&r, PSN + 5, ACK, 4);
        ASK(&r, .opcode = READ, .psn = PSN, .addr = mine.addr, .rkey = mine.key, .length = 3 * MTU);
        NO_ANSWER(&r);
        CHECK_EQ(state_of(&r.qp), RVT_QPS_RTS);
        CHECK_EQ(r.refusals, 0);
        /* Nor does it without the right of the queue pair. */
        struct rvt_qp_attr attr = {.access = REMOTE_WRITE};
        CHECK_EQ(rvt_modify_qp(r.qp.handle, &attr, RVT_QPA_ACCESS_FLAGS), 0);
        ASK(&r, READ_OF(&r, 8, 4), .psn = PSN + 4);
        NO_ANSWER(&r);
        ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 6);
        ACKS(&r, PSN + 6, ACK, 5);
        CHECK_EQ(r.refusals, 0);
        responding_close(&r);
    }
}

/* One that is still due when it comes again is not a repeated one: the peer cannot have had it. */
static void a_read_that_is_due_and_repeated_is_refused_like_others(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    static unsigned char other[64];
    const struct vmr mine = make_mr(&r.v, other, sizeof(other));
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN);
    ASK(&r, .opcode = READ, .psn = PSN + 1, .addr = mine.addr, .rkey = mine.key, .length = 4);
    ASK(&r, .opcode = READ, .psn = PSN + 1, .addr = mine.addr, .rkey = mine.key, .length = 4);
    CHECK_EQ(rvt_dereg_mr(mine.mr, RVT_RELEASE), 0);
    RESPONSE(&r, ONLY, PSN, 1, 0, 4);
    ACKS(&r, PSN + 1, NAK_ACCESS, 1);
    REFUSED(&r, READ, PSN + 1, NAK_ACCESS, RVT_WHY_REMOTE_REFUSED);
    IS_DEAD(&r);
    responding_close(&r);
}

/* Half of all PSNs have come before. Who knows less than the peer must not find one to guess keys with, or to end the
 * connection: a READ that was not asked for gets no answer. */
static void a_repeated_read_must_be_the_same(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    static unsigned char other[3 * MTU];
    const struct vmr mine = make_mr(&r.v, other, sizeof(other));
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN);
    ACKS(&r, PSN, ACK, 1);
    ASK(&r, READ_OF(&r, 0, 3 * MTU), .psn = PSN + 1);
    for (uint32_t i = 0; i < 3; i++)
        RESPONSE(&r, FIRST + i, PSN + 1 + i, 2, i * MTU, MTU);
    ASK(&r, FAA_OF(&r, 4096, 0), .psn = PSN + 4);
    OLD(&r, PSN + 4, 3, load_word(&r, 4096));
    const struct request others[] = {
        {READ_OF(&r, 0, 4), .psn = PSN},               /* the PSN of a WRITE */
        {READ_OF(&r, 0, 4), .psn = PSN + 4},           /* of an atomic operation */
        {READ_OF(&r, 0, 4), .psn = PSN - 1},           /* of nothing */
        {READ_OF(&r, 0, 4), .psn = PSN - 0x7ffff0},    /* of nothing, long ago */
        {READ_OF(&r, 0, 3 * MTU - 1), .psn = PSN + 1}, /* another length */
        {READ_OF(&r, 0, 4), .psn = PSN + 1},           /* a part of it that is not its end */
        {READ_OF(&r, 1, 3 * MTU), .psn = PSN + 1},     /* another address */
        {READ_OF(&r, 0, 2 * MTU), .psn = PSN + 2},     /* the address of another response */
        {READ_OF(&r, 3 * MTU, 0), .psn = PSN + 3},     /* nothing of it */
        {READ_OF(&r, 2 * MTU, MTU + 1), .psn = PSN + 3} /* more than there was */,
        {.opcode = READ, .addr = mine.addr, .rkey = mine.key, .length = 3 * MTU, .psn = PSN + 1},
        {.opcode = READ, .addr = r.mr.addr, .rkey = mine.key, .length = 3 * MTU, .psn = PSN + 1},
        {.opcode = READ, .addr = r.mr.addr, .rkey = r.mr.key + 1, .length = 3 * MTU, .psn = PSN + 1},
        {FAA_OF(&r, 4096, 1), .psn = PSN + 1}, /* not a READ */
    };
    for (uint32_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        ask(&r, others[i]);
        NO_ANSWER(&r);
        CHECK_EQ(state_of(&r.qp), RVT_QPS_RTS);
    }
    CHECK_EQ(r.refusals, 0);
    ASK(&r, READ_OF(&r, MTU, 2 * MTU), .psn = PSN + 2);
    RESPONSE(&r, FIRST, PSN + 2, 3, MTU, MTU);
    RESPONSE(&r, LAST, PSN + 3, 3, 2 * MTU, MTU);
    NO_ANSWER(&r);
    responding_close(&r);
}

/* A peer that repeats what it never asked for, over the PSNs of another READ: one NAK, and silence. */
static void overlapping_reads_end_like_others(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    static unsigned char other[64];
    const struct vmr mine = make_mr(&r.v, other, sizeof(other));
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN);
    RESPONSE(&r, ONLY, PSN, 1, 0, 4);
    ASK(&r, .opcode = READ, .psn = PSN + 1, .addr = mine.addr, .rkey = mine.key, .length = 4);
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + 2);
    ASK(&r, READ_OF(&r, 0, 3 * MTU), .psn = PSN); /* ends where the last one ends */
    CHECK_EQ(rvt_dereg_mr(mine.mr, RVT_RELEASE), 0);
    ACKS(&r, PSN + 1, NAK_ACCESS, 1);
    REFUSED(&r, READ, PSN + 1, NAK_ACCESS, RVT_WHY_REMOTE_REFUSED);
    IS_DEAD(&r);
    responding_close(&r);
}

/* A READ that comes again twice before it is answered has one place. */
static void a_read_that_is_repeated_twice_has_one_place(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN);
    RESPONSE(&r, ONLY, PSN, 1, 0, 4);
    for (int i = 0; i < 3; i++)
        ASK(&r, READ_OF(&r, 0, 4), .psn = PSN);
    RESPONSE(&r, ONLY, PSN, 1, 0, 4);
    NO_ANSWER(&r);
    for (uint32_t i = 1; i <= DEPTH; i++)
        ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + i);
    CHECK_EQ(r.refusals, 0);
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + DEPTH + 1);
    CHECK_EQ(r.refusals, 1);
    responding_close(&r);
}

#define COUNTS(r, last, accepted, bytes)                                                                     \
    fixture_counted((r)->v.device, NULL, (last), (accepted), (bytes), RVT_REASON_NONE, 0, __FILE__, __LINE__)

/* Every access is counted once, however many packets it has; a repeated READ is another access. */
static void accesses_are_counted_once(void) {
    struct responding r;
    struct looked last = {0};
    REQUIRE(open_filled(&r));
    last.counts = fixture_counts(r.v.device, NULL);
    ASK(&r, READ_OF(&r, 0, 3 * MTU), .psn = PSN);
    RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
    RESPONSE(&r, MIDDLE, PSN + 1, 1, MTU, MTU);
    RESPONSE(&r, LAST, PSN + 2, 1, 2 * MTU, MTU);
    COUNTS(&r, &last, 1, 3 * MTU);
    ASK(&r, READ_OF(&r, 2 * MTU, MTU), .psn = PSN + 2);
    RESPONSE(&r, ONLY, PSN + 2, 1, 2 * MTU, MTU);
    COUNTS(&r, &last, 1, MTU);
    ASK(&r, .opcode = RVT_BTH_RC_WRITE_FIRST, .psn = PSN + 3, .addr = r.mr.addr, .rkey = r.mr.key,
        .length = 2 * MTU + 1, .bytes = MTU);
    ASK(&r, .opcode = RVT_BTH_RC_WRITE_MIDDLE, .psn = PSN + 4, .bytes = MTU);
    ASK(&r, .opcode = RVT_BTH_RC_WRITE_LAST, .psn = PSN + 5, .bytes = 1);
    COUNTS(&r, &last, 1, 2 * MTU + 1);
    responding_close(&r);
}

/* A READ with PSNs of which not all have come before is not a repeated one, and not a new one. */
static void a_repeated_read_must_have_been_asked_before(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, READ_OF(&r, 0, 2 * MTU), .psn = PSN);
    RESPONSE(&r, FIRST, PSN, 1, 0, MTU);
    RESPONSE(&r, LAST, PSN + 1, 1, MTU, MTU);
    ASK(&r, READ_OF(&r, 0, 2 * MTU + 1), .psn = PSN);
    ASK(&r, READ_OF(&r, 0, MTU + 1), .psn = PSN + 1);
    ASK(&r, READ_OF(&r, 0, 0x80000001), .psn = PSN);
    ASK(&r, READ_OF(&r, 0, 0xffffffff), .psn = PSN - 0x7ffff0);
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN, .bytes = 4); /* no READ has a payload */
    NO_ANSWER(&r);
    CHECK_EQ(state_of(&r.qp), RVT_QPS_RTS);
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN + 2);
    RESPONSE(&r, ONLY, PSN + 2, 2, 0, 4);
    responding_close(&r);
    /* Too long, although so many packets can have come: 2^19 of 4096 bytes. */
    struct responding_options options = {.attr = responder_attr()};
    options.attr.path_mtu = 5;
    REQUIRE(responding_open_with(&r, options));
    ASK(&r, READ_OF(&r, 0, 0x80000001), .psn = PSN - 0x7ffff0);
    NO_ANSWER(&r);
    CHECK_EQ(r.refusals, 0);
    responding_close(&r);
}

/* Repeated READs do not take the places of new ones, and find no place beyond the depth. */
static void repeated_reads_do_not_crowd_out_new_ones(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    for (uint32_t i = 0; i < 8; i++) {
        ASK(&r, READ_OF(&r, i, 4), .psn = PSN + i);
        RESPONSE(&r, ONLY, PSN + i, i + 1, i, 4);
    }
    for (uint32_t i = 0; i < 8; i++)
        ASK(&r, READ_OF(&r, i, 4), .psn = PSN + i);
    for (uint32_t i = 8; i < 8 + DEPTH; i++)
        ASK(&r, READ_OF(&r, i, 4), .psn = PSN + i);
    CHECK_EQ(r.refusals, 0);
    for (uint32_t i = 8 - DEPTH; i < 8; i++) /* the peer cannot need the others */
        RESPONSE(&r, ONLY, PSN + i, 8, i, 4);
    for (uint32_t i = 8; i < 8 + DEPTH; i++)
        RESPONSE(&r, ONLY, PSN + i, i + 1, i, 4);
    NO_ANSWER(&r);
    responding_close(&r);
    /* With the greatest depth, new ones push out repeated ones. */
    struct responding_options options = {.attr = responder_attr()};
    options.attr.max_dest_rd_atomic = 16;
    REQUIRE(responding_open_with(&r, options));
    for (uint32_t i = 0; i < 16; i++) {
        ASK(&r, READ_OF(&r, i, 4), .psn = PSN + i);
        RESPONSE(&r, ONLY, PSN + i, i + 1, i, 4);
    }
    for (uint32_t i = 0; i < 16; i++)
        ASK(&r, READ_OF(&r, i, 4), .psn = PSN + i);
    for (uint32_t i = 16; i < 19; i++)
        ASK(&r, READ_OF(&r, i, 4), .psn = PSN + i);
    for (uint32_t i = 3; i < 16; i++)
        RESPONSE(&r, ONLY, PSN + i, 16, i, 4);
    for (uint32_t i = 16; i < 19; i++)
        RESPONSE(&r, ONLY, PSN + i, i + 1, i, 4);
    NO_ANSWER(&r);
    responding_close(&r);
}

static void reads_across_the_end_of_the_psns(void) {
    struct responding_options options = {.attr = responder_attr()};
    struct responding r;
    options.attr.rq_psn = 0xfffffe;
    REQUIRE(responding_open_with(&r, options));
    count_up(r.memory, MEMORY_BYTES, 3);
    ASK(&r, READ_OF(&r, 0, 4 * MTU), .psn = 0xfffffe);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = 2, .ack = true);
    RESPONSE(&r, FIRST, 0xfffffe, 1, 0, MTU);
    RESPONSE(&r, MIDDLE, 0xffffff, 1, MTU, MTU);
    RESPONSE(&r, MIDDLE, 0, 1, 2 * MTU, MTU);
    ASK(&r, READ_OF(&r, MTU, 3 * MTU), .psn = 0xffffff);
    RESPONSE(&r, FIRST, 0xffffff, 2, MTU, MTU);
    RESPONSE(&r, MIDDLE, 0, 2, 2 * MTU, MTU);
    RESPONSE(&r, LAST, 1, 2, 3 * MTU, MTU);
    ACKS(&r, 2, ACK, 2);
    NO_ANSWER(&r);
    responding_close(&r);
}

/* A READ of 2^31 bytes is no invalid request. It has 2^23 responses: half of all PSNs, so it can be repeated just so. */
static void the_longest_read(void) {
    struct responding r;
    REQUIRE(responding_open(&r));
    ASK(&r, READ_OF(&r, 0, 0x80000000), .psn = PSN);
    REFUSED(&r, READ, PSN, NAK_ACCESS, RVT_WHY_REMOTE_REFUSED);
    ACKS(&r, PSN, NAK_ACCESS, 0);
    responding_close(&r);
    REQUIRE(responding_open(&r));
    struct rvt_answers *answers = &connection_of(&r.qp)->responder.answers;
    const struct rvt_asked asked = {.addr = r.mr.addr,
                                    .length = 0x80000000,
                                    .rkey = r.mr.key,
                                    .psn = PSN - 0x800000 + 0x1000000,
                                    .psns = 0x800000};
    rvt_answers_keep(answers, &asked, DEPTH); /* as if it had come before */
    ASK(&r, READ_OF(&r, 0, 0x80000000), .psn = PSN - 0x800000);
    CHECK_EQ(answers->count, 1);
    ASK(&r, READ_OF(&r, 0x7fffff00, 256), .psn = PSN - 1);
    CHECK_EQ(answers->count, 1);
    CHECK_EQ(answers->due[0].rest, 256);
    responding_close(&r);
}

/* --- atomic operations --- */

static void atomic_operations(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    store_word(&r, 64, UINT64_MAX - 1);
    ASK(&r, FAA_OF(&r, 64, 3), .psn = PSN);
    CHECK_EQ(load_word(&r, 64), 1); /* modulo 2^64 */
    OLD(&r, PSN, 1, UINT64_MAX - 1);
    ASK(&r, .opcode = CAS, .psn = PSN + 1, .addr = r.mr.addr + 64, .rkey = r.mr.key, .compare = 1,
        .swap_add = 0x1122334455667788);
    CHECK_EQ(load_word(&r, 64), 0x1122334455667788);
    OLD(&r, PSN + 1, 2, 1);
    ASK(&r, .opcode = CAS, .psn = PSN + 2, .addr = r.mr.addr + 64, .rkey = r.mr.key, .compare = 2,
        .swap_add = 9);
    CHECK_EQ(load_word(&r, 64), 0x1122334455667788);
    OLD(&r, PSN + 2, 3, 0x1122334455667788);
    NO_ANSWER(&r);
    AT_REST(r.mr);
    responding_close(&r);
}

static void an_atomic_operation_at_an_odd_address(void) {
    for (uint32_t at = 1; at < 8; at++) {
        struct responding r;
        REQUIRE(open_filled(&r));
        const uint64_t before = load_word(&r, 64 + at);
        ASK(&r, FAA_OF(&r, 64 + at, 1), .psn = PSN);
        CHECK_EQ(load_word(&r, 64 + at), before);
        ACKS(&r, PSN, NAK_INVALID, 0);
        REFUSED(&r, FAA, PSN, NAK_INVALID, RVT_WHY_ATOMIC_ADDRESS);
        IS_DEAD(&r);
        responding_close(&r);
    }
}

static void a_repeated_atomic_operation_is_not_carried_out(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    store_word(&r, 0, 100);
    for (uint32_t i = 0; i < 6; i++) {
        ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN + i);
        OLD(&r, PSN + i, i + 1, 100 + i);
    }
    CHECK_EQ(load_word(&r, 0), 106);
    /* The last DEPTH are remembered, whatever the request looks like now; those in front of them get no answer. */
    for (uint32_t i = 0; i < 6; i++) {
        ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN + i);
        if (i >= 6 - DEPTH)
            OLD(&r, PSN + i, 6, 100 + i);
        NO_ANSWER(&r);
    }
    ASK(&r, .opcode = CAS, .psn = PSN + 5, .addr = r.mr.addr + 1, .rkey = 1, .compare = 106);
    OLD(&r, PSN + 5, 6, 105);
    /* Also after other requests. */
    for (uint32_t i = 6; i < 20; i++)
        ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + i);
    ACKS(&r, PSN + 19, ACK, 20);
    ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN + 4);
    OLD(&r, PSN + 4, 20, 104);
    CHECK_EQ(load_word(&r, 0), 106);
    /* An atomic operation with the PSN of another request. */
    ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN + 10);
    NO_ANSWER(&r);
    CHECK_EQ(load_word(&r, 0), 106);
    CHECK_EQ(counters_of(&r).duplicates, 9);
    responding_close(&r);
}

/* soft-RoCE takes an ACK with the PSN of its READ or atomic operation for the response, and completes it without the bytes.
 * The response may have been lost, so an ACK for what came again is about what is in front of them, with the MSN of it. */
static void an_ack_has_no_psn_of_a_response(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    store_word(&r, 0, 100);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 1);
    ACKS(&r, PSN + 1, ACK, 2);
    ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN + 2);
    OLD(&r, PSN + 2, 3, 100);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN);
    ACKS(&r, PSN + 1, ACK, 2);
    ASK(&r, READ_OF(&r, 0, 2 * MTU), .psn = PSN + 3);
    RESPONSE(&r, FIRST, PSN + 3, 4, 0, MTU);
    RESPONSE(&r, LAST, PSN + 4, 4, MTU, MTU);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 1);
    ACKS(&r, PSN + 1, ACK, 2);
    NO_ANSWER(&r);
    ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN + 2);
    OLD(&r, PSN + 2, 4, 100);
    /* The newest PSN again, as soon as it is none of a response. */
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 5);
    ACKS(&r, PSN + 5, ACK, 5);
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN);
    ACKS(&r, PSN + 5, ACK, 5);
    /* Those that the peer cannot have open any more are not looked at. */
    for (uint32_t i = 0; i < DEPTH + 2; i++) {
        ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN + 6 + i);
        OLD(&r, PSN + 6 + i, 6 + i, 101 + i);
    }
    ASK(&r, WRITE_OF(&r, 4096, 4), .psn = PSN + 5);
    ACKS(&r, PSN + 7, ACK, 7);
    NO_ANSWER(&r);
    responding_close(&r);
}

/* While the answer is due, and without a region: the result is known. */
static void a_repeated_atomic_operation_needs_no_memory(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    static uint64_t word;
    word = 5;
    const struct vmr mine = make_mr(&r.v, &word, sizeof(word));
    ASK(&r, READ_OF(&r, 0, 4), .psn = PSN);
    ASK(&r, .opcode = FAA, .psn = PSN + 1, .addr = mine.addr, .rkey = mine.key, .swap_add = 2);
    CHECK_EQ(word, 7);
    CHECK_EQ(rvt_dereg_mr(mine.mr, RVT_RELEASE), 0);
    for (int i = 0; i < 3; i++)
        ASK(&r, .opcode = FAA, .psn = PSN + 1, .addr = mine.addr, .rkey = mine.key, .swap_add = 2);
    RESPONSE(&r, ONLY, PSN, 1, 0, 4);
    OLD(&r, PSN + 1, 2, 5);
    NO_ANSWER(&r);
    ASK(&r, .opcode = FAA, .psn = PSN + 1, .addr = mine.addr, .rkey = mine.key, .swap_add = 2);
    OLD(&r, PSN + 1, 2, 5);
    CHECK_EQ(word, 7);
    ASK(&r, .opcode = FAA, .psn = PSN + 2, .addr = mine.addr, .rkey = mine.key, .swap_add = 2);
    ACKS(&r, PSN + 2, NAK_ACCESS, 2);
    IS_DEAD(&r);
    responding_close(&r);
}

/* When the PSNs have come around, the newest operation with a PSN counts. */
static void results_of_an_earlier_round_are_not_taken_for_new_ones(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    store_word(&r, 0, 100);
    ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN);
    OLD(&r, PSN, 1, 100);
    connection_of(&r.qp)->responder.expected_psn = PSN; /* as if 2^24 - 1 WRITEs had come */
    ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN);
    OLD(&r, PSN, 2, 101);
    ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN);
    OLD(&r, PSN, 2, 101);
    CHECK_EQ(load_word(&r, 0), 102);
    responding_close(&r);
}

/* What a queue pair remembers does not survive RESET. */
static void results_end_with_a_reset(void) {
    struct responding r;
    REQUIRE(open_filled(&r));
    ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN);
    OLD(&r, PSN, 1, load_word(&r, 0) - 1);
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_RESET), 0);
    struct rvt_qp_attr attr = responder_attr();
    attr.rq_psn = PSN + 1;
    bring_to(&r.qp, attr, RVT_QPS_RTS);
    ASK(&r, FAA_OF(&r, 0, 1), .psn = PSN);
    NO_ANSWER(&r);
    responding_close(&r);
}

CHECK_MAIN(TEST(reads_of_every_length), TEST(an_empty_read_needs_no_key), TEST(reads_memory_when_it_sends),
           TEST(acknowledgements_do_not_overtake_reads), TEST(naks_do_not_overtake_reads),
           TEST(reads_in_front_of_a_refused_request_are_answered),
           TEST(an_error_of_the_program_ends_all_reads), TEST(revocation_in_the_middle_of_a_read),
           TEST(a_read_loses_its_right_in_the_middle), TEST(the_range_of_a_read_is_judged_when_it_comes),
           TEST(more_requests_than_agreed), TEST(the_depth_is_at_least_one_and_at_most_sixteen),
           TEST(a_repeated_read_is_carried_out_again), TEST(a_repeated_read_that_is_due_begins_again),
           TEST(a_repeated_read_is_answered_in_order), TEST(a_repeated_read_that_is_refused_has_no_effect),
           TEST(a_read_that_is_due_and_repeated_is_refused_like_others),
           TEST(a_repeated_read_must_be_the_same), TEST(overlapping_reads_end_like_others),
           TEST(a_read_that_is_repeated_twice_has_one_place), TEST(accesses_are_counted_once),
           TEST(a_repeated_read_must_have_been_asked_before), TEST(repeated_reads_do_not_crowd_out_new_ones),
           TEST(reads_across_the_end_of_the_psns), TEST(the_longest_read), TEST(atomic_operations),
           TEST(an_atomic_operation_at_an_odd_address), TEST(a_repeated_atomic_operation_is_not_carried_out),
           TEST(an_ack_has_no_psn_of_a_response), TEST(a_repeated_atomic_operation_needs_no_memory),
           TEST(results_of_an_earlier_round_are_not_taken_for_new_ones), TEST(results_end_with_a_reset))
