/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys: protection domains, bounds, rights, deregistration. A local element is judged when a send is posted
 * (ibv_post_send() answers EINVAL, as the kernel's rdmavt does), that of a receive when a message uses it,
 * and a remote range when the request is carried out. */
#include <sys/mman.h>

#include "traffic.h"

enum { HALF = SCENE_BYTES / 2 };

/* --- local elements of sends --- */

/* Posting with this element is refused: nothing is sent and nothing completes, and the queue pair goes on. */
static void refuses_to_post(struct scene *s, struct request r) {
    CHECK_EQ(post(&s->a, r), EINVAL);
    IS_EMPTY(s->a.scq);
    CHECK_EQ(state_of(&s->a), IBV_QPS_RTS);
    CHECK(all_bytes_are(s->remote.bytes, SCENE_BYTES, REMOTE_FILL));

    CHECK_EQ(post(&s->a, write_of(77, part(&s->local, 0, 8), &s->remote, 0)), 0);
    SENT(&s->a, 77, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s->remote.bytes, 8, LOCAL_FILL));
    memset(s->remote.bytes, REMOTE_FILL, 8);
}

static void refuses_an_lkey_of_another_domain(void) {
    struct scene s;
    struct memory foreign;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.other_pd, 64, 1, ALL_RIGHTS, &foreign));
    refuses_to_post(&s, send_of(1, part(&foreign, 0, 8)));
    refuses_to_post(&s, write_of(2, part(&foreign, 0, 8), &s.remote, 0));
    refuses_to_post(&s, read_of(3, part(&foreign, 0, 8), &s.remote, 0));
    refuses_to_post(&s, fetch_add_of(4, part(&foreign, 0, 8), &s.remote, 0, 1));
    CHECK(all_bytes_are(foreign.bytes, 64, 1));
    scene_close(&s);
}

static void refuses_local_ranges_outside_the_region(void) {
    static const struct {
        int64_t offset;
        uint32_t length;
    } outside[] = {
        {-1, 8},                       /* begins one byte before */
        {-8, 8},                       /* ends where the region begins */
        {SCENE_BYTES - 7, 8},          /* ends one byte behind */
        {SCENE_BYTES, 8},              /* begins behind */
        {SCENE_BYTES, 1},              /* the byte behind */
        {0, SCENE_BYTES + 1},          /* one byte too long */
        {0, UINT32_MAX},               /* as long as a length can be */
        {SCENE_BYTES - 8, UINT32_MAX}, /* likewise, from within */
    };
    struct scene s;
    REQUIRE(scene_open(&s));
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        struct ibv_sge sge = part(&s.local, outside[i].offset, outside[i].length);
        refuses_to_post(&s, send_of(i, sge));
        refuses_to_post(&s, write_of(i, sge, &s.remote, 0));
        refuses_to_post(&s, read_of(i, sge, &s.remote, 0));
    }
    scene_close(&s);
}

/* The sum of address and length passes 2^64, so it must not be compared. */
static void refuses_local_ranges_that_wrap(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_sge wraps = {.addr = UINT64_MAX - 3, .length = 8, .lkey = s.local.mr->lkey};
    struct ibv_sge to_within = {
        .addr = address(&s.local, 0) - UINT32_MAX, .length = UINT32_MAX, .lkey = s.local.mr->lkey};
    refuses_to_post(&s, send_of(1, wraps));
    refuses_to_post(&s, read_of(2, wraps, &s.remote, 0));
    refuses_to_post(&s, send_of(3, to_within));
    scene_close(&s);
}

static void refuses_a_second_element_that_is_outside(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_sge sges[] = {part(&s.local, 0, 8), part(&s.local, SCENE_BYTES - 7, 8)};
    struct request r = {.opcode = IBV_WR_SEND, .id = 1, .sges = sges, .num_sge = 2};
    refuses_to_post(&s, r);
    /* The reference on the first element was given back: the region can be deregistered. */
    CHECK_EQ(world_destroy(&s.w, s.local.mr), 0);
    scene_close(&s);
}

