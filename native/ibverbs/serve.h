/* SPDX-License-Identifier: BSD-3-Clause */
/* Begin and end of a verb that a program calls while it waits for completions, or that makes packets ready to be sent: it
 * also sees to the timers and to the network. */
#ifndef SHIM_SERVE_H
#define SHIM_SERVE_H

#include "ibverbs/context.h"

/* Enters the gate for a verb that ends by shim_leave_and_serve(). */
static inline void shim_enter_to_serve(void) {
    shim_wire_awake++;
    shim_enter();
}

/* Sends what is ready, leaves the gate, and sees to it that the timers of the context's device are served. */
static inline void shim_leave_and_serve(struct shim_context *context) {
    shim_wire_serve(&context->file->core->wire);
    shim_leave();
    shim_wire_awake--;
    shim_timer_serve(&context->file->core->timer);
}

#endif
