/* SPDX-License-Identifier: BSD-3-Clause */
/* Finds queue pairs by number, and lists those that are past RESET in the order in which rvt_dereg_mr()
 * visits them. The caller must hold the engine lock. */
#ifndef RVT_ENGINE_QP_TABLE_H
#define RVT_ENGINE_QP_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"

struct rvt_engine_qp;
struct rvt_dev_info;

/* Number of lists, as in the kernel's table of queue pairs, whose order decides in which order queue pairs go
 * into error. */
enum { RVT_QP_BUCKETS = 256, RVT_QPN_BITS = 24 };

struct rvt_qp_table {
    struct rvt_engine_qp *
        *chains; /* heads of chains by a hash of the number; `size` of them, a power of two */
    uint32_t size, count;
    struct rvt_link *buckets[RVT_QP_BUCKETS]; /* queue pairs past RESET, the latest first */
};

/* Makes room for one more queue pair. Returns false if out of memory. */
bool rvt_qp_table_reserve(struct rvt_dev_info *device, struct rvt_qp_table *table);

/* Frees the chains of an empty table. */
void rvt_qp_table_free(struct rvt_dev_info *device, struct rvt_qp_table *table);

/* Adds a queue pair. rvt_qp_table_reserve() must have made room, and no other queue pair may have its number. */
void rvt_qp_table_add(struct rvt_qp_table *table, struct rvt_engine_qp *qp);
/* Removes a queue pair that is in the table. */
void rvt_qp_table_remove(struct rvt_qp_table *table, struct rvt_engine_qp *qp);

/* Returns the queue pair with this number, in any state, or NULL. */
struct rvt_engine_qp *rvt_qp_table_find(const struct rvt_qp_table *table, uint32_t qpn);

/* Begins to load what rvt_qp_table_find() of this number reads first. */
void rvt_qp_table_prefetch(const struct rvt_qp_table *table, uint32_t qpn);

/* Adds the queue pair to the list of those past RESET. rvt_list_remove(&qp->in_bucket) takes it off. */
void rvt_qp_table_list(struct rvt_qp_table *table, struct rvt_engine_qp *qp);

#endif