static void reads_and_atomics_need_local_write(void) {
    struct scene s;
    struct memory readable;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, IBV_ACCESS_REMOTE_READ, &readable));
    refuses_to_post(&s, read_of(1, part(&readable, 0, 8), &s.remote, 0));
    refuses_to_post(&s, fetch_add_of(2, part(&readable, 0, 8), &s.remote, 0, 1));
    refuses_to_post(&s, swap_of(3, part(&readable, 0, 8), &s.remote, 0, 0, 1));
    CHECK(all_bytes_are(readable.bytes, 64, 1));

    /* Reading local memory needs no right. */
    CHECK_EQ(post(&s.a, write_of(4, part(&readable, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 4, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, 8, 1));
    scene_close(&s);
}

static void refuses_lkeys_that_name_no_region(void) {
    struct scene s;
    struct memory stale;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, ALL_RIGHTS, &stale));
    struct ibv_sge was = part(&stale, 0, 8);
    CHECK_EQ(world_destroy(&s.w, stale.mr), 0);
    refuses_to_post(&s, send_of(1, was));
    refuses_to_post(&s, read_of(2, was, &s.remote, 0));

    uint32_t keys[] = {0, s.local.mr->lkey ^ 1, s.local.mr->lkey ^ 0x80000000, ~s.local.mr->lkey, UINT32_MAX};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (keys[i] == s.local.mr->lkey || keys[i] == s.remote.mr->lkey)
            continue;
        struct ibv_sge sge = {.addr = address(&s.local, 0), .length = 8, .lkey = keys[i]};
        refuses_to_post(&s, send_of(3, sge));
    }
    scene_close(&s);
}

/* An address of one region with the key of another. */
static void a_key_reaches_its_own_region_only(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_sge sge = {.addr = address(&s.remote, 0), .length = 8, .lkey = s.local.mr->lkey};
    refuses_to_post(&s, send_of(1, sge));
    scene_close(&s);
}

static void accepts_the_first_and_the_last_byte(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    static const struct {
        int64_t offset;
        uint32_t length;
    } within[] = {{0, 1}, {SCENE_BYTES - 1, 1}, {0, SCENE_BYTES}, {HALF, HALF}};
    for (size_t i = 0; i < sizeof(within) / sizeof(within[0]); i++) {
        memset(s.remote.bytes, REMOTE_FILL, SCENE_BYTES);
        CHECK_EQ(post(&s.a, write_of(i, part(&s.local, within[i].offset, within[i].length), &s.remote,
                                     within[i].offset)),
                 0);
        SENT(&s.a, i, IBV_WC_SUCCESS);
        CHECK(all_bytes_are(s.remote.bytes + within[i].offset, within[i].length, LOCAL_FILL));
        size_t behind = (size_t)within[i].offset + within[i].length;
        CHECK(all_bytes_are(s.remote.bytes, (size_t)within[i].offset, REMOTE_FILL));
        CHECK(all_bytes_are(s.remote.bytes + behind, SCENE_BYTES - behind, REMOTE_FILL));
        CHECK_EQ(s.remote.bytes[-1], 0xee);
        CHECK_EQ(s.remote.bytes[SCENE_BYTES], 0xee);
    }
    scene_close(&s);
}

/* --- local elements of receives --- */

