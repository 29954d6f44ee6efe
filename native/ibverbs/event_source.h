/* SPDX-License-Identifier: BSD-3-Clause */
/* The objects that events are about. The core's `user` pointer of a completion queue, shared receive queue or
 * queue pair points to the struct shim_event_source of the object. */
#ifndef SHIM_EVENT_SOURCE_H
#define SHIM_EVENT_SOURCE_H

#include "core/rvt.h"
#include "ibverbs/events.h"

struct shim_event_source {
    struct shim_event completion; /* completion queues; no queue: it has no channel */
    struct shim_event async;      /* CQ_ERR, LAST_WQE_REACHED or SRQ_LIMIT_REACHED */
};

/* Records an event that the core reports, with its engine lock held. */
void shim_report_event(enum rvt_event_kind kind, struct shim_event_source *source);

#endif
