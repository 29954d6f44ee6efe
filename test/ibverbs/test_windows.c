/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory windows of both types, and re-registration. */
#include "traffic.h"

enum { FIRST = 64, BYTES_IN = 128, WRITE = IBV_ACCESS_REMOTE_WRITE, READ = IBV_ACCESS_REMOTE_READ };

/* A scene with a region of b that grants windows, and no remote right itself. */
struct windowed {
    struct scene s;
    struct memory m;
    struct ibv_mw *mw;
};

static bool windowed_open(struct windowed *w, enum ibv_mw_type type, struct qp_options options) {
    if (!scene_open_with(&w->s, options) || !make_memory(&w->s.w, w->s.w.pd, SCENE_BYTES, REMOTE_FILL,
                                                         IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND, &w->m))
        return false;
    w->mw = ibv_alloc_mw(w->s.w.pd, type);
    return w->mw;
}

static void windowed_close(struct windowed *w) {
    if (w->mw)
        CHECK_EQ(ibv_dealloc_mw(w->mw), 0);
    scene_close(&w->s);
}

static struct ibv_mw_bind_info into(const struct memory *m, int64_t first, uint64_t length, unsigned access) {
    return (struct ibv_mw_bind_info){m->mr, address(m, first), length, access};
}

/* b posts the binding of a window of type 1. Returns the answer. */
static int bind_1(const struct windowed *w, uint64_t id, struct ibv_mw_bind_info info) {
    struct ibv_mw_bind bind = {.wr_id = id, .send_flags = IBV_SEND_SIGNALED, .bind_info = info};
    return ibv_bind_mw(w->s.b.qp, w->mw, &bind);
}

/* The end posts the binding of a window by a work request, with this key. Returns the answer. */
static int bind_2(const struct end *end, uint64_t id, struct ibv_mw *mw, uint32_t rkey,
                  struct ibv_mw_bind_info info) {
    struct ibv_send_wr *bad = NULL, wr = {.wr_id = id,
                                          .opcode = IBV_WR_BIND_MW,
                                          .send_flags = IBV_SEND_SIGNALED,
                                          .bind_mw = {mw, rkey, info}};
    int answer = ibv_post_send(end->qp, &wr, &bad);
    if (answer)
        CHECK_PTR_EQ(bad, &wr);
    return answer;
}

/* a writes 8 bytes, which completes like this. If it fails, both queue pairs are connected anew. */
static void writes(struct windowed *w, uint32_t rkey, int64_t offset, enum ibv_wc_status status) {
    struct request r = write_of(77, part(&w->s.local, 0, 8), &w->m, offset);
    r.rkey = rkey;
    CHECK_EQ(post(&w->s.a, r), 0);
    SENT(&w->s.a, 77, status);
    if (status == IBV_WC_SUCCESS)
        return;
    CHECK_EQ(to_state(&w->s.a, IBV_QPS_RESET), 0);
    CHECK_EQ(to_state(&w->s.b, IBV_QPS_RESET), 0);
    CHECK(connect_ends(&w->s.a, &w->s.b));
}

static void windows_are_made_and_counted(void) {
    struct world w;
    struct ibv_device_attr attr;
    REQUIRE(world_open(&w));
    REQUIRE(ibv_query_device(w.context, &attr) == 0);
    CHECK(attr.max_mw > 0);
    CHECK(attr.device_cap_flags & IBV_DEVICE_MEM_WINDOW);
    CHECK(attr.device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2B);
    CHECK(!(attr.device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2A));
    struct ibv_pd *pd = ibv_alloc_pd(w.context);
    struct ibv_mw *one = ibv_alloc_mw(pd, IBV_MW_TYPE_1), *two = ibv_alloc_mw(pd, IBV_MW_TYPE_2);
    REQUIRE(one && two);
    CHECK_EQ(one->type, IBV_MW_TYPE_1);
    CHECK_EQ(two->type, IBV_MW_TYPE_2);
    CHECK_PTR_EQ(two->pd, pd);
    CHECK_PTR_EQ(two->context, w.context);
    CHECK(one->rkey >> 8 != two->rkey >> 8);
    static const unsigned no_types[] = {0, 3, UINT32_MAX};
    for (size_t i = 0; i < sizeof(no_types) / sizeof(no_types[0]); i++) {
        errno = 0;
        CHECK_PTR_EQ(ibv_alloc_mw(pd, (enum ibv_mw_type)no_types[i]), NULL);
        CHECK_EQ(errno, EINVAL);
    }
    CHECK_EQ(ibv_dealloc_pd(pd), EBUSY);
    CHECK_EQ(ibv_dealloc_mw(one), 0);
    CHECK_EQ(ibv_dealloc_pd(pd), EBUSY);
    CHECK_EQ(ibv_dealloc_mw(two), 0);
    CHECK_EQ(ibv_dealloc_pd(pd), 0);
    world_close(&w);
}

