/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of RC and UC queue pairs: what they carry, their elements, inline data, flags, order, and messages
 * that are too long. */
#include "traffic.h"

static void number_bytes(unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)(i * 7 + 1);
}

/* --- completions of each opcode --- */

static void each_opcode_has_its_completion(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(receive(&s.b, 20, part(&s.remote, 0, 64)), 0);
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 24))), 0);
    struct ibv_wc wc = SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(wc.opcode, IBV_WC_SEND);
    wc = RECEIVED(&s.b, 20, IBV_WC_SUCCESS);
    CHECK_EQ(wc.opcode, IBV_WC_RECV);
    CHECK_EQ(wc.byte_len, 24);
    CHECK_EQ(wc.wc_flags & (IBV_WC_WITH_IMM | IBV_WC_WITH_INV), 0);
    CHECK_EQ(wc.src_qp, s.a.qp->qp_num);
    CHECK_EQ(wc.vendor_err, 0);

    CHECK_EQ(post(&s.a, write_of(2, part(&s.local, 0, 24), &s.remote, 0)), 0);
    CHECK_EQ(SENT(&s.a, 2, IBV_WC_SUCCESS).opcode, IBV_WC_RDMA_WRITE);
    CHECK_EQ(post(&s.a, read_of(3, part(&s.local, 0, 24), &s.remote, 0)), 0);
    wc = SENT(&s.a, 3, IBV_WC_SUCCESS);
    CHECK_EQ(wc.opcode, IBV_WC_RDMA_READ);
    CHECK_EQ(wc.byte_len, 24);
    CHECK_EQ(post(&s.a, fetch_add_of(4, part(&s.local, 0, 8), &s.remote, 0, 1)), 0);
    wc = SENT(&s.a, 4, IBV_WC_SUCCESS);
    CHECK_EQ(wc.opcode, IBV_WC_FETCH_ADD);
    CHECK_EQ(wc.byte_len, 8);
    CHECK_EQ(post(&s.a, swap_of(5, part(&s.local, 0, 8), &s.remote, 0, 0, 1)), 0);
    CHECK_EQ(SENT(&s.a, 5, IBV_WC_SUCCESS).opcode, IBV_WC_COMP_SWAP);
    IS_EMPTY(s.b.rcq);
    scene_close(&s);
}

static void immediate_data_arrives_unchanged(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(receive(&s.b, 20, part(&s.remote, 0, 64)), 0);
    struct request r = send_of(1, part(&s.local, 0, 8));
    r.opcode = IBV_WR_SEND_WITH_IMM;
    r.imm = 0x01020384;
    CHECK_EQ(post(&s.a, r), 0);
    CHECK_EQ(SENT(&s.a, 1, IBV_WC_SUCCESS).opcode, IBV_WC_SEND);
    struct ibv_wc wc = RECEIVED(&s.b, 20, IBV_WC_SUCCESS);
    CHECK_EQ(wc.opcode, IBV_WC_RECV);
    CHECK_EQ(wc.wc_flags & IBV_WC_WITH_IMM, IBV_WC_WITH_IMM);
    CHECK_EQ(be32toh(wc.imm_data), 0x01020384);
    CHECK_EQ(wc.byte_len, 8);

    /* The receive of a write only carries the immediate data: its elements are not touched. */
    memset(s.remote.bytes, REMOTE_FILL, SCENE_BYTES);
    CHECK_EQ(receive(&s.b, 21, part(&s.remote, 0, 64)), 0);
    r = write_of(2, part(&s.local, 0, 16), &s.remote, 128);
    r.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
    r.imm = 0xfedcba98;
    CHECK_EQ(post(&s.a, r), 0);
    CHECK_EQ(SENT(&s.a, 2, IBV_WC_SUCCESS).opcode, IBV_WC_RDMA_WRITE);
    wc = RECEIVED(&s.b, 21, IBV_WC_SUCCESS);
    CHECK_EQ(wc.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
    CHECK_EQ(wc.wc_flags & IBV_WC_WITH_IMM, IBV_WC_WITH_IMM);
    CHECK_EQ(be32toh(wc.imm_data), 0xfedcba98);
    CHECK_EQ(wc.byte_len, 16);
    CHECK(all_bytes_are(s.remote.bytes, 64, REMOTE_FILL));
    CHECK(all_bytes_are(s.remote.bytes + 128, 16, LOCAL_FILL));
    scene_close(&s);
}

/* The elements of the receive are not even looked at: they may have no key. */
static void a_write_with_immediate_does_not_judge_its_receive(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(receive(&s.b, 20, (struct ibv_sge){.addr = 1, .length = 8, .lkey = 0xdeadbeef}), 0);
    struct request r = write_of(1, part(&s.local, 0, 16), &s.remote, 0);
    r.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&s.b, 20, IBV_WC_SUCCESS).byte_len, 16);
    CHECK(all_bytes_are(s.remote.bytes, 16, LOCAL_FILL));
    scene_close(&s);
}

static struct request send_with_invalidate(uint64_t id, const struct scene *s, uint32_t rkey) {
    struct request r = send_of(id, part(&s->local, 0, 8));
    r.opcode = IBV_WR_SEND_WITH_INV;
    r.invalidate = rkey;
    return r;
}

