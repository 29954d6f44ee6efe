/* SPDX-License-Identifier: BSD-3-Clause */
/* What a peer learns of a refusal: the class, and nothing else. For every request and every reason, the bytes that are
 * sent are the same, and the host is told the reason. */
#include "requests.h"

enum { PSN = FIRST_PSN, AT = 1024, REGION = 1024 };

/* --- remote accesses --- */

enum bad {
    NO_SUCH,
    STALE,
    REVOKED,
    INVALIDATED,
    OTHER_PD,
    BEHIND,
    BELOW,
    FAR_AWAY,
    WRAPS,
    NO_RIGHT,
    KEY_ZERO,
    UNMAPPED,
    DETACHED,
    ELSEWHERE,
    BADS,
};

static const enum rvt_reason reasons[BADS] = {
    [NO_SUCH] = RVT_NO_SUCH_KEY,      [STALE] = RVT_STALE_KEY,
    [REVOKED] = RVT_REVOKED,          [INVALIDATED] = RVT_INVALIDATED,
    [OTHER_PD] = RVT_WRONG_PD,        [BEHIND] = RVT_OUT_OF_BOUNDS,
    [BELOW] = RVT_OUT_OF_BOUNDS,      [FAR_AWAY] = RVT_OUT_OF_BOUNDS,
    [WRAPS] = RVT_OUT_OF_BOUNDS,      [NO_RIGHT] = RVT_ACCESS_DENIED,
    [KEY_ZERO] = RVT_NO_DMA_REGION,   [UNMAPPED] = RVT_UNMAPPED,
    [DETACHED] = RVT_MEMORY_DETACHED, [ELSEWHERE] = RVT_OTHER_ENVIRONMENT,
};

/* Requests that access memory. */
static const struct accessing {
    struct request request;
    uint32_t right;
} requests[] = {
    {{.opcode = RVT_BTH_RC_WRITE_ONLY, .length = 8, .bytes = 8}, REMOTE_WRITE},
    {{.opcode = RVT_BTH_RC_WRITE_ONLY_WITH_IMM, .length = 8, .bytes = 8}, REMOTE_WRITE},
    {{.opcode = RVT_BTH_RC_WRITE_FIRST, .length = 2 * MTU, .bytes = MTU}, REMOTE_WRITE},
    {{.opcode = RVT_BTH_RC_READ_REQUEST, .length = 8}, REMOTE_READ},
    {{.opcode = RVT_BTH_RC_READ_REQUEST, .length = 3 * MTU + 9}, REMOTE_READ},
    {{.opcode = RVT_BTH_RC_CMP_SWAP}, REMOTE_ATOMIC},
    {{.opcode = RVT_BTH_RC_FETCH_ADD, .swap_add = 1}, REMOTE_ATOMIC},
};
enum { REQUESTS = sizeof(requests) / sizeof(requests[0]) };

struct lost {
    struct rvt_memory memory;
    enum rvt_reason reason;
};

static enum rvt_reason resolve_lost(struct rvt_memory *memory, void *environment, unsigned char **data) {
    (void)environment;
    (void)data;
    return ((struct lost *)memory)->reason;
}

static void release_lost(struct rvt_memory *memory) {
    (void)memory;
}