static void a_window_of_type_1_opens_a_part_and_moves(void) {
    struct windowed w;
    REQUIRE(windowed_open(&w, IBV_MW_TYPE_1, (struct qp_options){0}));
    const uint32_t born = w.mw->rkey;
    writes(&w, born, FIRST, IBV_WC_REM_ACCESS_ERR);
    writes(&w, w.m.mr->rkey, FIRST, IBV_WC_REM_ACCESS_ERR);
    CHECK_EQ(bind_1(&w, 1, into(&w.m, FIRST, BYTES_IN, WRITE | IBV_ACCESS_LOCAL_WRITE)), 0);
    CHECK_EQ(SENT(&w.s.b, 1, IBV_WC_SUCCESS).opcode, IBV_WC_BIND_MW);
    const uint32_t first = w.mw->rkey;
    CHECK_EQ(first, ibv_inc_rkey(born));
    writes(&w, first, FIRST, IBV_WC_SUCCESS);
    writes(&w, first, FIRST + BYTES_IN - 8, IBV_WC_SUCCESS);
    writes(&w, first, FIRST - 1, IBV_WC_REM_ACCESS_ERR);
    writes(&w, first, FIRST + BYTES_IN - 7, IBV_WC_REM_ACCESS_ERR);
    writes(&w, born, FIRST, IBV_WC_REM_ACCESS_ERR);
    CHECK(all_bytes_are(w.m.bytes, FIRST, REMOTE_FILL));
    CHECK(all_bytes_are(w.m.bytes + FIRST, 8, LOCAL_FILL));
    CHECK(all_bytes_are(w.m.bytes + FIRST + 8, BYTES_IN - 16, REMOTE_FILL));

    CHECK_EQ(bind_1(&w, 2, into(&w.m, 0, 8, WRITE)), 0); /* it is bound: it moves */
    SENT(&w.s.b, 2, IBV_WC_SUCCESS);
    writes(&w, w.mw->rkey, 0, IBV_WC_SUCCESS);
    writes(&w, w.mw->rkey, FIRST, IBV_WC_REM_ACCESS_ERR);
    writes(&w, first, FIRST, IBV_WC_REM_ACCESS_ERR);
    CHECK_EQ(ibv_dereg_mr(w.m.mr), EBUSY);

    CHECK_EQ(bind_1(&w, 3, (struct ibv_mw_bind_info){0}), 0); /* no bytes of no region: unbound */
    SENT(&w.s.b, 3, IBV_WC_SUCCESS);
    writes(&w, w.mw->rkey, 0, IBV_WC_REM_ACCESS_ERR);
    CHECK_EQ(world_destroy(&w.s.w, w.m.mr), 0);
    windowed_close(&w);
}

static void a_window_of_type_2_is_for_one_queue_pair(void) {
    struct windowed w;
    struct end c, d;
    REQUIRE(windowed_open(&w, IBV_MW_TYPE_2, (struct qp_options){0}));
    REQUIRE(make_end(&w.s.w, w.s.w.pd, (struct qp_options){0}, &c));
    REQUIRE(make_end(&w.s.w, w.s.w.pd, (struct qp_options){0}, &d));
    REQUIRE(connect_ends(&c, &d));
    const uint32_t key = ibv_inc_rkey(w.mw->rkey);
    CHECK_EQ(bind_1(&w, 1, into(&w.m, FIRST, BYTES_IN, WRITE)), EINVAL); /* ibv_bind_mw() is for type 1 */
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, into(&w.m, FIRST, BYTES_IN, WRITE)), 0);
    SENT(&w.s.b, 1, IBV_WC_SUCCESS);
    writes(&w, key, FIRST, IBV_WC_SUCCESS);
    struct request other = write_of(2, part(&w.s.local, 0, 8), &w.m, FIRST + 8);
    other.rkey = key;
    CHECK_EQ(post(&c, other), 0);
    SENT(&c, 2, IBV_WC_REM_ACCESS_ERR);
    CHECK(all_bytes_are(w.m.bytes + FIRST + 8, 8, REMOTE_FILL));
    CHECK_EQ(bind_2(&w.s.b, 3, w.mw, ibv_inc_rkey(key), into(&w.m, 0, 8, WRITE)), EINVAL); /* it is bound */
    writes(&w, key, FIRST, IBV_WC_SUCCESS);
    windowed_close(&w);
}

