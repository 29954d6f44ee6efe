/* SPDX-License-Identifier: BSD-3-Clause */
#include "ibverbs/session.h"

#include <sched.h>

/* The thread that had the session does not exist in the child, unless it is the one that forked. */
static void end_in_child(struct shim_repair *repair) {
    struct shim_session *session = RVT_LIST_ENTRY(repair, struct shim_session, repair);
    if (!shim_session_is_mine(session))
        atomic_store_explicit(&session->owner, 0, memory_order_relaxed);
}

void shim_session_init(struct shim_session *session) {
    atomic_init(&session->owner, 0);
    shim_add_repair(&session->repair, end_in_child);
}

void shim_session_destroy(struct shim_session *session) {
    shim_remove_repair(&session->repair);
}

bool shim_session_begin(struct shim_session *session) {
    const uintptr_t me = shim_thread_number();
    if (shim_session_is_mine(session))
        return false;
    /* acquire: this thread sees what the last session has written. */
    for (uintptr_t none = 0; !atomic_compare_exchange_weak_explicit(
             &session->owner, &none, me, memory_order_acquire, memory_order_relaxed);
         none = 0)
        sched_yield();
    return true;
}

bool shim_session_is_mine(const struct shim_session *session) {
    return atomic_load_explicit(&session->owner, memory_order_relaxed) == shim_thread_number();
}

void shim_session_end(struct shim_session *session) {
    if (shim_session_is_mine(session))
        atomic_store_explicit(&session->owner, 0, memory_order_release);
}
