/* SPDX-License-Identifier: BSD-3-Clause */
/* Device memory: programs reach it by copies and by regions only, and the regions are addressed from 0. */
#include "traffic.h"

enum { BYTES_OF_DM = 256 };

static struct ibv_dm *alloc(struct world *w, size_t length) {
    struct ibv_alloc_dm_attr attr = {.length = length};
    return ibv_alloc_dm(w->context, &attr);
}

static const unsigned ZERO_BASED_RIGHTS = ALL_RIGHTS | IBV_ACCESS_ZERO_BASED;

static void copies_stay_inside(void) {
    struct world w;
    unsigned char bytes[BYTES_OF_DM];
    REQUIRE(world_open(&w));
    struct ibv_dm *dm = alloc(&w, BYTES_OF_DM);
    REQUIRE(dm);
    memset(bytes, 1, sizeof(bytes));
    CHECK_EQ(ibv_memcpy_from_dm(bytes, dm, 0, BYTES_OF_DM), 0);
    CHECK(all_bytes_are(bytes, BYTES_OF_DM, 0)); /* nothing of another program */
    memset(bytes, 2, sizeof(bytes));
    CHECK_EQ(ibv_memcpy_to_dm(dm, BYTES_OF_DM - 8, bytes, 8), 0);
    memset(bytes, 0xee, sizeof(bytes));
    CHECK_EQ(ibv_memcpy_from_dm(bytes, dm, BYTES_OF_DM - 16, 16), 0);
    CHECK(all_bytes_are(bytes, 8, 0));
    CHECK(all_bytes_are(bytes + 8, 8, 2));
    CHECK(all_bytes_are(bytes + 16, BYTES_OF_DM - 16, 0xee));

    static const struct {
        uint64_t offset;
        size_t length;
    } outside[] = {{BYTES_OF_DM - 4, 8}, {BYTES_OF_DM, 4},    {BYTES_OF_DM + 4, 4},
                   {0, BYTES_OF_DM + 4}, {UINT64_MAX - 3, 8}, {4, SIZE_MAX - 3}};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        CHECK_EQ(ibv_memcpy_to_dm(dm, outside[i].offset, bytes, outside[i].length), EINVAL);
        CHECK_EQ(ibv_memcpy_from_dm(bytes, dm, outside[i].offset, outside[i].length), EINVAL);
    }
    CHECK_EQ(ibv_free_dm(dm), 0);
    world_close(&w);
}

static void a_region_of_it_is_addressed_from_zero(void) {
    struct scene s;
    unsigned char bytes[BYTES_OF_DM];
    REQUIRE(scene_open(&s));
    struct ibv_dm *dm = alloc(&s.w, BYTES_OF_DM);
    REQUIRE(dm);
    struct ibv_mr *mr = ibv_reg_dm_mr(s.w.pd, dm, 64, 64, ZERO_BASED_RIGHTS);
    REQUIRE(mr);
    struct request r = {.opcode = IBV_WR_RDMA_WRITE,
                        .id = 1,
                        .sge = part(&s.local, 0, 16),
                        .remote_addr = 48,
                        .rkey = mr->rkey};
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 1, IBV_WC_SUCCESS);
    CHECK_EQ(ibv_memcpy_from_dm(bytes, dm, 0, BYTES_OF_DM), 0);
    CHECK(all_bytes_are(bytes, 64 + 48, 0));
    CHECK(all_bytes_are(bytes + 64 + 48, 16, LOCAL_FILL));
    CHECK(all_bytes_are(bytes + 128, BYTES_OF_DM - 128, 0));

    r.remote_addr = 49; /* one byte behind the region, within the device memory */
    CHECK_EQ(post(&s.a, r), 0);
    SENT(&s.a, 1, IBV_WC_REM_ACCESS_ERR);
    CHECK_EQ(ibv_free_dm(dm), EBUSY); /* it has a region */
    CHECK_EQ(ibv_dereg_mr(mr), 0);
    CHECK_EQ(ibv_free_dm(dm), 0);
    scene_close(&s);
}

static void regions_outside_are_refused(void) {
    struct world w;
    REQUIRE(world_open(&w));
    struct ibv_dm *dm = alloc(&w, BYTES_OF_DM);
    REQUIRE(dm);
    static const struct {
        uint64_t offset;
        size_t length;
        unsigned access;
    } refused[] = {{0, BYTES_OF_DM + 1, ZERO_BASED_RIGHTS},
                   {1, BYTES_OF_DM, ZERO_BASED_RIGHTS},
                   {BYTES_OF_DM, 1, ZERO_BASED_RIGHTS},
                   {UINT64_MAX, 2, ZERO_BASED_RIGHTS},
                   {0, BYTES_OF_DM, ALL_RIGHTS}}; /* not addressed from 0 */
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        errno = 0;
        CHECK_PTR_EQ(ibv_reg_dm_mr(w.pd, dm, refused[i].offset, refused[i].length, refused[i].access), NULL);
        CHECK_EQ(errno, EINVAL);
    }
    CHECK_EQ(ibv_free_dm(dm), 0);
    world_close(&w);
}

static void the_device_has_as_much_as_it_says(void) {
    struct world w;
    struct ibv_device_attr_ex attr;
    REQUIRE(world_open(&w));
    REQUIRE(ibv_query_device_ex(w.context, NULL, &attr) == 0);
    REQUIRE(attr.max_dm_size > 0);
    struct ibv_dm *all = alloc(&w, attr.max_dm_size);
    REQUIRE(all);
    errno = 0;
    CHECK_PTR_EQ(alloc(&w, 64), NULL);
    CHECK_EQ(errno, ENOMEM);
    CHECK_EQ(ibv_free_dm(all), 0);
    struct ibv_dm *again = alloc(&w, 64);
    REQUIRE(again);
    CHECK_EQ(ibv_free_dm(again), 0);
    errno = 0;
    CHECK_PTR_EQ(alloc(&w, attr.max_dm_size + 1), NULL);
    CHECK_EQ(errno, ENOMEM);
    errno = 0;
    CHECK_PTR_EQ(alloc(&w, 0), NULL);
    CHECK_EQ(errno, EINVAL);
    world_close(&w);
}

CHECK_MAIN(TEST(copies_stay_inside), TEST(a_region_of_it_is_addressed_from_zero),
           TEST(regions_outside_are_refused), TEST(the_device_has_as_much_as_it_says))
