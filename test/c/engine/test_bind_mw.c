/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory windows of type 2B through queue pairs: BIND_MW, what the peer may do then, LOCAL_INV and
 * SEND_WITH_INV. */
#include "core/objects/mw.h"

#include "verbs.h"

static alignas(4096) unsigned char bytes[2 * PAGE], source[PAGE];

enum { FROM = 128, LENGTH = 256 };

/* Two connected queue pairs; `b` has the memory, and `a` is the peer that wants it. */
struct scene {
    struct verbs v;
    struct vqp a, b;
    struct vmr remote, own;
    struct rvt_mw_handle mw;
    uint32_t key;
};

static bool open_scene(struct scene *s, enum rvt_qp_type type, bool manual) {
    memset(s, 0, sizeof(*s));
    if (!verbs_open(&s->v, manual))
        return false;
    make_pair(&s->v, type, &s->a, &s->b);
    s->remote = make_mr_in(s->v.pd, bytes, PAGE, RVT_ACCESS_LOCAL_WRITE | RVT_ACCESS_MW_BIND);
    s->own = make_mr(&s->v, source, PAGE);
    memset(bytes, 0, sizeof(bytes));
    count_up(source, PAGE, 1);
    CHECK_EQ(rvt_alloc_mw(s->v.pd, RVT_MW_TYPE_TWO, &s->mw, &s->key), 0);
    return true;
}

static struct rvt_send_wr bind_wr(const struct scene *s, uint64_t wr_id, uint32_t key, uint32_t access) {
    return (struct rvt_send_wr){
        .wr_id = wr_id,
        .opcode = RVT_WR_BIND_MW,
        .flags = RVT_SEND_SIGNALED,
        .mw = s->mw,
        .mr = s->remote.mr,
        .key = key,
        .access = access,
        .remote_addr = s->remote.addr + FROM,
        .bind_length = LENGTH,
    };
}

static void bind(struct scene *s, uint32_t key, uint32_t access) {
    CHECK_EQ(post(&s->b, bind_wr(s, 1, key, access)), 0);
    WC(s->b.scq, .wr_id = 1, .qp_num = s->b.qpn, .opcode = RVT_WC_OPCODE_BIND_MW);
    s->key = key;
}

/* Lets `from` write 8 bytes at the offset in the region. */
static int write_at(struct scene *s, const struct vqp *from, uint64_t offset, uint32_t key) {
    struct rvt_ib_sge sge = sge_at(&s->own, 0, 8);
    return post(from, (struct rvt_send_wr){.wr_id = 2,
                                           .opcode = RVT_WR_RDMA_WRITE,
                                           .flags = RVT_SEND_SIGNALED,
                                           .sges = &sge,
                                           .num_sge = 1,
                                           .remote_addr = s->remote.addr + offset,
                                           .rkey = key});
}

/* The last work request of `qp` has this status; returns why its peer refused the access. */
static enum rvt_reason refused_with(const struct vqp *qp, enum rvt_wc_status status) {
    struct rvt_wc wc = {0};
    CHECK_EQ(rvt_poll_cq(qp->scq, 1, &wc), 1);
    CHECK_EQ(wc.status, status);
    return (enum rvt_reason)wc.refused.reason;
}