/* The key is dead before the receiver learns of the message. */
static void send_with_invalidate_ends_a_key_of_the_receiver(void) {
    struct scene s;
    struct memory target;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, ALL_RIGHTS, &target));
    CHECK_EQ(receive(&s.b, 20, part(&s.remote, 0, 64)), 0);
    CHECK_EQ(post(&s.a, send_with_invalidate(1, &s, target.mr->rkey)), 0);
    CHECK_EQ(SENT(&s.a, 1, IBV_WC_SUCCESS).opcode, IBV_WC_SEND);
    struct ibv_wc wc = RECEIVED(&s.b, 20, IBV_WC_SUCCESS);
    CHECK_EQ(wc.opcode, IBV_WC_RECV);
    CHECK_EQ(wc.byte_len, 8);
    CHECK_EQ(wc.wc_flags & IBV_WC_WITH_INV, IBV_WC_WITH_INV);
    CHECK_EQ(wc.invalidated_rkey, target.mr->rkey);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    CHECK_EQ(post(&s.a, write_of(2, part(&s.local, 0, 8), &target, 0)), 0);
    SENT(&s.a, 2, IBV_WC_REM_ACCESS_ERR);
    CHECK(all_bytes_are(target.bytes, 64, 1));
    scene_close(&s);
}

/* A key that the receiver's domain does not have is not invalidated, and the message arrives without it. */
static void send_with_invalidate_does_not_end_other_keys(void) {
    struct scene s;
    struct memory foreign;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.other_pd, 64, 1, ALL_RIGHTS, &foreign));
    const uint32_t keys[] = {foreign.mr->rkey, 0, s.remote.mr->rkey ^ 0x80000000};
    for (uint64_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        CHECK_EQ(receive(&s.b, i, part(&s.remote, 0, 64)), 0);
        CHECK_EQ(post(&s.a, send_with_invalidate(i, &s, keys[i])), 0);
        SENT(&s.a, i, IBV_WC_SUCCESS);
        CHECK_EQ(RECEIVED(&s.b, i, IBV_WC_SUCCESS).wc_flags & IBV_WC_WITH_INV, 0);
    }
    /* The region of the other domain still works there. */
    struct end other;
    REQUIRE(make_end(&s.w, s.w.other_pd, (struct qp_options){0}, &other));
    REQUIRE(bring_up(&other, other.qp->qp_num));
    CHECK_EQ(post(&other, write_of(9, part(&foreign, 0, 8), &foreign, 32)), 0);
    SENT(&other, 9, IBV_WC_SUCCESS);
    scene_close(&s);
}

static struct request invalidate_locally(uint64_t id, uint32_t rkey) {
    return (struct request){.opcode = IBV_WR_LOCAL_INV, .id = id, .invalidate = rkey};
}

static void local_invalidate_ends_a_key_of_the_own_domain(void) {
    struct scene s;
    struct memory own, foreign;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.pd, 64, 1, ALL_RIGHTS, &own));
    REQUIRE(make_memory(&s.w, s.w.other_pd, 64, 1, ALL_RIGHTS, &foreign));
    CHECK_EQ(post(&s.a, invalidate_locally(1, foreign.mr->rkey)), EINVAL);
    CHECK_EQ(post(&s.a, invalidate_locally(2, 0)), EINVAL);
    CHECK_EQ(post(&s.a, invalidate_locally(3, own.mr->rkey ^ 0x80000000)), EINVAL);
    IS_EMPTY(s.a.scq);
    CHECK_EQ(post(&s.a, invalidate_locally(4, own.mr->rkey)), 0);
    CHECK_EQ(SENT(&s.a, 4, IBV_WC_SUCCESS).opcode, IBV_WC_LOCAL_INV);
    CHECK_EQ(post(&s.a, send_of(5, part(&own, 0, 8))), EINVAL);
    CHECK_EQ(post(&s.a, write_of(6, part(&s.local, 0, 8), &own, 0)), 0);
    SENT(&s.a, 6, IBV_WC_REM_ACCESS_ERR);
    CHECK(all_bytes_are(own.bytes, 64, 1));
    scene_close(&s);
}

/* --- elements --- */

