/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/objects/share.h"

#include <string.h>

#include "core/base/failure.h"
#include "core/base/platform.h"
#include "core/base/rvt_errno.h"
#include "core/objects/device.h"

/* Protects everything in this file. Taken with a device's lock held, so no device's lock may be taken inside.
 * Never destroyed, like the registry of epoch.c. */
static struct rvt_mutex shares = RVT_MUTEX_INITIALIZER;
static struct rvt_link *shared; /* open devices that have a token */
static unsigned char core_id[RVT_CORE_ID_BYTES];
static bool core_id_made;

/* In the same time whatever differs: how long a wrong guess took shall not tell how good it was. */
static bool same_bytes(const unsigned char *a, const unsigned char *b, size_t count) {
    unsigned difference = 0;
    for (size_t i = 0; i < count; i++)
        difference |= (unsigned)(a[i] ^ b[i]);
    return !difference;
}

static bool make_core_id(void) {
    if (!core_id_made)
        core_id_made = rvt_random_bytes(core_id, sizeof(core_id));
    return core_id_made;
}

int rvt_share_device(struct rvt_dev_info *device, struct rvt_share_token *token) {
    int error = 0;
    rvt_mutex_lock(&device->lock);
    rvt_mutex_lock(&shares);
    if (device->closed) {
        error = rvt_fail(RVT_EBADF, RVT_CAUSE_DEVICE_CLOSED);
    } else if (!device->shared) {
        if (make_core_id() && rvt_random_bytes(device->token, sizeof(device->token))) {
            device->shared = true;
            rvt_list_add(&shared, &device->in_shared);
        } else {
            error = rvt_fail(RVT_ENOMEM, RVT_CAUSE_NO_RANDOM_NUMBERS);
        }
    }
    if (!error) {
        memcpy(token->core, core_id, sizeof(token->core));
        memcpy(token->bytes, device->token, sizeof(token->bytes));
    }
    rvt_mutex_unlock(&shares);
    rvt_mutex_unlock(&device->lock);
    return error;
}

int rvt_find_shared(const struct rvt_share_token *token, struct rvt_dev_info **out) {
    rvt_mutex_lock(&shares);
    bool found = false, ours = core_id_made && same_bytes(token->core, core_id, sizeof(core_id));
    for (struct rvt_link *link = ours ? shared : NULL; link && !found; link = link->next) {
        struct rvt_dev_info *device = RVT_LIST_ENTRY(link, struct rvt_dev_info, in_shared);
        if (same_bytes(token->bytes, device->token, sizeof(device->token))) {
            /* It is in the list, so it is open or closing, and its closer has a reference. */
            rvt_dev_get(device);
            *out = device;
            found = true;
        }
    }
    rvt_mutex_unlock(&shares);
    if (found)
        return 0;
    return ours ? rvt_fail(RVT_ENODEV, RVT_CAUSE_UNKNOWN_TOKEN)
                : rvt_fail(RVT_EXDEV, RVT_CAUSE_FOREIGN_TOKEN);
}

void rvt_unshare_device(struct rvt_dev_info *device) {
    rvt_mutex_lock(&shares);
    if (device->shared) {
        rvt_list_remove(&device->in_shared);
        device->shared = false;
    }
    rvt_mutex_unlock(&shares);
}
