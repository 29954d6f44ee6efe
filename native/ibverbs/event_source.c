/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/event_source.h"

void shim_report_event(enum rvt_event_kind kind, struct shim_event_source *source) {
    switch (kind) {
    case RVT_EVENT_COMPLETION:
        shim_event_raise(&source->completion, false);
        break;
    case RVT_EVENT_CQ_ERR:
        /* The core reports every completion that is lost. One event tells all that the program can act on. */
        shim_event_raise(&source->async, true);
        break;
    case RVT_EVENT_LAST_WQE:
    case RVT_EVENT_SRQ_LIMIT:
        shim_event_raise(&source->async, false);
        break;
    case RVT_EVENT_TIMER:    /* of a device, not of an object */
    case RVT_EVENT_ENDPOINT: /* reported by other hosts */
        break;
    }
}