static void the_peer_writes_reads_and_counts_through_a_window(void) {
    struct scene s;
    REQUIRE(open_scene(&s, RVT_QPT_RC, AT_ONCE));
    CHECK_EQ(write_at(&s, &s.a, FROM, s.key), 0);
    CHECK_EQ(refused_with(&s.a, RVT_WC_STATUS_REM_ACCESS_ERR), RVT_WINDOW_UNBOUND);
    verbs_close(&s.v);

    REQUIRE(open_scene(&s, RVT_QPT_RC, AT_ONCE));
    bind(&s, s.key ^ 3, RVT_ACCESS_REMOTE_WRITE | RVT_ACCESS_REMOTE_READ | RVT_ACCESS_REMOTE_ATOMIC);
    CHECK_EQ(write_at(&s, &s.a, FROM, s.key), 0);
    WC(s.a.scq, .wr_id = 2, .qp_num = s.a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 8);
    CHECK_BYTES_EQ(bytes + FROM, source, 8);
    struct rvt_ib_sge sge = sge_at(&s.own, 64, LENGTH);
    CHECK_EQ(post(&s.a, (struct rvt_send_wr){.wr_id = 3,
                                             .opcode = RVT_WR_RDMA_READ,
                                             .flags = RVT_SEND_SIGNALED,
                                             .sges = &sge,
                                             .num_sge = 1,
                                             .remote_addr = s.remote.addr + FROM,
                                             .rkey = s.key}),
             0);
    WC(s.a.scq, .wr_id = 3, .qp_num = s.a.qpn, .opcode = RVT_WC_OPCODE_RDMA_READ, .byte_len = LENGTH);
    CHECK_BYTES_EQ(source + 64, bytes + FROM, LENGTH);
    sge.length = 8;
    CHECK_EQ(post(&s.a, (struct rvt_send_wr){.wr_id = 4,
                                             .opcode = RVT_WR_ATOMIC_FETCH_AND_ADD,
                                             .flags = RVT_SEND_SIGNALED,
                                             .sges = &sge,
                                             .num_sge = 1,
                                             .compare_add = 5,
                                             .remote_addr = s.remote.addr + FROM + 64,
                                             .rkey = s.key}),
             0);
    WC(s.a.scq, .wr_id = 4, .qp_num = s.a.qpn, .opcode = RVT_WC_OPCODE_FETCH_ADD, .byte_len = 8);
    CHECK_EQ(bytes[FROM + 64], 5);
    /* One byte outside: in the region, but not in the window. */
    CHECK_EQ(write_at(&s, &s.a, FROM + LENGTH - 7, s.key), 0);
    CHECK_EQ(refused_with(&s.a, RVT_WC_STATUS_REM_ACCESS_ERR), RVT_OUT_OF_BOUNDS);
    CHECK_EQ(bytes[FROM + LENGTH - 1], 0);
    AT_REST(s.remote);
    verbs_close(&s.v);
}

static void only_the_peer_of_the_bound_queue_pair_passes(void) {
    struct scene s;
    struct vqp c, d;
    REQUIRE(open_scene(&s, RVT_QPT_RC, AT_ONCE));
    make_pair(&s.v, RVT_QPT_RC, &c, &d);
    bind(&s, s.key ^ 1, RVT_ACCESS_REMOTE_WRITE);
    CHECK_EQ(write_at(&s, &c, FROM, s.key), 0);
    CHECK_EQ(refused_with(&c, RVT_WC_STATUS_REM_ACCESS_ERR), RVT_WINDOW_OTHER_QP);
    CHECK_EQ(write_at(&s, &s.a, FROM, s.key), 0);
    WC(s.a.scq, .wr_id = 2, .qp_num = s.a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 8);
    /* In a send, the key of a window is no lkey. */
    struct rvt_ib_sge sge = {s.remote.addr + FROM, 8, s.key};
    CHECK_EQ(post(&s.a, (struct rvt_send_wr){.opcode = RVT_WR_SEND, .sges = &sge, .num_sge = 1}),
             -RVT_EINVAL);
    struct rvt_failure why;
    rvt_take_failure(&why);
    CHECK_EQ(why.numbers[RVT_FAILURE_CAUSE], RVT_CAUSE_WR_SGE_REFUSED);
    CHECK_EQ(why.numbers[RVT_FAILURE_LIMIT], RVT_WINDOW_LOCAL);
    verbs_close(&s.v);
}

static void local_inv_unbinds(void) {
    struct scene s;
    REQUIRE(open_scene(&s, RVT_QPT_RC, AT_ONCE));
    bind(&s, s.key ^ 1, RVT_ACCESS_REMOTE_WRITE);
    const uint32_t old = s.key;
    const struct rvt_send_wr inv = {
        .wr_id = 5, .opcode = RVT_WR_LOCAL_INV, .flags = RVT_SEND_SIGNALED, .invalidate_rkey = s.key};
    CHECK_EQ(post(&s.a, inv), -RVT_EINVAL); /* the window is bound to b */
    CHECK_EQ(post(&s.b, inv), 0);
    WC(s.b.scq, .wr_id = 5, .qp_num = s.b.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV);
    bind(&s, old ^ 7, RVT_ACCESS_REMOTE_WRITE);
    CHECK_EQ(write_at(&s, &s.a, FROM, s.key), 0);
    WC(s.a.scq, .wr_id = 2, .qp_num = s.a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 8);
    CHECK_EQ(write_at(&s, &s.a, FROM, old), 0);
    CHECK_EQ(refused_with(&s.a, RVT_WC_STATUS_REM_ACCESS_ERR), RVT_STALE_KEY);
    verbs_close(&s.v);
}

