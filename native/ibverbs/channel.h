/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion channels. */
#ifndef SHIM_CHANNEL_H
#define SHIM_CHANNEL_H

#include "ibverbs/context.h"
#include "ibverbs/events.h"
#include "ibverbs/public_api.h"

struct shim_channel {
    struct ibv_comp_channel ibv; /* `refcnt` counts completion queues, under the short lock */
    struct shim_context *context;
    struct shim_event_queue events;
};

static inline struct shim_channel *shim_channel_of(struct ibv_comp_channel *channel) {
    return (struct shim_channel *)(void *)channel;
}

/* Counts a completion queue that uses the channel (`more` is 1), or one less (-1). */
void shim_use_channel(struct shim_channel *channel, int more);

#endif