static void a_window_of_type_2_is_unbound_by_invalidation(void) {
    struct windowed w;
    REQUIRE(windowed_open(&w, IBV_MW_TYPE_2, (struct qp_options){0}));
    uint32_t key = ibv_inc_rkey(w.mw->rkey);
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, into(&w.m, FIRST, BYTES_IN, WRITE)), 0);
    SENT(&w.s.b, 1, IBV_WC_SUCCESS);
    CHECK_EQ(post(&w.s.b, (struct request){.opcode = IBV_WR_LOCAL_INV, .id = 2, .invalidate = key}), 0);
    SENT(&w.s.b, 2, IBV_WC_SUCCESS);
    writes(&w, key, FIRST, IBV_WC_REM_ACCESS_ERR);

    key = ibv_inc_rkey(key);
    CHECK_EQ(bind_2(&w.s.b, 3, w.mw, key, into(&w.m, FIRST, BYTES_IN, WRITE)), 0);
    SENT(&w.s.b, 3, IBV_WC_SUCCESS);
    writes(&w, key, FIRST, IBV_WC_SUCCESS);
    CHECK_EQ(receive(&w.s.b, 4, part(&w.s.remote, 0, 8)), 0);
    struct request send = send_of(5, part(&w.s.local, 0, 8));
    send.opcode = IBV_WR_SEND_WITH_INV;
    send.invalidate = key;
    CHECK_EQ(post(&w.s.a, send), 0);
    SENT(&w.s.a, 5, IBV_WC_SUCCESS);
    const struct ibv_wc received = RECEIVED(&w.s.b, 4, IBV_WC_SUCCESS);
    CHECK(received.wc_flags & IBV_WC_WITH_INV);
    CHECK_EQ(received.invalidated_rkey, key);
    writes(&w, key, FIRST, IBV_WC_REM_ACCESS_ERR);

    key = ibv_inc_rkey(key);
    CHECK_EQ(bind_2(&w.s.b, 6, w.mw, key, into(&w.m, FIRST, BYTES_IN, WRITE)), 0);
    SENT(&w.s.b, 6, IBV_WC_SUCCESS);
    CHECK_EQ(ibv_dealloc_mw(w.mw), 0);
    w.mw = NULL;
    writes(&w, key, FIRST, IBV_WC_REM_ACCESS_ERR);
    windowed_close(&w);
}

static void a_window_grants_what_it_was_bound_with(void) {
    struct windowed w;
    REQUIRE(windowed_open(&w, IBV_MW_TYPE_2, (struct qp_options){0}));
    const uint32_t key = ibv_inc_rkey(w.mw->rkey);
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, into(&w.m, FIRST, BYTES_IN, READ)), 0);
    SENT(&w.s.b, 1, IBV_WC_SUCCESS);
    writes(&w, key, FIRST, IBV_WC_REM_ACCESS_ERR);
    struct request read = read_of(2, part(&w.s.local, 0, 8), &w.m, FIRST);
    read.rkey = key;
    CHECK_EQ(post(&w.s.a, read), 0);
    SENT(&w.s.a, 2, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(w.s.local.bytes, 8, REMOTE_FILL));
    windowed_close(&w);
}

