/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/verbs_table.h"

#include "ibverbs/cq.h"
#include "ibverbs/dm.h"
#include "ibverbs/mr.h"
#include "ibverbs/mw.h"
#include "ibverbs/pd.h"
#include "ibverbs/poll.h"
#include "ibverbs/post.h"
#include "ibverbs/qp.h"
#include "ibverbs/query.h"
#include "ibverbs/srq.h"

void shim_fill_verbs(struct verbs_context *verbs) {
    verbs->query_port = shim_query_port;
    verbs->query_device_ex = shim_query_device_ex;
    verbs->advise_mr = shim_advise_mr;
    verbs->alloc_td = shim_alloc_td;
    verbs->dealloc_td = shim_dealloc_td;
    verbs->alloc_parent_domain = shim_alloc_parent_domain;
    verbs->alloc_dm = shim_alloc_dm;
    verbs->free_dm = shim_free_dm;
    verbs->reg_dm_mr = shim_reg_dm_mr;
    verbs->create_cq_ex = shim_create_cq_ex;
    verbs->create_qp_ex = shim_create_qp_ex;
    verbs->create_srq_ex = shim_create_srq_ex;
    verbs->get_srq_num = shim_get_srq_num;
    verbs->sz = sizeof(*verbs);
    verbs->context.ops.alloc_mw = shim_alloc_mw;
    verbs->context.ops.bind_mw = shim_bind_mw;
    verbs->context.ops.dealloc_mw = shim_dealloc_mw;
    verbs->context.ops.poll_cq = shim_poll_cq;
    verbs->context.ops.req_notify_cq = shim_req_notify_cq;
    verbs->context.ops.post_send = shim_post_send;
    verbs->context.ops.post_recv = shim_post_recv;
    verbs->context.ops.post_srq_recv = shim_post_srq_recv;
    verbs->context.abi_compat = __VERBS_ABI_IS_EXTENDED;
}