static void a_peer_unbinds_by_send_with_inv(void) {
    struct scene s;
    REQUIRE(open_scene(&s, RVT_QPT_RC, AT_ONCE));
    bind(&s, s.key ^ 1, RVT_ACCESS_REMOTE_WRITE);
    const struct rvt_recv_wr receive = {.wr_id = 8};
    uint32_t bad;
    CHECK_EQ(rvt_post_recv(s.b.handle, &receive, 1, &bad), 0);
    CHECK_EQ(post(&s.a, (struct rvt_send_wr){.wr_id = 6,
                                             .opcode = RVT_WR_SEND_WITH_INV,
                                             .flags = RVT_SEND_SIGNALED,
                                             .invalidate_rkey = s.key}),
             0);
    struct rvt_wc wc = {0};
    CHECK_EQ(rvt_poll_cq(s.b.rcq, 1, &wc), 1);
    CHECK(wc.wr_id == 8 && wc.flags == RVT_WC_WITH_INVALIDATE && wc.imm_or_inv == s.key);
    WC(s.a.scq, .wr_id = 6, .qp_num = s.a.qpn, .opcode = RVT_WC_OPCODE_SEND);
    CHECK_EQ(rvt_dereg_mr(s.remote.mr, RVT_RELEASE), 0); /* nothing is bound to it any more */
    CHECK_EQ(write_at(&s, &s.a, FROM, s.key), 0);
    CHECK_EQ(refused_with(&s.a, RVT_WC_STATUS_REM_ACCESS_ERR), RVT_WINDOW_UNBOUND);
    verbs_close(&s.v);
}

static void a_message_of_another_queue_pair_does_not_unbind(void) {
    struct scene s;
    struct vqp c, d;
    REQUIRE(open_scene(&s, RVT_QPT_RC, AT_ONCE));
    make_pair(&s.v, RVT_QPT_RC, &c, &d);
    bind(&s, s.key ^ 1, RVT_ACCESS_REMOTE_WRITE);
    const struct rvt_recv_wr receive = {.wr_id = 8};
    uint32_t bad;
    CHECK_EQ(rvt_post_recv(d.handle, &receive, 1, &bad), 0);
    CHECK_EQ(post(&c, (struct rvt_send_wr){.wr_id = 6,
                                           .opcode = RVT_WR_SEND_WITH_INV,
                                           .flags = RVT_SEND_SIGNALED,
                                           .invalidate_rkey = s.key}),
             0);
    struct rvt_wc wc = {0};
    CHECK_EQ(rvt_poll_cq(d.rcq, 1, &wc), 1);
    CHECK(wc.wr_id == 8 && !wc.flags);
    CHECK_EQ(write_at(&s, &s.a, FROM, s.key), 0);
    WC(s.a.scq, .wr_id = 2, .qp_num = s.a.qpn, .opcode = RVT_WC_OPCODE_RDMA_WRITE, .byte_len = 8);
    verbs_close(&s.v);
}