/* A receive with this element fails when a message uses it, and brings both queue pairs into error. */
static void fails_to_receive(struct scene *s, struct ibv_sge sge) {
    CHECK_EQ(receive(&s->b, 1, sge), 0);
    CHECK_EQ(receive(&s->b, 2, part(&s->remote, 0, 8)), 0);
    CHECK_EQ(post(&s->a, send_of(3, part(&s->local, 0, 8))), 0);
    struct ibv_wc wc = RECEIVED(&s->b, 1, IBV_WC_LOC_PROT_ERR);
    CHECK_EQ(wc.opcode & IBV_WC_RECV, IBV_WC_RECV);
    RECEIVED(&s->b, 2, IBV_WC_WR_FLUSH_ERR);
    SENT(&s->a, 3, IBV_WC_REM_OP_ERR);
    CHECK_EQ(state_of(&s->a), IBV_QPS_ERR);
    CHECK_EQ(state_of(&s->b), IBV_QPS_ERR);
    CHECK(all_bytes_are(s->remote.bytes, SCENE_BYTES, REMOTE_FILL));
    CHECK_EQ(s->remote.bytes[-1], 0xee);
    CHECK_EQ(s->remote.bytes[SCENE_BYTES], 0xee);
}

static void a_receive_with_an_lkey_of_another_domain_fails(void) {
    struct scene s;
    struct memory foreign;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.other_pd, 64, 1, ALL_RIGHTS, &foreign));
    fails_to_receive(&s, part(&foreign, 0, 8));
    CHECK(all_bytes_are(foreign.bytes, 64, 1));
    scene_close(&s);
}

static void a_receive_outside_the_region_fails(void) {
    static const struct {
        int64_t offset;
        uint32_t length;
    } outside[] = {{-1, 8}, {SCENE_BYTES - 7, 8}, {SCENE_BYTES, 8}, {0, SCENE_BYTES + 1}, {0, UINT32_MAX}};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        struct scene s;
        REQUIRE(scene_open(&s));
        fails_to_receive(&s, part(&s.remote, outside[i].offset, outside[i].length));
        scene_close(&s);
    }
}

static void a_receive_that_wraps_fails(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    fails_to_receive(&s, (struct ibv_sge){.addr = UINT64_MAX - 3, .length = 8, .lkey = s.remote.mr->lkey});
    scene_close(&s);
}

static void a_receive_needs_local_write(void) {
    struct scene s;
    struct memory readable;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, IBV_ACCESS_REMOTE_READ, &readable));
    fails_to_receive(&s, part(&readable, 0, 8));
    CHECK(all_bytes_are(readable.bytes, 64, 1));
    scene_close(&s);
}

static void a_receive_whose_region_was_deregistered_fails(void) {
    struct scene s;
    struct memory stale;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, ALL_RIGHTS, &stale));
    struct ibv_sge sge = part(&stale, 0, 8);
    CHECK_EQ(receive(&s.b, 1, sge), 0);
    CHECK_EQ(world_destroy(&s.w, stale.mr), 0); /* a posted receive does not hold its region */
    CHECK_EQ(post(&s.a, send_of(2, part(&s.local, 0, 8))), 0);
    RECEIVED(&s.b, 1, IBV_WC_LOC_PROT_ERR);
    SENT(&s.a, 2, IBV_WC_REM_OP_ERR);
    CHECK(all_bytes_are(stale.bytes, 64, 1));
    scene_close(&s);
}

/* --- remote ranges --- */

enum { OPERATIONS = 4 };

/* One request of each kind that names a remote range. */
static struct request operation(int kind, const struct scene *s, uint64_t remote_addr, uint32_t rkey) {
    static const enum ibv_wr_opcode opcodes[OPERATIONS] = {
        IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ, IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_ATOMIC_CMP_AND_SWP};
    return (struct request){.opcode = opcodes[kind],
                            .id = 9,
                            .sge = part(&s->local, 0, 8),
                            .remote_addr = remote_addr,
                            .rkey = rkey,
                            .compare_add = 1,
                            .swap = 2};
}

/* The request fails with this status. Nothing is moved, the responder's receives are flushed, and both queue
 * pairs are in error. */