static void elements_are_gathered_and_scattered_in_order(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    number_bytes(s.local.bytes, SCENE_BYTES);
    struct ibv_sge from[] = {part(&s.local, 100, 5), part(&s.local, 0, 0), part(&s.local, 10, 20),
                             part(&s.local, 1000, 1)};
    struct ibv_sge to[] = {part(&s.remote, 500, 3), part(&s.remote, 0, 10), part(&s.remote, 200, 100)};
    struct ibv_recv_wr recv = {.wr_id = 20, .sg_list = to, .num_sge = 3}, *bad_recv = NULL;
    CHECK_EQ(ibv_post_recv(s.b.qp, &recv, &bad_recv), 0);
    CHECK_EQ(post(&s.a, (struct request){.opcode = IBV_WR_SEND, .id = 1, .sges = from, .num_sge = 4}), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&s.b, 20, IBV_WC_SUCCESS).byte_len, 26);

    unsigned char message[26];
    memcpy(message, s.local.bytes + 100, 5);
    memcpy(message + 5, s.local.bytes + 10, 20);
    memcpy(message + 25, s.local.bytes + 1000, 1);
    CHECK_BYTES_EQ(s.remote.bytes + 500, message, 3);
    CHECK_BYTES_EQ(s.remote.bytes, message + 3, 10);
    CHECK_BYTES_EQ(s.remote.bytes + 200, message + 13, 13);
    CHECK(all_bytes_are(s.remote.bytes + 503, 100, REMOTE_FILL));
    CHECK(all_bytes_are(s.remote.bytes + 10, 190, REMOTE_FILL));
    CHECK(all_bytes_are(s.remote.bytes + 213, 287, REMOTE_FILL));
    scene_close(&s);
}

/* An element without bytes is skipped, whatever its key and address are. */
static void elements_without_bytes_are_skipped(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_sge none = {.addr = 1, .length = 0, .lkey = 0xdeadbeef};
    struct ibv_sge from[] = {none, part(&s.local, 0, 8), none}, to[] = {none, part(&s.remote, 0, 16)};
    struct ibv_recv_wr recv = {.wr_id = 20, .sg_list = to, .num_sge = 2}, *bad = NULL;
    CHECK_EQ(ibv_post_recv(s.b.qp, &recv, &bad), 0);
    CHECK_EQ(post(&s.a, (struct request){.opcode = IBV_WR_SEND, .id = 1, .sges = from, .num_sge = 3}), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&s.b, 20, IBV_WC_SUCCESS).byte_len, 8);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    CHECK(all_bytes_are(s.remote.bytes + 8, 8, REMOTE_FILL));
    scene_close(&s);
}

/* A list of three work requests whose second has too many elements: the first is posted, bad_wr names the
 * second, and the third is not looked at. */
static void too_many_elements_are_refused(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_qp_attr attr;
    struct ibv_qp_init_attr init;
    REQUIRE(ibv_query_qp(s.a.qp, &attr, IBV_QP_CAP, &init) == 0);
    uint32_t most =
        attr.cap.max_send_sge > attr.cap.max_recv_sge ? attr.cap.max_send_sge : attr.cap.max_recv_sge;
    struct ibv_sge *sges = calloc(most + 1, sizeof(*sges));
    REQUIRE(sges);
    for (uint32_t i = 0; i <= most; i++)
        sges[i] = part(&s.local, (int64_t)i * 4, 4);

    struct ibv_send_wr wrs[3], *bad = NULL;
    struct request r = write_of(1, part(&s.local, 0, 8), &s.remote, 0);
    for (int i = 0; i < 3; i++) {
        fill_send_wr(&r, &wrs[i]);
        wrs[i].wr_id = (uint64_t)i + 1;
        wrs[i].next = i < 2 ? &wrs[i + 1] : NULL;
    }
    wrs[1].sg_list = sges;
    wrs[1].num_sge = (int)attr.cap.max_send_sge + 1;
    CHECK_EQ(ibv_post_send(s.a.qp, wrs, &bad), EINVAL);
    CHECK_PTR_EQ(bad, &wrs[1]);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    IS_EMPTY(s.a.scq);
    wrs[1].num_sge = (int)attr.cap.max_send_sge;
    CHECK_EQ(ibv_post_send(s.a.qp, &wrs[1], &bad), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    SENT(&s.a, 3, IBV_WC_SUCCESS);
    wrs[0].next = NULL;
    wrs[0].num_sge = -1;
    CHECK_EQ(ibv_post_send(s.a.qp, wrs, &bad), EINVAL);
    CHECK_PTR_EQ(bad, &wrs[0]);

    struct ibv_recv_wr recvs[3], *bad_recv = NULL;
    for (int i = 0; i < 3; i++)
        recvs[i] = (struct ibv_recv_wr){
            .wr_id = (uint64_t)i + 10, .sg_list = sges, .num_sge = 1, .next = i < 2 ? &recvs[i + 1] : NULL};
    recvs[1].num_sge = (int)attr.cap.max_recv_sge + 1;
    CHECK_EQ(ibv_post_recv(s.a.qp, recvs, &bad_recv), EINVAL);
    CHECK_PTR_EQ(bad_recv, &recvs[1]);
    recvs[0].num_sge = -1;
    CHECK_EQ(ibv_post_recv(s.a.qp, recvs, &bad_recv), EINVAL);
    CHECK_PTR_EQ(bad_recv, &recvs[0]);
    CHECK_EQ(to_state(&s.a, IBV_QPS_ERR), 0);
    RECEIVED(&s.a, 10, IBV_WC_WR_FLUSH_ERR); /* only the first one was posted */
    IS_EMPTY(s.a.rcq);
    free(sges);
    scene_close(&s);
}

static void a_full_queue_refuses_the_rest_of_the_list(void) {
    struct scene s;
    REQUIRE(scene_open_with(
        &s, (struct qp_options){.rnr_retry = 7, .min_rnr_timer = 31, .send_wr = 4, .recv_wr = 4}));
    struct ibv_qp_attr attr;
    struct ibv_qp_init_attr init;
    REQUIRE(ibv_query_qp(s.a.qp, &attr, IBV_QP_CAP, &init) == 0);
    uint32_t room = attr.cap.max_send_wr;
    struct ibv_send_wr *wrs = calloc(room + 2, sizeof(*wrs)), *bad = NULL;
    REQUIRE(wrs);
    struct request r = send_of(0, part(&s.local, 0, 8));
    for (uint32_t i = 0; i < room + 2; i++) {
        fill_send_wr(&r, &wrs[i]);
        wrs[i].wr_id = i;
        wrs[i].next = i < room + 1 ? &wrs[i + 1] : NULL;
    }
    CHECK_EQ(ibv_post_send(s.a.qp, wrs, &bad), ENOMEM);
    CHECK_PTR_EQ(bad, &wrs[room]);
    CHECK_EQ(to_state(&s.a, IBV_QPS_ERR), 0);
    for (uint32_t i = 0; i < room; i++)
        SENT(&s.a, i, IBV_WC_WR_FLUSH_ERR);
    IS_EMPTY(s.a.scq);
    free(wrs);

    room = attr.cap.max_recv_wr;
    for (uint32_t i = 0; i < room; i++)
        CHECK_EQ(receive(&s.b, i, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(receive(&s.b, room, part(&s.remote, 0, 8)), ENOMEM);
    CHECK_EQ(to_state(&s.b, IBV_QPS_ERR), 0);
    for (uint32_t i = 0; i < room; i++)
        RECEIVED(&s.b, i, IBV_WC_WR_FLUSH_ERR);
    IS_EMPTY(s.b.rcq);
    scene_close(&s);
}

/* A list that leads back to itself ends when the queue is full. */
static void a_list_without_an_end_is_refused(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.send_wr = 4, .recv_wr = 4}));
    struct ibv_send_wr wr, *bad = NULL;
    struct request r = write_of(1, part(&s.local, 0, 8), &s.remote, 0);
    fill_send_wr(&r, &wr);
    wr.next = &wr;
    CHECK_EQ(ibv_post_send(s.a.qp, &wr, &bad), ENOMEM);
    CHECK_PTR_EQ(bad, &wr);
    for (int i = 0; i < 4; i++)
        SENT(&s.a, 1, IBV_WC_SUCCESS);
    IS_EMPTY(s.a.scq);
    struct ibv_sge sge = part(&s.remote, 0, 8);
    struct ibv_recv_wr recv = {.wr_id = 2, .sg_list = &sge, .num_sge = 1, .next = &recv}, *bad_recv = NULL;
    CHECK_EQ(ibv_post_recv(s.b.qp, &recv, &bad_recv), ENOMEM);
    CHECK_PTR_EQ(bad_recv, &recv);
    scene_close(&s);
}

