/* SPDX-License-Identifier: BSD-3-Clause */
/* The device: its list, attributes, port and tables, the names of the numbers, and the limits of the
 * attributes. */
#include "traffic.h"

static void the_list_names_the_device(void) {
    int count = -1;
    struct ibv_device **list = ibv_get_device_list(&count);
    REQUIRE(list);
    CHECK(count >= 1);
    CHECK_PTR_EQ(list[count], NULL);
    CHECK(ibv_get_device_name(list[0])[0] != '\0');
    CHECK_EQ(list[0]->node_type, IBV_NODE_CA);
    CHECK(ibv_get_device_guid(list[0]) != 0);

    struct ibv_context *context = ibv_open_device(list[0]);
    REQUIRE(context);
    CHECK_PTR_EQ(context->device, list[0]);
    CHECK(context->num_comp_vectors >= 1);
    struct ibv_device_attr attr;
    CHECK_EQ(ibv_query_device(context, &attr), 0);
    CHECK_EQ(attr.node_guid, ibv_get_device_guid(list[0]));
    /* The device of an open context outlives the list. */
    char name[64];
    snprintf(name, sizeof(name), "%s", ibv_get_device_name(list[0]));
    ibv_free_device_list(list);
    CHECK(strcmp(ibv_get_device_name(context->device), name) == 0);
    CHECK_EQ(ibv_close_device(context), 0);
}

static void the_attributes_make_sense(void) {
    struct world w;
    struct ibv_device_attr attr;
    REQUIRE(world_open(&w));
    memset(&attr, 0xcd, sizeof(attr));
    CHECK_EQ(ibv_query_device(w.context, &attr), 0);
    CHECK_EQ(attr.phys_port_cnt, 1);
    CHECK(attr.max_qp > 0 && attr.max_qp_wr > 0 && attr.max_sge > 0 && attr.max_cq > 0 && attr.max_cqe > 0);
    CHECK(attr.max_mr > 0 && attr.max_mr_size > 0 && attr.max_pd > 0 && attr.max_ah > 0);
    CHECK(attr.max_srq > 0 && attr.max_srq_wr > 0 && attr.max_srq_sge > 0);
    CHECK(attr.max_qp_rd_atom > 0 && attr.max_qp_init_rd_atom > 0);
    CHECK(attr.max_pkeys > 0);
    CHECK(attr.atomic_cap == IBV_ATOMIC_HCA || attr.atomic_cap == IBV_ATOMIC_GLOB);
    CHECK(memchr(attr.fw_ver, '\0', sizeof(attr.fw_ver)) != NULL);

    struct ibv_device_attr_ex ex;
    memset(&ex, 0xcd, sizeof(ex));
    CHECK_EQ(ibv_query_device_ex(w.context, NULL, &ex), 0);
    CHECK_EQ(ex.orig_attr.max_qp, attr.max_qp);
    CHECK_EQ(ex.orig_attr.node_guid, attr.node_guid);
    CHECK_EQ(ex.orig_attr.max_cqe, attr.max_cqe);
    CHECK_EQ(ex.tso_caps.max_tso, 0);
    world_close(&w);
}

static void the_port_is_active(void) {
    struct world w;
    struct ibv_port_attr port;
    REQUIRE(world_open(&w));
    CHECK_EQ(ibv_query_port(w.context, PORT, &port), 0);
    CHECK_EQ(port.state, IBV_PORT_ACTIVE);
    CHECK(port.active_mtu >= IBV_MTU_256 && port.active_mtu <= port.max_mtu && port.max_mtu <= IBV_MTU_4096);
    CHECK(port.gid_tbl_len >= 1);
    CHECK(port.pkey_tbl_len >= 1);
    CHECK(port.link_layer == IBV_LINK_LAYER_INFINIBAND || port.link_layer == IBV_LINK_LAYER_ETHERNET);
    CHECK_EQ(ibv_query_port(w.context, 0, &port), EINVAL);
    CHECK_EQ(ibv_query_port(w.context, PORT + 1, &port), EINVAL);
    world_close(&w);
}

