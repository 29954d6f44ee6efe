/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/share.h"

#include <string.h>

#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_atomic.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"
#include "core/objects/pd.h"

/* Protects everything in this file. It is taken while a device lock is held, so code that holds it must not
 * take a device lock. Never destroyed, like the registry of epoch.c. */
static struct rvt_mutex shares = RVT_MUTEX_INITIALIZER;
/* List of the struct rvt_shared that have a token. */
static struct rvt_link *listed;
/* 0 until it is drawn. Read without the lock: it is only a number and orders no other data. */
static _Atomic(uint64_t) core_id;

static_assert(sizeof(core_id) == RVT_CORE_ID_BYTES, "tokens carry it");

/* Compares in constant time, so that timing does not reveal how much of a guessed token is right. */
static bool same_bytes(const unsigned char *a, const unsigned char *b, size_t count) {
    unsigned difference = 0;
    for (size_t i = 0; i < count; i++)
        difference |= (unsigned)(a[i] ^ b[i]);
    return !difference;
}

/* Returns the core id; draws it on the first call. The caller must hold the lock. */
static uint64_t make_core_id(void) {
    uint64_t id = atomic_load_explicit(&core_id, memory_order_relaxed);
    /* If the draw is 0 (probability 2^-64), the next call repeats it. */
    if (!id && rvt_random_bytes(&id, sizeof(id)))
        atomic_store_explicit(&core_id, id, memory_order_relaxed);
    return atomic_load_explicit(&core_id, memory_order_relaxed);
}

uint64_t rvt_core_id(void) {
    uint64_t id = atomic_load_explicit(&core_id, memory_order_relaxed);
    if (id)
        return id;
    rvt_mutex_lock(&shares);
    id = make_core_id();
    rvt_mutex_unlock(&shares);
    return id;
}

/* Fills *token for a device or domain, and draws the token on the first call. The caller must hold the device
 * lock, so that the device or domain stays open. */
static int give_token(struct rvt_shared *shared, struct rvt_dev_info *device, uint64_t pd,
                      struct rvt_share_token *token) {
    int error = 0;
    rvt_mutex_lock(&shares);
    uint64_t id = make_core_id();
    if (!shared->listed) {
        if (id && rvt_random_bytes(shared->token, sizeof(shared->token))) {
            shared->listed = true;
            shared->device = device;
            shared->pd = pd;
            rvt_list_add(&listed, &shared->in_shared);
        } else {
            error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS);
        }
    }
    if (!error) {
        memcpy(token->core, &id, sizeof(token->core));
        memcpy(token->bytes, shared->token, sizeof(token->bytes));
    }
    rvt_mutex_unlock(&shares);
    return error;
}

int rvt_share_device(struct rvt_dev_info *device, struct rvt_share_token *token) {
    rvt_mutex_lock(&device->lock);
    int error = device->closed ? rvt_fail(RVT_EBADF, RVT_CAUSE_DEVICE_CLOSED)
                               : give_token(&device->shared, device, RVT_WHOLE_DEVICE, token);
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_share_by(const struct rvt_ucontext *context, const struct rvt_pd_handle *in,
                 struct rvt_share_token *token) {
    struct rvt_dev_info *device = context->device;
    struct rvt_pd *pd = in ? in->pd : NULL;
    int error;
    rvt_mutex_lock(&device->lock);
    if (device->closed || rvt_ucontext_gone(context))
        error = rvt_fail_gone(device, context, RVT_CAUSE_DETACHED);
    else if (rvt_ucontext_restricted(context))
        error = rvt_fail(RVT_EPERM, RVT_CAUSE_RESTRICTED);
    else if (!in)
        error = give_token(&device->shared, device, RVT_WHOLE_DEVICE, token);
    else if (pd && pd->owned.device != device)
        error = rvt_fail(RVT_EINVAL, RVT_CAUSE_PD_ON_OTHER_DEVICE);
    else if (!rvt_pd_live(*in))
        error = rvt_fail_gone(device, in->context, RVT_CAUSE_PD_GONE);
    else
        error = give_token(&pd->shared, device, pd->owned.serial, token);
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_find_shared(const struct rvt_share_token *token, struct rvt_dev_info **out, uint64_t *pd) {
    rvt_mutex_lock(&shares);
    uint64_t id = atomic_load_explicit(&core_id, memory_order_relaxed);
    bool found = false, ours = id && same_bytes(token->core, (const unsigned char *)&id, sizeof(id));
    for (struct rvt_link *link = ours ? listed : NULL; link && !found; link = link->next) {
        struct rvt_shared *shared = RVT_LIST_ENTRY(link, struct rvt_shared, in_shared);
        if (same_bytes(token->bytes, shared->token, sizeof(shared->token))) {
            /* A listed device is open or is being closed, so a context or the thread that closes it still
             * holds a reference. */
            rvt_dev_get(shared->device);
            *out = shared->device;
            if (pd)
                *pd = shared->pd;
            found = true;
        }
    }
    rvt_mutex_unlock(&shares);
    if (found)
        return 0;
    return ours ? rvt_fail(RVT_ENODEV, RVT_CAUSE_UNKNOWN_TOKEN)
                : rvt_fail(RVT_EXDEV, RVT_CAUSE_FOREIGN_TOKEN);
}

void rvt_unshare(struct rvt_shared *shared) {
    rvt_mutex_lock(&shares);
    if (shared->listed) {
        rvt_list_remove(&shared->in_shared);
        shared->listed = false;
    }
    rvt_mutex_unlock(&shares);
}