static void which_queue_pairs_may_bind(void) {
    static const enum rvt_qp_type types[] = {RVT_QPT_RC, RVT_QPT_UC, RVT_QPT_UD};
    for (int t = 0; t < 3; t++) {
        struct scene s;
        REQUIRE(open_scene(&s, types[t], AT_ONCE));
        struct rvt_send_wr wr = bind_wr(&s, 1, s.key, RVT_ACCESS_REMOTE_READ);
        if (types[t] == RVT_QPT_UD) {
            FAILS_WITH(post(&s.b, wr), RVT_EINVAL, RVT_CAUSE_WR_OPCODE, RVT_WR_BIND_MW, RVT_QPT_UD, 0);
        } else {
            CHECK_EQ(post(&s.b, wr), 0);
            WC(s.b.scq, .wr_id = 1, .qp_num = s.b.qpn, .opcode = RVT_WC_OPCODE_BIND_MW);
        }
        /* Without a window it is an opcode that does not exist, as in the kernel. */
        wr.mw = (struct rvt_mw_handle){0};
        FAILS_WITH(post(&s.b, wr), RVT_EINVAL, RVT_CAUSE_WR_OPCODE, RVT_WR_BIND_MW, types[t], 0);
        verbs_close(&s.v);
    }
}

static void what_cannot_be_bound_is_refused_at_the_post(void) {
    struct scene s;
    struct rvt_failure why;
    REQUIRE(open_scene(&s, RVT_QPT_RC, AT_ONCE));
    struct rvt_send_wr wr = bind_wr(&s, 1, s.key, RVT_ACCESS_REMOTE_READ);
    wr.bind_length = PAGE;
    CHECK_EQ(post(&s.b, wr), -RVT_EINVAL);
    rvt_take_failure(&why);
    CHECK_EQ(why.numbers[RVT_FAILURE_CAUSE], RVT_CAUSE_BIND_OUTSIDE);
    struct vqp other = make_qp_with(&s.v, s.v.other_pd, (struct rvt_qp_init){.type = RVT_QPT_RC});
    connect_qp(&other, other.qpn);
    CHECK_EQ(post(&other, bind_wr(&s, 1, s.key, RVT_ACCESS_REMOTE_READ)), -RVT_EACCES);
    CHECK_EQ(post(&s.b, bind_wr(&s, 1, s.key ^ 0x100, RVT_ACCESS_REMOTE_READ)), -RVT_EINVAL);
    CHECK_EQ(query_qp(&s.b).sends, 0);
    struct rvt_mw_handle gone = s.mw;
    CHECK_EQ(rvt_dealloc_mw(s.mw), 0);
    wr = bind_wr(&s, 1, s.key, RVT_ACCESS_REMOTE_READ);
    wr.mw = gone;
    CHECK_EQ(post(&s.b, wr), -RVT_EBADF);
    NO_WC(s.b.scq);
    verbs_close(&s.v);
}

static void a_bind_waits_for_delayed_invalidations(void) {
    struct scene s;
    struct rvt_mw_attributes a;
    REQUIRE(open_scene(&s, RVT_QPT_RC, MANUAL));
    const uint32_t first = s.key ^ 1, second = s.key ^ 2;
    CHECK_EQ(post(&s.b, bind_wr(&s, 1, first, RVT_ACCESS_REMOTE_WRITE)), 0);
    CHECK_EQ(rvt_query_mw(s.mw, &a), 0);
    CHECK(a.bound && a.key == first); /* carried out at the post */
    CHECK_EQ(post(&s.b, (struct rvt_send_wr){.wr_id = 2,
                                             .opcode = RVT_WR_LOCAL_INV,
                                             .flags = RVT_SEND_SIGNALED | RVT_SEND_FENCE,
                                             .invalidate_rkey = first}),
             0);
    CHECK_EQ(post(&s.b, bind_wr(&s, 3, second, RVT_ACCESS_REMOTE_WRITE)), 0);
    /* The window is bound when this one comes, so it fails then, without an effect on the queue pair. */
    CHECK_EQ(post(&s.b, bind_wr(&s, 4, second, RVT_ACCESS_REMOTE_WRITE)), 0);
    CHECK_EQ(rvt_query_mw(s.mw, &a), 0);
    CHECK(a.bound && a.key == first);
    run_engine(&s.v);
    WC(s.b.scq, .wr_id = 1, .qp_num = s.b.qpn, .opcode = RVT_WC_OPCODE_BIND_MW);
    WC(s.b.scq, .wr_id = 2, .qp_num = s.b.qpn, .opcode = RVT_WC_OPCODE_LOCAL_INV);
    WC(s.b.scq, .wr_id = 3, .qp_num = s.b.qpn, .opcode = RVT_WC_OPCODE_BIND_MW);
    WC(s.b.scq, .wr_id = 4, .qp_num = s.b.qpn, .opcode = RVT_WC_OPCODE_BIND_MW,
       .status = RVT_WC_STATUS_MW_BIND_ERR, .cause = RVT_WHY_BIND_REFUSED);
    NO_WC(s.b.scq);
    CHECK_EQ(state_of(&s.b), RVT_QPS_RTS);
    CHECK_EQ(rvt_query_mw(s.mw, &a), 0);
    CHECK(a.bound && a.key == second);
    /* Nothing is delayed any more. */
    CHECK_EQ(rvt_invalidate_rkey(s.b.handle, second), 0);
    CHECK_EQ(post(&s.b, bind_wr(&s, 5, first, RVT_ACCESS_REMOTE_WRITE)), 0);
    CHECK_EQ(rvt_query_mw(s.mw, &a), 0);
    CHECK(a.bound && a.key == first);
    verbs_close(&s.v);
}