static void fails_remotely(struct scene *s, struct request r, enum ibv_wc_status status) {
    CHECK_EQ(receive(&s->b, 1, part(&s->remote, 0, 8)), 0);
    CHECK_EQ(post(&s->a, r), 0);
    SENT(&s->a, r.id, status);
    RECEIVED(&s->b, 1, IBV_WC_WR_FLUSH_ERR);
    IS_EMPTY(s->b.rcq);
    CHECK_EQ(state_of(&s->a), IBV_QPS_ERR);
    CHECK_EQ(state_of(&s->b), IBV_QPS_ERR);
    CHECK(all_bytes_are(s->remote.bytes - MARGIN, MARGIN, 0xee));
    CHECK(all_bytes_are(s->remote.bytes, SCENE_BYTES, REMOTE_FILL));
    CHECK(all_bytes_are(s->remote.bytes + SCENE_BYTES, MARGIN, 0xee));
    CHECK(all_bytes_are(s->local.bytes, SCENE_BYTES, LOCAL_FILL));
}

static void an_rkey_of_another_domain_is_an_access_error(void) {
    for (int kind = 0; kind < OPERATIONS; kind++) {
        struct scene s;
        struct memory foreign;
        REQUIRE(scene_open(&s));
        REQUIRE(make_memory(&s.w, s.w.other_pd, 64, 1, ALL_RIGHTS, &foreign));
        fails_remotely(&s, operation(kind, &s, address(&foreign, 0), foreign.mr->rkey),
                       IBV_WC_REM_ACCESS_ERR);
        CHECK(all_bytes_are(foreign.bytes, 64, 1));
        scene_close(&s);
    }
}

static void remote_ranges_outside_the_region_are_access_errors(void) {
    static const struct {
        int64_t offset;
        uint32_t length;
    } outside[] = {{-1, 8},          {-8, 8},          {SCENE_BYTES - 7, 8},
                   {SCENE_BYTES, 8}, {SCENE_BYTES, 1}, {1, SCENE_BYTES}};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        for (int kind = 0; kind < 2; kind++) { /* WRITE and READ */
            struct scene s;
            REQUIRE(scene_open(&s));
            struct request r = operation(kind, &s, address(&s.remote, outside[i].offset), s.remote.mr->rkey);
            r.sge.length = outside[i].length;
            fails_remotely(&s, r, IBV_WC_REM_ACCESS_ERR);
            scene_close(&s);
        }
}

static void atomics_outside_the_region_are_access_errors(void) {
    static const int64_t outside[] = {-8, SCENE_BYTES};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        for (int kind = 2; kind < OPERATIONS; kind++) {
            struct scene s;
            REQUIRE(scene_open(&s));
            fails_remotely(&s, operation(kind, &s, address(&s.remote, outside[i]), s.remote.mr->rkey),
                           IBV_WC_REM_ACCESS_ERR);
            scene_close(&s);
        }
}

static void remote_ranges_that_wrap_are_access_errors(void) {
    for (int kind = 0; kind < 2; kind++) {
        struct scene s;
        REQUIRE(scene_open(&s));
        fails_remotely(&s, operation(kind, &s, UINT64_MAX - 3, s.remote.mr->rkey), IBV_WC_REM_ACCESS_ERR);
        scene_close(&s);
    }
}

/* Each operation needs its own right of the region. */
static void each_operation_needs_its_right_of_the_region(void) {
    static const int lacking[OPERATIONS] = {
        IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC,
        IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC,
        IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
        IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
    };
    for (int kind = 0; kind < OPERATIONS; kind++) {
        struct scene s;
        struct memory target;
        REQUIRE(scene_open(&s));
        REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, lacking[kind], &target));
        fails_remotely(&s, operation(kind, &s, address(&target, 0), target.mr->rkey), IBV_WC_REM_ACCESS_ERR);
        CHECK(all_bytes_are(target.bytes, 64, 1));
        scene_close(&s);
    }
}