/* A region of the memory whose key is of no use: fills in the address and the key of the request. */
static void make_bad(struct responding *r, enum bad bad, const struct accessing *accessing, struct lost *lost,
                     struct request *request) {
    static const struct rvt_memory_ops ops = {.resolve = resolve_lost, .release = release_lost};
    const uint32_t length = request->length ? request->length : 8;
    struct rvt_pd_handle pd = bad == OTHER_PD ? r->v.other_pd : r->v.pd;
    struct vmr mr =
        make_mr_in(pd, r->memory + AT, REGION, bad == NO_RIGHT ? ALL_ACCESS & ~accessing->right : ALL_ACCESS);
    request->addr = mr.addr;
    request->rkey = mr.key;
    switch (bad) {
    case NO_SUCH:
        request->rkey = no_such_key(r);
        break;
    case STALE:
        request->rkey ^= 1;
        break;
    case REVOKED:
        CHECK_EQ(rvt_dereg_mr(mr.mr, RVT_RELEASE), 0);
        break;
    case INVALIDATED:
        CHECK_EQ(rvt_invalidate_rkey(r->qp.handle, mr.key), 0);
        break;
    case BEHIND:
        request->addr += REGION - (length & ~7u);
        request->addr += length % 8 ? 0 : 8;
        break;
    case BELOW:
        request->addr -= 8;
        break;
    case FAR_AWAY:
        request->addr = 0x1000;
        break;
    case WRAPS:
        request->addr = UINT64_MAX - 7;
        break;
    case KEY_ZERO:
        request->rkey = 0;
        break;
    case UNMAPPED: {
        struct rvt_mr_handle dma = {0}; /* key 0 names it, and no DMA mapping has the address */
        CHECK_EQ(rvt_get_dma_mr(r->v.pd, ALL_ACCESS, &dma), 0);
        request->rkey = 0;
        break;
    }
    case DETACHED:
    case ELSEWHERE: {
        struct rvt_mr_handle gone = {0};
        lost->reason = reasons[bad];
        rvt_memory_init(&lost->memory, &ops, REGION);
        CHECK_EQ(rvt_reg_user_mr(r->v.pd, &lost->memory, 0x10000, 0x10000, ALL_ACCESS, &gone), 0);
        request->rkey = fixture_key(gone);
        request->addr = 0x10000;
        break;
    }
    default:
        break;
    }
}

/* The bytes of everything that is sent after a refused request. */
struct said {
    unsigned char bytes[64];
    uint32_t length;
};

static struct said all_that_is_said(struct responding *r) {
    struct said said = {.length = 0};
    struct answer answer;
    while (next_packet(r, &answer)) {
        if (said.length + answer.length > sizeof(said.bytes)) {
            CHECK(!"too much is said");
            break;
        }
        memcpy(said.bytes + said.length, answer.packet, answer.length);
        said.length += answer.length;
    }
    return said;
}

static void every_reason_is_said_in_the_same_bytes(void) {
    struct said first = {.length = 0};
    for (int i = 0; i < REQUESTS; i++) {
        for (int bad = 0; bad < BADS; bad++) {
            struct responding r;
            struct lost lost;
            unsigned char before[MEMORY_BYTES];
            struct request request = requests[i].request;
            const int failures = atomic_load(&check_failures);
            REQUIRE(responding_open(&r));
            CHECK_EQ(post_receive(&r.qp, 1, NULL, 0), 0);
            make_bad(&r, (enum bad)bad, &requests[i], &lost, &request);
            request.psn = PSN;
            memcpy(before, r.memory, MEMORY_BYTES);
            ask(&r, request);
            const struct said said = all_that_is_said(&r);
            if (!first.length) {
                first = said;
                CHECK_EQ(first.length, 16); /* BTH and AETH */
                CHECK_EQ(first.bytes[12], NAK_ACCESS);
            }
            CHECK_EQ(said.length, first.length);
            CHECK_BYTES_EQ(said.bytes, first.bytes, first.length);
            CHECK_BYTES_EQ(before, r.memory, MEMORY_BYTES);
            REFUSED(&r, request.opcode, PSN, NAK_ACCESS, RVT_WHY_REMOTE_REFUSED);
            const struct rvt_refused_access *refused = &r.refused[0].why.refused;
            CHECK_EQ(refused->reason, reasons[bad]);
            CHECK_EQ(refused->judge, r.qp.serial);
            CHECK_EQ(refused->addr, request.addr);
            CHECK_EQ(refused->length, request.length ? request.length : 8);
            CHECK_EQ(refused->key, request.rkey);
            CHECK_EQ(refused->access, requests[i].right);
            IS_DEAD(&r);
            responding_close(&r);
            if (atomic_load(&check_failures) != failures)
                printf("# in: request %d, bad %d\n", i, bad);
        }
    }
}

/* --- the queue pair's access flags --- */