static const struct rvt_send_wr *read_wr(void *data, uint32_t index) {
    return (const struct rvt_send_wr *)data + index;
}

static void a_list_is_posted_whole_or_not_at_all(void) {
    struct scene s;
    struct rvt_mw_attributes a;
    uint32_t bad;
    REQUIRE(open_scene(&s, RVT_QPT_RC, AT_ONCE));
    struct rvt_send_wr wrs[] = {
        bind_wr(&s, 1, s.key ^ 1, RVT_ACCESS_REMOTE_READ),
        {.wr_id = 2, .opcode = RVT_WR_REG_MR}, /* cannot be taken back, so it is refused here */
    };
    const struct rvt_send_source list = {read_wr, wrs};
    CHECK_EQ(rvt_post_send_whole(s.b.handle, &list, 2, &bad), -RVT_EINVAL);
    CHECK_EQ(bad, 1);
    CHECK_EQ(rvt_query_mw(s.mw, &a), 0);
    CHECK(!a.bound);
    CHECK_EQ(rvt_post_send_whole(s.b.handle, &list, 1, &bad), 0);
    WC(s.b.scq, .wr_id = 1, .qp_num = s.b.qpn, .opcode = RVT_WC_OPCODE_BIND_MW);
    CHECK_EQ(rvt_query_mw(s.mw, &a), 0);
    CHECK(a.bound);
    verbs_close(&s.v);
}

/* The objects that a delayed BIND_MW names may end before it is carried out. */
static void what_a_delayed_bind_names_may_end_first(void) {
    for (int which = 0; which < 2; which++) {
        struct scene s;
        REQUIRE(open_scene(&s, RVT_QPT_RC, MANUAL));
        struct rvt_send_wr wr = bind_wr(&s, 1, s.key, RVT_ACCESS_REMOTE_READ);
        wr.flags |= RVT_SEND_FENCE;
        CHECK_EQ(post(&s.b, wr), 0);
        if (which)
            CHECK_EQ(rvt_dealloc_mw(s.mw), 0);
        else
            CHECK_EQ(rvt_dereg_mr(s.remote.mr, RVT_RELEASE), 0);
        run_engine(&s.v);
        WC(s.b.scq, .wr_id = 1, .qp_num = s.b.qpn, .opcode = RVT_WC_OPCODE_BIND_MW,
           .status = RVT_WC_STATUS_MW_BIND_ERR, .cause = RVT_WHY_BIND_REFUSED);
        verbs_close(&s.v);
    }
}

CHECK_MAIN(TEST(the_peer_writes_reads_and_counts_through_a_window),
           TEST(only_the_peer_of_the_bound_queue_pair_passes), TEST(local_inv_unbinds),
           TEST(a_peer_unbinds_by_send_with_inv), TEST(a_message_of_another_queue_pair_does_not_unbind),
           TEST(which_queue_pairs_may_bind), TEST(what_cannot_be_bound_is_refused_at_the_post),
           TEST(a_bind_waits_for_delayed_invalidations), TEST(a_list_is_posted_whole_or_not_at_all),
           TEST(what_a_delayed_bind_names_may_end_first))
