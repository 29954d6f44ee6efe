/* SPDX-License-Identifier: BSD-3-Clause */
/* The second form of posting: ibv_wr_start(), ibv_wr_*(), ibv_wr_complete() or ibv_wr_abort(). */
#include "traffic.h"

static const uint64_t RC_OPERATIONS =
    IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM | IBV_QP_EX_WITH_SEND |
    IBV_QP_EX_WITH_SEND_WITH_IMM | IBV_QP_EX_WITH_RDMA_READ | IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
    IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD | IBV_QP_EX_WITH_SEND_WITH_INV | IBV_QP_EX_WITH_LOCAL_INV;

/* A scene whose first queue pair has the second form. */
struct builders {
    struct scene s;
    struct ibv_qp_ex *ex;
};

static bool builders_open(struct builders *b, struct qp_options options) {
    options.send_ops = RC_OPERATIONS;
    if (!scene_open_with(&b->s, options))
        return false;
    b->ex = ibv_qp_to_qp_ex(b->s.a.qp);
    return b->ex;
}

static void set_element(struct builders *b, int64_t offset, uint32_t length) {
    ibv_wr_set_sge(b->ex, b->s.local.mr->lkey, address(&b->s.local, offset), length);
}

/* Adds a signaled write to the list; the caller sets its data. */
static void begin_write(struct builders *b, uint64_t id, int64_t remote_offset) {
    b->ex->wr_id = id;
    b->ex->wr_flags = IBV_SEND_SIGNALED;
    ibv_wr_rdma_write(b->ex, b->s.remote.mr->rkey, address(&b->s.remote, remote_offset));
}

/* Adds a signaled write of 8 bytes to the list. */
static void add_write(struct builders *b, uint64_t id, int64_t remote_offset) {
    begin_write(b, id, remote_offset);
    set_element(b, 0, 8);
}

static void every_operation_can_be_built(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){0}));
    struct scene *s = &b.s;
    const uint32_t rkey = s->remote.mr->rkey;
    for (uint64_t id = 20; id < 24; id++)
        CHECK_EQ(receive(&s->b, id, part(&s->remote, 1024, 64)), 0);
    memset(s->remote.bytes + 512, 0, 16);

    ibv_wr_start(b.ex);
    b.ex->wr_flags = IBV_SEND_SIGNALED;
    b.ex->wr_id = 1;
    ibv_wr_send(b.ex);
    set_element(&b, 0, 8);
    b.ex->wr_id = 2;
    ibv_wr_send_imm(b.ex, htobe32(0x01020304));
    set_element(&b, 0, 8);
    b.ex->wr_id = 3;
    ibv_wr_rdma_write(b.ex, rkey, address(&s->remote, 0));
    set_element(&b, 0, 8);
    b.ex->wr_id = 4;
    ibv_wr_rdma_write_imm(b.ex, rkey, address(&s->remote, 64), htobe32(0x05060708));
    set_element(&b, 0, 8);
    b.ex->wr_id = 5;
    ibv_wr_rdma_read(b.ex, rkey, address(&s->remote, 2048));
    set_element(&b, 2048, 8);
    b.ex->wr_id = 6;
    ibv_wr_atomic_fetch_add(b.ex, rkey, address(&s->remote, 512), 5);
    set_element(&b, 3000, 8);
    b.ex->wr_id = 7;
    ibv_wr_atomic_cmp_swp(b.ex, rkey, address(&s->remote, 512), 5, 77);
    set_element(&b, 3008, 8);
    b.ex->wr_id = 8;
    ibv_wr_send_inv(b.ex, 0x12345678);
    set_element(&b, 0, 8);
    CHECK_EQ(ibv_wr_complete(b.ex), 0);

    static const enum ibv_wc_opcode opcodes[] = {IBV_WC_SEND,       IBV_WC_SEND,      IBV_WC_RDMA_WRITE,
                                                 IBV_WC_RDMA_WRITE, IBV_WC_RDMA_READ, IBV_WC_FETCH_ADD,
                                                 IBV_WC_COMP_SWAP,  IBV_WC_SEND};
    for (uint64_t id = 1; id <= 8; id++)
        CHECK_EQ(SENT(&s->a, id, IBV_WC_SUCCESS).opcode, opcodes[id - 1]);
    CHECK_EQ(RECEIVED(&s->b, 20, IBV_WC_SUCCESS).wc_flags & IBV_WC_WITH_IMM, 0);
    CHECK_EQ(be32toh(RECEIVED(&s->b, 21, IBV_WC_SUCCESS).imm_data), 0x01020304);
    CHECK_EQ(be32toh(RECEIVED(&s->b, 22, IBV_WC_SUCCESS).imm_data), 0x05060708);
    RECEIVED(&s->b, 23, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s->remote.bytes, 8, LOCAL_FILL));
    CHECK(all_bytes_are(s->remote.bytes + 8, 56, REMOTE_FILL));
    CHECK(all_bytes_are(s->remote.bytes + 64, 8, LOCAL_FILL));
    CHECK(all_bytes_are(s->remote.bytes + 1024, 8, LOCAL_FILL));
    CHECK(all_bytes_are(s->local.bytes + 2048, 8, REMOTE_FILL));
    uint64_t values[2], stored;
    memcpy(values, s->local.bytes + 3000, 16);
    memcpy(&stored, s->remote.bytes + 512, 8);
    CHECK_EQ(values[0], 0);
    CHECK_EQ(values[1], 5);
    CHECK_EQ(stored, 77);
    scene_close(s);
}

