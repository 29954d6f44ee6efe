/* SPDX-License-Identifier: BSD-3-Clause */
/* On-demand regions, also implicit ones (over all memory of the process). */
#include <sys/mman.h>

#include "traffic.h"

/* Two connected queue pairs, an implicit region with all rights, and pages: two that can be written, one that
 * can only be read, and one that does not exist. */
struct everything {
    struct scene s;
    struct memory all; /* the implicit region; its bytes are those of the pages */
    size_t page;
    unsigned char *writable, *readable, *missing;
};

static struct ibv_mr *implicit_region(struct ibv_pd *pd, int access) {
    return ibv_reg_mr(pd, NULL, SIZE_MAX, IBV_ACCESS_ON_DEMAND | access);
}

static bool everything_open(struct everything *e) {
    if (!scene_open(&e->s))
        return false;
    e->page = (size_t)sysconf(_SC_PAGESIZE);
    e->writable = mmap(NULL, 4 * e->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (e->writable == MAP_FAILED)
        return false;
    e->readable = e->writable + 2 * e->page;
    e->missing = e->writable + 3 * e->page;
    memset(e->writable, 1, 3 * e->page);
    e->all = (struct memory){.bytes = e->writable, .mr = implicit_region(e->s.w.pd, ALL_RIGHTS)};
    return mprotect(e->readable, e->page, PROT_READ) == 0 && munmap(e->missing, e->page) == 0 &&
           world_keep(&e->s.w, MR, e->all.mr);
}

static void everything_close(struct everything *e) {
    scene_close(&e->s);
    munmap(e->writable, 3 * e->page);
}

/* Both sides by the same key: memory of the program, of the C library's heap, and of the stack. */
static void an_implicit_region_covers_all_memory(void) {
    struct everything e;
    unsigned char on_stack[64], *on_heap = calloc(1, 64);
    REQUIRE(everything_open(&e) && on_heap);
    memset(on_stack, 7, sizeof(on_stack));
    struct ibv_sge from_stack = {.addr = (uintptr_t)on_stack, .length = 64, .lkey = e.all.mr->lkey};
    struct request r = {.opcode = IBV_WR_RDMA_WRITE,
                        .id = 1,
                        .sge = from_stack,
                        .remote_addr = (uintptr_t)on_heap,
                        .rkey = e.all.mr->rkey};
    CHECK_EQ(post(&e.s.a, r), 0);
    SENT(&e.s.a, 1, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(on_heap, 64, 7));
    CHECK_EQ(post(&e.s.a, write_of(2, from_stack, &e.all, 0)), 0);
    SENT(&e.s.a, 2, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(e.writable, 64, 7));
    CHECK_EQ(receive(&e.s.b, 3, part(&e.all, 64, 64)), 0);
    CHECK_EQ(post(&e.s.a, send_of(4, from_stack)), 0);
    SENT(&e.s.a, 4, IBV_WC_SUCCESS);
    RECEIVED(&e.s.b, 3, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(e.writable + 64, 64, 7));
    free(on_heap);
    everything_close(&e);
}

static void local_memory_that_does_not_exist_is_refused(void) {
    struct everything e;
    REQUIRE(everything_open(&e));
    const int64_t missing = (int64_t)(3 * e.page), readable = (int64_t)(2 * e.page);
    CHECK_EQ(post(&e.s.a, send_of(1, part(&e.all, missing, 8))), EINVAL);
    CHECK_EQ(post(&e.s.a, send_of(2, part(&e.all, missing - 4, 8))), EINVAL); /* half of it */
    CHECK_EQ(post(&e.s.a, send_of(3, (struct ibv_sge){.addr = 8, .length = 8, .lkey = e.all.mr->lkey})),
             EINVAL);
    struct ibv_sge wraps = {.addr = UINT64_MAX - 3, .length = 8, .lkey = e.all.mr->lkey};
    CHECK_EQ(post(&e.s.a, send_of(4, wraps)), EINVAL);
    /* Memory that can only be read can be sent, but not be the target of a read. */
    CHECK_EQ(post(&e.s.a, read_of(5, part(&e.all, readable, 8), &e.s.remote, 0)), EINVAL);
    CHECK_EQ(post(&e.s.a, fetch_add_of(6, part(&e.all, readable, 8), &e.s.remote, 0, 1)), EINVAL);
    IS_EMPTY(e.s.a.scq);
    CHECK_EQ(post(&e.s.a, write_of(7, part(&e.all, readable, 8), &e.s.remote, 0)), 0);
    SENT(&e.s.a, 7, IBV_WC_SUCCESS);
    CHECK(all_bytes_are(e.s.remote.bytes, 8, 1));
    everything_close(&e);
}

static void remote_memory_that_does_not_exist_is_an_access_error(void) {
    for (int kind = 0; kind < 4; kind++) {
        struct everything e;
        REQUIRE(everything_open(&e));
        const int64_t missing = (int64_t)(3 * e.page), readable = (int64_t)(2 * e.page);
        struct ibv_sge sge = part(&e.s.local, 0, 8);
        CHECK_EQ(post(&e.s.a, kind == 0   ? write_of(1, sge, &e.all, missing)
                              : kind == 1 ? read_of(1, sge, &e.all, missing - 4)
                              : kind == 2 ? write_of(1, sge, &e.all, readable)
                                          : fetch_add_of(1, sge, &e.all, readable, 1)),
                 0);
        SENT(&e.s.a, 1, IBV_WC_REM_ACCESS_ERR);
        CHECK_EQ(state_of(&e.s.b), IBV_QPS_ERR);
        CHECK(all_bytes_are(e.writable, 3 * e.page, 1));
        CHECK(all_bytes_are(e.s.local.bytes, 8, LOCAL_FILL));
        everything_close(&e);
    }
}

static void a_receive_into_memory_that_does_not_exist_fails(void) {
    for (int kind = 0; kind < 2; kind++) {
        struct everything e;
        REQUIRE(everything_open(&e));
        CHECK_EQ(receive(&e.s.b, 1, part(&e.all, (int64_t)((kind ? 2 : 3) * e.page), 8)), 0);
        CHECK_EQ(post(&e.s.a, send_of(2, part(&e.s.local, 0, 8))), 0);
        RECEIVED(&e.s.b, 1, IBV_WC_LOC_PROT_ERR);
        SENT(&e.s.a, 2, IBV_WC_REM_OP_ERR);
        everything_close(&e);
    }
}

static void an_implicit_region_has_a_domain_and_rights(void) {
    for (int kind = 0; kind < 3; kind++) {
        struct everything e;
        REQUIRE(everything_open(&e));
        struct ibv_mr *mr = implicit_region(kind == 0 ? e.s.w.other_pd : e.s.w.pd,
                                            kind == 1   ? IBV_ACCESS_REMOTE_READ
                                            : kind == 2 ? IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE
                                                        : ALL_RIGHTS);
        REQUIRE(world_keep(&e.s.w, MR, mr));
        struct memory m = {.bytes = e.writable, .mr = mr};
        struct ibv_sge sge = part(&e.s.local, 0, 8);
        if (kind == 0)
            CHECK_EQ(post(&e.s.a, send_of(1, part(&m, 0, 8))), EINVAL);
        if (kind == 1)
            CHECK_EQ(post(&e.s.a, read_of(1, part(&m, 0, 8), &e.s.remote, 0)), EINVAL);
        CHECK_EQ(post(&e.s.a, kind == 2 ? read_of(2, sge, &m, 0) : write_of(2, sge, &m, 0)), 0);
        SENT(&e.s.a, 2, IBV_WC_REM_ACCESS_ERR);
        CHECK(all_bytes_are(e.writable, e.page, 1));
        everything_close(&e);
    }
}

static void an_implicit_region_ends(void) {
    struct everything e;
    REQUIRE(everything_open(&e));
    struct memory was = e.all;
    const uint32_t key = e.all.mr->rkey;
    struct ibv_sge sge = part(&was, 0, 8);
    uint64_t place = address(&was, 0);
    CHECK_EQ(world_destroy(&e.s.w, e.all.mr), 0);
    CHECK_EQ(post(&e.s.a, send_of(1, sge)), EINVAL);
    CHECK_EQ(post(&e.s.a, (struct request){.opcode = IBV_WR_RDMA_WRITE,
                                           .id = 2,
                                           .sge = part(&e.s.local, 0, 8),
                                           .remote_addr = place,
                                           .rkey = key}),
             0);
    SENT(&e.s.a, 2, IBV_WC_REM_ACCESS_ERR);
    CHECK(all_bytes_are(e.writable, e.page, 1));
    everything_close(&e);
}

static void an_on_demand_region_of_a_range_is_like_any_other(void) {
    struct everything e;
    REQUIRE(everything_open(&e));
    errno = 0;
    CHECK_PTR_EQ(ibv_reg_mr(e.s.w.pd, e.missing, 8, IBV_ACCESS_ON_DEMAND), NULL);
    CHECK_EQ(errno, EFAULT);
    struct memory m = {.bytes = e.writable};
    m.mr = ibv_reg_mr(e.s.w.pd, e.writable, 64, IBV_ACCESS_ON_DEMAND | ALL_RIGHTS);
    REQUIRE(world_keep(&e.s.w, MR, m.mr));
    CHECK_EQ(post(&e.s.a, write_of(1, part(&e.s.local, 0, 8), &m, 56)), 0);
    SENT(&e.s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(post(&e.s.a, write_of(2, part(&e.s.local, 0, 8), &m, 57)), 0);
    SENT(&e.s.a, 2, IBV_WC_REM_ACCESS_ERR);
    CHECK(all_bytes_are(e.writable + 64, 64, 1));
    everything_close(&e);
}

CHECK_MAIN(TEST(an_implicit_region_covers_all_memory), TEST(local_memory_that_does_not_exist_is_refused),
           TEST(remote_memory_that_does_not_exist_is_an_access_error),
           TEST(a_receive_into_memory_that_does_not_exist_fails),
           TEST(an_implicit_region_has_a_domain_and_rights), TEST(an_implicit_region_ends),
           TEST(an_on_demand_region_of_a_range_is_like_any_other))
