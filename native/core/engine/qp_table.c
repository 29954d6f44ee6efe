/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/engine/qp_table.h"

#include "core/base/alloc.h"
#include "core/engine/engine_qp.h"
#include "core/objects/device.h"

enum { FIRST_SIZE = 64 };

/* Multiplicative hashing by the golden ratio, as the kernel's hash_32(): the high bits are the hash. */
static uint32_t hash_of(uint32_t qpn) {
    return qpn * UINT32_C(0x61c88647);
}

static struct rvt_engine_qp **chain_of(const struct rvt_qp_table *table, uint32_t qpn) {
    return &table->chains[(uint64_t)hash_of(qpn) * table->size >> 32];
}

bool rvt_qp_table_reserve(struct rvt_dev_info *device, struct rvt_qp_table *table) {
    if (table->count < table->size)
        return true;
    struct rvt_qp_table larger = {.size = table->size ? table->size * 2 : FIRST_SIZE};
    larger.chains = rvt_zalloc(larger.size, sizeof(*larger.chains));
    if (!larger.chains)
        return false;
    for (uint32_t i = 0; i < table->size; i++) {
        for (struct rvt_engine_qp *qp = table->chains[i], *next; qp; qp = next) {
            next = qp->next_in_chain;
            struct rvt_engine_qp **chain = chain_of(&larger, qp->qpn);
            qp->next_in_chain = *chain;
            *chain = qp;
        }
    }
    atomic_fetch_add_explicit(&device->held, (larger.size - table->size) * sizeof(*larger.chains),
                              memory_order_relaxed);
    rvt_free(table->chains);
    table->chains = larger.chains;
    table->size = larger.size;
    return true;
}

void rvt_qp_table_free(struct rvt_dev_info *device, struct rvt_qp_table *table) {
    atomic_fetch_sub_explicit(&device->held, table->size * sizeof(*table->chains), memory_order_relaxed);
    rvt_free(table->chains);
    table->chains = NULL;
    table->size = 0;
}

void rvt_qp_table_add(struct rvt_qp_table *table, struct rvt_engine_qp *qp) {
    struct rvt_engine_qp **chain = chain_of(table, qp->qpn);
    qp->next_in_chain = *chain;
    *chain = qp;
    table->count++;
}

void rvt_qp_table_remove(struct rvt_qp_table *table, struct rvt_engine_qp *qp) {
    struct rvt_engine_qp **link = chain_of(table, qp->qpn);
    while (*link != qp)
        link = &(*link)->next_in_chain;
    *link = qp->next_in_chain;
    table->count--;
}

void rvt_qp_table_prefetch(const struct rvt_qp_table *table, uint32_t qpn) {
    if (table->size)
        __builtin_prefetch(chain_of(table, qpn));
}

struct rvt_engine_qp *rvt_qp_table_find(const struct rvt_qp_table *table, uint32_t qpn) {
    struct rvt_engine_qp *qp = table->size ? *chain_of(table, qpn) : NULL;
    while (qp && qp->qpn != qpn)
        qp = qp->next_in_chain;
    return qp;
}

void rvt_qp_table_list(struct rvt_qp_table *table, struct rvt_engine_qp *qp) {
    rvt_list_add(&table->buckets[hash_of(qp->qpn) >> (32 - 8)], &qp->in_bucket);
}