static void nothing_is_posted_before_complete(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){0}));
    ibv_wr_start(b.ex);
    add_write(&b, 1, 0);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(b.s.a.scq);
    CHECK(all_bytes_are(b.s.remote.bytes, 8, REMOTE_FILL));
    CHECK_EQ(ibv_wr_complete(b.ex), 0);
    SENT(&b.s.a, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(b.s.remote.bytes, 8, LOCAL_FILL));
    scene_close(&b.s);
}

static void abort_drops_the_whole_list(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){.send_wr = 4}));
    for (int i = 0; i < 20; i++) { /* also more often than the queue has places */
        ibv_wr_start(b.ex);
        add_write(&b, 1, 0);
        add_write(&b, 2, 8);
        ibv_wr_abort(b.ex);
    }
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(b.s.a.scq);
    CHECK(all_bytes_are(b.s.remote.bytes, 64, REMOTE_FILL));
    ibv_wr_start(b.ex);
    add_write(&b, 3, 16);
    CHECK_EQ(ibv_wr_complete(b.ex), 0);
    SENT(&b.s.a, 3, IBV_WC_SUCCESS);
    IS_EMPTY(b.s.a.scq);
    CHECK(all_bytes_are(b.s.remote.bytes, 16, REMOTE_FILL));
    scene_close(&b.s);
}

/* The queue pair refuses the list and goes on; none of it was posted. */
static void is_refused_whole(struct builders *b, int error) {
    CHECK_EQ(ibv_wr_complete(b->ex), error);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(b->s.a.scq);
    CHECK(all_bytes_are(b->s.remote.bytes, SCENE_BYTES, REMOTE_FILL));
    CHECK_EQ(state_of(&b->s.a), IBV_QPS_RTS);
    ibv_wr_start(b->ex);
    add_write(b, 99, 0);
    CHECK_EQ(ibv_wr_complete(b->ex), 0);
    SENT(&b->s.a, 99, IBV_WC_SUCCESS);
    memset(b->s.remote.bytes, REMOTE_FILL, 8);
}

static void a_bad_request_refuses_the_whole_list(void) {
    struct builders b;
    struct memory foreign;
    REQUIRE(builders_open(&b, (struct qp_options){.inline_data = 16}));
    REQUIRE(make_memory(&b.s.w, b.s.w.other_pd, 64, 1, ALL_RIGHTS, &foreign));

    /* an lkey of another domain, in the second of three */
    ibv_wr_start(b.ex);
    add_write(&b, 1, 0);
    begin_write(&b, 2, 8);
    ibv_wr_set_sge(b.ex, foreign.mr->lkey, address(&foreign, 0), 8);
    add_write(&b, 3, 16);
    is_refused_whole(&b, EINVAL);

    /* outside the region, in the last one */
    ibv_wr_start(b.ex);
    add_write(&b, 1, 0);
    begin_write(&b, 2, 8);
    set_element(&b, SCENE_BYTES - 7, 8);
    is_refused_whole(&b, EINVAL);

    /* a misaligned atomic operand */
    ibv_wr_start(b.ex);
    add_write(&b, 1, 0);
    ibv_wr_atomic_fetch_add(b.ex, b.s.remote.mr->rkey, address(&b.s.remote, 0), 1);
    set_element(&b, 4, 8);
    is_refused_whole(&b, EINVAL);
    scene_close(&b.s);
}