/* --- lengths --- */

static void a_message_that_is_longer_than_its_receive_is_invalid(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(receive(&s.b, 20, part(&s.remote, 0, 7)), 0);
    CHECK_EQ(receive(&s.b, 21, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    /* The InfiniBand specification says IBV_WC_LOC_LEN_ERR here; the kernel's rdmavt reports this status
     * instead. */
    RECEIVED(&s.b, 20, IBV_WC_LOC_QP_OP_ERR);
    RECEIVED(&s.b, 21, IBV_WC_WR_FLUSH_ERR);
    SENT(&s.a, 1, IBV_WC_REM_INV_REQ_ERR);
    CHECK_EQ(state_of(&s.a), IBV_QPS_ERR);
    CHECK_EQ(state_of(&s.b), IBV_QPS_ERR);
    CHECK(all_bytes_are(s.remote.bytes, SCENE_BYTES, REMOTE_FILL));
    scene_close(&s);
}

static void a_message_may_fill_its_receive_or_be_empty(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(receive(&s.b, 20, part(&s.remote, 0, 8)), 0);
    CHECK_EQ(receive(&s.b, 21, part(&s.remote, 8, 8)), 0);
    CHECK_EQ(receive(&s.b, 22, (struct ibv_sge){0}), 0);
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    CHECK_EQ(post(&s.a, (struct request){.opcode = IBV_WR_SEND, .id = 2}), 0);
    CHECK_EQ(post(&s.a, (struct request){.opcode = IBV_WR_SEND, .id = 3}), 0);
    for (uint64_t id = 1; id <= 3; id++)
        SENT(&s.a, id, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&s.b, 20, IBV_WC_SUCCESS).byte_len, 8);
    CHECK_EQ(RECEIVED(&s.b, 21, IBV_WC_SUCCESS).byte_len, 0);
    CHECK_EQ(RECEIVED(&s.b, 22, IBV_WC_SUCCESS).byte_len, 0);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    CHECK(all_bytes_are(s.remote.bytes + 8, 8, REMOTE_FILL));
    scene_close(&s);
}

/* Many packets of the path MTU, and a length that is not a multiple of it. */
static void long_messages_arrive_whole(void) {
    enum { LONG = 1024 * 1024 + 13 };
    struct scene s;
    struct memory from, to;
    REQUIRE(scene_open(&s));
    REQUIRE(make_memory(&s.w, s.w.pd, LONG, 0, ALL_RIGHTS, &from));
    REQUIRE(make_memory(&s.w, s.w.pd, LONG, 0, ALL_RIGHTS, &to));
    number_bytes(from.bytes, LONG);
    CHECK_EQ(receive(&s.b, 20, part(&to, 0, LONG)), 0);
    CHECK_EQ(post(&s.a, send_of(1, part(&from, 0, LONG))), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&s.b, 20, IBV_WC_SUCCESS).byte_len, LONG);
    CHECK_BYTES_EQ(to.bytes, from.bytes, LONG);
    memset(from.bytes, 0, LONG);
    CHECK_EQ(post(&s.a, read_of(2, part(&from, 0, LONG), &to, 0)), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    CHECK_BYTES_EQ(to.bytes, from.bytes, LONG);
    scene_close(&s);
}

/* --- flags --- */

static void unsignaled_sends_do_not_complete(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    for (uint64_t id = 1; id <= 4; id++) {
        struct request r = write_of(id, part(&s.local, 0, 8), &s.remote, (int64_t)id * 8);
        r.unsignaled = id != 3;
        CHECK_EQ(post(&s.a, r), 0);
    }
    SENT(&s.a, 3, IBV_WC_SUCCESS);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(s.a.scq);
    CHECK(all_bytes_are(s.remote.bytes + 8, 32, LOCAL_FILL));
    /* A failure completes all the same. */
    struct request r = write_of(5, part(&s.local, 0, 8), &s.remote, SCENE_BYTES);
    r.unsignaled = true;
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 5, IBV_WC_REM_ACCESS_ERR);
    scene_close(&s);
}