static void tables_end_where_they_say(void) {
    struct world w;
    struct ibv_port_attr port;
    union ibv_gid gid, zero = {{0}};
    __be16 pkey;
    REQUIRE(world_open(&w));
    REQUIRE(ibv_query_port(w.context, PORT, &port) == 0);
    CHECK_EQ(ibv_query_gid(w.context, PORT, 0, &gid), 0);
    CHECK(memcmp(&gid, &zero, sizeof(gid)) != 0);
    CHECK(ibv_query_gid(w.context, PORT, port.gid_tbl_len, &gid) != 0);
    CHECK(ibv_query_gid(w.context, PORT, -1, &gid) != 0);
    CHECK(ibv_query_gid(w.context, PORT + 1, 0, &gid) != 0);
    CHECK_EQ(ibv_query_pkey(w.context, PORT, 0, &pkey), 0);
    CHECK(pkey != 0);
    CHECK_EQ(ibv_get_pkey_index(w.context, PORT, pkey), 0);
    CHECK_EQ(ibv_get_pkey_index(w.context, PORT, htobe16(0x1234)), -1);
    CHECK(ibv_query_pkey(w.context, PORT, port.pkey_tbl_len, &pkey) != 0);
    CHECK(ibv_query_pkey(w.context, PORT, -1, &pkey) != 0);

    struct ibv_gid_entry entry, table[4];
    CHECK_EQ(ibv_query_gid_ex(w.context, PORT, 0, &entry, 0), 0);
    CHECK_EQ(ibv_query_gid(w.context, PORT, 0, &gid), 0);
    CHECK_BYTES_EQ(entry.gid.raw, gid.raw, 16);
    CHECK_EQ(entry.gid_index, 0);
    CHECK_EQ(entry.port_num, PORT);
    CHECK(ibv_query_gid_ex(w.context, PORT, (uint32_t)port.gid_tbl_len, &entry, 0) != 0);
    CHECK(ibv_query_gid_ex(w.context, PORT, 0, &entry, 1) != 0); /* no such flag */
    ssize_t entries = ibv_query_gid_table(w.context, table, 4, 0);
    CHECK(entries >= 1 && entries <= 4);
    if (entries >= 1)
        CHECK_BYTES_EQ(table[0].gid.raw, gid.raw, 16);
    world_close(&w);
}

static bool has_text(const char *text) {
    return text && text[0] != '\0';
}

static void numbers_have_names(void) {
    CHECK(strcmp(ibv_wc_status_str(IBV_WC_SUCCESS), "success") == 0);
    CHECK(has_text(ibv_wc_status_str(IBV_WC_WR_FLUSH_ERR)));
    CHECK(has_text(ibv_wc_status_str((enum ibv_wc_status)999)));
    CHECK(has_text(ibv_wc_status_str((enum ibv_wc_status) - 1)));
    CHECK(has_text(ibv_event_type_str(IBV_EVENT_CQ_ERR)));
    CHECK(has_text(ibv_event_type_str((enum ibv_event_type)999)));
    CHECK(strcmp(ibv_event_type_str(IBV_EVENT_CQ_ERR), ibv_event_type_str(IBV_EVENT_QP_FATAL)) != 0);
    CHECK(has_text(ibv_node_type_str(IBV_NODE_CA)));
    CHECK(has_text(ibv_node_type_str((enum ibv_node_type)999)));
    CHECK(strcmp(ibv_port_state_str(IBV_PORT_ACTIVE), "active") == 0);
    CHECK(has_text(ibv_port_state_str((enum ibv_port_state)999)));
}

static void rates_convert_both_ways(void) {
    static const struct {
        enum ibv_rate rate;
        int multiple, mbps;
    } rates[] = {{IBV_RATE_2_5_GBPS, 1, 2500}, {IBV_RATE_5_GBPS, 2, 5000},    {IBV_RATE_10_GBPS, 4, 10000},
                 {IBV_RATE_20_GBPS, 8, 20000}, {IBV_RATE_30_GBPS, 12, 30000}, {IBV_RATE_40_GBPS, 16, 40000},
                 {IBV_RATE_60_GBPS, 24, 60000}};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        CHECK_EQ(ibv_rate_to_mult(rates[i].rate), rates[i].multiple);
        CHECK_EQ(mult_to_ibv_rate(rates[i].multiple), rates[i].rate);
        CHECK_EQ(ibv_rate_to_mbps(rates[i].rate), rates[i].mbps);
        CHECK_EQ(mbps_to_ibv_rate(rates[i].mbps), rates[i].rate);
    }
    CHECK_EQ(ibv_rate_to_mult((enum ibv_rate)999), -1);
    CHECK_EQ(ibv_rate_to_mbps((enum ibv_rate)999), -1);
    CHECK_EQ(mult_to_ibv_rate(3), IBV_RATE_MAX);
    CHECK_EQ(mbps_to_ibv_rate(1), IBV_RATE_MAX);
}