/* A key of a window is for peers. */
static void a_window_has_no_local_key(void) {
    struct windowed w;
    REQUIRE(windowed_open(&w, IBV_MW_TYPE_2, (struct qp_options){0}));
    const uint32_t key = ibv_inc_rkey(w.mw->rkey);
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, into(&w.m, FIRST, BYTES_IN, WRITE | READ)), 0);
    SENT(&w.s.b, 1, IBV_WC_SUCCESS);
    struct request r = write_of(2, part(&w.m, FIRST, 8), &w.s.remote, 0);
    r.sge.lkey = key;
    CHECK_EQ(post(&w.s.b, r), EINVAL);
    windowed_close(&w);
}

static void bindings_that_are_not_allowed(void) {
    struct windowed w;
    REQUIRE(windowed_open(&w, IBV_MW_TYPE_2, (struct qp_options){0}));
    const uint32_t key = ibv_inc_rkey(w.mw->rkey);
    const struct ibv_mw_bind_info good = into(&w.m, FIRST, BYTES_IN, WRITE);
    struct ibv_mw_bind_info bad = good;
    CHECK_EQ(bind_2(&w.s.b, 1, NULL, key, good), EINVAL);
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key + 256, good), EINVAL); /* the key of another window */
    bad.mw_access_flags = WRITE | IBV_ACCESS_MW_BIND;
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, bad), EINVAL);
    bad.mw_access_flags = WRITE | IBV_ACCESS_ZERO_BASED;
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, bad), EINVAL);
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, into(&w.m, FIRST, 0, WRITE)), EINVAL);
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, into(&w.m, -1, 8, WRITE)), EINVAL);
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, into(&w.m, 0, SCENE_BYTES + 1, WRITE)), EINVAL);
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, into(&w.m, 8, UINT64_MAX, WRITE)), EINVAL);
    bad = good;
    bad.mr = NULL;
    CHECK(bind_2(&w.s.b, 1, w.mw, key, bad) != 0);
    CHECK(bind_2(&w.s.b, 1, w.mw, key, into(&w.s.remote, 0, 8, WRITE)) != 0); /* without MW_BIND */
    struct memory of_other, read_only;
    const int binds = IBV_ACCESS_MW_BIND;
    REQUIRE(make_memory(&w.s.w, w.s.w.other_pd, 64, 1, binds | IBV_ACCESS_LOCAL_WRITE, &of_other));
    REQUIRE(make_memory(&w.s.w, w.s.w.pd, 64, 1, binds, &read_only));
    CHECK(bind_2(&w.s.b, 1, w.mw, key, into(&of_other, 0, 8, WRITE)) != 0);
    CHECK(bind_2(&w.s.b, 1, w.mw, key, into(&read_only, 0, 8, WRITE)) != 0);
    struct ibv_mr *everything =
        ibv_reg_mr(w.s.w.pd, NULL, SIZE_MAX, IBV_ACCESS_ON_DEMAND | IBV_ACCESS_LOCAL_WRITE | binds);
    REQUIRE(everything);
    bad.mr = everything;
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, bad), EINVAL);
    CHECK_EQ(ibv_dereg_mr(everything), 0);
    IS_EMPTY(w.s.b.scq);
    CHECK_EQ(bind_2(&w.s.b, 1, w.mw, key, good), 0); /* it was nothing but this */
    SENT(&w.s.b, 1, IBV_WC_SUCCESS);
    windowed_close(&w);
}

static void a_window_is_bound_by_a_function_call(void) {
    struct windowed w;
    REQUIRE(windowed_open(&w, IBV_MW_TYPE_2,
                          (struct qp_options){.send_ops = IBV_QP_EX_WITH_BIND_MW | IBV_QP_EX_WITH_SEND}));
    struct ibv_qp_ex *ex = ibv_qp_to_qp_ex(w.s.a.qp);
    const uint32_t key = ibv_inc_rkey(w.mw->rkey);
    const struct ibv_mw_bind_info info = into(&w.m, FIRST, BYTES_IN, WRITE | IBV_ACCESS_LOCAL_WRITE);
    REQUIRE(ex);
    ibv_wr_start(ex);
    ex->wr_id = 1;
    ex->wr_flags = IBV_SEND_SIGNALED;
    ibv_wr_bind_mw(ex, NULL, key, &info);
    CHECK_EQ(ibv_wr_complete(ex), EINVAL);
    ibv_wr_start(ex);
    ibv_wr_bind_mw(ex, w.mw, key, &info);
    CHECK_EQ(ibv_wr_complete(ex), 0);
    CHECK_EQ(SENT(&w.s.a, 1, IBV_WC_SUCCESS).opcode, IBV_WC_BIND_MW);
    struct request r = write_of(2, part(&w.s.local, 0, 8), &w.m, FIRST); /* b is a's peer */
    r.rkey = key;
    CHECK_EQ(post(&w.s.b, r), 0);
    SENT(&w.s.b, 2, IBV_WC_SUCCESS);
    /* In a list all is posted or nothing, so what a binding finds out then comes as a completion. */
    ibv_wr_start(ex);
    ibv_wr_bind_mw(ex, w.mw, ibv_inc_rkey(key), &info);
    CHECK_EQ(ibv_wr_complete(ex), 0);
    CHECK_EQ(SENT(&w.s.a, 1, IBV_WC_MW_BIND_ERR).opcode, IBV_WC_BIND_MW);
    windowed_close(&w);
}

