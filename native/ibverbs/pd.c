/* SPDX-License-Identifier: BSD-3-Clause */
/* Protection domains, parent domains and thread domains. ibv_alloc_pd(3), ibv_import_pd(3),
 * ibv_alloc_parent_domain(3), ibv_alloc_td(3). */
#include "ibverbs/pd.h"

#include <stdlib.h>

/* Allocates a structure of the context for a domain of the core. Returns NULL if out of memory. */
static struct shim_pd *new_pd(struct shim_context *context, struct rvt_pd_handle core) {
    struct shim_pd *pd = calloc(1, sizeof(*pd));
    if (!pd)
        return NULL;
    shim_get_context(context);
    pd->context = context;
    pd->ibv.context = &context->verbs.context;
    pd->core = core;
    atomic_init(&pd->users, 1);
    return pd;
}

/* The caller must be outside the gate. */
static void free_pd(struct shim_pd *pd) {
    shim_put_context(pd->context);
    free(pd);
}

void shim_use_pd(struct shim_pd *pd) {
    atomic_fetch_add_explicit(&pd->users, 1, memory_order_relaxed);
}

/* Another thread may have waited for this to free the structure, so it must not be looked at afterwards. */
void shim_put_pd(struct shim_pd *pd) {
    if (atomic_fetch_sub_explicit(&pd->users, 1, memory_order_acq_rel) == 1)
        free_pd(pd);
}

SHIM_PUBLIC struct ibv_pd *ibv_alloc_pd(struct ibv_context *of) {
    if (!of)
        return shim_null(EINVAL);
    struct shim_context *context = shim_context_of(of);
    struct shim_pd *pd = new_pd(context, (struct rvt_pd_handle){0});
    if (!pd)
        return shim_null(ENOMEM);
    shim_enter();
    int error = rvt_alloc_pd(context->file->core->device, context->file->ucontext, true, &pd->core);
    if (!error) {
        shim_list_importable(context, SHIM_PDS, &pd->importable);
        pd->ibv.handle = pd->importable.handle;
    }
    shim_leave();
    if (error) {
        free_pd(pd);
        return shim_null(-error);
    }
    return &pd->ibv;
}

/* Ends a domain of the core. Returns 0 or a positive errno. */
static int end_pd(struct shim_pd *pd) {
    shim_enter();
    int error = shim_end_error(rvt_dealloc_pd(pd->core, false));
    if (!error)
        shim_unlist_importable(&pd->importable);
    shim_leave();
    return error;
}

SHIM_PUBLIC int ibv_dealloc_pd(struct ibv_pd *of) {
    if (!of)
        return EINVAL;
    struct shim_pd *pd = shim_pd_of(of);
    if (atomic_load_explicit(&pd->users, memory_order_acquire) > 1)
        return EBUSY;
    struct shim_pd *made_from = pd->parent_of;
    int error = made_from ? 0 : end_pd(pd);
    if (error)
        return error;
    if (pd->td)
        atomic_fetch_sub_explicit(&pd->td->users, 1, memory_order_release);
    free_pd(pd);
    if (made_from)
        shim_put_pd(made_from);
    return 0;
}

/* --- importing --- */

/* The domain with this handle. */
struct wanted {
    uint32_t handle;
    struct rvt_pd_handle core;
};

static bool find_domain(struct shim_importable *object, void *data) {
    struct wanted *wanted = data;
    if (object->handle != wanted->handle)
        return false;
    wanted->core = RVT_LIST_ENTRY(object, struct shim_pd, importable)->core;
    return true;
}

SHIM_PUBLIC struct ibv_pd *ibv_import_pd(struct ibv_context *into, uint32_t handle) {
    if (!into)
        return shim_null(EINVAL);
    struct shim_context *context = shim_context_of(into);
    struct wanted wanted = {.handle = handle};
    shim_enter();
    bool found = shim_visit_importables(context, SHIM_PDS, find_domain, &wanted);
    shim_leave();
    if (!found)
        return shim_null(ENOENT);
    struct shim_pd *pd = new_pd(context, wanted.core);
    if (!pd)
        return shim_null(ENOMEM);
    pd->ibv.handle = handle;
    return &pd->ibv;
}

SHIM_PUBLIC void ibv_unimport_pd(struct ibv_pd *of) {
    /* Objects that were created with the imported domain still point to it: the last of them frees it. */
    if (of)
        shim_put_pd(shim_pd_of(of));
}

/* --- thread domains and parent domains --- */

/* A thread domain is a promise that one thread at a time uses its objects. The core needs no such promise. */
struct ibv_td *shim_alloc_td(struct ibv_context *of, struct ibv_td_init_attr *attr) {
    if (!attr || attr->comp_mask)
        return shim_null(attr ? EOPNOTSUPP : EINVAL);
    struct shim_td *td = calloc(1, sizeof(*td));
    if (!td)
        return shim_null(ENOMEM);
    td->context = shim_context_of(of);
    td->ibv.context = of;
    shim_get_context(td->context);
    return &td->ibv;
}

int shim_dealloc_td(struct ibv_td *of) {
    struct shim_td *td = (struct shim_td *)(void *)of;
    if (atomic_load_explicit(&td->users, memory_order_acquire))
        return EBUSY;
    shim_put_context(td->context);
    free(td);
    return 0;
}

/* The allocators of the attributes are for memory that a driver shares with its hardware. There is none here,
 * so they are not called. */
struct ibv_pd *shim_alloc_parent_domain(struct ibv_context *of, struct ibv_parent_domain_init_attr *attr) {
    const uint32_t known = IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS | IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT;
    if (!attr || !attr->pd)
        return shim_null(EINVAL);
    if (attr->comp_mask & ~known)
        return shim_null(EOPNOTSUPP);
    if ((attr->comp_mask & IBV_PARENT_DOMAIN_INIT_ATTR_ALLOCATORS) && (!attr->alloc || !attr->free))
        return shim_null(EINVAL);
    if (attr->pd->context != of || (attr->td && attr->td->context != of))
        return shim_null(EINVAL);
    struct shim_pd *made_from = shim_pd_of(attr->pd);
    struct shim_pd *pd = new_pd(shim_context_of(of), made_from->core);
    if (!pd)
        return shim_null(ENOMEM);
    pd->ibv.handle = attr->pd->handle;
    pd->parent_of = made_from;
    shim_use_pd(made_from);
    pd->td = (struct shim_td *)(void *)attr->td;
    if (pd->td)
        atomic_fetch_add_explicit(&pd->td->users, 1, memory_order_relaxed);
    return &pd->ibv;
}
