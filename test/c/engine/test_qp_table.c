/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of queue pairs, without verbs. */
#include "core/engine/qp_table.h"

#include "core/engine/engine_qp.h"
#include "verbs.h"

enum { MANY = 1000 };

static void queue_pairs_are_found_by_number(void) {
    struct verbs v;
    struct rvt_qp_table table = {0};
    REQUIRE(verbs_open(&v, AT_ONCE));
    struct rvt_engine_qp *qps = calloc(MANY, sizeof(*qps));
    REQUIRE(qps != NULL);
    CHECK_PTR_EQ(rvt_qp_table_find(&table, 2), NULL);
    for (uint32_t i = 0; i < MANY; i++) {
        qps[i].qpn = i % 2 ? i + 2 : (i * 0x9e3779u & 0xffffff) | 0x800000;
        REQUIRE(rvt_qp_table_reserve(v.device, &table));
        CHECK(!(table.size & (table.size - 1)) && table.count < table.size);
        rvt_qp_table_add(&table, &qps[i]);
    }
    CHECK_EQ(table.count, MANY);
    CHECK_EQ(rvt_held_bytes(v.device) - v.held, table.size * sizeof(void *));
    for (uint32_t i = 0; i < MANY; i++)
        CHECK_PTR_EQ(rvt_qp_table_find(&table, qps[i].qpn), &qps[i]);
    CHECK_PTR_EQ(rvt_qp_table_find(&table, 0), NULL);
    CHECK_PTR_EQ(rvt_qp_table_find(&table, 4), NULL);
    for (uint32_t i = 0; i < MANY; i += 3)
        rvt_qp_table_remove(&table, &qps[i]);
    for (uint32_t i = 0; i < MANY; i++)
        CHECK_PTR_EQ(rvt_qp_table_find(&table, qps[i].qpn), i % 3 ? &qps[i] : NULL);
    rvt_qp_table_free(v.device, &table);
    CHECK_EQ(rvt_held_bytes(v.device), v.held);
    free(qps);
    verbs_close(&v);
}

static void no_memory_leaves_the_table_as_it_was(void) {
    struct verbs v;
    struct rvt_qp_table table = {0};
    static struct rvt_engine_qp qps[64];
    REQUIRE(verbs_open(&v, AT_ONCE));
    rvt_test_alloc_fail_after(0);
    CHECK(!rvt_qp_table_reserve(v.device, &table));
    rvt_test_alloc_fail_after(-1);
    CHECK_PTR_EQ(rvt_qp_table_find(&table, 2), NULL);
    for (uint32_t i = 0; i < 64; i++) {
        qps[i].qpn = i + 2;
        CHECK(rvt_qp_table_reserve(v.device, &table));
        rvt_qp_table_add(&table, &qps[i]);
    }
    rvt_test_alloc_fail_after(0);
    CHECK(!rvt_qp_table_reserve(v.device, &table));
    rvt_test_alloc_fail_after(-1);
    for (uint32_t i = 0; i < 64; i++)
        CHECK_PTR_EQ(rvt_qp_table_find(&table, i + 2), &qps[i]);
    rvt_qp_table_free(v.device, &table);
    CHECK_EQ(rvt_held_bytes(v.device), v.held);
    verbs_close(&v);
}

static void lists_are_the_kernels_buckets_with_the_latest_first(void) {
    static struct rvt_engine_qp qps[3000];
    static struct rvt_qp_table table;
    for (uint32_t i = 0; i < 3000; i++) {
        qps[i].qpn = i + 2;
        rvt_qp_table_list(&table, &qps[i]);
    }
    uint32_t listed = 0;
    for (uint32_t bucket = 0; bucket < 256; bucket++) {
        uint32_t before = UINT32_MAX;
        for (struct rvt_link *link = table.buckets[bucket]; link; link = link->next, listed++) {
            const struct rvt_engine_qp *qp = RVT_LIST_ENTRY(link, struct rvt_engine_qp, in_bucket);
            CHECK_EQ((uint32_t)(qp->qpn * UINT64_C(0x61c88647)) >> 24, bucket);
            CHECK(qp->qpn < before);
            before = qp->qpn;
        }
    }
    CHECK_EQ(listed, 3000);
}

CHECK_MAIN(TEST(queue_pairs_are_found_by_number), TEST(no_memory_leaves_the_table_as_it_was),
           TEST(lists_are_the_kernels_buckets_with_the_latest_first))