/* The queue has room again after unsignaled sends, without a completion that would say so. */
static void unsignaled_sends_leave_the_queue(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.send_wr = 4}));
    for (uint64_t id = 1; id <= 100; id++) {
        struct request r = write_of(id, part(&s.local, 0, 8), &s.remote, 0);
        r.unsignaled = id % 4 != 0;
        CHECK_EQ(post(&s.a, r), 0);
        if (!r.unsignaled)
            SENT(&s.a, id, IBV_WC_SUCCESS);
    }
    scene_close(&s);
}

static void sq_sig_all_signals_every_send(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.all_signaled = true}));
    struct ibv_qp_attr attr;
    struct ibv_qp_init_attr init;
    CHECK_EQ(ibv_query_qp(s.a.qp, &attr, IBV_QP_STATE, &init), 0);
    CHECK(init.sq_sig_all);
    struct request r = write_of(1, part(&s.local, 0, 8), &s.remote, 0);
    r.unsignaled = true;
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    scene_close(&s);
}

/* --- inline data --- */

enum { INLINE = 64 };

static uint32_t inline_room(const struct end *end) {
    struct ibv_qp_attr attr = {0};
    struct ibv_qp_init_attr init;
    CHECK_EQ(ibv_query_qp(end->qp, &attr, IBV_QP_CAP, &init), 0);
    return attr.cap.max_inline_data;
}

/* Inline data is copied by ibv_post_send(), so the program may change its buffer at once, even while the send
 * waits. It needs no key. */
static void inline_data_is_copied_when_it_is_posted(void) {
    struct scene s;
    REQUIRE(
        scene_open_with(&s, (struct qp_options){.inline_data = INLINE, .rnr_retry = 7, .min_rnr_timer = 16}));
    REQUIRE(inline_room(&s.a) >= INLINE);
    unsigned char first[20], second[INLINE - 20];
    memset(first, 1, sizeof(first));
    memset(second, 2, sizeof(second));
    struct ibv_sge sges[] = {{.addr = (uintptr_t)first, .length = sizeof(first), .lkey = 0xdeadbeef},
                             {.addr = (uintptr_t)second, .length = sizeof(second)}};
    CHECK_EQ(post(&s.a,
                  (struct request){
                      .opcode = IBV_WR_SEND, .id = 1, .flags = IBV_SEND_INLINE, .sges = sges, .num_sge = 2}),
             0);
    IS_EMPTY(s.a.scq);
    memset(first, 8, sizeof(first));
    memset(second, 9, sizeof(second));
    CHECK_EQ(receive(&s.b, 2, part(&s.remote, 0, 128)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&s.b, 2, IBV_WC_SUCCESS).byte_len, INLINE);
    CHECK(all_bytes_are(s.remote.bytes, 20, 1));
    CHECK(all_bytes_are(s.remote.bytes + 20, INLINE - 20, 2));
    CHECK(all_bytes_are(s.remote.bytes + INLINE, 64, REMOTE_FILL));
    scene_close(&s);
}