static void too_much_for_the_queue_pair_refuses_the_whole_list(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){.send_wr = 4, .inline_data = 16}));
    struct ibv_qp_attr attr;
    struct ibv_qp_init_attr init;
    REQUIRE(ibv_query_qp(b.s.a.qp, &attr, IBV_QP_CAP, &init) == 0);

    /* more requests than the queue has places */
    ibv_wr_start(b.ex);
    for (uint32_t i = 0; i <= attr.cap.max_send_wr; i++)
        add_write(&b, i, (int64_t)i * 8);
    is_refused_whole(&b, ENOMEM);

    /* more elements than agreed */
    struct ibv_sge *sges = calloc(attr.cap.max_send_sge + 1, sizeof(*sges));
    REQUIRE(sges);
    for (uint32_t i = 0; i <= attr.cap.max_send_sge; i++)
        sges[i] = part(&b.s.local, (int64_t)i * 4, 4);
    ibv_wr_start(b.ex);
    add_write(&b, 1, 0);
    begin_write(&b, 2, 64);
    ibv_wr_set_sge_list(b.ex, attr.cap.max_send_sge + 1, sges);
    is_refused_whole(&b, EINVAL);
    free(sges);

    /* more inline data than agreed */
    unsigned char *bytes = calloc(1, attr.cap.max_inline_data + 1);
    REQUIRE(bytes);
    ibv_wr_start(b.ex);
    add_write(&b, 1, 0);
    begin_write(&b, 2, 64);
    ibv_wr_set_inline_data(b.ex, bytes, attr.cap.max_inline_data + 1);
    is_refused_whole(&b, EINVAL);
    free(bytes);
    scene_close(&b.s);
}

/* In this form LOCAL_INV is carried out in its turn: the write before it still uses the key. Its failure
 * completes and leaves the queue pair as it is. */
static void local_invalidate_waits_for_its_turn(void) {
    struct builders b;
    struct memory own;
    REQUIRE(builders_open(&b, (struct qp_options){0}));
    REQUIRE(make_memory(&b.s.w, b.s.w.pd, 64, 1, ALL_RIGHTS, &own));
    for (int kind = 0; kind < 2; kind++) {
        ibv_wr_start(b.ex);
        b.ex->wr_flags = IBV_SEND_SIGNALED;
        b.ex->wr_id = 1;
        ibv_wr_rdma_write(b.ex, own.mr->rkey, address(&own, 0));
        set_element(&b, 0, 8);
        b.ex->wr_id = 2;
        ibv_wr_local_inv(b.ex, kind ? own.mr->rkey : own.mr->rkey ^ 0x80000000);
        add_write(&b, 3, 0);
        CHECK_EQ(ibv_wr_complete(b.ex), 0);
        SENT(&b.s.a, 1, IBV_WC_SUCCESS);
        SENT(&b.s.a, 2, kind ? IBV_WC_SUCCESS : IBV_WC_LOC_PROT_ERR);
        SENT(&b.s.a, 3, IBV_WC_SUCCESS);
    }
    CHECK(all_bytes_are(own.bytes, 8, LOCAL_FILL));
    CHECK_EQ(post(&b.s.a, send_of(4, part(&own, 0, 8))), EINVAL);
    /* A list that is refused invalidates nothing. */
    struct memory other;
    REQUIRE(make_memory(&b.s.w, b.s.w.pd, 64, 1, ALL_RIGHTS, &other));
    memset(b.s.remote.bytes, REMOTE_FILL, SCENE_BYTES);
    ibv_wr_start(b.ex);
    b.ex->wr_id = 5;
    ibv_wr_local_inv(b.ex, other.mr->rkey);
    begin_write(&b, 6, 0);
    set_element(&b, SCENE_BYTES - 7, 8);
    is_refused_whole(&b, EINVAL);
    CHECK_EQ(post(&b.s.a, write_of(7, part(&b.s.local, 0, 8), &other, 0)), 0);
    SENT(&b.s.a, 7, IBV_WC_SUCCESS);
    scene_close(&b.s);
}

static void an_operation_that_was_not_agreed_is_refused(void) {
    struct world w;
    struct memory m;
    struct end a;
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.pd, 64, 1, ALL_RIGHTS, &m));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){.send_ops = IBV_QP_EX_WITH_SEND}, &a));
    REQUIRE(bring_up(&a, a.qp->qp_num));
    struct ibv_qp_ex *ex = ibv_qp_to_qp_ex(a.qp);
    ibv_wr_start(ex);
    ex->wr_id = 1;
    ex->wr_flags = IBV_SEND_SIGNALED;
    ibv_wr_rdma_write(ex, m.mr->rkey, address(&m, 0));
    ibv_wr_set_sge(ex, m.mr->lkey, address(&m, 32), 8);
    CHECK_EQ(ibv_wr_complete(ex), EOPNOTSUPP);
    IS_EMPTY(a.scq);
    world_close(&w);
}

