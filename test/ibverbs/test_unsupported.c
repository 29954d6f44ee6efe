/* SPDX-License-Identifier: BSD-3-Clause */
/* What the device does not have answers EOPNOTSUPP, so that programs fall back, and does not crash. */
#include "traffic.h"

/* The call created nothing and says why. */
#define UNSUPPORTED(call)                                                                                    \
    do {                                                                                                     \
        errno = 0;                                                                                           \
        CHECK_PTR_EQ((call), NULL);                                                                          \
        CHECK_EQ(errno, EOPNOTSUPP);                                                                         \
    } while (0)

static void regions_have_bytes_of_the_process(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    UNSUPPORTED(ibv_reg_mr(s.w.pd, s.local.bytes, 0, ALL_RIGHTS));
    UNSUPPORTED(ibv_reg_dmabuf_mr(s.w.pd, 0, 4096, 0, 0, IBV_ACCESS_LOCAL_WRITE));
    scene_close(&s);
}

static void other_transports_do_not_exist(void) {
    struct world w;
    struct ibv_cq *cq;
    REQUIRE(world_open(&w));
    REQUIRE(make_cq(&w, 4, NULL, &cq));
    static const enum ibv_qp_type types[] = {IBV_QPT_RAW_PACKET, IBV_QPT_XRC_SEND, IBV_QPT_XRC_RECV,
                                             IBV_QPT_DRIVER};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct ibv_qp_init_attr init = {
            .send_cq = cq,
            .recv_cq = cq,
            .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
            .qp_type = types[i]};
        UNSUPPORTED(ibv_create_qp(w.pd, &init));
    }
    struct ibv_xrcd_init_attr xrcd = {.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS,
                                      .fd = -1};
    UNSUPPORTED(ibv_open_xrcd(w.context, &xrcd));
    world_close(&w);
}

static void flows_and_work_queues_do_not_exist(void) {
    struct scene s;
    REQUIRE(scene_open(&s));
    struct ibv_flow_attr flow = {.type = IBV_FLOW_ATTR_NORMAL, .size = sizeof(flow), .port = PORT};
    UNSUPPORTED(ibv_create_flow(s.a.qp, &flow));
    struct ibv_wq_init_attr wq = {
        .wq_type = IBV_WQT_RQ, .max_wr = 1, .max_sge = 1, .pd = s.w.pd, .cq = s.a.scq};
    UNSUPPORTED(ibv_create_wq(s.w.context, &wq));
    struct ibv_rwq_ind_table_init_attr table = {0};
    UNSUPPORTED(ibv_create_rwq_ind_table(s.w.context, &table));
    struct ibv_counters_init_attr counters = {0};
    UNSUPPORTED(ibv_create_counters(s.w.context, &counters));
    scene_close(&s);
}

static void multicast_does_not_exist(void) {
    struct scene s;
    union ibv_gid group = {{0xff, 0x12}};
    REQUIRE(scene_open_with(&s, (struct qp_options){.type = IBV_QPT_UD}));
    CHECK(ibv_attach_mcast(s.a.qp, &group, 0) != 0);
    CHECK(ibv_detach_mcast(s.a.qp, &group, 0) != 0);
    scene_close(&s);
}

CHECK_MAIN(TEST(regions_have_bytes_of_the_process), TEST(other_transports_do_not_exist),
           TEST(flows_and_work_queues_do_not_exist), TEST(multicast_does_not_exist))
