/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of a verb that a program calls while it waits for completions: it also sees to the timers. */
#ifndef SHIM_SERVE_H
#define SHIM_SERVE_H

#include "ibverbs/context.h"

/* Leaves the gate, and sees to it that the timers of the context's device are served. */
static inline void shim_leave_and_serve(struct shim_context *context) {
    shim_leave();
    shim_timer_serve(&context->file->core->timer);
}

#endif
