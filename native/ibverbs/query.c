/* SPDX-License-Identifier: BSD-3-Clause */
/* Queries of the device, the port and its tables. ibv_query_device_ex(3), ibv_query_port(3),
 * ibv_query_gid_ex(3), ibv_query_pkey(3), ibv_get_pkey_index(3). */
#include "ibverbs/query.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "ibverbs/context.h"

/* Copies as much of an answer as the program's structure can hold: programs may be older than the header. */
static void copy_answer(void *to, size_t room, const void *from, size_t size) {
    memset(to, 0, room);
    memcpy(to, from, size < room ? size : room);
}

/* --- the device --- */

enum {
    VENDOR = 0x020000, /* a locally administered company number: nobody has assigned one */
    PART = 1,
    VERSION = 1,
};

static struct ibv_device_attr device_attributes(void) {
    const uint32_t *limits = shim_limits.of;
    struct ibv_device_attr attr = {
        .node_guid = shim_guid(),
        .sys_image_guid = shim_guid(),
        .max_mr_size = UINT64_MAX,
        .page_size_cap = RVT_PAGE_SIZE,
        .vendor_id = VENDOR,
        .vendor_part_id = PART,
        .hw_ver = VERSION,
        .max_qp = (int)limits[RVT_LIMIT_MAX_QP],
        .max_qp_wr = (int)limits[RVT_LIMIT_MAX_QP_WR],
        .device_cap_flags = IBV_DEVICE_CURR_QP_STATE_MOD | IBV_DEVICE_RC_RNR_NAK_GEN | IBV_DEVICE_SRQ_RESIZE |
                            IBV_DEVICE_MEM_WINDOW | IBV_DEVICE_MEM_WINDOW_TYPE_2B,
        .max_sge = (int)limits[RVT_LIMIT_MAX_SEND_SGE],
        .max_sge_rd = (int)limits[RVT_LIMIT_MAX_SEND_SGE],
        .max_cq = (int)limits[RVT_LIMIT_MAX_CQ],
        .max_cqe = (int)limits[RVT_LIMIT_MAX_CQE],
        .max_mr = 1 << SHIM_LKEY_TABLE_BITS,
        .max_mw = 1 << SHIM_LKEY_TABLE_BITS, /* they share the keys with the regions */
        .max_pd = (int)limits[RVT_LIMIT_MAX_PD],
        .max_qp_rd_atom = (int)limits[RVT_LIMIT_MAX_RDMA_ATOMIC],
        .max_res_rd_atom = (int)(limits[RVT_LIMIT_MAX_RDMA_ATOMIC] * limits[RVT_LIMIT_MAX_QP]),
        .max_qp_init_rd_atom = (int)limits[RVT_LIMIT_MAX_RDMA_ATOMIC],
        .atomic_cap = IBV_ATOMIC_HCA,
        .max_ah = (int)limits[RVT_LIMIT_MAX_AH],
        .max_srq = (int)limits[RVT_LIMIT_MAX_SRQ],
        .max_srq_wr = (int)limits[RVT_LIMIT_MAX_SRQ_WR],
        .max_srq_sge = (int)limits[RVT_LIMIT_MAX_SRQ_SGE],
        .max_pkeys = SHIM_PKEYS,
        .phys_port_cnt = 1,
    };
    snprintf(attr.fw_ver, sizeof(attr.fw_ver), "%s", RDMAVT_VERSION);
    return attr;
}

SHIM_PUBLIC int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr) {
    if (!context || !attr)
        return EINVAL;
    *attr = device_attributes();
    return 0;
}

int shim_query_device_ex(struct ibv_context *context, const struct ibv_query_device_ex_input *input,
                         struct ibv_device_attr_ex *attr, size_t size) {
    (void)context;
    if (!attr || size < sizeof(attr->orig_attr) || (input && input->comp_mask))
        return EINVAL;
    /* Nothing is ever pinned: a page that is not there is read in when the engine's thread touches it. */
    const uint32_t ud = IBV_ODP_SUPPORT_SEND | IBV_ODP_SUPPORT_RECV | IBV_ODP_SUPPORT_SRQ_RECV;
    const uint32_t uc = ud | IBV_ODP_SUPPORT_WRITE;
    const uint32_t rc = uc | IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_ATOMIC;
    const struct ibv_device_attr original = device_attributes();
    const struct ibv_device_attr_ex answer = {
        .orig_attr = original,
        .odp_caps =
            {
                .general_caps = IBV_ODP_SUPPORT | IBV_ODP_SUPPORT_IMPLICIT,
                .per_transport_caps = {.rc_odp_caps = rc, .uc_odp_caps = uc, .ud_odp_caps = ud},
            },
        .device_cap_flags_ex = original.device_cap_flags,
        .max_dm_size = SHIM_MAX_DM_BYTES,
        .phys_port_cnt_ex = 1,
    };
    copy_answer(attr, size, &answer, sizeof(answer));
    return 0;
}

/* --- the port --- */

/* Encodings of the InfiniBand specification, PortInfo. */
enum { LINK_UP = 5, WIDTH_4X = 2, SPEED_EDR = 32, ONE_VIRTUAL_LANE = 1 };