/* An operation needs no other remote right than its own. Remote changes need local write to be registered. */
static void one_right_of_the_region_is_enough(void) {
    static const int rights[OPERATIONS] = {
        IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
        IBV_ACCESS_REMOTE_READ,
        IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_ATOMIC,
        IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_ATOMIC,
    };
    for (int kind = 0; kind < OPERATIONS; kind++) {
        struct scene s;
        struct memory target;
        REQUIRE(scene_open(&s));
        REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, rights[kind], &target));
        CHECK_EQ(post(&s.a, operation(kind, &s, address(&target, 0), target.mr->rkey)), 0);
        SENT(&s.a, 9, IBV_WC_SUCCESS);
        scene_close(&s);
    }
}

/* Without the right in its access flags, a queue pair does not take the request at all, whatever the region
 * allows. */
static void each_operation_needs_its_right_of_the_queue_pair(void) {
    static const int lacking[OPERATIONS] = {
        IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC,
        IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC,
        IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
        IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
    };
    for (int kind = 0; kind < OPERATIONS; kind++) {
        struct scene s;
        REQUIRE(scene_open_with(&s, (struct qp_options){.access = lacking[kind]}));
        fails_remotely(&s, operation(kind, &s, address(&s.remote, 0), s.remote.mr->rkey),
                       IBV_WC_REM_INV_REQ_ERR);
        scene_close(&s);
    }
}

/* A SEND needs none of these rights. */
static void a_send_needs_no_right_of_the_queue_pair(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.no_access = true}));
    CHECK_EQ(receive(&s.b, 1, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(post(&s.a, send_of(2, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 1, IBV_WC_SUCCESS);
    scene_close(&s);
}

/* The access flags of the responder count, not those of the requester. */
static void the_access_flags_of_the_requester_do_not_matter(void) {
    struct scene s;
    REQUIRE(scene_open_in_reset(&s, (struct qp_options){0}));
    s.a.options.access = 0;
    REQUIRE(connect_ends(&s.a, &s.b));
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    scene_close(&s);
}

static void an_rkey_is_dead_after_dereg(void) {
    for (int kind = 0; kind < OPERATIONS; kind++) {
        struct scene s;
        struct memory target;
        REQUIRE(scene_open(&s));
        REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, ALL_RIGHTS, &target));
        uint32_t rkey = target.mr->rkey;
        CHECK_EQ(post(&s.a, operation(1, &s, address(&target, 0), rkey)), 0);
        SENT(&s.a, 9, IBV_WC_SUCCESS);
        memset(s.local.bytes, LOCAL_FILL, 8);
        CHECK_EQ(world_destroy(&s.w, target.mr), 0);
        fails_remotely(&s, operation(kind, &s, address(&target, 0), rkey), IBV_WC_REM_ACCESS_ERR);
        CHECK(all_bytes_are(target.bytes, 64, 1));
        scene_close(&s);
    }
}

/* A new region at the same place does not revive the old key. */
static void a_new_region_has_a_new_key(void) {
    struct scene s;
    struct memory target;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, ALL_RIGHTS, &target));
    uint32_t rkey = target.mr->rkey;
    CHECK_EQ(world_destroy(&s.w, target.mr), 0);
    struct ibv_mr *again = ibv_reg_mr(s.w.pd, target.bytes, 64, ALL_RIGHTS);
    REQUIRE(world_keep(&s.w, MR, again));
    CHECK(again->rkey != rkey);
    fails_remotely(&s, operation(0, &s, address(&target, 0), rkey), IBV_WC_REM_ACCESS_ERR);
    scene_close(&s);
}

static void rkeys_that_name_no_region_are_access_errors(void) {
    static const uint32_t differences[] = {1, 0x80, 0x100, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i <= sizeof(differences) / sizeof(differences[0]); i++) {
        struct scene s;
        REQUIRE(scene_open(&s));
        bool is_last = i == sizeof(differences) / sizeof(differences[0]);
        uint32_t rkey = is_last ? 0 : s.remote.mr->rkey ^ differences[i];
        if (rkey != s.local.mr->rkey)
            fails_remotely(&s, operation(0, &s, address(&s.remote, 0), rkey), IBV_WC_REM_ACCESS_ERR);
        scene_close(&s);
    }
}

