/* SPDX-License-Identifier: BSD-3-Clause */
/* Work requests and completions: the verbs' struct ib_send_wr, ib_recv_wr and ib_wc. */
#ifndef RVT_ENGINE_WR_H
#define RVT_ENGINE_WR_H

#include <stdint.h>

#include "core/access/sge.h" /* struct rvt_ib_sge */
#include "core/layout.h"     /* opcodes, flags, statuses */
#include "core/objects/mw.h"
#include "core/objects/region.h"

struct rvt_ah_handle;

/* A send work request. Only the members that the opcode uses are read. */
struct rvt_send_wr {
    uint64_t wr_id; /* returned in the completion */
    const struct rvt_ib_sge *sges;
    uint32_t num_sge;
    uint32_t opcode; /* enum rvt_wr_opcode */
    uint32_t flags;  /* RVT_SEND_* */
    uint32_t imm;    /* immediate data of the _WITH_IMM opcodes; not converted to any byte order */
    uint64_t remote_addr;
    uint32_t rkey;
    uint32_t invalidate_rkey; /* SEND_WITH_INV, LOCAL_INV */
    uint64_t compare_add;     /* atomics: value to compare with, or to add */
    uint64_t swap;            /* ATOMIC_CMP_AND_SWP */
    /* REG_MR: region, new key, access bits. BIND_MW: the same of the window, which is also named: bind_length
     * bytes at remote_addr. */
    struct rvt_mr_handle mr;
    uint32_t key, access;
    struct rvt_mw_handle mw; /* {NULL, 0}: refused like an unknown opcode */
    uint64_t bind_length;
    /* UD: destination */
    const struct rvt_ah_handle *ah;
    uint32_t remote_qpn, remote_qkey;
};

/* A receive work request. */
struct rvt_recv_wr {
    uint64_t wr_id;
    const struct rvt_ib_sge *sges;
    uint32_t num_sge;
};

/* The access that made a request fail, so that the failure can be explained. All 0 if no access did. */
struct rvt_refused_access {
    uint64_t judge; /* serial number of the queue pair whose peer was refused; 0: a local access */
    uint64_t addr;
    uint32_t length, key;
    uint32_t access; /* access bits that were requested */
    uint32_t reason; /* enum rvt_reason */
};

/* A completion. Members that do not apply to its opcode and status are 0. */
struct rvt_wc {
    uint64_t wr_id;
    uint64_t qp;         /* serial number of the queue pair */
    uint32_t qp_num;     /* number of the queue pair */
    uint32_t src_qp;     /* receives: number of the sender, as the receiver knows it */
    uint32_t status;     /* enum rvt_wc_status */
    uint32_t opcode;     /* enum rvt_wc_opcode */
    uint32_t byte_len;   /* in bytes */
    uint32_t flags;      /* RVT_WC_WITH_* */
    uint32_t imm_or_inv; /* immediate data, or the key that was invalidated */
    uint16_t slid;
    uint8_t sl, port;
    /* Why it failed: what the status hides. Known because both ends are in this process. */
    uint32_t cause;       /* enum rvt_wc_cause */
    uint32_t cause_value; /* PEER_STATE, PEER_TYPE: the peer's; QP_ACCESS: its access flags; others: 0 */
    struct rvt_refused_access refused;
};

#endif
