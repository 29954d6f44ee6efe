/* SPDX-License-Identifier: BSD-3-Clause */
/* The order in which objects can be destroyed, and what stays after they are. */
#include <dirent.h>

#include "traffic.h"

static void a_domain_with_children_cannot_be_freed(void) {
    struct world w;
    REQUIRE(world_open(&w));
    struct ibv_pd *pd = ibv_alloc_pd(w.context);
    REQUIRE(world_keep(&w, PD, pd));

    struct memory m;
    REQUIRE(make_memory(&w, pd, 64, 0, ALL_RIGHTS, &m));
    CHECK_EQ(world_destroy(&w, pd), EBUSY);
    CHECK_EQ(world_destroy(&w, m.mr), 0);

    struct end end;
    REQUIRE(make_end(&w, pd, (struct qp_options){0}, &end));
    CHECK_EQ(world_destroy(&w, pd), EBUSY);
    CHECK_EQ(world_destroy(&w, end.qp), 0);

    struct ibv_srq *srq;
    REQUIRE(make_srq(&w, pd, 4, 1, &srq));
    CHECK_EQ(world_destroy(&w, pd), EBUSY);
    CHECK_EQ(world_destroy(&w, srq), 0);

    struct ibv_ah *ah;
    REQUIRE(make_ah(&w, pd, &ah));
    CHECK_EQ(world_destroy(&w, pd), EBUSY);
    CHECK_EQ(world_destroy(&w, ah), 0);

    CHECK_EQ(world_destroy(&w, pd), 0);
    world_close(&w);
}

/* A parent domain stands for a domain, with a thread domain or without. */
static void parent_domains_keep_what_they_are_made_of(void) {
    struct world w;
    struct memory m;
    struct end end;
    REQUIRE(world_open(&w));
    struct ibv_pd *pd = ibv_alloc_pd(w.context);
    REQUIRE(world_keep(&w, PD, pd));
    struct ibv_td *td = ibv_alloc_td(w.context, &(struct ibv_td_init_attr){0});
    REQUIRE(td);
    struct ibv_pd *parent =
        ibv_alloc_parent_domain(w.context, &(struct ibv_parent_domain_init_attr){.pd = pd, .td = td});
    REQUIRE(world_keep(&w, PD, parent));
    CHECK_EQ(world_destroy(&w, pd), EBUSY);
    CHECK_EQ(ibv_dealloc_td(td), EBUSY);
    REQUIRE(make_memory(&w, pd, 64, 0, ALL_RIGHTS, &m));
    REQUIRE(make_end(&w, parent, (struct qp_options){0}, &end));
    CHECK_EQ(world_destroy(&w, parent), EBUSY);
    REQUIRE(bring_up(&end, end.qp->qp_num));
    /* Queue pairs of the parent domain use regions of the domain. */
    CHECK_EQ(post(&end, write_of(1, part(&m, 0, 8), &m, 8)), 0);
    SENT(&end, 1, IBV_WC_SUCCESS);
    CHECK_EQ(world_destroy(&w, end.qp), 0);
    CHECK_EQ(world_destroy(&w, parent), 0);
    CHECK_EQ(ibv_dealloc_td(td), 0);
    CHECK_EQ(world_destroy(&w, pd), EBUSY); /* the region */
    CHECK_EQ(world_destroy(&w, m.mr), 0);
    CHECK_EQ(world_destroy(&w, pd), 0);
    world_close(&w);
}

static void a_completion_queue_in_use_cannot_be_destroyed(void) {
    struct world w;
    struct end end;
    REQUIRE(world_open(&w));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){0}, &end));
    CHECK_EQ(world_destroy(&w, end.scq), EBUSY);
    CHECK_EQ(world_destroy(&w, end.rcq), EBUSY);
    /* The refusals changed nothing: the queue pair still works. */
    struct memory m;
    REQUIRE(make_memory(&w, w.pd, 64, 0, ALL_RIGHTS, &m));
    REQUIRE(bring_up(&end, end.qp->qp_num));
    CHECK_EQ(post(&end, write_of(1, part(&m, 0, 8), &m, 8)), 0);
    SENT(&end, 1, IBV_WC_SUCCESS);
    CHECK_EQ(world_destroy(&w, end.qp), 0);
    CHECK_EQ(world_destroy(&w, end.scq), 0);
    CHECK_EQ(world_destroy(&w, end.rcq), 0);
    world_close(&w);
}

static void a_shared_receive_queue_in_use_cannot_be_destroyed(void) {
    struct world w;
    struct end end;
    REQUIRE(world_open(&w));
    struct ibv_srq *srq;
    REQUIRE(make_srq(&w, w.pd, 4, 1, &srq));
    REQUIRE(make_end(&w, w.pd, (struct qp_options){.srq = srq}, &end));
    CHECK_EQ(world_destroy(&w, srq), EBUSY);
    CHECK_EQ(world_destroy(&w, end.qp), 0);
    CHECK_EQ(world_destroy(&w, srq), 0);
    world_close(&w);
}

/* Completions of a queue pair can be polled after it was destroyed. */
static void completions_outlive_their_queue_pair(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    uint32_t qpn = s.a.qp->qp_num;
    CHECK_EQ(post(&s.a, write_of(1, part(&s.local, 0, 8), &s.remote, 0)), 0);
    CHECK_EQ(world_destroy(&s.w, s.a.qp), 0);
    struct ibv_wc wc;
    REQUIRE(next_completion(s.a.scq, &wc, __FILE__, __LINE__));
    CHECK_EQ(wc.wr_id, 1);
    CHECK_EQ(wc.qp_num, qpn);
    scene_close(&s);
}