/* --- re-registration --- */

/* a writes 8 bytes to b's memory, by its present key. */
static void can_be_written(struct scene *s, enum ibv_wc_status status) {
    CHECK_EQ(post(&s->a, write_of(5, part(&s->local, 0, 8), &s->remote, 0)), 0);
    SENT(&s->a, 5, status);
}

static void rights_can_change(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    const uint32_t key = s.remote.mr->rkey;
    CHECK_EQ(ibv_rereg_mr(s.remote.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, IBV_ACCESS_LOCAL_WRITE), 0);
    CHECK_EQ(s.remote.mr->rkey, key);
    can_be_written(&s, IBV_WC_REM_ACCESS_ERR);
    CHECK(all_bytes_are(s.remote.bytes, SCENE_BYTES, REMOTE_FILL));
    scene_close(&s);
}

static void the_memory_can_change(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    const uint32_t old = s.remote.mr->rkey;
    unsigned char *other = calloc(1, 4096);
    REQUIRE(other && world_keep(&s.w, BYTES, other));
    CHECK_EQ(ibv_rereg_mr(s.remote.mr, IBV_REREG_MR_CHANGE_TRANSLATION, NULL, other, 4096, 0), 0);
    CHECK_PTR_EQ(s.remote.mr->addr, other);
    CHECK_EQ(s.remote.mr->length, 4096);
    CHECK_EQ(s.remote.mr->lkey, s.remote.mr->rkey);
    struct request r = write_of(1, part(&s.local, 0, 8), &s.remote, 0);
    r.remote_addr = (uintptr_t)other + 4088;
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(other + 4088, 8, LOCAL_FILL));
    r.rkey = old;
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 1, IBV_WC_REM_ACCESS_ERR);
    CHECK(all_bytes_are(s.remote.bytes, SCENE_BYTES, REMOTE_FILL));
    CHECK_EQ(world_destroy(&s.w, s.remote.mr), 0); /* before `other` is freed */
    scene_close(&s);
}

static void the_domain_can_change(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_pd *pd = ibv_alloc_pd(s.w.context), *first = s.w.pd;
    REQUIRE(pd);
    CHECK_EQ(ibv_rereg_mr(s.remote.mr, IBV_REREG_MR_CHANGE_PD, pd, NULL, 0, 0), 0);
    CHECK_PTR_EQ(s.remote.mr->pd, pd);
    CHECK_EQ(ibv_dealloc_pd(pd), EBUSY);
    can_be_written(&s, IBV_WC_REM_ACCESS_ERR);
    CHECK_EQ(ibv_rereg_mr(s.remote.mr, IBV_REREG_MR_CHANGE_PD, first, NULL, 0, 0), 0);
    CHECK_EQ(ibv_dealloc_pd(pd), 0);
    CHECK_EQ(to_state(&s.a, IBV_QPS_RESET), 0);
    CHECK_EQ(to_state(&s.b, IBV_QPS_RESET), 0);
    REQUIRE(connect_ends(&s.a, &s.b));
    can_be_written(&s, IBV_WC_SUCCESS);
    scene_close(&s);
}

/* The region stays what it was. */
#define REFUSED(error, ...)                                                                                  \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        CHECK_EQ(ibv_rereg_mr(__VA_ARGS__), IBV_REREG_MR_ERR_INPUT);                                         \
        CHECK_EQ(errno, (error));                                                                            \
        can_be_written(&s, IBV_WC_SUCCESS);                                                                  \
    } while (0)

