/* SPDX-License-Identifier: BSD-3-Clause */
/* Completion channels and their events. ibv_create_comp_channel(3), ibv_get_cq_event(3). */
#include "ibverbs/channel.h"

#include <stdlib.h>

#include "ibverbs/cq.h"

SHIM_PUBLIC struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context) {
    if (!context)
        return shim_null(EINVAL);
    struct shim_channel *channel = calloc(1, sizeof(*channel));
    if (!channel)
        return shim_null(ENOMEM);
    int error = shim_events_open(&channel->events);
    if (error) {
        free(channel);
        return shim_null(error);
    }
    channel->context = shim_context_of(context);
    shim_get_context(channel->context);
    channel->ibv.context = context;
    channel->ibv.fd = channel->events.fd;
    return &channel->ibv;
}

SHIM_PUBLIC int ibv_destroy_comp_channel(struct ibv_comp_channel *of) {
    if (!of)
        return EINVAL;
    struct shim_channel *channel = shim_channel_of(of);
    shim_lock();
    bool used = channel->ibv.refcnt != 0;
    shim_unlock();
    if (used)
        return EBUSY;
    shim_events_close(&channel->events);
    shim_put_context(channel->context);
    free(channel);
    return 0;
}

void shim_use_channel(struct shim_channel *channel, int more) {
    shim_lock();
    channel->ibv.refcnt += more;
    shim_unlock();
}

SHIM_PUBLIC int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **cq_context) {
    if (!channel || !cq || !cq_context)
        return shim_minus_one(EINVAL);
    struct shim_event *event = shim_event_take(&shim_channel_of(channel)->events);
    if (!event)
        return -1;
    *cq = event->element;
    *cq_context = (*cq)->cq_context;
    return 0;
}

SHIM_PUBLIC void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int nevents) {
    if (cq && nevents)
        shim_event_acknowledge(&cq->comp_events_completed, nevents);
}