static void missing_rights_of_the_queue_pair_are_invalid_requests(void) {
    struct said first = {.length = 0};
    for (int i = 0; i < REQUESTS; i++) {
        for (int good_key = 0; good_key < 2; good_key++) {
            struct responding_options options = {.attr = responder_attr()};
            struct responding r;
            struct request request = requests[i].request;
            options.attr.access = ALL_ACCESS & ~requests[i].right;
            REQUIRE(responding_open_with(&r, options));
            CHECK_EQ(post_receive(&r.qp, 1, NULL, 0), 0);
            request.psn = PSN;
            request.addr = r.mr.addr;
            request.rkey = good_key ? r.mr.key : no_such_key(&r); /* must not be learned, either */
            ask(&r, request);
            const struct said said = all_that_is_said(&r);
            if (!first.length) {
                first = said;
                CHECK_EQ(first.length, 16);
                CHECK_EQ(first.bytes[12], NAK_INVALID);
            }
            CHECK_EQ(said.length, first.length);
            CHECK_BYTES_EQ(said.bytes, first.bytes, first.length);
            REFUSED(&r, request.opcode, PSN, NAK_INVALID, RVT_WHY_QP_ACCESS);
            CHECK_EQ(r.refused[0].why.value, options.attr.access);
            IS_DEAD(&r);
            responding_close(&r);
        }
    }
}

/* --- in the middle of a message --- */

/* A key that ends between two packets is refused at the next one, with the same bytes for each way in which it ends. */
static void keys_that_end_in_the_middle(void) {
    for (int read = 0; read < 2; read++) {
        struct said first = {.length = 0};
        for (int way = 0; way < 3; way++) {
            static const enum rvt_reason expected[] = {RVT_REVOKED, RVT_REVOKED, RVT_INVALIDATED};
            struct responding r;
            REQUIRE(responding_open(&r));
            const struct vmr mr = make_mr_in(r.v.pd, r.memory + AT, REGION, ALL_ACCESS);
            ASK(&r, .opcode = read ? RVT_BTH_RC_READ_REQUEST : RVT_BTH_RC_WRITE_FIRST, .psn = PSN,
                .addr = mr.addr, .rkey = mr.key, .length = 2 * MTU, .bytes = read ? 0 : MTU);
            struct answer answer;
            CHECK_EQ(next_packet(&r, &answer), read);
            if (way == 2)
                CHECK_EQ(rvt_invalidate_rkey(r.qp.handle, mr.key), 0);
            else
                CHECK_EQ(rvt_dereg_mr(mr.mr, way ? RVT_RELEASE_FORCE : RVT_RELEASE), 0);
            memset(r.memory + AT, 0x33, REGION);
            if (!read)
                ASK(&r, .opcode = RVT_BTH_RC_WRITE_LAST, .psn = PSN + 1, .bytes = MTU);
            const struct said said = all_that_is_said(&r);
            if (!way)
                first = said;
            CHECK_EQ(said.length, 16);
            CHECK_BYTES_EQ(said.bytes, first.bytes, 16);
            CHECK_EQ(said.bytes[12], NAK_ACCESS);
            CHECK_EQ(r.refused[0].why.refused.reason, expected[way]);
            for (uint32_t i = 0; i < REGION; i++)
                CHECK_EQ(r.memory[AT + i], 0x33);
            IS_DEAD(&r);
            responding_close(&r);
        }
    }
}

/* --- limits --- */

/* After so many refusals a source gets no new connection for a minute. */
static void a_source_that_is_refused_often_gets_no_connection(void) {
    struct responding r;
    REQUIRE(responding_open_with(&r, (struct responding_options){.refusals_a_minute = 3}));
    for (uint32_t i = 0; i < 3; i++) {
        if (i) {
            CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_RESET), 0);
            CHECK_EQ(connect_to_peer(&r, &r.qp), 0);
            bring_to(&r.qp, responder_attr(), RVT_QPS_RTS);
        }
        ASK(&r, .opcode = RVT_BTH_RC_WRITE_ONLY, .psn = PSN, .rkey = 1, .length = 1, .bytes = 1);
        ACKS(&r, PSN, NAK_ACCESS, 0);
    }
    CHECK_EQ(move_qp(&r.qp, responder_attr(), RVT_QPS_RESET), 0);
    CHECK_EQ(connect_to_peer(&r, &r.qp), -RVT_EACCES);
    CHECK_EQ(counters_of(&r).limited, 1);
    r.now += 59999999;
    CHECK_EQ(connect_to_peer(&r, &r.qp), -RVT_EACCES);
    r.now++;
    CHECK_EQ(connect_to_peer(&r, &r.qp), 0);
    responding_close(&r);
}

CHECK_MAIN(TEST(every_reason_is_said_in_the_same_bytes),
           TEST(missing_rights_of_the_queue_pair_are_invalid_requests), TEST(keys_that_end_in_the_middle),
           TEST(a_source_that_is_refused_often_gets_no_connection))
