/* SPDX-License-Identifier: BSD-3-Clause */
/* Asynchronous events. ibv_get_async_event(3). The core reports IBV_EVENT_CQ_ERR,
 * IBV_EVENT_QP_LAST_WQE_REACHED and IBV_EVENT_SRQ_LIMIT_REACHED. */
#include "ibverbs/context.h"

SHIM_PUBLIC int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event) {
    if (!context || !event)
        return shim_minus_one(EINVAL);
    const struct shim_event *taken = shim_event_take(&shim_context_of(context)->async);
    if (!taken)
        return -1;
    event->event_type = (enum ibv_event_type)taken->type;
    switch (event->event_type) {
    case IBV_EVENT_CQ_ERR:
        event->element.cq = taken->element;
        break;
    case IBV_EVENT_SRQ_LIMIT_REACHED:
        event->element.srq = taken->element;
        break;
    default: /* IBV_EVENT_QP_LAST_WQE_REACHED */
        event->element.qp = taken->element;
        break;
    }
    return 0;
}

SHIM_PUBLIC void ibv_ack_async_event(struct ibv_async_event *event) {
    if (!event || !event->element.cq) /* NULL: not an event of ibv_get_async_event() */
        return;
    switch (event->event_type) {
    case IBV_EVENT_CQ_ERR:
        shim_event_acknowledge(&event->element.cq->async_events_completed, 1);
        break;
    case IBV_EVENT_SRQ_LIMIT_REACHED:
        shim_event_acknowledge(&event->element.srq->events_completed, 1);
        break;
    case IBV_EVENT_QP_LAST_WQE_REACHED:
        shim_event_acknowledge(&event->element.qp->events_completed, 1);
        break;
    default: /* never reported */
        break;
    }
}