static void several_inline_sends_do_not_share_their_copies(void) {
    struct scene s;
    REQUIRE(scene_open_with(
        &s, (struct qp_options){.inline_data = 8, .rnr_retry = 7, .min_rnr_timer = 16, .send_wr = 8}));
    uint64_t value;
    struct ibv_sge sge = {.addr = (uintptr_t)&value, .length = sizeof(value)};
    for (int round = 0; round < 3; round++) {
        for (value = 1; value <= 8; value++) {
            struct request r = send_of(value, sge);
            r.flags = IBV_SEND_INLINE;
            CHECK_EQ(post(&s.a, r), 0);
        }
        for (int i = 0; i < 8; i++)
            CHECK_EQ(receive(&s.b, (uint64_t)i, part(&s.remote, i * 8, 8)), 0);
        for (uint64_t i = 1; i <= 8; i++) {
            SENT(&s.a, i, IBV_WC_SUCCESS);
            RECEIVED(&s.b, i - 1, IBV_WC_SUCCESS);
            uint64_t got;
            memcpy(&got, s.remote.bytes + (i - 1) * 8, 8);
            CHECK_EQ(got, i);
        }
    }
    scene_close(&s);
}

static void inline_writes_are_written(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.inline_data = INLINE}));
    unsigned char bytes[INLINE];
    memset(bytes, 3, sizeof(bytes));
    struct ibv_sge sge = {.addr = (uintptr_t)bytes, .length = sizeof(bytes)};
    struct request r = write_of(1, sge, &s.remote, 8);
    r.flags = IBV_SEND_INLINE;
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, 8, REMOTE_FILL));
    CHECK(all_bytes_are(s.remote.bytes + 8, INLINE, 3));
    CHECK(all_bytes_are(s.remote.bytes + 8 + INLINE, 8, REMOTE_FILL));
    scene_close(&s);
}

static void more_inline_data_than_agreed_is_refused(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.inline_data = INLINE}));
    uint32_t room = inline_room(&s.a);
    REQUIRE(room >= INLINE && room < SCENE_BYTES);
    struct request r = write_of(1, part(&s.local, 0, room + 1), &s.remote, 0);
    r.flags = IBV_SEND_INLINE;
    CHECK_EQ(post(&s.a, r), EINVAL);
    IS_EMPTY(s.a.scq);
    CHECK(all_bytes_are(s.remote.bytes, SCENE_BYTES, REMOTE_FILL));
    /* The sum counts, also if it does not fit into 32 bits. */
    struct ibv_sge sges[] = {part(&s.local, 0, 1), part(&s.local, 0, UINT32_MAX)};
    r = (struct request){
        .opcode = IBV_WR_SEND, .id = 2, .flags = IBV_SEND_INLINE, .sges = sges, .num_sge = 2};
    CHECK_EQ(post(&s.a, r), EINVAL);
    /* Data cannot be read inline. */
    r = read_of(3, part(&s.local, 0, 8), &s.remote, 0);
    r.flags = IBV_SEND_INLINE;
    CHECK_EQ(post(&s.a, r), EINVAL);
    r = write_of(4, part(&s.local, 0, room), &s.remote, 0);
    r.flags = IBV_SEND_INLINE;
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 4, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, room, LOCAL_FILL));
    CHECK(all_bytes_are(s.remote.bytes + room, 64, REMOTE_FILL));
    scene_close(&s);
}

static void a_queue_pair_without_inline_data_refuses_it(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    uint32_t room = inline_room(&s.a);
    struct request r = write_of(1, part(&s.local, 0, room + 1), &s.remote, 0);
    r.flags = IBV_SEND_INLINE;
    CHECK_EQ(post(&s.a, r), EINVAL);
    scene_close(&s);
}

static void more_inline_data_than_the_device_has_is_refused(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_qp_init_attr init = {.send_cq = s.a.scq,
                                    .recv_cq = s.a.rcq,
                                    .cap = {.max_send_wr = 1,
                                            .max_recv_wr = 1,
                                            .max_send_sge = 1,
                                            .max_recv_sge = 1,
                                            .max_inline_data = UINT32_MAX},
                                    .qp_type = IBV_QPT_RC};
    errno = 0;
    CHECK_PTR_EQ(ibv_create_qp(s.w.pd, &init), NULL);
    CHECK_EQ(errno, EINVAL);
    scene_close(&s);
}

/* --- order --- */

static void many_requests_complete_in_order(void) {
    enum { MANY = 1000, WINDOW = 50 };
    struct scene s;
    REQUIRE(
        scene_open_with(&s, (struct qp_options){.send_wr = WINDOW, .recv_wr = WINDOW, .cqe = 2 * WINDOW}));
    for (uint64_t first = 0; first < MANY; first += WINDOW) {
        struct ibv_send_wr wrs[WINDOW], *bad = NULL;
        struct request requests[WINDOW];
        uint64_t sends = 0;
        for (uint64_t i = 0; i < WINDOW; i++) {
            uint64_t id = first + i;
            struct ibv_sge sge = part(&s.local, (int64_t)(i * 8), 8);
            requests[i] = id % 3 == 0   ? send_of(id, sge)
                          : id % 3 == 1 ? write_of(id, sge, &s.remote, (int64_t)(i * 8))
                                        : read_of(id, sge, &s.remote, (int64_t)(i * 8));
            fill_send_wr(&requests[i], &wrs[i]);
            wrs[i].next = i + 1 < WINDOW ? &wrs[i + 1] : NULL;
            if (id % 3 == 0)
                CHECK_EQ(receive(&s.b, id, part(&s.remote, (int64_t)(i * 8), 8)), 0);
            sends += id % 3 == 0;
        }
        CHECK_EQ(ibv_post_send(s.a.qp, wrs, &bad), 0);
        for (uint64_t i = 0; i < WINDOW; i++)
            SENT(&s.a, first + i, IBV_WC_SUCCESS);
        for (uint64_t id = first; id < first + WINDOW; id++)
            if (id % 3 == 0) {
                RECEIVED(&s.b, id, IBV_WC_SUCCESS);
                sends--;
            }
        CHECK_EQ(sends, 0);
    }
    IS_EMPTY(s.a.scq);
    IS_EMPTY(s.b.rcq);
    scene_close(&s);
}

