/* SPDX-License-Identifier: BSD-3-Clause */
/* A session is the exclusive use of an object by one thread over several calls: between ibv_wr_start() and
 * ibv_wr_complete(), and between ibv_start_poll() and ibv_end_poll(). */
#ifndef SHIM_SESSION_H
#define SHIM_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ibverbs/gate.h"

struct shim_session {
    _Atomic(uintptr_t) owner; /* shim_thread_number() of the thread that has the session; 0: none has */
    struct shim_repair repair;
};

void shim_session_init(struct shim_session *session);
void shim_session_destroy(struct shim_session *session);

/* Begins a session. Waits while another thread has one, so the caller must be outside the gate. Returns false
 * if the calling thread has the session already. */
bool shim_session_begin(struct shim_session *session);

/* Returns whether the calling thread has the session. */
bool shim_session_is_mine(const struct shim_session *session);

/* Ends the session of the calling thread. Does nothing if it has none. */
void shim_session_end(struct shim_session *session);

#endif