static void element_lists_are_gathered(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){0}));
    memset(b.s.local.bytes, 1, 8);
    memset(b.s.local.bytes + 100, 2, 8);
    struct ibv_sge sges[] = {part(&b.s.local, 100, 8), part(&b.s.local, 0, 8)};
    ibv_wr_start(b.ex);
    begin_write(&b, 1, 0);
    ibv_wr_set_sge_list(b.ex, 2, sges);
    memset(sges, 0, sizeof(sges)); /* the list was copied */
    CHECK_EQ(ibv_wr_complete(b.ex), 0);
    SENT(&b.s.a, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(b.s.remote.bytes, 8, 2));
    CHECK(all_bytes_are(b.s.remote.bytes + 8, 8, 1));
    CHECK(all_bytes_are(b.s.remote.bytes + 16, 8, REMOTE_FILL));
    scene_close(&b.s);
}

static void inline_data_is_copied_when_it_is_set(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){.inline_data = 32}));
    unsigned char first[16], second[16];
    memset(first, 3, sizeof(first));
    memset(second, 4, sizeof(second));
    struct ibv_data_buf list[] = {{.addr = second, .length = 16}, {.addr = first, .length = 8}};
    ibv_wr_start(b.ex);
    b.ex->wr_id = 1;
    b.ex->wr_flags = IBV_SEND_SIGNALED;
    ibv_wr_rdma_write(b.ex, b.s.remote.mr->rkey, address(&b.s.remote, 0));
    ibv_wr_set_inline_data(b.ex, first, 16);
    b.ex->wr_id = 2;
    ibv_wr_rdma_write(b.ex, b.s.remote.mr->rkey, address(&b.s.remote, 64));
    ibv_wr_set_inline_data_list(b.ex, 2, list);
    memset(first, 0, sizeof(first));
    memset(second, 0, sizeof(second));
    CHECK_EQ(ibv_wr_complete(b.ex), 0);
    SENT(&b.s.a, 1, IBV_WC_SUCCESS);
    SENT(&b.s.a, 2, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(b.s.remote.bytes, 16, 3));
    CHECK(all_bytes_are(b.s.remote.bytes + 16, 48, REMOTE_FILL));
    CHECK(all_bytes_are(b.s.remote.bytes + 64, 16, 4));
    CHECK(all_bytes_are(b.s.remote.bytes + 80, 8, 3));
    CHECK(all_bytes_are(b.s.remote.bytes + 88, 8, REMOTE_FILL));
    scene_close(&b.s);
}

/* The flags belong to each request: here the second of three is unsignaled. */
static void flags_are_those_of_the_request(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){0}));
    ibv_wr_start(b.ex);
    add_write(&b, 1, 0);
    b.ex->wr_id = 2;
    b.ex->wr_flags = 0;
    ibv_wr_rdma_write(b.ex, b.s.remote.mr->rkey, address(&b.s.remote, 8));
    set_element(&b, 0, 8);
    add_write(&b, 3, 16);
    CHECK_EQ(ibv_wr_complete(b.ex), 0);
    SENT(&b.s.a, 1, IBV_WC_SUCCESS);
    SENT(&b.s.a, 3, IBV_WC_SUCCESS);
    IS_EMPTY(b.s.a.scq);
    CHECK(all_bytes_are(b.s.remote.bytes, 24, LOCAL_FILL));
    scene_close(&b.s);
}

static void an_empty_list_is_fine(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){0}));
    ibv_wr_start(b.ex);
    CHECK_EQ(ibv_wr_complete(b.ex), 0);
    IS_EMPTY(b.s.a.scq);
    scene_close(&b.s);
}

static void both_forms_of_posting_keep_their_order(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){0}));
    for (uint64_t id = 1; id <= 6; id += 2) {
        CHECK_EQ(post(&b.s.a, write_of(id, part(&b.s.local, 0, 8), &b.s.remote, 0)), 0);
        ibv_wr_start(b.ex);
        add_write(&b, id + 1, 8);
        CHECK_EQ(ibv_wr_complete(b.ex), 0);
    }
    for (uint64_t id = 1; id <= 6; id++)
        SENT(&b.s.a, id, IBV_WC_SUCCESS);
    scene_close(&b.s);
}