/* One completion queue for both ends, polled in large steps. */
static void one_poll_takes_several_completions_in_order(void) {
    struct world w;
    struct memory m;
    struct end a = {0}, b = {0};
    struct ibv_wc wcs[8];
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.pd, 256, 1, ALL_RIGHTS, &m));
    REQUIRE(make_cq(&w, 64, NULL, &a.scq));
    a.rcq = b.scq = b.rcq = a.scq;
    REQUIRE(make_qp(&w, w.pd, (struct qp_options){0}, &a));
    REQUIRE(make_qp(&w, w.pd, (struct qp_options){0}, &b));
    REQUIRE(connect_ends(&a, &b));
    for (uint64_t id = 1; id <= 5; id++) {
        struct request r = write_of(id, part(&m, 0, 8), &m, 128);
        CHECK_EQ(post(&a, r), 0);
    }
    uint64_t deadline = now_ms() + PATIENCE_MS, next = 1;
    while (next <= 5 && now_ms() < deadline) {
        int count = ibv_poll_cq(a.scq, next == 1 ? 2 : 8, wcs);
        REQUIRE(count >= 0 && count <= 8 && (next > 1 || count <= 2));
        for (int i = 0; i < count; i++) {
            CHECK_EQ(wcs[i].wr_id, next++);
            CHECK_EQ(wcs[i].qp_num, a.qp->qp_num);
        }
    }
    CHECK_EQ(next, 6);
    CHECK_EQ(ibv_poll_cq(a.scq, 8, wcs), 0);
    CHECK_EQ(ibv_poll_cq(a.scq, 0, wcs), 0);
    world_close(&w);
}

/* More completions than a library is likely to copy at once. */
static void one_poll_takes_many_completions_in_order(void) {
    enum { MANY = 50 };
    struct scene s;
    struct ibv_wc wcs[MANY + 8];
    REQUIRE(scene_open_with(&s, (struct qp_options){.send_wr = MANY, .cqe = MANY}));
    for (int step = 16; step <= MANY + 8; step += 17) { /* 16, 33 and 50 at once */
        for (uint64_t id = 0; id < MANY; id++)
            CHECK_EQ(post(&s.a, write_of(id, part(&s.local, 0, 8), &s.remote, 0)), 0);
        uint64_t next = 0, deadline = now_ms() + PATIENCE_MS;
        while (next < MANY && now_ms() < deadline) {
            int count = ibv_poll_cq(s.a.scq, step, wcs);
            REQUIRE(count >= 0 && count <= step);
            for (int i = 0; i < count; i++) {
                CHECK_EQ(wcs[i].wr_id, next++);
                CHECK_EQ(wcs[i].status, IBV_WC_SUCCESS);
            }
        }
        CHECK_EQ(next, MANY);
        IS_EMPTY(s.a.scq);
    }
    scene_close(&s);
}

static void a_queue_pair_can_be_its_own_peer(void) {
    struct world w;
    struct memory m;
    struct end a;
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.pd, 256, 1, ALL_RIGHTS, &m));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){0}, &a));
    REQUIRE(bring_up(&a, a.qp->qp_num));
    memset(m.bytes, 5, 8);
    CHECK_EQ(receive(&a, 1, part(&m, 64, 8)), 0);
    CHECK_EQ(post(&a, send_of(2, part(&m, 0, 8))), 0);
    SENT(&a, 2, IBV_WC_SUCCESS);
    CHECK_EQ(RECEIVED(&a, 1, IBV_WC_SUCCESS).src_qp, a.qp->qp_num);
    CHECK(all_bytes_are(m.bytes + 64, 8, 5));
    world_close(&w);
}

/* --- opcodes --- */

static void opcodes_that_the_type_does_not_have_are_refused(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.type = IBV_QPT_UC}));
    CHECK_EQ(post(&s.a, read_of(1, part(&s.local, 0, 8), &s.remote, 0)), EINVAL);
    CHECK_EQ(post(&s.a, fetch_add_of(2, part(&s.local, 0, 8), &s.remote, 0, 1)), EINVAL);
    CHECK_EQ(post(&s.a, swap_of(3, part(&s.local, 0, 8), &s.remote, 0, 0, 1)), EINVAL);
    IS_EMPTY(s.a.scq);
    scene_close(&s);
}