/* --- limits --- */

static void creating_a_queue_pair_tests_its_arguments(void) {
    struct world w;
    struct ibv_device_attr device;
    struct ibv_cq *cq;
    REQUIRE(world_open(&w));
    REQUIRE(ibv_query_device(w.context, &device) == 0);
    REQUIRE(make_cq(&w, 4, NULL, &cq));
    const struct ibv_qp_init_attr good = {
        .send_cq = cq,
        .recv_cq = cq,
        .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
        .qp_type = IBV_QPT_RC};
    struct ibv_qp_init_attr init;
    struct {
        uint32_t *number;
        int limit;
    } numbers[] = {{&init.cap.max_send_wr, device.max_qp_wr},
                   {&init.cap.max_recv_wr, device.max_qp_wr},
                   {&init.cap.max_send_sge, device.max_sge},
                   {&init.cap.max_recv_sge, device.max_sge}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        init = good;
        *numbers[i].number = (uint32_t)numbers[i].limit + 1;
        errno = 0;
        CHECK_PTR_EQ(ibv_create_qp(w.pd, &init), NULL);
        CHECK_EQ(errno, EINVAL);
        init = good;
        *numbers[i].number = (uint32_t)numbers[i].limit;
        struct ibv_qp *qp = ibv_create_qp(w.pd, &init);
        REQUIRE(world_keep(&w, QP, qp));
        CHECK(*numbers[i].number >= (uint32_t)numbers[i].limit);
        CHECK_EQ(world_destroy(&w, qp), 0);
    }
    init = good;
    init.qp_type = (enum ibv_qp_type)99;
    errno = 0;
    CHECK_PTR_EQ(ibv_create_qp(w.pd, &init), NULL);
    CHECK(errno == EINVAL || errno == EOPNOTSUPP);
    init = good;
    init.send_cq = NULL;
    errno = 0;
    CHECK_PTR_EQ(ibv_create_qp(w.pd, &init), NULL);
    CHECK_EQ(errno, EINVAL);
    init = good;
    init.recv_cq = NULL;
    errno = 0;
    CHECK_PTR_EQ(ibv_create_qp(w.pd, &init), NULL);
    CHECK_EQ(errno, EINVAL);
    world_close(&w);
}

/* The device has as many objects as it says. */
static void the_limit_on_address_handles_is_kept(void) {
    struct world w;
    struct ibv_device_attr device;
    REQUIRE(world_open(&w));
    REQUIRE(ibv_query_device(w.context, &device) == 0);
    struct ibv_ah_attr attr = own_port(w.context);
    REQUIRE(device.max_ah <= 1 << 20);
    struct ibv_ah **handles = calloc((size_t)device.max_ah + 1, sizeof(struct ibv_ah *));
    REQUIRE(handles);
    int count = 0;
    errno = 0;
    while (count <= device.max_ah && (handles[count] = ibv_create_ah(w.pd, &attr)))
        count++;
    CHECK_EQ(count, device.max_ah);
    CHECK_EQ(errno, ENOMEM);
    while (count)
        CHECK_EQ(ibv_destroy_ah(handles[--count]), 0);
    free(handles);
    world_close(&w);
}

CHECK_MAIN(TEST(the_list_names_the_device), TEST(the_attributes_make_sense), TEST(the_port_is_active),
           TEST(tables_end_where_they_say), TEST(numbers_have_names), TEST(rates_convert_both_ways),
           TEST(creating_a_queue_pair_tests_its_arguments), TEST(the_limit_on_address_handles_is_kept))