static void a_request_of_length_0_needs_no_key(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct request r = {.opcode = IBV_WR_RDMA_WRITE, .id = 1, .remote_addr = 12345, .rkey = 54321};
    CHECK_EQ(post(&s.a, r), 0);
    CHECK_EQ(SENT(&s.a, 1, IBV_WC_SUCCESS).byte_len, 0);
    scene_close(&s);
}

/* The receive that the immediate data would have completed fails, too. */
static void a_write_with_immediate_to_a_bad_range_fails_its_receive(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(receive(&s.b, 1, part(&s.remote, 0, 8)), 0);
    struct request r = write_of(2, part(&s.local, 0, 8), &s.remote, SCENE_BYTES - 7);
    r.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
    CHECK_EQ(post(&s.a, r), 0);
    RECEIVED(&s.b, 1, IBV_WC_LOC_PROT_ERR);
    SENT(&s.a, 2, IBV_WC_REM_ACCESS_ERR);
    CHECK(all_bytes_are(s.remote.bytes, SCENE_BYTES, REMOTE_FILL));
    scene_close(&s);
}

/* --- registering --- */

static void registering_tests_its_arguments(void) {
    static unsigned char bytes[64];
    struct world w;
    REQUIRE(world_open(&w));
    static const int refused[] = {
        IBV_ACCESS_REMOTE_WRITE,
        IBV_ACCESS_REMOTE_ATOMIC,
        IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE,
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        errno = 0;
        CHECK_PTR_EQ(ibv_reg_mr(w.pd, bytes, sizeof(bytes), refused[i]), NULL);
        CHECK_EQ(errno, EINVAL);
    }
    struct ibv_mr *mr = ibv_reg_mr(w.pd, bytes, sizeof(bytes), 0);
    REQUIRE(world_keep(&w, MR, mr));
    CHECK_PTR_EQ(mr->addr, bytes);
    CHECK_EQ(mr->length, sizeof(bytes));
    CHECK_PTR_EQ(mr->pd, w.pd);
    CHECK_PTR_EQ(mr->context, w.context);
    world_close(&w);
}

/* Registers ranges of three pages, of which the second is not mapped and the third can only be read. Returns how many
 * answers are wrong. */
static int wrong_answers(struct ibv_pd *pd, unsigned char *pages, size_t page) {
    const struct {
        unsigned char *start;
        size_t length;
        int access;
        bool good;
    } ranges[] = {
        {pages, page, ALL_RIGHTS, true},
        {pages, page + 1, ALL_RIGHTS, false},
        {pages + page, page, ALL_RIGHTS, false},
        {pages, 3 * page, ALL_RIGHTS, false}, /* a hole in the middle */
        {pages + 2 * page, page, IBV_ACCESS_REMOTE_READ, true},
        {pages + 2 * page, page, IBV_ACCESS_LOCAL_WRITE, false},
        {pages, SIZE_MAX, ALL_RIGHTS, false},
        {NULL, page, 0, false},
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        errno = 0;
        struct ibv_mr *mr = ibv_reg_mr(pd, ranges[i].start, ranges[i].length, ranges[i].access);
        wrong += ranges[i].good ? mr == NULL : mr != NULL || errno != EFAULT;
        if (mr)
            CHECK_EQ(ibv_dereg_mr(mr), 0);
    }
    return wrong;
}

/* Registered bytes that do not exist would crash the process later, when a peer names them. */
static void memory_that_is_not_mapped_cannot_be_registered(void) {
    struct world w;
    REQUIRE(world_open(&w));
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    bool filled = true;
    /* Another thread, of the library or of a sanitizer, may map something into the hole. It is made again then. */
    for (int attempt = 0; filled && attempt < 100; attempt++) {
        unsigned char *pages =
            mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        unsigned char present;
        REQUIRE(pages != MAP_FAILED);
        CHECK_EQ(munmap(pages + page, page), 0);
        CHECK_EQ(mprotect(pages + 2 * page, page, PROT_READ), 0);
        const int wrong = wrong_answers(w.pd, pages, page);
        filled = mincore(pages + page, page, &present) == 0;
        if (!filled)
            CHECK_EQ(wrong, 0);
        munmap(pages, page);
        munmap(pages + 2 * page, page);
    }
    CHECK(!filled);
    world_close(&w);
}