static void wrong_changes_leave_the_region_as_it_was(void) {
    enum {
        ACCESS = IBV_REREG_MR_CHANGE_ACCESS,
        DOMAIN = IBV_REREG_MR_CHANGE_PD,
        MOVE = IBV_REREG_MR_CHANGE_TRANSLATION,
    };
    struct scene s;
    struct world other;
    REQUIRE(scene_open(&s));
    REQUIRE(world_open(&other));
    struct ibv_mr *mr = s.remote.mr;
    unsigned char *bytes = s.remote.bytes;
    REFUSED(EINVAL, mr, 0, NULL, NULL, 0, ALL_RIGHTS);
    REFUSED(EINVAL, mr, 8, NULL, NULL, 0, ALL_RIGHTS);
    REFUSED(EINVAL, mr, ACCESS | 1 << 30, NULL, NULL, 0, ALL_RIGHTS);
    REFUSED(EINVAL, mr, ACCESS, NULL, NULL, 0, WRITE);
    REFUSED(EINVAL, mr, ACCESS, NULL, NULL, 0, 1 << 19);
    REFUSED(EINVAL, mr, DOMAIN, NULL, NULL, 0, 0);
    REFUSED(EINVAL, mr, DOMAIN, other.pd, NULL, 0, 0); /* of another context */
    REFUSED(EINVAL, mr, MOVE, NULL, NULL, 64, 0);
    REFUSED(EINVAL, mr, MOVE, NULL, bytes, 0, 0);
    REFUSED(EFAULT, mr, MOVE, NULL, (void *)8, 64, 0);
    REFUSED(EFAULT, mr, MOVE, NULL, bytes, SIZE_MAX, 0);
    REFUSED(EINVAL, mr, ACCESS | DOMAIN, NULL, NULL, 0, ALL_RIGHTS);
    CHECK_EQ(ibv_rereg_mr(NULL, ACCESS, NULL, NULL, 0, ALL_RIGHTS), IBV_REREG_MR_ERR_INPUT);
    struct ibv_mr *import = ibv_import_mr(s.w.pd, mr->handle);
    REQUIRE(import);
    REFUSED(EOPNOTSUPP, import, ACCESS, NULL, NULL, 0, ALL_RIGHTS);
    ibv_unimport_mr(import);
    struct ibv_mr *everything = ibv_reg_mr(s.w.pd, NULL, SIZE_MAX, IBV_ACCESS_ON_DEMAND);
    REQUIRE(everything);
    REFUSED(EOPNOTSUPP, everything, ACCESS, NULL, NULL, 0, ALL_RIGHTS);
    CHECK_EQ(ibv_dereg_mr(everything), 0);
    world_close(&other);
    scene_close(&s);
}

static void a_window_keeps_its_region_as_it_is(void) {
    struct windowed w;
    REQUIRE(windowed_open(&w, IBV_MW_TYPE_1, (struct qp_options){0}));
    CHECK_EQ(bind_1(&w, 1, into(&w.m, FIRST, BYTES_IN, WRITE)), 0);
    SENT(&w.s.b, 1, IBV_WC_SUCCESS);
    errno = 0;
    CHECK_EQ(ibv_rereg_mr(w.m.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, 0), IBV_REREG_MR_ERR_INPUT);
    CHECK_EQ(errno, EBUSY);
    writes(&w, w.mw->rkey, FIRST, IBV_WC_SUCCESS);
    windowed_close(&w);
}

CHECK_MAIN(TEST(windows_are_made_and_counted), TEST(a_window_of_type_1_opens_a_part_and_moves),
           TEST(a_window_of_type_2_is_for_one_queue_pair),
           TEST(a_window_of_type_2_is_unbound_by_invalidation), TEST(a_window_grants_what_it_was_bound_with),
           TEST(a_window_has_no_local_key), TEST(bindings_that_are_not_allowed),
           TEST(a_window_is_bound_by_a_function_call), TEST(rights_can_change), TEST(the_memory_can_change),
           TEST(the_domain_can_change), TEST(wrong_changes_leave_the_region_as_it_was),
           TEST(a_window_keeps_its_region_as_it_is))