static void a_queue_pair_that_is_not_ready_refuses_the_list(void) {
    struct builders b;
    REQUIRE(builders_open(&b, (struct qp_options){0}));
    CHECK_EQ(to_state(&b.s.a, IBV_QPS_RESET), 0);
    ibv_wr_start(b.ex);
    add_write(&b, 1, 0);
    CHECK_EQ(ibv_wr_complete(b.ex), EINVAL);
    IS_EMPTY(b.s.a.scq);
    REQUIRE(bring_up(&b.s.a, b.s.b.qp->qp_num));
    IS_EMPTY(b.s.a.scq);
    scene_close(&b.s);
}

static void datagrams_can_be_built(void) {
    struct world w;
    struct memory m;
    struct end a, b;
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.pd, 256, 1, ALL_RIGHTS, &m));
    struct qp_options options = {.type = IBV_QPT_UD};
    REQUIRE(make_end(&w, w.pd, options, &b));
    options.send_ops = IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_SEND_WITH_IMM;
    REQUIRE(make_end(&w, w.pd, options, &a));
    REQUIRE(connect_ends(&a, &b));
    struct ibv_ah *ah;
    REQUIRE(make_ah(&w, w.pd, &ah));
    struct ibv_qp_ex *ex = ibv_qp_to_qp_ex(a.qp);
    REQUIRE(ex);
    CHECK_EQ(receive(&b, 20, part(&m, 128, 64)), 0);
    memset(m.bytes, 6, 8);
    ibv_wr_start(ex);
    ex->wr_id = 1;
    ex->wr_flags = IBV_SEND_SIGNALED;
    ibv_wr_send_imm(ex, htobe32(77));
    ibv_wr_set_ud_addr(ex, ah, b.qp->qp_num, QKEY);
    ibv_wr_set_sge(ex, m.mr->lkey, address(&m, 0), 8);
    CHECK_EQ(ibv_wr_complete(ex), 0);
    SENT(&a, 1, IBV_WC_SUCCESS);
    struct ibv_wc wc = RECEIVED(&b, 20, IBV_WC_SUCCESS);
    CHECK_EQ(wc.byte_len, 48);
    CHECK_EQ(be32toh(wc.imm_data), 77);
    CHECK(all_bytes_are(m.bytes + 128 + 40, 8, 6));
    world_close(&w);
}

static void operations_that_do_not_exist_are_refused(void) {
    struct world w;
    struct ibv_cq *cq;
    REQUIRE(world_open(&w));
    REQUIRE(make_cq(&w, 4, NULL, &cq));
    struct {
        enum ibv_qp_type type;
        uint64_t operations;
    } refused[] = {
        {IBV_QPT_UC, IBV_QP_EX_WITH_RDMA_READ},  {IBV_QPT_UC, IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD},
        {IBV_QPT_UD, IBV_QP_EX_WITH_RDMA_WRITE}, {IBV_QPT_UD, IBV_QP_EX_WITH_RDMA_READ},
        {IBV_QPT_RC, IBV_QP_EX_WITH_TSO},        {IBV_QPT_RC, (uint64_t)1 << 60},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct ibv_qp_init_attr_ex init = {
            .send_cq = cq,
            .recv_cq = cq,
            .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
            .qp_type = refused[i].type,
            .comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
            .pd = w.pd,
            .send_ops_flags = refused[i].operations};
        errno = 0;
        CHECK_PTR_EQ(ibv_create_qp_ex(w.context, &init), NULL);
        CHECK_EQ(errno, EOPNOTSUPP);
    }
    world_close(&w);
}

static void a_queue_pair_of_the_first_form_has_no_second(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_PTR_EQ(ibv_qp_to_qp_ex(s.b.qp), NULL);
    scene_close(&s);
}

CHECK_MAIN(TEST(every_operation_can_be_built), TEST(nothing_is_posted_before_complete),
           TEST(abort_drops_the_whole_list), TEST(a_bad_request_refuses_the_whole_list),
           TEST(too_much_for_the_queue_pair_refuses_the_whole_list),
           TEST(local_invalidate_waits_for_its_turn), TEST(an_operation_that_was_not_agreed_is_refused),
           TEST(element_lists_are_gathered), TEST(inline_data_is_copied_when_it_is_set),
           TEST(flags_are_those_of_the_request), TEST(an_empty_list_is_fine),
           TEST(both_forms_of_posting_keep_their_order),
           TEST(a_queue_pair_that_is_not_ready_refuses_the_list), TEST(datagrams_can_be_built),
           TEST(operations_that_do_not_exist_are_refused), TEST(a_queue_pair_of_the_first_form_has_no_second))
