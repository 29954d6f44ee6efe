/* SPDX-License-Identifier: BSD-3-Clause */
/* Atomic operations of 8 bytes. */
#include "threads.h"

static uint64_t value_at(const struct memory *m, size_t offset) {
    uint64_t value;
    memcpy(&value, m->bytes + offset, 8);
    return value;
}

static void put_value(struct memory *m, size_t offset, uint64_t value) {
    memcpy(m->bytes + offset, &value, 8);
}

static void fetch_and_add_returns_the_old_value(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    put_value(&s.remote, 8, UINT64_MAX - 1);
    CHECK_EQ(post(&s.a, fetch_add_of(1, part(&s.local, 0, 8), &s.remote, 8, 5)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(value_at(&s.local, 0), UINT64_MAX - 1);
    CHECK_EQ(value_at(&s.remote, 8), 3); /* modulo 2^64 */
    CHECK(all_bytes_are(s.remote.bytes, 8, REMOTE_FILL));
    CHECK(all_bytes_are(s.remote.bytes + 16, 8, REMOTE_FILL));
    CHECK(all_bytes_are(s.local.bytes + 8, 8, LOCAL_FILL));
    scene_close(&s);
}

static void compare_and_swap_swaps_only_the_expected_value(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    put_value(&s.remote, 0, 10);
    CHECK_EQ(post(&s.a, swap_of(1, part(&s.local, 0, 8), &s.remote, 0, 11, 99)), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(value_at(&s.local, 0), 10);
    CHECK_EQ(value_at(&s.remote, 0), 10);
    CHECK_EQ(post(&s.a, swap_of(2, part(&s.local, 8, 8), &s.remote, 0, 10, 99)), 0);
    SENT(&s.a, 2, IBV_WC_SUCCESS);
    CHECK_EQ(value_at(&s.local, 8), 10);
    CHECK_EQ(value_at(&s.remote, 0), 99);
    scene_close(&s);
}

static void a_misaligned_remote_address_is_an_invalid_request(void) {
    static const int64_t offsets[] = {1, 4, 7};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
        for (int kind = 0; kind < 2; kind++) {
            struct scene s;
            REQUIRE(scene_open(&s));
            struct ibv_sge sge = part(&s.local, 0, 8);
            CHECK_EQ(post(&s.a, kind ? fetch_add_of(1, sge, &s.remote, offsets[i], 1)
                                     : swap_of(1, sge, &s.remote, offsets[i], 0, 1)),
                     0);
            SENT(&s.a, 1, IBV_WC_REM_INV_REQ_ERR);
            CHECK_EQ(state_of(&s.b), IBV_QPS_ERR);
            CHECK(all_bytes_are(s.remote.bytes, 64, REMOTE_FILL));
            CHECK(all_bytes_are(s.local.bytes, 64, LOCAL_FILL));
            scene_close(&s);
        }
}

static void the_local_element_must_hold_8_aligned_bytes(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    CHECK_EQ(post(&s.a, fetch_add_of(1, part(&s.local, 0, 7), &s.remote, 0, 1)), EINVAL);
    CHECK_EQ(post(&s.a, fetch_add_of(2, part(&s.local, 4, 8), &s.remote, 0, 1)), EINVAL);
    CHECK_EQ(post(&s.a, fetch_add_of(3, (struct ibv_sge){0}, &s.remote, 0, 1)), EINVAL);
    IS_EMPTY(s.a.scq);
    CHECK(all_bytes_are(s.remote.bytes, 64, REMOTE_FILL));
    CHECK_EQ(state_of(&s.a), IBV_QPS_RTS);
    scene_close(&s);
}

/* max_rd_atomic 0: the queue pair has no resources for reads and atomics. */
static void without_resources_reads_and_atomics_are_refused(void) {
    struct scene s;
    struct ibv_qp_attr attr;
    REQUIRE(scene_open_in_rtr(&s));
    int mask = rts_attributes(&s.a, &attr);
    attr.max_rd_atomic = 0;
    CHECK_EQ(ibv_modify_qp(s.a.qp, &attr, mask), 0);
    CHECK_EQ(post(&s.a, read_of(1, part(&s.local, 0, 8), &s.remote, 0)), EINVAL);
    CHECK_EQ(post(&s.a, fetch_add_of(2, part(&s.local, 0, 8), &s.remote, 0, 1)), EINVAL);
    CHECK_EQ(post(&s.a, write_of(3, part(&s.local, 0, 8), &s.remote, 0)), 0);
    SENT(&s.a, 3, IBV_WC_SUCCESS);
    scene_close(&s);
}

/* --- several requesters --- */

enum { REQUESTERS = 4, ADDITIONS = 2000 };

struct requester {
    struct end a, b;
    struct memory old_value;
    const struct memory *counter;
    struct task task;
};

static void add_many_times(void *argument) {
    struct requester *r = argument;
    for (uint64_t i = 0; i < ADDITIONS; i++) {
        CHECK_EQ(post(&r->a, fetch_add_of(i, part(&r->old_value, 0, 8), r->counter, 0, 1)), 0);
        SENT(&r->a, i, IBV_WC_SUCCESS);
    }
}

static void atomics_of_several_threads_do_not_lose_an_addition(void) {
    struct world w;
    struct memory counter;
    static struct requester requesters[REQUESTERS];
    REQUIRE(world_open(&w));
    REQUIRE(make_memory(&w, w.pd, 8, 0, ALL_RIGHTS, &counter));
    for (int i = 0; i < REQUESTERS; i++) {
        struct requester *r = &requesters[i];
        REQUIRE(make_memory(&w, w.pd, 8, 0, ALL_RIGHTS, &r->old_value));
        REQUIRE(make_end(&w, w.pd, (struct qp_options){0}, &r->a));
        REQUIRE(make_end(&w, w.pd, (struct qp_options){0}, &r->b));
        REQUIRE(connect_ends(&r->a, &r->b));
        r->counter = &counter;
    }
    for (int i = 0; i < REQUESTERS; i++)
        REQUIRE(start(&requesters[i].task, add_many_times, &requesters[i]));
    for (int i = 0; i < REQUESTERS; i++)
        finish(&requesters[i].task);
    CHECK_EQ(value_at(&counter, 0), REQUESTERS * ADDITIONS);
    world_close(&w);
}

CHECK_MAIN(TEST(fetch_and_add_returns_the_old_value), TEST(compare_and_swap_swaps_only_the_expected_value),
           TEST(a_misaligned_remote_address_is_an_invalid_request),
           TEST(the_local_element_must_hold_8_aligned_bytes),
           TEST(without_resources_reads_and_atomics_are_refused),
           TEST(atomics_of_several_threads_do_not_lose_an_addition))