/* Remote addresses of a region of ibv_reg_mr_iova() count from the iova. Process addresses do not work. */
static void an_iova_replaces_the_process_address(void) {
    static unsigned char bytes[64];
    const uint64_t iova = 0x123456789000;
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_mr *mr = ibv_reg_mr_iova(s.w.pd, bytes, sizeof(bytes), iova, ALL_RIGHTS);
    REQUIRE(world_keep(&s.w, MR, mr));
    CHECK_EQ(post(&s.a, operation(0, &s, iova + 8, mr->rkey)), 0);
    SENT(&s.a, 9, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(bytes, 8, 0));
    CHECK(all_bytes_are(bytes + 8, 8, LOCAL_FILL));
    CHECK(all_bytes_are(bytes + 16, 48, 0));
    fails_remotely(&s, operation(0, &s, (uintptr_t)bytes, mr->rkey), IBV_WC_REM_ACCESS_ERR);
    scene_close(&s);
}

/* A send that is still queued holds its region: the queue pair goes into error and gives it back. */
static void dereg_flushes_queued_sends_that_use_the_region(void) {
    struct scene s;
    struct memory source;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 7, .min_rnr_timer = 31}));
    REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, ALL_RIGHTS, &source));
    CHECK_EQ(post(&s.a, send_of(1, part(&source, 0, 8))), 0); /* waits: no receive is posted */
    IS_EMPTY(s.a.scq);
    CHECK_EQ(world_destroy(&s.w, source.mr), 0);
    SENT(&s.a, 1, IBV_WC_WR_FLUSH_ERR);
    CHECK_EQ(state_of(&s.a), IBV_QPS_ERR);
    scene_close(&s);
}

CHECK_MAIN(
    TEST(refuses_an_lkey_of_another_domain), TEST(refuses_local_ranges_outside_the_region),
    TEST(refuses_local_ranges_that_wrap), TEST(refuses_a_second_element_that_is_outside),
    TEST(reads_and_atomics_need_local_write), TEST(refuses_lkeys_that_name_no_region),
    TEST(a_key_reaches_its_own_region_only), TEST(accepts_the_first_and_the_last_byte),
    TEST(a_receive_with_an_lkey_of_another_domain_fails), TEST(a_receive_outside_the_region_fails),
    TEST(a_receive_that_wraps_fails), TEST(a_receive_needs_local_write),
    TEST(a_receive_whose_region_was_deregistered_fails), TEST(an_rkey_of_another_domain_is_an_access_error),
    TEST(remote_ranges_outside_the_region_are_access_errors),
    TEST(atomics_outside_the_region_are_access_errors), TEST(remote_ranges_that_wrap_are_access_errors),
    TEST(each_operation_needs_its_right_of_the_region), TEST(one_right_of_the_region_is_enough),
    TEST(each_operation_needs_its_right_of_the_queue_pair), TEST(a_send_needs_no_right_of_the_queue_pair),
    TEST(the_access_flags_of_the_requester_do_not_matter), TEST(an_rkey_is_dead_after_dereg),
    TEST(a_new_region_has_a_new_key), TEST(rkeys_that_name_no_region_are_access_errors),
    TEST(a_request_of_length_0_needs_no_key), TEST(a_write_with_immediate_to_a_bad_range_fails_its_receive),
    TEST(registering_tests_its_arguments), TEST(memory_that_is_not_mapped_cannot_be_registered),
    TEST(an_iova_replaces_the_process_address), TEST(dereg_flushes_queued_sends_that_use_the_region))
