/* SPDX-License-Identifier: BSD-3-Clause */
/* Protection domains as programs know them: domains, imported domains, and parent domains, which stand for
 * the domain that they were made from. */
#ifndef SHIM_PD_H
#define SHIM_PD_H

#include <stdatomic.h>

#include "core/rvt.h"
#include "ibverbs/context.h"
#include "ibverbs/public_api.h"

struct shim_td {
    struct ibv_td ibv;
    struct shim_context *context;
    _Atomic(unsigned) users; /* parent domains */
};

struct shim_pd {
    struct ibv_pd ibv;
    struct shim_context *context;
    struct rvt_pd_handle core;
    /* Listed only if the program has allocated the domain with ibv_alloc_pd(). */
    struct shim_importable importable;
    struct shim_pd *parent_of; /* of a parent domain: the domain that it was made from */
    struct shim_td *td;        /* of a parent domain; may be NULL */
    _Atomic(unsigned) users;   /* the program, and objects that name this structure */
};

static inline struct shim_pd *shim_pd_of(struct ibv_pd *pd) {
    return (struct shim_pd *)(void *)pd;
}

/* Count an object that the program has created in the domain, and one less. A domain that has users cannot be
 * deallocated. shim_put_pd() must be called outside the gate. */
void shim_use_pd(struct shim_pd *pd);
void shim_put_pd(struct shim_pd *pd);

/* Thread domains, which have no effect. EBUSY: a parent domain uses the thread domain. */
struct ibv_td *shim_alloc_td(struct ibv_context *context, struct ibv_td_init_attr *attr);
int shim_dealloc_td(struct ibv_td *td);

/* Makes a parent domain, which is deallocated like a domain.
 * Returns NULL and sets errno:
 *   EINVAL      no domain, a domain or thread domain of another context, or one allocator without the other
 *   EOPNOTSUPP  unknown attributes
 *   ENOMEM      no memory */
struct ibv_pd *shim_alloc_parent_domain(struct ibv_context *context,
                                        struct ibv_parent_domain_init_attr *attr);

#endif