/* All numbers from the first one on that is no opcode of this device. */
static void unknown_opcodes_and_flags_are_refused(void) {
    static const enum ibv_qp_type types[] = {IBV_QPT_RC, IBV_QPT_UC};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct scene s;
        REQUIRE(scene_open_with(&s, (struct qp_options){.type = types[i]}));
        struct request r = send_of(1, part(&s.local, 0, 8));
        for (int opcode = IBV_WR_BIND_MW; opcode < 300; opcode++) {
            r.opcode = (enum ibv_wr_opcode)opcode;
            if (opcode != IBV_WR_SEND_WITH_INV)
                CHECK_EQ(post(&s.a, r), EINVAL);
        }
        r.opcode = (enum ibv_wr_opcode) - 1;
        CHECK_EQ(post(&s.a, r), EINVAL);
        r.opcode = IBV_WR_SEND;
        r.flags = IBV_SEND_IP_CSUM;
        CHECK_EQ(post(&s.a, r), EINVAL);
        r.flags = 1u << 31;
        CHECK_EQ(post(&s.a, r), EINVAL);
        IS_EMPTY(s.a.scq);
        CHECK_EQ(state_of(&s.a), IBV_QPS_RTS);
        scene_close(&s);
    }
}

/* --- UC --- */

static void an_unreliable_send_is_lost_without_a_receive(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.type = IBV_QPT_UC}));
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(receive(&s.b, 20, part(&s.remote, 0, 8)), 0);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(s.b.rcq);
    memset(s.local.bytes, 9, 8);
    CHECK_EQ(post(&s.a, send_of(2, part(&s.local, 0, 8))), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    RECEIVED(&s.b, 20, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, 8, 9));
    scene_close(&s);
}

/* Nobody tells the sender. */
static void an_unreliable_request_to_nobody_succeeds(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.type = IBV_QPT_UC}));
    CHECK_EQ(world_destroy(&s.w, s.b.qp), 0);
    for (uint64_t id = 1; id <= 3; id++) {
        CHECK_EQ(post(&s.a, write_of(id, part(&s.local, 0, 8), &s.remote, 0)), 0);
        SENT(&s.a, id, IBV_WC_SUCCESS);
    }
    CHECK_EQ(state_of(&s.a), IBV_QPS_RTS);
    CHECK(all_bytes_are(s.remote.bytes, 8, REMOTE_FILL));
    scene_close(&s);
}

static void an_unreliable_write_is_checked_like_any_other(void) {
    struct scene s;
    struct memory foreign;
    REQUIRE(scene_open_with(&s, (struct qp_options){.type = IBV_QPT_UC}));
    REQUIRE(make_memory(&s.w, s.w.other_pd, 64, 1, ALL_RIGHTS, &foreign));
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(s.remote.bytes, 8, LOCAL_FILL));
    CHECK_EQ(post(&s.a, write_of(2, part(&s.local, 0, 8), &foreign, 0)), 0);
    SENT(&s.a, 2, IBV_WC_REM_ACCESS_ERR); /* as the kernel's rdmavt reports it; on a wire it would be lost */
    CHECK(all_bytes_are(foreign.bytes, 64, 1));
    CHECK_EQ(state_of(&s.b), IBV_QPS_ERR);
    scene_close(&s);
}

CHECK_MAIN(TEST(each_opcode_has_its_completion), TEST(immediate_data_arrives_unchanged),
           TEST(a_write_with_immediate_does_not_judge_its_receive),
           TEST(send_with_invalidate_ends_a_key_of_the_receiver),
           TEST(send_with_invalidate_does_not_end_other_keys),
           TEST(local_invalidate_ends_a_key_of_the_own_domain),
           TEST(elements_are_gathered_and_scattered_in_order), TEST(too_many_elements_are_refused),
           TEST(a_full_queue_refuses_the_rest_of_the_list), TEST(a_list_without_an_end_is_refused),
           TEST(a_message_that_is_longer_than_its_receive_is_invalid),
           TEST(a_message_may_fill_its_receive_or_be_empty), TEST(long_messages_arrive_whole),
           TEST(unsignaled_sends_do_not_complete), TEST(unsignaled_sends_leave_the_queue),
           TEST(sq_sig_all_signals_every_send), TEST(inline_data_is_copied_when_it_is_posted),
           TEST(several_inline_sends_do_not_share_their_copies), TEST(inline_writes_are_written),
           TEST(more_inline_data_than_agreed_is_refused), TEST(a_queue_pair_without_inline_data_refuses_it),
           TEST(more_inline_data_than_the_device_has_is_refused), TEST(many_requests_complete_in_order),
           TEST(one_poll_takes_several_completions_in_order), TEST(one_poll_takes_many_completions_in_order),
           TEST(elements_without_bytes_are_skipped), TEST(a_queue_pair_can_be_its_own_peer),
           TEST(opcodes_that_the_type_does_not_have_are_refused), TEST(unknown_opcodes_and_flags_are_refused),
           TEST(an_unreliable_send_is_lost_without_a_receive), TEST(an_unreliable_request_to_nobody_succeeds),
           TEST(an_unreliable_write_is_checked_like_any_other))