static const struct ibv_port_attr own_port = {
    .state = IBV_PORT_ACTIVE,
    .max_mtu = IBV_MTU_4096,
    .active_mtu = IBV_MTU_4096,
    .gid_tbl_len = SHIM_GIDS,
    .max_msg_sz = 1u << SHIM_MAX_MESSAGE_SHIFT,
    .pkey_tbl_len = SHIM_PKEYS,
    .lid = SHIM_LID,
    .sm_lid = SHIM_LID,
    .max_vl_num = ONE_VIRTUAL_LANE,
    .active_width = WIDTH_4X,
    .active_speed = SPEED_EDR,
    .phys_state = LINK_UP,
    .link_layer = IBV_LINK_LAYER_INFINIBAND,
};

/* Returns the network of the context, or NULL: its port is connected to itself. */
static const struct shim_wire *wire_of(struct ibv_context *context) {
    const struct shim_wire *wire = &shim_context_of(context)->file->core->wire;
    return wire->used ? wire : NULL;
}

/* The port of a RoCE device: it has GIDs instead of LIDs. */
static struct ibv_port_attr network_port(const struct shim_wire *wire) {
    struct ibv_port_attr port = own_port;
    port.lid = port.sm_lid = 0;
    port.link_layer = IBV_LINK_LAYER_ETHERNET;
    port.active_mtu = shim_wire_mtu(wire);
    port.flags = IBV_QPF_GRH_REQUIRED;
    return port;
}

int shim_query_port(struct ibv_context *context, uint8_t port_num, struct ibv_port_attr *attr, size_t size) {
    if (!attr || port_num != SHIM_PORT)
        return EINVAL;
    const struct shim_wire *wire = wire_of(context);
    const struct ibv_port_attr port = wire ? network_port(wire) : own_port;
    copy_answer(attr, size, &port, sizeof(port));
    return 0;
}

/* Programs reach this through their own copy of the header's inline function. Those that are older than
 * port_cap_flags2 have no room for it. */
SHIM_PUBLIC int ibv_query_port(struct ibv_context *context, uint8_t port_num,
                               struct _compat_ibv_port_attr *attr) {
    return context ? shim_query_port(context, port_num, (struct ibv_port_attr *)(void *)attr,
                                     offsetof(struct ibv_port_attr, port_cap_flags2))
                   : EINVAL;
}

/* --- GIDs --- */

SHIM_PUBLIC int ibv_query_gid(struct ibv_context *context, uint8_t port_num, int index, union ibv_gid *gid) {
    if (!context || !gid || port_num != SHIM_PORT || index < 0 || index >= SHIM_GIDS)
        return shim_minus_one(EINVAL);
    *gid = shim_gid(shim_context_of(context)->file->core, (unsigned)index);
    return 0;
}

static struct ibv_gid_entry gid_entry(struct ibv_context *context, uint32_t index) {
    const struct shim_wire *wire = wire_of(context);
    return (struct ibv_gid_entry){
        .gid = shim_gid(shim_context_of(context)->file->core, index),
        .gid_index = index,
        .port_num = SHIM_PORT,
        .gid_type = wire ? IBV_GID_TYPE_ROCE_V2 : IBV_GID_TYPE_IB,
        .ndev_ifindex = wire ? wire->interface : 0,
    };
}

SHIM_PUBLIC int _ibv_query_gid_ex(struct ibv_context *context, uint32_t port_num, uint32_t gid_index,
                                  struct ibv_gid_entry *entry, uint32_t flags, size_t entry_size) {
    if (!context || !entry || flags || port_num != SHIM_PORT || gid_index >= SHIM_GIDS ||
        entry_size < sizeof(*entry))
        return EINVAL;
    if (!shim_has_gid(gid_index))
        return ENODATA;
    const struct ibv_gid_entry answer = gid_entry(context, gid_index);
    copy_answer(entry, entry_size, &answer, sizeof(answer));
    return 0;
}

SHIM_PUBLIC ssize_t _ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries,
                                         size_t max_entries, uint32_t flags, size_t entry_size) {
    size_t count = 0;
    if (!context || flags || (max_entries && !entries) || entry_size < sizeof(*entries))
        return -EINVAL;
    for (uint32_t i = 0; i < SHIM_GIDS; i++) {
        if (!shim_has_gid(i))
            continue;
        if (count == max_entries)
            return -EINVAL;
        const struct ibv_gid_entry answer = gid_entry(context, i);
        copy_answer((char *)entries + count++ * entry_size, entry_size, &answer, sizeof(answer));
    }
    return (ssize_t)count;
}

SHIM_PUBLIC int ibv_query_gid_type(struct ibv_context *context, uint8_t port_num, unsigned int index,
                                   enum ibv_gid_type_sysfs *type) {
    if (!context || !type || port_num != SHIM_PORT || index >= SHIM_GIDS)
        return shim_minus_one(EINVAL);
    *type = wire_of(context) ? IBV_GID_TYPE_SYSFS_ROCE_V2 : IBV_GID_TYPE_SYSFS_IB_ROCE_V1;
    return 0;
}

/* --- P_Keys --- */

SHIM_PUBLIC int ibv_query_pkey(struct ibv_context *context, uint8_t port_num, int index, __be16 *pkey) {
    if (!context || !pkey || port_num != SHIM_PORT || index < 0 || index >= SHIM_PKEYS)
        return shim_minus_one(EINVAL);
    *pkey = htobe16(SHIM_PKEY);
    return 0;
}

SHIM_PUBLIC int ibv_get_pkey_index(struct ibv_context *context, uint8_t port_num, __be16 pkey) {
    for (int index = 0; index < SHIM_PKEYS; index++) {
        __be16 present;
        if (ibv_query_pkey(context, port_num, index, &present))
            return -1;
        if (present == pkey)
            return index;
    }
    return shim_minus_one(ENOENT);
}
