/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/implicit_mr.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ibverbs/context.h"
#include "ibverbs/core_mr.h"
#include "ibverbs/memory_map.h"

/* Protects the list. Taken inside the gate only; nothing of the core is called with it. */
static pthread_mutex_t listing = PTHREAD_MUTEX_INITIALIZER;
static struct rvt_link *regions;
/* How many regions are in the list: programs without implicit regions take no lock when they post. */
static _Atomic(unsigned) count;

/* Page 0 is in no region: its address would be a null pointer. */
static uint64_t start_of(unsigned part) {
    return part ? (uint64_t)part << SHIM_IMPLICIT_PART_SHIFT : RVT_PAGE_SIZE;
}

static int register_part(struct shim_implicit_mr *mr, unsigned part, uint32_t access) {
    const uint64_t start = start_of(part), length = start_of(part + 1) - start;
    return shim_reg_core_mr(mr->pd, (void *)(uintptr_t)start, length, start, access, &mr->parts[part],
                            &mr->keys[part]);
}

struct shim_implicit_mr *shim_reg_implicit_mr(struct rvt_pd_handle pd, uint32_t access, int *error) {
    struct shim_implicit_mr *mr = calloc(1, sizeof(*mr));
    *error = mr ? 0 : ENOMEM;
    if (!mr)
        return NULL;
    mr->pd = pd;
    unsigned part = 0;
    while (part < SHIM_IMPLICIT_PARTS && !(*error = register_part(mr, part, access)))
        part++;
    if (*error) {
        while (part--)
            (void)rvt_dereg_mr(mr->parts[part], RVT_RELEASE_FORCE); /* no work request has used it */
        free(mr);
        return NULL;
    }
    pthread_mutex_lock(&listing);
    rvt_list_add(&regions, &mr->in_list);
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&listing);
    return mr;
}

int shim_dereg_implicit_mr(struct shim_implicit_mr *mr) {
    int error = shim_end_error(rvt_dereg_mrs(mr->pd, mr->parts, SHIM_IMPLICIT_PARTS, RVT_RELEASE));
    if (error)
        return error;
    pthread_mutex_lock(&listing);
    rvt_list_remove(&mr->in_list);
    atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&listing);
    free(mr);
    return 0;
}

/* --- resolving --- */

/* Returns the region that has this key, or NULL. The caller must hold the lock. */
static const struct shim_implicit_mr *find(uint32_t key) {
    for (struct rvt_link *link = regions; link; link = link->next) {
        const struct shim_implicit_mr *mr = RVT_LIST_ENTRY(link, struct shim_implicit_mr, in_list);
        if (mr->keys[0] == key)
            return mr;
    }
    return NULL;
}

/* Resolves one key. The caller must hold the lock. */
static void resolve(uint32_t *key, uint64_t address, uint64_t length, bool write) {
    const struct shim_implicit_mr *mr = find(*key);
    if (!mr)
        return;
    const uint64_t part = address >> SHIM_IMPLICIT_PART_SHIFT;
    const bool exists = part < SHIM_IMPLICIT_PARTS && !shim_judge_range(address, length, write);
    *key = exists ? mr->keys[part] : 0;
}

static bool is_none(void) {
    return !atomic_load_explicit(&count, memory_order_relaxed);
}

void shim_resolve_receive(struct rvt_ib_sge *sges, uint32_t sge_count) {
    if (is_none())
        return;
    pthread_mutex_lock(&listing);
    for (uint32_t i = 0; i < sge_count; i++)
        resolve(&sges[i].lkey, sges[i].addr, sges[i].length, true);
    pthread_mutex_unlock(&listing);
}

bool shim_resolve_send(struct rvt_send_wr *wr, struct rvt_ib_sge *sges) {
    if (is_none())
        return true;
    const bool atomic = wr->opcode == RVT_WR_ATOMIC_CMP_AND_SWP || wr->opcode == RVT_WR_ATOMIC_FETCH_AND_ADD;
    const bool write_local = atomic || wr->opcode == RVT_WR_RDMA_READ;
    const bool write_remote = wr->opcode != RVT_WR_RDMA_READ;
    const bool invalidates = wr->opcode == RVT_WR_LOCAL_INV || wr->opcode == RVT_WR_SEND_WITH_INV;
    uint64_t total = 0;
    pthread_mutex_lock(&listing);
    for (uint32_t i = 0; i < wr->num_sge; i++) {
        resolve(&sges[i].lkey, sges[i].addr, sges[i].length, write_local);
        total += sges[i].length;
    }
    resolve(&wr->rkey, wr->remote_addr, atomic ? sizeof(uint64_t) : total, write_remote);
    bool may = !invalidates || !find(wr->invalidate_rkey);
    pthread_mutex_unlock(&listing);
    return may;
}