/* Work that is queued in a queue pair when it is destroyed gives no completions and holds no region. */
static void destroying_a_queue_pair_drops_its_work(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.rnr_retry = 7, .min_rnr_timer = 1}));
    CHECK_EQ(post(&s.a, send_of(1, part(&s.local, 0, 8))), 0);
    CHECK_EQ(receive(&s.a, 2, part(&s.local, 0, 8)), 0);
    CHECK_EQ(world_destroy(&s.w, s.a.qp), 0);
    sleep_ms(A_MOMENT_MS);
    IS_EMPTY(s.a.scq);
    IS_EMPTY(s.a.rcq);
    CHECK_EQ(world_destroy(&s.w, s.local.mr), 0);
    scene_close(&s);
}

/* Closing the device ends its objects. The program may still call the verbs that destroy them. */
static void objects_can_be_destroyed_after_their_device_was_closed(void) {
    struct scene s;
    REQUIRE(scene_open_with(&s, (struct qp_options){.inline_data = 16}));
    struct ibv_ah *ah;
    REQUIRE(make_ah(&s.w, s.w.pd, &ah));
    struct ibv_srq *srq;
    REQUIRE(make_srq(&s.w, s.w.pd, 4, 1, &srq));
    struct ibv_comp_channel *channel;
    REQUIRE(make_channel(&s.w, &channel));
    struct ibv_cq *cq;
    REQUIRE(make_cq(&s.w, 4, channel, &cq));
    struct ibv_context *context = s.w.context;
    world_forget(&s.w, context);
    CHECK_EQ(ibv_close_device(context), 0);
    scene_close(&s);
}

static int open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    if (!directory)
        return -1;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* A program that opens and closes the device for ever does not run out of descriptors. */
static void closing_gives_descriptors_back(void) {
    int before = 0;
    for (int i = 0; i < 50; i++) {
        struct scene s;
        REQUIRE(scene_open(&s));
        struct ibv_comp_channel *channel;
        REQUIRE(make_channel(&s.w, &channel));
        struct ibv_cq *cq;
        REQUIRE(make_cq(&s.w, 4, channel, &cq));
        scene_close(&s);
        if (i == 5)
            before = open_descriptors();
    }
    CHECK(before > 0);
    CHECK_EQ(open_descriptors(), before);
}

/* Two contexts of one process use the same device, so their queue pairs reach each other. A key is valid in the
 * queue pairs of its own domain only. */
static void queue_pairs_of_two_contexts_reach_each_other(void) {
    struct world first, second;
    struct end a, b;
    struct memory local, remote;
    REQUIRE(world_open(&first));
    REQUIRE(world_open(&second));
    REQUIRE(make_memory(&first, first.pd, 64, 1, ALL_RIGHTS, &local));
    REQUIRE(make_memory(&second, second.pd, 64, 2, ALL_RIGHTS, &remote));
    REQUIRE(make_end(&first, first.pd, (struct qp_options){0}, &a));
    REQUIRE(make_end(&second, second.pd, (struct qp_options){0}, &b));
    CHECK(a.qp->qp_num != b.qp->qp_num);
    REQUIRE(connect_ends(&a, &b));
    CHECK_EQ(post(&a, write_of(1, part(&local, 0, 8), &remote, 0)), 0);
    SENT(&a, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(remote.bytes, 8, 1));
    /* an lkey of the other context */
    CHECK_EQ(post(&a, write_of(2, part(&remote, 0, 8), &remote, 8)), EINVAL);
    /* an rkey of this context */
    CHECK_EQ(post(&a, write_of(3, part(&local, 0, 8), &local, 32)), 0);
    SENT(&a, 3, IBV_WC_REM_ACCESS_ERR);
    world_close(&second);
    world_close(&first);
}

/* Objects of one context cannot be combined with those of another. */
static void objects_of_two_contexts_cannot_be_combined(void) {
    struct world first, second;
    struct ibv_cq *mine, *other;
    REQUIRE(world_open(&first));
    REQUIRE(world_open(&second));
    REQUIRE(make_cq(&first, 4, NULL, &mine));
    REQUIRE(make_cq(&second, 4, NULL, &other));
    struct ibv_qp_init_attr init = {
        .send_cq = mine,
        .recv_cq = other,
        .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
        .qp_type = IBV_QPT_RC};
    errno = 0;
    CHECK_PTR_EQ(ibv_create_qp(first.pd, &init), NULL);
    CHECK_EQ(errno, EINVAL);
    world_close(&second);
    world_close(&first);
}

CHECK_MAIN(TEST(a_domain_with_children_cannot_be_freed), TEST(parent_domains_keep_what_they_are_made_of),
           TEST(a_completion_queue_in_use_cannot_be_destroyed),
           TEST(a_shared_receive_queue_in_use_cannot_be_destroyed),
           TEST(completions_outlive_their_queue_pair), TEST(destroying_a_queue_pair_drops_its_work),
           TEST(objects_can_be_destroyed_after_their_device_was_closed), TEST(closing_gives_descriptors_back),
           TEST(queue_pairs_of_two_contexts_reach_each_other),
           TEST(objects_of_two_contexts_cannot_be_combined))
