/* SPDX-License-Identifier: BSD-3-Clause */
/* Address handles. ibv_create_ah(3), ibv_create_ah_from_wc(3). */
#include "ibverbs/ah.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "wire/address.h"
#include "wire/icrc.h"

int shim_judge_address(const struct shim_context *context, const struct ibv_ah_attr *attr) {
    if (!attr->is_global)
        return context->file->core->wire.used ? EINVAL : 0;
    return shim_has_gid(attr->grh.sgid_index) ? 0 : EINVAL;
}

struct rvt_ah_attr shim_core_address(const struct ibv_ah_attr *attr) {
    return (struct rvt_ah_attr){
        .dlid = attr->dlid,
        .sl = attr->sl,
        .static_rate = attr->static_rate,
        .port = attr->port_num,
    };
}

SHIM_PUBLIC struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr) {
    if (!pd || !attr || shim_judge_address(shim_context_of(pd->context), attr))
        return shim_null(EINVAL);
    const struct shim_wire *wire = &shim_context_of(pd->context)->file->core->wire;
    struct rvt_host_address host;
    if (wire->used && shim_wire_host(wire, &attr->grh.dgid, &host))
        return shim_null(EINVAL);
    struct shim_ah *ah = calloc(1, sizeof(*ah));
    if (!ah)
        return shim_null(ENOMEM);
    ah->pd = shim_pd_of(pd);
    ah->ibv.context = pd->context;
    ah->ibv.pd = pd;
    const struct rvt_ah_attr address = shim_core_address(attr);
    shim_enter();
    int error = wire->used ? rvt_create_host_ah(ah->pd->core, &address, &host, &ah->core)
                           : rvt_create_ah(ah->pd->core, &address, &ah->core);
    if (!error)
        ah->ibv.handle = shim_new_handle(ah->pd->context);
    shim_leave();
    if (error) {
        free(ah);
        return shim_null(-error);
    }
    shim_use_pd(ah->pd);
    return &ah->ibv;
}

SHIM_PUBLIC int ibv_destroy_ah(struct ibv_ah *of) {
    if (!of)
        return EINVAL;
    struct shim_ah *ah = (struct shim_ah *)(void *)of;
    shim_enter();
    int error = shim_end_error(rvt_destroy_ah(ah->core));
    shim_leave();
    if (error)
        return error;
    shim_put_pd(ah->pd);
    free(ah);
    return 0;
}

/* --- from a completion --- */

/* Returns the index of the port's GID, or -1. */
static int find_gid(const struct shim_core *core, const union ibv_gid *gid) {
    for (unsigned i = 0; i < SHIM_GIDS; i++) {
        const union ibv_gid own = shim_gid(core, i);
        if (shim_has_gid(i) && !memcmp(own.raw, gid->raw, sizeof(own.raw)))
            return (int)i;
    }
    return -1;
}

/* Reads the header of an IPv4 packet, which lies at the end of the place for the GRH, as a GRH. */
static void read_ipv4(const struct ibv_grh *place, struct ibv_grh *grh) {
    enum { TOS_AT = 1, TTL_AT = 8, SOURCE_AT = 12, DESTINATION_AT = 16 };
    const unsigned char *ipv4 = (const unsigned char *)place + sizeof(*place) - RVT_IPV4_BYTES;
    *grh = (struct ibv_grh){
        .version_tclass_flow = htobe32((uint32_t)ipv4[TOS_AT] << 20),
        .hop_limit = ipv4[TTL_AT],
    };
    rvt_store_ipv4(grh->sgid.raw, ipv4 + SOURCE_AT);
    rvt_store_ipv4(grh->dgid.raw, ipv4 + DESTINATION_AT);
}

SHIM_PUBLIC int ibv_init_ah_from_wc(struct ibv_context *context, uint8_t port_num, struct ibv_wc *wc,
                                    struct ibv_grh *grh, struct ibv_ah_attr *attr) {
    if (!context || !wc || !attr || port_num != SHIM_PORT || ((wc->wc_flags & IBV_WC_GRH) && !grh))
        return shim_minus_one(EINVAL);
    *attr = (struct ibv_ah_attr){
        .dlid = wc->slid,
        .sl = wc->sl,
        .src_path_bits = wc->dlid_path_bits,
        .port_num = port_num,
    };
    if (!(wc->wc_flags & IBV_WC_GRH))
        return 0;
    const struct shim_wire *wire = &shim_context_of(context)->file->core->wire;
    struct ibv_grh ipv6;
    if (wire->used && rvt_is_ipv4(wire->address)) {
        read_ipv4(grh, &ipv6);
        grh = &ipv6;
    }
    int index = find_gid(shim_context_of(context)->file->core, &grh->dgid);
    if (index < 0)
        return shim_minus_one(ENOENT);
    const uint32_t version_class_flow = be32toh(grh->version_tclass_flow);
    attr->is_global = 1;
    attr->grh = (struct ibv_global_route){
        .dgid = grh->sgid,
        .flow_label = version_class_flow & IB_GRH_FLOWLABEL_MASK,
        .sgid_index = (uint8_t)index,
        .hop_limit = grh->hop_limit,
        .traffic_class = (uint8_t)(version_class_flow >> 20),
    };
    return 0;
}

SHIM_PUBLIC struct ibv_ah *ibv_create_ah_from_wc(struct ibv_pd *pd, struct ibv_wc *wc, struct ibv_grh *grh,
                                                 uint8_t port_num) {
    struct ibv_ah_attr attr;
    if (!pd)
        return shim_null(EINVAL);
    return ibv_init_ah_from_wc(pd->context, port_num, wc, grh, &attr) ? NULL : ibv_create_ah(pd, &attr);
}

/* An InfiniBand port has no Ethernet addresses. */
SHIM_PUBLIC int ibv_resolve_eth_l2_from_gid(struct ibv_context *context, struct ibv_ah_attr *attr,
                                            uint8_t eth_mac[ETHERNET_LL_SIZE], uint16_t *vid) {
    (void)context, (void)attr, (void)eth_mac, (void)vid;
    return shim_minus_one(EOPNOTSUPP);
}
