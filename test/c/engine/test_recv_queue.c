/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues of receives, without verbs. */
#include "core/engine/recv_queue.h"

#include "verbs.h"

static void receives_come_out_in_order_with_their_elements(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_recv_queue queue;
    struct rvt_rwqe wqe;
    const struct rvt_ib_sge *sges;
    uint64_t posted = 0, taken = 0;
    CHECK(rvt_recv_queue_init(v.device, &queue, 3, 2));
    CHECK(!rvt_recv_queue_take(&queue, &wqe, &sges));
    for (int round = 0; round < 20; round++) {
        while (queue.count < 3) {
            struct rvt_ib_sge own[] = {{posted, 1, 2}, {posted + 1, 3, 4}};
            CHECK_EQ(rvt_recv_queue_post(&queue, &(struct rvt_recv_wr){posted, own, posted % 3}, 0), 0);
            posted++;
        }
        FAILS_WITH(rvt_recv_queue_post(&queue, &(struct rvt_recv_wr){0, NULL, 0}, 5), RVT_ENOMEM,
                   RVT_CAUSE_QUEUE_FULL, 3, 3, 5);
        FAILS_WITH(rvt_recv_queue_post(&queue, &(struct rvt_recv_wr){0, NULL, 3}, 6), RVT_EINVAL,
                   RVT_CAUSE_WR_SGES, 3, 2, 6);
        for (int i = 0; i <= round % 3; i++, taken++) {
            REQUIRE(rvt_recv_queue_take(&queue, &wqe, &sges));
            CHECK_EQ(wqe.wr_id, taken);
            CHECK_EQ(wqe.num_sge, taken % 3);
            for (uint32_t k = 0; k < wqe.num_sge; k++)
                CHECK_EQ(sges[k].addr, taken + k);
        }
        if (round % 4 == 3)
            CHECK(rvt_recv_queue_resize(v.device, &queue, 3));
    }
    rvt_recv_queue_free(v.device, &queue);
    CHECK_EQ(rvt_held_bytes(v.device), v.held);
    verbs_close(&v);
}

static void a_queue_without_elements_or_receives_works(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_recv_queue queue;
    struct rvt_rwqe wqe;
    const struct rvt_ib_sge *sges;
    CHECK(rvt_recv_queue_init(v.device, &queue, 1, 0));
    CHECK_EQ(rvt_recv_queue_post(&queue, &(struct rvt_recv_wr){4, NULL, 0}, 0), 0);
    CHECK(rvt_recv_queue_resize(v.device, &queue, 2));
    CHECK(rvt_recv_queue_take(&queue, &wqe, &sges));
    CHECK_EQ(wqe.wr_id, 4);
    CHECK_PTR_EQ(sges, NULL);
    rvt_recv_queue_free(v.device, &queue);
    CHECK(rvt_recv_queue_init(v.device, &queue, 0, 5));
    CHECK(!rvt_recv_queue_take(&queue, &wqe, &sges));
    CHECK_EQ(rvt_recv_queue_post(&queue, &(struct rvt_recv_wr){4, NULL, 0}, 0), -RVT_ENOMEM);
    CHECK(rvt_recv_queue_resize(v.device, &queue, 1));
    CHECK_EQ(rvt_recv_queue_post(&queue, &(struct rvt_recv_wr){4, NULL, 0}, 0), 0);
    rvt_recv_queue_free(v.device, &queue);
    rvt_recv_queue_free(v.device, &queue); /* a freed queue is empty */
    CHECK_EQ(rvt_held_bytes(v.device), v.held);
    verbs_close(&v);
}

static void nothing_is_left_of_a_queue_that_found_no_memory(void) {
    struct verbs v;
    REQUIRE(verbs_open(&v, AT_ONCE));
    for (long n = 0; n < 2; n++) {
        struct rvt_recv_queue queue;
        const long live = rvt_test_alloc_live();
        rvt_test_alloc_fail_after(n);
        CHECK(!rvt_recv_queue_init(v.device, &queue, 3, 2));
        rvt_test_alloc_fail_after(-1);
        CHECK_EQ(rvt_test_alloc_live(), live);
        CHECK_EQ(rvt_held_bytes(v.device), v.held);
        CHECK_EQ(queue.max_wr, 0);
        CHECK(rvt_recv_queue_init(v.device, &queue, 3, 2));
        const uint64_t held = rvt_held_bytes(v.device);
        CHECK_EQ(rvt_recv_queue_post(&queue, &(struct rvt_recv_wr){4, NULL, 0}, 0), 0);
        rvt_test_alloc_fail_after(n);
        CHECK(!rvt_recv_queue_resize(v.device, &queue, 8));
        rvt_test_alloc_fail_after(-1);
        CHECK_EQ(queue.count, 1);
        CHECK_EQ(queue.max_wr, 3);
        CHECK_EQ(rvt_held_bytes(v.device), held);
        rvt_recv_queue_free(v.device, &queue);
    }
    verbs_close(&v);
}

CHECK_MAIN(TEST(receives_come_out_in_order_with_their_elements),
           TEST(a_queue_without_elements_or_receives_works),
           TEST(nothing_is_left_of_a_queue_that_found_no_memory))
